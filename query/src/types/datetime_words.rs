//! The general form of date and time text: fields in many orders, month names, zones.
//!
//!     text ──cut──▶ fields, by their first character ──Reader──▶ Moment
//!
//! The steps are PostgreSQL's: `DecodeDateTime` of its `datetime.c`, and `DecodeTimeOnly` for a time of day. What it reads
//! and what it refuses, down to the error, follows from the order in which it looks.

use super::datetime::{DAY_MICROS, SECOND_MICROS, civil_from_days, days_from_civil, days_in_month};
use super::datetime_fields::{FIELDS_MAX, Field, Label, Meaning, Sort, count, cut, meaning};
use super::zone::Zone;
use super::{DateOrder, OutputStyle};

/// A word that stands for the whole.
const RESERVED: u32 = 1 << 0;
const MONTH: u32 = 1 << 1;
const YEAR: u32 = 1 << 2;
const DAY: u32 = 1 << 3;
const ZONE: u32 = 1 << 5;
const HALF_OF_DAY: u32 = 1 << 9;
const HOUR: u32 = 1 << 10;
const MINUTE: u32 = 1 << 11;
/// Without parts of a second, and with them.
const WHOLE_SECOND: u32 = 1 << 12;
const SECOND: u32 = 7 << 12;
const DAY_OF_YEAR: u32 = 1 << 15;
const WEEKDAY: u32 = 1 << 16;
const ERA: u32 = 1 << 18;
const SUMMER_TIME: u32 = 1 << 28;
const DATE: u32 = YEAR | MONTH | DAY;
const TIME: u32 = HOUR | MINUTE | SECOND;

/// Julian day 0 as days from 1970.
const JULIAN_DAY_0: i64 = -2_440_588;
/// The largest hours of a zone's displacement.
const DISPLACEMENT_HOURS_MAX: i32 = 15;

/// Why a text is not a moment.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    Syntax,
    FieldRange,
    /// A month or day that another order of fields might make right.
    MonthOrDayRange,
    /// The whole value lies outside of the type.
    TotalRange,
    Displacement,
    Zone(String),
    Infinity,
    /// `now`, `today` and the like, which depend on when they are read.
    Relative(String),
}

/// What a text said. A time of `24:00` or of second 60 is carried over by whoever adds the parts.
#[derive(Default)]
pub(super) struct Moment {
    pub(super) days: Option<i64>,
    pub(super) time: Option<i64>,
    pub(super) zone: Option<Zone>,
}

/// Days of years that nobody can mean, as PostgreSQL's 32 bits of Julian days have them.
fn in_julian_bits(days: i64) -> i64 {
    i64::from((days - JULIAN_DAY_0) as u32) + JULIAN_DAY_0
}

pub(super) fn read_fields(text: &str, style: &OutputStyle) -> Result<Moment, Failure> {
    read(text, style, false)
}

/// Reads a text that is a time of day, in which `101112` is no date.
pub(super) fn read_clock(text: &str, style: &OutputStyle) -> Result<Option<i64>, Failure> {
    read(text, style, true).map(|moment| moment.time)
}

/// The same with its zone and day, where they are told.
pub(super) fn read_zoned_clock(text: &str, style: &OutputStyle) -> Result<Moment, Failure> {
    read(text, style, true)
}

fn read(text: &str, style: &OutputStyle, is_clock: bool) -> Result<Moment, Failure> {
    let fields = cut(text)?;
    let mut reader = Reader { order: style.date_order, is_clock, ..Reader::default() };
    for index in 0..fields.len() {
        let told = reader.take(&fields, index)?;
        if reader.known & told != 0 {
            return Err(Failure::Syntax);
        }
        reader.known |= told;
    }
    reader.finish()
}

/// A value that is told instead of a date and a time.
#[derive(Debug, PartialEq)]
enum Special {
    Epoch,
    Infinity,
    Relative(String),
}

#[derive(Default)]
struct Reader {
    order: DateOrder,
    /// Whether only a time of day is wanted.
    is_clock: bool,
    /// The parts that are told.
    known: u32,
    year: i32,
    month: i32,
    day: i32,
    day_of_year: i32,
    julian: Option<i64>,
    hour: i32,
    minute: i32,
    second: i32,
    fraction: i64,
    zone: Option<Zone>,
    is_summer_time: bool,
    afternoon: Option<bool>,
    before_christ: bool,
    has_month_name: bool,
    /// The year has one or two digits.
    is_short_year: bool,
    label: Option<Label>,
    special: Option<Special>,
}

