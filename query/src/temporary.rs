//! Temporary relations of a session: where they are made, what the end of a transaction makes of them, and where they end.
//!
//! A session has one schema for them, `pg_temp_N`, from the first one on. Its objects are laid over each snapshot that the session
//! reads (`catalog::temporary`), so every statement treats them like all others; what a transaction did to them comes back here when
//! it commits, and not to the log. Segments of theirs are files like all others too. They go with the last who can read them,
//! and at the next start at the latest, as no commit names them.
//!
//! Recent rows are folded by the session's own commits, because the background does not see them. Their memory is accounted to the
//! process's budget; where it has no room they become segments at once.

use crate::definitions::new_name;
use crate::dropping::drops_of;
use crate::engine::{Engine, conflict_error, storage_error};
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::execution::joined;
use crate::planner::Planning;
use crate::response::{CommandTag, Response};
use crate::sequences::{OwnNumbers, SessionNumbers};
use crate::session::Session;
use crate::statement::{Discarded, StatementKind};
use crate::statement_grammar::fold;
use crate::transaction::Change;
use catalog::definition::{Column, ObjectName, TableDefinition};
use catalog::draft::Op;
use catalog::ids::ObjectId;
use catalog::sequence::numbering_sequence;
use catalog::snapshot::Snapshot;
use catalog::temporary::{OnCommit, SCHEMA_PREFIX, TemporaryObjects};
use catalog::user_type::TypeKind;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use storage::rewrite::RewritePlan;

/// The name by which a session calls its own schema.
pub(crate) const ALIAS: &str = "pg_temp";
/// Memory for what a rewrite of recent rows gathers.
const REWRITE_BYTES: usize = 64 * 1024 * 1024;

/// The numbers of temporary schemas that sessions have.
#[derive(Debug, Default)]
pub(crate) struct SchemaNumbers(Mutex<BTreeSet<u32>>);

impl SchemaNumbers {
    fn take(&self) -> u32 {
        let mut taken = self.0.lock();
        let number = (1..).find(|number| !taken.contains(number)).unwrap_or(u32::MAX);
        taken.insert(number);
        number
    }
}

/// A session's temporary objects, as they are when no transaction is open, or as its open one found them.
#[derive(Debug)]
pub(crate) struct Temporary {
    pub objects: TemporaryObjects,
    /// The committed snapshot that they were last laid over, and what became of it.
    laid: Mutex<(Weak<Snapshot>, Weak<Snapshot>)>,
}

impl Temporary {
    fn new(objects: TemporaryObjects) -> Arc<Self> {
        Arc::new(Self { objects, laid: Mutex::default() })
    }

    /// A committed snapshot with the objects; the same one again as long as anybody has it.
    pub(crate) fn lay_over(&self, committed: &Arc<Snapshot>) -> Arc<Snapshot> {
        let mut laid = self.laid.lock();
        if let (Some(before), Some(after)) = (laid.0.upgrade(), laid.1.upgrade())
            && Arc::ptr_eq(&before, committed)
        {
            return after;
        }
        let after = Arc::new(self.objects.lay_over(committed));
        *laid = (Arc::downgrade(committed), Arc::downgrade(&after));
        after
    }

    /// Whether a snapshot is a committed one with the objects and nothing else.
    pub(crate) fn is_laid(&self, snapshot: &Arc<Snapshot>) -> bool {
        std::ptr::eq(self.laid.lock().1.as_ptr(), Arc::as_ptr(snapshot))
    }
}

/// What a session keeps of its temporary objects. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct TemporarySpace {
    engine: Arc<Engine>,
    number: u32,
    pub current: Arc<Temporary>,
    /// How far sequences have come. A number that was given stays given when its transaction is rolled back.
    pub numbers: Arc<Mutex<OwnNumbers>>,
    /// Of the recent rows.
    memory: MemoryReservation,
}

impl TemporarySpace {
    fn new(engine: &Arc<Engine>) -> Self {
        let number = engine.temporary_schemas.take();
        let objects = TemporaryObjects::new(&format!("{SCHEMA_PREFIX}{number}"), engine.catalog.allocate_object());
        let memory = MemoryConsumer::new("temporary tables").register(&engine.memory_pool());
        Self { engine: Arc::clone(engine), number, current: Temporary::new(objects), numbers: Arc::default(), memory }
    }

    /// Goes on with what a transaction has made of the objects. It is done by then, so what fails here waits for the next one.
    pub(crate) async fn replace(&mut self, objects: TemporaryObjects) {
        self.numbers.lock().retain(|(sequence, _), _| objects.has_sequence(*sequence));
        self.current = Temporary::new(objects);
        self.rewrite(false).await;
        if self.memory.try_resize(self.recent_bytes()).is_err() {
            self.rewrite(true).await;
            self.memory.resize(self.recent_bytes());
        }
    }

    fn recent_bytes(&self) -> usize {
        let recent = self.current.objects.tables().flat_map(|table| table.recent.iter());
        recent.map(|recent| recent.batch.get_array_memory_size()).sum()
    }

