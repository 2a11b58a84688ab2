//! A kept corpus of hard files for COPY, and what PostgreSQL 15 makes of each.
//!
//! Files of `sql-tests/copy-corpus` are lines, each begun by what it is:
//!
//! ```text
//! # a comment
//! ! CREATE TABLE two (a integer, b text)       run once, before anything else of the file
//! : COPY two FROM STDIN (FORMAT csv)           the statement of what follows
//! > 1,"x\ny"\n                                 a file; or one for each place of it:
//! cut> 1,a\n                                       cut off after 0, 1, 2, … bytes
//! put \xff> 1,a\n                                  with these bytes put in before byte 0, 1, 2, …
//! = (1,x\ny)                                   PostgreSQL's outcome, `= 3-7 …` for the variants 3 to 7
//! ~ (1,x\ny)                                   Meridian's, where it is another on purpose
//! ```
//!
//! Data has the escapes of Rust's bytes, and `{3*x}` for `xxx`, `{3*c%*, }` for `c1, c2, c3`. An outcome is the sorted rows, or
//! the SQLSTATE, message, detail, hint, position and context of the error. Each file is loaded in a transaction that is rolled back.
//! Meridian gets it in one message and, where it is short, in messages of one byte, which must not matter.

use crate::meridian::Meridian;
use crate::package_folder;
use crate::session::{Failure, Session};
use anyhow::{Context, Result, bail, ensure};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Longer outcomes are kept by their ends and their length.
const OUTCOME_BYTES_MAX: usize = 600;
/// Files up to this length are also sent byte by byte.
const BYTEWISE_BYTES_MAX: usize = 256;

/// The files of the corpus.
pub fn files() -> Result<Vec<PathBuf>> {
    let folder = package_folder().join("copy-corpus");
    let mut files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// Does something with a fresh Meridian.
pub async fn on_meridian<T>(work: impl AsyncFnOnce(&Session) -> Result<T>) -> Result<T> {
    let folder = tempfile::TempDir::new()?;
    let server = Meridian::start(&folder.path().join("data"))?;
    let session = Session::connect(server.address()).await?;
    let outcome = work(&session).await?;
    server.stop()?;
    Ok(outcome)
}

/// One file of the corpus.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    items: Vec<Item>,
}

#[derive(Clone, Debug)]
enum Item {
    /// A comment or an empty line.
    Other(String),
    Setup(String),
    Statement(String),
    Case(Case),
}

/// A file, or a family of files, and what becomes of them.
#[derive(Clone, Debug)]
struct Case {
    line_number: usize,
    statement: String,
    /// As written.
    spelled: String,
    variants: Vec<Vec<u8>>,
    expected: Vec<Expected>,
    /// Where Meridian differs on purpose.
    own: Vec<Expected>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Expected {
    variants: RangeInclusive<usize>,
    outcome: String,
}

/// Which server's outcomes are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Meridian,
    Postgres,
}

