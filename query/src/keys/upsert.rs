//! INSERT … ON CONFLICT: rows whose key is there already are left out, or change the row that has it.
//!
//!     proposed rows ─▶ decide: the key is free           ─▶ insert
//!                              a row of the table has it ─▶ DO NOTHING: left out    DO UPDATE: update it
//!                              a row before it has it    ─▶ DO NOTHING: left out    DO UPDATE: 21000
//!
//! The rows to update are read by their places and set beside the rows that were proposed for them, under the names
//! of the table and of `excluded`; the new values are a query over the two:
//!
//!     SET a = t.a + excluded.a WHERE p   ▶   SELECT …, t.a + excluded.a, t.b
//!                                            FROM __target AS t, __excluded AS excluded
//!                                            WHERE t.__ordinal = excluded.__ordinal AND p
//!
//! Proposed rows are held in memory, which counts against the budget of the process. All keys of what was inserted or
//! updated are checked at the end, as those of any statement.

use super::check::parts_of;
use super::index::{KeyIndexes, Part};
use super::log::KeyLog;
use super::shape::{KeyShape, internal};
use crate::definitions::identifier;
use crate::engine::Engine;
use crate::engine_error::translate;
use crate::error::{ErrorKind, QueryError};
use crate::execution::{compute, joined};
use crate::insert::Written;
use crate::intake::Intake;
use crate::modify::{assigned_values, changed_columns, delete_op, in_column_types, new_values, refuse_declared};
use crate::plan_constants::fill_values;
use crate::planner::{EXCLUDED, Planning, Sources};
use crate::prepared::Prepared;
use crate::response::ParameterValue;
use crate::returning::{select, table_factor, target_factor};
use crate::row_calls::refuse_calls;
use crate::row_rules::RowRules;
use crate::session::Session;
use crate::statement::Statement;
use crate::statement_grammar::fold;
use crate::transaction::Change;
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use catalog::definition::TableDefinition;
use catalog::snapshot::TableVersion;
use catalog::sql_type::SqlType;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{LogicalPlan, TableSource};
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, ConflictTarget, DoUpdate, Expr, Ident, OnConflictAction, OnInsert, SelectItem, Spanned,
    TableWithJoins,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, Tokenizer};
use futures::TryStreamExt;
use roaring::RoaringBitmap;
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// The column that numbers the proposed rows; `Int64`, not null.
const ORDINAL: &str = "__ordinal";

/// A key's bytes: equal for equal keys of one constraint.
pub(super) type KeyBytes = SmallVec<[u8; 16]>;

/// What is to happen with rows whose key is taken.
pub(crate) struct Upsert {
    /// The keys that are looked at.
    arbiters: Vec<Arc<KeyShape>>,
    /// Whether the statement says which these are.
    has_target: bool,
    update: Option<DoUpdate>,
    /// What the statement calls the table.
    name: Ident,
}

/// Where the rows of an INSERT go.
pub(crate) enum Sink {
    Intake(Intake),
    /// To wait until it is known which of them conflict.
    Proposed(Upsert, Proposed),
}

/// Rows that a statement wants to insert, until it is known which of them it can.
pub(crate) struct Proposed {
    batches: Vec<RecordBatch>,
    memory: MemoryReservation,
}

impl Sink {
    pub(crate) fn new(
        session: &Session,
        definition: &Arc<TableDefinition>,
        upsert: Option<Upsert>,
    ) -> Result<Self, QueryError> {
        Ok(match upsert {
            Some(upsert) => {
                let consumer = MemoryConsumer::new("rows of INSERT … ON CONFLICT");
                let memory = consumer.register(&session.engine.memory_pool());
                Self::Proposed(upsert, Proposed { batches: Vec::new(), memory })
            }
            None => {
                let intake = Intake::new(&session.engine, Arc::clone(definition))?;
                Self::Intake(intake.beside(session.inline_bytes()))
            }
        })
    }

