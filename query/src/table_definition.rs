//! CREATE TABLE: from its syntax tree to a table definition.
//!
//! What cannot be kept is refused by name; nothing is accepted and then ignored.

use crate::dialect::StatementDialect;
use crate::engine_error::nearest;
use crate::error::{ErrorKind, QueryError};
use crate::keys::definition::{self as key_definition, NewKeys};
use crate::operators::json_operators::is_document;
use crate::operators::modifiers::modifier_of;
use crate::retention;
use crate::sequence_definition::serial_type;
use crate::sql_types::sql_type_of;
use crate::statement::{CreateTable, Statement, is_blank};
use crate::statement_grammar::fold;
use crate::user_types::domain_named;
use catalog::definition::{Column, ObjectName, PartitionColumn, TableDefinition, Transform};
use catalog::ids::{ColumnId, ObjectId};
use catalog::sql_type::SqlType;
use catalog::user_type::DomainUse;
use datafusion::sql::sqlparser::ast::{
    self, ColumnOption, CreateTableOptions, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, SqlOption,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer};

/// The most columns of a table, as in PostgreSQL.
const COLUMNS_MAX: usize = 1_600;
/// The longest name in bytes, as in PostgreSQL, which cuts where this refuses.
pub(crate) const NAME_LENGTH_MAX: usize = 63;
const OPTIONS: [&str; 2] = ["order_by", "retention"];

/// The definition that a CREATE TABLE asks for. `copied` are columns from elsewhere, each with the number of the statement's own
/// that stand before them.
pub(crate) fn define(
    create: &CreateTable,
    copied: Vec<(usize, Vec<Column>)>,
    id: ObjectId,
    name: ObjectName,
    new_keys: &NewKeys<'_>,
    statement: &Statement,
) -> Result<TableDefinition, QueryError> {
    refuse_unsupported(&create.definition, statement)?;
    check_name(&name.name)?;
    let declared = create.definition.columns.iter().enumerate();
    let columns = declared.map(|(index, column)| define_column(index, column, &name.name, statement));
    let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
    for (position, copied) in copied.into_iter().rev() {
        columns.splice(position..position, copied);
    }
    columns.iter_mut().zip(1..).for_each(|(column, id)| column.id = ColumnId(id));
    check_columns(&columns)?;
    let mut definition = TableDefinition::new(id, name, columns);
    let mut keys = Vec::new();
    for column in &create.definition.columns {
        keys.extend(key_definition::of_column(column)?);
    }
    for constraint in &create.definition.constraints {
        keys.extend(key_definition::of_constraint(constraint)?);
    }
    key_definition::add(&mut definition, keys, new_keys, statement)?;
    definition.partition_by = partition_by(&definition, create)?;
    set_options(&mut definition, &create.definition.table_options)?;
    Ok(definition)
}

fn refuse_unsupported(create: &ast::CreateTable, statement: &Statement) -> Result<(), QueryError> {
    let refused = |what: &str, hint: &str| Err(QueryError::unsupported(what).hint(hint));
    if create.inherits.is_some() {
        return refused("CREATE TABLE INHERITS", "Name the columns.");
    }
    // CHECK constraints are `table_rules`', keys are made when all columns are known.
    let kept = |constraint: &&ast::TableConstraint| {
        use ast::TableConstraint::{Check, PrimaryKey, Unique};
        matches!(constraint, Check(_) | PrimaryKey(_) | Unique(_))
    };
    if let Some(constraint) = create.constraints.iter().find(|constraint| !kept(constraint)) {
        return Err(constraint_unsupported(constraint, statement));
    }
    Ok(())
}

pub(crate) fn constraint_unsupported(constraint: &ast::TableConstraint, statement: &Statement) -> QueryError {
    match constraint {
        ast::TableConstraint::ForeignKey(key) => foreign_key_unsupported(key, statement),
        _ => QueryError::unsupported("this constraint")
            .hint("Leave the constraint out; keys, NOT NULL, CHECK and DEFAULT are kept."),
    }
}

/// A foreign key, at the table that it names.
fn foreign_key_unsupported(key: &ast::ForeignKeyConstraint, statement: &Statement) -> QueryError {
    QueryError::unsupported("FOREIGN KEY")
        .hint("Leave it out: rows are not compared with those of other tables. Keys, NOT NULL and CHECK are enforced.")
        .position(statement.place_of(key.foreign_table.span()))
}

