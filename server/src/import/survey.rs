//! Surveys: what the values of a column are, one value after another.
//!
//! A type is guessed only where every value keeps what it says under it: digits, offsets from UTC, zeros in front. All else is text.

use std::collections::HashSet;

#[cfg(test)]
mod tests;

/// A column of text with so few values is one to partition by.
const FEW_VALUES_MAX: usize = 16;
/// Of so many values one may be wrong, where wrong ones are rejected.
const VALUES_PER_WRONG_ONE_MIN: u64 = 20;
/// The most digits of a number.
const PRECISION_MAX: usize = 76;
/// Digits that a number gets without being asked.
const PRECISION_USUAL: usize = 18;
const SCALE_USUAL: usize = 2;
const WHOLE_DIGITS_USUAL: usize = 10;
/// The digits of a second that a timestamp keeps.
const SECOND_DIGITS_MAX: usize = 6;

/// What one value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer { digits: usize },
    Decimal { whole: usize, fraction: usize },
    Date,
    Moment { zoned: bool },
    Boolean,
    Text,
}

/// What values have in common, as far as names above them differ from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Number,
    Date,
    Moment,
    Boolean,
}

impl Kind {
    pub(super) fn of(value: &[u8]) -> Self {
        match value.first() {
            Some(b'0'..=b'9' | b'-') => Self::of_digits(value),
            Some(b't' | b'T' | b'f' | b'F')
                if value.eq_ignore_ascii_case(b"true") || value.eq_ignore_ascii_case(b"false") =>
            {
                Self::Boolean
            }
            _ => Self::Text,
        }
    }

    fn of_digits(value: &[u8]) -> Self {
        if let Some(number) = Self::number(value) {
            return number;
        }
        match value.split_at_checked(10) {
            Some((date, time)) if is_date(date) => match time.split_first() {
                None => Self::Date,
                Some((b' ' | b'T', time)) => zoned(time).map_or(Self::Text, |zoned| Self::Moment { zoned }),
                Some(_) => Self::Text,
            },
            _ => Self::Text,
        }
    }

    fn number(value: &[u8]) -> Option<Self> {
        let unsigned = value.strip_prefix(b"-").unwrap_or(value);
        let point = unsigned.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = point.map_or((unsigned, None), |at| (&unsigned[..at], Some(&unsigned[at + 1..])));
        let leading_zero = whole.len() > 1 && whole.starts_with(b"0");
        if !is_digits(whole) || leading_zero || fraction.is_some_and(|fraction| !is_digits(fraction)) {
            return None;
        }
        match fraction {
            None if value == b"-0" => None,
            None if std::str::from_utf8(value).is_ok_and(|text| text.parse::<i64>().is_ok()) => {
                Some(Self::Integer { digits: whole.len() })
            }
            _ => Some(Self::Decimal { whole: whole.len(), fraction: fraction.map_or(0, <[u8]>::len) }),
        }
    }

    /// `None` of a text.
    pub(super) fn class(self) -> Option<Class> {
        match self {
            Self::Integer { .. } | Self::Decimal { .. } => Some(Class::Number),
            Self::Date => Some(Class::Date),
            Self::Moment { .. } => Some(Class::Moment),
            Self::Boolean => Some(Class::Boolean),
            Self::Text => None,
        }
    }
}

fn is_digits(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

/// The number that two digits are.
fn two_digits(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    }
}

/// `2025-01-31`
fn is_date(bytes: &[u8]) -> bool {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = bytes else { return false };
    let (century, year) = (two_digits(&[*y0, *y1]), two_digits(&[*y2, *y3]));
    let (Some(century), Some(year), Some(month), Some(day)) =
        (century, year, two_digits(&[*m0, *m1]), two_digits(&[*d0, *d1]))
    else {
        return false;
    };
    let year = u16::from(century) * 100 + u16::from(year);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u8::from(leap),
        1..=12 => 31,
        _ => return false,
    };
    year > 0 && (1..=days).contains(&day)
}

/// Whether a time of day, `10:00`, `10:00:00` or `10:00:00.5`, has its offset from UTC behind it; `None` of what is no time of day
/// or would not be kept as it is.
fn zoned(time: &[u8]) -> Option<bool> {
    let within = |bytes: &[u8], end: u8| two_digits(bytes).is_some_and(|number| number < end);
    let (clock, mut rest) = time.split_at_checked(5)?;
    if !(within(&clock[..2], 24) && clock[2] == b':' && within(&clock[3..], 60)) {
        return None;
    }
    if let Some((seconds, behind)) = rest.split_at_checked(3)
        && seconds[0] == b':'
    {
        if !within(&seconds[1..], 60) {
            return None;
        }
        rest = behind;
        if let Some(fraction) = rest.strip_prefix(b".") {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=SECOND_DIGITS_MAX).contains(&digits) {
                return None;
            }
            rest = &fraction[digits..];
        }
    }
    match rest {
        [] => Some(false),
        b"Z" | b"z" => Some(true),
        [b'+' | b'-', offset @ ..] => match offset {
            [hours @ .., b':', m0, m1] if hours.len() == 2 => {
                (within(hours, 16) && within(&[*m0, *m1], 60)).then_some(true)
            }
            [h0, h1, m0, m1] => (within(&[*h0, *h1], 16) && within(&[*m0, *m1], 60)).then_some(true),
            hours => within(hours, 16).then_some(true),
        },
        _ => None,
    }
}

