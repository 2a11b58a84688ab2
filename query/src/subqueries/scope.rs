//! Scopes: which columns of an outer plan a subquery names, and expressions moved from one scope to another.

use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, Result, TableReference, internal_err};
use datafusion::logical_expr::logical_plan::{Join, Projection};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, ExprSchemable, JoinConstraint, LogicalPlan, lit};
use std::sync::Arc;

/// Hands out column names that no query uses.
#[derive(Debug, Default)]
pub(super) struct Names {
    next: usize,
}

impl Names {
    pub(super) fn take(&mut self, what: &str) -> String {
        self.next += 1;
        format!("__{what}_{}", self.next)
    }
}

/// The outer plan of one subquery, and those of its columns that the subquery names.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) base: LogicalPlan,
    pub(super) columns: Vec<Column>,
}

impl Scope {
    /// The scope of `subquery` over `base`. Names of scopes further out are not of this scope.
    pub(super) fn new(base: &LogicalPlan, subquery: &LogicalPlan) -> Self {
        let columns = outer_columns(subquery).into_iter().filter(|column| base.schema().has_column(column));
        Self { columns: columns.collect(), base: base.clone() }
    }

    pub(super) fn is_named_in(&self, expr: &Expr) -> bool {
        let names =
            |inner: &Expr| matches!(inner, Expr::OuterReferenceColumn(_, column) if self.columns.contains(column));
        expr.exists(|inner| Ok(names(inner))).expect("the test itself does not fail")
    }

    pub(super) fn occurs_in(&self, plan: &LogicalPlan) -> bool {
        plan.all_out_ref_exprs().iter().any(|expr| self.is_named_in(expr))
    }

    /// The outer columns that expressions name, each once.
    pub(super) fn columns_in<'a>(&self, exprs: impl IntoIterator<Item = &'a Expr>) -> Vec<Column> {
        let mut found = Vec::new();
        for expr in exprs {
            let visited = expr.apply(|inner| {
                if let Expr::OuterReferenceColumn(_, column) = inner
                    && self.columns.contains(column)
                    && !found.contains(column)
                {
                    found.push(column.clone());
                }
                Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
            });
            visited.expect("the walk itself does not fail");
        }
        found
    }

    /// The expression as it reads in the outer plan.
    pub(super) fn outside(&self, expr: Expr) -> Result<Expr> {
        replace_outer(expr, |column| self.columns.contains(column).then(|| Expr::Column(column.clone())))
    }

    /// An outer column as a subquery names it.
    pub(super) fn named(&self, column: &Column) -> Result<Expr> {
        let (_, field) = self.base.schema().qualified_field_from_column(column)?;
        Ok(Expr::OuterReferenceColumn(Arc::clone(field), column.clone()))
    }
}

/// All outer columns that a plan names, whatever their scope.
pub(super) fn outer_columns(plan: &LogicalPlan) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for expr in plan.all_out_ref_exprs() {
        if let Expr::OuterReferenceColumn(_, column) = expr
            && !columns.contains(&column)
        {
            columns.push(column);
        }
    }
    columns
}

/// Replaces the outer columns for which there is something.
pub(super) fn replace_outer(expr: Expr, replacement: impl Fn(&Column) -> Option<Expr>) -> Result<Expr> {
    let replaced = expr.transform(|inner| match &inner {
        Expr::OuterReferenceColumn(_, column) => match replacement(column) {
            Some(other) => Ok(Transformed::yes(other)),
            None => Ok(Transformed::no(inner)),
        },
        _ => Ok(Transformed::no(inner)),
    })?;
    Ok(replaced.data)
}

/// The expression with each column of `schema` replaced by the output that stands for it.
pub(super) fn substitute(expr: Expr, schema: &DFSchema, outputs: &[Expr]) -> Result<Expr> {
    let replaced = expr.transform(|inner| match &inner {
        Expr::Column(column) => match outputs.get(schema.index_of_column(column)?) {
            Some(output) => Ok(Transformed::yes(output.clone())),
            None => internal_err!("{column} has no output: {schema:?} became {outputs:?}"),
        },
        _ => Ok(Transformed::no(inner)),
    })?;
    Ok(replaced.data)
}

pub(super) fn columns_of(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

pub(super) fn plain(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

pub(super) fn project(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan> {
    Projection::try_new(exprs, Arc::new(plan)).map(LogicalPlan::Projection)
}

/// The plan with more columns behind its own.
pub(super) fn extend(plan: LogicalPlan, more: Vec<Expr>) -> Result<LogicalPlan> {
    if more.is_empty() {
        return Ok(plan);
    }
    let mut exprs = columns_of(&plan);
    exprs.extend(more);
    project(plan, exprs)
}

/// A join whose condition is all of `conditions`; equalities among them become its keys when the plan is optimised.
pub(super) fn join(
    left: LogicalPlan,
    right: LogicalPlan,
    join_type: JoinType,
    conditions: Vec<Expr>,
) -> Result<LogicalPlan> {
    let filter = match conjunction(conditions) {
        None if join_type != JoinType::Inner => Some(lit(true)),
        filter => filter,
    };
    let (left, right) = (Arc::new(left), Arc::new(right));
    let (constraint, nulls) = (JoinConstraint::On, NullEquality::NullEqualsNothing);
    let joined = Join::try_new(left, right, Vec::new(), filter, join_type, constraint, nulls, false)?;
    Ok(LogicalPlan::Join(joined))
}

/// `expr` under the name and with the metadata of a column that it takes the place of.
pub(super) fn shown_as(
    expr: Expr,
    schema: &DFSchema,
    place: (Option<&TableReference>, &arrow::datatypes::Field),
) -> Result<Expr> {
    let (qualifier, field) = place;
    let (_, own) = expr.to_field(schema)?;
    let metadata = (own.metadata() != field.metadata() && !field.metadata().is_empty())
        .then(|| FieldMetadata::from(field.metadata()));
    Ok(match metadata {
        Some(_) => expr.alias_qualified_with_metadata(qualifier.cloned(), field.name(), metadata),
        None => expr.alias_qualified(qualifier.cloned(), field.name()),
    })
}
