//! ROLLUP, CUBE and GROUPING SETS as the planner takes them.
//!
//!     GROUP BY ROLLUP ((a, b), c)               GROUP BY GROUPING SETS ((a, b, c), (a, b), ())
//!     GROUP BY GROUPING SETS (CUBE (a), b)      GROUP BY GROUPING SETS ((a), (), (b))
//!     GROUP BY a, ()                            GROUP BY a
//!     GROUP BY DISTINCT ROLLUP (a), ROLLUP (b)  GROUP BY GROUPING SETS ((a, b), (a), (b), ())
//!     SELECT a, b … GROUP BY ROLLUP (1, 2)      GROUP BY ROLLUP (a, b)
//!     GROUP BY ROLLUP (a, a)                    GROUP BY GROUPING SETS ((a), (a), ())
//!     GROUP BY ROLLUP (a, a::its type)          GROUP BY GROUPING SETS ((a, a'), (a, a'), ())

use super::casts::without_own_casts;
use super::lowering::Lowering;
use super::sites::integer_literal;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr as Planned, GroupingSet};
use datafusion::sql::sqlparser::ast::{Expr, SelectItem};

/// The most elements of a CUBE that are written out.
const CUBE_ELEMENTS_MAX: usize = 12;

/// Writes out the sets of elements with several columns and the sets among sets, and drops empty sets beside other elements.
pub(crate) fn write_out(items: &mut Vec<Expr>) {
    let all = std::mem::take(items);
    let only_empty = !all.is_empty() && all.iter().all(is_empty);
    items.extend(all.into_iter().filter(|item| !is_empty(item)).map(|item| match item {
        Expr::Rollup(elements) if is_wide(&elements) => Expr::GroupingSets(rollup(&elements)),
        Expr::Cube(elements) if is_wide(&elements) && elements.len() <= CUBE_ELEMENTS_MAX => {
            Expr::GroupingSets(cube(&elements))
        }
        Expr::GroupingSets(sets) => Expr::GroupingSets(sets.into_iter().flat_map(inner_sets).collect()),
        other => other,
    }));
    if only_empty {
        items.push(Expr::GroupingSets(vec![Vec::new()]));
    }
}

/// The elements of GROUP BY DISTINCT, of whose sets none is there twice.
pub(crate) fn distinct_sets(items: Vec<Expr>) -> Vec<Expr> {
    if !items.iter().any(|item| matches!(item, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_))) {
        return items;
    }
    let mut sets = vec![Vec::new()];
    for item in items {
        let own = sets_of(item);
        sets = sets.iter().flat_map(|set| own.iter().map(move |more| [set.clone(), more.clone()].concat())).collect();
    }
    let mut kept: Vec<Vec<Expr>> = Vec::new();
    for set in sets.into_iter().map(distinct) {
        let is_same = |known: &Vec<Expr>| known.len() == set.len() && set.iter().all(|item| known.contains(item));
        if !kept.iter().any(is_same) {
            kept.push(set);
        }
    }
    vec![Expr::GroupingSets(kept)]
}

/// The sets that an element of GROUP BY stands for.
fn sets_of(item: Expr) -> Vec<Vec<Expr>> {
    match item {
        Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => inner_sets(vec![item]),
        Expr::Tuple(columns) => vec![columns],
        column => vec![vec![column]],
    }
}

/// `()`
fn is_empty(item: &Expr) -> bool {
    matches!(item, Expr::Tuple(parts) if parts.is_empty())
}

/// Whether an element has not just one column.
fn is_wide(elements: &[Vec<Expr>]) -> bool {
    elements.iter().any(|element| element.len() != 1)
}

/// The sets that an element of GROUPING SETS stands for.
fn inner_sets(set: Vec<Expr>) -> Vec<Vec<Expr>> {
    match set.as_slice() {
        [Expr::Rollup(elements)] => rollup(elements),
        [Expr::Cube(elements)] if elements.len() <= CUBE_ELEMENTS_MAX => cube(elements),
        [Expr::GroupingSets(sets)] => sets.iter().cloned().flat_map(inner_sets).collect(),
        _ => vec![set],
    }
}

/// Puts columns in the place of ordinals, and writes the sets out where an expression stands among them twice.
pub(super) fn settle(grouping: &mut Expr, projection: &[SelectItem]) {
    if let Expr::Rollup(elements) | Expr::Cube(elements) | Expr::GroupingSets(elements) = grouping {
        elements.iter_mut().flatten().for_each(|item| resolve_ordinal(item, projection));
    }
    let sets = match grouping {
        Expr::Rollup(elements) if has_repetition(elements) => rollup(elements),
        Expr::Cube(elements) if has_repetition(elements) && elements.len() <= CUBE_ELEMENTS_MAX => cube(elements),
        Expr::GroupingSets(sets) => std::mem::take(sets),
        _ => return,
    };
    *grouping = Expr::GroupingSets(sets.into_iter().map(distinct).collect());
}

