//! PostgreSQL's functions and operators over dates, times, timestamps and intervals.
//!
//! Operators are calls of the procedures behind them: `timestamp + interval` is `timestamp_pl_interval`. The kernels loop over
//! Arrow columns and know nothing of calendars; the arithmetic knows nothing of columns, and of time zones only what a `Clock`
//! tells it.
//!
//!     kernels      arithmetic, parts (EXTRACT, date_trunc), making (make_…), zones (AT TIME ZONE), series
//!     columns      one loop for all of them, NULLs, intervals in nanoseconds
//!     ranks        intervals as numbers in their order
//!     arithmetic   calendar (moments), span (intervals), fields, truncation, construction; units (names of fields)
//!
//! Values are microseconds or days since 1970. The smallest and the largest stand for infinity, which no literal of Meridian
//! makes but a file may hold.

mod arithmetic;
mod calendar;
mod columns;
mod construction;
mod failure;
mod fields;
mod making;
mod parts;
mod precision;
pub(super) mod ranks;
mod series;
mod span;
mod truncation;
mod units;
mod zoned_times;
mod zones;

#[cfg(test)]
mod tests;

pub(super) use series::{MomentSeries, interpolated, span_micros};

use super::overload::{Function, Kernel, Kind, Overload};
use Kind::{
    Bool, Date, Float8, Int2, Int4, Int8, Interval, Numeric, NumericOfScale, Text, Time, TimeTz, Timestamp,
    TimestampTz, WideNumericOfScale,
};
use arithmetic::Direction::{Earlier, Later};
use arithmetic::{combine_spans, compare_spans, count_days, map_spans, scale_spans, swapped};
use arrow::datatypes::{ArrowPrimitiveType, Int16Type, Int32Type, Int64Type};
use parts::{Source, float_part, integer_part, numeric_part};
pub(crate) use precision::rounded_moments;
use span::Span;
use std::cmp::Ordering;

/// EXTRACT of fields without fractions.
pub(crate) const EXTRACT_WHOLE: &str = "extract_whole";
/// Such an EXTRACT and a cast to an integer in one.
pub(crate) const EXTRACT_SMALLINT: &str = "extract@smallint";
pub(crate) const EXTRACT_INTEGER: &str = "extract@integer";
pub(crate) const EXTRACT_BIGINT: &str = "extract@bigint";
/// The function that an interval's order goes by: its microseconds, a month having thirty days.
pub(crate) const INTERVAL_LENGTH: &str = "interval_length";
/// The function that rounds a moment or an interval to some digits of a second.
pub(crate) const MOMENT_ROUNDED: &str = "moment@rounded";
/// The function that leaves an interval only what is at least as large as a unit.
pub(crate) const INTERVAL_CUT: &str = "interval@cut";
/// The function that gives an interval a number that orders by length and then by months, days and time.
pub(crate) const INTERVAL_RANK: &str = "interval@rank";
/// The function that gives the interval of such a number.
pub(crate) const INTERVAL_OF_RANK: &str = "interval@of_rank";
/// The functions that give the longer or the shorter of two intervals, the first of equal ones, and the other where one is NULL.
pub(crate) const INTERVAL_GREATEST: &str = "interval@greatest";
pub(crate) const INTERVAL_LEAST: &str = "interval@least";

/// The overloads of this folder by function. A name is stable where one of its overloads asks for the session's zone or the time.
pub(super) fn functions() -> Vec<Function> {
    let mut functions = Vec::new();
    functions.extend(shifts());
    functions.extend(differences());
    functions.extend(interval_operators());
    functions.extend(comparisons());
    functions.extend(modifications());
    functions.extend(ages_and_overlaps());
    functions.extend(extractions());
    functions.extend(truncations());
    functions.extend(zone_changes());
    functions.extend(constructions());
    functions
}

/// What modifiers of types do.
fn modifications() -> Vec<Function> {
    let rounded = vec![
        Overload::new(&[Timestamp, Int4], Timestamp, precision::round_timestamps),
        Overload::new(&[TimestampTz, Int4], TimestampTz, precision::round_timestamptzs),
        Overload::new(&[Time, Int4], Time, precision::round_times),
        Overload::new(&[TimeTz, Int4], TimeTz, zoned_times::round),
        Overload::new(&[Interval, Int4], Interval, precision::round_intervals),
    ];
    vec![
        Function::immutable(MOMENT_ROUNDED, rounded),
        single(INTERVAL_CUT, &[Interval, Text], Interval, precision::cut_intervals),
    ]
}

