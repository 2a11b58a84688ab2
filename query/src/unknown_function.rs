//! Unknown functions: what a call means whose name nobody has.
//!
//! The planner is given a function for such a name too. It takes any arguments, and as soon as its result's type is asked for it
//! answers with PostgreSQL's error, which names the types of the arguments.

use crate::error::{ErrorKind, QueryError};
use crate::functions::array_aggregates::ARRAY_OF_VALUES;
use crate::functions::excluded_frames;
use crate::functions::overload::no_function;
use crate::operators::resolution::unknown_field;
use crate::scan::external;
use crate::subqueries::ARRAY_OF_ROWS;
use arrow::datatypes::{DataType, FieldRef};
use catalog::sql_type::SqlType;
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use std::sync::Arc;

/// Names that the planner itself gives a meaning to.
const PLANNED: [&str; 4] = ["unnest", "unnest_outer", "map", "make_map"];
/// A shorter name is near to too many others.
const NEAR_LENGTH_MIN: usize = 4;

/// A function that does not exist.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct UnknownFunction {
    name: String,
    /// A function whose name differs by one letter.
    meant: Option<String>,
    signature: Signature,
}

impl UnknownFunction {
    /// The stand-in for a name; `None` where the name means something.
    pub(crate) fn for_name(name: &str, state: &SessionState) -> Option<Arc<ScalarUDF>> {
        let known = PLANNED.contains(&name)
            || name == ARRAY_OF_ROWS
            || name == ARRAY_OF_VALUES
            || excluded_frames::is_name(name)
            || state.aggregate_functions().contains_key(name)
            || state.window_functions().contains_key(name)
            || state.higher_order_functions().contains_key(name);
        if known {
            return None;
        }
        let signature =
            Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Immutable);
        let function = Self { name: name.to_string(), meant: very_near(name, state), signature };
        Some(Arc::new(ScalarUDF::new_from_impl(function)))
    }

    /// What a call with arguments of these types says; `None` stands for a literal or parameter without a type.
    pub(crate) fn error(&self, types: &[Option<SqlType>]) -> QueryError {
        let error = no_function(&self.name, types);
        debug_assert_eq!(error.kind, ErrorKind::UndefinedFunction);
        match &self.meant {
            Some(meant) => error.hint(format!("Perhaps you meant the function \"{meant}\".")),
            None => error,
        }
    }
}

fn very_near(name: &str, state: &SessionState) -> Option<String> {
    let scalar = state.scalar_functions().keys();
    let all = scalar.chain(state.aggregate_functions().keys()).chain(state.window_functions().keys());
    let long = name.chars().count() >= NEAR_LENGTH_MIN;
    let near = all.filter(|known| long && !known.starts_with("meridian_") && strsim::osa_distance(known, name) == 1);
    near.min().cloned()
}

/// The types of expressions that no table is needed for; `None` for a literal whose type is open.
pub(crate) fn types_of(expressions: &[Expr]) -> Result<Vec<Option<SqlType>>> {
    let schema = DFSchema::empty();
    let types = expressions.iter().map(|expression| {
        let (_, field) = expression.to_field(&schema)?;
        let literal = match expression {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        };
        Ok(known_type(&field, literal))
    });
    types.collect()
}

fn known_type(field: &FieldRef, literal: Option<&ScalarValue>) -> Option<SqlType> {
    if unknown_field(field, literal) { None } else { SqlType::from_field(field) }
}

impl ScalarUDFImpl for UnknownFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let types: Vec<_> = types.iter().map(SqlType::from_data_type).collect();
        Err(external(self.error(&types)))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let literals = args.scalar_arguments.iter().copied().chain(std::iter::repeat(None));
        let types: Vec<_> =
            args.arg_fields.iter().zip(literals).map(|(field, literal)| known_type(field, literal)).collect();
        Err(external(self.error(&types)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("a function that does not exist was planned")
    }
}
