//! `string_agg` of text and of bytea.
//!
//! With a constant delimiter between texts it is DataFusion's, whose result is made text: `LargeUtf8` is a jsonb here. Where the
//! delimiter comes from a row, for bytea and over frames that move it collects rows of value and delimiter and joins them in the end;
//! lowering chooses, because only there it is known what is a constant.

use super::overload::no_function;
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_aggregate::string_agg::string_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use std::sync::Arc;

pub(super) fn function() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(StringAggregate::new(false)))
}

/// The function that collects rows, if this is the other one of the name.
pub(crate) fn by_row(function: &AggregateUDF) -> Option<Arc<AggregateUDF>> {
    let known = function.inner().downcast_ref::<StringAggregate>()?;
    (!known.collects).then(|| Arc::new(AggregateUDF::new_from_impl(StringAggregate::new(true))))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct StringAggregate {
    /// Whether rows are collected.
    collects: bool,
    signature: Signature,
    inner: Arc<AggregateUDF>,
}

impl StringAggregate {
    fn new(collects: bool) -> Self {
        let inner = if collects { array_agg_udaf() } else { string_agg_udaf() };
        Self { collects, signature: Signature::user_defined(Volatility::Immutable), inner }
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::Null)
}

/// Whether it may be a literal whose type is open.
fn is_open(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Null)
}

fn is_bytea(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::BinaryView)
}

/// A row that is collected.
fn pair_field(fields: &[FieldRef]) -> FieldRef {
    let field = |name: &str, position: usize| Field::new(name, fields[position].data_type().clone(), true);
    let pair = Fields::from(vec![field("value", 0), field("delimiter", 1)]);
    Arc::new(Field::new("pair", DataType::Struct(pair), true))
}

impl AggregateUDFImpl for StringAggregate {
    fn name(&self) -> &str {
        "string_agg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [value, delimiter] if is_text(value) && is_text(delimiter) => {
                let delimiter = if self.collects { DataType::Utf8View } else { delimiter.clone() };
                Ok(vec![DataType::Utf8View, delimiter])
            }
            [value, delimiter] if is_bytea(value) && (is_bytea(delimiter) || is_open(delimiter)) => {
                Ok(vec![DataType::BinaryView; 2])
            }
            _ => {
                let known: Vec<Option<SqlType>> = types.iter().map(SqlType::from_data_type).collect();
                Err(external(no_function(self.name(), &known)))
            }
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(if is_bytea(&types[0]) { DataType::BinaryView } else { DataType::Utf8View })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !self.collects {
            return self.inner.state_fields(args);
        }
        let pair = [pair_field(args.input_fields)];
        self.inner.state_fields(StateFieldsArgs { input_fields: &pair, ..args })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !self.collects {
            let return_field = Arc::new(Field::new(args.name, DataType::LargeUtf8, true));
            return Ok(Box::new(AsText(self.inner.accumulator(AccumulatorArgs { return_field, ..args })?)));
        }
        let data_type = args.return_field.data_type().clone();
        let pair = pair_field(args.expr_fields);
        let list = DataType::List(Arc::new(Field::new_list_field(pair.data_type().clone(), true)));
        let return_field = Arc::new(Field::new(args.name, list, true));
        let inner = self.inner.accumulator(AccumulatorArgs { return_field, expr_fields: &[pair], ..args })?;
        Ok(Box::new(Pairs { inner, data_type }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !self.collects && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(GroupsAsText(self.inner.create_groups_accumulator(args)?)))
    }
}

/// Rows of value and delimiter, which are joined in the end.
#[derive(Debug)]
struct Pairs {
    inner: Box<dyn Accumulator>,
    data_type: DataType,
}

/// The first two columns as one of rows, and what they are ordered by.
fn as_pairs(values: &[ArrayRef]) -> Vec<ArrayRef> {
    let fields: Vec<FieldRef> = values[..2]
        .iter()
        .map(|column| Arc::new(Field::new("", column.data_type().clone(), true)) as FieldRef)
        .collect();
    let DataType::Struct(pair) = pair_field(&fields).data_type().clone() else {
        unreachable!("a pair is a struct");
    };
    let pairs = StructArray::new(pair, values[..2].to_vec(), None);
    std::iter::once(Arc::new(pairs) as ArrayRef).chain(values[2..].iter().cloned()).collect()
}

impl Accumulator for Pairs {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&as_pairs(values))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&as_pairs(values))
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let ScalarValue::List(list) = self.inner.evaluate()? else {
            return internal_err!("rows were not collected as a list");
        };
        let joined = if list.is_null(0) { None } else { joined(list.value(0).as_struct())? };
        Ok(match (&self.data_type, joined) {
            (DataType::BinaryView, joined) => ScalarValue::BinaryView(joined),
            (_, Some(joined)) => ScalarValue::Utf8View(Some(String::from_utf8_lossy(&joined).into_owned())),
            (_, None) => ScalarValue::Utf8View(None),
        })
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }
}

/// Each value that is not NULL behind its own delimiter, but for the first.
fn joined(pairs: &StructArray) -> Result<Option<Vec<u8>>> {
    let values = cast(pairs.column(0), &DataType::BinaryView)?;
    let delimiters = cast(pairs.column(1), &DataType::BinaryView)?;
    let mut joined: Option<Vec<u8>> = None;
    for (value, delimiter) in values.as_binary_view().iter().zip(delimiters.as_binary_view()) {
        let Some(value) = value else { continue };
        match &mut joined {
            None => joined = Some(value.to_vec()),
            Some(joined) => {
                joined.extend_from_slice(delimiter.unwrap_or_default());
                joined.extend_from_slice(value);
            }
        }
    }
    Ok(joined)
}

/// An accumulator whose result becomes text.
#[derive(Debug)]
struct AsText(Box<dyn Accumulator>);

impl Accumulator for AsText {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.0.evaluate()? {
            ScalarValue::LargeUtf8(text) => Ok(ScalarValue::Utf8View(text)),
            other => other.cast_to(&DataType::Utf8View),
        }
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }
}

/// The same for many groups at once.
struct GroupsAsText(Box<dyn GroupsAccumulator>);

impl GroupsAccumulator for GroupsAsText {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.0.update_batch(values, groups, filter, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(cast(&self.0.evaluate(emit_to)?, &DataType::Utf8View)?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.0.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.0.merge_batch(values, groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.0.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
