//! The plan of a join that merges columns: the join itself, and a projection that names its columns.

use super::{Hidden, Merge, Merges, column_name, constraint_mut, hidden_side, is_hidden, number_of};
use crate::error::{ErrorKind, QueryError};
use crate::operators::call::{Places, SiteKind};
use crate::operators::meetings::{Guest, Meeting, common};
use crate::operators::sites::{Sites, call_quoted};
use crate::output_names::asked_name;
use crate::scan::external;
use crate::statement_grammar::fold;
use arrow::datatypes::FieldRef;
use catalog::sql_type::SqlType;
use datafusion::common::{Column, DFSchema, JoinType, Result, TableReference, plan_err};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, JoinConstraint, JoinOperator, TableFactor, TableWithJoins,
};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::mem;
use std::sync::Arc;

/// Plans the relations that [`super::settle`] makes, and notes what columns they have.
#[derive(Debug)]
pub(crate) struct MergePlanner {
    /// The sites of the statement that is planned.
    sites: Arc<Mutex<Arc<Sites>>>,
    found: Mutex<Merges>,
}

/// A side's column with its field.
type Side = (Option<TableReference>, FieldRef);

impl MergePlanner {
    pub(crate) fn new(sites: Arc<Mutex<Arc<Sites>>>) -> Self {
        Self { sites, found: Mutex::default() }
    }

    /// What was found since the last time.
    pub(crate) fn take(&self) -> Merges {
        mem::take(&mut *self.found.lock())
    }

    fn site(&self, kind: SiteKind, operands: [&Side; 2]) -> ast::Expr {
        let name = Arc::make_mut(&mut *self.sites.lock()).add(kind, Places::default());
        let operands = operands.map(|(table, field)| column_name(table.as_ref(), field.name()));
        call_quoted(&name, operands.into())
    }

    fn plan(
        &self,
        number: usize,
        mut tables: TableWithJoins,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let Some(last) = tables.joins.last_mut() else { return plan_err!("a merge is a join") };
        let join_type = type_of(&last.join_operator);
        let constraint = constraint_mut(last).map(|on| mem::replace(on, JoinConstraint::None));
        // The planner refuses a lateral side of the others.
        if !is_lateral(&last.relation) || matches!(join_type, JoinType::Inner | JoinType::Left) {
            last.join_operator = JoinOperator::CrossJoin(JoinConstraint::None);
        }
        let both = TableFactor::NestedJoin { table_with_joins: Box::new(tables), alias: None };
        let LogicalPlan::Join(both) = context.plan(both)? else { return plan_err!("a merge is a join") };
        let (left, right) = (both.left.schema(), both.right.schema());
        let names = match constraint {
            Some(JoinConstraint::Using(names)) => {
                let names = names.iter().filter_map(|name| name.0.last().and_then(|part| part.as_ident()));
                distinct(names.map(fold).collect()).map_err(external)?
            }
            _ => common_names(left, right),
        };
        let pairs = names.iter().map(|name| {
            let sides = (column_of(left, name, "left")?, column_of(right, name, "right")?);
            common("JOIN/USING", &[guest(&sides.0), guest(&sides.1)]).map(|_| sides)
        });
        let pairs = pairs.collect::<std::result::Result<Vec<_>, _>>().map_err(external)?;
        let joined = left.join(right)?;
        let equal = pairs.iter().map(|(left, right)| {
            let equal = self.site(SiteKind::Binary(BinaryOperator::Eq), [left, right]);
            context.sql_to_expr(equal, &joined)
        });
        let equal = conjunction(equal.collect::<Result<Vec<Expr>>>()?).unwrap_or_else(|| lit(true));
        let merged = pairs.iter().map(|(left, right)| self.merged(join_type, left, right, &joined, context));
        let merged = merged.collect::<Result<Vec<Expr>>>()?;
        let plan = LogicalPlanBuilder::from(Arc::unwrap_or_clone(Arc::clone(&both.left)))
            .join_on(Arc::unwrap_or_clone(Arc::clone(&both.right)), join_type, [equal])?
            .project(self.outputs(number, &names, merged, [left, right]))?;
        plan.build()
    }

