//! Templates of dates and times: `YYYY-MM-DD HH24:MI`, taken apart once and then used for many values.
//!
//!     "FMDDth Month"  ──parse──▶  [Field(Day, fill mode, ordinal), Space(' '), Field(MonthName)]
//!
//! A keyword is written in capitals or in small letters; `Month`, `Mon`, `Day` and `Dy` also with one capital. Where several
//! fit, the longest wins. Anything that is no keyword stands for itself. This module knows no values.

use super::characters::{is_separator, is_space, split_character};

/// How letters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Upper,
    Capitalised,
    Lower,
}

/// What a keyword stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Meridiem {
        dotted: bool,
        case: Case,
    },
    Era {
        dotted: bool,
        case: Case,
    },
    Century,
    DayName {
        full: bool,
        case: Case,
    },
    MonthName {
        full: bool,
        case: Case,
    },
    RomanMonth(Case),
    /// `FX`: from here on the text's widths are the template's.
    FixedWidth,
    Hour24,
    Hour12,
    Minute,
    Second,
    SecondOfDay,
    Millisecond,
    Microsecond,
    /// `FF1` to `FF6`.
    Fraction(u8),
    Day,
    DayOfYear,
    Weekday,
    Month,
    Quarter,
    Week,
    WeekOfMonth,
    JulianDay,
    /// The last 1 to 4 digits.
    Year(u8),
    YearWithComma,
    IsoYear(u8),
    IsoWeek,
    IsoWeekday,
    IsoDayOfYear,
    ZoneName(Case),
    ZoneHours,
    ZoneMinutes,
    ZoneOffset,
}

/// The two ways to count days that may not be mixed when a date is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Convention {
    Gregorian,
    IsoWeek,
}

impl Field {
    /// Whether it is read as digits.
    pub(super) fn is_numeric(self) -> bool {
        !matches!(
            self,
            Self::Meridiem { .. }
                | Self::Era { .. }
                | Self::DayName { .. }
                | Self::MonthName { .. }
                | Self::RomanMonth(_)
                | Self::FixedWidth
                | Self::ZoneName(_)
                | Self::ZoneHours
                | Self::ZoneOffset
        )
    }

    pub(super) fn convention(self) -> Option<Convention> {
        match self {
            Self::IsoYear(_) | Self::IsoWeek | Self::IsoWeekday | Self::IsoDayOfYear => Some(Convention::IsoWeek),
            Self::Day
            | Self::DayOfYear
            | Self::Weekday
            | Self::Month
            | Self::MonthName { .. }
            | Self::RomanMonth(_)
            | Self::Week
            | Self::WeekOfMonth
            | Self::Year(_)
            | Self::YearWithComma => Some(Convention::Gregorian),
            _ => None,
        }
    }
}

/// A keyword of a template with its prefix and suffix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FieldNode {
    pub(super) field: Field,
    /// As the template has it.
    pub(super) name: &'static str,
    /// `FM`, or `TM`, which leaves names unpadded too.
    pub(super) fill_mode: bool,
    pub(super) localized: bool,
    /// `TH` or `th`.
    pub(super) ordinal: Option<Case>,
    /// A number is read to its last digit, because nothing that could be a digit follows in the template.
    pub(super) greedy: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Node {
    Field(FieldNode),
    Separator(char),
    Space(char),
    Text(char),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DateTemplate {
    pub(super) nodes: Vec<Node>,
}

impl DateTemplate {
    /// Every text is a template.
    pub(super) fn parse(text: &str) -> Self {
        let mut nodes = Vec::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            rest = parse_node(rest, &mut nodes);
        }
        for index in 0..nodes.len() {
            let greedy = is_followed_by_separator(&nodes, index);
            if let Node::Field(node) = &mut nodes[index] {
                node.greedy = node.fill_mode || greedy;
            }
        }
        Self { nodes }
    }

    /// Whether printing needs the name of the zone.
    pub(super) fn names_zone(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node, Node::Field(FieldNode { field: Field::ZoneName(_), .. })))
    }
}

