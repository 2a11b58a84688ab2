//! Domains: CREATE and ALTER DOMAIN.
//!
//! A column of a domain names it with the version of its definition, and so does a domain over it. So a domain that changes gives all
//! of them their next definitions, in one commit. Values that are there are asked whether they hold a rule that comes:
//!
//!     ALTER DOMAIN ──▶ next domain, domains over it ──▶ values hold ──▶ AlterTable of each table with a column of them ──▶ AlterType

use crate::altering::has_rows;
use crate::bound_expressions::{Purpose, bind_relations, first_name, parse, refuse_misplaced};
use crate::column_defaults::settle_zone;
use crate::definitions::unchanged;
use crate::definitions::{check_defaults, done, identifier, new_name};
use crate::domains::{replace_value, value_table};
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::planner::Planning;
use crate::response::Response;
use crate::sequence_definition::serial_type;
use crate::session::Session;
use crate::statement::{DomainAlteration, Statement, StatementKind};
use crate::statement_grammar::fold;
use crate::table_definition::{DeclaredType, check_name};
use crate::table_rules::{new_check, object_name};
use crate::transaction::Change;
use crate::type_definition::{altered, find, followers, next_name, refuse_taken};
use crate::user_types::{missing, qualify, uses};
use catalog::definition::{BoundExpression, Column, ObjectName, TableDefinition};
use catalog::draft::Op;
use catalog::ids::ObjectId;
use catalog::type_names::shown_name;
use catalog::user_type::{DomainCheck, DomainDefinition, TypeDefinition, TypeKind};
use datafusion::sql::sqlparser::ast::{self, ColumnOption, Expr, Ident};
use std::collections::BTreeSet;
use std::sync::Arc;

/// 42601 for a constraint that no domain can have.
pub(crate) fn impossible(constraint: &str) -> QueryError {
    let known = ["primary key", "unique", "foreign key", "exclusion"];
    let shown = constraint.to_ascii_lowercase();
    let kind = known.into_iter().find(|kind| shown.contains(kind)).unwrap_or("such");
    QueryError::new(ErrorKind::Syntax, format!("{kind} constraints not possible for domains"))
}

fn syntax(message: &str) -> QueryError {
    QueryError::new(ErrorKind::Syntax, message)
}

pub(crate) async fn create(
    session: &mut Session,
    statement: &Statement,
    name: &ast::ObjectName,
    written: &ast::ColumnDef,
) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let name = new_name(&planning, name)?;
    check_name(&name.name)?;
    refuse_taken(&planning.snapshot, &name)?;
    if serial_type(&written.data_type).is_some() {
        return Err(missing(&written.data_type.to_string().to_ascii_lowercase()));
    }
    let declared = {
        let _types = planning.knows_types();
        DeclaredType::of(&written.data_type, &name.name, statement)?
    };
    let mut domain = DomainDefinition {
        sql_type: declared.sql_type,
        digits: declared.digits,
        default: declared.domain.as_ref().and_then(|below| below.default.clone()),
        over: declared.domain,
        not_null: false,
        checks: Vec::new(),
    };
    let new_id = || session.engine.catalog.allocate_object();
    let (id, array) = (new_id(), new_id());
    let (mut nullable, mut has_default) = (None, false);
    for option in &written.options {
        match &option.option {
            ColumnOption::NotNull | ColumnOption::Null => {
                let not_null = option.option == ColumnOption::NotNull;
                if nullable.is_some_and(|known| known == not_null) {
                    return Err(syntax("conflicting NULL/NOT NULL constraints"));
                }
                nullable = Some(!not_null);
                domain.not_null = not_null;
            }
            ColumnOption::Default(_) if has_default => return Err(syntax("multiple default expressions")),
            ColumnOption::Default(expression) => {
                has_default = true;
                domain.default = default_text(&planning, &domain, expression, statement).await?;
            }
            ColumnOption::Check(check) => {
                let given = option.name.as_ref().or(check.name.as_ref());
                let check = domain_check(&planning, &name.name, &domain, given, &check.expr, new_id(), statement)?;
                domain.checks.push(check);
            }
            ColumnOption::Collation(collation)
                if ["C", "POSIX", "default"].iter().any(|known| collation.to_string().contains(known)) => {}
            other @ ColumnOption::Collation(_) => return Err(QueryError::unsupported(other.to_string())),
            other => return Err(impossible(&other.to_string())),
        }
    }
    let definition = TypeDefinition { id, array, name, version: 1, kind: TypeKind::Domain(domain) };
    session.add_change(Change::of(vec![Op::CreateType(Arc::new(definition))]))?;
    Ok(done("CREATE DOMAIN"))
}

