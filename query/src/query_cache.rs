//! The query cache: answers that were given, kept as long as everything that they were computed from is what it was.
//!
//!     (text, parameters, settings) ──▶ columns, rows, and what they depend on: the tables' last changes, definitions, names
//!
//! Nothing is ever invalidated. An answer is given again only to a reader in whose own snapshot all of these are the same, so it is what
//! the query would give there. A query that reads the clock, a session, the system catalog, the past or a random number has no place
//! here, and neither has a transaction that has changed something. Definitions and names are known by their addresses, held weakly, so
//! that an address cannot come to mean something else.

use crate::error::QueryError;
use crate::functions::overload::innermost;
use crate::memory::cache_bytes;
use crate::planner::Planning;
use crate::response::{Format, ParameterValue, ResultColumn, RowStream};
use crate::session::Session;
use crate::statement::{Isolation, Statement};
use arrow::array::RecordBatch;
use bytes::Bytes;
use catalog::definition::{ObjectName, TableDefinition, ViewDefinition};
use catalog::ids::{CommitSeq, ObjectId};
use catalog::snapshot::{Relation, Snapshot};
use catalog::sql_type::SqlType;
use catalog::user_type::TypeDefinition;
use catalog::zoned_time::is_zoned_time;
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use futures::{StreamExt, future, stream};
use moka::sync::Cache;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// The memory for answers, and for one of them.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Text, parameters and settings of a question that is remembered.
const QUESTION_BYTES_MAX: usize = 64 * 1024;
/// What an entry costs beside its rows.
const ENTRY_BYTES: usize = 1024;
/// The setting that switches it off for a session.
pub(crate) const QUERY_CACHE: &str = "meridian.query_cache";

/// What was asked, and all of the session that an answer can depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    text: String,
    declared: Vec<Option<SqlType>>,
    /// `None` where only the statement's columns are asked for.
    values: Option<Vec<(Format, Option<Bytes>)>>,
    settings: Arc<BTreeMap<String, String>>,
    user: String,
}

impl Question {
    /// The question that a session asks, if an answer to it may be one that was given before. Cheap where it may not.
    pub(crate) fn of(
        session: &Session,
        statement: &Statement,
        declared: &[Option<SqlType>],
        values: Option<&[ParameterValue]>,
    ) -> Option<Self> {
        let transaction = session.transaction.as_ref();
        let sees_more = session.temporary.is_some() || transaction.is_some_and(|transaction| transaction.has_changes());
        let is_serializable = transaction.is_some_and(|transaction| transaction.isolation() == Isolation::Serializable);
        // A time without a zone has today's displacement.
        let reads_today = declared.iter().flatten().any(|known| *innermost(known) == SqlType::TimeTz);
        if sees_more || is_serializable || reads_today {
            return None;
        }
        let settings = session.settings.shared_values().filter(|_| session.settings.often().query_cache)?;
        let values = values.map(|values| values.iter().map(|value| (value.format, value.bytes.clone())).collect());
        let (text, user) = (statement.text().to_string(), session.user.clone());
        let question = Self { text, declared: declared.to_vec(), values, settings, user };
        (question.bytes() <= QUESTION_BYTES_MAX).then_some(question)
    }

    fn bytes(&self) -> usize {
        let values = self.values.iter().flatten().filter_map(|(_, bytes)| bytes.as_ref()).map(Bytes::len);
        let settings = self.settings.iter().map(|(name, value)| name.len() + value.len());
        self.text.len() + values.chain(settings).sum::<usize>()
    }
}

/// What a plan was made from, as far as a snapshot holds it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dependencies {
    /// When each table was last changed, and its definition. Compaction and folding change neither.
    tables: BTreeMap<ObjectId, (CommitSeq, Weak<TableDefinition>)>,
    views: BTreeMap<ObjectId, Weak<ViewDefinition>>,
    /// There is more that the answer depends on.
    others: bool,
    /// A constant of the plan was computed from the clock or the session.
    now: bool,
}

