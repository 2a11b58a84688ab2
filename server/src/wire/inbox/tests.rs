//! How bytes become messages, however they arrive.

use super::*;
use crate::wire::frame::SYNC;
use pgwire::messages::PgWireFrontendMessage;
use tokio::io::AsyncWriteExt;

fn frame(message_type: u8, body: &[u8]) -> Vec<u8> {
    [&[message_type], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

/// An inbox that has all of `bytes` and then the end.
async fn inbox(bytes: &[u8]) -> Inbox {
    let (mut client, server) = tokio::io::duplex(bytes.len().max(1));
    client.write_all(bytes).await.unwrap();
    let mut inbox = Inbox::new(Box::new(server));
    inbox.authenticated();
    inbox
}

async fn copied(inbox: &mut Inbox) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(Incoming::CopyData(data)) = inbox.next().await {
        bytes.extend(data);
    }
    bytes
}

#[tokio::test]
async fn small_copy_messages_are_handed_on_together() {
    let mut inbox = inbox(&[frame(b'd', b"ab"), frame(b'd', b""), frame(b'd', b"cd"), frame(SYNC, b"")].concat()).await;
    assert!(matches!(inbox.next().await, Ok(Incoming::CopyData(data)) if data == "abcd"));
    assert!(matches!(inbox.next().await, Ok(Incoming::Message(PgWireFrontendMessage::Sync(_)))));
}

#[tokio::test]
async fn a_large_copy_message_is_handed_on_before_it_is_whole() {
    let content: Vec<u8> = (0..500_000_u32).map(|index| index as u8).collect();
    let mut whole = frame(b'd', &content);
    whole.truncate(400_005);
    let mut inbox = inbox(&whole).await;
    assert_eq!(copied(&mut inbox).await, content[..400_000]);
}

#[tokio::test]
async fn an_empty_copy_message_does_not_hide_what_follows() {
    let mut inbox = inbox(&[frame(b'd', b""), frame(SYNC, b"")].concat()).await;
    assert!(matches!(inbox.next().await, Ok(Incoming::Message(PgWireFrontendMessage::Sync(_)))));
}

#[tokio::test]
async fn reading_ahead_is_bounded() {
    let (mut client, server) = tokio::io::duplex(8 * EARLY_BYTES_MAX);
    client.write_all(&vec![0; 8 * EARLY_BYTES_MAX]).await.unwrap();
    let mut inbox = Inbox::new(Box::new(server));
    tokio::select! {
        biased;
        _ = inbox.watch() => panic!("the client is still there"),
        () = tokio::task::yield_now() => {}
    }
    assert!(inbox.buffer.len() >= EARLY_BYTES_MAX && inbox.buffer.len() < EARLY_BYTES_MAX + 2 * READ_BYTES);
}

#[tokio::test]
async fn a_message_is_at_hand_when_all_of_it_is() {
    let two = [frame(SYNC, b""), frame(b'Q', b"SELECT 1\0")].concat();
    for length in 0..two.len() {
        let mut inbox = inbox(&two[..length.max(5)]).await;
        assert!(!inbox.has_message());
        assert!(inbox.next().await.is_ok());
        let _ = inbox.watch().await;
        assert!(!inbox.has_message(), "{length}");
    }
    let mut inbox = inbox(&two).await;
    assert!(inbox.next().await.is_ok());
    assert!(inbox.has_message());
}
