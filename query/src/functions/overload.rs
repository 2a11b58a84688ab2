//! Overloaded functions: one name, several lists of argument types, as in PostgreSQL's `pg_proc`.
//!
//!     name + argument types ──resolve──▶ Overload ──cast arguments──▶ kernel over columns
//!
//! Resolution follows PostgreSQL's rules for functions (chapter 10.3 of its manual): an exact match wins, else the candidate that
//! needs the fewest conversions among those that implicit casts reach, preferred types first. A string literal fits every
//! type. Kernels see columns of equal length in the Arrow layout of the declared kind and know nothing of plans.
//!
//! Arrays have one element type in a call, to which the elements that are passed beside them are converted. An array of more
//! dimensions is an array of arrays; its element type is that of the innermost ones.

use super::result_field;
use crate::error::{ErrorKind, QueryError};
use crate::operators::casts::{CastContext, cast_array, cast_type};
use crate::operators::contexts::known_function;
use crate::operators::resolution::{as_decimal, implicit_cost, oid_of, unknown_field};
use crate::pg_catalog::format_type;
use crate::scan::external;
use crate::types::Zone;
use crate::user_types::type_of_oid;
use arrow::array::ArrayRef;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, FieldRef};
use catalog::sql_type::{NUMERIC_PRECISION_MAX, SqlType};
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
    /// As a result: `Decimal256(76, scale)`.
    WideNumericOfScale(i8),
    /// `Utf8View`; varchar and name as arguments too.
    Text,
    Bytea,
    Date,
    Time,
    /// See `catalog::zoned_time`.
    TimeTz,
    /// Microseconds.
    Timestamp,
    /// Microseconds, UTC.
    TimestampTz,
    /// `Interval(MonthDayNano)` with nanoseconds that are whole microseconds.
    Interval,
    Uuid,
    Json,
    Jsonb,
    TextArray,
    /// An array of any type and of any number of dimensions. As a result it has as many as the argument that has most.
    Array,
    /// A value of the type that the call's arrays have.
    Element,
    /// As a result: an array of one more dimension than the kind's.
    ListOf(&'static Kind),
    /// As a result: a numeric of the largest scale that an argument has.
    NumericOfArguments,
    /// The same with all the digits that a numeric may have.
    WideNumericOfArguments,
}

impl Kind {
    /// The type of a kind that does not depend on the call.
    pub(crate) fn sql_type(self) -> SqlType {
        self.in_call(&[], &SqlType::Text)
    }

    fn is_polymorphic(self) -> bool {
        matches!(self, Self::Array | Self::Element)
    }

    /// The type of an argument of this kind where a value of a type is passed.
    fn of_argument(self, passed: Option<&SqlType>, element: &SqlType) -> SqlType {
        self.in_call(&[passed.cloned()], element)
    }

    /// The type of a kind in a call with arguments of some types and arrays of some element type.
    fn in_call(self, arguments: &[Option<SqlType>], element: &SqlType) -> SqlType {
        match self {
            Self::Bool => SqlType::Bool,
            Self::Int2 => SqlType::Int2,
            Self::Int4 => SqlType::Int4,
            Self::Int8 => SqlType::Int8,
            Self::Float4 => SqlType::Float4,
            Self::Float8 => SqlType::Float8,
            Self::Numeric => SqlType::numeric(),
            Self::NumericOfArguments => widest_numeric(arguments),
            Self::WideNumericOfArguments => with_all_digits(widest_numeric(arguments)),
            Self::NumericOfScale(scale) => SqlType::Numeric { precision: 38, scale, declared: false },
            Self::WideNumericOfScale(scale) => SqlType::Numeric { precision: 76, scale, declared: false },
            Self::Text => SqlType::Text,
            Self::Bytea => SqlType::Bytea,
            Self::Date => SqlType::Date,
            Self::Time => SqlType::Time,
            Self::TimeTz => SqlType::TimeTz,
            Self::Timestamp => SqlType::Timestamp,
            Self::TimestampTz => SqlType::TimestampTz,
            Self::Interval => SqlType::Interval,
            Self::Uuid => SqlType::Uuid,
            Self::Json => SqlType::Json,
            Self::Jsonb => SqlType::Jsonb,
            Self::TextArray => SqlType::Array(Box::new(SqlType::Text)),
            Self::Array => {
                let dimensions = arguments.iter().flatten().map(dimensions).max().unwrap_or(0).max(1);
                (0..dimensions).fold(element.clone(), |inner, _| SqlType::Array(Box::new(inner)))
            }
            Self::Element => element.clone(),
            Self::ListOf(kind) => SqlType::Array(Box::new(kind.in_call(arguments, element))),
        }
    }
}

