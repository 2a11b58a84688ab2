//! ALTER: tables, views and schemas that change.
//!
//! A table's rows stay where they are: columns are known by ids, and a column that comes later has its value for older rows in its
//! definition. So most actions are a new definition and nothing else. A column that changes its type is the exception: all rows
//! are read, computed and written anew within the transaction.
//!
//!     actions ──in PostgreSQL's order──▶ next definition ──▶ checks over the rows ──▶ AlterTable, its views follow
//!                                                        └─▶ rows in their new types
//!
//! Rows that another transaction adds meanwhile either fit the new definition as they are (they read like older rows), or its
//! commit meets a conflict: `rows_fit_from` says which. What was looked up in the rows is relied on at commit.

use crate::added_columns::Computed;
use crate::altered_rules::{drop_rules, dropped_sequences, generated_from, rename_column, renew_checks, renew_keys};
use crate::altered_views::{Altered, DroppedColumn, computed_from, with_views};
use crate::definitions::{done, stays_logged, unchanged};
use crate::dropping::shown;
use crate::engine_error::nearest;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::plain_indexes;
use crate::planner::Planning;
use crate::response::Response;
use crate::retention;
use crate::retyping::{Retyped, rewritten};
use crate::sequence_definition::moved_sequences;
use crate::session::Session;
use crate::statement::{DropObject, Statement};
use crate::statement_grammar::altering::{AlterAction, Alteration};
use crate::statement_grammar::fold;
use crate::table_definition::{check_columns, check_name, known_option, option_text};
use crate::temporary::{self, refuse_move};
use crate::transaction;
use crate::view_following::Change;
use catalog::definition::{Column, ObjectName, TableDefinition, ViewDefinition};
use catalog::draft::Op;
use catalog::ids::{ColumnId, ObjectId};
use catalog::sequence::{SequenceDefinition, SequenceValue};
use catalog::snapshot::{Relation, TableVersion, ViewVersion};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, Ident};
use futures::StreamExt;
use std::sync::Arc;

/// Runs an ALTER.
pub(crate) async fn run(
    session: &mut Session,
    alteration: &Alteration,
    statement: &Statement,
) -> Result<Response, QueryError> {
    if alteration.actions.iter().any(looks_at_rows)
        && let Some(table) = alteration.name.0.last().and_then(|part| part.as_ident())
    {
        session.lock_rows(&fold(table)).await?;
    }
    let planning = session.planning()?;
    let tag = done(alteration.command());
    // Either names a table as well as an index, as in PostgreSQL.
    if let (DropObject::Index | DropObject::Table, [AlterAction::RenameTo(to)]) =
        (alteration.object, alteration.actions.as_slice())
        && let Some(change) = plain_indexes::renamed(&planning, &alteration.name, to)?
    {
        session.add_change(change)?;
        return Ok(tag);
    }
    if alteration.object == DropObject::Schema {
        return Err(QueryError::unsupported("ALTER SCHEMA").hint("Create another schema and use SET SCHEMA."));
    }
    let name = planning.object_name(&alteration.name)?;
    let written: Vec<String> = alteration.name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
    let written = written.join(".");
    let system_schema = if alteration.name.0.len() == 1 { "pg_catalog" } else { name.schema.as_str() };
    if planning.snapshot.relation(&name).is_none() && crate::pg_catalog::relation(system_schema, &name.name).is_some() {
        let message = format!("permission denied: \"{}\" is a system catalog", name.name);
        return Err(QueryError::new(ErrorKind::InsufficientPrivilege, message));
    }
    let relation = match planning.relation(&name, &written) {
        Ok(relation) => relation,
        Err(_) if alteration.if_exists => {
            session.notice(NoticeSeverity::Notice, format!("relation \"{written}\" does not exist, skipping"));
            return Ok(tag);
        }
        Err(error) => return Err(error),
    };
    if let (Relation::View(view), [AlterAction::AddIndex { name, columns, .. }]) =
        (&relation, alteration.actions.as_slice())
        && !view.definition.is_plain()
    {
        plain_indexes::check_unique(session, &planning, view, (name.as_ref(), columns))?;
        return Ok(tag);
    }
    check_kind(alteration, &relation)?;
    let change = match relation {
        Relation::Table(version) => Alter::new(&planning, version, statement).run(session, &alteration.actions).await?,
        Relation::View(view) => alter_view(session, &planning, view, &alteration.actions)?,
        Relation::Sequence(_) => {
            let message = format!("\"{}\" is not a table", name.name);
            let error = QueryError::new(ErrorKind::WrongObjectType, message);
            return Err(error.hint("Use ALTER SEQUENCE."));
        }
    };
    session.add_change(change)?;
    Ok(tag)
}

