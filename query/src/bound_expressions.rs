//! Expressions that a table keeps: CHECK constraints, generated columns and defaults.
//!
//! Each is SQL text that was bound when the table was defined: it is planned over the table's columns alone, in the time zone of
//! its definition, so it means the same to every writer. What such an expression may not hold (subqueries, aggregates, sets) is
//! refused here as PostgreSQL refuses it. Plans are made for each statement and never stored.

use crate::assignment::assigned;
use crate::dialect::apart;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::pg_catalog::is_set_call;
use crate::planner::{Planning, Sources};
use crate::query_places::{call_in, place_of};
use crate::returning::{select, target_factor};
use crate::statement::{Statement, StatementKind};
use crate::statement_grammar::fold;
use crate::syntax_walks::{walk, walk_mut};
use crate::user_types::{for_each_type_name, is_kept_from_folding, rename};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use catalog::definition::{BoundExpression, Column, ObjectName, TableDefinition};
use catalog::ids::ObjectId;
use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::logical_plan::builder::LogicalTableSource;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::sql::sqlparser::ast::{self, Ident, SelectItem, SetExpr, Spanned, Visitor, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What an expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Check,
    Generation,
    Default,
    /// An argument of EXECUTE.
    Execution,
    IndexItem,
    IndexPredicate,
}

impl Purpose {
    fn singular(self) -> &'static str {
        match self {
            Self::Check => "check constraint",
            Self::Generation => "column generation expression",
            Self::Default => "DEFAULT expression",
            Self::Execution => "EXECUTE parameter",
            Self::IndexItem => "index expression",
            Self::IndexPredicate => "index predicate",
        }
    }
}

/// An expression over a table's columns, planned.
pub(crate) struct OverColumns {
    pub value: Expr,
    /// What the value is.
    pub field: FieldRef,
    schema: DFSchemaRef,
    /// In the time zone that the expression has.
    planning: Planning,
}

impl OverColumns {
    /// The expression over batches of the table's columns, each of which may hold NULLs.
    pub(crate) fn physical(&self) -> Result<Arc<dyn PhysicalExpr>, QueryError> {
        physical(&self.planning, self.value.clone(), &self.schema)
    }

    /// The value as what is assigned to a column.
    pub(crate) fn assigned_to(mut self, column: &Column) -> Result<Self, QueryError> {
        self.value = assigned(self.value, &self.field, column, &self.planning.cast_context())?;
        Ok(self)
    }
}

/// An expression over columns made executable.
pub(crate) fn physical(
    planning: &Planning,
    value: Expr,
    schema: &DFSchemaRef,
) -> Result<Arc<dyn PhysicalExpr>, QueryError> {
    let value = simplified(planning, value, schema)?;
    planning.state.create_physical_expr(value, schema).map_err(|error| translate(error, None))
}

/// An expression with its constant parts computed. The clock's functions are only there to be replaced so.
pub(crate) fn simplified(planning: &Planning, value: Expr, schema: &DFSchemaRef) -> Result<Expr, QueryError> {
    let state = &planning.state;
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(schema))
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time)
        .build();
    ExprSimplifier::new(context).simplify(value).map_err(|error| translate(error, None))
}

