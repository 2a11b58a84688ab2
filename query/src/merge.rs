//! MERGE: rows of a source change or delete the rows of a table that they match; those that match none are inserted.
//!
//! Two queries find what is to happen. Each gives the number of the clause that acts, and the values that the clauses write:
//!
//! ```text
//! MERGE INTO t USING s ON p                 SELECT t.__part, t.__row, clause, e, t.b, … FROM s JOIN t ON p
//!   WHEN MATCHED THEN UPDATE SET a = e   ▶
//!   WHEN NOT MATCHED THEN INSERT …          SELECT clause, v, … FROM s WHERE NOT EXISTS (SELECT 1 FROM t WHERE p)
//! ```
//!
//! So what is inserted cannot name the table, as in PostgreSQL. A source that gives other rows each time it is read would answer
//! the two queries differently, and is refused where both are needed.

use crate::assignment::{assigned, is_default, type_value};
use crate::definitions::volatile_function;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::execution::{compute, joined, stream};
use crate::explained_changes::{Outline, Purpose};
use crate::insert::{named_column, value_refused};
use crate::intake::{Intake, Taken};
use crate::modify::{assigned_values, changed_columns, delete_op, new_values, written_factor};
use crate::plan_constants::fill_values;
use crate::planner::{Planning, Sources};
use crate::prepared::Prepared;
use crate::query_places::place_of;
use crate::response::{CommandTag, ParameterValue, Response};
use crate::returning::{select, target_factor};
use crate::row_calls::refuse_calls;
use crate::row_rules::RowRules;
use crate::scan::{PART, ROW};
use crate::session::Session;
use crate::standard_spellings::nesting::each_expr;
use crate::statement::{Overriding, Statement};
use crate::statement_grammar::fold;
use crate::transaction::Change;
use crate::write_holds::WriteHold;
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int32Array, RecordBatch};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Int32Type, Int64Type, UInt32Type};
use catalog::definition::TableDefinition;
use catalog::snapshot::TableVersion;
use catalog::sql_type::SqlType;
use datafusion::logical_expr::{Expr as PlannedExpr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, Ident, SelectItem, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use futures::StreamExt;
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A MERGE as the client wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Merge {
    pub with: Option<ast::With>,
    pub target: TableFactor,
    pub source: TableFactor,
    pub on: Expr,
    pub clauses: Vec<MergeClause>,
}

/// `WHEN [NOT] MATCHED [AND condition] THEN action`
#[derive(Clone, Debug)]
pub(crate) struct MergeClause {
    pub matched: bool,
    pub condition: Option<Expr>,
    pub action: MergeAction,
}

impl MergeClause {
    /// Fails for calls that would make other rows than the pairs that the clause is about.
    fn refuse_calls(&self, planning: &Planning, statement: &Statement) -> Result<(), QueryError> {
        refuse_calls(planning, &self.condition, "MERGE WHEN conditions", statement)?;
        match &self.action {
            MergeAction::Update(set) => refuse_calls(planning, &assigned_values(set), "UPDATE", statement),
            MergeAction::Insert(insert) => refuse_calls(planning, &insert.values, "VALUES", statement),
            MergeAction::Delete | MergeAction::Nothing => Ok(()),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum MergeAction {
    Update(Vec<ast::Assignment>),
    Delete,
    Insert(MergeInsert),
    Nothing,
}

/// `values` are `None` for DEFAULT VALUES.
#[derive(Clone, Debug)]
pub(crate) struct MergeInsert {
    pub columns: Vec<Ident>,
    pub overriding: Overriding,
    pub values: Option<Vec<Expr>>,
}

impl VisitMut for Merge {
    #[allow(clippy::disallowed_methods, reason = "a part of the one walk")]
    fn visit<V: VisitorMut>(&mut self, visitor: &mut V) -> ControlFlow<V::Break> {
        self.with.visit(visitor)?;
        self.target.visit(visitor)?;
        self.source.visit(visitor)?;
        self.on.visit(visitor)?;
        for clause in &mut self.clauses {
            clause.condition.visit(visitor)?;
            match &mut clause.action {
                MergeAction::Update(assignments) => assignments.visit(visitor)?,
                MergeAction::Insert(insert) => insert.values.visit(visitor)?,
                MergeAction::Delete | MergeAction::Nothing => {}
            }
        }
        ControlFlow::Continue(())
    }
}

/// A row with a partner has two columns for its place before the number of the clause.
const BEFORE_MATCHED: usize = 3;

/// What the rows of one of the two queries are for.
struct Branch {
    /// Gives the columns before the values, then the values of each clause that writes rows, all columns of the table in order.
    plan: LogicalPlan,
    /// How many columns stand before the values; the last of them is the number of the clause.
    before: usize,
    /// The clauses that act, with their numbers.
    effects: Arc<Vec<(i32, Effect)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Update,
    Delete,
    Insert,
}

impl Effect {
    fn writes(self) -> bool {
        self != Self::Delete
    }
}

/// A MERGE planned over one snapshot.
pub(crate) struct Planned {
    table: Arc<TableDefinition>,
    version: Arc<TableVersion>,
    /// The types of the statement's parameters.
    pub parameters: Vec<SqlType>,
    matched: Option<Branch>,
    unmatched: Option<Branch>,
}

impl Planned {
    fn branches(&self) -> impl Iterator<Item = &Branch> {
        self.matched.iter().chain(&self.unmatched)
    }
}

/// A MERGE that is planned with its parameters and has not begun.
pub(crate) struct Ready<'a> {
    merge: &'a Merge,
    statement: &'a Statement,
    planning: Arc<Planning>,
    hold: Option<WriteHold>,
    planned: Planned,
    /// Of the planned branches, in order.
    physical: Vec<Arc<dyn ExecutionPlan>>,
}

/// Runs a MERGE.
pub(crate) async fn run(
    session: &mut Session,
    merge: &Merge,
    statement: &Statement,
    bound: (&Prepared, &[ParameterValue]),
) -> Result<Response, QueryError> {
    ready(session, merge, statement, bound, Purpose::Run).await?.run(session).await
}

/// Plans a MERGE with the values of its parameters.
pub(crate) async fn ready<'a>(
    session: &mut Session,
    merge: &'a Merge,
    statement: &'a Statement,
    (prepared, parameters): (&Prepared, &[ParameterValue]),
    purpose: Purpose,
) -> Result<Ready<'a>, QueryError> {
    let style = session.output_style();
    let (values, types) = session.bind(prepared, parameters)?;
    let (table, _) = target(session.planning()?.as_ref(), merge, statement)?;
    let (hold, planning) = purpose.planning_over(session, table.id).await?;
    let (over, mut tree, owned) = (Arc::clone(&planning), merge.clone(), statement.clone());
    fill_values(&mut tree, &prepared.parameters, parameters, &style)?;
    let (planned, physical) = compute(&session.engine, &session.token, async move {
        let planned = plan(&over, &tree, &types, &owned)?;
        let mut physical = Vec::new();
        for branch in planned.branches() {
            let bound = branch.plan.clone().with_param_values(values.clone());
            let bound = bound.map_err(|error| translate(error, Some(&owned)))?;
            physical.push(purpose.physical_plan(&over, bound, &owned).await?);
        }
        Ok((planned, physical))
    })
    .await?;
    Ok(Ready { merge, statement, planning, hold, planned, physical })
}

impl Ready<'_> {
    pub(crate) fn outline(&self) -> Outline {
        let name = match &self.merge.target {
            TableFactor::Table { alias, .. } => alias.as_ref().map(|alias| fold(&alias.name)),
            _ => None,
        };
        let purposes = self.planned.branches().map(|branch| match branch.before {
            BEFORE_MATCHED => "WHEN MATCHED",
            _ => "WHEN NOT MATCHED",
        });
        Outline::of_change("Merge", &self.planned.table, name, &self.planning)
            .with_plans_for(purposes.zip(self.physical.iter().cloned()))
    }

    pub(crate) async fn run(self, session: &mut Session) -> Result<Response, QueryError> {
        let Self { planning, planned, .. } = self;
        let mut writer = Writer::new(session, &planning, &planned, self.merge)?;
        for (branch, plan) in planned.branches().zip(self.physical) {
            writer = take_all(session, &planning, (branch, plan), writer, self.statement).await?;
        }
        let engine = Arc::clone(&session.engine);
        let taken = joined(session.engine.compute().spawn_blocking(move || writer.finish(&engine)).await)?;
        let (rows, mut change) = taken.enforced(session, &planning.snapshot).await.map_err(|failure| failure.error)?;
        change.holds.extend(self.hold);
        session.add_change(change)?;
        Ok(Response::Command(CommandTag::Rows("MERGE", rows)))
    }
}