/// Drops columns of a table, and all that depends on them.
pub(crate) async fn drop_columns(
    session: &mut Session,
    table: ObjectId,
    columns: &[String],
    statement: &Statement,
) -> Result<(), QueryError> {
    let planning = session.planning()?;
    let Some(version) = planning.snapshot.tables.get(&table) else { return Ok(()) };
    let action = |column: &String| AlterAction::DropColumn {
        column: Ident::with_quote('"', column),
        if_exists: false,
        cascade: true,
    };
    // Those that are computed from others of them go with those.
    let mut following = Vec::new();
    for column in version.definition.columns.iter().filter(|column| columns.contains(&column.name)) {
        following.extend(generated_from(&version.definition, column.id)?.into_iter().map(|column| column.name));
    }
    let columns = columns.iter().filter(|column| !following.contains(column));
    let actions: Vec<AlterAction> = columns.map(action).collect();
    let change = Alter::new(&planning, version, statement).run(session, &actions).await?;
    session.add_change(change)
}

/// ALTER TABLE may rename a view too; the other forms want what they name.
fn check_kind(alteration: &Alteration, relation: &Relation<'_>) -> Result<(), QueryError> {
    let (name, is) = match relation {
        Relation::Table(table) => (&table.definition.name.name, DropObject::Table),
        Relation::View(view) if view.definition.is_plain() => (&view.definition.name.name, DropObject::View),
        Relation::View(view) => (&view.definition.name.name, DropObject::MaterializedView),
        Relation::Sequence(sequence) => (&sequence.definition.name.name, DropObject::Sequence),
    };
    let wrong = |message: String| Err(QueryError::new(ErrorKind::WrongObjectType, message));
    match (alteration.object, is) {
        (wanted, is) if wanted == is => Ok(()),
        (DropObject::View, _) => wrong(format!("\"{name}\" is not a view")),
        (DropObject::MaterializedView, _) => wrong(format!("\"{name}\" is not a materialized view")),
        _ => match alteration.actions.first() {
            Some(AlterAction::RenameColumn { .. } | AlterAction::RenameTo(_) | AlterAction::SetSchema(_)) | None => {
                Ok(())
            }
            Some(action) => {
                let kind = if is == DropObject::View { "views" } else { "materialized views" };
                let message = match action {
                    AlterAction::AddIndex { .. } => format!("cannot create index on relation \"{name}\""),
                    _ => format!("ALTER action {} cannot be performed on relation \"{name}\"", action_name(action)),
                };
                wrong(message).map_err(|error| error.detail(format!("This operation is not supported for {kind}.")))
            }
        },
    }
}

