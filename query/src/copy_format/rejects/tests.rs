//! Tests of records that are skipped: which they are, what is kept of them, and that all others are read.

use super::*;
use crate::copy_format::{CopyColumn, CopyOptions, Splitter, parse_copy};
use crate::types::OutputStyle;
use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use catalog::sql_type::SqlType;

fn options(text: &str) -> CopyOptions {
    parse_copy(&format!("copy t from stdin {text}")).unwrap().unwrap().options
}

/// The first column of the rows that were read, and line and message of each record that was skipped.
type Outcome = (Vec<Option<i32>>, Vec<(u64, String)>);

fn load(spelled: &str, data: &[u8]) -> Result<Outcome, QueryError> {
    let columns = [("a", SqlType::Int4), ("b", SqlType::Date)];
    let columns = columns.map(|(name, sql_type)| CopyColumn { name: name.to_string(), sql_type, has_default: true });
    let decoder = CopyDecoder::new("t", &columns, &options(spelled), OutputStyle::default())?;
    let mut splitter = Splitter::new("t", &["a".to_string(), "b".to_string()], &options(spelled));
    let mut chunks = splitter.push(Bytes::copy_from_slice(data))?;
    chunks.extend(splitter.finish()?);
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    for chunk in &chunks {
        let decoded = decoder.decode_chunk(chunk)?;
        if let Some(error) = decoded.failure {
            return Err(error);
        }
        rows.extend(decoded.batch.column(0).as_primitive::<Int32Type>().iter());
        assert!(decoded.records.is_none_or(|records| records.len() == decoded.batch.num_rows()));
        skipped.extend(decoded.rejected.into_iter().map(|rejected| (rejected.line, rejected.error.message)));
    }
    Ok((rows, skipped))
}

#[test]
fn values_that_cannot_be_read_are_skipped_with_their_line() {
    let data = b"1,2025-01-01\nx,2025-01-01\n\"2\n\",\"2025-01-01\"\n4,\"x\ny\"\n5,2025-02-30\n6,\n";
    let (rows, skipped) = load("(format csv, on_error ignore)", data).unwrap();
    assert_eq!(rows, [Some(1), Some(2), Some(6)]);
    assert_eq!(
        skipped,
        [
            (2, "invalid input syntax for type integer: \"x\"".to_string()),
            (6, "invalid input syntax for type date: \"x\ny\"".to_string()),
            (7, "date/time field value out of range: \"2025-02-30\"".to_string()),
        ]
    );
}

#[test]
fn the_first_column_that_fails_is_told_and_each_record_once() {
    let (rows, skipped) = load("(format csv, on_error ignore)", b"x,y\n1,y\nx,2025-01-01\n").unwrap();
    assert!(rows.is_empty());
    let lines: Vec<u64> = skipped.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2, 3]);
    assert!(skipped[0].1.contains("integer") && skipped[1].1.contains("date"));
}

#[test]
fn a_wrong_shape_stops_the_load_unless_there_is_a_table_for_it() {
    let data = b"1,2025-01-01\nx,2025-01-01\n3\n4,2025-01-01,5\n6,2025-01-01\n";
    let error = load("(format csv, on_error ignore)", data).unwrap_err();
    assert_eq!(error.context.unwrap(), "COPY t, line 3: \"3\"");
    let (rows, skipped) = load("(format csv, reject_table 'r')", data).unwrap();
    assert_eq!(rows, [Some(1), Some(6)]);
    let lines: Vec<u64> = skipped.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 3, 4]);
}

#[test]
fn bytes_that_are_no_text_are_skipped_where_there_is_a_table_for_them() {
    let data = b"1,2025-01-01\n\xff,2025-01-01\n3\n\"4\n\",\xfe\n5,2025-01-01\n";
    let error = load("(format csv, on_error ignore)", data).unwrap_err();
    assert_eq!(error.context.unwrap(), "COPY t, line 2");
    let (rows, skipped) = load("(format csv, reject_table 'r')", data).unwrap();
    assert_eq!(rows, [Some(1), Some(5)]);
    let lines: Vec<u64> = skipped.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 3, 5]);
}

#[test]
fn markers_of_defaults_keep_their_rows() {
    let columns = [CopyColumn { name: "a".to_string(), sql_type: SqlType::Int4, has_default: true }];
    let spelled = options("(format csv, on_error ignore, default 'D')");
    let decoder = CopyDecoder::new("t", &columns, &spelled, OutputStyle::default()).unwrap();
    let mut splitter = Splitter::new("t", &["a".to_string()], &spelled);
    splitter.push(Bytes::from_static(b"D\nx\n2\nD\n\"D\"\n")).unwrap();
    let decoded = decoder.decode_chunk(&splitter.finish().unwrap().unwrap()).unwrap();
    assert_eq!(decoded.batch.num_rows(), 3);
    assert_eq!(decoded.defaults, [(0, 0), (2, 0)]);
    assert_eq!(decoded.rejected.iter().map(|rejected| rejected.line).collect::<Vec<_>>(), [2, 5]);
}

#[test]
fn a_file_of_nothing_but_bad_records_takes_no_longer_than_one_walk() {
    let data = "1\n".repeat(200_000);
    let (rows, skipped) = load("(format csv, reject_table 'r')", data.as_bytes()).unwrap();
    assert_eq!((rows.len(), skipped.len(), skipped[199_999].0), (0, 200_000, 200_000));
}

#[test]
fn values_stay_with_their_records_whichever_columns_are_wrong() {
    let (rows, skipped) = load("(format csv, on_error ignore)", b"3,2024-01-02\nx,2024-01-02\n5,2025-02-30\n").unwrap();
    assert_eq!(rows, [Some(3)]);
    assert_eq!(skipped.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
}

/// Looked for one by one from the chunk's beginning they would take hours.
#[test]
fn records_that_break_a_rule_are_found_in_one_walk() {
    let columns = [("a", SqlType::Int4)];
    let columns = columns.map(|(name, sql_type)| CopyColumn { name: name.to_string(), sql_type, has_default: true });
    let decoder = CopyDecoder::new("t", &columns, &options("(format csv)"), OutputStyle::default()).unwrap();
    let mut splitter = Splitter::new("t", &["a".to_string()], &options("(format csv)"));
    let mut chunks = splitter.push(Bytes::from("\"7\n\"\n8\n".repeat(500_000))).unwrap();
    chunks.extend(splitter.finish().unwrap());
    // A newline between the quotes of the very first record does not count.
    let mut line = 0;
    for chunk in &chunks {
        let records = decoder.decode_chunk(chunk).unwrap().batch.num_rows();
        let error = || QueryError::new(crate::error::ErrorKind::CheckViolation, "no");
        let odd = |record: &usize| record % 2 == 1;
        let rejected = decoder.rejects(chunk, (0..records).filter(odd).map(|record| (record, error())).collect());
        for rejected in rejected {
            line += 3;
            assert_eq!((rejected.line, rejected.raw.as_str()), (line - 1, "8"));
        }
    }
    assert_eq!(line, 1_500_000);
}
