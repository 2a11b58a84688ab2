//! Arguments of EXECUTE: expressions that are assigned to the parameters of a prepared statement.
//!
//! Plain literals are read by the parameters' own input functions. Everything else is computed by a query of one row and assigned as
//! an INSERT would assign it: `1.6` is 2 to an integer, and `'abc'::varchar(1)` is `a` whatever it becomes.

use crate::assignment::{assigned, is_assignable};
use crate::bound_expressions::{Purpose, refuse_misplaced};
use crate::dispatch::run_plan;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::parameter_types::has_free_digits;
use crate::planner::Planning;
use crate::query_places::place_of;
use crate::response::{Format, ParameterValue};
use crate::returning::select;
use crate::session::Session;
use crate::statement::Statement;
use crate::types::{OutputStyle, decode_parameter, encode_column};
use arrow::array::RecordBatch;
use bytes::Bytes;
use catalog::definition::Column;
use catalog::ids::ColumnId;
use catalog::sql_type::SqlType;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, UnaryOperator, Value};
use futures::TryStreamExt;

/// The values of the arguments of a call of a prepared statement, of which there must be as many as parameters.
pub(crate) async fn values_of_call(
    session: &mut Session,
    (name, arguments): (&str, &[ast::Expr]),
    types: &[SqlType],
    statement: &Statement,
) -> Result<Vec<ParameterValue>, QueryError> {
    if types.len() != arguments.len() {
        let message = format!("wrong number of parameters for prepared statement \"{name}\"");
        let detail = format!("Expected {} parameters but got {}.", types.len(), arguments.len());
        return Err(QueryError::new(ErrorKind::Syntax, message).detail(detail));
    }
    values_of(session, arguments, types, statement).await
}

/// The values of the arguments for parameters of these types, as many.
async fn values_of(
    session: &mut Session,
    arguments: &[ast::Expr],
    types: &[SqlType],
    statement: &Statement,
) -> Result<Vec<ParameterValue>, QueryError> {
    let mut values: Vec<Option<ParameterValue>> = Vec::with_capacity(arguments.len());
    for (argument, sql_type) in arguments.iter().zip(types) {
        let value = literal(argument, sql_type);
        if let Some(value) = &value {
            let read = decode_parameter(value, sql_type, &session.output_style());
            read.map_err(|error| error.position(place_of(statement, argument)))?;
        }
        values.push(value);
    }
    let open: Vec<usize> = (0..values.len()).filter(|place| values[*place].is_none()).collect();
    if !open.is_empty() {
        let computed = compute(session, &open, arguments, types, statement).await?;
        open.into_iter().zip(computed).for_each(|(place, value)| values[place] = Some(value));
    }
    Ok(values.into_iter().flatten().collect())
}

/// A literal that the parameter's type reads by itself.
fn literal(argument: &ast::Expr, sql_type: &SqlType) -> Option<ParameterValue> {
    let text = match argument {
        ast::Expr::Nested(inner) => return literal(inner, sql_type),
        ast::Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            ast::Expr::Value(value) => Some(format!("-{}", number(&value.value, sql_type)?)),
            _ => return None,
        },
        ast::Expr::Value(value) => match &value.value {
            Value::Null => None,
            Value::Boolean(value) if *sql_type == SqlType::Bool => Some(value.to_string()),
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) | Value::UnicodeStringLiteral(text) => {
                Some(text.clone())
            }
            Value::DollarQuotedString(quoted) => Some(quoted.value.clone()),
            other => Some(number(other, sql_type)?.to_string()),
        },
        _ => return None,
    };
    Some(as_text(text))
}

/// The digits of a number that the type has without rounding.
fn number<'a>(value: &'a Value, sql_type: &SqlType) -> Option<&'a str> {
    let Value::Number(text, _) = value else { return None };
    let reads = match sql_type {
        SqlType::Int2 => text.parse::<i16>().is_ok(),
        SqlType::Int4 => text.parse::<i32>().is_ok(),
        SqlType::Int8 => text.parse::<i64>().is_ok(),
        // As PostgreSQL casts a numeric: by its digits.
        SqlType::Float4 | SqlType::Float8 => true,
        SqlType::Numeric { .. } => text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'),
        _ => false,
    };
    reads.then_some(text)
}

