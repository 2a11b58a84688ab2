//! Modifiers of times and intervals: `timestamp(0)`, `interval day to minute`.
//!
//! A cast to such a type is followed by a call that rounds or cuts, and by a site that says the modifier: it stands in the metadata of
//! the value's field, where a result's description finds it.

use super::call::{Places, SiteKind};
use super::casts::expression_field;
use super::sites::{Annotator, LITERAL_INT4, call_quoted, marked};
use crate::domains::{cast_name, domain_of};
use crate::error::QueryError;
use crate::functions::moments::{INTERVAL_CUT, MOMENT_ROUNDED};
use crate::sql_types::sql_type_of;
use crate::user_types::domain_named;
use arrow::datatypes::{DataType as ArrowType, Field};
use catalog::ids::ObjectId;
use catalog::sql_type::{MODIFIER_KEY, SqlType};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::ExprSchemable;
use datafusion::logical_expr::expr::Cast;
use datafusion::sql::sqlparser::ast::{DataType, DateTimeField, Expr, IntervalFields, Value};
use std::sync::Arc;

/// Digits behind the second's point that every value has.
const DIGITS_MAX: u64 = 6;
/// In an interval's modifier: all units, and all digits.
const ALL_UNITS: i32 = 0x7fff;
const ALL_DIGITS: i32 = 0xffff;

/// What a type's modifier does to a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Modifier {
    /// Digits behind the second's point.
    digits: Option<u64>,
    /// The smallest unit that an interval keeps.
    unit: Option<&'static str>,
    /// As `pg_attribute.atttypmod` has it.
    number: i32,
}

/// The modifier of a type; `None` for one that has none.
pub(crate) fn modifier_of(data_type: &DataType) -> Option<Modifier> {
    match data_type {
        DataType::Timestamp(digits, _) | DataType::Time(digits, _) => {
            let digits = digits.map(|digits| digits.min(DIGITS_MAX))?;
            Some(Modifier { digits: kept(Some(digits)), unit: None, number: digits as i32 })
        }
        DataType::Interval { fields, precision } => of_interval(fields.as_ref(), *precision),
        _ => None,
    }
}

/// The modifier of a literal, as in `interval '1 2:03' day to hour`.
pub(super) fn literal_modifier(
    leading: Option<&DateTimeField>,
    last: Option<&DateTimeField>,
    digits: Option<u64>,
) -> Option<Modifier> {
    use IntervalFields as F;
    let fields = match (leading, last) {
        (Some(DateTimeField::Year), Some(DateTimeField::Month)) => Some(F::YearToMonth),
        (Some(DateTimeField::Day), Some(DateTimeField::Hour)) => Some(F::DayToHour),
        (Some(DateTimeField::Day), Some(DateTimeField::Minute)) => Some(F::DayToMinute),
        (Some(DateTimeField::Day), Some(DateTimeField::Second)) => Some(F::DayToSecond),
        (Some(DateTimeField::Hour), Some(DateTimeField::Minute)) => Some(F::HourToMinute),
        (Some(DateTimeField::Hour), Some(DateTimeField::Second)) => Some(F::HourToSecond),
        (Some(DateTimeField::Minute), Some(DateTimeField::Second)) => Some(F::MinuteToSecond),
        (Some(DateTimeField::Year), None) => Some(F::Year),
        (Some(DateTimeField::Month), None) => Some(F::Month),
        (Some(DateTimeField::Day), None) => Some(F::Day),
        (Some(DateTimeField::Hour), None) => Some(F::Hour),
        (Some(DateTimeField::Minute), None) => Some(F::Minute),
        (Some(DateTimeField::Second), None) => Some(F::Second),
        _ => None,
    };
    of_interval(fields.as_ref(), digits)
}

fn of_interval(fields: Option<&IntervalFields>, digits: Option<u64>) -> Option<Modifier> {
    let digits = digits.map(|digits| digits.min(DIGITS_MAX));
    if fields.is_none() && digits.is_none() {
        return None;
    }
    let units = fields.map_or(ALL_UNITS, units_of);
    let number = (units << 16) | digits.map_or(ALL_DIGITS, |digits| digits as i32);
    Some(Modifier { digits: kept(digits), unit: fields.and_then(smallest), number })
}

