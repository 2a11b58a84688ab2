//! COPY's formats. `testdata/postgres_15.txt` holds what PostgreSQL 15.18 made of small inputs in a table of two text columns, one
//! JSON array for each: the options, the input, and the rows or the error with its context.

use super::*;
use crate::error::{ErrorKind, QueryError};
use crate::response::ResultColumn;
use crate::types::OutputStyle;
use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use bytes::Bytes;
use catalog::sql_type::SqlType;
use proptest::prelude::*;
use std::sync::Arc;

fn options(text: &str) -> CopyOptions {
    parse_copy(&format!("copy t from stdin {text}")).unwrap().unwrap().options
}

/// Sends the data in pieces through splitter and decoder and collects the batches.
pub(super) fn load(
    types: &[(&str, SqlType)],
    options: &CopyOptions,
    data: &[u8],
    piece: usize,
) -> Result<Vec<RecordBatch>, QueryError> {
    let columns: Vec<CopyColumn> = types
        .iter()
        .map(|(name, sql_type)| CopyColumn { name: name.to_string(), sql_type: sql_type.clone(), has_default: false })
        .collect();
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let mut splitter = Splitter::new("t", &names, options);
    let decoder = CopyDecoder::new("t", &columns, options, OutputStyle::default())?;
    let mut chunks = Vec::new();
    for piece in data.chunks(piece) {
        chunks.extend(splitter.push(Bytes::copy_from_slice(piece))?);
    }
    chunks.extend(splitter.finish()?);
    let batch = |chunk: &Chunk| {
        let decoded = decoder.decode_chunk(chunk)?;
        decoded.failure.map_or(Ok(decoded.batch), Err)
    };
    chunks.iter().map(batch).collect()
}

fn rows(batches: &[RecordBatch]) -> String {
    let mut out = String::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let shown = |column: &StringViewArray| {
                if column.is_null(row) { "NULL".to_string() } else { column.value(row).to_string() }
            };
            let values: Vec<String> = batch.columns().iter().map(|column| shown(column.as_string_view())).collect();
            out += &format!("({})", values.join(","));
        }
    }
    out
}

fn outcome(result: Result<Vec<RecordBatch>, QueryError>) -> String {
    match result {
        Ok(batches) => rows(&batches),
        Err(error) => format!("ERROR {} @ {}", error.message, error.context.unwrap_or_default()),
    }
}

