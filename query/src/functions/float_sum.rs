//! Exact sums of doubles: the same whatever the order of the rows, rounded once at the end.
//!
//! Most sums are two doubles exactly, of which one is the rounded sum and the other what rounding lost (the two-sum of
//! D. Knuth). Where a third would be needed, both move on to a long sum and start again:
//!
//!     value ──▶ Pair: high + low, exact ──where it would not be──▶ Long: fixed-point digits, NaN and the infinities
//!
//! NaN and the infinities are counted, so that a value can be taken out again.

use super::float_digits::Digits;

/// Values that are added side by side.
const LANES: usize = 8;
/// Values of a slice after which the lanes are added up: with more of them a lane needs more bits.
const BLOCK_VALUES: usize = 512;

/// Two doubles whose sum is a sum of doubles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub high: f64,
    /// −0 before the first value and never after it.
    pub low: f64,
}

/// What does not fit into a [`Pair`].
#[derive(Clone, Debug, Default)]
pub(super) struct Long {
    digits: Digits,
    not_numbers: i64,
    infinities: i64,
    negative_infinities: i64,
}

/// A sum of doubles.
#[derive(Clone, Debug)]
pub(super) struct FloatSum {
    pair: Pair,
    long: Option<Box<Long>>,
}

/// `left + right` rounded and what was lost by that; not finite where something overflows.
#[inline(always)]
fn two_sum(left: f64, right: f64) -> (f64, f64) {
    let sum = left + right;
    let right_part = sum - left;
    let left_part = sum - right_part;
    (sum, (left - left_part) + (right - right_part))
}

impl Pair {
    pub(super) const EMPTY: Self = Self { high: -0.0, low: -0.0 };

    /// The pair with a value added; `None` where two doubles do not hold it.
    #[inline(always)]
    pub(super) fn plus(self, value: f64) -> Option<Self> {
        let (high, lost) = two_sum(self.high, value);
        let (low, lost) = two_sum(self.low, lost);
        // NaN and overflow lost what is no number.
        (lost == 0.0).then_some(Self { high, low })
    }

    /// Whether no value was added.
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.low.to_bits() == Self::EMPTY.low.to_bits()
    }

    /// Puts a value that the pair does not hold where it belongs.
    #[cold]
    pub(super) fn spill(&mut self, value: f64, long: &mut Long) {
        if value.is_finite() {
            long.add_pair(*self);
            *self = Self { high: value, low: 0.0 };
        } else {
            long.count(value, 1);
        }
    }

    /// The nearest double; `None` where no finite one is.
    #[inline]
    fn to_f64(self) -> Option<f64> {
        // Only −0 and nothing else makes −0; the low part is +0 then.
        let sum = if self.high == 0.0 && self.low == 0.0 { self.high } else { self.high + self.low };
        sum.is_finite().then_some(sum)
    }

    /// The nearest real; `None` where no finite one is.
    fn to_f32(self) -> Option<f32> {
        let real = match two_sum(self.high, self.low) {
            _ if self.high == 0.0 && self.low == 0.0 => self.high as f32,
            // Rounding to the odd neighbour keeps for the second rounding that something was lost.
            (sum, lost) if lost != 0.0 && sum.to_bits() & 1 == 0 => {
                let is_outwards = (lost > 0.0) == (sum > 0.0);
                f64::from_bits(if is_outwards { sum.to_bits() + 1 } else { sum.to_bits() - 1 }) as f32
            }
            (sum, _) => sum as f32,
        };
        real.is_finite().then_some(real)
    }
}

impl Long {
    fn count(&mut self, value: f64, sign: i64) {
        let counter = if value.is_nan() {
            &mut self.not_numbers
        } else if value > 0.0 {
            &mut self.infinities
        } else {
            &mut self.negative_infinities
        };
        *counter += sign;
    }

    fn add_pair(&mut self, pair: Pair) {
        self.digits.add(pair.high);
        self.digits.add(pair.low);
    }

    /// Adds another sum.
    pub(super) fn merge(&mut self, other: &Self) {
        self.digits.merge(&other.digits);
        self.not_numbers += other.not_numbers;
        self.infinities += other.infinities;
        self.negative_infinities += other.negative_infinities;
    }

