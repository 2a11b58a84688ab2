//! Functions of json and jsonb.
//!
//!     access.rs, paths.rs    parts of a value: `->`, `#>`, types, lengths, `?`
//!     subscripts.rs          `doc['a']`
//!     assigned_items.rs      `SET doc['a'] = …`
//!     containment.rs         `@>`
//!     editing.rs             `||`, `-`, `#-`, jsonb_set and what changes values
//!     writing.rs             SQL values as JSON, for
//!     building.rs            to_json, json_build_…, row_to_json, the ends of aggregates
//!     objects.rs             json_object of arrays
//!     path/                  jsonb_path_query and the like, `@?`, `@@`
//!     sets.rs                json_each and the like, as arrays
//!
//! A value is its text (`types/json`), and so is a part of it. `json_agg(x)` is planned as
//! `json_agg_finalfn(array_agg(x))`, and the other aggregates likewise, so that DISTINCT, ORDER BY and FILTER are
//! those of `array_agg`.

mod access;
mod assigned_items;
mod building;
mod columns;
mod containment;
mod editing;
mod objects;
mod path;
mod paths;
mod sets;
mod subscripts;
mod writing;

pub(crate) use assigned_items::{ASSIGNED_ITEM, over_document};
pub(crate) use building::bound;
pub(crate) use sets::{ITEMS_AS_DOCUMENTS, ITEMS_AS_TEXTS};
pub(crate) use subscripts::JsonbSubscripts;

use super::overload::{Function, Kind, Overload};
use super::strings::Answer;
use crate::types::json::sort_key::push_sort_key;
use arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// The function whose bytes compare as jsonb does.
pub(crate) const SORT_KEY: &str = "jsonb_sort_key";

/// The aggregates and the functions that end them.
pub(crate) const AGGREGATES: [(&str, &str); 4] = [
    ("json_agg", "json_agg_finalfn"),
    ("jsonb_agg", "jsonb_agg_finalfn"),
    ("json_object_agg", "json_object_agg_finalfn"),
    ("jsonb_object_agg", "jsonb_object_agg_finalfn"),
];

/// Functions of fixed lists of arguments.
pub(super) fn functions() -> Vec<Function> {
    let topics = [
        access::functions(),
        containment::functions(),
        editing::functions(),
        objects::functions(),
        path::functions(),
        sets::functions(),
    ];
    let key = Overload::new(&[Kind::Jsonb], Kind::Bytea, |c, _| sort_keys(&c[0]));
    topics.into_iter().flatten().chain([Function::immutable(SORT_KEY, vec![key])]).collect()
}

/// Functions of any arguments.
pub(super) fn generic_functions() -> Vec<Arc<ScalarUDF>> {
    building::functions().into_iter().chain(paths::functions()).chain([assigned_items::function()]).collect()
}

/// Bytes in whose order the documents of a jsonb column are.
pub(super) fn sort_keys(documents: &ArrayRef) -> Answer {
    let texts = documents.as_string::<i64>();
    let mut keys = BinaryViewBuilder::with_capacity(texts.len());
    let mut key = Vec::new();
    for text in texts {
        key.clear();
        if let Some(text) = text {
            push_sort_key(&mut key, text)?;
        }
        keys.append_option(text.map(|_| key.as_slice()));
    }
    Ok(Arc::new(keys.finish()))
}
