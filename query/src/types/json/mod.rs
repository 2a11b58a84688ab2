//! JSON: text that is checked (`json`) and text in a canonical form (`jsonb`).
//!
//!     json   the text as it came, once `parser` has read it without an error
//!     jsonb  {"b":1.50,"a":1e2,"a":3} ──canonical──▶ {"a": 3, "b": 1.50}
//!
//! The canonical form is what PostgreSQL prints of a jsonb: one space after a comma and a colon, keys once each and
//! in the order of their length and then their bytes, numbers without an exponent, no escapes but the needed ones. It
//! is stored as it is printed, so a part of a value is a slice of its text ([`document`] finds it without building
//! anything) and equal texts are equal values. Equal values may still differ in the zeros behind a number's point;
//! [`sort_key`] knows.

mod canonical;
pub(crate) mod document;
mod lexer;
mod parser;
pub(crate) mod sort_key;

#[cfg(test)]
mod tests;

pub(crate) use canonical::{push_number, push_object, push_string};
pub(crate) use parser::{canonical, check};

/// The deepest nesting of arrays and objects. What walks through a value goes down with it, and PostgreSQL has a
/// limit of this kind too.
pub(crate) const DEPTH_MAX: usize = 500;

/// The error for what is nested deeper than [`DEPTH_MAX`].
#[cold]
pub(crate) fn too_deep() -> crate::error::QueryError {
    crate::error::QueryError::new(crate::error::ErrorKind::StatementTooComplex, "stack depth limit exceeded")
        .hint(format!("JSON values can be nested {DEPTH_MAX} levels deep."))
}
