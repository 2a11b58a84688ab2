//! Values and rows of the catalog: from Rust and from exported text into Arrow.
//!
//! Catalog relations are small, so their rows are built value by value and by column name. A column that a row does not name
//! gets its default: NULL where PostgreSQL's own column allows it, else zero, false or the empty text.

use arrow::array::{
    ArrayRef, BinaryViewArray, BooleanArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
    IntervalMonthDayNanoArray, ListArray, RecordBatch, StringViewArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use catalog::ids::ObjectId;
use catalog::sql_type::{SqlType, TYPE_KEY, VECTOR_KEY};
use std::collections::HashMap;
use std::sync::Arc;

/// One value of a catalog column, before it becomes Arrow. `Int` also stands for OIDs and timestamps in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
}

impl Value {
    /// The integer of an OID or number, also of one written as text.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Float(value) => Some(*value as i64),
            Self::Bool(value) => Some(i64::from(*value)),
            Self::Text(value) => value.trim().parse().ok(),
            Self::Null | Self::List(_) => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(value) => Some(value),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Text(value) => Some(matches!(value.as_str(), "t" | "true" | "on" | "yes" | "1")),
            _ => None,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_string())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<ObjectId> for Value {
    fn from(value: ObjectId) -> Self {
        Self::Int(i64::from(value.0))
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {
        $(impl From<$integer> for Value {
            fn from(value: $integer) -> Self {
                Self::Int(value as i64)
            }
        })*
    };
}
from_integers!(i16, i32, i64, u32, u64, usize);

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

/// A column of a catalog relation.
#[derive(Clone, Debug)]
pub struct CatalogColumn {
    pub name: String,
    pub sql_type: SqlType,
    pub not_null: bool,
    /// Whether it is `int2vector` or `oidvector`, which plans compute with as arrays.
    pub is_vector: bool,
}

impl CatalogColumn {
    /// The Arrow field inside plans. An OID alias such as `regproc` stays a number here, so that it compares and joins with
    /// OIDs; `name_registered_objects` turns it into a name where it leaves the plan.
    pub fn field(&self) -> Field {
        let mut field = match &self.sql_type {
            SqlType::Reg(_) => Field::new(&self.name, DataType::Int64, true)
                .with_metadata(HashMap::from([(TYPE_KEY.to_string(), self.sql_type.to_string())])),
            other => other.field(&self.name, true),
        };
        if self.is_vector {
            field.metadata_mut().insert(VECTOR_KEY.to_string(), String::new());
        }
        field
    }

    fn default(&self) -> Value {
        if !self.not_null {
            return Value::Null;
        }
        match &self.sql_type {
            SqlType::Bool => Value::Bool(false),
            SqlType::Text | SqlType::Varchar { .. } | SqlType::Name | SqlType::Char => Value::from(""),
            SqlType::Array(_) => Value::List(Vec::new()),
            SqlType::Float4 | SqlType::Float8 => Value::Float(0.0),
            _ => Value::Int(0),
        }
    }
}

/// The rows of one relation while they are collected.
pub struct Rows<'a> {
    columns: &'a [CatalogColumn],
    values: Vec<Vec<Value>>,
    count: usize,
}

impl<'a> Rows<'a> {
    pub fn new(columns: &'a [CatalogColumn]) -> Self {
        Self { columns, values: vec![Vec::new(); columns.len()], count: 0 }
    }

    /// Adds a row; columns that are not named get their default. Naming a column that the relation lacks is a mistake here.
    pub fn push<'n>(&mut self, named: impl IntoIterator<Item = (&'n str, Value)>) {
        for (column, values) in self.columns.iter().zip(&mut self.values) {
            values.push(column.default());
        }
        for (name, value) in named {
            let position = self.columns.iter().position(|column| column.name == name);
            let position = position.unwrap_or_else(|| panic!("the catalog relation has a column \"{name}\""));
            self.values[position][self.count] = value;
        }
        self.count += 1;
    }

    /// Adds the rows of an exported file: COPY's text format under a line of column names.
    pub fn push_exported(&mut self, exported: &str) {
        let mut lines = exported.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
        let source: Vec<Option<usize>> =
            self.columns.iter().map(|column| header.iter().position(|name| *name == column.name)).collect();
        for line in lines {
            let cells: Vec<&str> = line.split('\t').collect();
            for ((column, values), source) in self.columns.iter().zip(&mut self.values).zip(&source) {
                values.push(source.map_or_else(|| column.default(), |at| parse_cell(&column.sql_type, cells[at])));
            }
            self.count += 1;
        }
    }

    pub fn finish(self, schema: &SchemaRef) -> RecordBatch {
        let arrays = self.columns.iter().zip(self.values).map(|(column, values)| to_array(&column.field(), &values));
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.count));
        RecordBatch::try_new_with_options(Arc::clone(schema), arrays.collect(), &options)
            .expect("catalog rows have the types of their schema")
    }
}

