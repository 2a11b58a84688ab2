//! `mode` and `percentile_disc`: aggregates that answer with one of their values, of any type that sorts; and the values of a group,
//! which `percentiles` shares.
//!
//! All values of a group are kept until the end. NULLs are left out; of several most frequent values the first in the order wins.

use super::constant_value;
use super::json::sort_keys;
use super::moments::interpolated;
use super::moments::ranks::{intervals_of, lengths_of, ranks_of};
use super::percentiles::{answer_type, fraction_type};
use crate::error::{ErrorKind, QueryError};
use crate::operators::modifiers::unmodified_field;
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{SortOptions, cast, concat, filter, is_not_null, sort, sort_to_indices, take};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use arrow::row::{RowConverter, SortField};
use catalog::sql_type::SqlType;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_plan::expressions::Literal;
use std::sync::Arc;

pub(super) fn ordered_sets() -> [Arc<AggregateUDF>; 2] {
    [Kind::Mode, Kind::PercentileDisc].map(|kind| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::new_from_impl(OrderedSet { kind, signature }))
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Mode,
    PercentileDisc,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OrderedSet {
    kind: Kind,
    signature: Signature,
}

impl AggregateUDFImpl for OrderedSet {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Mode => "mode",
            Kind::PercentileDisc => "percentile_disc",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.kind, types) {
            (Kind::Mode, [value]) => Ok(vec![value.clone()]),
            (Kind::PercentileDisc, [value, fractions]) => {
                Ok(vec![value.clone(), fraction_type(fractions).unwrap_or(DataType::Float64)])
            }
            _ => plan_err!("{} takes its values from WITHIN GROUP (ORDER BY …)", self.name()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.get(1).map_or_else(|| types[0].clone(), |fractions| answer_type(&types[0], fractions)))
    }

    /// The answer is a value, of the values' own type.
    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let types: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
        let answer = self.return_type(&types)?;
        Ok(Arc::new(match answer == types[0] {
            true => unmodified_field(&fields[0]).with_name(self.name()),
            false => Field::new(self.name(), answer, true),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(args.input_fields[0].data_type().clone(), true);
        let name = format_state_name(args.name, self.name());
        Ok(vec![Arc::new(Field::new(name, DataType::List(Arc::new(item)), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let options = args.order_bys.first().map_or_else(SortOptions::default, |order| order.options);
        let answer = match self.kind {
            Kind::Mode => Answer::Mode,
            Kind::PercentileDisc => Answer::Discrete(fractions(&args)?),
        };
        let data_type = args.expr_fields[0].data_type().clone();
        Ok(Box::new(Values::new(answer, options.descending, data_type)))
    }
}

/// The constants between 0 and 1 that a percentile is asked for: one, or an array of them.
#[derive(Debug)]
pub(super) struct Fractions {
    /// `None` for an array that is NULL.
    numbers: Option<Vec<Option<f64>>>,
    is_array: bool,
}

impl Fractions {
    /// Reads a number, or an array of numbers.
    pub(super) fn of(value: &ScalarValue) -> Result<Self> {
        let given = value.to_array()?;
        let (numbers, is_array) = match given.as_list_opt::<i32>() {
            Some(list) if list.is_null(0) => return Ok(Self { numbers: None, is_array: true }),
            Some(list) => (list.value(0), true),
            None => (given, false),
        };
        let numbers = cast(&numbers, &DataType::Float64)?;
        let numbers: Vec<Option<f64>> = numbers.as_primitive::<Float64Type>().iter().collect();
        if let Some(outside) = numbers.iter().flatten().find(|number| !(0.0..=1.0).contains(*number)) {
            let message = format!("percentile value {outside} is not between 0 and 1");
            return Err(external(QueryError::new(ErrorKind::NumericOutOfRange, message)));
        }
        Ok(Self { numbers: Some(numbers), is_array })
    }

    /// The answers for each fraction, in the shape of the fractions.
    pub(super) fn answers(
        &self,
        data_type: &DataType,
        of_fraction: impl Fn(f64) -> Result<ScalarValue>,
    ) -> Result<ScalarValue> {
        let null = || ScalarValue::try_from(data_type);
        let answers = self.numbers.iter().flatten().map(|number| number.map_or_else(null, &of_fraction));
        let mut answers = answers.collect::<Result<Vec<ScalarValue>>>()?;
        match (self.is_array, &self.numbers) {
            (true, Some(_)) => Ok(ScalarValue::List(ScalarValue::new_list(&answers, data_type, true))),
            (true, None) => ScalarValue::try_from(&list_of(data_type)),
            (false, _) => answers.pop().map_or_else(null, Ok),
        }
    }

    /// What a group without values has.
    pub(super) fn nothing(&self, data_type: &DataType) -> Result<ScalarValue> {
        let list = list_of(data_type);
        ScalarValue::try_from(if self.is_array { &list } else { data_type })
    }
}

fn list_of(data_type: &DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(data_type.clone(), true)))
}

/// The fractions that an aggregate is called with.
pub(super) fn fractions(args: &AccumulatorArgs) -> Result<Fractions> {
    let literal = args.exprs.get(1).and_then(|argument| argument.downcast_ref::<Literal>());
    let Some(literal) = literal else {
        return Err(external(QueryError::unsupported("a percentile that is not a constant")));
    };
    Fractions::of(literal.value())
}

/// What is asked of the values of a group.
#[derive(Debug)]
pub(super) enum Answer {
    Mode,
    /// The first value that so many of all are not above.
    Discrete(Fractions),
    /// What lies between two intervals, at a fraction of all.
    Continuous(Fractions),
}

/// The values of one group.
#[derive(Debug)]
pub(super) struct Values {
    answer: Answer,
    descending: bool,
    data_type: DataType,
    kept: Vec<ArrayRef>,
    /// The memory of their values. What groups keep of one batch shares its buffers, of which each counts its own part.
    bytes: usize,
}

impl Values {
    pub(super) fn new(answer: Answer, descending: bool, data_type: DataType) -> Self {
        Self { answer, descending, data_type, kept: Vec::new(), bytes: 0 }
    }

    /// One of the sorted values.
    fn at(&self, sorted: &ArrayRef, index: usize) -> Result<ScalarValue> {
        let value = sorted.slice(index, 1);
        let is_interval = matches!(self.data_type, DataType::Interval(_));
        let value = if is_interval { intervals_of(&value).map_err(external)? } else { value };
        constant_value(&value)
    }

    fn sorted(&self) -> Result<Sorted> {
        let options = SortOptions { descending: self.descending, nulls_first: false };
        let values = self.all()?;
        // Intervals are sorted as numbers in their order, in which equally long ones are beside each other.
        if matches!(self.data_type, DataType::Interval(_)) {
            let values = sort(&ranks_of(&values).map_err(external)?, Some(options))?;
            return Ok(Sorted { keys: lengths_of(&values), values });
        }
        if SqlType::from_data_type(&self.data_type) == Some(SqlType::Jsonb) {
            let keys = sort_keys(&values).map_err(external)?;
            let places = sort_to_indices(&keys, Some(options), None)?;
            return Ok(Sorted { values: take(&values, &places, None)?, keys: take(&keys, &places, None)? });
        }
        let values = match values.data_type().is_nested() {
            true => sorted_lists(&values, options)?,
            false => sort(&values, Some(options))?,
        };
        Ok(Sorted { keys: Arc::clone(&values), values })
    }

    fn between(&self, sorted: &ArrayRef, fraction: f64) -> Result<ScalarValue> {
        let place = fraction * (sorted.len() - 1) as f64;
        let (low, part) = (self.at(sorted, place.floor() as usize)?, place - place.floor());
        if part == 0.0 {
            return Ok(low);
        }
        let high = self.at(sorted, place.ceil() as usize)?;
        match (low, high) {
            (ScalarValue::IntervalMonthDayNano(Some(low)), ScalarValue::IntervalMonthDayNano(Some(high))) => {
                let between = interpolated(low, high, part).map_err(external)?;
                Ok(ScalarValue::IntervalMonthDayNano(Some(between)))
            }
            (low, _) => internal_err!("there is nothing between values of {}", low.data_type()),
        }
    }

    fn keep(&mut self, values: &ArrayRef) -> Result<()> {
        let present =
            if values.null_count() == 0 { Arc::clone(values) } else { filter(values, &is_not_null(values)?)? };
        if !present.is_empty() {
            self.bytes += bytes_of(&present)?;
            self.kept.push(present);
        }
        Ok(())
    }

    fn all(&self) -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = self.kept.iter().map(AsRef::as_ref).collect();
        if parts.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.data_type));
        }
        Ok(concat(&parts)?)
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.keep(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.keep(&list)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![SingleRowListArrayBuilder::new(self.all()?).build_list_scalar()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Sorted { values: sorted, keys } = self.sorted()?;
        match &self.answer {
            Answer::Mode if sorted.is_empty() => ScalarValue::try_from(&self.data_type),
            Answer::Mode => self.at(&sorted, start_of_longest_run(&keys)?),
            Answer::Discrete(fractions) | Answer::Continuous(fractions) if sorted.is_empty() => {
                fractions.nothing(&self.data_type)
            }
            Answer::Discrete(fractions) => fractions.answers(&self.data_type, |fraction| {
                let index = ((fraction * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1;
                self.at(&sorted, index)
            }),
            Answer::Continuous(fractions) => {
                fractions.answers(&self.data_type, |fraction| self.between(&sorted, fraction))
            }
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.kept.capacity() * size_of::<ArrayRef>() + self.bytes
    }
}

/// The memory of values, as far as it is theirs alone; of texts the part that lies outside of their views too.
fn bytes_of(values: &ArrayRef) -> Result<usize> {
    let texts = values.as_string_view_opt().map(|texts| texts.total_buffer_bytes_used());
    Ok(values.to_data().get_slice_memory_size()? + texts.unwrap_or_default())
}

/// The values of a group in their order, beside what is the same where they are equal.
struct Sorted {
    values: ArrayRef,
    keys: ArrayRef,
}

/// Arrow's sort takes no lists, but its rows do. NULL items come behind all others.
fn sorted_lists(values: &ArrayRef, options: SortOptions) -> Result<ArrayRef> {
    let options = SortOptions { nulls_first: options.descending, ..options };
    let converter = RowConverter::new(vec![SortField::new_with_options(values.data_type().clone(), options)])?;
    let rows = converter.convert_columns(std::slice::from_ref(values))?;
    let mut places: Vec<u32> = (0..values.len() as u32).collect();
    places.sort_by(|one, other| rows.row(*one as usize).cmp(&rows.row(*other as usize)));
    Ok(take(values, &UInt32Array::from(places), None)?)
}

fn start_of_longest_run(sorted: &ArrayRef) -> Result<usize> {
    let runs = arrow::compute::partition(&[Arc::clone(sorted)])?.ranges();
    let longest = runs.into_iter().rev().max_by_key(|run| run.len());
    Ok(longest.map_or(0, |run| run.start))
}
