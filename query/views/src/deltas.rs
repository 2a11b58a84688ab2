//! Deltas: what changed in a tree of joins, from what changed in its tables.
//!
//! A tree is what a core stands on: scans, projections, filters, aliases, UNION ALL and joins. Its rows carry a weight, +1 for a row
//! that is there or came and −1 for one that went, and a delta is exact when it is added up by weight:
//!
//! ```text
//!     d(σ A) = σ dA        d(π A) = π dA        d(A ∪ B) = dA ∪ dB
//!     d(A ⋈ B) = dA ⋈ B(now) ∪ A(before) ⋈ dB,     the weight of a pair is the product of its rows' weights
//! ```
//!
//! `A(before)` is what adds up to A at the frontier: a table's rows now, and what changed with the opposite sign. An
//! outer, semi or anti join is linear in its preserved side alone. When its other side changed there is no such delta; then
//! [`Trees::touched`] says which rows may have come or gone, and whoever asked computes their groups anew. The rules are those of Z-sets
//! (Budiu et al., DBSP, VLDB 2023); the split of outer joins into matched and unmatched rows follows Larson and Zhou (ICDE 2007).

use crate::core::WEIGHT;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue, TableReference, plan_err};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{
    Expr, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Projection, SubqueryAlias, TableScan,
    TableSource, Union, lit, when,
};
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// Rows that are gathered when a plan reads them first: of an input few plans read all that there is.
#[derive(Clone)]
pub struct LateRows(Arc<LazyLock<Arc<dyn TableSource>, Gather>>);

type Gather = Box<dyn FnOnce() -> Arc<dyn TableSource> + Send>;

impl LateRows {
    pub fn new(gather: impl FnOnce() -> Arc<dyn TableSource> + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(gather))))
    }

    fn source(&self) -> &Arc<dyn TableSource> {
        &self.0
    }
}

/// Rows of a table with a weight column, `Int8`.
#[derive(Clone)]
pub struct SignedRows {
    pub source: LateRows,
    /// Whether some weight may be −1. Where none is, cheaper plans do.
    pub removals: bool,
}

/// What changed in a table after the frontier.
#[derive(Clone)]
pub struct Change {
    /// The rows that came and went.
    pub rows: SignedRows,
    /// The rows that went; `None` where none did.
    pub removed: Option<LateRows>,
    /// What adds up to the table at the frontier.
    pub before: SignedRows,
    /// Every row that is there or went.
    pub either: LateRows,
    /// So much changed that computing all groups anew costs less than finding those that were touched.
    pub is_large: bool,
}

/// A table of a core at the snapshot that is read.
#[derive(Clone)]
pub struct Input {
    pub now: LateRows,
    /// `None` where nothing changed.
    pub change: Option<Change>,
}

/// The tables of a core, by their names in its plan.
pub type Inputs = HashMap<TableReference, Input>;

impl fmt::Debug for SignedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRows").field("removals", &self.removals).finish_non_exhaustive()
    }
}

/// Rows and what they weigh; `None` where each weighs +1.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub plan: LogicalPlan,
    pub weight: Option<Expr>,
}

/// Which rows of a changed table are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touching {
    /// Those that came or went.
    All,
    /// Those that went.
    Removed,
}

/// Plans over the inputs of one reader.
pub(crate) struct Trees<'a> {
    inputs: &'a Inputs,
    /// Projections name their weights apart.
    names: Cell<usize>,
}

impl<'a> Trees<'a> {
    pub(crate) fn new(inputs: &'a Inputs) -> Self {
        Self { inputs, names: Cell::new(0) }
    }

