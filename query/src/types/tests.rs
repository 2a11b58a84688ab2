//! What values look like. `testdata/postgres_15.txt` was printed by PostgreSQL 15.18 with TimeZone America/New_York, one line for
//! each of: type, input, output as text, output as hexadecimal of the binary format; or the error in place of the outputs.

use super::text_in::checked_text;
use super::*;
use crate::response::ParameterValue;
use arrow::array::*;
use arrow::datatypes::{Int32Type, IntervalMonthDayNano, TimeUnit, i256};
use bytes::Bytes;
use datafusion::common::ScalarValue;
use proptest::prelude::*;
use std::sync::Arc;

fn new_york() -> OutputStyle {
    OutputStyle { time_zone: Zone::by_name("america/new_york").unwrap(), ..OutputStyle::default() }
}

fn numeric(precision: u8, scale: i8) -> SqlType {
    SqlType::Numeric { precision, scale, declared: true }
}

fn decoded(text: &str, sql_type: &SqlType, style: OutputStyle) -> Result<ArrayRef, QueryError> {
    ColumnDecoder::new(sql_type.clone(), style).decode(std::iter::once(Some(text))).map_err(|failure| failure.error)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Prints a column as text, nulls as `∅`.
fn printed(array: ArrayRef, sql_type: SqlType) -> String {
    let encoded = encode_column(&array, &sql_type, Format::Text, &OutputStyle::default()).unwrap();
    let value = |row| encoded.value(row).map_or("∅".to_string(), |value| String::from_utf8(value.to_vec()).unwrap());
    (0..array.len()).map(value).collect::<Vec<_>>().join(" | ")
}

fn parameter(sql_type: &SqlType, format: Format, bytes: &[u8]) -> Result<ScalarValue, QueryError> {
    let value = ParameterValue { format, bytes: Some(Bytes::copy_from_slice(bytes)) };
    decode_parameter(&value, sql_type, &OutputStyle::default())
}

fn message(result: Result<impl std::fmt::Debug, QueryError>) -> String {
    result.unwrap_err().message
}

#[test]
fn values_are_read_and_printed_as_postgres_does() {
    let mut compared = 0;
    for line in include_str!("testdata/postgres_15.txt").lines() {
        let (type_name, rest) = line.split_once('|').unwrap();
        let sql_type = SqlType::parse(type_name).unwrap();
        let (rest, expected_hex) = rest.rsplit_once('|').unwrap();
        let (input, expected) = rest.split_once('|').unwrap();
        let got = match decoded(input, &sql_type, new_york()) {
            Err(error) => (format!("ERROR {}", error.message), String::new()),
            Ok(array) => {
                let binary = encode_column(&array, &sql_type, Format::Binary, &new_york()).unwrap();
                (value_text(&array, 0, &sql_type, &new_york()).unwrap(), hex(binary.value(0).unwrap()))
            }
        };
        assert_eq!(got, (expected.to_string(), expected_hex.to_string()), "{line}");
        compared += 1;
    }
    assert!(compared > 900, "{compared}");
}

#[test]
fn binary_values_read_back_as_they_were_written() {
    for line in include_str!("testdata/postgres_15.txt").lines().filter(|line| !line.contains("|ERROR ")) {
        let mut parts = line.split('|');
        let sql_type = SqlType::parse(parts.next().unwrap()).unwrap();
        let hex_text = line.rsplit('|').next().unwrap();
        let bytes: Vec<u8> =
            (0..hex_text.len()).step_by(2).map(|at| u8::from_str_radix(&hex_text[at..at + 2], 16).unwrap()).collect();
        let array = parameter(&sql_type, Format::Binary, &bytes).unwrap().to_array_of_size(1).unwrap();
        let again = encode_column(&array, &sql_type, Format::Binary, &OutputStyle::default()).unwrap();
        assert_eq!(hex(again.value(0).unwrap()), hex_text, "{line}");
    }
}

#[test]
fn a_text_that_is_too_long_is_refused_unless_spaces_make_it_so() {
    let varchar = SqlType::Varchar { length_max: Some(3) };
    assert_eq!(
        message(decoded("abcd", &varchar, OutputStyle::default())),
        "value too long for type character varying(3)"
    );
    assert_eq!(printed(decoded("ab   ", &varchar, OutputStyle::default()).unwrap(), varchar.clone()), "ab ");
    assert_eq!(printed(decoded("äöü", &varchar, OutputStyle::default()).unwrap(), varchar), "äöü");
}

#[test]
fn a_numeric_overflow_names_the_limit() {
    let error = decoded("999.995", &numeric(5, 2), OutputStyle::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NumericOutOfRange);
    assert_eq!(
        error.detail.unwrap(),
        "A field with precision 5, scale 2 must round to an absolute value less than 10^3."
    );
    let error = decoded("1", &numeric(2, 2), OutputStyle::default()).unwrap_err();
    assert_eq!(error.detail.unwrap(), "A field with precision 2, scale 2 must round to an absolute value less than 1.");
}

#[test]
fn what_has_no_place_in_the_arrow_type_is_refused() {
    let kind = |text, sql_type| decoded(text, &sql_type, OutputStyle::default()).unwrap_err().kind;
    assert_eq!(kind("NaN", numeric(5, 2)), ErrorKind::FeatureNotSupported);
    assert_eq!(kind("Infinity", numeric(5, 2)), ErrorKind::FeatureNotSupported);
    assert_eq!(kind("infinity", SqlType::Date), ErrorKind::FeatureNotSupported);
    assert_eq!(kind("-infinity", SqlType::Timestamp), ErrorKind::FeatureNotSupported);
    assert_eq!(kind("today", SqlType::Date), ErrorKind::FeatureNotSupported);
}

#[test]
fn the_date_order_decides_what_comes_first() {
    let read = |order| {
        let style = OutputStyle { date_order: order, ..OutputStyle::default() };
        value_text(&decoded("1/2/2003", &SqlType::Date, style)?, 0, &SqlType::Date, &style)
            .ok_or_else(|| QueryError::unsupported("null"))
    };
    assert_eq!(read(DateOrder::Mdy).unwrap(), "2003-01-02");
    assert_eq!(read(DateOrder::Dmy).unwrap(), "2003-02-01");
    assert_eq!(read(DateOrder::Ymd).unwrap_err().kind, ErrorKind::DatetimeOutOfRange);
}

#[test]
fn a_wrong_month_hints_at_the_datestyle() {
    let error = decoded("13/13/2024", &SqlType::Date, OutputStyle::default()).unwrap_err();
    assert_eq!(error.hint.unwrap(), "Perhaps you need a different \"datestyle\" setting.");
    assert_eq!(decoded("2024-02-30", &SqlType::Date, OutputStyle::default()).unwrap_err().hint, None);
}

#[test]
fn layouts_of_operators_print_as_their_type() {
    use arrow::datatypes::DataType;
    let strings: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]));
    for layout in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
        assert_eq!(printed(arrow::compute::cast(&strings, &layout).unwrap(), SqlType::Text), "a | ∅ | b");
    }
    let dictionary: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    assert_eq!(printed(Arc::new(dictionary), SqlType::Text), "a | ∅ | a");
    assert_eq!(printed(Arc::new(Int8Array::from(vec![Some(-7), None])), SqlType::Int2), "-7 | ∅");
    assert_eq!(printed(Arc::new(UInt64Array::from(vec![7])), SqlType::Int8), "7");
    assert_eq!(printed(Arc::new(NullArray::new(2)), SqlType::Int8), "∅ | ∅");
    assert_eq!(
        printed(Arc::new(Decimal64Array::from(vec![-5]).with_precision_and_scale(9, 2).unwrap()), numeric(9, 2)),
        "-0.05"
    );
    assert_eq!(
        printed(Arc::new(Decimal128Array::from(vec![12, 0]).with_precision_and_scale(9, -2).unwrap()), numeric(9, -2)),
        "1200 | 0"
    );
    assert_eq!(printed(Arc::new(Date64Array::from(vec![86_400_000])), SqlType::Date), "1970-01-02");
    assert_eq!(printed(Arc::new(TimestampSecondArray::from(vec![-1])), SqlType::Timestamp), "1969-12-31 23:59:59");
    assert_eq!(
        printed(
            Arc::new(TimestampNanosecondArray::from(vec![1_500_000]).with_timezone("Asia/Tokyo")),
            SqlType::TimestampTz
        ),
        "1970-01-01 00:00:00.0015+00"
    );
    assert_eq!(printed(Arc::new(Time32SecondArray::from(vec![61])), SqlType::Time), "00:01:01");
    assert_eq!(printed(Arc::new(IntervalYearMonthArray::from(vec![-14])), SqlType::Interval), "-1 years -2 mons");
    assert_eq!(
        printed(Arc::new(DurationSecondArray::from(vec![90_061, -90_061])), SqlType::Interval),
        "1 day 01:01:01 | -1 days -01:01:01"
    );
    assert_eq!(printed(Arc::new(LargeBinaryArray::from(vec![&b"\x00\xff"[..]])), SqlType::Bytea), "\\x00ff");
}

