//! Meetings: values that become one, such as the branches of CASE, in the type that PostgreSQL finds for all of them.
//!
//! The rules are those of chapter 10.5 of PostgreSQL's manual. What has a type says which one it is; a literal without one is read
//! by that type's reader, and values of types that have nothing to do with each other do not meet:
//!
//!     coalesce(real, numeric)            double precision
//!     CASE WHEN a THEN date ELSE '…'     a date
//!     greatest(1, date)                  GREATEST types integer and date cannot be matched

use super::call::is_left_to_arrow;
use super::candidates::{UNKNOWN, common_type, is_coercible};
use super::casts::{cast_call, expression_field};
use super::contexts::operator_operands;
use super::lowering::{Argument, Lowering, binary_expression};
use super::modifiers::with_modifier;
use super::resolution::{Operand, Resolved, as_decimal, is_float, resolve, settled};
use super::whole_expressions::{as_whole, of_one};
use crate::error::{ErrorKind, QueryError};
use crate::functions::arrays::ARRAY_OF_ARRAYS;
use crate::functions::best_of_two::best_of;
use crate::functions::clocks::waiting_where_taken;
use crate::functions::coalescing::computed_once;
use crate::functions::overload::{dimensions, innermost};
use crate::types::natural_type;
use crate::user_types::{is_tagged_array, type_of_oid};
use arrow::datatypes::DataType;
use catalog::sql_type::{NUMERIC_PRECISION_MAX, SqlType};
use datafusion::common::ScalarValue;
use datafusion::functions::core::expr_fn;
use datafusion::functions_nested::expr_fn::make_array;
use datafusion::logical_expr::expr::{Case, Cast};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, when};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::sync::Arc;

type Result<T> = std::result::Result<T, QueryError>;

/// What brings values together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Meeting {
    /// The operand, if there is one, then a condition and a value for each branch, then the value of ELSE, if there is one.
    Case {
        operand: bool,
        otherwise: bool,
    },
    Coalesce,
    Greatest,
    Least,
    NullIf,
    /// `ARRAY[…]`.
    Array,
    /// A value of a column of VALUES: the first operand, beside the others of the column.
    Values,
    /// `IS DISTINCT FROM`, or `IS NOT DISTINCT FROM`.
    Distinct {
        negated: bool,
    },
}

/// A value that meets others: its type, and what it says if that is open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guest<'a> {
    pub known: Operand,
    pub literal: Option<&'a ScalarValue>,
    /// Where it stands in the text: a 1-based character.
    pub place: Option<usize>,
}

impl Meeting {
    /// The meeting that a function of this name is.
    pub(crate) fn of_function(name: &str) -> Option<Self> {
        Some(match name {
            "coalesce" => Self::Coalesce,
            "greatest" => Self::Greatest,
            "least" => Self::Least,
            "nullif" => Self::NullIf,
            _ => return None,
        })
    }

    /// The word of errors.
    pub(crate) fn construct(self) -> &'static str {
        match self {
            Self::Case { .. } => "CASE",
            Self::Coalesce => "COALESCE",
            Self::Greatest => "GREATEST",
            Self::Least => "LEAST",
            Self::NullIf => "NULLIF",
            Self::Array => "ARRAY",
            Self::Values => "VALUES",
            Self::Distinct { .. } => "IS DISTINCT FROM",
        }
    }

    /// The type of the whole.
    pub(crate) fn result(self, guests: &[Guest<'_>]) -> Result<SqlType> {
        match self {
            Self::Case { operand, otherwise } => {
                check_conditions(operand, otherwise, guests)?;
                common(self.construct(), &case_values(operand, otherwise, guests))
            }
            Self::Coalesce | Self::Greatest | Self::Least | Self::Values => common(self.construct(), guests),
            Self::Array => Ok(SqlType::Array(Box::new(element(common(self.construct(), guests)?)))),
            Self::NullIf => {
                let [value, other] = pair(guests)?;
                resolve(&BinaryOperator::Eq, &value.known, &other.known)?;
                if let (Some(known), Some(beside)) = (&value.known, &other.known)
                    && let Some(wider) = compared_as(known, beside)
                {
                    return Ok(wider);
                }
                // Texts of any kind are compared as text.
                Ok(match settled(&BinaryOperator::Eq, &value.known, &other.known).0 {
                    SqlType::Varchar { .. } => SqlType::Text,
                    known => known,
                })
            }
            Self::Distinct { .. } => {
                let [left, right] = pair(guests)?;
                resolve(&BinaryOperator::Eq, &left.known, &right.known).map(|_| SqlType::Bool)
            }
        }
    }
}

