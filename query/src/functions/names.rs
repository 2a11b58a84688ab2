//! `regclass` and its kin: names to OIDs and OIDs to names.
//!
//! Inside a plan such a value is its OID. `regclass('sales')` reads a name (or passes an OID through), `registered_name` prints one.

use super::{CatalogFunction, Definition, SessionFacts, result_field};
use crate::error::{ErrorKind, QueryError};
use crate::pg_catalog::{
    self, Value, function_by_oid, functions_by_name, namespace_name, namespace_oid, relation_name, relation_oid,
    role_name, role_oid, type_by_name, type_by_oid, user_type,
};
use crate::types::{NAME_BYTES_MAX, cut_bytes, split_elements};
use catalog::definition::ObjectName;
use catalog::sql_type::{RegType, SqlType};
use datafusion::logical_expr::ScalarUDF;
use std::borrow::Cow;
use std::sync::Arc;

type Answer = Result<Value, QueryError>;

/// What an OID alias names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisteredKind {
    Class,
    Type,
    Proc,
    Namespace,
}

impl RegisteredKind {
    /// From the name of the type.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "regclass" => Self::Class,
            "regtype" => Self::Type,
            "regproc" => Self::Proc,
            "regnamespace" => Self::Namespace,
            _ => return None,
        })
    }

    /// Whose array a function makes of names and OIDs.
    pub(crate) fn of_items(function: &str) -> Option<Self> {
        function.strip_suffix("_items").and_then(Self::parse)
    }

    pub(crate) fn sql_type(self) -> SqlType {
        SqlType::Reg(match self {
            Self::Class => RegType::Class,
            Self::Type => RegType::Type,
            Self::Proc => RegType::Proc,
            Self::Namespace => RegType::Namespace,
        })
    }
}

/// The function that prints an OID by name. Its result is text that is known to be a `regclass` and so on.
pub fn registered_name(kind: RegisteredKind, facts: &Arc<SessionFacts>) -> ScalarUDF {
    let (name, body): (_, super::Body) = match kind {
        RegisteredKind::Class => ("regclass_name", |facts, args| Ok(class_name(facts, oid_of(&args[0])).into())),
        RegisteredKind::Type => ("regtype_name", |facts, args| Ok(type_name(facts, oid_of(&args[0])).into())),
        RegisteredKind::Proc => ("regproc_name", |_, args| Ok(function_name(oid_of(&args[0])).into())),
        RegisteredKind::Namespace => {
            ("regnamespace_name", |facts, args| Ok(shown_namespace(facts, oid_of(&args[0])).into()))
        }
    };
    ScalarUDF::from(NamePrinter {
        kind,
        inner: CatalogFunction::new(Definition::new(name, 1..=1, SqlType::Text, body), facts),
    })
}

/// The function that prints the OIDs of an array by name.
pub fn registered_names(kind: RegisteredKind, facts: &Arc<SessionFacts>) -> ScalarUDF {
    let (name, body): (_, super::Body) = match kind {
        RegisteredKind::Class => ("regclass_names", |facts, args| Ok(each(&args[0], |oid| class_name(facts, oid)))),
        RegisteredKind::Type => ("regtype_names", |facts, args| Ok(each(&args[0], |oid| type_name(facts, oid)))),
        RegisteredKind::Proc => ("regproc_names", |_, args| Ok(each(&args[0], function_name))),
        RegisteredKind::Namespace => {
            ("regnamespace_names", |facts, args| Ok(each(&args[0], |oid| shown_namespace(facts, oid))))
        }
    };
    let names = SqlType::Array(Box::new(kind.sql_type()));
    ScalarUDF::from(CatalogFunction::new(Definition::new(name, 1..=1, names, body), facts))
}

/// The names of an array's OIDs.
fn each(oids: &Value, name: impl Fn(i64) -> String) -> Value {
    let Value::List(items) = oids else { return Value::Null };
    let shown = items.iter().map(|item| item.as_int().map_or(Value::Null, |oid| name(oid).into()));
    Value::List(shown.collect())
}

