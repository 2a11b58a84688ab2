//! Types: CREATE, ALTER and DROP TYPE, and what enums and domains have in common.
//!
//! A column has its whole type in its table's definition, and a view in those of its columns and of its state. So a type that
//! changes gives all of them their next definitions, in one commit. No row changes: the values of labels stay what they are.
//!
//!     ALTER TYPE ──▶ next type ──▶ AlterTable of each table with a column of it ──▶ views over the result ──▶ AlterType

use crate::altered_views::{next_types, reads_retyped};
use crate::altering::drop_columns;
use crate::bound_expressions::plan_bound;
use crate::definitions::{check_defaults, done, new_name};
use crate::dropping::{cascades, shown, tell_cascade};
use crate::engine::conflict_error;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::planner::Planning;
use crate::response::Response;
use crate::session::Session;
use crate::sql_types::built_in;
use crate::statement::{DomainAlteration, Statement, TypeAlteration, ValuePlace};
use crate::transaction::Change;
use crate::user_types::{missing, renamed_in, uses, uses_type};
use catalog::definition::{BoundExpression, Column, ObjectName, TableDefinition};
use catalog::draft::Op;
use catalog::enum_type::{EnumParts, EnumType, LABELS_MAX, LabelPlace, LabelRefused};
use catalog::ids::{ColumnId, ObjectId};
use catalog::snapshot::Snapshot;
use catalog::sql_type::SqlType;
use catalog::type_names::shown_name;
use catalog::user_type::{TypeDefinition, TypeKind};
use datafusion::sql::sqlparser::ast;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The longest label, in bytes.
const LABEL_BYTES_MAX: usize = 63;

fn duplicate(message: String) -> QueryError {
    QueryError::new(ErrorKind::DuplicateObject, message)
}

/// Fails where a type has that name, or a relation, whose rows have a type of its name.
pub(crate) fn refuse_taken(snapshot: &Snapshot, name: &ObjectName) -> Result<(), QueryError> {
    match snapshot.type_named(name).is_some() || snapshot.relation(name).is_some() {
        true => Err(duplicate(format!("type \"{}\" already exists", name.name))),
        false => Ok(()),
    }
}

fn check_label(label: &str) -> Result<(), QueryError> {
    if label.len() > LABEL_BYTES_MAX {
        return Err(QueryError::new(ErrorKind::InvalidName, format!("invalid enum label \"{label}\""))
            .detail(format!("Labels must be {LABEL_BYTES_MAX} bytes or less.")));
    }
    Ok(())
}

pub(crate) fn create_enum(
    session: &mut Session,
    name: &ast::ObjectName,
    labels: &[String],
) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let name = new_name(&planning, name)?;
    if planning.snapshot.is_temporary(&name) {
        return Err(QueryError::unsupported("a temporary type").hint("Create it in another schema."));
    }
    refuse_taken(&planning.snapshot, &name)?;
    if labels.len() > LABELS_MAX {
        let message = format!("an enum can have at most {LABELS_MAX} labels");
        return Err(QueryError::new(ErrorKind::ProgramLimitExceeded, message));
    }
    for (index, label) in labels.iter().enumerate() {
        check_label(label)?;
        if labels[..index].contains(label) {
            let message = "duplicate key value violates unique constraint \"pg_enum_typid_label_index\"";
            return Err(QueryError::new(ErrorKind::UniqueViolation, message)
                .detail(format!("The label \"{label}\" is there twice.")));
        }
    }
    let new_id = || session.engine.catalog.allocate_object();
    let (id, array) = (new_id(), new_id());
    let labels = EnumType::declared(labels.iter().map(|label| (new_id(), label.clone())));
    let definition = TypeDefinition { id, array, name, version: 1, kind: TypeKind::Enum { labels } };
    session.add_change(Change::of(vec![Op::CreateType(Arc::new(definition))]))?;
    Ok(done("CREATE TYPE"))
}

/// The type that a statement names.
pub(crate) fn find(planning: &Planning, name: &ast::ObjectName) -> Result<Arc<TypeDefinition>, QueryError> {
    planning.known_types().find(name).cloned().ok_or_else(|| missing(&name.to_string().replace('"', "")))
}