    /// Whether every value was a number and none infinite.
    fn is_finite(&self) -> bool {
        self.special().is_none()
    }

    /// The sum where it is no finite number.
    fn special(&self) -> Option<f64> {
        match (self.not_numbers > 0, self.infinities > 0, self.negative_infinities > 0) {
            (true, ..) | (_, true, true) => Some(f64::NAN),
            (_, true, false) => Some(f64::INFINITY),
            (_, false, true) => Some(f64::NEG_INFINITY),
            (false, false, false) => None,
        }
    }

    fn with(&self, pair: Pair) -> Digits {
        let mut long = self.clone();
        long.add_pair(pair);
        long.digits
    }

    /// The sum as bytes, for partial aggregates.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for counter in [self.not_numbers, self.infinities, self.negative_infinities] {
            bytes.extend(counter.to_le_bytes());
        }
        self.digits.to_bytes(&mut bytes);
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote and takes it off the front; `None` for anything else.
    pub(super) fn from_bytes(bytes: &mut &[u8]) -> Option<Self> {
        let mut long = Self::default();
        for counter in [&mut long.not_numbers, &mut long.infinities, &mut long.negative_infinities] {
            let (word, rest) = bytes.split_first_chunk()?;
            *counter = i64::from_le_bytes(*word);
            *bytes = rest;
        }
        long.digits = Digits::from_bytes(bytes)?;
        Some(long)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.digits.heap_bytes()
    }
}

/// The double nearest to a sum; `None` where no finite one is, though all values were.
#[inline]
pub(super) fn to_f64(pair: Pair, long: Option<&Long>) -> Option<f64> {
    match long {
        None => pair.to_f64(),
        Some(long) => long.special().or_else(|| long.with(pair).to_f64()),
    }
}

/// The real nearest to a sum; `None` where no finite one is, though all values were.
pub(super) fn to_f32(pair: Pair, long: Option<&Long>) -> Option<f32> {
    match long {
        None => pair.to_f32(),
        Some(long) => long.special().map(|special| special as f32).or_else(|| long.with(pair).to_f32()),
    }
}

impl Default for FloatSum {
    fn default() -> Self {
        Self { pair: Pair::EMPTY, long: None }
    }
}

