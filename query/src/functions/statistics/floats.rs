//! Statistics of doubles from exact sums of them, of their squares and of their products.
//!
//! `N · Σx² − (Σx)²` is exact too, so nothing cancels, and a variance is that divided and rounded once. What is
//! computed from several of these follows the formulas of PostgreSQL's `float.c`.

use super::Sums;
use crate::error::{ErrorKind, QueryError};
use crate::functions::float_digits::{Digits, nearest_quotient};
use crate::functions::float_sum::{FloatSum, Long};
use crate::operators::casts::{CastContext, cast_array};
use crate::scan::external;
use crate::types::Zone;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use catalog::sql_type::SqlType;
use dashu_int::UBig;
use datafusion::common::{DataFusionError, Result, ScalarValue};

/// A variance or standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spread {
    pub sample: bool,
    pub deviation: bool,
}

/// Sums over values.
#[derive(Clone, Debug, Default)]
pub(super) struct FloatSums {
    count: i64,
    sum: FloatSum,
    squares: Digits,
}

/// An aggregate of pairs, `(y, x)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Relation {
    CovarPop,
    CovarSamp,
    Corr,
    RegrAvgX,
    RegrAvgY,
    RegrCount,
    RegrIntercept,
    RegrR2,
    RegrSlope,
    RegrSxx,
    RegrSxy,
    RegrSyy,
}

/// Sums over pairs; those that the aggregate does not need stay zero.
#[derive(Clone, Debug, Default)]
pub(super) struct PairSums {
    count: i64,
    x: FloatSum,
    y: FloatSum,
    x_squares: Digits,
    y_squares: Digits,
    products: Digits,
}

pub(super) fn overflow() -> DataFusionError {
    external(QueryError::new(ErrorKind::NumericOutOfRange, "value out of range: overflow"))
}

/// `(N · Σxy − Σx · Σy) / divisor`, rounded once; NaN where a value was none or infinite.
fn deviations(count: i64, left: &FloatSum, right: &FloatSum, products: &Digits, divisor: &UBig) -> Result<f64> {
    if !left.is_finite() || !right.is_finite() {
        return Ok(f64::NAN);
    }
    let (products, products_exponent) = products.to_integer();
    let ((left, left_exponent), (right, right_exponent)) = (left.digits().to_integer(), right.digits().to_integer());
    let exponent = products_exponent.min(left_exponent + right_exponent);
    let scaled = products << (products_exponent - exponent) as usize;
    let product = (left * right) << (left_exponent + right_exponent - exponent) as usize;
    nearest_quotient(&(scaled * count - product), divisor, exponent).ok_or_else(overflow)
}

/// A column of numbers as doubles, each the nearest one.
fn doubles(column: &ArrayRef) -> Result<Float64Array> {
    let converted = match SqlType::from_data_type(column.data_type()) {
        Some(numeric @ SqlType::Numeric { .. }) => {
            let context = CastContext { zone: Zone::UTC, now_micros: 0 };
            cast_array(column, &numeric, &SqlType::Float8, &context).map_err(external)?
        }
        _ => cast(column, &DataType::Float64)?,
    };
    Ok(converted.as_primitive::<Float64Type>().clone())
}

/// Reads the bytes of sums from the front.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    pub(super) fn count(&mut self) -> Option<i64> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i64::from_le_bytes(*word))
    }

    pub(super) fn sum(&mut self) -> Option<FloatSum> {
        let mut sum = FloatSum::default();
        sum.add_long(&Long::from_bytes(&mut self.0)?);
        Some(sum)
    }

    fn digits(&mut self) -> Option<Digits> {
        Digits::from_bytes(&mut self.0)
    }
}

impl Sums for FloatSums {
    type Row = f64;
    type Statistic = Spread;

    fn rows(arguments: &[ArrayRef], mut each: impl FnMut(usize, f64) -> Result<()>) -> Result<()> {
        let values = doubles(&arguments[0])?;
        if values.null_count() == 0 {
            return values.values().iter().enumerate().try_for_each(|(row, value)| each(row, *value));
        }
        let rows = (0..values.len()).filter(|row| values.is_valid(*row));
        { rows }.try_for_each(|row| each(row, values.value(row)))
    }

    fn add(&mut self, row: f64, _: &Spread) -> Result<()> {
        self.count += 1;
        self.sum.add(row);
        if row.is_finite() {
            self.squares.add_product(row, row, false);
        }
        Ok(())
    }