impl Modifier {
    /// The modifier of a time or timestamp with so many digits behind the second's point.
    pub(super) fn of_digits(digits: u8) -> Self {
        Self { digits: kept(Some(u64::from(digits))), unit: None, number: i32::from(digits) }
    }

    /// As `pg_attribute.atttypmod` has it.
    pub(crate) fn number(self) -> i32 {
        self.number
    }

    /// An interval's text, with the unit of a number that stands last without one: `interval '1 day 5' day to hour`.
    pub(super) fn with_unit(self, text: &str) -> String {
        let last = text.split_ascii_whitespace().next_back().unwrap_or_default();
        let is_number = last.parse::<f64>().is_ok_and(f64::is_finite);
        match self.unit {
            Some(unit) if is_number => format!("{text} {unit}"),
            None if self.is_minutes() && last.matches(':').count() == 1 && !last.contains('.') => {
                let (before, sign) = (&text[..text.len() - last.len()], if last.starts_with('-') { "-" } else { "" });
                format!("{before}{sign}00:{}", last.trim_start_matches(['-', '+']))
            }
            _ => text.to_string(),
        }
    }

    /// Whether `12:34` is minutes and seconds.
    fn is_minutes(self) -> bool {
        self.number >> 16 == units_of(&IntervalFields::MinuteToSecond)
    }
}

fn kept(digits: Option<u64>) -> Option<u64> {
    digits.filter(|digits| *digits < DIGITS_MAX)
}

fn smallest(fields: &IntervalFields) -> Option<&'static str> {
    use IntervalFields as F;
    Some(match fields {
        F::Year => "year",
        F::Month | F::YearToMonth => "month",
        F::Day => "day",
        F::Hour | F::DayToHour => "hour",
        F::Minute | F::DayToMinute | F::HourToMinute => "minute",
        _ => return None,
    })
}

/// The units of an interval's modifier as bits, which are numbered as PostgreSQL numbers them.
fn units_of(fields: &IntervalFields) -> i32 {
    use IntervalFields as F;
    const MONTH: i32 = 1 << 1;
    const YEAR: i32 = 1 << 2;
    const DAY: i32 = 1 << 3;
    const HOUR: i32 = 1 << 10;
    const MINUTE: i32 = 1 << 11;
    const SECOND: i32 = 1 << 12;
    match fields {
        F::Year => YEAR,
        F::Month => MONTH,
        F::YearToMonth => YEAR | MONTH,
        F::Day => DAY,
        F::Hour => HOUR,
        F::Minute => MINUTE,
        F::Second => SECOND,
        F::DayToHour => DAY | HOUR,
        F::DayToMinute => DAY | HOUR | MINUTE,
        F::DayToSecond => DAY | HOUR | MINUTE | SECOND,
        F::HourToMinute => HOUR | MINUTE,
        F::HourToSecond => HOUR | MINUTE | SECOND,
        F::MinuteToSecond => MINUTE | SECOND,
    }
}

/// What a cast's type means.
pub(super) struct TypeOfCast {
    pub to: SqlType,
    pub modifier: Option<Modifier>,
    pub domain: Option<ObjectId>,
}

impl TypeOfCast {
    pub(super) fn named(data_type: &DataType) -> std::result::Result<Self, QueryError> {
        let domain = domain_named(data_type)?;
        Ok(match domain.as_ref().and_then(|known| known.domain().map(|domain| (known.id, domain))) {
            Some((id, domain)) => {
                let modifier = domain.digits.map(Modifier::of_digits);
                Self { to: domain.sql_type.clone(), modifier, domain: Some(id) }
            }
            None => Self { to: sql_type_of(data_type)?, modifier: modifier_of(data_type), domain: None },
        })
    }
}

