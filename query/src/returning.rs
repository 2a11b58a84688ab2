//! RETURNING: a query over the rows that a statement has written.
//!
//! The rows are kept in memory as a relation called [`TARGET`](crate::planner::TARGET): the table's columns, then whatever the list takes from other
//! tables of the statement's FROM or USING. Those values are computed with the writer's own query, as *extras* behind its
//! columns; here they are given back their names:
//!
//!     UPDATE t SET a = 1 FROM u WHERE … RETURNING t.a, u.b, u.*
//!     writer's query:  SELECT place, new columns…, u.b, u.* FROM target, u WHERE …
//!     this query:      SELECT t.a, t.extra1 AS b, t.extra2 AS …  FROM __target AS t

use crate::column_origins::Origins;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::execution::ready;
use crate::output_names::output_name;
use crate::parameter_types::Parameters;
use crate::planner::{Planning, Sources, TARGET, columns_from};
use crate::response::{Response, ResultColumn};
use crate::row_calls::refuse_calls;
use crate::session::Session;
use crate::standard_spellings::nesting::{each_expr, each_expr_mut};
use crate::standard_spellings::star_syntax::row_of;
use crate::statement::Statement;
use crate::statement_grammar::fold;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use catalog::definition::TableDefinition;
use catalog::sql_type::SqlType;
use datafusion::common::ParamValues;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor,
};
use futures::TryStreamExt;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What errors call the list.
const CLAUSE: &str = "RETURNING";

/// A RETURNING list over one table's rows and the other relations of the statement.
#[derive(Debug)]
pub(crate) struct Returning {
    items: Vec<SelectItem>,
    /// What the list calls the rows that are written.
    name: Ident,
    /// Names of the other relations, in order.
    others: Vec<String>,
    /// Columns of other relations that the list names.
    references: Vec<Expr>,
}

/// A value that the writer's query computes for the list, behind its own columns.
#[derive(Clone, Debug)]
pub(crate) struct Extra {
    /// The relation that it comes from, where it is one of a `*`'s columns.
    relation: Option<String>,
    field: FieldRef,
}

fn extra_name(index: usize) -> String {
    format!("__extra{index}")
}

impl Returning {
    /// The table goes by its alias, or its name; `others` are the names of the statement's other relations. Fails for calls that
    /// would make other rows than those that are written.
    pub(crate) fn new(
        planning: &Planning,
        items: &[SelectItem],
        (definition, name): (&TableDefinition, &Ident),
        others: Vec<String>,
        statement: &Statement,
    ) -> Result<Self, QueryError> {
        let mut returning = Self { items: items.to_vec(), name: name.clone(), others, references: Vec::new() };
        refuse_calls(planning, &returning.items, CLAUSE, statement)?;
        if !returning.others.is_empty() {
            returning.references = foreign_references(&returning.items, definition, &fold(name), &returning.others);
        }
        Ok(returning)
    }

