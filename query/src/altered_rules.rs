//! Rules of a table that changes: what becomes of keys, CHECK constraints, indexes, generated columns and sequences.
//!
//! Their expressions name columns by text, over the one table alone, so a renamed column is renamed in them. A key, index or CHECK
//! constraint goes with any of its columns, as in PostgreSQL, and so does a sequence that a column owns.

use crate::bound_expressions::{columns_of, parse};
use crate::definitions::identifier;
use crate::error::{ErrorKind, QueryError};
use crate::keys::definition::refuse_type;
use crate::sequence_definition::identity_of;
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use catalog::definition::{BoundExpression, Column, Key, PlainIndex, TableDefinition};
use catalog::draft::Op;
use catalog::ids::{ColumnId, ObjectId};
use catalog::snapshot::Snapshot;
use datafusion::sql::sqlparser::ast::{Expr, VisitorMut};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Whether an expression reads a column.
fn reads(table: &TableDefinition, bound: &BoundExpression, column: ColumnId) -> Result<bool, QueryError> {
    let used = columns_of(&parse(&bound.text)?, table);
    Ok(used.iter().any(|position| table.columns[*position].id == column))
}

/// Renames a column in every expression of its table, which still has it by its older name.
pub(crate) fn rename_column(table: &mut TableDefinition, column: ColumnId, to: &str) -> Result<(), QueryError> {
    let Some(from) = table.column(column).map(|column| column.name.clone()) else { return Ok(()) };
    let generated = table.columns.iter_mut().filter_map(|column| column.generated.as_mut());
    let checks = table.checks.iter_mut().map(|check| &mut check.expression);
    let indexed = table.plain_indexes.iter_mut().flat_map(PlainIndex::expressions_mut);
    for bound in generated.chain(checks).chain(indexed) {
        let mut expression = parse(&bound.text)?;
        let _ = walk_mut(&mut expression, &mut Renamer { from: &from, to });
        bound.text = expression.to_string();
    }
    Ok(())
}

struct Renamer<'a> {
    from: &'a str,
    to: &'a str,
}

impl VisitorMut for Renamer<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        let column = match expression {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(path) => path.last_mut(),
            _ => None,
        };
        if let Some(column) = column.filter(|column| fold(column) == self.from) {
            *column = identifier(self.to);
        }
        ControlFlow::Continue(())
    }
}

/// The generated columns that read a column.
pub(crate) fn generated_from(table: &TableDefinition, column: ColumnId) -> Result<Vec<Column>, QueryError> {
    let mut found = Vec::new();
    for other in table.columns.iter().filter(|other| other.id != column) {
        if let Some(bound) = &other.generated
            && reads(table, bound, column)?
        {
            found.push(other.clone());
        }
    }
    Ok(found)
}

/// Takes the keys, CHECK constraints and plain indexes of a column off its table.
pub(crate) fn drop_rules(table: &mut TableDefinition, column: ColumnId) -> Result<(), QueryError> {
    let mut kept = Vec::new();
    for check in &table.checks {
        if !reads(table, &check.expression, column)? {
            kept.push(check.clone());
        }
    }
    table.checks = kept;
    table.keys.retain(|key| !key.columns.contains(&column));
    let mut kept = Vec::new();
    for index in &table.plain_indexes {
        if !index_reads(table, index, column)? {
            kept.push(index.clone());
        }
    }
    table.plain_indexes = kept;
    Ok(())
}

/// Whether an index is about a column.
fn index_reads(table: &TableDefinition, index: &PlainIndex, column: ColumnId) -> Result<bool, QueryError> {
    if index.columns().any(|id| id == column) {
        return Ok(true);
    }
    for expression in index.expressions() {
        if reads(table, expression, column)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The drops of the sequences that a table's lost columns own, and of those that numbered identity columns which are none any more.
pub(crate) fn dropped_sequences(snapshot: &Snapshot, next: &TableDefinition) -> Vec<Op> {
    let owned = snapshot.owned_sequences(next.id).filter(|sequence| {
        let Some(owner) = sequence.definition.owner else { return false };
        let Some(column) = next.column(owner.column) else { return true };
        let still = column.identity.as_ref().map(|identity| identity.sequence);
        identity_of(snapshot, sequence).is_some() && still != Some(sequence.definition.id)
    });
    owned.map(|sequence| Op::DropSequence(sequence.definition.id)).collect()
}

/// Refuses another type for a column that keys or generated columns know by its type. `retyped` is the column as it becomes.
pub(crate) fn refuse_retyping(
    table: &TableDefinition,
    retyped: &Column,
    using: Option<&Expr>,
) -> Result<(), QueryError> {
    let name = &retyped.name;
    if let Some(other) = generated_from(table, retyped.id)?.first() {
        let message = "cannot alter type of a column used by a generated column";
        let detail = format!("Column \"{name}\" is used by generated column \"{}\".", other.name);
        return Err(QueryError::new(ErrorKind::FeatureNotSupported, message).detail(detail));
    }
    if retyped.generated.is_some() && using.is_some() {
        let message = "cannot specify USING when altering type of generated column";
        let detail = format!("Column \"{name}\" is a generated column.");
        return Err(QueryError::new(ErrorKind::InvalidColumnDefinition, message).detail(detail).column(name));
    }
    match table.keys.iter().any(|key| key.columns.contains(&retyped.id)) {
        true => refuse_type(retyped),
        false => Ok(()),
    }
}

/// Gives the CHECK constraints that read one of some columns new ids, so that they count as rules which the rows are held against.
pub(crate) fn renew_checks(
    table: &mut TableDefinition,
    columns: &[ColumnId],
    mut new_id: impl FnMut() -> ObjectId,
) -> Result<(), QueryError> {
    let mut checks = std::mem::take(&mut table.checks);
    for check in &mut checks {
        for column in columns {
            if reads(table, &check.expression, *column)? {
                check.id = new_id();
                break;
            }
        }
    }
    table.checks = checks;
    Ok(())
}

/// Gives the keys that have one of some columns new ids, so that they count as rules which the rows are held against, and as no key of
/// which digests are known. They come behind the others, as PostgreSQL builds their indexes anew.
pub(crate) fn renew_keys(
    table: &mut TableDefinition,
    columns: &BTreeSet<ColumnId>,
    mut new_id: impl FnMut() -> ObjectId,
) {
    let keys = std::mem::take(&mut table.keys).into_iter();
    let (renewed, kept): (Vec<Key>, _) =
        keys.partition(|key| key.columns.iter().any(|column| columns.contains(column)));
    table.keys = kept;
    table.keys.extend(renewed.into_iter().map(|key| Key { id: new_id(), ..key }));
}