    /// Takes rows that are already checked, but for their keys. CPU-bound.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<(), QueryError> {
        match self {
            Self::Intake(intake) => intake.push(batch),
            Self::Proposed(_, proposed) => proposed.push(batch),
        }
    }

    /// What was written and the change that writes it. `returned` are the rows that were pushed, where they are wanted.
    pub(crate) async fn written(
        self,
        session: &Session,
        planning: &Arc<Planning>,
        definition: &Arc<TableDefinition>,
        returned: Vec<RecordBatch>,
        prepared: (&Prepared, &[ParameterValue]),
        statement: &Statement,
    ) -> Result<(Written, Change), QueryError> {
        match self {
            Self::Proposed(upsert, proposed) => {
                upsert.apply(session, planning, definition, proposed, prepared, statement).await
            }
            Self::Intake(intake) => {
                let engine = Arc::clone(&session.engine);
                let taken = joined(session.engine.compute().spawn_blocking(move || intake.finish(&engine)).await)?;
                let enforced = taken.enforced(session, &planning.snapshot).await;
                let (rows, change) = enforced.map_err(|failure| failure.error)?;
                Ok((Written { rows, returned }, change))
            }
        }
    }
}

impl Proposed {
    fn push(&mut self, batch: RecordBatch) -> Result<(), QueryError> {
        // Putting the batches together takes their size once more.
        let bytes = 2 * batch.get_array_memory_size();
        self.memory.try_grow(bytes).map_err(|error| translate(error, None))?;
        self.batches.push(batch);
        Ok(())
    }
}

/// What the ON CONFLICT of an INSERT says; `None` where there is none.
pub(crate) fn of_insert(
    planning: &Planning,
    insert: &ast::Insert,
    definition: &TableDefinition,
    statement: &Statement,
) -> Result<Option<Upsert>, QueryError> {
    let conflict = match &insert.on {
        None => return Ok(None),
        Some(OnInsert::OnConflict(conflict)) => conflict,
        Some(_) => return Err(QueryError::new(ErrorKind::Syntax, "syntax error at or near \"DUPLICATE\"")),
    };
    let update = match &conflict.action {
        OnConflictAction::DoNothing => None,
        OnConflictAction::DoUpdate(update) => Some(update.clone()),
    };
    let values = update.iter().flat_map(|update| assigned_values(&update.assignments));
    refuse_calls(planning, &values.collect::<Vec<_>>(), "UPDATE", statement)?;
    let arbiters = arbiters(conflict.conflict_target.as_ref(), definition, statement)?;
    if conflict.conflict_target.is_none() && update.is_some() {
        let message = "ON CONFLICT DO UPDATE requires inference specification or constraint name";
        let first = update.as_ref().and_then(|update| update.assignments.first());
        let place = first.and_then(|set| place_before(statement, set.span(), &Token::make_keyword("ON")));
        let error = QueryError::new(ErrorKind::Syntax, message).hint("For example, ON CONFLICT (column_name).");
        return Err(error.position(place));
    }
    let bare = || Ident::with_quote('"', &definition.name.name);
    let name = insert.table_alias.as_ref().map_or_else(bare, |alias| alias.alias.clone());
    Ok(Some(Upsert { arbiters, has_target: conflict.conflict_target.is_some(), update, name }))
}

/// Where the last such token before something stands, whatever its case.
fn place_before(statement: &Statement, span: Span, wanted: &Token) -> Option<usize> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, &statement.source).tokenize_with_location().ok()?;
    let before = tokens.iter().take_while(|token| token.span.start < span.start);
    let same = |token: &Token| match (token, wanted) {
        (Token::Word(word), Token::Word(wanted)) => word.keyword == wanted.keyword,
        (token, wanted) => token == wanted,
    };
    statement.place_of(before.filter(|token| same(&token.token)).last()?.span)
}

/// The keys that a conflict target means: all of them where there is none.
fn arbiters(
    target: Option<&ConflictTarget>,
    definition: &TableDefinition,
    statement: &Statement,
) -> Result<Vec<Arc<KeyShape>>, QueryError> {
    let mut shapes = KeyShape::of_table(definition)?;
    match target {
        None => {}
        Some(ConflictTarget::OnConstraint(name)) => {
            let wanted = name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
            shapes.retain(|shape| shape.key.name == wanted && !shape.key.index);
            if shapes.is_empty() {
                let table = &definition.name.name;
                let message = format!("constraint \"{wanted}\" for table \"{table}\" does not exist");
                return Err(QueryError::new(ErrorKind::UndefinedObject, message));
            }
        }
        Some(ConflictTarget::Columns(names)) => {
            let mut wanted = HashSet::new();
            for name in names {
                let folded = fold(name);
                let found = definition.columns.iter().find(|column| column.name == folded);
                let column = found.ok_or_else(|| {
                    QueryError::new(ErrorKind::UndefinedColumn, format!("column \"{folded}\" does not exist"))
                        .position(place_before(statement, name.span, &Token::LParen))
                })?;
                wanted.insert(column.id);
            }
            shapes.retain(|shape| shape.key.columns.iter().copied().collect::<HashSet<_>>() == wanted);
            if shapes.is_empty() {
                let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
                return Err(QueryError::new(ErrorKind::InvalidColumnReference, message));
            }
        }
    }
    Ok(shapes)
}

