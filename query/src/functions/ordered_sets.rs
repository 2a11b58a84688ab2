//! `mode` and `percentile_disc`: aggregates that answer with one of their values, of any type that sorts.
//!
//! All values of a group are kept until the end. NULLs are left out; of several most frequent values the first in the order wins.

use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::{SortOptions, cast, concat, filter, is_not_null, sort};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue, plan_err};
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
            (Kind::PercentileDisc, [value, _]) => Ok(vec![value.clone(), DataType::Float64]),
            _ => plan_err!("{} takes its values from WITHIN GROUP (ORDER BY …)", self.name()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(args.input_fields[0].data_type().clone(), true);
        let name = format_state_name(args.name, self.name());
        Ok(vec![Arc::new(Field::new(name, DataType::List(Arc::new(item)), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let options = args.order_bys.first().map_or_else(SortOptions::default, |order| order.options);
        let fraction = match self.kind {
            Kind::Mode => None,
            Kind::PercentileDisc => Some(fraction(&args)?),
        };
        let data_type = args.expr_fields[0].data_type().clone();
        Ok(Box::new(Values { fraction, descending: options.descending, data_type, kept: Vec::new() }))
    }
}

/// The constant between 0 and 1 that percentile_disc is called with.
fn fraction(args: &AccumulatorArgs) -> Result<f64> {
    let literal = args.exprs.get(1).and_then(|argument| argument.downcast_ref::<Literal>());
    let Some(literal) = literal else {
        return Err(external(QueryError::unsupported("percentile_disc with a percentile that is not a constant")));
    };
    let value = cast(&literal.value().to_array()?, &DataType::Float64)?;
    let value = value.as_primitive::<Float64Type>();
    let given = Float64Array::iter(value).next().flatten();
    given.filter(|fraction| (0.0..=1.0).contains(fraction)).ok_or_else(|| {
        let shown = given.map_or("NULL".to_string(), |given| given.to_string());
        let message = format!("percentile value {shown} is not between 0 and 1");
        external(QueryError::new(ErrorKind::NumericOutOfRange, message))
    })
}

/// The values of one group; `fraction` is `None` for the mode.
#[derive(Debug)]
struct Values {
    fraction: Option<f64>,
    descending: bool,
    data_type: DataType,
    kept: Vec<ArrayRef>,
}

impl Values {
    fn keep(&mut self, values: &ArrayRef) -> Result<()> {
        let present =
            if values.null_count() == 0 { Arc::clone(values) } else { filter(values, &is_not_null(values)?)? };
        if !present.is_empty() {
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
        let options = SortOptions { descending: self.descending, nulls_first: false };
        let sorted = sort(&self.all()?, Some(options))?;
        if sorted.is_empty() {
            return ScalarValue::try_from(&self.data_type);
        }
        let index = match self.fraction {
            Some(fraction) => ((fraction * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1,
            None => start_of_longest_run(&sorted)?,
        };
        ScalarValue::try_from_array(&sorted, index)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.kept.iter().map(|values| values.get_array_memory_size()).sum::<usize>()
    }
}

fn start_of_longest_run(sorted: &ArrayRef) -> Result<usize> {
    let runs = arrow::compute::partition(&[Arc::clone(sorted)])?.ranges();
    let longest = runs.into_iter().rev().max_by_key(|run| run.len());
    Ok(longest.map_or(0, |run| run.start))
}
