//! Row rules: what a table demands of its rows, compiled once and held against whole batches.
//!
//! ```text
//! columns ─▶ lengths, digits, domains ─▶ generated columns ─▶ NOT NULL ─▶ CHECK ─▶ batch in the table's schema
//! ```
//!
//! PostgreSQL checks row by row. So of several rows that break a rule the first is told, and of several rules that a row breaks the
//! first in this order: NOT NULL by column, then CHECK by name. Keys are not checked here; they need other rows.

use crate::bound_expressions::{nullable_schema, plan_bound, volatility};
use crate::domains::DomainRules;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::functions::moments::rounded_moments;
use crate::planner::Planning;
use crate::types::{OutputStyle, cut_names, value_text};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::SchemaRef;
use catalog::definition::{Column, TableDefinition};
use catalog::ids::{ColumnId, ObjectId};
use catalog::sql_type::SqlType;
use catalog::user_type::TypeDefinition;
use datafusion::logical_expr::Volatility;
use datafusion::physical_plan::PhysicalExpr;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A value in a message is cut to so many bytes, as in PostgreSQL.
const SHOWN_BYTES_MAX: usize = 64;

/// A row that breaks a rule of its table.
#[derive(Debug)]
pub(crate) struct Violation {
    pub row: usize,
    /// The position of the column whose domain is broken, where it is one.
    pub domain: Option<usize>,
    pub error: QueryError,
}

/// The rules of one table's rows.
#[derive(Clone, Debug)]
pub(crate) struct RowRules {
    definition: Arc<TableDefinition>,
    /// The types that the rules mean.
    types: Arc<BTreeMap<ObjectId, Arc<TypeDefinition>>>,
    /// What the domains of columns demand, by position.
    domains: BTreeMap<usize, Arc<DomainRules>>,
    /// Columns that are computed from the others, by position.
    generated: Vec<(usize, Arc<dyn PhysicalExpr>)>,
    /// By name.
    checks: Vec<(String, Arc<dyn PhysicalExpr>)>,
    /// What generated columns and checks are computed over.
    nullable: SchemaRef,
    /// Whether they mean the same to every statement.
    is_immutable: bool,
    /// How the session shows the values of a row that breaks one of them.
    style: OutputStyle,
}

/// Compiled rules, by table; those that depend on the clock or the session are compiled for each statement.
#[derive(Debug, Default)]
pub(crate) struct KnownRules(Mutex<HashMap<ObjectId, Arc<RowRules>>>);

impl KnownRules {
    /// Forgets the rules of tables that are gone.
    pub(crate) fn retain(&self, exists: impl Fn(ObjectId) -> bool) {
        self.0.lock().retain(|id, _| exists(*id));
    }
}

impl RowRules {
    /// The rules of a table as it is defined now.
    pub(crate) fn of(planning: &Planning, definition: &Arc<TableDefinition>) -> Result<Arc<Self>, QueryError> {
        let known = &planning.engine.rules.0;
        if let Some(rules) = known.lock().get(&definition.id)
            && Arc::ptr_eq(&rules.definition, definition)
            && rules.mean_types(&planning.snapshot.types)
        {
            return Ok(rules.told_to(planning));
        }
        let rules = Arc::new(Self::compile(planning, definition)?);
        if rules.is_immutable && rules.has_expressions() {
            known.lock().insert(definition.id, Arc::clone(&rules));
        }
        Ok(rules)
    }

