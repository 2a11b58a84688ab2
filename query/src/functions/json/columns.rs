//! Columns of json and jsonb, read and built as text.

use super::super::strings::{Answer, present};
use crate::error::QueryError;
use arrow::array::{
    Array, ArrayRef, AsArray, LargeBinaryArray, LargeBinaryBuilder, LargeStringArray, LargeStringBuilder, ListArray,
    StringViewBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use catalog::sql_type::SqlType;
use std::sync::Arc;

/// Which of the two types a function is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    Json,
    Jsonb,
}

impl Form {
    pub(super) fn sql_type(self) -> SqlType {
        match self {
            Self::Json => SqlType::Json,
            Self::Jsonb => SqlType::Jsonb,
        }
    }

    /// `json` or `jsonb`, as functions are called after it.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jsonb => "jsonb",
        }
    }

    fn of(column: &ArrayRef) -> Self {
        if *column.data_type() == DataType::LargeUtf8 { Self::Jsonb } else { Self::Json }
    }
}

/// A column of json or jsonb, whose values are valid JSON; of jsonb in canonical form.
pub(super) enum Documents<'a> {
    Json(&'a LargeBinaryArray),
    Jsonb(&'a LargeStringArray),
}

impl<'a> Documents<'a> {
    pub(super) fn new(column: &'a ArrayRef) -> Self {
        match Form::of(column) {
            Form::Json => Self::Json(column.as_binary()),
            Form::Jsonb => Self::Jsonb(column.as_string()),
        }
    }

    pub(super) fn form(&self) -> Form {
        match self {
            Self::Json(_) => Form::Json,
            Self::Jsonb(_) => Form::Jsonb,
        }
    }

    /// The text of a row that is not null.
    pub(super) fn value(&self, row: usize) -> &'a str {
        match self {
            Self::Json(column) => std::str::from_utf8(column.value(row)).unwrap_or_default(),
            Self::Jsonb(column) => column.value(row),
        }
    }
}

/// Builds a column of text, json or jsonb.
pub(super) enum Column {
    Text(StringViewBuilder),
    Json(LargeBinaryBuilder),
    Jsonb(LargeStringBuilder),
}

impl Column {
    pub(super) fn text() -> Self {
        Self::Text(StringViewBuilder::new())
    }

    pub(super) fn of(form: Form) -> Self {
        match form {
            Form::Json => Self::Json(LargeBinaryBuilder::new()),
            Form::Jsonb => Self::Jsonb(LargeStringBuilder::new()),
        }
    }

    pub(super) fn push(&mut self, value: Option<&str>) {
        match self {
            Self::Text(column) => column.append_option(value),
            Self::Json(column) => column.append_option(value),
            Self::Jsonb(column) => column.append_option(value),
        }
    }

    pub(super) fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut column) => Arc::new(column.finish()),
            Self::Json(mut column) => Arc::new(column.finish()),
            Self::Jsonb(mut column) => Arc::new(column.finish()),
        }
    }
}

/// The rows in which every argument of a strict function has a value.
pub(super) struct Present(Option<NullBuffer>, usize);

impl Present {
    pub(super) fn new(columns: &[ArrayRef]) -> Self {
        Self(present(columns), columns[0].len())
    }

    /// Each row, or `None` where an argument is NULL.
    pub(super) fn rows(&self) -> impl Iterator<Item = Option<usize>> {
        (0..self.1).map(|row| self.0.as_ref().is_none_or(|nulls| nulls.is_valid(row)).then_some(row))
    }
}

/// The column of a strict function that writes each row's value; a body that answers `false` gives NULL.
pub(super) fn written(
    columns: &[ArrayRef],
    mut built: Column,
    mut body: impl FnMut(usize, &mut String) -> Result<bool, QueryError>,
) -> Answer {
    let mut text = String::new();
    for row in Present::new(columns).rows() {
        text.clear();
        let given = match row {
            Some(row) => body(row, &mut text)?,
            None => false,
        };
        built.push(given.then_some(text.as_str()));
    }
    Ok(built.finish())
}

/// The texts of a list's items at a row; `None` is a null. The list's items are strings of any layout.
pub(super) fn list_texts(list: &ListArray, row: usize) -> Vec<Option<String>> {
    let items = list.value(row);
    let items = arrow::compute::cast(&items, &DataType::Utf8View).expect("every string type is cast to this one");
    items.as_string_view().iter().map(|item| item.map(str::to_string)).collect()
}

/// A list column of which row `n` has `lengths[n]` items; a NULL row has `None`.
pub(super) fn lists(item: &SqlType, lengths: &[Option<usize>], values: ArrayRef) -> ArrayRef {
    let field = Arc::new(item.item_field());
    let nulls = NullBuffer::from_iter(lengths.iter().map(Option::is_some));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().map(|length| length.unwrap_or(0)));
    Arc::new(ListArray::new(field, offsets, values, Some(nulls)))
}
