//! Grouping sets: a core whose rows belong to a group of each of several sets of keys.
//!
//! A group is told by the keys of its set, NULL for those that are not in it, and by the *grouping id* that DataFusion gives the set: a
//! bit for each key that is not in it, and above those the place among sets of the same keys. The id is one more key of the state:
//!
//! ```text
//!     GROUP BY ROLLUP (g, h)        row (a, x)  ▶  groups (a, x, 0b00)   (a, NULL, 0b01)   (NULL, NULL, 0b11)
//! ```
//!
//! What is added to a state is grouped by DataFusion's own grouping sets. Which groups single rows belong to is told here.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::utils::powerset;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, col, lit};

/// Sets that one row is looked at for.
const SETS_MAX: usize = 64;
/// Bits of a grouping id that a bigint holds.
const ID_BITS_MAX: usize = 62;

/// One set of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Set {
    /// Whether each key is in it.
    holds: Vec<bool>,
    id: i64,
}

/// The sets by which a core groups.
#[derive(Clone, Debug)]
pub(crate) struct GroupingSets {
    sets: Vec<Set>,
    /// As the definition has them.
    written: GroupingSet,
    keys: Vec<Expr>,
}

impl GroupingSets {
    /// The sets of an aggregate that has some, and the keys that they are of; or why they cannot be kept.
    pub(crate) fn of(aggregate: &Aggregate) -> std::result::Result<Option<Self>, String> {
        let [Expr::GroupingSet(written)] = aggregate.group_expr.as_slice() else { return Ok(None) };
        let keys: Vec<Expr> = written.distinct_expr().into_iter().cloned().collect();
        let sets: Vec<Vec<&Expr>> = match written {
            GroupingSet::GroupingSets(sets) => sets.iter().map(|set| set.iter().collect()).collect(),
            GroupingSet::Rollup(items) => (0..=items.len()).map(|count| items[..count].iter().collect()).collect(),
            GroupingSet::Cube(items) if items.len() <= SETS_MAX.ilog2() as usize => {
                powerset(items).map_err(|error| error.to_string())?
            }
            GroupingSet::Cube(_) => Vec::new(),
        };
        if sets.is_empty() || sets.len() > SETS_MAX || keys.len() + sets.len().ilog2() as usize >= ID_BITS_MAX {
            return Err("it groups by more sets than are kept by delta".into());
        }
        let mut told: Vec<Set> = Vec::with_capacity(sets.len());
        for set in sets {
            let holds: Vec<bool> = keys.iter().map(|key| set.contains(&key)).collect();
            let mask = holds.iter().fold(0, |mask, holds| mask << 1 | i64::from(!holds));
            let place = told.iter().filter(|earlier| earlier.holds == holds).count() as i64;
            told.push(Set { holds, id: mask | place << keys.len() });
        }
        Ok(Some(Self { sets: told, written: written.clone(), keys }))
    }

    /// The keys of all sets, in the order of the aggregate's columns.
    pub(crate) fn keys(&self) -> &[Expr] {
        &self.keys
    }

    /// The sets over columns that stand for the keys.
    pub(crate) fn over(&self, columns: &[Expr]) -> Result<Expr> {
        let replaced = Expr::GroupingSet(self.written.clone()).map_children(|item| {
            let index = self.keys.iter().position(|key| *key == item);
            Ok(Transformed::yes(index.map_or(item, |index| columns[index].clone())))
        })?;
        Ok(replaced.data)
    }

    /// The column that an aggregate over [`Self::over`] gives the ids in.
    pub(crate) fn id_column() -> Expr {
        col(Column::from_name(Aggregate::INTERNAL_GROUPING_ID))
    }

    /// Whether all rows are in one group of some set, which is there without rows too.
    pub(crate) fn has_total(&self) -> bool {
        self.total_ids().next().is_some()
    }

    /// Whether a group, whose id is the column's, is of a set without keys; `None` where there is no such set.
    pub(crate) fn is_total(&self, id: &Expr) -> Option<Expr> {
        let ids: Vec<Expr> = self.total_ids().map(lit).collect();
        (!ids.is_empty()).then(|| id.clone().in_list(ids, false))
    }

    /// The ids of the sets without keys.
    pub(crate) fn total_ids(&self) -> impl Iterator<Item = i64> + '_ {
        self.sets.iter().filter(|set| !set.holds.contains(&true)).map(|set| set.id)
    }

    /// The rows of a plan once for each set. Its columns `keys`, of these types, are NULL where the set does not have them, and `id` tells
    /// the set; other columns stay.
    pub(crate) fn expanded(
        &self,
        rows: &LogicalPlan,
        keys: &[(Column, DataType)],
        id: &str,
    ) -> Result<Vec<LogicalPlan>> {
        let of_set = |set: &Set| {
            let mut shown = Vec::new();
            for column in rows.schema().columns() {
                let key = keys.iter().position(|(key, _)| *key == column);
                shown.push(match key.filter(|index| !set.holds[*index]) {
                    Some(index) => Expr::Literal(ScalarValue::try_from(&keys[index].1)?, None)
                        .alias_qualified(column.relation, column.name),
                    None => Expr::Column(column),
                });
            }
            shown.push(lit(set.id).alias(id));
            LogicalPlanBuilder::from(rows.clone()).project(shown)?.build()
        };
        self.sets.iter().map(of_set).collect()
    }
}