    fn input(&self, scan: &TableScan) -> Result<&'a Input> {
        match self.inputs.get(&scan.table_name) {
            Some(input) => Ok(input),
            None => plan_err!("a core reads \"{}\", which it was not given", scan.table_name),
        }
    }

    /// The tree's rows at the snapshot.
    pub(crate) fn now(&self, tree: &LogicalPlan) -> Result<LogicalPlan> {
        let rows = self.over(tree, &|scan| unsigned(scan, &self.input(scan)?.now))?;
        Ok(rows.plan)
    }

    /// What adds up to the tree's rows at the frontier.
    fn before(&self, tree: &LogicalPlan) -> Result<Signed> {
        self.over(tree, &|scan| {
            let input = self.input(scan)?;
            match &input.change {
                None => unsigned(scan, &input.now),
                Some(change) => signed(scan, &change.before),
            }
        })
    }

    /// The tree over the rows that `leaf` gives for its scans.
    fn over(&self, tree: &LogicalPlan, leaf: &dyn Fn(&TableScan) -> Result<Signed>) -> Result<Signed> {
        match tree {
            LogicalPlan::TableScan(scan) => leaf(scan),
            LogicalPlan::Join(join) => paired(join, self.over(&join.left, leaf)?, self.over(&join.right, leaf)?),
            LogicalPlan::Union(union) => {
                let rows = |input: &Arc<LogicalPlan>| self.named_as(union, input, self.over(input, leaf)?);
                self.united(union.inputs.iter().map(rows).collect::<Result<_>>()?)
            }
            _ => self.above(tree, self.over(only_input(tree)?, leaf)?),
        }
    }

    /// What changed in the tree, as terms to be added up. `None` where that is not linear in what changed.
    pub(crate) fn delta(&self, tree: &LogicalPlan) -> Result<Option<Vec<Signed>>> {
        match tree {
            LogicalPlan::TableScan(scan) => {
                let change = self.input(scan)?.change.as_ref();
                Ok(Some(change.map(|change| signed(scan, &change.rows)).transpose()?.into_iter().collect()))
            }
            LogicalPlan::Join(join) => self.join_delta(join),
            LogicalPlan::Union(union) => {
                let mut terms = Vec::new();
                for input in &union.inputs {
                    let Some(of_input) = self.delta(input)? else { return Ok(None) };
                    for term in of_input {
                        terms.push(self.named_as(union, input, term)?);
                    }
                }
                Ok(Some(terms))
            }
            _ => {
                let Some(terms) = self.delta(only_input(tree)?)? else { return Ok(None) };
                Ok(Some(terms.into_iter().map(|term| self.above(tree, term)).collect::<Result<_>>()?))
            }
        }
    }

    fn join_delta(&self, join: &Join) -> Result<Option<Vec<Signed>>> {
        let (Some(left), Some(right)) = (self.delta(&join.left)?, self.delta(&join.right)?) else { return Ok(None) };
        let is_linear = left.is_empty() || is_linear_in(join.join_type, Side::Left);
        let is_linear = is_linear && (right.is_empty() || is_linear_in(join.join_type, Side::Right));
        if !is_linear {
            return Ok(None);
        }
        let mut terms = Vec::new();
        if !left.is_empty() {
            let other = Signed { plan: self.now(&join.right)?, weight: None };
            for term in left {
                terms.push(paired(join, term, other.clone())?);
            }
        }
        if !right.is_empty() {
            let other = self.before(&join.left)?;
            for term in right {
                terms.push(paired(join, other.clone(), term)?);
            }
        }
        Ok(Some(terms))
    }

    /// The pairs that came and went with the rows of the other side of the outer join below a tree's filters. `None` where its preserved
    /// side changed, or the other side has no delta.
    pub(crate) fn pairs_delta(&self, tree: &LogicalPlan) -> Result<Option<Vec<Signed>>> {
        match tree {
            LogicalPlan::Filter(filter) => {
                let Some(terms) = self.pairs_delta(&filter.input)? else { return Ok(None) };
                Ok(Some(terms.into_iter().map(|term| self.above(tree, term)).collect::<Result<_>>()?))
            }
            LogicalPlan::Join(join) => {
                let (Some(left), Some(right)) = (self.delta(&join.left)?, self.delta(&join.right)?) else {
                    return Ok(None);
                };
                let (preserved, changes) = match join.join_type {
                    JoinType::Left if left.is_empty() => (Side::Left, right),
                    JoinType::Right if right.is_empty() => (Side::Right, left),
                    _ => return Ok(None),
                };
                let mut terms = Vec::new();
                for Signed { plan, weight } in changes {
                    let (left, right) = match preserved {
                        Side::Left => (self.now(&join.left)?, plan),
                        Side::Right => (plan, self.now(&join.right)?),
                    };
                    terms.push(Signed { plan: joined(join, left, right, JoinType::Inner)?, weight });
                }
                Ok(Some(terms))
            }
            _ => Ok(None),
        }
    }

    /// Rows of the tree among which are all that came or went (or, `Removed` of a tree of inner joins, all that went). Rows that never were
    /// may be among them.
    pub(crate) fn touched(&self, tree: &LogicalPlan, which: Touching) -> Result<Vec<LogicalPlan>> {
        match tree {
            LogicalPlan::TableScan(scan) => {
                let Some(change) = &self.input(scan)?.change else { return Ok(Vec::new()) };
                let source = match which {
                    Touching::All => Some(&change.rows.source),
                    Touching::Removed => change.removed.as_ref(),
                };
                Ok(source.map(|source| unsigned(scan, source)).transpose()?.map(|rows| rows.plan).into_iter().collect())
            }
            LogicalPlan::Join(join) => {
                let left = self.touched(&join.left, which)?;
                let right = self.touched(&join.right, which)?;
                let mut rows = Vec::new();
                if !left.is_empty() {
                    rows.extend(either_outcome(join, &left, &self.either(&join.right)?, [Side::Left])?);
                }
                if !right.is_empty() {
                    let left = self.either(&join.left)?;
                    rows.extend(either_outcome(join, &left, &right, [Side::Right])?);
                    rows.extend(undecided(join, &left, &right)?);
                }
                Ok(rows)
            }
            LogicalPlan::Union(union) => {
                let mut rows = Vec::new();
                for input in &union.inputs {
                    rows.extend(self.all_named_as(union, input, self.touched(input, which)?)?);
                }
                Ok(rows)
            }
            _ => self.all_above(tree, self.touched(only_input(tree)?, which)?),
        }
    }

    /// Rows of the tree among which are all that are there or were.
    fn either(&self, tree: &LogicalPlan) -> Result<Vec<LogicalPlan>> {
        match tree {
            LogicalPlan::TableScan(scan) => {
                let input = self.input(scan)?;
                let source = input.change.as_ref().map_or(&input.now, |change| &change.either);
                Ok(vec![unsigned(scan, source)?.plan])
            }
            LogicalPlan::Join(join) => {
                either_outcome(join, &self.either(&join.left)?, &self.either(&join.right)?, [Side::Left, Side::Right])
            }
            LogicalPlan::Union(union) => {
                let mut rows = Vec::new();
                for input in &union.inputs {
                    rows.extend(self.all_named_as(union, input, self.either(input)?)?);
                }
                Ok(rows)
            }
            _ => self.all_above(tree, self.either(only_input(tree)?)?),
        }
    }

    fn all_above(&self, node: &LogicalPlan, inputs: Vec<LogicalPlan>) -> Result<Vec<LogicalPlan>> {
        let rows = inputs.into_iter().map(|plan| Ok(self.above(node, Signed { plan, weight: None })?.plan));
        rows.collect()
    }

    fn all_named_as(&self, union: &Union, input: &LogicalPlan, rows: Vec<LogicalPlan>) -> Result<Vec<LogicalPlan>> {
        rows.into_iter().map(|plan| Ok(self.named_as(union, input, Signed { plan, weight: None })?.plan)).collect()
    }

    /// A projection, filter or alias over other rows.
    fn above(&self, node: &LogicalPlan, rows: Signed) -> Result<Signed> {
        match node {
            LogicalPlan::Filter(filter) => {
                let plan = LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(rows.plan))?);
                Ok(Signed { plan, weight: rows.weight })
            }
            LogicalPlan::Projection(projection) => self.shown(rows, projection.expr.clone()),
            LogicalPlan::SubqueryAlias(alias) => {
                let columns = alias.input.schema().columns().into_iter().map(Expr::Column).collect();
                let rows = self.shown(rows, columns)?;
                let weight = rows.weight.map(|weight| match weight {
                    Expr::Column(column) => Expr::Column(Column::new(Some(alias.alias.clone()), column.name)),
                    other => other,
                });
                let plan = SubqueryAlias::try_new(Arc::new(rows.plan), alias.alias.clone())?;
                Ok(Signed { plan: LogicalPlan::SubqueryAlias(plan), weight })
            }
            other => plan_err!("a core does not stand on {}", other.display()),
        }
    }

    /// Shows expressions, and the weight in a column of its own.
    fn shown(&self, rows: Signed, mut shown: Vec<Expr>) -> Result<Signed> {
        let weight = rows.weight.map(|weight| {
            let name = format!("{WEIGHT}{}", self.names.replace(self.names.get() + 1));
            shown.push(weight.alias(&name));
            Expr::Column(Column::from_name(name))
        });
        Ok(Signed { plan: LogicalPlan::Projection(Projection::try_new(shown, Arc::new(rows.plan))?), weight })
    }

    /// The rows of an input of a UNION ALL under the names of its output.
    fn named_as(&self, union: &Union, input: &LogicalPlan, rows: Signed) -> Result<Signed> {
        let columns = input.schema().columns();
        let named = columns
            .into_iter()
            .zip(union.schema.iter())
            .map(|(column, (qualifier, field))| Expr::Column(column).alias_qualified(qualifier.cloned(), field.name()));
        self.shown(rows, named.collect())
    }

    fn united(&self, inputs: Vec<Signed>) -> Result<Signed> {
        let weighs = inputs.iter().any(|input| input.weight.is_some());
        let weight = weighs.then(|| format!("{WEIGHT}{}", self.names.replace(self.names.get() + 1)));
        let mut plans = Vec::new();
        for Signed { plan, weight: own } in inputs {
            let Some(name) = &weight else {
                plans.push(Arc::new(plan));
                continue;
            };
            // What was shown last is the weight, where there is one.
            let columns = plan.schema().columns();
            let rows = columns.len() - usize::from(own.is_some());
            let mut shown: Vec<Expr> = columns.into_iter().take(rows).map(Expr::Column).collect();
            shown.push(own.unwrap_or_else(|| lit(1_i8)).alias(name));
            plans.push(Arc::new(LogicalPlan::Projection(Projection::try_new(shown, Arc::new(plan))?)));
        }
        let plan = LogicalPlan::Union(Union::try_new_with_loose_types(plans)?);
        Ok(Signed { plan, weight: weight.map(|name| Expr::Column(Column::from_name(name))) })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Whether a join's output is linear in the rows of a side.
pub(crate) fn is_linear_in(join_type: JoinType, side: Side) -> bool {
    match join_type {
        JoinType::Inner => true,
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => side == Side::Left,
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti => side == Side::Right,
        JoinType::Full | JoinType::LeftMark | JoinType::RightMark => false,
    }
}

/// Whether a join shows rows of a side that have no match, with NULLs for the other.
fn preserves(join_type: JoinType, side: Side) -> bool {
    match side {
        Side::Left => matches!(join_type, JoinType::Left | JoinType::Full),
        Side::Right => matches!(join_type, JoinType::Right | JoinType::Full),
    }
}

/// The join of signed rows; the weight of a pair is the product of its rows' weights.
fn paired(join: &Join, left: Signed, right: Signed) -> Result<Signed> {
    let weight = match (left.weight, right.weight) {
        (None, weight) | (weight, None) => weight,
        (Some(left), Some(right)) => Some(when(left.eq(right), lit(1_i8)).otherwise(lit(-1_i8))?),
    };
    let plan = joined(join, left.plan, right.plan, join.join_type)?;
    Ok(Signed { plan, weight })
}

fn joined(join: &Join, left: LogicalPlan, right: LogicalPlan, join_type: JoinType) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Join(Join::try_new(
        Arc::new(left),
        Arc::new(right),
        join.on.clone(),
        join.filter.clone(),
        join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware && join_type == join.join_type,
    )?))
}

