//! What a file is: delimiter, header, names and types. Shown before it is used.
//!
//! ```text
//! first mebibyte ─▶ delimiter ─▶ header ─▶ names ─┬─▶ a table that is there: COPY by these names
//! all of the file ─────────────▶ surveys ─────────┴─▶ a table to be made: names and types
//! ```
//!
//! The types of a new table are those of all values of all files, so that no later value is changed by a guess. Lines that are wrong
//! say nothing about the others: records with more or fewer values than the first are not looked at, and where wrong values are
//! rejected, a type is that of nearly all of them.

use super::header::{FirstLine, same_name};
use super::json_lines::{Lines, Value, members, text_of, unquoted};
use super::source::{kind, unpacked};
use super::survey::Survey;
use super::{TableColumn, quoted};
use anyhow::{Context, bail};
use arrow::datatypes::{DataType, Field};
use catalog::sql_type::SqlType;
use query::copy_format::CopyEncoding;
use query::files::ParquetRows;
use std::collections::HashMap;
use std::fmt;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

#[cfg(test)]
mod tests;

const SAMPLE_BYTES: u64 = 1 << 20;
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];
/// In so many rows a column of few values is one to partition by.
const PARTITION_ROWS_MIN: u64 = 100;

/// How a file's records look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Lines { delimiter: u8, header: bool },
    Json,
    Parquet,
}

/// What is said about the files and not guessed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    pub(super) delimiter: Option<char>,
    pub(super) header: Option<bool>,
    pub(super) encoding: CopyEncoding,
    /// Wrong values have a place to go.
    pub(super) rejects: bool,
}

/// The table that files go to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Table<'a> {
    Existing(&'a [TableColumn]),
    /// One that is to be made, with the names that earlier files gave its columns.
    New(&'a [String]),
}

impl Table<'_> {
    fn names(&self) -> Vec<String> {
        match self {
            Self::Existing(columns) => columns.iter().map(|column| column.name.clone()).collect(),
            Self::New(names) => names.to_vec(),
        }
    }
}

/// A file as it seems to be.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    pub(super) shape: Shape,
    columns: Vec<Column>,
    rows: u64,
    rejects: bool,
}

#[derive(Clone, Debug)]
struct Column {
    name: String,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    Surveyed(Survey),
    /// Values of a type that the file or the table says.
    Typed(String),
}

impl Column {
    fn sql_type(&self, rejects: bool) -> String {
        match &self.values {
            Values::Surveyed(survey) => survey.sql_type(rejects),
            Values::Typed(sql_type) => sql_type.clone(),
        }
    }

    fn widen(&mut self, other: &Self, rejects: bool) -> anyhow::Result<()> {
        if let (Values::Surveyed(known), Values::Surveyed(values)) = (&mut self.values, &other.values) {
            known.merge(values);
            return Ok(());
        }
        let (one, another) = (self.sql_type(rejects), other.sql_type(rejects));
        if one != another {
            let name = &self.name;
            bail!(
                "column \"{name}\" is {one} in one file and {another} in another; make the table with CREATE TABLE first"
            );
        }
        Ok(())
    }

    /// Whether it is a text with few values.
    fn has_few_values(&self, rejects: bool) -> bool {
        matches!(&self.values, Values::Surveyed(survey) if survey.has_few_values() && survey.sql_type(rejects) == "text")
    }
}

impl Guess {
    /// Looks at a file, at all of it where it says what the table is to be.
    pub(super) fn of(path: &Path, said: &Said, table: Table<'_>) -> anyhow::Result<Self> {
        match kind(path).as_str() {
            "parquet" => Self::of_parquet(path),
            "jsonl" | "ndjson" | "json" => Self::of_json(path, said, table),
            _ => Self::of_lines(path, said, table),
        }
    }

    fn of_lines(path: &Path, said: &Said, table: Table<'_>) -> anyhow::Result<Self> {
        let sample = sample(path)?;
        let delimiter = match said.delimiter {
            Some(given) => {
                u8::try_from(given).ok().filter(u8::is_ascii).context("a delimiter is one ASCII character")?
            }
            None => best_delimiter(&sample, kind(path) == "tsv"),
        };
        let values: Box<dyn Read> = match table {
            Table::Existing(_) => Box::new(Cursor::new(sample)),
            Table::New(_) => unpacked(path, Arc::new(AtomicU64::new(0)))?,
        };
        let (mut first, mut rows) = survey_lines(values, delimiter, said.encoding)?;
        let header = match said.header.or_else(|| first.is_header(&table.names())) {
            Some(header) => header,
            None => bail!(
                "it is unclear whether its first line holds names ({}); say --header true or --header false",
                first.cells.join(", ")
            ),
        };
        let names = if header {
            first.names()
        } else {
            rows += 1;
            first.cells.iter().zip(&mut first.below).for_each(|(cell, below)| below.push(cell.as_bytes()));
            (1..=first.cells.len()).map(|number| format!("column{number}")).collect()
        };
        let columns = names.into_iter().zip(first.below);
        let columns = columns.map(|(name, survey)| Column { name, values: Values::Surveyed(survey) }).collect();
        Ok(Self { shape: Shape::Lines { delimiter, header }, columns, rows, rejects: said.rejects })
    }

