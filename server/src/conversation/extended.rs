//! The extended protocol: Parse, Bind, Describe, Execute, Close, Flush.
//!
//! An Execute is not run before the next message is seen. If that is a Sync and the group has no other Execute, the statement is
//! alone in its implicit transaction and the session is told so: it commits at once and may run again after a conflict.
//! The client cannot tell the difference.

use super::portals::{Portal, PortalState, resolve_formats};
use super::rows::{Progress, Rows, describe};
use super::statements::PreparedStatement;
use super::{Conversation, statement_span};
use crate::errors::Fatal;
use crate::wire::frame::{Bind, guarded};
use crate::wire::{Exit, Failure, frame};
use catalog::sql_type::SqlType;
use pgwire::messages::PgWireFrontendMessage as Message;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, PortalSuspended,
};
use query::error::{ErrorKind, QueryError};
use query::response::{CommandTag, Format, OpenRows, Response, ResultColumn, TransactionStatus};
use query::{BoundParameters, Prepared};
use std::sync::Arc;
use tracing::Instrument;

/// The type byte that stands for a prepared statement in Describe and Close; the other is a portal's.
const STATEMENT: u8 = b'S';
/// What clients send for a parameter whose type they leave to the server: nothing, `unknown`, or `void` where JDBC calls it an output.
const UNSPECIFIED_OIDS: [u32; 3] = [0, 705, 2278];

