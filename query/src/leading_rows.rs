//! Leading rows: a query for the first rows of each partition sorts few more than these.
//!
//! `… row_number() OVER (PARTITION BY k ORDER BY x) AS place … WHERE place <= 10` sorts all rows to number them, and then shows ten of
//! each `k`. Before the sort, a row can be left out behind which ten others of its partition have already been seen:
//!
//!     Filter(place <= 10)                             Filter(place <= 10)
//!       Window(row_number)                              Window(row_number)
//!         Sort(k, x)                       ▶              Sort(k, x)
//!           Repartition(k)                                  Repartition(k)
//!             …                                               LeadingRows(10 of k by x)
//!                                                               …
//!
//! What is left out would have had a higher number or rank than the filter lets through, and so would not have changed that of any
//! other row. Rows whose key is the last of the leading ones stay. Only keys are remembered, so many of them and so many bytes;
//! partitions beyond that pass whole.

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, Scalar};
use arrow::compute::kernels::cmp::{gt_eq, lt_eq, not_distinct};
use arrow::compute::{filter_record_batch, is_null, or, prep_null_mask_filter};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_expr::window::StandardWindowExpr;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr, split_conjunction};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::sync::Arc;

/// Places up to which a filter is worth it.
const PLACES_MAX: usize = 1_000;
/// Keys that a scan remembers, of all partitions together, and their bytes.
const KEYS_MAX: usize = 65_536;
const KEY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Puts a [`LeadingRows`] under the sort of each window of numbers or ranks that a filter limits.
#[derive(Debug)]
pub(crate) struct LeadingRowsOfWindows;

impl PhysicalOptimizerRule for LeadingRowsOfWindows {
    fn name(&self) -> &str {
        "leading_rows_of_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let limited = plan.transform_up(|node| {
            let Some((window, limit)) = limit_of(&node) else { return Ok(Transformed::no(node)) };
            let [sorted] = window.children()[..] else { return Ok(Transformed::no(node)) };
            let Some(sorted) = with_limit(sorted, false, &limit)? else { return Ok(Transformed::no(node)) };
            let mut limited = over(window, vec![sorted])?;
            for above in projections(&node).rev() {
                limited = over(above, vec![limited])?;
            }
            Ok(Transformed::yes(over(&node, vec![limited])?))
        })?;
        Ok(limited.data)
    }
}

/// So many rows of each partition in an order.
#[derive(Clone, Debug)]
struct Limit {
    partition: Vec<Arc<dyn PhysicalExpr>>,
    order: Vec<PhysicalSortExpr>,
    places: usize,
}

/// The projections right below a filter, from above.
fn projections(filter: &Arc<dyn ExecutionPlan>) -> std::vec::IntoIter<&Arc<dyn ExecutionPlan>> {
    let inputs = std::iter::successors(filter.children().into_iter().next(), |node| node.children().into_iter().next());
    inputs.take_while(|node| node.is::<ProjectionExec>()).collect::<Vec<_>>().into_iter()
}

/// The window below a filter, which only projections are between, and the limit that the filter sets to it.
fn limit_of(node: &Arc<dyn ExecutionPlan>) -> Option<(&Arc<dyn ExecutionPlan>, Limit)> {
    let filter = node.downcast_ref::<FilterExec>()?;
    let below = projections(node).next_back().map_or(filter.input(), |last| last.children()[0]);
    let window = below.downcast_ref::<BoundedWindowAggExec>()?;
    // Another window over the same rows may need them all.
    let [function] = window.window_expr() else { return None };
    let standard = function.as_any().downcast_ref::<StandardWindowExpr>()?;
    let name = standard.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>()?.fun().name();
    if !matches!(name, "row_number" | "rank") || function.order_by().is_empty() {
        return None;
    }
    let place = window.input().schema().fields().len();
    let is_place = |shown: usize| {
        let source = projections(node).try_fold(shown, |shown, projection| {
            let projection = projection.downcast_ref::<ProjectionExec>()?;
            Some(projection.expr().get(shown)?.expr.downcast_ref::<Column>()?.index())
        });
        source == Some(place)
    };
    let limits = split_conjunction(filter.predicate()).into_iter().filter_map(|part| places_in(part, &is_place));
    let places = limits.min().filter(|places| (1..=PLACES_MAX).contains(places))?;
    let limit = Limit { partition: function.partition_by().to_vec(), order: function.order_by().to_vec(), places };
    let schema = window.input().schema();
    let fields = [limit.partition_fields(&schema).ok()?, limit.order_fields(&schema).ok()?];
    // What is computed anew each time would be another key to the sort.
    let is_volatile = limit.partition.iter().chain(limit.order.iter().map(|key| &key.expr)).any(is_volatile);
    if is_volatile || schema.fields().is_empty() {
        return None;
    }
    let is_comparable = fields.iter().all(|fields| RowConverter::supports_fields(fields));
    is_comparable.then_some((below, limit))
}

