//! What PostgreSQL answers, for cases that its rules turn on.

use super::calendar::{Clock, age, shifted, shifted_in_zone};
use super::construction::{DateFields, TimeFields, moment_of_epoch, timestamp};
use super::fields::{self, Part};
use super::span::Span;
use super::truncation::{self, Beginnings};
use super::units::Unit;
use super::zones::{ZoneClock, zone_of_construction, zone_of_expression};
use crate::types::{DAY_MICROS, SECOND_MICROS, Zone, days_from_civil};

const HOUR_SECONDS: i64 = 3600;

fn moment(year: i64, month: u32, day: u32, hour: i64) -> i64 {
    days_from_civil(year, month, day) * DAY_MICROS + hour * HOUR_SECONDS * SECOND_MICROS
}

fn span(months: i32, days: i32, micros: i64) -> Span {
    Span { months, days, micros }
}

fn new_york() -> ZoneClock {
    ZoneClock::new(Zone::by_name("America/New_York").unwrap())
}

#[test]
fn a_month_later_is_the_last_day_of_a_shorter_month() {
    assert_eq!(shifted(moment(2024, 1, 31, 5), span(1, 0, 0)), Ok(moment(2024, 2, 29, 5)));
    assert_eq!(shifted(moment(2024, 3, 31, 0), span(-13, 1, 0)), Ok(moment(2023, 3, 1, 0)));
    assert!(shifted(moment(2024, 1, 1, 0), span(i32::MAX, 0, 0)).is_err());
    assert_eq!(shifted(i64::MAX, span(1, 1, 1)), Ok(i64::MAX));
}

#[test]
fn days_pass_on_the_wall_and_hours_everywhere() {
    let eve = moment(2024, 3, 9, 17);
    assert_eq!(shifted_in_zone(eve, span(0, 1, 0), &mut new_york()), Ok(moment(2024, 3, 10, 16)));
    assert_eq!(shifted_in_zone(eve, span(0, 0, DAY_MICROS), &mut new_york()), Ok(moment(2024, 3, 10, 17)));
}

#[test]
fn fractions_of_intervals_go_down_only() {
    let third = span(1, 0, 0).divided(3.0).unwrap();
    assert_eq!(third, span(0, 10, 0));
    assert_eq!(span(1, 1, 0).multiplied(1.5), Ok(span(1, 16, 12 * HOUR_SECONDS * SECOND_MICROS)));
    assert_eq!(span(0, 0, DAY_MICROS).multiplied(3.0), Ok(span(0, 0, 3 * DAY_MICROS)));
    assert!(span(1, 0, 0).multiplied(f64::NAN).is_err() && span(1, 0, 0).divided(0.0).is_err());
}

#[test]
fn a_justified_interval_has_one_sign() {
    assert_eq!(span(1, -1, 0).justified(), Ok(span(0, 29, 0)));
    assert_eq!(span(0, 1, -SECOND_MICROS).justified(), Ok(span(0, 0, DAY_MICROS - SECOND_MICROS)));
    assert_eq!(span(0, -1, 25 * HOUR_SECONDS * SECOND_MICROS).justified_hours().map(|span| span.days), Ok(0));
}

#[test]
fn an_age_borrows_days_from_the_earlier_month() {
    assert_eq!(age(moment(2024, 3, 1, 0), moment(2024, 1, 31, 0), false), Ok(span(1, 1, 0)));
    assert_eq!(age(moment(2024, 1, 31, 0), moment(2024, 3, 1, 0), true), Ok(span(-1, -1, 0)));
}

#[test]
fn there_is_no_year_zero() {
    let field = |unit, year| fields::of_timestamp(unit, moment(year, 6, 1, 0));
    for (year, century, millennium) in
        [(2001, 21, 3), (2000, 20, 2), (1, 1, 1), (0, -1, -1), (-99, -1, -1), (-100, -2, -1)]
    {
        assert_eq!(field(Unit::Century, year), Ok(Part::Whole(century)), "{year}");
        assert_eq!(field(Unit::Millennium, year), Ok(Part::Whole(millennium)), "{year}");
    }
    assert_eq!(field(Unit::Year, 0), Ok(Part::Whole(-1)));
}

