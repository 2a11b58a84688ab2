//! Shrinks a history that leads to a finding: delta debugging on fresh data directories, for a bounded time.
//!
//! Zeller and Hildebrandt's ddmin: leave out ever smaller chunks as long as what remains still leads to a finding of
//! the same kind. Steps are left out first, then rows of those that remain.

use super::executor::Finding;
use super::replay;
use super::step::{Action, Step};
use std::time::Instant;

/// What is left of a history.
pub(crate) struct Shrunk {
    pub steps: Vec<Step>,
    /// The finding that the steps lead to; `None` when not even the whole history does so again.
    pub finding: Option<Finding>,
}

/// Leaves out what the finding does not need.
pub(crate) async fn shrink(history: Vec<Step>, finding: &Finding, postgres: Option<&str>, deadline: Instant) -> Shrunk {
    let search = Search { kind: finding.kind(), postgres, deadline };
    if search.reproduce(&history).await.is_none() {
        return Shrunk { steps: history, finding: None };
    }
    let mut steps = search.minimise(history, <[Step]>::to_vec).await;
    for index in 0..steps.len() {
        let rows = steps[index].rows().to_vec();
        let with_rows = |rows: &[String]| {
            let mut steps = steps.clone();
            steps[index].set_rows(rows.to_vec());
            steps
        };
        let rows = search.minimise(rows, with_rows).await;
        steps[index].set_rows(rows);
    }
    let finding = search.reproduce(&steps).await;
    Shrunk { steps, finding }
}

struct Search<'a> {
    kind: String,
    postgres: Option<&'a str>,
    deadline: Instant,
}

impl Search<'_> {
    /// Leaves out items as long as the steps that are made of the rest lead to the finding.
    async fn minimise<T: Clone>(&self, mut items: Vec<T>, steps_of: impl Fn(&[T]) -> Vec<Step>) -> Vec<T> {
        let mut chunk = items.len().div_ceil(2);
        while chunk > 0 && Instant::now() < self.deadline {
            let mut start = 0;
            let mut shorter = false;
            while start < items.len() && Instant::now() < self.deadline {
                let end = (start + chunk).min(items.len());
                let candidate: Vec<T> = items[..start].iter().chain(&items[end..]).cloned().collect();
                if self.reproduce(&steps_of(&candidate)).await.is_some() {
                    items = candidate;
                    shorter = true;
                } else {
                    start = end;
                }
            }
            // At the smallest chunk, what was needed before may be needless now.
            chunk = if chunk == 1 && shorter { 1 } else { chunk / 2 };
        }
        items
    }

    /// Replays a history; the finding of this kind that it leads to.
    async fn reproduce(&self, steps: &[Step]) -> Option<Finding> {
        // A server that does not start says nothing about the history.
        let finding = replay(steps, self.postgres).await.ok()??;
        (finding.kind() == self.kind).then_some(finding)
    }
}

impl Step {
    /// The rows that a step adds.
    fn rows(&self) -> &[String] {
        match &self.action {
            Action::Insert { rows, .. } => rows,
            Action::Copy { lines, .. } => lines,
            _ => &[],
        }
    }

    fn set_rows(&mut self, new: Vec<String>) {
        match &mut self.action {
            // VALUES without a row is no SQL.
            Action::Insert { rows, .. } if !new.is_empty() => *rows = new,
            Action::Copy { lines, .. } => *lines = new,
            _ => {}
        }
    }
}
