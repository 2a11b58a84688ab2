//! Output names: what PostgreSQL calls the columns of a result.
//!
//! An unnamed expression is called after its function, column or cast, else `?column?`, and several columns may have one
//! name. DataFusion wants distinct names, so every unnamed item gets an alias: PostgreSQL's name where it is free, else one with
//! a number behind it that no user can write. What the client is shown comes from the list that [`name_outputs`] returns.

use crate::functions::concatenation::RECORD;
use crate::operators::sites::call;
use crate::standard_spellings::star_syntax::row_of;
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, Query,
    SelectItem, SetExpr, VisitorMut,
};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// What PostgreSQL calls a column that has no name to take.
const UNNAMED: &str = "?column?";
/// Between a name that is taken and its number; cannot be typed in SQL.
const DISTINGUISHER: char = '\u{1}';

/// The name that the client sees of an internal output name.
pub(crate) fn shown_name(name: &str) -> &str {
    name.split(DISTINGUISHER).next().unwrap_or(name)
}

/// The name by which a query asks for a column: without what tells it from others of that name.
pub(crate) fn asked_name(name: &str) -> &str {
    match name.split_once(DISTINGUISHER) {
        Some((shown, number)) if number.bytes().all(|digit| digit.is_ascii_digit()) => shown,
        _ => name,
    }
}

/// A name that only the client takes for `name`: nothing in the query can mean it.
pub(crate) fn hidden_name(name: &str) -> String {
    format!("{name}{DISTINGUISHER}")
}

/// A name that several columns have, for the column with this number, counted from 1.
pub(crate) fn numbered_name(name: &str, number: usize) -> String {
    if number == 1 { name.to_string() } else { format!("{name}{DISTINGUISHER}{number}") }
}

/// Gives every unnamed item of every SELECT in the query its alias, and `avg` its exact form.
pub(crate) fn name_outputs(query: &mut Query) {
    let _ = walk_mut(query, &mut Namer);
    let _ = walk_mut(query, &mut AverageRewriter);
}

struct Namer;

impl VisitorMut for Namer {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        name_body(&mut query.body, false);
        for with in query.with.iter_mut().filter(|with| with.recursive) {
            with.cte_tables.iter_mut().for_each(|table| name_body(&mut table.query.body, true));
        }
        ControlFlow::Continue(())
    }
}

/// Names the outputs of a body's SELECTs. Those of a recursive query are asked for while it is planned: a column of an outer query would be
/// called `outer_ref(t.a)` without an alias.
fn name_body(body: &mut SetExpr, is_recursive: bool) {
    match body {
        SetExpr::Select(select) => name_items(&mut select.projection, is_recursive),
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left, is_recursive);
            name_body(right, is_recursive);
        }
        _ => {}
    }
}

fn name_items(items: &mut [SelectItem], names_columns: bool) {
    let mut taken: HashSet<String> = items
        .iter()
        .filter_map(|item| match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(fold(name)),
            _ => None,
        })
        .collect();
    // To DataFusion an output `AS "t.a"` and a column `a` of `t` have one name.
    let long: Vec<String> = items.iter().filter_map(alias_of).filter(|name| name.contains('.')).collect();
    let is_end = |name: &str| long.iter().any(|long| long.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')));
    let mut seen = HashSet::new();
    for item in items {
        let (expression, name) = match item {
            SelectItem::UnnamedExpr(expression) => {
                let name = output_name(expression);
                let plain = is_column(expression) && !is_end(&name) && !names_columns;
                if plain && seen.insert(name.clone()) {
                    taken.insert(name);
                    continue;
                }
                (expression.clone(), name)
            }
            SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), fold(alias)),
            _ => continue,
        };
        let mut distinct = name.clone();
        let mut number = 1;
        while seen.contains(&distinct) || (distinct != name && taken.contains(&distinct)) {
            number += 1;
            distinct = numbered_name(&name, number);
        }
        seen.insert(distinct.clone());
        taken.insert(distinct.clone());
        // The planner drops an alias that is the column's own name.
        let expression = match is_column(&expression) && is_end(&distinct) {
            true => call("coalesce", vec![expression]),
            false => expression,
        };
        *item = SelectItem::ExprWithAlias { expr: expression, alias: Ident::with_quote('"', distinct) };
    }
}

fn is_column(expression: &Expr) -> bool {
    matches!(expression, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

fn alias_of(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
        _ => None,
    }
}

/// PostgreSQL's name for an unnamed expression (`FigureColname`).
pub(crate) fn output_name(expression: &Expr) -> String {
    name_of(expression).map_or_else(|| UNNAMED.to_string(), |(name, _)| name)
}

/// How well a name fits: a cast or CASE around something takes its name only if that is of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Strength {
    /// A type's name, or `case`.
    Weak,
    /// The name of a column or a function.
    Own,
}

