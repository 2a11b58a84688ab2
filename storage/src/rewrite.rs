//! Rewriting: the same rows in better segments.
//!
//! Recent rows are folded into segments before they cost memory and log; small segments of a partition are merged;
//! segments with many dead rows are written again without them. A rewrite changes no content. It names what it read (with
//! the number of dead rows then), and the commit refuses it if a user's delete came in between: users win.
//!
//!     choose(version) ─▶ RewritePlan ─fold(plan)─▶ StagedSegments ─▶ the catalog's `Op::Rewrite`
//!
//! Which small segments are merged follows the size: the smallest first, and a larger one only when those before it add
//! up to half of it. So a row is written again about log2(n) times, not once for every few new segments. Merges stay
//! below [`MERGE_ROWS_MAX`] rows and [`MERGE_BYTES_MAX`] bytes, because they sort in memory.
//!
//! Recent rows are folded into the smallest segments of their partitions by the same rule. Rows that come one by one and
//! scattered are a few in each partition whenever they are folded, and a scan opens a file for each segment:
//!
//! ```text
//! recent rows   ·  ·  ·         ┐
//! segments     ▪5 ▪3 ▪9  █4000  ┴▶  ▪6 ▪4 ▪10  █4000      as many files are written as without the small segments,
//!                                                         and none is left beside another small one
//! ```

use crate::error::StorageError;
use crate::partition::{Ordinals, Partitioner, key_bytes};
use crate::reader::SegmentStore;
use crate::segment::SegmentWriter;
use crate::staging::{StagedSegments, Staging};
use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use catalog::definition::TableDefinition;
use catalog::ids::{CommitSeq, RecentId, SegmentId};
use catalog::segment::{DeletionVector, LiveSegment};
use catalog::shared_list::Rest;
use catalog::snapshot::{RecentBatch, TableVersion};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Recent rows are folded from this many batches, rows or bytes on.
pub const RECENT_BATCHES_MAX: usize = 512;
pub const RECENT_ROWS_MAX: usize = 65_536;
pub const RECENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A segment below both of these is small.
pub const SMALL_ROWS: u32 = 262_144;
pub const SMALL_BYTES: u64 = 8 * 1024 * 1024;
/// So many small segments of one partition are merged.
pub const SMALL_SEGMENTS_MAX: usize = 8;
/// A segment with more dead rows than this is written again.
pub const DEAD_PERCENT_MAX: u64 = 20;
/// To write a file costs at least as much as to write so many rows of it.
const FILE_ROWS: u64 = 128;
/// Recent rows are not folded into segments with more rows than this: those are merged when there are enough of them.
const FOLDED_INTO_ROWS_MAX: u64 = 16_384;
const MERGE_SEGMENTS_MIN: usize = 4;
const MERGE_ROWS_MAX: u64 = 1_048_576;
const MERGE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What one rewrite replaces: recent rows of any partitions with small segments of these, or segments of one partition.
#[derive(Clone, Debug)]
pub struct RewritePlan {
    pub definition: Arc<TableDefinition>,
    pub segments: Vec<LiveSegment>,
    pub recent: Vec<Arc<RecentBatch>>,
}

impl RewritePlan {
    /// The segments that the rewrite replaces, each with the number of its rows that are dead.
    pub fn remove_segments(&self) -> Vec<(SegmentId, u64)> {
        self.segments.iter().map(|segment| (segment.meta.id, dead_count(&segment.deleted))).collect()
    }

    /// The recent batches that the rewrite replaces, each with the number of its rows that are dead.
    pub fn remove_recent(&self) -> Vec<(RecentId, u64)> {
        self.recent.iter().map(|recent| (recent.id, dead_count(&recent.deleted))).collect()
    }

    pub fn rows_live(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(LiveSegment::rows_live).sum();
        segments + self.recent.iter().map(|recent| recent.rows_live()).sum::<u64>()
    }
}

fn dead_count(deleted: &Option<Arc<DeletionVector>>) -> u64 {
    deleted.as_ref().map_or(0, |deleted| deleted.len())
}

/// The rewrites that a table version is worth, that of its recent rows first. `force` folds these however few they are: the
/// caller found them old, or wants them gone. What was there at the commit `held` stays where it is.
pub fn choose(version: &TableVersion, force: bool, held: Option<CommitSeq>) -> Vec<RewritePlan> {
    let plan = |segments, recent| RewritePlan { definition: version.definition.clone(), segments, recent };
    let mut plans = Vec::new();
    let mut small = SmallSegments::of(version, held);
    let recent = recent_behind(version, held);
    if fold_is_due(recent, force) {
        let mut fold = plan(Vec::new(), recent.iter().cloned().collect());
        // Where their partitions cannot be told, writing them tells why.
        let partitions = rows_of_partitions(&fold).unwrap_or_default();
        fold.segments = partitions.into_iter().flat_map(|(key, rows)| small.folded_with(&key, rows)).collect();
        plans.push(fold);
    }
    for segment in version.segments.values().filter(|segment| may_go(segment, held) && is_mostly_dead(segment)) {
        if !small.taken.contains(&segment.meta.id) {
            plans.push(plan(vec![segment.clone()], Vec::new()));
        }
    }
    plans.extend(small.due().map(|segments| plan(choose_merge(segments), Vec::new())));
    plans
}

