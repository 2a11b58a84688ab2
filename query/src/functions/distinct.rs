//! Aggregates over the distinct values of their arguments.
//!
//! The values are kept as the bytes of a row, equal ones once, and go to the aggregate itself at the end. Doubles that
//! PostgreSQL holds for equal are: zeros of either sign, and every NaN.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, FieldRef, Float32Type, Float64Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::StateFieldsArgs;
use datafusion::logical_expr::utils::format_state_name;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// Makes the aggregate that sees each value once.
pub(super) type MakeAccumulator = Box<dyn Fn() -> Result<Box<dyn Accumulator>> + Send + Sync>;

/// The state: a list for each argument, all of one length.
pub(super) fn state_fields(args: &StateFieldsArgs) -> Vec<FieldRef> {
    let fields = args.input_fields.iter().enumerate().map(|(position, field)| {
        let item = Field::new_list_field(field.data_type().clone(), true);
        let name = format_state_name(args.name, &format!("distinct {position}"));
        Arc::new(Field::new(name, DataType::List(Arc::new(item)), true))
    });
    fields.collect()
}

/// The distinct values of one group.
pub(super) struct DistinctAccumulator {
    inner: MakeAccumulator,
    converter: RowConverter,
    rows: HashSet<OwnedRow>,
    rows_bytes: usize,
}

impl DistinctAccumulator {
    pub(super) fn new(types: &[DataType], inner: MakeAccumulator) -> Result<Self> {
        let fields = types.iter().cloned().map(SortField::new);
        let converter = RowConverter::new(fields.collect())?;
        Ok(Self { inner, converter, rows: HashSet::new(), rows_bytes: 0 })
    }

    /// The columns of the distinct rows.
    fn columns(&self) -> Result<Vec<ArrayRef>> {
        Ok(self.converter.convert_rows(self.rows.iter().map(OwnedRow::row))?)
    }
}

impl fmt::Debug for DistinctAccumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DistinctAccumulator").field("rows", &self.rows.len()).finish()
    }
}

/// Floating-point values of which equal ones have equal bits.
pub(super) fn canonical(values: &ArrayRef) -> ArrayRef {
    fn with<T: ArrowPrimitiveType>(values: &ArrayRef, change: impl Fn(T::Native) -> T::Native) -> ArrayRef {
        let changed: PrimitiveArray<T> = values.as_primitive::<T>().unary(change);
        Arc::new(changed)
    }
    match values.data_type() {
        DataType::Float64 => with::<Float64Type>(values, |value| if value.is_nan() { f64::NAN } else { value + 0.0 }),
        DataType::Float32 => with::<Float32Type>(values, |value| if value.is_nan() { f32::NAN } else { value + 0.0 }),
        _ => Arc::clone(values),
    }
}

impl Accumulator for DistinctAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns: Vec<ArrayRef> = values.iter().map(canonical).collect();
        let rows = self.converter.convert_columns(&columns)?;
        for (index, row) in rows.iter().enumerate() {
            // Aggregates of this crate leave out rows with a NULL.
            if columns.iter().all(|column| column.is_valid(index)) && self.rows.insert(row.owned()) {
                self.rows_bytes += row.data().len();
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for row in 0..states[0].len() {
            if states[0].is_valid(row) {
                let columns: Vec<ArrayRef> = states.iter().map(|list| list.as_list::<i32>().value(row)).collect();
                self.update_batch(&columns)?;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let columns = self.columns()?.into_iter();
        Ok(columns.map(|column| SingleRowListArrayBuilder::new(column).build_list_scalar()).collect())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut inner = (self.inner)()?;
        inner.update_batch(&self.columns()?)?;
        inner.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.capacity() * size_of::<OwnedRow>() + self.rows_bytes
    }
}
