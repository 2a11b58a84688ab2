//! Values of parameters: read once when they are bound, to find what is wrong with one of them, and again where they are used.

use super::Session;
use crate::bound_parameters::BoundParameters;
use crate::error::QueryError;
use crate::prepared::{Prepared, decode_parameters, with_current_labels};
use crate::response::ParameterValue;
use crate::types::is_of_labels;
use crate::user_types::TypeScope;
use catalog::sql_type::SqlType;
use datafusion::common::ParamValues;
use std::sync::Arc;

impl Session {
    /// Fails where a value of a portal's Bind is none of its parameter's type, whether the statement uses it or not. An INSERT of values
    /// alone reads them once, when it runs: a client that sends many rows waits for nothing else.
    pub fn check_parameters(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: &BoundParameters,
        portal: &str,
    ) -> Result<(), QueryError> {
        if parameters.len() == 0 || prepared.row_insert.reads_all(parameters.len()) {
            return Ok(());
        }
        let begun = self.transaction.is_none();
        let checked = self.check_values(prepared, &parameters.values(), portal);
        if begun {
            self.transaction = None;
        }
        checked
    }

    fn check_values(
        &mut self,
        prepared: &Arc<Prepared>,
        values: &[ParameterValue],
        portal: &str,
    ) -> Result<(), QueryError> {
        let prepared = with_current_labels(self, prepared)?;
        let _types = self.label_types(&prepared)?;
        decode_parameters(&prepared.parameters, values, &self.output_style(), portal).map(drop)
    }

    /// The values of Bind, and the types to plan the statement for with them.
    pub(crate) fn bind(
        &mut self,
        prepared: &Prepared,
        values: &[ParameterValue],
    ) -> Result<(ParamValues, Vec<Option<SqlType>>), QueryError> {
        let _types = self.label_types(prepared)?;
        prepared.bind(values, &self.output_style())
    }

    /// Lets the labels be known that values for the statement may be.
    fn label_types(&mut self, prepared: &Prepared) -> Result<Option<TypeScope>, QueryError> {
        let is_needed = prepared.parameters.iter().any(is_of_labels);
        Ok(if is_needed { Some(self.planning()?.knows_types()) } else { None })
    }
}
