//! A table's name as a value: `SELECT t FROM t`, `count(t)`, `t IS NULL`.
//!
//! A column of that name goes first, and which columns there are only the planner knows. So this is tried where
//! planning has found no such column. The name becomes an operator of its own, and [`RowPlanner`], which sees the
//! schema, puts the table's columns there:
//!
//!     t  ▶  't' row@ NULL  ▶  record(t.a, t.b)
//!
//! A row is shown as PostgreSQL prints a record, and its type is text.

use super::trees::{bare, binary, null, quoted};
use crate::error::{ErrorKind, QueryError};
use crate::functions::concatenation::record;
use crate::output_names::{output_name, shown_name};
use crate::scan::external;
use crate::statement_grammar::fold;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr as Planned, lit};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, JoinOperator, OrderBy,
    OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins, Value, Visit, VisitMut, Visitor,
    VisitorMut,
};
use std::ops::ControlFlow;

/// The row's text.
const TEXT: &str = "row@";
/// The row's text, NULL for the row that an outer join adds.
const OUTER: &str = "row@outer";
/// Whether all columns are NULL, and whether none is.
const IS_NULL: &str = "row@null";
const IS_NOT_NULL: &str = "row@notnull";
/// The row as a struct, whose fields have the columns' names.
const STRUCT: &str = "row@struct";

/// Functions that want a row's columns by name.
const STRUCT_FUNCTIONS: [&str; 7] =
    ["row_to_json", "to_json", "to_jsonb", "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg"];

/// The query with a name that no column has read as a table's, where it is one.
pub(crate) fn with_rows(query: &Query, error: &QueryError) -> Option<Query> {
    let name = error.column.as_deref().filter(|_| error.kind == ErrorKind::UndefinedColumn)?;
    let mut query = query.clone();
    let mut rows = Rows { name, scopes: Vec::new(), found: false };
    let _ = VisitMut::visit(&mut query, &mut rows);
    rows.found.then_some(query)
}

struct Rows<'a> {
    name: &'a str,
    /// For each SELECT around the expression whether a table of that name is in its FROM, and whether an outer join
    /// may leave it out.
    scopes: Vec<Option<bool>>,
    found: bool,
}

impl VisitorMut for Rows<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let scope = select.from.iter().find_map(|tables| named_in(tables, self.name));
        self.scopes.push(scope);
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expression) = item
                && scope.is_some()
                && mentions(expression, self.name)
            {
                let alias = quoted(&output_name(expression));
                *item = SelectItem::ExprWithAlias { expr: expression.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // ORDER BY sees the tables of the SELECT that it orders, but stands outside of it.
        if let (SetExpr::Select(select), Some(OrderBy { kind: OrderByKind::Expressions(items), .. })) =
            (query.body.as_ref(), query.order_by.as_mut())
        {
            self.scopes.push(select.from.iter().find_map(|tables| named_in(tables, self.name)));
            for item in items {
                let _ = VisitMut::visit(&mut item.expr, self);
            }
            self.scopes.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        let Some(Some(outer)) = self.scopes.last().copied() else { return ControlFlow::Continue(()) };
        if let Expr::Function(function) = expression {
            self.in_call(function, outer);
            return ControlFlow::Continue(());
        }
        if let Some(column) = self.column_of_row(expression) {
            *expression = column;
            self.found = true;
            return ControlFlow::Continue(());
        }
        let form = match &*expression {
            Expr::IsNull(row) if self.is_row(row) => IS_NULL,
            Expr::IsNotNull(row) if self.is_row(row) => IS_NOT_NULL,
            other if self.is_row(other) && outer => OUTER,
            other if self.is_row(other) => TEXT,
            _ => return ControlFlow::Continue(()),
        };
        *expression = self.row(form);
        ControlFlow::Continue(())
    }
}

impl Rows<'_> {
    fn is_row(&self, expression: &Expr) -> bool {
        matches!(bare(expression), Expr::Identifier(name) if fold(name) == self.name)
    }

    fn row(&mut self, form: &str) -> Expr {
        self.found = true;
        let name = Expr::Value(Value::SingleQuotedString(self.name.to_string()).into());
        binary(name, BinaryOperator::Custom(form.to_string()), null())
    }

    /// `(t).a` is `t.a`.
    fn column_of_row(&self, expression: &Expr) -> Option<Expr> {
        let Expr::CompoundFieldAccess { root, access_chain } = expression else { return None };
        match (bare(root), access_chain.as_slice()) {
            (Expr::Identifier(table), [AccessExpr::Dot(Expr::Identifier(column))]) if fold(table) == self.name => {
                Some(Expr::CompoundIdentifier(vec![table.clone(), column.clone()]))
            }
            _ => None,
        }
    }

    /// The arguments of functions that count rows or turn a row into an object.
    fn in_call(&mut self, function: &mut Function, outer: bool) {
        let name = function.name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
        let FunctionArguments::List(list) = &mut function.args else { return };
        if let ("count", [FunctionArg::Unnamed(argument)], None, false) =
            (name.as_str(), list.args.as_mut_slice(), list.duplicate_treatment, outer)
            && let FunctionArgExpr::Expr(row) = argument
            && self.is_row(row)
        {
            *argument = FunctionArgExpr::Wildcard;
            self.found = true;
            return;
        }
        if !STRUCT_FUNCTIONS.contains(&name.as_str()) {
            return;
        }
        for argument in &mut list.args {
            if let FunctionArg::Unnamed(FunctionArgExpr::Expr(row)) = argument
                && self.is_row(row)
            {
                *row = self.row(STRUCT);
            }
        }
    }
}

