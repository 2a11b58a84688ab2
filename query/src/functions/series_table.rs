//! The table that generate_series with constant arguments is in FROM. Its rows are made batch by batch while they are read.

use super::series::{GENERATE_SERIES, Series, Values, generate_series, value_type};
use crate::error::QueryError;
use crate::operators::casts::{CastContext, cast_array, cast_type};
use crate::scan::external;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use catalog::sql_type::SqlType;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::memory::{LazyBatchGenerator, LazyMemoryExec};
use parking_lot::RwLock;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A series between constants.
#[derive(Clone, Debug)]
pub(crate) struct SeriesTable {
    schema: SchemaRef,
    /// A row of the arguments, in the types of the overload.
    arguments: Vec<ArrayRef>,
    context: CastContext,
}

impl SeriesTable {
    /// The table for arguments with their types, of which `None` is that of a literal whose type is open.
    pub(crate) fn new(
        arguments: &[(ScalarValue, Option<SqlType>)],
        context: CastContext,
    ) -> std::result::Result<Self, QueryError> {
        let known: Vec<Option<SqlType>> = arguments.iter().map(|(_, known)| known.clone()).collect();
        let types = generate_series().argument_types(&known)?;
        let converted = arguments.iter().zip(&types).map(|((value, from), to)| {
            let from = from.clone().unwrap_or(SqlType::Text);
            let value = value.to_array().map_err(|error| QueryError::unsupported(error.to_string()))?;
            cast_array(&value, &from, &cast_type(&from, to), &context)
        });
        let arguments = converted.collect::<std::result::Result<Vec<ArrayRef>, QueryError>>()?;
        let value_type = value_type(&arguments);
        let field = match SqlType::from_data_type(&value_type) {
            Some(sql_type) => sql_type.field(GENERATE_SERIES, true),
            None => unreachable!("a series has a type of PostgreSQL"),
        };
        Ok(Self { schema: Arc::new(Schema::new(vec![field.with_data_type(value_type)])), arguments, context })
    }
}

#[async_trait]
impl TableProvider for SeriesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows_max = state.config_options().execution.batch_size.get();
        let rows = SeriesRows { table: self.clone(), rows_max, series: None };
        let scan = LazyMemoryExec::try_new(self.schema(), vec![Arc::new(RwLock::new(rows))])?;
        Ok(Arc::new(scan.with_projection(projection.cloned())))
    }
}

/// The rows that are still to come; the series begins with the first of them.
struct SeriesRows {
    table: SeriesTable,
    rows_max: usize,
    /// `Some(None)` for one without rows.
    series: Option<Option<Series>>,
}

impl SeriesRows {
    fn next_values(&mut self) -> std::result::Result<Option<ArrayRef>, QueryError> {
        if self.series.is_none() {
            self.series = Some(Series::at(&self.table.arguments, 0, self.table.context.zone)?);
        }
        let Some(series) = self.series.as_mut().and_then(Option::as_mut) else { return Ok(None) };
        let value_type = self.table.schema.field(0).data_type();
        let mut values = Values::new(value_type);
        if series.fill(&mut values, self.rows_max)? == 0 {
            return Ok(None);
        }
        values.into_array(value_type).map(Some)
    }
}

impl LazyBatchGenerator for SeriesRows {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn generate_next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let values = self.next_values().map_err(external)?;
        Ok(values.map(|values| RecordBatch::try_new(self.table.schema(), vec![values])).transpose()?)
    }

    fn reset_state(&self) -> Arc<RwLock<dyn LazyBatchGenerator>> {
        Arc::new(RwLock::new(Self { table: self.table.clone(), rows_max: self.rows_max, series: None }))
    }
}

impl fmt::Debug for SeriesRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeriesRows").field("table", &self.table).finish_non_exhaustive()
    }
}

impl fmt::Display for SeriesRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(GENERATE_SERIES)
    }
}
