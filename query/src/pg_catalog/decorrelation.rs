//! Decorrelation: correlated subqueries of any shape in plans over the catalog.
//!
//! DataFusion's own rules turn a correlated subquery into a join where its correlation is an equality and its
//! value an aggregate. Clients write more than that (`WHERE c.oid = a.attcollation AND a.attcollation <> t.typcollation`,
//! `array(SELECT … WHERE oid = ANY (outer.roles))`, a lateral `unnest` of an outer array, a recursive query with ORDER BY and
//! LIMIT 1). For plans over the catalog, which are small, this module does it in general, as in "Unnesting Arbitrary
//! Queries" (Neumann and Kemper, BTW 2015):
//!
//!     P with S(x), x of P      P ⟕ S'  on x,  S' = S over D × …,  D = the distinct x of P
//!
//! D is pushed down S to where nothing refers to x any more; groups, sets, joins and work tables on the way carry x along.

use arrow::datatypes::{Field, Schema};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, JoinType, NullEquality, Result};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{
    Aggregate, Distinct, DistinctOn, FetchType, Filter, Join, Limit, Projection, RecursiveQuery, SkipType, Sort,
    SubqueryAlias, TableScan, Unnest,
};
use datafusion::logical_expr::{Expr, JoinConstraint, LogicalPlan, LogicalPlanBuilder, SortExpr, Subquery, lit};
use std::sync::Arc;

/// Replaces correlated scalar subqueries and lateral relations by joins, wherever they stand in projections, filters,
/// aggregates, sorts and joins of a plan over the catalog; in other plans only lateral sets, which DataFusion has no rule for.
/// What cannot be replaced (a LIMIT inside, for instance) is left for DataFusion's rules.
pub fn decorrelate(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !has_subquery(&plan)? || !(scans_catalog(&plan)? || has_lateral_set(&plan)?) {
        return Ok(plan);
    }
    let mut names = Names { next: 0 };
    plan.transform_up_with_subqueries(|node| decorrelate_node(node, &mut names)).map(|transformed| transformed.data)
}

fn any_node(plan: &LogicalPlan, mut test: impl FnMut(&LogicalPlan) -> bool) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= test(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn has_subquery(plan: &LogicalPlan) -> Result<bool> {
    any_node(plan, |node| {
        let is_subquery = |inner: &Expr| Ok(matches!(inner, Expr::ScalarSubquery(_)));
        let in_expressions = || node.expressions().iter().any(|expr| expr.exists(is_subquery).unwrap_or(false));
        matches!(node, LogicalPlan::Subquery(_)) || in_expressions()
    })
}

fn has_lateral_set(plan: &LogicalPlan) -> Result<bool> {
    any_node(plan, |node| match node {
        LogicalPlan::Subquery(subquery) => {
            any_node(&subquery.subquery, |inner| matches!(inner, LogicalPlan::Unnest(_))).unwrap_or(false)
        }
        _ => false,
    })
}

/// Hands out column names that no query uses.
struct Names {
    next: usize,
}

impl Names {
    fn take(&mut self, what: &str) -> String {
        self.next += 1;
        format!("__{what}_{}", self.next)
    }
}

fn decorrelate_node(node: LogicalPlan, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Join(join) => decorrelate_lateral(join, names),
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Sort(_) => {
            decorrelate_expressions(node, names)
        }
        other => Ok(Transformed::no(other)),
    }
}

/// The columns of `schema` that a subquery refers to from inside.
fn outer_columns(subquery: &LogicalPlan, schema: &DFSchema) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for expr in subquery.all_out_ref_exprs() {
        if let Expr::OuterReferenceColumn(_, column) = expr
            && schema.has_column(&column)
            && !columns.contains(&column)
        {
            columns.push(column);
        }
    }
    columns
}

/// The outer columns of one subquery, with the names that they bear inside of it.
struct Domain {
    columns: Vec<Column>,
    keys: Vec<String>,
    source: KeySource,
}

/// Where the keys come from.
enum KeySource {
    /// From their distinct values in the outer plan.
    Plan(LogicalPlan),
    /// In a recursive term: from the work table of that name, whose rows have them in front.
    WorkTable { name: String, keys: Vec<Field> },
}

