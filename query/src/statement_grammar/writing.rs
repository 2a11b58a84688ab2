//! Writers that begin with WITH: `WITH … INSERT | UPDATE | DELETE`.
//!
//! What finds the rows is one query that has the WITH. RETURNING and ON CONFLICT are planned apart from it, so their queries get a WITH of
//! their own where they name one of its tables:
//!
//!     WITH x AS (…) DELETE FROM t RETURNING (SELECT v FROM x)
//!     ▶ WITH x AS (…) DELETE FROM t RETURNING (WITH x AS (…) SELECT v FROM x)

use super::{Words, fold};
use crate::dialect::StatementDialect;
use crate::error::{ErrorKind, QueryError};
use crate::modify::Modification;
use crate::statement::{Overriding, StatementKind};
use crate::syntax_walks::{walk, walk_mut};
use datafusion::sql::sqlparser::ast::{
    self, ObjectName, Query, SetExpr, Statement as Ast, VisitMut, Visitor, VisitorMut, With,
};
use datafusion::sql::sqlparser::parser::Parser;
use std::collections::HashSet;
use std::ops::ControlFlow;

impl Words<'_> {
    /// `WITH … INSERT | UPDATE | DELETE` is parsed as a query.
    pub(super) fn query_or_writer(
        &self,
        mut query: Query,
        overriding: Overriding,
    ) -> Result<StatementKind, QueryError> {
        let writer = match query.body.as_mut() {
            SetExpr::Insert(writer) | SetExpr::Update(writer) | SetExpr::Delete(writer) => {
                Some(std::mem::replace(writer, Ast::Commit { chain: false, end: false, modifier: None }))
            }
            _ => None,
        };
        match writer {
            None => Ok(StatementKind::Query(Box::new(query))),
            Some(Ast::Insert(insert)) => insert_with(query.with, insert, overriding),
            Some(Ast::Update(mut update)) => {
                hand_down(query.with.as_ref(), &mut update.returning);
                Ok(StatementKind::Modify(Box::new(Modification::of_update(query.with, update)?)))
            }
            Some(Ast::Delete(mut delete)) => {
                hand_down(query.with.as_ref(), &mut delete.returning);
                Ok(StatementKind::Modify(Box::new(Modification::of_delete(query.with, delete)?)))
            }
            Some(_) => Err(self.unexpected()),
        }
    }
}

/// `DEFAULT VALUES` is a row whose first column is DEFAULT, as the others then are; WITH belongs to the source.
pub(super) fn insert_with(
    with: Option<With>,
    mut insert: ast::Insert,
    overriding: Overriding,
) -> Result<StatementKind, QueryError> {
    hand_down(with.as_ref(), &mut insert.on);
    hand_down(with.as_ref(), &mut insert.returning);
    let source = insert.source.take().map_or_else(default_row, Ok)?;
    insert.source = Some(match with {
        Some(with) => Box::new(below(with, *source)?),
        None => source,
    });
    Ok(StatementKind::Insert(Box::new(insert), overriding))
}

/// `VALUES (DEFAULT)`
fn default_row() -> Result<Box<Query>, QueryError> {
    parsed("VALUES (DEFAULT)")
}

fn parsed(query: &str) -> Result<Box<Query>, QueryError> {
    let parser = Parser::new(&StatementDialect).try_with_sql(query);
    parser
        .and_then(|mut parser| parser.parse_query())
        .map_err(|error| QueryError::new(ErrorKind::Internal, error.to_string()))
}

/// The query below a WITH, whose names its own WITH hides.
fn below(with: With, query: Query) -> Result<Query, QueryError> {
    if query.with.is_none() {
        return Ok(Query { with: Some(with), ..query });
    }
    let outer = parsed("SELECT 1")?;
    Ok(Query { with: Some(with), body: Box::new(SetExpr::Query(Box::new(query))), ..*outer })
}

/// Puts a WITH before each query of a part of its statement that names one of its tables.
fn hand_down(with: Option<&With>, part: &mut impl VisitMut) {
    let Some(with) = with else { return };
    let names = with.cte_tables.iter().map(|table| fold(&table.alias.name)).collect();
    let _ = walk_mut(part, &mut Hander { with, names, depth: 0 });
}

struct Hander<'a> {
    with: &'a With,
    names: HashSet<String>,
    /// How many queries are around what is visited.
    depth: usize,
}

impl VisitorMut for Hander<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        let names_one = || walk(&*query, &mut Naming { names: &self.names }).is_break();
        if self.depth == 0
            && names_one()
            && let Ok(below) = below(self.with.clone(), query.clone())
        {
            *query = below;
        }
        ControlFlow::Continue(())
    }
}

/// Stops at a relation of one of the names.
struct Naming<'a> {
    names: &'a HashSet<String>,
}

impl Visitor for Naming<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        match relation.0.as_slice() {
            [part] if part.as_ident().is_some_and(|name| self.names.contains(&fold(name))) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}
