//! Definitions: CREATE, TRUNCATE and REFRESH.

use crate::assignment::default_value;
use crate::declared_partitions::{self, create_partition};
use crate::derived_tables::{add_like_rules, like_columns};
use crate::dropping::depends_on;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::functions::overload::dimensions;
use crate::keys::definition::NewKeys;
use crate::parameter_types::Parameters;
use crate::planner::{Planning, Sources, result_columns};
use crate::response::{CommandTag, Response};
use crate::retention;
use crate::sequence_definition::{column_sequences, restart_owned, serial_type};
use crate::session::Session;
use crate::sql_types::check_dimensions;
use crate::statement::{CreateTable, CreateView, Statement};
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use crate::table_definition::{check_column_count, define, digits_of_modifier};
use crate::table_rules::add_rules;
use crate::temporary::{self, new_relation, reads_temporary, temporary_name, warn_global};
use crate::transaction::Change;
use crate::types::shown_digits::QUOTIENT_SCALE;
use crate::user_types::{is_kept_from_folding, qualify, spelling};
use catalog::definition::{Column, FIRST_VERSION, ObjectName, TableDefinition, ViewDefinition};
use catalog::draft::{Expectation, Op};
use catalog::ids::{ColumnId, ObjectId};
use catalog::snapshot::{Relation, Snapshot};
use catalog::sql_type::SqlType;
use catalog::user_type::DomainUse;
use datafusion::logical_expr::{LogicalPlan, Volatility};
use datafusion::sql::sqlparser::ast::{self, Ident, ObjectNamePart, Spanned, VisitorMut};
use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;
use std::ops::ControlFlow;
use std::sync::Arc;
use views::StateColumn;

pub(crate) fn done(tag: &'static str) -> Response {
    Response::Command(CommandTag::Plain(tag))
}

// ---- schemas and tables ----

pub(crate) fn create_schema(session: &mut Session, name: &str, if_not_exists: bool) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    if name.starts_with("pg_") || crate::pg_catalog::is_system_schema(name) {
        return Err(QueryError::new(
            ErrorKind::InvalidObjectDefinition,
            format!("unacceptable schema name \"{name}\""),
        )
        .detail("This name is reserved for system schemas."));
    }
    if planning.snapshot.schemas.contains_key(name) && if_not_exists {
        session.notice_of(
            NoticeSeverity::Notice,
            ErrorKind::DuplicateSchema,
            format!("schema \"{name}\" already exists, skipping"),
        );
        return Ok(done("CREATE SCHEMA"));
    }
    let id = session.engine.catalog.allocate_object();
    session.add_change(Change::of(vec![Op::CreateSchema { id, name: name.to_string() }]))?;
    Ok(done("CREATE SCHEMA"))
}

pub(crate) async fn create_table(
    session: &mut Session,
    create: &CreateTable,
    statement: &Statement,
) -> Result<Response, QueryError> {
    if let Some(parent) = &create.definition.partition_of {
        return create_partition(session, &create.definition, parent);
    }
    warn_global(session, &create.definition);
    let new = new_relation(session, &create.definition.name, create.definition.temporary);
    let (planning, name) = new.map_err(|error| match error.kind {
        ErrorKind::InvalidTableDefinition => error.position(statement.place_of(create.definition.name.span())),
        _ => error,
    })?;
    if taken(session, &planning, &name, create.definition.if_not_exists)? {
        return Ok(done("CREATE TABLE"));
    }
    let id = session.engine.catalog.allocate_object();
    let copied = like_columns(&planning, &create.likes, statement)?;
    refuse_numbers_beside(create)?;
    refuse_type_name(&planning, &name)?;
    let new_keys = NewKeys { snapshot: &planning.snapshot, catalog: &session.engine.catalog };
    let mut definition = {
        let _types = planning.knows_types();
        define(create, copied, id, name, &new_keys, statement)?
    };
    temporary::settle(session, &planning, &create.definition, &definition)?;
    let new_id = || session.engine.catalog.allocate_object();
    let sequences = column_sequences(&planning, &mut definition, (&create.definition, &create.identity_names), new_id)?;
    add_rules(&planning, &mut definition, &create.definition, new_id, statement)?;
    let new_keys = NewKeys { snapshot: &planning.snapshot, catalog: &session.engine.catalog };
    add_like_rules(&planning, &mut definition, &create.likes, &new_keys, statement)?;
    check_defaults(&planning, &definition).await?;
    if let Some(method) = create.partition_method {
        declared_partitions::announce(session, method, &create.partition_by, &definition);
    }
    if let Some(notice) = retention::notice(&planning.snapshot, &definition) {
        session.push_notice(notice);
    }
    if create.unlogged {
        stays_logged(session, &definition.name.name);
    }
    let created = sequences.into_iter().map(|sequence| Op::CreateSequence(Arc::new(sequence)));
    let ops = std::iter::once(Op::CreateTable(Arc::new(definition))).chain(created);
    session.add_change(Change::of(ops.collect()))?;
    Ok(done("CREATE TABLE"))
}

