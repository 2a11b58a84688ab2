//! Exact fixed-point sums of doubles and of products of two doubles.
//!
//! A number is kept as signed digits of 32 bits with room for carries, so that an addition touches three digits (five
//! for a product) and carries are passed on once in a thousand million additions. Only the digits between the least and
//! the greatest that were touched are stored, and as many as most sums need lie in the structure itself. The method is
//! the small superaccumulator of R. Neal, "Fast exact summation using small and large superaccumulators" (2015).
//!
//! This module knows finite numbers only.

use dashu_int::ops::{BitTest, DivRem};
use dashu_int::{IBig, Sign, UBig};
use smallvec::SmallVec;

/// Bits of a digit.
const DIGIT_BITS: i32 = 32;
/// The exponent of the last bit of digit 0: below the product of the two smallest doubles.
const ORIGIN: i32 = -68 * DIGIT_BITS;
/// The exponent of the last bit of the smallest double.
const LAST_BIT: i32 = -1074;
/// Additions after which carries must be passed on: each changes a digit by less than 2^32.
const PENDING_MAX: u32 = 1 << 30;
/// Digits that need no memory of their own.
const INLINE_DIGITS: usize = 6;
/// Bits of a double beside its fraction's 52: one that is not stored.
const MANTISSA_BITS: u32 = 53;

/// A sum of finite doubles and of their products.
#[derive(Clone, Debug, Default)]
pub(super) struct Digits {
    /// The place of the first digit that is stored, in digits from [`ORIGIN`].
    first: i32,
    /// Additions since carries were passed on.
    pending: u32,
    digits: SmallVec<[i64; INLINE_DIGITS]>,
}

