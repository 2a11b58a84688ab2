//! What an episode does next.
//!
//! Choices depend on the seed and on what the steps so far have led to, never on the server's data. Some choices are
//! several steps long and wait in a queue.

use super::executor::{KnownView, State, Transaction};
use super::expression::{Source, Type};
use super::layout::{self, Table};
use super::step::{Action, Expect, Step};
use super::view_query;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use std::collections::{HashMap, VecDeque};

/// How many views exist at a time.
const VIEWS_MAX: usize = 5;
/// How many rows INSERT … SELECT copies.
const COPIED_ROWS_MAX: usize = 20;
/// How many rows a large COPY has, so that it goes to segments rather than to recent rows.
const LARGE_COPY_ROWS: usize = 600;

/// The steps of one episode.
pub(crate) struct Workload {
    random: StdRng,
    queue: VecDeque<Step>,
    views_as_sources: HashMap<String, Source>,
    views_made: usize,
    /// True when every answer is compared with PostgreSQL's, which computes floats and WITH NO DATA otherwise.
    mirrored: bool,
    finished: bool,
}

impl Workload {
    pub(crate) fn new(mut random: StdRng, mirrored: bool) -> Self {
        let queue: VecDeque<Step> = layout::create_tables(&mut random).into_iter().map(Step::statement).collect();
        let mut workload =
            Self { random, queue, views_as_sources: HashMap::new(), views_made: 0, mirrored, finished: false };
        // Views before the first rows, after them, and both.
        if workload.random.random_bool(0.5) {
            let step = workload.create_view(&State::default());
            workload.queue.push_back(step);
        }
        let rows = workload.random.random_range(0..12);
        for table in Table::ALL {
            if rows > 0 {
                let step = workload.insert(table, rows);
                workload.queue.push_back(step);
            }
        }
        workload
    }

    /// The next step; `None` at the episode's end, which comes soon after `finish` was first true.
    pub(crate) fn next(&mut self, state: &State, finish: bool) -> Option<Step> {
        if let Some(step) = self.queue.pop_front() {
            return Some(step);
        }
        if finish && !self.finished {
            self.finished = true;
            self.queue_clean_up(state);
        }
        if self.finished {
            return self.queue.pop_front();
        }
        Some(match state.transaction {
            Transaction::Failed => self.in_failed_transaction(state),
            Transaction::Open if self.random.random_bool(0.22) => self.end_of_transaction(),
            Transaction::Open | Transaction::None => self.choose(state),
        })
    }

    fn queue_clean_up(&mut self, state: &State) {
        if state.transaction != Transaction::None {
            self.queue.push_back(Step::success(Action::Rollback));
        }
        if state.is_pinned() {
            self.queue.push_back(Step::success(Action::Unpin));
        }
        // Later views may read earlier ones.
        for known in state.committed_views().iter().rev() {
            self.queue.push_back(Step::success(Action::DropView { name: known.view.name.clone() }));
        }
        self.queue.push_back(Step::statement(format!("DROP VIEW {}", layout::PLAIN_VIEW)));
        for table in Table::ALL {
            self.queue.push_back(Step::statement(format!("DROP TABLE {}", table.name())));
        }
    }

    fn end_of_transaction(&mut self) -> Step {
        Step::success(if self.random.random_bool(0.6) { Action::Commit } else { Action::Rollback })
    }

    fn in_failed_transaction(&mut self, state: &State) -> Step {
        match self.random.random_range(0..10) {
            0..3 => self.insert(Table::Fact, 1),
            3..7 if state.has_savepoint() => Step::success(Action::RollbackToSavepoint),
            _ => self.end_of_transaction(),
        }
    }

    fn choose(&mut self, state: &State) -> Step {
        let in_transaction = state.transaction == Transaction::Open;
        match self.random.random_range(0..100) {
            0..10 => self.insert(Table::Fact, 1),
            10..12 => self.alter(),
            12..21 => {
                let rows = self.random.random_range(2..9);
                self.insert(Table::Fact, rows)
            }
            21..24 => self.insert_select(),
            24..33 => {
                let rows = self.random.random_range(1..30);
                self.copy(rows)
            }
            33 => self.copy(LARGE_COPY_ROWS),
            34..42 => self.delete(Table::Fact),
            42 => Step::statement("DELETE FROM t"),
            43..46 => self.truncate(),
            46..50 => self.update(),
            50..53 => self.change_by_another(),
            53..58 => {
                let (table, rows) = (self.small_table(), self.random.random_range(1..4));
                self.insert(table, rows)
            }
            58..61 => {
                let table = self.small_table();
                self.delete(table)
            }
            61..69 if in_transaction => self.savepoint(state),
            61..69 => Step::success(Action::Begin),
            69..72 => self.replace_key(in_transaction),
            72..77 => self.failing(state),
            77..87 => self.change_views(state),
            87..89 => self.refresh(state),
            89..92 if in_transaction => Step::success(Action::Beside("CHECKPOINT".into())),
            89..92 => Step::statement("CHECKPOINT"),
            92..95 if state.is_pinned() => Step::success(Action::Unpin),
            92..95 => Step::success(Action::Pin),
            95..98 => self.beside(in_transaction),
            98 => Step::success(Action::Restart),
            _ => Step::success(Action::Kill),
        }
    }