/// Whether [`choose`] would choose anything; costs less, because it looks at no row.
pub fn is_due(version: &TableVersion, force: bool, held: Option<CommitSeq>) -> bool {
    let is_dead = |segment: &LiveSegment| may_go(segment, held) && is_mostly_dead(segment);
    fold_is_due(recent_behind(version, held), force)
        || version.segments.values().any(is_dead)
        || SmallSegments::of(version, held).due().next().is_some()
}

fn may_go(segment: &LiveSegment, held: Option<CommitSeq>) -> bool {
    held.is_none_or(|held| segment.added > held)
}

fn is_mostly_dead(segment: &LiveSegment) -> bool {
    dead_count(&segment.deleted) * 100 > u64::from(segment.meta.rows) * DEAD_PERCENT_MAX
}

/// The small segments of a table version by partition.
struct SmallSegments<'a> {
    by_partition: BTreeMap<Vec<u8>, Vec<&'a LiveSegment>>,
    /// Those that go with recent rows.
    taken: BTreeSet<SegmentId>,
}

impl<'a> SmallSegments<'a> {
    fn of(version: &'a TableVersion, held: Option<CommitSeq>) -> Self {
        let mut by_partition: BTreeMap<Vec<u8>, Vec<&LiveSegment>> = BTreeMap::new();
        let is_small = |segment: &LiveSegment| segment.meta.rows < SMALL_ROWS && segment.meta.bytes < SMALL_BYTES;
        let small = version.segments.values().filter(|segment| is_small(segment));
        for segment in small.filter(|segment| may_go(segment, held)) {
            by_partition.entry(key_bytes(&segment.meta.partition)).or_default().push(segment);
        }
        Self { by_partition, taken: BTreeSet::new() }
    }

    /// Takes the segments of a partition into which so many recent rows of it are folded.
    fn folded_with(&mut self, partition: &[u8], mut rows: u64) -> Vec<LiveSegment> {
        let Some(segments) = self.by_partition.get_mut(partition) else { return Vec::new() };
        segments.sort_by_key(|segment| (segment.rows_live(), segment.meta.id));
        let goes_with = |segment: &&&LiveSegment| {
            let live = segment.rows_live();
            let goes = live <= FOLDED_INTO_ROWS_MAX && live <= rows.max(FILE_ROWS) * 2;
            rows += live;
            goes
        };
        let count = segments.iter().take_while(goes_with).count();
        let folded: Vec<LiveSegment> = segments.drain(..count).cloned().collect();
        self.taken.extend(folded.iter().map(|segment| segment.meta.id));
        folded
    }

    /// The others of partitions that have so many of them that they are merged. Those with too many dead rows are written again alone.
    fn due(self) -> impl Iterator<Item = Vec<&'a LiveSegment>> {
        let merged = self.by_partition.into_values().map(|mut segments| {
            segments.retain(|segment| !is_mostly_dead(segment));
            segments
        });
        merged.filter(|segments| segments.len() >= SMALL_SEGMENTS_MAX)
    }
}

/// How many of the live recent rows that a plan replaces lie in each partition, by the bytes of its key.
fn rows_of_partitions(plan: &RewritePlan) -> Result<BTreeMap<Vec<u8>, u64>, StorageError> {
    let (mut partitioner, schema) = (Partitioner::new(&plan.definition), plan.definition.schema());
    let mut rows: Vec<u64> = Vec::new();
    for recent in &plan.recent {
        let live = live_rows(plan, recent)?;
        let ordinals = partitioner.ordinals(&fitted(plan, &schema, &live)?)?;
        rows.resize(partitioner.keys().len(), 0);
        match ordinals {
            Ordinals::One(ordinal) => rows[ordinal as usize] += live.num_rows() as u64,
            Ordinals::Each(ordinals) => ordinals.iter().for_each(|ordinal| rows[*ordinal as usize] += 1),
        }
    }
    let occurring = partitioner.keys().iter().zip(rows).filter(|(_, rows)| *rows > 0);
    Ok(occurring.map(|(key, rows)| (key_bytes(key), rows)).collect())
}

