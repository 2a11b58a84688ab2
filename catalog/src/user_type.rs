//! Types that users make: enums.
//!
//! A table's column of such a type holds the whole type in its own definition, so whoever has the table needs nothing else. A type
//! that changes therefore changes the definitions of all tables with columns of it, in the same commit.

use crate::definition::{ObjectName, TableDefinition};
use crate::enum_type::{EnumLabel, EnumParts, EnumType};
use crate::ids::ObjectId;
use crate::sql_type::SqlType;
use serde::{Deserialize, Serialize};

/// A type of CREATE TYPE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeDefinition {
    pub id: ObjectId,
    /// The OID of the type of arrays of it.
    pub array: ObjectId,
    pub name: ObjectName,
    /// Counts the changes of this definition.
    pub version: u32,
    pub kind: TypeKind,
}

/// What a type is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TypeKind {
    Enum { labels: Vec<EnumLabel> },
}

impl TypeDefinition {
    /// The type of columns and values.
    pub fn sql_type(&self) -> SqlType {
        match &self.kind {
            TypeKind::Enum { labels } => SqlType::Enum(EnumType::new(EnumParts {
                id: self.id,
                array: self.array,
                name: self.name.clone(),
                labels: labels.clone(),
            })),
        }
    }

    /// The greatest OID that belongs to the type.
    pub(crate) fn last_object(&self) -> ObjectId {
        let TypeKind::Enum { labels } = &self.kind;
        labels.iter().map(|label| label.id).chain([self.id, self.array]).max().unwrap_or(self.id)
    }
}

/// The type of the user's that a column's type is, or is an array of.
pub fn user_type_of(sql_type: &SqlType) -> Option<ObjectId> {
    match sql_type {
        SqlType::Array(item) => user_type_of(item),
        SqlType::Enum(known) => Some(known.parts().id),
        _ => None,
    }
}

/// A column's type where it is one of the user's that has become another.
pub fn with_user_type(sql_type: &SqlType, next: &TypeDefinition) -> Option<SqlType> {
    match sql_type {
        SqlType::Array(item) => Some(SqlType::Array(Box::new(with_user_type(item, next)?))),
        SqlType::Enum(known) if known.parts().id == next.id => Some(next.sql_type()),
        _ => None,
    }
}

impl TableDefinition {
    /// The types of the user's that columns have.
    pub fn user_types(&self) -> impl Iterator<Item = ObjectId> {
        self.columns.iter().filter_map(|column| user_type_of(&column.sql_type))
    }
}
