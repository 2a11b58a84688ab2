//! Parameters that are arrays of what DataFusion cannot show (see `user_types::is_tagged_array`): they come into a plan as arrays of
//! text, and a cast makes of them what they are.
//!
//!     $1 of type mood[], bound to {sad,ok}        cast($1 of type text[] to mood[])

use super::casts::{CastContext, cast_array, cast_call};
use crate::error::QueryError;
use crate::functions::overload::dimensions;
use crate::user_types::is_tagged_array;
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Placeholder;
use std::sync::Arc;

/// The array of texts beside an array of another type.
fn texts_of(sql_type: &SqlType) -> SqlType {
    (0..dimensions(sql_type)).fold(SqlType::Text, |inner, _| SqlType::Array(Box::new(inner)))
}

/// A parameter of a type.
pub(super) fn parameter(id: String, to: &SqlType, context: &CastContext) -> Expr {
    let placeholder = |sql_type: &SqlType| {
        Expr::Placeholder(Placeholder::new_with_field(id, Some(Arc::new(sql_type.field("", true)))))
    };
    match is_tagged_array(to) {
        true => {
            let texts = texts_of(to);
            cast_call(placeholder(&texts), texts, to.clone(), context)
        }
        false => placeholder(to),
    }
}

/// A parameter of a query as plans have it.
pub(super) fn lowered(placeholder: Placeholder, context: &CastContext) -> Transformed<Expr> {
    let known = placeholder.field.as_ref().and_then(|field| SqlType::from_field(field));
    match known.filter(is_tagged_array) {
        Some(known) => Transformed::yes(parameter(placeholder.id, &known, context)),
        None => Transformed::no(Expr::Placeholder(placeholder)),
    }
}

/// A parameter's value as plans have it.
pub(crate) fn bound(value: ScalarValue, sql_type: &SqlType, context: &CastContext) -> Result<ScalarValue, QueryError> {
    if !is_tagged_array(sql_type) {
        return Ok(value);
    }
    let failed = |error: datafusion::error::DataFusionError| QueryError::unsupported(error.to_string());
    let array = value.to_array().map_err(failed)?;
    let texts = cast_array(&array, sql_type, &texts_of(sql_type), context)?;
    ScalarValue::try_from_array(&texts, 0).map_err(failed)
}