    fn of_json(path: &Path, said: &Said, table: Table<'_>) -> anyhow::Result<Self> {
        let (columns, rows) = match table {
            Table::Existing(columns) => {
                let typed = |column: &TableColumn| Column {
                    name: column.name.clone(),
                    values: Values::Typed(column.sql_type.clone()),
                };
                (columns.iter().map(typed).collect(), 0)
            }
            Table::New(_) => survey_json(unpacked(path, Arc::new(AtomicU64::new(0)))?, said)?,
        };
        Ok(Self { shape: Shape::Json, columns, rows, rejects: said.rejects })
    }

    fn of_parquet(path: &Path) -> anyhow::Result<Self> {
        let schema = ParquetRows::open(path)?.schema();
        let typed = |field: &Arc<Field>| Column { name: field.name().clone(), values: Values::Typed(declared(field)) };
        let columns = schema.fields().iter().map(typed).collect();
        Ok(Self { shape: Shape::Parquet, columns, rows: 0, rejects: false })
    }

    /// Adds what another file of the same table has: columns, and values of those that are there.
    pub(super) fn widen(&mut self, other: &Self) -> anyhow::Result<()> {
        self.rows += other.rows;
        for column in &other.columns {
            match self.columns.iter_mut().find(|known| same_name(&known.name, &column.name)) {
                None => self.columns.push(column.clone()),
                Some(known) => known.widen(column, self.rejects)?,
            }
        }
        Ok(())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// The options of COPY that say how the file looks.
    pub(super) fn copy_options(&self) -> String {
        match self.shape {
            Shape::Lines { delimiter, header } => {
                let delimiter = char::from(delimiter);
                let delimiter = if delimiter == '\'' { "''".to_string() } else { delimiter.to_string() };
                format!("FORMAT csv, DELIMITER '{delimiter}', HEADER {header}")
            }
            Shape::Json | Shape::Parquet => "FORMAT text".to_string(),
        }
    }

    /// The table that the file asks for: by its first date, month by month, and by a column of few values.
    pub(super) fn create_table(&self, table: &str) -> anyhow::Result<String> {
        if self.columns.is_empty() {
            bail!("the file has no columns");
        }
        let spelled = |column: &Column| quoted(&column.name.to_lowercase());
        let typed = |column: &Column| format!("{} {}", spelled(column), column.sql_type(self.rejects));
        let columns: Vec<String> = self.columns.iter().map(typed).collect();
        let is_dated = |column: &&Column| {
            let sql_type = column.sql_type(self.rejects);
            sql_type == "date" || sql_type.starts_with("timestamp")
        };
        let date = self.columns.iter().find(is_dated);
        let few = self.columns.iter().find(|column| column.has_few_values(self.rejects));
        let few = few.filter(|_| self.rows >= PARTITION_ROWS_MIN).map(spelled);
        let month = date.map(|column| format!("month({})", spelled(column)));
        let by: Vec<String> = few.into_iter().chain(month).collect();
        let mut statement = format!("CREATE TABLE {table} ({})", columns.join(", "));
        if !by.is_empty() {
            statement.push_str(&format!(" PARTITION BY ({})", by.join(", ")));
        }
        if let Some(column) = date {
            statement.push_str(&format!(" WITH (order_by = '{}')", column.name.to_lowercase().replace('\'', "''")));
        }
        Ok(statement)
    }
}

impl fmt::Display for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::Lines { delimiter, header } => {
                let with = if header { "a header" } else { "no header" };
                write!(f, "csv, delimiter {:?}, {with}", char::from(delimiter))?;
            }
            Shape::Json => f.write_str("JSON lines")?,
            Shape::Parquet => f.write_str("Parquet")?,
        }
        let column = |column: &Column| format!("{} {}", column.name, column.sql_type(self.rejects));
        let columns: Vec<String> = self.columns.iter().map(column).collect();
        write!(f, ", {} columns: {}", columns.len(), columns.join(", "))
    }
}

/// The first whole lines of a file.
fn sample(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut sample = Vec::new();
    unpacked(path, Arc::new(AtomicU64::new(0)))?.take(SAMPLE_BYTES).read_to_end(&mut sample)?;
    if sample.len() as u64 == SAMPLE_BYTES
        && let Some(last) = sample.iter().rposition(|byte| *byte == b'\n')
    {
        sample.truncate(last + 1);
    }
    if sample.is_empty() { bail!("the file is empty") } else { Ok(sample) }
}

