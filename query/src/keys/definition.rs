//! Keys in CREATE TABLE and ALTER TABLE: from the constraints of columns and of the table to the keys of its definition.
//!
//! Names and order are PostgreSQL's: the primary key comes first, a constraint that says the same as one before it is
//! dropped, and those without a name are called `t_pkey` and `t_a_b_key`, with a number behind where that is taken.

use crate::error::{ErrorKind, QueryError};
use crate::operators::json_operators::is_document;
use crate::statement::Statement;
use crate::statement_grammar::fold;
use catalog::commit::Catalog;
use catalog::definition::{Column, Key, ObjectName, TableDefinition};
use catalog::ids::{ColumnId, ObjectId};
use catalog::snapshot::Snapshot;
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{
    ColumnDef, ColumnOption, ConstraintCharacteristics, Expr, Ident, IndexColumn, PrimaryKeyConstraint,
    TableConstraint, UniqueConstraint,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

/// The most columns of a key, as in PostgreSQL.
const COLUMNS_MAX: usize = 32;
/// The longest name in bytes.
const NAME_LENGTH_MAX: usize = 63;

/// A key as the statement asks for it.
pub(crate) struct KeyClause<'a> {
    name: Option<&'a Ident>,
    columns: Vec<&'a Ident>,
    primary: bool,
    /// Whether it is the option of a column, and so stands behind the column's name.
    of_column: bool,
    /// Whether it is asked for by CREATE UNIQUE INDEX.
    index: bool,
}

impl<'a> KeyClause<'a> {
    fn new(name: Option<&'a Ident>, columns: Vec<&'a Ident>, primary: bool) -> Self {
        Self { name, columns, primary, of_column: false, index: false }
    }

    /// The key that CREATE UNIQUE INDEX asks for.
    pub(crate) fn of_index(name: Option<&'a Ident>, columns: &'a [Ident]) -> Self {
        Self { index: true, ..Self::new(name, columns.iter().collect(), false) }
    }

    /// The key of another table, under a name of its own.
    pub(crate) fn copied(key: &Key, columns: &'a [Ident]) -> Self {
        Self { index: key.index, ..Self::new(None, columns.iter().collect(), key.primary) }
    }

    /// What stands at the end of its name.
    fn label(&self) -> &'static str {
        match self {
            Self { primary: true, .. } => "pkey",
            Self { index: true, .. } => "idx",
            _ => "key",
        }
    }

    /// Where it begins in the text: at its name, if it has one.
    fn place(&self, statement: &Statement) -> Option<usize> {
        let word = |token: &TokenWithSpan, wanted: Keyword| match &token.token {
            Token::Word(word) => word.keyword == wanted,
            _ => false,
        };
        let keyword = if self.primary { Keyword::PRIMARY } else { Keyword::UNIQUE };
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, &statement.source).tokenize_with_location().ok()?;
        let solid: Vec<&TokenWithSpan> =
            tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
        let first = self.columns.first()?.span;
        let column = solid.iter().position(|token| token.span.start == first.start)?;
        let found = match self.of_column {
            true => column + solid[column..].iter().position(|token| word(token, keyword))?,
            false => solid[..column].iter().rposition(|token| word(token, keyword))?,
        };
        let named = found.checked_sub(2).filter(|named| word(solid[*named], Keyword::CONSTRAINT));
        statement.place_of(solid[named.unwrap_or(found)].span)
    }
}

/// The keys that the options of a column ask for.
pub(crate) fn of_column(column: &ColumnDef) -> Result<Vec<KeyClause<'_>>, QueryError> {
    let clauses = column.options.iter().filter_map(|option| {
        let primary = match &option.option {
            ColumnOption::PrimaryKey(key) => refuse_deferrable(key.characteristics.as_ref()).map(|()| true),
            ColumnOption::Unique(key) => refuse_deferrable(key.characteristics.as_ref()).map(|()| false),
            _ => return None,
        };
        let clause = |primary| KeyClause {
            of_column: true,
            ..KeyClause::new(option.name.as_ref(), vec![&column.name], primary)
        };
        Some(primary.map(clause))
    });
    clauses.collect()
}

