//! PostgreSQL's own answers. `testdata/answers.tsv` has one per line: function, value, template, answer; a failure is its SQLSTATE
//! and message. Moments are microseconds, dates days since 1970; intervals are months, days and microseconds.

use super::date_reading::read_date;
use super::date_template::DateTemplate;
use super::date_writing::{DateFields, write_date};
use super::format_error::{Fault, FormatError};
use super::number_reading::read_number;
use super::number_template::NumberTemplate;
use super::number_text::NumberText;
use super::number_writing::write_number;

type Answer = Result<String, FormatError>;

const ANSWERS: &str = include_str!("testdata/answers.tsv");

#[test]
fn answers_are_those_of_postgresql() {
    let mut count = 0;
    for line in ANSWERS.lines() {
        let [function, value, template, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("a line of four columns: {line:?}")
        };
        let answer = answer(function, value, template).unwrap_or_else(|error| shown(&error));
        assert_eq!(answer, expected, "{function}({value:?}, {template:?})");
        count += 1;
    }
    assert!(count > 1000, "the file is whole");
}

fn answer(function: &str, value: &str, template: &str) -> Answer {
    match function {
        "timestamp_to_char" => date_text(template, &DateFields::of_local(number(value))),
        "interval_to_char" => {
            let [months, days, micros] = value.split(' ').map(number::<i64>).collect::<Vec<_>>()[..] else {
                panic!("months, days and microseconds: {value:?}")
            };
            date_text(template, &DateFields::of_interval(months as i32, days as i32, micros))
        }
        "to_date" => {
            let moment = read_date(&DateTemplate::parse(template), value)?;
            let out_of_range =
                || FormatError::new(Fault::DatetimeOutOfRange, format!("date out of range: \"{value}\""));
            Ok(moment.days().ok_or_else(out_of_range)?.to_string())
        }
        "to_timestamp" => {
            let moment = read_date(&DateTemplate::parse(template), value)?;
            let instant = moment.instant_micros(moment.offset_seconds.unwrap_or(0));
            let out_of_range = || FormatError::new(Fault::DatetimeOutOfRange, "timestamp out of range");
            Ok(instant.ok_or_else(out_of_range)?.to_string())
        }
        "to_number" => number_of_text(template, value),
        _ => number_text(function, template, value),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("a number: {text:?}"))
}

fn date_text(template: &str, fields: &DateFields<'_>) -> Answer {
    let mut out = String::new();
    write_date(&DateTemplate::parse(template), fields, &mut out)?;
    Ok(out)
}

fn number_text(function: &str, template: &str, value: &str) -> Answer {
    let template = NumberTemplate::parse(template)?;
    let text = match function {
        "int4_to_char" => NumberText::of_int4(&template, number(value)),
        "int8_to_char" => NumberText::of_int8(&template, number(value))?,
        "float4_to_char" => NumberText::of_real(&template, number(value)),
        "float8_to_char" => NumberText::of_double(&template, number(value)),
        "numeric_to_char" => {
            let magnitude = value.trim_start_matches('-');
            let scale = magnitude.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            NumberText::of_decimal(&template, value != magnitude, &magnitude.replace('.', ""), scale as i32)?
        }
        _ => panic!("a function: {function:?}"),
    };
    let mut out = String::new();
    write_number(&template, &text, &mut out)?;
    Ok(out)
}

/// Without idle zeros, as the column's scale is not the number's.
fn number_of_text(template: &str, value: &str) -> Answer {
    let read = read_number(&NumberTemplate::parse(template)?, value)?;
    let digits: String = read.digits.iter().map(|digit| char::from(*digit)).collect();
    let digits = format!("{digits:0>width$}", width = read.scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - read.scale);
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let sign = if read.negative && !(whole.is_empty() && fraction.is_empty()) { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    Ok(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

fn shown(error: &FormatError) -> String {
    let code = match error.fault {
        Fault::InvalidDatetime => "22007",
        Fault::DatetimeOutOfRange => "22008",
        Fault::ZoneOutOfRange => "22009",
        Fault::NotSupported => "0A000",
        Fault::Syntax => "42601",
        Fault::InvalidText => "22P02",
        Fault::NumberOutOfRange => "22003",
    };
    format!("{code} {}", error.message)
}
