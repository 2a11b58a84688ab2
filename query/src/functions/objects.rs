//! About objects of the catalog: definitions as SQL, comments, sizes, visibility.

use super::names::{class_name, is_class_visible, quote_identifier, read_class, text_of};
use super::{Body, Definition, SessionFacts};
use crate::bound_expressions::shown;
use crate::error::{ErrorKind, QueryError};
use crate::intake::recent_bytes;
use crate::pg_catalog::{
    FunctionRow, Value, constraint_text, description, format_type, function_by_oid, index_statement, key_by_oid,
    namespace_name, partition_expression, plain_index_by_oid, plain_index_item, plain_index_statement, relation_name,
    role_name, type_by_oid, type_name, user_type, view_text,
};
use catalog::definition::{ObjectName, TableDefinition};
use catalog::ids::ObjectId;
use catalog::snapshot::{Relation, TableVersion};
use catalog::sql_type::SqlType;

type Answer = Result<Value, QueryError>;

pub(super) fn definitions() -> Vec<Definition> {
    let mut all = texts();
    all.extend(comments());
    all.extend(visibility());
    all.extend(sizes());
    all.extend(statistics());
    all
}

const NULL: Body = |_, _| Ok(Value::Null);

fn texts() -> Vec<Definition> {
    let text = |name, arguments, body: Body| Definition::new(name, arguments, SqlType::Text, body);
    vec![
        text("format_type", 2..=2, |facts, args| {
            let oid = args[0].as_int();
            let _names = facts.type_names().enter();
            Ok(oid.map(|oid| type_name(&facts.snapshot, oid, args[1].as_int())).into())
        })
        .called_on_null(),
        text("pg_get_expr", 2..=3, |_, args| {
            let brief = args.get(2).and_then(Value::as_bool) == Some(true);
            Ok(args[0].as_text().map(|text| shown(text, brief)).into())
        }),
        text("pg_get_viewdef", 1..=2, view_definition),
        text("pg_get_ruledef", 1..=2, rule_definition),
        text("pg_get_partkeydef", 1..=1, |facts, args| {
            let table = args[0].as_int().and_then(|oid| facts.snapshot.tables.get(&object_id(oid)));
            let expression = table.map(|table| partition_expression(&table.definition));
            Ok(expression.filter(|expression| !expression.is_empty()).into())
        }),
        Definition::new("pg_get_userbyid", 1..=1, SqlType::Name, |facts, args| {
            let oid = args[0].as_int().unwrap_or(0);
            Ok(role_name(&facts.user, oid).map_or_else(|| format!("unknown (OID={oid})"), str::to_string).into())
        }),
        text("pg_get_function_arguments", 1..=1, |_, args| {
            Ok(function(args).map(|row| argument_list(row, true)).into())
        }),
        text("pg_get_function_identity_arguments", 1..=1, |_, args| {
            Ok(function(args).map(|row| argument_list(row, false)).into())
        }),
        text("pg_get_function_result", 1..=1, |_, args| Ok(function(args).and_then(result_type).into())),
        text("pg_get_function_arg_default", 2..=2, NULL),
        text("pg_get_function_sqlbody", 1..=1, NULL),
        text("pg_get_functiondef", 1..=1, NULL),
        text("pg_get_indexdef", 1..=3, index_definition),
        text("pg_get_constraintdef", 1..=2, |facts, args| {
            let oid = args[0].as_int().unwrap_or(0);
            let pretty = args.get(1).and_then(Value::as_bool) == Some(true);
            Ok(constraint_text(&facts.snapshot, object_id(oid), pretty).into())
        }),
        text("pg_get_triggerdef", 1..=2, NULL),
        text("pg_get_statisticsobjdef", 1..=1, NULL),
        text("pg_get_statisticsobjdef_columns", 1..=1, NULL),
        text("pg_get_statisticsobjdef_expressions", 1..=1, NULL),
        text("pg_get_partition_constraintdef", 1..=1, NULL),
        text("pg_tablespace_location", 1..=1, |_, _| Ok("".into())),
        text("pg_relation_filepath", 1..=1, NULL),
        Definition::new("pg_relation_filenode", 1..=1, SqlType::Oid, |facts, args| read_class(facts, &args[0])),
        Definition::new("pg_partition_root", 1..=1, SqlType::Oid, NULL),
        Definition::new("pg_index_column_has_property", 3..=3, SqlType::Bool, NULL),
        Definition::new("pg_index_has_property", 2..=2, SqlType::Bool, NULL),
        Definition::new("pg_indexam_has_property", 2..=2, SqlType::Bool, NULL),
        Definition::new("pg_relation_is_publishable", 1..=1, SqlType::Bool, |facts, args| {
            let oid = read_class(facts, &args[0])?.as_int().unwrap_or(0);
            Ok(facts.snapshot.tables.contains_key(&object_id(oid)).into())
        }),
        Definition::new("pg_relation_is_updatable", 2..=2, SqlType::Int4, |facts, args| {
            let oid = read_class(facts, &args[0])?.as_int().unwrap_or(0);
            // Bits of UPDATE, INSERT and DELETE, as in PostgreSQL's CmdType.
            Ok(if facts.snapshot.tables.contains_key(&object_id(oid)) { 28 } else { 0 }.into())
        }),
        Definition::new("pg_column_is_updatable", 3..=3, SqlType::Bool, |facts, args| {
            let oid = read_class(facts, &args[0])?.as_int().unwrap_or(0);
            Ok(facts.snapshot.tables.contains_key(&object_id(oid)).into())
        }),
    ]
}

