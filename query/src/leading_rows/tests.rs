//! Tests of the keys that lead.

use super::*;
use arrow::array::{Int32Array, StringArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field};
use datafusion::physical_expr::expressions::col;

fn schema() -> SchemaRef {
    let fields = vec![Field::new("k", DataType::Utf8, true), Field::new("x", DataType::Int32, true)];
    Arc::new(Schema::new(fields))
}

fn heads(partition: &[&str], descending: bool, places: usize) -> Heads {
    let schema = schema();
    let options = SortOptions { descending, nulls_first: descending };
    let limit = Limit {
        partition: partition.iter().map(|name| col(name, &schema).unwrap()).collect(),
        order: vec![PhysicalSortExpr::new(col("x", &schema).unwrap(), options)],
        places,
    };
    Heads::new(limit, &schema).unwrap()
}

fn leading(heads: &mut Heads, rows: &[(Option<&str>, Option<i32>)]) -> Vec<Option<i32>> {
    let keys: StringArray = rows.iter().map(|row| row.0).collect();
    let values: Int32Array = rows.iter().map(|row| row.1).collect();
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(keys), Arc::new(values)]).unwrap();
    let kept = heads.leading(&batch).unwrap();
    kept.column(1).as_any().downcast_ref::<Int32Array>().unwrap().iter().collect()
}

#[test]
fn a_row_behind_enough_others_of_its_partition_is_left_out() {
    let mut heads = heads(&["k"], false, 2);
    let (a, b) = (Some("a"), Some("b"));
    let first = [(a, Some(5)), (b, Some(9)), (a, Some(3)), (a, Some(6)), (None, None), (a, Some(4)), (b, None)];
    assert_eq!(leading(&mut heads, &first), [Some(5), Some(9), Some(3), None, Some(4), None]);
    assert_eq!(leading(&mut heads, &[(a, Some(5)), (b, Some(10)), (None, Some(1))]), [Some(10), Some(1)]);
}

#[test]
fn rows_beside_the_last_place_stay() {
    let mut heads = heads(&["k"], true, 1);
    let rows =
        [(Some("a"), Some(2)), (Some("a"), Some(2)), (Some("a"), Some(1)), (Some("a"), None), (Some("a"), Some(9))];
    assert_eq!(leading(&mut heads, &rows), [Some(2), Some(2), None], "NULL comes first");
}

#[test]
fn without_partitions_all_rows_are_of_one() {
    let mut heads = heads(&[], false, 1);
    assert_eq!(leading(&mut heads, &[(Some("a"), Some(2)), (Some("b"), Some(3)), (None, Some(1))]), [Some(2), Some(1)]);
}

#[test]
fn partitions_beyond_those_that_are_remembered_pass_whole() {
    let mut heads = heads(&["k"], false, KEYS_MAX);
    assert_eq!(leading(&mut heads, &[(Some("a"), Some(1)), (Some("b"), Some(2)), (Some("b"), Some(3))]).len(), 3);
    assert_eq!(heads.heads.len(), 1);
}

#[test]
fn a_batch_of_one_partition_is_told_by_the_first_column() {
    let (a, b) = (Some("a"), Some("b"));
    for descending in [false, true] {
        let sign = if descending { -1 } else { 1 };
        let mut heads = heads(&["k"], descending, 2);
        let value = |value: i32| Some(sign * value);
        assert_eq!(leading(&mut heads, &[(a, value(5)), (a, value(3)), (a, value(4))]), [value(5), value(3), value(4)]);
        let rows = [(a, value(9)), (a, value(4)), (a, None), (a, value(5)), (a, value(1))];
        let batch = RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>()),
                Arc::new(rows.iter().map(|row| row.1).collect::<Int32Array>()),
            ],
        );
        let passed = heads.not_behind(&batch.unwrap()).unwrap().unwrap();
        assert_eq!(passed, BooleanArray::from(vec![false, true, true, false, true]));
        let expected = if descending { vec![value(4), None, value(1)] } else { vec![value(4), value(1)] };
        assert_eq!(leading(&mut heads, &rows), expected);
        assert_eq!(leading(&mut heads, &[(b, value(7)), (a, value(9)), (b, value(8))]), [value(7), value(8)]);
        assert_eq!(leading(&mut heads, &[(b, value(9)), (b, value(6))]), [value(6)]);
    }
}

#[test]
fn keys_have_so_many_bytes() {
    let mut heads = heads(&["k"], false, 2);
    assert_eq!(leading(&mut heads, &[(Some("a"), Some(1)), (Some("a"), Some(2)), (Some("b"), Some(3))]).len(), 3);
    heads.bytes = KEY_BYTES_MAX;
    let rows =
        [(Some("a"), Some(3)), (Some("a"), Some(2)), (Some("a"), Some(0)), (Some("b"), Some(9)), (Some("b"), Some(9))];
    assert_eq!(leading(&mut heads, &rows), [Some(2), Some(0), Some(9), Some(9)], "b lacks a key and passes whole");
    assert_eq!(leading(&mut heads, &[(Some("a"), Some(2)), (Some("c"), Some(9))]), [Some(9)]);
    assert_eq!((heads.heads.len(), heads.bytes), (2, KEY_BYTES_MAX));
}
