//! Both protocols, over a socket without a network: what is answered, in which order, and what stays in the table.

use crate::test_client::{TestServer, bind, bind_with, describe, execute, frame, parse, query, text};

const ROW_1: &str = "Columns(?column?) Row(1) Complete(SELECT 1)";

fn series(rows: u64) -> String {
    format!("SELECT n FROM generate_series(1, {rows}) AS g(n)")
}

#[tokio::test]
async fn an_empty_query_is_answered_as_such() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    for sql in ["", "  ", ";", " ; ;"] {
        assert_eq!(client.query(sql).await, "Empty Ready(I)", "{sql:?}");
    }
}

#[tokio::test]
async fn each_statement_of_a_text_is_answered_and_an_error_skips_the_rest() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    assert_eq!(client.query("SELECT 1; SELECT 1;").await, format!("{ROW_1} {ROW_1} Ready(I)"));
    let answers = client.query("SELECT 1; SELECT nosuch; SELECT 1").await;
    assert_eq!(answers, format!("{ROW_1} Error(ERROR 42703) Ready(I)"));
    assert_eq!(client.query("SELECT 1; SELEC 1").await, "Error(ERROR 42601) Ready(I)");
}

#[tokio::test]
async fn a_text_is_one_transaction() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    let answers = client.query("INSERT INTO t VALUES (1, 'x'); SELECT nosuch").await;
    assert_eq!(answers, "Complete(INSERT 0 1) Error(ERROR 42703) Ready(I)");
    assert_eq!(client.query("SELECT a, b FROM t").await, "Columns(a,b) Complete(SELECT 0) Ready(I)");
    client.query("INSERT INTO t VALUES (1, 'x'); SELECT 1").await;
    let answers = server.session().await.query("SELECT a, b FROM t").await;
    assert!(answers.ends_with("Complete(SELECT 1) Ready(I)"), "{answers}");
}

#[tokio::test]
async fn the_client_hears_whether_it_is_in_a_transaction_and_whether_that_failed() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    assert_eq!(client.query("BEGIN").await, "Complete(BEGIN) Ready(T)");
    assert_eq!(client.query("SELECT nosuch").await, "Error(ERROR 42703) Ready(E)");
    assert_eq!(client.query("SELECT 1").await, "Error(ERROR 25P02) Ready(E)");
    assert_eq!(client.query("ROLLBACK").await, "Complete(ROLLBACK) Ready(I)");
}

#[tokio::test]
async fn a_changed_setting_is_reported() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    let answers = client.query("SET TimeZone = 'Europe/Paris'").await;
    assert_eq!(answers, "Complete(SET) Setting(TimeZone=Europe/Paris) Ready(I)");
}

#[tokio::test]
async fn a_group_answers_each_of_its_messages_in_order() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    let sql = "SELECT $1::bigint AS value";
    let answers = client
        .group(&[
            parse("s", sql),
            describe(b'S', "s"),
            bind("p", "s", &["7"], &[]),
            describe(b'P', "p"),
            execute("p", 0),
            frame(b'C', b"Pp\0"),
        ])
        .await;
    assert_eq!(
        answers,
        "Parsed Parameters(1) Columns(value) Bound Columns(value) Row(7) Complete(SELECT 1) Closed Ready(I)"
    );
    let answers = client.group(&[bind_with("", "s", &[1], &[Some(&8_i64.to_be_bytes())], &[1]), execute("", 0)]).await;
    assert_eq!(answers, "Bound Row(0000000000000008) Complete(SELECT 1) Ready(I)");
    let answers = client.group(&[parse("", ""), describe(b'S', ""), bind("", "", &[], &[]), execute("", 0)]).await;
    assert_eq!(answers, "Parsed Parameters(0) NoData Bound Empty Ready(I)");
}

#[tokio::test]
async fn an_empty_statement_is_executed_as_often_as_one_likes() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    let answers =
        client.group(&[parse("", "-- nothing"), bind("", "", &[], &[]), execute("", 1), execute("", 0)]).await;
    assert_eq!(answers, "Parsed Bound Empty Empty Ready(I)");
}

