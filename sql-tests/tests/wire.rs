//! The protocol at its edges: half-done copies, broken messages, cancellation, portals, large results.

use futures::StreamExt;
use sql_tests::meridian::{FREE_PORT, Meridian};
use sql_tests::session::Session;
use sql_tests::wire::Wire;
use std::pin::pin;
use std::process::Command;
use tempfile::TempDir;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, NoTls};

/// A server on a folder of its own.
pub(crate) struct Fixture {
    server: Meridian,
    _folder: TempDir,
}

impl Fixture {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// A server whose command line the caller changes first.
    pub(crate) fn start_with(change: impl FnOnce(&mut Command)) -> Self {
        let folder = TempDir::new().unwrap();
        let server = Meridian::start_with(&folder.path().join("data"), FREE_PORT, change).unwrap();
        Self { server, _folder: folder }
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.address().port()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.server.process_id()
    }

    /// Asks the server to end, and waits until it has.
    pub(crate) fn stop(self) {
        self.server.stop().unwrap();
    }

    pub(crate) async fn session(&self) -> Session {
        Session::connect(self.server.address()).await.unwrap()
    }

    /// A driver, for the extended protocol.
    pub(crate) async fn client(&self) -> Client {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.server.address().port()).user("meridian").dbname("meridian");
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// A connection that has not said anything.
    async fn wire(&self) -> Wire {
        Wire::open("127.0.0.1", self.server.address().port()).await.unwrap()
    }

    /// A connection behind its start-up.
    pub(crate) async fn ready_wire(&self) -> Wire {
        let mut wire = self.wire().await;
        wire.send_startup(&[("user", "meridian"), ("database", "meridian")]).await.unwrap();
        assert_eq!(kinds_until_ready(&mut wire).await.first(), Some(&'R'));
        wire
    }
}

