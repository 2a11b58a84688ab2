//! Literals among the arguments of aggregates and window functions.
//!
//! A scalar function reads a literal when it is lowered; aggregates are resolved while the planner works. So each literal becomes a
//! site that also has the other arguments, whose types say what it is:
//!
//!     regr_count(y, '0')      regr_count(y, site@7('0', y))      a double precision
//!     avg('x')                function avg(unknown) is not unique

use super::call::{Places, SiteKind};
use super::candidates::{ANY, Oid, UNKNOWN};
use super::contexts::known_function;
use super::lowering::{Argument, Lowering};
use super::resolution::{Operand, oid_of};
use super::sites::Annotator;
use crate::error::QueryError;
use crate::functions::aggregates::AVERAGED;
use crate::pg_catalog::{function_by_oid, functions_by_name};
use crate::user_types::type_of_oid;
use catalog::sql_type::SqlType;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::{
    self, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, Value,
};

/// A literal among a call's arguments. The literal is the site's first operand, the arguments follow in their order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SetArgument {
    function: String,
    position: usize,
}

impl SetArgument {
    /// The type of the literal; `None` where the function takes it as it is, or does not exist.
    pub(super) fn literal_type(&self, operands: &[Operand]) -> Result<Option<SqlType>, QueryError> {
        let types: Vec<Oid> = operands[1..].iter().map(oid_of).collect();
        self.chosen(&types).map(|chosen| chosen.and_then(type_of_oid))
    }

    /// The function's name, as [`known_function`] takes it.
    pub(super) fn name(&self) -> &str {
        &self.function
    }

    /// The same by OIDs.
    pub(super) fn chosen(&self, types: &[Oid]) -> Result<Option<Oid>, QueryError> {
        let known = known_function(&self.function, types)?;
        let chosen = known.and_then(|known| known.get(self.position).copied());
        Ok(chosen.filter(|chosen| *chosen != ANY && *chosen != UNKNOWN))
    }
}

/// Functions of any value, which a literal is not before it has a type.
const OF_TYPED_VALUES: [&str; 2] = ["to_json", "to_jsonb"];

/// Whether PostgreSQL has an aggregate or a window function of this name, or one that takes no open literals.
fn is_of_sets(name: &str) -> bool {
    name == AVERAGED
        || OF_TYPED_VALUES.contains(&name)
        || functions_by_name(name).iter().filter_map(|oid| function_by_oid(*oid)).any(|known| known.kind != "f")
}

impl Annotator<'_> {
    /// Puts sites in the place of literals among the arguments of an aggregate or a window function.
    pub(super) fn type_literals(&mut self, function: &mut Function, name: &str) {
        if !is_of_sets(name) {
            return;
        }
        let FunctionArguments::List(list) = &mut function.args else { return };
        let direct = list.args.iter_mut().map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
            _ => None,
        });
        let ordered = function.within_group.iter_mut().map(|order| Some(&mut order.expr));
        let Some(mut values) = direct.chain(ordered).collect::<Option<Vec<&mut ast::Expr>>>() else { return };
        if !values.iter().any(|value| is_open(value)) {
            return;
        }
        let shown: Vec<ast::Expr> = values.iter().map(|value| (**value).clone()).collect();
        let site = self.source.as_ref().and_then(|source| source.place_of(function.name.span().start));
        for (position, value) in values.iter_mut().enumerate().filter(|(_, value)| is_open(value)) {
            let operands = vec![self.place(value)];
            let kind = SiteKind::SetArgument(SetArgument { function: name.to_string(), position });
            let arguments = std::iter::once((**value).clone()).chain(shown.iter().cloned()).collect();
            **value = self.add(kind, Places { site, operands }, arguments);
        }
    }
}

/// Whether a value is a literal without a type.
fn is_open(value: &ast::Expr) -> bool {
    match value {
        ast::Expr::Nested(inner) => is_open(inner),
        ast::Expr::Value(value) => {
            matches!(value.value, Value::SingleQuotedString(_) | Value::EscapedStringLiteral(_) | Value::Null)
        }
        _ => false,
    }
}

impl Lowering<'_> {
    /// The literal as a value of the type that the function takes.
    pub(super) fn set_argument(&self, literal: &SetArgument, arguments: Vec<Argument>) -> Result<Expr, QueryError> {
        let operands: Vec<Operand> = arguments.iter().map(Argument::operand).collect();
        let to = literal.literal_type(&operands)?;
        let Some(value) = arguments.into_iter().next() else {
            return Err(QueryError::unsupported("a literal without a place"));
        };
        match to {
            Some(to) => self.typed(value, &to),
            None => Ok(value.into_expression()),
        }
    }
}