/// A default as it is kept; `None` for NULL.
async fn default_text(
    planning: &Planning,
    domain: &DomainDefinition,
    expression: &Expr,
    statement: &Statement,
) -> Result<Option<String>, QueryError> {
    refuse_misplaced(planning, expression, Purpose::Default, statement)?;
    if let Some(place) = first_name(expression, statement) {
        let message = "cannot use column reference in DEFAULT expression";
        return Err(QueryError::new(ErrorKind::FeatureNotSupported, message).position(Some(place)));
    }
    if matches!(expression, Expr::Value(value) if value.value == ast::Value::Null) {
        return Ok(None);
    }
    let mut bound = expression.clone();
    bind_relations(&mut bound, |name| planning.facts.class_named(name))?;
    settle_zone(&mut bound, &domain.sql_type, planning);
    qualify(&mut bound, &planning.known_types());
    let mut table = value_table(domain);
    table.columns[0].default = Some(bound.to_string());
    check_defaults(planning, &table).await?;
    Ok(table.columns[0].default.take())
}

fn domain_check(
    planning: &Planning,
    domain_name: &str,
    domain: &DomainDefinition,
    name: Option<&Ident>,
    expression: &Expr,
    id: ObjectId,
    statement: &Statement,
) -> Result<DomainCheck, QueryError> {
    let taken = |name: &str| domain.checks.iter().any(|check| check.name == name);
    let name = match name.map(fold) {
        Some(name) if taken(&name) => return Err(already_there(&name, domain_name)),
        Some(name) => name,
        None => object_name(domain_name, None, "check", taken),
    };
    let quoted = Ident::with_quote('"', name);
    let check = new_check(planning, &value_table(domain), Some(&quoted), expression, id, statement)?;
    Ok(DomainCheck { id, name: check.name, expression: check.expression, not_valid: false })
}

fn already_there(check: &str, domain: &str) -> QueryError {
    let message = format!("constraint \"{check}\" for domain \"{domain}\" already exists");
    QueryError::new(ErrorKind::DuplicateObject, message)
}

/// A rule that values which are there have to hold.
enum Rule {
    NotNull,
    Check(BoundExpression),
}

/// What an ALTER DOMAIN makes of a domain.
struct Altered {
    name: ObjectName,
    domain: DomainDefinition,
    /// What has to hold for it.
    rule: Option<Rule>,
    /// Whether other values belong to it than before.
    is_ruled_anew: bool,
}

pub(crate) async fn alter(
    session: &mut Session,
    statement: &Statement,
    name: &ast::ObjectName,
    change: &DomainAlteration,
) -> Result<Response, QueryError> {
    let planning = session.planning()?;
    let before = find(&planning, name)?;
    let Some(domain) = before.domain() else {
        let message = format!("{} is not a domain", shown_name(&before.name));
        return Err(QueryError::new(ErrorKind::WrongObjectType, message));
    };
    let next = next_domain(session, &planning, &before, domain, change, statement).await?;
    if next.domain == *domain && next.name == before.name {
        return Ok(done("ALTER DOMAIN"));
    }
    let definition = TypeDefinition {
        name: next.name,
        version: before.version + 1,
        kind: TypeKind::Domain(next.domain),
        ..TypeDefinition::clone(&before)
    };
    let all = followers(&planning.snapshot, &before.name, definition);
    if next.is_ruled_anew {
        refuse_materialized(&planning, &all)?;
    }
    let relies = match &next.rule {
        Some(rule) => verified(session, &planning, &all, rule).await?,
        None => Vec::new(),
    };
    let ops = altered(session, &planning, &before.name, &all, next.rule.is_some()).await?;
    session.add_change(Change { relies, ..Change::of(ops) })?;
    Ok(done("ALTER DOMAIN"))
}

