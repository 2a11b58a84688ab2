//! The productions of jsonb; see `productions` for what a template is.

pub(crate) const DOCUMENTS: &[&str] = &[
    "{jsonb} -> {n}",
    "{jsonb} -> {key}",
    "{jsonb} #> {path}",
    "{jsonb} || {jsonb}",
    "{jsonb} - {key}",
    "{jsonb} - {n}",
    "{jsonb} #- {path}",
    "{json_text}::jsonb",
    "to_jsonb({A})",
    "to_jsonb({jsonb} ->> {key})",
    "jsonb_build_array({A}, {int4}, NULL)",
    "jsonb_build_object('a', {A}, {key}, {bool})",
    "jsonb_object(ARRAY[{key}, {text}])",
    "jsonb_set({jsonb}, {path}, {jsonb})",
    "jsonb_set({jsonb}, {path}, {jsonb}, false)",
    "jsonb_insert({jsonb}, {path}, {jsonb}, {bool})",
    "jsonb_strip_nulls({jsonb})",
    "jsonb_extract_path({jsonb}, {key}, {key})",
    "to_jsonb(ARRAY[{int4}, NULL])",
];
