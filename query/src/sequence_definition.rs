//! Sequences from their definition's side: CREATE, ALTER, columns with one of their own, and what stands in the way of DROP.

use crate::bound_expressions::takes_numbers;
use crate::definitions::{done, taken};
use crate::dropping::shown;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::execution::joined;
use crate::insert::named_column;
use crate::pg_catalog;
use crate::planner::Planning;
use crate::response::Response;
use crate::session::Session;
use crate::sql_types::sql_type_of;
use crate::statement::AlterSequence;
use crate::table_definition::check_name;
use crate::table_rules::object_name;
use crate::temporary::{new_relation, refuse_move};
use crate::transaction::Change;
use catalog::definition::{Column, Identity, IdentityKind, ObjectName, TableDefinition};
use catalog::draft::Op;
use catalog::ids::ObjectId;
use catalog::sequence::{SequenceDefinition, SequenceOwner, SequenceValue, SequenceVersion};
use catalog::snapshot::{Relation, Snapshot};
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{self, ColumnOption, Expr, GeneratedAs};
use std::sync::Arc;

/// What CREATE or ALTER SEQUENCE or an identity column says of a sequence; the inner `None` is NO or NONE.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SequenceOptions {
    pub data_type: Option<ast::DataType>,
    pub increment: Option<i64>,
    pub min: Option<Option<i64>>,
    pub max: Option<Option<i64>>,
    pub start: Option<i64>,
    pub restart: Option<Option<i64>>,
    pub cache: Option<i64>,
    pub cycle: Option<bool>,
    pub owned_by: Option<Option<ast::ObjectName>>,
    /// SEQUENCE NAME, by which pg_dump says what an identity column's sequence is called.
    pub name: Option<ast::ObjectName>,
}

fn invalid(message: impl Into<String>) -> QueryError {
    QueryError::new(ErrorKind::InvalidParameterValue, message)
}

/// The least and greatest number of a sequence's type.
fn bounds(sql_type: &SqlType) -> Option<(i64, i64)> {
    Some(match sql_type {
        SqlType::Int2 => (i16::MIN.into(), i16::MAX.into()),
        SqlType::Int4 => (i32::MIN.into(), i32::MAX.into()),
        SqlType::Int8 => (i64::MIN, i64::MAX),
        _ => return None,
    })
}

/// Fails for an identity column of a type that no sequence counts in.
pub(crate) fn refuse_unnumbered(column: &Column) -> Result<(), QueryError> {
    match bounds(&column.sql_type) {
        Some(_) => Ok(()),
        None => Err(invalid("identity column type must be smallint, integer, or bigint")),
    }
}

fn typed(options: &SequenceOptions) -> Result<Option<SqlType>, QueryError> {
    let Some(data_type) = &options.data_type else { return Ok(None) };
    let sql_type = sql_type_of(data_type)?;
    match bounds(&sql_type) {
        Some(_) => Ok(Some(sql_type)),
        None => Err(invalid("sequence type must be smallint, integer, or bigint")),
    }
}

/// A new sequence. `sql_type` is that of its column, where it is made for one.
fn define(
    id: ObjectId,
    name: ObjectName,
    sql_type: Option<SqlType>,
    options: &SequenceOptions,
) -> Result<SequenceDefinition, QueryError> {
    if options.restart.is_some() {
        return Err(QueryError::new(ErrorKind::Syntax, "syntax error at or near \"RESTART\""));
    }
    let sql_type = typed(options)?.or(sql_type).unwrap_or(SqlType::Int8);
    let blank = SequenceDefinition {
        id,
        name,
        sql_type,
        start: 0,
        increment: options.increment.unwrap_or(1),
        min: 0,
        max: 0,
        cache: 1,
        cycle: false,
        owner: None,
        version: 1,
    };
    let (min, max) = default_bounds(&blank);
    let start = options.start.unwrap_or(0);
    let mut definition = settled(SequenceDefinition { min, max, start, ..blank }, options)?;
    if options.start.is_none() {
        definition.start = if definition.increment > 0 { definition.min } else { definition.max };
    }
    check_start(&definition, "START", definition.start)?;
    Ok(definition)
}

