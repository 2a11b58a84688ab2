//! Calls whose last arguments come as an array: `f(a, VARIADIC b)`.

use super::sites::{Annotator, plain_values};
use crate::functions::variadic::{VARIADIC, variadic_name};
use crate::statement_grammar::fold;
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
};

impl Annotator<'_> {
    /// A call whose last arguments come as an array.
    pub(super) fn variadic(&mut self, mut function: Function, array: Expr) -> Expr {
        let name = function.name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
        let FunctionArguments::List(list) = &mut function.args else { return Expr::Function(function) };
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(array.clone())));
        let path = match name.as_str() {
            "json_extract_path" => Some((SqlType::Json, BinaryOperator::HashArrow)),
            "json_extract_path_text" => Some((SqlType::Json, BinaryOperator::HashLongArrow)),
            "jsonb_extract_path" => Some((SqlType::Jsonb, BinaryOperator::HashArrow)),
            "jsonb_extract_path_text" => Some((SqlType::Jsonb, BinaryOperator::HashLongArrow)),
            _ => None,
        };
        if let (Some((document, operator)), [FunctionArg::Unnamed(FunctionArgExpr::Expr(from)), _]) =
            (path, list.args.as_slice())
        {
            let from = self.cast(from.clone(), document);
            return self.binary(operator, from, array);
        }
        match variadic_name(&name, list.args.len()) {
            Some(name) => {
                function.name = ObjectName::from(vec![Ident::with_quote('"', name)]);
                Expr::Function(function)
            }
            None => self.function(function),
        }
    }
}

/// The array behind VARIADIC, which is taken out of the call.
pub(super) fn variadic_argument(function: &mut Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &mut function.args else { return None };
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(marker))) = list.args.last()? else { return None };
    let is_marker = marker.name.0.last().and_then(|part| part.as_ident()).is_some_and(|name| name.value == VARIADIC);
    let FunctionArguments::List(marked) = &marker.args else { return None };
    let array = plain_values(&marked.args).filter(|_| is_marker)?.pop();
    list.args.pop();
    array
}
