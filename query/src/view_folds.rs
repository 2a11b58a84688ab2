//! What folds did: a log of the last ones, kept in memory for `meridian.view_folds` and EXPLAIN MATERIALIZED VIEW.
//!
//! It is forgotten at a restart. It does not decide anything: when a fold that failed is tried again is the background's business.

use catalog::ids::{CommitSeq, ObjectId};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};

/// How many folds of all views are remembered.
const FOLDS_MAX: usize = 1_000;
/// How many folds of one view EXPLAIN MATERIALIZED VIEW adds up.
pub(crate) const SHOWN_FOLDS: usize = 10;

/// How a fold ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoldOutcome {
    /// The state was built from the whole query.
    Built,
    /// What changed was added to the state.
    Folded,
    /// The state's runs were merged; nothing had changed.
    Merged,
    /// Another commit came first; it is tried again.
    Conflict,
    /// It failed with this message, and the view is read by its query until a fold succeeds.
    Failed(String),
}

impl FoldOutcome {
    /// The word that `meridian.view_folds` shows.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Folded => "folded",
            Self::Merged => "merged",
            Self::Conflict => "conflict",
            Self::Failed(_) => "failed",
        }
    }

    fn moved_the_state(&self) -> bool {
        matches!(self, Self::Built | Self::Folded | Self::Merged)
    }
}

/// One fold of a view.
#[derive(Clone, Debug)]
pub struct FoldRecord {
    pub view: ObjectId,
    /// When it ended.
    pub at_micros: i64,
    /// The frontier that it started from; `None` for a build.
    pub from: Option<CommitSeq>,
    /// The frontier that it came to, or would have.
    pub to: CommitSeq,
    /// Rows of the inputs that it folded.
    pub rows: u64,
    pub micros: u64,
    pub outcome: FoldOutcome,
}

/// The last folds, and what each view's last one did.
#[derive(Debug, Default)]
pub(crate) struct FoldLog(Mutex<Folds>);

#[derive(Debug, Default)]
struct Folds {
    recent: VecDeque<FoldRecord>,
    /// The last fold of each view that moved its state.
    last: HashMap<ObjectId, FoldRecord>,
    /// Why each view's last fold failed, until one succeeds.
    errors: HashMap<ObjectId, String>,
}

impl FoldLog {
    pub(crate) fn note(&self, record: FoldRecord) {
        let mut folds = self.0.lock();
        if record.outcome.moved_the_state() {
            folds.last.insert(record.view, record.clone());
            folds.errors.remove(&record.view);
        } else if let FoldOutcome::Failed(message) = &record.outcome {
            folds.errors.insert(record.view, message.clone());
        }
        if folds.recent.len() == FOLDS_MAX {
            folds.recent.pop_front();
        }
        folds.recent.push_back(record);
    }

    /// Forgets the views that are gone.
    pub(crate) fn retain(&self, exists: impl Fn(ObjectId) -> bool) {
        let mut folds = self.0.lock();
        folds.last.retain(|id, _| exists(*id));
        folds.errors.retain(|id, _| exists(*id));
    }

    /// The last fold that moved a view's state.
    pub(crate) fn last(&self, view: ObjectId) -> Option<FoldRecord> {
        self.0.lock().last.get(&view).cloned()
    }

    /// Why a view's last fold failed; `None` when it succeeded.
    pub(crate) fn error(&self, view: ObjectId) -> Option<String> {
        self.0.lock().errors.get(&view).cloned()
    }

    /// All that are remembered, the oldest first.
    pub(crate) fn all(&self) -> Vec<FoldRecord> {
        self.0.lock().recent.iter().cloned().collect()
    }

    /// A line about a view's last folds; `None` when none is remembered.
    pub(crate) fn summary(&self, view: ObjectId) -> Option<String> {
        let folds = self.0.lock();
        let last = folds.last.get(&view)?;
        let moved = |fold: &&FoldRecord| fold.view == view && fold.outcome.moved_the_state();
        let shown: Vec<&FoldRecord> = folds.recent.iter().rev().filter(moved).take(SHOWN_FOLDS).collect();
        let line = format!("last fold: {} changed rows in {:.1} ms", last.rows, last.micros as f64 / 1e3);
        if shown.len() < 2 {
            return Some(line);
        }
        let (rows, micros) = shown.iter().fold((0, 0), |(rows, micros), fold| (rows + fold.rows, micros + fold.micros));
        Some(format!("{line}; the last {}: {rows} rows in {:.1} ms", shown.len(), micros as f64 / 1e3))
    }
}