/// What a join of some of these rows may give, whatever else they are joined with. `lonely` are the sides whose rows may have lost
/// their last match, or be without one.
fn either_outcome<const N: usize>(
    join: &Join,
    left: &[LogicalPlan],
    right: &[LogicalPlan],
    lonely: [Side; N],
) -> Result<Vec<LogicalPlan>> {
    let mut rows = Vec::new();
    let shown = |plan: LogicalPlan, absent: Option<Side>| with_columns_of(join, plan, absent);
    match join.join_type {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
            for (left, right) in left.iter().flat_map(|left| right.iter().map(move |right| (left, right))) {
                let pairs = joined(join, left.clone(), right.clone(), JoinType::Inner)?;
                for (side, absent) in [(Side::Left, Side::Right), (Side::Right, Side::Left)] {
                    // A row of this side may have been without a match before or be so now.
                    if preserves(join.join_type, side) && !lonely.contains(&side) {
                        rows.push(shown(pairs.clone(), Some(absent))?);
                    }
                }
                rows.push(shown(pairs, None)?);
            }
            for (side, absent, plans) in [(Side::Left, Side::Right, left), (Side::Right, Side::Left, right)] {
                if preserves(join.join_type, side) && lonely.contains(&side) {
                    for plan in plans {
                        rows.push(shown(plan.clone(), Some(absent))?);
                    }
                }
            }
        }
        JoinType::LeftSemi | JoinType::LeftAnti if lonely.contains(&Side::Left) => rows.extend_from_slice(left),
        JoinType::RightSemi | JoinType::RightAnti if lonely.contains(&Side::Right) => rows.extend_from_slice(right),
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::RightSemi | JoinType::RightAnti => {
            for (left, right) in left.iter().flat_map(|left| right.iter().map(move |right| (left, right))) {
                rows.push(shown(joined(join, left.clone(), right.clone(), JoinType::Inner)?, None)?);
            }
        }
        JoinType::LeftMark | JoinType::RightMark => return plan_err!("a core does not stand on a mark join"),
    }
    Ok(rows)
}

