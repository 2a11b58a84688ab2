//! Sums and averages as PostgreSQL defines them.
//!
//! Sums of double precision and real are exact until they are rounded once, so they do not depend on the order of rows;
//! see `float_sum`. `sum(bigint)` is numeric and cannot wrap, `sum(smallint | integer)` is bigint; see `checked_sums`.
//!
//! `avg(x)` is planned as `meridian_average(`[`AVERAGED`]`(x), count(x))`, and that division is the one that `/` uses for
//! numerics; see `quotients`. So a view that keeps sums and counts rounds exactly as its query does. The averaged sum is lowered to
//! `sum`, of a double where x is real: the sum of reals would be rounded too early.

use super::checked_sums::{self, sum_type};
use super::distinct::{self, DistinctAccumulator};
use super::extrema::extrema;
use super::float_sums::{self, FloatAccumulator, FloatGroups, SlidingFloatAccumulator};
use super::overload::no_function;
use crate::scan::external;
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type, IntervalUnit};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};
use std::sync::{Arc, LazyLock};

/// The aggregate that is averaged: until lowering, `sum` with the type that an average needs.
pub const AVERAGED: &str = "meridian_averaged";

/// The exact aggregates, under their SQL names.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    [Arc::clone(&EXACT_SUM), Arc::clone(&AVERAGED_SUM)]
        .into_iter()
        .chain(extrema())
        .chain(super::ordered_sets::ordered_sets())
        .chain([super::string_aggregate::function(), super::percentiles::function()])
        .chain(super::sliding::functions())
        .chain(super::statistics::statistics())
        .collect()
}

/// `sum`, which [`AVERAGED`] is lowered to.
pub(crate) fn sum_function() -> Arc<AggregateUDF> {
    Arc::clone(&EXACT_SUM)
}

static EXACT_SUM: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(ExactSum::new(false).into()));
static AVERAGED_SUM: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(ExactSum::new(true).into()));

/// A sum that is exact, or an error.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactSum {
    /// Whether it is there for an average, and so errors name that.
    averaged: bool,
    signature: Signature,
}

impl ExactSum {
    fn new(averaged: bool) -> Self {
        Self { averaged, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn plain(from: &DataType, sum: &DataType) -> Result<Box<dyn Accumulator>> {
        match from {
            DataType::Float64 => Ok(Box::new(FloatAccumulator::<Float64Type>::new())),
            DataType::Float32 => Ok(Box::new(FloatAccumulator::<Float32Type>::new())),
            _ => checked_sums::accumulator(from, sum),
        }
    }
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        if self.averaged { AVERAGED } else { "sum" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let shown = if self.averaged { "avg" } else { "sum" };
        match types {
            [data_type] if summed(data_type).is_some() => Ok(summed(data_type).into_iter().collect()),
            _ => Err(external(no_function(shown, &types.iter().map(SqlType::from_data_type).collect::<Vec<_>>()))),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Float32] if !self.averaged => Ok(DataType::Float32),
            [DataType::Float32 | DataType::Float64] => Ok(DataType::Float64),
            [data_type] => match summed(data_type).as_ref().and_then(sum_type) {
                Some(sum) => Ok(sum),
                None => plan_err!("there is no sum of {data_type}"),
            },
            _ => plan_err!("a sum has one argument"),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (from, sum) = (args.expr_fields[0].data_type().clone(), args.return_field.data_type().clone());
        if !args.is_distinct {
            return Self::plain(&from, &sum);
        }
        let types = [from.clone()];
        let inner = move || Self::plain(&from, &sum);
        Ok(Box::new(DistinctAccumulator::new(&types, Box::new(inner))?))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            return Ok(distinct::state_fields(&args));
        }
        let name = format_state_name(args.name, "sum");
        if args.input_fields[0].data_type().is_floating() {
            return Ok(float_sums::state_fields(&name));
        }
        Ok(vec![checked_sums::state_field(name, args.return_field.data_type())])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match args.expr_fields[0].data_type() {
            DataType::Float64 => Ok(Box::new(FloatGroups::<Float64Type>::new())),
            DataType::Float32 => Ok(Box::new(FloatGroups::<Float32Type>::new())),
            from => checked_sums::groups(from, args.return_field.data_type()),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match args.expr_fields[0].data_type() {
            DataType::Float64 => Ok(Box::new(SlidingFloatAccumulator::<Float64Type>::new())),
            DataType::Float32 => Ok(Box::new(SlidingFloatAccumulator::<Float32Type>::new())),
            from => checked_sums::accumulator(from, args.return_field.data_type()),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The type that values are summed as; `None` for what has no sum.
fn summed(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::Null => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Duration(_) | DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Decimal256(..)
        | DataType::Time64(_) => data_type.clone(),
        _ => return None,
    })
}
