//! Stars of which rows are made: `ROW(t.*)`, `VALUES (t.*)`, and `t.*` of a SELECT further out.
//!
//! Only the planner knows a relation's columns. So the item of FROM gets a number, a query is planned once to find out what columns it
//! has, and once more with [`Stars`] in hand:
//!
//!     ROW(t.*, 1)                          ROW(t.a, t.b, 1)
//!     VALUES ("columns of"(t.*), 1)        VALUES (t.a, t.b, 1)
//!     FROM t, LATERAL (SELECT t.*) u       FROM t, LATERAL (SELECT t.a, t.b) u
//!
//! Which stars these are is told by [`super::star_syntax`].

use super::star_keys::{StarKeys, has_keys_beside_star};
use super::star_syntax::COLUMNS;
use super::trees::{bare, null, quoted};
use crate::merged_joins::{column_name, is_hidden};
use crate::output_names::shown_name;
use crate::scan::{PART, ROW};
use crate::statement_grammar::fold;
use crate::syntax_walks::{walk, walk_mut};
use datafusion::common::{DFSchema, Result, TableReference};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableWithJoins, Value, Visitor, VisitorMut,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::mem;
use std::ops::ControlFlow;

/// Before the number of an item of FROM whose columns are asked for.
const MARK: &str = "columns@";
/// The call whose stars become names and values.
const STRUCT: &str = "named_struct";

/// The columns of items of FROM, by their number.
pub(crate) type Stars = BTreeMap<usize, Vec<(Option<TableReference>, String)>>;

/// What became of the stars of a query.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Whether all are written out. The rows of others are NULL, and the query is good for nothing but to find out.
    pub is_complete: bool,
    pub keys: StarKeys,
}

/// Writes out the stars of a query whose columns are known, and marks the items of FROM that the others are of.
pub(crate) fn settle(query: &mut Query, known: &Stars) -> Settled {
    let mut settler = Settler { known, scopes: Vec::new(), next: 0, is_settled: true, keys: StarKeys::default() };
    if matches!(walk(query, &mut Finder), ControlFlow::Break(())) {
        let _ = walk_mut(query, &mut settler);
    }
    Settled { is_complete: settler.is_settled, keys: settler.keys }
}

/// Finds a star that may have to be written out.
struct Finder;

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if has_keys_beside_star(query) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let is_star = |item: &SelectItem| matches!(item, SelectItem::QualifiedWildcard(..));
        if select.projection.iter().any(is_star) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if has_star(expression) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Whether an expression is a call with a star among its arguments.
fn has_star(expression: &Expr) -> bool {
    match expression {
        Expr::Function(Function { args: FunctionArguments::List(list), .. }) => {
            list.args.iter().any(|argument| starred(argument).is_some())
        }
        _ => false,
    }
}

/// The relation of an argument that is its star.
fn starred(argument: &FunctionArg) -> Option<&ObjectName> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(table)) => Some(table),
        _ => None,
    }
}

/// What a star stands for.
enum Columns {
    Known(Vec<Expr>),
    /// Planning will tell.
    Asked,
    /// No item of FROM has the name.
    Missing(Ident),
}

struct Settler<'a> {
    known: &'a Stars,
    scopes: Vec<Scope>,
    next: usize,
    is_settled: bool,
    keys: StarKeys,
}

/// A SELECT around the expression: what its FROM has, and which of these are asked for.
struct Scope {
    names: Vec<String>,
    asked: Vec<(String, usize)>,
}

