//! DataFusion's and Arrow's errors as users of PostgreSQL know them.
//!
//! What arises here is typed and passes through as it is (`External(QueryError)`). What arises inside the libraries is sorted by
//! variant, and where a variant covers several things by the start of its message; this file is the only place that looks at one.

use crate::error::{ErrorKind, QueryError};
use crate::functions::aggregates::AVERAGED;
use crate::functions::overload::no_function;
use crate::operators::repeated_keys::UNORDERED;
use crate::output_names::{asked_name, shown_name};
use crate::query_places::{UNEVEN, position_message};
use crate::standard_spellings::order_keys::ABSENT;
use crate::statement::{Statement, position_of};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use catalog::sql_type::SqlType;
use datafusion::common::{Column, DataFusionError, Diagnostic, SchemaError};
use datafusion::parquet::errors::ParquetError;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use std::collections::HashSet;
use storage::error::StorageError;

/// The error for a user, with a position in `statement`'s source where one can be told.
pub(crate) fn translate(error: DataFusionError, statement: Option<&Statement>) -> QueryError {
    let translated = describe(error, statement);
    match statement {
        Some(statement) if translated.position.is_none() => with_position(translated, statement),
        _ => translated,
    }
}

fn describe(error: DataFusionError, statement: Option<&Statement>) -> QueryError {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<QueryError>() {
            Ok(known) => *known,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(nested) => describe(*nested, statement),
                Err(other) => match other.downcast::<ArrowError>() {
                    Ok(arrow) => arrow_error(*arrow),
                    Err(other) => internal(&other.to_string()),
                },
            },
        },
        DataFusionError::Context(_, inner) => describe(*inner, statement),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            diagnosed(&diagnostic, describe(*inner, statement), statement)
        }
        DataFusionError::Shared(shared) => shared_error(&shared),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => describe(first, statement),
            None => internal("an empty collection of errors"),
        },
        DataFusionError::ArrowError(arrow, _) => arrow_error(*arrow),
        DataFusionError::ParquetError(parquet) => parquet_error(&parquet),
        DataFusionError::IoError(io) => {
            QueryError::new(ErrorKind::IoError, format!("could not read or write a file: {io}"))
        }
        DataFusionError::ObjectStore(store) => {
            QueryError::new(ErrorKind::IoError, format!("could not read a file: {store}"))
        }
        DataFusionError::ResourcesExhausted(message) => QueryError::new(ErrorKind::OutOfMemory, "out of memory")
            .detail(message.lines().next().unwrap_or_default().to_string())
            .hint(
                "The query needs more than the server's memory budget; raise it with --memory or ask for less at once.",
            ),
        DataFusionError::SchemaError(schema, _) => schema_error(*schema),
        DataFusionError::NotImplemented(message) => not_implemented(&message),
        DataFusionError::Plan(message) => plan_error(&message),
        DataFusionError::Execution(message) => execution_error(&message),
        DataFusionError::SQL(error, _) => QueryError::new(ErrorKind::Syntax, format!("syntax error: {error}")),
        DataFusionError::ExecutionJoin(_) => internal("a task of the query ended without an answer"),
        other => internal(&other.strip_backtrace()),
    }
}

/// An error that several readers of one plan share is told again from its text and kind.
fn shared_error(error: &DataFusionError) -> QueryError {
    match error {
        DataFusionError::External(inner) => match inner.downcast_ref::<QueryError>() {
            Some(known) => known.clone(),
            None => internal(&inner.to_string()),
        },
        DataFusionError::Context(_, inner) => shared_error(inner),
        DataFusionError::Shared(inner) => shared_error(inner),
        DataFusionError::Diagnostic(_, inner) => shared_error(inner),
        DataFusionError::ArrowError(arrow, _) => arrow_message(arrow),
        DataFusionError::ParquetError(parquet) => parquet_error(parquet),
        DataFusionError::Execution(message) => execution_error(message),
        DataFusionError::ResourcesExhausted(message) => {
            describe(DataFusionError::ResourcesExhausted(message.clone()), None)
        }
        other => internal(&other.strip_backtrace()),
    }
}

fn internal(message: &str) -> QueryError {
    QueryError::new(ErrorKind::Internal, first_line(message))
}

fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let mut characters = line.trim_end_matches('.').chars();
    // `SELECT DISTINCT …` begins with a keyword.
    if line.chars().nth(1).is_some_and(char::is_uppercase) {
        return characters.collect();
    }
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// What a reader of segments says, in its own words where it has some.
fn parquet_error(error: &ParquetError) -> QueryError {
    let known = match error {
        ParquetError::External(inner) => inner.downcast_ref::<StorageError>(),
        _ => None,
    };
    match known {
        Some(error) => QueryError::of_storage(error),
        None => QueryError::new(ErrorKind::DataCorrupted, format!("could not read a segment: {error}")),
    }
}

fn arrow_error(error: ArrowError) -> QueryError {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<QueryError>() {
            Ok(known) => *known,
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(nested) => describe(*nested, None),
                Err(other) => internal(&other.to_string()),
            },
        },
        other => arrow_message(&other),
    }
}

fn arrow_message(error: &ArrowError) -> QueryError {
    match error {
        ArrowError::DivideByZero => QueryError::new(ErrorKind::DivisionByZero, "division by zero"),
        ArrowError::ArithmeticOverflow(_) => QueryError::new(ErrorKind::NumericOutOfRange, "value out of range"),
        ArrowError::CastError(message) | ArrowError::ParseError(message) => cast_error(message),
        ArrowError::InvalidArgumentError(message) if message.contains("too large to store in a Decimal") => {
            QueryError::new(ErrorKind::NumericOutOfRange, "numeric field overflow").detail(first_line(message))
        }
        ArrowError::ComputeError(message) if message.contains("verflow") => {
            QueryError::new(ErrorKind::NumericOutOfRange, "value out of range")
        }
        ArrowError::InvalidArgumentError(message) | ArrowError::ComputeError(message) => {
            QueryError::new(ErrorKind::InvalidParameterValue, first_line(message))
        }
        ArrowError::MemoryError(message) => {
            QueryError::new(ErrorKind::OutOfMemory, "out of memory").detail(message.clone())
        }
        other => internal(&other.to_string()),
    }
}

/// `Cannot cast string 'x' to value of Int32 type` and its relatives.
fn cast_error(message: &str) -> QueryError {
    let quoted = message.split('\'').nth(1);
    let target = [
        "Int8",
        "Int16",
        "Int32",
        "Int64",
        "Float32",
        "Float64",
        "Decimal",
        "Date32",
        "Timestamp",
        "Boolean",
        "Interval",
    ]
    .iter()
    .find(|name| message.contains(*name));
    let kind = match target {
        Some(&"Date32" | &"Timestamp" | &"Interval") => ErrorKind::InvalidDatetimeFormat,
        _ => ErrorKind::InvalidTextRepresentation,
    };
    let type_name = match target {
        Some(&"Int8" | &"Int16") => "smallint",
        Some(&"Int32") => "integer",
        Some(&"Int64") => "bigint",
        Some(&"Float32") => "real",
        Some(&"Float64") => "double precision",
        Some(&"Decimal") => "numeric",
        Some(&"Date32") => "date",
        Some(&"Timestamp") => "timestamp",
        Some(&"Boolean") => "boolean",
        Some(&"Interval") => "interval",
        _ => "the target type",
    };
    if message.contains("Can't cast value") || message.contains("out of range") || message.contains("too large") {
        return QueryError::new(ErrorKind::NumericOutOfRange, format!("{type_name} out of range"));
    }
    if target == Some(&"Decimal") && message.contains("Overflowing") {
        return QueryError::new(ErrorKind::NumericOutOfRange, "value overflows numeric format");
    }
    match quoted {
        Some(value) => QueryError::new(kind, format!("invalid input syntax for type {type_name}: \"{value}\"")),
        None if message.contains("imestamp") || message.contains("date") => {
            QueryError::new(ErrorKind::InvalidDatetimeFormat, first_line(message))
        }
        None => QueryError::new(ErrorKind::CannotCoerce, first_line(message)),
    }
}

fn schema_error(error: SchemaError) -> QueryError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => column_not_found(&field, &valid_fields),
        SchemaError::AmbiguousReference { field } => ambiguous(&field),
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            QueryError::new(ErrorKind::DuplicateColumn, format!("column name \"{name}\" specified more than once"))
        }
    }
}

fn ambiguous(field: &Column) -> QueryError {
    QueryError::new(ErrorKind::AmbiguousColumn, format!("column reference \"{}\" is ambiguous", field.name()))
        .column(field.name())
}

