//! What the names of relations mean to a [`Planning`]: tables, views, sequences, system relations, relations of the past.

use super::{EXCLUDED, PAST, PLACES, Planning, Sources, TARGET};
use crate::engine::{DATABASE, Engine};
use crate::engine_error::nearest;
use crate::error::{ErrorKind, QueryError};
use crate::pg_catalog::is_system_schema;
use crate::reads::TableRead;
use crate::scan::{Extra, RowSet, ScanLog, ScanTable, external};
use crate::statement_grammar::fold;
use crate::{column_origins, pg_catalog, temporary, view_reading};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use catalog::definition::ObjectName;
use catalog::ids::CommitSeq;
use catalog::sequence::SequenceVersion;
use catalog::snapshot::{Relation, TableVersion, ViewVersion};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, TableReference};
use datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use datafusion::logical_expr::TableSource;
use datafusion::logical_expr::logical_plan::builder::LogicalTableSource;
use datafusion::sql::sqlparser::ast;
use std::collections::BTreeSet;
use std::sync::Arc;
use views::LateRows;

/// Makes sources of row sets for one statement.
#[derive(Clone)]
pub(crate) struct RowSources {
    engine: Arc<Engine>,
    log: Arc<ScanLog>,
}

impl RowSources {
    /// A row set as a source, whose scans note what they read if anybody asks.
    pub(crate) fn of(&self, name: &str, rows: RowSet, read: Option<Arc<TableRead>>) -> Arc<dyn TableSource> {
        let programs = &self.engine.programs;
        let read_by_views = if rows.has_departed() { programs.columns_of(&rows.definition) } else { BTreeSet::new() };
        let table = ScanTable::new(name, rows, Arc::clone(&self.engine.store), Arc::clone(&self.log));
        let table = table.noting(read).knowing(Arc::clone(&self.engine.departed_rows), read_by_views);
        let table: Arc<dyn TableProvider> = Arc::new(table);
        provider_as_source(table)
    }

    /// The same of rows that are gathered when a plan reads them first.
    pub(crate) fn late(&self, name: String, gather: impl FnOnce() -> RowSet + Send + 'static) -> LateRows {
        let sources = self.clone();
        LateRows::new(move || sources.of(&name, gather(), None))
    }
}

/// The deepest nesting of views over views.
const VIEW_DEPTH_MAX: usize = 32;

impl Planning {
    /// The tables, views and system relations that a reference may mean, resolved.
    pub(crate) fn object_name(&self, name: &ast::ObjectName) -> std::result::Result<ObjectName, QueryError> {
        let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
        match parts.as_slice() {
            [name] => Ok(self.visible(name).unwrap_or_else(|| {
                let schema = self.creation_schema();
                ObjectName::new(schema.as_deref().unwrap_or("public"), name)
            })),
            [schema, name] => Ok(ObjectName::new(self.schema_named(schema), name)),
            [database, schema, name] if database == DATABASE => Ok(ObjectName::new(self.schema_named(schema), name)),
            [..] => Err(cross_database(&parts.join("."))),
        }
    }

    /// The schema that a name means, which a session may call its temporary one by.
    fn schema_named<'a>(&'a self, name: &'a str) -> &'a str {
        match &self.snapshot.temporary {
            Some(schema) if name == temporary::ALIAS => &schema.name,
            _ => name,
        }
    }

    /// What a name can mean, the first of the search path first.
    pub(crate) fn candidates(&self, name: &ast::ObjectName) -> std::result::Result<Vec<ObjectName>, QueryError> {
        match name.0.as_slice() {
            [only] => {
                let name = only.as_ident().map(fold).unwrap_or_default();
                let path = self.facts.lookup_path();
                Ok(path.into_iter().map(|schema| ObjectName::new(schema, &name)).collect())
            }
            _ => Ok(vec![self.object_name(name)?]),
        }
    }

    /// The schema that CREATE uses for an unqualified name: the first of the search path that exists, if one does.
    pub(crate) fn creation_schema(&self) -> Option<String> {
        let mut path = self.facts.effective_path(false).into_iter();
        path.find(|schema| self.snapshot.schemas.contains_key(schema) || is_system_schema(schema))
    }

