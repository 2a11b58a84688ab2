//! The names of date and time fields, as EXTRACT and date_trunc read them.
//!
//! PostgreSQL looks at no more than the first ten bytes of a name, so that `millisecondsandmore` is one too. Some names it
//! knows only for extraction, and a few words it takes for fields that nothing has.

/// A name counts up to here.
const NAME_BYTES: usize = 10;
/// Where an identifier is cut, and with it a name in a message.
const IDENTIFIER_BYTES: usize = 63;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    IsoYear,
    Julian,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
    Epoch,
    /// A word for a moment, such as `now`: dates and timestamps recognise it and have no such field.
    Reserved,
}

impl Unit {
    /// The unit of a name in lower case, for date_trunc.
    pub(super) fn of_truncation(name: &str) -> Option<Self> {
        Some(match significant(name) {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" => Self::Microsecond,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" => Self::Millisecond,
            "s" | "sec" | "secs" | "second" | "seconds" => Self::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Self::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Self::Hour,
            "d" | "day" | "days" => Self::Day,
            "w" | "week" | "weeks" => Self::Week,
            "mon" | "mons" | "month" | "months" => Self::Month,
            "qtr" | "quarter" => Self::Quarter,
            "y" | "yr" | "yrs" | "year" | "years" => Self::Year,
            "dec" | "decs" | "decade" | "decades" => Self::Decade,
            "c" | "cent" | "century" | "centuries" => Self::Century,
            "mil" | "mils" | "millennia" | "millennium" => Self::Millennium,
            "timezone" => Self::Timezone,
            "timezone_h" => Self::TimezoneHour,
            "timezone_m" => Self::TimezoneMinute,
            _ => return None,
        })
    }

    /// The unit of a name in lower case, for EXTRACT and date_part.
    pub(super) fn of_extraction(name: &str) -> Option<Self> {
        Self::of_truncation(name).or_else(|| {
            Some(match significant(name) {
                "mm" => Self::Minute,
                "isoyear" => Self::IsoYear,
                "j" | "jd" | "julian" => Self::Julian,
                "dow" => Self::DayOfWeek,
                "isodow" => Self::IsoDayOfWeek,
                "doy" => Self::DayOfYear,
                "epoch" => Self::Epoch,
                "now" | "today" | "tomorrow" | "yesterday" | "infinity" | "-infinity" | "allballs" => Self::Reserved,
                _ => return None,
            })
        })
    }
}

/// A name as PostgreSQL compares and prints it: ASCII letters in lower case, no longer than an identifier.
pub(super) fn folded(name: &str) -> String {
    cut(name, IDENTIFIER_BYTES).to_ascii_lowercase()
}

fn significant(name: &str) -> &str {
    cut(name, NAME_BYTES)
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
