//! Functions that PostgreSQL's clients call and DataFusion does not have: about the catalog, the session and a few values.
//!
//! A function here is a row of a table: name, number of arguments, result type, and a body over [`Value`]s that may look at the
//! [`SessionFacts`] of its statement. Catalog queries are small, so bodies see one row at a time. The facts are
//! captured once per statement; a plan that is kept for another statement must be made again with new ones.
//!
//!     session.rs   version(), current_user, settings, privileges, what the server is doing
//!     objects.rs   definitions, comments, sizes and visibility of tables, types and functions
//!     names.rs     regclass and its kin: names to OIDs and back
//!     sequences.rs nextval and its kin
//!     plain.rs     empty arrays, types and collations of values
//!     aggregates.rs, quotients.rs, statistics/   sums, averages, quotients, variances as PostgreSQL has them; extrema.rs, ordered_sets.rs
//!
//! Errors leave as `DataFusionError::External` around a [`QueryError`].

pub mod aggregates;
pub(crate) mod array_aggregates;
mod array_searches;
mod array_sets;
pub(crate) mod arrays;
pub(crate) mod best_of_two;
pub(crate) mod bits;
mod bytes;
mod checked_sums;
pub(crate) mod clocks;
pub(crate) mod coalescing;
pub(crate) mod concatenation;
mod distinct;
mod encodings;
mod enums;
pub(crate) mod excluded_frames;
mod extrema;
mod float_digits;
pub(crate) mod float_keys;
mod float_sum;
mod float_sums;
mod formatting;
mod identifiers;
pub(crate) mod json;
mod magnitudes;
mod mathematics;
pub(crate) mod moments;
mod names;
mod numeric_powers;
pub(crate) mod numerics;
mod objects;
mod ordered_sets;
pub(crate) mod overload;
mod patterns;
mod percentiles;
pub(crate) mod percentiles_at;
mod plain;
pub(crate) mod products;
pub(crate) mod quotients;
mod quoting;
pub(crate) mod random;
pub(crate) mod rounding;
pub(crate) mod sampling;
mod sequences;
pub(crate) mod series;
pub(crate) mod series_table;
mod session;
mod sizes;
mod sliding;
mod statistics;
pub(crate) mod string_aggregate;
mod strings;
pub(crate) mod typed_input;
pub(crate) mod unicode;
pub(crate) mod values;
pub(crate) mod variadic;
mod wide;
pub(crate) mod windows;

pub use names::{RegisteredKind, registered_name, registered_names, registered_oid};
pub(crate) use names::{quote_identifier, split_identifiers};
pub use random::RandomNumbers;
pub use sequences::SequenceNumbers;
pub(crate) use statistics::signed_sums;

use crate::error::QueryError;
use crate::notifications::Announcements;
use crate::operators::casts::expression_field;
use crate::pg_catalog::{Value, to_array};
use crate::temporary;
use crate::types::Zone;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use arrow::util::display::array_value_to_string;
use catalog::enum_type::EnumType;
use catalog::ids::ObjectId;
use catalog::snapshot::Snapshot;
use catalog::sql_type::{SqlType, TYPE_KEY};
use catalog::type_names::TypeNames;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

/// The session's settings, for `current_setting` and `set_config`.
pub trait SessionSettings: Send + Sync + fmt::Debug {
    /// The value as SHOW prints it; `None` for a setting that does not exist.
    fn get(&self, name: &str) -> Option<String>;
    /// Sets a value, until the transaction's end where `is_local`; returns the value as it was understood. Without a value it is
    /// the one that the session began with.
    fn set(&self, name: &str, value: Option<&str>, is_local: bool) -> std::result::Result<String, QueryError>;
}

/// The sessions of the server, for the functions that name one by its process id.
pub trait Backends: Send + Sync + fmt::Debug {
    /// Ends what a session does at the moment; false where there is no such session.
    fn cancel(&self, process_id: i32) -> bool;
    /// Ends a session and its connection; false where there is no such session.
    fn terminate(&self, process_id: i32) -> bool;
    /// The text of the statement that a session runs or ran last.
    fn statement(&self, process_id: i32) -> Option<String>;
}

