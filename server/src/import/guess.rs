//! What a file is, from its first mebibyte: delimiter, header, names and types. Shown before it is used.
//!
//! Lines that are wrong say nothing about the others: records with more or fewer values than the first are not looked at, and where
//! wrong values are rejected, a type is that of nearly all of them.

use super::quoted;
use super::source::{json_batches, kind, unpacked};
use anyhow::{Context, bail};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use catalog::sql_type::SqlType;
use query::files::ParquetRows;
use std::collections::HashSet;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

#[cfg(test)]
mod tests;

const SAMPLE_BYTES: u64 = 1 << 20;
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];
/// A column of text with so few values in enough rows is one to partition by.
const PARTITION_VALUES_MAX: usize = 16;
const PARTITION_ROWS_MIN: usize = 100;
/// Of so many values one may be wrong, where wrong ones are rejected.
const VALUES_PER_WRONG_ONE_MIN: usize = 20;

/// How a file's records look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Lines { delimiter: u8, header: bool },
    Json,
    Parquet,
}

/// A file as it seems to be.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    pub(super) shape: Shape,
    columns: Vec<(String, String)>,
    /// A column of few values, for partitions.
    few_values: Option<String>,
}

impl Guess {
    /// Looks at the start of a file; what is given is not guessed. `rejects` says that wrong values have a place to go.
    pub(super) fn of(
        path: &Path,
        delimiter: Option<char>,
        header: Option<bool>,
        rejects: bool,
    ) -> anyhow::Result<Self> {
        match kind(path).as_str() {
            "parquet" => return Self::of_parquet(path),
            "jsonl" | "ndjson" | "json" => return Self::of_json(path),
            _ => {}
        }
        let sample = sample(path)?;
        let delimiter = match delimiter {
            Some(given) => {
                u8::try_from(given).ok().filter(u8::is_ascii).context("a delimiter is one ASCII character")?
            }
            None => best_delimiter(&sample, kind(path) == "tsv"),
        };
        let rows = csv_rows(&sample, delimiter)?;
        let header = header.unwrap_or_else(|| looks_like_header(&rows));
        let width = rows.num_columns();
        let (first, values) =
            if header && rows.num_rows() > 0 { (1, rows.slice(1, rows.num_rows() - 1)) } else { (0, rows.clone()) };
        let names = (0..width).map(|index| match first {
            1 => rows.column(index).as_string::<i32>().value(0).trim().to_string(),
            _ => format!("column{}", index + 1),
        });
        Ok(Self::new(Shape::Lines { delimiter, header }, names.collect(), &values, rejects))
    }

    fn of_json(path: &Path) -> anyhow::Result<Self> {
        let sample = sample(path)?;
        let (schema, _) = arrow::json::reader::infer_json_schema(sample.as_slice(), None)?;
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let rows = json_batches(sample.as_slice(), &names)?.next().transpose()?;
        let rows = rows.context("the file has no objects")?;
        Ok(Self::new(Shape::Json, names, &rows, false))
    }

    fn of_parquet(path: &Path) -> anyhow::Result<Self> {
        let schema = ParquetRows::open(path)?.schema();
        let columns = schema.fields().iter().map(|field| {
            let sql_type = SqlType::from_field(field).map_or_else(|| "text".to_string(), |known| known.to_string());
            (field.name().clone(), sql_type)
        });
        Ok(Self { shape: Shape::Parquet, columns: columns.collect(), few_values: None })
    }

