//! Types that users make: enums and domains.
//!
//! A table's column of an enum holds the whole type in its own definition, so whoever has the table needs nothing else. A column of a
//! domain holds the base type, and names the domain with the version of its definition. So a type that changes changes the definitions
//! of all tables with columns of it, in the same commit, and rows that were made under the older ones meet a conflict.

use crate::definition::{BoundExpression, Column, ObjectName, TableDefinition};
use crate::enum_type::{EnumLabel, EnumParts, EnumType};
use crate::ids::ObjectId;
use crate::sql_type::SqlType;
use serde::{Deserialize, Serialize};

/// A type of CREATE TYPE or CREATE DOMAIN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeDefinition {
    pub id: ObjectId,
    /// The OID of the type of arrays of it.
    pub array: ObjectId,
    pub name: ObjectName,
    /// Counts the changes of this definition, and of the domain below.
    pub version: u32,
    pub kind: TypeKind,
}

/// What a type is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TypeKind {
    Enum { labels: Vec<EnumLabel> },
    Domain(DomainDefinition),
}

/// A base type with rules for its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainDefinition {
    /// The type of the values, which is no domain.
    pub sql_type: SqlType,
    /// Digits behind the second's point, to which times and timestamps are rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<u8>,
    /// The domain whose rules hold too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<DomainUse>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_null: bool,
    /// The default's SQL text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<DomainCheck>,
}

/// A `CHECK` constraint of a domain, over VALUE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainCheck {
    pub id: ObjectId,
    pub name: String,
    /// A value for which it is false is refused; NULL passes.
    pub expression: BoundExpression,
    /// Whether nobody asked if the values hold it that were there before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_valid: bool,
}

/// A domain as a column or another domain has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainUse {
    pub id: ObjectId,
    pub version: u32,
    /// The default of a value that has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
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
            TypeKind::Domain(domain) => domain.sql_type.clone(),
        }
    }

    pub fn domain(&self) -> Option<&DomainDefinition> {
        match &self.kind {
            TypeKind::Domain(domain) => Some(domain),
            TypeKind::Enum { .. } => None,
        }
    }

    /// The domain as what has it names it; `None` for another type.
    pub fn domain_use(&self) -> Option<DomainUse> {
        let domain = self.domain()?;
        let inherited = || domain.over.as_ref().and_then(|below| below.default.clone());
        let default = domain.default.clone().or_else(inherited);
        Some(DomainUse { id: self.id, version: self.version, default })
    }

    /// Whether a domain is made of another type.
    pub fn is_over(&self, id: ObjectId) -> bool {
        self.domain().is_some_and(|domain| {
            domain.over.as_ref().is_some_and(|below| below.id == id) || user_type_of(&domain.sql_type) == Some(id)
        })
    }

    /// The greatest OID that belongs to the type.
    pub(crate) fn last_object(&self) -> ObjectId {
        let parts: Vec<ObjectId> = match &self.kind {
            TypeKind::Enum { labels } => labels.iter().map(|label| label.id).collect(),
            TypeKind::Domain(domain) => domain.checks.iter().map(|check| check.id).collect(),
        };
        parts.into_iter().chain([self.id, self.array]).max().unwrap_or(self.id)
    }
}

/// The enum that a column's type is, or is an array of.
pub fn user_type_of(sql_type: &SqlType) -> Option<ObjectId> {
    match sql_type {
        SqlType::Array(item) => user_type_of(item),
        SqlType::Enum(known) => Some(known.parts().id),
        _ => None,
    }
}

/// A column's type where it is an enum that has become another.
pub fn with_user_type(sql_type: &SqlType, next: &TypeDefinition) -> Option<SqlType> {
    match sql_type {
        SqlType::Array(item) => Some(SqlType::Array(Box::new(with_user_type(item, next)?))),
        SqlType::Enum(known) if known.parts().id == next.id => Some(next.sql_type()),
        _ => None,
    }
}

impl Column {
    /// The types of the user's that the column has.
    pub fn user_types(&self) -> impl Iterator<Item = ObjectId> {
        user_type_of(&self.sql_type).into_iter().chain(self.domain.as_ref().map(|domain| domain.id))
    }

    /// Takes on a type's next definition, if it has an older one.
    pub fn follow_type(&mut self, next: &TypeDefinition) {
        if let Some(sql_type) = with_user_type(&self.sql_type, next) {
            self.sql_type = sql_type;
        }
        if self.domain.as_ref().is_some_and(|domain| domain.id == next.id) {
            self.domain = next.domain_use();
        }
    }
}

impl TableDefinition {
    /// The types of the user's that columns have.
    pub fn user_types(&self) -> impl Iterator<Item = ObjectId> {
        self.columns.iter().flat_map(Column::user_types)
    }
}
