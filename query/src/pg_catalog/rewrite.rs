//! Catalog SQL that DataFusion's front end cannot read, said in words that it can.
//!
//! PostgreSQL's clients qualify everything (`pg_catalog.lower(x)`, `OPERATOR(pg_catalog.~)`, `::pg_catalog.text`), cast names to OIDs
//! and back, and call sets in odd places. Each of these has one general rule here that looks at the shape of the syntax
//! tree and never at the text of a known query, so that a new client version is no special case:
//!
//!     pg_catalog.f(x)                     f(x)
//!     a OPERATOR(pg_catalog.~) b          a ~ b
//!     x COLLATE pg_catalog.default        x
//!     'sales'::regclass, x::oid, x::name  regclass('sales'), oid(x), name(x): functions of `functions/`
//!     x LIKE p ESCAPE '/'                 x LIKE like_escape(p, '/')
//!     x = ANY ('{r,p}')                   x = ANY (ARRAY['r', 'p'])
//!     array(SELECT e FROM … ORDER BY o)   array_or_empty((SELECT array_agg(e ORDER BY o) FROM …))
//!     generate_subscripts(a, 1)           unnest(generate_subscripts(a, 1)), in a select list
//!     FROM unnest(t.a) WITH ORDINALITY u  FROM LATERAL (SELECT unnest(items), unnest(ordinals)) u(u, ordinality)
//!     FROM current_schemas(true) AS s     FROM (SELECT current_schemas(true)) AS s(s)
//!     FROM pg_get_keywords()              FROM pg_catalog.pg_get_keywords
//!     c.tableoid                          the OID of the catalog relation that `c` is
//!
//! What needs types to be decided is done on plans: `registered_names.rs`.

use super::exported;
use super::json_sets;
use super::sets::{SetRewriter, contains_set, plain_arguments, rewrite_factor};
use crate::standard_spellings::trees::bare;
use crate::statement_grammar::fold;
use crate::subqueries::ARRAY_OF_ROWS;
use crate::syntax_walks::{walk_expressions, walk_mut};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DataType, Distinct, DuplicateTreatment, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, OrderByExpr, OrderByKind, Query, Select, SelectFlavor, SelectItem, SetExpr, Statement, TableAlias,
    TableAliasColumnDef, TableFactor, TableWithJoins, Value, ValueWithSpan, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::ops::ControlFlow;

/// Rewrites a statement in place. A statement without any of these constructs stays as it is.
pub fn rewrite(statement: &mut Statement) {
    let _ = walk_mut(statement, &mut Rewriter);
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        name_table_oids(select);
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                let _ = walk_mut(expr, &mut SetRewriter { depth: 0 });
            }
        }
        for (position, tables) in select.from.iter_mut().enumerate() {
            rewrite_tables(tables, position > 0);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let taken = std::mem::replace(expr, Expr::Value(Value::Null.into()));
        *expr = rewrite_expr(taken);
        ControlFlow::Continue(())
    }
}

/// The functions of a FROM item, also in joins in parentheses.
fn rewrite_tables(tables: &mut TableWithJoins, lateral_allowed: bool) {
    let rewrite = |factor: &mut TableFactor, lateral_allowed: bool| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => rewrite_tables(table_with_joins, lateral_allowed),
        other => rewrite_factor(other, lateral_allowed),
    };
    rewrite(&mut tables.relation, lateral_allowed);
    for join in &mut tables.joins {
        rewrite(&mut join.relation, true);
    }
}