/// Gives the rows of a branch to the writer.
async fn take_all(
    session: &Session,
    planning: &Planning,
    (branch, plan): (&Branch, Arc<dyn ExecutionPlan>),
    mut writer: Writer,
    statement: &Statement,
) -> Result<Writer, QueryError> {
    let (before, effects) = (branch.before, &branch.effects);
    let mut rows = stream(&session.engine, &session.token, plan, &planning.state, Some(statement.clone()));
    while let Some(batch) = rows.next().await {
        let (batch, effects) = (batch?, Arc::clone(effects));
        let work = move || writer.take(&batch, before, &effects).map(|()| writer);
        writer = joined(session.engine.compute().spawn_blocking(work).await)?;
    }
    Ok(writer)
}

fn target(
    planning: &Planning,
    merge: &Merge,
    statement: &Statement,
) -> Result<(Arc<TableDefinition>, Ident), QueryError> {
    written_factor(planning, Some(&merge.target), "MERGE", statement)
}

/// Plans the queries that find what each clause does.
pub(crate) fn plan(
    planning: &Planning,
    merge: &Merge,
    declared: &[Option<SqlType>],
    statement: &Statement,
) -> Result<Planned, QueryError> {
    let (table, name) = target(planning, merge, statement)?;
    let version = planning.snapshot.tables.get(&table.id).cloned().ok_or_else(|| {
        QueryError::new(ErrorKind::UndefinedTable, format!("relation \"{}\" does not exist", table.name.name))
    })?;
    for clause in &merge.clauses {
        clause.refuse_calls(planning, statement)?;
    }
    let matched = Clauses::of(merge, true, &table, &name, statement)?;
    let unmatched = Clauses::of(merge, false, &table, &name, statement)?;
    let over = planning.with_sources(Sources::Target(planning.places_source(&version)));
    let [of_matched, of_unmatched] = [matched.query(merge, &name)?, unmatched.query(merge, &name)?];
    // Parameters have one type in the whole statement, so it is looked for in both queries at once.
    let parameters = over.parameter_types(&both(&of_matched, &of_unmatched), declared, Some(statement))?;
    let types: Vec<_> = parameters.iter().cloned().map(Some).collect();
    // Without a clause that needs them the pairs are planned all the same, for the names in ON.
    let pairs = over.query_plan(&of_matched, &types, Some(statement))?;
    if matched.acts() && unmatched.acts() {
        refuse_volatile_source(&over, merge, &name, &types, statement)?;
    }
    let branch = |clauses: Clauses, plan: LogicalPlan| {
        let plan = clauses.in_column_types(planning, plan, &table, statement)?;
        Ok::<_, QueryError>(Branch { plan, before: clauses.before(), effects: Arc::new(clauses.effects) })
    };
    let unmatched = match unmatched.acts() {
        true => Some(branch(unmatched, over.query_plan(&of_unmatched, &types, Some(statement))?)?),
        false => None,
    };
    let matched = if matched.acts() { Some(branch(matched, pairs)?) } else { None };
    Ok(Planned { table, version, parameters, matched, unmatched })
}

