//! Tests of what filters say of partition columns, and of what is kept of many reads.

use super::*;
use catalog::definition::{Column, ObjectName, PartitionColumn, Transform};
use datafusion::prelude::{Expr, col, lit};

const SALES: ObjectId = ObjectId(16384);

fn sales() -> TableDefinition {
    let column = |id, name: &str, sql_type| Column::new(ColumnId(id), name, sql_type);
    let columns = vec![
        column(1, "region", SqlType::Text),
        column(2, "day", SqlType::Date),
        column(3, "rate", SqlType::Float8),
        column(4, "amount", SqlType::Int4),
    ];
    let by = |column, transform| PartitionColumn { column: ColumnId(column), transform };
    TableDefinition {
        partition_by: vec![by(1, Transform::Identity), by(2, Transform::Month), by(3, Transform::Identity)],
        ..TableDefinition::new(SALES, ObjectName::new("public", "sales"), columns)
    }
}

fn text(value: &str) -> Expr {
    lit(ScalarValue::Utf8View(Some(value.into())))
}

fn day(value: i32) -> Expr {
    lit(ScalarValue::Date32(Some(value)))
}

fn shown(region: Option<Region>) -> String {
    let Some(Region(columns)) = region else { return "everything".into() };
    let bound = |bound: &Bound<Datum>, closed: char, open: char| match bound {
        Bound::Unbounded => "…".to_string(),
        Bound::Included(value) => format!("{closed}{value}"),
        Bound::Excluded(value) => format!("{open}{value}"),
    };
    let range = |range: &ValueRange| format!("{} {}", bound(&range.low, '≥', '>'), bound(&range.high, '≤', '<'));
    let column = |values: &ColumnValues| {
        let ranges: Vec<String> = values.ranges.iter().map(range).collect();
        format!("{}: {}", values.column.0, ranges.join(" or "))
    };
    columns.iter().map(column).collect::<Vec<_>>().join("; ")
}

#[track_caller]
fn check(filters: &[Expr], expected: &str) {
    assert_eq!(shown(region_of(&sales(), filters)), expected);
}

#[test]
fn constants_ask_for_values_of_partition_columns() {
    check(&[col("region").eq(text("EMEA"))], "1: ≥EMEA ≤EMEA");
    check(&[text("EMEA").gt(col("region")), col("amount").gt(lit(3))], "1: … <EMEA");
    let march = col("day").gt_eq(day(20)).and(col("day").lt(day(51)));
    check(&[col("region").eq(text("EMEA")), march], "1: ≥EMEA ≤EMEA; 2: ≥20 <51");
    check(&[col("day").between(day(3), day(5))], "2: ≥3 ≤5");
    check(&[col("region").in_list(vec![text("A"), text("B")], false).and(col("region").gt(text("A")))], "1: ≥B ≤B");
}

#[test]
fn alternatives_ask_for_the_values_of_each() {
    let either = col("region").eq(text("A")).or(col("region").eq(text("B")));
    check(std::slice::from_ref(&either), "1: ≥A ≤A or ≥B ≤B");
    let mixed = col("region").eq(text("A")).and(col("day").eq(day(1)));
    check(&[mixed.or(col("region").eq(text("B")))], "1: ≥A ≤A or ≥B ≤B");
    check(&[either.or(col("amount").eq(lit(1)))], "everything");
}

#[test]
fn ranges_that_meet_are_one() {
    let between = |low, high| col("day").gt_eq(day(low)).and(col("day").lt(day(high)));
    check(
        &[between(1, 5).or(between(3, 8)).or(between(20, 30)).or(col("day").eq(day(8)))],
        "2: ≥1 <8 or ≥8 ≤8 or ≥20 <30",
    );
    check(
        &[between(5, 9).or(between(1, 9)).or(col("day").gt(day(40))).or(col("day").gt_eq(day(40)))],
        "2: ≥1 <9 or ≥40 …",
    );
    check(&[col("day").lt(day(3)).or(col("day").gt(day(2)))], "2: … …");
    check(&[col("region").in_list(vec![text("B"), text("A"), text("B")], false)], "1: ≥A ≤A or ≥B ≤B");
}

