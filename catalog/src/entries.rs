//! Entries: the catalog's state as keys and values, for the index and the checkpoints.
//!
//!     entries(&Snapshot) ──▶ [(Key, value)] ──▶ load ──▶ Snapshot
//!
//! One key for each thing that changes by itself (a table's definition, each segment, each recent batch, each change), so
//! that a commit rewrites a few small values; `difference` says which. A value depends on its own thing alone, never on
//! what else is alive, which is why changes carry whole segment metadata. Names are not stored: they follow from the definitions.
//!
//! `load` makes one `Arc<SegmentMeta>` of each segment however many values name it, because the count of that `Arc` decides when
//! a file may be reaped. Recent batches come back ordered by id, which is not always the order of their commits;
//! the order of rows in a table means nothing.

use crate::definition::{TableDefinition, ViewDefinition};
use crate::definition_v1::{TableDefinitionV1, ViewDefinitionV1};
use crate::ids::{CommitSeq, ObjectId, RecentId, SegmentId};
use crate::loads::{LoadRecord, Loads};
use crate::past::{Past, Removed};
use crate::segment::{LiveSegment, SegmentMeta};
use crate::sequence::{SequenceDefinition, SequenceValue, SequenceVersion};
use crate::snapshot::{RecentBatch, Snapshot, TableChange, TableVersion, ViewVersion};
use crate::stored::{
    Blob, Document, SchemaPool, StoredError, decode, decode_vector, encode, encode_batch, encode_vector,
};
use crate::user_type::TypeDefinition;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which version of this module wrote the values. Version 1 had definitions without names of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// What a value is about. The tables of segments, recent batches and changes are hidden ones too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    Meta,
    Schema(String),
    Table(ObjectId),
    View(ObjectId),
    Segment(ObjectId, SegmentId),
    Recent(ObjectId, RecentId),
    Change(ObjectId, CommitSeq),
    Sequence(ObjectId),
    /// A load by its commit and its place in it.
    Load(CommitSeq, u32),
    /// From when on the past is kept; absent where nothing was forgotten.
    Past,
    /// A segment by the commit that removed it.
    Removed(CommitSeq, SegmentId),
    Type(ObjectId),
}

