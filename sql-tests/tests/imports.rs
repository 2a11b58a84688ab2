//! `meridian import` as it is typed: what is loaded of files, what is refused, and what is said.

use sql_tests::meridian::{Meridian, command};
use sql_tests::session::Session;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A server and a folder for files.
struct Place {
    folder: TempDir,
    server: Meridian,
    session: Session,
}

impl Place {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let server = Meridian::start(&folder.path().join("data")).unwrap();
        let session = Session::connect(server.address()).await.unwrap();
        Self { folder, server, session }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Runs an import in the folder, and says whether it succeeded and what it said.
    fn import(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = command().unwrap();
        command.current_dir(self.folder.path()).arg("import").args(arguments);
        command.args(["--listen", &self.server.address().to_string()]);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn imported(&self, arguments: &[&str]) -> String {
        let (loaded, said) = self.import(arguments);
        assert!(loaded, "{arguments:?}: {said}");
        said
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let (loaded, said) = self.import(arguments);
        assert!(!loaded, "{arguments:?}: {said}");
        said
    }

    /// The rows of a query, one a line.
    async fn rows(&self, query: &str) -> String {
        let shown = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_string());
        let rows = self.session.rows(query).await.unwrap().into_iter();
        rows.map(|row| row.into_iter().map(shown).collect::<Vec<_>>().join("|")).collect::<Vec<_>>().join("\n")
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_late_are_loaded_or_refused_with_their_line() {
    let place = Place::new().await;
    place.session.run("CREATE TABLE events (id bigint, note text DEFAULT 'none', doc jsonb)").await.unwrap();
    let early: String = (0..60_000).map(|id| format!("{{\"id\":{id},\"doc\":null}}\n")).collect();
    let late = early.clone() + "{\"ID\":60000,\"note\":\"late\",\"doc\":{\"a\":[1.50,\"x\"]}}\n";
    place.write("late.jsonl", &late);
    place.imported(&["late.jsonl", "--table", "events"]);
    let found = place.rows("SELECT note, count(*), max(doc::text) FROM events GROUP BY note ORDER BY note").await;
    assert_eq!(found, "late|1|{\"a\": [1.50, \"x\"]}\nnone|60000|NULL");
    place.write("unknown.jsonl", late + "\n{\"id\":1,\"colour\":\"red\"}\n");
    let said = place.refused(&["unknown.jsonl", "--table", "events"]);
    assert!(said.contains("line 60003") && said.contains("member \"colour\""), "{said}");
    assert_eq!(place.rows("SELECT count(*) FROM events").await, "60001");
    place.imported(&["late.jsonl", "--table", "made", "--create"]);
    assert_eq!(place.rows("SELECT note, doc FROM made WHERE id = 60000").await, "late|{\"a\": [1.50, \"x\"]}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_objects_are_rejects_where_rejects_go_somewhere() {
    let place = Place::new().await;
    place.write("e.jsonl", "\u{feff}{\"id\":1}\n{\"id\":\"x\"}\n[2]\n{\"id\":3}\n{\"id\":4");
    place.session.run("CREATE TABLE e (id bigint)").await.unwrap();
    let said = place.refused(&["e.jsonl", "--table", "e"]);
    assert!(said.contains("line 2") || said.contains("line 3"), "{said}");
    let said = place.imported(&["e.jsonl", "--table", "e", "--rejects", "wrong.csv"]);
    assert!(said.contains("line 3 is rejected: the line is no JSON object"), "{said}");
    assert_eq!(place.rows("SELECT id FROM e ORDER BY id").await, "1\n3");
    assert_eq!(
        place.rows("SELECT line, btrim(raw_line, E'\\t') FROM e_rejects ORDER BY line").await,
        "2|x\n3|[2]\n5|{\"id\":4"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_line_is_names_or_values_or_asked_for() {
    let place = Place::new().await;
    place.write("ids.csv", "id,2023,2024,,id\n1,10,20,,x\n");
    place.imported(&["ids.csv", "--table", "ids", "--create"]);
    assert_eq!(place.rows("SELECT id, \"2023\", \"2024\", column4, id_2 FROM ids").await, "1|10|20|NULL|x");
    place.write("codes.csv", "DE,Germany\nFR,France\n");
    let said = place.refused(&["codes.csv", "--table", "codes", "--create"]);
    assert!(said.contains("--header true or --header false"), "{said}");
    assert_eq!(place.rows("SELECT to_regclass('codes')").await, "NULL");
    place.imported(&["codes.csv", "--table", "codes", "--create", "--header", "false"]);
    assert_eq!(place.rows("SELECT count(*) FROM codes").await, "2");
    place.session.run("CREATE TABLE sums (region text, \"2023\" int, \"2024\" int)").await.unwrap();
    place.write("sums.csv", "region,2023,2024\nEMEA,100,200\n");
    place.imported(&["sums.csv", "--table", "sums"]);
    assert_eq!(place.rows("SELECT * FROM sums").await, "EMEA|100|200");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_changed_by_a_guess() {
    let place = Place::new().await;
    let rates: String = (0..150_000).map(|id| format!("{id},1.5,2025-01-01 10:00:00\n")).collect();
    place.write("a.csv", "id,rate,at\n".to_string() + &rates + "150000,1.23456,2025-01-01 10:00:00+05:00\n");
    place.write("b.csv", "id,rate,at\n-1,0.1234567,2025-01-01 10:00 - note\n");
    place.imported(&["a.csv", "b.csv", "--table", "t", "--create"]);
    let found = place.rows("SELECT rate, at FROM t WHERE id IN (-1, 150000) ORDER BY id").await;
    assert_eq!(found, "0.1234567|2025-01-01 10:00 - note\n1.2345600|2025-01-01 10:00:00+05:00");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_refused() {
    let place = Place::new().await;
    let made = std::process::Command::new("mkfifo").arg(place.path("pipe.csv")).status().unwrap();
    assert!(made.success());
    let said = place.refused(&["pipe.csv", "--table", "t", "--create"]);
    assert!(said.contains("no regular file") && said.contains("FROM STDIN"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_one_name_are_loads_of_their_own() {
    let place = Place::new().await;
    place.write("d1/s.csv", "id,n\n1,1\n");
    place.write("d2/s.csv", "id,n\n1,1\n");
    place.write("d3/s.csv", "id,n\n2,2\n");
    place.imported(&["d1/s.csv", "d2/s.csv", "d3/s.csv", "--table", "t", "--create"]);
    assert_eq!(place.rows("SELECT count(*) FROM t").await, "3");
    place.imported(&["./d1/s.csv", "--table", "t"]);
    place.imported(&["d*/s.csv", "--table", "t"]);
    assert_eq!(place.rows("SELECT count(*) FROM t").await, "3", "the same paths are loaded once");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_of_a_run_are_in_its_file_alone() {
    let place = Place::new().await;
    place.session.run("CREATE TABLE \"Weird Name\" (id bigint, n bigint)").await.unwrap();
    place.write("a.csv", "id,n\n1,x\n");
    place.write("b.csv", "id,n\n2,y\n3,z\n");
    let import = |file: &'static str, rejects: &'static str| {
        place.import(&[file, "--table", "\"Weird Name\"", "--rejects", rejects])
    };
    assert!(import("a.csv", "wrong.csv").0);
    assert_eq!(lines(&place.path("wrong.csv")), 2, "{}", place.read("wrong.csv"));
    assert!(import("b.csv", "wrong.csv").0);
    assert_eq!(lines(&place.path("wrong.csv")), 3, "{}", place.read("wrong.csv"));
    assert_eq!(place.rows("SELECT count(*) FROM \"Weird Name_rejects\"").await, "3");
    place.write("c.csv", "id,n\n4,4\n");
    let (loaded, said) = import("c.csv", "nowhere/wrong.csv");
    assert!(!loaded && said.contains("could not write"), "{said}");
    assert_eq!(place.rows("SELECT count(*) FROM \"Weird Name\"").await, "0", "nothing was loaded before");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_not_utf8_are_said_or_refused_with_a_hint() {
    let place = Place::new().await;
    place.write("latin.csv", b"id,name\n1,caf\xe9\n");
    let said = place.refused(&["latin.csv", "--table", "t", "--create"]);
    assert!(said.contains("--encoding"), "{said}");
    place.imported(&["latin.csv", "--table", "t", "--create", "--encoding", "latin1"]);
    assert_eq!(place.rows("SELECT name FROM t").await, "caf\u{e9}");
    place.write("marked.csv", "\u{feff}id,name\n2,x\n");
    place.imported(&["marked.csv", "--table", "t"]);
    assert_eq!(place.rows("SELECT name FROM t WHERE id = 2").await, "x");
    let said = place.refused(&["marked.csv", "--table", "t", "--encoding", "klingon"]);
    assert!(said.contains("\"klingon\" is no encoding"), "{said}");
}