fn text_columns() -> [(&'static str, SqlType); 2] {
    [("a", SqlType::Text), ("b", SqlType::Text)]
}

fn check(options_text: &str, data: &str, expected: &str) {
    for piece in [1, 3, 1000] {
        assert_eq!(outcome(load(&text_columns(), &options(options_text), data.as_bytes(), piece)), expected);
    }
}

#[test]
fn records_are_read_as_postgres_reads_them() {
    for line in include_str!("testdata/postgres_15.txt").lines() {
        let [options_text, data, expected]: [String; 3] = serde_json::from_str(line).unwrap();
        for piece in [1, 2, 5, 1000] {
            let got = outcome(load(&text_columns(), &options(&options_text), data.as_bytes(), piece));
            assert_eq!(got.replace('\n', "<n>").replace('\r', "<r>"), expected, "{line} in pieces of {piece}");
        }
    }
}

#[test]
fn a_value_that_cannot_be_read_is_named_with_line_and_column() {
    let types = [("id", SqlType::Int4), ("amount", SqlType::Numeric { precision: 12, scale: 2, declared: true })];
    let fails = |data: &str| outcome(load(&types, &options("csv"), data.as_bytes(), 7));
    assert_eq!(
        fails("1,\"2\"\n2,\"12,x\"\n"),
        "ERROR invalid input syntax for type numeric: \"12,x\" @ COPY t, line 2, column amount: \"12,x\""
    );
    let long = "1a345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890";
    assert_eq!(
        fails(&format!("{long},1\n")),
        format!(
            "ERROR invalid input syntax for type integer: \"{long}\" @ COPY t, line 1, column id: \"{}...\"",
            &long[..100]
        )
    );
    // The first error in the order of the data, whatever was met first.
    assert_eq!(
        fails("1,1\n2,x\ny,3\n"),
        "ERROR invalid input syntax for type numeric: \"x\" @ COPY t, line 2, column amount: \"x\""
    );
    assert_eq!(
        fails("1,1\ny,x\n"),
        "ERROR invalid input syntax for type integer: \"y\" @ COPY t, line 2, column id: \"y\""
    );
    assert_eq!(
        fails("x\n1,1\n"),
        "ERROR invalid input syntax for type integer: \"x\" @ COPY t, line 1, column id: \"x\""
    );
    assert_eq!(fails("1\nx,1\n"), "ERROR missing data for column \"amount\" @ COPY t, line 1: \"1\"");
    assert_eq!(fails("x,1,2\n"), "ERROR extra data after last expected column @ COPY t, line 1: \"x,1,2\"");
}

#[test]
fn lines_are_counted_through_quoted_line_ends_and_chunks() {
    let types = [("a", SqlType::Int4), ("b", SqlType::Text)];
    let mut data = "1,\"two\nlines\"\n".repeat(100_000);
    data += "x,1\n";
    assert_eq!(
        outcome(load(&types, &options("csv"), data.as_bytes(), 65_536)),
        "ERROR invalid input syntax for type integer: \"x\" @ COPY t, line 200000, column a: \"x\""
    );
}

#[test]
fn chunks_are_whole_records_of_about_a_mebibyte() {
    let data = Bytes::from("12345678,\"a\nb\"\n".repeat(300_000));
    let mut splitter = RecordSplitter::new("t", &["a".into(), "b".into()], &options("csv"));
    let mut chunks = splitter.push(data.clone()).unwrap();
    chunks.extend(splitter.finish().unwrap());
    assert!(chunks.len() >= 4);
    assert!(chunks.iter().all(|chunk| chunk.bytes.len() < 2 << 20 && chunk.bytes.ends_with(b"b\"\n")));
    let lines: Vec<u64> = chunks.iter().map(|chunk| chunk.first_line).collect();
    let mut expected = 1;
    for (chunk, line) in chunks.iter().zip(lines) {
        assert_eq!(line, expected);
        // In the very first record newlines do not count yet.
        expected -= u64::from(expected == 1);
        expected += chunk.bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    assert_eq!(chunks.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect::<Vec<_>>(), data);
}

#[test]
fn a_header_that_must_match_is_compared() {
    let header =
        |data: &str| outcome(load(&text_columns(), &options("(format csv, header match)"), data.as_bytes(), 2));
    assert_eq!(header("a,b\n1,2\n"), "(1,2)");
    assert_eq!(header("\"a\",\"b\"\r\n1,2\r\n"), "(1,2)");
    assert_eq!(header("a,b"), "");
    assert_eq!(
        header("a,d\n"),
        "ERROR column name mismatch in header line field 2: got \"d\", expected \"b\" @ COPY t, line 1: \"a,d\""
    );
    assert_eq!(header("a\n"), "ERROR wrong number of fields in header line: got 1, expected 2 @ COPY t, line 1: \"a\"");
    assert_eq!(
        header("a,b,c\n"),
        "ERROR wrong number of fields in header line: got 3, expected 2 @ COPY t, line 1: \"a,b,c\""
    );
    assert_eq!(
        header(",b\n"),
        "ERROR column name mismatch in header line field 1: got null value (\"\"), expected \"a\" @ COPY t, line 1: \",b\""
    );
}

#[test]
fn a_header_counts_as_a_line() {
    check("csv header", "a,b\n1\n", "ERROR missing data for column \"b\" @ COPY t, line 2: \"1\"");
}

#[test]
fn line_ends_must_not_be_mixed() {
    let hint =
        |options_text: &str, data: &str| load(&text_columns(), &options(options_text), data.as_bytes(), 4).unwrap_err();
    let error = hint("csv", "a,b\nc\r,d\n");
    assert_eq!(error.message, "unquoted carriage return found in data");
    assert_eq!(error.hint.unwrap(), "Use quoted CSV field to represent carriage return.");
    let error = hint("csv", "a,b\r\nc\n,d\r\n");
    assert_eq!(error.message, "unquoted newline found in data");
    let error = hint("", "a\tb\nc\r\td\n");
    assert_eq!(error.hint.unwrap(), "Use \"\\r\" to represent carriage return.");
    check("csv", "a,\"b\r\n\"\n", "(a,b\r\n)");
}

#[test]
fn a_quote_that_nobody_closes_is_reported_at_the_last_line() {
    check("csv", "1,2\n3,\"abc\ndef\n", "ERROR unterminated CSV quoted field @ COPY t, line 4: \"3,\"abc\ndef\n\"");
}

/// Each of them may be the end of the data as far as its line goes; walked to from the beginning every time they would take hours.
#[test]
fn what_looks_like_a_marker_between_quotes_is_walked_over_once() {
    let value = "\\.\r".repeat(300_000);
    let loaded = load(&[("a", SqlType::Text)], &options("(format csv)"), format!("\"{value}\"\n").as_bytes(), 1 << 20);
    assert_eq!(rows(&loaded.unwrap()), format!("({value})"));
}

#[test]
fn a_record_beyond_the_limit_ends_the_load() {
    let mut splitter = RecordSplitter::new("t", &["a".into()], &options("csv")).with_record_bytes_max(1000);
    splitter.push(Bytes::from_static(b"1\n\"")).unwrap();
    let error = splitter.push(Bytes::from(vec![b'x'; 1100])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::ProgramLimitExceeded);
    assert_eq!(error.context.unwrap(), "COPY t, line 2");
    assert_eq!(error.hint.unwrap(), "A quote that is opened in this record is not closed.");
}

#[test]
fn bytes_that_are_no_text_are_reported_after_the_records_before_them() {
    let fails = |data: &[u8]| outcome(load(&[("a", SqlType::Int4)], &options("csv"), data, 1000));
    assert_eq!(fails(b"1\n\xff\n"), "ERROR invalid byte sequence for encoding \"UTF8\": 0xff @ COPY t, line 2");
    assert_eq!(fails(b"1\n2\n3\0\n"), "ERROR invalid byte sequence for encoding \"UTF8\": 0x00 @ COPY t, line 3");
    assert_eq!(
        fails(b"x\n\xff\n"),
        "ERROR invalid input syntax for type integer: \"x\" @ COPY t, line 1, column a: \"x\""
    );
}

#[test]
fn the_context_of_a_row_shows_its_line() {
    let columns = [CopyColumn { name: "a".into(), sql_type: SqlType::Text, has_default: false }];
    let decoder = CopyDecoder::new("t", &columns, &options("csv"), OutputStyle::default()).unwrap();
    let chunk =
        Chunk { bytes: Bytes::from_static(b"x\n\"y\nz\"\n\n"), first_line: 10, line_ending: LineEnding::Newline };
    assert_eq!(decoder.context_of(&chunk, 0), "COPY t, line 10: \"x\"");
    assert_eq!(decoder.context_of(&chunk, 1), "COPY t, line 12: \"\"y\nz\"\"");
    assert_eq!(decoder.context_of(&chunk, 2), "COPY t, line 13: \"\"");
    assert_eq!(decoder.decode_chunk(&chunk).unwrap().batch.num_rows(), 3);
}

#[test]
fn columns_that_an_option_names_must_be_copied() {
    let forced = options("(format csv, force_null (x))");
    let error = CopyDecoder::new("t", &[], &forced, OutputStyle::default()).err().unwrap();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::InvalidColumnReference, "FORCE_NULL column \"x\" not referenced by COPY")
    );
}

