//! The conversation: messages of one client, answered in order.
//!
//! ```text
//!   ┌─▶ at rest ──Query──▶ statements of the text, one after the other ──────────┐
//!   │      │                                                                     ▼
//!   │      └──Parse/Bind/Describe/Execute/Close──▶ a group ──Sync──▶ commit ─▶ ReadyForQuery
//!   │                                                │ error                     │
//!   │                                                └▶ skip until Sync ─────────┤
//!   └────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! One text of a Query, and everything between two Syncs, is one implicit transaction: it commits before the last
//! CommandComplete or before ReadyForQuery, and an error undoes all of it. Each statement is answered before the next one
//! runs. Answers gather in the wire's buffer and leave when it is full, on Flush, on Sync and after an error.
//!
//! This module knows the protocol's order of things; what statements mean is the session's business.

mod copy;
mod extended;
mod portals;
mod rows;
mod statements;

use crate::connection::put_parameter;
use crate::errors::{Fatal, error_response, notice_response, sqlstate};
use crate::wire::{Exit, Failure, Incoming, Wire, frame};
use pgwire::messages::PgWireFrontendMessage as Message;
use pgwire::messages::response::{self, CommandComplete, EmptyQueryResponse, NotificationResponse, ReadyForQuery};
use portals::Portals;
use query::Session;
use query::error::QueryError;
use query::response::{CommandTag, Format, OpenRows, Response, TransactionStatus};
use rows::{Progress, Rows};
use statements::Statements;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

/// As much of a statement's text as a log line shows.
const LOGGED_TEXT_CHARACTERS: usize = 200;

pub(crate) struct Conversation<'a> {
    wire: &'a mut Wire,
    session: Session,
    /// Changes when a CancelRequest names this session.
    cancel_requests: watch::Receiver<u64>,
    /// Cancelled when the server is asked to stop.
    stop: CancellationToken,
    statements: Statements,
    portals: Portals,
    /// After an error in a group, until Sync.
    skipping: bool,
    /// Nothing has come since the last ReadyForQuery.
    at_rest: bool,
    executes_in_group: usize,
    /// The span of the prepared statement that was executed last. Its executions share it: to format one costs more than to take a row.
    executed: Option<(Arc<str>, Span)>,
}

