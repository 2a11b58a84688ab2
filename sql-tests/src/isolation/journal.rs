//! Journals: what clients asked and what they were told, in the order in which it happened.

use adya::history::{History, Id, Interner, Mop, Op, OpType, ReadValue, Scalar};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

/// One step of a transaction over lists or registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Append {
        key: i64,
        value: i64,
    },
    Write {
        key: i64,
        value: i64,
    },
    /// What was read; `None` before it is known.
    ReadList {
        key: i64,
        values: Option<Vec<i64>>,
    },
    /// A register without a value was never written.
    ReadRegister {
        key: i64,
        value: Option<i64>,
    },
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    /// Refused with 40001.
    Conflict,
    /// The connection went before COMMIT was said.
    Lost,
    /// The connection went while COMMIT was waited for.
    Unknown,
}

impl Outcome {
    fn kind(self) -> OpType {
        match self {
            Self::Committed => OpType::Ok,
            Self::Conflict | Self::Lost => OpType::Fail,
            Self::Unknown => OpType::Info,
        }
    }
}

#[derive(Debug, Default)]
struct Entries {
    ops: Vec<Op>,
    interner: Interner,
    outcomes: Vec<Outcome>,
}

/// The history of all clients of a workload. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Mutex<Entries>>);

impl Journal {
    /// Notes that a process begins a transaction; to be called before its first statement is sent.
    pub fn begin(&self, process: i64, steps: &[Step]) {
        self.0.lock().expect("no thread panics while it writes").push(process, OpType::Invoke, steps);
    }

    /// Notes how it ended, with what it read; to be called after the answer came.
    pub fn end(&self, process: i64, steps: &[Step], outcome: Outcome) {
        let mut entries = self.0.lock().expect("no thread panics while it writes");
        entries.push(process, outcome.kind(), steps);
        entries.outcomes.push(outcome);
    }

    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        self.0.lock().expect("no thread panics while it writes").outcomes.clone()
    }

    /// The history for the checker. A transaction of unknown outcome of which nobody has read anything counts as one that was refused:
    /// the checker would have it commit in the end, after all that it did not see.
    pub(super) fn history(&self) -> History {
        let entries = self.0.lock().expect("no thread panics while it writes");
        let mut ops = entries.ops.clone();
        let seen = seen_values(&ops);
        let written = |mop: &Mop| match mop {
            Mop::Append { value, .. } | Mop::Write { value, .. } => seen.contains(value),
            Mop::Read { .. } => false,
        };
        for op in ops.iter_mut().filter(|op| op.kind == OpType::Info) {
            if !op.value.iter().any(written) {
                op.kind = OpType::Fail;
            }
        }
        History::from_ops(ops, entries.interner.clone())
    }
}

/// Every value that a transaction has read which is known to have committed.
fn seen_values(ops: &[Op]) -> HashSet<Id> {
    let mut seen = HashSet::new();
    for mop in ops.iter().filter(|op| op.kind == OpType::Ok).flat_map(|op| &op.value) {
        match mop {
            Mop::Read { value: ReadValue::List(values), .. } => seen.extend(values.iter().copied()),
            Mop::Read { value: ReadValue::Scalar(value), .. } => drop(seen.insert(*value)),
            _ => {}
        }
    }
    seen
}

impl Entries {
    fn push(&mut self, process: i64, kind: OpType, steps: &[Step]) {
        let value = steps.iter().map(|step| self.mop(step)).collect();
        let index = self.ops.len() as u64;
        self.ops.push(Op { index, kind, process: Some(process), value, time: None });
    }

    fn mop(&mut self, step: &Step) -> Mop {
        let mut id = |number: i64| self.interner.intern(Scalar::Int(number));
        match step {
            Step::Append { key, value } => Mop::Append { key: id(*key), value: id(*value) },
            Step::Write { key, value } => Mop::Write { key: id(*key), value: id(*value) },
            Step::ReadList { key, values } => {
                let key = id(*key);
                let read = values.as_ref().filter(|values| !values.is_empty());
                let read = read.map(|values| ReadValue::List(values.iter().map(|value| id(*value)).collect()));
                Mop::Read { key, value: read.unwrap_or(ReadValue::Nil) }
            }
            Step::ReadRegister { key, value } => {
                let key = id(*key);
                Mop::Read { key, value: value.map_or(ReadValue::Nil, |value| ReadValue::Scalar(id(value))) }
            }
        }
    }
}