impl Domain {
    /// The distinct values of `columns` in `outer`.
    fn new(outer: &LogicalPlan, columns: Vec<Column>, names: &mut Names) -> Result<Self> {
        let keys: Vec<String> = columns.iter().map(|_| names.take("key")).collect();
        let projected = columns.iter().zip(&keys).map(|(column, key)| Expr::Column(column.clone()).alias(key));
        let plan =
            LogicalPlanBuilder::from(outer.clone()).project(projected.collect::<Vec<_>>())?.distinct()?.build()?;
        Ok(Self { columns, keys, source: KeySource::Plan(plan) })
    }

    fn plan(&self) -> Option<&LogicalPlan> {
        match &self.source {
            KeySource::Plan(plan) => Some(plan),
            KeySource::WorkTable { .. } => None,
        }
    }

    fn key_exprs(&self) -> Vec<Expr> {
        self.keys.iter().map(key_column).collect()
    }

    fn is_named_in(&self, expr: &Expr) -> bool {
        let refers =
            |inner: &Expr| matches!(inner, Expr::OuterReferenceColumn(_, column) if self.columns.contains(column));
        expr.exists(|inner| Ok(refers(inner))).unwrap_or(true)
    }

    fn is_needed_in(&self, plan: &LogicalPlan) -> bool {
        match &self.source {
            KeySource::Plan(_) => plan.all_out_ref_exprs().iter().any(|expr| self.is_named_in(expr)),
            KeySource::WorkTable { name, .. } => {
                any_node(plan, |node| matches!(node, LogicalPlan::TableScan(scan) if scan.table_name.table() == name))
                    .unwrap_or(true)
            }
        }
    }

    /// The expression with outer columns replaced by the keys.
    fn inside(&self, expr: Expr) -> Result<Expr> {
        let replace = |inner: Expr| match &inner {
            Expr::OuterReferenceColumn(_, column) => match self.columns.iter().position(|known| known == column) {
                Some(position) => Ok(Transformed::yes(key_column(&self.keys[position]))),
                None => Ok(Transformed::no(inner)),
            },
            _ => Ok(Transformed::no(inner)),
        };
        expr.transform(replace).map(|transformed| transformed.data)
    }
}

fn key_column(key: &String) -> Expr {
    Expr::Column(Column::new_unqualified(key))
}

fn columns_of(schema: &DFSchema) -> Vec<Expr> {
    schema.columns().into_iter().map(Expr::Column).collect()
}

/// `plan` joined to itself under other names for its keys: `on` pairs a column of the left with a key of the right.
fn keyed_join(
    left: LogicalPlan,
    right: LogicalPlan,
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
    join_type: JoinType,
) -> Result<LogicalPlan> {
    let join = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        filter,
        join_type,
        JoinConstraint::On,
        NullEquality::NullEqualsNull,
        false,
    )?;
    Ok(LogicalPlan::Join(join))
}

/// Gives the keys of a plan other names, so that it can be joined to another one that has them.
fn rename_keys(plan: LogicalPlan, domain: &Domain, names: &mut Names) -> Result<(LogicalPlan, Vec<Expr>)> {
    let mut renamed = Vec::new();
    let exprs = plan.schema().columns().into_iter().map(|column| {
        if column.relation.is_none() && domain.keys.contains(&column.name) {
            let name = names.take("key");
            renamed.push((column.name.clone(), name.clone()));
            Expr::Column(column).alias(name)
        } else {
            Expr::Column(column)
        }
    });
    let exprs: Vec<Expr> = exprs.collect();
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?);
    let renamed_key = |key: &String| {
        let found = renamed.iter().find(|(old, _)| old == key);
        key_column(found.map_or(key, |(_, new)| new))
    };
    let keys = domain.keys.iter().map(renamed_key).collect();
    Ok((plan, keys))
}