/// Whether several columns of a relation have that name, none of which can be meant by it.
fn is_repeated(field: &Column, valid: &[Column]) -> bool {
    let is_asked = |column: &&Column| {
        let is_of_relation = match (&field.relation, &column.relation) {
            (Some(asked), Some(known)) => asked.table() == known.table(),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        is_of_relation && column.name() != field.name() && asked_name(column.name()) == field.name()
    };
    valid.iter().filter(is_asked).collect::<HashSet<_>>().len() > 1
}

/// PostgreSQL's message, with its hint where a column is near enough.
fn column_not_found(field: &Column, valid: &[Column]) -> QueryError {
    if is_repeated(field, valid) {
        return ambiguous(field);
    }
    let shown = match &field.relation {
        Some(relation) => format!("column {}.{} does not exist", relation.table(), field.name()),
        None => format!("column \"{}\" does not exist", field.name()),
    };
    if let Some(relation) = &field.relation
        && !valid.is_empty()
        && valid.iter().all(|column| column.relation.as_ref().is_none_or(|known| known.table() != relation.table()))
    {
        return QueryError::new(
            ErrorKind::UndefinedTable,
            format!("missing FROM-clause entry for table \"{}\"", relation.table()),
        );
    }
    let error = QueryError::new(ErrorKind::UndefinedColumn, shown).column(field.name());
    // An output of that very name is one that this clause does not see.
    let is_seen = |column: &&Column| column.relation.is_some() || shown_name(column.name()) != field.name();
    match nearest(field.name(), valid.iter().filter(is_seen).map(|column| column.name())) {
        Some(name) => {
            let relation =
                valid.iter().find(|column| column.name() == name).and_then(|column| column.relation.as_ref());
            let full = relation.map_or_else(|| name.to_string(), |relation| format!("{}.{name}", relation.table()));
            error.hint(format!("Perhaps you meant to reference the column \"{full}\"."))
        }
        None => error,
    }
}

/// The candidate that is closest to `name`, if any is close enough to be meant.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 2).clamp(1, 3);
    let scored = candidates.map(|candidate| (strsim::osa_distance(candidate, name), candidate));
    scored.filter(|(distance, _)| *distance <= limit).min().map(|(_, candidate)| candidate)
}

fn diagnosed(diagnostic: &Diagnostic, error: QueryError, statement: Option<&Statement>) -> QueryError {
    let position = diagnostic.span.zip(statement).and_then(|(span, statement)| {
        position_of(&statement.source, Location { line: span.start.line, column: span.start.column })
    });
    error.position(position)
}

fn not_implemented(message: &str) -> QueryError {
    // What follows is the expression as Rust prints it.
    if message.to_lowercase().starts_with("physical plan does not support logical expression") {
        return QueryError::unsupported("an aggregate, window function or subquery in this place");
    }
    if message.starts_with("unnest should be rewritten") {
        return QueryError::unsupported("a set-returning function in this place");
    }
    let what = without_tree(message.strip_prefix("Unsupported ").unwrap_or(message));
    QueryError::new(ErrorKind::FeatureNotSupported, format!("not supported: {}", first_line(what)))
}

/// What comes before a tree that is printed as Rust has it.
fn without_tree(message: &str) -> &str {
    let begins = [": Some(", " { ", "([", "(Ident"].iter().filter_map(|sign| message.find(sign)).min();
    match begins {
        Some(_) if message.starts_with("ast node in sqltorel") => "this expression",
        Some(end) => &message[..end],
        None => message,
    }
}

