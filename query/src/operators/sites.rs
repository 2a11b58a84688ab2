//! Annotation: every operator, cast and typed literal of a syntax tree becomes a site call.
//!
//! The calls are named `site@0`, `site@1`, …, which no user can type without quotes; [`Sites`] remembers what each is and where it
//! stands. Syntax that is only another spelling is spelt out here too: BETWEEN as two comparisons, EXTRACT and AT TIME ZONE as
//! functions. Integers get their type from their size, as in PostgreSQL, but for ordinals and counts (`ORDER BY 1`, `LIMIT 10`).

use super::array_syntax::{empty_array, is_array_of_values, is_empty_array, spell_empty_array};
use super::call::{Places, Procedures, SiteCall, SiteKind};
use super::checks::Check;
use super::elements::is_query;
use super::meetings::Meeting;
use super::modifiers::{Modifier, TypeOfCast, literal_modifier};
use super::ordinals::{restore_in_window, restore_ordinals};
use super::prefixes::Prefix;
use super::variadic_calls::variadic_argument;
use super::window_syntax;
use crate::functions::moments::EXTRACT_WHOLE;
use crate::operator_tokens::is_operator;
use crate::pg_catalog::is_known_collation;
use crate::scan::external;
use crate::source_text::SourceText;
use crate::sql_types::names_digits;
use crate::standard_spellings::trees::bare;
use crate::statement::Statement;
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use catalog::sql_type::SqlType;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, BinaryOperator, CastKind, DataType, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, Query, Select, Subscript, TrimWhereField,
    UnaryOperator, Value, ValueWithSpan, VisitorMut, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

pub(super) const PREFIX: &str = "site@";
/// The type name of a literal integer, which tells it from a cast that the user wrote.
pub(crate) const LITERAL_INT4: &str = "int4@literal";
/// The type name of the statement's time, whose own type DataFusion does not settle.
pub(crate) const INSTANT: &str = "timestamptz@instant";

/// The sites of one statement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sites {
    pub(super) kinds: Vec<(SiteKind, Places)>,
}

impl Sites {
    /// Adds a site; its call has the name that is returned.
    pub(crate) fn add(&mut self, kind: SiteKind, places: Places) -> String {
        let name = format!("{PREFIX}{}", self.kinds.len());
        self.kinds.push((kind, places));
        name
    }

    /// What the call of a name is, if it is one of these sites'.
    pub(super) fn kind_of(&self, name: &ObjectName) -> Option<&SiteKind> {
        let [part] = name.0.as_slice() else { return None };
        let number: usize = part.as_ident()?.value.strip_prefix(PREFIX)?.parse().ok()?;
        self.kinds.get(number).map(|(kind, _)| kind)
    }

    /// The call of that name, if it is one of these sites'.
    pub(crate) fn function(&self, name: &str, procedures: &Procedures) -> Option<Arc<ScalarUDF>> {
        let number: usize = name.strip_prefix(PREFIX)?.parse().ok()?;
        let (kind, places) = self.kinds.get(number)?;
        let call = SiteCall::new(name, kind.clone(), places.clone(), Arc::clone(procedures));
        Some(Arc::new(ScalarUDF::new_from_impl(call)))
    }
}

/// Rewrites a statement's tree in place.
pub(crate) fn annotate(tree: &mut ast::Statement, statement: Option<&Statement>) -> Result<Sites> {
    let source = statement.map(|statement| SourceText::new(&statement.source));
    let mut annotator = Annotator { sites: Sites::default(), source, in_calls: HashMap::new() };
    match walk_mut(tree, &mut annotator) {
        ControlFlow::Break(error) => Err(external(error)),
        ControlFlow::Continue(()) => Ok(annotator.sites),
    }
}

