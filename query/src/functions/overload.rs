//! Overloaded functions: one name, several lists of argument types, as in PostgreSQL's `pg_proc`.
//!
//!     name + argument types ──resolve──▶ Overload ──cast arguments──▶ kernel over columns
//!
//! Resolution follows PostgreSQL's rules for functions (chapter 10.3 of its manual): an exact match wins, else the candidate that
//! needs the fewest conversions among those that implicit casts reach, preferred types first. A string literal fits every
//! type. Kernels see columns of equal length in the Arrow layout of the declared kind and know nothing of plans.

use super::result_field;
use crate::error::{ErrorKind, QueryError};
use crate::operators::casts::{CastContext, cast_array};
use crate::operators::resolution::{implicit_cost, unknown_field};
use crate::scan::external;
use crate::types::Zone;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The types that overloads are declared over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// Any numeric as an argument, in whatever precision and scale it has: `Decimal128` or `Decimal256`.
    Numeric,
    /// As a result: `Decimal128(38, scale)`.
    NumericOfScale(i8),
    /// `Utf8View`; varchar and name as arguments too.
    Text,
    Bytea,
    Date,
    Time,
    /// Microseconds.
    Timestamp,
    /// Microseconds, UTC.
    TimestampTz,
    /// `Interval(MonthDayNano)` with nanoseconds that are whole microseconds.
    Interval,
    TextArray,
}

impl Kind {
    pub(crate) fn sql_type(self) -> SqlType {
        match self {
            Self::Bool => SqlType::Bool,
            Self::Int2 => SqlType::Int2,
            Self::Int4 => SqlType::Int4,
            Self::Int8 => SqlType::Int8,
            Self::Float4 => SqlType::Float4,
            Self::Float8 => SqlType::Float8,
            Self::Numeric => SqlType::numeric(),
            Self::NumericOfScale(scale) => SqlType::Numeric { precision: 38, scale, declared: false },
            Self::Text => SqlType::Text,
            Self::Bytea => SqlType::Bytea,
            Self::Date => SqlType::Date,
            Self::Time => SqlType::Time,
            Self::Timestamp => SqlType::Timestamp,
            Self::TimestampTz => SqlType::TimestampTz,
            Self::Interval => SqlType::Interval,
            Self::TextArray => SqlType::Array(Box::new(SqlType::Text)),
        }
    }
}

/// What a kernel may know besides its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// Rows of every argument and of the result.
    pub rows: usize,
    /// The session's TimeZone.
    pub zone: Zone,
    /// When the transaction began, in microseconds since 1970 UTC.
    pub now_micros: i64,
}

/// Computes a column from columns. NULL handling is the kernel's: a strict function gives NULL where an argument is NULL.
pub(crate) type Kernel = fn(&[ArrayRef], &Call) -> std::result::Result<ArrayRef, QueryError>;

/// One row of `pg_proc`.
#[derive(Clone, Copy)]
pub(crate) struct Overload {
    pub arguments: &'static [Kind],
    pub result: Kind,
    pub kernel: Kernel,
    /// Whether the answer changes with the day.
    of_today: bool,
}

impl Overload {
    pub(crate) const fn new(arguments: &'static [Kind], result: Kind, kernel: Kernel) -> Self {
        Self { arguments, result, kernel, of_today: false }
    }

    /// The same, where the answer changes with the day.
    pub(crate) const fn of_today(mut self) -> Self {
        self.of_today = true;
        self
    }

    /// Conversions needed, or `None` where the arguments do not fit; exact matches cost nothing.
    fn cost(&self, arguments: &[Option<SqlType>]) -> Option<u32> {
        if arguments.len() != self.arguments.len() {
            return None;
        }
        let costs = arguments.iter().zip(self.arguments).map(|(argument, kind)| match argument {
            // A literal of unknown type prefers text.
            None => Some(u32::from(*kind != Kind::Text)),
            Some(from) => implicit_cost(from, &kind.sql_type()),
        });
        costs.sum()
    }
}

/// A function with its overloads.
pub(crate) struct Function {
    pub name: &'static str,
    pub volatility: Volatility,
    pub overloads: Vec<Overload>,
    /// The time zone that it was planned with.
    zone: Option<Zone>,
    signature: Signature,
}

impl Function {
    pub(crate) fn new(name: &'static str, volatility: Volatility, overloads: Vec<Overload>) -> Self {
        let signature = Signature::one_of(
            vec![
                datafusion::logical_expr::TypeSignature::Nullary,
                datafusion::logical_expr::TypeSignature::VariadicAny,
            ],
            volatility,
        );
        Self { name, volatility, overloads, zone: None, signature }
    }

