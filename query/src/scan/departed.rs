//! Departed rows: the rows of segments that a commit deleted, read once for all views that follow it.
//!
//! Rows that are deleted from many segments cost a look into each of them, and every view over the table asks for them, some more
//! than once. So the columns of such rows stay in memory for a while, and who asks first reads what others will ask for:
//!
//!     (segment, deletion vector) ──▶ its deleted rows, those columns that views read or somebody has asked for
//!
//! Rows that take too much memory are not kept, and the place says so: they are read by whoever wants them.
//!
//! A segment never changes, and a vector that is held here is no other's address. Only what changed asks for rows by a vector of its
//! own; tables are read without it.

use super::{Extra, ScanTable, SegmentRows, Wanted, external};
use crate::engine::storage_error;
use arrow::array::{ArrayRef, Int8Array, RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use catalog::definition::{Column, TableDefinition};
use catalog::ids::SegmentId;
use catalog::segment::{DeletionVector, LiveSegment};
use datafusion::catalog::Session;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result, project_schema};
use moka::sync::Cache;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use storage::reader::SegmentStore;

/// The memory for departed rows, and for those of one segment.
const BYTES_MAX: u64 = 32 * 1024 * 1024;
const SEGMENT_BYTES_MAX: usize = 1024 * 1024;
/// The memory of a place of which nothing is known.
const PLACE_BYTES: usize = 256;
/// Rows of one scan that come from here.
const ROWS_MAX: u64 = 8_192;

/// Rows of a segment, as a table's definition shows them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    segment: SegmentId,
    vector: usize,
    definition: usize,
}

/// Columns by their position in the table.
#[derive(Clone)]
struct Columns {
    known: BTreeMap<usize, ArrayRef>,
    /// Some columns of the place take more memory than a segment may.
    too_large: bool,
    /// What the place names by address.
    _held: (Arc<DeletionVector>, Arc<TableDefinition>),
}

impl Columns {
    fn bytes(&self) -> usize {
        self.known.values().map(|column| column.get_array_memory_size()).sum()
    }
}

/// Columns of departed rows, by where they were; those that are seldom asked for go first.
pub(crate) struct DepartedRows(Cache<Place, Arc<Columns>>);

impl Default for DepartedRows {
    fn default() -> Self {
        let weigh = |_: &Place, columns: &Arc<Columns>| columns.bytes().max(PLACE_BYTES) as u32;
        Self(Cache::builder().max_capacity(BYTES_MAX).weigher(weigh).build())
    }
}

impl DepartedRows {
    /// Columns of a segment's rows, `None` for those that are not known.
    fn known(
        &self,
        definition: &Arc<TableDefinition>,
        segment: &SegmentRows,
        columns: &[usize],
    ) -> Vec<Option<ArrayRef>> {
        let known = place(definition, segment).and_then(|(place, _)| self.0.get(&place));
        columns.iter().map(|column| known.as_ref()?.known.get(column).cloned()).collect()
    }

    fn are_too_large(&self, definition: &Arc<TableDefinition>, segment: &SegmentRows) -> bool {
        place(definition, segment).and_then(|(place, _)| self.0.get(&place)).is_some_and(|columns| columns.too_large)
    }

    /// Keeps columns of a segment's rows, or that they are too large.
    fn keep(
        &self,
        definition: &Arc<TableDefinition>,
        segment: &SegmentRows,
        columns: Option<impl IntoIterator<Item = (usize, ArrayRef)>>,
    ) {
        let Some((place, vector)) = place(definition, segment) else { return };
        let mut kept = match self.0.get(&place) {
            Some(known) => Columns::clone(&known),
            None => Columns { known: BTreeMap::new(), too_large: false, _held: (vector, Arc::clone(definition)) },
        };
        kept.too_large |= columns.is_none();
        kept.known.extend(columns.into_iter().flatten());
        if kept.bytes() > SEGMENT_BYTES_MAX {
            kept.known.clear();
            kept.too_large = true;
        }
        self.0.insert(place, Arc::new(kept));
    }
}

fn place(definition: &Arc<TableDefinition>, segment: &SegmentRows) -> Option<(Place, Arc<DeletionVector>)> {
    let Wanted::Only(vector) = &segment.wanted else { return None };
    let (address, definition) = (Arc::as_ptr(vector) as usize, Arc::as_ptr(definition) as usize);
    Some((Place { segment: segment.meta.id, vector: address, definition }, Arc::clone(vector)))
}

/// The segments of which departed rows are wanted, if these are few and all weigh the same.
fn few_departed(segments: &[SegmentRows], kept: &[bool]) -> Option<(Vec<usize>, i8)> {
    let wanted =
        segments.iter().enumerate().filter(|(part, segment)| kept[*part] && matches!(segment.wanted, Wanted::Only(_)));
    let (places, departed): (Vec<usize>, Vec<&SegmentRows>) = wanted.unzip();
    let weight = departed.first()?.weight;
    let are_alike = departed.iter().all(|segment| segment.weight == weight);
    let rows: u64 = departed.iter().map(|segment| segment.count()).sum();
    (are_alike && rows <= ROWS_MAX).then_some((places, weight))
}

