//! The values of columns that a row comes without, as arrays: constants, or expressions that are computed once for each row.

use crate::assignment::default_value;
use crate::bound_expressions::physical;
use crate::engine_error::translate;
use crate::error::QueryError;
use crate::functions::SequenceNumbers;
use crate::insert::{constant_default, constant_default_value};
use crate::operators::casts::out_of_range;
use crate::planner::Planning;
use crate::types::OutputStyle;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::Schema;
use catalog::definition::Column;
use catalog::ids::ObjectId;
use catalog::sequence::numbering_sequence;
use catalog::sql_type::SqlType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::physical_plan::PhysicalExpr;
use std::sync::Arc;

/// A column's default, for one statement.
#[derive(Debug)]
pub(crate) enum DefaultValue {
    Constant(ScalarValue),
    /// The next numbers of a sequence, which most rows of a table with serial or identity columns ask for.
    Numbers {
        sequence: ObjectId,
        sql_type: SqlType,
        sequences: Arc<dyn SequenceNumbers>,
    },
    Computed(Arc<dyn PhysicalExpr>),
}

/// Whether a column's default is an expression that has to be planned.
pub(crate) fn is_computed(column: &Column) -> bool {
    column.missing_value().is_some_and(|text| constant_default(&text).is_none())
}

impl DefaultValue {
    pub(crate) fn of(planning: &Planning, column: &Column, style: &OutputStyle) -> Result<Self, QueryError> {
        if !is_computed(column) {
            let value = constant_default_value(column.missing_value().as_deref(), &column.sql_type, style)?;
            return Ok(Self::Constant(value));
        }
        let sequence = column.missing_value().and_then(|text| numbering_sequence(&text));
        if let (Some(sequence), SqlType::Int2 | SqlType::Int4 | SqlType::Int8) = (sequence, &column.sql_type) {
            let (sql_type, sequences) = (column.sql_type.clone(), Arc::clone(&planning.facts.sequences));
            return Ok(Self::Numbers { sequence, sql_type, sequences });
        }
        let value = default_value(planning, column)?;
        physical(planning, value, &Arc::new(DFSchema::empty())).map(Self::Computed)
    }

    /// The values for so many rows, in the column's type.
    pub(crate) fn array(&self, rows: usize) -> Result<ArrayRef, QueryError> {
        let array = match self {
            Self::Constant(value) => value.to_array_of_size(rows),
            Self::Numbers { sequence, sql_type, sequences } => {
                let numbers = Int64Array::from(sequences.next(*sequence, rows)?);
                let options = CastOptions { safe: false, ..CastOptions::default() };
                return cast_with_options(&numbers, &sql_type.data_type(), &options)
                    .map_err(|_| out_of_range(sql_type));
            }
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
