//! SQL types: PostgreSQL's name, OID and modifier for each, and the Arrow type that carries it.
//!
//! A type is on disk for ever. The Arrow type alone does not tell `varchar(10)` from `text` or `oid` from `bigint`, so a
//! field carries the SQL type in its metadata under [`TYPE_KEY`], spelled as `format_type` spells it. A field without
//! that key (a computed column) gets the type that its Arrow type implies, without modifier.
//!
//! This module knows no values; reading and printing them stands in `query::types`.

use crate::enum_type::EnumType;
use crate::type_names::settled_name;
use crate::zoned_time;
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The metadata key of a field that names its SQL type, e.g. `character varying(10)`.
pub const TYPE_KEY: &str = "meridian.type";
/// The metadata key of a modifier that is no part of the type here: the digits of `timestamp(3)`, the units of
/// `interval day to hour`.
pub const MODIFIER_KEY: &str = "meridian.modifier";
/// The metadata key of the domain that values belong to: its OID.
pub const DOMAIN_KEY: &str = "meridian.domain";
/// The metadata key of a catalog relation's arrays that are vectors to clients: `int2vector` or `oidvector`.
pub const VECTOR_KEY: &str = "meridian.vector";
/// The metadata key that Parquet readers and writers use for a column's stable id.
pub const FIELD_ID_KEY: &str = "PARQUET:field_id";

/// The most digits that a numeric column can hold.
pub const NUMERIC_PRECISION_MAX: u8 = 76;
/// The scale of numerics whose digits are not known beforehand; they are shown without zeros at their end.
pub const NUMERIC_SCALE: i8 = 36;
/// The most arrays that lie in each other in a type that is read. It is JSON's limit too, so no definition has more.
const NESTING_MAX: usize = 128;

/// A PostgreSQL type with its modifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SqlType {
    /// `boolean`, Arrow `Boolean`.
    Bool,
    /// `smallint`, Arrow `Int16`.
    Int2,
    /// `integer`, Arrow `Int32`.
    Int4,
    /// `bigint`, Arrow `Int64`.
    Int8,
    /// `real`, Arrow `Float32`.
    Float4,
    /// `double precision`, Arrow `Float64`.
    Float8,
    /// `numeric(p, s)`, Arrow `Decimal128(p, s)` up to 38 digits and `Decimal256(p, s)` above. `declared` is false for
    /// the result of an expression, which the wire shows as plain `numeric`; its digits are those of the Arrow type.
    Numeric { precision: u8, scale: i8, declared: bool },
    /// `text`, Arrow `Utf8View`.
    Text,
    /// `character varying(n)` or without limit, Arrow `Utf8View`.
    Varchar { length_max: Option<u32> },
    /// `date`, Arrow `Date32`.
    Date,
    /// `time`, Arrow `Time64(µs)`.
    Time,
    /// `timestamp`, Arrow `Timestamp(µs)`.
    Timestamp,
    /// `timestamptz`, Arrow `Timestamp(µs, UTC)`.
    TimestampTz,
    /// `interval`, Arrow `Interval(MonthDayNano)`; 16 bytes in segments, see `storage::intervals`.
    Interval,
    /// `uuid`, Arrow `FixedSizeBinary(16)`.
    Uuid,
    /// `bytea`, Arrow `BinaryView`.
    Bytea,
    /// `name`, at most 63 bytes, Arrow `Utf8View`.
    Name,
    /// `"char"`, one byte, Arrow `Utf8View`; in catalog relations only.
    Char,
    /// `oid`, Arrow `Int64`; in catalog relations only.
    Oid,
    /// An OID that prints as the name of what it names (`regclass`, `regtype`, `regproc`, …), Arrow `Utf8View`.
    Reg(RegType),
    /// `json`, the text as it came, Arrow `LargeBinary`. No other type has that Arrow type, so a value that went
    /// through CASE, UNION or an aggregate, which forget metadata, is still known for what it is.
    Json,
    /// An array of the element type, Arrow `List`; in results only.
    Array(#[serde(deserialize_with = "element")] Box<SqlType>),
    /// `jsonb`, text in canonical form, Arrow `LargeUtf8`, which no other type has.
    Jsonb,
    /// `character(n)`, or `bpchar` without a length, Arrow `Utf8View`. Blanks at the end mean nothing; values are kept
    /// without them, so they compare as text, and get them back where they are printed.
    Bpchar { length: Option<u32> },
    /// `int2vector` or `oidvector`, by its elements. Plans know only arrays; what a client is told is a vector where it comes
    /// unchanged from a catalog relation.
    Vector(#[serde(deserialize_with = "element")] Box<SqlType>),
    /// `void`, which functions answer with that have nothing to say, Arrow `Utf8View`; in results only.
    Void,
    /// A type of `CREATE TYPE … AS ENUM`; see [`crate::enum_type`] for the Arrow type.
    Enum(EnumType),
    /// `timetz`; see [`crate::zoned_time`] for the Arrow type.
    TimeTz,
}

thread_local! {
    /// The arrays around the type that is being read.
    static NESTING: Cell<usize> = const { Cell::new(0) };
}

/// Reads an array's element. An array takes one byte in postcard and a frame of the stack to read, so that bytes without meaning could be more
/// arrays than there is stack.
fn element<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<SqlType>, D::Error> {
    let nesting = NESTING.get();
    if nesting == NESTING_MAX {
        return Err(de::Error::custom("arrays are nested too deeply"));
    }
    NESTING.set(nesting + 1);
    let element = Deserialize::deserialize(deserializer);
    NESTING.set(nesting);
    element
}

/// The aliases of `oid` that print names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RegType {
    Class,
    Type,
    Proc,
    Namespace,
}

