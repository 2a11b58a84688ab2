//! Inference: the types of parameters that the client did not declare.
//!
//! PostgreSQL gives a parameter the type that the first context wants which it is met in, and every later occurrence
//! has that type from then on. So the order matters, and it is that of PostgreSQL's parse analysis: for each SELECT
//! its FROM, then the select list, then WHERE. Here it is done on a plan of open calls (see `open_call`), from the
//! inputs up, with the conditions of filters put off until the select list above them has been seen:
//!
//!     Projection: $1::bigint        2   $1 is bigint
//!       Filter: k = $1              3   integer = bigint, so $1 stays what it is
//!         SubqueryAlias: q          1
//!
//! What stands in a select list and is wanted by nobody is text, unless INSERT, UNION or VALUES know better. What
//! stands in no context at all, as in `$1 IS NULL`, is an error, even if another occurrence has a type.

use super::candidates::{ANY, Oid, UNKNOWN, common_type};
use super::contexts::{BIGINT, BOOLEAN, TEXT, function, wanted};
use super::value_lists::without_opening;
use crate::error::{ErrorKind, QueryError};
use crate::parameter_types::{Parameters, inconsistent, indeterminate, parameter_number};
use crate::pg_catalog::format_type;
use crate::scan::external;
use crate::set_operations::is_set_operation;
use crate::user_types::type_of_oid;
use arrow::datatypes::{DataType, Field};
use catalog::sql_type::SqlType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion, TreeNodeRewriter};
use datafusion::common::{DFSchema, DFSchemaRef, Result, ScalarValue};
use datafusion::logical_expr::expr::{Exists, InSubquery, Placeholder, SetComparison};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan, Subquery, Union, Values};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The type of paths into documents, which are texts here.
const JSONPATH: Oid = 4072;

/// What is known of a statement's parameters while its plan is walked.
#[derive(Debug)]
pub(crate) struct Inference {
    parameters: Parameters,
    /// By the parameters' numbers, from `$1` on.
    types: Vec<Option<SqlType>>,
    /// Parameters of which some occurrence was in no context.
    contextless: BTreeSet<usize>,
    /// For each SELECT around the current node the conditions of its filters, with the rows that they are about.
    conditions: Vec<Vec<(Expr, DFSchemaRef)>>,
}

impl Inference {
    /// Starts with what the client declared, and with parameters whose places say what they are.
    pub(crate) fn new(parameters: Parameters, declared: &[Option<SqlType>], placed: Vec<(usize, SqlType)>) -> Self {
        let mut types = declared.to_vec();
        types.resize(types.len().max(parameters.count()), None);
        for (number, sql_type) in placed {
            types[number - 1].get_or_insert(sql_type);
        }
        Self { parameters, types, contextless: BTreeSet::new(), conditions: Vec::new() }
    }

    /// The types of `$1` to `$n` in a statement, by its plan of open calls. Those are left open that do not stand in it.
    pub(crate) fn types(mut self, plan: LogicalPlan) -> Result<Vec<Option<SqlType>>> {
        self.query(plan)?;
        if let Some(number) = self.contextless.iter().find(|number| self.types[**number - 1].is_some()) {
            let error = QueryError { kind: ErrorKind::AmbiguousParameter, ..indeterminate(*number) };
            return Err(external(error.position(self.parameters.first_place(*number))));
        }
        let mut numbers = 1..=self.types.len();
        match numbers.find(|number| self.types[*number - 1].is_none() && self.parameters.occurs(*number)) {
            Some(number) => Err(external(indeterminate(number))),
            None => Ok(self.types),
        }
    }

    /// The arguments of a function in FROM as constants of their types; such a function is planned before its query is.
    pub(crate) fn constants(&mut self, called: &str, arguments: Vec<Expr>) -> Result<Vec<Expr>> {
        let schema = DFSchema::empty();
        let typed = arguments.into_iter().map(|argument| self.expression(argument, &schema));
        let typed = typed.collect::<Result<Vec<Expr>>>()?;
        let operands = typed.iter().map(|argument| operand(argument, &schema)).collect::<Vec<Oid>>();
        let declared = function(called, &operands).map_err(external)?;
        let constants = typed.into_iter().zip(declared).map(|(argument, to)| {
            let data_type = self.given(argument, to)?.get_type(&schema)?;
            Ok(Expr::Literal(ScalarValue::try_from(&data_type)?, None))
        });
        constants.collect()
    }

