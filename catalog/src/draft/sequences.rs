//! What operations do to sequences.

use super::Conflict;
use crate::ids::ObjectId;
use crate::sequence::{SequenceDefinition, SequenceValue, SequenceVersion};
use crate::snapshot::Snapshot;
use std::sync::Arc;

impl Snapshot {
    pub(super) fn create_sequence(&mut self, definition: &Arc<SequenceDefinition>) -> Result<(), Conflict> {
        self.take_name(&definition.name, definition.id)?;
        let version = SequenceVersion { definition: Arc::clone(definition), value: definition.beginning() };
        Arc::make_mut(&mut self.sequences).insert(definition.id, Arc::new(version));
        Ok(())
    }

    fn sequence_mut(&mut self, id: ObjectId, version: u32) -> Result<&mut SequenceVersion, Conflict> {
        let sequences = Arc::make_mut(&mut self.sequences);
        let sequence = sequences.get_mut(&id).filter(|sequence| sequence.definition.version == version);
        sequence.map(Arc::make_mut).ok_or(Conflict::ObjectChanged(id))
    }

    pub(super) fn alter_sequence(
        &mut self,
        definition: &Arc<SequenceDefinition>,
        value: Option<SequenceValue>,
    ) -> Result<(), Conflict> {
        let sequence = self.sequence_mut(definition.id, definition.version - 1)?;
        let old = std::mem::replace(&mut sequence.definition, Arc::clone(definition));
        sequence.value = value.unwrap_or(sequence.value);
        if old.name != definition.name {
            Arc::make_mut(&mut self.names).remove(&old.name);
            self.take_name(&definition.name, definition.id)?;
        }
        Ok(())
    }

    pub(super) fn set_sequence(&mut self, id: ObjectId, version: u32, value: SequenceValue) -> Result<(), Conflict> {
        self.sequence_mut(id, version)?.value = value;
        Ok(())
    }

    pub(super) fn drop_sequence(&mut self, id: ObjectId) -> Result<(), Conflict> {
        let dropped = Arc::make_mut(&mut self.sequences).remove(&id).ok_or(Conflict::ObjectChanged(id))?;
        Arc::make_mut(&mut self.names).remove(&dropped.definition.name);
        Ok(())
    }
}