    fn subtract(&mut self, row: f64, _: &Spread) -> Result<()> {
        self.count -= 1;
        self.sum.subtract(row);
        if row.is_finite() {
            self.squares.add_product(row, row, true);
        }
        Ok(())
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        self.count += other.count;
        self.sum.merge(&other.sum);
        self.squares.merge(&other.squares);
        Ok(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.count.to_le_bytes().to_vec();
        bytes.extend(self.sum.to_long().to_bytes());
        self.squares.to_bytes(&mut bytes);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(Self { count: reader.count()?, sum: reader.sum()?, squares: reader.digits()? })
    }

    fn heap_bytes(&self) -> usize {
        self.sum.heap_bytes() + self.squares.heap_bytes()
    }

    fn result(&self, spread: &Spread) -> Result<ScalarValue> {
        let divisor = if spread.sample { self.count - 1 } else { self.count };
        if divisor <= 0 {
            return Ok(ScalarValue::Float64(None));
        }
        let divisor = UBig::from(self.count.unsigned_abs()) * UBig::from(divisor.unsigned_abs());
        let variance = deviations(self.count, &self.sum, &self.sum, &self.squares, &divisor)?;
        Ok(ScalarValue::Float64(Some(if spread.deviation { variance.sqrt() } else { variance })))
    }
}

impl Relation {
    fn needs_x_squares(self) -> bool {
        use Relation::{Corr, RegrIntercept, RegrR2, RegrSlope, RegrSxx};
        matches!(self, Corr | RegrIntercept | RegrR2 | RegrSlope | RegrSxx)
    }

    fn needs_y_squares(self) -> bool {
        matches!(self, Self::Corr | Self::RegrR2 | Self::RegrSyy)
    }

    fn needs_products(self) -> bool {
        !matches!(self, Self::RegrAvgX | Self::RegrAvgY | Self::RegrCount | Self::RegrSxx | Self::RegrSyy)
    }
}

impl PairSums {
    fn change_products(&mut self, (y, x): (f64, f64), relation: Relation, negate: bool) {
        if relation.needs_x_squares() && x.is_finite() {
            self.x_squares.add_product(x, x, negate);
        }
        if relation.needs_y_squares() && y.is_finite() {
            self.y_squares.add_product(y, y, negate);
        }
        if relation.needs_products() && x.is_finite() && y.is_finite() {
            self.products.add_product(x, y, negate);
        }
    }

    /// The count as a double.
    fn n(&self) -> f64 {
        self.count as f64
    }

    fn divisor(&self) -> UBig {
        UBig::from(self.count.unsigned_abs())
    }

    fn sxx(&self) -> Result<f64> {
        deviations(self.count, &self.x, &self.x, &self.x_squares, &self.divisor())
    }

    fn syy(&self) -> Result<f64> {
        deviations(self.count, &self.y, &self.y, &self.y_squares, &self.divisor())
    }

    fn sxy(&self) -> Result<f64> {
        deviations(self.count, &self.x, &self.y, &self.products, &self.divisor())
    }

    fn covariance(&self, divisor: i64) -> Result<Option<f64>> {
        if divisor <= 0 {
            return Ok(None);
        }
        let divisor = self.divisor() * UBig::from(divisor.unsigned_abs());
        deviations(self.count, &self.x, &self.y, &self.products, &divisor).map(Some)
    }

    /// For a group that is not empty.
    fn value(&self, relation: Relation) -> Result<Option<f64>> {
        // Whether a zero is one of -0 alone is lost where sums are merged, and PostgreSQL begins with 0.
        let total = |sum: &FloatSum| sum.to_f64().map(|sum| sum + 0.0).ok_or_else(overflow);
        let average = |sum: &FloatSum| total(sum).map(|sum| sum / self.n());
        Ok(match relation {
            Relation::CovarPop => self.covariance(self.count)?,
            Relation::CovarSamp => self.covariance(self.count - 1)?,
            Relation::RegrAvgX => Some(average(&self.x)?),
            Relation::RegrAvgY => Some(average(&self.y)?),
            Relation::RegrCount => Some(self.n()),
            Relation::RegrSxx => Some(self.sxx()?),
            Relation::RegrSyy => Some(self.syy()?),
            Relation::RegrSxy => Some(self.sxy()?),
            Relation::Corr => match (self.sxx()?, self.syy()?) {
                (0.0, _) | (_, 0.0) => None,
                (sxx, syy) => Some(self.sxy()? / (sxx * syy).sqrt()),
            },
            Relation::RegrR2 => match (self.sxx()?, self.syy()?) {
                (0.0, _) => None,
                (_, 0.0) => Some(1.0),
                (sxx, syy) => Some(self.sxy()? * self.sxy()? / (sxx * syy)),
            },
            Relation::RegrSlope => match self.sxx()? {
                0.0 => None,
                sxx => Some(self.sxy()? / sxx),
            },
            Relation::RegrIntercept => match self.sxx()? {
                0.0 => None,
                sxx => Some((total(&self.y)? - total(&self.x)? * self.sxy()? / sxx) / self.n()),
            },
        })
    }
}

impl Sums for PairSums {
    type Row = (f64, f64);
    type Statistic = Relation;

