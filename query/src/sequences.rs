//! Sequences at work: numbers are handed out from memory and reserved ahead in the catalog.
//!
//! ```text
//! nextval ─▶ StatementSequences ─▶ own, not committed: the transaction's numbers, which its commit makes durable
//!                              ├─▶ temporary: the session's numbers
//!                              └─▶ committed: Sequences, shared by all sessions ─▶ when they run out: one commit reserves more
//! ```
//!
//! A number is handed out once. What was reserved and not handed out when the server dies is lost, as PostgreSQL loses it.
//! A sequence that a transaction created or altered has another version than the committed one, or none there; until
//! the transaction ends nobody else sees that version, so its numbers need no reservation.

use crate::engine::{Engine, commit_error};
use crate::error::{ErrorKind, QueryError};
use crate::functions::SequenceNumbers;
use catalog::commit::CommitError;
use catalog::draft::{CommitDraft, Conflict, Op};
use catalog::ids::ObjectId;
use catalog::sequence::{SequenceDefinition, SequenceValue, SequenceVersion};
use catalog::snapshot::Snapshot;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Numbers that are reserved beyond those that are asked for; as many as PostgreSQL logs.
const AHEAD_MIN: usize = 32;
/// The most numbers that are reserved beyond those that are asked for.
const AHEAD_MAX: usize = 32_768;
/// A reservation that lasts for less than this is followed by a larger one.
const RESERVED_FOR: Duration = Duration::from_secs(1);

/// What is handed out from memory of one committed sequence.
#[derive(Debug)]
struct Handing {
    /// The version of the definition that the numbers were reserved under.
    version: u32,
    value: SequenceValue,
    /// Numbers after `value` that nobody else gets, not even after a crash.
    reserved: usize,
    ahead: usize,
    reserved_at: Option<Instant>,
}

impl Handing {
    fn new(sequence: &SequenceVersion) -> Self {
        Self {
            version: sequence.definition.version,
            value: sequence.value,
            reserved: 0,
            ahead: AHEAD_MIN,
            reserved_at: None,
        }
    }
}

/// A sequence's state, behind a lock of its own; empty before its first number.
type Slot = Arc<Mutex<Option<Handing>>>;

/// The sequences of the database that numbers were taken from. One per engine.
#[derive(Debug, Default)]
pub(crate) struct Sequences(Mutex<HashMap<ObjectId, Slot>>);

impl Sequences {
    /// Runs `body` on the state of a sequence as it is committed now. The lock is held while it commits, so that numbers are reserved
    /// in the order in which they are handed out.
    fn with<T>(
        &self,
        engine: &Engine,
        id: ObjectId,
        body: impl FnOnce(&SequenceVersion, &mut Handing) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        let slot = Arc::clone(self.0.lock().entry(id).or_default());
        let mut slot = slot.lock();
        let Some(sequence) = engine.catalog.snapshot().sequences.get(&id).cloned() else {
            self.0.lock().remove(&id);
            return Err(Conflict::ObjectChanged(id).into());
        };
        let known = slot.take().filter(|handing| handing.version == sequence.definition.version);
        body(&sequence, slot.insert(known.unwrap_or_else(|| Handing::new(&sequence))))
    }

    fn next(&self, engine: &Engine, id: ObjectId, count: usize) -> Result<Vec<i64>, QueryError> {
        let taken = self.with(engine, id, |sequence, handing| {
            let (numbers, after) = sequence.definition.take(handing.value, count);
            if numbers.len() < count {
                return Ok(Err(ended(&sequence.definition)));
            }
            if count > handing.reserved {
                let hurried = handing.reserved_at.is_some_and(|at| at.elapsed() < RESERVED_FOR);
                handing.ahead = if hurried { (handing.ahead * 2).min(AHEAD_MAX) } else { AHEAD_MIN };
                let (more, value) = sequence.definition.take(after, handing.ahead);
                set(engine, &sequence.definition, value)?;
                handing.reserved = count + more.len();
                handing.reserved_at = Some(Instant::now());
            }
            handing.reserved -= count;
            handing.value = after;
            Ok(Ok(numbers))
        });
        taken.map_err(commit_error)?
    }