    fn new(shape: Shape, names: Vec<String>, rows: &RecordBatch, rejects: bool) -> Self {
        let column = |index: usize| rows.column(index).as_string::<i32>();
        let types: Vec<String> = (0..names.len()).map(|index| type_of(column(index), rejects)).collect();
        let few = |index: &usize| {
            let values: HashSet<&str> = column(*index).iter().flatten().collect();
            types[*index] == "text" && (2..=PARTITION_VALUES_MAX).contains(&values.len())
        };
        let few = (0..names.len()).find(|index| rows.num_rows() >= PARTITION_ROWS_MIN && few(index));
        let few_values = few.map(|index| names[index].clone());
        Self { shape, columns: names.into_iter().zip(types).collect(), few_values }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|(name, _)| name.clone()).collect()
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
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|(name, sql_type)| format!("{} {sql_type}", quoted(&name.to_lowercase())))
            .collect();
        let date = self.columns.iter().find(|(_, sql_type)| sql_type == "date" || sql_type.starts_with("timestamp"));
        let few = self.few_values.as_ref().map(|name| quoted(&name.to_lowercase()));
        let month = date.map(|(name, _)| format!("month({})", quoted(&name.to_lowercase())));
        let by: Vec<String> = few.into_iter().chain(month).collect();
        let mut statement = format!("CREATE TABLE {table} ({})", columns.join(", "));
        if !by.is_empty() {
            statement.push_str(&format!(" PARTITION BY ({})", by.join(", ")));
        }
        if let Some((name, _)) = date {
            statement.push_str(&format!(" WITH (order_by = '{}')", name.to_lowercase().replace('\'', "''")));
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
        let columns: Vec<String> = self.columns.iter().map(|(name, sql_type)| format!("{name} {sql_type}")).collect();
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

/// The sample's records as texts, those that have as many values as the first.
fn csv_rows(sample: &[u8], delimiter: u8) -> anyhow::Result<RecordBatch> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(sample);
    let records = reader.byte_records().collect::<Result<Vec<_>, _>>()?;
    let width = records.first().context("the file has no records")?.len();
    let column = |index: usize| -> ArrayRef {
        let whole = records.iter().filter(|record| record.len() == width);
        let values = whole.map(|record| String::from_utf8_lossy(&record[index]).into_owned());
        Arc::new(StringArray::from_iter(values.map(|value| Some(value).filter(|value| !value.is_empty()))))
    };
    let columns: Vec<(String, ArrayRef)> = (0..width).map(|index| (format!("column{index}"), column(index))).collect();
    Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, values)| (name, values, true)))?)
}

/// Whether the first row holds names: all of it text, and other rows have something else below it or none repeats it.
fn looks_like_header(rows: &RecordBatch) -> bool {
    if rows.num_rows() == 0 {
        return false;
    }
    let cell = |index: usize| rows.column(index).as_string::<i32>();
    let mut names = HashSet::new();
    let is_name = |index: usize| cell(index).is_valid(0) && type_of(&cell(index).slice(0, 1), false) == "text";
    (0..rows.num_columns()).all(|index| is_name(index) && names.insert(cell(index).value(0).to_lowercase()))
}

/// The type that all values of a column have, or nearly all where wrong ones are rejected; nulls and empty ones have any.
fn type_of(values: &StringArray, rejects: bool) -> String {
    let present: Vec<&str> = values.iter().flatten().map(str::trim).filter(|value| !value.is_empty()).collect();
    let wrong_max = if rejects { present.len() / VALUES_PER_WRONG_ONE_MIN } else { 0 };
    let fit = |check: fn(&str) -> bool| present.iter().filter(|value| !check(value)).count() <= wrong_max;
    if present.is_empty() {
        return "text".to_string();
    }
    if fit(is_integer) {
        return "bigint".to_string();
    }
    if fit(is_decimal) {
        let fraction = |value: &str| value.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let decimals = present.iter().filter(|value| is_decimal(value));
        // Two digits at least, since a sample of whole prices says little.
        let scale = decimals.map(|value| fraction(value)).max().unwrap_or(0).max(2);
        return if scale <= 18 {
            format!("numeric({}, {scale})", 18.max(scale + 10))
        } else {
            "double precision".into()
        };
    }
    if fit(is_date) {
        return "date".to_string();
    }
    if fit(is_moment) {
        let zoned = |value: &str| value.ends_with('Z') || value[16..].contains(['+', '-']);
        let all_zoned = present.iter().filter(|value| is_moment(value)).all(|value| zoned(value));
        return if all_zoned { "timestamptz".to_string() } else { "timestamp".to_string() };
    }
    if fit(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "false")) {
        return "boolean".to_string();
    }
    "text".to_string()
}

fn is_integer(value: &str) -> bool {
    value.parse::<i64>().is_ok() && (value == "0" || !value.trim_start_matches('-').starts_with('0'))
}

/// A date and a time of day behind it.
fn is_moment(value: &str) -> bool {
    value.is_char_boundary(10) && value.is_char_boundary(16) && value.len() >= 16 && is_date(&value[..10])
}

fn is_decimal(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    numeric(whole) && numeric(fraction) && whole.len() <= 18 && (whole == "0" || !whole.starts_with('0'))
}

/// `2025-01-31`
fn is_date(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(index, byte)| if matches!(index, 4 | 7) { *byte == b'-' } else { byte.is_ascii_digit() })
}