/// The bounds of a sequence that declares none.
fn default_bounds(definition: &SequenceDefinition) -> (i64, i64) {
    let (least, greatest) = bounds(&definition.sql_type).unwrap_or((i64::MIN, i64::MAX));
    if definition.increment > 0 { (1, greatest) } else { (least, -1) }
}

/// Takes over what options say of increment, bounds, cache and cycle.
fn settled(mut definition: SequenceDefinition, options: &SequenceOptions) -> Result<SequenceDefinition, QueryError> {
    definition.increment = options.increment.unwrap_or(definition.increment);
    if definition.increment == 0 {
        return Err(invalid("INCREMENT must not be zero"));
    }
    let (min, max) = default_bounds(&definition);
    let (least, greatest) = bounds(&definition.sql_type).unwrap_or((i64::MIN, i64::MAX));
    let inside = |what: &str, value: i64| {
        if (least..=greatest).contains(&value) {
            return Ok(value);
        }
        let sql_type = &definition.sql_type;
        Err(invalid(format!("{what} ({value}) is out of range for sequence data type {sql_type}")))
    };
    definition.max = match options.max {
        Some(given) => inside("MAXVALUE", given.unwrap_or(max))?,
        None => inside("MAXVALUE", definition.max)?,
    };
    definition.min = match options.min {
        Some(given) => inside("MINVALUE", given.unwrap_or(min))?,
        None => inside("MINVALUE", definition.min)?,
    };
    if definition.min >= definition.max {
        let message = format!("MINVALUE ({}) must be less than MAXVALUE ({})", definition.min, definition.max);
        return Err(invalid(message));
    }
    definition.cache = options.cache.unwrap_or(definition.cache);
    if definition.cache <= 0 {
        return Err(invalid(format!("CACHE ({}) must be greater than zero", definition.cache)));
    }
    definition.cycle = options.cycle.unwrap_or(definition.cycle);
    Ok(definition)
}

fn check_start(definition: &SequenceDefinition, what: &str, value: i64) -> Result<(), QueryError> {
    let (min, max) = (definition.min, definition.max);
    if value < min {
        return Err(invalid(format!("{what} value ({value}) cannot be less than MINVALUE ({min})")));
    }
    if value > max {
        return Err(invalid(format!("{what} value ({value}) cannot be greater than MAXVALUE ({max})")));
    }
    Ok(())
}

pub(crate) fn create_sequence(
    session: &mut Session,
    (name, temporary): (&ast::ObjectName, bool),
    if_not_exists: bool,
    options: &SequenceOptions,
) -> Result<Response, QueryError> {
    let (planning, name) = new_relation(session, name, temporary)?;
    if taken(session, &planning, &name, if_not_exists)? {
        return Ok(done("CREATE SEQUENCE"));
    }
    let id = session.engine.catalog.allocate_object();
    let mut definition = define(id, name, None, options)?;
    if let Some(Some(owner)) = &options.owned_by {
        definition.owner = Some(owner_of(&planning, &definition, owner)?);
    }
    session.add_change(Change::of(vec![Op::CreateSequence(Arc::new(definition))]))?;
    Ok(done("CREATE SEQUENCE"))
}

