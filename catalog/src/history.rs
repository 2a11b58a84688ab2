//! History: the last commits in words, for `meridian.commits`.
//!
//! Those of this process are told as they are made. Those of processes before it are read from the log and the archive when somebody asks,
//! once; so a start does not wait for it.

use crate::archive::Archive;
use crate::definition::ObjectName;
use crate::draft::Op;
use crate::ids::{CommitSeq, ObjectId};
use crate::segment::SegmentMeta;
use crate::snapshot::{Relation, Snapshot};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

/// How many commits are remembered.
const COMMITS_MAX: usize = 1000;
/// How many operations of a commit are told.
const OPS_MAX: usize = 8;

/// One commit as `meridian.commits` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitSummary {
    pub seq: CommitSeq,
    pub at_micros: i64,
    /// E.g. `add 3 segments with 5000000 rows to public.sales`.
    pub summary: String,
    /// Of the record in the log.
    pub bytes: u64,
}

/// The last commits.
pub(crate) struct History {
    /// What this process found when it started.
    found: CommitSeq,
    since: Mutex<VecDeque<CommitSummary>>,
    before: OnceLock<Vec<CommitSummary>>,
}

impl History {
    pub(crate) fn new(found: CommitSeq) -> Self {
        Self { found, since: Mutex::default(), before: OnceLock::new() }
    }

    pub(crate) fn push(&self, commit: CommitSummary) {
        let mut commits = self.since.lock();
        if commits.len() == COMMITS_MAX {
            commits.pop_front();
        }
        commits.push_back(commit);
    }

    /// Oldest first. `archive` and `head` say what was committed before the start.
    pub(crate) fn list(&self, archive: &Archive, head: &Snapshot) -> Vec<CommitSummary> {
        let since: Vec<CommitSummary> = self.since.lock().iter().cloned().collect();
        let room = COMMITS_MAX - since.len();
        if room == 0 {
            return since;
        }
        let before = self.before.get_or_init(|| earlier(archive, self.found, head));
        before[before.len().saturating_sub(room)..].iter().cloned().chain(since).collect()
    }
}

/// The last commits through one, as far as they are kept. Relations that are gone since are called by their ids where what is kept does
/// not say their names.
fn earlier(archive: &Archive, through: CommitSeq, head: &Snapshot) -> Vec<CommitSummary> {
    let mut commits = Vec::new();
    let mut names: HashMap<ObjectId, String> = HashMap::new();
    let read = archive.last_commits(through, COMMITS_MAX as u64, |seq, at_micros, bytes, ops| {
        for (id, name) in ops.iter().filter_map(defined) {
            names.insert(id, name.to_string());
        }
        let name = |id: ObjectId| names.get(&id).cloned().or_else(|| name_in(head, id));
        let summary = tell(ops, &|id| name(id).unwrap_or_else(|| id.to_string()));
        commits.push(CommitSummary { seq, at_micros, summary, bytes });
    });
    if let Err(error) = read {
        tracing::warn!(%error, "meridian.commits does not show all commits before the start");
    }
    commits
}

/// What an operation defines, and its name.
fn defined(op: &Op) -> Option<(ObjectId, &ObjectName)> {
    match op {
        Op::CreateTable(definition) | Op::AlterTable(definition) => Some((definition.id, &definition.name)),
        Op::CreateView(definition) | Op::AlterView(definition) => Some((definition.id, &definition.name)),
        Op::CreateSequence(definition) | Op::AlterSequence { definition, .. } => {
            Some((definition.id, &definition.name))
        }
        _ => None,
    }
}

/// What operations do, in words. Names are those of `after`, or of `before` for what is gone.
pub(crate) fn summarize(before: &Snapshot, after: &Snapshot, ops: &[Op]) -> String {
    tell(ops, &|id| name_in(after, id).or_else(|| name_in(before, id)).unwrap_or_else(|| id.to_string()))
}

fn tell(ops: &[Op], name: &impl Fn(ObjectId) -> String) -> String {
    // That the labels of a table go with all of its rows is not worth a word.
    let is_told = |op: &&Op| !matches!(op, Op::Expect { .. } | Op::ForgetLoads { label: None, .. });
    let changing: Vec<&Op> = ops.iter().filter(is_told).collect();
    let together: Vec<&[&Op]> = changing.chunk_by(|left, right| add_to_one_table(left, right)).collect();
    let mut told: Vec<String> = together.iter().take(OPS_MAX).map(|ops| summarize_together(ops, name)).collect();
    if together.len() > OPS_MAX {
        told.push(format!("and {} more", together.len() - OPS_MAX));
    }
    told.join("; ")
}