    pub(crate) fn compile(planning: &Planning, definition: &Arc<TableDefinition>) -> Result<Self, QueryError> {
        let mut is_immutable = true;
        let mut domains = BTreeMap::new();
        for (position, column) in definition.columns.iter().enumerate() {
            let Some(domain) = &column.domain else { continue };
            let rules = DomainRules::compile(planning, domain.id)?;
            is_immutable &= rules.is_immutable();
            if !rules.is_empty() {
                domains.insert(position, Arc::new(rules));
            }
        }
        let mut generated = Vec::new();
        for (position, column) in definition.columns.iter().enumerate() {
            let Some(bound) = &column.generated else { continue };
            let planned = plan_bound(planning, definition, bound)?.assigned_to(column)?;
            is_immutable &= volatility(&planned.value) == Volatility::Immutable;
            generated.push((position, planned.physical()?));
        }
        let checks = definition.checks.iter().map(|check| {
            let planned = plan_bound(planning, definition, &check.expression)?;
            is_immutable &= volatility(&planned.value) == Volatility::Immutable;
            Ok((check.name.clone(), planned.physical()?))
        });
        let mut checks = checks.collect::<Result<Vec<_>, QueryError>>()?;
        checks.sort_by(|left, right| left.0.cmp(&right.0));
        let (definition, nullable) = (Arc::clone(definition), nullable_schema(definition));
        let types = Arc::clone(&planning.snapshot.types);
        let style = planning.system.output_style();
        Ok(Self { definition, types, domains, generated, checks, nullable, is_immutable, style })
    }

    /// The same for a session, which is told of broken rules in its own style and by the names that it sees.
    fn told_to(self: &Arc<Self>, planning: &Planning) -> Arc<Self> {
        let style = planning.system.output_style();
        let names = (!self.domains.is_empty()).then(|| planning.known_types().names());
        let other_names = names.filter(|names| self.domains.values().any(|rules| rules.names() != names));
        if self.style == style && other_names.is_none() {
            return Arc::clone(self);
        }
        let mut told = Self { style, ..Self::clone(self) };
        if let Some(names) = other_names {
            told.domains.values_mut().for_each(|rules| *rules = Arc::new(rules.told_by(names.clone())));
        }
        Arc::new(told)
    }

    /// The same for rows of which only these columns are new: a domain demands nothing of what was there before.
    pub(crate) fn of_changed(self: &Arc<Self>, changed: impl Fn(ColumnId) -> bool) -> Arc<Self> {
        let is_changed = |position: &usize| {
            let column = &self.definition.columns[*position];
            column.generated.is_some() || changed(column.id)
        };
        if self.domains.keys().all(is_changed) {
            return Arc::clone(self);
        }
        let domains = self.domains.iter().filter(|(position, _)| is_changed(position));
        let domains = domains.map(|(position, rules)| (*position, Arc::clone(rules))).collect();
        Arc::new(Self { domains, ..Self::clone(self) })
    }

    /// Whether they were compiled for these types.
    pub(crate) fn mean_types(&self, types: &Arc<BTreeMap<ObjectId, Arc<TypeDefinition>>>) -> bool {
        Arc::ptr_eq(&self.types, types)
    }

    /// Whether something is computed for each row.
    pub(crate) fn has_expressions(&self) -> bool {
        !self.domains.is_empty() || !self.generated.is_empty() || !self.checks.is_empty()
    }

    /// Whether they mean the same to every statement.
    pub(crate) fn is_immutable(&self) -> bool {
        self.is_immutable
    }

    pub(crate) fn definition(&self) -> &Arc<TableDefinition> {
        &self.definition
    }

