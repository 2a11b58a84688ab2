//! Tests of the first day that stays.

use super::*;

fn first_kept(months: u32, days: u32, transform: Transform) -> String {
    let today = NaiveDate::from_ymd_opt(2026, 3, 31).unwrap();
    boundary(Retention { months, days }, transform, today).map_or_else(String::new, |day| day.to_string())
}

#[test]
fn a_period_with_a_younger_day_stays() {
    assert_eq!(first_kept(24, 0, Transform::Month), "2024-03-01");
    assert_eq!(first_kept(1, 0, Transform::Month), "2026-02-01");
    assert_eq!(first_kept(0, 30, Transform::Day), "2026-03-01");
    assert_eq!(first_kept(0, 31, Transform::Day), "2026-02-28");
    assert_eq!(first_kept(0, 7, Transform::Identity), "2026-03-24");
    assert_eq!(first_kept(3, 0, Transform::Quarter), "2025-10-01");
    assert_eq!(first_kept(12, 0, Transform::Year), "2025-01-01");
    assert_eq!(first_kept(u32::MAX, 0, Transform::Month), "", "nothing is that old");
}
