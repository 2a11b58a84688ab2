//! Exact sums of doubles: the same whatever the order of the rows, rounded once at the end.
//!
//! A sum is a long fixed-point number over all bits that a double can have, kept as signed digits of 32 bits with room for
//! carries. Only the digits that were touched are stored, three or four for values of similar size. The method is the small
//! superaccumulator of R. Neal, "Fast exact summation using small and large superaccumulators" (2015).
//!
//! NaN and the infinities are counted, so that a value can be taken out again.

/// Bits of a digit.
const DIGIT_BITS: i32 = 32;
/// The exponent of the last bit of the smallest double.
const LAST_BIT: i32 = -1074;
/// Additions after which carries must be passed on: each changes a digit by less than 2^32.
const PENDING_MAX: u32 = 1 << 30;
/// Bytes of a state before its digits.
const HEADER_BYTES: usize = 6 * 8;

/// A sum of doubles.
#[derive(Clone, Debug, Default)]
pub(super) struct FloatSum {
    /// The place of the first digit that is stored, in digits.
    first: i32,
    digits: Vec<i64>,
    pending: u32,
    not_numbers: i64,
    infinities: i64,
    negative_infinities: i64,
    negative_zeros: i64,
    /// Values that are none of those.
    others: i64,
}

impl FloatSum {
    /// Adds a value, or takes it out again where `sign` is −1.
    #[inline]
    pub(super) fn add(&mut self, value: f64, sign: i64) {
        if value.is_finite() && value != 0.0 {
            self.others += sign;
            self.add_finite(value, sign);
            return;
        }
        let counter = if value.is_nan() {
            &mut self.not_numbers
        } else if value == f64::INFINITY {
            &mut self.infinities
        } else if value == f64::NEG_INFINITY {
            &mut self.negative_infinities
        } else if value.is_sign_negative() {
            &mut self.negative_zeros
        } else {
            &mut self.others
        };
        *counter += sign;
    }

    #[inline]
    fn add_finite(&mut self, value: f64, sign: i64) {
        let bits = value.to_bits();
        let exponent = ((bits >> 52) & 0x7ff) as i32;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, place) = if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
        let sign = if value < 0.0 { -sign } else { sign };
        let shifted = u128::from(mantissa) << (place % DIGIT_BITS);
        let start = self.room_for(place / DIGIT_BITS);
        for (offset, digit) in self.digits[start..start + 3].iter_mut().enumerate() {
            *digit += sign * ((shifted >> (32 * offset)) as u32 as i64);
        }
        self.pending += 1;
        if self.pending >= PENDING_MAX {
            self.carry();
        }
    }

    /// The index of a place's digit, which is stored from now on with the two above it.
    #[inline]
    fn room_for(&mut self, place: i32) -> usize {
        if self.digits.is_empty() {
            self.first = place;
        }
        if place < self.first {
            let missing = (self.first - place) as usize;
            self.digits.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = place;
        }
        let start = (place - self.first) as usize;
        if self.digits.len() < start + 3 {
            self.digits.resize(start + 3, 0);
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

    pub(super) fn merge(&mut self, other: &Self) {
        self.not_numbers += other.not_numbers;
        self.infinities += other.infinities;
        self.negative_infinities += other.negative_infinities;
        self.negative_zeros += other.negative_zeros;
        self.others += other.others;
        if other.digits.is_empty() {
            return;
        }
        let mut other = other.clone();
        other.carry();
        self.carry();
        let start = self.room_for(other.first);
        if self.digits.len() < start + other.digits.len() {
            self.digits.resize(start + other.digits.len(), 0);
        }
        for (digit, added) in self.digits[start..].iter_mut().zip(&other.digits) {
            *digit += added;
        }
        self.carry();
    }

    /// Values added so far, whatever they were.
    pub(super) fn count(&self) -> i64 {
        self.not_numbers + self.infinities + self.negative_infinities + self.negative_zeros + self.others
    }

    /// The double nearest to the sum; `None` where no finite one is, though all values were.
    pub(super) fn value(&self) -> Option<f64> {
        if self.not_numbers > 0 || (self.infinities > 0 && self.negative_infinities > 0) {
            return Some(f64::NAN);
        }
        if self.infinities > 0 {
            return Some(f64::INFINITY);
        }
        if self.negative_infinities > 0 {
            return Some(f64::NEG_INFINITY);
        }
        if self.others == 0 && self.negative_zeros > 0 {
            return Some(-0.0);
        }
        let mut sum = self.clone();
        sum.carry();
        let is_negative = sum.digits.last().is_some_and(|last| *last < 0);
        if is_negative {
            sum.digits.iter_mut().for_each(|digit| *digit = -*digit);
            sum.carry();
        }
        let magnitude = rounded(sum.first, &sum.digits)?;
        Some(if is_negative { -magnitude } else { magnitude })
    }

    /// The sum as bytes, for partial aggregates.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut sum = self.clone();
        sum.carry();
        let counts = [sum.not_numbers, sum.infinities, sum.negative_infinities, sum.negative_zeros, sum.others];
        let words = counts.into_iter().chain([i64::from(sum.first)]).chain(sum.digits.iter().copied());
        words.flat_map(i64::to_le_bytes).collect()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER_BYTES || !bytes.len().is_multiple_of(8) {
            return None;
        }
        let mut words = bytes.chunks_exact(8).map(|word| i64::from_le_bytes(word.try_into().expect("eight bytes")));
        let mut next = || words.next().expect("the header is there");
        let [not_numbers, infinities, negative_infinities, negative_zeros, others, first] =
            [next(), next(), next(), next(), next(), next()];
        let first = i32::try_from(first).ok()?;
        let digits = words.collect();
        Some(Self { first, digits, pending: 1, not_numbers, infinities, negative_infinities, negative_zeros, others })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.digits.capacity() * size_of::<i64>()
    }
}