/// The rows of a NOT IN, `left`, that rows of its subquery leave undecided: all where one of `right` is NULL, and those that are NULL
/// themselves, which pass where the subquery has no rows.
fn undecided(join: &Join, left: &[LogicalPlan], right: &[LogicalPlan]) -> Result<Vec<LogicalPlan>> {
    let Some((operand, value)) = null_aware_keys(join).filter(|_| join.null_aware) else { return Ok(Vec::new()) };
    let one = |plan: LogicalPlanBuilder| plan.limit(0, Some(1))?.build();
    let mut rows = Vec::new();
    for (left, right) in left.iter().flat_map(|left| right.iter().map(move |right| (left, right))) {
        let null = one(LogicalPlanBuilder::from(right.clone()).filter(value.clone().is_null())?)?;
        let pairs = LogicalPlanBuilder::from(left.clone()).cross_join(null)?.build()?;
        rows.push(with_columns_of(join, pairs, None)?);
        let null = LogicalPlanBuilder::from(left.clone()).filter(operand.clone().is_null())?;
        let pairs = null.cross_join(one(LogicalPlanBuilder::from(right.clone()))?)?.build()?;
        rows.push(with_columns_of(join, pairs, None)?);
    }
    Ok(rows)
}

/// What a NOT IN compares: its operand and the value of its subquery. `None` where that is not one equality.
fn null_aware_keys(join: &Join) -> Option<(Expr, Expr)> {
    if let ([(operand, value)], None) = (join.on.as_slice(), &join.filter) {
        return Some((operand.clone(), value.clone()));
    }
    let ([], Some(Expr::BinaryExpr(equality))) = (join.on.as_slice(), &join.filter) else { return None };
    let is_of = |expression: &Expr, side: &LogicalPlan| {
        expression.column_refs().iter().all(|column| side.schema().has_column(column))
    };
    let (one, other) = (equality.left.as_ref(), equality.right.as_ref());
    match equality.op {
        Operator::Eq if is_of(one, &join.left) && is_of(other, &join.right) => Some((one.clone(), other.clone())),
        Operator::Eq if is_of(other, &join.left) && is_of(one, &join.right) => Some((other.clone(), one.clone())),
        _ => None,
    }
}

