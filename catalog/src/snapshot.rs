//! Snapshots: everything that a reader can see at one CommitSeq, behind one `Arc`.
//!
//! A snapshot shares all that a commit did not touch with the snapshot before it, so publishing one copies only the
//! spines of the touched tables. Holding a snapshot is what keeps a segment's file from being reaped: the catalog
//! deletes a file when the last `Arc<SegmentMeta>` of its segment is gone.
//!
//! Views read `state(frontier) ⊕ delta(frontier, seq]`, so a table that a view depends on keeps its *changes*: what
//! each commit added and removed, taken from the commits themselves. Compaction and folding move rows
//! without changing them and leave no change behind.

use crate::definition::{ObjectName, TableDefinition, ViewDefinition};
use crate::ids::{CommitSeq, ObjectId, RecentId, SegmentId};
use crate::loads::Loads;
use crate::past::Past;
use crate::segment::{DeletionVector, LiveSegment, SegmentMeta};
use crate::sequence::SequenceVersion;
use crate::shared_list::{Rest, SharedList};
use crate::temporary::TemporarySchema;
use crate::user_type::TypeDefinition;
use arrow::array::RecordBatch;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of one small commit, in the table's schema, in memory until they are folded into segments.
#[derive(Clone, Debug)]
pub struct RecentBatch {
    pub id: RecentId,
    /// The commit that added it; zero where it was read from the disk, which is before anything that still runs.
    pub added: CommitSeq,
    pub batch: RecordBatch,
    pub deleted: Option<Arc<DeletionVector>>,
}

impl RecentBatch {
    pub fn rows_live(&self) -> u64 {
        self.batch.num_rows() as u64 - self.deleted.as_ref().map_or(0, |deleted| deleted.len())
    }
}

/// What one commit changed in one table.
#[derive(Clone, Debug, Default)]
pub struct TableChange {
    pub seq: CommitSeq,
    /// All earlier rows were removed before what follows in this change.
    pub truncated: bool,
    /// Segments whose every row is new.
    pub added_segments: Vec<Arc<SegmentMeta>>,
    pub added_rows: Vec<RecordBatch>,
    /// Rows of a segment, by position, that died.
    pub dead: Vec<(Arc<SegmentMeta>, Arc<DeletionVector>)>,
    /// Recent rows that died, in the table's schema.
    pub removed_rows: Vec<RecordBatch>,
}

impl TableChange {
    /// How many signed rows the change is.
    pub fn rows(&self) -> u64 {
        let segments: u64 = self.added_segments.iter().map(|meta| u64::from(meta.rows)).sum();
        let dead: u64 = self.dead.iter().map(|(_, vector)| vector.len()).sum();
        let batches = self.added_rows.iter().chain(&self.removed_rows);
        segments + dead + batches.map(|batch| batch.num_rows() as u64).sum::<u64>()
    }

    /// Whether the change removed rows (a truncation counts).
    pub fn removes(&self) -> bool {
        self.truncated || !self.dead.is_empty() || !self.removed_rows.is_empty()
    }
}

/// A table's schema, segments, deletion vectors and recent rows at one CommitSeq.
#[derive(Clone, Debug)]
pub struct TableVersion {
    pub definition: Arc<TableDefinition>,
    pub segments: Arc<BTreeMap<SegmentId, LiveSegment>>,
    pub recent: SharedList<Arc<RecentBatch>>,
    /// The last commit that changed the table's rows or definition.
    pub changed_at: CommitSeq,
    /// The changes with `seq > changes_from`, oldest first; kept while a view with a state depends on the table.
    pub changes: SharedList<Arc<TableChange>>,
    /// `None` while no view with a state depends on the table.
    pub changes_from: Option<CommitSeq>,
}

impl TableVersion {
    pub fn empty(definition: Arc<TableDefinition>, seq: CommitSeq) -> Self {
        Self {
            definition,
            segments: Arc::default(),
            recent: SharedList::default(),
            changed_at: seq,
            changes: SharedList::default(),
            changes_from: None,
        }
    }

    pub fn rows_live(&self) -> u64 {
        let segments: u64 = self.segments.values().map(LiveSegment::rows_live).sum();
        segments + self.recent.iter().map(|recent| recent.rows_live()).sum::<u64>()
    }

    /// Bytes on disk of the live segments.
    pub fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.meta.bytes).sum()
    }

    /// The changes after `frontier`, oldest first; `None` when they are no longer, or not yet, kept that far back.
    pub fn changes_since(&self, frontier: CommitSeq) -> Option<Rest<'_, Arc<TableChange>>> {
        if self.changes_from? > frontier {
            return None;
        }
        Some(self.changes.rest(|change| change.seq <= frontier))
    }
}

