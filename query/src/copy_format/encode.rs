//! Record batches to the lines, or binary records, of COPY TO.
//!
//! Values are encoded column by column; then the lines are put together. Most columns cannot hold a byte that needs an escape, which
//! one search over the column's bytes shows, and are copied as they are.

use super::binary::{SIGNATURE, TRAILER};
use super::encoding::CopyEncoding;
use super::options::{CopyFileFormat, CopyHeader, CopyOptions};
use crate::error::QueryError;
use crate::response::{Format, ResultColumn};
use crate::types::{EncodedColumn, OutputStyle, encode_column};
use arrow::array::RecordBatch;

/// Writes the lines of one COPY.
pub struct CopyEncoder {
    options: CopyOptions,
    style: OutputStyle,
    columns: Vec<ResultColumn>,
    force_quote: Vec<bool>,
    /// For each byte, what a text value has instead; 0 for a byte that stands for itself.
    escapes: [u8; 256],
}

/// Lines one after the other, and where each of them ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedLines {
    pub bytes: Vec<u8>,
    pub ends: Vec<usize>,
}

impl CopyEncoder {
    pub fn new(columns: &[ResultColumn], options: &CopyOptions, style: OutputStyle) -> Result<Self, QueryError> {
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let force_quote = options.force_quote.resolve("FORCE_QUOTE", &names)?;
        Ok(Self {
            escapes: text_escapes(options.delimiter),
            options: options.clone(),
            style,
            columns: columns.to_vec(),
            force_quote,
        })
    }