#[tokio::test]
async fn an_error_skips_the_rest_of_its_group_and_not_more() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    let answers = client.group(&[parse("", "SELECT nosuch"), bind("", "", &[], &[]), query("SELECT 1")]).await;
    assert_eq!(answers, "Error(ERROR 42703) Ready(I)");
    let answers = client.group(&[parse("", "SELECT 1"), bind("", "", &[], &[]), execute("", 0)]).await;
    assert_eq!(answers, "Parsed Bound Row(1) Complete(SELECT 1) Ready(I)");
}

#[tokio::test]
async fn an_error_is_heard_without_sync_by_a_client_that_flushes() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    client.send(&[parse("", "SELECT nosuch"), frame(b'H', b"")].concat()).await;
    assert_eq!(client.answers_until("Error").await, "Error(ERROR 42703)");
    client.send(&frame(b'S', b"")).await;
    assert_eq!(client.answers().await, "Ready(I)");
}

#[tokio::test]
async fn what_a_bind_promises_is_checked_against_its_statement() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    client.group(&[parse("s", "SELECT $1::bigint AS value")]).await;
    let one: &[Option<&[u8]>] = &[Some(b"1")];
    for (bind, code) in [
        (bind("", "s", &[], &[]), "08P01"),
        (bind("", "s", &["1", "2"], &[]), "08P01"),
        (bind("", "s", &["1"], &[0, 0]), "08P01"),
        (bind_with("", "s", &[0, 0], one, &[]), "08P01"),
        (bind_with("", "s", &[2], one, &[]), "22023"),
        (bind("", "s", &["1"], &[-1]), "22023"),
        (bind("", "missing", &[], &[]), "26000"),
    ] {
        assert_eq!(client.group(&[bind]).await, format!("Error(ERROR {code}) Ready(I)"));
    }
}

#[tokio::test]
async fn a_query_reads_what_there_is_when_it_is_bound() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    let mut other = server.session().await;
    client.group(&[parse("count", "SELECT count(*) FROM t"), parse("add", "INSERT INTO t VALUES (1, 'x')")]).await;
    for (portal, before) in [("", 0), ("p", 2)] {
        let answers = client
            .group(&[bind(portal, "count", &[], &[]), bind("i", "add", &[], &[]), execute("i", 0), execute(portal, 0)])
            .await;
        assert_eq!(answers, format!("Bound Bound Complete(INSERT 0 1) Row({before}) Complete(SELECT 1) Ready(I)"));
        client.send(&[bind(portal, "count", &[], &[]), frame(b'H', b"")].concat()).await;
        assert_eq!(client.answers_until("Bound").await, "Bound");
        other.query("INSERT INTO t VALUES (2, 'y')").await;
        let answers = client.group(&[execute(portal, 0)]).await;
        assert_eq!(answers, format!("Row({}) Complete(SELECT 1) Ready(I)", before + 1));
    }
    // What changes rows reads them when it is executed.
    let change = "INSERT INTO t SELECT count(*), 'n' FROM t RETURNING a";
    client.send(&[parse("", change), bind("", "", &[], &[]), frame(b'H', b"")].concat()).await;
    client.answers_until("Bound").await;
    other.query("INSERT INTO t VALUES (2, 'y')").await;
    assert_eq!(client.group(&[execute("", 0)]).await, "Row(5) Complete(INSERT 0 1) Ready(I)");
}

#[tokio::test]
async fn every_value_is_read_when_it_is_bound() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    let declared = |text_of: &str| {
        let one_date = [vec![0, 1], 1082_u32.to_be_bytes().to_vec()].concat();
        frame(b'P', &[text(""), text(text_of), one_date].concat())
    };
    for statement in [
        parse("", "SELECT $1::date"),
        parse("", "INSERT INTO t SELECT 1, $1::date::text"),
        parse("", "UPDATE t SET b = $1::date"),
        parse("", "DELETE FROM t WHERE b < ($1::date)::text"),
        // Nobody uses these.
        declared("SELECT 1"),
        declared("INSERT INTO t VALUES (1, 'x')"),
        declared("SHOW timezone"),
    ] {
        let messages = |value| [statement.clone(), bind("", "", &[value], &[]), describe(b'P', "")];
        assert_eq!(client.group(&messages("2024-13-01")).await, "Parsed Error(ERROR 22008) Ready(I)");
        let answers = client.group(&messages("2024-12-01")).await;
        assert!(answers.starts_with("Parsed Bound "), "{answers}");
    }
    client.group(&[parse("insert", "INSERT INTO t VALUES ($1, $2)")]).await;
    for value in ["1", "2", "x"] {
        let answers = client.group(&[bind("", "insert", &[value, "b"], &[]), execute("", 0)]).await;
        assert_eq!(answers.contains("Error(ERROR 22P02)"), value == "x", "{answers}");
    }
}