/// The types of the frames up to ReadyForQuery, parameters left out.
async fn kinds_until_ready(wire: &mut Wire) -> Vec<char> {
    let mut kinds = Vec::new();
    loop {
        let kind = char::from(wire.receive().await.unwrap().kind);
        if kind != 'S' {
            kinds.push(kind);
        }
        if kind == 'Z' {
            return kinds;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_in_a_copy_leaves_nothing_behind() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    session.run("CREATE TABLE t (k integer)").await.unwrap();
    session.run("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t").await.unwrap();
    let mut wire = fixture.ready_wire().await;
    wire.send_text(b'Q', "COPY t FROM STDIN").await.unwrap();
    assert_eq!(wire.receive().await.unwrap().kind, b'G');
    wire.send(b'd', b"1\n2\n3\n4").await.unwrap();
    drop(wire);
    let mut wire = fixture.ready_wire().await;
    wire.send_text(b'Q', "COPY t FROM STDIN").await.unwrap();
    assert_eq!(wire.receive().await.unwrap().kind, b'G');
    wire.send(b'd', b"1\n2\n").await.unwrap();
    wire.send_text(b'f', "changed my mind").await.unwrap();
    assert_eq!(kinds_until_ready(&mut wire).await, ['E', 'Z']);
    assert_eq!(session.value("SELECT n FROM v").await.unwrap().as_deref(), Some("0"));
    assert_eq!(session.copy_in("COPY t FROM STDIN", b"5\n6\n").await.unwrap(), 2);
    assert_eq!(session.value("SELECT n FROM v").await.unwrap().as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_none_ends_only_its_own_connection() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    let before_startup: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n\r\n",
        &[0, 0, 0, 0],
        &[0xff; 64],
        &[0, 0, 0, 9, 0, 3, 0, 0, b'u'],
        &[0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0],
    ];
    for bytes in before_startup {
        let mut wire = fixture.wire().await;
        wire.send_bytes(bytes).await.unwrap();
        drop(wire);
        assert_eq!(session.value("SELECT 1").await.unwrap().as_deref(), Some("1"));
    }
    let after_startup: &[&[u8]] = &[
        b"Q\x00\x00\x00\x00",
        b"Q\xff\xff\xff\xff",
        b"Q\x00\x00\x00\x08abcd",
        b"Q\x00\x00\x00\x06\xff\x00",
        b"!\x00\x00\x00\x04",
        b"B\x00\x00\x00\x05\x00",
        b"B\x00\x00\x00\x0e\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00",
        b"P\x00\x00\x00\x06\x00\x00",
        b"D\x00\x00\x00\x06Z\x00",
        b"d\x00\x00\x00\x05x",
        b"c\x00\x00\x00\x04",
        b"p\x00\x00\x00\x05\x00",
    ];
    for bytes in after_startup {
        let mut wire = fixture.ready_wire().await;
        wire.send_bytes(bytes).await.unwrap();
        drop(wire);
        assert_eq!(session.value("SELECT 1").await.unwrap().as_deref(), Some("1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_that_is_not_configured_is_declined() {
    let fixture = Fixture::start();
    let mut wire = fixture.wire().await;
    wire.send_bytes(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).await.unwrap();
    // The answer is one byte, N, and the start-up follows on the same connection.
    wire.send_startup(&[("user", "meridian")]).await.unwrap();
    assert_eq!(wire.receive_byte().await.unwrap(), b'N');
    assert_eq!(kinds_until_ready(&mut wire).await.first(), Some(&'R'));
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_one_text_are_answered_one_by_one() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    wire.send_text(b'Q', "SELECT 1; SELECT 1 / 0; SELECT 2").await.unwrap();
    let kinds = kinds_until_ready(&mut wire).await;
    // The failing one may have been described before it ran.
    assert!(kinds == ['T', 'D', 'C', 'E', 'Z'] || kinds == ['T', 'D', 'C', 'T', 'E', 'Z'], "{kinds:?}");
    wire.send_text(b'Q', "").await.unwrap();
    assert_eq!(kinds_until_ready(&mut wire).await, ['I', 'Z']);
    wire.send_text(b'Q', ";;").await.unwrap();
    assert_eq!(kinds_until_ready(&mut wire).await, ['I', 'Z']);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_error_messages_are_skipped_until_sync() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    wire.send(b'P', b"\0SELECT nosuch\0\0\0").await.unwrap();
    wire.send(b'B', b"\0\0\0\0\0\0\0\0").await.unwrap();
    wire.send(b'E', b"\0\0\0\0\0").await.unwrap();
    wire.send(b'S', b"").await.unwrap();
    assert_eq!(kinds_until_ready(&mut wire).await, ['E', 'Z']);
    wire.send(b'P', b"\0SELECT 1\0\0\0").await.unwrap();
    wire.send(b'B', b"\0\0\0\0\0\0\0\0").await.unwrap();
    wire.send(b'D', b"P\0").await.unwrap();
    wire.send(b'E', b"\0\0\0\0\0").await.unwrap();
    wire.send(b'S', b"").await.unwrap();
    assert_eq!(kinds_until_ready(&mut wire).await, ['1', '2', 'T', 'D', 'C', 'Z']);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_limit_reaches_the_reading_of_the_history() {
    let fixture = Fixture::start();
    let client = fixture.client().await;
    client.batch_execute("CREATE TABLE notes (id bigint, note text)").await.unwrap();
    let moment = client.query_one("SELECT clock_timestamp()::text", &[]).await.unwrap();
    for first in (0..20_000).step_by(1_000) {
        let rows = format!("generate_series({first}, {first} + 999) AS numbers (n)");
        let insert = format!("INSERT INTO notes SELECT n, repeat(md5(n::text), 20) FROM {rows}");
        client.batch_execute(&insert).await.unwrap();
    }
    let middle = client.query_one("SELECT clock_timestamp()::text", &[]).await.unwrap();
    client.batch_execute("INSERT INTO notes VALUES (-1, 'last')").await.unwrap();
    let past = |moment: &tokio_postgres::Row| {
        format!("SELECT count(*) FROM notes FOR SYSTEM_TIME AS OF '{}'", moment.get::<_, String>(0))
    };
    // Parse alone reads the commits, and is over before anything runs.
    client.batch_execute("SET statement_timeout = 1").await.unwrap();
    let failure = client.prepare(&past(&middle)).await.unwrap_err();
    assert_eq!(failure.code().map(|code| code.code()), Some("57014"), "{failure}");
    client.batch_execute("SET statement_timeout = 0").await.unwrap();
    assert_eq!(client.query_one(&past(&middle), &[]).await.unwrap().get::<_, i64>(0), 20_000);
    assert_eq!(client.query_one(&past(&moment), &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_a_query_while_its_rows_stream() {
    let fixture = Fixture::start();
    let client = fixture.client().await;
    let cancel = client.cancel_token();
    let endless = "SELECT a.n FROM generate_series(1, 100000) AS a (n), generate_series(1, 100000) AS b (n)";
    let mut rows = pin!(client.query_raw(endless, Vec::<i32>::new()).await.unwrap());
    for _ in 0..10 {
        rows.next().await.unwrap().unwrap();
    }
    cancel.cancel_query(NoTls).await.unwrap();
    let failure = loop {
        match rows.next().await {
            Some(Ok(_)) => {}
            Some(Err(failure)) => break failure,
            None => panic!("the query ended as if it had not been cancelled"),
        }
    };
    assert_eq!(failure.code().map(|code| code.code()), Some("57014"), "{failure}");
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_gives_its_rows_in_portions() {
    let fixture = Fixture::start();
    let mut client = fixture.client().await;
    client.batch_execute("CREATE TABLE t (k integer)").await.unwrap();
    client.batch_execute("INSERT INTO t SELECT n FROM generate_series(1, 25) AS s (n)").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT k FROM t WHERE k > $1 ORDER BY k", &[&5]).await.unwrap();
    let mut portions = Vec::new();
    let mut all = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 8).await.unwrap();
        if rows.is_empty() {
            break;
        }
        portions.push(rows.len());
        all.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
    }
    assert_eq!(portions, [8, 8, 4]);
    assert_eq!(all, (6..=25).collect::<Vec<i32>>());
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_knows_its_types() {
    let fixture = Fixture::start();
    let client = fixture.client().await;
    let columns = "flag boolean, small smallint, whole integer, large bigint, single real, twice double precision, \
                   exact numeric(12,2), words text, short varchar(5), day date, moment timestamp, instant timestamptz, key uuid, \
                   raw bytea";
    client.batch_execute(&format!("CREATE TABLE kinds ({columns})")).await.unwrap();
    let statement =
        client.prepare("SELECT * FROM kinds WHERE whole = $1 AND words LIKE $2 AND exact > $3").await.unwrap();
    let types: Vec<&Type> = statement.columns().iter().map(|column| column.type_()).collect();
    let expected = [
        Type::BOOL,
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::FLOAT4,
        Type::FLOAT8,
        Type::NUMERIC,
        Type::TEXT,
        Type::VARCHAR,
        Type::DATE,
        Type::TIMESTAMP,
        Type::TIMESTAMPTZ,
        Type::UUID,
        Type::BYTEA,
    ];
    assert_eq!(types, expected.iter().collect::<Vec<_>>());
    assert_eq!(statement.params(), [Type::INT4, Type::TEXT, Type::NUMERIC]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_come_back_as_they_went() {
    let fixture = Fixture::start();
    let client = fixture.client().await;
    let sql = "SELECT $1::boolean, $2::smallint, $3::integer, $4::bigint, $5::real, $6::double precision, $7::text, $8::bytea";
    let raw: &[u8] = &[0, 1, 254, 255];
    let row =
        client.query_one(sql, &[&true, &-3_i16, &7_i32, &i64::MIN, &1.5_f32, &f64::MAX, &"Grüße", &raw]).await.unwrap();
    assert!(row.get::<_, bool>(0));
    assert_eq!((row.get::<_, i16>(1), row.get::<_, i32>(2), row.get::<_, i64>(3)), (-3, 7, i64::MIN));
    assert_eq!((row.get::<_, f32>(4), row.get::<_, f64>(5)), (1.5, f64::MAX));
    assert_eq!((row.get::<_, &str>(6), row.get::<_, &[u8]>(7)), ("Grüße", raw));
    let nulls = client.query_one("SELECT $1::integer, $2::text", &[&None::<i32>, &None::<&str>]).await.unwrap();
    assert_eq!((nulls.get::<_, Option<i32>>(0), nulls.get::<_, Option<&str>>(1)), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_does_not_grow_the_server() {
    const ROWS: usize = 1_000_000;
    const GROWTH_KIB_MAX: u64 = 256 << 10;
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    wire.send_text(b'Q', "SELECT 1").await.unwrap();
    kinds_until_ready(&mut wire).await;
    let before = peak_memory_kib(fixture.server.process_id());
    // Half a GiB of rows.
    let sql = format!("SELECT n, repeat('x', 500) FROM generate_series(1, {ROWS}) AS s (n)");
    wire.send_text(b'Q', &sql).await.unwrap();
    let mut rows = 0;
    loop {
        match wire.receive().await.unwrap().kind {
            b'D' => rows += 1,
            b'Z' => break,
            _ => {}
        }
    }
    assert_eq!(rows, ROWS);
    let growth = peak_memory_kib(fixture.server.process_id()).saturating_sub(before);
    assert!(growth < GROWTH_KIB_MAX, "the server grew by {growth} KiB");
}

/// The most memory that a process ever had resident.
pub(crate) fn peak_memory_kib(process_id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
