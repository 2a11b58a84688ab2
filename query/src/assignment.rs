//! Assignment: how a value becomes a column's, in INSERT and UPDATE.
//!
//! PostgreSQL assigns more freely than it computes: numbers of any type to each other, dates and timestamps to each other, anything to text.
//! A literal or parameter without a type is read by the column's own input function, so it gets the column's type before its
//! query is planned; everything else is cast when the query's types are known.

use crate::bound_expressions::parse;
use crate::dialect::StatementDialect;
use crate::error::{ErrorKind, QueryError};
use crate::operators::casts::{CastContext, cast_call};
use crate::operators::long_numbers::is_long;
use crate::parameter_types::parameter_number;
use crate::standard_spellings::trees::bare;
use crate::statement_grammar::fold;
use crate::user_types::{domain_name, is_tagged_array, spelling};
use arrow::datatypes::{DataType, Field};
use catalog::definition::Column;
use catalog::sql_type::SqlType;
use datafusion::logical_expr::{Expr, cast};
use datafusion::sql::sqlparser::ast::{self, SetExpr};
use datafusion::sql::sqlparser::parser::Parser;

/// Gives the untyped literals and the DEFAULTs of an INSERT's source what they mean in the columns that they go into.
pub(crate) fn type_source(body: &mut SetExpr, targets: &[&Column]) -> Result<(), QueryError> {
    match body {
        SetExpr::Values(values) => {
            let rows = values.rows.iter_mut();
            rows.flat_map(|row| row.iter_mut().zip(targets)).try_for_each(|(value, column)| type_value(value, column))
        }
        SetExpr::Select(select) => {
            let explicit = |item: &&mut ast::SelectItem| {
                !matches!(item, ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..))
            };
            for (item, column) in select.projection.iter_mut().take_while(explicit).zip(targets) {
                if let ast::SelectItem::UnnamedExpr(value) | ast::SelectItem::ExprWithAlias { expr: value, .. } = item
                    && (is_untyped(value) || long_number(value, &column.sql_type).is_some())
                {
                    type_value(value, column)?;
                }
            }
            Ok(())
        }
        SetExpr::Query(query) => type_source(&mut query.body, targets),
        _ => Ok(()),
    }
}

/// The same for one value of VALUES or SET.
pub(crate) fn type_value(value: &mut ast::Expr, column: &Column) -> Result<(), QueryError> {
    if is_default(value) {
        *value = default_of(column)?;
    }
    if let Some(text) = long_number(value, &column.sql_type) {
        *value = text;
    }
    if is_untyped(value) {
        // The length of a varchar is checked when it is assigned; a cast would cut it.
        let sql_type = match &column.sql_type {
            SqlType::Varchar { .. } | SqlType::Bpchar { .. } => SqlType::Text,
            other => other.clone(),
        };
        let inner = std::mem::replace(value, ast::Expr::value(ast::Value::Null));
        *value = cast_syntax(inner, &sql_type)?;
    }
    Ok(())
}

/// `value::type` as syntax.
pub(crate) fn cast_syntax(value: ast::Expr, sql_type: &SqlType) -> Result<ast::Expr, QueryError> {
    Ok(ast::Expr::Cast {
        kind: ast::CastKind::DoubleColon,
        expr: Box::new(value),
        data_type: parsed_type(&spelling(sql_type))?,
        array: false,
        format: None,
    })
}

/// The name of a type as syntax.
pub(crate) fn parsed_type(text: &str) -> Result<ast::DataType, QueryError> {
    let parser = Parser::new(&StatementDialect).try_with_sql(text);
    let data_type = parser.and_then(|mut parser| parser.parse_data_type());
    data_type.map_err(|error| QueryError::new(ErrorKind::Internal, error.to_string()))
}

/// Whether a value is the word DEFAULT.
pub(crate) fn is_default(value: &ast::Expr) -> bool {
    matches!(value, ast::Expr::Identifier(name) if name.quote_style.is_none() && fold(name) == "default")
}

