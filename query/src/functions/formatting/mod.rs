//! to_char, to_date, to_timestamp and to_number: values to text and back by a template.
//!
//!     to_char        date_template   ─▶ date_writing            calendar (ISO weeks, Julian days)
//!                    number_template ─▶ number_text ─▶ number_writing
//!     to_date, …     date_template   ─▶ date_reading
//!     to_number      number_template ─▶ number_reading          to_number (the result's scale)
//!
//! This file has the loops over columns; everything below it knows neither Arrow nor sessions. A template that is the
//! same in row after row is taken apart once. Names of months and days are English, signs and separators those of locale C.

mod calendar;
mod characters;
mod date_reading;
mod date_template;
mod date_writing;
mod format_error;
mod number_reading;
mod number_template;
mod number_text;
mod number_writing;
#[cfg(test)]
mod tests;
mod to_number;
mod zone_names;

pub(super) use to_number::to_number;

use super::overload::{Call, Function, Kind, Overload};
use crate::error::{ErrorKind, QueryError};
use crate::types::OffsetCache;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Date32Array, PrimitiveArray, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    TimestampMicrosecondType,
};
use date_reading::{ReadMoment, read_date};
use date_template::DateTemplate;
use date_writing::{DateFields, write_date};
use format_error::{Fault, FormatError};
use number_template::NumberTemplate;
use number_text::NumberText;
use number_writing::write_number;
use std::sync::Arc;
use zone_names::zone_name;

const SECOND_MICROS: i64 = 1_000_000;
const MICRO_NANOS: i64 = 1000;

type Column = Result<ArrayRef, QueryError>;

/// The overloads of this folder. `to_number` is not among them, as its type depends on its template; see [`to_number()`].
/// `to_timestamp` of a number is made elsewhere.
pub(super) fn functions() -> Vec<Function> {
    use Kind::{Date, Float4, Float8, Int4, Int8, Interval, Numeric, Text, Timestamp, TimestampTz};
    let to_char = vec![
        Overload::new(&[TimestampTz, Text], Text, timestamptz_to_char),
        Overload::new(&[Timestamp, Text], Text, timestamp_to_char),
        Overload::new(&[Interval, Text], Text, interval_to_char),
        Overload::new(&[Int4, Text], Text, int4_to_char),
        Overload::new(&[Int8, Text], Text, int8_to_char),
        Overload::new(&[Numeric, Text], Text, numeric_to_char),
        Overload::new(&[Float8, Text], Text, double_to_char),
        Overload::new(&[Float4, Text], Text, real_to_char),
    ];
    vec![
        Function::stable("to_char", to_char),
        Function::stable("to_date", vec![Overload::new(&[Text, Text], Date, to_date)]),
        Function::stable("to_timestamp", vec![Overload::new(&[Text, Text], TimestampTz, to_timestamp)]),
    ]
}

impl From<FormatError> for QueryError {
    #[cold]
    fn from(error: FormatError) -> Self {
        let kind = match error.fault {
            Fault::InvalidDatetime => ErrorKind::InvalidDatetimeFormat,
            // PostgreSQL has a code of its own for offsets.
            Fault::DatetimeOutOfRange | Fault::ZoneOutOfRange => ErrorKind::DatetimeOutOfRange,
            Fault::NotSupported => ErrorKind::FeatureNotSupported,
            Fault::Syntax => ErrorKind::Syntax,
            Fault::InvalidText => ErrorKind::InvalidTextRepresentation,
            Fault::NumberOutOfRange => ErrorKind::NumericOutOfRange,
        };
        let mut query_error = Self::new(kind, error.message);
        query_error.detail = error.detail;
        query_error.hint = error.hint.map(str::to_string);
        query_error
    }
}

/// A column of templates, the last of which stays taken apart.
struct Templates<'a, T> {
    texts: &'a StringViewArray,
    parse: fn(&str) -> Result<T, FormatError>,
    text: Option<&'a str>,
    template: T,
}