/// `digits · 2^(32 · first − 1074)`, digits being carried and not negative, rounded half to even.
fn rounded(first: i32, digits: &[i64]) -> Option<f64> {
    let Some(top) = digits.iter().rposition(|digit| *digit != 0) else { return Some(0.0) };
    let digit =
        |place: i32| usize::try_from(place - first).ok().and_then(|index| digits.get(index)).copied().unwrap_or(0);
    let bit = |place: i32| place >= 0 && (digit(place / DIGIT_BITS) >> (place % DIGIT_BITS)) & 1 == 1;
    let highest = DIGIT_BITS * (first + top as i32) + 63 - digits[top].leading_zeros() as i32;
    if highest < 53 {
        // Small enough to be its own bit pattern: units of the smallest double.
        let units = (0..=highest).fold(0u64, |units, place| units | u64::from(bit(place)) << place);
        return Some(f64::from_bits(units));
    }
    let lowest = highest - 52;
    let mut mantissa = (lowest..=highest).fold(0u64, |kept, place| kept | u64::from(bit(place)) << (place - lowest));
    let half = bit(lowest - 1);
    let below = DIGIT_BITS * first..lowest - 1;
    if half && (mantissa & 1 == 1 || below.into_iter().any(bit)) {
        mantissa += 1;
    }
    // A carry out of the mantissa makes it a power of two, whose lower bits are zero.
    let (mantissa, lowest) = if mantissa == 1 << 53 { (1 << 52, lowest + 1) } else { (mantissa, lowest) };
    let exponent = lowest + 1;
    debug_assert!(LAST_BIT + lowest >= LAST_BIT, "the lowest bit is one that a double can have");
    if exponent >= 0x7ff {
        return None;
    }
    Some(f64::from_bits((exponent as u64) << 52 | (mantissa & ((1 << 52) - 1))))
}

#[cfg(test)]
mod tests {
    use super::FloatSum;
    use proptest::prelude::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = FloatSum::default();
        values.iter().for_each(|value| sum.add(*value, 1));
        sum.value().unwrap()
    }

    #[test]
    fn large_values_do_not_swallow_small_ones() {
        assert_eq!(sum(&[1e16, 1.0, -1e16]), 1.0);
        assert_eq!(sum(&[1e308, 1e-300, -1e308]), 1e-300);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[5e-324, 5e-324]), 1e-323);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
    }

    #[test]
    fn values_that_are_no_numbers_decide() {
        assert!(sum(&[f64::NAN, 1.0]).is_nan());
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(sum(&[-0.0, -0.0]).is_sign_negative());
        assert!(sum(&[-0.0, 0.0]).is_sign_positive());
        assert!(sum(&[1.0, -1.0]).is_sign_positive());
    }

    #[test]
    fn a_sum_beyond_all_doubles_is_none() {
        let mut sum = FloatSum::default();
        sum.add(f64::MAX, 1);
        sum.add(f64::MAX, 1);
        assert_eq!(sum.value(), None);
    }

    proptest! {
        #[test]
        fn neither_order_nor_parts_matter(values in prop::collection::vec(any::<f64>().prop_filter("finite", |value| value.is_finite()), 0..60), cut in 0usize..60) {
            let cut = cut.min(values.len());
            let (mut whole, mut left, mut right) = (FloatSum::default(), FloatSum::default(), FloatSum::default());
            values.iter().rev().for_each(|value| whole.add(*value, 1));
            values[..cut].iter().for_each(|value| left.add(*value, 1));
            values[cut..].iter().for_each(|value| right.add(*value, 1));
            left.merge(&FloatSum::from_bytes(&right.to_bytes()).unwrap());
            prop_assert_eq!(left.value().map(f64::to_bits), whole.value().map(f64::to_bits));
            prop_assert_eq!(left.count(), values.len() as i64);
            values.iter().for_each(|value| whole.add(*value, -1));
            prop_assert_eq!(whole.value(), Some(0.0));
        }

        #[test]
        fn a_sum_of_two_is_the_processor_s(left in any::<f64>(), right in any::<f64>()) {
            let expected = left + right;
            prop_assume!(left.is_finite() && right.is_finite() && expected.is_finite() && expected != 0.0);
            prop_assert_eq!(sum(&[left, right]), expected);
        }
    }
}
