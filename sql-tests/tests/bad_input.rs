//! What the world can get wrong about a data directory or a port, and what it hears.

use sql_tests::meridian::{FREE_PORT, Meridian, Starting};
use sql_tests::session::Session;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The size of the file system that a test fills.
const SMALL_DISK_MIB: u64 = 48;

fn refusal(data_dir: &Path, listen: &str) -> String {
    let (status, output) = Starting::spawn(data_dir, listen, |_| {}).unwrap().wait_for_refusal().unwrap();
    assert!(!status.success(), "the server ended with success, but: {output}");
    assert!(!output.contains("panicked"), "{output}");
    assert!(output.contains("ERROR"), "{output}");
    output
}

#[test]
fn a_port_in_use_is_named() {
    let folder = TempDir::new().unwrap();
    let server = Meridian::start(&folder.path().join("one")).unwrap();
    let listen = server.address().to_string();
    let output = refusal(&folder.path().join("two"), &listen);
    assert!(output.contains(&listen) && output.contains("in use"), "{output}");
}

#[test]
fn a_data_directory_serves_one_server() {
    let folder = TempDir::new().unwrap();
    let data_dir = folder.path().join("data");
    let server = Meridian::start(&data_dir).unwrap();
    let output = refusal(&data_dir, FREE_PORT);
    assert!(output.contains("lock") || output.contains("in use"), "{output}");
    server.stop().unwrap();
    Meridian::start(&data_dir).unwrap().stop().unwrap();
}

#[test]
fn a_data_directory_of_another_version_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let data_dir = folder.path().join("data");
    Meridian::start(&data_dir).unwrap().stop().unwrap();
    let format = data_dir.join("FORMAT");
    let text = std::fs::read_to_string(&format).unwrap();
    let other: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_ne!(text, other, "{} names no version", format.display());
    std::fs::write(&format, &other).unwrap();
    let output = refusal(&data_dir, FREE_PORT);
    assert!(output.contains("version") || output.contains("format"), "{output}");
    assert_eq!(std::fs::read_to_string(&format).unwrap(), other);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let data_dir = file.join("data");
    let output = refusal(&data_dir, FREE_PORT);
    assert!(output.contains(data_dir.to_str().unwrap()), "{output}");
}

/// A file system of a few MiB, which takes the right to mount: it is there wherever the tests run as root.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_the_statement_and_keeps_what_was_committed() {
    let folder = TempDir::new().unwrap();
    let Some(mount) = SmallDisk::mount(&folder.path().join("disk")) else {
        eprintln!("not run as root: no disk to fill");
        return;
    };
    let data_dir = mount.path.join("data");
    let server = Meridian::start(&data_dir).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    session.run("CREATE TABLE t (k integer, words text)").await.unwrap();
    session.run("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, sum(k) AS total FROM t").await.unwrap();
    session.run("INSERT INTO t VALUES (1, 'kept')").await.unwrap();
    let mut failure = None;
    for round in 0..200_u32 {
        let data = incompressible_lines(round);
        match session.copy_in("COPY t FROM STDIN", data.as_bytes()).await {
            Ok(_) => {}
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    let failure = failure.expect("the disk should be full by now");
    assert!(failure.has_code("53100") || failure.has_code("58030"), "{failure}");
    // Readers go on.
    let kept = "SELECT count(*) FROM t WHERE words = 'kept'";
    assert_eq!(session.value(kept).await.unwrap().as_deref(), Some("1"));
    let count = session.value("SELECT count(*) FROM t").await.unwrap();
    assert_eq!(session.value("SELECT n FROM v").await.unwrap(), count);
    server.kill().unwrap();
}

/// About half a MiB of rows that hardly compress.
fn incompressible_lines(round: u32) -> String {
    let mut state = u64::from(round) * 7_919 + 1;
    let mut text = String::new();
    for line in 0..4_000 {
        let mut words = String::new();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            words += &format!("{:016x}", state ^ (state >> 29));
        }
        text += &format!("{line}\t{words}\n");
    }
    text
}

/// A mounted tmpfs, unmounted when it is dropped.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        let size = format!("size={SMALL_DISK_MIB}m");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(path).status();
        status.is_ok_and(|status| status.success()).then(|| Self { path: path.to_path_buf() })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A lazy unmount, as the server may still be ending.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_of_whole_segments_does_not_read_them() {
    let folder = TempDir::new().unwrap();
    let data_dir = folder.path().join("data");
    let server = Meridian::start(&data_dir).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    session.run("CREATE TABLE t (region text, d date, k int) PARTITION BY (region, month(d))").await.unwrap();
    let rows = "INSERT INTO t SELECT 'r' || n % 2, date '2025-01-01' + n % 59, n FROM generate_series(1, 200) AS n";
    session.run(rows).await.unwrap();
    session.run("CHECKPOINT").await.unwrap();
    drop(session);
    server.stop().unwrap();
    overwrite_files(&data_dir.join("segments"));
    let server = Meridian::start(&data_dir).unwrap();
    let session = Session::connect(server.address()).await.unwrap();
    assert!(session.run("DELETE FROM t WHERE k > 0 AND d <> '2025-01-05'").await.is_err(), "this one has to read");
    session.run("DELETE FROM t WHERE region = 'r1' AND d < '2025-02-01'").await.unwrap();
    session.run("DELETE FROM t WHERE d >= '2025-02-01'").await.unwrap();
    session.run("DELETE FROM t").await.unwrap();
    assert_eq!(session.value("SELECT count(*) FROM t").await.unwrap().as_deref(), Some("0"));
}

/// Puts as many zeros into each file below a folder as it has bytes.
fn overwrite_files(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            overwrite_files(&path);
        } else {
            let bytes = std::fs::metadata(&path).unwrap().len() as usize;
            std::fs::write(&path, vec![0; bytes]).unwrap();
        }
    }
}