fn plan_error(message: &str) -> QueryError {
    // Functions that the registry does not have are refused by `unknown_function`; this is for names in odd places.
    if let Some(rest) = message.strip_prefix("Invalid function '") {
        return no_function(rest.split('\'').next().unwrap_or_default(), &[]);
    }
    if message.starts_with("Too many columns! The subquery should only return one column") {
        return QueryError::new(ErrorKind::Syntax, "subquery must return only one column");
    }
    if message.contains("No function matches the given name and argument types")
        || message.contains("failed to match any signature")
        || message.contains("Failed to coerce arguments")
    {
        return mismatched_call(message);
    }
    if let Some(error) = ordinal_error(message) {
        return error;
    }
    if let Some(error) = uneven_values(message) {
        return error;
    }
    if message.starts_with("LIMIT must be >= 0") {
        return QueryError::new(ErrorKind::InvalidArgumentForLimit, "LIMIT must not be negative");
    }
    if message.starts_with("OFFSET must be >=0") {
        return QueryError::new(ErrorKind::InvalidArgumentForOffset, "OFFSET must not be negative");
    }
    if let Some(error) = worded(message) {
        return error;
    }
    if message.contains("GROUP BY") {
        return grouping_error(message);
    }
    if message.contains("Cannot coerce")
        || message.contains("Cannot infer common argument type")
        || message.contains("not supported for operation")
    {
        return operator_error(message);
    }
    if message.contains("Aggregate functions are not allowed") || message.contains("aggregate function in the WHERE") {
        return QueryError::new(ErrorKind::Grouping, "aggregate functions are not allowed in WHERE");
    }
    if message.contains("queries have different number of columns") || message.contains("same number of columns") {
        return QueryError::new(ErrorKind::Syntax, UNEVEN);
    }
    if message.contains("unique expression names") || message.contains("specified more than once") {
        return QueryError::new(ErrorKind::DuplicateAlias, first_line(message));
    }
    if message.starts_with("Schema contains duplicate") {
        return QueryError::new(ErrorKind::DuplicateColumn, first_line(message));
    }
    QueryError::new(ErrorKind::InvalidParameterValue, first_line(message))
}

/// Messages by their beginning, with what PostgreSQL says instead.
const WORDED: [(&str, ErrorKind, &str); 10] = [
    ("Too many columns! The subquery should only return", ErrorKind::Syntax, "subquery must return only one column"),
    ("Inconsistent data length across values list", ErrorKind::Syntax, "VALUES lists must all be the same length"),
    ("SELECT DISTINCT ON expressions must match", ErrorKind::InvalidColumnReference, UNORDERED),
    ("For SELECT DISTINCT, ORDER BY expressions", ErrorKind::InvalidColumnReference, ABSENT),
    ("GROUPS requires an ORDER BY clause", ErrorKind::Windowing, "GROUPS mode requires an ORDER BY clause"),
    (
        "RANGE requires exactly one ORDER BY column",
        ErrorKind::Windowing,
        "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column",
    ),
    ("Window function calls cannot be nested", ErrorKind::Windowing, "window function calls cannot be nested"),
    ("Cannot access field at argument", ErrorKind::WrongObjectType, "a field of a value that is not composite"),
    ("unnest() can only be applied to", ErrorKind::UndefinedFunction, "unnest takes an array"),
    ("Expected an integer value", ErrorKind::DatatypeMismatch, "an argument must be type integer"),
];

fn worded(message: &str) -> Option<QueryError> {
    if let Some((_, kind, said)) = WORDED.iter().find(|(start, ..)| message.starts_with(start)) {
        return Some(QueryError::new(*kind, *said));
    }
    if let Some(table) = message.strip_prefix("Invalid qualifier ") {
        let message = format!("missing FROM-clause entry for table \"{table}\"");
        return Some(QueryError::new(ErrorKind::UndefinedTable, message));
    }
    if message.starts_with("Argument ") && message.contains("to grouping function is not in grouping columns") {
        let said = "arguments to GROUPING must be grouping expressions of the associated query level";
        return Some(QueryError::new(ErrorKind::Grouping, said));
    }
    if message.starts_with("Cannot create filter with non-boolean predicate") {
        let known = message.rsplit_once(" returning ").and_then(|(_, name)| sql_name(name));
        let message = format!("argument of WHERE must be type boolean, not type {}", known.unwrap_or("unknown".into()));
        return Some(QueryError::new(ErrorKind::DatatypeMismatch, message));
    }
    None
}

/// PostgreSQL's name of a type that stands in a message as Arrow prints it.
fn sql_name(arrow: &str) -> Option<String> {
    let data_type: DataType = arrow.trim().parse().ok()?;
    SqlType::from_data_type(&data_type).map(|known| known.base_name())
}

