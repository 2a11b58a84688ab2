//! A key of DISTINCT ON or of its order that is named a second time decides nothing, and is left out.
//!
//!     DISTINCT ON (a, a) … ORDER BY a, b, b DESC   ▶   DISTINCT ON (a) … ORDER BY a, b
//!
//! DataFusion leaves repeated keys out in one place and counts them in another. An output that is named like another input repeats
//! a key without its being seen: `SELECT DISTINCT ON (a) b AS a … ORDER BY a, b`. A key by the number of its output becomes the output
//! first: `DISTINCT ON (2) *`.

use crate::error::{ErrorKind, QueryError};
use crate::query_places::position_message;
use crate::scan::external;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Distinct, DistinctOn, Expr, LogicalPlan};
use std::collections::HashSet;

/// `output@column(n)`: the column with that number of a select list, as a key of DISTINCT ON. No plan that runs has it. What comes behind
/// the number names the same column.
pub(crate) const OUTPUT_COLUMN: &str = "output@column";

/// What is wrong where ORDER BY begins with other keys.
pub(crate) const UNORDERED: &str = "SELECT DISTINCT ON expressions must match initial ORDER BY expressions";

/// Names each key once.
pub(crate) fn name_keys_once(plan: LogicalPlan) -> Result<LogicalPlan> {
    let named = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Distinct(Distinct::On(on)) => distinct_on(on),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(named.data)
}

fn distinct_on(on: DistinctOn) -> Result<Transformed<LogicalPlan>> {
    let keys = on.on_expr.iter().map(|key| output(key, &on.select_expr)).collect::<Result<Vec<Expr>>>()?;
    let sorts = on.sort_expr.clone().map(|sorts| {
        sorts
            .into_iter()
            .map(|sort| Ok(sort.with_expr(output(&sort.expr, &on.select_expr)?)))
            .collect::<Result<Vec<_>>>()
    });
    let (keys, sorts) = (once(keys, |key| key), sorts.transpose()?.map(|sorts| once(sorts, |sort| &sort.expr)));
    if keys == on.on_expr && sorts == on.sort_expr {
        return Ok(Transformed::no(LogicalPlan::Distinct(Distinct::On(on))));
    }
    let on = DistinctOn::try_new(keys, on.select_expr, sorts, on.input)?;
    Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(on))))
}

/// A key; that of [`OUTPUT_COLUMN`] is the output with its number.
fn output(key: &Expr, outputs: &[Expr]) -> Result<Expr> {
    let Expr::ScalarFunction(call) = key else { return Ok(key.clone()) };
    let [Expr::Literal(ScalarValue::Int64(Some(number)), _), named @ ..] = call.args.as_slice() else {
        return Ok(key.clone());
    };
    if call.name() != OUTPUT_COLUMN {
        return Ok(key.clone());
    }
    let output = usize::try_from(*number).ok().and_then(|number| outputs.get(number.checked_sub(1)?));
    let output = output.map(|output| output.clone().unalias()).ok_or_else(|| {
        let message = position_message("DISTINCT ON", &number.to_string());
        external(QueryError::new(ErrorKind::InvalidColumnReference, message))
    })?;
    match named.iter().all(|named| *named == output) {
        true => Ok(output),
        false => Err(external(QueryError::new(ErrorKind::InvalidColumnReference, UNORDERED))),
    }
}

/// The first of those with the same expression.
fn once<T>(mut keys: Vec<T>, expression: impl Fn(&T) -> &Expr) -> Vec<T> {
    let mut known = HashSet::new();
    keys.retain(|key| known.insert(expression(key).clone().unalias()));
    keys
}