fn action_name(action: &AlterAction) -> &'static str {
    match action {
        AlterAction::AddColumn { .. } => "ADD COLUMN",
        AlterAction::DropColumn { .. } => "DROP COLUMN",
        AlterAction::SetType { .. } => "ALTER COLUMN ... SET DATA TYPE",
        AlterAction::SetDefault { .. } => "ALTER COLUMN ... SET DEFAULT",
        AlterAction::SetNotNull { not_null: true, .. } => "ALTER COLUMN ... SET NOT NULL",
        AlterAction::SetNotNull { not_null: false, .. } => "ALTER COLUMN ... DROP NOT NULL",
        AlterAction::AddIdentity { .. } => "ALTER COLUMN ... ADD IDENTITY",
        AlterAction::SetIdentity { .. } => "ALTER COLUMN ... SET",
        AlterAction::DropIdentity { .. } => "ALTER COLUMN ... DROP IDENTITY",
        AlterAction::DropExpression { .. } => "ALTER COLUMN ... DROP EXPRESSION",
        AlterAction::Tune { .. } => "ALTER COLUMN ... SET",
        AlterAction::RenameColumn { .. } => "RENAME COLUMN",
        AlterAction::RenameTo(_) => "RENAME",
        AlterAction::SetSchema(_) => "SET SCHEMA",
        AlterAction::AddConstraint(_) | AlterAction::AddIndex { .. } => "ADD CONSTRAINT",
        AlterAction::DropConstraint { .. } => "DROP CONSTRAINT",
        AlterAction::RenameConstraint { .. } => "RENAME CONSTRAINT",
        AlterAction::ValidateConstraint(_) => "VALIDATE CONSTRAINT",
        AlterAction::SetLogged(true) => "SET LOGGED",
        AlterAction::SetLogged(false) => "SET UNLOGGED",
        AlterAction::SetOption { value: Some(_), .. } => "SET",
        AlterAction::SetOption { value: None, .. } => "RESET",
    }
}

/// Whether an action may depend on the rows that are there.
fn looks_at_rows(action: &AlterAction) -> bool {
    matches!(
        action,
        AlterAction::AddColumn { .. }
            | AlterAction::SetType { .. }
            | AlterAction::SetNotNull { not_null: true, .. }
            | AlterAction::AddIdentity { .. }
            | AlterAction::AddConstraint(_)
            | AlterAction::AddIndex { .. }
            | AlterAction::ValidateConstraint(_)
    )
}

/// The pass in which PostgreSQL does an action, so that one statement can drop a column and add another of its name.
fn pass_of(action: &AlterAction) -> u8 {
    match action {
        AlterAction::DropColumn { .. }
        | AlterAction::DropConstraint { .. }
        | AlterAction::DropIdentity { .. }
        | AlterAction::DropExpression { .. }
        | AlterAction::SetDefault { default: None, .. } => 0,
        AlterAction::SetType { .. } => 1,
        AlterAction::AddColumn { .. } => 2,
        AlterAction::AddConstraint(_) | AlterAction::AddIndex { .. } | AlterAction::AddIdentity { .. } => 4,
        _ => 3,
    }
}

/// A table on its way to its next definition.
pub(crate) struct Alter<'a> {
    pub planning: &'a Planning,
    pub statement: &'a Statement,
    pub version: &'a TableVersion,
    pub next: TableDefinition,
    pub dropped: Vec<DroppedColumn>,
    pub retyped: Vec<Retyped>,
    /// Columns that come with a value for each row that is there.
    pub computed: Vec<Computed>,
    /// The sequences of columns that come, each with the number that the last row gets, if there is a row.
    pub sequences: Vec<(SequenceDefinition, Option<SequenceValue>)>,
    /// What becomes of the sequences of identity columns that stay.
    pub renumbered: Vec<Op>,
    /// Columns that must have a value in every row.
    pub not_null: Vec<ColumnId>,
    /// Whether something was found out about the rows.
    pub looked: bool,
}

impl<'a> Alter<'a> {
    fn new(planning: &'a Planning, version: &'a TableVersion, statement: &'a Statement) -> Self {
        let next = TableDefinition::clone(&version.definition);
        Self {
            planning,
            statement,
            version,
            next,
            dropped: Vec::new(),
            retyped: Vec::new(),
            computed: Vec::new(),
            sequences: Vec::new(),
            renumbered: Vec::new(),
            not_null: Vec::new(),
            looked: false,
        }
    }

