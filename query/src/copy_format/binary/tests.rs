//! Tests of the binary format: what is written reads back, what is malformed is refused in PostgreSQL's words.

use super::*;
use crate::copy_format::tests::load as in_pieces;
use crate::copy_format::{CopyEncoder, CopyFileFormat, CopyOptions};
use crate::response::ResultColumn;
use crate::types::OutputStyle;
use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringViewArray};
use catalog::sql_type::SqlType;
use std::sync::Arc;

fn options() -> CopyOptions {
    CopyOptions { format: CopyFileFormat::Binary, ..CopyOptions::default() }
}

fn load(data: &[u8], piece: usize) -> Result<Vec<RecordBatch>, QueryError> {
    in_pieces(&[("a", SqlType::Int4), ("b", SqlType::Text)], &options(), data, piece.max(1))
}

fn fails(data: &[u8]) -> String {
    let shown = |error: QueryError| format!("{} @ {}", error.message, error.context.unwrap_or_default());
    let whole = shown(load(data, data.len()).unwrap_err());
    for piece in [1, 3, 7] {
        assert_eq!(shown(load(data, piece).unwrap_err()), whole, "in pieces of {piece}");
    }
    whole
}

fn rows(count: usize) -> RecordBatch {
    let numbers: Int32Array = (0..count as i32).map(|row| (row % 3 != 1).then_some(row)).collect();
    let texts: StringViewArray = (0..count).map(|row| (row % 5 != 4).then(|| "h\u{e9}".repeat(row % 9))).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("a", Arc::new(numbers) as ArrayRef, true),
        ("b", Arc::new(texts) as ArrayRef, true),
    ])
    .unwrap()
}

fn written(batch: &RecordBatch) -> Vec<u8> {
    let column = |name: &str, sql_type| ResultColumn {
        name: name.to_string(),
        sql_type,
        modifier: -1,
        domain: None,
        origin: None,
    };
    let columns = [column("a", SqlType::Int4), column("b", SqlType::Text)];
    let encoder = CopyEncoder::new(&columns, &options(), OutputStyle::default()).unwrap();
    let mut bytes = encoder.header().unwrap().unwrap();
    bytes.extend(encoder.encode(batch).unwrap().bytes);
    bytes.extend(encoder.trailer().unwrap());
    bytes
}

#[test]
fn what_is_written_reads_back_however_it_is_cut() {
    let batch = rows(100);
    let data = written(&batch);
    for piece in [1, 2, 5, 64, 100_000] {
        let read = load(&data, piece).unwrap();
        let read = arrow::compute::concat_batches(&read[0].schema(), &read).unwrap();
        assert_eq!(read.columns(), batch.columns());
    }
    assert_eq!(load(&data[..data.len() - 2], 9).unwrap()[0].num_rows(), 100, "a trailer is not asked for");
    assert_eq!(load(&written(&rows(0)), 4).unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
}

#[test]
fn chunks_are_cut_between_records() {
    let batch = rows(500_000);
    let read = load(&written(&batch), 65_536).unwrap();
    assert!(read.len() > 3);
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 500_000);
}

#[test]
fn a_header_that_is_none_is_refused() {
    let good = written(&rows(1));
    assert_eq!(fails(b"1,x\n"), "COPY file signature not recognized @ ");
    assert_eq!(fails(b""), "COPY file signature not recognized @ ");
    assert_eq!(fails(&good[..13]), "invalid COPY file header (missing flags) @ ");
    assert_eq!(fails(&good[..17]), "invalid COPY file header (missing length) @ ");
    let critical = [&good[..11], &[0xff, 0, 0, 0, 0]].concat();
    assert_eq!(fails(&critical), "unrecognized critical flags in COPY file header @ ");
    let with = |place: usize, byte: u8| {
        let mut data = good.clone();
        data[place] = byte;
        data
    };
    assert_eq!(fails(&with(12, 1)), "invalid COPY file header (WITH OIDS) @ ");
    assert_eq!(fails(&with(11, 1)), "unrecognized critical flags in COPY file header @ ");
    assert!(load(&with(14, 1), 5).is_ok(), "the other flags mean nothing");
    assert_eq!(fails(&with(18, 200)), "invalid COPY file header (wrong length) @ ");
}

#[test]
fn a_record_that_is_malformed_is_named() {
    let good = written(&rows(3));
    let header = &good[..HEADER_BYTES];
    let data = |record: &[u8]| [header, &[0, 2, 0, 0, 0, 4, 0, 0, 0, 9, 255, 255, 255, 255], record].concat();
    assert_eq!(fails(&data(&[0, 1])), "row field count is 1, expected 2 @ COPY t, line 2");
    assert_eq!(fails(&data(&[255, 254])), "row field count is -2, expected 2 @ COPY t, line 2");
    assert_eq!(fails(&data(&[255, 255, 7])), "received copy data after EOF marker @ COPY t, line 2");
    assert_eq!(fails(&data(&[0, 2, 0, 0])), "unexpected EOF in COPY data @ COPY t, line 2, column a");
    assert_eq!(
        fails(&data(&[0, 2, 0, 0, 0, 4, 0, 0, 0, 1, 255, 255, 255, 253])),
        "invalid field size @ COPY t, line 2, column b"
    );
    assert_eq!(
        fails(&data(&[0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 1, 255, 255, 255, 255])),
        "incorrect binary data format @ COPY t, line 2, column a"
    );
    assert_eq!(
        fails(&data(&[0, 2, 0, 0, 0, 3, 0, 0, 1, 255, 255, 255, 253])),
        "insufficient data left in message @ COPY t, line 2, column a",
        "the first error of the data"
    );
    assert_eq!(
        fails(&data(&[0, 2, 255, 255, 255, 255, 0, 0, 0, 1, 255])),
        "invalid byte sequence for encoding \"UTF8\": 0xff @ COPY t, line 2, column b"
    );
}