/// The columns of a join's output from rows that have some of them; those of `absent` are NULL.
fn with_columns_of(join: &Join, plan: LogicalPlan, absent: Option<Side>) -> Result<LogicalPlan> {
    let missing = absent.map(|side| match side {
        Side::Left => join.left.schema(),
        Side::Right => join.right.schema(),
    });
    let shown = join.schema.iter().map(|(qualifier, field)| {
        let column = Column::new(qualifier.cloned(), field.name());
        if missing.is_some_and(|schema| schema.has_column(&column)) {
            let null = ScalarValue::try_from(field.data_type())?;
            return Ok(Expr::Literal(null, None).alias_qualified(qualifier.cloned(), field.name()));
        }
        Ok(Expr::Column(column))
    });
    let shown = shown.collect::<Result<Vec<_>>>()?;
    LogicalPlanBuilder::from(plan).project(shown)?.build()
}

fn unsigned(scan: &TableScan, rows: &LateRows) -> Result<Signed> {
    let plan = LogicalPlanBuilder::scan(scan.table_name.clone(), Arc::clone(rows.source()), None)?.build()?;
    Ok(Signed { plan, weight: None })
}

fn signed(scan: &TableScan, rows: &SignedRows) -> Result<Signed> {
    let plan = unsigned(scan, &rows.source)?.plan;
    let weight = rows.removals.then(|| Expr::Column(Column::new(Some(scan.table_name.clone()), WEIGHT)));
    Ok(Signed { plan, weight })
}

fn only_input(node: &LogicalPlan) -> Result<&LogicalPlan> {
    match node.inputs().as_slice() {
        [input] => Ok(input),
        _ => plan_err!("a core does not stand on {}", node.display()),
    }
}