/// The highest place that a condition on the column lets through.
fn places_in(condition: &Arc<dyn PhysicalExpr>, is_place: &dyn Fn(usize) -> bool) -> Option<usize> {
    let binary = condition.downcast_ref::<BinaryExpr>()?;
    let (column, literal, op) = match (binary.left().downcast_ref::<Column>(), binary.right().downcast_ref::<Column>())
    {
        (Some(column), None) => (column, binary.right(), *binary.op()),
        (None, Some(column)) => (column, binary.left(), binary.op().swap()?),
        _ => return None,
    };
    let number = match literal.downcast_ref::<Literal>()?.value() {
        ScalarValue::UInt64(number) => usize::try_from((*number)?).ok()?,
        ScalarValue::Int64(number) => usize::try_from((*number)?).ok()?,
        _ => return None,
    };
    match op {
        _ if !is_place(column.index()) => None,
        Operator::LtEq | Operator::Eq => Some(number),
        Operator::Lt => number.checked_sub(1),
        _ => None,
    }
}

/// What a filter's window reads, down to below its sort, with a [`LeadingRows`] there; `None` where it is not sorted for it.
fn with_limit(node: &Arc<dyn ExecutionPlan>, is_sorted: bool, limit: &Limit) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let goes_on = match is_sorted {
        false => node.is::<SortPreservingMergeExec>() || is_whole_sort(node),
        true => node.is::<RepartitionExec>(),
    };
    if !goes_on {
        return Ok(is_sorted.then(|| Arc::new(LeadingRows::new(Arc::clone(node), limit.clone())) as Arc<_>));
    }
    let is_sorted = is_sorted || is_whole_sort(node);
    let limited = node.children().into_iter().map(|input| with_limit(input, is_sorted, limit));
    let limited: Option<Vec<_>> = limited.collect::<Result<Vec<_>>>()?.into_iter().collect();
    limited.map(|inputs| over(node, inputs)).transpose()
}

fn is_whole_sort(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.downcast_ref::<SortExec>().is_some_and(|sort| sort.fetch().is_none())
}

