//! Dates, times and intervals as text by a template: the `to_char` of [`DateTemplate`].
//!
//! Numbers are padded with zeros and names with spaces unless in fill mode. Fields of intervals may be negative and keep their
//! sign; what needs a calendar date is refused for them.

use super::calendar::{
    date_of_julian_day, iso_day_of_year, iso_week, iso_year, julian_day, julian_day_of_days, weekday,
};
use super::date_template::{Case, DAYS, DateTemplate, Field, FieldNode, MONTHS, Node, ROMAN_MONTHS};
use super::format_error::{Fault, FormatError};
use super::number_text::ordinal_ending;
use std::fmt::Write;

const SECOND_MICROS: i64 = 1_000_000;
const DAY_MICROS: i64 = 86_400 * SECOND_MICROS;

/// A value taken apart.
#[derive(Clone, Debug, Default)]
pub(super) struct DateFields<'z> {
    pub(super) is_interval: bool,
    /// 0 is 1 BC.
    pub(super) year: i32,
    pub(super) month: i32,
    pub(super) day: i32,
    pub(super) hour: i64,
    pub(super) minute: i32,
    pub(super) second: i32,
    pub(super) micros: i32,
    /// 0 for Sunday.
    pub(super) weekday: i32,
    pub(super) day_of_year: i32,
    /// East of Greenwich.
    pub(super) offset_seconds: i32,
    /// Empty without a zone.
    pub(super) zone_name: &'z str,
}

impl DateFields<'_> {
    /// A moment in local time, in microseconds since 1970.
    pub(super) fn of_local(local_micros: i128) -> Self {
        let days = local_micros.div_euclid(i128::from(DAY_MICROS)) as i64;
        let of_day = local_micros.rem_euclid(i128::from(DAY_MICROS)) as i64;
        let julian = julian_day_of_days(days);
        let (year, month, day) = date_of_julian_day(julian);
        Self {
            year,
            month,
            day,
            weekday: weekday(julian),
            day_of_year: julian - julian_day(year, 1, 1) + 1,
            ..Self::of_time(of_day)
        }
    }

    pub(super) fn of_interval(months: i32, days: i32, micros: i64) -> Self {
        let (year, month) = (months / 12, months % 12);
        let day_of_year = months.wrapping_mul(30).wrapping_add(days);
        Self { is_interval: true, year, month, day: days, day_of_year, ..Self::of_time(micros) }
    }

    fn of_time(micros: i64) -> Self {
        let seconds = micros / SECOND_MICROS;
        Self {
            hour: seconds / 3600,
            minute: (seconds / 60 % 60) as i32,
            second: (seconds % 60) as i32,
            micros: (micros % SECOND_MICROS) as i32,
            ..Self::default()
        }
    }

    /// The year as it is written: 1 BC is 1. An interval's is what it is.
    fn shown(&self, year: i32) -> i32 {
        if self.is_interval || year > 0 { year } else { 1_i32.wrapping_sub(year) }
    }

    fn century(&self) -> i32 {
        match self.year {
            year if self.is_interval => year / 100,
            year if year > 0 => (year - 1) / 100 + 1,
            year => year / 100 - 1,
        }
    }
}

pub(super) fn write_date(
    template: &DateTemplate,
    fields: &DateFields<'_>,
    out: &mut String,
) -> Result<(), FormatError> {
    for node in &template.nodes {
        match node {
            Node::Field(node) => write_field(node, fields, out)?,
            Node::Separator(character) | Node::Space(character) | Node::Text(character) => out.push(*character),
        }
    }
    Ok(())
}

