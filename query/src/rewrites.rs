//! Rewrites: when a table's recent rows are folded into segments, and its segments are merged.
//!
//! `storage::rewrite` says what is due, `write_holds` who goes first. A rewrite commits through the same door as a user and loses against
//! a user's commit where they conflict; it is tried again in a later round of the background.

use crate::background::{Rest, note_outcome};
use crate::background_tasks::TaskKind;
use crate::engine::{Engine, storage_error};
use crate::execution::joined;
use crate::write_holds::RewriteCommit;
use catalog::draft::{CommitDraft, Op};
use catalog::ids::{CommitSeq, ObjectId, RecentId};
use catalog::snapshot::{Snapshot, TableVersion};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::rewrite::{RewritePlan, choose, is_due, recent_behind};

/// Recent rows are folded into segments when they are this old, however few.
const RECENT_AGE_MAX: Duration = Duration::from_secs(30);
/// How long rewrites of a table insist, one after the other, before they yield again.
const INSISTED_MAX: Duration = Duration::from_secs(10);
/// How long they leave the table to others in between.
const INSISTING_PAUSE: Duration = Duration::from_millis(100);
/// Memory for one rewrite.
const REWRITE_BYTES: usize = 256 * 1024 * 1024;

/// What is remembered of tables between rewrites.
#[derive(Default)]
pub(crate) struct Rewrites {
    /// When the oldest of a table's recent batches that may be folded was first seen.
    recent_since: HashMap<ObjectId, (RecentId, Instant)>,
    /// Tables whose last rewrite failed.
    failed: HashMap<ObjectId, Rest>,
}

impl Rewrites {
    /// Forgets the tables that are gone.
    pub(crate) fn retain(&mut self, is_there: impl Fn(ObjectId) -> bool) {
        self.recent_since.retain(|id, _| is_there(*id));
        self.failed.retain(|id, _| is_there(*id));
    }

    /// Does the rewrites that a table is worth, as far as those who change its rows let it.
    pub(crate) async fn of_table(
        &mut self,
        engine: &Arc<Engine>,
        snapshot: &Arc<Snapshot>,
        version: &TableVersion,
        force: bool,
    ) {
        let table = version.definition.id;
        let held = engine.holds.named(table);
        let all = self.is_old(version, held) || force;
        let rests = !force && self.failed.get(&table).is_some_and(|rest| !rest.is_over());
        if rests || !is_due(version, all, None) {
            return;
        }
        if engine.holds.may_insist(table, Instant::now()) {
            let outcome = insist(engine, table).await;
            return self.note(table, outcome);
        }
        // Even where all that is due is named by somebody, this notes that it waits.
        if engine.holds.begin_rewrite(table, (!force).then(Instant::now)).is_none() {
            return;
        }
        for plan in choose(version, all, held) {
            let outcome = rewrite(engine, snapshot, plan, Turn::Yields { held, force }).await;
            self.note(table, outcome);
        }
    }

    fn note(&mut self, table: ObjectId, outcome: Outcome) {
        match outcome {
            Outcome::Committed => drop(self.failed.remove(&table)),
            Outcome::Yielded => {}
            Outcome::Failed => {
                let rest = Rest::after(self.failed.get(&table).copied());
                self.failed.insert(table, rest);
            }
        }
    }

    /// Whether recent rows are old that were not there yet at the commit `held`.
    fn is_old(&mut self, version: &TableVersion, held: Option<CommitSeq>) -> bool {
        let id = version.definition.id;
        let Some(oldest) = recent_behind(version, held).iter().next() else {
            self.recent_since.remove(&id);
            return false;
        };
        let seen = self.recent_since.entry(id).or_insert_with(|| (oldest.id, Instant::now()));
        if seen.0 != oldest.id {
            *seen = (oldest.id, Instant::now());
        }
        seen.1.elapsed() > RECENT_AGE_MAX
    }
}