impl SqlType {
    /// The OID in `pg_type`, as in every PostgreSQL.
    pub fn oid(&self) -> u32 {
        match self {
            Self::Bool => 16,
            Self::Int2 => 21,
            Self::Int4 => 23,
            Self::Int8 => 20,
            Self::Float4 => 700,
            Self::Float8 => 701,
            Self::Numeric { .. } => 1700,
            Self::Text => 25,
            Self::Varchar { .. } => 1043,
            Self::Date => 1082,
            Self::Time => 1083,
            Self::TimeTz => 1266,
            Self::Timestamp => 1114,
            Self::TimestampTz => 1184,
            Self::Interval => 1186,
            Self::Uuid => 2950,
            Self::Bytea => 17,
            Self::Name => 19,
            Self::Char => 18,
            Self::Oid => 26,
            Self::Reg(RegType::Class) => 2205,
            Self::Reg(RegType::Type) => 2206,
            Self::Reg(RegType::Proc) => 24,
            Self::Reg(RegType::Namespace) => 4089,
            Self::Json => 114,
            Self::Jsonb => 3802,
            Self::Bpchar { .. } => 1042,
            Self::Void => 2278,
            Self::Enum(known) => known.parts().id.0,
            Self::Array(element) => element.array_oid(),
            Self::Vector(element) if **element == Self::Int2 => 22,
            Self::Vector(_) => 30,
        }
    }

    /// The OID of the array type over this element; 0 where there is none.
    pub fn array_oid(&self) -> u32 {
        match self {
            Self::Bool => 1000,
            Self::Int2 => 1005,
            Self::Int4 => 1007,
            Self::Int8 => 1016,
            Self::Float4 => 1021,
            Self::Float8 => 1022,
            Self::Numeric { .. } => 1231,
            Self::Varchar { .. } => 1015,
            Self::Date => 1182,
            Self::Time => 1183,
            Self::TimeTz => 1270,
            Self::Timestamp => 1115,
            Self::TimestampTz => 1185,
            Self::Interval => 1187,
            Self::Uuid => 2951,
            Self::Bytea => 1001,
            Self::Name => 1003,
            Self::Char => 1002,
            Self::Oid => 1028,
            Self::Json => 199,
            Self::Jsonb => 3807,
            Self::Bpchar { .. } => 1014,
            Self::Void => 0,
            Self::Enum(known) => known.parts().array.0,
            // An array of arrays is one of more dimensions, and has the same type.
            Self::Array(element) => element.array_oid(),
            Self::Vector(element) if **element == Self::Int2 => 1006,
            Self::Vector(_) => 1013,
            Self::Text => 1009,
            Self::Reg(RegType::Class) => 2210,
            Self::Reg(RegType::Type) => 2211,
            Self::Reg(RegType::Proc) => 1008,
            Self::Reg(RegType::Namespace) => 4090,
        }
    }

