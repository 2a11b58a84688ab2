//! Start-up, authentication and bad bytes, over a socket without a network.

use crate::test_client::{TestServer, bind, execute, frame, packet, parse, query, startup, startup_version, text};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a client hears that says only this.
async fn answers_to(server: &TestServer, packet: &[u8]) -> String {
    let mut client = server.connect();
    client.send(packet).await;
    client.answers().await
}

/// The server is alive when a new client gets an answer.
async fn assert_alive(server: &TestServer) {
    let mut client = server.session().await;
    assert_eq!(client.query("SELECT 1").await, "Columns(?column?) Row(1) Complete(SELECT 1) Ready(I)");
}

#[tokio::test]
async fn a_client_hears_settings_and_its_key_before_it_has_the_word() {
    let server = TestServer::start().await;
    let answers = answers_to(&server, &startup(&[("user", "ada"), ("database", "meridian")])).await;
    assert!(answers.starts_with("Authentication(0) Setting("), "{answers}");
    assert!(answers.contains("Setting(server_version="), "{answers}");
    assert!(answers.ends_with("K(8) Ready(I)"), "{answers}");
}

#[tokio::test]
async fn requests_for_encryption_are_declined_and_the_client_may_go_on() {
    let server = TestServer::start().await;
    let mut socket = server.socket();
    for code in [80_877_104_u32, 80_877_103] {
        socket.write_all(&packet(&code.to_be_bytes())).await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), b'N');
    }
    socket.write_all(&startup(&[("user", "ada")])).await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'R');
}

#[tokio::test]
async fn a_database_is_meridian_or_the_users_own_name() {
    let server = TestServer::start().await;
    for (database, refused) in [("meridian", false), ("ada", false), ("", false), ("other", true)] {
        let answers = answers_to(&server, &startup(&[("user", "ada"), ("database", database)])).await;
        assert_eq!(answers == "Error(FATAL 3D000) End", refused, "{database}: {answers}");
    }
    assert_eq!(answers_to(&server, &startup(&[("database", "meridian")])).await, "Error(FATAL 28000) End");
}

#[tokio::test]
async fn settings_of_the_packet_and_of_options_reach_the_session() {
    let server = TestServer::start().await;
    let mut client = server.connect();
    client.send(&startup(&[("user", "ada"), ("TimeZone", "Asia/Tokyo")])).await;
    assert!(client.answers().await.contains("Setting(TimeZone=Asia/Tokyo)"));
    let unknown = startup(&[("user", "ada"), ("options", "-c nonsense=1")]);
    assert_eq!(answers_to(&server, &unknown).await, "Error(FATAL 42704) End");
    let broken = startup(&[("user", "ada"), ("options", "nonsense")]);
    assert_eq!(answers_to(&server, &broken).await, "Error(FATAL 42601) End");
}

#[tokio::test]
async fn a_newer_protocol_is_negotiated_down_and_an_older_one_refused() {
    let server = TestServer::start().await;
    let newest = answers_to(&server, &startup_version(0x0003_0002, &[("user", "ada")])).await;
    assert!(newest.starts_with("Authentication(0)") && newest.ends_with("K(36) Ready(I)"), "{newest}");
    let newer = answers_to(&server, &startup_version(0x0003_270f, &[("user", "ada")])).await;
    assert!(newer.starts_with("v(8) Authentication(0)"), "{newer}");
    let option = answers_to(&server, &startup(&[("user", "ada"), ("_pq_.novelty", "1")])).await;
    assert!(option.starts_with("v(21) Authentication(0)"), "{option}");
    assert_eq!(answers_to(&server, &startup_version(0x0002_0000, &[("user", "ada")])).await, "Error(FATAL 0A000) End");
}

#[tokio::test]
async fn more_clients_than_seats_are_told_so_and_a_free_seat_is_taken() {
    let server = TestServer::with(None, 1).await;
    let mut first = server.session().await;
    assert_eq!(answers_to(&server, &startup(&[("user", "ada")])).await, "Error(FATAL 53300) End");
    first.send(&frame(b'X', b"")).await;
    assert_eq!(first.answers().await, "End");
    while server.house.registry.take_seat().is_none() {
        tokio::task::yield_now().await;
    }
    server.session().await;
}

#[tokio::test]
async fn a_stopping_server_sends_idle_clients_away_and_refuses_new_ones() {
    let server = TestServer::start().await;
    let mut idle = server.session().await;
    server.house.stop.cancel();
    assert_eq!(idle.answers().await, "Error(FATAL 57P01) End");
    assert_eq!(answers_to(&server, &startup(&[("user", "ada")])).await, "Error(FATAL 57P03) End");
}

