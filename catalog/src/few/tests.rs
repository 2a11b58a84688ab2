//! Tests of few rows: what goes in comes back, in few bytes, and damage is an error.

use super::*;
use crate::definition::{Column, ObjectName, TableDefinition};
use crate::ids::{ColumnId, ObjectId};
use crate::samples::{enum_type, format_block, rows};
use crate::stored::{Blob, SchemaPool, encode_batch};
use arrow::array::*;
use proptest::prelude::*;

/// A batch of a table with these columns.
fn batch(columns: Vec<(SqlType, ArrayRef)>) -> RecordBatch {
    let (types, arrays): (Vec<SqlType>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let columns =
        types.into_iter().zip(1..).map(|(sql_type, id)| Column::new(ColumnId(id), format!("c{id}"), sql_type));
    let definition = TableDefinition::new(ObjectId(16384), ObjectName::new("public", "t"), columns.collect());
    RecordBatch::try_new(definition.schema(), arrays).unwrap()
}

fn assert_comes_back(batch: &RecordBatch) {
    let bytes = encode_batch(batch);
    assert!(bytes.0.starts_with(MAGIC));
    let found = SchemaPool::default().decode_batch(&bytes).unwrap();
    assert_eq!((found.schema(), &found), (batch.schema(), batch));
}

/// Columns of every kind, a third of them NULL.
fn varied(count: usize) -> RecordBatch {
    let numbers = || (0..count as i64).map(|row| (row % 3 != 1).then_some(row * 37 - 50));
    let texts = || numbers().map(|number| number.map(|number| format!("text {}", number.pow(3))));
    let decimals: Decimal128Array = numbers().map(|number| number.map(|number| i128::from(number) << 70)).collect();
    let identities = numbers().map(|number| number.map(|number| i128::from(number).to_le_bytes()));
    let identities = FixedSizeBinaryArray::try_from_sparse_iter_with_size(identities, 16).unwrap();
    let mood = enum_type(16400, "mood").sql_type();
    let DataType::Timestamp(_, Some(labels)) = mood.data_type() else { panic!("an enum is a timestamp") };
    batch(vec![
        (SqlType::Bool, Arc::new(numbers().map(|number| number.map(|number| number > 0)).collect::<BooleanArray>())),
        (SqlType::Int2, Arc::new(numbers().map(|number| number.map(|number| number as i16)).collect::<Int16Array>())),
        (SqlType::Int4, Arc::new(numbers().map(|number| number.map(|number| number as i32)).collect::<Int32Array>())),
        (SqlType::Int8, Arc::new(numbers().map(|number| number.map(|number| number << 40)).collect::<Int64Array>())),
        (
            SqlType::Float4,
            Arc::new(numbers().map(|number| number.map(|number| number as f32 / 3.0)).collect::<Float32Array>()),
        ),
        (
            SqlType::Float8,
            Arc::new(numbers().map(|number| number.map(|number| -0.0 * number as f64)).collect::<Float64Array>()),
        ),
        (SqlType::Date, Arc::new(numbers().map(|number| number.map(|number| number as i32)).collect::<Date32Array>())),
        (SqlType::Time, Arc::new(numbers().map(|number| number.map(i64::abs)).collect::<Time64MicrosecondArray>())),
        (SqlType::Timestamp, Arc::new(numbers().collect::<TimestampMicrosecondArray>())),
        (SqlType::TimestampTz, Arc::new(numbers().collect::<TimestampMicrosecondArray>().with_timezone("UTC"))),
        (mood, Arc::new(numbers().collect::<TimestampMicrosecondArray>().with_timezone(labels))),
        (
            SqlType::Numeric { precision: 38, scale: 2, declared: true },
            Arc::new(decimals.with_precision_and_scale(38, 2).unwrap()),
        ),
        (SqlType::Uuid, Arc::new(identities)),
        (SqlType::Text, Arc::new(texts().collect::<StringViewArray>())),
        (SqlType::Varchar { length_max: Some(40) }, Arc::new(StringViewArray::from(vec![""; count]))),
        (SqlType::Bytea, Arc::new(numbers().map(|number| number.map(i64::to_le_bytes)).collect::<BinaryViewArray>())),
        (SqlType::Jsonb, Arc::new(texts().collect::<LargeStringArray>())),
        (SqlType::Json, Arc::new(texts().collect::<LargeBinaryArray>())),
    ])
}

#[test]
fn columns_of_every_kind_come_back() {
    for count in [1, 2, 5, ROWS_MAX] {
        assert_comes_back(&varied(count));
        assert_comes_back(&rows(-5, count));
    }
    assert_comes_back(&varied(ROWS_MAX).slice(13, 20));
    assert_comes_back(&varied(3).slice(1, 0));
}

#[test]
fn a_row_takes_about_as_much_as_its_values_and_names() {
    let numeric = SqlType::Numeric { precision: 12, scale: 2, declared: true };
    let amounts = Decimal128Array::from(vec![1250]).with_precision_and_scale(12, 2).unwrap();
    let batch = batch(vec![
        (SqlType::Int8, Arc::new(Int64Array::from(vec![7]))),
        (SqlType::Date, Arc::new(Date32Array::from(vec![20_000]))),
        (SqlType::Text, Arc::new(StringViewArray::from(vec!["United Kingdom"]))),
        (numeric, Arc::new(amounts)),
    ]);
    let bytes = encode_batch(&batch);
    assert!(bytes.0.len() < 80, "{} bytes", bytes.0.len());
    let held = SchemaPool::default().decode_batch(&bytes).unwrap().get_array_memory_size();
    assert!(held < 1_000, "{held} bytes of memory");
}

#[test]
fn what_arrow_alone_can_say_is_left_to_it() {
    let many = rows(0, ROWS_MAX + 1);
    let arrays = Int32Array::from(vec![1]);
    let lists = ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>([Some([Some(1)])]);
    let list = SqlType::Array(Box::new(SqlType::Int4)).field("c", true);
    let DataType::List(_) = list.data_type() else { panic!("an array is a list") };
    let lists = arrow::compute::cast(&lists, list.data_type()).unwrap();
    let untyped = Schema::new(vec![Field::new("c", DataType::Int32, true)]);
    for batch in [
        many,
        RecordBatch::try_new(Arc::new(Schema::new(vec![list])), vec![lists]).unwrap(),
        RecordBatch::try_new(Arc::new(untyped), vec![Arc::new(arrays)]).unwrap(),
    ] {
        let bytes = encode_batch(&batch);
        assert!(!bytes.0.starts_with(MAGIC));
        assert_eq!(SchemaPool::default().decode_batch(&bytes).unwrap(), batch);
    }
}

#[test]
fn batches_of_one_table_share_their_schema_after_reading() {
    let mut pool = SchemaPool::default();
    let mut read = |batch: RecordBatch| pool.decode_batch(&encode_batch(&batch)).unwrap().schema();
    let first = read(rows(0, 1));
    assert!(Arc::ptr_eq(&first, &read(rows(3, 2))) && Arc::ptr_eq(&first, &read(rows(0, 2000))));
}

#[test]
fn damaged_bytes_are_an_error() {
    let Blob(bytes) = encode_batch(&varied(4));
    for length in MAGIC.len()..bytes.len() {
        assert!(SchemaPool::default().decode_batch(&Blob(bytes[..length].to_vec())).is_err(), "cut at {length}");
    }
    assert!(SchemaPool::default().decode_batch(&Blob([bytes.as_slice(), &[0]].concat())).is_err());
    for place in MAGIC.len()..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x41;
        // Its checksum would tell; here it must not panic.
        let _ = SchemaPool::default().decode_batch(&Blob(damaged));
    }
}

