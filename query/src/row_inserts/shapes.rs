//! Shapes: what INSERTs into the same columns of a table have in common, resolved once. A shape holds as long as the names, settings,
//! types and the definition of its table are those that it was resolved by.

use super::{RowInsert, STATEMENT_ROWS_MAX};
use crate::column_defaults::numbering_of;
use crate::constant_defaults::constant_default_value;
use crate::engine_error::translate;
use crate::error::QueryError;
use crate::insert::{constant_rows, refuse_types, refuse_values, target, target_columns};
use crate::planner::Planning;
use crate::response::ResultColumn;
use crate::row_rules::RowRules;
use crate::session::Session;
use crate::statement::{Overriding, Statement};
use crate::statement_grammar::fold;
use crate::user_types::KnownTypes;
use arrow::array::RecordBatch;
use catalog::definition::{Column, ObjectName, TableDefinition};
use catalog::ids::ObjectId;
use catalog::snapshot::Snapshot;
use catalog::sql_type::SqlType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the value of a column comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// The statement gives it, at this place of each row.
    Given(usize),
    /// What the column has where a statement gives nothing.
    Default(ScalarValue),
    /// The next number of a sequence.
    Number(ObjectId),
}

/// What INSERTs into the same columns of a table have in common.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(super) written: Written,
    /// The names and settings that it was resolved by; with others its table may be another.
    names: Arc<BTreeMap<ObjectName, ObjectId>>,
    settings_revision: u64,
    /// What the names of types in casts mean.
    types: KnownTypes,
    pub(super) definition: Arc<TableDefinition>,
    pub(super) rules: Arc<RowRules>,
    pub(super) targets: Vec<usize>,
    /// By column.
    pub(super) sources: Vec<Source>,
    pub(super) returned: Option<Returned>,
}

/// How an INSERT is written, but for its values.
#[derive(Debug)]
pub(super) struct Written {
    table: ast::TableObject,
    alias: Option<ast::Ident>,
    columns: Vec<ast::ObjectName>,
    /// The values of its first row.
    pub(super) width: usize,
    overriding: Overriding,
    returning: Option<Vec<ast::SelectItem>>,
}

/// The columns that RETURNING names.
#[derive(Debug)]
pub(super) struct Returned {
    positions: Vec<usize>,
    pub(super) columns: Vec<ResultColumn>,
}

impl Written {
    pub(super) fn of(insert: &ast::Insert, overriding: Overriding, width: usize) -> Self {
        Self {
            table: insert.table.clone(),
            alias: insert.table_alias.as_ref().map(|alias| alias.alias.clone()),
            columns: insert.columns.clone(),
            width,
            overriding,
            returning: insert.returning.clone(),
        }
    }

    pub(super) fn fits(&self, insert: &ast::Insert, overriding: Overriding, width: usize) -> bool {
        self.width == width
            && self.overriding == overriding
            && self.table == insert.table
            && self.alias.as_ref() == insert.table_alias.as_ref().map(|alias| &alias.alias)
            && self.columns == insert.columns
            && self.returning == insert.returning
    }
}

/// The number of values in the first row; `None` for an INSERT that takes the long way.
pub(super) fn width(insert: &ast::Insert) -> Option<usize> {
    let ast::SetExpr::Values(values) = insert.source.as_ref()?.body.as_ref() else { return None };
    let is_short = insert.on.is_none() && values.rows.len() <= STATEMENT_ROWS_MAX;
    is_short.then(|| values.rows.first().map_or(0, |row| row.len()))
}

