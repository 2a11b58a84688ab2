//! The table of rejects: what could not be loaded, kept with the load.
//!
//! Its rows are part of the load's own change, so they are there exactly when the load is. So is a table that is made for them: a load that fails
//! or is cancelled leaves nothing. Of several first loads at once one makes it, and the others put their rejects into it.

use crate::copy_format::Rejected;
use crate::engine::{Engine, conflict_error, now_micros};
use crate::error::{ErrorKind, QueryError};
use crate::insert::writable_table;
use crate::intake::Intake;
use crate::planner::Planning;
use crate::row_rules::RowRules;
use crate::session::Session;
use crate::statement::{StatementKind, parse};
use crate::transaction::Change;
use crate::turns::Turn;
use arrow::array::{ArrayRef, Int64Array, StringViewArray, TimestampMicrosecondArray, new_null_array};
use catalog::definition::TableDefinition;
use catalog::draft::{Conflict, Op};
use catalog::snapshot::{Relation, Snapshot};
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use std::sync::Arc;

/// The columns that are written, and their types.
const COLUMNS: [(&str, SqlType); 7] = [
    ("load", SqlType::Text),
    ("line", SqlType::Int8),
    ("column_name", SqlType::Text),
    ("raw_line", SqlType::Text),
    ("sqlstate", SqlType::Text),
    ("message", SqlType::Text),
    ("rejected_at", SqlType::TimestampTz),
];

/// The table of a load's rejects.
pub(crate) struct RejectTarget {
    pub definition: Arc<TableDefinition>,
    /// Nobody knows it yet: it is made with the load.
    pub is_new: bool,
}

/// Finds the table, or defines one where there is none. With other statements in the transaction it is one of those that the transaction makes.
pub(crate) fn target(session: &mut Session, name: &str, alone: bool) -> Result<RejectTarget, QueryError> {
    let name = relation_name(name)?;
    let planning = session.planning()?;
    match writable_table(&planning, &name) {
        Ok(definition) => {
            check(&definition)?;
            return Ok(RejectTarget { definition, is_new: false });
        }
        Err(error) if error.kind == ErrorKind::UndefinedTable => {}
        Err(error) => return Err(error),
    }
    let columns = COLUMNS.map(|(column, sql_type)| format!("{column} {sql_type}"));
    let text = format!("CREATE TABLE {name} ({}) WITH (order_by = 'rejected_at, line')", columns.join(", "));
    let statement = parse(&text)?.into_iter().next();
    let Some((statement, StatementKind::CreateTable(create))) =
        statement.map(|statement| (statement.clone(), statement.kind))
    else {
        return Err(QueryError::new(ErrorKind::Internal, "a table of rejects is not a table"));
    };
    let definition = Arc::new(crate::definitions::new_table(session, &create, &statement)?);
    let is_temporary = session.planning()?.snapshot.is_temporary(&definition.name);
    let is_new = alone && !is_temporary;
    if !is_new {
        session.add_change(Change::of(vec![Op::CreateTable(Arc::clone(&definition))]))?;
    }
    Ok(RejectTarget { definition, is_new })
}

/// The turn of a load that is about to make a table: until it has ended no other load makes one of this name.
pub(crate) async fn making(session: &Session, new: &TableDefinition) -> Result<Turn, QueryError> {
    let engine = Arc::clone(&session.engine);
    // No table is called like this, so nobody who changes one waits for it.
    let turn = format!("rejects of {}", new.name);
    session.token.guard(async { Ok(engine.turns.take(&turn).await) }).await
}

/// What makes a new table with the rejects of a load in it. Where another load has made it meanwhile, they go there.
pub(crate) fn made(committed: &Snapshot, new: &Arc<TableDefinition>, rejects: Change) -> Result<Change, QueryError> {
    let Change { mut ops, .. } = rejects;
    match committed.relation(&new.name) {
        None => ops.insert(0, Op::CreateTable(Arc::clone(new))),
        Some(Relation::Table(there)) if is_alike(&there.definition, new) => {
            for op in &mut ops {
                match op {
                    Op::AddRecent { table: to, .. }
                    | Op::AddSegments { table: to, .. }
                    | Op::Expect { relation: to, .. } => *to = there.definition.id,
                    _ => {}
                }
            }
        }
        Some(_) => return Err(conflict_error(Conflict::NameTaken(new.name.clone()))),
    }
    Ok(Change { ops, ..rejects })
}

/// Whether two tables are the same but for their numbers.
fn is_alike(one: &TableDefinition, other: &TableDefinition) -> bool {
    TableDefinition { id: other.id, ..one.clone() } == *other
}

