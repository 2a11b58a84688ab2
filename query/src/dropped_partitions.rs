//! ALTER TABLE … DROP PARTITION: a DELETE of whole partitions, which are named by the values of the columns that a table is
//! partitioned by.
//!
//!     DROP PARTITION (region = 'EMEA', month < '2024-01')
//!       ▶  DELETE … WHERE region = 'EMEA' AND sold < DATE '2024-01-01'
//!
//! Such a predicate is settled by what the snapshot knows of segments, so no file of theirs is read (`whole_segments`), and views
//! hear of it as of every other DELETE.
//!
//! No row goes that the conditions do not name. A column is compared as in any other statement, so a bound inside of a partition
//! is refused. Where the periods are compared (`month`, `month(sold)`), they are compared with periods of the same length.

use crate::definitions::{done, identifier};
use crate::engine::storage_error;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::explained_changes::Purpose;
use crate::functions::quote_identifier;
use crate::insert::writable_table;
use crate::modify::{self, Modified};
use crate::pg_catalog::partition_expression;
use crate::prepared::Prepared;
use crate::response::Response;
use crate::session::Session;
use crate::statement::StatementKind;
use crate::statement_grammar::fold;
use crate::table_definition::partition_item;
use crate::types::Zone;
use catalog::definition::{Column, PartitionColumn, TableDefinition, Transform};
use catalog::draft::{Op, select_rows};
use catalog::sql_type::SqlType;
use chrono::{NaiveDate, NaiveTime};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr, Value};
use period::{fineness, word};
use std::collections::BTreeMap;
use storage::partition::Partitioner;

mod period;

pub(crate) use period::Period;

/// The most partitions that the notice names.
const NAMED_MAX: usize = 10;

/// Runs it. The partitions that went are told in a notice.
pub(crate) async fn run(
    session: &mut Session,
    name: &ast::ObjectName,
    conditions: &[Expr],
) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let table = writable_table(&planning, name)?;
    if table.partition_by.is_empty() {
        let message = format!("table \"{}\" is not partitioned", table.name.name);
        return Err(QueryError::new(ErrorKind::WrongObjectType, message));
    }
    let conditioned = Conditions { table: &table, zone: session.output_style().time_zone };
    let wanted = conditions.iter().map(|condition| conditioned.predicate(condition)).collect::<Result<Vec<_>, _>>()?;
    let text = format!("DELETE FROM {name} WHERE {}", wanted.join(" AND "));
    let deletion = crate::statement::parse(&text)?.into_iter().next();
    let Some((deletion, StatementKind::Modify(modification))) = deletion.map(|one| (one.clone(), one.kind)) else {
        return Err(QueryError::new(ErrorKind::Internal, "a deletion was not parsed as one"));
    };
    // Places in the text are those of the DELETE, which nobody has written.
    let elsewhere = |error: QueryError| error.position(None);
    let prepared = Prepared::plan(session, &deletion, &[]).await.map_err(elsewhere)?;
    let ready = modify::ready(session, &modification, &deletion, (&prepared, &[]), Purpose::Run).await;
    let modified = ready.map_err(elsewhere)?.modified(session).await.map_err(elsewhere)?;
    let told = told(&dropped(&modified)?);
    session.add_change(modified.change)?;
    session.notice(NoticeSeverity::Notice, told);
    Ok(done("ALTER TABLE"))
}

/// The rows that a deletion takes, by the partition in which they are.
fn dropped(modified: &Modified) -> Result<BTreeMap<String, u64>, QueryError> {
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for op in &modified.change.ops {
        let Op::Delete { table, segments, recent } = op else { continue };
        let Some(version) = modified.read.tables.get(table) else { continue };
        for (id, dead) in segments {
            if let Some(segment) = version.segments.get(id) {
                *rows.entry(segment.meta.partition.to_string()).or_default() += dead.len();
            }
        }
        let schema = version.definition.schema();
        let mut partitioner = Partitioner::new(&version.definition);
        for (id, dead) in recent {
            let Some(batch) = version.recent.iter().find(|batch| batch.id == *id) else { continue };
            let fitted = version.definition.fitted(&schema, &select_rows(&batch.batch, dead));
            let fitted = fitted.map_err(|error| QueryError::new(ErrorKind::Internal, error.to_string()))?;
            for (partition, part) in partitioner.split(&fitted).map_err(storage_error)? {
                *rows.entry(partition.to_string()).or_default() += part.num_rows() as u64;
            }
        }
    }
    Ok(rows)
}

