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
