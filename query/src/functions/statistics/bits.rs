//! Bits of integers and booleans, counted, so that values can be taken out of a conjunction again.

use super::Sums;
use super::floats::Reader;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue};

/// How bits are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Junction {
    And,
    Or,
    Xor,
}

/// What is asked of the counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Joined {
    pub junction: Junction,
    /// A boolean or an integer.
    pub result_type: DataType,
}

/// How many values there are, and in how many of them each bit is set. The bits of negative integers go on for ever.
#[derive(Clone, Debug, Default)]
pub(super) struct BitSums {
    count: i64,
    ones: Vec<i64>,
}

impl BitSums {
    fn change(&mut self, row: i64, weight: i64) {
        self.count += weight;
        let bits = row as u64;
        let length = (u64::BITS - bits.leading_zeros()) as usize;
        if self.ones.len() < length {
            self.ones.resize(length, 0);
        }
        for (bit, ones) in self.ones.iter_mut().take(length).enumerate() {
            *ones += weight * i64::from(bits >> bit & 1 == 1);
        }
    }
}

impl Sums for BitSums {
    type Row = i64;
    type Statistic = Joined;

    fn rows(arguments: &[ArrayRef], mut each: impl FnMut(usize, i64) -> Result<()>) -> Result<()> {
        let values = cast(&arguments[0], &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>();
        let rows = (0..values.len()).filter(|row| values.is_valid(*row));
        { rows }.try_for_each(|row| each(row, values.value(row)))
    }

    fn add(&mut self, row: i64, _: &Joined) -> Result<()> {
        self.change(row, 1);
        Ok(())
    }

    fn subtract(&mut self, row: i64, _: &Joined) -> Result<()> {
        self.change(row, -1);
        Ok(())
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        self.count += other.count;
        if self.ones.len() < other.ones.len() {
            self.ones.resize(other.ones.len(), 0);
        }
        self.ones.iter_mut().zip(&other.ones).for_each(|(ones, added)| *ones += added);
        Ok(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let length = self.ones.iter().rposition(|ones| *ones != 0).map_or(0, |last| last + 1);
        std::iter::once(&self.count).chain(&self.ones[..length]).flat_map(|count| count.to_le_bytes()).collect()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let count = reader.count()?;
        let ones = (0..bytes.len() / size_of::<i64>() - 1).map(|_| reader.count());
        Some(Self { count, ones: ones.collect::<Option<_>>()? })
    }

    fn heap_bytes(&self) -> usize {
        self.ones.capacity() * size_of::<i64>()
    }

    fn result(&self, joined: &Joined) -> Result<ScalarValue> {
        if self.count == 0 {
            return ScalarValue::try_from(&joined.result_type);
        }
        let is_set = |ones: i64| match joined.junction {
            Junction::And => ones == self.count,
            Junction::Or => ones > 0,
            Junction::Xor => ones & 1 == 1,
        };
        let bits = self.ones.iter().enumerate().filter(|(_, ones)| is_set(**ones));
        let value = bits.fold(0_u64, |value, (bit, _)| value | 1 << bit);
        ScalarValue::Int64(Some(value as i64)).cast_to(&joined.result_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(sums: &BitSums, junction: Junction, result_type: DataType) -> ScalarValue {
        let read = BitSums::from_bytes(&sums.to_bytes()).unwrap();
        read.result(&Joined { junction, result_type }).unwrap()
    }

    #[test]
    fn values_go_as_they_came() {
        let mut sums = BitSums::default();
        for value in [0b0111, -1, 0b1101, 0] {
            sums.change(value, 1);
        }
        sums.change(0, -1);
        assert_eq!(joined(&sums, Junction::And, DataType::Int32), ScalarValue::Int32(Some(0b0101)));
        assert_eq!(joined(&sums, Junction::Or, DataType::Int64), ScalarValue::Int64(Some(-1)));
        sums.change(-1, -1);
        assert_eq!(joined(&sums, Junction::Or, DataType::Int16), ScalarValue::Int16(Some(0b1111)));
        assert_eq!(joined(&sums, Junction::Xor, DataType::Int16), ScalarValue::Int16(Some(0b1010)));
    }

    #[test]
    fn booleans_are_one_bit() {
        let mut sums = BitSums::default();
        assert_eq!(joined(&sums, Junction::And, DataType::Boolean), ScalarValue::Boolean(None));
        sums.change(1, 1);
        sums.change(0, 1);
        assert_eq!(joined(&sums, Junction::And, DataType::Boolean), ScalarValue::Boolean(Some(false)));
        assert_eq!(joined(&sums, Junction::Or, DataType::Boolean), ScalarValue::Boolean(Some(true)));
        sums.change(0, -1);
        assert_eq!(joined(&sums, Junction::And, DataType::Boolean), ScalarValue::Boolean(Some(true)));
    }
}
