//! What keeps the program from starting, said as PostgreSQL says things: a line, and a hint where one helps.

use crate::output::say;
use query::OpenError;

/// A reason not to start. Nobody decides anything by its kind, so it has none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct StartError {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl StartError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        Self { message: error.to_string(), hint: error.hint() }
    }
}

/// Prints an error on stderr for a person.
pub(crate) fn print(error: &anyhow::Error) {
    say(&format!("ERROR:  {error:#}"));
    if let Some(StartError { hint: Some(hint), .. }) = error.downcast_ref() {
        say(&format!("HINT:  {hint}"));
    }
}
