//! Clients that say nothing for longer than they may: their connections end, and what their transactions did is undone.

use crate::wire::Fixture;
use sql_tests::wire::Wire;
use std::time::Duration;
use tokio::time::timeout;

/// How long the end of a connection may take that has to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a text that succeeds.
async fn run(wire: &mut Wire, sql: &str) {
    wire.send_text(b'Q', sql).await.unwrap();
    loop {
        let frame = wire.receive().await.unwrap();
        match frame.kind {
            b'E' => panic!("{sql}: {}", frame.text()),
            b'Z' => return,
            _ => {}
        }
    }
}

/// Waits for the message that ends a connection, and for its end.
async fn ended(wire: &mut Wire) -> Vec<(u8, String)> {
    let frame = timeout(PATIENCE, wire.receive()).await.expect("the connection goes on").unwrap();
    assert_eq!(frame.kind, b'E');
    let after = timeout(PATIENCE, wire.receive()).await.expect("the connection stays open");
    assert!(after.is_err(), "something comes behind the end");
    let mut fields = frame.fields();
    fields.retain(|(field, _)| b"SCM".contains(field));
    fields
}

fn fatal(code: &str, message: &str) -> Vec<(u8, String)> {
    vec![(b'S', "FATAL".to_string()), (b'C', code.to_string()), (b'M', message.to_string())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_idle_in_a_transaction_is_sent_away() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    session.run("CREATE TABLE t (a integer)").await.unwrap();
    let expected = fatal("25P03", "terminating connection due to idle-in-transaction timeout");
    for begun in ["BEGIN; INSERT INTO t VALUES (1)", "BEGIN; SAVEPOINT s; INSERT INTO t VALUES (2); ROLLBACK TO s"] {
        let mut wire = fixture.ready_wire().await;
        run(&mut wire, "SET idle_in_transaction_session_timeout = 200").await;
        run(&mut wire, begun).await;
        assert_eq!(ended(&mut wire).await, expected, "{begun}");
    }
    assert_eq!(session.value("SELECT count(*) FROM t").await.unwrap(), Some("0".to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_idle_outside_of_transactions_is_sent_away() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    // Neither what runs for longer nor an open transaction is idleness.
    run(&mut wire, "SET idle_session_timeout = 200; BEGIN; SELECT pg_sleep(0.4)").await;
    run(&mut wire, "SELECT pg_sleep(0.4)").await;
    run(&mut wire, "COMMIT").await;
    assert_eq!(ended(&mut wire).await, fatal("57P05", "terminating connection due to idle-session timeout"));
}