#[test]
fn an_unsigned_value_beyond_bigint_is_an_error_and_never_wraps() {
    let array: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    let error = encode_column(&array, &SqlType::Int8, Format::Text, &OutputStyle::default()).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::NumericOutOfRange, "bigint out of range"));
}

#[test]
fn a_null_interval_stays_null() {
    let array: ArrayRef =
        Arc::new(IntervalMonthDayNanoArray::from(vec![None, Some(IntervalMonthDayNano::new(0, 0, 0))]));
    assert_eq!(printed(array.clone(), SqlType::Interval), "∅ | 00:00:00");
    let binary = encode_column(&array, &SqlType::Interval, Format::Binary, &OutputStyle::default()).unwrap();
    assert_eq!((binary.value(0), binary.value(1).map(<[u8]>::len)), (None, Some(16)));
}

#[test]
fn extreme_values_are_the_infinities_of_postgres() {
    assert_eq!(printed(Arc::new(Date32Array::from(vec![i32::MAX, i32::MIN])), SqlType::Date), "infinity | -infinity");
    assert_eq!(printed(Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX])), SqlType::Timestamp), "infinity");
}

#[test]
fn arrays_of_arrays_print_nested() {
    let inner = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), Some(vec![Some(3)])]);
    let field = Arc::new(arrow::datatypes::Field::new("item", inner.data_type().clone(), true));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([2]);
    let outer = ListArray::new(field, offsets, Arc::new(inner), None);
    assert_eq!(
        printed(Arc::new(outer), SqlType::Array(Box::new(SqlType::Array(Box::new(SqlType::Int4))))),
        "{{1,NULL},{3}}"
    );
}

