//! Queries that a statement has more than once and computes once.
//!
//!     WITH monthly AS (SELECT … GROUP BY …)               SharedExec ──┐
//!     SELECT … FROM monthly a JOIN monthly b …      ──▶   SharedExec ──┴─▶ the plan of monthly, run once
//!
//! Such a query becomes a scan of a [`SharedTable`] in each of its places. There are two sorts. What WITH names and volatile
//! functions are in has to be computed once, as all that read it must see the same rows; it is shared before the optimiser
//! runs, which then changes nothing inside of it by what is around it. Other queries are shared behind the optimiser, where their
//! plans are still the same, read the same rows of the same tables and have something that costs: groups, windows, DISTINCT.

mod rows;

pub(crate) use rows::ShownPlans;

use crate::statement_grammar::fold;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, DataFusionError, Result, TableReference};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, SubqueryAlias, TableScan, TableScanBuilder, TableSource};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::sql::sqlparser::ast::{self, Query, Visit, Visitor};
use rows::{Output, SharedExec};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

/// Plans of more nodes are not searched for what they have twice.
const NODES_MAX: usize = 400;

/// A plan in which queries were replaced, and what they were replaced by, inner ones first.
pub(crate) struct Sharing {
    pub plan: LogicalPlan,
    pub tables: Vec<Arc<SharedTable>>,
}

/// A query that is computed once for all that read it.
#[derive(Debug)]
pub(crate) struct SharedTable {
    schema: SchemaRef,
    pub plan: LogicalPlan,
    output: OnceLock<Arc<Output>>,
}

impl SharedTable {
    fn new(plan: LogicalPlan) -> Self {
        Self { schema: Arc::clone(plan.schema().inner()), plan, output: OnceLock::new() }
    }

    /// Gives it the plan that computes it.
    pub(crate) fn settle(&self, plan: Arc<dyn ExecutionPlan>) {
        let _ = self.output.set(Arc::new(Output::new(plan)));
    }
}

#[async_trait]
impl TableProvider for SharedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let missing = || DataFusionError::Internal("a shared query is read before it was planned".into());
        let output = self.output.get().ok_or_else(missing)?;
        let shared: Arc<dyn ExecutionPlan> = Arc::new(SharedExec::new(Arc::clone(output)));
        let Some(projection) = projection else { return Ok(shared) };
        let schema = shared.schema();
        let columns = projection.iter().map(|place| {
            let name = schema.field(*place).name();
            (Arc::new(Column::new(name, *place)) as _, name.clone())
        });
        Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), shared)?))
    }
}

/// The names that WITH gives in a statement, but for those that it gives twice or to recursive queries.
pub(crate) fn names_of_with(tree: &ast::Statement) -> BTreeSet<String> {
    let mut names = Names::default();
    let _ = tree.visit(&mut names);
    names.given.into_iter().filter(|(_, times)| *times == 1).map(|(name, _)| name).collect()
}

