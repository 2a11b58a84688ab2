//! CREATE INDEX that is not UNIQUE: read, checked against its table, and kept as a name.
//!
//! Scripts make indexes for speed alone, so building none changes no answer. Rows are found by partition, by the sort order inside of
//! it and by the bounds of segments; see `scan`. What the script has named is there for DROP INDEX, ALTER INDEX and the system catalog, and
//! goes with its columns. Of a materialized view's indexes nothing is kept, not even of a UNIQUE one, which is taken where the view's
//! query says that its rows are unique.

use crate::altering::is_taken;
use crate::bound_expressions::{Purpose, plan, refuse_misplaced};
use crate::definitions::{done, taken};
use crate::engine_error::{nearest, translate};
use crate::error::{ErrorKind, Notice, NoticeSeverity, QueryError};
use crate::planner::Planning;
use crate::response::Response;
use crate::session::Session;
use crate::statement::Statement;
use crate::statement_grammar::fold;
use crate::table_definition::check_name;
use crate::table_rules::{bound, object_name};
use crate::transaction::Change;
use crate::unique_rows::are_unique;
use crate::view_reading;
use catalog::definition::{Column, IndexItem, Indexed, ObjectName, PlainIndex, TableDefinition};
use catalog::draft::Op;
use catalog::ids::{ColumnId, ObjectId};
use catalog::snapshot::{Relation, ViewVersion};
use datafusion::sql::sqlparser::ast::{self, Expr, Ident, Spanned};
use std::sync::Arc;

/// PostgreSQL's own.
const METHODS: [&str; 6] = ["btree", "hash", "gist", "gin", "spgist", "brin"];
/// The one that is meant where none is named.
const USUAL_METHOD: &str = "btree";

/// Runs a CREATE INDEX.
pub(crate) fn run(
    session: &mut Session,
    index: &ast::CreateIndex,
    statement: &Statement,
) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let method =
        index.using.as_ref().map_or_else(|| USUAL_METHOD.into(), |method| method.to_string().to_ascii_lowercase());
    if !METHODS.contains(&method.as_str()) {
        let message = format!("access method \"{method}\" does not exist");
        return Err(QueryError::new(ErrorKind::UndefinedObject, message));
    }
    let name = match index.name.as_ref().map(|name| name.0.as_slice()) {
        None => None,
        Some([one]) => one.as_ident().map(fold),
        Some([_, behind, ..]) => {
            let place = statement.place_of(behind.span()).map(|place| place - 1);
            return Err(QueryError::new(ErrorKind::Syntax, "syntax error at or near \".\"").position(place));
        }
        Some([]) => None,
    };
    let table = planning.object_name(&index.table_name)?;
    match planning.relation(&table, &index.table_name.to_string())? {
        Relation::Table(version) => {
            let before = &version.definition;
            check_expressions(&planning, before, index, statement)?;
            let mut made = made(&planning, before, index, method, session.engine.catalog.allocate_object())?;
            match name {
                Some(name) if taken(session, &planning, &named_beside(before, &name), index.if_not_exists)? => {
                    return Ok(done("CREATE INDEX"));
                }
                Some(name) => {
                    check_name(&name)?;
                    made.name = name;
                }
                None => made.name = default_name(before, &made, |name| is_taken(&planning, name)),
            }
            let mut next = TableDefinition { version: before.version + 1, ..TableDefinition::clone(before) };
            tell(session, &format!("index \"{}\" is kept in name alone", made.name));
            next.plain_indexes.push(made);
            session.add_change(Change::of(vec![Op::AlterTable(Arc::new(next))]))?;
        }
        Relation::View(view) if !view.definition.is_plain() => {
            index.columns.iter().try_for_each(|item| check(&item.column.expr, &view.definition.columns))?;
            let what = name.map_or_else(|| "the index".to_string(), |name| format!("index \"{name}\""));
            tell(session, &format!("{what} is not made, and needs not be"));
        }
        Relation::View(_) => return Err(wrong(&table.name, "views")),
        Relation::Sequence(_) => return Err(wrong(&table.name, "sequences")),
    }
    Ok(done("CREATE INDEX"))
}

