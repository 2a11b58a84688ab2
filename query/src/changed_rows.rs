//! Changed rows: the plan of an UPDATE that asks nothing but its own table.
//!
//! What the planner and the optimiser do takes as long for a column that is passed on as for one that is computed, and most columns of
//! an UPDATE are only passed on. So its query is planned for places and new values alone, and the columns that stay as they are
//! come in when all is done:
//!
//! ```text
//!     SELECT t.__part, t.__row, e FROM t WHERE p
//!        ▼ planned, cast to the types of columns
//!     Projection [__part, __row, e] ─▶ Filter p ─▶ t
//!        ▼ widened
//!     Projection [__part, __row, a, e, c, …] ─▶ Filter p ─▶ scan of [a, c, …, __part, __row] that knows p
//! ```
//!
//! The optimiser would make the same of it: constant parts are computed, the condition goes to the scan, and the scan is asked for what is
//! needed. Where a plan is anything else, such as one with a subquery or with random numbers, [`is_over_own_table`] says so.

use crate::bound_expressions::{simplified, volatility};
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::modify::Modification;
use crate::null_calls::without_null_calls;
use crate::planner::Planning;
use crate::scan::{PART, ROW, external};
use crate::statement::Statement;
use crate::syntax_walks::walk;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use catalog::definition::TableDefinition;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    EmptyRelation, Expr, Filter, LogicalPlan, Projection, SubqueryAlias, TableScan, Volatility,
};
use datafusion::sql::sqlparser::ast::{self, Visitor};
use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The columns that places are, which come first.
const PLACE_COLUMNS: usize = 2;

/// Whether nothing but the rows of its own table is named in an UPDATE.
pub(crate) fn asks_own_table(modification: &Modification) -> bool {
    modification.assignments.is_some()
        && modification.with.is_none()
        && modification.others.is_empty()
        && modification.returning.is_none()
        && walk(&modification.assignments, &mut Subqueries).is_continue()
        && walk(&modification.selection, &mut Subqueries).is_continue()
}

struct Subqueries;

impl Visitor for Subqueries {
    type Break = ();

    fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

/// Whether a plan computes values twice over, of rows of one table that satisfy a condition if there is one; each time the same.
pub(crate) fn is_over_own_table(plan: &LogicalPlan) -> bool {
    let Some(parts) = Parts::of(plan) else { return false };
    let computed = parts.values.expr.iter().chain(&parts.given.expr).chain(parts.condition);
    computed.into_iter().all(|expression| !expression.is_volatile())
}

/// The plan that gives places and all columns of a table, of one that gives places and the columns at the positions `changed`.
pub(crate) fn widened(
    planning: &Planning,
    table: &TableDefinition,
    plan: &LogicalPlan,
    changed: &[usize],
    statement: &Statement,
) -> std::result::Result<LogicalPlan, QueryError> {
    let failed = |error| translate(error, Some(statement));
    let strange = || QueryError::new(ErrorKind::Internal, "the plan of an UPDATE is none of its table");
    let parts = Parts::of(plan).ok_or_else(strange)?;
    let schema = parts.given.input.schema();
    let settled = |value: Expr| {
        let value = without_null_calls(value, schema)?;
        simplified(planning, value, schema).map_err(external)
    };
    let condition = parts.condition.cloned().map(&settled).transpose().map_err(failed)?;
    let condition = match condition {
        Some(Expr::Literal(ScalarValue::Boolean(Some(true)), _)) => None,
        Some(Expr::Literal(..)) => {
            let none = EmptyRelation { produce_one_row: false, schema: Arc::clone(plan.schema()) };
            return Ok(LogicalPlan::EmptyRelation(none));
        }
        condition => condition,
    };
    let values = parts.merged_values().and_then(|values| values.into_iter().map(settled).collect::<Result<Vec<_>>>());
    let values: BTreeMap<usize, Expr> = changed.iter().copied().zip(values.map_err(failed)?).collect();
    parts.over_scan(table, &values, condition).map_err(failed)
}

/// Fails where a constant part of what an UPDATE computes is out of range, or divided by zero, whether or not there is a row: PostgreSQL
/// computes such parts when it plans. What CASE, coalesce, AND and OR may leave out is left to the rows.
pub(crate) fn refuse_failing_constants(
    planning: &Planning,
    plan: &LogicalPlan,
    statement: &Statement,
) -> std::result::Result<(), QueryError> {
    let LogicalPlan::Projection(values) = plan else { return Ok(()) };
    let LogicalPlan::Projection(given) = values.input.as_ref() else { return Ok(()) };
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let one_row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &one_row);
    let computed = one_row.map_err(DataFusionError::from).and_then(|row| {
        given.expr.iter().try_for_each(|value| {
            let walked = value.apply(|part| match part {
                part if may_be_left_out(part) => Ok(TreeNodeRecursion::Jump),
                part if is_computable(part) => {
                    planning.state.create_physical_expr(part.clone(), given.input.schema())?.evaluate(&row)?;
                    Ok(TreeNodeRecursion::Jump)
                }
                _ => Ok(TreeNodeRecursion::Continue),
            });
            walked.map(drop)
        })
    });
    match computed.map_err(|error| translate(error, Some(statement))) {
        Err(error) if matches!(error.kind, ErrorKind::DivisionByZero | ErrorKind::NumericOutOfRange) => Err(error),
        // Whatever else it is may be told of the rows, if there are any.
        _ => Ok(()),
    }
}