    /// What comes before all rows, also when there are none: the line of names where the statement wants it, or the binary header.
    pub fn header(&self) -> Result<Option<Vec<u8>>, QueryError> {
        if self.options.format == CopyFileFormat::Binary {
            // Neither flags nor an extension.
            return Ok(Some([SIGNATURE.as_slice(), &[0; 8]].concat()));
        }
        if self.options.header == CopyHeader::Absent {
            return Ok(None);
        }
        let mut line = Vec::new();
        let single = self.columns.len() == 1;
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                line.push(self.options.delimiter);
            }
            let name = column.name.as_bytes();
            match self.options.format {
                CopyFileFormat::Csv if self.needs_quotes(name, single) => self.push_quoted(&mut line, name),
                CopyFileFormat::Csv => line.extend_from_slice(name),
                CopyFileFormat::Text | CopyFileFormat::Binary | CopyFileFormat::Parquet => {
                    self.push_text(&mut line, name)
                }
            }
        }
        line.push(b'\n');
        Ok(Some(self.options.encoding.encode(&line)?.into_owned()))
    }

    /// What comes behind all rows.
    pub fn trailer(&self) -> Option<Vec<u8>> {
        (self.options.format == CopyFileFormat::Binary).then(|| TRAILER.to_be_bytes().to_vec())
    }

    /// The lines of a batch, each with its line end, or its binary records.
    pub fn encode(&self, batch: &RecordBatch) -> Result<EncodedLines, QueryError> {
        if self.options.format == CopyFileFormat::Binary {
            return self.encode_binary(batch);
        }
        let lines = self.encode_lines(batch)?;
        if lines.bytes.is_ascii() || self.options.encoding == CopyEncoding::Utf8 {
            return Ok(lines);
        }
        let mut encoded = EncodedLines { bytes: Vec::with_capacity(lines.bytes.len()), ends: Vec::new() };
        let mut start = 0;
        for end in lines.ends {
            encoded.bytes.extend_from_slice(&self.options.encoding.encode(&lines.bytes[start..end])?);
            encoded.ends.push(encoded.bytes.len());
            start = end;
        }
        Ok(encoded)
    }

    fn encode_binary(&self, batch: &RecordBatch) -> Result<EncodedLines, QueryError> {
        let columns = batch.columns().iter().zip(&self.columns);
        let columns =
            columns.map(|(array, column)| encode_column(array, &column.sql_type, Format::Binary, &self.style));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let bytes: usize = columns.iter().map(|column| column.bytes.len() + 4 * batch.num_rows()).sum();
        let mut out = Vec::with_capacity(bytes + 2 * batch.num_rows());
        let mut ends = Vec::with_capacity(batch.num_rows());
        let mut starts = vec![0; columns.len()];
        for row in 0..batch.num_rows() {
            out.extend_from_slice(&(columns.len() as i16).to_be_bytes());
            for (column, start) in columns.iter().zip(&mut starts) {
                let end = column.ends[row] as usize;
                if column.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                    out.extend_from_slice(&(-1i32).to_be_bytes());
                } else {
                    out.extend_from_slice(&((end - *start) as i32).to_be_bytes());
                    out.extend_from_slice(&column.bytes[*start..end]);
                }
                *start = end;
            }
            ends.push(out.len());
        }
        Ok(EncodedLines { bytes: out, ends })
    }

    fn encode_lines(&self, batch: &RecordBatch) -> Result<EncodedLines, QueryError> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (index, (array, column)) in batch.columns().iter().zip(&self.columns).enumerate() {
            let encoded = encode_column(array, &column.sql_type, Format::Text, &self.style)?;
            let plain = !self.force_quote[index] && self.is_plain(&encoded);
            columns.push(OutColumn { encoded, plain, force_quote: self.force_quote[index], start: 0 });
        }
        let bytes: usize = columns.iter().map(|column| column.encoded.bytes.len() + batch.num_rows()).sum();
        let mut out = Vec::with_capacity(bytes + bytes / 8);
        let mut ends = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            for (index, column) in columns.iter_mut().enumerate() {
                if index > 0 {
                    out.push(self.options.delimiter);
                }
                self.push_value(&mut out, column, row);
            }
            out.push(b'\n');
            ends.push(out.len());
        }
        Ok(EncodedLines { bytes: out, ends })
    }

    #[inline]
    fn push_value(&self, out: &mut Vec<u8>, column: &mut OutColumn, row: usize) {
        let start = column.start;
        let end = column.encoded.ends[row] as usize;
        column.start = end;
        if column.encoded.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(self.options.null.as_bytes());
            return;
        }
        let value = &column.encoded.bytes[start..end];
        match self.options.format {
            _ if column.plain && !self.looks_null(value) => out.extend_from_slice(value),
            CopyFileFormat::Csv if column.force_quote || self.needs_quotes(value, self.columns.len() == 1) => {
                self.push_quoted(out, value)
            }
            CopyFileFormat::Csv => out.extend_from_slice(value),
            CopyFileFormat::Text | CopyFileFormat::Binary | CopyFileFormat::Parquet => self.push_text(out, value),
        }
    }

    /// A csv value that reads as null without quotes. The text format does not tell the two apart, as in PostgreSQL.
    #[inline]
    fn looks_null(&self, value: &[u8]) -> bool {
        self.options.format == CopyFileFormat::Csv && value == self.options.null.as_bytes()
    }

    /// Whether no value of the column has a byte that could need quotes or an escape.
    fn is_plain(&self, column: &EncodedColumn) -> bool {
        let bytes = &column.bytes;
        match self.options.format {
            CopyFileFormat::Text | CopyFileFormat::Binary | CopyFileFormat::Parquet => {
                bytes.iter().all(|byte| self.escapes[usize::from(*byte)] == 0)
            }
            CopyFileFormat::Csv => {
                let CopyOptions { delimiter, quote, .. } = self.options;
                // A single column may also hold the end-of-data marker.
                memchr::memchr3(delimiter, quote, b'\n', bytes).is_none()
                    && memchr::memchr(b'\r', bytes).is_none()
                    && (self.columns.len() > 1 || memchr::memchr(b'\\', bytes).is_none())
            }
        }
    }

    fn needs_quotes(&self, value: &[u8], single: bool) -> bool {
        let CopyOptions { delimiter, quote, .. } = self.options;
        self.looks_null(value)
            || (single && value == b"\\.")
            || value.iter().any(|byte| matches!(byte, b'\n' | b'\r') || *byte == delimiter || *byte == quote)
    }

    fn push_quoted(&self, out: &mut Vec<u8>, value: &[u8]) {
        let CopyOptions { quote, escape, .. } = self.options;
        out.push(quote);
        let mut rest = value;
        while let Some(place) = memchr::memchr2(quote, escape, rest) {
            out.extend_from_slice(&rest[..place]);
            out.extend_from_slice(&[escape, rest[place]]);
            rest = &rest[place + 1..];
        }
        out.extend_from_slice(rest);
        out.push(quote);
    }

    fn push_text(&self, out: &mut Vec<u8>, value: &[u8]) {
        for byte in value {
            match self.escapes[usize::from(*byte)] {
                0 => out.push(*byte),
                escape => out.extend_from_slice(&[b'\\', escape]),
            }
        }
    }
}

struct OutColumn {
    encoded: EncodedColumn,
    plain: bool,
    force_quote: bool,
    /// Where the next row's value starts.
    start: usize,
}

fn text_escapes(delimiter: u8) -> [u8; 256] {
    let mut escapes = [0; 256];
    escapes[usize::from(delimiter)] = delimiter;
    let named = [(0x08, b'b'), (0x09, b't'), (0x0a, b'n'), (0x0b, b'v'), (0x0c, b'f'), (0x0d, b'r'), (b'\\', b'\\')];
    for (byte, letter) in named {
        escapes[usize::from(byte)] = letter;
    }
    escapes
}