/// Whether both are recent rows of the same table: those of one statement come in several batches.
fn add_to_one_table(left: &Op, right: &Op) -> bool {
    match (left, right) {
        (Op::AddRecent { table: left, .. }, Op::AddRecent { table: right, .. }) => left == right,
        _ => false,
    }
}

fn summarize_together(ops: &[&Op], name: &impl Fn(ObjectId) -> String) -> String {
    let rows = |op: &&Op| match op {
        Op::AddRecent { batch, .. } => batch.num_rows(),
        _ => 0,
    };
    match ops {
        [Op::AddRecent { table, .. }, _, ..] => {
            format!("add {} to {}", count(ops.iter().map(rows).sum(), "row"), name(*table))
        }
        ops => ops.iter().map(|op| summarize_one(op, name)).collect(),
    }
}

fn name_in(snapshot: &Snapshot, id: ObjectId) -> Option<String> {
    Some(match snapshot.relation_by_id(id)? {
        Relation::Table(table) => table.definition.name.to_string(),
        Relation::View(view) => view.definition.name.to_string(),
        Relation::Sequence(sequence) => sequence.definition.name.to_string(),
    })
}

fn summarize_one(op: &Op, name: &impl Fn(ObjectId) -> String) -> String {
    match op {
        Op::CreateSchema { name, .. } => format!("create schema {name}"),
        Op::DropSchema { name } => format!("drop schema {name}"),
        Op::CreateTable(definition) => format!("create table {}", definition.name),
        Op::DropTable(id) => format!("drop table {}", name(*id)),
        Op::CreateView(definition) => format!("create view {}", definition.name),
        Op::AlterView(definition) => format!("alter view {}", definition.name),
        Op::DropView(id) => format!("drop view {}", name(*id)),
        Op::AddSegments { table, segments } => {
            let (segments, rows) = (count(segments.len(), "segment"), rows_of(segments));
            format!("add {segments} with {} to {}", count(rows, "row"), name(*table))
        }
        Op::AddRecent { table, batch, .. } => format!("add {} to {}", count(batch.num_rows(), "row"), name(*table)),
        Op::Delete { table, segments, recent } => {
            let in_segments: u64 = segments.iter().map(|(_, dead)| dead.len()).sum();
            let in_recent: u64 = recent.iter().map(|(_, dead)| dead.len()).sum();
            format!("delete {} from {}", count((in_segments + in_recent) as usize, "row"), name(*table))
        }
        Op::Truncate { table } => format!("truncate {}", name(*table)),
        Op::Rewrite { table, remove_segments, remove_recent, add } => format!(
            "rewrite {} and {} of {} as {}",
            count(remove_segments.len(), "segment"),
            count(remove_recent.len(), "recent part"),
            name(*table),
            count(add.len(), "segment"),
        ),
        Op::Fold { view, to, .. } => format!("fold {} up to {to}", name(*view)),
        Op::DropState { view } => format!("drop the state of {}", name(*view)),
        Op::CreateSequence(definition) => format!("create sequence {}", definition.name),
        Op::AlterSequence { definition, .. } => format!("alter sequence {}", definition.name),
        Op::SetSequence { sequence, value, .. } => format!("set sequence {} to {}", name(*sequence), value.last),
        Op::DropSequence(id) => format!("drop sequence {}", name(*id)),
        Op::RecordLoad(record) => match &record.label {
            Some(label) => format!("record load \"{label}\""),
            None => "record a load".to_string(),
        },
        Op::AlterTable(definition) => format!("alter table {}", definition.name),
        Op::Expect { relation, .. } => format!("rely on {}", name(*relation)),
        Op::Forget { before_micros } => {
            let time = arrow::temporal_conversions::timestamp_us_to_datetime(*before_micros);
            format!("forget what was before {} UTC", time.map_or_else(|| "then".to_string(), |time| time.to_string()))
        }
        Op::CreateType(definition) => format!("create type {}", definition.name),
        Op::AlterType(definition) => format!("alter type {}", definition.name),
        Op::DropType(id) => format!("drop type {id}"),
        Op::ForgetLoads { table, label: Some(label) } => format!("forget load \"{label}\" of {}", name(*table)),
        Op::ForgetLoads { table, label: None } => format!("forget the labels of {}", name(*table)),
    }
}

fn rows_of(segments: &[Arc<SegmentMeta>]) -> usize {
    segments.iter().map(|meta| meta.rows as usize).sum()
}

fn count(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