impl Conversation<'_> {
    pub(super) async fn extended(&mut self, message: Message) -> Result<(), Failure> {
        match message {
            Message::Parse(parse) => self.parse(parse).await,
            Message::Describe(describe) => self.describe(describe),
            Message::Execute(execute) => self.execute(execute).await,
            Message::Close(close) => self.close(close),
            Message::Flush(_) => Ok(self.wire.flush().await?),
            _ => Err(QueryError::new(ErrorKind::ProtocolViolation, "unexpected message").into()),
        }
    }

    async fn parse(&mut self, parse: Parse) -> Result<(), Failure> {
        let name = parse.name.unwrap_or_default();
        match name.is_empty() {
            true => self.statements.forget_unnamed(),
            false => self.session.check_statement_name(&name)?,
        }
        let types = self.parameter_types(&parse.type_oids)?;
        self.session.statement_started(&parse.query);
        let statements = self.wire.run(async { self.session.parse(&parse.query) }).await??;
        let prepared = match statements.as_slice() {
            [] => None,
            [statement] => {
                let span = statement_span(statement.text());
                Some(self.wire.run(self.session.prepare(statement, &types).instrument(span)).await??)
            }
            _ => {
                let message = "cannot insert multiple commands into a prepared statement";
                return Err(QueryError::new(ErrorKind::Syntax, message).into());
            }
        };
        let statement = PreparedStatement { text: Arc::from(parse.query), prepared };
        self.statements.insert(&mut self.session, name, statement);
        self.wire.put(&ParseComplete::new())?;
        Ok(())
    }

    /// The types that a client declares for parameters, where it does.
    fn parameter_types(&mut self, oids: &[u32]) -> Result<Vec<Option<SqlType>>, QueryError> {
        let mut types = Vec::with_capacity(oids.len());
        for (index, oid) in oids.iter().enumerate() {
            if UNSPECIFIED_OIDS.contains(oid) {
                types.push(None);
                continue;
            }
            let known = self.session.type_of_oid(*oid)?.ok_or_else(|| {
                let error = QueryError::unsupported(format!("the type with OID {oid} of parameter ${}", index + 1));
                error.hint("Leave the type open, or cast the parameter in the statement.")
            })?;
            types.push(Some(known));
        }
        Ok(types)
    }

    pub(super) async fn bind(&mut self, bind: Bind) -> Result<(), Failure> {
        let Bind { portal: portal_name, statement: statement_name, .. } = bind;
        let statement = self.statements.get(&self.session, &statement_name)?;
        let required = statement.prepared.as_ref().map_or(0, |prepared| prepared.parameters.len());
        let supplied = bind.parameters.len();
        let places = in_formats(bind.parameters, &bind.parameter_formats)?;
        if supplied != required {
            let message = format!(
                "bind message supplies {supplied} parameters, but prepared statement \"{statement_name}\" requires {required}"
            );
            return Err(QueryError::new(ErrorKind::ProtocolViolation, message).into());
        }
        if !statement.prepared.as_ref().is_some_and(|prepared| prepared.ends_failed_block()) {
            self.session.refuse_in_failed_block()?;
        }
        let mut formats = Vec::new();
        // Without columns there is nothing that formats say.
        if let Some(columns) = statement.prepared.as_ref().and_then(|prepared| prepared.columns.as_ref()) {
            formats = read_formats(&bind.result_formats)?;
            resolve_formats(&formats, columns.len())?;
        }
        let parameters = BoundParameters::new(bind.values, places);
        if !portal_name.is_empty() {
            self.portals.check_name(&portal_name)?;
            self.session.check_cursor_name(&portal_name)?;
        }
        let query = match &statement.prepared {
            Some(prepared) => {
                self.session.check_parameters(prepared, &parameters, &portal_name)?;
                Some(Arc::clone(prepared)).filter(|prepared| prepared.is_query())
            }
            None => None,
        };
        match query {
            Some(query) => self.open_query(portal_name, statement, &query, &parameters, formats).await?,
            None => {
                let portal = Portal { statement, formats, state: PortalState::Bound(parameters) };
                self.portals.insert_new(portal_name, portal)?;
            }
        }
        self.wire.put(&BindComplete::new())?;
        Ok(())
    }

    /// Makes a portal of a query, which reads what is there now, whatever comes before its Execute.
    async fn open_query(
        &mut self,
        portal_name: String,
        statement: PreparedStatement,
        query: &Arc<Prepared>,
        parameters: &BoundParameters,
        formats: Vec<Format>,
    ) -> Result<(), Failure> {
        self.session.statement_started(&statement.text);
        let span = self.execution_span(&statement.text);
        if !portal_name.is_empty() {
            let opened = self.session.open_portal(portal_name, query, parameters.values(), formats);
            return Ok(self.wire.run(opened.instrument(span)).await??);
        }
        let opened = self.session.open_query(query, parameters.values());
        let (columns, stream) = self.wire.run(opened.instrument(span)).await??;
        let resolved = resolve_formats(&formats, columns.len())?;
        let rows = Box::new(Rows::new(columns, resolved, OpenRows::new(stream), "SELECT", true));
        self.portals.insert(portal_name, Portal { statement, formats, state: PortalState::Rows(rows) });
        Ok(())
    }

    fn describe(&mut self, describe: Describe) -> Result<(), Failure> {
        let name = describe.name.unwrap_or_default();
        if describe.target_type == STATEMENT {
            let statement = self.statements.get(&self.session, &name)?;
            let (types, columns) = match &statement.prepared {
                Some(prepared) => (prepared.parameters.iter().map(SqlType::oid).collect(), prepared.columns.as_deref()),
                None => (Vec::new(), None),
            };
            if columns.is_some() {
                self.session.refuse_in_failed_block()?;
            }
            self.wire.put(&ParameterDescription::new(types))?;
            return self.put_description(columns, &[]);
        }
        if let Some(portal) = self.portals.get(&name) {
            let (statement, formats) = (portal.statement.clone(), portal.formats.clone());
            let columns = statement.prepared.as_ref().and_then(|prepared| prepared.columns.as_deref());
            return self.put_description(columns, &formats);
        }
        let cursor = self.session.cursor(&name).ok_or_else(|| undefined_portal(&name))?;
        self.session.refuse_in_failed_block()?;
        let (columns, formats) = (cursor.columns.clone(), cursor.formats.clone());
        self.put_description(Some(&columns), &formats)
    }

    fn put_description(&mut self, columns: Option<&[ResultColumn]>, formats: &[Format]) -> Result<(), Failure> {
        match columns {
            Some(columns) => self.wire.put(&describe(columns, &resolve_formats(formats, columns.len())?))?,
            None => self.wire.put(&NoData::new())?,
        }
        Ok(())
    }

    async fn execute(&mut self, execute: Execute) -> Result<(), Failure> {
        let name = execute.name.unwrap_or_default();
        if let Some(tag) = self.add_rows(&name)? {
            self.executes_in_group += 1;
            return self.complete(tag, false).await;
        }
        let next = self.wire.peek_type().await?;
        let alone = next == frame::SYNC && self.executes_in_group == 0;
        self.executes_in_group += 1;
        let limit = u64::try_from(execute.max_rows).ok().filter(|limit| *limit > 0);
        let Some(mut portal) = self.portals.remove(&name) else { return self.run_cursor(name, limit).await };
        let before = self.session.transaction_status();
        let span = self.execution_span(&portal.statement.text);
        self.run_portal(&name, &mut portal, limit, alone).instrument(span).await?;
        if before != TransactionStatus::Idle && self.session.transaction_status() == TransactionStatus::Idle {
            // The statement ended the transaction, and the portals made in it.
            self.portals.clear();
        }
        self.portals.insert(name, portal);
        Ok(())
    }

    /// Runs a portal whose rows only join others that wait in the open transaction; `None` for any other, which stays as it is.
    fn add_rows(&mut self, name: &str) -> Result<Option<CommandTag>, Failure> {
        let Some(portal) = self.portals.get_mut(name) else { return Ok(None) };
        let PortalState::Bound(parameters) = &portal.state else { return Ok(None) };
        let Some(prepared) = &portal.statement.prepared else { return Ok(None) };
        let session = &mut self.session;
        let tag =
            guarded(|| session.add_rows(prepared, parameters)).ok_or_else(|| Exit::Fatal(Fatal::internal()))??;
        if tag.is_some() {
            portal.state = PortalState::Done;
        }
        Ok(tag)
    }

    async fn run_portal(
        &mut self,
        name: &str,
        portal: &mut Portal,
        limit: Option<u64>,
        alone: bool,
    ) -> Result<(), Failure> {
        // Of nothing there is no end.
        let Some(prepared) = portal.statement.prepared.clone() else {
            return self.answer_without_rows(Response::Empty, false).await;
        };
        match std::mem::replace(&mut portal.state, PortalState::Done) {
            PortalState::Bound(parameters) => {
                self.session.statement_started(&portal.statement.text);
                let executed = self.session.execute_bound(&prepared, &parameters, alone);
                let response = self.wire.run(executed).await??;
                if let Response::Rows { columns, stream, verb, counted } = response {
                    let formats = resolve_formats(&portal.formats, columns.len())?;
                    let mut rows = Box::new(Rows::new(columns, formats, OpenRows::new(stream), verb, counted));
                    self.send_rows(&mut rows, limit).await?;
                    portal.state = PortalState::Rows(rows);
                    return Ok(());
                }
                self.answer_without_rows(response, false).await
            }
            PortalState::Rows(mut rows) => {
                self.send_rows(&mut rows, limit).await?;
                portal.state = PortalState::Rows(rows);
                Ok(())
            }
            PortalState::Done => {
                let message = format!("portal \"{name}\" cannot be run");
                Err(QueryError::new(ErrorKind::ObjectNotReady, message).into())
            }
        }
    }

    /// Sends rows of a cursor, which Bind or SQL has opened.
    async fn run_cursor(&mut self, name: String, limit: Option<u64>) -> Result<(), Failure> {
        let mut cursor = self.session.take_cursor(&name)?.ok_or_else(|| undefined_portal(&name))?;
        let formats = resolve_formats(&cursor.formats, cursor.columns.len())?;
        let mut rows = Rows::new(cursor.columns.clone(), formats, cursor.rows, "SELECT", true);
        self.send_rows(&mut rows, limit).await?;
        cursor.rows = rows.into_rest();
        self.session.put_cursor(name, cursor);
        Ok(())
    }

    async fn send_rows(&mut self, rows: &mut Rows, limit: Option<u64>) -> Result<(), Failure> {
        let style = self.session.output_style();
        match rows.send(self.wire, &style, limit).await? {
            Progress::Ended { rows: sent } => self.complete(rows.tag(sent), false).await,
            Progress::Suspended => Ok(self.wire.put(&PortalSuspended::new())?),
        }
    }

    /// Closing what does not exist is no error.
    fn close(&mut self, close: Close) -> Result<(), Failure> {
        let name = close.name.unwrap_or_default();
        if close.target_type == STATEMENT {
            self.statements.remove(&mut self.session, &name);
        } else {
            self.portals.remove(&name);
            self.session.close_cursor(&name);
        }
        self.wire.put(&CloseComplete::new())?;
        Ok(())
    }
}

