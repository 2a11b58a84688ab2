//! Signed sums: aggregates as a view's state keeps them, so that rows which went are taken out again.
//!
//! ```text
//!     partial(arguments…, weight) ──▶ bytes ─┐
//!     partial(arguments…, weight) ──▶ bytes ─┴─ merged(bytes) ──▶ bytes ── value(bytes) ──▶ what the aggregate gives
//! ```
//!
//! The bytes are those of [`Sums`], which the aggregates of queries are computed from too. So both give the same, bit for bit. Of
//! `count(DISTINCT …)` they are the values themselves, with how many rows have each.

use super::Sums;
use super::accumulators::{filtered, partial};
use super::bits::{BitSums, Joined, Junction};
use super::floats::{FloatSums, PairSums};
use super::functions::{Needed, Statistic};
use super::numerics::NumericSums;
use super::totals::{Total, TotalSums};
use super::value_counts::{self, ValueCounts};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int8Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::fmt::Debug;
use std::sync::Arc;
use views::SignedSums;

/// The signed sums of an aggregate over arguments of these types, or over the different ones among them; `None` where it is not told
/// from sums.
pub(crate) fn signed_sums(
    function: &AggregateUDF,
    types: &[DataType],
    result_type: &DataType,
    is_distinct: bool,
) -> Option<SignedSums> {
    let kept = match (is_distinct, function.name(), types) {
        (false, ..) => Kept::Sums(needed(function, types, result_type)?),
        (true, "count", [values]) => Kept::Values(value_counts::Held::of(values)?),
        (true, ..) => return None,
    };
    let step = |step| {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Arc::new(AggregateUDF::new_from_impl(SignedStep { kept: kept.clone(), step, signature }))
    };
    let (partial, merged) = (step(Step::Partial), step(Step::Merged));
    let signature = Signature::any(1, Volatility::Immutable);
    let value = SumsValue { kept, result_type: result_type.clone(), signature };
    Some(SignedSums { partial, merged, value: Arc::new(ScalarUDF::new_from_impl(value)) })
}

fn needed(function: &AggregateUDF, types: &[DataType], result_type: &DataType) -> Option<Needed> {
    let joined = |junction| Needed::Bits(Joined { junction, result_type: result_type.clone() });
    Some(match (function.name(), types) {
        ("sum", [DataType::Float64]) => Needed::Totals(Total { real: false }),
        ("sum", [DataType::Float32]) => Needed::Totals(Total { real: true }),
        ("bool_and" | "every", [DataType::Boolean]) => joined(Junction::And),
        ("bool_or", [DataType::Boolean]) => joined(Junction::Or),
        ("bit_and", [DataType::Int16 | DataType::Int32 | DataType::Int64]) => joined(Junction::And),
        ("bit_or", [DataType::Int16 | DataType::Int32 | DataType::Int64]) => joined(Junction::Or),
        ("bit_xor", [DataType::Int16 | DataType::Int32 | DataType::Int64]) => joined(Junction::Xor),
        _ => function.inner().downcast_ref::<Statistic>()?.needed(types.first()?, result_type),
    })
}

/// What the bytes hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kept {
    Sums(Needed),
    Values(value_counts::Held),
}

impl Kept {
    fn data_type(&self) -> DataType {
        match self {
            Self::Sums(_) => DataType::Binary,
            Self::Values(_) => DataType::BinaryView,
        }
    }
}

/// Sums of groups that may stand behind an accumulator of one.
trait Grouped: GroupsAccumulator + Debug + Sync {}

impl<T: GroupsAccumulator + Debug + Sync> Grouped for T {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// From arguments and, last, the weights of their rows.
    Partial,
    /// From bytes.
    Merged,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SignedStep {
    kept: Kept,
    step: Step,
    signature: Signature,
}

impl SignedStep {
    fn many(&self) -> Box<dyn Grouped> {
        let needed = match self.kept.clone() {
            Kept::Values(value_counts::Held::Integers) => return Box::new(ValueCounts::<i64>::new(self.step)),
            Kept::Values(value_counts::Held::Texts) => return Box::new(ValueCounts::<Box<[u8]>>::new(self.step)),
            Kept::Sums(needed) => needed,
        };
        match needed {
            Needed::Numerics(spread) => Box::new(SignedMany::<NumericSums>::new(spread, self.step)),
            Needed::Floats(spread) => Box::new(SignedMany::<FloatSums>::new(spread, self.step)),
            Needed::Pairs(relation) => Box::new(SignedMany::<PairSums>::new(relation, self.step)),
            Needed::Totals(total) => Box::new(SignedMany::<TotalSums>::new(total, self.step)),
            Needed::Bits(joined) => Box::new(SignedMany::<BitSums>::new(joined, self.step)),
        }
    }
}

impl AggregateUDFImpl for SignedStep {
    fn name(&self) -> &str {
        match self.step {
            Step::Partial => "meridian_signed_sums",
            Step::Merged => "meridian_merged_sums",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.kept.data_type())
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "sums"), self.kept.data_type(), true))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup(self.many())))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(self.many())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The signed sums of many groups.
#[derive(Debug)]
struct SignedMany<S: Sums> {
    sums: Vec<S>,
    statistic: S::Statistic,
    step: Step,
    heap_bytes: usize,
}