/// Says of a table that should be unlogged that it is none the less as durable as any other.
pub(crate) fn stays_logged(session: &mut Session, table: &str) {
    session.notice(NoticeSeverity::Notice, format!("table \"{table}\" is logged all the same: no table is unlogged"));
}

/// The definition of a new table whose name is free.
pub(crate) fn new_table(
    session: &mut Session,
    create: &CreateTable,
    statement: &Statement,
) -> Result<TableDefinition, QueryError> {
    let (planning, name) = new_relation(session, &create.definition.name, false)?;
    let new_keys = NewKeys { snapshot: &planning.snapshot, catalog: &session.engine.catalog };
    let _types = planning.knows_types();
    define(create, Vec::new(), session.engine.catalog.allocate_object(), name, &new_keys, statement)
}

/// A relation's rows have a type of its name.
fn refuse_type_name(planning: &Planning, name: &ObjectName) -> Result<(), QueryError> {
    match planning.snapshot.type_named(name) {
        None => Ok(()),
        Some(_) => {
            let message = format!("type \"{}\" already exists", name.name);
            Err(QueryError::new(ErrorKind::DuplicateObject, message).hint(
                "A relation has an associated type of the same name, so you must use a name that doesn't conflict \
                 with any existing type.",
            ))
        }
    }
}

/// The rules of computed columns count the statement's own columns, so none may stand between them.
fn refuse_numbers_beside(create: &CreateTable) -> Result<(), QueryError> {
    let computed = |column: &ast::ColumnDef| {
        let generated = |option: &ast::ColumnOptionDef| matches!(option.option, ast::ColumnOption::Generated { .. });
        serial_type(&column.data_type).is_some() || column.options.iter().any(generated)
    };
    match !create.likes.is_empty() && create.definition.columns.iter().any(computed) {
        true => Err(QueryError::unsupported("LIKE beside serial, identity or generated columns")),
        false => Ok(()),
    }
}

/// Plans every default, cast to its column's type and assigned to it, so that a wrong one is told now and not at the first INSERT.
pub(crate) async fn check_defaults(planning: &Planning, definition: &TableDefinition) -> Result<(), QueryError> {
    for column in &definition.columns {
        let Some(default) = &column.default else { continue };
        let text = format!("SELECT CAST(({default}) AS {})", spelling(&column.sql_type));
        let parsed = crate::statement::parse(&text)?.into_iter().next().map(|statement| statement.kind);
        if let Some(crate::statement::StatementKind::Query(query)) = parsed {
            let plan =
                planning.query_plan(&query, &[], None).map_err(|error| error.position(None).column(&column.name))?;
            planning.physical_plan(&plan, None).await.map_err(|error| error.column(&column.name))?;
        }
        default_value(planning, column).map_err(|error| QueryError {
            message: error.message.replacen("but expression is", "but default expression is", 1),
            ..error
        })?;
    }
    Ok(())
}