/// The key that a table constraint asks for; `None` for one that is no key.
pub(crate) fn of_constraint(constraint: &TableConstraint) -> Result<Option<KeyClause<'_>>, QueryError> {
    Ok(match constraint {
        TableConstraint::PrimaryKey(PrimaryKeyConstraint { name, columns, characteristics, .. }) => {
            refuse_deferrable(characteristics.as_ref())?;
            Some(KeyClause::new(name.as_ref(), named_columns(columns)?, true))
        }
        TableConstraint::Unique(UniqueConstraint { name, columns, characteristics, .. }) => {
            refuse_deferrable(characteristics.as_ref())?;
            Some(KeyClause::new(name.as_ref(), named_columns(columns)?, false))
        }
        _ => None,
    })
}

fn refuse_deferrable(characteristics: Option<&ConstraintCharacteristics>) -> Result<(), QueryError> {
    let deferrable = |asked: &ConstraintCharacteristics| {
        asked.deferrable == Some(true) || asked.initially.is_some() || asked.enforced == Some(false)
    };
    match characteristics.is_some_and(deferrable) {
        true => Err(QueryError::unsupported("a DEFERRABLE key")
            .hint("Leave DEFERRABLE out: keys are checked at the end of each statement.")),
        false => Ok(()),
    }
}

fn named_columns(columns: &[IndexColumn]) -> Result<Vec<&Ident>, QueryError> {
    let plain = columns.iter().map(|column| match &column.column.expr {
        Expr::Identifier(name) => Ok(name),
        other => Err(QueryError::unsupported(format!("a key over the expression {other}"))),
    });
    plain.collect()
}

/// What the names and ids of new keys depend on outside of their table.
pub(crate) struct NewKeys<'a> {
    pub snapshot: &'a Snapshot,
    pub catalog: &'a Catalog,
}

impl NewKeys<'_> {
    /// Whether a relation has the name, or an index of another table than `own`.
    fn is_taken(&self, name: &ObjectName, own: ObjectId) -> bool {
        let other = |table: &TableDefinition| table.id != own;
        let index = self.snapshot.index_named(name);
        self.snapshot.names.contains_key(name) || index.is_some_and(|(table, _)| other(&table.definition))
    }
}