impl<S: Sums> SignedMany<S> {
    fn new(statistic: S::Statistic, step: Step) -> Self {
        Self { sums: Vec::new(), statistic, step, heap_bytes: 0 }
    }

    fn change(&mut self, group: usize, change: impl FnOnce(&mut S, &S::Statistic) -> Result<()>) -> Result<()> {
        let sums = &mut self.sums[group];
        let before = sums.heap_bytes();
        change(sums, &self.statistic)?;
        self.heap_bytes = (self.heap_bytes + sums.heap_bytes()).saturating_sub(before);
        Ok(())
    }

    fn add_weighed(&mut self, values: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let Some((weights, arguments)) = values.split_last() else {
            return internal_err!("signed sums have no weights");
        };
        let weights = weights.as_primitive::<Int8Type>();
        S::rows(arguments, |row, value| {
            self.change(groups[row], |sums, statistic| {
                if weights.value(row) > 0 { sums.add(value, statistic) } else { sums.subtract(value, statistic) }
            })
        })
    }
}

/// The bytes of sums in whatever type a plan has them.
fn as_bytes(column: &ArrayRef) -> Result<BinaryArray> {
    Ok(cast(column, &DataType::Binary)?.as_binary::<i32>().clone())
}

impl<S: Sums> GroupsAccumulator for SignedMany<S> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        // The group of all rows of a grouping set without rows comes of a row that a filter takes out again.
        if let Some(predicate) = filter {
            let (values, groups) = filtered(values, groups, predicate)?;
            return self.update_batch(&values, &groups, None, total);
        }
        self.sums.resize_with(total, S::default);
        match self.step {
            Step::Partial => self.add_weighed(values, groups),
            Step::Merged => self.merge_batch(values, groups, total),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.sums.resize_with(total, S::default);
        for (bytes, group) in as_bytes(&states[0])?.iter().zip(groups) {
            if let Some(bytes) = bytes {
                let added = partial::<S>(bytes)?;
                self.change(*group, |sums, _| sums.merge(&added))?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let taken = emit_to.take_needed(&mut self.sums);
        self.heap_bytes = self.sums.iter().map(S::heap_bytes).sum();
        Ok(Arc::new(taken.iter().map(|sums| Some(sums.to_bytes())).collect::<BinaryArray>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut each = Self::new(self.statistic.clone(), self.step);
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<S>() + self.heap_bytes
    }
}

/// One group where there are no keys.
#[derive(Debug)]
struct OneGroup(Box<dyn Grouped>);

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values, &vec![0; values[0].len()], None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &vec![0; states[0].len()], 1)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sums = self.0.evaluate(EmitTo::All)?;
        if sums.is_empty() { ScalarValue::try_from(sums.data_type()) } else { ScalarValue::try_from_array(&sums, 0) }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }
}

/// What the aggregate gives for merged sums.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SumsValue {
    kept: Kept,
    result_type: DataType,
    signature: Signature,
}

impl SumsValue {
    fn values<S: Sums>(&self, sums: &BinaryArray, statistic: &S::Statistic) -> Result<ArrayRef> {
        let values = sums.iter().map(|bytes| match bytes {
            Some(bytes) => partial::<S>(bytes)?.result(statistic),
            None => S::default().result(statistic),
        });
        let values = values.collect::<Result<Vec<ScalarValue>>>()?;
        if values.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.result_type));
        }
        Ok(cast(&ScalarValue::iter_to_array(values)?, &self.result_type)?)
    }
}

impl ScalarUDFImpl for SumsValue {
    fn name(&self) -> &str {
        "meridian_value_of_sums"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result_type.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let kept = args.args[0].to_array(args.number_rows)?;
        let needed = match &self.kept {
            Kept::Values(_) => return value_counts::different(&kept).map(ColumnarValue::Array),
            Kept::Sums(needed) => needed,
        };
        let sums = as_bytes(&kept)?;
        let values = match needed {
            Needed::Numerics(spread) => self.values::<NumericSums>(&sums, spread),
            Needed::Floats(spread) => self.values::<FloatSums>(&sums, spread),
            Needed::Pairs(relation) => self.values::<PairSums>(&sums, relation),
            Needed::Totals(total) => self.values::<TotalSums>(&sums, total),
            Needed::Bits(joined) => self.values::<BitSums>(&sums, joined),
        };
        values.map(ColumnarValue::Array)
    }
}