fn name_of(expression: &Expr) -> Option<(String, Strength)> {
    let own = |name: &str| Some((name.to_string(), Strength::Own));
    let weak = |name: String| Some((name, Strength::Weak));
    let inner_or = |inner: &Expr, outer: String| match name_of(inner) {
        Some((name, Strength::Own)) => Some((name, Strength::Own)),
        _ => weak(outer),
    };
    match expression {
        Expr::Identifier(name) => own(&fold(name)),
        Expr::CompoundIdentifier(names) => own(&fold(row_of(expression).or(names.last())?)),
        Expr::Function(function) => match fold(function.name.0.last()?.as_ident()?) {
            name if name == RECORD => own("row"),
            name => own(&name),
        },
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name_of(inner),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                ast::AccessExpr::Dot(Expr::Identifier(field)) => Some(fold(field)),
                _ => None,
            });
            field.map_or_else(|| name_of(root), |field| own(&field))
        }
        Expr::Cast { expr, data_type, .. } => inner_or(expr, type_name(data_type)),
        Expr::TypedString(typed) => weak(type_name(&typed.data_type)),
        Expr::Interval(_) => weak("interval".into()),
        Expr::Value(ast::ValueWithSpan { value: ast::Value::NationalStringLiteral(_), .. }) => weak("bpchar".into()),
        Expr::Case { else_result: Some(last), .. } => inner_or(last, "case".into()),
        Expr::Case { .. } => weak("case".into()),
        Expr::Exists { .. } => own("exists"),
        Expr::Array(_) => own("array"),
        Expr::Tuple(_) => own("row"),
        Expr::Extract { .. } => own("extract"),
        Expr::Ceil { .. } => own("ceil"),
        Expr::Floor { .. } => own("floor"),
        Expr::Position { .. } => own("position"),
        Expr::Substring { shorthand, .. } => own(if *shorthand { "substr" } else { "substring" }),
        Expr::Trim { trim_where, .. } => own(match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
            Some(ast::TrimWhereField::Both) | None => "btrim",
        }),
        Expr::Overlay { .. } => own("overlay"),
        Expr::AtTimeZone { .. } => own("timezone"),
        Expr::IsNormalized { .. } => own("is_normalized"),
        Expr::BinaryOp { op: ast::BinaryOperator::Overlaps, .. } => own("overlaps"),
        Expr::Subquery(query) => own(&name_of_first(&query.body)?),
        _ => None,
    }
}

/// What the first column of a query is called.
fn name_of_first(body: &SetExpr) -> Option<String> {
    match body {
        SetExpr::Select(select) => match select.projection.first()? {
            SelectItem::UnnamedExpr(expression) => Some(output_name(expression)),
            SelectItem::ExprWithAlias { alias, .. } => Some(shown_name(&fold(alias)).to_string()),
            _ => None,
        },
        SetExpr::SetOperation { left, .. } => name_of_first(left),
        SetExpr::Query(query) => name_of_first(&query.body),
        SetExpr::Values(_) => Some("column1".to_string()),
        _ => None,
    }
}

/// The internal type name, which is what PostgreSQL shows: `int4`, `timestamptz`, …
fn type_name(data_type: &ast::DataType) -> String {
    use ast::DataType;
    match data_type {
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4".into(),
        DataType::BigInt(_) | DataType::Int8(_) => "int8".into(),
        DataType::SmallInt(_) | DataType::Int2(_) => "int2".into(),
        DataType::Real | DataType::Float4 => "float4".into(),
        DataType::Float(ast::ExactNumberInfo::Precision(bits)) if *bits <= 24 => "float4".into(),
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float(_) => "float8".into(),
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => "numeric".into(),
        DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::CharVarying(_) => "varchar".into(),
        DataType::Char(_) | DataType::Character(_) => "bpchar".into(),
        DataType::Boolean | DataType::Bool => "bool".into(),
        DataType::Timestamp(_, ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz) => "timestamptz".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Time(_, ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz) => "timetz".into(),
        DataType::Time(..) => "time".into(),
        DataType::Interval { .. } => "interval".into(),
        DataType::Array(
            ast::ArrayElemTypeDef::SquareBracket(element, _) | ast::ArrayElemTypeDef::AngleBracket(element),
        ) => type_name(element),
        DataType::Custom(name, _) => {
            name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_else(|| name.to_string())
        }
        other => other.to_string().to_ascii_lowercase().split('(').next().unwrap_or_default().to_string(),
    }
}

/// `avg(x)` is `meridian_average(sum(x), count(x))` with the same FILTER and OVER: both parts are exact and can be kept by views.
struct AverageRewriter;

impl VisitorMut for AverageRewriter {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expression else { return ControlFlow::Continue(()) };
        let is_average =
            function.name.0.len() == 1 && function.name.0[0].as_ident().is_some_and(|name| fold(name) == "avg");
        if !is_average {
            return ControlFlow::Continue(());
        }
        let part = |name: &str| {
            let mut part = function.clone();
            part.name = ObjectName::from(vec![Ident::new(name)]);
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(part)))
        };
        let mut average = function.clone();
        average.name = ObjectName::from(vec![Ident::new(crate::functions::quotients::AVERAGE)]);
        average.args = FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![part(crate::functions::aggregates::AVERAGED), part("count")],
            clauses: Vec::new(),
        });
        average.filter = None;
        average.over = None;
        average.within_group = Vec::new();
        *expression = Expr::Function(average);
        ControlFlow::Continue(())
    }
}
