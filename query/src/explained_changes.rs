//! Explained changes: statements made ready, of which EXPLAIN says what they will do.
//!
//! Whoever changes something goes two steps. To run a statement is to take both; EXPLAIN asks what is ready for its outline, and takes
//! the second step with ANALYZE alone:
//!
//! ```text
//!     statement ──ready──▶ Ready ──outline──▶ Outline: the lines of EXPLAIN, and the plans
//!                            └─────run──────▶ Response; the plans know by then what they counted
//! ```
//!
//! What is ready has read no row, changed nothing and taken no number of a sequence. It holds its table only where it is to
//! run: a statement that is merely explained is in nobody's way.

use crate::definitions::{identifier, qualified};
use crate::derived_tables;
use crate::dispatch::refuse_writer;
use crate::engine_error::translate;
use crate::error::QueryError;
use crate::execution::{compute, stream};
use crate::plan_constants::fill_values;
use crate::planner::Planning;
use crate::prepared::Prepared;
use crate::response::{CommandTag, ParameterValue, Response};
use crate::row_counts::left_open;
use crate::scan::ScanReport;
use crate::session::Session;
use crate::statement::{Statement, StatementKind};
use crate::unsupported::refusal;
use crate::write_holds::WriteHold;
use crate::{insert, merge, modify, new_views};
use catalog::definition::{ObjectName, TableDefinition};
use catalog::ids::ObjectId;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;
use std::sync::Arc;

/// What a statement is made ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Run,
    Explain,
}

impl Purpose {
    /// Plans over a table of which rows are to be changed. It is held where that will happen.
    pub(crate) async fn planning_over(
        self,
        session: &mut Session,
        table: ObjectId,
    ) -> Result<(Option<WriteHold>, Arc<Planning>), QueryError> {
        match self {
            Self::Run => session.hold(table).await.map(|(hold, planning)| (Some(hold), planning)),
            Self::Explain => Ok((None, session.planning()?)),
        }
    }

    /// Makes a plan executable. To explain it nothing is computed.
    pub(crate) async fn physical_plan(
        self,
        planning: &Planning,
        plan: LogicalPlan,
        statement: &Statement,
    ) -> Result<Arc<dyn ExecutionPlan>, QueryError> {
        let plan = match self {
            Self::Run => plan,
            Self::Explain => left_open(plan).map_err(|error| translate(error, Some(statement)))?,
        };
        planning.physical_plan(&plan, Some(statement)).await
    }
}