    fn small_table(&mut self) -> Table {
        Table::SMALL.choose(&mut self.random).copied().unwrap_or(Table::Dimension)
    }

    fn truncate(&mut self) -> Step {
        let table = if self.random.random_bool(0.7) { Table::Fact } else { self.small_table() };
        Step::statement(format!("TRUNCATE {}", table.name()))
    }

    fn savepoint(&mut self, state: &State) -> Step {
        Step::success(match self.random.random_range(0..10) {
            0..5 if state.has_savepoint() => Action::RollbackToSavepoint,
            5 if state.has_savepoint() => Action::ReleaseSavepoint,
            _ => Action::Savepoint,
        })
    }

    /// A change that another session commits, in the midst of a transaction of this one where there is one.
    fn beside(&mut self, in_transaction: bool) -> Step {
        let table = if self.random.random_bool(0.5) { Table::Fact } else { self.small_table() };
        if self.mirrored {
            return self.insert(table, 2);
        }
        // Of two that delete the same rows one would have to give up.
        let inserts = in_transaction || self.random.random_bool(0.6);
        let step = if inserts { self.insert(table, 2) } else { self.delete(table) };
        Step::success(Action::Beside(step.sql().unwrap_or_default()))
    }

    /// An UPDATE of one column: rows move between groups, partitions and the sides of joins.
    fn update(&mut self) -> Step {
        let table = if self.random.random_bool(0.6) { Table::Fact } else { self.small_table() };
        let source = self.source(table);
        let Some(column) = source.column(&mut self.random, |_| true).cloned() else { return self.truncate() };
        let (name, of_type) = (column.name.as_str(), column.of_type);
        let not_null = table.columns().iter().any(|(column, _, nullable)| *column == name && !nullable);
        let value = match (self.random.random_range(0..6), of_type) {
            (0, _) if !not_null => "NULL".to_string(),
            (1, Type::Int) => format!("({name} + 1) % 3"),
            (1, Type::Numeric) => format!("-{name}"),
            (2, Type::Date) => format!("{name} + 31"),
            (3, _) if !not_null => match source.column(&mut self.random, |other| other == of_type) {
                Some(other) => other.name.clone(),
                None => "NULL".to_string(),
            },
            _ => of_type.random_literal(&mut self.random),
        };
        let predicate = source.predicate(&mut self.random, 1);
        Step::statement(format!("UPDATE {} SET {name} = {value} WHERE {predicate}", table.name()))
    }

    /// UPDATE … FROM, DELETE … USING or MERGE by another table, of which one row at most meets each.
    fn change_by_another(&mut self) -> Step {
        let (table, other) = match self.random.random_range(0..4) {
            0 => (Table::Fact, Table::Dimension),
            1 => (Table::Fact, Table::Target),
            2 => (self.small_table(), Table::Fact),
            _ => (Table::Event, Table::Dimension),
        };
        let (source, given) = (self.source(table).aliased("r"), self.source(other));
        let nullable: Vec<(&str, Type)> = table
            .columns()
            .iter()
            .filter(|(_, _, nullable)| *nullable)
            .map(|(name, of_type, _)| (*name, *of_type))
            .collect();
        let pairs: Vec<(&str, String)> = nullable
            .into_iter()
            .filter_map(|(name, of_type)| {
                let value = given.column(&mut self.random, |other| other == of_type && of_type.is_ordered())?;
                Some((name, format!("min({})", value.name)))
            })
            .collect();
        let Some((name, value)) = pairs.choose(&mut self.random).cloned() else { return self.truncate() };
        let meets = if self.random.random_bool(0.7) { "r.k = by_key.k" } else { "r.k IS NOT DISTINCT FROM by_key.k" };
        let predicate = source.predicate(&mut self.random, 1);
        let (table, other) =
            (table.name(), format!("(SELECT k, {value} AS x FROM {} GROUP BY k) AS by_key", other.name()));
        Step::statement(match self.random.random_range(0..4) {
            0 | 1 => format!("UPDATE {table} AS r SET {name} = by_key.x FROM {other} WHERE {meets} AND {predicate}"),
            2 => format!("DELETE FROM {table} AS r USING {other} WHERE {meets} AND {predicate}"),
            _ => {
                let required = match table {
                    "t" => ("k, n", "by_key.k, 1"),
                    "q" => ("k, y", "by_key.k, 2"),
                    _ => ("k", "by_key.k"),
                };
                format!(
                    "MERGE INTO {table} AS r USING {other} ON {meets} WHEN MATCHED AND {predicate} THEN DELETE \
                     WHEN MATCHED THEN UPDATE SET {name} = by_key.x WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
                    required.0, required.1
                )
            }
        })
    }