/// The subquery with the domain under it: its columns are the keys, then its own. `None` for a shape that is not known here.
fn push(plan: &LogicalPlan, domain: &Domain, names: &mut Names) -> Result<Option<LogicalPlan>> {
    if !domain.is_needed_in(plan) {
        let Some(keys) = domain.plan() else { return Ok(None) };
        return LogicalPlanBuilder::from(keys.clone()).cross_join(plan.clone())?.build().map(Some);
    }
    match plan {
        LogicalPlan::Projection(projection) => {
            let Some(input) = push(&projection.input, domain, names)? else { return Ok(None) };
            let mut exprs = domain.key_exprs();
            exprs.extend(rename_inside(&projection.expr, plan.schema(), domain)?);
            Projection::try_new(exprs, Arc::new(input)).map(|projection| Some(LogicalPlan::Projection(projection)))
        }
        LogicalPlan::Filter(filter) => {
            let Some(input) = push(&filter.input, domain, names)? else { return Ok(None) };
            let predicate = domain.inside(filter.predicate.clone())?;
            Filter::try_new(predicate, Arc::new(input)).map(|filter| Some(LogicalPlan::Filter(filter)))
        }
        LogicalPlan::Aggregate(aggregate) => push_aggregate(aggregate, domain, names),
        LogicalPlan::SubqueryAlias(alias) => push_alias(alias, domain, names),
        LogicalPlan::Join(join) => push_join(join, domain, names),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => push(&sort.input, domain, names),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let Some(input) = push(input, domain, names)? else { return Ok(None) };
            Ok(Some(LogicalPlan::Distinct(Distinct::All(Arc::new(input)))))
        }
        LogicalPlan::Unnest(unnest) => push_unnest(unnest, domain, names),
        LogicalPlan::Limit(limit) => push_limit(limit, domain, names),
        LogicalPlan::RecursiveQuery(query) => push_recursive(query, domain, names),
        LogicalPlan::TableScan(scan) => extend_work_table(scan, domain),
        _ => Ok(None),
    }
}

/// Expressions with the keys inside, under the names that they had.
fn rename_inside(exprs: &[Expr], schema: &DFSchema, domain: &Domain) -> Result<Vec<Expr>> {
    let renamed = exprs.iter().zip(schema.iter()).map(|(expr, (qualifier, field))| {
        if !domain.is_named_in(expr) {
            return Ok(expr.clone());
        }
        let inside = domain.inside(expr.clone().unalias())?;
        Ok(match qualifier {
            Some(qualifier) => inside.alias_qualified(Some(qualifier.clone()), field.name()),
            None => inside.alias(field.name()),
        })
    });
    renamed.collect()
}

fn push_aggregate(aggregate: &Aggregate, domain: &Domain, names: &mut Names) -> Result<Option<LogicalPlan>> {
    let Some(input) = push(&aggregate.input, domain, names)? else { return Ok(None) };
    let mut exprs = aggregate.group_expr.clone();
    exprs.extend(aggregate.aggr_expr.iter().cloned());
    let exprs = rename_inside(&exprs, &aggregate.schema, domain)?;
    let (groups, aggregates) = exprs.split_at(aggregate.group_expr.len());
    let keyed_groups: Vec<Expr> = domain.key_exprs().into_iter().chain(groups.iter().cloned()).collect();
    let keyed = Aggregate::try_new(Arc::new(input), keyed_groups, aggregates.to_vec())?;
    let keyed = LogicalPlan::Aggregate(keyed);
    if !groups.is_empty() {
        return Ok(Some(keyed));
    }
    let Some(all_keys) = domain.plan() else { return Ok(None) };
    // Without GROUP BY there is a row for every key, also for one that no row matches; a count of nothing is zero.
    let (right, right_keys) = rename_keys(keyed, domain, names)?;
    let on = domain.key_exprs().into_iter().zip(right_keys).collect();
    let joined = keyed_join(all_keys.clone(), right, on, None, JoinType::Left)?;
    let mut exprs = domain.key_exprs();
    for (expr, (qualifier, field)) in aggregate.aggr_expr.iter().zip(aggregate.schema.iter()) {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        exprs.push(match empty_count(expr) {
            Some(zero) => datafusion::functions::core::expr_fn::coalesce(vec![column, lit(zero)]).alias(field.name()),
            None => column,
        });
    }
    Projection::try_new(exprs, Arc::new(joined)).map(|projection| Some(LogicalPlan::Projection(projection)))
}

/// The value of a count over no rows; other aggregates are NULL there.
fn empty_count(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::AggregateFunction(function) => (function.func.name() == "count").then_some(0),
        Expr::Alias(alias) => empty_count(&alias.expr),
        _ => None,
    }
}

