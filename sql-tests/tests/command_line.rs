//! The program as it is typed: help, settings, signals, passwords.

use sql_tests::meridian::{FREE_PORT, Meridian, Starting, command};
use sql_tests::session::Session;
use std::path::Path;
use tempfile::TempDir;
use tokio_postgres::{Config, NoTls};

fn output_of(arguments: &[&str]) -> String {
    let output = command().unwrap().args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?} ended with {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn refusal(data_dir: &Path, listen: &str, arguments: &[&str]) -> String {
    let starting = Starting::spawn(data_dir, listen, |command| {
        command.args(arguments);
    });
    let (status, output) = starting.unwrap().wait_for_refusal().unwrap();
    assert!(!status.success(), "the server ended with success, but: {output}");
    assert!(!output.contains("panicked"), "{output}");
    output
}

#[test]
fn help_shows_examples_and_version_a_version() {
    let help = output_of(&["--help"]);
    assert!(help.contains("meridian serve") && help.contains("meridian demo") && help.contains("Examples"), "{help}");
    assert!(output_of(&["--version"]).starts_with("meridian "));
}

/// Runs the program with an output that nobody reads.
fn unheard(arguments: &[&str]) -> (bool, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command().unwrap().args(arguments).stdout(writer).output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn commands_that_nobody_listens_to_do_what_they_were_asked() {
    let folder = TempDir::new().unwrap();
    let text = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (data, backups, again) = (text("data"), text("backups"), text("again"));
    Meridian::start(&folder.path().join("data")).unwrap().stop().unwrap();
    let commands: [&[&str]; 5] = [
        &["backup", &backups, "--data-dir", &data],
        &["backup", &backups, "--list"],
        &["restore", &backups, "--data-dir", &again],
        &["check", "--data-dir", &again],
        &["generate", "--rows", "1000"],
    ];
    for arguments in commands {
        let (succeeded, said) = unheard(arguments);
        assert!(succeeded && !said.contains("panic"), "{arguments:?}: {said}");
    }
}

#[test]
fn an_import_makes_no_data_directory_by_mistake() {
    let folder = TempDir::new().unwrap();
    let (file, mistyped) = (folder.path().join("sales.csv"), folder.path().join("mistyped"));
    std::fs::write(&file, "a,b\n1,2\n").unwrap();
    let import = |more: &[&str]| {
        let mut command = command().unwrap();
        command.arg("import").arg(&file).args(["--table", "sales", "--data-dir"]).arg(&mistyped).args(more);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (loaded, said) = import(&[]);
    assert!(!loaded && said.contains("there is no data directory") && said.contains("--create"), "{said}");
    assert!(!mistyped.exists());
    let (loaded, said) = import(&["--create"]);
    assert!(loaded, "{said}");
}

#[test]
fn a_server_that_cannot_be_reached_is_told_with_the_reason() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("sales.csv");
    std::fs::write(&file, "a,b\n1,2\n").unwrap();
    let import = ["import", file.to_str().unwrap(), "--table", "sales", "--listen", "127.0.0.1:1"];
    let output = command().unwrap().args(import).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("could not connect to 127.0.0.1:1: Connection refused;"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_idle_clients_stops_on_sigterm_with_status_0() {
    let folder = TempDir::new().unwrap();
    let server = Meridian::start(&folder.path().join("data")).unwrap();
    let idle = Session::connect(server.address()).await.unwrap();
    idle.run("CREATE TABLE t (k integer)").await.unwrap();
    let in_transaction = Session::connect(server.address()).await.unwrap();
    in_transaction.run("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    server.stop().unwrap();
    let server = Meridian::start(&folder.path().join("data")).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    assert_eq!(session.value("SELECT count(*) FROM t").await.unwrap().as_deref(), Some("0"));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("meridian.toml");
    std::fs::write(&file, "lisen = \"127.0.0.1:0\"\n").unwrap();
    let output = refusal(&folder.path().join("data"), FREE_PORT, &["--config", file.to_str().unwrap()]);
    assert!(output.contains("lisen") && output.contains("\"listen\""), "{output}");
}

#[test]
fn flags_win_over_the_environment_and_it_over_the_file() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("meridian.toml");
    std::fs::write(&file, "listen = \"256.0.0.1:1\"\n").unwrap();
    let data_dir = folder.path().join("data");
    let server = Meridian::start_with(&data_dir, FREE_PORT, |command| {
        command.arg("--config").arg(&file).env("MERIDIAN_LISTEN", "256.0.0.1:2");
        command.env("MERIDIAN_DATA_DIR", folder.path().join("elsewhere"));
    });
    assert!(server.unwrap().address().ip().is_loopback());
    assert!(data_dir.is_dir() && !folder.path().join("elsewhere").exists());
}

#[test]
fn the_world_is_not_let_in_without_a_password() {
    let folder = TempDir::new().unwrap();
    let output = refusal(&folder.path().join("data"), "0.0.0.0:0", &[]);
    assert!(output.contains("password") && output.contains("MERIDIAN_PASSWORD"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_and_checked() {
    let folder = TempDir::new().unwrap();
    let server = Meridian::start_with(&folder.path().join("data"), FREE_PORT, |command| {
        command.env("MERIDIAN_PASSWORD", "longitude 0");
    });
    let server = server.unwrap();
    let mut config = Config::new();
    config.host("127.0.0.1").port(server.address().port()).user("meridian").dbname("meridian");
    config.password("latitude 0");
    let refused = config.connect(NoTls).await.err().unwrap();
    assert_eq!(refused.code().map(|code| code.code()), Some("28P01"), "{refused}");
    config.password("longitude 0");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    assert!(Session::connect(server.address()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_database_is_there_and_a_users_own_name_means_it() {
    let folder = TempDir::new().unwrap();
    let server = Meridian::start(&folder.path().join("data")).unwrap();
    let mut config = Config::new();
    config.host("127.0.0.1").port(server.address().port()).user("ada").dbname("ada");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let database: String = client.query_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
    assert_eq!(database, "meridian");
    let refused = config.dbname("elsewhere").connect(NoTls).await.err().unwrap();
    assert_eq!(refused.code().map(|code| code.code()), Some("3D000"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dirty_stream_goes_into_a_server_and_nothing_of_it_is_lost() {
    let folder = TempDir::new().unwrap();
    let server = Meridian::start(&folder.path().join("data")).unwrap();
    let address = server.address().to_string();
    let send = |arguments: &str| {
        let arguments = arguments.split(' ').chain(["--to", &address]);
        let output = command().unwrap().args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let stream = "generate --rows 4000 --late 0.1 --duplicates 0.05 --dirty 0.02 --rate 20000 --create";
    let (sent, said) = send(stream);
    assert!(sent, "{said}");
    let counted = |text: &str| {
        said.split(text).next().and_then(|before| before.rsplit(char::is_whitespace).next()?.parse::<u64>().ok())
    };
    let (lines, dirty) = (counted(" lines:").unwrap(), counted(" dirty").unwrap());
    assert!(lines > 4_100 && dirty > 40, "{said}");
    let session = Session::connect(server.address()).await.unwrap();
    let count = async |query: &str| session.value(query).await.unwrap().unwrap().parse::<u64>().unwrap();
    assert_eq!(count("SELECT count(*) FROM sales").await, lines - dirty);
    assert_eq!(count("SELECT count(*) FROM sales_rejects").await, dirty);
    assert!(count("SELECT count(*) FROM meridian.loads").await >= 2, "a rate means several loads");
    // Without a rate it is one load; a table that is not there says so.
    let (sent, said) = send("generate customers --rows 4000 --table buyers --create");
    assert!(sent && count("SELECT count(*) FROM buyers").await == 200, "{said}");
    let (sent, said) = send("generate stores --table shops");
    assert!(!sent && said.contains("relation \"shops\" does not exist"), "{said}");
    server.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_import_of_a_dirty_file_guesses_what_its_clean_lines_are() {
    let folder = TempDir::new().unwrap();
    let server = Meridian::start(&folder.path().join("data")).unwrap();
    let file = folder.path().join("visits.csv");
    let lines = (1..=100).map(|number| match number {
        20 => "20,2025-01-20,EMEA,1.50,and more\n".to_string(),
        30 => "30,2025-01-20,EMEA,\"1,x\"\n".to_string(),
        _ => format!("{number},2025-01-20,EMEA,1.50\n"),
    });
    std::fs::write(&file, "visit,day,region,spent\n".to_string() + &lines.collect::<String>()).unwrap();
    let address = server.address().to_string();
    let import = |more: &[&str]| {
        let mut command = command().unwrap();
        command.arg("import").arg(&file).args(["--table", "visits", "--create", "--listen", &address]).args(more);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let session = Session::connect(server.address()).await.unwrap();
    let (loaded, said) = import(&[]);
    assert!(!loaded && said.contains("line 21"), "{said}");
    let made = session.value("SELECT to_regclass('visits')").await.unwrap();
    assert_eq!(made, None, "a table whose columns were guessed stays without a row");
    let rejects = folder.path().join("wrong.csv");
    let (loaded, said) = import(&["--rejects", rejects.to_str().unwrap()]);
    assert!(loaded && said.contains("spent numeric(18, 2)"), "{said}");
    assert_eq!(session.value("SELECT sum(spent) FROM visits").await.unwrap().as_deref(), Some("147.00"));
    assert_eq!(std::fs::read_to_string(&rejects).unwrap().lines().count(), 3, "a header and two lines");
    server.stop().unwrap();
}