    /// The change that all actions are; an empty one where they come to nothing.
    async fn run(mut self, session: &mut Session, actions: &[AlterAction]) -> Result<transaction::Change, QueryError> {
        let mut ordered: Vec<&AlterAction> = actions.iter().collect();
        ordered.sort_by_key(|action| pass_of(action));
        for action in ordered {
            self.act(session, action).await?;
        }
        let before = Arc::clone(&self.version.definition);
        let changes_values = !self.retyped.is_empty() || !self.computed.is_empty();
        if self.next == *before && !changes_values {
            return Ok(transaction::Change::of(self.renumbered));
        }
        if self.next.columns.is_empty() {
            return Err(QueryError::unsupported(format!("table \"{}\" without a column", self.next.name.name))
                .hint("Drop the table, or add another column first."));
        }
        check_columns(&self.next.columns)?;
        self.next.version = before.version + 1;
        let retyped: Vec<ColumnId> = self.retyped.iter().map(|retyped| retyped.id).collect();
        renew_checks(&mut self.next, &retyped, || session.engine.catalog.allocate_object())?;
        let of_other_values = self.retyped.iter().filter(|retyped| !retyped.keeps_bytes).map(|retyped| retyped.id);
        renew_keys(&mut self.next, &of_other_values.collect(), || session.engine.catalog.allocate_object());
        self.verify_rules(session).await?;
        let mut change = transaction::Change::default();
        if changes_values {
            self.depend_on_rows();
        }
        let next = Arc::new(self.next.clone());
        let altered = Altered {
            id: before.id,
            shown: shown(&self.planning.snapshot, before.id),
            before: &before.name,
            op: Op::AlterTable(Arc::clone(&next)),
            change: Change::new((&before.name, &before.columns), (&next.name, &next.columns)),
            dropped: std::mem::take(&mut self.dropped),
            retyped: self.retyped.iter().map(|retyped| retyped.name.clone()).collect(),
        };
        change.ops = with_views(session, self.planning, altered)?;
        change.ops.extend(dropped_sequences(&self.planning.snapshot, &next));
        change.ops.append(&mut self.renumbered);
        if next.name.schema != before.name.schema {
            change.ops.extend(moved_sequences(self.planning, next.id, &next.name.schema)?);
        }
        change.ops.extend(std::mem::take(&mut self.sequences).into_iter().flat_map(|(sequence, value)| {
            let (id, version) = (sequence.id, sequence.version);
            let set = value.map(|value| Op::SetSequence { sequence: id, version, value });
            std::iter::once(Op::CreateSequence(Arc::new(sequence))).chain(set)
        }));
        if self.rewrites() {
            let rows = rewritten(session, &self, &next).await?;
            change.ops.push(Op::Truncate { table: next.id });
            change.ops.extend(rows.ops);
            (change.staged, change.keys) = (rows.staged, rows.keys);
        }
        if self.looked {
            change.relies.extend(unchanged(session, &before));
        }
        Ok(change)
    }

    /// Whether all rows are computed and written anew.
    pub(crate) fn rewrites(&self) -> bool {
        let retyped = self.retyped.iter().any(|retyped| !retyped.keeps_bytes);
        retyped || (!self.computed.is_empty() && self.version.rows_live() > 0)
    }

    /// Notes that the rows which are there were looked at, and that rows of older versions need not fit.
    pub(crate) fn depend_on_rows(&mut self) {
        self.looked = true;
        self.next.rows_fit_from = self.version.definition.version + 1;
    }