/// The sequence that goes with a table's column.
pub(super) fn serial_sequence(facts: &SessionFacts, args: &[Value]) -> Answer {
    let id = object_id(read_class(facts, &args[0])?.as_int().unwrap_or(0));
    let Some(table) = facts.snapshot.tables.get(&id).map(|table| &table.definition) else { return Ok(Value::Null) };
    let name = text_of(&args[1]);
    let Some(column) = table.columns.iter().find(|column| column.name == name) else {
        let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name.name);
        return Err(QueryError::new(ErrorKind::UndefinedColumn, message));
    };
    let mut owned = facts.snapshot.owned_sequences(id).map(|sequence| &sequence.definition);
    let found = owned.find(|sequence| sequence.owner.is_some_and(|owner| owner.column == column.id));
    let shown = |name: &ObjectName| format!("{}.{}", quote_identifier(&name.schema), quote_identifier(&name.name));
    Ok(found.map(|sequence| shown(&sequence.name)).into())
}

fn object_id(oid: i64) -> ObjectId {
    ObjectId(u32::try_from(oid).unwrap_or(0))
}

fn view_definition(facts: &SessionFacts, args: &[Value]) -> Answer {
    let oid = read_class(facts, &args[0])?.as_int().unwrap_or(0);
    Ok(facts.snapshot.views.get(&object_id(oid)).map(|view| view_text(&view.definition)).into())
}

/// An index as SQL, or one of its columns. Pretty ones leave out a schema that is searched anyway.
fn index_definition(facts: &SessionFacts, args: &[Value]) -> Answer {
    let oid = read_class(facts, &args[0])?.as_int().unwrap_or(0);
    let column = args.get(1).and_then(Value::as_int).filter(|column| *column != 0);
    let place = column.map(|column| usize::try_from(column - 1).unwrap_or(usize::MAX));
    let brief = args.get(2).and_then(Value::as_bool) == Some(true);
    let called = |definition: &TableDefinition| match brief {
        true => class_name(facts, definition.id.0.into()),
        false => format!("{}.{}", quote_identifier(&definition.name.schema), quote_identifier(&definition.name.name)),
    };
    if let Some((table, key)) = key_by_oid(&facts.snapshot, oid) {
        let definition = &table.definition;
        let column = |place: usize| key.columns.get(place).and_then(|id| definition.column(*id));
        return Ok(match place {
            Some(place) => column(place).map(|column| quote_identifier(&column.name)).unwrap_or_default().into(),
            None => index_statement(&called(definition), definition, key).into(),
        });
    }
    let Some((table, index)) = plain_index_by_oid(&facts.snapshot, oid) else { return Ok(Value::Null) };
    let definition = &table.definition;
    Ok(match place {
        Some(place) => plain_index_item(definition, index, place, brief).unwrap_or_default().into(),
        None => plain_index_statement(&called(definition), definition, index, brief).into(),
    })
}