    /// A SELECT of its own; its columns have types in the end.
    fn query(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        self.conditions.push(Vec::new());
        let plan = plan.rewrite(self)?.data;
        self.end_of_select()?;
        self.with_outputs(plan, TEXT)
    }

    fn end_of_select(&mut self) -> Result<()> {
        for (condition, schema) in self.conditions.pop().unwrap_or_default() {
            let condition = self.expression(condition, &schema)?;
            self.given(condition, BOOLEAN)?;
        }
        Ok(())
    }

    fn node(&mut self, node: LogicalPlan) -> Result<LogicalPlan> {
        match node {
            LogicalPlan::SubqueryAlias(mut alias) => {
                self.end_of_select()?;
                alias.input = Arc::new(self.with_outputs(Arc::unwrap_or_clone(alias.input), TEXT)?);
                LogicalPlan::SubqueryAlias(alias).recompute_schema()
            }
            LogicalPlan::Filter(filter) => {
                let condition = (filter.predicate.clone(), Arc::clone(filter.input.schema()));
                if let Some(conditions) = self.conditions.last_mut() {
                    conditions.push(condition);
                }
                Ok(LogicalPlan::Filter(filter))
            }
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Join(mut join) if is_set_operation(&join) => {
                let sides = vec![join.left, join.right];
                let (mut sides, _) = self.meeting(sides)?;
                join.right = sides.remove(1);
                join.left = sides.remove(0);
                LogicalPlan::Join(join).recompute_schema()
            }
            LogicalPlan::RecursiveQuery(mut query) => {
                let (mut terms, _) = self.meeting(vec![query.static_term, query.recursive_term])?;
                query.recursive_term = terms.remove(1);
                query.static_term = terms.remove(0);
                LogicalPlan::RecursiveQuery(query).recompute_schema()
            }
            LogicalPlan::Values(values) => self.values(values),
            other => {
                let wanted = match &other {
                    LogicalPlan::Limit(_) => BIGINT,
                    LogicalPlan::Join(_) => BOOLEAN,
                    LogicalPlan::Aggregate(_) | LogicalPlan::Sort(_) | LogicalPlan::Distinct(_) => TEXT,
                    _ => ANY,
                };
                let schema = match &other {
                    LogicalPlan::Join(join) => join.left.schema().join(join.right.schema())?,
                    node => merge_schema(&node.inputs()),
                };
                let typed = other.map_expressions(|expression| {
                    let typed = self.expression(expression, &schema)?;
                    let typed = if wanted == ANY { typed } else { self.given(typed, wanted)? };
                    Ok(Transformed::yes(typed))
                })?;
                typed.data.recompute_schema()
            }
        }
    }

    // ---- expressions ----

    /// The expression with the types of its parameters, but for itself being one.
    fn expression(&mut self, expression: Expr, schema: &DFSchema) -> Result<Expr> {
        Ok(expression.transform_up(|part| self.part(part, schema).map(Transformed::yes))?.data)
    }

    /// A part of an expression whose own parts are done.
    fn part(&mut self, part: Expr, schema: &DFSchema) -> Result<Expr> {
        match part {
            Expr::Placeholder(Placeholder { id, .. }) => Ok(self.occurrence(id)),
            Expr::ScalarSubquery(subquery) => Ok(Expr::ScalarSubquery(self.subquery(subquery)?)),
            Expr::Exists(Exists { subquery, negated }) => {
                Ok(Expr::Exists(Exists { subquery: self.subquery(subquery)?, negated }))
            }
            Expr::InSubquery(within) => {
                let subquery = self.subquery(within.subquery)?;
                self.in_context(Expr::InSubquery(InSubquery { subquery, ..within }), schema)
            }
            Expr::SetComparison(comparison) => {
                let subquery = self.subquery(comparison.subquery)?;
                self.in_context(Expr::SetComparison(SetComparison { subquery, ..comparison }), schema)
            }
            // An alias is no context; what stands below it is an output.
            Expr::Alias(_) => Ok(part),
            other => self.in_context(other, schema),
        }
    }

