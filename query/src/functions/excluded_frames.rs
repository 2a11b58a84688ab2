//! Window frames with EXCLUDE: the same functions over the rows of a frame without some of them.
//!
//! DataFusion's frames leave nothing out. So a call whose window excludes rows becomes a window function of its own, under a
//! name that says what is left out and which no user can type; [`OVER_MARKS`] are the words in which the frame says so on
//! its way through the syntax tree.
//!
//!     sum(x) FILTER (WHERE c) OVER (… EXCLUDE TIES)  ▶  "sum⌑exclude ties⌑filtered"(x, c) OVER (…)
//!
//! Sums and counts give up the excluded rows and take them back for each row. Every other aggregate is computed anew for
//! each row, which takes time with the square of the frame.

use super::aggregates::AVERAGED;
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::partition;
use arrow::datatypes::{DataType, FieldRef, Int64Type, Schema};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, LimitEffect, PartitionEvaluator, ReversedUDWF, Signature, Volatility, WindowUDF,
    WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_plan::expressions::{Column, Literal};
use std::ops::Range;
use std::sync::Arc;

/// Between the parts of a name; cannot be typed in SQL.
const SEPARATOR: char = '\u{1}';
const FILTERED: &str = "filtered";

/// What a frame leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Exclusion {
    CurrentRow,
    /// The row and those that are equal to it in the window's order.
    Group,
    /// Those that are equal to it without itself.
    Ties,
}

/// The exclusions in the words that stand for them in a window's name.
pub(crate) const OVER_MARKS: [(Exclusion, &str); 3] = [
    (Exclusion::CurrentRow, "exclude current row"),
    (Exclusion::Group, "exclude group"),
    (Exclusion::Ties, "exclude ties"),
];

impl Exclusion {
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::CurrentRow => OVER_MARKS[0].1,
            Self::Group => OVER_MARKS[1].1,
            Self::Ties => OVER_MARKS[2].1,
        }
    }

    /// A window's name without the words at its end, and what these leave out.
    pub(crate) fn of_name(name: &str) -> Option<(&str, Self)> {
        let mut all = OVER_MARKS.iter();
        all.find_map(|(exclusion, mark)| Some((name.strip_suffix(mark)?.trim_end(), *exclusion)))
    }

    /// The name of a function over such frames. With `filtered` its last argument says which rows count.
    pub(crate) fn function_name(self, function: &str, filtered: bool) -> String {
        let filter = if filtered { format!("{SEPARATOR}{FILTERED}") } else { String::new() };
        format!("{function}{SEPARATOR}{}{filter}", self.mark())
    }
}

/// Whether a window function sees all rows of its partition, whatever the frame is.
pub(crate) fn ignores_frames(name: &str) -> bool {
    let all = ["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"];
    all.contains(&name)
}

/// Whether a name is that of a function over such frames.
pub(crate) fn is_name(name: &str) -> bool {
    name.split(SEPARATOR).nth(1).is_some_and(|mark| Exclusion::of_name(mark).is_some())
}

/// The window function of such a name, if it is one.
pub(crate) fn function(name: &str, aggregate: impl Fn(&str) -> Option<Arc<AggregateUDF>>) -> Option<Arc<WindowUDF>> {
    let mut parts = name.split(SEPARATOR);
    let (inner, mark) = (parts.next()?, parts.next()?);
    let (_, exclusion) = Exclusion::of_name(mark)?;
    let filtered = parts.next() == Some(FILTERED);
    let inner = match inner {
        "first_value" => Inner::Nth(Some(1)),
        "last_value" => Inner::Nth(Some(-1)),
        "nth_value" => Inner::Nth(None),
        other => Inner::Aggregate(aggregate(other)?),
    };
    let signature = Signature::user_defined(Volatility::Immutable);
    Some(Arc::new(WindowUDF::new_from_impl(Excluding { name: name.into(), inner, exclusion, filtered, signature })))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Inner {
    Aggregate(Arc<AggregateUDF>),
    /// The row of this number, from the end where it is negative; `None` is the second argument's.
    Nth(Option<i64>),
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Excluding {
    name: String,
    inner: Inner,
    exclusion: Exclusion,
    filtered: bool,
    signature: Signature,
}

impl Excluding {
    /// The arguments without the filter.
    fn own<'a, T>(&self, arguments: &'a [T]) -> &'a [T] {
        &arguments[..arguments.len() - usize::from(self.filtered)]
    }
}

