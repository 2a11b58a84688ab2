//! Portals: statements with their parameters, ready to run or partly run; the unnamed one has the empty name.
//!
//! A portal that was suspended by a row limit keeps its stream and the rest of the batch it was cut in. Portals live as
//! long as the transaction that made them. Those with names that are of queries are not here: they are cursors of the session, which SQL's
//! FETCH, MOVE and CLOSE share.

use super::rows::Rows;
use super::statements::PreparedStatement;
use query::BoundParameters;
use query::error::{ErrorKind, QueryError};
use query::response::Format;
use std::collections::HashMap;

/// A client that keeps more than this open with names in one transaction has a leak.
const PORTALS_MAX: usize = 1_000;

pub(crate) struct Portal {
    pub(crate) statement: PreparedStatement,
    /// As Bind gave them: none, one for all columns, or one for each.
    pub(crate) formats: Vec<Format>,
    pub(crate) state: PortalState,
}

pub(crate) enum PortalState {
    Bound(BoundParameters),
    Rows(Box<Rows>),
    /// Ran, and had no rows.
    Done,
}

#[derive(Default)]
pub(crate) struct Portals {
    unnamed: Option<Portal>,
    by_name: HashMap<String, Portal>,
}

impl Portals {
    /// Keeps a new portal. Only the unnamed one replaces its predecessor.
    pub(crate) fn insert_new(&mut self, name: String, portal: Portal) -> Result<(), QueryError> {
        self.check_name(&name)?;
        if !name.is_empty() && self.by_name.len() >= PORTALS_MAX {
            let error = QueryError::new(ErrorKind::ProgramLimitExceeded, "too many open portals");
            return Err(error.hint("Close portals that are not needed any longer."));
        }
        self.insert(name, portal);
        Ok(())
    }

    /// Fails where a name is taken.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), QueryError> {
        if name.is_empty() || !self.by_name.contains_key(name) {
            return Ok(());
        }
        Err(QueryError::new(ErrorKind::DuplicateCursor, format!("cursor \"{name}\" already exists")))
    }

    /// Puts a portal back under its name.
    pub(crate) fn insert(&mut self, name: String, portal: Portal) {
        match name.is_empty() {
            true => self.unnamed = Some(portal),
            false => drop(self.by_name.insert(name, portal)),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Portal> {
        if name.is_empty() { self.unnamed.as_ref() } else { self.by_name.get(name) }
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Portal> {
        if name.is_empty() { self.unnamed.as_mut() } else { self.by_name.get_mut(name) }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Portal> {
        if name.is_empty() { self.unnamed.take() } else { self.by_name.remove(name) }
    }

    pub(crate) fn clear(&mut self) {
        self.unnamed = None;
        self.by_name.clear();
    }
}

/// One format for each of `columns` columns, from what Bind gave.
pub(crate) fn resolve_formats(formats: &[Format], columns: usize) -> Result<Vec<Format>, QueryError> {
    match formats {
        [] => Ok(vec![Format::Text; columns]),
        [one] => Ok(vec![*one; columns]),
        each if each.len() == columns => Ok(each.to_vec()),
        each => Err(QueryError::new(
            ErrorKind::ProtocolViolation,
            format!("bind message has {} result formats but query has {columns} columns", each.len()),
        )),
    }
}