/// What functions may know of the session that they are called in, captured for one statement.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    pub snapshot: Arc<Snapshot>,
    pub database: String,
    pub user: String,
    /// As it is set, `"$user"` included.
    pub search_path: Vec<String>,
    pub process_id: i32,
    /// What `version()` says: `PostgreSQL 15.20 (Meridian 0.1.0) on …`.
    pub version: String,
    /// The client's end of its connection, and the server's.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    pub server_started_at_micros: i64,
    pub settings_loaded_at_micros: i64,
    pub statement_began_micros: i64,
    pub settings: Arc<dyn SessionSettings>,
    pub backends: Arc<dyn Backends>,
    pub sequences: Arc<dyn SequenceNumbers>,
    /// Where `pg_notify` leaves what the transaction announces.
    pub(crate) announcements: Arc<Mutex<Announcements>>,
    pub random: Arc<RandomNumbers>,
}

impl SessionFacts {
    /// The name of a relation, qualified where the search path does not lead to it.
    pub(crate) fn class_name(&self, id: ObjectId) -> String {
        names::class_name(self, id.0.into())
    }

    /// The OID of the relation that a text names, as `regclass` reads it.
    pub(crate) fn class_named(&self, name: &str) -> std::result::Result<i64, QueryError> {
        Ok(names::read_class(self, &name.into())?.as_int().unwrap_or(0))
    }

    /// The schema of the session's temporary objects, if it has one.
    fn temporary_schema(&self) -> Option<&str> {
        self.snapshot.temporary.as_ref().map(|schema| schema.name.as_str())
    }

    /// The schema that a name means.
    fn schema_named<'a>(&'a self, name: &'a str) -> &'a str {
        self.temporary_schema().filter(|_| name == temporary::ALIAS).unwrap_or(name)
    }

    /// That schema where it is looked up without being named in the search path.
    fn implicit_temporary_schema(&self) -> Option<&str> {
        let own = self.temporary_schema()?;
        let named = self.search_path.iter().any(|schema| schema == temporary::ALIAS || schema == own);
        (!named).then_some(own)
    }

    /// The schemas that unqualified names of relations and of the user's types are looked up in.
    pub fn lookup_path(&self) -> Vec<String> {
        let implicit = self.implicit_temporary_schema().map(str::to_string);
        implicit.into_iter().chain(self.effective_path(false)).collect()
    }

    /// What errors and functions call the user's types.
    pub(crate) fn type_names(&self) -> TypeNames {
        TypeNames::new(Arc::clone(&self.snapshot.types), self.lookup_path())
    }

    /// The search path, schemas that exist; with those that stand first in it unless it names them: the session's temporary one and
    /// `pg_catalog`.
    pub fn effective_path(&self, with_implicit: bool) -> Vec<String> {
        let mut path: Vec<String> = Vec::new();
        path.extend(self.implicit_temporary_schema().filter(|_| with_implicit).map(str::to_string));
        let implicit = with_implicit && !self.search_path.iter().any(|schema| schema == "pg_catalog");
        path.extend(implicit.then(|| "pg_catalog".to_string()));
        for schema in &self.search_path {
            let schema = if schema == "$user" { &self.user } else { schema };
            let own = self.temporary_schema().filter(|_| schema == temporary::ALIAS).map(str::to_string);
            let schema = own.as_ref().unwrap_or(schema);
            // The owner's role is called like a schema of the catalog, whose relations must not hide anybody's tables.
            let own_name = *schema == self.user && crate::pg_catalog::is_system_schema(schema);
            let exists = !own_name && crate::pg_catalog::namespace_oid(&self.snapshot, schema).is_some();
            if exists && !path.contains(schema) {
                path.push(schema.clone());
            }
        }
        path
    }
}

type Body = fn(&SessionFacts, &[Value]) -> std::result::Result<Value, QueryError>;