impl Corpus {
    /// Reads a file of the corpus.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let mut items = Vec::new();
        let mut statement = None;
        for (index, line) in text.lines().enumerate() {
            let parsed = parse_line(line, &mut items, &mut statement, index + 1);
            parsed.with_context(|| format!("line {}: {line}", index + 1))?;
        }
        Ok(Self { items })
    }

    /// How many files it is.
    pub fn files(&self) -> usize {
        self.cases().map(|case| case.variants.len()).sum()
    }

    fn cases(&self) -> impl Iterator<Item = &Case> {
        self.items.iter().filter_map(|item| if let Item::Case(case) = item { Some(case) } else { None })
    }

    /// Runs everything and tells what did not come out as the corpus has it.
    pub async fn differences(&self, session: &Session, server: Server) -> Result<Vec<String>> {
        self.set_up(session).await?;
        let mut differences = Vec::new();
        for case in self.cases() {
            for (index, data) in case.variants.iter().enumerate() {
                let wanted = case.wanted(index, server);
                let whole = load(session, &case.statement, &[data]).await?;
                differences.extend(difference(case, index, wanted, &whole));
                if server == Server::Meridian && data.len() <= BYTEWISE_BYTES_MAX && data.len() > 1 {
                    let bytes: Vec<&[u8]> = data.chunks(1).collect();
                    let cut = load(session, &case.statement, &bytes).await?;
                    if cut != whole {
                        differences.extend(difference(case, index, Some(&whole), &format!("byte by byte {cut}")));
                    }
                }
            }
        }
        Ok(differences)
    }

    /// The corpus with a server's outcomes: PostgreSQL's as what is expected, Meridian's where they differ from that.
    pub async fn rewritten(&self, session: &Session, server: Server) -> Result<String> {
        self.set_up(session).await?;
        let mut text = String::new();
        for item in &self.items {
            match item {
                Item::Other(line) => text += &format!("{line}\n"),
                Item::Setup(sql) => text += &format!("! {sql}\n"),
                Item::Statement(sql) => text += &format!(": {sql}\n"),
                Item::Case(case) => {
                    let mut outcomes = Vec::new();
                    for data in &case.variants {
                        outcomes.push(load(session, &case.statement, &[data]).await?);
                    }
                    text += &case.shown(&outcomes, server);
                }
            }
        }
        Ok(text)
    }

    async fn set_up(&self, session: &Session) -> Result<()> {
        for item in &self.items {
            if let Item::Setup(sql) = item {
                session.run(&String::from_utf8(bytes_of(sql)?)?).await.with_context(|| sql.clone())?;
            }
        }
        Ok(())
    }
}

impl Case {
    fn wanted(&self, index: usize, server: Server) -> Option<&str> {
        let find = |list: &'_ [Expected]| list.iter().position(|expected| expected.variants.contains(&index));
        if server == Server::Meridian
            && let Some(own) = find(&self.own)
        {
            return Some(&self.own[own].outcome);
        }
        find(&self.expected).map(|expected| self.expected[expected].outcome.as_str())
    }

    fn shown(&self, outcomes: &[String], server: Server) -> String {
        let mut text = format!("{}\n", self.spelled);
        let (expected, own) = match server {
            Server::Postgres => (runs(outcomes.iter().map(|outcome| Some(outcome.as_str()))), self.own.clone()),
            Server::Meridian => {
                let differs = |(index, outcome): (usize, &'_ String)| {
                    (self.wanted(index, Server::Postgres) != Some(outcome.as_str())).then(|| outcome.clone())
                };
                let own: Vec<Option<String>> = outcomes.iter().enumerate().map(differs).collect();
                (self.expected.clone(), runs(own.iter().map(Option::as_deref)))
            }
        };
        for (mark, list) in [('=', expected), ('~', own)] {
            for Expected { variants, outcome } in list {
                text += &match (self.variants.len(), variants.start() == variants.end()) {
                    (1, _) => format!("{mark} {outcome}\n"),
                    (_, true) => format!("{mark} {} {outcome}\n", variants.start()),
                    (_, false) => format!("{mark} {}-{} {outcome}\n", variants.start(), variants.end()),
                };
            }
        }
        text
    }
}

/// Neighbours with the same outcome as one.
fn runs<'a>(outcomes: impl Iterator<Item = Option<&'a str>>) -> Vec<Expected> {
    let mut runs: Vec<Expected> = Vec::new();
    for (index, outcome) in outcomes.enumerate() {
        let Some(outcome) = outcome else { continue };
        match runs.last_mut() {
            Some(last) if last.outcome == outcome && *last.variants.end() + 1 == index => {
                last.variants = *last.variants.start()..=index;
            }
            _ => runs.push(Expected { variants: index..=index, outcome: outcome.to_string() }),
        }
    }
    runs
}

