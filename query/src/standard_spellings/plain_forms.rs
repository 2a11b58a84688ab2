//! One form for what PostgreSQL's grammar and its first look at an expression make one of.
//!
//!     date '2020-01-01', date('2020-01-01')          CAST('2020-01-01' AS date)
//!     '7'::int, 7::int4, - -7                        7
//!     substring(c FROM 2 FOR 3)                      substring(c, 2, 3)
//!     ts AT TIME ZONE 'UTC'                          timezone('UTC', ts)
//!     a BETWEEN 1 AND 2                              a >= 1 AND a <= 2
//!     (t).a, "T"                                     t.a, "T"
//!     sum(a) OVER w                                  sum(a) OVER (what WINDOW says of w)
//!
//! Such a tree is compared and never planned. What types columns have is not known here.

use super::trees::{binary, boolean};
use crate::functions::concatenation::RECORD;
use crate::operators::sites::call;
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, ArrayElemTypeDef, BinaryOperator, CastKind, DataType, DuplicateTreatment, ExactNumberInfo, Expr,
    Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, NamedWindowDefinition, NamedWindowExpr,
    ObjectNamePart, TimezoneInfo, TrimWhereField, UnaryOperator, Value, ValueWithSpan, VisitorMut, WindowType,
};
use std::ops::ControlFlow;

/// Powers of ten in literals beyond which their digits are not written out.
const EXPONENT_MAX: i64 = 1000;
/// The most bits of `float(n)` that are a `real`.
const FLOAT4_BITS_MAX: u64 = 24;

/// An expression in that form. `windows` are those that its SELECT names.
pub(super) fn plain(expression: &Expr, windows: &[NamedWindowDefinition]) -> Expr {
    let mut plain = expression.clone();
    let _ = walk_mut(&mut plain, &mut Plainer { windows });
    plain
}

struct Plainer<'a> {
    windows: &'a [NamedWindowDefinition],
}

impl VisitorMut for Plainer<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(Function { over: Some(over), .. }) = expression {
            self.spell_out(over);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        name(expression);
        if let Some(spelt) = spelling(expression).or_else(|| condition(expression)).or_else(|| value(expression)) {
            *expression = spelt;
        }
        ControlFlow::Continue(())
    }
}

impl Plainer<'_> {
    /// Puts what WINDOW says of a window in the place of its name.
    fn spell_out(&self, over: &mut WindowType) {
        let WindowType::NamedWindow(name) = &*over else { return };
        let wanted = fold(name);
        let known = self.windows.iter().find(|window| fold(&window.0) == wanted);
        if let Some(NamedWindowDefinition(_, NamedWindowExpr::WindowSpec(spec))) = known {
            *over = WindowType::WindowSpec(spec.clone());
        }
    }
}

/// Gives names the letters that they are looked up by.
fn name(expression: &mut Expr) {
    match expression {
        Expr::Identifier(name) => *name = folded(name),
        Expr::CompoundIdentifier(names) => names.iter_mut().for_each(|name| *name = folded(name)),
        Expr::Collate { collation, .. } => collation.0.iter_mut().for_each(fold_part),
        Expr::Function(function) => {
            function.name.0.iter_mut().for_each(fold_part);
            if let FunctionArguments::List(list) = &mut function.args
                && list.duplicate_treatment == Some(DuplicateTreatment::All)
            {
                list.duplicate_treatment = None;
            }
        }
        _ => {}
    }
}

fn folded(name: &Ident) -> Ident {
    Ident::new(fold(name))
}

fn fold_part(part: &mut ObjectNamePart) {
    if let ObjectNamePart::Identifier(name) = part {
        *name = folded(name);
    }
}

