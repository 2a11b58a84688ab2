//! Parquet that others wrote.

use super::*;
use arrow::array::{ArrayRef, AsArray, LargeBinaryArray, LargeStringArray};
use catalog::sql_type::SqlType;

fn file_of(batch: &RecordBatch) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = ArrowWriter::try_new(file.reopen().unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    file
}

#[test]
fn large_texts_of_other_writers_are_texts_and_no_json() {
    let texts: ArrayRef = Arc::new(LargeStringArray::from(vec!["not json"]));
    let bytes: ArrayRef = Arc::new(LargeBinaryArray::from(vec![b"bytes".as_slice()]));
    let json: ArrayRef = Arc::new(LargeStringArray::from(vec!["{}"]));
    let fields = vec![
        Field::new("words", DataType::LargeUtf8, true),
        Field::new("bytes", DataType::LargeBinary, true),
        SqlType::Jsonb.field("document", true),
    ];
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![texts, bytes, json]).unwrap();
    let file = file_of(&batch);
    let rows = ParquetRows::open(file.path()).unwrap();
    let types = rows.schema().fields().iter().map(|field| SqlType::from_field(field)).collect::<Vec<_>>();
    assert_eq!(types, [Some(SqlType::Text), Some(SqlType::Bytea), Some(SqlType::Jsonb)]);
    let batches = rows.batches(&[2, 0]).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(batches[0].column(0).as_string_view().value(0), "not json");
    assert_eq!(batches[0].num_columns(), 2);
}
