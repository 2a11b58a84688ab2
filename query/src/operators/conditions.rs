//! Conditions: what AND, OR, NOT and IS TRUE take. DataFusion makes a boolean of anything; PostgreSQL takes booleans and
//! literals that are one.

use super::call::SiteKind;
use super::lowering::{Argument, Lowering};
use super::meetings::Meeting;
use super::resolution::{Operand, is_comparison};
use super::sites::Annotator;
use crate::error::{ErrorKind, QueryError};
use crate::types::parse_boolean;
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, UnaryOperator, Value};

/// Fails for what is no boolean: `argument of NOT must be type boolean, not type integer`. A literal without a type must be one.
pub(super) fn check(construct: &str, operand: &Operand, literal: Option<&ScalarValue>) -> Result<(), QueryError> {
    match (operand, literal) {
        (None, Some(ScalarValue::Utf8(Some(text)))) => parse_boolean(text).map(|_| ()),
        (None | Some(SqlType::Bool), _) => Ok(()),
        (Some(other), _) => {
            let message = format!("argument of {construct} must be type boolean, not type {}", other.base_name());
            Err(QueryError::new(ErrorKind::DatatypeMismatch, message))
        }
    }
}

impl Annotator<'_> {
    /// The operand of a construct that takes a boolean, as a site unless it can be nothing else.
    pub(super) fn condition(&mut self, construct: &'static str, operand: ast::Expr) -> ast::Expr {
        if self.is_boolean(&operand) {
            return operand;
        }
        let place = self.place(&operand);
        let places = super::call::Places { site: place, operands: vec![place] };
        self.add(SiteKind::Condition(construct), places, vec![operand])
    }

    fn is_boolean(&self, expression: &ast::Expr) -> bool {
        use ast::Expr as E;
        match expression {
            E::Nested(inner) => self.is_boolean(inner),
            E::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. }
            | E::UnaryOp { op: UnaryOperator::Not, .. }
            | E::Exists { .. }
            | E::InSubquery { .. }
            | E::InList { .. }
            | E::IsNull(_)
            | E::IsNotNull(_)
            | E::IsTrue(_)
            | E::IsNotTrue(_)
            | E::IsFalse(_)
            | E::IsNotFalse(_)
            | E::IsUnknown(_)
            | E::IsNotUnknown(_)
            | E::AnyOp { .. }
            | E::AllOp { .. } => true,
            E::Value(value) => matches!(value.value, Value::Boolean(_)),
            other => match self.site_of(other) {
                Some((SiteKind::Binary(operator), _)) => is_comparison(operator),
                Some((SiteKind::Elements { .. } | SiteKind::Meeting(Meeting::Distinct { .. }), _)) => true,
                _ => false,
            },
        }
    }
}

impl Lowering<'_> {
    pub(super) fn condition(&self, construct: &str, operand: Argument) -> Result<Expr, QueryError> {
        check(construct, &operand.known, None)?;
        self.typed(operand, &SqlType::Bool)
    }
}
