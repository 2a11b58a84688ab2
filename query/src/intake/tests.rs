//! How rows are put together before they go inline.

use super::*;
use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

fn together(rows: &[usize]) -> Vec<usize> {
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
    let mut next = 0;
    let batches: Vec<RecordBatch> = rows
        .iter()
        .map(|rows| {
            let numbers = Int64Array::from_iter_values(next..next + *rows as i64);
            next += *rows as i64;
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(numbers)]).expect("a batch")
        })
        .collect();
    let together = put_together(&schema, &batches).expect("batches of one schema");
    let numbers =
        together.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().iter().copied());
    assert_eq!(numbers.collect::<Vec<_>>(), (0..next).collect::<Vec<_>>(), "all rows, in their order");
    together.iter().map(RecordBatch::num_rows).collect()
}

#[test]
fn few_rows_are_one_batch_however_they_came() {
    assert_eq!(together(&[]), Vec::<usize>::new());
    assert_eq!(together(&[7]), [7]);
    assert_eq!(together(&[1; 100]), [100]);
}

#[test]
fn batches_of_many_rows_stay_as_they_came() {
    assert_eq!(together(&[BATCH_ROWS, 2 * BATCH_ROWS, 8]), [BATCH_ROWS, 2 * BATCH_ROWS, 8]);
}

#[test]
fn small_batches_are_put_together_until_they_are_many_rows() {
    assert_eq!(together(&[1000; 10]), [5000, 5000]);
    assert_eq!(together(&[10, BATCH_ROWS, 10, 20]), [BATCH_ROWS + 10, 30]);
    assert_eq!(together(&[600, 600, BATCH_ROWS, 2000, 2000]), [1200, BATCH_ROWS, 4000]);
}