/// What a function is, apart from the session.
#[derive(Clone, Debug)]
struct Definition {
    name: &'static str,
    arguments_min: usize,
    arguments_max: usize,
    result: SqlType,
    /// NULL for any NULL argument, without calling the body.
    strict: bool,
    volatility: Volatility,
    body: Body,
}

impl Definition {
    /// A function that is NULL for a NULL argument and does not change within a statement.
    fn new(name: &'static str, arguments: std::ops::RangeInclusive<usize>, result: SqlType, body: Body) -> Self {
        let (arguments_min, arguments_max) = arguments.into_inner();
        Self { name, arguments_min, arguments_max, result, strict: true, volatility: Volatility::Stable, body }
    }

    fn called_on_null(mut self) -> Self {
        self.strict = false;
        self
    }

    fn volatile(mut self) -> Self {
        self.volatility = Volatility::Volatile;
        self
    }
}

/// The field of a result: an OID alias is a number that remembers what it is; see `pg_catalog::name_registered_objects`.
fn result_field(name: &str, result: &SqlType) -> Field {
    match result {
        SqlType::Reg(_) => Field::new(name, DataType::Int64, true)
            .with_metadata(HashMap::from([(TYPE_KEY.to_string(), result.to_string())])),
        other => expression_field(other).with_name(name),
    }
}

/// A function of this module as DataFusion calls it.
struct CatalogFunction {
    definition: Definition,
    signature: Signature,
    facts: Arc<SessionFacts>,
}

impl CatalogFunction {
    fn new(definition: Definition, facts: &Arc<SessionFacts>) -> Self {
        let signature = if definition.arguments_max == 0 {
            Signature::nullary(definition.volatility)
        } else if definition.arguments_min == 0 {
            Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], definition.volatility)
        } else {
            Signature::variadic_any(definition.volatility)
        };
        Self { definition, signature, facts: Arc::clone(facts) }
    }

    fn row(&self, args: &[Value]) -> Result<Value> {
        if self.definition.strict && args.contains(&Value::Null) {
            return Ok(Value::Null);
        }
        (self.definition.body)(&self.facts, args).map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

impl fmt::Debug for CatalogFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.definition.name)
    }
}

