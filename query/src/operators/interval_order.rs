//! Intervals are equal where they are equally long, a month having thirty days: `1 day` and `24 hours` are.
//!
//! DataFusion compares their months, days and nanoseconds one by one. So wherever a plan compares, groups, joins or
//! orders by an interval, its length stands for it:
//!
//!     comparisons, IN, CASE, joins, PARTITION BY, ORDER BY, count(DISTINCT)    length(x)
//!     GROUP BY, DISTINCT    length(x), and of the intervals of a group the least by months, days and time is shown
//!     min, max              of a number that orders intervals by length first and then by their parts
//!
//! A sort is lowered with its plan; see `lowering`. This pass comes last, when set operations are joins.

use super::call::Procedures;
use super::casts::CastContext;
use super::lowering::{Argument, Lowering, binary_expression};
use super::whole_expressions::{of_one, within};
use crate::error::QueryError;
use crate::functions::moments::{INTERVAL_GREATEST, INTERVAL_LEAST, INTERVAL_LENGTH, INTERVAL_OF_RANK, INTERVAL_RANK};
use crate::scan::external;
use arrow::datatypes::DataType;
use catalog::sql_type::SqlType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinConstraint, Result, ScalarValue};
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::functions_aggregate::grouping::grouping_udaf;
use datafusion::logical_expr::expr::{
    AggregateFunction, Case, GroupingSet, InList, InSubquery, ScalarFunction, SetComparison, Sort, WindowFunction,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, merge_schema};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, DistinctOn, Expr, ExprSchemable, Join, LogicalPlan, Operator, Projection,
    Subquery, Window, when,
};
use std::sync::Arc;

/// Lets a plan compare intervals by their length.
pub(crate) fn compare_by_length(
    plan: LogicalPlan,
    procedures: &Procedures,
    context: &CastContext,
) -> Result<LogicalPlan> {
    let order = IntervalOrder(Lowering { procedures, context });
    let compared = plan.transform_up_with_subqueries(|node| order.node(node))?;
    Ok(compared.data)
}

struct IntervalOrder<'a>(Lowering<'a>);

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_))
}

fn has_interval(plan: &LogicalPlan) -> bool {
    plan.schema().fields().iter().any(|field| is_interval(field.data_type()))
}

/// An expression and whether its values are intervals. What has no type yet, such as a parameter, is none.
fn gives_interval(expression: &Expr, schema: &DFSchema) -> bool {
    expression.get_type(schema).is_ok_and(|data_type| is_interval(&data_type))
}

