//! Contents: what a relation holds at a snapshot, and how that differs from what it held before.
//!
//! ```text
//!     table, view of each of its rows      what commits changed ───────────────────────┐
//!     view whose state is in memory        rows of touched groups: now − before ───────┼─▶ net by all columns ─▶ diff, columns
//!     anything else                        all rows: now − before ─────────────────────┘
//! ```
//!
//! The first two cost what changed (and a look at the keys of all groups), the last one reads both contents whole. Whichever is taken, the
//! content before and the difference add up to the content now. A content holds its snapshot, and the time that `now()` is for it, so that
//! it is later what it was when it was read.

use crate::activity::StatementToken;
use crate::engine::Engine;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::execution::stream;
use crate::kept_states::{KeptState, KeptStates, in_memory};
use crate::planner::{Planning, result_columns};
use crate::planning_state::PlanningState;
use crate::response::{ResultColumn, RowStream};
use crate::scan::{Extra, RowSet, WEIGHT};
use crate::statement::{StatementKind, parse};
use crate::system_facts::background_planning;
use crate::view_inputs::{are_defined_alike, newest_change};
use crate::view_reading::{kept_state, plan_of_groups, plan_of_rows};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::definition::ObjectName;
use catalog::ids::{CommitSeq, ObjectId};
use catalog::snapshot::{Relation, Snapshot, TableVersion, ViewVersion};
use catalog::sql_type::SqlType;
use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, Result};
use datafusion::datasource::provider_as_source;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType, cast, col, lit};
use datafusion::physical_expr::expressions;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use std::fmt;
use std::sync::Arc;

mod float_bits;

/// The first column of what is read of a content, `Int64`: how often the row is there, or how much more often than before.
const DIFF: &str = "__diff";

/// What a relation holds at one snapshot.
pub(crate) struct Content {
    planning: Planning,
    id: ObjectId,
    columns: Vec<ResultColumn>,
    /// What `now()` is.
    time: DateTime<Utc>,
    /// The state that a view was read from.
    kept: Option<Arc<KeptState>>,
}

impl Content {
    /// The content of a relation that is there, for a reader in a time zone.
    pub(crate) async fn read(
        engine: &Arc<Engine>,
        snapshot: Arc<Snapshot>,
        id: ObjectId,
        time_zone: &str,
    ) -> std::result::Result<Self, QueryError> {
        let time = Utc::now();
        let planning = planning_at(engine, snapshot, time_zone, time);
        let columns = result_columns(&whole(&planning, id)?, &planning.snapshot)?;
        Ok(Self { planning, id, columns, time, kept: None }.with_state().await)
    }

    /// The same relation at a later snapshot. Where nothing changed this is the content that it was, of another snapshot.
    pub(crate) async fn at(&self, snapshot: Arc<Snapshot>) -> std::result::Result<Self, QueryError> {
        let (engine, zone) = (&self.planning.engine, self.planning.state.time_zone());
        let is_same = self.changed_by(&snapshot).is_none();
        if !is_same && !self.is_defined_as_in(&snapshot) {
            let next = Self::read(engine, snapshot, self.id, zone).await?;
            return self.check_columns(&next).map(|()| next);
        }
        let time = if is_same { self.time } else { Utc::now() };
        let planning = planning_at(engine, snapshot, zone, time);
        let (columns, kept) = (self.columns.clone(), self.kept.clone());
        let next = Self { planning, id: self.id, columns, time, kept };
        Ok(if is_same { next } else { next.with_state().await })
    }

    /// Whether all that the content is computed from is defined as it was.
    fn is_defined_as_in(&self, later: &Snapshot) -> bool {
        are_defined_alike(&self.planning.snapshot, later, self.id)
    }

    fn check_columns(&self, next: &Self) -> std::result::Result<(), QueryError> {
        let is_same = |(before, now): (&ResultColumn, &ResultColumn)| {
            before.name == now.name
                && before.modifier == now.modifier
                && shows_values_of(&now.sql_type, &before.sql_type)
        };
        if self.columns.len() == next.columns.len() && self.columns.iter().zip(&next.columns).all(is_same) {
            return Ok(());
        }
        let message = format!("the columns of \"{}\" have changed", next.name());
        Err(QueryError::new(ErrorKind::FeatureNotSupported, message).hint("Subscribe to it again."))
    }

