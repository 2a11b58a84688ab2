//! Stored operations: the bytes of a commit in the log.
//!
//! What is on disk is a set of types of its own, so that the types in memory can change their shape freely. They are written
//! with postcard, whose bytes depend on nothing but the order of fields and variants. The leaves (SQL types, segment
//! metadata, datums) derive their stored form where they stand; `stored/tests.rs` pins the bytes of all of them, so a change of
//! shape cannot slip into the format unnoticed. New variants go at the end; a change of fields needs a new version of the
//! log (see `log`) and of the checkpoints. Definitions alone are JSON documents, to which fields can be added (see `definition`);
//! version 1 had them without names of fields (see `definition_v1`).
//!
//! Record batches are Arrow IPC streams (see `streams`). Batches of many rows are packed (see `packed`), and those of few rows have a
//! layout of their own (see `few`).

use crate::definition::{TableDefinition, ViewDefinition};
use crate::definition_v1::{TableDefinitionV1, ViewDefinitionV1};
use crate::draft::{Expectation, Op};
use crate::few::{self, FewRows};
use crate::ids::{CommitSeq, ObjectId, RecentId, SegmentId};
use crate::lanes::in_lanes;
use crate::loads::LoadRecord;
use crate::packed::{Packed, Unpacked};
use crate::segment::{DeletionVector, SegmentMeta};
use crate::sequence::{SequenceDefinition, SequenceValue};
use crate::streams::{decode_schema, decode_stream, encode_schema, encode_stream};
use crate::user_type::TypeDefinition;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Bytes that passed their checksum and still do not say what they should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StoredError(pub(crate) String);

impl StoredError {
    pub(crate) fn new(what: &str, error: impl fmt::Display) -> Self {
        Self(format!("could not decode {what}: {error}"))
    }
}

/// Bytes, written as one run and not number by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BlobVisitor;
        impl de::Visitor<'_> for BlobVisitor {
            type Value = Blob;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(BlobVisitor)
    }
}

/// A definition, written as the bytes of a JSON document.
pub(crate) struct Document<'a, T: Clone>(pub(crate) Cow<'a, T>);

impl<T: Clone> Document<'_, T> {
    pub(crate) fn shared(self) -> Arc<T> {
        Arc::new(self.0.into_owned())
    }
}

impl<'a, T: Clone> From<&'a T> for Document<'a, T> {
    fn from(definition: &'a T) -> Self {
        Self(Cow::Borrowed(definition))
    }
}

impl<T: Clone + Serialize> Serialize for Document<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&serde_json::to_vec(&*self.0).map_err(ser::Error::custom)?)
    }
}

impl<'de, T: Clone + DeserializeOwned> Deserialize<'de> for Document<'_, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Blob(bytes) = Blob::deserialize(deserializer)?;
        serde_json::from_slice(&bytes).map(|definition| Self(Cow::Owned(definition))).map_err(de::Error::custom)
    }
}

type Meta<'a> = Cow<'a, SegmentMeta>;

