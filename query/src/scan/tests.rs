//! Batches in memory, without a table.

use super::{BATCH_ROWS, together};
use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use std::sync::Arc;

#[test]
fn small_batches_are_put_together_in_order() {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let mut next = 0;
    let mut batch = |rows: usize| {
        let values = Int64Array::from_iter_values(next..next + rows as i64);
        next += rows as i64;
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(values)]).unwrap()
    };
    let mut batches: Vec<RecordBatch> = (0..1_000).map(|_| batch(1)).collect();
    batches.push(batch(BATCH_ROWS + 1));
    batches.extend((0..3).map(|_| batch(BATCH_ROWS / 2)));
    let found = together(&schema, batches).unwrap();
    let rows: Vec<usize> = found.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(rows, [1_000, BATCH_ROWS + 1, BATCH_ROWS, BATCH_ROWS / 2]);
    let values = found.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
    assert!(values.eq(0..next), "the rows are those that were given, in their order");
    assert!(together(&schema, Vec::new()).unwrap().is_empty());
}
