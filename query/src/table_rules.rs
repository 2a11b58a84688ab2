//! The rules that a table's definition declares: CHECK constraints and generated columns.
//!
//! They are planned once over the table's columns, so that a wrong one is told now and not at the first INSERT, and kept as text.

use crate::bound_expressions::{
    Purpose, bind_relations, columns_of, first_column, first_name, parse, plan, refuse_misplaced, volatility,
};
use crate::column_defaults::settle_zone;
use crate::error::{ErrorKind, QueryError};
use crate::planner::Planning;
use crate::query_places::place_of;
use crate::statement::Statement;
use crate::statement_grammar::fold;
use crate::table_definition::{NAME_LENGTH_MAX, check_name};
use crate::user_types::qualify;
use catalog::definition::{BoundExpression, CheckConstraint, TableDefinition};
use catalog::ids::ObjectId;
use catalog::sql_type::SqlType;
use datafusion::logical_expr::Volatility;
use datafusion::sql::sqlparser::ast::{self, ColumnOption, Expr, Ident, Spanned, TableConstraint};

/// Adds the CHECK constraints and generated columns of a CREATE TABLE to the definition of its columns.
pub(crate) fn add_rules(
    planning: &Planning,
    definition: &mut TableDefinition,
    create: &ast::CreateTable,
    mut new_id: impl FnMut() -> ObjectId,
    statement: &Statement,
) -> Result<(), QueryError> {
    check_default_shapes(planning, create, statement)?;
    for column in &mut definition.columns {
        if let Some(default) = &mut column.default {
            let mut expression = parse(default)?;
            bind_relations(&mut expression, |name| planning.facts.class_named(name))?;
            settle_zone(&mut expression, &column.sql_type, planning);
            qualify(&mut expression, &planning.known_types());
            *default = expression.to_string();
        }
    }
    let generated = generated_columns(definition, create, statement)?;
    for (position, expression) in &generated {
        let bound = generation(planning, definition, *position, expression, &generated, statement)?;
        definition.columns[*position].generated = Some(bound);
    }
    let of_columns =
        create.columns.iter().flat_map(|column| &column.options).filter_map(|option| match &option.option {
            ColumnOption::Check(check) => Some((option.name.as_ref().or(check.name.as_ref()), check.expr.as_ref())),
            _ => None,
        });
    let of_table = create.constraints.iter().filter_map(|constraint| match constraint {
        TableConstraint::Check(check) => Some((check.name.as_ref(), check.expr.as_ref())),
        _ => None,
    });
    for (name, expression) in of_columns.chain(of_table) {
        let check = new_check(planning, definition, name, expression, new_id(), statement)?;
        definition.checks.push(check);
    }
    Ok(())
}

/// Fails for a default that holds what none may: a column, a subquery, an aggregate.
fn check_default_shapes(
    planning: &Planning,
    create: &ast::CreateTable,
    statement: &Statement,
) -> Result<(), QueryError> {
    let defaults = create.columns.iter().flat_map(|column| &column.options).filter_map(|option| match &option.option {
        ColumnOption::Default(expression) => Some(expression),
        _ => None,
    });
    for expression in defaults {
        refuse_misplaced(planning, expression, Purpose::Default, statement)?;
        if let Some(place) = first_name(expression, statement) {
            let message = "cannot use column reference in DEFAULT expression";
            return Err(QueryError::new(ErrorKind::FeatureNotSupported, message).position(Some(place)));
        }
    }
    Ok(())
}

/// A CHECK constraint for a table; without a name it gets PostgreSQL's.
pub(crate) fn new_check(
    planning: &Planning,
    definition: &TableDefinition,
    name: Option<&Ident>,
    expression: &Expr,
    id: ObjectId,
    statement: &Statement,
) -> Result<CheckConstraint, QueryError> {
    refuse_misplaced(planning, expression, Purpose::Check, statement)?;
    let planned = plan(planning, definition, expression, Some(statement))?;
    let sql_type = SqlType::from_field(&planned.field);
    if !planned.field.data_type().is_null() && sql_type != Some(SqlType::Bool) {
        let given = sql_type.map_or_else(|| "unknown".into(), |sql_type| sql_type.base_name());
        let message = format!("argument of CHECK must be type boolean, not type {given}");
        let place = place_of(statement, expression);
        return Err(QueryError::new(ErrorKind::DatatypeMismatch, message).position(place));
    }
    let taken = |name: &str| definition.checks.iter().any(|check| check.name == name);
    let name = match name.map(fold) {
        Some(name) if taken(&name) => {
            let message = format!("check constraint \"{name}\" already exists");
            return Err(QueryError::new(ErrorKind::DuplicateObject, message));
        }
        Some(name) => name,
        None => {
            let columns = columns_of(expression, definition);
            let column = match columns.as_slice() {
                [only] => Some(definition.columns[*only].name.as_str()),
                _ => None,
            };
            object_name(&definition.name.name, column, "check", taken)
        }
    };
    check_name(&name)?;
    Ok(CheckConstraint { id, name, expression: bound(planning, expression) })
}