impl Key {
    /// The key as bytes that sort as the keys do. No key's bytes begin with those of another.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (tag, object, rest): (u8, Option<ObjectId>, Vec<u8>) = match self {
            Self::Meta => (1, None, Vec::new()),
            Self::Schema(name) => (2, None, [name.as_bytes(), &[0]].concat()),
            Self::Table(id) => (3, Some(*id), Vec::new()),
            Self::View(id) => (4, Some(*id), Vec::new()),
            Self::Segment(table, id) => (5, Some(*table), id.0.to_be_bytes().to_vec()),
            Self::Recent(table, id) => (6, Some(*table), id.0.to_be_bytes().to_vec()),
            Self::Change(table, seq) => (7, Some(*table), seq.0.to_be_bytes().to_vec()),
            Self::Sequence(id) => (8, Some(*id), Vec::new()),
            Self::Load(seq, index) => (9, None, [seq.0.to_be_bytes().as_slice(), &index.to_be_bytes()].concat()),
            Self::Past => (10, None, Vec::new()),
            Self::Removed(seq, id) => (11, None, [seq.0.to_be_bytes().as_slice(), &id.0.to_be_bytes()].concat()),
            Self::Type(id) => (12, Some(*id), Vec::new()),
        };
        let mut bytes = vec![tag];
        bytes.extend(object.iter().flat_map(|object| object.0.to_be_bytes()));
        bytes.extend(rest);
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        let object = || {
            let (object, rest) = rest.split_first_chunk::<4>()?;
            Some((ObjectId(u32::from_be_bytes(*object)), rest))
        };
        Some(match tag {
            1 if rest.is_empty() => Self::Meta,
            2 => Self::Schema(String::from_utf8(rest.strip_suffix(&[0])?.to_vec()).ok()?),
            3 => object().filter(|(_, rest)| rest.is_empty()).map(|(id, _)| Self::Table(id))?,
            4 => object().filter(|(_, rest)| rest.is_empty()).map(|(id, _)| Self::View(id))?,
            5 => {
                let (table, rest) = object()?;
                Self::Segment(table, SegmentId(u128::from_be_bytes(rest.try_into().ok()?)))
            }
            6 => {
                let (table, rest) = object()?;
                Self::Recent(table, RecentId(u64::from_be_bytes(rest.try_into().ok()?)))
            }
            7 => {
                let (table, rest) = object()?;
                Self::Change(table, CommitSeq(u64::from_be_bytes(rest.try_into().ok()?)))
            }
            8 => object().filter(|(_, rest)| rest.is_empty()).map(|(id, _)| Self::Sequence(id))?,
            9 => {
                let (seq, index) = rest.split_first_chunk::<8>()?;
                let index = u32::from_be_bytes(index.try_into().ok()?);
                Self::Load(CommitSeq(u64::from_be_bytes(*seq)), index)
            }
            10 if rest.is_empty() => Self::Past,
            11 => {
                let (seq, id) = rest.split_first_chunk::<8>()?;
                let id = SegmentId(u128::from_be_bytes(id.try_into().ok()?));
                Self::Removed(CommitSeq(u64::from_be_bytes(*seq)), id)
            }
            12 => object().filter(|(_, rest)| rest.is_empty()).map(|(id, _)| Self::Type(id))?,
            _ => return None,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredMeta {
    seq: CommitSeq,
    at_micros: i64,
    next_object: ObjectId,
    next_recent: RecentId,
}

#[derive(Serialize, Deserialize)]
struct StoredTable<'a> {
    definition: Document<'a, TableDefinition>,
    changed_at: CommitSeq,
    changes_from: Option<CommitSeq>,
}

#[derive(Serialize, Deserialize)]
struct StoredView<'a> {
    definition: Document<'a, ViewDefinition>,
    frontier: Option<CommitSeq>,
    state: Option<StoredTable<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredSequence<'a> {
    definition: Document<'a, SequenceDefinition>,
    value: SequenceValue,
}

#[derive(Deserialize)]
struct StoredTableV1 {
    definition: TableDefinitionV1,
    changed_at: CommitSeq,
    changes_from: Option<CommitSeq>,
}

#[derive(Deserialize)]
struct StoredViewV1 {
    definition: ViewDefinitionV1,
    frontier: Option<CommitSeq>,
    state: Option<StoredTableV1>,
}

impl From<StoredTableV1> for StoredTable<'_> {
    fn from(old: StoredTableV1) -> Self {
        let definition = Document(Cow::Owned(old.definition.into()));
        Self { definition, changed_at: old.changed_at, changes_from: old.changes_from }
    }
}

impl From<StoredViewV1> for StoredView<'_> {
    fn from(old: StoredViewV1) -> Self {
        let definition = Document(Cow::Owned(old.definition.into()));
        Self { definition, frontier: old.frontier, state: old.state.map(StoredTable::from) }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredSegment<'a> {
    meta: Cow<'a, SegmentMeta>,
    deleted: Option<Blob>,
}

#[derive(Serialize, Deserialize)]
struct StoredRecent {
    batch: Blob,
    deleted: Option<Blob>,
}

#[derive(Serialize, Deserialize)]
struct StoredChange<'a> {
    truncated: bool,
    added_segments: Vec<Cow<'a, SegmentMeta>>,
    added_rows: Vec<Blob>,
    dead: Vec<(Cow<'a, SegmentMeta>, Blob)>,
    removed_rows: Vec<Blob>,
}

#[derive(Serialize, Deserialize)]
struct StoredRemoved<'a> {
    meta: Cow<'a, SegmentMeta>,
    at_micros: i64,
}

