//! Dispatch: which room runs a statement.

use crate::cursor::{self, Cursor};
use crate::engine_error::translate;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::execution::{compute, ready, stream};
use crate::plan_constants::fill_values;
use crate::planner::{Planning, told_columns};
use crate::prepared::{NamedStatement, Prepared, with_current_labels};
use crate::query_cache::{Question, is_repeatable};
use crate::response::{CommandTag, ParameterValue, Response, ResultColumn, RowStream};
use crate::session::Session;
use crate::settings::shown_name;
use crate::sql_types::sql_type_of;
use crate::statement::{DeclareCursor, SetValue, Statement, StatementKind};
use crate::{
    altering, background, backup, copy_in, copy_labels, copy_out, declared_partitions, definitions, derived_tables,
    domain_definition, dropped_partitions, execute_arguments, explain, insert, maintenance, modify, new_views,
    notifications, plain_indexes, reindexing, sequence_definition, subscription, temporary, type_definition,
    unsupported,
};
use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use arrow::datatypes::Schema;
use catalog::sql_type::SqlType;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use std::sync::Arc;

const PLAIN: fn(&'static str) -> Response = |tag| Response::Command(CommandTag::Plain(tag));

/// Runs everything that is not transaction control.
pub(crate) async fn run(
    session: &mut Session,
    prepared: &Arc<Prepared>,
    parameters: &[ParameterValue],
    alone: bool,
) -> Result<Response, QueryError> {
    let statement = &prepared.statement;
    let bound = (prepared.as_ref(), parameters);
    refuse_writer(session, &statement.kind)?;
    match &statement.kind {
        StatementKind::Query(query) => {
            let (columns, stream) = run_query(session, query, prepared, parameters).await?;
            Ok(Response::Rows { columns, stream, verb: "SELECT", counted: true })
        }
        StatementKind::Insert(insert, overriding) => {
            insert::run(session, (insert, *overriding), statement, bound).await
        }
        StatementKind::Modify(modification) => modify::run(session, modification, statement, bound).await,
        StatementKind::Merge(merge) => crate::merge::run(session, merge, statement, bound).await,
        StatementKind::Copy(copy) => match copy_out::is_copy_out(copy) {
            true => copy_out::run(session, copy, statement).await,
            false => copy_in::start(session, copy, statement, alone).await,
        },
        StatementKind::CreateTable(create) => definitions::create_table(session, create, statement).await,
        StatementKind::CreateTableAs(create) => {
            derived_tables::create_table_as(session, create, statement, bound).await
        }
        StatementKind::CreateSchema { name, if_not_exists } => {
            definitions::create_schema(session, name, *if_not_exists)
        }
        StatementKind::CreateView(create) => match create.materialized {
            true => new_views::create_view(session, create, statement, alone).await,
            false => definitions::create_plain_view(session, create, statement),
        },
        StatementKind::Drop(drop) => crate::dropping::drop_objects(session, drop, statement).await,
        StatementKind::CreatePlainIndex(index) => plain_indexes::run(session, index, statement),
        StatementKind::Alter(alteration) => altering::run(session, alteration, statement).await,
        StatementKind::Truncate { tables, restart_identity } => {
            definitions::truncate(session, tables, *restart_identity, alone).await
        }
        StatementKind::DropPartition { table, conditions } => dropped_partitions::run(session, table, conditions).await,
        StatementKind::ForgetLabel { table, label } => copy_labels::forget(session, table, label),
        StatementKind::AttachPartition { table, partition } => {
            declared_partitions::attach_partition(session, table, partition)
        }
        StatementKind::CreateSequence { name, temporary, if_not_exists, options } => {
            sequence_definition::create_sequence(session, (name, *temporary), *if_not_exists, options)
        }
        StatementKind::AlterSequence { name, if_exists, change } => {
            sequence_definition::alter_sequence(session, name, *if_exists, change).await
        }
        StatementKind::CreateEnum { name, labels } => type_definition::create_enum(session, name, labels),
        StatementKind::AlterType { name, change } => {
            type_definition::alter_type(session, statement, name, change).await
        }
        StatementKind::CreateDomain { name, definition } => {
            let created = domain_definition::create(session, statement, name, definition).await;
            // PostgreSQL tells no place.
            created.map_err(QueryError::without_position)
        }
        StatementKind::AlterDomain { name, change } => domain_definition::alter(session, statement, name, change).await,
        StatementKind::DropType { domains, names, if_exists, cascade } => {
            type_definition::drop_types(session, statement, *domains, (names, *if_exists, *cascade)).await
        }
        StatementKind::Refresh { view, concurrently, with_data } => {
            new_views::refresh(session, view, (*concurrently, *with_data)).await
        }
        StatementKind::Explain { options, statement } => explain::run(session, *options, statement, bound, alone).await,
        StatementKind::ExplainView(view) => explain::run_view(session, view),
        StatementKind::Declare(declare) => run_declare(session, declare, &prepared.parameters, parameters).await,
        StatementKind::Fetch { cursor, count, moves } => cursor::fetch(session, cursor, *count, *moves).await,
        StatementKind::Close(name) => cursor::close(session, name.as_deref()),
        StatementKind::Prepare { name, types, statement } => run_prepare(session, name, types, statement).await,
        StatementKind::Execute { name, arguments } => run_execute(session, (name, arguments), statement, alone).await,
        StatementKind::Deallocate(name) => deallocate(session, name.as_deref()),
        StatementKind::Checkpoint => background::checkpoint_now(session).await,
        StatementKind::Backup { directory } => backup::run(session, directory).await,
        StatementKind::Subscribe(subscribe) => Err(subscription::outside_of_copy(subscribe)),
        StatementKind::Maintain(maintenance) => maintenance::run(session, maintenance),
        StatementKind::Reindex(reindex) => reindexing::run(session, reindex),
        kind => run_setting(session, kind),
    }
}

/// Refuses a statement that writes where the transaction only reads.
pub(crate) fn refuse_writer(session: &mut Session, kind: &StatementKind) -> Result<(), QueryError> {
    match kind.writing_command() {
        Some(command) if !temporary::writes_temporary(session, kind)? => session.refuse_when_read_only(command),
        _ => Ok(()),
    }
}

fn run_setting(session: &mut Session, kind: &StatementKind) -> Result<Response, QueryError> {
    match kind {
        StatementKind::Set { name, value: SetValue::Items(items), local } => {
            warn_outside_block(session, *local);
            session.settings.set_items(name, items, *local)?;
            Ok(PLAIN("SET"))
        }
        StatementKind::Set { name, value: SetValue::Default, local } => {
            warn_outside_block(session, *local);
            session.settings.reset(name, *local)?;
            Ok(PLAIN("SET"))
        }
        StatementKind::Show(name) => {
            let value = session.settings.get(name)?;
            Ok(text_rows("SHOW", &[shown_name(name)], vec![vec![value]]))
        }
        StatementKind::ShowAll => {
            let all = session.settings.all();
            let rows =
                all.into_iter().map(|(setting, value)| vec![setting.name.into(), value, setting.description.into()]);
            Ok(text_rows("SHOW", &["name", "setting", "description"], rows.collect()))
        }
        StatementKind::Reset(name) => {
            session.settings.reset(name, false)?;
            Ok(PLAIN("RESET"))
        }
        StatementKind::ResetAll => {
            session.settings.reset_all();
            Ok(PLAIN("RESET"))
        }
        StatementKind::Discard(what) => temporary::discard(session, *what),
        StatementKind::Listen(channel) => {
            let view_schema = notifications::view_of(channel).map(|name| meant_schema(session, name)).transpose()?;
            session.announcements.lock().listen(channel, view_schema);
            Ok(PLAIN("LISTEN"))
        }
        StatementKind::Unlisten(channel) => {
            session.announcements.lock().unlisten(channel.as_deref());
            Ok(PLAIN("UNLISTEN"))
        }
        StatementKind::Notify { channel, payload } => {
            session.announcements.lock().notify(channel, payload)?;
            Ok(PLAIN("NOTIFY"))
        }
        StatementKind::Unkept(unkept) => unsupported::run(session, unkept),
        StatementKind::Unsupported(what) => Err(unsupported::refusal(what)),
        _ => Err(QueryError::new(ErrorKind::Internal, "a statement reached the wrong room")),
    }
}

fn warn_outside_block(session: &mut Session, local: bool) {
    if local && !session.in_transaction_block() {
        session.notice_of(
            NoticeSeverity::Warning,
            ErrorKind::NoActiveTransaction,
            "SET LOCAL can only be used in transaction blocks",
        );
    }
}

/// Rows of text columns, as SHOW and EXPLAIN give them.
pub(crate) fn text_rows(verb: &'static str, names: &[&str], rows: Vec<Vec<String>>) -> Response {
    let columns = text_columns(names);
    let fields: Vec<_> = names.iter().map(|name| SqlType::Text.field(name, true)).collect();
    let arrays = (0..names.len()).map(|column| {
        let values = rows.iter().map(|row| Some(row[column].as_str()));
        Arc::new(values.collect::<StringViewArray>()) as ArrayRef
    });
    let batch =
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays.collect()).expect("text columns of one length");
    Response::Rows { columns, stream: ready(vec![batch]), verb, counted: false }
}

