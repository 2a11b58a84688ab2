//! VALUES: the values of a column are cast to the type that they have together.
//!
//!     VALUES (1::real), (2.5)           both are double precision
//!     VALUES (date '2025-01-01'), ('2025-02-01')
//!
//! A column of NULLs alone is a text, but for one that INSERT assigns.
//!
//! DataFusion chooses the columns' types while it plans, by its own rules. So the types are looked for before, and values of
//! other types become casts, and so do those with a modifier or of a domain beside others. Where a value cannot be planned alone, as an
//! outer column, the values of the column become sites that see each other.

use super::call::{Places, SiteCall, SiteKind};
use super::casts::expression_field;
use super::checks::Check;
use super::lowering::Argument;
use super::meetings::{Guest, Meeting, common};
use super::sites::{call_quoted, integer_literal};
use crate::assignment::{is_assignable, not_assignable};
use crate::error::QueryError;
use crate::query_places::place_of;
use crate::statement::Statement;
use crate::syntax_walks::walk_mut;
use arrow::datatypes::FieldRef;
use catalog::definition::Column;
use catalog::sql_type::SqlType;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Expr as Planned, ScalarUDF};
use datafusion::sql::sqlparser::ast::{self, Expr, Query, SetExpr, Value, ValueWithSpan, Values, VisitorMut};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// The most rows of a list whose values are typed by others that cannot be planned alone.
const MET_ROWS_MAX: usize = 100;

/// What the planner does for a list of values.
pub(crate) trait Cells {
    /// A value as the planner understands it, and its field; `None` if it does not.
    fn planned(&self, cell: &Expr) -> Option<(Argument, FieldRef)>;

    /// The name of the call of a new site.
    fn add(&self, kind: SiteKind, places: Places) -> String;
}

/// Casts the values of every VALUES of an annotated tree. Errors: `VALUES types integer and text cannot be matched`.
pub(crate) fn settle_values(tree: &mut ast::Statement, cells: &dyn Cells) -> Result<(), QueryError> {
    match walk_mut(tree, &mut Settling { cells, queries: 0 }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Assigns the values of an INSERT's VALUES to its columns, each by itself, where those of a column have several types: `(1), ('x')` are
/// a text's. Errors: 42804 for a value that is not assigned to such a column.
pub(crate) fn assign_values(
    tree: &mut ast::Statement,
    targets: &[Column],
    cells: &dyn Cells,
    statement: Option<&Statement>,
) -> Result<(), QueryError> {
    let ast::Statement::Query(query) = tree else { return Ok(()) };
    let SetExpr::Values(values) = query.body.as_mut() else { return Ok(()) };
    let settling = Settling { cells, queries: 0 };
    let width = values.rows.iter().map(|row| row.content.len()).min().unwrap_or(0);
    if values.rows.len() < 2 {
        return Ok(());
    }
    targets.iter().take(width).enumerate().try_for_each(|(column, to)| settling.assign(values, column, to, statement))
}

/// Lets the values of every VALUES stand beside each other while the types of parameters are looked for: the planner refuses a column
/// whose fields know different things of their types, which are settled when the parameters are known.
pub(crate) fn open_values(tree: &mut ast::Statement, cells: &dyn Cells) {
    let _ = walk_mut(tree, &mut Opening { cells });
}

/// What a value was before [`open_values`].
pub(super) fn without_opening(value: Planned) -> datafusion::common::Result<Transformed<Planned>> {
    match value {
        Planned::ScalarFunction(mut call) if is_opened(&call.func) => Ok(Transformed::yes(call.args.remove(0))),
        other => Ok(Transformed::no(other)),
    }
}

fn is_opened(function: &ScalarUDF) -> bool {
    let site = function.inner().downcast_ref::<SiteCall>();
    site.is_some_and(|site| matches!(site.kind, SiteKind::Checked(Check::Cell)))
}

struct Opening<'a> {
    cells: &'a dyn Cells,
}

impl VisitorMut for Opening<'_> {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.body(&mut query.body);
        ControlFlow::Continue(())
    }
}