/// A query that has everything in it that the two have.
fn both(first: &ast::Query, second: &ast::Query) -> ast::Query {
    let mut query = first.clone();
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        let exists = Expr::Exists { subquery: Box::new(second.clone()), negated: false };
        select.selection = Some(match select.selection.take() {
            Some(selection) => and(selection, exists),
            None => exists,
        });
    }
    query
}

fn refuse_volatile_source(
    over: &Planning,
    merge: &Merge,
    name: &Ident,
    types: &[Option<SqlType>],
    statement: &Statement,
) -> Result<(), QueryError> {
    let one = SelectItem::UnnamedExpr(number(1));
    let query = select(vec![one], vec![pairs(merge, name)], None, merge.with.clone())?;
    let Some(function) = volatile_function(&over.query_plan(&query, types, Some(statement))?) else { return Ok(()) };
    let message = format!("MERGE from a source that calls {function}()");
    Err(QueryError::unsupported(message)
        .detail("The source is read once for the rows that match and once for those that do not.")
        .hint("Put its rows into a table first."))
}

/// `source JOIN target ON condition`
fn pairs(merge: &Merge, name: &Ident) -> TableWithJoins {
    let constraint = ast::JoinConstraint::On(merge.on.clone());
    let join_operator = ast::JoinOperator::Inner(constraint);
    let join = ast::Join { relation: target_factor(name), global: false, join_operator };
    TableWithJoins { relation: merge.source.clone(), joins: vec![join] }
}

