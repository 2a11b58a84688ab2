//! Operand types: which operator PostgreSQL means by `a + b`, and what it gives.
//!
//! The rules are those of chapter 10.2 of PostgreSQL's manual, written down for the types that Meridian computes with: integers widen to
//! numeric, numeric to double precision; a date beside a timestamp is one. There is no implicit way from text to anything. What an
//! operand of unknown type becomes is told by [`super::candidates`].

use super::candidates::{Oid, UNKNOWN};
use super::contexts::operator_operands;
use super::json_operators;
use super::meetings::Guest;
use crate::error::{ErrorKind, QueryError};
use crate::functions::overload::{common_element, innermost};
use crate::functions::products::{PRODUCT_SCALE, product_type};
use crate::functions::quotients::quotient_type;
use crate::types::natural_type;
use crate::types::shown_digits::QUOTIENT_SCALE;
use crate::user_types::type_of_oid;
use arrow::datatypes::{DECIMAL256_MAX_PRECISION, DataType, Field};
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Whether a literal's type is still open: a string without a cast, or NULL.
pub(crate) fn unknown_field(field: &Field, literal: Option<&ScalarValue>) -> bool {
    match field.data_type() {
        DataType::Null => true,
        DataType::Utf8 => literal.is_some_and(|value| matches!(value, ScalarValue::Utf8(_))),
        _ => false,
    }
}

/// What an implicit conversion of a function's argument costs; `None` where there is none, 0 for the same type.
pub(crate) fn implicit_cost(from: &SqlType, to: &SqlType) -> Option<u32> {
    use SqlType::{
        Bool, Date, Float4, Float8, Int2, Int4, Int8, Interval, Name, Numeric, Text, Time, Timestamp, TimestampTz,
        Varchar,
    };
    const PREFERRED: Option<u32> = Some(2);
    const OTHER: Option<u32> = Some(3);
    match (from, to) {
        (Numeric { .. }, Numeric { .. }) => Some(0),
        (from, to) if from == to => Some(0),
        (Varchar { .. } | SqlType::Bpchar { .. } | Name | SqlType::Char | SqlType::Reg(_), Text) => Some(1),
        (Int2, Int4 | Int8 | Numeric { .. } | Float4) | (Int4, Int8 | Numeric { .. } | Float4) => OTHER,
        (Int8, Numeric { .. } | Float4) | (Numeric { .. }, Float4) | (Date, Timestamp) => OTHER,
        (Int2 | Int4 | Int8 | Numeric { .. } | Float4, Float8) => PREFERRED,
        (Date | Timestamp, TimestampTz) | (Time, Interval) => PREFERRED,
        (SqlType::Oid, Int8) => OTHER,
        (SqlType::Array(from), SqlType::Array(to)) => implicit_cost(from, to),
        (Bool, _) => None,
        _ => None,
    }
}

/// What computes an operator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resolved {
    /// A comparison of two values of one type; the type is given where both sides have to become it.
    Comparison { operator: Operator, common: Option<DataType>, cast_to: Option<SqlType> },
    /// Arithmetic on numbers: both operands become `operands`, the result has type `result`.
    Arithmetic { operator: Operator, operands: (DataType, DataType), result: DataType },
    /// `/` of numerics or doubles.
    Quotient { operands: (DataType, DataType), result: DataType },
    /// `*` of numerics whose scales together leave no room before the point.
    Product { operands: (DataType, DataType), result: DataType },
    /// A function of the registry, with its arguments swapped where the operator was declared the other way round.
    Procedure { name: &'static str, swapped: bool },
    /// A comparison of jsonb values, which is one of their sort keys.
    Keyed(Operator),
    /// `||` of texts.
    Concatenation,
    /// A pattern match of texts.
    Pattern(Operator),
    /// `&`, `|` and `#` of integers, which become the wider type, or a shift, which keeps the type of what is shifted.
    Bits { operator: Operator, operands: (SqlType, SqlType) },
    /// The operator for other operand types, to which the operands are cast first.
    Converted(SqlType, SqlType),
    /// DataFusion's own rules.
    Native(Operator),
}

/// The operator as an error shows it.
pub(crate) fn symbol(operator: &BinaryOperator) -> String {
    match operator {
        BinaryOperator::NotEq => "<>".into(),
        other => other.to_string(),
    }
}

