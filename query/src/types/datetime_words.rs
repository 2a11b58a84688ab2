//! The general form of date and time text: fields in many orders, month names, zones.
//!
//! The text is cut into tokens by their first character, as PostgreSQL's `ParseDateTime` does; then each token gives a part of
//! the moment. What PostgreSQL reads and this does not: ISO week dates, Julian fractions.

use super::datetime::{DAY_MICROS, SECOND_MICROS, days_from_civil, days_in_month};
use super::zone::Zone;
use super::{DateOrder, OutputStyle};

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

pub(super) fn read_fields(text: &str, style: &OutputStyle) -> Result<Moment, Failure> {
    read(Reader { rest: text, order: style.date_order, ..Reader::default() })
}

/// Reads a text that is a time of day, in which `101112` is no date.
pub(super) fn read_clock(text: &str, style: &OutputStyle) -> Result<Option<i64>, Failure> {
    let reader = Reader { rest: text, order: style.date_order, time_follows: true, ..Reader::default() };
    read(reader).map(|moment| moment.time)
}

fn read(mut reader: Reader<'_>) -> Result<Moment, Failure> {
    while reader.take_token()? {}
    reader.finish()
}

#[derive(Default)]
struct Reader<'a> {
    rest: &'a str,
    order: DateOrder,
    /// Set when all three are known.
    date: Option<(i64, u32, u32)>,
    /// A month's name that stood alone, and numbers that await their meaning.
    month: Option<u32>,
    numbers: Vec<&'a str>,
    days: Option<i64>,
    time: Option<i64>,
    afternoon: Option<bool>,
    before_christ: bool,
    zone: Option<Zone>,
    /// A `T` went before.
    time_follows: bool,
    /// A word whose meaning depends on when it is read.
    relative: Option<String>,
}

impl<'a> Reader<'a> {
    fn take_token(&mut self) -> Result<bool, Failure> {
        self.rest = self.rest.trim_start_matches(|character: char| character.is_ascii_whitespace() || character == ',');
        let bytes = self.rest.as_bytes();
        let Some(first) = bytes.first() else { return Ok(false) };
        match first {
            b'0'..=b'9' => self.take_number_like()?,
            b'+' | b'-' if bytes.get(1).is_some_and(u8::is_ascii_digit) => {
                let token = self.take_while(1, |byte| byte.is_ascii_digit() || byte == b':');
                self.set_zone(Zone::Fixed(displacement(token)?))?;
            }
            b'-' if self.rest[1..].trim().eq_ignore_ascii_case("infinity") => return Err(Failure::Infinity),
            b'a'..=b'z' | b'A'..=b'Z' => self.take_word_like()?,
            _ => return Err(Failure::Syntax),
        }
        Ok(true)
    }

