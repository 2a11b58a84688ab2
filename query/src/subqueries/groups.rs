//! Operators that look at all rows of a subquery at once: groups, limits, windows, DISTINCT. Each of them works by key.

use super::pull::{Asked, Pull};
use super::pulled::{Key, Keyed, Pulled, conditions_of, domain, filtered};
use super::scope::{extend, join, plain, project, substitute};
use crate::collected_order::in_order;
use crate::error::QueryError;
use crate::scan::external;
use datafusion::common::{Column, DFSchema, JoinType, Result, ScalarValue};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{GroupingSet, WindowFunction};
use datafusion::logical_expr::logical_plan::{
    Aggregate, Distinct, DistinctOn, FetchType, Limit, LogicalPlan, SkipType, Window,
};
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, ExprSchemable, LogicalPlanBuilder, SortExpr, WindowFunctionDefinition, lit,
};
use std::sync::Arc;

/// A column of an aggregate, and its value for no rows if that is not NULL.
type Defaulted = (Expr, Option<Expr>);

impl Pull<'_> {
    pub(super) fn distinct(&mut self, input: &LogicalPlan, asked: Asked) -> Result<Pulled> {
        let pulled = self.plan(input, asked)?;
        if asked != Asked::Rows {
            return Ok(pulled);
        }
        let outputs = pulled.outputs.clone();
        let (keyed, outputs) = pulled.keyed(outputs, self.scope, self.names)?;
        let mut exprs = keyed.key_columns();
        let fresh: Vec<String> = outputs.iter().map(|_| self.names.take("column")).collect();
        exprs.extend(outputs.into_iter().zip(&fresh).map(|(output, name)| output.alias(name)));
        let rows = LogicalPlanBuilder::from(project(keyed.plan.clone(), exprs)?).distinct()?.build()?;
        Ok(keyed.pulled(rows, fresh.iter().map(|name| plain(name)).collect()))
    }

    pub(super) fn distinct_on(&mut self, distinct: &DistinctOn) -> Result<Pulled> {
        let pulled = self.plan(&distinct.input, Asked::Rows)?;
        let schema = distinct.input.schema();
        let sort = distinct.sort_expr.as_deref().unwrap_or_default();
        let all = distinct.on_expr.iter().chain(&distinct.select_expr).chain(sort.iter().map(|key| &key.expr));
        let all = all.map(|expr| substitute(expr.clone().unalias(), schema, &pulled.outputs));
        let all = all.collect::<Result<Vec<_>>>()?;
        let (keyed, mut all) = pulled.keyed(all, self.scope, self.names)?;
        let sorted_by = all.split_off(distinct.on_expr.len() + distinct.select_expr.len());
        let selected = all.split_off(distinct.on_expr.len());
        let on = keyed.key_columns().into_iter().chain(all).collect();
        let fresh: Vec<String> = selected.iter().map(|_| self.names.take("column")).collect();
        let selected = selected.into_iter().zip(&fresh).map(|(expr, name)| expr.alias(name));
        let selected = keyed.key_columns().into_iter().chain(selected).collect();
        let by_key = keyed.key_columns().into_iter().map(|key| key.sort(true, false));
        let order: Vec<SortExpr> =
            by_key.chain(sort.iter().zip(sorted_by).map(|(key, expr)| key.with_expr(expr))).collect();
        let order = distinct.sort_expr.is_some().then_some(order);
        let first = DistinctOn::try_new(on, selected, order, Arc::new(keyed.plan.clone()))?;
        let first = LogicalPlan::Distinct(Distinct::On(first));
        Ok(keyed.pulled(first, fresh.iter().map(|name| plain(name)).collect()))
    }

    pub(super) fn window(&mut self, window: &Window) -> Result<Pulled> {
        let pulled = self.plan(&window.input, Asked::Rows)?;
        let width = pulled.outputs.len();
        let functions = window.window_expr.iter();
        let functions = functions.map(|expr| substitute(expr.clone(), window.input.schema(), &pulled.outputs));
        let mut exprs = pulled.outputs.clone();
        exprs.extend(functions.collect::<Result<Vec<_>>>()?);
        let (mut keyed, mut exprs) = pulled.keyed(exprs, self.scope, self.names)?;
        let mut functions = Vec::new();
        let computed: Vec<Expr> = exprs.split_off(width);
        for expr in computed {
            let Expr::WindowFunction(mut function) = expr.unalias() else {
                return Err(external(QueryError::unsupported("a correlated subquery of this shape")));
            };
            let own = &mut function.params;
            for key in own.partition_by.iter_mut().chain(own.order_by.iter_mut().map(|key| &mut key.expr)) {
                *key = self.as_column(&mut keyed.plan, key.clone())?;
            }
            own.partition_by.splice(0..0, keyed.key_columns());
            let name = self.names.take("column");
            functions.push(Expr::WindowFunction(function).alias(&name));
            exprs.push(plain(&name));
        }
        let plan = LogicalPlan::Window(Window::try_new(functions, Arc::new(keyed.plan.clone()))?);
        Ok(keyed.pulled(plan, exprs))
    }

    pub(super) fn limit(&mut self, limit: &Limit, asked: Asked) -> Result<Pulled> {
        let keeps_first = matches!(limit.get_skip_type()?, SkipType::Literal(0))
            && matches!(limit.get_fetch_type()?, FetchType::Literal(None | Some(1..)));
        if asked == Asked::Existence && keeps_first {
            return self.plan(&limit.input, asked);
        }
        let pulled = self.plan(&limit.input, Asked::Rows)?;
        self.numbered(pulled, limit.skip.as_deref().cloned(), limit.fetch.as_deref().cloned())
    }

    /// `OFFSET skip LIMIT fetch` for each key: the rows are numbered in their order.
    pub(super) fn numbered(&mut self, pulled: Pulled, skip: Option<Expr>, fetch: Option<Expr>) -> Result<Pulled> {
        let (width, order) = (pulled.outputs.len(), pulled.order.clone());
        let mut exprs = pulled.outputs.clone();
        exprs.extend(order.iter().map(|key| key.expr.clone()));
        let (mut keyed, mut exprs) = pulled.keyed(exprs, self.scope, self.names)?;
        let sorted_by = exprs.split_off(width);
        let order = self.as_columns(&mut keyed.plan, &order, sorted_by)?;
        let function = WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number_udwf()), Vec::new());
        let number = Expr::WindowFunction(Box::new(function)).partition_by(keyed.key_columns());
        let number = if order.is_empty() { number.build()? } else { number.order_by(order).build()? };
        let name = self.names.take("number");
        let window = Window::try_new(vec![number.alias(&name)], Arc::new(keyed.plan.clone()))?;
        let plan = filtered(LogicalPlan::Window(window), numbers_between(&plain(&name), skip, fetch))?;
        let mut pulled = keyed.pulled(plan, exprs);
        pulled.order = vec![plain(&name).sort(true, false)];
        Ok(pulled)
    }

    /// Sort keys whose expressions are columns of the plan, which gets those that it has not.
    fn as_columns(&mut self, plan: &mut LogicalPlan, keys: &[SortExpr], exprs: Vec<Expr>) -> Result<Vec<SortExpr>> {
        let keyed = keys.iter().zip(exprs);
        keyed.map(|(key, expr)| Ok(key.with_expr(self.as_column(plan, expr)?))).collect()
    }

    /// An expression as a column of the plan: DataFusion does not see every expression as sorted that it has sorted.
    fn as_column(&mut self, plan: &mut LogicalPlan, expr: Expr) -> Result<Expr> {
        if matches!(expr, Expr::Column(_)) {
            return Ok(expr);
        }
        let name = self.names.take("sort");
        *plan = extend(plan.clone(), vec![expr.alias(&name)])?;
        Ok(plain(&name))
    }

    pub(super) fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Pulled> {
        let input = self.plan(&aggregate.input, Asked::Rows)?;
        if is_total(aggregate) {
            if !self.work_tables.is_empty() {
                return Err(external(QueryError::unsupported("an aggregate in a recursive subquery")));
            }
            let (keyed, plan, outputs) = self.grouped(aggregate, input)?;
            return self.with_all_keys(&keyed.keys, plan, outputs);
        }
        if has_total(&aggregate.group_expr) {
            let what = "grouping sets with the empty set in a correlated subquery";
            return Err(external(QueryError::unsupported(what)));
        }
        let (keyed, plan, outputs) = self.grouped(aggregate, input)?;
        Ok(keyed.pulled(plan, outputs.into_iter().map(|(column, _)| column).collect()))
    }

    /// The groups of each key, and their columns with the values that they would have for no rows.
    pub(super) fn grouped(
        &mut self,
        aggregate: &Aggregate,
        input: Pulled,
    ) -> Result<(Keyed, LogicalPlan, Vec<Defaulted>)> {
        let schema = aggregate.input.schema();
        let (groups, order) = (aggregate.group_expr.len(), input.order.clone());
        let all = aggregate.group_expr.iter().chain(&aggregate.aggr_expr);
        let all = all.map(|expr| substitute(expr.clone().unalias(), schema, &input.outputs));
        let mut all = all.collect::<Result<Vec<_>>>()?;
        all.extend(order.iter().map(|key| key.expr.clone()));
        let (mut keyed, mut all) = input.keyed(all, self.scope, self.names)?;
        let sorted_by = all.split_off(groups + aggregate.aggr_expr.len());
        let order = self.as_columns(&mut keyed.plan, &order, sorted_by)?;
        let computed = all.split_off(groups);
        let defaults = computed.iter().map(|expr| empty_value(expr, keyed.plan.schema()));
        let defaults = defaults.collect::<Result<Vec<_>>>()?;
        let computed = computed.into_iter().map(|expr| in_order(expr, &order).alias(self.names.take("column")));
        let computed: Vec<Expr> = computed.collect();
        // A group of its own for each expression, also where two are the same.
        let all = all.into_iter().map(|group| match group {
            sets @ Expr::GroupingSet(_) => sets,
            group => group.alias(self.names.take("group")),
        });
        let all_groups: Vec<Expr> = keyed.key_columns().into_iter().chain(all).collect();
        let plan = Aggregate::try_new(Arc::new(keyed.plan.clone()), all_groups, computed)?;
        let columns = plan.schema.columns().into_iter().skip(keyed.keys.len()).map(Expr::Column);
        let without_default = plan.schema.fields().len() - keyed.keys.len() - defaults.len();
        let defaults = std::iter::repeat_n(None, without_default).chain(defaults);
        let outputs = columns.zip(defaults).collect();
        Ok((keyed, LogicalPlan::Aggregate(plan), outputs))
    }

    /// Without GROUP BY there is a row for every key, also for one that no row has.
    fn with_all_keys(&mut self, keys: &[Key], plan: LogicalPlan, outputs: Vec<Defaulted>) -> Result<Pulled> {
        let named: Vec<Expr> = keys.iter().map(|key| key.outer.clone()).collect();
        let columns = self.scope.columns_in(&named);
        let (all, all_keys) = domain(&columns, self.scope, self.names)?;
        let known = |column: &Column| {
            let position = columns.iter().position(|known| known == column)?;
            Some(Expr::Column(all_keys[position].column.clone()))
        };
        let mut conditions = Vec::new();
        for condition in conditions_of(keys) {
            conditions.push(super::scope::replace_outer(condition.expr(), known)?);
        }
        let joined = join(all, plan, JoinType::Left, conditions)?;
        let outputs = outputs.into_iter().map(or_default).collect();
        Ok(Pulled { plan: joined, conditions: conditions_of(&all_keys), outputs, order: Vec::new() })
    }
}

