//! Recursive subqueries: the keys go with the rows through the working table.

use super::pull::{Asked, Pull, WorkTable};
use super::pulled::{Condition, Equality, Keyed, Pulled, renamed};
use super::scope::{plain, project, shown_as};
use crate::error::QueryError;
use crate::scan::external;
use arrow::datatypes::{Field, Schema};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::logical_plan::{RecursiveQuery, TableScan};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use std::sync::Arc;

/// Whether a plan reads the working table of that name.
pub(super) fn reads(plan: &LogicalPlan, work_table: &str) -> bool {
    let mut found = false;
    let walked = plan.apply(|node| {
        found |= matches!(node, LogicalPlan::TableScan(scan) if scan.table_name.table() == work_table);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.expect("the walk itself does not fail");
    found
}

impl Pull<'_> {
    pub(super) fn recursive(&mut self, query: &RecursiveQuery) -> Result<Pulled> {
        let columns = self.scope.columns_in(&LogicalPlan::RecursiveQuery(query.clone()).all_out_ref_exprs());
        let first = self.plan(&query.static_term, Asked::Rows)?;
        let outputs = first.outputs.clone();
        let (first, outputs) = first.keyed_by(&columns, outputs, self.scope, self.names)?;
        let key_names: Vec<String> = columns.iter().map(|_| self.names.take("key")).collect();
        let first = named(first, outputs, &key_names, query)?;
        let fields = first.schema().fields().iter().zip(&columns);
        let keys = fields.map(|(field, column)| (column.clone(), field.as_ref().clone())).collect();
        self.work_tables.push(WorkTable { name: query.name.clone(), keys });
        let next = self.plan(&query.recursive_term, Asked::Rows);
        self.work_tables.pop();
        let next = next?;
        let outputs = next.outputs.clone();
        let (next, outputs) = next.keyed_by(&columns, outputs, self.scope, self.names)?;
        let next = named(next, outputs, &key_names, query)?;
        let all = RecursiveQuery::try_new(query.name.clone(), Arc::new(first), Arc::new(next), query.is_distinct)?;
        let (plan, mut outputs) = renamed(LogicalPlan::RecursiveQuery(all), self.names)?;
        let own = outputs.split_off(columns.len());
        let conditions = columns.iter().zip(outputs).map(|(column, inner)| {
            Ok(Condition::Equal(Equality { outer: self.scope.named(column)?, inner, nulls: true }))
        });
        Ok(Pulled { plan, conditions: conditions.collect::<Result<Vec<_>>>()?, outputs: own, order: Vec::new() })
    }

    /// A scan of a working table with the keys in front.
    pub(super) fn work_table(&mut self, scan: &TableScan) -> Result<Pulled> {
        let table = self.work_tables.iter().rev().find(|table| table.name == scan.table_name.table());
        let Some(table) = table else {
            return Err(external(QueryError::unsupported("a correlated subquery of this shape")));
        };
        let own = scan.source.schema();
        let keys = table.keys.iter().map(|(_, field)| field.clone());
        let fields = keys.chain(own.fields().iter().map(|field| field.as_ref().clone()));
        let source = provider_as_source(Arc::new(CteWorkTable::new(
            &table.name,
            Arc::new(Schema::new(fields.collect::<Vec<Field>>())),
        )));
        let extended = LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?.build()?;
        let of_table = |name: &str| Expr::Column(Column::new(Some(scan.table_name.clone()), name));
        let mut exprs = Vec::new();
        let mut conditions = Vec::new();
        for (column, field) in &table.keys {
            let name = self.names.take("key");
            exprs.push(of_table(field.name()).alias(&name));
            conditions.push(Condition::Equal(Equality {
                outer: self.scope.named(column)?,
                inner: plain(&name),
                nulls: true,
            }));
        }
        let mut outputs = Vec::new();
        for field in scan.projected_schema.fields() {
            let name = self.names.take("column");
            exprs.push(of_table(field.name()).alias(&name));
            outputs.push(plain(&name));
        }
        Ok(Pulled { plan: project(extended, exprs)?, conditions, outputs, order: Vec::new() })
    }
}

/// A term of the recursion: its keys, then its columns, described as those of the static term.
fn named(term: Keyed, outputs: Vec<Expr>, keys: &[String], query: &RecursiveQuery) -> Result<LogicalPlan> {
    let mut exprs: Vec<Expr> = term.key_columns().into_iter().zip(keys).map(|(key, name)| key.alias(name)).collect();
    for (output, field) in outputs.into_iter().zip(query.static_term.schema().fields()) {
        exprs.push(shown_as(output, term.plan.schema(), (None, field))?);
    }
    project(term.plan, exprs)
}
