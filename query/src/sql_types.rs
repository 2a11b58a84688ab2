//! Type names in SQL: what `numeric(12,2)` or `timestamptz` in a statement stands for.

use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use crate::user_types::{domain_named, is_row_type, missing, type_named};
use arrow::datatypes::{Field, FieldRef};
use catalog::sql_type::{NUMERIC_PRECISION_MAX, SqlType};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    self, ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, TimezoneInfo,
};
use std::sync::Arc;

/// Types of casts and typed literals for DataFusion's planner.
#[derive(Debug)]
pub(crate) struct PostgresTypes;

impl TypePlanner for PostgresTypes {
    fn plan_type_field(&self, data_type: &DataType) -> Result<Option<FieldRef>> {
        let sql_type = sql_type_of(data_type).map_err(external)?;
        // The Arrow type says it all for most types; rows of VALUES must not differ in metadata that says nothing new.
        let implied =
            SqlType::from_data_type(&sql_type.data_type()).is_some_and(|implied| implied.oid() == sql_type.oid());
        let field = if implied { Field::new("", sql_type.data_type(), true) } else { sql_type.field("", true) };
        Ok(Some(Arc::new(field)))
    }
}

/// The type that a name stands for. `numeric` without a precision is allowed here, for casts; tables refuse it.
pub(crate) fn sql_type_of(data_type: &DataType) -> std::result::Result<SqlType, QueryError> {
    Ok(match data_type {
        DataType::Bool | DataType::Boolean => SqlType::Bool,
        DataType::SmallInt(_) | DataType::Int2(_) => SqlType::Int2,
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => SqlType::Int4,
        DataType::BigInt(_) | DataType::Int8(_) => SqlType::Int8,
        DataType::Real | DataType::Float4 => SqlType::Float4,
        DataType::Float(ExactNumberInfo::Precision(bits)) if *bits <= 24 => SqlType::Float4,
        DataType::Float(_) | DataType::Float8 | DataType::DoublePrecision | DataType::Double(_) => SqlType::Float8,
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => numeric(info)?,
        DataType::Text | DataType::String(_) => SqlType::Text,
        DataType::Varchar(length) | DataType::CharacterVarying(length) | DataType::CharVarying(length) => {
            SqlType::Varchar { length_max: length_of(length.as_ref(), "varchar")? }
        }
        DataType::Date => SqlType::Date,
        DataType::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => SqlType::Time,
        DataType::Time(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => SqlType::TimeTz,
        DataType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => SqlType::Timestamp,
        DataType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => SqlType::TimestampTz,
        DataType::Interval { .. } => SqlType::Interval,
        DataType::Uuid => SqlType::Uuid,
        DataType::Bytea => SqlType::Bytea,
        DataType::JSON => SqlType::Json,
        DataType::JSONB => SqlType::Jsonb,
        DataType::Array(ArrayElemTypeDef::SquareBracket(..)) => array_of(data_type)?,
        DataType::Custom(name, _) => custom(name)?,
        DataType::Char(length) | DataType::Character(length) => {
            SqlType::Bpchar { length: Some(length_of(length.as_ref(), "char")?.unwrap_or(1)) }
        }
        other => return Err(unknown(&other.to_string().to_ascii_lowercase())),
    })
}

/// The most dimensions of an array, as in PostgreSQL.
const DIMENSIONS_MAX: usize = 6;

fn array_of(data_type: &DataType) -> std::result::Result<SqlType, QueryError> {
    let (mut element, mut dimensions) = (data_type, 0);
    while let DataType::Array(ArrayElemTypeDef::SquareBracket(inner, _)) = element {
        element = inner;
        dimensions += 1;
    }
    check_dimensions(dimensions)?;
    Ok((0..dimensions).fold(sql_type_of(element)?, |inner, _| SqlType::Array(Box::new(inner))))
}

/// Refuses arrays of more dimensions than values have. PostgreSQL does not mind in the name of a type, where it says nothing there.
pub(crate) fn check_dimensions(dimensions: usize) -> std::result::Result<(), QueryError> {
    if dimensions <= DIMENSIONS_MAX {
        return Ok(());
    }
    let message = format!("number of array dimensions ({dimensions}) exceeds the maximum allowed ({DIMENSIONS_MAX})");
    Err(QueryError::new(ErrorKind::ProgramLimitExceeded, message))
}

fn custom(name: &ast::ObjectName) -> std::result::Result<SqlType, QueryError> {
    if let Some(known) = built_in(name).or_else(|| type_named(name)) {
        return Ok(known);
    }
    if domain_named(&DataType::Custom(name.clone(), Vec::new()))?.is_some() {
        return Err(QueryError::unsupported(format!("domain {name} here"))
            .hint("Domains are types of columns and of casts; use the domain's base type here."));
    }
    if is_row_type(name) {
        return Err(QueryError::unsupported(format!("the row type of \"{name}\""))
            .hint("Use json_to_record(…) AS x(a integer, …) in FROM, or a column for each value."));
    }
    match bare_name(name).as_str() {
        "money" => Err(QueryError::unsupported("type money").hint("Use numeric(19,2).")),
        other => Err(unknown(other)),
    }
}

/// The name without the schema of PostgreSQL's own types.
fn bare_name(name: &ast::ObjectName) -> String {
    let shown = name.to_string().to_ascii_lowercase();
    shown.strip_prefix("pg_catalog.").unwrap_or(&shown).replace('"', "")
}

/// Before the digits in the name of a numeric that has no modifier: `numeric@76,2`, which is in no text.
const NUMERIC_OF_DIGITS: &str = "numeric@";

/// A numeric without a modifier that has so many digits, as syntax.
pub(crate) fn numeric_of_digits(precision: u8, scale: i8) -> DataType {
    let name = ast::Ident::with_quote('"', format!("{NUMERIC_OF_DIGITS}{precision},{scale}"));
    DataType::Custom(ast::ObjectName::from(vec![name]), Vec::new())
}

/// The type that [`numeric_of_digits`] names.
fn type_of_digits(name: &str) -> Option<SqlType> {
    let (precision, scale) = name.strip_prefix(NUMERIC_OF_DIGITS)?.split_once(',')?;
    let (precision, scale): (u8, i8) = (precision.parse().ok()?, scale.parse().ok()?);
    let is_possible = (1..=NUMERIC_PRECISION_MAX).contains(&precision) && (0..=precision as i8).contains(&scale);
    is_possible.then_some(SqlType::Numeric { precision, scale, declared: false })
}

/// Whether syntax is that of [`numeric_of_digits`], or of an array of such numerics.
pub(crate) fn names_digits(data_type: &DataType) -> bool {
    match data_type {
        DataType::Custom(name, _) => type_of_digits(&bare_name(name)).is_some(),
        DataType::Array(ArrayElemTypeDef::SquareBracket(item, _)) => names_digits(item),
        _ => false,
    }
}

/// PostgreSQL's own type of a name.
pub(crate) fn built_in(name: &ast::ObjectName) -> Option<SqlType> {
    Some(match bare_name(name).as_str() {
        "name" => SqlType::Name,
        "oid" => SqlType::Oid,
        "char" => SqlType::Char,
        "int2" => SqlType::Int2,
        "int4" | crate::operators::sites::LITERAL_INT4 => SqlType::Int4,
        "int8" => SqlType::Int8,
        "float4" => SqlType::Float4,
        "float8" => SqlType::Float8,
        "bool" => SqlType::Bool,
        "text" => SqlType::Text,
        "varchar" => SqlType::Varchar { length_max: None },
        "bpchar" => SqlType::Bpchar { length: None },
        "timestamptz" | crate::operators::sites::INSTANT => SqlType::TimestampTz,
        "timestamp" => SqlType::Timestamp,
        "date" => SqlType::Date,
        "numeric" => SqlType::numeric(),
        "bytea" => SqlType::Bytea,
        "uuid" => SqlType::Uuid,
        "interval" => SqlType::Interval,
        "time" => SqlType::Time,
        "timetz" => SqlType::TimeTz,
        "json" => SqlType::Json,
        "jsonb" => SqlType::Jsonb,
        other => return type_of_digits(other),
    })
}

/// The types of PostgreSQL that are not kept, with what to use.
const REFUSED: [(&[&str], &str); 4] = [
    (
        &["int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"],
        "Use two columns, for the lower and the upper bound.",
    ),
    (
        &["int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange", "tstzmultirange"],
        "Use a table with a row for each range.",
    ),
    (&["bit", "bit varying", "varbit"], "Use text, or an integer and its operators & and |."),
    (
        &[
            "xml",
            "inet",
            "cidr",
            "macaddr",
            "macaddr8",
            "point",
            "line",
            "lseg",
            "box",
            "path",
            "polygon",
            "circle",
            "tsvector",
            "tsquery",
            "hstore",
            "jsonpath",
            "pg_lsn",
            "pg_snapshot",
            "txid_snapshot",
        ],
        "Use text.",
    ),
];

fn unknown(name: &str) -> QueryError {
    let bare = name.split('(').next().unwrap_or(name);
    match REFUSED.iter().find(|(names, _)| names.contains(&bare)) {
        Some((_, hint)) => QueryError::unsupported(format!("type {bare}")).hint(*hint),
        None => missing(bare),
    }
}

fn numeric(info: &ExactNumberInfo) -> std::result::Result<SqlType, QueryError> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(SqlType::numeric()),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let invalid = |message: String| Err(QueryError::new(ErrorKind::InvalidParameterValue, message));
    if precision == 0 || precision > 1000 {
        return invalid(format!("NUMERIC precision {precision} must be between 1 and 1000"));
    }
    if precision > u64::from(NUMERIC_PRECISION_MAX) {
        return Err(QueryError::unsupported(format!("numeric({precision},{scale})"))
            .hint(format!("The largest precision is {NUMERIC_PRECISION_MAX} digits.")));
    }
    if scale < 0 || scale > precision as i64 {
        return Err(QueryError::unsupported(format!(
            "numeric({precision},{scale}): a scale outside of 0 to the precision"
        )));
    }
    Ok(SqlType::Numeric { precision: precision as u8, scale: scale as i8, declared: true })
}

fn length_of(length: Option<&CharacterLength>, name: &str) -> std::result::Result<Option<u32>, QueryError> {
    let invalid =
        |what: &str| QueryError::new(ErrorKind::InvalidParameterValue, format!("length for type {name} {what}"));
    match length {
        None | Some(CharacterLength::Max) => Ok(None),
        Some(CharacterLength::IntegerLength { length: 0, .. }) => Err(invalid("must be at least 1")),
        Some(CharacterLength::IntegerLength { length, .. }) if *length <= 10_485_760 => Ok(Some(*length as u32)),
        Some(_) => Err(invalid("cannot exceed 10485760")),
    }
}
