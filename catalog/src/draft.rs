//! Drafts: what a writer wants to change, and what a snapshot becomes by it.
//!
//! [`Snapshot::apply`] is the one definition of what an operation does. It runs in four places with the same
//! meaning: when a transaction lays its own draft over the snapshot that it reads, when the committer publishes, when recovery
//! replays the log, and in tests. It checks as it goes, so a draft that no longer fits is a [`Conflict`] in all of them:
//!
//!     Snapshot(n) ──apply(ops)──▶ Snapshot(n + 1)   or   Conflict
//!
//! Inserts conflict with nothing here but a definition that their rows need not fit any more; see `keys` for what keys add to
//! that. Deletes conflict when a row is already dead or has moved. Rewrites (compaction, folding of
//! recent rows) change no content and conflict with any delete in what they replace, so it is they that yield.
//! This module does not know what durable means; see `commit`.

use crate::definition::{ObjectName, TableDefinition, ViewDefinition};
use crate::ids::{CommitSeq, ObjectId, RecentId, SegmentId};
use crate::keys::AddedKeys;
use crate::loads::LoadRecord;
use crate::reads::ReadRegions;
use crate::segment::{DeletionVector, SegmentMeta};
use crate::sequence::{SequenceDefinition, SequenceValue};
use crate::shared_list::SharedList;
use crate::snapshot::{Relation, Snapshot, TableChange, TableVersion, ViewVersion};
use crate::user_type::TypeDefinition;
use arrow::array::RecordBatch;
use rows::{delete_from_recent, delete_from_segments, insert_segments, push_recent, rewrite};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

mod rows;
mod sequences;
mod types;

pub use rows::select_rows;

/// The most changes that a table keeps for views that are behind; beyond it the oldest go and those views are rebuilt.
pub const CHANGES_MAX: usize = 100_000;
/// The most changes that a table keeps for views whose state is still being built, or cannot be.
pub const BUILD_CHANGES_MAX: usize = 1_000;

/// One thing that a commit does. Rows and segments must fit the table's schema at the draft's base.
#[derive(Clone, Debug)]
pub enum Op {
    CreateSchema {
        id: ObjectId,
        name: String,
    },
    DropSchema {
        name: String,
    },
    CreateTable(Arc<TableDefinition>),
    DropTable(ObjectId),
    CreateView(Arc<ViewDefinition>),
    /// Replaces a view's definition under the same id, keeping its state.
    AlterView(Arc<ViewDefinition>),
    DropView(ObjectId),
    /// Segments whose every row is new to the table.
    AddSegments {
        table: ObjectId,
        segments: Vec<Arc<SegmentMeta>>,
    },
    AddRecent {
        table: ObjectId,
        id: RecentId,
        batch: RecordBatch,
    },
    /// Rows that die, by position in their segment or recent batch.
    Delete {
        table: ObjectId,
        segments: Vec<(SegmentId, Arc<DeletionVector>)>,
        recent: Vec<(RecentId, Arc<DeletionVector>)>,
    },
    Truncate {
        table: ObjectId,
    },
    /// The same rows in other segments. Each replaced part names how many of its rows were dead when it was read.
    Rewrite {
        table: ObjectId,
        remove_segments: Vec<(SegmentId, u64)>,
        remove_recent: Vec<(RecentId, u64)>,
        add: Vec<Arc<SegmentMeta>>,
    },
    /// Moves a view's frontier from `from` to `to`, adding runs to its state; `replace` drops the runs before.
    Fold {
        view: ObjectId,
        from: Option<CommitSeq>,
        to: CommitSeq,
        replace: bool,
        segments: Vec<Arc<SegmentMeta>>,
        recent: Vec<(RecentId, RecordBatch)>,
    },
    /// Forgets a view's state; it is rebuilt in the background.
    DropState {
        view: ObjectId,
    },
    CreateSequence(Arc<SequenceDefinition>),
    /// Replaces a sequence's definition under the same id by its next version; `value` is where it begins anew, if it does.
    AlterSequence {
        definition: Arc<SequenceDefinition>,
        value: Option<SequenceValue>,
    },
    /// Says how far a sequence has come, or how far it is reserved. It conflicts with another version of the definition.
    SetSequence {
        sequence: ObjectId,
        version: u32,
        value: SequenceValue,
    },
    DropSequence(ObjectId),
    /// Remembers a load whose rows other operations of the same commit add.
    RecordLoad(Arc<LoadRecord>),
    /// Replaces a table's definition by its next version. Its rows stay as they are; see [`crate::fitting`].
    AlterTable(Arc<TableDefinition>),
    /// Changes nothing: the operations behind it were made against `relation` as it is said here.
    Expect {
        relation: ObjectId,
        that: Expectation,
    },
    /// Nobody will ask for what was before a time, in microseconds since 1970; see [`crate::past`].
    Forget {
        before_micros: i64,
    },
    CreateType(Arc<TypeDefinition>),
    /// Replaces a type's definition by its next version. Operations before it have put it into the columns of that type.
    AlterType(Arc<TypeDefinition>),
    DropType(ObjectId),
    /// Frees a label of a table's loads, or with `None` all of them.
    ForgetLoads {
        table: ObjectId,
        label: Option<String>,
    },
}

