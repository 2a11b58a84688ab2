//! Trees of plans without rows.

use super::*;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::JoinType;
use datafusion::logical_expr::{LogicalPlanBuilder, col, lit, table_scan};

fn table(name: &str, columns: [(&str, DataType); 2]) -> LogicalPlanBuilder {
    let fields = columns.map(|(name, data_type)| Field::new(name, data_type, true));
    table_scan(Some(name), &Schema::new(fields.to_vec()), None).unwrap()
}

fn products() -> LogicalPlanBuilder {
    table("products", [("id", DataType::Int32), ("weight", DataType::Float64)])
}

fn sales() -> LogicalPlan {
    table("sales", [("product", DataType::Int32), ("weight", DataType::Float64)]).build().unwrap()
}

/// The conditions of each table that has some, in the order of the tables' names.
fn found(tree: &LogicalPlan, conditions: Vec<Expr>) -> Vec<String> {
    let found = input_conditions(tree, conditions).unwrap();
    let shown = |(table, conditions): (&TableReference, &Vec<Expr>)| {
        let conditions: Vec<String> = conditions.iter().map(ToString::to_string).collect();
        format!("{table}: {}", conditions.join(" AND "))
    };
    let mut found: Vec<String> = found.iter().map(shown).collect();
    found.sort();
    found
}

fn joined(join_type: JoinType) -> LogicalPlan {
    products().join(sales(), join_type, (vec!["products.id"], vec!["sales.product"]), None).unwrap().build().unwrap()
}

#[test]
fn a_condition_goes_through_names_to_the_column_that_is_shown() {
    let shown = products().filter(col("weight").gt(lit(1.0))).unwrap();
    let shown = shown.project(vec![col("weight"), col("products.id").alias("number")]).unwrap().alias("p").unwrap();
    let condition = col("p.number").in_list(vec![lit(1), lit(2)], false);
    assert_eq!(found(&shown.build().unwrap(), vec![condition]), ["products: id IN ([Int32(1), Int32(2)])"]);
}

#[test]
fn what_is_computed_and_might_fail_stands_for_no_condition() {
    let shown = products().project(vec![(lit(1) / col("products.id")).alias("share")]).unwrap().build().unwrap();
    assert!(found(&shown, vec![col("share").eq(lit(1))]).is_empty());
}

#[test]
fn equal_columns_take_a_condition_to_the_other_side() {
    let both = ["products: id = Int32(7)", "sales: product = Int32(7)"];
    for join_type in [JoinType::Inner, JoinType::Left, JoinType::LeftSemi, JoinType::LeftAnti] {
        assert_eq!(found(&joined(join_type), vec![col("products.id").eq(lit(7))]), both, "{join_type}");
    }
    assert_eq!(found(&joined(JoinType::Inner), vec![col("sales.product").eq(lit(7))]), both);
    assert_eq!(found(&joined(JoinType::Right), vec![col("sales.product").eq(lit(7))]), both);
}

#[test]
fn a_side_that_may_be_missing_has_no_condition_of_its_own() {
    assert!(found(&joined(JoinType::Left), vec![col("sales.product").is_null()]).is_empty());
    assert!(found(&joined(JoinType::Right), vec![col("products.id").is_null()]).is_empty());
    assert!(found(&joined(JoinType::Full), vec![col("products.id").eq(lit(7))]).is_empty());
}

#[test]
fn other_columns_and_equal_numbers_of_other_bits_stay_on_their_side() {
    let heavy = col("products.weight").gt(lit(1.0));
    assert_eq!(found(&joined(JoinType::Inner), vec![heavy.clone()]), ["products: weight > Float64(1)"]);
    let by_weight = products().join(sales(), JoinType::Inner, (vec!["products.weight"], vec!["sales.weight"]), None);
    assert_eq!(found(&by_weight.unwrap().build().unwrap(), vec![heavy]), ["products: weight > Float64(1)"]);
}

#[test]
fn a_not_in_is_decided_by_rows_without_an_equal_one() {
    let LogicalPlan::Join(join) = joined(JoinType::LeftAnti) else { panic!("a join is built") };
    let not_in = LogicalPlan::Join(Join { null_aware: true, ..join });
    assert_eq!(found(&not_in, vec![col("products.id").eq(lit(7))]), ["products: id = Int32(7)"]);
}

#[test]
fn a_table_that_is_scanned_twice_has_rows_with_two_parts() {
    let others = products().alias("others").unwrap().build().unwrap();
    let pairs = products().join(others, JoinType::Inner, (vec!["products.id"], vec!["others.id"]), None).unwrap();
    assert!(found(&pairs.build().unwrap(), vec![col("products.id").eq(lit(7))]).is_empty());
    let all = products().union(products().build().unwrap()).unwrap().build().unwrap();
    assert!(found(&all, vec![col("id").eq(lit(7))]).is_empty());
}