    fn subquery(&mut self, mut subquery: Subquery) -> Result<Subquery> {
        subquery.subquery = Arc::new(self.query(Arc::unwrap_or_clone(subquery.subquery))?);
        Ok(subquery)
    }

    /// A parameter where it is met: with its type, if it has one by now.
    fn occurrence(&self, id: String) -> Expr {
        let known = parameter_number(&id).and_then(|number| self.types.get(number - 1)?.clone());
        let field = known.map(|sql_type| Arc::new(super::casts::expression_field(&sql_type)));
        Expr::Placeholder(Placeholder { id, field })
    }

    /// Gives the parameters among an expression's children what the expression wants of them.
    fn in_context(&mut self, expression: Expr, schema: &DFSchema) -> Result<Expr> {
        let mut operands = Vec::new();
        let mut open = false;
        expression.apply_children(|child| {
            open |= untyped(child).is_some();
            operands.push(operand(child, schema));
            Ok(TreeNodeRecursion::Continue)
        })?;
        if !open {
            return Ok(expression);
        }
        let mut wanted = wanted(&expression, &operands).map_err(external)?.into_iter();
        let given = expression.map_children(|child| {
            let to = wanted.next().unwrap_or(ANY);
            self.given(child, to).map(Transformed::yes)
        })?;
        Ok(given.data)
    }

    /// An expression that takes a type where it is a parameter without one.
    fn given(&mut self, expression: Expr, to: Oid) -> Result<Expr> {
        let Some(number) = untyped(&expression) else { return Ok(expression) };
        let place = self.parameters.last_place(number);
        self.given_at(expression, to, place)
    }

    /// The same for an occurrence at a place.
    fn given_at(&mut self, expression: Expr, to: Oid, place: Option<usize>) -> Result<Expr> {
        let Some(number) = untyped(&expression) else { return Ok(expression) };
        if to == ANY || to == UNKNOWN {
            self.contextless.insert(number);
            return Ok(expression);
        }
        // A path is a text until it is applied.
        let to = if to == JSONPATH { TEXT } else { to };
        let sql_type = type_of_oid(to).ok_or_else(|| {
            external(QueryError::unsupported(format!("a parameter of type {}", format_type(i64::from(to), None))))
        })?;
        match &self.types[number - 1] {
            Some(known) if known.oid() != sql_type.oid() => {
                let error = inconsistent(number, known, &sql_type);
                return Err(external(error.position(place)));
            }
            _ => self.types[number - 1] = Some(sql_type),
        }
        Ok(self.occurrence(format!("${number}")))
    }

    // ---- columns of queries ----

    /// A plan whose columns of unknown type have the given one.
    fn with_outputs(&mut self, plan: LogicalPlan, to: Oid) -> Result<LogicalPlan> {
        let columns = plan.schema().fields().len();
        self.with_output_types(plan, &vec![to; columns])
    }