/// What the maker of a draft relied on, beyond what its operations show by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expectation {
    /// Rows made under this version of the table's definition fit it.
    RowsFit(u32),
    /// The definition is this version of it.
    Version(u32),
    /// These views read the relation, and no others.
    Dependents(Vec<ObjectId>),
    /// No commit after this one changed the table's rows or definition.
    Unchanged(CommitSeq),
}

/// What a writer wants to change, relative to the snapshot that it read.
#[derive(Clone, Debug)]
pub struct CommitDraft {
    pub base: Arc<Snapshot>,
    pub ops: Vec<Op>,
    /// The keys of the rows that `ops` add, for each unique constraint that could be broken.
    pub keys: Vec<AddedKeys>,
    /// What was read of tables, and must not have changed since.
    pub reads: Vec<ReadRegions>,
}

impl CommitDraft {
    pub fn new(base: Arc<Snapshot>, ops: Vec<Op>) -> Self {
        Self { base, ops, keys: Vec::new(), reads: Vec::new() }
    }

    pub fn with_keys(self, keys: Vec<AddedKeys>) -> Self {
        Self { keys, ..self }
    }

    pub fn with_reads(self, reads: Vec<ReadRegions>) -> Self {
        Self { reads, ..self }
    }
}

/// Why a draft does not fit the snapshot it is applied to. A writer may try again on a fresh snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("rows of table \"{table}\" were changed by a concurrent commit")]
    RowsChanged { table: String },
    #[error("table \"{table}\", which was read, was changed by a concurrent commit")]
    ReadChanged { table: String },
    #[error("rows with the same key were added to table \"{table}\" by a concurrent commit")]
    KeyTaken { table: String },
    #[error("what the statement uses was dropped or altered by a concurrent commit")]
    ObjectChanged(ObjectId),
    /// The same, of an object whose name is known.
    #[error("{kind} \"{name}\" was dropped or altered by a concurrent commit")]
    NamedChanged { kind: &'static str, name: String },
    #[error("relation \"{0}\" already exists")]
    NameTaken(ObjectName),
    #[error("schema \"{0}\" already exists")]
    SchemaTaken(String),
    #[error("schema \"{0}\" was dropped or is not empty")]
    SchemaChanged(String),
    #[error("view \"{view}\" depends on object {input}")]
    StillNeeded { view: ObjectName, input: ObjectId },
    #[error("the state of view {0} was changed by a concurrent fold")]
    StateChanged(ObjectId),
    #[error("a load with the label \"{0}\" was committed before")]
    LabelTaken(String),
}