    /// The next numbers where they are reserved and nobody holds the sequence.
    fn next_reserved(&self, engine: &Engine, id: ObjectId, count: usize) -> Option<Vec<i64>> {
        let slot = self.0.lock().get(&id).cloned()?;
        let mut slot = slot.try_lock()?;
        let sequence = engine.catalog.snapshot().sequences.get(&id).cloned()?;
        let handing = slot.as_mut().filter(|handing| handing.version == sequence.definition.version)?;
        let (numbers, after) = sequence.definition.take(handing.value, count);
        if numbers.len() < count || count > handing.reserved {
            return None;
        }
        handing.reserved -= count;
        handing.value = after;
        Some(numbers)
    }

    fn set(&self, engine: &Engine, id: ObjectId, value: SequenceValue) -> Result<(), QueryError> {
        let done = self.with(engine, id, |sequence, handing| {
            set(engine, &sequence.definition, value)?;
            handing.value = value;
            handing.reserved = 0;
            Ok(())
        });
        done.map_err(commit_error)
    }

    /// Hands out once more what was handed out behind a number, if the last of it is the last of the sequence.
    fn take_back(&self, id: ObjectId, (last_used, unused): (i64, &[i64])) {
        let Some(slot) = self.0.lock().get(&id).cloned() else { return };
        let mut slot = slot.lock();
        if let Some(handing) = slot.as_mut().filter(|handing| Some(&handing.value.last) == unused.last()) {
            handing.value.last = last_used;
            handing.reserved += unused.len();
        }
    }

    /// Lets a sequence go on, after a change of its definition, right behind the last number that was handed out.
    pub(crate) fn give_back(&self, engine: &Engine, id: ObjectId) -> Result<(), QueryError> {
        let done = self.with(engine, id, |sequence, handing| {
            if handing.reserved > 0 {
                set(engine, &sequence.definition, handing.value)?;
                handing.reserved = 0;
            }
            Ok(())
        });
        done.map_err(commit_error)
    }

    /// How far a committed sequence has come, and how many numbers are reserved beyond.
    fn value(&self, sequence: &SequenceVersion) -> (SequenceValue, usize) {
        let slot = self.0.lock().get(&sequence.definition.id).cloned();
        let known = slot.and_then(|slot| {
            let slot = slot.lock();
            let handing = slot.as_ref().filter(|handing| handing.version == sequence.definition.version)?;
            Some((handing.value, handing.reserved))
        });
        known.unwrap_or((sequence.value, 0))
    }

    /// Operations that give back what is reserved and was not handed out; for an orderly end of the server.
    pub(crate) fn returned(&self, committed: &Snapshot) -> Vec<Op> {
        let slots: Vec<_> = self.0.lock().iter().map(|(id, slot)| (*id, Arc::clone(slot))).collect();
        let ops = slots.into_iter().filter_map(|(sequence, slot)| {
            let slot = slot.lock();
            let version = committed.sequences.get(&sequence)?.definition.version;
            let handing = slot.as_ref().filter(|handing| handing.reserved > 0 && handing.version == version)?;
            Some(Op::SetSequence { sequence, version: handing.version, value: handing.value })
        });
        ops.collect()
    }
}

fn set(engine: &Engine, definition: &SequenceDefinition, value: SequenceValue) -> Result<(), CommitError> {
    let op = Op::SetSequence { sequence: definition.id, version: definition.version, value };
    engine.commit_and_wait(CommitDraft::new(engine.catalog.snapshot(), vec![op])).map(drop)
}

/// What is told when a sequence has no further number.
pub(crate) fn ended(definition: &SequenceDefinition) -> QueryError {
    let name = &definition.name.name;
    let message = match definition.increment > 0 {
        true => format!("nextval: reached maximum value of sequence \"{name}\" ({})", definition.max),
        false => format!("nextval: reached minimum value of sequence \"{name}\" ({})", definition.min),
    };
    QueryError::new(ErrorKind::SequenceLimit, message)
}

/// The numbers of sequences, by version of their definition, which nobody else knows.
pub(crate) type OwnNumbers = BTreeMap<(ObjectId, u32), SequenceValue>;

