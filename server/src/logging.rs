//! Logs: readable where a person looks, JSON where a machine does, on stderr.

use crate::start_error::StartError;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// The environment variable that says what is logged, as in `info,meridian=debug`.
const VARIABLE: &str = "MERIDIAN_LOG";

/// Starts logging, at `default` where the environment says nothing. Call it once.
pub(crate) fn start(default: &str) -> Result<(), StartError> {
    let directives = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty());
    let directives = directives.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(directives).map_err(|_| {
        StartError::new(format!("invalid value for {VARIABLE}: \"{directives}\""))
            .hint("Give a level (error, warn, info, debug, trace), or levels by module as in \"info,meridian=debug\".")
    })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        subscriber.init();
    } else {
        subscriber.json().init();
    }
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("without a message");
        tracing::error!(location, message, "panic");
    }));
    Ok(())
}
