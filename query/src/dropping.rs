//! DROP: what goes, what goes with it, and what stands in the way.

use crate::definitions::done;
use crate::error::{ErrorKind, Notice, NoticeSeverity, QueryError};
use crate::pg_catalog::is_system_schema;
use crate::planner::Planning;
use crate::response::Response;
use crate::sequence_definition::lost_defaults;
use crate::session::Session;
use crate::statement::{DropObject, DropStatement, Statement};
use crate::statement_grammar::fold;
use crate::transaction::Change;
use crate::type_definition::drop_with_dependents;
use catalog::definition::{ObjectName, TableDefinition};
use catalog::draft::Op;
use catalog::ids::ObjectId;
use catalog::snapshot::{Relation, Snapshot};
use catalog::type_names::shown_name;
use catalog::user_type::TypeDefinition;
use datafusion::sql::sqlparser::ast;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most dependents that a client is told of, as in PostgreSQL.
const LINES_MAX: usize = 100;

pub(crate) async fn drop_objects(
    session: &mut Session,
    drop: &DropStatement,
    statement: &Statement,
) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let snapshot = Arc::clone(&planning.snapshot);
    if drop.object == DropObject::Index {
        let ops = drop_indexes(session, &planning, drop)?;
        session.add_change(Change::of(ops))?;
        return Ok(done(drop.object.command()));
    }
    let mut doomed = Vec::new();
    for name in &drop.names {
        if drop.object == DropObject::Schema {
            return drop_schema(session, &snapshot, name, drop, statement).await;
        }
        match to_drop(&planning, name, drop.object) {
            Ok(id) => doomed.push(id),
            Err(error) if drop.if_exists && error.kind == ErrorKind::UndefinedTable => {
                let (kind, shown) = (kind_of(drop.object), own_name(name));
                session.notice(NoticeSeverity::Notice, format!("{kind} \"{shown}\" does not exist, skipping"));
            }
            Err(error) => return Err(error),
        }
    }
    let mut drops = drops_with_dependents(session, &snapshot, doomed, drop.cascade)?;
    drops.views.append(&mut drops.defaults);
    tell_cascade(session, &drops.views);
    session.add_change(Change::of(drops.ops))?;
    Ok(done(drop.object.command()))
}

/// The next definitions of the tables that lose indexes.
fn drop_indexes(session: &mut Session, planning: &Planning, drop: &DropStatement) -> Result<Vec<Op>, QueryError> {
    let mut altered: BTreeMap<ObjectId, TableDefinition> = BTreeMap::new();
    for name in &drop.names {
        let candidates = planning.candidates(name)?;
        let found = candidates.iter().find_map(|candidate| planning.snapshot.index_named(candidate));
        let shown = own_name(name);
        let Some((table, id)) = found else {
            if let Some(error) = not_an_index(planning, &candidates) {
                return Err(error);
            }
            if !drop.if_exists {
                let message = format!("index \"{shown}\" does not exist");
                return Err(QueryError::new(ErrorKind::UndefinedObject, message));
            }
            session.notice(NoticeSeverity::Notice, format!("index \"{shown}\" does not exist, skipping"));
            continue;
        };
        let before = &table.definition;
        if let Some(key) = before.keys.iter().find(|key| key.id == id && !key.index) {
            let [index, table] = [id, before.id].map(|id| planning.facts.class_name(id));
            let of = format!("constraint {} on table {table}", key.name);
            let message = format!("cannot drop index {index} because {of} requires it");
            return Err(
                QueryError::new(ErrorKind::DependentObjects, message).hint(format!("You can drop {of} instead."))
            );
        }
        let first = || TableDefinition { version: before.version + 1, ..TableDefinition::clone(before) };
        let next = altered.entry(before.id).or_insert_with(first);
        next.keys.retain(|kept| kept.id != id);
        next.plain_indexes.retain(|kept| kept.id != id);
    }
    Ok(altered.into_values().map(|next| Op::AlterTable(Arc::new(next))).collect())
}

