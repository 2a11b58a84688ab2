//! View builds: how far the states of views are that are being made, for `meridian.view_builds`.
//!
//! A build first runs the view's query, so that one that fails is no view, and then computes the state at a snapshot. Readers and writers
//! wait for neither. What was read is asked of the plan that runs; this module decides nothing.

use crate::engine::now_micros;
use catalog::definition::ObjectName;
use catalog::ids::ObjectId;
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a build does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It runs the view's query.
    Query,
    /// It computes the state.
    State,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Query => "running the query",
            Self::State => "building the state",
        }
    }
}

/// A build as others see it.
#[derive(Clone, Debug)]
pub struct ViewBuildRow {
    /// The session whose CREATE waits for it; none for a build of the background.
    pub process_id: Option<i32>,
    pub name: ObjectName,
    pub phase: &'static str,
    /// Rows of tables that were read in this phase, and that there are. What is pruned is never read.
    pub rows_read: u64,
    pub rows: u64,
    /// When the phase began, in microseconds since 1970.
    pub since_micros: i64,
}

#[derive(Debug)]
struct Build {
    process_id: Option<i32>,
    name: ObjectName,
    phase: Phase,
    rows: u64,
    plan: Arc<dyn ExecutionPlan>,
    since_micros: i64,
}

/// The builds that go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct ViewBuilds(Arc<Mutex<BTreeMap<ObjectId, Build>>>);

impl ViewBuilds {
    /// Shows a phase of a view's build for as long as what it returns lives. `rows` are those of its tables, which `plan` reads.
    pub(crate) fn show(
        &self,
        (id, name): (ObjectId, &ObjectName),
        (phase, rows): (Phase, u64),
        process_id: Option<i32>,
        plan: &Arc<dyn ExecutionPlan>,
    ) -> ShownBuild {
        let (name, plan) = (name.clone(), Arc::clone(plan));
        let build = Build { process_id, name, phase, rows, plan, since_micros: now_micros() };
        self.0.lock().insert(id, build);
        ShownBuild { builds: self.clone(), id }
    }

    pub(crate) fn all(&self) -> Vec<ViewBuildRow> {
        let builds = self.0.lock();
        let rows = builds.values().map(|build| ViewBuildRow {
            process_id: build.process_id,
            name: build.name.clone(),
            phase: build.phase.name(),
            rows_read: rows_read(&build.plan),
            rows: build.rows,
            since_micros: build.since_micros,
        });
        rows.collect()
    }
}

/// A build that is shown until this is dropped.
#[derive(Debug)]
pub(crate) struct ShownBuild {
    builds: ViewBuilds,
    id: ObjectId,
}

impl Drop for ShownBuild {
    fn drop(&mut self) {
        self.builds.0.lock().remove(&self.id);
    }
}

/// The rows that the leaves of a plan have given.
fn rows_read(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let children = plan.children();
    if children.is_empty() {
        return plan.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0) as u64;
    }
    children.into_iter().map(rows_read).sum()
}