/// Whether parts of an expression may be left out when it is computed.
fn may_be_left_out(expression: &Expr) -> bool {
    match expression {
        Expr::Case(_) => true,
        Expr::BinaryExpr(binary) => binary.op.is_logic_operator(),
        Expr::ScalarFunction(call) => call.func.short_circuits(),
        _ => false,
    }
}

/// Whether an expression has operators or calls, of constants alone.
fn is_computable(expression: &Expr) -> bool {
    let is_operation = matches!(expression, Expr::BinaryExpr(_) | Expr::ScalarFunction(_) | Expr::Negative(_));
    let is_constant = |part: &Expr| match part {
        Expr::Literal(..) | Expr::Alias(_) | Expr::BinaryExpr(_) | Expr::Negative(_) | Expr::Cast(_) => true,
        Expr::ScalarFunction(call) => !call.func.short_circuits(),
        _ => false,
    };
    is_operation
        && !expression.exists(|part| Ok(!is_constant(part))).unwrap_or(true)
        && volatility(expression) == Volatility::Immutable
}

/// What such a plan consists of.
struct Parts<'a> {
    /// Places and values in the types of columns.
    values: &'a Projection,
    /// What these are computed from.
    given: &'a Projection,
    condition: Option<&'a Expr>,
    table: &'a SubqueryAlias,
    scan: &'a TableScan,
}

impl<'a> Parts<'a> {
    fn of(plan: &'a LogicalPlan) -> Option<Self> {
        let LogicalPlan::Projection(values) = plan else { return None };
        let LogicalPlan::Projection(given) = values.input.as_ref() else { return None };
        let (condition, input) = match given.input.as_ref() {
            LogicalPlan::Filter(filter) => (Some(&filter.predicate), filter.input.as_ref()),
            input => (None, input),
        };
        let LogicalPlan::SubqueryAlias(table) = input else { return None };
        let LogicalPlan::TableScan(scan) = table.input.as_ref() else { return None };
        let is_whole = scan.projection.is_none() && scan.filters.is_empty() && scan.fetch.is_none();
        is_whole.then_some(Self { values, given, condition, table, scan })
    }

    /// The values behind the places, over the columns of the table.
    fn merged_values(&self) -> Result<Vec<Expr>> {
        let given = self.given.schema.columns().into_iter().zip(&self.given.expr);
        let given: BTreeMap<Column, &Expr> = given.collect();
        let over_table = |value: &Expr| {
            let merged = without_name(value).transform(|part| {
                Ok(match part {
                    Expr::Column(column) => match given.get(&column) {
                        Some(value) => Transformed::yes(without_name(value)),
                        None => Transformed::no(Expr::Column(column)),
                    },
                    other => Transformed::no(other),
                })
            });
            Ok::<_, DataFusionError>(merged?.data)
        };
        self.values.expr.iter().skip(PLACE_COLUMNS).map(over_table).collect()
    }

    fn column(&self, name: &str) -> Expr {
        Expr::Column(Column::new(Some(self.table.alias.clone()), name))
    }

    /// Places and all columns, new where there is a value, of the rows that satisfy a condition.
    fn over_scan(
        &self,
        table: &TableDefinition,
        values: &BTreeMap<usize, Expr>,
        condition: Option<Expr>,
    ) -> Result<LogicalPlan> {
        let mut shown = vec![self.column(PART), self.column(ROW)];
        shown.extend(table.columns.iter().enumerate().map(|(position, column)| {
            let value = values.get(&position).cloned().unwrap_or_else(|| self.column(&column.name));
            value.alias(format!("__new{position}"))
        }));
        let wanted: HashSet<&Column> = shown.iter().chain(&condition).flat_map(Expr::column_refs).collect();
        let names: HashSet<&str> = wanted.into_iter().map(|column| column.name.as_str()).collect();
        let fields = self.scan.source.schema();
        let needed = fields.fields().iter().enumerate().filter(|(_, field)| names.contains(field.name().as_str()));
        let filters = condition.clone().map(split_conjunction_owned).unwrap_or_default();
        let scan = TableScanBuilder::new(self.table.alias.clone(), Arc::clone(&self.scan.source))
            .with_projection(Some(needed.map(|(position, _)| position).collect()))
            .with_filters(filters);
        let scan = LogicalPlan::TableScan(scan.build()?);
        let rows = match condition {
            Some(condition) => LogicalPlan::Filter(Filter::try_new(condition, Arc::new(scan))?),
            None => scan,
        };
        Ok(LogicalPlan::Projection(Projection::try_new(shown, Arc::new(rows))?))
    }
}

/// An expression without the name that it is given, which its consumers know otherwise.
fn without_name(expression: &Expr) -> Expr {
    match expression {
        Expr::Alias(alias) if alias.metadata.as_ref().is_none_or(|metadata| metadata.is_empty()) => {
            without_name(&alias.expr)
        }
        other => other.clone(),
    }
}
