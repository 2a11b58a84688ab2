//! What comes from a real PostgreSQL 15: the columns of the catalog's relations and the rows that initdb writes.
//!
//! The files are made by `query/pg_catalog_export/export.sh` and parsed once, when they are first needed.

use super::values::CatalogColumn;
use catalog::sql_type::{RegType, SqlType};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

const COLUMNS: &str = include_str!("data/columns.tsv");
pub(super) const TYPES: &str = include_str!("data/pg_type.tsv");
pub(super) const OPERATORS: &str = include_str!("data/pg_operator.tsv");
pub(super) const CASTS: &str = include_str!("data/pg_cast.tsv");
const FUNCTIONS: &str = include_str!("data/pg_proc.tsv");
const DESCRIPTIONS: &str = include_str!("data/pg_description.tsv");
const NAMESPACES: &str = include_str!("data/pg_namespace.tsv");
const ENCODINGS: &str = include_str!("data/encodings.tsv");

/// Sets that PostgreSQL has only as functions; `rewrite` turns a call in FROM into a scan of these.
const FUNCTION_SETS: [(&str, &[(&str, SqlType)]); 7] = [
    (
        "pg_get_keywords",
        &[
            ("word", SqlType::Text),
            ("catcode", SqlType::Char),
            ("barelabel", SqlType::Bool),
            ("catdesc", SqlType::Text),
            ("baredesc", SqlType::Text),
        ],
    ),
    ("pg_listening_channels", &[("pg_listening_channels", SqlType::Text)]),
    ("pg_partition_ancestors", &[("relid", SqlType::Reg(RegType::Class))]),
    (
        "pg_partition_tree",
        &[
            ("relid", SqlType::Reg(RegType::Class)),
            ("parentrelid", SqlType::Reg(RegType::Class)),
            ("isleaf", SqlType::Bool),
            ("level", SqlType::Int4),
        ],
    ),
    ("pg_options_to_table", &[("option_name", SqlType::Text), ("option_value", SqlType::Text)]),
    (
        "aclexplode",
        &[
            ("grantor", SqlType::Oid),
            ("grantee", SqlType::Oid),
            ("privilege_type", SqlType::Text),
            ("is_grantable", SqlType::Bool),
        ],
    ),
    (
        "pg_event_trigger_dropped_objects",
        &[("classid", SqlType::Oid), ("objid", SqlType::Oid), ("object_type", SqlType::Text)],
    ),
];

/// Whether a relation of this module is a function's result and no relation that listings show.
pub(super) fn is_function_set(name: &str) -> bool {
    FUNCTION_SETS.iter().any(|(set, _)| *set == name)
}

/// The relation of a function's set, by the function's name.
pub(super) fn function_set(name: &str) -> Option<&'static str> {
    FUNCTION_SETS.iter().find(|(set, _)| *set == name).map(|(set, _)| *set)
}

/// Whether a relation is the set of a function that returns one plain column, which takes the name of its alias.
pub(super) fn is_single_column_set(relation: &str) -> bool {
    FUNCTION_SETS.iter().any(|(set, columns)| *set == relation && columns.len() == 1)
}

/// The exported rows of a relation, where it has any.
pub(super) fn fixed_rows(schema: &str, name: &str) -> Option<&'static str> {
    if schema != "pg_catalog" {
        return None;
    }
    Some(match name {
        "pg_type" => TYPES,
        "pg_proc" => FUNCTIONS,
        "pg_description" => DESCRIPTIONS,
        "pg_namespace" => NAMESPACES,
        "pg_class" => include_str!("data/pg_class.tsv"),
        "pg_operator" => OPERATORS,
        "pg_cast" => CASTS,
        "pg_am" => include_str!("data/pg_am.tsv"),
        "pg_opclass" => include_str!("data/pg_opclass.tsv"),
        "pg_opfamily" => include_str!("data/pg_opfamily.tsv"),
        "pg_collation" => include_str!("data/pg_collation.tsv"),
        "pg_language" => include_str!("data/pg_language.tsv"),
        "pg_range" => include_str!("data/pg_range.tsv"),
        "pg_aggregate" => include_str!("data/pg_aggregate.tsv"),
        "pg_get_keywords" => include_str!("data/keywords.tsv"),
        _ => return None,
    })
}

