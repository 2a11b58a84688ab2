//! Transactions: a draft that grows statement by statement, laid over the snapshot that each of them reads.
//!
//! READ COMMITTED takes a fresh snapshot for each statement, REPEATABLE READ keeps the first. Either way what the transaction itself did is
//! on top, so a statement sees its own transaction's rows, and views over them, before anybody else does. Nothing of it is visible to others until COMMIT.
//!
//! SERIALIZABLE keeps the first snapshot too, and commits only if nobody has changed since what it read, whole tables or regions of
//! partitioned ones (`reads`): then it could as well have run as a whole where it commits. A transaction that only read could have run where its snapshot is, and is asked nothing.

use crate::engine::{Engine, conflict_error, now_micros};
use crate::error::{ErrorKind, QueryError};
use crate::intake::BATCH_ROWS;
use crate::notifications::AnnouncementMark;
use crate::reads::{Extent, Reads};
use crate::row_inserts::WaitingRows;
use crate::sequences::OwnNumbers;
use crate::settings::SettingsMark;
use crate::statement::Isolation;
use crate::temporary::{self, Temporary};
use crate::transaction_modes::{Modes, SharedModes};
use crate::turns::TableLock;
use crate::write_holds::WriteHold;
use arrow::array::RecordBatch;
use catalog::draft::{CommitDraft, Conflict, Expectation, Op};
use catalog::ids::{CommitSeq, ObjectId, RecentId};
use catalog::keys::AddedKeys;
use catalog::reads::ReadRegions;
use catalog::snapshot::Snapshot;
use catalog::temporary::{OnCommit, TemporaryObjects};
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use storage::staging::StagedSegments;

/// What a statement wants to change: operations and the files that they name.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// What it relies on of the committed state. These stand before everything that the transaction does.
    pub relies: Vec<Op>,
    pub ops: Vec<Op>,
    pub staged: Vec<StagedSegments>,
    pub holds: Vec<WriteHold>,
    pub keys: Vec<NewKeys>,
}

/// The keys that a statement adds to one unique constraint, checked against the snapshot that it read.
#[derive(Debug)]
pub(crate) struct NewKeys {
    pub table: ObjectId,
    pub constraint: ObjectId,
    /// Sorted.
    pub digests: Arc<[u64]>,
}

impl Change {
    pub(crate) fn of(ops: Vec<Op>) -> Self {
        Self { ops, ..Self::default() }
    }
}

/// What of the session is as it was when a savepoint was made, once that is returned to.
#[derive(Clone, Debug)]
pub(crate) struct SessionMark {
    pub announced: AnnouncementMark,
    pub settings: SettingsMark,
    /// How many cursors had ever been declared.
    pub cursors: u64,
}

#[derive(Debug)]
struct Savepoint {
    name: String,
    ops: usize,
    staged: usize,
    keys: usize,
    modes: Modes,
    session: SessionMark,
}

/// The draft so far, applied to a base.
#[derive(Debug)]
struct Overlay {
    base: CommitSeq,
    ops: usize,
    snapshot: Arc<Snapshot>,
}

/// A transaction of one session.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// What now() is for all of its statements.
    pub began: DateTime<Utc>,
    /// Begun by BEGIN; otherwise it ends with the client's message.
    pub explicit: bool,
    pub modes: SharedModes,
    pub failed: bool,
    pinned: Option<Arc<Snapshot>>,
    base: Option<Arc<Snapshot>>,
    change: Change,
    /// The keys of the change, each with the committed snapshot that it was checked against.
    keys: Vec<AddedKeys>,
    /// Rows that are not in the change yet; all came after the last savepoint.
    pub waiting: Vec<WaitingRows>,
    /// Memory of the rows in `change` that go inline into the log.
    inline_bytes: usize,
    savepoints: Vec<Savepoint>,
    overlay: Option<Overlay>,
    reads: Arc<Mutex<Reads>>,
    /// Numbers that were taken of sequences as only this transaction knows them.
    numbers: Arc<Mutex<OwnNumbers>>,
    /// The session's temporary objects, if it has any, as the transaction found them.
    temporary: Option<Arc<Temporary>>,
    /// What becomes of the transaction's own temporary tables at its end.
    pub on_commit: BTreeMap<ObjectId, OnCommit>,
    /// The tables that others commit no rows of until the end.
    pub locks: Vec<TableLock>,
}

