//! VACUUM and ANALYZE: options in parentheses or as words, then tables, each perhaps with columns. REINDEX.
//!
//! The background does what they ask for; what they name is checked all the same (`vacuum.c`, `ExecVacuum`).

use super::Words;
use crate::error::{ErrorKind, QueryError};
use crate::statement::{Maintained, Maintenance, Reindex, ReindexTarget, StatementKind};
use datafusion::sql::sqlparser::tokenizer::Token;

/// The most workers that PARALLEL may ask for.
const WORKERS_MAX: u32 = 1024;

/// What REINDEX takes.
const REINDEXED: [&str; 5] = ["index", "table", "schema", "database", "system"];
const ANALYZE_OPTIONS: &[&str] = &["verbose", "skip_locked"];
const VACUUM_OPTIONS: &[&str] = &[
    "verbose",
    "skip_locked",
    "analyze",
    "freeze",
    "full",
    "disable_page_skipping",
    "index_cleanup",
    "process_toast",
    "truncate",
];

#[derive(Default)]
struct Options {
    analyzes: bool,
    full: bool,
    workers: u32,
}

impl Words<'_> {
    pub(super) fn maintain(&mut self, vacuums: bool) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let mut options = Options { analyzes: !vacuums, ..Options::default() };
        if self.take_token(&Token::LParen) {
            self.maintenance_options(vacuums, &mut options)?;
        } else if vacuums {
            options.full = self.take("full");
            let _ = self.take("freeze");
            let _ = self.take("verbose");
            options.analyzes = self.take("analyze") || self.take("analyse");
        } else {
            let _ = self.take("verbose");
        }
        let mut tables = Vec::new();
        if self.peek().is_some() {
            tables.push(self.maintained()?);
            while self.take_token(&Token::Comma) {
                tables.push(self.maintained()?);
            }
        }
        if options.full && options.workers > 0 {
            let message = "VACUUM FULL cannot be performed in parallel";
            return Err(QueryError::new(ErrorKind::FeatureNotSupported, message));
        }
        if !options.analyzes && tables.iter().any(|table| !table.columns.is_empty()) {
            let message = "ANALYZE option must be specified when a column list is provided";
            return Err(QueryError::new(ErrorKind::FeatureNotSupported, message));
        }
        Ok(StatementKind::Maintain(Maintenance { vacuums, tables }))
    }

    fn maintained(&mut self) -> Result<Maintained, QueryError> {
        let table = self.object_name()?;
        let mut columns = Vec::new();
        if self.take_token(&Token::LParen) {
            columns.push(self.identifier()?);
            while self.take_token(&Token::Comma) {
                columns.push(self.identifier()?);
            }
            self.expect_token(&Token::RParen)?;
        }
        Ok(Maintained { table, columns })
    }

    fn maintenance_options(&mut self, vacuums: bool, options: &mut Options) -> Result<(), QueryError> {
        loop {
            let position = self.position();
            let name = match self.identifier()? {
                name if name == "analyse" => "analyze".to_string(),
                name => name,
            };
            let known = if vacuums { VACUUM_OPTIONS } else { ANALYZE_OPTIONS };
            if vacuums && name == "parallel" {
                options.workers = self.workers().map_err(|error| error.position(position))?;
            } else if !known.contains(&name.as_str()) {
                let command = if vacuums { "VACUUM" } else { "ANALYZE" };
                let message = format!("unrecognized {command} option \"{name}\"");
                return Err(QueryError::new(ErrorKind::Syntax, message).position(position));
            } else if name != "index_cleanup" || !self.take("auto") {
                let message = format!("{name} requires a Boolean value");
                let on = self.boolean().ok_or_else(|| QueryError::new(ErrorKind::Syntax, message))?;
                match name.as_str() {
                    "analyze" => options.analyzes = on,
                    "full" => options.full = on,
                    _ => {}
                }
            }
            if self.take_token(&Token::RParen) {
                return Ok(());
            }
            self.expect_token(&Token::Comma)?;
        }
    }

    pub(super) fn reindex(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let mut concurrently = false;
        if self.take_token(&Token::LParen) {
            concurrently = self.reindex_options()?;
        }
        let Some(kind) = self.peek_word().filter(|word| REINDEXED.contains(&word.as_str())) else {
            return Err(self.unexpected());
        };
        self.next += 1;
        concurrently |= self.take("concurrently");
        let target = match kind.as_str() {
            "index" => ReindexTarget::Index(self.object_name()?),
            "table" => ReindexTarget::Table(self.object_name()?),
            "schema" => ReindexTarget::Schema(self.identifier()?),
            "database" => ReindexTarget::Database(self.identifier()?),
            _ => ReindexTarget::System(self.identifier()?),
        };
        Ok(StatementKind::Reindex(Reindex { target, concurrently }))
    }

    /// Whether CONCURRENTLY is among the options.
    fn reindex_options(&mut self) -> Result<bool, QueryError> {
        let mut concurrently = false;
        loop {
            let position = self.position();
            let name = self.identifier()?;
            match name.as_str() {
                "tablespace" => {
                    self.identifier()?;
                }
                "concurrently" | "verbose" => {
                    let message = format!("{name} requires a Boolean value");
                    let on = self.boolean().ok_or_else(|| QueryError::new(ErrorKind::Syntax, message))?;
                    concurrently |= on && name == "concurrently";
                }
                _ => {
                    let message = format!("unrecognized REINDEX option \"{name}\"");
                    return Err(QueryError::new(ErrorKind::Syntax, message).position(position));
                }
            }
            if self.take_token(&Token::RParen) {
                return Ok(concurrently);
            }
            self.expect_token(&Token::Comma)?;
        }
    }

    fn workers(&mut self) -> Result<u32, QueryError> {
        let negative = self.take_token(&Token::Minus);
        let number = match self.peek() {
            Some(Token::Number(text, _)) => text.parse::<u32>().ok(),
            _ => {
                let message = format!("parallel option requires a value between 0 and {WORKERS_MAX}");
                return Err(QueryError::new(ErrorKind::Syntax, message));
            }
        };
        self.next += 1;
        number.filter(|number| *number <= WORKERS_MAX && !negative).ok_or_else(|| {
            let message = format!("parallel workers for vacuum must be between 0 and {WORKERS_MAX}");
            QueryError::new(ErrorKind::Syntax, message)
        })
    }
}