/// A view's rule bears the view's number; see `pg_rewrite`.
fn rule_definition(facts: &SessionFacts, args: &[Value]) -> Answer {
    let oid = args[0].as_int().unwrap_or(0);
    let view = facts.snapshot.views.get(&object_id(oid));
    let rule = view.map(|view| {
        let name = class_name(facts, oid);
        format!("CREATE RULE \"_RETURN\" AS\n    ON SELECT TO {name} DO INSTEAD {}", view_text(&view.definition))
    });
    Ok(rule.into())
}

fn function(args: &[Value]) -> Option<&'static FunctionRow> {
    function_by_oid(args[0].as_int()?)
}

/// `name type, OUT name type, VARIADIC type`, without the columns of a returned table.
fn argument_list(row: &FunctionRow, with_outputs: bool) -> String {
    let types = if row.all_arguments.is_empty() { &row.arguments } else { &row.all_arguments };
    let mut arguments = Vec::with_capacity(types.len());
    for (position, oid) in types.iter().enumerate() {
        let mode = match row.modes.get(position).copied().unwrap_or("i") {
            "t" => continue,
            "o" if !with_outputs => continue,
            "o" => "OUT ",
            "b" => "INOUT ",
            "v" => "VARIADIC ",
            _ => "",
        };
        let name = row.names.get(position).copied().unwrap_or_default();
        let name = if name.is_empty() { String::new() } else { format!("{} ", quote_identifier(name)) };
        arguments.push(format!("{mode}{name}{}", argument_type(*oid)));
    }
    arguments.join(", ")
}

fn argument_type(oid: i64) -> String {
    let name = format_type(oid, None);
    if name == "any" || name == "char" { format!("\"{name}\"") } else { name }
}

fn result_type(row: &FunctionRow) -> Option<String> {
    if row.kind == "p" {
        return None;
    }
    let columns: Vec<String> = (0..row.all_arguments.len())
        .filter(|position| row.modes.get(*position) == Some(&"t"))
        .map(|position| {
            format!("{} {}", row.names.get(position).copied().unwrap_or(""), argument_type(row.all_arguments[position]))
        })
        .collect();
    if !columns.is_empty() {
        return Some(format!("TABLE({})", columns.join(", ")));
    }
    let set = if row.returns_set { "SETOF " } else { "" };
    Some(format!("{set}{}", argument_type(row.result)))
}

/// The relations whose objects have comments, by name.
const COMMENTED: [(&str, i64); 6] = [
    ("pg_type", 1247),
    ("pg_proc", 1255),
    ("pg_operator", 2617),
    ("pg_namespace", 2615),
    ("pg_am", 2601),
    ("pg_language", 2612),
];

fn comments() -> Vec<Definition> {
    vec![
        Definition::new("obj_description", 1..=2, SqlType::Text, |_, args| {
            let object = args[0].as_int().unwrap_or(0);
            let wanted = args.get(1).map(text_of);
            let classes = COMMENTED.iter().filter(|(name, _)| wanted.as_deref().is_none_or(|wanted| wanted == *name));
            Ok(classes.filter_map(|(_, class)| description(*class, object)).next().into())
        }),
        Definition::new("col_description", 2..=2, SqlType::Text, NULL),
        Definition::new("shobj_description", 2..=2, SqlType::Text, NULL),
        Definition::new("pg_describe_object", 3..=3, SqlType::Text, |facts, args| {
            let oid = args[1].as_int().unwrap_or(0);
            Ok(relation_name(&facts.snapshot, oid).map(|name| format!("table {}", name.name)).into())
        }),
    ]
}

fn visibility() -> Vec<Definition> {
    let yes: Body = |_, _| Ok(true.into());
    let always = [
        "pg_collation_is_visible",
        "pg_operator_is_visible",
        "pg_opclass_is_visible",
        "pg_opfamily_is_visible",
        "pg_conversion_is_visible",
        "pg_statistics_obj_is_visible",
        "pg_ts_parser_is_visible",
        "pg_ts_dict_is_visible",
        "pg_ts_template_is_visible",
        "pg_ts_config_is_visible",
    ];
    let mut all: Vec<Definition> =
        always.into_iter().map(|name| Definition::new(name, 1..=1, SqlType::Bool, yes)).collect();
    all.extend([
        Definition::new("pg_table_is_visible", 1..=1, SqlType::Bool, |facts, args| {
            Ok(args[0].as_int().and_then(|oid| is_class_visible(facts, oid)).into())
        }),
        Definition::new("pg_type_is_visible", 1..=1, SqlType::Bool, |facts, args| {
            let Some(oid) = args[0].as_int() else { return Ok(Value::Null) };
            if let Some((known, _)) = user_type(&facts.snapshot, oid) {
                return Ok(facts.type_names().sees(&known.name).into());
            }
            Ok(type_by_oid(oid).map(|row| is_in_path(facts, row.namespace)).into())
        }),
        Definition::new("pg_function_is_visible", 1..=1, SqlType::Bool, |facts, args| {
            let row = args[0].as_int().and_then(function_by_oid);
            Ok(row.map(|row| is_in_path(facts, row.namespace)).into())
        }),
    ]);
    all
}