impl Upsert {
    /// What EXPLAIN says of it, as PostgreSQL does.
    pub(crate) fn lines(&self) -> Vec<String> {
        let resolution = if self.update.is_some() { "UPDATE" } else { "NOTHING" };
        let mut lines = vec![format!("Conflict Resolution: {resolution}")];
        if self.has_target {
            let names: Vec<String> =
                self.arbiters.iter().map(|shape| identifier(&shape.key.name).to_string()).collect();
            lines.push(format!("Conflict Arbiter Indexes: {}", names.join(", ")));
        }
        lines
    }

    /// Whether rows that are there may change, for which the table has to be held.
    pub(crate) fn updates(&self) -> bool {
        self.update.is_some()
    }

    /// The types of the statement's parameters as far as they are known, given those that its source says.
    pub(crate) fn parameters(
        &self,
        planning: &Planning,
        definition: &TableDefinition,
        known: &[Option<SqlType>],
        statement: &Statement,
    ) -> Result<Vec<Option<SqlType>>, QueryError> {
        let Some(update) = &self.update else { return Ok(known.to_vec()) };
        let schema = numbered_schema(definition);
        let empty = || rows_source(RecordBatch::new_empty(Arc::clone(&schema)));
        let over = planning.with_sources(Sources::Upsert { target: empty()?, excluded: empty()? });
        let query = self.query(definition, update, statement)?.0;
        refuse_declared(definition, &update.assignments, known, statement)?;
        over.types_so_far(&query, known, Some(statement))
    }

    /// The query for the new values of rows that are updated, and those values: two ordinals, then the table's columns.
    fn query(
        &self,
        definition: &TableDefinition,
        update: &DoUpdate,
        statement: &Statement,
    ) -> Result<(ast::Query, Vec<Expr>), QueryError> {
        let values = new_values(definition, &self.name, Some(&update.assignments), statement)?;
        let excluded = Ident::new("excluded");
        let ordinal = |name: &Ident| Expr::CompoundIdentifier(vec![name.clone(), Ident::new(ORDINAL)]);
        let (of_target, of_excluded) = (ordinal(&self.name), ordinal(&excluded));
        let leading = [&of_target, &of_excluded].into_iter().chain(&values).enumerate();
        let items = leading.map(|(index, value)| SelectItem::ExprWithAlias {
            expr: value.clone(),
            alias: Ident::new(format!("__value{index}")),
        });
        let same = Expr::BinaryOp {
            left: Box::new(of_target.clone()),
            op: BinaryOperator::Eq,
            right: Box::new(of_excluded.clone()),
        };
        let selection = match &update.selection {
            None => same,
            Some(wanted) => Expr::BinaryOp {
                left: Box::new(same),
                op: BinaryOperator::And,
                right: Box::new(Expr::Nested(Box::new(wanted.clone()))),
            },
        };
        let alias = ast::TableAlias { explicit: true, name: excluded, columns: Vec::new(), at: None };
        let proposed = table_factor(ast::ObjectName::from(vec![Ident::new(EXCLUDED)]), Some(alias));
        let from = [target_factor(&self.name), proposed];
        let from = from.map(|relation| TableWithJoins { relation, joins: Vec::new() }).to_vec();
        Ok((select(items.collect(), from, Some(selection), None)?, values))
    }