fn written(options: &CopyOptions, values: &[[Option<&str>; 2]]) -> String {
    let columns: Vec<ResultColumn> = ["a", "b,c"]
        .map(|name| ResultColumn {
            name: name.to_string(),
            sql_type: SqlType::Text,
            modifier: -1,
            domain: None,
            origin: None,
        })
        .to_vec();
    let column = |index: usize| Arc::new(values.iter().map(|row| row[index]).collect::<StringViewArray>()) as _;
    let batch = RecordBatch::try_from_iter([("a", column(0)), ("b", column(1))]).unwrap();
    let encoder = CopyEncoder::new(&columns, options, OutputStyle::default()).unwrap();
    let mut bytes = encoder.header().unwrap().unwrap_or_default();
    bytes.extend(encoder.encode(&batch).unwrap().bytes);
    String::from_utf8(bytes).unwrap()
}

fn to_options(text: &str) -> CopyOptions {
    parse_copy(&format!("copy t to stdout {text}")).unwrap().unwrap().options
}

#[test]
fn values_are_quoted_and_escaped_as_postgres_does() {
    let values = [
        [Some("x"), None],
        [Some("a,b"), Some("")],
        [Some("say \"hi\""), Some("two\nlines")],
        [Some("\\\t"), Some("\x08")],
    ];
    assert_eq!(
        written(&to_options("csv header"), &values),
        "a,\"b,c\"\nx,\n\"a,b\",\"\"\n\"say \"\"hi\"\"\",\"two\nlines\"\n\\\t,\x08\n"
    );
    assert_eq!(
        written(&to_options("(header)"), &values),
        "a\tb,c\nx\t\\N\na,b\t\nsay \"hi\"\ttwo\\nlines\n\\\\\\t\t\\b\n"
    );
    assert_eq!(
        written(&to_options("(format csv, force_quote (a), delimiter ';', quote '''', escape '~', null 'x')"), &values),
        "'x';x\n'a,b';\n'say \"hi\"';'two\nlines'\n'\\\t';\x08\n"
    );
}

