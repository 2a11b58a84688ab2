//! Origins: the table's or view's column that a column of a result is, which RowDescription tells clients.
//!
//! They are followed through the plan, whatever names and aliases it has: a column goes through subqueries, joins and grouping and ends
//! where something is computed. A view keeps its columns for itself, so its plan stands under a name that says which view it is.
//!
//!     SELECT s.a, s.b + 1 FROM (SELECT a, b FROM sales.t ORDER BY b) s      a is a column of sales.t, the sum of none

use crate::planner::TARGET;
use crate::scan::ScanTable;
use catalog::definition::{Column, TableDefinition};
use catalog::ids::ObjectId;
use catalog::snapshot::Snapshot;
use datafusion::common::{Result, TableReference};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan, LogicalPlanBuilder, TableScan};

/// A relation, and the number of one of its columns.
pub(crate) type Origin = (ObjectId, i16);

/// Begins the name that the plan of a view stands under.
const VIEW: &str = "@view ";

/// The plan of a view as columns are followed into it.
pub(crate) fn of_view(plan: LogicalPlan, view: ObjectId) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(plan).alias(TableReference::bare(format!("{VIEW}{view}")))?.build()
}

/// What the columns of plans come from.
pub(crate) struct Origins<'a> {
    pub snapshot: &'a Snapshot,
    /// The table whose rows [`TARGET`] names.
    pub target: Option<&'a TableDefinition>,
}

impl Origins<'_> {
    /// The origin of a plan's column, by its place.
    pub(crate) fn of(&self, plan: &LogicalPlan, index: usize) -> Option<Origin> {
        match plan {
            LogicalPlan::Projection(projection) => self.of_item(projection.expr.get(index)?, &projection.input),
            LogicalPlan::SubqueryAlias(alias) => match alias.alias.table().strip_prefix(VIEW) {
                Some(view) => self.of_view(view, index),
                None => self.of(&alias.input, index),
            },
            LogicalPlan::Filter(filter) => self.of(&filter.input, index),
            LogicalPlan::Sort(sort) => self.of(&sort.input, index),
            LogicalPlan::Limit(limit) => self.of(&limit.input, index),
            LogicalPlan::Subquery(lateral) => self.of(&lateral.subquery, index),
            LogicalPlan::Distinct(Distinct::All(input)) => self.of(input, index),
            LogicalPlan::Distinct(Distinct::On(distinct)) => {
                self.of_item(distinct.select_expr.get(index)?, &distinct.input)
            }
            LogicalPlan::Aggregate(aggregate) => self.of_item(aggregate.group_expr.get(index)?, &aggregate.input),
            LogicalPlan::Window(window) => {
                (index < window.input.schema().fields().len()).then(|| self.of(&window.input, index))?
            }
            LogicalPlan::Join(join) => {
                let left = match join.join_type {
                    JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => 0,
                    _ => join.left.schema().fields().len(),
                };
                if index < left { self.of(&join.left, index) } else { self.of(&join.right, index - left) }
            }
            LogicalPlan::TableScan(scan) => self.of_scan(scan, index),
            _ => None,
        }
    }

    fn of_item(&self, item: &Expr, input: &LogicalPlan) -> Option<Origin> {
        match item {
            Expr::Alias(alias) => self.of_item(&alias.expr, input),
            Expr::Column(column) => self.of(input, input.schema().maybe_index_of_column(column)?),
            _ => None,
        }
    }

    fn of_view(&self, view: &str, index: usize) -> Option<Origin> {
        let id = ObjectId(view.parse().ok()?);
        Some((id, number(self.snapshot.views.get(&id)?.definition.columns.get(index)?)))
    }

    fn of_scan(&self, scan: &TableScan, index: usize) -> Option<Origin> {
        let index = scan.projection.as_ref().map_or(Some(index), |projection| projection.get(index).copied())?;
        let provider = source_as_provider(&scan.source).ok()?;
        let definition = match provider.downcast_ref::<ScanTable>() {
            Some(table) => table.definition(),
            None => self.target.filter(|_| scan.table_name.table() == TARGET)?,
        };
        Some((definition.id, number(definition.columns.get(index)?)))
    }
}

/// What `pg_attribute.attnum` says.
fn number(column: &Column) -> i16 {
    column.id.0 as i16
}
