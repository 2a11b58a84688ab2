//! View programs: a definition's plan, what class it is, and how it is bound to rows.
//!
//! The classes are those of the maintenance cost. *Delta*: the plan has a core whose groups are kept as signed partial aggregates, and
//! folding costs what changed. *Recompute*: the plan is run at read; the reason says which part of it made it so.

use crate::arguments::SignedSumsOf;
use crate::core::{Advance, Core, Fold, Narrowed, StateColumn};
use crate::deltas::{Inputs, check_tree, holds_subquery, is_empty_with, is_relation, scanned_tables};
use crate::input_conditions::InputConditions;
use crate::normal_form::{decorrelated, distinct_to_aggregate};
use catalog::zoned_time::is_zoned_time;
use datafusion::arrow::array::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, TableReference};
use datafusion::logical_expr::{
    Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, TableScan, TableSource, Volatility,
};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// How a view is kept equal to its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// Folded by what changed. `keys` says when groups are computed anew by their keys; `reads` names what its query reads beside
    /// the state.
    Delta { keys: Vec<String>, reads: Vec<String> },
    /// Run again at every read.
    Recompute { reason: String },
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delta { keys, reads } => {
                f.write_str("delta")?;
                if !keys.is_empty() {
                    write!(f, ", touched keys {}", keys.join(" and "))?;
                }
                if !reads.is_empty() {
                    write!(f, "; reads {} beside its state", reads.join(", "))?;
                }
                Ok(())
            }
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
    is_of_now: bool,
    /// See [`Self::state_reads`].
    state_reads: BTreeSet<String>,
}

impl ViewProgram {
    /// Compiles an analysed (type-coerced), not optimised plan of the definition. `maintainable` says whether a table's
    /// changes can be had (tables yes, views and system relations no); `is_of_now` that a constant of the plan, such as the offset of a
    /// window frame, was computed from what depends on when it is planned; `signed_sums` how the state keeps aggregates beside `count`,
    /// `min`, `max` and sums of integers and numerics.
    pub fn compile(
        plan: LogicalPlan,
        is_of_now: bool,
        maintainable: impl Fn(&TableReference) -> bool,
        signed_sums: SignedSumsOf<'_>,
    ) -> Result<Self> {
        let plan = distinct_to_aggregate(plan)?;
        if let Some(reason) = of_now(&plan, is_of_now) {
            return Ok(Self::recomputed(plan, reason, true));
        }
        let joined =
            decorrelated(&plan).and_then(|joined| Some((split(&joined, &maintainable, signed_sums).ok()?, joined)));
        let found = match joined {
            Some((core, joined)) => Ok((core, joined)),
            None => split(&plan, &maintainable, signed_sums).map(|core| (core, plan.clone())),
        };
        match found {
            Ok((core, plan)) => {
                let class = Class::Delta { keys: core.key_reasons(), reads: read_beside(&plan, &core) };
                let state_reads = columns_read(&LogicalPlan::Aggregate(core.aggregate().clone()));
                Ok(Self { plan, core: Some(core), class, is_of_now: false, state_reads })
            }
            Err(reason) => Ok(Self::recomputed(plan, reason, false)),
        }
    }

    fn recomputed(plan: LogicalPlan, reason: String, is_of_now: bool) -> Self {
        Self { plan, core: None, class: Class::Recompute { reason }, is_of_now, state_reads: BTreeSet::new() }
    }

    pub fn class(&self) -> &Class {
        &self.class
    }

    /// The columns of the hidden table that keeps the state; `None` for a view without one.
    pub fn state_columns(&self) -> Option<&[StateColumn]> {
        self.core.as_ref().map(Core::state_columns)
    }

    /// How many columns of the state, the first ones, are the keys of its groups.
    pub fn state_keys(&self) -> usize {
        self.state_columns().unwrap_or_default().iter().filter(|column| column.key).count()
    }

    /// The definition over the given rows: what the view's query gives.
    pub fn definition_plan(&self, sources: impl Fn(&TableReference) -> Result<Bound>) -> Result<LogicalPlan> {
        bind(self.plan.clone(), &sources)
    }