impl Reader {
    /// Reads a field; gives the parts that it tells.
    fn take(&mut self, fields: &[Field], index: usize) -> Result<u32, Failure> {
        let text = fields[index].text.as_str();
        match fields[index].sort {
            Sort::Joined if self.is_clock => self.joined_of_clock(fields, index),
            Sort::Joined => self.joined(text),
            Sort::Clock => {
                if self.label.take().is_some_and(|label| label != Label::Time) {
                    return Err(Failure::Syntax);
                }
                self.clock(text)
            }
            Sort::Signed => {
                self.zone = Some(Zone::Fixed(displacement(text)?));
                Ok(ZONE)
            }
            Sort::Number => match self.label.take() {
                Some(label) => self.labelled(label, text),
                None if self.is_clock => self.number_of_clock(fields, index),
                None => self.number(text),
            },
            Sort::Word | Sort::SignedWord => self.word(fields, index),
        }
    }

    /// A date with separators, or the name of a zone, or a time that a zone follows: `2024-02-29`, `America/New_York`,
    /// `101112-05`.
    fn joined(&mut self, text: &str) -> Result<u32, Failure> {
        if self.label == Some(Label::Julian) {
            self.label = None;
            let digits = count(text.as_bytes(), |byte| byte.is_ascii_digit());
            self.set_julian(whole(&text[..digits])?);
            self.zone = Some(Zone::Fixed(displacement(&text[digits..])?));
            return Ok(DATE | TIME | ZONE);
        }
        if self.label.is_none() && self.known & (MONTH | DAY) != (MONTH | DAY) {
            return self.date(text);
        }
        if !text.starts_with(|first: char| first.is_ascii_digit()) && self.label.is_none() {
            return self.named_zone(text);
        }
        if self.label.take().is_some_and(|label| label != Label::Time) {
            return Err(Failure::Syntax);
        }
        self.time_and_zone(text, self.known)
    }

    fn named_zone(&mut self, text: &str) -> Result<u32, Failure> {
        self.zone = Some(Zone::of_setting(text).ok_or_else(|| Failure::Zone(text.to_string()))?);
        Ok(ZONE)
    }

    /// `101112-05`
    fn time_and_zone(&mut self, text: &str, known: u32) -> Result<u32, Failure> {
        if self.known & TIME == TIME {
            return Err(Failure::Syntax);
        }
        let (time, _) = text.split_once('-').ok_or(Failure::Syntax)?;
        self.zone = Some(Zone::Fixed(displacement(&text[time.len()..])?));
        Ok(self.digits(time, known)? | ZONE)
    }

    fn joined_of_clock(&mut self, fields: &[Field], index: usize) -> Result<u32, Failure> {
        let text = fields[index].text.as_str();
        let last = fields.len() - 1;
        if index == 0 && last > 0 && (fields[last].sort == Sort::Joined || fields[1].sort == Sort::Clock) {
            return self.date(text);
        }
        if !text.starts_with(|first: char| first.is_ascii_digit()) {
            return self.named_zone(text);
        }
        self.time_and_zone(text, self.known | DATE)
    }

    /// A number that a word before said what it is.
    fn labelled(&mut self, label: Label, text: &str) -> Result<u32, Failure> {
        let (digits, fraction) = text.find('.').map_or((text, ""), |point| text.split_at(point));
        let value = whole(digits)?;
        if !fraction.is_empty() && !matches!(label, Label::Julian | Label::Time | Label::Second) {
            return Err(Failure::Syntax);
        }
        match label {
            Label::Julian => {
                self.set_julian(value);
                if fraction.is_empty() {
                    return Ok(DATE);
                }
                let part: f64 = if fraction == "." { 0.0 } else { fraction.parse().map_err(|_| Failure::Syntax)? };
                self.set_time((part * DAY_MICROS as f64) as i64);
                Ok(DATE | TIME)
            }
            Label::Time => match self.digits(text, self.known | DATE)? {
                TIME => Ok(TIME),
                _ => Err(Failure::Syntax),
            },
            Label::Year => {
                self.year = value;
                Ok(YEAR)
            }
            // Behind a month and an hour it is a minute.
            Label::Month if self.known & MONTH != 0 && self.known & HOUR != 0 => {
                self.minute = value;
                Ok(MINUTE)
            }
            Label::Month => {
                self.month = value;
                Ok(MONTH)
            }
            Label::Day => {
                self.day = value;
                Ok(DAY)
            }
            Label::Hour => {
                self.hour = value;
                Ok(HOUR)
            }
            Label::Minute => {
                self.minute = value;
                Ok(MINUTE)
            }
            Label::Second => {
                self.second = value;
                if fraction.is_empty() {
                    return Ok(WHOLE_SECOND);
                }
                self.fraction = fraction_micros(&fraction[1..])?;
                Ok(SECOND)
            }
            Label::Other => Err(Failure::Syntax),
        }
    }

