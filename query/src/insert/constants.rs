//! VALUES of constants and parameters: the cells of a list, and the columns that they become, by the types' own input functions and by
//! assignment.

use crate::assignment::is_default;
use crate::column_defaults::is_computed;
use crate::constant_defaults::constant_default_value;
use crate::engine::now_micros;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::functions::overload::innermost;
use crate::insert::value_casts::{Operand, ValueCast};
use crate::insert::value_queries::is_value_query;
use crate::operators::casts::{CastContext, cast_array, out_of_range};
use crate::parameter_types::parameter_number;
use crate::prepared::decode_parameters;
use crate::query_places::{output_place, place_of};
use crate::response::{Format, ParameterValue};
use crate::row_rules::fit_length;
use crate::statement::{Overriding, Statement};
use crate::types::{OutputStyle, decode_parameter};
use arrow::array::{ArrayRef, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use bytes::Bytes;
use catalog::definition::{Column, TableDefinition};
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, SetExpr, Spanned};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Text(String),
    Number(String),
    Null,
    Default,
    Parameter(usize),
    Cast(ValueCast),
}

/// The rows of a VALUES list of constants and parameters; `None` when some value needs a plan. `gives_default` names the columns whose
/// computed default the caller knows how to give. The user's types must be known.
pub(crate) fn constant_rows(
    insert: &ast::Insert,
    overriding: Overriding,
    definition: &TableDefinition,
    targets: &[usize],
    statement: &Statement,
    gives_default: impl Fn(&Column) -> bool,
) -> Result<Option<Vec<Vec<Cell>>>, QueryError> {
    let Some(source) = &insert.source else { return Ok(None) };
    let SetExpr::Values(values) = source.body.as_ref() else { return Ok(None) };
    let ignored = |target: &usize| overriding == Overriding::User && definition.columns[*target].identity.is_some();
    if targets.iter().any(ignored) || source.with.is_some() || is_value_query(source) {
        return Ok(None);
    }
    check_counts(insert, &values.rows, targets.len(), statement)?;
    let mut rows = Vec::with_capacity(values.rows.len());
    for row in &values.rows {
        let cells = row.iter().zip(targets).map(|(value, position)| {
            let column = &definition.columns[*position];
            let is_given =
                |cell: &Cell| !matches!(cell, Cell::Default) || !is_computed(column) || gives_default(column);
            cell_of(value, &column.sql_type).filter(is_given)
        });
        match cells.collect::<Option<Vec<_>>>() {
            Some(cells) => rows.push(cells),
            None => return Ok(None),
        }
    }
    Ok(Some(rows))
}

/// Whether every row of VALUES gives one value for each target.
fn check_counts(
    insert: &ast::Insert,
    rows: &[ast::Parens<Vec<ast::Expr>>],
    wanted: usize,
    statement: &Statement,
) -> Result<(), QueryError> {
    let given = rows.first().map_or(0, |row| row.len());
    check_count(insert, given, wanted, statement)?;
    match rows.iter().find(|row| row.len() != given) {
        None => Ok(()),
        Some(row) => {
            let place = row.first().and_then(|value| place_of(statement, value));
            Err(QueryError::new(ErrorKind::Syntax, "VALUES lists must all be the same length").position(place))
        }
    }
}

/// Points at the first expression or column too many.
pub(super) fn check_count(
    insert: &ast::Insert,
    given: usize,
    wanted: usize,
    statement: &Statement,
) -> Result<(), QueryError> {
    if given > wanted {
        let place = insert.source.as_ref().and_then(|source| output_place(statement, &source.body, wanted));
        let message = "INSERT has more expressions than target columns";
        return Err(QueryError::new(ErrorKind::Syntax, message).position(place));
    }
    if given < wanted && !insert.columns.is_empty() {
        let place = insert.columns.get(given).and_then(|column| statement.place_of(column.span()));
        let message = "INSERT has more target columns than expressions";
        return Err(QueryError::new(ErrorKind::Syntax, message).position(place));
    }
    Ok(())
}

/// A value that the type's input function reads; `None` for one that needs a plan.
fn cell_of(value: &ast::Expr, sql_type: &SqlType) -> Option<Cell> {
    match value {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Null => Some(Cell::Null),
            ast::Value::Placeholder(name) => parameter_number(name).map(Cell::Parameter),
            ast::Value::Number(text, _) if reads_numbers(sql_type, text) => Some(Cell::Number(text.clone())),
            ast::Value::SingleQuotedString(text) | ast::Value::EscapedStringLiteral(text) => {
                Some(Cell::Text(text.clone()))
            }
            ast::Value::Boolean(value) if *sql_type == SqlType::Bool => Some(Cell::Text(value.to_string())),
            _ => None,
        },
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => match cell_of(expr, sql_type)? {
            Cell::Number(text) if matches!(expr.as_ref(), ast::Expr::Value(_)) => {
                Some(Cell::Number(format!("-{text}")))
            }
            _ => None,
        },
        other if is_default(other) => Some(Cell::Default),
        other => ValueCast::of(other, sql_type).map(Cell::Cast),
    }
}