    /// The value of a merged column.
    fn merged(
        &self,
        join_type: JoinType,
        left: &Side,
        right: &Side,
        joined: &DFSchema,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<Expr> {
        let (first, second) = if join_type == JoinType::Right { (right, left) } else { (left, right) };
        if join_type != JoinType::Full && SqlType::from_field(&first.1) == SqlType::from_field(&second.1) {
            return Ok(Expr::Column(Column::new(first.0.clone(), first.1.name())));
        }
        context.sql_to_expr(self.site(SiteKind::Meeting(Meeting::Coalesce), [first, second]), joined)
    }

    /// The merged columns, then those of both sides, of which the merged ones are hidden.
    fn outputs(&self, number: usize, names: &[String], merged: Vec<Expr>, sides: [&DFSchema; 2]) -> Vec<Expr> {
        let own = TableReference::bare(format!("{}{number}", super::PREFIX));
        let mut merge = Merge::default();
        let mut outputs = Vec::new();
        for (value, name) in merged.into_iter().zip(names) {
            merge.visible.push((Some(own.clone()), name.clone()));
            outputs.push(value.alias_qualified(Some(own.clone()), name));
        }
        for (side, schema) in sides.into_iter().enumerate() {
            for (table, field) in schema.iter() {
                let column = Expr::Column(Column::new(table.cloned(), field.name()));
                let merged = names.contains(field.name());
                let name = if merged { hidden_side(field.name(), number, side) } else { field.name().clone() };
                merge.sides.extend(table.map(|table| (table.clone(), name.clone())));
                if merged {
                    if let Some(table) = table {
                        let (table, column) = (table.table().to_string(), field.name().clone());
                        merge.hidden.push(Hidden { table, column, name: name.clone() });
                    }
                    outputs.push(column.alias_qualified(table.cloned(), name));
                    continue;
                }
                if !is_hidden(field.name()) {
                    merge.visible.push((table.cloned(), field.name().clone()));
                }
                outputs.push(column);
            }
        }
        self.found.lock().insert(number, merge);
        outputs
    }
}

impl RelationPlanner for MergePlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let number = match &relation {
            TableFactor::NestedJoin { alias: Some(alias), .. } => number_of(alias),
            _ => None,
        };
        match (relation, number) {
            (TableFactor::NestedJoin { table_with_joins, .. }, Some(number)) => {
                let plan = self.plan(number, *table_with_joins, context)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
            }
            (relation, _) => Ok(RelationPlanning::Original(Box::new(relation))),
        }
    }
}

fn type_of(operator: &JoinOperator) -> JoinType {
    match operator {
        JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => JoinType::Left,
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => JoinType::Right,
        JoinOperator::FullOuter(_) => JoinType::Full,
        _ => JoinType::Inner,
    }
}

fn is_lateral(factor: &TableFactor) -> bool {
    matches!(
        factor,
        TableFactor::Derived { lateral: true, .. }
            | TableFactor::Function { lateral: true, .. }
            | TableFactor::UNNEST { .. }
    )
}

fn guest(side: &Side) -> Guest<'static> {
    Guest { known: SqlType::from_field(&side.1), ..Guest::default() }
}

fn distinct(names: Vec<String>) -> std::result::Result<Vec<String>, QueryError> {
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(twice) => {
            let message = format!("column name \"{twice}\" appears more than once in USING clause");
            Err(QueryError::new(ErrorKind::DuplicateColumn, message))
        }
        None => Ok(names),
    }
}

/// The names that both sides of a NATURAL JOIN have, in the left side's order.
fn common_names(left: &DFSchema, right: &DFSchema) -> Vec<String> {
    let right: HashSet<&str> = right.fields().iter().map(|field| asked_name(field.name())).collect();
    let mut names: Vec<String> = Vec::new();
    for field in left.fields() {
        let name = asked_name(field.name());
        if right.contains(name) && !is_hidden(name) && !names.iter().any(|known| known == name) {
            names.push(name.to_string());
        }
    }
    names
}

fn column_of(schema: &DFSchema, name: &str, side: &str) -> std::result::Result<Side, QueryError> {
    let mut found = schema.iter().filter(|(_, field)| asked_name(field.name()) == name);
    match (found.next(), found.next()) {
        (Some((table, field)), None) => Ok((table.cloned(), Arc::clone(field))),
        (None, _) => {
            let message = format!("column \"{name}\" specified in USING clause does not exist in {side} table");
            Err(QueryError::new(ErrorKind::UndefinedColumn, message))
        }
        (Some(_), Some(_)) => {
            let message = format!("common column name \"{name}\" appears more than once in {side} table");
            Err(QueryError::new(ErrorKind::AmbiguousColumn, message))
        }
    }
}