    async fn act(&mut self, session: &mut Session, action: &AlterAction) -> Result<(), QueryError> {
        match action {
            AlterAction::AddColumn { column, if_not_exists } => self.add(session, column, *if_not_exists).await,
            AlterAction::DropColumn { column, if_exists, cascade } => self.drop(session, column, *if_exists, *cascade),
            AlterAction::SetType { column, data_type, using } => {
                self.set_type(session, column, data_type, using.as_deref()).await
            }
            AlterAction::SetDefault { column, default } => self.set_default(session, column, default.as_deref()).await,
            AlterAction::SetNotNull { column, not_null } => self.set_not_null(column, *not_null),
            AlterAction::AddIdentity { column, kind, options } => self.add_identity(session, column, *kind, options),
            AlterAction::SetIdentity { column, kind, options } => {
                self.set_identity(session, column, *kind, options).await
            }
            AlterAction::DropIdentity { column, if_exists } => self.drop_identity(session, column, *if_exists),
            AlterAction::DropExpression { column, if_exists } => self.drop_expression(session, column, *if_exists),
            AlterAction::Tune { column, what } => {
                let name = self.next.columns[self.position(column)?].name.clone();
                session.notice(NoticeSeverity::Notice, format!("{what} of column \"{name}\" changes nothing"));
                Ok(())
            }
            AlterAction::RenameColumn { from, to } => {
                let position = self.position_called(from, |name| format!("column \"{name}\" does not exist"))?;
                let name = fold(to);
                check_name(&name)?;
                self.refuse_taken(&name)?;
                let id = self.next.columns[position].id;
                rename_column(&mut self.next, id, &name)?;
                self.next.columns[position].name = name;
                Ok(())
            }
            AlterAction::RenameTo(to) => {
                self.next.name = renamed(self.planning, &self.next.name, to)?;
                Ok(())
            }
            AlterAction::SetSchema(schema) => {
                self.next.name = moved(self.planning, &self.next.name, schema)?;
                Ok(())
            }
            AlterAction::AddConstraint(constraint) if matches!(**constraint, ast::TableConstraint::ForeignKey(_)) => {
                self.add_constraint(session, constraint)
            }
            // PostgreSQL tells no place for these.
            AlterAction::AddConstraint(constraint) => {
                self.add_constraint(session, constraint).map_err(QueryError::without_position)
            }
            AlterAction::DropConstraint { name, if_exists } => self.drop_constraint(session, name, *if_exists),
            AlterAction::RenameConstraint { from, to } => self.rename_constraint(from, to),
            AlterAction::ValidateConstraint(name) => self.validate_constraint(name),
            AlterAction::SetOption { option, value } => self.set_option(session, option, value.as_deref()),
            AlterAction::SetLogged(logged) => self.set_logged(session, *logged),
            AlterAction::AddIndex { name, columns, if_not_exists } => {
                let added = self.add_index(session, name.as_ref(), columns, *if_not_exists);
                added.map_err(QueryError::without_position)
            }
        }
    }

    fn set_logged(&self, session: &mut Session, logged: bool) -> Result<(), QueryError> {
        let name = &self.version.definition.name;
        if self.planning.snapshot.is_temporary(name) {
            let message = format!("cannot change logged status of table \"{}\" because it is temporary", name.name);
            return Err(QueryError::new(ErrorKind::InvalidTableDefinition, message));
        }
        if !logged {
            stays_logged(session, &name.name);
        }
        Ok(())
    }

    fn set_option(
        &mut self,
        session: &mut Session,
        option: &Ident,
        value: Option<&ast::Expr>,
    ) -> Result<(), QueryError> {
        if known_option(option)? != "retention" {
            return Err(QueryError::unsupported("changing order_by of a table")
                .hint("Make a table with it and INSERT INTO … SELECT."));
        }
        self.next.retention = match value {
            Some(value) => Some(retention::option(&self.next, &option_text(option, value)?)?),
            None => None,
        };
        if self.next.retention.is_some() && self.planning.snapshot.is_temporary(&self.next.name) {
            return Err(temporary::refused_retention());
        }
        if let Some(notice) = retention::notice(&self.planning.snapshot, &self.next) {
            session.push_notice(notice);
        }
        Ok(())
    }

    pub(crate) fn position(&self, column: &Ident) -> Result<usize, QueryError> {
        let table = self.version.definition.name.name.clone();
        self.position_called(column, |name| format!("column \"{name}\" of relation \"{table}\" does not exist"))
    }