/// Whether a text is read as a number or a moment, and changed by it: `007`, `1e-9`, `2025-01-31 10:00 CET`.
fn is_nearly(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    text.parse::<f64>().is_ok() || value.split_at_checked(10).is_some_and(|(date, _)| is_date(date))
}

/// What the values of a column were so far. Those that are empty or only blanks say nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    present: u64,
    integers: u64,
    decimals: u64,
    dates: u64,
    zoned: u64,
    zoneless: u64,
    booleans: u64,
    nested: u64,
    /// Texts that a number or a moment would be made of, and not say what they say.
    nearly: u64,
    whole_digits: usize,
    fraction_digits: usize,
    /// The distinct values, up to one more than are few.
    values: HashSet<Vec<u8>>,
}

impl Survey {
    pub(super) fn push(&mut self, value: &[u8]) {
        let trimmed = value.trim_ascii();
        if trimmed.is_empty() {
            return;
        }
        self.present += 1;
        if self.values.len() <= FEW_VALUES_MAX && !self.values.contains(value) {
            self.values.insert(value.to_vec());
        }
        match Kind::of(trimmed) {
            Kind::Integer { digits } => {
                self.integers += 1;
                self.whole_digits = self.whole_digits.max(digits);
            }
            Kind::Decimal { whole, fraction } => {
                self.decimals += 1;
                self.whole_digits = self.whole_digits.max(whole);
                self.fraction_digits = self.fraction_digits.max(fraction);
            }
            Kind::Date => self.dates += 1,
            Kind::Moment { zoned: true } => self.zoned += 1,
            Kind::Moment { zoned: false } => self.zoneless += 1,
            Kind::Boolean => self.booleans += 1,
            Kind::Text => self.nearly += u64::from(is_nearly(trimmed)),
        }
    }

    /// Takes an empty text, which no type but text takes.
    pub(super) fn push_empty_text(&mut self) {
        self.present += 1;
    }

    /// Takes an array or an object.
    pub(super) fn push_nested(&mut self) {
        self.present += 1;
        self.nested += 1;
    }

    /// Takes what another file has in the same column.
    pub(super) fn merge(&mut self, other: &Self) {
        self.present += other.present;
        self.integers += other.integers;
        self.decimals += other.decimals;
        self.dates += other.dates;
        self.zoned += other.zoned;
        self.zoneless += other.zoneless;
        self.booleans += other.booleans;
        self.nested += other.nested;
        self.nearly += other.nearly;
        self.whole_digits = self.whole_digits.max(other.whole_digits);
        self.fraction_digits = self.fraction_digits.max(other.fraction_digits);
        let room = (FEW_VALUES_MAX + 1).saturating_sub(self.values.len());
        let others: Vec<Vec<u8>> = other.values.difference(&self.values).take(room).cloned().collect();
        self.values.extend(others);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// Whether there are a few distinct values, and more than one.
    pub(super) fn has_few_values(&self) -> bool {
        (2..=FEW_VALUES_MAX).contains(&self.values.len())
    }

    /// What more than half of the values are; `None` of texts.
    pub(super) fn most(&self) -> Option<Class> {
        let counts = [
            (Class::Number, self.integers + self.decimals),
            (Class::Date, self.dates),
            (Class::Moment, self.zoned + self.zoneless),
            (Class::Boolean, self.booleans),
        ];
        counts.into_iter().find(|(_, count)| count * 2 > self.present).map(|(class, _)| class)
    }

    /// The type that all values have, or nearly all where wrong ones are rejected.
    pub(super) fn sql_type(&self, rejects: bool) -> String {
        let wrong_max = if rejects { self.present / VALUES_PER_WRONG_ONE_MIN } else { 0 };
        let fit = |count: u64| count > 0 && count + wrong_max >= self.present;
        // A value of another kind that the type takes, and changes, is not wrong and would not be rejected.
        let sql_type = if self.nested > 0 {
            "jsonb"
        } else if self.nearly > 0 {
            "text"
        } else if self.decimals == 0 && fit(self.integers) {
            "bigint"
        } else if fit(self.integers + self.decimals) {
            return self.number_type();
        } else if self.zoned + self.zoneless == 0 && fit(self.dates) {
            "date"
        } else if self.dates + self.zoned == 0 && fit(self.zoneless) {
            "timestamp"
        } else if self.dates + self.zoneless == 0 && fit(self.zoned) {
            "timestamptz"
        } else if self.integers == 0 && fit(self.booleans) {
            "boolean"
        } else {
            "text"
        };
        sql_type.to_string()
    }

    fn number_type(&self) -> String {
        // Two digits at least, since more files may come and whole prices say little.
        let scale = self.fraction_digits.max(SCALE_USUAL);
        let precision = PRECISION_USUAL.max(scale + self.whole_digits.max(WHOLE_DIGITS_USUAL));
        if precision <= PRECISION_MAX { format!("numeric({precision}, {scale})") } else { "text".to_string() }
    }
}
