//! A key that a table gets when it has rows already: they are compared with each other, not with anything new.
//!
//! All live rows are read once for their digests. Only where digests are equal are they read again, for the keys themselves.

use super::check::{Check, parts_of, shown_key};
use super::index::{KeyIndexes, Part};
use super::log::KeyLog;
use super::shape::{KeyShape, internal};
use crate::error::{ErrorKind, QueryError};
use crate::execution::joined;
use crate::intake::Taken;
use crate::session::Session;
use crate::transaction::Change;
use crate::types::OutputStyle;
use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter;
use catalog::definition::{Key, TableDefinition};
use catalog::snapshot::TableVersion;
use std::collections::HashSet;
use std::sync::Arc;

/// Fails if two rows of a table have the same key. `definition` is the one that has the key.
pub(crate) async fn verify(
    session: &Session,
    version: &TableVersion,
    definition: &TableDefinition,
    key: &Key,
) -> Result<(), QueryError> {
    let (engine, parts, style) = (Arc::clone(&session.engine), parts_of(version), session.output_style());
    let (definition, shape) = (definition.clone(), Arc::new(KeyShape::new(definition, key)?));
    let work = session.engine.compute().spawn_blocking(move || {
        let log = KeyLog::new(&engine.memory_pool(), Arc::clone(&shape));
        match repeated_key(&engine.keys, &parts, log)? {
            Some(key) => Err(not_unique(&definition, &shape, &key, &style)),
            None => Ok(()),
        }
    });
    session.token.guard(async { joined(work.await) }).await
}

/// The change that writes rows in the place of all that a table has, if their keys differ.
pub(crate) async fn verified_anew(session: &Session, taken: Taken) -> Result<Change, QueryError> {
    let Taken { mut change, definition, keys, .. } = taken;
    let (engine, style) = (Arc::clone(&session.engine), session.output_style());
    let work = session.engine.compute().spawn_blocking(move || {
        let (indexes, definition) = (&engine.keys, &*definition);
        let mut check = Check { indexes, definition, parts: Vec::new(), style, refusal: not_unique };
        check.all(&mut change, keys).map(|()| change).map_err(|failure| failure.error)
    });
    session.token.guard(async { joined(work.await) }).await
}

/// A key that two live rows have.
fn repeated_key(indexes: &KeyIndexes, parts: &[Part], mut log: KeyLog) -> Result<Option<Vec<ArrayRef>>, QueryError> {
    let shape = Arc::clone(&log.shape);
    for part in parts {
        for columns in indexes.live(part, &shape)? {
            let columns = columns?;
            log.push_columns(&columns, columns.first().map_or(0, |column| column.len()))?;
        }
    }
    let sorted = log.sorted()?;
    let repeated = log.repeated(&sorted);
    if repeated.is_empty() {
        return Ok(None);
    }
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    for part in parts {
        for columns in indexes.live(part, &shape)? {
            let columns = columns?;
            let (digests, nulls) = shape.digests(&columns)?;
            let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            let suspect = digests.iter().enumerate().map(|(row, digest)| Some(valid(row) && repeated.contains(digest)));
            let suspect: BooleanArray = suspect.collect();
            let suspects = columns.iter().map(|column| filter(column, &suspect).map_err(internal));
            let suspects = suspects.collect::<Result<Vec<ArrayRef>, _>>()?;
            let keys = shape.rows(&suspects)?;
            if let Some(place) = keys.iter().position(|key| !seen.insert(key.data().to_vec())) {
                return Ok(Some(suspects.iter().map(|column| column.slice(place, 1)).collect()));
            }
        }
    }
    Ok(None)
}

fn not_unique(definition: &TableDefinition, shape: &KeyShape, key: &[ArrayRef], style: &OutputStyle) -> QueryError {
    let name = &shape.key.name;
    let mut error = QueryError::new(ErrorKind::UniqueViolation, format!("could not create unique index \"{name}\""))
        .detail(format!("{} is duplicated.", shown_key(definition, shape, key, style)))
        .table(&definition.name.name);
    error.schema = Some(definition.name.schema.clone());
    error.constraint = Some(name.clone());
    error
}
