//! `random` and `setseed`: one generator for each session.
//!
//! It is PostgreSQL's, xoroshiro128** (Blackman and Vigna 2018) seeded by SplitMix64, so that a seed gives the same numbers. Where
//! several threads compute a column, which row has which of them is not defined.

use super::overload::no_function;
use crate::error::{ErrorKind, QueryError};
use crate::operators::resolution::{implicit_cost, unknown_field};
use crate::scan::external;
use arrow::array::{ArrayRef, AsArray, Float64Array, StringViewBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// A session's generator. Seeded by the system until `setseed` is called.
#[derive(Debug)]
pub struct RandomNumbers {
    state: Mutex<[u64; 2]>,
}

impl Default for RandomNumbers {
    fn default() -> Self {
        Self { state: Mutex::new(seeded(rand::random())) }
    }
}

impl RandomNumbers {
    /// The next numbers, at least 0 and less than 1.
    fn next(&self, count: usize) -> Float64Array {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The upper 52 bits are the fraction.
        let numbers = (0..count).map(|_| (advance(&mut state) >> 12) as f64 / (1_u64 << 52) as f64);
        numbers.collect::<Vec<f64>>().into()
    }

    fn seed(&self, seed: f64) -> std::result::Result<(), QueryError> {
        if !(-1.0..=1.0).contains(&seed) {
            let message = format!("setseed parameter {seed} is out of allowed range [-1,1]");
            return Err(QueryError::new(ErrorKind::InvalidParameterValue, message));
        }
        let seed = ((1_u64 << 52) - 1) as f64 * seed;
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = seeded(seed as i64 as u64);
        Ok(())
    }
}

fn seeded(mut seed: u64) -> [u64; 2] {
    let mut next = || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    [next(), next()]
}

fn advance(state: &mut [u64; 2]) -> u64 {
    let [first, second] = *state;
    let mixed = second ^ first;
    *state = [first.rotate_left(24) ^ mixed ^ (mixed << 16), mixed.rotate_left(37)];
    first.wrapping_mul(5).rotate_left(7).wrapping_mul(9)
}

pub(super) fn functions(numbers: &Arc<RandomNumbers>) -> [Arc<ScalarUDF>; 2] {
    [Purpose::Random, Purpose::Seed].map(|purpose| {
        let signature = match purpose {
            Purpose::Random => Signature::nullary(Volatility::Volatile),
            Purpose::Seed => Signature::any(1, Volatility::Volatile),
        };
        Arc::new(ScalarUDF::new_from_impl(Generator { purpose, numbers: Arc::clone(numbers), signature }))
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Purpose {
    Random,
    Seed,
}

#[derive(Debug)]
struct Generator {
    purpose: Purpose,
    numbers: Arc<RandomNumbers>,
    signature: Signature,
}

impl PartialEq for Generator {
    fn eq(&self, other: &Self) -> bool {
        self.purpose == other.purpose && Arc::ptr_eq(&self.numbers, &other.numbers)
    }
}

impl Eq for Generator {}

impl Hash for Generator {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.purpose.hash(state);
    }
}

impl ScalarUDFImpl for Generator {
    fn name(&self) -> &str {
        match self.purpose {
            Purpose::Random => "random",
            Purpose::Seed => "setseed",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.purpose {
            Purpose::Random => DataType::Float64,
            Purpose::Seed => SqlType::Void.data_type(),
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let Some(field) = args.arg_fields.first() else {
            return Ok(Arc::new(Field::new(self.name(), DataType::Float64, false)));
        };
        let literal = args.scalar_arguments.first().copied().flatten();
        let known = if unknown_field(field, literal) { None } else { SqlType::from_field(field) };
        if known.as_ref().is_some_and(|known| implicit_cost(known, &SqlType::Float8).is_none()) {
            return Err(external(no_function(self.name(), &[known])));
        }
        Ok(Arc::new(SqlType::Void.field(self.name(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match (self.purpose, args.args.first()) {
            (Purpose::Random, None) => Ok(ColumnarValue::Array(Arc::new(self.numbers.next(args.number_rows)))),
            (Purpose::Seed, Some(seeds)) => self.seed_with(seeds, args.number_rows),
            _ => internal_err!("{} was called with other arguments", self.name()),
        }
    }
}

impl Generator {
    /// Nothing for each seed, and NULL for NULL.
    fn seed_with(&self, seeds: &ColumnarValue, rows: usize) -> Result<ColumnarValue> {
        let rows = if matches!(seeds, ColumnarValue::Scalar(_)) { 1 } else { rows };
        let seeds: ArrayRef = seeds.cast_to(&DataType::Float64, None)?.to_array(rows)?;
        let mut answers = StringViewBuilder::with_capacity(rows);
        for seed in seeds.as_primitive::<Float64Type>() {
            if let Some(seed) = seed {
                self.numbers.seed(seed).map_err(external)?;
            }
            answers.append_option(seed.map(|_| ""));
        }
        let answers: ArrayRef = Arc::new(answers.finish());
        match rows {
            1 => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answers, 0)?)),
            _ => Ok(ColumnarValue::Array(answers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RandomNumbers;

    /// What PostgreSQL 15 answers to `SELECT setseed(0.5)` and then to `SELECT random()`, thrice.
    #[test]
    fn a_seed_gives_postgres_numbers() {
        let numbers = RandomNumbers::default();
        numbers.seed(0.5).expect("a seed in range");
        let expected = [0.9851677175347999, 0.825301858027981, 0.12974610012450416];
        assert_eq!(numbers.next(3).values().as_ref(), expected);
        assert!(numbers.seed(1.5).is_err());
    }
}