impl WindowUDFImpl for Excluding {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let own = self.own(types);
        let mut coerced = match (&self.inner, own) {
            (Inner::Aggregate(function), _) => {
                let fields: Vec<FieldRef> = own
                    .iter()
                    .map(|known| Arc::new(arrow::datatypes::Field::new("", known.clone(), true)) as _)
                    .collect();
                let fields = fields_with_udf(&fields, function.as_ref())?;
                fields.iter().map(|field| field.data_type().clone()).collect()
            }
            (Inner::Nth(Some(_)), [value]) => vec![value.clone()],
            (Inner::Nth(None), [value, _]) => vec![value.clone(), DataType::Int64],
            _ => return plan_err!("a window function has other arguments than it takes"),
        };
        coerced.extend(self.filtered.then_some(DataType::Boolean));
        Ok(coerced)
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let own = self.own(args.input_fields());
        let field = match &self.inner {
            Inner::Aggregate(function) => function.return_field(own)?,
            Inner::Nth(_) => Arc::clone(&own[0]),
        };
        Ok(Arc::new(field.as_ref().clone().with_name(args.name()).with_nullable(true)))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let own = self.own(args.input_exprs());
        let computed = match &self.inner {
            Inner::Aggregate(function) => {
                Computed::Aggregate(Box::new(Sliding::new(function, own, self.own(args.input_fields()))?))
            }
            Inner::Nth(place) => Computed::Nth(*place),
        };
        let arguments = args.input_exprs().len();
        let filtered = self.filtered;
        let exclusion = self.exclusion;
        Ok(Box::new(Rows { computed, exclusion, filtered, arguments, next_row: 0, peers: Vec::new() }))
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        ReversedUDWF::NotSupported
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::Unknown
    }
}

/// Computes one row after the other of a partition.
#[derive(Debug)]
struct Rows {
    computed: Computed,
    exclusion: Exclusion,
    filtered: bool,
    /// How many of the columns are arguments; the others are what the window is ordered by.
    arguments: usize,
    next_row: usize,
    /// The groups of rows that are equal in the window's order; found at the first row.
    peers: Vec<Range<usize>>,
}

#[derive(Debug)]
enum Computed {
    Aggregate(Box<Sliding>),
    Nth(Option<i64>),
}

impl Rows {
    /// What is left out of a frame, in order.
    fn excluded(&self, row: usize, frame: &Range<usize>) -> Vec<Range<usize>> {
        let at = self.peers.partition_point(|group| group.end <= row);
        let group = self.peers.get(at).cloned().unwrap_or(row..row + 1);
        let all: Vec<Range<usize>> = match self.exclusion {
            Exclusion::CurrentRow => std::iter::once(row..row + 1).collect(),
            Exclusion::Group => vec![group],
            Exclusion::Ties => vec![group.start..row, row + 1..group.end],
        };
        let within = all.into_iter().map(|range| range.start.max(frame.start)..range.end.min(frame.end));
        within.filter(|range| range.start < range.end).collect()
    }
}

impl PartitionEvaluator for Rows {
    fn uses_window_frame(&self) -> bool {
        true
    }

    fn evaluate(&mut self, values: &[ArrayRef], frame: &Range<usize>) -> Result<ScalarValue> {
        let row = self.next_row;
        let (arguments, order) = values.split_at(self.arguments);
        if row == 0 {
            let rows = values.first().map_or(0, |column| column.len());
            let whole = std::iter::once(0..rows);
            self.peers = if order.is_empty() { whole.collect() } else { partition(order)?.ranges() };
        }
        self.next_row += 1;
        let excluded = self.excluded(row, frame);
        let own = &arguments[..arguments.len() - usize::from(self.filtered)];
        let filter = if self.filtered { arguments.last() } else { None };
        match &mut self.computed {
            Computed::Aggregate(sliding) => sliding.value(own, filter, frame, &excluded),
            Computed::Nth(place) => nth(own, *place, row, frame, &excluded),
        }
    }
}