#[test]
fn statements_are_read_in_all_spellings() {
    let parsed = |sql: &str| parse_copy(sql).unwrap().unwrap();
    let table = |name: &str, columns: &[&str]| CopySource::Table {
        schema: None,
        name: name.into(),
        columns: columns.iter().map(|column| column.to_string()).collect(),
    };
    let statement = parsed(
        "/* x */ COPY Sales (Id, \"Amount\") FROM STDIN WITH (FORMAT csv, HEADER true, DELIMITER E'\\t', NULL 'null');",
    );
    assert_eq!(statement.source, table("sales", &["id", "Amount"]));
    assert_eq!((statement.direction, statement.endpoint), (CopyDirection::From, CopyEndpoint::Stdin));
    assert_eq!(
        statement.options,
        CopyOptions {
            format: CopyFileFormat::Csv,
            header: CopyHeader::Present,
            delimiter: b'\t',
            null: "null".into(),
            ..CopyOptions::default()
        }
    );
    let statement = parsed("copy s.t to stdout delimiter as ';' null as '' csv header quote '''' force quote a, b");
    assert_eq!(statement.source, CopySource::Table { schema: Some("s".into()), name: "t".into(), columns: vec![] });
    assert_eq!(statement.endpoint, CopyEndpoint::Stdout);
    assert_eq!(statement.options.force_quote, ColumnSelection::Named(vec!["a".into(), "b".into()]));
    assert_eq!((statement.options.quote, statement.options.escape), (b'\'', b'\''));
    let sql = "COPY (SELECT ')' AS \"ü\", (1) FROM t) TO STDOUT (FORMAT csv, FORCE_QUOTE *)";
    let statement = parsed(sql);
    assert_eq!(statement.source, CopySource::Query { text: "SELECT ')' AS \"ü\", (1) FROM t".into(), offset: 6 });
    assert_eq!(statement.options.force_quote, ColumnSelection::All);
    let statement = parsed("copy t from '/x.csv' using delimiters '|' where a > 1 ;");
    assert_eq!(statement.endpoint, CopyEndpoint::File("/x.csv".into()));
    assert_eq!(statement.where_clause, Some(("a > 1".into(), 48)));
    assert_eq!(statement.options.delimiter, b'|');
    assert_eq!(parsed("copy t from program 'cat x'").endpoint, CopyEndpoint::Program("cat x".into()));
    assert_eq!(parsed("copy binary t to stdout").options.format, CopyFileFormat::Binary);
    assert_eq!(parse_copy("select 1"), None);
    assert_eq!(parse_copy("copyright"), None);
}

