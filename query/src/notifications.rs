//! LISTEN and NOTIFY: what sessions are told between their statements, and what views tell when they change.
//!
//! ```text
//!     NOTIFY ──▶ the transaction's announcements ──COMMIT──▶ Channels ──▶ mailbox of each session that listens ──▶ server
//!     commits below views ─▶ watch_views ─▶ "view:daily" ────────┘
//! ```
//!
//! As in PostgreSQL, a transaction's notifications are delivered when it commits, to its own session too, each text once a channel;
//! LISTEN and UNLISTEN count from the commit on, and for all that the same transaction notifies. A view's channel is told after commits that touched a table below the view or replaced a
//! view there; which view a name without a schema means is settled by LISTEN. Several commits that come together are told as one, with the last one's number. Nothing outlives a restart.

use crate::engine::Engine;
use crate::error::{ErrorKind, QueryError};
use crate::view_inputs::newest_change;
use catalog::definition::ViewDefinition;
use catalog::ids::CommitSeq;
use catalog::snapshot::Snapshot;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How many notifications wait for a session that does not take them.
const WAITING_MAX: usize = 10_000;
/// PostgreSQL's limits in bytes, both exclusive.
const CHANNEL_BYTES: usize = 64;
const PAYLOAD_BYTES: usize = 8_000;
/// The most memory that a transaction's notifications take until it ends.
const MESSAGES_BYTES_MAX: usize = 256 << 20;
/// What the channels of views begin with.
const VIEW_CHANNEL: &str = "view:";
/// Commits that come so soon after others are told with those that come by its end: whoever commits thousands a second should not
/// wake a thread with each.
const WATCH_PAUSE: Duration = Duration::from_millis(10);

/// The name of the view that a channel is of, which may stand behind that of a schema.
pub(crate) fn view_of(channel: &str) -> Option<&str> {
    channel.strip_prefix(VIEW_CHANNEL)
}

/// What a session is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The process that sent it; 0 for what the server tells by itself.
    pub process_id: i32,
    pub channel: String,
    pub payload: String,
}

/// One change of what a session listens to.
#[derive(Debug)]
enum Listening {
    Begin { channel: String, view_schema: Option<String> },
    End(String),
    EndAll,
}

/// A text for those who listen to a channel.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Message {
    channel: String,
    payload: String,
}

impl Message {
    /// Memory in bytes, with what both lists keep of it.
    fn memory(&self) -> usize {
        size_of::<Self>() + 4 * size_of::<usize>() + self.channel.len() + self.payload.len()
    }
}

/// What a transaction has announced so far.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    listening: Vec<Listening>,
    /// In order, each once.
    messages: Vec<Arc<Message>>,
    known: HashSet<Arc<Message>>,
    bytes: usize,
}

/// How much had been announced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnnouncementMark {
    listening: usize,
    messages: usize,
}

impl Announcements {
    /// `view_schema` is where a view stands whose channel does not say it; see [`view_of`].
    pub(crate) fn listen(&mut self, channel: &str, view_schema: Option<String>) {
        self.listening.push(Listening::Begin { channel: channel.to_string(), view_schema });
    }

    /// Of one channel, or of all.
    pub(crate) fn unlisten(&mut self, channel: Option<&str>) {
        self.listening.push(channel.map_or(Listening::EndAll, |channel| Listening::End(channel.to_string())));
    }

    /// # Errors
    /// 22023 for a channel or payload that PostgreSQL does not take, 54000 beyond [`MESSAGES_BYTES_MAX`].
    pub(crate) fn notify(&mut self, channel: &str, payload: &str) -> Result<(), QueryError> {
        let refused = |message: &str| Err(QueryError::new(ErrorKind::InvalidParameterValue, message));
        if channel.is_empty() {
            return refused("channel name cannot be empty");
        }
        if channel.len() >= CHANNEL_BYTES {
            return refused("channel name too long");
        }
        if payload.len() >= PAYLOAD_BYTES {
            return refused("payload string too long");
        }
        let message = Message { channel: channel.to_string(), payload: payload.to_string() };
        if self.known.contains(&message) {
            return Ok(());
        }
        let bytes = self.bytes + message.memory();
        if bytes > MESSAGES_BYTES_MAX {
            let message = "too many notifications in the NOTIFY queue";
            return Err(QueryError::new(ErrorKind::ProgramLimitExceeded, message)
                .detail(format!("A transaction can announce {} MB.", MESSAGES_BYTES_MAX >> 20)));
        }
        self.bytes = bytes;
        let message = Arc::new(message);
        self.known.insert(Arc::clone(&message));
        self.messages.push(message);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.listening.is_empty() && self.messages.is_empty()
    }

    pub(crate) fn mark(&self) -> AnnouncementMark {
        AnnouncementMark { listening: self.listening.len(), messages: self.messages.len() }
    }

    /// Forgets what was announced since.
    pub(crate) fn return_to(&mut self, mark: AnnouncementMark) {
        self.listening.truncate(mark.listening);
        for message in self.messages.drain(mark.messages.min(self.messages.len())..) {
            self.bytes -= message.memory();
            self.known.remove(&message);
        }
    }
}

