//! The planner's state of one statement, made when it is first asked for: it copies the lists of all functions and rules, and many
//! statements need none of them.

use crate::engine::Engine;
use crate::memory::ExecutionPool;
use chrono::{DateTime, Utc};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, TaskContext};
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// Clones share the state, and with it the statement's time.
#[derive(Clone)]
pub(crate) struct PlanningState {
    engine: Arc<Engine>,
    time_zone: String,
    /// What now() is, if that is not when the state is made.
    time: Option<DateTime<Utc>>,
    state: Arc<OnceLock<SessionState>>,
}

impl PlanningState {
    pub(crate) fn new(engine: &Arc<Engine>, time_zone: impl Into<String>) -> Self {
        Self { engine: Arc::clone(engine), time_zone: time_zone.into(), time: None, state: Arc::default() }
    }

    /// The same, in which now() is a time.
    pub(crate) fn at(self, time: DateTime<Utc>) -> Self {
        Self { time: Some(time), ..self }
    }

    /// The same at the same time in another time zone.
    pub(crate) fn in_time_zone(&self, time_zone: &str) -> Self {
        let mut state = SessionState::clone(self);
        state.config_mut().options_mut().execution.time_zone = Some(time_zone.to_string());
        let (time_zone, state) = (time_zone.into(), Arc::new(OnceLock::from(state)));
        Self { engine: Arc::clone(&self.engine), time_zone, time: self.time, state }
    }

    /// What a plan of the server's own runs with.
    pub(crate) fn task_ctx(&self) -> Arc<TaskContext> {
        self.task_ctx_over(Arc::clone(self.runtime_env()))
    }

    /// What a plan runs with that was admitted to a part of the memory.
    pub(crate) fn task_ctx_within(&self, pool: Arc<ExecutionPool>) -> Arc<TaskContext> {
        let runtime = RuntimeEnv { memory_pool: pool, ..self.runtime_env().as_ref().clone() };
        self.task_ctx_over(Arc::new(runtime))
    }

    /// It has no functions: a plan holds its own, and looks none up by name.
    fn task_ctx_over(&self, runtime: Arc<RuntimeEnv>) -> Arc<TaskContext> {
        let config = self.config().clone();
        let (scalar, higher_order) = (HashMap::new(), HashMap::new());
        let (aggregate, window) = (HashMap::new(), HashMap::new());
        let session = self.session_id().to_string();
        Arc::new(TaskContext::new(None, session, config, scalar, higher_order, aggregate, window, runtime))
    }

    pub(crate) fn time_zone(&self) -> &str {
        &self.time_zone
    }
}

impl Deref for PlanningState {
    type Target = SessionState;

    fn deref(&self) -> &SessionState {
        self.state.get_or_init(|| {
            let mut state = self.engine.state(&self.time_zone);
            if let Some(time) = self.time {
                state.execution_props_mut().query_execution_start_time = Some(time);
            }
            state
        })
    }
}
