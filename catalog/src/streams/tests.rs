//! Tests of streams: bytes that say what cannot be are an error, and cost no memory.

use super::*;
use crate::samples::rows;
use crate::sql_type::SqlType;
use arrow::array::{Float64Array, Int32Array, ListArray, RecordBatchOptions};
use arrow::datatypes::{Field, Int32Type, Schema};

/// Texts, numbers and lists.
fn batch() -> RecordBatch {
    let rows = rows(0, 5);
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>((0..5).map(|row| Some([Some(row), None])));
    let list = SqlType::Array(Box::new(SqlType::Int4)).field("list", true);
    let lists = arrow::compute::cast(&lists, list.data_type()).unwrap();
    let fields = rows.schema_ref().fields().iter().map(|field| Field::clone(field)).chain([list]);
    let columns = rows.columns().iter().cloned().chain([lists]);
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns.collect()).unwrap()
}

/// Where the message after the schema's begins.
fn second_message(bytes: &[u8]) -> usize {
    8 + i32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize
}

#[test]
fn any_bit_that_is_another_gives_rows_or_an_error() {
    let Blob(bytes) = encode_stream(&batch());
    assert_eq!(decode_stream(&Blob(bytes.clone())).unwrap(), batch());
    for place in 0..bytes.len() {
        for bit in [0x01, 0x08, 0x80] {
            let mut damaged = bytes.clone();
            damaged[place] ^= bit;
            // Its checksum would tell; here it must neither panic nor ask for more memory than there is.
            let _ = decode_stream(&Blob(damaged));
        }
    }
    for length in 0..bytes.len() - END.len() {
        assert!(decode_stream(&Blob(bytes[..length].to_vec())).is_err(), "cut at {length}");
    }
}

#[test]
fn a_message_that_says_to_be_longer_than_the_stream_is_an_error() {
    let Blob(bytes) = encode_stream(&batch());
    let cut = "could not decode a batch of rows: a message is cut short";
    let begins = second_message(&bytes);
    for place in [4, begins + 4] {
        let mut long = bytes.clone();
        long[place..place + 4].copy_from_slice(&i32::MAX.to_le_bytes());
        assert_eq!(decode_stream(&Blob(long)).unwrap_err().to_string(), cut);
    }
    // The length of the batch's buffers, wherever it stands in its message.
    let message = root_as_message(&bytes[begins + 8..]).unwrap();
    let length = message.bodyLength().to_le_bytes();
    let places = bytes.windows(8).enumerate().filter(|(_, eight)| *eight == length);
    let longer = places.map(|(place, _)| {
        let mut long = bytes.clone();
        long[place..place + 8].copy_from_slice(&(1i64 << 50).to_le_bytes());
        decode_stream(&Blob(long))
    });
    assert!(longer.filter_map(Result::err).any(|error| error.to_string() == cut));
}

#[test]
fn streams_of_others_are_an_error() {
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5).unwrap();
    let numbers = Int32Array::from(vec![1, 1, 2]);
    let coded =
        arrow::compute::cast(&numbers, &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Int32)));
    let coded = coded.unwrap();
    let field = Field::new("c", coded.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![coded]).unwrap();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    let error = decode_stream(&Blob(writer.into_inner().unwrap())).unwrap_err().to_string();
    assert_eq!(error, "could not decode a batch of rows: it has a message of another kind");
}

#[test]
fn a_schema_alone_has_no_batch() {
    let numbers = RecordBatch::try_from_iter([("c", Arc::new(Float64Array::from(vec![1.0])) as ArrayRef)]).unwrap();
    let schema = encode_schema(&numbers.schema());
    assert_eq!(decode_schema(&schema).unwrap(), numbers.schema());
    assert!(decode_stream(&schema).is_err());
    let options = RecordBatchOptions::new().with_row_count(Some(4));
    let rows = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    assert_eq!(decode_stream(&encode_stream(&rows)).unwrap().num_rows(), 4);
}