/// How often a type is an array of something.
pub(crate) fn dimensions(sql_type: &SqlType) -> usize {
    match sql_type {
        SqlType::Array(inner) => 1 + dimensions(inner),
        _ => 0,
    }
}

/// The element type of an array of any number of dimensions; another type itself.
pub(crate) fn innermost(sql_type: &SqlType) -> &SqlType {
    match sql_type {
        SqlType::Array(inner) => innermost(inner),
        other => other,
    }
}

/// A numeric with the largest scale of some numbers, and with all the digits that a column may have.
fn widest_numeric(arguments: &[Option<SqlType>]) -> SqlType {
    let numbers = arguments.iter().flatten().map(as_decimal);
    let parts = numbers.filter_map(|number| match number {
        DataType::Decimal128(_, scale) => Some((38, scale)),
        DataType::Decimal256(_, scale) => Some((76, scale)),
        _ => None,
    });
    let (precision, scale) = parts.fold((38, 0), |(precision, scale), part| (part.0.max(precision), part.1.max(scale)));
    SqlType::Numeric { precision, scale, declared: false }
}

/// A numeric of the same scale with all the digits that there are.
fn with_all_digits(numeric: SqlType) -> SqlType {
    match numeric {
        SqlType::Numeric { scale, declared, .. } => {
            SqlType::Numeric { precision: NUMERIC_PRECISION_MAX, scale, declared }
        }
        other => other,
    }
}

/// Whether values of two types are of different types or, if they are numerics, have different digits.
pub(crate) fn differ(left: &SqlType, right: &SqlType) -> bool {
    left.oid() != right.oid() || left.data_type() != right.data_type()
}

/// The type that values of both types have in an array.
pub(crate) fn common_element(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    match (left, right) {
        (SqlType::Numeric { .. }, other) | (other, SqlType::Numeric { .. }) if is_exact(other) => {
            Some(wide_enough(&as_decimal(left), &as_decimal(right)))
        }
        _ if left == right => Some(left.clone()),
        (SqlType::Array(left), SqlType::Array(right))
            if [left, right].iter().any(|item| matches!(***item, SqlType::Numeric { .. } | SqlType::Array(_))) =>
        {
            common_element(left, right).map(|item| SqlType::Array(Box::new(item)))
        }
        (SqlType::Varchar { .. }, SqlType::Text) => Some(left.clone()),
        _ if implicit_cost(right, left).is_some() => Some(left.clone()),
        _ => implicit_cost(left, right).map(|_| right.clone()),
    }
}

fn is_exact(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Numeric { .. })
}

