//! Dates, times and timestamps as ISO text.
//!
//! Days count from 1970-01-01 in the proleptic Gregorian calendar, with a year zero inside and `BC` outside. The calendar
//! arithmetic is Howard Hinnant's `days_from_civil` (https://howardhinnant.github.io/date_algorithms.html).

use super::zone::OffsetCache;

pub(crate) const SECOND_MICROS: i64 = 1_000_000;
pub(crate) const DAY_MICROS: i64 = 86_400 * SECOND_MICROS;
/// Days from 1970-01-01 to PostgreSQL's own epoch, 2000-01-01.
pub(super) const POSTGRES_EPOCH_DAYS: i32 = 10_957;
pub(crate) const POSTGRES_EPOCH_MICROS: i64 = POSTGRES_EPOCH_DAYS as i64 * DAY_MICROS;

const TWO_DIGITS: [[u8; 2]; 100] = {
    let mut table = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        table[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    table
};

/// Year, month and day of a day number.
pub(crate) fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_index + 2) / 5 + 1) as u32;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day number of a date that exists.
pub(crate) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_index = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_index + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

pub(crate) fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// `2024-01-31`; `infinity` for the extreme day numbers, which only a file from elsewhere can hold.
pub(super) fn push_date(out: &mut Vec<u8>, days: i32) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        _ => {
            let before_christ = push_civil_date(out, i64::from(days));
            if before_christ {
                out.extend_from_slice(b" BC");
            }
        }
    }
}

/// `2024-01-31 10:11:12.5`, and ` BC` where it is due.
pub(super) fn push_timestamp(out: &mut Vec<u8>, micros: i64) {
    if push_infinity(out, micros) {
        return;
    }
    let before_christ = push_civil_date(out, micros.div_euclid(DAY_MICROS));
    out.push(b' ');
    push_time(out, micros.rem_euclid(DAY_MICROS));
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// `2024-01-31 10:11:12.5+05:30` in the zone of the cache.
pub(super) fn push_timestamptz(out: &mut Vec<u8>, micros: i64, zone: &mut OffsetCache) {
    if push_infinity(out, micros) {
        return;
    }
    let offset = zone.offset_at(micros.div_euclid(SECOND_MICROS));
    let local = i128::from(micros) + i128::from(offset) * i128::from(SECOND_MICROS);
    let before_christ = push_civil_date(out, local.div_euclid(i128::from(DAY_MICROS)) as i64);
    out.push(b' ');
    push_time(out, local.rem_euclid(i128::from(DAY_MICROS)) as i64);
    push_offset(out, offset);
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// `10:11:12.5`; microseconds since midnight, up to `24:00:00`.
pub(super) fn push_time(out: &mut Vec<u8>, micros: i64) {
    let seconds = micros / SECOND_MICROS;
    let [h1, h2] = TWO_DIGITS[(seconds / 3600 % 100) as usize];
    let [m1, m2] = TWO_DIGITS[(seconds / 60 % 60) as usize];
    let [s1, s2] = TWO_DIGITS[(seconds % 60) as usize];
    out.extend_from_slice(&[h1, h2, b':', m1, m2, b':', s1, s2]);
    push_fraction(out, (micros % SECOND_MICROS) as u32);
}

/// `.5` for 500,000 microseconds, nothing for none.
pub(super) fn push_fraction(out: &mut Vec<u8>, micros: u32) {
    if micros == 0 {
        return;
    }
    let [a, b] = TWO_DIGITS[(micros / 10_000) as usize];
    let [c, d] = TWO_DIGITS[(micros / 100 % 100) as usize];
    let [e, f] = TWO_DIGITS[(micros % 100) as usize];
    let text = [b'.', a, b, c, d, e, f];
    let length = text.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    out.extend_from_slice(&text[..length]);
}

/// `+00`, `+05:30`, `-04:56:02`.
pub(super) fn push_offset(out: &mut Vec<u8>, offset: i32) {
    let seconds = offset.unsigned_abs();
    out.push(if offset < 0 { b'-' } else { b'+' });
    out.extend_from_slice(&TWO_DIGITS[(seconds / 3600) as usize % 100]);
    if !seconds.is_multiple_of(3600) {
        out.push(b':');
        out.extend_from_slice(&TWO_DIGITS[(seconds / 60 % 60) as usize]);
    }
    if !seconds.is_multiple_of(60) {
        out.push(b':');
        out.extend_from_slice(&TWO_DIGITS[(seconds % 60) as usize]);
    }
}

fn push_infinity(out: &mut Vec<u8>, micros: i64) -> bool {
    match micros {
        i64::MAX => out.extend_from_slice(b"infinity"),
        i64::MIN => out.extend_from_slice(b"-infinity"),
        _ => return false,
    }
    true
}

/// Writes year, month and day, and says whether the year is before Christ.
fn push_civil_date(out: &mut Vec<u8>, days: i64) -> bool {
    let (year, month, day) = civil_from_days(days);
    let shown = if year > 0 { year } else { 1 - year };
    if shown > 9999 {
        out.extend_from_slice(itoa::Buffer::new().format(shown / 100).as_bytes());
    } else {
        out.extend_from_slice(&TWO_DIGITS[(shown / 100) as usize]);
    }
    let [y1, y2] = TWO_DIGITS[(shown % 100) as usize];
    let [m1, m2] = TWO_DIGITS[month as usize];
    let [d1, d2] = TWO_DIGITS[day as usize];
    out.extend_from_slice(&[y1, y2, b'-', m1, m2, b'-', d1, d2]);
    year <= 0
}
