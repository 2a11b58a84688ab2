//! A name of FROM as a value: `SELECT t FROM t`, `count(t)`, `t IS NULL`, `SELECT x FROM unnest(a) x`.
//!
//! A column of that name goes first, and which columns there are only the planner knows. So this is tried where
//! planning has found no such column. What the name of a function that gives values means is its column. That of any other relation
//! becomes an operator of its own, and [`RowPlanner`](super::row_planner::RowPlanner), which sees the schema, puts the columns there:
//!
//!     x  ▶  x.value
//!     t  ▶  't' row@ NULL       ▶  record(t.a, t.b)
//!     t  ▶  "record@text"(t.*)  in a subquery or LATERAL of the SELECT that has it, for [`super::row_stars`]
//!
//! `(t.*)` is the row whatever columns there are, so it is a name here that no column can have. A row is shown as PostgreSQL prints a record, and its type is text. Where a document is made of it, it is a struct or a document
//! itself, see [`super::row_documents`].

use super::row_names::{Meaning, meaning_in, mentions};
use super::row_planner::{IS_NOT_NULL, IS_NULL, OUTER, STRUCT, STRUCT_OUTER, TEXT};
use super::star_syntax::{row_of, starred};
use super::trees::{bare, binary, null, quoted};
use crate::engine_error::position_of_word;
use crate::error::{ErrorKind, QueryError};
use crate::functions::concatenation::{ADDED_RECORD, RECORD};
use crate::operators::sites::{call, call_quoted};
use crate::output_names::{hidden_name, output_name, shown_name};
use crate::statement::Statement;
use crate::statement_grammar::fold;
use crate::syntax_walks::{walk_expressions, walk_expressions_mut, walk_mut};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
    OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor, Value, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::borrow::Cow;
use std::ops::ControlFlow;

/// The query with a name that no column has read as that of a FROM item, where it is one. Names of the SELECT that they stand in go
/// first, then the one that the error is about as one further out.
pub(crate) fn with_rows(query: &Query, error: &QueryError, statement: Option<&Statement>) -> Option<Query> {
    let written = error.column.as_deref().filter(|_| error.kind == ErrorKind::UndefinedColumn)?;
    let name = shown_name(written);
    let place = error.position;
    let reaches = [Reach::Own, Reach::Outer { statement: statement.filter(|_| place.is_some()), place }];
    reaches.into_iter().find_map(|reach| {
        let mut query = query.clone();
        let mut rows = Rows { name, written, scopes: Vec::new(), factors: Vec::new(), reach, found: false };
        let _ = walk_mut(&mut query, &mut rows);
        rows.found.then_some(query)
    })
}

/// Behind the name of a relation whose row is told by a star.
const BY_STAR: &str = "row";

/// The query in which each row that is told by a star has a name that no column has.
pub(crate) fn with_named_rows(query: &Query) -> Cow<'_, Query> {
    let is_row = |part: &Expr| match row_of(part) {
        Some(_) => ControlFlow::Break(()),
        None => ControlFlow::Continue(()),
    };
    if walk_expressions(query, is_row).is_continue() {
        return Cow::Borrowed(query);
    }
    let mut query = query.clone();
    let _ = walk_expressions_mut(&mut query, |part| {
        if let Some(table) = row_of(part) {
            let name = quoted(&format!("{}{BY_STAR}", hidden_name(&fold(table))));
            *part = Expr::Identifier(Ident { span: table.span, ..name });
        }
        ControlFlow::<()>::Continue(())
    });
    Cow::Owned(query)
}

/// What is wrong where no relation has the name before a star.
pub(crate) fn without_relation(error: QueryError, statement: Option<&Statement>) -> QueryError {
    let name = match &error.column {
        Some(written) if error.kind == ErrorKind::UndefinedColumn => shown_name(written),
        _ => return error,
    };
    if error.column != Some(format!("{}{BY_STAR}", hidden_name(name))) {
        return error;
    }
    let message = format!("missing FROM-clause entry for table \"{name}\"");
    let place = statement.and_then(|statement| position_of_word(statement, name));
    QueryError::new(ErrorKind::UndefinedTable, message).position(place)
}

