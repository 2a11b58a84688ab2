//! Tests of rows of older definitions in the columns of newer ones.

use super::*;
use crate::missing::MissingValue;
use crate::samples::{rows, table};
use crate::sql_type::SqlType;
use arrow::array::{Array, AsArray, Decimal256Array, Float64Array, Int32Array, ListArray};
use arrow::datatypes::{DataType, Int32Type, i256};

/// `sales` with region renamed, sold_on dropped, and tax and note added.
fn altered() -> TableDefinition {
    let mut definition = TableDefinition::clone(&table(16384, "sales"));
    definition.columns[1].name = "zone".to_string();
    let dropped = definition.columns.remove(2);
    definition.last_dropped = Some(dropped.id);
    let mut tax = Column::new(definition.next_column(), "tax", SqlType::Int4);
    tax.not_null = true;
    tax.missing = MissingValue::new(Arc::new(Int32Array::from(vec![19])));
    definition.columns.push(tax);
    // The name of the dropped column is free again, its id is not.
    definition.columns.push(Column::new(definition.next_column(), "sold_on", SqlType::Text));
    definition
}

#[test]
fn columns_are_found_by_their_ids() {
    let definition = altered();
    assert_eq!(definition.columns.iter().map(|column| column.id.0).collect::<Vec<_>>(), [1, 2, 4, 5]);
    let written = rows(0, 5);
    let fitted = definition.fitted(&definition.schema(), &written).unwrap();
    assert_eq!(fitted.schema(), definition.schema());
    assert_eq!(fitted.column(0), written.column(0));
    assert_eq!(fitted.column(1), written.column(1));
    assert_eq!(fitted.column(2).as_primitive::<Int32Type>().values().as_ref(), [19; 5]);
    assert_eq!(fitted.column(3).data_type(), &DataType::Utf8View);
    assert_eq!(fitted.column(3).null_count(), 5);
}

#[test]
fn dead_nulls_do_not_hinder_a_column_that_became_not_null() {
    let mut definition = TableDefinition::clone(&table(16384, "sales"));
    definition.columns[1].not_null = true;
    assert!(definition.fitted(&definition.schema(), &rows(0, 5)).is_err());
    definition.columns[1].nulls_before = true;
    assert!(definition.fitted(&definition.schema(), &rows(0, 5)).is_ok());
}

#[test]
fn a_missing_value_of_any_type_comes_back_as_it_was() {
    let wide = Decimal256Array::from(vec![i256::from_i128(7)]).with_precision_and_scale(60, 2).unwrap();
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])]);
    let values: [ArrayRef; 3] = [Arc::new(Float64Array::from(vec![f64::INFINITY])), Arc::new(wide), Arc::new(list)];
    for array in values {
        let value = MissingValue::new(array).unwrap();
        let stored = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<MissingValue>(&stored).unwrap(), value);
        assert_eq!(value.repeated(3).len(), 3);
        assert!(serde_json::from_str::<MissingValue>(&stored[..stored.len() / 2]).is_err());
        assert!(serde_json::from_str::<MissingValue>("\"0g\"").is_err());
    }
    assert_eq!(MissingValue::new(new_null_array(&DataType::Int32, 1)), None);
}
