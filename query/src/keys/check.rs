//! The check of a statement's keys, when its last row is there.
//!
//! What the statement itself deletes is gone for the check, so an UPDATE may give a key to another row. Of several
//! violations the one that comes first in the rows is told, and of one row's that of the key that was declared first.

use super::index::{KeyIndexes, Part};
use super::log::KeyLog;
use super::shape::{KeyShape, internal};
use crate::engine::conflict_error;
use crate::error::{ErrorKind, QueryError};
use crate::execution::joined;
use crate::functions::quote_identifier;
use crate::intake::Taken;
use crate::session::Session;
use crate::transaction::{Change, NewKeys};
use crate::types::{OutputStyle, value_text};
use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::{concat, filter};
use catalog::definition::TableDefinition;
use catalog::draft::{Conflict, Op};
use catalog::ids::{CommitSeq, ObjectId};
use catalog::segment::LiveSegment;
use catalog::snapshot::{RecentBatch, Snapshot, TableVersion};
use roaring::RoaringBitmap;
use std::collections::HashSet;
use std::sync::Arc;

/// Why keys do not hold. `row` counts the statement's rows from zero; other failures have none.
#[derive(Debug)]
pub(crate) struct KeyFailure {
    pub row: Option<u64>,
    pub error: QueryError,
}

impl From<QueryError> for KeyFailure {
    fn from(error: QueryError) -> Self {
        Self { row: None, error }
    }
}

impl Taken {
    /// Checks the keys of the rows against what the statement saw, and hands their digests on with the change.
    pub(crate) async fn enforced(
        self,
        session: &Session,
        snapshot: &Arc<Snapshot>,
    ) -> Result<(u64, Change), KeyFailure> {
        let Self { rows, mut change, definition, keys } = self;
        if keys.iter().all(KeyLog::is_empty) {
            return Ok((rows, change));
        }
        let (engine, snapshot, style) = (Arc::clone(&session.engine), Arc::clone(snapshot), session.output_style());
        let work = session.engine.compute().spawn_blocking(move || {
            let version = version_seen(&snapshot, definition.id, &change.ops)?;
            let parts = parts_of(&version);
            let mut check =
                Check { indexes: &engine.keys, definition: &definition, parts, style, refusal: already_exists };
            let checked = check.all(&mut change, keys);
            if checked.is_err() && has_twice(&engine.keys, &snapshot, &definition, &change.keys)? {
                return Err(conflict_error(Conflict::KeyTaken { table: definition.name.name.clone() }));
            }
            Ok(checked.map(|()| change))
        });
        let checked: Result<Change, KeyFailure> = session.token.guard(async { joined(work.await) }).await?;
        checked.map(|change| (rows, change))
    }
}

