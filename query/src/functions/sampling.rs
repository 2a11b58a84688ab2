//! What TABLESAMPLE … REPEATABLE draws: a number from 0 to 100 for each row of a table.
//!
//! It depends on the row's place and on the seed alone. The same statement draws the same rows again until rows are
//! added, removed or moved by the background.

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt32Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// The function's name, which nobody can type without quotes.
pub(crate) const SAMPLED: &str = "sampled@place";

/// Takes the part, the row and the seed; gives double precision, at least 0 and less than 100.
pub(super) fn function() -> Arc<ScalarUDF> {
    // Volatile, so that filters above the sample are not drawn below it and no view is kept by it.
    Arc::new(ScalarUDF::new_from_impl(Sampled { signature: Signature::any(3, Volatility::Volatile) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sampled {
    signature: Signature,
}

impl ScalarUDFImpl for Sampled {
    fn name(&self) -> &str {
        SAMPLED
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let column = |index: usize, to: &DataType| -> Result<ArrayRef> {
            Ok(cast(&args.args[index].to_array(args.number_rows)?, to)?)
        };
        let (parts, rows) = (column(0, &DataType::UInt32)?, column(1, &DataType::Int64)?);
        let seeds = column(2, &DataType::Float64)?;
        let places = parts.as_primitive::<UInt32Type>().values().iter().zip(rows.as_primitive::<Int64Type>().values());
        let drawn = places
            .zip(seeds.as_primitive::<Float64Type>().values())
            .map(|((part, row), seed)| percent(mixed(mixed(mixed(seed.to_bits()) ^ u64::from(*part)) ^ *row as u64)));
        Ok(ColumnarValue::Array(Arc::new(Float64Array::from_iter_values(drawn))))
    }
}

/// SplitMix64's finaliser (Steele, Lea and Flood 2014): every bit of the input changes half of the output's.
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The upper 53 bits as a share of 100.
fn percent(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64 * 100.0
}
