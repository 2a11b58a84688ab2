//! Taking the correlation out of a subquery, operator by operator.
//!
//! A filter's conditions that name outer columns move up to where the subquery is joined with the outer plan; what stands between
//! passes them on or, where it looks at all rows at once, works by key (`groups.rs`, `combinations.rs`).

use super::passing::beside;
use super::places::changes_with_each_call;
use super::pulled::{Condition, Pulled, filtered, renamed};
use super::scope::{Names, Scope, columns_of, extend, plain, project, substitute};
use crate::error::QueryError;
use crate::scan::external;
use arrow::datatypes::Field;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::logical_plan::{Distinct, Filter, Projection, Sort, Unnest};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr};

/// What of a subquery's rows is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of them, each as often as it is there.
    Rows,
    /// Which there are; how often does not matter.
    Values,
    /// Whether there is one.
    Existence,
}

impl Asked {
    /// What has to be asked of a plan whose rows are looked at one by one.
    pub(super) fn of_each(self) -> Self {
        if self == Self::Existence { Self::Values } else { self }
    }
}

/// The working table of a recursive subquery whose rows have keys.
#[derive(Debug)]
pub(super) struct WorkTable {
    pub name: String,
    /// The outer columns, and the columns in front of the table's own that hold them.
    pub keys: Vec<(Column, Field)>,
}

pub(super) struct Pull<'a> {
    pub scope: &'a Scope,
    pub names: &'a mut Names,
    pub work_tables: Vec<WorkTable>,
}

/// Takes the correlation with `scope` out of `plan`.
pub(super) fn pull(plan: &LogicalPlan, asked: Asked, scope: &Scope, names: &mut Names) -> Result<Pulled> {
    Pull { scope, names, work_tables: Vec::new() }.plan(plan, asked)
}

