//! The values of columns that a row comes without, as arrays: constants, or expressions that are computed once for each row.

use crate::assignment::default_value;
use crate::bound_expressions::physical;
use crate::constant_defaults::{constant_default, constant_default_value};
use crate::engine_error::translate;
use crate::error::QueryError;
use crate::functions::SequenceNumbers;
use crate::insert::constant_value;
use crate::operators::casts::out_of_range;
use crate::planner::Planning;
use crate::row_rules::Violation;
use crate::sql_types::sql_type_of;
use crate::types::{OutputStyle, Zone, value_text};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::Schema;
use catalog::definition::{Column, TableDefinition};
use catalog::ids::ObjectId;
use catalog::sequence::numbering_sequence;
use catalog::sql_type::SqlType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::sql::sqlparser::ast;
use std::sync::Arc;

/// Gives the constants of a default that are read in a time zone the offset that they have in the definer's: a default means the same
/// whoever inserts. A text that is no such constant stays as it is, and is told when the default is planned.
pub(crate) fn settle_zone(default: &mut ast::Expr, sql_type: &SqlType, planning: &Planning) {
    match default {
        ast::Expr::Nested(inner) => settle_zone(inner, sql_type, planning),
        ast::Expr::Cast { expr, data_type, .. } => {
            if let Ok(sql_type) = sql_type_of(data_type) {
                settle_zone(expr, &sql_type, planning);
            }
        }
        ast::Expr::TypedString(typed) => {
            if let Ok(sql_type) = sql_type_of(&typed.data_type) {
                settle_constant(&mut typed.value.value, &sql_type, planning);
            }
        }
        ast::Expr::Value(value) => settle_constant(&mut value.value, sql_type, planning),
        _ => {}
    }
}

fn settle_constant(constant: &mut ast::Value, sql_type: &SqlType, planning: &Planning) {
    let item = if let SqlType::Array(item) = sql_type { item.as_ref() } else { sql_type };
    let (SqlType::TimestampTz | SqlType::TimeTz, ast::Value::SingleQuotedString(text)) = (item, &mut *constant) else {
        return;
    };
    let time_zone = Zone::by_name(planning.state.time_zone()).unwrap_or(Zone::UTC);
    let style = OutputStyle { time_zone, ..OutputStyle::default() };
    let value = constant_value(text, sql_type, &style).and_then(|value| {
        let array = value.to_array().map_err(|error| translate(error, None))?;
        Ok(value_text(&array, 0, sql_type, &style))
    });
    if let Ok(Some(settled)) = value {
        *text = settled;
    }
}

/// A column's default, for one statement.
#[derive(Debug)]
pub(crate) enum DefaultValue {
    Constant(ScalarValue),
    Computed(Arc<dyn PhysicalExpr>),
}

/// Whether a column's default is an expression that has to be planned.
pub(crate) fn is_computed(column: &Column) -> bool {
    constant_default(column).is_none()
}

/// The sequence whose next number a column gets where a statement gives nothing.
pub(crate) fn numbering_of(column: &Column) -> Option<ObjectId> {
    let is_integer = matches!(column.sql_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8);
    column.missing_value().filter(|_| is_integer).and_then(|text| numbering_sequence(&text))
}

impl DefaultValue {
    /// Of a column whose default is no number of a sequence; see [`Numbering`].
    pub(crate) fn of(planning: &Planning, column: &Column, style: &OutputStyle) -> Result<Self, QueryError> {
        if let Some(value) = constant_default_value(column, style)? {
            return Ok(Self::Constant(value));
        }
        let value = default_value(planning, column)?;
        physical(planning, value, &Arc::new(DFSchema::empty())).map(Self::Computed)
    }

    /// The values for so many rows, in the column's type.
    pub(crate) fn array(&self, rows: usize) -> Result<ArrayRef, QueryError> {
        let array = match self {
            Self::Constant(value) => value.to_array_of_size(rows),
            Self::Computed(expression) => {
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let no_columns = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options);
                let value = no_columns.map_err(Into::into).and_then(|batch| expression.evaluate(&batch));
                value.and_then(|value| value.into_array(rows))
            }
        };
        array.map_err(|error| translate(error, None))
    }
}

/// The columns that get the next numbers of sequences, as those of most tables with serial or identity columns do. Rows take them one after
/// the other: of two columns with one sequence the numbers of a row follow each other.
#[derive(Clone, Debug)]
pub(crate) struct Numbering {
    columns: Vec<NumberedColumn>,
    sequences: Arc<dyn SequenceNumbers>,
    /// Whether the values of a row are there before its numbers; elsewhere a row is computed column by column.
    by_rows: bool,
}

