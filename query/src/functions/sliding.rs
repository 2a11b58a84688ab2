//! bit_and, bit_or, bit_xor, bool_and and bool_or over frames that move: they count, so that rows can leave again.
//!
//! Everywhere else they are DataFusion's, but for bit_xor of distinct values, which counts too.

use super::distinct::{self, DistinctAccumulator};
use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::bit_and_or_xor::{bit_and_udaf, bit_or_udaf, bit_xor_udaf};
use datafusion::functions_aggregate::bool_and_or::{bool_and_udaf, bool_or_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
};
use std::sync::Arc;

/// `every` is the other name of `bool_and`.
pub(super) fn functions() -> [Arc<AggregateUDF>; 5] {
    let sliding = |inner, needed, aliases: &[&str]| {
        let aliases = aliases.iter().map(|alias| (*alias).to_string()).collect();
        Arc::new(AggregateUDF::new_from_impl(Counted { inner, needed, aliases }))
    };
    [
        sliding(bit_and_udaf(), Needed::All, &[]),
        sliding(bit_or_udaf(), Needed::One, &[]),
        sliding(bit_xor_udaf(), Needed::Odd, &[]),
        sliding(bool_and_udaf(), Needed::All, &["every"]),
        sliding(bool_or_udaf(), Needed::One, &[]),
    ]
}

/// How many rows have to have a bit so that the answer has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Needed {
    All,
    One,
    Odd,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Counted {
    inner: Arc<AggregateUDF>,
    needed: Needed,
    aliases: Vec<String>,
}

impl Counted {
    /// Whether a row counts once however often it is there, and that matters.
    fn counts_distinct(&self, is_distinct: bool) -> bool {
        is_distinct && self.needed == Needed::Odd
    }
}

impl AggregateUDFImpl for Counted {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !self.counts_distinct(args.is_distinct) {
            return self.inner.accumulator(args);
        }
        let (needed, data_type) = (self.needed, args.return_field.data_type().clone());
        let inner = {
            let data_type = data_type.clone();
            move || Ok(Box::new(BitCounts::new(needed, data_type.clone())) as Box<dyn Accumulator>)
        };
        Ok(Box::new(DistinctAccumulator::new(&[data_type], Box::new(inner))?))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if self.counts_distinct(args.is_distinct) {
            return Ok(distinct::state_fields(&args));
        }
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !self.counts_distinct(args.is_distinct) && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let data_type = args.return_field.data_type().clone();
        Ok(Box::new(BitCounts::new(self.needed, data_type)))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// How many rows of a frame have each bit. A boolean is a number of one bit.
#[derive(Debug)]
struct BitCounts {
    needed: Needed,
    data_type: DataType,
    /// Rows that are not NULL.
    rows: i64,
    ones: [i64; 64],
}

impl BitCounts {
    fn new(needed: Needed, data_type: DataType) -> Self {
        Self { needed, data_type, rows: 0, ones: [0; 64] }
    }

    fn count(&mut self, values: &ArrayRef, change: i64) -> Result<()> {
        if let Some(booleans) = values.as_boolean_opt() {
            booleans.iter().flatten().for_each(|value| self.count_bits(u64::from(value), change));
            return Ok(());
        }
        let numbers = cast(values, &DataType::Int64)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        numbers.iter().flatten().for_each(|value| self.count_bits(value.cast_unsigned(), change));
        Ok(())
    }

    fn count_bits(&mut self, bits: u64, change: i64) {
        self.rows += change;
        for (bit, ones) in self.ones.iter_mut().enumerate() {
            if bits >> bit & 1 == 1 {
                *ones += change;
            }
        }
    }
}

impl Accumulator for BitCounts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count(&values[0], 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count(&values[0], -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.rows == 0 {
            return ScalarValue::try_from(&self.data_type);
        }
        let is_set = |ones: i64| match self.needed {
            Needed::All => ones == self.rows,
            Needed::One => ones > 0,
            Needed::Odd => ones % 2 == 1,
        };
        let set = self.ones.iter().enumerate().filter(|(_, ones)| is_set(**ones));
        let bits = set.fold(0_u64, |bits, (bit, _)| bits | 1 << bit);
        if self.data_type == DataType::Boolean {
            return Ok(ScalarValue::Boolean(Some(bits & 1 == 1)));
        }
        ScalarValue::Int64(Some(bits.cast_signed())).cast_to(&self.data_type)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.count(&states[0], 1)
    }
}
