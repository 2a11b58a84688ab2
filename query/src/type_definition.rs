//! Types: CREATE, ALTER and DROP TYPE.
//!
//! A column has its whole type in its table's definition, and a view in those of its columns and of its state. So a type that
//! changes gives all of them their next definitions, in one commit. No row changes: the values of labels stay what they are.
//!
//!     ALTER TYPE ──▶ next type ──▶ AlterTable of each table with a column of it ──▶ views over the result ──▶ AlterType

use crate::altered_views::next_types;
use crate::altering::drop_columns;
use crate::bound_expressions::plan_bound;
use crate::definitions::{check_defaults, done, new_name};
use crate::dropping::{cascades, shown};
use crate::engine::conflict_error;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::planner::Planning;
use crate::response::Response;
use crate::session::Session;
use crate::sql_types::built_in;
use crate::statement::{Statement, TypeAlteration, ValuePlace};
use crate::transaction::Change;
use crate::user_types::{missing, renamed_in, uses};
use catalog::definition::{BoundExpression, ObjectName, TableDefinition};
use catalog::draft::Op;
use catalog::enum_type::{EnumParts, EnumType, LABELS_MAX, LabelPlace, LabelRefused};
use catalog::ids::ObjectId;
use catalog::snapshot::Snapshot;
use catalog::sql_type::SqlType;
use catalog::user_type::{TypeDefinition, TypeKind, user_type_of, with_user_type};
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
fn find(planning: &Planning, name: &ast::ObjectName) -> Result<Arc<TypeDefinition>, QueryError> {
    planning.known_types().find(name).cloned().ok_or_else(|| missing(&name.to_string().replace('"', "")))
}

pub(crate) async fn alter_type(
    session: &mut Session,
    name: &ast::ObjectName,
    change: &TypeAlteration,
) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let before = find(&planning, name)?;
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
        TypeAlteration::SetSchema(schema) => {
            if !planning.snapshot.schemas.contains_key(schema) {
                let message = format!("schema \"{schema}\" does not exist");
                return Err(QueryError::new(ErrorKind::UndefinedSchema, message));
            }
            with_name(&planning, &known, ObjectName::new(schema, &before.name.name))?
        }
    };
    let next = TypeDefinition {
        name: parts.name,
        version: before.version + 1,
        kind: TypeKind::Enum { labels: parts.labels },
        ..TypeDefinition::clone(&before)
    };
    let ops = altered(session, &planning, &before, next).await?;
    session.add_change(Change::of(ops))?;
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
    crate::table_definition::check_name(&name.name)?;
    refuse_taken(&planning.snapshot, &name)?;
    Ok(EnumParts { name, ..known.parts().clone() })
}

/// The operations that change a type with all that has it.
async fn altered(
    session: &mut Session,
    planning: &Planning,
    before: &TypeDefinition,
    next: TypeDefinition,
) -> Result<Vec<Op>, QueryError> {
    let snapshot = &planning.snapshot;
    let next = Arc::new(next);
    let tables: Vec<Arc<TableDefinition>> = snapshot
        .tables
        .values()
        .filter_map(|table| next_table(&table.definition, &before.name, &next))
        .map(Arc::new)
        .collect();
    let mut ops: Vec<Op> = tables.iter().map(|table| Op::AlterTable(Arc::clone(table))).collect();
    ops.push(Op::AlterType(Arc::clone(&next)));
    let apply = |ops: &[Op]| snapshot.apply(snapshot.seq.next(), 0, ops).map(Arc::new).map_err(conflict_error);
    let after = session.planning_at(apply(&ops)?);
    for table in &tables {
        check_rules(&after, table).await.map_err(|error| in_use(error, &format!("table {}", table.name.name)))?;
    }
    for view in views_in_order(snapshot) {
        let after = session.planning_at(apply(&ops)?);
        let Some(view) = snapshot.views.get(&view) else { continue };
        let text = renamed_in(&view.definition.query, &before.name, &next.name)?;
        let altered = next_types(session, &after, view, text, &next);
        let altered = altered.map_err(|error| in_use(error, &shown(snapshot, view.definition.id)))?;
        ops.extend(altered.map(|next| Op::AlterView(Arc::new(next))));
    }
    Ok(ops)
}

