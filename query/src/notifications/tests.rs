//! Mailboxes and channels without a server.

use super::{
    Announcements, CHANNEL_BYTES, Channels, MESSAGES_BYTES_MAX, Mailbox, Notification, PAYLOAD_BYTES, WAITING_MAX,
};
use std::sync::Arc;

fn announced(fill: impl FnOnce(&mut Announcements)) -> Announcements {
    let mut announcements = Announcements::default();
    fill(&mut announcements);
    announcements
}

#[test]
fn a_text_is_told_once_a_transaction_and_only_to_who_listens() {
    let (channels, first, second) = (Channels::default(), Arc::<Mailbox>::default(), Arc::<Mailbox>::default());
    channels.publish(1, &first, announced(|announcements| announcements.listen("a", None)));
    channels.publish(2, &second, announced(|announcements| announcements.listen("b", None)));
    let sent = announced(|announcements| {
        for payload in ["x", "x", "y"] {
            announcements.notify("a", payload).unwrap();
        }
    });
    channels.publish(2, &second, sent);
    let told = |payload: &str| Notification { process_id: 2, channel: "a".into(), payload: payload.into() };
    assert_eq!(first.take(), [told("x"), told("y")]);
    assert!(second.take().is_empty());
    channels.publish(1, &first, announced(|announcements| announcements.unlisten(None)));
    assert!(channels.of(1).is_empty());
}

#[test]
fn names_and_texts_have_limits() {
    let mut announcements = Announcements::default();
    assert!(announcements.notify("", "").is_err());
    assert!(announcements.notify(&"c".repeat(CHANNEL_BYTES), "").is_err());
    assert!(announcements.notify("c", &"p".repeat(PAYLOAD_BYTES)).is_err());
    assert!(announcements.notify(&"c".repeat(CHANNEL_BYTES - 1), &"p".repeat(PAYLOAD_BYTES - 1)).is_ok());
}

#[test]
fn who_listens_when_a_transaction_is_done_is_told_all_of_it() {
    let (channels, mailbox) = (Channels::default(), Arc::<Mailbox>::default());
    let late = announced(|announcements| {
        announcements.notify("a", "before").unwrap();
        announcements.listen("a", None);
    });
    channels.publish(1, &mailbox, late);
    assert_eq!(mailbox.take(), [Notification { process_id: 1, channel: "a".into(), payload: "before".into() }]);
    let leaving = announced(|announcements| {
        announcements.notify("a", "after").unwrap();
        announcements.unlisten(Some("a"));
    });
    channels.publish(1, &mailbox, leaving);
    assert!(mailbox.take().is_empty());
}

#[test]
fn what_is_forgotten_may_be_announced_again() {
    let mut announcements = Announcements::default();
    announcements.notify("a", "kept").unwrap();
    let (mark, bytes) = (announcements.mark(), announcements.bytes);
    announcements.notify("a", "forgotten").unwrap();
    announcements.listen("a", None);
    announcements.return_to(mark);
    assert_eq!((announcements.bytes, announcements.messages.len()), (bytes, 1));
    assert!(announcements.listening.is_empty());
    announcements.notify("a", "kept").unwrap();
    announcements.notify("a", "forgotten").unwrap();
    assert_eq!(announcements.messages.len(), 2);
}

#[test]
fn a_transaction_announces_no_more_than_memory_allows() {
    let mut announcements = Announcements { bytes: MESSAGES_BYTES_MAX, ..Announcements::default() };
    let error = announcements.notify("a", "one too many").unwrap_err();
    assert_eq!(error.kind, crate::error::ErrorKind::ProgramLimitExceeded);
    assert!(announcements.is_empty());
}

#[test]
fn a_full_mailbox_loses_its_oldest() {
    let mailbox = Mailbox::default();
    for number in 0..=WAITING_MAX {
        mailbox.put(Notification { process_id: 0, channel: "c".into(), payload: number.to_string() });
    }
    let waiting = mailbox.take();
    assert_eq!((waiting.len(), waiting[0].payload.as_str()), (WAITING_MAX, "1"));
}
