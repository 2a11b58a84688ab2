//! Subscripts of jsonb: `doc['a'][0]` is the value at the path `{a,0}`. Those of arrays become integers.

use super::paths::extract_path;
use crate::error::{ErrorKind, QueryError};
use crate::operators::casts::{CastContext, cast_call};
use crate::scan::external;
use crate::types::Zone;
use arrow::datatypes::DataType;
use catalog::sql_type::SqlType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, cast, lit};

/// Takes the subscripts of jsonb before others take them for those of arrays.
#[derive(Debug)]
pub(crate) struct JsonbSubscripts;

impl ExprPlanner for JsonbSubscripts {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let data_type = access.expr.get_type(schema)?;
        if matches!(data_type, DataType::List(_)) {
            let field_access = of_array(access.field_access, schema)?;
            return Ok(PlannerResult::Original(RawFieldAccessExpr { field_access, expr: access.expr }));
        }
        if data_type != SqlType::Jsonb.data_type() {
            return Ok(PlannerResult::Original(access));
        }
        let step = match access.field_access {
            GetFieldAccess::NamedStructField { name } => Expr::Literal(name, None),
            GetFieldAccess::ListIndex { key } => step(*key, schema)?,
            GetFieldAccess::ListRange { .. } => {
                let message = "jsonb subscript does not support slices";
                return Err(external(QueryError::new(ErrorKind::DatatypeMismatch, message)));
            }
        };
        Ok(PlannerResult::Planned(extract_path(access.expr, step)))
    }
}

/// A subscript of an array is an integer, or becomes one as it is assigned.
fn of_array(access: GetFieldAccess, schema: &DFSchema) -> Result<GetFieldAccess> {
    let key = match access {
        GetFieldAccess::NamedStructField { name: ScalarValue::Utf8(Some(text)) } => {
            let place = text.trim().parse::<i32>().map_err(|_| {
                let message = format!("invalid input syntax for type integer: \"{text}\"");
                external(QueryError::new(ErrorKind::InvalidTextRepresentation, message))
            })?;
            return Ok(GetFieldAccess::ListIndex { key: Box::new(lit(place)) });
        }
        GetFieldAccess::ListIndex { key } => key,
        other => return Ok(other),
    };
    let (_, field) = key.to_field(schema)?;
    let key = match SqlType::from_field(&field) {
        Some(known @ (SqlType::Numeric { .. } | SqlType::Float4 | SqlType::Float8)) => {
            let context = CastContext { zone: Zone::UTC, now_micros: 0 };
            Box::new(cast_call(*key, known, SqlType::Int4, &context))
        }
        Some(SqlType::Int2 | SqlType::Int4 | SqlType::Int8) | None => key,
        Some(_) if field.data_type().is_null() || matches!(*key, Expr::Placeholder(_)) => key,
        Some(_) => {
            let message = "array subscript must have type integer";
            return Err(external(QueryError::new(ErrorKind::DatatypeMismatch, message)));
        }
    };
    Ok(GetFieldAccess::ListIndex { key })
}

/// A subscript as a step of a path, which is text: a key, or the place of an item.
fn step(key: Expr, schema: &DFSchema) -> Result<Expr> {
    let (_, field) = key.to_field(schema)?;
    match SqlType::from_field(&field) {
        _ if field.data_type().is_null() => Ok(Expr::Literal(ScalarValue::Utf8View(None), None)),
        Some(SqlType::Int2 | SqlType::Int4) => Ok(cast(key, DataType::Utf8View)),
        Some(SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. } | SqlType::Name) => Ok(key),
        other => {
            let known = other.map_or_else(|| "unknown".to_string(), |known| known.base_name());
            let message = format!("subscript type {known} is not supported");
            Err(external(
                QueryError::new(ErrorKind::DatatypeMismatch, message)
                    .hint("jsonb subscript must be coercible to either integer or text."),
            ))
        }
    }
}
