//! Output names: what PostgreSQL calls the columns of a result.
//!
//! An unnamed expression is called after its function, column or cast, else `?column?`, and several columns may have one
//! name. DataFusion wants distinct names, so every unnamed item gets an alias: PostgreSQL's name where it is free, else one with
//! a number behind it that no user can write. What the client is shown comes from the list that [`name_outputs`] returns.

use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, Query,
    SelectItem, SetExpr, VisitMut, VisitorMut,
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

/// Gives every unnamed item of every SELECT in the query its alias, and `avg` its exact form.
pub(crate) fn name_outputs(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Namer);
    let _ = VisitMut::visit(query, &mut AverageRewriter);
}

struct Namer;

impl VisitorMut for Namer {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        name_body(&mut query.body);
        ControlFlow::Continue(())
    }
}

fn name_body(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => name_items(&mut select.projection),
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left);
            name_body(right);
        }
        _ => {}
    }
}

fn name_items(items: &mut [SelectItem]) {
    let mut taken: HashSet<String> = items
        .iter()
        .filter_map(|item| match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(fold(name)),
            _ => None,
        })
        .collect();
    let mut seen = HashSet::new();
    for item in items {
        let (expression, name) = match item {
            SelectItem::UnnamedExpr(expression) => {
                let plain = matches!(expression, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                let name = output_name(expression);
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
            distinct = format!("{name}{DISTINGUISHER}{number}");
        }
        seen.insert(distinct.clone());
        taken.insert(distinct.clone());
        *item = SelectItem::ExprWithAlias { expr: expression, alias: Ident::with_quote('"', distinct) };
    }
}

/// PostgreSQL's name for an unnamed expression (`FigureColname`).
pub(crate) fn output_name(expression: &Expr) -> String {
    name_of(expression).unwrap_or_else(|| UNNAMED.to_string())
}

fn name_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Identifier(name) => Some(fold(name)),
        Expr::CompoundIdentifier(names) => names.last().map(fold),
        Expr::Function(function) => function.name.0.last().and_then(|part| part.as_ident()).map(fold),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name_of(inner),
        Expr::Cast { expr, data_type, .. } => {
            name_of(expr).filter(|_| named_by_itself(expr)).or_else(|| Some(type_name(data_type)))
        }
        Expr::TypedString(typed) => Some(type_name(&typed.data_type)),
        Expr::Interval(_) => Some("interval".into()),
        Expr::Case { else_result, .. } => else_result
            .as_ref()
            .and_then(|last| name_of(last).filter(|_| named_by_itself(last)))
            .or_else(|| Some("case".into())),
        Expr::Exists { .. } => Some("exists".into()),
        Expr::Array(_) => Some("array".into()),
        Expr::Extract { .. } => Some("extract".into()),
        Expr::Ceil { .. } => Some("ceil".into()),
        Expr::Floor { .. } => Some("floor".into()),
        Expr::Position { .. } => Some("position".into()),
        Expr::Substring { .. } => Some("substring".into()),
        Expr::Trim { .. } => Some("btrim".into()),
        Expr::Overlay { .. } => Some("overlay".into()),
        Expr::AtTimeZone { .. } => Some("timezone".into()),
        Expr::Value(value) => matches!(value.value, ast::Value::Boolean(_)).then(|| "bool".to_string()),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expression) => name_of(expression),
                SelectItem::ExprWithAlias { alias, .. } => Some(shown_name(&fold(alias)).to_string()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// Whether a name comes from a column or function rather than from a cast or literal inside.
fn named_by_itself(expression: &Expr) -> bool {
    !matches!(expression, Expr::Value(_) | Expr::TypedString(_) | Expr::Interval(_))
}

/// The internal type name, which is what PostgreSQL shows: `int4`, `timestamptz`, …
fn type_name(data_type: &ast::DataType) -> String {
    use ast::DataType;
    match data_type {
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4".into(),
        DataType::BigInt(_) | DataType::Int8(_) => "int8".into(),
        DataType::SmallInt(_) | DataType::Int2(_) => "int2".into(),
        DataType::Real | DataType::Float4 => "float4".into(),
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float(_) => "float8".into(),
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => "numeric".into(),
        DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::CharVarying(_) => "varchar".into(),
        DataType::Char(_) | DataType::Character(_) => "bpchar".into(),
        DataType::Boolean | DataType::Bool => "bool".into(),
        DataType::Timestamp(_, ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz) => "timestamptz".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Time(..) => "time".into(),
        other => other.to_string().to_lowercase().split('(').next().unwrap_or_default().to_string(),
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
        average.name = ObjectName::from(vec![Ident::new(crate::functions::aggregates::AVERAGE)]);
        average.args = FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![part("sum"), part("count")],
            clauses: Vec::new(),
        });
        average.filter = None;
        average.over = None;
        average.within_group = Vec::new();
        *expression = Expr::Function(average);
        ControlFlow::Continue(())
    }
}
