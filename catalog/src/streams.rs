//! Streams: batches as Arrow IPC, each with its own schema, so that types and metadata come back as they were.
//!
//!     stream   the message of the schema | the message of one batch, or none | end
//!
//! View arrays that hold on to much more text than they show are compacted first: a filtered batch shares the buffers of the whole. Nothing is
//! compressed, and no column of a table is dictionary-encoded, so there are no other messages.
//!
//! Arrow's reader believes what a message says of itself: it makes room for its bytes before it looks whether they are there, and panics
//! over types that cannot be. Bytes that a checksum vouches for should say no such thing; those that do are an error here, like all others that
//! make no sense. This module does not know what rows are for; see `stored`.

use crate::stored::{Blob, StoredError};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{
    DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, StreamWriter, write_message,
};
use arrow::ipc::{MessageHeader, MetadataVersion, root_as_message};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What closes a stream.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// What stands before the length of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// So many begun streams are kept by each thread.
const BEGUN_MAX: usize = 16;

thread_local! {
    /// The message that each stream of some schemas begins with, newest first. To encode it costs more than a row does.
    static BEGUN: RefCell<VecDeque<(SchemaRef, Vec<u8>)>> = const { RefCell::new(VecDeque::new()) };
}

/// One batch.
pub(crate) fn encode_stream(batch: &RecordBatch) -> Blob {
    let write = || {
        let options = options()?;
        let mut bytes = begun(&batch.schema(), &options)?;
        let (batch, mut dictionaries) = (compact_views(batch), DictionaryTracker::new(true));
        let encoder = IpcDataGenerator::default();
        let encoded = encoder.encode(&batch, &mut dictionaries, &options, &mut IpcWriteContext::default())?;
        // The message, its prefix and what closes the stream.
        bytes.reserve(encoded.1.ipc_message.len() + encoded.1.arrow_data.len() + 64);
        write_message(&mut bytes, encoded.1, &options)?;
        bytes.extend_from_slice(&END);
        Ok::<_, ArrowError>(bytes)
    };
    Blob(write().expect("Arrow IPC has every type that a table can have"))
}

/// A schema and no batch.
pub(crate) fn encode_schema(schema: &SchemaRef) -> Blob {
    let begun = options().and_then(|options| begun(schema, &options));
    let mut bytes = begun.expect("Arrow IPC has every type that a table can have");
    bytes.extend_from_slice(&END);
    Blob(bytes)
}

fn options() -> Result<IpcWriteOptions, ArrowError> {
    IpcWriteOptions::try_new(8, false, MetadataVersion::V5)
}

/// The bytes of a stream before its first batch.
fn begun(schema: &SchemaRef, options: &IpcWriteOptions) -> Result<Vec<u8>, ArrowError> {
    BEGUN.with_borrow_mut(|known| {
        if let Some((_, begun)) = known.iter().find(|(other, _)| Arc::ptr_eq(other, schema)) {
            return Ok(begun.clone());
        }
        let writer = StreamWriter::try_new_with_options(Vec::new(), schema, options.clone())?;
        let begun = writer.get_ref().clone();
        known.truncate(BEGUN_MAX - 1);
        known.push_front((Arc::clone(schema), begun.clone()));
        Ok(begun)
    })
}

/// Lets go of text that no row of the batch shows, where it is more than half of what the batch holds.
fn compact_views(batch: &RecordBatch) -> RecordBatch {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Utf8View => {
                let views = column.as_string_view();
                let held: usize = views.data_buffers().iter().map(|buffer| buffer.len()).sum();
                if held > 2 * views.total_buffer_bytes_used() { Arc::new(views.gc()) } else { Arc::clone(column) }
            }
            DataType::BinaryView => {
                let views = column.as_binary_view();
                let held: usize = views.data_buffers().iter().map(|buffer| buffer.len()).sum();
                if held > 2 * views.total_buffer_bytes_used() { Arc::new(views.gc()) } else { Arc::clone(column) }
            }
            _ => Arc::clone(column),
        })
        .collect();
    if columns.is_empty() {
        return batch.clone();
    }
    RecordBatch::try_new(batch.schema(), columns).expect("compacting changes neither types nor lengths")
}

/// Reads what [`encode_stream`] wrote.
pub(crate) fn decode_stream(blob: &Blob) -> Result<RecordBatch, StoredError> {
    read(blob, |mut reader| reader.next().unwrap_or_else(|| Err(ArrowError::IpcError("it is empty".to_string()))))
}

/// The schema of a stream.
pub(crate) fn decode_schema(blob: &Blob) -> Result<SchemaRef, StoredError> {
    read(blob, |reader| Ok(reader.schema()))
}

fn read<T>(blob: &Blob, body: impl FnOnce(StreamReader<&[u8]>) -> Result<T, ArrowError>) -> Result<T, StoredError> {
    let fail = |error: &dyn fmt::Display| StoredError::new("a batch of rows", error);
    check_messages(&blob.0).map_err(|problem| fail(&problem))?;
    let read = catch_unwind(AssertUnwindSafe(|| StreamReader::try_new(blob.0.as_slice(), None).and_then(body)));
    read.map_err(|_| fail(&"a message contradicts itself"))?.map_err(|error| fail(&error))
}

/// Whether all that the messages of a stream say to have is there, and is of a kind that is written.
fn check_messages(mut bytes: &[u8]) -> Result<(), &'static str> {
    const CUT: &str = "a message is cut short";
    while !bytes.is_empty() {
        let (mut length, mut rest) = bytes.split_first_chunk::<4>().ok_or(CUT)?;
        if *length == CONTINUATION {
            (length, rest) = rest.split_first_chunk::<4>().ok_or(CUT)?;
        }
        let length = i32::from_le_bytes(*length);
        if length == 0 {
            return Ok(());
        }
        let header = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let (header, rest) = header.ok_or(CUT)?;
        let message = root_as_message(header).map_err(|_| "a message is none")?;
        let is_written = match message.header_type() {
            MessageHeader::Schema => true,
            MessageHeader::RecordBatch => {
                message.header_as_record_batch().is_some_and(|batch| batch.compression().is_none())
            }
            _ => false,
        };
        if !is_written {
            return Err("it has a message of another kind");
        }
        let body = usize::try_from(message.bodyLength()).ok().and_then(|length| rest.split_at_checked(length));
        bytes = body.ok_or(CUT)?.1;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
