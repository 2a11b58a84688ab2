//! CREATE INDEX that is not UNIQUE: read, checked against its table, and said to come to nothing.
//!
//! Scripts make indexes for speed alone, so leaving one out changes no answer. Rows are found by partition, by the sort order inside of
//! it and by the bounds of segments; see `scan`. No name is taken, so DROP INDEX does not find it.

use crate::definitions::done;
use crate::engine_error::nearest;
use crate::error::{ErrorKind, Notice, NoticeSeverity, QueryError};
use crate::response::Response;
use crate::session::Session;
use crate::statement_grammar::fold;
use catalog::definition::Column;
use catalog::snapshot::Relation;
use datafusion::sql::sqlparser::ast::{self, Expr};

/// PostgreSQL's own.
const METHODS: [&str; 6] = ["btree", "hash", "gist", "gin", "spgist", "brin"];

/// Runs a CREATE INDEX.
pub(crate) fn run(session: &mut Session, index: &ast::CreateIndex) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let method = index.using.as_ref().map(|method| method.to_string().to_lowercase());
    if let Some(method) = method.filter(|method| !METHODS.contains(&method.as_str())) {
        let message = format!("access method \"{method}\" does not exist");
        return Err(QueryError::new(ErrorKind::UndefinedObject, message));
    }
    let table = planning.object_name(&index.table_name)?;
    let columns = match planning.relation(&table, &index.table_name.to_string())? {
        Relation::Table(version) => &version.definition.columns,
        Relation::View(view) if !view.definition.is_plain() => &view.definition.columns,
        Relation::View(_) => return Err(wrong(&table.name, "views")),
        Relation::Sequence(_) => return Err(wrong(&table.name, "sequences")),
    };
    for column in &index.columns {
        check(&column.column.expr, columns)?;
    }
    let named = index.name.as_ref().and_then(|name| name.0.last()?.as_ident().map(fold));
    let what = named.map_or_else(|| "the index".to_string(), |name| format!("index \"{name}\""));
    session.push_notice(Notice {
        severity: NoticeSeverity::Notice,
        kind: None,
        message: format!("{what} is not made, and needs not be"),
        detail: Some(
            "Rows of a table are found by its partitions, the sort order inside of them and the bounds of segments."
                .into(),
        ),
        hint: Some("What queries filter by belongs into PARTITION BY and order_by of CREATE TABLE.".into()),
    });
    Ok(done("CREATE INDEX"))
}

fn wrong(name: &str, kind: &str) -> QueryError {
    QueryError::new(ErrorKind::WrongObjectType, format!("cannot create index on relation \"{name}\""))
        .detail(format!("This operation is not supported for {kind}."))
}

/// A column must be there; what an expression is about is left alone.
fn check(expression: &Expr, columns: &[Column]) -> Result<(), QueryError> {
    let Expr::Identifier(name) = expression else { return Ok(()) };
    let name = fold(name);
    if columns.iter().any(|column| column.name == name) {
        return Ok(());
    }
    let error = QueryError::new(ErrorKind::UndefinedColumn, format!("column \"{name}\" does not exist")).column(&name);
    Err(match nearest(&name, columns.iter().map(|column| column.name.as_str())) {
        Some(near) => error.hint(format!("Perhaps you meant the column \"{near}\".")),
        None => error,
    })
}