pub(crate) async fn alter_type(
    session: &mut Session,
    statement: &Statement,
    name: &ast::ObjectName,
    change: &TypeAlteration,
) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let before = find(&planning, name)?;
    let TypeKind::Enum { .. } = before.kind else { return alter_domain(session, statement, name, change).await };
    let SqlType::Enum(known) = before.sql_type() else { return Err(missing(&before.name.name)) };
    let exists = |label: &str| duplicate(format!("enum label \"{label}\" already exists"));
    let parts = match change {
        TypeAlteration::AddValue { label, if_not_exists, place } => {
            check_label(label)?;
            if known.label_named(label).is_some() {
                let error = exists(label);
                if !if_not_exists {
                    return Err(error);
                }
                session.notice_of(
                    NoticeSeverity::Notice,
                    ErrorKind::DuplicateObject,
                    format!("{}, skipping", error.message),
                );
                return Ok(done("ALTER TYPE"));
            }
            with_label(session, &known, label, place)?
        }
        TypeAlteration::RenameValue { from, to } => {
            check_label(to)?;
            if known.label_named(from).is_some() && known.label_named(to).is_some() {
                return Err(exists(to));
            }
            known.with_renamed_label(from, to).ok_or_else(|| no_label(from))?
        }
        TypeAlteration::Rename(to) => with_name(&planning, &known, ObjectName::new(&before.name.schema, to))?,
        TypeAlteration::SetSchema(schema) => with_name(&planning, &known, ObjectName::new(schema, &before.name.name))?,
    };
    let next = TypeDefinition {
        name: parts.name,
        version: before.version + 1,
        kind: TypeKind::Enum { labels: parts.labels },
        ..TypeDefinition::clone(&before)
    };
    let all = followers(&planning.snapshot, &before.name, next);
    let ops = altered(session, &planning, &before.name, &all, false).await?;
    session.add_change(Change::of(ops))?;
    Ok(done("ALTER TYPE"))
}

/// What ALTER TYPE does to a domain.
async fn alter_domain(
    session: &mut Session,
    statement: &Statement,
    name: &ast::ObjectName,
    change: &TypeAlteration,
) -> Result<Response, QueryError> {
    let change = match change {
        TypeAlteration::Rename(to) => DomainAlteration::Rename(to.clone()),
        TypeAlteration::SetSchema(to) => DomainAlteration::SetSchema(to.clone()),
        TypeAlteration::AddValue { .. } | TypeAlteration::RenameValue { .. } => {
            let message = format!("{name} is not an enum");
            return Err(QueryError::new(ErrorKind::WrongObjectType, message));
        }
    };
    crate::domain_definition::alter(session, statement, name, &change).await?;
    Ok(done("ALTER TYPE"))
}

fn no_label(label: &str) -> QueryError {
    let message = format!("\"{label}\" is not an existing enum label");
    QueryError::new(ErrorKind::InvalidParameterValue, message)
}

fn with_label(session: &Session, known: &EnumType, label: &str, place: &ValuePlace) -> Result<EnumParts, QueryError> {
    let place = match place {
        ValuePlace::Last => LabelPlace::Last,
        ValuePlace::Before(next) => LabelPlace::Before(next),
        ValuePlace::After(previous) => LabelPlace::After(previous),
    };
    known.with_label(session.engine.catalog.allocate_object(), label, &place).map_err(|refused| {
        match (refused, place) {
            (LabelRefused::NoNeighbour, LabelPlace::Before(neighbour) | LabelPlace::After(neighbour)) => {
                no_label(neighbour)
            }
            _ => QueryError::new(ErrorKind::ProgramLimitExceeded, "there is no room for another label at this place")
                .hint("Create another type and give the columns that one with ALTER COLUMN … TYPE."),
        }
    })
}

fn with_name(planning: &Planning, known: &EnumType, name: ObjectName) -> Result<EnumParts, QueryError> {
    Ok(EnumParts { name: next_name(planning, name)?, ..known.parts().clone() })
}

/// The name that a type gets, if it can have it.
pub(crate) fn next_name(planning: &Planning, name: ObjectName) -> Result<ObjectName, QueryError> {
    if !planning.snapshot.schemas.contains_key(&name.schema) {
        let message = format!("schema \"{}\" does not exist", name.schema);
        return Err(QueryError::new(ErrorKind::UndefinedSchema, message));
    }
    crate::table_definition::check_name(&name.name)?;
    refuse_taken(&planning.snapshot, &name)?;
    Ok(name)
}