impl Dependencies {
    /// Adds a relation and, of a view, all that it reads.
    pub(crate) fn add(&mut self, snapshot: &Snapshot, id: ObjectId) {
        match snapshot.relation_by_id(id) {
            Some(Relation::Table(table)) => {
                self.tables.insert(id, (table.changed_at, Arc::downgrade(&table.definition)));
            }
            Some(Relation::View(view)) => {
                let known = self.views.insert(id, Arc::downgrade(&view.definition)).is_some();
                let inputs = view.definition.inputs.iter().filter(|_| !known);
                inputs.for_each(|input| self.add(snapshot, *input));
            }
            Some(Relation::Sequence(_)) | None => self.others = true,
        }
    }

    /// Notes that something else is read.
    pub(crate) fn add_others(&mut self) {
        self.others = true;
    }

    /// Notes that a constant of the plan was computed from what depends on when it is planned.
    pub(crate) fn add_now(&mut self) {
        self.others = true;
        self.now = true;
    }

    /// Adds what a part of the plan depends on.
    pub(crate) fn extend(&mut self, part: &Self) {
        self.tables.extend(part.tables.iter().map(|(id, known)| (*id, known.clone())));
        self.views.extend(part.views.iter().map(|(id, known)| (*id, known.clone())));
        self.others |= part.others;
        self.now |= part.now;
    }

    pub(crate) fn has_now(&self) -> bool {
        self.now
    }
}

/// The names of a snapshot, which decide what the words of a query mean.
#[derive(Clone, Debug)]
struct Names {
    relations: Weak<BTreeMap<ObjectName, ObjectId>>,
    schemas: Weak<BTreeMap<String, ObjectId>>,
    types: Weak<BTreeMap<ObjectId, Arc<TypeDefinition>>>,
}

impl Names {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            relations: Arc::downgrade(&snapshot.names),
            schemas: Arc::downgrade(&snapshot.schemas),
            types: Arc::downgrade(&snapshot.types),
        }
    }

    fn are_of(&self, snapshot: &Snapshot) -> bool {
        is(&self.relations, &snapshot.names) && is(&self.schemas, &snapshot.schemas) && is(&self.types, &snapshot.types)
    }
}

fn is<T>(then: &Weak<T>, now: &Arc<T>) -> bool {
    std::ptr::eq(then.as_ptr(), Arc::as_ptr(now))
}

/// What is known of a question.
#[derive(Debug)]
pub(crate) struct Answer {
    pub parameters: Vec<SqlType>,
    pub columns: Vec<ResultColumn>,
    pub rows: Vec<RecordBatch>,
    names: Names,
    on: Dependencies,
}

impl Answer {
    /// Whether a reader of the snapshot would get the same; `rows` says whether rows matter or columns alone.
    fn holds_at(&self, snapshot: &Snapshot, rows: bool) -> bool {
        let tables = self.on.tables.iter().all(|(id, (changed_at, definition))| {
            let now = snapshot.tables.get(id);
            now.is_some_and(|now| is(definition, &now.definition) && (!rows || now.changed_at == *changed_at))
        });
        let views = || {
            let mut views = self.on.views.iter();
            views.all(|(id, then)| snapshot.views.get(id).is_some_and(|now| is(then, &now.definition)))
        };
        tables && self.names.are_of(snapshot) && views()
    }

    fn bytes(&self) -> usize {
        self.rows.iter().map(RecordBatch::get_array_memory_size).sum::<usize>() + ENTRY_BYTES
    }
}