#[test]
fn fewer_float_digits_round_as_printf_does() {
    let array: ArrayRef = Arc::new(Float64Array::from(vec![123_456_789_012_345_680.0, 0.1 + 0.2, 5e-324, 1e14]));
    let style = OutputStyle { extra_float_digits: 0, ..OutputStyle::default() };
    let text = |row| value_text(&array, row, &SqlType::Float8, &style).unwrap();
    assert_eq!(
        [text(0), text(1), text(2), text(3)],
        ["1.23456789012346e+17", "0.3", "4.94065645841247e-324", "100000000000000"]
    );
}

#[test]
fn bytea_escapes_what_is_not_printable() {
    let array: ArrayRef = Arc::new(BinaryArray::from(vec![&b"\x00\xffA\\' ~\x7f"[..]]));
    let style = OutputStyle { bytea_output: ByteaOutput::Escape, ..OutputStyle::default() };
    assert_eq!(value_text(&array, 0, &SqlType::Bytea, &style).unwrap(), "\\000\\377A\\\\' ~\\177");
}

#[test]
fn a_sliced_array_prints_its_own_rows() {
    let array: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
    assert_eq!(printed(array.slice(1, 2), SqlType::Int4), "∅ | 3");
}

#[test]
fn a_numeric_parameter_keeps_its_digits() {
    let text = |text: &str| parameter(&SqlType::numeric(), Format::Text, text.as_bytes());
    assert_eq!(text("123.450").unwrap(), ScalarValue::Decimal128(Some(123_450), 6, 3));
    assert_eq!(text("0.001").unwrap(), ScalarValue::Decimal128(Some(1), 3, 3));
    assert_eq!(text("1e3").unwrap(), ScalarValue::Decimal128(Some(1000), 4, 0));
    assert_eq!(text("-0").unwrap(), ScalarValue::Decimal128(Some(0), 1, 0));
    let wide = "1".repeat(50);
    assert_eq!(text(&wide).unwrap(), ScalarValue::Decimal256(i256::from_string(&wide), 50, 0));
    assert_eq!(text(&"1".repeat(77)).unwrap_err().kind, ErrorKind::NumericOutOfRange);
    // 123.45 as libpq sends it.
    let binary = [0, 2, 0, 0, 0, 0, 0, 2, 0, 0x7b, 0x11, 0x94];
    assert_eq!(
        parameter(&SqlType::numeric(), Format::Binary, &binary).unwrap(),
        ScalarValue::Decimal128(Some(12_345), 5, 2)
    );
}