fn class(sql_type: &SqlType) -> Class {
    match sql_type {
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => Class::Integer,
        SqlType::Numeric { .. } => Class::Numeric,
        SqlType::Float4 | SqlType::Float8 => Class::Float,
        SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. } | SqlType::Name => Class::Text,
        SqlType::Bool => Class::Bool,
        SqlType::Date => Class::Date,
        SqlType::Time => Class::Time,
        SqlType::TimeTz => Class::TimeTz,
        SqlType::Timestamp => Class::Timestamp,
        SqlType::TimestampTz => Class::TimestampTz,
        SqlType::Interval => Class::Interval,
        SqlType::Uuid => Class::Uuid,
        SqlType::Bytea => Class::Bytea,
        SqlType::Json | SqlType::Jsonb => Class::Document,
        SqlType::Enum(_) => Class::Enum,
        SqlType::Char | SqlType::Oid | SqlType::Reg(_) | SqlType::Array(_) | SqlType::Vector(_) | SqlType::Void => {
            Class::Other
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Integer,
    Numeric,
    Float,
    Text,
    Bool,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Bytea,
    /// json and jsonb.
    Document,
    Enum,
    Other,
}

impl Class {
    fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::Numeric | Self::Float)
    }
}

/// An operand: its type, unless it is a literal whose type is open.
pub(crate) type Operand = Option<SqlType>;

/// The types that the operands have, those of unknown type by what PostgreSQL would take them for.
pub(crate) fn settled(operator: &BinaryOperator, left: &Operand, right: &Operand) -> (SqlType, SqlType) {
    if let (Some(left), Some(right)) = (left, right) {
        return (left.clone(), right.clone());
    }
    let types = unknown_operands(operator, left, right).unwrap_or_default();
    let known = |operand: &Operand, index: usize| {
        let wanted = || types.get(index).and_then(|oid| type_of_oid(*oid)).unwrap_or(SqlType::Text);
        operand.clone().unwrap_or_else(wanted)
    };
    (known(left, 0), known(right, 1))
}

/// The types of operands, of which a literal that becomes a numeric has the digits that it is written with.
pub(super) fn with_digits(
    operator: &BinaryOperator,
    left: &Guest<'_>,
    right: &Guest<'_>,
) -> Result<(Operand, Operand), QueryError> {
    if left.known.is_some() && right.known.is_some() {
        return Ok((left.known.clone(), right.known.clone()));
    }
    let (left_type, right_type) = settled(operator, &left.known, &right.known);
    let known = |guest: &Guest<'_>, settled: &SqlType| -> Result<Operand, QueryError> {
        match (settled, guest.literal) {
            (SqlType::Numeric { declared: false, .. }, Some(ScalarValue::Utf8(Some(text))))
                if guest.known.is_none() =>
            {
                let (precision, scale) = natural_type(text).map_err(|error| error.position(guest.place))?;
                Ok(Some(SqlType::Numeric { precision, scale, declared: false }))
            }
            _ => Ok(guest.known.clone()),
        }
    };
    Ok((known(left, &left_type)?, known(right, &right_type)?))
}

/// The operand types of the operator that is meant where some are unknown.
fn unknown_operands(operator: &BinaryOperator, left: &Operand, right: &Operand) -> Result<Vec<Oid>, QueryError> {
    operator_operands(&symbol(operator), &[oid_of(left), oid_of(right)])
}

/// An operand's type as lists of candidates have it.
pub(crate) fn oid_of(operand: &Operand) -> Oid {
    operand.as_ref().map_or(UNKNOWN, SqlType::oid)
}

