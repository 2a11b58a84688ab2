//! Found rows: those that a DELETE removes, found by reading the columns of its WHERE and nothing else.
//!
//! To find rows by a column that nothing is ordered by, such as the sales of a customer, every segment is read. A scan does more than that:
//! for each file it looks for row groups and pages to leave out, it numbers all rows and makes batches of them. Of 5 million rows in 96
//! segments half of its time went there. Here each core takes one segment after the other and keeps the numbers of its rows that satisfy
//! the predicate.
//!
//! Only comparisons of columns with constants are taken, which cannot fail (`late_columns`). Where rows lie by the columns of the
//! predicate, the scan does better, because it reads pages: where they are keys or order the rows, and where the bounds of segments leave
//! out most of them.

use crate::activity::StatementToken;
use crate::bound_expressions::{nullable_schema, simplified};
use crate::engine::{Engine, storage_error};
use crate::engine_error::translate;
use crate::error::QueryError;
use crate::execution::joined;
use crate::late_columns::cannot_fail;
use crate::planner::Planning;
use crate::scan::{BatchRows, RowSet, SegmentRows, Wanted};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{Schema, SchemaRef};
use catalog::definition::{Column, TableDefinition};
use catalog::fitting::fitted_columns;
use catalog::ids::{ColumnId, CommitSeq};
use catalog::segment::LiveSegment;
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use storage::reader::SegmentStore;

/// A search that is to be made.
pub(crate) struct Search {
    /// What is searched, with the numbers of the parts: all whose rows may satisfy the predicate.
    parts: Vec<(u32, Part)>,
    columns: Vec<Column>,
    /// Of the columns.
    schema: SchemaRef,
    predicate: Arc<dyn PhysicalExpr>,
    store: Arc<SegmentStore>,
    lanes: usize,
    /// The place of the part whose turn is next.
    next: AtomicUsize,
}

enum Part {
    Segment(SegmentRows),
    Recent(BatchRows),
}

impl Search {
    /// The search for the rows that satisfy a predicate over the table's columns; `None` where a scan does better.
    pub(crate) fn of(planning: &Planning, rows: &RowSet, predicate: Expr) -> Result<Option<Self>, QueryError> {
        let failed = |error| translate(error, None);
        let definition = &rows.definition;
        let all = nullable_schema(definition);
        let all_columns = DFSchema::try_from(all.as_ref().clone()).map_err(failed)?;
        let predicate = simplified(planning, predicate, &Arc::new(all_columns))?;
        let names = predicate.column_refs();
        let is_named = |column: &&Column| names.iter().any(|name| name.name == column.name);
        let columns: Vec<Column> = definition.columns.iter().filter(is_named).cloned().collect();
        if columns.is_empty() || columns.len() < names.len() || !cannot_fail(&predicate) {
            return Ok(None);
        }
        if columns.iter().any(|column| places_rows(definition, column.id)) {
            return Ok(None);
        }
        let kept = rows.kept(&*planning.state, std::slice::from_ref(&predicate)).map_err(failed)?;
        let live = rows.segments.iter().enumerate().filter(|(_, segment)| segment.count() > 0);
        let segments = live.clone().filter(|(part, _)| kept[*part]);
        let mut parts: Vec<_> = segments.map(|(part, segment)| (part as u32, Part::Segment(segment.clone()))).collect();
        if parts.is_empty() || parts.len() * 2 < live.count() {
            return Ok(None);
        }
        let recent = rows.batches.iter().zip(rows.segments.len() as u32..);
        parts.extend(recent.map(|(batch, part)| (part, Part::Recent(batch.clone()))));
        let fields = columns.iter().filter_map(|column| all.field_with_name(&column.name).ok().cloned());
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let own_columns = DFSchema::try_from(schema.as_ref().clone()).map_err(failed)?;
        Ok(Some(Self {
            parts,
            columns,
            schema,
            predicate: planning.state.create_physical_expr(predicate, &own_columns).map_err(failed)?,
            store: Arc::clone(&planning.engine.store),
            lanes: planning.state.config().target_partitions(),
            next: AtomicUsize::new(0),
        }))
    }