fn push_alias(alias: &SubqueryAlias, domain: &Domain, names: &mut Names) -> Result<Option<LogicalPlan>> {
    let Some(input) = push(&alias.input, domain, names)? else { return Ok(None) };
    let mut exprs = domain.key_exprs();
    for (inner, (qualifier, field)) in alias.input.schema().columns().into_iter().zip(alias.schema.iter()) {
        exprs.push(Expr::Column(inner).alias_qualified(qualifier.cloned(), field.name()));
    }
    Projection::try_new(exprs, Arc::new(input)).map(|projection| Some(LogicalPlan::Projection(projection)))
}

fn push_join(join: &Join, domain: &Domain, names: &mut Names) -> Result<Option<LogicalPlan>> {
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        return Ok(None);
    }
    let right_needs = domain.is_needed_in(&join.right);
    let only_right = right_needs && join.join_type == JoinType::Inner && !domain.is_needed_in(&join.left);
    let left = if only_right { Some(join.left.as_ref().clone()) } else { push(&join.left, domain, names)? };
    let Some(left) = left else { return Ok(None) };
    let mut filter = join.filter.clone().map(|filter| domain.inside(filter)).transpose()?;
    for (a, b) in &join.on {
        let equal = domain.inside(a.clone())?.eq(domain.inside(b.clone())?);
        filter = Some(filter.map_or(equal.clone(), |filter| filter.and(equal)));
    }
    let joined = if only_right {
        let Some(right) = push(&join.right, domain, names)? else { return Ok(None) };
        keyed_join(left, right, Vec::new(), filter, join.join_type)?
    } else if right_needs {
        let Some(right) = push(&join.right, domain, names)? else { return Ok(None) };
        let (right, right_keys) = rename_keys(right, domain, names)?;
        let on = domain.key_exprs().into_iter().zip(right_keys).collect();
        keyed_join(left, right, on, filter, join.join_type)?
    } else {
        keyed_join(left, join.right.as_ref().clone(), Vec::new(), filter, join.join_type)?
    };
    let mut exprs = domain.key_exprs();
    exprs.extend(columns_of(&join.schema));
    Projection::try_new(exprs, Arc::new(joined)).map(|projection| Some(LogicalPlan::Projection(projection)))
}

fn push_unnest(unnest: &Unnest, domain: &Domain, names: &mut Names) -> Result<Option<LogicalPlan>> {
    let Some(input) = push(&unnest.input, domain, names)? else { return Ok(None) };
    let columns = unnest.exec_columns.clone();
    let plan = LogicalPlanBuilder::from(input).unnest_columns_with_options(columns, unnest.options.clone())?.build()?;
    Ok(Some(plan))
}

/// `ORDER BY … LIMIT 1` of a subquery is the first row of each key.
fn push_limit(limit: &Limit, domain: &Domain, names: &mut Names) -> Result<Option<LogicalPlan>> {
    let one_row = matches!(limit.get_fetch_type()?, FetchType::Literal(Some(1)));
    if !one_row || !matches!(limit.get_skip_type()?, SkipType::Literal(0)) {
        return Ok(None);
    }
    let below = |input: &Arc<LogicalPlan>| {
        LogicalPlan::Limit(Limit { skip: limit.skip.clone(), fetch: limit.fetch.clone(), input: Arc::clone(input) })
    };
    let (input, order) = match limit.input.as_ref() {
        // A projection keeps rows as they are, so the limit may as well stand below it.
        LogicalPlan::Projection(projection) => {
            let limited = Arc::new(below(&projection.input));
            let projected =
                Projection::try_new_with_schema(projection.expr.clone(), limited, Arc::clone(&projection.schema))?;
            return push(&LogicalPlan::Projection(projected), domain, names);
        }
        LogicalPlan::Sort(sort) => (sort.input.as_ref(), sort.expr.as_slice()),
        other => (other, &[][..]),
    };
    let Some(pushed) = push(input, domain, names)? else { return Ok(None) };
    let mut by: Vec<SortExpr> = domain.key_exprs().into_iter().map(|key| key.sort(true, false)).collect();
    for key in order {
        by.push(key.with_expr(domain.inside(key.expr.clone())?));
    }
    let all = columns_of(pushed.schema());
    let first = DistinctOn::try_new(domain.key_exprs(), all, Some(by), Arc::new(pushed))?;
    Ok(Some(LogicalPlan::Distinct(Distinct::On(first))))
}

