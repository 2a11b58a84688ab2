//! Backup and restore with the real program: under load, after a kill, again and again, and what users get wrong.

use sql_tests::meridian::{FREE_PORT, Meridian, command};
use sql_tests::session::{Session, TextRow};
use sql_tests::view_check::first_difference;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const SALES: &str = "CREATE TABLE sales (sold_on date, region text, amount numeric(12,2)) PARTITION BY (region, month(sold_on));
    CREATE MATERIALIZED VIEW by_region AS SELECT region, count(*) AS orders, sum(amount) AS revenue FROM sales GROUP BY region;
    CREATE MATERIALIZED VIEW regions AS SELECT count(DISTINCT region) AS regions FROM sales;
    INSERT INTO sales SELECT DATE '2025-01-01' + (n % 300)::int, 'region ' || n % 3, n FROM generate_series(1, 20000) n;
    DELETE FROM sales WHERE amount < 100";

/// What the program printed on standard output; it must succeed.
fn done(arguments: &[&str]) -> String {
    let output = command().unwrap().args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} ended with {}: {error}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// What the program printed on standard error; it must fail without a panic.
fn refused(arguments: &[&str]) -> String {
    let output = command().unwrap().args(arguments).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?} ended with success");
    assert!(!error.contains("panicked"), "{error}");
    error
}

/// Directories of one test.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    /// A place whose data directory has sales in segments, and no server.
    fn with_sales() -> Self {
        let place = Self::new();
        let server = Meridian::start(&place.at("data")).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let session = Session::connect(server.address()).await.unwrap();
            session.run(SALES).await.unwrap();
            session.run("CHECKPOINT").await.unwrap();
        });
        server.stop().unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_string()
    }

    /// The files below the only backup, or the last one by name.
    fn files_of_last_backup(&self, name: &str) -> BTreeMap<String, u64> {
        let mut backups: Vec<PathBuf> =
            std::fs::read_dir(self.at(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        backups.retain(|path| path.is_dir());
        backups.sort();
        let mut found = BTreeMap::new();
        collect(backups.last().unwrap(), backups.last().unwrap(), &mut found);
        found
    }
}

/// The inodes of all files below a directory, by relative path.
fn collect(root: &Path, directory: &Path, found: &mut BTreeMap<String, u64>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_string();
            found.insert(name, path.metadata().unwrap().ino());
        }
    }
}

async fn rows(session: &Session, sql: &str) -> Vec<TextRow> {
    session.rows(sql).await.unwrap()
}