    /// The program of the groups alone whose state rows meet conditions over their keys, `g0…`: its state is those rows, and follows what
    /// changed in those groups. `None` where a condition reads more than keys, or might fail. Must not be called for a recomputed view.
    pub fn of_groups(&self, conditions: &[Expr]) -> Result<Option<Self>> {
        let core = self.core().of_groups(conditions)?;
        Ok(core.map(|core| Self { core: Some(core), ..self.clone() }))
    }

    /// Whether conditions tell groups by their keys, and cannot fail: whether there is a program of these alone. Must not be called for a
    /// recomputed view.
    pub fn tells_groups(&self, conditions: &[Expr]) -> bool {
        self.core().tells_groups(conditions)
    }

    /// What rows of the inputs meet that have a part in groups whose state rows meet conditions over their keys, `g0…`. What changed among
    /// these rows alone brings those groups up to date, and no others. Must not be called for a recomputed view.
    pub fn input_conditions(&self, conditions: &[Expr]) -> Result<InputConditions> {
        self.core().input_conditions(conditions)
    }

    /// The tables whose changes the state follows.
    pub fn inputs(&self) -> Vec<TableReference> {
        self.core.as_ref().map(|core| scanned_tables(core.tree())).unwrap_or_default()
    }

    /// The names of the columns that the state is computed from, whichever tables they are of.
    pub fn state_reads(&self) -> impl Iterator<Item = &str> {
        self.state_reads.iter().map(String::as_str)
    }

    /// The view read from its state and what changed in its inputs since, over the given rows for the rest of its query. Must not be called
    /// for a recomputed view.
    pub fn read_plan(
        &self,
        state: Option<Arc<dyn TableSource>>,
        inputs: &Inputs,
        sources: impl Fn(&TableReference) -> Result<Bound>,
    ) -> Result<LogicalPlan> {
        let core = self.core();
        self.with_residual(core.finish(core.state_at(state, inputs)?)?, &sources)
    }

    /// The view read from the rows of its merged state, over the given rows for the rest of its query. Must not be called for a
    /// recomputed view.
    pub fn read_kept_plan(
        &self,
        state: Arc<dyn TableSource>,
        sources: impl Fn(&TableReference) -> Result<Bound>,
    ) -> Result<LogicalPlan> {
        let core = self.core();
        self.with_residual(core.finish(core.state_rows(state)?)?, &sources)
    }

    /// The merged state from its runs and what changed in its inputs since; from the inputs alone where there is none.
    pub fn state_plan(&self, state: Option<Arc<dyn TableSource>>, inputs: &Inputs) -> Result<LogicalPlan> {
        self.core().state_at(state, inputs)
    }

    /// How the state comes to follow what changed, step by step. `merged_plan` gives the state to which rows were added;
    /// `undone_groups_plan` which of its groups lost a bound, `turned_groups_plan` which turned, or `touched_groups_plan` which groups are
    /// computed anew; and
    /// `recomputed_plan` their rows, which stand for all that the state had of these groups.
    pub fn advance(&self, inputs: &Inputs) -> Result<Advance> {
        self.core().advance(inputs)
    }

    /// See [`Self::advance`].
    pub fn merged_plan(&self, runs: Vec<Arc<dyn TableSource>>) -> Result<LogicalPlan> {
        let core = self.core();
        core.merged(runs.into_iter().map(|rows| core.state_rows(rows)).collect::<Result<_>>()?)
    }

    /// See [`Self::advance`].
    pub fn undone_groups_plan(&self, state: Arc<dyn TableSource>, lost: Vec<LogicalPlan>) -> Result<LogicalPlan> {
        let core = self.core();
        core.undone_groups(core.state_rows(state)?, lost)
    }

    /// See [`Self::advance`]. Whether no group turned, if that is plain from one row a group of what was added and of the groups to which
    /// it was.
    pub fn none_turned(&self, added: &[RecordBatch], known: &[RecordBatch]) -> Result<bool> {
        self.core().none_turned(added, known)
    }

    /// See [`Self::advance`]. Whether no group lost a bound, if that is plain from what was added and the groups `known` to which it was.
    pub fn none_undone(&self, added: &[RecordBatch], known: &[RecordBatch]) -> Result<bool> {
        self.core().none_undone(added, known)
    }

