//! Day numbers and ISO weeks, defined for fields that are no date too.
//!
//! An interval has a year, a month and a day without being a date, and PostgreSQL prints its `J` or `IW` all the same. So these are
//! its own integer formulas with its own divisions; for true dates they agree with any calendar. Everything wraps.

/// The Julian day of 1970-01-01 and of 2000-01-01.
const UNIX_EPOCH: i32 = 2_440_588;
pub(super) const POSTGRES_EPOCH: i32 = 2_451_545;

/// The Julian day number of a date; year 0 is 1 BC.
pub(super) fn julian_day(year: i32, month: i32, day: i32) -> i32 {
    let (year, month) = if month > 2 {
        (year.wrapping_add(4800), month.wrapping_add(1))
    } else {
        (year.wrapping_add(4799), month.wrapping_add(13))
    };
    let century = year / 100;
    let days_of_years = year.wrapping_mul(365).wrapping_sub(32_167).wrapping_add(year / 4 - century + century / 4);
    days_of_years.wrapping_add(month.wrapping_mul(7834) / 256).wrapping_add(day)
}

/// Year, month and day of a Julian day. Negative ones wrap, as PostgreSQL's do, and fail its checks later.
pub(super) fn date_of_julian_day(julian: i32) -> (i32, i32, i32) {
    // Days since 1 March 4801 BC, counted in eras of 400 years.
    let shifted = (julian as u32).wrapping_add(32_044);
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = (era * 400 + year_of_era + u32::from(month <= 2)) as i32 - 4800;
    (year, month as i32, day as i32)
}

pub(super) fn days_since_1970(julian: i32) -> i32 {
    julian.wrapping_sub(UNIX_EPOCH)
}

pub(super) fn julian_day_of_days(days_since_1970: i64) -> i32 {
    (days_since_1970 + i64::from(UNIX_EPOCH)) as i32
}

/// 0 for Sunday.
pub(super) fn weekday(julian: i32) -> i32 {
    julian.wrapping_add(1).rem_euclid(7)
}

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(super) fn days_in_month(year: i32, month: i32) -> i32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The Julian day of the Monday on which a week of an ISO year begins.
pub(super) fn iso_week_start(year: i32, week: i32) -> i32 {
    let fourth = julian_day(year, 1, 4);
    let monday = fourth.wrapping_sub(weekday(fourth.wrapping_sub(1)));
    week.wrapping_sub(1).wrapping_mul(7).wrapping_add(monday)
}

/// The Julian day of a weekday (Sunday is 1) in a week of an ISO year, which ends with its Sunday.
pub(super) fn iso_week_date(year: i32, week: i32, weekday: i32) -> i32 {
    let past_monday = if weekday > 1 { weekday - 2 } else { 6 };
    iso_week_start(year, week).wrapping_add(past_monday)
}

/// ISO year and week of a date.
fn iso_year_and_week(year: i32, month: i32, day: i32) -> (i32, i32) {
    let julian = julian_day(year, month, day);
    let week_from = |start: i32| f64::from(julian.wrapping_sub(start)) / 7.0 + 1.0;
    let mut iso_year = year;
    let mut start = iso_week_start(year, 1);
    if julian < start {
        iso_year = year.wrapping_sub(1);
        start = iso_week_start(iso_year, 1);
    }
    let mut week = week_from(start);
    if week >= 52.0 {
        let next = iso_week_start(year.wrapping_add(1), 1);
        if julian >= next {
            iso_year = year.wrapping_add(1);
            week = week_from(next);
        }
    }
    (iso_year, week as i32)
}

pub(super) fn iso_year(year: i32, month: i32, day: i32) -> i32 {
    iso_year_and_week(year, month, day).0
}

pub(super) fn iso_week(year: i32, month: i32, day: i32) -> i32 {
    iso_year_and_week(year, month, day).1
}

/// The day of an ISO year, whose first is the Monday of its first week.
pub(super) fn iso_day_of_year(year: i32, month: i32, day: i32) -> i32 {
    let first = iso_week_start(iso_year(year, month, day), 1);
    julian_day(year, month, day).wrapping_sub(first).wrapping_add(1)
}
