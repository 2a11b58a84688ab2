//! The sets of json's items, keys and members.
//!
//! Items and keys come as one array under the function's name. Members are two columns, and so two arrays that are
//! unnested side by side, in FROM and in a select list:
//!
//!     SELECT (jsonb_each(d)).key      SELECT unnest("jsonb_each@keys"(d))
//!     SELECT jsonb_each(d)            SELECT record(unnest("jsonb_each@keys"(d)), unnest("jsonb_each@values"(d)))

use crate::operators::sites::call_quoted;
use datafusion::sql::sqlparser::ast::Expr;

const LISTS: [&str; 8] = [
    "jsonb_path_query",
    "jsonb_path_query_tz",
    "json_array_elements",
    "json_array_elements_text",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "json_object_keys",
    "jsonb_object_keys",
];

/// The sets of members, and the functions that give their keys and their values.
const MEMBERS: [(&str, [&str; 2]); 4] = [
    ("json_each", ["json_each@keys", "json_each@values"]),
    ("json_each_text", ["json_each_text@keys", "json_each_text@values"]),
    ("jsonb_each", ["jsonb_each@keys", "jsonb_each@values"]),
    ("jsonb_each_text", ["jsonb_each_text@keys", "jsonb_each_text@values"]),
];

/// Whether a function gives a set of one column.
pub(super) fn is_list(name: &str) -> bool {
    LISTS.contains(&name)
}

/// Whether a function gives a set of keys and values.
pub(crate) fn has_members(name: &str) -> bool {
    MEMBERS.iter().any(|(known, _)| *known == name)
}

/// The keys and the values of a set of members, as arrays.
pub(super) fn member_lists(name: &str, args: &[Expr]) -> Vec<Expr> {
    let lists = MEMBERS.iter().filter(|(known, _)| *known == name).flat_map(|(_, lists)| lists);
    lists.map(|list| call_quoted(list, args.to_vec())).collect()
}

/// The array of a column of a set of members.
pub(super) fn member_list(name: &str, column: &str, args: Vec<Expr>) -> Option<Expr> {
    let (_, lists) = MEMBERS.iter().find(|(known, _)| *known == name)?;
    let position = own_columns(name).iter().position(|known| *known == column)?;
    Some(call_quoted(lists[position], args))
}

/// The columns that a set names by itself; none where they are called after its alias.
pub(super) fn own_columns(name: &str) -> &'static [&'static str] {
    if has_members(name) {
        &["key", "value"]
    } else if is_list(name) && name.contains("_array_elements") {
        &["value"]
    } else {
        &[]
    }
}