/// A file of rows with a header, read by column name.
pub(super) struct Table {
    positions: HashMap<&'static str, usize>,
    pub rows: Vec<Vec<&'static str>>,
}

impl Table {
    pub fn parse(text: &'static str) -> Self {
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default();
        let positions = header.split('\t').enumerate().map(|(position, name)| (name, position)).collect();
        Self { positions, rows: lines.map(|line| line.split('\t').collect()).collect() }
    }

    /// The cell's text; NULL and a column that was left out are the empty text.
    pub fn text(&self, row: &[&'static str], column: &str) -> &'static str {
        let cell = self.positions.get(column).map_or("", |position| row[*position]);
        if cell == "\\N" { "" } else { cell }
    }

    pub fn number(&self, row: &[&'static str], column: &str) -> i64 {
        self.text(row, column).parse().unwrap_or(0)
    }
}

/// Whether a word in lower case is one of PostgreSQL's keywords.
pub(crate) fn is_keyword(word: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let rows = include_str!("data/keywords.tsv").lines().skip(1);
        rows.filter_map(|row| row.split('\t').next()).collect()
    });
    WORDS.contains(word)
}

/// A column of a catalog relation as `pg_attribute` shows it.
#[derive(Clone, Debug)]
pub(super) struct ColumnRow {
    pub schema: &'static str,
    pub relation: &'static str,
    pub name: &'static str,
    pub number: i64,
    pub type_oid: i64,
    pub type_name: &'static str,
    pub typmod: i64,
    pub not_null: bool,
    pub dimensions: i64,
    pub collation: i64,
}

pub(super) static COLUMN_ROWS: LazyLock<Vec<ColumnRow>> = LazyLock::new(|| {
    let table = Table::parse(COLUMNS);
    let rows = table.rows.iter().map(|row| ColumnRow {
        schema: table.text(row, "nspname"),
        relation: table.text(row, "relname"),
        name: table.text(row, "attname"),
        number: table.number(row, "attnum"),
        type_oid: table.number(row, "atttypid"),
        type_name: table.text(row, "type"),
        typmod: table.number(row, "atttypmod"),
        not_null: table.text(row, "attnotnull") == "t",
        dimensions: table.number(row, "attndims"),
        collation: table.number(row, "attcollation"),
    });
    rows.collect()
});

/// Meridian's type for a type of the catalog's own columns.
fn column_type(name: &str) -> SqlType {
    if let Some(known) = SqlType::parse(name) {
        return known;
    }
    match name.trim_start_matches("information_schema.") {
        "int2vector" => SqlType::Array(Box::new(SqlType::Int2)),
        "oidvector" => SqlType::Array(Box::new(SqlType::Oid)),
        // The only one is `pg_prepared_statements.parameter_types`, which nothing joins.
        "regtype[]" => SqlType::Array(Box::new(SqlType::Reg(RegType::Type))),
        "aclitem[]" => SqlType::Array(Box::new(SqlType::Text)),
        "xid" | "cid" => SqlType::Oid,
        "xid8" => SqlType::Int8,
        "sql_identifier" => SqlType::Name,
        "cardinal_number" => SqlType::Int4,
        "character_data" | "yes_or_no" => SqlType::Varchar { length_max: None },
        "time_stamp" => SqlType::TimestampTz,
        // Trees, statistics and addresses print as text; nothing computes with them.
        _ => SqlType::Text,
    }
}

/// Schema, name and columns of every relation of `pg_catalog` and `information_schema`, and of the functions' sets.
pub(super) fn relation_columns() -> Vec<(&'static str, &'static str, Vec<CatalogColumn>)> {
    let mut relations: BTreeMap<(&str, &str), Vec<CatalogColumn>> = BTreeMap::new();
    for row in COLUMN_ROWS.iter() {
        relations.entry((row.schema, row.relation)).or_default().push(CatalogColumn {
            name: row.name.to_string(),
            sql_type: column_type(row.type_name),
            not_null: row.not_null,
            is_vector: matches!(row.type_name, "int2vector" | "oidvector"),
        });
    }
    for (name, columns) in FUNCTION_SETS {
        let column = |(name, sql_type): &(&str, SqlType)| CatalogColumn {
            name: name.to_string(),
            sql_type: sql_type.clone(),
            not_null: false,
            is_vector: false,
        };
        relations.insert(("pg_catalog", name), columns.iter().map(column).collect());
    }
    relations.into_iter().map(|((schema, name), columns)| (schema, name, columns)).collect()
}

/// What functions need to know of a type.
#[derive(Clone, Debug)]
pub struct TypeRow {
    pub oid: i64,
    pub name: &'static str,
    pub namespace: i64,
    pub element: i64,
    pub is_array: bool,
    pub by_value: bool,
    pub length: i64,
    pub align: &'static str,
    pub storage: &'static str,
}

static TYPES_BY_OID: LazyLock<HashMap<i64, TypeRow>> = LazyLock::new(|| {
    let table = Table::parse(TYPES);
    let rows = table.rows.iter().map(|row| {
        let oid = table.number(row, "oid");
        let element = table.number(row, "typelem");
        let length = table.number(row, "typlen");
        // `int2vector` and `oidvector` have elements too, but are types of their own.
        let is_array = element != 0 && length == -1 && table.text(row, "typstorage") != "p";
        let found = TypeRow {
            oid,
            name: table.text(row, "typname"),
            namespace: table.number(row, "typnamespace"),
            element,
            is_array,
            by_value: table.text(row, "typbyval") == "t",
            length,
            align: table.text(row, "typalign"),
            storage: table.text(row, "typstorage"),
        };
        (oid, found)
    });
    rows.collect()
});

static TYPES_BY_NAME: LazyLock<HashMap<&'static str, i64>> = LazyLock::new(|| {
    // Names are unique but for information_schema's domains, which no bare name means.
    TYPES_BY_OID.values().filter(|row| row.namespace == 11).map(|row| (row.name, row.oid)).collect()
});