/// What a session was given, for `currval` and `lastval`.
#[derive(Debug, Default)]
pub(crate) struct SessionNumbers {
    values: HashMap<ObjectId, i64>,
    last: Option<ObjectId>,
    /// Numbers that a first attempt at the statement that runs was given; a second one gets the same.
    again: Vec<(ObjectId, Vec<i64>)>,
}

impl SessionNumbers {
    /// Keeps numbers for another attempt at the statement.
    pub(crate) fn keep_for_retry(&mut self, taken: Vec<(ObjectId, Vec<i64>)>) {
        self.again = taken;
    }

    /// Another statement begins.
    pub(crate) fn forget_retry(&mut self) {
        self.again.clear();
    }

    fn taken_before(&mut self, id: ObjectId, count: usize) -> Option<Vec<i64>> {
        let mut known = self.again.iter_mut();
        let (_, numbers) = known.find(|(of, numbers)| *of == id && numbers.len() >= count && count > 0)?;
        Some(numbers.drain(..count).collect())
    }

    fn note(&mut self, id: ObjectId, numbers: &[i64]) {
        if let Some(last) = numbers.last() {
            self.values.insert(id, *last);
            self.last = Some(id);
        }
    }
}

/// The sequences as one statement may use them.
pub(crate) struct StatementSequences {
    pub engine: Arc<Engine>,
    /// What the statement sees.
    pub snapshot: Arc<Snapshot>,
    /// The same without what its own transaction did.
    pub base: Arc<Snapshot>,
    pub own: Arc<Mutex<OwnNumbers>>,
    /// Of temporary sequences, whatever becomes of the transaction.
    pub temporary: Arc<Mutex<OwnNumbers>>,
    pub session: Arc<Mutex<SessionNumbers>>,
    pub read_only: bool,
}

impl std::fmt::Debug for StatementSequences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatementSequences").finish_non_exhaustive()
    }
}

impl StatementSequences {
    fn seen(&self, id: ObjectId) -> Result<&Arc<SequenceVersion>, QueryError> {
        self.snapshot.sequences.get(&id).ok_or_else(|| match self.snapshot.relation_by_id(id) {
            Some(_) => {
                let name = self.snapshot.names.iter().find(|(_, known)| **known == id).map(|(name, _)| &name.name);
                let message = format!("\"{}\" is not a sequence", name.map_or("", |name| name));
                QueryError::new(ErrorKind::WrongObjectType, message)
            }
            None => QueryError::new(ErrorKind::UndefinedTable, format!("relation with OID {id} does not exist")),
        })
    }

    /// Whether only this transaction knows the sequence as the statement sees it.
    fn knows_alone(&self, seen: &SequenceVersion) -> bool {
        let committed = self.base.sequences.get(&seen.definition.id);
        committed.is_none_or(|committed| committed.definition.version != seen.definition.version)
    }

    /// Where the numbers of a sequence stand that nobody else knows.
    fn own_numbers(&self, seen: &SequenceVersion) -> &Mutex<OwnNumbers> {
        if self.snapshot.is_temporary(&seen.definition.name) { &self.temporary } else { &self.own }
    }

    fn own_value(&self, seen: &SequenceVersion) -> SequenceValue {
        let known = (seen.definition.id, seen.definition.version);
        self.own_numbers(seen).lock().get(&known).copied().unwrap_or(seen.value)
    }

    fn keep_own(&self, seen: &SequenceVersion, value: SequenceValue) {
        self.own_numbers(seen).lock().insert((seen.definition.id, seen.definition.version), value);
    }

    fn next_own(&self, seen: &SequenceVersion, count: usize) -> Result<Vec<i64>, QueryError> {
        let (numbers, after) = seen.definition.take(self.own_value(seen), count);
        if numbers.len() < count {
            return Err(ended(&seen.definition));
        }
        self.keep_own(seen, after);
        Ok(numbers)
    }

