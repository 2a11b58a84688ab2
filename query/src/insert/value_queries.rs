//! VALUES that are a query of their own: under UNION, or with ORDER BY or LIMIT, they have types before they come into columns.
//!
//!     INSERT INTO t VALUES ('yes')            'yes' is read as t's column
//!     INSERT INTO t VALUES ('yes') LIMIT 1    'yes' is a text, which is assigned to the column, or refused

use crate::assignment::{cast_syntax, is_default};
use crate::dialect::StatementDialect;
use crate::error::{ErrorKind, QueryError};
use crate::query_places::place_of;
use crate::statement::Statement;
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{self, Expr, SetExpr, TableFactor};
use datafusion::sql::sqlparser::parser::Parser;

/// The query that a list of values becomes; its own list stands in the place of this one.
const OF_VALUES: &str = "SELECT * FROM (VALUES (NULL)) AS \"*VALUES*\"";

/// Whether the lists of an INSERT's source are queries of their own.
pub(super) fn is_value_query(source: &ast::Query) -> bool {
    let is_ordered = source.order_by.is_some() || source.limit_clause.is_some() || source.fetch.is_some();
    match source.body.as_ref() {
        SetExpr::Values(_) => is_ordered,
        SetExpr::Query(inner) => is_value_query(inner) || (is_ordered && has_values(&inner.body)),
        SetExpr::SetOperation { left, right, .. } => has_values(left) || has_values(right),
        _ => false,
    }
}

fn has_values(body: &SetExpr) -> bool {
    match body {
        SetExpr::Values(_) => true,
        SetExpr::Query(query) => has_values(&query.body),
        SetExpr::SetOperation { left, right, .. } => has_values(left) || has_values(right),
        _ => false,
    }
}

/// Puts a query of each list of values in its place.
pub(super) fn select_values(body: &mut SetExpr, statement: &Statement) -> Result<(), QueryError> {
    match body {
        SetExpr::Values(values) => {
            if let Some(default) = values.rows.iter().flat_map(|row| row.iter()).find(|value| is_default(value)) {
                let error = QueryError::new(ErrorKind::Syntax, "DEFAULT is not allowed in this context");
                return Err(error.position(place_of(statement, default)));
            }
            type_nulls(values)?;
            let list = std::mem::replace(body, of_values()?);
            if let SetExpr::Select(select) = body
                && let Some(TableFactor::Derived { subquery, .. }) =
                    select.from.first_mut().map(|table| &mut table.relation)
            {
                *subquery.body = list;
            }
            Ok(())
        }
        SetExpr::Query(query) => select_values(&mut query.body, statement),
        SetExpr::SetOperation { left, right, .. } => {
            select_values(left, statement)?;
            select_values(right, statement)
        }
        _ => Ok(()),
    }
}

/// Makes texts of the columns that are NULL in all rows.
fn type_nulls(values: &mut ast::Values) -> Result<(), QueryError> {
    let width = values.rows.iter().map(|row| row.content.len()).min().unwrap_or(0);
    for column in 0..width {
        if values.rows.iter().all(|row| is_null(&row.content[column]))
            && let Some(first) = values.rows.first_mut()
        {
            let value = &mut first.content[column];
            let null = std::mem::replace(value, Expr::value(ast::Value::Null));
            *value = cast_syntax(null, &SqlType::Text)?;
        }
    }
    Ok(())
}

fn is_null(value: &Expr) -> bool {
    match value {
        Expr::Nested(inner) => is_null(inner),
        Expr::Value(value) => value.value == ast::Value::Null,
        _ => false,
    }
}

fn of_values() -> Result<SetExpr, QueryError> {
    let parser = Parser::new(&StatementDialect).try_with_sql(OF_VALUES);
    let query = parser.and_then(|mut parser| parser.parse_query());
    query.map(|query| *query.body).map_err(|error| QueryError::new(ErrorKind::Internal, error.to_string()))
}