    /// Cuts off a token of at least `least` bytes, as far as its bytes are wanted.
    fn take_while(&mut self, least: usize, wanted: impl Fn(u8) -> bool) -> &'a str {
        let bytes = self.rest.as_bytes();
        let length = least + bytes[least..].iter().take_while(|byte| wanted(**byte)).count();
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        token
    }

    fn take_number_like(&mut self) -> Result<(), Failure> {
        let bytes = self.rest.as_bytes();
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match bytes.get(digits) {
            Some(b':') => {
                let token = self.take_while(0, |byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
                self.set_time(clock(token)?)
            }
            Some(b'.') if self.time_follows || (self.has_date() && digits == 6) => {
                let token = self.take_while(0, |byte| byte.is_ascii_digit() || byte == b'.');
                self.set_time(clock(&with_colons(token)?)?)
            }
            Some(b'-' | b'/' | b'.')
                if bytes.get(digits + 1).is_some_and(u8::is_ascii_alphanumeric) && !self.has_date() =>
            {
                let token = self.take_date_token();
                match day_of_year(token) {
                    Some((year, day)) => self.set_day_of_year(year, day),
                    None => self.set_date(date_of_parts(token, self.order)?),
                }
            }
            _ => {
                let token = self.take_while(0, |byte| byte.is_ascii_digit());
                self.take_number(token)
            }
        }
    }

    /// A date with its separators; a `T` after a digit ends it.
    fn take_date_token(&mut self) -> &'a str {
        let bytes = self.rest.as_bytes();
        let mut length = 0;
        while length < bytes.len() {
            let byte = bytes[length];
            let joins_time = matches!(byte, b'T' | b't') && length > 0 && bytes[length - 1].is_ascii_digit();
            if joins_time || !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/' | b'.')) {
                break;
            }
            length += 1;
        }
        // A zone's name or abbreviation may follow a day without a space only after a time.
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        token
    }

    fn take_number(&mut self, token: &'a str) -> Result<(), Failure> {
        if self.time_follows || (self.has_date() && matches!(token.len(), 4 | 6)) {
            return self.set_time(clock(&with_colons(token)?)?);
        }
        match token.len() {
            8 if !self.has_date() && self.month.is_none() => self.set_date(Parts {
                year: number(&token[..4])?,
                year_digits: 4,
                month: number(&token[4..6])?,
                day: number(&token[6..])?,
            }),
            6 if !self.has_date() && self.month.is_none() => self.set_date(Parts {
                year: number(&token[..2])?,
                year_digits: 2,
                month: number(&token[2..4])?,
                day: number(&token[4..])?,
            }),
            _ => {
                self.numbers.push(token);
                if self.numbers.len() > 3 { Err(Failure::Syntax) } else { Ok(()) }
            }
        }
    }

    fn take_word_like(&mut self) -> Result<(), Failure> {
        let bytes = self.rest.as_bytes();
        let letters = bytes.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if let Some(b'-' | b'/' | b'_') = bytes.get(letters) {
            if month_of(&self.rest[..letters]).is_some() && !self.has_date() {
                let token = self.take_date_token();
                return self.set_date(date_of_parts(token, self.order)?);
            }
            let token =
                self.take_while(0, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+'));
            let zone = Zone::by_name(token).ok_or_else(|| Failure::Zone(token.to_ascii_lowercase()))?;
            return self.set_zone(zone);
        }
        let word = self.take_while(0, |byte| byte.is_ascii_alphabetic());
        self.take_word(word)
    }

    fn take_word(&mut self, word: &str) -> Result<(), Failure> {
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "t" => self.time_follows = true,
            "am" => self.afternoon = Some(false),
            "pm" => self.afternoon = Some(true),
            "bc" => self.before_christ = true,
            "ad" | "at" | "on" => {}
            "j" => self.take_julian_day()?,
            "epoch" => {
                self.date = Some((1970, 1, 1));
                self.time = Some(0);
                self.zone = Some(Zone::UTC);
            }
            "infinity" => return Err(Failure::Infinity),
            "allballs" => {
                self.time = Some(0);
                self.zone = Some(Zone::UTC);
            }
            "now" | "today" | "tomorrow" | "yesterday" => self.relative = Some(lower),
            _ if is_weekday(&lower) => {}
            _ => match (month_of(&lower), Zone::by_name(word)) {
                (Some(month), _) if self.month.is_none() => self.month = Some(month),
                (None, Some(zone)) => self.set_zone(zone)?,
                _ => return Err(Failure::Syntax),
            },
        }
        Ok(())
    }

    fn take_julian_day(&mut self) -> Result<(), Failure> {
        let token = self.take_while(0, |byte| byte.is_ascii_digit());
        self.days = Some(number(token)? - 2_440_588);
        Ok(())
    }

    fn has_date(&self) -> bool {
        self.date.is_some() || self.days.is_some()
    }

    fn set_date(&mut self, parts: Parts) -> Result<(), Failure> {
        if self.has_date() {
            return Err(Failure::Syntax);
        }
        let year = match (parts.year_digits, parts.year) {
            (..=2, 0..70) => parts.year + 2000,
            (..=2, 70..100) => parts.year + 1900,
            _ => parts.year,
        };
        if !(1..=12).contains(&parts.month) || !(1..=31).contains(&parts.day) {
            return Err(Failure::MonthOrDayRange);
        }
        self.date = Some((year, parts.month as u32, parts.day as u32));
        Ok(())
    }

    fn set_day_of_year(&mut self, year: i64, day: i64) -> Result<(), Failure> {
        if self.has_date() {
            return Err(Failure::Syntax);
        }
        if !(1..=366).contains(&day) {
            return Err(Failure::FieldRange);
        }
        self.days = Some(days_from_civil(year, 1, 1) + day - 1);
        Ok(())
    }

    fn set_time(&mut self, time: i64) -> Result<(), Failure> {
        if self.time.replace(time).is_some() {
            return Err(Failure::Syntax);
        }
        self.time_follows = false;
        Ok(())
    }

    fn set_zone(&mut self, zone: Zone) -> Result<(), Failure> {
        if self.zone.replace(zone).is_some() { Err(Failure::Syntax) } else { Ok(()) }
    }

    fn finish(mut self) -> Result<Moment, Failure> {
        self.place_numbers()?;
        if self.time_follows {
            return Err(Failure::Syntax);
        }
        if let Some(word) = self.relative.take() {
            return Err(Failure::Relative(word));
        }
        let mut days = self.days;
        if let Some((year, month, day)) = self.date {
            if self.before_christ && year <= 0 || !self.before_christ && year == 0 {
                return Err(Failure::FieldRange);
            }
            let year = if self.before_christ { 1 - year } else { year };
            if day > days_in_month(year, month) {
                return Err(Failure::FieldRange);
            }
            days = Some(days_from_civil(year, month, day));
        }
        Ok(Moment { days, time: self.time_of_day()?, zone: self.zone })
    }

    /// Gives the numbers that stood alone their meaning, with or without the name of a month beside them.
    fn place_numbers(&mut self) -> Result<(), Failure> {
        let parts = match (self.month, self.numbers.as_slice()) {
            (None, []) => return Ok(()),
            (Some(month), [first, second]) => {
                let first_is_year = first.len() > 2 || (self.order == DateOrder::Ymd && second.len() <= 2);
                let (year, day) = if first_is_year { (first, second) } else { (second, first) };
                Parts { year: number(year)?, year_digits: year.len(), month: i64::from(month), day: number(day)? }
            }
            (None, [first, second, third]) => ordered([first, second, third], self.order)?,
            // A short number alone is taken for a month.
            (None, [only]) if only.len() <= 2 && !(1..=12).contains(&number(only)?) => {
                return Err(Failure::MonthOrDayRange);
            }
            _ => return Err(Failure::Syntax),
        };
        self.set_date(parts)
    }

    fn time_of_day(&self) -> Result<Option<i64>, Failure> {
        const HOUR: i64 = 3600 * SECOND_MICROS;
        let (Some(time), Some(afternoon)) = (self.time, self.afternoon) else {
            return if self.afternoon.is_some() { Err(Failure::Syntax) } else { Ok(self.time) };
        };
        if time >= 13 * HOUR {
            return Err(Failure::FieldRange);
        }
        let within_half = if time >= 12 * HOUR { time - 12 * HOUR } else { time };
        Ok(Some(if afternoon { within_half + 12 * HOUR } else { within_half }))
    }
}