fn text_columns(names: &[&str]) -> Vec<ResultColumn> {
    let column = |name: &&str| ResultColumn {
        name: (*name).to_string(),
        sql_type: SqlType::Text,
        modifier: SqlType::Text.typmod(),
        domain: None,
        origin: None,
    };
    names.iter().map(column).collect()
}

/// The result columns of a statement that is not a query; `None` when it returns no rows.
pub(crate) async fn columns_of(
    session: &mut Session,
    kind: &StatementKind,
) -> Result<Option<Vec<ResultColumn>>, QueryError> {
    Ok(match kind {
        StatementKind::Show(name) => Some(text_columns(&[shown_name(name)])),
        StatementKind::ShowAll => Some(text_columns(&["name", "setting", "description"])),
        StatementKind::Backup { .. } => Some(text_columns(&backup::COLUMNS)),
        StatementKind::Explain { .. } | StatementKind::ExplainView(_) => Some(text_columns(&["QUERY PLAN"])),
        StatementKind::Fetch { cursor, moves: false, .. } => {
            Some(session.cursors.get(cursor).ok_or_else(|| cursor::missing(cursor))?.columns.clone())
        }
        StatementKind::Execute { name, .. } => {
            session.named_statement(name)?.1.and_then(|prepared| prepared.columns.clone())
        }
        _ => None,
    })
}

