//! Subscripts of jsonb: `doc['a'][0]` is the value at the path `{a,0}`.

use super::paths::extract_path;
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use arrow::datatypes::DataType;
use catalog::sql_type::SqlType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, cast};

/// Takes the subscripts of jsonb before others take them for those of arrays.
#[derive(Debug)]
pub(crate) struct JsonbSubscripts;

impl ExprPlanner for JsonbSubscripts {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        if access.expr.get_type(schema)? != SqlType::Jsonb.data_type() {
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