/// What has words of its own, as the call or the access that it is.
fn spelling(expression: &Expr) -> Option<Expr> {
    let of = |name: &str, arguments: &[&Expr]| Some(call(name, arguments.iter().copied().cloned().collect()));
    match expression {
        Expr::Nested(inner) => Some(inner.as_ref().clone()),
        Expr::CompoundFieldAccess { root, access_chain } => accessed(root, access_chain),
        Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
            let first = number("1".into());
            let from = substring_from.as_deref().unwrap_or(&first);
            let arguments = [expr.as_ref(), from].into_iter().chain(substring_for.as_deref());
            of(if *shorthand { "substr" } else { "substring" }, &arguments.collect::<Vec<_>>())
        }
        Expr::AtTimeZone { timestamp, time_zone } => of("timezone", &[time_zone, timestamp]),
        Expr::Extract { field, expr, .. } => {
            let field = field.to_string().trim_matches(['"', '\'']).to_lowercase();
            of("extract", &[&Expr::Value(Value::SingleQuotedString(field).into()), expr])
        }
        Expr::Position { expr, r#in } => of("position", &[r#in, expr]),
        Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
            let name = match trim_where {
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
                Some(TrimWhereField::Both) | None => "btrim",
            };
            let others = trim_what.as_deref().into_iter().chain(trim_characters.iter().flatten());
            of(name, &std::iter::once(expr.as_ref()).chain(others).collect::<Vec<_>>())
        }
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let arguments = [expr.as_ref(), overlay_what, overlay_from].into_iter().chain(overlay_for.as_deref());
            of("overlay", &arguments.collect::<Vec<_>>())
        }
        Expr::Ceil { expr, .. } => of("ceil", &[expr]),
        Expr::Floor { expr, .. } => of("floor", &[expr]),
        _ => None,
    }
}

/// `(t).a` is `t.a`, and brackets stand behind the whole name.
fn accessed(root: &Expr, chain: &[AccessExpr]) -> Option<Expr> {
    let (mut names, mut rest) = match root {
        Expr::Identifier(name) => (vec![name.clone()], chain),
        Expr::CompoundIdentifier(names) => (names.clone(), chain),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let chain = [access_chain.as_slice(), chain].concat();
            return Some(Expr::CompoundFieldAccess { root: root.clone(), access_chain: chain });
        }
        _ => return None,
    };
    while let [AccessExpr::Dot(Expr::Identifier(name)), others @ ..] = rest {
        names.push(name.clone());
        rest = others;
    }
    let root = match names.len() {
        1 => Expr::Identifier(names.remove(0)),
        _ => Expr::CompoundIdentifier(names),
    };
    match rest {
        [] => Some(root),
        rest => Some(Expr::CompoundFieldAccess { root: Box::new(root), access_chain: rest.to_vec() }),
    }
}

/// What the grammar makes comparisons of.
fn condition(expression: &Expr) -> Option<Expr> {
    let compared = |left: &Expr, op, right: &Expr| binary(left.clone(), op, right.clone());
    match expression {
        Expr::Between { expr, negated: false, low, high } => {
            let (low, high) = (compared(expr, BinaryOperator::GtEq, low), compared(expr, BinaryOperator::LtEq, high));
            Some(binary(low, BinaryOperator::And, high))
        }
        Expr::Between { expr, negated: true, low, high } => {
            let (low, high) = (compared(expr, BinaryOperator::Lt, low), compared(expr, BinaryOperator::Gt, high));
            Some(binary(low, BinaryOperator::Or, high))
        }
        Expr::InList { expr, list, negated } => match list.as_slice() {
            [only] if *negated => Some(compared(expr, BinaryOperator::NotEq, only)),
            [only] => Some(compared(expr, BinaryOperator::Eq, only)),
            _ => None,
        },
        Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
            let op = if *negated { BinaryOperator::PGNotLikeMatch } else { BinaryOperator::PGLikeMatch };
            Some(compared(expr, op, pattern))
        }
        Expr::ILike { negated, any: false, expr, pattern, escape_char: None } => {
            let op = if *negated { BinaryOperator::PGNotILikeMatch } else { BinaryOperator::PGILikeMatch };
            Some(compared(expr, op, pattern))
        }
        _ => None,
    }
}