impl Pull<'_> {
    pub(super) fn plan(&mut self, plan: &LogicalPlan, asked: Asked) -> Result<Pulled> {
        if !self.is_correlated(plan) {
            let (plan, outputs) = renamed(plan.clone(), self.names)?;
            return Ok(Pulled { plan, conditions: Vec::new(), outputs, order: Vec::new() });
        }
        match plan {
            LogicalPlan::Projection(projection) => self.projection(projection, asked),
            LogicalPlan::Filter(filter) => self.filter(filter, asked),
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input, asked),
            LogicalPlan::Sort(sort) => self.sort(sort, asked),
            LogicalPlan::Limit(limit) => self.limit(limit, asked),
            LogicalPlan::Distinct(Distinct::All(input)) => self.distinct(input, asked),
            LogicalPlan::Distinct(Distinct::On(distinct)) => self.distinct_on(distinct),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Join(join) => self.join(join, asked),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::RecursiveQuery(query) => self.recursive(query),
            LogicalPlan::TableScan(scan) => self.work_table(scan),
            _ => Err(external(QueryError::unsupported("a correlated subquery of this shape"))),
        }
    }

    /// Whether a plan depends on the outer row, by naming its columns or by reading a working table with keys.
    pub(super) fn is_correlated(&self, plan: &LogicalPlan) -> bool {
        self.scope.occurs_in(plan) || self.work_tables.iter().any(|table| super::recursion::reads(plan, &table.name))
    }

    /// What is computed without outer columns is computed here; the rest where the subquery is joined, and what changes with each call, which
    /// is another value for each outer row.
    fn projection(&mut self, projection: &Projection, asked: Asked) -> Result<Pulled> {
        let input = self.plan(&projection.input, asked)?;
        let mut input = self.computed_once(input, projection.input.schema(), &projection.expr)?;
        let (mut computed, mut outputs) = (Vec::new(), Vec::new());
        for (expr, field) in projection.expr.iter().zip(projection.schema.fields()) {
            let metadata = match expr {
                Expr::Alias(alias) => alias.metadata.clone(),
                _ => None,
            };
            let expr = substitute(expr.clone().unalias(), projection.input.schema(), &input.outputs)?;
            let expr = if changes_with_each_call(&expr) { self.of_outer_row(expr, &[])? } else { expr };
            outputs.push(if matches!(expr, Expr::Column(_)) && metadata.is_none() {
                expr
            } else if self.scope.is_named_in(&expr) {
                let metadata = (!field.metadata().is_empty()).then(|| FieldMetadata::from(field.metadata()));
                match metadata {
                    Some(_) => expr.alias_with_metadata(field.name(), metadata),
                    None => expr,
                }
            } else {
                let name = self.names.take("column");
                computed.push(expr.alias_with_metadata(&name, metadata));
                plain(&name)
            });
        }
        input.plan = extend(input.plan, computed)?;
        Ok(Pulled { outputs, ..input })
    }

    fn filter(&mut self, filter: &Filter, asked: Asked) -> Result<Pulled> {
        let input = self.plan(&filter.input, asked.of_each())?;
        let mut input = self.computed_once(input, filter.input.schema(), std::slice::from_ref(&filter.predicate))?;
        let mut own = Vec::new();
        for conjunct in split_conjunction(&filter.predicate) {
            let conjunct = substitute(conjunct.clone(), filter.input.schema(), &input.outputs)?;
            let conjunct = match changes_with_each_call(&conjunct) {
                true => self.of_outer_row(conjunct, columns_of(&input.plan).get(..1).unwrap_or_default())?,
                false => conjunct,
            };
            if self.scope.is_named_in(&conjunct) {
                input.conditions.push(Condition::new(conjunct, self.scope));
            } else {
                own.push(conjunct);
            }
        }
        input.plan = filtered(input.plan, own)?;
        Ok(input)
    }

    /// A value that changes with each call as one of the outer row, and of the row that has `columns`.
    fn of_outer_row(&self, value: Expr, columns: &[Expr]) -> Result<Expr> {
        let outer = self.scope.columns.iter().filter(|_| !self.scope.is_named_in(&value));
        let outer = outer.map(|column| self.scope.named(column)).collect::<Result<Vec<_>>>()?;
        let inner = columns.iter().filter(|_| !value.any_column_refs()).cloned();
        let columns = outer.into_iter().chain(inner).collect();
        Ok(beside(value, columns))
    }

    /// Outputs that change with each call become columns where `exprs` compute with them or show them more than once.
    fn computed_once(&mut self, input: Pulled, schema: &DFSchema, exprs: &[Expr]) -> Result<Pulled> {
        let changing = input.outputs.iter().map(changes_with_each_call).collect::<Vec<bool>>();
        if !are_used_again(&changing, schema, exprs)? {
            return Ok(input);
        }
        let (mut exprs, order) = (input.outputs.clone(), input.order.clone());
        let shown = exprs.len();
        exprs.extend(order.iter().map(|key| key.expr.clone()));
        let (keyed, mut exprs) = input.keyed(exprs, self.scope, self.names)?;
        let sorted_by = exprs.split_off(shown);
        let fresh: Vec<String> = exprs.iter().map(|_| self.names.take("column")).collect();
        let order = order.iter().zip(sorted_by).map(|(key, expr)| {
            let output = exprs.iter().position(|output| *output == expr);
            key.with_expr(output.map_or(expr, |place| plain(&fresh[place])))
        });
        let order = order.collect();
        let columns = exprs.into_iter().zip(&fresh).map(|(output, name)| output.alias(name));
        let plan = extend(keyed.plan.clone(), columns.collect())?;
        let outputs = fresh.iter().map(|name| plain(name)).collect();
        Ok(Pulled { order, ..keyed.pulled(plan, outputs) })
    }

    fn sort(&mut self, sort: &Sort, asked: Asked) -> Result<Pulled> {
        let mut input = self.plan(&sort.input, asked)?;
        input.order = self.sort_keys(&sort.expr, sort.input.schema(), &input.outputs)?;
        match sort.fetch {
            Some(fetch) => self.numbered(input, None, Some(datafusion::logical_expr::lit(fetch as i64))),
            None => Ok(input),
        }
    }

    pub(super) fn sort_keys(&self, keys: &[SortExpr], schema: &DFSchema, outputs: &[Expr]) -> Result<Vec<SortExpr>> {
        keys.iter().map(|key| Ok(key.with_expr(substitute(key.expr.clone(), schema, outputs)?))).collect()
    }

    /// The lists that are unnested have to be columns, which they are under their own names.
    fn unnest(&mut self, unnest: &Unnest) -> Result<Pulled> {
        let input = self.plan(&unnest.input, Asked::Rows)?;
        let outputs = input.outputs.clone();
        let (plan, conditions, outputs) = if outputs.iter().any(|output| self.scope.is_named_in(output)) {
            let (keyed, outputs) = input.keyed(outputs, self.scope, self.names)?;
            let conditions = keyed.conditions();
            (keyed.plan, conditions, outputs)
        } else {
            (input.plan, input.conditions, outputs)
        };
        let mut exprs = columns_of(&plan);
        for (output, (qualifier, field)) in outputs.into_iter().zip(unnest.input.schema().iter()) {
            exprs.push(output.alias_qualified(qualifier.cloned(), field.name()));
        }
        let unnested = LogicalPlanBuilder::from(project(plan, exprs)?)
            .unnest_columns_with_options(unnest.exec_columns.clone(), unnest.options.clone())?
            .build()?;
        let (mut exprs, mut outputs) = (Vec::new(), Vec::new());
        let own: Vec<Column> = unnest.schema.columns();
        for column in unnested.schema().columns() {
            if !own.contains(&column) {
                exprs.push(Expr::Column(column));
            }
        }
        for column in own {
            let name = self.names.take("column");
            exprs.push(Expr::Column(column).alias(&name));
            outputs.push(plain(&name));
        }
        Ok(Pulled { plan: project(unnested, exprs)?, conditions, outputs, order: Vec::new() })
    }
}

/// Whether expressions do more with the columns marked by `changing` than to show each of them once.
pub(super) fn are_used_again(changing: &[bool], schema: &DFSchema, exprs: &[Expr]) -> Result<bool> {
    if !changing.contains(&true) {
        return Ok(false);
    }
    let mut shown = vec![false; changing.len()];
    for expr in exprs {
        let is_shown = matches!(expr.clone().unalias(), Expr::Column(_));
        for column in expr.column_refs() {
            let place = schema.index_of_column(column)?;
            if changing[place] && (!is_shown || std::mem::replace(&mut shown[place], true)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
