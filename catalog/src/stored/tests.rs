//! Tests of the stored forms: what goes in comes back, and the bytes are those of every release.

use super::*;
use crate::definition::{
    BoundExpression, Column, IndexItem, Indexed, Key, ObjectName, PartitionColumn, PlainIndex, Transform,
};
use crate::ids::ColumnId;
use crate::missing::MissingValue;
use crate::samples::{dead, domain, enum_type, format_block, load, load_into, rows, segment, sequence, table, view};
use crate::segment::{ColumnStatistics, Datum, PartitionKey};
use crate::sequence::SequenceOwner;
use crate::sql_type::{RegType, SqlType};
use crate::user_type::TypeDefinition;
use arrow::array::*;
use arrow::datatypes::{Field, Schema, i256};
use std::collections::HashMap;

fn assert_comes_back(batch: &RecordBatch) {
    let found = SchemaPool::default().decode_batch(&encode_batch(batch)).unwrap();
    assert_eq!(found, *batch);
    assert_eq!(found.schema(), batch.schema());
}

#[test]
fn batches_of_every_type_come_back_as_they_were() {
    let types: Vec<(SqlType, ArrayRef)> = vec![
        (SqlType::Bool, Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        (SqlType::Int2, Arc::new(Int16Array::from(vec![Some(-1), None, Some(3)]))),
        (SqlType::Int4, Arc::new(Int32Array::from(vec![1, 2, 3]))),
        (SqlType::Int8, Arc::new(Int64Array::from(vec![i64::MIN, 0, i64::MAX]))),
        (SqlType::Float4, Arc::new(Float32Array::from(vec![f32::NAN.abs(), -0.0, 1.5]))),
        (SqlType::Float8, Arc::new(Float64Array::from(vec![Some(f64::INFINITY), None, Some(-0.0)]))),
        (
            SqlType::Numeric { precision: 12, scale: 2, declared: true },
            Arc::new(Decimal128Array::from(vec![Some(1), None, Some(-9)]).with_precision_and_scale(12, 2).unwrap()),
        ),
        (
            SqlType::Numeric { precision: 60, scale: 5, declared: true },
            Arc::new(
                Decimal256Array::from(vec![Some(i256::MINUS_ONE), None, Some(i256::ONE)])
                    .with_precision_and_scale(60, 5)
                    .unwrap(),
            ),
        ),
        (SqlType::Text, Arc::new(StringViewArray::from(vec![Some("short"), None, Some("longer than twelve bytes")]))),
        (SqlType::Varchar { length_max: Some(7) }, Arc::new(StringViewArray::from(vec!["", "é", "seven"]))),
        (SqlType::Bytea, Arc::new(BinaryViewArray::from(vec![Some(&b"\xff\x00"[..]), None, Some(&[7; 40][..])]))),
        (SqlType::Json, Arc::new(LargeBinaryArray::from(vec![Some(&b"[1, 2 ]"[..]), None, Some(&b"{}"[..])]))),
        (SqlType::Jsonb, Arc::new(LargeStringArray::from(vec![Some("[1, 2]"), None, Some("{}")]))),
        (SqlType::Date, Arc::new(Date32Array::from(vec![-1, 0, 20_000]))),
        (SqlType::Time, Arc::new(Time64MicrosecondArray::from(vec![0, 1, 86_399_999_999]))),
        (SqlType::Timestamp, Arc::new(TimestampMicrosecondArray::from(vec![Some(-5), None, Some(5)]))),
        (SqlType::TimestampTz, Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3]).with_timezone("UTC"))),
        (SqlType::Uuid, {
            let values = vec![Some([1u8; 16]), None, Some([2; 16])].into_iter();
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, 16).unwrap())
        }),
    ];
    let fields: Vec<Field> =
        types.iter().enumerate().map(|(at, (sql_type, _))| sql_type.field(&format!("c{at}"), true)).collect();
    let metadata = HashMap::from([("b".to_string(), "2".to_string()), ("a".to_string(), "1".to_string())]);
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let batch = RecordBatch::try_new(schema, types.into_iter().map(|(_, array)| array).collect()).unwrap();
    assert_comes_back(&batch);
    assert_comes_back(&batch.slice(1, 2));
    assert_comes_back(&batch.slice(0, 0));
    let again = SchemaPool::default().decode_batch(&encode_batch(&batch)).unwrap();
    assert_eq!(encode_batch(&batch), encode_batch(&again), "the bytes do not depend on the order of metadata");
}