/// The static term gets the keys, the work table carries them, and the recursive term passes them on.
fn push_recursive(query: &RecursiveQuery, domain: &Domain, names: &mut Names) -> Result<Option<LogicalPlan>> {
    if domain.is_needed_in(&query.recursive_term) {
        return Ok(None);
    }
    let Some(static_term) = push(&query.static_term, domain, names)? else { return Ok(None) };
    let fields = static_term.schema().fields().iter().take(domain.keys.len());
    let source =
        KeySource::WorkTable { name: query.name.clone(), keys: fields.map(|field| field.as_ref().clone()).collect() };
    let carried = Domain { columns: Vec::new(), keys: domain.keys.clone(), source };
    let Some(recursive_term) = push(&query.recursive_term, &carried, names)? else { return Ok(None) };
    let (static_term, recursive_term) = (Arc::new(static_term), Arc::new(recursive_term));
    let query = RecursiveQuery::try_new(query.name.clone(), static_term, recursive_term, query.is_distinct)?;
    Ok(Some(LogicalPlan::RecursiveQuery(query)))
}

/// A scan of a work table, with the keys in front.
fn extend_work_table(scan: &TableScan, domain: &Domain) -> Result<Option<LogicalPlan>> {
    let KeySource::WorkTable { name, keys } = &domain.source else { return Ok(None) };
    let own = scan.source.schema();
    let fields = keys.iter().cloned().chain(own.fields().iter().map(|field| field.as_ref().clone()));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let source = provider_as_source(Arc::new(CteWorkTable::new(name, schema)));
    let extended = LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?.build()?;
    let mut exprs: Vec<Expr> = domain
        .keys
        .iter()
        .map(|key| Expr::Column(Column::new(Some(scan.table_name.clone()), key)).alias(key))
        .collect();
    exprs.extend(columns_of(&scan.projected_schema));
    Projection::try_new(exprs, Arc::new(extended)).map(|projection| Some(LogicalPlan::Projection(projection)))
}

/// Whether a subquery has one row by its shape: an aggregate without groups.
fn is_single_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Projection(projection) => is_single_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_single_row(&alias.input),
        _ => false,
    }
}

/// Joins `outer` with the value of a correlated scalar subquery; returns the column that holds it.
fn join_scalar(outer: LogicalPlan, subquery: &Subquery, names: &mut Names) -> Result<Option<(LogicalPlan, Expr)>> {
    let columns = outer_columns(&subquery.subquery, outer.schema());
    if columns.is_empty() {
        return Ok(None);
    }
    let domain = Domain::new(&outer, columns, names)?;
    let Some(pushed) = push(&subquery.subquery, &domain, names)? else { return Ok(None) };
    let Some(value) = pushed.schema().columns().pop().map(Expr::Column) else { return Ok(None) };
    let name = names.take("scalar");
    let keys = domain.key_exprs();
    let pushed = if is_single_row(&subquery.subquery) {
        let mut exprs = keys;
        exprs.push(value.alias(&name));
        LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(pushed))?)
    } else {
        // PostgreSQL raises an error for a second row; catalog relations are unique by what they are looked up with.
        let first = datafusion::functions_aggregate::expr_fn::first_value(value, Vec::new()).alias(&name);
        LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(pushed), keys, vec![first])?)
    };
    let on = domain.columns.iter().cloned().map(Expr::Column).zip(domain.key_exprs()).collect();
    let joined = keyed_join(outer, pushed, on, None, JoinType::Left)?;
    Ok(Some((joined, Expr::Column(Column::new_unqualified(name)))))
}

fn is_correlated_scalar(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(subquery) if !subquery.outer_ref_columns.is_empty())
}