impl Shape {
    /// `None` for an INSERT that takes the long way.
    pub(super) fn resolve(
        session: &mut Session,
        written: Written,
        insert: &ast::Insert,
        statement: &Statement,
    ) -> Result<Option<Self>, QueryError> {
        let planning: Arc<Planning> = session.planning()?;
        let definition = target(&planning, insert, statement)?;
        let targets = target_columns(&definition, insert, statement)?;
        let returned = match &insert.returning {
            Some(items) => match returned_positions(items, insert, &definition) {
                Some(positions) => {
                    let columns = crate::insert::columns(&planning, insert, &[], statement)?.unwrap_or_default();
                    Some(Returned { positions, columns })
                }
                None => return Ok(None),
            },
            None => None,
        };
        let rules = RowRules::of(&planning, &definition)?;
        if !rules.is_immutable() {
            return Ok(None);
        }
        let style = session.output_style();
        let mut sources = Vec::with_capacity(definition.columns.len());
        for (position, column) in definition.columns.iter().enumerate() {
            sources.push(match targets.iter().position(|target| *target == position) {
                Some(place) => Source::Given(place),
                None => match numbering_of(column) {
                    Some(sequence) => Source::Number(sequence),
                    None => match constant_default_value(column, &style)? {
                        Some(value) => Source::Default(value),
                        None => return Ok(None),
                    },
                },
            });
        }
        let (names, settings_revision) = (Arc::clone(&planning.snapshot.names), session.settings.revision());
        let types = planning.known_types();
        Ok(Some(Self { written, names, settings_revision, types, definition, rules, targets, sources, returned }))
    }

    /// Whether statements of the shape still mean the same.
    pub(super) fn is_current(&self, snapshot: &Snapshot, settings_revision: u64) -> bool {
        let version = snapshot.tables.get(&self.definition.id);
        Arc::ptr_eq(&self.names, &snapshot.names)
            && self.settings_revision == settings_revision
            && self.rules.mean_types(&snapshot.types)
            && version.is_some_and(|version| Arc::ptr_eq(&version.definition, &self.definition))
    }

    /// Whether there is more to ask of a row than its values, or to tell of it.
    pub(super) fn is_strict(&self) -> bool {
        self.rules.has_expressions() || !self.definition.keys.is_empty() || self.returned.is_some()
    }

    /// The values of a statement of the shape, whose parameters are of these types; `None` where it takes the long way.
    pub(super) fn read(
        self: Arc<Self>,
        insert: &ast::Insert,
        statement: &Statement,
        parameters: &[SqlType],
    ) -> Result<Option<RowInsert>, QueryError> {
        let Self { definition, targets, written, .. } = self.as_ref();
        refuse_values(insert, written.overriding, definition, targets)?;
        let _types = self.types.clone().enter();
        let rows = constant_rows(insert, written.overriding, definition, targets, statement, is_numbered)?;
        let Some(rows) = rows else { return Ok(None) };
        refuse_types(insert, (definition, targets), &rows, parameters, statement)?;
        Ok(Some(RowInsert { shape: self, rows }))
    }
}

/// The columns of a table that a RETURNING list names; `None` for a list of more than columns.
fn returned_positions(
    items: &[ast::SelectItem],
    insert: &ast::Insert,
    definition: &TableDefinition,
) -> Option<Vec<usize>> {
    let own = insert.table_alias.as_ref().map_or_else(|| definition.name.name.clone(), |alias| fold(&alias.alias));
    let named = |name: &ast::Ident| {
        let name = fold(name);
        definition.columns.iter().position(|column| column.name == name)
    };
    let mut positions = Vec::new();
    for item in items {
        match item {
            ast::SelectItem::Wildcard(options) if *options == ast::WildcardAdditionalOptions::default() => {
                positions.extend(0..definition.columns.len());
            }
            ast::SelectItem::UnnamedExpr(expression) | ast::SelectItem::ExprWithAlias { expr: expression, .. } => {
                positions.push(match expression {
                    ast::Expr::Identifier(name) => named(name)?,
                    ast::Expr::CompoundIdentifier(names) => match names.as_slice() {
                        [table, name] if fold(table) == own => named(name)?,
                        _ => return None,
                    },
                    _ => return None,
                });
            }
            _ => return None,
        }
    }
    Some(positions)
}

pub(super) fn is_numbered(column: &Column) -> bool {
    numbering_of(column).is_some()
}

impl Returned {
    pub(super) fn of(&self, checked: &RecordBatch) -> Result<(Vec<ResultColumn>, RecordBatch), QueryError> {
        let batch = checked.project(&self.positions).map_err(|error| translate(error.into(), None))?;
        Ok((self.columns.clone(), batch))
    }
}