/// CREATE UNIQUE INDEX on a materialized view, whose rows are held to nothing but its query.
pub(crate) fn check_unique(
    session: &mut Session,
    planning: &Planning,
    view: &ViewVersion,
    (name, columns): (Option<&Ident>, &[Ident]),
) -> Result<(), QueryError> {
    let ids = columns.iter().map(|column| named(column, &view.definition.columns));
    let ids = ids.collect::<Result<Vec<ColumnId>, QueryError>>()?;
    let places = view.definition.columns.iter().enumerate().filter(|(_, column)| ids.contains(&column.id));
    let places = places.map(|(place, _)| place).collect();
    let program = planning.engine.programs.of(planning, &view.definition)?;
    let plan = view_reading::definition_plan(planning, &program).map_err(|error| translate(error, None))?;
    if !are_unique(&plan, &places) {
        let detail = "The columns are not those that the view's query groups its rows by, so its rows may come to be alike in them.";
        return Err(QueryError::unsupported(
            "a unique index on a materialized view over columns that its groups share",
        )
        .detail(detail)
        .hint("Leave the index out: the view is kept up to date without one."));
    }
    let what = name.map_or_else(|| "the index".to_string(), |name| format!("index \"{}\"", fold(name)));
    session.push_notice(Notice {
        severity: NoticeSeverity::Notice,
        kind: None,
        message: format!("{what} is not made, and needs not be"),
        detail: Some("The view's query groups its rows by these columns, so no two rows are alike in them.".into()),
        hint: None,
    });
    Ok(())
}

fn tell(session: &mut Session, message: &str) {
    session.push_notice(Notice {
        severity: NoticeSeverity::Notice,
        kind: None,
        message: message.into(),
        detail: Some(
            "Rows of a table are found by its partitions, the sort order inside of them and the bounds of segments."
                .into(),
        ),
        hint: Some("What queries filter by belongs into PARTITION BY and order_by of CREATE TABLE.".into()),
    });
}

fn wrong(name: &str, kind: &str) -> QueryError {
    QueryError::new(ErrorKind::WrongObjectType, format!("cannot create index on relation \"{name}\""))
        .detail(format!("This operation is not supported for {kind}."))
}

/// A column must be there; what an expression is about is left alone.
fn check(expression: &Expr, columns: &[Column]) -> Result<(), QueryError> {
    let Expr::Identifier(name) = expression else { return Ok(()) };
    named(name, columns).map(drop)
}

