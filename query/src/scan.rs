//! Scans: a set of rows of one table as DataFusion reads it.
//!
//! Everything that reads stored rows is a [`RowSet`]: a table at a snapshot, the signed rows of a delta, the runs of a view's
//! state, the rows that a DELETE looks at. A row set names segments with the rows wanted of each, and batches in memory:
//!
//!     RowSet ──prune(filters)──▶ segments ──▶ DataFusion's ParquetSource (row selections, page pruning)
//!        └── batches in memory ──────────────▶ memory scan                 └──── union ────┘
//!
//! A row set may show columns that are not stored: `__weight` (+1 or −1) for deltas, `__part` and `__row` for the place of a
//! row. Planning opens no file: bounds, row counts and schema come from the snapshot. How much was pruned goes to the
//! statement's [`ScanLog`], which EXPLAIN prints first.

use crate::error::QueryError;
use crate::late_columns::are_read_late;
use crate::look_ups::{FewRows, asked_columns, finds_few};
use crate::reads::TableRead;
use crate::segment_columns::SegmentColumns;
use crate::stored_intervals;
use arrow::array::{ArrayRef, Int8Array, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use catalog::definition::{FIRST_VERSION, TableDefinition};
use catalog::segment::{DeletionVector, SegmentMeta};
use catalog::snapshot::{TableChange, TableVersion};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, project_schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::source_as_provider;
use datafusion::datasource::table_schema::TableSchemaBuilder;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableSource, TableType};
use datafusion::parquet::arrow::RowNumber;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::union::UnionExec;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::{Arc, OnceLock};
use storage::intervals::segment_schema;
use storage::reader::SegmentStore;

mod between;
mod departed;
mod meeting;
mod statistics;

pub(crate) use departed::DepartedRows;
pub(crate) use statistics::SegmentBounds;
use statistics::segment_statistics;

/// The column of a delta that says whether a row came (+1) or went (−1); `Int8`, not null.
pub(crate) const WEIGHT: &str = "__weight";
/// The column that numbers the segment or recent batch that a row is in; `UInt32`, not null.
pub(crate) const PART: &str = "__part";
/// The column with a row's position in its part; `Int64`.
pub(crate) const ROW: &str = "__row";
/// The rows of a batch in memory up to which their numbers are made once.
const NUMBERS_KEPT: usize = 16_384;

/// Rows up to which small batches are put together.
const BATCH_ROWS: usize = 8_192;

/// Which rows of a segment are meant.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    All,
    Except(Arc<DeletionVector>),
    Only(Arc<DeletionVector>),
}

/// A segment of a row set.
#[derive(Clone, Debug)]
pub(crate) struct SegmentRows {
    pub meta: Arc<SegmentMeta>,
    pub wanted: Wanted,
    pub weight: i8,
}

impl SegmentRows {
    pub(crate) fn count(&self) -> u64 {
        match &self.wanted {
            Wanted::All => u64::from(self.meta.rows),
            Wanted::Except(dead) => u64::from(self.meta.rows) - dead.len(),
            Wanted::Only(rows) => rows.len(),
        }
    }
}

/// A batch in memory of a row set.
#[derive(Clone, Debug)]
pub(crate) struct BatchRows {
    pub batch: RecordBatch,
    pub deleted: Option<Arc<DeletionVector>>,
    pub weight: i8,
}

/// What a row set shows beside the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    None,
    /// [`WEIGHT`]
    Weight,
    /// [`PART`] and [`ROW`]; segments are numbered first, in order, then batches.
    Place,
}

/// A set of rows of one table, with multiplicity.
#[derive(Clone, Debug)]
pub(crate) struct RowSet {
    pub definition: Arc<TableDefinition>,
    pub segments: Vec<SegmentRows>,
    pub batches: Vec<BatchRows>,
    pub extra: Extra,
}