async fn run_query(
    session: &mut Session,
    query: &ast::Query,
    prepared: &Arc<Prepared>,
    parameters: &[ParameterValue],
) -> Result<(Vec<ResultColumn>, RowStream), QueryError> {
    let style = session.output_style();
    let (values, types) = session.bind(prepared, parameters)?;
    let mut query = query.clone();
    fill_values(&mut query, &prepared.parameters, parameters, &style)?;
    let statement = prepared.statement.clone();
    let declared: Vec<_> = prepared.parameters.iter().cloned().map(Some).collect();
    let question = Question::of(session, &statement, &declared, Some(parameters));
    let fresh = session.planning()?;
    if let Some(known) = session.engine.query_cache.known(question.as_ref(), &fresh) {
        return Ok((known.columns.clone(), ready(known.rows.clone())));
    }
    let (planning, plan) = match prepared.take_plan(session, &fresh) {
        Some((planning, plan)) => (planning, Some(plan)),
        None => (fresh, None),
    };
    let over = Arc::clone(&planning);
    let owned = statement.clone();
    let may_keep = question.is_some();
    let (columns, repeatable, physical) = compute(&session.engine, &session.token, async move {
        let plan = match plan {
            Some(plan) => plan,
            None => over.query_plan(&query, &types, Some(&owned))?,
        };
        let columns = told_columns(&plan, &over.snapshot)?;
        let plan = plan.with_param_values(values).map_err(|error| translate(error, Some(&owned)))?;
        let repeatable = may_keep && is_repeatable(&plan).map_err(|error| translate(error, Some(&owned)))?;
        Ok((columns, repeatable, over.physical_plan(&plan, Some(&owned)).await?))
    })
    .await?;
    let rows = stream(&session.engine, &session.token, physical, &planning.state, Some(statement));
    let rows = session.engine.query_cache.keep_rows(question, (&planning, repeatable), &columns, rows);
    Ok((columns, rows))
}