fn as_text(text: Option<String>) -> ParameterValue {
    ParameterValue { format: Format::Text, bytes: text.map(|text| Bytes::from(text.into_bytes())) }
}

/// Computes the arguments at some places.
async fn compute(
    session: &mut Session,
    places: &[usize],
    arguments: &[ast::Expr],
    types: &[SqlType],
    statement: &Statement,
) -> Result<Vec<ParameterValue>, QueryError> {
    let planning = session.planning()?;
    let (plan, types) = plan(&planning, (places, arguments, types), statement)?;
    let rows = run_plan(session, &planning, plan, Some(statement.clone())).await?;
    let batches: Vec<RecordBatch> = rows.try_collect().await?;
    let row = batches.iter().find(|batch| batch.num_rows() == 1);
    let row = row.ok_or_else(|| QueryError::new(ErrorKind::Internal, "the arguments of EXECUTE are not one row"))?;
    let style = OutputStyle { extra_float_digits: 1, ..session.output_style() };
    let texts = types.iter().zip(row.columns()).map(|(sql_type, column)| {
        let encoded = encode_column(column, sql_type, Format::Text, &style)?;
        Ok(ParameterValue { format: Format::Text, bytes: encoded.value(0).map(Bytes::copy_from_slice) })
    });
    texts.collect()
}

/// The plan of the arguments' row, and the types of its columns.
fn plan(
    planning: &Planning,
    (places, arguments, types): (&[usize], &[ast::Expr], &[SqlType]),
    statement: &Statement,
) -> Result<(LogicalPlan, Vec<SqlType>), QueryError> {
    let _types = planning.knows_types();
    for place in places {
        refuse_misplaced(planning, &arguments[*place], Purpose::Execution, statement)?;
    }
    let named = places.iter().map(|place| ast::SelectItem::ExprWithAlias {
        expr: arguments[*place].clone(),
        alias: ast::Ident::new(format!("__argument{place}")),
    });
    let query = select(named.collect(), Vec::new(), None, None)?;
    let plan = planning.query_plan(&query, &[], Some(statement))?;
    let (values, types) = assigned_values(planning, &plan, (places, arguments, types), statement)?;
    let plan = LogicalPlanBuilder::from(plan).project(values).and_then(LogicalPlanBuilder::build);
    Ok((plan.map_err(|error| translate(error, Some(statement)))?, types))
}

/// The planned arguments in the types of their parameters. What is exact keeps its own digits where the parameter asks for none.
fn assigned_values(
    planning: &Planning,
    plan: &LogicalPlan,
    (places, arguments, types): (&[usize], &[ast::Expr], &[SqlType]),
    statement: &Statement,
) -> Result<(Vec<Expr>, Vec<SqlType>), QueryError> {
    let context = planning.cast_context();
    let values = places.iter().enumerate().map(|(index, place)| {
        let (value, field) = (Expr::Column(plan.schema().columns()[index].clone()), plan.schema().field(index));
        let (known, wanted) = (SqlType::from_field(field), types[*place].clone());
        if let Some(known) = &known {
            if !is_assignable(known, &wanted) {
                return Err(not_coercible(*place, known, &wanted).position(place_of(statement, &arguments[*place])));
            }
            if has_free_digits(&wanted) && is_exact(known) {
                return Ok((value, known.clone()));
            }
        }
        let column = Column::new(ColumnId(0), "parameter", wanted.clone());
        Ok((assigned(value, field, &column, &context)?.alias(format!("__value{place}")), wanted))
    });
    values.collect()
}

fn is_exact(sql_type: &SqlType) -> bool {
    match sql_type {
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Numeric { .. } => true,
        SqlType::Array(element) => is_exact(element),
        _ => false,
    }
}

fn not_coercible(place: usize, from: &SqlType, to: &SqlType) -> QueryError {
    let message = format!(
        "parameter ${} of type {} cannot be coerced to the expected type {}",
        place + 1,
        from.base_name(),
        to.base_name()
    );
    QueryError::new(ErrorKind::DatatypeMismatch, message).hint("You will need to rewrite or cast the expression.")
}
