//! Characters as C and PostgreSQL tell them apart, whatever the locale.

/// The first character of a text, and what follows it.
pub(super) fn split_character(text: &str) -> Option<(char, &str)> {
    let character = text.chars().next()?;
    Some((character, &text[character.len_utf8()..]))
}

/// What C's `isspace` takes for a space.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Printable, and neither a letter nor a digit.
pub(super) fn is_separator(byte: u8) -> bool {
    byte.is_ascii_graphic() && !byte.is_ascii_alphanumeric()
}

/// The bytes of the character that begins here. A byte inside of a character counts alone, as a template may lead there.
pub(super) fn character_length(text: &[u8]) -> usize {
    let length = match text.first() {
        Some(0xC0..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF7) => 4,
        _ => 1,
    };
    length.min(text.len())
}
