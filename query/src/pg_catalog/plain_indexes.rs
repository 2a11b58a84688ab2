//! Plain indexes in PostgreSQL's relations: what CREATE INDEX has asked for, as clients ask for it again.
//!
//! They are names that nothing is built for, and show as they would if it were.

use super::CatalogContext;
use super::classes::{PG_CLASS, SYSTEM_ROLE, column_collation, namespace_oid, persistence, push_column};
use super::constraints::column_numbers;
use super::keys::operator_class;
use super::values::{Rows, Value};
use crate::bound_expressions::shown;
use crate::functions::quote_identifier;
use catalog::definition::{Column, IndexItem, Indexed, PlainIndex, TableDefinition};
use catalog::ids::ObjectId;
use catalog::snapshot::{Snapshot, TableVersion};
use std::sync::Arc;

/// The access methods by their OIDs in `pg_am`.
const METHODS: [(&str, i64); 6] =
    [("btree", 403), ("hash", 405), ("gist", 783), ("gin", 2742), ("brin", 3580), ("spgist", 4000)];

/// All plain indexes with their tables, in the order of their OIDs.
fn indexes(snapshot: &Snapshot) -> Vec<(&TableVersion, &PlainIndex)> {
    let tables = snapshot.tables.values().map(Arc::as_ref);
    let mut indexes: Vec<_> =
        tables.flat_map(|version| version.definition.plain_indexes.iter().map(move |index| (version, index))).collect();
    indexes.sort_by_key(|(_, index)| index.id);
    indexes
}

/// The plain index with that OID, and its table.
pub fn plain_index_by_oid(snapshot: &Snapshot, oid: i64) -> Option<(&TableVersion, &PlainIndex)> {
    let id = u32::try_from(oid).ok().map(ObjectId)?;
    indexes(snapshot).into_iter().find(|(_, index)| index.id == id)
}

/// `CREATE INDEX sales_a ON public.sales USING btree (a, lower(b) DESC) WHERE (a > 1)`, given how the table is to be called.
pub fn plain_index_statement(table: &str, definition: &TableDefinition, index: &PlainIndex, brief: bool) -> String {
    let items = (0..index.items.len()).filter_map(|place| {
        let item = index.items.get(place)?;
        let text = plain_index_item(definition, index, place, brief)?;
        Some(format!("{text}{}", options(item)))
    });
    let items = items.collect::<Vec<_>>().join(", ");
    let name = quote_identifier(&index.name);
    let mut text = format!("CREATE INDEX {name} ON {table} USING {} ({items})", index.method);
    if !index.included.is_empty() {
        let columns = index.included.iter().filter_map(|id| definition.column(*id));
        let columns = columns.map(|column| quote_identifier(&column.name)).collect::<Vec<_>>().join(", ");
        text.push_str(&format!(" INCLUDE ({columns})"));
    }
    if let Some(predicate) = &index.predicate {
        text.push_str(&format!(" WHERE {}", shown(&predicate.text, brief)));
    }
    text
}

/// What an index is about at a place from zero, without its order; the columns of INCLUDE come last.
pub fn plain_index_item(definition: &TableDefinition, index: &PlainIndex, place: usize, brief: bool) -> Option<String> {
    let column = match index.items.get(place).map(|item| &item.of) {
        Some(Indexed::Expression(expression)) => {
            let text = shown(&expression.text, brief);
            let is_call = text.ends_with(')') && !text.starts_with('(');
            return Some(if is_call { text } else { format!("({text})") });
        }
        Some(Indexed::Column(column)) => *column,
        None => *index.included.get(place - index.items.len())?,
    };
    definition.column(column).map(|column| quote_identifier(&column.name))
}

/// What is said behind an item.
fn options(item: &IndexItem) -> String {
    let class = item.class.as_ref().map(|class| format!(" {class}")).unwrap_or_default();
    let order = match (item.descending, item.nulls_first) {
        (false, false) => "",
        (false, true) => " NULLS FIRST",
        (true, true) => " DESC",
        (true, false) => " DESC NULLS LAST",
    };
    format!("{class}{order}")
}

/// The columns of the items, nothing for expressions, and then those of INCLUDE.
fn columns<'a>(definition: &'a TableDefinition, index: &PlainIndex) -> Vec<Option<&'a Column>> {
    let items = index.items.iter().map(|item| match &item.of {
        Indexed::Column(column) => Some(*column),
        Indexed::Expression(_) => None,
    });
    let all = items.chain(index.included.iter().copied().map(Some));
    all.map(|column| column.and_then(|column| definition.column(column))).collect()
}

