//! History: the last commits in words, for `meridian.commits`.

use crate::draft::Op;
use crate::ids::{CommitSeq, ObjectId};
use crate::segment::SegmentMeta;
use crate::snapshot::{Relation, Snapshot};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

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

/// The last commits since the start of the server.
#[derive(Default)]
pub(crate) struct History(Mutex<VecDeque<CommitSummary>>);

impl History {
    pub(crate) fn push(&self, commit: CommitSummary) {
        let mut commits = self.0.lock();
        if commits.len() == COMMITS_MAX {
            commits.pop_front();
        }
        commits.push_back(commit);
    }

    /// Oldest first.
    pub(crate) fn list(&self) -> Vec<CommitSummary> {
        self.0.lock().iter().cloned().collect()
    }
}

/// What operations do, in words. Names are those of `after`, or of `before` for what is gone.
pub(crate) fn summarize(before: &Snapshot, after: &Snapshot, ops: &[Op]) -> String {
    let name = |id: ObjectId| name_in(after, id).or_else(|| name_in(before, id)).unwrap_or_else(|| id.to_string());
    let changing: Vec<&Op> = ops.iter().filter(|op| !matches!(op, Op::Expect { .. })).collect();
    let mut told: Vec<String> = changing.iter().take(OPS_MAX).map(|op| summarize_one(op, &name)).collect();
    if changing.len() > OPS_MAX {
        told.push(format!("and {} more", changing.len() - OPS_MAX));
    }
    told.join("; ")
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
    }
}

fn rows_of(segments: &[Arc<SegmentMeta>]) -> usize {
    segments.iter().map(|meta| meta.rows as usize).sum()
}

fn count(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