/// An immutable function with one overload.
fn single(name: &'static str, arguments: &'static [Kind], result: Kind, kernel: Kernel) -> Function {
    Function::immutable(name, vec![Overload::new(arguments, result, kernel)])
}

/// The same where the result depends on the session's zone.
fn single_stable(name: &'static str, arguments: &'static [Kind], result: Kind, kernel: Kernel) -> Function {
    Function::stable(name, vec![Overload::new(arguments, result, kernel)])
}

/// A moment and an interval or a number of days.
fn shifts() -> Vec<Function> {
    use arithmetic::{shift_dates, shift_times, shift_timestamps, shift_timestamptzs};
    vec![
        single("date_pl_interval", &[Date, Interval], Timestamp, |columns, call| shift_dates(columns, call, Later)),
        single("date_mi_interval", &[Date, Interval], Timestamp, |columns, call| shift_dates(columns, call, Earlier)),
        single("interval_pl_date", &[Interval, Date], Timestamp, |columns, call| {
            shift_dates(&swapped(columns), call, Later)
        }),
        single("timestamp_pl_interval", &[Timestamp, Interval], Timestamp, |columns, call| {
            shift_timestamps(columns, call, Later)
        }),
        single("timestamp_mi_interval", &[Timestamp, Interval], Timestamp, |columns, call| {
            shift_timestamps(columns, call, Earlier)
        }),
        single("interval_pl_timestamp", &[Interval, Timestamp], Timestamp, |columns, call| {
            shift_timestamps(&swapped(columns), call, Later)
        }),
        single_stable("timestamptz_pl_interval", &[TimestampTz, Interval], TimestampTz, |columns, call| {
            shift_timestamptzs(columns, call, Later)
        }),
        single_stable("timestamptz_mi_interval", &[TimestampTz, Interval], TimestampTz, |columns, call| {
            shift_timestamptzs(columns, call, Earlier)
        }),
        single_stable("interval_pl_timestamptz", &[Interval, TimestampTz], TimestampTz, |columns, call| {
            shift_timestamptzs(&swapped(columns), call, Later)
        }),
        single("time_pl_interval", &[Time, Interval], Time, |columns, call| shift_times(columns, call, Later)),
        single("time_mi_interval", &[Time, Interval], Time, |columns, call| shift_times(columns, call, Earlier)),
        single("interval_pl_time", &[Interval, Time], Time, |columns, call| {
            shift_times(&swapped(columns), call, Later)
        }),
        single("timetz_pl_interval", &[TimeTz, Interval], TimeTz, |columns, call| {
            zoned_times::shift(columns, call, Later)
        }),
        single("timetz_mi_interval", &[TimeTz, Interval], TimeTz, |columns, call| {
            zoned_times::shift(columns, call, Earlier)
        }),
        single("datetimetz_pl", &[Date, TimeTz], TimestampTz, zoned_times::join_with_date),
        single("date_pli", &[Date, Int4], Date, |columns, call| count_days(columns, call, 1)),
        single("date_mii", &[Date, Int4], Date, |columns, call| count_days(columns, call, -1)),
        single("integer_pl_date", &[Int4, Date], Date, |columns, call| count_days(&swapped(columns), call, 1)),
        single("datetime_pl", &[Date, Time], Timestamp, arithmetic::join_date_and_time),
        single("timedate_pl", &[Time, Date], Timestamp, |columns, call| {
            arithmetic::join_date_and_time(&swapped(columns), call)
        }),
    ]
}

/// Two moments of one type.
fn differences() -> Vec<Function> {
    vec![
        single("timestamp_mi", &[Timestamp, Timestamp], Interval, arithmetic::subtract_moments),
        single("timestamptz_mi", &[TimestampTz, TimestampTz], Interval, arithmetic::subtract_moments),
        single("time_mi_time", &[Time, Time], Interval, arithmetic::subtract_times),
        single("date_mi", &[Date, Date], Int4, arithmetic::subtract_dates),
    ]
}

