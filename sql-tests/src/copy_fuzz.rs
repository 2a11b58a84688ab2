//! COPY's decoders beside PostgreSQL's: small random files, most of them a little wrong.
//!
//! Each file goes into the same table on both servers, inside of a transaction that is rolled back, cut into messages at random
//! places. Both must take it and show the same rows, or refuse it with the same SQLSTATE, message and context: line, column and what
//! is shown of them. Some files are longer than the chunks that Meridian reads them in.
//!
//! PostgreSQL 15 has no ON_ERROR. There it loads the same file into columns of text, and a function says which rows of them could be read.

use crate::session::{Failure, Session, TextRow};
use anyhow::Result;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::fmt;

/// A table that files are made for.
struct Table {
    name: &'static str,
    columns: &'static str,
    kinds: &'static [&'static str],
}

const TABLES: [Table; 4] = [
    Table { name: "fuzz_two", columns: "a integer, b text", kinds: &["int", "text"] },
    Table { name: "fuzz_one", columns: "a text", kinds: &["text"] },
    Table {
        name: "fuzz_five",
        columns: "a bigint NOT NULL, b numeric(6,2), c date, d boolean, e varchar(4)",
        kinds: &["int", "numeric", "date", "bool", "text"],
    },
    Table {
        name: "fuzz_kinds",
        columns: "a smallint, b double precision, c timestamp, d uuid, e bytea",
        kinds: &["small", "float", "timestamp", "uuid", "bytes"],
    },
];

/// The table of files that are read with ON_ERROR, in PostgreSQL one of texts.
const TOLERANT: Table = Table {
    name: "fuzz_values",
    columns: "a bigint, b numeric(6,2), c date, d boolean, e varchar(4)",
    kinds: &["int", "numeric", "date", "bool", "text"],
};
const TOLERANT_TEXTS: &str = "a text, b text, c text, d text, e text";
/// Whether a row of texts could be read.
const READABLE: &str =
    "CREATE OR REPLACE FUNCTION fuzz_readable(a text, b text, c text, d text, e text) RETURNS boolean
    LANGUAGE plpgsql AS $$
    DECLARE v bigint; w numeric(6,2); x date; y boolean; z varchar(4);
    BEGIN v := a; w := b; x := c; y := d; z := e; RETURN true; EXCEPTION WHEN data_exception THEN RETURN false; END $$";
const READABLE_ROWS: &str = "SELECT a::bigint, b::numeric(6,2), c::date, d::boolean, e::varchar(4) FROM fuzz_values
    WHERE fuzz_readable(a, b, c, d, e)";

const OPTIONS: [&str; 24] = [
    "FORMAT csv",
    "FORMAT csv",
    "FORMAT csv, HEADER",
    "FORMAT csv, HEADER MATCH",
    "FORMAT csv, DELIMITER ';', QUOTE ''''",
    "FORMAT csv, DELIMITER ';', QUOTE '''', HEADER MATCH",
    "FORMAT csv, ESCAPE '\\'",
    "FORMAT csv, ESCAPE '\\', HEADER",
    "FORMAT csv, NULL 'N'",
    "FORMAT csv, FORCE_NULL (a)",
    "FORMAT csv, FORCE_NOT_NULL (a)",
    "FORMAT csv, NULL 'N', FORCE_NULL (a), FORCE_NOT_NULL (a)",
    "FORMAT csv, ENCODING 'LATIN1'",
    "FORMAT csv, ENCODING 'WIN1252'",
    "FORMAT csv, ENCODING 'UTF8', HEADER",
    "FORMAT text",
    "FORMAT text",
    "FORMAT text, DELIMITER '|', NULL ''",
    "FORMAT text, HEADER",
    "FORMAT text, HEADER MATCH",
    "FORMAT text, ENCODING 'LATIN9'",
    "FORMAT binary",
    "FORMAT binary",
    "FORMAT binary",
];