#[derive(Default)]
struct Names {
    given: BTreeMap<String, usize>,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for with in query.with.iter().filter(|with| !with.recursive) {
            for table in &with.cte_tables {
                *self.given.entry(fold(&table.alias.name)).or_default() += 1;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Tells volatile scalar subqueries with the same text apart, which are computed once otherwise.
pub(crate) fn keep_apart(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !is_volatile(&plan)? {
        return Ok(plan);
    }
    let mut number = 0;
    let mut apart = |part: Expr| match part {
        Expr::ScalarSubquery(scalar) if scalar.outer_ref_columns.is_empty() && is_volatile(&scalar.subquery)? => {
            number += 1;
            let alias = SubqueryAlias::try_new(Arc::clone(&scalar.subquery), format!("subquery@{number}"))?;
            let scalar = scalar.with_plan(Arc::new(LogicalPlan::SubqueryAlias(alias)));
            Ok(Transformed::yes(Expr::ScalarSubquery(scalar)))
        }
        other => Ok(Transformed::no(other)),
    };
    let plan = plan.transform_up_with_subqueries(|node| {
        let preserver = NamePreserver::new(&node);
        node.map_expressions(|expression| {
            let name = preserver.save(&expression);
            let told = expression.transform_up(&mut apart)?;
            Ok(told.update_data(|expression| name.restore(expression)))
        })
    })?;
    Ok(plan.data)
}

/// Shares what volatile functions compute under one of the names, where that is read more than once.
pub(crate) fn share_named(plan: LogicalPlan, names: &BTreeSet<String>) -> Result<Sharing> {
    let mut readers: BTreeMap<String, usize> = BTreeMap::new();
    if !names.is_empty() {
        plan.apply_with_subqueries(|node| {
            if let Some(alias) = named(node, names) {
                *readers.entry(alias.alias.table().to_string()).or_default() += 1;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    readers.retain(|_, times| *times > 1);
    let shared: BTreeSet<String> = readers.into_keys().collect();
    let mut tables: Vec<Arc<SharedTable>> = Vec::new();
    if shared.is_empty() {
        return Ok(Sharing { plan, tables });
    }
    let plan = plan.transform_up_with_subqueries(|node| {
        let Some(alias) = named(&node, &shared) else { return Ok(Transformed::no(node)) };
        if !is_volatile(&alias.input)? {
            return Ok(Transformed::no(node));
        }
        let known = tables.iter().position(|table| is_same(&table.plan, &alias.input));
        let place = known.unwrap_or_else(|| {
            tables.push(Arc::new(SharedTable::new(LogicalPlan::clone(&alias.input))));
            tables.len() - 1
        });
        let scan = TableScanBuilder::new(TableReference::bare(format!("shared@{place}")), source_of(&tables[place]));
        let alias = SubqueryAlias::try_new(Arc::new(LogicalPlan::TableScan(scan.build()?)), alias.alias.clone())?;
        Ok(Transformed::yes(LogicalPlan::SubqueryAlias(alias)))
    })?;
    Ok(Sharing { plan: plan.data, tables })
}

fn named<'a>(node: &'a LogicalPlan, names: &BTreeSet<String>) -> Option<&'a SubqueryAlias> {
    match node {
        LogicalPlan::SubqueryAlias(alias) if names.contains(alias.alias.table()) => Some(alias),
        _ => None,
    }
}

/// Shares what an optimised plan has more than once, the largest parts that are the same.
pub(crate) fn share_equal(plan: LogicalPlan) -> Result<Sharing> {
    let candidates = Candidates::of(&plan)?;
    let mut tables: Vec<Arc<SharedTable>> = Vec::new();
    if candidates.is_empty() {
        return Ok(Sharing { plan, tables });
    }
    let plan = plan.transform_down(|node| {
        if !candidates.has_twice(&node) {
            return Ok(Transformed::no(node));
        }
        let schema = Arc::clone(node.schema());
        let known = tables.iter().position(|table| is_same(&table.plan, &node));
        let place = known.unwrap_or_else(|| {
            tables.push(Arc::new(SharedTable::new(node)));
            tables.len() - 1
        });
        let scan = scan_of(&tables[place], &schema);
        Ok(Transformed::new(scan, true, TreeNodeRecursion::Jump))
    })?;
    Ok(Sharing { plan: plan.data, tables })
}

/// The parts of a plan that cost something, by their hashes, where two have the same.
struct Candidates(HashMap<u64, Vec<LogicalPlan>>);

impl Candidates {
    fn of(plan: &LogicalPlan) -> Result<Self> {
        let (mut nodes, mut costly) = (0, 0);
        plan.apply(|node| {
            nodes += 1;
            costly += usize::from(costs(node));
            Ok(if nodes > NODES_MAX { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        let mut found: HashMap<u64, Vec<LogicalPlan>> = HashMap::new();
        if nodes <= NODES_MAX && costly > 1 {
            plan.apply(|node| {
                if node.exists(|part| Ok(costs(part)))? && is_shareable(node)? {
                    found.entry(hash_of(node)).or_default().push(node.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        found.retain(|_, same| same.len() > 1);
        Ok(Self(found))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn has_twice(&self, node: &LogicalPlan) -> bool {
        // Most nodes need no hash.
        let same = self.0.values().find(|same| same.contains(node));
        same.is_some_and(|same| same.iter().filter(|other| is_same(other, node)).count() > 1)
    }
}

fn hash_of(plan: &LogicalPlan) -> u64 {
    let mut hasher = DefaultHasher::new();
    plan.hash(&mut hasher);
    hasher.finish()
}

/// Whether a node has more to do than to pass rows on.
fn costs(node: &LogicalPlan) -> bool {
    matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) | LogicalPlan::Window(_))
}

/// Whether a plan reads tables and gives the same rows each time that it runs.
fn is_shareable(plan: &LogicalPlan) -> Result<bool> {
    let is_fixed = |node: &LogicalPlan| matches!(node, LogicalPlan::TableScan(_) | LogicalPlan::RecursiveQuery(_));
    let reads = plan.exists(|node| Ok(matches!(node, LogicalPlan::TableScan(_))))?;
    let recurs = plan.exists(|node| Ok(is_fixed(node) && !matches!(node, LogicalPlan::TableScan(_))))?;
    Ok(reads && !recurs && !is_volatile(plan)? && !depends_on_outside(plan)?)
}

fn is_volatile(plan: &LogicalPlan) -> Result<bool> {
    has_expression(plan, Expr::is_volatile)
}

fn depends_on_outside(plan: &LogicalPlan) -> Result<bool> {
    has_expression(plan, Expr::contains_outer)
}

fn has_expression(plan: &LogicalPlan, is: impl Fn(&Expr) -> bool) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            found = found || is(expression);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether two plans are the same and read the same rows.
fn is_same(one: &LogicalPlan, other: &LogicalPlan) -> bool {
    one == other && sources_of(one) == sources_of(other)
}

/// Where the sources of a plan's scans lie in memory.
fn sources_of(plan: &LogicalPlan) -> Vec<*const ()> {
    let mut sources = Vec::new();
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            sources.push(Arc::as_ptr(&scan.source).cast::<()>());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    sources
}

fn source_of(table: &Arc<SharedTable>) -> Arc<dyn TableSource> {
    provider_as_source(Arc::clone(table) as Arc<dyn TableProvider>)
}

/// A scan whose columns are called what those of the query were.
fn scan_of(table: &Arc<SharedTable>, schema: &DFSchemaRef) -> LogicalPlan {
    LogicalPlan::TableScan(TableScan {
        table_name: TableReference::bare("shared"),
        source: source_of(table),
        projection: None,
        projected_schema: Arc::clone(schema),
        filters: Vec::new(),
        fetch: None,
        statistics_requests: Default::default(),
    })
}
