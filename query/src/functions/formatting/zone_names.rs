//! What a zone is called at a moment: `CEST`, `+03`.

use crate::types::Zone;
use chrono::{DateTime, TimeZone};
use chrono_tz::{OffsetName, Tz};
use std::fmt::Write;

/// Seconds from 1970 that chrono's calendar reaches either way.
const SECONDS_MAX: i64 = 8_000_000_000_000;

/// The abbreviation at a moment in seconds since 1970. Where a zone has none it is its offset.
pub(super) fn zone_name(zone: &Zone, seconds: i64) -> String {
    match zone {
        Zone::Named(named) => abbreviation(*named, seconds).unwrap_or_else(|| offset_name(zone.offset_at(seconds), "")),
        Zone::Fixed(offset_seconds) => offset_name(*offset_seconds, ":"),
    }
}

fn abbreviation(zone: Tz, seconds: i64) -> Option<String> {
    let moment = DateTime::from_timestamp(seconds.clamp(-SECONDS_MAX, SECONDS_MAX), 0)?;
    zone.offset_from_utc_datetime(&moment.naive_utc()).abbreviation().map(str::to_string)
}

fn offset_name(offset_seconds: i32, separator: &str) -> String {
    let sign = if offset_seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset_seconds.abs() / 3600, offset_seconds.abs() / 60 % 60);
    let mut name = format!("{sign}{hours:02}");
    if minutes != 0 {
        // Writing to a string cannot fail.
        let _ = write!(name, "{separator}{minutes:02}");
    }
    name
}