fn interval_operators() -> Vec<Function> {
    vec![
        single("interval_pl", &[Interval, Interval], Interval, |columns, call| {
            combine_spans(columns, call, Span::plus)
        }),
        single("interval_mi", &[Interval, Interval], Interval, |columns, call| {
            combine_spans(columns, call, Span::minus)
        }),
        single(INTERVAL_LENGTH, &[Interval], NumericOfScale(0), arithmetic::measure_spans),
        single(INTERVAL_RANK, &[Interval], WideNumericOfScale(0), |columns, _| ranks::ranks_of(&columns[0])),
        single(INTERVAL_OF_RANK, &[Numeric], Interval, |columns, _| ranks::intervals_of(&columns[0])),
        single(INTERVAL_GREATEST, &[Interval, Interval], Interval, |columns, _| {
            ranks::better(columns, Ordering::is_gt)
        }),
        single(INTERVAL_LEAST, &[Interval, Interval], Interval, |columns, _| ranks::better(columns, Ordering::is_lt)),
        single("interval_um", &[Interval], Interval, |columns, call| map_spans(columns, call, Span::negated)),
        single("interval_mul", &[Interval, Float8], Interval, |columns, call| {
            scale_spans(columns, call, Span::multiplied)
        }),
        single("mul_d_interval", &[Float8, Interval], Interval, |columns, call| {
            scale_spans(&swapped(columns), call, Span::multiplied)
        }),
        single("interval_div", &[Interval, Float8], Interval, |columns, call| {
            scale_spans(columns, call, Span::divided)
        }),
        single("justify_days", &[Interval], Interval, |columns, call| map_spans(columns, call, Span::justified_days)),
        single("justify_hours", &[Interval], Interval, |columns, call| map_spans(columns, call, Span::justified_hours)),
        single("justify_interval", &[Interval], Interval, |columns, call| map_spans(columns, call, Span::justified)),
    ]
}

fn comparisons() -> Vec<Function> {
    let comparison = |name, kernel| single(name, &[Interval, Interval], Bool, kernel);
    vec![
        comparison("interval_eq", |columns, call| compare_spans(columns, call, Ordering::is_eq)),
        comparison("interval_ne", |columns, call| compare_spans(columns, call, Ordering::is_ne)),
        comparison("interval_lt", |columns, call| compare_spans(columns, call, Ordering::is_lt)),
        comparison("interval_le", |columns, call| compare_spans(columns, call, Ordering::is_le)),
        comparison("interval_gt", |columns, call| compare_spans(columns, call, Ordering::is_gt)),
        comparison("interval_ge", |columns, call| compare_spans(columns, call, Ordering::is_ge)),
        Function::immutable(
            "isfinite",
            vec![
                Overload::new(&[TimestampTz], Bool, arithmetic::finite_moments),
                Overload::new(&[Timestamp], Bool, arithmetic::finite_moments),
                Overload::new(&[Date], Bool, arithmetic::finite_dates),
                Overload::new(&[Interval], Bool, arithmetic::finite_spans),
            ],
        ),
    ]
}

fn ages_and_overlaps() -> Vec<Function> {
    use arithmetic::{ages, ages_in_zone, ages_today, ages_today_in_zone};
    let age = vec![
        Overload::new(&[TimestampTz, TimestampTz], Interval, ages_in_zone),
        Overload::new(&[Timestamp, Timestamp], Interval, ages),
        Overload::new(&[TimestampTz], Interval, ages_today_in_zone).of_today(),
        Overload::new(&[Timestamp], Interval, ages_today).of_today(),
    ];
    vec![Function::stable("age", age), Function::stable("overlaps", overlaps())]
}

