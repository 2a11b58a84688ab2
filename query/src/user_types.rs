//! The user's types while a statement is planned.
//!
//! Types are looked up deep inside of planning, by rules that know nothing but OIDs and names: what `$1 = m` makes of its parameter,
//! what `mood` in a cast means. So who plans says for its thread which types there are:
//!
//!     let _known = planning.knows_types();        type_named("mood"), type_of_oid(16384), traits_of(16384)
//!
//! A type is found in the newest scope. Planning is never suspended, so a scope stays on its thread.

use crate::error::{ErrorKind, QueryError};
use crate::functions::overload::innermost;
use crate::pg_catalog::{self, TypeTraits};
use crate::statement::parse_definition;
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use catalog::definition::ObjectName;
use catalog::ids::ObjectId;
use catalog::sql_type::SqlType;
use catalog::type_names::{NameScope, TypeNames, shown_name};
use catalog::user_type::TypeDefinition;
use datafusion::logical_expr::Volatility;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::sql::sqlparser::ast::{self, DataType, Expr, Ident, VisitMut, VisitorMut};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// `pg_type.typcategory` of enums, and of arrays.
const ENUMS: u8 = b'E';
const ARRAYS: u8 = b'A';

/// The types of a snapshot, and the schemas in which a bare name is looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownTypes {
    pub types: Arc<BTreeMap<ObjectId, Arc<TypeDefinition>>>,
    /// Of which each has a type of its name, that of its rows.
    pub relations: Arc<BTreeMap<ObjectName, ObjectId>>,
    pub path: Vec<String>,
}

thread_local! {
    static KNOWN: RefCell<Vec<KnownTypes>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, its types are known on its thread, and shown by the names that the path finds them by.
#[must_use]
pub(crate) struct TypeScope {
    _names: NameScope,
}

impl KnownTypes {
    pub(crate) fn enter(self) -> TypeScope {
        let names = self.names().enter();
        KNOWN.with_borrow_mut(|known| known.push(self));
        TypeScope { _names: names }
    }

    pub(crate) fn names(&self) -> TypeNames {
        TypeNames::new(Arc::clone(&self.types), self.path.clone())
    }

    /// The type that a name of one or two parts means.
    pub(crate) fn find(&self, name: &ast::ObjectName) -> Option<&Arc<TypeDefinition>> {
        self.look(name, |name| self.types.values().find(|known| known.name == *name))
    }

    /// What is found first of all that a name of one or two parts may mean.
    fn look<T>(&self, name: &ast::ObjectName, look: impl Fn(&ObjectName) -> Option<T>) -> Option<T> {
        let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
        match parts.as_slice() {
            [name] => self.path.iter().find_map(|schema| look(&ObjectName::new(schema, name))),
            [schema, name] => look(&ObjectName::new(schema, name)),
            _ => None,
        }
    }
}

impl Drop for TypeScope {
    fn drop(&mut self) {
        KNOWN.with_borrow_mut(|known| drop(known.pop()));
    }
}

fn in_scope<T>(look: impl FnOnce(&KnownTypes) -> Option<T>) -> Option<T> {
    KNOWN.with_borrow(|known| known.last().and_then(look))
}

/// The user's type of that name, which is no domain.
pub(crate) fn type_named(name: &ast::ObjectName) -> Option<SqlType> {
    in_scope(|known| known.find(name).filter(|found| found.domain().is_none()).map(|found| found.sql_type()))
}

/// The domain that a type's name means.
pub(crate) fn domain_named(data_type: &DataType) -> Result<Option<Arc<TypeDefinition>>, QueryError> {
    let DataType::Custom(name, modifiers) = data_type else { return Ok(None) };
    if is_built_in(name) {
        return Ok(None);
    }
    let found = in_scope(|known| known.find(name).filter(|found| found.domain().is_some()).cloned());
    match found {
        Some(found) if !modifiers.is_empty() => {
            let message = format!("type modifier is not allowed for type \"{}\"", found.name.name);
            Err(QueryError::new(ErrorKind::Syntax, message))
        }
        found => Ok(found),
    }
}

/// Whether a name is that of a relation, whose rows are of a type of its name.
pub(crate) fn is_row_type(name: &ast::ObjectName) -> bool {
    in_scope(|known| known.look(name, |name| known.relations.get(name).copied())).is_some()
}

/// The name of a domain as errors show it, where types are known.
pub(crate) fn domain_name(id: ObjectId) -> Option<String> {
    in_scope(|known| known.types.get(&id).map(|found| shown_name(&found.name)))
}

/// The type with an OID, PostgreSQL's or the user's.
pub(crate) fn type_of_oid(oid: u32) -> Option<SqlType> {
    SqlType::from_oid(oid).or_else(|| {
        in_scope(|known| {
            if let Some(found) = known.types.get(&ObjectId(oid)) {
                return Some(found.sql_type());
            }
            let element = known.types.values().find(|found| found.array.0 == oid)?;
            Some(SqlType::Array(Box::new(element.sql_type())))
        })
    })
}

/// What the rules for choosing among candidates know of a type.
pub(crate) fn traits_of(oid: u32) -> Option<TypeTraits> {
    pg_catalog::type_traits(oid).or_else(|| {
        in_scope(|known| {
            let plain = TypeTraits { category: ENUMS, is_preferred: false, element: None, array: None };
            if let Some(found) = known.types.get(&ObjectId(oid)).filter(|found| found.domain().is_none()) {
                return Some(TypeTraits { array: Some(found.array.0), ..plain });
            }
            let element = known.types.values().find(|found| found.array.0 == oid)?;
            Some(TypeTraits { category: ARRAYS, element: Some(element.id.0), ..plain })
        })
    })
}

/// Whether an OID is that of an enum.
pub(crate) fn is_enum(oid: u32) -> bool {
    in_scope(|known| known.types.get(&ObjectId(oid)).filter(|found| found.domain().is_none()).map(|_| ())).is_some()
}

/// The name of a type as errors show it.
pub(crate) fn shown(oid: u32) -> String {
    let of_user =
        in_scope(|known| known.types.values().find(|found| [found.id.0, found.array.0].contains(&oid)).cloned());
    match of_user {
        Some(known) if known.id.0 == oid => shown_name(&known.name),
        Some(known) => format!("{}[]", shown_name(&known.name)),
        None => pg_catalog::format_type(i64::from(oid), None),
    }
}

/// Whether a type is that of arrays of an enum or of times with a zone. Constants of it are computed by each execution: DataFusion
/// cannot show one, which it does with every constant of a plan.
pub(crate) fn is_tagged_array(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Array(_)) && matches!(innermost(sql_type), SqlType::Enum(_) | SqlType::TimeTz)
}