/// Refuses names that are too long.
pub(crate) fn check_name(name: &str) -> Result<(), QueryError> {
    if name.len() > NAME_LENGTH_MAX {
        let message = format!("identifier \"{name}\" is longer than {NAME_LENGTH_MAX} bytes");
        return Err(QueryError::new(ErrorKind::InvalidObjectDefinition, message));
    }
    Ok(())
}

/// Refuses more columns than a table or a view can have.
pub(crate) fn check_column_count(columns: usize) -> Result<(), QueryError> {
    if columns <= COLUMNS_MAX {
        return Ok(());
    }
    let message = format!("tables can have at most {COLUMNS_MAX} columns");
    Err(QueryError::new(ErrorKind::TooManyColumns, message))
}

/// Refuses columns that no table can have.
pub(crate) fn check_columns(columns: &[Column]) -> Result<(), QueryError> {
    if columns.is_empty() {
        return Err(QueryError::unsupported("a table without columns"));
    }
    check_column_count(columns.len())?;
    for (index, column) in columns.iter().enumerate() {
        check_name(&column.name)?;
        if column.name.starts_with("__") {
            return Err(QueryError::new(
                ErrorKind::InvalidTableDefinition,
                format!("column name \"{}\" is reserved", column.name),
            )
            .hint("Names that begin with two underscores are the server's own."));
        }
        if columns[..index].iter().any(|other| other.name == column.name) {
            let message = format!("column \"{}\" specified more than once", column.name);
            return Err(QueryError::new(ErrorKind::DuplicateColumn, message).column(&column.name));
        }
    }
    Ok(())
}

/// The type of a column, if it can be one.
fn column_type(data_type: &ast::DataType, column: &str, statement: &Statement) -> Result<SqlType, QueryError> {
    let position = crate::engine_error::position_of_word(statement, &data_type.to_string());
    let sql_type = match serial_type(data_type) {
        Some(sql_type) => sql_type,
        None => sql_type_of(data_type).map_err(|error| error.position(position))?,
    };
    refuse_open_numeric(&sql_type, column)?;
    storable(&sql_type, column)?;
    if modifier_of(data_type).is_some() && sql_type == SqlType::Interval {
        let shown = data_type.to_string().to_ascii_lowercase();
        return Err(QueryError::unsupported(format!("a column of type {shown}"))
            .hint(format!("Use {}, which keeps microseconds; a cast to {shown} rounds.", sql_type.base_name()))
            .position(position));
    }
    Ok(sql_type)
}

/// The type that a column is declared with.
#[derive(Debug)]
pub(crate) struct DeclaredType {
    pub sql_type: SqlType,
    pub digits: Option<u8>,
    pub domain: Option<DomainUse>,
}

impl DeclaredType {
    pub(crate) fn of(data_type: &ast::DataType, column: &str, statement: &Statement) -> Result<Self, QueryError> {
        let domain = domain_named(data_type).map_err(|error| {
            error.position(crate::engine_error::position_of_word(statement, &data_type.to_string()))
        })?;
        Ok(match domain.as_ref().and_then(|known| known.domain()) {
            Some(base) => Self {
                sql_type: base.sql_type.clone(),
                digits: base.digits,
                domain: domain.as_ref().and_then(|known| known.domain_use()),
            },
            None => Self {
                sql_type: column_type(data_type, column, statement)?,
                digits: column_digits(data_type),
                domain: None,
            },
        })
    }

    /// Gives it to a column.
    pub(crate) fn give(self, column: &mut Column) {
        (column.sql_type, column.digits, column.domain) = (self.sql_type, self.digits, self.domain);
    }
}

/// The digits behind the second's point that a column of such a type keeps, where it says so.
fn column_digits(data_type: &ast::DataType) -> Option<u8> {
    let digits = modifier_of(data_type).filter(|_| !matches!(data_type, ast::DataType::Interval { .. }))?;
    u8::try_from(digits.number()).ok()
}