fn rewrite_expr(expr: Expr) -> Expr {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::PGCustomBinaryOperator(name), right } => {
            Expr::BinaryOp { left, op: plain_operator(name), right }
        }
        Expr::Function(function) => rewrite_function(function),
        Expr::Cast { kind: kind @ (CastKind::Cast | CastKind::DoubleColon), expr, data_type, array: false, format } => {
            rewrite_cast(kind, expr, data_type, format)
        }
        Expr::Like { negated, any, expr, pattern, escape_char: Some(escape) } => {
            let pattern = Box::new(call("like_escape", vec![*pattern, Expr::Value(escape)]));
            Expr::Like { negated, any, expr, pattern, escape_char: None }
        }
        Expr::ILike { negated, any, expr, pattern, escape_char: Some(escape) } => {
            let pattern = Box::new(call("like_escape", vec![*pattern, Expr::Value(escape)]));
            Expr::ILike { negated, any, expr, pattern, escape_char: None }
        }
        Expr::Identifier(ident) if is_bare_function(&ident) => call(&ident.value.to_ascii_lowercase(), Vec::new()),
        Expr::CompoundFieldAccess { root, access_chain } => rewrite_access(*root, access_chain),
        other => other,
    }
}

/// What PostgreSQL calls without parentheses and sqlparser reads as a column.
fn is_bare_function(ident: &Ident) -> bool {
    let bare = ["current_schema", "current_role", "current_catalog", "current_user", "session_user"];
    ident.quote_style.is_none() && bare.iter().any(|name| ident.value.eq_ignore_ascii_case(name))
}

/// The operator that stands in `OPERATOR(schema.operator)`, whatever the schema.
pub(crate) fn plain_operator(name: Vec<String>) -> BinaryOperator {
    match name.last().map_or("", String::as_str) {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "@>" => BinaryOperator::AtArrow,
        "<@" => BinaryOperator::ArrowAt,
        "&&" => BinaryOperator::PGOverlap,
        "^@" => BinaryOperator::PGStartsWith,
        _ => BinaryOperator::PGCustomBinaryOperator(name),
    }
}

/// Text is compared by its bytes, which is what these collations say; any other one would be a promise that is not kept.
pub(crate) fn is_known_collation(collation: &ObjectName) -> bool {
    ["default", "c", "posix", "ucs_basic", "c.utf8", "c.utf-8"].contains(&last_part(collation).to_lowercase().as_str())
}

/// The last part of a qualified name, folded where it is not quoted.
pub(super) fn last_part(name: &ObjectName) -> String {
    match name.0.last() {
        Some(ObjectNamePart::Identifier(ident)) => fold(ident),
        _ => String::new(),
    }
}

/// Whether all parts before the last say `pg_catalog` or `information_schema`.
pub(super) fn is_catalog_qualified(name: &ObjectName) -> bool {
    let schema = name.0.len().checked_sub(2).and_then(|at| name.0[at].as_ident());
    schema.is_some_and(|ident| matches!(fold(ident).as_str(), "pg_catalog" | "information_schema"))
}

/// Takes the schema away from a name of the catalog.
pub(crate) fn unqualify(name: &mut ObjectName) {
    if is_catalog_qualified(name) {
        name.0.drain(..name.0.len() - 1);
    }
}

fn arguments(args: Vec<Expr>) -> FunctionArguments {
    let unnamed = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    FunctionArguments::List(FunctionArgumentList {
        duplicate_treatment: None,
        args: args.into_iter().map(unnamed).collect(),
        clauses: Vec::new(),
    })
}

/// `name(args…)`. The name is quoted, so that it is looked up as it is written.
pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: arguments(args),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

pub(super) fn number(value: i64) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

fn rewrite_function(mut function: Function) -> Expr {
    unqualify(&mut function.name);
    if let FunctionArguments::Subquery(_) = function.args
        && last_part(&function.name) == "array"
    {
        let FunctionArguments::Subquery(query) = std::mem::replace(&mut function.args, FunctionArguments::None) else {
            unreachable!("the arguments were just seen to be a subquery");
        };
        return call("array_or_empty", vec![Expr::Subquery(Box::new(aggregate_rows(*query)))]);
    }
    // `current_user` and its like: the same function with and without parentheses.
    if function.args == FunctionArguments::None {
        function.args = arguments(Vec::new());
    }
    Expr::Function(function)
}

