//! Settings as a statement sees them: three of them say what its own transaction is, and stand in no table of values.
//!
//! SHOW, `current_setting` and `pg_settings` all read here, so that they say the same.

use crate::error::QueryError;
use crate::functions::SessionSettings;
use crate::settings::{Often, Setting, Settings};
use crate::statement::Isolation;
use crate::transaction::Transaction;

/// A session's settings with the modes of the transaction that they are read in.
#[derive(Clone, Debug)]
pub(crate) struct ShownSettings {
    pub settings: Settings,
    isolation: Isolation,
    read_only: bool,
    deferrable: bool,
}

impl ShownSettings {
    /// Outside of a transaction they are those that the next one begins with.
    pub(crate) fn of(settings: &Settings, transaction: Option<&Transaction>) -> Self {
        let settings = settings.clone();
        match transaction {
            Some(Transaction { isolation, read_only, deferrable, .. }) => {
                Self { settings, isolation: *isolation, read_only: *read_only, deferrable: *deferrable }
            }
            None => {
                let Often { isolation, read_only, deferrable, .. } = settings.often();
                Self { settings, isolation, read_only, deferrable }
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Result<String, QueryError> {
        let on = |mode: bool| Ok(if mode { "on" } else { "off" }.to_string());
        match name.to_ascii_lowercase().as_str() {
            "transaction_isolation" => Ok(self.isolation.name().to_string()),
            "transaction_read_only" => on(self.read_only),
            "transaction_deferrable" => on(self.deferrable),
            _ => self.settings.get(name),
        }
    }

    /// Every setting with its value.
    pub(crate) fn all(&self) -> Vec<(&'static Setting, String)> {
        let all = self.settings.all().into_iter();
        all.map(|(setting, value)| (setting, self.get(setting.name).unwrap_or(value))).collect()
    }
}

impl SessionSettings for ShownSettings {
    fn get(&self, name: &str) -> Option<String> {
        self.get(name).ok()
    }

    fn set(&self, name: &str, value: &str, is_local: bool) -> Result<String, QueryError> {
        SessionSettings::set(&self.settings, name, value, is_local)
    }
}
