//! lag, lead, nth_value and ntile where an argument is NULL, out of range or another in each row.
//!
//! DataFusion's take constants and stream. Constants that they take go to them; all else is computed here, over the
//! rows of a partition at once:
//!
//!     lag(x, n, d)     x of n rows before; d where there is no such row, NULL where n is
//!     ntile(n)         n is the first row's
//!     nth_value(x, n)  x of the row n of the frame; NULL where n is, or where there is no such row

use super::overload::{common_element, differ};
use crate::error::{ErrorKind, QueryError};
use crate::operators::casts::expression_field;
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray, UInt64Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, interleave};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue, not_impl_err};
use datafusion::functions_window::lead_lag::{lag_udwf, lead_udwf};
use datafusion::functions_window::nth_value::nth_value_udwf;
use datafusion::functions_window::ntile::ntile_udwf;
use datafusion::logical_expr::function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{LimitEffect, PartitionEvaluator, ReversedUDWF, Signature, WindowUDF, WindowUDFImpl};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::expressions::Literal;
use std::ops::Range;
use std::sync::Arc;

/// The functions under their SQL names.
pub(crate) fn functions() -> [Arc<WindowUDF>; 4] {
    [Kind::Lag, Kind::Lead, Kind::NthValue, Kind::Ntile].map(Kind::function)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Lag,
    Lead,
    NthValue,
    Ntile,
}

impl Kind {
    fn function(self) -> Arc<WindowUDF> {
        let inner = match self {
            Self::Lag => lag_udwf(),
            Self::Lead => lead_udwf(),
            Self::NthValue => nth_value_udwf(),
            Self::Ntile => ntile_udwf(),
        };
        Arc::new(WindowUDF::new_from_impl(OfPartition { kind: self, inner }))
    }

    /// Whether DataFusion's function takes these arguments.
    fn is_plain(self, arguments: &[Arc<dyn PhysicalExpr>]) -> bool {
        match self {
            Self::Lag | Self::Lead => {
                let offset = arguments.get(1).map(constant);
                offset.is_none_or(|offset| offset.is_some_and(|offset| !offset.is_null()))
                    && arguments.get(2).is_none_or(|default| constant(default).is_some())
            }
            Self::NthValue => {
                arguments.get(1).is_none_or(|place| constant(place).is_some_and(|place| !place.is_null()))
            }
            Self::Ntile => false,
        }
    }
}

fn constant(argument: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    argument.downcast_ref::<Literal>().map(Literal::value)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfPartition {
    kind: Kind,
    inner: Arc<WindowUDF>,
}

impl WindowUDFImpl for OfPartition {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        if self.kind.is_plain(args.input_exprs()) { self.inner.expressions(args) } else { args.input_exprs().to_vec() }
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        if self.kind == Kind::NthValue {
            checked_place(args.input_exprs()).map_err(external)?;
        }
        if self.kind.is_plain(args.input_exprs()) {
            return self.inner.partition_evaluator_factory(args);
        }
        if args.ignore_nulls() {
            return not_impl_err!("IGNORE NULLS with such arguments");
        }
        Ok(Box::new(Rows { kind: self.kind, backwards: args.is_reversed(), next_row: 0 }))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        if let (Kind::Lag | Kind::Lead, [value, _, default]) = (self.kind, args.input_fields())
            && let (Some(value), Some(default)) = (SqlType::from_field(value), SqlType::from_field(default))
            && differ(&value, &default)
            && let Some(common) = common_element(&value, &default)
        {
            return Ok(Arc::new(expression_field(&common).with_name(args.name())));
        }
        Ok(Arc::new(self.inner.field(args)?.as_ref().clone().with_nullable(true)))
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        match self.kind {
            Kind::Lag | Kind::Lead | Kind::NthValue => ReversedUDWF::Reversed(self.kind.function()),
            Kind::Ntile => ReversedUDWF::NotSupported,
        }
    }

    fn limit_effect(&self, args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        if self.kind.is_plain(args) { self.inner.inner().limit_effect(args) } else { LimitEffect::Unknown }
    }
}

/// A constant place of nth_value that is no place.
fn checked_place(arguments: &[Arc<dyn PhysicalExpr>]) -> std::result::Result<(), QueryError> {
    let place = arguments.get(1).and_then(constant).and_then(|place| place.cast_to(&DataType::Int64).ok());
    match place {
        Some(ScalarValue::Int64(Some(..=0))) => Err(no_place()),
        _ => Ok(()),
    }
}