/// What a transaction leaves when it ends.
#[derive(Debug)]
pub(crate) struct Ended {
    /// For the catalog; without operations where there is nothing for it.
    pub draft: CommitDraft,
    /// The segments of all that the transaction added.
    pub staged: Vec<StagedSegments>,
    /// What is held until the commit is there.
    pub holds: Vec<WriteHold>,
    pub locks: Vec<TableLock>,
    /// The session's temporary objects, where the transaction changed them.
    pub temporary: Option<TemporaryObjects>,
}

impl Transaction {
    /// One that ends with the client's message.
    pub(crate) fn new(modes: SharedModes) -> Self {
        Self {
            began: Utc::now(),
            explicit: false,
            modes,
            failed: false,
            pinned: None,
            base: None,
            change: Change::default(),
            keys: Vec::new(),
            waiting: Vec::new(),
            inline_bytes: 0,
            savepoints: Vec::new(),
            overlay: None,
            reads: Arc::default(),
            numbers: Arc::default(),
            temporary: None,
            on_commit: BTreeMap::new(),
            locks: Vec::new(),
        }
    }

    /// Lets the transaction see the session's temporary objects.
    pub(crate) fn share(&mut self, temporary: &Arc<Temporary>) {
        if self.temporary.is_none() {
            self.temporary = Some(Arc::clone(temporary));
            self.overlay = None;
        }
    }

    /// What everybody sees of a snapshot, and the session beside it.
    fn seen(&self, committed: Arc<Snapshot>) -> Arc<Snapshot> {
        match &self.temporary {
            Some(temporary) => temporary.lay_over(&committed),
            None => committed,
        }
    }

    /// Whether a snapshot has nothing that the transaction did.
    pub(crate) fn is_unchanged(&self, snapshot: &Arc<Snapshot>) -> bool {
        let is_base = self.base.as_ref().is_some_and(|base| Arc::ptr_eq(base, snapshot));
        is_base || self.temporary.as_ref().is_some_and(|temporary| temporary.is_laid(snapshot))
    }

    /// Where the transaction's statements note what they read, if that is asked at its end.
    pub(crate) fn reads(&self) -> Arc<Mutex<Reads>> {
        if self.isolation() == Isolation::Serializable { Arc::clone(&self.reads) } else { Arc::default() }
    }

    /// What is committed, as the last statement read it.
    pub(crate) fn base(&self) -> Option<Arc<Snapshot>> {
        self.base.clone()
    }

    /// Holds what was committed no longer; the next statement reads anew.
    pub(crate) fn let_go(&mut self) {
        (self.base, self.overlay) = (None, None);
    }

    pub(crate) fn numbers(&self) -> Arc<Mutex<OwnNumbers>> {
        Arc::clone(&self.numbers)
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.change.ops.is_empty() || !self.waiting.is_empty()
    }

    /// Whether an earlier statement has named rows of a table.
    pub(crate) fn holds(&self, table: ObjectId) -> bool {
        self.change.holds.iter().any(|hold| hold.table() == table)
    }

    pub(crate) fn inline_bytes(&self) -> usize {
        self.inline_bytes
    }

    pub(crate) fn isolation(&self) -> Isolation {
        self.modes.now().isolation
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.modes.now().read_only
    }

    /// The snapshot that the next statement reads: the committed state with this transaction's changes on top.
    pub(crate) fn snapshot(&mut self, engine: &Engine) -> Result<Arc<Snapshot>, QueryError> {
        let committed = match self.isolation() {
            Isolation::ReadCommitted => engine.catalog.snapshot(),
            Isolation::RepeatableRead | Isolation::Serializable => {
                Arc::clone(self.pinned.get_or_insert_with(|| engine.catalog.snapshot()))
            }
        };
        let earlier = self.base.replace(Arc::clone(&committed));
        self.modes.note_read();
        let seen = self.seen(committed);
        self.lay_over(seen).map_err(|conflict| match &earlier {
            Some(earlier) => conflict_error(conflict.named(earlier)),
            None => conflict_error(conflict),
        })
    }

