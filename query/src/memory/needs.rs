//! Needs: what an execution takes of memory, estimated from its plan before it begins.
//!
//! Estimates are made of what planning knows: rows and bytes of the segments that are left after pruning, the columns that are read, and
//! how many partitions work at once. They need not be right. Operators that account for their memory borrow more, and spill where
//! there is none; what they are promised here is what keeps them from failing. Only decoding, windows over whole partitions and
//! batches on their way are nobody's account, so that is charged in full.

use crate::look_ups::{FOUND_MAX, FewRows};
use arrow::datatypes::{DataType, Schema};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use storage::segment::ROW_GROUP_ROWS_MAX;

/// What an operator that keeps rows is promised for each partition, where its input may be large.
const OPERATOR_BYTES: usize = 16 << 20;
/// What one is promised that passes rows on.
const EXCHANGE_BYTES: usize = 2 << 20;
/// Rows of a batch, and how many batches are under way between a reader and what keeps its rows.
const BATCH_ROWS: usize = 8192;
const BATCHES_UNDER_WAY: usize = 3;
/// The most rows of a page; a column's reader has one decoded, strings keep the one before.
const PAGE_ROWS: usize = 20_000;
const PAGES_DECODED: usize = 2;
/// A look-up takes one part in so many of what a scan does.
const LOOK_UP_SHARE: usize = 8;
/// What a row costs in a table of keys, beside its values.
const KEY_BYTES: usize = 24;
/// What a value of varying length takes, its view included.
const VARYING_BYTES: usize = 32;
const NESTED_BYTES: usize = 96;
/// What is assumed of a source that does not know its rows.
const UNKNOWN_ROWS: usize = 100_000;

/// What an execution takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// What no operator accounts for.
    pub(super) unaccounted: usize,
    /// What its operators are promised.
    operators: usize,
}

/// What is known of a part of a plan.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// The most rows that it is thought to give.
    rows: usize,
    needs: Needs,
    /// Whether it reads segments.
    stored: bool,
}

impl Needs {
    /// What a plan takes; nothing where it reads no segments.
    pub(crate) fn of(plan: &dyn ExecutionPlan) -> Self {
        let part = part(plan);
        if part.stored { part.needs } else { Self::default() }
    }

    pub(super) fn promise(&self) -> usize {
        self.unaccounted.saturating_add(self.operators)
    }

    /// So many bytes that operators take.
    #[cfg(test)]
    pub(super) fn of_bytes(operators: usize) -> Self {
        Self { unaccounted: 0, operators }
    }

    fn and(self, other: Self) -> Self {
        Self {
            unaccounted: self.unaccounted.saturating_add(other.unaccounted),
            operators: self.operators.saturating_add(other.operators),
        }
    }
}

fn part(plan: &dyn ExecutionPlan) -> Part {
    if let Some(scan) = file_scan(plan) {
        return scanned(scan, plan);
    }
    let inputs: Vec<Part> = plan.children().into_iter().map(|input| part(input.as_ref())).collect();
    let below = inputs.iter().fold(Part::default(), |below, input| Part {
        rows: below.rows.max(input.rows),
        needs: below.needs.and(input.needs),
        stored: below.stored || input.stored,
    });
    let rows = if inputs.is_empty() { source_rows(plan) } else { below.rows };
    Part { rows, needs: below.needs.and(own(plan, &inputs)), stored: below.stored }
}

fn source_rows(plan: &dyn ExecutionPlan) -> usize {
    let statistics = StatisticsContext::new().compute(plan, &StatisticsArgs::new());
    statistics.ok().and_then(|known| known.num_rows.get_value().copied()).unwrap_or(UNKNOWN_ROWS)
}

fn file_scan(plan: &dyn ExecutionPlan) -> Option<&FileScanConfig> {
    plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()
}

/// A scan decodes one row group at a time for each of its partitions: its bytes as they are stored, a page or two of each column, and
/// the batches that it has given.
fn scanned(scan: &FileScanConfig, plan: &dyn ExecutionPlan) -> Part {
    let schema = plan.schema();
    let columns = schema.fields().len().max(1);
    let stored_columns = scan.file_schema().fields().len().max(columns);
    let mut rows = 0;
    let mut bytes = 0_usize;
    for group in &scan.file_groups {
        let mut largest = 0;
        for file in group.iter() {
            let known = file.statistics.as_ref().and_then(|known| known.num_rows.get_value().copied());
            let file_rows = known.unwrap_or(UNKNOWN_ROWS);
            let size = usize::try_from(file.object_meta.size).unwrap_or(usize::MAX);
            let row_groups = file_rows.div_ceil(ROW_GROUP_ROWS_MAX).max(1);
            let read = size / row_groups * columns / stored_columns;
            let (page, batches) = (file_rows.min(PAGE_ROWS), file_rows.min(BATCH_ROWS));
            let decoded = (page * PAGES_DECODED + batches * BATCHES_UNDER_WAY) * width(&schema);
            let taken = read.saturating_add(decoded);
            let finds_few = file.extension::<FewRows>().is_some();
            largest = largest.max(if finds_few { taken / LOOK_UP_SHARE } else { taken });
            rows += if finds_few { file_rows.min(FOUND_MAX) } else { file_rows };
        }
        bytes = bytes.saturating_add(largest);
    }
    Part { rows, needs: Needs { unaccounted: bytes, operators: 0 }, stored: true }
}

/// What an operator takes beside its inputs.
fn own(plan: &dyn ExecutionPlan, inputs: &[Part]) -> Needs {
    let Some(first) = inputs.first() else { return Needs::default() };
    let keeps = |input: usize| kept_bytes(plan, inputs, input);
    let promised = |bytes: usize, most: usize| {
        let partitions = plan.output_partitioning().partition_count().max(1);
        Needs { unaccounted: 0, operators: bytes.min(most.saturating_mul(partitions)) }
    };
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let groups = !aggregate.group_expr().is_empty();
        return if groups { promised(keeps(0), OPERATOR_BYTES) } else { Needs::default() };
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        // It holds its rows and merges them.
        let rows = sort.fetch().map_or(first.rows, |fetch| fetch.min(first.rows));
        let bytes = rows.saturating_mul(width(&plan.schema()) + KEY_BYTES);
        return promised(bytes.saturating_mul(2), 2 * OPERATOR_BYTES);
    }
    if plan.is::<HashJoinExec>() || plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>() {
        // It cannot spill, so all of the side that it keeps is asked for.
        return Needs { unaccounted: 0, operators: keeps(0) };
    }
    if plan.is::<SortMergeJoinExec>() {
        return promised(keeps(0), OPERATOR_BYTES);
    }
    if plan.is::<RepartitionExec>() {
        return promised(keeps(0), EXCHANGE_BYTES);
    }
    if plan.is::<WindowAggExec>() {
        return Needs { unaccounted: keeps(0), operators: 0 };
    }
    Needs::default()
}

/// What all rows of an input take in memory, with a key for each.
fn kept_bytes(plan: &dyn ExecutionPlan, inputs: &[Part], input: usize) -> usize {
    let width = plan.children().get(input).map_or(0, |child| width(&child.schema()));
    inputs.get(input).map_or(0, |part| part.rows.saturating_mul(width + KEY_BYTES))
}

/// What a row takes.
fn width(schema: &Schema) -> usize {
    let widths = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Boolean | DataType::Null => 1,
        DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).unwrap_or(VARYING_BYTES),
        data_type if data_type.is_nested() => NESTED_BYTES,
        data_type => data_type.primitive_width().unwrap_or(VARYING_BYTES),
    });
    widths.sum()
}

#[cfg(test)]
mod tests;