impl RowSet {
    /// All live rows of a table version, each with weight +1.
    pub(crate) fn of_table(version: &TableVersion, extra: Extra) -> Self {
        let segments = version.segments.values().map(|segment| SegmentRows {
            meta: Arc::clone(&segment.meta),
            wanted: segment.deleted.as_ref().map_or(Wanted::All, |dead| Wanted::Except(Arc::clone(dead))),
            weight: 1,
        });
        let batches = version.recent.iter().map(|recent| BatchRows {
            batch: recent.batch.clone(),
            deleted: recent.deleted.clone(),
            weight: 1,
        });
        Self {
            definition: Arc::clone(&version.definition),
            segments: segments.collect(),
            batches: batches.collect(),
            extra,
        }
    }

    /// The signed rows of `changes`, none of which may be a truncation except the first.
    pub(crate) fn of_changes<'a>(
        definition: &Arc<TableDefinition>,
        changes: impl IntoIterator<Item = &'a Arc<TableChange>>,
    ) -> Self {
        let mut set = Self {
            definition: Arc::clone(definition),
            segments: Vec::new(),
            batches: Vec::new(),
            extra: Extra::Weight,
        };
        for change in changes {
            let added = change.added_segments.iter().map(|meta| SegmentRows {
                meta: Arc::clone(meta),
                wanted: Wanted::All,
                weight: 1,
            });
            let dead = change.dead.iter().map(|(meta, rows)| SegmentRows {
                meta: Arc::clone(meta),
                wanted: Wanted::Only(Arc::clone(rows)),
                weight: -1,
            });
            set.segments.extend(added.chain(dead));
            let batch = |batch: &RecordBatch, weight| BatchRows { batch: batch.clone(), deleted: None, weight };
            set.batches.extend(change.added_rows.iter().map(|rows| batch(rows, 1)));
            set.batches.extend(change.removed_rows.iter().map(|rows| batch(rows, -1)));
        }
        set
    }

    /// Only the rows that left (`weight` −1) or only those that came (+1).
    pub(crate) fn with_weight(&self, weight: i8) -> Self {
        let mut set = self.clone();
        set.segments.retain(|segment| segment.weight == weight);
        set.batches.retain(|batch| batch.weight == weight);
        set
    }

    /// These rows and `changes` with the opposite sign: what was there before the changes. A segment that came as a whole and is still
    /// there is left out of both.
    pub(crate) fn without(mut self, changes: &Self) -> Self {
        let whole = |segment: &&SegmentRows| segment.weight > 0 && matches!(segment.wanted, Wanted::All);
        let ids = |set: &Self| set.segments.iter().filter(whole).map(|segment| segment.meta.id).collect::<HashSet<_>>();
        let came_and_stayed: HashSet<_> = ids(&self).intersection(&ids(changes)).copied().collect();
        let stands = |segment: &SegmentRows| !(whole(&segment) && came_and_stayed.contains(&segment.meta.id));
        self.segments.retain(stands);
        let opposite = |segment: &SegmentRows| SegmentRows { weight: -segment.weight, ..segment.clone() };
        self.segments.extend(changes.segments.iter().filter(|segment| stands(segment)).map(opposite));
        let opposite = |rows: &BatchRows| BatchRows { weight: -rows.weight, ..rows.clone() };
        self.batches.extend(changes.batches.iter().map(opposite));
        self
    }

    /// These rows and those that left with `changes`.
    pub(crate) fn and_removed(mut self, changes: &Self) -> Self {
        let removed = changes.with_weight(-1);
        self.segments.extend(removed.segments);
        self.batches.extend(removed.batches);
        self
    }

    /// Whether rows left.
    pub(crate) fn removes(&self) -> bool {
        let segments = self.segments.iter().any(|segment| segment.weight < 0 && segment.count() > 0);
        segments || self.batches.iter().any(|rows| rows.weight < 0 && rows.batch.num_rows() > 0)
    }

    /// Whether segments are looked into for some of their rows alone.
    pub(crate) fn has_departed(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment.wanted, Wanted::Only(_)))
    }

    pub(crate) fn rows(&self) -> u64 {
        let batches = self
            .batches
            .iter()
            .map(|rows| rows.batch.num_rows() as u64 - rows.deleted.as_ref().map_or(0, |dead| dead.len()));
        self.segments.iter().map(SegmentRows::count).sum::<u64>() + batches.sum::<u64>()
    }

    /// For each segment whether a row of it can satisfy `filters`.
    pub(crate) fn kept(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<bool>> {
        let keep_all = vec![true; self.segments.len()];
        let stored: HashSet<&str> = self.definition.columns.iter().map(|column| column.name.as_str()).collect();
        let usable =
            filters.iter().filter(|filter| filter.column_refs().iter().all(|column| stored.contains(column.name())));
        let Some(predicate) = conjunction(usable.cloned()) else { return Ok(keep_all) };
        if self.segments.is_empty() {
            return Ok(keep_all);
        }
        let table_schema = self.definition.schema();
        let df_schema = DFSchema::try_from(table_schema.as_ref().clone())?;
        let physical = state.create_physical_expr(predicate, &df_schema)?;
        let pruning = PruningPredicateBuilder::new().with_file_schema(table_schema).try_build(physical)?;
        if pruning.always_true() {
            return Ok(keep_all);
        }
        pruning.prune(&SegmentBounds { definition: &self.definition, segments: &self.segments })
    }

    fn schema(&self) -> SchemaRef {
        let table = self.definition.schema();
        let mut fields: Vec<FieldRef> = table.fields().iter().cloned().collect();
        fields.extend(self.constant_fields());
        if self.extra == Extra::Place {
            fields.push(Arc::new(Field::new(ROW, DataType::Int64, true)));
        }
        Arc::new(Schema::new(fields))
    }

    /// The columns that have one value for a whole segment.
    fn constant_fields(&self) -> Vec<FieldRef> {
        match self.extra {
            Extra::None => Vec::new(),
            Extra::Weight => vec![Arc::new(Field::new(WEIGHT, DataType::Int8, false))],
            Extra::Place => vec![Arc::new(Field::new(PART, DataType::UInt32, false))],
        }
    }
}