/// An expression over a table's columns as it is kept.
pub(crate) fn bound(planning: &Planning, expression: &Expr) -> BoundExpression {
    let time_zone = planning.state.config_options().execution.time_zone.clone();
    let mut expression = expression.clone();
    qualify(&mut expression, &planning.known_types());
    BoundExpression { text: expression.to_string(), time_zone: time_zone.unwrap_or_else(|| "UTC".into()) }
}

/// `table_column_label`, shortened to the length of a name and with a number behind it where that name is taken.
pub(crate) fn object_name(table: &str, column: Option<&str>, label: &str, taken: impl Fn(&str) -> bool) -> String {
    for pass in 0u64.. {
        let label = if pass == 0 { label.to_string() } else { format!("{label}{pass}") };
        let name = shortened(table, column, &label);
        if !taken(&name) {
            return name;
        }
    }
    unreachable!("there are more numbers than names")
}

/// The longer of both parts loses letters until the name is short enough, as in PostgreSQL.
fn shortened(table: &str, column: Option<&str>, label: &str) -> String {
    let overhead = label.len() + 1 + usize::from(column.is_some());
    let room = NAME_LENGTH_MAX.saturating_sub(overhead);
    let (mut first, mut second) = (table.len(), column.map_or(0, str::len));
    while first + second > room {
        if first > second { first -= 1 } else { second -= 1 }
    }
    let cut = |text: &str, length: usize| text[..text.floor_char_boundary(length)].to_string();
    match column {
        Some(column) => format!("{}_{}_{label}", cut(table, first), cut(column, second)),
        None => format!("{}_{label}", cut(table, first)),
    }
}

/// The generated columns of a CREATE TABLE with their expressions.
pub(crate) fn generated_columns(
    definition: &TableDefinition,
    create: &ast::CreateTable,
    statement: &Statement,
) -> Result<Vec<(usize, Expr)>, QueryError> {
    let mut generated: Vec<(usize, Expr)> = Vec::new();
    for (position, column) in create.columns.iter().enumerate() {
        for option in &column.options {
            let ColumnOption::Generated { generation_expr: Some(expression), generation_expr_mode, .. } =
                &option.option
            else {
                continue;
            };
            let (name, table) = (&definition.columns[position].name, &definition.name.name);
            let refused = |what: &str| {
                let message = format!("{what} specified for column \"{name}\" of table \"{table}\"");
                Err(QueryError::new(ErrorKind::Syntax, message).position(statement.place_of(option.span())))
            };
            if generated.iter().any(|(known, _)| *known == position) {
                return refused("multiple generation clauses");
            }
            if definition.columns[position].default.is_some() {
                return refused("both default and generation expression");
            }
            if *generation_expr_mode != Some(ast::GeneratedExpressionMode::Stored) {
                return Err(QueryError::unsupported("a generated column that is not stored").hint("Write STORED."));
            }
            generated.push((position, expression.clone()));
        }
    }
    Ok(generated)
}

/// The generation expression of the column at `position`, bound. `generated` are all generated columns with theirs.
pub(crate) fn generation(
    planning: &Planning,
    definition: &TableDefinition,
    position: usize,
    expression: &Expr,
    generated: &[(usize, Expr)],
    statement: &Statement,
) -> Result<BoundExpression, QueryError> {
    refuse_misplaced(planning, expression, Purpose::Generation, statement)?;
    let ids: Vec<_> = generated.iter().map(|(position, _)| definition.columns[*position].id).collect();
    if let Some((name, place)) = first_column(expression, definition, |column| ids.contains(&column.id), statement) {
        let message = format!("cannot use generated column \"{name}\" in column generation expression");
        return Err(QueryError::new(ErrorKind::InvalidObjectDefinition, message)
            .detail("A generated column cannot reference another generated column.")
            .position(place));
    }
    let planned = plan(planning, definition, expression, Some(statement))?;
    let column = &definition.columns[position];
    let given = SqlType::from_field(&planned.field).map_or_else(|| "unknown".into(), |given| given.base_name());
    let planned = planned.assigned_to(column).map_err(|error| {
        let to = column.sql_type.base_name();
        let message = format!("column \"{}\" is of type {to} but default expression is of type {given}", column.name);
        QueryError { message, ..error }
    })?;
    if volatility(&planned.value) != Volatility::Immutable {
        let message = "generation expression is not immutable";
        return Err(QueryError::new(ErrorKind::InvalidObjectDefinition, message));
    }
    Ok(bound(planning, expression))
}