/// A table's definition with the next version of a type; `None` where it has nothing of it.
fn next_table(table: &TableDefinition, from: &ObjectName, next: &TypeDefinition) -> Option<TableDefinition> {
    let mut altered = table.clone();
    let rename = |text: &mut String| {
        // What cannot be read as an expression is told when it is planned.
        if let Ok(renamed) = crate::bound_expressions::with_type_renamed(text, from, &next.name) {
            *text = renamed;
        }
    };
    let bound = |expression: &mut BoundExpression| rename(&mut expression.text);
    for column in &mut altered.columns {
        if let Some(sql_type) = with_user_type(&column.sql_type, next) {
            column.sql_type = sql_type;
        }
        column.default.iter_mut().for_each(rename);
        column.generated.iter_mut().for_each(bound);
    }
    altered.checks.iter_mut().for_each(|check| bound(&mut check.expression));
    altered.version = table.version + 1;
    let same = altered.columns == table.columns && altered.checks == table.checks;
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
    (names, if_exists, cascade): (&[ast::ObjectName], bool, bool),
) -> Result<Response, QueryError> {
    for name in names {
        let planning = session.planning()?;
        let doomed = match find(&planning, name) {
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
            refuse_dependents(&planning.snapshot, &doomed)?;
        }
        drop_with_dependents(session, statement, &doomed).await?;
    }
    Ok(done("DROP TYPE"))
}

/// The tables with columns of a type, and those columns.
fn columns_of(snapshot: &Snapshot, id: ObjectId) -> Vec<(ObjectId, Vec<String>)> {
    let of_table = |table: &TableDefinition| -> Vec<String> {
        let columns = table.columns.iter().filter(|column| user_type_of(&column.sql_type) == Some(id));
        columns.map(|column| column.name.clone()).collect()
    };
    let tables = snapshot.tables.values().map(|table| (table.definition.id, of_table(&table.definition)));
    tables.filter(|(_, columns)| !columns.is_empty()).collect()
}

/// The views whose text or whose columns have a type.
fn views_of(snapshot: &Snapshot, doomed: &TypeDefinition) -> Vec<ObjectId> {
    let has = |view: &catalog::definition::ViewDefinition| {
        let mut columns = view.columns.iter();
        columns.any(|column| user_type_of(&column.sql_type) == Some(doomed.id)) || uses(&view.query, &doomed.name)
    };
    snapshot.views.values().filter(|view| has(&view.definition)).map(|view| view.definition.id).collect()
}

fn refuse_dependents(snapshot: &Snapshot, doomed: &TypeDefinition) -> Result<(), QueryError> {
    let what = format!("type {}", catalog::enum_type::shown_name(&doomed.name));
    let columns = columns_of(snapshot, doomed.id).into_iter().flat_map(|(table, columns)| {
        let table = shown(snapshot, table);
        columns.into_iter().map(move |column| format!("column {column} of {table}"))
    });
    let views = views_of(snapshot, doomed).into_iter().map(|view| shown(snapshot, view));
    let lines: Vec<String> = columns.chain(views).map(|dependent| format!("{dependent} depends on {what}")).collect();
    if lines.is_empty() {
        return Ok(());
    }
    Err(QueryError::new(ErrorKind::DependentObjects, format!("cannot drop {what} because other objects depend on it"))
        .detail(lines.join("\n"))
        .hint("Use DROP ... CASCADE to drop the dependent objects too."))
}

/// Drops a type, and the views and columns that have it.
pub(crate) async fn drop_with_dependents(
    session: &mut Session,
    statement: &Statement,
    doomed: &TypeDefinition,
) -> Result<(), QueryError> {
    let snapshot = Arc::clone(&session.planning()?.snapshot);
    let views = views_of(&snapshot, doomed);
    let ops = cascades(session, &snapshot, &views);
    session.add_change(Change::of(ops))?;
    for (table, columns) in columns_of(&snapshot, doomed.id) {
        let what = shown(&snapshot, table);
        for column in &columns {
            session.notice(NoticeSeverity::Notice, format!("drop cascades to column {column} of {what}"));
        }
        drop_columns(session, table, &columns, statement).await?;
    }
    session.add_change(Change::of(vec![Op::DropType(doomed.id)]))
}