impl Conflict {
    /// Says how the object that changed is called in a snapshot that has it.
    pub fn named(self, known: &Snapshot) -> Self {
        let Self::ObjectChanged(id) = self else { return self };
        let (kind, name) = match known.relation_by_id(id) {
            Some(Relation::Table(table)) => ("table", &table.definition.name),
            Some(Relation::View(view)) => (view.definition.kind(), &view.definition.name),
            Some(Relation::Sequence(sequence)) => ("sequence", &sequence.definition.name),
            None => match known.types.get(&id) {
                Some(known) => ("type", &known.name),
                None => return self,
            },
        };
        Self::NamedChanged { kind, name: name.name.clone() }
    }
}

impl Snapshot {
    /// The snapshot after `ops`, in order, as commit `seq` at `at_micros`. `self` is left as it is.
    pub fn apply(&self, seq: CommitSeq, at_micros: i64, ops: &[Op]) -> Result<Self, Conflict> {
        self.clone().into_applied(seq, at_micros, ops)
    }

    /// The same where nobody needs the snapshot before: what nobody else shares is changed in place.
    pub fn into_applied(mut self, seq: CommitSeq, at_micros: i64, ops: &[Op]) -> Result<Self, Conflict> {
        self.seq = seq;
        self.at_micros = self.at_micros.max(at_micros);
        for op in ops {
            let removable = self.removable(op);
            self.apply_one(seq, op)?;
            self.note_removed(removable, ops);
        }
        Ok(self)
    }

    fn apply_one(&mut self, seq: CommitSeq, op: &Op) -> Result<(), Conflict> {
        match op {
            Op::CreateSchema { id, name } => self.create_schema(*id, name),
            Op::DropSchema { name } => self.drop_schema(name),
            Op::CreateTable(definition) => self.create_table(seq, definition),
            Op::DropTable(id) => self.drop_table(*id),
            Op::CreateView(definition) => self.create_view(seq, definition),
            Op::AlterView(definition) => self.alter_view(definition),
            Op::DropView(id) => self.drop_view(*id),
            Op::AddSegments { table, segments } => self.change(seq, *table, |version, change| {
                insert_segments(version, seq, segments);
                change.added_segments.extend(segments.iter().cloned());
                Ok(())
            }),
            Op::AddRecent { table, id, batch } => {
                self.note_recent(*id);
                self.change(seq, *table, |version, change| {
                    push_recent(version, seq, *id, batch);
                    change.added_rows.push(batch.clone());
                    Ok(())
                })
            }
            Op::Delete { table, segments, recent } => self.change(seq, *table, |version, change| {
                delete_from_segments(version, change, segments)?;
                delete_from_recent(version, change, recent)
            }),
            Op::Truncate { table } => self.truncate(seq, *table),
            Op::Rewrite { table, remove_segments, remove_recent, add } => {
                let version = self.table_mut(*table)?;
                rewrite(version, seq, remove_segments, remove_recent, add)
            }
            Op::Fold { view, from, to, replace, segments, recent } => {
                for (id, _) in recent {
                    self.note_recent(*id);
                }
                self.fold(*view, (*from, *to), *replace, segments, recent)
            }
            Op::DropState { view } => self.drop_state(*view),
            Op::CreateSequence(definition) => self.create_sequence(definition),
            Op::AlterSequence { definition, value } => self.alter_sequence(definition, *value),
            Op::SetSequence { sequence, version, value } => self.set_sequence(*sequence, *version, *value),
            Op::DropSequence(id) => self.drop_sequence(*id),
            Op::RecordLoad(record) => Arc::make_mut(&mut self.loads).add(seq, record),
            Op::AlterTable(definition) => self.alter_table(seq, definition),
            Op::Expect { relation, that } => self.expect(*relation, that),
            Op::Forget { before_micros } => {
                Arc::make_mut(&mut self.past).forget(*before_micros);
                Ok(())
            }
            Op::CreateType(definition) => self.create_type(definition),
            Op::AlterType(definition) => self.alter_type(definition),
            Op::DropType(id) => self.drop_type(*id),
            Op::ForgetLoads { table, label } => self.forget_loads(*table, label.as_deref()),
        }
    }