/// Periods as two moments each, or as a moment and a length.
fn overlaps() -> Vec<Overload> {
    use arithmetic::{
        overlapping_moments, overlapping_times, overlapping_times_with_lengths as times_with,
        overlapping_timestamps_with_lengths as timestamps_with,
        overlapping_timestamptzs_with_lengths as timestamptzs_with,
    };
    let overlaps = |arguments, kernel| Overload::new(arguments, Bool, kernel);
    vec![
        overlaps(&[TimestampTz, TimestampTz, TimestampTz, TimestampTz], overlapping_moments),
        overlaps(&[TimestampTz, Interval, TimestampTz, Interval], |columns, call| {
            timestamptzs_with(columns, call, &[1, 3])
        }),
        overlaps(&[TimestampTz, TimestampTz, TimestampTz, Interval], |columns, call| {
            timestamptzs_with(columns, call, &[3])
        }),
        overlaps(&[TimestampTz, Interval, TimestampTz, TimestampTz], |columns, call| {
            timestamptzs_with(columns, call, &[1])
        }),
        overlaps(&[Timestamp, Timestamp, Timestamp, Timestamp], overlapping_moments),
        overlaps(&[Timestamp, Interval, Timestamp, Interval], |columns, call| timestamps_with(columns, call, &[1, 3])),
        overlaps(&[Timestamp, Timestamp, Timestamp, Interval], |columns, call| timestamps_with(columns, call, &[3])),
        overlaps(&[Timestamp, Interval, Timestamp, Timestamp], |columns, call| timestamps_with(columns, call, &[1])),
        overlaps(&[TimeTz, TimeTz, TimeTz, TimeTz], overlapping_moments),
        overlaps(&[Time, Time, Time, Time], overlapping_times),
        overlaps(&[Time, Interval, Time, Interval], |columns, call| times_with(columns, call, &[1, 3])),
        overlaps(&[Time, Time, Time, Interval], |columns, call| times_with(columns, call, &[3])),
        overlaps(&[Time, Interval, Time, Time], |columns, call| times_with(columns, call, &[1])),
    ]
}

/// EXTRACT by the scale of its result, and date_part.
fn extractions() -> Vec<Function> {
    let date_part = vec![
        Overload::new(&[Text, TimestampTz], Float8, |columns, call| float_part(columns, call, Source::TimestampTz)),
        Overload::new(&[Text, Timestamp], Float8, |columns, call| float_part(columns, call, Source::Timestamp)),
        Overload::new(&[Text, Date], Float8, |columns, call| float_part(columns, call, Source::Midnight)),
        Overload::new(&[Text, Time], Float8, |columns, call| float_part(columns, call, Source::Time)),
        Overload::new(&[Text, TimeTz], Float8, |columns, call| float_part(columns, call, Source::TimeTz)),
        Overload::new(&[Text, Interval], Float8, |columns, call| float_part(columns, call, Source::Interval)),
    ];
    vec![
        Function::stable(EXTRACT_WHOLE, extraction::<0>(NumericOfScale(0))),
        Function::stable(EXTRACT_SMALLINT, whole_extraction::<Int16Type>(Int2)),
        Function::stable(EXTRACT_INTEGER, whole_extraction::<Int32Type>(Int4)),
        Function::stable(EXTRACT_BIGINT, whole_extraction::<Int64Type>(Int8)),
        Function::stable("extract_milliseconds", extraction::<3>(NumericOfScale(3))),
        Function::stable("extract_seconds", seconds()),
        // The Julian day of a timestamp: PostgreSQL divides to twenty decimals, and to more in the first seconds of a day.
        Function::stable("extract_julian", extraction::<20>(NumericOfScale(20))),
        Function::stable("date_part", date_part),
    ]
}

/// Seconds have six decimals, the epoch of a date none.
fn seconds() -> Vec<Overload> {
    let mut overloads = extraction::<6>(NumericOfScale(6));
    overloads.retain(|overload| overload.arguments != [Text, Date]);
    overloads
        .extend(extraction::<0>(NumericOfScale(0)).into_iter().filter(|overload| overload.arguments == [Text, Date]));
    overloads
}

fn extraction<const SCALE: u8>(result: Kind) -> Vec<Overload> {
    vec![
        Overload::new(&[Text, TimestampTz], result, |columns, call| {
            numeric_part::<SCALE>(columns, call, Source::TimestampTz)
        }),
        Overload::new(&[Text, Timestamp], result, |columns, call| {
            numeric_part::<SCALE>(columns, call, Source::Timestamp)
        }),
        Overload::new(&[Text, Date], result, |columns, call| numeric_part::<SCALE>(columns, call, Source::Date)),
        Overload::new(&[Text, Time], result, |columns, call| numeric_part::<SCALE>(columns, call, Source::Time)),
        Overload::new(&[Text, TimeTz], result, |columns, call| numeric_part::<SCALE>(columns, call, Source::TimeTz)),
        Overload::new(&[Text, Interval], result, |columns, call| {
            numeric_part::<SCALE>(columns, call, Source::Interval)
        }),
    ]
}

