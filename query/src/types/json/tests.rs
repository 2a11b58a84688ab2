//! Tests of reading JSON, of its canonical form, its parts and its order. What is expected is what PostgreSQL 15
//! answers.

use super::document::{Kind, item, items, member, members, sorted_member, value_text};
use super::sort_key::push_sort_key;
use super::*;
use crate::error::ErrorKind;
use proptest::prelude::*;

fn form(text: &str) -> String {
    canonical(text).unwrap()
}

#[test]
fn objects_have_each_key_once_and_short_keys_first() {
    let text = r#"{"bb":1, "a":2,"a" : 3,"ab":{"z":1,"y":null},"é":0,"":[ ]}"#;
    assert_eq!(form(text), r#"{"": [], "a": 3, "ab": {"y": null, "z": 1}, "bb": 1, "é": 0}"#);
}

#[test]
fn numbers_are_written_as_numerics_print_them() {
    let numbers = "[1e2, 1.50, -0, -0.0, 1E-5, 1.5e1, 0e10, 100e-2, -2.50e1, 0.05e1, 12.340e-2, 1e-0]";
    assert_eq!(form(numbers), "[100, 1.50, 0, 0.0, 0.00001, 15, 0, 1.00, -25.0, 0.5, 0.12340, 1]");
    assert_eq!(form("1e131071").len(), 131_072);
    for beyond in ["1e131072", "1e-16384", "1e99999999999"] {
        assert_eq!(canonical(beyond).unwrap_err().kind, ErrorKind::NumericOutOfRange, "{beyond}");
    }
}

#[test]
fn strings_keep_only_the_escapes_that_json_needs() {
    assert_eq!(form(r#""\u00e9\/\ud83d\ude04\u0041""#), "\"é/😄A\"");
    assert_eq!(form(r#""\b\f\n\r\t\"\\\u0001\u007f""#), "\"\\b\\f\\n\\r\\t\\\"\\\\\\u0001\u{7f}\"");
}

#[test]
fn what_is_no_json_is_refused_in_postgresqls_words() {
    let cases = [
        (r#"{"a":}"#, "Expected JSON value, but found \"}\".", r#"JSON data, line 1: {"a":}"#),
        (r#"{"a" 1}"#, "Expected \":\", but found \"1\".", r#"JSON data, line 1: {"a" 1..."#),
        ("[1,2", "The input string ended unexpectedly.", "JSON data, line 1: [1,2"),
        ("\"abc", "Token \"\"abc\" is invalid.", "JSON data, line 1: \"abc"),
        ("[1 2]", "Expected \",\" or \"]\", but found \"2\".", "JSON data, line 1: [1 2..."),
        ("{1:2}", "Expected string or \"}\", but found \"1\".", "JSON data, line 1: {1..."),
        ("[01]", "Token \"01\" is invalid.", "JSON data, line 1: [01..."),
        ("\"\u{1}\"", "Character with value 0x01 must be escaped.", "JSON data, line 1: \"..."),
        ("1 2", "Expected end of input, but found \"2\".", "JSON data, line 1: 1 2"),
        ("[1,\n2 x]", "Token \"x\" is invalid.", "JSON data, line 2: 2 x..."),
    ];
    for (text, detail, context) in cases {
        for error in [canonical(text).unwrap_err(), check(text).unwrap_err()] {
            assert_eq!(error.kind, ErrorKind::InvalidTextRepresentation);
            assert_eq!(error.detail.as_deref(), Some(detail), "{text}");
            assert_eq!(error.context.as_deref(), Some(context), "{text}");
        }
    }
}

#[test]
fn an_error_shows_the_last_part_of_a_long_line() {
    let text = format!("[{}x]", "1,".repeat(40));
    let context = check(&text).unwrap_err().context.unwrap();
    assert_eq!(context, format!("JSON data, line 1: ...{}x...", "1,".repeat(24)));
}

#[test]
fn jsonb_refuses_escapes_that_stand_for_no_character_and_json_keeps_them() {
    for text in [r#""\u0000""#, r#""\ud83d""#, r#""\ude04""#, r#""\ud83dx""#] {
        assert!(check(text).is_ok(), "{text}");
        assert!(canonical(text).is_err(), "{text}");
    }
    assert_eq!(canonical(r#""\u0000""#).unwrap_err().kind, ErrorKind::UntranslatableCharacter);
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(form(&nested(DEPTH_MAX)), nested(DEPTH_MAX));
    assert_eq!(canonical(&nested(DEPTH_MAX + 1)).unwrap_err().kind, ErrorKind::StatementTooComplex);
}

#[test]
fn parts_are_slices_of_the_text() {
    let text = r#" { "a" : {"x" : [1,  2]} , "b\u0062" :"q\"," , "a":[ ] } "#;
    let found: Vec<(String, &str)> =
        members(text).map(|member| (member.key().unwrap().into_owned(), member.value)).collect();
    let expected = [("a", r#"{"x" : [1,  2]}"#), ("bb", r#""q\",""#), ("a", "[ ]")];
    assert_eq!(found, expected.map(|(key, value)| (key.to_string(), value)));
    assert_eq!(member(text, "a").unwrap(), Some("[ ]"));
    assert_eq!(member(text, "zz").unwrap(), None);
    assert_eq!(items("[1, [2, 3], \"]\", {} ]").collect::<Vec<_>>(), ["1", "[2, 3]", "\"]\"", "{}"]);
    assert_eq!(
        (item("[1, 2]", -1), item("[1, 2]", 2), item("[1, 2]", -3), item("{}", 0)),
        (Some("2"), None, None, None)
    );
    assert_eq!(sorted_member(r#"{"a": 1, "bb": 2}"#, "bb"), Some("2"));
    assert_eq!(value_text(r#""q\"""#).unwrap().as_deref(), Some("q\""));
    assert_eq!(value_text("null").unwrap(), None);
    assert_eq!(Kind::of(" -1"), Kind::Number);
}

#[test]
fn values_are_ordered_by_kind_then_size_then_content() {
    let ordered = [
        "[]",
        "null",
        "\"\"",
        "\"a\"",
        "\"ab\"",
        "\"b\"",
        "-100",
        "-1.5",
        "-0.001",
        "0",
        "0.001",
        "1",
        "9.5",
        "10",
        "100",
        "false",
        "true",
        "[1]",
        "[2]",
        "[[]]",
        "[1, 2]",
        "{}",
        "{\"a\": 1}",
        "{\"a\": 2}",
        "{\"aa\": 0}",
        "{\"b\": 0}",
        "{\"a\": 1, \"b\": 2}",
    ];
    let keys: Vec<Vec<u8>> = ordered.iter().map(|text| key(text)).collect();
    for pair in keys.windows(2).zip(ordered.windows(2)) {
        assert!(pair.0[0] < pair.0[1], "{:?}", pair.1);
    }
    assert_eq!(key("{\"a\": 1.0}"), key("{\"a\": 1.00}"));
}

fn key(text: &str) -> Vec<u8> {
    let mut key = Vec::new();
    push_sort_key(&mut key, text).unwrap();
    key
}

/// JSON text of every kind, with members that repeat.
fn documents() -> impl Strategy<Value = String> {
    let scalars = prop_oneof![
        Just("null".to_string()),
        any::<bool>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,4})(\\.[0-9]{1,3})?(e-?[0-9])?",
        "[a-z\"\\\\é\n]{0,4}".prop_map(|text| {
            let mut quoted = String::new();
            push_string(&mut quoted, &text);
            quoted
        }),
    ];
    scalars.prop_recursive(4, 32, 4, |inner| {
        let array = prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" ,")));
        let object = prop::collection::vec(("[ab]{0,2}", inner), 0..4).prop_map(|members| {
            let members = members.iter().map(|(key, value)| format!("\"{key}\" :{value}"));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        });
        prop_oneof![array, object]
    })
}

proptest! {
    #[test]
    fn the_canonical_form_is_its_own(text in documents()) {
        let once = form(&text);
        prop_assert_eq!(form(&once), once);
    }

    #[test]
    fn equal_values_have_equal_keys(text in documents()) {
        prop_assert_eq!(key(&form(&text)), key(&form(&form(&text))));
    }

    #[test]
    fn what_is_no_json_is_walked_through_to_its_end(text in "[{}\\[\\],:\"\\\\u0-9é ]{0,24}") {
        let parts = items(&text).count() + members(&text).filter(|member| member.key().is_ok()).count();
        prop_assert!(parts <= 2 * text.len());
        let _ = (value_text(&text).is_ok(), member(&text, "a").is_ok(), push_sort_key(&mut Vec::new(), &text).is_ok());
    }

    #[test]
    fn garbage_is_refused_without_a_panic(text in "[{}\\[\\],:\"\\\\a-f0-9.eE+\\- un]{0,24}") {
        let (checked, formed) = (check(&text).is_ok(), canonical(&text).is_ok());
        prop_assert!(checked || !formed);
    }
}