    fn note_object(&mut self, id: ObjectId) {
        self.next_object = self.next_object.max(ObjectId(id.0 + 1));
    }

    fn note_recent(&mut self, id: RecentId) {
        self.next_recent = self.next_recent.max(RecentId(id.0 + 1));
    }

    fn create_schema(&mut self, id: ObjectId, name: &str) -> Result<(), Conflict> {
        if self.schemas.contains_key(name) {
            return Err(Conflict::SchemaTaken(name.to_string()));
        }
        self.note_object(id);
        Arc::make_mut(&mut self.schemas).insert(name.to_string(), id);
        Ok(())
    }

    fn drop_schema(&mut self, name: &str) -> Result<(), Conflict> {
        let used = self.names.keys().any(|object| object.schema == name)
            || self.types.values().any(|known| known.name.schema == name);
        if used || Arc::make_mut(&mut self.schemas).remove(name).is_none() {
            return Err(Conflict::SchemaChanged(name.to_string()));
        }
        Ok(())
    }

    fn take_name(&mut self, name: &ObjectName, id: ObjectId) -> Result<(), Conflict> {
        if !self.schemas.contains_key(&name.schema) {
            return Err(Conflict::SchemaChanged(name.schema.clone()));
        }
        if self.has_name(name) {
            return Err(Conflict::NameTaken(name.clone()));
        }
        self.note_object(id);
        Arc::make_mut(&mut self.names).insert(name.clone(), id);
        Ok(())
    }

    fn create_table(&mut self, seq: CommitSeq, definition: &Arc<TableDefinition>) -> Result<(), Conflict> {
        self.take_name(&definition.name, definition.id)?;
        self.take_rules(definition)?;
        self.check_types(definition)?;
        let version = TableVersion::empty(Arc::clone(definition), seq);
        Arc::make_mut(&mut self.tables).insert(definition.id, Arc::new(version));
        Ok(())
    }

    /// Takes the names of a table's indexes and the ids of all its rules. The table's older indexes are still there, if it has any.
    fn take_rules(&mut self, definition: &TableDefinition) -> Result<(), Conflict> {
        definition.checks.iter().for_each(|check| self.note_object(check.id));
        for (id, name) in definition.indexes() {
            let name = ObjectName::new(&definition.name.schema, name);
            let others = self.index_named(&name).is_some_and(|(table, _)| table.definition.id != definition.id);
            if self.names.contains_key(&name) || others {
                return Err(Conflict::NameTaken(name));
            }
            self.note_object(id);
        }
        Ok(())
    }

    fn alter_table(&mut self, seq: CommitSeq, definition: &Arc<TableDefinition>) -> Result<(), Conflict> {
        let id = definition.id;
        let version = self.table_mut(id)?;
        if version.definition.version + 1 != definition.version {
            return Err(Conflict::ObjectChanged(id));
        }
        version.changed_at = seq;
        let old = Arc::clone(&version.definition);
        self.check_known_types(definition)?;
        let same_rules = old.keys == definition.keys
            && old.checks == definition.checks
            && old.plain_indexes == definition.plain_indexes
            && old.name.schema == definition.name.schema;
        if !same_rules {
            self.take_rules(definition)?;
        }
        self.table_mut(id)?.definition = Arc::clone(definition);
        self.rename(&old.name, &definition.name, id)
    }

    fn rename(&mut self, old: &ObjectName, new: &ObjectName, id: ObjectId) -> Result<(), Conflict> {
        if old == new {
            return Ok(());
        }
        Arc::make_mut(&mut self.names).remove(old);
        self.take_name(new, id)
    }

