//! Temporary objects: the relations of one session, which nobody else sees and no log has.
//!
//! They stand in a schema of their own, which is laid over each snapshot that the session reads. So an operation means for
//! them what it means for any other relation, and a transaction that is rolled back leaves them as they were:
//!
//!     committed ──lay_over──▶ what the session reads ──apply(its operations)──▶ after its transaction
//!         ▲                                                                        │
//!         └────── commit ◀── permanent(operations)      TemporaryObjects ◀──taken_from──┘
//!
//! Nothing that is committed refers to them: whoever makes drafts sees to that, and [`TemporaryObjects::permanent`] takes what
//! concerns them out of a transaction's operations. Other sessions do not know of them either, so a temporary view cannot follow what
//! those do to its inputs. Such a view is *outdated*, and must not be read.

use crate::definition::{Column, ObjectName, TableDefinition, ViewDefinition};
use crate::draft::{Expectation, Op};
use crate::ids::ObjectId;
use crate::sequence::SequenceVersion;
use crate::snapshot::{Relation, Snapshot, TableVersion, ViewVersion};
use crate::user_type::{user_type_of, with_user_type};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the names of such schemas begin with, and those of no others.
pub const SCHEMA_PREFIX: &str = "pg_temp_";

/// The schema of a session's temporary objects, as its snapshots have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemporarySchema {
    pub name: String,
    /// The views that read what another session has changed since.
    pub outdated: BTreeSet<ObjectId>,
}

/// Whether a schema is for the temporary objects of some session.
pub fn is_temporary_schema(schema: &str) -> bool {
    schema.starts_with(SCHEMA_PREFIX)
}

/// What becomes of a table at the end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCommit {
    DeleteRows,
    Drop,
}

type Names = Arc<BTreeMap<ObjectName, ObjectId>>;

/// The versions of a view's inputs at which it was bound.
type Bound = Vec<(ObjectId, u32)>;

/// All temporary objects of a session.
#[derive(Clone, Debug)]
pub struct TemporaryObjects {
    schema: ObjectName,
    schema_id: ObjectId,
    names: BTreeMap<ObjectName, ObjectId>,
    tables: BTreeMap<ObjectId, Arc<TableVersion>>,
    views: BTreeMap<ObjectId, (Arc<ViewVersion>, Bound)>,
    sequences: BTreeMap<ObjectId, Arc<SequenceVersion>>,
    on_commit: BTreeMap<ObjectId, OnCommit>,
    /// The last committed names and what became of them, so that who remembers names finds the same ones again.
    laid: Arc<Mutex<Option<(Names, Names)>>>,
}

impl TemporaryObjects {
    /// An empty schema.
    pub fn new(schema: &str, schema_id: ObjectId) -> Self {
        Self {
            schema: ObjectName::new(schema, ""),
            schema_id,
            names: BTreeMap::new(),
            tables: BTreeMap::new(),
            views: BTreeMap::new(),
            sequences: BTreeMap::new(),
            on_commit: BTreeMap::new(),
            laid: Arc::default(),
        }
    }

    pub fn schema(&self) -> &str {
        &self.schema.schema
    }

    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableVersion>> {
        self.tables.values()
    }

    pub fn has_sequence(&self, id: ObjectId) -> bool {
        self.sequences.contains_key(&id)
    }

    /// The tables of which something becomes at the end of a transaction.
    pub fn on_commit(&self) -> impl Iterator<Item = (ObjectId, OnCommit)> {
        self.on_commit.iter().map(|(table, what)| (*table, *what))
    }

    fn contains(&self, id: ObjectId) -> bool {
        self.tables.contains_key(&id) || self.views.contains_key(&id) || self.sequences.contains_key(&id)
    }

    /// A committed snapshot as the session sees it.
    pub fn lay_over(&self, committed: &Snapshot) -> Snapshot {
        self.laid_over(committed, |table| with_types(table, committed))
    }