    /// The same with a type for each column; [`ANY`] leaves it as it is.
    fn with_output_types(&mut self, plan: LogicalPlan, types: &[Oid]) -> Result<LogicalPlan> {
        let plan = match plan {
            LogicalPlan::Projection(mut projection) => {
                let mut below = vec![ANY; projection.input.schema().fields().len()];
                let mut given = Vec::with_capacity(projection.expr.len());
                for (expression, to) in projection.expr.into_iter().zip(types) {
                    if let Some(index) = column_index(&expression, projection.input.schema()) {
                        below[index] = *to;
                    }
                    given.push(self.output(expression, *to)?);
                }
                projection.expr = given;
                projection.input = self.input(projection.input, &below)?;
                LogicalPlan::Projection(projection)
            }
            LogicalPlan::Distinct(Distinct::On(mut distinct)) => {
                let given = distinct.select_expr.into_iter().zip(types).map(|(item, to)| self.output(item, *to));
                distinct.select_expr = given.collect::<Result<_>>()?;
                LogicalPlan::Distinct(Distinct::On(distinct))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                LogicalPlan::Distinct(Distinct::All(self.input(input, types)?))
            }
            LogicalPlan::Sort(mut sort) => {
                sort.input = self.input(sort.input, types)?;
                LogicalPlan::Sort(sort)
            }
            LogicalPlan::Limit(mut limit) => {
                limit.input = self.input(limit.input, types)?;
                LogicalPlan::Limit(limit)
            }
            LogicalPlan::Window(mut window) => {
                let count = window.input.schema().fields().len();
                window.input = self.input(window.input, &types[..count.min(types.len())])?;
                LogicalPlan::Window(window)
            }
            LogicalPlan::Subquery(mut lateral) => {
                lateral.subquery = self.input(lateral.subquery, types)?;
                LogicalPlan::Subquery(lateral)
            }
            LogicalPlan::Values(values) => return self.values_of(values, types),
            other => return Ok(other),
        };
        plan.recompute_schema()
    }

    fn input(&mut self, input: Arc<LogicalPlan>, types: &[Oid]) -> Result<Arc<LogicalPlan>> {
        if types.iter().all(|to| *to == ANY) {
            return Ok(input);
        }
        self.with_output_types(Arc::unwrap_or_clone(input), types).map(Arc::new)
    }

    /// An item of a select list with the type that it takes if it is a parameter without one.
    fn output(&mut self, item: Expr, to: Oid) -> Result<Expr> {
        match item {
            _ if to == ANY => Ok(item),
            Expr::Alias(mut alias) => {
                *alias.expr = self.output(*alias.expr, to)?;
                Ok(Expr::Alias(alias))
            }
            item => {
                // What nothing else has given a type comes to its turn last.
                let place = untyped(&item).and_then(|number| self.parameters.first_place(number));
                self.given_at(item, to, place)
            }
        }
    }

    fn union(&mut self, mut union: Union) -> Result<LogicalPlan> {
        let (inputs, types) = self.meeting(union.inputs)?;
        union.inputs = inputs;
        union.schema = with_types(&union.schema, &types)?;
        Ok(LogicalPlan::Union(union))
    }

    /// Queries whose rows come together, and the types of their columns.
    fn meeting(&mut self, queries: Vec<Arc<LogicalPlan>>) -> Result<(Vec<Arc<LogicalPlan>>, Vec<Oid>)> {
        let columns = queries.iter().map(|query| outputs(query)).collect::<Vec<_>>();
        let width = columns.iter().map(Vec::len).min().unwrap_or(0);
        let column = |index: usize| columns.iter().map(|types| types[index]).collect::<Vec<Oid>>();
        let types: Vec<Oid> = (0..width).map(|index| common_type(&column(index)).unwrap_or(TEXT)).collect();
        let queries = queries.into_iter().map(|query| self.input(query, &types));
        Ok((queries.collect::<Result<_>>()?, types))
    }

    fn values(&mut self, mut values: Values) -> Result<LogicalPlan> {
        let schema = DFSchema::empty();
        for row in &mut values.values {
            for value in row.iter_mut() {
                let known = std::mem::take(value).transform_down(without_opening)?.data;
                *value = self.expression(known, &schema)?;
            }
        }
        let types: Vec<Oid> = value_types(&values).iter().map(|to| if *to == UNKNOWN { ANY } else { *to }).collect();
        self.values_of(values, &types)
    }

    fn values_of(&mut self, mut values: Values, types: &[Oid]) -> Result<LogicalPlan> {
        for row in &mut values.values {
            for (value, to) in row.iter_mut().zip(types).filter(|(_, to)| **to != ANY) {
                *value = self.given(std::mem::take(value), *to)?;
            }
        }
        values.schema = with_types(&values.schema, &value_types(&values))?;
        Ok(LogicalPlan::Values(values))
    }
}

impl TreeNodeRewriter for Inference {
    type Node = LogicalPlan;

