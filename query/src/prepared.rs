//! Prepared statements: what is known of a statement before it runs.

use crate::bound_parameters::place_of_parameter;
use crate::engine::now_micros;
use crate::error::{ErrorKind, QueryError, Routine};
use crate::functions::overload::innermost;
use crate::modify;
use crate::operators::array_parameters::bound;
use crate::operators::casts::CastContext;
use crate::parameter_types::{all_known, has_free_digits, refuse_parameters, types_of_values};
use crate::plan_constants::reads_parameters;
use crate::planner::{Planning, told_columns};
use crate::query_cache::Question;
use crate::response::{Format, ParameterValue, Response, ResultColumn};
use crate::row_inserts::{self, KnownRowInsert};
use crate::session::Session;
use crate::statement::{Statement, StatementKind};
use crate::types::{INCORRECT_FORMAT, OutputStyle, decode_parameter};
use catalog::ids::ObjectId;
use catalog::sql_type::SqlType;
use catalog::user_type::TypeDefinition;
use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::logical_expr::LogicalPlan;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A plan holds the time that `now()` gives, so it is not kept for long.
const PLAN_AGE_MAX: Duration = Duration::from_millis(500);

/// A statement with its parameters and columns.
pub struct Prepared {
    pub parameters: Vec<SqlType>,
    /// `None` for a statement that returns no rows.
    pub columns: Option<Vec<ResultColumn>>,
    pub(crate) statement: Statement,
    pub(crate) row_insert: KnownRowInsert,
    id: u64,
}

/// The plan that a statement's columns came from, for an execution that reads the same snapshot. A session keeps its last one, so
/// that statements which are prepared and left alone hold no snapshot.
pub(crate) struct Planned {
    statement: u64,
    planning: Arc<Planning>,
    plan: PlannedAs,
    at: Instant,
    /// Of the session's settings, which say what names mean and values look like.
    settings_revision: u64,
}

enum PlannedAs {
    Query(Box<LogicalPlan>),
    Modification(Box<modify::Planned>),
}

/// A statement with a name, by SQL's PREPARE or by the protocol.
#[derive(Clone)]
pub(crate) struct NamedStatement {
    /// `None` for an empty text.
    pub prepared: Option<Arc<Prepared>>,
    pub text: Arc<str>,
    pub prepared_at_micros: i64,
    pub from_sql: bool,
}

/// Those of a session, shared with what a statement of it may read of them.
pub(crate) type NamedStatements = Arc<Mutex<BTreeMap<String, NamedStatement>>>;

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("parameters", &self.parameters)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

impl Prepared {
    pub(crate) async fn plan(
        session: &mut Session,
        statement: &Statement,
        declared: &[Option<SqlType>],
    ) -> Result<Self, QueryError> {
        let mut prepared = Self {
            parameters: Vec::new(),
            columns: None,
            statement: statement.clone(),
            row_insert: KnownRowInsert::default(),
            id: next_id(),
        };
        match &statement.kind {
            StatementKind::Query(query) => {
                let question = Question::of(session, statement, declared, None);
                let planning = session.planning()?;
                if let Some(known) = session.engine.query_cache.known(question.as_ref(), &planning) {
                    prepared.parameters.clone_from(&known.parameters);
                    prepared.columns = Some(known.columns.clone());
                    return Ok(prepared);
                }
                let for_each_value = reads_parameters(query);
                let (query, owned, declared) = (query.clone(), statement.clone(), declared.to_vec());
                let over = Arc::clone(&planning);
                let (parameters, plan) = crate::execution::compute(&session.engine, &session.token, async move {
                    let parameters = over.parameter_types(&query, &declared, Some(&owned))?;
                    let types: Vec<_> = parameters.iter().cloned().map(Some).collect();
                    let plan = over.query_plan(&query, &types, Some(&owned))?;
                    Ok((parameters, plan))
                })
                .await?;
                prepared.parameters = parameters;
                let columns = told_columns(&plan, &planning.snapshot)?;
                let own = has_own_changes(session);
                let depends = for_each_value || prepared.parameters.iter().any(has_free_digits);
                if let Some(question) = question.filter(|_| !depends) {
                    session.engine.query_cache.keep_columns(question, &planning, &prepared.parameters, &columns);
                }
                prepared.columns = Some(columns);
                session.planned =
                    (!own && !depends).then(|| prepared.planned(session, planning, PlannedAs::Query(Box::new(plan))));
            }
            StatementKind::Insert(insert, overriding) => {
                if declared.is_empty()
                    && let Some(known) = row_inserts::known(session, insert, *overriding, statement)
                {
                    prepared.columns = known.columns();
                    prepared.row_insert = known.into();
                    return Ok(prepared);
                }
                let planning = session.planning()?;
                prepared.parameters = crate::insert::parameters(&planning, insert, *overriding, statement, declared)?;
                prepared.columns = crate::insert::columns(&planning, insert, &prepared.parameters, statement)?;
            }
            StatementKind::Modify(modification) => {
                let planning = session.planning()?;
                let planned = modify::plan(&planning, modification, declared, statement)?;
                prepared.parameters = planned.parameters.clone();
                prepared.columns = planned.columns(&planning, statement)?;
                let is_settled = prepared.parameters.is_empty() && !has_own_changes(session);
                let planned = PlannedAs::Modification(Box::new(planned));
                session.planned = is_settled.then(|| prepared.planned(session, planning, planned));
            }
            StatementKind::Merge(merge) => {
                let planning = session.planning()?;
                prepared.parameters = crate::merge::plan(&planning, merge, declared, statement)?.parameters;
            }
            StatementKind::Declare(declare) => {
                prepared.parameters = Box::pin(Self::plan(session, &declare.statement, declared)).await?.parameters;
            }
            StatementKind::Explain { statement: explained, .. } => {
                prepared.parameters = Box::pin(Self::plan(session, explained, declared)).await?.parameters;
                prepared.columns = crate::dispatch::columns_of(session, &statement.kind).await?;
            }
            StatementKind::CreateTableAs(create) if create.execute.is_none() => {
                prepared.parameters = session.planning()?.parameter_types(&create.query, declared, Some(statement))?;
            }
            kind => {
                // It has none, but as many values are bound as are declared.
                prepared.parameters = all_known(declared.to_vec())?;
                prepared.columns = crate::dispatch::columns_of(session, kind).await?;
            }
        }
        Ok(prepared)
    }