/// The type that a value becomes where it is compared with one of another, if it becomes one.
fn compared_as(value: &SqlType, beside: &SqlType) -> Option<SqlType> {
    let types = operator_operands("=", &[value.oid(), beside.oid()]).ok()?;
    match type_of_oid(*types.first()?)? {
        same if same.oid() == value.oid() => None,
        SqlType::Numeric { .. } => SqlType::from_data_type(&as_decimal(value)),
        SqlType::Float8 => Some(SqlType::Float8),
        SqlType::Interval => Some(SqlType::Interval),
        SqlType::Text if matches!(value, SqlType::Bpchar { .. }) => Some(SqlType::Text),
        _ => None,
    }
}

/// `nullif` and IS DISTINCT FROM take two values.
fn pair<'a, 'g>(guests: &'a [Guest<'g>]) -> Result<&'a [Guest<'g>; 2]> {
    guests.try_into().map_err(|_| QueryError::new(ErrorKind::Syntax, "NULLIF takes two values"))
}

/// The type in which values meet. A modifier stays where all have the same one, as with `numeric(8,2)`; other numerics get the
/// digits that all of them need. Errors: `UNION types integer and text cannot be matched`.
pub(crate) fn common(construct: &str, guests: &[Guest<'_>]) -> Result<SqlType> {
    let mut known = guests.iter().filter_map(|guest| guest.known.as_ref());
    if let Some(first) = known.next()
        && known.all(|next| next == first)
        && guests.iter().all(|guest| guest.known.is_some())
    {
        return Ok(first.clone());
    }
    if let Some(padded) = char_of_all(guests) {
        return Ok(padded);
    }
    if let Some(array) = array_of_all(guests)? {
        return Ok(array);
    }
    let oids: Vec<_> = guests.iter().map(|guest| guest.known.as_ref().map_or(UNKNOWN, SqlType::oid)).collect();
    let Some(oid) = common_type(&oids) else { return Err(mismatch(construct, guests, &oids)) };
    if let Some(guest) = guests.iter().zip(&oids).find_map(|(guest, from)| (!is_coercible(*from, oid)).then_some(guest))
    {
        let name = |sql_type: Option<SqlType>| sql_type.map_or_else(|| "unknown".into(), |known| known.base_name());
        let (from, to) = (name(guest.known.clone()), name(type_of_oid(oid)));
        let message = format!("{construct} could not convert type {from} to {to}");
        return Err(QueryError::new(ErrorKind::CannotCoerce, message).position(guest.place));
    }
    match type_of_oid(oid) {
        Some(SqlType::Numeric { .. }) => numeric_of_all(guests),
        Some(sql_type) => Ok(sql_type),
        None => Err(mismatch(construct, guests, &oids)),
    }
}

/// The type of arrays whose items are of one type; `None` where not all are arrays of it.
fn array_of_all(guests: &[Guest<'_>]) -> Result<Option<SqlType>> {
    let known: Vec<&SqlType> = guests.iter().filter_map(|guest| guest.known.as_ref()).collect();
    let Some(first @ SqlType::Array(_)) = known.first() else { return Ok(None) };
    if known.iter().any(|next| next.oid() != first.oid()) {
        return Ok(None);
    }
    match innermost(first) {
        SqlType::Numeric { .. } => {
            let items = known.iter().map(|array| Guest { known: Some(innermost(array).clone()), ..Guest::default() });
            Ok(Some(SqlType::Array(Box::new(numeric_of_all(&items.collect::<Vec<_>>())?))))
        }
        _ => Ok(Some((*first).clone())),
    }
}

/// char(n) beside NULLs alone, whose length says how far its values are filled up with blanks.
fn char_of_all(guests: &[Guest<'_>]) -> Option<SqlType> {
    let is_null = |guest: &Guest<'_>| guest.known.is_none() && guest.literal.is_none_or(ScalarValue::is_null);
    let mut others = guests.iter().filter(|guest| !is_null(guest));
    let first = others.next()?.known.as_ref().filter(|known| matches!(known, SqlType::Bpchar { .. }))?;
    others.all(|guest| guest.known.as_ref() == Some(first)).then(|| first.clone())
}

/// Names the first two types that do not meet.
fn mismatch(construct: &str, guests: &[Guest<'_>], oids: &[u32]) -> QueryError {
    let fits = |count: &usize| common_type(&oids[..*count]).is_none();
    let count = (1..=oids.len()).find(fits).unwrap_or(oids.len());
    let before = common_type(&oids[..count - 1]).and_then(type_of_oid);
    let name = |sql_type: Option<&SqlType>| sql_type.map_or_else(|| "unknown".to_string(), SqlType::base_name);
    let (before, next) = (name(before.as_ref()), name(guests[count - 1].known.as_ref()));
    QueryError::new(ErrorKind::DatatypeMismatch, format!("{construct} types {before} and {next} cannot be matched"))
        .position(guests[count - 1].place)
}

/// The numeric that holds every digit of some numerics and integers.
fn numeric_of_all(guests: &[Guest<'_>]) -> Result<SqlType> {
    let (mut whole, mut fraction) = (1_i16, 0_i16);
    for guest in guests {
        let (precision, scale) = match (&guest.known, guest.literal) {
            (Some(known), _) => match as_decimal(known) {
                DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => (precision, scale),
                _ => continue,
            },
            (None, Some(ScalarValue::Utf8(Some(text)))) => {
                natural_type(text).map_err(|error| error.position(guest.place))?
            }
            _ => continue,
        };
        whole = whole.max(i16::from(precision) - i16::from(scale));
        fraction = fraction.max(i16::from(scale));
    }
    let precision = (whole + fraction).min(NUMERIC_PRECISION_MAX.into()) as u8;
    Ok(SqlType::Numeric { precision, scale: fraction as i8, declared: false })
}

/// The type of an array's items, which have no modifier.
fn element(common: SqlType) -> SqlType {
    match common {
        SqlType::Varchar { .. } => SqlType::Varchar { length_max: None },
        SqlType::Numeric { precision, scale, .. } => SqlType::Numeric { precision, scale, declared: false },
        other => other,
    }
}

/// An array whose items are known by their Arrow type alone.
fn plain_array(item: &SqlType) -> SqlType {
    SqlType::Array(Box::new(SqlType::from_data_type(&item.data_type()).unwrap_or(SqlType::Text)))
}

/// The values of CASE; that of ELSE, or the NULL in its place, says the most.
fn case_values<'a>(operand: bool, otherwise: bool, guests: &[Guest<'a>]) -> Vec<Guest<'a>> {
    let (branches, last) = branches(operand, otherwise, guests);
    let absent = Guest::default();
    let last = last.cloned().unwrap_or(absent);
    std::iter::once(last).chain(branches.chunks(2).map(|branch| branch[1].clone())).collect()
}

/// The conditions and values of CASE, and the value of ELSE.
pub(super) fn branches<T>(operand: bool, otherwise: bool, parts: &[T]) -> (&[T], Option<&T>) {
    let branches = &parts[usize::from(operand)..];
    match branches.split_last() {
        Some((last, branches)) if otherwise => (branches, Some(last)),
        _ => (branches, None),
    }
}

/// What stands behind WHEN is compared with the operand; without one it is a condition, and a site of its own.
fn check_conditions(operand: bool, otherwise: bool, guests: &[Guest<'_>]) -> Result<()> {
    if !operand {
        return Ok(());
    }
    let base = Some(guests[0].known.clone().unwrap_or(SqlType::Text));
    let mut conditions = branches(operand, otherwise, guests).0.chunks(2).map(|branch| &branch[0].known);
    conditions.try_for_each(|condition| resolve(&BinaryOperator::Eq, &base, condition).map(|_| ()))
}

impl Argument {
    /// The argument as what meets others.
    pub(super) fn guest(&self) -> Guest<'_> {
        let literal = match &self.expression {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        };
        Guest { known: self.known.clone(), literal, place: self.place }
    }
}

impl Meeting {
    /// The modifier of the moments or intervals that meet, where all have the same. Other types say theirs by themselves.
    fn modifier(self, arguments: &[Argument], common: &SqlType) -> Option<i32> {
        use SqlType as T;
        if !matches!(common, T::Time | T::TimeTz | T::Timestamp | T::TimestampTz | T::Interval) {
            return None;
        }
        let values: Vec<&Argument> = match self {
            Meeting::Coalesce | Meeting::Greatest | Meeting::Least => arguments.iter().collect(),
            Meeting::Case { operand, otherwise: true } => {
                let (branches, last) = branches(operand, true, arguments);
                branches.chunks(2).filter_map(|branch| branch.get(1)).chain(last).collect()
            }
            _ => return None,
        };
        let modifier = values.first()?.modifier();
        let agrees = |value: &&Argument| value.known.as_ref() == Some(common) && value.modifier() == modifier;
        (modifier != -1 && values.iter().all(agrees)).then_some(modifier)
    }
}

impl Lowering<'_> {
    /// What computes a meeting.
    pub(super) fn meeting(&self, meeting: Meeting, arguments: Vec<Argument>) -> Result<Expr> {
        let guests: Vec<Guest<'_>> = arguments.iter().map(Argument::guest).collect();
        let common = meeting.result(&guests)?;
        let modifier = meeting.modifier(&arguments, &common);
        let met = self.met_values(meeting, arguments, &common)?;
        Ok(match modifier {
            Some(modifier) => with_field(met, &common, modifier),
            None => met,
        })
    }

    fn met_values(&self, meeting: Meeting, arguments: Vec<Argument>, common: &SqlType) -> Result<Expr> {
        match meeting {
            Meeting::Case { operand, otherwise } => self.case(operand, otherwise, arguments, common),
            Meeting::NullIf => self.null_if(arguments, common),
            Meeting::Distinct { negated } => self.distinct(arguments, negated),
            Meeting::Values => match arguments.into_iter().next() {
                Some(value) => self.met(value, common),
                None => Err(QueryError::unsupported("a column of VALUES without values")),
            },
            Meeting::Array => {
                let SqlType::Array(item) = common else { return Err(QueryError::unsupported("this array")) };
                if is_left_to_arrow(item) {
                    return Ok(make_array(arguments.into_iter().map(Argument::into_expression).collect()));
                }
                if is_tagged_array(common) {
                    return self.enum_array(arguments, item, common.clone());
                }
                let values = arguments.into_iter().map(|argument| self.met(argument, item));
                let array = self.of_one_shape(make_array(values.collect::<Result<Vec<Expr>>>()?), item)?;
                Ok(match item.item_field().metadata().is_empty() {
                    true => array,
                    false => cast_call(array, plain_array(item), common.clone(), self.context),
                })
            }
            Meeting::Coalesce | Meeting::Greatest | Meeting::Least => {
                let values = arguments.into_iter().map(|argument| self.met(argument, common));
                let values = values.collect::<Result<Vec<Expr>>>()?;
                let met = match (meeting, best_of(common, meeting == Meeting::Greatest)) {
                    (Meeting::Coalesce, _) if values.iter().rev().skip(1).any(Expr::is_volatile) => {
                        computed_once(values)
                    }
                    (Meeting::Coalesce, _) => expr_fn::coalesce(values),
                    (_, Some(function)) => self.best_by(function, values, common)?,
                    (Meeting::Greatest, None) => expr_fn::greatest(values),
                    _ => expr_fn::least(values),
                };
                Ok(self.with_type(met, common))
            }
        }
    }

    /// An array whose items are arrays is held to one shape.
    fn of_one_shape(&self, array: Expr, item: &SqlType) -> Result<Expr> {
        match self.procedures.get(ARRAY_OF_ARRAYS).filter(|_| matches!(item, SqlType::Array(_))).cloned() {
            Some(function) => self.bound(&function, vec![array], &[Some(plain_array(item))]),
            None => Ok(array),
        }
    }

    /// An array of an enum: one of its labels, cast.
    fn enum_array(&self, arguments: Vec<Argument>, item: &SqlType, array: SqlType) -> Result<Expr> {
        let (inner, depth) = (innermost(item).clone(), dimensions(item));
        let texts = (0..depth).fold(SqlType::Text, |inner, _| SqlType::Array(Box::new(inner)));
        let values = arguments.into_iter().map(|argument| {
            let value = self.met(argument, item)?;
            Ok(self.converted(value, if depth == 0 { &inner } else { item }, &texts))
        });
        let labels = self.of_one_shape(make_array(values.collect::<Result<Vec<Expr>>>()?), item)?;
        Ok(cast_call(labels, SqlType::Array(Box::new(texts)), array, self.context))
    }

    /// The best of some values by a function that tells of two.
    fn best_by(&self, function: &str, values: Vec<Expr>, common: &SqlType) -> Result<Expr> {
        let function = self.procedures.get(function).cloned();
        let function = function.ok_or_else(|| QueryError::unsupported("this comparison"))?;
        let types = [Some(common.clone()), Some(common.clone())];
        let best = values.into_iter().map(Ok).reduce(|best, next| self.bound(&function, vec![best?, next?], &types));
        best.unwrap_or_else(|| Err(QueryError::new(ErrorKind::Syntax, "there are no values to compare")))
    }

    fn case(&self, operand: bool, otherwise: bool, arguments: Vec<Argument>, common: &SqlType) -> Result<Expr> {
        let mut arguments = arguments.into_iter();
        let base = operand.then(|| arguments.next()).flatten().map(|base| self.base(base)).transpose()?;
        let mut rest: Vec<Argument> = arguments.collect();
        let last = if otherwise { rest.pop() } else { None };
        let case = match base {
            Some((base, known)) => of_one(base, |base| self.case_of(Some((base, known)), rest, last, common)),
            None => self.case_of(None, rest, last, common),
        };
        Ok(self.with_type(case?, common))
    }

    /// CASE of an operand, or of conditions.
    fn case_of(
        &self,
        base: Option<(Expr, SqlType)>,
        branches: Vec<Argument>,
        last: Option<Argument>,
        common: &SqlType,
    ) -> Result<Expr> {
        let mut branches = branches.into_iter();
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        while let (Some(condition), Some(value)) = (branches.next(), branches.next()) {
            conditions.push(match &base {
                Some((base, known)) => {
                    let base = Argument::known(base.clone(), known.clone());
                    self.binary(&BinaryOperator::Eq, base, condition)?
                }
                None => self.typed(condition, &SqlType::Bool)?,
            });
            values.push(Box::new(self.met(value, common)?));
        }
        // CASE and nullif of DataFusion tell 0 from -0, which are equal.
        // It finds no type for the widest numerics beside others.
        let stays_apart =
            |known: &SqlType| is_float(known) || matches!(known, SqlType::Numeric { precision: 39.., .. });
        let stays_apart = base.as_ref().is_some_and(|(_, known)| stays_apart(known));
        let base = base.map(|(base, _)| base);
        let compared = base.as_ref().filter(|_| !stays_apart).and_then(|base| compared_with(base, &conditions));
        let (base, conditions) = match compared {
            Some(compared) => (base, compared),
            None => (None, conditions),
        };
        let is_volatile = conditions.iter().any(Expr::is_volatile);
        let case = Case {
            expr: base.map(Box::new),
            when_then_expr: conditions.into_iter().map(Box::new).zip(values).collect(),
            else_expr: last.map(|last| self.met(last, common)).transpose()?.map(Box::new),
        };
        // The simplifier writes a condition beside each branch.
        Ok(if is_volatile { as_whole(Expr::Case(case)) } else { Expr::Case(waiting_where_taken(case)) })
    }

    /// The operand of CASE, which is text if nothing says otherwise.
    fn base(&self, base: Argument) -> Result<(Expr, SqlType)> {
        let known = base.known.clone().unwrap_or(SqlType::Text);
        Ok((self.typed(base, &known)?, known))
    }

    fn null_if(&self, arguments: Vec<Argument>, result: &SqlType) -> Result<Expr> {
        let [value, other] = <[Argument; 2]>::try_from(arguments)
            .map_err(|_| QueryError::new(ErrorKind::Syntax, "NULLIF takes two values"))?;
        let modifier =
            if value.known.as_ref().is_none_or(|known| known.oid() == result.oid()) { value.modifier() } else { -1 };
        let has_one_type = other.known.as_ref().is_none_or(|known| known.data_type() == result.data_type());
        let null = Expr::Literal(ScalarValue::try_from(&result.data_type()).unwrap_or(ScalarValue::Null), None);
        let met = of_one(self.met(value, result)?, |value| {
            let left = Argument::known(value.clone(), result.clone());
            match self.binary(&BinaryOperator::Eq, left, other)? {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })
                    if *left == value && has_one_type && !is_float(result) =>
                {
                    Ok(expr_fn::nullif(value, *right))
                }
                equal => when(equal, null).otherwise(value).map_err(|error| QueryError::unsupported(error.to_string())),
            }
        })?;
        let met = self.with_type(met, result);
        if modifier == -1 {
            return Ok(met);
        }
        Ok(with_field(met, result, modifier))
    }

    fn distinct(&self, arguments: Vec<Argument>, negated: bool) -> Result<Expr> {
        let [left, right] = <[Argument; 2]>::try_from(arguments)
            .map_err(|_| QueryError::new(ErrorKind::Syntax, "IS DISTINCT FROM takes two values"))?;
        if let Resolved::Converted(left_type, right_type) = resolve(&BinaryOperator::Eq, &left.known, &right.known)? {
            let operands = vec![self.as_operand(left, &left_type), self.as_operand(right, &right_type)];
            return self.distinct(operands, negated);
        }
        let operator = if negated { Operator::IsNotDistinctFrom } else { Operator::IsDistinctFrom };
        let (left_type, right_type) = settled(&BinaryOperator::Eq, &left.known, &right.known);
        if left_type == SqlType::Interval && right_type == SqlType::Interval {
            let (left, right) = (self.typed(left, &left_type)?, self.typed(right, &right_type)?);
            return Ok(binary_expression(left, operator, right));
        }
        let nulls = [&left, &right].map(|operand| operand.expression.clone().is_null());
        match self.binary(&BinaryOperator::Eq, left, right)? {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                Ok(binary_expression(*left, operator, *right))
            }
            equal if !equal.is_volatile() => {
                // It is not known where one of the two is NULL, or both are.
                let [left, right] = nulls;
                let distinct = when(equal.clone().is_null(), binary_expression(left, Operator::NotEq, right))
                    .otherwise(Expr::Not(Box::new(equal)))
                    .map_err(|error| QueryError::unsupported(error.to_string()))?;
                Ok(if negated { Expr::Not(Box::new(distinct)) } else { distinct })
            }
            _ => Err(QueryError::unsupported(format!(
                "IS DISTINCT FROM of {} and {}",
                left_type.base_name(),
                right_type.base_name()
            ))),
        }
    }

    /// A value in the type in which it meets others.
    pub(super) fn met(&self, argument: Argument, common: &SqlType) -> Result<Expr> {
        let known = argument.known.clone();
        let value = self.typed(argument, common)?;
        let from = match (&known, &value) {
            (Some(known), _) => known.clone(),
            // A literal has the digits that it is written with.
            (None, Expr::Literal(literal, _)) => {
                SqlType::from_data_type(&literal.data_type()).unwrap_or_else(|| common.clone())
            }
            (None, _) => return Ok(value),
        };
        let to = common.data_type();
        Ok(match common {
            _ if from.data_type() == to => value,
            SqlType::Numeric { .. } => self.to_number(value, &from, &to),
            _ => self.converted(value, &from, common),
        })
    }

    /// A value whose field says the type where Arrow's type does not.
    fn with_type(&self, value: Expr, sql_type: &SqlType) -> Expr {
        if expression_field(sql_type).metadata().is_empty() {
            return value;
        }
        cast_call(value, sql_type.clone(), sql_type.clone(), self.context)
    }
}

/// A value of a type whose field says a modifier.
fn with_field(value: Expr, sql_type: &SqlType, modifier: i32) -> Expr {
    let field = with_modifier(&expression_field(sql_type), modifier);
    Expr::Cast(Cast::new_from_field(Box::new(value), Arc::new(field)))
}

/// What an operand is compared with, if every condition is a plain comparison of it.
fn compared_with(base: &Expr, conditions: &[Expr]) -> Option<Vec<Expr>> {
    let plain = conditions.iter().map(|condition| match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if left.as_ref() == base => {
            Some(right.as_ref().clone())
        }
        _ => None,
    });
    plain.collect()
}
