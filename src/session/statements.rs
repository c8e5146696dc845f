//! The COM_STMT_* family: the client's statement ids are lagwise's own.
//!
//! A statement is prepared where it is to run, and again, when it has to run elsewhere, on the
//! connection that does not know it yet. The types of its parameters, which a client sends once,
//! are put in for such a connection.

use super::Session;
use super::context::Settings;
use super::diagnostics::Aside;
use super::error::{self, End};
use super::execute::{Done, Job};
use super::incoming::Incoming;
use super::prepared::{ClientStatement, LAST_PREPARED, Sending};
use super::reply;
use super::servers::Asker;
use crate::backend;
use crate::protocol::ErrPacket;
use crate::protocol::command::code;
use crate::protocol::execute::Execute;
use crate::protocol::flags::Capabilities;
use crate::protocol::frame::{HEADER_LEN, build_packet};
use crate::protocol::prepare::STATEMENT_ID;
use crate::protocol::response::ResponseKind;
use crate::route::{Side, is_server_schema};
use crate::sql::{self, Flags, Statement, StatementKind};

impl Session {
    /// COM_STMT_PREPARE
    pub(super) async fn stmt_prepare(&mut self, incoming: &mut Incoming) -> Result<(), End> {
        if !incoming.is_whole() {
            let settings = self.context.settings.load_full();
            incoming.discard_rest(&mut self.client, settings.max_packet).await?;
            return reply::err(&mut self.client, 1, &error::too_large()).await;
        }
        let text: Box<[u8]> = incoming.payload().get(1..).unwrap_or_default().into();
        let mut statement = sql::classify(&text, self.state.lex_mode());
        let kind = ResponseKind::Prepare;
        let job = Job { incoming, statement, kind, statement_id: None, fixed: None };
        let done = self.run(job).await?;
        self.prepared.failed();
        let Done::Forwarded(side, relayed) = done else { return Ok(()) };
        let Some(ok) = relayed.prepare_ok.filter(|_| relayed.error_code.is_none()) else {
            return Ok(());
        };
        if self.state.schema().is_some_and(is_server_schema) {
            // Its names are of that schema for good.
            statement.flags |= Flags::SERVER_SCHEMA;
        }
        let parse_state = self.state.replayed.parse_state();
        let new = ClientStatement::new(text, statement, parse_state, ok, side);
        let id = self.prepared.insert(new);
        if let Some(held) = self.servers.get(side) {
            held.guard.statements.insert_first(id, ok.statement_id);
        }
        Ok(())
    }

    /// COM_STMT_EXECUTE, and MariaDB's COM_STMT_BULK_EXECUTE.
    pub(super) async fn stmt_execute(
        &mut self,
        incoming: &mut Incoming,
        id: u32,
        bulk: bool,
    ) -> Result<(), End> {
        let attributes = self.login.capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
        let id = self.resolve(id);
        let Some(known) = self.prepared.get_mut(id) else {
            let name = if bulk { "mysqld_stmt_bulk_execute" } else { "mysqld_stmt_execute" };
            return self.unknown_statement(incoming, id, name, ResponseKind::Results).await;
        };
        // What is wrong with it, the server says in its own words.
        if bulk {
            known.note_bulk_types(incoming.payload());
        }
        let malformed = !bulk && known.note_types(incoming.payload(), attributes).is_err();
        let mut statement = known.statement;
        self.text_prepared.forget_after(&statement);
        let has_cursor = opens_cursor(incoming.payload());
        // A cursor is where it stays open however the session reads meanwhile.
        let on_primary = has_cursor || bulk || malformed || !incoming.is_whole();
        let fixed = known.long_data_on.or(on_primary.then_some(Side::Primary));
        if bulk && statement.is_read() {
            statement = Statement::of_kind(StatementKind::Unknown);
        }
        let kind = ResponseKind::Results;
        let job = Job { incoming, statement, kind, statement_id: Some(id), fixed };
        let done = self.run(job).await?;
        let Some(known) = self.prepared.get_mut(id) else { return Ok(()) };
        known.long_data_on = None;
        if let Done::Forwarded(side, relayed) = done {
            known.last_side = side;
            known.has_cursor = has_cursor;
            self.uses_cursors |= has_cursor;
            if known.num_columns > 0 && relayed.columns > 0 {
                known.num_columns = relayed.columns;
            }
            self.servers.hold_statement(side, id, has_cursor);
        }
        Ok(())
    }