/// A snapshot as keys and values, ordered by key.
pub(crate) fn entries(snapshot: &Snapshot) -> Vec<(Key, Vec<u8>)> {
    let mut all = vec![(Key::Meta, meta_value(snapshot))];
    all.extend(snapshot.schemas.iter().map(|(name, id)| (Key::Schema(name.clone()), schema_value(*id))));
    all.extend(snapshot.loads.iter().map(|((seq, index), record)| (Key::Load(*seq, *index), load_value(record))));
    if snapshot.past.from_micros != 0 {
        all.push((Key::Past, past_value(&snapshot.past)));
    }
    let removed = snapshot.past.removed.iter();
    all.extend(removed.map(|((seq, id), removed)| (Key::Removed(*seq, *id), removed_value(removed))));
    for table in snapshot.tables.values() {
        all.push((Key::Table(table.definition.id), table_value(table)));
        push_contents(&mut all, table);
    }
    for view in snapshot.views.values() {
        all.push((Key::View(view.definition.id), view_value(view)));
        view.state.iter().for_each(|state| push_contents(&mut all, state));
    }
    let sequences = snapshot.sequences.values();
    all.extend(sequences.map(|sequence| (Key::Sequence(sequence.definition.id), sequence_value(sequence))));
    all.extend(snapshot.types.values().map(|known| (Key::Type(known.id), type_value(known))));
    all.sort_by(|left, right| left.0.cmp(&right.0));
    all
}

fn push_contents(all: &mut Vec<(Key, Vec<u8>)>, table: &TableVersion) {
    let id = table.definition.id;
    all.extend(table.segments.values().map(|segment| (Key::Segment(id, segment.meta.id), segment_value(segment))));
    all.extend(table.recent.iter().map(|recent| (Key::Recent(id, recent.id), recent_value(recent))));
    all.extend(table.changes.iter().map(|change| (Key::Change(id, change.seq), change_value(change))));
}

pub(crate) fn meta_value(snapshot: &Snapshot) -> Vec<u8> {
    encode(&StoredMeta {
        seq: snapshot.seq,
        at_micros: snapshot.at_micros,
        next_object: snapshot.next_object,
        next_recent: snapshot.next_recent,
    })
}

/// When the snapshot's commit was made, from [`meta_value`].
pub(crate) fn meta_time(value: &[u8]) -> Result<i64, StoredError> {
    decode::<StoredMeta>("the catalog's counters", value).map(|meta| meta.at_micros)
}

pub(crate) fn schema_value(id: ObjectId) -> Vec<u8> {
    encode(&id)
}

pub(crate) fn load_value(record: &LoadRecord) -> Vec<u8> {
    encode(&Document::from(record))
}

pub(crate) fn past_value(past: &Past) -> Vec<u8> {
    encode(&past.from_micros)
}

pub(crate) fn removed_value(removed: &Removed) -> Vec<u8> {
    encode(&StoredRemoved { meta: Cow::Borrowed(&removed.meta), at_micros: removed.at_micros })
}

fn store_table(table: &TableVersion) -> StoredTable<'_> {
    StoredTable {
        definition: Document::from(&*table.definition),
        changed_at: table.changed_at,
        changes_from: table.changes_from,
    }
}

pub(crate) fn table_value(table: &TableVersion) -> Vec<u8> {
    encode(&store_table(table))
}

pub(crate) fn view_value(view: &ViewVersion) -> Vec<u8> {
    encode(&StoredView {
        definition: Document::from(&*view.definition),
        frontier: view.frontier,
        state: view.state.as_ref().map(store_table),
    })
}

pub(crate) fn sequence_value(sequence: &SequenceVersion) -> Vec<u8> {
    encode(&StoredSequence { definition: Document::from(&*sequence.definition), value: sequence.value })
}

pub(crate) fn type_value(known: &TypeDefinition) -> Vec<u8> {
    encode(&Document::from(known))
}

pub(crate) fn segment_value(segment: &LiveSegment) -> Vec<u8> {
    let deleted = segment.deleted.as_ref().map(encode_vector);
    encode(&StoredSegment { meta: Cow::Borrowed(&segment.meta), deleted })
}

pub(crate) fn recent_value(recent: &RecentBatch) -> Vec<u8> {
    let deleted = recent.deleted.as_ref().map(encode_vector);
    encode(&StoredRecent { batch: encode_batch(&recent.batch), deleted })
}

