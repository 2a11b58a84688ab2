//! Contexts: the type that an expression wants of an operand that has none yet.
//!
//! This is the part of PostgreSQL's parse analysis that turns `unknown` into something, one rule for each kind of
//! expression:
//!
//!     i = $1, i = ANY ($1), lag(i, 1, $1)     what the operator or function takes that is meant    `candidates`
//!     coalesce($1, i), CASE … THEN $1         the common type of the values that meet there
//!     NOT $1, a AND $1, FILTER (WHERE $1)     boolean
//!     GROUP BY $1, ORDER BY $1                text
//!     $1 IS NULL, count($1)                   nothing
//!
//! Types are OIDs; [`ANY`] says that an operand may stay as it is. Nothing here knows a parameter or a plan.

use super::call::{SiteCall, SiteKind};
use super::candidates::{
    ANY, Failure, Oid, UNKNOWN, array_of, common_type, element_of, function_types, operator_types,
};
use super::meetings::{Meeting, branches};
use super::open_call::meant;
use super::resolution::symbol;
use crate::error::{ErrorKind, QueryError};
use crate::functions::aggregates::AVERAGED;
use crate::functions::arrays::ITEMS;
use crate::functions::moments::{EXTRACT_BIGINT, EXTRACT_INTEGER, EXTRACT_SMALLINT, EXTRACT_WHOLE};
use crate::functions::overload::Function;
use crate::functions::rounding::{ROUND_TO, TRUNC_TO};
use crate::pg_catalog::type_by_name;
use crate::unknown_function::UnknownFunction;
use crate::user_types::{shown, type_of_oid};
use catalog::sql_type::SqlType;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, ScalarUDF};

pub(crate) const BOOLEAN: Oid = 16;
pub(crate) const BIGINT: Oid = 20;
pub(crate) const TEXT: Oid = 25;
/// A call that asks what `n` in `ROWS n PRECEDING` is to be.
pub(crate) const ROW_OFFSET: &str = "offset@rows";
/// The same for RANGE, behind the column that rows are ordered by.
pub(crate) const VALUE_OFFSET: &str = "offset@range";
const REAL: Oid = 700;
const DOUBLE: Oid = 701;
/// `date`, `time`, `timestamp` and `timestamptz`.
const MOMENTS: [Oid; 4] = [1082, 1083, 1114, 1184];
const INTERVAL: Oid = 1186;

/// Functions that go by another name while a statement is planned.
const RENAMED: [(&str, &str); 11] = [
    (EXTRACT_WHOLE, "extract"),
    (EXTRACT_SMALLINT, "extract"),
    (EXTRACT_INTEGER, "extract"),
    (EXTRACT_BIGINT, "extract"),
    ("extract_seconds", "extract"),
    ("extract_milliseconds", "extract"),
    ("extract_julian", "extract"),
    (ROUND_TO, "round"),
    (TRUNC_TO, "trunc"),
    (AVERAGED, "avg"),
    (ITEMS, "unnest"),
];

/// Calls whose arguments become one type.
const VALUES_MEET: [&str; 2] = ["make_array", "array_or_empty"];

/// Aggregates whose arguments stand before those of WITHIN GROUP, which the planner puts first.
const ORDERED_SETS: [&str; 3] = ["percentile_cont", "percentile_disc", "mode"];