    pub(crate) fn columns(&self) -> &[ResultColumn] {
        &self.columns
    }

    /// What the relation is called, or was.
    pub(crate) fn name(&self) -> String {
        relation_name(&self.planning.snapshot, self.id).map(|name| name.name).unwrap_or_default()
    }

    pub(crate) fn seq(&self) -> CommitSeq {
        self.planning.snapshot.seq
    }

    /// The newest commit after this content that may have changed it, as a later snapshot knows.
    pub(crate) fn changed_by(&self, later: &Snapshot) -> Option<CommitSeq> {
        let changed_at = if self.is_defined_as_in(later) { newest_change(later, self.id) } else { later.seq };
        (changed_at > self.seq()).then_some(changed_at)
    }

    /// All rows: `Int64` 1 and the columns.
    pub(crate) async fn rows(&self) -> std::result::Result<Arc<dyn ExecutionPlan>, QueryError> {
        let rows = weighted(whole(&self.planning, self.id)?, 1).map_err(plan_error)?;
        self.planning.physical_plan(&rows, None).await
    }

    /// Runs a plan of this content for a statement.
    pub(crate) fn run(&self, plan: Arc<dyn ExecutionPlan>, token: &StatementToken) -> RowStream {
        stream(&self.planning.engine, token, plan, &self.planning.state, None)
    }

    /// The rows of which there are more or less than before: `Int64` how many, and the columns. What there is less of comes first.
    pub(crate) async fn changes_since(&self, before: &Self) -> std::result::Result<Arc<dyn ExecutionPlan>, QueryError> {
        let known = match self.changes_of_table(before)? {
            Some(changes) => Some(vec![changes]),
            None => self.touched_groups(before).await,
        };
        if let Some(signed) = known.or_else(|| self.changes_of_rows(before)) {
            return self.netted(signed).await;
        }
        self.netted(vec![self.computed(1).await?, before.computed(-1).await?]).await
    }