pub(crate) fn change_value(change: &TableChange) -> Vec<u8> {
    encode(&StoredChange {
        truncated: change.truncated,
        added_segments: change.added_segments.iter().map(|meta| Cow::Borrowed(&**meta)).collect(),
        added_rows: change.added_rows.iter().map(encode_batch).collect(),
        dead: change.dead.iter().map(|(meta, dead)| (Cow::Borrowed(&**meta), encode_vector(dead))).collect(),
        removed_rows: change.removed_rows.iter().map(encode_batch).collect(),
    })
}

/// The snapshot that [`entries`] was given, now or in an earlier version. The entries may come in any order.
pub(crate) fn load(
    version: Version,
    entries: impl IntoIterator<Item = (Key, Vec<u8>)>,
) -> Result<Snapshot, StoredError> {
    let mut loader = Loader::new(version);
    for (key, value) in entries {
        loader.take(key, &value)?;
    }
    loader.finish()
}

/// What belongs to one table, hidden or not.
#[derive(Default)]
struct Contents {
    segments: BTreeMap<SegmentId, LiveSegment>,
    recent: BTreeMap<RecentId, RecentBatch>,
    changes: BTreeMap<CommitSeq, Arc<TableChange>>,
}

struct Loader {
    version: Version,
    meta: Option<StoredMeta>,
    schemas: BTreeMap<String, ObjectId>,
    tables: Vec<StoredTable<'static>>,
    views: Vec<StoredView<'static>>,
    sequences: Vec<StoredSequence<'static>>,
    contents: HashMap<ObjectId, Contents>,
    metas: HashMap<SegmentId, Arc<SegmentMeta>>,
    batches: SchemaPool,
    loads: Loads,
    past: Past,
    types: BTreeMap<ObjectId, Arc<TypeDefinition>>,
}

impl Loader {
    fn new(version: Version) -> Self {
        Self {
            version,
            meta: None,
            schemas: BTreeMap::new(),
            tables: Vec::new(),
            views: Vec::new(),
            sequences: Vec::new(),
            contents: HashMap::new(),
            metas: HashMap::new(),
            batches: SchemaPool::default(),
            loads: Loads::default(),
            past: Past::default(),
            types: BTreeMap::new(),
        }
    }

    fn take(&mut self, key: Key, value: &[u8]) -> Result<(), StoredError> {
        match key {
            Key::Meta => self.meta = Some(decode("the catalog's counters", value)?),
            Key::Schema(name) => {
                self.schemas.insert(name, decode("a schema", value)?);
            }
            Key::Table(_) => self.tables.push(match self.version {
                Version::One => decode::<StoredTableV1>("a table", value)?.into(),
                Version::Two => decode("a table", value)?,
            }),
            Key::View(_) => self.views.push(match self.version {
                Version::One => decode::<StoredViewV1>("a view", value)?.into(),
                Version::Two => decode("a view", value)?,
            }),
            Key::Sequence(_) => self.sequences.push(decode("a sequence", value)?),
            Key::Segment(table, id) => {
                let stored: StoredSegment<'_> = decode("a segment", value)?;
                let deleted = stored.deleted.as_ref().map(decode_vector).transpose()?;
                let segment = LiveSegment { meta: self.share(stored.meta), added: CommitSeq(0), deleted };
                self.contents.entry(table).or_default().segments.insert(id, segment);
            }
            Key::Recent(table, id) => {
                let stored: StoredRecent = decode("a batch of recent rows", value)?;
                let batch = self.batches.decode_batch(&stored.batch)?;
                let deleted = stored.deleted.as_ref().map(decode_vector).transpose()?;
                let recent = RecentBatch { id, added: CommitSeq(0), batch, deleted };
                self.contents.entry(table).or_default().recent.insert(id, recent);
            }
            Key::Change(table, seq) => {
                let change = Arc::new(self.load_change(seq, value)?);
                self.contents.entry(table).or_default().changes.insert(seq, change);
            }
            Key::Load(seq, index) => {
                let record: Document<'_, LoadRecord> = decode("a load", value)?;
                self.loads.insert((seq, index), record.shared());
            }
            Key::Past => self.past.from_micros = decode("the beginning of the past", value)?,
            Key::Removed(seq, id) => {
                let stored: StoredRemoved<'_> = decode("a removed segment", value)?;
                let removed = Removed { meta: self.share(stored.meta), at_micros: stored.at_micros };
                self.past.removed.insert((seq, id), removed);
            }
            Key::Type(id) => {
                let known: Document<'_, TypeDefinition> = decode("a type", value)?;
                self.types.insert(id, known.shared());
            }
        }
        Ok(())
    }