    /// Folds recent rows and merges segments where that is due, or all recent rows.
    async fn rewrite(&mut self, force: bool) {
        let tables = self.current.objects.tables();
        let plans: Vec<_> = tables.flat_map(|table| storage::rewrite::choose(table, force, None)).collect();
        for plan in plans {
            if let Err(error) = self.rewrite_one(plan).await {
                return tracing::warn!(%error, "rows of a temporary table could not be rewritten");
            }
        }
    }

    async fn rewrite_one(&mut self, plan: RewritePlan) -> Result<(), QueryError> {
        let table = plan.definition.id;
        let (remove_segments, remove_recent) = (plan.remove_segments(), plan.remove_recent());
        let worker = Arc::clone(&self.engine);
        let fold = move || storage::rewrite::fold(&worker.store, &plan, REWRITE_BYTES).map_err(storage_error);
        let staged = joined(self.engine.compute().spawn_blocking(fold).await)?;
        let add = staged.metas();
        self.engine.catalog.adopt(&add);
        staged.keep();
        let rewrite = Op::Rewrite { table, remove_segments, remove_recent, add };
        self.current = Temporary::new(self.current.objects.applied(&[rewrite]).map_err(conflict_error)?);
        Ok(())
    }
}

impl Drop for TemporarySpace {
    fn drop(&mut self) {
        self.engine.temporary_schemas.0.lock().remove(&self.number);
    }
}

/// What the end of a transaction does to tables that were declared with ON COMMIT.
pub(crate) fn ends(known: &TemporaryObjects, more: &BTreeMap<ObjectId, OnCommit>, after: &Snapshot) -> Vec<Op> {
    let more = more.iter().map(|(table, what)| (*table, *what));
    let tables = known.on_commit().chain(more).filter_map(|(id, what)| Some((after.tables.get(&id)?, id, what)));
    let (mut emptied, mut dropped) = (Vec::new(), Vec::new());
    for (version, table, what) in tables {
        match what {
            OnCommit::DeleteRows if version.rows_live() > 0 => emptied.push(Op::Truncate { table }),
            OnCommit::DeleteRows => {}
            OnCommit::Drop => dropped.push(table),
        }
    }
    emptied.extend(drops_of(after, &dropped));
    emptied
}

/// The name of a relation that a statement is about to make, and the planning that knows its schema. `temporary` is what the
/// statement says.
pub(crate) fn new_relation(
    session: &mut Session,
    name: &ast::ObjectName,
    temporary: bool,
) -> Result<(Arc<Planning>, ObjectName), QueryError> {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
    let schema = parts.len().checked_sub(2).map(|at| parts[at].as_str());
    let first = session.settings.search_path().into_iter().next();
    if temporary || schema == Some(ALIAS) || (schema.is_none() && first.as_deref() == Some(ALIAS)) {
        begin(session);
    }
    let planning = session.planning()?;
    let name = if temporary { temporary_name(&planning, name)? } else { new_name(&planning, name)? };
    Ok((planning, name))
}

/// The name for a new relation that is temporary.
pub(crate) fn temporary_name(planning: &Planning, name: &ast::ObjectName) -> Result<ObjectName, QueryError> {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
    let own = planning.snapshot.temporary.as_ref().map_or("", |schema| schema.name.as_str());
    let schema = parts.len().checked_sub(2).map(|at| parts[at].as_str());
    if schema.is_some_and(|schema| schema != ALIAS && schema != own) {
        let message = "cannot create temporary relation in non-temporary schema";
        return Err(QueryError::new(ErrorKind::InvalidTableDefinition, message));
    }
    Ok(ObjectName::new(own, parts.last().map_or("", String::as_str)))
}

/// Gives the session a schema for temporary objects, if it has none yet. It stays for as long as the session.
fn begin(session: &mut Session) {
    if session.temporary.is_none() {
        let space = TemporarySpace::new(&session.engine);
        session.temporary = Some(space);
    }
    session.share_temporary();
}

/// Refuses what a temporary table cannot have, or another, and notes what becomes of it when its transaction commits.
pub(crate) fn settle(
    session: &mut Session,
    planning: &Planning,
    create: &ast::CreateTable,
    definition: &TableDefinition,
) -> Result<(), QueryError> {
    let is_temporary = planning.snapshot.is_temporary(&definition.name);
    if is_temporary && definition.retention.is_some() {
        return Err(refused_retention());
    }
    let what = match &create.on_commit {
        None => return Ok(()),
        Some(_) if !is_temporary => {
            let message = "ON COMMIT can only be used on temporary tables";
            return Err(QueryError::new(ErrorKind::InvalidTableDefinition, message));
        }
        Some(ast::OnCommit::PreserveRows) => return Ok(()),
        Some(ast::OnCommit::DeleteRows) => OnCommit::DeleteRows,
        Some(ast::OnCommit::Drop) => OnCommit::Drop,
    };
    if let Some(transaction) = &mut session.transaction {
        transaction.on_commit.insert(definition.id, what);
    }
    Ok(())
}

pub(crate) fn refused_retention() -> QueryError {
    QueryError::unsupported("a retention for a temporary table").hint("Delete its rows.")
}