/// Constants, casts and rows.
fn value(expression: &Expr) -> Option<Expr> {
    match expression {
        Expr::Value(known) => plain_constant(&known.value),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => turned(expr),
        Expr::Cast { expr, data_type, .. } => Some(cast(expr, plain_type(data_type))),
        Expr::TypedString(typed) => {
            let text = plain_constant(&typed.value.value).unwrap_or_else(|| Expr::Value(typed.value.clone()));
            Some(cast(&text, plain_type(&typed.data_type)))
        }
        Expr::Interval(interval) if interval.leading_field.is_none() => {
            Some(cast(&interval.value, DataType::Interval { fields: None, precision: None }))
        }
        Expr::Case { case_token, end_token, operand, conditions, else_result: Some(last) } if is_null(last) => {
            let (operand, conditions) = (operand.clone(), conditions.clone());
            let (case_token, end_token) = (case_token.clone(), end_token.clone());
            Some(Expr::Case { case_token, end_token, operand, conditions, else_result: None })
        }
        Expr::Function(function) => row_or_cast(function),
        _ => None,
    }
}

fn is_null(expression: &Expr) -> bool {
    matches!(expression, Expr::Value(ValueWithSpan { value: Value::Null, .. }))
}

fn number(digits: String) -> Expr {
    Expr::Value(Value::Number(digits, false).into())
}

/// The same value as another literal writes it.
fn plain_constant(value: &Value) -> Option<Expr> {
    match value {
        Value::EscapedStringLiteral(text) | Value::UnicodeStringLiteral(text) => {
            Some(Expr::Value(Value::SingleQuotedString(text.clone()).into()))
        }
        Value::DollarQuotedString(text) => Some(Expr::Value(Value::SingleQuotedString(text.value.clone()).into())),
        Value::Number(digits, _) => plain_digits(digits).map(number),
        _ => None,
    }
}

/// The digits of a number without those that say nothing: `.5` is `0.5` and `1e2` is `100.`, while `0.50` shows one digit more.
fn plain_digits(digits: &str) -> Option<String> {
    if let Ok(whole) = digits.parse::<i128>() {
        return Some(whole.to_string());
    }
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.parse::<i64>().ok().filter(|exponent| exponent.abs() <= EXPONENT_MAX)?;
    let point = i64::try_from(whole.len()).ok()? + exponent;
    let before = usize::try_from(-point).unwrap_or(0);
    let all = format!("{}{whole}{fraction}", "0".repeat(before));
    let point = usize::try_from(point).unwrap_or(0);
    let all = format!("{all:0<point$}");
    let (whole, fraction) = all.split_at_checked(point)?;
    let whole = whole.trim_start_matches('0');
    Some(format!("{sign}{}.{fraction}", if whole.is_empty() { "0" } else { whole }))
}

/// A number behind a minus sign, which is a part of it.
fn turned(expression: &Expr) -> Option<Expr> {
    let Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) = expression else { return None };
    let turned = digits.strip_prefix('-').map_or_else(|| format!("-{digits}"), str::to_string);
    Some(number(plain_digits(&turned).unwrap_or(turned)))
}

/// A cast, or the constant that it gives at once.
fn cast(expression: &Expr, data_type: DataType) -> Expr {
    if let Expr::Value(known) = expression
        && let Some(constant) = constant(&known.value, &data_type)
    {
        return constant;
    }
    match expression {
        Expr::Cast { data_type: inner, .. } if *inner == data_type => expression.clone(),
        _ => {
            let expr = Box::new(expression.clone());
            Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None }
        }
    }
}

