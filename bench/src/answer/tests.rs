//! When answers count as the same.

use super::*;

fn answer(values: &[&[Option<&str>]]) -> Answer {
    let rows = values.iter().map(|row| row.iter().map(|value| value.map(str::to_owned)).collect()).collect();
    Answer { took: Duration::ZERO, rows }
}

#[test]
fn scale_and_order_do_not_make_a_difference() {
    let left = answer(&[&[Some("EMEA"), Some("12.50")], &[Some("AMER"), None]]);
    let right = answer(&[&[Some("AMER"), None], &[Some("EMEA"), Some("12.5")]]);
    assert_eq!(difference(&left.canonical(), &right.canonical()), None);
}

#[test]
fn a_missing_row_and_another_value_are_differences() {
    let left = answer(&[&[Some("100")], &[Some("200")]]);
    let short = answer(&[&[Some("100")]]);
    let other = answer(&[&[Some("100")], &[Some("20")]]);
    assert_eq!(difference(&left.canonical(), &short.canonical()).as_deref(), Some("2 rows against 1"));
    assert_eq!(difference(&left.canonical(), &other.canonical()).as_deref(), Some("\"200\" against \"20\""));
}