/// A type's next definition, and behind it those of the domains over it, each behind what it is over.
pub(crate) fn followers(snapshot: &Snapshot, from: &ObjectName, next: TypeDefinition) -> Vec<Arc<TypeDefinition>> {
    let to = next.name.clone();
    let mut all = vec![Arc::new(next)];
    loop {
        let is_new = |known: &&Arc<TypeDefinition>| all.iter().all(|next| next.id != known.id);
        let others = snapshot.types.values().filter(is_new);
        let found: Vec<_> = others.filter_map(|known| next_domain(known, &all, (from, &to))).map(Arc::new).collect();
        if found.is_empty() {
            return all;
        }
        all.extend(found);
    }
}

/// A domain's next definition where it is over a type that changes or names one that gets another name.
fn next_domain(
    known: &TypeDefinition,
    changed: &[Arc<TypeDefinition>],
    (from, to): (&ObjectName, &ObjectName),
) -> Option<TypeDefinition> {
    let mut domain = known.domain()?.clone();
    let mut base = Column { domain: domain.over.clone(), ..Column::new(ColumnId(0), "", domain.sql_type.clone()) };
    changed.iter().for_each(|next| base.follow_type(next));
    (domain.sql_type, domain.over) = (base.sql_type, base.domain);
    let rename = |text: &mut String| {
        if let Ok(renamed) = crate::bound_expressions::with_type_renamed(text, from, to) {
            *text = renamed;
        }
    };
    domain.checks.iter_mut().for_each(|check| rename(&mut check.expression.text));
    domain.default.iter_mut().for_each(rename);
    let kind = TypeKind::Domain(domain);
    (kind != known.kind).then(|| TypeDefinition { version: known.version + 1, kind, ..known.clone() })
}

/// The operations that change types with all that has them. `refits` says that values of the older ones need not belong to them.
pub(crate) async fn altered(
    session: &mut Session,
    planning: &Planning,
    from: &ObjectName,
    all: &[Arc<TypeDefinition>],
    refits: bool,
) -> Result<Vec<Op>, QueryError> {
    let snapshot = &planning.snapshot;
    let Some(next) = all.first() else { return Ok(Vec::new()) };
    let tables: Vec<Arc<TableDefinition>> = snapshot
        .tables
        .values()
        .filter_map(|table| next_table(&table.definition, from, all, refits))
        .map(Arc::new)
        .collect();
    let mut ops: Vec<Op> = tables.iter().map(|table| Op::AlterTable(Arc::clone(table))).collect();
    ops.extend(all.iter().map(|next| Op::AlterType(Arc::clone(next))));
    let apply = |ops: &[Op]| snapshot.apply(snapshot.seq.next(), 0, ops).map(Arc::new).map_err(conflict_error);
    let after = session.planning_at(apply(&ops)?);
    for table in &tables {
        check_rules(&after, table).await.map_err(|error| in_use(error, &format!("table {}", table.name.name)))?;
    }
    for view in views_in_order(snapshot) {
        let after = session.planning_at(apply(&ops)?);
        let Some(view) = snapshot.views.get(&view) else { continue };
        let text = renamed_in(&view.definition.query, from, &next.name)?;
        let reads_labels = uses(&text, &next.name) || reads_retyped(planning, view, &tables);
        let altered = next_types(session, &after, view, text, (next, next.domain().is_none() && reads_labels));
        let altered = altered.map_err(|error| in_use(error, &shown(snapshot, view.definition.id)))?;
        ops.extend(altered.map(|next| Op::AlterView(Arc::new(next))));
    }
    Ok(ops)
}

/// A table's definition with the next versions of types, of which the first may get another name; `None` where it has nothing of them.
fn next_table(
    table: &TableDefinition,
    from: &ObjectName,
    all: &[Arc<TypeDefinition>],
    refits: bool,
) -> Option<TableDefinition> {
    let next = all.first()?;
    let mut altered = table.clone();
    let rename = |text: &mut String| {
        // What cannot be read as an expression is told when it is planned.
        if let Ok(renamed) = crate::bound_expressions::with_type_renamed(text, from, &next.name) {
            *text = renamed;
        }
    };
    let bound = |expression: &mut BoundExpression| rename(&mut expression.text);
    for column in &mut altered.columns {
        all.iter().for_each(|next| column.follow_type(next));
        column.default.iter_mut().for_each(rename);
        column.generated.iter_mut().for_each(bound);
    }
    altered.checks.iter_mut().for_each(|check| bound(&mut check.expression));
    altered.version = table.version + 1;
    let same = altered.columns == table.columns && altered.checks == table.checks;
    if refits {
        altered.rows_fit_from = altered.version;
    }
    (!same).then_some(altered)
}