fn whole_extraction<R: ArrowPrimitiveType>(result: Kind) -> Vec<Overload>
where
    R::Native: TryFrom<i128>,
{
    vec![
        Overload::new(&[Text, TimestampTz], result, |columns, call| {
            integer_part::<R>(columns, call, Source::TimestampTz)
        }),
        Overload::new(&[Text, Timestamp], result, |columns, call| integer_part::<R>(columns, call, Source::Timestamp)),
        Overload::new(&[Text, Date], result, |columns, call| integer_part::<R>(columns, call, Source::Date)),
        Overload::new(&[Text, Time], result, |columns, call| integer_part::<R>(columns, call, Source::Time)),
        Overload::new(&[Text, TimeTz], result, |columns, call| integer_part::<R>(columns, call, Source::TimeTz)),
        Overload::new(&[Text, Interval], result, |columns, call| integer_part::<R>(columns, call, Source::Interval)),
    ]
}

fn truncations() -> Vec<Function> {
    let date_trunc = vec![
        Overload::new(&[Text, TimestampTz], TimestampTz, parts::truncate_timestamptzs),
        Overload::new(&[Text, TimestampTz, Text], TimestampTz, parts::truncate_timestamptzs_in_zone),
        Overload::new(&[Text, Timestamp], Timestamp, parts::truncate_timestamps),
        Overload::new(&[Text, Interval], Interval, parts::truncate_intervals),
    ];
    let date_bin = vec![
        Overload::new(&[Interval, TimestampTz, TimestampTz], TimestampTz, parts::bin_timestamptzs),
        Overload::new(&[Interval, Timestamp, Timestamp], Timestamp, parts::bin_timestamps),
    ];
    vec![Function::stable("date_trunc", date_trunc), Function::immutable("date_bin", date_bin)]
}

/// AT TIME ZONE.
fn zone_changes() -> Vec<Function> {
    let timezone = vec![
        Overload::new(&[Text, TimestampTz], Timestamp, zones::local_by_name),
        Overload::new(&[Text, Timestamp], TimestampTz, zones::utc_by_name),
        Overload::new(&[Interval, TimestampTz], Timestamp, zones::local_by_offset),
        Overload::new(&[Interval, Timestamp], TimestampTz, zones::utc_by_offset),
        Overload::new(&[Text, TimeTz], TimeTz, zoned_times::in_named_zone).of_today(),
        Overload::new(&[Interval, TimeTz], TimeTz, zoned_times::displaced),
    ];
    vec![Function::stable("timezone", timezone)]
}

fn constructions() -> Vec<Function> {
    let make_timestamptz = vec![
        Overload::new(&[Int4, Int4, Int4, Int4, Int4, Float8], TimestampTz, making::make_timestamptz),
        Overload::new(&[Int4, Int4, Int4, Int4, Int4, Float8, Text], TimestampTz, making::make_timestamptz_in_zone),
    ];
    let make_interval = |arguments| Overload::new(arguments, Interval, making::make_interval);
    let make_intervals = vec![
        make_interval(&[]),
        make_interval(&[Int4]),
        make_interval(&[Int4, Int4]),
        make_interval(&[Int4, Int4, Int4]),
        make_interval(&[Int4, Int4, Int4, Int4]),
        make_interval(&[Int4, Int4, Int4, Int4, Int4]),
        make_interval(&[Int4, Int4, Int4, Int4, Int4, Int4]),
        make_interval(&[Int4, Int4, Int4, Int4, Int4, Int4, Float8]),
    ];
    vec![
        single("make_date", &[Int4, Int4, Int4], Date, making::make_date),
        single("make_time", &[Int4, Int4, Float8], Time, making::make_time),
        single("make_timestamp", &[Int4, Int4, Int4, Int4, Int4, Float8], Timestamp, making::make_timestamp),
        Function::stable("make_timestamptz", make_timestamptz),
        Function::immutable("make_interval", make_intervals),
        single("to_timestamp", &[Float8], TimestampTz, making::to_timestamp),
    ]
}
