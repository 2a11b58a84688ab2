//! Dates and times from text by a template: what `to_date` and `to_timestamp` share.
//!
//!     text ──Reader──▶ Found: every field as it was read ──resolve──▶ ReadMoment: one date, time and offset
//!
//! The template guides rather than checks: a separator matches any separator or none, a letter any character, and spaces before and
//! after fields do not count, unless `FX` asks for exact widths. Reading stops where the text ends; fields that
//! it did not reach keep their defaults. Works on bytes, because a template may split a text anywhere.

use super::calendar::{
    POSTGRES_EPOCH, date_of_julian_day, days_in_month, days_since_1970, iso_week_date, iso_week_start, julian_day,
};
use super::characters::{character_length, is_separator, is_space};
use super::date_template::{Convention, DAYS, DateTemplate, Field, FieldNode, MONTHS, Node, ROMAN_MONTHS};
use super::format_error::{Fault, FormatError};

const SECOND_MICROS: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;
/// The last date has the Julian day before this one.
const JULIAN_DAY_END: i32 = 2_147_483_494;
/// The moments that PostgreSQL has, in microseconds since 1970; those above an i64 are out of range here.
const TIMESTAMP_MICROS_MIN: i64 = -210_866_803_200_000_000;
/// Hours of an offset.
const OFFSET_HOURS_MAX: i32 = 15;

/// What a text says. The date is one that the template's fields allow, which need not exist: a month without a year may have 31 days.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ReadMoment {
    pub(super) year: i32,
    pub(super) month: i32,
    pub(super) day: i32,
    pub(super) hour: i32,
    pub(super) minute: i32,
    pub(super) second: i32,
    pub(super) micros: i64,
    /// Digits that `FF1` to `FF6` keep of the second; 0 keeps all.
    pub(super) precision: u32,
    /// Seconds east of Greenwich, where the text names them.
    pub(super) offset_seconds: Option<i32>,
}

impl ReadMoment {
    /// Days since 1970, for a date that PostgreSQL has.
    pub(super) fn days(&self) -> Option<i32> {
        let julian = self.julian_day()?;
        (0..JULIAN_DAY_END).contains(&julian).then(|| days_since_1970(julian))
    }

    fn julian_day(&self) -> Option<i32> {
        let date = (self.year, self.month);
        ((-4713, 11)..(5_874_898, 6)).contains(&date).then(|| julian_day(self.year, self.month, self.day))
    }

    /// Seconds since 1970 in local time, to look up the offset of a zone.
    pub(super) fn local_seconds(&self) -> Option<i64> {
        let days = i64::from(days_since_1970(self.julian_day()?));
        let time = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        Some(days * DAY_SECONDS + time)
    }

    /// Microseconds since 1970 UTC; `None` beyond the range.
    pub(super) fn instant_micros(&self, offset_seconds: i32) -> Option<i64> {
        let seconds = self.local_seconds()?.checked_sub(i64::from(offset_seconds))?;
        let micros = seconds.checked_mul(SECOND_MICROS)?.checked_add(self.micros)?;
        (micros >= TIMESTAMP_MICROS_MIN).then(|| rounded(micros, self.precision))
    }
}

/// Rounds half away from 2000-01-01, PostgreSQL's zero.
fn rounded(micros: i64, precision: u32) -> i64 {
    if precision == 0 || precision >= 6 {
        return micros;
    }
    let unit = 10_i64.pow(6 - precision);
    let epoch = i64::from(days_since_1970(POSTGRES_EPOCH)) * DAY_SECONDS * SECOND_MICROS;
    let from_epoch = micros - epoch;
    let magnitude = (from_epoch.abs() + unit / 2) / unit * unit;
    epoch + if from_epoch < 0 { -magnitude } else { magnitude }
}

pub(super) fn read_date(template: &DateTemplate, text: &str) -> Result<ReadMoment, FormatError> {
    let mut reader = Reader { text: text.as_bytes(), at: 0, fixed_width: false, skipped: 0, found: Found::default() };
    reader.read(template)?;
    reader.found.resolve(text)
}

