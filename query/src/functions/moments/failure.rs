//! What goes wrong in date and time arithmetic, apart from how it is reported.
//!
//! The variants are PostgreSQL's error classes; [`super::columns`] turns them into errors with a kind.

use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A value or field beyond what its type holds.
    OutOfRange(Cow<'static, str>),
    InvalidParameter(Cow<'static, str>),
    Unsupported(Cow<'static, str>),
    DivisionByZero,
    /// A displacement from Greenwich that no value holds.
    Displacement,
    /// A whole field beyond the integer type of this name.
    IntegerRange(&'static str),
    /// The type has no such field. Whoever read the unit's name words it.
    UnsupportedUnit,
}

pub(super) const TIMESTAMP_RANGE: Failure = Failure::OutOfRange(Cow::Borrowed("timestamp out of range"));
pub(super) const INTERVAL_RANGE: Failure = Failure::OutOfRange(Cow::Borrowed("interval out of range"));
pub(super) const DATE_RANGE: Failure = Failure::OutOfRange(Cow::Borrowed("date out of range"));
pub(super) const DATE_AS_TIMESTAMP_RANGE: Failure =
    Failure::OutOfRange(Cow::Borrowed("date out of range for timestamp"));