fn difference(case: &Case, index: usize, wanted: Option<&str>, got: &str) -> Option<String> {
    let wanted = wanted.unwrap_or("nothing is kept");
    (got != wanted).then(|| {
        let Case { line_number, statement, spelled, .. } = case;
        format!("line {line_number}, variant {index}\n  {statement}\n  {spelled}\n  kept: {wanted}\n  got:  {got}")
    })
}

fn parse_line(line: &str, items: &mut Vec<Item>, statement: &mut Option<String>, number: usize) -> Result<()> {
    let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
    match mark {
        "" | "#" => items.push(Item::Other(line.to_string())),
        "!" => items.push(Item::Setup(rest.to_string())),
        ":" => {
            *statement = Some(String::from_utf8(bytes_of(rest)?)?);
            items.push(Item::Statement(rest.to_string()));
        }
        "=" | "~" => {
            let Some(Item::Case(case)) = items.last_mut() else { bail!("an outcome without a file") };
            let expected = if case.variants.len() == 1 {
                Expected { variants: 0..=0, outcome: rest.to_string() }
            } else {
                let (places, outcome) = rest.split_once(' ').context("an outcome of several files names them")?;
                let (first, last) = places.split_once('-').unwrap_or((places, places));
                Expected { variants: first.parse()?..=last.parse()?, outcome: outcome.to_string() }
            };
            if mark == "=" { case.expected.push(expected) } else { case.own.push(expected) }
        }
        _ => items.push(Item::Case(Case {
            line_number: number,
            statement: statement.clone().context("a file without a statement")?,
            spelled: line.to_string(),
            variants: variants(line)?,
            expected: Vec::new(),
            own: Vec::new(),
        })),
    }
    Ok(())
}

/// The files that a line stands for.
fn variants(line: &str) -> Result<Vec<Vec<u8>>> {
    let (kind, data) = line.split_once('>').context("the line is of no kind")?;
    let data = bytes_of(data.strip_prefix(' ').unwrap_or(data))?;
    Ok(match kind.split_once(' ') {
        None if kind.is_empty() => vec![data],
        None if kind == "cut" => (0..=data.len()).map(|end| data[..end].to_vec()).collect(),
        Some(("put", bytes)) => {
            let bytes = bytes_of(bytes)?;
            (0..=data.len()).map(|place| [&data[..place], &bytes, &data[place..]].concat()).collect()
        }
        _ => bail!("the line is of no kind"),
    })
}

/// The bytes that a spelling stands for.
fn bytes_of(spelled: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = spelled;
    while let Some(letter) = rest.chars().next() {
        let after = &rest[letter.len_utf8()..];
        rest = match letter {
            '\\' => {
                let (byte, taken) = escape(after)?;
                bytes.push(byte);
                &after[taken..]
            }
            '{' => {
                let (inside, behind) = after.split_once('}').context("a repetition ends with }")?;
                repeat(inside, &mut bytes)?;
                behind
            }
            _ => {
                bytes.extend_from_slice(&rest.as_bytes()[..letter.len_utf8()]);
                after
            }
        };
    }
    Ok(bytes)
}

/// The byte of an escape and the length of its spelling behind the backslash.
fn escape(after: &str) -> Result<(u8, usize)> {
    Ok(match after.chars().next() {
        Some('n') => (b'\n', 1),
        Some('r') => (b'\r', 1),
        Some('t') => (b'\t', 1),
        Some('0') => (0, 1),
        Some('x') => (u8::from_str_radix(after.get(1..3).context("\\x has two digits")?, 16)?, 3),
        Some(letter) if letter.is_ascii_punctuation() => (letter as u8, 1),
        _ => bail!("a backslash that means nothing"),
    })
}