#[tokio::test]
async fn a_password_is_proved_by_scram_and_a_wrong_one_is_28p01() {
    let server = TestServer::with(Some("secret"), 10).await;
    for (password, expected) in [("secret", None), ("wrong", Some("28P01"))] {
        let mut config = tokio_postgres::Config::new();
        config.user("ada").password(password);
        let outcome = config.connect_raw(server.socket(), tokio_postgres::NoTls).await;
        let code = outcome.as_ref().err().and_then(|error| error.code().map(|code| code.code().to_string()));
        assert_eq!(code.as_deref(), expected, "{password}: {:?}", outcome.err());
    }
}

#[tokio::test]
async fn a_malformed_proof_costs_its_own_connection_only() {
    let server = TestServer::with(Some("secret"), 10).await;
    let mechanism = text("SCRAM-SHA-256");
    let bodies: Vec<Vec<u8>> = vec![
        vec![],
        b"SCRAM-SHA-256".to_vec(),
        [mechanism.clone(), vec![0, 0]].concat(),
        [mechanism.clone(), vec![0x7f, 0xff, 0xff, 0xff]].concat(),
        [mechanism.clone(), vec![0x80, 0, 0, 0]].concat(),
        [mechanism.clone(), vec![0xff; 4]].concat(),
        [mechanism.clone(), vec![0, 0, 0, 1, b'x']].concat(),
        [text("SCRAM-SHA-256-PLUS"), vec![0, 0, 0, 1, b'x']].concat(),
        [mechanism, vec![0, 0, 0, 3, 0xff, 0xfe, 0xfd]].concat(),
    ];
    for body in bodies {
        let mut client = server.connect();
        client.send(&startup(&[("user", "ada")])).await;
        assert_eq!(client.answers_until("Authentication(10)").await, "Authentication(10)");
        client.send(&frame(b'p', &body)).await;
        assert_eq!(client.answers().await, "Error(FATAL 08P01) End", "{body:?}");
    }
    let mut client = server.connect();
    client.send(&startup(&[("user", "ada")])).await;
    client.answers_until("Authentication(10)").await;
    client.send(&query("SELECT 1")).await;
    assert_eq!(client.answers().await, "Error(FATAL 08P01) End");
}

#[tokio::test]
async fn a_length_that_nobody_may_send_is_refused_before_it_is_waited_for() {
    let server = TestServer::with(Some("secret"), 10).await;
    for length in [0_u32, 7, 10_001, 0x3fff_ffff, u32::MAX] {
        assert_eq!(answers_to(&server, &length.to_be_bytes()).await, "Error(FATAL 08P01) End", "{length}");
    }
    let mut client = server.connect();
    client.send(&startup(&[("user", "ada")])).await;
    client.answers_until("Authentication(10)").await;
    client.send(&[b'p', 0x3f, 0xff, 0xff, 0xff]).await;
    assert_eq!(client.answers().await, "Error(FATAL 08P01) End");
}

#[tokio::test]
async fn a_malformed_startup_packet_is_refused() {
    let server = TestServer::start().await;
    let version = 0x0003_0000_u32.to_be_bytes();
    for rest in [&b""[..], b"user", b"user\0", b"user\0ada", b"user\0ada\0", b"user\0ada\0\0x", b"us\xffer\0ada\0\0"] {
        let bytes = packet(&[&version, rest].concat());
        assert_eq!(answers_to(&server, &bytes).await, "Error(FATAL 08P01) End", "{rest:?}");
    }
    let short_cancel = packet(&80_877_102_u32.to_be_bytes());
    assert_eq!(answers_to(&server, &short_cancel).await, "Error(FATAL 08P01) End");
}