fn write_field(node: &FieldNode, fields: &DateFields<'_>, out: &mut String) -> Result<(), FormatError> {
    if fields.is_interval && needs_calendar(node.field) {
        return Err(FormatError::new(Fault::InvalidDatetime, "invalid format specification for an interval value")
            .hint("Intervals are not tied to specific calendar dates."));
    }
    let start = out.len();
    match node.field {
        Field::Meridiem { dotted, case } => out.push_str(meridiem(fields.hour % 24 >= 12, dotted, case)),
        Field::Era { dotted, case } => out.push_str(era(fields.year <= 0, dotted, case)),
        Field::DayName { full, case } => write_name(node, DAYS[fields.weekday as usize], full, case, out),
        Field::MonthName { full, case } => write_name(node, MONTHS[(fields.month - 1) as usize], full, case, out),
        Field::RomanMonth(case) => write_roman_month(node, fields, case, out),
        Field::FixedWidth => {}
        Field::ZoneName(Case::Lower) => out.push_str(&fields.zone_name.to_ascii_lowercase()),
        Field::ZoneName(_) => out.push_str(fields.zone_name),
        Field::ZoneHours | Field::ZoneMinutes | Field::ZoneOffset => write_offset(node, fields.offset_seconds, out),
        _ => {
            write_number(node, fields, out);
            return write_ordinal(node, start, out);
        }
    }
    Ok(())
}

fn needs_calendar(field: Field) -> bool {
    matches!(
        field,
        Field::ZoneName(_)
            | Field::ZoneHours
            | Field::ZoneMinutes
            | Field::ZoneOffset
            | Field::Era { .. }
            | Field::MonthName { .. }
            | Field::DayName { .. }
            | Field::Weekday
            | Field::IsoWeekday
    )
}

fn meridiem(afternoon: bool, dotted: bool, case: Case) -> &'static str {
    match (afternoon, dotted, case == Case::Lower) {
        (false, false, false) => "AM",
        (false, false, true) => "am",
        (false, true, false) => "A.M.",
        (false, true, true) => "a.m.",
        (true, false, false) => "PM",
        (true, false, true) => "pm",
        (true, true, false) => "P.M.",
        (true, true, true) => "p.m.",
    }
}

fn era(before_christ: bool, dotted: bool, case: Case) -> &'static str {
    match (before_christ, dotted, case == Case::Lower) {
        (false, false, false) => "AD",
        (false, false, true) => "ad",
        (false, true, false) => "A.D.",
        (false, true, true) => "a.d.",
        (true, false, false) => "BC",
        (true, false, true) => "bc",
        (true, true, false) => "B.C.",
        (true, true, true) => "b.c.",
    }
}

/// A full name is padded to the longest, nine letters; a short one has its first three.
fn write_name(node: &FieldNode, name: &str, full: bool, case: Case, out: &mut String) {
    let start = out.len();
    let name = if full { name } else { &name[..3] };
    out.push_str(name);
    match case {
        Case::Upper => out[start..].make_ascii_uppercase(),
        Case::Lower => out[start..].make_ascii_lowercase(),
        Case::Capitalised => {}
    }
    if full && !node.fill_mode && !node.localized {
        out.extend(std::iter::repeat_n(' ', 9 - name.len()));
    }
}

/// Months of intervals count down from December where they are negative. Full years have month 0, which is December too,
/// or January in negative ones.
fn write_roman_month(node: &FieldNode, fields: &DateFields<'_>, case: Case, out: &mut String) {
    let index = match fields.month {
        0 if fields.year == 0 => return,
        0 if fields.year > 0 => 11,
        0 => 0,
        month if month < 0 => 12 + month,
        month => month - 1,
    };
    let name = ROMAN_MONTHS[index as usize];
    let start = out.len();
    out.push_str(name);
    if case == Case::Lower {
        out[start..].make_ascii_lowercase();
    }
    if !node.fill_mode {
        out.extend(std::iter::repeat_n(' ', 4 - name.len()));
    }
}

fn write_offset(node: &FieldNode, offset_seconds: i32, out: &mut String) {
    let sign = if offset_seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset_seconds.abs() / 3600, offset_seconds.abs() % 3600 / 60);
    // Writing to a string cannot fail.
    let _ = match node.field {
        Field::ZoneHours => write!(out, "{sign}{hours:02}"),
        Field::ZoneMinutes => write!(out, "{minutes:02}"),
        _ if node.fill_mode => write!(out, "{sign}{hours}"),
        _ => write!(out, "{sign}{hours:02}"),
    };
    if node.field == Field::ZoneOffset && offset_seconds % 3600 != 0 {
        let _ = write!(out, ":{minutes:02}");
    }
}