/// What one scan read and what it left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScanReport {
    pub table: String,
    pub partitions: (usize, usize),
    pub segments: (usize, usize),
    pub recent_rows: usize,
}

impl fmt::Display for ScanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, partitions, segments, recent_rows } = self;
        write!(
            f,
            "scan {table}: {} of {} partitions, {} of {} segments",
            partitions.0, partitions.1, segments.0, segments.1
        )?;
        if *recent_rows > 0 {
            write!(f, ", {recent_rows} recent rows")?;
        }
        Ok(())
    }
}

/// The scans of one statement, in the order in which they were planned.
#[derive(Debug, Default)]
pub(crate) struct ScanLog(Mutex<Vec<ScanReport>>);

impl ScanLog {
    /// A view's state was read from memory.
    pub(crate) fn note_kept(&self, view: &str, groups: usize) {
        let (table, none) = (format!("kept state of {view}"), (0, 0));
        self.0.lock().push(ScanReport { table, partitions: none, segments: none, recent_rows: groups });
    }

    pub(crate) fn reports(&self) -> Vec<ScanReport> {
        self.0.lock().clone()
    }
}

/// A row set as a DataFusion table.
pub(crate) struct ScanTable {
    name: String,
    rows: RowSet,
    schema: SchemaRef,
    store: Arc<SegmentStore>,
    log: Arc<ScanLog>,
    /// Where scans note what they read, if anybody asks.
    read: Option<Arc<TableRead>>,
    /// Where rows that left are looked for.
    departed: Option<Arc<DepartedRows>>,
    /// The places of the columns that views will ask for of rows that left.
    read_by_views: BTreeSet<usize>,
}

impl fmt::Debug for ScanTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScanTable({})", self.name)
    }
}