fn number(value: i32) -> Expr {
    Expr::value(ast::Value::Number(value.to_string(), false))
}

fn and(left: Expr, right: Expr) -> Expr {
    let nested = |part| Box::new(Expr::Nested(Box::new(part)));
    Expr::BinaryOp { left: nested(left), op: BinaryOperator::And, right: nested(right) }
}

/// The clauses for rows that match, or for those that do not.
struct Clauses {
    matched: bool,
    /// Each condition with the number of the clause that acts, 0 for none; the last may have none.
    decisions: Vec<(Option<Expr>, i32)>,
    effects: Vec<(i32, Effect)>,
    /// For each effect that writes rows the values of all columns.
    values: Vec<(i32, Vec<Expr>)>,
}

impl Clauses {
    fn of(
        merge: &Merge,
        matched: bool,
        table: &TableDefinition,
        name: &Ident,
        statement: &Statement,
    ) -> Result<Self, QueryError> {
        let mut clauses = Self { matched, decisions: Vec::new(), effects: Vec::new(), values: Vec::new() };
        let these = merge.clauses.iter().filter(|clause| clause.matched == matched);
        for (clause, number) in these.zip(1..) {
            let (effect, values) = match &clause.action {
                MergeAction::Nothing => {
                    clauses.decisions.push((clause.condition.clone(), 0));
                    continue;
                }
                MergeAction::Update(set) => (Effect::Update, Some(new_values(table, name, Some(set), statement)?)),
                MergeAction::Delete => (Effect::Delete, None),
                MergeAction::Insert(insert) => (Effect::Insert, Some(inserted_values(table, insert, statement)?)),
            };
            if !matched {
                refuse_target(clause, name, statement)?;
            }
            clauses.decisions.push((clause.condition.clone(), number));
            clauses.effects.push((number, effect));
            clauses.values.extend(values.map(|values| (number, values)));
        }
        Ok(clauses)
    }

    /// Whether any of them does anything.
    fn acts(&self) -> bool {
        !self.effects.is_empty()
    }

    fn before(&self) -> usize {
        if self.matched { BEFORE_MATCHED } else { 1 }
    }

