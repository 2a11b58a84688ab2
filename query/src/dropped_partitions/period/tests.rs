//! Periods as they are read and shown.

use super::Period;
use catalog::definition::Transform;

fn read(text: &str) -> String {
    Period::parse(text).map_or("-".into(), |period| format!("{period} {} {}", period.first, period.next))
}

#[test]
fn a_period_is_read_as_it_is_shown() {
    assert_eq!(read("2024"), "2024 2024-01-01 2025-01-01");
    assert_eq!(read("2024-q4"), "2024-Q4 2024-10-01 2025-01-01");
    assert_eq!(read("2024-2"), "2024-02 2024-02-01 2024-03-01");
    assert_eq!(read(" 2024-02-29 "), "2024-02-29 2024-02-29 2024-03-01");
}

#[test]
fn what_is_no_period_is_none() {
    for text in
        ["", "24", "2024-13", "2024-Q5", "2024-02-30", "2024-01-01-01", "01-02-03", "+024-01", "2024-01-01 10:00"]
    {
        assert_eq!(read(text), "-", "{text}");
    }
}

#[test]
fn a_day_lies_in_its_period() {
    let day = Period::parse("2024-08-31").unwrap().first;
    let shown = |grain| Period::of(day, grain).map(|period| (period.to_string(), period.last().to_string()));
    assert_eq!(shown(Transform::Quarter), Some(("2024-Q3".into(), "2024-09-30".into())));
    assert_eq!(shown(Transform::Year), Some(("2024".into(), "2024-12-31".into())));
    assert_eq!(shown(Transform::Identity), None);
}