/// `name` or `schema.name` as SQL reads it.
fn relation_name(text: &str) -> Result<ObjectName, QueryError> {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;
    let parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text);
    let parsed = parser.and_then(|mut parser| {
        let name = parser.parse_object_name(false)?;
        parser.expect_token(&datafusion::sql::sqlparser::tokenizer::Token::EOF)?;
        Ok(name)
    });
    let invalid = |_| QueryError::new(ErrorKind::InvalidName, format!("invalid name syntax: \"{text}\""));
    let parts = parsed.map_err(invalid)?;
    let parts = parts.0.iter().filter_map(|part| part.as_ident());
    let folded = parts.map(|part| Ident::with_quote('"', crate::statement_grammar::fold(part)));
    Ok(ObjectName::from(folded.collect::<Vec<_>>()))
}

fn check(definition: &TableDefinition) -> Result<(), QueryError> {
    let is_there = |(name, sql_type): &(&str, SqlType)| {
        definition.columns.iter().any(|column| column.name == *name && column.sql_type == *sql_type)
    };
    let others_may_be_null = definition
        .columns
        .iter()
        .all(|column| !column.not_null || COLUMNS.iter().any(|(name, _)| column.name == *name));
    // A reject that a key refuses would be lost.
    if COLUMNS.iter().all(is_there) && others_may_be_null && definition.keys.is_empty() {
        return Ok(());
    }
    let wanted = COLUMNS.map(|(name, sql_type)| format!("{name} {sql_type}")).join(", ");
    let message = format!("table \"{}\" cannot take rejected rows", definition.name.name);
    Err(QueryError::new(ErrorKind::DatatypeMismatch, message)
        .hint(format!("It needs the columns {wanted}; COPY makes a table of another name itself.")))
}

/// Rows of rejects on their way into their table.
pub(crate) struct RejectTable {
    rules: Arc<RowRules>,
    intake: Option<Intake>,
    load: String,
}

impl RejectTable {
    /// `label` names the load, which otherwise gets a name of its own.
    pub(crate) fn open(
        planning: &Planning,
        definition: &Arc<TableDefinition>,
        label: Option<&str>,
    ) -> Result<Self, QueryError> {
        let load = label.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_string);
        Ok(Self { rules: RowRules::of(planning, definition)?, intake: None, load })
    }

    /// Takes rejected records. CPU-bound.
    pub(crate) fn push(&mut self, rejected: &[Rejected], engine: &Engine) -> Result<(), QueryError> {
        if rejected.is_empty() {
            return Ok(());
        }
        let now = now_micros();
        let definition = Arc::clone(self.rules.definition());
        let columns = definition.columns.iter().map(|column| -> ArrayRef {
            let text = |value: fn(&Rejected) -> Option<&str>| -> ArrayRef {
                Arc::new(rejected.iter().map(value).collect::<StringViewArray>())
            };
            match column.name.as_str() {
                "load" => Arc::new(StringViewArray::from_iter_values(rejected.iter().map(|_| &self.load))),
                "line" => Arc::new(Int64Array::from_iter_values(rejected.iter().map(|row| row.line as i64))),
                "column_name" => text(|row| {
                    let read = row.column.as_ref().map(|(name, _)| name);
                    read.or(row.error.column.as_ref()).map(String::as_str)
                }),
                "raw_line" => text(|row| Some(&row.raw)),
                "sqlstate" => {
                    let codes = rejected.iter().map(|row| engine.sqlstate(row.error.kind));
                    Arc::new(StringViewArray::from_iter_values(codes))
                }
                "message" => text(|row| Some(&row.error.message)),
                "rejected_at" => {
                    let times = TimestampMicrosecondArray::from(vec![now; rejected.len()]);
                    Arc::new(times.with_timezone("UTC"))
                }
                _ => new_null_array(&column.sql_type.data_type(), rejected.len()),
            }
        });
        let batch = self.rules.checked(columns.collect()).map_err(|violation| violation.error)?;
        if self.intake.is_none() {
            self.intake = Some(Intake::new(engine, Arc::clone(&definition))?);
        }
        self.intake.as_mut().map_or(Ok(()), |intake| intake.push(batch))
    }

    /// The change that adds the rows taken.
    pub(crate) fn finish(self, engine: &Engine) -> Result<Change, QueryError> {
        self.intake.map_or_else(|| Ok(Change::default()), |intake| Ok(intake.finish(engine)?.change))
    }
}