/// The operator for these operand types.
pub(crate) fn resolve(operator: &BinaryOperator, left: &Operand, right: &Operand) -> Result<Resolved, QueryError> {
    let (left_type, right_type) = settled(operator, left, right);
    let (left_class, right_class) = (class(&left_type), class(&right_type));
    let unknown = || {
        let both_known = left.is_some() && right.is_some();
        let failure = unknown_operands(operator, left, right).err();
        let failure = failure.filter(|failure| !both_known || failure.kind == ErrorKind::AmbiguousFunction);
        failure.unwrap_or_else(|| no_operator(operator, left, right))
    };
    if matches!(operator, BinaryOperator::Custom(_)) {
        return Err(match unknown_operands(operator, left, right) {
            Ok(_) => QueryError::unsupported(format!("operator {operator}")),
            Err(_) => unknown(),
        });
    }
    // A varchar becomes a char(n) beside one, and so the blanks at its end mean nothing.
    if is_comparison(operator)
        && let (SqlType::Bpchar { .. }, SqlType::Varchar { .. }) | (SqlType::Varchar { .. }, SqlType::Bpchar { .. }) =
            (&left_type, &right_type)
    {
        let padded = |known: SqlType| match known {
            SqlType::Varchar { .. } => SqlType::Bpchar { length: None },
            other => other,
        };
        return Ok(Resolved::Converted(padded(left_type), padded(right_type)));
    }
    let (on_left, on_right) = (left_class == Class::Document, right_class == Class::Document);
    // `||` also makes text of a jsonb beside text and adds one to an array.
    let joins = *operator == BinaryOperator::StringConcat && (left_class != right_class || left_type == SqlType::Json);
    if (on_left || on_right) && !joins {
        return json_operators::resolve(operator, &left_type, &right_type).ok_or_else(unknown);
    }
    if json_operators::is_document_operator(operator) {
        return Err(unknown());
    }
    if let Some(sets) = set_operator(operator, &left_type, &right_type) {
        return sets.ok_or_else(unknown);
    }
    if let Some(joined) = array_concatenation(operator, &left_type, &right_type) {
        return joined.ok_or_else(unknown);
    }
    if is_comparison(operator)
        && matches!((&left_type, &right_type), (SqlType::Array(_), other) | (other, SqlType::Array(_)) if is_plain(other))
    {
        return Err(unknown());
    }
    if let Some(ordering) = array_ordering(operator, &left_type, &right_type) {
        return ordering.ok_or_else(unknown);
    }
    let is_array = |sql_type: &SqlType| matches!(sql_type, SqlType::Array(_));
    if (is_array(&left_type) || is_array(&right_type)) && unknown_operands(operator, left, right).is_err() {
        return Err(unknown());
    }
    if left_class == Class::Other || right_class == Class::Other {
        return native(operator).map(Resolved::Native).ok_or_else(unknown);
    }
    let resolved = match operator {
        BinaryOperator::Eq
        | BinaryOperator::NotEq
        | BinaryOperator::Lt
        | BinaryOperator::LtEq
        | BinaryOperator::Gt
        | BinaryOperator::GtEq => comparison(operator, &left_type, &right_type),
        BinaryOperator::Plus
        | BinaryOperator::Minus
        | BinaryOperator::Multiply
        | BinaryOperator::Divide
        | BinaryOperator::Modulo => match (left_class.is_number(), right_class.is_number()) {
            (true, true) => number_arithmetic(operator, &left_type, &right_type),
            _ => moment_arithmetic(operator, left_class, right_class),
        },
        BinaryOperator::PGExp | BinaryOperator::BitwiseXor => {
            let numbers = left_class.is_number() && right_class.is_number();
            numbers.then_some(Resolved::Procedure { name: "power", swapped: false })
        }
        BinaryOperator::StringConcat => match (left_class, right_class) {
            (Class::Bytea, Class::Bytea) => Some(Resolved::Procedure { name: "byteacat", swapped: false }),
            (Class::Text, _) | (_, Class::Text) => Some(Resolved::Concatenation),
            _ => None,
        },
        BinaryOperator::PGRegexMatch
        | BinaryOperator::PGRegexIMatch
        | BinaryOperator::PGRegexNotMatch
        | BinaryOperator::PGRegexNotIMatch
        | BinaryOperator::PGLikeMatch
        | BinaryOperator::PGILikeMatch
        | BinaryOperator::PGNotLikeMatch
        | BinaryOperator::PGNotILikeMatch => match (left_class, right_class) {
            (Class::Text, Class::Text) => native(operator).map(Resolved::Pattern),
            (Class::Bytea, Class::Bytea) if has_bytea(operator) => {
                return Err(QueryError::unsupported("LIKE of bytea"));
            }
            _ => None,
        },
        BinaryOperator::BitwiseAnd
        | BinaryOperator::BitwiseOr
        | BinaryOperator::PGBitwiseXor
        | BinaryOperator::PGBitwiseShiftLeft
        | BinaryOperator::PGBitwiseShiftRight => match (left_class, right_class) {
            (Class::Integer, Class::Integer) => bits(operator, &left_type, &right_type),
            _ => None,
        },
        BinaryOperator::PGStartsWith => match (left_class, right_class) {
            (Class::Text, Class::Text) => Some(Resolved::Procedure { name: "starts_with", swapped: false }),
            _ => None,
        },
        _ => native(operator).map(Resolved::Native),
    };
    resolved.or_else(|| converted(operator, &left_type, &right_type)).ok_or_else(unknown)
}