fn write_number(node: &FieldNode, fields: &DateFields<'_>, out: &mut String) {
    if node.field == Field::YearWithComma {
        let year = fields.shown(fields.year);
        let thousands = year / 1000;
        let _ = write!(out, "{thousands},{:03}", year - thousands * 1000);
        return;
    }
    if node.field == Field::Quarter && fields.month == 0 {
        return;
    }
    let (value, width) = number_and_width(node.field, fields);
    // The width of a fraction is its meaning; fill mode does not touch it.
    let fraction = matches!(node.field, Field::Fraction(_) | Field::Millisecond | Field::Microsecond);
    let width = if node.fill_mode && !fraction { 0 } else { width };
    let _ = write!(out, "{value:0width$}");
}

/// The width counts the sign.
fn number_and_width(field: Field, fields: &DateFields<'_>) -> (i64, usize) {
    let signed = |value: i32, width: usize| (i64::from(value), width + usize::from(value < 0));
    let plain = |value: i32, width: usize| (i64::from(value), width);
    let (year, month, day) = (fields.year, fields.month, fields.day);
    match field {
        Field::Hour24 => (fields.hour, 2 + usize::from(fields.hour < 0)),
        Field::Hour12 => {
            let hour = fields.hour % 12;
            (if hour == 0 { 12 } else { hour }, 2 + usize::from(fields.hour < 0))
        }
        Field::Minute => signed(fields.minute, 2),
        Field::Second => signed(fields.second, 2),
        Field::SecondOfDay => (fields.hour * 3600 + i64::from(fields.minute) * 60 + i64::from(fields.second), 0),
        Field::Millisecond => plain(fields.micros / 1000, 3),
        Field::Microsecond => plain(fields.micros, 6),
        Field::Fraction(digits) => plain(fields.micros / 10_i32.pow(6 - u32::from(digits)), usize::from(digits)),
        Field::Century => match fields.century() {
            century @ -99..=99 => signed(century, 2),
            century => plain(century, 0),
        },
        Field::Day => plain(day, 2),
        Field::DayOfYear => plain(fields.day_of_year, 3),
        Field::IsoDayOfYear => plain(iso_day_of_year(year, month, day), 3),
        Field::Weekday => plain(fields.weekday + 1, 0),
        Field::IsoWeekday => plain(if fields.weekday == 0 { 7 } else { fields.weekday }, 0),
        Field::Month => signed(month, 2),
        Field::Quarter => plain((month - 1) / 3 + 1, 0),
        Field::Week => plain(fields.day_of_year.wrapping_sub(1) / 7 + 1, 2),
        Field::WeekOfMonth => plain(day.wrapping_sub(1) / 7 + 1, 0),
        Field::IsoWeek => plain(iso_week(year, month, day), 2),
        Field::JulianDay => plain(julian_day(year, month, day), 0),
        Field::Year(digits) => year_and_width(fields, year, digits),
        Field::IsoYear(digits) => year_and_width(fields, iso_year(year, month, day), digits),
        // The other fields are no numbers.
        _ => (0, 0),
    }
}

/// The last digits of a year; the width goes by the sign of the calendar year for ISO years too.
fn year_and_width(fields: &DateFields<'_>, year: i32, digits: u8) -> (i64, usize) {
    let negative = fields.shown(fields.year) < 0;
    let shown = fields.shown(year);
    match digits {
        1 => (i64::from(shown % 10), 1),
        4 => (i64::from(shown), 4 + usize::from(negative)),
        _ => (i64::from(shown % 10_i32.pow(u32::from(digits))), usize::from(digits) + usize::from(negative)),
    }
}

fn write_ordinal(node: &FieldNode, start: usize, out: &mut String) -> Result<(), FormatError> {
    if let Some(case) = node.ordinal
        && out.len() > start
    {
        let ending = ordinal_ending(&out[start..], case == Case::Upper)?;
        out.push_str(ending);
    }
    Ok(())
}