fn repeat(inside: &str, bytes: &mut Vec<u8>) -> Result<()> {
    let mut parts = inside.splitn(3, '*');
    let count: usize = parts.next().unwrap_or_default().parse().context("a repetition begins with its number")?;
    let text = parts.next().context("a repetition is {number*text}")?;
    let separator = bytes_of(parts.next().unwrap_or_default())?;
    let plain = bytes_of(text)?;
    for index in 1..=count {
        if text.contains('%') {
            bytes.extend(bytes_of(&text.replace('%', &index.to_string()))?);
        } else {
            bytes.extend_from_slice(&plain);
        }
        if index < count {
            bytes.extend_from_slice(&separator);
        }
    }
    Ok(())
}

/// What a server makes of a file.
async fn load(session: &Session, statement: &str, pieces: &[&[u8]]) -> Result<String> {
    session.run("BEGIN").await?;
    let outcome = match session.copy_in_pieces(statement, pieces).await {
        Ok(_) => match statement.strip_prefix("COPY ").and_then(|rest| rest.split(' ').next()) {
            Some(table) => {
                let mut rows = session.rows(&format!("TABLE {table}")).await?;
                rows.sort();
                rows_shown(&rows)
            }
            None => "done".to_string(),
        },
        Err(failure) if failure.is_connection_loss() => return Err(failure.into()),
        Err(failure) => failure_shown(&failure),
    };
    session.run("ROLLBACK").await?;
    ensure!(!outcome.contains('\n'), "an outcome is one line");
    Ok(shortened(outcome))
}

fn rows_shown(rows: &[Vec<Option<String>>]) -> String {
    if rows.is_empty() {
        return "no rows".to_string();
    }
    let value = |value: &Option<String>| value.as_ref().map_or("NULL".to_string(), |text| escaped(text));
    let row = |row: &Vec<Option<String>>| format!("({})", row.iter().map(value).collect::<Vec<_>>().join(","));
    rows.iter().map(row).collect()
}

fn failure_shown(failure: &Failure) -> String {
    let mut text = format!("{} {}", failure.code.as_deref().unwrap_or_default(), escaped(&failure.message));
    if let Some(position) = failure.position {
        text += &format!(" | AT: {position}");
    }
    let fields = [("DETAIL", &failure.detail), ("HINT", &failure.hint), ("CONTEXT", &failure.context)];
    for (name, field) in fields {
        if let Some(field) = field {
            text += &format!(" | {name}: {}", escaped(field));
        }
    }
    text
}

fn escaped(text: &str) -> String {
    let letter = |letter: char| match letter {
        '\\' => "\\\\".to_string(),
        control if control.is_control() => control.escape_default().to_string(),
        other => other.to_string(),
    };
    text.chars().map(letter).collect()
}

fn shortened(outcome: String) -> String {
    if outcome.len() <= OUTCOME_BYTES_MAX {
        return outcome;
    }
    let start = &outcome[..outcome.floor_char_boundary(OUTCOME_BYTES_MAX / 2)];
    let end = &outcome[outcome.ceil_char_boundary(outcome.len() - OUTCOME_BYTES_MAX / 10)..];
    format!("{start} … {} bytes … {end}", outcome.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_stand_for_bytes() {
        let bytes = |spelled: &str| bytes_of(spelled).map_err(|error| error.to_string());
        assert_eq!(bytes("a\\n\\x00\\0é\\\\{3*ab}"), Ok(b"a\n\0\0\xc3\xa9\\ababab".to_vec()));
        assert_eq!(bytes("{3*c% int*, }"), Ok(b"c1 int, c2 int, c3 int".to_vec()));
        assert!(bytes("\\y").is_err() && bytes("{x}").is_err());
    }

    #[test]
    fn families_have_a_file_for_each_place() {
        let files = |line: &str| variants(line).map_err(|error| error.to_string());
        assert_eq!(files("cut> ab"), Ok(vec![b"".to_vec(), b"a".to_vec(), b"ab".to_vec()]));
        assert_eq!(files("put \\xff> a"), Ok(vec![b"\xffa".to_vec(), b"a\xff".to_vec()]));
        assert_eq!(files("> a>b"), Ok(vec![b"a>b".to_vec()]));
    }
}