fn decorrelate_expressions(node: LogicalPlan, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    let correlated = |expr: &Expr| expr.exists(|inner| Ok(is_correlated_scalar(inner))).unwrap_or(false);
    let exprs = node.expressions();
    let [input] = node.inputs()[..] else { return Ok(Transformed::no(node)) };
    if !exprs.iter().any(correlated) {
        return Ok(Transformed::no(node));
    }
    let original = input.schema().clone();
    let mut input = input.clone();
    let preserver = NamePreserver::new(&node);
    let mut rewritten = Vec::with_capacity(exprs.len());
    for expr in exprs {
        let saved = preserver.save(&expr);
        let replaced = expr.transform_up(|inner| match &inner {
            Expr::ScalarSubquery(subquery) if is_correlated_scalar(&inner) => {
                match join_scalar(input.clone(), subquery, names)? {
                    Some((joined, value)) => {
                        input = joined;
                        Ok(Transformed::yes(value))
                    }
                    None => Ok(Transformed::no(inner)),
                }
            }
            _ => Ok(Transformed::no(inner)),
        })?;
        rewritten.push(saved.restore(replaced.data));
    }
    rebuild(&node, rewritten, input, &original).map(Transformed::yes)
}

/// The node over its new input; one that passes its input's columns on passes only the original ones.
fn rebuild(node: &LogicalPlan, exprs: Vec<Expr>, input: LogicalPlan, original: &DFSchemaRef) -> Result<LogicalPlan> {
    let only_original =
        |plan: LogicalPlan| Projection::try_new(columns_of(original), Arc::new(plan)).map(LogicalPlan::Projection);
    match node {
        LogicalPlan::Sort(sort) => {
            let order = sort.expr.iter().zip(exprs).map(|(key, expr)| key.with_expr(expr)).collect();
            only_original(LogicalPlan::Sort(Sort { expr: order, input: Arc::new(input), fetch: sort.fetch }))
        }
        LogicalPlan::Filter(_) => only_original(node.with_new_exprs(exprs, vec![input])?),
        _ => node.with_new_exprs(exprs, vec![input]),
    }
}

/// A lateral relation is the right side of its join, perhaps under an alias.
fn lateral_subquery(plan: &LogicalPlan) -> Option<(&Subquery, Option<&SubqueryAlias>)> {
    match plan {
        LogicalPlan::Subquery(subquery) => Some((subquery, None)),
        LogicalPlan::SubqueryAlias(alias) => {
            lateral_subquery(&alias.input).map(|(subquery, _)| (subquery, Some(alias)))
        }
        _ => None,
    }
}

fn decorrelate_lateral(join: Join, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    let unchanged = |join: Join| Ok(Transformed::no(LogicalPlan::Join(join)));
    let Some((subquery, _)) = lateral_subquery(&join.right) else { return unchanged(join) };
    let columns = outer_columns(&subquery.subquery, join.left.schema());
    if columns.is_empty() || !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        return unchanged(join);
    }
    let domain = Domain::new(&join.left, columns, names)?;
    let Some(right) = push_lateral(&join.right, &domain, names)? else { return unchanged(join) };
    let keys = domain.columns.iter().cloned().map(Expr::Column).zip(domain.key_exprs()).collect();
    let mut filter = join.filter.clone();
    for (a, b) in &join.on {
        let equal = a.clone().eq(b.clone());
        filter = Some(filter.map_or(equal.clone(), |filter| filter.and(equal)));
    }
    let joined = keyed_join(join.left.as_ref().clone(), right, keys, filter, join.join_type)?;
    let projected = Projection::try_new(columns_of(&join.schema), Arc::new(joined))?;
    Ok(Transformed::yes(LogicalPlan::Projection(projected)))
}

fn push_lateral(plan: &LogicalPlan, domain: &Domain, names: &mut Names) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Subquery(subquery) => push(&subquery.subquery, domain, names),
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(input) = push_lateral(&alias.input, domain, names)? else { return Ok(None) };
            let mut exprs = domain.key_exprs();
            for (inner, (qualifier, field)) in alias.input.schema().columns().into_iter().zip(alias.schema.iter()) {
                exprs.push(Expr::Column(inner).alias_qualified(qualifier.cloned(), field.name()));
            }
            Projection::try_new(exprs, Arc::new(input)).map(|projection| Some(LogicalPlan::Projection(projection)))
        }
        _ => Ok(None),
    }
}

/// Whether a plan scans a relation of the catalog.
fn scans_catalog(plan: &LogicalPlan) -> Result<bool> {
    any_node(plan, |node| {
        let LogicalPlan::TableScan(scan) = node else { return false };
        match scan.table_name.schema() {
            Some(schema) => super::is_system_schema(schema),
            None => super::relation("pg_catalog", scan.table_name.table()).is_some(),
        }
    })
}