#[tokio::test]
async fn formats_of_a_result_without_columns_say_nothing() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    client.group(&[parse("i", "INSERT INTO t VALUES (1, 'x')"), parse("empty", "")]).await;
    for formats in [&[2][..], &[0, -1, 1]] {
        let answers = client.group(&[bind("", "i", &[], formats), execute("", 0)]).await;
        assert_eq!(answers, "Bound Complete(INSERT 0 1) Ready(I)");
        let answers = client.group(&[bind("", "empty", &[], formats), execute("", 0)]).await;
        assert_eq!(answers, "Bound Empty Ready(I)");
    }
}

#[tokio::test]
async fn in_a_block_that_failed_only_what_leaves_it_is_bound() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    let statements = [
        parse("select", "SELECT 1"),
        parse("insert", "INSERT INTO t VALUES (1, 'x')"),
        parse("empty", ""),
        parse("back", "ROLLBACK TO s"),
        parse("end", "COMMIT"),
    ];
    client.group(&statements).await;
    client.query("BEGIN; SAVEPOINT s").await;
    assert_eq!(client.query("SELECT nosuch").await, "Error(ERROR 42703) Ready(E)");
    for name in ["select", "insert", "empty"] {
        let answers = client.group(&[bind("", name, &[], &[]), execute("", 0)]).await;
        assert_eq!(answers, "Error(ERROR 25P02) Ready(E)", "{name}");
    }
    assert_eq!(client.group(&[bind("", "missing", &[], &[])]).await, "Error(ERROR 26000) Ready(E)");
    // Who hears of columns reads the catalog.
    assert_eq!(client.group(&[describe(b'S', "select")]).await, "Error(ERROR 25P02) Ready(E)");
    assert_eq!(client.group(&[describe(b'S', "insert")]).await, "Parameters(0) NoData Ready(E)");
    let answers = client.group(&[bind("", "back", &[], &[]), execute("", 0)]).await;
    assert_eq!(answers, "Bound Complete(ROLLBACK) Ready(T)");
    assert_eq!(client.query("SELECT nosuch").await, "Error(ERROR 42703) Ready(E)");
    let answers = client.group(&[bind("", "end", &[], &[]), execute("", 0)]).await;
    assert_eq!(answers, "Bound Complete(ROLLBACK) Ready(I)");
}

#[tokio::test]
async fn names_are_taken_until_they_are_closed() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    assert_eq!(client.group(&[parse("s", "SELECT 1")]).await, "Parsed Ready(I)");
    assert_eq!(client.group(&[parse("s", "SELECT 1")]).await, "Error(ERROR 42P05) Ready(I)");
    let twice = client.group(&[bind("p", "s", &[], &[]), bind("p", "s", &[], &[])]).await;
    assert_eq!(twice, "Bound Error(ERROR 42P03) Ready(I)");
    assert_eq!(client.group(&[frame(b'C', b"Ss\0"), frame(b'C', b"Ss\0")]).await, "Closed Closed Ready(I)");
    assert_eq!(client.group(&[describe(b'S', "s")]).await, "Error(ERROR 26000) Ready(I)");
    assert_eq!(client.group(&[execute("p", 0)]).await, "Error(ERROR 34000) Ready(I)");
    assert_eq!(client.group(&[parse("", "SELECT 1; SELECT 1")]).await, "Error(ERROR 42601) Ready(I)");
}