fn owner_of(
    planning: &Planning,
    definition: &SequenceDefinition,
    owner: &ast::ObjectName,
) -> Result<SequenceOwner, QueryError> {
    let mut parts = owner.0.clone();
    let column = parts.pop().and_then(|part| part.as_ident().map(crate::statement_grammar::fold)).unwrap_or_default();
    if parts.is_empty() {
        return Err(QueryError::new(ErrorKind::Syntax, "invalid OWNED BY option")
            .hint("Specify OWNED BY table.column or OWNED BY NONE."));
    }
    let name = ast::ObjectName(parts);
    let object = planning.object_name(&name)?;
    let table = match planning.relation(&object, &name.to_string())? {
        Relation::Table(table) => Arc::clone(&table.definition),
        Relation::View(_) | Relation::Sequence(_) => {
            let message = format!("sequence cannot be owned by relation \"{}\"", object.name);
            return Err(QueryError::new(ErrorKind::WrongObjectType, message));
        }
    };
    if table.name.schema != definition.name.schema {
        let message = "sequence must be in same schema as table it is linked to";
        return Err(QueryError::new(ErrorKind::ObjectNotReady, message));
    }
    let position = named_column(&table, &column, &[])?;
    Ok(SequenceOwner { table: table.id, column: table.columns[position].id })
}