/// The same from a result's column.
pub(crate) fn digits_of_modifier(sql_type: &SqlType, modifier: i32) -> Option<u8> {
    match sql_type {
        SqlType::Time | SqlType::TimeTz | SqlType::Timestamp | SqlType::TimestampTz => u8::try_from(modifier).ok(),
        _ => None,
    }
}

/// The column at `index` of a definition, counted from zero.
pub(crate) fn define_column(
    index: usize,
    column: &ast::ColumnDef,
    table: &str,
    statement: &Statement,
) -> Result<Column, QueryError> {
    let name = fold(&column.name);
    refuse_contradictions(column, table, statement)?;
    let declared = DeclaredType::of(&column.data_type, &name, statement)?;
    let mut defined = Column::new(ColumnId(index as i32 + 1), name, SqlType::Text);
    declared.give(&mut defined);
    for option in &column.options {
        match &option.option {
            ColumnOption::NotNull => defined.not_null = true,
            ColumnOption::Null => {}
            ColumnOption::Default(expression) => defined.default = Some(expression.to_string()),
            ColumnOption::Collation(collation)
                if ["C", "POSIX", "default"].iter().any(|known| collation.to_string().contains(known)) => {}
            // Keys are made when all columns are known.
            ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_) => {}
            ColumnOption::ForeignKey(key) => return Err(foreign_key_unsupported(key, statement)),
            // These need more than the column; see `table_rules` and `sequence_definition`.
            ColumnOption::Check(_) | ColumnOption::Generated { .. } => {}
            other => return Err(QueryError::unsupported(format!("column option {other}"))),
        }
    }
    Ok(defined)
}

/// Refuses a column that is said to take NULL and not to, or that has two defaults.
fn refuse_contradictions(column: &ast::ColumnDef, table: &str, statement: &Statement) -> Result<(), QueryError> {
    let name = fold(&column.name);
    let of_kind =
        |wanted: fn(&ColumnOption) -> bool| column.options.iter().filter(|option| wanted(&option.option)).count();
    let not_null = of_kind(|option| matches!(option, ColumnOption::NotNull));
    if not_null > 0 && of_kind(|option| matches!(option, ColumnOption::Null)) > 0 {
        let message = format!("conflicting NULL/NOT NULL declarations for column \"{name}\" of table \"{table}\"");
        return Err(QueryError::new(ErrorKind::Syntax, message).position(contradiction(column, statement)));
    }
    if of_kind(|option| matches!(option, ColumnOption::Default(_))) > 1 {
        let message = format!("multiple default values specified for column \"{name}\" of table \"{table}\"");
        return Err(QueryError::new(ErrorKind::Syntax, message).position(second_default(column, statement)));
    }
    Ok(())
}

/// The tokens behind a column's name and their keywords.
fn words_behind(column: &ast::ColumnDef, statement: &Statement) -> Vec<(Option<Keyword>, Span)> {
    let tokens = Tokenizer::new(&StatementDialect, &statement.source).tokenize_with_location().unwrap_or_default();
    let behind = tokens.into_iter().filter(|token| !is_blank(&token.token));
    let behind = behind.skip_while(|token| token.span.start <= column.name.span.start);
    let keyword = |token: TokenWithSpan| match token.token {
        Token::Word(word) if word.quote_style.is_none() => (Some(word.keyword), token.span),
        _ => (None, token.span),
    };
    behind.map(keyword).collect()
}

/// Where the first NULL or NOT NULL of a column stands that says the opposite of the one before it.
fn contradiction(column: &ast::ColumnDef, statement: &Statement) -> Option<usize> {
    let words = words_behind(column, statement);
    let mut said: Option<bool> = None;
    for place in 1..words.len() {
        let before = words[place - 1].0;
        if words[place].0 != Some(Keyword::NULL) || before == Some(Keyword::DEFAULT) {
            continue;
        }
        let negated = before == Some(Keyword::NOT);
        if said.is_some_and(|said| said != negated) {
            return statement.place_of(words[place - usize::from(negated)].1);
        }
        said = Some(negated);
    }
    None
}

fn second_default(column: &ast::ColumnDef, statement: &Statement) -> Option<usize> {
    let words = words_behind(column, statement);
    let mut defaults = words.iter().filter(|(keyword, _)| *keyword == Some(Keyword::DEFAULT));
    statement.place_of(defaults.nth(1)?.1)
}