#[test]
fn a_batch_without_columns_keeps_its_rows() {
    let options = RecordBatchOptions::new().with_row_count(Some(4));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    assert_eq!(SchemaPool::default().decode_batch(&encode_batch(&batch)).unwrap().num_rows(), 4);
}

#[test]
fn a_slice_lets_go_of_the_text_that_it_does_not_show() {
    let batch = rows(0, 1000);
    let one = encode_batch(&batch.slice(500, 1));
    assert!(one.0.len() < 2000, "{} bytes for one row of a thousand", one.0.len());
    assert_comes_back(&batch.slice(500, 1));
}

#[test]
fn batches_of_one_table_share_their_schema() {
    let mut pool = SchemaPool::default();
    let first = pool.decode_batch(&encode_batch(&rows(0, 1))).unwrap();
    let second = pool.decode_batch(&encode_batch(&rows(5, 3))).unwrap();
    assert!(Arc::ptr_eq(&first.schema(), &second.schema()));
}

/// One of everything, batches aside: their bytes are Arrow's.
fn all_ops() -> Vec<Op> {
    let all_types = vec![
        SqlType::Bool,
        SqlType::Int2,
        SqlType::Int4,
        SqlType::Int8,
        SqlType::Float4,
        SqlType::Float8,
        SqlType::Numeric { precision: 12, scale: 2, declared: true },
        SqlType::Text,
        SqlType::Varchar { length_max: Some(300) },
        SqlType::Date,
        SqlType::Time,
        SqlType::Timestamp,
        SqlType::TimestampTz,
        SqlType::Interval,
        SqlType::Uuid,
        SqlType::Bytea,
        SqlType::Name,
        SqlType::Char,
        SqlType::Oid,
        SqlType::Reg(RegType::Class),
        SqlType::Reg(RegType::Type),
        SqlType::Reg(RegType::Proc),
        SqlType::Reg(RegType::Namespace),
        SqlType::Json,
        SqlType::Array(Box::new(SqlType::Varchar { length_max: None })),
    ];
    let column = |(at, sql_type): (usize, SqlType)| Column {
        not_null: at == 0,
        default: (at == 2).then(|| "1".to_string()),
        ..Column::new(ColumnId(at as i32), format!("c{at}"), sql_type)
    };
    let columns: Vec<Column> = all_types.into_iter().enumerate().map(column).collect();
    let transforms = [Transform::Identity, Transform::Day, Transform::Month, Transform::Quarter, Transform::Year];
    let definition = TableDefinition {
        partition_by: transforms.map(|transform| PartitionColumn { column: ColumnId(9), transform }).to_vec(),
        order_by: vec![ColumnId(9), ColumnId(0)],
        version: 3,
        state_of: Some(ObjectId(16400)),
        ..TableDefinition::new(ObjectId(16384), ObjectName::new("public", "sales"), columns)
    };
    let data = vec![
        Datum::Null,
        Datum::Bool(true),
        Datum::Int(-3),
        Datum::Decimal(1 << 100),
        Datum::Float(0.5),
        Datum::Text("EMEA".to_string()),
        Datum::Bytes(vec![1, 255]),
    ];
    let bounds = Some((Datum::Int(1), Datum::Int(300)));
    let meta = SegmentMeta {
        partition: PartitionKey(data),
        statistics: vec![
            ColumnStatistics { column: ColumnId(1), null_count: 300, bounds },
            ColumnStatistics { column: ColumnId(2), null_count: 0, bounds: None },
        ],
        ..(*segment(1 << 90)).clone()
    };
    let (table, view_id) = (ObjectId(16384), ObjectId(16500));
    vec![
        Op::CreateSchema { id: ObjectId(17000), name: "extra".to_string() },
        Op::DropSchema { name: "extra".to_string() },
        Op::CreateTable(Arc::new(definition)),
        Op::DropTable(table),
        Op::CreateView(view(16500, "daily", &[table])),
        Op::AlterView(Arc::new(ViewDefinition { state: None, populated: false, ..(*view(16500, "d", &[])).clone() })),
        Op::DropView(view_id),
        Op::AddSegments { table, segments: vec![Arc::new(meta)] },
        Op::Delete {
            table,
            segments: vec![(SegmentId(1), dead([0, 7, 70_000]))],
            recent: vec![(RecentId(1 << 40), dead(0..300))],
        },
        Op::Truncate { table },
        Op::Rewrite {
            table,
            remove_segments: vec![(SegmentId(2), 3)],
            remove_recent: vec![(RecentId(4), 0)],
            add: vec![segment(5)],
        },
        Op::Fold {
            view: view_id,
            from: None,
            to: CommitSeq(7),
            replace: true,
            segments: vec![segment(6)],
            recent: vec![],
        },
        Op::Fold {
            view: view_id,
            from: Some(CommitSeq(7)),
            to: CommitSeq(1000),
            replace: false,
            segments: vec![],
            recent: vec![],
        },
        Op::DropState { view: view_id },
    ]
}

