//! What an import could not load, as a csv file of its own.
//!
//! The table of rejects keeps those of all loads; the file has those of this run.

use crate::client::{literal, server_error};
use crate::output::say;
use anyhow::Context;
use futures::TryStreamExt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use tokio_postgres::Client;

#[cfg(test)]
mod tests;

/// The file for rejects, open before anything is loaded.
pub(super) struct RejectsFile {
    path: PathBuf,
    file: File,
    table: String,
    /// The server's time before the first load.
    since: String,
}

impl RejectsFile {
    /// Opens the file for rejects of imports into `table`. What it holds stays until [`Self::write`].
    pub(super) async fn open(path: &Path, table: &str, client: &Client) -> anyhow::Result<Self> {
        let opened = File::options().write(true).create(true).truncate(false).open(path);
        let file = opened.with_context(|| format!("could not write \"{}\"", path.display()))?;
        let since = client.query_one("SELECT clock_timestamp()::text", &[]).await.map_err(server_error)?;
        Ok(Self { path: path.to_path_buf(), file, table: table_of(table), since: since.get(0) })
    }

    /// Writes what was rejected since the file was opened.
    pub(super) async fn write(mut self, client: &Client) -> anyhow::Result<()> {
        let query = format!(
            "COPY (SELECT * FROM {} WHERE rejected_at >= {} ORDER BY load, line) TO STDOUT (FORMAT csv, HEADER)",
            self.table,
            literal(&self.since)
        );
        let failed = || format!("could not write \"{}\"", self.path.display());
        let mut stream = std::pin::pin!(client.copy_out(&query).await.map_err(server_error)?);
        if self.file.metadata().with_context(failed)?.is_file() {
            self.file.set_len(0).with_context(failed)?;
        }
        while let Some(piece) = stream.try_next().await.map_err(server_error)? {
            self.file.write_all(&piece).with_context(failed)?;
        }
        say(&format!("rejected rows are in \"{}\" and in table {}", self.path.display(), self.table));
        Ok(())
    }
}

/// The table that takes the rejects of a table, as SQL spells it.
pub(super) fn table_of(table: &str) -> String {
    match table.strip_suffix('"') {
        Some(quoted) => format!("{quoted}_rejects\""),
        None => format!("{table}_rejects"),
    }
}