/// What a table keeps as text must still mean something.
async fn check_rules(planning: &Planning, table: &TableDefinition) -> Result<(), QueryError> {
    check_defaults(planning, table).await?;
    let generated = table.columns.iter().filter_map(|column| column.generated.as_ref());
    for bound in generated.chain(table.checks.iter().map(|check| &check.expression)) {
        plan_bound(planning, table, bound)?;
    }
    Ok(())
}

fn in_use(error: QueryError, what: &str) -> QueryError {
    QueryError::unsupported(format!("changing this type, on which {what} depends: {},", error.message))
        .hint("Drop what depends on it first, and create it again afterwards.")
}

/// The views of a snapshot, each behind those that it reads.
fn views_in_order(snapshot: &Snapshot) -> Vec<ObjectId> {
    fn visit(snapshot: &Snapshot, id: ObjectId, seen: &mut BTreeSet<ObjectId>, order: &mut Vec<ObjectId>) {
        let Some(view) = snapshot.views.get(&id).filter(|_| seen.insert(id)) else { return };
        view.definition.inputs.iter().for_each(|input| visit(snapshot, *input, seen, order));
        order.push(id);
    }
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    snapshot.views.keys().for_each(|id| visit(snapshot, *id, &mut seen, &mut order));
    order
}

pub(crate) async fn drop_types(
    session: &mut Session,
    statement: &Statement,
    domains: bool,
    (names, if_exists, cascade): (&[ast::ObjectName], bool, bool),
) -> Result<Response, QueryError> {
    for name in names {
        let planning = session.planning()?;
        let doomed = match find(&planning, name) {
            Ok(doomed) if domains && doomed.domain().is_none() => {
                let message = format!("\"{}\" is not a domain", name.to_string().replace('"', ""));
                return Err(QueryError::new(ErrorKind::WrongObjectType, message));
            }
            Ok(doomed) => doomed,
            Err(_) if let Some(known) = built_in(name) => {
                let known = known.base_name();
                let message = format!("cannot drop type {known} because it is required by the database system");
                return Err(QueryError::new(ErrorKind::DependentObjects, message));
            }
            Err(error) if if_exists => {
                session.notice(NoticeSeverity::Notice, format!("{}, skipping", error.message));
                continue;
            }
            Err(error) => return Err(error),
        };
        if !cascade {
            let _types = planning.knows_types();
            refuse_dependents(&planning.snapshot, &doomed)?;
        }
        let lost = drop_with_dependents(session, statement, &doomed).await?;
        tell_cascade(session, &lost);
    }
    Ok(done(if domains { "DROP DOMAIN" } else { "DROP TYPE" }))
}

/// The tables with columns of a type, and those columns.
fn columns_of(snapshot: &Snapshot, id: ObjectId) -> Vec<(ObjectId, Vec<String>)> {
    let of_table = |table: &TableDefinition| -> Vec<String> {
        let columns = table.columns.iter().filter(|column| column.user_types().any(|used| used == id));
        columns.map(|column| column.name.clone()).collect()
    };
    let tables = snapshot.tables.values().map(|table| (table.definition.id, of_table(&table.definition)));
    tables.filter(|(_, columns)| !columns.is_empty()).collect()
}

/// The views whose text or whose columns have a type.
fn views_of(snapshot: &Snapshot, doomed: &TypeDefinition) -> Vec<ObjectId> {
    let has = |view: &catalog::definition::ViewDefinition| {
        let mut columns = view.columns.iter();
        let has_columns = columns.any(|column| column.user_types().any(|used| used == doomed.id));
        has_columns || uses(&view.query, &doomed.name)
    };
    snapshot.views.values().filter(|view| has(&view.definition)).map(|view| view.definition.id).collect()
}

/// The domains over a type.
fn domains_over(snapshot: &Snapshot, id: ObjectId) -> Vec<Arc<TypeDefinition>> {
    snapshot.types.values().filter(|known| known.is_over(id)).cloned().collect()
}