#[test]
fn every_operation_comes_back() {
    let ops = all_ops();
    let found = decode_ops(&encode_ops(&ops), &mut SchemaPool::default()).unwrap();
    assert_eq!(format!("{found:?}"), format!("{ops:?}"));
}

#[test]
fn parts_of_many_rows_are_the_bytes_of_the_list() {
    let added = |id: u64| {
        let batch = rows(id as i64, ROWS_FOR_LANES / 2);
        Op::AddRecent { table: ObjectId(16384), id: RecentId(id), batch }
    };
    let ops = [added(1), Op::DropState { view: ObjectId(9) }, added(2)];
    let parts = encode_in_parts(&ops);
    assert_eq!(parts.len(), 1 + ops.len(), "encoded by several threads");
    let stored: Vec<StoredOp<'_>> = ops.iter().map(store_op).collect();
    assert_eq!(parts.concat(), encode_behind(Vec::new(), &stored));
}

#[test]
fn operations_on_sequences_come_back() {
    let value = SequenceValue { last: -7, called: true };
    let owner = Some(SequenceOwner { table: ObjectId(16384), column: ColumnId(2) });
    let owned = SequenceDefinition { owner, cycle: true, version: 2, ..(*sequence(17000, "s")).clone() };
    let ops = [
        Op::CreateSequence(sequence(17000, "s")),
        Op::AlterSequence { definition: Arc::new(owned), value: Some(value) },
        Op::SetSequence { sequence: ObjectId(17000), version: 2, value },
        Op::DropSequence(ObjectId(17000)),
    ];
    let found = decode_ops(&encode_ops(&ops), &mut SchemaPool::default()).unwrap();
    assert_eq!(format!("{found:?}"), format!("{ops:?}"));
}

#[test]
fn operations_of_altered_tables_come_back() {
    let mut definition = TableDefinition { version: 4, rows_fit_from: 3, ..(*table(16384, "sales")).clone() };
    definition.last_dropped = Some(ColumnId(7));
    definition.columns[1].nulls_before = true;
    definition.columns[1].missing = MissingValue::new(Arc::new(StringViewArray::from(vec!["EMEA"])));
    let relation = ObjectId(16384);
    let expectations = [
        Expectation::RowsFit(3),
        Expectation::Version(300),
        Expectation::Dependents(vec![ObjectId(16500)]),
        Expectation::Unchanged(CommitSeq(9)),
    ];
    let mut ops = vec![Op::AlterTable(Arc::new(definition))];
    ops.extend(expectations.map(|that| Op::Expect { relation, that }));
    let found = decode_ops(&encode_ops(&ops), &mut SchemaPool::default()).unwrap();
    assert_eq!(format!("{found:?}"), format!("{ops:?}"));
}

