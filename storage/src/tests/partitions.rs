//! Which partition a row belongs to, and where its segments lie.

use super::{Sale, item, naive_key, sale, sales, sales_batch, sales_rows, table};
use crate::partition::{Ordinals, Partitioner, partition_directory};
use arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int32Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use catalog::definition::Transform;
use catalog::segment::{Datum, PartitionKey};
use catalog::sql_type::SqlType;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_batch_splits_as_row_by_row(batches in vec(vec(sale(), 0..60), 1..4)) {
        let mut partitioner = Partitioner::new(&sales());
        for rows in batches {
            let mut naive: Vec<(PartitionKey, Vec<Sale>)> = Vec::new();
            for row in &rows {
                let key = naive_key(row);
                match naive.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, rows)) => rows.push(row.clone()),
                    None => naive.push((key, vec![row.clone()])),
                }
            }
            let split = partitioner.split(&sales_batch(&rows)).unwrap();
            prop_assert_eq!(split.len(), naive.len());
            for (key, batch) in split {
                let (_, expected) = naive.iter().find(|(known, _)| *known == key).unwrap();
                prop_assert_eq!(&sales_rows(&batch), expected);
            }
        }
    }
}

#[test]
fn many_texts_of_any_length_partition() {
    let mut definition = table(&[("name", SqlType::Text), ("group", SqlType::Int4)]);
    definition.partition_by = vec![item(1, Transform::Identity), item(2, Transform::Identity)];
    let texts: Vec<Option<String>> = (0..2000u32)
        .map(|row| match row * row % 31 {
            0 => None,
            number if number % 3 == 0 => Some(format!("a text that does not lie in its view {}", number / 2)),
            number => Some("x".repeat(number as usize % 14)),
        })
        .collect();
    let groups: Vec<i32> = (0..2000).map(|row| (row * row + row) % 97).collect();
    let names = StringViewArray::from_iter(texts.iter().map(Option::as_deref));
    let columns: Vec<ArrayRef> = vec![Arc::new(names), Arc::new(Int32Array::from(groups.clone()))];
    let batch = RecordBatch::try_new(definition.schema(), columns).unwrap();
    let mut partitioner = Partitioner::new(&definition);
    // Behind the first half all values are known.
    for start in [0, 1000] {
        let Ordinals::Each(ordinals) = partitioner.ordinals(&batch.slice(start, 1000)).unwrap() else {
            panic!("there are many partitions");
        };
        for (row, ordinal) in (start..).zip(ordinals) {
            let text = texts[row].clone().map_or(Datum::Null, Datum::Text);
            assert_eq!(partitioner.keys()[ordinal as usize].0, [text, Datum::Int(groups[row].into())], "row {row}");
        }
    }
}

#[test]
fn calendar_transforms_name_their_period() {
    let mut definition = table(&[("at", SqlType::TimestampTz), ("day", SqlType::Date)]);
    definition.partition_by = [Transform::Day, Transform::Month, Transform::Quarter, Transform::Year]
        .map(|transform| item(1, transform))
        .into_iter()
        .chain([item(2, Transform::Day)])
        .collect();
    let micros = vec![Some(-1), Some(1_709_164_800_000_000), None];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")),
        Arc::new(Date32Array::from(vec![Some(0), Some(-719_528), None])),
    ];
    let batch = RecordBatch::try_new(definition.schema(), columns).unwrap();
    let split = Partitioner::new(&definition).split(&batch).unwrap();
    let keys: Vec<String> = split.iter().map(|(key, _)| key.to_string()).collect();
    let nulls = "(__null__, __null__, __null__, __null__, __null__)";
    assert_eq!(
        keys,
        ["(1969-12-31, 1969-12, 1969-Q4, 1969, 1970-01-01)", "(2024-02-29, 2024-02, 2024-Q1, 2024, 0000-01-01)", nulls,]
    );
}

#[test]
fn floats_that_sql_calls_equal_share_a_partition() {
    let mut definition = table(&[("rate", SqlType::Float8)]);
    definition.partition_by = vec![item(1, Transform::Identity)];
    let values = Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]);
    let batch = RecordBatch::try_new(definition.schema(), vec![Arc::new(values)]).unwrap();
    assert_eq!(Partitioner::new(&definition).split(&batch).unwrap().len(), 2);
}

#[test]
fn a_directory_belongs_to_one_key() {
    let directory_of =
        |value: Datum| partition_directory(&sales(), &PartitionKey(vec![value, Datum::Text("2025-03".into())]));
    let text = |text: &str| directory_of(Datum::Text(text.to_string()));
    assert_eq!(text("EMEA"), "segments/16384/region=EMEA/sale_date_month=2025-03");
    assert_eq!(text("../a b%ä"), "segments/16384/region=..%2Fa%20b%25%C3%A4/sale_date_month=2025-03");
    assert_eq!(directory_of(Datum::Null), "segments/16384/region=__null__/sale_date_month=2025-03");
    assert_eq!(text(""), "segments/16384/region=__empty__/sale_date_month=2025-03");
    assert_eq!(text("__null__"), "segments/16384/region=%5F_null__/sale_date_month=2025-03");
    let (long, longer) = (text(&"a/".repeat(200)), text(&"a/".repeat(201)));
    assert_ne!(long, longer);
    assert!(long.split('/').all(|part| part.len() <= 255));
}