/// The fields that a text had; 0 where it had none.
#[derive(Debug, Default)]
struct Found {
    convention: Option<Convention>,
    twelve_hours: bool,
    afternoon: i32,
    before_christ: i32,
    hour: i32,
    minute: i32,
    second: i32,
    second_of_day: i32,
    millis: i32,
    micros: i32,
    precision: u32,
    year: i32,
    year_digits: u8,
    century: i32,
    month: i32,
    day: i32,
    day_of_year: i32,
    /// 1 for Sunday.
    weekday: i32,
    week: i32,
    week_of_month: i32,
    julian_day: i32,
    /// -1 or 1 where an offset was read.
    zone_sign: i32,
    zone_hours: i32,
    zone_minutes: i32,
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    /// `FX` was met.
    fixed_width: bool,
    /// Characters that were skipped beyond those that the template has.
    skipped: i32,
    found: Found,
}

impl Reader<'_> {
    fn read(&mut self, template: &DateTemplate) -> Result<(), FormatError> {
        for (index, node) in template.nodes.iter().enumerate() {
            if self.at >= self.text.len() {
                break;
            }
            let is_field = matches!(node, Node::Field(field) if field.field != Field::FixedWidth);
            let opens_text = index == 0 && !matches!(node, Node::Field(_));
            if !self.fixed_width && (is_field || opens_text) {
                self.skipped += self.skip_spaces();
            }
            match node {
                Node::Separator(_) | Node::Space(_) => self.skip_separator(),
                Node::Text(_) => self.skip_text(),
                Node::Field(field) => {
                    self.set_convention(field.field)?;
                    self.read_field(field)?;
                    if !self.fixed_width {
                        self.skipped = self.skip_spaces();
                    }
                }
            }
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_spaces(&mut self) -> i32 {
        let count = self.text[self.at..].iter().take_while(|byte| is_space(**byte)).count();
        self.at += count;
        count as i32
    }

    fn skip_character(&mut self) {
        self.at += character_length(&self.text[self.at..]);
    }

    /// One separator of the template takes at most one of the text.
    fn skip_separator(&mut self) {
        if self.fixed_width {
            return self.skip_character();
        }
        match self.peek() {
            Some(byte) if is_space(byte) || is_separator(byte) => self.at += 1,
            _ => self.skipped -= 1,
        }
    }

    /// A character of the template takes any one of the text, unless enough were skipped already.
    fn skip_text(&mut self) {
        if !self.fixed_width && self.skipped > 0 {
            self.skipped -= 1;
        } else {
            self.skip_character();
        }
    }

    fn set_convention(&mut self, field: Field) -> Result<(), FormatError> {
        match (self.found.convention, field.convention()) {
            (None, Some(convention)) => self.found.convention = Some(convention),
            (Some(before), Some(convention)) if before != convention => {
                return Err(FormatError::new(Fault::InvalidDatetime, "invalid combination of date conventions")
                    .hint("Do not mix Gregorian and ISO week date conventions in a formatting template."));
            }
            _ => {}
        }
        Ok(())
    }

    fn read_field(&mut self, node: &FieldNode) -> Result<(), FormatError> {
        match node.field {
            Field::FixedWidth => self.fixed_width = true,
            Field::Meridiem { dotted, .. } => {
                let names = if dotted { &["a.m.", "p.m."] } else { &["am", "pm"] };
                let index = self.read_word(node, names)?;
                set(&mut self.found.afternoon, index as i32, node)?;
                self.found.twelve_hours = true;
            }
            Field::Era { dotted, .. } => {
                let names = if dotted { &["a.d.", "b.c."] } else { &["ad", "bc"] };
                let index = self.read_word(node, names)?;
                set(&mut self.found.before_christ, index as i32, node)?;
            }
            Field::DayName { full, .. } => {
                let index = self.read_word(node, &DAYS.map(|name| if full { name } else { &name[..3] }))?;
                set(&mut self.found.weekday, index as i32, node)?;
                self.found.weekday += 1;
            }
            Field::MonthName { full, .. } => {
                let index = self.read_word(node, &MONTHS.map(|name| if full { name } else { &name[..3] }))?;
                set(&mut self.found.month, index as i32 + 1, node)?;
            }
            Field::RomanMonth(_) => {
                let mut names = ROMAN_MONTHS;
                // VIII must be tried before VII, VI and V.
                names.reverse();
                let index = self.read_word(node, &names)?;
                set(&mut self.found.month, 12 - index as i32, node)?;
            }
            Field::ZoneName(_) | Field::ZoneOffset => {
                return Err(FormatError::new(
                    Fault::NotSupported,
                    format!("formatting field \"{}\" is only supported in to_char", node.name),
                ));
            }
            Field::ZoneHours => {
                self.read_zone_sign();
                self.number(node, 2, |found| &mut found.zone_hours)?;
            }
            Field::ZoneMinutes => {
                if self.found.zone_sign == 0 {
                    self.found.zone_sign = 1;
                }
                self.number(node, 2, |found| &mut found.zone_minutes)?;
            }
            _ => {
                self.read_numeric_field(node)?;
                if node.ordinal.is_some() {
                    self.skip_character();
                    self.skip_character();
                }
            }
        }
        Ok(())
    }

    fn read_numeric_field(&mut self, node: &FieldNode) -> Result<(), FormatError> {
        match node.field {
            Field::Hour12 => {
                self.number(node, 2, |found| &mut found.hour)?;
                self.found.twelve_hours = true;
            }
            Field::Hour24 => _ = self.number(node, 2, |found| &mut found.hour)?,
            Field::Minute => _ = self.number(node, 2, |found| &mut found.minute)?,
            Field::Second => _ = self.number(node, 2, |found| &mut found.second)?,
            Field::SecondOfDay => _ = self.number(node, node.name.len(), |found| &mut found.second_of_day)?,
            Field::Millisecond => {
                let length = self.number(node, 3, |found| &mut found.millis)?;
                self.found.millis = self.found.millis.wrapping_mul(fraction_unit(length, 3));
            }
            Field::Microsecond | Field::Fraction(_) => {
                let digits = match node.field {
                    Field::Fraction(digits) => {
                        self.found.precision = u32::from(digits);
                        usize::from(digits)
                    }
                    _ => 6,
                };
                let length = self.number(node, digits, |found| &mut found.micros)?;
                self.found.micros = self.found.micros.wrapping_mul(fraction_unit(length, 6));
            }
            Field::Month => _ = self.number(node, 2, |found| &mut found.month)?,
            Field::Day => _ = self.number(node, 2, |found| &mut found.day)?,
            Field::DayOfYear | Field::IsoDayOfYear => _ = self.number(node, 3, |found| &mut found.day_of_year)?,
            Field::Weekday => _ = self.number(node, 1, |found| &mut found.weekday)?,
            Field::IsoWeekday => {
                self.number(node, 1, |found| &mut found.weekday)?;
                // From Monday 1 to Sunday 1.
                self.found.weekday = self.found.weekday.wrapping_add(1);
                if self.found.weekday > 7 {
                    self.found.weekday = 1;
                }
            }
            Field::Week | Field::IsoWeek => _ = self.number(node, 2, |found| &mut found.week)?,
            Field::WeekOfMonth => _ = self.number(node, 1, |found| &mut found.week_of_month)?,
            // A quarter says nothing about the day, and may stand beside a month.
            Field::Quarter => _ = self.parse_number(node, 1)?,
            Field::Century => _ = self.number(node, 2, |found| &mut found.century)?,
            Field::JulianDay => _ = self.number(node, 1, |found| &mut found.julian_day)?,
            Field::YearWithComma => self.read_year_with_comma(node)?,
            Field::Year(digits) | Field::IsoYear(digits) => {
                let length = self.number(node, usize::from(digits), |found| &mut found.year)?;
                if digits < 4 && length < 4 {
                    self.found.year = nearest_to_2020(self.found.year);
                }
                self.found.year_digits = digits;
            }
            // The other fields are no numbers.
            _ => {}
        }
        Ok(())
    }

    /// Reads a number into a field; returns the bytes that it took.
    fn number(
        &mut self,
        node: &FieldNode,
        length: usize,
        field: fn(&mut Found) -> &mut i32,
    ) -> Result<usize, FormatError> {
        let (value, taken) = self.parse_number(node, length)?;
        set(field(&mut self.found), value, node)?;
        Ok(taken)
    }

    /// Reads exactly `length` characters after spaces, or as many digits as there are.
    fn parse_number(&mut self, node: &FieldNode, length: usize) -> Result<(i32, usize), FormatError> {
        let start = self.at;
        let spaces = self.text[start..].iter().take_while(|byte| is_space(**byte)).count();
        let rest = &self.text[start + spaces..];
        let field = &rest[..rest.len().min(length)];
        let invalid = || {
            let field = String::from_utf8_lossy(field);
            FormatError::new(Fault::InvalidDatetime, format!("invalid value \"{field}\" for \"{}\"", node.name))
        };
        let (value, used) = if node.greedy {
            leading_integer(rest)
        } else {
            if rest.len() < length {
                return Err(too_short(node, length, rest.len()));
            }
            let (value, used) = leading_integer(field);
            if used > 0 && used < length {
                let detail = format!("Field requires {length} characters, but only {used} could be parsed.");
                return Err(invalid().detail(detail).hint(FILL_MODE_HINT));
            }
            (value, used)
        };
        if used > 0 || !node.greedy {
            self.at = start + spaces + used;
        }
        if self.at == start {
            return Err(invalid().detail("Value must be an integer."));
        }
        let value = i32::try_from(value).map_err(|_| {
            FormatError::new(
                Fault::DatetimeOutOfRange,
                format!("value for \"{}\" in source string is out of range", node.name),
            )
            .detail(format!("Value must be in the range {} to {}.", i32::MIN, i32::MAX))
        })?;
        Ok((value, self.at - start))
    }

    /// The first name that the text goes on with, in any case.
    fn read_word(&mut self, node: &FieldNode, names: &[&str]) -> Result<usize, FormatError> {
        let rest = &self.text[self.at..];
        let starts =
            |name: &&str| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()));
        if let Some(index) = names.iter().position(starts) {
            self.at += names[index].len();
            return Ok(index);
        }
        let end = rest.iter().position(|byte| is_space(*byte)).unwrap_or(rest.len());
        let word = String::from_utf8_lossy(&rest[..end]);
        Err(FormatError::new(Fault::InvalidDatetime, format!("invalid value \"{word}\" for \"{}\"", node.name))
            .detail("The given value did not match any of the allowed values for this field."))
    }

    /// A minus before the hours may have been taken for a separator.
    fn read_zone_sign(&mut self) {
        match self.peek() {
            Some(sign @ (b'+' | b'-' | b' ')) => {
                self.found.zone_sign = if sign == b'-' { -1 } else { 1 };
                self.at += 1;
            }
            _ => {
                let minus = self.skipped > 0 && self.at > 0 && self.text[self.at - 1] == b'-';
                self.found.zone_sign = if minus { -1 } else { 1 };
            }
        }
    }

    /// `2,025`: thousands, a comma, and up to three characters.
    fn read_year_with_comma(&mut self, node: &FieldNode) -> Result<(), FormatError> {
        let invalid = || FormatError::new(Fault::InvalidDatetime, "invalid input string for \"Y,YYY\"");
        let (thousands, used) = leading_integer(&self.text[self.at..]);
        let comma = self.at + used;
        if used == 0 || self.text.get(comma) != Some(&b',') {
            return Err(invalid());
        }
        let after = &self.text[comma + 1..];
        let spaces = after.iter().take_while(|byte| is_space(**byte)).count();
        let field = &after[spaces..after.len().min(spaces + 3)];
        let (years, used) = leading_integer(field);
        if used == 0 {
            return Err(invalid());
        }
        let year = (thousands as i32).wrapping_mul(1000).wrapping_add(years as i32);
        set(&mut self.found.year, year, node)?;
        self.found.year_digits = 4;
        self.at = comma + 1 + spaces + used;
        Ok(())
    }
}

