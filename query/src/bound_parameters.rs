//! Bound parameters: the values of a Bind, as pieces of the message that they came in.
//!
//! ```text
//! bytes   0 0 0 2 │ 4 2 │ 0 0 0 4 │ E M E A │ -1
//! places           └──┘             └──────┘   none
//! ```
//!
//! An INSERT whose rows only join others reads them where they lie, and mostly all of its texts are checked at once. Whoever else runs takes
//! each as a value of its own.

use crate::response::{Format, ParameterValue};
use crate::types::FieldText;
use bytes::Bytes;
use std::ops::Range;

/// The parameters of a Bind.
#[derive(Clone, Debug)]
pub struct BoundParameters {
    bytes: Bytes,
    places: Vec<(Format, Option<Range<usize>>)>,
}

/// What an error in a parameter of a portal tells of its place.
pub fn place_of_parameter(portal: &str, number: usize) -> String {
    match portal {
        "" => format!("unnamed portal parameter ${number}"),
        _ => format!("portal \"{portal}\" parameter ${number}"),
    }
}

/// A parameter that is not NULL, where it lies.
pub(crate) enum Piece<'a> {
    /// UTF-8, perhaps with zero bytes.
    Text(FieldText<'a>),
    Binary(&'a [u8]),
}

/// The parameters while they are read; `text` is all of their bytes where those are UTF-8.
pub(crate) struct Pieces<'a> {
    bound: &'a BoundParameters,
    text: Option<&'a str>,
}

impl BoundParameters {
    /// For each parameter its format and where it lies in the bytes; a NULL lies nowhere.
    pub fn new(bytes: Bytes, places: Vec<(Format, Option<Range<usize>>)>) -> Self {
        assert!(places.iter().flat_map(|(_, place)| place).all(|place| place.end <= bytes.len()));
        Self { bytes, places }
    }

    /// Each as a value of its own.
    pub fn values(&self) -> Vec<ParameterValue> {
        let value = |(format, place): &(Format, Option<Range<usize>>)| ParameterValue {
            format: *format,
            bytes: place.clone().map(|place| self.bytes.slice(place)),
        };
        self.places.iter().map(value).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn pieces(&self) -> Pieces<'_> {
        Pieces { bound: self, text: std::str::from_utf8(&self.bytes).ok() }
    }
}

impl<'a> Pieces<'a> {
    /// The parameter at a position: `Some(None)` for NULL, `None` for one that is not there or not UTF-8.
    pub(crate) fn at(&self, index: usize) -> Option<Option<Piece<'a>>> {
        let (format, place) = self.bound.places.get(index)?;
        let Some(place) = place else { return Some(None) };
        let bytes = &self.bound.bytes[place.clone()];
        Some(Some(match format {
            Format::Binary => Piece::Binary(bytes),
            // A length before a text may end with the first bytes of a character.
            Format::Text => Piece::Text(match self.text.filter(|text| text.get(place.clone()).is_some()) {
                Some(text) => FieldText::new(text, place.start, place.len()),
                None => FieldText::whole(std::str::from_utf8(bytes).ok()?),
            }),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::{BoundParameters, Piece};
    use crate::response::Format;
    use bytes::Bytes;
    use std::ops::Range;

    fn shown(bytes: &[u8], places: &[(Format, Option<Range<usize>>)]) -> Vec<Option<Option<String>>> {
        let bound = BoundParameters::new(Bytes::copy_from_slice(bytes), places.to_vec());
        let pieces = bound.pieces();
        let shown = |piece| match piece {
            Piece::Text(text) => format!("{:?}", text.text()),
            Piece::Binary(bytes) => format!("{bytes:?}"),
        };
        (0..=places.len()).map(|index| pieces.at(index).map(|piece| piece.map(shown))).collect()
    }

    #[test]
    fn parameters_are_read_where_they_lie() {
        let places = [(Format::Text, Some(0..2)), (Format::Text, None), (Format::Binary, Some(2..4))];
        let text = |text: &str| Some(Some(text.to_string()));
        assert_eq!(shown(b"42\0\x07", &places), [text("\"42\""), Some(None), text("[0, 7]"), None]);
    }

    /// A text is one by itself, whatever stands before and behind it.
    #[test]
    fn broken_characters_are_no_texts() {
        let places = [(Format::Text, Some(1..2)), (Format::Text, Some(2..3))];
        let x = || Some(Some("\"x\"".to_string()));
        assert_eq!(shown("äx".as_bytes(), &places), [None, x(), None]);
        assert_eq!(shown(b"\xc3xx", &places), [x(), x(), None]);
    }

    #[test]
    fn values_of_their_own_share_the_bytes() {
        let places = vec![(Format::Text, Some(1..3)), (Format::Binary, None)];
        let values = BoundParameters::new(Bytes::from_static(b"a42"), places).values();
        let read: Vec<_> = values.iter().map(|value| (value.format, value.bytes.as_deref())).collect();
        assert_eq!(read, [(Format::Text, Some(&b"42"[..])), (Format::Binary, None)]);
    }
}