#[test]
fn alternatives_of_alternatives_do_not_multiply() {
    let any_of = |conjunct: i32| {
        let arm = |arm: i32| {
            col("day").gt(day(conjunct * 1000 + 10 * arm)).and(col("day").lt(day(conjunct * 1000 + 10 * arm + 7)))
        };
        (0..200).map(arm).reduce(Expr::or).expect("there are arms")
    };
    let overlapping = |conjunct: i32| {
        let arm = |arm: i32| col("day").gt(day(conjunct + arm)).and(col("day").lt(day(100_000 + 7 * arm + conjunct)));
        (0..200).map(arm).reduce(Expr::or).expect("there are arms")
    };
    let ranges = |filters: &[Expr]| region_of(&sales(), filters).map_or(0, |Region(columns)| columns[0].ranges.len());
    assert_eq!(ranges(&[overlapping(0), overlapping(1), overlapping(2)]), 1);
    assert_eq!(ranges(&[any_of(0), overlapping(0)]), 200);
    assert_eq!(ranges(&[any_of(0), any_of(1), any_of(0)]), 100);
}

#[test]
fn what_cannot_be_asked_for_as_constants_is_everything() {
    check(&[], "everything");
    check(&[col("amount").eq(lit(3))], "everything");
    check(&[col("region").not_eq(text("EMEA"))], "everything");
    check(&[col("region").in_list(vec![text("A")], true)], "everything");
    check(&[col("region").is_null()], "everything");
    check(&[col("region").eq(lit(ScalarValue::Utf8View(None)))], "everything");
    check(&[col("rate").eq(lit(1.0))], "everything");
    check(&[col("day").eq(col("amount"))], "everything");
}

#[test]
fn what_contradicts_itself_asks_for_nothing() {
    check(&[col("day").lt(day(3)), col("day").gt_eq(day(3))], "2: ");
}

fn extent(reads: &Reads) -> String {
    match reads.extents().remove(&SALES) {
        None => "unknown".into(),
        Some(Extent::Nothing) => "nothing".into(),
        Some(Extent::Whole) => "whole".into(),
        Some(Extent::Regions(regions)) => {
            regions.into_iter().map(|region| shown(Some(region))).collect::<Vec<_>>().join(" | ")
        }
    }
}

#[test]
fn a_source_has_read_what_its_scans_did() {
    let mut reads = Reads::default();
    let read = reads.open(SALES);
    assert_eq!(extent(&reads), "nothing");
    let mut later = Reads::default();
    later.extend(&reads);
    read.note_scan(&sales(), &[col("region").eq(text("A"))]);
    read.note_scan(&sales(), &[col("region").eq(text("B"))]);
    read.note_scan(&sales(), &[col("region").eq(text("A"))]);
    assert_eq!(extent(&later), "1: ≥A ≤A | 1: ≥B ≤B", "noted by the plan's next transaction too");
    read.note_scan(&sales(), &[]);
    assert_eq!((extent(&reads), extent(&later)), ("whole".into(), "whole".into()));
}

#[test]
fn many_reads_are_kept_as_few_regions() {
    let mut reads = Reads::default();
    for number in 0..READS_MAX * 3 {
        let read = reads.open(SALES);
        read.note_scan(&sales(), &[col("day").eq(day(number as i32 % 2))]);
    }
    assert!(reads.open.len() <= READS_MAX);
    assert_eq!(extent(&reads), "2: ≥0 ≤0 | 2: ≥1 ≤1");
    for number in 0..REGIONS_MAX as i32 {
        reads.open(SALES).note_scan(&sales(), &[col("day").eq(day(number))]);
    }
    assert_eq!(
        extent(&reads),
        "2: ≥0 ≤0 | 2: ≥1 ≤1".to_string() + &(2..REGIONS_MAX).map(|n| format!(" | 2: ≥{n} ≤{n}")).collect::<String>()
    );
    reads.open(SALES).note_scan(&sales(), &[col("day").eq(day(1_000))]);
    assert_eq!(extent(&reads), "whole");
}