/// An operation on disk. The order of variants and fields is the format.
#[derive(Serialize, Deserialize)]
enum StoredOp<'a> {
    CreateSchema {
        id: ObjectId,
        name: Cow<'a, str>,
    },
    DropSchema {
        name: Cow<'a, str>,
    },
    CreateTableV1(TableDefinitionV1),
    DropTable(ObjectId),
    CreateViewV1(ViewDefinitionV1),
    AlterViewV1(ViewDefinitionV1),
    DropView(ObjectId),
    AddSegments {
        table: ObjectId,
        segments: Vec<Meta<'a>>,
    },
    AddRecent {
        table: ObjectId,
        id: RecentId,
        batch: Blob,
    },
    Delete {
        table: ObjectId,
        segments: Vec<(SegmentId, Blob)>,
        recent: Vec<(RecentId, Blob)>,
    },
    Truncate {
        table: ObjectId,
    },
    Rewrite {
        table: ObjectId,
        remove_segments: Vec<(SegmentId, u64)>,
        remove_recent: Vec<(RecentId, u64)>,
        add: Vec<Meta<'a>>,
    },
    Fold {
        view: ObjectId,
        from: Option<CommitSeq>,
        to: CommitSeq,
        replace: bool,
        segments: Vec<Meta<'a>>,
        recent: Vec<(RecentId, Blob)>,
    },
    DropState {
        view: ObjectId,
    },
    CreateTable(Document<'a, TableDefinition>),
    CreateView(Document<'a, ViewDefinition>),
    AlterView(Document<'a, ViewDefinition>),
    CreateSequence(Document<'a, SequenceDefinition>),
    AlterSequence {
        definition: Document<'a, SequenceDefinition>,
        value: Option<SequenceValue>,
    },
    SetSequence {
        sequence: ObjectId,
        version: u32,
        value: SequenceValue,
    },
    DropSequence(ObjectId),
    RecordLoad(Document<'a, LoadRecord>),
    AlterTable(Document<'a, TableDefinition>),
    Expect {
        relation: ObjectId,
        that: Cow<'a, Expectation>,
    },
    Forget {
        before_micros: i64,
    },
    CreateType(Document<'a, TypeDefinition>),
    AlterType(Document<'a, TypeDefinition>),
    DropType(ObjectId),
    ForgetLoads {
        table: ObjectId,
        label: Option<Cow<'a, str>>,
    },
}

/// The bytes of a commit's operations.
pub(crate) fn encode_ops(ops: &[Op]) -> Vec<u8> {
    encode_in_parts(ops).concat()
}

/// The same as what they are put together from. They do not depend on the commit's seq, so writers encode before they queue; batches of
/// many rows are encoded by several threads, and nobody puts them together before they go to the log.
pub(crate) fn encode_in_parts(ops: &[Op]) -> Vec<Vec<u8>> {
    let rows = |op: &Op| match op {
        Op::AddRecent { batch, .. } => batch.num_rows(),
        _ => 0,
    };
    if ops.iter().map(rows).sum::<usize>() < ROWS_FOR_LANES {
        let stored: Vec<StoredOp<'_>> = ops.iter().map(store_op).collect();
        let bytes = stored.iter().map(batch_bytes).sum::<usize>() + stored.len() * OP_BYTES;
        return vec![encode_behind(Vec::with_capacity(bytes), &stored)];
    }
    // A list is its length and then its items.
    let length = encode_behind(Vec::new(), &(ops.len() as u64));
    let items = in_lanes(ops, |op| {
        let stored = store_op(op);
        encode_behind(Vec::with_capacity(batch_bytes(&stored) + OP_BYTES), &stored)
    });
    std::iter::once(length).chain(items).collect()
}

/// The bytes of the rows that an operation adds.
fn batch_bytes(op: &StoredOp<'_>) -> usize {
    match op {
        StoredOp::AddRecent { batch, .. } => batch.0.len(),
        _ => 0,
    }
}

/// Reads what [`encode_ops`] wrote.
pub(crate) fn decode_ops(bytes: &[u8], schemas: &mut SchemaPool) -> Result<Vec<Op>, StoredError> {
    let stored: Vec<StoredOp<'_>> = decode("the operations of a commit", bytes)?;
    stored.into_iter().map(|op| load_op(op, schemas)).collect()
}

fn store_op(op: &Op) -> StoredOp<'_> {
    match op {
        Op::CreateSchema { id, name } => StoredOp::CreateSchema { id: *id, name: Cow::Borrowed(name) },
        Op::DropSchema { name } => StoredOp::DropSchema { name: Cow::Borrowed(name) },
        Op::CreateTable(definition) => StoredOp::CreateTable(Document::from(&**definition)),
        Op::DropTable(id) => StoredOp::DropTable(*id),
        Op::CreateView(definition) => StoredOp::CreateView(Document::from(&**definition)),
        Op::AlterView(definition) => StoredOp::AlterView(Document::from(&**definition)),
        Op::DropView(id) => StoredOp::DropView(*id),
        Op::AddSegments { table, segments } => StoredOp::AddSegments { table: *table, segments: store_metas(segments) },
        Op::AddRecent { table, id, batch } => {
            StoredOp::AddRecent { table: *table, id: *id, batch: encode_batch(batch) }
        }
        Op::Delete { table, segments, recent } => StoredOp::Delete {
            table: *table,
            segments: segments.iter().map(|(id, vector)| (*id, encode_vector(vector))).collect(),
            recent: recent.iter().map(|(id, vector)| (*id, encode_vector(vector))).collect(),
        },
        Op::Truncate { table } => StoredOp::Truncate { table: *table },
        Op::Rewrite { table, remove_segments, remove_recent, add } => StoredOp::Rewrite {
            table: *table,
            remove_segments: remove_segments.clone(),
            remove_recent: remove_recent.clone(),
            add: store_metas(add),
        },
        Op::Fold { view, from, to, replace, segments, recent } => StoredOp::Fold {
            view: *view,
            from: *from,
            to: *to,
            replace: *replace,
            segments: store_metas(segments),
            recent: recent.iter().map(|(id, batch)| (*id, encode_batch(batch))).collect(),
        },
        Op::DropState { view } => StoredOp::DropState { view: *view },
        Op::CreateSequence(definition) => StoredOp::CreateSequence(Document::from(&**definition)),
        Op::AlterSequence { definition, value } => {
            StoredOp::AlterSequence { definition: Document::from(&**definition), value: *value }
        }
        Op::SetSequence { sequence, version, value } => {
            StoredOp::SetSequence { sequence: *sequence, version: *version, value: *value }
        }
        Op::DropSequence(id) => StoredOp::DropSequence(*id),
        Op::RecordLoad(record) => StoredOp::RecordLoad(Document::from(&**record)),
        Op::AlterTable(definition) => StoredOp::AlterTable(Document::from(&**definition)),
        Op::Expect { relation, that } => StoredOp::Expect { relation: *relation, that: Cow::Borrowed(that) },
        Op::Forget { before_micros } => StoredOp::Forget { before_micros: *before_micros },
        Op::CreateType(definition) => StoredOp::CreateType(Document::from(&**definition)),
        Op::AlterType(definition) => StoredOp::AlterType(Document::from(&**definition)),
        Op::DropType(id) => StoredOp::DropType(*id),
        Op::ForgetLoads { table, label } => {
            StoredOp::ForgetLoads { table: *table, label: label.as_deref().map(Cow::Borrowed) }
        }
    }
}

fn store_metas(segments: &[Arc<SegmentMeta>]) -> Vec<Meta<'_>> {
    segments.iter().map(|meta| Cow::Borrowed(&**meta)).collect()
}

fn load_op(op: StoredOp<'_>, schemas: &mut SchemaPool) -> Result<Op, StoredError> {
    Ok(match op {
        StoredOp::CreateSchema { id, name } => Op::CreateSchema { id, name: name.into_owned() },
        StoredOp::DropSchema { name } => Op::DropSchema { name: name.into_owned() },
        StoredOp::CreateTableV1(old) => Op::CreateTable(Arc::new(old.into())),
        StoredOp::CreateTable(definition) => Op::CreateTable(definition.shared()),
        StoredOp::DropTable(id) => Op::DropTable(id),
        StoredOp::CreateViewV1(old) => Op::CreateView(Arc::new(old.into())),
        StoredOp::CreateView(definition) => Op::CreateView(definition.shared()),
        StoredOp::AlterViewV1(old) => Op::AlterView(Arc::new(old.into())),
        StoredOp::AlterView(definition) => Op::AlterView(definition.shared()),
        StoredOp::DropView(id) => Op::DropView(id),
        StoredOp::AddSegments { table, segments } => Op::AddSegments { table, segments: load_metas(segments) },
        StoredOp::AddRecent { table, id, batch } => Op::AddRecent { table, id, batch: schemas.decode_batch(&batch)? },
        StoredOp::Delete { table, segments, recent } => Op::Delete {
            table,
            segments: load_each(segments, decode_vector)?,
            recent: load_each(recent, decode_vector)?,
        },
        StoredOp::Truncate { table } => Op::Truncate { table },
        StoredOp::Rewrite { table, remove_segments, remove_recent, add } => {
            Op::Rewrite { table, remove_segments, remove_recent, add: load_metas(add) }
        }
        StoredOp::Fold { view, from, to, replace, segments, recent } => Op::Fold {
            view,
            from,
            to,
            replace,
            segments: load_metas(segments),
            recent: load_each(recent, |batch| schemas.decode_batch(batch))?,
        },
        StoredOp::DropState { view } => Op::DropState { view },
        StoredOp::CreateSequence(definition) => Op::CreateSequence(definition.shared()),
        StoredOp::AlterSequence { definition, value } => Op::AlterSequence { definition: definition.shared(), value },
        StoredOp::SetSequence { sequence, version, value } => Op::SetSequence { sequence, version, value },
        StoredOp::DropSequence(id) => Op::DropSequence(id),
        StoredOp::RecordLoad(record) => Op::RecordLoad(record.shared()),
        StoredOp::AlterTable(definition) => Op::AlterTable(definition.shared()),
        StoredOp::Expect { relation, that } => Op::Expect { relation, that: that.into_owned() },
        StoredOp::Forget { before_micros } => Op::Forget { before_micros },
        StoredOp::CreateType(definition) => Op::CreateType(definition.shared()),
        StoredOp::AlterType(definition) => Op::AlterType(definition.shared()),
        StoredOp::DropType(id) => Op::DropType(id),
        StoredOp::ForgetLoads { table, label } => Op::ForgetLoads { table, label: label.map(Cow::into_owned) },
    })
}

fn load_metas(segments: Vec<Meta<'_>>) -> Vec<Arc<SegmentMeta>> {
    segments.into_iter().map(|meta| Arc::new(meta.into_owned())).collect()
}

fn load_each<Id, T>(
    stored: Vec<(Id, Blob)>,
    mut load: impl FnMut(&Blob) -> Result<T, StoredError>,
) -> Result<Vec<(Id, T)>, StoredError> {
    stored.into_iter().map(|(id, blob)| Ok((id, load(&blob)?))).collect()
}

pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    encode_behind(Vec::new(), value)
}

/// The bytes of a value behind others.
pub(crate) fn encode_behind(bytes: Vec<u8>, value: &impl Serialize) -> Vec<u8> {
    postcard::to_io(value, bytes).expect("stored types have known lengths and a vector grows without error")
}

pub(crate) fn decode<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, StoredError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(StoredError::new(what, format_args!("{} bytes too many", rest.len()))),
        Err(error) => Err(StoredError::new(what, error)),
    }
}

pub(crate) fn encode_vector(vector: &Arc<DeletionVector>) -> Blob {
    Blob(vector.to_bytes())
}

pub(crate) fn decode_vector(blob: &Blob) -> Result<Arc<DeletionVector>, StoredError> {
    let vector = DeletionVector::from_bytes(&blob.0);
    vector.map(Arc::new).ok_or_else(|| StoredError::new("a deletion vector", "not a roaring bitmap"))
}

/// Batches of this many rows are packed. One of fewer would hardly be smaller, unless its rows are so few that its schema weighs more.
const PACKED_ROWS_MIN: usize = 1024;
/// The rows of a commit that are packed by several threads.
pub(crate) const ROWS_FOR_LANES: usize = 16_384;
/// What an operation takes besides its rows, about.
const OP_BYTES: usize = 128;

/// One batch: few rows, packed, or an uncompressed Arrow IPC stream.
pub(crate) fn encode_batch(batch: &RecordBatch) -> Blob {
    if let Some(few) = few::encoded(batch) {
        return Blob(few);
    }
    if batch.num_rows() < PACKED_ROWS_MIN {
        return encode_stream(batch);
    }
    let Some(packed) = Packed::new(batch.columns(), batch.num_rows()) else { return encode_stream(batch) };
    let plain = match packed.plain() {
        places if places.is_empty() => Blob(Vec::new()),
        places => encode_stream(&batch.project(&places).expect("the places are those of columns")),
    };
    Blob(packed.into_bytes(encode_schema(&batch.schema()), plain))
}

/// Schemas of batches that were read, so that batches of one table share theirs.
#[derive(Default)]
pub(crate) struct SchemaPool {
    known: Vec<SchemaRef>,
    /// Those of few rows by their bytes: to read one takes longer than to read its rows.
    few: Vec<(Vec<u8>, SchemaRef)>,
}

/// A pool of more schemas than this forgets the oldest; forgetting costs memory only.
const SCHEMAS_MAX: usize = 64;

impl SchemaPool {
    /// Reads what [`encode_batch`] wrote.
    pub(crate) fn decode_batch(&mut self, blob: &Blob) -> Result<RecordBatch, StoredError> {
        let fail = |error: &dyn fmt::Display| StoredError::new("a batch of rows", error);
        if let Some(few) = FewRows::read(&blob.0) {
            let few = few?;
            let schema = self.of_few(few.schema())?;
            return few.batch(schema);
        }
        let batch = match Unpacked::read(&blob.0) {
            None => decode_stream(blob)?,
            Some(unpacked) => {
                let unpacked = unpacked?;
                let schema = self.share(decode_schema(unpacked.schema())?);
                let plain = unpacked.plain().map(decode_stream).transpose()?;
                let options = RecordBatchOptions::new().with_row_count(Some(unpacked.rows()));
                let columns = unpacked.columns(&schema, plain.as_ref().map_or(&[], RecordBatch::columns))?;
                RecordBatch::try_new_with_options(schema, columns, &options).map_err(|error| fail(&error))?
            }
        };
        let schema = self.share(batch.schema());
        batch.with_schema(schema).map_err(|error| fail(&error))
    }

    fn of_few(&mut self, bytes: &[u8]) -> Result<SchemaRef, StoredError> {
        if let Some((_, known)) = self.few.iter().find(|(known, _)| known == bytes) {
            return Ok(Arc::clone(known));
        }
        let schema = self.share(Arc::new(few::read_schema(bytes)?));
        if self.few.len() == SCHEMAS_MAX {
            self.few.remove(0);
        }
        self.few.push((bytes.to_vec(), Arc::clone(&schema)));
        Ok(schema)
    }

    fn share(&mut self, schema: SchemaRef) -> SchemaRef {
        if let Some(known) = self.known.iter().find(|known| **known == schema) {
            return Arc::clone(known);
        }
        if self.known.len() == SCHEMAS_MAX {
            self.known.remove(0);
        }
        self.known.push(Arc::clone(&schema));
        schema
    }
}

#[cfg(test)]
mod tests;