    fn number(&mut self, text: &str) -> Result<u32, Failure> {
        let before_point = text.find('.');
        match before_point {
            Some(_) if self.known & DATE == 0 => self.date(text),
            Some(digits) if digits > 2 => self.digits(text, self.known),
            _ if text.len() >= 6 && (self.known & DATE == 0 || self.known & TIME == 0) => self.digits(text, self.known),
            _ => self.single(text, self.has_month_name, self.known),
        }
    }

    fn number_of_clock(&mut self, fields: &[Field], index: usize) -> Result<u32, Failure> {
        let text = fields[index].text.as_str();
        let last = fields.len() - 1;
        let known = self.known | DATE;
        match text.find('.') {
            Some(_) if index == 0 && last > 0 && fields[last].sort == Sort::Joined => self.date(text),
            Some(digits) if digits > 2 => self.digits(text, known),
            Some(_) => Err(Failure::Syntax),
            None if text.len() > 4 => self.digits(text, known),
            None => self.single(text, false, known),
        }
    }

    fn word(&mut self, fields: &[Field], index: usize) -> Result<u32, Failure> {
        let word = fields[index].text.as_str();
        if let Some(zone) = Zone::by_abbreviation(word) {
            self.zone = Some(zone);
            return Ok(ZONE);
        }
        let Some(meaning) = meaning(word) else {
            self.zone = Some(Zone::by_name(word).ok_or(Failure::Syntax)?);
            return Ok(ZONE);
        };
        let takes_date = !self.is_clock;
        match meaning {
            Meaning::Filler => Ok(0),
            Meaning::Month(month) if takes_date => {
                let replaces = self.known & MONTH != 0
                    && !self.has_month_name
                    && self.known & DAY == 0
                    && (1..=31).contains(&self.month);
                if replaces {
                    self.day = self.month;
                }
                self.has_month_name = true;
                self.month = month;
                Ok(if replaces { DAY } else { MONTH })
            }
            Meaning::Weekday if takes_date => Ok(WEEKDAY),
            Meaning::Afternoon(afternoon) => {
                self.afternoon = Some(afternoon);
                Ok(HALF_OF_DAY)
            }
            Meaning::BeforeChrist(before_christ) => {
                self.before_christ = before_christ;
                Ok(ERA)
            }
            Meaning::SummerTime => {
                self.is_summer_time = true;
                Ok(SUMMER_TIME | 1 << 6)
            }
            Meaning::Label(label) => {
                self.check_label(label, fields.get(index + 1))?;
                self.label = Some(label);
                Ok(0)
            }
            Meaning::Midnight => {
                self.set_time(0);
                self.zone = Some(Zone::UTC);
                Ok(TIME | ZONE)
            }
            Meaning::Now => {
                self.special = Some(Special::Relative(word.to_string()));
                Ok(if takes_date { DATE | TIME | ZONE } else { TIME })
            }
            Meaning::Date if takes_date => {
                self.special = Some(Special::Relative(word.to_string()));
                Ok(DATE)
            }
            Meaning::Epoch if takes_date => {
                self.special = Some(Special::Epoch);
                Ok(RESERVED)
            }
            Meaning::Infinity if takes_date => {
                self.special = Some(Special::Infinity);
                Ok(RESERVED)
            }
            _ => Err(Failure::Syntax),
        }
    }

