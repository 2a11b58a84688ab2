//! Functions over values of any type: num_nulls, num_nonnulls, pg_column_size, and the numbers of a set's rows.

use super::arrays::too_many_items;
use super::overload::{Function, Kind, Overload, no_function};
use crate::error::QueryError;
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, Int32Array, ListArray};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Field, FieldRef, Int64Type, i256};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use std::sync::Arc;

/// The function that numbers the rows of several lists side by side: `1 … n` for the longest of them.
pub(crate) const ORDINALS: &str = "unnest@ordinals";
/// Bytes before the value of a type of variable length.
const LENGTH_BYTES: usize = 4;

pub(super) fn functions() -> Vec<Function> {
    let random = Overload::new(&[], Kind::Uuid, |_, call| random_uuids(call.rows));
    vec![Function::new("gen_random_uuid", Volatility::Volatile, vec![random])]
}

/// The functions that take values of any type.
pub(super) fn variadic_functions() -> Vec<Arc<ScalarUDF>> {
    let kinds = [Kinds::Nulls, Kinds::NonNulls, Kinds::Size, Kinds::Ordinals];
    kinds.into_iter().map(|kind| Arc::new(ScalarUDF::new_from_impl(OfAny::new(kind)))).collect()
}

fn random_uuids(rows: usize) -> std::result::Result<ArrayRef, QueryError> {
    let bytes: Vec<u8> = (0..rows).flat_map(|_| uuid::Uuid::new_v4().into_bytes()).collect();
    Ok(Arc::new(FixedSizeBinaryArray::new(16, bytes.into(), None)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kinds {
    Nulls,
    NonNulls,
    Size,
    Ordinals,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfAny {
    kind: Kinds,
    signature: Signature,
}

impl OfAny {
    fn new(kind: Kinds) -> Self {
        let any = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
        Self { kind, signature: Signature::one_of(any, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for OfAny {
    fn name(&self) -> &str {
        match self.kind {
            Kinds::Nulls => "num_nulls",
            Kinds::NonNulls => "num_nonnulls",
            Kinds::Size => "pg_column_size",
            Kinds::Ordinals => ORDINALS,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kinds::Nulls | Kinds::NonNulls | Kinds::Size => DataType::Int32,
            Kinds::Ordinals => SqlType::Array(Box::new(SqlType::Int8)).data_type(),
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let fits = if self.kind == Kinds::Size { args.arg_fields.len() == 1 } else { !args.arg_fields.is_empty() };
        if !fits {
            let known: Vec<Option<SqlType>> = args.arg_fields.iter().map(|field| SqlType::from_field(field)).collect();
            return Err(external(no_function(self.name(), &known)));
        }
        Ok(Arc::new(Field::new(self.name(), self.return_type(&[])?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let result: ArrayRef = match self.kind {
            Kinds::Nulls => Arc::new(count(&columns, rows, true)),
            Kinds::NonNulls => Arc::new(count(&columns, rows, false)),
            Kinds::Size => sizes(&columns[0], &args.arg_fields[0]).map_err(external)?,
            Kinds::Ordinals => ordinals(&columns, rows).map_err(external)?,
        };
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// How many values of a row are NULL, or are not.
fn count(columns: &[ArrayRef], rows: usize, counts_nulls: bool) -> Int32Array {
    let nulls: Vec<_> = columns.iter().map(|column| column.logical_nulls()).collect();
    let of_row = |row| {
        let counted =
            nulls.iter().filter(|nulls| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) == counts_nulls);
        counted.count() as i32
    };
    (0..rows).map(of_row).collect()
}

fn ordinals(columns: &[ArrayRef], rows: usize) -> std::result::Result<ArrayRef, QueryError> {
    let lists: Vec<&ListArray> = columns.iter().filter_map(|column| column.as_list_opt::<i32>()).collect();
    let longest = |row: usize| {
        let lengths = lists.iter().filter(|list| list.is_valid(row)).map(|list| i64::from(list.value_length(row)));
        lengths.max().unwrap_or(0)
    };
    if (0..rows).map(longest).sum::<i64>() > i64::from(i32::MAX) {
        return Err(too_many_items());
    }
    let numbered = (0..rows).map(|row| Some((1..=longest(row)).map(Some)));
    Ok(Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(numbered)))
}

/// The bytes that a value takes in PostgreSQL's memory, without compression.
fn sizes(column: &ArrayRef, field: &FieldRef) -> std::result::Result<ArrayRef, QueryError> {
    let sql_type = if *column.data_type() == DataType::Null { Some(SqlType::Text) } else { SqlType::from_field(field) };
    let sql_type = sql_type.ok_or_else(|| QueryError::unsupported("pg_column_size of this type"))?;
    let of_row: Box<dyn Fn(usize) -> usize> = match (&sql_type, column.data_type()) {
        (_, DataType::Null) => Box::new(|_| 0),
        (fixed, _) if fixed.typlen() > 0 => {
            let bytes = fixed.typlen() as usize;
            Box::new(move |_| bytes)
        }
        // A literal whose type is open ends with a zero byte in place of a length.
        (_, DataType::Utf8) => Box::new(|row| column.as_string::<i32>().value(row).len() + 1),
        (_, DataType::Utf8View) => Box::new(|row| column.as_string_view().value(row).len() + LENGTH_BYTES),
        (_, DataType::BinaryView) => Box::new(|row| column.as_binary_view().value(row).len() + LENGTH_BYTES),
        (_, DataType::Decimal128(_, scale)) => {
            let (numbers, scale) = (column.as_primitive::<Decimal128Type>(), *scale);
            Box::new(move |row| numeric_bytes(i256::from_i128(numbers.value(row)), scale))
        }
        (_, DataType::Decimal256(_, scale)) => {
            let (numbers, scale) = (column.as_primitive::<Decimal256Type>(), *scale);
            Box::new(move |row| numeric_bytes(numbers.value(row), scale))
        }
        _ => return Err(QueryError::unsupported(format!("pg_column_size of {}", sql_type.base_name()))),
    };
    let sizes = (0..column.len()).map(|row| column.is_valid(row).then(|| of_row(row) as i32));
    Ok(Arc::new(
        sizes.map(|size| if *column.data_type() == DataType::Null { None } else { size }).collect::<Int32Array>(),
    ))
}

/// A length, a head of two bytes, and two bytes for each four digits, in groups from the point, without groups of zeros at the ends.
fn numeric_bytes(unscaled: i256, scale: i8) -> usize {
    let scale = scale.max(0) as usize;
    let digits = unscaled.wrapping_abs().to_string();
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let whole = format!("{whole:0>width$}", width = whole.len().div_ceil(4) * 4);
    let fraction = format!("{fraction:0<width$}", width = fraction.len().div_ceil(4) * 4);
    let all = whole + &fraction;
    let groups: Vec<&str> = (0..all.len() / 4).map(|group| &all[group * 4..group * 4 + 4]).collect();
    let is_zero = |group: &&&str| **group == "0000";
    let leading = groups.iter().take_while(is_zero).count();
    let trailing = groups[leading..].iter().rev().take_while(is_zero).count();
    LENGTH_BYTES + 2 + 2 * (groups.len() - leading - trailing)
}