fn wide_enough(left: &DataType, right: &DataType) -> SqlType {
    let parts = |data_type: &DataType| match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            (i16::from(*precision) - i16::from(*scale), *scale)
        }
        _ => (38, 0),
    };
    let ((left_whole, left_scale), (right_whole, right_scale)) = (parts(left), parts(right));
    let scale = left_scale.max(right_scale);
    let precision = (left_whole.max(right_whole) + i16::from(scale)).clamp(1, 76) as u8;
    SqlType::Numeric { precision, scale, declared: false }
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
        let element = self.element(arguments)?;
        let costs = arguments.iter().zip(self.arguments).map(|(argument, kind)| match argument {
            // A literal of unknown type prefers text.
            None => Some(u32::from(*kind != Kind::Text)),
            Some(from) if kind.is_polymorphic() => {
                let from = innermost(from);
                if *from == element { Some(0) } else { implicit_cost(from, &element).or(Some(1)) }
            }
            Some(from) => implicit_cost(from, &kind.sql_type()),
        });
        costs.sum()
    }

    /// The element type of the call's arrays, where there are any; `None` where they do not go together, or where it is not known.
    fn element(&self, arguments: &[Option<SqlType>]) -> Option<SqlType> {
        let mut common = None;
        for (argument, kind) in arguments.iter().zip(self.arguments) {
            let passed = match (kind, argument) {
                (Kind::Array, Some(array @ SqlType::Array(_))) => innermost(array),
                (Kind::Element, Some(SqlType::Array(_))) | (Kind::Array, Some(_)) => return None,
                (Kind::Element, Some(value)) => value,
                _ => continue,
            };
            common = match common {
                None => Some(passed.clone()),
                Some(known) => Some(common_element(&known, passed)?),
            };
        }
        let common = common.map(|known| match known {
            SqlType::Varchar { .. } => SqlType::Varchar { length_max: None },
            other => other,
        });
        // Where several arguments may say it and none does, it is text.
        if self.is_alone_polymorphic() { common } else { common.or(Some(SqlType::Text)) }
    }

    /// Whether the element type hangs on one argument.
    fn is_alone_polymorphic(&self) -> bool {
        self.arguments.iter().filter(|kind| kind.is_polymorphic()).count() == 1
    }

    /// The types that the arguments are converted to.
    fn argument_types(&self, arguments: &[Option<SqlType>]) -> Vec<SqlType> {
        let element = self.element(arguments).unwrap_or(SqlType::Text);
        let kinds = self.arguments.iter().zip(arguments);
        kinds.map(|(kind, passed)| kind.of_argument(passed.as_ref(), &element)).collect()
    }

    fn result_type(&self, arguments: &[Option<SqlType>]) -> SqlType {
        let element = match self.element(arguments).unwrap_or(SqlType::Text) {
            // What comes of an argument has no modifier.
            SqlType::Numeric { precision, scale, .. } => SqlType::Numeric { precision, scale, declared: false },
            other => other,
        };
        self.result.in_call(arguments, &element)
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
    /// Whether every call gives an array, as those of set-returning functions do.
    pub(crate) fn gives_array(&self) -> bool {
        self.overloads.iter().all(|overload| matches!(overload.result, Kind::ListOf(_) | Kind::Array | Kind::TextArray))
    }

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

    /// The types of the arguments where there is one list of them, of as many, that no argument has a say in.
    pub(crate) fn only_argument_types(&self, count: usize) -> Option<Vec<SqlType>> {
        let [only] = self.overloads.as_slice() else { return None };
        let fixed = only.arguments.len() == count && !only.arguments.iter().any(|kind| kind.is_polymorphic());
        fixed.then(|| only.arguments.iter().map(|kind| kind.sql_type()).collect())
    }

    pub(crate) fn into_udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }

    /// The function for given arguments in a time zone, which makes it immutable unless the day matters. One that is bound stays in its
    /// zone: a plan that was made in a view's zone becomes part of the plans of readers elsewhere.
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
        let bound = Self { zone: self.zone.or(Some(zone)), ..Self::new(self.name, volatility, vec![overload]) };
        Ok(bound.into_udf())
    }

    fn resolve(&self, arguments: &[Option<SqlType>]) -> std::result::Result<&Overload, QueryError> {
        if let [only] = self.overloads.as_slice()
            && arguments.iter().all(Option::is_some)
            && only.cost(arguments).is_some()
        {
            return Ok(only);
        }
        let settled = settled(self.name, arguments)?;
        self.refuse_several(&settled)?;
        let best = self.cheapest(&settled).or_else(|| self.cheapest(arguments));
        best.ok_or_else(|| self.unresolved(arguments))
    }

    /// Of several overloads that are as near as another, PostgreSQL may take none.
    fn refuse_several(&self, arguments: &[Option<SqlType>]) -> std::result::Result<(), QueryError> {
        let costs = || self.overloads.iter().filter_map(|overload| overload.cost(arguments));
        let least = costs().min().unwrap_or_default();
        if least > 0 && costs().filter(|cost| *cost == least).count() > 1 {
            known_function(self.name, &arguments.iter().map(oid_of).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn cheapest(&self, arguments: &[Option<SqlType>]) -> Option<&Overload> {
        let candidates = self.overloads.iter().filter_map(|overload| Some((overload.cost(arguments)?, overload)));
        candidates.min_by_key(|(cost, _)| *cost).map(|(_, overload)| overload)
    }

    /// An array whose type nothing tells is another error than one that does not fit.
    fn unresolved(&self, arguments: &[Option<SqlType>]) -> QueryError {
        let open = |overload: &Overload| {
            let kinds = || overload.arguments.iter().zip(arguments);
            overload.arguments.len() == arguments.len()
                && overload.is_alone_polymorphic()
                && kinds().all(|(kind, argument)| match argument {
                    None => true,
                    Some(known) => !kind.is_polymorphic() && implicit_cost(known, &kind.sql_type()).is_some(),
                })
        };
        if !self.overloads.iter().any(open) {
            let types: Vec<_> = arguments.iter().map(oid_of).collect();
            return match known_function(self.name, &types) {
                Ok(Some(_)) => missing_function(self.name, arguments),
                Ok(None) | Err(_) => no_function(self.name, arguments),
            };
        }
        let message = "could not determine polymorphic type because input has type unknown";
        QueryError::new(ErrorKind::DatatypeMismatch, message)
    }

    /// The types that a call's arguments are converted to.
    pub(crate) fn argument_types(
        &self,
        arguments: &[Option<SqlType>],
    ) -> std::result::Result<Vec<SqlType>, QueryError> {
        Ok(self.resolve(arguments)?.argument_types(arguments))
    }
}

/// `bit` and `bit varying`, which literals become before they become bytes.
const BIT_STRINGS: [u32; 2] = [1560, 1562];

/// A call's arguments, those of unknown type by what PostgreSQL would take them for. They stay unknown where it has no such function.
fn settled(name: &str, arguments: &[Option<SqlType>]) -> std::result::Result<Vec<Option<SqlType>>, QueryError> {
    if arguments.iter().all(Option::is_some) {
        return Ok(arguments.to_vec());
    }
    let types = known_function(name, &arguments.iter().map(oid_of).collect::<Vec<_>>())?.unwrap_or_default();
    if let Some(bits) = types.iter().find(|oid| BIT_STRINGS.contains(*oid)) {
        return Err(QueryError::unsupported(format!("type {}", format_type(i64::from(*bits), None))));
    }
    let settled = arguments
        .iter()
        .enumerate()
        .map(|(index, argument)| argument.clone().or_else(|| types.get(index).and_then(|oid| type_of_oid(*oid))));
    Ok(settled.collect())
}

/// `function f(integer, unknown) does not exist`, with PostgreSQL's hint.
pub(crate) fn no_function(name: &str, arguments: &[Option<SqlType>]) -> QueryError {
    QueryError::new(ErrorKind::UndefinedFunction, format!("function {} does not exist", shown(name, arguments)))
        .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

/// For a function that PostgreSQL has with such arguments.
fn missing_function(name: &str, arguments: &[Option<SqlType>]) -> QueryError {
    QueryError::unsupported(format!("function {}", shown(name, arguments)))
}

fn shown(name: &str, arguments: &[Option<SqlType>]) -> String {
    let types: Vec<String> =
        arguments.iter().map(|known| known.as_ref().map_or("unknown".into(), SqlType::base_name)).collect();
    // What stands behind `@` tells functions apart that have one name outside.
    let name = name.split('@').next().unwrap_or(name);
    format!("{name}({})", types.join(", "))
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
        Ok(self.resolve(&known).map_err(external)?.result_type(&known).data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let known = known_types(args.arg_fields, args.scalar_arguments);
        let overload = self.resolve(&known).map_err(external)?;
        Ok(Arc::new(result_field(self.name, &overload.result_type(&known))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalars: Vec<Option<&ScalarValue>> = args.args.iter().map(scalar_of).collect();
        let known = known_types(&args.arg_fields, &scalars);
        let overload = self.resolve(&known).map_err(external)?;
        let constant = scalars.iter().all(Option::is_some) && self.volatility != Volatility::Volatile;
        let rows = if constant { 1 } else { args.number_rows };
        let mut context = CastContext::from_options(&args.config_options);
        context.zone = self.zone.unwrap_or(context.zone);
        let element = overload.element(&known).unwrap_or(SqlType::Text);
        let mut columns = Vec::with_capacity(args.args.len());
        for ((argument, known), to) in args.args.iter().zip(&known).zip(overload.argument_types(&known)) {
            let from = known.clone().unwrap_or(SqlType::Text);
            let column = argument.to_array(rows)?;
            columns.push(cast_array(&column, &from, &cast_type(&from, &to), &context).map_err(external)?);
        }
        for ((column, known), kind) in columns.iter_mut().zip(&known).zip(overload.arguments) {
            if kind.is_polymorphic() {
                *column = with_digits(column, &kind.of_argument(known.as_ref(), &element))?;
            }
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

/// Numerics with the digits that all of a call's arrays have; a cast to numeric without a scale keeps those that they had.
fn with_digits(column: &ArrayRef, to: &SqlType) -> Result<ArrayRef> {
    let to_type = to.data_type();
    if !matches!(innermost(to), SqlType::Numeric { .. }) || *column.data_type() == to_type {
        return Ok(Arc::clone(column));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(column, &to_type, &options)?)
}

fn scalar_of(value: &ColumnarValue) -> Option<&ScalarValue> {
    match value {
        ColumnarValue::Scalar(scalar) => Some(scalar),
        ColumnarValue::Array(_) => None,
    }
}

/// The arguments' types; `None` for literals whose type is still open.
pub(crate) fn known_types(fields: &[FieldRef], scalars: &[Option<&ScalarValue>]) -> Vec<Option<SqlType>> {
    let fields = fields.iter().enumerate();
    fields
        .map(|(position, field)| {
            let literal = scalars.get(position).copied().flatten();
            if unknown_field(field, literal) { None } else { SqlType::from_field(field) }
        })
        .collect()
}
