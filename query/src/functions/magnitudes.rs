//! `abs`, whose result has its argument's type.

use super::mathematics::integer_out_of_range;
use super::overload::{Function, Kind, Overload};
use super::strings::Answer;
use arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type,
};
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Float4, Float8, Int2, Int4, Int8, Numeric, NumericOfArguments};
    let abs = vec![
        Overload::new(&[Int2], Int2, |columns, _| checked::<Int16Type>(columns, i16::checked_abs)),
        Overload::new(&[Int4], Int4, |columns, _| checked::<Int32Type>(columns, i32::checked_abs)),
        Overload::new(&[Int8], Int8, |columns, _| checked::<Int64Type>(columns, i64::checked_abs)),
        Overload::new(&[Float4], Float4, |columns, _| Ok(changed::<Float32Type>(columns, f32::abs))),
        Overload::new(&[Float8], Float8, |columns, _| Ok(changed::<Float64Type>(columns, f64::abs))),
        Overload::new(&[Numeric], NumericOfArguments, |columns, _| Ok(of_numerics(columns))),
    ];
    vec![Function::immutable("abs", abs)]
}

fn checked<T: ArrowPrimitiveType>(columns: &[ArrayRef], magnitude: fn(T::Native) -> Option<T::Native>) -> Answer {
    let overflow = || integer_out_of_range(&T::DATA_TYPE);
    let magnitudes = columns[0].as_primitive::<T>().try_unary(|value| magnitude(value).ok_or_else(overflow));
    magnitudes.map(|magnitudes: PrimitiveArray<T>| Arc::new(magnitudes) as ArrayRef)
}

fn changed<T: ArrowPrimitiveType>(columns: &[ArrayRef], magnitude: fn(T::Native) -> T::Native) -> ArrayRef {
    let magnitudes: PrimitiveArray<T> = columns[0].as_primitive::<T>().unary(magnitude);
    Arc::new(magnitudes.with_data_type(columns[0].data_type().clone()))
}

fn of_numerics(columns: &[ArrayRef]) -> ArrayRef {
    match columns[0].data_type() {
        DataType::Decimal256(..) => changed::<Decimal256Type>(columns, |value| value.wrapping_abs()),
        _ => changed::<Decimal128Type>(columns, i128::wrapping_abs),
    }
}