pub(super) struct Annotator<'a> {
    pub(super) sites: Sites,
    pub(super) source: Option<SourceText<'a>>,
    /// The sites in FILTER clauses and the orders of aggregates by what they are and their operands.
    pub(super) in_calls: HashMap<(SiteKind, Vec<Expr>), ObjectName>,
}

impl VisitorMut for Annotator<'_> {
    type Break = crate::error::QueryError;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        restore_ordinals(query);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        if let Some(condition) = select.selection.take() {
            select.selection = Some(self.condition("WHERE", condition));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Self::Break> {
        match self.number_of_bits(expression) {
            Ok(Some(number)) => *expression = number,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        match expression {
            Expr::Cast { expr, data_type: DataType::Array(_), .. } => spell_empty_array(expr),
            Expr::Cast { expr, data_type, .. } => {
                if let Err(error) = self.spell_bits(expr, data_type) {
                    return ControlFlow::Break(error);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Self::Break> {
        let taken = std::mem::replace(expression, Expr::Value(Value::Null.into()));
        match self.rewritten(taken) {
            Ok(rewritten) => *expression = rewritten,
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

impl Annotator<'_> {
    fn rewritten(&mut self, expression: Expr) -> std::result::Result<Expr, crate::error::QueryError> {
        Ok(match expression {
            Expr::BinaryOp { left, op, right } if is_site(&op) => self.binary(op, *left, *right),
            Expr::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } => {
                let construct = if op == BinaryOperator::And { "AND" } else { "OR" };
                let (left, right) = (self.condition(construct, *left), self.condition(construct, *right));
                Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(self.condition("NOT", *expr)) }
            }
            Expr::IsTrue(operand) => Expr::IsTrue(Box::new(self.condition("IS TRUE", *operand))),
            Expr::IsNotTrue(operand) => Expr::IsNotTrue(Box::new(self.condition("IS NOT TRUE", *operand))),
            Expr::IsFalse(operand) => Expr::IsFalse(Box::new(self.condition("IS FALSE", *operand))),
            Expr::IsNotFalse(operand) => Expr::IsNotFalse(Box::new(self.condition("IS NOT FALSE", *operand))),
            Expr::IsUnknown(operand) => Expr::IsUnknown(Box::new(self.condition("IS UNKNOWN", *operand))),
            Expr::IsNotUnknown(operand) => Expr::IsNotUnknown(Box::new(self.condition("IS NOT UNKNOWN", *operand))),
            Expr::UnaryOp { op, expr } => match Prefix::of(op) {
                Some(prefix) => self.prefixed(prefix, *expr),
                None => Expr::UnaryOp { op, expr },
            },
            Expr::Prefixed { prefix, value } => {
                let site = self.source.as_ref().and_then(|source| source.place_of(prefix.span.start));
                let places = Places { site, operands: vec![self.place(&value)] };
                self.add(SiteKind::UnknownPrefix(prefix.value), places, vec![*value])
            }
            Expr::Like { negated, expr, pattern, escape_char: None, any: false } => {
                let operator = if negated { BinaryOperator::PGNotLikeMatch } else { BinaryOperator::PGLikeMatch };
                self.binary(operator, *expr, *pattern)
            }
            Expr::ILike { negated, expr, pattern, escape_char: None, any: false } => {
                let operator = if negated { BinaryOperator::PGNotILikeMatch } else { BinaryOperator::PGILikeMatch };
                self.binary(operator, *expr, *pattern)
            }
            Expr::Cast {
                kind: kind @ (CastKind::Cast | CastKind::DoubleColon),
                expr,
                data_type,
                array: false,
                format: None,
            } => {
                if is_marker(&data_type) {
                    let kind = CastKind::Cast;
                    return Ok(Expr::Cast { kind, expr, data_type, array: false, format: None });
                }
                let site = self.cast_place(&expr, &kind);
                let type_place = match kind {
                    CastKind::DoubleColon => site.and_then(|place| self.after_symbol(place)),
                    _ => self.name_place(&data_type),
                };
                let TypeOfCast { to, modifier, domain } = TypeOfCast::named(&data_type).map_err(|error| {
                    let place = error.position.or(type_place);
                    error.position(place)
                })?;
                let operands = vec![self.place(&expr)];
                let site = site.or(operands[0]);
                if modifier.is_none()
                    && domain.is_none()
                    && let Some(array) = self.cast_items(&expr, &to)
                {
                    return Ok(array);
                }
                let expr = match (&to, modifier) {
                    (SqlType::Float4 | SqlType::Float8, _) => self.numeric_literal(&expr).map_or(expr, Box::new),
                    (SqlType::Interval, Some(modifier)) => Box::new(with_unit(*expr, modifier)),
                    _ => expr,
                };
                let kind = if names_digits(&data_type) { SiteKind::CastToDigits(to) } else { SiteKind::Cast(to) };
                let cast = self.add(kind, Places { site, operands }, vec![*expr]);
                self.of_type(cast, modifier, domain)
            }
            Expr::TypedString(typed) => {
                let TypeOfCast { to, modifier, domain } = TypeOfCast::named(&typed.data_type)?;
                let cast = self.cast(Expr::Value(typed.value), to);
                self.of_type(cast, modifier, domain)
            }
            Expr::Interval(interval) => self.interval(interval)?,
            Expr::AnyOp { left, compare_op, right, .. } if !is_query(&right) => {
                self.elements(*left, compare_op, *right, false)
            }
            Expr::AllOp { left, compare_op, right } if !is_query(&right) => {
                self.elements(*left, compare_op, *right, true)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let meeting = Meeting::Case { operand: operand.is_some(), otherwise: else_result.is_some() };
                let mut branches = Vec::with_capacity(2 * conditions.len());
                for branch in conditions {
                    branches.push(match operand {
                        Some(_) => branch.condition,
                        None => self.condition("CASE/WHEN", branch.condition),
                    });
                    branches.push(branch.result);
                }
                let operand = operand.into_iter().map(|operand| *operand);
                self.meeting(meeting, operand.chain(branches).chain(else_result.map(|last| *last)).collect())
            }
            Expr::IsDistinctFrom(left, right) => self.distinct(false, *left, *right),
            Expr::IsNotDistinctFrom(left, right) => self.distinct(true, *left, *right),
            Expr::Array(array) if is_array_of_values(&array.elem) => self.array(array.elem),
            Expr::Array(array) if is_empty_array(&array.elem) => {
                return Err(empty_array(self.source.as_ref().map(SourceText::text)));
            }
            // A literal whose type is open stays so.
            Expr::Collate { expr, collation } if is_known_collation(&collation) && is_open_literal(&expr) => *expr,
            Expr::Collate { expr, collation } if is_known_collation(&collation) => {
                let place = self.word_after(&expr, "collate").or_else(|| self.place(&expr));
                self.checked(Check::Collation, *expr, place)
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                let root = match access_chain.first() {
                    Some(AccessExpr::Subscript(_)) => {
                        let place = self.place(&root);
                        Box::new(self.checked(Check::Subscript, *root, place))
                    }
                    // `t.a[1]` begins with the name of a relation.
                    Some(AccessExpr::Dot(Expr::Identifier(field))) if !matches!(*root, Expr::Identifier(_)) => {
                        let (check, place) = (Check::Field(fold(field)), self.place(&root));
                        Box::new(self.checked(check, *root, place))
                    }
                    _ => root,
                };
                let access_chain = access_chain.into_iter().map(|access| self.with_bounds(access)).collect();
                Expr::CompoundFieldAccess { root, access_chain }
            }
            Expr::Between { expr, negated, low, high } => self.between(*expr, negated, *low, *high),
            Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
                let from = substring_from.map_or_else(|| self.number("1".into(), false, Span::empty()), |from| *from);
                let name = if shorthand { "substr" } else { "substring" };
                call(name, [*expr, from].into_iter().chain(substring_for.map(|length| *length)).collect())
            }
            Expr::Position { expr, r#in } => call("position", vec![*r#in, *expr]),
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let places = [*expr, *overlay_what, *overlay_from].into_iter();
                call("overlay", places.chain(overlay_for.map(|length| *length)).collect())
            }
            Expr::Trim { expr, trim_where, trim_what, trim_characters } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    Some(TrimWhereField::Both) | None => "btrim",
                };
                let characters = trim_what.map(|what| *what).into_iter().chain(trim_characters.unwrap_or_default());
                call(name, std::iter::once(*expr).chain(characters).collect())
            }
            Expr::IsNormalized { expr, form, negated } => {
                let form = form.map(|form| Expr::Value(Value::SingleQuotedString(form.to_string()).into()));
                let normalized = call("is_normalized", std::iter::once(*expr).chain(form).collect());
                if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(normalized) } } else { normalized }
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                let escape = escape_char.map(Expr::Value);
                let matches = call("similar_to", [*expr, *pattern].into_iter().chain(escape).collect());
                if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(matches) } } else { matches }
            }
            Expr::BinaryOp { left, op: BinaryOperator::Overlaps, right } => overlaps(*left, *right),
            Expr::AtTimeZone { timestamp, time_zone } => call("timezone", vec![*time_zone, *timestamp]),
            Expr::Extract { field, expr, .. } => extract(&field, *expr),
            Expr::Value(value) => self.literal(value)?,
            Expr::Function(mut function) => {
                if let Some(WindowType::WindowSpec(window)) = &mut function.over {
                    restore_in_window(window);
                }
                if let Some(filter) = &mut function.filter {
                    let condition = std::mem::replace(filter.as_mut(), Expr::Value(Value::Null.into()));
                    **filter = self.condition("FILTER", condition);
                    self.unify(filter);
                }
                self.unify_orders(&mut function);
                window_syntax::name_exclusion(&mut function)?;
                match variadic_argument(&mut function) {
                    Some(array) => self.variadic(function, array),
                    None => self.function(function),
                }
            }
            other => other,
        })
    }

    pub(super) fn add(&mut self, kind: SiteKind, places: Places, operands: Vec<Expr>) -> Expr {
        let name = self.sites.add(kind, places);
        call_quoted(&name, operands)
    }

    pub(super) fn binary(&mut self, operator: BinaryOperator, left: Expr, right: Expr) -> Expr {
        let places = Places {
            site: self.operator_place(&left, &operator),
            operands: vec![self.place(&left), self.place(&right)],
        };
        self.add(SiteKind::Binary(operator), places, vec![left, right])
    }

    /// `a[:2]` begins with the first item, and `a[2:]` ends with the last.
    fn with_bounds(&mut self, access: AccessExpr) -> AccessExpr {
        match access {
            AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride }) => {
                let mut or = |bound: Option<Expr>, value: i32| {
                    Some(bound.unwrap_or_else(|| self.number(value.to_string(), false, Span::empty())))
                };
                let (lower_bound, upper_bound) = (or(lower_bound, 1), or(upper_bound, i32::MAX));
                AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride })
            }
            other => other,
        }
    }

    /// Values that become one.
    pub(super) fn meeting(&mut self, meeting: Meeting, values: Vec<Expr>) -> Expr {
        let operands: Vec<Option<usize>> = values.iter().map(|value| self.place(value)).collect();
        let places = Places { site: operands.first().copied().flatten(), operands };
        self.add(SiteKind::Meeting(meeting), places, values)
    }

    fn distinct(&mut self, negated: bool, left: Expr, right: Expr) -> Expr {
        let site = self.word_after(&left, "is").or_else(|| self.place(&left));
        let places = Places { site, operands: vec![self.place(&left), self.place(&right)] };
        self.add(SiteKind::Meeting(Meeting::Distinct { negated }), places, vec![left, right])
    }

    /// A comparison with the elements of an array.
    fn elements(&mut self, left: Expr, operator: BinaryOperator, right: Expr, all: bool) -> Expr {
        let places = Places {
            site: self.operator_place(&left, &operator),
            operands: vec![self.place(&left), self.place(&right)],
        };
        self.add(SiteKind::Elements { operator, all }, places, vec![left, right])
    }

    fn prefixed(&mut self, prefix: Prefix, operand: Expr) -> Expr {
        if prefix == Prefix::Minus {
            let literal = bare(&operand);
            if let Some((digits, span)) = integer_literal(literal) {
                return self.number(negated(digits), false, span);
            }
            if let Expr::Value(ValueWithSpan { value: Value::Number(digits, long), span }) = literal {
                return self.number(negated(digits), *long, *span);
            }
            if let Some((digits, span)) = self.digits_as_text(literal) {
                return self.number(negated(&digits), false, span);
            }
        }
        if prefix == Prefix::Plus && matches!(self.site_of(bare(&operand)), Some((SiteKind::LongNumber, _))) {
            return operand;
        }
        let place = self.place(&operand);
        let site = place.and_then(|place| self.symbol_before(place, prefix.symbol()));
        self.add(SiteKind::Prefix(prefix), Places { site, operands: vec![place] }, vec![operand])
    }

    pub(super) fn cast(&mut self, operand: Expr, to: SqlType) -> Expr {
        let place = self.place(&operand);
        let places = Places { site: place, operands: vec![place] };
        self.add(SiteKind::Cast(to), places, vec![operand])
    }

    fn interval(&mut self, interval: ast::Interval) -> std::result::Result<Expr, crate::error::QueryError> {
        let ast::Interval { value, leading_field, leading_precision, last_field, fractional_seconds_precision } =
            interval;
        let digits = fractional_seconds_precision.or(leading_precision);
        let modifier = literal_modifier(leading_field.as_ref(), last_field.as_ref(), digits);
        let text = match modifier {
            Some(modifier) => with_unit(*value, modifier),
            None => *value,
        };
        let cast = self.cast(text, SqlType::Interval);
        Ok(match modifier {
            Some(modifier) => self.modified(cast, modifier),
            None => cast,
        })
    }

    /// PostgreSQL's own reading: `x >= low AND x <= high`.
    fn between(&mut self, value: Expr, negated: bool, low: Expr, high: Expr) -> Expr {
        let (first, last, joined) = if negated {
            (BinaryOperator::Lt, BinaryOperator::Gt, BinaryOperator::Or)
        } else {
            (BinaryOperator::GtEq, BinaryOperator::LtEq, BinaryOperator::And)
        };
        let left = self.binary(first, value.clone(), low);
        let right = self.binary(last, value, high);
        Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(left), op: joined, right: Box::new(right) }))
    }
}