impl ScanTable {
    /// `name` is what EXPLAIN calls it.
    pub(crate) fn new(name: impl Into<String>, rows: RowSet, store: Arc<SegmentStore>, log: Arc<ScanLog>) -> Self {
        let schema = rows.schema();
        Self { name: name.into(), rows, schema, store, log, read: None, departed: None, read_by_views: BTreeSet::new() }
    }

    /// The table whose rows they are.
    pub(crate) fn definition(&self) -> &TableDefinition {
        &self.rows.definition
    }

    /// The same, which knows rows that left, of which views read the columns at these places.
    pub(crate) fn knowing(self, departed: Arc<DepartedRows>, read_by_views: BTreeSet<usize>) -> Self {
        Self { departed: Some(departed), read_by_views, ..self }
    }

    /// The same, whose scans note what they read.
    pub(crate) fn noting(self, read: Option<Arc<TableRead>>) -> Self {
        Self { read, ..self }
    }

    /// The rows of all its scans without filters.
    pub(crate) fn row_count(&self) -> u64 {
        self.rows.rows()
    }

    fn report(&self, kept: &[bool]) {
        let distinct = |only_kept: bool| {
            let chosen = self.rows.segments.iter().zip(kept).filter(|(_, kept)| **kept || !only_kept);
            chosen.map(|(segment, _)| segment.meta.partition.to_string()).collect::<HashSet<String>>().len()
        };
        let batches = self.rows.batches.iter().map(|rows| rows.batch.num_rows());
        self.log.0.lock().push(ScanReport {
            table: self.name.clone(),
            partitions: (distinct(true), distinct(false)),
            segments: (kept.iter().filter(|kept| **kept).count(), kept.len()),
            recent_rows: batches.sum(),
        });
    }

    fn segment_scan(&self, state: &dyn Session, kept: &[bool], shape: &Shape<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let file_schema = segment_schema(&self.rows.definition.schema());
        let mut schema =
            TableSchemaBuilder::new(Arc::clone(&file_schema)).with_table_partition_cols(self.rows.constant_fields());
        if self.rows.extra == Extra::Place {
            let row = Field::new(ROW, DataType::Int64, true).with_extension_type(RowNumber);
            schema = schema.with_virtual_columns(vec![Arc::new(row) as FieldRef]);
        }
        let factory = Arc::new(SegmentReaders { store: Arc::clone(&self.store) });
        let source = ParquetSource::new(schema.build())
            .with_parquet_file_reader_factory(factory)
            .with_pushdown_filters(shape.late_columns);
        let mut files: Vec<(&SegmentRows, PartitionedFile)> = Vec::new();
        for (part, segment) in self.rows.segments.iter().enumerate().filter(|(part, _)| kept[*part]) {
            let file = self.file(part, segment, &file_schema, shape.projection);
            let finds_few = finds_few(&self.rows.definition, &shape.asked, &segment.meta);
            files.push((segment, if finds_few { file.with_extension(FewRows) } else { file }));
        }
        files.sort_by(|(a, _), (b, _)| a.meta.path.cmp(&b.meta.path));
        let groups = groups_of(files, state.config().target_partitions());
        let bounded = if shape.is_filtered { &[] } else { shape.projection.map_or(&[][..], Vec::as_slice) };
        let statistics = self.statistics(kept, bounded);
        let by_id = self.is_altered().then(|| Arc::new(SegmentColumns(Arc::clone(&self.rows.definition))) as Arc<_>);
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_expr_adapter(by_id)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(shape.projection.cloned())?
            .with_limit(shape.limit)
            .build();
        let wanted = project_schema(&self.schema, shape.projection)?;
        stored_intervals::shown(DataSourceExec::from_data_source(config), &wanted, state)
    }

    /// Whether segments may be of an older definition, so that only their footers know their columns.
    fn is_altered(&self) -> bool {
        self.rows.definition.version > FIRST_VERSION
    }

