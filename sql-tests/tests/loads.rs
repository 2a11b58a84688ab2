//! Loads over the wire: labels, progress, cancelling, files of the server.

use sql_tests::meridian::{FREE_PORT, Meridian};
use sql_tests::session::Session;
use std::path::Path;
use tempfile::TempDir;

const LABELLED: &str = "COPY t FROM STDIN WITH (FORMAT csv, LABEL 'one')";

fn file(rows: usize) -> Vec<u8> {
    (0..rows).flat_map(|row| format!("{row},text {row}\n").into_bytes()).collect()
}

async fn session_with_table(server: &Meridian) -> Session {
    let session = Session::connect(server.address()).await.unwrap();
    session.run("CREATE TABLE IF NOT EXISTS t (a bigint, b text)").await.unwrap();
    session
}

async fn count(session: &Session) -> String {
    session.value("SELECT count(*) FROM t").await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_survives_kill_and_checkpoint() {
    let folder = TempDir::new().unwrap();
    let data_dir = folder.path().join("data");
    let server = Meridian::start(&data_dir).unwrap();
    let session = session_with_table(&server).await;
    assert_eq!(session.copy_in(LABELLED, &file(20_000)).await.unwrap(), 20_000);
    server.kill().unwrap();
    for round in 0..3 {
        let server = Meridian::start(&data_dir).unwrap();
        let session = session_with_table(&server).await;
        session.take_notices().await;
        assert_eq!(session.copy_in(LABELLED, &file(20_000)).await.unwrap(), 0, "round {round}");
        let notices = session.take_notices().await;
        assert!(notices.iter().any(|notice| notice.contains("load \"one\" is done already")), "{notices:?}");
        let failure = session.copy_in(LABELLED, &file(20_001)).await.unwrap_err();
        assert!(failure.has_code("23505") && failure.hint.is_some(), "{failure}");
        assert!(failure.detail.as_ref().unwrap().contains("It loaded 20000 rows from other data"), "{failure}");
        assert_eq!(count(&session).await, "20000");
        match round {
            0 => {
                session.run("CHECKPOINT").await.unwrap();
                server.kill().unwrap();
            }
            _ => server.stop().unwrap(),
        }
        if round == 1 {
            std::fs::remove_dir_all(data_dir.join("index")).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_loads_with_one_label_one_wins() {
    let folder = TempDir::new().unwrap();
    let server = Meridian::start(&folder.path().join("data")).unwrap();
    let session = session_with_table(&server).await;
    let data = file(50_000);
    for round in 1..=5 {
        let statement = format!("COPY t FROM STDIN WITH (FORMAT csv, LABEL 'round {round}')");
        let (left, right) =
            (Session::connect(server.address()).await.unwrap(), Session::connect(server.address()).await.unwrap());
        let (left, right) = tokio::join!(left.copy_in(&statement, &data), right.copy_in(&statement, &data));
        assert_eq!(left.unwrap() + right.unwrap(), 50_000);
        assert_eq!(count(&session).await, (round * 50_000).to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_first_loads_at_once_one_makes_the_table_of_rejects_for_all() {
    let folder = TempDir::new().unwrap();
    let data_dir = folder.path().join("data");
    let server = Meridian::start(&data_dir).unwrap();
    let session = session_with_table(&server).await;
    // Few rejects are rows in the log, many are segments.
    let sizes = [3, 30_000];
    for rejects in sizes {
        let statement = format!("COPY t FROM STDIN WITH (FORMAT csv, REJECT_TABLE 'rejects_{rejects}')");
        let data = [file(20_000), b"no number,x\n".repeat(rejects)].concat();
        let mut loading = Vec::new();
        for _ in 0..4 {
            let other = Session::connect(server.address()).await.unwrap();
            let (statement, data) = (statement.clone(), data.clone());
            loading.push(tokio::spawn(async move { other.copy_in(&statement, &data).await }));
        }
        for load in loading {
            assert_eq!(load.await.unwrap().unwrap(), 20_000);
        }
    }
    let counted = |rejects: usize| format!("SELECT count(*) || ' ' || count(DISTINCT load) FROM rejects_{rejects}");
    for rejects in sizes {
        let found = session.value(&counted(rejects)).await.unwrap().unwrap();
        assert_eq!(found, format!("{} 4", 4 * rejects));
    }
    server.kill().unwrap();
    let server = Meridian::start(&data_dir).unwrap();
    let session = session_with_table(&server).await;
    for rejects in sizes {
        let found = session.value(&counted(rejects)).await.unwrap().unwrap();
        assert_eq!(found, format!("{} 4", 4 * rejects), "after a kill");
    }
    server.stop().unwrap();
}

/// A table of every kind of column, written as Parquet and loaded again.
async fn parquet_comes_back(session: &Session) {
    let columns = "n bigint, d numeric(12,2), v varchar(5), c char(3), at timestamptz, i interval, u uuid, b bytea, j jsonb, a int[]";
    session.run(&format!("CREATE TABLE kinds ({columns})")).await.unwrap();
    let row = "1, 12.34, 'v', 'c', '2025-01-02 03:04:05.678+02', '1 mon 2 days', '550e8400-e29b-41d4-a716-446655440000', \
               '\\xdead', '{\"a\": 1}', '{1,NULL}'";
    session.run(&format!("INSERT INTO kinds VALUES ({row})")).await.unwrap();
    session.run("INSERT INTO kinds (n) VALUES (2)").await.unwrap();
    assert_eq!(session.run("COPY kinds TO 'kinds.parquet'").await.unwrap().count(), 2);
    session.run("CREATE TABLE back (LIKE kinds)").await.unwrap();
    assert_eq!(session.run("COPY back FROM 'kinds.parquet'").await.unwrap().count(), 2);
    let difference = session.rows("SELECT * FROM kinds EXCEPT ALL SELECT * FROM back").await.unwrap();
    assert!(difference.is_empty(), "{difference:?}");
    session.run("DROP TABLE back").await.unwrap();
    let twice = session.run("COPY (SELECT 1 AS a, 2 AS a) TO 'twice.parquet'").await.unwrap_err();
    assert!(twice.has_code("42701"), "{twice}");
    let csv = session.run("COPY kinds TO 'kinds.parquet' (FORMAT csv)").await.unwrap_err();
    assert!(csv.has_code("22023"), "{csv}");
    assert!(session.run("COPY kinds FROM STDIN (FORMAT parquet)").await.unwrap_err().has_code("0A000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_server_stay_below_their_directory() {
    let folder = TempDir::new().unwrap();
    let files = folder.path().join("files");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("a.csv"), file(3)).unwrap();
    std::fs::write(files.join("b.csv"), "7,x\n8,y").unwrap();
    std::fs::write(folder.path().join("secret.csv"), "1,secret\n").unwrap();
    std::os::unix::fs::symlink(folder.path().join("secret.csv"), files.join("link.csv")).unwrap();
    let server = Meridian::start_with(&folder.path().join("data"), FREE_PORT, |command| {
        command.arg("--copy-dir").arg(&files);
    })
    .unwrap();
    let session = session_with_table(&server).await;
    let loaded = |name: &str| format!("COPY t FROM '{name}' (FORMAT csv)");
    assert_eq!(session.run(&loaded("[ab].csv")).await.unwrap().count(), 5);
    let absolute = files.join("a.csv");
    assert_eq!(session.run(&loaded(&absolute.display().to_string())).await.unwrap().count(), 3);
    for outside in ["../secret.csv", "link.csv", "/etc/passwd"] {
        let failure = session.run(&loaded(outside)).await.unwrap_err();
        assert!(failure.has_code("42501"), "{failure}");
    }
    assert!(session.run(&loaded("none.csv")).await.unwrap_err().has_code("58P01"));
    assert!(session.run(&loaded(".")).await.unwrap_err().has_code("42809"));
    let wrong = session.run("COPY t FROM '*.csv' (FORMAT text)").await.unwrap_err();
    assert!(wrong.has_code("42501"), "a link among the files: {wrong}");
    let wrong = session.run("COPY t FROM '[ab].csv' (FORMAT csv, DELIMITER ';')").await.unwrap_err();
    assert!(wrong.context.as_ref().unwrap().contains("a.csv"), "{wrong}");
    for name in ["out.csv", "out.csv.gz", "out.csv.zst"] {
        let written = session.run(&format!("COPY (SELECT * FROM t ORDER BY a) TO '{name}' (FORMAT csv)")).await;
        assert_eq!(written.unwrap().count(), 8);
        session.run("CREATE TABLE back (a bigint, b text)").await.unwrap();
        assert_eq!(session.run(&format!("COPY back FROM '{name}' CSV")).await.unwrap().count(), 8);
        let difference = session.rows("SELECT * FROM t EXCEPT ALL SELECT * FROM back").await.unwrap();
        assert!(difference.is_empty(), "{name}: {difference:?}");
        session.run("DROP TABLE back").await.unwrap();
    }
    parquet_comes_back(&session).await;
    let escaped = session.run("COPY t TO '../out.csv'").await.unwrap_err();
    assert!(escaped.has_code("42501"), "{escaped}");
    let failed = session.run("COPY (SELECT 1 / (a - 8) FROM t) TO 'failed.csv'").await.unwrap_err();
    assert!(failed.has_code("22012") && !Path::new(&files.join("failed.csv")).exists());
    let left = std::fs::read_dir(&files)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with("partial"));
    assert_eq!(left.count(), 0, "nothing is left of a file that was not completed");
}

/// Lines `id,value` for the ids from the first to the last.
fn pairs(first: usize, last: usize, value: i64) -> Vec<u8> {
    (first..=last).flat_map(|id| format!("{id},{value}\n").into_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_stream_of_more_rows_than_stay_in_memory_is_harmless() {
    let folder = TempDir::new().unwrap();
    let server = Meridian::start(&folder.path().join("data")).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    session.run("CREATE TABLE k (id text PRIMARY KEY, v bigint, twice bigint UNIQUE)").await.unwrap();
    session.run("CREATE MATERIALIZED VIEW sums AS SELECT v, count(*) AS n FROM k GROUP BY v").await.unwrap();
    session.run("CREATE TABLE one (id bigint PRIMARY KEY, v bigint)").await.unwrap();
    session.run("INSERT INTO one SELECT g, 0 FROM generate_series(1, 20000) g").await.unwrap();
    session.run("INSERT INTO k SELECT g::text, 0, g * 2 FROM generate_series(1, 20000) g").await.unwrap();
    let sums = "SELECT string_agg(v || ':' || n, ' ' ORDER BY v) FROM (SELECT v, count(*) AS n FROM one GROUP BY v) s";

    let replay = [pairs(10_001, 30_000, 1), pairs(15_001, 15_100, 2), pairs(29_001, 29_010, 3)].concat();
    let update = "COPY one FROM STDIN WITH (FORMAT csv, ON_CONFLICT update)";
    for _ in 0..2 {
        assert_eq!(session.copy_in(update, &replay).await.unwrap(), 20_000);
        assert_eq!(session.value(sums).await.unwrap().as_deref(), Some("0:10000 1:19890 2:100 3:10"));
    }
    let ignore = "COPY one FROM STDIN WITH (FORMAT csv, ON_CONFLICT ignore)";
    let more = [pairs(1, 40_000, 9), pairs(39_001, 39_500, 8)].concat();
    for stored in [10_000, 0] {
        assert_eq!(session.copy_in(ignore, &more).await.unwrap(), stored);
        assert_eq!(session.value(sums).await.unwrap().as_deref(), Some("0:10000 1:19890 2:100 3:10 9:10000"));
    }

    // Two keys: the primary one decides, and the other is held against what is left in the end.
    let triples = |first: usize, last: usize, value: i64, shift: usize| -> Vec<u8> {
        (first..=last).flat_map(|id| format!("{id},{value},{}\n", id * 2 + shift).into_bytes()).collect()
    };
    let update = "COPY k FROM STDIN WITH (FORMAT csv, ON_CONFLICT update)";
    let replay = [triples(1, 20_000, 1, 1), triples(1, 10, 2, 0)].concat();
    assert_eq!(session.copy_in(update, &replay).await.unwrap(), 20_000);
    let taken = [triples(1, 20_000, 3, 0), triples(20_000, 20_000, 4, 5)].concat();
    assert_eq!(session.copy_in(update, &taken).await.unwrap(), 20_000);
    let failure = session.copy_in(update, &[triples(1, 9_000, 5, 0), triples(7, 7, 5, 2)].concat()).await.unwrap_err();
    assert!(failure.has_code("23505") && failure.message.contains("k_twice_key"), "{failure}");
    let of_view = session.rows("SELECT v, n FROM sums ORDER BY v").await.unwrap();
    let row = |v: &str, n: &str| vec![Some(v.to_string()), Some(n.to_string())];
    assert_eq!(of_view, vec![row("3", "19999"), row("4", "1")]);
    server.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_before_a_load_commits_is_a_conflict() {
    let folder = TempDir::new().unwrap();
    let server = Meridian::start(&folder.path().join("data")).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    let other = Session::connect(server.address()).await.unwrap();
    session.run("CREATE TABLE one (id bigint PRIMARY KEY, v bigint)").await.unwrap();
    for (action, key) in [("ignore", 1), ("update", 2)] {
        let copy = format!("COPY one FROM STDIN WITH (FORMAT csv, ON_CONFLICT {action})");
        let line = format!("{key},1\n");
        session.run("BEGIN").await.unwrap();
        assert_eq!(session.copy_in(&copy, line.as_bytes()).await.unwrap(), 1);
        other.run(&format!("INSERT INTO one VALUES ({key}, 5)")).await.unwrap();
        let failure = session.run("COMMIT").await.unwrap_err();
        assert!(failure.has_code("40001"), "{action}: {failure}");
        let stored = session.copy_in(&copy, line.as_bytes()).await.unwrap();
        assert_eq!(stored, u64::from(action == "update"));
    }
    let rows = session.value("SELECT string_agg(v::text, ',' ORDER BY id) FROM one").await.unwrap();
    assert_eq!(rows.as_deref(), Some("5,1"));
    server.stop().unwrap();
}