/// DataFusion knows no ordinals inside of grouping sets, so the column itself takes their place.
fn resolve_ordinal(item: &mut Expr, projection: &[SelectItem]) {
    let Some((digits, _)) = integer_literal(item) else { return };
    let index = digits.parse::<usize>().ok().and_then(|ordinal| ordinal.checked_sub(1));
    let shown = index.and_then(|index| projection.get(index));
    if let Some(SelectItem::UnnamedExpr(shown) | SelectItem::ExprWithAlias { expr: shown, .. }) = shown {
        *item = shown.clone();
    }
}

fn has_repetition(elements: &[Vec<Expr>]) -> bool {
    let all: Vec<&Expr> = elements.iter().flatten().collect();
    all.iter().enumerate().any(|(index, item)| all[..index].contains(item))
}

/// All elements, all but the last, and so on to none.
fn rollup(elements: &[Vec<Expr>]) -> Vec<Vec<Expr>> {
    (0..=elements.len()).rev().map(|count| elements[..count].concat()).collect()
}

/// Every choice of elements, the larger ones first.
fn cube(elements: &[Vec<Expr>]) -> Vec<Vec<Expr>> {
    let chosen = |bits: &usize| {
        let kept = elements.iter().enumerate().filter(|(index, _)| (bits >> (elements.len() - 1 - index)) & 1 == 1);
        kept.flat_map(|(_, element)| element.clone()).collect()
    };
    (0..1_usize << elements.len()).rev().map(|bits| chosen(&bits)).collect()
}

fn distinct(set: Vec<Expr>) -> Vec<Expr> {
    let mut kept: Vec<Expr> = Vec::with_capacity(set.len());
    for item in set {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

/// Sets in which items that are the same value under two names, such as a column and a cast of it to its own type, stand
/// together, as PostgreSQL takes them for one.
fn with_equal_items(sets: GroupingSet) -> GroupingSet {
    let bare = |item: &Planned| without_own_casts(item.clone().unalias());
    let items: Vec<Planned> = sets.distinct_expr().into_iter().cloned().collect();
    let has_equals = items
        .iter()
        .enumerate()
        .any(|(index, item)| items[..index].iter().any(|earlier| earlier != item && bare(earlier) == bare(item)));
    if !has_equals || items.len() > CUBE_ELEMENTS_MAX {
        return sets;
    }
    let mut sets = match sets {
        GroupingSet::GroupingSets(sets) => sets,
        GroupingSet::Rollup(items) => (0..=items.len()).rev().map(|count| items[..count].to_vec()).collect(),
        GroupingSet::Cube(items) => items.into_iter().fold(vec![Vec::new()], |sets, item| {
            let with_item = sets.iter().cloned().map(|mut set: Vec<Planned>| {
                set.push(item.clone());
                set
            });
            let with_item: Vec<Vec<Planned>> = with_item.collect();
            [with_item, sets].concat()
        }),
    };
    for set in &mut sets {
        let absent = items.iter().filter(|item| !set.contains(item));
        let equals: Vec<Planned> =
            absent.filter(|item| set.iter().any(|known| bare(known) == bare(item))).cloned().collect();
        set.extend(equals);
    }
    GroupingSet::GroupingSets(sets)
}

/// Whether an aggregate tells the sets by which its rows are grouped.
pub(super) fn is_grouping_call(aggregate: &Planned) -> bool {
    matches!(aggregate, Planned::AggregateFunction(call) if call.func.name() == "grouping")
}

impl Lowering<'_> {
    /// What is grouped by keeps its name, under which other nodes mean it.
    pub(super) fn grouping_set(
        &self,
        sets: GroupingSet,
        preserver: &NamePreserver,
        schema: &DFSchema,
    ) -> Result<Transformed<Planned>> {
        let lowered = |items: Vec<Planned>| self.grouped(items, preserver, schema);
        Ok(Transformed::yes(Planned::GroupingSet(with_equal_items(match sets {
            GroupingSet::Rollup(items) => GroupingSet::Rollup(lowered(items)?),
            GroupingSet::Cube(items) => GroupingSet::Cube(lowered(items)?),
            GroupingSet::GroupingSets(sets) => {
                GroupingSet::GroupingSets(sets.into_iter().map(lowered).collect::<Result<_>>()?)
            }
        }))))
    }

    /// `grouping(x)` names what is grouped by as the sets do.
    pub(super) fn grouping_call(&self, call: Planned, preserver: &NamePreserver, schema: &DFSchema) -> Result<Planned> {
        let Planned::AggregateFunction(mut call) = call else { return Ok(call) };
        let name = call.params.args.iter().map(|argument| argument.schema_name().to_string());
        let name = format!("grouping({})", name.collect::<Vec<_>>().join(","));
        call.params.args = self.grouped(call.params.args, preserver, schema)?;
        let call = Planned::AggregateFunction(call);
        Ok(if call.schema_name().to_string() == name { call } else { call.alias(name) })
    }

    fn grouped(&self, items: Vec<Planned>, preserver: &NamePreserver, schema: &DFSchema) -> Result<Vec<Planned>> {
        let items = items.into_iter().map(|item| {
            let name = preserver.save(&item);
            Ok(name.restore(self.lowered(item, schema)?.data))
        });
        items.collect()
    }
}
