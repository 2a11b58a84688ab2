//! Prefix operators: `- x`, `+ x`, `~ x`, `@ x`, `|/ x` and `||/ x`, over the operand types that `pg_operator` has.

use super::arithmetic::{exclusive_or, negation_call};
use super::contexts::operator_operands;
use super::lowering::{Argument, Lowering};
use super::resolution::{Operand, oid_of};
use crate::error::{ErrorKind, QueryError};
use crate::user_types::type_of_oid;
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::UnaryOperator;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Prefix {
    Plus,
    Minus,
    BitwiseNot,
    Absolute,
    SquareRoot,
    CubeRoot,
}

impl Prefix {
    /// The prefix of an operator that computes with a value; `None` for NOT and for what PostgreSQL has for shapes.
    pub(super) fn of(operator: UnaryOperator) -> Option<Self> {
        Some(match operator {
            UnaryOperator::Plus => Self::Plus,
            UnaryOperator::Minus => Self::Minus,
            UnaryOperator::BitwiseNot => Self::BitwiseNot,
            UnaryOperator::PGAbs => Self::Absolute,
            UnaryOperator::PGSquareRoot => Self::SquareRoot,
            UnaryOperator::PGCubeRoot => Self::CubeRoot,
            _ => return None,
        })
    }

    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::BitwiseNot => "~",
            Self::Absolute => "@",
            Self::SquareRoot => "|/",
            Self::CubeRoot => "||/",
        }
    }

    /// The type that the operand becomes, which is the result's too.
    pub(super) fn operand_type(self, operand: &Operand) -> Result<SqlType, QueryError> {
        let types = operator_operands(self.symbol(), &[oid_of(operand)])?;
        match operand {
            Some(known) if known.oid() == types[0] => Ok(known.clone()),
            _ => Ok(type_of_oid(types[0]).unwrap_or(SqlType::Float8)),
        }
    }

    fn function(self) -> Option<&'static str> {
        match self {
            Self::Absolute => Some("abs"),
            Self::SquareRoot => Some("sqrt"),
            Self::CubeRoot => Some("cbrt"),
            Self::Plus | Self::Minus | Self::BitwiseNot => None,
        }
    }
}

/// `operator does not exist: !! integer`
pub(super) fn no_prefix(symbol: &str, operand: &Operand) -> QueryError {
    let shown = operand.as_ref().map_or_else(|| "unknown".to_string(), SqlType::base_name);
    QueryError::new(ErrorKind::UndefinedFunction, format!("operator does not exist: {symbol} {shown}"))
        .hint("No operator matches the given name and argument type. You might need to add an explicit type cast.")
}

impl Lowering<'_> {
    /// What computes a prefix operator.
    pub(super) fn prefixed(&self, prefix: Prefix, operand: Argument) -> Result<Expr, QueryError> {
        let sql_type = prefix.operand_type(&operand.known)?;
        let value = match operand.known.clone() {
            Some(known) if known.oid() != sql_type.oid() => self.converted(operand.expression, &known, &sql_type),
            _ => self.typed(operand, &sql_type)?,
        };
        let function = match (prefix, &sql_type) {
            (Prefix::Minus, SqlType::Interval) => Some("interval_um"),
            _ => prefix.function(),
        };
        if let Some(name) = function {
            let function = self.procedures.get(name).cloned();
            let function = function.ok_or_else(|| QueryError::unsupported(format!("function {name}")))?;
            return self.bound(&function, vec![value], &[Some(sql_type)]);
        }
        Ok(match prefix {
            Prefix::Minus => negation_call(value, sql_type.data_type()),
            Prefix::BitwiseNot => exclusive_or(value, all_ones(&sql_type)),
            _ => value,
        })
    }
}

/// -1 of an integer type.
fn all_ones(sql_type: &SqlType) -> Expr {
    let value = match sql_type {
        SqlType::Int2 => ScalarValue::Int16(Some(-1)),
        SqlType::Int8 => ScalarValue::Int64(Some(-1)),
        _ => ScalarValue::Int32(Some(-1)),
    };
    Expr::Literal(value, None)
}