/// The recent batches that were not there yet at the commit `held`.
pub fn recent_behind(version: &TableVersion, held: Option<CommitSeq>) -> Rest<'_, Arc<RecentBatch>> {
    version.recent.rest(|recent| held.is_some_and(|held| recent.added <= held))
}

fn fold_is_due(recent: Rest<'_, Arc<RecentBatch>>, force: bool) -> bool {
    let rows: usize = recent.iter().map(|recent| recent.batch.num_rows()).sum();
    let bytes = || recent.iter().map(|recent| recent.batch.get_array_memory_size()).sum::<usize>();
    !recent.is_empty()
        && (force || recent.len() >= RECENT_BATCHES_MAX || rows >= RECENT_ROWS_MAX || bytes() >= RECENT_BYTES_MAX)
}

fn choose_merge(mut segments: Vec<&LiveSegment>) -> Vec<LiveSegment> {
    segments.sort_by_key(|segment| (segment.rows_live(), segment.meta.id));
    let mut chosen: Vec<LiveSegment> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for segment in segments {
        let outgrown = chosen.len() >= MERGE_SEGMENTS_MIN && segment.rows_live() > rows * 2;
        let too_much = rows + segment.rows_live() > MERGE_ROWS_MAX || bytes + segment.meta.bytes > MERGE_BYTES_MAX;
        if outgrown || too_much {
            break;
        }
        rows += segment.rows_live();
        bytes += segment.meta.bytes;
        chosen.push(segment.clone());
    }
    chosen
}

/// Writes the live rows of what a plan replaces into sorted segments, using about `budget_bytes` for recent rows and what
/// a merge's rows take in memory. Works on one thread: a rewrite yields to users. Nothing is staged where no row is alive.
pub fn fold(store: &SegmentStore, plan: &RewritePlan, budget_bytes: usize) -> Result<StagedSegments, StorageError> {
    let staged = fold_unless(store, plan, budget_bytes, &|| false)?;
    Ok(staged.unwrap_or_default())
}

/// The same, or `None` where `given_up`, which is asked between batches, says that nobody wants it any more.
pub fn fold_unless(
    store: &SegmentStore,
    plan: &RewritePlan,
    budget_bytes: usize,
    given_up: &dyn Fn() -> bool,
) -> Result<Option<StagedSegments>, StorageError> {
    if let ([segment], []) = (plan.segments.as_slice(), plan.recent.as_slice()) {
        return rewrite_alone(store, plan, segment, given_up);
    }
    // A merge over its budget would leave several small segments again, and never end.
    let budget_bytes = if plan.recent.is_empty() { usize::MAX } else { budget_bytes };
    let mut staging =
        Staging::new(store.data_dir().clone(), plan.definition.clone(), budget_bytes).with_threads(1).of_known_rows();
    let schema = plan.definition.schema();
    for recent in &plan.recent {
        let live = live_rows(plan, recent)?;
        if given_up() {
            return Ok(None);
        }
        staging.push(fitted(plan, &schema, &live)?)?;
    }
    for segment in &plan.segments {
        for batch in store.read_segment(segment, None)? {
            if given_up() {
                return Ok(None);
            }
            staging.push(fitted(plan, &schema, &batch?)?)?;
        }
    }
    staging.finish().map(Some)
}

/// Rows of whatever definition they were written under, in the columns of the newest.
fn fitted(plan: &RewritePlan, schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, StorageError> {
    let fitted = plan.definition.fitted(schema, batch);
    fitted.map_err(|error| StorageError::internal("fold", &plan.definition.name.name, error))
}

/// One segment without its dead rows: they are in order already and need no memory.
fn rewrite_alone(
    store: &SegmentStore,
    plan: &RewritePlan,
    segment: &LiveSegment,
    given_up: &dyn Fn() -> bool,
) -> Result<Option<StagedSegments>, StorageError> {
    let partition = segment.meta.partition.clone();
    let mut writer = SegmentWriter::new(store.data_dir().clone(), plan.definition.clone(), partition);
    let schema = plan.definition.schema();
    for batch in store.read_segment(segment, None)? {
        if given_up() {
            return Ok(None);
        }
        writer.write(&fitted(plan, &schema, &batch?)?)?;
    }
    Ok(Some(StagedSegments::from(Vec::from_iter(writer.finish()?))))
}

fn live_rows(plan: &RewritePlan, recent: &RecentBatch) -> Result<RecordBatch, StorageError> {
    let Some(deleted) = &recent.deleted else {
        return Ok(recent.batch.clone());
    };
    let live = filter_record_batch(&recent.batch, &deleted.inverse_mask(recent.batch.num_rows()));
    live.map_err(|error| StorageError::internal("fold", &plan.definition.name.name, error))
}
