//! Guesses of delimiters, headers and types, from clean lines and dirty ones.

use super::*;

fn guessed(lines: &str, rejects: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sales.csv");
    std::fs::write(&path, lines).unwrap();
    Guess::of(&path, None, None, rejects).unwrap().to_string()
}

fn with_lines(header: &str, line: impl Fn(usize) -> String) -> String {
    (0..100).fold(format!("{header}\n"), |lines, number| lines + &line(number) + "\n")
}

#[test]
fn a_line_with_too_many_values_hides_no_header() {
    let lines = with_lines("id,day,amount", |number| match number {
        3 => "3,2025-01-04,1.50,extra".to_string(),
        7 => "7".to_string(),
        _ => format!("{number},2025-01-04,1.50"),
    });
    let expected = "csv, delimiter ',', a header, 3 columns: id bigint, day date, amount numeric(18, 2)";
    assert_eq!(guessed(&lines, false), expected);
}

#[test]
fn a_few_wrong_values_change_no_type_where_they_are_rejected() {
    let lines = with_lines("id,sold_at,amount", |number| match number {
        3 => "many,2025-01-04 10:00:00,1.50".to_string(),
        4 => "4,soon,12,x".to_string(),
        5 => "5,2025-01-04 10:00:00,\"12,x\"".to_string(),
        6 => "6,soon,1.5".to_string(),
        _ => format!("{number},2025-01-04 10:00:00,1.50"),
    });
    let typed = "csv, delimiter ',', a header, 3 columns: id bigint, sold_at timestamp, amount numeric(18, 2)";
    assert_eq!(guessed(&lines, true), typed);
    let lossless = "csv, delimiter ',', a header, 3 columns: id text, sold_at text, amount text";
    assert_eq!(guessed(&lines, false), lossless);
}

#[test]
fn values_that_are_often_wrong_are_texts() {
    let lines = with_lines("code", |number| if number % 10 == 0 { "none".into() } else { number.to_string() });
    assert_eq!(guessed(&lines, true), "csv, delimiter ',', a header, 1 columns: code text");
}