#[tokio::test]
async fn the_unnamed_portal_opens_beside_as_many_as_may_have_names() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    client.group(&[parse("i", "INSERT INTO t VALUES (1, 'x')")]).await;
    client.query("BEGIN").await;
    let named: Vec<_> = (0..1_000).map(|index| bind(&format!("p{index}"), "i", &[], &[])).collect();
    assert!(client.group(&named).await.ends_with("Bound Ready(T)"));
    let answers = client.group(&[bind("", "i", &[], &[]), execute("", 0), bind("more", "i", &[], &[])]).await;
    assert_eq!(answers, "Bound Complete(INSERT 0 1) Error(ERROR 54000) Ready(E)");
}

#[tokio::test]
async fn a_portal_goes_on_where_its_row_limit_stopped_it() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    client.query("BEGIN").await;
    let messages = [parse("", &series(5)), bind("p", "", &[], &[]), execute("p", 2)];
    assert_eq!(client.group(&messages).await, "Parsed Bound Row(1) Row(2) Suspended Ready(T)");
    assert_eq!(client.group(&[execute("p", 2)]).await, "Row(3) Row(4) Suspended Ready(T)");
    assert_eq!(client.group(&[execute("p", 2)]).await, "Row(5) Complete(SELECT 1) Ready(T)");
    assert_eq!(client.group(&[execute("p", 2)]).await, "Complete(SELECT 0) Ready(T)");
    client.query("COMMIT").await;
    assert_eq!(client.group(&[execute("p", 2)]).await, "Error(ERROR 34000) Ready(I)");
}

#[tokio::test]
async fn a_command_runs_once_for_each_bind() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    let insert = parse("", "INSERT INTO t VALUES (1, 'x')");
    let answers = client.group(&[insert, bind("", "", &[], &[]), execute("", 0), execute("", 0)]).await;
    assert_eq!(answers, "Parsed Bound Complete(INSERT 0 1) Error(ERROR 55000) Ready(I)");
    // The group is one transaction, so its first half is undone with it.
    assert_eq!(client.query("SELECT a, b FROM t").await, "Columns(a,b) Complete(SELECT 0) Ready(I)");
}

#[tokio::test]
async fn a_batch_of_inserts_is_all_or_nothing_and_each_has_its_answer() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    let insert = |row: &str| [bind("", "i", &[row, "x"], &[]), execute("", 0)].concat();
    let mut batch = vec![parse("i", "INSERT INTO t VALUES ($1, $2)")];
    batch.extend((0..3_000).map(|row| insert(&row.to_string())));
    let answers = client.group(&batch).await;
    assert_eq!(answers, format!("Parsed {}Ready(I)", "Bound Complete(INSERT 0 1) ".repeat(3_000)));
    let counted = "Columns(count,sum) Row(3000,4498500) Complete(SELECT 1) Ready(I)";
    assert_eq!(client.query("SELECT count(*), sum(a) FROM t").await, counted);
    let answers = client.group(&[insert("1"), insert("one"), insert("2")]).await;
    assert_eq!(answers, "Bound Complete(INSERT 0 1) Bound Error(ERROR 22P02) Ready(I)");
    assert_eq!(client.query("SELECT count(*), sum(a) FROM t").await, counted);
    // What comes in the same group sees the rows before it.
    let select = parse("", "SELECT count(*) FROM t");
    let answers = client.group(&[insert("3"), select, bind("", "", &[], &[]), execute("", 0), insert("4")]).await;
    let counted = "Row(3001) Complete(SELECT 1)";
    assert_eq!(
        answers,
        format!("Bound Complete(INSERT 0 1) Parsed Bound {counted} Bound Complete(INSERT 0 1) Ready(I)")
    );
}