/// A constant of a type that literals have without a cast.
fn constant(value: &Value, data_type: &DataType) -> Option<Expr> {
    match (value, data_type) {
        (Value::SingleQuotedString(text) | Value::Number(text, _), DataType::Int4(None)) => {
            text.trim().parse::<i32>().ok().map(|known| number(known.to_string()))
        }
        (Value::SingleQuotedString(text), DataType::Bool) => match text.trim().to_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => Some(boolean(true)),
            "f" | "false" | "n" | "no" | "off" | "0" => Some(boolean(false)),
            _ => None,
        },
        (Value::Boolean(known), DataType::Bool) => Some(boolean(*known)),
        _ => None,
    }
}

/// `ROW(a, b)` is `(a, b)`, and a call by a type's name is a cast.
fn row_or_cast(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let [name] = function.name.0.as_slice() else { return None };
    let name = &name.as_ident()?.value;
    let argument = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression.clone()),
        _ => None,
    };
    let arguments: Option<Vec<Expr>> = list.args.iter().map(argument).collect();
    let arguments = arguments.filter(|_| function.over.is_none() && function.filter.is_none())?;
    if name == RECORD || name == "row" {
        return Some(Expr::Tuple(arguments));
    }
    match arguments.as_slice() {
        [only] => type_called(name).map(|data_type| cast(only, data_type)),
        _ => None,
    }
}

/// The type whose name is called as a function.
fn type_called(name: &str) -> Option<DataType> {
    Some(match name {
        "bool" => DataType::Bool,
        "date" => DataType::Date,
        "float4" => DataType::Float4,
        "float8" => DataType::Float8,
        "int2" => DataType::Int2(None),
        "int4" => DataType::Int4(None),
        "int8" => DataType::Int8(None),
        "interval" => DataType::Interval { fields: None, precision: None },
        "numeric" => DataType::Numeric(ExactNumberInfo::None),
        "text" => DataType::Text,
        "time" => DataType::Time(None, TimezoneInfo::None),
        "timestamp" => DataType::Timestamp(None, TimezoneInfo::None),
        "timestamptz" => DataType::Timestamp(None, TimezoneInfo::Tz),
        "varchar" => DataType::Varchar(None),
        _ => return None,
    })
}

/// A type under one of its names.
fn plain_type(data_type: &DataType) -> DataType {
    let plain_zone = |zone: &TimezoneInfo| match zone {
        TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => TimezoneInfo::Tz,
        TimezoneInfo::WithoutTimeZone | TimezoneInfo::None => TimezoneInfo::None,
    };
    match data_type {
        DataType::SmallInt(None) => DataType::Int2(None),
        DataType::Int(None) | DataType::Integer(None) => DataType::Int4(None),
        DataType::BigInt(None) => DataType::Int8(None),
        DataType::Real => DataType::Float4,
        DataType::Float(ExactNumberInfo::Precision(bits)) if *bits <= FLOAT4_BITS_MAX => DataType::Float4,
        DataType::DoublePrecision
        | DataType::Double(ExactNumberInfo::None)
        | DataType::Float(ExactNumberInfo::None | ExactNumberInfo::Precision(_)) => DataType::Float8,
        DataType::Boolean => DataType::Bool,
        DataType::Decimal(digits) | DataType::Dec(digits) => DataType::Numeric(*digits),
        DataType::CharacterVarying(length) | DataType::CharVarying(length) => DataType::Varchar(*length),
        DataType::Character(length) => DataType::Char(*length),
        DataType::Timestamp(digits, zone) => DataType::Timestamp(*digits, plain_zone(zone)),
        DataType::Time(digits, zone) => DataType::Time(*digits, plain_zone(zone)),
        DataType::Array(ArrayElemTypeDef::SquareBracket(item, _) | ArrayElemTypeDef::AngleBracket(item)) => {
            DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(plain_type(item)), None))
        }
        DataType::Custom(name, modifiers) if modifiers.is_empty() => {
            let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
            let known = match parts.as_slice() {
                [name] => type_called(name),
                [schema, name] if schema == "pg_catalog" => type_called(name),
                _ => None,
            };
            known.unwrap_or_else(|| data_type.clone())
        }
        other => other.clone(),
    }
}
