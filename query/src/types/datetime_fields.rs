//! Fields of a date's or time's text, and what its words mean: PostgreSQL's `ParseDateTime` and the tokens of its
//! `datetime.c`.
//!
//! A field's first character decides what it is. Punctuation that means nothing is skipped, so that `[2024,2,29]` is a
//! date. What fields mean together is told by [`super::datetime_words`].

use super::datetime_words::Failure;

/// Fields and bytes of them that a text may have.
pub(super) const FIELDS_MAX: usize = 25;
const BYTES_MAX: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sort {
    Number,
    /// Digits with colons.
    Clock,
    /// Something with separators inside: a date, or a zone's name.
    Joined,
    /// A sign and digits.
    Signed,
    Word,
    /// A sign and letters.
    SignedWord,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) sort: Sort,
    /// In small letters.
    pub(super) text: String,
}

/// Cuts a text into fields.
pub(super) fn cut(text: &str) -> Result<Vec<Field>, Failure> {
    let mut rest = text.as_bytes();
    let mut fields = Vec::new();
    let mut bytes = 0;
    while let Some(first) = rest.first() {
        if is_space(*first) {
            rest = &rest[1..];
            continue;
        }
        if fields.len() >= FIELDS_MAX {
            return Err(Failure::Syntax);
        }
        let mut field = String::new();
        let (sort, length) = match first {
            b'0'..=b'9' => number_like(rest),
            b'.' => (Sort::Number, 1 + count(&rest[1..], |byte| byte.is_ascii_digit())),
            b'a'..=b'z' | b'A'..=b'Z' => word_like(rest),
            b'+' | b'-' => {
                field.push(char::from(*first));
                rest = &rest[1 + count(&rest[1..], is_space)..];
                match rest.first() {
                    Some(b'0'..=b'9') => {
                        let is_part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'-');
                        (Sort::Signed, count(rest, is_part))
                    }
                    Some(letter) if letter.is_ascii_alphabetic() => {
                        (Sort::SignedWord, count(rest, |byte| byte.is_ascii_alphabetic()))
                    }
                    _ => return Err(Failure::Syntax),
                }
            }
            punctuation if punctuation.is_ascii_punctuation() => {
                rest = &rest[1..];
                continue;
            }
            _ => return Err(Failure::Syntax),
        };
        field.extend(rest[..length].iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        rest = &rest[length..];
        bytes += field.len() + 1;
        if bytes > BYTES_MAX {
            return Err(Failure::Syntax);
        }
        fields.push(Field { sort, text: field });
    }
    Ok(fields)
}

fn is_space(byte: u8) -> bool {
    super::float::is_space(char::from(byte))
}

pub(super) fn count(bytes: &[u8], is_part: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| is_part(**byte)).count()
}

/// What begins with a digit: a time, a date, or a number that is only understood beside others.
fn number_like(text: &[u8]) -> (Sort, usize) {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let digits = count(text, is_digit);
    match text.get(digits) {
        Some(b':') => {
            (Sort::Clock, digits + count(&text[digits..], |byte| is_digit(byte) || matches!(byte, b':' | b'.')))
        }
        Some(separator @ (b'-' | b'/' | b'.')) => {
            let second = digits + 1;
            let more = count(&text[second..], is_digit);
            if more == 0 {
                let rest = count(&text[second..], |byte| byte.is_ascii_alphanumeric() || byte == *separator);
                return (Sort::Joined, second + rest);
            }
            let end = second + more;
            if text.get(end) == Some(separator) {
                return (Sort::Joined, end + count(&text[end..], |byte| is_digit(byte) || byte == *separator));
            }
            (if *separator == b'.' { Sort::Number } else { Sort::Joined }, end)
        }
        _ => (Sort::Number, digits),
    }
}

/// A word, a date that begins with a month's name, or a zone's name.
fn word_like(text: &[u8]) -> (Sort, usize) {
    let letters = count(text, |byte| byte.is_ascii_alphabetic());
    let is_joined = match text.get(letters) {
        Some(b'-' | b'/' | b'.') => true,
        Some(byte) if *byte == b'+' || byte.is_ascii_digit() => {
            let word = String::from_utf8_lossy(&text[..letters]).to_ascii_lowercase();
            meaning(&word).is_none()
        }
        _ => false,
    };
    if !is_joined {
        return (Sort::Word, letters);
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'/' | b'_' | b'.' | b':');
    (Sort::Joined, letters + count(&text[letters..], is_part))
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Meaning {
    Month(i32),
    Weekday,
    Afternoon(bool),
    BeforeChrist(bool),
    SummerTime,
    /// `at` and `on`, which say nothing.
    Filler,
    /// What the next number is.
    Label(Label),
    Epoch,
    Infinity,
    /// Midnight in Greenwich.
    Midnight,
    Now,
    /// `today`, `tomorrow`, `yesterday`.
    Date,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Label {
    Julian,
    /// `T`.
    Time,
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// Fields that a text does not have, such as `dow`.
    Other,
}

pub(super) fn meaning(word: &str) -> Option<Meaning> {
    const MONTHS: [&str; 12] = [
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
    const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    if let Some(month) = MONTHS.iter().position(|name| word == *name || word == &name[..3]) {
        return Some(Meaning::Month(month as i32 + 1));
    }
    if WEEKDAYS.iter().any(|name| word == *name || word == &name[..3]) {
        return Some(Meaning::Weekday);
    }
    Some(match word {
        "sept" => Meaning::Month(9),
        "tues" | "weds" | "thur" | "thurs" => Meaning::Weekday,
        "am" => Meaning::Afternoon(false),
        "pm" => Meaning::Afternoon(true),
        "ad" => Meaning::BeforeChrist(false),
        "bc" => Meaning::BeforeChrist(true),
        "dst" => Meaning::SummerTime,
        "at" | "on" => Meaning::Filler,
        "j" | "jd" | "julian" => Meaning::Label(Label::Julian),
        "t" => Meaning::Label(Label::Time),
        "y" => Meaning::Label(Label::Year),
        "m" => Meaning::Label(Label::Month),
        "d" => Meaning::Label(Label::Day),
        "h" => Meaning::Label(Label::Hour),
        "mm" => Meaning::Label(Label::Minute),
        "s" => Meaning::Label(Label::Second),
        "dow" | "doy" | "isodow" | "isoyear" => Meaning::Label(Label::Other),
        "epoch" => Meaning::Epoch,
        "infinity" | "-infinity" => Meaning::Infinity,
        "allballs" => Meaning::Midnight,
        "now" => Meaning::Now,
        "today" | "tomorrow" | "yesterday" => Meaning::Date,
        _ => return None,
    })
}