async fn totals(server: &Meridian) -> Vec<TextRow> {
    let session = Session::connect(server.address()).await.unwrap();
    assert!(first_difference(&session).await.unwrap().is_none());
    rows(&session, "SELECT region, count(*), sum(amount) FROM sales GROUP BY region ORDER BY region").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_survives_the_loss_of_the_directory() {
    let place = Place::new();
    let server = Meridian::start(&place.at("data")).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    session.run(SALES).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (address, stop) = (server.address(), Arc::clone(&stop));
        async move {
            let session = Session::connect(address).await.unwrap();
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                // Each transaction adds as much as it takes away, so that any snapshot has one sum.
                let sql = format!(
                    "BEGIN; INSERT INTO sales VALUES ('2026-01-01', 'load', {number}), ('2026-01-01', 'load', -{number}); COMMIT"
                );
                session.run(&sql).await.unwrap();
                if number % 20 == 0 {
                    session.run("CHECKPOINT").await.unwrap();
                }
            }
            number
        }
    });
    let listen = server.address().to_string();
    let mut printed = Vec::new();
    for _ in 0..3 {
        printed.push(done(&["backup", &place.text("backups"), "--data-dir", &place.text("data"), "--listen", &listen]));
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() > 0);
    assert!(printed[0].starts_with("backed up commit "), "{printed:?}");
    server.kill().unwrap();
    std::fs::remove_dir_all(place.at("data")).unwrap();

    let said = done(&["restore", &place.text("backups"), "--data-dir", &place.text("again")]);
    assert!(said.starts_with("restored commit "), "{said}");
    let restored = Meridian::start(&place.at("again")).unwrap();
    let session = Session::connect(restored.address()).await.unwrap();
    assert!(first_difference(&session).await.unwrap().is_none());
    let old = "SELECT count(*), sum(amount) FROM sales WHERE region <> 'load'";
    assert_eq!(rows(&session, old).await, [[Some("19901".into()), Some("200005050.00".into())]]);
    let load = rows(&session, "SELECT count(*) % 2, sum(amount) FROM sales WHERE region = 'load'").await;
    assert_eq!(load, [[Some("0".into()), Some("0.00".into())]], "a transaction is in it whole or not at all");
    session.run("INSERT INTO sales VALUES ('2026-02-02', 'after', 1)").await.unwrap();
    assert!(first_difference(&session).await.unwrap().is_none());
    restored.stop().unwrap();
    Meridian::start(&place.at("again")).unwrap().stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_copies_what_is_new_and_both_can_be_restored() {
    let place = Place::new();
    let server = Meridian::start(&place.at("data")).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    session.run(SALES).await.unwrap();
    session.run("CHECKPOINT").await.unwrap();
    let backup = format!("BACKUP TO '{}'", place.text("backups"));
    let first = rows(&session, &backup).await;
    assert_eq!(first[0][2], first[0][4], "all segments are new to the first backup");
    let before = totals(&server).await;
    let time = rows(&session, "SELECT now()").await[0][0].clone().unwrap();
    let files_before = place.files_of_last_backup("backups");

    session.run("INSERT INTO sales VALUES ('2025-01-05', 'region 0', 0.5), ('2026-05-05', 'new', 7)").await.unwrap();
    session.run("CHECKPOINT").await.unwrap();
    let after = totals(&server).await;
    server.stop().unwrap();
    // No server holds the directory any more: the program copies by itself.
    let said = done(&["backup", &place.text("backups"), "--data-dir", &place.text("data")]);
    let files_after = place.files_of_last_backup("backups");
    let is_segment = |name: &&String| name.ends_with(".parquet");
    let shared = files_after.iter().filter(|(name, inode)| is_segment(name) && files_before.get(*name) == Some(inode));
    let shared = shared.count();
    let segments = files_after.keys().filter(is_segment).count();
    assert!(shared > segments / 2 && shared < segments, "{shared} of {segments} segments are shared: {said}");
    assert!(said.contains(&format!("{} segments, ", segments - shared)), "{said}");

    let listed = done(&["backup", "--list", &place.text("backups")]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    std::fs::remove_dir_all(place.at("data")).unwrap();
    for (to_time, expected) in [(None, after), (Some(time), before)] {
        let data_dir = place.text("restored");
        let source = place.text("backups");
        let mut arguments = vec!["restore", &source, "--data-dir", &data_dir];
        arguments.extend(to_time.iter().flat_map(|time| ["--to-time", time.as_str()]));
        done(&arguments);
        let server = Meridian::start(&place.at("restored")).unwrap();
        assert_eq!(totals(&server).await, expected);
        server.stop().unwrap();
        std::fs::remove_dir_all(place.at("restored")).unwrap();
    }
    let refusal =
        refused(&["restore", &place.text("backups"), "--data-dir", &place.text("x"), "--to-time", "2020-01-01"]);
    assert!(
        refusal.contains("there is no backup of that time or before")
            && refusal.contains("The oldest time that they have is 20"),
        "{refusal}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn any_time_of_the_history_can_be_restored() {
    let place = Place::new();
    let server = Meridian::start(&place.at("data")).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    let before_all = rows(&session, "SELECT clock_timestamp()").await[0][0].clone().unwrap();
    let steps = [
        SALES,
        "DELETE FROM sales WHERE region = 'region 1'",
        "CHECKPOINT",
        "UPDATE sales SET amount = amount + 1 WHERE region = 'region 2'",
        "CHECKPOINT",
        "INSERT INTO sales VALUES ('2026-05-05', 'new', 7)",
        "DELETE FROM sales",
        "CHECKPOINT",
        "DROP TABLE sales CASCADE",
    ];
    let mut moments = Vec::new();
    for step in steps {
        session.run(step).await.unwrap();
        if !step.starts_with("DROP") {
            moments
                .push((rows(&session, "SELECT clock_timestamp()").await[0][0].clone().unwrap(), totals(&server).await));
        }
    }
    // The second one has the log that the first one has not.
    for _ in 0..2 {
        rows(&session, &format!("BACKUP TO '{}'", place.text("backups"))).await;
    }
    server.stop().unwrap();
    std::fs::remove_dir_all(place.at("data")).unwrap();
    let restore_to = |time: &str| {
        done(&["restore", &place.text("backups"), "--data-dir", &place.text("restored"), "--to-time", time])
    };
    for (time, expected) in moments {
        let said = restore_to(&time);
        assert!(said.contains("is left out"), "{said}");
        let checked = done(&["check", "--data-dir", &place.text("restored")]);
        assert!(checked.contains("No problems were found"), "{checked}");
        let server = Meridian::start(&place.at("restored")).unwrap();
        assert_eq!(totals(&server).await, expected, "at {time}");
        let session = Session::connect(server.address()).await.unwrap();
        assert!(first_difference(&session).await.unwrap().is_none());
        session.run("INSERT INTO sales VALUES ('2026-05-06', 'after', 1)").await.unwrap();
        server.stop().unwrap();
        std::fs::remove_dir_all(place.at("restored")).unwrap();
    }
    let refused_at =
        |time: &str| refused(&["restore", &place.text("backups"), "--data-dir", &place.text("x"), "--to-time", time]);
    let early = refused_at(&before_all);
    assert!(
        early.contains("there is no backup of that time or before") && early.contains("The oldest time"),
        "{early}"
    );
    let late = refused_at("2999-01-01");
    assert!(late.contains("do not have that time") && late.contains("The newest was made at"), "{late}");
}

#[test]
fn an_interrupted_backup_is_never_restored_and_the_next_one_goes_on() {
    let place = Place::with_sales();
    let (backups, data) = (place.text("backups"), place.text("data"));
    done(&["backup", &backups, "--data-dir", &data]);
    // What a crash leaves: everything but the last step, a half-written copy, a file that the next backup has no use for.
    let mut made = std::fs::read_dir(place.at("backups")).unwrap().map(|entry| entry.unwrap().path());
    let made = made.find(|path| path.is_dir()).unwrap();
    let unfinished = place.at("backups").join("unfinished");
    std::fs::rename(&made, &unfinished).unwrap();
    std::fs::remove_file(unfinished.join("MANIFEST")).unwrap();
    let mut files = BTreeMap::new();
    collect(&unfinished, &unfinished, &mut files);
    let segments: Vec<&String> = files.keys().filter(|name| name.ends_with(".parquet")).collect();
    let (torn, kept) = (unfinished.join(segments[0]), unfinished.join(segments[1]));
    let kept_inode = kept.metadata().unwrap().ino();
    std::fs::write(&torn, &std::fs::read(&torn).unwrap()[..100]).unwrap();
    std::fs::write(torn.with_extension("parquet.tmp"), "half").unwrap();

    let refusal = refused(&["restore", &backups, "--data-dir", &place.text("restored")]);
    assert!(refusal.contains("there is no backup in") && refusal.contains("interrupted"), "{refusal}");
    assert!(done(&["backup", "--list", &backups]).starts_with("unfinished"));
    let said = done(&["backup", &backups, "--data-dir", &data]);
    assert!(said.contains("; 1 segments, "), "one segment had to be copied again: {said}");
    let files = place.files_of_last_backup("backups");
    assert_eq!(files.get(segments[1].as_str()), Some(&kept_inode), "what was whole was kept");
    assert!(!files.keys().any(|name| name.ends_with(".tmp")), "{files:?}");
    done(&["restore", &backups, "--data-dir", &place.text("restored")]);
    Meridian::start(&place.at("restored")).unwrap().stop().unwrap();
}

#[test]
fn a_damaged_backup_is_refused_and_the_one_before_can_be_chosen() {
    let place = Place::with_sales();
    let (backups, data, restored) = (place.text("backups"), place.text("data"), place.text("restored"));
    done(&["backup", &backups, "--data-dir", &data]);
    let names = place.files_of_last_backup("backups");
    let mut directory = std::fs::read_dir(place.at("backups")).unwrap().map(|entry| entry.unwrap().path());
    let directory = directory.find(|path| path.is_dir()).unwrap();
    let suffixes = [".parquet", ".ckpt", "MANIFEST"];
    for name in suffixes.map(|suffix| names.keys().find(|name| name.ends_with(suffix)).unwrap()) {
        let whole = std::fs::read(directory.join(name)).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 4;
        std::fs::write(directory.join(name), &damaged).unwrap();
        let refusal = refused(&["restore", &backups, "--data-dir", &restored]);
        assert!(refusal.contains("is damaged") && refusal.contains("HINT"), "{name}: {refusal}");
        assert!(!place.at("restored").exists(), "it can be repeated");
        std::fs::write(directory.join(name), &whole).unwrap();
    }
    done(&["restore", &backups, "--data-dir", &restored]);
}

#[test]
fn wrong_places_are_refused_with_what_to_do() {
    let place = Place::new();
    let (data, backups) = (place.text("data"), place.text("backups"));
    let server = Meridian::start(&place.at("data")).unwrap();
    let other = Meridian::start(&place.at("other")).unwrap();
    let listen = server.address().to_string();

    let refusal = refused(&["backup", &backups, "--data-dir", &place.text("nowhere")]);
    assert!(refusal.contains("there is no data directory") && refusal.contains("--data-dir"), "{refusal}");
    let refusal = refused(&["backup", &backups, "--data-dir", &data, "--listen", &other.address().to_string()]);
    assert!(refusal.contains("serves") && refusal.contains("--listen"), "{refusal}");
    let refusal = refused(&["backup", &backups, "--data-dir", &data, "--listen", "127.0.0.1:1"]);
    assert!(refusal.contains("a server holds") && refusal.contains("--listen"), "{refusal}");
    assert!(refusal.contains("Connection refused"), "{refusal}");
    let refusal = refused(&["backup", &backups, "--listen", FREE_PORT]);
    assert!(refusal.contains("invalid address"), "{refusal}");
    let refusal = refused(&["backup", &format!("{data}/backups"), "--data-dir", &data, "--listen", &listen]);
    assert!(refusal.contains("lies inside of"), "{refusal}");
    std::fs::create_dir(place.at("letters")).unwrap();
    std::fs::write(place.at("letters").join("letter.txt"), "words").unwrap();
    let refusal = refused(&["backup", &place.text("letters"), "--data-dir", &data, "--listen", &listen]);
    assert!(refusal.contains("is not a directory of backups"), "{refusal}");
    assert_eq!(std::fs::read_dir(place.at("letters")).unwrap().count(), 1);

    let refusal = refused(&["restore", &backups, "--data-dir", &place.text("x")]);
    assert!(refusal.contains("there is no backup in"), "{refusal}");
    for mistyped in ["nowhere", "letters", "data"] {
        let refusal = refused(&["backup", &place.text(mistyped), "--list"]);
        assert!(refusal.contains("there is no backup in") && refusal.contains("was given"), "{refusal}");
        let refusal = refused(&["restore", &place.text(mistyped), "--data-dir", &place.text("x")]);
        assert!(refusal.contains("there is no backup in") && refusal.contains("was given"), "{refusal}");
    }
    assert!(!place.at("nowhere").exists());
    let refusal = refused(&["check", "--data-dir", &place.text("letters")]);
    assert!(refusal.contains("there is no data directory") && refusal.contains("Name the one"), "{refusal}");
    let said = done(&["backup", &backups, "--listen", &listen]);
    assert!(!said.contains("before"), "it is the first: {said}");
    let refusal = refused(&["restore", &backups, "--data-dir", &data]);
    assert!(refusal.contains("is not empty") && refusal.contains("new or empty directory"), "{refusal}");
    let refusal = refused(&["restore", &backups, "--data-dir", &place.text("x"), "--to-time", "yesterdya"]);
    assert!(refusal.contains("yesterdya") && refusal.contains("HINT"), "{refusal}");
    let refusal = refused(&["serve", "--data-dir", &backups]);
    assert!(refusal.contains("is not a data directory"), "{refusal}");
}

/// A directory that was closed in order, with segments of a table and of a view's state.
fn closed_directory(place: &Place) {
    let server = Meridian::start(&place.at("data")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let session = Session::connect(server.address()).await.unwrap();
        session.run(SALES).await.unwrap();
        // More groups than a fold puts into the log.
        let by_amount =
            "CREATE MATERIALIZED VIEW by_amount AS SELECT amount, count(*) AS orders FROM sales GROUP BY amount";
        session.run(by_amount).await.unwrap();
        session
            .run("CHECKPOINT; DELETE FROM sales WHERE amount = 777; INSERT INTO sales VALUES ('2025-01-01', 'late', 1)")
            .await
            .unwrap();
    });
    server.stop().unwrap();
}

/// Changes one bit in the middle of a file.
fn flip(path: &Path) {
    let mut content = std::fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(path, content).unwrap();
}

fn check(data_dir: &Path) -> (bool, String) {
    let arguments = ["check", "--data-dir", data_dir.to_str().unwrap()];
    let output = command().unwrap().args(arguments).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("panicked"), "{text}");
    (output.status.success(), text)
}