/// The first of some rows is resolved, those behind it join it.
#[tokio::test]
async fn rows_that_join_others_in_a_block_are_what_they_were_alone() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    let columns = "a smallint, b bigint NOT NULL, c double precision, d numeric(6,2), e boolean, f date, g timestamp(1), \
        h text, i varchar(3), j uuid, k real, l integer DEFAULT 7";
    client.query(&format!("CREATE TABLE kinds ({columns})")).await;
    let values = "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11";
    client.group(&[parse("i", &format!("INSERT INTO kinds VALUES ({values})"))]).await;
    let row = [
        "-3",
        "12",
        " 1e2",
        "1.005",
        "on",
        "2025-01-31",
        "2025-01-31 12:00:00.16",
        "\u{e9}'",
        "ab",
        "00112233445566778899aabbccddeeff",
        "0.5",
    ];
    let insert = |place: usize, value: &str| {
        let mut row = row;
        row[place] = value;
        [bind("", "i", &row, &[]), execute("", 0)].concat()
    };
    let null = |place: usize| {
        let mut values = row.map(|value| Some(value.as_bytes()));
        values[place] = None;
        [bind_with("", "i", &[], &values, &[]), execute("", 0)].concat()
    };
    client.query("BEGIN").await;
    for _ in 0..3 {
        assert_eq!(client.group(&[insert(0, "-3")]).await, "Bound Complete(INSERT 0 1) Ready(T)");
    }
    let row =
        "Row(-3,12,100,1.01,t,2025-01-31,2025-01-31 12:00:00.2,\u{e9}',ab,00112233-4455-6677-8899-aabbccddeeff,0.5,7)";
    let distinct = client.query("SELECT DISTINCT * FROM kinds").await;
    assert!(distinct.contains(&format!(" {row} Complete(SELECT 1) ")), "{distinct}");
    client.group(&[null(0), null(7), insert(8, "abc  "), insert(8, "abc"), insert(7, "")]).await;
    let counts = "SELECT count(*), count(a), count(h), count(*) FILTER (WHERE i = 'abc'), count(*) FILTER (WHERE h = '') FROM kinds";
    assert!(client.query(counts).await.contains(" Row(8,7,7,2,1) "));
    client.query("COMMIT").await;
    for (wrong, code) in [
        (insert(0, "40000"), "22003"),
        (insert(1, "x"), "22P02"),
        (null(1), "23502"),
        (insert(3, "10000"), "22003"),
        (insert(8, "abcd"), "22001"),
    ] {
        client.query("BEGIN").await;
        let answers = client.group(&[insert(0, "1"), insert(0, "2"), wrong, insert(0, "3")]).await;
        let done = "Bound Complete(INSERT 0 1) ";
        assert_eq!(answers, format!("{done}{done}Bound Error(ERROR {code}) Ready(E)"));
        assert!(client.group(&[insert(0, "4")]).await.ends_with("Error(ERROR 25P02) Ready(E)"));
        client.query("COMMIT").await;
    }
    assert!(client.query(counts).await.contains(" Row(8,7,7,2,1) "));
}

/// Clients that send numbers in binary declare the narrowest type that each fits into.
#[tokio::test]
async fn binary_rows_join_others_whatever_the_width_of_their_numbers() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    client.query("CREATE TABLE numbers (a bigint, b smallint, c numeric(6,2), d text, e date)").await;
    let types = [&5u16.to_be_bytes()[..], &[21u32, 20, 1700, 0, 0].map(u32::to_be_bytes).concat()[..]].concat();
    let statement = text("INSERT INTO numbers VALUES ($1, $2, $3, $4, $5)");
    client.group(&[frame(b'P', &[text("i"), statement, types].concat())]).await;
    // 1.505: two digits to the base of 10,000, the first before the point, and a scale of three.
    let c = [2u16, 0, 0, 3, 1, 5050].map(u16::to_be_bytes).concat();
    let insert = |b: i64, d: (i16, &[u8])| {
        let (a, b, e) = (7i16.to_be_bytes(), b.to_be_bytes(), 31i32.to_be_bytes());
        let values = [Some(&a[..]), Some(&b[..]), Some(&c[..]), Some(d.1), Some(&e[..])];
        [bind_with("", "i", &[1, 1, 1, d.0, 1], &values, &[]), execute("", 0)].concat()
    };
    client.query("BEGIN").await;
    let good = [insert(-8, (1, "é".as_bytes())), insert(-8, (0, "é".as_bytes())), insert(-8, (1, "é".as_bytes()))];
    let done = "Bound Complete(INSERT 0 1) ";
    assert_eq!(client.group(&good).await, format!("{}Ready(T)", done.repeat(3)));
    let rows = client.query("SELECT DISTINCT * FROM numbers").await;
    assert!(rows.contains(" Row(7,-8,1.51,é,2000-02-01) Complete(SELECT 1) "), "{rows}");
    assert!(client.query("SELECT count(*) FROM numbers").await.contains(" Row(3) "));
    client.query("COMMIT").await;
    // The length of the last text ends like a character that its first byte could go on with.
    let broken = [&[0xa4_u8][..], &[b'x'; 0xc2][..]].concat();
    for (wrong, code) in [
        (insert(40_000, (0, &b"x"[..])), "22003"),
        (insert(1, (0, &b"a\0"[..])), "22021"),
        (insert(1, (1, &b"\xc3"[..])), "22021"),
        (insert(1, (0, &broken[..])), "22021"),
    ] {
        client.query("BEGIN").await;
        let answers = client.group(&[insert(1, (0, &b"x"[..])), insert(2, (0, &b"x"[..])), wrong]).await;
        assert_eq!(answers, format!("{done}{done}Bound Error(ERROR {code}) Ready(E)"));
        client.query("ROLLBACK").await;
    }
}