    /// The versions of a table before and now, where it is defined as it was.
    fn versions<'a>(&'a self, before: &'a Self, table: ObjectId) -> Option<[&'a Arc<TableVersion>; 2]> {
        let versions = [before, self].map(|content| content.planning.snapshot.tables.get(&table));
        let [Some(then), Some(now)] = versions else { return None };
        Arc::ptr_eq(&then.definition, &now.definition).then_some([then, now])
    }

    /// What changed in a table: from the commits, or else from what its versions do not share.
    fn changes_of_table(&self, before: &Self) -> std::result::Result<Option<LogicalPlan>, QueryError> {
        let Some([then, now]) = self.versions(before, self.id) else { return Ok(None) };
        let changes = now.changes_since(before.seq()).filter(|changes| !changes.iter().any(|change| change.truncated));
        let rows = match changes {
            Some(changes) => RowSet::of_changes(&now.definition, changes),
            None => RowSet::between(then, now),
        };
        let name = format!("changes of {}", rows.definition.name.name);
        let source = self.planning.rows_source(&name, rows);
        let signed = || {
            let scan = LogicalPlanBuilder::scan("changes", source, None)?;
            let columns: Vec<Column> = scan.schema().columns();
            let (weight, columns): (Vec<_>, Vec<_>) = columns.into_iter().partition(|column| column.name == WEIGHT);
            let weight = weight.into_iter().map(|weight| cast(Expr::Column(weight), DataType::Int64).alias(DIFF));
            scan.project(weight.chain(numbered(columns)).collect::<Vec<_>>())?.build()
        };
        signed().map(Some).map_err(plan_error)
    }

    /// The rows of the groups of a view in which something changed, with the sign of their content. `None` where these groups alone cannot
    /// be told; what fails here may not when all rows are computed.
    async fn touched_groups(&self, before: &Self) -> Option<Vec<LogicalPlan>> {
        let (then, now) = (before.kept.as_ref()?, self.kept.as_ref()?);
        let view = self.view().filter(|_| before.is_defined_as_in(&self.planning.snapshot))?;
        let planning = self.zoned(view);
        let program = planning.engine.programs.of(&planning, &view.definition).ok()?;
        if !program.is_by_group() {
            return None;
        }
        let groups = async {
            let Some(apart) = KeptStates::apart(&planning, view, &program, [then, now]).await? else { return Ok(None) };
            let signed = apart.into_iter().zip([-1, 1]).map(|(rows, weight)| {
                let rows = in_memory(&now.schema(), rows)?;
                weighted(plan_of_groups(&planning, view, &program, rows)?, weight)
            });
            signed.collect::<Result<Vec<_>>>().map(Some).map_err(plan_error)
        };
        groups.await.unwrap_or_else(|error: QueryError| {
            tracing::debug!(view = %view.definition.name, %error, "the whole content of a view is compared");
            None
        })
    }

    /// What changed rows of a table make of a view that is computed row by row.
    fn changes_of_rows(&self, before: &Self) -> Option<Vec<LogicalPlan>> {
        let view = self.view().filter(|_| before.is_defined_as_in(&self.planning.snapshot))?;
        let planning = self.zoned(view);
        let program = planning.engine.programs.of(&planning, &view.definition).ok()?;
        let table = program.table_of_rows()?;
        let name = ObjectName::new(table.schema()?, table.table());
        let [then, now] = self.versions(before, *planning.snapshot.names.get(&name)?)?;
        // Rows that came and went in between may be such that an expression fails on them.
        let rows = RowSet::between(then, now);
        let signed = [-1, 1].into_iter().map(|weight| {
            let rows = RowSet { extra: Extra::None, ..rows.with_weight(weight) };
            let source = planning.rows_source(&format!("changes of {}", name.name), rows);
            weighted(plan_of_rows(view, &program, source)?, weight.into())
        });
        signed.collect::<Result<Vec<_>>>().ok()
    }

    async fn netted(&self, signed: Vec<LogicalPlan>) -> std::result::Result<Arc<dyn ExecutionPlan>, QueryError> {
        let net = net(signed, self.columns.len()).map_err(plan_error)?;
        self.planning.physical_plan(&net, None).await
    }

    /// All rows with a weight, planned by themselves: `now()` is another time in what they are compared with.
    async fn computed(&self, weight: i64) -> std::result::Result<LogicalPlan, QueryError> {
        let rows = weighted(whole(&self.planning, self.id)?, weight).map_err(plan_error)?;
        let table = Computed(self.planning.physical_plan(&rows, None).await?);
        let scan = LogicalPlanBuilder::scan("content", provider_as_source(Arc::new(table)), None);
        scan.and_then(LogicalPlanBuilder::build).map_err(plan_error)
    }

    async fn with_state(mut self) -> Self {
        self.kept = self.kept_state().await;
        self
    }

    /// The state that the content is read from, if it is in memory. What fails here is told by who reads the rows.
    async fn kept_state(&self) -> Option<Arc<KeptState>> {
        let view = self.view()?;
        let planning = self.zoned(view);
        let program = planning.engine.programs.of(&planning, &view.definition).ok()?;
        if !program.is_by_group() {
            return None;
        }
        kept_state(&planning, view, &program).await.unwrap_or_default()
    }

    /// Planning in the time zone that a view was defined in.
    fn zoned(&self, view: &ViewVersion) -> Planning {
        let zone = &view.definition.time_zone;
        let own = self.planning.again();
        if zone.is_empty() || own.is_in_time_zone(zone) { own } else { own.in_time_zone(zone) }
    }

    fn view(&self) -> Option<&Arc<ViewVersion>> {
        self.planning.snapshot.views.get(&self.id)
    }
}

fn planning_at(engine: &Arc<Engine>, snapshot: Arc<Snapshot>, time_zone: &str, time: DateTime<Utc>) -> Planning {
    let mut planning = background_planning(engine, snapshot);
    planning.state = PlanningState::new(engine, time_zone).at(time);
    planning
}

fn plan_error(error: datafusion::common::DataFusionError) -> QueryError {
    translate(error, None)
}