    fn expect(&self, id: ObjectId, that: &Expectation) -> Result<(), Conflict> {
        let relation = self.relation_by_id(id).ok_or(Conflict::ObjectChanged(id))?;
        let met = match (that, relation) {
            (Expectation::RowsFit(version), Relation::Table(table)) => table.definition.rows_fit_from <= *version,
            (Expectation::Version(version), Relation::Table(table)) => table.definition.version == *version,
            (Expectation::Version(version), Relation::View(view)) => view.definition.version == *version,
            (Expectation::Unchanged(seq), Relation::Table(table)) if table.changed_at > *seq => {
                return Err(Conflict::ReadChanged { table: table.definition.name.name.clone() });
            }
            (Expectation::Unchanged(_), Relation::Table(_)) => true,
            (Expectation::Dependents(views), _) => {
                let now: BTreeSet<ObjectId> = self.dependents(id).map(|view| view.definition.id).collect();
                now == views.iter().copied().collect()
            }
            _ => false,
        };
        if met { Ok(()) } else { Err(Conflict::ObjectChanged(id)) }
    }

    fn refuse_if_needed(&self, id: ObjectId) -> Result<(), Conflict> {
        match self.dependents(id).next() {
            Some(view) => Err(Conflict::StillNeeded { view: view.definition.name.clone(), input: id }),
            None => Ok(()),
        }
    }

    fn drop_table(&mut self, id: ObjectId) -> Result<(), Conflict> {
        self.refuse_if_needed(id)?;
        self.forget_loads(id, None)?;
        let dropped = Arc::make_mut(&mut self.tables).remove(&id).ok_or(Conflict::ObjectChanged(id))?;
        Arc::make_mut(&mut self.names).remove(&dropped.definition.name);
        Ok(())
    }

    fn forget_loads(&mut self, table: ObjectId, label: Option<&str>) -> Result<(), Conflict> {
        let version = self.tables.get(&table).ok_or(Conflict::ObjectChanged(table))?;
        let name = &version.definition.name;
        if self.loads.labels_of(table, name).next().is_some() {
            Arc::make_mut(&mut self.loads).forget(table, name, label);
        }
        Ok(())
    }

    fn create_view(&mut self, seq: CommitSeq, definition: &Arc<ViewDefinition>) -> Result<(), Conflict> {
        if let Some(missing) = definition.inputs.iter().find(|input| self.relation_by_id(**input).is_none()) {
            return Err(Conflict::ObjectChanged(*missing));
        }
        self.take_name(&definition.name, definition.id)?;
        if let Some(state) = &definition.state {
            self.note_object(state.id);
        }
        let view = ViewVersion {
            definition: Arc::clone(definition),
            state: empty_state(definition, seq),
            frontier: None,
            replaced_at: CommitSeq::default(),
        };
        Arc::make_mut(&mut self.views).insert(definition.id, Arc::new(view));
        self.retune_changes(seq, &definition.inputs);
        Ok(())
    }

    /// Keeps the state where the definition keeps its hidden table, and begins another one where it does not.
    fn alter_view(&mut self, definition: &Arc<ViewDefinition>) -> Result<(), Conflict> {
        let id = definition.id;
        let seq = self.seq;
        if let Some(state) = &definition.state {
            self.note_object(state.id);
        }
        let view = self.view_mut(id)?;
        let counted = definition.version == view.definition.version + 1;
        // Definitions were not counted by earlier builds, whose log is replayed here.
        let uncounted = definition.version == 0 && view.definition.version == 0;
        if !counted && !uncounted {
            return Err(Conflict::ObjectChanged(id));
        }
        let old = std::mem::replace(&mut view.definition, Arc::clone(definition));
        if gives_other_rows(&old, definition) {
            view.replaced_at = seq;
        }
        let table = |definition: &ViewDefinition| definition.state.as_ref().map(|state| state.id);
        if table(&old) != table(definition) {
            view.state = empty_state(definition, seq);
            view.frontier = None;
        }
        if table(&old) != table(definition) || old.inputs != definition.inputs {
            let inputs: BTreeSet<ObjectId> = old.inputs.iter().chain(&definition.inputs).copied().collect();
            self.retune_changes(seq, &Vec::from_iter(inputs));
        }
        self.rename(&old.name, &definition.name, id)
    }

