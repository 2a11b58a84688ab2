//! jsonb_path_query and its like: values by a path of the SQL/JSON language.
//!
//!     syntax.rs        from text to a tree
//!     evaluation.rs    the values that a tree names in a document
//!     numbers.rs       arithmetic
//!
//! A path is text here; PostgreSQL has a type `jsonpath` for it. The operators `@?` and `@@` say NULL where the functions
//! fail.

mod evaluation;
mod numbers;
mod syntax;

use self::evaluation::{evaluate, is_of_data};
use self::syntax::{Path, parse};
use super::super::overload::{Function, Kernel, Kind, Overload};
use super::super::strings::Answer;
use super::columns::{Column, Documents, Form, Present, lists};
use crate::error::{ErrorKind, QueryError};
use crate::types::json::document::Kind as ValueKind;
use arrow::array::{ArrayRef, AsArray, BooleanArray};
use catalog::sql_type::SqlType;
use std::borrow::Cow;
use std::sync::Arc;

const NO_VARIABLES: &str = "{}";

/// The arguments after the document: a path, an object of variables, whether errors of the data are left out.
const ARGUMENTS: [&[Kind]; 3] = [
    &[Kind::Jsonb, Kind::Text],
    &[Kind::Jsonb, Kind::Text, Kind::Jsonb],
    &[Kind::Jsonb, Kind::Text, Kind::Jsonb, Kind::Bool],
];

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Bool, Jsonb, ListOf, Text};
    const OF_JSONB: Kind = ListOf(&Jsonb);
    let of_all = |name, result, kernel: Kernel| {
        let overloads = ARGUMENTS.iter().map(|arguments| Overload::new(arguments, result, kernel));
        Function::immutable(name, overloads.collect())
    };
    let operator = |name, kernel: Kernel| Function::immutable(name, vec![Overload::new(&[Jsonb, Text], Bool, kernel)]);
    vec![
        of_all("jsonb_path_exists", Bool, |c, _| exists(&Calls::new(c, false))),
        of_all("jsonb_path_exists_tz", Bool, |c, _| exists(&Calls::new(c, false))),
        of_all("jsonb_path_match", Bool, |c, _| matches(&Calls::new(c, false))),
        of_all("jsonb_path_match_tz", Bool, |c, _| matches(&Calls::new(c, false))),
        of_all("jsonb_path_query", OF_JSONB, |c, _| queried(c)),
        of_all("jsonb_path_query_tz", OF_JSONB, |c, _| queried(c)),
        of_all("jsonb_path_query_array", Jsonb, |c, _| as_array(c)),
        of_all("jsonb_path_query_array_tz", Jsonb, |c, _| as_array(c)),
        of_all("jsonb_path_query_first", Jsonb, |c, _| first(c)),
        of_all("jsonb_path_query_first_tz", Jsonb, |c, _| first(c)),
        operator("jsonb_path_exists_opr", |c, _| exists(&Calls::new(c, true))),
        operator("jsonb_path_match_opr", |c, _| matches(&Calls::new(c, true))),
    ]
}

/// The rows of a call.
struct Calls<'a> {
    columns: &'a [ArrayRef],
    documents: Documents<'a>,
    present: Present,
    silent: bool,
}

impl<'a> Calls<'a> {
    /// `silent`: errors of the data are left out in every row.
    fn new(columns: &'a [ArrayRef], silent: bool) -> Self {
        Self { columns, documents: Documents::new(&columns[0]), present: Present::new(columns), silent }
    }

    /// The values of each row that has all arguments. `None` where an error was left out.
    fn rows<T>(
        &self,
        mut body: impl FnMut(Option<usize>, Option<Vec<Cow<'a, str>>>) -> Result<T, QueryError>,
    ) -> Result<Vec<T>, QueryError> {
        let paths = self.columns[1].as_string_view();
        let mut known: Option<(&str, Path)> = None;
        let mut all = Vec::with_capacity(self.columns[0].len());
        for row in self.present.rows() {
            let Some(row) = row else {
                all.push(body(None, None)?);
                continue;
            };
            let text = paths.value(row);
            if known.as_ref().is_none_or(|(last, _)| *last != text) {
                known = Some((text, parse(text)?));
            }
            let Some((_, path)) = &known else { continue };
            all.push(body(Some(row), self.values(path, row)?)?);
        }
        Ok(all)
    }

    fn values(&self, path: &Path, row: usize) -> Result<Option<Vec<Cow<'a, str>>>, QueryError> {
        let variables = match self.columns.get(2) {
            Some(column) => column.as_string::<i64>().value(row),
            None => NO_VARIABLES,
        };
        if ValueKind::of(variables) != ValueKind::Object {
            let message = "\"vars\" argument is not an object";
            return Err(QueryError::new(ErrorKind::InvalidParameterValue, message)
                .detail("Jsonpath parameters should be encoded as key-value pairs of \"vars\" object."));
        }
        let silent = self.silent || self.columns.get(3).is_some_and(|silent| silent.as_boolean().value(row));
        match evaluate(path, self.documents.value(row), variables) {
            Ok(values) => Ok(Some(values)),
            Err(error) if silent && is_of_data(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn exists(calls: &Calls<'_>) -> Answer {
    let found = calls.rows(|_, values| Ok(values.map(|values| !values.is_empty())))?;
    Ok(Arc::new(BooleanArray::from(found)))
}

fn matches(calls: &Calls<'_>) -> Answer {
    let found = calls.rows(|row, values| {
        let (Some(row), Some(values)) = (row, values) else { return Ok(None) };
        match values.as_slice() {
            [only] if ValueKind::of(only) == ValueKind::Boolean => Ok(Some(only == "true")),
            [only] if ValueKind::of(only) == ValueKind::Null => Ok(None),
            _ if calls.silent || calls.columns.get(3).is_some_and(|silent| silent.as_boolean().value(row)) => Ok(None),
            _ => {
                let message = "single boolean result is expected";
                Err(QueryError::new(ErrorKind::SingletonSqlJsonItemRequired, message))
            }
        }
    })?;
    Ok(Arc::new(BooleanArray::from(found)))
}

fn queried(columns: &[ArrayRef]) -> Answer {
    let mut values = Column::of(Form::Jsonb);
    let lengths = Calls::new(columns, false).rows(|row, found| {
        let found = found.unwrap_or_default();
        found.iter().for_each(|value| values.push(Some(value)));
        Ok(row.map(|_| found.len()))
    })?;
    Ok(lists(&SqlType::Jsonb, &lengths, values.finish()))
}

fn as_array(columns: &[ArrayRef]) -> Answer {
    let mut all = Column::of(Form::Jsonb);
    Calls::new(columns, false).rows(|row, found| {
        let text = row.map(|_| format!("[{}]", found.unwrap_or_default().join(", ")));
        all.push(text.as_deref());
        Ok(())
    })?;
    Ok(all.finish())
}

fn first(columns: &[ArrayRef]) -> Answer {
    let mut all = Column::of(Form::Jsonb);
    Calls::new(columns, false).rows(|_, found| {
        all.push(found.as_ref().and_then(|found| found.first()).map(AsRef::as_ref));
        Ok(())
    })?;
    Ok(all.finish())
}
