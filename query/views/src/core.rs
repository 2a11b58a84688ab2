//! Cores: grouped aggregates over a tree of tables, kept as signed partial aggregates.
//!
//! A state row is a group: its keys `g0…`, `rows` (how many input rows it has), and for each distinct argument `x` of the
//! aggregates the columns that they need: `nX` (rows where it is not null), `sX` (their sum, exact), `loX` and `hiX`; for each
//! aggregate of doubles, statistic or conjunction `zX`, the bytes of its sums, and of different values the bytes of these; and for each that is held its value `vX`. Runs of such rows add up:
//!
//! ```text
//!     rows, n, s: sum        z: signed sums        lo: min        hi: max        a group exists while rows > 0
//!     count(x) = n           sum(x) = s, NULL while n = 0
//! ```
//!
//! A removed row counts with weight −1, which undoes `rows`, `n` and `s` exactly. It cannot undo `lo` and `hi`: groups that lost
//! a row are then computed anew from the tables, by their keys (`Q(new ⋉ K)`), and replace what the state says of them. So are all
//! groups that changed where a value is held, or where what changed lies on a side of an outer, semi or anti join that has no delta; of
//! outer joins whose groups tell which rows have [`partners`], those alone that turned.

use crate::arguments::{Arguments, SignedSumsOf, exact_type};
use crate::deltas::{Inputs, Signed, Touching, Trees, holds_subquery, nonlinear_tables, tree_cannot_fail};
use crate::grouping::GroupingSets;
use crate::input_conditions::{InputConditions, input_conditions};
use crate::partners;
use catalog::sql_type::SqlType;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, NullEquality, Result, ScalarValue, TableReference};
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, TableSource, cast, col, lit,
};
use std::sync::Arc;

mod touched_groups;

/// The weight column of signed rows, `Int8`: +1 for a row that came, −1 for one that went.
pub(crate) const WEIGHT: &str = "__weight";
pub(crate) const ROWS: &str = "rows";
/// The relation of groups to be computed anew, and how its columns begin.
const TOUCHED: &str = "__touched";
const TOUCHED_KEY: &str = "__t";

/// A column of the hidden table that keeps a view's state. All are nullable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateColumn {
    pub name: String,
    pub sql_type: SqlType,
    /// Whether runs are sorted by it.
    pub key: bool,
}

/// What a fold adds to a state.
#[derive(Clone, Debug)]
pub struct Fold {
    /// State rows; `None` where what changed does not show.
    pub plan: Option<LogicalPlan>,
    /// Whether they are the whole state, and replace what was there.
    pub replace: bool,
}

/// What rows of some groups have in common.
pub(crate) struct Narrowed {
    pub condition: Expr,
    /// Whether rows of other groups do not meet it.
    pub is_exact: bool,
}

/// How a state comes to follow what changed in its inputs.
///
/// What a step reads of the one before it may be computed first; see [`crate::ViewProgram`].
#[derive(Clone, Debug)]
pub enum Advance {
    /// Nothing that changed shows in it.
    Unchanged,
    /// State rows add up with it. Groups that `lost` rows of the tree may be without a least or greatest value then.
    Added { rows: LogicalPlan, lost: Vec<LogicalPlan> },
    /// State rows add up with it, but in groups that turned: whose rows came to their first partners with it, or lost their last ones. The
    /// groups of `touched` rows of the tree are all that changed.
    Paired { rows: LogicalPlan, touched: Vec<LogicalPlan> },
    /// The groups of these rows of the tree are computed anew.
    Touched(Vec<LogicalPlan>),
    /// All of it is computed anew.
    Whole(LogicalPlan),
}

/// A view's core.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    aggregate: Aggregate,
    keys: Vec<Expr>,
    /// Where it groups by several sets of the keys; their id is a key of the state behind the others.
    sets: Option<GroupingSets>,
    arguments: Arguments,
    /// The argument whose values are counted to tell which groups have partners; see [`partners`].
    partners: Option<usize>,
    columns: Vec<StateColumn>,
}