#[test]
fn strings_of_parameters_are_utf8() {
    assert_eq!(parameter(&SqlType::Text, Format::Binary, b"abc").unwrap(), ScalarValue::Utf8(Some("abc".into())));
    let null = ParameterValue { format: Format::Text, bytes: None };
    assert_eq!(decode_parameter(&null, &SqlType::Text, &OutputStyle::default()).unwrap(), ScalarValue::Utf8(None));
}

#[test]
fn array_parameters_agree_in_both_formats() {
    let ints = SqlType::Array(Box::new(SqlType::Int4));
    let text = parameter(&ints, Format::Text, b"{1,NULL}").unwrap();
    let bytes = [
        &1i32.to_be_bytes()[..],
        &1i32.to_be_bytes(),
        &23i32.to_be_bytes(),
        &2i32.to_be_bytes(),
        &1i32.to_be_bytes(),
        &4i32.to_be_bytes(),
        &1i32.to_be_bytes(),
        &(-1i32).to_be_bytes(),
    ]
    .concat();
    assert_eq!(parameter(&ints, Format::Binary, &bytes).unwrap(), text);
    assert!(parameter(&SqlType::Array(Box::new(SqlType::numeric())), Format::Text, b"{1,2.50,NULL}").is_ok());
    assert!(parameter(&SqlType::Array(Box::new(SqlType::Text)), Format::Text, b"{}").is_ok());
}

#[test]
fn binary_of_the_wrong_length_is_refused() {
    for sql_type in [
        SqlType::Bool,
        SqlType::Int2,
        SqlType::Int4,
        SqlType::Int8,
        SqlType::Float4,
        SqlType::Float8,
        SqlType::numeric(),
        SqlType::Date,
        SqlType::Time,
        SqlType::Timestamp,
        SqlType::TimestampTz,
        SqlType::Interval,
        SqlType::Uuid,
        SqlType::Oid,
    ] {
        for length in [0, 3, 7, 17] {
            let error = parameter(&sql_type, Format::Binary, &vec![0; length]).unwrap_err();
            // As in PostgreSQL: what is too short breaks the protocol, what is too long the type's form.
            let expected = [ErrorKind::ProtocolViolation, ErrorKind::InvalidBinaryRepresentation];
            assert!(expected.contains(&error.kind), "{sql_type} of {length} bytes");
            assert_eq!(error.kind == expected[0], error.message.ends_with("left in message"), "{}", error.message);
        }
    }
    assert_eq!(message(checked_text(b"ab\xc3(")), "invalid byte sequence for encoding \"UTF8\": 0xc3 0x28");
    assert_eq!(message(checked_text(b"a\0b")), "invalid byte sequence for encoding \"UTF8\": 0x00");
}

/// Text out and in again gives the same text and the same binary.
fn round_trip(array: ArrayRef, sql_type: &SqlType) {
    let style = new_york();
    let text = value_text(&array, 0, sql_type, &style).unwrap();
    let again = decoded(&text, sql_type, style).unwrap();
    assert_eq!(value_text(&again, 0, sql_type, &style).unwrap(), text);
    let binary = |array| encode_column(array, sql_type, Format::Binary, &style).unwrap().bytes;
    assert_eq!(binary(&again), binary(&array), "{text}");
    let scalar = parameter(sql_type, Format::Binary, &binary(&array)).unwrap();
    assert_eq!(binary(&scalar.to_array_of_size(1).unwrap()), binary(&array), "{text}");
}