    /// The next numbers where they are reserved and nobody has to wait for them; `None` elsewhere.
    pub(crate) fn next_at_hand(&self, id: ObjectId, count: usize) -> Result<Option<Vec<i64>>, QueryError> {
        if let Some(numbers) = self.session.lock().taken_before(id, count) {
            return Ok(Some(numbers));
        }
        let seen = self.seen(id)?;
        self.refuse_when_read_only(seen, "nextval")?;
        let numbers = match self.knows_alone(seen) {
            true => Some(self.next_own(seen, count)?),
            false => self.engine.sequences.next_reserved(&self.engine, id, count),
        };
        if let Some(numbers) = &numbers {
            self.session.lock().note(id, numbers);
        }
        Ok(numbers)
    }

    fn refuse_when_read_only(&self, seen: &SequenceVersion, function: &str) -> Result<(), QueryError> {
        if self.read_only && !self.snapshot.is_temporary(&seen.definition.name) {
            let message = format!("cannot execute {function}() in a read-only transaction");
            return Err(QueryError::new(ErrorKind::ReadOnlyTransaction, message));
        }
        Ok(())
    }
}

impl SequenceNumbers for StatementSequences {
    fn next(&self, id: ObjectId, count: usize) -> Result<Vec<i64>, QueryError> {
        if let Some(numbers) = self.session.lock().taken_before(id, count) {
            return Ok(numbers);
        }
        let seen = self.seen(id)?;
        self.refuse_when_read_only(seen, "nextval")?;
        let numbers = match self.knows_alone(seen) {
            true => self.next_own(seen, count)?,
            false => self.engine.sequences.next(&self.engine, id, count)?,
        };
        self.session.lock().note(id, &numbers);
        Ok(numbers)
    }

    fn give_back(&self, id: ObjectId, numbers: &[i64], used: usize) {
        let (used, unused) = numbers.split_at(used.min(numbers.len()));
        let (Some(last), false) = (used.last(), unused.is_empty()) else { return };
        let Ok(seen) = self.seen(id) else { return };
        if self.knows_alone(seen) {
            let value = self.own_value(seen);
            if Some(&value.last) == unused.last() {
                self.keep_own(seen, SequenceValue { last: *last, ..value });
            }
        } else {
            self.engine.sequences.take_back(id, (*last, unused));
        }
        self.session.lock().note(id, used);
    }

    fn current(&self, id: ObjectId) -> Result<i64, QueryError> {
        let name = &self.seen(id)?.definition.name.name;
        self.session.lock().values.get(&id).copied().ok_or_else(|| {
            let message = format!("currval of sequence \"{name}\" is not yet defined in this session");
            QueryError::new(ErrorKind::ObjectNotReady, message)
        })
    }

    fn last(&self) -> Result<i64, QueryError> {
        let session = self.session.lock();
        let last = session.last.filter(|id| self.snapshot.sequences.contains_key(id));
        last.and_then(|id| session.values.get(&id).copied())
            .ok_or_else(|| QueryError::new(ErrorKind::ObjectNotReady, "lastval is not yet defined in this session"))
    }

    fn set(&self, id: ObjectId, value: SequenceValue) -> Result<(), QueryError> {
        let seen = self.seen(id)?;
        self.refuse_when_read_only(seen, "setval")?;
        let definition = &seen.definition;
        if value.last < definition.min || value.last > definition.max {
            let (name, min, max) = (&definition.name.name, definition.min, definition.max);
            let message =
                format!("setval: value {} is out of bounds for sequence \"{name}\" ({min}..{max})", value.last);
            return Err(QueryError::new(ErrorKind::NumericOutOfRange, message));
        }
        if self.knows_alone(seen) {
            self.keep_own(seen, value);
        } else {
            self.engine.sequences.set(&self.engine, id, value)?;
        }
        if value.called {
            self.session.lock().values.insert(id, value.last);
        }
        Ok(())
    }

    fn is_own(&self, id: ObjectId) -> bool {
        self.snapshot.sequences.get(&id).is_some_and(|seen| self.knows_alone(seen))
    }

    fn value(&self, id: ObjectId) -> Option<(SequenceValue, usize)> {
        let seen = self.snapshot.sequences.get(&id)?;
        if self.knows_alone(seen) { Some((self.own_value(seen), 0)) } else { Some(self.engine.sequences.value(seen)) }
    }
}