    /// The rows that `columns` are, in the table's exact schema. `columns` are all of the table's in its types; what stands in a generated
    /// column is replaced.
    pub(crate) fn checked(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch, Violation> {
        match self.checked_in_order(columns.clone()) {
            Err(violation) if violation.row > 0 => {
                // Another rule may be broken by a row before.
                let before = columns.iter().map(|array| array.slice(0, violation.row)).collect();
                Err(self.checked(before).err().unwrap_or(violation))
            }
            outcome => outcome,
        }
    }

    fn checked_in_order(&self, mut columns: Vec<ArrayRef>) -> Result<RecordBatch, Violation> {
        for (position, (column, array)) in self.definition.columns.iter().zip(&mut columns).enumerate() {
            fit_length(column, array)?;
            if column.generated.is_none() {
                self.check_domain(position, array)?;
            }
        }
        let batch = |columns: &[ArrayRef]| {
            RecordBatch::try_new(Arc::clone(&self.nullable), columns.to_vec()).map_err(|error| mistyped(&error))
        };
        for (position, expression) in &self.generated {
            let mut values = evaluated(expression, &batch(&columns)?)?;
            fit_length(&self.definition.columns[*position], &mut values)?;
            self.check_domain(*position, &values)?;
            columns[*position] = values;
        }
        self.check_nulls(&columns)?;
        if !self.checks.is_empty() {
            let rows = batch(&columns)?;
            for (name, expression) in &self.checks {
                let passes = evaluated(expression, &rows)?;
                let passes = passes.as_boolean();
                if let Some(row) = (0..passes.len()).find(|row| passes.is_valid(*row) && !passes.value(*row)) {
                    return Err(Violation { row, domain: None, error: self.check_violation(name, &columns, row) });
                }
            }
        }
        RecordBatch::try_new(self.definition.schema(), columns).map_err(|error| mistyped(&error))
    }

    /// The positions of columns whose domains demand something.
    pub(crate) fn domain_positions(&self) -> impl Iterator<Item = usize> {
        self.domains.keys().copied()
    }

    /// The first of the columns, each with its position, whose domain refuses the first row's value: the statement ends before that
    /// row is given a number.
    pub(crate) fn refused_at_once<'a>(
        &self,
        columns: impl IntoIterator<Item = (usize, &'a ArrayRef)>,
    ) -> Option<Violation> {
        for (position, array) in columns {
            let column = &self.definition.columns[position];
            if array.is_empty() || column.generated.is_some() || !self.domains.contains_key(&position) {
                continue;
            }
            let mut value = array.slice(0, 1);
            fit_length(column, &mut value).ok()?;
            if let Err(violation) = self.check_domain(position, &value) {
                return Some(violation);
            }
        }
        None
    }

    fn check_domain(&self, position: usize, values: &ArrayRef) -> Result<(), Violation> {
        match self.domains.get(&position) {
            Some(rules) => rules.check(values).map_err(|violation| Violation { domain: Some(position), ..violation }),
            None => Ok(()),
        }
    }

    /// The first row with a NULL where none may be, and of its columns the first.
    fn check_nulls(&self, columns: &[ArrayRef]) -> Result<(), Violation> {
        let first_null = |array: &ArrayRef| (0..array.len()).find(|row| array.is_null(*row)).unwrap_or(0);
        let refused = self.definition.columns.iter().zip(columns).enumerate();
        let refused = refused.filter(|(_, (column, array))| column.not_null && array.null_count() > 0);
        match refused.map(|(position, (_, array))| (first_null(array), position)).min() {
            None => Ok(()),
            Some((row, position)) => {
                Err(Violation { row, domain: None, error: self.null_violation(position, columns, row) })
            }
        }
    }

    fn null_violation(&self, position: usize, columns: &[ArrayRef], row: usize) -> QueryError {
        let (column, table) = (&self.definition.columns[position].name, &self.definition.name.name);
        let message = format!("null value in column \"{column}\" of relation \"{table}\" violates not-null constraint");
        self.violation(ErrorKind::NotNullViolation, message, columns, row).column(column)
    }

    fn check_violation(&self, name: &str, columns: &[ArrayRef], row: usize) -> QueryError {
        let table = &self.definition.name.name;
        let message = format!("new row for relation \"{table}\" violates check constraint \"{name}\"");
        let error = self.violation(ErrorKind::CheckViolation, message, columns, row);
        QueryError { constraint: Some(name.to_string()), ..error }
    }

    fn violation(&self, kind: ErrorKind, message: String, columns: &[ArrayRef], row: usize) -> QueryError {
        let error = QueryError::new(kind, message)
            .detail(format!("Failing row contains ({}).", self.shown_row(columns, row)))
            .table(&self.definition.name.name);
        QueryError { schema: Some(self.definition.name.schema.clone()), ..error }
    }

    /// A row's values as messages show them.
    fn shown_row(&self, columns: &[ArrayRef], row: usize) -> String {
        let values = self.definition.columns.iter().zip(columns).map(|(column, array)| {
            let text = value_text(array, row, &column.sql_type, &self.style).unwrap_or_else(|| "null".into());
            let text = match column.sql_type {
                SqlType::Bpchar { length: Some(length) } if array.is_valid(row) => {
                    format!("{text:<width$}", width = length as usize)
                }
                _ => text,
            };
            if text.len() <= SHOWN_BYTES_MAX {
                return text;
            }
            format!("{}...", &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)])
        });
        values.collect::<Vec<_>>().join(", ")
    }
}