/// What is told where something else than an index has one of these names.
fn not_an_index(planning: &Planning, candidates: &[ObjectName]) -> Option<QueryError> {
    let find = |name: &ObjectName| Some((name.name.clone(), planning.snapshot.relation(name)?));
    let (name, relation) = candidates.iter().find_map(find)?;
    let error = QueryError::new(ErrorKind::WrongObjectType, format!("\"{name}\" is not an index"));
    Some(error.hint(identified(&relation).2))
}

/// A name as errors show it, without its schema.
fn own_name(name: &ast::ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default()
}

fn to_drop(planning: &Planning, name: &ast::ObjectName, object: DropObject) -> Result<ObjectId, QueryError> {
    let resolved = planning.object_name(name)?;
    let wrong = |is: &str, hint: &str| {
        let error = QueryError::new(ErrorKind::WrongObjectType, format!("\"{}\" is not {is}", resolved.name));
        Err(error.hint(hint))
    };
    let kind = kind_of(object);
    let shown = own_name(name);
    let relation = planning.relation(&resolved, &shown).map_err(|mut error| {
        error.message = format!("{kind} \"{shown}\" does not exist");
        // Nobody is led to drop another one.
        error.hint = None;
        error
    })?;
    let (id, is, hint) = identified(&relation);
    if is == object { Ok(id) } else { wrong(&format!("a {kind}"), hint) }
}

/// A relation's id, what it is, and how it is dropped.
fn identified(relation: &Relation<'_>) -> (ObjectId, DropObject, &'static str) {
    match relation {
        Relation::Table(version) => (version.definition.id, DropObject::Table, "Use DROP TABLE to remove a table."),
        Relation::View(view) if view.definition.is_plain() => {
            (view.definition.id, DropObject::View, "Use DROP VIEW to remove a view.")
        }
        Relation::View(view) => {
            let hint = "Use DROP MATERIALIZED VIEW to remove a materialized view.";
            (view.definition.id, DropObject::MaterializedView, hint)
        }
        Relation::Sequence(sequence) => {
            (sequence.definition.id, DropObject::Sequence, "Use DROP SEQUENCE to remove a sequence.")
        }
    }
}

fn kind_of(object: DropObject) -> &'static str {
    match object {
        DropObject::Table => "table",
        DropObject::MaterializedView => "materialized view",
        DropObject::View => "view",
        DropObject::Schema => "schema",
        DropObject::Sequence => "sequence",
        DropObject::Index => "index",
    }
}

/// What drops relations, and what goes beside them, as it is told.
struct Drops {
    ops: Vec<Op>,
    views: Vec<String>,
    defaults: Vec<String>,
}

/// Drops of `doomed` and, with CASCADE, of all views over them, dependents first.
fn drops_with_dependents(
    session: &mut Session,
    snapshot: &Snapshot,
    doomed: Vec<ObjectId>,
    cascade: bool,
) -> Result<Drops, QueryError> {
    let (mut ops, defaults) = lost_defaults(session.planning()?.as_ref(), &doomed, cascade)?;
    let order = dependents_first(snapshot, &doomed);
    let extra: Vec<ObjectId> = order.iter().copied().filter(|id| !doomed.contains(id)).collect();
    if let Some(first) = extra.first()
        && !cascade
    {
        let target = doomed.iter().find(|id| depends_on(snapshot, *first, **id)).copied().unwrap_or(*first);
        return Err(restricted(snapshot, target));
    }
    let views = extra.iter().rev().map(|id| shown(snapshot, *id)).collect();
    ops.extend(drops_of(snapshot, &doomed));
    Ok(Drops { ops, views, defaults })
}

/// Tells what CASCADE takes along, in PostgreSQL's words.
pub(crate) fn tell_cascade(session: &mut Session, lost: &[String]) {
    let (message, detail) = match lost {
        [] => return,
        [one] => (format!("drop cascades to {one}"), None),
        many => {
            let lines = many.iter().map(|lost| format!("drop cascades to {lost}")).collect();
            (format!("drop cascades to {} other objects", many.len()), Some(listed(lines)))
        }
    };
    session.push_notice(Notice { severity: NoticeSeverity::Notice, kind: None, message, detail, hint: None });
}

