//! Objects as lines of COPY's text format.

use super::*;

fn column(name: &str, sql_type: &str, has_default: bool) -> TableColumn {
    TableColumn { name: name.to_string(), sql_type: sql_type.to_string(), has_default }
}

fn written(line: &str) -> Result<String, String> {
    let columns = [column("id", "bigint", false), column("note", "text", true), column("more", "jsonb", false)];
    let mut out = b"before\n".to_vec();
    let outcome = LineWriter::new(&columns).write(line, &mut out);
    let text = String::from_utf8(out).unwrap();
    let added = text.strip_prefix("before\n").unwrap().to_string();
    outcome.map(|()| added.clone()).inspect_err(|_| assert_eq!(added, ""))
}

#[test]
fn values_are_taken_as_they_are_spelled() {
    assert_eq!(
        written(r#"{"id": 123456789012345678901.50, "note": "a\tb\\", "more": [1, "x"]}"#).unwrap(),
        "123456789012345678901.50\ta\\tb\\\\\t[1, \"x\"]\n"
    );
    assert_eq!(
        written(r#" {"MORE":"text","note":{"a":"\n"},"id":null} "#.trim()).unwrap(),
        "\\N\t{\"a\":\"\\\\n\"}\t\"text\"\n"
    );
    assert_eq!(written(r#"{"note":"","id":true,"more":null}"#).unwrap(), "true\t\t\\N\n");
    assert_eq!(written("{}").unwrap(), "\\N\t\\D\t\\N\n");
}

#[test]
fn what_would_be_lost_is_an_error() {
    for (line, wrong) in [
        (r#"{"id":1,"new":2}"#, "the table has no column for member \"new\"; its columns are id, note, more"),
        (r#"{"id":1,"ID":2}"#, "member \"ID\" stands there twice"),
        (r#"{"id":1"#, "the object is cut off"),
        (r#"{"id":1,"#, "the object is cut off"),
        (r#"{"id":1,"note":"ab"#, "the object is cut off"),
        (r#"{"id":1} {"id":2}"#, "something stands behind the object"),
        (r#"{"id":1 "note":"a"}"#, "a comma or the object's end is missing"),
        (r#"{"id" 1}"#, "no value stands behind \"id\""),
        ("[1]", "the line is no JSON object; jq -c '.[]' makes lines of an array"),
        ("1", "the line is no JSON object"),
    ] {
        assert_eq!(written(line).unwrap_err(), wrong, "{line}");
    }
    assert!(written(r#"{"id":01}"#).is_err() && written(r#"{"id":x}"#).is_err());
}

#[test]
fn a_wrong_line_has_more_values_than_there_are_columns() {
    let writer = LineWriter::new(&[column("id", "text", false)]);
    let mut out = Vec::new();
    writer.write_wrong(b"{\"id\":\"a\\", &mut out);
    assert_eq!(out, b"{\"id\":\"a\\\t\t\n");
}

#[test]
fn blank_lines_count() {
    let mut lines = Lines::new("{}\r\n\n  \n{\"a\":1}".as_bytes());
    assert_eq!(lines.next().unwrap(), Some((1, b"{}".as_slice())));
    assert_eq!(lines.next().unwrap(), Some((4, b"{\"a\":1}".as_slice())));
    assert_eq!(lines.next().unwrap(), None);
}
