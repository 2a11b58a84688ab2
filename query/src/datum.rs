//! Catalog values as DataFusion's scalars, for pruning and statistics.

use arrow::datatypes::{DataType, TimeUnit};
use catalog::segment::Datum;
use datafusion::common::ScalarValue;

/// The scalar of Arrow type `data_type` that `datum` stands for; `None` for NULL and for types that keep no bounds.
pub(crate) fn scalar_of(datum: &Datum, data_type: &DataType) -> Option<ScalarValue> {
    Some(match (datum, data_type) {
        (Datum::Bool(value), DataType::Boolean) => ScalarValue::Boolean(Some(*value)),
        (Datum::Int(value), DataType::Int16) => ScalarValue::Int16(Some(i16::try_from(*value).ok()?)),
        (Datum::Int(value), DataType::Int32) => ScalarValue::Int32(Some(i32::try_from(*value).ok()?)),
        (Datum::Int(value), DataType::Int64) => ScalarValue::Int64(Some(*value)),
        (Datum::Int(value), DataType::Date32) => ScalarValue::Date32(Some(i32::try_from(*value).ok()?)),
        (Datum::Int(value), DataType::Time64(TimeUnit::Microsecond)) => ScalarValue::Time64Microsecond(Some(*value)),
        (Datum::Int(value), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            ScalarValue::TimestampMicrosecond(Some(*value), zone.clone())
        }
        (Datum::Decimal(value), DataType::Decimal128(precision, scale)) => {
            ScalarValue::Decimal128(Some(*value), *precision, *scale)
        }
        (Datum::Float(value), DataType::Float64) => ScalarValue::Float64(Some(*value)),
        (Datum::Float(value), DataType::Float32) => ScalarValue::Float32(Some(*value as f32)),
        (Datum::Text(value), DataType::Utf8View) => ScalarValue::Utf8View(Some(value.clone())),
        (Datum::Bytes(value), DataType::BinaryView) => ScalarValue::BinaryView(Some(value.clone())),
        (Datum::Bytes(value), DataType::FixedSizeBinary(size)) => {
            ScalarValue::FixedSizeBinary(*size, Some(value.clone()))
        }
        _ => return None,
    })
}
