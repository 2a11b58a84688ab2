//! Sets: functions that return many rows, in select lists and in FROM, as DataFusion has them.
//!
//! DataFusion knows one such function, `unnest` over lists, and a relation that names columns of another one beside it must
//! be a lateral subquery. The picture of what becomes what is at the head of `rewrite.rs`.

use super::exported;
use super::rewrite::{call, last_part, number, select_query, unqualify};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, SelectItem, TableAlias,
    TableAliasColumnDef, TableFactor, TableFunctionArgs, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// Functions that return sets, called in a select list: DataFusion has one such function, `unnest`, over lists.
pub(super) struct SetRewriter {
    /// How many subqueries the visitor is inside of; theirs are select lists of their own.
    pub depth: usize,
}

impl VisitorMut for SetRewriter {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Function(function) = expr
            && function.over.is_none()
        {
            let name = last_part(&function.name);
            let args = plain_arguments(&function.args);
            if name == "unnest" {
                // The list inside was made a set of its own before its parent was seen.
                if let Some([inner @ Expr::Function(inside)]) = args.as_deref()
                    && last_part(&inside.name) == "unnest"
                {
                    *expr = inner.clone();
                }
            } else if let Some(list) = args.and_then(|args| set_as_list(&name, args)) {
                *expr = call("unnest", vec![list]);
            }
        }
        ControlFlow::Continue(())
    }
}

pub(super) fn plain_arguments(arguments: &FunctionArguments) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = arguments else { return None };
    let plain = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().map(plain).collect()
}

/// The list whose items a set-returning function gives.
fn set_as_list(name: &str, args: Vec<Expr>) -> Option<Expr> {
    match name {
        "generate_series" => Some(call("generate_series", args)),
        "generate_subscripts" => {
            let mut args = args.into_iter();
            let array = args.next()?;
            let dimension = args.next().unwrap_or_else(|| number(1));
            Some(call("generate_series", vec![number(1), call("array_length", vec![array, dimension])]))
        }
        "_pg_expandarray" => Some(call("_pg_expandarray", args)),
        "unnest" => args.into_iter().next(),
        _ => None,
    }
}