const FILL_MODE_HINT: &str = "If your source string is not fixed-width, try using the \"FM\" modifier.";

fn too_short(node: &FieldNode, length: usize, remaining: usize) -> FormatError {
    FormatError::new(Fault::InvalidDatetime, format!("source string too short for \"{}\" formatting field", node.name))
        .detail(format!("Field requires {length} characters, but only {remaining} remain."))
        .hint(FILL_MODE_HINT)
}

/// Stores a value; a field that was read before must have the same.
fn set(field: &mut i32, value: i32, node: &FieldNode) -> Result<(), FormatError> {
    if *field != 0 && *field != value {
        return Err(FormatError::new(
            Fault::InvalidDatetime,
            format!("conflicting values for \"{}\" field in formatting string", node.name),
        )
        .detail("This value contradicts a previous setting for the same field type."));
    }
    *field = value;
    Ok(())
}

/// An integer with its sign after spaces, and the bytes that it took: none where there is no digit. Saturates.
fn leading_integer(text: &[u8]) -> (i64, usize) {
    let spaces = text.iter().take_while(|byte| is_space(**byte)).count();
    let body = &text[spaces..];
    let sign = usize::from(matches!(body.first(), Some(b'+' | b'-')));
    let digits = body[sign..].iter().take_while(|byte| byte.is_ascii_digit());
    let (mut magnitude, mut count) = (0_i64, 0);
    for digit in digits {
        magnitude = magnitude.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
        count += 1;
    }
    match count {
        0 => (0, 0),
        _ => (if body[0] == b'-' { -magnitude } else { magnitude }, spaces + sign + count),
    }
}

