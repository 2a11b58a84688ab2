//! Parameters of a statement: their numbers, and the types that they have in it.

use crate::error::{ErrorKind, QueryError};
use crate::source_text::SourceText;
use crate::statement::{Statement, tokenize};
use crate::syntax_walks::walk;
use catalog::sql_type::SqlType;
use datafusion::common::ParamValues;
use datafusion::sql::sqlparser::ast::{Value, ValueWithSpan, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Token;
use std::ops::ControlFlow;

/// The most parameters that the protocol can bind.
const PARAMETERS_MAX: usize = u16::MAX as usize;

/// The number of `$n`, if a statement can have that many.
pub(crate) fn parameter_number(name: &str) -> Option<usize> {
    let number = name.strip_prefix('$')?.parse().ok()?;
    (1..=PARAMETERS_MAX).contains(&number).then_some(number)
}

/// The parameters that a syntax tree has.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    /// By number, from `$1` on: where it stands, in 1-based characters of the source.
    places: Vec<Vec<usize>>,
}

impl Parameters {
    pub(crate) fn of<T: Visit>(tree: &T, statement: Option<&Statement>) -> Result<Self, QueryError> {
        let source = statement.map(|statement| SourceText::new(&statement.source));
        let mut finder = Finder { parameters: Self::default(), source };
        match walk(tree, &mut finder) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(finder.parameters),
        }
    }

    /// The highest number, 0 where there are none.
    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    /// Whether `$number` stands somewhere.
    pub(crate) fn occurs(&self, number: usize) -> bool {
        self.places.get(number - 1).is_some_and(|places| !places.is_empty())
    }

    pub(crate) fn first_place(&self, number: usize) -> Option<usize> {
        self.places.get(number - 1)?.iter().min().copied()
    }

    pub(crate) fn last_place(&self, number: usize) -> Option<usize> {
        self.places.get(number - 1)?.iter().max().copied()
    }
}

struct Finder<'a> {
    parameters: Parameters,
    source: Option<SourceText<'a>>,
}

impl Visitor for Finder<'_> {
    type Break = QueryError;

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<QueryError> {
        let Value::Placeholder(name) = &value.value else { return ControlFlow::Continue(()) };
        let place = self.source.as_ref().and_then(|source| source.place_of(value.span.start));
        let Some(number) = parameter_number(name) else {
            return ControlFlow::Break(missing_parameter(name).position(place));
        };
        let places = &mut self.parameters.places;
        places.resize(places.len().max(number), Vec::new());
        places[number - 1].extend(place);
        ControlFlow::Continue(())
    }
}

/// Refuses parameters in a text whose values nobody can bind: that of a simple query.
pub(crate) fn refuse_parameters(statement: &Statement) -> Result<(), QueryError> {
    let tokens = tokenize(&statement.source)?;
    let inside = |place: usize| {
        let before = statement.source[..statement.range.start].chars().count();
        let length = statement.source[statement.range.clone()].chars().count();
        (before + 1..=before + length).contains(&place)
    };
    let first = tokens.iter().find_map(|token| match &token.token {
        Token::Placeholder(name) => {
            statement.place_of(token.span).filter(|place| inside(*place)).map(|place| (name, place))
        }
        _ => None,
    });
    match first {
        None => Ok(()),
        Some((name, place)) => Err(missing_parameter(name).position(Some(place))),
    }
}

/// The types of all parameters, where every one is known.
pub(crate) fn all_known(types: Vec<Option<SqlType>>) -> Result<Vec<SqlType>, QueryError> {
    let types = types.into_iter().enumerate();
    types.map(|(index, known)| known.ok_or_else(|| indeterminate(index + 1))).collect()
}

/// The error for a parameter that nothing says the type of.
pub(crate) fn indeterminate(number: usize) -> QueryError {
    let message = format!("could not determine data type of parameter ${number}");
    QueryError::new(ErrorKind::IndeterminateDatatype, message)
}

/// The error for a parameter of which two places say different types.
pub(crate) fn inconsistent(number: usize, first: &SqlType, second: &SqlType) -> QueryError {
    QueryError::new(ErrorKind::AmbiguousParameter, format!("inconsistent types deduced for parameter ${number}"))
        .detail(format!("{} versus {}", first.base_name(), second.base_name()))
}

fn missing_parameter(name: &str) -> QueryError {
    QueryError::new(ErrorKind::UndefinedParameter, format!("there is no parameter {name}"))
}

/// The types for a statement whose values are known. A numeric has exactly the digits of its value, so that what is
/// computed from it has no more than that either.
pub(crate) fn types_of_values(types: &[SqlType], values: &ParamValues) -> Vec<Option<SqlType>> {
    let known = types.iter().enumerate().map(|(index, sql_type)| {
        if !has_free_digits(sql_type) {
            return Some(sql_type.clone());
        }
        let value = values.get_placeholders_with_values(&format!("${}", index + 1)).ok();
        let exact = value.and_then(|value| SqlType::from_data_type(&value.value().data_type()));
        exact.or_else(|| Some(sql_type.clone()))
    });
    known.collect()
}

/// Whether a type says nothing of the digits that its values have.
pub(crate) fn has_free_digits(sql_type: &SqlType) -> bool {
    match sql_type {
        SqlType::Numeric { declared, .. } => !declared,
        SqlType::Array(element) => has_free_digits(element),
        _ => false,
    }
}
