//! What exactness costs: arithmetic that fails where DataFusion's wraps, sums that do not depend on the order of rows or that
//! do not overflow, each beside DataFusion's own: `cargo bench --workspace --bench exactness`.
//!
//! Sums are of one group and of 250,000 that follow each other at random. `Spread` doubles differ in size by 2^600, so that no
//! two doubles hold their sum.

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::DFSchema;
use datafusion::execution::context::ExecutionProps;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::functions_aggregate::variance::var_samp_udaf;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{AggregateUDF, BinaryExpr, EmitTo, Expr, Operator};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::prelude::col;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use query::functions::aggregates::aggregate_functions;
use query::operators::arithmetic::arithmetic_call;
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
    /// Doubles with two decimals.
    Prices,
    /// Doubles of every size.
    Spread,
    /// `numeric(12, 2)`
    Numerics,
    /// `bigint`
    Integers,
}

const DOUBLES: [Values; 2] = [Values::Prices, Values::Spread];
const EXACT: [Values; 2] = [Values::Numerics, Values::Integers];

impl Values {
    fn data_type(self) -> DataType {
        match self {
            Self::Prices | Self::Spread => DataType::Float64,
            Self::Numerics => DataType::Decimal128(12, 2),
            Self::Integers => DataType::Int64,
        }
    }

    fn column(self, random: &mut StdRng) -> ArrayRef {
        let mut each = |value: &mut dyn FnMut(&mut StdRng) -> f64| -> Vec<f64> {
            (0..BATCH_ROWS).map(|_| value(random)).collect()
        };
        match self {
            Self::Prices => {
                Arc::new(Float64Array::from(each(&mut |random| f64::from(random.random_range(0..10_000_000)) / 100.0)))
            }
            Self::Spread => {
                Arc::new(Float64Array::from(each(&mut |random| random.random_range(-300.0_f64..300.0).exp2())))
            }
            Self::Numerics => {
                let values = (0..BATCH_ROWS).map(|_| random.random_range(0..1_000_000_000_i128));
                let values = values.collect::<Decimal128Array>().with_precision_and_scale(12, 2);
                Arc::new(values.expect("the values have twelve digits"))
            }
            Self::Integers => {
                Arc::new((0..BATCH_ROWS).map(|_| random.random_range(0..1_000_000_000_i64)).collect::<Int64Array>())
            }
        }
    }
}

fn exact(name: &str) -> Arc<AggregateUDF> {
    aggregate_functions().into_iter().find(|function| function.name() == name).expect("the function is registered")
}

/// Calls `body` with what an accumulator of `function` over one column is made from.
fn with_arguments<T>(function: &AggregateUDF, values: Values, body: impl FnOnce(AccumulatorArgs) -> T) -> T {
    let field: FieldRef = Arc::new(Field::new("x", values.data_type(), true));
    let return_field = function.return_field(&[Arc::clone(&field)]).expect("the function takes these values");
    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("x", 0));
    body(AccumulatorArgs {
        return_field,
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
        let column = values.column(&mut random);
        ([column], (0..BATCH_ROWS).map(|_| random.random_range(0..GROUPS)).collect())
    });
    batches.collect()
}

fn one_group(bencher: Bencher, function: &AggregateUDF, values: Values) {
    let batches = batches(values);
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        let mut accumulator =
            with_arguments(function, values, |args| function.accumulator(args)).expect("an accumulator");
        for (columns, _) in &batches {
            accumulator.update_batch(columns).expect("a sum");
        }
        black_box(accumulator.evaluate().expect("a value"))
    });
}

fn many_groups(bencher: Bencher, function: &AggregateUDF, values: Values) {
    let batches = batches(values);
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        let mut accumulator =
            with_arguments(function, values, |args| function.create_groups_accumulator(args)).expect("an accumulator");
        for (columns, groups) in &batches {
            accumulator.update_batch(columns, groups, None, GROUPS).expect("a sum");
        }
        black_box(accumulator.evaluate(EmitTo::All).expect("values"))
    });
}

