//! Periods: years, quarters, months and days, as conditions on partitions name them.
//!
//! A period is written `2024`, `2024-Q1`, `2024-01` or `2024-01-31`, and holds the days from its first one up to the next period.
//! This module knows nothing of tables.

use catalog::definition::Transform;
use chrono::{Datelike, Months, NaiveDate};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::fmt;

/// A year, a quarter, a month or a day; `next` is the first day behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub first: NaiveDate,
    pub next: NaiveDate,
    pub grain: Transform,
}

impl Period {
    /// The period that holds a day; `None` at the end of the calendar and for a column without a transform.
    pub(crate) fn of(day: NaiveDate, grain: Transform) -> Option<Self> {
        let (first, months) = match grain {
            Transform::Year => (day.with_day(1)?.with_month(1)?, 12),
            Transform::Quarter => (day.with_day(1)?.with_month(day.month0() / 3 * 3 + 1)?, 3),
            Transform::Month => (day.with_day(1)?, 1),
            Transform::Day => return Some(Self { first: day, next: day.succ_opt()?, grain }),
            Transform::Identity => return None,
        };
        Some(Self { first, next: first.checked_add_months(Months::new(months))?, grain })
    }

    /// Reads a period as it is written. A year has its four digits, so that no other order of a date's parts is taken for one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok())?;
        let mut parts = text.trim().split('-');
        let year = parts.next().filter(|year| year.len() == 4).and_then(number)?;
        let (month, day) = (parts.next(), parts.next());
        if parts.next().is_some() {
            return None;
        }
        let (month, grain) = match (month, day) {
            (None, _) => (1, Transform::Year),
            (Some(month), Some(_)) => (number(month)?, Transform::Day),
            (Some(month), None) => match month.strip_prefix(['q', 'Q']) {
                Some(quarter) => {
                    (number(quarter).filter(|quarter| (1..=4).contains(quarter))? * 3 - 2, Transform::Quarter)
                }
                None => (number(month)?, Transform::Month),
            },
        };
        let day = day.map_or(Some(1), number)?;
        Self::of(NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?, grain)
    }

    pub(super) fn last(&self) -> NaiveDate {
        self.next.pred_opt().unwrap_or(self.first)
    }

    /// The periods on one side of this one, in words: what is before 2024-06 ends with 2024-05.
    pub(super) fn on_side(&self, operator: &BinaryOperator) -> String {
        let unit = word(self.grain);
        let at = |day: Option<NaiveDate>| day.and_then(|day| Self::of(day, self.grain)).unwrap_or(*self);
        match operator {
            BinaryOperator::Lt => format!("all {unit}s up to {}", at(self.first.pred_opt())),
            BinaryOperator::LtEq => format!("all {unit}s up to {self}"),
            BinaryOperator::Gt => format!("all {unit}s from {} on", at(Some(self.next))),
            BinaryOperator::GtEq => format!("all {unit}s from {self} on"),
            _ => format!("the whole {unit}"),
        }
    }
}

/// As it is written in conditions and in the names of partitions.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month) = (self.first.year(), self.first.month());
        match self.grain {
            Transform::Year => write!(f, "{year:04}"),
            Transform::Quarter => write!(f, "{year:04}-Q{}", month.div_ceil(3)),
            Transform::Month => write!(f, "{year:04}-{month:02}"),
            Transform::Day | Transform::Identity => write!(f, "{}", self.first),
        }
    }
}

/// How fine a transform divides the calendar.
pub(super) fn fineness(transform: Transform) -> u8 {
    match transform {
        Transform::Year => 1,
        Transform::Quarter => 2,
        Transform::Month => 3,
        Transform::Day => 4,
        Transform::Identity => 5,
    }
}

/// What a period is called, and the function that gives it.
pub(super) fn word(transform: Transform) -> &'static str {
    match transform {
        Transform::Year => "year",
        Transform::Quarter => "quarter",
        Transform::Month => "month",
        Transform::Day => "day",
        Transform::Identity => "value",
    }
}

#[cfg(test)]
mod tests;