impl Digits {
    /// Adds a finite value.
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        let (mantissa, exponent) = parts(value);
        if mantissa != 0 {
            self.add_scaled::<3>(u128::from(mantissa), exponent, value < 0.0);
        }
    }

    /// Adds the product of two finite values, or takes it away.
    #[inline]
    pub(super) fn add_product(&mut self, left: f64, right: f64, negate: bool) {
        let ((left_mantissa, left_exponent), (right_mantissa, right_exponent)) = (parts(left), parts(right));
        let mantissa = u128::from(left_mantissa) * u128::from(right_mantissa);
        if mantissa != 0 {
            let is_negative = (left < 0.0) != (right < 0.0);
            self.add_scaled::<5>(mantissa, left_exponent + right_exponent, is_negative != negate);
        }
    }

    /// Adds `mantissa · 2^exponent`, which with its shift fits into `COUNT` digits.
    #[inline]
    fn add_scaled<const COUNT: usize>(&mut self, mantissa: u128, exponent: i32, is_negative: bool) {
        let place = exponent - ORIGIN;
        let shift = place % DIGIT_BITS;
        let start = self.room_for(place / DIGIT_BITS, COUNT);
        let low = mantissa << shift;
        // What the shift pushes out above; a double's mantissa of 53 bits has nothing there.
        let high = if COUNT > 4 { (mantissa >> 96) as u64 >> (DIGIT_BITS - shift) } else { 0 };
        let target: &mut [i64; COUNT] = (&mut self.digits[start..start + COUNT]).try_into().expect("COUNT digits");
        for (index, digit) in target.iter_mut().enumerate() {
            let part = if index < 4 { (low >> (32 * index)) as u32 } else { high as u32 };
            *digit += if is_negative { -i64::from(part) } else { i64::from(part) };
        }
        self.pending += 1;
        if self.pending >= PENDING_MAX {
            self.carry();
        }
    }

    /// The index of a place's digit, which is stored from now on with those above it.
    #[inline]
    fn room_for(&mut self, place: i32, count: usize) -> usize {
        let start = place.wrapping_sub(self.first) as u32 as usize;
        if start + count <= self.digits.len() {
            return start;
        }
        self.widen(place, count)
    }

    #[cold]
    fn widen(&mut self, place: i32, count: usize) -> usize {
        if self.digits.is_empty() {
            self.first = place;
        }
        if place < self.first {
            let missing = (self.first - place) as usize;
            self.digits.insert_many(0, std::iter::repeat_n(0, missing));
            self.first = place;
        }
        let start = (place - self.first) as usize;
        if self.digits.len() < start + count {
            self.digits.resize(start + count, 0);
        }
        start
    }

    /// Brings all digits but the last into 0 … 2^32 − 1; the last has the sign.
    fn carry(&mut self) {
        let Some(last) = self.digits.len().checked_sub(1) else { return };
        let mut carried = 0;
        for digit in &mut self.digits[..last] {
            let total = *digit + carried;
            *digit = total & 0xffff_ffff;
            carried = total >> DIGIT_BITS;
        }
        let total = self.digits[last] + carried;
        self.digits[last] = total;
        if total >> DIGIT_BITS != 0 && total >> DIGIT_BITS != -1 {
            self.digits[last] = total & 0xffff_ffff;
            self.digits.push(total >> DIGIT_BITS);
        }
        self.pending = 1;
    }

    /// Adds another sum.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.digits.is_empty() {
            return;
        }
        let mut other = other.clone();
        other.carry();
        self.carry();
        let start = self.room_for(other.first, other.digits.len());
        for (digit, added) in self.digits[start..].iter_mut().zip(&other.digits) {
            *digit += added;
        }
        self.carry();
    }

    /// Carried digits of the magnitude, and whether the number is negative.
    fn magnitude(&self) -> (SmallVec<[i64; INLINE_DIGITS]>, bool) {
        let mut carried = self.clone();
        carried.carry();
        let is_negative = carried.digits.last().is_some_and(|last| *last < 0);
        if is_negative {
            carried.digits.iter_mut().for_each(|digit| *digit = -*digit);
            carried.carry();
        }
        (carried.digits, is_negative)
    }

    /// The bits of the nearest number of a format.
    fn rounded(&self, format: &Format) -> Option<(u64, bool)> {
        let (digits, is_negative) = self.magnitude();
        let Some(top) = digits.iter().rposition(|digit| *digit != 0) else { return Some((0, false)) };
        // The four digits at the top have at least 97 bits, and what is below matters only for whether it is nothing.
        let bottom = top.saturating_sub(3);
        let mantissa = digits[bottom..=top].iter().rev().fold(0u128, |all, digit| all << 32 | *digit as u128);
        let is_cut = digits[..bottom].iter().any(|digit| *digit != 0);
        let exponent = ORIGIN + DIGIT_BITS * (self.first + bottom as i32);
        Some((format.nearest(mantissa, is_cut, exponent)?, is_negative))
    }

    /// The nearest double, halves to even; `None` where no finite one is.
    pub(super) fn to_f64(&self) -> Option<f64> {
        let (bits, is_negative) = self.rounded(&Format::DOUBLE)?;
        let magnitude = f64::from_bits(bits);
        Some(if is_negative { -magnitude } else { magnitude })
    }

    /// The nearest real, halves to even; `None` where no finite one is.
    pub(super) fn to_f32(&self) -> Option<f32> {
        let (bits, is_negative) = self.rounded(&Format::REAL)?;
        let magnitude = f32::from_bits(bits as u32);
        Some(if is_negative { -magnitude } else { magnitude })
    }

    /// The number as an integer and the power of two that it counts.
    pub(super) fn to_integer(&self) -> (IBig, i32) {
        let (digits, is_negative) = self.magnitude();
        let bytes: SmallVec<[u8; 64]> = digits.iter().flat_map(|digit| (*digit as u32).to_le_bytes()).collect();
        let sign = if is_negative { Sign::Negative } else { Sign::Positive };
        (IBig::from_parts(sign, UBig::from_le_bytes(&bytes)), ORIGIN + DIGIT_BITS * self.first)
    }

    /// The number as bytes, for partial aggregates.
    pub(super) fn to_bytes(&self, bytes: &mut Vec<u8>) {
        let mut carried = self.clone();
        carried.carry();
        bytes.extend(carried.first.to_le_bytes());
        bytes.extend((carried.digits.len() as u32).to_le_bytes());
        carried.digits.iter().for_each(|digit| bytes.extend(digit.to_le_bytes()));
    }

    /// Reads what [`Self::to_bytes`] wrote and takes it off the front; `None` for anything else.
    pub(super) fn from_bytes(bytes: &mut &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (digits, rest) = rest.split_at_checked(u32::from_le_bytes(*count) as usize * size_of::<i64>())?;
        *bytes = rest;
        let digits = digits.chunks_exact(size_of::<i64>());
        let digits = digits.map(|digit| i64::from_le_bytes(digit.try_into().expect("eight bytes"))).collect();
        Some(Self { first: i32::from_le_bytes(*first), pending: 1, digits })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        if self.digits.spilled() { self.digits.capacity() * size_of::<i64>() } else { 0 }
    }
}