/// For each child of an expression, in the order of its `apply_children`, the type that it takes if it is unknown.
/// `operands` are the children's types. Fails as PostgreSQL does where the types do not say which operator or
/// function is meant.
pub(crate) fn wanted(expression: &Expr, operands: &[Oid]) -> Result<Vec<Oid>, QueryError> {
    let all = |oid: Oid| Ok(vec![oid; operands.len()]);
    match expression {
        Expr::ScalarFunction(call) => scalar_call(&call.func, operands),
        Expr::AggregateFunction(call) => {
            let count = call.params.args.len();
            let (arguments, rest) = operands.split_at(count);
            let mut types = aggregate(call.func.name(), arguments)?;
            types.extend(call.params.filter.iter().map(|_| BOOLEAN));
            types.resize(count + rest.len(), TEXT);
            Ok(types)
        }
        Expr::WindowFunction(call) => {
            let mut types = function(call.fun.name(), &operands[..call.params.args.len()])?;
            types.resize(types.len() + call.params.partition_by.len() + call.params.order_by.len(), TEXT);
            types.resize(operands.len(), BOOLEAN);
            Ok(types)
        }
        Expr::InList(list) => list_operands(list, operands),
        Expr::InSubquery(within) => compared("=", operands[0], output(&within.subquery.subquery)),
        Expr::SetComparison(comparison) => {
            compared(operator_symbol(comparison.op), operands[0], output(&comparison.subquery.subquery))
        }
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::And | Operator::Or => all(BOOLEAN),
            operator => operator_operands(operator_symbol(operator), operands),
        },
        Expr::Like(_) | Expr::SimilarTo(_) => operator_operands("~~", operands),
        Expr::Between(_) => {
            let low = operator_operands(">=", &operands[..2])?;
            let high = operator_operands("<=", &[operands[0], operands[2]])?;
            Ok(vec![low[0], low[1], high[1]])
        }
        Expr::Negative(_) => operator_operands("-", operands),
        Expr::Not(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_) => all(BOOLEAN),
        Expr::Cast(cast) => all(SqlType::from_field(&cast.field).map_or(ANY, |to| to.oid())),
        Expr::Unnest(_) => function("unnest", operands),
        Expr::GroupingSet(_) => all(TEXT),
        _ => all(ANY),
    }
}

fn scalar_call(called: &ScalarUDF, operands: &[Oid]) -> Result<Vec<Oid>, QueryError> {
    let called = meant(called);
    match called.inner().downcast_ref::<SiteCall>() {
        Some(site) => site_operands(&site.kind, operands).map_err(|error| error.position(site.places.site)),
        None if called.name() == ROW_OFFSET => Ok(vec![BIGINT]),
        None if called.name() == VALUE_OFFSET => Ok(vec![ANY, offset_type(operands[0])]),
        None if VALUES_MEET.contains(&called.name()) => Ok(meeting(operands)),
        None => match called.inner().downcast_ref::<UnknownFunction>() {
            Some(unknown) => {
                let types: Vec<_> = operands.iter().map(|operand| type_of_oid(*operand)).collect();
                Err(unknown.error(&types))
            }
            None => match known_function(called.name(), operands)? {
                Some(types) => Ok(types),
                None => Ok(own_function(called, operands.len())),
            },
        },
    }
}

/// The types of the arguments of a function that PostgreSQL does not have, as those are that others are planned as.
fn own_function(called: &ScalarUDF, count: usize) -> Vec<Oid> {
    let own = called.inner().downcast_ref::<Function>().and_then(|own| own.only_argument_types(count));
    own.map_or_else(|| vec![TEXT; count], |types| types.iter().map(SqlType::oid).collect())
}

fn site_operands(kind: &SiteKind, operands: &[Oid]) -> Result<Vec<Oid>, QueryError> {
    match kind {
        SiteKind::Binary(operator) => operator_operands(&symbol(operator), operands),
        SiteKind::Prefix(prefix) => operator_operands(prefix.symbol(), operands),
        SiteKind::UnknownPrefix(symbol) => operator_operands(symbol, operands),
        SiteKind::Condition(_) => Ok(vec![BOOLEAN]),
        SiteKind::LongNumber => Ok(vec![TEXT]),
        SiteKind::Modified(_) | SiteKind::Checked(_) => Ok(vec![ANY]),
        SiteKind::SetArgument(literal) => {
            let mut types = function(literal.name(), &operands[1..])?;
            types.insert(0, literal.chosen(&operands[1..])?.unwrap_or(ANY));
            Ok(types)
        }
        SiteKind::Cast(to) | SiteKind::CastToDigits(to) => Ok(vec![to.oid()]),
        SiteKind::Elements { operator, .. } => array_operands(&symbol(operator), operands),
        SiteKind::Meeting(Meeting::Case { operand, otherwise }) => case_operands(*operand, *otherwise, operands),
        SiteKind::Meeting(
            Meeting::Coalesce | Meeting::Greatest | Meeting::Least | Meeting::Array | Meeting::Values,
        ) => Ok(meeting(operands)),
        SiteKind::Meeting(Meeting::NullIf | Meeting::Distinct { .. }) => operator_operands("=", operands),
    }
}

