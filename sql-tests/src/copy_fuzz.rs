//! COPY's decoders beside PostgreSQL's: small random files, most of them a little wrong.
//!
//! Each file goes into the same table on both servers, inside of a transaction that is rolled back. Both must take it and show the
//! same rows, or refuse it with the same SQLSTATE, message and context: line, column and what is shown of them.

use crate::session::{Failure, Session, TextRow};
use anyhow::Result;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::fmt;

const TABLES: [(&str, &str, &[&str]); 3] = [
    ("fuzz_two", "a integer, b text", &["int", "text"]),
    ("fuzz_one", "a text", &["text"]),
    (
        "fuzz_five",
        "a bigint NOT NULL, b numeric(6,2), c date, d boolean, e varchar(4)",
        &["int", "numeric", "date", "bool", "text"],
    ),
];

const OPTIONS: [&str; 18] = [
    "(FORMAT csv)",
    "(FORMAT csv)",
    "(FORMAT csv, HEADER)",
    "(FORMAT csv, HEADER MATCH)",
    "(FORMAT csv, DELIMITER ';', QUOTE '''')",
    "(FORMAT csv, ESCAPE '\\')",
    "(FORMAT csv, NULL 'N')",
    "(FORMAT csv, FORCE_NULL (a))",
    "(FORMAT csv, FORCE_NOT_NULL (a))",
    "(FORMAT csv, ENCODING 'LATIN1')",
    "(FORMAT csv, ENCODING 'WIN1252')",
    "(FORMAT text)",
    "(FORMAT text)",
    "(FORMAT text, DELIMITER '|', NULL '')",
    "(FORMAT text, HEADER)",
    "(FORMAT text, HEADER MATCH)",
    "(FORMAT binary)",
    "(FORMAT binary)",
];

/// Pieces of files, those that mean something more often than others.
const PIECES: [&[u8]; 36] = [
    b",",
    b",",
    b",",
    b"\n",
    b"\n",
    b"\n",
    b"\r\n",
    b"\r",
    b"\"",
    b"\"",
    b"\"\"",
    b"\\",
    b"\\.",
    b"\\.\n",
    b"\\N",
    b"\t",
    b"\t",
    b"|",
    b";",
    b"'",
    b"1",
    b"22",
    b"-3",
    b"x",
    b"yz",
    b"N",
    b"a",
    b"b",
    b"\xc3\xa9",
    b"\xff",
    b"\x81",
    b"\0",
    b"\xef\xbb\xbf",
    b" ",
    b"\\x41",
    b"\\101",
];

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub seed: u64,
    pub files: usize,
    /// How many differences are kept.
    pub shown: usize,
}

/// One file on which the servers disagree.
#[derive(Clone, Debug)]
pub struct Difference {
    pub statement: String,
    pub data: Vec<u8>,
    pub meridian: String,
    pub postgres: String,
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub files: usize,
    pub accepted: usize,
    pub refused: usize,
    /// Refused alike, but for the line: PostgreSQL does not count every line end inside of quotes.
    pub numbered: usize,
    pub different: usize,
    pub differences: Vec<Difference>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            writeln!(f, "{}\n  data: {}", difference.statement, difference.data.escape_ascii())?;
            writeln!(f, "  meridian:   {}\n  postgresql: {}\n", difference.meridian, difference.postgres)?;
        }
        let Self { files, accepted, refused, numbered, different, .. } = self;
        let alike = format!("{refused} refused by both alike, {numbered} but for the line's number");
        write!(f, "{files} files: {accepted} taken by both, {alike}, {different} differ")
    }
}

/// Sends random files to both servers. The tables `fuzz_…` are replaced.
pub async fn run(settings: &Settings, meridian: &Session, postgres: &Session) -> Result<Report> {
    for session in [meridian, postgres] {
        for (table, columns, _) in TABLES {
            session.run(&format!("DROP TABLE IF EXISTS {table}")).await?;
            session.run(&format!("CREATE TABLE {table} ({columns})")).await?;
        }
    }
    let mut dice = StdRng::seed_from_u64(settings.seed);
    let mut report = Report::default();
    for _ in 0..settings.files {
        let (table, _, kinds) = TABLES.choose(&mut dice).expect("there are tables");
        let options = *OPTIONS.choose(&mut dice).expect("there are options");
        let statement = format!("COPY {table} FROM STDIN WITH {options}");
        let data =
            if options.contains("binary") { binary_file(&mut dice, kinds) } else { file(&mut dice, options, kinds) };
        let (ours, theirs) =
            tokio::join!(load(meridian, table, &statement, &data), load(postgres, table, &statement, &data));
        let (ours, theirs) = (ours?, theirs?);
        report.files += 1;
        if ours == theirs {
            if ours.starts_with("rows") {
                report.accepted += 1
            } else {
                report.refused += 1
            }
            continue;
        }
        if is_quoted_line(&data) && without_line(&ours) == without_line(&theirs) {
            report.numbered += 1;
            continue;
        }
        report.different += 1;
        if report.differences.len() < settings.shown {
            report.differences.push(Difference { statement, data, meridian: ours, postgres: theirs });
        }
    }
    Ok(report)
}