/// A literal interval's text with the unit that its type's fields say.
fn with_unit(literal: Expr, modifier: Modifier) -> Expr {
    match literal {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span }) => {
            Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(modifier.with_unit(&text)), span })
        }
        Expr::Nested(inner) => Expr::Nested(Box::new(with_unit(*inner, modifier))),
        other => other,
    }
}

pub(super) fn is_text_literal(value: &Expr) -> bool {
    matches!(value, Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }))
}

fn is_open_literal(value: &Expr) -> bool {
    is_text_literal(bare(value)) || matches!(bare(value), Expr::Value(ValueWithSpan { value: Value::Null, .. }))
}

/// The arguments of a function without names and stars, if there are any.
pub(super) fn plain_values(arguments: &[FunctionArg]) -> Option<Vec<Expr>> {
    let values = arguments.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
        _ => None,
    });
    values.collect::<Option<Vec<Expr>>>().filter(|values| !values.is_empty())
}

/// The logic of AND and OR needs no types; what is not an operator of PostgreSQL's stays for the planner to refuse.
fn is_site(operator: &BinaryOperator) -> bool {
    if let BinaryOperator::Custom(name) = operator {
        return is_operator(name);
    }
    matches!(
        operator,
        BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo
            | BinaryOperator::StringConcat
            | BinaryOperator::Gt
            | BinaryOperator::Lt
            | BinaryOperator::GtEq
            | BinaryOperator::LtEq
            | BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::BitwiseOr
            | BinaryOperator::BitwiseAnd
            | BinaryOperator::BitwiseXor
            | BinaryOperator::PGBitwiseXor
            | BinaryOperator::PGBitwiseShiftLeft
            | BinaryOperator::PGBitwiseShiftRight
            | BinaryOperator::PGExp
            | BinaryOperator::PGRegexMatch
            | BinaryOperator::PGRegexIMatch
            | BinaryOperator::PGRegexNotMatch
            | BinaryOperator::PGRegexNotIMatch
            | BinaryOperator::PGLikeMatch
            | BinaryOperator::PGILikeMatch
            | BinaryOperator::PGNotLikeMatch
            | BinaryOperator::PGNotILikeMatch
            | BinaryOperator::Arrow
            | BinaryOperator::LongArrow
            | BinaryOperator::HashArrow
            | BinaryOperator::HashLongArrow
            | BinaryOperator::HashMinus
            | BinaryOperator::Question
            | BinaryOperator::QuestionAnd
            | BinaryOperator::QuestionPipe
            | BinaryOperator::AtArrow
            | BinaryOperator::ArrowAt
            | BinaryOperator::PGOverlap
            | BinaryOperator::AtQuestion
            | BinaryOperator::AtAt
            | BinaryOperator::PGStartsWith
    )
}

