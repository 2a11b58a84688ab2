//! Generated sales in files, made once by `meridian generate` and kept in the cache folder.

use anyhow::Context;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Which sales a file holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection {
    pub(crate) rows: u64,
    pub(crate) seed: u64,
    pub(crate) first_id: u64,
    pub(crate) shuffle: bool,
}

pub(crate) struct Files {
    meridian: PathBuf,
    folder: PathBuf,
    table_definition: OnceLock<String>,
}

impl Files {
    pub(crate) fn new(meridian: PathBuf, folder: PathBuf) -> Self {
        Self { meridian, folder, table_definition: OnceLock::new() }
    }

    /// The CREATE TABLE that the rows fit.
    pub(crate) fn table_definition(&self) -> anyhow::Result<&str> {
        if let Some(definition) = self.table_definition.get() {
            return Ok(definition);
        }
        let output = self.generate(&["--ddl"]).stdout(Stdio::piped()).output().context("run meridian generate")?;
        anyhow::ensure!(output.status.success(), "meridian generate --ddl failed");
        let definition = String::from_utf8(output.stdout).context("read the table's definition")?;
        Ok(self.table_definition.get_or_init(|| definition))
    }

    /// The csv file of a selection, in the page cache.
    pub(crate) fn csv(&self, selection: Selection) -> anyhow::Result<PathBuf> {
        let Selection { rows, seed, first_id, shuffle } = selection;
        let order = if shuffle { "-shuffled" } else { "" };
        let path = self.folder.join(format!("sales-{rows}-seed{seed}-from{first_id}{order}.csv"));
        let mut arguments = vec!["--rows".to_owned(), rows.to_string(), "--seed".to_owned(), seed.to_string()];
        arguments.extend(["--first-id".to_owned(), first_id.to_string()]);
        arguments.extend(shuffle.then(|| "--shuffle".to_owned()));
        if path.exists() && self.is_current(&path, &arguments)? {
            read_through(&path)?;
            return Ok(path);
        }
        eprintln!("generating {rows} sales into {}", path.display());
        let unfinished = path.with_extension("unfinished");
        let file = File::create(&unfinished).with_context(|| format!("create {}", unfinished.display()))?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let status = self.generate(&arguments).stdout(file).status().context("run meridian generate")?;
        anyhow::ensure!(status.success(), "meridian generate failed");
        fs::rename(&unfinished, &path)?;
        Ok(path)
    }

    /// The rows of a selection, as values.
    pub(crate) fn rows(&self, selection: Selection) -> anyhow::Result<Vec<Vec<String>>> {
        let path = self.csv(selection)?;
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect())
    }

    /// Whether the file begins as today's generator would begin it; an older one may have made it.
    fn is_current(&self, path: &Path, arguments: &[String]) -> anyhow::Result<bool> {
        use std::io::{BufRead, BufReader};
        let first_line = |reader: &mut dyn BufRead| {
            let mut line = String::new();
            reader.read_line(&mut line).map(|_| line)
        };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut child = self.generate(&arguments).stdout(Stdio::piped()).spawn().context("run meridian generate")?;
        let stdout = child.stdout.take().context("read from meridian generate")?;
        let expected = first_line(&mut BufReader::new(stdout))?;
        child.kill()?;
        child.wait()?;
        Ok(first_line(&mut BufReader::new(File::open(path)?))? == expected)
    }

    fn generate(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.meridian);
        command.arg("generate").args(arguments).stdin(Stdio::null());
        command
    }
}

/// Brings a file into the page cache, so that no system pays for being the first.
fn read_through(path: &Path) -> anyhow::Result<()> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    std::io::copy(&mut file, &mut std::io::sink()).with_context(|| format!("read {}", path.display()))?;
    Ok(())
}
