//! Where subqueries stand: filters, select lists, groups, sorts, rows of VALUES.

use super::attach::{Attachment, stands_in_the_way};
use super::passing::beside;
use super::pulled::filtered;
use super::scope::{Names, columns_of, outer_columns, plain, project, shown_as, substitute};
use crate::functions::clocks::waiting_where_taken;
use crate::user_types::is_kept_from_folding;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, TableReference};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Distinct, DistinctOn, EmptyRelation, Filter, Projection, Sort, Values};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Case, Expr, GroupingSet, LogicalPlan, Operator, SortExpr, Volatility, cast, lit};
use std::sync::Arc;

/// Whether an expression has a subquery that must go.
pub(super) fn is_affected(expr: &Expr) -> bool {
    expr.exists(|part| Ok(stands_in_the_way(part))).expect("the test itself does not fail")
}

/// A node of one input with the subqueries of its expressions joined to that input.
pub(super) fn in_expressions(node: LogicalPlan, names: &mut Names) -> Result<LogicalPlan> {
    let exprs = node.expressions();
    let [input] = node.inputs()[..] else { return Ok(node) };
    if !exprs.iter().any(is_affected) {
        return Ok(node);
    }
    let original = columns_of(input);
    let mut attachment = Attachment::new(input.clone(), names);
    let preserver = NamePreserver::new(&node);
    let mut rewritten = Vec::with_capacity(exprs.len());
    for expr in exprs {
        if let Expr::GroupingSet(sets) = expr {
            rewritten.push(Expr::GroupingSet(in_sets(sets, &mut attachment)?));
            continue;
        }
        let name = preserver.save(&expr);
        let expr = in_grouping(with_computed_keys(expr, &mut attachment)?, &mut attachment)?;
        rewritten.push(name.restore(attachment.replace(expr)?));
    }
    let plan = attachment.plan;
    match node {
        LogicalPlan::Distinct(Distinct::On(distinct)) => distinct_on(&distinct, rewritten, plan),
        LogicalPlan::Sort(sort) => {
            let keys = sort.expr.iter().zip(rewritten).map(|(key, expr)| key.with_expr(expr.unalias())).collect();
            project(LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(plan), fetch: sort.fetch }), original)
        }
        LogicalPlan::Window(window) => {
            let computed = window.schema.columns().into_iter().skip(original.len()).map(Expr::Column);
            let shown = original.into_iter().chain(computed).collect();
            project(LogicalPlan::Window(window).with_new_exprs(rewritten, vec![plan])?, shown)
        }
        node => node.with_new_exprs(rewritten, vec![plan]),
    }
}

/// What sets group by keeps its name, under which other nodes mean it.
fn in_sets(sets: GroupingSet, attachment: &mut Attachment<'_>) -> Result<GroupingSet> {
    let mut replaced = |items: Vec<Expr>| named_as_before(items, attachment);
    Ok(match sets {
        GroupingSet::Rollup(items) => GroupingSet::Rollup(replaced(items)?),
        GroupingSet::Cube(items) => GroupingSet::Cube(replaced(items)?),
        GroupingSet::GroupingSets(sets) => {
            GroupingSet::GroupingSets(sets.into_iter().map(replaced).collect::<Result<_>>()?)
        }
    })
}

fn named_as_before(items: Vec<Expr>, attachment: &mut Attachment<'_>) -> Result<Vec<Expr>> {
    let items = items.into_iter().map(|item| {
        let name = item.schema_name().to_string();
        let value = attachment.replace(item)?;
        Ok(if value.schema_name().to_string() == name { value } else { value.alias(name) })
    });
    items.collect()
}