impl<'a> Templates<'a, DateTemplate> {
    fn of_dates(column: &'a ArrayRef) -> Self {
        Self::new(column, |text| Ok(DateTemplate::parse(text)))
    }
}

impl<'a> Templates<'a, NumberTemplate> {
    fn of_numbers(column: &'a ArrayRef) -> Self {
        Self::new(column, NumberTemplate::parse)
    }
}

impl<'a, T: Default> Templates<'a, T> {
    fn new(column: &'a ArrayRef, parse: fn(&str) -> Result<T, FormatError>) -> Self {
        Self { texts: column.as_string_view(), parse, text: None, template: T::default() }
    }

    fn is_empty_at(&self, row: usize) -> bool {
        self.texts.value(row).is_empty()
    }

    fn at(&mut self, row: usize) -> Result<&T, FormatError> {
        let text = self.texts.value(row);
        if self.text != Some(text) {
            self.template = (self.parse)(text)?;
            self.text = Some(text);
        }
        Ok(&self.template)
    }
}

fn common_nulls(columns: &[ArrayRef]) -> Option<NullBuffer> {
    columns.iter().fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.nulls()))
}

/// A column of texts. `write` says whether there is one; it is not asked for rows with a NULL argument.
fn text_column(
    columns: &[ArrayRef],
    call: &Call,
    mut write: impl FnMut(usize, &mut String) -> Result<bool, FormatError>,
) -> Column {
    let nulls = common_nulls(columns);
    let mut builder = StringViewBuilder::with_capacity(call.rows);
    let mut text = String::new();
    for row in 0..call.rows {
        text.clear();
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) && write(row, &mut text)? {
            builder.append_value(&text);
        } else {
            builder.append_null();
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// The extreme microseconds are infinity, which has no fields.
fn is_finite(micros: i64) -> bool {
    micros != i64::MIN && micros != i64::MAX
}

fn timestamp_to_char(columns: &[ArrayRef], call: &Call) -> Column {
    let moments = columns[0].as_primitive::<TimestampMicrosecondType>().values();
    let mut templates = Templates::of_dates(&columns[1]);
    text_column(columns, call, |row, out| {
        if templates.is_empty_at(row) || !is_finite(moments[row]) {
            return Ok(false);
        }
        let fields = DateFields::of_local(i128::from(moments[row]));
        write_date(templates.at(row)?, &fields, out).map(|()| true)
    })
}

pub(super) fn timestamptz_to_char(columns: &[ArrayRef], call: &Call) -> Column {
    let moments = columns[0].as_primitive::<TimestampMicrosecondType>().values();
    let mut templates = Templates::of_dates(&columns[1]);
    let mut offsets = OffsetCache::new(call.zone);
    text_column(columns, call, |row, out| {
        if templates.is_empty_at(row) || !is_finite(moments[row]) {
            return Ok(false);
        }
        let template = templates.at(row)?;
        let seconds = moments[row].div_euclid(SECOND_MICROS);
        let offset_seconds = offsets.offset_at(seconds);
        let zone_name = if template.names_zone() { zone_name(&call.zone, seconds) } else { String::new() };
        let local = i128::from(moments[row]) + i128::from(offset_seconds) * i128::from(SECOND_MICROS);
        let fields = DateFields { offset_seconds, zone_name: &zone_name, ..DateFields::of_local(local) };
        write_date(template, &fields, out).map(|()| true)
    })
}

fn interval_to_char(columns: &[ArrayRef], call: &Call) -> Column {
    let intervals = columns[0].as_primitive::<IntervalMonthDayNanoType>().values();
    let mut templates = Templates::of_dates(&columns[1]);
    text_column(columns, call, |row, out| {
        if templates.is_empty_at(row) {
            return Ok(false);
        }
        let interval = intervals[row];
        let fields = DateFields::of_interval(interval.months, interval.days, interval.nanoseconds / MICRO_NANOS);
        write_date(templates.at(row)?, &fields, out).map(|()| true)
    })
}

/// An empty template gives an empty text, not NULL as for dates.
fn numbers_to_char(
    columns: &[ArrayRef],
    call: &Call,
    number: impl Fn(&NumberTemplate, usize) -> Result<NumberText, FormatError>,
) -> Column {
    let mut templates = Templates::of_numbers(&columns[1]);
    text_column(columns, call, |row, out| {
        if !templates.is_empty_at(row) {
            let template = templates.at(row)?;
            write_number(template, &number(template, row)?, out)?;
        }
        Ok(true)
    })
}

fn int4_to_char(columns: &[ArrayRef], call: &Call) -> Column {
    let values = columns[0].as_primitive::<Int32Type>().values();
    numbers_to_char(columns, call, |template, row| Ok(NumberText::of_int4(template, values[row])))
}

fn int8_to_char(columns: &[ArrayRef], call: &Call) -> Column {
    let values = columns[0].as_primitive::<Int64Type>().values();
    numbers_to_char(columns, call, |template, row| NumberText::of_int8(template, values[row]))
}

fn real_to_char(columns: &[ArrayRef], call: &Call) -> Column {
    let values = columns[0].as_primitive::<Float32Type>().values();
    numbers_to_char(columns, call, |template, row| Ok(NumberText::of_real(template, values[row])))
}

fn double_to_char(columns: &[ArrayRef], call: &Call) -> Column {
    let values = columns[0].as_primitive::<Float64Type>().values();
    numbers_to_char(columns, call, |template, row| Ok(NumberText::of_double(template, values[row])))
}

fn numeric_to_char(columns: &[ArrayRef], call: &Call) -> Column {
    match columns[0].data_type() {
        DataType::Decimal256(_, scale) => {
            let values = columns[0].as_primitive::<Decimal256Type>().values();
            numbers_to_char(columns, call, |template, row| {
                let text = values[row].to_string();
                let digits = text.strip_prefix('-').unwrap_or(&text);
                NumberText::of_decimal(template, values[row].is_negative(), digits, i32::from(*scale))
            })
        }
        data_type => {
            let scale = if let DataType::Decimal128(_, scale) = data_type { i32::from(*scale) } else { 0 };
            let values = columns[0].as_primitive::<Decimal128Type>().values();
            numbers_to_char(columns, call, |template, row| {
                let digits = values[row].unsigned_abs().to_string();
                NumberText::of_decimal(template, values[row] < 0, &digits, scale)
            })
        }
    }
}

/// A column of what the texts say by their templates.
fn read_column<R: ArrowPrimitiveType>(
    columns: &[ArrayRef],
    call: &Call,
    value: impl Fn(&ReadMoment, &str) -> Result<R::Native, FormatError>,
) -> Result<PrimitiveArray<R>, QueryError> {
    let nulls = common_nulls(columns);
    let texts = columns[0].as_string_view();
    let mut templates = Templates::of_dates(&columns[1]);
    let mut values = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            values.push(R::Native::default());
            continue;
        }
        let text = texts.value(row);
        values.push(value(&read_date(templates.at(row)?, text)?, text)?);
    }
    Ok(PrimitiveArray::new(values.into(), nulls))
}

fn to_date(columns: &[ArrayRef], call: &Call) -> Column {
    let dates: Date32Array = read_column(columns, call, |moment, text| {
        moment
            .days()
            .ok_or_else(|| FormatError::new(Fault::DatetimeOutOfRange, format!("date out of range: \"{text}\"")))
    })?;
    Ok(Arc::new(dates))
}

/// A text without an offset is in the session's zone.
fn to_timestamp(columns: &[ArrayRef], call: &Call) -> Column {
    let moments: TimestampMicrosecondArray = read_column(columns, call, |moment, _| {
        let offset_seconds = match (moment.offset_seconds, moment.local_seconds()) {
            (Some(offset_seconds), _) => offset_seconds,
            (None, Some(local)) => call.zone.offset_of_local(local),
            (None, None) => 0,
        };
        moment
            .instant_micros(offset_seconds)
            .ok_or_else(|| FormatError::new(Fault::DatetimeOutOfRange, "timestamp out of range"))
    })?;
    Ok(Arc::new(moments.with_timezone("UTC")))
}