/// One of so many files is longer than a chunk.
const LONG_FILES_EVERY: u32 = 500;
const LONG_FILE_BYTES: std::ops::Range<usize> = 1_000_000..2_500_000;

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
    pub different: usize,
    pub differences: Vec<Difference>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            writeln!(f, "{}\n  data: {}", difference.statement, difference.data.escape_ascii())?;
            writeln!(f, "  meridian:   {}\n  postgresql: {}\n", difference.meridian, difference.postgres)?;
        }
        let Self { files, accepted, refused, different, .. } = self;
        write!(f, "{files} files: {accepted} taken by both, {refused} refused by both alike, {different} differ")
    }
}

/// Sends random files to both servers. The tables `fuzz_…` are replaced.
pub async fn run(settings: &Settings, meridian: &Session, postgres: &Session) -> Result<Report> {
    for session in [meridian, postgres] {
        for Table { name, columns, .. } in &TABLES {
            create(session, name, columns).await?;
        }
    }
    create(meridian, TOLERANT.name, TOLERANT.columns).await?;
    create(postgres, TOLERANT.name, TOLERANT_TEXTS).await?;
    postgres.run(READABLE).await?;
    let mut dice = StdRng::seed_from_u64(settings.seed);
    let mut report = Report::default();
    for _ in 0..settings.files {
        let load = Load::random(&mut dice);
        let pieces = load.pieces(&mut dice);
        let (ours, theirs) = tokio::join!(
            outcome(meridian, &load.statement, &pieces, &load.query),
            outcome(postgres, &load.postgres_statement, &pieces, &load.postgres_query)
        );
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
        report.different += 1;
        if report.differences.len() < settings.shown {
            let Load { statement, data, .. } = load;
            report.differences.push(Difference { statement, data, meridian: ours, postgres: theirs });
        }
    }
    Ok(report)
}

async fn create(session: &Session, name: &str, columns: &str) -> Result<()> {
    session.run(&format!("DROP TABLE IF EXISTS {name}")).await?;
    session.run(&format!("CREATE TABLE {name} ({columns})")).await?;
    Ok(())
}

/// A file, and what each server is asked.
struct Load {
    data: Vec<u8>,
    statement: String,
    query: String,
    postgres_statement: String,
    postgres_query: String,
}

impl Load {
    fn random(dice: &mut StdRng) -> Self {
        let options = *OPTIONS.choose(dice).expect("there are options");
        let is_binary = options.contains("binary");
        let is_tolerant = !is_binary && dice.random_bool(0.15);
        let table = if is_tolerant { &TOLERANT } else { TABLES.choose(dice).expect("there are tables") };
        let data = if is_binary { binary_file(dice, table) } else { file(dice, options, table.kinds) };
        let statement = format!("COPY {} FROM STDIN WITH ({options})", table.name);
        let query = format!("SELECT * FROM {}", table.name);
        Self {
            data,
            postgres_statement: statement.clone(),
            postgres_query: if is_tolerant { READABLE_ROWS.to_string() } else { query.clone() },
            statement: if is_tolerant { statement.replace("WITH (", "WITH (ON_ERROR ignore, ") } else { statement },
            query,
        }
    }

    /// The data cut at random places.
    fn pieces(&self, dice: &mut StdRng) -> Vec<&[u8]> {
        let mut rest = &self.data[..];
        let mut pieces = Vec::new();
        let piece_bytes_max = *[1, 3, 10, 100, 100_000].choose(dice).expect("there are lengths");
        let piece_bytes_max = if rest.len() > 10_000 { 1_000_000 } else { piece_bytes_max };
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(dice.random_range(1..=piece_bytes_max).min(rest.len()));
            pieces.push(piece);
            rest = later;
        }
        pieces
    }
}

