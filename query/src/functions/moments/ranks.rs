//! Intervals as numbers in their order: by length, a month having thirty days, and equally long ones by their parts.
//!
//!     rank = length in µs · 2^128 + months · 2^96 + days · 2^64 + microseconds, each part from its least value

use super::columns::{Column, fill, intervals, spans};
use super::failure::Failure;
use super::span::Span;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal256Type, IntervalMonthDayNanoType, i256};
use std::cmp::Ordering;
use std::sync::Arc;

const SIGN_32: u32 = 1 << 31;
const SIGN_64: u64 = 1 << 63;

fn rank(span: Span) -> i256 {
    let months = u128::from(span.months.cast_unsigned() ^ SIGN_32) << 96;
    let days = u128::from(span.days.cast_unsigned() ^ SIGN_32) << 64;
    i256::from_parts(months | days | u128::from(span.micros.cast_unsigned() ^ SIGN_64), span.normalised_micros())
}

fn span_of_rank(rank: i256) -> Span {
    let (parts, _) = rank.to_parts();
    Span {
        months: ((parts >> 96) as u32 ^ SIGN_32).cast_signed(),
        days: ((parts >> 64) as u32 ^ SIGN_32).cast_signed(),
        micros: (parts as u64 ^ SIGN_64).cast_signed(),
    }
}

/// The ranks of a column of intervals: `Decimal256(76, 0)`.
pub(in crate::functions) fn ranks_of(column: &ArrayRef) -> Column {
    let values = spans(column);
    let ranks =
        fill::<Decimal256Type, Failure>(column.len(), std::slice::from_ref(column), |row| Ok(rank(values.at(row))));
    Ok(Arc::new(ranks?.with_data_type(DataType::Decimal256(76, 0))))
}

/// The intervals that have these ranks.
pub(in crate::functions) fn intervals_of(ranks: &ArrayRef) -> Column {
    let values = ranks.as_primitive::<Decimal256Type>();
    intervals::<Failure>(ranks.len(), std::slice::from_ref(ranks), |row| Ok(span_of_rank(values.value(row))))
}

/// The lengths of the intervals that have these ranks.
pub(in crate::functions) fn lengths_of(ranks: &ArrayRef) -> ArrayRef {
    let lengths: Decimal128Array = ranks.as_primitive::<Decimal256Type>().unary(|rank| rank.to_parts().1);
    Arc::new(lengths)
}

/// The second interval where it is better than the first or there is no first.
pub(super) fn better(arguments: &[ArrayRef], is_better: fn(Ordering) -> bool) -> Column {
    let [first, second] = [0, 1].map(|position: usize| arguments[position].as_primitive::<IntervalMonthDayNanoType>());
    let length = |position: usize, row| spans(&arguments[position]).at(row).normalised_micros();
    let chosen = (0..first.len()).map(|row| {
        let takes_second =
            first.is_null(row) || (second.is_valid(row) && is_better(length(1, row).cmp(&length(0, row))));
        let taken = if takes_second { second } else { first };
        taken.is_valid(row).then(|| taken.value(row))
    });
    Ok(Arc::new(chosen.collect::<PrimitiveArray<IntervalMonthDayNanoType>>()))
}

#[cfg(test)]
mod tests {
    use super::{Span, rank, span_of_rank};

    #[test]
    fn ranks_order_by_length_and_give_the_interval_back() {
        let span = |months, days, micros| Span { months, days, micros };
        let ordered = [
            span(-1, 0, 0),
            span(0, -1, 0),
            span(0, 0, -1),
            span(-1, 30, 0),
            span(0, 0, 0),
            span(1, -30, 0),
            span(0, 0, 86_400_000_000),
            span(0, 1, 0),
            span(0, 30, 0),
            span(1, 0, 0),
            span(i32::MAX, i32::MAX, i64::MAX),
        ];
        assert!(ordered.iter().map(|span| rank(*span)).is_sorted_by(|left, right| left < right));
        assert!(ordered.iter().all(|span| span_of_rank(rank(*span)) == *span));
    }
}