#[test]
fn a_truncated_hour_keeps_its_offset_when_clocks_go_back() {
    let (first, second) = (moment(2024, 11, 3, 5) + SECOND_MICROS, moment(2024, 11, 3, 6) + SECOND_MICROS);
    let mut known = Beginnings::new();
    let mut truncated = |unit, micros| truncation::of_timestamptz(unit, micros, &mut new_york(), &mut known).ok();
    assert_eq!(truncated(Unit::Hour, first), Some(first - SECOND_MICROS));
    assert_eq!(truncated(Unit::Hour, second), Some(second - SECOND_MICROS));
    assert_eq!(truncated(Unit::Day, second), Some(moment(2024, 11, 3, 4)));
}

#[test]
fn what_is_remembered_of_days_is_what_is_computed() {
    let mut known = Beginnings::new();
    let days = |step: i64| {
        (-2000..2000).map(move |number| moment(2024, 3, 10, 5) + number * step * 24 * HOUR_SECONDS * SECOND_MICROS)
    };
    for unit in [Unit::Month, Unit::Week, Unit::Month, Unit::Day] {
        for micros in days(1).chain(days(1)).chain(days(1024)) {
            let anew = truncation::of_timestamptz(unit, micros, &mut new_york(), &mut Beginnings::new());
            assert_eq!(
                truncation::of_timestamptz(unit, micros, &mut new_york(), &mut known),
                anew,
                "{unit:?} {micros}"
            );
        }
    }
}

#[test]
fn bins_before_the_origin_begin_before_their_moments() {
    let (stride, origin) = (span(0, 0, 1000), moment(2024, 1, 1, 0));
    assert_eq!(truncation::bin(stride, origin - 1, origin), Ok(origin - 1000));
    assert_eq!(truncation::bin(stride, origin - 1000, origin), Ok(origin - 1000));
}

#[test]
fn a_clock_that_remembers_answers_like_its_zone() {
    for name in ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"] {
        let zone = Zone::by_name(name).unwrap();
        let mut clock = ZoneClock::new(zone);
        let start = days_from_civil(2011, 1, 1) * 24 * HOUR_SECONDS;
        for quarter_hour in 0..4 * 24 * 400 {
            let seconds = start + quarter_hour * 900;
            assert_eq!(clock.offset_at(seconds), zone.offset_at(seconds), "{name} {seconds}");
            assert_eq!(clock.offset_of_local(seconds), zone.offset_of_local(seconds), "{name} {seconds}");
        }
    }
}

#[test]
fn posix_zones_count_westwards_and_numeric_ones_eastwards() {
    assert_eq!(zone_of_expression("UTC+3"), Some(Zone::Fixed(-10_800)));
    assert_eq!(zone_of_expression("<x>-5:30"), Some(Zone::Fixed(19_800)));
    assert_eq!(zone_of_expression("cet"), Some(Zone::Fixed(3600)));
    assert_eq!(zone_of_expression("Nowhere"), None);
    assert_eq!(zone_of_construction("+0530"), Ok(Zone::Fixed(19_800)));
    assert!(zone_of_construction("+16").is_err() && zone_of_construction("5").is_err());
}

#[test]
fn messages_show_what_was_given() {
    let date = DateFields { year: -44, month: 13, day: 1 };
    let shown = |failure| format!("{failure:?}");
    assert!(date.date().map_err(shown).unwrap_err().contains("date field value out of range: -43-13-01"));
    let time = TimeFields { hour: 25, minute: 1, second: 1.5 };
    assert!(time.time().map_err(shown).unwrap_err().contains("time field value out of range: 25:01:1.5"));
    assert!(timestamp(date, time).map_err(shown).unwrap_err().contains("-44-13-01"));
    assert!(moment_of_epoch(1e20).map_err(shown).unwrap_err().contains("\\\"1e+20\\\""));
}