    fn load_change(&mut self, seq: CommitSeq, value: &[u8]) -> Result<TableChange, StoredError> {
        let stored: StoredChange<'_> = decode("a change", value)?;
        let added_segments = stored.added_segments.into_iter().map(|meta| self.share(meta)).collect();
        let dead = stored.dead.into_iter().map(|(meta, dead)| Ok((self.share(meta), decode_vector(&dead)?)));
        let dead = dead.collect::<Result<_, StoredError>>()?;
        let mut load_all = |blobs: &[Blob]| blobs.iter().map(|blob| self.batches.decode_batch(blob)).collect();
        let added_rows: Result<_, StoredError> = load_all(&stored.added_rows);
        let removed_rows: Result<_, StoredError> = load_all(&stored.removed_rows);
        let (added_rows, removed_rows) = (added_rows?, removed_rows?);
        Ok(TableChange { seq, truncated: stored.truncated, added_segments, added_rows, dead, removed_rows })
    }

    fn share(&mut self, meta: Cow<'_, SegmentMeta>) -> Arc<SegmentMeta> {
        Arc::clone(self.metas.entry(meta.id).or_insert_with(|| Arc::new(meta.into_owned())))
    }

    fn finish(mut self) -> Result<Snapshot, StoredError> {
        let meta = self.meta.take().ok_or_else(|| StoredError("the catalog's counters are missing".into()))?;
        let mut names = BTreeMap::new();
        let mut tables = BTreeMap::new();
        let mut views = BTreeMap::new();
        for stored in std::mem::take(&mut self.tables) {
            let table = self.load_table(stored);
            names.insert(table.definition.name.clone(), table.definition.id);
            tables.insert(table.definition.id, Arc::new(table));
        }
        for stored in std::mem::take(&mut self.views) {
            let state = stored.state.map(|state| self.load_table(state));
            let definition = stored.definition.shared();
            names.insert(definition.name.clone(), definition.id);
            let replaced_at = CommitSeq::default();
            let view = ViewVersion { frontier: stored.frontier, definition, state, replaced_at };
            views.insert(view.definition.id, Arc::new(view));
        }
        let mut sequences = BTreeMap::new();
        for stored in std::mem::take(&mut self.sequences) {
            let definition = stored.definition.shared();
            names.insert(definition.name.clone(), definition.id);
            sequences.insert(definition.id, Arc::new(SequenceVersion { definition, value: stored.value }));
        }
        if let Some(table) = self.contents.keys().next() {
            return Err(StoredError(format!("rows of object {table} are there, its definition is missing")));
        }
        Ok(Snapshot {
            seq: meta.seq,
            at_micros: meta.at_micros,
            next_object: meta.next_object,
            next_recent: meta.next_recent,
            schemas: Arc::new(self.schemas),
            names: Arc::new(names),
            tables: Arc::new(tables),
            views: Arc::new(views),
            sequences: Arc::new(sequences),
            loads: Arc::new(self.loads),
            past: Arc::new(self.past),
            types: Arc::new(self.types),
            temporary: None,
        })
    }

    fn load_table(&mut self, stored: StoredTable<'static>) -> TableVersion {
        let definition = stored.definition.shared();
        let contents = self.contents.remove(&definition.id).unwrap_or_default();
        TableVersion {
            definition,
            segments: Arc::new(contents.segments),
            recent: contents.recent.into_values().map(Arc::new).collect(),
            changed_at: stored.changed_at,
            changes: contents.changes.into_values().collect(),
            changes_from: stored.changes_from,
        }
    }
}

#[cfg(test)]
mod tests;
