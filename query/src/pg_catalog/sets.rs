//! Sets: functions that return many rows, in select lists and in FROM, as DataFusion has them.
//!
//! DataFusion knows one such function, `unnest` over lists. Every other one is a function that returns the list of its rows, under
//! the same name, and is unnested where it is called; `unnest` itself takes arrays of more dimensions apart. A relation that names
//! columns of another one beside it must be a lateral subquery. The picture of what becomes what is at the head of `rewrite.rs`.

use super::exported;
use super::json_sets;
use super::rewrite::{call, last_part, select_query, unqualify};
use crate::functions::arrays::ITEMS;
use crate::functions::concatenation::ADDED_RECORD;
use crate::functions::series::GENERATE_SERIES;
use crate::functions::values::ORDINALS;
use crate::operators::sites::call_quoted;
use crate::output_names::numbered_name;
use crate::returning::table_factor;
use crate::standard_spellings::ROWS_FROM;
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_expressions;
use datafusion::sql::sqlparser::ast::{
    Array, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, SelectItem, TableAlias,
    TableAliasColumnDef, TableFactor, TableFunctionArgs, Value, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// The functions that return the list of their rows. All of them but the last are PostgreSQL's sets.
const SETS: [&str; 6] = [
    GENERATE_SERIES,
    "generate_subscripts",
    "string_to_table",
    "regexp_matches",
    "regexp_split_to_table",
    "_pg_expandarray",
];

/// Whether a function returns a set, of values or of members.
pub(crate) fn returns_set(name: &str) -> bool {
    is_set(name) || json_sets::has_members(name)
}

pub(super) fn is_set(name: &str) -> bool {
    name == "unnest" || SETS.contains(&name) || json_sets::is_list(name)
}

/// Functions that return sets, called in a select list.
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
            if let Some(args) = args.as_ref().filter(|_| json_sets::has_members(&name)) {
                let lists = json_sets::member_lists(&name, args).into_iter();
                *expr = call_quoted(ADDED_RECORD, lists.map(|list| call("unnest", vec![list])).collect());
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
fn set_as_list(name: &str, mut args: Vec<Expr>) -> Option<Expr> {
    match (name, args.as_slice()) {
        ("unnest", [_]) => Some(items_of(args.remove(0))),
        _ if SETS.contains(&name) || json_sets::is_list(name) => Some(call(name, args)),
        _ => None,
    }
}

/// The items of all dimensions. A set inside was made one before its parent was seen; its list is what is meant.
fn items_of(array: Expr) -> Expr {
    let array = match array {
        Expr::Function(inside) if last_part(&inside.name) == "unnest" => {
            let list = plain_arguments(&inside.args).and_then(|args| args.into_iter().next());
            list.unwrap_or(Expr::Function(inside))
        }
        other => other,
    };
    call(ITEMS, vec![array])
}

pub(super) fn contains_set(expr: &Expr) -> bool {
    let mut found = false;
    let _ = walk_expressions(expr, |inner| {
        if let Expr::Function(function) = inner {
            found |= returns_set(&last_part(&function.name));
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

/// Whether arguments are made of literals by operators and casts alone, so that they have one value that planning may compute.
fn is_constant(args: &[Expr]) -> bool {
    args.iter().all(|arg| match arg {
        Expr::Value(value) => !matches!(value.value, Value::Placeholder(_)),
        Expr::TypedString(_) | Expr::Interval(_) => true,
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } | Expr::UnaryOp { expr: inner, .. } => {
            is_constant(std::slice::from_ref(inner))
        }
        Expr::BinaryOp { left, right, .. } => {
            is_constant(std::slice::from_ref(left)) && is_constant(std::slice::from_ref(right))
        }
        _ => false,
    })
}

fn mentions_column(args: &[Expr]) -> bool {
    let mut found = false;
    for arg in args {
        let _ = walk_expressions(arg, |inner| {
            found |= matches!(inner, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
            ControlFlow::<()>::Continue(())
        });
    }
    found
}

/// A function in FROM. `lateral_allowed`: there is a relation before it whose columns it may name.
pub(super) fn rewrite_factor(factor: &mut TableFactor, lateral_allowed: bool) {
    if let TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } = factor
        && is_of_user_schema(name)
    {
        // The planner says of the whole name that nothing has it.
        let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
        *name = ObjectName::from(vec![Ident::new(parts.join("."))]);
        return;
    }
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

/// Whether a function is looked for in a schema in which there are none.
fn is_of_user_schema(name: &ObjectName) -> bool {
    let schema = name.0.len().checked_sub(2).and_then(|place| name.0[place].as_ident()).map(fold);
    schema.is_some_and(|schema| schema != "pg_catalog" && schema != "information_schema")
}

/// What a FROM item is called and what its column is, where it is a function that gives values and no records: there the
/// item's name means the value.
pub(crate) fn value_column(factor: &TableFactor) -> Option<[Ident; 2]> {
    let (name, args, alias) = match factor {
        TableFactor::Table {
            name, args: Some(TableFunctionArgs { args, .. }), alias, with_ordinality: false, ..
        } => (last_part(name), unnamed(args)?, alias),
        TableFactor::Function { name, args, alias, with_ordinality: false, .. } => {
            (last_part(name), unnamed(args)?, alias)
        }
        TableFactor::UNNEST { array_exprs, alias, with_ordinality: false, with_offset: false, .. } => {
            ("unnest".to_string(), array_exprs.clone(), alias)
        }
        _ => return None,
    };
    let name = value_function(&name, &args)?;
    let alias = set_alias(&name, alias.clone(), true, false)?;
    let column = alias.columns.into_iter().next().filter(|column| column.data_type.is_none())?;
    Some([alias.name, column.name])
}

/// The function whose values a call in FROM gives, if it gives values and no records.
fn value_function(name: &str, args: &[Expr]) -> Option<String> {
    let gives_values = match (name, args) {
        (ROWS_FROM, [Expr::Function(only)]) => {
            return value_function(&last_part(&only.name), &plain_arguments(&only.args)?);
        }
        (ROWS_FROM | "_pg_expandarray", _) => false,
        ("unnest", _) => args.len() == 1,
        _ if is_set(name) => true,
        _ => match set_relation(name) {
            Some(relation) => exported::is_single_column_set(relation),
            None => is_scalar_function(name) && !may_give_records(name),
        },
    };
    gives_values.then(|| name.to_string())
}

/// Whether a function of a name returns a record, or what its arguments are.
fn may_give_records(name: &str) -> bool {
    const RECORD: i64 = 2249;
    const ANYELEMENT: i64 = 2283;
    let mut all = exported::functions_by_name(name).iter().filter_map(|oid| exported::function_by_oid(*oid));
    all.any(|row| matches!(row.result, RECORD | ANYELEMENT))
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
    // With constants this is a table, whose rows are made while they are read.
    if name == GENERATE_SERIES && !ordinality && is_constant(args) {
        return Some(table_function(name, args, set_alias(name, alias, true, false)));
    }
    if !ordinality && !is_set(name) && !json_sets::has_members(name) && is_scalar_function(name) {
        let item = SelectItem::UnnamedExpr(call(name, args.to_vec()));
        let subquery = Box::new(select_query(vec![item], None));
        let alias = set_alias(name, alias, true, ordinality);
        return Some(TableFactor::Derived { lateral, subquery, alias, sample: None });
    }
    let columns = columns_of(name, args)?;
    let subquery = Box::new(side_by_side(&columns, ordinality));
    let alias = match (columns.as_slice(), args) {
        ([_], [Expr::Function(only)]) if name == ROWS_FROM => {
            set_alias(&last_part(&only.name), alias, true, ordinality)
        }
        ([_], _) => set_alias(name, alias, true, ordinality),
        _ if json_sets::has_members(name) => set_alias(name, alias, false, ordinality),
        _ => alias.map(|alias| completed(alias, &columns, ordinality)),
    };
    let alias = alias.or_else(|| Some(bare_alias(name)));
    Some(TableFactor::Derived { lateral, subquery, alias, sample: None })
}

/// The columns of a set: their names, and the lists of their values.
fn columns_of(name: &str, args: &[Expr]) -> Option<Vec<(String, Expr)>> {
    if name == ROWS_FROM {
        let columns = args.iter().map(|function| match function {
            Expr::Function(function) => columns_of(&last_part(&function.name), &plain_arguments(&function.args)?),
            _ => None,
        });
        return columns.collect::<Option<Vec<_>>>().map(|columns| columns.concat());
    }
    let lists: Vec<Expr> = match name {
        "unnest" => args.iter().cloned().map(items_of).collect(),
        _ if is_set(name) => vec![set_as_list(name, args.to_vec())?],
        _ if json_sets::has_members(name) => json_sets::member_lists(name, args),
        // One value is one row.
        _ if is_scalar_function(name) => {
            vec![Expr::Array(Array { elem: vec![call(name, args.to_vec())], named: true })]
        }
        _ => return None,
    };
    let own = json_sets::own_columns(name);
    let names = (0..lists.len()).map(|index| own.get(index).map_or(name, |own| *own).to_string());
    Some(names.zip(lists).collect())
}

/// Lists as the columns of one query, which has as many rows as the longest of them.
fn side_by_side(columns: &[(String, Expr)], ordinality: bool) -> Query {
    let mut items: Vec<SelectItem> = Vec::new();
    for (position, (name, list)) in columns.iter().enumerate() {
        let expr = call("unnest", vec![list.clone()]);
        let number = columns[..=position].iter().filter(|(known, _)| known == name).count();
        items.push(SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', numbered_name(name, number)) });
    }
    if ordinality {
        let lists = columns.iter().map(|(_, list)| list.clone()).collect();
        let expr = call("unnest", vec![call(ORDINALS, lists)]);
        items.push(SelectItem::ExprWithAlias { expr, alias: Ident::new("ordinality") });
    }
    select_query(items, None)
}

/// The names of columns that an alias leaves out, where it names some.
fn completed(mut alias: TableAlias, columns: &[(String, Expr)], ordinality: bool) -> TableAlias {
    let column = |ident: Ident| TableAliasColumnDef { name: ident, data_type: None };
    if alias.columns.is_empty() {
        return alias;
    }
    let given: Vec<String> = alias.columns.iter().map(|column| fold(&column.name)).collect();
    for (position, (name, _)) in columns.iter().enumerate().skip(given.len()) {
        let left_out = columns[given.len()..=position].iter().map(|(known, _)| known);
        let number = given.iter().chain(left_out).filter(|known| *known == name).count();
        alias.columns.push(column(Ident::with_quote('"', numbered_name(name, number))));
    }
    if ordinality && alias.columns.len() == columns.len() {
        alias.columns.push(column(Ident::new("ordinality")));
    }
    alias
}

fn bare_alias(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: Ident::new(name), columns: Vec::new(), at: None }
}

/// A set of one column names it like its alias, or else like the function.
fn set_alias(name: &str, alias: Option<TableAlias>, single: bool, ordinality: bool) -> Option<TableAlias> {
    let mut alias = alias.unwrap_or_else(|| bare_alias(name));
    let column = |ident: Ident| TableAliasColumnDef { name: ident, data_type: None };
    let own = json_sets::own_columns(name);
    let named = alias.columns.len();
    alias.columns.extend(own.iter().skip(named).map(|name| column(Ident::new(*name))));
    if single && alias.columns.is_empty() {
        alias.columns.push(column(alias.name.clone()));
    }
    if ordinality && alias.columns.len() == own.len().max(1) {
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
    table_factor(ObjectName::from(vec![Ident::new("pg_catalog"), Ident::new(relation)]), alias)
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