/// Whether a call is one of the functions that only claim to be volatile, so that arrays of enums are no constants of a plan.
pub(crate) fn is_kept_from_folding(call: &ScalarFunction) -> bool {
    matches!(call.func.name(), "cast" | "enum_range") && call.func.signature().volatility == Volatility::Volatile
}

/// The name of a type in syntax, which means it whatever the search path is.
pub(crate) fn spelling(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Array(item) => format!("{}[]", spelling(item)),
        SqlType::Enum(known) => {
            let ObjectName { schema, name } = &known.parts().name;
            format!("{}.{}", Ident::with_quote('"', schema), Ident::with_quote('"', name))
        }
        other => other.to_string(),
    }
}

/// Gives the user's types in the casts of a tree their schemas, so that they mean the same under every search path.
pub(crate) fn qualify<T: VisitMut>(tree: &mut T, known: &KnownTypes) {
    if known.types.is_empty() {
        return;
    }
    for_each_type_name(tree, &mut |name| {
        if let Some(found) = known.find(name).filter(|_| name.0.len() == 1) {
            *name = qualified_name(&found.name);
        }
    });
}

/// Whether a query's text has casts to a type.
pub(crate) fn uses(query: &str, name: &ObjectName) -> bool {
    let mut found = false;
    let _ = with_type_names(query, &mut |named| found |= is_called(named, name));
    found
}

/// Whether an expression's text has casts to a type.
pub(crate) fn uses_type(text: &str, name: &ObjectName) -> bool {
    let Ok(mut expression) = crate::bound_expressions::parse(text) else { return false };
    let mut found = false;
    for_each_type_name(&mut expression, &mut |named| found |= is_called(named, name));
    found
}

/// A query's text with casts to a type that has got another name.
pub(crate) fn renamed_in(query: &str, from: &ObjectName, to: &ObjectName) -> Result<String, QueryError> {
    if from == to {
        return Ok(query.to_string());
    }
    with_type_names(query, &mut |named| rename(named, from, to))
}

/// Gives a qualified name another one where it is that of a type.
pub(crate) fn rename(named: &mut ast::ObjectName, from: &ObjectName, to: &ObjectName) {
    if is_called(named, from) {
        *named = qualified_name(to);
    }
}

/// Whether a name in syntax is that of a type, with its schema.
pub(crate) fn is_called(named: &ast::ObjectName, name: &ObjectName) -> bool {
    let parts: Vec<String> = named.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
    parts == [name.schema.as_str(), name.name.as_str()]
}

fn qualified_name(name: &ObjectName) -> ast::ObjectName {
    ast::ObjectName::from([&name.schema, &name.name].map(|part| Ident::with_quote('"', part)).to_vec())
}

fn with_type_names(query: &str, show: &mut dyn FnMut(&mut ast::ObjectName)) -> Result<String, QueryError> {
    let mut query = parse_definition(query)?;
    for_each_type_name(query.as_mut(), show);
    Ok(query.to_string())
}

/// Shows the names of types that are not PostgreSQL's in the casts of a tree.
pub(crate) fn for_each_type_name<T: VisitMut>(tree: &mut T, show: &mut dyn FnMut(&mut ast::ObjectName)) {
    struct TypeNames<'a>(&'a mut dyn FnMut(&mut ast::ObjectName));
    impl VisitorMut for TypeNames<'_> {
        type Break = ();

        fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
            match expression {
                Expr::Cast { data_type, .. } => show_name(data_type, self.0),
                Expr::TypedString(typed) => show_name(&mut typed.data_type, self.0),
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let _ = walk_mut(tree, &mut TypeNames(show));
}

fn show_name(data_type: &mut DataType, show: &mut dyn FnMut(&mut ast::ObjectName)) {
    match data_type {
        DataType::Array(ast::ArrayElemTypeDef::SquareBracket(element, _)) => show_name(element, show),
        DataType::Custom(name, _) if !is_built_in(name) => show(name),
        _ => {}
    }
}

fn is_built_in(name: &ast::ObjectName) -> bool {
    crate::sql_types::built_in(name).is_some()
}

/// 42704, `type "moood" does not exist`.
pub(crate) fn missing(name: &str) -> QueryError {
    QueryError::new(ErrorKind::UndefinedObject, format!("type \"{name}\" does not exist"))
}