    /// The number of the clause that acts on a row.
    fn decision(&self) -> Expr {
        let otherwise =
            self.decisions.iter().find(|(condition, _)| condition.is_none()).map_or(0, |(_, number)| *number);
        let conditions: Vec<ast::CaseWhen> = self
            .decisions
            .iter()
            .filter_map(|(condition, chosen)| {
                condition.clone().map(|condition| ast::CaseWhen { condition, result: number(*chosen) })
            })
            .collect();
        if conditions.is_empty() { number(otherwise) } else { case(None, conditions, Some(number(otherwise))) }
    }

    /// Whether the same clause acts on every row.
    fn is_unconditional(&self) -> bool {
        self.decisions.first().is_some_and(|(condition, _)| condition.is_none())
    }

    fn query(&self, merge: &Merge, name: &Ident) -> Result<ast::Query, QueryError> {
        let own = |column| SelectItem::UnnamedExpr(Expr::CompoundIdentifier(vec![name.clone(), Ident::new(column)]));
        let mut items = if self.matched { vec![own(PART), own(ROW)] } else { Vec::new() };
        let named = |expr, alias: String| SelectItem::ExprWithAlias { expr, alias: Ident::new(alias) };
        items.push(named(self.decision(), "__clause".to_string()));
        for (chosen, values) in &self.values {
            for (index, value) in values.iter().enumerate() {
                // A value that another clause's row would fail at is not computed for it. A NULL would be text in a CASE.
                let value = if self.is_unconditional() || is_null(value) {
                    value.clone()
                } else {
                    let when = ast::CaseWhen { condition: number(*chosen), result: value.clone() };
                    case(Some(self.decision()), vec![when], None)
                };
                items.push(named(value, format!("__value{chosen}_{index}")));
            }
        }
        let acts = (!self.is_unconditional() && self.acts()).then(|| Expr::BinaryOp {
            left: Box::new(self.decision()),
            op: BinaryOperator::NotEq,
            right: Box::new(number(0)),
        });
        if self.matched {
            return select(items, vec![pairs(merge, name)], acts, merge.with.clone());
        }
        let target = TableWithJoins { relation: target_factor(name), joins: Vec::new() };
        let one = SelectItem::UnnamedExpr(number(1));
        let partners = select(vec![one], vec![target], Some(merge.on.clone()), None)?;
        let alone = Expr::Exists { subquery: Box::new(partners), negated: true };
        let selection = match acts {
            Some(acts) => and(alone, acts),
            None => alone,
        };
        let source = TableWithJoins { relation: merge.source.clone(), joins: Vec::new() };
        select(items, vec![source], Some(selection), merge.with.clone())
    }

    /// Casts the values to their columns' types, by assignment.
    fn in_column_types(
        &self,
        planning: &Planning,
        plan: LogicalPlan,
        table: &TableDefinition,
        statement: &Statement,
    ) -> Result<LogicalPlan, QueryError> {
        let _types = planning.knows_types();
        let context = planning.cast_context();
        let given: Vec<&Expr> = self.values.iter().flat_map(|(_, values)| values).collect();
        let columns = plan.schema().columns();
        let projected = columns.iter().enumerate().map(|(index, column)| {
            let value = PlannedExpr::Column(column.clone());
            let Some(position) = index.checked_sub(self.before()) else { return Ok(value) };
            let target = &table.columns[position % table.columns.len()];
            assigned(value, plan.schema().field(index), target, &context)
                .map(|value| value.alias(format!("__new{position}")))
                .map_err(|error| error.position(place_of(statement, given[position])))
        });
        let projected = projected.collect::<Result<Vec<_>, QueryError>>()?;
        let plan = LogicalPlanBuilder::from(plan).project(projected).and_then(LogicalPlanBuilder::build);
        plan.map_err(|error| translate(error, Some(statement)))
    }
}

fn is_null(value: &Expr) -> bool {
    match value {
        Expr::Nested(inner) => is_null(inner),
        Expr::Value(value) => value.value == ast::Value::Null,
        _ => false,
    }
}

fn case(operand: Option<Expr>, conditions: Vec<ast::CaseWhen>, otherwise: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: operand.map(Box::new),
        conditions,
        else_result: otherwise.map(Box::new),
    }
}