#[test]
fn a_check_finds_a_flipped_bit_in_each_kind_of_file_and_changes_nothing() {
    let place = Place::new();
    closed_directory(&place);
    let (sound, text) = check(&place.at("data"));
    assert!(sound && text.contains("No problems were found."), "{text}");
    for kind in ["log", "checkpoints", "index", "segments", "views"] {
        assert!(text.lines().any(|line| line.starts_with(kind)), "{kind}: {text}");
    }
    let mut files = BTreeMap::new();
    collect(&place.at("data"), &place.at("data"), &mut files);
    type Kind = (&'static str, fn(&str) -> bool);
    let kinds: [Kind; 4] = [
        (".log", |name| name.ends_with(".log")),
        (".ckpt", |name| name.ends_with(".ckpt")),
        ("index", |name| name == "index/db"),
        (".parquet", |name| name.ends_with(".parquet")),
    ];
    for (kind, is_of_kind) in kinds {
        let name = files.keys().find(|name| is_of_kind(name)).unwrap();
        let path = place.at("data").join(name);
        let whole = std::fs::read(&path).unwrap();
        match kind {
            // sled leaves room that nobody would miss.
            "index" => std::fs::write(&path, vec![0x5a; whole.len()]).unwrap(),
            // The first commits, behind which valid ones follow.
            ".log" => {
                let mut content = whole.clone();
                content[40] ^= 1;
                std::fs::write(&path, content).unwrap();
            }
            _ => flip(&path),
        }
        let damaged = std::fs::read(&path).unwrap();
        let (sound, text) = check(&place.at("data"));
        assert!(!sound && text.contains("PROBLEM:") && text.contains("HINT:"), "{kind}: {text}");
        let file = Path::new(name).file_name().unwrap().to_str().unwrap();
        assert!(text.contains(if kind == "index" { "index" } else { file }), "{kind}: {text}");
        assert!(std::fs::read(&path).unwrap() == damaged, "{kind}");
        std::fs::write(&path, whole).unwrap();
    }
    assert!(check(&place.at("data")).0);
    let server = Meridian::start(&place.at("data")).unwrap();
    let (sound, text) = check(&place.at("data"));
    assert!(!sound && text.contains("is in use by another server"), "{text}");
    server.stop().unwrap();
}

#[test]
fn a_damaged_file_of_a_state_is_no_reason_not_to_start() {
    for missing in [true, false] {
        let place = Place::new();
        closed_directory(&place);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut files = BTreeMap::new();
        collect(&place.at("data"), &place.at("data"), &mut files);
        // Tables have partitions here, states have none.
        let is_state = |name: &&String| name.ends_with(".parquet") && name.split('/').count() == 3;
        let path = place.at("data").join(files.keys().find(is_state).expect("a state has a segment"));
        if missing {
            std::fs::remove_file(&path).unwrap();
        } else {
            flip(&path);
        }
        let server = Meridian::start(&place.at("data")).unwrap();
        runtime.block_on(async {
            let session = Session::connect(server.address()).await.unwrap();
            // A damaged state is found in the background.
            for _ in 0..100 {
                if session.rows("SELECT * FROM by_amount LIMIT 1").await.is_ok() {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            assert!(first_difference(&session).await.unwrap().is_none());
            session.run("CHECKPOINT").await.unwrap();
        });
        server.stop().unwrap();
        let (sound, text) = check(&place.at("data"));
        assert!(sound, "{text}");
    }
}

#[test]
fn a_lost_file_of_the_past_costs_nothing_else() {
    let place = Place::with_sales();
    let (backups, data) = (place.text("backups"), place.text("data"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Meridian::start(&place.at("data")).unwrap();
    let (time, lost) = runtime.block_on(async {
        let session = Session::connect(server.address()).await.unwrap();
        session.run("CREATE TABLE other AS SELECT * FROM sales").await.unwrap();
        session.run("CHECKPOINT").await.unwrap();
        let path = "SELECT path FROM meridian.segments WHERE \"table\" = 'sales' ORDER BY path LIMIT 1";
        let lost = rows(&session, path).await[0][0].clone().unwrap();
        let time = rows(&session, "SELECT clock_timestamp()").await[0][0].clone().unwrap();
        session.run("TRUNCATE sales; DROP TABLE other").await.unwrap();
        session.run("CHECKPOINT").await.unwrap();
        (time, lost)
    });
    server.stop().unwrap();
    let file = place.at("data").join(&lost);
    let whole = std::fs::read(&file).unwrap();
    flip(&file);
    let (sound, text) = check(&place.at("data"));
    assert!(!sound && text.contains(&lost) && text.contains("The present is not concerned"), "{text}");
    assert!(text.contains("without a state"), "views need no past and are compared: {text}");
    let backed_up = |more: &[&str]| {
        let output = command().unwrap().args(["backup", &backups]).args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("the history of this backup begins at 20") && said.contains(&lost), "{said}");
    };
    backed_up(&["--data-dir", &data]);

    std::fs::remove_file(&file).unwrap();
    let (sound, text) = check(&place.at("data"));
    assert!(!sound && text.contains("is missing") && text.contains("The present is not concerned"), "{text}");
    let server = Meridian::start(&place.at("data")).unwrap();
    assert!(server.output().contains("files that only earlier times need"), "{}", server.output());
    let as_of = |table: &str| format!("SELECT count(*), sum(amount) > 0 FROM {table} FOR SYSTEM_TIME AS OF '{time}'");
    runtime.block_on(async {
        let session = Session::connect(server.address()).await.unwrap();
        assert_eq!(rows(&session, &as_of("other")).await, [[Some("19901".to_string()), Some("t".to_string())]]);
        let error = session.run(&as_of("sales")).await.unwrap_err();
        assert!(format!("{error:?}").contains("is missing"), "{error:?}");
    });
    backed_up(&["--listen", &server.address().to_string()]);
    server.stop().unwrap();
    done(&["restore", &backups, "--data-dir", &place.text("restored")]);
    let (sound, text) = check(&place.at("restored"));
    assert!(sound, "{text}");

    // Its directory may be gone with its other files.
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, whole).unwrap();
    assert!(check(&place.at("data")).0, "the file came back from somewhere");
}