impl FloatSum {
    /// Adds a value.
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        match self.pair.plus(value) {
            Some(pair) => self.pair = pair,
            None => self.pair.spill(value, self.long.get_or_insert_default()),
        }
    }

    /// Takes out a value that was added.
    pub(super) fn subtract(&mut self, value: f64) {
        if value.is_finite() {
            self.add(-value);
        } else {
            self.long.get_or_insert_default().count(value, -1);
        }
    }

    /// Adds many values.
    pub(super) fn add_all(&mut self, values: &[f64]) {
        for block in values.chunks(BLOCK_VALUES) {
            if !self.add_block(block) {
                block.iter().for_each(|value| self.add(*value));
            }
        }
    }

    /// Adds a block in lanes, which the processor computes side by side; false where a lane would need a third double.
    #[inline]
    fn add_block(&mut self, block: &[f64]) -> bool {
        let (mut high, mut low, mut inexact) = ([-0.0; LANES], [-0.0; LANES], [0u64; LANES]);
        let (rows, rest) = block.as_chunks::<LANES>();
        for row in rows {
            for lane in 0..LANES {
                let (sum, lost) = two_sum(high[lane], row[lane]);
                high[lane] = sum;
                let (sum, lost) = two_sum(low[lane], lost);
                low[lane] = sum;
                // All bits but the sign: zero for zeros only.
                inexact[lane] |= lost.to_bits() << 1;
            }
        }
        if inexact.iter().any(|bits| *bits != 0) {
            return false;
        }
        high.iter().zip(&low).for_each(|(high, low)| self.add_pair(Pair { high: *high, low: *low }));
        rest.iter().for_each(|value| self.add(*value));
        true
    }

    /// Adds the sum that a pair is.
    pub(super) fn add_pair(&mut self, pair: Pair) {
        if pair.is_empty() {
            return;
        }
        self.add(pair.high);
        if pair.low != 0.0 {
            self.add(pair.low);
        }
    }

    /// Adds another sum.
    pub(super) fn merge(&mut self, other: &Self) {
        self.add_pair(other.pair);
        if let Some(added) = &other.long {
            self.add_long(added);
        }
    }

    /// Adds the sum that a long one is.
    pub(super) fn add_long(&mut self, added: &Long) {
        self.long.get_or_insert_default().merge(added);
    }

    /// Whether no value was added yet.
    pub(super) fn is_empty(&self) -> bool {
        self.pair.is_empty() && self.long.is_none()
    }

    /// Whether every value was a number and none infinite.
    pub(super) fn is_finite(&self) -> bool {
        self.long.as_ref().is_none_or(|long| long.is_finite())
    }

    pub(super) fn parts(&self) -> (Pair, Option<&Long>) {
        (self.pair, self.long.as_deref())
    }

    /// All finite values.
    pub(super) fn digits(&self) -> Digits {
        self.to_long().digits
    }

    /// The same sum without a pair, whose bytes are the whole sum.
    pub(super) fn to_long(&self) -> Long {
        let mut long = self.long.as_deref().cloned().unwrap_or_default();
        long.add_pair(self.pair);
        long
    }

    /// The double nearest to the sum; `None` where no finite one is, though all values were.
    pub(super) fn to_f64(&self) -> Option<f64> {
        to_f64(self.pair, self.long.as_deref())
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.long.as_ref().map_or(0, |long| size_of::<Long>() + long.heap_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::float_digits::{Digits, nearest_quotient};
    use super::{FloatSum, Long, to_f32};
    use dashu_int::{IBig, UBig};
    use proptest::num::f64::{NORMAL, SUBNORMAL};
    use proptest::prelude::*;

    fn sum_of(values: &[f64]) -> FloatSum {
        let mut sum = FloatSum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum
    }

    fn real(sum: &FloatSum) -> Option<f32> {
        let (pair, long) = sum.parts();
        to_f32(pair, long)
    }

    fn sum(values: &[f64]) -> f64 {
        sum_of(values).to_f64().unwrap()
    }

    #[test]
    fn large_values_do_not_swallow_small_ones() {
        assert_eq!(sum(&[1e16, 1.0, -1e16]), 1.0);
        assert_eq!(sum(&[1e308, 1e-300, -1e308]), 1e-300);
        assert_eq!(sum(&[1e308, 1.0, 1e-300, -1e308, -1.0]), 1e-300);
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
        let mut sum = sum_of(&[f64::NAN, 2.0]);
        sum.subtract(f64::NAN);
        assert_eq!(sum.to_f64(), Some(2.0));
    }

    #[test]
    fn a_sum_without_values_is_empty() {
        assert!(FloatSum::default().is_empty());
        for value in [0.0, -0.0, 1.0, f64::NAN, f64::INFINITY] {
            assert!(!sum_of(&[value]).is_empty(), "{value}");
        }
        let mut merged = FloatSum::default();
        merged.merge(&FloatSum::default());
        assert!(merged.is_empty());
        assert!(!sum_of(&[1.0, -1.0]).is_empty());
    }

    #[test]
    fn a_sum_beyond_all_doubles_is_none() {
        assert_eq!(sum_of(&[f64::MAX, f64::MAX]).to_f64(), None);
        assert_eq!(real(&sum_of(&[f64::MAX, 1.0])), None);
    }

    #[test]
    fn a_real_is_rounded_once() {
        // Above a half of a real's last bit by less than a double shows.
        let values = [1.0, 2f64.powi(-24), 2f64.powi(-80)];
        assert_eq!(real(&sum_of(&values)), Some(1.0 + f32::EPSILON));
        assert_eq!(real(&sum_of(&values[..2])), Some(1.0));
        assert_eq!(real(&sum_of(&[1.0, 2f64.powi(-24), -2f64.powi(-80)])), Some(1.0));
    }

    /// Values whose sizes are near each other, far apart, or exact opposites.
    fn values() -> impl Strategy<Value = Vec<f64>> {
        let any_finite = any::<f64>().prop_filter("finite", |value| value.is_finite());
        let near = (-1000i64..1000, 0i32..40).prop_map(|(whole, shift)| whole as f64 / f64::from(shift + 1));
        let mixed = prop_oneof![any_finite, near, Just(0.0), Just(-0.0), Just(1e300), Just(-1e300), Just(1e-300)];
        prop::collection::vec(mixed, 0..80)
    }

    fn bits(sum: &FloatSum) -> (Option<u64>, Option<u32>) {
        (sum.to_f64().map(f64::to_bits), real(sum).map(f32::to_bits))
    }

    proptest! {
        #[test]
        fn neither_order_nor_parts_matter(values in values(), cut in 0usize..80) {
            let cut = cut.min(values.len());
            let (mut whole, mut left, mut right) = (FloatSum::default(), FloatSum::default(), FloatSum::default());
            values.iter().rev().for_each(|value| whole.add(*value));
            values[..cut].iter().for_each(|value| left.add(*value));
            right.add_all(&values[cut..]);
            let mut merged = left.clone();
            merged.merge(&right);
            prop_assert_eq!(bits(&merged), bits(&whole));
            let (pair, long) = right.parts();
            left.add_pair(pair);
            if let Some(long) = long {
                left.add_long(&Long::from_bytes(&mut long.to_bytes().as_slice()).unwrap());
            }
            prop_assert_eq!(bits(&left), bits(&whole));
            prop_assert_eq!(left.is_empty(), values.is_empty());
            values.iter().for_each(|value| whole.subtract(*value));
            prop_assert_eq!(whole.to_f64().map(f64::abs), Some(0.0));
        }

        #[test]
        fn two_doubles_and_digits_give_the_same(values in values()) {
            let mut digits = Digits::default();
            values.iter().for_each(|value| digits.add(*value));
            let sum = sum_of(&values);
            let shown = |value: Option<f64>| value.map(|value| (value + 0.0).to_bits());
            prop_assert_eq!(shown(digits.to_f64()), shown(sum.to_f64()));
            prop_assert_eq!(digits.to_f32().map(|value| value + 0.0), real(&sum).map(|value| value + 0.0));
        }

        #[test]
        fn a_sum_of_two_is_the_processor_s(left in NORMAL | SUBNORMAL, right in NORMAL | SUBNORMAL) {
            let sum = left + right;
            let expected = sum.is_finite().then_some(sum);
            prop_assert_eq!(sum_of(&[left, right]).to_f64(), expected);
            let mut digits = Digits::default();
            digits.add(left);
            digits.add(right);
            prop_assert_eq!(digits.to_f64(), expected);
        }

        #[test]
        fn digits_hold_products(pairs in prop::collection::vec((any::<f64>(), any::<f64>()), 1..30)) {
            let pairs: Vec<_> = pairs.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
            let mut digits = Digits::default();
            let mut expected = IBig::ZERO;
            for (index, (x, y)) in pairs.iter().enumerate() {
                digits.add_product(*x, *y, index % 3 == 0);
                let whole = |value: f64| {
                    let mut one = Digits::default();
                    one.add(value);
                    let (integer, exponent) = one.to_integer();
                    integer << (exponent + 2176) as usize
                };
                let product = whole(*x) * whole(*y);
                expected += if index % 3 == 0 { -product } else { product };
            }
            let (integer, exponent) = digits.to_integer();
            prop_assert_eq!(integer << (exponent + 2 * 2176) as usize, expected);
        }

        #[test]
        fn a_quotient_of_two_is_the_processor_s(left in NORMAL | SUBNORMAL, right in NORMAL | SUBNORMAL) {
            let expected = left / right;
            let integer = |value: f64| {
                let mut digits = Digits::default();
                digits.add(value);
                digits.to_integer()
            };
            let ((numerator, above), (denominator, below)) = (integer(left), integer(right.abs()));
            let denominator = UBig::try_from(denominator).unwrap();
            let quotient = nearest_quotient(&numerator, &denominator, above - below);
            prop_assert_eq!(quotient, expected.is_finite().then_some(expected * right.signum()));
        }
    }
}