    fn f_down(&mut self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        if matches!(node, LogicalPlan::SubqueryAlias(_)) {
            self.conditions.push(Vec::new());
        }
        Ok(Transformed::no(node))
    }

    fn f_up(&mut self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        self.node(node).map(Transformed::yes)
    }
}

/// The number of a parameter that has no type yet.
fn untyped(expression: &Expr) -> Option<usize> {
    match expression {
        Expr::Placeholder(Placeholder { id, field: None }) => parameter_number(id),
        _ => None,
    }
}

/// The type of an expression whose parts are done; a column is never of unknown type.
pub(super) fn operand(expression: &Expr, schema: &DFSchema) -> Oid {
    match expression {
        Expr::Alias(alias) => return operand(&alias.expr, schema),
        Expr::Placeholder(Placeholder { field: None, .. })
        | Expr::Literal(ScalarValue::Null | ScalarValue::Utf8(_), None) => return UNKNOWN,
        _ => {}
    }
    let Ok((_, field)) = expression.to_field(schema) else { return UNKNOWN };
    let is_column = matches!(expression, Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::ScalarSubquery(_));
    match field.data_type() {
        DataType::Null if is_column => TEXT,
        DataType::Null => UNKNOWN,
        _ => SqlType::from_field(&field).map_or(UNKNOWN, |known| known.oid()),
    }
}

/// The position below of the column that an item shows.
fn column_index(item: &Expr, schema: &DFSchema) -> Option<usize> {
    match item {
        Expr::Alias(alias) => column_index(&alias.expr, schema),
        Expr::Column(column) => schema.maybe_index_of_column(column),
        _ => None,
    }
}

/// The types of a query's columns, of which those may be unknown that are literals and parameters.
fn outputs(plan: &LogicalPlan) -> Vec<Oid> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let below = outputs(&projection.input);
            let schema = projection.input.schema();
            let shown = |item: &Expr| match column_index(item, schema) {
                Some(index) => below[index],
                None => operand(item, schema),
            };
            projection.expr.iter().map(shown).collect()
        }
        LogicalPlan::Distinct(Distinct::On(distinct)) => {
            distinct.select_expr.iter().map(|item| operand(item, distinct.input.schema())).collect()
        }
        LogicalPlan::Distinct(Distinct::All(input)) => outputs(input),
        LogicalPlan::Sort(sort) => outputs(&sort.input),
        LogicalPlan::Limit(limit) => outputs(&limit.input),
        LogicalPlan::Subquery(lateral) => outputs(&lateral.subquery),
        LogicalPlan::Values(values) => value_types(values),
        other => other.schema().fields().iter().map(|field| column_type(field)).collect(),
    }
}

fn column_type(field: &Field) -> Oid {
    match field.data_type() {
        DataType::Null => TEXT,
        _ => SqlType::from_field(field).map_or(TEXT, |known| known.oid()),
    }
}

/// The types of the columns of VALUES; unknown where all values of a column are.
fn value_types(values: &Values) -> Vec<Oid> {
    let schema = DFSchema::empty();
    let column = |index: usize| values.values.iter().map(|row| operand(&row[index], &schema)).collect::<Vec<Oid>>();
    let columns = (0..values.schema.fields().len()).map(column);
    let types = columns.map(|types| match types.iter().all(|oid| *oid == UNKNOWN) {
        true => UNKNOWN,
        false => common_type(&types).unwrap_or(TEXT),
    });
    types.collect()
}

/// A schema with the types that its columns are known to have now.
fn with_types(schema: &DFSchema, types: &[Oid]) -> Result<DFSchemaRef> {
    let fields = schema.iter().zip(types).map(|((qualifier, field), to)| {
        let known = type_of_oid(*to).filter(|known| column_type(field) != known.oid() || field.data_type().is_null());
        let field = match known {
            Some(known) => Arc::new(super::casts::expression_field(&known).with_name(field.name())),
            None => Arc::clone(field),
        };
        (qualifier.cloned(), field)
    });
    Ok(Arc::new(DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())?))
}
