//! Numbers as text by a template: the `to_char` of [`NumberTemplate`].
//!
//! One pass over the template. Digits come from the [`NumberText`] as the template's places reach them; the sign
//! is written before the first place that shows something, or after the last, or where the template says.

use super::format_error::FormatError;
use super::number_template::{Node, NumberTemplate, SignPlace, Symbol};
use super::number_text::{NumberText, ROMAN_LETTERS, ordinal_ending};
use std::fmt::Write;

pub(super) fn write_number(
    template: &NumberTemplate,
    number: &NumberText,
    out: &mut String,
) -> Result<(), FormatError> {
    if template.has_exponent {
        out.push_str(&number.digits);
        return Ok(());
    }
    let start = out.len();
    let mut writer = Writer::new(template, number, out);
    for node in &template.nodes {
        match node {
            Node::Text(character) => writer.out.push(*character),
            Node::Symbol(symbol) => writer.write(*symbol)?,
        }
    }
    // A place behind the digits that a float has ends the text, as the NUL there does in C.
    if let Some(end) = out[start..].find('\0') {
        out.truncate(start + end);
    }
    Ok(())
}

struct Writer<'a> {
    template: &'a NumberTemplate,
    number: &'a NumberText,
    digits: &'a [u8],
    out: &'a mut String,
    has_bracket: bool,
    sign_place: SignPlace,
    zero_start: Option<usize>,
    /// The sign is written, or not for this pass to write.
    sign_written: bool,
    /// The next digit.
    cursor: usize,
    /// The next place of the template.
    place: usize,
    places: usize,
    /// The last place wrote a digit, so that a group separator is due.
    inside: bool,
    /// In fill mode: the last digit after the point that is not an idle zero, or the point.
    last_relevant: Option<usize>,
}

impl<'a> Writer<'a> {
    fn new(template: &'a NumberTemplate, number: &'a NumberText, out: &'a mut String) -> Self {
        let plain = !template.is_roman;
        let signs_itself = plain && (template.has_plus || template.has_minus);
        let positive = number.sign != b'-';
        let has_sign = plain && template.sign != SignPlace::None;
        let sign_written =
            if signs_itself { template.has_minus } else { number.sign == b'+' && template.fill_mode && !has_sign };
        let mut sign_place = if plain { template.sign } else { SignPlace::None };
        if sign_place == SignPlace::Before && number.whole == template.whole_before_sign {
            sign_place = SignPlace::After;
        }
        let places =
            (number.whole + number.fraction + usize::from(!sign_written && number.padding == 0)).wrapping_sub(1);
        Self {
            template,
            number,
            digits: number.digits.as_bytes(),
            out,
            has_bracket: plain && template.has_bracket && (signs_itself || !(positive && template.fill_mode)),
            sign_place,
            zero_start: if plain { template.zero_start } else { None },
            sign_written,
            cursor: 0,
            place: 0,
            places,
            inside: false,
            last_relevant: last_relevant_digit(template, number),
        }
    }

    fn write(&mut self, symbol: Symbol) -> Result<(), FormatError> {
        let fill_mode = self.template.fill_mode;
        match symbol {
            Symbol::Digit | Symbol::Zero | Symbol::Point if !self.template.is_roman => self.write_place(symbol),
            Symbol::Comma | Symbol::Group if self.inside => self.out.push(','),
            Symbol::Comma | Symbol::Group if fill_mode => {}
            Symbol::Comma | Symbol::Group | Symbol::Currency => self.out.push(' '),
            Symbol::Roman { upper } => self.write_roman(upper),
            Symbol::Ordinal { upper } => self.write_ordinal(upper)?,
            Symbol::Minus if self.number.sign == b'-' => self.out.push('-'),
            Symbol::Plus if self.number.sign == b'+' => self.out.push('+'),
            Symbol::Minus | Symbol::Plus if fill_mode => {}
            Symbol::Minus | Symbol::Plus => self.out.push(' '),
            Symbol::SignHere => self.out.push(char::from(self.number.sign)),
            _ => {}
        }
        Ok(())
    }