/// A column that is declared keeps its values' display scale, for which its type has to say one.
fn refuse_open_numeric(sql_type: &SqlType, column: &str) -> Result<(), QueryError> {
    match sql_type {
        SqlType::Numeric { declared: false, .. } => {
            Err(QueryError::unsupported(format!("column \"{column}\" of type numeric without a precision"))
                .hint("Give it a precision and scale, such as numeric(12,2)."))
        }
        SqlType::Array(element) => refuse_open_numeric(element, column),
        _ => Ok(()),
    }
}

/// A type is on disk for ever; the ones that are not settled are refused.
/// Refuses types that no column can have.
pub(crate) fn storable(sql_type: &SqlType, column: &str) -> Result<(), QueryError> {
    match sql_type {
        SqlType::Array(element) => match element.as_ref() {
            SqlType::Array(_) => {
                let message = format!("column \"{column}\" of arrays of more than one dimension");
                Err(QueryError::unsupported(message).hint("Use jsonb, or one column for each dimension."))
            }
            SqlType::Interval | SqlType::Name | SqlType::Varchar { length_max: Some(_) } | SqlType::Bpchar { .. } => {
                Err(QueryError::unsupported(format!("column \"{column}\" of type {sql_type}")).hint("Use text[]."))
            }
            element => storable(element, column),
        },
        SqlType::Reg(_) | SqlType::Char | SqlType::Oid => {
            Err(QueryError::unsupported(format!("column \"{column}\" of type {sql_type}")).hint("Use text."))
        }
        _ => Ok(()),
    }
}

fn find_column<'a>(definition: &'a TableDefinition, name: &str, clause: &str) -> Result<&'a Column, QueryError> {
    let found = definition.columns.iter().find(|column| column.name == name);
    found.ok_or_else(|| {
        let error =
            QueryError::new(ErrorKind::UndefinedColumn, format!("column \"{name}\" named in {clause} does not exist"))
                .column(name);
        match nearest(name, definition.columns.iter().map(|column| column.name.as_str())) {
            Some(near) => error.hint(format!("Perhaps you meant the column \"{near}\".")),
            None => error,
        }
    })
}

fn partition_by(definition: &TableDefinition, create: &CreateTable) -> Result<Vec<PartitionColumn>, QueryError> {
    let mut kept = Vec::with_capacity(create.partition_by.len());
    for item in &create.partition_by {
        let item = partition_item(definition, item)?;
        kept.extend(create.partition_method.map_or(Some(item), |method| method.item(definition, item)));
    }
    Ok(kept)
}

/// What `PARTITION BY` names by one of its expressions.
pub(crate) fn partition_item(definition: &TableDefinition, item: &Expr) -> Result<PartitionColumn, QueryError> {
    let unclear = || {
        QueryError::new(ErrorKind::InvalidTableDefinition, format!("cannot partition by {item}"))
            .hint("Use plain columns and day(c), month(c), quarter(c), year(c) or date_trunc('month', c).")
    };
    let (name, transform) = match item {
        Expr::Identifier(name) => (fold(name), Transform::Identity),
        Expr::Nested(inner) => return partition_item(definition, inner),
        Expr::Function(function) => {
            let FunctionArguments::List(list) = &function.args else { return Err(unclear()) };
            let arguments: Vec<&Expr> = list
                .args
                .iter()
                .filter_map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
                    _ => None,
                })
                .collect();
            let called = function.name.to_string().to_ascii_lowercase();
            match (called.as_str(), arguments.as_slice()) {
                ("date_trunc", [Expr::Value(unit), Expr::Identifier(column)]) => {
                    let unit = unit.value.clone().into_string().unwrap_or_default();
                    (fold(column), transform_named(&unit).ok_or_else(unclear)?)
                }
                (unit, [Expr::Identifier(column)]) => (fold(column), transform_named(unit).ok_or_else(unclear)?),
                _ => return Err(unclear()),
            }
        }
        _ => return Err(unclear()),
    };
    let column = find_column(definition, &name, "PARTITION BY")?;
    let dated = matches!(column.sql_type, SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz);
    if transform != Transform::Identity && !dated {
        let message = format!("column \"{name}\" of type {} has no day, month or year", column.sql_type);
        return Err(QueryError::new(ErrorKind::DatatypeMismatch, message));
    }
    if matches!(column.sql_type, SqlType::Float4 | SqlType::Float8) {
        return Err(QueryError::unsupported("partitioning by a floating-point column"));
    }
    if is_document(&column.sql_type)
        || matches!(column.sql_type, SqlType::Array(_) | SqlType::Interval | SqlType::TimeTz)
    {
        return Err(QueryError::unsupported(format!("partitioning by a column of type {}", column.sql_type)));
    }
    Ok(PartitionColumn { column: column.id, transform })
}

