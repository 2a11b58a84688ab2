//! Templates of numbers: `FM999G990D00MI`, taken apart once and then used for many values.
//!
//! Digits before and after the point are counted here, and what may not stand together is refused here. The symbols of the
//! locale are those of locale C: `.` and `,`, no currency. This module knows no values.

use super::characters::split_character;
use super::format_error::{Fault, FormatError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symbol {
    /// `9`
    Digit,
    /// `0`
    Zero,
    /// `.` and `D`
    Point,
    Comma,
    /// `G`
    Group,
    /// `L`
    Currency,
    /// `MI`
    Minus,
    /// `PL`
    Plus,
    /// `SG`
    SignHere,
    /// `S`, which is printed where the number begins or ends and not where it stands.
    Sign,
    /// `PR`
    Bracket,
    Roman {
        upper: bool,
    },
    Ordinal {
        upper: bool,
    },
    /// `V`
    Shift,
    /// `EEEE`
    Exponent,
    FillMode,
    /// `B`
    Blank,
    /// `C` and `SP`, which do nothing.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Node {
    Symbol(Symbol),
    Text(char),
}

/// Where `S` puts the sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SignPlace {
    #[default]
    None,
    Before,
    After,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct NumberTemplate {
    pub(super) nodes: Vec<Node>,
    /// Digits before the point, those after `V` not among them.
    pub(super) whole: usize,
    /// Digits after the point.
    pub(super) fraction: usize,
    /// `9`s after `V`.
    pub(super) shift: usize,
    pub(super) has_point: bool,
    pub(super) fill_mode: bool,
    pub(super) has_minus: bool,
    pub(super) has_plus: bool,
    pub(super) has_bracket: bool,
    pub(super) has_shift: bool,
    pub(super) has_exponent: bool,
    pub(super) is_roman: bool,
    pub(super) sign: SignPlace,
    /// Digits before the point that stand before `S`.
    pub(super) whole_before_sign: usize,
    /// Digits before the first `0` ahead of the point.
    pub(super) zero_start: Option<usize>,
    /// Digits up to the last `0`.
    pub(super) zero_end: usize,
    is_blank: bool,
}

impl NumberTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, FormatError> {
        let mut template = Self::default();
        let mut rest = text;
        while let Some((character, after)) = split_character(rest) {
            if let Some((name, symbol)) = KEYWORDS.iter().find(|(name, _)| rest.starts_with(name)) {
                template.add(*symbol)?;
                rest = &rest[name.len()..];
            } else if character == '"' {
                rest = template.add_quoted(after);
            } else {
                // Outside of quotes a backslash is only special before a quote.
                let escaped = character == '\\' && after.starts_with('"');
                template.nodes.push(Node::Text(if escaped { '"' } else { character }));
                rest = if escaped { &after[1..] } else { after };
            }
        }
        Ok(template)
    }

    fn add_quoted<'t>(&mut self, text: &'t str) -> &'t str {
        let mut rest = text;
        while let Some((character, after)) = split_character(rest) {
            match (character, split_character(after)) {
                ('"', _) => return after,
                ('\\', Some((escaped, after_escaped))) => {
                    self.nodes.push(Node::Text(escaped));
                    rest = after_escaped;
                }
                _ => {
                    self.nodes.push(Node::Text(character));
                    rest = after;
                }
            }
        }
        rest
    }

    fn add(&mut self, symbol: Symbol) -> Result<(), FormatError> {
        if self.has_exponent && symbol != Symbol::Exponent {
            return Err(syntax("\"EEEE\" must be the last pattern used"));
        }
        match symbol {
            Symbol::Digit | Symbol::Zero => self.add_digit(symbol)?,
            Symbol::Point => {
                if self.has_point {
                    return Err(syntax("multiple decimal points"));
                }
                if self.has_shift {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.has_point = true;
            }
            Symbol::Shift => {
                if self.has_point {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.has_shift = true;
            }
            Symbol::Sign | Symbol::Minus | Symbol::Plus | Symbol::SignHere | Symbol::Bracket => {
                self.add_sign(symbol)?;
            }
            Symbol::Exponent => self.add_exponent()?,
            Symbol::Roman { .. } => self.is_roman = true,
            Symbol::FillMode => self.fill_mode = true,
            Symbol::Blank => self.is_blank |= self.whole == 0 && self.fraction == 0 && self.zero_start.is_none(),
            Symbol::Comma | Symbol::Group | Symbol::Currency | Symbol::Ordinal { .. } | Symbol::Nothing => {}
        }
        self.nodes.push(Node::Symbol(symbol));
        Ok(())
    }

    fn add_digit(&mut self, symbol: Symbol) -> Result<(), FormatError> {
        let zero = symbol == Symbol::Zero;
        if self.has_bracket {
            return Err(syntax(if zero { "\"0\" must be ahead of \"PR\"" } else { "\"9\" must be ahead of \"PR\"" }));
        }
        if zero && !self.has_point && self.zero_start.is_none() {
            self.zero_start = Some(self.whole);
        }
        match (self.has_point, zero) {
            // A zero after V counts as a digit of the number, a nine does not.
            (_, false) if self.has_shift => self.shift += 1,
            (true, _) => self.fraction += 1,
            (false, _) => self.whole += 1,
        }
        if zero {
            self.zero_end = self.whole + self.fraction;
        }
        Ok(())
    }

    fn add_sign(&mut self, symbol: Symbol) -> Result<(), FormatError> {
        let has_sign = self.sign != SignPlace::None;
        match symbol {
            Symbol::Sign if has_sign => return Err(syntax("cannot use \"S\" twice")),
            Symbol::Sign if self.has_plus || self.has_minus || self.has_bracket => {
                return Err(syntax("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"));
            }
            Symbol::Sign if self.has_point => self.sign = SignPlace::After,
            Symbol::Sign => {
                self.sign = SignPlace::Before;
                self.whole_before_sign = self.whole;
            }
            Symbol::Minus if has_sign => return Err(syntax("cannot use \"S\" and \"MI\" together")),
            Symbol::Minus => self.has_minus = true,
            Symbol::Plus if has_sign => return Err(syntax("cannot use \"S\" and \"PL\" together")),
            Symbol::Plus => self.has_plus = true,
            Symbol::SignHere if has_sign => return Err(syntax("cannot use \"S\" and \"SG\" together")),
            Symbol::SignHere => (self.has_minus, self.has_plus) = (true, true),
            _ if has_sign || self.has_plus || self.has_minus => {
                return Err(syntax("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together"));
            }
            _ => self.has_bracket = true,
        }
        Ok(())
    }

    fn add_exponent(&mut self) -> Result<(), FormatError> {
        if self.has_exponent {
            return Err(syntax("cannot use \"EEEE\" twice"));
        }
        let others = [
            self.is_blank,
            self.fill_mode,
            self.sign != SignPlace::None,
            self.has_bracket,
            self.has_minus,
            self.has_plus,
            self.is_roman,
            self.has_shift,
        ];
        if others.contains(&true) {
            return Err(syntax("\"EEEE\" is incompatible with other formats")
                .detail("\"EEEE\" may only be used together with digit and decimal point patterns."));
        }
        self.has_exponent = true;
        Ok(())
    }
}

fn syntax(message: &'static str) -> FormatError {
    FormatError::new(Fault::Syntax, message)
}

/// Longer keywords stand before the shorter ones that they begin with.
const KEYWORDS: &[(&str, Symbol)] = &[
    (",", Symbol::Comma),
    (".", Symbol::Point),
    ("0", Symbol::Zero),
    ("9", Symbol::Digit),
    ("B", Symbol::Blank),
    ("b", Symbol::Blank),
    ("C", Symbol::Nothing),
    ("c", Symbol::Nothing),
    ("D", Symbol::Point),
    ("d", Symbol::Point),
    ("EEEE", Symbol::Exponent),
    ("eeee", Symbol::Exponent),
    ("FM", Symbol::FillMode),
    ("fm", Symbol::FillMode),
    ("G", Symbol::Group),
    ("g", Symbol::Group),
    ("L", Symbol::Currency),
    ("l", Symbol::Currency),
    ("MI", Symbol::Minus),
    ("mi", Symbol::Minus),
    ("PL", Symbol::Plus),
    ("pl", Symbol::Plus),
    ("PR", Symbol::Bracket),
    ("pr", Symbol::Bracket),
    ("RN", Symbol::Roman { upper: true }),
    ("rn", Symbol::Roman { upper: false }),
    ("SG", Symbol::SignHere),
    ("sg", Symbol::SignHere),
    ("SP", Symbol::Nothing),
    ("sp", Symbol::Nothing),
    ("S", Symbol::Sign),
    ("s", Symbol::Sign),
    ("TH", Symbol::Ordinal { upper: true }),
    ("th", Symbol::Ordinal { upper: false }),
    ("V", Symbol::Shift),
    ("v", Symbol::Shift),
];