    fn position_called(&self, column: &Ident, missing: impl FnOnce(&str) -> String) -> Result<usize, QueryError> {
        let name = fold(column);
        self.next.columns.iter().position(|known| known.name == name).ok_or_else(|| {
            let error = QueryError::new(ErrorKind::UndefinedColumn, missing(&name)).column(&name);
            match nearest(&name, self.next.columns.iter().map(|known| known.name.as_str())) {
                Some(near) => error.hint(format!("Perhaps you meant the column \"{near}\".")),
                None => error,
            }
        })
    }

    pub(crate) fn taken(&self, name: &str) -> Option<String> {
        let table = &self.next.name.name;
        let found = self.next.columns.iter().any(|known| known.name == name);
        found.then(|| format!("column \"{name}\" of relation \"{table}\" already exists"))
    }

    pub(crate) fn refuse_taken(&self, name: &str) -> Result<(), QueryError> {
        match self.taken(name) {
            Some(message) => Err(QueryError::new(ErrorKind::DuplicateColumn, message).column(name)),
            None => Ok(()),
        }
    }

    fn drop(
        &mut self,
        session: &mut Session,
        column: &Ident,
        if_exists: bool,
        cascade: bool,
    ) -> Result<(), QueryError> {
        let position = match self.position(column) {
            Ok(position) => position,
            Err(error) if if_exists => {
                session.notice(NoticeSeverity::Notice, format!("{}, skipping", error.message));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let dropped = self.next.columns[position].clone();
        let generated = generated_from(&self.next, dropped.id)?;
        if !generated.is_empty() && !cascade {
            return Err(computed_from(self.planning, &self.version.definition, &dropped.name, &generated));
        }
        for column in generated {
            self.remove(column, cascade, true)?;
        }
        self.remove(dropped, cascade, false)
    }

    /// Takes a column off the table; one that `follows` goes with a column that it was computed from.
    fn remove(&mut self, column: Column, cascade: bool, follows: bool) -> Result<(), QueryError> {
        let Column { id, name, .. } = column;
        drop_rules(&mut self.next, id)?;
        if self.next.partition_by.iter().any(|item| item.column == id) {
            let message = format!("dropping column \"{name}\", by which the table is partitioned,");
            return Err(QueryError::unsupported(message)
                .hint("Create a table with other partitions and fill it with INSERT INTO … SELECT."));
        }
        // Rows that are sorted by several columns are sorted by the first of them too.
        if let Some(place) = self.next.order_by.iter().position(|key| *key == id) {
            self.next.order_by.truncate(place);
        }
        self.next.columns.retain(|column| column.id != id);
        self.next.last_dropped = self.next.last_dropped.max(Some(id));
        self.not_null.retain(|checked| *checked != id);
        self.dropped.push(DroppedColumn { name, cascade, follows });
        Ok(())
    }

    async fn set_default(
        &mut self,
        session: &Session,
        column: &Ident,
        default: Option<&ast::Expr>,
    ) -> Result<(), QueryError> {
        let position = self.position(column)?;
        let mut changed = self.next.columns[position].clone();
        let computed = match (&changed.identity, &changed.generated) {
            (Some(_), _) => Some("an identity column"),
            (_, Some(_)) => Some("a generated column"),
            _ => None,
        };
        if let Some(computed) = computed {
            let table = &self.next.name.name;
            let message = format!("column \"{}\" of relation \"{table}\" is {computed}", changed.name);
            return Err(QueryError::new(ErrorKind::Syntax, message).column(changed.name));
        }
        changed.default = default.map(ToString::to_string);
        let option = |default: &ast::Expr| ast::ColumnOptionDef {
            name: None,
            option: ast::ColumnOption::Default(default.clone()),
        };
        let written = ast::ColumnDef {
            name: column.clone(),
            data_type: ast::DataType::Unspecified,
            options: default.map(option).into_iter().collect(),
        };
        self.next.columns[position] = self.bound_alone(session, changed, &written).await?.0;
        Ok(())
    }
}

/// Whether a plan gives any row.
pub(crate) async fn has_rows(session: &Session, planning: &Planning, plan: LogicalPlan) -> Result<bool, QueryError> {
    let planning = Arc::new(planning.again());
    let mut rows = crate::dispatch::run_plan(session, &planning, plan, None).await?;
    while let Some(batch) = rows.next().await {
        if batch?.num_rows() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether another relation has a name, or an index.
pub(crate) fn is_taken(planning: &Planning, name: &ObjectName) -> bool {
    planning.snapshot.has_name(name)
}

/// The name after RENAME TO.
fn renamed(planning: &Planning, name: &ObjectName, to: &Ident) -> Result<ObjectName, QueryError> {
    let to = ObjectName::new(&name.schema, fold(to));
    check_name(&to.name)?;
    if is_taken(planning, &to) {
        let message = format!("relation \"{}\" already exists", to.name);
        return Err(QueryError::new(ErrorKind::DuplicateTable, message).table(&to.name));
    }
    Ok(to)
}

/// The name after SET SCHEMA.
fn moved(planning: &Planning, name: &ObjectName, schema: &Ident) -> Result<ObjectName, QueryError> {
    let to = ObjectName::new(fold(schema), &name.name);
    refuse_move(&planning.snapshot, name, &to)?;
    if crate::pg_catalog::is_system_schema(&to.schema) {
        let message = format!("permission denied for schema {}", to.schema);
        return Err(QueryError::new(ErrorKind::InsufficientPrivilege, message));
    }
    if !planning.snapshot.schemas.contains_key(&to.schema) {
        let message = format!("schema \"{}\" does not exist", to.schema);
        return Err(QueryError::new(ErrorKind::UndefinedSchema, message));
    }
    if to != *name && is_taken(planning, &to) {
        let message = format!("relation \"{}\" already exists in schema \"{}\"", to.name, to.schema);
        return Err(QueryError::new(ErrorKind::DuplicateTable, message).table(&to.name));
    }
    Ok(to)
}

fn alter_view(
    session: &mut Session,
    planning: &Planning,
    view: &ViewVersion,
    actions: &[AlterAction],
) -> Result<transaction::Change, QueryError> {
    let before = Arc::clone(&view.definition);
    let mut next = ViewDefinition::clone(&before);
    for action in actions {
        match action {
            AlterAction::RenameTo(to) => next.name = renamed(planning, &before.name, to)?,
            AlterAction::SetSchema(schema) => next.name = moved(planning, &before.name, schema)?,
            AlterAction::RenameColumn { from, to } => {
                let (from, to) = (fold(from), fold(to));
                check_name(&to)?;
                if next.columns.iter().any(|column| column.name == to) {
                    let message = format!("column \"{to}\" of relation \"{}\" already exists", before.name.name);
                    return Err(QueryError::new(ErrorKind::DuplicateColumn, message).column(to));
                }
                let column = next.columns.iter_mut().find(|column| column.name == from);
                let missing = format!("column \"{from}\" does not exist");
                column.ok_or_else(|| QueryError::new(ErrorKind::UndefinedColumn, missing).column(from))?.name = to;
            }
            _ => return Err(QueryError::unsupported(action_name(action))),
        }
    }
    if next == *before {
        return Ok(transaction::Change::default());
    }
    next.version = before.version + 1;
    let next = Arc::new(next);
    let altered = Altered {
        id: before.id,
        shown: shown(&planning.snapshot, before.id),
        before: &before.name,
        op: Op::AlterView(Arc::clone(&next)),
        change: Change::new((&before.name, &before.columns), (&next.name, &next.columns)),
        dropped: Vec::new(),
        retyped: Vec::new(),
    };
    Ok(transaction::Change::of(with_views(session, planning, altered)?))
}