/// What one unit of a fraction of so many digits counts: `25` milliseconds are 250.
fn fraction_unit(length: usize, digits: usize) -> i32 {
    10_i32.pow(digits.saturating_sub(length) as u32)
}

/// Years of up to three digits lie around 2020: 69 is 2069, 70 is 1970, 520 is 1520.
fn nearest_to_2020(year: i32) -> i32 {
    match year {
        70..=99 => year + 1900,
        520..=999 => year + 1000,
        _ if year < 520 => year + 2000,
        _ => year,
    }
}

impl Found {
    fn resolve(&self, text: &str) -> Result<ReadMoment, FormatError> {
        let (hour, minute, second) = self.time()?;
        let micros = i64::from(self.millis.wrapping_mul(1000).wrapping_add(self.micros));
        let mut date = Date { year: 0, month: 1, day: 1, has_year: false, has_month: false, has_day: false };
        self.set_year(&mut date);
        self.set_days(&mut date);
        self.set_day_of_year(&mut date)?;
        let time_exists = (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second)
            && (0..SECOND_MICROS).contains(&micros);
        if !date.is_valid() || !time_exists {
            return Err(FormatError::new(
                Fault::DatetimeOutOfRange,
                format!("date/time field value out of range: \"{text}\""),
            ));
        }
        let offset_seconds = self.offset_seconds(text)?;
        let Date { year, month, day, .. } = date;
        Ok(ReadMoment { year, month, day, hour, minute, second, micros, precision: self.precision, offset_seconds })
    }

