//! Statistics: what a commit says of the segments that a scan reads, in DataFusion's words.
//!
//! They come from the snapshot, dead rows included: beside dead rows bounds are wide, and never taken for an answer.

use super::{ScanTable, SegmentRows, Wanted};
use crate::datum::scalar_of;
use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use catalog::definition::{self, TableDefinition};
use catalog::enum_type::retagged;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, ScalarValue, Statistics};
use std::collections::HashSet;
use std::sync::Arc;
use storage::intervals::is_stored_otherwise;

impl ScanTable {
    /// The exact number of rows, and for the columns at the places `bounded` what the segments know of them together, from
    /// which a smallest or largest value is answered without reading.
    pub(super) fn statistics(&self, kept: &[bool], bounded: &[usize]) -> Statistics {
        let segments = self.rows.segments.iter().zip(kept).filter(|(_, kept)| **kept).map(|(segment, _)| segment);
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(segments.clone().map(SegmentRows::count).sum::<u64>() as usize);
        for place in bounded {
            let Some(column) = self.rows.definition.columns.get(*place) else { continue };
            let each = segments.clone().map(|segment| column_statistics(column, segment));
            statistics.column_statistics[*place] = each.reduce(joined).unwrap_or_default();
        }
        statistics
    }
}

/// Row count of one segment, and the bounds of the columns that are read: what filters need is among them.
pub(super) fn segment_statistics(
    definition: &TableDefinition,
    segment: &SegmentRows,
    projection: Option<&Vec<usize>>,
) -> Statistics {
    let columns = definition.columns.iter().enumerate().map(|(place, column)| {
        let is_read = projection.is_none_or(|projection| projection.contains(&place));
        if is_read { column_statistics(column, segment) } else { ColumnStatistics::new_unknown() }
    });
    Statistics {
        num_rows: Precision::Exact(segment.count() as usize),
        total_byte_size: Precision::Absent,
        column_statistics: columns.collect(),
    }
}

/// Bounds and NULLs of a column in one segment. Beside dead rows they are wide, not exact.
fn column_statistics(column: &definition::Column, segment: &SegmentRows) -> ColumnStatistics {
    let exact = matches!(segment.wanted, Wanted::All);
    let mut statistics = ColumnStatistics::new_unknown();
    let known = known_of(segment, column);
    let nulls = known.nulls as usize;
    statistics.null_count = if exact { Precision::Exact(nulls) } else { Precision::Inexact(nulls) };
    // These are of the rows' values, and a segment has other ones in their place.
    if is_stored_otherwise(&column.sql_type.data_type()) {
        return statistics;
    }
    if let Some((least, greatest)) = known.bounds {
        let exact = exact && !(least == greatest && is_float_zero(&least));
        let precise: fn(_) -> _ = if exact { Precision::Exact } else { Precision::Inexact };
        statistics.min_value = precise(least);
        statistics.max_value = precise(greatest);
    } else if exact
        && known.nulls == u64::from(segment.meta.rows)
        && let Ok(null) = ScalarValue::try_from(&column.sql_type.data_type())
    {
        statistics.min_value = Precision::Exact(null.clone());
        statistics.max_value = Precision::Exact(null);
    }
    statistics
}

/// Whether a bound is a zero of a float: in older segments it may stand for zeros of the other sign too.
fn is_float_zero(bound: &ScalarValue) -> bool {
    match bound {
        ScalarValue::Float32(Some(value)) => *value == 0.0,
        ScalarValue::Float64(Some(value)) => *value == 0.0,
        _ => false,
    }
}

/// What is known of a column in two segments together. A bound that is NULL, of a segment without values, gives way.
fn joined(left: ColumnStatistics, right: ColumnStatistics) -> ColumnStatistics {
    let is_null = |value: &Precision<ScalarValue>| value.get_value().is_some_and(ScalarValue::is_null);
    let bound = |one: Precision<ScalarValue>, other: Precision<ScalarValue>, least: bool| match (
        is_null(&one),
        is_null(&other),
    ) {
        (true, _) => other,
        (_, true) => one,
        _ if least => one.min(&other),
        _ => one.max(&other),
    };
    ColumnStatistics {
        null_count: left.null_count.add(&right.null_count),
        min_value: bound(left.min_value, right.min_value, true),
        max_value: bound(left.max_value, right.max_value, false),
        ..ColumnStatistics::new_unknown()
    }
}

/// What is known of a column in a segment, dead rows included.
struct Known {
    nulls: u64,
    bounds: Option<(ScalarValue, ScalarValue)>,
}

/// A segment knows all its columns, so one that it does not know came later and has its missing value in every row.
fn known_of(segment: &SegmentRows, column: &definition::Column) -> Known {
    let data_type = column.sql_type.data_type();
    match segment.meta.statistics.iter().find(|known| known.column == column.id) {
        Some(known) => {
            let bounds = known.bounds.as_ref();
            let bounds =
                bounds.and_then(|bounds| Some((scalar_of(&bounds.0, &data_type)?, scalar_of(&bounds.1, &data_type)?)));
            Known { nulls: known.null_count, bounds }
        }
        None => match &column.missing {
            None => Known { nulls: u64::from(segment.meta.rows), bounds: None },
            Some(value) => {
                let value = ScalarValue::try_from_array(&retagged(value.value(), &data_type), 0).ok();
                // No order is known of a NaN, nor of an array.
                let ordered = value.filter(|_| !data_type.is_floating() && !data_type.is_nested());
                Known { nulls: 0, bounds: ordered.map(|value| (value.clone(), value)) }
            }
        },
    }
}

/// The bounds of segments as DataFusion's pruning asks for them.
pub(crate) struct SegmentBounds<'a> {
    pub definition: &'a TableDefinition,
    pub segments: &'a [SegmentRows],
}

impl SegmentBounds<'_> {
    fn bounds(&self, column: &Column, pick: impl Fn((ScalarValue, ScalarValue)) -> ScalarValue) -> Option<ArrayRef> {
        let column = self.definition.columns.iter().find(|known| known.name == column.name)?;
        let null = ScalarValue::try_from(&column.sql_type.data_type()).ok()?;
        let values = self.segments.iter().map(|segment| {
            let bounds = known_of(segment, column).bounds;
            bounds.map_or_else(|| null.clone(), &pick)
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for SegmentBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |bounds| bounds.0)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |bounds| bounds.1)
    }

    fn num_containers(&self) -> usize {
        self.segments.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let column = self.definition.columns.iter().find(|known| known.name == column.name)?;
        let counts: UInt64Array = self.segments.iter().map(|segment| Some(known_of(segment, column).nulls)).collect();
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts: UInt64Array = self.segments.iter().map(|segment| Some(u64::from(segment.meta.rows))).collect();
        Some(Arc::new(counts))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