    fn visible(&self, name: &str) -> Option<ObjectName> {
        let candidates = self.facts.lookup_path().into_iter().map(|schema| ObjectName::new(schema, name));
        { candidates }.find(|candidate| self.snapshot.names.contains_key(candidate))
    }

    /// A table or view of the user's; an error names the nearest one.
    pub(crate) fn relation(&self, name: &ObjectName, shown: &str) -> std::result::Result<Relation<'_>, QueryError> {
        self.snapshot.relation(name).ok_or_else(|| self.no_relation(shown))
    }

    fn no_relation(&self, shown: &str) -> QueryError {
        let bare = shown.rsplit('.').next().unwrap_or(shown);
        let error =
            QueryError::new(ErrorKind::UndefinedTable, format!("relation \"{shown}\" does not exist")).table(shown);
        let known = self.snapshot.names.keys().map(|name| name.name.as_str());
        match nearest(bare, known) {
            Some(name) if name != bare => error.hint(format!("Perhaps you meant the relation \"{name}\".")),
            _ => error,
        }
    }

    pub(super) fn resolve(&self, reference: &TableReference) -> Result<Arc<dyn TableSource>> {
        let (schema, name) = match reference {
            TableReference::Bare { table } => (None, table.to_string()),
            TableReference::Partial { schema, table } => (Some(schema.to_string()), table.to_string()),
            TableReference::Full { catalog, schema, table } if **catalog == *DATABASE => {
                (Some(schema.to_string()), table.to_string())
            }
            TableReference::Full { .. } => return Err(external(cross_database(&reference.to_string()))),
        };
        match &self.sources {
            Sources::Target(rows) | Sources::Upsert { target: rows, .. } if schema.is_none() && name == TARGET => {
                return Ok(Arc::clone(rows));
            }
            Sources::Upsert { excluded, .. } if schema.is_none() && name == EXCLUDED => {
                return Ok(Arc::clone(excluded));
            }
            _ => {}
        }
        let system = pg_catalog::relation(schema.as_deref().unwrap_or("pg_catalog"), &name);
        if let Some(relation) = system {
            return self.system_relation(relation);
        }
        if let Some((table, seq)) = name.rsplit_once(PAST) {
            return self.past_source(schema.as_deref(), table, seq);
        }
        let (name, with_places) = name.strip_suffix(PLACES).map_or((name.as_str(), false), |table| (table, true));
        let object = match &schema {
            Some(schema) => ObjectName::new(self.schema_named(schema), name),
            None => self.visible(name).ok_or_else(|| external(self.no_relation(name)))?,
        };
        match self.snapshot.relation(&object) {
            Some(Relation::Table(version)) if with_places => Ok(self.places_source(version)),
            Some(Relation::Table(version)) => Ok(self.table_source(version)),
            Some(Relation::View(view)) => self.view_source(view),
            Some(Relation::Sequence(sequence)) => self.sequence_source(sequence),
            None => Err(external(self.no_relation(&reference.to_string()))),
        }
    }

    /// A relation as it was after a commit.
    fn past_source(&self, schema: Option<&str>, name: &str, seq: &str) -> Result<Arc<dyn TableSource>> {
        self.depend_on_others();
        let past = seq.parse().ok().and_then(|seq| self.pasts.lock().get(&CommitSeq(seq)).cloned());
        let past = past.ok_or_else(|| external(self.no_relation(name)))?;
        let reference = TableReference::partial(schema.unwrap_or("public"), name);
        self.at(past).resolve(&reference)
    }

    fn system_relation(&self, relation: &'static pg_catalog::CatalogRelation) -> Result<Arc<dyn TableSource>> {
        if self.needs_no_rows() {
            return Ok(Arc::new(LogicalTableSource::new(relation.schema())));
        }
        self.depend_on_others();
        let batch = relation.batch(self.system.context(&self.snapshot));
        Ok(provider_as_source(Arc::new(MemTable::try_new(relation.schema(), vec![vec![batch]])?)))
    }

    pub(crate) fn table_source(&self, version: &Arc<TableVersion>) -> Arc<dyn TableSource> {
        let definition = &version.definition;
        if self.needs_no_rows() {
            return Arc::new(LogicalTableSource::new(definition.schema()));
        }
        let read = self.open_read(definition.id);
        self.depend_on(definition.id);
        self.read_source(&definition.name.name, RowSet::of_table(version, Extra::None), Some(read))
    }

    /// The rows of a table with their places.
    pub(crate) fn places_source(&self, version: &TableVersion) -> Arc<dyn TableSource> {
        let rows = RowSet::of_table(version, Extra::Place);
        self.depend_on_others();
        if self.needs_no_rows() {
            return Arc::new(LogicalTableSource::new(self.rows_source(&version.definition.name.name, rows).schema()));
        }
        let read = self.open_read(version.definition.id);
        self.read_source(&version.definition.name.name, rows, Some(read))
    }

    /// A row set as a source; `name` is what EXPLAIN calls it.
    pub(crate) fn rows_source(&self, name: &str, rows: RowSet) -> Arc<dyn TableSource> {
        self.row_sources().of(name, rows, None)
    }

    /// The same, whose scans note what they read.
    pub(crate) fn read_source(&self, name: &str, rows: RowSet, read: Option<Arc<TableRead>>) -> Arc<dyn TableSource> {
        self.row_sources().of(name, rows, read)
    }

    pub(crate) fn row_sources(&self) -> RowSources {
        RowSources { engine: Arc::clone(&self.engine), log: Arc::clone(&self.log) }
    }

    fn view_source(&self, view: &Arc<ViewVersion>) -> Result<Arc<dyn TableSource>> {
        if self.needs_no_rows() {
            return Ok(Arc::new(LogicalTableSource::new(view_schema(view))));
        }
        if !view.definition.populated {
            let message = format!("materialized view \"{}\" has not been populated", view.definition.name.name);
            let error = QueryError::new(ErrorKind::ObjectNotReady, message);
            return Err(external(error.hint("Use the REFRESH MATERIALIZED VIEW command.")));
        }
        let temporary = self.snapshot.temporary.as_ref();
        if temporary.is_some_and(|schema| schema.outdated.contains(&view.definition.id)) {
            return Err(external(temporary::outdated(&view.definition.name)));
        }
        self.note_view(view);
        self.depend_on(view.definition.id);
        let plan = self.nested(|| view_reading::read_plan(self, view))?;
        let plan = column_origins::of_view(plan, view.definition.id)?;
        Ok(provider_as_source(Arc::new(ViewTable::new(plan, None))))
    }

    /// Notes that the rows of a view are read, which may come from its state. Tables below a plain view note themselves.
    pub(crate) fn note_view(&self, view: &ViewVersion) {
        if !view.definition.is_plain() {
            self.note_read(view.definition.id);
        }
    }

    /// The one row of a sequence.
    fn sequence_source(&self, sequence: &SequenceVersion) -> Result<Arc<dyn TableSource>> {
        let fields = pg_catalog::SEQUENCE_COLUMNS.iter().map(|column| column.sql_type.field(&column.name, false));
        let schema: SchemaRef = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        if self.needs_no_rows() {
            return Ok(Arc::new(LogicalTableSource::new(schema)));
        }
        self.depend_on_others();
        let value = self.facts.sequences.value(sequence.definition.id);
        let (value, reserved) = value.unwrap_or((sequence.value, 0));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![value.last])),
            Arc::new(Int64Array::from(vec![reserved as i64])),
            Arc::new(BooleanArray::from(vec![value.called])),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        Ok(provider_as_source(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?)))
    }

    pub(super) fn nested<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let depth = {
            let mut depth = self.depth.lock();
            *depth += 1;
            *depth
        };
        let result = if depth > VIEW_DEPTH_MAX {
            Err(external(QueryError::new(ErrorKind::StatementTooComplex, "views are nested too deeply")))
        } else {
            body()
        };
        *self.depth.lock() -= 1;
        result
    }
}

/// The schema that readers of a view see.
fn view_schema(view: &ViewVersion) -> SchemaRef {
    let fields: Vec<_> = view.definition.columns.iter().map(|column| column.field(true)).collect();
    Arc::new(arrow::datatypes::Schema::new(fields))
}

fn cross_database(name: &str) -> QueryError {
    QueryError::new(
        ErrorKind::FeatureNotSupported,
        format!("cross-database references are not implemented: \"{name}\""),
    )
}