/// The values of all columns of a row that a clause inserts.
fn inserted_values(
    table: &TableDefinition,
    insert: &MergeInsert,
    statement: &Statement,
) -> Result<Vec<Expr>, QueryError> {
    let given = insert.values.as_deref().unwrap_or_default();
    let mut positions = Vec::new();
    for column in &insert.columns {
        let position = named_column(table, &fold(column), &positions);
        positions.push(position.map_err(|error| error.position(statement.place_of(column.span)))?);
    }
    if insert.columns.is_empty() {
        positions = (0..given.len().min(table.columns.len())).collect();
    }
    let unequal = |message: &str, place| Err(QueryError::new(ErrorKind::Syntax, message).position(place));
    if let Some(surplus) = given.get(positions.len()) {
        return unequal("INSERT has more expressions than target columns", place_of(statement, surplus));
    }
    if let Some(surplus) = insert.columns.get(given.len()).filter(|_| insert.values.is_some()) {
        return unequal("INSERT has more target columns than expressions", statement.place_of(surplus.span));
    }
    let mut values: BTreeMap<usize, &Expr> = positions.into_iter().zip(given).collect();
    let columns = table.columns.iter().enumerate().map(|(position, column)| {
        let mut value = values.remove(&position).cloned().unwrap_or_else(default_word);
        if !is_default(&value)
            && let Some(error) = value_refused(column, insert.overriding)
        {
            return Err(error);
        }
        if column.identity.is_some() && insert.overriding == Overriding::User {
            value = default_word();
        }
        if column.generated.is_some() {
            return Ok(Expr::value(ast::Value::Null));
        }
        type_value(&mut value, column)?;
        Ok(value)
    });
    columns.collect()
}

/// Fails where a clause for rows without a partner names the table: there is no row of it.
fn refuse_target(clause: &MergeClause, name: &Ident, statement: &Statement) -> Result<(), QueryError> {
    let name = fold(name);
    let in_values = || match &clause.action {
        MergeAction::Insert(insert) => qualified_by(&insert.values, &name),
        _ => None,
    };
    let Some(span) = qualified_by(&clause.condition, &name).or_else(in_values) else { return Ok(()) };
    let message = format!("invalid reference to FROM-clause entry for table \"{name}\"");
    let hint =
        format!("There is an entry for table \"{name}\", but it cannot be referenced from this part of the query.");
    Err(QueryError::new(ErrorKind::UndefinedTable, message).hint(hint).position(statement.place_of(span)))
}

/// Where a column is qualified by a name, outside of subqueries, which may have a relation of that name.
fn qualified_by(tree: &impl ast::Visit, name: &str) -> Option<Span> {
    each_expr(tree, |expression, queries| match expression {
        Expr::CompoundIdentifier(names)
            if queries == 0 && names.len() >= 2 && fold(&names[names.len() - 2]) == name =>
        {
            ControlFlow::Break(names[names.len() - 2].span)
        }
        _ => ControlFlow::Continue(()),
    })
    .break_value()
}

fn default_word() -> Expr {
    Expr::Identifier(Ident::new("default"))
}

/// Takes the rows of both queries.
struct Writer {
    table: Arc<TableDefinition>,
    version: Arc<TableVersion>,
    found: BTreeMap<u32, RoaringBitmap>,
    rules: Arc<RowRules>,
    /// What the clauses for rows with a partner hold against the rows that they change, by the clauses' numbers.
    update_rules: BTreeMap<i32, Arc<RowRules>>,
    intake: Intake,
    inserted: u64,
}