/// Whether a number's text means for the type what the number would mean when assigned to it.
pub(crate) fn reads_numbers(sql_type: &SqlType, text: &str) -> bool {
    match sql_type {
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => text.bytes().all(|byte| byte.is_ascii_digit()),
        SqlType::Numeric { .. } | SqlType::Float4 | SqlType::Float8 => true,
        _ => false,
    }
}

/// The rows of a VALUES list on their way into columns.
pub(super) struct Constants<'a> {
    pub definition: &'a TableDefinition,
    /// For each value of a row the position of its column.
    pub targets: &'a [usize],
    pub rows: &'a [Vec<Cell>],
    pub cells: CellReader<'a>,
}

/// What the cells of a VALUES list are read with.
pub(crate) struct CellReader<'a> {
    pub types: &'a [SqlType],
    pub parameters: &'a [ParameterValue],
    pub style: &'a OutputStyle,
}

impl Constants<'_> {
    /// The columns that values are given for, by position, as they are assigned. An error in a string points at it; of several the first in
    /// the text is told.
    pub(super) fn arrays(
        &self,
        insert: &ast::Insert,
        statement: &Statement,
    ) -> Result<BTreeMap<usize, ArrayRef>, QueryError> {
        let CellReader { types, parameters, style } = self.cells;
        if types.len() != parameters.len() {
            decode_parameters(types, parameters, style, "")?;
        }
        self.columns().map_err(|error| {
            let error = self.first_error(insert, statement).unwrap_or(error);
            // All parameters are read before one is cast or assigned.
            let unread = decode_parameters(types, parameters, style, "").err().filter(|_| error.position.is_none());
            unread.unwrap_or(error)
        })
    }

    fn columns(&self) -> Result<BTreeMap<usize, ArrayRef>, QueryError> {
        let columns = self.targets.iter().enumerate().map(|(index, position)| {
            let column = &self.definition.columns[*position];
            let scalars = self.rows.iter().map(|row| self.cells.value(&row[index], column));
            let scalars = scalars.collect::<Result<Vec<_>, _>>()?;
            let mut values = ScalarValue::iter_to_array(scalars).map_err(|error| translate(error, None))?;
            fit_length(column, &mut values).map_err(|violation| violation.error)?;
            Ok((*position, values))
        });
        columns.collect()
    }

    fn first_error(&self, insert: &ast::Insert, statement: &Statement) -> Option<QueryError> {
        let source = match insert.source.as_ref()?.body.as_ref() {
            SetExpr::Values(values) => &values.rows,
            _ => return None,
        };
        for (cells, values) in self.rows.iter().zip(source) {
            for ((cell, value), position) in cells.iter().zip(values.iter()).zip(self.targets) {
                let column = &self.definition.columns[*position];
                let Err(error) = self.cells.value(cell, column) else { continue };
                // The digits and letters that a column allows are counted after its text was read.
                let digits = matches!(column.sql_type, SqlType::Numeric { .. });
                let counted =
                    error.kind == ErrorKind::StringTooLong || (digits && error.kind == ErrorKind::NumericOutOfRange);
                let is_read = match cell {
                    Cell::Text(_) => !counted,
                    Cell::Cast(cast @ ValueCast { operand: Operand::Text(text), .. }) => {
                        cast.read(text, self.cells.style).is_err()
                    }
                    _ => false,
                };
                return Some(if is_read { error.position(place_of(statement, value)) } else { error });
            }
        }
        None
    }
}