    /// What EXPLAIN says of it, for a table of so many segments.
    pub(crate) fn line(&self, table: &str, segments: usize) -> String {
        let read = self.parts.iter().filter(|(_, part)| matches!(part, Part::Segment(_))).count();
        let recent = self.parts.iter().map(|(_, part)| match part {
            Part::Segment(_) => 0,
            Part::Recent(rows) => rows.batch.num_rows(),
        });
        let recent = match recent.sum::<usize>() {
            0 => String::new(),
            rows => format!(", {rows} recent rows"),
        };
        format!("search {table}: {read} of {segments} segments{recent}, without a scan: {}", self.predicate)
    }

    /// The live rows that satisfy the predicate, by part. Ends with the statement's error where it is cancelled.
    pub(crate) async fn found(
        self,
        engine: &Engine,
        token: &StatementToken,
    ) -> Result<BTreeMap<u32, RoaringBitmap>, QueryError> {
        let search = Arc::new(self);
        let lanes = (0..search.lanes.clamp(1, search.parts.len())).map(|_| {
            let (search, token) = (Arc::clone(&search), token.clone());
            engine.compute().spawn_blocking(move || search.lane(&token))
        });
        let lanes: Vec<_> = lanes.collect();
        let mut found = BTreeMap::new();
        for lane in lanes {
            found.extend(joined(lane.await)?);
        }
        Ok(found)
    }

    /// Takes parts until none is left. An error leaves none to others.
    fn lane(&self, token: &StatementToken) -> Result<Vec<(u32, RoaringBitmap)>, QueryError> {
        let mut found = Vec::new();
        while let Some((number, part)) = self.parts.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let rows = match part {
                Part::Segment(segment) => self.rows_of_segment(segment, token),
                Part::Recent(batch) => self.rows_of_batch(batch),
            };
            let rows = rows.inspect_err(|_| self.next.store(self.parts.len(), Ordering::Relaxed))?;
            if !rows.is_empty() {
                found.push((*number, rows));
            }
        }
        Ok(found)
    }

    fn rows_of_segment(&self, segment: &SegmentRows, token: &StatementToken) -> Result<RoaringBitmap, QueryError> {
        // Dead rows are read too, so that the others keep their numbers.
        let whole = LiveSegment { meta: Arc::clone(&segment.meta), added: CommitSeq(0), deleted: None };
        let mut found = RoaringBitmap::new();
        let mut first = 0;
        for columns in self.store.read_columns(&whole, self.columns.clone()).map_err(storage_error)? {
            if token.is_cancelled() {
                return Err(token.error());
            }
            let satisfied = self.satisfied(columns.map_err(storage_error)?)?;
            found.extend(satisfied.values().set_indices().map(|row| first + row as u32));
            first += satisfied.len() as u32;
        }
        match &segment.wanted {
            Wanted::All => {}
            Wanted::Except(dead) => found -= &dead.0,
            Wanted::Only(rows) => found &= &rows.0,
        }
        Ok(found)
    }

    fn rows_of_batch(&self, rows: &BatchRows) -> Result<RoaringBitmap, QueryError> {
        let satisfied = self.satisfied(fitted_columns(&rows.batch, &self.columns))?;
        let mut found: RoaringBitmap = satisfied.values().set_indices().map(|row| row as u32).collect();
        if let Some(dead) = &rows.deleted {
            found -= &dead.0;
        }
        Ok(found)
    }

    /// For each row of the predicate's columns whether it satisfies it; never NULL.
    fn satisfied(&self, columns: Vec<ArrayRef>) -> Result<BooleanArray, QueryError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        let batch = batch.map_err(|error| translate(error.into(), None))?;
        let satisfied = self.predicate.evaluate(&batch).and_then(|value| value.into_array(batch.num_rows()));
        let satisfied = satisfied.map_err(|error| translate(error, None))?;
        let satisfied = satisfied.as_boolean();
        Ok(match satisfied.null_count() {
            0 => satisfied.clone(),
            _ => prep_null_mask_filter(satisfied),
        })
    }
}

/// Whether rows lie by a column: pages of it can be left out.
fn places_rows(definition: &TableDefinition, column: ColumnId) -> bool {
    let orders = definition.order_by.contains(&column);
    let parts = definition.partition_by.iter().any(|part| part.column == column);
    orders || parts || definition.keys.iter().any(|key| key.columns.contains(&column))
}