/// A statement that is planned with its parameters and has not begun.
pub(crate) enum Ready<'a> {
    Query(Box<ReadyQuery<'a>>),
    Insert(Box<insert::Ready<'a>>),
    Modify(Box<modify::Ready<'a>>),
    Merge(Box<merge::Ready<'a>>),
    Table(Box<derived_tables::Ready<'a>>),
    View(Box<new_views::Ready<'a>>),
    /// A relation that is there already, and need not be made; by the command that would.
    Skipped(&'static str),
    /// A statement of which PostgreSQL has no plan.
    Planless,
}

impl<'a> Ready<'a> {
    /// Makes a statement ready with the values of its parameters.
    pub(crate) async fn of(
        session: &mut Session,
        statement: &'a Statement,
        bound: (&'a Prepared, &'a [ParameterValue]),
        purpose: Purpose,
    ) -> Result<Self, QueryError> {
        if purpose == Purpose::Run && !matches!(statement.kind, StatementKind::Refresh { .. }) {
            refuse_writer(session, &statement.kind)?;
        }
        Ok(match &statement.kind {
            StatementKind::Query(query) => ReadyQuery::of(session, query, statement, bound, purpose).await?,
            StatementKind::Declare(declare) => {
                ReadyQuery::of(session, declare.query()?, &declare.statement, bound, purpose).await?
            }
            StatementKind::Insert(insert, overriding) => {
                let ready = insert::ready(session, (insert, *overriding), statement, bound, purpose).await?;
                Self::Insert(Box::new(ready))
            }
            StatementKind::Modify(modification) => {
                Self::Modify(Box::new(modify::ready(session, modification, statement, bound, purpose).await?))
            }
            StatementKind::Merge(merge) => {
                Self::Merge(Box::new(merge::ready(session, merge, statement, bound, purpose).await?))
            }
            StatementKind::CreateTableAs(create) => {
                let ready = derived_tables::ready(session, create, statement, bound, purpose).await?;
                ready.map_or(Self::Skipped("CREATE TABLE AS"), |ready| Self::Table(Box::new(ready)))
            }
            StatementKind::CreateView(create) if create.materialized => {
                let ready = new_views::ready(session, create, statement, purpose).await?;
                ready.map_or(Self::Skipped("CREATE MATERIALIZED VIEW"), |ready| Self::View(Box::new(ready)))
            }
            StatementKind::Unsupported(what) => return Err(refusal(what)),
            _ => Self::Planless,
        })
    }

    /// `None` for a statement that has no plan.
    pub(crate) fn outline(&self) -> Option<Outline> {
        match self {
            Self::Query(ready) => Some(Outline::of_query(&ready.planning).with_plans([Arc::clone(&ready.plan)])),
            Self::Insert(ready) => Some(ready.outline()),
            Self::Modify(ready) => Some(ready.outline()),
            Self::Merge(ready) => Some(ready.outline()),
            Self::Table(ready) => Some(ready.outline()),
            Self::View(ready) => Some(ready.outline()),
            Self::Skipped(_) | Self::Planless => None,
        }
    }

    /// Runs the statement to its end; the number of rows that it changed. `alone` is whether it is alone in its transaction.
    pub(crate) async fn run(self, session: &mut Session, alone: bool) -> Result<u64, QueryError> {
        let response = match self {
            Self::Query(ready) => return ready.run(session).await,
            Self::Insert(ready) => ready.run(session).await?,
            Self::Modify(ready) => ready.run(session).await?,
            Self::Merge(ready) => ready.run(session).await?,
            Self::Table(ready) => ready.run(session).await?,
            Self::View(ready) => ready.run(session, alone).await?,
            Self::Skipped(_) | Self::Planless => return Ok(0),
        };
        match response {
            Response::Command(CommandTag::Rows(_, rows)) => Ok(rows),
            Response::Rows { stream, .. } => {
                stream.try_fold(0, |rows, batch| async move { Ok(rows + batch.num_rows() as u64) }).await
            }
            _ => Ok(0),
        }
    }
}

/// A query that is planned and has not begun.
pub(crate) struct ReadyQuery<'a> {
    statement: &'a Statement,
    planning: Arc<Planning>,
    plan: Arc<dyn ExecutionPlan>,
}

impl<'a> ReadyQuery<'a> {
    async fn of(
        session: &mut Session,
        query: &ast::Query,
        statement: &'a Statement,
        (prepared, parameters): (&Prepared, &[ParameterValue]),
        purpose: Purpose,
    ) -> Result<Ready<'a>, QueryError> {
        let style = session.output_style();
        let (values, types) = prepared.bind(parameters, &style)?;
        let mut query = query.clone();
        fill_values(&mut query, &prepared.parameters, parameters, &style)?;
        let planning = session.planning()?;
        let (over, owned) = (Arc::clone(&planning), statement.clone());
        let plan = compute(&session.engine, &session.token, async move {
            let plan = over.query_plan(&query, &types, Some(&owned))?;
            let plan = plan.with_param_values(values).map_err(|error| translate(error, Some(&owned)))?;
            purpose.physical_plan(&over, plan, &owned).await
        })
        .await?;
        Ok(Ready::Query(Box::new(Self { statement, planning, plan })))
    }

    /// Runs it and gives its rows to nobody.
    async fn run(self, session: &Session) -> Result<u64, QueryError> {
        let statement = Some(self.statement.clone());
        let rows = stream(&session.engine, &session.token, self.plan, &self.planning.state, statement);
        rows.try_for_each(|_| std::future::ready(Ok(()))).await?;
        Ok(0)
    }
}

/// What EXPLAIN says of a statement.
pub(crate) struct Outline {
    /// What is changed, where it is a table's rows.
    pub change: Option<OutlinedChange>,
    /// What no plan says.
    pub lines: Vec<String>,
    pub plans: Vec<OutlinedPlan>,
    planning: Arc<Planning>,
}

/// `Update on sales s`
pub(crate) struct OutlinedChange {
    pub operation: &'static str,
    table: ObjectName,
    /// What the statement calls the table.
    name: String,
}

/// A plan, and which rows it finds where there are several plans.
pub(crate) struct OutlinedPlan {
    pub purpose: Option<&'static str>,
    pub plan: Arc<dyn ExecutionPlan>,
}

impl Outline {
    pub(crate) fn of_query(planning: &Arc<Planning>) -> Self {
        Self { change: None, lines: Vec::new(), plans: Vec::new(), planning: Arc::clone(planning) }
    }

    /// `name` is what the statement calls the table, where that is not its own name.
    pub(crate) fn of_change(
        operation: &'static str,
        table: &TableDefinition,
        name: Option<String>,
        planning: &Arc<Planning>,
    ) -> Self {
        let name = name.unwrap_or_else(|| table.name.name.clone());
        let change = OutlinedChange { operation, table: table.name.clone(), name };
        Self { change: Some(change), ..Self::of_query(planning) }
    }

    pub(crate) fn with_lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }

    pub(crate) fn with_plans(mut self, plans: impl IntoIterator<Item = Arc<dyn ExecutionPlan>>) -> Self {
        self.plans.extend(plans.into_iter().map(|plan| OutlinedPlan { purpose: None, plan }));
        self
    }

    pub(crate) fn with_plans_for(
        mut self,
        plans: impl Iterator<Item = (&'static str, Arc<dyn ExecutionPlan>)>,
    ) -> Self {
        self.plans.extend(plans.map(|(purpose, plan)| OutlinedPlan { purpose: Some(purpose), plan }));
        self
    }

    /// What its scans read and left out.
    pub(crate) fn scans(&self) -> Vec<ScanReport> {
        self.planning.log.reports()
    }
}

impl OutlinedChange {
    /// The first line of a plan, as PostgreSQL has it.
    pub(crate) fn title(&self, verbose: bool) -> String {
        let table = match verbose {
            true => qualified(&self.table).to_string(),
            false => identifier(&self.table.name).to_string(),
        };
        match self.name == self.table.name {
            true => format!("{} on {table}", self.operation),
            false => format!("{} on {table} {}", self.operation, identifier(&self.name)),
        }
    }

    /// The table's own name, and what the statement calls it.
    pub(crate) fn names(&self) -> (&str, &str) {
        (&self.table.name, &self.name)
    }
}
