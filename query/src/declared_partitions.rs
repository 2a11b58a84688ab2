//! Partitions as PostgreSQL's scripts declare them.
//!
//! There, a partitioned table has partitions that are tables, made one by one. Here they come and go with the rows. So RANGE of a date
//! becomes its months, LIST the values of its columns, and statements that make single partitions have nothing to do.
//! Each of these says so.

use crate::definitions::{done, new_name};
use crate::dropped_partitions::named_partition;
use crate::error::{Notice, NoticeSeverity, QueryError};
use crate::functions::quote_identifier;
use crate::insert::writable_table;
use crate::pg_catalog::partition_expression;
use crate::response::Response;
use crate::session::Session;
use catalog::definition::{PartitionColumn, TableDefinition, Transform};
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast;

/// How PARTITION BY says that rows are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartitionMethod {
    Range,
    List,
    Hash,
}

impl PartitionMethod {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "range" => Self::Range,
            "list" => Self::List,
            "hash" => Self::Hash,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Range => "RANGE",
            Self::List => "LIST",
            Self::Hash => "HASH",
        }
    }

    /// What an item of PARTITION BY becomes; `None` where Meridian does not spread rows by it.
    pub(crate) fn item(self, definition: &TableDefinition, item: PartitionColumn) -> Option<PartitionColumn> {
        let sql_type = definition.column(item.column).map(|column| &column.sql_type);
        let dated = matches!(sql_type, Some(SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz));
        match (self, item.transform) {
            (Self::List, _) => Some(item),
            (Self::Range, Transform::Identity) => {
                dated.then_some(PartitionColumn { transform: Transform::Month, ..item })
            }
            (Self::Range, _) => Some(item),
            (Self::Hash, _) => None,
        }
    }
}

/// Says what became of PARTITION BY RANGE, LIST or HASH.
pub(crate) fn announce(session: &mut Session, method: PartitionMethod, items: &[ast::Expr], table: &TableDefinition) {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    let declared = format!("PARTITION BY {} ({})", method.word(), items.join(", "));
    let kept = partition_expression(table);
    let message = if kept.is_empty() {
        format!("table \"{}\" has no partitions, {declared} changes nothing", table.name.name)
    } else {
        format!("{declared} becomes PARTITION BY ({kept}), whose partitions come by themselves")
    };
    session.notice(NoticeSeverity::Notice, message);
}

/// CREATE TABLE … PARTITION OF: there is nothing to make.
pub(crate) fn create_partition(
    session: &mut Session,
    create: &ast::CreateTable,
    parent: &ast::ObjectName,
) -> Result<Response, QueryError> {
    if !create.columns.is_empty() || !create.constraints.is_empty() {
        return Err(QueryError::unsupported("a partition with columns or constraints of its own")
            .hint("Declare them for the whole table."));
    }
    let planning = session.planning()?;
    let table = writable_table(&planning, parent)?;
    let name = new_name(&planning, &create.name)?;
    let bounds = match &create.for_values {
        Some(ast::ForValues::In(values)) => values.first(),
        Some(ast::ForValues::From { from, .. }) => from.first().and_then(|bound| match bound {
            ast::PartitionBoundValue::Expr(value) => Some(value),
            ast::PartitionBoundValue::MinValue | ast::PartitionBoundValue::MaxValue => None,
        }),
        Some(ast::ForValues::With { .. } | ast::ForValues::Default) | None => None,
    };
    nothing_to_do(session, &name.name, &table, bounds);
    Ok(done("CREATE TABLE"))
}

/// ALTER TABLE … ATTACH PARTITION.
pub(crate) fn attach_partition(
    session: &mut Session,
    parent: &ast::ObjectName,
    partition: &ast::ObjectName,
) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let table = writable_table(&planning, parent)?;
    let name = planning.object_name(partition)?;
    if planning.snapshot.relation(&name).is_some() {
        let hint = format!(
            "Move its rows with INSERT INTO {parent} SELECT * FROM {partition}, or dump with pg_dump --load-via-partition-root."
        );
        return Err(QueryError::unsupported(format!("attaching table \"{}\"", name.name)).hint(hint));
    }
    nothing_to_do(session, &name.name, &table, None);
    Ok(done("ALTER TABLE"))
}

/// `bound` is the first value that the partition was to have.
fn nothing_to_do(session: &mut Session, partition: &str, table: &TableDefinition, bound: Option<&ast::Expr>) {
    let name = &table.name.name;
    let message =
        format!("\"{partition}\" is not needed, rows of table \"{name}\" find their partitions by themselves");
    let hint = (!table.partition_by.is_empty()).then(|| {
        let condition = named_partition(table, bound);
        format!("Such partitions are dropped by ALTER TABLE {} DROP PARTITION ({condition}).", quote_identifier(name))
    });
    session.push_notice(Notice { severity: NoticeSeverity::Notice, kind: None, message, detail: None, hint });
}
