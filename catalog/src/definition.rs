//! Definitions: what a schema, a table and a materialized view are, without their rows.
//!
//! On disk a definition is a JSON document of these types (see `stored`). *Adding a field:* give it `#[serde(default)]` and
//! skip it where it says nothing; older files stay readable then. A server that does not know a field refuses the file
//! that has it, so that a rule of a table is never forgotten.

use crate::ids::{ColumnId, CommitSeq, ObjectId};
use crate::missing::MissingValue;
use crate::sequence::next_number;
use crate::sql_type::{DOMAIN_KEY, FIELD_ID_KEY, MODIFIER_KEY, SqlType};
use crate::user_type::DomainUse;
use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A name qualified by its schema.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    pub schema: String,
    pub name: String,
}

impl ObjectName {
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }
}

/// `schema.name`, without quotes; for messages.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub id: ColumnId,
    pub name: String,
    pub sql_type: SqlType,
    pub not_null: bool,
    /// The default's SQL text.
    pub default: Option<String>,
    /// Set for a column whose value is always computed from the others of its row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<BoundExpression>,
    /// Set for a column that numbers its rows by a sequence of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// What rows that were written before the column was added have in it; NULL where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<MissingValue>,
    /// Whether dead rows may hold NULLs although the column has become NOT NULL, so that its batches are nullable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nulls_before: bool,
    /// Digits behind the second's point, to which times and timestamps are rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<u8>,
    /// The domain that values belong to; `sql_type` and `digits` are those of its base type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainUse>,
}

/// Whether values may be given for an identity column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityKind {
    Always,
    ByDefault,
}

/// `GENERATED … AS IDENTITY`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub kind: IdentityKind,
    pub sequence: ObjectId,
}

impl Column {
    /// Whether rows of the table may have NULL in it, be it that they came before it was NOT NULL.
    fn is_nullable(&self) -> bool {
        !self.not_null || self.nulls_before
    }

    fn column_type(&self) -> ColumnType {
        (self.id, self.sql_type.clone(), self.digits, self.domain.as_ref().map(|domain| domain.id))
    }

    /// A column that may be NULL and has no default.
    pub fn new(id: ColumnId, name: impl Into<String>, sql_type: SqlType) -> Self {
        Self {
            id,
            name: name.into(),
            sql_type,
            not_null: false,
            default: None,
            generated: None,
            identity: None,
            missing: None,
            nulls_before: false,
            digits: None,
            domain: None,
        }
    }

    /// `pg_attribute.atttypmod`; -1 for none.
    pub fn typmod(&self) -> i32 {
        self.digits.map_or(self.sql_type.typmod(), i32::from)
    }

    /// The field of the column's values.
    pub fn field(&self, nullable: bool) -> Field {
        let field = self.sql_type.field(&self.name, nullable);
        if self.digits.is_none() && self.domain.is_none() {
            return field;
        }
        let mut metadata = field.metadata().clone();
        metadata.extend(self.digits.map(|digits| (MODIFIER_KEY.to_string(), digits.to_string())));
        metadata.extend(self.domain.as_ref().map(|domain| (DOMAIN_KEY.to_string(), domain.id.to_string())));
        field.with_metadata(metadata)
    }

    /// The SQL text of the value that a row without one gets; `None` for NULL.
    pub fn missing_value(&self) -> Option<Cow<'_, str>> {
        let number = |identity: &Identity| Cow::Owned(next_number(identity.sequence));
        let of_domain = || self.domain.as_ref().and_then(|domain| domain.default.as_deref());
        let default = || self.default.as_deref().or_else(of_domain);
        self.identity.as_ref().map(number).or_else(|| default().map(Cow::Borrowed))
    }
}

/// An expression over the columns of one table, as it was bound when it was defined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundExpression {
    /// SQL text; sequences are named by their ids.
    pub text: String,
    /// The TimeZone setting that it was defined under.
    pub time_zone: String,
}

/// A `CHECK` constraint of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckConstraint {
    pub id: ObjectId,
    pub name: String,
    /// A row for which it is false is refused; NULL passes.
    pub expression: BoundExpression,
}

/// What `PARTITION BY` does with a column before rows are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transform {
    Identity,
    /// The calendar day, month, quarter or year of a date or timestamp; its value is text such as `2025-03`.
    Day,
    Month,
    Quarter,
    Year,
}