    fn rows(arguments: &[ArrayRef], mut each: impl FnMut(usize, (f64, f64)) -> Result<()>) -> Result<()> {
        let (y, x) = (doubles(&arguments[0])?, doubles(&arguments[1])?);
        let nulls = NullBuffer::union(y.nulls(), x.nulls());
        let rows = (0..y.len()).filter(|row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row)));
        { rows }.try_for_each(|row| each(row, (y.value(row), x.value(row))))
    }

    fn add(&mut self, row: (f64, f64), relation: &Relation) -> Result<()> {
        self.count += 1;
        self.y.add(row.0);
        self.x.add(row.1);
        self.change_products(row, *relation, false);
        Ok(())
    }

    fn subtract(&mut self, row: (f64, f64), relation: &Relation) -> Result<()> {
        self.count -= 1;
        self.y.subtract(row.0);
        self.x.subtract(row.1);
        self.change_products(row, *relation, true);
        Ok(())
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        self.count += other.count;
        self.x.merge(&other.x);
        self.y.merge(&other.y);
        self.x_squares.merge(&other.x_squares);
        self.y_squares.merge(&other.y_squares);
        self.products.merge(&other.products);
        Ok(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.count.to_le_bytes().to_vec();
        for sum in [&self.x, &self.y] {
            bytes.extend(sum.to_long().to_bytes());
        }
        for digits in [&self.x_squares, &self.y_squares, &self.products] {
            digits.to_bytes(&mut bytes);
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(Self {
            count: reader.count()?,
            x: reader.sum()?,
            y: reader.sum()?,
            x_squares: reader.digits()?,
            y_squares: reader.digits()?,
            products: reader.digits()?,
        })
    }

    fn heap_bytes(&self) -> usize {
        let sums = self.x.heap_bytes() + self.y.heap_bytes();
        sums + [&self.x_squares, &self.y_squares, &self.products]
            .map(|digits| digits.heap_bytes())
            .iter()
            .sum::<usize>()
    }

    fn result(&self, relation: &Relation) -> Result<ScalarValue> {
        if *relation == Relation::RegrCount {
            return Ok(ScalarValue::Int64(Some(self.count)));
        }
        Ok(ScalarValue::Float64(if self.count == 0 { None } else { self.value(*relation)? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(values: &[f64]) -> FloatSums {
        let mut sums = FloatSums::default();
        values.iter().for_each(|value| sums.add(*value, &Spread { sample: true, deviation: false }).unwrap());
        sums
    }

    fn variance(sums: &FloatSums) -> Option<f64> {
        match sums.result(&Spread { sample: true, deviation: false }) {
            Ok(ScalarValue::Float64(variance)) => variance,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_large_mean_does_not_swallow_the_variance() {
        assert_eq!(variance(&sums(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0])), Some(30.0));
        assert_eq!(variance(&sums(&[1e308, 1e308])), Some(0.0));
        assert_eq!(variance(&sums(&[1e-300, 3e-300])), Some(0.0));
        assert_eq!(variance(&sums(&[5.0])), None);
        assert!(variance(&sums(&[f64::INFINITY, 1.0])).unwrap().is_nan());
    }

    #[test]
    fn rows_go_as_they_came() {
        let mut changed = sums(&[0.1, f64::NAN, 1e300, 0.2, 1e-300]);
        for value in [f64::NAN, 1e300, 1e-300] {
            changed.subtract(value, &Spread { sample: true, deviation: false }).unwrap();
        }
        assert_eq!(variance(&changed), variance(&sums(&[0.2, 0.1])));
        let read = FloatSums::from_bytes(&changed.to_bytes()).unwrap();
        assert_eq!(variance(&read), variance(&changed));
    }

    #[test]
    fn a_line_is_found_exactly() {
        let mut pairs = PairSums::default();
        for x in 0..5 {
            let x = f64::from(x);
            pairs.add((3.0 * x + 1.0, x), &Relation::Corr).unwrap();
        }
        let value = |relation| pairs.value(relation).unwrap();
        assert_eq!(value(Relation::Corr), Some(1.0));
        assert_eq!(value(Relation::RegrSlope), Some(3.0));
        assert_eq!(value(Relation::RegrIntercept), Some(1.0));
        assert_eq!(value(Relation::CovarPop), Some(6.0));
        assert_eq!(value(Relation::RegrSyy), Some(90.0));
    }
}