    fn file(
        &self,
        part: usize,
        segment: &SegmentRows,
        file_schema: &SchemaRef,
        projection: Option<&Vec<usize>>,
    ) -> PartitionedFile {
        let constants = match self.rows.extra {
            Extra::None => Vec::new(),
            Extra::Weight => vec![ScalarValue::Int8(Some(segment.weight))],
            Extra::Place => vec![ScalarValue::UInt32(Some(part as u32))],
        };
        let file = PartitionedFile::new(segment.meta.path.clone(), segment.meta.bytes)
            .with_partition_values(constants)
            .with_extension(Arc::clone(&segment.meta));
        // These files are pruned by now, and a bound that a join finds while it runs prunes their row groups.
        let file = match self.rows.extra {
            Extra::Place => file,
            _ => file.with_statistics(Arc::new(segment_statistics(&self.rows.definition, segment, projection))),
        };
        let file = if self.is_altered() { file } else { file.with_arrow_schema(Arc::clone(file_schema)) };
        let selection = match &segment.wanted {
            Wanted::All => return file,
            Wanted::Except(dead) => storage::reader::row_selection(segment.meta.rows, dead),
            Wanted::Only(rows) => storage::reader::row_selection_of(segment.meta.rows, rows),
        };
        file.with_extension(ParquetRowSelection::new(selection))
    }

    /// The batches in memory.
    fn batches(&self, projection: Option<&Vec<usize>>) -> Result<Vec<RecordBatch>> {
        let table = self.rows.definition.schema();
        let schema = project_schema(&self.schema, projection)?;
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let shown = projection.unwrap_or(&all);
        let batches = self.rows.batches.iter().enumerate().map(|(index, rows)| {
            let fitted = self.rows.definition.fitted(&table, &rows.batch)?;
            self.shown(&schema, shown, self.rows.segments.len() + index, (rows, &fitted))
        });
        together(&schema, batches.collect::<Result<_>>()?)
    }

    /// Columns of the live rows of a batch, of those that are not stored too.
    fn shown(
        &self,
        schema: &SchemaRef,
        columns: &[usize],
        part: usize,
        (rows, fitted): (&BatchRows, &RecordBatch),
    ) -> Result<RecordBatch> {
        let count = fitted.num_rows();
        let extra: Vec<ArrayRef> = match self.rows.extra {
            Extra::None => Vec::new(),
            Extra::Weight => vec![Arc::new(Int8Array::from(vec![rows.weight; count]))],
            Extra::Place => vec![Arc::new(UInt32Array::from(vec![part as u32; count])), Arc::new(row_numbers(count))],
        };
        let stored = fitted.columns();
        let column = |place: &usize| stored.get(*place).unwrap_or_else(|| &extra[*place - stored.len()]);
        let shown = columns.iter().map(|place| Arc::clone(column(place))).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), shown, &options)?;
        let Some(dead) = &rows.deleted else { return Ok(batch) };
        Ok(filter_record_batch(&batch, &dead.inverse_mask(count))?)
    }
}

/// The same rows with small batches put together: a thousand commits of one row each would be a thousand starts of every operator.
fn together(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let mut groups: Vec<(usize, Vec<RecordBatch>)> = Vec::new();
    for batch in batches {
        match groups.last_mut() {
            Some((rows, group)) if *rows + batch.num_rows() <= BATCH_ROWS => {
                *rows += batch.num_rows();
                group.push(batch);
            }
            _ => groups.push((batch.num_rows(), vec![batch])),
        }
    }
    let put_together = |(_, mut group): (usize, Vec<RecordBatch>)| -> Result<RecordBatch> {
        match group.len() {
            1 => Ok(group.swap_remove(0)),
            _ => Ok(concat_batches(schema, &group)?),
        }
    };
    groups.into_iter().map(put_together).collect()
}