pub(super) fn is_float(sql_type: &SqlType) -> bool {
    class(sql_type) == Class::Float
}

/// The patterns that bytea has too.
fn has_bytea(operator: &BinaryOperator) -> bool {
    matches!(operator, BinaryOperator::PGLikeMatch | BinaryOperator::PGNotLikeMatch)
}

pub(super) fn is_comparison(operator: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// A type of values that are no arrays and not the catalog's.
fn is_plain(sql_type: &SqlType) -> bool {
    class(sql_type) != Class::Other
}

fn bits(operator: &BinaryOperator, left: &SqlType, right: &SqlType) -> Option<Resolved> {
    let wider = if rank(left) >= rank(right) { left } else { right };
    let operands = match operator {
        BinaryOperator::PGBitwiseShiftLeft | BinaryOperator::PGBitwiseShiftRight => {
            if *right == SqlType::Int8 {
                return None;
            }
            (left.clone(), SqlType::Int4)
        }
        _ => (wider.clone(), wider.clone()),
    };
    Some(Resolved::Bits { operator: native(operator)?, operands })
}

/// The operator that is there for what the operands become by themselves: a time is an interval beside one.
fn converted(operator: &BinaryOperator, left: &SqlType, right: &SqlType) -> Option<Resolved> {
    let types = operator_operands(&symbol(operator), &[left.oid(), right.oid()]).ok()?;
    let [to_left, to_right] = types.as_slice() else { return None };
    let becomes = |from: &SqlType, to: Oid| if from.oid() == to { Some(from.clone()) } else { type_of_oid(to) };
    let (new_left, new_right) = (becomes(left, *to_left)?, becomes(right, *to_right)?);
    (new_left != *left || new_right != *right).then_some(Resolved::Converted(new_left, new_right))
}

/// `@>`, `<@` and `&&` of arrays, whose elements are of one type; `None` for other operators. The inner one is `None` where there is
/// no such operator.
fn set_operator(operator: &BinaryOperator, left: &SqlType, right: &SqlType) -> Option<Option<Resolved>> {
    let (name, swapped) = match operator {
        BinaryOperator::AtArrow => ("arraycontains", false),
        BinaryOperator::ArrowAt => ("arraycontains", true),
        BinaryOperator::PGOverlap => ("arrayoverlap", false),
        _ => return None,
    };
    let element = |array: &SqlType| match array {
        SqlType::Array(_) => Some(innermost(array).oid()),
        _ => None,
    };
    let known = element(left).is_some() && element(left) == element(right);
    Some(known.then_some(Resolved::Procedure { name, swapped }))
}

/// `||` of arrays, or of an array and an element; `None` for other operators. The inner one is `None` where there is no such operator.
fn array_concatenation(operator: &BinaryOperator, left: &SqlType, right: &SqlType) -> Option<Option<Resolved>> {
    let name = match (operator, left, right) {
        (BinaryOperator::StringConcat, SqlType::Array(_), SqlType::Array(_)) => "array_cat",
        (BinaryOperator::StringConcat, SqlType::Array(_), _) => "array_append",
        (BinaryOperator::StringConcat, _, SqlType::Array(_)) => "array_prepend",
        _ => return None,
    };
    let common = common_element(innermost(left), innermost(right));
    Some(common.map(|_| Resolved::Procedure { name, swapped: false }))
}

/// Comparisons of arrays, whose items are of one type; `None` where there are no two. NULL items are equal, and above all others, so
/// the orderings are functions.
fn array_ordering(operator: &BinaryOperator, left: &SqlType, right: &SqlType) -> Option<Option<Resolved>> {
    let (SqlType::Array(_), SqlType::Array(_)) = (left, right) else { return None };
    let resolved = match operator {
        BinaryOperator::Eq | BinaryOperator::NotEq => native(operator).map(Resolved::Native),
        BinaryOperator::Lt => Some(Resolved::Procedure { name: "array_lt", swapped: false }),
        BinaryOperator::LtEq => Some(Resolved::Procedure { name: "array_le", swapped: false }),
        BinaryOperator::Gt => Some(Resolved::Procedure { name: "array_gt", swapped: false }),
        BinaryOperator::GtEq => Some(Resolved::Procedure { name: "array_ge", swapped: false }),
        _ => return None,
    };
    Some(resolved.filter(|_| innermost(left).oid() == innermost(right).oid()))
}

/// `operator does not exist: text + integer`
fn no_operator(operator: &BinaryOperator, left: &Operand, right: &Operand) -> QueryError {
    let shown = |operand: &Operand| operand.as_ref().map_or_else(|| "unknown".to_string(), SqlType::base_name);
    let message = format!("operator does not exist: {} {} {}", shown(left), symbol(operator), shown(right));
    QueryError::new(ErrorKind::UndefinedFunction, message)
        .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}

fn comparison(operator: &BinaryOperator, left: &SqlType, right: &SqlType) -> Option<Resolved> {
    let native = native(operator)?;
    let compare = |common: Option<DataType>, cast_to: Option<SqlType>| {
        Some(Resolved::Comparison { operator: native, common, cast_to })
    };
    match (class(left), class(right)) {
        (Class::Interval, Class::Interval) => {
            Some(Resolved::Procedure { name: interval_procedure(operator), swapped: false })
        }
        (Class::Enum, Class::Enum) if left.oid() != right.oid() => None,
        (number, other)
            if number.is_number()
                && other.is_number()
                && let Some(wide) = widest_numeric(left, right) =>
        {
            compare(Some(wide.data_type()), Some(wide))
        }
        (same, other) if same == other => compare(None, None),
        (Class::Float, number) | (number, Class::Float) if number.is_number() => {
            compare(Some(DataType::Float64), Some(SqlType::Float8))
        }
        (left, right) if left.is_number() && right.is_number() => compare(None, None),
        (Class::Date, Class::Timestamp) | (Class::Timestamp, Class::Date) => {
            compare(Some(SqlType::Timestamp.data_type()), Some(SqlType::Timestamp))
        }
        (Class::Date | Class::Timestamp, Class::TimestampTz) | (Class::TimestampTz, Class::Date | Class::Timestamp) => {
            compare(Some(SqlType::TimestampTz.data_type()), Some(SqlType::TimestampTz))
        }
        _ => None,
    }
}

/// The numeric in which two numbers are compared that have more digits together than one can have.
fn widest_numeric(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    let digits = |number: &SqlType| match as_decimal(number) {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            Some((i32::from(precision) - i32::from(scale), scale))
        }
        _ => None,
    };
    let ((left_whole, left_scale), (right_whole, right_scale)) = (digits(left)?, digits(right)?);
    let (whole, scale) = (left_whole.max(right_whole), left_scale.max(right_scale));
    let precision = DECIMAL256_MAX_PRECISION;
    (whole + i32::from(scale) > i32::from(precision)).then_some(SqlType::Numeric { precision, scale, declared: true })
}