pub(crate) fn mistyped(error: &arrow::error::ArrowError) -> Violation {
    Violation { row: 0, domain: None, error: QueryError::new(ErrorKind::DatatypeMismatch, error.to_string()) }
}

/// The values of an expression; where it fails, the first row that it fails for.
pub(crate) fn evaluated(expression: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<ArrayRef, Violation> {
    let compute = |rows: &RecordBatch| expression.evaluate(rows).and_then(|value| value.into_array(rows.num_rows()));
    let mut error = match compute(rows) {
        Ok(values) => return Ok(values),
        Err(error) => error,
    };
    // The first so many rows pass, the first so many fail.
    let (mut passes, mut fails) = (0, rows.num_rows());
    while passes + 1 < fails {
        let middle = passes.midpoint(fails);
        match compute(&rows.slice(0, middle)) {
            Ok(_) => passes = middle,
            Err(earlier) => (fails, error) = (middle, earlier),
        }
    }
    Err(Violation { row: fails.saturating_sub(1), domain: None, error: translate(error, None) })
}

/// What the column's type says of the length of texts and of the digits of times.
pub(crate) fn fit_length(column: &Column, array: &mut ArrayRef) -> Result<(), Violation> {
    match &column.sql_type {
        SqlType::Varchar { length_max: Some(limit) } => *array = within_length(column, array, *limit)?,
        SqlType::Bpchar { length } => *array = without_padding(column, array, *length)?,
        SqlType::Name => *array = cut_names(array),
        _ => {}
    }
    if let Some(digits) = column.digits {
        *array = rounded_moments(array, digits);
    }
    Ok(())
}

/// The texts of a varchar. What is too long by blanks at its end loses those that are too many.
fn within_length(column: &Column, array: &ArrayRef, limit: u32) -> Result<ArrayRef, Violation> {
    let limit = limit as usize;
    let Some(texts) = array.as_any().downcast_ref::<StringViewArray>() else { return Ok(Arc::clone(array)) };
    let end = |text: &str| if text.len() > limit { text.char_indices().nth(limit).map(|(end, _)| end) } else { None };
    let Some(first) = texts.iter().position(|text| text.is_some_and(|text| end(text).is_some())) else {
        return Ok(Arc::clone(array));
    };
    let too_long = |text: &str| end(text).is_some_and(|end| !text[end..].bytes().all(|byte| byte == b' '));
    if let Some(row) = (first..texts.len()).find(|row| texts.is_valid(*row) && too_long(texts.value(*row))) {
        let message = format!("value too long for type character varying({limit})");
        return Err(Violation {
            row,
            domain: None,
            error: QueryError::new(ErrorKind::StringTooLong, message).column(&column.name),
        });
    }
    let cut = texts.iter().map(|text| text.map(|text| &text[..end(text).unwrap_or(text.len())]));
    Ok(Arc::new(cut.collect::<StringViewArray>()))
}

/// The values of a `char(n)`, which are kept without the blanks at their end.
fn without_padding(column: &Column, array: &ArrayRef, length: Option<u32>) -> Result<ArrayRef, Violation> {
    let Some(texts) = array.as_any().downcast_ref::<StringViewArray>() else { return Ok(Arc::clone(array)) };
    let limit = length.map_or(usize::MAX, |length| length as usize);
    let kept: StringViewArray = texts.iter().map(|text| text.map(|text| text.trim_end_matches(' '))).collect();
    let long = |text: &str| text.len() > limit && text.chars().count() > limit;
    match kept.iter().position(|text| text.is_some_and(long)) {
        None => Ok(Arc::new(kept)),
        Some(row) => {
            let message = format!("value too long for type character({limit})");
            Err(Violation {
                row,
                domain: None,
                error: QueryError::new(ErrorKind::StringTooLong, message).column(&column.name),
            })
        }
    }
}