/// The schema of a relation with these columns.
pub fn schema_of(columns: &[CatalogColumn]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(CatalogColumn::field).collect::<Vec<_>>()))
}

/// Undoes COPY's backslash escapes.
fn unescape(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    let mut characters = cell.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    text
}

fn parse_cell(sql_type: &SqlType, cell: &str) -> Value {
    if cell == "\\N" {
        return Value::Null;
    }
    parse_text(sql_type, &unescape(cell))
}

fn parse_text(sql_type: &SqlType, text: &str) -> Value {
    match sql_type {
        SqlType::Bool => Value::Bool(text == "t"),
        SqlType::Array(element) => {
            let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            // `int2vector` and `oidvector` print their items with spaces between and no braces.
            let items: Vec<&str> = match inner {
                Some(inner) => inner.split(',').collect(),
                None => text.split(' ').collect(),
            };
            let items = items.into_iter().filter(|item| !item.is_empty());
            Value::List(items.map(|item| parse_text(element, item.trim_matches('"'))).collect())
        }
        SqlType::Float4 | SqlType::Float8 => text.parse().map_or(Value::Null, Value::Float),
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Oid | SqlType::Reg(_) => {
            text.parse().map_or(Value::Null, Value::Int)
        }
        _ => Value::from(text),
    }
}

/// The one array that `{…}` is, as a value of `field`'s type; `None` where it is none.
pub fn array_from_text(field: &Field, text: &str) -> Option<ArrayRef> {
    let sql_type = SqlType::from_data_type(field.data_type())?;
    (text.starts_with('{') && text.ends_with('}')).then(|| to_array(field, &[parse_text(&sql_type, text)]))
}

/// An array of `field`'s type; a value that does not fit is NULL.
pub fn to_array(field: &Field, values: &[Value]) -> ArrayRef {
    let ints = || values.iter().map(Value::as_int);
    match field.data_type() {
        DataType::Boolean => Arc::new(values.iter().map(Value::as_bool).collect::<BooleanArray>()),
        DataType::Int16 => Arc::new(ints().map(|value| value.map(|value| value as i16)).collect::<Int16Array>()),
        DataType::Int32 => Arc::new(ints().map(|value| value.map(|value| value as i32)).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(ints().collect::<Int64Array>()),
        DataType::Float32 => {
            Arc::new(values.iter().map(|value| as_float(value).map(|v| v as f32)).collect::<Float32Array>())
        }
        DataType::Float64 => Arc::new(values.iter().map(as_float).collect::<Float64Array>()),
        DataType::Utf8View => Arc::new(values.iter().map(Value::as_text).collect::<StringViewArray>()),
        DataType::BinaryView => {
            Arc::new(values.iter().map(|value| value.as_text().map(str::as_bytes)).collect::<BinaryViewArray>())
        }
        DataType::Timestamp(_, zone) => {
            Arc::new(ints().collect::<TimestampMicrosecondArray>().with_timezone_opt(zone.clone()))
        }
        DataType::Interval(_) => Arc::new(IntervalMonthDayNanoArray::from(vec![None; values.len()])),
        DataType::List(item) => list_array(item, values),
        other => new_null_array(other, values.len()),
    }
}

fn as_float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        other => other.as_int().map(|value| value as f64),
    }
}

fn list_array(item: &FieldRef, values: &[Value]) -> ArrayRef {
    let lengths = values.iter().map(|value| if let Value::List(items) = value { items.len() } else { 0 });
    let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
    let valid: Vec<bool> = values.iter().map(|value| matches!(value, Value::List(_))).collect();
    let mut flat: Vec<Value> = Vec::new();
    for value in values {
        if let Value::List(items) = value {
            flat.extend(items.iter().cloned());
        }
    }
    Arc::new(ListArray::new(Arc::clone(item), offsets, to_array(item, &flat), Some(NullBuffer::from(valid))))
}