impl Writer {
    fn new(session: &Session, planning: &Arc<Planning>, planned: &Planned, merge: &Merge) -> Result<Self, QueryError> {
        let rules = RowRules::of(planning, &planned.table)?;
        let mut intake = Intake::new(&session.engine, Arc::clone(&planned.table))?.beside(session.inline_bytes());
        if planned.unmatched.is_none() {
            let changed = merge.clauses.iter().filter_map(|clause| match &clause.action {
                MergeAction::Update(set) => Some(changed_columns(&planned.table, set)),
                _ => None,
            });
            intake = intake.with_keys_of(&changed.flatten().collect::<BTreeSet<_>>());
        }
        let (table, version) = (Arc::clone(&planned.table), Arc::clone(&planned.version));
        let matched = merge.clauses.iter().filter(|clause| clause.matched);
        let update_rules = matched.zip(1..).filter_map(|(clause, number)| match &clause.action {
            MergeAction::Update(set) => {
                let changed = changed_columns(&table, set);
                Some((number, rules.of_changed(|column| changed.contains(&column))))
            }
            _ => None,
        });
        let update_rules = update_rules.collect();
        Ok(Self { table, version, found: BTreeMap::new(), rules, update_rules, intake, inserted: 0 })
    }

    /// Takes a batch of one of the queries. CPU-bound.
    fn take(&mut self, batch: &RecordBatch, before: usize, effects: &[(i32, Effect)]) -> Result<(), QueryError> {
        let chosen = arrow::compute::cast(batch.column(before - 1), &DataType::Int32)
            .map_err(|error| translate(error.into(), None))?;
        let chosen = chosen.as_primitive::<Int32Type>();
        if before > 1 {
            self.note_places(batch, chosen)?;
        }
        let mut start = before;
        for (number, effect) in effects.iter().filter(|(_, effect)| effect.writes()) {
            let columns = &batch.columns()[start..start + self.table.columns.len()];
            start += self.table.columns.len();
            let acts: BooleanArray = chosen.iter().map(|one| Some(one == Some(*number))).collect();
            if acts.true_count() == 0 {
                continue;
            }
            let values = self.table.columns.iter().zip(columns).map(|(column, array)| {
                let kept = filter(array, &acts)?;
                arrow::compute::cast(&kept, &column.sql_type.data_type())
            });
            let values = values.collect::<Result<Vec<ArrayRef>, _>>();
            let values = values.map_err(|error| translate(error.into(), None))?;
            let rules = match effect {
                Effect::Update => self.update_rules.get(number).unwrap_or(&self.rules),
                _ => &self.rules,
            };
            let rows = rules.checked(values).map_err(|violation| violation.error)?;
            self.inserted += if *effect == Effect::Insert { rows.num_rows() as u64 } else { 0 };
            self.intake.push(rows)?;
        }
        Ok(())
    }

    /// Notes the rows that a clause acts on. A row can be changed once.
    fn note_places(&mut self, batch: &RecordBatch, chosen: &Int32Array) -> Result<(), QueryError> {
        let parts = batch.column(0).as_primitive::<UInt32Type>().values().iter();
        let rows = batch.column(1).as_primitive::<Int64Type>().values().iter();
        for ((part, row), _) in parts.zip(rows).zip(chosen.values()).filter(|(_, chosen)| **chosen != 0) {
            if !self.found.entry(*part).or_default().insert(*row as u32) {
                let message = "MERGE command cannot affect row a second time";
                return Err(QueryError::new(ErrorKind::CardinalityViolation, message)
                    .hint("Ensure that not more than one source row matches any one target row."));
            }
        }
        Ok(())
    }

    /// The change that all of it is. CPU-bound: the last new segments are written here.
    fn finish(self, engine: &crate::engine::Engine) -> Result<Taken, QueryError> {
        let found: u64 = self.found.values().map(RoaringBitmap::len).sum();
        let mut change = Change::default();
        if found > 0 {
            change.ops.push(delete_op(&self.version, self.found));
        }
        let added = self.intake.finish(engine)?;
        change.ops.extend(added.change.ops);
        change.staged.extend(added.change.staged);
        Ok(Taken { rows: found + self.inserted, change, definition: self.table, keys: added.keys })
    }
}
