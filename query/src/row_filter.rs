//! The condition of `COPY … FROM … WHERE`, computed over batches of a table's rows before anything else is asked of them.

use crate::bound_expressions::SubqueryFinder;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::planner::{Planning, Sources};
use crate::query_places::place_of;
use crate::returning::{select, target_factor};
use crate::statement::{Statement, StatementKind, parse};
use crate::syntax_walks::walk;
use arrow::array::{Array as _, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::DataType;
use catalog::definition::TableDefinition;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast::{self, Ident, SetExpr};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A condition over the rows of one table.
#[derive(Debug)]
pub(crate) struct RowFilter {
    condition: Arc<dyn PhysicalExpr>,
}

/// A row whose condition cannot be computed.
pub(crate) struct FilterError {
    pub row: usize,
    pub error: QueryError,
}

impl RowFilter {
    /// Plans the condition, which stands at byte `offset` of the statement.
    pub(crate) fn new(
        planning: &Planning,
        definition: &TableDefinition,
        offset: usize,
        length: usize,
        statement: &Statement,
    ) -> Result<Self, QueryError> {
        // A query whose condition stands where it does in the client's text, so that errors point at it.
        let start = statement.range.start + offset;
        let query = alone_at(&statement.source, start, &statement.source[start..start + length], "SELECT");
        let parsed = parse(&query)?.into_iter().next();
        let misplaced = || QueryError::new(ErrorKind::Syntax, "COPY … WHERE takes a condition");
        let own = parsed.ok_or_else(misplaced)?;
        let StatementKind::Query(tree) = &own.kind else { return Err(misplaced()) };
        let SetExpr::Select(body) = tree.body.as_ref() else { return Err(misplaced()) };
        refuse_subqueries(&body.projection, &own)?;
        let name = Ident::with_quote('"', &definition.name.name);
        let from = vec![ast::TableWithJoins { relation: target_factor(&name), joins: Vec::new() }];
        let tree = select(body.projection.clone(), from, None, None)?;
        let rows = MemTable::try_new(definition.schema(), vec![Vec::new()]).map_err(|error| translate(error, None))?;
        let planning = planning.with_sources(Sources::Target(provider_as_source(Arc::new(rows))));
        let plan = planning.query_plan(&tree, &[], Some(&own))?;
        let (expression, input) = match plan {
            LogicalPlan::Projection(projection) if projection.expr.len() == 1 => {
                (projection.expr[0].clone().unalias(), projection.input)
            }
            _ => return Err(misplaced()),
        };
        let place = match body.projection.first() {
            Some(ast::SelectItem::UnnamedExpr(condition)) => place_of(&own, condition),
            _ => None,
        };
        if !matches!(input.as_ref(), LogicalPlan::SubqueryAlias(_) | LogicalPlan::TableScan(_)) {
            return Err(not_a_condition(&input).position(place));
        }
        check_boolean(&expression, input.schema()).map_err(|error| error.position(place))?;
        let condition = planning.state.create_physical_expr(expression, input.schema());
        Ok(Self { condition: condition.map_err(|error| translate(error, Some(&own)))? })
    }

    /// Which rows the condition is true of.
    pub(crate) fn chosen(&self, rows: &RecordBatch) -> Result<BooleanArray, FilterError> {
        self.evaluate(rows).map_err(|error| {
            // Computed for all rows at once, so the one that fails is looked for.
            let failing = (0..rows.num_rows()).find_map(|row| {
                let error = self.evaluate(&rows.slice(row, 1)).err()?;
                Some(FilterError { row, error })
            });
            failing.unwrap_or(FilterError { row: 0, error })
        })
    }

    fn evaluate(&self, rows: &RecordBatch) -> Result<BooleanArray, QueryError> {
        let value = self.condition.evaluate(rows).map_err(|error| translate(error, None))?;
        let array = value.into_array(rows.num_rows()).map_err(|error| translate(error, None))?;
        if *array.data_type() == DataType::Null {
            return Ok(BooleanArray::from(vec![false; array.len()]));
        }
        let chosen = array.as_boolean();
        Ok(match chosen.nulls() {
            Some(nulls) => BooleanArray::new(chosen.values() & nulls.inner(), None),
            None => chosen.clone(),
        })
    }
}

/// A text in which `piece` stands at the same place as in the source, with a word at its very beginning and nothing else.
pub(crate) fn alone_at(source: &str, start: usize, piece: &str, word: &str) -> String {
    let blank = |character: char| if character == '\n' { '\n' } else { ' ' };
    let mut text: String = source[..start].chars().map(blank).collect();
    // A statement that has such a piece begins with a longer word.
    if !word.is_empty() {
        text.replace_range(..word.len(), word);
    }
    text.push_str(piece);
    text
}

fn refuse_subqueries(condition: &[ast::SelectItem], statement: &Statement) -> Result<(), QueryError> {
    let mut finder = SubqueryFinder { statement };
    match condition.iter().try_for_each(|item| walk(item, &mut finder)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(place) => {
            Err(QueryError::new(ErrorKind::FeatureNotSupported, "cannot use subquery in COPY FROM WHERE condition")
                .position(place))
        }
    }
}

fn not_a_condition(input: &LogicalPlan) -> QueryError {
    match input {
        LogicalPlan::Aggregate(_) => {
            QueryError::new(ErrorKind::Grouping, "aggregate functions are not allowed in COPY FROM WHERE conditions")
        }
        LogicalPlan::Window(_) => {
            QueryError::new(ErrorKind::Windowing, "window functions are not allowed in COPY FROM WHERE conditions")
        }
        _ => QueryError::new(
            ErrorKind::FeatureNotSupported,
            "set-returning functions are not allowed in COPY FROM WHERE conditions",
        ),
    }
}

fn check_boolean(expression: &Expr, schema: &datafusion::common::DFSchema) -> Result<(), QueryError> {
    use datafusion::logical_expr::ExprSchemable;
    let (_, field) = expression.to_field(schema).map_err(|error| translate(error, None))?;
    if matches!(field.data_type(), DataType::Boolean | DataType::Null) {
        return Ok(());
    }
    let shown =
        catalog::sql_type::SqlType::from_field(&field).map_or_else(|| "unknown".into(), |known| known.base_name());
    let message = format!("argument of WHERE must be type boolean, not type {shown}");
    Err(QueryError::new(ErrorKind::DatatypeMismatch, message))
}