fn undefined_portal(name: &str) -> QueryError {
    QueryError::new(ErrorKind::UndefinedCursor, format!("portal \"{name}\" does not exist"))
}

fn read_formats(codes: &[i16]) -> Result<Vec<Format>, QueryError> {
    let mut formats = Vec::with_capacity(codes.len());
    for code in codes {
        formats.push(match code {
            0 => Format::Text,
            1 => Format::Binary,
            _ => {
                let message = format!("unsupported format code: {code}");
                return Err(QueryError::new(ErrorKind::InvalidParameterValue, message));
            }
        });
    }
    Ok(formats)
}

/// Each parameter with its format, of which there are none, one for all, or one for each.
fn in_formats<T>(parameters: Vec<T>, codes: &[i16]) -> Result<Vec<(Format, T)>, QueryError> {
    let (formats, supplied) = (read_formats(codes)?, parameters.len());
    if formats.len() > 1 && formats.len() != supplied {
        let message = format!("bind message has {} parameter formats but {supplied} parameters", formats.len());
        return Err(QueryError::new(ErrorKind::ProtocolViolation, message));
    }
    let format = |index: usize| match formats.as_slice() {
        [] => Format::Text,
        [one] => *one,
        each => each[index],
    };
    Ok(parameters.into_iter().enumerate().map(|(index, parameter)| (format(index), parameter)).collect())
}