/// Answers to a client that sends much before its Sync do not gather in memory.
#[tokio::test]
async fn answers_to_many_messages_leave_before_the_sync() {
    const INSERTS: usize = 10_000;
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    client.group(&[parse("i", "INSERT INTO t VALUES ($1, $2)")]).await;
    client.query("BEGIN").await;
    let insert = [bind("", "i", &["1", "x"], &[]), execute("", 0)].concat();
    client.send(&insert.repeat(INSERTS)).await;
    assert_eq!(client.answer().await.as_deref(), Some("Bound"));
    let answers = client.group(&[]).await;
    assert_eq!(answers.matches("Complete(INSERT 0 1)").count(), INSERTS);
    assert!(client.query("SELECT count(*) FROM t").await.contains(&format!(" Row({INSERTS}) ")));
}

#[tokio::test]
async fn results_larger_than_every_buffer_arrive_whole() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    client.send(&query(&series(200_000))).await;
    let (mut rows, mut sum) = (0_u64, 0_u64);
    while let Some((message_type, body)) = client.raw_answer().await {
        match message_type {
            b'D' => {
                rows += 1;
                sum += std::str::from_utf8(&body[6..]).unwrap().parse::<u64>().unwrap();
            }
            b'Z' => break,
            _ => {}
        }
    }
    assert_eq!((rows, sum), (200_000, 200_000 * 200_001 / 2));
}

#[tokio::test]
async fn messages_that_come_while_a_statement_runs_are_answered_after_it() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    let select = [parse("", "SELECT 1"), bind("", "", &[], &[]), execute("", 0), frame(b'S', b"")].concat();
    client.send(&[query(&series(2)), select.clone(), select].concat()).await;
    assert_eq!(client.answers().await, "Columns(n) Row(1) Row(2) Complete(SELECT 2) Ready(I)");
    assert_eq!(client.answers().await, "Parsed Bound Row(1) Complete(SELECT 1) Ready(I)");
    assert_eq!(client.answers().await, "Parsed Bound Row(1) Complete(SELECT 1) Ready(I)");
}

#[tokio::test]
async fn copy_takes_data_cut_anywhere_and_gives_it_back() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    client.send(&query("SELECT 1; COPY t FROM STDIN; SELECT 1")).await;
    assert_eq!(client.answers_until("CopyIn").await, format!("{ROW_1} CopyIn(2)"));
    for piece in [&b""[..], b"1\tx", b"\n2", b"\ty\n", b"3\tz\n"] {
        client.send(&frame(b'd', piece)).await;
    }
    client.send(&frame(b'c', b"")).await;
    assert_eq!(client.answers().await, format!("Complete(COPY 3) {ROW_1} Ready(I)"));
    let rows = client.query("SELECT a, b FROM t").await;
    assert_eq!(rows, "Columns(a,b) Row(1,x) Row(2,y) Row(3,z) Complete(SELECT 3) Ready(I)");
    let copy = client.query("COPY t TO STDOUT").await;
    assert!(copy.starts_with("CopyOut(2) CopyData(1\\tx\\n"), "{copy}");
    assert!(copy.ends_with("CopyDone Complete(COPY 3) Ready(I)"), "{copy}");
}