/// Reads each item of an array, which may be written as text.
fn read_each(value: &Value, read: impl Fn(&Value) -> Answer) -> Answer {
    let items = match value {
        Value::List(items) => items.clone(),
        other => split_elements(&text_of(other))?.into_iter().map(|item| item.map(Cow::into_owned).into()).collect(),
    };
    let read = |item: &Value| if *item == Value::Null { Ok(Value::Null) } else { read(item) };
    items.iter().map(read).collect::<Result<_, _>>().map(Value::List)
}

/// The function that reads a name of that kind.
pub fn registered_oid(kind: RegisteredKind, facts: &Arc<SessionFacts>) -> ScalarUDF {
    let name = kind.sql_type().to_string();
    let definition = definitions().into_iter().find(|definition| definition.name == name);
    let definition = definition.expect("every kind has a function of its name");
    ScalarUDF::from(CatalogFunction::new(definition, facts))
}

/// Text whose field says which alias it was.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NamePrinter {
    kind: RegisteredKind,
    inner: CatalogFunction,
}

impl std::hash::Hash for RegisteredKind {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
    }
}

impl datafusion::logical_expr::ScalarUDFImpl for NamePrinter {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &datafusion::logical_expr::Signature {
        self.inner.signature()
    }

    fn return_type(
        &self,
        types: &[arrow::datatypes::DataType],
    ) -> datafusion::common::Result<arrow::datatypes::DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(
        &self,
        _: datafusion::logical_expr::ReturnFieldArgs,
    ) -> datafusion::common::Result<arrow::datatypes::FieldRef> {
        let named = result_field(self.name(), &SqlType::Text);
        let metadata = result_field(self.name(), &self.kind.sql_type()).metadata().clone();
        Ok(Arc::new(named.with_metadata(metadata)))
    }

    fn invoke_with_args(
        &self,
        args: datafusion::logical_expr::ScalarFunctionArgs,
    ) -> datafusion::common::Result<datafusion::logical_expr::ColumnarValue> {
        self.inner.invoke_with_args(args)
    }
}

pub(super) fn definitions() -> Vec<Definition> {
    let reg = |kind: RegType| SqlType::Reg(kind);
    let oids = || SqlType::Array(Box::new(SqlType::Int8));
    vec![
        Definition::new("regclass", 1..=1, reg(RegType::Class), |facts, args| read_class(facts, &args[0])),
        Definition::new("regtype", 1..=1, reg(RegType::Type), |facts, args| read_type(facts, &args[0])),
        Definition::new("regproc", 1..=1, reg(RegType::Proc), |_, args| read_function(&args[0])),
        Definition::new("regprocedure", 1..=1, reg(RegType::Proc), |_, args| read_function(&args[0])),
        Definition::new("regoper", 1..=1, SqlType::Oid, |_, args| read_number(&args[0])),
        Definition::new("regnamespace", 1..=1, reg(RegType::Namespace), |facts, args| read_namespace(facts, &args[0])),
        Definition::new("regrole", 1..=1, SqlType::Name, print_role),
        Definition::new("regtypes", 1..=1, SqlType::Array(Box::new(SqlType::Text)), |facts, args| {
            Ok(each(&read_each(&args[0], |item| read_type(facts, item))?, |oid| type_name(facts, oid)))
        }),
        Definition::new("regclass_items", 1..=1, oids(), |facts, args| {
            read_each(&args[0], |item| read_class(facts, item))
        }),
        Definition::new("regproc_items", 1..=1, oids(), |_, args| read_each(&args[0], read_function)),
        Definition::new("regnamespace_items", 1..=1, oids(), |facts, args| {
            read_each(&args[0], |item| read_namespace(facts, item))
        }),
        Definition::new("to_regclass", 1..=1, reg(RegType::Class), |facts, args| {
            Ok(read_class(facts, &args[0]).unwrap_or(Value::Null))
        }),
        Definition::new("to_regtype", 1..=1, reg(RegType::Type), |facts, args| {
            Ok(read_type(facts, &args[0]).unwrap_or(Value::Null))
        }),
        Definition::new("to_regproc", 1..=1, reg(RegType::Proc), |_, args| {
            Ok(read_function(&args[0]).unwrap_or(Value::Null))
        }),
        Definition::new("to_regprocedure", 1..=1, reg(RegType::Proc), |_, args| {
            Ok(read_function(&args[0]).unwrap_or(Value::Null))
        }),
        Definition::new("to_regnamespace", 1..=1, reg(RegType::Namespace), |facts, args| {
            Ok(read_namespace(facts, &args[0]).unwrap_or(Value::Null))
        }),
        Definition::new("to_regrole", 1..=1, SqlType::Name, |facts, args| {
            Ok(print_role(facts, args).unwrap_or(Value::Null))
        }),
        Definition::new("oid", 1..=1, SqlType::Oid, |_, args| read_number(&args[0])),
        Definition::new("name", 1..=1, SqlType::Name, |_, args| {
            Ok(cut_bytes(&text_of(&args[0]), NAME_BYTES_MAX).to_string().into())
        }),
        Definition::new("char", 1..=1, SqlType::Char, |_, args| read_char(&args[0])),
    ]
}

