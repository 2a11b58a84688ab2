//! Missing values: what rows have in a column that came after them.
//!
//! ADD COLUMN rewrites nothing. The default of that moment is kept with the column, and whoever reads older rows puts it in their place
//! (PostgreSQL's `attmissingval`). A default that is changed later leaves it alone.

use crate::stored::{Blob, SchemaPool, encode_batch};
use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::sync::Arc;

/// One value that is not NULL, in the Arrow type of its column. Stored as an Arrow IPC stream in hexadecimal digits, which has
/// room for every type.
#[derive(Clone, Debug)]
pub struct MissingValue(ArrayRef);

impl PartialEq for MissingValue {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl Eq for MissingValue {}

impl MissingValue {
    /// The one value of `array`; `None` where it is NULL.
    pub fn new(array: ArrayRef) -> Option<Self> {
        assert_eq!(array.len(), 1, "a missing value is one value");
        array.is_valid(0).then_some(Self(array))
    }

    /// The value as an array of length one.
    pub fn value(&self) -> &ArrayRef {
        &self.0
    }

    /// The value so many times.
    pub fn repeated(&self, rows: usize) -> ArrayRef {
        let first = UInt32Array::from(vec![0; rows]);
        take(&self.0, &first, None).expect("the first of one value is there")
    }
}

impl Serialize for MissingValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let schema = Schema::new(vec![Field::new("value", self.0.data_type().clone(), false)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::clone(&self.0)]);
        let Blob(bytes) = encode_batch(&batch.expect("one value that is not NULL"));
        serializer.serialize_str(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for MissingValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || de::Error::custom("not a missing value");
        let text = String::deserialize(deserializer)?;
        let digits: Vec<u8> = text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
        if digits.len() != text.len() || !digits.len().is_multiple_of(2) {
            return Err(wrong());
        }
        let bytes = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        let batch = SchemaPool::default().decode_batch(&Blob(bytes)).map_err(de::Error::custom)?;
        let value = batch.columns().first().filter(|value| value.len() == 1 && value.is_valid(0));
        value.cloned().map(Self).ok_or_else(wrong)
    }
}