/// A message with the types in it by their names in SQL.
fn with_sql_names(message: &str) -> String {
    let words = message.split(' ').map(|word| {
        let bare = word.trim_end_matches(['.', ',']);
        sql_name(bare).map_or_else(|| word.to_string(), |name| word.replace(bare, &name))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A call whose arguments no signature takes. Its types stand in the message as Arrow writes them: `'upper(Int32, Int32)'`.
fn mismatched_call(message: &str) -> QueryError {
    let call = message.split_once("argument types '").and_then(|(_, rest)| rest.split('\'').next());
    if let Some((name, types)) = call.and_then(|call| call.strip_suffix(')')?.split_once('(')) {
        return mismatched(&name.to_lowercase(), &arrow_types(types));
    }
    let name = message.split('\'').nth(1).unwrap_or("call").to_lowercase();
    QueryError::new(ErrorKind::UndefinedFunction, format!("function {name} does not exist"))
        .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

/// Some functions stand for a notation of arrays.
fn mismatched(name: &str, types: &[Option<SqlType>]) -> QueryError {
    let known: Vec<String> = types.iter().flatten().map(SqlType::base_name).collect();
    let name = if name == AVERAGED { "avg" } else { name };
    let Some(first) = known.first() else { return no_function(name, types) };
    let message = match (name, known.iter().find(|other| *other != first)) {
        ("make_array", Some(other)) => format!("ARRAY types {first} and {other} cannot be matched"),
        ("array_element", _) => format!("cannot subscript type {first} because it does not support subscripting"),
        // What is ordered by stands behind what is given.
        ("percentile_cont" | "percentile_disc", _) => {
            return no_function(name, &types.iter().rev().cloned().collect::<Vec<_>>());
        }
        _ => return no_function(name, types),
    };
    QueryError::new(ErrorKind::DatatypeMismatch, message)
}

/// Types of a list as Arrow prints it; `None` for a string literal or NULL, whose type is open.
fn arrow_types(list: &str) -> Vec<Option<SqlType>> {
    let mut depth = 0usize;
    let items = list.split(|character: char| {
        match character {
            '(' | '<' => depth += 1,
            ')' | '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    });
    let named = items.map(str::trim).filter(|name| !name.is_empty());
    named
        .map(|name| match name.parse::<DataType>() {
            Ok(DataType::Utf8 | DataType::Null) | Err(_) => None,
            Ok(data_type) => SqlType::from_data_type(&data_type),
        })
        .collect()
}

/// `ORDER BY 2` or `GROUP BY 2` over fewer columns.
fn ordinal_error(message: &str) -> Option<QueryError> {
    let number = |rest: &str| {
        rest.split(|character: char| !character.is_ascii_digit() && character != '-').next().map(str::to_string)
    };
    let (clause, number) = if let Some(rest) = message.strip_prefix("Order by column out of bounds, specified: ") {
        ("ORDER BY", number(rest)?)
    } else if message.starts_with("Order by index starts at 1") {
        ("ORDER BY", "0".to_string())
    } else {
        ("GROUP BY", number(message.strip_prefix("Cannot find column with position ")?)?)
    };
    Some(QueryError::new(ErrorKind::InvalidColumnReference, position_message(clause, &number)))
}

/// Rows of VALUES whose types have nothing in common.
fn uneven_values(message: &str) -> Option<QueryError> {
    let rest = message.strip_prefix("Inconsistent data type across values list at ")?;
    let (first, second) = rest.split_once("Was ")?.1.split_once(" but found ")?;
    let shown = |name: &str| {
        let known = name.trim().parse().ok().and_then(|data_type: DataType| SqlType::from_data_type(&data_type));
        known.map_or_else(|| "unknown".to_string(), |known| known.base_name())
    };
    let message = format!("VALUES types {} and {} cannot be matched", shown(first), shown(second));
    Some(QueryError::new(ErrorKind::DatatypeMismatch, message))
}

fn grouping_error(message: &str) -> QueryError {
    let column = message.split('"').nth(1).or_else(|| message.split("references: ").nth(1).and_then(first_column));
    match column {
        Some(column) => {
            let column = shown_name(column);
            let name = column.rsplit('.').next().unwrap_or(column).to_string();
            QueryError::new(
                ErrorKind::Grouping,
                format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function"),
            )
            .column(name)
        }
        None => QueryError::new(ErrorKind::Grouping, first_line(message)),
    }
}

/// The first column of an expression as the planner prints it: `site@0(t.a, Int32(1))`.
fn first_column(expression: &str) -> Option<&str> {
    let words = expression.split(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '.' | '@')));
    let is_column = |word: &&str| word.contains('.') && !word.starts_with(|first: char| first.is_ascii_digit());
    words.into_iter().find(is_column).or_else(|| expression.split(' ').next())
}

fn operator_error(message: &str) -> QueryError {
    QueryError::new(ErrorKind::UndefinedFunction, "operator does not exist for these types")
        .detail(upper_first(&with_sql_names(&first_line(message))))
        .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}

fn upper_first(message: &str) -> String {
    let mut characters = message.chars();
    let text: String =
        characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect());
    if text.ends_with('.') { text } else { text + "." }
}

fn execution_error(message: &str) -> QueryError {
    if let Some(known) = worded(message) {
        return known;
    }
    let lower = message.to_lowercase();
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        return QueryError::new(ErrorKind::DivisionByZero, "division by zero");
    }
    if lower.contains("overflow") || lower.contains("out of range") {
        return QueryError::new(ErrorKind::NumericOutOfRange, "value out of range");
    }
    if lower.contains("scalar subquery") && lower.contains("more than one")
        || lower.contains("returned more than one row")
    {
        return QueryError::new(
            ErrorKind::CardinalityViolation,
            "more than one row returned by a subquery used as an expression",
        );
    }
    if lower.contains("error parsing timestamp") || lower.contains("error parsing date") {
        let value = message.split('\'').nth(1).unwrap_or_default();
        return QueryError::new(
            ErrorKind::InvalidDatetimeFormat,
            format!("invalid input syntax for type timestamp: \"{value}\""),
        );
    }
    if lower.contains("regular expression") || lower.contains("regex") {
        return QueryError::new(ErrorKind::InvalidRegularExpression, first_line(message));
    }
    QueryError::new(ErrorKind::InvalidParameterValue, first_line(message))
}

/// Points at the name that the error is about, where the statement has it as a word.
fn with_position(error: QueryError, statement: &Statement) -> QueryError {
    let name = match error.kind {
        ErrorKind::UndefinedColumn | ErrorKind::AmbiguousColumn | ErrorKind::Grouping => error.column.clone(),
        ErrorKind::UndefinedTable => error.table.clone().or_else(|| quoted_name(&error.message)),
        ErrorKind::UndefinedSchema => quoted_name(&error.message),
        ErrorKind::UndefinedFunction | ErrorKind::AmbiguousFunction => error
            .message
            .strip_prefix("function ")
            .map(|rest| rest.split(['(', ' ']).next().unwrap_or_default().to_string()),
        _ => None,
    };
    error.position(name.and_then(|name| position_of_word(statement, &name)))
}

fn quoted_name(message: &str) -> Option<String> {
    message.split('"').nth(1).map(str::to_string)
}

/// The 1-based character offset of the first word of a statement that is `name`, one that gives an output this name aside.
pub(crate) fn position_of_word(statement: &Statement, name: &str) -> Option<usize> {
    let wanted = name.rsplit('.').next().unwrap_or(name);
    let text = &statement.source[statement.range.clone()];
    let before = statement.source[..statement.range.start].chars().count();
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().ok()?;
    let matches = |index: &usize| match &tokens[*index].token {
        Token::Word(word) if word.quote_style.is_none() => word.value.eq_ignore_ascii_case(wanted),
        Token::Word(word) => word.value == wanted,
        _ => false,
    };
    let found = || (0..tokens.len()).filter(matches);
    let found = found().find(|index| !names_output(&tokens[..*index])).or_else(|| found().next())?;
    let start = if found >= 2 && tokens[found - 1].token == Token::Period { found - 2 } else { found };
    position_of(text, tokens[start].span.start).map(|position| position + before)
}

/// Whether a word behind these tokens is the name of an output: `sum(x) total`, `x AS total`, `x total`, `1 total`.
fn names_output(before: &[TokenWithSpan]) -> bool {
    match before.iter().map(|known| &known.token).rfind(|token| !matches!(token, Token::Whitespace(_))) {
        Some(Token::Word(word)) => !is_before_expressions(word.keyword),
        Some(token) => matches!(token, Token::RParen | Token::Number(..) | Token::SingleQuotedString(_)),
        None => false,
    }
}

/// Whether an expression, a column or a list of such stands behind a keyword.
fn is_before_expressions(keyword: Keyword) -> bool {
    use Keyword::*;
    matches!(
        keyword,
        SELECT
            | DISTINCT
            | ALL
            | WHERE
            | HAVING
            | BY
            | ON
            | USING
            | AND
            | OR
            | NOT
            | CASE
            | WHEN
            | THEN
            | ELSE
            | IN
            | LIKE
            | ILIKE
    ) || matches!(
        keyword,
        BETWEEN
            | FROM
            | SET
            | RETURNING
            | COLUMN
            | LIMIT
            | OFFSET
            | VALUES
            | ESCAPE
            | ANY
            | SOME
            | FOR
            | TO
            | ARRAY
            | ROW
            | DO
    )
}