    /// Applies only what is new since the last statement where the base is the same.
    fn lay_over(&mut self, base: Arc<Snapshot>) -> Result<Arc<Snapshot>, Conflict> {
        if self.change.ops.is_empty() {
            return Ok(base);
        }
        let total = self.change.ops.len();
        let (from, start) = match &self.overlay {
            Some(overlay) if overlay.base == base.seq && overlay.ops <= total => {
                (Arc::clone(&overlay.snapshot), overlay.ops)
            }
            _ => (Arc::clone(&base), 0),
        };
        // Where no statement holds the overlay any longer, what is new is added to it in place.
        self.overlay = None;
        let snapshot = match &self.change.ops[start..] {
            [] => from,
            new => {
                let from = Arc::unwrap_or_clone(from);
                Arc::new(from.into_applied(base.seq.next(), now_micros(), new)?)
            }
        };
        self.overlay = Some(Overlay { base: base.seq, ops: total, snapshot: Arc::clone(&snapshot) });
        Ok(snapshot)
    }

    /// Adds a statement's change. It is checked against what the statement read, so that an error undoes the statement alone.
    pub(crate) fn add(&mut self, change: Change) -> Result<(), QueryError> {
        if change.ops.is_empty() {
            return Ok(());
        }
        if self.is_read_only() && !self.changes_temporary_rows(&change.ops) {
            return Err(QueryError::new(ErrorKind::ReadOnlyTransaction, "cannot write in a read-only transaction"));
        }
        let base = Arc::clone(self.base.as_ref().expect("a statement reads before it writes"));
        self.rely(change.relies);
        let before = self.change.ops.len();
        self.change.ops.extend(change.ops);
        let seen = self.seen(Arc::clone(&base));
        let laid = self.lay_over(seen).map_err(|conflict| conflict_error(conflict.named(&base)));
        if let Err(error) =
            laid.and_then(|after| temporary::refuse_temporary_numbers(&after, &self.change.ops[before..]))
        {
            self.change.ops.truncate(before);
            self.overlay = None;
            return Err(error);
        }
        self.inline_bytes += inline_bytes(&self.change.ops[before..]);
        self.change.staged.extend(change.staged);
        self.note_keys(change.keys, &base);
        self.hold(change.holds);
        Ok(())
    }

    /// The newest hold on a table stands for all: its snapshot has what theirs had.
    fn hold(&mut self, new: Vec<WriteHold>) {
        self.change.holds.retain(|held| new.iter().all(|hold| hold.table() != held.table()));
        self.change.holds.extend(new);
    }

    /// What is relied on stays so when the statement or its savepoint is undone; that costs a conflict at most.
    fn rely(&mut self, relies: Vec<Op>) {
        if relies.is_empty() {
            return;
        }
        self.savepoints.iter_mut().for_each(|savepoint| savepoint.ops += relies.len());
        self.change.ops.splice(0..0, relies);
        self.overlay = None;
    }

    /// Adds the change of rows that waited. Their table is there for as long as the transaction's other statements find it, so
    /// there is nothing to check it against; `checked` is the committed snapshot that their first keys were checked against.
    pub(crate) fn add_rows(&mut self, change: Change, checked: &Arc<Snapshot>) {
        self.inline_bytes += inline_bytes(&change.ops);
        self.change.ops.extend(change.ops);
        self.change.staged.extend(change.staged);
        self.note_keys(change.keys, checked);
    }

    fn note_keys(&mut self, keys: Vec<NewKeys>, checked: &Arc<Snapshot>) {
        for keys in keys {
            // The first snapshot stands for all of a constraint's, so that a long transaction holds few.
            let known = self.keys.iter().find(|known| known.constraint == keys.constraint);
            let checked = known.map_or_else(|| Arc::clone(checked), |known| Arc::clone(&known.checked));
            self.keys.push(keys.checked_against(checked));
        }
    }

    pub(crate) fn savepoint(&mut self, name: &str, session: SessionMark) {
        self.savepoints.push(Savepoint {
            name: name.into(),
            ops: self.change.ops.len(),
            staged: self.change.staged.len(),
            keys: self.keys.len(),
            modes: self.modes.now(),
            session,
        });
        self.modes.note_savepoints(self.savepoints.len());
    }

    pub(crate) fn release(&mut self, name: &str) -> Result<(), QueryError> {
        let position = self.find(name)?;
        // What only read since the savepoint writes again behind it, as in PostgreSQL.
        self.modes.restore(self.savepoints[position].modes);
        self.savepoints.truncate(position);
        self.modes.note_savepoints(position);
        Ok(())
    }