impl Opening<'_> {
    fn body(&self, body: &mut SetExpr) {
        match body {
            SetExpr::Values(values) if values.rows.len() > 1 => {
                let cells = values.rows.iter_mut().flat_map(|row| &mut row.content);
                for cell in cells.filter(|cell| matches!(cell, Expr::Function(_))) {
                    let value = std::mem::replace(cell, Expr::Value(Value::Null.into()));
                    let name = self.cells.add(SiteKind::Checked(Check::Cell), Places::default());
                    *cell = call_quoted(&name, vec![value]);
                }
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left);
                self.body(right);
            }
            _ => {}
        }
    }
}

struct Settling<'a> {
    cells: &'a dyn Cells,
    /// The queries that the visitor is inside of.
    queries: usize,
}

impl VisitorMut for Settling<'_> {
    type Break = QueryError;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<QueryError> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        self.queries -= 1;
        // What stands alone in a statement may be assigned, as INSERT does.
        let is_assigned = self.queries == 0 && matches!(query.body.as_ref(), SetExpr::Values(_));
        match self.body(&mut query.body, is_assigned) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Settling<'_> {
    fn body(&self, body: &mut SetExpr, is_assigned: bool) -> Result<(), QueryError> {
        match body {
            SetExpr::Values(values) => self.values(values, is_assigned),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, false)?;
                self.body(right, false)
            }
            _ => Ok(()),
        }
    }

    fn values(&self, values: &mut Values, is_assigned: bool) -> Result<(), QueryError> {
        let width = values.rows.iter().map(|row| row.content.len()).min().unwrap_or(0);
        for column in 0..width {
            let is_empty = values.rows.iter().all(|row| is_null(&row.content[column]));
            if is_empty && !is_assigned {
                self.type_null(&mut values.rows[0].content[column]);
            } else if values.rows.len() > 1 {
                self.column(values, column)?;
            }
        }
        Ok(())
    }

    /// A column that is NULL in every row is a text.
    fn type_null(&self, cell: &mut Expr) {
        let null = std::mem::replace(cell, Expr::Value(Value::Null.into()));
        *cell = call_quoted(&self.cells.add(SiteKind::Cast(SqlType::Text), Places::default()), vec![null]);
    }

    fn assign(
        &self,
        values: &mut Values,
        column: usize,
        to: &Column,
        statement: Option<&Statement>,
    ) -> Result<(), QueryError> {
        // What is too long for a varchar is refused when it is assigned; a cast would cut it.
        let sql_type = match &to.sql_type {
            SqlType::Varchar { .. } | SqlType::Bpchar { .. } => SqlType::Text,
            other => other.clone(),
        };
        if sql_type != SqlType::Text && is_plain(values.rows.iter().map(|row| &row.content[column])) {
            return Ok(());
        }
        let planned = values.rows.iter().map(|row| self.cells.planned(&row.content[column]));
        let Some(planned) = planned.collect::<Option<Vec<(Argument, FieldRef)>>>() else { return Ok(()) };
        let mut known = planned.iter().filter_map(|(argument, _)| argument.known.as_ref());
        let first = known.next();
        if known.all(|known| Some(known) == first) {
            return Ok(());
        }
        for (row, (argument, _)) in values.rows.iter_mut().zip(&planned) {
            let cell = &mut row.content[column];
            match &argument.known {
                Some(known) if !is_assignable(known, &to.sql_type) => {
                    let place = statement.and_then(|statement| place_of(statement, cell));
                    return Err(not_assignable(to, Some(known)).position(place));
                }
                Some(known) if *known != sql_type => self.cast(cell, argument, sql_type.clone()),
                _ => {}
            }
        }
        Ok(())
    }

    fn cast(&self, cell: &mut Expr, argument: &Argument, to: SqlType) {
        let taken = std::mem::replace(cell, Expr::Value(Value::Null.into()));
        let places = Places { site: argument.place, operands: vec![argument.place] };
        *cell = call_quoted(&self.cells.add(SiteKind::Cast(to), places), vec![taken]);
    }

    fn column(&self, values: &mut Values, column: usize) -> Result<(), QueryError> {
        if is_plain(values.rows.iter().map(|row| &row.content[column])) {
            return Ok(());
        }
        let planned = values.rows.iter().map(|row| self.cells.planned(&row.content[column]));
        let Some(planned) = planned.collect::<Option<Vec<(Argument, FieldRef)>>>() else {
            // Only a subquery has columns around it.
            if self.queries > 0 {
                self.meet(values, column);
            }
            return Ok(());
        };
        let guests: Vec<Guest<'_>> = planned.iter().map(|(argument, _)| argument.guest()).collect();
        if guests.iter().all(|guest| guest.known.is_none()) {
            return Ok(());
        }
        let common = common("VALUES", &guests)?;
        let plain = |sql_type: &SqlType| expression_field(sql_type).metadata().clone();
        let said = planned.iter().map(|(argument, field)| match is_cast(argument, &common) {
            true => plain(&common),
            false => field.metadata().clone(),
        });
        let said: Vec<HashMap<String, String>> = said.collect();
        let agree = said.windows(2).all(|pair| pair[0] == pair[1]);
        for ((row, (argument, _)), said) in values.rows.iter_mut().zip(&planned).zip(said) {
            let to = match argument.known.as_ref().map(unmodified_type) {
                _ if is_cast(argument, &common) => common.clone(),
                Some(unmodified) if !agree && said != plain(&unmodified) => unmodified,
                _ => continue,
            };
            self.cast(&mut row.content[column], argument, to);
        }
        Ok(())
    }

    /// Values of which planning will tell in what type they meet.
    fn meet(&self, values: &mut Values, column: usize) {
        let is_null = |cell: &Expr| matches!(cell, Expr::Value(ValueWithSpan { value: Value::Null, .. }));
        if values.rows.len() > MET_ROWS_MAX {
            return;
        }
        let mut all: Vec<Expr> = Vec::new();
        for cell in values.rows.iter().map(|row| &row.content[column]).filter(|cell| !is_null(cell)) {
            if !all.contains(cell) {
                all.push(cell.clone());
            }
        }
        let cells = values.rows.iter_mut().map(|row| &mut row.content[column]);
        for cell in cells.filter(|cell| !is_null(cell) && all.len() > 1) {
            let others = all.iter().filter(|other| *other != &*cell).cloned();
            let operands = std::iter::once(cell.clone()).chain(others).collect();
            *cell = call_quoted(&self.cells.add(SiteKind::Meeting(Meeting::Values), Places::default()), operands);
        }
    }
}

