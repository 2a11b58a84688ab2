//! The server under test: a child process with a data directory, found, started, stopped and killed.
//!
//! The binary is `$MERIDIAN_BIN`, or the one that cargo puts beside the running test executable, built first. The child
//! listens on a free port that it names itself (`listening on 127.0.0.1:PORT`). Its output goes to a file and its last
//! lines are shown when a test panics. Dropping a `Meridian` kills the child, and only that child, by its id.

use crate::package_folder;
use anyhow::{Context, Result, anyhow, bail};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

/// A listen address that leaves the port to the system.
pub const FREE_PORT: &str = "127.0.0.1:0";
/// How long a server may take until it listens; recovery of a large log is included.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a server may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// How many lines of output are shown when a test fails.
const TAIL_LINES_MAX: usize = 60;

/// A running server.
pub struct Meridian {
    child: Child,
    address: SocketAddr,
    data_dir: PathBuf,
    tail: Arc<Mutex<VecDeque<String>>>,
    stopped: bool,
}

impl Meridian {
    /// Starts a server on the data directory and waits until it listens.
    pub fn start(data_dir: &Path) -> Result<Self> {
        Self::start_with(data_dir, FREE_PORT, |_| {})
    }

    /// Starts a server whose command line or environment the caller changes first.
    pub fn start_with(data_dir: &Path, listen: &str, change: impl FnOnce(&mut Command)) -> Result<Self> {
        let mut starting = Starting::spawn(data_dir, listen, change)?;
        match starting.wait_until_ready(START_TIMEOUT)? {
            Some(address) => Ok(starting.into_running(address)),
            None => {
                let status = starting.child.wait()?;
                bail!("the server ended with {status} before it listened:\n{}", starting.output());
            }
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// The last lines that the server printed.
    pub fn output(&self) -> String {
        join_lines(&self.tail)
    }

    /// True while the process runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, as a power cut would have it.
    pub fn kill(mut self) -> Result<()> {
        self.stopped = true;
        self.child.kill().context("the server could not be killed")?;
        self.child.wait().context("the killed server could not be waited for")?;
        Ok(())
    }

    /// SIGTERM, which drains connections and checkpoints. Fails unless the server ends with status 0 in time.
    pub fn stop(mut self) -> Result<()> {
        self.stopped = true;
        terminate(self.child.id())?;
        let Some(status) = wait_for(&mut self.child, STOP_TIMEOUT)? else {
            let output = self.output();
            self.child.kill()?;
            self.child.wait()?;
            bail!("the server did not end {STOP_TIMEOUT:?} after SIGTERM:\n{output}");
        };
        if !status.success() {
            bail!("the server ended with {status} after SIGTERM:\n{}", self.output());
        }
        Ok(())
    }
}

impl Drop for Meridian {
    fn drop(&mut self) {
        if !self.stopped {
            // Both fail only when the child has already ended, which is what is wanted.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- last output of the server on {}\n{}", self.data_dir.display(), self.output());
        }
    }
}

/// A server that has been started and does not listen yet.
pub struct Starting {
    child: Child,
    ready: mpsc::Receiver<SocketAddr>,
    data_dir: PathBuf,
    tail: Arc<Mutex<VecDeque<String>>>,
}

impl Starting {
    /// Starts the process and does not wait. Its output also goes to `<data_dir>.log`.
    pub fn spawn(data_dir: &Path, listen: &str, change: impl FnOnce(&mut Command)) -> Result<Self> {
        let (reader, writer) = std::io::pipe()?;
        let mut command = command()?;
        command.arg("serve").arg("--data-dir").arg(data_dir).args(["--listen", listen]);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        change(&mut command);
        let child = command.spawn().with_context(|| format!("{:?} could not be started", command.get_program()))?;
        // The parent's copies of the pipe's writing end close here, so that the reader sees the child's end.
        drop(command);
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, ready) = mpsc::channel();
        let log = File::options().create(true).append(true).open(data_dir.with_extension("log")).ok();
        std::thread::spawn({
            let tail = Arc::clone(&tail);
            move || follow_output(BufReader::new(reader), log, &tail, &sender)
        });
        Ok(Self { child, ready, data_dir: data_dir.to_path_buf(), tail })
    }

    /// The address once the server listens; `None` when it ended instead.
    pub fn wait_until_ready(&mut self, timeout: Duration) -> Result<Option<SocketAddr>> {
        match self.ready.recv_timeout(timeout) {
            Ok(address) => Ok(Some(address)),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(None),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.child.kill()?;
                self.child.wait()?;
                bail!("the server did not listen within {timeout:?}:\n{}", self.output());
            }
        }
    }