    fn laid_over(&self, committed: &Snapshot, shown: impl Fn(&Arc<TableVersion>) -> Arc<TableVersion>) -> Snapshot {
        let mut laid = committed.clone();
        Arc::make_mut(&mut laid.schemas).insert(self.schema().to_string(), self.schema_id);
        laid.names = self.names_over(&committed.names);
        if !self.tables.is_empty() {
            let tables = self.tables.iter().map(|(id, table)| (*id, shown(table)));
            Arc::make_mut(&mut laid.tables).extend(tables);
        }
        if !self.sequences.is_empty() {
            let sequences = self.sequences.iter().map(|(id, sequence)| (*id, Arc::clone(sequence)));
            Arc::make_mut(&mut laid.sequences).extend(sequences);
        }
        let mut outdated = BTreeSet::new();
        if !self.views.is_empty() {
            let views = self.views.iter().map(|(id, (view, _))| (*id, Arc::clone(view)));
            Arc::make_mut(&mut laid.views).extend(views);
            let changed = self.views.iter().filter(|(_, (view, bound))| *bound != bound_to(&laid, &view.definition));
            outdated.extend(changed.map(|(id, _)| *id));
        }
        laid.temporary = Some(Arc::new(TemporarySchema { name: self.schema().to_string(), outdated }));
        laid
    }

    fn names_over(&self, committed: &Names) -> Names {
        let mut laid = self.laid.lock();
        if let Some((before, after)) = laid.as_ref()
            && Arc::ptr_eq(before, committed)
        {
            return Arc::clone(after);
        }
        let mut names = BTreeMap::clone(committed);
        names.extend(self.names.iter().map(|(name, id)| (name.clone(), *id)));
        let names = Arc::new(names);
        *laid = Some((Arc::clone(committed), Arc::clone(&names)));
        names
    }

    /// The objects as they are in a snapshot that operations made of one which they were laid over. `on_commit` says more of tables than
    /// is known already.
    pub fn taken_from(&self, after: &Snapshot, on_commit: &BTreeMap<ObjectId, OnCommit>) -> Self {
        let inside = after.names.range(self.schema.clone()..).take_while(|(name, _)| name.schema == self.schema());
        let names: BTreeMap<ObjectName, ObjectId> = inside.map(|(name, id)| (name.clone(), *id)).collect();
        let outdated = after.temporary.as_ref().map(|schema| &schema.outdated);
        let mut taken = Self::new(self.schema(), self.schema_id);
        for id in names.values() {
            match after.relation_by_id(*id) {
                Some(Relation::Table(table)) => drop(taken.tables.insert(*id, Arc::clone(table))),
                Some(Relation::View(view)) => {
                    let known = self.views.get(id).filter(|_| outdated.is_some_and(|outdated| outdated.contains(id)));
                    let bound = known.map_or_else(|| bound_to(after, &view.definition), |(_, bound)| bound.clone());
                    taken.views.insert(*id, (Arc::clone(view), bound));
                }
                Some(Relation::Sequence(sequence)) => drop(taken.sequences.insert(*id, Arc::clone(sequence))),
                None => {}
            }
        }
        let known = self.on_commit.iter().chain(on_commit).filter(|(table, _)| taken.tables.contains_key(table));
        taken.on_commit = known.map(|(table, what)| (*table, *what)).collect();
        if names == self.names {
            taken.laid = Arc::clone(&self.laid);
        }
        taken.names = names;
        taken
    }

    /// The objects after operations that concern nothing else.
    pub fn applied(&self, ops: &[Op]) -> Result<Self, crate::draft::Conflict> {
        let alone = self.laid_over(&Snapshot::empty(), Arc::clone);
        let seq = alone.seq;
        Ok(self.taken_from(&alone.into_applied(seq, 0, ops)?, &BTreeMap::new()))
    }

    /// Of a transaction's operations those that are for the catalog. What is only expected of other relations is left out where
    /// nothing else is there: who changes none of them could have run before they changed.
    pub fn permanent(&self, ops: Vec<Op>) -> Vec<Op> {
        let own = self.among(&ops);
        let ops = ops.into_iter().filter(|op| op.relation().is_none_or(|id| !own.contains(&id)));
        let mut ops: Vec<Op> = ops.collect();
        if ops.iter().all(|op| matches!(op, Op::Expect { .. })) {
            return Vec::new();
        }
        for op in &mut ops {
            if let Op::Expect { that: Expectation::Dependents(views), .. } = op {
                views.retain(|view| !own.contains(view) && !self.contains(*view));
            }
        }
        ops
    }