/// Answers by question; those that are seldom asked for go first.
pub(crate) struct QueryCache {
    answers: Cache<Question, Arc<Answer>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl QueryCache {
    /// No answers yet, in a process that may use `memory_bytes`.
    pub(crate) fn new(memory_bytes: usize) -> Self {
        let weigh = |question: &Question, answer: &Arc<Answer>| (answer.bytes() + question.bytes()) as u32;
        let answers = Cache::builder().max_capacity(cache_bytes(memory_bytes, BYTES_MAX)).weigher(weigh).build();
        Self { answers, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }
}

/// What the cache holds, columns that are known without rows included, and how often rows were found in it since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheCounts {
    pub answers: u64,
    pub bytes: u64,
    pub hits: u64,
    pub misses: u64,
}

impl QueryCache {
    /// What is known of a question for a reader who plans it now.
    pub(crate) fn known(&self, question: Option<&Question>, planning: &Planning) -> Option<Arc<Answer>> {
        let question = question.filter(|_| planning.is_committed())?;
        let wants_rows = question.values.is_some();
        let known = self.answers.get(question).filter(|answer| answer.holds_at(&planning.snapshot, wants_rows));
        if wants_rows {
            let counter = if known.is_some() { &self.hits } else { &self.misses };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        known
    }

    pub(crate) fn counts(&self) -> CacheCounts {
        self.answers.run_pending_tasks();
        CacheCounts {
            answers: self.answers.entry_count(),
            bytes: self.answers.weighted_size(),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// Keeps the columns of a statement that a plan was made for.
    pub(crate) fn keep_columns(
        &self,
        question: Question,
        planning: &Planning,
        parameters: &[SqlType],
        columns: &[ResultColumn],
    ) {
        if let Some(answer) = unanswered(planning, parameters, columns) {
            self.answers.insert(question, Arc::new(answer));
        }
    }

    /// Passes rows on, and keeps them when they are all there, if they are few and `repeatable`, the same whenever the plan runs.
    pub(crate) fn keep_rows(
        self: &Arc<Self>,
        question: Option<Question>,
        (planning, repeatable): (&Planning, bool),
        columns: &[ResultColumn],
        rows: RowStream,
    ) -> RowStream {
        let question = question.filter(|_| repeatable);
        let answer = question.and_then(|question| Some((question, unanswered(planning, &[], columns)?)));
        let Some((question, answer)) = answer else { return rows };
        let gathered = Gathered { cache: Arc::clone(self), question, answer };
        let ended = stream::once(future::ready(None));
        let passed = rows.map(Some).chain(ended).scan(Some(gathered), |gathered, item| {
            *gathered = gathered.take().and_then(|gathered| gathered.with(item.as_ref()));
            future::ready(Some(item))
        });
        passed.filter_map(future::ready).boxed()
    }
}

/// An answer without rows, if what it depends on is known.
fn unanswered(planning: &Planning, parameters: &[SqlType], columns: &[ResultColumn]) -> Option<Answer> {
    let on = planning.dependencies();
    if on.others || !planning.is_committed() {
        return None;
    }
    Some(Answer {
        parameters: parameters.to_vec(),
        columns: columns.to_vec(),
        rows: Vec::new(),
        names: Names::of(&planning.snapshot),
        on,
    })
}

/// Whether a plan gives the same whenever it runs over the same rows.
pub(crate) fn is_repeatable(plan: &LogicalPlan) -> Result<bool> {
    let mut repeatable = true;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(inner) = scan.source.get_logical_plan()
        {
            repeatable &= is_repeatable(&inner)?;
        }
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                repeatable &= match part {
                    Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
                    // What is written without a zone has today's displacement.
                    Expr::Literal(value, _) => !is_zoned_time(&value.data_type()),
                    _ => true,
                };
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(if repeatable { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(repeatable)
}

/// Rows on their way to the client, until they are all there or too many.
struct Gathered {
    cache: Arc<QueryCache>,
    question: Question,
    answer: Answer,
}

impl Gathered {
    /// With the next item of the stream; its end keeps the answer.
    fn with(mut self, item: Option<&std::result::Result<RecordBatch, QueryError>>) -> Option<Self> {
        match item {
            Some(Ok(batch)) => {
                self.answer.rows.push(storage::compact(batch.clone()).ok()?);
                (self.answer.bytes() <= ANSWER_BYTES_MAX).then_some(self)
            }
            Some(Err(_)) => None,
            None => {
                self.cache.answers.insert(self.question, Arc::new(self.answer));
                None
            }
        }
    }
}
