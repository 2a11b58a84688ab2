//! Arithmetic of jsonpath: exact decimals of up to 38 digits.

use crate::error::{ErrorKind, QueryError};
use crate::types::json::push_number;

/// Digits of a quotient after the point, as the operator `/` of numerics shows them.
const QUOTIENT_SCALE: u32 = 16;

/// A number as an integer and the digits of it that stand after the point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    unscaled: i128,
    scale: u32,
}

fn overflow() -> QueryError {
    QueryError::new(ErrorKind::NumericOutOfRange, "value overflows numeric format")
}

impl Number {
    /// Reads a number in canonical form.
    pub(super) fn read(text: &str) -> Result<Self, QueryError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let unscaled = format!("{whole}{fraction}").parse().map_err(|_| overflow())?;
        Ok(Self { unscaled, scale: fraction.len() as u32 })
    }

    /// The number in canonical form.
    pub(super) fn text(self) -> Result<String, QueryError> {
        let digits = self.unscaled.unsigned_abs().to_string();
        let scale = self.scale as usize;
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let point = if scale > 0 { "." } else { "" };
        let mut text = String::new();
        push_number(&mut text, &format!("{sign}{whole}{point}{fraction}"))?;
        Ok(text)
    }

    /// The integer without what stands after the point.
    pub(super) fn truncated(self) -> i128 {
        self.unscaled / self.unit()
    }

    fn unit(self) -> i128 {
        10_i128.checked_pow(self.scale).unwrap_or(i128::MAX)
    }

    fn at_scale(self, scale: u32) -> Result<i128, QueryError> {
        let factor = 10_i128.checked_pow(scale - self.scale).ok_or_else(overflow)?;
        self.unscaled.checked_mul(factor).ok_or_else(overflow)
    }

    pub(super) fn negated(self) -> Self {
        Self { unscaled: -self.unscaled, ..self }
    }

    pub(super) fn absolute(self) -> Self {
        Self { unscaled: self.unscaled.abs(), ..self }
    }

    /// The next integer below, or above.
    pub(super) fn floor(self, up: bool) -> Self {
        let unit = self.unit();
        let below = self.unscaled.div_euclid(unit);
        let exact = self.unscaled.rem_euclid(unit) == 0;
        Self { unscaled: if up && !exact { below + 1 } else { below }, scale: 0 }
    }

    pub(super) fn computed(self, operator: char, other: Self) -> Result<Self, QueryError> {
        let scale = self.scale.max(other.scale);
        let division_by_zero = || QueryError::new(ErrorKind::DivisionByZero, "division by zero");
        let same = || Ok::<_, QueryError>((self.at_scale(scale)?, other.at_scale(scale)?));
        let (unscaled, scale) = match operator {
            '+' => same().map(|(left, right)| (left.checked_add(right), scale))?,
            '-' => same().map(|(left, right)| (left.checked_sub(right), scale))?,
            '*' => (self.unscaled.checked_mul(other.unscaled), self.scale + other.scale),
            _ if other.unscaled == 0 => return Err(division_by_zero()),
            '%' => same().map(|(left, right)| (left.checked_rem(right), scale))?,
            _ => {
                let scale = scale.max(QUOTIENT_SCALE);
                let (left, right) = same()?;
                let factor = 10_i128.checked_pow(scale).ok_or_else(overflow)?;
                let dividend = left.checked_mul(factor).ok_or_else(overflow)?;
                let (quotient, rest) = (dividend / right, dividend % right);
                let away = rest.unsigned_abs() * 2 >= right.unsigned_abs();
                let step = if (dividend < 0) == (right < 0) { 1 } else { -1 };
                (Some(if away { quotient + step } else { quotient }), scale)
            }
        };
        Ok(Self { unscaled: unscaled.ok_or_else(overflow)?, scale })
    }
}