impl ScanTable {
    /// The rows that left, where they are few, each segment's in one batch; these segments are not kept then.
    pub(super) async fn departed(
        &self,
        state: &dyn Session,
        kept: &mut [bool],
        projection: Option<&Vec<usize>>,
    ) -> Result<Vec<RecordBatch>> {
        let known = self.departed.as_ref().filter(|_| self.rows.extra != Extra::Place);
        let few = known.and_then(|known| Some((known, few_departed(&self.rows.segments, kept)?)));
        let Some((known, (mut parts, weight))) = few else { return Ok(Vec::new()) };
        parts.retain(|part| !known.are_too_large(&self.rows.definition, &self.rows.segments[*part]));
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let shown = projection.unwrap_or(&all);
        let stored = self.rows.definition.columns.len();
        let columns: Vec<usize> = shown.iter().copied().filter(|column| *column < stored).collect();
        self.learn(known, state, &parts, &columns).await?;
        let schema = project_schema(&self.schema, projection)?;
        let mut batches = Vec::with_capacity(parts.len());
        for part in &parts {
            let segment = &self.rows.segments[*part];
            let count = segment.count() as usize;
            let mut values = known.known(&self.rows.definition, segment, &columns).into_iter();
            let arrays = shown.iter().map(|column| match *column < stored {
                true => values.next().flatten(),
                false => Some(Arc::new(Int8Array::from(vec![weight; count])) as ArrayRef),
            });
            // What was forgotten at once is read as any other segment.
            let Some(arrays) = arrays.collect::<Option<Vec<ArrayRef>>>() else { continue };
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            batches.push(RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)?);
            kept[*part] = false;
        }
        Ok(batches)
    }

    /// Reads those columns of rows that left which are not known, of each segment in the order of its rows.
    async fn learn(&self, known: &DepartedRows, state: &dyn Session, parts: &[usize], columns: &[usize]) -> Result<()> {
        let definition = &self.rows.definition;
        let lacks = |part: &usize, columns: &[usize]| {
            let known = known.known(definition, &self.rows.segments[*part], columns);
            known.iter().any(Option::is_none)
        };
        let unread: Vec<usize> = parts.iter().copied().filter(|part| lacks(part, columns)).collect();
        let wanted: BTreeSet<usize> = columns.iter().chain(&self.read_by_views).copied().collect();
        let missing = wanted.into_iter().filter(|column| unread.iter().any(|part| lacks(part, &[*column])));
        let missing: Vec<usize> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        let reader = Arc::new(Reader {
            store: Arc::clone(&self.store),
            schema: Arc::new(definition.schema().project(&missing)?),
            columns: missing.iter().map(|column| definition.columns[*column].clone()).collect(),
        });
        let lanes = state.config().target_partitions().clamp(1, unread.len());
        let reads = (0..lanes).map(|lane| {
            let parts = unread.iter().skip(lane).step_by(lanes);
            let parts: Vec<(usize, SegmentRows)> =
                parts.map(|part| (*part, self.rows.segments[*part].clone())).collect();
            let reader = Arc::clone(&reader);
            let read = move |(part, segment)| Ok((part, reader.read(&segment)?));
            SpawnedTask::spawn_blocking(move || parts.into_iter().map(read).collect::<Result<Vec<_>>>())
        });
        let reads: Vec<_> = reads.collect();
        for read in reads {
            let read = read.join_unwind().await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??;
            for (part, columns) in read {
                let columns = columns.map(|columns| missing.iter().copied().zip(columns));
                known.keep(definition, &self.rows.segments[part], columns);
            }
        }
        Ok(())
    }
}

/// Reads columns of rows that left, without the plan that a scan would be.
struct Reader {
    store: Arc<SegmentStore>,
    /// Of the columns.
    schema: SchemaRef,
    columns: Vec<Column>,
}

impl Reader {
    /// The wanted rows of a segment in their order, compact; `None` if they take more memory than those of a segment may.
    fn read(&self, segment: &SegmentRows) -> Result<Option<Vec<ArrayRef>>> {
        let Wanted::Only(rows) = &segment.wanted else { return Ok(None) };
        let failed = |error| external(storage_error(error));
        let segment = LiveSegment::of_rows(&segment.meta, &rows.0);
        let (mut batches, mut bytes) = (Vec::new(), 0);
        for columns in self.store.read_columns(&segment, self.columns.clone()).map_err(failed)? {
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns.map_err(failed)?)?;
            let batch = storage::compact(batch)?;
            bytes += batch.get_array_memory_size();
            if bytes > SEGMENT_BYTES_MAX {
                return Ok(None);
            }
            batches.push(batch);
        }
        Ok(Some(concat_batches(&self.schema, &batches)?.columns().to_vec()))
    }
}
