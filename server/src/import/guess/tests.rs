//! Guesses of delimiters, headers and types, from clean lines and dirty ones.

use super::*;

fn guess_of(name: &str, content: &[u8], said: &Said) -> anyhow::Result<Guess> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    Guess::of(&path, said, Table::New(&[]))
}

fn guessed(lines: &str, rejects: bool) -> String {
    guess_of("sales.csv", lines.as_bytes(), &Said { rejects, ..Said::default() }).unwrap().to_string()
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

#[test]
fn a_value_far_behind_the_sample_counts() {
    let lines = (0..200_000).fold("id,rate\n".to_string(), |lines, number| lines + &format!("{number},1.5\n"));
    assert!(lines.len() as u64 > SAMPLE_BYTES);
    let expected = "csv, delimiter ',', a header, 2 columns: id bigint, rate numeric(18, 5)";
    assert_eq!(guessed(&(lines + "200000,1.23456\n"), false), expected);
}

#[test]
fn an_unclear_header_is_asked_for() {
    let lines = b"DE,Germany\nFR,France\n";
    let error = guess_of("codes.csv", lines, &Said::default()).unwrap_err().to_string();
    assert!(error.contains("(DE, Germany)") && error.contains("--header true or --header false"), "{error}");
    let said = Said { header: Some(false), ..Said::default() };
    assert_eq!(guess_of("codes.csv", lines, &said).unwrap().names(), ["column1", "column2"]);
    let said = Said { header: Some(true), ..Said::default() };
    assert_eq!(guess_of("codes.csv", b"a,,a\nx,y,z\n", &said).unwrap().names(), ["a", "column2", "a_2"]);
}

#[test]
fn names_and_types_of_objects_are_those_of_all_lines() {
    let lines = b"\xef\xbb\xbf{\"id\":1,\"Rate\":1.5}\n\n{\"rate\":1.23456,\"tags\":[1],\"name\":\"\",\"at\":null}\n";
    let expected = "JSON lines, 5 columns: id bigint, Rate numeric(18, 5), tags jsonb, name text, at text";
    assert_eq!(guess_of("events.jsonl", lines, &Said::default()).unwrap().to_string(), expected);
    let cut = b"{\"id\":1}\n\n{\"id\":";
    let error = guess_of("events.jsonl", cut, &Said::default()).unwrap_err().to_string();
    assert_eq!(error, "line 3: the object is cut off");
    let said = Said { rejects: true, ..Said::default() };
    assert_eq!(guess_of("events.jsonl", cut, &said).unwrap().to_string(), "JSON lines, 1 columns: id bigint");
}

#[test]
fn encodings_are_read_or_named() {
    let latin = b"caf\xe9,id\nx,1\n";
    let error = format!("{:#}", guess_of("a.csv", latin, &Said::default()).unwrap_err());
    assert!(error.contains("0xe9") && error.contains("--encoding"), "{error}");
    let said = Said { encoding: CopyEncoding::Latin1, ..Said::default() };
    assert_eq!(guess_of("a.csv", latin, &said).unwrap().names(), ["caf\u{e9}", "id"]);
    let error = guess_of("a.csv", b"\xff\xfea\0,\0b\0\n\0", &Said::default()).unwrap_err().to_string();
    assert!(error.contains("UTF-16") && error.contains("iconv"), "{error}");
}

#[test]
fn decimals_of_parquet_keep_their_digits() {
    assert_eq!(declared(&Field::new("a", DataType::Decimal128(10, 2), true)), "numeric(10, 2)");
    assert_eq!(declared(&Field::new("a", DataType::Decimal128(5, -3), true)), "numeric(8, 0)");
    assert_eq!(
        declared(&Field::new_list("a", Field::new_list_field(DataType::Decimal128(10, 2), true), true)),
        "numeric(10, 2)[]"
    );
    assert_eq!(declared(&Field::new("a", DataType::Utf8View, true)), "text");
}

#[test]
fn files_of_one_table_add_columns_and_values() {
    let mut both = guess_of("a.jsonl", b"{\"id\":1}\n", &Said::default()).unwrap();
    both.widen(&guess_of("b.jsonl", b"{\"ID\":1.5,\"more\":true}\n", &Said::default()).unwrap()).unwrap();
    assert_eq!(both.create_table("t").unwrap(), "CREATE TABLE t (\"id\" numeric(18, 2), \"more\" boolean)");
}