/// Whether a FROM item has a table that goes by a name; true inside where an outer join may leave it out.
fn named_in(tables: &TableWithJoins, name: &str) -> Option<bool> {
    let mut found = named_as(&tables.relation, name);
    for join in &tables.joins {
        let (left, right) = match join.join_operator {
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => (false, true),
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
            JoinOperator::FullOuter(_) => (true, true),
            _ => (false, false),
        };
        let joined = || named_as(&join.relation, name).map(|outer| outer || right);
        found = found.map(|outer| outer || left).or_else(joined);
    }
    found
}

fn named_as(factor: &TableFactor, name: &str) -> Option<bool> {
    let is_named = match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => return named_in(table_with_joins, name),
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => fold(&alias.name) == name,
        TableFactor::Table { name: table, .. } => {
            table.0.last().and_then(|part| part.as_ident()).is_some_and(|ident| fold(ident) == name)
        }
        _ => false,
    };
    is_named.then_some(false)
}

fn mentions(expression: &Expr, name: &str) -> bool {
    matches!(Visit::visit(expression, &mut Mention(name)), ControlFlow::Break(()))
}

struct Mention<'a>(&'a str);

impl Visitor for Mention<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        match expression {
            Expr::Identifier(name) if fold(name) == self.0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Puts a table's columns where its name stands.
#[derive(Debug)]
pub(crate) struct RowPlanner;

impl ExprPlanner for RowPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let (BinaryOperator::Custom(form), Planned::Literal(ScalarValue::Utf8(Some(table)), _)) =
            (&expr.op, &expr.left)
        else {
            return Ok(PlannerResult::Original(expr));
        };
        let own = schema.iter().filter(|(qualifier, _)| qualifier.is_some_and(|known| known.table() == table));
        let columns: Vec<Planned> = own.map(Planned::from).collect();
        if columns.is_empty() {
            let message = format!("column \"{table}\" does not exist");
            return Err(external(QueryError::new(ErrorKind::UndefinedColumn, message).column(table)));
        }
        let every = |test: fn(Planned) -> Planned| conjunction(columns.iter().cloned().map(test));
        Ok(match form.as_str() {
            TEXT => PlannerResult::Planned(record(false, columns)),
            OUTER => PlannerResult::Planned(record(true, columns)),
            IS_NULL => PlannerResult::Planned(every(Planned::is_null).unwrap_or_else(|| lit(true))),
            IS_NOT_NULL => PlannerResult::Planned(every(Planned::is_not_null).unwrap_or_else(|| lit(true))),
            STRUCT => PlannerResult::Planned(object(columns)),
            _ => PlannerResult::Original(expr),
        })
    }
}

fn object(columns: Vec<Planned>) -> Planned {
    let fields = columns.into_iter().flat_map(|column| {
        let name = match &column {
            Planned::Column(column) => lit(shown_name(&column.name)),
            other => lit(other.schema_name().to_string()),
        };
        [name, column]
    });
    datafusion::functions::core::expr_fn::named_struct(fields.collect())
}
