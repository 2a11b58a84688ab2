//! SET NOT NULL and DROP NOT NULL: which columns must have a value, and whether they have one in the rows that are there.

use crate::altering::{Alter, has_rows};
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::scan::{Extra, RowSet};
use crate::session::Session;
use catalog::ids::ColumnId;
use datafusion::common::Column as PlanColumn;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::Ident;

impl Alter<'_> {
    pub(crate) fn set_not_null(&mut self, column: &Ident, not_null: bool) -> Result<(), QueryError> {
        let position = self.position(column)?;
        if !not_null {
            self.refuse_nullable(position)?;
        }
        let column = &mut self.next.columns[position];
        if not_null && !column.not_null {
            self.not_null.push(column.id);
        }
        column.not_null = not_null;
        Ok(())
    }

    /// A column of a primary key, and one that numbers its rows, stays NOT NULL.
    fn refuse_nullable(&self, position: usize) -> Result<(), QueryError> {
        let column = &self.next.columns[position];
        if self.next.keys.iter().any(|key| key.primary && key.columns.contains(&column.id)) {
            let message = format!("column \"{}\" is in a primary key", column.name);
            return Err(QueryError::new(ErrorKind::InvalidTableDefinition, message).column(&column.name));
        }
        if column.identity.is_some() {
            let table = &self.next.name.name;
            let message = format!("column \"{}\" of relation \"{table}\" is an identity column", column.name);
            return Err(QueryError::new(ErrorKind::Syntax, message).column(&column.name));
        }
        Ok(())
    }

    /// Looks for NULLs in the columns that become NOT NULL.
    pub(crate) async fn check_nulls(&mut self, session: &Session) -> Result<(), QueryError> {
        for id in std::mem::take(&mut self.not_null) {
            let Some(position) = self.next.position(id) else { continue };
            self.depend_on_rows();
            self.next.columns[position].nulls_before = true;
            if self.has_nulls(session, id).await? {
                let (name, table) = (&self.next.columns[position].name, &self.version.definition.name);
                let message = format!("column \"{name}\" of relation \"{}\" contains null values", table.name);
                let mut error = QueryError::new(ErrorKind::NotNullViolation, message).table(&table.name).column(name);
                error.schema = Some(table.schema.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    async fn has_nulls(&self, session: &Session, id: ColumnId) -> Result<bool, QueryError> {
        let Some(column) = self.version.definition.column(id) else {
            let has_value = self.next.column(id).is_some_and(|added| added.missing.is_some());
            return Ok(!has_value && self.version.rows_live() > 0);
        };
        // A column that changes its type is looked at when its rows are written anew.
        if self.retyped.iter().any(|retyped| retyped.id == id && !retyped.keeps_bytes) {
            return Ok(false);
        }
        let name = &self.version.definition.name.name;
        let source = self.planning.rows_source(name, RowSet::of_table(self.version, Extra::None));
        let is_null = Expr::Column(PlanColumn::new(Some(name.clone()), &column.name)).is_null();
        let plan = LogicalPlanBuilder::scan(name.as_str(), source, None)
            .and_then(|plan| plan.filter(is_null))
            .and_then(|plan| plan.limit(0, Some(1)))
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| translate(error, None))?;
        has_rows(session, self.planning, plan).await
    }
}