/// The sequence that a statement names; `None` where there is none and that is fine.
fn find<'a>(
    session: &mut Session,
    planning: &'a Planning,
    name: &ast::ObjectName,
    if_exists: bool,
) -> Result<Option<&'a Arc<SequenceVersion>>, QueryError> {
    let object = planning.object_name(name)?;
    match planning.relation(&object, &name.to_string()) {
        Ok(Relation::Sequence(sequence)) => Ok(Some(sequence)),
        Ok(_) => {
            let message = format!("\"{}\" is not a sequence", object.name);
            Err(QueryError::new(ErrorKind::WrongObjectType, message))
        }
        Err(_) if if_exists => {
            session.notice(NoticeSeverity::Notice, format!("relation \"{name}\" does not exist, skipping"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

pub(crate) async fn alter_sequence(
    session: &mut Session,
    name: &ast::ObjectName,
    if_exists: bool,
    change: &AlterSequence,
) -> Result<Response, QueryError> {
    give_back(session, name).await?;
    let planning = session.planning()?;
    let Some(sequence) = find(session, &planning, name, if_exists)? else { return Ok(done("ALTER SEQUENCE")) };
    let mut definition = next_version(&sequence.definition);
    let mut value = None;
    match change {
        AlterSequence::Rename(name) => definition.name.name.clone_from(name),
        AlterSequence::SetSchema(schema) => {
            refuse_owned(&planning.snapshot, sequence, "cannot move an owned sequence into another schema")?;
            let to = ObjectName::new(schema, &definition.name.name);
            refuse_move(&planning.snapshot, &definition.name, &to)?;
            if !planning.snapshot.schemas.contains_key(schema) {
                let message = format!("schema \"{schema}\" does not exist");
                return Err(QueryError::new(ErrorKind::UndefinedSchema, message));
            }
            definition.name.schema.clone_from(schema);
        }
        AlterSequence::Options(options) => {
            (definition, value) = altered(&planning, sequence, (definition, None), options)?;
        }
    }
    if definition.name != sequence.definition.name {
        taken(session, &planning, &definition.name, false)?;
    }
    session.add_change(Change::of(vec![alteration(&planning, definition, value)]))?;
    Ok(done("ALTER SEQUENCE"))
}

/// Gives back what is reserved of a committed sequence, so that its next version goes on where this one ended.
async fn give_back(session: &mut Session, name: &ast::ObjectName) -> Result<(), QueryError> {
    let planning = session.planning()?;
    let object = planning.object_name(name)?;
    let Some(Relation::Sequence(sequence)) = planning.snapshot.relation(&object) else { return Ok(()) };
    let id = sequence.definition.id;
    give_back_numbers(session, id).await
}

async fn give_back_numbers(session: &mut Session, id: ObjectId) -> Result<(), QueryError> {
    let planning = session.planning()?;
    if planning.facts.sequences.is_own(id) {
        return Ok(());
    }
    let engine = Arc::clone(&session.engine);
    joined(session.engine.compute().spawn_blocking(move || engine.sequences.give_back(&engine, id)).await)
}

/// The operation that gives a sequence its next definition. Where it does not begin anew it goes on behind the numbers that were
/// given: those of its own transaction, or those that are committed by then.
fn alteration(planning: &Planning, definition: SequenceDefinition, value: Option<SequenceValue>) -> Op {
    let sequences = &planning.facts.sequences;
    let own = || sequences.value(definition.id).filter(|_| sequences.is_own(definition.id)).map(|(value, _)| value);
    let value = value.or_else(own);
    Op::AlterSequence { definition: Arc::new(definition), value }
}

fn refuse_owned(snapshot: &Snapshot, sequence: &SequenceVersion, message: &str) -> Result<(), QueryError> {
    let Some(owner) = sequence.definition.owner else { return Ok(()) };
    let Some(table) = snapshot.tables.get(&owner.table) else { return Ok(()) };
    let detail = format!(
        "Sequence \"{}\" is linked to table \"{}\".",
        sequence.definition.name.name, table.definition.name.name
    );
    Err(QueryError::new(ErrorKind::FeatureNotSupported, message).detail(detail))
}

fn next_version(known: &SequenceDefinition) -> SequenceDefinition {
    SequenceDefinition { version: known.version + 1, ..SequenceDefinition::clone(known) }
}

/// A sequence's next definition after options, and where it begins anew; `restarted` is where it does so without them.
fn altered(
    planning: &Planning,
    sequence: &SequenceVersion,
    (mut definition, restarted): (SequenceDefinition, Option<SequenceValue>),
    options: &SequenceOptions,
) -> Result<(SequenceDefinition, Option<SequenceValue>), QueryError> {
    if let Some(sql_type) = typed(options)? {
        // Bounds that were the old type's become the new one's.
        let old = bounds(&definition.sql_type);
        let new = bounds(&sql_type);
        if let (Some((old_min, old_max)), Some((new_min, new_max))) = (old, new) {
            definition.max = if definition.max == old_max { new_max } else { definition.max };
            definition.min = if definition.min == old_min { new_min } else { definition.min };
        }
        definition.sql_type = sql_type;
    }
    let mut definition = settled(definition, options)?;
    definition.start = options.start.unwrap_or(definition.start);
    check_start(&definition, "START", definition.start)?;
    let reached = planning.facts.sequences.value(definition.id).map_or(sequence.value, |(value, _)| value);
    let restart = options.restart.map(|at| SequenceValue { last: at.unwrap_or(definition.start), called: false });
    let restart = restart.or(restarted);
    check_start(&definition, "RESTART", restart.unwrap_or(reached).last)?;
    if let Some(owner) = &options.owned_by {
        let identity = identity_of(&planning.snapshot, sequence);
        if identity.is_some() {
            refuse_owned(&planning.snapshot, sequence, "cannot change ownership of identity sequence")?;
        }
        definition.owner = owner.as_ref().map(|owner| owner_of(planning, &definition, owner)).transpose()?;
    }
    Ok((definition, restart))
}

/// The identity column that a sequence gives its numbers.
pub(crate) fn identity_of<'a>(
    snapshot: &'a Snapshot,
    sequence: &SequenceVersion,
) -> Option<(&'a TableDefinition, &'a Column)> {
    let owner = sequence.definition.owner?;
    let table = &snapshot.tables.get(&owner.table)?.definition;
    let column = table.column(owner.column)?;
    let is_its = column.identity.as_ref().is_some_and(|identity| identity.sequence == sequence.definition.id);
    is_its.then_some((table, column))
}

/// Operations that let the sequences of a table begin anew, for TRUNCATE … RESTART IDENTITY.
pub(crate) fn restart_owned(planning: &Planning, table: ObjectId) -> Vec<Op> {
    let owned = planning.snapshot.owned_sequences(table);
    let restarted = owned.map(|sequence| {
        let mut definition = SequenceDefinition::clone(&sequence.definition);
        definition.version += 1;
        let value = Some(definition.beginning());
        Op::AlterSequence { definition: Arc::new(definition), value }
    });
    restarted.collect()
}

/// Operations that take the sequences of a table along to another schema.
pub(crate) fn moved_sequences(planning: &Planning, table: ObjectId, schema: &str) -> Result<Vec<Op>, QueryError> {
    let moved = planning.snapshot.owned_sequences(table).map(|sequence| {
        let mut definition = SequenceDefinition::clone(&sequence.definition);
        definition.version += 1;
        definition.name.schema = schema.to_string();
        let name = &definition.name;
        if planning.snapshot.has_name(name) {
            let message = format!("relation \"{}\" already exists in schema \"{schema}\"", name.name);
            return Err(QueryError::new(ErrorKind::DuplicateTable, message));
        }
        Ok(alteration(planning, definition, None))
    });
    moved.collect()
}

/// What becomes of the columns of staying tables that take numbers of a sequence which goes, or of one whose table goes: with
/// CASCADE they lose their defaults, which are told; else they stand in the way. An identity column does in any case.
pub(crate) fn lost_defaults(
    planning: &Planning,
    doomed: &[ObjectId],
    cascade: bool,
) -> Result<(Vec<Op>, Vec<String>), QueryError> {
    let snapshot = &planning.snapshot;
    let owned = doomed.iter().flat_map(|id| snapshot.owned_sequences(*id));
    let sequences: Vec<_> = doomed.iter().filter_map(|id| snapshot.sequences.get(id)).chain(owned).collect();
    let (mut ops, mut told) = (Vec::new(), Vec::new());
    for table in snapshot.tables.values().filter(|table| !doomed.contains(&table.definition.id)) {
        let mut next = TableDefinition::clone(&table.definition);
        for column in &mut next.columns {
            let taken = sequences.iter().find(|sequence| takes_numbers(column, sequence.definition.id));
            let Some(sequence) = taken else { continue };
            let of = format!("column {} of table {}", column.name, table.definition.name.name);
            if !cascade || column.identity.is_some() {
                return Err(needed(planning, sequence, doomed, column, &of));
            }
            column.default = None;
            told.push(format!("default value for {of}"));
        }
        if next != *table.definition {
            next.version += 1;
            ops.push(Op::AlterTable(Arc::new(next)));
        }
    }
    Ok((ops, told))
}

fn needed(
    planning: &Planning,
    sequence: &SequenceVersion,
    doomed: &[ObjectId],
    column: &Column,
    of: &str,
) -> QueryError {
    let name = planning.facts.class_name(sequence.definition.id);
    let owner = sequence.definition.owner.filter(|owner| doomed.contains(&owner.table));
    let dropped = owner.map_or_else(|| format!("sequence {name}"), |owner| shown(&planning.snapshot, owner.table));
    let refused =
        |why: String| QueryError::new(ErrorKind::DependentObjects, format!("cannot drop {dropped} because {why}"));
    match column.identity {
        Some(_) => refused(format!("{of} requires it")).hint(format!("You can drop {of} instead.")),
        None => refused("other objects depend on it".into())
            .detail(format!("default value for {of} depends on sequence {name}"))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."),
    }
}

// ---- columns with a sequence of their own ----

/// The type behind `serial`, `smallserial` or `bigserial`.
pub(crate) fn serial_type(data_type: &ast::DataType) -> Option<SqlType> {
    let ast::DataType::Custom(name, arguments) = data_type else { return None };
    if !arguments.is_empty() {
        return None;
    }
    let name = name.0.last().and_then(|part| part.as_ident()).map(crate::statement_grammar::fold)?;
    Some(match name.as_str() {
        "serial" | "serial4" => SqlType::Int4,
        "bigserial" | "serial8" => SqlType::Int8,
        "smallserial" | "serial2" => SqlType::Int2,
        _ => return None,
    })
}

/// The sequences of a new table's serial and identity columns, which are given their defaults here.
pub(crate) fn column_sequences(
    planning: &Planning,
    definition: &mut TableDefinition,
    (create, identity_names): (&ast::CreateTable, &[Option<ast::ObjectName>]),
    mut new_id: impl FnMut() -> ObjectId,
) -> Result<Vec<SequenceDefinition>, QueryError> {
    let mut sequences: Vec<SequenceDefinition> = Vec::new();
    let mut identity_names = identity_names.iter();
    for (position, column) in create.columns.iter().enumerate() {
        let serial = serial_type(&column.data_type).map(|sql_type| (sql_type, SequenceOptions::default(), None));
        let identity = identity(definition, position, column)?;
        let Some((sql_type, options, kind)) = serial.or(identity) else { continue };
        let id = new_id();
        let taken = |name: &ObjectName| {
            planning.snapshot.names.contains_key(name)
                || *name == definition.name
                || sequences.iter().any(|sequence| sequence.name == *name)
        };
        let written = if kind.is_some() { identity_names.next().and_then(Option::as_ref) } else { None };
        let name = sequence_name(planning, &definition.name, &definition.columns[position].name, written, taken)?;
        let mut sequence = define(id, name, Some(sql_type), &options)?;
        let defined = &mut definition.columns[position];
        sequence.owner = Some(SequenceOwner { table: definition.id, column: defined.id });
        defined.not_null = true;
        match kind {
            Some(kind) => defined.identity = Some(Identity { kind, sequence: id }),
            None if defined.default.is_some() => {
                let (column, table) = (&defined.name, &definition.name.name);
                let message = format!("multiple default values specified for column \"{column}\" of table \"{table}\"");
                return Err(QueryError::new(ErrorKind::Syntax, message));
            }
            None => defined.default = Some(catalog::sequence::next_number(id)),
        }
        sequences.push(sequence);
    }
    Ok(sequences)
}

/// The sequence of a column that becomes an identity column.
pub(crate) fn added_identity(
    planning: &Planning,
    (table, column): (&TableDefinition, &Column),
    options: &SequenceOptions,
    id: ObjectId,
) -> Result<SequenceDefinition, QueryError> {
    refuse_unnumbered(column)?;
    if options.owned_by.is_some() {
        return Err(QueryError::new(ErrorKind::Syntax, "conflicting or redundant options"));
    }
    let is_taken = |name: &ObjectName| planning.snapshot.has_name(name) || *name == table.name;
    let name = sequence_name(planning, &table.name, &column.name, options.name.as_ref(), is_taken)?;
    let mut sequence = define(id, name, Some(column.sql_type.clone()), options)?;
    sequence.owner = Some(SequenceOwner { table: table.id, column: column.id });
    Ok(sequence)
}

/// The name of a column's sequence: the one that is written, or else one that is free.
fn sequence_name(
    planning: &Planning,
    table: &ObjectName,
    column: &str,
    written: Option<&ast::ObjectName>,
    is_taken: impl Fn(&ObjectName) -> bool,
) -> Result<ObjectName, QueryError> {
    let Some(written) = written else {
        let taken = |name: &str| is_taken(&ObjectName::new(&table.schema, name));
        return Ok(ObjectName::new(&table.schema, object_name(&table.name, Some(column), "seq", taken)));
    };
    let own = |part: &ast::ObjectNamePart| part.as_ident().map(crate::statement_grammar::fold);
    let mut parts: Vec<String> = written.0.iter().filter_map(own).collect();
    let name = parts.pop().unwrap_or_default();
    let name = ObjectName::new(parts.pop().unwrap_or_else(|| table.schema.clone()), name);
    if name.schema != table.schema {
        if pg_catalog::namespace_oid(&planning.snapshot, &name.schema).is_none() {
            let message = format!("schema \"{}\" does not exist", name.schema);
            return Err(QueryError::new(ErrorKind::UndefinedSchema, message));
        }
        let message = "sequence must be in same schema as table it is linked to";
        return Err(QueryError::new(ErrorKind::ObjectNotReady, message));
    }
    if is_taken(&name) {
        let message = format!("relation \"{}\" already exists", name.name);
        return Err(QueryError::new(ErrorKind::DuplicateTable, message));
    }
    check_name(&name.name)?;
    Ok(name)
}

/// The operation that changes an identity column's sequence, as it is after the `earlier` operation of the same statement; that one where
/// nothing is said of it.
pub(crate) async fn changed_identity(
    session: &mut Session,
    id: ObjectId,
    earlier: Option<Op>,
    options: &SequenceOptions,
) -> Result<Option<Op>, QueryError> {
    if *options == SequenceOptions::default() {
        return Ok(earlier);
    }
    give_back_numbers(session, id).await?;
    let planning = session.planning()?;
    let Some(sequence) = planning.snapshot.sequences.get(&id) else { return Ok(None) };
    let (definition, restarted) = match earlier {
        Some(Op::AlterSequence { definition, value }) => (SequenceDefinition::clone(&definition), value),
        _ => (next_version(&sequence.definition), None),
    };
    let (definition, value) = altered(&planning, sequence, (definition, restarted), options)?;
    Ok(Some(alteration(&planning, definition, value)))
}

type ColumnSequence = (SqlType, SequenceOptions, Option<IdentityKind>);

/// What `GENERATED … AS IDENTITY` says of a column.
fn identity(
    definition: &TableDefinition,
    position: usize,
    column: &ast::ColumnDef,
) -> Result<Option<ColumnSequence>, QueryError> {
    let defined = &definition.columns[position];
    let refused = |what: &str| {
        let (column, table) = (&defined.name, &definition.name.name);
        let message = format!("{what} for column \"{column}\" of table \"{table}\"");
        Err(QueryError::new(ErrorKind::Syntax, message))
    };
    let mut found = None;
    for option in &column.options {
        let ColumnOption::Generated { generated_as, sequence_options, generation_expr: None, .. } = &option.option
        else {
            continue;
        };
        if found.is_some() {
            return refused("multiple identity specifications");
        }
        if defined.default.is_some() || serial_type(&column.data_type).is_some() {
            return refused("both default and identity specified");
        }
        if column
            .options
            .iter()
            .any(|option| matches!(&option.option, ColumnOption::Generated { generation_expr: Some(_), .. }))
        {
            return refused("both identity and generation expression specified");
        }
        refuse_unnumbered(defined)?;
        let kind = match generated_as {
            GeneratedAs::Always => IdentityKind::Always,
            GeneratedAs::ByDefault | GeneratedAs::ExpStored => IdentityKind::ByDefault,
        };
        let options = identity_options(sequence_options.as_deref().unwrap_or_default())?;
        found = Some((defined.sql_type.clone(), options, Some(kind)));
    }
    Ok(found)
}

fn identity_options(listed: &[ast::SequenceOptions]) -> Result<SequenceOptions, QueryError> {
    use ast::SequenceOptions as Listed;
    let mut options = SequenceOptions::default();
    for option in listed {
        match option {
            Listed::IncrementBy(value, _) => options.increment = Some(number(value)?),
            Listed::MinValue(value) => options.min = Some(value.as_ref().map(number).transpose()?),
            Listed::MaxValue(value) => options.max = Some(value.as_ref().map(number).transpose()?),
            Listed::StartWith(value, _) => options.start = Some(number(value)?),
            Listed::Cache(value) => options.cache = Some(number(value)?),
            // The parser says whether it was negated.
            Listed::Cycle(negated) => options.cycle = Some(!negated),
        }
    }
    Ok(options)
}

fn number(value: &Expr) -> Result<i64, QueryError> {
    let text = value.to_string();
    text.parse().map_err(|_| {
        let message = format!("value \"{text}\" is out of range for type bigint");
        QueryError::new(ErrorKind::NumericOutOfRange, message)
    })
}
