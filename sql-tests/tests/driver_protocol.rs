//! What drivers rely on beyond rows: fields of errors, the messages of a binary COPY, where columns come from, parameters everywhere.

use crate::wire::Fixture;
use bytes::Buf;
use sql_tests::wire::{Frame, Wire};

/// The frames up to ReadyForQuery.
async fn frames_until_ready(wire: &mut Wire) -> Vec<Frame> {
    let mut frames = Vec::new();
    loop {
        let frame = wire.receive().await.unwrap();
        if frame.kind == b'Z' {
            return frames;
        }
        frames.push(frame);
    }
}

async fn answer(wire: &mut Wire, text: &str) -> Vec<Frame> {
    wire.send_text(b'Q', text).await.unwrap();
    frames_until_ready(wire).await
}

/// Parses a statement, with these OIDs of its parameters, and binds texts to it.
async fn bound(wire: &mut Wire, text: &str, oids: &[u32], values: &[&str]) -> Vec<Frame> {
    let mut parse = [&[0][..], text.as_bytes(), &[0], &(oids.len() as u16).to_be_bytes()[..]].concat();
    oids.iter().for_each(|oid| parse.extend(oid.to_be_bytes()));
    wire.send(b'P', &parse).await.unwrap();
    let mut bind = [&[0, 0, 0, 0][..], &(values.len() as u16).to_be_bytes()].concat();
    for value in values {
        bind.extend((value.len() as u32).to_be_bytes());
        bind.extend(value.as_bytes());
    }
    bind.extend([0, 0]);
    wire.send(b'B', &bind).await.unwrap();
    wire.send(b'E', b"\0\0\0\0\0").await.unwrap();
    wire.send(b'S', b"").await.unwrap();
    frames_until_ready(wire).await
}

/// Binds a prepared statement without parameters and executes it.
async fn executed(wire: &mut Wire, statement: &str) -> Vec<Frame> {
    wire.send(b'B', format!("\0{statement}\0\0\0\0\0\0\0").as_bytes()).await.unwrap();
    wire.send(b'E', b"\0\0\0\0\0").await.unwrap();
    wire.send(b'S', b"").await.unwrap();
    frames_until_ready(wire).await
}

/// A field of the error among frames.
fn error_field(frames: &[Frame], field: u8) -> Option<String> {
    let error = frames.iter().find(|frame| frame.kind == b'E')?;
    let mut fields = error.body.split(|byte| *byte == 0).filter(|text| !text.is_empty());
    let found = fields.find(|text| text[0] == field)?;
    Some(String::from_utf8(found[1..].to_vec()).unwrap())
}

/// The texts of the rows among frames.
fn rows(frames: &[Frame]) -> Vec<Vec<String>> {
    let rows = frames.iter().filter(|frame| frame.kind == b'D').map(|frame| {
        let mut body = frame.body.clone();
        let values = (0..body.get_u16()).map(|_| {
            let length = body.get_i32();
            if length < 0 {
                return "NULL".to_string();
            }
            String::from_utf8(body.split_to(length as usize).to_vec()).unwrap()
        });
        values.collect()
    });
    rows.collect()
}

/// The table's OID and the column's number for each column of a result.
fn origins(frames: &[Frame]) -> Vec<(u32, u16)> {
    let description = frames.iter().find(|frame| frame.kind == b'T').unwrap();
    let mut body = description.body.clone();
    let columns = (0..body.get_u16()).map(|_| {
        let name = body.iter().position(|byte| *byte == 0).unwrap();
        body.advance(name + 1);
        let origin = (body.get_u32(), body.get_u16());
        body.advance(12);
        origin
    });
    columns.collect()
}

/// The OID of the type of each column of a result.
fn column_types(frames: &[Frame]) -> Vec<u32> {
    let description = frames.iter().find(|frame| frame.kind == b'T').unwrap();
    let mut body = description.body.clone();
    let columns = (0..body.get_u16()).map(|_| {
        let name = body.iter().position(|byte| *byte == 0).unwrap();
        body.advance(name + 1 + 6);
        let oid = body.get_u32();
        body.advance(8);
        oid
    });
    columns.collect()
}