    /// The type for an OID that a client names in Parse; `None` for one that is not supported.
    pub fn from_oid(oid: u32) -> Option<Self> {
        let scalar = [
            Self::Bool,
            Self::Int2,
            Self::Int4,
            Self::Int8,
            Self::Float4,
            Self::Float8,
            Self::numeric(),
            Self::Text,
            Self::Varchar { length_max: None },
            Self::Date,
            Self::Time,
            Self::TimeTz,
            Self::Timestamp,
            Self::TimestampTz,
            Self::Interval,
            Self::Uuid,
            Self::Bytea,
            Self::Name,
            Self::Char,
            Self::Oid,
            Self::Json,
            Self::Jsonb,
            Self::Bpchar { length: None },
            Self::Reg(RegType::Class),
            Self::Reg(RegType::Type),
            Self::Reg(RegType::Proc),
            Self::Reg(RegType::Namespace),
        ];
        if let Some(found) = scalar.iter().find(|candidate| candidate.oid() == oid) {
            return Some(found.clone());
        }
        scalar.into_iter().find(|element| element.array_oid() == oid).map(|element| Self::Array(Box::new(element)))
    }

    /// `numeric` without a modifier, of values whose digits are not known beforehand.
    pub fn numeric() -> Self {
        Self::Numeric { precision: NUMERIC_PRECISION_MAX, scale: NUMERIC_SCALE, declared: false }
    }

    /// The type without its modifier, as a parameter has it.
    pub fn unmodified(&self) -> Self {
        match self {
            Self::Numeric { .. } => Self::numeric(),
            Self::Varchar { .. } => Self::Varchar { length_max: None },
            Self::Bpchar { .. } => Self::Bpchar { length: None },
            Self::Array(element) => Self::Array(Box::new(element.unmodified())),
            other => other.clone(),
        }
    }

    /// The type modifier of `pg_attribute.atttypmod` and RowDescription; -1 for none.
    pub fn typmod(&self) -> i32 {
        match self {
            Self::Numeric { precision, scale, declared: true } => {
                ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4
            }
            Self::Varchar { length_max: Some(n) } | Self::Bpchar { length: Some(n) } => *n as i32 + 4,
            Self::Array(element) => element.typmod(),
            _ => -1,
        }
    }

    /// The modifier of a value's field, of which [`Self::typmod`] knows only what belongs to the type here.
    pub fn typmod_of(&self, field: &Field) -> i32 {
        match field.metadata().get(MODIFIER_KEY).and_then(|text| text.parse().ok()) {
            Some(modifier) if self.may_differ() => modifier,
            _ => self.typmod(),
        }
    }

    fn may_differ(&self) -> bool {
        match self {
            Self::Array(item) => item.may_differ() || matches!(**item, Self::Numeric { .. }),
            Self::Time | Self::TimeTz | Self::Timestamp | Self::TimestampTz => true,
            Self::Interval | Self::Bpchar { .. } => true,
            _ => false,
        }
    }

    /// The size in bytes of `pg_type.typlen`; -1 for a type of variable size.
    pub fn typlen(&self) -> i16 {
        match self {
            Self::Bool | Self::Char => 1,
            Self::Int2 => 2,
            Self::Int4 | Self::Float4 | Self::Date | Self::Oid | Self::Reg(_) | Self::Void | Self::Enum(_) => 4,
            Self::Int8 | Self::Float8 | Self::Time | Self::Timestamp | Self::TimestampTz => 8,
            Self::TimeTz => 12,
            Self::Interval | Self::Uuid => 16,
            Self::Name => 64,
            Self::Numeric { .. } | Self::Text | Self::Varchar { .. } | Self::Bytea | Self::Array(_) => -1,
            Self::Json | Self::Jsonb | Self::Bpchar { .. } | Self::Vector(_) => -1,
        }
    }