/// The bytes of every release, as `FORMAT.md` has them.
#[test]
fn the_bytes_stay_what_they_are() {
    let batch = batch(vec![
        (SqlType::Int8, Arc::new(Int64Array::from(vec![Some(-2), None]))),
        (SqlType::Text, Arc::new(StringViewArray::from(vec![None, Some("EMEA")]))),
        (SqlType::Bool, Arc::new(BooleanArray::from(vec![true, false]))),
    ]);
    let page = format_block("hex", "few");
    assert_eq!(encode_batch(&batch).0, page);
    assert_eq!(SchemaPool::default().decode_batch(&Blob(page)).unwrap(), batch);
}

#[test]
fn types_that_are_nested_without_end_are_an_error() {
    let nested = |arrays: usize, rows: u8| {
        let (array, integer) = (21, 2);
        let schema = [[1, 1, b'c', 1].as_slice(), &vec![array; arrays], &[integer, 1, 0, 0]].concat();
        Blob([MAGIC.as_slice(), &[rows], &encode(&schema.len()), &schema, &[0]].concat())
    };
    let deep = |arrays| SchemaPool::default().decode_batch(&nested(arrays, 0)).unwrap_err().to_string();
    assert!(deep(128).starts_with("could not decode few rows: values of type List"), "the schema is read");
    for arrays in [129, 1_000_000] {
        assert!(deep(arrays).starts_with("could not decode the schema of few rows"), "{arrays}");
    }
    // The next ones are read as if nothing had been.
    assert!(deep(128).starts_with("could not decode few rows: values of type List"));
    assert_eq!(SqlType::parse(&format!("integer{}", "[]".repeat(1_000_000))), None);
    let array =
        SqlType::Array(Box::new(SqlType::Array(Box::new(SqlType::Numeric { precision: 5, scale: 1, declared: true }))));
    assert_eq!(SqlType::parse("numeric(5,1)[][]"), Some(array));
}

proptest! {
    #[test]
    fn numbers_and_texts_come_back(
        numbers in prop::collection::vec(prop::option::of(any::<i64>()), 1..ROWS_MAX),
        shift in 0u32..64,
        text in "[a-cä]{0,20}",
    ) {
        let numbers: Vec<Option<i64>> = numbers.into_iter().map(|number| number.map(|number| number >> shift)).collect();
        let texts = numbers.iter().map(|number| number.map(|number| text.repeat(number as usize % 3)));
        let texts: StringViewArray = texts.collect();
        let batch = batch(vec![
            (SqlType::Int8, Arc::new(Int64Array::from(numbers))),
            (SqlType::Text, Arc::new(texts)),
        ]);
        assert_comes_back(&batch);
    }
}
