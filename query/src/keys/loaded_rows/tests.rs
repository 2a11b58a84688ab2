//! Tests of what is remembered, and of what it counts.

use super::*;
use crate::error::ErrorKind;
use arrow::array::{Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::execution::memory_pool::{GreedyMemoryPool, UnboundedMemoryPool};

const TEXT_BYTES: usize = 1_000;

fn unbounded() -> Arc<dyn MemoryPool> {
    Arc::new(UnboundedMemoryPool::default())
}

fn key(number: i64) -> KeyBytes {
    number.to_be_bytes().as_slice().into()
}

/// Rows of a number and a long text.
fn batch(numbers: &[i64]) -> RecordBatch {
    let texts: StringViewArray = numbers.iter().map(|number| Some(format!("{number:0TEXT_BYTES$}"))).collect();
    let fields = vec![Field::new("number", DataType::Int64, false), Field::new("note", DataType::Utf8View, false)];
    let numbers = Int64Array::from(numbers.to_vec());
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(numbers), Arc::new(texts)]).unwrap()
}

fn keep(later: &mut LaterRows, numbers: &[i64], is_chosen: impl Fn(i64) -> bool) {
    let keys: Vec<Option<KeyBytes>> = numbers.iter().map(|number| Some(key(*number))).collect();
    let chosen: BooleanArray = numbers.iter().map(|number| Some(is_chosen(*number))).collect();
    later.keep(&batch(numbers), &chosen, &keys).unwrap();
}

#[test]
fn a_key_that_is_known_costs_nothing() {
    let pool = unbounded();
    let mut known = KnownKeys::new(&pool);
    assert!(known.insert(&key(1)).unwrap() && !known.insert(&key(1)).unwrap());
    let after_one = known.bytes;
    for number in 0..100_000 {
        known.insert(&key(number % 2)).unwrap();
    }
    assert_eq!(known.bytes, 2 * after_one);
    assert_eq!(pool.reserved(), STEP_BYTES);
    assert!(known.contains(&key(0)) && !known.contains(&key(2)));
    drop(known);
    assert_eq!(pool.reserved(), 0);
}

#[test]
fn keys_beyond_the_budget_are_refused() {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(STEP_BYTES));
    let mut known = KnownKeys::new(&pool);
    let refused = (0..1_000_000).find_map(|number| known.insert(&key(number)).err());
    assert_eq!(refused.map(|error| error.kind), Some(ErrorKind::OutOfMemory));
    assert!(known.bytes >= STEP_BYTES && known.keys.len() <= STEP_BYTES / size_of::<KeyBytes>());
    let long: KeyBytes = vec![7; 3 * STEP_BYTES].into();
    assert!(KnownKeys::new(&unbounded()).insert(&long).unwrap());
    assert!(known.insert(&long).is_err(), "long keys count with their bytes");
}

#[test]
fn a_kept_row_holds_its_own_text_alone() {
    let pool = unbounded();
    let mut later = LaterRows::new(&pool);
    let numbers: Vec<i64> = (0..1_000).collect();
    keep(&mut later, &numbers, |number| number == 500);
    let held = later.batches()[0].get_array_memory_size();
    assert!(held < 10 * TEXT_BYTES, "{held} bytes for a row");
    assert_eq!(pool.reserved(), later.row_bytes + later.key_bytes);
    assert_eq!(later.row_bytes, held);
}

#[test]
fn rows_that_were_superseded_go_and_so_does_their_memory() {
    let pool = unbounded();
    let mut later = LaterRows::new(&pool);
    let numbers: Vec<i64> = (0..500).collect();
    for _ in 0..100 {
        keep(&mut later, &numbers, |_| true);
        assert!(later.rows <= 2 * numbers.len() + SUPERSEDED_ROWS_MAX);
    }
    assert!(pool.reserved() < (SUPERSEDED_ROWS_MAX + 2_000) * (TEXT_BYTES + 200), "{}", pool.reserved());
    later.compact().unwrap();
    assert_eq!((later.batches().len(), later.rows), (1, 500));
    assert!(pool.reserved() < 2 * 500 * (TEXT_BYTES + 200), "{}", pool.reserved());
    assert_eq!(later.take(), [batch(&numbers)]);
}
