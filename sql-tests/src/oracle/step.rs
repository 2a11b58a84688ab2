//! One step of a workload, and steps as a script.

use std::fmt::Write;

/// What must come of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// It must succeed, unless its transaction has already failed.
    Success,
    /// It must fail with a PostgreSQL error and leave nothing behind.
    Failure,
    /// The data decides, such as a division that may meet a zero.
    Either,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Statement(String),
    /// INSERT of rows of values, each in its parentheses.
    Insert {
        table: &'static str,
        rows: Vec<String>,
    },
    /// COPY with its lines.
    Copy {
        statement: String,
        lines: Vec<String>,
    },
    CreateView {
        name: String,
        query: String,
        with_data: bool,
    },
    DropView {
        name: String,
    },
    RefreshView {
        name: String,
    },
    Begin,
    Commit,
    Rollback,
    Savepoint,
    RollbackToSavepoint,
    ReleaseSavepoint,
    /// A statement of the second session, which commits it at once.
    Beside(String),
    /// A third session begins a transaction that keeps its snapshot.
    Pin,
    /// It ends it.
    Unpin,
    /// SIGTERM and a start on the same data directory.
    Restart,
    /// SIGKILL and a start on the same data directory.
    Kill,
}

/// An action and what must come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub action: Action,
    pub expect: Expect,
}

impl Step {
    pub(crate) fn success(action: Action) -> Self {
        Self { action, expect: Expect::Success }
    }

    pub(crate) fn statement(sql: impl Into<String>) -> Self {
        Self::success(Action::Statement(sql.into()))
    }

    pub(crate) fn failure(sql: impl Into<String>) -> Self {
        Self { action: Action::Statement(sql.into()), expect: Expect::Failure }
    }

    /// False for what other sessions do and for what happens to the server.
    pub(crate) fn is_of_writing_session(&self) -> bool {
        !matches!(self.action, Action::Beside(_) | Action::Pin | Action::Unpin | Action::Restart | Action::Kill)
    }

    /// The text as its session runs it; `None` for what happens to the server.
    pub(crate) fn sql(&self) -> Option<String> {
        Some(match &self.action {
            Action::Statement(sql) => sql.clone(),
            Action::Insert { table, rows } => format!("INSERT INTO {table} VALUES {}", rows.join(", ")),
            Action::Copy { statement, lines } => format!("{statement};\n{}\\.", lines.concat()),
            Action::CreateView { name, query, with_data } => {
                let without = if *with_data { "" } else { " WITH NO DATA" };
                format!("CREATE MATERIALIZED VIEW {name} AS {query}{without}")
            }
            Action::DropView { name } => format!("DROP MATERIALIZED VIEW {name}"),
            Action::RefreshView { name } => format!("REFRESH MATERIALIZED VIEW {name}"),
            Action::Begin => "BEGIN".into(),
            Action::Commit => "COMMIT".into(),
            Action::Rollback => "ROLLBACK".into(),
            Action::Savepoint => "SAVEPOINT s".into(),
            Action::RollbackToSavepoint => "ROLLBACK TO SAVEPOINT s".into(),
            Action::ReleaseSavepoint => "RELEASE SAVEPOINT s".into(),
            Action::Beside(sql) => sql.clone(),
            Action::Pin => "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t".into(),
            Action::Unpin => "COMMIT".into(),
            Action::Restart | Action::Kill => return None,
        })
    }
}

/// Steps as a sqllogictest file. Records do not say whether a statement succeeds where the data decides.
pub(crate) fn as_slt(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        let outcome = match step.expect {
            Expect::Failure => "error",
            Expect::Success | Expect::Either => "ok",
        };
        let body = step.sql().unwrap_or_else(|| match step.action {
            Action::Kill => "\\kill".to_string(),
            _ => "\\restart".to_string(),
        });
        let connection = match step.action {
            Action::Beside(_) => "connection second\n",
            Action::Pin | Action::Unpin => "connection older\n",
            _ => "",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{connection}statement {outcome}\n{body}\n");
    }
    text
}
