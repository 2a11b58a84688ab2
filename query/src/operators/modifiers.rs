//! Modifiers of times and intervals: `timestamp(0)`, `interval day to minute`.
//!
//! They are no part of a value's type here; a cast to such a type is followed by a call that rounds or cuts.

use super::sites::{LITERAL_INT4, call_quoted, marked};
use crate::functions::moments::{INTERVAL_CUT, MOMENT_ROUNDED};
use datafusion::sql::sqlparser::ast::{DataType, DateTimeField, Expr, IntervalFields, Value};

/// What a type's modifier does to a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Modifier {
    /// Digits behind the second's point.
    digits: Option<u64>,
    /// The smallest unit that an interval keeps.
    unit: Option<&'static str>,
}

/// The modifier of a type; `None` for one that keeps everything.
pub(crate) fn modifier_of(data_type: &DataType) -> Option<Modifier> {
    let modifier = match data_type {
        DataType::Timestamp(digits, _) | DataType::Time(digits, _) => Modifier { digits: *digits, unit: None },
        DataType::Interval { fields, precision } => {
            Modifier { digits: *precision, unit: fields.as_ref().and_then(smallest) }
        }
        _ => Modifier::default(),
    };
    kept(modifier)
}

/// The modifier of a literal, as in `interval '1 2:03' day to hour`.
pub(super) fn literal_modifier(last: Option<&DateTimeField>, digits: Option<u64>) -> Option<Modifier> {
    let unit = last.and_then(|field| match field {
        DateTimeField::Year => Some("year"),
        DateTimeField::Month => Some("month"),
        DateTimeField::Day => Some("day"),
        DateTimeField::Hour => Some("hour"),
        DateTimeField::Minute => Some("minute"),
        _ => None,
    });
    kept(Modifier { digits, unit })
}

fn kept(modifier: Modifier) -> Option<Modifier> {
    let modifier = Modifier { digits: modifier.digits.filter(|digits| *digits < 6), ..modifier };
    (modifier != Modifier::default()).then_some(modifier)
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

/// The value as a modifier leaves it.
pub(super) fn modified(value: Expr, modifier: Modifier) -> Expr {
    let cut = match modifier.unit {
        Some(unit) => {
            let unit = Expr::Value(Value::SingleQuotedString(unit.to_string()).into());
            call_quoted(INTERVAL_CUT, vec![value, unit])
        }
        None => value,
    };
    match modifier.digits {
        Some(digits) => {
            let digits = Expr::Value(Value::Number(digits.to_string(), false).into());
            call_quoted(MOMENT_ROUNDED, vec![cut, marked(digits, LITERAL_INT4)])
        }
        None => cut,
    }
}