fn transform_named(unit: &str) -> Option<Transform> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "day" => Transform::Day,
        "month" => Transform::Month,
        "quarter" => Transform::Quarter,
        "year" => Transform::Year,
        _ => return None,
    })
}

/// `WITH (order_by = 'a, b', retention = '24 months')`.
fn set_options(definition: &mut TableDefinition, options: &CreateTableOptions) -> Result<(), QueryError> {
    let listed = match options {
        CreateTableOptions::None => &[][..],
        CreateTableOptions::With(options) => options.as_slice(),
        other => return Err(QueryError::unsupported(format!("table option {other}"))),
    };
    definition.order_by = default_order(definition).into_iter().collect();
    for option in listed {
        let SqlOption::KeyValue { key, value } = option else {
            return Err(QueryError::unsupported(format!("table option {option}")));
        };
        match known_option(key)? {
            "retention" => definition.retention = Some(retention::option(definition, &option_text(key, value)?)?),
            _ => definition.order_by = order_by(definition, &option_text(key, value)?)?,
        }
    }
    Ok(())
}

/// The table option of a name.
pub(crate) fn known_option(key: &ast::Ident) -> Result<&'static str, QueryError> {
    let name = fold(key);
    OPTIONS.into_iter().find(|known| *known == name).ok_or_else(|| {
        let error = QueryError::new(ErrorKind::InvalidParameterValue, format!("unrecognized parameter \"{name}\""));
        match nearest(&name, OPTIONS.into_iter()) {
            Some(near) => error.hint(format!("Perhaps you meant \"{near}\".")),
            None => error.hint(format!("Known parameters: {}.", OPTIONS.join(", "))),
        }
    })
}

/// The sort key of `'a, b'`; without the option it is the first partitioned or declared date or timestamp column.
fn order_by(definition: &TableDefinition, text: &str) -> Result<Vec<ColumnId>, QueryError> {
    let names = text.split(',').map(|name| name.trim().trim_matches('"').to_string()).filter(|name| !name.is_empty());
    names.map(|name| sortable(find_column(definition, &name, "order_by")?)).collect()
}

fn sortable(column: &Column) -> Result<ColumnId, QueryError> {
    match column.sql_type {
        SqlType::Interval => {
            let what = format!("order_by of column \"{}\" of type interval", column.name);
            Err(QueryError::unsupported(what).hint("Order by a number of seconds."))
        }
        _ => Ok(column.id),
    }
}

pub(crate) fn option_text(key: &ast::Ident, value: &Expr) -> Result<String, QueryError> {
    match value {
        Expr::Value(value) => Ok(value.value.clone().into_string().unwrap_or_default()),
        Expr::Identifier(name) => Ok(fold(name)),
        other => Err(QueryError::new(
            ErrorKind::InvalidParameterValue,
            format!("invalid value for parameter \"{}\": {other}", fold(key)),
        )),
    }
}

fn default_order(definition: &TableDefinition) -> Option<ColumnId> {
    let dated = |column: &&Column| matches!(column.sql_type, SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz);
    let partitioned = definition.partition_by.iter().filter(|item| item.transform != Transform::Identity);
    let partitioned = partitioned.map(|item| item.column).next();
    partitioned.or_else(|| definition.columns.iter().find(dated).map(|column| column.id))
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS_MAX, check_column_count};
    use crate::error::ErrorKind;

    #[test]
    fn a_relation_has_as_many_columns_as_in_postgres() {
        assert!(check_column_count(COLUMNS_MAX).is_ok());
        let error = check_column_count(1_601).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooManyColumns);
        assert_eq!(error.message, "tables can have at most 1600 columns");
    }
}