    /// Undoes what came after the savepoint, which stays. Returns what the session noted at it.
    pub(crate) fn rollback_to(&mut self, name: &str) -> Result<SessionMark, QueryError> {
        let position = self.find(name)?;
        self.waiting.clear();
        let savepoint = &self.savepoints[position];
        self.change.ops.truncate(savepoint.ops);
        self.change.staged.truncate(savepoint.staged);
        self.keys.truncate(savepoint.keys);
        let defined: BTreeSet<_> = self.change.ops.iter().filter_map(defined_sequence).collect();
        self.numbers.lock().retain(|of, _| defined.contains(of));
        self.modes.restore(savepoint.modes);
        let session = savepoint.session.clone();
        self.savepoints.truncate(position + 1);
        self.modes.note_savepoints(self.savepoints.len());
        self.inline_bytes = inline_bytes(&self.change.ops);
        self.overlay = None;
        self.failed = false;
        Ok(session)
    }

    fn find(&self, name: &str) -> Result<usize, QueryError> {
        let found = self.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        found
            .ok_or_else(|| QueryError::new(ErrorKind::InvalidSavepoint, format!("savepoint \"{name}\" does not exist")))
    }

    /// What a serializable transaction needs to be so when it commits. Tables of its own are nobody else's.
    fn reads_unchanged(&self, base: &Arc<Snapshot>) -> (Vec<Op>, Vec<ReadRegions>) {
        let (mut tables, mut parts) = (Vec::new(), Vec::new());
        for (table, extent) in self.reads().lock().extents() {
            match extent {
                _ if !base.tables.contains_key(&table) => {}
                Extent::Nothing => {}
                Extent::Regions(regions) => parts.push(ReadRegions { table, read: Arc::clone(base), regions }),
                Extent::Whole => {
                    tables.push(Op::Expect { relation: table, that: Expectation::Unchanged(base.seq) });
                }
            }
        }
        (tables, parts)
    }

    /// Whether operations change rows of temporary tables, or drop what is temporary, and nothing else. Who may not write at all
    /// is refused before.
    fn changes_temporary_rows(&self, ops: &[Op]) -> bool {
        let allowed = |op: &Op| {
            let of_rows = matches!(op, Op::AddSegments { .. } | Op::AddRecent { .. } | Op::Delete { .. });
            of_rows || matches!(op, Op::Expect { .. } | Op::DropTable(_) | Op::DropView(_) | Op::DropSequence(_))
        };
        let objects = self.temporary.as_ref().map(|temporary| &temporary.objects);
        ops.iter().all(allowed) && objects.is_some_and(|objects| objects.permanent(ops.to_vec()).is_empty())
    }

    /// What the transaction made of the session's temporary objects, with what its end does to them.
    fn temporary_after(&mut self, base: &Arc<Snapshot>) -> Result<Option<TemporaryObjects>, QueryError> {
        let Some(temporary) = self.temporary.clone() else { return Ok(None) };
        if temporary.objects.among(&self.change.ops).is_empty() {
            return Ok(None);
        }
        let seen = self.seen(Arc::clone(base));
        let after = self.lay_over(Arc::clone(&seen)).map_err(conflict_error)?;
        self.change.ops.extend(temporary::ends(&temporary.objects, &self.on_commit, &after));
        let after = self.lay_over(seen).map_err(conflict_error)?;
        Ok(Some(temporary.objects.taken_from(&after, &self.on_commit)))
    }

    /// What there is to commit, and what goes with it; `None` when there is nothing.
    pub(crate) fn into_ended(mut self) -> Result<Option<Ended>, QueryError> {
        let Some(base) = self.base.clone().filter(|_| !self.change.ops.is_empty()) else { return Ok(None) };
        let numbers = std::mem::take(&mut *self.numbers.lock());
        if !numbers.is_empty() {
            let seen = self.seen(Arc::clone(&base));
            let after = self.lay_over(seen).map_err(|conflict| conflict_error(conflict.named(&base)))?;
            let kept = numbers.into_iter().filter(|((sequence, version), _)| {
                after.sequences.get(sequence).is_some_and(|known| known.definition.version == *version)
            });
            let set = kept.map(|((sequence, version), value)| Op::SetSequence { sequence, version, value });
            self.change.ops.extend(set);
        }
        let temporary = self.temporary_after(&base)?;
        if let Some(own) = &self.temporary {
            let temporary_tables = own.objects.among(&self.change.ops);
            self.keys.retain(|keys| !temporary_tables.contains(&keys.table));
            self.change.ops = own.objects.permanent(std::mem::take(&mut self.change.ops));
        }
        let mut reads = Vec::new();
        if !self.change.ops.is_empty() {
            let (unchanged, parts) = self.reads_unchanged(&base);
            self.rely(unchanged);
            reads = parts;
        }
        let Change { ops, staged, holds, .. } = self.change;
        let draft = CommitDraft::new(base, merge_recent(ops)).with_keys(merge_keys(self.keys)).with_reads(reads);
        Ok(Some(Ended { draft, staged, holds, locks: self.locks, temporary }))
    }
}

