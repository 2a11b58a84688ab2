//! Names that several columns of a subquery have.
//!
//!     SELECT * FROM (SELECT * FROM t JOIN u ON t.id = u.id) q      id, code, id
//!
//! Under one alias DataFusion calls the second column `id:1`, which the client would see. It gets a name here of which only `id` is
//! shown.

use crate::output_names::{numbered_name, shown_name};
use datafusion::common::Result;
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, SubqueryAlias};
use std::collections::HashSet;
use std::sync::Arc;

/// The plan of a relation of FROM in which such columns are shown as they are called.
pub(crate) fn with_shown_names(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) if has_repeated(&alias.input) => {
            let input = match Arc::unwrap_or_clone(alias.input) {
                LogicalPlan::Projection(projection) => renamed(projection)?,
                other => with_shown_names(other)?,
            };
            Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias)?))
        }
        other => Ok(other),
    }
}

fn has_repeated(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => has_repeated(&alias.input),
        LogicalPlan::Projection(projection) => projection.expr.iter().any(|output| repeated(output).is_some()),
        _ => false,
    }
}

/// The name of a column that DataFusion has given a number. What a query calls a column is no name in a relation.
fn repeated(output: &Expr) -> Option<&str> {
    match output {
        Expr::Alias(Alias { expr, relation: Some(_), name, .. }) => {
            let column = expr.try_as_col()?.name();
            name.strip_prefix(column)?.starts_with(':').then_some(column)
        }
        _ => None,
    }
}

fn renamed(projection: Projection) -> Result<LogicalPlan> {
    let fields = projection.schema.fields().iter().zip(&projection.expr);
    let mut taken: HashSet<String> =
        fields.filter(|(_, output)| repeated(output).is_none()).map(|(field, _)| field.name().clone()).collect();
    let outputs = projection.expr.into_iter().map(|output| {
        let Some(name) = repeated(&output).map(|name| shown_name(name).to_string()) else { return output };
        let mut number = 2;
        while !taken.insert(numbered_name(&name, number)) {
            number += 1;
        }
        match output {
            Expr::Alias(alias) => Expr::Alias(Alias { name: numbered_name(&name, number), ..alias }),
            other => other,
        }
    });
    Ok(LogicalPlan::Projection(Projection::try_new(outputs.collect(), projection.input)?))
}