/// What a server makes of a file, in words.
async fn outcome(session: &Session, statement: &str, pieces: &[&[u8]], query: &str) -> Result<String> {
    session.run("BEGIN").await?;
    let outcome = match session.copy_in_pieces(statement, pieces).await {
        Ok(_) => {
            let mut rows: Vec<TextRow> = session.rows(query).await?;
            rows.sort();
            format!("rows {}: {rows:?}", rows.len())
        }
        Err(failure) if failure.is_connection_loss() => return Err(failure.into()),
        Err(failure) => shown(&failure),
    };
    session.run("ROLLBACK").await?;
    Ok(outcome)
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
    if dice.random_ratio(1, LONG_FILES_EVERY) {
        let length = dice.random_range(LONG_FILE_BYTES);
        while data.len() < length {
            let values: Vec<&str> = kinds.iter().map(|kind| plain_value(dice, kind)).collect();
            data.extend_from_slice(values.join(delimiter).as_bytes());
            data.extend_from_slice(end.as_bytes());
        }
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

/// A value that can be read in whatever format.
fn plain_value(dice: &mut StdRng, kind: &str) -> &'static str {
    let choices: &[&'static str] = match kind {
        "int" | "small" => &["1", "-20", "777"],
        "numeric" => &["1.5", "-0.005", "1234.56"],
        "float" => &["1.5", "-2e10"],
        "date" => &["2025-01-31", "1999-12-31"],
        "timestamp" => &["2025-01-31 12:00:00", "1999-12-31 23:59:59.5"],
        "bool" => &["t", "f"],
        "uuid" => &["00112233-4455-6677-8899-aabbccddeeff"],
        "bytes" => &["abc", ""],
        _ => &["x", "", "ab"],
    };
    choices.choose(dice).expect("there are values")
}

fn value(dice: &mut StdRng, kind: &str, csv: bool) -> String {
    let choices: &[&str] = match kind {
        "small" => &["1", "-20", " 3", "32768", "-32769", "1.0"],
        "float" => &["1.5", "-0.005", "1e400", "NaN", "-Infinity", "0x1", "1e-400"],
        "timestamp" => &["2025-01-31", "2025-01-31 24:00:00", "2025-01-31 25:00:00", "1/2/2024 3:04", "31.12.2024"],
        "uuid" => &["00112233445566778899aabbccddeeff", "{00112233-4455-6677-8899-aabbccddeeff}", "0011"],
        "bytes" => &["\\x00ff", "\\x0", "\\xzz", "abc", "a\\\\b", "\\001", "\\1"],
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
fn binary_file(dice: &mut StdRng, table: &Table) -> Vec<u8> {
    let mut data = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let length = if dice.random_ratio(1, LONG_FILES_EVERY) { dice.random_range(LONG_FILE_BYTES) } else { 0 };
    let mut rows = dice.random_range(0..4);
    while rows > 0 || data.len() < length {
        data.extend_from_slice(&(table.kinds.len() as i16).to_be_bytes());
        for kind in table.kinds {
            let value = if dice.random_bool(0.1) { None } else { Some(binary_value(dice, table, kind)) };
            let length = value.as_ref().map_or(-1, |value| value.len() as i32);
            data.extend_from_slice(&length.to_be_bytes());
            data.extend(value.unwrap_or_default());
        }
        rows = usize::saturating_sub(rows, 1);
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

/// The bytes of a value, nearly always one of its type.
fn binary_value(dice: &mut StdRng, table: &Table, kind: &str) -> Vec<u8> {
    match kind {
        "int" if table.columns.contains("bigint") => dice.random::<i64>().to_be_bytes().to_vec(),
        "int" => dice.random::<i32>().to_be_bytes().to_vec(),
        "small" => dice.random::<i16>().to_be_bytes().to_vec(),
        "float" => f64::from(dice.random_range(-1000i32..1000)).to_be_bytes().to_vec(),
        "numeric" => [2u16, 0, 0, 2, 7, 5000].iter().flat_map(|word| word.to_be_bytes()).collect(),
        "date" => dice.random_range(-1000i32..1000).to_be_bytes().to_vec(),
        "timestamp" => dice.random_range(-1_000_000_000_000i64..1_000_000_000_000).to_be_bytes().to_vec(),
        "bool" => vec![dice.random_range(0..3)],
        "uuid" => dice.random::<[u8; 16]>().to_vec(),
        "bytes" => dice.random::<[u8; 3]>().to_vec(),
        _ if table.columns.contains("varchar(4)") => b"abc".to_vec(),
        _ => "h\u{e9}llo".as_bytes().to_vec(),
    }
}
