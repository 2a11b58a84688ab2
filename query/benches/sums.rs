//! How long sums of doubles take beside DataFusion's own, which depend on the order of rows: `cargo bench -p query
//! --bench sums`.
//!
//! The first half has one group, the second 250,000 that follow each other at random. `spread` values differ in size by
//! 2^600, so that no two doubles hold their sum.

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::functions_aggregate::variance::var_samp_udaf;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, EmitTo};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use query::functions::aggregates::aggregate_functions;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

const ROWS: usize = 1_000_000;
const BATCH_ROWS: usize = 8192;
const GROUPS: usize = 250_000;

fn main() {
    divan::main();
}

#[derive(Clone, Copy, Debug)]
enum Values {
    Prices,
    Spread,
}

const VALUES: [Values; 2] = [Values::Prices, Values::Spread];

fn exact(name: &str) -> Arc<AggregateUDF> {
    aggregate_functions().into_iter().find(|function| function.name() == name).expect("the function is registered")
}

/// Calls `body` with what an accumulator over one column of doubles is made from.
fn with_arguments<T>(body: impl FnOnce(AccumulatorArgs) -> T) -> T {
    let field: FieldRef = Arc::new(Field::new("x", DataType::Float64, true));
    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("x", 0));
    body(AccumulatorArgs {
        return_field: Arc::clone(&field),
        schema: &Schema::new(vec![Arc::clone(&field)]),
        ignore_nulls: false,
        order_bys: &[],
        is_reversed: false,
        name: "sum",
        is_distinct: false,
        exprs: &[column],
        expr_fields: &[field],
    })
}

/// Batches of values with the groups that they belong to.
fn batches(values: Values) -> Vec<([ArrayRef; 1], Vec<usize>)> {
    let mut random = StdRng::seed_from_u64(7);
    let batches = (0..ROWS / BATCH_ROWS).map(|_| {
        let column = (0..BATCH_ROWS).map(|_| match values {
            Values::Prices => f64::from(random.random_range(0..10_000_000)) / 100.0,
            Values::Spread => random.random_range(-300.0_f64..300.0).exp2(),
        });
        let column: ArrayRef = Arc::new(column.collect::<Float64Array>());
        ([column], (0..BATCH_ROWS).map(|_| random.random_range(0..GROUPS)).collect())
    });
    batches.collect()
}

fn one_group(bencher: Bencher, function: &AggregateUDF, values: Values) {
    let batches = batches(values);
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        let mut accumulator = with_arguments(|args| function.accumulator(args)).expect("an accumulator");
        for (columns, _) in &batches {
            accumulator.update_batch(columns).expect("a sum");
        }
        black_box(accumulator.evaluate().expect("a value"))
    });
}

fn many_groups(bencher: Bencher, function: &AggregateUDF, values: Values) {
    let batches = batches(values);
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        let mut accumulator = with_arguments(|args| function.create_groups_accumulator(args)).expect("an accumulator");
        for (columns, groups) in &batches {
            accumulator.update_batch(columns, groups, None, GROUPS).expect("a sum");
        }
        black_box(accumulator.evaluate(EmitTo::All).expect("values"))
    });
}

#[divan::bench(args = VALUES)]
fn sum_of_one_group(bencher: Bencher, values: Values) {
    one_group(bencher, &exact("sum"), values);
}

#[divan::bench]
fn sum_of_one_group_datafusion(bencher: Bencher) {
    one_group(bencher, &sum_udaf(), Values::Prices);
}

#[divan::bench(args = VALUES)]
fn sum_of_many_groups(bencher: Bencher, values: Values) {
    many_groups(bencher, &exact("sum"), values);
}

#[divan::bench]
fn sum_of_many_groups_datafusion(bencher: Bencher) {
    many_groups(bencher, &sum_udaf(), Values::Prices);
}

#[divan::bench(args = VALUES)]
fn variance_of_many_groups(bencher: Bencher, values: Values) {
    many_groups(bencher, &exact("var_samp"), values);
}

#[divan::bench]
fn variance_of_many_groups_datafusion(bencher: Bencher) {
    many_groups(bencher, &var_samp_udaf(), Values::Prices);
}
