//! json_to_record, json_populate_record and their sets. The columns stand in a list behind the alias, or are those of a relation.
//!
//!     json_to_recordset(j) AS x(a int, b jsonb)
//!         LATERAL (SELECT CAST(e.d ->> 'a' AS int) AS a, … FROM "json_to_recordset@"(j) AS e(d)) AS x
//!     json_populate_record(NULL::t, j) AS x
//!         the same with the columns of t
//!
//! `"json_to_recordset@"` gives the objects of an array, `"json_to_record@"` the object; both refuse everything else.

use super::record_values::{RecordColumn, columns_of_base, declared_columns, is_open};
use super::trees::quoted;
use super::windows::Context;
use crate::error::{ErrorKind, QueryError};
use crate::operators::sites::{call, call_quoted};
use crate::returning;
use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, ObjectName, SelectItem, Spanned, TableAlias, TableAliasColumnDef,
    TableFactor, TableWithJoins,
};

/// A function that gives records.
#[derive(Clone, Copy)]
struct RecordFunction {
    name: &'static str,
    /// What gives its documents.
    source: &'static str,
    is_set: bool,
    /// Whether its first argument is a record that says the columns, and their values where the document has none.
    has_base: bool,
}

const fn known_as(name: &'static str, source: &'static str, is_set: bool, has_base: bool) -> RecordFunction {
    RecordFunction { name, source, is_set, has_base }
}

const FUNCTIONS: [RecordFunction; 8] = [
    known_as("json_to_record", "json_to_record@", false, false),
    known_as("jsonb_to_record", "jsonb_to_record@", false, false),
    known_as("json_to_recordset", "json_to_recordset@", true, false),
    known_as("jsonb_to_recordset", "jsonb_to_recordset@", true, false),
    known_as("json_populate_record", "json_populate_record@", false, true),
    known_as("jsonb_populate_record", "jsonb_populate_record@", false, true),
    known_as("json_populate_recordset", "json_populate_recordset@", true, true),
    known_as("jsonb_populate_recordset", "jsonb_populate_recordset@", true, true),
];

/// The set of an array's objects has this name behind that of PostgreSQL's function, and so has the object.
const DOCUMENT: &str = "document";

/// Replaces a call in FROM.
pub(super) fn spelt_out(factor: &TableFactor, context: Context<'_>) -> Result<Option<TableFactor>, QueryError> {
    let (name, arguments, alias) = match factor {
        TableFactor::Table { name, args: Some(arguments), alias, .. } => (name, &arguments.args, alias),
        TableFactor::Function { name, args, alias, .. } => (name, args, alias),
        _ => return Ok(None),
    };
    let Some(function) = known(name) else { return Ok(None) };
    let mut arguments: Vec<Expr> = arguments
        .iter()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
            _ => None,
        })
        .collect();
    let base = if function.has_base && !arguments.is_empty() { Some(arguments.remove(0)) } else { None };
    let listed = alias.as_ref().and_then(definitions);
    let columns = match (base, &listed) {
        (Some(base), _) if !is_open(&base) => columns_of_base(function.name, &base, context)?,
        (_, Some(listed)) => declared_columns(listed)?,
        (_, None) => {
            let message = "a column definition list is required for functions returning \"record\"";
            let place = context.statement.and_then(|statement| statement.place_of(name.span()));
            return Err(QueryError::new(ErrorKind::Syntax, message).position(place));
        }
    };
    let alias = match alias {
        Some(alias) if listed.is_some() => TableAlias { columns: Vec::new(), ..alias.clone() },
        Some(alias) => with_all_names(alias, &columns),
        None => TableAlias { explicit: true, name: quoted(function.name), columns: Vec::new(), at: None },
    };
    record_query(function, arguments, columns, alias).map(Some)
}

/// An alias that names some of the columns, with the names of the others.
fn with_all_names(alias: &TableAlias, columns: &[RecordColumn]) -> TableAlias {
    let mut named = alias.clone();
    if !named.columns.is_empty() {
        named.columns.extend(columns.iter().skip(alias.columns.len()).map(RecordColumn::named));
    }
    named
}

fn record_query(
    function: RecordFunction,
    arguments: Vec<Expr>,
    columns: Vec<RecordColumn>,
    alias: TableAlias,
) -> Result<TableFactor, QueryError> {
    let documents = match function.is_set {
        true => call("unnest", vec![call_quoted(function.source, arguments)]),
        false => call_quoted(function.source, arguments),
    };
    let document = SelectItem::ExprWithAlias { expr: documents, alias: quoted(DOCUMENT) };
    let documents = returning::select(vec![document], Vec::new(), None, None)?;
    let relation = TableFactor::Derived {
        lateral: true,
        subquery: Box::new(documents),
        alias: Some(TableAlias { explicit: true, name: quoted(DOCUMENT), columns: Vec::new(), at: None }),
        sample: None,
    };
    let items = columns.into_iter().map(|column| column.member(&Expr::Identifier(quoted(DOCUMENT))));
    let from = vec![TableWithJoins { relation, joins: Vec::new() }];
    let subquery = Box::new(returning::select(items.collect(), from, None, None)?);
    Ok(TableFactor::Derived { lateral: true, subquery, alias: Some(alias), sample: None })
}

/// Refuses a call outside of FROM, where nothing says what the columns are.
pub(super) fn refuse_call(function: &Function) -> Result<(), QueryError> {
    let Some(RecordFunction { name, has_base, .. }) = known(&function.name) else { return Ok(()) };
    if has_base {
        return Err(
            QueryError::unsupported(format!("{name} outside of FROM")).hint(format!("Write SELECT * FROM {name}(…)."))
        );
    }
    let message = format!("could not determine row type for result of {name}");
    let hint =
        "Provide a non-null record argument, or call the function in the FROM clause using a column definition list.";
    Err(QueryError::new(ErrorKind::FeatureNotSupported, message).hint(hint))
}

fn known(name: &ObjectName) -> Option<RecordFunction> {
    let [part] = name.0.as_slice() else { return None };
    let name = part.as_ident().map(fold)?;
    FUNCTIONS.into_iter().find(|known| known.name == name)
}

/// The columns of an alias, if each has a type.
fn definitions(alias: &TableAlias) -> Option<Vec<&TableAliasColumnDef>> {
    let typed = !alias.columns.is_empty() && alias.columns.iter().all(|column| column.data_type.is_some());
    typed.then(|| alias.columns.iter().collect())
}