struct Parts {
    year: i64,
    year_digits: usize,
    month: i64,
    day: i64,
}

/// `2024-1-31`, `1/31/2024`, `31-Jan-2024`, `Jan-31-2024`, `2024.1.31`.
fn date_of_parts(token: &str, order: DateOrder) -> Result<Parts, Failure> {
    let mut parts = token.split(['-', '/', '.']);
    let (Some(first), Some(second), Some(third), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Failure::Syntax);
    };
    let texts = [first, second, third];
    let Some(named) = texts.iter().position(|part| part.starts_with(|letter: char| letter.is_ascii_alphabetic()))
    else {
        return ordered(texts, order);
    };
    let month = i64::from(month_of(texts[named]).ok_or(Failure::Syntax)?);
    let (one, other) = match named {
        0 => (second, third),
        1 => (first, third),
        _ => (first, second),
    };
    let one_is_year = one.len() > 2 || (order == DateOrder::Ymd && other.len() <= 2);
    let (year, day) = if one_is_year { (one, other) } else { (other, one) };
    Ok(Parts { year: number(year)?, year_digits: year.len(), month, day: number(day)? })
}

/// `2024.123` and `2024-123`: the 123rd day of a year.
fn day_of_year(token: &str) -> Option<(i64, i64)> {
    let (year, day) = token.split_once(['-', '/', '.'])?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if year.len() < 3 || day.len() != 3 || !is_number(year) || !is_number(day) {
        return None;
    }
    Some((year.parse().ok()?, day.parse().ok()?))
}

