//! Constraints that come to a table, go, or change their names. Those that come are held against the rows that are there.

use crate::altering::{Alter, has_rows, is_taken};
use crate::bound_expressions::parse;
use crate::definitions::identifier;
use crate::engine_error::translate;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::keys::definition::{self as key_definition, KeyClause, NewKeys};
use crate::keys::existing;
use crate::planner::Sources;
use crate::returning::{select, target_factor};
use crate::scan::{Extra, RowSet};
use crate::session::Session;
use crate::statement_grammar::fold;
use crate::table_definition::{check_name, constraint_unsupported};
use crate::table_rules::new_check;
use catalog::definition::{CheckConstraint, Key, ObjectName};
use catalog::ids::ColumnId;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::sql::sqlparser::ast::{self, Ident, SelectItem, TableConstraint, TableWithJoins};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Alter<'_> {
    pub(crate) fn add_constraint(&mut self, session: &Session, constraint: &TableConstraint) -> Result<(), QueryError> {
        if let TableConstraint::Check(check) = constraint {
            return self.add_check(session, check.name.as_ref(), &check.expr);
        }
        match key_definition::of_constraint(constraint)? {
            Some(clause) => self.add_keys(session, vec![clause]),
            None => Err(constraint_unsupported(constraint, self.statement)),
        }
    }

    pub(crate) fn add_keys(&mut self, session: &Session, clauses: Vec<KeyClause<'_>>) -> Result<(), QueryError> {
        if clauses.is_empty() {
            return Ok(());
        }
        let without_nulls = |columns: &[catalog::definition::Column]| -> BTreeSet<ColumnId> {
            columns.iter().filter(|column| column.not_null).map(|column| column.id).collect()
        };
        let before = without_nulls(&self.next.columns);
        let new_keys = NewKeys { snapshot: &self.planning.snapshot, catalog: &session.engine.catalog };
        key_definition::add(&mut self.next, clauses, &new_keys, self.statement)?;
        let after = without_nulls(&self.next.columns);
        // Rows get the values of computed columns when they are written anew.
        let computed = |id: &ColumnId| self.computed.iter().any(|computed| computed.id == *id);
        let strict: Vec<ColumnId> = after.difference(&before).copied().filter(|id| !computed(id)).collect();
        self.not_null.extend(strict);
        Ok(())
    }

    pub(crate) fn add_check(
        &mut self,
        session: &Session,
        name: Option<&Ident>,
        expression: &ast::Expr,
    ) -> Result<(), QueryError> {
        if let Some(name) = name.map(fold) {
            self.refuse_constraint(&name)?;
        }
        let id = session.engine.catalog.allocate_object();
        let check = new_check(self.planning, &self.next, name, expression, id, self.statement)?;
        self.next.checks.push(check);
        Ok(())
    }

    /// CREATE UNIQUE INDEX.
    pub(crate) fn add_index(
        &mut self,
        session: &mut Session,
        name: Option<&Ident>,
        columns: &[Ident],
        if_not_exists: bool,
    ) -> Result<(), QueryError> {
        if let Some(name) = name.map(fold)
            && if_not_exists
            && is_taken(self.planning, &ObjectName::new(&self.next.name.schema, &name))
        {
            let message = format!("relation \"{name}\" already exists, skipping");
            session.notice_of(NoticeSeverity::Notice, ErrorKind::DuplicateTable, message);
            return Ok(());
        }
        self.add_keys(session, vec![KeyClause::of_index(name, columns)])
    }

    pub(crate) fn drop_constraint(
        &mut self,
        session: &mut Session,
        name: &Ident,
        if_exists: bool,
    ) -> Result<(), QueryError> {
        let name = fold(name);
        let count = self.next.keys.len() + self.next.checks.len();
        self.next.keys.retain(|key| key.name != name || key.index);
        self.next.checks.retain(|check| check.name != name);
        if self.next.keys.len() + self.next.checks.len() < count {
            return Ok(());
        }
        let message = format!("constraint \"{name}\" of relation \"{}\" does not exist", self.next.name.name);
        if !if_exists {
            return Err(QueryError::new(ErrorKind::UndefinedObject, message));
        }
        session.notice(NoticeSeverity::Notice, format!("{message}, skipping"));
        Ok(())
    }

    /// Every constraint was checked when it came, so there is nothing left to look at.
    pub(crate) fn validate_constraint(&self, name: &Ident) -> Result<(), QueryError> {
        let name = fold(name);
        if self.next.checks.iter().any(|check| check.name == name) {
            return Ok(());
        }
        let is_key = self.next.keys.iter().any(|key| key.name == name && !key.index);
        let (kind, what) = match is_key {
            true => (ErrorKind::WrongObjectType, "is not a foreign key or check constraint"),
            false => (ErrorKind::UndefinedObject, "does not exist"),
        };
        Err(QueryError::new(kind, format!("constraint \"{name}\" of relation \"{}\" {what}", self.next.name.name)))
    }

    pub(crate) fn rename_constraint(&mut self, from: &Ident, to: &Ident) -> Result<(), QueryError> {
        let (from, to) = (fold(from), fold(to));
        check_name(&to)?;
        if let Some(place) = self.next.keys.iter().position(|key| key.name == from && !key.index) {
            if is_taken(self.planning, &ObjectName::new(&self.next.name.schema, &to)) {
                let message = format!("relation \"{to}\" already exists");
                return Err(QueryError::new(ErrorKind::DuplicateTable, message));
            }
            self.refuse_constraint(&to)?;
            self.next.keys[place].name = to;
            return Ok(());
        }
        let Some(place) = self.next.checks.iter().position(|check| check.name == from) else {
            let message = format!("constraint \"{from}\" for table \"{}\" does not exist", self.next.name.name);
            return Err(QueryError::new(ErrorKind::UndefinedObject, message));
        };
        self.refuse_constraint(&to)?;
        self.next.checks[place].name = to;
        Ok(())
    }

    fn refuse_constraint(&self, name: &str) -> Result<(), QueryError> {
        let next = &self.next;
        let key = next.keys.iter().any(|key| key.name == name && !key.index);
        if key || next.checks.iter().any(|check| check.name == name) {
            let message = format!("constraint \"{name}\" for relation \"{}\" already exists", next.name.name);
            return Err(QueryError::new(ErrorKind::DuplicateObject, message));
        }
        Ok(())
    }

    /// The keys that the table does not have yet.
    pub(crate) fn new_keys(&self) -> Vec<Key> {
        let known = |key: &&Key| self.version.definition.keys.iter().any(|before| before.id == key.id);
        self.next.keys.iter().filter(|key| !known(key)).cloned().collect()
    }

    /// The CHECK constraints that the table does not have yet.
    pub(crate) fn new_checks(&self) -> Vec<CheckConstraint> {
        let known =
            |check: &&CheckConstraint| self.version.definition.checks.iter().any(|before| before.id == check.id);
        self.next.checks.iter().filter(|check| !known(check)).cloned().collect()
    }

    /// Holds new rules against the rows that are there, unless these are written anew, where they are checked.
    /// Of several that do not hold it is the one that PostgreSQL tells, which builds its indexes first.
    pub(crate) async fn verify_rules(&mut self, session: &Session) -> Result<(), QueryError> {
        let (keys, checks) = (self.new_keys(), self.new_checks());
        if !keys.is_empty() || !checks.is_empty() {
            self.depend_on_rows();
        }
        let as_they_are = !self.rewrites() && self.version.rows_live() > 0;
        for key in keys.iter().filter(|_| as_they_are) {
            existing::verify(session, self.version, &self.next, key).await?;
        }
        self.check_nulls(session).await?;
        for check in checks.iter().filter(|_| as_they_are) {
            self.verify_check(session, check).await?;
        }
        Ok(())
    }

    async fn verify_check(&self, session: &Session, check: &CheckConstraint) -> Result<(), QueryError> {
        let name = &self.next.name.name;
        let rows = RowSet { definition: Arc::new(self.next.clone()), ..RowSet::of_table(self.version, Extra::None) };
        let source = self.planning.rows_source(name, rows);
        let over = self.planning.with_sources(Sources::Target(source));
        let failing = ast::Expr::IsFalse(Box::new(ast::Expr::Nested(Box::new(parse(&check.expression.text)?))));
        let from = vec![TableWithJoins { relation: target_factor(&identifier(name)), joins: Vec::new() }];
        let query = select(vec![SelectItem::UnnamedExpr(parse("1")?)], from, Some(failing), None)?;
        let plan = over.query_plan(&query, &[], None).map_err(QueryError::without_position)?;
        let plan = LogicalPlanBuilder::from(plan).limit(0, Some(1)).and_then(LogicalPlanBuilder::build);
        let plan = plan.map_err(|error| translate(error, None))?;
        match has_rows(session, self.planning, plan).await? {
            true => Err(violated(check, &self.next.name)),
            false => Ok(()),
        }
    }
}

/// 23514: a row that is there breaks a CHECK constraint that comes.
fn violated(check: &CheckConstraint, table: &ObjectName) -> QueryError {
    let message = format!("check constraint \"{}\" of relation \"{}\" is violated by some row", check.name, table.name);
    let mut error = QueryError::new(ErrorKind::CheckViolation, message).table(&table.name);
    error.schema = Some(table.schema.clone());
    error.constraint = Some(check.name.clone());
    error
}