fn told(dropped: &BTreeMap<String, u64>) -> String {
    if dropped.is_empty() {
        return "no row is in such a partition".into();
    }
    let counted = |count: u64, of: &str| format!("{count} {of}{}", if count == 1 { "" } else { "s" });
    let named = dropped.iter().take(NAMED_MAX).map(|(name, rows)| format!("{name} with {}", counted(*rows, "row")));
    let mut named: Vec<String> = named.collect();
    if dropped.len() > NAMED_MAX {
        named.push(format!("and {} more", dropped.len() - NAMED_MAX));
    }
    let partitions = counted(dropped.len() as u64, "partition");
    format!("dropped {} of {partitions}: {}", counted(dropped.values().sum(), "row"), named.join(", "))
}

/// What a condition is about.
#[derive(Clone, Copy)]
struct Item<'a> {
    column: &'a Column,
    transform: Transform,
    /// Whether the partitions' periods are compared, and not the column.
    by_period: bool,
}

impl Item<'_> {
    /// The periods as a condition can name them.
    fn called(&self) -> String {
        format!("{}({})", word(self.transform), quote_identifier(&self.column.name))
    }
}

/// Why a condition is no predicate.
enum Refusal {
    /// It is no comparison of what the table is partitioned by with a constant.
    Unclear,
    /// Its bound lies inside of a partition.
    Inside(Period),
    /// Its bound is longer than a partition.
    Longer(Period),
    /// Its bound is a text that is no period.
    NoPeriod(String),
}

/// Conditions on the partitions of a table.
struct Conditions<'a> {
    table: &'a TableDefinition,
    zone: Zone,
}

impl<'a> Conditions<'a> {
    /// A condition as a predicate over the table's columns that no partition satisfies in part.
    fn predicate(&self, condition: &Expr) -> Result<String, QueryError> {
        let unclear = || self.unclear(condition);
        match condition {
            Expr::Nested(inner) => self.predicate(inner),
            Expr::IsNull(name) => {
                let item = self.item(name).ok_or_else(unclear)?;
                Ok(format!("{} IS NULL", identifier(&item.column.name)))
            }
            Expr::InList { expr, list, negated: false } => {
                let item = self.item(expr).ok_or_else(unclear)?;
                let each = list.iter().map(|value| self.compared(item, &BinaryOperator::Eq, value, condition));
                Ok(format!("({})", each.collect::<Result<Vec<_>, _>>()?.join(" OR ")))
            }
            Expr::BinaryOp { left, op, right } => {
                let item = self.item(left).ok_or_else(|| self.in_other_words(condition))?;
                self.compared(item, op, right, condition)
            }
            _ => Err(self.in_other_words(condition)),
        }
    }