/// The query whose one row is the array of all rows of `query`, which has one column.
fn aggregate_rows(mut query: Query) -> Query {
    let simple = query.with.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    if simple
        && let SetExpr::Select(select) = query.body.as_mut()
        && let [output @ (SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. })] =
            select.projection.as_slice()
        && is_plain_select(select)
        && !contains_set(item)
        && !contains_aggregate(item)
    {
        let (item, output) = (item.clone(), output.clone());
        let order = match query.order_by.take().map(|order| order.kind) {
            Some(OrderByKind::Expressions(order)) => order.into_iter().map(|key| by_output(key, &output)).collect(),
            _ => Vec::new(),
        };
        // DISTINCT can only be ordered by its item, whatever name that has.
        let distinct = select.distinct.take().is_some();
        let order = if distinct {
            order.into_iter().map(|key| OrderByExpr { expr: item.clone(), ..key }).collect()
        } else {
            order
        };
        select.projection = vec![SelectItem::UnnamedExpr(array_agg(item, order, distinct))];
        return query;
    }
    let alias = TableAlias {
        explicit: true,
        name: Ident::new("array_rows"),
        columns: vec![TableAliasColumnDef::from_name("array_item")],
        at: None,
    };
    let from = TableFactor::Derived { lateral: false, subquery: Box::new(query), alias: Some(alias), sample: None };
    let item = Expr::CompoundIdentifier(vec![Ident::new("array_rows"), Ident::new("array_item")]);
    select_query(vec![SelectItem::UnnamedExpr(array_agg(item, Vec::new(), false))], Some(from))
}

fn is_plain_select(select: &Select) -> bool {
    let grouped = match &select.group_by {
        datafusion::sql::sqlparser::ast::GroupByExpr::Expressions(keys, _) => !keys.is_empty(),
        datafusion::sql::sqlparser::ast::GroupByExpr::All(_) => true,
    };
    let plain = matches!(select.distinct, None | Some(Distinct::Distinct));
    plain && !grouped && select.having.is_none()
}

/// Whether an expression calls an aggregate or a window function.
pub(crate) fn contains_aggregate(expr: &Expr) -> bool {
    let is_one = |function: &Function| {
        let oids = exported::functions_by_name(&last_part(&function.name));
        let aggregate = |oid: &i64| exported::function_by_oid(*oid).is_some_and(|row| row.kind == "a");
        function.over.is_some() || oids.iter().any(aggregate)
    };
    let mut found = false;
    let _ = walk_expressions(expr, |inner| {
        found |= matches!(inner, Expr::Function(function) if is_one(function));
        ControlFlow::<()>::Continue(())
    });
    found
}

/// `ORDER BY 1` means the item itself, and so does its name.
fn by_output(mut key: OrderByExpr, output: &SelectItem) -> OrderByExpr {
    let (value, name) = match output {
        SelectItem::ExprWithAlias { expr, alias } => (expr, Some(fold(alias))),
        SelectItem::UnnamedExpr(expr) => (expr, None),
        _ => return key,
    };
    let is_meant = match bare(&key.expr) {
        Expr::Value(ValueWithSpan { value: Value::Number(position, _), .. }) => position == "1",
        Expr::Identifier(called) => name == Some(fold(called)),
        _ => false,
    };
    if is_meant {
        key.expr = value.clone();
    }
    key
}

fn array_agg(item: Expr, order: Vec<OrderByExpr>, distinct: bool) -> Expr {
    let mut aggregate = call(ARRAY_OF_ROWS, vec![item]);
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut aggregate {
        list.duplicate_treatment = distinct.then_some(DuplicateTreatment::Distinct);
        if !order.is_empty() {
            list.clauses.push(FunctionArgumentClause::OrderBy(order));
        }
    }
    aggregate
}