/// Three numbers: a long one first is a year, else the session's order decides.
fn ordered([first, second, third]: [&str; 3], order: DateOrder) -> Result<Parts, Failure> {
    let (year, month, day) = match order {
        _ if first.len() > 2 => (first, second, third),
        DateOrder::Ymd => (first, second, third),
        DateOrder::Mdy => (third, first, second),
        DateOrder::Dmy => (third, second, first),
    };
    Ok(Parts { year: number(year)?, year_digits: year.len(), month: number(month)?, day: number(day)? })
}

/// `101112` and `1011` with the colons that they leave out.
fn with_colons(token: &str) -> Result<String, Failure> {
    let (whole, fraction) = token.find('.').map_or((token, ""), |point| token.split_at(point));
    match whole.len() {
        4 if fraction.is_empty() => Ok(format!("{}:{}", &whole[..2], &whole[2..])),
        6 => Ok(format!("{}:{}:{}{fraction}", &whole[..2], &whole[2..4], &whole[4..])),
        _ => Err(Failure::Syntax),
    }
}

/// `10:11`, `10:11:12.5`; up to `24:00:00` and with a second 60.
fn clock(token: &str) -> Result<i64, Failure> {
    let mut parts = token.split(':');
    let hour = number(parts.next().unwrap_or(""))?;
    let minute = number(parts.next().ok_or(Failure::Syntax)?)?;
    let (second, fraction) = match parts.next() {
        None => (0, 0),
        Some(text) => {
            let (second, fraction) = text.split_once('.').unwrap_or((text, ""));
            (number(second)?, fraction_micros(fraction)?)
        }
    };
    if parts.next().is_some() {
        return Err(Failure::Syntax);
    }
    let micros = ((hour * 60 + minute) * 60 + second) * SECOND_MICROS + fraction;
    if minute > 59 || second > 60 || hour > 24 || micros > DAY_MICROS {
        return Err(Failure::FieldRange);
    }
    Ok(micros)
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
fn displacement(token: &str) -> Result<i32, Failure> {
    let (sign, body) = token.split_at(1);
    let parts: Vec<&str> = body.split(':').collect();
    let (hours, minutes, seconds) = match parts.as_slice() {
        [digits] if digits.len() > 2 => {
            let (hours, minutes) = digits.split_at(digits.len() - 2);
            (number(hours)?, number(minutes)?, 0)
        }
        [hours] => (number(hours)?, 0, 0),
        [hours, minutes] => (number(hours)?, number(minutes)?, 0),
        [hours, minutes, seconds] => (number(hours)?, number(minutes)?, number(seconds)?),
        _ => return Err(Failure::Syntax),
    };
    if hours > 15 || minutes > 59 || seconds > 59 {
        return Err(Failure::Displacement);
    }
    let total = ((hours * 60 + minutes) * 60 + seconds) as i32;
    Ok(if sign == "-" { -total } else { total })
}

fn number(text: &str) -> Result<i64, Failure> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::Syntax);
    }
    if text.len() > 9 { Err(Failure::FieldRange) } else { text.parse().map_err(|_| Failure::Syntax) }
}

fn month_of(word: &str) -> Option<u32> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let is_name = |name: &&str| {
        word.eq_ignore_ascii_case(name)
            || word.eq_ignore_ascii_case(&name[..3])
            || (*name == "september" && word.eq_ignore_ascii_case("sept"))
    };
    NAMES.iter().position(is_name).map(|index| index as u32 + 1)
}

fn is_weekday(lower: &str) -> bool {
    const NAMES: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    NAMES.iter().any(|name| lower == *name || lower == &name[..3])
        || matches!(lower, "tues" | "weds" | "thur" | "thurs")
}