/// What a server makes of a file, in words.
async fn load(session: &Session, table: &str, statement: &str, data: &[u8]) -> Result<String> {
    session.run("BEGIN").await?;
    let outcome = match session.copy_in(statement, data).await {
        Ok(count) => {
            let mut rows: Vec<TextRow> = session.rows(&format!("SELECT * FROM {table}")).await?;
            rows.sort();
            format!("rows {count}: {rows:?}")
        }
        Err(failure) if failure.is_connection_loss() => return Err(failure.into()),
        Err(failure) => shown(&failure),
    };
    session.run("ROLLBACK").await?;
    Ok(outcome)
}

/// Whether the file may have line ends inside of quotes.
fn is_quoted_line(data: &[u8]) -> bool {
    let quoted = data.iter().any(|byte| matches!(byte, b'"' | b'\''));
    quoted && data.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
}

/// An outcome without the number of the line.
fn without_line(outcome: &str) -> String {
    match outcome.split_once(", line ") {
        Some((before, after)) => {
            format!("{before}{}", after.trim_start_matches(|letter: char| letter.is_ascii_digit()))
        }
        None => outcome.to_string(),
    }
}

fn shown(failure: &Failure) -> String {
    let code = failure.code.as_deref().unwrap_or_default();
    format!("{code} {} @ {}", failure.message, failure.context.as_deref().unwrap_or_default())
}

/// A file that is right at first, and then less so.
fn file(dice: &mut StdRng, options: &str, kinds: &[&str]) -> Vec<u8> {
    let csv = options.contains("csv");
    let delimiter = match () {
        () if options.contains("';'") => ";",
        () if options.contains("'|'") => "|",
        () if csv => ",",
        () => "\t",
    };
    let end = ["\n", "\n", "\r\n", "\r"].choose(dice).expect("there are line ends");
    let mut data = Vec::new();
    if options.contains("HEADER") {
        let names: Vec<&str> = ["a", "b", "c", "d", "e"][..kinds.len()].to_vec();
        data.extend_from_slice(names.join(delimiter).as_bytes());
        data.extend_from_slice(end.as_bytes());
    }
    for _ in 0..dice.random_range(0..4) {
        let values: Vec<String> = kinds.iter().map(|kind| value(dice, kind, csv)).collect();
        data.extend_from_slice(values.join(delimiter).as_bytes());
        data.extend_from_slice(end.as_bytes());
    }
    for _ in 0..dice.random_range(0..5) {
        let place = dice.random_range(0..=data.len());
        if dice.random_bool(0.2) && place < data.len() {
            data.remove(place);
            continue;
        }
        let piece = *PIECES.choose(dice).expect("there are pieces");
        data.splice(place..place, piece.iter().copied());
    }
    data
}

fn value(dice: &mut StdRng, kind: &str, csv: bool) -> String {
    let choices: &[&str] = match kind {
        "int" => &["1", "-20", " 3", "+4", "9223372036854775807", "2147483648"],
        "numeric" => &["1.5", "-0.005", "1234.56", "12345", "1e3", " 7 "],
        "date" => &["2025-01-31", "1999-12-31", "2025-02-30", "1/2/2024"],
        "bool" => &["t", "false", "on", "0", "maybe"],
        _ => &["x", "", "a b", "\u{e9}t\u{e9}", "longer than four", "N"],
    };
    let text = choices.choose(dice).expect("there are values").to_string();
    match dice.random_range(0..6) {
        0 if csv => format!("\"{text}\""),
        1 if csv => format!("\"{text}\n\"\"q\""),
        2 if !csv => "\\N".to_string(),
        3 if !csv => format!("{text}\\t\\\\"),
        _ => text,
    }
}

/// The same in the binary format.
fn binary_file(dice: &mut StdRng, kinds: &[&str]) -> Vec<u8> {
    let mut data = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let rows = dice.random_range(0..4);
    for _ in 0..rows {
        data.extend_from_slice(&(kinds.len() as i16).to_be_bytes());
        for (column, kind) in kinds.iter().enumerate() {
            let value: Option<Vec<u8>> = match *kind {
                _ if dice.random_bool(0.1) => None,
                "int" if kinds.len() == 2 => Some(dice.random::<i32>().to_be_bytes().to_vec()),
                "int" => Some(dice.random::<i64>().to_be_bytes().to_vec()),
                "numeric" => {
                    Some([0u16, 2, 0, 0, 2, 7, 5000][1..].iter().flat_map(|word| word.to_be_bytes()).collect())
                }
                "date" => Some(dice.random_range(-1000i32..1000).to_be_bytes().to_vec()),
                "bool" => Some(vec![dice.random_range(0..3)]),
                _ if column == 4 => Some(b"abc".to_vec()),
                _ => Some("h\u{e9}llo".as_bytes().to_vec()),
            };
            let length = value.as_ref().map_or(-1, |value| value.len() as i32);
            data.extend_from_slice(&length.to_be_bytes());
            data.extend(value.unwrap_or_default());
        }
    }
    if dice.random_bool(0.8) {
        data.extend_from_slice(&[0xff, 0xff]);
    }
    for _ in 0..dice.random_range(0..3) {
        if data.is_empty() {
            break;
        }
        let place = dice.random_range(0..data.len());
        match dice.random_range(0..4) {
            0 => data.truncate(place),
            1 => drop(data.remove(place)),
            2 => data.insert(place, dice.random()),
            _ => data[place] ^= 1 << dice.random_range(0..8),
        }
    }
    data
}