/// `SELECT items FROM from`.
pub(crate) fn select_query(items: Vec<SelectItem>, from: Option<TableFactor>) -> Query {
    use datafusion::sql::sqlparser::ast::GroupByExpr;
    let select = Select {
        select_token: datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: items,
        exclude: None,
        into: None,
        from: from.into_iter().map(|relation| TableWithJoins { relation, joins: Vec::new() }).collect(),
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    };
    Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// The name of a type, `"char"` in its quotes, and how many dimensions of `[]` follow it.
fn type_name(data_type: &DataType) -> Option<(String, usize)> {
    use datafusion::sql::sqlparser::ast::ArrayElemTypeDef;
    match data_type {
        DataType::Custom(name, modifiers) if modifiers.is_empty() => {
            let quoted =
                name.0.last().and_then(ObjectNamePart::as_ident).is_some_and(|ident| ident.quote_style.is_some());
            let last = last_part(name);
            Some((if quoted && last == "char" { "\"char\"".to_string() } else { last }, 0))
        }
        DataType::Regclass => Some(("regclass".to_string(), 0)),
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => {
            type_name(element).map(|(name, dimensions)| (name, dimensions + 1))
        }
        _ => None,
    }
}

fn rewrite_cast(
    kind: CastKind,
    expr: Box<Expr>,
    data_type: DataType,
    format: Option<datafusion::sql::sqlparser::ast::CastFormat>,
) -> Expr {
    let cast = |expr: Box<Expr>, data_type: DataType| Expr::Cast {
        kind: kind.clone(),
        expr,
        data_type,
        array: false,
        format: format.clone(),
    };
    let integer =
        matches!(data_type, DataType::BigInt(_) | DataType::Int8(_) | DataType::Integer(_) | DataType::Int4(_));
    if integer && is_registered_call(&expr) {
        return cast(Box::new(call("oid", vec![*expr])), data_type);
    }
    let Some((name, dimensions)) = type_name(&data_type) else { return cast(expr, data_type) };
    // A parameter gets its type from what it is cast to; a function's argument would leave it unknown.
    let argument = |parameter_type: DataType| match is_parameter(&expr) {
        true => cast(expr.clone(), parameter_type),
        false => *expr.clone(),
    };
    match (name.as_str(), dimensions) {
        ("regclass" | "regtype" | "regproc" | "regprocedure" | "regnamespace" | "regrole" | "regoper", 0) => {
            call(&name, vec![argument(DataType::Text)])
        }
        ("regcollation" | "regconfig" | "regdictionary" | "regoperator", 0) => {
            call("oid", vec![argument(DataType::Text)])
        }
        ("oid" | "xid" | "cid", 0) => call("oid", vec![argument(DataType::BigInt(None))]),
        ("name" | "sql_identifier", 0) => call("name", vec![argument(DataType::Text)]),
        ("\"char\"", 0) => call("char", vec![argument(DataType::Text)]),
        ("regtype", 1) => call("regtypes", vec![*expr]),
        // A parameter is told to the client as what it is cast to; in plans such arrays are of numbers.
        ("oid", 1) if is_parameter(&expr) => cast(expr, data_type),
        ("regclass" | "regproc" | "regnamespace", 1) if !is_parameter(&expr) => {
            call(&format!("{name}_items"), vec![*expr])
        }
        ("oid" | "oidvector" | "xid" | "regclass" | "regproc", 0 | 1) => cast(expr, array_of(DataType::BigInt(None))),
        ("int2vector", 0) => cast(expr, array_of(DataType::SmallInt(None))),
        ("name" | "\"char\"" | "aclitem", 1) => cast(expr, array_of(DataType::Text)),
        ("cardinal_number", 0) => cast(expr, DataType::Integer(None)),
        ("character_data" | "yes_or_no" | "pg_node_tree" | "aclitem" | "unknown" | "cstring" | "jsonpath", 0) => {
            cast(expr, DataType::Text)
        }
        _ => match builtin_type(&data_type) {
            Some(plain) => cast(expr, plain),
            None => cast(expr, data_type),
        },
    }
}

fn is_parameter(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. }))
}

/// An OID alias is a number already, so a cast to one would be dropped and the name would show.
fn is_registered_call(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if last_part(&function.name).starts_with("reg"))
}