    /// Waits for a time, whether the server listens meanwhile or not; `None` when it ended by itself.
    pub fn lives_for(&mut self, lifetime: Duration) -> Result<Option<()>> {
        Ok(if wait_for(&mut self.child, lifetime)?.is_none() { Some(()) } else { None })
    }

    /// Waits for a server that is expected to refuse to start; its status and output.
    pub fn wait_for_refusal(mut self) -> Result<(ExitStatus, String)> {
        if let Some(address) = self.wait_until_ready(START_TIMEOUT)? {
            self.child.kill()?;
            self.child.wait()?;
            bail!("the server listens on {address}, though it should have refused to start");
        }
        Ok((self.child.wait()?, self.output()))
    }

    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn into_running(self, address: SocketAddr) -> Meridian {
        Meridian { child: self.child, address, data_dir: self.data_dir, tail: self.tail, stopped: false }
    }

    fn output(&self) -> String {
        join_lines(&self.tail)
    }
}

/// The program without arguments and without settings from the environment.
pub fn command() -> Result<Command> {
    let mut command = Command::new(binary()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MERIDIAN_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// The path of the `meridian` binary; builds it first when the test runs under cargo.
pub fn binary() -> Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| locate_binary().map_err(|error| format!("{error:#}")));
    found.clone().map_err(|message| anyhow!(message))
}

fn locate_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("MERIDIAN_BIN") {
        let path = PathBuf::from(path);
        return if path.is_file() { Ok(path) } else { bail!("MERIDIAN_BIN names no file: {}", path.display()) };
    }
    let executable = std::env::current_exe()?;
    // Test executables stand in <target>/<profile>/deps, binaries one level higher.
    let folder = executable
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .ok_or_else(|| anyhow!("{} stands in no folder", executable.display()))?;
    let binary = folder.join("meridian");
    // Under cargo the binary may be missing or older than its sources; a build that has nothing to do takes no time.
    if std::env::var_os("CARGO").is_some() {
        build_server(folder.ends_with("release"))?;
    }
    if binary.is_file() {
        Ok(binary)
    } else {
        bail!("there is no {}; build it with `cargo build -p server`, or set MERIDIAN_BIN", binary.display())
    }
}

fn build_server(release: bool) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // With the features that the tests' own build selected, so that no dependency is built again.
    command.args(["build", "--quiet", "--workspace", "--bin", "meridian"]);
    if release {
        command.arg("--release");
    }
    command.current_dir(package_folder().join(".."));
    // What cargo tells a test about its own package would make build scripts of dependencies run again.
    let told_by_cargo = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_", "OUT_DIR"];
    for (name, _) in std::env::vars_os() {
        if told_by_cargo.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let status = command.stdin(Stdio::null()).status().context("cargo could not be started")?;
    if status.success() { Ok(()) } else { bail!("`cargo build --workspace --bin meridian` failed with {status}") }
}

/// Sends SIGTERM to one process.
pub fn terminate(process_id: u32) -> Result<()> {
    let status = Command::new("sh").arg("-c").arg(format!("kill -TERM {process_id}")).status()?;
    if status.success() { Ok(()) } else { bail!("SIGTERM could not be sent to process {process_id}") }
}

fn wait_for(child: &mut Child, timeout: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn follow_output(
    reader: impl BufRead,
    mut log: Option<File>,
    tail: &Mutex<VecDeque<String>>,
    ready: &mpsc::Sender<SocketAddr>,
) {
    for line in reader.split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Some(log) = &mut log {
            // A log that cannot be written must not end the test that it would explain.
            let _ = writeln!(log, "{line}");
        }
        if let Some(address) = listening_address(&line) {
            // Nobody listens any more when the test has given up waiting.
            let _ = ready.send(address);
        }
        let mut tail = tail.lock().expect("no thread panics while it holds the server's output");
        if tail.len() == TAIL_LINES_MAX {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}

/// The address in a log line such as `INFO listening on 127.0.0.1:5433` or its JSON form.
fn listening_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]".contains(c))).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn join_lines(tail: &Mutex<VecDeque<String>>) -> String {
    let tail = tail.lock().expect("no thread panics while it holds the server's output");
    tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}
