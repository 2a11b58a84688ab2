//! What commands print. Whoever reads it may have stopped listening, which is no reason to stop what they asked for.

use std::io::Write;

/// Says what was asked for, on standard output.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Says something beside it, on standard error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