pub fn type_by_oid(oid: i64) -> Option<&'static TypeRow> {
    TYPES_BY_OID.get(&oid)
}

/// The type of that SQL name (`integer`, `timestamp with time zone`, `text[]`) or `typname` (`int4`, `_text`).
pub fn type_by_name(name: &str) -> Option<&'static TypeRow> {
    let name = name.trim();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
    if let Some(element) = name.strip_suffix("[]") {
        let element = type_by_name(element)?.name;
        return type_by_oid(*TYPES_BY_NAME.get(format!("_{element}").as_str())?);
    }
    let name = name.split_once('(').map_or(name, |(head, _)| head.trim());
    let lower = name.to_ascii_lowercase();
    let name = match lower.as_str() {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" | "int" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" | "float" => "float8",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "character" => "bpchar",
        "char" if !name.starts_with('"') => "bpchar",
        "\"char\"" => "char",
        "time without time zone" => "time",
        "time with time zone" => "timetz",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "bit varying" => "varbit",
        other => other.trim_matches('"'),
    };
    type_by_oid(*TYPES_BY_NAME.get(name)?)
}

/// `format_type(oid, typmod)`: the SQL name of a type with its modifier; a missing type is `???`.
pub fn format_type(oid: i64, typmod: Option<i64>) -> String {
    if oid == 0 {
        return "-".to_string();
    }
    let Some(row) = type_by_oid(oid) else { return "???".to_string() };
    if row.is_array {
        return format!("{}[]", format_type(row.element, typmod));
    }
    let explicit = typmod.is_some();
    let typmod = typmod.filter(|typmod| *typmod >= 0);
    let length = typmod.map_or(String::new(), |typmod| format!("({})", typmod - 4));
    let digits = typmod.map_or(String::new(), |typmod| format!("({typmod})"));
    match oid {
        16 => "boolean".into(),
        18 => "\"char\"".into(),
        20 => "bigint".into(),
        21 => "smallint".into(),
        23 => "integer".into(),
        700 => "real".into(),
        701 => "double precision".into(),
        1042 if typmod.is_some() => format!("character{length}"),
        1042 if explicit => "bpchar".into(),
        1042 => "character".into(),
        1043 => format!("character varying{length}"),
        1083 => format!("time{digits} without time zone"),
        1266 => format!("time{digits} with time zone"),
        1114 => format!("timestamp{digits} without time zone"),
        1184 => format!("timestamp{digits} with time zone"),
        1560 => format!("bit{digits}"),
        1562 => format!("bit varying{digits}"),
        1700 => typmod.map_or("numeric".into(), |typmod| {
            let modifier = typmod - 4;
            // Eleven bits of signed scale below the precision.
            format!("numeric({},{})", (modifier >> 16) & 0xffff, ((modifier & 0x7ff) ^ 1024) - 1024)
        }),
        _ if row.namespace == 11 => row.name.to_string(),
        _ => format!("information_schema.{}", row.name),
    }
}