    /// The name without the modifier, as `format_type(oid, NULL)` gives it.
    pub fn base_name(&self) -> String {
        match self {
            Self::Bool => "boolean".into(),
            Self::Int2 => "smallint".into(),
            Self::Int4 => "integer".into(),
            Self::Int8 => "bigint".into(),
            Self::Float4 => "real".into(),
            Self::Float8 => "double precision".into(),
            Self::Numeric { .. } => "numeric".into(),
            Self::Text => "text".into(),
            Self::Varchar { .. } => "character varying".into(),
            Self::Date => "date".into(),
            Self::Time => "time without time zone".into(),
            Self::TimeTz => "time with time zone".into(),
            Self::Timestamp => "timestamp without time zone".into(),
            Self::TimestampTz => "timestamp with time zone".into(),
            Self::Interval => "interval".into(),
            Self::Uuid => "uuid".into(),
            Self::Bytea => "bytea".into(),
            Self::Name => "name".into(),
            Self::Char => "\"char\"".into(),
            Self::Oid => "oid".into(),
            Self::Reg(RegType::Class) => "regclass".into(),
            Self::Reg(RegType::Type) => "regtype".into(),
            Self::Reg(RegType::Proc) => "regproc".into(),
            Self::Reg(RegType::Namespace) => "regnamespace".into(),
            Self::Json => "json".into(),
            Self::Jsonb => "jsonb".into(),
            Self::Bpchar { .. } => "character".into(),
            Self::Void => "void".into(),
            Self::Enum(known) => known.shown_name(),
            Self::Array(element) if matches!(**element, Self::Array(_)) => element.base_name(),
            Self::Array(element) => format!("{}[]", element.base_name()),
            Self::Vector(element) if **element == Self::Int2 => "int2vector".into(),
            Self::Vector(_) => "oidvector".into(),
        }
    }