/// One byte: of a number, of three octal digits behind a backslash, or the first of a text. It shows as PostgreSQL shows it.
fn read_char(value: &Value) -> Answer {
    let byte = match value {
        Value::Int(number) => i8::try_from(*number)
            .map(|code| code as u8)
            .map_err(|_| QueryError::new(ErrorKind::NumericOutOfRange, "\"char\" out of range"))?,
        other => {
            let text = text_of(other);
            let octal = text.strip_prefix('\\').filter(|digits| digits.len() == 3);
            let code = octal.and_then(|digits| u32::from_str_radix(digits, 8).ok());
            code.map_or_else(|| text.bytes().next().unwrap_or(0), |code| code as u8)
        }
    };
    Ok(match byte {
        0 => String::new().into(),
        1..=0x7f => char::from(byte).to_string().into(),
        0x80.. => format!("\\{byte:03o}").into(),
    })
}

/// A value as text, whatever its type.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Null | Value::List(_) => String::new(),
    }
}

fn oid_of(value: &Value) -> i64 {
    value.as_int().unwrap_or(0)
}

fn number_text(oid: i64) -> String {
    if oid == 0 { "-".to_string() } else { oid.to_string() }
}

/// An OID as it is, or one that is written as text; `-` is zero.
fn already_oid(value: &Value) -> Option<i64> {
    if value.as_text() == Some("-") {
        return Some(0);
    }
    value.as_int()
}

fn read_number(value: &Value) -> Answer {
    match already_oid(value) {
        Some(oid) => Ok(oid.into()),
        None => Err(QueryError::new(
            ErrorKind::InvalidTextRepresentation,
            format!("invalid input syntax for type oid: \"{}\"", text_of(value)),
        )),
    }
}

/// Splits `schema."Name"` into its parts, folding what is not quoted. `None` for a malformed name.
pub(super) fn split_identifier(text: &str) -> Option<Vec<String>> {
    split_identifiers(text, '.').filter(|parts| !parts.is_empty())
}

/// Splits names at a separator, folding those that are not quoted; an empty text has none. `None` where one is malformed
/// (`varlena.c`, `SplitIdentifierString`).
pub(crate) fn split_identifiers(text: &str, separator: char) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let (name, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_identifier(quoted)?,
            None => {
                let end = rest.find(|next: char| next == separator || is_space(next)).unwrap_or(rest.len());
                let name = Some(&rest[..end]).filter(|name| !name.is_empty())?;
                (name.to_ascii_lowercase(), &rest[end..])
            }
        };
        names.push(name);
        rest = behind.trim_start_matches(is_space);
        match rest.strip_prefix(separator) {
            Some(next) => rest = next.trim_start_matches(is_space),
            None if rest.is_empty() => return Some(names),
            None => return None,
        }
    }
}

