//! Time zones: their offset at a moment, and the abbreviations that PostgreSQL knows by default.

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone, offset::LocalResult};
use chrono_tz::Tz;
use std::str::FromStr;

const DAY_SECONDS: i64 = 86_400;
/// Hours that a POSIX specification may name: less than a week.
const POSIX_HOURS_MAX: u32 = 167;

/// A time zone of a session or of a timestamp's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    Named(Tz),
    /// Seconds east of Greenwich.
    Fixed(i32),
}

impl Zone {
    pub const UTC: Self = Self::Named(Tz::UTC);

    /// Finds a zone by its name in any case (`Europe/Berlin`) or by a common abbreviation (`CET`, `EST`).
    pub fn by_name(name: &str) -> Option<Self> {
        if let Ok(zone) = Tz::from_str(name) {
            return Some(Self::Named(zone));
        }
        if let Some(zone) = Self::by_abbreviation(name) {
            return Some(zone);
        }
        Self::in_any_case(name)
    }

    /// Finds a zone as the TimeZone setting names it: by name, or by a POSIX specification without summer time. A zone that is called
    /// as an abbreviation is found in any case: the words of SET are folded.
    pub fn of_setting(name: &str) -> Option<Self> {
        let named = Tz::from_str(name).ok().map(Self::Named).or_else(|| Self::in_any_case(name));
        named.or_else(|| Self::by_abbreviation(name)).or_else(|| posix_offset(name).map(Self::Fixed))
    }

    fn in_any_case(name: &str) -> Option<Self> {
        chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name)).map(|zone| Self::Named(*zone))
    }

    /// Finds a zone by a common abbreviation, in any case.
    pub(super) fn by_abbreviation(name: &str) -> Option<Self> {
        let found = ABBREVIATIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, minutes)| Self::Fixed(minutes * 60))
    }

    /// Seconds east of Greenwich at a moment, in seconds since 1970.
    pub fn offset_at(&self, seconds: i64) -> i32 {
        match self {
            Self::Named(Tz::UTC) => 0,
            Self::Fixed(offset) => *offset,
            Self::Named(zone) => zone.offset_from_utc_datetime(&clamped(seconds)).fix().local_minus_utc(),
        }
    }

    /// The offset for a local time. A time that a change to summer time skips is read with the offset before the change, a time
    /// that comes twice with the one after it, as PostgreSQL does.
    pub fn offset_of_local(&self, local_seconds: i64) -> i32 {
        match self {
            Self::Named(Tz::UTC) => 0,
            Self::Fixed(offset) => *offset,
            Self::Named(zone) => {
                let local = clamped(local_seconds);
                match zone.offset_from_local_datetime(&local) {
                    LocalResult::Single(offset) | LocalResult::Ambiguous(_, offset) => offset.fix().local_minus_utc(),
                    LocalResult::None => self.offset_at(local_seconds - DAY_SECONDS),
                }
            }
        }
    }
}

/// A POSIX zone without summer time: letters or `<…>` and then hours west of Greenwich. Seconds east.
fn posix_offset(name: &str) -> Option<i32> {
    let offset = match name.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?.1,
        None => name.trim_start_matches(|letter: char| !letter.is_ascii_digit() && !matches!(letter, ',' | '+' | '-')),
    };
    let west = if offset.starts_with('-') { -1 } else { 1 };
    let body = offset.strip_prefix(['+', '-']).unwrap_or(offset);
    let [hours, minutes, seconds] = colon_separated(body).filter(|_| !body.is_empty())?;
    if hours > POSIX_HOURS_MAX || minutes > 59 || seconds > 60 {
        return None;
    }
    Some(-west * (hours * 3600 + minutes * 60 + seconds) as i32)
}

/// Up to three numbers with colons between them; a missing one is 0.
pub(crate) fn colon_separated(text: &str) -> Option<[u32; 3]> {
    let mut numbers = [0; 3];
    for (index, part) in text.split(':').enumerate() {
        if !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *numbers.get_mut(index)? = if part.is_empty() { 0 } else { part.parse().unwrap_or(u32::MAX) };
    }
    Some(numbers)
}

/// The civil time nearest to a moment that the zone tables cover.
fn clamped(seconds: i64) -> NaiveDateTime {
    const LIMIT: i64 = 8_000_000_000_000;
    DateTime::from_timestamp(seconds.clamp(-LIMIT, LIMIT), 0).map(|moment| moment.naive_utc()).unwrap_or_default()
}

/// Remembers the offset of one UTC day, so that a column of nearby moments looks its zone up once.
pub(crate) struct OffsetCache {
    zone: Zone,
    start: i64,
    end: i64,
    offset: i32,
}

impl OffsetCache {
    pub(crate) fn new(zone: Zone) -> Self {
        Self { zone, start: 0, end: 0, offset: 0 }
    }

    pub(crate) fn offset_at(&mut self, seconds: i64) -> i32 {
        if seconds >= self.start && seconds < self.end {
            return self.offset;
        }
        let offset = self.zone.offset_at(seconds);
        let start = seconds.div_euclid(DAY_SECONDS) * DAY_SECONDS;
        if self.zone.offset_at(start) == offset && self.zone.offset_at(start + DAY_SECONDS) == offset {
            (self.start, self.end, self.offset) = (start, start + DAY_SECONDS, offset);
        }
        offset
    }
}

/// Abbreviations with their minutes east of Greenwich, from PostgreSQL's `Default` set.
pub(crate) const ABBREVIATIONS: &[(&str, i32)] = &[
    ("UTC", 0),
    ("GMT", 0),
    ("Z", 0),
    ("ZULU", 0),
    ("UT", 0),
    ("WET", 0),
    ("WEST", 60),
    ("BST", 60),
    ("CET", 60),
    ("CEST", 120),
    ("MET", 60),
    ("MEST", 120),
    ("EET", 120),
    ("EEST", 180),
    ("SAST", 120),
    ("MSK", 180),
    ("MSD", 240),
    ("IST", 120),
    ("PKT", 300),
    ("ICT", 420),
    ("HKT", 480),
    ("AWST", 480),
    ("JST", 540),
    ("KST", 540),
    ("ACST", 570),
    ("ACDT", 630),
    ("AEST", 600),
    ("AEDT", 660),
    ("NZST", 720),
    ("NZDT", 780),
    ("BRT", -180),
    ("ART", -180),
    ("NST", -210),
    ("NDT", -150),
    ("AST", -240),
    ("ADT", -180),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("AKST", -540),
    ("AKDT", -480),
    ("HST", -600),
];