#[async_trait]
impl TableProvider for ScanTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(read) = &self.read {
            read.note_scan(&self.rows.definition, filters);
        }
        let mut kept = self.rows.kept(state, filters)?;
        kept.iter_mut().zip(&self.rows.segments).for_each(|(kept, segment)| *kept &= segment.count() > 0);
        self.report(&kept);
        let is_filtered = !filters.is_empty();
        let shown = projection.map_or(self.schema.fields().len(), Vec::len);
        let late_columns = self.rows.extra != Extra::Weight && are_read_late(filters, shown);
        let asked = asked_columns(&self.rows.definition, filters);
        let shape = Shape { projection, limit: limit.filter(|_| !is_filtered), is_filtered, late_columns, asked };
        let mut batches = self.departed(state, &mut kept, projection).await?;
        let segments = kept.iter().any(|kept| *kept);
        if !self.rows.batches.is_empty() {
            batches.extend(self.batches(projection)?);
        }
        let schema = project_schema(&self.schema, projection)?;
        match (segments, batches.is_empty()) {
            (true, true) => self.segment_scan(state, &kept, &shape),
            (false, false) => Ok(MemorySourceConfig::try_new_exec(&[batches], schema, None)?),
            (true, false) => {
                let segments = self.segment_scan(state, &kept, &shape)?;
                UnionExec::try_new(vec![segments, MemorySourceConfig::try_new_exec(&[batches], schema, None)?])
            }
            (false, true) => Ok(Arc::new(EmptyExec::new(schema))),
        }
    }
}

/// The numbers of the first rows of a part. Those of most batches in memory are parts of the same array.
fn row_numbers(count: usize) -> Int64Array {
    static FIRST: OnceLock<Int64Array> = OnceLock::new();
    let numbers = |count: usize| Int64Array::from_iter_values(0..count as i64);
    if count > NUMBERS_KEPT {
        return numbers(count);
    }
    FIRST.get_or_init(|| numbers(NUMBERS_KEPT)).slice(0, count)
}

/// What a scan is asked for.
#[derive(Default)]
struct Shape<'a> {
    projection: Option<&'a Vec<usize>>,
    limit: Option<usize>,
    is_filtered: bool,
    /// Whether filters come before the columns that they do not need.
    late_columns: bool,
    /// The columns that are asked for few values.
    asked: Vec<&'a catalog::definition::Column>,
}

/// Spreads files over scan partitions in order, about the same number of bytes each.
fn groups_of(files: Vec<(&SegmentRows, PartitionedFile)>, partitions: usize) -> Vec<FileGroup> {
    let total: u64 = files.iter().map(|(segment, _)| segment.meta.bytes).sum();
    let share = total.div_ceil(partitions.max(1) as u64).max(1);
    let mut groups = vec![Vec::new()];
    let mut filled = 0;
    for (segment, file) in files {
        if filled >= share && groups.len() < partitions {
            groups.push(Vec::new());
            filled = 0;
        }
        filled += segment.meta.bytes;
        groups.last_mut().expect("there is always a group").push(file);
    }
    groups.into_iter().map(FileGroup::new).collect()
}

/// Storage's caching readers in the shape that ParquetSource wants.
struct SegmentReaders {
    store: Arc<SegmentStore>,
}

impl fmt::Debug for SegmentReaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentReaders")
    }
}

impl ParquetFileReaderFactory for SegmentReaders {
    fn create_reader(
        &self,
        _partition: usize,
        file: PartitionedFile,
        _hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let meta = file
            .extension::<Arc<SegmentMeta>>()
            .ok_or_else(|| DataFusionError::Internal("a scanned file without its segment".into()))?;
        Ok(Box::new(self.store.reader(meta)))
    }
}

/// Where the scans of a source note what they read.
pub(crate) fn read_by(source: &Arc<dyn TableSource>) -> Option<Arc<TableRead>> {
    let provider = source_as_provider(source).ok()?;
    provider.downcast_ref::<ScanTable>()?.read.clone()
}

/// A query error inside a plan, as DataFusion carries it.
pub(crate) fn external(error: QueryError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[cfg(test)]
mod tests;
