//! The table of rejects: what could not be loaded, kept with the load.
//!
//! Its rows are part of the load's own change, so they are there exactly when the load is.

use crate::copy_format::Rejected;
use crate::engine::{Engine, commit_error, now_micros};
use crate::error::{ErrorKind, QueryError};
use crate::insert::writable_table;
use crate::intake::Intake;
use crate::planner::Planning;
use crate::row_rules::RowRules;
use crate::session::Session;
use crate::statement::{StatementKind, parse};
use crate::transaction::Change;
use arrow::array::{ArrayRef, Int64Array, StringViewArray, TimestampMicrosecondArray, new_null_array};
use catalog::commit::CommitError;
use catalog::definition::TableDefinition;
use catalog::draft::{CommitDraft, Conflict, Op};
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

/// Makes the table where there is none. It stays when the load fails, empty: two first loads at once must not fail over it.
pub(crate) async fn ensure_table(session: &mut Session, name: &str, alone: bool) -> Result<(), QueryError> {
    let name = relation_name(name)?;
    let planning = session.planning()?;
    match writable_table(&planning, &name) {
        Ok(definition) => return check(&definition),
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
    let definition = crate::definitions::new_table(session, &create, &statement)?;
    let is_temporary = session.planning()?.snapshot.is_temporary(&definition.name);
    let op = Op::CreateTable(Arc::new(definition));
    if !alone || is_temporary {
        return session.add_change(Change::of(vec![op]));
    }
    let draft = CommitDraft::new(Arc::clone(&planning.snapshot), vec![op]);
    match session.engine.commit(draft, Vec::new()).await {
        Ok(_) | Err(CommitError::Conflict(Conflict::NameTaken(_))) => Ok(()),
        Err(error) => Err(commit_error(error)),
    }
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
    /// The table must be there; `label` names the load, which otherwise gets a name of its own.
    pub(crate) fn open(planning: &Planning, name: &str, label: Option<&str>) -> Result<Self, QueryError> {
        let definition = writable_table(planning, &relation_name(name)?)?;
        check(&definition)?;
        let load = label.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_string);
        Ok(Self { rules: RowRules::of(planning, &definition)?, intake: None, load })
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