    /// COM_STMT_SEND_LONG_DATA: no response. All of it goes to the primary, and the execution
    /// after it.
    pub(super) async fn stmt_send_long_data(
        &mut self,
        incoming: &mut Incoming,
        id: u32,
    ) -> Result<(), End> {
        let settings = self.context.settings.load_full();
        let id = self.resolve(id);
        let side = Side::Primary;
        let Some(server_id) = self.ready_for_long_data(id, &settings).await else {
            // As a server: the error shows when the statement is executed.
            return incoming.discard_rest(&mut self.client, settings.max_packet).await.map(drop);
        };
        let Some(held) = self.servers.get(side) else { return Ok(()) };
        exchange_id(&mut incoming.frame, server_id);
        let server = &mut held.guard;
        let mut sent = server.send_without_response(&incoming.frame).await;
        let client = &mut self.client;
        while let Some(count) = incoming.next_piece(client, settings.max_packet).await? {
            let piece = client.buffered().get(..count).unwrap_or_default();
            if sent.is_ok() {
                sent = server.send_without_response(piece).await;
            }
            incoming.took_piece(client, count);
        }
        Ok(())
    }

    /// COM_STMT_CLOSE: no response.
    pub(super) fn stmt_close(&mut self, id: u32) {
        let id = self.resolve(id);
        self.prepared.remove(id);
        for side in [Side::Primary, Side::Replica] {
            if let Some(held) = self.servers.get(side) {
                held.guard.close_statement(id);
            }
        }
    }

    /// COM_STMT_RESET and COM_STMT_FETCH: where the statement was executed last.
    pub(super) async fn stmt_follow(
        &mut self,
        incoming: &mut Incoming,
        id: u32,
        kind: ResponseKind,
    ) -> Result<(), End> {
        let id = self.resolve(id);
        let Some(known) = self.prepared.get_mut(id) else {
            let name = match kind {
                ResponseKind::Rows => "mysqld_stmt_fetch",
                _ => "mysqld_stmt_reset",
            };
            return self.unknown_statement(incoming, id, name, kind).await;
        };
        let side = known.long_data_on.unwrap_or(known.last_side);
        let statement = Statement::of_kind(StatementKind::Empty);
        let fixed = Some(side);
        if kind == ResponseKind::Results {
            (known.long_data_on, known.has_cursor) = (None, false);
            self.servers.hold_statement(side, id, false);
            if side == Side::Replica {
                // No cursor and no long data there: nothing to reset, and the flags of that
                // connection are not the session's.
                self.state.diagnostics.step_aside(Aside::StmtReset);
                return reply::ok(&mut self.client, 1, self.state.status, 0).await;
            }
        }
        self.run(Job { incoming, statement, kind, statement_id: Some(id), fixed }).await?;
        Ok(())
    }

    /// The id that a command means.
    fn resolve(&self, id: u32) -> u32 {
        // "Execute last prepared" is MariaDB's.
        let is_mariadb = self.state.lex_mode().make == sql::Make::MariaDb;
        if is_mariadb && id == LAST_PREPARED { self.prepared.last_prepared() } else { id }
    }