/// The type without what a modifier says of it; a domain is known by its base type alone.
fn unmodified_type(known: &SqlType) -> SqlType {
    match known {
        SqlType::Numeric { precision, scale, .. } => {
            SqlType::Numeric { precision: *precision, scale: *scale, declared: false }
        }
        other => other.clone(),
    }
}

/// Whether a value has another type than the column. The digits of numerics are DataFusion's to add up.
fn is_cast(argument: &Argument, common: &SqlType) -> bool {
    match (&argument.known, common) {
        (Some(_), SqlType::Numeric { declared: false, .. }) => false,
        (Some(known), common) => known != common,
        (None, _) => true,
    }
}

fn is_null(cell: &Expr) -> bool {
    match cell {
        Expr::Nested(inner) => is_null(inner),
        Expr::Value(value) => value.value == Value::Null,
        _ => false,
    }
}

/// Whether values are literals of one kind, which need no look.
fn is_plain<'a>(cells: impl Iterator<Item = &'a Expr>) -> bool {
    #[derive(PartialEq)]
    enum Kind {
        Text,
        Number,
        Boolean,
    }
    let mut first = None;
    for cell in cells {
        let kind = match cell {
            Expr::Value(ValueWithSpan { value: Value::Null, .. }) => continue,
            Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }) => Kind::Text,
            Expr::Value(ValueWithSpan { value: Value::Number(..), .. }) => Kind::Number,
            Expr::Value(ValueWithSpan { value: Value::Boolean(_), .. }) => Kind::Boolean,
            other if integer_literal(other).is_some() => Kind::Number,
            _ => return false,
        };
        match &first {
            Some(first) if *first != kind => return false,
            _ => first = Some(kind),
        }
    }
    true
}