/// Whether an aggregate gives one row, whatever its input has.
pub(super) fn is_total(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.is_empty()
}

fn has_total(groups: &[Expr]) -> bool {
    groups.iter().any(|group| match group {
        Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_)) => true,
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => sets.iter().any(Vec::is_empty),
        _ => false,
    })
}

pub(super) fn or_default((column, default): Defaulted) -> Expr {
    match default {
        Some(default) => datafusion::functions::core::expr_fn::coalesce(vec![column, default]),
        None => column,
    }
}

/// What an aggregate gives for no rows, where that is not NULL.
fn empty_value(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    match expr {
        Expr::AggregateFunction(function) => {
            let value = function.func.default_value(&expr.get_type(schema)?)?;
            Ok((!value.is_null()).then(|| Expr::Literal(value, None)))
        }
        Expr::Alias(alias) => empty_value(&alias.expr, schema),
        _ => Ok(None),
    }
}

/// NULL as a limit is none.
fn numbers_between(number: &Expr, skip: Option<Expr>, fetch: Option<Expr>) -> Vec<Expr> {
    let literal = |value: &Expr| match value {
        Expr::Literal(ScalarValue::Int64(value), _) => Some(value.unwrap_or(0)),
        _ => None,
    };
    let is_null = |value: &Expr| matches!(value, Expr::Literal(value, _) if value.is_null());
    let skip = skip.filter(|skip| !is_null(skip) && literal(skip) != Some(0));
    let fetch = fetch.filter(|fetch| !is_null(fetch));
    let unsigned = |value: i64| lit(value.max(0) as u64);
    let mut conditions = Vec::new();
    match skip.as_ref().map(|skip| (literal(skip), skip)) {
        Some((Some(skip), _)) => conditions.push(number.clone().gt(unsigned(skip))),
        Some((None, skip)) => conditions.push(signed(number).gt(or_zero(skip))),
        None => {}
    }
    let (Some(fetch), skip) = (fetch, skip) else { return conditions };
    let skipped = skip.as_ref().map_or(Some(0), literal);
    conditions.push(match (literal(&fetch), skipped) {
        (Some(fetch), Some(skip)) => number.clone().lt_eq(unsigned(fetch.saturating_add(skip))),
        _ => {
            let last = skip.as_ref().map_or(lit(0_i64), or_zero) + fetch.clone();
            fetch.is_null().or(signed(number).lt_eq(last))
        }
    });
    conditions
}

fn signed(number: &Expr) -> Expr {
    datafusion::logical_expr::cast(number.clone(), arrow::datatypes::DataType::Int64)
}

fn or_zero(value: &Expr) -> Expr {
    datafusion::functions::core::expr_fn::coalesce(vec![value.clone(), lit(0_i64)])
}
