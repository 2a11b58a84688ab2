//! Tests of packed batches: what goes in comes back, in few bytes, and damage is an error.

use super::*;
use crate::samples::rows;
use crate::sql_type::SqlType;
use crate::stored::{SchemaPool, encode_batch};
use arrow::array::*;
use arrow::datatypes::{Field, Schema};
use proptest::prelude::*;
use std::sync::Arc;

const ROWS: usize = 3000;

fn batch(columns: Vec<(SqlType, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().enumerate().map(|(at, (sql_type, _))| sql_type.field(&format!("c{at}"), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

fn assert_comes_back(batch: &RecordBatch) {
    let bytes = encode_batch(batch);
    assert!(bytes.0.starts_with(MAGIC));
    let found = SchemaPool::default().decode_batch(&bytes).unwrap();
    assert_eq!(found, *batch);
    assert_eq!(found.schema(), batch.schema());
}

/// Columns of every kind from some numbers, a seventh of them NULL.
fn varied() -> RecordBatch {
    let numbers = || (0..ROWS as i64).map(|row| (row % 7 != 3).then_some(row * 37 - 5000));
    let texts = |of: i64| numbers().map(move |number| number.map(|number| format!("text {}", number % of)));
    let numeric = |array: Decimal128Array| Arc::new(array.with_precision_and_scale(38, 2).unwrap());
    let wide = SqlType::Numeric { precision: 38, scale: 2, declared: true };
    batch(vec![
        (SqlType::Int2, Arc::new(numbers().map(|number| number.map(|number| number as i16)).collect::<Int16Array>())),
        (SqlType::Int4, Arc::new(numbers().map(|number| number.map(|number| number as i32)).collect::<Int32Array>())),
        (SqlType::Int8, Arc::new(numbers().collect::<Int64Array>())),
        (
            SqlType::Int8,
            Arc::new((0..ROWS as i64).map(|row| [i64::MIN, 0, i64::MAX][row as usize % 3]).collect::<Int64Array>()),
        ),
        (SqlType::Int8, Arc::new(Int64Array::from(vec![-7; ROWS]))),
        (SqlType::Int8, Arc::new(Int64Array::new_null(ROWS))),
        (SqlType::Date, Arc::new(numbers().map(|number| number.map(|number| number as i32)).collect::<Date32Array>())),
        (SqlType::Time, Arc::new(numbers().map(|number| number.map(i64::abs)).collect::<Time64MicrosecondArray>())),
        (SqlType::Timestamp, Arc::new(numbers().collect::<TimestampMicrosecondArray>())),
        (SqlType::TimestampTz, Arc::new(numbers().collect::<TimestampMicrosecondArray>().with_timezone("UTC"))),
        (wide.clone(), numeric(numbers().map(|number| number.map(i128::from)).collect())),
        (wide, numeric((0..ROWS as i128).map(|row| Some(row << 70)).collect())),
        (SqlType::Text, Arc::new(texts(5).collect::<StringViewArray>())),
        (SqlType::Text, Arc::new(texts(1_000_000).collect::<StringViewArray>())),
        (
            SqlType::Text,
            Arc::new(
                (0..ROWS)
                    .map(|row| Some(format!("a long text that repeats, {}", row % 300)))
                    .collect::<StringViewArray>(),
            ),
        ),
        (SqlType::Text, Arc::new(StringViewArray::new_null(ROWS))),
        (
            SqlType::Bool,
            Arc::new(numbers().map(|number| number.map(|number| number % 2 == 0)).collect::<BooleanArray>()),
        ),
        (
            SqlType::Float8,
            Arc::new(numbers().map(|number| number.map(|number| number as f64 / 3.0)).collect::<Float64Array>()),
        ),
        (SqlType::Bytea, Arc::new(numbers().map(|number| number.map(i64::to_le_bytes)).collect::<BinaryViewArray>())),
    ])
}

#[test]
fn texts_that_come_and_go_come_back() {
    let texts = (0..ROWS).map(|row| Some(format!("t{}", row * 7 % (MET_VIEWS + 200))));
    let texts: StringViewArray = texts.collect();
    assert_comes_back(&batch(vec![(SqlType::Text, Arc::new(texts))]));
}

#[test]
fn columns_of_every_kind_come_back() {
    let batch = varied();
    assert_comes_back(&batch);
    assert_comes_back(&batch.slice(13, 1500));
    assert_comes_back(&rows(-5, ROWS));
    let few = batch.project(&[2, 12]).unwrap();
    assert_comes_back(&few);
    let again = SchemaPool::default().decode_batch(&encode_batch(&few)).unwrap();
    assert_eq!(encode_batch(&again), encode_batch(&few));
}

#[test]
fn many_rows_are_packed_as_few_are() {
    let few = varied();
    let many = arrow::compute::concat_batches(&few.schema(), &vec![few.clone(); ROWS_FOR_LANES / ROWS + 1]).unwrap();
    assert!(many.num_rows() >= ROWS_FOR_LANES);
    assert_comes_back(&many);
    assert_comes_back(&rows(7, ROWS_FOR_LANES));
}

#[test]
fn few_values_take_few_bytes() {
    let date = Date32Array::from_iter_values((0..ROWS as i32).map(|row| 20_000 + row / 100));
    let region = StringViewArray::from_iter_values((0..ROWS).map(|row| ["EMEA", "APAC", "AMER"][row % 3]));
    let amount = Decimal128Array::from_iter_values((0..ROWS as i128).map(|row| row * 7));
    let amount = amount.with_precision_and_scale(12, 2).unwrap();
    let numeric = SqlType::Numeric { precision: 12, scale: 2, declared: true };
    let batch = batch(vec![
        (SqlType::Date, Arc::new(date)),
        (SqlType::Text, Arc::new(region)),
        (numeric, Arc::new(amount)),
        (SqlType::Int4, Arc::new(Int32Array::from(vec![1; ROWS]))),
    ]);
    let bytes = encode_batch(&batch).0.len();
    assert!(bytes < ROWS * 4 + 2000, "{bytes} bytes for {ROWS} rows of four bytes each");
}

#[test]
fn a_batch_without_packed_columns_is_a_stream() {
    let doubles = (0..ROWS).map(|row| Some(row as f64)).collect::<Float64Array>();
    let batch = batch(vec![(SqlType::Float8, Arc::new(doubles))]);
    let bytes = encode_batch(&batch);
    assert!(!bytes.0.starts_with(MAGIC));
    assert_eq!(SchemaPool::default().decode_batch(&bytes).unwrap(), batch);
}

#[test]
fn damaged_bytes_are_an_error() {
    let Blob(bytes) = encode_batch(&varied());
    for length in (4..bytes.len()).step_by(997) {
        assert!(SchemaPool::default().decode_batch(&Blob(bytes[..length].to_vec())).is_err(), "{length}");
    }
    for place in (4..bytes.len()).step_by(301) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x41;
        // Its checksum would tell; here it must not panic.
        let _ = SchemaPool::default().decode_batch(&Blob(damaged));
    }
}

#[test]
fn so_many_rows_as_no_batch_has_are_an_error() {
    let column = || StoredColumn::Values { valid: None, base: 7, width: 0, values: Blob(Vec::new()) };
    let schema = encode_batch(&batch(vec![(SqlType::Int8, Arc::new(Int64Array::from(vec![7; 100])))]));
    let read = |rows: usize| {
        let stored =
            StoredBatch { rows: rows as u32, schema: schema.clone(), columns: vec![column()], plain: Blob(Vec::new()) };
        SchemaPool::default().decode_batch(&Blob(encode_behind(MAGIC.to_vec(), &stored)))
    };
    assert_eq!(read(5000).unwrap().num_rows(), 5000);
    for rows in [VALUES_MAX + 1, u32::MAX as usize] {
        let error = read(rows).unwrap_err().to_string();
        assert_eq!(error, "could not decode a packed batch of rows: it has too many rows");
    }
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7; 3]));
    assert!(Packed::new(&[Arc::clone(&numbers), numbers], VALUES_MAX / 2 + 1).is_none(), "nor are they written");
}

