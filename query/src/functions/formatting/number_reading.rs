//! Numbers from text by a template: `to_number`.
//!
//! Each place of the template takes at most one digit, sign or point from the text; any other character of the template skips one
//! character. Works on bytes, because a template may split a text anywhere.

use super::characters::character_length;
use super::format_error::{Fault, FormatError};
use super::number_template::{Node, NumberTemplate, SignPlace, Symbol};

/// A decimal number: `digits × 10^-scale`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ReadNumber {
    pub(super) negative: bool,
    pub(super) digits: Vec<u8>,
    pub(super) scale: usize,
}

pub(super) fn read_number(template: &NumberTemplate, text: &str) -> Result<ReadNumber, FormatError> {
    for (is_there, name) in [(template.has_exponent, "EEEE"), (template.is_roman, "RN")] {
        if is_there {
            return Err(FormatError::new(Fault::NotSupported, format!("\"{name}\" not supported for input")));
        }
    }
    let text = text.as_bytes();
    let mut reader = Reader { template, text, at: 0, sign: None, digits: Vec::new(), fraction: 0, point_read: false };
    for node in &template.nodes {
        if reader.at >= text.len() {
            break;
        }
        match node {
            Node::Symbol(symbol) => reader.read(*symbol),
            Node::Text(_) => reader.skip_character(),
        }
    }
    reader.finish()
}

struct Reader<'a> {
    template: &'a NumberTemplate,
    text: &'a [u8],
    at: usize,
    sign: Option<u8>,
    digits: Vec<u8>,
    /// Digits that were read after the point.
    fraction: usize,
    point_read: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_character(&mut self) {
        self.at += character_length(&self.text[self.at..]);
    }

    /// Skips characters that are not part of a number.
    fn skip_others(&mut self, count: usize) {
        for _ in 0..count {
            match self.peek() {
                Some(byte) if !b"0123456789.,+-".contains(&byte) => self.skip_character(),
                _ => return,
            }
        }
    }

    fn read(&mut self, symbol: Symbol) {
        match symbol {
            Symbol::Digit | Symbol::Zero | Symbol::Point => {
                self.read_place(symbol);
                self.at += 1;
            }
            Symbol::Comma | Symbol::Group if !self.template.fill_mode && self.peek() == Some(b',') => self.at += 1,
            Symbol::Currency => self.skip_others(1),
            Symbol::Ordinal { .. } if !self.template.has_point => self.skip_others(2),
            Symbol::Minus | Symbol::Plus | Symbol::SignHere => match self.peek() {
                Some(sign @ b'-') if symbol != Symbol::Plus => self.take_sign(sign),
                Some(sign @ b'+') if symbol != Symbol::Minus => self.take_sign(sign),
                _ => self.skip_others(1),
            },
            _ => {}
        }
    }

    fn take_sign(&mut self, sign: u8) {
        self.sign = Some(sign);
        self.at += 1;
    }

    /// Leaves the position on the last byte that it took.
    fn read_place(&mut self, symbol: Symbol) {
        if self.peek() == Some(b' ') {
            self.at += 1;
        }
        if symbol != Symbol::Point && self.sign.is_none() && !self.has_digits() {
            self.read_leading_sign();
        }
        let Some(byte) = self.peek() else { return };
        let mut taken = true;
        if byte.is_ascii_digit() {
            if self.point_read && self.fraction == self.template.fraction {
                return;
            }
            self.digits.push(byte);
            self.fraction += usize::from(self.point_read);
        } else if byte == b'.' && self.template.has_point && !self.point_read {
            self.point_read = true;
        } else {
            taken = false;
        }
        if self.sign.is_none() && self.has_digits() {
            self.read_trailing_sign(taken);
        }
    }

    fn has_digits(&self) -> bool {
        !self.digits.is_empty()
    }

    fn read_leading_sign(&mut self) {
        match self.peek() {
            Some(sign @ (b'-' | b'+')) => self.take_sign(sign),
            Some(b'<') if self.template.has_bracket => self.take_sign(b'-'),
            _ => {}
        }
    }

    /// `S` stands right behind the last digit. `MI`, `PL` and `SG` may come before all places of the template are used up.
    fn read_trailing_sign(&mut self, taken: bool) {
        let has_sign = self.template.sign != SignPlace::None;
        if has_sign && taken {
            if let Some(sign @ (b'-' | b'+')) = self.text.get(self.at + 1).copied() {
                self.take_sign(sign);
            }
        } else if !taken
            && !has_sign
            && (self.template.has_plus || self.template.has_minus)
            && let Some(sign @ (b'-' | b'+')) = self.peek()
        {
            self.sign = Some(sign);
        }
    }

    fn finish(self) -> Result<ReadNumber, FormatError> {
        if self.digits.is_empty() {
            let sign = char::from(self.sign.unwrap_or(b' '));
            return Err(FormatError::new(
                Fault::InvalidText,
                format!("invalid input syntax for type numeric: \"{sign}\""),
            ));
        }
        let whole = self.digits.len() - self.fraction;
        let zeros = self.digits.iter().take_while(|digit| **digit == b'0').count();
        let whole_max = self.template.whole + self.template.shift;
        if whole.saturating_sub(zeros) > whole_max {
            let (precision, scale) = (whole_max + self.fraction, self.fraction);
            let limit = if whole_max == 0 { "1".to_string() } else { format!("10^{whole_max}") };
            return Err(FormatError::new(Fault::NumberOutOfRange, "numeric field overflow").detail(format!(
                "A field with precision {precision}, scale {scale} must round to an absolute value less than {limit}."
            )));
        }
        let scale = self.fraction + self.template.shift;
        Ok(ReadNumber { negative: self.sign == Some(b'-'), digits: self.digits, scale })
    }
}