/// Takes one keyword, quoted text or character from the front of the text.
fn parse_node<'t>(text: &'t str, nodes: &mut Vec<Node>) -> &'t str {
    let (fill_mode, localized, rest) = strip_prefix(text);
    if let Some((name, field)) = KEYWORDS.iter().find(|(name, _)| rest.starts_with(name)) {
        let (ordinal, rest) = strip_suffix(&rest[name.len()..]);
        nodes.push(Node::Field(FieldNode { field: *field, name, fill_mode, localized, ordinal, greedy: false }));
        return rest;
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        return parse_quoted(quoted, nodes);
    }
    // Outside of quotes a backslash is only special before a quote.
    let literal = if rest.starts_with("\\\"") { &rest[1..] } else { rest };
    let Some((character, rest)) = split_character(literal) else { return rest };
    nodes.push(match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() && is_separator(byte) => Node::Separator(character),
        Ok(byte) if byte.is_ascii() && is_space(byte) => Node::Space(character),
        _ => Node::Text(character),
    });
    rest
}

fn strip_prefix(text: &str) -> (bool, bool, &str) {
    match text.get(..2) {
        Some("FM" | "fm") => (true, false, &text[2..]),
        Some("TM" | "tm") => (false, true, &text[2..]),
        _ => (false, false, text),
    }
}

/// `SP` is known and does nothing.
fn strip_suffix(text: &str) -> (Option<Case>, &str) {
    match text.get(..2) {
        Some("TH") => (Some(Case::Upper), &text[2..]),
        Some("th") => (Some(Case::Lower), &text[2..]),
        Some("SP") => (None, &text[2..]),
        _ => (None, text),
    }
}

fn parse_quoted<'t>(text: &'t str, nodes: &mut Vec<Node>) -> &'t str {
    let mut rest = text;
    while let Some((character, after)) = split_character(rest) {
        match (character, split_character(after)) {
            ('"', _) => return after,
            ('\\', Some((escaped, after_escaped))) => {
                nodes.push(Node::Text(escaped));
                rest = after_escaped;
            }
            _ => {
                nodes.push(Node::Text(character));
                rest = after;
            }
        }
    }
    rest
}

fn is_followed_by_separator(nodes: &[Node], index: usize) -> bool {
    if let Node::Field(FieldNode { ordinal: Some(_), .. }) = nodes[index] {
        return true;
    }
    match nodes.get(index + 1) {
        None => true,
        Some(Node::Field(next)) => !next.field.is_numeric(),
        Some(Node::Separator(next) | Node::Space(next) | Node::Text(next)) => !next.is_ascii_digit(),
    }
}

