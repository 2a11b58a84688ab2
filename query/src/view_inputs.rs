//! Inputs: the relations that a view is computed from, views in between included, and what changed among them.
//!
//! A view changes with the rows of tables below it, and with the definitions of views below it: `CREATE OR REPLACE VIEW` changes no table.

use catalog::ids::{CommitSeq, ObjectId};
use catalog::snapshot::{Relation, Snapshot};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A relation and all that it is computed from.
fn with_inputs(snapshot: &Snapshot, relation: ObjectId) -> BTreeSet<ObjectId> {
    let mut pending = vec![relation];
    let mut found = BTreeSet::new();
    while let Some(id) = pending.pop() {
        if found.insert(id)
            && let Some(view) = snapshot.views.get(&id)
        {
            pending.extend(&view.definition.inputs);
        }
    }
    found
}

/// When a relation, or a table below it, last changed, or a view was replaced there.
pub(crate) fn newest_change(snapshot: &Snapshot, relation: ObjectId) -> CommitSeq {
    let relations = with_inputs(snapshot, relation);
    let changed = relations.into_iter().filter_map(|id| match snapshot.relation_by_id(id)? {
        Relation::Table(table) => Some(table.changed_at),
        Relation::View(view) => Some(view.replaced_at),
        Relation::Sequence(_) => None,
    });
    changed.max().unwrap_or_default()
}

/// Whether a relation and all below it are still defined as they were.
pub(crate) fn are_defined_alike(before: &Snapshot, later: &Snapshot, relation: ObjectId) -> bool {
    with_inputs(before, relation).into_iter().all(|id| match (before.relation_by_id(id), later.relation_by_id(id)) {
        (Some(Relation::Table(before)), Some(Relation::Table(now))) => Arc::ptr_eq(&before.definition, &now.definition),
        (Some(Relation::View(before)), Some(Relation::View(now))) => Arc::ptr_eq(&before.definition, &now.definition),
        (Some(Relation::Sequence(_)), Some(Relation::Sequence(_))) => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests;
