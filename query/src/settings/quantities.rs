//! Quantities: the settings that are numbers, with their units of time or memory.
//!
//! A value is read in any unit of its kind and kept as SHOW gives it, in the largest unit that has no rest: `90000` milliseconds are
//! `90s`, 4096 kB are `4MB`. `pg_settings` shows the number in the setting's own unit (`guc.c`, `parse_int` and `ShowGUCOption`).

use crate::error::{ErrorKind, QueryError};

/// The unit that a setting counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    None,
    Milliseconds,
    Seconds,
    Bytes,
    Kilobytes,
    /// Pages of 8 kB.
    Pages,
}

/// What a number may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantity {
    pub unit: Unit,
    pub least: f64,
    pub most: f64,
    /// Whether it is a fraction; others are whole.
    pub is_real: bool,
}

/// The units of time, in microseconds.
const TIMES: &[(&str, f64)] = &[("d", 86.4e9), ("h", 3.6e9), ("min", 6e7), ("s", 1e6), ("ms", 1e3), ("us", 1.0)];
/// The units of memory, in bytes.
const MEMORY: &[(&str, f64)] =
    &[("TB", 1_099_511_627_776.0), ("GB", 1_073_741_824.0), ("MB", 1_048_576.0), ("kB", 1024.0), ("B", 1.0)];

impl Unit {
    /// As `pg_settings` names it.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Milliseconds => Some("ms"),
            Self::Seconds => Some("s"),
            Self::Bytes => Some("B"),
            Self::Kilobytes => Some("kB"),
            Self::Pages => Some("8kB"),
        }
    }

    /// How many of the smallest unit of its kind it is.
    fn size(self) -> f64 {
        match self {
            Self::None | Self::Bytes => 1.0,
            Self::Milliseconds => 1e3,
            Self::Seconds => 1e6,
            Self::Kilobytes => 1024.0,
            Self::Pages => 8192.0,
        }
    }

    fn spellings(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::None => &[],
            Self::Milliseconds | Self::Seconds => TIMES,
            Self::Bytes | Self::Kilobytes | Self::Pages => MEMORY,
        }
    }

    fn hint(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Milliseconds | Self::Seconds => {
                Some("Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".")
            }
            Self::Bytes | Self::Kilobytes | Self::Pages => {
                Some("Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".")
            }
        }
    }
}

impl Quantity {
    /// The number that a text means, in the setting's own unit; the error names the setting.
    pub(crate) fn read(&self, setting: &str, text: &str) -> Result<f64, QueryError> {
        let invalid = |hint: Option<&str>| {
            let message = format!("invalid value for parameter \"{setting}\": \"{text}\"");
            let error = QueryError::new(ErrorKind::InvalidParameterValue, message);
            hint.into_iter().fold(error, |error, hint| error.hint(hint))
        };
        let trimmed = text.trim();
        let (number, rest) = number_and_rest(trimmed).ok_or_else(|| invalid(None))?;
        let unit = rest.trim();
        let value = match self.unit.spellings().iter().find(|(name, _)| *name == unit) {
            Some((_, size)) => number * size / self.unit.size(),
            None if unit.is_empty() => number,
            None => return Err(invalid(self.unit.hint())),
        };
        let value = if self.is_real { value } else { value.round_ties_even() };
        if !self.is_real && (value > f64::from(i32::MAX) || value < f64::from(i32::MIN)) {
            return Err(invalid(Some("Value exceeds integer range.")));
        }
        if value < self.least || value > self.most {
            let unit = self.unit.name().map(|unit| format!(" {unit}")).unwrap_or_default();
            let (least, most) = (self.least, self.most);
            let message =
                format!("{value}{unit} is outside the valid range for parameter \"{setting}\" ({least} .. {most})");
            return Err(QueryError::new(ErrorKind::InvalidParameterValue, message));
        }
        Ok(value)
    }

    /// A number of the setting's own unit as SHOW gives it.
    pub(crate) fn shown(&self, value: f64) -> String {
        let smallest = value * self.unit.size();
        let fits = |size: f64| (smallest / size).fract() == 0.0;
        match self.unit.spellings().iter().find(|(_, size)| value > 0.0 && fits(*size)) {
            Some((name, size)) => format!("{}{name}", smallest / size),
            None => value.to_string(),
        }
    }

    /// What `pg_settings` has of a value that SHOW gives.
    pub(crate) fn bare(&self, shown: &str) -> String {
        self.read("", shown).map_or_else(|_| shown.to_string(), |value| value.to_string())
    }
}

/// The number that a text begins with, and what is behind it.
fn number_and_rest(text: &str) -> Option<(f64, &str)> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(hexadecimal) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let length = hexadecimal.bytes().take_while(u8::is_ascii_hexdigit).count();
        let value = i64::from_str_radix(&hexadecimal[..length], 16).ok()?;
        return Some((sign * value as f64, &hexadecimal[length..]));
    }
    let plain = digits.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let exponent = exponent_length(&digits[plain..]);
    let value: f64 = digits[..plain + exponent].parse().ok()?;
    Some((sign * value, &digits[plain + exponent..]))
}

/// The length of `e-3`; 0 where something else stands.
fn exponent_length(text: &str) -> usize {
    let Some(rest) = text.strip_prefix(['e', 'E']) else { return 0 };
    let unsigned = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    match unsigned.bytes().take_while(u8::is_ascii_digit).count() {
        0 => 0,
        digits => text.len() - unsigned.len() + digits,
    }
}

#[cfg(test)]
mod tests {
    use super::{Quantity, Unit};

    fn check(unit: Unit, is_real: bool, text: &str, expected: Option<(&str, &str)>) {
        let quantity = Quantity { unit, least: -1.0, most: 2_147_483_647.0, is_real };
        let shown = quantity.read("x", text).ok().map(|value| quantity.shown(value));
        let bare = shown.as_deref().map(|shown| quantity.bare(shown));
        assert_eq!(shown.as_deref().zip(bare.as_deref()), expected, "{text}");
    }

    #[test]
    fn quantities_are_shown_in_the_largest_unit() {
        check(Unit::Milliseconds, false, "90000", Some(("90s", "90000")));
        check(Unit::Milliseconds, false, " 1.5 min ", Some(("90s", "90000")));
        check(Unit::Milliseconds, false, "1500us", Some(("2ms", "2")));
        check(Unit::Milliseconds, true, "0.5", Some(("500us", "0.5")));
        check(Unit::Seconds, false, "0", Some(("0", "0")));
        check(Unit::Kilobytes, false, "0x1000", Some(("4MB", "4096")));
        check(Unit::Pages, false, "8MB", Some(("8MB", "1024")));
        check(Unit::None, true, "1e3", Some(("1000", "1000")));
        check(Unit::None, false, "-1", Some(("-1", "-1")));
        check(Unit::Milliseconds, false, "-2", None);
        check(Unit::Milliseconds, false, "1kB", None);
        check(Unit::None, false, "1s", None);
        check(Unit::None, false, "", None);
        check(Unit::None, false, "9999999999", None);
    }
}