    /// The temporary relations that operations are about.
    pub fn among(&self, ops: &[Op]) -> BTreeSet<ObjectId> {
        let created = ops.iter().filter_map(|op| match op {
            Op::CreateTable(definition) => Some((&definition.name, definition.id)),
            Op::CreateView(definition) => Some((&definition.name, definition.id)),
            Op::CreateSequence(definition) => Some((&definition.name, definition.id)),
            _ => None,
        });
        let created = created.filter(|(name, _)| name.schema == self.schema()).map(|(_, id)| id);
        created.chain(ops.iter().filter_map(Op::relation).filter(|id| self.contains(*id))).collect()
    }
}

impl Op {
    /// The table, view or sequence that the operation changes or expects something of.
    pub fn relation(&self) -> Option<ObjectId> {
        match self {
            Self::CreateTable(definition) | Self::AlterTable(definition) => Some(definition.id),
            Self::CreateView(definition) | Self::AlterView(definition) => Some(definition.id),
            Self::CreateSequence(definition) | Self::AlterSequence { definition, .. } => Some(definition.id),
            Self::DropTable(id) | Self::DropView(id) | Self::DropSequence(id) => Some(*id),
            Self::AddSegments { table, .. }
            | Self::AddRecent { table, .. }
            | Self::Delete { table, .. }
            | Self::Truncate { table }
            | Self::ForgetLoads { table, .. }
            | Self::Rewrite { table, .. } => Some(*table),
            Self::Fold { view, .. } | Self::DropState { view } => Some(*view),
            Self::SetSequence { sequence, .. } => Some(*sequence),
            Self::Expect { relation, .. } => Some(*relation),
            Self::CreateSchema { .. }
            | Self::DropSchema { .. }
            | Self::RecordLoad(_)
            | Self::Forget { .. }
            | Self::CreateType(_)
            | Self::AlterType(_)
            | Self::DropType(_) => None,
        }
    }
}

impl Snapshot {
    /// Whether a name is one of the session's temporary objects.
    pub fn is_temporary(&self, name: &ObjectName) -> bool {
        self.temporary.as_ref().is_some_and(|schema| schema.name == name.schema)
    }
}

fn bound_to(snapshot: &Snapshot, view: &ViewDefinition) -> Bound {
    let version = |input: &ObjectId| match snapshot.relation_by_id(*input)? {
        Relation::Table(table) => Some((*input, table.definition.version)),
        Relation::View(view) => Some((*input, view.definition.version)),
        Relation::Sequence(_) => None,
    };
    view.inputs.iter().filter_map(version).collect()
}

/// A table whose columns have the user's types as they are now; what was dropped stays as the table knows it.
fn with_types(table: &Arc<TableVersion>, committed: &Snapshot) -> Arc<TableVersion> {
    let now = |column: &Column| {
        let known = committed.types.get(&user_type_of(&column.sql_type)?)?;
        with_user_type(&column.sql_type, known).filter(|now| *now != column.sql_type)
    };
    let lost = |column: &Column| column.domain.as_ref().is_some_and(|domain| !committed.types.contains_key(&domain.id));
    let definition = &table.definition;
    if definition.columns.iter().all(|column| now(column).is_none() && !lost(column)) {
        return Arc::clone(table);
    }
    let mut next = TableDefinition { version: definition.version + 1, ..TableDefinition::clone(definition) };
    for column in &mut next.columns {
        column.sql_type = now(column).unwrap_or_else(|| column.sql_type.clone());
        // A domain that another session dropped has no rules any more; its values stay.
        if lost(column) {
            column.domain = None;
        }
    }
    Arc::new(TableVersion { definition: Arc::new(next), ..TableVersion::clone(table) })
}

#[cfg(test)]
mod tests;