    /// Inserts and updates. Gives the rows that were written, in the order in which they were proposed.
    async fn apply(
        self,
        session: &Session,
        planning: &Arc<Planning>,
        definition: &Arc<TableDefinition>,
        proposed: Proposed,
        prepared: (&Prepared, &[ParameterValue]),
        statement: &Statement,
    ) -> Result<(Written, Change), QueryError> {
        let version = planning.snapshot.tables.get(&definition.id).cloned().ok_or_else(|| {
            QueryError::new(ErrorKind::UndefinedTable, format!("relation \"{}\" does not exist", definition.name.name))
        })?;
        planning.note_read(definition.id);
        let (engine, table, shapes) = (Arc::clone(&session.engine), Arc::clone(definition), self.arbiters.clone());
        let (parts, updates) = (parts_of(&version), self.updates());
        let work = session.engine.compute().spawn_blocking(move || {
            let rows = concat_batches(&table.schema(), &proposed.batches).map_err(internal)?;
            let decision = Decision::of(&engine, &parts, &shapes, &rows, updates)?;
            let found = decision.updated_rows(&engine.keys, &table, &parts)?;
            Ok((rows, decision, found, proposed.memory))
        });
        let (rows, decision, found, _memory) = session.token.guard(async { joined(work.await) }).await?;
        let updated = match (&self.update, found) {
            (Some(update), Some(found)) => {
                let sources = decision.sources(definition, &rows, found)?;
                let over = Arc::new(planning.with_sources(sources));
                let updated = self.updated(session, over, definition, update, prepared, statement).await?;
                decision.refuse_second_changes(&updated.ordinals)?;
                updated
            }
            _ => Updated::none(definition),
        };
        self.write(session, planning, definition, &version, &rows, &decision, updated).await
    }

    /// Runs the query for the new values; `over` knows the rows that it is about.
    async fn updated(
        &self,
        session: &Session,
        over: Arc<Planning>,
        definition: &Arc<TableDefinition>,
        update: &DoUpdate,
        (prepared, parameters): (&Prepared, &[ParameterValue]),
        statement: &Statement,
    ) -> Result<Updated, QueryError> {
        let style = session.output_style();
        let (values, types) = prepared.bind(parameters, &style)?;
        let mut update = update.clone();
        fill_values(&mut update, &prepared.parameters, parameters, &style)?;
        let (query, new_values) = self.query(definition, &update, statement)?;
        let (planner, owned, table) = (Arc::clone(&over), statement.clone(), Arc::clone(definition));
        let plan = compute(&session.engine, &session.token, async move {
            let plan = planner.query_plan(&query, &types, Some(&owned))?;
            let plan: LogicalPlan = in_column_types(&planner, plan, &table, &new_values, &owned)?;
            plan.with_param_values(values).map_err(|error| translate(error, Some(&owned)))
        })
        .await?;
        let batches = crate::dispatch::run_plan(session, &over, plan, Some(statement.clone())).await?;
        let batches: Vec<RecordBatch> = batches.try_collect().await?;
        let mut updated = Updated::none(definition);
        let (mut rows, rules) = (Vec::new(), RowRules::of(&over, definition)?);
        let changed = changed_columns(definition, &update.assignments);
        let rules = rules.of_changed(|column| changed.contains(&column));
        for batch in &batches {
            updated
                .ordinals
                .extend(batch.column(0).as_primitive::<Int64Type>().values().iter().map(|row| *row as usize));
            let columns = definition
                .columns
                .iter()
                .zip(&batch.columns()[2..])
                .map(|(column, array)| arrow::compute::cast(array, &column.sql_type.data_type()).map_err(internal));
            let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
            rows.push(rules.checked(columns).map_err(|violation| violation.error)?);
        }
        updated.rows = concat_batches(&definition.schema(), &rows).map_err(internal)?;
        Ok(updated)
    }

