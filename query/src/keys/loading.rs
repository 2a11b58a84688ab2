//! COPY … ON_CONFLICT: rows whose key is there already are ignored, or take the place of the row that has it.
//!
//!     rows ─▶ admit: a new key                             ─▶ intake
//!                    ignore: the table or the load has it  ─▶ left out
//!                    update: an earlier row has it         ─▶ later, in memory, the last of each key
//!     end  ─▶ update: rows of the table go whose key the load has, and rows of the load that have a later one;
//!                     the later ones are taken in
//!
//! What is remembered of each row is its key, once (`loaded_rows`). Memory for it and for later rows counts against the budget of the process. IGNORE asks the
//! table as it was when the load began: a key that somebody else adds meanwhile is a conflict. UPDATE asks it at the end.

use super::check::{Check, KeyFailure, already_exists, parts_added, parts_of, version_seen};
use super::index::Part;
use super::loaded_rows::{KnownKeys, LaterRows};
use super::log::KeyLog;
use super::shape::{KeyShape, internal};
use super::upsert::{KeyBytes, keys_of, taken_places};
use crate::copy_format::OnConflict;
use crate::engine::{Engine, conflict_error};
use crate::error::{ErrorKind, QueryError};
use crate::execution::joined;
use crate::intake::{Intake, Taken};
use crate::modify::delete_op;
use crate::planner::Planning;
use crate::session::Session;
use crate::transaction::{Change, NewKeys};
use crate::types::OutputStyle;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::not;
use catalog::definition::TableDefinition;
use catalog::draft::{Conflict, Op};
use catalog::segment::DeletionVector;
use catalog::snapshot::Snapshot;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a load does with rows whose key is taken, and what it has seen.
pub(crate) struct LoadedKeys {
    engine: Arc<Engine>,
    definition: Arc<TableDefinition>,
    action: OnConflict,
    /// The keys that decide, with those of the rows that were admitted.
    arbiters: Vec<(Arc<KeyShape>, KnownKeys)>,
    /// The table as it was when the load began.
    parts: Vec<Part>,
    later: LaterRows,
    /// Rows that were left out, or gave way to a later one.
    left_out: u64,
}

impl LoadedKeys {
    pub(crate) fn new(
        engine: &Arc<Engine>,
        planning: &Planning,
        definition: &Arc<TableDefinition>,
        action: OnConflict,
    ) -> Result<Self, QueryError> {
        let mut shapes = KeyShape::of_table(definition)?;
        if shapes.is_empty() {
            let message = format!("ON_CONFLICT needs a key, and table \"{}\" has none", definition.name.name);
            return Err(QueryError::new(ErrorKind::InvalidColumnReference, message)
                .hint("Give the table a PRIMARY KEY or a UNIQUE constraint."));
        }
        if action == OnConflict::Update {
            if shapes.len() > 1 {
                shapes.retain(|shape| shape.key.primary);
            }
            if shapes.is_empty() {
                let table = &definition.name.name;
                let message = format!("ON_CONFLICT update cannot choose among the keys of table \"{table}\"");
                return Err(QueryError::new(ErrorKind::InvalidColumnReference, message)
                    .hint("Make one of them the PRIMARY KEY."));
            }
        }
        planning.note_read(definition.id);
        let version = planning.snapshot.tables.get(&definition.id);
        let parts = version.filter(|_| action == OnConflict::Ignore).map_or_else(Vec::new, |version| parts_of(version));
        let pool = engine.memory_pool();
        Ok(Self {
            engine: Arc::clone(engine),
            definition: Arc::clone(definition),
            action,
            arbiters: shapes.into_iter().map(|shape| (shape, KnownKeys::new(&pool))).collect(),
            parts,
            later: LaterRows::new(&pool),
            left_out: 0,
        })
    }

    /// Which rows of a batch go on; `None` where all do. The others are left out, or taken in at the end. CPU-bound, and it may read.
    pub(crate) fn admit(&mut self, batch: &RecordBatch) -> Result<Option<BooleanArray>, QueryError> {
        let keys = self.arbiters.iter().map(|(shape, _)| keys_of(shape, &shape.columns_of(batch)));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let admitted = match self.action {
            OnConflict::Ignore => self.admit_new(batch, &keys)?,
            OnConflict::Update => self.admit_first(&keys)?,
        };
        let others = batch.num_rows() - admitted.true_count();
        if others == 0 {
            return Ok(None);
        }
        self.left_out += others as u64;
        if self.action == OnConflict::Update {
            let others = not(&admitted).map_err(internal)?;
            self.later.keep(batch, &others, &keys[0])?;
        }
        Ok(Some(admitted))
    }