/// One item of `PARTITION BY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionColumn {
    pub column: ColumnId,
    pub transform: Transform,
}

/// A PRIMARY KEY or UNIQUE constraint: no two rows have equal values in all of its columns. NULL equals nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The OID of the constraint, and of the index that clients see behind it.
    pub id: ObjectId,
    pub name: String,
    pub columns: Vec<ColumnId>,
    pub primary: bool,
    /// Whether it was made by CREATE UNIQUE INDEX, and so is an index and no constraint.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub index: bool,
}

/// An index that CREATE INDEX asked for. It is a name that is kept: nothing is built for it, and no row is found by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainIndex {
    pub id: ObjectId,
    pub name: String,
    /// The access method that it asked for, such as `btree`.
    pub method: String,
    pub items: Vec<IndexItem>,
    /// The columns of INCLUDE.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included: Vec<ColumnId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<BoundExpression>,
}

impl PlainIndex {
    /// The columns that it names outside of expressions.
    pub fn columns(&self) -> impl Iterator<Item = ColumnId> {
        let items = self.items.iter().filter_map(|item| match item.of {
            Indexed::Column(column) => Some(column),
            Indexed::Expression(_) => None,
        });
        items.chain(self.included.iter().copied())
    }

    /// Its expressions, that of WHERE last.
    pub fn expressions(&self) -> impl Iterator<Item = &BoundExpression> {
        let items = self.items.iter().filter_map(|item| match &item.of {
            Indexed::Expression(expression) => Some(expression),
            Indexed::Column(_) => None,
        });
        items.chain(self.predicate.as_ref())
    }

    pub fn expressions_mut(&mut self) -> impl Iterator<Item = &mut BoundExpression> {
        let items = self.items.iter_mut().filter_map(|item| match &mut item.of {
            Indexed::Expression(expression) => Some(expression),
            Indexed::Column(_) => None,
        });
        items.chain(self.predicate.as_mut())
    }
}

/// What one item of an index is about, and how it is sorted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexItem {
    pub of: Indexed,
    /// The operator class that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub descending: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nulls_first: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Indexed {
    Column(ColumnId),
    Expression(BoundExpression),
}

/// An age by the calendar, above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    pub months: u32,
    pub days: u32,
}

/// The version of a definition that was never altered.
pub const FIRST_VERSION: u32 = 1;

/// A table. `order_by` is the sort key of its segments, ascending with nulls last, possibly empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableDefinition {
    pub id: ObjectId,
    pub name: ObjectName,
    pub columns: Vec<Column>,
    pub partition_by: Vec<PartitionColumn>,
    pub order_by: Vec<ColumnId>,
    /// Counts the changes of this definition.
    pub version: u32,
    /// Set for the hidden table that keeps a view's state.
    pub state_of: Option<ObjectId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckConstraint>,
    /// In the order in which they were made; of those that CREATE TABLE made the primary key is the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// In the order in which they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plain_indexes: Vec<PlainIndex>,
    /// Rows that were made under an earlier version need not fit; a draft with such rows conflicts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_fit_from: u32,
    /// The greatest id of a column that was dropped; ids are never given twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_dropped: Option<ColumnId>,
    /// How old rows may get before they are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Not a part of what the definition says.
    #[serde(skip)]
    pub known_schema: KnownSchema,
}

/// What a schema says of a column beside its name.
type ColumnType = (ColumnId, SqlType, Option<u8>, Option<ObjectId>);

/// The Arrow schema of a definition's columns once somebody asked for it, beside what it says of each of them.
#[derive(Debug, Default)]
pub struct KnownSchema(OnceLock<(Vec<ColumnType>, SchemaRef)>);

impl KnownSchema {
    /// The schema, if it still is that of `columns`: a definition may change until it is committed.
    fn of(&self, columns: &[Column]) -> Option<SchemaRef> {
        let (types, schema) = self.0.get()?;
        let same = |((column, field), known): ((&Column, &Arc<Field>), &ColumnType)| {
            column.column_type() == *known
                && column.name == *field.name()
                && column.is_nullable() == field.is_nullable()
        };
        let fits = columns.len() == types.len() && columns.iter().zip(schema.fields()).zip(types).all(same);
        fits.then(|| Arc::clone(schema))
    }
}