pub(super) fn contains_set(expr: &Expr) -> bool {
    let mut found = false;
    let _ = datafusion::sql::sqlparser::ast::visit_expressions(expr, |inner| {
        if let Expr::Function(function) = inner {
            let name = last_part(&function.name);
            found |= ["unnest", "generate_series", "generate_subscripts", "_pg_expandarray"].contains(&name.as_str());
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

fn mentions_column(args: &[Expr]) -> bool {
    let mut found = false;
    for arg in args {
        let _ = datafusion::sql::sqlparser::ast::visit_expressions(arg, |inner| {
            found |= matches!(inner, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
            ControlFlow::<()>::Continue(())
        });
    }
    found
}

/// A function in FROM. `lateral_allowed`: there is a relation before it whose columns it may name.
pub(super) fn rewrite_factor(factor: &mut TableFactor, lateral_allowed: bool) {
    let taken = match factor {
        TableFactor::Table { name, args: Some(TableFunctionArgs { args, .. }), alias, with_ordinality, .. } => {
            unnamed(args).map(|args| (last_part(name), args, alias.take(), *with_ordinality))
        }
        TableFactor::Function { name, args, alias, with_ordinality, .. } => {
            unnamed(args).map(|args| (last_part(name), args, alias.take(), *with_ordinality))
        }
        TableFactor::UNNEST { array_exprs, alias, with_ordinality, with_offset: false, .. } => {
            Some(("unnest".to_string(), array_exprs.clone(), alias.take(), *with_ordinality))
        }
        _ => None,
    };
    let Some((name, args, alias, ordinality)) = taken else { return };
    if let Some(replacement) = set_factor(&name, &args, alias.clone(), ordinality, lateral_allowed) {
        *factor = replacement;
        return;
    }
    match factor {
        TableFactor::Table { name, alias: slot, .. } | TableFactor::Function { name, alias: slot, .. } => {
            unqualify(name);
            *slot = alias;
        }
        TableFactor::UNNEST { alias: slot, .. } => *slot = alias,
        _ => {}
    }
}

fn unnamed(args: &[FunctionArg]) -> Option<Vec<Expr>> {
    let plain = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    args.iter().map(plain).collect()
}

fn set_factor(
    name: &str,
    args: &[Expr],
    alias: Option<TableAlias>,
    ordinality: bool,
    lateral_allowed: bool,
) -> Option<TableFactor> {
    if let Some(relation) = set_relation(name) {
        return Some(plain_table(relation, set_alias(name, alias, exported::is_single_column_set(relation), false)));
    }
    let lateral = lateral_allowed && mentions_column(args);
    let lists: Vec<Expr> = match name {
        "unnest" => args.to_vec(),
        // With constants this is DataFusion's own table function, which also knows dates.
        "generate_series" if !ordinality && !mentions_column(args) => {
            let alias = set_alias(name, alias, true, false);
            return Some(table_function(name, args, alias));
        }
        "generate_series" | "generate_subscripts" | "_pg_expandarray" => vec![set_as_list(name, args.to_vec())?],
        _ if is_scalar_function(name) => {
            let item = SelectItem::UnnamedExpr(call(name, args.to_vec()));
            let subquery = Box::new(select_query(vec![item], None));
            let alias = set_alias(name, alias, true, false);
            return Some(TableFactor::Derived { lateral, subquery, alias, sample: None });
        }
        _ => return None,
    };
    let mut items: Vec<SelectItem> = Vec::new();
    for (position, list) in lists.iter().enumerate() {
        let expr = call("unnest", vec![list.clone()]);
        items.push(SelectItem::ExprWithAlias { expr, alias: Ident::new(format!("item_{position}")) });
    }
    if ordinality {
        let count = call("cardinality", vec![lists.first()?.clone()]);
        let expr = call("unnest", vec![call("generate_series", vec![number(1), count])]);
        items.push(SelectItem::ExprWithAlias { expr, alias: Ident::new("ordinality") });
    }
    let subquery = Box::new(select_query(items, None));
    let alias = set_alias(name, alias, lists.len() == 1, ordinality);
    Some(TableFactor::Derived { lateral, subquery, alias, sample: None })
}

/// A set of one column names it like its alias, or else like the function.
fn set_alias(name: &str, alias: Option<TableAlias>, single: bool, ordinality: bool) -> Option<TableAlias> {
    let mut alias =
        alias.unwrap_or_else(|| TableAlias { explicit: true, name: Ident::new(name), columns: Vec::new(), at: None });
    let column = |ident: Ident| TableAliasColumnDef { name: ident, data_type: None };
    if single && alias.columns.is_empty() {
        alias.columns.push(column(alias.name.clone()));
    }
    if ordinality && alias.columns.len() == 1 {
        alias.columns.push(column(Ident::new("ordinality")));
    }
    Some(alias)
}

/// The relation that holds a function's whole set.
fn set_relation(name: &str) -> Option<&'static str> {
    match name {
        "pg_show_all_settings" => Some("pg_settings"),
        "pg_cursor" => Some("pg_cursors"),
        "pg_prepared_statement" => Some("pg_prepared_statements"),
        "pg_lock_status" => Some("pg_locks"),
        "pg_stat_get_activity" => Some("pg_stat_activity"),
        "pg_timezone_names" => Some("pg_timezone_names"),
        "pg_timezone_abbrevs" => Some("pg_timezone_abbrevs"),
        "pg_available_extensions" => Some("pg_available_extensions"),
        "pg_available_extension_versions" => Some("pg_available_extension_versions"),
        other => exported::function_set(other),
    }
}

fn plain_table(relation: &str, alias: Option<TableAlias>) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(vec![Ident::new("pg_catalog"), Ident::new(relation)]),
        alias,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

fn table_function(name: &str, args: &[Expr], alias: Option<TableAlias>) -> TableFactor {
    let args = args.iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg.clone()))).collect();
    let TableFactor::Table { with_hints, version, partitions, json_path, sample, index_hints, .. } =
        plain_table(name, None)
    else {
        unreachable!("a plain table was just made");
    };
    TableFactor::Table {
        name: ObjectName::from(vec![Ident::with_span(Span::empty(), name)]),
        alias,
        args: Some(TableFunctionArgs { args, settings: None }),
        with_hints,
        version,
        with_ordinality: false,
        partitions,
        json_path,
        sample,
        index_hints,
    }
}

/// A function that PostgreSQL knows and that returns one value: in FROM it is a relation of one row.
fn is_scalar_function(name: &str) -> bool {
    let all = exported::functions_by_name(name);
    let scalar = |oid: &i64| exported::function_by_oid(*oid).is_some_and(|row| !row.returns_set && row.kind == "f");
    !all.is_empty() && all.iter().all(scalar)
}