    /// The refusal of a condition that is no comparison with one of the five operators, with what says the same.
    fn in_other_words(&self, condition: &Expr) -> QueryError {
        let hint = match condition {
            Expr::Between { expr, negated: false, low, high } => {
                format!("Instead of BETWEEN say ({expr} >= {low}, {expr} <= {high}).")
            }
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                format!("Conditions that are to hold together are separated by commas: ({left}, {right}).")
            }
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
                format!("Run one ALTER TABLE for each: DROP PARTITION ({left}), then DROP PARTITION ({right}).")
            }
            Expr::BinaryOp { left, op: BinaryOperator::NotEq, right } => {
                format!(
                    "Say which are to go: ({left} < {right}) are those before it and ({left} > {right}) those behind it."
                )
            }
            Expr::Between { negated: true, .. }
            | Expr::InList { negated: true, .. }
            | Expr::UnaryOp { .. }
            | Expr::IsNotNull(_) => "Say which partitions are to go, not which are to stay.".to_string(),
            _ => return self.unclear(condition),
        };
        self.refused(condition).hint(hint)
    }

    fn compared(
        &self,
        item: Item<'_>,
        operator: &BinaryOperator,
        value: &Expr,
        condition: &Expr,
    ) -> Result<String, QueryError> {
        self.comparison(item, operator, value).map_err(|refusal| match refusal {
            Refusal::Unclear => self.in_other_words(condition),
            Refusal::Longer(period) => self.longer(item, &period, operator, condition),
            Refusal::NoPeriod(text) => self.no_period(item, &text, condition),
            Refusal::Inside(period) => self.inside(item, &period, operator, condition),
        })
    }

    /// What the table is partitioned by under a name: a column's, `month(…)` of it as the table's definition says it, or `day`,
    /// `month`, `quarter`, `year` where there is one such item.
    fn item(&self, name: &Expr) -> Option<Item<'a>> {
        let table: &'a TableDefinition = self.table;
        let items = || {
            let column_of = move |item: &PartitionColumn| Some((table.column(item.column)?, item.transform));
            table.partition_by.iter().filter_map(column_of)
        };
        let name = match name {
            Expr::Nested(inner) => return self.item(inner),
            Expr::Identifier(name) => fold(name),
            _ => {
                let named = partition_item(self.table, name).ok()?;
                let (column, transform) =
                    items().find(|(column, transform)| (column.id, *transform) == (named.column, named.transform))?;
                return Some(Item { column, transform, by_period: transform != Transform::Identity });
            }
        };
        // The finest of several says where partitions end.
        let by_column = items().filter(|(column, _)| column.name == name);
        if let Some((column, transform)) = by_column.max_by_key(|(_, transform)| fineness(*transform)) {
            return Some(Item { column, transform, by_period: false });
        }
        let periods = items().filter(|(_, transform)| *transform != Transform::Identity);
        match periods.filter(|(_, transform)| word(*transform) == name).collect::<Vec<_>>()[..] {
            [(column, transform)] => Some(Item { column, transform, by_period: true }),
            _ => None,
        }
    }

    fn comparison(&self, item: Item<'_>, operator: &BinaryOperator, value: &Expr) -> Result<String, Refusal> {
        use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq};
        let name = identifier(&item.column.name);
        if !matches!(operator, Eq | Gt | GtEq | Lt | LtEq) {
            return Err(Refusal::Unclear);
        }
        let text = text_of(value).ok_or(Refusal::Unclear)?;
        if item.transform == Transform::Identity {
            return Ok(format!("{name} {operator} {value}"));
        }
        let meant = Period::parse(&text).ok_or(Refusal::NoPeriod(text))?;
        if fineness(meant.grain) < fineness(item.transform) {
            return Err(Refusal::Longer(meant));
        }
        let (from, to) = self.whole(item, operator, &meant)?;
        let sql_type = &item.column.sql_type;
        let from = from.map(|from| format!("{name} >= {}", instant(from, sql_type)));
        let to = to.map(|to| format!("{name} < {}", instant(to, sql_type)));
        let bounds: Vec<String> = from.into_iter().chain(to).collect();
        Ok(format!("({})", bounds.join(" AND ")))
    }

    /// The first day of the partitions that a comparison names, and the first one behind them.
    fn whole(
        &self,
        item: Item<'_>,
        operator: &BinaryOperator,
        meant: &Period,
    ) -> Result<(Option<NaiveDate>, Option<NaiveDate>), Refusal> {
        let partition = |day: NaiveDate| Period::of(day, item.transform).ok_or(Refusal::Unclear);
        let (from, to) = match operator {
            BinaryOperator::Lt => (None, Some(meant.first)),
            BinaryOperator::LtEq => (None, Some(meant.next)),
            BinaryOperator::Gt => (Some(meant.next), None),
            BinaryOperator::GtEq => (Some(meant.first), None),
            _ => (Some(meant.first), Some(meant.next)),
        };
        let bounds = (from.map(partition).transpose()?, to.map(partition).transpose()?);
        let on_bounds = bounds.0.is_none_or(|period| Some(period.first) == from)
            && bounds.1.is_none_or(|period| Some(period.first) == to);
        let inside = || partition(meant.first).map_or_else(|refusal| refusal, Refusal::Inside);
        if item.by_period {
            return if meant.grain == item.transform { Ok((from, to)) } else { Err(inside()) };
        }
        // To a column of instants a day is the one at which it begins.
        let splits_day =
            meant.grain == Transform::Day && !self.begins_like_partitions(item.column, operator, meant.first);
        if splits_day || !on_bounds {
            return Err(inside());
        }
        Ok((from, to))
    }

    /// Whether rows on one side of a day's beginning, as the session understands it, are those on one side of it in UTC.
    fn begins_like_partitions(&self, column: &Column, operator: &BinaryOperator, day: NaiveDate) -> bool {
        let by_instant = matches!(operator, BinaryOperator::Lt | BinaryOperator::GtEq);
        match column.sql_type {
            SqlType::Date => true,
            SqlType::TimestampTz => {
                by_instant && self.zone.offset_of_local(day.and_time(NaiveTime::MIN).and_utc().timestamp()) == 0
            }
            _ => by_instant,
        }
    }

    fn refused(&self, condition: &Expr) -> QueryError {
        QueryError::new(ErrorKind::InvalidParameterValue, format!("partitions cannot be told by {condition}"))
            .detail(format!("The table is partitioned by {}.", partition_expression(self.table)))
    }

    fn unclear(&self, condition: &Expr) -> QueryError {
        let example = self.example();
        self.refused(condition).hint(format!("Compare what it is partitioned by with constants, such as ({example})."))
    }

    /// The refusal of a bound that several partitions make up.
    fn longer(&self, item: Item<'_>, period: &Period, operator: &BinaryOperator, condition: &Expr) -> QueryError {
        let (of, unit) = (item.called(), word(item.transform));
        let within = |day: NaiveDate| Period::of(day, item.transform).map_or(String::new(), |part| part.to_string());
        let (first, last) = (within(period.first), within(period.last()));
        let said = match operator {
            BinaryOperator::Lt | BinaryOperator::GtEq => format!("{of} {operator} '{first}'"),
            BinaryOperator::LtEq | BinaryOperator::Gt => format!("{of} {operator} '{last}'"),
            _ => format!("{of} >= '{first}', {of} <= '{last}'"),
        };
        let longer = word(period.grain);
        self.refused(condition).hint(format!("{period} is a {longer} and not a {unit}: say ({said})."))
    }

    /// The refusal of a text that is not in the calendar, or not as periods are written.
    fn no_period(&self, item: Item<'_>, text: &str, condition: &Expr) -> QueryError {
        let (unit, example) = (word(item.transform), self.example());
        self.refused(condition).hint(format!("'{text}' is no {unit}; those are written as in ({example})."))
    }

    /// Conditions that would do, in what this table is partitioned by.
    fn example(&self) -> String {
        self.conditions("<", NaiveDate::from_ymd_opt(2024, 1, 1))
    }

    /// The same with an operator, for the periods of a day.
    fn conditions(&self, operator: &str, day: Option<NaiveDate>) -> String {
        let items = self.table.partition_by.iter();
        let examples = items.filter_map(|item| {
            let column = self.table.column(item.column)?;
            let name = quote_identifier(&column.name);
            let period = word(item.transform);
            let is_plain = self.item(&Expr::Identifier(ast::Ident::new(period))).is_some_and(|found| found.by_period);
            let called = if is_plain { period.to_string() } else { format!("{period}({name})") };
            let period = day.and_then(|day| Period::of(day, item.transform));
            Some(match (period, &column.sql_type) {
                (Some(period), _) => format!("{called} {operator} '{period}'"),
                (None, SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Numeric { .. }) => {
                    format!("{name} = 1")
                }
                (None, SqlType::Bool) => format!("{name} = true"),
                (None, SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz) => format!("{name} < '2024-01-31'"),
                (None, _) => format!("{name} = 'EMEA'"),
            })
        });
        examples.collect::<Vec<_>>().join(", ")
    }

    /// The refusal of a condition whose bound lies inside of a partition.
    fn inside(&self, item: Item<'_>, period: &Period, operator: &BinaryOperator, condition: &Expr) -> QueryError {
        let of = item.called();
        let dated = item.column.sql_type == SqlType::Date;
        let days = match item.transform {
            Transform::Day => "begins and ends at midnight".to_string(),
            _ => format!("goes from {} to {}", period.first, period.last()),
        };
        let zone = if dated { "" } else { ", in UTC" };
        let message = format!("partitions cannot be told by {condition}, which names a part of one");
        let error = QueryError::new(ErrorKind::InvalidParameterValue, message)
            .detail(format!("The table is partitioned by {of}, and the partition of {period} {days}{zone}."));
        let whole = format!("Say {of} {operator} '{period}' for {}", period.on_side(operator));
        error.hint(match item.by_period {
            true => format!("{whole}."),
            false => {
                format!("{whole}, or use DELETE FROM {} WHERE {condition}.", quote_identifier(&self.table.name.name))
            }
        })
    }
}