/// `grouping(x)` names what is grouped by as the sets do.
fn in_grouping(expr: Expr, attachment: &mut Attachment<'_>) -> Result<Expr> {
    let renamed = expr.transform_down(|part| match part {
        Expr::AggregateFunction(mut call) if call.func.name() == "grouping" => {
            call.params.args = named_as_before(call.params.args, attachment)?;
            Ok(Transformed::yes(Expr::AggregateFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(renamed.data)
}

/// A window's keys that depend on subqueries are columns: DataFusion does not see every expression as sorted that it
/// has sorted.
fn with_computed_keys(expr: Expr, attachment: &mut Attachment<'_>) -> Result<Expr> {
    let computed = expr.transform(|part| {
        let Expr::WindowFunction(mut function) = part else { return Ok(Transformed::no(part)) };
        let params = &mut function.params;
        for key in params.partition_by.iter_mut().chain(params.order_by.iter_mut().map(|key| &mut key.expr)) {
            if is_affected(key) {
                *key = attachment.column(key.clone())?;
            }
        }
        Ok(Transformed::yes(Expr::WindowFunction(function)))
    })?;
    Ok(computed.data)
}

fn distinct_on(distinct: &DistinctOn, mut exprs: Vec<Expr>, input: LogicalPlan) -> Result<LogicalPlan> {
    let keys = exprs.split_off(distinct.on_expr.len() + distinct.select_expr.len());
    let selected = exprs.split_off(distinct.on_expr.len());
    let on = exprs.into_iter().map(Expr::unalias).collect();
    let order = distinct.sort_expr.as_ref().map(|order| {
        order.iter().zip(keys).map(|(key, expr)| key.with_expr(expr.unalias())).collect::<Vec<SortExpr>>()
    });
    let first = DistinctOn::try_new(on, selected, order, Arc::new(input))?;
    Ok(LogicalPlan::Distinct(Distinct::On(first)))
}

/// `leaves_plain`: DataFusion plans EXISTS and IN that depend on no outer row as joins itself.
pub(super) fn in_filter(filter: Filter, leaves_plain: bool, names: &mut Names) -> Result<LogicalPlan> {
    let stays = |conjunct: &Expr| !is_affected(conjunct) || (leaves_plain && is_plain_predicate(conjunct));
    let schema = Arc::clone(filter.input.schema());
    let conjuncts = split_conjunction_owned(filter.predicate).into_iter();
    let conjuncts = conjuncts.map(|conjunct| spelt_as_in(asked_of_each(conjunct, &schema)));
    let (own, others): (Vec<Expr>, Vec<Expr>) = conjuncts.partition(stays);
    let input = filtered(filter.input.as_ref().clone(), own)?;
    if others.is_empty() {
        return Ok(input);
    }
    let original = columns_of(&input);
    let mut attachment = Attachment::new(input, names);
    let mut values = Vec::new();
    for conjunct in others {
        if let Some(rest) = keep_rows(&mut attachment, conjunct)? {
            values.push(rest);
        }
    }
    let values = values.into_iter().map(|value| attachment.replace(value)).collect::<Result<Vec<_>>>()?;
    let plan = filtered(attachment.plan, values)?;
    if plan.schema().fields().len() == original.len() { Ok(plan) } else { project(plan, original) }
}

/// Whether a condition is another one each time and names no column: it is asked of each row, also of a join.
pub(super) fn is_by_chance(condition: &Expr) -> bool {
    !condition.any_column_refs() && !condition.contains_outer() && changes_with_each_call(condition)
}

/// Such a condition of rows of several relations names a column of each.
pub(super) fn asked_of_each(condition: Expr, schema: &DFSchema) -> Expr {
    if !is_by_chance(&condition) {
        return condition;
    }
    let mut relations: Vec<Option<&TableReference>> = Vec::new();
    let mut columns = Vec::new();
    for (relation, field) in schema.iter() {
        if !relations.contains(&relation) {
            relations.push(relation);
            columns.push(Expr::from((relation, field)));
        }
    }
    if columns.len() > 1 { beside(condition, columns) } else { condition }
}

/// `x = ANY (…)` is `x IN (…)`, and `x <> ALL (…)` is `x NOT IN (…)`; NOT goes inside.
fn spelt_as_in(expr: Expr) -> Expr {
    match expr {
        Expr::SetComparison(SetComparison { expr, subquery, op: Operator::Eq, quantifier: SetQuantifier::Any }) => {
            Expr::InSubquery(InSubquery { expr, subquery, negated: false })
        }
        Expr::SetComparison(SetComparison { expr, subquery, op: Operator::NotEq, quantifier: SetQuantifier::All }) => {
            Expr::InSubquery(InSubquery { expr, subquery, negated: true })
        }
        Expr::Not(inner) => match spelt_as_in(*inner) {
            Expr::InSubquery(found) => Expr::InSubquery(InSubquery { negated: !found.negated, ..found }),
            Expr::Exists(found) => Expr::Exists(Exists { negated: !found.negated, ..found }),
            other => !other,
        },
        other => other,
    }
}

fn is_plain_predicate(expr: &Expr) -> bool {
    match expr {
        Expr::Exists(exists) => outer_columns(&exists.subquery.subquery).is_empty(),
        Expr::InSubquery(found) => {
            let compared = &found.expr;
            let is_plain = !is_affected(compared) && !compared.contains_outer();
            // DataFusion's join for NOT IN sees NULL only in its keys, and has none where what is compared is a constant.
            let has_key = !found.negated || compared.any_column_refs();
            is_plain && has_key && outer_columns(&found.subquery.subquery).is_empty()
        }
        _ => false,
    }
}

/// A condition that only rows with a match (or without one) fulfil becomes a join; others come back.
fn keep_rows(attachment: &mut Attachment<'_>, conjunct: Expr) -> Result<Option<Expr>> {
    match conjunct {
        Expr::Exists(Exists { subquery, negated }) if !outer_columns(&subquery.subquery).is_empty() => {
            attachment.keep(&subquery.subquery, negated, None::<fn(Expr) -> Expr>)?;
            Ok(None)
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let x = attachment.replace(*expr)?;
            let compared = |value: Expr| {
                let equal = x.clone().eq(value.clone());
                // A row is also lost where a comparison is NULL.
                if negated { equal.or(x.is_null()).or(value.is_null()) } else { equal }
            };
            attachment.keep(&subquery.subquery, negated, Some(compared))?;
            Ok(None)
        }
        other => Ok(Some(other)),
    }
}

/// ORDER BY may name columns that the select list has not, so its subqueries are computed with that.
pub(super) fn in_sort(sort: Sort, names: &mut Names) -> Result<LogicalPlan> {
    let LogicalPlan::Projection(projection) = sort.input.as_ref() else {
        return in_expressions(LogicalPlan::Sort(sort), names);
    };
    if !sort.expr.iter().any(|key| is_affected(&key.expr)) {
        return Ok(LogicalPlan::Sort(sort));
    }
    let shown = columns_of(&sort.input);
    let outputs: Vec<Expr> = projection.expr.iter().map(|expr| expr.clone().unalias()).collect();
    let (mut exprs, mut keys) = (projection.expr.clone(), Vec::new());
    for key in &sort.expr {
        if is_affected(&key.expr) {
            let name = names.take("sort");
            exprs.push(substitute(key.expr.clone(), &projection.schema, &outputs)?.alias(&name));
            keys.push(key.with_expr(plain(&name)));
        } else {
            keys.push(key.clone());
        }
    }
    let extended = Projection::try_new(exprs, Arc::clone(&projection.input))?;
    let extended = in_expressions(LogicalPlan::Projection(extended), names)?;
    project(LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(extended), fetch: sort.fetch }), shown)
}

/// Rows of VALUES with subqueries, outer columns or what is volatile: those cells are computed above the others, by the number of their row.
pub(super) fn in_values(values: Values, names: &mut Names) -> Result<LogicalPlan> {
    let has_subquery = |cell: &Expr| cell.exists(|part| Ok(is_any_subquery(part))).unwrap_or(true);
    let is_computed = |cell: &Expr| cell.contains_outer() || changes_with_each_call(cell) || has_subquery(cell);
    if !values.values.iter().flatten().any(is_computed) {
        return Ok(LogicalPlan::Values(values));
    }
    if values.values.len() == 1 {
        return in_one_row(values, names);
    }
    // DataFusion gives these names again when it puts parameters in.
    let row_number = format!("column{}", values.schema.fields().len() + 1);
    let mut computed: Vec<Vec<(i64, Expr)>> = vec![Vec::new(); values.schema.fields().len()];
    let mut rows = Vec::new();
    for (row, cells) in (0_i64..).zip(values.values) {
        let mut kept = Vec::new();
        for ((cell, field), computed) in cells.into_iter().zip(values.schema.fields()).zip(&mut computed) {
            if is_computed(&cell) {
                kept.push(Expr::Literal(ScalarValue::try_from(field.data_type())?, None));
                computed.push((row, cast(cell, field.data_type().clone())));
            } else {
                kept.push(cell);
            }
        }
        kept.push(lit(row));
        rows.push(kept);
    }
    let number = arrow::datatypes::Field::new(&row_number, arrow::datatypes::DataType::Int64, false);
    let fields = values
        .schema
        .iter()
        .map(|(qualifier, field)| (qualifier.cloned(), Arc::new(field.as_ref().clone().with_nullable(true))));
    let fields = fields.chain([(None, Arc::new(number))]).collect();
    let schema = DFSchema::new_with_metadata(fields, Default::default())?;
    let plain_rows = LogicalPlan::Values(Values { schema: Arc::new(schema), values: rows });
    let mut exprs = Vec::new();
    for ((qualifier, field), cells) in values.schema.iter().zip(computed) {
        let column = Expr::from((qualifier, field));
        exprs.push(if cells.is_empty() {
            column
        } else {
            let branches = cells.into_iter().map(|(row, cell)| (Box::new(lit(row)), Box::new(cell))).collect();
            let chosen = Case::new(Some(Box::new(plain(&row_number))), branches, Some(Box::new(column)));
            let chosen = Expr::Case(waiting_where_taken(chosen));
            shown_as(chosen, plain_rows.schema(), (qualifier, field))?
        });
    }
    in_expressions(project(plain_rows, exprs)?, names)
}

/// Whether a cell is another value each time that it is computed. Casts that only claim to be volatile are not.
pub(super) fn changes_with_each_call(cell: &Expr) -> bool {
    let changes = |part: &Expr| match part {
        Expr::ScalarFunction(call) => {
            call.func.signature().volatility == Volatility::Volatile && !is_kept_from_folding(call)
        }
        _ => false,
    };
    cell.exists(|part| Ok(changes(part))).unwrap_or(true)
}

/// One row of VALUES is a SELECT without FROM.
fn in_one_row(mut values: Values, names: &mut Names) -> Result<LogicalPlan> {
    let nothing = EmptyRelation { produce_one_row: true, schema: Arc::new(DFSchema::empty()) };
    let nothing = LogicalPlan::EmptyRelation(nothing);
    let cells = values.values.swap_remove(0).into_iter().zip(values.schema.iter());
    let cells = cells.map(|(cell, (qualifier, field))| {
        shown_as(cast(cell, field.data_type().clone()), nothing.schema(), (qualifier, field))
    });
    let cells = cells.collect::<Result<Vec<_>>>()?;
    in_expressions(project(nothing, cells)?, names)
}

fn is_any_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_))
}