    /// The Arrow type of a column of this type, in memory and on disk.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 | Self::Oid => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric { precision, scale, .. } if *precision <= 38 => DataType::Decimal128(*precision, *scale),
            Self::Numeric { precision, scale, .. } => DataType::Decimal256(*precision, *scale),
            Self::Text | Self::Varchar { .. } | Self::Bpchar { .. } | Self::Name | Self::Char => DataType::Utf8View,
            Self::Reg(_) | Self::Void => DataType::Utf8View,
            Self::Json => DataType::LargeBinary,
            Self::Jsonb => DataType::LargeUtf8,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::TimeTz => zoned_time::data_type(),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Bytea => DataType::BinaryView,
            Self::Enum(known) => known.data_type(),
            Self::Array(element) | Self::Vector(element) => DataType::List(Arc::new(element.item_field())),
        }
    }

    /// A field of this type that remembers it in its metadata.
    pub fn field(&self, name: &str, nullable: bool) -> Field {
        Field::new(name, self.data_type(), nullable).with_metadata(HashMap::from([(TYPE_KEY.to_string(), self.key())]))
    }

    /// What stands under [`TYPE_KEY`]: the name, but for enums, of which it is not enough.
    fn key(&self) -> String {
        match self {
            Self::Enum(known) => known.tag().to_string(),
            Self::Array(element) => format!("{}[]", element.key()),
            _ => self.to_string(),
        }
    }

    /// The field of an array's items. It remembers the type only where its Arrow type alone does not say it, so that arrays of one
    /// type have one Arrow type, whoever made them.
    pub fn item_field(&self) -> Field {
        let plain = Field::new("item", self.data_type(), true);
        if Self::from_field(&plain).as_ref() == Some(self) { plain } else { self.field("item", true) }
    }

    /// The type of a column of a table or of a result: what its metadata says where that fits its Arrow type, else what
    /// the Arrow type implies. `None` for Arrow types that PostgreSQL has no type for.
    pub fn from_field(field: &Field) -> Option<Self> {
        let implied = Self::from_data_type(field.data_type());
        let declared = field.metadata().get(TYPE_KEY).and_then(|text| Self::parse(text));
        match (declared, implied) {
            (Some(declared), Some(implied)) if declared.fits(field.data_type(), &implied) => Some(declared),
            (_, implied) => implied,
        }
    }

    /// The vector that a field's array is to clients.
    pub fn vector_of(field: &Field) -> Option<Self> {
        match Self::from_data_type(field.data_type())? {
            Self::Array(element) if field.metadata().contains_key(VECTOR_KEY) => Some(Self::Vector(element)),
            _ => None,
        }
    }

    fn fits(&self, data_type: &DataType, implied: &Self) -> bool {
        if self.data_type() == *data_type {
            return true;
        }
        // String and binary columns may come out of an operator in another layout of the same type.
        implied.data_type() == self.data_type() && !matches!(self, Self::Array(_))
    }

    /// The type that an Arrow type alone implies.
    pub fn from_data_type(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Self::Int2,
            DataType::Int32 | DataType::UInt16 => Self::Int4,
            DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Self::Int8,
            DataType::Float16 | DataType::Float32 => Self::Float4,
            DataType::Float64 => Self::Float8,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => {
                Self::Numeric { precision: *precision, scale: *scale, declared: false }
            }
            DataType::Utf8 | DataType::Utf8View | DataType::Null => Self::Text,
            DataType::LargeUtf8 => Self::Jsonb,
            DataType::LargeBinary => Self::Json,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(_, None) => Self::Timestamp,
            other if zoned_time::is_zoned_time(other) => Self::TimeTz,
            DataType::Timestamp(_, Some(_)) => EnumType::of_data_type(data_type).map_or(Self::TimestampTz, Self::Enum),
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::FixedSizeBinary(16) => Self::Uuid,
            DataType::Binary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Self::Bytea,
            DataType::Dictionary(_, value) => return Self::from_data_type(value),
            DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
                Self::Array(Box::new(Self::from_field(element)?))
            }
            _ => return None,
        })
    }

    /// Reads the spelling under [`TYPE_KEY`], which is that of `Display` but for enums. Column definitions in SQL are read by the
    /// query room, not here.
    pub fn parse(text: &str) -> Option<Self> {
        let element = text.trim_end_matches("[]");
        let nesting = (text.len() - element.len()) / "[]".len();
        if nesting > 0 {
            let innermost = Self::parse(element).filter(|_| nesting <= NESTING_MAX)?;
            return Some((0..nesting).fold(innermost, |inner, _| Self::Array(Box::new(inner))));
        }
        if let Some(arguments) = text.strip_prefix("numeric(").and_then(|rest| rest.strip_suffix(')')) {
            let (precision, scale) = arguments.split_once(',')?;
            return Some(Self::Numeric {
                precision: precision.parse().ok()?,
                scale: scale.parse().ok()?,
                declared: true,
            });
        }
        if let Some(length) = text.strip_prefix("character varying(").and_then(|rest| rest.strip_suffix(')')) {
            return Some(Self::Varchar { length_max: Some(length.parse().ok()?) });
        }
        if let Some(length) = text.strip_prefix("character(").and_then(|rest| rest.strip_suffix(')')) {
            return Some(Self::Bpchar { length: Some(length.parse().ok()?) });
        }
        if let Some(known) = EnumType::from_tag(text) {
            return Some(Self::Enum(known));
        }
        Some(match text {
            "boolean" => Self::Bool,
            "smallint" => Self::Int2,
            "integer" => Self::Int4,
            "bigint" => Self::Int8,
            "real" => Self::Float4,
            "double precision" => Self::Float8,
            "numeric" => Self::numeric(),
            "text" => Self::Text,
            "character varying" => Self::Varchar { length_max: None },
            "date" => Self::Date,
            "time without time zone" => Self::Time,
            "time with time zone" => Self::TimeTz,
            "timestamp without time zone" => Self::Timestamp,
            "timestamp with time zone" => Self::TimestampTz,
            "interval" => Self::Interval,
            "uuid" => Self::Uuid,
            "bytea" => Self::Bytea,
            "name" => Self::Name,
            "\"char\"" => Self::Char,
            "oid" => Self::Oid,
            "regclass" => Self::Reg(RegType::Class),
            "regtype" => Self::Reg(RegType::Type),
            "regproc" => Self::Reg(RegType::Proc),
            "regnamespace" => Self::Reg(RegType::Namespace),
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            "bpchar" => Self::Bpchar { length: None },
            "void" => Self::Void,
            _ => return None,
        })
    }
}

/// The name with its modifier, as `format_type(oid, typmod)` gives it.
impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numeric { precision, scale, declared: true } => write!(f, "numeric({precision},{scale})"),
            Self::Varchar { length_max: Some(n) } => write!(f, "character varying({n})"),
            Self::Bpchar { length: Some(n) } => write!(f, "character({n})"),
            Self::Bpchar { length: None } => f.write_str("bpchar"),
            Self::Array(element) => write!(f, "{element}[]"),
            Self::Enum(known) => f.write_str(&settled_name(&known.parts().name)),
            _ => f.write_str(&self.base_name()),
        }
    }
}