    /// Has the statement of a job prepared on its connection, and the job's frame made fit for it.
    /// Returns the error that keeps it from being sent there.
    pub(super) async fn make_ready(
        &mut self,
        side: Side,
        job: &mut Job<'_>,
    ) -> Result<Option<ErrPacket>, backend::Error> {
        let Some(id) = job.statement_id else { return self.have_text_prepared(side, job).await };
        match self.have_prepared(side, id).await {
            Ok(()) => {}
            Err(backend::Error::Server(err)) => return Ok(Some(err)),
            Err(error) => return Err(error),
        }
        let Some(held) = self.servers.get(side) else { return Ok(None) };
        let Some(known) = self.prepared.get(id) else { return Ok(None) };
        let Some(on_server) = held.guard.statements.get_mut(id) else { return Ok(None) };
        let command = job.incoming.payload().first().copied();
        let needs = match command {
            Some(code::STMT_EXECUTE | code::STMT_BULK_EXECUTE) => known.long_data_on.is_some(),
            Some(code::STMT_FETCH) => known.has_cursor,
            _ => false,
        };
        if needs && !on_server.is_held {
            return Ok(Some(error::statement_state_lost(&held.member.config().name)));
        }
        let bulk = command == Some(code::STMT_BULK_EXECUTE);
        if bulk || command == Some(code::STMT_EXECUTE) {
            let attributes = self.login.capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
            let seen = on_server.types_version;
            let payload = job.incoming.payload();
            let sending = match bulk {
                true => Ok(known.sending_bulk(payload, seen)),
                false => known.sending(payload, attributes, seen),
            };
            if let Ok(Sending::WithTypes(payload)) = sending {
                if !job.incoming.is_whole() {
                    return Ok(Some(error::too_large()));
                }
                job.incoming.frame.clear();
                build_packet(&mut job.incoming.frame, 0, |out| out.extend_from_slice(&payload));
            }
            on_server.types_version = known.types_version();
        }
        exchange_id(&mut job.incoming.frame, on_server.id);
        Ok(None)
    }

    /// Has a statement prepared on the connection of a side, if there is one.
    async fn have_prepared(&mut self, side: Side, id: u32) -> Result<(), backend::Error> {
        let Some(held) = self.servers.get(side) else { return Ok(()) };
        if held.guard.statements.get_mut(id).is_some() {
            return Ok(());
        }
        let Some(known) = self.prepared.get(id) else { return Ok(()) };
        let now = self.state.replayed.parse_state();
        held.guard.prepare_again(id, &known.text, &known.parse_state, &now).await
    }

    /// Has the statement prepared on a connection to the primary that can take its long data;
    /// returns its id there, or `None` if there is no such connection to be had.
    async fn ready_for_long_data(&mut self, id: u32, settings: &Settings) -> Option<u32> {
        let side = Side::Primary;
        self.uses_cursors = true;
        // Noted first: where any of it does not arrive, the execution must not come about.
        let is_first = self.prepared.get_mut(id)?.long_data_on.replace(side).is_none();
        let member = self.home(&self.context.cluster.load(), &[])?;
        let is_harmless = false;
        let by = Asker { login: &self.login, handle: &self.handle, settings, is_harmless };
        let ensured = self.servers.ensure(side, &member, &mut self.state, by).await;
        ensured.ok()?;
        self.have_prepared(side, id).await.ok()?;
        let on_server = self.servers.get(side)?.guard.statements.get_mut(id)?;
        on_server.is_held |= is_first;
        on_server.is_held.then_some(on_server.id)
    }

    /// A command on a statement that does not exist. The server says so itself where it can, so that
    /// SHOW WARNINGS has the error, too; its own statements have other ids, which may be this one.
    async fn unknown_statement(
        &mut self,
        incoming: &mut Incoming,
        id: u32,
        command: &str,
        kind: ResponseKind,
    ) -> Result<(), End> {
        let held = self.servers.get(Side::Primary);
        let asks = held.is_none_or(|held| !held.guard.statements.has_server_id(id));
        if asks && incoming.is_whole() {
            let statement = Statement::of_kind(StatementKind::Empty);
            let fixed = Some(Side::Primary);
            let job = Job { incoming, statement, kind, statement_id: None, fixed };
            return self.run(job).await.map(drop);
        }
        let settings = self.context.settings.load_full();
        let seq = incoming.discard_rest(&mut self.client, settings.max_packet).await?;
        let is_mariadb = self.state.lex_mode().make == sql::Make::MariaDb;
        let err = error::unknown_statement(id, command, is_mariadb);
        reply::err(&mut self.client, seq.wrapping_add(1), &err).await
    }
}

/// True if an execution opens a cursor.
fn opens_cursor(payload: &[u8]) -> bool {
    Execute::parse(payload, 0, false).is_ok_and(|execute| execute.opens_cursor())
}

/// Puts the server's statement id into a command's frame.
fn exchange_id(frame: &mut [u8], id: u32) {
    let at = HEADER_LEN + STATEMENT_ID.start;
    if let Some(field) = frame.get_mut(at..at + 4) {
        field.copy_from_slice(&id.to_le_bytes());
    }
}