/// The n-th row of those that are left.
fn nth(
    values: &[ArrayRef],
    place: Option<i64>,
    row: usize,
    frame: &Range<usize>,
    excluded: &[Range<usize>],
) -> Result<ScalarValue> {
    let place = match place {
        Some(place) => place,
        None if values[1].is_null(row) => return ScalarValue::try_from(values[0].data_type()),
        None => values[1].as_primitive::<Int64Type>().value(row),
    };
    if place == 0 || (place < 0 && values.len() > 1) {
        let message = "argument of nth_value must be greater than zero";
        return Err(external(QueryError::new(ErrorKind::InvalidNthValueArgument, message)));
    }
    let skip = usize::try_from(place.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let mut left = frame.clone().filter(|at| !excluded.iter().any(|range| range.contains(at)));
    let at = if place > 0 { left.nth(skip) } else { left.nth_back(skip) };
    match at {
        Some(at) => ScalarValue::try_from_array(&values[0], at),
        None => ScalarValue::try_from(values[0].data_type()),
    }
}

/// An aggregate over a frame that moves.
struct Sliding {
    function: AggregateFunctionExpr,
    /// Holds the rows of `held`; `None` for an aggregate that cannot give up rows from the middle.
    accumulator: Option<Box<dyn Accumulator>>,
    held: Range<usize>,
}

impl std::fmt::Debug for Sliding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sliding").field("function", &self.function.name()).field("held", &self.held).finish()
    }
}

impl Sliding {
    fn new(function: &Arc<AggregateUDF>, arguments: &[Arc<dyn PhysicalExpr>], fields: &[FieldRef]) -> Result<Self> {
        let fields: Vec<_> = fields.iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let columns = arguments.iter().enumerate().map(|(index, argument)| match argument.downcast_ref::<Literal>() {
            Some(_) => Arc::clone(argument),
            None => Arc::new(Column::new(fields[index].name(), index)) as Arc<dyn PhysicalExpr>,
        });
        let built = AggregateExprBuilder::new(Arc::clone(function), columns.collect())
            .schema(Arc::new(Schema::new(fields.clone())))
            .alias(function.name())
            .build()?;
        let moves = ["sum", "count", AVERAGED].contains(&function.name());
        let accumulator = if moves { Some(built.create_sliding_accumulator()?) } else { None };
        let accumulator = accumulator.filter(|accumulator| accumulator.supports_retract_batch());
        Ok(Self { function: built, accumulator, held: 0..0 })
    }

    fn value(
        &mut self,
        values: &[ArrayRef],
        filter: Option<&ArrayRef>,
        frame: &Range<usize>,
        excluded: &[Range<usize>],
    ) -> Result<ScalarValue> {
        let rows = |range: &Range<usize>| slice(values, filter, range);
        let Some(accumulator) = &mut self.accumulator else {
            let mut fresh = self.function.create_accumulator()?;
            let mut from = frame.start;
            for range in excluded.iter().chain([&(frame.end..frame.end)]) {
                if from < range.start {
                    fresh.update_batch(&rows(&(from..range.start))?)?;
                }
                from = from.max(range.end);
            }
            return fresh.evaluate();
        };
        let (held, end) = (self.held.clone(), self.held.end.max(frame.start));
        if held.start < frame.start.min(held.end) {
            accumulator.retract_batch(&rows(&(held.start..frame.start.min(held.end)))?)?;
        }
        if end < frame.end {
            accumulator.update_batch(&rows(&(end..frame.end))?)?;
        }
        self.held = frame.start..frame.end.max(end);
        for range in excluded {
            accumulator.retract_batch(&rows(range)?)?;
        }
        let value = accumulator.evaluate()?;
        for range in excluded {
            accumulator.update_batch(&rows(range)?)?;
        }
        Ok(value)
    }
}

/// The rows of a range that the filter lets through.
fn slice(values: &[ArrayRef], filter: Option<&ArrayRef>, range: &Range<usize>) -> Result<Vec<ArrayRef>> {
    let slices = values.iter().map(|column| column.slice(range.start, range.len()));
    match filter {
        None => Ok(slices.collect()),
        Some(filter) => {
            let filter = filter.slice(range.start, range.len());
            let kept = slices.map(|column| Ok(arrow::compute::filter(&column, filter.as_boolean())?));
            kept.collect()
        }
    }
}
