//! Parameters that are arrays whose items say in their metadata what they are (see `user_types::is_tagged_array`; oid is a number
//! otherwise): they come into a plan as plain arrays, and a cast makes of them what they are. OIDs stay the numbers that they are.
//!
//!     $1 of type mood[], bound to {sad,ok}        cast($1 of type text[] to mood[])
//!     $1 of type oid[], bound to {23,25}          $1 of type bigint[]

use super::casts::{CastContext, cast_array, cast_call};
use crate::error::QueryError;
use crate::functions::overload::{dimensions, innermost};
use crate::user_types::is_tagged_array;
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Placeholder;
use std::sync::Arc;

/// The plain array beside one whose items are named.
fn plain_beside(sql_type: &SqlType) -> Option<SqlType> {
    let item = match innermost(sql_type) {
        SqlType::Oid if dimensions(sql_type) > 0 => SqlType::Int8,
        _ if is_tagged_array(sql_type) => SqlType::Text,
        _ => return None,
    };
    Some((0..dimensions(sql_type)).fold(item, |inner, _| SqlType::Array(Box::new(inner))))
}

/// A parameter of a type.
pub(super) fn parameter(id: String, to: &SqlType, context: &CastContext) -> Expr {
    let placeholder = |sql_type: &SqlType| {
        Expr::Placeholder(Placeholder::new_with_field(id, Some(Arc::new(sql_type.field("", true)))))
    };
    match plain_beside(to) {
        Some(plain) if is_tagged_array(to) => cast_call(placeholder(&plain), plain, to.clone(), context),
        Some(plain) => placeholder(&plain),
        None => placeholder(to),
    }
}

/// A parameter of a query as plans have it.
pub(super) fn lowered(placeholder: Placeholder, context: &CastContext) -> Transformed<Expr> {
    let known = placeholder.field.as_ref().and_then(|field| SqlType::from_field(field));
    match known.filter(|known| plain_beside(known).is_some()) {
        Some(known) => Transformed::yes(parameter(placeholder.id, &known, context)),
        None => Transformed::no(Expr::Placeholder(placeholder)),
    }
}

/// A parameter's value as plans have it.
pub(crate) fn bound(value: ScalarValue, sql_type: &SqlType, context: &CastContext) -> Result<ScalarValue, QueryError> {
    let Some(plain) = plain_beside(sql_type) else { return Ok(value) };
    let failed = |error: datafusion::error::DataFusionError| QueryError::unsupported(error.to_string());
    let array = value.to_array().map_err(failed)?;
    let plain = cast_array(&array, sql_type, &plain, context)?;
    ScalarValue::try_from_array(&plain, 0).map_err(failed)
}