/// The rows of `pg_class`.
pub(super) fn push_classes(context: &CatalogContext, rows: &mut Rows) {
    for (version, index) in indexes(&context.snapshot) {
        let method = METHODS.iter().find(|(name, _)| *name == index.method).map_or(0, |(_, oid)| *oid);
        rows.push([
            ("oid", index.id.into()),
            ("relname", (&index.name).into()),
            ("relnamespace", namespace_oid(&context.snapshot, &version.definition.name.schema).into()),
            ("relowner", SYSTEM_ROLE.0.into()),
            ("relam", method.into()),
            ("relfilenode", index.id.into()),
            ("reltuples", Value::Float(version.rows_live() as f64)),
            ("relpersistence", persistence(context, &version.definition.name).into()),
            ("relkind", "i".into()),
            ("relnatts", (index.items.len() + index.included.len()).into()),
            ("relispopulated", true.into()),
            ("relreplident", "n".into()),
        ]);
    }
}

/// The rows of `pg_attribute`. An expression's type is not known here, so it has none.
pub(super) fn push_attributes(context: &CatalogContext, rows: &mut Rows) {
    for (version, index) in indexes(&context.snapshot) {
        for (column, number) in columns(&version.definition, index).into_iter().zip(1..) {
            let Some(column) = column else { continue };
            let plain =
                Column { digits: column.digits, ..Column::new(column.id, &column.name, column.sql_type.clone()) };
            push_column(rows, index.id.0.into(), number, &plain);
        }
    }
}

/// The rows of `pg_index`.
pub(super) fn push_indexes(context: &CatalogContext, rows: &mut Rows) {
    for (version, index) in indexes(&context.snapshot) {
        let definition = &version.definition;
        let columns = columns(definition, index);
        let numbers: Vec<i64> = columns.iter().map(|column| column.map_or(0, |column| column.id.0.into())).collect();
        let keys = &columns[..index.items.len()];
        let of_keys = |of: fn(&Column) -> i64| keys.iter().map(|column| column.map_or(0, of)).collect::<Vec<i64>>();
        let options = index.items.iter().map(|item| i64::from(item.descending) | i64::from(item.nulls_first) << 1);
        let expressions = index.items.iter().filter_map(|item| match &item.of {
            Indexed::Expression(expression) => Some(expression.text.as_str()),
            Indexed::Column(_) => None,
        });
        let expressions = expressions.collect::<Vec<_>>().join(", ");
        rows.push([
            ("indexrelid", index.id.into()),
            ("indrelid", definition.id.into()),
            ("indnatts", columns.len().into()),
            ("indnkeyatts", index.items.len().into()),
            ("indimmediate", true.into()),
            ("indisvalid", true.into()),
            ("indisready", true.into()),
            ("indislive", true.into()),
            ("indkey", numbers.into()),
            ("indcollation", of_keys(|column| column_collation(&column.sql_type)).into()),
            ("indclass", of_keys(|column| operator_class(&column.sql_type)).into()),
            ("indoption", options.collect::<Vec<i64>>().into()),
            ("indexprs", Some(expressions).filter(|text| !text.is_empty()).into()),
            ("indpred", index.predicate.as_ref().map(|predicate| predicate.text.clone()).into()),
        ]);
    }
}

/// The rows of `pg_depend`: an index belongs to its columns.
pub(super) fn push_dependencies(context: &CatalogContext, rows: &mut Rows) {
    for (version, index) in indexes(&context.snapshot) {
        for number in column_numbers(index.columns()) {
            rows.push([
                ("classid", PG_CLASS.into()),
                ("objid", index.id.into()),
                ("refclassid", PG_CLASS.into()),
                ("refobjid", version.definition.id.into()),
                ("refobjsubid", number.into()),
                ("deptype", "a".into()),
            ]);
        }
    }
}

/// The rows of `pg_indexes`.
pub(super) fn push_index_list(context: &CatalogContext, rows: &mut Rows) {
    for (version, index) in indexes(&context.snapshot) {
        let name = &version.definition.name;
        let table = format!("{}.{}", quote_identifier(&name.schema), quote_identifier(&name.name));
        rows.push([
            ("schemaname", (&name.schema).into()),
            ("tablename", (&name.name).into()),
            ("indexname", (&index.name).into()),
            ("indexdef", plain_index_statement(&table, &version.definition, index, false).into()),
        ]);
    }
}