/// Whether an expression holds a subquery, or a column from outside of its own.
pub(crate) fn holds_subquery(expression: &Expr) -> bool {
    let found = expression.exists(|part| {
        Ok(matches!(
            part,
            Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::ScalarSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        ))
    });
    found.expect("the walk itself does not fail")
}

/// Whether a plan is a tree whose tables are all `maintainable`; otherwise what is in the way.
pub(crate) fn check_tree(
    plan: &LogicalPlan,
    maintainable: &impl Fn(&TableReference) -> bool,
) -> std::result::Result<(), String> {
    if plan.expressions().iter().any(holds_subquery) {
        return Err("an expression below its aggregates holds a subquery".into());
    }
    match plan {
        LogicalPlan::TableScan(scan) if maintainable(&scan.table_name) => return Ok(()),
        LogicalPlan::TableScan(scan) => {
            return Err(format!("it reads \"{}\", which is not a table", scan.table_name.table()));
        }
        LogicalPlan::Join(join) if matches!(join.join_type, JoinType::LeftMark | JoinType::RightMark) => {
            return Err("it holds EXISTS or IN within an expression".into());
        }
        LogicalPlan::Join(join) if join.null_aware && null_aware_keys(join).is_none() => {
            return Err("it holds a NOT IN that is no single comparison".into());
        }
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::Join(_) => {}
        other => return Err(format!("its aggregates stand on {}", described(other))),
    }
    plan.inputs().into_iter().try_for_each(|input| check_tree(input, maintainable))
}

fn described(node: &LogicalPlan) -> &'static str {
    match node {
        LogicalPlan::Aggregate(_) => "other aggregates",
        LogicalPlan::Window(_) => "window functions",
        LogicalPlan::Distinct(_) => "DISTINCT ON",
        LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => "LIMIT or ORDER BY",
        LogicalPlan::Unnest(_) => "set-returning functions",
        LogicalPlan::RecursiveQuery(_) => "a recursive query",
        LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => "constant rows",
        _ => "something that has no delta",
    }
}

/// Whether no expression in the tree can fail, for whatever row.
pub(crate) fn tree_cannot_fail(tree: &LogicalPlan, cannot_fail: &impl Fn(&Expr) -> bool) -> bool {
    let mut safe = true;
    let walked = tree.apply(|node| {
        safe &= node.expressions().iter().all(cannot_fail);
        Ok(if safe { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.expect("the walk itself does not fail");
    safe
}

/// Whether the tree has no rows when one of its tables, chosen by `is_empty`, has none.
pub(crate) fn is_empty_with(tree: &LogicalPlan, is_empty: &impl Fn(&TableReference) -> bool) -> bool {
    let of = |plan: &LogicalPlan| is_empty_with(plan, is_empty);
    match tree {
        LogicalPlan::TableScan(scan) => is_empty(&scan.table_name),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => of(&join.left) || of(&join.right),
            JoinType::Left | JoinType::LeftAnti | JoinType::LeftMark => of(&join.left),
            JoinType::Right | JoinType::RightAnti | JoinType::RightMark => of(&join.right),
            JoinType::Full => of(&join.left) && of(&join.right),
        },
        other => other.inputs().into_iter().all(of),
    }
}

/// The tables whose changes have no delta in the tree, because a join is not linear in them.
pub(crate) fn nonlinear_tables(tree: &LogicalPlan) -> Vec<String> {
    let mut tables: Vec<String> = Vec::new();
    let walked = tree.apply(|node| {
        let LogicalPlan::Join(join) = node else { return Ok(TreeNodeRecursion::Continue) };
        for (side, input) in [(Side::Left, &join.left), (Side::Right, &join.right)] {
            if is_linear_in(join.join_type, side) {
                continue;
            }
            for table in scanned_tables(input) {
                if !tables.iter().any(|known| known == table.table()) {
                    tables.push(table.table().to_string());
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("the walk itself does not fail");
    tables
}

/// Whether a scan is of a relation, of which a definition's plan knows the columns only. The work table of a recursive query and the
/// values of a function are there already.
pub(crate) fn is_relation(scan: &TableScan) -> bool {
    source_as_provider(&scan.source).is_err()
}

/// The relations that a definition's plan scans, its subqueries included, once a scan.
pub(crate) fn scanned_tables(plan: &LogicalPlan) -> Vec<TableReference> {
    let mut tables = Vec::new();
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && is_relation(scan)
        {
            tables.push(scan.table_name.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("the walk itself does not fail");
    tables
}