    /// Items for the end of the writer's select list: the named columns of other relations, then all columns of each.
    pub(crate) fn extra_items(&self) -> Vec<SelectItem> {
        let named = self.references.iter().enumerate().map(|(index, reference)| SelectItem::ExprWithAlias {
            expr: reference.clone(),
            alias: Ident::new(format!("__reference{index}")),
        });
        let stars = if self.has_star() { self.others.as_slice() } else { &[] };
        let stars = stars.iter().map(|other| {
            let name = ast::ObjectName::from(vec![Ident::with_quote('"', other)]);
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), Default::default())
        });
        named.chain(stars).collect()
    }

    fn has_star(&self) -> bool {
        self.items.iter().any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)))
    }

    /// The extras of a writer's plan, which begin at the given column.
    pub(crate) fn extras(&self, plan: &LogicalPlan, start: usize) -> Vec<Extra> {
        let columns = plan.schema().iter().skip(start).enumerate();
        let extras = columns.map(|(index, (qualifier, field))| Extra {
            relation: qualifier.filter(|_| index >= self.references.len()).map(|name| name.table().to_string()),
            field: Arc::clone(field),
        });
        extras.collect()
    }

    /// The types of the statement's parameters as far as they are known, given those of its other parts.
    pub(crate) fn parameters(
        &self,
        planning: &Planning,
        definition: &TableDefinition,
        extras: &[Extra],
        known: Vec<Option<SqlType>>,
        statement: &Statement,
    ) -> Result<Vec<Option<SqlType>>, QueryError> {
        if Parameters::of(&self.items, Some(statement))?.count() == 0 {
            return Ok(known);
        }
        let planning = over_rows(planning, definition, extras, Vec::new())?;
        planning.types_so_far(&self.query(definition, extras)?, &known, Some(statement))
    }

    /// The list as a plan over the rows: batches of a table's columns and then the extras.
    pub(crate) fn plan(
        &self,
        planning: &Planning,
        (definition, extras): (&TableDefinition, &[Extra]),
        rows: Vec<RecordBatch>,
        types: &[Option<SqlType>],
        statement: &Statement,
    ) -> Result<(Arc<Planning>, LogicalPlan), QueryError> {
        let planning = Arc::new(over_rows(planning, definition, extras, rows)?);
        let query = self.query(definition, extras)?;
        let plan = planning.query_plan(&query, types, Some(statement))?;
        if is_aggregated(&plan) {
            let message = format!("aggregate functions are not allowed in {CLAUSE}");
            return Err(QueryError::new(ErrorKind::Grouping, message));
        }
        Ok((planning, plan))
    }

    /// The columns of the list, before there are rows.
    pub(crate) fn columns(
        &self,
        planning: &Planning,
        definition: &TableDefinition,
        extras: &[Extra],
        parameters: &[SqlType],
        statement: &Statement,
    ) -> Result<Vec<ResultColumn>, QueryError> {
        let types: Vec<_> = parameters.iter().cloned().map(Some).collect();
        let (planning, plan) = self.plan(planning, (definition, extras), Vec::new(), &types, statement)?;
        columns_from(&plan, &Origins { snapshot: &planning.snapshot, target: Some(definition) })
    }

    fn query(&self, definition: &TableDefinition, extras: &[Extra]) -> Result<ast::Query, QueryError> {
        let factor = target_factor(&self.name);
        let from = vec![ast::TableWithJoins { relation: factor, joins: Vec::new() }];
        let items = self.items.iter().flat_map(|item| self.spelt_out(item, definition, extras));
        let mut items: Vec<SelectItem> = items.collect();
        self.take_from_extras(&mut items);
        select(items, from, None, None)
    }

    /// Puts extras in the place of what the list takes from other relations.
    fn take_from_extras(&self, items: &mut Vec<SelectItem>) {
        let _ = each_expr_mut(items, |expression, queries| {
            if (queries == 0 || matches!(expression, Expr::CompoundIdentifier(_)))
                && let Some(index) = self.position(expression)
            {
                let name = Ident::new(extra_name(index));
                *expression = Expr::CompoundIdentifier(vec![self.name.clone(), name]);
            }
            ControlFlow::<()>::Continue(())
        });
    }

    /// Stars as columns, and columns of other relations under their own names.
    fn spelt_out(&self, item: &SelectItem, definition: &TableDefinition, extras: &[Extra]) -> Vec<SelectItem> {
        let own = || definition.columns.iter().map(|column| self.column(&column.name, &column.name));
        let of = |wanted: Option<String>| {
            let extras = extras.iter().enumerate();
            let extras = extras.filter(move |(_, extra)| match (&extra.relation, &wanted) {
                (Some(relation), Some(wanted)) => relation == wanted,
                (relation, None) => relation.is_some(),
                _ => false,
            });
            extras.map(|(index, extra)| self.column(&extra_name(index), extra.field.name()))
        };
        match item {
            SelectItem::Wildcard(_) => own().chain(of(None)).collect(),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let name = name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
                if name == fold(&self.name) {
                    own().collect()
                } else if self.others.contains(&name) {
                    of(Some(name)).collect()
                } else {
                    vec![item.clone()]
                }
            }
            SelectItem::UnnamedExpr(expression) => match self.position(expression) {
                Some(index) => vec![self.column(&extra_name(index), &output_name(expression))],
                None => {
                    let alias = Ident::with_quote('"', output_name(expression));
                    vec![SelectItem::ExprWithAlias { expr: expression.clone(), alias }]
                }
            },
            other => vec![other.clone()],
        }
    }

    fn column(&self, name: &str, shown: &str) -> SelectItem {
        let expr = Expr::CompoundIdentifier(vec![self.name.clone(), Ident::with_quote('"', name)]);
        SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', shown) }
    }

    fn position(&self, expression: &Expr) -> Option<usize> {
        self.references.iter().position(|reference| reference == expression)
    }
}

/// Whether the rows of a list are aggregated: by a call in a subquery that is over columns of the table alone.
fn is_aggregated(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => is_aggregated(&projection.input),
        plan => matches!(plan, LogicalPlan::Aggregate(_)),
    }
}

/// Planning whose target is rows of a table with extras behind them.
fn over_rows(
    planning: &Planning,
    definition: &TableDefinition,
    extras: &[Extra],
    rows: Vec<RecordBatch>,
) -> Result<Planning, QueryError> {
    let rows = MemTable::try_new(schema(definition, extras), vec![rows]).map_err(|error| translate(error, None))?;
    Ok(planning.with_sources(Sources::Target(provider_as_source(Arc::new(rows)))))
}