fn array_of(element: DataType) -> DataType {
    use datafusion::sql::sqlparser::ast::ArrayElemTypeDef;
    DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(element), None))
}

/// `pg_catalog.int2` is `int2`, and `"text"` is `text`: the same types without qualification and quotes.
fn builtin_type(data_type: &DataType) -> Option<DataType> {
    use datafusion::sql::sqlparser::ast::ArrayElemTypeDef;
    match data_type {
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, length)) => {
            let element = Box::new(builtin_type(element)?);
            Some(DataType::Array(ArrayElemTypeDef::SquareBracket(element, *length)))
        }
        DataType::Custom(name, modifiers) => {
            let last = last_part(name);
            exported::type_by_name(&last)?;
            let modifiers = if modifiers.is_empty() { String::new() } else { format!("({})", modifiers.join(",")) };
            let dialect = PostgreSqlDialect {};
            Parser::new(&dialect).try_with_sql(&format!("{last}{modifiers}")).ok()?.parse_data_type().ok()
        }
        _ => None,
    }
}

/// `(x).field` of a composite: DataFusion reads `get_field`.
fn rewrite_access(root: Expr, access_chain: Vec<AccessExpr>) -> Expr {
    let is_column = matches!(root, Expr::Identifier(_));
    let all_fields = access_chain.iter().all(|access| matches!(access, AccessExpr::Dot(Expr::Identifier(_))));
    if is_column || !all_fields {
        return Expr::CompoundFieldAccess { root: Box::new(root), access_chain };
    }
    let root = if let Expr::Nested(inner) = root { *inner } else { root };
    if let (Expr::Function(function), [AccessExpr::Dot(Expr::Identifier(field))]) = (&root, access_chain.as_slice())
        && let Some(args) = plain_arguments(&function.args)
        && let Some(list) = json_sets::member_list(&last_part(&function.name), &fold(field), args)
    {
        return call("unnest", vec![list]);
    }
    access_chain.into_iter().fold(root, |value, access| match access {
        AccessExpr::Dot(Expr::Identifier(field)) => {
            call("get_field", vec![value, Expr::Value(Value::SingleQuotedString(fold(&field)).into())])
        }
        _ => value,
    })
}

/// `tableoid` of a catalog relation: the OID of the relation, the same for all rows.
fn name_table_oids(select: &mut Select) {
    let factors = select
        .from
        .iter()
        .flat_map(|tables| std::iter::once(&tables.relation).chain(tables.joins.iter().map(|join| &join.relation)));
    let mut known: Vec<(String, i64)> = Vec::new();
    for factor in factors {
        if let TableFactor::Table { name, alias, args: None, .. } = factor {
            let relation = last_part(name);
            let schema = if name.0.len() == 1 || is_catalog_qualified(name) { "pg_catalog" } else { continue };
            let Some(oid) = super::classes::SYSTEM_OIDS.get(&(schema, relation.as_str())) else { continue };
            let shown = alias.as_ref().map_or(relation.clone(), |alias| alias.name.value.clone());
            known.push((shown, *oid));
        }
    }
    if !known.is_empty() {
        let _ = walk_mut(select, &mut TableOids { known });
    }
}

struct TableOids {
    known: Vec<(String, i64)>,
}

impl VisitorMut for TableOids {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let is_tableoid = |ident: &Ident| ident.value.eq_ignore_ascii_case("tableoid");
        let found = match expr {
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., table, column] if is_tableoid(column) => {
                    self.known.iter().find(|(name, _)| *name == table.value).map(|(_, oid)| *oid)
                }
                _ => None,
            },
            Expr::Identifier(column) if is_tableoid(column) => match self.known.as_slice() {
                [(_, oid)] => Some(*oid),
                _ => None,
            },
            _ => None,
        };
        if let Some(oid) = found {
            *expr = call("oid", vec![number(oid)]);
        }
        ControlFlow::Continue(())
    }
}