impl VisitorMut for Settler<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let next = &mut self.next;
        self.keys.note(query, |select| mark_all(select, next));
        self.in_values(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let (mut names, mut asked) = (Vec::new(), Vec::new());
        for tables in &mut select.from {
            each_factor(tables, &mut |factor| {
                names.extend(name_of(factor));
                asked.extend(name_of(factor).zip(mark_of(factor)));
            });
        }
        self.scopes.push(Scope { names, asked });
        select.projection = mem::take(&mut select.projection).into_iter().flat_map(|item| self.item(item)).collect();
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let asked = self.scopes.pop().map(|scope| scope.asked).unwrap_or_default();
        for tables in select.from.iter_mut().filter(|_| !asked.is_empty()) {
            each_factor(tables, &mut |factor| {
                let name = name_of(factor);
                if let Some((_, number)) = asked.iter().find(|(known, _)| Some(known) == name.as_ref()) {
                    set_mark(factor, *number);
                }
            });
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        // A row of unknown columns beside others would be refused for their number.
        let is_open_list = match &*expression {
            Expr::InList { list, .. } => list.iter().any(|item| has_star(bare(item)) && self.arguments(item).is_none()),
            _ => false,
        };
        if is_open_list {
            *expression = null();
        }
        if has_star(expression) {
            match self.arguments(expression) {
                Some(arguments) => set_arguments(expression, arguments),
                None => *expression = null(),
            }
        }
        ControlFlow::Continue(())
    }
}

impl Settler<'_> {
    /// An item of a select list; the star of a SELECT further out is written out.
    fn item(&mut self, item: SelectItem) -> Vec<SelectItem> {
        let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), _) = &item else {
            return vec![item];
        };
        let is_own = match self.scopes.last() {
            Some(scope) => table.0.last().and_then(|part| part.as_ident()).is_some_and(|name| scope.has(&fold(name))),
            None => true,
        };
        if is_own || table.0.len() != 1 {
            return vec![item];
        }
        match self.columns(table) {
            Columns::Known(columns) => columns.into_iter().map(SelectItem::UnnamedExpr).collect(),
            Columns::Asked | Columns::Missing(_) => vec![item],
        }
    }

    fn in_values(&mut self, body: &mut SetExpr) {
        match body {
            SetExpr::Values(values) => {
                for row in values.rows.iter_mut().filter(|row| row.content.iter().any(has_star)) {
                    row.content = self.cells(&row.content).unwrap_or_else(|| vec![null()]);
                }
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.in_values(left);
                self.in_values(right);
            }
            _ => {}
        }
    }

    /// The values of a row of VALUES; `None` while some are not known.
    fn cells(&mut self, row: &[Expr]) -> Option<Vec<Expr>> {
        let mut cells = Vec::with_capacity(row.len());
        for cell in row {
            match cell {
                Expr::Function(function) if name_of_call(function) == COLUMNS => cells.extend(self.arguments(cell)?),
                other => cells.push(other.clone()),
            }
        }
        Some(cells)
    }

    /// The arguments of a call with its stars written out; `None` while their columns are not known.
    fn arguments(&mut self, call: &Expr) -> Option<Vec<Expr>> {
        let Expr::Function(function) = bare(call) else { return None };
        let FunctionArguments::List(list) = &function.args else { return None };
        let is_struct = name_of_call(function) == STRUCT;
        let mut arguments = Vec::new();
        for argument in &list.args {
            let columns = match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => vec![value.clone()],
                other => match self.columns(starred(other)?) {
                    Columns::Known(columns) => columns,
                    // The planner says that it is missing.
                    Columns::Missing(table) => vec![Expr::CompoundIdentifier(vec![table, Ident::new("*")])],
                    Columns::Asked => return None,
                },
            };
            arguments.extend(columns.into_iter().flat_map(|value| if is_struct { named(value) } else { vec![value] }));
        }
        Some(arguments)
    }

    /// The columns of the relation of that name in the nearest SELECT that has one.
    fn columns(&mut self, table: &ObjectName) -> Columns {
        let Some(ident) = table.0.last().and_then(|part| part.as_ident()) else { return Columns::Known(Vec::new()) };
        let name = fold(ident);
        let Some(scope) = self.scopes.iter_mut().rev().find(|scope| scope.has(&name)) else {
            return Columns::Missing(ident.clone());
        };
        let number = match scope.asked.iter().find(|(known, _)| *known == name) {
            Some((_, number)) => *number,
            None => {
                let number = self.next;
                self.next += 1;
                scope.asked.push((name, number));
                number
            }
        };
        match self.known.get(&number) {
            Some(columns) => {
                Columns::Known(columns.iter().map(|(table, column)| column_name(table.as_ref(), column)).collect())
            }
            None => {
                self.is_settled = false;
                Columns::Asked
            }
        }
    }
}