/// The bytes of what was added to version 2 after its first release.
#[test]
fn the_bytes_of_altering_operations_stay() {
    let definition = TableDefinition { version: 2, columns: Vec::new(), ..(*table(16384, "sales")).clone() };
    let relation = ObjectId(16384);
    let ops = [
        Op::AlterTable(Arc::new(definition)),
        Op::Expect { relation, that: Expectation::RowsFit(3) },
        Op::Expect { relation, that: Expectation::Version(300) },
        Op::Expect { relation, that: Expectation::Dependents(vec![ObjectId(16500)]) },
        Op::Expect { relation, that: Expectation::Unchanged(CommitSeq(9)) },
    ];
    let hex: String = encode_ops(&ops).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("version_2_altered.hex").replace(['\n', '\r'], ""));
}

#[test]
fn operations_on_types_come_back_and_their_bytes_stay() {
    let known = enum_type(16400, "mood");
    let sql_type = known.sql_type();
    let column = Column { digits: Some(3), ..Column::new(ColumnId(1), "m", sql_type.clone()) };
    let list = Column::new(ColumnId(2), "ms", SqlType::Array(Box::new(sql_type)));
    let definition = TableDefinition::new(ObjectId(16500), ObjectName::new("public", "t"), vec![column, list]);
    let ops = [
        Op::CreateType(Arc::clone(&known)),
        Op::CreateTable(Arc::new(definition)),
        Op::AlterType(Arc::new(TypeDefinition { version: 2, ..(*known).clone() })),
        Op::DropType(ObjectId(16400)),
    ];
    let bytes = encode_ops(&ops);
    let found = decode_ops(&bytes, &mut SchemaPool::default()).unwrap();
    assert_eq!(format!("{found:?}"), format!("{ops:?}"));
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("version_2_types.hex").replace(['\n', '\r'], ""));
}

#[test]
fn operations_on_domains_come_back_and_their_bytes_stay() {
    let base = domain(16400, "positive", &enum_type(16390, "mood"));
    let above = domain(16410, "small", &base);
    let column = Column { domain: above.domain_use(), ..Column::new(ColumnId(1), "n", above.sql_type()) };
    let definition = TableDefinition::new(ObjectId(16500), ObjectName::new("public", "t"), vec![column]);
    let ops = [Op::CreateType(base), Op::CreateType(above), Op::CreateTable(Arc::new(definition))];
    let bytes = encode_ops(&ops);
    let found = decode_ops(&bytes, &mut SchemaPool::default()).unwrap();
    assert_eq!(format!("{found:?}"), format!("{ops:?}"));
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("version_2_domains.hex").replace(['\n', '\r'], ""));
}

#[test]
fn operations_with_rows_come_back() {
    let (view, to) = (ObjectId(16500), CommitSeq(7));
    let recent = vec![(RecentId(10), rows(7, 1))];
    let ops = [
        Op::AddRecent { table: ObjectId(16384), id: RecentId(9), batch: rows(0, 3) },
        Op::Fold { view, from: None, to, replace: false, segments: vec![], recent },
    ];
    let found = decode_ops(&encode_ops(&ops), &mut SchemaPool::default()).unwrap();
    let [Op::AddRecent { batch, .. }, Op::Fold { recent, .. }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((batch, &recent[0]), (&rows(0, 3), &(RecentId(10), rows(7, 1))));
    assert_eq!(encode_ops(&found), encode_ops(&ops));
}

#[test]
fn loads_come_back() {
    let ops = [load(2, 3), load(3, 4)];
    let found = decode_ops(&encode_ops(&ops), &mut SchemaPool::default()).unwrap();
    assert_eq!(format!("{found:?}"), format!("{ops:?}"));
}

/// What version 3 has more than version 2 began with: few rows, loads that know their table, labels that are forgotten.
#[test]
fn the_bytes_of_version_3_stay() {
    let table = ObjectId(16384);
    let ops = [
        Op::AddRecent { table, id: RecentId(9), batch: rows(0, 3) },
        load_into(table, 2, 3),
        Op::ForgetLoads { table, label: Some("load 2".to_string()) },
    ];
    let bytes = encode_ops(&ops);
    let found = decode_ops(&bytes, &mut SchemaPool::default()).unwrap();
    assert!(matches!(&found[0], Op::AddRecent { id: RecentId(9), batch, .. } if *batch == rows(0, 3)));
    assert_eq!(format!("{:?}", &found[1..]), format!("{:?}", &ops[1..]));
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("version_3.hex").replace(['\n', '\r'], ""));
}