#[test]
fn statements_are_refused_as_postgres_refuses_them() {
    let refused = |sql: &str| {
        let error = parse_copy(sql).unwrap().unwrap_err();
        (error.message, error.position)
    };
    for (sql, expected, position) in [
        ("copy t(a) from stdin (delimiter ',,')", "COPY delimiter must be a single one-byte character", None),
        ("copy t(a) from stdin (format x)", "COPY format \"x\" not recognized", Some(23)),
        ("copy t(a) from stdin (foo 'x')", "option \"foo\" not recognized", Some(23)),
        ("copy t(a) from stdin (format csv, format csv)", "conflicting or redundant options", Some(35)),
        ("copy t(a) from stdin csv csv", "conflicting or redundant options", Some(26)),
        ("copy t(a) from stdin binary csv", "conflicting or redundant options", Some(29)),
        ("copy t(a) from stdin (header foo)", "header requires a Boolean value or \"match\"", None),
        (
            "copy t(a) from stdin (format csv, force_null a)",
            "argument to option \"force_null\" must be a list of column names",
            Some(35),
        ),
        (
            "copy t(a) from stdin (encoding 'foo')",
            "argument to option \"encoding\" must be a valid encoding name",
            Some(23),
        ),
        ("copy t(a) from stdin (format csv, force_quote (a))", "COPY force quote only available using COPY TO", None),
        ("copy t(a) to stdout (header match)", "cannot use \"match\" with HEADER in COPY TO", None),
        ("copy t(a) to stdout where a > 1", "WHERE clause not allowed with COPY TO", Some(21)),
        ("copy t(a) from program stdin", "STDIN/STDOUT not allowed with PROGRAM", None),
        ("copy t(a) from stdin (delimiter)", "delimiter requires a parameter", None),
        ("copy t(a) from stdin (freeze 3)", "freeze requires a Boolean value", None),
        ("copy t(a) from stdin (quote '\"')", "COPY quote available only in CSV mode", None),
        ("copy t from stdin foo", "syntax error at or near \"foo\"", Some(19)),
        ("copy t;", "syntax error at or near \";\"", Some(7)),
        ("copy t", "syntax error at end of input", Some(7)),
        ("copy t frum", "syntax error at or near \"frum\"", Some(8)),
        ("copy (select 1) from stdin", "syntax error at or near \"from\"", Some(17)),
    ] {
        assert_eq!(refused(sql), (expected.to_string(), position), "{sql}");
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        rows_in in prop::collection::vec(
            (prop::option::of("[a\"',;\\\\\\r\\n\\té.N]{0,6}"), prop::option::of("[a\"',;\\\\\\r\\n\\té.N]{0,6}")), 0..8),
        style in 0usize..3,
        piece in 1usize..40,
    ) {
        let spelled = ["csv", "", "(format csv, delimiter ';', quote '''', escape '\\', null 'N')"][style];
        let values: Vec<[Option<&str>; 2]> = rows_in.iter().map(|(a, b)| [a.as_deref(), b.as_deref()]).collect();
        let text = written(&to_options(spelled), &values);
        let batches = load(&text_columns(), &options(spelled), text.as_bytes(), piece).unwrap();
        let back: Vec<[Option<String>; 2]> = batches
            .iter()
            .flat_map(|batch| {
                let value = |column: usize, row: usize| {
                    let column = batch.column(column).as_string_view();
                    (!column.is_null(row)).then(|| column.value(row).to_string())
                };
                (0..batch.num_rows()).map(|row| [value(0, row), value(1, row)]).collect::<Vec<_>>()
            })
            .collect();
        let expected: Vec<[Option<String>; 2]> =
            values.iter().map(|row| row.map(|value| value.map(str::to_string))).collect();
        prop_assert_eq!(back, expected, "{:?}", text);
    }

    #[test]
    fn no_data_panics(data in prop::collection::vec(prop::sample::select(&b"a,\"\\.\n\r\tN\xc3\xa9\0"[..]), 0..60), csv: bool, piece in 1usize..20) {
        let spelled = if csv { "csv" } else { "" };
        let _ = load(&text_columns(), &options(spelled), &data, piece);
    }
}