/// The bytes of every release, but for the schema, which is Arrow's.
#[test]
fn the_bytes_stay_what_they_are() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1000), None, Some(1300)]));
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![20_000; 3]));
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("EMEA"), Some("APAC"), None]));
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0]));
    let columns = [numbers, dates, texts, doubles];
    let packed = Packed::new(&columns, 3).unwrap();
    assert_eq!(packed.plain(), [3]);
    let bytes = packed.into_bytes(Blob(vec![0xaa]), Blob(vec![0xbb]));
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = [
        "4d50414b 03 01aa 04",
        "01 01 01 05 d00f 02 06 0000 0000 2c01",
        "01 00 c0b802 00 00",
        "02 01 01 03 02 04454d4541 0441504143 01 03 000100",
        "00",
        "01bb",
    ];
    assert_eq!(hex, expected.concat().replace(' ', ""));
}

proptest! {
    #[test]
    fn numbers_come_back(numbers in prop::collection::vec(prop::option::of(any::<i64>()), 1024..1100), shift in 0u32..64) {
        let numbers = numbers.into_iter().map(|number| number.map(|number| number >> shift));
        assert_comes_back(&batch(vec![(SqlType::Int8, Arc::new(numbers.collect::<Int64Array>()))]));
    }

    #[test]
    fn texts_come_back(texts in prop::collection::vec(prop::option::of("[a-c]{0,2}|[ab]{13,14}"), 1024..1100)) {
        let array = texts.into_iter().collect::<StringViewArray>();
        let batch = batch(vec![(SqlType::Text, Arc::new(array))]);
        let bytes = encode_batch(&batch);
        prop_assert_eq!(SchemaPool::default().decode_batch(&bytes).unwrap(), batch);
    }
}
