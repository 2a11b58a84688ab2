//! What operations do to types.

use super::Conflict;
use crate::definition::{Column, TableDefinition};
use crate::ids::ObjectId;
use crate::snapshot::Snapshot;
use crate::user_type::{DomainUse, TypeDefinition};
use std::sync::Arc;

impl Snapshot {
    pub(super) fn create_type(&mut self, definition: &Arc<TypeDefinition>) -> Result<(), Conflict> {
        self.check_type_name(definition)?;
        self.check_below(definition)?;
        self.note_object(definition.last_object());
        Arc::make_mut(&mut self.types).insert(definition.id, Arc::clone(definition));
        Ok(())
    }

    /// Types have names of their own; that no relation is called like one is up to those who make them.
    fn check_type_name(&self, definition: &TypeDefinition) -> Result<(), Conflict> {
        if !self.schemas.contains_key(&definition.name.schema) {
            return Err(Conflict::SchemaChanged(definition.name.schema.clone()));
        }
        match self.type_named(&definition.name) {
            Some(other) if other.id != definition.id => Err(Conflict::NameTaken(definition.name.clone())),
            _ => Ok(()),
        }
    }

    /// What a domain is made of is there, as the domain has it.
    fn check_below(&self, definition: &TypeDefinition) -> Result<(), Conflict> {
        let Some(domain) = definition.domain() else { return Ok(()) };
        let base =
            Column { domain: domain.over.clone(), ..Column::new(crate::ids::ColumnId(0), "", domain.sql_type.clone()) };
        self.check_column_types(&base)
    }

    /// All tables and domains have it in their definitions already.
    pub(super) fn alter_type(&mut self, definition: &Arc<TypeDefinition>) -> Result<(), Conflict> {
        let id = definition.id;
        let before = self.types.get(&id).map(|known| known.version + 1);
        let mut columns = self.tables.values().flat_map(|table| &table.definition.columns);
        let is_outdated = |column: &Column| {
            let mut next = column.clone();
            next.follow_type(definition);
            next != *column
        };
        if before != Some(definition.version) || columns.any(is_outdated) {
            return Err(Conflict::ObjectChanged(id));
        }
        self.create_type(definition)
    }

    pub(super) fn drop_type(&mut self, id: ObjectId) -> Result<(), Conflict> {
        let in_tables = self.tables.values().any(|table| table.definition.user_types().any(|used| used == id));
        let used = in_tables || self.types.values().any(|known| known.is_over(id));
        if used || Arc::make_mut(&mut self.types).remove(&id).is_none() {
            return Err(Conflict::ObjectChanged(id));
        }
        Ok(())
    }

    /// A new table's types are there, as the table has them.
    pub(super) fn check_types(&self, definition: &TableDefinition) -> Result<(), Conflict> {
        definition.columns.iter().try_for_each(|column| self.check_column_types(column))
    }

    fn check_column_types(&self, column: &Column) -> Result<(), Conflict> {
        for id in column.user_types() {
            let known = self.types.get(&id).ok_or(Conflict::ObjectChanged(id))?;
            let mut now = column.clone();
            now.follow_type(known);
            if now != *column {
                return Err(Conflict::ObjectChanged(id));
            }
        }
        Ok(())
    }

    /// The types of an altered table are there. One that the same commit changes may be newer than it is yet.
    pub(super) fn check_known_types(&self, definition: &TableDefinition) -> Result<(), Conflict> {
        let missing = definition.user_types().find(|id| !self.types.contains_key(id));
        let is_older =
            |domain: &&DomainUse| self.types.get(&domain.id).is_some_and(|known| domain.version < known.version);
        let older = || definition.columns.iter().filter_map(|column| column.domain.as_ref()).find(is_older);
        let changed = missing.or_else(|| older().map(|domain| domain.id));
        changed.map_or(Ok(()), |id| Err(Conflict::ObjectChanged(id)))
    }
}