    /// The same with the labels that the enums among its parameters have now; `None` where these are what they were.
    fn with_labels_of(&self, types: &BTreeMap<ObjectId, Arc<TypeDefinition>>) -> Option<Self> {
        let parameters: Vec<SqlType> = self.parameters.iter().map(|known| as_defined(known, types)).collect();
        (parameters != self.parameters).then(|| Self {
            parameters,
            columns: self.columns.clone(),
            statement: self.statement.clone(),
            row_insert: KnownRowInsert::default(),
            id: self.id,
        })
    }

    /// The values of Bind, and the types to plan the statement for with them.
    pub(crate) fn bind(
        &self,
        values: &[ParameterValue],
        style: &OutputStyle,
    ) -> Result<(ParamValues, Vec<Option<SqlType>>), QueryError> {
        let values = decode_parameters(&self.parameters, values, style, "")?;
        let types = types_of_values(&self.parameters, &values);
        Ok((values, types))
    }

    /// The client was told the columns of the result, so they must not have changed since.
    pub(crate) fn check_columns(&self, response: &Response) -> Result<(), QueryError> {
        let Response::Rows { columns, .. } = response else { return Ok(()) };
        let kind = &self.statement.kind;
        let reads = matches!(kind, StatementKind::Query(_) | StatementKind::Insert(..) | StatementKind::Modify(_));
        if reads && !self.columns.iter().flatten().map(shape).eq(columns.iter().map(shape)) {
            let message = "cached plan must not change result type";
            let error = QueryError::new(ErrorKind::FeatureNotSupported, message);
            return Err(error.routine(Routine::RevalidateCachedQuery));
        }
        Ok(())
    }

    /// Whether this is a query, whose portals are cursors.
    pub fn is_query(&self) -> bool {
        matches!(self.statement.kind, StatementKind::Query(_))
    }

    /// Whether it leaves a transaction block that has failed, where no other statement runs.
    pub fn ends_failed_block(&self) -> bool {
        self.statement.kind.ends_failed_block()
    }

    /// Refuses a statement with parameters where there is no way to bind them.
    pub fn refuse_parameters(&self) -> Result<(), QueryError> {
        if self.parameters.is_empty() { Ok(()) } else { refuse_parameters(&self.statement) }
    }

    fn planned(&self, session: &Session, planning: Arc<Planning>, plan: PlannedAs) -> Planned {
        let settings_revision = session.settings.revision();
        Planned { statement: self.id, planning, plan, at: Instant::now(), settings_revision }
    }