/// The delimiter that stands most often in the first line.
fn best_delimiter(sample: &[u8], tabs: bool) -> u8 {
    if tabs {
        return b'\t';
    }
    let line = sample.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: &u8| line.iter().filter(|byte| *byte == delimiter).count();
    DELIMITERS.into_iter().rev().max_by_key(count).unwrap_or(b',')
}

/// The first record of a file and what stands below it, in records with as many values; and how many those are.
fn survey_lines(values: impl Read, delimiter: u8, encoding: CopyEncoding) -> anyhow::Result<(FirstLine, u64)> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(values);
    let mut record = csv::ByteRecord::new();
    if !reader.read_byte_record(&mut record)? {
        bail!("the file has no records");
    }
    let cells = record.iter().map(|cell| text_of(cell, encoding).map(|text| text.into_owned()));
    let cells = cells.collect::<Result<Vec<String>, String>>().map_err(anyhow::Error::msg).context("line 1")?;
    let first = record.clone();
    let mut below = vec![Survey::default(); first.len()];
    let (mut rows, mut repeats) = (0, false);
    while reader.read_byte_record(&mut record)? {
        if record.len() != first.len() {
            continue;
        }
        rows += 1;
        for ((value, name), survey) in record.iter().zip(&first).zip(&mut below) {
            survey.push(value);
            repeats |= value == name && !value.is_empty();
        }
    }
    Ok((FirstLine { cells, below, repeats }, rows))
}

/// The members of all objects, in the order in which they come up; and how many objects there are.
fn survey_json(values: impl Read, said: &Said) -> anyhow::Result<(Vec<Column>, u64)> {
    let mut lines = Lines::new(values);
    let mut surveyed = MemberSurveys::default();
    let mut rows = 0;
    while let Some((number, line)) = lines.next()? {
        match text_of(line, said.encoding).and_then(|line| surveyed.push(&line)) {
            Ok(()) => rows += 1,
            // It says nothing, and is rejected when it is loaded.
            Err(_) if said.rejects => {}
            Err(wrong) => bail!("line {number}: {wrong}"),
        }
    }
    if rows == 0 {
        bail!("the file has no objects");
    }
    let column = |(name, survey)| Column { name, values: Values::Surveyed(survey) };
    Ok((surveyed.members.into_iter().map(column).collect(), rows))
}

/// The members of objects, each with what its values are.
#[derive(Default)]
struct MemberSurveys {
    members: Vec<(String, Survey)>,
    /// Where a name is among them, by its spelling in the file.
    places: HashMap<String, usize>,
}

impl MemberSurveys {
    fn push(&mut self, line: &str) -> Result<(), String> {
        let mut values = Vec::new();
        members(line, |name, value| {
            values.push((name, value));
            Ok(())
        })?;
        for (name, value) in values {
            let place = self.place(name)?;
            survey_value(&mut self.members[place].1, value)?;
        }
        Ok(())
    }

    fn place(&mut self, quoted: &str) -> Result<usize, String> {
        if let Some(place) = self.places.get(quoted) {
            return Ok(*place);
        }
        let name = unquoted(quoted)?;
        let known = self.members.iter().position(|(known, _)| same_name(known, &name));
        let place = known.unwrap_or(self.members.len());
        if place == self.members.len() {
            self.members.push((name.into_owned(), Survey::default()));
        }
        self.places.insert(quoted.to_string(), place);
        Ok(place)
    }
}

fn survey_value(survey: &mut Survey, value: Value<'_>) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::Plain(spelled) => survey.push(spelled.as_bytes()),
        Value::Nested(_) => survey.push_nested(),
        Value::Text(quoted) => match unquoted(quoted)?.as_bytes() {
            blank if blank.trim_ascii().is_empty() => survey.push_empty_text(),
            text => survey.push(text),
        },
    }
    Ok(())
}

/// The type that a column of a Parquet file has in a table.
fn declared(field: &Field) -> String {
    match field.data_type() {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => numeric(*precision, *scale),
        DataType::List(item) | DataType::LargeList(item) => format!("{}[]", declared(item)),
        _ => SqlType::from_field(field).map_or_else(|| "text".to_string(), |known| known.to_string()),
    }
}

/// Digits before the point that a negative scale rounds away are kept.
fn numeric(precision: u8, scale: i8) -> String {
    match u8::try_from(scale) {
        Ok(scale) => format!("numeric({}, {scale})", precision.max(scale)),
        Err(_) => format!("numeric({}, 0)", precision.saturating_add(scale.unsigned_abs())),
    }
}