    fn source(&self, table: Table) -> Source {
        if self.mirrored { table.source().without_floats() } else { table.source() }
    }

    fn insert(&mut self, table: Table, rows: usize) -> Step {
        let rows = (0..rows).map(|_| layout::values_row(table, &layout::row(table, &mut self.random))).collect();
        Step::success(Action::Insert { table: table.name(), rows })
    }

    fn insert_select(&mut self) -> Step {
        let predicate = self.source(Table::Fact).predicate(&mut self.random, 1);
        let positions: Vec<String> = (1..=Table::Fact.columns().len()).map(|position| position.to_string()).collect();
        Step::statement(format!(
            "INSERT INTO t SELECT * FROM t WHERE {predicate} ORDER BY {} LIMIT {COPIED_ROWS_MAX}",
            positions.join(", ")
        ))
    }

    fn copy(&mut self, rows: usize) -> Step {
        let csv = self.random.random_bool(0.6);
        let mut line = || {
            let row = layout::row(Table::Fact, &mut self.random);
            if csv { layout::csv_line(&row) } else { layout::text_line(&row) }
        };
        let lines = (0..rows).map(|_| line()).collect();
        let options = if csv { " WITH (FORMAT csv)" } else { "" };
        Step::success(Action::Copy { statement: format!("COPY t FROM STDIN{options}"), lines })
    }

    fn delete(&mut self, table: Table) -> Step {
        let predicate = self.source(table).predicate(&mut self.random, 2);
        Step::statement(format!("DELETE FROM {} WHERE {predicate}", table.name()))
    }

    /// The table changes and is what it was again. Its older rows are of older definitions then, and views have followed.
    fn alter(&mut self) -> Step {
        if !self.mirrored && self.random.random_bool(0.3) {
            return self.alter_where_it_can_be();
        }
        let column = Table::Fact.columns().choose(&mut self.random).map_or("n", |(name, _, _)| name);
        let there_and_back = [
            format!("ALTER TABLE t RENAME COLUMN {column} TO other; ALTER TABLE t RENAME other TO {column}"),
            "ALTER TABLE t RENAME TO other; ALTER TABLE other RENAME TO t".to_string(),
            "ALTER TABLE t ADD COLUMN extra integer DEFAULT 7; ALTER TABLE t DROP COLUMN extra".to_string(),
            "ALTER TABLE t ADD extra text, ALTER n DROP NOT NULL; INSERT INTO t (n, extra) VALUES (1, 'x'); \
             ALTER TABLE t DROP extra, ALTER n SET NOT NULL"
                .to_string(),
        ];
        Step::statement(there_and_back.choose(&mut self.random).cloned().unwrap_or_default())
    }

    /// What the table's partitions, or a view that uses the column, may stand in the way of.
    fn alter_where_it_can_be(&mut self) -> Step {
        let statements = [
            "ALTER TABLE t DROP PARTITION (g = 'a')",
            "ALTER TABLE t DROP PARTITION (month(d) <= '2025-01')",
            "ALTER TABLE t DROP PARTITION (k = 1)",
            "ALTER TABLE t ALTER b TYPE numeric(20,0); ALTER TABLE t ALTER b TYPE bigint",
            "ALTER TABLE t ALTER s TYPE varchar(20), ALTER n TYPE bigint; ALTER TABLE t ALTER s TYPE text, ALTER n TYPE integer",
            "ALTER TABLE t ADD id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ADD twice integer GENERATED ALWAYS AS (n * 2) STORED; \
             UPDATE t SET n = n + 1 WHERE id % 2 = 0; ALTER TABLE t ALTER id TYPE integer; ALTER TABLE t DROP twice, DROP id",
        ];
        let statement = statements.choose(&mut self.random).copied().unwrap_or_default();
        Step { action: Action::Statement(statement.into()), expect: Expect::Either }
    }