fn interval_procedure(operator: &BinaryOperator) -> &'static str {
    match operator {
        BinaryOperator::Eq => "interval_eq",
        BinaryOperator::NotEq => "interval_ne",
        BinaryOperator::Lt => "interval_lt",
        BinaryOperator::LtEq => "interval_le",
        BinaryOperator::Gt => "interval_gt",
        _ => "interval_ge",
    }
}

/// Numbers: integers stay integers of the wider type, a numeric makes a numeric, a float a double; two reals stay real.
fn number_arithmetic(operator: &BinaryOperator, left: &SqlType, right: &SqlType) -> Option<Resolved> {
    let native = native(operator)?;
    let divides = *operator == BinaryOperator::Divide;
    match (class(left), class(right)) {
        (Class::Integer, Class::Integer) => {
            let wider = if rank(left) >= rank(right) { left.data_type() } else { right.data_type() };
            Some(Resolved::Arithmetic { operator: native, operands: (wider.clone(), wider.clone()), result: wider })
        }
        (Class::Float, _) | (_, Class::Float) => {
            if *operator == BinaryOperator::Modulo {
                return None;
            }
            let both_real = *left == SqlType::Float4 && *right == SqlType::Float4;
            let wide = if both_real { DataType::Float32 } else { DataType::Float64 };
            Some(if divides && !both_real {
                Resolved::Quotient { operands: (wide.clone(), wide.clone()), result: wide }
            } else {
                Resolved::Arithmetic { operator: native, operands: (wide.clone(), wide.clone()), result: wide }
            })
        }
        _ => {
            let (left, right) = (as_decimal(left), as_decimal(right));
            if divides {
                return Some(Resolved::Quotient { operands: (left, right), result: quotient_type() });
            }
            decimal_arithmetic(native, left, right)
        }
    }
}

