//! First lines that are names, that are values, and that do not say.

use super::*;

fn first_line(lines: &[&str]) -> FirstLine {
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split(',').collect()).collect();
    let mut below = vec![Survey::default(); rows[0].len()];
    for row in &rows[1..] {
        row.iter().zip(&mut below).for_each(|(value, survey)| survey.push(value.as_bytes()));
    }
    let repeats = rows[1..].iter().any(|row| row.iter().zip(&rows[0]).any(|(value, first)| value == first));
    FirstLine { cells: rows[0].iter().map(ToString::to_string).collect(), below, repeats }
}

fn is_header(lines: &[&str], known: &[&str]) -> Option<bool> {
    first_line(lines).is_header(&known.iter().map(ToString::to_string).collect::<Vec<_>>())
}

#[test]
fn texts_above_values_are_names() {
    assert_eq!(is_header(&["id,name", "1,a", "2,b"], &[]), Some(true));
    assert_eq!(is_header(&["id,2023,2024", "1,10,20"], &[]), Some(true));
    assert_eq!(is_header(&["a,b,", "1,2,"], &[]), Some(true));
    assert_eq!(is_header(&["a,b,a", "1,2,3"], &[]), Some(true));
    assert_eq!(is_header(&["day,sold", "2025-01-01,true"], &[]), Some(true));
    assert_eq!(is_header(&["2025-01-01,2025-02-01", "5,6"], &[]), Some(true));
}

#[test]
fn values_above_values_are_no_names() {
    assert_eq!(is_header(&["1,a", "2,b"], &[]), Some(false));
    assert_eq!(is_header(&["EMEA,2023,5", "APAC,2024,6"], &[]), Some(false));
    assert_eq!(is_header(&["1"], &[]), Some(false));
    assert_eq!(is_header(&["DE,Germany", "FR,France", "DE,Deutschland"], &[]), Some(false));
}

#[test]
fn what_does_not_say_is_unclear() {
    assert_eq!(is_header(&["DE,Germany", "FR,France"], &[]), None);
    assert_eq!(is_header(&["region,2023,2024", "EMEA,100,200"], &[]), None);
    assert_eq!(is_header(&["n/a,2025-01-01", "5,2025-01-02"], &[]), None);
    assert_eq!(is_header(&["a,b"], &[]), None);
}

#[test]
fn a_table_that_is_there_says_it() {
    let known = ["region", "2023", "2024"];
    assert_eq!(is_header(&["Region,2023,2024", "EMEA,100,200"], &known), Some(true));
    assert_eq!(is_header(&["region,2024", "EMEA,200"], &known), Some(true));
    assert_eq!(is_header(&["DE,Germany,x", "FR,France,y"], &known), Some(false));
    assert_eq!(is_header(&["region,first,second", "EMEA,a,b"], &known), None);
}

#[test]
fn names_are_there_and_differ() {
    assert_eq!(first_line(&["a,b,"]).names(), ["a", "b", "column3"]);
    assert_eq!(first_line(&["a,b,A,a_2,a"]).names(), ["a", "b", "A_3", "a_2", "a_4"]);
    assert_eq!(first_line(&[",column1"]).names(), ["column1_2", "column1"]);
}