/// The rules of tables and domains whose text has a type, but for those of its own columns.
fn rules_of(snapshot: &Snapshot, doomed: &TypeDefinition) -> Vec<String> {
    let has = |text: &str| uses_type(text, &doomed.name);
    let mut found = Vec::new();
    for table in snapshot.tables.values().map(|table| &table.definition) {
        let what = shown(snapshot, table.id);
        for column in table.columns.iter().filter(|column| column.user_types().all(|used| used != doomed.id)) {
            let generated = column.generated.as_ref().map(|bound| &bound.text);
            if column.default.as_ref().or(generated).is_some_and(|text| has(text)) {
                found.push(format!("default value for column {} of {what}", column.name));
            }
        }
        let checks = table.checks.iter().filter(|check| has(&check.expression.text));
        found.extend(checks.map(|check| format!("constraint {} on {what}", check.name)));
    }
    for (known, domain) in snapshot.types.values().filter_map(|known| known.domain().map(|domain| (known, domain))) {
        let checks = domain.checks.iter().filter(|check| known.id != doomed.id && has(&check.expression.text));
        found.extend(checks.map(|check| format!("constraint {}", check.name)));
    }
    found
}

fn refuse_dependents(snapshot: &Snapshot, doomed: &TypeDefinition) -> Result<(), QueryError> {
    let what = format!("type {}", shown_name(&doomed.name));
    let mut lines = Vec::new();
    let (mut pending, mut seen) = (vec![(what.clone(), Arc::new(doomed.clone()))], BTreeSet::new());
    while let Some((below, known)) = pending.pop() {
        for (table, columns) in columns_of(snapshot, known.id) {
            let table = shown(snapshot, table);
            let columns = columns.into_iter().filter(|column| seen.insert(format!("{table}.{column}")));
            lines.extend(columns.map(|column| format!("column {column} of {table} depends on {below}")));
        }
        for view in views_of(snapshot, &known).into_iter().map(|view| shown(snapshot, view)) {
            if seen.insert(view.clone()) {
                lines.push(format!("{view} depends on {below}"));
            }
        }
        lines.extend(rules_of(snapshot, &known).into_iter().map(|rule| format!("{rule} depends on {below}")));
        for over in domains_over(snapshot, known.id) {
            let above = format!("type {}", shown_name(&over.name));
            lines.push(format!("{above} depends on {below}"));
            pending.push((above, over));
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    Err(QueryError::new(ErrorKind::DependentObjects, format!("cannot drop {what} because other objects depend on it"))
        .detail(lines.join("\n"))
        .hint("Use DROP ... CASCADE to drop the dependent objects too."))
}

/// Drops a type, and the views, columns and domains that have it.
pub(crate) async fn drop_with_dependents(
    session: &mut Session,
    statement: &Statement,
    doomed: &Arc<TypeDefinition>,
) -> Result<Vec<String>, QueryError> {
    let snapshot = Arc::clone(&session.planning()?.snapshot);
    // Each behind what it is over.
    let mut all = vec![Arc::clone(doomed)];
    let mut next = 0;
    while next < all.len() {
        let over = domains_over(&snapshot, all[next].id);
        all.extend(over);
        next += 1;
    }
    let mut lost = Vec::new();
    for (place, known) in all.iter().enumerate().rev() {
        let snapshot = Arc::clone(&session.planning()?.snapshot);
        if !snapshot.types.contains_key(&known.id) {
            continue;
        }
        if place > 0 {
            let _types = session.planning()?.knows_types();
            lost.push(format!("type {}", shown_name(&known.name)));
        }
        lost.extend(drop_one(session, statement, known, &snapshot).await?);
    }
    Ok(lost)
}

async fn drop_one(
    session: &mut Session,
    statement: &Statement,
    doomed: &TypeDefinition,
    snapshot: &Snapshot,
) -> Result<Vec<String>, QueryError> {
    let views = views_of(snapshot, doomed);
    let (ops, mut lost) = cascades(snapshot, &views);
    session.add_change(Change::of(ops))?;
    for (table, columns) in columns_of(snapshot, doomed.id) {
        let what = shown(snapshot, table);
        lost.extend(columns.iter().map(|column| format!("column {column} of {what}")));
        drop_columns(session, table, &columns, statement).await?;
    }
    if let Some(rule) = rules_of(&session.planning()?.snapshot, doomed).first() {
        let what = format!("dropping type \"{}\", which {rule} uses,", doomed.name.name);
        return Err(QueryError::unsupported(what).hint("Drop the rule first."));
    }
    session.add_change(Change::of(vec![Op::DropType(doomed.id)]))?;
    Ok(lost)
}