    /// A `T` stands between a date and a time.
    fn check_label(&self, label: Label, next: Option<&Field>) -> Result<(), Failure> {
        let has_date = self.is_clock || self.known & DATE == DATE;
        let is_time = |field: &Field| matches!(field.sort, Sort::Number | Sort::Clock | Sort::Joined);
        match label {
            Label::Time if !has_date || !next.is_some_and(is_time) => Err(Failure::Syntax),
            _ => Ok(()),
        }
    }

    /// `2024-02-29`, `29-Feb-2024`, `2024.060`: numbers and the name of a month, between separators.
    fn date(&mut self, text: &str) -> Result<u32, Failure> {
        let parts = date_parts(text)?;
        let (mut known, mut told, mut has_month_name) = (self.known, 0, false);
        let mut numbers = Vec::new();
        for part in parts {
            if !part.starts_with(|first: char| first.is_ascii_alphabetic()) {
                numbers.push(part);
                continue;
            }
            match meaning(part) {
                Some(Meaning::Month(month)) if known & MONTH == 0 => {
                    self.month = month;
                    has_month_name = true;
                    known |= MONTH;
                    told |= MONTH;
                }
                _ => return Err(Failure::Syntax),
            }
        }
        for number in numbers {
            let told_here = self.single(number, has_month_name, known)?;
            if known & told_here != 0 {
                return Err(Failure::Syntax);
            }
            known |= told_here;
            told |= told_here;
        }
        if known & !(DAY_OF_YEAR | ZONE) == DATE { Ok(told) } else { Err(Failure::Syntax) }
    }

    /// A number whose meaning hangs on what is known already.
    fn single(&mut self, text: &str, has_month_name: bool, known: u32) -> Result<u32, Failure> {
        let (digits, fraction) = text.find('.').map_or((text, ""), |point| text.split_at(point));
        if digits.is_empty() {
            return Err(Failure::Syntax);
        }
        let value = whole(digits)?;
        if !fraction.is_empty() {
            if digits.len() > 2 {
                return self.digits(text, known | DATE);
            }
            self.fraction = fraction_micros(&fraction[1..])?;
        }
        if text.len() == 3 && known & DATE == YEAR && (1..=366).contains(&value) {
            self.day_of_year = value;
            return Ok(DAY_OF_YEAR | MONTH | DAY);
        }
        let is_year = text.len() >= 3 || self.order == DateOrder::Ymd;
        let (told, part) = match known & DATE {
            0 if is_year => (YEAR, &mut self.year),
            0 if self.order == DateOrder::Dmy => (DAY, &mut self.day),
            0 | YEAR | DAY => (MONTH, &mut self.month),
            MONTH if has_month_name && is_year => (YEAR, &mut self.year),
            MONTH => (DAY, &mut self.day),
            known if known == YEAR | MONTH => {
                if has_month_name && text.len() >= 3 && self.is_short_year {
                    // What was taken for the year is the day.
                    (self.day, self.year, self.is_short_year) = (self.year, value, false);
                    return Ok(DAY);
                }
                (DAY, &mut self.day)
            }
            known if known == MONTH | DAY => (YEAR, &mut self.year),
            DATE => return self.digits(text, known),
            _ => return Err(Failure::Syntax),
        };
        *part = value;
        if told == YEAR {
            self.is_short_year = text.len() <= 2;
        }
        Ok(told)
    }

    /// `20240229`, `240229`, `101112`, `1011`, `101112.5`: digits without separators.
    fn digits(&mut self, text: &str, known: u32) -> Result<u32, Failure> {
        let (digits, fraction) = text.find('.').map_or((text, ""), |point| text.split_at(point));
        let length = digits.len();
        if !fraction.is_empty() {
            self.fraction = fraction_micros(&fraction[1..])?;
        } else if known & DATE != DATE && length >= 6 {
            let (rest, day) = digits.split_at(length - 2);
            let (year, month) = rest.split_at(length - 4);
            (self.year, self.month, self.day) = (wrapped(year), wrapped(month), wrapped(day));
            // A year of two digits is one of this time, and others stay as they are told.
            self.is_short_year |= year.len() == 2;
            return Ok(DATE);
        }
        if known & TIME == TIME {
            return Err(Failure::Syntax);
        }
        (self.hour, self.minute, self.second) = match length {
            6 => (wrapped(&digits[..2]), wrapped(&digits[2..4]), wrapped(&digits[4..])),
            4 => (wrapped(&digits[..2]), wrapped(&digits[2..]), 0),
            _ => return Err(Failure::Syntax),
        };
        Ok(TIME)
    }