#[derive(Clone, Debug)]
struct NumberedColumn {
    position: usize,
    sequence: ObjectId,
    sql_type: SqlType,
}

/// The numbers of a batch.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// By the column's position.
    pub(crate) columns: Vec<(usize, ArrayRef)>,
    taken: Vec<TakenNumbers>,
    sequences: Arc<dyn SequenceNumbers>,
    by_rows: bool,
}

/// What was taken of a sequence, in order, and the row and the position of the column that each number is for.
#[derive(Debug)]
struct TakenNumbers {
    sequence: ObjectId,
    numbers: Vec<i64>,
    places: Vec<(usize, usize)>,
}

impl Numbering {
    /// Of those columns at some positions that have a sequence.
    pub(crate) fn of(
        planning: &Planning,
        definition: &TableDefinition,
        positions: impl IntoIterator<Item = usize>,
    ) -> Self {
        let columns = positions.into_iter().filter_map(|position| {
            let column = &definition.columns[position];
            let sequence = numbering_of(column)?;
            Some(NumberedColumn { position, sequence, sql_type: column.sql_type.clone() })
        });
        Self { columns: columns.collect(), sequences: Arc::clone(&planning.facts.sequences), by_rows: false }
    }

    /// Of rows whose values are there before their numbers: those of a list of several rows, and those of COPY.
    pub(crate) fn by_rows(self) -> Self {
        Self { by_rows: true, ..self }
    }

    /// Takes the numbers that a row is given before the domain of a column refuses its value.
    pub(crate) fn take_before(&self, refused: &Violation) -> Result<(), QueryError> {
        match refused.domain {
            Some(domain) if !self.by_rows => self.take(1, |position, _| position < domain).map(drop),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Whether it gives the column at a position its values.
    pub(crate) fn numbers(&self, position: usize) -> bool {
        self.columns.iter().any(|column| column.position == position)
    }

    /// Numbers for those of so many rows that want one, said by position of the column and row; others have 0. May wait for a commit.
    pub(crate) fn take(&self, rows: usize, wants: impl Fn(usize, usize) -> bool) -> Result<Numbers, QueryError> {
        let mut values = vec![vec![0_i64; rows]; self.columns.len()];
        let wants = &wants;
        let mut taken: Vec<TakenNumbers> = Vec::new();
        for column in &self.columns {
            let sequence = column.sequence;
            if taken.iter().any(|known| known.sequence == sequence) {
                continue;
            }
            let same = || self.columns.iter().enumerate().filter(move |(_, column)| column.sequence == sequence);
            let places = (0..rows).flat_map(|row| {
                same().filter(move |(_, column)| wants(column.position, row)).map(move |(index, _)| (row, index))
            });
            let places: Vec<(usize, usize)> = places.collect();
            if places.is_empty() {
                continue;
            }
            let position_of = |(row, index): (usize, usize)| (row, self.columns[index].position);
            let numbers = self.sequences.next(sequence, places.len())?;
            for ((row, index), number) in places.iter().zip(&numbers) {
                values[*index][*row] = *number;
            }
            taken.push(TakenNumbers { sequence, numbers, places: places.into_iter().map(position_of).collect() });
        }
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let columns = self.columns.iter().zip(values).map(|(column, values)| {
            let numbers = cast_with_options(&Int64Array::from(values), &column.sql_type.data_type(), &options);
            Ok((column.position, numbers.map_err(|_| out_of_range(&column.sql_type))?))
        });
        Ok(Numbers {
            columns: columns.collect::<Result<_, QueryError>>()?,
            taken,
            sequences: Arc::clone(&self.sequences),
            by_rows: self.by_rows,
        })
    }
}

impl Numbers {
    /// Gives back the numbers that come behind the value or row which ended its statement, as if they had never been taken.
    pub(crate) fn give_back_behind(&self, violation: &Violation) {
        let is_used = |row: usize, position: usize| match violation.domain {
            _ if row != violation.row => row < violation.row,
            None => true,
            Some(domain) => !self.by_rows && position < domain,
        };
        for taken in &self.taken {
            let used = taken.places.partition_point(|(row, position)| is_used(*row, *position));
            self.sequences.give_back(taken.sequence, &taken.numbers, used);
        }
    }
}