impl Scope {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

/// A column's name and its value.
fn named(column: Expr) -> Vec<Expr> {
    let name = match &column {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    let name = name.map(|name| shown_name(&name.value).to_string()).unwrap_or_default();
    vec![Expr::Value(Value::SingleQuotedString(name).into()), column]
}

fn name_of_call(function: &Function) -> String {
    function.name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default()
}

fn set_arguments(call: &mut Expr, arguments: Vec<Expr>) {
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = call {
        let unnamed = |value| FunctionArg::Unnamed(FunctionArgExpr::Expr(value));
        list.args = arguments.into_iter().map(unnamed).collect();
    }
}

// ---- items of FROM ----

fn each_factor(tables: &mut TableWithJoins, visit: &mut impl FnMut(&mut TableFactor)) {
    let joined = tables.joins.iter_mut().map(|join| &mut join.relation);
    for factor in std::iter::once(&mut tables.relation).chain(joined) {
        match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => each_factor(table_with_joins, visit),
            other => visit(other),
        }
    }
}

/// What an item of FROM is called.
fn name_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. }
        | TableFactor::NestedJoin { alias: Some(alias), .. } => Some(fold(&alias.name)),
        TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => {
            name.0.last().and_then(|part| part.as_ident()).map(fold)
        }
        TableFactor::UNNEST { .. } => Some("unnest".to_string()),
        _ => None,
    }
}

/// Marks all items of a FROM; what they are called, and their numbers.
fn mark_all(select: &mut Select, next: &mut usize) -> Vec<(String, usize)> {
    let mut marked = Vec::new();
    for tables in &mut select.from {
        each_factor(tables, &mut |factor| {
            let Some(name) = name_of(factor) else { return };
            let number = mark_of(factor).unwrap_or_else(|| {
                set_mark(factor, *next);
                *next += 1;
                *next - 1
            });
            marked.push((name, number));
        });
    }
    marked
}

/// Marks an item of FROM where the planner does not look.
fn set_mark(factor: &mut TableFactor, number: usize) {
    let mark = quoted(&format!("{MARK}{number}"));
    let name = name_of(factor).unwrap_or_default();
    let own = || TableAlias { explicit: true, name: quoted(&name), columns: Vec::new(), at: None };
    match factor {
        TableFactor::Table { args: None, partitions, .. } => *partitions = vec![mark],
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => alias.get_or_insert_with(own).at = Some(mark),
        _ => {}
    }
}

fn mark_of(factor: &TableFactor) -> Option<usize> {
    let mark = match factor {
        TableFactor::Table { partitions, .. } if !partitions.is_empty() => partitions.last(),
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => alias.as_ref().and_then(|alias| alias.at.as_ref()),
        _ => None,
    };
    mark?.value.strip_prefix(MARK)?.parse().ok()
}

fn take_mark(factor: &mut TableFactor) -> Option<usize> {
    let number = mark_of(factor)?;
    match factor {
        TableFactor::Table { partitions, .. } if !partitions.is_empty() => partitions.clear(),
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. }
        | TableFactor::NestedJoin { alias: Some(alias), .. } => alias.at = None,
        _ => {}
    }
    Some(number)
}

/// Notes what columns the marked items of FROM have.
#[derive(Debug, Default)]
pub(crate) struct StarPlanner {
    found: Mutex<Stars>,
}

impl StarPlanner {
    /// What was found since the last time.
    pub(crate) fn take(&self) -> Stars {
        mem::take(&mut *self.found.lock())
    }
}

impl RelationPlanner for StarPlanner {
    fn plan_relation(
        &self,
        mut relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let Some(number) = take_mark(&mut relation) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let plan = context.plan(relation)?;
        self.found.lock().insert(number, columns_of(plan.schema()));
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

fn columns_of(schema: &DFSchema) -> Vec<(Option<TableReference>, String)> {
    let visible = |name: &str| name != PART && name != ROW && !is_hidden(name);
    let columns = schema.iter().filter(|(_, field)| visible(field.name()));
    columns.map(|(table, field)| (table.cloned(), field.name().clone())).collect()
}
