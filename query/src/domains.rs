//! Domains: what they demand of values, compiled once for a statement and held against whole batches.
//!
//! A value of a domain is one of its base type, and plans know it for nothing else. What a domain demands is held against a table's
//! columns with the table's other rules (`row_rules`), and against what is cast:
//!
//!     'a@b'::email  ──annotate──▶  domain@16384('a@b'::text)  ──plan──▶  a function with the compiled rules, whose field names the domain
//!
//! Rules of the domain below come first, then those of its own by name; NULL is refused before all of them.

use crate::bound_expressions::{plan_bound, volatility};
use crate::error::{ErrorKind, QueryError};
use crate::planner::Planning;
use crate::row_rules::{Violation, evaluated, mistyped};
use crate::scan::external;
use crate::statement_grammar::fold;
use crate::syntax_walks::walk_mut;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use catalog::definition::{Column, ObjectName, TableDefinition};
use catalog::ids::{ColumnId, ObjectId};
use catalog::sql_type::DOMAIN_KEY;
use catalog::type_names::{TypeNames, shown_name};
use catalog::user_type::{DomainDefinition, TypeDefinition};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::sql::sqlparser::ast::{self, VisitorMut};
use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

/// What a domain's constraints call the value.
pub(crate) const VALUE: &str = "value";
/// Before the OID in the name of the function that a cast to a domain becomes.
const PREFIX: &str = "domain@";

thread_local! {
    /// The domains whose rules are being compiled, of which each may cast to others.
    static COMPILING: RefCell<Vec<ObjectId>> = const { RefCell::new(Vec::new()) };
}

/// What a domain demands of values.
#[derive(Clone, Debug)]
pub(crate) struct DomainRules {
    name: ObjectName,
    /// What errors call it.
    names: TypeNames,
    not_null: bool,
    checks: Vec<(String, Arc<dyn PhysicalExpr>)>,
    /// Of one column, the value.
    schema: SchemaRef,
    volatility: Volatility,
}

/// The table of one column over which a domain's constraints are planned.
pub(crate) fn value_table(domain: &DomainDefinition) -> TableDefinition {
    let value = Column { digits: domain.digits, ..Column::new(ColumnId(1), VALUE, domain.sql_type.clone()) };
    TableDefinition::new(ObjectId(0), ObjectName::new("", VALUE), vec![value])
}

impl DomainRules {
    pub(crate) fn compile(planning: &Planning, domain: ObjectId) -> std::result::Result<Self, QueryError> {
        let is_within = COMPILING.with_borrow(|compiling| compiling.contains(&domain));
        let definition = planning.snapshot.types.get(&domain).ok_or_else(|| missing(domain))?;
        if is_within {
            let message = format!("the constraints of domain {} lead back to it", shown_name(&definition.name));
            return Err(QueryError::new(ErrorKind::StatementTooComplex, message));
        }
        COMPILING.with_borrow_mut(|compiling| compiling.push(domain));
        let compiled = Self::compile_all(planning, definition);
        COMPILING.with_borrow_mut(|compiling| compiling.pop());
        compiled
    }

    fn compile_all(planning: &Planning, definition: &TypeDefinition) -> std::result::Result<Self, QueryError> {
        let base = definition.domain().ok_or_else(|| missing(definition.id))?;
        let table = value_table(base);
        let mut rules = Self {
            name: definition.name.clone(),
            names: planning.known_types().names(),
            not_null: false,
            checks: Vec::new(),
            schema: crate::bound_expressions::nullable_schema(&table),
            volatility: Volatility::Immutable,
        };
        for domain in chain(planning, definition) {
            rules.not_null |= domain.not_null;
            let mut checks: Vec<_> = domain.checks.iter().collect();
            checks.sort_by(|left, right| left.name.cmp(&right.name));
            for check in checks {
                let planned = plan_bound(planning, &table, &check.expression)?;
                rules.volatility = most_volatile(rules.volatility, volatility(&planned.value));
                rules.checks.push((check.name.clone(), planned.physical()?));
            }
        }
        Ok(rules)
    }

    pub(crate) fn is_immutable(&self) -> bool {
        self.volatility == Volatility::Immutable
    }

    /// Whether no value breaks them.
    pub(crate) fn is_empty(&self) -> bool {
        !self.not_null && self.checks.is_empty()
    }

    /// What errors call types.
    pub(crate) fn names(&self) -> &TypeNames {
        &self.names
    }

    /// The same for a session that sees other names.
    pub(crate) fn told_by(&self, names: TypeNames) -> Self {
        Self { names, ..self.clone() }
    }

    fn shown_name(&self) -> String {
        let _names = self.names.enter();
        shown_name(&self.name)
    }

