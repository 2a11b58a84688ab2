//! Definitions as version 1 of the log and of the checkpoints wrote them: fields in a fixed order, without names.
//!
//! They are only read. What is written today are documents; see `stored`. The types here must keep their fields and order
//! for ever, or the files of version 1 would be read wrongly. The leaves that they share with the types in memory (ids, names, SQL
//! types, partition columns) are pinned by the bytes in `stored/version_1.hex`.

use crate::definition::{Column, ObjectName, PartitionColumn, TableDefinition, ViewDefinition};
use crate::ids::{ColumnId, ObjectId};
use crate::sql_type::SqlType;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct ColumnV1 {
    id: ColumnId,
    name: String,
    sql_type: SqlType,
    not_null: bool,
    default: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct TableDefinitionV1 {
    id: ObjectId,
    name: ObjectName,
    columns: Vec<ColumnV1>,
    partition_by: Vec<PartitionColumn>,
    order_by: Vec<ColumnId>,
    version: u32,
    state_of: Option<ObjectId>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ViewDefinitionV1 {
    id: ObjectId,
    name: ObjectName,
    query: String,
    time_zone: String,
    columns: Vec<ColumnV1>,
    inputs: Vec<ObjectId>,
    state: Option<TableDefinitionV1>,
    populated: bool,
}

impl From<ColumnV1> for Column {
    fn from(old: ColumnV1) -> Self {
        Self { not_null: old.not_null, default: old.default, ..Self::new(old.id, old.name, old.sql_type) }
    }
}

impl From<TableDefinitionV1> for TableDefinition {
    fn from(old: TableDefinitionV1) -> Self {
        Self {
            partition_by: old.partition_by,
            order_by: old.order_by,
            version: old.version,
            state_of: old.state_of,
            ..Self::new(old.id, old.name, old.columns.into_iter().map(Column::from).collect())
        }
    }
}

impl From<ViewDefinitionV1> for ViewDefinition {
    fn from(old: ViewDefinitionV1) -> Self {
        Self {
            id: old.id,
            name: old.name,
            query: old.query,
            time_zone: old.time_zone,
            columns: old.columns.into_iter().map(Column::from).collect(),
            inputs: old.inputs,
            state: old.state.map(TableDefinition::from),
            populated: old.populated,
            version: 0,
        }
    }
}
