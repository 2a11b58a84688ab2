//! Key hashes: which rows of a view's state may belong to some groups, told without looking anything up in the state.
//!
//! A change touches few groups of a state. Only rows that may be of these groups go through plans; the others stay the batches that
//! they are. Hashes may meet, so a row that is told to be of the groups may be of another one; a row that is not is certain.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch, not};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use std::collections::HashSet;

/// The hashes of the keys of some groups.
pub(crate) struct KeyHashes {
    hashes: HashSet<u64>,
    keys: usize,
}

/// Rows of a state apart.
pub(crate) struct Split {
    /// Rows of other groups.
    pub others: Vec<RecordBatch>,
    /// Rows that may be of the groups.
    pub candidates: Vec<RecordBatch>,
}

impl KeyHashes {
    /// The groups of rows whose first columns are the keys of a state with this schema.
    pub(crate) fn of(rows: &[RecordBatch], state: &SchemaRef, keys: usize) -> Result<Self> {
        let mut hashes = HashSet::new();
        for batch in rows {
            let own = batch.columns().iter().zip(state.fields()).take(keys);
            let own: Vec<ArrayRef> =
                own.map(|(array, field)| cast(array, field.data_type())).collect::<std::result::Result<_, _>>()?;
            hashes.extend(hashed(&own, batch.num_rows())?);
        }
        Ok(Self { hashes, keys })
    }

    /// Parts the rows of the state. Without keys there is one group, and all rows are of it.
    pub(crate) fn split(&self, rows: Vec<RecordBatch>) -> Result<Split> {
        let mut split = Split { others: Vec::new(), candidates: Vec::new() };
        if self.keys == 0 {
            split.candidates = rows;
            return Ok(split);
        }
        for batch in rows {
            let hashes = hashed(&batch.columns()[..self.keys], batch.num_rows())?;
            let among: BooleanArray = hashes.iter().map(|hash| Some(self.hashes.contains(hash))).collect();
            match among.true_count() {
                0 => split.others.push(batch),
                all if all == batch.num_rows() => split.candidates.push(batch),
                _ => {
                    split.candidates.push(filter_record_batch(&batch, &among)?);
                    split.others.push(filter_record_batch(&batch, &not(&among)?)?);
                }
            }
        }
        Ok(split)
    }
}

fn hashed(columns: &[ArrayRef], rows: usize) -> Result<Vec<u64>> {
    let mut hashes = vec![0; rows];
    create_hashes(columns, &RandomState::with_seed(0), &mut hashes)?;
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, Date32Array, Int64Array, StringViewArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    fn batch(rows: &[(Option<&str>, Option<i32>, i64)]) -> RecordBatch {
        let columns = [("g0", DataType::Utf8View), ("g1", DataType::Date32), ("rows", DataType::Int64)];
        let fields = columns.map(|(name, data_type)| Field::new(name, data_type, true));
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<StringViewArray>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Date32Array>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
        ];
        RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), arrays).unwrap()
    }

    fn counts(batches: &[RecordBatch]) -> Vec<i64> {
        let counts = batches.iter().map(|batch| batch.column(2).clone());
        counts
            .flat_map(|array| {
                let array = array.as_any().downcast_ref::<Int64Array>().unwrap().clone();
                array.values().to_vec()
            })
            .collect()
    }

    #[test]
    fn rows_of_the_groups_are_candidates_and_untouched_batches_stay() {
        let long = "a name that is longer than what a view holds inline";
        let known = vec![
            batch(&[(Some("a"), Some(1), 1), (None, Some(1), 2), (Some("a"), None, 3), (Some(long), Some(2), 4)]),
            batch(&[(Some("b"), Some(1), 5)]),
        ];
        let touched = batch(&[(None, Some(1), 9), (Some(long), Some(2), 9), (Some("c"), Some(7), 9)]);
        let split = KeyHashes::of(&[touched], &known[0].schema(), 2).unwrap().split(known.clone()).unwrap();
        assert_eq!((counts(&split.candidates), counts(&split.others)), (vec![2, 4], vec![1, 3, 5]));
        assert!(Arc::ptr_eq(split.others[1].column(0), known[1].column(0)));
    }

    #[test]
    fn without_keys_every_row_is_of_the_one_group() {
        let known = vec![batch(&[(None, None, 1)])];
        let split = KeyHashes::of(&[], &known[0].schema(), 0).unwrap().split(known).unwrap();
        assert_eq!((counts(&split.candidates), counts(&split.others)), (vec![1], vec![]));
    }
}
