//! Sums of doubles from which values can be taken out again.

use super::Sums;
use super::floats::{FloatSums, Reader, overflow};
use crate::functions::float_sum::{FloatSum, to_f32};
use arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};

/// The sum of doubles or reals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Total {
    /// Whether the result is a real, rounded once.
    pub real: bool,
}

/// A sum, and what its zero is: −0 where all values are.
#[derive(Clone, Debug, Default)]
pub(super) struct TotalSums {
    count: i64,
    negative_zeros: i64,
    sum: FloatSum,
}

fn is_negative_zero(value: f64) -> bool {
    value.to_bits() == (-0.0_f64).to_bits()
}

impl Sums for TotalSums {
    type Row = f64;
    type Statistic = Total;

    fn rows(arguments: &[ArrayRef], each: impl FnMut(usize, f64) -> Result<()>) -> Result<()> {
        FloatSums::rows(arguments, each)
    }

    fn add(&mut self, row: f64, _: &Total) -> Result<()> {
        self.count += 1;
        self.negative_zeros += i64::from(is_negative_zero(row));
        self.sum.add(row);
        Ok(())
    }

    fn subtract(&mut self, row: f64, _: &Total) -> Result<()> {
        self.count -= 1;
        self.negative_zeros -= i64::from(is_negative_zero(row));
        self.sum.subtract(row);
        Ok(())
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        self.count += other.count;
        self.negative_zeros += other.negative_zeros;
        self.sum.merge(&other.sum);
        Ok(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.count.to_le_bytes().to_vec();
        bytes.extend(self.negative_zeros.to_le_bytes());
        bytes.extend(self.sum.to_long().to_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(Self { count: reader.count()?, negative_zeros: reader.count()?, sum: reader.sum()? })
    }

    fn heap_bytes(&self) -> usize {
        self.sum.heap_bytes()
    }

    fn result(&self, total: &Total) -> Result<ScalarValue> {
        let (pair, long) = self.sum.parts();
        let is_negative_zero = self.count == self.negative_zeros;
        Ok(match total.real {
            _ if self.count == 0 && total.real => ScalarValue::Float32(None),
            _ if self.count == 0 => ScalarValue::Float64(None),
            true if is_negative_zero => ScalarValue::Float32(Some(-0.0)),
            false if is_negative_zero => ScalarValue::Float64(Some(-0.0)),
            true => ScalarValue::Float32(Some(to_f32(pair, long).ok_or_else(overflow)? + 0.0)),
            false => ScalarValue::Float64(Some(self.sum.to_f64().ok_or_else(overflow)? + 0.0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOUBLE: Total = Total { real: false };

    fn after(added: &[f64], taken: &[f64]) -> u64 {
        let mut sums = TotalSums::default();
        let mut lost = TotalSums::default();
        added.iter().for_each(|value| sums.add(*value, &DOUBLE).unwrap());
        taken.iter().for_each(|value| lost.subtract(*value, &DOUBLE).unwrap());
        // As two runs of a state are merged.
        let mut sums = TotalSums::from_bytes(&sums.to_bytes()).unwrap();
        sums.merge(&TotalSums::from_bytes(&lost.to_bytes()).unwrap()).unwrap();
        match sums.result(&DOUBLE).unwrap() {
            ScalarValue::Float64(Some(sum)) => sum.to_bits(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_left_is_the_sum_of_what_is_left() {
        assert_eq!(after(&[1e300, 0.1, 0.2, -1e-300], &[1e300, -1e-300]), (0.1 + 0.2_f64).to_bits());
        assert_eq!(after(&[f64::NAN, f64::INFINITY, 1.5], &[f64::NAN]), f64::INFINITY.to_bits());
        assert_eq!(after(&[f64::NAN, f64::INFINITY, 1.5], &[f64::NAN, f64::INFINITY]), 1.5_f64.to_bits());
        assert_eq!(after(&[-0.0, 3.0], &[3.0]), (-0.0_f64).to_bits());
        assert_eq!(after(&[-0.0, 0.0, 3.0], &[3.0]), 0.0_f64.to_bits());
        assert_eq!(after(&[2.0, -2.0, 3.0], &[3.0]), 0.0_f64.to_bits());
    }

    #[test]
    fn nothing_is_left_of_nothing() {
        let mut sums = TotalSums::default();
        sums.add(2.5, &DOUBLE).unwrap();
        sums.subtract(2.5, &DOUBLE).unwrap();
        assert_eq!(sums.result(&DOUBLE).unwrap(), ScalarValue::Float64(None));
        assert_eq!(TotalSums::default().result(&Total { real: true }).unwrap(), ScalarValue::Float32(None));
    }
}