/// What a relation is called now.
fn relation_name(snapshot: &Snapshot, id: ObjectId) -> std::result::Result<ObjectName, QueryError> {
    match snapshot.relation_by_id(id) {
        Some(Relation::Table(table)) => Ok(table.definition.name.clone()),
        Some(Relation::View(view)) => Ok(view.definition.name.clone()),
        Some(Relation::Sequence(_)) | None => {
            Err(QueryError::new(ErrorKind::UndefinedTable, "the relation does not exist any more"))
        }
    }
}

/// The plan of all rows of a relation.
fn whole(planning: &Planning, id: ObjectId) -> std::result::Result<LogicalPlan, QueryError> {
    let name = relation_name(&planning.snapshot, id)?;
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let text = format!("SELECT * FROM {}.{}", quoted(&name.schema), quoted(&name.name));
    match parse(&text)?.into_iter().next().map(|statement| statement.kind) {
        Some(StatementKind::Query(query)) => planning.query_plan(&query, &[], None),
        _ => Err(QueryError::new(ErrorKind::Internal, "a relation was not parsed as a query")),
    }
}

/// Columns by their numbers, whatever they are called.
fn numbered(columns: Vec<Column>) -> impl Iterator<Item = Expr> {
    columns.into_iter().enumerate().map(|(index, column)| Expr::Column(column).alias(format!("c{index}")))
}

/// Whether the values of a type look as they do in another one: an enum has the same labels.
fn shows_values_of(now: &SqlType, before: &SqlType) -> bool {
    match (now, before) {
        (SqlType::Array(now), SqlType::Array(before)) => shows_values_of(now, before),
        (SqlType::Enum(now), SqlType::Enum(before)) if now.parts().id == before.parts().id => {
            let mut labels = before.parts().labels.iter();
            now.parts().labels.len() == before.parts().labels.len()
                && labels.all(|label| now.label_at(label.position).is_some_and(|known| known.name == label.name))
        }
        _ => now.oid() == before.oid(),
    }
}

fn weighted(rows: LogicalPlan, weight: i64) -> Result<LogicalPlan> {
    let columns = rows.schema().columns();
    let shown = std::iter::once(lit(weight).alias(DIFF)).chain(numbered(columns));
    LogicalPlanBuilder::from(rows).project(shown.collect::<Vec<_>>())?.build()
}

/// Rows that are the same in all columns taken together, without those that cancel out. Zeros of either sign are different values here: a
/// client that was sent one of them would look for it in vain under the other.
fn net(signed: Vec<LogicalPlan>, columns: usize) -> Result<LogicalPlan> {
    let mut plans = signed.into_iter();
    let mut rows = LogicalPlanBuilder::from(plans.next().expect("there is a content to compare"));
    for plan in plans {
        rows = rows.union(plan)?;
    }
    let named = |index: usize| col(format!("c{index}"));
    let types: Vec<DataType> = rows.schema().fields().iter().skip(1).map(|field| field.data_type().clone()).collect();
    let keys = types.iter().enumerate().take(columns).map(|(index, data_type)| match float_bits::of(data_type) {
        Some(bits) => bits.call(vec![named(index)]).alias(format!("c{index}")),
        None => named(index),
    });
    let keys = std::iter::once(col(DIFF)).chain(keys).collect::<Vec<_>>();
    let grouped = rows.project(keys)?.aggregate((0..columns).map(named), [sum(col(DIFF)).alias("net")])?;
    let net = grouped.filter(col("net").not_eq(lit(0_i64)))?.sort([col("net").sort(true, false)])?;
    let values = types.iter().enumerate().take(columns).map(|(index, data_type)| match float_bits::back(data_type) {
        Some(value) => value.call(vec![named(index)]).alias(format!("c{index}")),
        None => named(index),
    });
    net.project(std::iter::once(col("net").alias(DIFF)).chain(values).collect::<Vec<_>>())?.build()
}

/// A plan that is ready to run, as a table that is read once.
struct Computed(Arc<dyn ExecutionPlan>);

impl fmt::Debug for Computed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Computed")
    }
}

#[async_trait]
impl TableProvider for Computed {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = Arc::clone(&self.0);
        let Some(projection) = projection else { return Ok(plan) };
        let schema = plan.schema();
        let columns = projection.iter().map(|place| {
            let name = schema.field(*place).name();
            (Arc::new(expressions::Column::new(name, *place)) as _, name.clone())
        });
        Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), plan)?))
    }
}