proptest! {
    #[test]
    fn integers_round_trip(value: i64) {
        round_trip(Arc::new(Int64Array::from(vec![value])), &SqlType::Int8);
        round_trip(Arc::new(Int32Array::from(vec![value as i32])), &SqlType::Int4);
        round_trip(Arc::new(Int16Array::from(vec![value as i16])), &SqlType::Int2);
    }

    #[test]
    fn decimals_round_trip(value: i128, digits in 1u8..=38, scale in 0i8..=38) {
        let scale = scale.min(digits as i8);
        let value = value % 10i128.pow(u32::from(digits));
        let array = Decimal128Array::from(vec![value]).with_precision_and_scale(digits, scale).unwrap();
        round_trip(Arc::new(array), &numeric(digits, scale));
    }

    #[test]
    fn wide_decimals_round_trip(high: i128, low: u64, scale in 0i8..=76) {
        let value = i256::from_i128(high).wrapping_mul(i256::from_i128(i128::from(low)));
        let array = Decimal256Array::from(vec![value]).with_precision_and_scale(76, scale).unwrap();
        round_trip(Arc::new(array), &numeric(76, scale));
    }

    #[test]
    fn floats_round_trip(bits: u64) {
        let (double, real) = (f64::from_bits(bits), f32::from_bits(bits as u32));
        if !double.is_nan() {
            round_trip(Arc::new(Float64Array::from(vec![double])), &SqlType::Float8);
        }
        if !real.is_nan() {
            round_trip(Arc::new(Float32Array::from(vec![real])), &SqlType::Float4);
        }
    }

    #[test]
    fn moments_round_trip(micros in -210_866_803_200_000_000i64..9_000_000_000_000_000_000) {
        round_trip(Arc::new(TimestampMicrosecondArray::from(vec![micros])), &SqlType::Timestamp);
        round_trip(Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC")), &SqlType::TimestampTz);
        round_trip(Arc::new(Date32Array::from(vec![(micros / 86_400_000_000) as i32])), &SqlType::Date);
        round_trip(Arc::new(Time64MicrosecondArray::from(vec![micros.rem_euclid(86_400_000_000)])), &SqlType::Time);
    }

    #[test]
    fn intervals_round_trip(months in -100_000i32..100_000, days: i32, micros in -9_000_000_000_000_000i64..9_000_000_000_000_000) {
        let value = IntervalMonthDayNano::new(months, days, micros * 1000);
        round_trip(Arc::new(IntervalMonthDayNanoArray::from(vec![value])), &SqlType::Interval);
    }

    #[test]
    fn bytes_round_trip(value in prop::collection::vec(any::<u8>(), 0..40), escape: bool) {
        let array: ArrayRef = Arc::new(BinaryViewArray::from(vec![value.as_slice()]));
        round_trip(array.clone(), &SqlType::Bytea);
        let bytea_output = if escape { ByteaOutput::Escape } else { ByteaOutput::Hex };
        let text = value_text(&array, 0, &SqlType::Bytea, &OutputStyle { bytea_output, ..OutputStyle::default() }).unwrap();
        let again = decoded(&text, &SqlType::Bytea, OutputStyle::default()).unwrap();
        prop_assert_eq!(again.as_binary_view().value(0), value.as_slice());
    }

    #[test]
    fn text_arrays_round_trip(values in prop::collection::vec(prop::option::of("[a-zA-Z \"\\\\{},NULé]{0,6}"), 0..6)) {
        let mut builder = ListBuilder::new(StringViewBuilder::new())
            .with_field(SqlType::Text.item_field());
        builder.append_value(values);
        round_trip(Arc::new(builder.finish()), &SqlType::Array(Box::new(SqlType::Text)));
    }

    #[test]
    fn nothing_that_a_client_sends_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        for oid in [16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 700, 701, 1082, 1083, 1114, 1184, 1186, 1700, 2950, 2205, 1007, 1009, 1231, 1115] {
            let sql_type = SqlType::from_oid(oid).unwrap();
            for format in [Format::Text, Format::Binary] {
                let _ = parameter(&sql_type, format, &bytes);
            }
        }
    }

    #[test]
    fn no_date_text_panics(text in "[0-9a-zA-Z :./+,-]{0,24}") {
        for sql_type in [SqlType::Date, SqlType::Time, SqlType::Timestamp, SqlType::TimestampTz, SqlType::Interval, numeric(10, 2)] {
            let _ = decoded(&text, &sql_type, new_york());
        }
    }
}

#[test]
fn time_units_beyond_microseconds_are_an_error() {
    let array: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX / 1000]));
    assert_eq!(*array.data_type(), DataType::Timestamp(TimeUnit::Second, None));
    assert!(encode_column(&array, &SqlType::Timestamp, Format::Text, &OutputStyle::default()).is_err());
}