/// A table's columns as an expression over them finds them: before their NULLs were refused.
pub(crate) fn nullable_schema(definition: &TableDefinition) -> SchemaRef {
    let schema = definition.schema();
    let fields = schema.fields().iter().map(|field| Field::clone(field).with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The text of an expression as syntax.
pub(crate) fn parse(text: &str) -> Result<ast::Expr, QueryError> {
    let failed = || QueryError::new(ErrorKind::Internal, "an expression of a table is not one");
    let parsed = crate::statement::parse(&format!("SELECT {text}"))?.into_iter().next().ok_or_else(failed)?;
    let StatementKind::Query(query) = parsed.kind else { return Err(failed()) };
    match *query.body {
        SetExpr::Select(mut select) => match select.projection.pop() {
            Some(SelectItem::UnnamedExpr(expression)) => Ok(expression),
            _ => Err(failed()),
        },
        _ => Err(failed()),
    }
}

/// Plans a bound expression over the table's columns, in the time zone that it was defined in.
pub(crate) fn plan_bound(
    planning: &Planning,
    definition: &TableDefinition,
    bound: &BoundExpression,
) -> Result<OverColumns, QueryError> {
    let zoned = planning.again().in_time_zone(&bound.time_zone);
    plan(&zoned, definition, &parse(&bound.text)?, None).map_err(|error| error.position(None))
}

/// Plans an expression over the table's columns.
pub(crate) fn plan(
    planning: &Planning,
    definition: &TableDefinition,
    expression: &ast::Expr,
    statement: Option<&Statement>,
) -> Result<OverColumns, QueryError> {
    let source = Arc::new(LogicalTableSource::new(nullable_schema(definition)));
    let planning = planning.with_sources(Sources::Target(source));
    let factor = target_factor(&Ident::with_quote('"', &definition.name.name));
    let from = vec![ast::TableWithJoins { relation: factor, joins: Vec::new() }];
    let query = select(vec![SelectItem::UnnamedExpr(expression.clone())], from, None, None)?;
    let plan = planning.query_plan(&query, &[], statement)?;
    let field = Arc::clone(plan.schema().fields().first().ok_or_else(|| strange(expression))?);
    match plan {
        LogicalPlan::Projection(projection)
            if matches!(projection.input.as_ref(), LogicalPlan::SubqueryAlias(_)) && projection.expr.len() == 1 =>
        {
            let value = projection.expr[0].clone().unalias();
            Ok(OverColumns { value, field, schema: Arc::clone(projection.input.schema()), planning })
        }
        _ => Err(strange(expression)),
    }
}

fn strange(expression: &ast::Expr) -> QueryError {
    QueryError::unsupported(format!("the expression {expression} in the definition of a table"))
}

/// Fails for what no expression of that purpose may hold.
pub(crate) fn refuse_misplaced(
    planning: &Planning,
    expression: &ast::Expr,
    purpose: Purpose,
    statement: &Statement,
) -> Result<(), QueryError> {
    let place = purpose.singular();
    if let ControlFlow::Break(at) = walk(expression, &mut SubqueryFinder { statement }) {
        let message = format!("cannot use subquery in {place}");
        return Err(QueryError::new(ErrorKind::FeatureNotSupported, message).position(at));
    }
    let is_aggregate = |function: &ast::Function| {
        let name = function.name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
        planning.is_aggregate(&name)
    };
    let refused = |kind, what: &str, call: &ast::Expr| {
        let message = format!("{what} are not allowed in {place}s");
        Err(QueryError::new(kind, message).position(place_of(statement, call)))
    };
    if let Some(call) = call_in(expression, |function| function.over.is_some()) {
        return refused(ErrorKind::Windowing, "window functions", &call);
    }
    if let Some(call) = call_in(expression, is_aggregate) {
        return refused(ErrorKind::Grouping, "aggregate functions", &call);
    }
    match call_in(expression, is_set_call) {
        Some(call) => refused(ErrorKind::FeatureNotSupported, "set-returning functions", &call),
        None => Ok(()),
    }
}

/// Finds the first subquery and where PostgreSQL says that it is: at EXISTS or IN, else at the parenthesis.
pub(crate) struct SubqueryFinder<'a> {
    pub statement: &'a Statement,
}

impl SubqueryFinder<'_> {
    fn parenthesis(&self, query: &ast::Query) -> Option<(Vec<char>, usize)> {
        let inner = self.statement.place_of(query.span())?;
        let before: Vec<char> = self.statement.source.chars().take(inner - 1).collect();
        let place = before.iter().rposition(|character| *character == '(')?;
        Some((before, place))
    }

    /// The word before a subquery's parenthesis.
    fn word_before(&self, query: &ast::Query) -> Option<usize> {
        let (before, parenthesis) = self.parenthesis(query)?;
        let end = before[..parenthesis].iter().rposition(|character| !character.is_whitespace())?;
        let gap = before[..end].iter().rposition(|character| !character.is_alphabetic());
        Some(gap.map_or(0, |gap| gap + 1) + 1)
    }
}

