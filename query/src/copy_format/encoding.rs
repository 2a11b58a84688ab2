//! Encodings of COPY's files other than UTF-8.
//!
//! Only encodings of one byte a character are here: ASCII means itself in each of them, so records can be cut before anything is
//! translated. What a byte means is PostgreSQL's opinion; it has none on five bytes of WIN1252.

use crate::error::{ErrorKind, QueryError};
use crate::types::checked_text;
use std::borrow::Cow;

/// The encoding of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyEncoding {
    /// Also SQL_ASCII, which PostgreSQL takes for the database's own encoding.
    #[default]
    Utf8,
    Latin1,
    Latin9,
    Win1252,
}

/// WIN1252's characters 0x80 to 0x9f; 0 for a byte without a meaning.
const WIN1252_HIGH: [u16; 32] = [
    0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0, 0,
    0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
];
/// Where LATIN9 differs from LATIN1.
const LATIN9_OTHERS: [(u8, u16); 8] = [
    (0xa4, 0x20ac),
    (0xa6, 0x0160),
    (0xa8, 0x0161),
    (0xb4, 0x017d),
    (0xb8, 0x017e),
    (0xbc, 0x0152),
    (0xbd, 0x0153),
    (0xbe, 0x0178),
];

/// Starts of the names of encodings that PostgreSQL has and COPY does not.
const OTHERS: [&str; 18] = [
    "latin",
    "iso8859",
    "win",
    "koi8",
    "eucjp",
    "euccn",
    "euckr",
    "euctw",
    "eucjis2004",
    "muleinternal",
    "tcvn",
    "sjis",
    "shiftjis",
    "big5",
    "gbk",
    "gb18030",
    "uhc",
    "johab",
];

impl CopyEncoding {
    /// The encoding of a name as PostgreSQL reads it; `None` for what is no encoding, an error for one that is not supported.
    pub fn named(name: &str) -> Result<Option<Self>, QueryError> {
        let letters = name.chars().filter(char::is_ascii_alphanumeric);
        let clean: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
        Ok(Some(match clean.as_str() {
            "utf8" | "unicode" | "sqlascii" => Self::Utf8,
            "latin1" | "iso88591" => Self::Latin1,
            "latin9" | "iso885915" => Self::Latin9,
            "win1252" | "windows1252" => Self::Win1252,
            other if OTHERS.iter().any(|known| other.starts_with(known)) => {
                return Err(QueryError::unsupported(format!("encoding \"{name}\" in COPY"))
                    .hint("UTF8, LATIN1, LATIN9 and WIN1252 are; convert the data, for example with iconv."));
            }
            _ => return Ok(None),
        }))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF8",
            Self::Latin1 => "LATIN1",
            Self::Latin9 => "LATIN9",
            Self::Win1252 => "WIN1252",
        }
    }

    fn character(self, byte: u8) -> Option<char> {
        let code = match self {
            Self::Win1252 if (0x80..0xa0).contains(&byte) => {
                Some(WIN1252_HIGH[usize::from(byte - 0x80)]).filter(|code| *code != 0)?
            }
            Self::Latin9 => {
                LATIN9_OTHERS.iter().find(|(other, _)| *other == byte).map_or(byte.into(), |(_, code)| *code)
            }
            _ => byte.into(),
        };
        char::from_u32(code.into())
    }

    fn byte(self, character: char) -> Option<u8> {
        (0..=u8::MAX).find(|byte| self.character(*byte) == Some(character))
    }

    /// The bytes as UTF-8, which may be wrong where they claim to be it already; with the place of a byte that has no meaning, before
    /// which the result ends.
    pub(super) fn decode(self, bytes: &[u8]) -> (Cow<'_, [u8]>, Option<usize>) {
        if self == Self::Utf8 || bytes.is_ascii() {
            return (Cow::Borrowed(bytes), None);
        }
        let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
        for (place, byte) in bytes.iter().enumerate() {
            match self.character(*byte) {
                Some(character) => text.push(character),
                None => return (Cow::Owned(text.into_bytes()), Some(place)),
            }
        }
        (Cow::Owned(text.into_bytes()), None)
    }

    /// The data's bytes as text; or the place of the first byte that is none, and the error.
    pub fn text_of(self, bytes: &[u8]) -> Result<Cow<'_, str>, (usize, QueryError)> {
        if self == Self::Utf8 {
            return match checked_text(bytes) {
                Ok(text) => Ok(Cow::Borrowed(text)),
                Err(error) => {
                    let end = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
                    Err((memchr::memchr(0, &bytes[..end]).unwrap_or(end), error))
                }
            };
        }
        let zero = memchr::memchr(0, bytes);
        match (self.decode(bytes), zero) {
            ((_, Some(place)), zero) if zero.is_none_or(|zero| place < zero) => {
                Err((place, self.undefined(bytes[place])))
            }
            (_, Some(zero)) => Err((zero, self.invalid(bytes[zero]))),
            ((text, _), None) => Ok(Cow::Owned(String::from_utf8_lossy(&text).into_owned())),
        }
    }

    /// The error for a byte without a meaning.
    pub(super) fn undefined(self, byte: u8) -> QueryError {
        let message = format!(
            "character with byte sequence 0x{byte:02x} in encoding \"{}\" has no equivalent in encoding \"UTF8\"",
            self.name()
        );
        QueryError::new(ErrorKind::UntranslatableCharacter, message)
    }

    /// The error for a byte that no text has.
    pub(super) fn invalid(self, byte: u8) -> QueryError {
        let message = format!("invalid byte sequence for encoding \"{}\": 0x{byte:02x}", self.name());
        QueryError::new(ErrorKind::CharacterNotInRepertoire, message)
    }

    /// A text in this encoding.
    pub(super) fn encode(self, text: &[u8]) -> Result<Cow<'_, [u8]>, QueryError> {
        if self == Self::Utf8 || text.is_ascii() {
            return Ok(Cow::Borrowed(text));
        }
        let untranslatable = |character: char| {
            let mut buffer = [0; 4];
            let bytes = character.encode_utf8(&mut buffer).bytes().map(|byte| format!("0x{byte:02x}"));
            QueryError::new(
                ErrorKind::UntranslatableCharacter,
                format!(
                    "character with byte sequence {} in encoding \"UTF8\" has no equivalent in encoding \"{}\"",
                    bytes.collect::<Vec<_>>().join(" "),
                    self.name()
                ),
            )
        };
        let text = checked_text(text)?;
        let bytes = text.chars().map(|character| match character {
            ascii if ascii.is_ascii() => Ok(ascii as u8),
            other => self.byte(other).ok_or_else(|| untranslatable(other)),
        });
        Ok(Cow::Owned(bytes.collect::<Result<_, QueryError>>()?))
    }
}
