//! What can be wrong with a template or with a text that is read by one, in PostgreSQL's words.
//!
//! Pure: the parent turns a [`FormatError`] into the error that a client sees.

use std::borrow::Cow;

/// The kind of a failure; each has its SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// 22007
    InvalidDatetime,
    /// 22008
    DatetimeOutOfRange,
    /// 22009
    ZoneOutOfRange,
    /// 0A000
    NotSupported,
    /// 42601
    Syntax,
    /// 22P02
    InvalidText,
    /// 22003
    NumberOutOfRange,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct FormatError {
    pub(super) fault: Fault,
    pub(super) message: Cow<'static, str>,
    pub(super) detail: Option<String>,
    pub(super) hint: Option<&'static str>,
}

impl FormatError {
    pub(super) fn new(fault: Fault, message: impl Into<Cow<'static, str>>) -> Self {
        Self { fault, message: message.into(), detail: None, hint: None }
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}
