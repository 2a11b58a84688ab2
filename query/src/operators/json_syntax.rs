//! What statements say in other words about aggregates that are arrays, or arrays first, as those of json are.

use super::sites::call;
use crate::functions::array_aggregates::ARRAY_OF_VALUES;
use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    Value,
};

/// `json_agg(x ORDER BY y) FILTER (…)` is `json_agg_finalfn(array_agg(x ORDER BY y) FILTER (…))`; of keys and values
/// the array has rows.
pub(super) fn aggregate_of_array(mut function: Function, name: &str, ended: &str) -> Expr {
    let FunctionArguments::List(list) = &mut function.args else { return Expr::Function(function) };
    let values = list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
        _ => None,
    });
    let value = match (name.contains("object"), values.collect::<Vec<_>>().as_slice()) {
        (false, [value]) => value.clone(),
        (true, [key, value]) => {
            let label = |name: &str| Expr::Value(Value::SingleQuotedString(name.to_string()).into());
            call("named_struct", vec![label("key"), key.clone(), label("value"), value.clone()])
        }
        _ => return Expr::Function(function),
    };
    if !name.contains("object") {
        order_distinct(list, &value);
    }
    list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(value))];
    function.name = ObjectName::from(vec![Ident::with_quote('"', ARRAY_OF_VALUES)]);
    call(ended, vec![Expr::Function(function)])
}

/// Values without repetition come in their order: `array_agg(DISTINCT x)` is `array_agg(DISTINCT x ORDER BY x)`.
pub(super) fn order_distinct(list: &mut FunctionArgumentList, value: &Expr) {
    let ordered = list.clauses.iter().any(|clause| matches!(clause, ast::FunctionArgumentClause::OrderBy(_)));
    if list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct) && !ordered {
        let options = ast::OrderByOptions { asc: None, nulls_first: None };
        let by_value = ast::OrderByExpr { expr: value.clone(), options, with_fill: None };
        list.clauses.push(ast::FunctionArgumentClause::OrderBy(vec![by_value]));
    }
}
