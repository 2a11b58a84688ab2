//! Touched groups: those of which a change says that they are to be computed anew, and what tells that none is.
//!
//! ```text
//!     the groups of rows that came or went                          touched, where nothing else can be said
//!     lost rows, and bounds after them   a bound is among these  ▶  undone: the group's least or greatest value may be gone
//!     partners that came, and all        none before, or now     ▶  turned: whether its rows have partners is another answer
//! ```

use super::{Core, Narrowed, TOUCHED, TOUCHED_KEY, united};
use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use datafusion::arrow::compute::{max as max_of, min as min_of};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::arrow::row::{Row, RowConverter, SortField};
use datafusion::common::{Column, NullEquality, Result, ScalarValue, TableReference};
use datafusion::functions_aggregate::min_max::{MaxAccumulator, MinAccumulator};
use datafusion::logical_expr::{
    Accumulator, Expr, ExprSchemable, JoinType, LogicalPlan, LogicalPlanBuilder, TableSource, cast, col, lit, when,
};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// So many groups are told apart by lists of their keys.
const LISTED_GROUPS_MAX: usize = 256;

impl Core {
    /// The keys of the groups that rows of the tree belong to, once a row.
    pub(crate) fn touched_groups(&self, rows: Vec<LogicalPlan>) -> Result<LogicalPlan> {
        let mut groups = Vec::new();
        for rows in rows {
            let keys = LogicalPlanBuilder::from(rows).project(self.named_keys(TOUCHED_KEY).collect::<Vec<_>>())?;
            groups.extend(self.once_a_group(keys.build()?, TOUCHED_KEY)?);
        }
        united(groups)?.alias(TOUCHED)?.build()
    }

    /// The keys of those groups among `known`, to which the changes were added, that may have lost a least or greatest value with the
    /// rows `lost`: a value that went is still the bound. Bounds are over all rows that were added, whatever they weigh, so the
    /// bound of any other group is the value of a row that is there.
    pub(crate) fn undone_groups(&self, known: LogicalPlan, lost: Vec<LogicalPlan>) -> Result<LogicalPlan> {
        let shown: Vec<Expr> = self.named_keys(TOUCHED_KEY).chain(self.arguments.bounded("__x")).collect();
        let mut rows = Vec::new();
        for lost in lost {
            let lost = LogicalPlanBuilder::from(lost).project(shown.clone())?.build()?;
            rows.extend(self.once_a_group(lost, TOUCHED_KEY)?);
        }
        united(rows)?
            .join_detailed(
                LogicalPlanBuilder::from(known).alias("__known")?.build()?,
                JoinType::Inner,
                (self.columns_named(TOUCHED_KEY, None), self.columns_named("g", Some("__known"))),
                self.arguments.reach_bound("__x", "__known"),
                NullEquality::NullEqualsNull,
            )?
            .project(self.columns_named(TOUCHED_KEY, None).into_iter().map(Expr::Column))?
            .distinct()?
            .alias(TOUCHED)?
            .build()
    }