#[tokio::test]
async fn a_copy_message_of_any_size_is_taken() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    let lines: Vec<u8> = (0..100_000).flat_map(|line| format!("{line}\tvalue {line}\n").into_bytes()).collect();
    client.send(&query("COPY t FROM STDIN")).await;
    client.answers_until("CopyIn").await;
    client.send(&frame(b'd', &lines)).await;
    client.send(&frame(b'c', b"")).await;
    assert_eq!(client.answers().await, "Complete(COPY 100000) Ready(I)");
}

#[tokio::test]
async fn a_copy_that_fails_leaves_nothing_and_swallows_what_still_comes() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    client.send(&query("COPY t FROM STDIN")).await;
    client.answers_until("CopyIn").await;
    client.send(&frame(b'd', b"1\tx\nbad\ty\n")).await;
    client.send(&frame(b'd', b"3\tz\n")).await;
    client.send(&frame(b'c', b"")).await;
    assert_eq!(client.answers().await, "Error(ERROR 22P02) Ready(I)");
    assert_eq!(client.query("SELECT a, b FROM t").await, "Columns(a,b) Complete(SELECT 0) Ready(I)");
}

#[tokio::test]
async fn a_copy_that_the_client_gives_up_leaves_nothing() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    client.send(&query("COPY t FROM STDIN")).await;
    client.answers_until("CopyIn").await;
    client.send(&frame(b'd', b"1\tx\n")).await;
    client.send(&frame(b'f', &text("no more"))).await;
    assert_eq!(client.answers().await, "Error(ERROR 57014) Ready(I)");

    // Nobody can read why; outside of a COPY it says nothing.
    let unreadable = frame(b'f', b"no \xff\0");
    client.send(&query("COPY t FROM STDIN")).await;
    client.answers_until("CopyIn").await;
    client.send(&[frame(b'd', b"1\tx\n"), unreadable.clone()].concat()).await;
    assert_eq!(client.answers().await, "Error(ERROR 22021) Ready(I)");
    client.send(&[unreadable, query("SELECT 1")].concat()).await;
    assert_eq!(client.answers().await, format!("{ROW_1} Ready(I)"));

    client.send(&query("COPY t FROM STDIN")).await;
    client.answers_until("CopyIn").await;
    client.send(&frame(b'd', b"1\tx\n")).await;
    drop(client);
    let rows = server.session().await.query("SELECT a, b FROM t").await;
    assert_eq!(rows, "Columns(a,b) Complete(SELECT 0) Ready(I)");
}

#[tokio::test]
async fn copy_works_through_the_extended_protocol_with_an_early_sync() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    let copy = [parse("", "COPY t FROM STDIN"), bind("", "", &[], &[]), describe(b'P', ""), execute("", 0)];
    client.send(&[copy.concat(), frame(b'S', b"")].concat()).await;
    assert_eq!(client.answers_until("CopyIn").await, "Parsed Bound NoData CopyIn(2)");
    client.send(&[frame(b'd', b"1\tx\n"), frame(b'c', b""), frame(b'S', b"")].concat()).await;
    assert_eq!(client.answers().await, "Complete(COPY 1) Ready(I)");
}

#[tokio::test]
async fn a_sync_before_the_data_of_a_copy_ends_no_transaction() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    let copy = [parse("", "COPY t FROM STDIN"), bind("", "", &[], &[]), execute("", 0), frame(b'S', b"")].concat();
    let data = [frame(b'd', b"5\tx\n"), frame(b'c', b"")].concat();
    let insert = |row: &str| {
        [parse("", "INSERT INTO t VALUES ($1, $2)"), bind("", "", &[row, "y"], &[]), execute("", 0)].concat()
    };
    let answers = client.group(&[copy.clone(), data.clone(), insert("six")]).await;
    assert_eq!(answers, "Parsed Bound CopyIn(2) Complete(COPY 1) Parsed Error(ERROR 22P02) Ready(I)");
    assert_eq!(client.query("SELECT a, b FROM t").await, "Columns(a,b) Complete(SELECT 0) Ready(I)");
    let answers = client.group(&[copy, data, insert("6")]).await;
    assert_eq!(answers, "Parsed Bound CopyIn(2) Complete(COPY 1) Parsed Bound Complete(INSERT 0 1) Ready(I)");
    let rows = client.query("SELECT a, b FROM t ORDER BY a").await;
    assert_eq!(rows, "Columns(a,b) Row(5,x) Row(6,y) Complete(SELECT 2) Ready(I)");
}