fn is_untyped(value: &ast::Expr) -> bool {
    match value {
        ast::Expr::Nested(inner) => is_untyped(inner),
        ast::Expr::Value(value) => matches!(
            value.value,
            ast::Value::SingleQuotedString(_)
                | ast::Value::EscapedStringLiteral(_)
                | ast::Value::UnicodeStringLiteral(_)
                | ast::Value::DollarQuotedString(_)
                | ast::Value::Placeholder(_)
        ),
        _ => false,
    }
}

/// A literal number of more digits than a numeric holds as a text, which a column for such numbers reads. Errors of that have no
/// position, as those of assignments have none.
fn long_number(value: &ast::Expr, sql_type: &SqlType) -> Option<ast::Expr> {
    if !matches!(sql_type, SqlType::Float4 | SqlType::Float8 | SqlType::Numeric { .. }) {
        return None;
    }
    match value {
        ast::Expr::Nested(inner) => long_number(inner, sql_type),
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => match long_number(expr, sql_type)? {
            ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::SingleQuotedString(digits), .. }) => {
                let turned = digits.strip_prefix('-').map_or_else(|| format!("-{digits}"), str::to_string);
                Some(ast::Expr::value(ast::Value::SingleQuotedString(turned)))
            }
            _ => None,
        },
        ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::Number(digits, _), .. }) if is_long(digits) => {
            Some(ast::Expr::value(ast::Value::SingleQuotedString(digits.clone())))
        }
        _ => None,
    }
}

/// Fails for a parameter that a client declared with a type which the column is not assigned.
pub(crate) fn refuse_declared_value(
    value: &ast::Expr,
    column: &Column,
    declared: &[Option<SqlType>],
) -> Result<(), QueryError> {
    match value {
        ast::Expr::Nested(inner) => refuse_declared_value(inner, column, declared),
        ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::Placeholder(name), .. }) => {
            let known = parameter_number(name).and_then(|number| declared.get(number - 1)?.as_ref());
            match known.filter(|known| !is_assignable(known, &column.sql_type)) {
                Some(known) => Err(not_assignable(column, Some(known))),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// A column's default as syntax; NULL where there is none.
pub(crate) fn default_of(column: &Column) -> Result<ast::Expr, QueryError> {
    let Some(text) = column.missing_value() else { return Ok(ast::Expr::value(ast::Value::Null)) };
    Ok(ast::Expr::Nested(Box::new(parse(&text)?)))
}

/// A planned value, whose field is `from`, in the column's type. The length of text is not checked here but with the rows.
pub(crate) fn assigned(value: Expr, from: &Field, column: &Column, context: &CastContext) -> Result<Expr, QueryError> {
    let to = &column.sql_type;
    if *from.data_type() == DataType::Null {
        return Ok(match is_tagged_array(to) {
            // As a constant it would be printed, which the items' own type does not allow.
            true => cast_call(cast(value, SqlType::Text.data_type()), SqlType::Text, to.clone(), context),
            false => cast(value, to.data_type()),
        });
    }
    let Some(known) = SqlType::from_field(from) else { return Err(not_assignable(column, None)) };
    if !is_assignable(&known, to) {
        return Err(not_assignable(column, Some(&known)));
    }
    let value = match to {
        SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. } if is_text(&known) => value,
        SqlType::Varchar { .. } | SqlType::Bpchar { .. } => cast_call(value, known, SqlType::Text, context),
        _ if known == *to => value,
        _ => cast_call(value, known, to.clone(), context),
    };
    Ok(cast(value, to.data_type()))
}

fn is_text(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. } | SqlType::Name)
}