/// A finite value's mantissa and the exponent of the mantissa's last bit.
#[inline]
fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 { (fraction, LAST_BIT) } else { (fraction | 1 << 52, exponent - 1 + LAST_BIT) }
}

/// A binary floating-point format of IEEE 754.
struct Format {
    /// Bits of a mantissa with the one that is not stored.
    mantissa_bits: u32,
    /// The exponent of the last bit of the smallest number.
    last_bit: i32,
    /// The bits of infinity.
    infinity: u64,
}

impl Format {
    const DOUBLE: Self = Self { mantissa_bits: MANTISSA_BITS, last_bit: LAST_BIT, infinity: f64::INFINITY.to_bits() };
    const REAL: Self = Self { mantissa_bits: 24, last_bit: -149, infinity: f32::INFINITY.to_bits() as u64 };

    /// The bits of the number nearest to `mantissa · 2^exponent`, halves to even; `None` where that is infinity. Where
    /// the mantissa was cut from something longer, it has more bits than the format.
    fn nearest(&self, mantissa: u128, is_cut: bool, exponent: i32) -> Option<u64> {
        if mantissa == 0 {
            return Some(0);
        }
        let bits = (u128::BITS - mantissa.leading_zeros()) as i32;
        let lowest = (exponent + bits - self.mantissa_bits as i32).max(self.last_bit);
        let dropped = lowest - exponent;
        let kept = match dropped {
            ..=0 => (mantissa << -dropped) as u64,
            1..=128 => {
                let half = 1 << (dropped - 1);
                let rest = mantissa & (half | (half - 1));
                let kept = mantissa.checked_shr(dropped as u32).unwrap_or(0) as u64;
                let is_above = rest > half || (rest == half && (is_cut || kept & 1 == 1));
                kept + u64::from(is_above)
            }
            _ => 0,
        };
        // The mantissa's first bit adds one to the exponent, as does a carry out of it.
        let pattern = (((lowest - self.last_bit) as u64) << (self.mantissa_bits - 1)) + kept;
        (pattern < self.infinity).then_some(pattern)
    }
}

/// The double nearest to `numerator / denominator · 2^exponent`, halves to even; `None` where no finite one is.
pub(super) fn nearest_quotient(numerator: &IBig, denominator: &UBig, exponent: i32) -> Option<f64> {
    let (sign, magnitude) = numerator.clone().into_parts();
    // So many bits that the quotient has more than a double and fits into 128.
    let shift = 96 + denominator.bit_len() as i32 - magnitude.bit_len() as i32;
    let (quotient, rest) = if shift >= 0 {
        (magnitude << shift as usize).div_rem(denominator)
    } else {
        magnitude.div_rem(denominator << shift.unsigned_abs() as usize)
    };
    let quotient = u128::try_from(quotient).expect("the shift leaves 97 bits at most");
    let nearest = Format::DOUBLE.nearest(quotient, !rest.is_zero(), exponent - shift)?;
    let nearest = f64::from_bits(nearest);
    Some(if sign == Sign::Negative { -nearest } else { nearest })
}
