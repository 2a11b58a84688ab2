//! What there is not: the error of a statement that is PostgreSQL's alone, and the notice of one that comes to nothing.
//!
//! A statement that changes no answer by being left out, such as an owner in a dump, is told in a notice that it comes to nothing.
//! Anything else is refused, with what does the same.

use crate::definitions::done;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::insert::named_column;
use crate::response::Response;
use crate::session::Session;
use crate::statement::{Unkept, UnkeptTarget};
use crate::statement_grammar::fold;
use catalog::definition::Column;
use catalog::snapshot::Relation;
use datafusion::sql::sqlparser::ast;

const ONE_PASSWORD: &str = "Every user may do everything; restrict who can connect by a password.";
const ONLY_TABLES: &str = "Say what is meant in PARTITION BY and order_by of CREATE TABLE.";
const ATTACHED: &str =
    "A table's rows find their partitions by themselves: dump with pg_dump --load-via-partition-root.";
const NO_CODE: &str = "There are no functions in SQL, procedures and triggers: let the client do what they would do.";
const ONLY_AT_START: &str = "Settings of the server are given to meridian serve when it starts, as in --history-retention 7d; SET changes those of a session.";

/// What helps in place of a statement, by words that its name has behind its command.
const HINTS: [(&str, &str); 39] = [
    ("MERGE", "UPDATE and INSERT in one transaction do the same."),
    ("GRANT", ONE_PASSWORD),
    ("REVOKE", ONE_PASSWORD),
    ("OWNER TO", "Leave it out: every user may do everything."),
    ("OWNED", ONE_PASSWORD),
    ("ROLE", ONE_PASSWORD),
    ("USER", ONE_PASSWORD),
    ("GROUP", ONE_PASSWORD),
    ("SESSION AUTHORIZATION", ONE_PASSWORD),
    ("DEFAULT", ONE_PASSWORD),
    ("POLICY", ONE_PASSWORD),
    ("ROW LEVEL SECURITY", ONE_PASSWORD),
    ("SECURITY", ONE_PASSWORD),
    ("EXTENSION", "Leave it out: there are no extensions. \\df lists the functions that there are."),
    ("INHERIT", "Put the rows of all into one table: PARTITION BY tells them apart."),
    ("ATTACH PARTITION", ATTACHED),
    ("DETACH PARTITION", "INSERT INTO … SELECT moves rows to another table, ALTER TABLE … DROP PARTITION drops them."),
    ("INDEX", "Leave it out: what queries filter by belongs into PARTITION BY and order_by of CREATE TABLE."),
    ("CLUSTER", ONLY_TABLES),
    ("TABLESPACE", "Leave it out: all tables lie in the data directory."),
    ("ACCESS METHOD", "Leave it out: all tables are stored in one way."),
    ("OIDS", "Leave it out: no table has OIDs."),
    ("REPLICA IDENTITY", "Leave it out: nothing is replicated."),
    ("PUBLICATION", "SUBSCRIBE tells what changes in a relation."),
    ("SUBSCRIPTION", "SUBSCRIBE tells what changes in a relation."),
    ("TRIGGER", NO_CODE),
    ("RULE", NO_CODE),
    ("FUNCTION", NO_CODE),
    ("PROCEDURE", NO_CODE),
    ("AGGREGATE", NO_CODE),
    ("LANGUAGE", NO_CODE),
    ("DO", NO_CODE),
    ("CALL", NO_CODE),
    ("EXCLUDE", "Use UNIQUE, or a CHECK constraint."),
    ("CONSTRAINT", "Drop the constraint and add it again."),
    ("SYSTEM", ONLY_AT_START),
    ("STATISTICS", "Leave it out: statistics keep themselves."),
    ("DATABASE", "There is one database; use CREATE SCHEMA."),
    ("LOCK", "Use SERIALIZABLE: what a transaction read and another changed is 40001."),
];

/// The refusal of a statement by its name.
pub(crate) fn refusal(what: &str) -> QueryError {
    let error = QueryError::unsupported(what);
    let words = format!(" {what} ");
    match HINTS.iter().find(|(name, _)| words.contains(&format!(" {name} "))) {
        Some((_, hint)) => error.hint(*hint),
        None if what.starts_with("ALTER ") => {
            error.hint("What was to be changed stays as it is; make another object in its place.")
        }
        None => error,
    }
}

/// Runs a statement of which nothing is kept: what it names must be there.
pub(crate) fn run(session: &mut Session, unkept: &Unkept) -> Result<Response, QueryError> {
    match named(session, &unkept.target) {
        Err(error) if unkept.if_exists && error.kind == ErrorKind::UndefinedTable => {
            session.notice(NoticeSeverity::Notice, format!("{}, skipping", error.message));
        }
        found => {
            found?;
            session.notice(NoticeSeverity::Notice, unkept.notice.clone());
        }
    }
    Ok(done(unkept.command))
}

fn named(session: &mut Session, target: &UnkeptTarget) -> Result<(), QueryError> {
    let planning = session.planning()?;
    let relation_of = |name: &ast::ObjectName| planning.relation(&planning.object_name(name)?, &name.to_string());
    match target {
        UnkeptTarget::Nothing => Ok(()),
        UnkeptTarget::Schema(name) if planning.snapshot.schemas.contains_key(name) => Ok(()),
        UnkeptTarget::Schema(name) => {
            Err(QueryError::new(ErrorKind::UndefinedSchema, format!("schema \"{name}\" does not exist")))
        }
        UnkeptTarget::Relation(name) => relation_of(name).map(|_| ()),
        UnkeptTarget::Column(name) => {
            let mut parts = name.0.clone();
            let column = parts.pop().and_then(|part| part.as_ident().map(fold)).unwrap_or_default();
            if parts.is_empty() {
                return Err(QueryError::new(ErrorKind::Syntax, "column name must be qualified"));
            }
            match relation_of(&ast::ObjectName(parts))? {
                Relation::Table(table) => named_column(&table.definition, &column, &[]).map(|_| ()),
                Relation::View(view) => has_column(&view.definition.columns, &column, &view.definition.name.name),
                Relation::Sequence(sequence) => has_column(&[], &column, &sequence.definition.name.name),
            }
        }
    }
}

fn has_column(columns: &[Column], name: &str, relation: &str) -> Result<(), QueryError> {
    match columns.iter().any(|column| column.name == name) {
        true => Ok(()),
        false => {
            let message = format!("column \"{name}\" of relation \"{relation}\" does not exist");
            Err(QueryError::new(ErrorKind::UndefinedColumn, message).column(name))
        }
    }
}