/// As many lines as a client is told.
fn listed(mut lines: Vec<String>) -> String {
    let more = lines.len().saturating_sub(LINES_MAX);
    lines.truncate(LINES_MAX);
    if more > 0 {
        lines.push(format!("and {more} other object{}", if more == 1 { "" } else { "s" }));
    }
    lines.join("\n")
}

/// Drops of views that something else takes with it, and of all views over them, dependents first; and what they are called.
pub(crate) fn cascades(snapshot: &Snapshot, views: &[ObjectId]) -> (Vec<Op>, Vec<String>) {
    let order = dependents_first(snapshot, views);
    let lost = order.iter().rev().map(|id| shown(snapshot, *id)).collect();
    (order.into_iter().map(Op::DropView).collect(), lost)
}

/// Relations and all views over them, each before what it reads. Backwards it is the order in which PostgreSQL tells them.
fn dependents_first(snapshot: &Snapshot, relations: &[ObjectId]) -> Vec<ObjectId> {
    let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
    let newest_first: BTreeSet<Reverse<ObjectId>> = relations.iter().copied().map(Reverse).collect();
    newest_first.into_iter().for_each(|Reverse(id)| visit(snapshot, id, &mut seen, &mut order));
    order
}

/// Drops of relations with the views over them, dependents first, and the sequences that go with them.
pub(crate) fn drops_of(snapshot: &Snapshot, doomed: &[ObjectId]) -> Vec<Op> {
    let order = dependents_first(snapshot, doomed);
    let owned = doomed.iter().flat_map(|id| snapshot.owned_sequences(*id)).map(|sequence| sequence.definition.id);
    let owned: Vec<ObjectId> = owned.filter(|id| !order.contains(id)).collect();
    order.into_iter().chain(owned).map(|id| drop_op(snapshot, id)).collect()
}

fn drop_op(snapshot: &Snapshot, id: ObjectId) -> Op {
    match snapshot.relation_by_id(id) {
        Some(Relation::Table(_)) => Op::DropTable(id),
        Some(Relation::Sequence(_)) => Op::DropSequence(id),
        _ => Op::DropView(id),
    }
}

fn visit(snapshot: &Snapshot, id: ObjectId, seen: &mut BTreeSet<ObjectId>, order: &mut Vec<ObjectId>) {
    if !seen.insert(id) {
        return;
    }
    let mut dependents: Vec<ObjectId> = snapshot.dependents(id).map(|view| view.definition.id).collect();
    dependents.sort_unstable_by_key(|id| Reverse(*id));
    dependents.into_iter().for_each(|dependent| visit(snapshot, dependent, seen, order));
    order.push(id);
}

pub(crate) fn depends_on(snapshot: &Snapshot, view: ObjectId, input: ObjectId) -> bool {
    snapshot.views.get(&view).is_some_and(|view| {
        view.definition.inputs.iter().any(|direct| *direct == input || depends_on(snapshot, *direct, input))
    })
}