/// The name for a new relation, in a schema that exists.
pub(crate) fn new_name(planning: &Planning, name: &ast::ObjectName) -> Result<ObjectName, QueryError> {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
    let object = match parts.as_slice() {
        [name] => match planning.creation_schema() {
            Some(schema) => ObjectName::new(schema, name),
            None => {
                let message = "no schema has been selected to create in";
                return Err(QueryError::new(ErrorKind::UndefinedSchema, message));
            }
        },
        _ => planning.object_name(name)?,
    };
    if crate::pg_catalog::is_system_schema(&object.schema) {
        let message = format!("permission denied to create \"{object}\"");
        return Err(QueryError::new(ErrorKind::InsufficientPrivilege, message)
            .detail("System catalog modifications are disallowed."));
    }
    if !planning.snapshot.schemas.contains_key(&object.schema) {
        return Err(QueryError::new(
            ErrorKind::UndefinedSchema,
            format!("schema \"{}\" does not exist", object.schema),
        ));
    }
    Ok(object)
}

/// Whether the name is taken and that is fine; an error where it is not.
pub(crate) fn taken(
    session: &mut Session,
    planning: &Planning,
    name: &ObjectName,
    if_not_exists: bool,
) -> Result<bool, QueryError> {
    if planning.snapshot.relation(name).is_none() && planning.snapshot.index_named(name).is_none() {
        return Ok(false);
    }
    let message = format!("relation \"{}\" already exists", name.name);
    if !if_not_exists {
        return Err(QueryError::new(ErrorKind::DuplicateTable, message).table(&name.name));
    }
    session.notice_of(NoticeSeverity::Notice, ErrorKind::DuplicateTable, format!("{message}, skipping"));
    Ok(true)
}

/// That nobody else has changed the table since the statement looked at it; nothing where the transaction made the table.
pub(crate) fn unchanged(session: &Session, definition: &TableDefinition) -> Option<Op> {
    let changed_at = session.committed()?.tables.get(&definition.id)?.changed_at;
    Some(Op::Expect { relation: definition.id, that: Expectation::Unchanged(changed_at) })
}

/// Empties tables. With other statements in one transaction it takes the rows that are there now: those that come until the commit wait for it.
pub(crate) async fn truncate(
    session: &mut Session,
    tables: &[ast::ObjectName],
    restart_identity: bool,
    alone: bool,
) -> Result<Response, QueryError> {
    let unnamed = |error: QueryError| match error.kind {
        // Nobody is led to empty another one.
        ErrorKind::UndefinedTable => QueryError { hint: None, ..error },
        _ => error,
    };
    let named = |planning: &Planning| -> Result<Vec<Arc<TableDefinition>>, QueryError> {
        tables.iter().map(|name| crate::insert::writable_table(planning, name).map_err(unnamed)).collect()
    };
    let planning = session.planning()?;
    // Nobody else has a temporary one, but may have one of its name.
    let mut shared = named(&planning)?;
    shared.retain(|table| !planning.snapshot.is_temporary(&table.name));
    for table in shared {
        session.lock_rows(&table.name.name).await?;
    }
    let planning = session.planning()?;
    let mut change = Change::default();
    for table in named(&planning)? {
        change.ops.push(Op::Truncate { table: table.id });
        change.ops.extend(crate::copy_labels::forget_all(&planning, &table));
        if restart_identity {
            change.ops.extend(restart_owned(&planning, table.id));
        }
        if !alone {
            change.relies.extend(unchanged(session, &table));
        }
    }
    session.add_change(change)?;
    Ok(done("TRUNCATE TABLE"))
}

// ---- views ----

