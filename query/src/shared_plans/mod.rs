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

use crate::pg_catalog::select_query;
use crate::statement_grammar::fold;
use crate::syntax_walks::{walk, walk_mut};
use crate::work_tables::reads_work_table;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, DataFusionError, Result, TableReference};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, SubqueryAlias, TableScan, TableScanBuilder, TableSource};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::sql::sqlparser::ast::{
    self, Ident, Query, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins, Visitor, VisitorMut,
};
use rows::{Output, SharedExec};
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The alias of a query that is computed once, before its number; nobody can type it without quotes.
const MARK: &str = "with@";
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

/// Marks what WITH names and volatile functions are in: `x AS (SELECT random())` becomes `x AS (SELECT * FROM (SELECT random()) "with@1")`.
/// Each mark has a number of its own, wherever the tree is planned.
pub(crate) fn mark_named(tree: &mut ast::Statement, is_volatile: &dyn Fn(&str) -> bool) {
    let _ = walk_mut(tree, &mut Marker { is_volatile });
}

struct Marker<'a> {
    is_volatile: &'a dyn Fn(&str) -> bool,
}

impl VisitorMut for Marker<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(with) = &mut query.with {
            for table in &mut with.cte_tables {
                let name = with.recursive.then(|| fold(&table.alias.name));
                let mut calls = Calls { is_volatile: self.is_volatile, name, found: false, recurs: false };
                let _ = walk(table.query.as_ref(), &mut calls);
                if calls.found && !calls.recurs {
                    mark(&mut table.query);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// Looks for what gives other rows each time.
struct Calls<'a> {
    is_volatile: &'a dyn Fn(&str) -> bool,
    /// What the query is called, where it may read itself.
    name: Option<String>,
    found: bool,
    recurs: bool,
}

impl Visitor for Calls<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Function(function) = expression
            && let Some(name) = function.name.0.last().and_then(|part| part.as_ident())
        {
            self.found |= (self.is_volatile)(&fold(name));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        self.found |= matches!(table, TableFactor::Table { sample: Some(_), .. });
        if let TableFactor::Table { name, .. } = table
            && let [only] = name.0.as_slice()
        {
            let own = only.as_ident().map(fold);
            self.recurs |= own.is_some() && own == self.name;
        }
        ControlFlow::Continue(())
    }
}

fn mark(query: &mut Query) {
    static MARKS: AtomicU64 = AtomicU64::new(0);
    let number = MARKS.fetch_add(1, Ordering::Relaxed);
    let all = SelectItem::Wildcard(ast::WildcardAdditionalOptions::default());
    let outer = select_query(vec![all], None);
    let inner = std::mem::replace(query, outer);
    let name = Ident::with_quote('"', format!("{MARK}{number}"));
    let alias = TableAlias { explicit: true, name, columns: Vec::new(), at: None };
    let relation = TableFactor::Derived { lateral: false, subquery: Box::new(inner), alias: Some(alias), sample: None };
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from.push(TableWithJoins { relation, joins: Vec::new() });
    }
}

/// Shares what is marked and is read more than once.
pub(crate) fn share_marked(plan: LogicalPlan) -> Result<Sharing> {
    let mut readers: BTreeMap<String, usize> = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        if let Some(alias) = marked(node) {
            *readers.entry(alias.alias.table().to_string()).or_default() += 1;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    readers.retain(|_, times| *times > 1);
    let mut tables: Vec<(String, Arc<SharedTable>)> = Vec::new();
    if readers.is_empty() {
        return Ok(Sharing { plan, tables: Vec::new() });
    }
    let plan = plan.transform_up_with_subqueries(|node| {
        let Some(alias) = marked(&node).filter(|alias| readers.contains_key(alias.alias.table())) else {
            return Ok(Transformed::no(node));
        };
        // What depends on a row outside is another query for each such row.
        if depends_on_outside(&alias.input)? {
            return Ok(Transformed::no(node));
        }
        let mark = alias.alias.table();
        let known = tables.iter().position(|(known, _)| known == mark);
        let place = known.unwrap_or_else(|| {
            tables.push((mark.to_string(), Arc::new(SharedTable::new(LogicalPlan::clone(&alias.input)))));
            tables.len() - 1
        });
        let scan = TableScanBuilder::new(TableReference::bare(mark), source_of(&tables[place].1)).build()?;
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(Sharing { plan: plan.data, tables: tables.into_iter().map(|(_, table)| table).collect() })
}

fn marked(node: &LogicalPlan) -> Option<&SubqueryAlias> {
    match node {
        LogicalPlan::SubqueryAlias(alias) if alias.alias.table().starts_with(MARK) => Some(alias),
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
    let reads = plan.exists(|node| Ok(matches!(node, LogicalPlan::TableScan(_))))?;
    let recurs = plan.exists(|node| {
        Ok(match node {
            LogicalPlan::RecursiveQuery(_) => true,
            LogicalPlan::TableScan(scan) => reads_work_table(scan),
            _ => false,
        })
    })?;
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