/// Longer keywords stand before the shorter ones that they begin with.
const KEYWORDS: &[(&str, Field)] = &[
    ("A.D.", Field::Era { dotted: true, case: Case::Upper }),
    ("A.M.", Field::Meridiem { dotted: true, case: Case::Upper }),
    ("AD", Field::Era { dotted: false, case: Case::Upper }),
    ("AM", Field::Meridiem { dotted: false, case: Case::Upper }),
    ("B.C.", Field::Era { dotted: true, case: Case::Upper }),
    ("BC", Field::Era { dotted: false, case: Case::Upper }),
    ("CC", Field::Century),
    ("DAY", Field::DayName { full: true, case: Case::Upper }),
    ("DDD", Field::DayOfYear),
    ("DD", Field::Day),
    ("DY", Field::DayName { full: false, case: Case::Upper }),
    ("Day", Field::DayName { full: true, case: Case::Capitalised }),
    ("Dy", Field::DayName { full: false, case: Case::Capitalised }),
    ("D", Field::Weekday),
    ("FF1", Field::Fraction(1)),
    ("FF2", Field::Fraction(2)),
    ("FF3", Field::Fraction(3)),
    ("FF4", Field::Fraction(4)),
    ("FF5", Field::Fraction(5)),
    ("FF6", Field::Fraction(6)),
    ("FX", Field::FixedWidth),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("HH", Field::Hour12),
    ("IDDD", Field::IsoDayOfYear),
    ("ID", Field::IsoWeekday),
    ("IW", Field::IsoWeek),
    ("IYYY", Field::IsoYear(4)),
    ("IYY", Field::IsoYear(3)),
    ("IY", Field::IsoYear(2)),
    ("I", Field::IsoYear(1)),
    ("J", Field::JulianDay),
    ("MI", Field::Minute),
    ("MM", Field::Month),
    ("MONTH", Field::MonthName { full: true, case: Case::Upper }),
    ("MON", Field::MonthName { full: false, case: Case::Upper }),
    ("MS", Field::Millisecond),
    ("Month", Field::MonthName { full: true, case: Case::Capitalised }),
    ("Mon", Field::MonthName { full: false, case: Case::Capitalised }),
    ("OF", Field::ZoneOffset),
    ("P.M.", Field::Meridiem { dotted: true, case: Case::Upper }),
    ("PM", Field::Meridiem { dotted: false, case: Case::Upper }),
    ("Q", Field::Quarter),
    ("RM", Field::RomanMonth(Case::Upper)),
    ("SSSSS", Field::SecondOfDay),
    ("SSSS", Field::SecondOfDay),
    ("SS", Field::Second),
    ("TZH", Field::ZoneHours),
    ("TZM", Field::ZoneMinutes),
    ("TZ", Field::ZoneName(Case::Upper)),
    ("US", Field::Microsecond),
    ("WW", Field::Week),
    ("W", Field::WeekOfMonth),
    ("Y,YYY", Field::YearWithComma),
    ("YYYY", Field::Year(4)),
    ("YYY", Field::Year(3)),
    ("YY", Field::Year(2)),
    ("Y", Field::Year(1)),
    ("a.d.", Field::Era { dotted: true, case: Case::Lower }),
    ("a.m.", Field::Meridiem { dotted: true, case: Case::Lower }),
    ("ad", Field::Era { dotted: false, case: Case::Lower }),
    ("am", Field::Meridiem { dotted: false, case: Case::Lower }),
    ("b.c.", Field::Era { dotted: true, case: Case::Lower }),
    ("bc", Field::Era { dotted: false, case: Case::Lower }),
    ("cc", Field::Century),
    ("day", Field::DayName { full: true, case: Case::Lower }),
    ("ddd", Field::DayOfYear),
    ("dd", Field::Day),
    ("dy", Field::DayName { full: false, case: Case::Lower }),
    ("d", Field::Weekday),
    ("ff1", Field::Fraction(1)),
    ("ff2", Field::Fraction(2)),
    ("ff3", Field::Fraction(3)),
    ("ff4", Field::Fraction(4)),
    ("ff5", Field::Fraction(5)),
    ("ff6", Field::Fraction(6)),
    ("fx", Field::FixedWidth),
    ("hh24", Field::Hour24),
    ("hh12", Field::Hour12),
    ("hh", Field::Hour12),
    ("iddd", Field::IsoDayOfYear),
    ("id", Field::IsoWeekday),
    ("iw", Field::IsoWeek),
    ("iyyy", Field::IsoYear(4)),
    ("iyy", Field::IsoYear(3)),
    ("iy", Field::IsoYear(2)),
    ("i", Field::IsoYear(1)),
    ("j", Field::JulianDay),
    ("mi", Field::Minute),
    ("mm", Field::Month),
    ("month", Field::MonthName { full: true, case: Case::Lower }),
    ("mon", Field::MonthName { full: false, case: Case::Lower }),
    ("ms", Field::Millisecond),
    ("of", Field::ZoneOffset),
    ("p.m.", Field::Meridiem { dotted: true, case: Case::Lower }),
    ("pm", Field::Meridiem { dotted: false, case: Case::Lower }),
    ("q", Field::Quarter),
    ("rm", Field::RomanMonth(Case::Lower)),
    ("sssss", Field::SecondOfDay),
    ("ssss", Field::SecondOfDay),
    ("ss", Field::Second),
    ("tzh", Field::ZoneHours),
    ("tzm", Field::ZoneMinutes),
    ("tz", Field::ZoneName(Case::Lower)),
    ("us", Field::Microsecond),
    ("ww", Field::Week),
    ("w", Field::WeekOfMonth),
    ("y,yyy", Field::YearWithComma),
    ("yyyy", Field::Year(4)),
    ("yyy", Field::Year(3)),
    ("yy", Field::Year(2)),
    ("y", Field::Year(1)),
];

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

pub(super) const ROMAN_MONTHS: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];