    /// The plan of a query made by `prepare`, if it was the session's last and the statement still reads the snapshot that it was made for.
    pub(crate) fn take_plan(&self, session: &mut Session, fresh: &Planning) -> Option<(Arc<Planning>, LogicalPlan)> {
        match self.take(session, fresh)? {
            (planning, PlannedAs::Query(plan)) => Some((planning, *plan)),
            (_, PlannedAs::Modification(_)) => None,
        }
    }

    /// The same for an UPDATE or DELETE without parameters.
    pub(crate) fn take_modification(
        &self,
        session: &mut Session,
        fresh: &Planning,
    ) -> Option<(Arc<Planning>, modify::Planned)> {
        match self.take(session, fresh)? {
            (planning, PlannedAs::Modification(planned)) => Some((planning, *planned)),
            (_, PlannedAs::Query(_)) => None,
        }
    }

    fn take(&self, session: &mut Session, fresh: &Planning) -> Option<(Arc<Planning>, PlannedAs)> {
        let planned = session.planned.take().filter(|planned| planned.statement == self.id)?;
        let same = planned.settings_revision == session.settings.revision()
            && Arc::ptr_eq(&planned.planning.snapshot, &fresh.snapshot)
            && Arc::ptr_eq(&planned.planning.facts.announcements, &fresh.facts.announcements);
        if !same || planned.at.elapsed() >= PLAN_AGE_MAX {
            return None;
        }
        fresh.note_reads_of(&planned.planning);
        Some((planned.planning, planned.plan))
    }
}

/// Whether the transaction has changes of its own: these have no number yet that another commit could not take.
fn has_own_changes(session: &Session) -> bool {
    session.transaction.as_ref().is_some_and(|transaction| transaction.has_changes())
}

/// What a client was told of a column, and goes by.
fn shape(column: &ResultColumn) -> (&str, u32, i32) {
    (&column.name, column.sql_type.oid(), column.modifier)
}

/// The statement as it is to be executed: labels may have come to the enums of its parameters since it was prepared.
pub(crate) fn with_current_labels(
    session: &mut Session,
    prepared: &Arc<Prepared>,
) -> Result<Arc<Prepared>, QueryError> {
    if !prepared.parameters.iter().any(|known| matches!(innermost(known), SqlType::Enum(_))) {
        return Ok(Arc::clone(prepared));
    }
    let types = Arc::clone(&session.planning()?.snapshot.types);
    Ok(prepared.with_labels_of(&types).map_or_else(|| Arc::clone(prepared), Arc::new))
}

/// A type as it is defined now.
fn as_defined(known: &SqlType, types: &BTreeMap<ObjectId, Arc<TypeDefinition>>) -> SqlType {
    match known {
        SqlType::Enum(of_user) => {
            types.get(&of_user.parts().id).map_or_else(|| known.clone(), |found| found.sql_type())
        }
        SqlType::Array(item) => SqlType::Array(Box::new(as_defined(item, types))),
        other => other.clone(),
    }
}

/// Decodes the values of a portal's Bind.
pub(crate) fn decode_parameters(
    types: &[SqlType],
    values: &[ParameterValue],
    style: &OutputStyle,
    portal: &str,
) -> Result<ParamValues, QueryError> {
    if types.len() != values.len() {
        let message = format!(
            "bind message supplies {} parameters, but prepared statement requires {}",
            values.len(),
            types.len()
        );
        return Err(QueryError::new(ErrorKind::ProtocolViolation, message));
    }
    let decoded = types.iter().zip(values).enumerate().map(|(index, (sql_type, value))| {
        let context = CastContext { zone: style.time_zone, now_micros: now_micros() };
        let decoded = decode_parameter(value, sql_type, style);
        let scalar = decoded.and_then(|value| bound(value, sql_type, &context));
        let scalar = scalar.map_err(|error| unread(error, value.format, portal, index + 1))?;
        Ok(ScalarAndMetadata::new(scalar, None))
    });
    Ok(ParamValues::List(decoded.collect::<Result<_, QueryError>>()?))
}

/// The error of a parameter that cannot be read. As in PostgreSQL a text is not shown where it stands, unless the message has it.
fn unread(mut error: QueryError, format: Format, portal: &str, number: usize) -> QueryError {
    let place = place_of_parameter(portal, number);
    if format == Format::Text && error.kind != ErrorKind::CharacterNotInRepertoire {
        return error.within(format!("{place} = '...'"));
    }
    if error.message == INCORRECT_FORMAT {
        error.message = format!("{INCORRECT_FORMAT} in bind parameter {number}");
    }
    error.within(place)
}