async fn next_domain(
    session: &mut Session,
    planning: &Planning,
    before: &TypeDefinition,
    domain: &DomainDefinition,
    change: &DomainAlteration,
    statement: &Statement,
) -> Result<Altered, QueryError> {
    let mut next = Altered { name: before.name.clone(), domain: domain.clone(), rule: None, is_ruled_anew: false };
    let no_constraint = |name: &str| {
        let message = format!("constraint \"{name}\" of domain \"{}\" does not exist", before.name.name);
        QueryError::new(ErrorKind::UndefinedObject, message)
    };
    let position = |name: &str| domain.checks.iter().position(|check| check.name == name);
    match change {
        DomainAlteration::SetDefault(None) => next.domain.default = None,
        DomainAlteration::SetDefault(Some(expression)) => {
            next.domain.default = default_text(planning, domain, expression, statement).await?;
        }
        DomainAlteration::SetNotNull(not_null) => {
            next.domain.not_null = *not_null;
            next.is_ruled_anew = *not_null != domain.not_null;
            next.rule = (*not_null && !domain.not_null).then_some(Rule::NotNull);
        }
        DomainAlteration::AddCheck { name, expression, not_valid } => {
            let id = session.engine.catalog.allocate_object();
            let check = domain_check(planning, &before.name.name, domain, name.as_ref(), expression, id, statement)
                .map_err(QueryError::without_position)?;
            next.is_ruled_anew = true;
            next.rule = (!not_valid).then(|| Rule::Check(check.expression.clone()));
            next.domain.checks.push(DomainCheck { not_valid: *not_valid, ..check });
        }
        DomainAlteration::DropConstraint { name, if_exists } => match position(name) {
            Some(position) => {
                next.is_ruled_anew = true;
                next.domain.checks.remove(position);
            }
            None if *if_exists => {
                session.notice(NoticeSeverity::Notice, format!("{}, skipping", no_constraint(name).message));
            }
            None => return Err(no_constraint(name)),
        },
        DomainAlteration::ValidateConstraint(name) => {
            let check = &mut next.domain.checks[position(name).ok_or_else(|| no_constraint(name))?];
            next.rule = check.not_valid.then(|| Rule::Check(check.expression.clone()));
            check.not_valid = false;
        }
        DomainAlteration::RenameConstraint { from, to } => {
            let message = format!("constraint \"{from}\" for domain {} does not exist", shown_name(&before.name));
            let missing = || QueryError::new(ErrorKind::UndefinedObject, message);
            let from = position(from).ok_or_else(missing)?;
            check_name(to)?;
            if position(to).is_some() {
                let message = format!("constraint \"{to}\" for domain {} already exists", shown_name(&before.name));
                return Err(QueryError::new(ErrorKind::DuplicateObject, message));
            }
            next.is_ruled_anew = true;
            next.domain.checks[from].name.clone_from(to);
        }
        DomainAlteration::Rename(to) => {
            next.name = next_name(planning, ObjectName::new(&before.name.schema, to))?;
        }
        DomainAlteration::SetSchema(schema) => {
            next.name = next_name(planning, ObjectName::new(schema, &before.name.name))?;
        }
    }
    Ok(next)
}