/// What CREATE GLOBAL TEMPORARY TABLE is told.
pub(crate) fn warn_global(session: &mut Session, create: &ast::CreateTable) {
    if create.temporary && create.global == Some(true) {
        let message = "GLOBAL is deprecated in temporary table creation";
        session.notice(NoticeSeverity::Warning, message);
    }
}

/// A table or domain that everybody sees must not take numbers of a sequence that only this session has.
pub(crate) fn refuse_temporary_numbers(snapshot: &Snapshot, ops: &[Op]) -> Result<(), QueryError> {
    if snapshot.temporary.is_none() {
        return Ok(());
    }
    for op in ops {
        let (what, defaults): (_, Vec<Cow<'_, str>>) = match op {
            Op::CreateTable(definition) | Op::AlterTable(definition) if !snapshot.is_temporary(&definition.name) => {
                ("table", definition.columns.iter().filter_map(Column::missing_value).collect())
            }
            Op::CreateType(definition) | Op::AlterType(definition) => match &definition.kind {
                TypeKind::Domain(domain) => ("domain", domain.default.iter().map(Cow::from).collect()),
                TypeKind::Enum { .. } => continue,
            },
            _ => continue,
        };
        let numbers = defaults.iter().filter_map(|default| numbering_sequence(default));
        let mut taken = numbers.filter_map(|sequence| snapshot.sequences.get(&sequence));
        if let Some(sequence) = taken.find(|sequence| snapshot.is_temporary(&sequence.definition.name)) {
            let name = &sequence.definition.name.name;
            return Err(QueryError::unsupported(format!("a default of a {what} from temporary sequence \"{name}\""))
                .hint("Create the sequence without TEMPORARY."));
        }
    }
    Ok(())
}

/// Views that everybody sees do not read what only this session has.
pub(crate) fn reads_temporary(snapshot: &Snapshot, inputs: &[ObjectId]) -> bool {
    snapshot.temporary.as_ref().is_some_and(|schema| {
        let inside = snapshot.names.range(ObjectName::new(&schema.name, "")..);
        let mut inside = inside.take_while(|(name, _)| name.schema == schema.name);
        inside.any(|(_, id)| inputs.contains(id))
    })
}

/// Whether a statement changes rows of a temporary table and nothing else, which a transaction may do that only reads.
pub(crate) fn writes_temporary(session: &mut Session, kind: &StatementKind) -> Result<bool, QueryError> {
    let name = match kind {
        StatementKind::Insert(insert, _) => match &insert.table {
            ast::TableObject::TableName(name) => Some(name),
            _ => None,
        },
        StatementKind::Modify(modification) => modification.table_name(),
        _ => None,
    };
    let Some(name) = name.filter(|_| session.temporary.is_some()) else { return Ok(false) };
    let planning = session.planning()?;
    Ok(planning.snapshot.is_temporary(&planning.object_name(name)?))
}

/// Refuses to move a relation into the schema of temporary ones or out of it.
pub(crate) fn refuse_move(snapshot: &Snapshot, from: &ObjectName, to: &ObjectName) -> Result<(), QueryError> {
    let moves = from.schema != to.schema;
    if moves && (to.schema == ALIAS || snapshot.is_temporary(from) || snapshot.is_temporary(to)) {
        let message = "cannot move objects into or out of temporary schemas";
        return Err(QueryError::new(ErrorKind::FeatureNotSupported, message));
    }
    Ok(())
}

/// 55000: a temporary view reads what another session has changed.
pub(crate) fn outdated(view: &ObjectName) -> QueryError {
    let message = format!("temporary view \"{}\" reads relations that another session has changed", view.name);
    QueryError::new(ErrorKind::ObjectNotReady, message).hint("Drop the view and create it again.")
}

/// DISCARD.
pub(crate) fn discard(session: &mut Session, what: Discarded) -> Result<Response, QueryError> {
    if what == Discarded::All && session.in_transaction_block() {
        let message = "DISCARD ALL cannot run inside a transaction block";
        return Err(QueryError::new(ErrorKind::ActiveTransaction, message));
    }
    let all = what == Discarded::All;
    if all {
        session.settings.reset_all();
        session.cursors.clear();
        session.prepared.lock().clear();
        session.announcements.lock().unlisten(None);
    }
    if all || what == Discarded::Sequences {
        *session.numbers.lock() = SessionNumbers::default();
    }
    if (all || what == Discarded::Temporary) && session.temporary.is_some() {
        drop_all(session)?;
    }
    Ok(Response::Command(CommandTag::Plain(match what {
        Discarded::All => "DISCARD ALL",
        Discarded::Plans => "DISCARD PLANS",
        Discarded::Sequences => "DISCARD SEQUENCES",
        Discarded::Temporary => "DISCARD TEMP",
    })))
}

fn drop_all(session: &mut Session) -> Result<(), QueryError> {
    let planning = session.planning()?;
    let snapshot = &planning.snapshot;
    let inside = snapshot.names.iter().filter(|(name, _)| snapshot.is_temporary(name));
    let doomed: Vec<ObjectId> = inside.map(|(_, id)| *id).collect();
    session.add_change(Change::of(drops_of(snapshot, &doomed)))
}