/// Two functions are the same if they have the same name and the same session at the same snapshot.
impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name && Arc::ptr_eq(&self.facts, &other.facts)
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(result_field(self.name(), &self.definition.result).data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let count = args.arg_fields.len();
        if count < self.definition.arguments_min || count > self.definition.arguments_max {
            return exec_err!("function {} does not take {count} arguments", self.name());
        }
        Ok(Arc::new(result_field(self.name(), &self.definition.result)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let constant = scalar && self.definition.volatility != Volatility::Volatile;
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let mut results = Vec::with_capacity(rows);
        for row in 0..rows {
            let values: Vec<Value> = arrays.iter().map(|array| value_at(array, row)).collect();
            results.push(self.row(&values)?);
        }
        let array = to_array(&result_field(self.name(), &self.definition.result), &results);
        if constant {
            return constant_value(&array).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// The only value of an array. `try_from_array` would forget the metadata of a list's items.
pub(crate) fn constant_value(array: &ArrayRef) -> Result<ScalarValue> {
    match array.as_list_opt::<i32>() {
        Some(list) => Ok(ScalarValue::List(Arc::new(list.clone()))),
        None => ScalarValue::try_from_array(array, 0),
    }
}

/// One value of an array. What has no counterpart among [`Value`]s is its text.
fn value_at(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    macro_rules! primitive {
        ($kind:ty) => {
            array.as_primitive::<$kind>().value(row)
        };
    }
    use arrow::datatypes as t;
    match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int8 => Value::Int(primitive!(t::Int8Type).into()),
        DataType::Int16 => Value::Int(primitive!(t::Int16Type).into()),
        DataType::Int32 => Value::Int(primitive!(t::Int32Type).into()),
        DataType::Int64 => Value::Int(primitive!(t::Int64Type)),
        DataType::UInt8 => Value::Int(primitive!(t::UInt8Type).into()),
        DataType::UInt16 => Value::Int(primitive!(t::UInt16Type).into()),
        DataType::UInt32 => Value::Int(primitive!(t::UInt32Type).into()),
        DataType::UInt64 => Value::Int(primitive!(t::UInt64Type) as i64),
        DataType::Float32 => Value::Float(primitive!(t::Float32Type).into()),
        DataType::Float64 => Value::Float(primitive!(t::Float64Type)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let number = primitive!(t::TimestampMicrosecondType);
            match EnumType::of_data_type(array.data_type()) {
                Some(known) => known.label_at(number).map_or(Value::Null, |label| label.name.as_str().into()),
                None => Value::Int(number),
            }
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        DataType::Utf8View => array.as_string_view().value(row).into(),
        DataType::LargeBinary => String::from_utf8_lossy(array.as_binary::<i64>().value(row)).into_owned().into(),
        DataType::List(_) => list_value(&array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list_value(&array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => list_value(&array.as_fixed_size_list().value(row)),
        _ => array_value_to_string(array, row).map_or(Value::Null, Value::Text),
    }
}

fn list_value(items: &ArrayRef) -> Value {
    Value::List((0..items.len()).map(|row| value_at(items, row)).collect())
}

/// The functions that need no session, by topic. They replace DataFusion's of the same name.
pub(crate) fn typed_functions() -> Vec<Arc<ScalarUDF>> {
    let topics = [
        moments::functions(),
        formatting::functions(),
        strings::functions(),
        encodings::functions(),
        patterns::functions(),
        mathematics::functions(),
        magnitudes::functions(),
        numeric_powers::functions(),
        json::functions(),
        numerics::functions(),
        arrays::functions(),
        array_searches::functions(),
        array_sets::functions(),
        best_of_two::functions(),
        series::functions(),
        bits::functions(),
        bytes::functions(),
        unicode::functions(),
        identifiers::functions(),
        sizes::functions(),
        values::functions(),
        clocks::functions(),
    ];
    let mut by_name: BTreeMap<&'static str, overload::Function> = BTreeMap::new();
    for function in topics.into_iter().flatten() {
        match by_name.remove(function.name) {
            Some(known) => by_name.insert(function.name, known.joined(function)),
            None => by_name.insert(function.name, function),
        };
    }
    let typed = by_name.into_values().map(overload::Function::into_udf);
    let generic = rounding::functions().into_iter().chain(concatenation::functions()).chain(json::generic_functions());

    let of_any = values::variadic_functions()
        .into_iter()
        .chain(clocks::sleeps())
        .chain(quoting::functions())
        .chain(enums::functions());
    typed
        .chain(generic)
        .chain(of_any)
        .chain(percentiles_at::functions())
        .chain([formatting::to_number(), numerics::trim_scale(), sampling::function()])
        .collect()
}

/// A function of any arguments for the session's time zone; `None` where the zone has no say or the function has overloads.
pub(crate) fn in_zone(function: &ScalarUDF, zone: Zone) -> Option<Arc<ScalarUDF>> {
    let bound = concatenation::bound(function, zone).or_else(|| json::bound(function, zone));
    bound.or_else(|| quoting::bound(function, zone)).or_else(|| variadic::bound(function, zone))
}

/// What the functions about a session do, by their names.
static DEFINITIONS: LazyLock<HashMap<&'static str, Definition>> = LazyLock::new(|| {
    let tables = [
        session::definitions(),
        objects::definitions(),
        names::definitions(),
        plain::definitions(),
        sequences::definitions(),
    ];
    tables.into_iter().flatten().map(|definition| (definition.name, definition)).collect()
});

/// A function about a session, by its name, for one statement. It takes precedence over DataFusion's of the same name. Two of the
/// same name and statement are equal.
pub fn session_function(name: &str, facts: &Arc<SessionFacts>) -> Option<Arc<ScalarUDF>> {
    if let Some(definition) = DEFINITIONS.get(name) {
        return Some(Arc::new(ScalarUDF::from(CatalogFunction::new(definition.clone(), facts))));
    }
    let others = plain::generic_functions().into_iter().chain(random::functions(&facts.random));
    others.chain([sequences::nextval(facts)]).find(|function| function.name() == name)
}