/// Conditions that name one partition of a table: that of a value, where it is one of the table's first item.
pub(crate) fn named_partition(table: &TableDefinition, value: Option<&Expr>) -> String {
    let conditioned = Conditions { table, zone: Zone::UTC };
    let day = value.and_then(text_of).and_then(|text| Period::parse(text.get(..10).unwrap_or(&text)));
    let first = day.map(|period| period.first).or(NaiveDate::from_ymd_opt(2024, 1, 1));
    match (value, table.partition_by.as_slice()) {
        (Some(value), [item]) if item.transform == Transform::Identity => {
            let column = table.column(item.column).map(|column| quote_identifier(&column.name));
            format!("{} = {value}", column.unwrap_or_default())
        }
        _ => conditioned.conditions("=", first),
    }
}

/// The text of a constant.
fn text_of(value: &Expr) -> Option<String> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => Some(text.clone()),
            Value::Boolean(truth) => Some(truth.to_string()),
            other => other.clone().into_string(),
        },
        Expr::TypedString(typed) => typed.value.value.clone().into_string(),
        _ => None,
    }
}

/// The beginning of a day as partitions see it, which is in UTC.
pub(crate) fn instant(day: NaiveDate, sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::TimestampTz => format!("TIMESTAMP WITH TIME ZONE '{day} 00:00:00+00'"),
        SqlType::Timestamp => format!("TIMESTAMP '{day}'"),
        _ => format!("DATE '{day}'"),
    }
}
