//! Lowering of `x IN (SELECT …)` and `x < ANY (SELECT …)`: both sides get the type in which PostgreSQL compares them.

use super::lowering::{Argument, Lowering};
use super::resolution::{Resolved, resolve, settled};
use crate::scan::external;
use catalog::sql_type::SqlType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{InSubquery, SetComparison};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, Operator, Subquery};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::sync::Arc;

impl Lowering<'_> {
    pub(super) fn in_subquery(&self, found: InSubquery, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let InSubquery { expr, subquery, negated } = found;
        let (expr, subquery) = self.compared(*expr, subquery, &BinaryOperator::Eq, schema)?;
        Ok(Transformed::yes(Expr::InSubquery(InSubquery::new(Box::new(expr), subquery, negated))))
    }

    pub(super) fn set_comparison(&self, compared: SetComparison, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let SetComparison { expr, subquery, op, quantifier } = compared;
        let operator = match op {
            Operator::Eq => BinaryOperator::Eq,
            Operator::NotEq => BinaryOperator::NotEq,
            Operator::Lt => BinaryOperator::Lt,
            Operator::LtEq => BinaryOperator::LtEq,
            Operator::Gt => BinaryOperator::Gt,
            Operator::GtEq => BinaryOperator::GtEq,
            _ => return Ok(Transformed::no(Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }))),
        };
        let (expr, subquery) = self.compared(*expr, subquery, &operator, schema)?;
        let compared = SetComparison { expr: Box::new(expr), subquery, op, quantifier };
        Ok(Transformed::yes(Expr::SetComparison(compared)))
    }

    fn compared(
        &self,
        left: Expr,
        subquery: Subquery,
        operator: &BinaryOperator,
        schema: &DFSchema,
    ) -> Result<(Expr, Subquery)> {
        let left = Argument::new(left, None, schema)?;
        let (qualifier, field) = subquery.subquery.schema().qualified_field(0);
        // What a subquery shows has a type: an untyped literal is text there.
        let right_type = SqlType::from_field(field).unwrap_or(SqlType::Text);
        let column = Expr::from((qualifier, field));
        let right_known = Some(right_type.clone());
        let resolved = resolve(operator, &left.known, &right_known).map_err(external)?;
        let (left_type, _) = settled(operator, &left.known, &right_known);
        let (left, right) = match resolved {
            Resolved::Converted(left_to, right_to) => {
                let right = self.as_operand(Argument::known(column.clone(), right_type), &right_to);
                (self.as_operand(left, &left_to).expression, right.expression)
            }
            Resolved::Comparison { common: Some(common), cast_to: Some(cast_to), .. } => {
                let left = self.typed(left, &left_type).map_err(external)?;
                let left = self.to_common(left, &left_type, &common, &cast_to);
                (left, self.to_common(column.clone(), &right_type, &common, &cast_to))
            }
            _ => return Ok((self.typed(left, &left_type).map_err(external)?, subquery)),
        };
        if right == column {
            return Ok((left, subquery));
        }
        let shown = right.alias_qualified(qualifier.cloned(), field.name());
        let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).project(vec![shown])?.build()?;
        Ok((left, Subquery { subquery: Arc::new(plan), ..subquery }))
    }
}
