//! The manifest: what a backup consists of, written when all of it is on disk.
//!
//!     meridian backup 2
//!     commit 42
//!     from 1763751545000000
//!     committed 1763755145000000
//!     made 1763755146000000
//!     file 1a2b3c4d 6590 checkpoint/00000000000000000042.ckpt
//!     file …
//!     checksum 89abcdef
//!
//! Times are microseconds since 1970. `from` is the earliest time that can be restored, from the history in the backup; version 1
//! had neither. A file has the CRC-32C of its bytes, their number and its path in the backup; the last
//! line has the CRC-32C of all lines before it. Everything is text, so that a person can read it and `crc32c` can check it.
//!
//! *Adding a new version.* Raise the number in [`HEAD`], and let [`Manifest::parse`] choose by the first line; version 1 stays
//! readable.

use crate::ids::CommitSeq;
use std::fmt::Write;

const HEAD: &str = "meridian backup 2";
const HEAD_V1: &str = "meridian backup 1";

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ManifestFile {
    /// Relative to the backup, as in a data directory.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) checksum: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) seq: CommitSeq,
    /// The earliest time that can be restored.
    pub(super) from_micros: i64,
    pub(super) committed_at_micros: i64,
    pub(super) made_at_micros: i64,
    pub(super) files: Vec<ManifestFile>,
}

impl Manifest {
    pub(super) fn to_text(&self) -> String {
        let mut text = format!(
            "{HEAD}\ncommit {}\nfrom {}\ncommitted {}\nmade {}\n",
            self.seq, self.from_micros, self.committed_at_micros, self.made_at_micros
        );
        for file in &self.files {
            writeln!(text, "file {:08x} {} {}", file.checksum, file.bytes, file.path).expect("a string grows");
        }
        let checksum = crc32c::crc32c(text.as_bytes());
        writeln!(text, "checksum {checksum:08x}").expect("a string grows");
        text
    }

    /// Reads what [`Self::to_text`] wrote; the error says what is wrong.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
        let (head, _) = text.split_once('\n').ok_or("it is cut short")?;
        if head != HEAD && head != HEAD_V1 {
            return Err(match head.starts_with("meridian backup ") {
                true => "it is of a version that this server does not read",
                false => "it does not begin like a manifest",
            });
        }
        let body = text.strip_suffix('\n').and_then(|text| text.rfind('\n')).map(|end| text.split_at(end + 1));
        let (body, last) = body.ok_or("it is cut short")?;
        let checksum = last.strip_prefix("checksum ").ok_or("it is cut short")?.trim_end();
        if u32::from_str_radix(checksum, 16) != Ok(crc32c::crc32c(body.as_bytes())) {
            return Err("its checksum does not fit");
        }
        Self::parse_lines(body.lines().skip(1), head == HEAD).ok_or("a line of it makes no sense")
    }

    fn parse_lines<'a>(mut lines: impl Iterator<Item = &'a str>, has_history: bool) -> Option<Self> {
        let seq = CommitSeq(lines.next()?.strip_prefix("commit ")?.parse().ok()?);
        let from = if has_history { Some(lines.next()?.strip_prefix("from ")?.parse().ok()?) } else { None };
        let committed_at_micros = lines.next()?.strip_prefix("committed ")?.parse().ok()?;
        let made_at_micros = lines.next()?.strip_prefix("made ")?.parse().ok()?;
        let files = lines.map(parse_file).collect::<Option<_>>()?;
        Some(Self { seq, from_micros: from.unwrap_or(committed_at_micros), committed_at_micros, made_at_micros, files })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

fn parse_file(line: &str) -> Option<ManifestFile> {
    let mut parts = line.strip_prefix("file ")?.splitn(3, ' ');
    let checksum = u32::from_str_radix(parts.next()?, 16).ok()?;
    let bytes = parts.next()?.parse().ok()?;
    let path = parts.next()?;
    // A restore writes where the paths say, which must be below its directory.
    let is_below = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    is_below.then(|| ManifestFile { path: path.to_string(), bytes, checksum })
}