/// PostgreSQL's assignment casts.
pub(crate) fn is_assignable(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::{
        Date, Float4, Float8, Int2, Int4, Int8, Interval, Json, Jsonb, Numeric, Time, TimeTz, Timestamp, TimestampTz,
    };
    let number = |sql_type: &SqlType| matches!(sql_type, Int2 | Int4 | Int8 | Float4 | Float8 | Numeric { .. });
    if let (SqlType::Array(from), SqlType::Array(to)) = (from, to) {
        return is_assignable(from, to);
    }
    from.oid() == to.oid()
        || is_text(to)
        || (number(from) && number(to))
        || matches!(
            (from, to),
            (Date, Timestamp | TimestampTz)
                | (Timestamp, Date | Time | TimestampTz)
                | (TimestampTz, Date | Time | Timestamp)
                | (Time | TimestampTz, TimeTz)
                | (TimeTz, Time)
                | (Time, Interval)
                | (Interval, Time)
                | (Json | Jsonb, Json | Jsonb)
        )
}

/// The error for a value of another type than a column's.
pub(crate) fn not_assignable(column: &Column, from: Option<&SqlType>) -> QueryError {
    let shown = from.map_or_else(|| "unknown".into(), SqlType::base_name);
    let to = type_name(column);
    let message = format!("column \"{}\" is of type {to} but expression is of type {shown}", column.name);
    QueryError::new(ErrorKind::DatatypeMismatch, message)
        .column(&column.name)
        .hint("You will need to rewrite or cast the expression.")
}

/// What errors call a column's type.
fn type_name(column: &Column) -> String {
    let domain = column.domain.as_ref().and_then(|domain| domain_name(domain.id));
    domain.unwrap_or_else(|| column.sql_type.base_name())
}

/// A column's default as a planned value in the column's type; NULL where there is none.
pub(crate) fn default_value(planning: &crate::planner::Planning, column: &Column) -> Result<Expr, QueryError> {
    use datafusion::logical_expr::LogicalPlan;
    let failed = || QueryError::new(ErrorKind::Internal, "a default is not an expression");
    let mut value = default_of(column)?;
    type_value(&mut value, column)?;
    let parsed = crate::statement::parse(&format!("SELECT {value}"))?.into_iter().next().ok_or_else(failed)?;
    let crate::statement::StatementKind::Query(query) = parsed.kind else { return Err(failed()) };
    let plan = planning.query_plan(&query, &[], None)?;
    let field = plan.schema().field(0).clone();
    match plan {
        LogicalPlan::Projection(projection) if projection.expr.len() == 1 => {
            assigned(projection.expr[0].clone().unalias(), &field, column, &planning.cast_context())
                .map_err(|error| translate_default(error, column))
        }
        _ => Err(QueryError::unsupported(format!("the default of column \"{}\"", column.name))),
    }
}

/// The default of a column that gets another type, which must assign its value: a text is one of the type that it was read as.
pub(crate) fn retyped_default(
    planning: &crate::planner::Planning,
    known: &Column,
    retyped: &Column,
) -> Result<Option<String>, QueryError> {
    if known.default.is_none() || known.sql_type == retyped.sql_type {
        return Ok(known.default.clone());
    }
    let mut value = bare(&default_of(known)?).clone();
    let is_kept = !is_untyped(&value) || is_text(&known.sql_type) || matches!(known.sql_type, SqlType::Enum(_));
    type_value(&mut value, known)?;
    let typed = Column { default: Some(value.to_string()), ..retyped.clone() };
    default_value(planning, &typed).map_err(|error| match error.kind {
        ErrorKind::DatatypeMismatch => {
            let (name, to) = (&known.name, type_name(retyped));
            let message = format!("default for column \"{name}\" cannot be cast automatically to type {to}");
            QueryError::new(ErrorKind::DatatypeMismatch, message)
        }
        _ => error,
    })?;
    Ok(if is_kept { known.default.clone() } else { typed.default })
}

fn translate_default(error: QueryError, column: &Column) -> QueryError {
    error.position(None).column(&column.name)
}