impl Visitor for SubqueryFinder<'_> {
    type Break = Option<usize>;

    fn pre_visit_expr(&mut self, expression: &ast::Expr) -> ControlFlow<Option<usize>> {
        match expression {
            ast::Expr::Subquery(query) => ControlFlow::Break(self.parenthesis(query).map(|(_, place)| place + 1)),
            ast::Expr::Exists { subquery, .. } | ast::Expr::InSubquery { subquery, .. } => {
                ControlFlow::Break(self.word_before(subquery))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Option<usize>> {
        ControlFlow::Break(self.statement.place_of(query.span()))
    }
}

/// The positions of the columns that an expression names, each once.
pub(crate) fn columns_of(expression: &ast::Expr, definition: &TableDefinition) -> Vec<usize> {
    let mut finder = ColumnFinder { definition, found: Vec::new() };
    let _ = walk(expression, &mut finder);
    finder.found.into_iter().map(|(position, _)| position).collect()
}

/// The first of the wanted columns that an expression names, and where.
pub(crate) fn first_column(
    expression: &ast::Expr,
    definition: &TableDefinition,
    wanted: impl Fn(&Column) -> bool,
    statement: &Statement,
) -> Option<(String, Option<usize>)> {
    let mut finder = ColumnFinder { definition, found: Vec::new() };
    let _ = walk(expression, &mut finder);
    let mut found = finder.found.into_iter().map(|(position, span)| (&definition.columns[position], span));
    let (column, span) = found.find(|(column, _)| wanted(column))?;
    Some((column.name.clone(), statement.place_of(span)))
}

/// Where an expression first names a column, of whatever table.
pub(crate) fn first_name(expression: &ast::Expr, statement: &Statement) -> Option<usize> {
    match walk(expression, &mut NameFinder) {
        ControlFlow::Break(span) => statement.place_of(span),
        ControlFlow::Continue(()) => None,
    }
}

struct NameFinder;

impl Visitor for NameFinder {
    type Break = Span;

    fn pre_visit_expr(&mut self, expression: &ast::Expr) -> ControlFlow<Self::Break> {
        match expression {
            ast::Expr::Identifier(name) => ControlFlow::Break(name.span),
            ast::Expr::CompoundIdentifier(names) => {
                ControlFlow::Break(names.first().map_or(Span::empty(), |name| name.span))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

struct ColumnFinder<'a> {
    definition: &'a TableDefinition,
    found: Vec<(usize, Span)>,
}

impl Visitor for ColumnFinder<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &ast::Expr) -> ControlFlow<()> {
        let name = match expression {
            ast::Expr::Identifier(name) => Some(name),
            ast::Expr::CompoundIdentifier(names) => names.last(),
            _ => None,
        };
        let position = name.and_then(|name| {
            let folded = fold(name);
            self.definition.columns.iter().position(|column| column.name == folded)
        });
        if let (Some(position), Some(name)) = (position, name)
            && self.found.iter().all(|(known, _)| *known != position)
        {
            self.found.push((position, name.span));
        }
        ControlFlow::Continue(())
    }
}

/// Whether a column's numbers come from a sequence.
pub(crate) fn takes_numbers(column: &Column, sequence: ObjectId) -> bool {
    let Some(text) = column.missing_value() else { return false };
    let wanted = sequence.to_string();
    let mut found = false;
    if let Ok(mut expression) = parse(&text) {
        for_each_relation(&mut expression, |name| found |= *name == wanted);
    }
    found
}

/// Writes ids for the names of sequences in a default, so that it keeps its meaning whatever they are renamed to.
pub(crate) fn bind_relations(
    expression: &mut ast::Expr,
    mut id_of: impl FnMut(&str) -> Result<i64, QueryError>,
) -> Result<(), QueryError> {
    let mut failed = None;
    for_each_relation(expression, |name| match id_of(name) {
        Ok(id) => *name = id.to_string(),
        Err(error) => failed = Some(error),
    });
    failed.map_or(Ok(()), Err)
}

/// A default with the names of its sequences, as the system catalog shows it.
pub(crate) fn with_relation_names(text: &str, name_of: impl Fn(i64) -> Option<String>) -> String {
    let Ok(mut expression) = parse(text) else { return text.to_string() };
    let mut changed = false;
    for_each_relation(&mut expression, |name| {
        if let Some(known) = name.parse().ok().and_then(&name_of) {
            *name = known;
            changed = true;
        }
    });
    if changed { shown(&expression.to_string(), true) } else { text.to_string() }
}

/// Shows the names of relations that an expression has as constants: `'name'::regclass` and the argument of nextval and its kin.
fn for_each_relation(expression: &mut ast::Expr, mut show: impl FnMut(&mut String)) {
    let _ = walk_mut(expression, &mut RelationNames { show: &mut show });
}

struct RelationNames<'a> {
    show: &'a mut dyn FnMut(&mut String),
}

impl VisitorMut for RelationNames<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Function(function) = &mut *expression
            && let ast::FunctionArguments::List(list) = &mut function.args
            && let Some(name) = function.name.0.last().and_then(|part| part.as_ident())
            && ["nextval", "currval", "setval"].contains(&fold(name).as_str())
            && let Some(ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(first))) = list.args.first_mut()
            && matches!(first, ast::Expr::Value(_))
        {
            let inner = std::mem::replace(first, ast::Expr::value(ast::Value::Null));
            *first = ast::Expr::Cast {
                kind: ast::CastKind::DoubleColon,
                expr: Box::new(inner),
                data_type: ast::DataType::Regclass,
                array: false,
                format: None,
            };
        }
        if let ast::Expr::Cast { expr, data_type, .. } = expression
            && data_type.to_string().eq_ignore_ascii_case("regclass")
            && let ast::Expr::Value(value) = expr.as_mut()
            && let ast::Value::SingleQuotedString(name) = &mut value.value
        {
            (self.show)(name);
        }
        ControlFlow::Continue(())
    }
}

