//! Columns of segments: a table's columns found by their ids in files that were written under older definitions.
//!
//! A renamed column lies in an older file under its older name, a column that came later does not lie in it at all, and the name of a
//! column may have been that of another. So each expression of a scan is rewritten for each file:
//!
//!     zone > 'A' AND tax = 0      ▶   region > 'A' AND 0.19 = 0
//!     table: 1 zone, 4 tax            file: 1 region; tax is its missing value

use arrow::datatypes::{Field, SchemaRef};
use catalog::definition::TableDefinition;
use catalog::fitting::{column_of, position_in};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::expressions::{CastExpr, Column, lit};
use std::sync::Arc;
use storage::intervals::stored;

/// Rewrites for the files of one table.
#[derive(Debug)]
pub(crate) struct SegmentColumns(pub Arc<TableDefinition>);

#[derive(Debug)]
struct OfFile {
    definition: Arc<TableDefinition>,
    table: SchemaRef,
    file: SchemaRef,
}

impl PhysicalExprAdapterFactory for SegmentColumns {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        Ok(Arc::new(OfFile { definition: Arc::clone(&self.0), table, file }))
    }
}

impl PhysicalExprAdapter for OfFile {
    fn rewrite(&self, expression: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let rewritten = expression.transform(|part| match part.downcast_ref::<Column>() {
            Some(column) => Ok(Transformed::yes(self.column(column)?)),
            None => Ok(Transformed::no(part)),
        });
        rewritten.data()
    }
}

impl OfFile {
    fn column(&self, column: &Column) -> Result<Arc<dyn PhysicalExpr>> {
        let wanted = self.table.field_with_name(column.name())?;
        let position = match column_of(wanted) {
            Some(id) => match position_in(&self.file, id) {
                Some(position) => position,
                None => return self.missing(wanted, id),
            },
            // A virtual column, such as a row's number, has the same name in both.
            None => self.file.index_of(column.name())?,
        };
        let written = self.file.field(position);
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(written.name(), position));
        if written.data_type() == wanted.data_type() {
            return Ok(column);
        }
        Ok(Arc::new(CastExpr::new_with_target_field(column, Arc::new(wanted.clone()), None)))
    }

    fn missing(&self, wanted: &Field, id: catalog::ids::ColumnId) -> Result<Arc<dyn PhysicalExpr>> {
        let known = self.definition.column(id).and_then(|column| column.missing.as_ref());
        Ok(lit(match known {
            Some(value) => ScalarValue::try_from_array(&stored(value.value())?, 0)?,
            None => ScalarValue::try_from(wanted.data_type())?,
        }))
    }
}