    pub(crate) fn immutable(name: &'static str, overloads: Vec<Overload>) -> Self {
        Self::new(name, Volatility::Immutable, overloads)
    }

    pub(crate) fn stable(name: &'static str, overloads: Vec<Overload>) -> Self {
        Self::new(name, Volatility::Stable, overloads)
    }

    /// The overloads of both; what either may answer differently each time, both may.
    pub(crate) fn joined(self, other: Self) -> Self {
        let volatility = self.volatility.max(other.volatility);
        Self::new(self.name, volatility, self.overloads.into_iter().chain(other.overloads).collect())
    }

    pub(crate) fn into_udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }

    /// The function for given arguments in a time zone, which makes it immutable unless the day matters.
    pub(crate) fn bound(
        &self,
        arguments: &[Option<SqlType>],
        zone: Zone,
    ) -> std::result::Result<Arc<ScalarUDF>, QueryError> {
        let overload = *self.resolve(arguments)?;
        let volatility = match self.volatility {
            Volatility::Stable if !overload.of_today => Volatility::Immutable,
            kept => kept,
        };
        let bound = Self { zone: Some(zone), ..Self::new(self.name, volatility, vec![overload]) };
        Ok(bound.into_udf())
    }

    fn resolve(&self, arguments: &[Option<SqlType>]) -> std::result::Result<&Overload, QueryError> {
        let candidates = self.overloads.iter().filter_map(|overload| Some((overload.cost(arguments)?, overload)));
        let best = candidates.min_by_key(|(cost, _)| *cost);
        best.map(|(_, overload)| overload).ok_or_else(|| no_function(self.name, arguments))
    }
}

/// `function f(integer, unknown) does not exist`, with PostgreSQL's hint.
pub(crate) fn no_function(name: &str, arguments: &[Option<SqlType>]) -> QueryError {
    let types: Vec<String> =
        arguments.iter().map(|known| known.as_ref().map_or("unknown".into(), SqlType::base_name)).collect();
    QueryError::new(ErrorKind::UndefinedFunction, format!("function {name}({}) does not exist", types.join(", ")))
        .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        let same =
            |(left, right): (&Overload, &Overload)| left.arguments == right.arguments && left.result == right.result;
        self.name == other.name
            && self.zone == other.zone
            && self.overloads.len() == other.overloads.len()
            && self.overloads.iter().zip(&other.overloads).all(same)
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let known: Vec<Option<SqlType>> = types.iter().map(SqlType::from_data_type).collect();
        Ok(self.resolve(&known).map_err(external)?.result.sql_type().data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let known = known_types(args.arg_fields, args.scalar_arguments);
        let overload = self.resolve(&known).map_err(external)?;
        Ok(Arc::new(result_field(self.name, &overload.result.sql_type())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalars: Vec<Option<&ScalarValue>> = args.args.iter().map(scalar_of).collect();
        let known = known_types(&args.arg_fields, &scalars);
        let overload = self.resolve(&known).map_err(external)?;
        let constant = scalars.iter().all(Option::is_some) && self.volatility != Volatility::Volatile;
        let rows = if constant { 1 } else { args.number_rows };
        let mut context = CastContext::from_options(&args.config_options);
        context.zone = self.zone.unwrap_or(context.zone);
        let mut columns = Vec::with_capacity(args.args.len());
        for (position, argument) in args.args.iter().enumerate() {
            let kind = overload.arguments[position];
            let from = known[position].clone().unwrap_or(SqlType::Text);
            let column = argument.to_array(rows)?;
            columns.push(cast_array(&column, &from, &kind.sql_type(), &context).map_err(external)?);
        }
        let call = Call { rows, zone: self.zone.unwrap_or(context.zone), now_micros: context.now_micros };
        let result = (overload.kernel)(&columns, &call).map_err(external)?;
        // A list's items say in their metadata what they are.
        let promised = args.return_field.data_type();
        let result = if result.data_type() == promised { result } else { arrow::compute::cast(&result, promised)? };
        if constant {
            return super::constant_value(&result).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(result))
    }
}

fn scalar_of(value: &ColumnarValue) -> Option<&ScalarValue> {
    match value {
        ColumnarValue::Scalar(scalar) => Some(scalar),
        ColumnarValue::Array(_) => None,
    }
}

/// The arguments' types; `None` for literals whose type is still open.
fn known_types(fields: &[FieldRef], scalars: &[Option<&ScalarValue>]) -> Vec<Option<SqlType>> {
    let fields = fields.iter().enumerate();
    fields
        .map(|(position, field)| {
            let literal = scalars.get(position).copied().flatten();
            if unknown_field(field, literal) { None } else { SqlType::from_field(field) }
        })
        .collect()
}
