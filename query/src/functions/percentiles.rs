//! `percentile_cont` of numbers and of intervals, of one fraction or of an array of them.
//!
//! All values of a group are kept until the end.

mod doubles;

use self::doubles::{Many, One, Question};
use super::ordered_sets::{Answer, Fractions, Values, fractions};
use super::overload::no_function;
use crate::scan::external;
use arrow::datatypes::{DataType, Field, FieldRef};
use catalog::sql_type::SqlType;
use datafusion::common::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};
use std::sync::Arc;

pub(super) fn function() -> Arc<AggregateUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(PercentileCont { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PercentileCont {
    signature: Signature,
}

fn question(args: &AccumulatorArgs) -> Result<Question> {
    let descending = args.order_bys.first().is_some_and(|order| order.options.descending);
    Ok(Question { fractions: fractions(args)?, descending })
}

/// The type that one or several fractions are read as.
pub(super) fn fraction_type(given: &DataType) -> Option<DataType> {
    let is_number = |data_type: &DataType| data_type.is_numeric() || data_type.is_null();
    match given {
        DataType::List(item) if is_number(item.data_type()) => Some(doubles()),
        // A literal whose type is open is read as a number.
        DataType::Utf8 => Some(DataType::Float64),
        given if is_number(given) => Some(DataType::Float64),
        _ => None,
    }
}

fn doubles() -> DataType {
    SqlType::Array(Box::new(SqlType::Float8)).data_type()
}

/// The percentiles of one group, of doubles or of intervals.
pub(super) fn continuous(fractions: Fractions, descending: bool, data_type: &DataType) -> Box<dyn Accumulator> {
    match data_type {
        DataType::Float64 => Box::new(One::new(Question { fractions, descending })),
        other => Box::new(Values::new(Answer::Continuous(fractions), descending, other.clone())),
    }
}

/// A value for each fraction.
pub(super) fn answer_type(value: &DataType, fractions: &DataType) -> DataType {
    match fractions {
        DataType::List(_) => DataType::List(Arc::new(Field::new_list_field(value.clone(), true))),
        _ => value.clone(),
    }
}

impl AggregateUDFImpl for PercentileCont {
    fn name(&self) -> &str {
        "percentile_cont"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let unknown = || {
            let known: Vec<Option<SqlType>> = types.iter().rev().map(SqlType::from_data_type).collect();
            external(no_function(self.name(), &known))
        };
        let [value, fractions] = types else { return Err(unknown()) };
        let value = match value {
            // Lowering makes intervals of times.
            DataType::Interval(_) | DataType::Time64(_) => value.clone(),
            number if number.is_numeric() || number.is_null() => DataType::Float64,
            _ => return Err(unknown()),
        };
        Ok(vec![value, fraction_type(fractions).ok_or_else(unknown)?])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match types[0] {
            DataType::Time64(_) => answer_type(&SqlType::Interval.data_type(), &types[1]),
            _ => answer_type(&types[0], &types[1]),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(args.input_fields[0].data_type().clone(), true);
        let name = format_state_name(args.name, self.name());
        Ok(vec![Arc::new(Field::new(name, DataType::List(Arc::new(item)), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let Question { fractions, descending } = question(&args)?;
        Ok(continuous(fractions, descending, args.expr_fields[0].data_type()))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        *args.expr_fields[0].data_type() == DataType::Float64 && !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let data_type = args.return_field.data_type().clone();
        Ok(Box::new(Many::new(question(&args)?, data_type)))
    }
}
