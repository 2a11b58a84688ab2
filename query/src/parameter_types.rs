//! Parameter types that a statement's text gives away: `$1::date` is a date.

use crate::sql_types::sql_type_of;
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{Expr, Value, Visit, Visitor};
use std::ops::ControlFlow;

/// The most parameters that the protocol can bind.
const PARAMETERS_MAX: usize = u16::MAX as usize;

/// The number of `$n`, if a statement can have that many.
pub(crate) fn parameter_number(name: &str) -> Option<usize> {
    let number = name.strip_prefix('$')?.parse().ok()?;
    (1..=PARAMETERS_MAX).contains(&number).then_some(number)
}

/// The declared types, completed by those of casts that stand directly around a parameter.
pub(crate) fn with_casts<T: Visit>(node: &T, declared: &[Option<SqlType>]) -> Vec<Option<SqlType>> {
    let mut finder = Finder { types: declared.to_vec() };
    let _ = node.visit(&mut finder);
    finder.types
}

struct Finder {
    types: Vec<Option<SqlType>>,
}

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr, data_type, .. } = expression
            && let Expr::Value(value) = expr.as_ref()
            && let Value::Placeholder(name) = &value.value
            && let Some(number) = parameter_number(name)
            && let Ok(sql_type) = sql_type_of(data_type)
        {
            self.types.resize(self.types.len().max(number), None);
            self.types[number - 1].get_or_insert(sql_type);
        }
        ControlFlow::Continue(())
    }
}
