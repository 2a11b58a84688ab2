//! Inputs: the relations that a view is computed from, views in between included, and what changed among them.
//!
//! A view changes with the rows of tables below it, and with the definitions of views below it: `CREATE OR REPLACE VIEW` changes no table.

use catalog::definition::ViewDefinition;
use catalog::ids::{CommitSeq, ObjectId};
use catalog::snapshot::{Relation, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
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

/// When a relation, or a table below it, last changed.
pub(crate) fn newest_change(snapshot: &Snapshot, relation: ObjectId) -> CommitSeq {
    let relations = with_inputs(snapshot, relation);
    let changed = relations.iter().filter_map(|id| snapshot.tables.get(id)).map(|table| table.changed_at);
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

/// What all views are, as it was looked at last.
pub(crate) struct KnownViews(BTreeMap<ObjectId, Arc<ViewDefinition>>);

impl KnownViews {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let views = snapshot.views.iter();
        Self(views.map(|(id, view)| (*id, Arc::clone(&view.definition))).collect())
    }

    /// The views that were there at the last look and are computed otherwise now.
    pub(crate) fn replaced(&mut self, snapshot: &Snapshot) -> BTreeSet<ObjectId> {
        let is_known = |now: &Arc<ViewDefinition>| self.0.get(&now.id).is_some_and(|before| Arc::ptr_eq(before, now));
        if snapshot.views.len() == self.0.len() && snapshot.views.values().all(|view| is_known(&view.definition)) {
            return BTreeSet::new();
        }
        let before = std::mem::replace(self, Self::of(snapshot));
        let replaced = self.0.values().filter(|now| before.0.get(&now.id).is_some_and(|then| is_another(then, now)));
        replaced.map(|view| view.id).collect()
    }
}

/// Whether a definition gives other rows, or none, than an earlier one may have given. Names and states do not matter.
fn is_another(before: &ViewDefinition, now: &ViewDefinition) -> bool {
    (&before.query, &before.columns, before.populated) != (&now.query, &now.columns, now.populated)
}

/// Whether one of these views is a relation or below it.
pub(crate) fn are_below(views: &BTreeSet<ObjectId>, snapshot: &Snapshot, relation: ObjectId) -> bool {
    !views.is_empty() && !views.is_disjoint(&with_inputs(snapshot, relation))
}