/// A view's definition, state and frontier at one CommitSeq.
#[derive(Clone, Debug)]
pub struct ViewVersion {
    pub definition: Arc<ViewDefinition>,
    /// The runs of the state: a table version of the hidden table. `Some` exactly when the definition has one.
    pub state: Option<TableVersion>,
    /// The commit up to which the state has folded the inputs; `None` while there is no state to read.
    pub frontier: Option<CommitSeq>,
    /// The last commit since which the definition may give other rows than before; zero for one that is as it was created, or as it was
    /// at the start.
    pub replaced_at: CommitSeq,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Relation<'a> {
    Table(&'a Arc<TableVersion>),
    View(&'a Arc<ViewVersion>),
    Sequence(&'a Arc<SequenceVersion>),
}

/// All table versions, definitions and view states with their frontiers at one CommitSeq.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub seq: CommitSeq,
    /// Wall time of the commit in microseconds since 1970; never goes back.
    pub at_micros: i64,
    /// Above every object id that was ever committed.
    pub next_object: ObjectId,
    /// Above every recent id that was ever committed.
    pub next_recent: RecentId,
    pub schemas: Arc<BTreeMap<String, ObjectId>>,
    /// Tables, views and sequences by name; hidden tables have none.
    pub names: Arc<BTreeMap<ObjectName, ObjectId>>,
    pub tables: Arc<BTreeMap<ObjectId, Arc<TableVersion>>>,
    pub views: Arc<BTreeMap<ObjectId, Arc<ViewVersion>>>,
    pub sequences: Arc<BTreeMap<ObjectId, Arc<SequenceVersion>>>,
    pub loads: Arc<Loads>,
    pub past: Arc<Past>,
    pub types: Arc<BTreeMap<ObjectId, Arc<TypeDefinition>>>,
    /// The schema of the objects that only one session sees, where its are among the others.
    pub temporary: Option<Arc<TemporarySchema>>,
}

impl Snapshot {
    /// The empty database: schema `public` and nothing in it.
    pub fn empty() -> Self {
        Self {
            seq: CommitSeq(0),
            at_micros: 0,
            next_object: ObjectId::FIRST_USER,
            next_recent: RecentId(1),
            schemas: Arc::new(BTreeMap::from([("public".to_string(), ObjectId::PUBLIC)])),
            names: Arc::default(),
            tables: Arc::default(),
            views: Arc::default(),
            sequences: Arc::default(),
            loads: Arc::default(),
            past: Arc::default(),
            types: Arc::default(),
            temporary: None,
        }
    }

    pub fn relation(&self, name: &ObjectName) -> Option<Relation<'_>> {
        let id = self.names.get(name)?;
        self.relation_by_id(*id)
    }

    pub fn relation_by_id(&self, id: ObjectId) -> Option<Relation<'_>> {
        let table = self.tables.get(&id).map(Relation::Table);
        let view = || self.views.get(&id).map(Relation::View);
        table.or_else(view).or_else(|| self.sequences.get(&id).map(Relation::Sequence))
    }

    /// The user's type of that name.
    pub fn type_named(&self, name: &ObjectName) -> Option<&Arc<TypeDefinition>> {
        self.types.values().find(|known| known.name == *name)
    }

    /// The sequences that go with a table.
    pub fn owned_sequences(&self, table: ObjectId) -> impl Iterator<Item = &Arc<SequenceVersion>> {
        let owned =
            move |sequence: &&Arc<SequenceVersion>| sequence.definition.owner.is_some_and(|owner| owner.table == table);
        self.sequences.values().filter(owned)
    }

    /// The table with an index of that name, which may be that of a key, and the index. Indexes share their names with the
    /// relations of their table's schema.
    pub fn index_named(&self, name: &ObjectName) -> Option<(&Arc<TableVersion>, ObjectId)> {
        let mut tables = self.tables.values().filter(|version| version.definition.name.schema == name.schema);
        tables.find_map(|version| {
            let (id, _) = version.definition.indexes().find(|(_, index)| *index == name.name)?;
            Some((version, id))
        })
    }

    /// Whether a relation or an index has a name.
    pub fn has_name(&self, name: &ObjectName) -> bool {
        self.names.contains_key(name) || self.index_named(name).is_some()
    }

    /// The views that read `input` directly.
    pub fn dependents(&self, input: ObjectId) -> impl Iterator<Item = &Arc<ViewVersion>> {
        self.views.values().filter(move |view| view.definition.inputs.contains(&input))
    }

    /// How many commits touched a view's inputs after its frontier; `None` where the changes are not kept that far back.
    pub fn commits_behind(&self, view: &ViewVersion) -> Option<u64> {
        let frontier = view.frontier?;
        let mut seqs: Vec<CommitSeq> = Vec::new();
        for input in &view.definition.inputs {
            let table = self.tables.get(input)?;
            seqs.extend(table.changes_since(frontier)?.iter().map(|change| change.seq));
        }
        seqs.sort_unstable();
        seqs.dedup();
        Some(seqs.len() as u64)
    }
}
