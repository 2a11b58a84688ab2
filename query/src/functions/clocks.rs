//! The clock while a statement runs: clock_timestamp, timeofday, and the functions that wait.
//!
//! Who waits holds no thread: the functions named pg_sleep… are asynchronous, so a cancelled statement stops waiting at once. DataFusion
//! calls such a function for all rows before it computes the expression that it stands in.

use super::formatting::timestamptz_to_char;
use super::moments::span_micros;
use super::overload::{Call, Function, Kind, Overload};
use super::strings::Answer;
use crate::engine::now_micros;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, Int64Type, IntervalMonthDayNanoType, TimestampMicrosecondType,
};
use async_trait::async_trait;
use catalog::sql_type::SqlType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Case, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;
use std::time::Duration;

/// How timeofday shows the time.
const TIME_OF_DAY: &str = "Dy Mon DD HH24:MI:SS.US YYYY TZ";

pub(super) fn functions() -> Vec<Function> {
    let volatile = |name, overload| Function::new(name, Volatility::Volatile, vec![overload]);
    vec![
        volatile("clock_timestamp", Overload::new(&[], Kind::TimestampTz, |_, call| Ok(clock_times(call.rows)))),
        volatile("timeofday", Overload::new(&[], Kind::Text, |_, call| times_in_words(call))),
    ]
}

fn clock_times(rows: usize) -> ArrayRef {
    let times: TimestampMicrosecondArray = (0..rows).map(|_| Some(now_micros())).collect();
    Arc::new(times.with_timezone("UTC"))
}

fn times_in_words(call: &Call) -> Answer {
    let template: StringViewArray = (0..call.rows).map(|_| Some(TIME_OF_DAY)).collect();
    timestamptz_to_char(&[clock_times(call.rows), Arc::new(template)], call)
}

/// `pg_sleep`, `pg_sleep_for` and `pg_sleep_until`.
pub(super) fn sleeps() -> [Arc<ScalarUDF>; 3] {
    let sleep = |name, argument, kernel, together| {
        let delays = Function::new(name, Volatility::Volatile, vec![Overload::new(argument, Kind::Int8, kernel)]);
        Arc::new(AsyncScalarUDF::new(Arc::new(Sleep { delays, together })).into_scalar_udf())
    };
    [
        sleep("pg_sleep", &[Kind::Float8], |columns, _| Ok(delays_in_seconds(&columns[0])), false),
        sleep("pg_sleep_for", &[Kind::Interval], |columns, _| Ok(delays_of_intervals(&columns[0])), false),
        sleep("pg_sleep_until", &[Kind::TimestampTz], |columns, _| Ok(delays_until(&columns[0])), true),
    ]
}

/// A CASE whose waits are as long as they say for the rows alone that take their branch. A function that waits is computed beside the CASE
/// for all rows, so what it is told is NULL for the others, for which it does not wait.
pub(crate) fn waiting_where_taken(mut case: Case) -> Case {
    let (operand, conditions) = (case.expr.clone(), case.when_then_expr.clone());
    let nothing_before = |place: usize| {
        let nothing = || Box::new(Expr::Literal(ScalarValue::Null, None));
        conditions.iter().take(place).map(|(condition, _)| (condition.clone(), nothing())).collect::<Vec<_>>()
    };
    for (place, (condition, value)) in case.when_then_expr.iter_mut().enumerate() {
        told_where(value, |argument| {
            let own = (condition.clone(), Box::new(argument));
            Case::new(operand.clone(), nothing_before(place).into_iter().chain([own]).collect(), None)
        });
    }
    if let Some(last) = &mut case.else_expr {
        told_where(last, |argument| {
            Case::new(operand.clone(), nothing_before(conditions.len()), Some(Box::new(argument)))
        });
    }
    case
}

/// Puts the arguments of functions that wait into a CASE.
fn told_where(value: &mut Expr, taken: impl Fn(Expr) -> Case) {
    if !value.exists(|part| Ok(is_wait(part))).expect("the walk itself does not fail") {
        return;
    }
    let told = value.clone().transform(|part| match part {
        Expr::ScalarFunction(mut call) if is_asynchronous(&call) => {
            call.args = call.args.into_iter().map(|argument| Expr::Case(taken(argument))).collect();
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    });
    *value = told.expect("the walk itself does not fail").data;
}

fn is_wait(part: &Expr) -> bool {
    matches!(part, Expr::ScalarFunction(call) if is_asynchronous(call))
}

fn is_asynchronous(call: &ScalarFunction) -> bool {
    call.func.inner().downcast_ref::<AsyncScalarUDF>().is_some()
}

fn delays_in_seconds(seconds: &ArrayRef) -> ArrayRef {
    let delays: Int64Array = seconds.as_primitive::<Float64Type>().unary(|seconds| (seconds * 1e6) as i64);
    Arc::new(delays)
}

fn delays_of_intervals(spans: &ArrayRef) -> ArrayRef {
    let delays: Int64Array = spans.as_primitive::<IntervalMonthDayNanoType>().unary(span_micros);
    Arc::new(delays)
}

fn delays_until(times: &ArrayRef) -> ArrayRef {
    let now = now_micros();
    let delays: Int64Array = times.as_primitive::<TimestampMicrosecondType>().unary(|time| time.saturating_sub(now));
    Arc::new(delays)
}

/// A function that waits before it answers with nothing, or with NULL for NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep {
    /// The microseconds that each row waits.
    delays: Function,
    /// Whether the rows wait for moments and not one after the other.
    together: bool,
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &str {
        self.delays.name
    }

    fn signature(&self) -> &Signature {
        self.delays.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.delays.return_type(types)?;
        Ok(SqlType::Void.data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.delays.return_field_from_args(args)?;
        Ok(Arc::new(SqlType::Void.field(self.name(), true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("a function that waits was called where nothing can wait")
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let return_field = Arc::new(Field::new(self.name(), DataType::Int64, true));
        let delays = self.delays.invoke_with_args(ScalarFunctionArgs { return_field, ..args })?.to_array(rows)?;
        let delays = delays.as_primitive::<Int64Type>();
        let waits = delays.iter().flatten().filter_map(|micros| u64::try_from(micros).ok());
        let micros = if self.together { waits.max().unwrap_or(0) } else { waits.fold(0, u64::saturating_add) };
        tokio::time::sleep(Duration::from_micros(micros)).await;
        let answers = (0..rows).map(|row| delays.is_valid(row).then_some(""));
        Ok(ColumnarValue::Array(Arc::new(answers.collect::<StringViewArray>())))
    }
}