/// What functions need to know of a function.
#[derive(Clone, Debug)]
pub struct FunctionRow {
    pub oid: i64,
    pub name: &'static str,
    pub namespace: i64,
    pub kind: &'static str,
    pub returns_set: bool,
    /// Whether it is NULL where an argument is.
    pub is_strict: bool,
    pub result: i64,
    pub variadic: i64,
    /// How many of the last arguments may be left out.
    pub defaults: usize,
    /// The input arguments' types.
    pub arguments: Vec<i64>,
    /// With output columns too, where there are any: types, modes (`i`, `o`, `b`, `v`, `t`) and names.
    pub all_arguments: Vec<i64>,
    pub modes: Vec<&'static str>,
    pub names: Vec<&'static str>,
}

fn items(cell: &'static str) -> Vec<&'static str> {
    let inner = cell.trim_start_matches('{').trim_end_matches('}');
    let items = inner.split([',', ' ']).map(|item| item.trim_matches('"'));
    if inner.is_empty() { Vec::new() } else { items.collect() }
}

fn oids(cell: &'static str) -> Vec<i64> {
    items(cell).into_iter().filter_map(|item| item.parse().ok()).collect()
}

static FUNCTIONS_BY_OID: LazyLock<BTreeMap<i64, FunctionRow>> = LazyLock::new(|| {
    let table = Table::parse(FUNCTIONS);
    let rows = table.rows.iter().map(|row| {
        let oid = table.number(row, "oid");
        let found = FunctionRow {
            oid,
            name: table.text(row, "proname"),
            namespace: table.number(row, "pronamespace"),
            kind: table.text(row, "prokind"),
            returns_set: table.text(row, "proretset") == "t",
            is_strict: table.text(row, "proisstrict") == "t",
            result: table.number(row, "prorettype"),
            variadic: table.number(row, "provariadic"),
            defaults: table.number(row, "pronargdefaults") as usize,
            arguments: oids(table.text(row, "proargtypes")),
            all_arguments: oids(table.text(row, "proallargtypes")),
            modes: items(table.text(row, "proargmodes")),
            names: items(table.text(row, "proargnames")),
        };
        (oid, found)
    });
    rows.collect()
});

static FUNCTIONS_BY_NAME: LazyLock<HashMap<&'static str, Vec<i64>>> = LazyLock::new(|| {
    let mut names: HashMap<&str, Vec<i64>> = HashMap::new();
    for row in FUNCTIONS_BY_OID.values() {
        names.entry(row.name).or_default().push(row.oid);
    }
    names
});

pub fn function_by_oid(oid: i64) -> Option<&'static FunctionRow> {
    FUNCTIONS_BY_OID.get(&oid)
}

/// The OIDs of all functions of a name.
pub fn functions_by_name(name: &str) -> &'static [i64] {
    FUNCTIONS_BY_NAME.get(name).map_or(&[], Vec::as_slice)
}

static DESCRIPTIONS_BY_OBJECT: LazyLock<HashMap<(i64, i64), &'static str>> = LazyLock::new(|| {
    let table = Table::parse(DESCRIPTIONS);
    let described = |row: &Vec<&'static str>| {
        ((table.number(row, "classoid"), table.number(row, "objoid")), table.text(row, "description"))
    };
    table.rows.iter().map(described).collect()
});

/// The comment on a built-in object: `class` is the OID of the catalog relation that lists it.
pub fn description(class: i64, object: i64) -> Option<&'static str> {
    DESCRIPTIONS_BY_OBJECT.get(&(class, object)).copied()
}

/// Encodings by number.
pub fn encodings() -> &'static [(i64, &'static str)] {
    static ROWS: LazyLock<Vec<(i64, &'static str)>> = LazyLock::new(|| {
        let table = Table::parse(ENCODINGS);
        table.rows.iter().map(|row| (table.number(row, "code"), table.text(row, "name"))).collect()
    });
    &ROWS
}