/// The name up to the quote that ends it, and what stands behind that; a doubled quote is one of the name.
fn quoted_identifier(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, behind) = rest.split_once('"')?;
        name.push_str(part);
        match behind.strip_prefix('"') {
            Some(next) => {
                name.push('"');
                rest = next;
            }
            None => return Some((name, behind)),
        }
    }
}

/// What parts words for PostgreSQL's scanner.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

/// A name as it would be written: quoted where it has to be.
pub(crate) fn quote_identifier(name: &str) -> String {
    let plain_start = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let plain =
        plain_start && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$');
    if plain && !is_reserved(name) { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Whether a word is a key word that cannot be a name by itself.
fn is_reserved(word: &str) -> bool {
    use std::collections::HashSet;
    use std::sync::LazyLock;
    static RESERVED: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
        let rows = include_str!("../pg_catalog/data/keywords.tsv").lines().skip(1);
        let words = rows.filter_map(|row| {
            let mut cells = row.split('\t');
            let (word, category) = (cells.next()?, cells.next()?);
            (category != "U").then_some(word)
        });
        words.collect()
    });
    RESERVED.contains(word)
}

/// The OID of a relation by name or number.
pub(super) fn read_class(facts: &SessionFacts, value: &Value) -> Answer {
    if let Some(oid) = already_oid(value) {
        return Ok(oid.into());
    }
    let text = text_of(value);
    let parts =
        split_identifier(&text).ok_or_else(|| QueryError::new(ErrorKind::InvalidName, "invalid name syntax"))?;
    let found = match parts.as_slice() {
        [name] => facts.effective_path(true).iter().find_map(|schema| relation_oid(&facts.snapshot, schema, name)),
        [schema, name] => relation_oid(&facts.snapshot, facts.schema_named(schema), name),
        [database, schema, name] if *database == facts.database => {
            relation_oid(&facts.snapshot, facts.schema_named(schema), name)
        }
        _ => None,
    };
    let missing =
        || QueryError::new(ErrorKind::UndefinedTable, format!("relation \"{}\" does not exist", parts.join(".")));
    found.map(Value::from).ok_or_else(missing)
}

/// The user's type of a name, or of arrays where `[]` stands behind it.
fn user_type_oid(facts: &SessionFacts, text: &str) -> Option<i64> {
    let (name, is_array) = text.trim().strip_suffix("[]").map_or((text, false), |name| (name, true));
    let parts = split_identifier(name)?;
    let find = |schema: &str, name: &str| facts.snapshot.type_named(&ObjectName::new(schema, name));
    let found = match parts.as_slice() {
        [name] => facts.lookup_path().iter().find_map(|schema| find(schema, name)),
        [schema, name] => find(schema, name),
        _ => None,
    }?;
    Some(i64::from(if is_array { found.array.0 } else { found.id.0 }))
}

fn read_type(facts: &SessionFacts, value: &Value) -> Answer {
    if let Some(oid) = already_oid(value) {
        return Ok(oid.into());
    }
    let text = text_of(value);
    match type_by_name(&text).map(|row| row.oid).or_else(|| user_type_oid(facts, &text)) {
        Some(oid) => Ok(oid.into()),
        None => Err(QueryError::new(ErrorKind::UndefinedObject, format!("type \"{text}\" does not exist"))),
    }
}