impl Annotator<'_> {
    /// A value that was cast, with what its type's modifier and domain make of it.
    pub(super) fn of_type(&mut self, cast: Expr, modifier: Option<Modifier>, domain: Option<ObjectId>) -> Expr {
        let modified = match modifier {
            Some(modifier) => self.modified(cast, modifier),
            None => cast,
        };
        match domain {
            Some(domain) => call_quoted(&cast_name(domain), vec![modified]),
            None => modified,
        }
    }

    /// The value as a modifier leaves it.
    pub(super) fn modified(&mut self, value: Expr, modifier: Modifier) -> Expr {
        let cut = match modifier.unit {
            Some(unit) => {
                let unit = Expr::Value(Value::SingleQuotedString(unit.to_string()).into());
                call_quoted(INTERVAL_CUT, vec![value, unit])
            }
            None => value,
        };
        let rounded = match modifier.digits {
            Some(digits) => {
                let digits = Expr::Value(Value::Number(digits.to_string(), false).into());
                call_quoted(MOMENT_ROUNDED, vec![cut, marked(digits, LITERAL_INT4)])
            }
            None => cut,
        };
        self.add(SiteKind::Modified(modifier.number), Places::default(), vec![rounded])
    }
}

/// A value's field with the modifier.
pub(super) fn with_modifier(value: &Field, modifier: i32) -> Field {
    let mut metadata = value.metadata().clone();
    metadata.insert(MODIFIER_KEY.to_string(), modifier.to_string());
    Field::new("site", value.data_type().clone(), true).with_metadata(metadata)
}

/// A field of the same values without the modifier. A char(n) keeps its length, to which values are filled up where they are shown,
/// and says no more that it has one.
pub(crate) fn unmodified_field(field: &Field) -> Field {
    let Some(known) = SqlType::from_field(field) else { return field.clone().with_nullable(true) };
    let is_modified = known.typmod() != -1;
    let unmodified = unmodified_type(known);
    let shown = match unmodified.typmod() {
        -1 => expression_field(&unmodified),
        _ => with_modifier(&expression_field(&unmodified), -1),
    };
    // What the items of an array are is said by its Arrow type.
    let data_type = match unmodified {
        SqlType::Array(_) if is_modified => unmodified.data_type(),
        _ => field.data_type().clone(),
    };
    Field::new(field.name(), data_type, true).with_metadata(shown.metadata().clone())
}

fn unmodified_type(known: SqlType) -> SqlType {
    match known {
        SqlType::Numeric { precision, scale, .. } => SqlType::Numeric { precision, scale, declared: false },
        SqlType::Varchar { .. } => SqlType::Varchar { length_max: None },
        SqlType::Array(item) => SqlType::Array(Box::new(unmodified_type(*item))),
        other => other,
    }
}

/// The value without its type's modifier, as functions that give back an argument have it.
pub(super) fn unmodified(
    value: datafusion::logical_expr::Expr,
    schema: &DFSchema,
) -> Result<datafusion::logical_expr::Expr> {
    let (_, field) = value.to_field(schema)?;
    let has_modifier = SqlType::from_field(&field).is_some_and(|known| known.typmod_of(&field) != -1);
    if !has_modifier && domain_of(&field).is_none() {
        return Ok(value);
    }
    let field = Arc::new(unmodified_field(&field));
    Ok(datafusion::logical_expr::Expr::Cast(Cast::new_from_field(Box::new(value), field)))
}

/// An item of an array, of which the array's Arrow type may say more than that of the item.
pub(super) fn typed_item(item: datafusion::logical_expr::Expr, array: &Field) -> datafusion::logical_expr::Expr {
    match array.data_type() {
        ArrowType::List(field) if !field.metadata().is_empty() => {
            let field = Arc::new(field.as_ref().clone().with_nullable(true));
            datafusion::logical_expr::Expr::Cast(Cast::new_from_field(Box::new(item), field))
        }
        _ => item,
    }
}

/// The value with the modifier in its field.
pub(super) fn modified_value(
    value: datafusion::logical_expr::Expr,
    modifier: i32,
    schema: &DFSchema,
) -> Result<datafusion::logical_expr::Expr> {
    let (_, field) = value.to_field(schema)?;
    let field = Arc::new(with_modifier(&field, modifier));
    Ok(datafusion::logical_expr::Expr::Cast(Cast::new_from_field(Box::new(value), field)))
}