fn is_in_path(facts: &SessionFacts, namespace: i64) -> bool {
    let name = namespace_name(&facts.snapshot, namespace);
    name.is_some_and(|name| facts.effective_path(true).contains(&name))
}

/// Bytes on disk of a table or of a view's state; zero for a relation of the catalog, `None` for none at all.
fn relation_bytes(facts: &SessionFacts, argument: &Value) -> Result<Option<u64>, QueryError> {
    let oid = read_class(facts, argument)?.as_int().unwrap_or(0);
    Ok(match facts.snapshot.relation_by_id(object_id(oid)) {
        Some(Relation::Table(table)) => Some(table_bytes(table)),
        Some(Relation::View(view)) => Some(view.state.as_ref().map_or(0, table_bytes)),
        Some(Relation::Sequence(_)) => Some(0),
        None => relation_name(&facts.snapshot, oid).map(|_| 0),
    })
}

/// Segments on disk, and recent rows in memory, which are in the log as well.
fn table_bytes(table: &TableVersion) -> u64 {
    table.bytes() + recent_bytes(table) as u64
}

fn sizes() -> Vec<Definition> {
    let whole: Body = |facts, args| relation_bytes(facts, &args[0]).map(Value::from);
    let all_bytes: Body = |facts, _| {
        let tables: u64 = facts.snapshot.tables.values().map(|table| table_bytes(table)).sum();
        let states = facts.snapshot.views.values().filter_map(|view| view.state.as_ref());
        Ok((tables + states.map(table_bytes).sum::<u64>()).into())
    };
    vec![
        Definition::new("pg_table_size", 1..=1, SqlType::Int8, whole),
        Definition::new("pg_total_relation_size", 1..=1, SqlType::Int8, whole),
        Definition::new("pg_relation_size", 1..=2, SqlType::Int8, |facts, args| {
            // Other forks (`fsm`, `vm`, `init`) do not exist.
            if args.get(1).is_some_and(|fork| fork.as_text() != Some("main")) {
                return Ok(0.into());
            }
            relation_bytes(facts, &args[0]).map(Value::from)
        }),
        Definition::new("pg_indexes_size", 1..=1, SqlType::Int8, |_, _| Ok(0.into())),
        Definition::new("pg_database_size", 1..=1, SqlType::Int8, all_bytes),
        Definition::new("pg_tablespace_size", 1..=1, SqlType::Int8, all_bytes),
    ]
}

fn statistics() -> Vec<Definition> {
    let zero: Body = |_, _| Ok(0.into());
    let counters = [
        "pg_stat_get_numscans",
        "pg_stat_get_tuples_returned",
        "pg_stat_get_tuples_fetched",
        "pg_stat_get_tuples_inserted",
        "pg_stat_get_tuples_updated",
        "pg_stat_get_tuples_deleted",
        "pg_stat_get_tuples_hot_updated",
        "pg_stat_get_dead_tuples",
        "pg_stat_get_mod_since_analyze",
        "pg_stat_get_blocks_fetched",
        "pg_stat_get_blocks_hit",
        "pg_stat_get_vacuum_count",
        "pg_stat_get_analyze_count",
    ];
    let mut all: Vec<Definition> =
        counters.into_iter().map(|name| Definition::new(name, 1..=1, SqlType::Int8, zero)).collect();
    all.push(Definition::new("pg_stat_get_live_tuples", 1..=1, SqlType::Int8, |facts, args| {
        let table = args[0].as_int().and_then(|oid| facts.snapshot.tables.get(&object_id(oid)));
        Ok(table.map_or(0, |table| table.rows_live()).into())
    }));
    all
}