fn is_marker(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Custom(name, _) if [LITERAL_INT4, INSTANT].contains(&name.to_string().as_str()))
}

pub(super) fn marked(expr: Expr, marker: &str) -> Expr {
    let data_type = DataType::Custom(ObjectName::from(vec![Ident::new(marker)]), Vec::new());
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// A literal of the other sign.
fn negated(digits: &str) -> String {
    digits.strip_prefix('-').map_or_else(|| format!("-{digits}"), str::to_string)
}

/// The digits of a literal that was given its type here.
pub(super) fn integer_literal(expression: &Expr) -> Option<(&str, Span)> {
    let Expr::Cast { expr, data_type, .. } = expression else { return None };
    let Expr::Value(ValueWithSpan { value: Value::Number(digits, _), span }) = expr.as_ref() else { return None };
    is_marker(data_type).then_some((digits.as_str(), *span))
}

/// EXTRACT by the scale of its result.
fn extract(field: &DateTimeField, from: Expr) -> Expr {
    let name = field.to_string().trim_matches(['"', '\'']).to_lowercase();
    let function = match name.as_str() {
        "second" | "seconds" | "sec" | "secs" | "s" | "epoch" => "extract_seconds",
        "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" | "mseconds" => "extract_milliseconds",
        "julian" | "j" | "jd" => "extract_julian",
        _ => EXTRACT_WHOLE,
    };
    call(function, vec![Expr::Value(Value::SingleQuotedString(name).into()), from])
}

/// `(start, end) OVERLAPS (start, end)`
fn overlaps(left: Expr, right: Expr) -> Expr {
    match (left, right) {
        (Expr::Tuple(left), Expr::Tuple(right)) => call("overlaps", left.into_iter().chain(right).collect()),
        (left, right) => Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::Overlaps, right: Box::new(right) },
    }
}

pub(crate) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    call_named(Ident::new(name), arguments)
}

pub(crate) fn call_quoted(name: &str, arguments: Vec<Expr>) -> Expr {
    call_named(Ident::with_quote('"', name), arguments)
}

pub(super) fn call_named(name: Ident, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