fn over(node: &Arc<dyn ExecutionPlan>, inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    Arc::clone(node).replace_children(inputs, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

impl Limit {
    fn partition_fields(&self, schema: &Schema) -> Result<Vec<SortField>> {
        self.partition.iter().map(|key| Ok(SortField::new(key.data_type(schema)?))).collect()
    }

    fn order_fields(&self, schema: &Schema) -> Result<Vec<SortField>> {
        let fields = self.order.iter();
        fields.map(|key| Ok(SortField::new_with_options(key.expr.data_type(schema)?, key.options))).collect()
    }
}

/// Leaves out rows behind which enough others of their partition were seen.
#[derive(Debug)]
struct LeadingRows {
    input: Arc<dyn ExecutionPlan>,
    limit: Limit,
    properties: Arc<PlanProperties>,
}

impl LeadingRows {
    fn new(input: Arc<dyn ExecutionPlan>, limit: Limit) -> Self {
        let properties = Arc::clone(input.properties());
        Self { input, limit, properties }
    }
}

impl DisplayAs for LeadingRows {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |keys: Vec<String>| keys.join(", ");
        let partition = shown(self.limit.partition.iter().map(ToString::to_string).collect());
        let order = shown(self.limit.order.iter().map(ToString::to_string).collect());
        write!(f, "LeadingRowsExec: {} of each [{partition}] by [{order}]", self.limit.places)
    }
}

impl ExecutionPlan for LeadingRows {
    fn name(&self) -> &str {
        "LeadingRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let orders = self.limit.order.iter().map(|key| &key.expr);
        for key in self.limit.partition.iter().chain(orders) {
            if f(key)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(children.swap_remove(0), self.limit.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let schema = input.schema();
        let mut heads = Heads::new(self.limit.clone(), &schema)?;
        let leading = input.map(move |batch| heads.leading(&batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, leading)))
    }
}

/// The leading keys of each partition that was seen so far.
struct Heads {
    limit: Limit,
    partitions: RowConverter,
    orders: RowConverter,
    /// The greatest key on top.
    heads: HashMap<Box<[u8]>, BinaryHeap<Box<[u8]>>>,
    /// Bytes of all keys.
    bytes: usize,
}

impl Heads {
    fn new(limit: Limit, schema: &SchemaRef) -> Result<Self> {
        let partitions = RowConverter::new(limit.partition_fields(schema)?)?;
        let orders = RowConverter::new(limit.order_fields(schema)?)?;
        Ok(Self { limit, partitions, orders, heads: HashMap::new(), bytes: 0 })
    }

    /// The rows of a batch that may be among the leading ones.
    fn leading(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        match self.not_behind(batch)? {
            Some(rows) if rows.true_count() < batch.num_rows() => self.told_apart(&filter_record_batch(batch, &rows)?),
            _ => self.told_apart(batch),
        }
    }

    /// The rows that by the first column of the order are not behind all leading ones, where the batch is of one partition that has
    /// those: most rows are told by that, without a key of their own.
    fn not_behind(&self, batch: &RecordBatch) -> Result<Option<BooleanArray>> {
        let Some(first) = self.limit.order.first().filter(|_| batch.num_rows() > 0) else { return Ok(None) };
        let values = first.expr.evaluate(batch)?.into_array(batch.num_rows())?;
        if !is_ordered_by_value(values.data_type()) {
            return Ok(None);
        }
        let Some(partition) = self.only_partition(batch)? else { return Ok(None) };
        let head = self.heads.get(&partition).filter(|head| head.len() >= self.limit.places);
        let Some(last) = head.and_then(BinaryHeap::peek) else { return Ok(None) };
        let parser = self.orders.parser();
        let last = self.orders.convert_rows([parser.parse(last)])?;
        if last[0].is_null(0) {
            return Ok(None);
        }
        let last = Scalar::new(Arc::clone(&last[0]));
        let leads = if first.options.descending { gt_eq(&values, &last)? } else { lt_eq(&values, &last)? };
        if leads.null_count() == 0 {
            return Ok(Some(leads));
        }
        Ok(Some(or(&prep_null_mask_filter(&leads), &is_null(&values)?)?))
    }

    /// The partition that all rows of a batch are of, if they are of one.
    fn only_partition(&self, batch: &RecordBatch) -> Result<Option<Box<[u8]>>> {
        if self.limit.partition.is_empty() {
            return Ok(Some(Box::default()));
        }
        for key in &self.limit.partition {
            let values = key.evaluate(batch)?.into_array(batch.num_rows())?;
            if values.data_type().is_nested() || not_distinct(&values, &Scalar::new(values.slice(0, 1)))?.has_false() {
                return Ok(None);
            }
        }
        let keys = keys_of(&self.partitions, self.limit.partition.iter(), &batch.slice(0, 1))?;
        Ok(keys.iter().next().map(|key| key.as_ref().into()))
    }

    fn told_apart(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let orders = keys_of(&self.orders, self.limit.order.iter().map(|key| &key.expr), batch)?;
        let leads: BooleanArray = if self.limit.partition.is_empty() {
            orders.iter().map(|key| Some(self.leads(&[], key.as_ref()))).collect()
        } else {
            let partitions = keys_of(&self.partitions, self.limit.partition.iter(), batch)?;
            let pairs = partitions.iter().zip(orders.iter());
            pairs.map(|(partition, key)| Some(self.leads(partition.as_ref(), key.as_ref()))).collect()
        };
        if batch.num_columns() == 0 {
            let rows = RecordBatchOptions::new().with_row_count(Some(leads.true_count()));
            return Ok(RecordBatch::try_new_with_options(batch.schema(), Vec::new(), &rows)?);
        }
        Ok(filter_record_batch(batch, &leads)?)
    }

    fn leads(&mut self, partition: &[u8], key: &[u8]) -> bool {
        let places = self.limit.places;
        let is_full = (self.heads.len() + 1) * places > KEYS_MAX;
        let has_room = self.bytes + partition.len() + key.len() <= KEY_BYTES_MAX;
        let head = match self.heads.get_mut(partition) {
            Some(head) => head,
            None if is_full || !has_room => return true,
            None => {
                self.bytes += partition.len();
                self.heads.entry(partition.into()).or_default()
            }
        };
        // A head that lacks keys lets every row pass, and one with a key that is too great lets more of them.
        if head.len() < places {
            if has_room {
                self.bytes += key.len();
                head.push(key.into());
            }
            return true;
        }
        let Some(mut last) = head.peek_mut() else { return true };
        let leads = key <= last.as_ref();
        if key < last.as_ref() && (has_room || key.len() <= last.len()) {
            self.bytes = self.bytes - last.len() + key.len();
            *last = key.into();
        }
        leads
    }
}

/// Whether values of a type that are equal, and no others, are one key, and one is before another as its key is.
fn is_ordered_by_value(data_type: &DataType) -> bool {
    match data_type {
        DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_) => true,
        DataType::Decimal128(..) | DataType::Decimal256(..) => true,
        other => other.is_integer(),
    }
}

fn keys_of<'a>(
    converter: &RowConverter,
    keys: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>,
    batch: &RecordBatch,
) -> Result<Rows> {
    let columns = keys.map(|key| key.evaluate(batch)?.into_array(batch.num_rows()));
    Ok(converter.convert_columns(&columns.collect::<Result<Vec<ArrayRef>>>()?)?)
}

#[cfg(test)]
mod tests;
