//! Plain numbers, read eight digits at a time.
//!
//! Nearly all numbers of a file are digits and nothing else, and each is of another length than the one before it. A loop over their digits
//! ends with a branch that no processor foresees; here a number is one or two words of eight bytes, whatever its length:
//!
//! ```text
//! …,1234,…   ─word─▶  "1234,99," ─shift, fill─▶ "00001234" ─three multiplications─▶ 1234
//! ```
//!
//! The arithmetic is Daniel Lemire's (<https://lemire.me/blog/2022/01/21/swar-explained-parsing-eight-digits/>). What is not plain (signs
//! other than a minus, white space, exponents, more than sixteen digits, everything wrong) is `None` here, and is read and refused by the
//! way that takes every form.

/// The text of eight zeros, and eight times the upper half of a byte.
const ZEROS: u64 = 0x3030_3030_3030_3030;
const UPPER_HALVES: u64 = 0xf0f0_f0f0_f0f0_f0f0;

/// A field's text, with the text that it is a piece of: words may reach beyond the field.
#[derive(Clone, Copy, Debug)]
pub struct FieldText<'a> {
    source: &'a str,
    start: usize,
    end: usize,
}

impl<'a> FieldText<'a> {
    #[inline]
    pub fn new(source: &'a str, start: usize, length: usize) -> Self {
        Self { source, start, end: start + length }
    }

    /// A text that is a piece of nothing.
    pub fn whole(text: &'a str) -> Self {
        Self::new(text, 0, text.len())
    }

    #[inline]
    pub fn text(self) -> &'a str {
        &self.source[self.start..self.end]
    }

    /// Whether there is a minus, and where the rest begins.
    #[inline]
    fn sign(self) -> (bool, usize) {
        let is_negative = self.source.as_bytes().get(self.start) == Some(&b'-');
        (is_negative, self.start + usize::from(is_negative))
    }
}

/// An integer of up to sixteen digits, if it is one of the type.
#[inline]
pub(super) fn plain_integer<T: TryFrom<i64>>(field: FieldText<'_>) -> Option<T> {
    let (is_negative, start) = field.sign();
    let value = digits(field.source.as_bytes(), start, field.end)? as i64;
    T::try_from(if is_negative { -value } else { value }).ok()
}

/// How values of `numeric(precision, scale)` are read that have all places behind the point, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlainDecimals {
    scale: usize,
    /// What one is, and the least value of too many digits, both unscaled.
    one: u64,
    end: u64,
}

impl PlainDecimals {
    /// `None` where unscaled values do not fit 64 bits.
    pub(super) fn of(precision: u8, scale: i8) -> Option<Self> {
        let scale = usize::try_from(scale).ok().filter(|_| precision <= 18 && scale <= precision as i8)?;
        Some(Self { scale, one: 10u64.pow(scale as u32), end: 10u64.pow(u32::from(precision)) })
    }

    #[inline]
    pub(super) fn read(self, field: FieldText<'_>) -> Option<i128> {
        let text = field.source.as_bytes();
        let (is_negative, start) = field.sign();
        let point = field.end.checked_sub(self.scale + 1).filter(|point| *point > start && text[*point] == b'.');
        let value = match point {
            Some(point) if self.scale > 0 => {
                let whole = digits(text, start, point)?.checked_mul(self.one)?;
                whole.checked_add(digits(text, point + 1, field.end)?)?
            }
            _ => digits(text, start, field.end)?.checked_mul(self.one)?,
        };
        (value < self.end).then(|| if is_negative { -i128::from(value) } else { i128::from(value) })
    }
}

/// The number that one to sixteen digits of a text make.
#[inline]
fn digits(text: &[u8], start: usize, end: usize) -> Option<u64> {
    let length = end.checked_sub(start)?;
    match length {
        1..=8 => number(word(text, start), length),
        9..=16 => {
            let upper = number(word(text, start), length - 8)?;
            Some(upper * 100_000_000 + number(word(text, end - 8), 8)?)
        }
        _ => None,
    }
}

/// Eight bytes of a text, the first in the lowest ones; zeros where it has ended.
#[inline]
fn word(text: &[u8], at: usize) -> u64 {
    match text.get(at..at + 8) {
        Some(bytes) => u64::from_le_bytes(bytes.try_into().expect("the slice has eight bytes")),
        None => last_word(text, at),
    }
}

#[cold]
fn last_word(text: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..text.len() - at].copy_from_slice(&text[at..]);
    u64::from_le_bytes(bytes)
}

/// The number that the first `length` bytes of a word make, from 1 to 8; `None` where one is no digit.
#[inline]
fn number(word: u64, length: usize) -> Option<u64> {
    let missing_bits = 64 - 8 * length as u32;
    let word = (word << missing_bits) | (ZEROS & ((1 << missing_bits) - 1));
    // A digit is 3 in the upper half of its byte, and still is when 6 is added.
    let halves = (word & UPPER_HALVES) | ((word.wrapping_add(0x0606_0606_0606_0606) & UPPER_HALVES) >> 4);
    if halves != 0x3333_3333_3333_3333 {
        return None;
    }
    let ones = word - ZEROS;
    let pairs = ones.wrapping_mul(10).wrapping_add(ones >> 8);
    let upper = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let lower = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    Some(upper.wrapping_add(lower) >> 32)
}

#[cfg(test)]
mod tests;