    /// Takes in what is inserted and what rows become, in the order in which they were proposed.
    #[expect(clippy::too_many_arguments, reason = "all that the decision was made of")]
    async fn write(
        &self,
        session: &Session,
        planning: &Arc<Planning>,
        definition: &Arc<TableDefinition>,
        version: &TableVersion,
        rows: &RecordBatch,
        decision: &Decision,
        updated: Updated,
    ) -> Result<(Written, Change), QueryError> {
        let mut dead: BTreeMap<u32, RoaringBitmap> = BTreeMap::new();
        for ordinal in &updated.ordinals {
            if let Some((part, row)) = decision.places.get(ordinal) {
                dead.entry(*part).or_default().insert(*row);
            }
        }
        let inserted = filter_record_batch(rows, &decision.inserts).map_err(internal)?;
        let mut ordinals: Vec<usize> = (0..rows.num_rows()).filter(|row| decision.inserts.value(*row)).collect();
        ordinals.extend(&updated.ordinals);
        let written = concat_batches(&definition.schema(), [&inserted, &updated.rows]).map_err(internal)?;
        let mut order: Vec<u32> = (0..ordinals.len() as u32).collect();
        order.sort_by_key(|place| ordinals[*place as usize]);
        let written = take_record_batch(&written, &UInt32Array::from(order)).map_err(internal)?;
        let intake = Intake::new(&session.engine, Arc::clone(definition))?.beside(session.inline_bytes());
        let (engine, taken_rows) = (Arc::clone(&session.engine), written.clone());
        let work = session.engine.compute().spawn_blocking(move || {
            let mut intake = intake;
            intake.push(taken_rows)?;
            intake.finish(&engine)
        });
        let mut taken = joined(work.await)?;
        if !dead.is_empty() {
            taken.change.ops.insert(0, delete_op(version, dead));
        }
        let enforced = taken.enforced(session, &planning.snapshot).await;
        let (rows, change) = enforced.map_err(|failure| failure.error)?;
        Ok((Written { rows, returned: vec![written] }, change))
    }
}

/// Rows that have changed, each with the number of the proposed row that changed it.
struct Updated {
    ordinals: Vec<usize>,
    rows: RecordBatch,
}

impl Updated {
    fn none(definition: &TableDefinition) -> Self {
        Self { ordinals: Vec::new(), rows: RecordBatch::new_empty(definition.schema()) }
    }
}

/// What becomes of each proposed row.
struct Decision {
    /// Whether it is inserted.
    inserts: BooleanArray,
    /// Part and row of what it updates.
    places: BTreeMap<usize, (u32, u32)>,
}

impl Decision {
    fn of(
        engine: &Engine,
        parts: &[Part],
        arbiters: &[Arc<KeyShape>],
        rows: &RecordBatch,
        updates: bool,
    ) -> Result<Self, QueryError> {
        let mut keys = Vec::with_capacity(arbiters.len());
        let mut taken = Vec::with_capacity(arbiters.len());
        for shape in arbiters {
            keys.push(keys_of(shape, &shape.columns_of(rows))?);
            taken.push(taken_places(engine, parts, shape, rows)?);
        }
        let mut own: Vec<HashSet<&KeyBytes>> = vec![HashSet::new(); arbiters.len()];
        let mut inserts = Vec::with_capacity(rows.num_rows());
        let mut places = BTreeMap::new();
        let key_of = |row: usize, arbiter: usize| keys[arbiter][row].as_ref();
        for row in 0..rows.num_rows() {
            let key = |arbiter| key_of(row, arbiter);
            let place = (0..arbiters.len()).find_map(|arbiter| taken[arbiter].get(key(arbiter)?).copied());
            let again = (0..arbiters.len()).any(|arbiter| key(arbiter).is_some_and(|key| own[arbiter].contains(key)));
            if again && updates {
                return Err(second_change());
            }
            if let Some(place) = place.filter(|_| updates) {
                places.insert(row, place);
            }
            let free = place.is_none() && !again;
            if free {
                (0..arbiters.len()).for_each(|arbiter| own[arbiter].extend(key(arbiter)));
            }
            inserts.push(free);
        }
        Ok(Self { inserts: BooleanArray::from(inserts), places })
    }

    /// The rows to be updated, in the order of the rows that were proposed for them; `None` where there is none.
    fn updated_rows(
        &self,
        indexes: &KeyIndexes,
        definition: &TableDefinition,
        parts: &[Part],
    ) -> Result<Option<RecordBatch>, QueryError> {
        if self.places.is_empty() {
            return Ok(None);
        }
        let mut by_part: BTreeMap<u32, RoaringBitmap> = BTreeMap::new();
        self.places.values().for_each(|(part, row)| {
            by_part.entry(*part).or_default().insert(*row);
        });
        let mut batches = Vec::new();
        let mut starts: HashMap<u32, u64> = HashMap::new();
        let mut start = 0;
        for (part, rows) in &by_part {
            starts.insert(*part, start);
            start += rows.len();
            batches.push(indexes.rows_at(&parts[*part as usize], rows, definition)?);
        }
        let rows = concat_batches(&definition.schema(), &batches).map_err(internal)?;
        let order = self.places.values().map(|(part, row)| starts[part] + by_part[part].rank(*row) - 1);
        take_record_batch(&rows, &UInt64Array::from_iter_values(order)).map(Some).map_err(internal)
    }