#[divan::bench(args = DOUBLES)]
fn sum_of_one_group(bencher: Bencher, values: Values) {
    one_group(bencher, &exact("sum"), values);
}

#[divan::bench]
fn sum_of_one_group_datafusion(bencher: Bencher) {
    one_group(bencher, &sum_udaf(), Values::Prices);
}

#[divan::bench(args = DOUBLES)]
fn sum_of_many_groups(bencher: Bencher, values: Values) {
    many_groups(bencher, &exact("sum"), values);
}

#[divan::bench]
fn sum_of_many_groups_datafusion(bencher: Bencher) {
    many_groups(bencher, &sum_udaf(), Values::Prices);
}

#[divan::bench(args = EXACT)]
fn exact_sum_of_one_group(bencher: Bencher, values: Values) {
    one_group(bencher, &exact("sum"), values);
}

#[divan::bench(args = EXACT)]
fn exact_sum_of_one_group_datafusion(bencher: Bencher, values: Values) {
    one_group(bencher, &sum_udaf(), values);
}

#[divan::bench(args = EXACT)]
fn exact_sum_of_many_groups(bencher: Bencher, values: Values) {
    many_groups(bencher, &exact("sum"), values);
}

#[divan::bench(args = EXACT)]
fn exact_sum_of_many_groups_datafusion(bencher: Bencher, values: Values) {
    many_groups(bencher, &sum_udaf(), values);
}

#[divan::bench(args = DOUBLES)]
fn variance_of_many_groups(bencher: Bencher, values: Values) {
    many_groups(bencher, &exact("var_samp"), values);
}

#[divan::bench]
fn variance_of_many_groups_datafusion(bencher: Bencher) {
    many_groups(bencher, &var_samp_udaf(), Values::Prices);
}

/// `x operator y` over a million rows.
fn arithmetic(bencher: Bencher, expression: &Expr, values: Values) {
    let mut random = StdRng::seed_from_u64(7);
    let fields = ["x", "y"].map(|name| Field::new(name, values.data_type(), true));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let planned = DFSchema::try_from(Arc::clone(&schema)).expect("two columns");
    let computed =
        create_physical_expr(expression, &planned, &ExecutionProps::new(), &PhysicalPlanningContext::default())
            .expect("an expression");
    let batches: Vec<RecordBatch> = (0..ROWS / BATCH_ROWS)
        .map(|_| {
            let columns = vec![values.column(&mut random), values.column(&mut random)];
            RecordBatch::try_new(Arc::clone(&schema), columns).expect("two columns")
        })
        .collect();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        for batch in &batches {
            black_box(computed.evaluate(batch).expect("values"));
        }
    });
}

fn wrapping(operator: Operator) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(col("x")), operator, Box::new(col("y"))))
}

const OPERATORS: [Operator; 2] = [Operator::Plus, Operator::Multiply];

#[divan::bench(args = OPERATORS)]
fn checked_integers(bencher: Bencher, operator: Operator) {
    arithmetic(bencher, &arithmetic_call(operator, col("x"), col("y"), DataType::Int64), Values::Integers);
}

#[divan::bench(args = OPERATORS)]
fn checked_integers_datafusion(bencher: Bencher, operator: Operator) {
    arithmetic(bencher, &wrapping(operator), Values::Integers);
}

#[divan::bench(args = OPERATORS)]
fn checked_doubles(bencher: Bencher, operator: Operator) {
    arithmetic(bencher, &arithmetic_call(operator, col("x"), col("y"), DataType::Float64), Values::Prices);
}

#[divan::bench(args = OPERATORS)]
fn checked_doubles_datafusion(bencher: Bencher, operator: Operator) {
    arithmetic(bencher, &wrapping(operator), Values::Prices);
}