/// Fails for an expression or a WHERE about columns that the table has not. Calls of functions that there are none of are kept as they
/// are written, as nothing computes them.
fn check_expressions(
    planning: &Planning,
    table: &TableDefinition,
    index: &ast::CreateIndex,
    statement: &Statement,
) -> Result<(), QueryError> {
    let items = index.columns.iter().map(|item| &item.column.expr);
    let items = items.filter(|item| !matches!(item, Expr::Identifier(_))).map(|item| (item, Purpose::IndexItem));
    for (expression, purpose) in
        items.chain(index.predicate.iter().map(|condition| (condition, Purpose::IndexPredicate)))
    {
        refuse_misplaced(planning, expression, purpose, statement)?;
        match plan(planning, table, expression, Some(statement)) {
            Err(error) if error.kind == ErrorKind::UndefinedColumn => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn named(name: &Ident, columns: &[Column]) -> Result<ColumnId, QueryError> {
    let name = fold(name);
    if let Some(column) = columns.iter().find(|column| column.name == name) {
        return Ok(column.id);
    }
    let error = QueryError::new(ErrorKind::UndefinedColumn, format!("column \"{name}\" does not exist")).column(&name);
    Err(match nearest(&name, columns.iter().map(|column| column.name.as_str())) {
        Some(near) => error.hint(format!("Perhaps you meant the column \"{near}\".")),
        None => error,
    })
}

/// The index that a statement asks for, still without a name.
fn made(
    planning: &Planning,
    table: &TableDefinition,
    index: &ast::CreateIndex,
    method: String,
    id: ObjectId,
) -> Result<PlainIndex, QueryError> {
    let item = |item: &ast::IndexColumn| {
        let options = &item.column.options;
        let descending = options.asc == Some(false);
        let of = match &item.column.expr {
            Expr::Identifier(name) => Indexed::Column(named(name, &table.columns)?),
            Expr::Nested(inner) => Indexed::Expression(bound(planning, inner)),
            expression => Indexed::Expression(bound(planning, expression)),
        };
        let class = item.operator_class.as_ref().map(ToString::to_string);
        Ok(IndexItem { of, class, descending, nulls_first: options.nulls_first.unwrap_or(descending) })
    };
    let items = index.columns.iter().map(item).collect::<Result<_, QueryError>>()?;
    let included = index.include.iter().map(|name| named(name, &table.columns)).collect::<Result<_, _>>()?;
    let predicate = index.predicate.as_ref().map(|predicate| bound(planning, predicate));
    Ok(PlainIndex { id, name: String::new(), method, items, included, predicate })
}

fn named_beside(table: &TableDefinition, name: &str) -> ObjectName {
    ObjectName::new(&table.name.schema, name)
}

/// `t_a_lower_idx`, with a number behind it where that is taken.
fn default_name(table: &TableDefinition, index: &PlainIndex, taken: impl Fn(&ObjectName) -> bool) -> String {
    let items = index.items.iter().map(|item| item_name(table, item));
    let included = index.included.iter().filter_map(|id| table.column(*id)).map(|column| column.name.clone());
    let middle = items.chain(included).collect::<Vec<_>>().join("_");
    object_name(&table.name.name, Some(&middle), "idx", |name| taken(&named_beside(table, name)))
}

/// What an item is called: as its column, or as the function that it calls.
fn item_name(table: &TableDefinition, item: &IndexItem) -> String {
    match &item.of {
        Indexed::Column(id) => table.column(*id).map(|column| column.name.clone()).unwrap_or_default(),
        Indexed::Expression(expression) => match crate::bound_expressions::parse(&expression.text) {
            Ok(Expr::Function(function)) => {
                function.name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default()
            }
            _ => "expr".into(),
        },
    }
}

/// An index of another table, for a table with columns of the same names.
pub(crate) fn copied(
    index: &PlainIndex,
    (from, to): (&TableDefinition, &TableDefinition),
    id: ObjectId,
    taken: impl Fn(&ObjectName) -> bool,
) -> Option<PlainIndex> {
    let same = |id: &ColumnId| {
        let name = &from.column(*id)?.name;
        to.columns.iter().find(|column| column.name == *name).map(|column| column.id)
    };
    let item = |item: &IndexItem| {
        let of = match &item.of {
            Indexed::Column(id) => Indexed::Column(same(id)?),
            Indexed::Expression(expression) => Indexed::Expression(expression.clone()),
        };
        Some(IndexItem { of, ..item.clone() })
    };
    let items = index.items.iter().map(item).collect::<Option<_>>()?;
    let included = index.included.iter().map(same).collect::<Option<_>>()?;
    let mut copy = PlainIndex { id, items, included, ..index.clone() };
    copy.name = default_name(to, &copy, |name| {
        *name == to.name || taken(name) || to.indexes().any(|(_, known)| known == name.name)
    });
    Some(copy)
}

/// What gives an index another name, also that behind a key, which bears its constraint's name; `None` where there is no such index.
pub(crate) fn renamed(planning: &Planning, name: &ast::ObjectName, to: &Ident) -> Result<Option<Change>, QueryError> {
    let candidates = planning.candidates(name)?;
    let first = candidates.iter().find(|candidate| planning.snapshot.has_name(candidate));
    let found = first.and_then(|candidate| planning.snapshot.index_named(candidate));
    let Some((table, id)) = found else { return Ok(None) };
    let (before, to) = (&table.definition, fold(to));
    check_name(&to)?;
    if is_taken(planning, &named_beside(before, &to)) {
        let message = format!("relation \"{to}\" already exists");
        return Err(QueryError::new(ErrorKind::DuplicateTable, message).table(&to));
    }
    let mut next = TableDefinition { version: before.version + 1, ..TableDefinition::clone(before) };
    if let Some(key) = next.keys.iter_mut().find(|key| key.id == id) {
        if !key.index && next.checks.iter().any(|check| check.name == to) {
            let message = format!("constraint \"{to}\" for relation \"{}\" already exists", before.name.name);
            return Err(QueryError::new(ErrorKind::DuplicateObject, message));
        }
        key.name = to;
    } else if let Some(index) = next.plain_indexes.iter_mut().find(|index| index.id == id) {
        index.name = to;
    }
    Ok(Some(Change::of(vec![Op::AlterTable(Arc::new(next))])))
}