/// Numerics keep all digits: where 38 may not hold the result, both operands have 76.
fn decimal_arithmetic(operator: Operator, left: DataType, right: DataType) -> Option<Resolved> {
    let ((left_precision, left_scale), (right_precision, right_scale)) = (digits(&left), digits(&right));
    let before = |precision: u8, scale: i8| i32::from(precision) - i32::from(scale);
    let scale = left_scale.max(right_scale);
    let needed = match operator {
        Operator::Multiply => i32::from(left_precision) + i32::from(right_precision) + 1,
        Operator::Modulo => i32::from(left_precision.max(right_precision)) + i32::from(scale),
        _ => before(left_precision, left_scale).max(before(right_precision, right_scale)) + i32::from(scale) + 1,
    };
    let is_wide = |data_type: &DataType| matches!(data_type, DataType::Decimal256(..));
    let wide = needed > 38 || is_wide(&left) || is_wide(&right);
    let widened = |data_type: DataType| match data_type {
        DataType::Decimal128(precision, scale) if wide => DataType::Decimal256(precision, scale),
        other => other,
    };
    let operands = (widened(left), widened(right));
    if operator == Operator::Multiply && is_rounded_product(left_scale, right_scale) {
        return Some(Resolved::Product { operands, result: product_type() });
    }
    let coercer = BinaryTypeCoercer::new(&operands.0, &operator, &operands.1);
    let result = narrowed(coercer.get_result_type().ok()?);
    Some(Resolved::Arithmetic { operator, operands, result })
}

/// Whether a quotient is among the factors, and the sum of both scales is more than a product of quotients has.
fn is_rounded_product(left_scale: i8, right_scale: i8) -> bool {
    left_scale.max(right_scale) >= QUOTIENT_SCALE && left_scale + right_scale > PRODUCT_SCALE
}

/// The decimal that a numeric of so many digits is kept in.
fn narrowed(data_type: DataType) -> DataType {
    SqlType::from_data_type(&data_type).map_or(data_type, |known| known.data_type())
}

fn digits(data_type: &DataType) -> (u8, i8) {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => (*precision, *scale),
        _ => (38, 0),
    }
}

/// The decimal that holds every value of a number type.
pub(crate) fn as_decimal(sql_type: &SqlType) -> DataType {
    match sql_type {
        SqlType::Int2 => DataType::Decimal128(5, 0),
        SqlType::Int4 => DataType::Decimal128(10, 0),
        SqlType::Int8 | SqlType::Oid => DataType::Decimal128(19, 0),
        other => other.data_type(),
    }
}

fn rank(sql_type: &SqlType) -> u8 {
    match sql_type {
        SqlType::Int2 => 0,
        SqlType::Int4 => 1,
        _ => 2,
    }
}