/// CREATE [OR REPLACE] VIEW: a name for a query, which is planned anew by whoever reads it.
pub(crate) fn create_plain_view(
    session: &mut Session,
    create: &CreateView,
    statement: &Statement,
) -> Result<Response, QueryError> {
    let (planning, mut name) = new_relation(session, &create.name, create.temporary)?;
    refuse_parameters(&create.query, statement)?;
    let (bound, inputs) = bind_names(&planning, &create.query, statement, true)?;
    if !create.temporary && reads_temporary(&planning.snapshot, &inputs) {
        session.notice(NoticeSeverity::Notice, format!("view \"{}\" will be a temporary view", name.name));
        name = temporary_name(&planning, &create.name)?;
    }
    let replaced = match planning.snapshot.relation(&name) {
        Some(Relation::View(view)) if create.or_replace && view.definition.is_plain() => {
            Some(Arc::clone(&view.definition))
        }
        Some(_) if create.or_replace => {
            let message = format!("\"{}\" is not a view", name.name);
            return Err(QueryError::new(ErrorKind::WrongObjectType, message));
        }
        _ => None,
    };
    if replaced.is_none() && taken(session, &planning, &name, create.if_not_exists)? {
        return Ok(done("CREATE VIEW"));
    }
    let shown = planning.with_sources(Sources::Schemas).query_plan(&create.query, &[], Some(statement))?;
    let shown = result_columns(&shown, &planning.snapshot)?;
    if create.columns.len() > shown.len() {
        let message = "CREATE VIEW specifies more column names than columns";
        return Err(QueryError::new(ErrorKind::Syntax, message));
    }
    let columns = view_columns(&shown, &create.columns)?;
    let id = match &replaced {
        Some(before) => {
            check_replacement(&planning.snapshot, before, &columns, &inputs)?;
            before.id
        }
        None => session.engine.catalog.allocate_object(),
    };
    let query = bound.to_string();
    let mut ops = as_defined(&planning.snapshot, &inputs);
    let definition = Arc::new(ViewDefinition {
        id,
        name,
        query,
        time_zone: String::new(),
        columns,
        inputs,
        state: None,
        populated: true,
        version: replaced.as_ref().map_or(FIRST_VERSION, |before| before.version + 1),
    });
    ops.push(if replaced.is_some() { Op::AlterView(definition) } else { Op::CreateView(definition) });
    session.add_change(Change::of(ops))?;
    Ok(done("CREATE VIEW"))
}

/// That the relations are still those that a view was bound to, names and columns and all.
pub(crate) fn as_defined(snapshot: &Snapshot, inputs: &[ObjectId]) -> Vec<Op> {
    let versions = inputs.iter().filter_map(|input| {
        let version = match snapshot.relation_by_id(*input)? {
            Relation::Table(table) => table.definition.version,
            Relation::View(view) => view.definition.version,
            Relation::Sequence(_) => return None,
        };
        Some(Op::Expect { relation: *input, that: Expectation::Version(version) })
    });
    versions.collect()
}

/// A definition has no parameters, as nobody would give them.
pub(crate) fn refuse_parameters(query: &ast::Query, statement: &Statement) -> Result<(), QueryError> {
    let parameters = Parameters::of(query, Some(statement))?;
    match parameters.count() {
        0 => Ok(()),
        _ => {
            let number = (1..=parameters.count()).find(|number| parameters.first_place(*number).is_some()).unwrap_or(1);
            let message = format!("there is no parameter ${number}");
            Err(QueryError::new(ErrorKind::UndefinedParameter, message).position(parameters.first_place(number)))
        }
    }
}

/// A replaced view keeps its columns, to which others may come, and does not read itself.
fn check_replacement(
    snapshot: &Snapshot,
    before: &ViewDefinition,
    columns: &[Column],
    inputs: &[ObjectId],
) -> Result<(), QueryError> {
    let invalid = |message: String| Err(QueryError::new(ErrorKind::InvalidTableDefinition, message));
    if inputs.iter().any(|input| *input == before.id || depends_on(snapshot, *input, before.id)) {
        let message = format!("infinite recursion detected in rules for relation \"{}\"", before.name.name);
        return Err(QueryError::new(ErrorKind::InvalidObjectDefinition, message));
    }
    if columns.len() < before.columns.len() {
        return invalid("cannot drop columns from view".into());
    }
    for (old, new) in before.columns.iter().zip(columns) {
        if old.name != new.name {
            return invalid(format!("cannot change name of view column \"{}\" to \"{}\"", old.name, new.name));
        }
        if old.sql_type != new.sql_type {
            return invalid(format!(
                "cannot change data type of view column \"{}\" from {} to {}",
                old.name, old.sql_type, new.sql_type
            ));
        }
    }
    Ok(())
}