/// What waits for one session.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    waiting: Mutex<VecDeque<Notification>>,
    arrived: Notify,
}

impl Mailbox {
    /// A full mailbox loses its oldest: who does not read for so long has to look for itself anyway.
    fn put(&self, notification: Notification) {
        let mut waiting = self.waiting.lock();
        if waiting.len() == WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(notification);
        self.arrived.notify_one();
    }

    /// Ends when something waits. Safe to drop.
    pub(crate) async fn arrived(&self) {
        loop {
            if !self.waiting.lock().is_empty() {
                return;
            }
            self.arrived.notified().await;
        }
    }

    pub(crate) fn take(&self) -> Vec<Notification> {
        self.waiting.lock().drain(..).collect()
    }
}

/// One session that listens.
#[derive(Debug)]
struct Listener {
    mailbox: Arc<Mailbox>,
    /// With the schema of the view that a channel without one means.
    channels: BTreeMap<String, Option<String>>,
}

/// Who listens to what.
#[derive(Debug, Default)]
pub(crate) struct Channels(Mutex<HashMap<i32, Listener>>);

impl Channels {
    /// Carries out what a session's transaction announced, which is committed now. As in PostgreSQL, those who listen when all of it is
    /// done are told.
    pub(crate) fn publish(&self, process_id: i32, mailbox: &Arc<Mailbox>, announced: Announcements) {
        if announced.is_empty() {
            return;
        }
        let mut listeners = self.0.lock();
        for change in announced.listening {
            match change {
                Listening::Begin { channel, view_schema } => {
                    let listener = listeners
                        .entry(process_id)
                        .or_insert_with(|| Listener { mailbox: Arc::clone(mailbox), channels: BTreeMap::new() });
                    listener.channels.insert(channel, view_schema);
                }
                Listening::End(channel) => {
                    if let Some(listener) = listeners.get_mut(&process_id) {
                        listener.channels.remove(&channel);
                    }
                }
                Listening::EndAll => drop(listeners.remove(&process_id)),
            }
        }
        if listeners.is_empty() {
            return;
        }
        for message in announced.messages {
            let Message { channel, payload } = message.as_ref();
            tell(&listeners, &Notification { process_id, channel: channel.clone(), payload: payload.clone() });
        }
    }

    /// The channels that a session listens to.
    pub(crate) fn of(&self, process_id: i32) -> Vec<String> {
        let listeners = self.0.lock();
        listeners.get(&process_id).map(|listener| listener.channels.keys().cloned().collect()).unwrap_or_default()
    }

    /// Forgets a session.
    pub(crate) fn remove(&self, process_id: i32) {
        self.0.lock().remove(&process_id);
    }

    /// Whether anybody wants to know of views.
    fn follow_views(&self) -> bool {
        let listeners = self.0.lock();
        listeners.values().any(|listener| listener.channels.keys().any(|channel| channel.starts_with(VIEW_CHANNEL)))
    }

    fn tell_of_view(&self, view: &ViewDefinition, changed_at: CommitSeq) {
        let (bare, full) = (format!("{VIEW_CHANNEL}{}", view.name.name), format!("{VIEW_CHANNEL}{}", view.name));
        let told = |channel: &str| Notification {
            process_id: 0,
            channel: channel.to_string(),
            payload: changed_at.to_string(),
        };
        for listener in self.0.lock().values() {
            if listener.channels.get(&bare).is_some_and(|schema| schema.as_ref() == Some(&view.name.schema)) {
                listener.mailbox.put(told(&bare));
            }
            if listener.channels.contains_key(&full) {
                listener.mailbox.put(told(&full));
            }
        }
    }
}

fn tell(listeners: &HashMap<i32, Listener>, notification: &Notification) {
    for listener in listeners.values().filter(|listener| listener.channels.contains_key(&notification.channel)) {
        listener.mailbox.put(notification.clone());
    }
}

/// Tells the channels of views what commits did to what is below them, until the engine is gone.
pub(crate) async fn watch_views(engine: Weak<Engine>, start: Arc<Snapshot>, mut commits: watch::Receiver<CommitSeq>) {
    let mut told = start.seq;
    drop(start);
    while commits.changed().await.is_ok() {
        let Some(engine) = engine.upgrade() else { return };
        let snapshot = engine.catalog.snapshot();
        let since = std::mem::replace(&mut told, snapshot.seq);
        if engine.channels.follow_views() {
            tell_of_views(&engine, &snapshot, since);
        }
        drop((engine, snapshot));
        tokio::time::sleep(WATCH_PAUSE).await;
    }
}

fn tell_of_views(engine: &Engine, snapshot: &Snapshot, since: CommitSeq) {
    for (id, view) in snapshot.views.iter() {
        let changed_at = newest_change(snapshot, *id);
        if changed_at > since {
            engine.channels.tell_of_view(&view.definition, changed_at);
        }
    }
}

#[cfg(test)]
mod tests;