    fn drop_view(&mut self, id: ObjectId) -> Result<(), Conflict> {
        self.refuse_if_needed(id)?;
        let dropped = Arc::make_mut(&mut self.views).remove(&id).ok_or(Conflict::ObjectChanged(id))?;
        Arc::make_mut(&mut self.names).remove(&dropped.definition.name);
        self.retune_changes(self.seq, &dropped.definition.inputs);
        Ok(())
    }

    fn table_mut(&mut self, id: ObjectId) -> Result<&mut TableVersion, Conflict> {
        let tables = Arc::make_mut(&mut self.tables);
        tables.get_mut(&id).map(Arc::make_mut).ok_or(Conflict::ObjectChanged(id))
    }

    fn view_mut(&mut self, id: ObjectId) -> Result<&mut ViewVersion, Conflict> {
        let views = Arc::make_mut(&mut self.views);
        views.get_mut(&id).map(Arc::make_mut).ok_or(Conflict::ObjectChanged(id))
    }

    /// Changes the rows of a table and keeps what changed where a view needs it. All operations of one commit on one
    /// table share one change.
    fn change(
        &mut self,
        seq: CommitSeq,
        table: ObjectId,
        body: impl FnOnce(&mut TableVersion, &mut TableChange) -> Result<(), Conflict>,
    ) -> Result<(), Conflict> {
        let version = self.table_mut(table)?;
        version.changed_at = seq;
        let tracked = version.changes_from.is_some();
        let is_open = tracked && version.changes.last().is_some_and(|last| last.seq == seq);
        let open = if is_open { version.changes.pop() } else { None };
        let mut change = open.map_or_else(|| TableChange { seq, ..TableChange::default() }, Arc::unwrap_or_clone);
        body(version, &mut change)?;
        if tracked {
            version.changes.push(Arc::new(change));
            let kept = version.changes.len();
            if kept > BUILD_CHANGES_MAX && kept > self.changes_max(table) {
                self.forget_backlog(table)?;
            }
        }
        Ok(())
    }

    /// Views that have a state hold more changes than those that are without one.
    fn changes_max(&self, table: ObjectId) -> usize {
        let held = self.dependents(table).any(|view| view.frontier.is_some());
        if held { CHANGES_MAX } else { BUILD_CHANGES_MAX }
    }

    /// Drops the older half of a table's changes, and with it the states that still needed them.
    fn forget_backlog(&mut self, table: ObjectId) -> Result<(), Conflict> {
        let version = self.table_mut(table)?;
        let spare = version.changes.len() / 2;
        let from = spare.checked_sub(1).and_then(|last| version.changes.get(last)).map(|change| change.seq);
        version.changes.retain(|change| Some(change.seq) > from);
        version.changes_from = from;
        let late: Vec<ObjectId> = self
            .dependents(table)
            .filter(|view| view.frontier.is_some() && view.frontier < from)
            .map(|view| view.definition.id)
            .collect();
        late.into_iter().try_for_each(|view| self.drop_state(view))
    }

    fn truncate(&mut self, seq: CommitSeq, table: ObjectId) -> Result<(), Conflict> {
        let version = self.table_mut(table)?;
        version.segments = Arc::default();
        version.recent = SharedList::default();
        version.changed_at = seq;
        if version.changes_from.is_some() {
            let change = TableChange { seq, truncated: true, ..TableChange::default() };
            version.changes = SharedList::from_iter([Arc::new(change)]);
        }
        Ok(())
    }