/// `left operator ANY (array)`
fn array_operands(symbol: &str, operands: &[Oid]) -> Result<Vec<Oid>, QueryError> {
    let (left, array) = (operands[0], operands[1]);
    let element = if array == UNKNOWN { UNKNOWN } else { element_of(array).unwrap_or(array) };
    let types = operator_operands(symbol, &[left, element])?;
    if array == UNKNOWN && element_of(types[1]).is_some() {
        return Err(no_array(types[1]));
    }
    Ok(vec![types[0], array_of(types[1]).unwrap_or(ANY)])
}

/// The type of `n` in `RANGE n PRECEDING` where rows are ordered by a column of a type.
fn offset_type(order: Oid) -> Oid {
    match order {
        REAL => DOUBLE,
        moment if MOMENTS.contains(&moment) => INTERVAL,
        other => other,
    }
}

/// The types of an operator's operands.
pub(super) fn operator_operands(symbol: &str, operands: &[Oid]) -> Result<Vec<Oid>, QueryError> {
    operator_types(symbol, operands).map_err(|failure| {
        let shown = match operands {
            [operand] => format!("{symbol} {}", name(*operand)),
            [left, right] => format!("{} {symbol} {}", name(*left), name(*right)),
            _ => symbol.to_string(),
        };
        match failure {
            Failure::Ambiguous => ambiguous("operator", &shown),
            Failure::Undetermined => undetermined(),
            Failure::NoArray(item) => no_array(item),
            Failure::Missing => {
                let hint = match operands {
                    [_] => "No operator matches the given name and argument type. You might need to add an explicit type cast.",
                    _ => "No operator matches the given name and argument types. You might need to add explicit type casts.",
                };
                QueryError::new(ErrorKind::UndefinedFunction, format!("operator does not exist: {shown}")).hint(hint)
            }
        }
    })
}

/// The types for a value that is compared with each row of a subquery.
fn compared(symbol: &str, value: Oid, rows: Oid) -> Result<Vec<Oid>, QueryError> {
    operator_operands(symbol, &[value, rows]).map(|types| vec![types[0]])
}

/// The type of a subquery's first column.
fn output(subquery: &LogicalPlan) -> Oid {
    let field = subquery.schema().fields().first();
    field.and_then(|field| SqlType::from_field(field)).map_or(TEXT, |known| known.oid())
}

/// The types of a function's arguments.
pub(super) fn function(called: &str, arguments: &[Oid]) -> Result<Vec<Oid>, QueryError> {
    Ok(known_function(called, arguments)?.unwrap_or_else(|| vec![TEXT; arguments.len()]))
}

/// The name that the user gave a function which is planned under another one.
pub(crate) fn shown_name(planned: &str) -> &str {
    RENAMED.iter().find(|(name, _)| *name == planned).map_or(planned, |(_, known)| known)
}

/// The same; `None` for a function that PostgreSQL does not have.
pub(crate) fn known_function(called: &str, arguments: &[Oid]) -> Result<Option<Vec<Oid>>, QueryError> {
    let known = shown_name(called);
    // The name of a type, called with one value, casts it.
    if arguments == [UNKNOWN]
        && let Some(cast) = type_by_name(known)
    {
        return Ok(Some(vec![cast.oid as Oid]));
    }
    match function_types(known, arguments) {
        Ok(types) => Ok(Some(types)),
        Err(Failure::Missing) => Ok(None),
        Err(Failure::Undetermined) => Err(undetermined()),
        Err(Failure::NoArray(item)) => Err(no_array(item)),
        Err(Failure::Ambiguous) => {
            let types: Vec<String> = arguments.iter().map(|argument| name(*argument)).collect();
            let schema = if known == "extract" { "pg_catalog." } else { "" };
            Err(ambiguous("function", &format!("{schema}{known}({})", types.join(", "))))
        }
    }
}