#[tokio::test]
async fn a_message_that_does_not_belong_into_a_copy_ends_the_connection() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    client.send(&query("COPY t FROM STDIN")).await;
    client.answers_until("CopyIn").await;
    client.send(&query("SELECT 1")).await;
    assert_eq!(client.answers().await, "Error(FATAL 08P01) End");
}

#[tokio::test]
async fn a_declared_cursor_is_described_as_a_portal() {
    let server = TestServer::start().await;
    let mut client = server.session_with_table().await;
    client.query("BEGIN").await;
    client.query("DECLARE c CURSOR FOR SELECT a, b FROM t").await;
    assert_eq!(client.group(&[describe(b'P', "c")]).await, "Columns(a,b) Ready(T)");
    assert_eq!(client.group(&[describe(b'P', "d")]).await, "Error(ERROR 34000) Ready(E)");
}

#[tokio::test]
async fn named_portals_of_queries_are_cursors() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    client.query("BEGIN").await;
    let messages = [parse("", &series(9)), bind("p", "", &[], &[]), execute("p", 2)];
    assert_eq!(client.group(&messages).await, "Parsed Bound Row(1) Row(2) Suspended Ready(T)");
    assert_eq!(client.query("MOVE FORWARD 2 p").await, "Complete(MOVE 2) Ready(T)");
    assert_eq!(client.query("FETCH p").await, "Columns(n) Row(5) Complete(FETCH 1) Ready(T)");
    let listed = client.query("SELECT name, is_holdable FROM pg_cursors").await;
    assert_eq!(listed, "Columns(name,is_holdable) Row(p,f) Complete(SELECT 1) Ready(T)");
    assert_eq!(client.group(&[execute("p", 1)]).await, "Row(6) Suspended Ready(T)");

    // One that was not read yet, and one that SQL has declared.
    let messages = [bind("q", "", &[], &[]), frame(b'H', b"")];
    client.group(&[parse("", &series(3)), messages.concat()]).await;
    assert_eq!(client.query("MOVE 2 q").await, "Complete(MOVE 2) Ready(T)");
    assert_eq!(client.group(&[execute("q", 0)]).await, "Row(3) Complete(SELECT 1) Ready(T)");
    client.query(&format!("DECLARE c CURSOR FOR {}", series(3))).await;
    assert_eq!(client.group(&[execute("c", 2)]).await, "Row(1) Row(2) Suspended Ready(T)");
    assert_eq!(client.query("FETCH ALL c").await, "Columns(n) Row(3) Complete(FETCH 1) Ready(T)");

    client.query("CLOSE p").await;
    assert_eq!(client.group(&[describe(b'P', "q"), frame(b'C', b"Pq\0")]).await, "Columns(n) Closed Ready(T)");
    client.query("SAVEPOINT s").await;
    assert_eq!(client.query("FETCH q").await, "Error(ERROR 34000) Ready(E)");
    assert_eq!(client.group(&[execute("c", 0)]).await, "Error(ERROR 25P02) Ready(E)");
    client.query("ROLLBACK TO s").await;
    let taken = [parse("", &series(1)), bind("c", "", &[], &[])];
    assert_eq!(client.group(&taken).await, "Parsed Error(ERROR 42P03) Ready(E)");
    client.query("ROLLBACK").await;
    assert_eq!(client.group(&[execute("c", 0)]).await, "Error(ERROR 34000) Ready(I)");
}

#[tokio::test]
async fn the_function_call_protocol_is_refused_and_the_connection_lives_on() {
    let server = TestServer::start().await;
    let mut client = server.session().await;
    client.send(&frame(b'F', &[0; 12])).await;
    assert_eq!(client.answers().await, "Error(ERROR 0A000) Ready(I)");
    assert_eq!(client.query("SELECT 1").await, format!("{ROW_1} Ready(I)"));
}
