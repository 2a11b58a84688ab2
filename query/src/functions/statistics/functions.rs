//! The statistics' names, arguments and results.

use super::accumulators::{Many, One};
use super::bits::{BitSums, Joined};
use super::floats::{FloatSums, PairSums, Relation, Spread};
use super::numerics::{self, NumericSums};
use super::totals::{Total, TotalSums};
use crate::functions::distinct::{self, DistinctAccumulator};
use crate::functions::overload::no_function;
use crate::operators::resolution::as_decimal;
use crate::scan::external;
use crate::types::shown_digits::{DEVIATION_SCALE, QUOTIENT_SCALE, VARIANCE_SCALE};
use arrow::datatypes::{DataType, Field, FieldRef};
use catalog::sql_type::SqlType;
use datafusion::common::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};
use std::sync::Arc;

/// Digits of the numerics that 128 bits hold, and of all.
const NARROW_DIGITS: u8 = 38;
const WIDE_DIGITS: u8 = 76;
/// Digits after the point where the values leave no room for those of a variance.
const CRAMPED_SCALE: i8 = 16;

/// The aggregates of this folder under their SQL names.
pub(in crate::functions) fn statistics() -> Vec<Arc<AggregateUDF>> {
    let spread = |name, sample, deviation| Statistic::new(name, Kind::Spread { sample, deviation });
    let relation = |name, relation| Statistic::new(name, Kind::Relation(relation));
    let all = [
        spread("var_pop", false, false),
        spread("var_samp", true, false),
        spread("variance", true, false),
        spread("stddev_pop", false, true),
        spread("stddev_samp", true, true),
        spread("stddev", true, true),
        relation("covar_pop", Relation::CovarPop),
        relation("covar_samp", Relation::CovarSamp),
        relation("corr", Relation::Corr),
        relation("regr_avgx", Relation::RegrAvgX),
        relation("regr_avgy", Relation::RegrAvgY),
        relation("regr_count", Relation::RegrCount),
        relation("regr_intercept", Relation::RegrIntercept),
        relation("regr_r2", Relation::RegrR2),
        relation("regr_slope", Relation::RegrSlope),
        relation("regr_sxx", Relation::RegrSxx),
        relation("regr_sxy", Relation::RegrSxy),
        relation("regr_syy", Relation::RegrSyy),
    ];
    all.into_iter().map(|statistic| Arc::new(statistic.into())).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Spread { sample: bool, deviation: bool },
    Relation(Relation),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Statistic {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

/// Which sums a statistic needs of its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Needed {
    Numerics(numerics::Spread),
    Floats(Spread),
    Pairs(Relation),
    Totals(Total),
    Bits(Joined),
}

impl Statistic {
    fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, signature: Signature::user_defined(Volatility::Immutable) }
    }

    pub(super) fn needed(&self, argument: &DataType, result_type: &DataType) -> Needed {
        match self.kind {
            Kind::Relation(relation) => Needed::Pairs(relation),
            Kind::Spread { sample, deviation } if argument.is_floating() => {
                Needed::Floats(Spread { sample, deviation })
            }
            Kind::Spread { sample, deviation } => Needed::Numerics(numerics::Spread {
                sample,
                deviation,
                scale: digits(argument).1,
                result_type: result_type.clone(),
            }),
        }
    }
}

impl Needed {
    fn one(self) -> Box<dyn Accumulator> {
        match self {
            Self::Numerics(spread) => Box::new(One::<NumericSums>::new(spread)),
            Self::Floats(spread) => Box::new(One::<FloatSums>::new(spread)),
            Self::Pairs(relation) => Box::new(One::<PairSums>::new(relation)),
            Self::Totals(total) => Box::new(One::<TotalSums>::new(total)),
            Self::Bits(joined) => Box::new(One::<BitSums>::new(joined)),
        }
    }

    fn many(self, result_type: DataType) -> Box<dyn GroupsAccumulator> {
        match self {
            Self::Numerics(spread) => Box::new(Many::<NumericSums>::new(spread, result_type)),
            Self::Floats(spread) => Box::new(Many::<FloatSums>::new(spread, result_type)),
            Self::Pairs(relation) => Box::new(Many::<PairSums>::new(relation, result_type)),
            Self::Totals(total) => Box::new(Many::<TotalSums>::new(total, result_type)),
            Self::Bits(joined) => Box::new(Many::<BitSums>::new(joined, result_type)),
        }
    }
}

impl AggregateUDFImpl for Statistic {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let coerced = match (self.kind, types) {
            (Kind::Spread { .. }, [value]) => number(value).map(|value| vec![value]),
            (Kind::Relation(_), [y, x]) => number(y).zip(number(x)).map(|(y, x)| vec![y, x]),
            _ => None,
        };
        let known = || types.iter().map(SqlType::from_data_type).collect::<Vec<_>>();
        coerced.ok_or_else(|| external(no_function(self.name, &known())))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::Relation(Relation::RegrCount) => DataType::Int64,
            Kind::Relation(_) => DataType::Float64,
            Kind::Spread { .. } if types[0].is_floating() => DataType::Float64,
            Kind::Spread { deviation, .. } => {
                let (precision, scale) = digits(&types[0]);
                let whole = (i32::from(precision) - i32::from(scale)).max(1) * if deviation { 1 } else { 2 };
                // The variance of a sample may be twice the square of its values.
                let has_room = |kept: &&i8| whole + 1 + i32::from(**kept) <= i32::from(WIDE_DIGITS);
                let scales: &[i8] = if deviation { &[DEVIATION_SCALE] } else { &[VARIANCE_SCALE, QUOTIENT_SCALE] };
                DataType::Decimal256(WIDE_DIGITS, *scales.iter().find(has_room).unwrap_or(&CRAMPED_SCALE))
            }
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            return Ok(distinct::state_fields(&args));
        }
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "sums"), DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let types: Vec<DataType> = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        let result_type = args.return_field.data_type().clone();
        if !args.is_distinct {
            return Ok(self.needed(&types[0], &result_type).one());
        }
        let (statistic, value) = (self.clone(), types[0].clone());
        let inner = move || Ok(statistic.needed(&value, &result_type).one());
        Ok(Box::new(DistinctAccumulator::new(&types, Box::new(inner))?))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let result_type = args.return_field.data_type();
        Ok(self.needed(args.expr_fields[0].data_type(), result_type).many(result_type.clone()))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    /// The number of pairs of no pairs is 0; of everything else there is nothing.
    fn default_value(&self, data_type: &DataType) -> Result<datafusion::common::ScalarValue> {
        match self.kind {
            Kind::Relation(Relation::RegrCount) => Ok(datafusion::common::ScalarValue::Int64(Some(0))),
            _ => datafusion::common::ScalarValue::try_from(data_type),
        }
    }
}

/// The type that a number is taken as; `None` for what is no number.
fn number(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Null => DataType::Float64,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            data_type.clone()
        }
        _ => return None,
    })
}

/// The precision and scale of a number that is exact.
fn digits(data_type: &DataType) -> (u8, i8) {
    let decimal = match SqlType::from_data_type(data_type) {
        Some(known) => as_decimal(&known),
        None => data_type.clone(),
    };
    match decimal {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => (precision, scale),
        _ => (NARROW_DIGITS, 0),
    }
}