    fn time(&self) -> Result<(i32, i32, i32), FormatError> {
        let of_day = self.second_of_day;
        let or = |value: i32, default: i32| if value == 0 { default } else { value };
        let minute = or(self.minute, of_day % 3600 / 60);
        let second = or(self.second, of_day % 60);
        let mut hour = or(self.hour, of_day / 3600);
        if self.twelve_hours {
            if !(1..=12).contains(&hour) {
                return Err(FormatError::new(
                    Fault::InvalidDatetime,
                    format!("hour \"{hour}\" is invalid for the 12-hour clock"),
                )
                .hint("Use the 24-hour clock, or give an hour between 1 and 12."));
            }
            hour = hour % 12 + if self.afternoon != 0 { 12 } else { 0 };
        }
        Ok((hour, minute, second))
    }

    /// A century completes a year of one or two digits; alone it stands for its first year.
    fn set_year(&self, date: &mut Date) {
        let century = if self.before_christ != 0 { self.century.wrapping_neg() } else { self.century };
        date.has_year = self.year != 0 || century != 0;
        date.year = match (self.year, century) {
            (0, 0) => 0,
            (0, 1..) => century.wrapping_sub(1).wrapping_mul(100).wrapping_add(1),
            (0, _) => century.wrapping_mul(100).wrapping_add(1),
            (year, century) if century != 0 && self.year_digits <= 2 => match (year % 100, century > 0) {
                (0, true) => century.wrapping_mul(100),
                (0, false) => century.wrapping_mul(100).wrapping_add(1),
                (year, true) => century.wrapping_sub(1).wrapping_mul(100).wrapping_add(year),
                (year, false) => century.wrapping_add(1).wrapping_mul(100).wrapping_sub(year).wrapping_add(1),
            },
            (year, _) => {
                let year = if self.before_christ != 0 { year.wrapping_neg() } else { year };
                if year < 0 { year + 1 } else { year }
            }
        };
    }