/// Which SELECTs' names are looked for.
#[derive(Clone, Copy)]
enum Reach<'a> {
    /// That of the SELECT around the expression.
    Own,
    /// Those further out; only of what stands at a place, where that is known.
    Outer { statement: Option<&'a Statement>, place: Option<usize> },
}

pub(super) struct Rows<'a> {
    pub name: &'a str,
    /// The same as it stands in the query.
    written: &'a str,
    /// What the name means in each SELECT around the expression.
    scopes: Vec<Option<Meaning>>,
    /// For each of these how many items of its FROM are around the expression: they do not see the columns of those beside them.
    factors: Vec<usize>,
    reach: Reach<'a>,
    found: bool,
}

impl VisitorMut for Rows<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        self.scopes.push(meaning_in(&select.from, self.name));
        self.factors.push(0);
        let is_known = self.meaning().is_some();
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expression) = item
                && is_known
                && mentions(expression, self.written)
            {
                let alias = quoted(shown_name(&output_name(expression)));
                *item = SelectItem::ExprWithAlias { expr: expression.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<()> {
        self.scopes.pop();
        self.factors.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, _: &mut TableFactor) -> ControlFlow<()> {
        if let Some(factors) = self.factors.last_mut() {
            *factors += 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, _: &mut TableFactor) -> ControlFlow<()> {
        if let Some(factors) = self.factors.last_mut() {
            *factors -= 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // ORDER BY sees the tables of the SELECT that it orders, but stands outside of it.
        if let (SetExpr::Select(select), Some(OrderBy { kind: OrderByKind::Expressions(items), .. })) =
            (query.body.as_ref(), query.order_by.as_mut())
        {
            self.scopes.push(meaning_in(&select.from, self.name));
            self.factors.push(0);
            let is_output = select.projection.iter().any(|item| is_called(item, self.written));
            for item in items {
                if !is_output || !self.is_row(&item.expr) {
                    let _ = walk_mut(&mut item.expr, self);
                }
            }
            self.scopes.pop();
            self.factors.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        let meaning = self.meaning().cloned();
        if let Expr::Function(function) = expression {
            let outer = match meaning {
                Some(Meaning::Row { outer }) => Some(outer),
                _ => None,
            };
            self.in_call(function, outer);
            return ControlFlow::Continue(());
        }
        let Some(meaning) = meaning else { return ControlFlow::Continue(()) };
        if let Some(column) = self.column_of_row(expression) {
            *expression = column;
            self.found = true;
            return ControlFlow::Continue(());
        }
        match meaning {
            Meaning::Value(column) => self.value(expression, &column),
            Meaning::Row { outer } => self.whole_row(expression, outer),
        }
        ControlFlow::Continue(())
    }
}

impl Rows<'_> {
    /// What the name means where the visitor is.
    fn meaning(&self) -> Option<&Meaning> {
        let (own, outer) = self.scopes.split_last()?;
        match self.reach {
            Reach::Own => own.as_ref(),
            Reach::Outer { .. } if own.is_some() => None,
            Reach::Outer { .. } => outer.iter().rev().find_map(Option::as_ref),
        }
    }

    pub(super) fn is_row(&self, expression: &Expr) -> bool {
        match bare(expression) {
            Expr::Identifier(name) => fold(name) == self.written && self.is_meant(name.span),
            _ => false,
        }
    }

    /// Whether names are those of the SELECT that they stand in.
    pub(super) fn is_own(&self) -> bool {
        matches!(self.reach, Reach::Own)
    }

    fn is_meant(&self, span: Span) -> bool {
        match self.reach {
            Reach::Outer { statement: Some(statement), place } => statement.place_of(span) == place,
            _ => true,
        }
    }

    /// `x` of `FROM unnest(a) x(v)` is `x.v`.
    fn value(&mut self, expression: &mut Expr, column: &[Ident; 2]) {
        if let Expr::Identifier(name) = expression
            && fold(name) == self.written
            && self.is_meant(name.span)
        {
            let span = name.span;
            let parts = column.iter().map(|part| Ident { span, ..part.clone() });
            *expression = Expr::CompoundIdentifier(parts.collect());
            self.found = true;
        }
    }

    fn whole_row(&mut self, expression: &mut Expr, outer: bool) {
        let form = match &*expression {
            Expr::IsNull(row) if self.is_row(row) => IS_NULL,
            Expr::IsNotNull(row) if self.is_row(row) => IS_NOT_NULL,
            other if self.is_row(other) && outer => OUTER,
            other if self.is_row(other) => TEXT,
            _ => return,
        };
        *expression = self.row(form);
    }

    /// The row as a struct, which is NULL where an outer join left the table out.
    pub(super) fn object(&mut self, outer: bool) -> Expr {
        self.row(if outer { STRUCT_OUTER } else { STRUCT })
    }

    /// The row of a SELECT around that where it stands, as a struct.
    pub(super) fn further_out(&mut self) -> Expr {
        self.found = true;
        self.starred(call("named_struct", Vec::new()))
    }

    fn row(&mut self, form: &str) -> Expr {
        self.found = true;
        if self.is_own() && self.factors.last().is_none_or(|factors| *factors == 0) {
            let name = Expr::Value(Value::SingleQuotedString(self.name.to_string()).into());
            return binary(name, BinaryOperator::Custom(form.to_string()), null());
        }
        match form {
            IS_NULL => Expr::IsNull(Box::new(self.starred(call("row", Vec::new())))),
            IS_NOT_NULL => Expr::IsNotNull(Box::new(self.starred(call("row", Vec::new())))),
            OUTER => self.starred(call_quoted(ADDED_RECORD, Vec::new())),
            STRUCT | STRUCT_OUTER => self.further_out(),
            _ => self.starred(call_quoted(RECORD, Vec::new())),
        }
    }

    /// A call with all columns of the relation as its arguments.
    fn starred(&self, call: Expr) -> Expr {
        starred(call, &ObjectName::from(vec![quoted(self.name)]))
    }

    /// `(t).a` is `t.a`.
    fn column_of_row(&self, expression: &Expr) -> Option<Expr> {
        let Expr::CompoundFieldAccess { root, access_chain } = expression else { return None };
        match (bare(root), access_chain.as_slice()) {
            (Expr::Identifier(table), [AccessExpr::Dot(Expr::Identifier(column))]) if fold(table) == self.written => {
                let table = Ident { span: table.span, ..quoted(self.name) };
                Some(Expr::CompoundIdentifier(vec![table, column.clone()]))
            }
            _ => None,
        }
    }

    /// The arguments of functions that count rows or turn a row into a document. `outer` says of the name where the call stands that
    /// it means a row, and whether an outer join may leave its relation out.
    fn in_call(&mut self, function: &mut Function, outer: Option<bool>) {
        let name = function.name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
        if let FunctionArguments::List(list) = &mut function.args
            && let ("count", [FunctionArg::Unnamed(argument)], None, Some(false)) =
                (name.as_str(), list.args.as_mut_slice(), list.duplicate_treatment, outer)
            && let FunctionArgExpr::Expr(row) = argument
            && self.is_row(row)
        {
            *argument = FunctionArgExpr::Wildcard;
            self.found = true;
            return;
        }
        self.in_documents(function, &name, outer);
    }
}

/// Whether an item of a select list has a name.
fn is_called(item: &SelectItem, name: &str) -> bool {
    match item {
        SelectItem::UnnamedExpr(expression) => output_name(expression) == name,
        SelectItem::ExprWithAlias { alias, .. } => fold(alias) == name,
        _ => false,
    }
}