impl Core {
    /// Compiles an aggregate over a tree, or says what cannot be kept.
    pub(crate) fn compile(aggregate: &Aggregate, signed_sums: SignedSumsOf<'_>) -> std::result::Result<Self, String> {
        let schema = aggregate.input.schema();
        let sets = GroupingSets::of(aggregate)?;
        let keys = sets.as_ref().map_or(aggregate.group_expr.as_slice(), GroupingSets::keys);
        let keys: Vec<Expr> = keys.iter().map(|key| key.clone().unalias()).collect();
        let key_columns = keys.len() + usize::from(sets.is_some());
        if aggregate.schema.fields().len() != key_columns + aggregate.aggr_expr.len() {
            return Err("it groups by one expression twice".into());
        }
        if aggregate.group_expr.iter().chain(&aggregate.aggr_expr).any(holds_subquery) {
            return Err("an expression of its aggregates holds a subquery".into());
        }
        let mut arguments = Arguments::default();
        for (index, expression) in aggregate.aggr_expr.iter().enumerate() {
            let Expr::AggregateFunction(call) = expression.clone().unalias() else {
                return Err(format!("{expression} is not a plain aggregate"));
            };
            let output = aggregate.schema.field(key_columns + index);
            arguments.add(&call, output, |argument| type_in(argument, schema), signed_sums)?;
        }
        let adds_up = arguments.held.is_empty() && !arguments.has_extrema() && sets.is_none();
        let told_by = if adds_up { partners::told_by(&aggregate.input, &keys) } else { None };
        let partners = match told_by {
            Some(column) => Some(arguments.counted(&column, &type_in(&column, schema)?)),
            None => None,
        };
        let mut columns = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let sql_type = exact_type(&type_in(key, schema)?)?;
            columns.push(StateColumn { name: format!("g{index}"), sql_type, key: true });
        }
        if sets.is_some() {
            columns.push(StateColumn { name: format!("g{}", keys.len()), sql_type: SqlType::Int8, key: true });
        }
        columns.extend(arguments.columns()?);
        Ok(Self { aggregate: aggregate.clone(), keys, sets, arguments, partners, columns })
    }

    /// The core of the groups alone whose state rows meet conditions over their keys. `None` where a condition reads more than keys,
    /// or might fail.
    pub(crate) fn of_groups(&self, conditions: &[Expr]) -> Result<Option<Self>> {
        if self.sets.is_some() {
            return Ok(None);
        }
        let mut tree = LogicalPlanBuilder::from(LogicalPlan::clone(self.tree()));
        for condition in conditions {
            let Some(over_tree) = self.over_keys(condition)? else { return Ok(None) };
            tree = tree.filter(over_tree)?;
        }
        let mut core = self.clone();
        core.aggregate.input = Arc::new(tree.build()?);
        Ok(Some(core))
    }

    /// Whether conditions read keys alone, and cannot fail.
    pub(crate) fn tells_groups(&self, conditions: &[Expr]) -> bool {
        self.sets.is_none() && conditions.iter().all(|condition| self.is_over_keys(condition))
    }

    /// What rows of the tables meet that have a part in groups whose state rows meet conditions over their keys.
    pub(crate) fn input_conditions(&self, conditions: &[Expr]) -> Result<InputConditions> {
        let over_tree = conditions.iter().map(|condition| self.over_keys(condition)).filter_map(Result::transpose);
        input_conditions(self.tree(), over_tree.collect::<Result<_>>()?)
    }

    /// A condition over the key columns of state rows as one over rows of the tree.
    fn over_keys(&self, condition: &Expr) -> Result<Option<Expr>> {
        if !self.is_over_keys(condition) {
            return Ok(None);
        }
        let over_tree = condition.clone().transform(|part| {
            let Expr::Column(column) = &part else { return Ok(Transformed::no(part)) };
            let key = self.key_named(&column.name).expect("all columns name keys");
            // What stands for the column is computed from others of the tree, among which it is not looked for.
            Ok(Transformed::new(key, true, TreeNodeRecursion::Jump))
        })?;
        Ok(Some(over_tree.data))
    }

    fn is_over_keys(&self, condition: &Expr) -> bool {
        let columns = condition.column_refs();
        columns.iter().all(|column| self.key_place(&column.name).is_some()) && cannot_fail(condition)
    }

    fn key_place(&self, name: &str) -> Option<usize> {
        self.columns.iter().take(self.keys.len()).position(|column| column.name == name)
    }

    /// The key that a column of the state keeps, as it keeps it.
    fn key_named(&self, name: &str) -> Option<Expr> {
        let place = self.key_place(name)?;
        let (key, kept) = (self.keys[place].clone(), self.columns[place].sql_type.data_type());
        Some(if type_in(&key, self.tree().schema()).as_ref() == Ok(&kept) { key } else { cast(key, kept) })
    }

    pub(crate) fn aggregate(&self) -> &Aggregate {
        &self.aggregate
    }

    pub(crate) fn tree(&self) -> &LogicalPlan {
        &self.aggregate.input
    }

    pub(crate) fn state_columns(&self) -> &[StateColumn] {
        &self.columns
    }

    /// When groups are computed anew by their keys instead of being added to.
    pub(crate) fn key_reasons(&self) -> Vec<String> {
        let mut reasons: Vec<String> = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for name in &self.arguments.held_names {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        if !names.is_empty() {
            reasons.push(format!("for {}", names.join(", ")));
        } else if self.arguments.has_extrema() {
            reasons.push("under deletes".into());
        }
        let tables = nonlinear_tables(self.tree());
        if !tables.is_empty() && names.is_empty() {
            let tables = tables.join(", ");
            reasons.push(match self.partners {
                Some(_) => format!("where the first or last match in {tables} changed"),
                None => format!("where {tables} changed"),
            });
        }
        reasons
    }

    /// How many columns of the state are keys.
    fn key_count(&self) -> usize {
        self.keys.len() + usize::from(self.sets.is_some())
    }

    /// Whether there is a group of all rows, which is there without rows too.
    fn has_total(&self) -> bool {
        self.sets.as_ref().map_or(self.keys.is_empty(), GroupingSets::has_total)
    }

    /// Whether no row can make an expression of the core fail, not even one that is gone again or never was.
    pub(crate) fn is_infallible(&self) -> bool {
        self.keys.iter().chain(self.arguments.expressions()).all(cannot_fail)
            && tree_cannot_fail(self.tree(), &cannot_fail)
    }

    /// Whether changed groups are computed anew for these changes, or only added to.
    fn delta(&self, trees: &Trees<'_>) -> Result<Option<Vec<Signed>>> {
        if self.arguments.held.is_empty() { trees.delta(self.tree()) } else { Ok(None) }
    }

    /// Whether all rows that are looked at to bring the state up to date are rows of the query too.
    pub(crate) fn sees_only_rows_of_the_query(&self, inputs: &Inputs) -> Result<bool> {
        let removes = inputs.values().filter_map(|input| input.change.as_ref()).any(|change| change.removed.is_some());
        Ok(!removes && Trees::new(inputs).delta(self.tree())?.is_some())
    }

    /// The state's rows from nothing.
    fn whole(&self, trees: &Trees<'_>) -> Result<LogicalPlan> {
        self.grouped(vec![Signed { plan: trees.now(self.tree())?, weight: None }])
    }

    /// How the state comes to follow what changed in its inputs.
    pub(crate) fn advance(&self, inputs: &Inputs) -> Result<Advance> {
        let trees = Trees::new(inputs);
        let (rows, touched) = match self.delta(&trees)? {
            Some(terms) if terms.is_empty() => return Ok(Advance::Unchanged),
            Some(terms) if !(self.arguments.has_extrema() && is_signed(&terms)) => {
                return Ok(Advance::Added { rows: self.grouped(terms)?, lost: Vec::new() });
            }
            Some(terms) => (Some(terms), trees.touched(self.tree(), Touching::Removed)?),
            None => (None, trees.touched(self.tree(), Touching::All)?),
        };
        let is_large = inputs.values().filter_map(|input| input.change.as_ref()).any(|change| change.is_large);
        // A group of all rows is touched by any of them. Only of those that lost a bound it may be told that it did not.
        let is_all = if rows.is_some() { self.keys.is_empty() } else { self.has_total() };
        if !touched.is_empty() && (is_all || is_large) {
            return Ok(Advance::Whole(self.whole(&trees)?));
        }
        match rows {
            Some(terms) => Ok(Advance::Added { rows: self.grouped(terms)?, lost: touched }),
            None if touched.is_empty() => Ok(Advance::Unchanged),
            None => Ok(match self.pairs_delta(&trees)? {
                Some(pairs) => Advance::Paired { rows: self.grouped(pairs)?, touched },
                None => Advance::Touched(touched),
            }),
        }
    }

    /// What came and went in groups that did not turn.
    fn pairs_delta(&self, trees: &Trees<'_>) -> Result<Option<Vec<Signed>>> {
        if self.partners.is_some() { trees.pairs_delta(self.tree()) } else { Ok(None) }
    }

    /// What is to be added to the state for what changed, or the whole state where `merge` or what changed ask for it.
    pub(crate) fn fold(&self, state: Option<Arc<dyn TableSource>>, inputs: &Inputs, merge: bool) -> Result<Fold> {
        if state.is_some() && !merge {
            match self.advance(inputs)? {
                Advance::Unchanged => return Ok(Fold { plan: None, replace: false }),
                Advance::Added { rows, lost } if lost.is_empty() => {
                    return Ok(Fold { plan: Some(rows), replace: false });
                }
                Advance::Added { .. } | Advance::Paired { .. } | Advance::Touched(_) | Advance::Whole(_) => {}
            }
        }
        Ok(Fold { plan: Some(self.state_at(state, inputs)?), replace: true })
    }

    /// The merged state at the snapshot of `inputs`, one row a group. Empty groups are left out; without keys there is always one row.
    pub(crate) fn state_at(&self, state: Option<Arc<dyn TableSource>>, inputs: &Inputs) -> Result<LogicalPlan> {
        let trees = Trees::new(inputs);
        let Some(state) = state else { return self.whole(&trees) };
        let runs = self.state_rows(state)?;
        let (known, touched) = match self.advance(inputs)? {
            Advance::Unchanged => return self.merged(vec![runs]),
            Advance::Whole(plan) => return Ok(plan),
            Advance::Added { rows, lost } => (self.merged(vec![runs, rows])?, lost),
            Advance::Paired { touched, .. } | Advance::Touched(touched) => (self.merged(vec![runs])?, touched),
        };
        if touched.is_empty() {
            return Ok(known);
        }
        let touched = LogicalPlanBuilder::from(self.touched_groups(touched)?).distinct()?.build()?;
        let fresh = self.recomputed(Some(touched.clone()), None, inputs)?;
        self.replaced(known, touched, fresh)
    }

    /// Rows in the state's columns that are there already.
    pub(crate) fn state_rows(&self, rows: Arc<dyn TableSource>) -> Result<LogicalPlan> {
        self.in_state_types(LogicalPlanBuilder::scan(TableReference::bare("state"), rows, None)?)
    }

    /// State rows for signed rows of the tree: one row a group that they touch, in the state's columns.
    fn grouped(&self, terms: Vec<Signed>) -> Result<LogicalPlan> {
        let signed = is_signed(&terms);
        let mut projected = Vec::new();
        for Signed { plan, weight } in terms {
            let mut shown: Vec<Expr> = self.named_keys("g").chain(self.arguments.projected()).collect();
            if signed {
                shown.push(weight.unwrap_or_else(|| lit(1_i8)).alias("w"));
            } else if shown.is_empty() {
                // Without arguments rows are counted, and a row needs a column.
                shown.push(lit(1_i8).alias("w"));
            }
            projected.push(LogicalPlanBuilder::from(plan).project(shown)?.build()?);
        }
        let rows = united(projected)?;
        let partials = self.arguments.partials(signed)?;
        let Some(sets) = &self.sets else {
            return self.in_state_types(rows.aggregate(self.key_columns(), partials)?);
        };
        let columns: Vec<Expr> = self.key_columns().into_iter().take(self.keys.len()).collect();
        let grouped = rows.aggregate(vec![sets.over(&columns)?], partials)?;
        let told = grouped.schema().columns().into_iter().map(|column| {
            if Expr::Column(column.clone()) == GroupingSets::id_column() {
                return Expr::Column(column).alias(format!("g{}", self.keys.len()));
            }
            Expr::Column(column)
        });
        let told: Vec<Expr> = told.collect();
        self.in_state_types(grouped.project(told)?)
    }

    /// State rows for rows that are told already which groups they are of, by columns that begin with `prefix`.
    fn grouped_as_told(&self, rows: Vec<LogicalPlan>, prefix: &str) -> Result<LogicalPlanBuilder> {
        let projected = rows.into_iter().map(|rows| {
            let keys = self.columns_named(prefix, None).into_iter().zip(self.columns_named("g", None));
            let mut shown: Vec<Expr> = keys.map(|(told, key)| Expr::Column(told).alias(key.name)).collect();
            shown.extend(self.arguments.projected());
            LogicalPlanBuilder::from(rows).project(shown)?.build()
        });
        let rows = united(projected.collect::<Result<_>>()?)?;
        let grouped = rows.aggregate(self.key_columns(), self.arguments.partials(false)?)?;
        Ok(LogicalPlanBuilder::from(self.in_state_types(grouped)?))
    }

    /// The rows of a plan with keys in columns that begin with `prefix`, once for each group that they are of.
    fn once_a_group(&self, rows: LogicalPlan, prefix: &str) -> Result<Vec<LogicalPlan>> {
        let Some(sets) = &self.sets else { return Ok(vec![rows]) };
        let keys = self.keys.iter().enumerate().map(|(index, key)| {
            Ok((Column::from_name(format!("{prefix}{index}")), key.get_type(self.tree().schema())?))
        });
        sets.expanded(&rows, &keys.collect::<Result<Vec<_>>>()?, &format!("{prefix}{}", self.keys.len()))
    }

    /// The state rows, without rows of the tree, of those groups of all rows that are `touched`.
    fn empty_totals(&self, sets: &GroupingSets, touched: LogicalPlan) -> Result<Option<LogicalPlan>> {
        let ids = sets.total_ids().map(|id| {
            let values = self.columns.iter().enumerate().map(|(index, column)| {
                let data_type = column.sql_type.data_type();
                Ok(match column.name.as_str() {
                    _ if index == self.keys.len() => lit(id),
                    name if !column.key && (name == ROWS || name.starts_with('n')) => lit(0_i64),
                    _ => Expr::Literal(ScalarValue::try_from(&data_type)?, None),
                })
            });
            values.collect::<Result<Vec<_>>>()
        });
        let ids: Vec<Vec<Expr>> = ids.collect::<Result<_>>()?;
        if ids.is_empty() {
            return Ok(None);
        }
        let named = LogicalPlanBuilder::values(ids)?;
        let names: Vec<Expr> = named
            .schema()
            .columns()
            .into_iter()
            .zip(&self.columns)
            .map(|(value, column)| Expr::Column(value).alias(&column.name))
            .collect();
        let totals = named.project(names)?.join_detailed(
            touched,
            JoinType::LeftSemi,
            (self.columns_named("g", None), self.columns_named(TOUCHED_KEY, Some(TOUCHED))),
            None,
            NullEquality::NullEqualsNull,
        )?;
        self.in_state_types(totals).map(Some)
    }

    fn named_keys(&self, prefix: &'static str) -> impl Iterator<Item = Expr> + '_ {
        self.keys.iter().enumerate().map(move |(index, key)| key.clone().alias(format!("{prefix}{index}")))
    }

    fn key_columns(&self) -> Vec<Expr> {
        (0..self.key_count()).map(|index| col(Column::from_name(format!("g{index}")))).collect()
    }

    /// Casts and orders columns as the state has them.
    fn in_state_types(&self, plan: LogicalPlanBuilder) -> Result<LogicalPlan> {
        let shown = self.columns.iter().map(|column| {
            let value = col(Column::from_name(&column.name));
            cast(value, column.sql_type.data_type()).alias(&column.name)
        });
        plan.project(shown.collect::<Vec<_>>())?.build()
    }

    /// One row a group from rows that add up.
    pub(crate) fn merged(&self, runs: Vec<LogicalPlan>) -> Result<LogicalPlan> {
        let all = united(runs)?;
        if !self.arguments.held.is_empty() {
            // Such a state is replaced as a whole: each group has one row.
            return all.build();
        }
        let merged = self.columns.iter().filter(|column| !column.key);
        let sums: Vec<Expr> = merged.map(|column| self.arguments.merged(&column.name).alias(&column.name)).collect();
        let merged = all.aggregate(self.key_columns(), sums)?;
        self.in_state_types(if self.keys.is_empty() { merged } else { merged.filter(self.exists())? })
    }

    /// Whether the group of a merged row is there.
    fn exists(&self) -> Expr {
        let has_rows = col(ROWS).gt(lit(0_i64));
        let id = col(Column::from_name(format!("g{}", self.keys.len())));
        match self.sets.as_ref().and_then(|sets| sets.is_total(&id)) {
            Some(is_total) => has_rows.or(is_total),
            None => has_rows,
        }
    }

    /// The state rows of `touched` groups, computed from the tree's rows that meet `condition`; of all groups of these rows where no
    /// groups are named.
    pub(crate) fn recomputed(
        &self,
        touched: Option<LogicalPlan>,
        condition: Option<Expr>,
        inputs: &Inputs,
    ) -> Result<LogicalPlan> {
        let mut now = Trees::new(inputs).now(self.tree())?;
        if let Some(condition) = condition {
            now = LogicalPlanBuilder::from(now).filter(condition)?.build()?;
        }
        let Some(touched) = touched else { return self.grouped(vec![Signed { plan: now, weight: None }]) };
        let mut shown: Vec<Expr> = now.schema().columns().into_iter().map(Expr::Column).collect();
        shown.extend(self.named_keys("__k"));
        let told = self.once_a_group(LogicalPlanBuilder::from(now).project(shown)?.build()?, "__k")?;
        let of_touched = told.into_iter().map(|rows| {
            LogicalPlanBuilder::from(rows)
                .join_detailed(
                    touched.clone(),
                    JoinType::LeftSemi,
                    (self.columns_named("__k", None), self.columns_named(TOUCHED_KEY, Some(TOUCHED))),
                    None,
                    NullEquality::NullEqualsNull,
                )?
                .build()
        });
        let fresh = self.grouped_as_told(of_touched.collect::<Result<_>>()?, "__k")?.build()?;
        let totals = match &self.sets {
            Some(sets) => self.empty_totals(sets, touched)?,
            None => None,
        };
        match totals {
            Some(totals) => self.merged(vec![fresh, totals]),
            None => Ok(fresh),
        }
    }

    /// The rows of `known` with those of `touched` groups replaced by `fresh` ones.
    pub(crate) fn replaced(&self, known: LogicalPlan, touched: LogicalPlan, fresh: LogicalPlan) -> Result<LogicalPlan> {
        let kept = LogicalPlanBuilder::from(known).join_detailed(
            touched,
            JoinType::LeftAnti,
            (self.columns_named("g", None), self.columns_named(TOUCHED_KEY, Some(TOUCHED))),
            None,
            NullEquality::NullEqualsNull,
        )?;
        self.in_state_types(kept.union(fresh)?)
    }

    fn columns_named(&self, prefix: &str, relation: Option<&str>) -> Vec<Column> {
        (0..self.key_count()).map(|index| Column::new(relation, format!("{prefix}{index}"))).collect()
    }

    /// The core's own output from merged state rows: the aggregate's schema, names and types.
    pub(crate) fn finish(&self, merged: LogicalPlan) -> Result<LogicalPlan> {
        let values = self.key_columns().into_iter();
        let values = values.chain(self.arguments.values());
        let shown = values.zip(self.aggregate.schema.iter()).map(|(value, (qualifier, field))| {
            cast(value, field.data_type().clone()).alias_qualified(qualifier.cloned(), field.name())
        });
        LogicalPlanBuilder::from(merged).project(shown.collect::<Vec<_>>())?.build()
    }
}

fn is_signed(terms: &[Signed]) -> bool {
    terms.iter().any(|term| term.weight.is_some())
}

fn united(plans: Vec<LogicalPlan>) -> Result<LogicalPlanBuilder> {
    let mut plans = plans.into_iter();
    let Some(first) = plans.next() else { return datafusion::common::internal_err!("there are no rows to unite") };
    plans.try_fold(LogicalPlanBuilder::from(first), |all, plan| all.union(plan))
}

fn type_in(expression: &Expr, schema: &DFSchema) -> std::result::Result<DataType, String> {
    expression.get_type(schema).map_err(|error| error.to_string())
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Columns, constants, comparisons and logic never fail. Arithmetic, casts and functions might.
pub(crate) fn cannot_fail(expression: &Expr) -> bool {
    let mut safe = true;
    let walked = expression.apply(|part| {
        let harmless = match part {
            Expr::Column(_)
            | Expr::Literal(..)
            | Expr::Alias(_)
            | Expr::Not(_)
            | Expr::Case(_)
            | Expr::Between(_)
            | Expr::InList(_) => true,
            Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsTrue(_) | Expr::IsFalse(_) | Expr::IsUnknown(_) => true,
            Expr::IsNotTrue(_) | Expr::IsNotFalse(_) | Expr::IsNotUnknown(_) => true,
            Expr::BinaryExpr(binary) => binary.op.is_logic_operator() || is_comparison(binary.op),
            _ => false,
        };
        safe &= harmless;
        Ok(if harmless { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.expect("the walk itself does not fail");
    safe
}