impl<'a> Conversation<'a> {
    pub(crate) fn new(
        wire: &'a mut Wire,
        session: Session,
        cancel_requests: watch::Receiver<u64>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            wire,
            session,
            cancel_requests,
            stop,
            statements: Statements::default(),
            portals: Portals::default(),
            skipping: false,
            at_rest: true,
            executes_in_group: 0,
            executed: None,
        }
    }

    /// Answers until one side ends it.
    pub(crate) async fn run(mut self) -> Exit {
        match self.answer_messages().await {
            Ok(never) => match never {},
            Err(exit) => exit,
        }
    }

    async fn answer_messages(&mut self) -> Result<Infallible, Exit> {
        self.ready().await?;
        loop {
            let incoming = self.next().await?;
            self.at_rest = false;
            match incoming {
                Incoming::Message(Message::Terminate(_)) => return Err(Exit::Terminated),
                Incoming::Message(Message::Sync(_)) => self.sync().await?,
                // What a client still sends after its COPY failed is not an answer to anything.
                Incoming::CopyData(_)
                | Incoming::Message(Message::CopyDone(_) | Message::CopyFail(_))
                | Incoming::Malformed { message_type: frame::COPY_FAIL, .. } => {}
                Incoming::Malformed { message_type: frame::SYNC, error } => {
                    self.refuse(&error)?;
                    self.ready().await?;
                }
                _ if self.skipping => {}
                Incoming::Message(Message::Query(query)) => self.simple_query(&query.query).await?,
                Incoming::Malformed { message_type: frame::QUERY, error } => {
                    self.refuse(&error)?;
                    self.ready().await?;
                }
                Incoming::FunctionCall => {
                    self.refuse(&QueryError::unsupported("the function call protocol"))?;
                    self.ready().await?;
                }
                Incoming::Malformed { error, .. } => self.skip_group(&error).await?,
                Incoming::Bind(bind) => {
                    let outcome = self.bind(bind).await;
                    self.go_on(outcome).await?;
                }
                Incoming::Message(message) => {
                    let outcome = self.extended(message).await;
                    self.go_on(outcome).await?;
                }
            }
        }
    }

    /// The next message. A client at rest is sent away when the server stops or its rest takes longer than it may, and told what it
    /// listens to when it is outside of a transaction; others are waited for.
    async fn next(&mut self) -> Result<Incoming, Exit> {
        if !self.at_rest {
            return self.wire.next().await;
        }
        if let Some(incoming) = self.wire.at_hand()? {
            return Ok(incoming);
        }
        let mut too_long = pin!(end_of_rest(self.session.idle_limit()));
        loop {
            let may_be_told = self.session.transaction_status() == TransactionStatus::Idle;
            tokio::select! {
                biased;
                incoming = self.wire.next() => return incoming,
                () = self.stop.cancelled() => return Err(Exit::Fatal(Fatal::administrator())),
                fatal = &mut too_long => return Err(Exit::Fatal(fatal)),
                () = self.session.notified(), if may_be_told => {}
            }
            self.put_notifications()?;
            self.wire.flush().await?;
        }
    }

    async fn simple_query(&mut self, text: &str) -> Result<(), Exit> {
        self.portals.remove("");
        self.statements.forget_unnamed();
        match self.run_text(text).await {
            Ok(()) => {}
            Err(Failure::Statement(error)) => self.refuse(&error)?,
            Err(Failure::Exit(exit)) => return Err(exit),
        }
        self.ready().await
    }

    async fn run_text(&mut self, text: &str) -> Result<(), Failure> {
        if let Some(read) = self.session.read_insert(text) {
            let repeated = self.session.repeat_insert(text, &read).instrument(statement_span(text));
            let response = self.wire.run(repeated).await??;
            return self.answer(response, true).await;
        }
        let statements = self.wire.run(async { self.session.parse(text) }).await??;
        if statements.is_empty() {
            self.wire.put(&EmptyQueryResponse::new())?;
        }
        let alone = statements.len() == 1;
        for (index, statement) in statements.iter().enumerate() {
            let last = index + 1 == statements.len();
            let span = statement_span(statement.text());
            async {
                self.session.statement_started(statement.text());
                let prepared = self.wire.run(self.session.prepare(statement, &[])).await??;
                prepared.refuse_parameters()?;
                let response = self.wire.run(self.session.execute(&prepared, Vec::new(), alone)).await??;
                self.answer(response, last).await
            }
            .instrument(span)
            .await?;
        }
        Ok(())
    }

    /// Answers a statement of a simple query, with its rows as text.
    async fn answer(&mut self, response: Response, last: bool) -> Result<(), Failure> {
        match response {
            Response::Rows { columns, stream, verb, counted } => {
                let formats = vec![Format::Text; columns.len()];
                let mut rows = Rows::new(columns, formats, OpenRows::new(stream), verb, counted);
                self.wire.put(&rows.description())?;
                let style = self.session.output_style();
                match rows.send(self.wire, &style, None).await? {
                    Progress::Ended { rows: sent } => self.complete(rows.tag(sent), last).await,
                    Progress::Suspended => unreachable!("rows without a limit are not suspended"),
                }
            }
            other => self.answer_without_rows(other, last).await,
        }
    }

    /// Answers everything that has no rows, in both protocols. With `last` the implicit transaction ends with it.
    async fn answer_without_rows(&mut self, response: Response, last: bool) -> Result<(), Failure> {
        match response {
            Response::Empty => {
                self.wire.put(&EmptyQueryResponse::new())?;
                if last { self.finish_implicit().await } else { Ok(()) }
            }
            Response::Command(tag) => self.complete(tag, last).await,
            Response::CopyIn(copy) => {
                let tag = self.copy_in(copy, last).await?;
                self.complete(tag, last).await
            }
            Response::CopyOut { columns, format, follows, stream } => {
                let tag = match follows {
                    false => self.copy_out(columns, format, stream).await?,
                    true => self.follow(columns, format, stream).await?,
                };
                self.complete(tag, last).await
            }
            Response::Rows { .. } => unreachable!("rows are answered by their callers"),
        }
    }

    /// CommandComplete; before it the commit, if the statement ends its implicit transaction, and what there is to say.
    async fn complete(&mut self, tag: CommandTag, last: bool) -> Result<(), Failure> {
        if last {
            self.finish_implicit().await?;
        }
        self.put_notices()?;
        self.wire.put(&CommandComplete::new(tag.text()))?;
        Ok(())
    }

    async fn finish_implicit(&mut self) -> Result<(), Failure> {
        // A Sync or a statement inside of BEGIN … COMMIT ends nothing.
        if self.session.transaction_status() != TransactionStatus::Idle {
            return Ok(());
        }
        self.wire.run(self.session.finish_implicit()).await??;
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), Exit> {
        if !self.skipping {
            match self.finish_implicit().await {
                Ok(()) => {}
                Err(Failure::Statement(error)) => self.refuse(&error)?,
                Err(Failure::Exit(exit)) => return Err(exit),
            }
        }
        self.ready().await
    }

    /// Tells the client of an error and undoes what it undoes.
    fn refuse(&mut self, error: &QueryError) -> Result<(), Exit> {
        tracing::info!(sqlstate = sqlstate(error.kind), error = %error, "statement failed");
        self.put_notices()?;
        self.wire.put(&error_response(error))?;
        self.session.abort();
        self.portals.clear();
        Ok(())
    }

    /// Goes on behind a message of a group.
    async fn go_on(&mut self, outcome: Result<(), Failure>) -> Result<(), Exit> {
        match outcome {
            Ok(()) => self.wire.flush_if_full().await,
            Err(Failure::Statement(error)) => self.skip_group(&error).await,
            Err(Failure::Exit(exit)) => Err(exit),
        }
    }

    async fn skip_group(&mut self, error: &QueryError) -> Result<(), Exit> {
        self.refuse(error)?;
        self.skipping = true;
        // A client that waits behind a Flush would wait for ever: its Flush is skipped too.
        self.wire.flush().await
    }

    /// The span of an execution of a prepared statement with this text.
    fn execution_span(&mut self, text: &Arc<str>) -> Span {
        match &self.executed {
            Some((known, span)) if Arc::ptr_eq(known, text) => span.clone(),
            _ => {
                let span = statement_span(text);
                self.executed = Some((Arc::clone(text), span.clone()));
                span
            }
        }
    }

    fn put_notices(&mut self) -> Result<(), Exit> {
        for notice in self.session.take_notices() {
            self.wire.put(&notice_response(&notice))?;
        }
        Ok(())
    }

    fn put_notifications(&mut self) -> Result<(), Exit> {
        for told in self.session.take_notifications() {
            self.wire.put(&NotificationResponse::new(told.process_id, told.channel, told.payload))?;
        }
        Ok(())
    }

    /// Says that the client has the word, and sends everything. Outside of a transaction no portal is left.
    async fn ready(&mut self) -> Result<(), Exit> {
        let status = match self.session.transaction_status() {
            TransactionStatus::Idle => {
                self.portals.clear();
                response::TransactionStatus::Idle
            }
            TransactionStatus::InTransaction => response::TransactionStatus::Transaction,
            TransactionStatus::Failed => response::TransactionStatus::Error,
        };
        self.put_notices()?;
        if self.session.transaction_status() == TransactionStatus::Idle {
            self.put_notifications()?;
        }
        for (name, value) in self.session.take_parameter_changes() {
            put_parameter(self.wire, name, value)?;
        }
        self.session.statement_ended();
        self.wire.put(&ReadyForQuery::new(status))?;
        (self.skipping, self.at_rest, self.executes_in_group) = (false, true, 0);
        self.wire.flush_soon().await
    }
}

/// Ends when a client has said nothing for as long as it may, with what it is told then.
async fn end_of_rest(limit: Option<(Duration, QueryError)>) -> Fatal {
    match limit {
        Some((limit, error)) => {
            tokio::time::sleep(limit).await;
            Fatal::from(error)
        }
        None => std::future::pending().await,
    }
}

fn statement_span(text: &str) -> Span {
    let end = text.char_indices().nth(LOGGED_TEXT_CHARACTERS).map_or(text.len(), |(index, _)| index);
    tracing::info_span!("statement", text = &text[..end])
}

#[cfg(test)]
mod tests;
