//! What a value must be for a construct that does not change it: text for COLLATE, an array for a subscript.

use super::call::{Places, SiteKind};
use super::casts::is_castable;
use super::resolution::Operand;
use super::sites::Annotator;
use crate::error::{ErrorKind, QueryError};
use crate::functions::overload::no_function;
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::Expr;

/// A construct that takes values of some types only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Check {
    Collation,
    Subscript,
    /// `(x).name`
    Field(String),
    /// `date(x)`, which is a cast of what has one to date.
    Date,
    /// A value of a VALUES whose parameters are looked for; see [`super::value_lists`].
    Cell,
}

impl Check {
    /// Fails as PostgreSQL does for a value of another type.
    pub(super) fn check(&self, operand: &Operand) -> Result<(), QueryError> {
        let message = match (self, operand) {
            (Self::Date, Some(known)) if !is_castable(known, &SqlType::Date) => {
                return Err(no_function("date", std::slice::from_ref(operand)));
            }
            (Self::Field(name), Some(known)) => {
                let name = format!("column notation .{name} applied to type {}", known.base_name());
                let message = format!("{name}, which is not a composite type");
                return Err(QueryError::new(ErrorKind::WrongObjectType, message));
            }
            (Self::Collation, Some(known)) if !is_collatable(known) => {
                format!("collations are not supported by type {}", known.base_name())
            }
            (Self::Subscript, None) => {
                "cannot subscript type unknown because it does not support subscripting".to_string()
            }
            (Self::Subscript, Some(known)) if !has_subscripts(known) => {
                format!("cannot subscript type {} because it does not support subscripting", known.base_name())
            }
            _ => return Ok(()),
        };
        Err(QueryError::new(ErrorKind::DatatypeMismatch, message))
    }
}

fn is_collatable(known: &SqlType) -> bool {
    match known {
        SqlType::Array(item) => is_collatable(item),
        SqlType::Text | SqlType::Varchar { .. } | SqlType::Bpchar { .. } | SqlType::Name => true,
        SqlType::Char | SqlType::Oid | SqlType::Reg(_) => true,
        _ => false,
    }
}

/// Those of jsonb are refused elsewhere, and those of names and OIDs are the catalog's.
fn has_subscripts(known: &SqlType) -> bool {
    matches!(known, SqlType::Array(_) | SqlType::Jsonb | SqlType::Name | SqlType::Char | SqlType::Oid | SqlType::Reg(_))
}

impl Annotator<'_> {
    /// A value that is checked; `site` is the place of errors.
    pub(super) fn checked(&mut self, check: Check, value: Expr, site: Option<usize>) -> Expr {
        let place = self.place(&value);
        self.add(SiteKind::Checked(check), Places { site, operands: vec![place] }, vec![value])
    }
}