#[tokio::test]
async fn a_header_that_nobody_may_send_costs_its_own_connection_only() {
    let server = TestServer::start().await;
    let headers: [&[u8]; 6] = [
        &[b'Q', 0, 0, 0, 3],
        &[b'Q', 0x40, 0, 0, 0],
        &[b'S', 0, 0, 0xff, 0xff],
        &[b'!', 0, 0, 0, 4],
        &[b'p', 0, 0, 0, 5, 0],
        &[0],
    ];
    for bytes in headers {
        let mut client = server.session().await;
        client.send(bytes).await;
        assert_eq!(client.answers().await, "Error(FATAL 08P01) End", "{bytes:?}");
    }
    assert_alive(&server).await;
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_its_group_s_error() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    let many = [text(""), text("SELECT 1"), vec![0xff, 0xff]].concat();
    let frames: Vec<Vec<u8>> = vec![
        frame(b'P', b""),
        frame(b'P', b"\0SELECT 1\0"),
        frame(b'P', &many),
        frame(b'B', b"\0\0"),
        frame(b'B', b"\0\0\xff\xff"),
        frame(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff"),
        frame(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"),
        frame(b'B', b"\0\0\0\0\0\0\xff\xff"),
        frame(b'B', b"\0\0\0\0\0\0\0\0rest"),
        frame(b'D', b""),
        frame(b'D', b"Q\0"),
        frame(b'C', b"S"),
        frame(b'E', b"\0\0\0"),
        frame(b'E', b"\0\0\0\0\0\0"),
        frame(b'H', b"x"),
    ];
    for bytes in frames {
        let answers = client.group(&[bytes.clone(), execute("", 0), query("SELECT 1")]).await;
        assert_eq!(answers, "Error(ERROR 08P01) Ready(I)", "{bytes:?}");
    }
    for bytes in [frame(b'Q', b"SELECT 1"), frame(b'Q', b"SELECT 1\0more"), frame(b'S', b"x")] {
        client.send(&bytes).await;
        assert_eq!(client.answers().await, "Error(ERROR 08P01) Ready(I)", "{bytes:?}");
    }
    // Behind an error nothing is read up to Sync, and what ends a COPY means nothing outside of one.
    assert_eq!(client.group(&[parse("", "SELECT nosuch"), frame(b'B', b"")]).await, "Error(ERROR 42703) Ready(I)");
    assert_eq!(client.group(&[frame(b'f', b"no end"), frame(b'c', b"x")]).await, "Ready(I)");
    client.query("BEGIN").await;
    assert_eq!(client.group(&[frame(b'B', b"")]).await, "Error(ERROR 08P01) Ready(E)");
    assert_eq!(client.query("ROLLBACK").await, "Complete(ROLLBACK) Ready(I)");
}

#[tokio::test]
async fn random_bytes_never_take_the_server_down() {
    let server = TestServer::start().await;
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..400 {
        let mut bytes: Vec<u8> = (0..random.random_range(1..200)).map(|_| random.random()).collect();
        let mut client = if round % 2 == 0 { server.connect() } else { server.session().await };
        if round % 4 == 1 {
            // With a true header, so that the body is looked at.
            bytes = frame(b"QPBDECFpdcfHSX"[random.random_range(0..14)], &bytes);
        }
        client.send(&bytes).await;
        drop(client);
    }
    assert_alive(&server).await;
}

#[tokio::test]
async fn messages_with_random_damage_never_take_the_server_down() {
    let server = TestServer::start().await;
    let mut random = StdRng::seed_from_u64(8);
    for _ in 0..400 {
        let mut messages = [
            parse("", "SELECT $1::bigint AS value"),
            bind("", "", &["5"], &[0]),
            execute("", 0),
            frame(b'S', b""),
            query("SELECT 1"),
        ]
        .concat();
        for _ in 0..random.random_range(1..4) {
            let position = random.random_range(0..messages.len());
            messages[position] = random.random();
        }
        let mut client = server.session().await;
        client.send(&messages).await;
        drop(client);
    }
    assert_alive(&server).await;
}

#[tokio::test]
async fn text_that_is_not_utf8_is_an_error_and_the_connection_lives_on() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    client.send(&frame(b'Q', b"SELECT '\xff'\0")).await;
    assert_eq!(client.answers().await, "Error(ERROR 22021) Ready(I)");
    let answers = client.group(&[frame(b'P', b"\0SELECT '\xff'\0\0\0")]).await;
    assert_eq!(answers, "Error(ERROR 22021) Ready(I)");
    assert_eq!(client.query("SELECT 1").await, "Columns(?column?) Row(1) Complete(SELECT 1) Ready(I)");
}

#[tokio::test]
async fn a_cancel_request_with_the_right_key_stops_rows_that_stream() {
    let server = TestServer::start().await;
    let mut client = server.connect();
    client.send(&startup(&[("user", "ada")])).await;
    let mut key = Vec::new();
    while let Some((message_type, body)) = client.raw_answer().await {
        match message_type {
            b'K' => key = body,
            b'Z' => break,
            _ => {}
        }
    }
    client.send(&query("SELECT n FROM generate_series(1, 1000000000) AS g(n)")).await;
    assert_eq!(client.answers_until("Row(2)").await, "Columns(n) Row(1) Row(2)");
    let code = 80_877_102_u32.to_be_bytes();
    let mut wrong = key.clone();
    wrong[7] ^= 1;
    for key in [&wrong, &key] {
        let mut stranger = server.connect();
        stranger.send(&packet(&[&code, &key[..]].concat())).await;
        assert_eq!(stranger.answers().await, "End");
    }
    let answers = client.answers().await;
    assert!(answers.ends_with("Error(ERROR 57014) Ready(I)"));
    assert_eq!(client.query("SELECT 1").await, "Columns(?column?) Row(1) Complete(SELECT 1) Ready(I)");
}

#[tokio::test]
async fn a_client_that_goes_away_gives_its_seat_back_while_its_rows_stream() {
    let server = TestServer::with(None, 1).await;
    let mut client = server.session().await;
    client.send(&query("SELECT n FROM generate_series(1, 1000000000) AS g(n)")).await;
    client.answers_until("Row(1)").await;
    drop(client);
    while server.house.registry.take_seat().is_none() {
        tokio::task::yield_now().await;
    }
    assert_alive(&server).await;
}
