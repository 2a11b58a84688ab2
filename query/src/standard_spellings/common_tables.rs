//! Names of WITH that hide those of a query further out.
//!
//!     WITH a AS (…), b AS (WITH a AS (…) SELECT * FROM a) …
//!     ▶ WITH a AS (…), b AS (WITH "a@1" AS (…) SELECT * FROM "a@1" AS a) …
//!
//! The planner knows one table of a name in a query and all queries inside of it, so this is tried where it has found a second one.

use super::trees::quoted;
use crate::error::{ErrorKind, QueryError};
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use datafusion::sql::sqlparser::ast::{ObjectName, Query, TableAlias, TableFactor, VisitorMut, With};
use std::ops::ControlFlow;

/// The query in which each WITH has names of its own, where that changes some; two of one WITH stay what they are.
pub(crate) fn with_own_names(query: &Query, error: &QueryError) -> Option<Query> {
    if error.kind != ErrorKind::DuplicateAlias {
        return None;
    }
    let mut query = query.clone();
    let mut renamer = Renamer { visible: Vec::new(), queries: Vec::new(), renamed: 0 };
    let _ = walk_mut(&mut query, &mut renamer);
    (renamer.renamed > 0).then_some(query)
}

/// A name of WITH, and what the planner knows it as.
struct Name {
    written: String,
    known: String,
}

struct Renamer {
    /// The names that a relation may have, those of inner queries last.
    visible: Vec<Name>,
    /// Of each query around: its WITH, which was visited before, and how many names were visible outside.
    queries: Vec<(Option<With>, usize)>,
    renamed: usize,
}

impl VisitorMut for Renamer {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let outside = self.visible.len();
        let mut with = query.with.take();
        if let Some(with) = &mut with {
            self.name_tables(with, outside);
        }
        self.queries.push((with, outside));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some((with, outside)) = self.queries.pop() {
            query.with = with;
            self.visible.truncate(outside);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else { return ControlFlow::Continue(()) };
        let [part] = name.0.as_slice() else { return ControlFlow::Continue(()) };
        let Some(written) = part.as_ident().cloned() else { return ControlFlow::Continue(()) };
        let found = self.visible.iter().rev().find(|known| known.written == fold(&written));
        if let Some(found) = found.filter(|found| found.known != found.written) {
            *name = ObjectName::from(vec![quoted(&found.known)]);
            alias.get_or_insert(TableAlias { explicit: true, name: written, columns: Vec::new(), at: None });
        }
        ControlFlow::Continue(())
    }
}

impl Renamer {
    /// Visits the queries of a WITH, each of which sees the names before it, and with RECURSIVE its own.
    fn name_tables(&mut self, with: &mut With, outside: usize) {
        for table in &mut with.cte_tables {
            let written = fold(&table.alias.name);
            let hides = self.visible[..outside].iter().any(|known| known.written == written);
            // A second table of the name stays one, which the planner refuses.
            let twin = self.visible[outside..].iter().find(|known| known.written == written);
            let known = match twin.map(|twin| twin.known.clone()) {
                Some(known) => known,
                None if hides => {
                    self.renamed += 1;
                    format!("{written}@{}", self.renamed)
                }
                None => written.clone(),
            };
            if known != written {
                table.alias.name = quoted(&known);
            }
            let name = Name { written, known };
            if with.recursive {
                self.visible.push(name);
                let _ = walk_mut(&mut table.query, self);
            } else {
                let _ = walk_mut(&mut table.query, self);
                self.visible.push(name);
            }
        }
    }
}