/// What cannot be dropped, and every view that stands in the way.
fn restricted(snapshot: &Snapshot, target: ObjectId) -> QueryError {
    let mut lines = Vec::new();
    dependencies(snapshot, target, &mut BTreeSet::new(), &mut lines);
    let what = shown(snapshot, target);
    QueryError::new(ErrorKind::DependentObjects, format!("cannot drop {what} because other objects depend on it"))
        .detail(listed(lines))
        .hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

/// A line for each view that reads an object, and for each that reads those.
pub(crate) fn dependencies(snapshot: &Snapshot, id: ObjectId, seen: &mut BTreeSet<ObjectId>, lines: &mut Vec<String>) {
    let dependents: Vec<ObjectId> = snapshot.dependents(id).map(|view| view.definition.id).collect();
    for dependent in dependents {
        if seen.insert(dependent) {
            lines.push(format!("{} depends on {}", shown(snapshot, dependent), shown(snapshot, id)));
            dependencies(snapshot, dependent, seen, lines);
        }
    }
}

/// An object as errors name it.
pub(crate) fn shown(snapshot: &Snapshot, id: ObjectId) -> String {
    match snapshot.relation_by_id(id) {
        Some(Relation::Table(version)) => format!("table {}", version.definition.name.name),
        Some(Relation::View(view)) => format!("{} {}", view.definition.kind(), view.definition.name.name),
        Some(Relation::Sequence(sequence)) => format!("sequence {}", sequence.definition.name.name),
        None => format!("object {id}"),
    }
}

async fn drop_schema(
    session: &mut Session,
    snapshot: &Snapshot,
    name: &ast::ObjectName,
    drop: &DropStatement,
    statement: &Statement,
) -> Result<Response, QueryError> {
    let name = name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
    if is_system_schema(&name) {
        let message = format!("cannot drop schema {name} because it is required by the database system");
        return Err(QueryError::new(ErrorKind::DependentObjects, message));
    }
    if !snapshot.schemas.contains_key(&name) {
        if drop.if_exists {
            session.notice(NoticeSeverity::Notice, format!("schema \"{name}\" does not exist, skipping"));
            return Ok(done("DROP SCHEMA"));
        }
        return Err(QueryError::new(ErrorKind::UndefinedSchema, format!("schema \"{name}\" does not exist")));
    }
    if snapshot.temporary.as_ref().is_some_and(|schema| schema.name == name) {
        return Err(QueryError::unsupported("dropping the schema of temporary objects").hint("Use DISCARD TEMP."));
    }
    let inside: Vec<ObjectId> =
        snapshot.names.iter().filter(|(object, _)| object.schema == name).map(|(_, id)| *id).collect();
    let types: Vec<Arc<TypeDefinition>> =
        snapshot.types.values().filter(|known| known.name.schema == name).cloned().collect();
    let within = within(session.planning()?.as_ref(), &inside, &types);
    if !within.is_empty() && !drop.cascade {
        let lines = within.into_iter().map(|(what, on)| {
            let on = on.unwrap_or_else(|| format!("schema {name}"));
            format!("{what} depends on {on}")
        });
        let message = format!("cannot drop schema {name} because other objects depend on it");
        return Err(QueryError::new(ErrorKind::DependentObjects, message)
            .detail(listed(lines.collect()))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
    }
    let mut lost: Vec<String> = within.into_iter().map(|(what, _)| what).collect();
    let drops = drops_with_dependents(session, snapshot, inside, true)?;
    lost.extend(drops.defaults);
    session.add_change(Change::of(drops.ops))?;
    for doomed in &types {
        lost.extend(drop_with_dependents(session, statement, doomed).await?);
    }
    tell_cascade(session, &lost);
    session.add_change(Change::of(vec![Op::DropSchema { name }]))?;
    Ok(done("DROP SCHEMA"))
}

/// What goes with a schema's relations and types, each with what it depends on, or `None` for the schema itself. The sequences of
/// columns go with their tables and are not told.
fn within(planning: &Planning, inside: &[ObjectId], types: &[Arc<TypeDefinition>]) -> Vec<(String, Option<String>)> {
    let snapshot = &planning.snapshot;
    let named = |id: ObjectId| {
        let kind = match snapshot.relation_by_id(id) {
            Some(Relation::View(view)) => view.definition.kind(),
            Some(Relation::Sequence(_)) => "sequence",
            _ => "table",
        };
        format!("{kind} {}", planning.facts.class_name(id))
    };
    let order = dependents_first(snapshot, inside);
    let mut told: Vec<(ObjectId, String, Option<String>)> = Vec::new();
    for id in order.iter().rev().copied() {
        let owner = snapshot.sequences.get(&id).and_then(|sequence| sequence.definition.owner);
        if owner.is_some_and(|owner| order.contains(&owner.table)) {
            continue;
        }
        // A view of another schema stands behind what it reads.
        let (place, on) = match inside.contains(&id) {
            true => (id, None),
            false => {
                let input = order.iter().rev().copied().find(|input| depends_on(snapshot, id, *input));
                (told.last().map_or(id, |(place, ..)| *place), input.map(named))
            }
        };
        told.push((place, named(id), on));
    }
    told.extend(types.iter().map(|known| (known.id, format!("type {}", shown_name(&known.name)), None)));
    told.sort_by_key(|(place, ..)| *place);
    told.into_iter().map(|(_, what, on)| (what, on)).collect()
}
