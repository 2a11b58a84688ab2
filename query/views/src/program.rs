//! View programs: a definition's plan, what class it is, and how it is bound to rows.
//!
//! The classes are those of the maintenance cost. *Delta*: the plan has a core whose groups are kept as signed partial aggregates, and
//! folding costs what changed. *Recompute*: the plan is run at read; the reason says which part of it made it so.

use crate::core::{Core, Delta, SignedRows, StateColumn};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, TableReference};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, TableSource, Volatility,
};
use std::fmt;
use std::sync::Arc;

/// How a view is kept equal to its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// Folded by what changed. `keys` when removals make groups be recomputed by their key (a minimum or maximum).
    Delta { keys: bool },
    /// Run again at every read.
    Recompute { reason: String },
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delta { keys: false } => f.write_str("delta"),
            Self::Delta { keys: true } => f.write_str("delta, touched keys under deletes"),
            Self::Recompute { reason } => write!(f, "recompute: {reason}"),
        }
    }
}

/// What a table of a program's plan stands for at one snapshot.
pub enum Bound {
    Source(Arc<dyn TableSource>),
    /// The plan of another view; its columns get the table's name as qualifier.
    Plan(LogicalPlan),
}

/// A definition compiled to plans. Its scans are unbound: they carry schemas, not rows.
#[derive(Clone, Debug)]
pub struct ViewProgram {
    plan: LogicalPlan,
    core: Option<Core>,
    class: Class,
}

impl ViewProgram {
    /// Compiles an analysed (type-coerced), not optimised plan of the definition. `maintainable` says whether a table's
    /// changes can be had (tables yes, views and system relations no).
    pub fn compile(plan: LogicalPlan, maintainable: impl Fn(&TableReference) -> bool) -> Result<Self> {
        let plan = distinct_to_aggregate(plan)?;
        match split(&plan, &maintainable) {
            Ok(core) => {
                let class = Class::Delta { keys: core.has_extrema() };
                Ok(Self { plan, core: Some(core), class })
            }
            Err(reason) => Ok(Self { plan, core: None, class: Class::Recompute { reason } }),
        }
    }

    pub fn class(&self) -> &Class {
        &self.class
    }

    /// The columns of the hidden table that keeps the state; `None` for a view without one.
    pub fn state_columns(&self) -> Option<&[StateColumn]> {
        self.core.as_ref().map(Core::state_columns)
    }

    /// The definition over the given rows: what the view's query gives.
    pub fn definition_plan(&self, sources: impl Fn(&TableReference) -> Result<Bound>) -> Result<LogicalPlan> {
        bind(self.plan.clone(), &sources)
    }

    /// The view read from its state and what is not yet folded. Must not be called for a recomputed view.
    pub fn read_plan(&self, state: Arc<dyn TableSource>, delta: Option<Delta>) -> Result<LogicalPlan> {
        let core = self.core();
        let rows = core.state_at(Some(state), delta)?;
        self.with_residual(core.finish(rows)?)
    }

    /// The state's rows for changes alone, to be added as a run. `removals` that touch extrema cannot be expressed so; then use
    /// [`Self::merged_state_plan`] and replace the runs.
    pub fn run_plan(&self, rows: &SignedRows) -> Result<LogicalPlan> {
        self.core().partials(rows)
    }

    /// The whole state: the runs merged with what is not yet folded, one row a group, empty groups left out.
    pub fn merged_state_plan(&self, state: Option<Arc<dyn TableSource>>, delta: Option<Delta>) -> Result<LogicalPlan> {
        self.core().state_at(state, delta)
    }

    /// Whether a fold of changes with removals must replace the state instead of adding a run.
    pub fn removals_replace(&self) -> bool {
        self.core.as_ref().is_some_and(Core::has_extrema)
    }

    /// Whether an answer depends on who asks and when: functions of the session, the clock, the catalog.
    pub fn reads_session(&self) -> bool {
        unstable_function(&self.plan).is_some()
    }

