//! Input conditions: what conditions over the keys of groups say of the rows of single tables.
//!
//! Who reads few groups follows only those changes that have a part in them. A condition goes down the tree to the scan whose columns it
//! reads, and by the equalities of joins to the scans on the other side:
//!
//! ```text
//!     p.id IN (1, 2)   over   products p ⟕ sales s ON s.product = p.id
//!         ▶ products: id IN (1, 2)      ▶ sales: product IN (1, 2)
//! ```
//!
//! A row that does not meet them is part of no row of the tree that meets the condition, and does not decide whether there is one. What
//! follows from the other rows alone is right in the groups that are asked for, and may be wrong in all others.

use crate::core::cannot_fail;
use crate::deltas::{Side, is_linear_in};
use crate::partners::is_over;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchemaRef, ExprSchema, Result, TableReference};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Operator};
use std::collections::{HashMap, HashSet};

/// Conditions for rows of tables, over the bare names of their columns.
pub type InputConditions = HashMap<TableReference, Vec<Expr>>;

/// What rows of the tables below a tree meet that have a part in rows of the tree which meet all `conditions`. A table that is scanned
/// twice has rows with two parts, and no conditions.
pub(crate) fn input_conditions(tree: &LogicalPlan, conditions: Vec<Expr>) -> Result<InputConditions> {
    let mut scans = Vec::new();
    descend(tree, conditions, &mut scans)?;
    let mut found = InputConditions::new();
    let mut known = HashSet::new();
    for (table, conditions) in scans {
        if known.insert(table.clone()) {
            found.insert(table, conditions);
        } else {
            found.remove(&table);
        }
    }
    found.retain(|_, conditions| !conditions.is_empty());
    Ok(found)
}

/// Finds the scans with what their rows meet.
fn descend(tree: &LogicalPlan, conditions: Vec<Expr>, scans: &mut Vec<(TableReference, Vec<Expr>)>) -> Result<()> {
    match tree {
        LogicalPlan::TableScan(scan) => {
            let bare = |column: &Column| Ok(Expr::Column(Column::from_name(&column.name)));
            scans.push((scan.table_name.clone(), replaced(&conditions, bare)?));
            Ok(())
        }
        LogicalPlan::Join(join) => {
            let (left, right) = of_sides(join, &conditions)?;
            descend(&join.left, left, scans)?;
            descend(&join.right, right, scans)
        }
        LogicalPlan::Projection(projection) => {
            let shown =
                |column: &Column| Ok(projection.expr[projection.schema.index_of_column(column)?].clone().unalias());
            descend(&projection.input, replaced(&conditions, shown)?, scans)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let below = by_place(&conditions, &alias.schema, alias.input.schema())?;
            descend(&alias.input, below, scans)
        }
        LogicalPlan::Union(union) => union
            .inputs
            .iter()
            .try_for_each(|input| descend(input, by_place(&conditions, &union.schema, input.schema())?, scans)),
        LogicalPlan::Filter(filter) => descend(&filter.input, conditions, scans),
        other => other.inputs().into_iter().try_for_each(|input| descend(input, Vec::new(), scans)),
    }
}

/// Conditions over the columns at the same places of another schema.
fn by_place(conditions: &[Expr], schema: &DFSchemaRef, other: &DFSchemaRef) -> Result<Vec<Expr>> {
    replaced(conditions, |column| {
        let place = schema.index_of_column(column)?;
        Ok(Expr::Column(Column::from(other.qualified_field(place))))
    })
}

/// Conditions with their columns replaced, without those that might fail then.
fn replaced(conditions: &[Expr], column: impl Fn(&Column) -> Result<Expr>) -> Result<Vec<Expr>> {
    let replaced = conditions.iter().map(|condition| {
        let replaced = condition.clone().transform_up(|part| match &part {
            Expr::Column(named) => Ok(Transformed::yes(column(named)?)),
            _ => Ok(Transformed::no(part)),
        })?;
        Ok(replaced.data)
    });
    let replaced: Vec<Expr> = replaced.collect::<Result<_>>()?;
    Ok(replaced.into_iter().filter(cannot_fail).collect())
}

/// What the rows of both sides of a join meet, the left one's first.
fn of_sides(join: &Join, conditions: &[Expr]) -> Result<(Vec<Expr>, Vec<Expr>)> {
    let equal = equal_columns(join);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for condition in conditions {
        // Of a side that has no delta a row may be missed: then its partner comes with NULLs.
        if is_linear_in(join.join_type, Side::Left) && is_over(condition, &join.left) {
            left.push(condition.clone());
            right.extend(across(condition, equal.iter().map(|(left, right)| (*left, *right)))?);
        } else if is_linear_in(join.join_type, Side::Right) && is_over(condition, &join.right) {
            right.push(condition.clone());
            left.extend(across(condition, equal.iter().map(|(left, right)| (*right, *left)))?);
        }
    }
    Ok((left, right))
}

/// A condition over the columns of the other side of a join that equal its own ones, where all of them do.
fn across<'a>(condition: &Expr, equal: impl Iterator<Item = (&'a Column, &'a Column)> + Clone) -> Result<Option<Expr>> {
    let partner = |column: &Column| equal.clone().find(|(own, _)| *own == column).map(|(_, other)| other.clone());
    if condition.column_refs().into_iter().any(|column| partner(column).is_none()) {
        return Ok(None);
    }
    let other = |column: &Column| Ok(partner(column).map_or_else(|| Expr::Column(column.clone()), Expr::Column));
    Ok(replaced(std::slice::from_ref(condition), other)?.pop())
}

/// The columns of both sides that are equal in all pairs, and the same value then: zeros of two signs are equal too. A NOT IN is decided
/// by rows without an equal one.
fn equal_columns(join: &Join) -> Vec<(&Column, &Column)> {
    if join.null_aware {
        return Vec::new();
    }
    let equalities = join.filter.iter().flat_map(split_conjunction).filter_map(|part| match part {
        Expr::BinaryExpr(binary) if binary.op == Operator::Eq => Some((binary.left.as_ref(), binary.right.as_ref())),
        _ => None,
    });
    let pairs = join.on.iter().map(|(left, right)| (left, right)).chain(equalities);
    let columns = pairs.filter_map(|pair| match pair {
        (Expr::Column(one), Expr::Column(other)) if join.left.schema().has_column(one) => Some((one, other)),
        (Expr::Column(one), Expr::Column(other)) => Some((other, one)),
        _ => None,
    });
    let is_exact = |(left, right): &(&Column, &Column)| {
        let types = (join.left.schema().data_type(left), join.right.schema().data_type(right));
        matches!(types, (Ok(left), Ok(right)) if left == right && !left.is_floating() && !left.is_nested())
    };
    columns.filter(is_exact).collect()
}

#[cfg(test)]
mod tests;