/// `lower`, `pg_catalog.lower` or `lower(text)`.
fn read_function(value: &Value) -> Answer {
    if let Some(oid) = already_oid(value) {
        return Ok(oid.into());
    }
    let text = text_of(value);
    let (name, arguments) = match text.split_once('(') {
        Some((name, rest)) => (name, Some(rest.trim_end().trim_end_matches(')'))),
        None => (text.as_str(), None),
    };
    let name = split_identifier(name).and_then(|mut parts| parts.pop()).unwrap_or_default();
    let all = functions_by_name(&name);
    let found: Vec<i64> = match arguments {
        None => all.to_vec(),
        Some(arguments) => {
            let types = arguments.split(',').map(str::trim).filter(|name| !name.is_empty());
            let wanted: Vec<i64> = types.map(|name| type_by_name(name).map_or(0, |row| row.oid)).collect();
            let fits = |oid: &&i64| function_by_oid(**oid).is_some_and(|row| row.arguments == wanted);
            all.iter().filter(fits).copied().collect()
        }
    };
    match found.as_slice() {
        [oid] => Ok((*oid).into()),
        [] => Err(QueryError::new(ErrorKind::UndefinedFunction, format!("function \"{text}\" does not exist"))),
        _ => Err(QueryError::new(ErrorKind::AmbiguousFunction, format!("more than one function named \"{text}\""))),
    }
}

fn read_namespace(facts: &SessionFacts, value: &Value) -> Answer {
    if let Some(oid) = already_oid(value) {
        return Ok(oid.into());
    }
    let text = text_of(value);
    let name = split_identifier(&text).and_then(|mut parts| parts.pop()).unwrap_or_default();
    let missing = || QueryError::new(ErrorKind::UndefinedSchema, format!("schema \"{name}\" does not exist"));
    namespace_oid(&facts.snapshot, &name).map(Value::from).ok_or_else(missing)
}

fn print_role(facts: &SessionFacts, args: &[Value]) -> Answer {
    if let Some(oid) = already_oid(&args[0]) {
        return Ok(role_name(&facts.user, oid).map_or(number_text(oid), quote_identifier).into());
    }
    let name = text_of(&args[0]);
    match role_oid(&facts.user, &name) {
        Some(_) => Ok(name.into()),
        None => Err(QueryError::new(ErrorKind::UndefinedObject, format!("role \"{name}\" does not exist"))),
    }
}

/// The relation's name, qualified where the search path does not lead to it; the number of one that is gone.
pub(super) fn class_name(facts: &SessionFacts, oid: i64) -> String {
    let Some(name) = relation_name(&facts.snapshot, oid) else { return number_text(oid) };
    if is_class_visible(facts, oid) == Some(true) {
        return quote_identifier(&name.name);
    }
    format!("{}.{}", quote_identifier(&name.schema), quote_identifier(&name.name))
}

/// Whether an unqualified name means this relation; `None` for one that does not exist.
pub(super) fn is_class_visible(facts: &SessionFacts, oid: i64) -> Option<bool> {
    let name = relation_name(&facts.snapshot, oid)?;
    let path = facts.effective_path(true);
    let first = path.iter().find_map(|schema| relation_oid(&facts.snapshot, schema, &name.name));
    Some(first == Some(oid))
}

fn type_name(facts: &SessionFacts, oid: i64) -> String {
    match type_by_oid(oid).is_some() || user_type(&facts.snapshot, oid).is_some() {
        true => {
            let _names = facts.type_names().enter();
            pg_catalog::type_name(&facts.snapshot, oid, None)
        }
        false => number_text(oid),
    }
}

fn shown_namespace(facts: &SessionFacts, oid: i64) -> String {
    namespace_name(&facts.snapshot, oid).map_or(number_text(oid), |name| quote_identifier(&name))
}

fn function_name(oid: i64) -> String {
    let Some(row) = function_by_oid(oid) else { return number_text(oid) };
    if functions_by_name(row.name).len() == 1 { row.name.to_string() } else { format!("pg_catalog.{}", row.name) }
}