/// Whether one of the keys is there twice before the statement: the transaction has added it, and so has a commit since. Then the
/// transaction cannot commit whatever the statement does.
fn has_twice(
    indexes: &KeyIndexes,
    snapshot: &Snapshot,
    definition: &TableDefinition,
    keys: &[NewKeys],
) -> Result<bool, QueryError> {
    let Some(version) = snapshot.tables.get(&definition.id) else { return Ok(false) };
    for shape in KeyShape::of_table(definition)? {
        let mut seen = HashSet::new();
        let mut twice = false;
        let of_key = keys.iter().filter(|keys| keys.constraint == shape.key.id);
        let mut digests: Vec<u64> = of_key.flat_map(|keys| keys.digests.iter().copied()).collect();
        // A key that the statement itself adds twice is asked for once.
        digests.sort_unstable();
        digests.dedup();
        for part in parts_of(version) {
            indexes.of(&part, &shape)?.meet(&digests, |digest, row| {
                twice |= part.is_live(row) && !seen.insert(digest);
            });
        }
        if twice {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The table as it is for the check: without the rows that the statement deletes.
pub(super) fn version_seen(
    snapshot: &Arc<Snapshot>,
    table: ObjectId,
    ops: &[Op],
) -> Result<Arc<TableVersion>, QueryError> {
    let deletes: Vec<Op> = ops.iter().filter(|op| matches!(op, Op::Delete { .. })).cloned().collect();
    let after = match deletes.as_slice() {
        [] => Arc::clone(snapshot),
        deletes => Arc::new(snapshot.apply(snapshot.seq.next(), snapshot.at_micros, deletes).map_err(conflict_error)?),
    };
    let version = after.tables.get(&table).cloned();
    version.ok_or_else(|| QueryError::new(ErrorKind::UndefinedTable, format!("relation {table} does not exist")))
}

/// The parts of a table version.
pub(crate) fn parts_of(version: &TableVersion) -> Vec<Part> {
    let segments = version.segments.values().cloned().map(Part::Segment);
    segments.chain(version.recent.iter().cloned().map(Part::Recent)).collect()
}

/// The parts that a change adds to a table.
pub(super) fn parts_added(table: ObjectId, ops: &[Op]) -> Vec<Part> {
    let of_op = |op: &Op| match op {
        Op::AddSegments { table: of, segments } if *of == table => {
            let live =
                segments.iter().map(|meta| LiveSegment { meta: Arc::clone(meta), added: CommitSeq(0), deleted: None });
            live.map(Part::Segment).collect()
        }
        Op::AddRecent { table: of, id, batch } if *of == table => {
            vec![Part::Recent(Arc::new(RecentBatch {
                id: *id,
                added: CommitSeq(0),
                batch: batch.clone(),
                deleted: None,
            }))]
        }
        _ => Vec::new(),
    };
    ops.iter().flat_map(of_op).collect()
}

pub(super) struct Check<'a> {
    pub indexes: &'a KeyIndexes,
    pub definition: &'a TableDefinition,
    /// What the new rows are compared with.
    pub parts: Vec<Part>,
    pub style: OutputStyle,
    /// What a row is told whose key another row has.
    pub refusal: Refusal,
}

/// An error about the first row of a key's columns.
pub(super) type Refusal = fn(&TableDefinition, &KeyShape, &[ArrayRef], &OutputStyle) -> QueryError;

impl Check<'_> {
    /// Checks all keys and notes their digests in the change.
    pub(super) fn all(&mut self, change: &mut Change, logs: Vec<KeyLog>) -> Result<(), KeyFailure> {
        let added = parts_added(self.definition.id, &change.ops);
        let mut first: Option<KeyFailure> = None;
        for mut log in logs {
            if log.is_empty() {
                continue;
            }
            let sorted = log.sorted()?;
            let found = self.violation(&log, &sorted, &added)?;
            first = match (first, found) {
                (Some(known), Some(found)) if found.row < known.row => Some(found),
                (known, found) => known.or(found),
            };
            let (table, constraint) = (self.definition.id, log.shape.key.id);
            change.keys.push(NewKeys { table, constraint, digests: sorted });
        }
        first.map_or(Ok(()), Err)
    }

    /// The first row whose key another row has.
    fn violation(&self, log: &KeyLog, sorted: &[u64], added: &[Part]) -> Result<Option<KeyFailure>, QueryError> {
        let repeated = log.repeated(sorted);
        let taken = self.taken(log, sorted)?;
        if repeated.is_empty() && taken.is_empty() {
            return Ok(None);
        }
        let mut seen = HashSet::new();
        for (place, digest) in log.arrived().enumerate() {
            let again = repeated.contains(digest) && !seen.insert(*digest);
            if !again && !taken.contains(digest) {
                continue;
            }
            if let Some(key) = self.duplicate(&log.shape, *digest, added)? {
                let error = (self.refusal)(self.definition, &log.shape, &key, &self.style);
                return Ok(Some(KeyFailure { row: Some(log.row_of(place)), error }));
            }
        }
        Ok(None)
    }

    /// The digests that live rows have.
    fn taken(&self, log: &KeyLog, sorted: &[u64]) -> Result<HashSet<u64>, QueryError> {
        let mut taken = HashSet::new();
        for part in &self.parts {
            if matches!(part, Part::Segment(segment) if !log.overlaps(&segment.meta)) {
                continue;
            }
            self.indexes.of(part, &log.shape)?.meet(sorted, |digest, row| {
                if part.is_live(row) {
                    taken.insert(digest);
                }
            });
        }
        Ok(taken)
    }

    /// A key with this digest that a new row has twice or shares with a live row. Digests that are hashes may be
    /// equal by chance.
    fn duplicate(&self, shape: &KeyShape, digest: u64, added: &[Part]) -> Result<Option<Vec<ArrayRef>>, QueryError> {
        let new = self.new_keys(shape, digest, added)?;
        if shape.exact {
            return Ok(Some(new));
        }
        let mut known: HashSet<Vec<u8>> = HashSet::new();
        for part in &self.parts {
            let rows: RoaringBitmap =
                self.indexes.of(part, shape)?.rows_of(digest).filter(|row| part.is_live(*row)).collect();
            if !rows.is_empty() {
                let keys = shape.rows(&self.indexes.keys_at(part, &rows, shape)?)?;
                known.extend(keys.iter().map(|key| key.data().to_vec()));
            }
        }
        let keys = shape.rows(&new)?;
        let place = keys.iter().position(|key| !known.insert(key.data().to_vec()));
        Ok(place.map(|place| new.iter().map(|column| column.slice(place, 1)).collect()))
    }

    /// The keys of the new rows with a digest.
    fn new_keys(&self, shape: &KeyShape, digest: u64, added: &[Part]) -> Result<Vec<ArrayRef>, QueryError> {
        let mut found: Vec<Vec<ArrayRef>> = vec![Vec::new(); shape.positions.len()];
        let mut take = |columns: Vec<ArrayRef>| {
            let (digests, nulls) = shape.digests(&columns)?;
            let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            let same: BooleanArray =
                digests.iter().enumerate().map(|(row, other)| Some(*other == digest && valid(row))).collect();
            if same.true_count() > 0 {
                for (found, column) in found.iter_mut().zip(&columns) {
                    found.push(filter(column, &same).map_err(internal)?);
                }
            }
            Ok::<(), QueryError>(())
        };
        for part in added {
            match part {
                Part::Segment(segment) => {
                    self.indexes.read(&segment.meta, shape)?.try_for_each(|columns| take(columns?))?;
                }
                Part::Recent(recent) => take(shape.columns_of(&recent.batch))?,
            }
        }
        let columns = found.iter().map(|arrays| {
            let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
            concat(&arrays).map_err(internal)
        });
        columns.collect()
    }
}

/// `duplicate key value violates unique constraint`; the key is the first row of its columns.
pub(super) fn already_exists(
    definition: &TableDefinition,
    shape: &KeyShape,
    key: &[ArrayRef],
    style: &OutputStyle,
) -> QueryError {
    let name = &shape.key.name;
    let message = format!("duplicate key value violates unique constraint \"{name}\"");
    let mut error = QueryError::new(ErrorKind::UniqueViolation, message)
        .detail(format!("{} already exists.", shown_key(definition, shape, key, style)))
        .table(&definition.name.name);
    error.schema = Some(definition.name.schema.clone());
    error.constraint = Some(name.clone());
    error
}

/// `Key (a, b)=(1, x)`
pub(crate) fn shown_key(
    definition: &TableDefinition,
    shape: &KeyShape,
    key: &[ArrayRef],
    style: &OutputStyle,
) -> String {
    let columns = shape.positions.iter().map(|position| &definition.columns[*position]);
    let names: Vec<String> = columns.clone().map(|column| quote_identifier(&column.name)).collect();
    let values = columns
        .zip(key)
        .map(|(column, array)| value_text(array, 0, &column.sql_type, style).unwrap_or_else(|| "null".to_string()));
    format!("Key ({})=({})", names.join(", "), values.collect::<Vec<_>>().join(", "))
}
