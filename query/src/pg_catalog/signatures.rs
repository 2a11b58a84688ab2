//! What PostgreSQL's resolution of operators and functions looks at: categories of types, implicit casts, operators
//! by name.
//!
//! Types are OIDs here, because the lists name types that Meridian has no columns of: `anyarray`, `xid`, `bpchar`.

use super::exported::{CASTS, OPERATORS, TYPES, Table};
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// A type as the rules for choosing among candidates see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TypeTraits {
    /// `pg_type.typcategory`: `N` for numbers, `S` for strings, …
    pub category: u8,
    /// Whether a literal of that category would rather be this type.
    pub is_preferred: bool,
    /// The element's type, for an array.
    pub element: Option<u32>,
    /// The type of arrays over this one.
    pub array: Option<u32>,
}

static TRAITS: LazyLock<HashMap<u32, TypeTraits>> = LazyLock::new(|| {
    let table = Table::parse(TYPES);
    let rows = table.rows.iter().map(|row| {
        let oid = |column| Some(table.number(row, column) as u32).filter(|oid| *oid != 0);
        let category = table.text(row, "typcategory").bytes().next().unwrap_or(b'X');
        // `name` and `oidvector` have elements too and are types of their own.
        let is_array = table.number(row, "typlen") == -1 && table.text(row, "typstorage") != "p";
        let traits = TypeTraits {
            category,
            is_preferred: table.text(row, "typispreferred") == "t",
            element: oid("typelem").filter(|_| is_array),
            array: oid("typarray"),
        };
        (table.number(row, "oid") as u32, traits)
    });
    rows.collect()
});

static IMPLICIT_CASTS: LazyLock<HashSet<(u32, u32)>> = LazyLock::new(|| {
    let table = Table::parse(CASTS);
    let implicit = table.rows.iter().filter(|row| table.text(row, "castcontext") == "i");
    implicit.map(|row| (table.number(row, "castsource") as u32, table.number(row, "casttarget") as u32)).collect()
});

/// Operand types by the operator's symbol; a prefix operator has one.
static OPERATORS_BY_NAME: LazyLock<HashMap<&'static str, Vec<Vec<u32>>>> = LazyLock::new(|| {
    let table = Table::parse(OPERATORS);
    let mut names: HashMap<&'static str, Vec<Vec<u32>>> = HashMap::new();
    for row in &table.rows {
        let operands = ["oprleft", "oprright"].map(|column| table.number(row, column) as u32);
        let operands = operands.into_iter().filter(|oid| *oid != 0).collect();
        names.entry(table.text(row, "oprname")).or_default().push(operands);
    }
    names
});

/// What is known of a type; `None` for an OID that no type has.
pub(crate) fn type_traits(oid: u32) -> Option<TypeTraits> {
    TRAITS.get(&oid).copied()
}

/// Whether a value of a type becomes one of another without being asked to.
pub(crate) fn is_implicit_cast(from: u32, to: u32) -> bool {
    IMPLICIT_CASTS.contains(&(from, to))
}

/// The operand types of all operators of a symbol.
pub(crate) fn operators_by_name(symbol: &str) -> &'static [Vec<u32>] {
    OPERATORS_BY_NAME.get(symbol).map_or(&[], Vec::as_slice)
}