/// asyncpg asks for types with such a query, and again for the types of its answer that it does not know.
#[tokio::test(flavor = "multi_thread")]
async fn arrays_of_oids_are_told_as_such_wherever_they_come_through() {
    const OIDS: u32 = 1028;
    const BIGINTS: u32 = 1016;
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    let attributes =
        "(SELECT array_agg(a.atttypid ORDER BY a.attnum) FROM pg_attribute AS a WHERE a.attrelid = t.typrelid)";
    let cases = [
        ("SELECT array_agg(oid), array(SELECT oid FROM pg_am) FROM pg_am".to_string(), vec![OIDS; 2]),
        (
            "SELECT ARRAY[oid], coalesce(NULL, ARRAY[oid]), array_append(ARRAY[oid], oid) FROM pg_am".into(),
            vec![OIDS; 3],
        ),
        (
            format!("SELECT CASE WHEN t.typtype = 'c' THEN {attributes} ELSE NULL END FROM pg_type AS t LIMIT 1"),
            vec![OIDS],
        ),
        (
            format!(
                "WITH RECURSIVE tree(oid, parts, depth) AS (
                     SELECT t.oid, CASE WHEN t.typtype = 'c' THEN {attributes} END, 0 FROM pg_type AS t WHERE t.oid = 23
                     UNION ALL SELECT 1::oid, NULL, tree.depth + 1 FROM tree WHERE tree.depth < 2)
                 SELECT DISTINCT *, oid::regtype::text FROM tree ORDER BY depth DESC"
            ),
            vec![26, OIDS, 23, 25],
        ),
        (
            "SELECT array_agg(oid)::bigint[], array_agg(oid::bigint), ARRAY[1::bigint] FROM pg_am".into(),
            vec![BIGINTS; 3],
        ),
    ];
    for (query, types) in cases {
        let frames = answer(&mut wire, &query).await;
        assert_eq!(error_field(&frames, b'M'), None, "{query}");
        assert_eq!(column_types(&frames), types, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_cannot_be_kept_is_told_by_its_routine() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    answer(&mut wire, "CREATE TABLE t (a integer)").await;
    wire.send(b'P', b"kept\0SELECT * FROM t\0\0\0").await.unwrap();
    wire.send(b'S', b"").await.unwrap();
    assert_eq!(error_field(&frames_until_ready(&mut wire).await, b'C'), None);
    answer(&mut wire, "ALTER TABLE t ADD COLUMN b integer").await;
    let frames = executed(&mut wire, "kept").await;
    assert_eq!(error_field(&frames, b'C').as_deref(), Some("0A000"));
    assert_eq!(error_field(&frames, b'R').as_deref(), Some("RevalidateCachedQuery"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_whose_modifiers_changed_is_another_one() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    let statements = [
        ("read", "SELECT v FROM t"),
        ("insert", "INSERT INTO t VALUES ('x', 1) RETURNING v"),
        ("rows", "INSERT INTO t SELECT 'x', 1 RETURNING *"),
        ("update", "UPDATE t SET n = 2 RETURNING v"),
        ("delete", "DELETE FROM t WHERE n > 5 RETURNING v"),
        ("other", "SELECT n + 1 FROM t"),
        ("another", "INSERT INTO t VALUES ('x', 1) RETURNING n"),
    ];
    answer(&mut wire, "CREATE TABLE t (v varchar(5), n numeric(6,2))").await;
    for (name, text) in statements {
        wire.send(b'P', format!("{name}\0{text}\0\0\0").as_bytes()).await.unwrap();
        assert_eq!(error_field(&executed(&mut wire, name).await, b'M'), None, "{text}");
    }
    answer(&mut wire, "ALTER TABLE t ALTER COLUMN v TYPE varchar(10)").await;
    for (name, text) in statements {
        let refused = (!name.ends_with("other")).then_some("0A000");
        assert_eq!(error_field(&executed(&mut wire, name).await, b'C').as_deref(), refused, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_read_is_told_by_its_portal_and_number() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    let long = [b'n'; 64];
    let (integer, text, name, integers) = (23_u32, 25, 19, 1007);
    // A type, the format and bytes of a value, and what is said of it.
    type Case<'a> = (u32, u8, &'a [u8], &'a str, &'a str, &'a str);
    let cases: &[Case<'_>] = &[
        (integer, 0, b"x", "22P02", "invalid input syntax for type integer: \"x\"", " = '...'"),
        (text, 0, b"\xe4", "22021", "invalid byte sequence for encoding \"UTF8\": 0xe4", ""),
        (integer, 1, b"abc", "08P01", "insufficient data left in message", ""),
        (integer, 1, b"abcde", "22P03", "incorrect binary data format in bind parameter 2", ""),
        (name, 1, &long, "42622", "identifier too long", ""),
        (
            integers,
            1,
            b"\0\0\0\x01\0\0\0\0\0\0\0\x19",
            "42804",
            "binary data has array element type 25 (text) instead of expected 23 (integer)",
            "",
        ),
        (integers, 1, b"\0\0\0\x01\0\0\0\x05\0\0\0\x17", "22P03", "invalid array flags", ""),
        (integers, 1, b"\0\0\0\x01", "08P01", "insufficient data left in message", ""),
    ];
    for (sql_type, format, value, code, message, shown) in cases {
        for (portal, place) in [("", "unnamed portal"), ("p", "portal \"p\"")] {
            let types = [&[0, 2, 0, 0, 0, 0][..], &sql_type.to_be_bytes()].concat();
            wire.send(b'P', &[&b"\0SELECT $1::text, $2\0"[..], &types].concat()).await.unwrap();
            let length = (value.len() as u32).to_be_bytes();
            let formats = [0, 2, 0, 0, 0, *format];
            let values = [&[0, 2, 0xff, 0xff, 0xff, 0xff][..], &length, value, &[0, 0]].concat();
            wire.send(b'B', &[portal.as_bytes(), &[0, 0], &formats, &values].concat()).await.unwrap();
            wire.send(b'S', b"").await.unwrap();
            let frames = frames_until_ready(&mut wire).await;
            assert_eq!(error_field(&frames, b'C').as_deref(), Some(*code), "{sql_type} {value:?}");
            assert_eq!(error_field(&frames, b'M').as_deref(), Some(*message));
            assert_eq!(error_field(&frames, b'W').as_deref(), Some(&*format!("{place} parameter $2{shown}")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_of_a_binary_copy_stands_with_its_first_row() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    let signature = b"PGCOPY\n\xff\r\n\0";
    let copied = |frames: Vec<Frame>| {
        let data = frames.into_iter().filter(|frame| frame.kind == b'd').map(|frame| frame.body);
        data.collect::<Vec<_>>()
    };
    let data =
        copied(answer(&mut wire, "COPY (SELECT n FROM generate_series(1, 2) n) TO STDOUT (FORMAT binary)").await);
    let row = |n: u8| vec![0, 1, 0, 0, 0, 4, 0, 0, 0, n];
    assert_eq!(data, [[&signature[..], &[0; 8], &row(1)].concat(), row(2), vec![0xff, 0xff]]);
    let data = copied(answer(&mut wire, "COPY (SELECT 1 WHERE false) TO STDOUT (FORMAT binary)").await);
    assert_eq!(data, [[&signature[..], &[0; 8], &[0xff, 0xff]].concat()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_described_with_the_relation_that_they_come_from() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    let made = "CREATE SCHEMA s; CREATE TABLE s.t (a integer, b text); CREATE TABLE x (b integer, a integer);
                CREATE VIEW plain AS SELECT b, a FROM s.t; CREATE MATERIALIZED VIEW kept AS SELECT a, count(*) AS n FROM s.t GROUP BY a;
                SET search_path = s, public";
    assert_eq!(error_field(&answer(&mut wire, made).await, b'M'), None);
    let mut ids = Vec::new();
    for name in ["s.t", "public.x", "plain", "kept"] {
        let found = rows(&answer(&mut wire, &format!("SELECT '{name}'::regclass::oid")).await);
        ids.push(found[0][0].parse::<u32>().unwrap());
    }
    let [t, x, plain, kept] = ids[..] else { unreachable!("four names were asked for") };
    let none = (0, 0);
    let statements: &[(&str, &[(u32, u16)])] = &[
        ("SELECT b, a, a + 1 FROM t", &[(t, 2), (t, 1), none]),
        ("SELECT x.* FROM t AS x", &[(t, 1), (t, 2)]),
        ("SELECT t.a, t.b FROM x AS t", &[(x, 2), (x, 1)]),
        ("SELECT l.b, r.a FROM t l JOIN t r ON l.a = r.a", &[(t, 2), (t, 1)]),
        ("SELECT q.c FROM (SELECT b AS c FROM t ORDER BY a LIMIT 1) q", &[(t, 2)]),
        ("WITH q AS (SELECT a FROM t) SELECT q.a FROM q LEFT JOIN public.x ON true", &[(t, 1)]),
        ("SELECT b, count(*) FROM t GROUP BY b", &[(t, 2), none]),
        ("SELECT DISTINCT b FROM t", &[(t, 2)]),
        ("SELECT a FROM t UNION SELECT a FROM t", &[none]),
        ("SELECT * FROM plain", &[(plain, 1), (plain, 2)]),
        ("SELECT p.a FROM plain p", &[(plain, 2)]),
        ("SELECT n, a FROM kept AS t", &[(kept, 2), (kept, 1)]),
        ("SELECT a::text, upper(b), b FROM t", &[none, none, (t, 2)]),
        ("INSERT INTO x VALUES (1, 2) RETURNING a, a + b, b", &[(x, 2), none, (x, 1)]),
        ("UPDATE x AS t SET a = 3 RETURNING t.a", &[(x, 2)]),
        ("DELETE FROM x RETURNING *", &[(x, 1), (x, 2)]),
    ];
    for (statement, expected) in statements {
        assert_eq!(origins(&answer(&mut wire, statement).await), *expected, "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_stand_wherever_values_do() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    let made = "CREATE TABLE u (id integer PRIMARY KEY, a text NOT NULL, n integer); INSERT INTO u VALUES (1, 'x', 1), (2, 'y', 2);
                CREATE TABLE d (v numeric(10,3)[])";
    answer(&mut wire, made).await;
    let update =
        "UPDATE u SET a = d.a FROM (VALUES ($1, $2), ($3, $4)) AS d (id, a) WHERE u.id = d.id::integer RETURNING u.*";
    let mut changed = rows(&bound(&mut wire, update, &[], &["1", "p", "2", "q"]).await);
    changed.sort();
    assert_eq!(changed, [["1", "p", "1"], ["2", "q", "2"]]);
    // A statement, the types that it declares, its values and what it gives back.
    type Case<'a> = (&'a str, &'a [u32], &'a [&'a str], &'a [&'a str]);
    let statements: &[Case<'_>] = &[
        ("INSERT INTO d VALUES ($1) RETURNING v", &[1231], &["{1.5,NULL,2.0005}"], &["{1.500,NULL,2.001}"]),
        ("INSERT INTO u VALUES ($1, 'z', 3) RETURNING $2, id + $3", &[], &["3", "text", "4"], &["text", "7"]),
        (
            "INSERT INTO u SELECT $1, 'z', 3 ON CONFLICT (id) DO UPDATE SET a = $3::text, n = u.n + $2 RETURNING a, n, $4::date",
            &[0, 0, 0, 0],
            &["3", "5", "new", "2024-02-03"],
            &["new", "8", "2024-02-03"],
        ),
        ("UPDATE u SET n = $1 WHERE id = $2 RETURNING a || $3, $2 + 1", &[], &["9", "3", "!"], &["new!", "4"]),
        ("DELETE FROM u WHERE id = $1 RETURNING n * $2", &[0, 0], &["3", "2"], &["18"]),
    ];
    for (statement, oids, values, expected) in statements {
        let frames = bound(&mut wire, statement, oids, values).await;
        assert_eq!(error_field(&frames, b'M'), None, "{statement}");
        assert_eq!(rows(&frames), [expected.to_vec()], "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_made_of_a_query_with_parameters() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    let made = "CREATE TABLE t AS SELECT n, $1 AS word FROM generate_series(1, $2) n WHERE n > $3";
    let frames = bound(&mut wire, made, &[25, 0, 0], &["w", "4", "2"]).await;
    assert_eq!(error_field(&frames, b'M'), None);
    assert_eq!(rows(&answer(&mut wire, "SELECT n, word FROM t ORDER BY n").await), [["3", "w"], ["4", "w"]]);
    let explained = "EXPLAIN CREATE TABLE u AS SELECT n FROM t WHERE n = $1";
    assert_eq!(error_field(&bound(&mut wire, explained, &[], &["3"]).await, b'M'), None);
    let refused = answer(&mut wire, "CREATE TABLE u AS SELECT $1::integer").await;
    assert_eq!(error_field(&refused, b'C').as_deref(), Some("42P02"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_type_is_assigned_only_where_an_expression_of_it_is() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    answer(&mut wire, "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE e (m mood, ms mood[], i integer, d date)")
        .await;
    let (text, text_array, bigint, timestamp) = (25, 1009, 20, 1114);
    let refused: &[(&str, u32, &str, &str)] = &[
        ("INSERT INTO e (m) VALUES ($1)", text, "sad", "column \"m\" is of type mood but expression is of type text"),
        (
            "INSERT INTO e (ms) VALUES ($1)",
            text_array,
            "{ok}",
            "column \"ms\" is of type mood[] but expression is of type text[]",
        ),
        ("INSERT INTO e (i) SELECT $1", text, "1", "column \"i\" is of type integer but expression is of type text"),
        ("UPDATE e SET d = $1", text, "2024-01-01", "column \"d\" is of type date but expression is of type text"),
    ];
    for (statement, oid, value, message) in refused {
        let frames = bound(&mut wire, statement, &[*oid], &[value]).await;
        assert_eq!(error_field(&frames, b'C').as_deref(), Some("42804"), "{statement}");
        assert_eq!(error_field(&frames, b'M').as_deref(), Some(*message), "{statement}");
    }
    for (column, oid, value) in
        [("m", 0, "sad"), ("ms", 0, "{ok}"), ("i", bigint, "1"), ("d", timestamp, "2024-01-01 10:00:00")]
    {
        let frames = bound(&mut wire, &format!("INSERT INTO e ({column}) VALUES ($1)"), &[oid], &[value]).await;
        assert_eq!(error_field(&frames, b'M'), None, "{column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_statements_are_those_of_sql_and_of_the_protocol() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    wire.send(b'P', b"parsed\0SELECT $1::integer + 1\0\0\0").await.unwrap();
    wire.send(b'S', b"").await.unwrap();
    assert_eq!(error_field(&frames_until_ready(&mut wire).await, b'M'), None);
    answer(&mut wire, "PREPARE told (text) AS SELECT $1").await;
    let shown = "SELECT name, from_sql, parameter_types FROM pg_prepared_statements ORDER BY name";
    assert_eq!(rows(&answer(&mut wire, shown).await), [["parsed", "f", "{integer}"], ["told", "t", "{text}"]]);
    assert_eq!(rows(&answer(&mut wire, "EXECUTE parsed (4)").await), [["5"]]);
    wire.send(b'B', b"\0told\0\0\0\0\x01\0\0\0\x01x\0\0").await.unwrap();
    wire.send(b'E', b"\0\0\0\0\0").await.unwrap();
    wire.send(b'S', b"").await.unwrap();
    assert_eq!(rows(&frames_until_ready(&mut wire).await), [["x"]]);
    assert_eq!(error_field(&answer(&mut wire, "PREPARE parsed AS SELECT 1").await, b'C').as_deref(), Some("42P05"));
    assert_eq!(error_field(&answer(&mut wire, "DEALLOCATE parsed").await, b'C'), None);
    wire.send(b'B', b"\0parsed\0\0\0\0\0\0\0").await.unwrap();
    wire.send(b'S', b"").await.unwrap();
    assert_eq!(error_field(&frames_until_ready(&mut wire).await, b'C').as_deref(), Some("26000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_with_the_settings_that_postgres_tells() {
    let fixture = Fixture::start();
    let mut wire = Wire::open("127.0.0.1", fixture.port()).await.unwrap();
    wire.send_startup(&[("user", "meridian"), ("database", "meridian")]).await.unwrap();
    let told = frames_until_ready(&mut wire).await.into_iter().filter(|frame| frame.kind == b'S').map(|frame| {
        let name = frame.body.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8(name.to_vec()).unwrap()
    });
    let mut told = told.collect::<Vec<_>>();
    told.sort_by_key(|name| name.to_lowercase());
    let expected = [
        "application_name",
        "client_encoding",
        "DateStyle",
        "default_transaction_read_only",
        "in_hot_standby",
        "integer_datetimes",
        "IntervalStyle",
        "is_superuser",
        "server_encoding",
        "server_version",
        "session_authorization",
        "standard_conforming_strings",
        "TimeZone",
    ];
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_change_goes_to_the_table_that_its_name_means_when_it_runs() {
    let fixture = Fixture::start();
    let mut wire = fixture.ready_wire().await;
    let tables =
        "CREATE SCHEMA s1; CREATE SCHEMA s2; CREATE TABLE s1.t (a int, b text); CREATE TABLE s2.t (a int, b text);
        INSERT INTO s1.t VALUES (1, 'one'); INSERT INTO s2.t VALUES (2, 'two')";
    assert_eq!(error_field(&answer(&mut wire, tables).await, b'C'), None);
    let update = "SET search_path = s1; PREPARE change AS UPDATE t SET b = 'new'; SET search_path = s2; EXECUTE change";
    assert_eq!(error_field(&answer(&mut wire, update).await, b'C'), None);
    let query = "SET search_path = s1; PREPARE read AS SELECT a, b FROM t; SET search_path = s2; EXECUTE read";
    assert_eq!(rows(&answer(&mut wire, query).await), [["2", "new"]]);
    let delete = "SET search_path = s1; PREPARE away AS DELETE FROM t; SET search_path = s2; EXECUTE away";
    assert_eq!(error_field(&answer(&mut wire, delete).await, b'C'), None);
    let left = answer(&mut wire, "SELECT * FROM s1.t UNION ALL SELECT * FROM s2.t").await;
    assert_eq!(rows(&left), [["1", "one"]]);
}
