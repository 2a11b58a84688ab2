//! Plain numbers are those that the way for every form reads, and the same.

use super::*;
use crate::types::{ColumnDecoder, OutputStyle};
use catalog::sql_type::SqlType;
use proptest::prelude::*;

/// Reads a text, which lies between others, with and without those.
fn check(sql_type: SqlType, before: &str, text: &str, behind: &str) {
    let source = format!("{before}{text}{behind}");
    let field = FieldText::new(&source, before.len(), text.len());
    let decoder = ColumnDecoder::new(sql_type.clone(), OutputStyle::default());
    let plainly = decoder.decode_fields([Some(field)].into_iter());
    let expected = decoder.decode([Some(text)].into_iter());
    match (plainly, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(&found, &expected, "{text:?} as {sql_type:?}"),
        (found, expected) => assert_eq!(found.err(), expected.err(), "{text:?} as {sql_type:?}"),
    }
}

fn types() -> Vec<SqlType> {
    let numeric = |precision, scale| SqlType::Numeric { precision, scale, declared: true };
    let mut types = vec![SqlType::Int2, SqlType::Int4, SqlType::Int8, SqlType::Date, SqlType::Timestamp, SqlType::Text];
    types.extend([numeric(4, 2), numeric(10, 0), numeric(18, 18), numeric(18, 6), numeric(19, 2), numeric(38, 10)]);
    types
}

proptest! {
    #[test]
    fn what_is_plain_is_read_as_everything_is(
        before in "[-0-9.,]{0,9}",
        text in prop_oneof![
            "-?[0-9]{0,20}",
            "-?[0-9]{0,17}\\.[0-9]{0,18}",
            "[ +-]?[0-9]{0,9}[/:;.eE ]?[0-9]{0,9}",
            "[0-9]{4}-[01][0-9]-[0-3][0-9]( [0-2][0-9]:[0-5][0-9](:[0-5][0-9](\\.[0-9]{0,7})?)?)?",
            "\\PC{0,9}",
        ],
        behind in "[-0-9.,]{0,9}",
    ) {
        for sql_type in types() {
            check(sql_type, &before, &text, &behind);
        }
    }
}

#[test]
fn the_ends_of_types_and_of_words() {
    let texts = "|-|.|-.|0|-0|7|12345678|123456789|1234567890123456|12345678901234567|32767|32768|-32768|-32769|2147483647|\
        2147483648|-2147483648|-2147483649|9223372036854775807|9223372036854775808|99.99|100.00|-99.99|-0.00|0.00|.50|\
        1.|1.5|1.555|1.554|+1.50| 1.50|12:34|12/34|1e3|999999999999.999999|0.000000000000000001|NaN|1_000|１２|\
        2024-02-29|2023-02-29|0001-01-01|0000-01-01|9999-12-31 23:59:59.999999|1900-02-29|2000-02-29|1969-12-31|\
        1582-10-15";
    for text in texts.split('|') {
        for sql_type in types() {
            for behind in ["", ",", ",1", "00000000", "--------"] {
                check(sql_type.clone(), "", text, behind);
                check(sql_type.clone(), "9.-", text, behind);
            }
        }
    }
}