/// Dates, times and intervals, by the procedures that PostgreSQL's `pg_operator` names.
fn moment_arithmetic(operator: &BinaryOperator, left: Class, right: Class) -> Option<Resolved> {
    use Class::{Date, Integer, Interval, Time, TimeTz, Timestamp, TimestampTz};
    let procedure = |name| Some(Resolved::Procedure { name, swapped: false });
    let swapped = |name| Some(Resolved::Procedure { name, swapped: true });
    match operator {
        BinaryOperator::Plus => match (left, right) {
            (Date, Integer) => procedure("date_pli"),
            (Integer, Date) => swapped("date_pli"),
            (Date, Interval) => procedure("date_pl_interval"),
            (Interval, Date) => swapped("date_pl_interval"),
            (Date, Time) => procedure("datetime_pl"),
            (Time, Date) => swapped("datetime_pl"),
            (Date, TimeTz) => procedure("datetimetz_pl"),
            (TimeTz, Date) => swapped("datetimetz_pl"),
            (TimeTz, Interval) => procedure("timetz_pl_interval"),
            (Interval, TimeTz) => swapped("timetz_pl_interval"),
            (Timestamp, Interval) => procedure("timestamp_pl_interval"),
            (Interval, Timestamp) => swapped("timestamp_pl_interval"),
            (TimestampTz, Interval) => procedure("timestamptz_pl_interval"),
            (Interval, TimestampTz) => swapped("timestamptz_pl_interval"),
            (Time, Interval) => procedure("time_pl_interval"),
            (Interval, Time) => swapped("time_pl_interval"),
            (Interval, Interval) => procedure("interval_pl"),
            _ => None,
        },
        BinaryOperator::Minus => match (left, right) {
            (Date, Integer) => procedure("date_mii"),
            (Date, Date) => procedure("date_mi"),
            (Date, Interval) => procedure("date_mi_interval"),
            (Timestamp, Interval) => procedure("timestamp_mi_interval"),
            (TimestampTz, Interval) => procedure("timestamptz_mi_interval"),
            (Timestamp | Date, Timestamp) | (Timestamp, Date) => procedure("timestamp_mi"),
            (TimestampTz, TimestampTz | Timestamp | Date) | (Timestamp | Date, TimestampTz) => {
                procedure("timestamptz_mi")
            }
            (Time, Time) => procedure("time_mi_time"),
            (Time, Interval) => procedure("time_mi_interval"),
            (TimeTz, Interval) => procedure("timetz_mi_interval"),
            (Interval, Interval) => procedure("interval_mi"),
            _ => None,
        },
        BinaryOperator::Multiply => match (left, right) {
            (Interval, number) if number.is_number() => procedure("interval_mul"),
            (number, Interval) if number.is_number() => swapped("interval_mul"),
            _ => None,
        },
        BinaryOperator::Divide => match (left, right) {
            (Interval, number) if number.is_number() => procedure("interval_div"),
            _ => None,
        },
        _ => None,
    }
}

/// DataFusion's operator of the same meaning.
fn native(operator: &BinaryOperator) -> Option<Operator> {
    Some(match operator {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        BinaryOperator::Plus => Operator::Plus,
        BinaryOperator::Minus => Operator::Minus,
        BinaryOperator::Multiply => Operator::Multiply,
        BinaryOperator::Divide => Operator::Divide,
        BinaryOperator::Modulo => Operator::Modulo,
        BinaryOperator::StringConcat => Operator::StringConcat,
        BinaryOperator::PGRegexMatch => Operator::RegexMatch,
        BinaryOperator::PGRegexIMatch => Operator::RegexIMatch,
        BinaryOperator::PGRegexNotMatch => Operator::RegexNotMatch,
        BinaryOperator::PGRegexNotIMatch => Operator::RegexNotIMatch,
        BinaryOperator::PGLikeMatch => Operator::LikeMatch,
        BinaryOperator::PGILikeMatch => Operator::ILikeMatch,
        BinaryOperator::PGNotLikeMatch => Operator::NotLikeMatch,
        BinaryOperator::PGNotILikeMatch => Operator::NotILikeMatch,
        BinaryOperator::BitwiseAnd => Operator::BitwiseAnd,
        BinaryOperator::BitwiseOr => Operator::BitwiseOr,
        BinaryOperator::PGBitwiseXor => Operator::BitwiseXor,
        BinaryOperator::PGBitwiseShiftLeft => Operator::BitwiseShiftLeft,
        BinaryOperator::PGBitwiseShiftRight => Operator::BitwiseShiftRight,
        BinaryOperator::ArrowAt => Operator::ArrowAt,
        BinaryOperator::AtArrow => Operator::AtArrow,
        _ => return None,
    })
}