    fn write_roman(&mut self, upper: bool) {
        let width = if self.template.fill_mode { 0 } else { ROMAN_LETTERS };
        // Writing to a string cannot fail.
        let _ = match upper {
            true => write!(self.out, "{:>width$}", self.number.digits),
            false => write!(self.out, "{:>width$}", self.number.digits.to_ascii_lowercase()),
        };
    }

    fn write_ordinal(&mut self, upper: bool) -> Result<(), FormatError> {
        let has_none = self.template.is_roman
            || self.digits.first() == Some(&b'#')
            || self.number.sign == b'-'
            || self.template.has_point;
        if !has_none {
            self.out.push_str(ordinal_ending(&self.number.digits, upper)?);
        }
        Ok(())
    }

    /// A digit's place, or the point's.
    fn write_place(&mut self, symbol: Symbol) {
        self.inside = false;
        self.write_leading_sign();
        let zero_padded = self.zero_start.is_some_and(|start| start <= self.place);
        if self.place >= self.number.padding {
            self.write_digit_or_point(symbol);
        } else if zero_padded {
            self.out.push('0');
            self.inside = true;
        } else if !self.template.fill_mode {
            self.out.push(' ');
        }
        self.write_trailing_sign();
        self.place += 1;
    }

    fn write_digit_or_point(&mut self, symbol: Symbol) {
        let fill_mode = self.template.fill_mode;
        let digit = self.digits.get(self.cursor).copied();
        let relevant = self.last_relevant.is_none_or(|last| self.cursor <= last);
        if digit == Some(b'.') {
            self.out.push('.');
        } else if !relevant && symbol != Symbol::Zero {
            // Fill mode drops it.
        } else if self.is_idle_zero() {
            if !fill_mode {
                self.out.push(' ');
            } else if self.is_whole() {
                self.out.push('0');
            }
        } else {
            self.out.push(digit.map_or('\0', char::from));
            self.inside = true;
        }
        self.cursor += usize::from(digit.is_some());
    }

    /// The zero of `0.1`, which is only written where the template has a `0`.
    fn is_idle_zero(&self) -> bool {
        self.zero_start.is_none() && self.cursor == 0 && self.digits.first() == Some(&b'0') && self.number.fraction != 0
    }

    /// In fill mode, nothing after the point is worth showing.
    fn is_whole(&self) -> bool {
        self.last_relevant.is_some_and(|last| self.digits.get(last) == Some(&b'.'))
    }

    fn write_leading_sign(&mut self) {
        let number_begins = self.place >= self.number.padding || self.zero_start == Some(self.place);
        if self.sign_written || !number_begins || (self.is_idle_zero() && !self.is_whole()) {
            return;
        }
        let positive = self.number.sign == b'+';
        match self.template.sign {
            SignPlace::None if self.has_bracket => self.out.push(if positive { ' ' } else { '<' }),
            SignPlace::None if positive && self.template.fill_mode => {}
            SignPlace::None => self.out.push(if positive { ' ' } else { '-' }),
            _ if self.sign_place == SignPlace::Before => self.out.push(char::from(self.number.sign)),
            _ => return,
        }
        self.sign_written = true;
    }

    fn write_trailing_sign(&mut self) {
        let mut end = self
            .places
            .wrapping_add(usize::from(self.number.padding > 0))
            .wrapping_add(usize::from(self.template.has_point));
        if self.last_relevant == Some(self.cursor) {
            end = self.place;
        }
        if self.place.wrapping_add(1) != end {
            return;
        }
        let positive = self.number.sign == b'+';
        if self.sign_written && self.has_bracket {
            self.out.push(if positive { ' ' } else { '>' });
        } else if self.sign_place == SignPlace::After {
            self.out.push(char::from(self.number.sign));
        }
    }
}

/// Digits of a `0` place are relevant, as far as there are digits.
fn last_relevant_digit(template: &NumberTemplate, number: &NumberText) -> Option<usize> {
    if template.is_roman || !template.fill_mode || !template.has_point {
        return None;
    }
    let digits = number.digits.as_bytes();
    let point = digits.iter().position(|digit| *digit == b'.')?;
    let last = digits.iter().rposition(|digit| *digit != b'0').map_or(point, |last| last.max(point));
    if template.zero_end <= number.padding {
        return Some(last);
    }
    Some(last.max((template.zero_end - number.padding).min(digits.len() - 1)))
}