    /// Rows whose keys neither the table has nor a row that was admitted.
    fn admit_new(&mut self, batch: &RecordBatch, keys: &[Vec<Option<KeyBytes>>]) -> Result<BooleanArray, QueryError> {
        let taken = self.arbiters.iter().map(|(shape, _)| taken_places(&self.engine, &self.parts, shape, batch));
        let taken = taken.collect::<Result<Vec<_>, _>>()?;
        let mut admitted = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let of_row = || keys.iter().enumerate().filter_map(|(arbiter, keys)| Some((arbiter, keys[row].as_ref()?)));
            let mut met = of_row();
            let is_free =
                !met.any(|(arbiter, key)| taken[arbiter].contains_key(key) || self.arbiters[arbiter].1.contains(key));
            if is_free {
                for (arbiter, key) in of_row() {
                    self.arbiters[arbiter].1.insert(key)?;
                }
            }
            admitted.push(is_free);
        }
        Ok(admitted.into())
    }

    /// Rows whose key no row before them has.
    fn admit_first(&mut self, keys: &[Vec<Option<KeyBytes>>]) -> Result<BooleanArray, QueryError> {
        let own = &mut self.arbiters[0].1;
        let first = keys[0].iter().map(|key| key.as_ref().map_or(Ok(true), |key| own.insert(key)));
        Ok(first.collect::<Result<Vec<bool>, _>>()?.into())
    }

    /// What is said of those rows; `None` where there are none.
    pub(crate) fn told(&self) -> Option<String> {
        let rows = if self.left_out == 1 { "1 row".to_string() } else { format!("{} rows", self.left_out) };
        let one = self.left_out == 1;
        (self.left_out > 0).then(|| match self.action {
            OnConflict::Ignore if one => format!("{rows} was ignored because its key exists"),
            OnConflict::Ignore => format!("{rows} were ignored because their keys exist"),
            OnConflict::Update => format!("{rows} gave way to a later row with the same key"),
        })
    }

    /// The rows that are stored and the change that stores them, in the place of those that they replace.
    pub(crate) async fn settled(
        mut self,
        session: &Session,
        snapshot: &Arc<Snapshot>,
        taken: Taken,
    ) -> Result<(u64, Change), KeyFailure> {
        if self.action == OnConflict::Ignore {
            return taken.enforced(session, snapshot).await.map_err(|failure| match failure.error.kind {
                ErrorKind::UniqueViolation => self.added_meanwhile().into(),
                _ => failure,
            });
        }
        let (snapshot, style) = (Arc::clone(snapshot), session.output_style());
        let inline_bytes = session.inline_bytes();
        let work =
            session.engine.compute().spawn_blocking(move || Ok(self.replaced(&snapshot, taken, inline_bytes, style)));
        session.token.guard(async { joined(work.await) }).await?
    }

    fn added_meanwhile(&self) -> QueryError {
        conflict_error(Conflict::KeyTaken { table: self.definition.name.name.clone() })
    }

    /// UPDATE: puts the rows of the load in the place of those with the same key.
    fn replaced(
        &mut self,
        snapshot: &Arc<Snapshot>,
        taken: Taken,
        inline_bytes: usize,
        style: OutputStyle,
    ) -> Result<(u64, Change), KeyFailure> {
        let Taken { rows, mut change, definition, keys } = taken;
        let shape = Arc::clone(&self.arbiters[0].0);
        let (arbiter, mut others): (Vec<KeyLog>, Vec<KeyLog>) =
            keys.into_iter().partition(|log| log.shape.key.id == shape.key.id);
        let version = version_seen(snapshot, definition.id, &[])?;
        for mut log in arbiter.into_iter().filter(|log| !log.is_empty()) {
            let digests = log.sorted()?;
            let parts = parts_of(&version);
            let overlapping = |part: &Part| !matches!(part, Part::Segment(segment) if !log.overlaps(&segment.meta));
            let dead = self.rows_with(&parts, &digests, overlapping, |key| self.arbiters[0].1.contains(key))?;
            if !dead.is_empty() {
                change.ops.insert(0, delete_op(&version, dead));
            }
            change.keys.push(NewKeys { table: definition.id, constraint: shape.key.id, digests });
        }
        let deletes = Vec::from_iter(change.ops.first().filter(|op| matches!(op, Op::Delete { .. })).cloned());
        let again = !self.later.is_empty();
        if again {
            let live = self.take_later(&mut change, inline_bytes)?;
            for log in &mut others {
                *log = log_of(&self.engine, &live, Arc::clone(&log.shape))?;
            }
        }
        let parts = parts_of(version_seen(snapshot, definition.id, &deletes)?.as_ref());
        let (indexes, definition) = (&self.engine.keys, &*definition);
        let mut check = Check { indexes, definition, parts, style, refusal: already_exists };
        // Where logs were made again their rows are not those of the data.
        let told = |failure: KeyFailure| KeyFailure { row: failure.row.filter(|_| !again), ..failure };
        check.all(&mut change, others).map_err(told)?;
        Ok((rows, change))
    }

    /// Takes in the last row of each key that came again and removes the first one. Gives what the load adds in the end.
    fn take_later(&mut self, change: &mut Change, inline_bytes: usize) -> Result<Vec<Part>, QueryError> {
        let (table, shape) = (self.definition.id, Arc::clone(&self.arbiters[0].0));
        self.later.compact()?;
        let added = parts_added(table, &change.ops);
        let mut digests = Vec::new();
        for batch in self.later.batches() {
            digests.extend(shape.digests(&shape.columns_of(batch))?.0);
        }
        digests.sort_unstable();
        let dead = self.rows_with(&added, &digests, |_| true, |key| self.later.has(key))?;
        let (mut segments, mut recent) = (Vec::new(), Vec::new());
        let mut live = Vec::with_capacity(added.len());
        for (number, mut part) in (0u32..).zip(added) {
            if let Some(rows) = dead.get(&number) {
                let vector = Arc::new(DeletionVector(rows.clone()));
                match &mut part {
                    Part::Segment(segment) => {
                        segments.push((segment.meta.id, Arc::clone(&vector)));
                        segment.deleted = Some(vector);
                    }
                    Part::Recent(batch) => {
                        recent.push((batch.id, Arc::clone(&vector)));
                        Arc::make_mut(batch).deleted = Some(vector);
                    }
                }
            }
            live.push(part);
        }
        change.ops.push(Op::Delete { table, segments, recent });
        let mut intake = Intake::new(&self.engine, Arc::clone(&self.definition))?.beside(inline_bytes);
        self.later.take().into_iter().try_for_each(|batch| intake.push(batch))?;
        let taken = intake.finish(&self.engine)?;
        live.extend(parts_added(table, &taken.change.ops));
        change.ops.extend(taken.change.ops);
        change.staged.extend(taken.change.staged);
        Ok(live)
    }

    /// The live rows of parts that have one of the digests and a key that is meant, by part.
    fn rows_with(
        &self,
        parts: &[Part],
        digests: &[u64],
        may_have: impl Fn(&Part) -> bool,
        is_meant: impl Fn(&KeyBytes) -> bool,
    ) -> Result<BTreeMap<u32, RoaringBitmap>, QueryError> {
        let shape = &self.arbiters[0].0;
        let mut found = BTreeMap::new();
        for (number, part) in (0u32..).zip(parts).filter(|(_, part)| may_have(part)) {
            let mut met = RoaringBitmap::new();
            self.engine.keys.of(part, shape)?.meet(digests, |_, row| {
                if part.is_live(row) {
                    met.insert(row);
                }
            });
            if !shape.exact && !met.is_empty() {
                let keys = keys_of(shape, &self.engine.keys.keys_at(part, &met, shape)?)?;
                let meant = met.iter().zip(keys).filter(|(_, key)| key.as_ref().is_some_and(&is_meant));
                met = meant.map(|(row, _)| row).collect();
            }
            if !met.is_empty() {
                found.insert(number, met);
            }
        }
        Ok(found)
    }
}

/// The keys of the live rows of parts.
fn log_of(engine: &Engine, parts: &[Part], shape: Arc<KeyShape>) -> Result<KeyLog, QueryError> {
    let mut log = KeyLog::new(&engine.memory_pool(), Arc::clone(&shape));
    for part in parts {
        for columns in engine.keys.live(part, &shape)? {
            let columns = columns?;
            log.push_columns(&columns, columns.first().map_or(0, |column| column.len()))?;
        }
    }
    Ok(log)
}