    fn fold(
        &mut self,
        id: ObjectId,
        (from, to): (Option<CommitSeq>, CommitSeq),
        replace: bool,
        segments: &[Arc<SegmentMeta>],
        recent: &[(RecentId, RecordBatch)],
    ) -> Result<(), Conflict> {
        let inputs = self.view_mut(id)?.definition.inputs.clone();
        for input in &inputs {
            let table = self.tables.get(input).ok_or(Conflict::ObjectChanged(*input))?;
            if table.changes_since(to).is_none() {
                return Err(Conflict::StateChanged(id));
            }
        }
        let view = self.view_mut(id)?;
        let state = view.state.as_mut().ok_or(Conflict::StateChanged(id))?;
        if view.frontier != from {
            return Err(Conflict::StateChanged(id));
        }
        if replace {
            state.segments = Arc::default();
            state.recent = SharedList::default();
        }
        insert_segments(state, to, segments);
        for (recent_id, batch) in recent {
            push_recent(state, to, *recent_id, batch);
        }
        state.changed_at = to;
        view.frontier = Some(to);
        self.retune_changes(to, &inputs);
        Ok(())
    }

    fn drop_state(&mut self, id: ObjectId) -> Result<(), Conflict> {
        let seq = self.seq;
        let view = self.view_mut(id)?;
        view.state = empty_state(&view.definition, seq);
        view.frontier = None;
        let inputs = view.definition.inputs.clone();
        self.retune_changes(seq, &inputs);
        Ok(())
    }

    /// Starts, trims or stops keeping changes of `inputs` after the views over them changed. A view without a frontier may be in the
    /// making against a recent snapshot; for it the last [`BUILD_CHANGES_MAX`] changes stay.
    fn retune_changes(&mut self, seq: CommitSeq, inputs: &[ObjectId]) {
        for input in inputs {
            let Some(table) = self.tables.get(input) else { continue };
            let needing: Vec<Option<CommitSeq>> =
                self.dependents(*input).filter(|view| view.state.is_some()).map(|view| view.frontier).collect();
            let mut version = TableVersion::clone(table);
            let building = needing.iter().any(Option::is_none);
            let spare = version.changes.len().saturating_sub(BUILD_CHANGES_MAX);
            let newest_spare = spare.checked_sub(1).and_then(|last| version.changes.get(last));
            let newest_spare = newest_spare.map(|change| change.seq).or(version.changes_from);
            let held = needing.iter().flatten().copied().min();
            let oldest = match (held, building) {
                (held, false) => held,
                (None, true) => newest_spare,
                (Some(held), true) => newest_spare.map(|spare| spare.min(held)),
            };
            if needing.is_empty() {
                version.changes = SharedList::default();
                version.changes_from = None;
            } else if version.changes_from.is_none() {
                version.changes_from = Some(seq);
            } else if let Some(oldest) = oldest.filter(|oldest| Some(*oldest) > version.changes_from) {
                if version.changes.first().is_some_and(|change| change.seq <= oldest) {
                    version.changes.retain(|change| change.seq > oldest);
                }
                version.changes_from = Some(oldest);
            }
            Arc::make_mut(&mut self.tables).insert(*input, Arc::new(version));
        }
    }
}

/// A state without rows, for the views that have one.
pub(crate) fn empty_state(definition: &ViewDefinition, seq: CommitSeq) -> Option<TableVersion> {
    let state = definition.state.as_ref()?;
    Some(TableVersion::empty(Arc::new(state.clone()), seq))
}

/// Whether a definition gives other rows, or none, than an earlier one may have given. Names and states do not matter.
fn gives_other_rows(before: &ViewDefinition, now: &ViewDefinition) -> bool {
    (&before.query, &before.columns, before.populated) != (&now.query, &now.columns, now.populated)
}

#[cfg(test)]
mod tests;