    /// A key that is deleted and comes back in one transaction.
    fn replace_key(&mut self, in_transaction: bool) -> Step {
        let key = ["g = 'a'", "g IS NULL", "k = 1", "k IS NULL", "d = DATE '2025-01-31'"];
        let key = key.choose(&mut self.random).copied().unwrap_or("k = 0");
        let mut steps = vec![Step::statement(format!("DELETE FROM t WHERE {key}"))];
        let rows = self.random.random_range(1..6);
        steps.push(self.insert(Table::Fact, rows));
        if self.random.random_bool(0.5) {
            steps.push(Step::statement(format!("DELETE FROM t WHERE {key}")));
            steps.push(self.insert(Table::Fact, 1));
        }
        if !in_transaction {
            steps.insert(0, Step::success(Action::Begin));
            let end = self.end_of_transaction();
            steps.push(end);
        }
        let mut steps = VecDeque::from(steps);
        let first = steps.pop_front();
        self.queue.append(&mut steps);
        first.unwrap_or_else(|| Step::statement("TRUNCATE t"))
    }

    /// A statement that must fail and leave nothing behind.
    fn failing(&mut self, state: &State) -> Step {
        let good = layout::values_row(Table::Fact, &layout::row(Table::Fact, &mut self.random));
        let line = layout::csv_line(&layout::row(Table::Fact, &mut self.random));
        let copy = |data: String| Step {
            action: Action::Copy { statement: "COPY t FROM STDIN WITH (FORMAT csv)".into(), lines: vec![data] },
            expect: Expect::Failure,
        };
        match self.random.random_range(0..10) {
            0 => Step::failure(format!(
                "INSERT INTO t VALUES {good}, (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
            )),
            1 => Step::failure("INSERT INTO t (n, a) VALUES (1, 1), (2, 123456.78)"),
            2 => Step::failure("INSERT INTO t (n, k) SELECT 1, 10 / (n - n) FROM (VALUES (1), (2)) AS r (n)"),
            3 => Step::failure("INSERT INTO t (n, d) VALUES (1, '2025-02-30')"),
            4 => copy(format!("{line}a,2025-01-31,1\n")),
            5 => copy(format!("{line}{line}a,2025-01-31,x,1,1,a,1,,t,1\n")),
            6 => copy(format!("{line}a,2025-01-31,1,1,1,a,1,,t,\n")),
            7 => copy(format!("{line}\"a,2025-01-31,1,1,1,a,1,,t,1\n")),
            8 => Step::failure("DELETE FROM t WHERE missing = 1"),
            // A plain view, as PostgreSQL has it in the mirror, may well take rows.
            _ => match state.views.choose(&mut self.random).filter(|_| !self.mirrored) {
                Some(known) => Step::failure(format!("INSERT INTO {} SELECT * FROM t", known.view.name)),
                None => Step::failure("CREATE MATERIALIZED VIEW broken AS SELECT missing FROM t"),
            },
        }
    }

    fn change_views(&mut self, state: &State) -> Step {
        let drop = state.views.len() >= VIEWS_MAX || (state.views.len() > 1 && self.random.random_bool(0.3));
        let Some(known) = state.views.choose(&mut self.random).filter(|_| drop) else {
            return self.create_view(state);
        };
        let name = known.view.name.clone();
        let is_read = state.views.iter().any(|other| reads(&other.view.query, &name));
        let expect = if is_read { Expect::Failure } else { Expect::Success };
        Step { action: Action::DropView { name }, expect }
    }

    fn create_view(&mut self, state: &State) -> Step {
        let mut sources = Vec::new();
        for KnownView { view, populated, may_fail } in &state.views {
            if let (true, false, Some(source)) = (*populated, *may_fail, self.views_as_sources.get(&view.name)) {
                sources.push(source.clone());
            }
        }
        let query = view_query::random_view(&mut self.random, &sources, self.mirrored);
        self.views_made += 1;
        let name = format!("v{}", self.views_made);
        self.views_as_sources.insert(name.clone(), query.as_source(name.clone()));
        let with_data = self.mirrored || self.random.random_bool(0.95);
        let expect = if query.may_fail { Expect::Either } else { Expect::Success };
        Step { action: Action::CreateView { name, query: query.text, with_data }, expect }
    }

    fn refresh(&mut self, state: &State) -> Step {
        match state.views.choose(&mut self.random) {
            Some(known) => Step {
                action: Action::RefreshView { name: known.view.name.clone() },
                expect: if known.may_fail { Expect::Either } else { Expect::Success },
            },
            None => self.insert(Table::Fact, 1),
        }
    }
}

/// True when a query names the view.
fn reads(query: &str, view: &str) -> bool {
    query.split(|other: char| !other.is_ascii_alphanumeric()).any(|word| word == view)
}