/// A copy is made to be changed and begins without one.
impl Clone for KnownSchema {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for KnownSchema {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for KnownSchema {}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(version: &u32) -> bool {
    *version == 0
}

impl TableDefinition {
    /// A table in its first version, with neither partitions nor a sort key.
    pub fn new(id: ObjectId, name: ObjectName, columns: Vec<Column>) -> Self {
        Self {
            id,
            name,
            columns,
            partition_by: Vec::new(),
            order_by: Vec::new(),
            version: FIRST_VERSION,
            state_of: None,
            checks: Vec::new(),
            keys: Vec::new(),
            rows_fit_from: 0,
            last_dropped: None,
            plain_indexes: Vec::new(),
            retention: None,
            known_schema: KnownSchema::default(),
        }
    }

    /// The Arrow schema of the table's batches and segments: columns in order, SQL types and field ids in the metadata. Every call
    /// gives the same one, and so every batch of the table shares it.
    pub fn schema(&self) -> SchemaRef {
        self.known_schema.of(&self.columns).unwrap_or_else(|| {
            let types = self.columns.iter().map(Column::column_type).collect();
            let schema = self.new_schema();
            // Where one of other columns is known already, it stays.
            let _ = self.known_schema.0.set((types, Arc::clone(&schema)));
            schema
        })
    }

    fn new_schema(&self) -> SchemaRef {
        let fields: Vec<_> = self
            .columns
            .iter()
            .map(|column| {
                let field = column.field(column.is_nullable());
                let mut metadata = field.metadata().clone();
                metadata.insert(FIELD_ID_KEY.to_string(), column.id.0.to_string());
                field.with_metadata(metadata)
            })
            .collect();
        Arc::new(Schema::new(fields))
    }

    /// The id of the next column to be added.
    pub fn next_column(&self) -> ColumnId {
        let present = self.columns.iter().map(|column| column.id);
        ColumnId(present.chain(self.last_dropped).max().map_or(1, |last| last.0 + 1))
    }

    /// The position of a column in the schema.
    /// The ids and names of its indexes: those behind its keys, and plain ones.
    pub fn indexes(&self) -> impl Iterator<Item = (ObjectId, &str)> {
        let keys = self.keys.iter().map(|key| (key.id, key.name.as_str()));
        keys.chain(self.plain_indexes.iter().map(|index| (index.id, index.name.as_str())))
    }

    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|column| column.id == id)
    }

    pub fn column(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// The name of a partition item in paths and in `meridian.partitions`, e.g. `sale_date_month`.
    pub fn partition_label(&self, item: &PartitionColumn) -> String {
        let name = self.column(item.column).map_or("", |column| column.name.as_str());
        match item.transform {
            Transform::Identity => name.to_string(),
            Transform::Day => format!("{name}_day"),
            Transform::Month => format!("{name}_month"),
            Transform::Quarter => format!("{name}_quarter"),
            Transform::Year => format!("{name}_year"),
        }
    }
}

/// A view, materialized or plain. The text is the *bound* definition: names qualified, `*` expanded, settings frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewDefinition {
    pub id: ObjectId,
    pub name: ObjectName,
    /// The view's query as it is planned at every start.
    pub query: String,
    /// The TimeZone setting that the query was defined under; empty for a plain view, which has that of its reader.
    pub time_zone: String,
    /// The output columns in order.
    pub columns: Vec<Column>,
    /// The tables and views that the query reads.
    pub inputs: Vec<ObjectId>,
    /// The hidden table that keeps the state's runs; `None` for a view that is recomputed.
    pub state: Option<TableDefinition>,
    /// False after `WITH NO DATA` until the first REFRESH.
    pub populated: bool,
    /// Counts the changes of this definition; zero in those that were stored before they were counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub version: u32,
}

impl ViewDefinition {
    /// Whether it is a plain view: a name for a query of which nothing is kept.
    pub fn is_plain(&self) -> bool {
        self.time_zone.is_empty()
    }

    /// What DROP and errors call it.
    pub fn kind(&self) -> &'static str {
        if self.is_plain() { "view" } else { "materialized view" }
    }
}

/// What is kept of a view at one snapshot beside its definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewProgress {
    /// The commit up to which the state has folded the view's inputs; `None` while there is no state.
    pub frontier: Option<CommitSeq>,
}