impl CellReader<'_> {
    /// A value in the column's own Arrow type.
    pub(crate) fn value(&self, cell: &Cell, column: &Column) -> Result<ScalarValue, QueryError> {
        let sql_type = &column.sql_type;
        match cell {
            Cell::Text(text) => constant_value(text, sql_type, self.style),
            Cell::Number(text) => constant_value(numeral(text), sql_type, self.style).map_err(|error| match sql_type {
                // A number has a type of its own, so that it is cast and not read.
                SqlType::Int2 | SqlType::Int4 | SqlType::Int8 if error.kind == ErrorKind::NumericOutOfRange => {
                    out_of_range(sql_type)
                }
                _ => error,
            }),
            Cell::Null => ScalarValue::try_from(&sql_type.data_type()).map_err(|error| translate(error, None)),
            Cell::Parameter(number) => {
                let (value, known) = self.bound(*number)?;
                // A numeric is rounded to the column's digits either way, and may have more than a value of its own can.
                let is_read = known.oid() == sql_type.oid() && matches!(innermost(sql_type), SqlType::Numeric { .. });
                let known = if is_read { sql_type } else { known };
                let scalar = decode_parameter(value, known, self.style)?;
                assigned_scalar(converted(scalar, known, sql_type, self.style)?, sql_type, self.style)
            }
            Cell::Cast(cast) => {
                let (scalar, known) = match &cast.operand {
                    Operand::Parameter(number) => self.parameter(*number)?,
                    Operand::Text(text) => (cast.read(text, self.style)?, &cast.bare),
                };
                let (scalar, known) = cast.cast(scalar, known, &cast_context(self.style))?;
                assigned_scalar(converted(scalar, &known, sql_type, self.style)?, sql_type, self.style)
            }
            Cell::Default => constant_default_value(column, self.style)?
                .ok_or_else(|| QueryError::new(ErrorKind::Internal, "a default of VALUES is no constant")),
        }
    }

    /// A parameter's value, and its type.
    fn parameter(&self, number: usize) -> Result<(ScalarValue, &SqlType), QueryError> {
        let (value, sql_type) = self.bound(number)?;
        Ok((decode_parameter(value, sql_type, self.style)?, sql_type))
    }

    /// A parameter's value as it was sent, and its type.
    fn bound(&self, number: usize) -> Result<(&ParameterValue, &SqlType), QueryError> {
        let known = self.parameters.get(number - 1).zip(self.types.get(number - 1));
        known.ok_or_else(|| QueryError::new(ErrorKind::UndefinedParameter, format!("there is no parameter ${number}")))
    }
}

pub(super) fn cast_context(style: &OutputStyle) -> CastContext {
    CastContext { zone: style.time_zone, now_micros: now_micros() }
}

/// A number's text as a type reads it. A minus is an operator, and the zero that it turns around is a numeric or an integer, which has no
/// sign: only the text '-0' is a double's negative zero.
pub(crate) fn numeral(text: &str) -> &str {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
    if mantissa.bytes().all(|byte| matches!(byte, b'0' | b'.')) { unsigned } else { text }
}

/// What a text means in a type, in the type's own Arrow type.
pub(crate) fn constant_value(text: &str, sql_type: &SqlType, style: &OutputStyle) -> Result<ScalarValue, QueryError> {
    let value = ParameterValue { format: Format::Text, bytes: Some(Bytes::copy_from_slice(text.as_bytes())) };
    let scalar = decode_parameter(&value, sql_type, style)?;
    assigned_scalar(scalar, sql_type, style)
}

/// A parameter of another type than its column's, by the cast that assignment makes: doubles are rounded to integers, and what has a
/// time zone loses it in the session's. Texts are read by [`assigned_scalar`]; of how many letters a text may have, the column is asked
/// later.
fn converted(
    scalar: ScalarValue,
    from: &SqlType,
    to: &SqlType,
    style: &OutputStyle,
) -> Result<ScalarValue, QueryError> {
    let is_text = |known: &SqlType| {
        matches!(known, SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. } | SqlType::Name)
    };
    let is_same = from == to || (from.oid() == to.oid() && !matches!(innermost(to), SqlType::Numeric { .. }));
    if is_same || is_text(from) {
        return Ok(scalar);
    }
    let target = if is_text(to) { SqlType::Text } else { to.clone() };
    let array = scalar.to_array().map_err(|error| translate(error, None))?;
    let cast = cast_array(&array, from, &target, &cast_context(style))?;
    ScalarValue::try_from_array(&cast, 0).map_err(|error| translate(error, None))
}

/// The value in the column's own Arrow type, by assignment.
fn assigned_scalar(scalar: ScalarValue, sql_type: &SqlType, style: &OutputStyle) -> Result<ScalarValue, QueryError> {
    let wanted = sql_type.data_type();
    let scalar = match scalar {
        ScalarValue::Utf8(text) if wanted == DataType::Utf8View => return Ok(ScalarValue::Utf8View(text)),
        scalar if scalar.data_type() == wanted => return Ok(scalar),
        scalar => scalar,
    };
    if let (Some(Some(text)), false) =
        (scalar.try_as_str(), matches!(sql_type, SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. }))
    {
        return constant_value(text, sql_type, style);
    }
    match &scalar {
        // As a scalar of its own an array would forget what its items say they are.
        ScalarValue::List(array) => {
            let strict = CastOptions { safe: false, ..CastOptions::default() };
            let cast =
                cast_with_options(array.as_ref(), &wanted, &strict).map_err(|error| translate(error.into(), None))?;
            Ok(ScalarValue::List(Arc::new(cast.as_list::<i32>().clone())))
        }
        scalar => scalar.cast_to(&wanted).map_err(|error| translate(error, None)),
    }
}