    /// Fails for the first value that breaks a rule.
    pub(crate) fn check(&self, values: &ArrayRef) -> std::result::Result<(), Violation> {
        if self.not_null && values.null_count() > 0 {
            let row = (0..values.len()).find(|row| values.is_null(*row)).unwrap_or(0);
            let message = format!("domain {} does not allow null values", self.shown_name());
            return Err(Violation { row, domain: None, error: QueryError::new(ErrorKind::NotNullViolation, message) });
        }
        if self.checks.is_empty() || values.is_empty() {
            return Ok(());
        }
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), vec![Arc::clone(values)]);
        let rows = rows.map_err(|error| mistyped(&error))?;
        let mut first: Option<(usize, &String)> = None;
        for (name, check) in &self.checks {
            let passes = evaluated(check, &rows)?;
            let passes = passes.as_boolean();
            let broken = (0..passes.len()).find(|row| passes.is_valid(*row) && !passes.value(*row));
            if let Some(row) = broken.filter(|row| first.is_none_or(|(known, _)| *row < known)) {
                first = Some((row, name));
            }
        }
        first.map_or(Ok(()), |(row, name)| Err(Violation { row, domain: None, error: self.violated(name) }))
    }

    fn violated(&self, check: &str) -> QueryError {
        let name = self.shown_name();
        let message = format!("value for domain {name} violates check constraint \"{check}\"");
        let error = QueryError::new(ErrorKind::CheckViolation, message);
        QueryError { constraint: Some(check.to_string()), schema: Some(self.name.schema.clone()), ..error }
    }
}

fn missing(domain: ObjectId) -> QueryError {
    QueryError::new(ErrorKind::Internal, format!("type {domain} is no domain"))
}

/// The domain at the bottom first.
fn chain<'a>(planning: &'a Planning, definition: &'a TypeDefinition) -> Vec<&'a DomainDefinition> {
    let mut found = Vec::new();
    let mut next = definition.domain();
    while let Some(domain) = next {
        found.push(domain);
        let below = domain.over.as_ref().and_then(|below| planning.snapshot.types.get(&below.id));
        next = below.and_then(|below| below.domain());
    }
    found.reverse();
    found
}

fn most_volatile(left: Volatility, right: Volatility) -> Volatility {
    match (left, right) {
        (Volatility::Volatile, _) | (_, Volatility::Volatile) => Volatility::Volatile,
        (Volatility::Stable, _) | (_, Volatility::Stable) => Volatility::Stable,
        _ => Volatility::Immutable,
    }
}

/// What the call that checks a cast value is named.
pub(crate) fn cast_name(domain: ObjectId) -> String {
    format!("{PREFIX}{domain}")
}

/// The function of that name, if it is that of a domain.
pub(crate) fn cast_function(planning: &Planning, name: &str) -> Option<Arc<ScalarUDF>> {
    let domain = ObjectId(name.strip_prefix(PREFIX)?.parse().ok()?);
    let rules = DomainRules::compile(planning, domain);
    let volatility = rules.as_ref().map_or(Volatility::Immutable, |rules| rules.volatility);
    let signature = Signature::any(1, volatility);
    let version = planning.snapshot.types.get(&domain).map_or(0, |known| known.version);
    let cast = DomainCast { name: name.to_string(), domain, version, rules: rules.map(Arc::new), signature };
    Some(Arc::new(ScalarUDF::new_from_impl(cast)))
}

/// A value as one of a domain, if it is one.
#[derive(Debug)]
struct DomainCast {
    name: String,
    domain: ObjectId,
    version: u32,
    rules: std::result::Result<Arc<DomainRules>, QueryError>,
    signature: Signature,
}

impl PartialEq for DomainCast {
    fn eq(&self, other: &Self) -> bool {
        (self.domain, self.version) == (other.domain, other.version)
    }
}

impl Eq for DomainCast {}

impl Hash for DomainCast {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.domain, self.version).hash(state);
    }
}

impl ScalarUDFImpl for DomainCast {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(format!("{}::{}", args[0].schema_name(), self.name))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("a domain's type depends on its field")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let Err(error) = &self.rules {
            return Err(external(error.clone()));
        }
        Ok(Arc::new(of_domain(&args.arg_fields[0], self.domain)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rules = self.rules.as_ref().map_err(|error| external(error.clone()))?;
        let value = args.args.into_iter().next();
        let Some(value) = value else { return internal_err!("a cast to a domain has a value") };
        if args.number_rows > 0 && !rules.is_empty() {
            let values = match &value {
                ColumnarValue::Scalar(value) => value.to_array_of_size(1)?,
                ColumnarValue::Array(values) => Arc::clone(values),
            };
            rules.check(&values).map_err(|violation| external(violation.error))?;
        }
        Ok(value)
    }
}

/// The field of a value that belongs to a domain.
fn of_domain(value: &Field, domain: ObjectId) -> Field {
    let mut metadata = value.metadata().clone();
    metadata.insert(DOMAIN_KEY.to_string(), domain.to_string());
    Field::new(value.name(), value.data_type().clone(), true).with_metadata(metadata)
}

/// The domain that a field's values belong to.
pub(crate) fn domain_of(field: &Field) -> Option<ObjectId> {
    field.metadata().get(DOMAIN_KEY)?.parse().ok().map(ObjectId)
}

/// A constraint as PostgreSQL shows it.
pub(crate) fn with_value_in_capitals(mut expression: ast::Expr) -> ast::Expr {
    replace_value(&mut expression, &ast::Ident::new(VALUE.to_uppercase()));
    expression
}

/// Puts another name into the places of VALUE.
pub(crate) fn replace_value(expression: &mut ast::Expr, name: &ast::Ident) {
    struct Values<'a>(&'a ast::Ident);
    impl VisitorMut for Values<'_> {
        type Break = ();

        fn post_visit_expr(&mut self, expression: &mut ast::Expr) -> ControlFlow<()> {
            if let ast::Expr::Identifier(name) = expression
                && fold(name) == VALUE
            {
                *expression = ast::Expr::Identifier(self.0.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let _ = walk_mut(expression, &mut Values(name));
}