    /// The rows that are there beside those that were proposed for them.
    fn sources(
        &self,
        definition: &TableDefinition,
        rows: &RecordBatch,
        found: RecordBatch,
    ) -> Result<Sources, QueryError> {
        let ordinals: ArrayRef = Arc::new(self.places.keys().map(|row| Some(*row as i64)).collect::<Int64Array>());
        let wanted = UInt64Array::from_iter_values(self.places.keys().map(|row| *row as u64));
        let proposed = take_record_batch(rows, &wanted).map_err(internal)?;
        let numbered = |batch: RecordBatch| {
            let columns = batch.columns().iter().cloned().chain([Arc::clone(&ordinals)]).collect();
            rows_source(RecordBatch::try_new(numbered_schema(definition), columns).map_err(internal)?)
        };
        Ok(Sources::Upsert { target: numbered(found)?, excluded: numbered(proposed)? })
    }

    /// Refuses a statement that proposes something for a row after it has changed it.
    fn refuse_second_changes(&self, changed: &[usize]) -> Result<(), QueryError> {
        let mut last: HashMap<(u32, u32), usize> = HashMap::new();
        self.places.iter().for_each(|(ordinal, place)| {
            last.insert(*place, *ordinal);
        });
        let again = changed.iter().any(|ordinal| {
            let place = self.places.get(ordinal);
            place.and_then(|place| last.get(place)).is_some_and(|last| last > ordinal)
        });
        if again { Err(second_change()) } else { Ok(()) }
    }
}

fn second_change() -> QueryError {
    let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
    QueryError::new(ErrorKind::CardinalityViolation, message)
        .hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
}

/// The bytes of each row's key; `None` where a NULL is in it.
pub(super) fn keys_of(shape: &KeyShape, columns: &[ArrayRef]) -> Result<Vec<Option<KeyBytes>>, QueryError> {
    let (digests, nulls) = shape.digests(columns)?;
    let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    if shape.exact {
        let keys = digests.iter().enumerate();
        return Ok(keys.map(|(row, digest)| valid(row).then(|| digest.to_be_bytes().as_slice().into())).collect());
    }
    let rows = shape.rows(columns)?;
    Ok(rows.iter().enumerate().map(|(row, key)| valid(row).then(|| key.data().into())).collect())
}

/// The places of live rows that have one of the keys, and rows that only look as if, by their keys.
pub(super) fn taken_places(
    engine: &Engine,
    parts: &[Part],
    shape: &Arc<KeyShape>,
    rows: &RecordBatch,
) -> Result<HashMap<KeyBytes, (u32, u32)>, QueryError> {
    let mut log = KeyLog::new(&engine.memory_pool(), Arc::clone(shape));
    log.push(rows)?;
    let sorted = log.sorted()?;
    let mut taken = HashMap::new();
    for (number, part) in (0u32..).zip(parts) {
        if matches!(part, Part::Segment(segment) if !log.overlaps(&segment.meta)) {
            continue;
        }
        let mut met = RoaringBitmap::new();
        engine.keys.of(part, shape)?.meet(&sorted, |_, row| {
            if part.is_live(row) {
                met.insert(row);
            }
        });
        if met.is_empty() {
            continue;
        }
        let keys = keys_of(shape, &engine.keys.keys_at(part, &met, shape)?)?;
        taken.extend(keys.into_iter().zip(&met).filter_map(|(key, row)| Some((key?, (number, row)))));
    }
    Ok(taken)
}

/// The table's columns and [`ORDINAL`].
fn numbered_schema(definition: &TableDefinition) -> SchemaRef {
    let mut fields: Vec<FieldRef> = definition.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(ORDINAL, DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

fn rows_source(batch: RecordBatch) -> Result<Arc<dyn TableSource>, QueryError> {
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(|error| translate(error, None))?;
    Ok(provider_as_source(Arc::new(table)))
}