    /// Whether it is plain from what was added, and from the groups `known` to which it was, that none lost a bound: no value that came or
    /// went in any of them is as low as the highest least value, or as high as the lowest greatest one.
    pub(crate) fn none_undone(&self, added: &[RecordBatch], known: &[RecordBatch]) -> Result<bool> {
        for (name, is_least) in self.arguments.bounds() {
            // Of one column both are the outermost that came and the innermost that stays.
            let (came, bound) = (extreme(added, &name, is_least)?, extreme(known, &name, !is_least)?);
            if came.is_null() || bound.is_null() {
                continue;
            }
            let data_type = came.data_type();
            let is_ordered = data_type.is_numeric() || data_type.is_temporal();
            let within = if is_least { Ordering::Greater } else { Ordering::Less };
            if !is_ordered || came.partial_cmp(&bound) != Some(within) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it is plain from one row a group of what was added, and of the groups `known` to which it was, that none turned: each had
    /// partners before and has some now, or has none and came to none.
    pub(crate) fn none_turned(&self, added: &[RecordBatch], known: &[RecordBatch]) -> Result<bool> {
        let groups = |rows: &[RecordBatch]| rows.iter().map(RecordBatch::num_rows).sum::<usize>();
        if groups(added) != groups(known) {
            return Ok(false);
        }
        let came = self.partner_counts(added).flat_map(|(_, counts)| max_of(counts)).max().unwrap_or(0).max(0);
        let fewest = self.partner_counts(known).flat_map(|(_, counts)| min_of(counts)).min();
        if fewest.is_none_or(|fewest| fewest > came) {
            return Ok(true);
        }
        let keys = self.columns.iter().take(self.keys.len());
        let keys = RowConverter::new(keys.map(|key| SortField::new(key.sql_type.data_type())).collect())?;
        let mut now: HashMap<Box<[u8]>, i64> = HashMap::with_capacity(groups(known));
        for (batch, counts) in self.partner_counts(known) {
            let rows = keys.convert_columns(&batch.columns()[..self.keys.len()])?;
            now.extend(rows.iter().zip(counts.values().iter()).map(|(key, count)| (key.data().into(), *count)));
        }
        for (batch, counts) in self.partner_counts(added) {
            let rows = keys.convert_columns(&batch.columns()[..self.keys.len()])?;
            let stayed = |(key, came): (Row<'_>, &i64)| {
                now.get(key.data()).is_some_and(|now| (*now > 0) == (now.saturating_sub(*came) > 0))
            };
            if !rows.iter().zip(counts.values().iter()).all(stayed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The batches of state rows with how many partners each group has.
    fn partner_counts<'a>(&self, rows: &'a [RecordBatch]) -> impl Iterator<Item = (&'a RecordBatch, &'a Int64Array)> {
        let name = self.partners_column();
        rows.iter().filter_map(move |batch| {
            Some((batch, batch.column_by_name(name.as_ref()?)?.as_primitive_opt::<Int64Type>()?))
        })
    }

    fn partners_column(&self) -> Option<String> {
        self.partners.map(|index| format!("n{index}"))
    }

    /// The keys of those groups that turned with `added` rows, by what is `known` of the groups to which they were added. A group of which
    /// nothing is known has no partners left.
    pub(crate) fn turned_groups(&self, known: LogicalPlan, added: LogicalPlan) -> Result<LogicalPlan> {
        let Some(count) = self.partners_column() else {
            return datafusion::common::internal_err!("no groups turn where partners are not counted");
        };
        let partners = col(Column::new(Some("__known"), &count));
        let now = when(partners.clone().is_null(), lit(0_i64)).otherwise(partners)?;
        let came = col(Column::new(Some("__added"), &count));
        let had_partners = now.clone().gt(came);
        let keys = self.keys.iter().zip(self.columns_named("g", Some("__added"))).enumerate();
        let keys = keys.map(|(index, (key, column))| {
            let told = cast(Expr::Column(column), key.get_type(self.tree().schema())?);
            Ok(told.alias(format!("{TOUCHED_KEY}{index}")))
        });
        LogicalPlanBuilder::from(added)
            .alias("__added")?
            .join_detailed(
                LogicalPlanBuilder::from(known).alias("__known")?.build()?,
                JoinType::Left,
                (self.columns_named("g", Some("__added")), self.columns_named("g", Some("__known"))),
                None,
                NullEquality::NullEqualsNull,
            )?
            .filter(now.gt(lit(0_i64)).not_eq(had_partners))?
            .project(keys.collect::<Result<Vec<_>>>()?)?
            .alias(TOUCHED)?
            .build()
    }

    /// Touched groups whose keys are there already, as [`Self::touched_groups`] gives them.
    pub(crate) fn touched_rows(&self, keys: Arc<dyn TableSource>) -> Result<LogicalPlan> {
        LogicalPlanBuilder::scan(TableReference::bare(TOUCHED), keys, None)?.build()
    }

    /// A condition for rows of the tree that all rows of these groups meet, by which scans can prune; `None` where they are many.
    pub(crate) fn narrowed(&self, groups: &[RecordBatch]) -> Result<Option<Narrowed>> {
        let count = groups.iter().map(RecordBatch::num_rows).sum::<usize>();
        if count > LISTED_GROUPS_MAX || self.sets.is_some() {
            return Ok(None);
        }
        let mut condition: Option<Expr> = None;
        let mut combinations: usize = 1;
        for (index, key) in self.keys.iter().enumerate() {
            let mut values: HashSet<ScalarValue> = HashSet::new();
            for batch in groups {
                for row in 0..batch.num_rows() {
                    values.insert(ScalarValue::try_from_array(batch.column(index), row)?);
                }
            }
            combinations = combinations.saturating_mul(values.len());
            let (null, listed): (Vec<_>, Vec<_>) = values.into_iter().partition(ScalarValue::is_null);
            let mut among = key.clone().in_list(listed.into_iter().map(lit).collect(), false);
            if !null.is_empty() {
                among = among.or(key.clone().is_null());
            }
            condition = Some(match condition {
                Some(others) => others.and(among),
                None => among,
            });
        }
        Ok(condition.map(|condition| Narrowed { condition, is_exact: combinations == count }))
    }
}

/// The least or greatest value in a column of state rows; NULL where there is none.
fn extreme(rows: &[RecordBatch], column: &str, is_least: bool) -> Result<ScalarValue> {
    let arrays: Vec<&ArrayRef> = rows.iter().filter_map(|batch| batch.column_by_name(column)).collect();
    let Some(first) = arrays.first() else { return Ok(ScalarValue::Null) };
    let mut found: Box<dyn Accumulator> = match is_least {
        true => Box::new(MinAccumulator::try_new(first.data_type())?),
        false => Box::new(MaxAccumulator::try_new(first.data_type())?),
    };
    for values in arrays {
        found.update_batch(std::slice::from_ref(values))?;
    }
    found.evaluate()
}
