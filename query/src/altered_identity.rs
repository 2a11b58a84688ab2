//! ALTER COLUMN of columns that get their values by themselves: identity columns and generated ones.
//!
//! What an identity column counts by is a sequence that it owns, and that comes and goes with the identity. The rows that are there
//! keep their values, also those of a generated column that is none any more.

use crate::altering::Alter;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::sequence_definition::{SequenceOptions, added_identity, changed_identity};
use crate::session::Session;
use catalog::definition::{Identity, IdentityKind};
use catalog::draft::Op;
use catalog::ids::ObjectId;
use datafusion::sql::sqlparser::ast::Ident;

impl Alter<'_> {
    pub(crate) fn add_identity(
        &mut self,
        session: &Session,
        column: &Ident,
        kind: IdentityKind,
        options: &SequenceOptions,
    ) -> Result<(), QueryError> {
        let position = self.position(column)?;
        let known = &self.next.columns[position];
        let id = session.engine.catalog.allocate_object();
        let sequence = added_identity(self.planning, (&self.next, known), options, id)?;
        if !known.not_null {
            return Err(self.not_ready(position, "must be declared NOT NULL before identity can be added"));
        }
        if known.identity.is_some() {
            return Err(self.not_ready(position, "is already an identity column"));
        }
        if known.default.is_some() || known.generated.is_some() {
            return Err(self.not_ready(position, "already has a default value"));
        }
        self.next.columns[position].identity = Some(Identity { kind, sequence: id });
        self.sequences.push((sequence, None));
        Ok(())
    }

    pub(crate) async fn set_identity(
        &mut self,
        session: &mut Session,
        column: &Ident,
        kind: Option<IdentityKind>,
        options: &SequenceOptions,
    ) -> Result<(), QueryError> {
        let position = self.position(column)?;
        let Some(identity) = &mut self.next.columns[position].identity else {
            return Err(self.not_ready(position, "is not an identity column"));
        };
        identity.kind = kind.unwrap_or(identity.kind);
        let sequence = identity.sequence;
        self.renumber(session, sequence, options).await
    }

    /// Changes an identity column's sequence, which an earlier action may have changed.
    pub(crate) async fn renumber(
        &mut self,
        session: &mut Session,
        sequence: ObjectId,
        options: &SequenceOptions,
    ) -> Result<(), QueryError> {
        let known = |op: &Op| matches!(op, Op::AlterSequence { definition, .. } if definition.id == sequence);
        let earlier = self.renumbered.iter().position(known).map(|place| self.renumbered.remove(place));
        self.renumbered.extend(changed_identity(session, sequence, earlier, options).await?);
        Ok(())
    }

    pub(crate) fn drop_identity(
        &mut self,
        session: &mut Session,
        column: &Ident,
        if_exists: bool,
    ) -> Result<(), QueryError> {
        let position = self.position(column)?;
        if self.next.columns[position].identity.take().is_some() {
            return Ok(());
        }
        self.skip(session, self.not_ready(position, "is not an identity column"), if_exists)
    }

    pub(crate) fn drop_expression(
        &mut self,
        session: &mut Session,
        column: &Ident,
        if_exists: bool,
    ) -> Result<(), QueryError> {
        let position = self.position(column)?;
        if self.next.columns[position].generated.take().is_some() {
            return Ok(());
        }
        self.skip(session, self.not_ready(position, "is not a stored generated column"), if_exists)
    }

    fn skip(&self, session: &mut Session, error: QueryError, if_exists: bool) -> Result<(), QueryError> {
        if !if_exists {
            return Err(error);
        }
        session.notice(NoticeSeverity::Notice, format!("{}, skipping", error.message));
        Ok(())
    }

    fn not_ready(&self, position: usize, what: &str) -> QueryError {
        let (column, table) = (&self.next.columns[position].name, &self.version.definition.name.name);
        let message = format!("column \"{column}\" of relation \"{table}\" {what}");
        QueryError::new(ErrorKind::ObjectNotReady, message)
    }
}
