//! Window functions that the planner knows in other words.
//!
//!     ntile(4) OVER w          ntile(4) OVER w as an integer

use super::sites::{LITERAL_INT4, marked};
use datafusion::sql::sqlparser::ast::{Expr, Function};

/// A call with OVER said otherwise; `None` where it stays as it is.
pub(super) fn spelt_out(function: &Function, name: &str) -> Option<Expr> {
    function.over.as_ref()?;
    match name {
        "ntile" => Some(marked(Expr::Function(function.clone()), LITERAL_INT4)),
        _ => None,
    }
}
