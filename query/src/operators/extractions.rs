//! `extract(year FROM day)::integer` computes the integer at once.
//!
//! EXTRACT gives a numeric, of which a cast makes an integer for each row; who asks for fields without fractions asks for
//! integers more often than not.

use super::lowering::{Argument, Lowering};
use crate::functions::moments::{EXTRACT_BIGINT, EXTRACT_INTEGER, EXTRACT_SMALLINT, EXTRACT_WHOLE};
use catalog::sql_type::SqlType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::Expr;

impl Lowering<'_> {
    /// The integer that a cast makes of an EXTRACT, where it is one.
    pub(super) fn extracted_integer(&self, cast: &Argument, to: &SqlType, schema: &DFSchema) -> Result<Option<Expr>> {
        let name = match to {
            SqlType::Int2 => EXTRACT_SMALLINT,
            SqlType::Int4 => EXTRACT_INTEGER,
            SqlType::Int8 => EXTRACT_BIGINT,
            _ => return Ok(None),
        };
        match &cast.expression {
            Expr::ScalarFunction(call) if call.func.name() == EXTRACT_WHOLE => {
                let Some(function) = self.procedures.get(name) else { return Ok(None) };
                let mut call = call.clone();
                call.func = function.clone();
                self.function(call, schema).map(Some)
            }
            _ => Ok(None),
        }
    }
}