/// Plans and starts a plan that is ready to run, and streams it.
pub(crate) async fn run_plan(
    session: &Session,
    planning: &Arc<Planning>,
    plan: LogicalPlan,
    statement: Option<Statement>,
) -> Result<RowStream, QueryError> {
    let over = Arc::clone(planning);
    let owned = statement.clone();
    let physical =
        compute(&session.engine, &session.token, async move { over.physical_plan(&plan, owned.as_ref()).await })
            .await?;
    Ok(stream(&session.engine, &session.token, physical, &planning.state, statement))
}

async fn run_declare(
    session: &mut Session,
    declare: &DeclareCursor,
    types: &[SqlType],
    parameters: &[ParameterValue],
) -> Result<Response, QueryError> {
    if !declare.hold && !session.in_transaction_block() {
        return Err(QueryError::new(
            ErrorKind::NoActiveTransaction,
            "DECLARE CURSOR can only be used in transaction blocks",
        ));
    }
    if session.cursors.contains_key(&declare.name) {
        return Err(cursor::duplicate(&declare.name));
    }
    session.check_room(session.cursors.len())?;
    let query = declare.query()?;
    let types: Vec<_> = types.iter().cloned().map(Some).collect();
    let prepared = Arc::new(Prepared::plan(session, &declare.statement, &types).await?);
    let (columns, rows) = run_query(session, query, &prepared, parameters).await?;
    session.open_cursor(declare.name.clone(), |number| Cursor {
        hold: declare.hold,
        ..Cursor::new(number, columns, declare.statement.text(), rows)
    });
    Ok(PLAIN("DECLARE CURSOR"))
}

async fn run_prepare(
    session: &mut Session,
    name: &str,
    types: &[ast::DataType],
    statement: &Statement,
) -> Result<Response, QueryError> {
    session.check_statement_name(name)?;
    let declared = {
        let _types = session.planning()?.knows_types();
        // A length or digits that a type is declared with count for nothing.
        let bare = |sql_type: SqlType| SqlType::from_oid(sql_type.oid()).unwrap_or(sql_type);
        types.iter().map(|data_type| sql_type_of(data_type).map(bare).map(Some)).collect::<Result<Vec<_>, _>>()?
    };
    let prepared = Some(Arc::new(Prepared::plan(session, statement, &declared).await?));
    let (text, prepared_at_micros) = (Arc::from(statement.text()), crate::engine::now_micros());
    let named = NamedStatement { prepared, text, prepared_at_micros, from_sql: true };
    session.prepared.lock().insert(name.to_string(), named);
    Ok(PLAIN("PREPARE"))
}

async fn run_execute(
    session: &mut Session,
    (name, arguments): (&str, &[ast::Expr]),
    statement: &Statement,
    alone: bool,
) -> Result<Response, QueryError> {
    let Some(prepared) = session.named_statement(name)?.1 else { return Ok(Response::Empty) };
    let prepared = with_current_labels(session, &prepared)?;
    let types = &prepared.parameters;
    let values = execute_arguments::values_of_call(session, (name, arguments), types, statement).await?;
    let response = Box::pin(run(session, &prepared, &values, alone)).await?;
    prepared.check_columns(&response)?;
    Ok(response)
}

/// The schema of the relation that a name means now, or would if it was made.
fn meant_schema(session: &mut Session, name: &str) -> Result<String, QueryError> {
    let name = ast::ObjectName::from(vec![ast::Ident::with_quote('"', name)]);
    Ok(session.planning()?.object_name(&name)?.schema)
}

fn deallocate(session: &mut Session, name: Option<&str>) -> Result<Response, QueryError> {
    let Some(name) = name else {
        session.prepared.lock().clear();
        return Ok(PLAIN("DEALLOCATE ALL"));
    };
    session.named_statement(name)?;
    session.close_statement(name);
    Ok(PLAIN("DEALLOCATE"))
}