/// One line on how the view will be kept.
/// The name of a function in a plan whose value changes with every call.
pub(crate) fn volatile_function(plan: &LogicalPlan) -> Option<String> {
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    use datafusion::logical_expr::Expr;
    let mut found = None;
    let _ = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::ScalarFunction(call) = part
                    && call.func.signature().volatility == Volatility::Volatile
                    && !is_kept_from_folding(call)
                {
                    found = Some(call.func.name().to_string());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    found
}

pub(crate) fn view_columns(
    columns: &[crate::response::ResultColumn],
    names: &[String],
) -> Result<Vec<Column>, QueryError> {
    if names.len() > columns.len() {
        return Err(QueryError::new(ErrorKind::Syntax, "too many column names were specified"));
    }
    check_column_count(columns.len())?;
    let mut defined: Vec<Column> = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let name = names.get(index).unwrap_or(&column.name).clone();
        if defined.iter().any(|other| other.name == name) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(QueryError::new(ErrorKind::DuplicateColumn, message).hint("Give the columns names with AS."));
        }
        let sql_type = column.sql_type.clone();
        if sql_type == SqlType::Void {
            let message = format!("column \"{name}\" has pseudo-type void");
            return Err(QueryError::new(ErrorKind::InvalidTableDefinition, message));
        }
        check_dimensions(dimensions(&sql_type))?;
        let digits = digits_of_modifier(&sql_type, column.modifier);
        // Which version of it a table's column has is up to who makes the table.
        let domain = column.domain.map(|id| DomainUse { id, version: 0, default: None });
        defined.push(Column { digits, domain, ..Column::new(ColumnId(index as i32 + 1), name, sql_type) });
    }
    Ok(defined)
}

/// The hidden table of a view's state; its runs are sorted by the keys.
pub(crate) fn state_definition(id: ObjectId, view: ObjectId, columns: &[StateColumn]) -> TableDefinition {
    let numbered = columns.iter().enumerate().map(|(index, column)| (ColumnId(index as i32 + 1), column));
    let order_by = numbered.clone().filter(|(_, column)| column.key).map(|(id, _)| id).collect();
    let columns = numbered.map(|(id, column)| Column::new(id, &column.name, stored_type(&column.sql_type)));
    let name = ObjectName::new("meridian", format!("state_{view}"));
    TableDefinition { order_by, state_of: Some(view), ..TableDefinition::new(id, name, columns.collect()) }
}

/// A numeric's digits are part of the stored type, but where they are told from the size of each value.
pub(crate) fn stored_type(sql_type: &SqlType) -> SqlType {
    match sql_type {
        SqlType::Numeric { precision, scale, .. } if *scale < QUOTIENT_SCALE => {
            SqlType::Numeric { precision: *precision, scale: *scale, declared: true }
        }
        other => other.clone(),
    }
}

/// The query with every relation's name qualified, and the relations that it reads.
pub(crate) fn bind_names(
    planning: &Planning,
    query: &ast::Query,
    statement: &Statement,
    plain: bool,
) -> Result<(ast::Query, Vec<ObjectId>), QueryError> {
    let mut bound = query.clone();
    qualify(&mut bound, &planning.known_types());
    let (visible, queries) = (Vec::new(), Vec::new());
    let mut binder = Binder { planning, statement, plain, inputs: Vec::new(), error: None, visible, queries };
    let _ = walk_mut(&mut bound, &mut binder);
    match binder.error {
        Some(error) => Err(error),
        None => Ok((bound, binder.inputs)),
    }
}