    /// See [`Self::advance`].
    pub fn turned_groups_plan(&self, known: Arc<dyn TableSource>, added: Arc<dyn TableSource>) -> Result<LogicalPlan> {
        let core = self.core();
        core.turned_groups(core.state_rows(known)?, core.state_rows(added)?)
    }

    /// See [`Self::advance`].
    pub fn touched_groups_plan(&self, rows: Vec<LogicalPlan>) -> Result<LogicalPlan> {
        self.core().touched_groups(rows)
    }

    /// See [`Self::advance`]. `groups` are the rows of `touched`, each of which names another group.
    pub fn recomputed_plan(
        &self,
        touched: Arc<dyn TableSource>,
        groups: &[RecordBatch],
        inputs: &Inputs,
    ) -> Result<LogicalPlan> {
        let core = self.core();
        match core.narrowed(groups)? {
            Some(Narrowed { condition, is_exact: true }) => core.recomputed(None, Some(condition), inputs),
            narrowed => {
                let condition = narrowed.map(|narrowed| narrowed.condition);
                core.recomputed(Some(core.touched_rows(touched)?), condition, inputs)
            }
        }
    }

    /// What a fold adds to the state for what changed; the whole state where `merge` or what changed ask for it.
    pub fn fold_plan(&self, state: Option<Arc<dyn TableSource>>, inputs: &Inputs, merge: bool) -> Result<Fold> {
        self.core().fold(state, inputs, merge)
    }

    /// Whether the view has no groups left when the inputs that `is_empty` names have no rows.
    pub fn is_empty_with(&self, is_empty: impl Fn(&TableReference) -> bool) -> bool {
        is_empty_with(self.core().tree(), &is_empty)
    }

    /// Whether the view's rows of some groups are computed from their state rows alone, whatever other groups have.
    pub fn is_by_group(&self) -> bool {
        let aggregate = self.core.as_ref().map(Core::aggregate);
        aggregate.is_some_and(|core| matches!(below_rows(&self.plan), LogicalPlan::Aggregate(below) if below == core))
    }

    /// The table of which each row gives its rows of the view by itself, whoever reads it and when; `None` for other views.
    pub fn table_of_rows(&self) -> Option<&TableReference> {
        match below_rows(&self.plan) {
            LogicalPlan::TableScan(scan) if !self.is_of_now => Some(&scan.table_name),
            _ => None,
        }
    }

    /// Whether an answer depends on who asks and when: functions of the session, the clock, the catalog. Then the program is for one
    /// reader.
    pub fn reads_session(&self) -> bool {
        self.is_of_now
    }

    /// Whether bringing the state up to date can fail only where the query does: expressions see rows that it does not see, or cannot
    /// fail.
    pub fn fails_with_its_query(&self, inputs: &Inputs) -> Result<bool> {
        let core = self.core();
        Ok(core.is_infallible() || core.sees_only_rows_of_the_query(inputs)?)
    }

    fn core(&self) -> &Core {
        self.core.as_ref().expect("only a view of class delta has a state")
    }

    /// The plan with its core replaced by `finished`, which has the core's schema, and its other relations bound.
    fn with_residual(
        &self,
        finished: LogicalPlan,
        sources: &impl Fn(&TableReference) -> Result<Bound>,
    ) -> Result<LogicalPlan> {
        let core = LogicalPlan::Aggregate(self.core().aggregate().clone());
        let replaced = self.plan.clone().transform_down_with_subqueries(|node| {
            if node == core {
                return Ok(Transformed::new(finished.clone(), true, TreeNodeRecursion::Jump));
            }
            match &node {
                LogicalPlan::TableScan(scan) if is_relation(scan) => {
                    Ok(Transformed::new(bound(scan, sources)?, true, TreeNodeRecursion::Jump))
                }
                _ => Ok(Transformed::no(node)),
            }
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

/// Replaces every scan of a relation, in subqueries too, by what the relation stands for.
pub fn bind(plan: LogicalPlan, sources: &impl Fn(&TableReference) -> Result<Bound>) -> Result<LogicalPlan> {
    let replaced = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::TableScan(scan) if is_relation(scan) => Ok(Transformed::yes(bound(scan, sources)?)),
        _ => Ok(Transformed::no(node)),
    })?;
    replaced.data.recompute_schemas()
}

fn bound(scan: &TableScan, sources: &impl Fn(&TableReference) -> Result<Bound>) -> Result<LogicalPlan> {
    match sources(&scan.table_name)? {
        Bound::Source(source) => {
            LogicalPlanBuilder::scan(scan.table_name.clone(), source, scan.projection.clone())?.build()
        }
        Bound::Plan(plan) => {
            Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(plan), scan.table_name.clone())?))
        }
    }
}