/// Adds keys to a table's definition.
pub(crate) fn add(
    definition: &mut TableDefinition,
    mut clauses: Vec<KeyClause<'_>>,
    new_keys: &NewKeys<'_>,
    statement: &Statement,
) -> Result<(), QueryError> {
    clauses.sort_by_key(|clause| !clause.primary);
    let mut wanted: Vec<(KeyClause<'_>, Vec<ColumnId>)> = Vec::new();
    for clause in clauses {
        let columns = columns_of(definition, &clause, statement)?;
        let second = clause.primary && wanted.iter().any(|(other, _)| other.primary);
        if second || (clause.primary && definition.keys.iter().any(|key| key.primary)) {
            let message = format!("multiple primary keys for table \"{}\" are not allowed", definition.name.name);
            return Err(QueryError::new(ErrorKind::InvalidTableDefinition, message).position(clause.place(statement)));
        }
        match wanted.iter_mut().find(|(_, other)| *other == columns) {
            Some((same, _)) => same.name = same.name.or(clause.name),
            None => wanted.push((clause, columns)),
        }
    }
    for (clause, columns) in wanted {
        if clause.primary {
            let of_key = definition.columns.iter_mut().filter(|column| columns.contains(&column.id));
            of_key.for_each(|column| column.not_null = true);
        }
        let taken = |name: &str| {
            let own = name == definition.name.name || definition.indexes().any(|(_, known)| known == name);
            own || new_keys.is_taken(&ObjectName::new(&definition.name.schema, name), definition.id)
        };
        let name = match clause.name {
            Some(name) => given_name(&fold(name), &taken)?,
            None => default_name(definition, &columns, clause.label(), &taken),
        };
        let (id, KeyClause { primary, index, .. }) = (new_keys.catalog.allocate_object(), clause);
        definition.keys.push(Key { id, name, columns, primary, index });
    }
    Ok(())
}

fn columns_of(
    definition: &TableDefinition,
    clause: &KeyClause<'_>,
    statement: &Statement,
) -> Result<Vec<ColumnId>, QueryError> {
    if clause.columns.len() > COLUMNS_MAX {
        let message = format!("cannot use more than {COLUMNS_MAX} columns in an index");
        return Err(QueryError::new(ErrorKind::ProgramLimitExceeded, message));
    }
    let mut ids = Vec::with_capacity(clause.columns.len());
    for column in &clause.columns {
        let place = clause.place(statement);
        let name = fold(column);
        let Some(found) = definition.columns.iter().find(|known| known.name == name) else {
            let named = if clause.index { "" } else { " named in key" };
            let message = format!("column \"{name}\"{named} does not exist");
            return Err(QueryError::new(ErrorKind::UndefinedColumn, message).position(place));
        };
        if ids.contains(&found.id) {
            let kind = if clause.primary { "primary key" } else { "unique" };
            let message = format!("column \"{name}\" appears twice in {kind} constraint");
            return Err(QueryError::new(ErrorKind::DuplicateColumn, message).position(place));
        }
        refuse_type(found)?;
        ids.push(found.id);
    }
    Ok(ids)
}

/// Fails for a column whose values no key can be of.
pub(crate) fn refuse_type(column: &Column) -> Result<(), QueryError> {
    match &column.sql_type {
        SqlType::Json => {
            let message = "data type json has no default operator class for access method \"btree\"";
            let hint = "You must specify an operator class for the index or define a default operator class for \
                the data type.";
            Err(QueryError::new(ErrorKind::UndefinedObject, message).hint(hint))
        }
        other if is_document(other) || matches!(other, SqlType::Array(_)) => {
            Err(QueryError::unsupported(format!("a key with column \"{}\" of type {other}", column.name)))
        }
        _ => Ok(()),
    }
}

fn given_name(name: &str, taken: &dyn Fn(&str) -> bool) -> Result<String, QueryError> {
    if name.len() > NAME_LENGTH_MAX {
        let message = format!("identifier \"{name}\" is longer than {NAME_LENGTH_MAX} bytes");
        return Err(QueryError::new(ErrorKind::InvalidObjectDefinition, message));
    }
    if taken(name) {
        return Err(QueryError::new(ErrorKind::DuplicateTable, format!("relation \"{name}\" already exists")));
    }
    Ok(name.to_string())
}

/// `t_pkey` or `t_a_b_key`, cut to the longest name, with the first free number where it is taken.
fn default_name(
    definition: &TableDefinition,
    columns: &[ColumnId],
    label: &str,
    taken: &dyn Fn(&str) -> bool,
) -> String {
    let names = columns.iter().filter_map(|id| definition.column(*id)).map(|column| column.name.as_str());
    let middle = if label == "pkey" { String::new() } else { names.collect::<Vec<_>>().join("_") };
    let numbered = (0..).map(|number| if number == 0 { label.to_string() } else { format!("{label}{number}") });
    let mut names = numbered.map(|label| composed_name(&definition.name.name, &middle, &label));
    names.find(|name| !taken(name)).expect("numbers do not end")
}

/// PostgreSQL's `makeObjectName`: the longer one of table and columns gives way.
fn composed_name(table: &str, columns: &str, label: &str) -> String {
    let separators = 1 + usize::from(!columns.is_empty());
    let room = NAME_LENGTH_MAX.saturating_sub(label.len() + separators);
    let (mut table_length, mut columns_length) = (table.len(), columns.len());
    while table_length + columns_length > room {
        if table_length > columns_length { table_length -= 1 } else { columns_length -= 1 }
    }
    let cut = |text: &str, length: usize| {
        let end = (0..=length).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text[..end].to_string()
    };
    let (table, columns) = (cut(table, table_length), cut(columns, columns_length));
    if columns.is_empty() { format!("{table}_{label}") } else { format!("{table}_{columns}_{label}") }
}