impl IntervalOrder<'_> {
    fn node(&self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let schema = merge_schema(&node.inputs());
        let preserver = NamePreserver::new(&node);
        let compared = node.map_expressions(|expression| {
            let is_grouping_set = matches!(expression, Expr::GroupingSet(_));
            let name = preserver.save(&expression);
            let compared = expression.transform_up(|part| self.expression(part, &schema))?;
            // A set of keys has no name, and its keys are shown under their own.
            let is_renamed = compared.transformed && !is_grouping_set;
            Ok(if is_renamed { compared.update_data(|expression| name.restore(expression)) } else { compared })
        })?;
        let changed = compared.transformed;
        let node = if changed { compared.data.recompute_schema()? } else { compared.data };
        let rebuilt = match node {
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate)?,
            LogicalPlan::Distinct(Distinct::All(input)) if has_interval(&input) => {
                let keys = input.schema().columns().into_iter().map(Expr::Column).collect();
                self.aggregate(Aggregate::try_new(input, keys, Vec::new())?)?
            }
            LogicalPlan::Distinct(Distinct::On(on)) => self.distinct_on(on)?,
            LogicalPlan::Join(join) => self.join(join)?,
            LogicalPlan::Window(window) => self.window(window)?,
            other => Transformed::no(other),
        };
        Ok(Transformed { transformed: rebuilt.transformed || changed, ..rebuilt })
    }

    fn call(&self, name: &str, arguments: Vec<Expr>, types: &[SqlType]) -> Result<Expr> {
        let function = self.0.procedures.get(name);
        let function = function.ok_or_else(|| external(QueryError::unsupported(format!("function {name}"))))?;
        let types: Vec<_> = types.iter().cloned().map(Some).collect();
        self.0.bound(function, arguments, &types).map_err(external)
    }

    /// What an interval is compared by.
    fn length(&self, interval: Expr) -> Result<Expr> {
        self.call(INTERVAL_LENGTH, vec![interval.unalias()], &[SqlType::Interval])
    }

    /// A number that orders intervals by length and then by their parts.
    fn rank(&self, interval: Expr) -> Result<Expr> {
        self.call(INTERVAL_RANK, vec![interval.unalias()], &[SqlType::Interval])
    }

    /// The interval that has a rank.
    fn of_rank(&self, rank: Expr) -> Result<Expr> {
        let numeric = SqlType::Numeric { precision: 76, scale: 0, declared: false };
        self.call(INTERVAL_OF_RANK, vec![rank], &[numeric])
    }

    /// What stands beside an interval: a literal of unknown type is one.
    fn interval(&self, expression: Expr, schema: &DFSchema) -> Result<Expr> {
        self.0.typed(Argument::new(expression, None, schema)?, &SqlType::Interval).map_err(external)
    }

    fn lengths(&self, expressions: Vec<Expr>, schema: &DFSchema) -> Result<Vec<Expr>> {
        expressions.into_iter().map(|expression| self.length(self.interval(expression, schema)?)).collect()
    }

    /// The length of an interval, and what is none as it is.
    fn key(&self, expression: Expr, schema: &DFSchema) -> Result<Expr> {
        if gives_interval(&expression, schema) { self.length(expression) } else { Ok(expression) }
    }

    fn keys(&self, expressions: Vec<Expr>, schema: &DFSchema) -> Result<Vec<Expr>> {
        expressions.into_iter().map(|expression| self.key(expression, schema)).collect()
    }

    fn sorts(&self, sorts: Vec<Sort>, schema: &DFSchema) -> Result<Vec<Sort>> {
        sorts.into_iter().map(|sort| Ok(Sort { expr: self.key(sort.expr, schema)?, ..sort })).collect()
    }

    fn expression(&self, expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let compared = match expression {
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if is_comparison(op) && gives_interval(&left, schema) && gives_interval(&right, schema) =>
            {
                binary_expression(self.length(*left)?, op, self.length(*right)?)
            }
            Expr::ScalarFunction(call) => return self.function(call, schema),
            Expr::InList(InList { expr, list, negated }) if gives_interval(&expr, schema) => {
                let list = self.lengths(list, schema)?;
                Expr::InList(InList { expr: Box::new(self.length(*expr)?), list, negated })
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) if gives_interval(&expr, schema) => {
                let subquery = self.subquery(subquery)?;
                Expr::InSubquery(InSubquery { expr: Box::new(self.length(*expr)?), subquery, negated })
            }
            Expr::SetComparison(comparison) if gives_interval(&comparison.expr, schema) => {
                let subquery = self.subquery(comparison.subquery)?;
                let expr = Box::new(self.length(*comparison.expr)?);
                Expr::SetComparison(SetComparison { expr, subquery, ..comparison })
            }
            Expr::Case(Case { expr: Some(expr), when_then_expr, else_expr }) if gives_interval(&expr, schema) => {
                let branches = when_then_expr.into_iter();
                let branches =
                    branches.map(|(when, then)| Ok((Box::new(self.length(self.interval(*when, schema)?)?), then)));
                let when_then_expr = branches.collect::<Result<Vec<_>>>()?;
                Expr::Case(Case { expr: Some(Box::new(self.length(*expr)?)), when_then_expr, else_expr })
            }
            Expr::AggregateFunction(call) => return self.aggregate_function(call, schema),
            Expr::WindowFunction(call) => return self.window_function(call, schema),
            other => return Ok(Transformed::no(other)),
        };
        Ok(Transformed::yes(compared))
    }

    /// The comparisons that lowering made functions, and functions that compare their arguments.
    fn function(&self, call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
        if let Some(whole) = within(&call, schema, |part, schema| self.expression(part, schema))? {
            return Ok(whole);
        }
        let name = call.func.name();
        let comparison = comparison_of(name);
        let compares = comparison.is_some() || matches!(name, "nullif" | "greatest" | "least");
        if !compares || !call.args.iter().any(|argument| gives_interval(argument, schema)) {
            return Ok(Transformed::no(Expr::ScalarFunction(call)));
        }
        let arguments = call.args.iter().map(|argument| self.interval(argument.clone(), schema));
        let arguments = arguments.collect::<Result<Vec<_>>>()?;
        let compared = match (comparison, name, <[Expr; 2]>::try_from(arguments)) {
            (Some(operator), _, Ok([left, right])) => {
                binary_expression(self.length(left)?, operator, self.length(right)?)
            }
            (None, "nullif", Ok([value, other])) => {
                let none = Expr::Literal(ScalarValue::try_from(&SqlType::Interval.data_type())?, None);
                of_one(value, |value| {
                    let equal = binary_expression(self.length(value.clone())?, Operator::Eq, self.length(other)?);
                    when(equal, none).otherwise(value)
                })?
            }
            (None, "greatest", arguments) => {
                self.best(INTERVAL_GREATEST, arguments.map_or_else(|all| all, Vec::from))?
            }
            (None, "least", arguments) => self.best(INTERVAL_LEAST, arguments.map_or_else(|all| all, Vec::from))?,
            _ => return Ok(Transformed::no(Expr::ScalarFunction(call))),
        };
        Ok(Transformed::yes(compared))
    }

    /// The longest or the shortest of several intervals, by a function that tells of two.
    fn best(&self, function: &str, intervals: Vec<Expr>) -> Result<Expr> {
        let best = intervals
            .into_iter()
            .map(Ok)
            .reduce(|best, next| self.call(function, vec![best?, next?], &[SqlType::Interval, SqlType::Interval]));
        best.unwrap_or_else(|| Err(external(QueryError::unsupported("the best of no intervals"))))
    }

    /// The rows of a subquery with its column's length in the column's place.
    fn subquery(&self, subquery: Subquery) -> Result<Subquery> {
        let plan = subquery.subquery.as_ref();
        let columns = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let keys = self.keys(columns, plan.schema())?;
        let projected = Projection::try_new(keys, Arc::clone(&subquery.subquery))?;
        Ok(Subquery { subquery: Arc::new(LogicalPlan::Projection(projected)), ..subquery })
    }

    /// DISTINCT counts lengths, and GROUPING names the keys as they are grouped by; an order goes by length.
    fn aggregate_function(&self, mut call: AggregateFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let by_key =
            call.func.name() == grouping_udaf().name() || (call.func.name() == "count" && call.params.distinct);
        let arguments = call.params.args.iter().any(|argument| gives_interval(argument, schema));
        // The order of an ordered set is over its argument, which such an aggregate compares itself.
        let ordered = call.params.order_by.iter().any(|sort| gives_interval(&sort.expr, schema))
            && !call.func.supports_within_group_clause()
            && !call.params.distinct;
        if by_key && arguments {
            call.params.args = self.keys(call.params.args, schema)?;
        }
        if ordered {
            call.params.order_by = self.sorts(call.params.order_by, schema)?;
        }
        let call_changed = (by_key && arguments) || ordered;
        let call = Expr::AggregateFunction(call);
        Ok(if call_changed { Transformed::yes(call) } else { Transformed::no(call) })
    }

    fn window_function(&self, mut call: Box<WindowFunction>, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let parameters = &mut call.params;
        let orders = parameters.order_by.iter().map(|sort| &sort.expr);
        if !orders.chain(&parameters.partition_by).any(|key| gives_interval(key, schema)) {
            return Ok(Transformed::no(Expr::WindowFunction(call)));
        }
        parameters.partition_by = self.keys(std::mem::take(&mut parameters.partition_by), schema)?;
        parameters.order_by = self.sorts(std::mem::take(&mut parameters.order_by), schema)?;
        Ok(Transformed::yes(Expr::WindowFunction(call)))
    }

    /// Groups by lengths, and above that the intervals under their names.
    fn aggregate(&self, aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
        let schema = Arc::clone(aggregate.input.schema());
        let keys: Vec<Expr> = grouping_set_to_exprlist(&aggregate.group_expr)?.into_iter().cloned().collect();
        let key_is_interval: Vec<bool> = keys.iter().map(|key| gives_interval(key, &schema)).collect();
        let extrema =
            aggregate.aggr_expr.iter().map(|call| self.extremum(call, &schema)).collect::<Result<Vec<_>>>()?;
        if !key_is_interval.contains(&true) && extrema.iter().all(Option::is_none) {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        let is_extremum: Vec<bool> = extrema.iter().map(Option::is_some).collect();
        let calls = aggregate.aggr_expr.iter().cloned().zip(extrema).map(|(call, extremum)| extremum.unwrap_or(call));
        let mut calls: Vec<Expr> = calls.collect();
        let mut shown_by = vec![None; keys.len()];
        for (position, key) in keys.iter().enumerate().filter(|(position, _)| key_is_interval[*position]) {
            let name = format!("__interval{position}");
            shown_by[position] = Some(Column::from_name(&name));
            calls.push(min(self.rank(key.clone())?).alias(name));
        }
        let group_expr = aggregate.group_expr.into_iter().map(|key| self.group_key(key, &schema));
        let group_expr = group_expr.collect::<Result<Vec<_>>>()?;
        let grouped = Aggregate::try_new(aggregate.input, group_expr, calls)?;
        let calls_start = aggregate.schema.fields().len() - is_extremum.len();
        // GROUPING is computed from the sets' number, which its own projection does not show.
        let names_sets = aggregate_names_sets(&grouped);
        let columns = grouped.schema.columns().into_iter().map(Expr::Column);
        let fields = aggregate.schema.iter().zip(columns).enumerate();
        let fields =
            fields.filter(|(_, ((_, field), _))| !names_sets || field.name() != Aggregate::INTERNAL_GROUPING_ID);
        let shown = fields.map(|(position, ((qualifier, field), column))| {
            let value = match shown_by.get(position).cloned().flatten() {
                // NULL where the key is: in the group of NULLs, or in a set without it.
                Some(least) => when(column.is_not_null(), self.of_rank(Expr::Column(least))?).end()?,
                None if position >= calls_start && is_extremum[position - calls_start] => self.of_rank(column)?,
                None => column,
            };
            Ok(named(value, qualifier, field.name()))
        });
        let shown = shown.collect::<Result<Vec<_>>>()?;
        let shown = Projection::try_new(shown, Arc::new(LogicalPlan::Aggregate(grouped)))?;
        Ok(Transformed::yes(LogicalPlan::Projection(shown)))
    }

    fn group_key(&self, key: Expr, schema: &DFSchema) -> Result<Expr> {
        let sets = |sets: Vec<Vec<Expr>>| sets.into_iter().map(|set| self.keys(set, schema)).collect::<Result<_>>();
        Ok(match key {
            Expr::GroupingSet(GroupingSet::Rollup(set)) => {
                Expr::GroupingSet(GroupingSet::Rollup(self.keys(set, schema)?))
            }
            Expr::GroupingSet(GroupingSet::Cube(set)) => Expr::GroupingSet(GroupingSet::Cube(self.keys(set, schema)?)),
            Expr::GroupingSet(GroupingSet::GroupingSets(all)) => {
                Expr::GroupingSet(GroupingSet::GroupingSets(sets(all)?))
            }
            plain => self.key(plain, schema)?,
        })
    }

    /// `min(x)` and `max(x)` of intervals as those of their ranks; `None` for everything else.
    fn extremum(&self, call: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
        let is_extremum = |name: &str, arguments: &[Expr]| {
            matches!(name, "min" | "max") && arguments.iter().any(|argument| gives_interval(argument, schema))
        };
        let ranks =
            |arguments: Vec<Expr>| arguments.into_iter().map(|argument| self.rank(argument)).collect::<Result<_>>();
        match call.clone().unalias() {
            Expr::AggregateFunction(mut extremum) if is_extremum(extremum.func.name(), &extremum.params.args) => {
                extremum.params.args = ranks(extremum.params.args)?;
                Ok(Some(Expr::AggregateFunction(extremum)))
            }
            Expr::WindowFunction(mut extremum) if is_extremum(extremum.fun.name(), &extremum.params.args) => {
                let arguments = std::mem::take(&mut extremum.params.args);
                extremum.params.args = ranks(arguments)?;
                Ok(Some(Expr::WindowFunction(extremum)))
            }
            _ => Ok(None),
        }
    }

    fn window(&self, window: Window) -> Result<Transformed<LogicalPlan>> {
        let schema = Arc::clone(window.input.schema());
        let extrema = window.window_expr.iter().map(|call| self.extremum(call, &schema)).collect::<Result<Vec<_>>>()?;
        if extrema.iter().all(Option::is_none) {
            return Ok(Transformed::no(LogicalPlan::Window(window)));
        }
        let is_extremum: Vec<bool> = extrema.iter().map(Option::is_some).collect();
        let calls = window.window_expr.iter().cloned().zip(extrema).map(|(call, extremum)| extremum.unwrap_or(call));
        let ranked = Window::try_new(calls.collect(), window.input)?;
        let calls_start = window.schema.fields().len() - is_extremum.len();
        let columns = ranked.schema.columns().into_iter().map(Expr::Column);
        let fields = window.schema.iter().zip(columns).enumerate();
        let shown = fields.map(|(position, ((qualifier, field), column))| {
            let is_rank = position >= calls_start && is_extremum[position - calls_start];
            let value = if is_rank { self.of_rank(column)? } else { column };
            Ok(named(value, qualifier, field.name()))
        });
        let shown = shown.collect::<Result<Vec<_>>>()?;
        let shown = Projection::try_new(shown, Arc::new(LogicalPlan::Window(ranked)))?;
        Ok(Transformed::yes(LogicalPlan::Projection(shown)))
    }

    fn distinct_on(&self, on: DistinctOn) -> Result<Transformed<LogicalPlan>> {
        let schema = Arc::clone(on.input.schema());
        let sorts = on.sort_expr.iter().flatten().map(|sort| &sort.expr);
        if !sorts.chain(&on.on_expr).any(|key| gives_interval(key, &schema)) {
            return Ok(Transformed::no(LogicalPlan::Distinct(Distinct::On(on))));
        }
        let sorts = on.sort_expr.map(|sorts| self.sorts(sorts, &schema)).transpose()?;
        let keyed = DistinctOn::try_new(self.keys(on.on_expr, &schema)?, on.select_expr, sorts, on.input)?;
        Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(keyed))))
    }

    fn join(&self, mut join: Join) -> Result<Transformed<LogicalPlan>> {
        let (left, right) = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
        let is_by_interval =
            |(on_left, on_right): &(Expr, Expr)| gives_interval(on_left, &left) && gives_interval(on_right, &right);
        if !join.on.iter().any(is_by_interval) {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        }
        let keys = join.on.into_iter().map(|(on_left, on_right)| {
            let pair = (on_left, on_right);
            if !is_by_interval(&pair) {
                return Ok(pair);
            }
            Ok((self.length(pair.0)?, self.length(pair.1)?))
        });
        join.on = keys.collect::<Result<Vec<_>>>()?;
        // USING would look for columns among the keys.
        join.join_constraint = JoinConstraint::On;
        Ok(Transformed::yes(LogicalPlan::Join(join)))
    }
}

/// Whether an aggregate has calls of GROUPING.
fn aggregate_names_sets(aggregate: &Aggregate) -> bool {
    aggregate.aggr_expr.iter().any(|call| match call.clone().unalias() {
        Expr::AggregateFunction(call) => call.func.name() == grouping_udaf().name(),
        _ => false,
    })
}

/// A value under the name of a field, which a column may have already.
fn named(value: Expr, qualifier: Option<&datafusion::common::TableReference>, name: &str) -> Expr {
    match &value {
        Expr::Column(column) if column.relation.as_ref() == qualifier && column.name == name => value,
        _ => value.alias_qualified(qualifier.cloned(), name),
    }
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// The operator that a procedure of PostgreSQL's name is.
fn comparison_of(procedure: &str) -> Option<Operator> {
    Some(match procedure {
        "interval_eq" => Operator::Eq,
        "interval_ne" => Operator::NotEq,
        "interval_lt" => Operator::Lt,
        "interval_le" => Operator::LtEq,
        "interval_gt" => Operator::Gt,
        "interval_ge" => Operator::GtEq,
        _ => return None,
    })
}