    /// Whether a row that came and went cannot make the delta fail where the query would not.
    pub fn is_infallible(&self) -> bool {
        self.core.as_ref().is_some_and(Core::is_infallible)
    }

    fn core(&self) -> &Core {
        self.core.as_ref().expect("only a view of class delta has a state")
    }

    /// The plan with its core replaced by `finished`, which has the core's schema.
    fn with_residual(&self, finished: LogicalPlan) -> Result<LogicalPlan> {
        let core = LogicalPlan::Aggregate(self.core().aggregate().clone());
        let replaced = self.plan.clone().transform_down(|node| {
            if node == core {
                return Ok(Transformed::new(finished.clone(), true, TreeNodeRecursion::Jump));
            }
            Ok(Transformed::no(node))
        })?;
        replaced.data.recompute_schemas()
    }
}

trait RecomputeSchemas: Sized {
    fn recompute_schemas(self) -> Result<Self>;
}

impl RecomputeSchemas for LogicalPlan {
    /// Types stay; nullability may have widened below.
    fn recompute_schemas(self) -> Result<Self> {
        Ok(self.transform_up(|node| Ok(Transformed::yes(node.recompute_schema()?)))?.data)
    }
}

/// Replaces every scan, in subqueries too, by what its table stands for.
pub fn bind(plan: LogicalPlan, sources: &impl Fn(&TableReference) -> Result<Bound>) -> Result<LogicalPlan> {
    let bound = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        let replaced = match sources(&scan.table_name)? {
            Bound::Source(source) => {
                LogicalPlanBuilder::scan(scan.table_name.clone(), source, scan.projection.clone())?.build()?
            }
            Bound::Plan(plan) => {
                LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(plan), scan.table_name.clone())?)
            }
        };
        Ok(Transformed::yes(replaced))
    })?;
    bound.data.recompute_schemas()
}

/// `SELECT DISTINCT` is grouping by all output columns.
fn distinct_to_aggregate(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up(|node| {
        let LogicalPlan::Distinct(Distinct::All(input)) = &node else { return Ok(Transformed::no(node)) };
        let keys: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
        let aggregate = Aggregate::try_new(Arc::clone(input), keys, Vec::new())?;
        Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
    })?;
    Ok(rewritten.data)
}

/// Finds the core, or says why there is none.
fn split(plan: &LogicalPlan, maintainable: &impl Fn(&TableReference) -> bool) -> std::result::Result<Core, String> {
    let tables = scanned_tables(plan);
    match tables.as_slice() {
        [] => return Err("it reads no table".into()),
        [table] if maintainable(table) => {}
        [table] => return Err(format!("it reads \"{}\", which is not a table", table.table())),
        _ => return Err("it joins or combines several inputs".into()),
    }
    if let Some(function) = unstable_function(plan) {
        return Err(format!("function {function}() depends on when it is called"));
    }
    let aggregate = lowest_aggregate(plan).ok_or("it has no GROUP BY or aggregate")?;
    Core::compile(&aggregate)
}

fn scanned_tables(plan: &LogicalPlan) -> Vec<TableReference> {
    let mut tables = Vec::new();
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            tables.push(scan.table_name.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("the walk itself does not fail");
    tables
}

/// The first function in the plan whose value changes between calls with the same arguments.
pub(crate) fn unstable_function(plan: &LogicalPlan) -> Option<String> {
    let mut found = None;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::ScalarFunction(call) = part
                    && call.func.signature().volatility != Volatility::Immutable
                {
                    found = Some(call.func.name().to_string());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    walked.expect("the walk itself does not fail");
    found
}

/// The aggregate that stands on nothing but projections, filters and aliases over the scan.
fn lowest_aggregate(plan: &LogicalPlan) -> Option<Aggregate> {
    let mut found = None;
    let walked = plan.apply(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node
            && is_chain(&aggregate.input)
        {
            found = Some(aggregate.clone());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("the walk itself does not fail");
    found
}

fn is_chain(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => {
            is_chain(plan.inputs()[0])
        }
        _ => false,
    }
}
