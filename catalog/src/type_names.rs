//! What the user's types are called: by their names alone where the search path finds them so, else with their schemas.
//!
//! Types are shown deep inside of messages, by what knows of no session. So who works for one says for its thread what it sees:
//!
//!     let _names = names.enter();        shown_name(s.mood)  ▶  mood
//!
//! What runs later or on other threads keeps [`TypeNames::current`] and enters it there. Where nobody said anything, `public` is what is
//! seen.

use crate::definition::ObjectName;
use crate::ids::ObjectId;
use crate::sql_type::SqlType;
use crate::user_type::TypeDefinition;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// The types that there are, and the schemas in which a bare name is looked for.
#[derive(Clone)]
pub struct TypeNames(Arc<Seen>);

struct Seen {
    types: Arc<BTreeMap<ObjectId, Arc<TypeDefinition>>>,
    path: Vec<String>,
}

thread_local! {
    static ENTERED: RefCell<Vec<TypeNames>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, types are shown on its thread as its names say.
#[must_use]
#[derive(Debug)]
pub struct NameScope(PhantomData<*const ()>);

impl TypeNames {
    pub fn new(types: Arc<BTreeMap<ObjectId, Arc<TypeDefinition>>>, path: Vec<String>) -> Self {
        Self(Arc::new(Seen { types, path }))
    }

    /// Those that the thread has entered.
    pub fn current() -> Option<Self> {
        ENTERED.with_borrow(|entered| entered.last().cloned())
    }

    pub fn enter(&self) -> NameScope {
        ENTERED.with_borrow_mut(|entered| entered.push(self.clone()));
        NameScope(PhantomData)
    }

    /// Whether the name alone means the type.
    pub fn sees(&self, name: &ObjectName) -> bool {
        let named = |schema: &String| {
            let mut types = self.0.types.values();
            *schema == name.schema || types.any(|known| known.name.schema == *schema && known.name.name == name.name)
        };
        let is_hidden = SqlType::parse(&name.name).is_some();
        !is_hidden && self.0.path.iter().find(|schema| named(schema)) == Some(&name.schema)
    }
}

impl fmt::Debug for TypeNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypeNames").field(&self.0.path).finish()
    }
}

impl PartialEq for TypeNames {
    fn eq(&self, other: &Self) -> bool {
        self.0.path == other.0.path && Arc::ptr_eq(&self.0.types, &other.0.types)
    }
}

impl Drop for NameScope {
    fn drop(&mut self) {
        ENTERED.with_borrow_mut(|entered| drop(entered.pop()));
    }
}

/// A type's name, behind its schema where that has to be named.
pub fn shown_name(name: &ObjectName) -> String {
    match TypeNames::current() {
        Some(names) if names.sees(name) => quoted(&name.name),
        Some(_) => format!("{}.{}", quoted(&name.schema), quoted(&name.name)),
        None => settled_name(name),
    }
}

/// A type's name as plans have it, which is the same on every thread.
pub fn settled_name(name: &ObjectName) -> String {
    match name.schema.as_str() {
        "public" => quoted(&name.name),
        schema => format!("{}.{}", quoted(schema), quoted(&name.name)),
    }
}

fn quoted(name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.chars().all(|other| other.is_ascii_lowercase() || other.is_ascii_digit() || other == '_');
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