fn no_place() -> QueryError {
    QueryError::new(ErrorKind::InvalidNthValueArgument, "argument of nth_value must be greater than zero")
}

/// Computes over all rows of a partition.
#[derive(Debug)]
struct Rows {
    kind: Kind,
    /// Whether the rows come in the opposite order.
    backwards: bool,
    /// The row that nth_value is asked about next.
    next_row: usize,
}

impl PartitionEvaluator for Rows {
    fn uses_window_frame(&self) -> bool {
        self.kind == Kind::NthValue
    }

    fn evaluate(&mut self, values: &[ArrayRef], frame: &Range<usize>) -> Result<ScalarValue> {
        let place = safe_cast(&values[1].slice(self.next_row, 1), &DataType::Int64)?;
        let place = place.as_primitive::<Int64Type>();
        self.next_row += 1;
        if place.is_null(0) {
            return ScalarValue::try_from(values[0].data_type());
        }
        let Some(skip) = usize::try_from(place.value(0)).ok().and_then(|place| place.checked_sub(1)) else {
            return Err(external(no_place()));
        };
        let mut rows = frame.clone();
        match if self.backwards { rows.nth_back(skip) } else { rows.nth(skip) } {
            Some(row) => ScalarValue::try_from_array(&values[0], row),
            None => ScalarValue::try_from(values[0].data_type()),
        }
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        match self.kind {
            Kind::Lag => shifted(values, !self.backwards),
            Kind::Lead => shifted(values, self.backwards),
            Kind::NthValue => not_impl_err!("nth_value looks at frames"),
            Kind::Ntile => buckets(&values[0], rows),
        }
    }
}

fn safe_cast(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    Ok(cast_with_options(values, to, &CastOptions { safe: false, ..CastOptions::default() })?)
}

/// The values of so many rows before, or after; the default, which a row names itself, where there is none.
fn shifted(values: &[ArrayRef], before: bool) -> Result<ArrayRef> {
    let rows = values[0].len();
    // NULL without a type has that of the default.
    let value = match values.get(2) {
        Some(default) if values[0].data_type().is_null() => &new_null_array(default.data_type(), rows),
        _ => &values[0],
    };
    let offsets = values.get(1).map(|offsets| safe_cast(offsets, &DataType::Int64)).transpose()?;
    let offsets = offsets.as_ref().map(|offsets| offsets.as_primitive::<Int64Type>());
    let default = values.get(2).map(|default| safe_cast(default, value.data_type())).transpose()?;
    let nothing = new_null_array(value.data_type(), 1);
    let sources: Vec<&dyn Array> =
        std::iter::once(value.as_ref()).chain([nothing.as_ref()]).chain(default.as_ref().map(AsRef::as_ref)).collect();
    let of_row = |row: usize| {
        let offset = match offsets {
            Some(offsets) if offsets.is_null(row) => return (1, 0),
            Some(offsets) => offsets.value(row),
            None => 1,
        };
        let at = if before { (row as i64).checked_sub(offset) } else { (row as i64).checked_add(offset) };
        match at.and_then(|at| usize::try_from(at).ok()).filter(|at| *at < rows) {
            Some(at) => (0, at),
            None if default.is_some() => (2, row),
            None => (1, 0),
        }
    };
    Ok(interleave(&sources, &(0..rows).map(of_row).collect::<Vec<_>>())?)
}

/// Numbers from 1: buckets of equal size, the first ones with a row more where the rows cannot be divided.
fn buckets(counts: &ArrayRef, rows: usize) -> Result<ArrayRef> {
    let counts = safe_cast(counts, &DataType::Int64)?;
    let counts = counts.as_primitive::<Int64Type>();
    if rows == 0 || counts.is_null(0) {
        return Ok(new_null_array(&DataType::UInt64, rows));
    }
    let Some(count) = usize::try_from(counts.value(0)).ok().filter(|count| *count > 0) else {
        let message = "argument of ntile must be greater than zero";
        return Err(external(QueryError::new(ErrorKind::InvalidNtileArgument, message)));
    };
    let (size, larger) = (rows / count, rows % count);
    let in_larger = larger * (size + 1);
    let of_row = |row: usize| match row.checked_sub(in_larger) {
        None => row / (size + 1),
        Some(beyond) => larger + beyond / size,
    };
    Ok(Arc::new(UInt64Array::from_iter_values((0..rows).map(|row| of_row(row) as u64 + 1))))
}
