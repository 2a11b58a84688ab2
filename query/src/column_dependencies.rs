//! Which columns of a plan determine others, told rightly.
//!
//!     SELECT c, m, sum(v) FROM (SELECT DISTINCT c FROM o) a JOIN o USING (c) GROUP BY c, m ORDER BY c, m
//!
//! DataFusion notes in the schema of each node which columns determine others: the keys of an aggregate all that it gives. Of an aggregate
//! over such an input it says that what determined a key there determines all of the new groups, `c` the rest of `(c, m)`, and of a
//! set-returning function that what was unique before it is so behind it. By that its rules leave out keys of sorts and groups, DISTINCT
//! and joins.
//!
//!     planning      what relations have determines nothing: a query's GROUP BY stands as it is written
//!     optimising    what a rule reads is computed from the inputs up, for aggregates and set-returning functions as here

use crate::shown_names::with_shown_names;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef, Dependency, FunctionalDependence, FunctionalDependencies, Result};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan, Projection, Window};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::sql::sqlparser::ast::TableFactor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The rules of DataFusion that read what determines what.
const READERS: [&str; 4] =
    ["replace_distinct_aggregate", "eliminate_join", "eliminate_duplicated_expr", "optimize_projections"];

/// The place of an output that is no column of the input.
const COMPUTED: usize = usize::MAX;

/// Plans relations whose columns determine nothing, and are shown as they are called.
#[derive(Debug, Default)]
pub(crate) struct PlainRelations {
    /// Whether the next relation is on its way to DataFusion's planner.
    passes: AtomicBool,
}

impl RelationPlanner for PlainRelations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let is_query = matches!(relation, TableFactor::Table { .. } | TableFactor::Derived { .. });
        if !is_query || self.passes.swap(false, Ordering::Relaxed) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        self.passes.store(true, Ordering::Relaxed);
        let plan = without_dependencies(with_shown_names(context.plan(relation)?)?)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

fn without_dependencies(plan: LogicalPlan) -> Result<LogicalPlan> {
    if plan.schema().functional_dependencies().is_empty() {
        return Ok(plan);
    }
    // The others have the schema of their input, or are made anew over it, as aliases are.
    let has_own = matches!(
        plan,
        LogicalPlan::Aggregate(_)
            | LogicalPlan::Projection(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Unnest(_)
    );
    let plan = match has_own {
        true => plan,
        false => plan.map_children(|input| without_dependencies(input).map(Transformed::yes))?.data,
    };
    with_dependencies(plan, FunctionalDependencies::empty())
}

/// A rule that finds what determines what as it is.
#[derive(Debug)]
struct Informed {
    rule: Arc<dyn OptimizerRule + Send + Sync>,
}

/// The same rule, which is told rightly what determines what, if it reads that.
pub(crate) fn informed(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
    if READERS.contains(&rule.name()) { Arc::new(Informed { rule }) } else { rule }
}

impl OptimizerRule for Informed {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        // A rule that is called for each node reads what is below these.
        let reads = matches!(plan, LogicalPlan::Sort(_) | LogicalPlan::Distinct(Distinct::All(_)));
        let plan = if reads || self.apply_order().is_none() { told_rightly(plan)? } else { plan };
        self.rule.rewrite(plan, config)
    }
}

/// The plan in which no node says of columns that they determine others which they do not determine.
fn told_rightly(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut is_right = true;
    plan.apply_with_subqueries(|node| {
        let told = node.schema().functional_dependencies();
        is_right = told.is_empty() || dependencies(node).is_none_or(|known| known == *told);
        Ok(if is_right { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    if is_right {
        return Ok(plan);
    }
    let told = plan.transform_up_with_subqueries(|node| match dependencies(&node) {
        Some(known) if known != *node.schema().functional_dependencies() => {
            with_dependencies(node, known).map(Transformed::yes)
        }
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(told.data)
}

/// What determines what in a node's output, as far as its inputs tell rightly; `None` of a node for which they or it alone tell.
fn dependencies(node: &LogicalPlan) -> Option<FunctionalDependencies> {
    match node {
        LogicalPlan::Aggregate(aggregate) => Some(of_groups(aggregate)),
        LogicalPlan::Projection(projection) => Some(of_outputs(projection)),
        LogicalPlan::SubqueryAlias(alias) => Some(alias.input.schema().functional_dependencies().clone()),
        LogicalPlan::Window(window) => Some(beside_windows(window)),
        LogicalPlan::Join(join) => {
            let (left, right) = (join.left.schema(), join.right.schema());
            let of_right = right.functional_dependencies();
            Some(left.functional_dependencies().join(of_right, &join.join_type, left.fields().len()))
        }
        // What is unique comes several times, and columns have other places.
        LogicalPlan::Unnest(_) => Some(FunctionalDependencies::empty()),
        _ => None,
    }
}

/// The keys of groups together determine what is computed of them.
fn of_groups(aggregate: &Aggregate) -> FunctionalDependencies {
    let schema = &aggregate.schema;
    let columns = schema.fields().len();
    let keys = columns.saturating_sub(aggregate.aggr_expr.len());
    if keys == 0 || matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_), ..]) {
        return FunctionalDependencies::empty();
    }
    let nullable = schema.fields().iter().take(keys).any(|field| field.is_nullable());
    let of_keys = FunctionalDependence::new((0..keys).collect(), (0..columns).collect(), nullable);
    FunctionalDependencies::new(vec![of_keys.with_mode(Dependency::Single)])
}

fn of_outputs(projection: &Projection) -> FunctionalDependencies {
    let input = projection.input.schema();
    let places: Vec<usize> = projection.expr.iter().map(|output| place(output, input)).collect();
    match places.len() == projection.schema.fields().len() {
        true => input.functional_dependencies().project_functional_dependencies(&places, places.len()),
        false => FunctionalDependencies::empty(),
    }
}

/// The column of a projection's input that an output is.
fn place(output: &Expr, input: &DFSchema) -> usize {
    let value = match output {
        Expr::Alias(alias) => alias.expr.as_ref(),
        other => other,
    };
    value.try_as_col().and_then(|column| input.maybe_index_of_column(column)).unwrap_or(COMPUTED)
}

/// What determines what in a window's input, and the numbers of rows that it counts.
fn beside_windows(window: &Window) -> FunctionalDependencies {
    let input = window.input.schema();
    let mut known = input.functional_dependencies().clone();
    known.extend_target_indices(window.schema.fields().len());
    let own = window.schema.functional_dependencies().iter();
    let own = own.filter(|told| told.source_indices.iter().all(|place| *place >= input.fields().len()));
    known.extend(FunctionalDependencies::new(own.cloned().collect()));
    known
}

/// The schema of a node of which [`dependencies`] knows something.
fn schema_mut(node: &mut LogicalPlan) -> Option<&mut DFSchemaRef> {
    match node {
        LogicalPlan::Aggregate(aggregate) => Some(&mut aggregate.schema),
        LogicalPlan::Projection(projection) => Some(&mut projection.schema),
        LogicalPlan::SubqueryAlias(alias) => Some(&mut alias.schema),
        LogicalPlan::Window(window) => Some(&mut window.schema),
        LogicalPlan::Join(join) => Some(&mut join.schema),
        LogicalPlan::Unnest(unnest) => Some(&mut unnest.schema),
        _ => None,
    }
}

fn with_dependencies(mut node: LogicalPlan, known: FunctionalDependencies) -> Result<LogicalPlan> {
    if let Some(schema) = schema_mut(&mut node) {
        *schema = Arc::new(DFSchema::clone(schema).with_functional_dependencies(known)?);
    }
    Ok(node)
}