fn schema(definition: &TableDefinition, extras: &[Extra]) -> SchemaRef {
    let mut fields: Vec<FieldRef> = definition.schema().fields().iter().cloned().collect();
    let named = extras.iter().enumerate().map(|(index, extra)| {
        let field = Field::clone(&extra.field).with_name(extra_name(index)).with_nullable(true);
        Arc::new(field) as FieldRef
    });
    fields.extend(named);
    Arc::new(Schema::new(fields))
}

/// A batch of a table's columns with extras behind it. What a parameter gave has another layout than the columns of its type.
pub(crate) fn with_extras(
    rows: &RecordBatch,
    definition: &TableDefinition,
    extras: &[Extra],
    values: &[ArrayRef],
) -> Result<RecordBatch, QueryError> {
    let internal = |error: ArrowError| QueryError::new(ErrorKind::Internal, error.to_string());
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let values =
        values.iter().zip(extras).map(|(array, extra)| cast_with_options(array, extra.field.data_type(), &strict));
    let columns = rows.columns().iter().cloned().map(Ok).chain(values);
    let columns = columns.collect::<Result<Vec<ArrayRef>, ArrowError>>().map_err(internal)?;
    RecordBatch::try_new(schema(definition, extras), columns).map_err(internal)
}

/// `__target AS name`
pub(crate) fn target_factor(name: &Ident) -> TableFactor {
    let alias = ast::TableAlias { explicit: true, name: name.clone(), columns: Vec::new(), at: None };
    table_factor(ast::ObjectName::from(vec![Ident::new(TARGET)]), Some(alias))
}

/// `name AS alias`
pub(crate) fn table_factor(name: ast::ObjectName, alias: Option<ast::TableAlias>) -> TableFactor {
    TableFactor::Table {
        name,
        alias,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// `[WITH …] SELECT items FROM … [WHERE …]`
pub(crate) fn select(
    items: Vec<SelectItem>,
    from: Vec<ast::TableWithJoins>,
    selection: Option<Expr>,
    with: Option<ast::With>,
) -> Result<ast::Query, QueryError> {
    let template = crate::statement::parse("SELECT 1")?.into_iter().next().map(|statement| statement.kind);
    let Some(crate::statement::StatementKind::Query(mut query)) = template else {
        return Err(QueryError::new(ErrorKind::Internal, "a query was not parsed as one"));
    };
    query.with = with;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = items;
        select.from = from;
        select.selection = selection;
    }
    Ok(*query)
}

/// Finds what a list takes from relations other than the table itself. In a query of the list only a name that is qualified with one of
/// theirs is taken for theirs.
fn foreign_references(
    items: &Vec<SelectItem>,
    definition: &TableDefinition,
    own: &str,
    others: &[String],
) -> Vec<Expr> {
    let mut found: Vec<Expr> = Vec::new();
    let _ = each_expr(items, |expression, queries| {
        let foreign = match expression {
            Expr::CompoundIdentifier(names) if queries > 0 => names.len() == 2 && others.contains(&fold(&names[0])),
            _ if queries > 0 => false,
            Expr::Identifier(name) => {
                let name = fold(name);
                !definition.columns.iter().any(|column| column.name == name)
            }
            row if row_of(row).is_some() => true,
            Expr::CompoundIdentifier(names) => names.len() < 2 || fold(&names[names.len() - 2]) != own,
            _ => false,
        };
        if foreign && !found.contains(expression) {
            found.push(expression.clone());
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

/// The answer of a writer that returns rows by a plan and the values of its parameters, one for each row that it wrote. They are computed to
/// the last, so that an error in the list undoes the statement.
pub(crate) async fn respond(
    session: &Session,
    (planning, definition): (&Arc<Planning>, &TableDefinition),
    (plan, values): (LogicalPlan, ParamValues),
    (verb, written): (&'static str, u64),
    statement: &Statement,
) -> Result<Response, QueryError> {
    let columns = columns_from(&plan, &Origins { snapshot: &planning.snapshot, target: Some(definition) })?;
    let plan = plan.with_param_values(values).map_err(|error| translate(error, Some(statement)))?;
    let rows = crate::dispatch::run_plan(session, planning, plan, Some(statement.clone())).await?;
    let batches: Vec<RecordBatch> = rows.try_collect().await?;
    let returned: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if returned as u64 != written {
        return Err(QueryError::new(
            ErrorKind::Internal,
            format!("{written} rows were written and {returned} returned"),
        ));
    }
    Ok(Response::Rows { columns, stream: ready(batches), verb, counted: true })
}