/// Does what is due of a table whose rewrites have waited for long, one after the other: who changes the table's rows waits for each,
/// and has a turn in between.
async fn insist(engine: &Arc<Engine>, table: ObjectId) -> Outcome {
    // Having waited so long for it, recent rows are folded however few they are.
    let mut all = true;
    let until = Instant::now() + INSISTED_MAX;
    while Instant::now() < until {
        let Some(right) = engine.holds.insist(table).await else { return Outcome::Yielded };
        // What deleters committed until they had to wait.
        let snapshot = engine.catalog.snapshot();
        let version = snapshot.tables.get(&table);
        let plan = version.and_then(|version| choose(version, all, right.held).into_iter().next());
        let Some(plan) = plan else { return Outcome::Yielded };
        match rewrite(engine, &snapshot, plan, Turn::Insists(right)).await {
            Outcome::Committed => {}
            other => return other,
        }
        all = false;
        tokio::time::sleep(INSISTING_PAUSE).await;
    }
    Outcome::Committed
}

/// Who goes first, a rewrite or those who change the table's rows.
enum Turn {
    /// They do: the rewrite was chosen when they named what was there at the commit `held`. With `force` they need not have been at rest.
    Yields { held: Option<CommitSeq>, force: bool },
    /// They wait.
    Insists(RewriteCommit),
}

/// What became of a rewrite.
enum Outcome {
    Committed,
    /// Others went first.
    Yielded,
    Failed,
}

async fn rewrite(engine: &Arc<Engine>, snapshot: &Arc<Snapshot>, plan: RewritePlan, turn: Turn) -> Outcome {
    let table = plan.definition.id;
    let (mark, insisting) = match turn {
        Turn::Yields { held, force } => match engine.holds.begin_rewrite(table, (!force).then(Instant::now)) {
            Some(mark) if mark.held <= held => (Some(mark), None),
            _ => return Outcome::Yielded,
        },
        Turn::Insists(right) => (None, Some(right)),
    };
    let (removed_segments, removed_recent) = (plan.remove_segments(), plan.remove_recent());
    let kind = if removed_recent.is_empty() { TaskKind::Compact } else { TaskKind::FoldRows };
    let running = engine.background.tasks().begin(kind, Some(table));
    let worker = Arc::clone(engine);
    let task = engine.bulk().spawn_blocking(move || {
        let given_up = || mark.is_some_and(|mark| worker.holds.held_since(table, mark));
        storage::rewrite::fold_unless(&worker.store, &plan, REWRITE_BYTES, &given_up).map_err(storage_error)
    });
    let staged = match joined(task.await) {
        Ok(Some(staged)) => staged,
        Ok(None) => return Outcome::Yielded,
        Err(error) => {
            running.end(None, None, Some(error.to_string()));
            tracing::warn!(%table, %error, "segments could not be rewritten");
            return Outcome::Failed;
        }
    };
    let metas = staged.metas();
    let rows = metas.iter().map(|meta| u64::from(meta.rows)).sum();
    let bytes = metas.iter().map(|meta| meta.bytes).sum();
    // Deleters wait until it is dropped.
    let Some(_right) = mark.map_or(insisting, |mark| engine.holds.may_commit(table, mark)) else {
        return Outcome::Yielded;
    };
    let rewrite = Op::Rewrite { table, remove_segments: removed_segments, remove_recent: removed_recent, add: metas };
    let draft = CommitDraft::new(Arc::clone(snapshot), vec![rewrite]);
    let committed = engine.commit(draft, vec![staged]).await.map(drop);
    let became = if committed.is_ok() { Outcome::Committed } else { Outcome::Yielded };
    let outcome = note_outcome(committed);
    running.end(Some(rows), Some(bytes), outcome.as_ref().err().map(ToString::to_string));
    if let Err(error) = outcome {
        tracing::warn!(%table, %error, "a rewrite could not be committed");
    }
    became
}