fn aggregate(called: &str, arguments: &[Oid]) -> Result<Vec<Oid>, QueryError> {
    if !ORDERED_SETS.contains(&called) || arguments.len() < 2 {
        return function(called, arguments);
    }
    let mut direct = arguments.to_vec();
    direct.rotate_left(1);
    let mut types = function(called, &direct)?;
    types.rotate_right(1);
    Ok(types)
}

/// Values of one type; known ones become it later.
fn meeting(operands: &[Oid]) -> Vec<Oid> {
    vec![common_type(operands).unwrap_or(TEXT); operands.len()]
}

/// Conditions are boolean, or compared with the operand of CASE; results meet, of which ELSE says the most.
fn case_operands(operand: bool, otherwise: bool, operands: &[Oid]) -> Result<Vec<Oid>, QueryError> {
    let base = operand.then(|| operands[0]);
    let (pairs, last) = branches(operand, otherwise, operands);
    let results: Vec<Oid> = last.into_iter().copied().chain(pairs.chunks(2).map(|pair| pair[1])).collect();
    let result = common_type(&results).unwrap_or(TEXT);
    let base = base.map(|base| if base == UNKNOWN { TEXT } else { base });
    let mut types: Vec<Oid> = base.into_iter().collect();
    for pair in pairs.chunks(2) {
        let condition = match base {
            Some(base) => operator_operands("=", &[base, pair[0]])?[1],
            None => BOOLEAN,
        };
        types.extend([condition, result]);
    }
    types.extend(last.iter().map(|_| result));
    Ok(types)
}

/// Several items without columns are an array that the value is compared with; every other item is compared by itself.
fn list_operands(list: &InList, operands: &[Oid]) -> Result<Vec<Oid>, QueryError> {
    let value = operands[0];
    let is_constant = |item: &Expr| item.column_refs().is_empty();
    let constants: Vec<Oid> =
        list.list.iter().zip(&operands[1..]).filter(|(item, _)| is_constant(item)).map(|(_, oid)| *oid).collect();
    let together = if constants.len() > 1 { common_type(&[&[value][..], &constants].concat()) } else { None };
    let mut types = vec![together.unwrap_or(UNKNOWN)];
    for (item, operand) in list.list.iter().zip(&operands[1..]) {
        let alone = || operator_operands("=", &[value, *operand]);
        let pair = match together {
            Some(common) if is_constant(item) => vec![common; 2],
            _ => alone()?,
        };
        if types[0] == UNKNOWN {
            types[0] = pair[0];
        }
        types.push(pair[1]);
    }
    Ok(types)
}

/// An operator as `pg_operator` names it.
fn operator_symbol(operator: Operator) -> &'static str {
    match operator {
        Operator::NotEq => "<>",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        Operator::Plus => "+",
        Operator::Minus => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::Modulo => "%",
        Operator::StringConcat => "||",
        Operator::RegexMatch => "~",
        Operator::RegexIMatch => "~*",
        Operator::RegexNotMatch => "!~",
        Operator::RegexNotIMatch => "!~*",
        Operator::LikeMatch => "~~",
        Operator::ILikeMatch => "~~*",
        Operator::NotLikeMatch => "!~~",
        Operator::NotILikeMatch => "!~~*",
        // IS DISTINCT FROM is a kind of equality.
        _ => "=",
    }
}

fn ambiguous(what: &str, shown: &str) -> QueryError {
    let message = match what {
        "operator" => format!("operator is not unique: {shown}"),
        _ => format!("function {shown} is not unique"),
    };
    let hint = format!("Could not choose a best candidate {what}. You might need to add explicit type casts.");
    QueryError::new(ErrorKind::AmbiguousFunction, message).hint(hint)
}

fn undetermined() -> QueryError {
    let message = "could not determine polymorphic type because input has type unknown";
    QueryError::new(ErrorKind::DatatypeMismatch, message)
}

/// There is no type of arrays of the type.
pub(super) fn no_array(item: Oid) -> QueryError {
    QueryError::new(ErrorKind::UndefinedObject, format!("could not find array type for data type {}", name(item)))
}

fn name(oid: Oid) -> String {
    shown(oid)
}