/// Finds the core, or says why there is none.
fn split(
    plan: &LogicalPlan,
    maintainable: &impl Fn(&TableReference) -> bool,
    signed_sums: SignedSumsOf<'_>,
) -> std::result::Result<Core, String> {
    if scanned_tables(plan).is_empty() {
        return Err("it reads no table".into());
    }
    let mut best: Option<(usize, Core)> = None;
    let mut reason = None;
    for aggregate in aggregates(plan) {
        let compiled = check_tree(&aggregate.input, maintainable).and_then(|()| Core::compile(&aggregate, signed_sums));
        match compiled {
            Ok(core) => {
                let tables = scanned_tables(core.tree()).len();
                if tables > 0 && best.as_ref().is_none_or(|(most, _)| tables > *most) {
                    best = Some((tables, core));
                }
            }
            Err(why) => reason = Some(why),
        }
    }
    match (best, reason) {
        (Some((_, core)), _) => Ok(core),
        (None, Some(reason)) => Err(reason),
        (None, None) => Err("it has no GROUP BY or aggregate".into()),
    }
}

/// What is below nodes that make rows of each of its rows, without looking at another one or at tables.
fn below_rows(plan: &LogicalPlan) -> &LogicalPlan {
    let input = match plan {
        LogicalPlan::Projection(projection) if !projection.expr.iter().any(holds_subquery) => &projection.input,
        LogicalPlan::Filter(filter) if !holds_subquery(&filter.predicate) => &filter.input,
        LogicalPlan::SubqueryAlias(alias) => &alias.input,
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => &sort.input,
        _ => return plan,
    };
    below_rows(input)
}

/// What a plan reads that its core does not.
fn read_beside(plan: &LogicalPlan, core: &Core) -> Vec<String> {
    let mut within = scanned_tables(core.tree());
    let mut beside: Vec<String> = Vec::new();
    for table in scanned_tables(plan) {
        if let Some(index) = within.iter().position(|known| *known == table) {
            within.swap_remove(index);
        } else if !beside.iter().any(|name| name == table.table()) {
            beside.push(table.table().to_string());
        }
    }
    beside
}

/// The names of all columns that the expressions of a plan read.
fn columns_read(plan: &LogicalPlan) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let walked = plan.apply(|node| {
        node.apply_expressions(|expression| {
            names.extend(expression.column_refs().into_iter().map(|column| column.name.clone()));
            Ok(TreeNodeRecursion::Continue)
        })
    });
    walked.expect("the walk itself does not fail");
    names
}

/// Why a plan is not the same whoever reads it and when.
fn of_now(plan: &LogicalPlan, has_constants_of_now: bool) -> Option<String> {
    let mut found = None;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                found = match part {
                    Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
                        Some(format!("function {}() depends on when it is called", call.func.name()))
                    }
                    // What is written without a zone has the displacement of the day.
                    Expr::Literal(value, _) if is_zoned_time(&value.data_type()) => {
                        Some("a time with time zone may have the displacement of the day".into())
                    }
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                Ok(TreeNodeRecursion::Stop)
            })
        })
    });
    walked.expect("the walk itself does not fail");
    let of_constants = || "an offset or argument that is computed when it is planned depends on when that is";
    found.or_else(|| has_constants_of_now.then(|| of_constants().into()))
}

/// The aggregates of a plan, outer ones first, those of subqueries last.
fn aggregates(plan: &LogicalPlan) -> Vec<Aggregate> {
    let mut found = Vec::new();
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            found.push(aggregate.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("the walk itself does not fail");
    found
}