impl NewKeys {
    fn checked_against(self, checked: Arc<Snapshot>) -> AddedKeys {
        let Self { table, constraint, digests } = self;
        AddedKeys { table, constraint, checked, digests }
    }
}

/// Makes one list of the keys that many statements have added to the same constraint, as of the first check of them.
fn merge_keys(keys: Vec<AddedKeys>) -> Vec<AddedKeys> {
    let mut merged: BTreeMap<ObjectId, Vec<AddedKeys>> = BTreeMap::new();
    keys.into_iter().for_each(|keys| merged.entry(keys.constraint).or_default().push(keys));
    let merged = merged.into_values().filter_map(|mut lists| {
        if lists.len() == 1 {
            return lists.pop();
        }
        let mut digests: Vec<u64> = lists.iter().flat_map(|keys| keys.digests.iter().copied()).collect();
        digests.sort_unstable();
        digests.dedup();
        let oldest = lists.into_iter().min_by_key(|keys| keys.checked.seq)?;
        Some(AddedKeys { digests: digests.into(), ..oldest })
    });
    merged.collect()
}

/// Makes one batch of neighbouring small batches for the same table, so that many INSERTs become one append. Batches that the
/// transaction itself deletes from keep their identity, and those of many rows stay by themselves.
fn merge_recent(ops: Vec<Op>) -> Vec<Op> {
    let named: std::collections::HashSet<_> = ops
        .iter()
        .filter_map(|op| match op {
            Op::Delete { recent, .. } => Some(recent.iter().map(|(id, _)| *id)),
            _ => None,
        })
        .flatten()
        .collect();
    let is_joined = |id: RecentId, batch: &RecordBatch| !named.contains(&id) && batch.num_rows() < BATCH_ROWS;
    let mut relied: HashMap<ObjectId, Expectation> = HashMap::new();
    let mut merged: Vec<Op> = Vec::with_capacity(ops.len());
    let mut run: Option<(ObjectId, RecentId, Vec<RecordBatch>)> = None;
    let flush = |run: &mut Option<(ObjectId, _, Vec<RecordBatch>)>, merged: &mut Vec<Op>| {
        if let Some((table, id, batches)) = run.take() {
            let batch = match batches.as_slice() {
                [only] => only.clone(),
                [first, ..] => arrow::compute::concat_batches(&first.schema(), &batches)
                    .expect("batches of one table have one schema"),
                [] => return,
            };
            merged.push(Op::AddRecent { table, id, batch });
        }
    };
    for op in ops {
        match op {
            Op::AddRecent { table, id, batch } if is_joined(id, &batch) => match &mut run {
                Some((last, _, batches)) if *last == table && batches[0].schema() == batch.schema() => {
                    batches.push(batch);
                }
                _ => {
                    flush(&mut run, &mut merged);
                    run = Some((table, id, vec![batch]));
                }
            },
            // INSERTs one after the other rely on the same.
            Op::Expect { relation, that } if relied.get(&relation) == Some(&that) => {}
            other => {
                flush(&mut run, &mut merged);
                match &other {
                    Op::Expect { relation, that } => drop(relied.insert(*relation, that.clone())),
                    Op::AlterTable(definition) => drop(relied.remove(&definition.id)),
                    _ => {}
                }
                merged.push(other);
            }
        }
    }
    flush(&mut run, &mut merged);
    merged
}

fn inline_bytes(ops: &[Op]) -> usize {
    let recent = ops.iter().filter_map(|op| match op {
        Op::AddRecent { batch, .. } => Some(batch.get_array_memory_size()),
        _ => None,
    });
    recent.sum()
}

/// The sequence that an operation defines, and the version: numbers of it are the transaction's own until it is committed.
fn defined_sequence(op: &Op) -> Option<(ObjectId, u32)> {
    match op {
        Op::CreateSequence(definition) | Op::AlterSequence { definition, .. } => {
            Some((definition.id, definition.version))
        }
        _ => None,
    }
}