#[test]
fn the_document_has_the_bytes_of_forgotten_labels() {
    let table = ObjectId(16384);
    let ops = [Op::ForgetLoads { table, label: Some("march".to_string()) }, Op::ForgetLoads { table, label: None }];
    let page = format_block("hex", "forget-loads");
    assert_eq!(encode_ops(&ops), page);
    let found = decode_ops(&page, &mut SchemaPool::default()).unwrap();
    assert_eq!(format!("{found:?}"), format!("{ops:?}"));
}

/// When this fails, a type that derives its stored form has changed its shape. Servers in the field have logs in the old
/// one: give the log and the checkpoints a new version, or keep the shape.
#[test]
fn the_bytes_of_a_commit_are_those_of_version_2() {
    let hex: String = encode_ops(&all_ops()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("version_2.hex").replace(['\n', '\r'], ""));
}

#[test]
fn commits_of_version_1_are_read() {
    let digits = include_str!("version_1.hex").replace(['\n', '\r'], "");
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let bytes: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    let found = decode_ops(&bytes, &mut SchemaPool::default()).unwrap();
    assert_eq!(format!("{found:?}"), format!("{:?}", all_ops()));
}

#[test]
fn keys_are_in_the_document_of_a_table_that_has_some() {
    let plain = table(16384, "sales");
    assert!(!serde_json::to_string(&*plain).unwrap().contains("keys"));
    let key = Key {
        id: ObjectId(16385),
        name: "sales_pkey".to_string(),
        columns: vec![ColumnId(1)],
        primary: true,
        index: false,
    };
    let keyed = TableDefinition { keys: vec![key], ..(*plain).clone() };
    let bytes = encode_ops(&[Op::CreateTable(Arc::new(keyed.clone()))]);
    let found = decode_ops(&bytes, &mut SchemaPool::default()).unwrap();
    assert!(matches!(found.as_slice(), [Op::CreateTable(found)] if **found == keyed));
}

#[test]
fn plain_indexes_are_in_the_document_of_a_table_that_has_some() {
    let plain = table(16384, "sales");
    assert!(!serde_json::to_string(&*plain).unwrap().contains("index"));
    let expression = |text: &str| BoundExpression { text: text.to_string(), time_zone: "UTC".to_string() };
    let item = |of| IndexItem { of, class: None, descending: false, nulls_first: false };
    let index = PlainIndex {
        id: ObjectId(16385),
        name: "sales_idx".to_string(),
        method: "btree".to_string(),
        items: vec![
            IndexItem { descending: true, nulls_first: true, ..item(Indexed::Column(ColumnId(1))) },
            IndexItem {
                class: Some("text_pattern_ops".to_string()),
                ..item(Indexed::Expression(expression("lower(a)")))
            },
        ],
        included: vec![ColumnId(2)],
        predicate: Some(expression("a > 1")),
    };
    let indexed = TableDefinition { plain_indexes: vec![index], ..(*plain).clone() };
    let bytes = encode_ops(&[Op::CreateTable(Arc::new(indexed.clone()))]);
    let found = decode_ops(&bytes, &mut SchemaPool::default()).unwrap();
    assert!(matches!(found.as_slice(), [Op::CreateTable(found)] if **found == indexed));
}

#[test]
fn a_definition_with_a_field_that_nobody_knows_is_refused() {
    let mut document = serde_json::to_value(&*table(16384, "sales")).unwrap();
    document["rule"] = "rows are blue".into();
    let bytes = serde_json::to_vec(&document).unwrap();
    let refused = decode::<Document<'_, TableDefinition>>("a table", &encode(&Blob(bytes)));
    assert!(refused.is_err_and(|error| error.to_string().contains("could not decode a table")));
}

#[test]
fn bytes_that_are_cut_or_too_many_are_refused() {
    let bytes = encode_ops(&[Op::CreateTable(table(16384, "sales"))]);
    let mut pool = SchemaPool::default();
    for length in 0..bytes.len() {
        assert!(decode_ops(&bytes[..length], &mut pool).is_err(), "cut at {length}");
    }
    assert!(decode_ops(&[bytes.as_slice(), &[0]].concat(), &mut pool).is_err());
}