/// What a materialized view has computed would have to be computed again.
fn refuse_materialized(planning: &Planning, all: &[Arc<TypeDefinition>]) -> Result<(), QueryError> {
    let mut views = planning.snapshot.views.values().filter(|view| !view.definition.is_plain());
    let is_over = |query: &str| {
        let before = all.iter().filter_map(|next| planning.snapshot.types.get(&next.id));
        before.into_iter().any(|before| uses(query, &before.name))
    };
    match views.find(|view| is_over(&view.definition.query)) {
        Some(view) => {
            let view = &view.definition.name.name;
            let what = format!("changing the rules of a domain that materialized view \"{view}\" casts to");
            Err(QueryError::unsupported(what).hint("Drop the view, change the domain, and create the view again."))
        }
        None => Ok(()),
    }
}

/// Fails where a value that is there breaks a rule. Returns that nobody else changes what was looked at.
async fn verified(
    session: &Session,
    planning: &Planning,
    all: &[Arc<TypeDefinition>],
    rule: &Rule,
) -> Result<Vec<Op>, QueryError> {
    let domains: BTreeSet<ObjectId> = all.iter().map(|next| next.id).collect();
    let snapshot = &planning.snapshot;
    let of_domain = |columns: &[Column]| -> Vec<String> {
        let is_of = |column: &&Column| column.domain.as_ref().is_some_and(|domain| domains.contains(&domain.id));
        columns.iter().filter(is_of).map(|column| column.name.clone()).collect()
    };
    let tables: Vec<(&Arc<TableDefinition>, Vec<String>)> = snapshot
        .tables
        .values()
        .map(|table| (&table.definition, of_domain(&table.definition.columns)))
        .filter(|(_, columns)| !columns.is_empty())
        .collect();
    for (table, columns) in &tables {
        verify_columns(session, planning, &table.name, columns, rule).await?;
    }
    for view in snapshot.views.values().filter(|view| !view.definition.is_plain() && view.definition.populated) {
        let columns = of_domain(&view.definition.columns);
        verify_columns(session, planning, &view.definition.name, &columns, rule).await?;
    }
    Ok(tables.into_iter().filter_map(|(table, _)| unchanged(session, table)).collect())
}

async fn verify_columns(
    session: &Session,
    planning: &Planning,
    relation: &ObjectName,
    columns: &[String],
    rule: &Rule,
) -> Result<(), QueryError> {
    for column in columns {
        let name = identifier(column);
        let (broken, kind, what) = match rule {
            Rule::NotNull => (format!("{name} IS NULL"), ErrorKind::NotNullViolation, "null values"),
            Rule::Check(check) => {
                let what = "values that violate the new constraint";
                (format!("NOT ({})", over_column(&check.text, &name)?), ErrorKind::CheckViolation, what)
            }
        };
        let (schema, table) = (identifier(&relation.schema), identifier(&relation.name));
        let text = format!("SELECT 1 FROM {schema}.{table} WHERE {broken} LIMIT 1");
        let parsed = crate::statement::parse(&text)?.into_iter().next().map(|statement| statement.kind);
        let Some(StatementKind::Query(query)) = parsed else {
            return Err(QueryError::new(ErrorKind::Internal, "a constraint of a domain is not an expression"));
        };
        let zoned = match rule {
            Rule::NotNull => planning.again(),
            Rule::Check(check) => planning.again().in_time_zone(&check.time_zone),
        };
        let plan = zoned.query_plan(&query, &[], None)?;
        if has_rows(session, &zoned, plan).await? {
            let message = format!("column \"{column}\" of table \"{}\" contains {what}", relation.name);
            let mut error = QueryError::new(kind, message).table(&relation.name).column(column);
            error.schema = Some(relation.schema.clone());
            return Err(error);
        }
    }
    Ok(())
}

/// A constraint's expression with a column for VALUE.
fn over_column(text: &str, column: &Ident) -> Result<Expr, QueryError> {
    let mut expression = parse(text)?;
    replace_value(&mut expression, column);
    Ok(expression)
}