/// An expression's text with casts to a type that has got another name.
pub(crate) fn with_type_renamed(text: &str, from: &ObjectName, to: &ObjectName) -> Result<String, QueryError> {
    if from == to {
        return Ok(text.to_string());
    }
    let mut expression = parse(text)?;
    for_each_type_name(&mut expression, &mut |name| rename(name, from, to));
    Ok(expression.to_string())
}

/// The least that all functions of a planned expression promise.
pub(crate) fn volatility(value: &Expr) -> Volatility {
    let mut least = Volatility::Immutable;
    let _ = value.apply(|part| {
        if let Expr::ScalarFunction(call) = part
            && !is_kept_from_folding(call)
        {
            least = match (least, call.func.signature().volatility) {
                (Volatility::Volatile, _) | (_, Volatility::Volatile) => Volatility::Volatile,
                (Volatility::Stable, _) | (_, Volatility::Stable) => Volatility::Stable,
                _ => Volatility::Immutable,
            };
        }
        Ok(TreeNodeRecursion::Continue)
    });
    least
}

/// An expression as the system catalog shows it. PostgreSQL puts each operation in parentheses, unless it is asked to be brief.
pub(crate) fn shown(text: &str, brief: bool) -> String {
    match parse(text) {
        Ok(mut expression) => {
            let _ = walk_mut(&mut expression, &mut Printer { brief });
            expression.to_string()
        }
        Err(_) => text.to_string(),
    }
}

struct Printer {
    brief: bool,
}

impl VisitorMut for Printer {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut ast::Expr) -> ControlFlow<()> {
        while let (false, ast::Expr::Nested(inner)) = (self.brief, &mut *expression) {
            *expression = std::mem::replace(inner.as_mut(), ast::Expr::value(ast::Value::Null));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut ast::Expr) -> ControlFlow<()> {
        use ast::Expr::{
            Between, BinaryOp, ILike, InList, IsFalse, IsNotNull, IsNull, IsTrue, Like, RLike, SimilarTo, UnaryOp,
        };
        if let ast::Expr::Cast { data_type, .. } = expression
            && !matches!(data_type, ast::DataType::Custom(..))
        {
            let name = Ident::new(data_type.to_string().to_ascii_lowercase());
            *data_type = ast::DataType::Custom(ast::ObjectName::from(vec![name]), Vec::new());
        }
        if let UnaryOp { expr: operand, .. } = expression {
            let inner = std::mem::replace(operand.as_mut(), ast::Expr::value(ast::Value::Null));
            **operand = apart(inner);
        }
        if let ast::Expr::Cast { expr: operand, .. } = expression
            && matches!(operand.as_ref(), UnaryOp { .. })
        {
            let inner = std::mem::replace(operand.as_mut(), ast::Expr::value(ast::Value::Null));
            **operand = ast::Expr::Nested(Box::new(inner));
        }
        let operation = matches!(
            expression,
            BinaryOp { .. }
                | Between { .. }
                | InList { .. }
                | IsNull(_)
                | IsNotNull(_)
                | IsTrue(_)
                | IsFalse(_)
                | Like { .. }
                | ILike { .. }
                | SimilarTo { .. }
                | RLike { .. }
        ) || matches!(expression, UnaryOp { op: ast::UnaryOperator::Not, .. });
        if operation && !self.brief {
            let inner = std::mem::replace(expression, ast::Expr::value(ast::Value::Null));
            *expression = ast::Expr::Nested(Box::new(inner));
        }
        ControlFlow::Continue(())
    }
}