struct Binder<'a> {
    planning: &'a Planning,
    statement: &'a Statement,
    /// Whether the view is a plain one, which may read what is not stored.
    plain: bool,
    inputs: Vec<ObjectId>,
    error: Option<QueryError>,
    /// The names of WITH that a relation may have.
    visible: Vec<String>,
    /// Of each query around: its WITH, which was visited before, and how many names were visible outside.
    queries: Vec<(Option<ast::With>, usize)>,
}

impl VisitorMut for Binder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let outside = self.visible.len();
        let mut with = query.with.take();
        if let Some(with) = &mut with {
            self.bind_with(with)?;
        }
        self.queries.push((with, outside));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        if let Some((with, outside)) = self.queries.pop() {
            query.with = with;
            self.visible.truncate(outside);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
        let ast::TableFactor::Table { name, alias, args: None, .. } = factor else { return ControlFlow::Continue(()) };
        let bare = if name.0.len() == 1 { name.0[0].as_ident().map(fold) } else { None };
        if bare.as_ref().is_some_and(|bare| self.visible.contains(bare)) {
            return ControlFlow::Continue(());
        }
        match self.resolve(name) {
            Ok(Some((object, id))) => {
                if let Some(id) = id.filter(|id| !self.inputs.contains(id)) {
                    self.inputs.push(id);
                }
                // Columns that the text qualifies by the table's bare name keep their meaning.
                if alias.is_none() {
                    *alias = Some(alias_of(&object.name));
                }
                *name = qualified(&object);
                ControlFlow::Continue(())
            }
            Ok(None) => ControlFlow::Continue(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

impl Binder<'_> {
    /// Binds the queries of a WITH, each of which sees those before it, and with RECURSIVE all of them.
    fn bind_with(&mut self, with: &mut ast::With) -> ControlFlow<()> {
        if with.recursive {
            self.visible.extend(with.cte_tables.iter().map(|table| fold(&table.alias.name)));
        }
        for table in &mut with.cte_tables {
            walk_mut(&mut table.query, self)?;
            if !with.recursive {
                self.visible.push(fold(&table.alias.name));
            }
        }
        ControlFlow::Continue(())
    }

    /// The relation of a name and its id, which those of the system have not; nothing for what is none.
    fn resolve(&self, name: &ast::ObjectName) -> Result<Option<(ObjectName, Option<ObjectId>)>, QueryError> {
        let object = self.planning.object_name(name)?;
        let system_schema = if name.0.len() == 1 { "pg_catalog" } else { object.schema.as_str() };
        if crate::pg_catalog::relation(system_schema, &object.name).is_some() {
            // The system's relations are found before others.
            return match self.plain {
                true => Ok(Some((ObjectName::new(system_schema, &object.name), None))),
                false => Err(QueryError::unsupported(format!("a materialized view over system relation \"{name}\""))),
            };
        }
        let known = self.planning.snapshot.names.get(&object).copied();
        if known.is_some_and(|id| self.planning.snapshot.sequences.contains_key(&id)) {
            return Err(QueryError::unsupported(format!("a view over sequence \"{name}\"")));
        }
        match known {
            Some(id) => Ok(Some((object, Some(id)))),
            None => match self.planning.relation(&object, &name.to_string()) {
                Ok(_) => Ok(None),
                Err(error) => Err(error.position(self.statement.place_of(name.span()))),
            },
        }
    }
}

pub(crate) fn alias_of(name: &str) -> ast::TableAlias {
    ast::TableAlias { explicit: true, name: identifier(name), columns: Vec::new(), at: None }
}

/// A name as SQL text has it: quoted only where it must be.
pub(crate) fn identifier(name: &str) -> Ident {
    let first = name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_');
    let plain =
        first && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    // PUBLIC is a keyword to the parser, and the one schema that everybody has.
    let keyword = name != "public" && ALL_KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(name));
    if plain && !keyword { Ident::new(name) } else { Ident::with_quote('"', name) }
}

pub(crate) fn qualified(object: &ObjectName) -> ast::ObjectName {
    let part = |text: &str| ObjectNamePart::Identifier(identifier(text));
    ast::ObjectName(vec![part(&object.schema), part(&object.name)])
}
