//! Types of columns from all of their values.

use super::*;

fn type_of(values: &[&str], rejects: bool) -> String {
    let mut survey = Survey::default();
    values.iter().for_each(|value| survey.push(value.as_bytes()));
    survey.sql_type(rejects)
}

#[test]
fn a_type_keeps_all_digits_of_all_values() {
    assert_eq!(type_of(&["1", "-20", "", " 3 "], false), "bigint");
    assert_eq!(type_of(&["1.5", "2"], false), "numeric(18, 2)");
    assert_eq!(type_of(&["1.50", "1.23456"], false), "numeric(18, 5)");
    assert_eq!(type_of(&["12345678901234567.5", "0.123"], false), "numeric(20, 3)");
    assert_eq!(type_of(&["0.12345678901234567890123456789"], false), "numeric(39, 29)");
    assert_eq!(type_of(&[&format!("0.{}", "1".repeat(80))], false), "text");
    for changed in ["007", "+5", "1e-9", ".5", "5.", "-0", "1_000"] {
        assert_eq!(type_of(&["1", changed], false), "text", "{changed}");
    }
}

#[test]
fn moments_with_and_without_an_offset_are_texts_together() {
    assert_eq!(type_of(&["2025-01-01 10:00", "2025-01-01T10:00:00.123456"], false), "timestamp");
    assert_eq!(
        type_of(&["2025-01-01 10:00Z", "2025-01-01T10:00:00.5+05:00", "2025-01-01 10:00:00-03"], false),
        "timestamptz"
    );
    assert_eq!(type_of(&["2025-01-01 10:00:00", "2025-01-01 10:00:00+05:00"], false), "text");
    assert_eq!(type_of(&["2025-01-01", "2025-01-01 10:00:00"], false), "text");
}

#[test]
fn what_only_begins_like_a_moment_is_text() {
    for text in [
        "2025-01-01 10:00 - note",
        "2025-01-01 10:00 CET",
        "2025-01-01 10:61",
        "2025-01-01 10:00:00.1234567",
        "2025-02-29",
        "2025-13-01",
        "2025-01-01x10:00",
        "2025-01-01 ü",
    ] {
        assert_eq!(type_of(&[text], false), "text", "{text}");
    }
    assert_eq!(type_of(&["2024-02-29"], false), "date");
}

#[test]
fn what_a_type_would_change_is_not_left_to_rejects() {
    let many = |value: &'static str, odd: &'static str| [vec![value; 99], vec![odd]].concat();
    assert_eq!(type_of(&many("12", "x"), true), "bigint");
    assert_eq!(type_of(&many("12", "007"), true), "text");
    assert_eq!(type_of(&many("1.5", "1e-9"), true), "text");
    assert_eq!(type_of(&many("2025-01-01", "soon"), true), "date");
    assert_eq!(type_of(&many("2025-01-01", "2025-01-01 10:00:00"), true), "text");
    assert_eq!(type_of(&many("2025-01-01 10:00:00", "2025-01-01 10:00:00+05:00"), true), "text");
    assert_eq!(type_of(&many("true", "1"), true), "text");
}

#[test]
fn files_of_one_table_are_surveyed_together() {
    let survey = |values: &[&str]| {
        let mut survey = Survey::default();
        values.iter().for_each(|value| survey.push(value.as_bytes()));
        survey
    };
    let mut both = survey(&["1", "2"]);
    both.merge(&survey(&["1.2345"]));
    assert_eq!(both.sql_type(false), "numeric(18, 4)");
    assert!(both.has_few_values());
    let values: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    both.merge(&survey(&values.iter().map(String::as_str).collect::<Vec<_>>()));
    assert!(!both.has_few_values());
}
