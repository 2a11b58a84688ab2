//! What operations do to types.

use super::Conflict;
use crate::definition::TableDefinition;
use crate::ids::ObjectId;
use crate::snapshot::Snapshot;
use crate::user_type::{TypeDefinition, user_type_of, with_user_type};
use std::sync::Arc;

impl Snapshot {
    pub(super) fn create_type(&mut self, definition: &Arc<TypeDefinition>) -> Result<(), Conflict> {
        self.check_type_name(definition)?;
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

    /// All tables have it in their definitions already.
    pub(super) fn alter_type(&mut self, definition: &Arc<TypeDefinition>) -> Result<(), Conflict> {
        let id = definition.id;
        let before = self.types.get(&id).map(|known| known.version + 1);
        let columns = self.tables.values().flat_map(|table| &table.definition.columns);
        let mut outdated = columns.filter(|column| {
            with_user_type(&column.sql_type, definition).is_some_and(|wanted| wanted != column.sql_type)
        });
        if before != Some(definition.version) || outdated.next().is_some() {
            return Err(Conflict::ObjectChanged(id));
        }
        self.create_type(definition)
    }

    pub(super) fn drop_type(&mut self, id: ObjectId) -> Result<(), Conflict> {
        let used = self.tables.values().any(|table| table.definition.user_types().any(|used| used == id));
        if used || Arc::make_mut(&mut self.types).remove(&id).is_none() {
            return Err(Conflict::ObjectChanged(id));
        }
        Ok(())
    }

    /// A new table's types are there, as the table has them.
    pub(super) fn check_types(&self, definition: &TableDefinition) -> Result<(), Conflict> {
        for column in &definition.columns {
            let Some(id) = user_type_of(&column.sql_type) else { continue };
            let known = self.types.get(&id).ok_or(Conflict::ObjectChanged(id))?;
            if with_user_type(&column.sql_type, known).as_ref() != Some(&column.sql_type) {
                return Err(Conflict::ObjectChanged(id));
            }
        }
        Ok(())
    }

    /// The types of an altered table are there.
    pub(super) fn check_known_types(&self, definition: &TableDefinition) -> Result<(), Conflict> {
        let missing = definition.user_types().find(|id| !self.types.contains_key(id));
        missing.map_or(Ok(()), |id| Err(Conflict::ObjectChanged(id)))
    }
}