    /// `10:11`, `10:11:12.5`; `11:12.5` is minutes and seconds.
    fn clock(&mut self, text: &str) -> Result<u32, Failure> {
        let (first, rest) = text.split_once(':').ok_or(Failure::Syntax)?;
        (self.hour, self.second, self.fraction) = (whole(first)?, 0, 0);
        let end = count(rest.as_bytes(), |byte| byte.is_ascii_digit());
        let (second, rest) = rest.split_at(end);
        self.minute = whole(second)?;
        if let Some(fraction) = rest.strip_prefix('.') {
            self.fraction = fraction_micros(fraction)?;
            (self.hour, self.minute, self.second) = (0, self.hour, self.minute);
        } else if let Some(third) = rest.strip_prefix(':') {
            let end = count(third.as_bytes(), |byte| byte.is_ascii_digit());
            self.second = whole(&third[..end])?;
            match third[end..].strip_prefix('.') {
                Some(fraction) => self.fraction = fraction_micros(fraction)?,
                None if end == third.len() => {}
                None => return Err(Failure::Syntax),
            }
        }
        let is_in_range = self.minute <= 59 && self.second <= 60 && self.fraction <= SECOND_MICROS;
        if !is_in_range || (!self.is_clock && self.micros() > DAY_MICROS) {
            return Err(Failure::FieldRange);
        }
        Ok(TIME)
    }

    fn micros(&self) -> i64 {
        let seconds = (i64::from(self.hour) * 60 + i64::from(self.minute)) * 60 + i64::from(self.second);
        seconds * SECOND_MICROS + self.fraction
    }

    fn set_time(&mut self, micros: i64) {
        let seconds = micros.div_euclid(SECOND_MICROS) as i32;
        (self.hour, self.minute, self.second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        self.fraction = micros.rem_euclid(SECOND_MICROS);
    }

    fn set_julian(&mut self, day: i32) {
        self.julian = Some(i64::from(day) + JULIAN_DAY_0);
    }

    fn finish(mut self) -> Result<Moment, Failure> {
        match self.special.take() {
            Some(Special::Epoch) => return Ok(Moment { days: Some(0), time: Some(0), zone: Some(Zone::UTC) }),
            Some(Special::Infinity) => return Err(Failure::Infinity),
            Some(Special::Relative(word)) => return Err(Failure::Relative(word)),
            None => {}
        }
        let days = self.validated()?;
        self.settle_half()?;
        if self.is_clock {
            let micros = self.micros();
            if self.hour > 24 || self.minute > 59 || self.second > 60 || micros > DAY_MICROS {
                return Err(Failure::FieldRange);
            }
            if self.known & TIME != TIME {
                return Err(Failure::Syntax);
            }
            // Only a date says which of its offsets a zone has.
            if matches!(self.zone, Some(Zone::Named(_))) && self.zone != Some(Zone::UTC) && days.is_none() {
                return Err(Failure::Syntax);
            }
            return Ok(Moment { days, time: Some(micros), zone: self.zone });
        }
        if days.is_none() {
            return Err(Failure::Syntax);
        }
        let zone = match self.zone {
            Some(Zone::Fixed(offset)) if self.is_summer_time => Some(Zone::Fixed(offset + 3600)),
            _ if self.is_summer_time => return Err(Failure::Syntax),
            zone => zone,
        };
        Ok(Moment { days, time: Some(self.micros()), zone })
    }

    /// The date, where all of it is known. What is known of it must be one.
    fn validated(&mut self) -> Result<Option<i64>, Failure> {
        if let Some(julian) = self.julian {
            return Ok(Some(julian));
        }
        let mut year = i64::from(self.year);
        if self.known & YEAR != 0 {
            if (self.before_christ || !self.is_short_year) && year <= 0 {
                return Err(Failure::FieldRange);
            }
            year = match year {
                _ if self.before_christ => 1 - year,
                0..70 if self.is_short_year => year + 2000,
                70..100 if self.is_short_year => year + 1900,
                _ => year,
            };
        }
        if self.known & DAY_OF_YEAR != 0 {
            let days = in_julian_bits(days_from_civil(year, 1, 1) + i64::from(self.day_of_year) - 1);
            let (of_year, month, day) = civil_from_days(days);
            (year, self.month, self.day) = (of_year, month as i32, day as i32);
        }
        let month_fits = self.known & MONTH == 0 || (1..=12).contains(&self.month);
        let day_fits = self.known & DAY == 0 || (1..=31).contains(&self.day);
        if !month_fits || !day_fits {
            return Err(Failure::MonthOrDayRange);
        }
        if self.known & DATE != DATE {
            return Ok(None);
        }
        let (month, day) = (self.month as u32, self.day as u32);
        if day > days_in_month(year, month) {
            return Err(Failure::FieldRange);
        }
        Ok(Some(days_from_civil(year, month, day)))
    }

    fn settle_half(&mut self) -> Result<(), Failure> {
        let Some(afternoon) = self.afternoon else { return Ok(()) };
        match (self.hour, afternoon) {
            (13.., _) => return Err(Failure::FieldRange),
            (12, false) => self.hour = 0,
            (..12, true) => self.hour += 12,
            _ => {}
        }
        Ok(())
    }
}

/// The parts of a date between its separators; letters behind digits are separators too.
fn date_parts(text: &str) -> Result<Vec<&str>, Failure> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() && parts.len() < FIELDS_MAX {
        rest = rest.trim_start_matches(|letter: char| !letter.is_ascii_alphanumeric());
        let first = rest.chars().next().ok_or(Failure::Syntax)?;
        let is_part =
            |letter: u8| if first.is_ascii_digit() { letter.is_ascii_digit() } else { letter.is_ascii_alphabetic() };
        let length = count(rest.as_bytes(), is_part);
        parts.push(&rest[..length]);
        rest = rest.get(length + 1..).unwrap_or_default();
    }
    Ok(parts)
}