    fn set_days(&self, date: &mut Date) {
        if self.julian_day != 0 {
            date.set_julian_day(self.julian_day);
        }
        if self.week != 0 && self.convention == Some(Convention::IsoWeek) {
            date.set_julian_day(match self.weekday {
                0 => iso_week_start(date.year, self.week),
                weekday => iso_week_date(date.year, self.week, weekday),
            });
        }
        let day = match self.week_of_month {
            0 => self.day,
            week => first_of_week(week),
        };
        if day != 0 {
            (date.day, date.has_day) = (day, true);
        }
        if self.month != 0 {
            (date.month, date.has_month) = (self.month, true);
        }
    }

    fn set_day_of_year(&self, date: &mut Date) -> Result<(), FormatError> {
        let iso = self.convention == Some(Convention::IsoWeek);
        let day_of_year = match self.week {
            week if week != 0 && !iso => first_of_week(week),
            _ => self.day_of_year,
        };
        if day_of_year == 0 || (date.month > 1 && date.day > 1) {
            return Ok(());
        }
        if date.year == 0 && self.before_christ == 0 {
            return Err(FormatError::new(
                Fault::InvalidDatetime,
                "cannot calculate day of year without year information",
            ));
        }
        if iso {
            date.set_julian_day(iso_week_start(date.year, 1).wrapping_sub(1).wrapping_add(day_of_year));
            return Ok(());
        }
        let (month, day) = month_and_day(date.year, day_of_year);
        if date.month <= 1 {
            date.month = month;
        }
        if date.day <= 1 {
            date.day = day;
        }
        (date.has_month, date.has_day) = (true, true);
        Ok(())
    }

    fn offset_seconds(&self, text: &str) -> Result<Option<i32>, FormatError> {
        if self.zone_sign == 0 {
            return Ok(None);
        }
        if !(0..=OFFSET_HOURS_MAX).contains(&self.zone_hours) || !(0..60).contains(&self.zone_minutes) {
            return Err(FormatError::new(
                Fault::ZoneOutOfRange,
                format!("time zone displacement out of range: \"{text}\""),
            ));
        }
        Ok(Some(self.zone_sign * (self.zone_hours * 3600 + self.zone_minutes * 60)))
    }
}

fn first_of_week(week: i32) -> i32 {
    week.wrapping_sub(1).wrapping_mul(7).wrapping_add(1)
}

/// A day beyond the year's last is in month 13.
fn month_and_day(year: i32, day_of_year: i32) -> (i32, i32) {
    let mut day = day_of_year;
    for month in 1..=12 {
        let days = days_in_month(year, month);
        if day <= days {
            return (month, day);
        }
        day -= days;
    }
    (13, day)
}

/// A date while it is put together, and which parts of it the text gave.
struct Date {
    year: i32,
    month: i32,
    day: i32,
    has_year: bool,
    has_month: bool,
    has_day: bool,
}

impl Date {
    fn set_julian_day(&mut self, julian: i32) {
        (self.year, self.month, self.day) = date_of_julian_day(julian);
        (self.has_year, self.has_month, self.has_day) = (true, true, true);
    }

    /// The length of the month counts only where all three parts were given.
    fn is_valid(&self) -> bool {
        if self.has_month && !(1..=12).contains(&self.month) {
            return false;
        }
        if self.has_day && !(1..=31).contains(&self.day) {
            return false;
        }
        !(self.has_year && self.has_month && self.has_day) || self.day <= days_in_month(self.year, self.month)
    }
}
