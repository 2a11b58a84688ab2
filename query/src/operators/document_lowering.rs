//! Lowering where json or jsonb has a say: what needs an order or an equality.
//!
//! DataFusion holds both for strings and bytes. It would sort a jsonb by its text and group by json, which has no
//! equality. So a jsonb is sorted by its sort key, and the rest is refused in PostgreSQL's words.

use super::contexts::known_function;
use super::json_operators::is_document;
use super::lowering::{Argument, Lowering, binary_expression};
use super::resolution::{Operand, oid_of};
use crate::error::{ErrorKind, QueryError};
use crate::functions::json::SORT_KEY;
use crate::functions::overload::no_function;
use crate::pg_catalog::functions_by_name;
use crate::scan::external;
use arrow::datatypes::DataType;
use catalog::sql_type::SqlType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, Sort, WindowFunction};
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan, Operator};

/// json or jsonb, where an Arrow type is one of theirs.
pub(super) fn document_of(data_type: &DataType) -> Option<SqlType> {
    SqlType::from_data_type(data_type).filter(is_document)
}

fn no_equality() -> QueryError {
    QueryError::new(ErrorKind::UndefinedFunction, "could not identify an equality operator for type json")
}

fn no_ordering() -> QueryError {
    QueryError::new(ErrorKind::UndefinedFunction, "could not identify an ordering operator for type json")
        .hint("Use an explicit ordering operator or modify the query.")
}

impl Lowering<'_> {
    /// What an ORDER BY over a json or jsonb goes by.
    pub(super) fn document_order(&self, value: Expr, schema: &DFSchema) -> Result<Expr> {
        match document_of(&value.get_type(schema)?) {
            Some(SqlType::Jsonb) => self.sort_key(value).map_err(external),
            Some(_) => Err(external(no_ordering())),
            None => Ok(value),
        }
    }

    /// The bytes that a jsonb compares by.
    pub(super) fn sort_key(&self, value: Expr) -> std::result::Result<Expr, QueryError> {
        let function = self.procedures.get(SORT_KEY).cloned();
        let function = function.ok_or_else(|| QueryError::unsupported(format!("function {SORT_KEY}")))?;
        self.bound(&function, vec![value], &[Some(SqlType::Jsonb)])
    }

    /// `left < right` of two values of type jsonb.
    pub(super) fn keyed(&self, left: Expr, operator: Operator, right: Expr) -> std::result::Result<Expr, QueryError> {
        Ok(binary_expression(self.sort_key(left)?, operator, self.sort_key(right)?))
    }

    /// The ORDER BY and DISTINCT of an aggregate's arguments.
    pub(super) fn document_aggregate(&self, mut call: AggregateFunction, schema: &DFSchema) -> Result<Expr> {
        if call.params.distinct {
            for argument in &call.params.args {
                refuse_equality(&argument.get_type(schema)?)?;
            }
            // With DISTINCT only the argument itself may be sorted by; a jsonb then comes by its text.
            return Ok(Expr::AggregateFunction(call));
        }
        self.document_sorts(&mut call.params.order_by, schema)?;
        Ok(Expr::AggregateFunction(call))
    }

    /// The order and partitions of a window.
    pub(super) fn document_window(&self, mut call: Box<WindowFunction>, schema: &DFSchema) -> Result<Expr> {
        for key in &call.params.partition_by {
            refuse_equality(&key.get_type(schema)?)?;
        }
        self.document_sorts(&mut call.params.order_by, schema)?;
        Ok(Expr::WindowFunction(call))
    }

    fn document_sorts(&self, sorts: &mut [Sort], schema: &DFSchema) -> Result<()> {
        for sort in sorts {
            sort.expr = self.document_order(sort.expr.clone(), schema)?;
        }
        Ok(())
    }
}

/// Refuses to group by json or to take its distinct values.
pub(super) fn refuse_grouped_json(node: &LogicalPlan) -> Result<()> {
    match node {
        LogicalPlan::Aggregate(aggregate) => {
            let schema = aggregate.input.schema();
            let plain = aggregate.group_expr.iter().filter(|key| !matches!(key, Expr::GroupingSet(_)));
            plain.map(|key| key.get_type(schema)).try_for_each(|data_type| refuse_equality(&data_type?))
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            input.schema().fields().iter().try_for_each(|field| refuse_equality(field.data_type()))
        }
        LogicalPlan::Distinct(Distinct::On(on)) => {
            let schema = on.input.schema();
            on.on_expr.iter().map(|key| key.get_type(schema)).try_for_each(|data_type| refuse_equality(&data_type?))
        }
        _ => Ok(()),
    }
}

fn refuse_equality(data_type: &DataType) -> Result<()> {
    match document_of(data_type) {
        Some(SqlType::Json) => Err(external(no_equality())),
        _ => Ok(()),
    }
}

/// To DataFusion's own functions json and jsonb are texts. Fails where PostgreSQL has functions of a call's name, and none
/// that takes arguments of these types.
pub(super) fn check_documents(call: &ScalarFunction, schema: &DFSchema) -> Result<()> {
    let name = call.func.name();
    let operands = call.args.iter().map(|value| Ok(Argument::new(value.clone(), None, schema)?.known));
    let operands = operands.collect::<Result<Vec<Operand>>>()?;
    let is_document = |operand: &Operand| matches!(operand, Some(SqlType::Json | SqlType::Jsonb));
    if !operands.iter().any(is_document) || functions_by_name(name).is_empty() {
        return Ok(());
    }
    let types: Vec<_> = operands.iter().map(oid_of).collect();
    match known_function(name, &types).map_err(external)? {
        Some(_) => Ok(()),
        None => Err(external(no_function(name, &operands))),
    }
}
