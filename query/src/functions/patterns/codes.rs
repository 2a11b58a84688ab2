//! Characters that an expression names by their codes, among them codes that no text has.
//!
//! PostgreSQL counts surrogates and codes beyond Unicode as characters. They match nothing, but begin and end ranges.

/// The highest code that PostgreSQL takes.
const CODE_MAX: u32 = 0x7fff_fffe;
const SURROGATE_MIN: u32 = 0xd800;
const SURROGATE_MAX: u32 = 0xdfff;

/// A set without characters in the syntax of the `regex` crate, by itself and within brackets.
pub(super) const NO_CHARACTERS: &str = "[^\\x00-\\x{10ffff}]";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Code(u32);

impl From<char> for Code {
    fn from(character: char) -> Self {
        Self(u32::from(character))
    }
}

impl Code {
    /// `None` beyond what PostgreSQL takes.
    pub(super) fn new(code: u32) -> Option<Self> {
        (code <= CODE_MAX).then_some(Self(code))
    }

    /// The character with this code, if a text can have it.
    pub(super) fn character(self) -> Option<char> {
        char::from_u32(self.0)
    }

    /// The first and the last character of a text between two codes; `None` where there is none.
    pub(super) fn characters_to(self, last: Self) -> Option<(char, char)> {
        let is_surrogate = |code: &u32| (SURROGATE_MIN..=SURROGATE_MAX).contains(code);
        let first = if is_surrogate(&self.0) { SURROGATE_MAX + 1 } else { self.0 };
        let last = if is_surrogate(&last.0) { SURROGATE_MIN - 1 } else { last.0.min(u32::from(char::MAX)) };
        (first <= last).then_some((char::from_u32(first)?, char::from_u32(last)?))
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_that_no_text_has_bound_ranges() {
        let code = |code: u32| Code::new(code).expect("a code");
        assert_eq!(code(0x61).characters_to(code(0x61_62_63)), Some(('a', char::MAX)));
        assert_eq!(code(0x61).characters_to(code(0xd900)), Some(('a', '\u{d7ff}')));
        assert_eq!(code(0xd900).characters_to(code(0xffff)), Some(('\u{e000}', '\u{ffff}')));
        assert_eq!(code(0xd900).characters_to(code(0xdfff)), None);
        assert_eq!(code(0x11_0000).characters_to(code(0x12_0000)), None);
        assert_eq!(Code::new(0x7fff_ffff), None);
    }
}
