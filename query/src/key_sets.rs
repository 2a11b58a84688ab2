//! Key sets: which rows of a view's state belong to some groups, told without looking anything up in the state.
//!
//! A change touches few groups of a state. Only rows of these groups go through plans; the others stay the batches that they are.
//! Hashes tell most rows of other groups apart; the rest is told by its keys.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch, not};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{HashMap, Result};

/// No other row.
const NONE: u32 = u32::MAX;

/// The keys of some groups.
pub(crate) struct KeySet {
    /// One row a key, and maybe more that nothing leads to.
    keys: Rows,
    /// By hash the row of the last key that has it, and for each row the one of the key before with the same hash.
    last: HashMap<u64, u32>,
    before: Vec<u32>,
    converter: RowConverter,
    columns: usize,
}

/// Rows of a state apart.
pub(crate) struct Split {
    /// Rows of other groups.
    pub others: Vec<RecordBatch>,
    /// Rows of the groups.
    pub among: Vec<RecordBatch>,
}

impl KeySet {
    /// The groups of rows whose first columns are the keys of a state with this schema.
    pub(crate) fn of(rows: &[RecordBatch], state: &SchemaRef, columns: usize) -> Result<Self> {
        let mut groups = Self::empty(state, columns)?;
        for batch in rows {
            groups.add(batch, state)?;
        }
        Ok(groups)
    }

    fn empty(state: &Schema, columns: usize) -> Result<Self> {
        let fields = state.fields().iter().take(columns).map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let keys = converter.empty_rows(0, 0);
        Ok(Self { keys, last: HashMap::default(), before: Vec::new(), converter, columns })
    }

    /// Adds the groups of rows. For each row whether its group is new.
    fn add(&mut self, rows: &RecordBatch, state: &SchemaRef) -> Result<BooleanArray> {
        if self.columns == 0 {
            return Ok(BooleanArray::from(vec![true; rows.num_rows()]));
        }
        let keys = as_stored(rows, state, self.columns)?;
        let start = self.keys.num_rows();
        self.converter.append(&mut self.keys, &keys)?;
        self.before.resize(self.keys.num_rows(), NONE);
        let hashes = hashed(&keys, rows.num_rows())?;
        let new = hashes.into_iter().enumerate().map(|(row, hash)| {
            let place = start + row;
            if self.holds(hash, self.keys.row(place)) {
                return Some(false);
            }
            self.before[place] = self.last.insert(hash, place as u32).unwrap_or(NONE);
            Some(true)
        });
        Ok(new.collect())
    }

    /// Whether a key with this hash is among these.
    fn holds(&self, hash: u64, key: Row<'_>) -> bool {
        let mut place = self.last.get(&hash).copied().unwrap_or(NONE);
        while place != NONE {
            if self.keys.row(place as usize).data() == key.data() {
                return true;
            }
            place = self.before[place as usize];
        }
        false
    }

    /// Parts the rows of the state. Without keys there is one group, and all rows are of it.
    pub(crate) fn split(&self, rows: Vec<RecordBatch>) -> Result<Split> {
        let mut split = Split { others: Vec::new(), among: Vec::new() };
        if self.columns == 0 {
            split.among = rows;
            return Ok(split);
        }
        for batch in rows {
            let among = self.among(&batch)?;
            match among.true_count() {
                0 => split.others.push(batch),
                all if all == batch.num_rows() => split.among.push(batch),
                _ => {
                    split.among.push(filter_record_batch(&batch, &among)?);
                    split.others.push(filter_record_batch(&batch, &not(&among)?)?);
                }
            }
        }
        Ok(split)
    }

    /// Which rows of a batch of the state are of the groups.
    fn among(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let keys = &batch.columns()[..self.columns];
        let hashes = hashed(keys, batch.num_rows())?;
        let candidates: BooleanArray = hashes.iter().map(|hash| Some(self.last.contains_key(hash))).collect();
        if candidates.true_count() == 0 {
            return Ok(candidates);
        }
        // Different keys may have one hash.
        let rows = filter_record_batch(&batch.project(&(0..self.columns).collect::<Vec<_>>())?, &candidates)?;
        let told = self.converter.convert_columns(rows.columns())?;
        let mut told = told.iter();
        let among = candidates.values().iter().zip(&hashes).map(|(candidate, hash)| {
            let key = if candidate { told.next() } else { None };
            Some(key.is_some_and(|key| self.holds(*hash, key)))
        });
        Ok(among.collect())
    }
}

/// The rows with different keys, which are their first columns, one a group. Keys are as a state with this schema has them.
pub(crate) fn one_a_group(rows: &[RecordBatch], state: &SchemaRef, columns: usize) -> Result<Vec<RecordBatch>> {
    let mut known = KeySet::empty(state, columns)?;
    let mut groups = Vec::new();
    for batch in rows {
        let first = known.add(batch, state)?;
        if first.true_count() > 0 {
            groups.push(filter_record_batch(batch, &first)?);
        }
    }
    Ok(groups)
}

/// The keys of rows as the state has them.
fn as_stored(batch: &RecordBatch, state: &SchemaRef, columns: usize) -> Result<Vec<ArrayRef>> {
    let keys = batch.columns().iter().zip(state.fields()).take(columns);
    Ok(keys.map(|(array, field)| cast(array, field.data_type())).collect::<std::result::Result<_, _>>()?)
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
    fn rows_of_the_groups_are_told_and_untouched_batches_stay() {
        let long = "a name that is longer than what a view holds inline";
        let known = vec![
            batch(&[(Some("a"), Some(1), 1), (None, Some(1), 2), (Some("a"), None, 3), (Some(long), Some(2), 4)]),
            batch(&[(Some("b"), Some(1), 5)]),
        ];
        let touched = batch(&[(None, Some(1), 9), (Some(long), Some(2), 9), (Some("c"), Some(7), 9)]);
        let split = KeySet::of(&[touched], &known[0].schema(), 2).unwrap().split(known.clone()).unwrap();
        assert_eq!((counts(&split.among), counts(&split.others)), (vec![2, 4], vec![1, 3, 5]));
        assert!(Arc::ptr_eq(split.others[1].column(0), known[1].column(0)));
    }

    #[test]
    fn keys_with_one_hash_are_told_apart() {
        let known = vec![batch(&[(Some("a"), Some(1), 1), (Some("b"), Some(2), 2)])];
        let mut keys = KeySet::of(&[batch(&[(Some("b"), Some(2), 9)])], &known[0].schema(), 2).unwrap();
        let hashes = hashed(&known[0].columns()[..2], 2).unwrap();
        keys.last.insert(hashes[0], 0);
        let split = keys.split(known).unwrap();
        assert_eq!((counts(&split.among), counts(&split.others)), (vec![2], vec![1]));
    }

    #[test]
    fn of_each_group_one_row_is_left() {
        let rows = [
            batch(&[(None, Some(1), 1), (None, Some(1), 2), (None, None, 3)]),
            batch(&[(None, None, 4), (Some("a"), None, 5)]),
        ];
        let groups = one_a_group(&rows, &rows[0].schema(), 2).unwrap();
        assert_eq!(counts(&groups), [1, 3, 5]);
    }

    #[test]
    fn without_keys_every_row_is_of_the_one_group() {
        let known = vec![batch(&[(None, None, 1)])];
        let split = KeySet::of(&[], &known[0].schema(), 0).unwrap().split(known).unwrap();
        assert_eq!((counts(&split.among), counts(&split.others)), (vec![1], vec![]));
    }
}