/// The digits after a point as microseconds, rounded to the nearest.
pub(super) fn fraction_micros(digits: &str) -> Result<i64, Failure> {
    if digits.is_empty() {
        return Ok(0);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::Syntax);
    }
    let fraction: f64 = format!("0.{digits}").parse().map_err(|_| Failure::Syntax)?;
    Ok((fraction * SECOND_MICROS as f64).round_ties_even() as i64)
}

/// `+05`, `-0330`, `+05:30:15` in seconds east.
fn displacement(text: &str) -> Result<i32, Failure> {
    let (sign, body) = text.split_at_checked(1).ok_or(Failure::Syntax)?;
    if !matches!(sign, "+" | "-") {
        return Err(Failure::Syntax);
    }
    let number = |rest: &str| -> Result<(i32, usize), Failure> {
        let length = count(rest.as_bytes(), |byte| byte.is_ascii_digit());
        Ok((whole(&rest[..length]).map_err(|_| Failure::Displacement)?, length))
    };
    let (mut hours, mut end) = number(body)?;
    let (mut minutes, mut seconds) = (0, 0);
    if let Some(rest) = body[end..].strip_prefix(':') {
        let (value, length) = number(rest)?;
        (minutes, end) = (value, end + 1 + length);
        if let Some(rest) = body[end..].strip_prefix(':') {
            let (value, length) = number(rest)?;
            (seconds, end) = (value, end + 1 + length);
        }
    } else if end == body.len() && body.len() > 2 {
        (hours, minutes) = (hours / 100, hours % 100);
    }
    if hours > DISPLACEMENT_HOURS_MAX || minutes > 59 || seconds > 59 {
        return Err(Failure::Displacement);
    }
    if end < body.len() {
        return Err(Failure::Syntax);
    }
    let total = (hours * 60 + minutes) * 60 + seconds;
    Ok(if sign == "-" { -total } else { total })
}

/// Digits as a number of 32 bits; none are 0.
fn whole(digits: &str) -> Result<i32, Failure> {
    if digits.is_empty() { Ok(0) } else { digits.parse().map_err(|_| Failure::FieldRange) }
}

/// Digits as C's `atoi` reads them, which keeps the low bits of what is too large.
fn wrapped(digits: &str) -> i32 {
    digits.bytes().fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0'))) as i32
}
