//! The COM_STMT_* family: the client's statement ids are lagwise's own.
//!
//! A statement is prepared where it is to run ([`super::prepare`]), and again, when it has to run
//! elsewhere, on the connection that does not know it yet. The types of its parameters, which a client sends once,
//! are put in for such a connection.

use super::Session;
use super::context::Settings;
use super::diagnostics::Aside;
use super::error::{self, End};
use super::incoming::Incoming;
use super::job::{Done, Job};
use super::prepared::{ClientStatement, LAST_PREPARED, Sending};
use super::reply;
use super::servers::Held;
use super::signature::signature;
use crate::backend;
use crate::backend::error::codes;
use crate::backend::statements::Statements;
use crate::metrics::PrepareBy;
use crate::protocol::ErrPacket;
use crate::protocol::command::code;
use crate::protocol::execute::Execute;
use crate::protocol::flags::Capabilities;
use crate::protocol::frame::{HEADER_LEN, build_packet};
use crate::protocol::prepare::STATEMENT_ID;
use crate::protocol::response::ResponseKind;
use crate::route::Side;
use crate::sql::{self, Statement, StatementKind};

impl Session {
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
        let make = self.state.lex_mode().make;
        let (malformed, has_cursor, signature) = match bulk {
            true => (false, false, None),
            false => learn_execution(known, incoming.payload(), attributes, make),
        };
        let signature = signature.filter(|_| incoming.is_whole());
        known.begin_execution(signature, &self.context.known_statements);
        let mut statement = known.shared.executed();
        self.text_prepared.forget_after(&statement);
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
            let id = known.id();
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
        // What others may execute as well stays, until there is no room for it.
        let Some(closed) = self.prepared.remove(id).filter(ClientStatement::is_own) else { return };
        for side in [Side::Primary, Side::Replica] {
            if let Some(held) = self.servers.get(side) {
                held.guard.close_statement(closed.id());
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
            let name = known.id();
            self.servers.hold_statement(side, name, false);
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
        let Some(on_server) = held.guard.statements.get_mut(known.id()) else { return Ok(None) };
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
            let seen = on_server.types.as_ref();
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
            on_server.types = known.types().cloned();
        }
        exchange_id(&mut job.incoming.frame, on_server.id);
        Ok(None)
    }

    /// Has a statement prepared on the connection of a side, if there is one.
    async fn have_prepared(&mut self, side: Side, id: u32) -> Result<(), backend::Error> {
        let Some(held) = self.servers.get(side) else { return Ok(()) };
        let Some(known) = self.prepared.get(id) else { return Ok(()) };
        let (id, statements) = (known.id(), &mut held.guard.statements);
        let becomes = |statements: &mut Statements| {
            known.id_before().is_some_and(|before| statements.rename(before, id))
        };
        if statements.contains(id) || becomes(statements) {
            return Ok(());
        }
        let now = self.state.replayed.parse_state();
        let states = (&*known.shared.parse_state, &*now);
        let max = self.context.settings.load().max_prepared_statements;
        self.context.metrics.local().prepare(PrepareBy::Lagwise);
        held.guard.prepare(id, &known.shared.text, states, max).await
    }

    /// After ER_NEED_REPREPARE, by which nothing has run: the connection forgets the statement, so that it
    /// is prepared anew.
    pub(super) fn forgets_stale(&mut self, side: Side, job: &Job<'_>, err: &ErrPacket) -> bool {
        let known = job.statement_id.filter(|_| err.code == codes::NEED_REPREPARE);
        let known = known.and_then(|id| self.prepared.get(id));
        let (Some(known), Some(held)) = (known, self.servers.get(side)) else { return false };
        held.guard.close_statement(known.id());
        true
    }

    /// Whether a statement may be prepared anew there: it has no cursor and no long data.
    pub(super) fn may_be_stale(&mut self, side: Side, job: &Job<'_>) -> bool {
        let known = job.statement_id.filter(|_| job.kind == ResponseKind::Results);
        let known = known.and_then(|id| self.prepared.get(id)).map(ClientStatement::id);
        let on_server = known.zip(self.servers.get(side));
        on_server
            .and_then(|(id, held)| held.guard.statements.get_mut(id))
            .is_some_and(|it| !it.is_held)
    }

    /// After the error that a server has no room for a prepared statement: closes one that was used
    /// least recently, if that is the error and there is one.
    pub(super) fn makes_room(&mut self, side: Side, err: &ErrPacket) -> bool {
        err.code == codes::MAX_PREPARED_STMT_COUNT
            && self.servers.get(side).is_some_and(|held| held.guard.close_oldest())
    }

    /// Has the statement prepared on a connection to the primary that can take its long data;
    /// returns its id there, or `None` if there is no such connection to be had.
    async fn ready_for_long_data(&mut self, id: u32, settings: &Settings) -> Option<u32> {
        let side = Side::Primary;
        self.uses_cursors = true;
        // Noted first: where any of it does not arrive, the execution must not come about.
        let known = self.prepared.get_mut(id)?;
        let is_first = known.long_data_on.replace(side).is_none();
        known.begin_execution(None, &self.context.known_statements);
        let name = known.id();
        self.have_primary(settings).await?;
        self.have_prepared(side, id).await.ok()?;
        let on_server = self.servers.get(side)?.guard.statements.get_mut(name)?;
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
        let is_mariadb = self.state.lex_mode().make == sql::Make::MariaDb;
        let held = self.servers.get(Side::Primary);
        // The last one that the server has prepared need not be of this client.
        let is_last = is_mariadb && id == LAST_PREPARED;
        let is_there = |held: &mut Held| held.guard.statements.has_server_id(id);
        let asks = !is_last && !held.is_some_and(is_there);
        if asks && incoming.is_whole() {
            let statement = Statement::of_kind(StatementKind::Empty);
            let fixed = Some(Side::Primary);
            let job = Job { incoming, statement, kind, statement_id: None, fixed };
            return self.run(job).await.map(drop);
        }
        let settings = self.context.settings.load_full();
        let seq = incoming.discard_rest(&mut self.client, settings.max_packet).await?;
        let err = error::unknown_statement(id, command, is_mariadb);
        reply::err(&mut self.client, seq.wrapping_add(1), &err).await
    }
}

/// What an execution is: whether it is malformed, whether it opens a cursor, and its signature if others
/// may use the server's statement as well.
fn learn_execution(
    known: &mut ClientStatement,
    payload: &[u8],
    attributes: bool,
    make: sql::Make,
) -> (bool, bool, Option<Vec<u8>>) {
    let Ok(execute) = known.note_types(payload, attributes) else {
        let opens = Execute::parse(payload, 0, false).is_ok_and(|execute| execute.opens_cursor());
        return (true, opens, None);
    };
    let opens = execute.opens_cursor();
    let is_plain = !opens && known.long_data_on.is_none();
    let types = match execute.count {
        0 => Some(&[][..]),
        _ => known.types().map(|types| &**types),
    };
    let signature = types.filter(|_| is_plain).and_then(|it| signature(&execute, it, make));
    (false, opens, signature)
}

/// Puts the server's statement id into a command's frame.
fn exchange_id(frame: &mut [u8], id: u32) {
    let at = HEADER_LEN + STATEMENT_ID.start;
    if let Some(field) = frame.get_mut(at..at + 4) {
        field.copy_from_slice(&id.to_le_bytes());
    }
}
