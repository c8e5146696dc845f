//! Preparing a session's statements on a connection, and closing them.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Connection, Phase};
use super::error::{Error, codes};
use super::parse_state::ParseState;
use super::statements::ServerStatement;
use super::text_statements::TextStatement;
use crate::protocol::Malformed;
use crate::protocol::command::code;
use crate::protocol::frame::build_packet;
use crate::protocol::prepare::PrepareOk;
use crate::protocol::response::ResponseKind;

/// How long a COM_STMT_CLOSE may wait for a command to go out with. A client that closes a statement
/// mostly goes on at once, and a write of its own would cost more than the closing.
const CLOSE_DELAY: Duration = Duration::from_millis(100);

/// Closes beyond this many bytes of them do not wait: some hundred.
const MAX_PENDING: usize = 1 << 10;

impl Connection {
    /// Forgets a statement, and has the server forget it with the next command that is sent, or by
    /// [`Connection::send_pending`].
    pub fn close_statement(&mut self, id: u64) {
        if let Some(statement) = self.statements.remove(id) {
            self.queue_close(statement);
        }
    }

    fn queue_close(&mut self, statement: ServerStatement) {
        build_packet(&mut self.pending, 0, |out| {
            out.push(code::STMT_CLOSE);
            out.extend_from_slice(&statement.id.to_le_bytes());
        });
        let now = Instant::now();
        if self.pending.len() >= MAX_PENDING {
            self.pending_due = Some(now);
        }
        self.pending_due.get_or_insert(now + CLOSE_DELAY);
    }

    /// When [`Connection::send_pending`] is due, if anything is pending.
    #[inline]
    pub fn pending_due(&self) -> Option<Instant> {
        self.pending_due
    }

    /// Sends what waits for the next command, which has not come.
    pub async fn send_pending(&mut self) {
        if self.phase == Phase::Ready && !self.pending.is_empty() {
            // A connection that turns out broken is found so by whoever needs it next.
            let _ = self.send_without_response(&[]).await;
        }
    }

    /// Keeps a statement that a client's own PREPARE has brought about, under `id`, among `max`. If there
    /// is one already, that goes on, as what was learned of it does.
    pub fn adopt_statement(&mut self, id: u64, server_id: u32, max: usize) {
        if self.statements.contains(id) {
            return self.queue_close(ServerStatement::new(server_id));
        }
        if let Some(closed) = self.statements.make_room(max) {
            self.queue_close(closed);
        }
        self.statements.insert(id, server_id);
    }

    /// Closes the statement that was used least recently, to make room on the server; false if there is
    /// none that could be prepared again.
    pub fn close_oldest(&mut self) -> bool {
        let evicted = self.statements.evict();
        let is_some = evicted.is_some();
        evicted.into_iter().for_each(|closed| self.queue_close(closed));
        is_some
    }

    /// Prepares a statement here under `id`, among `max`, as the session was `then`; it is `now`
    /// otherwise, and so is this connection. Where the server has no room for more, it takes that of
    /// another that can be prepared again.
    ///
    /// # Errors
    /// The server's error, or the connection breaks.
    pub async fn prepare(
        &mut self,
        id: u64,
        text: &[u8],
        (then, now): (&ParseState, &ParseState),
        max: usize,
    ) -> Result<(), Error> {
        if let Some(closed) = self.statements.make_room(max) {
            self.queue_close(closed);
        }
        let mut result = self.prepare_as(text, then, now).await;
        if let Err(Error::Server(err)) = &result
            && err.code == codes::MAX_PREPARED_STMT_COUNT
            && self.close_oldest()
        {
            result = self.prepare_as(text, then, now).await;
        }
        result.map(|server_id| self.statements.insert(id, server_id))
    }

    /// Has a statement of PREPARE … FROM here whose PREPARE ran elsewhere, unless it is here already;
    /// the session is `now` as this connection is. What the client does not have open any more is
    /// dropped on the way, and where the server has no room for more, another makes room.
    ///
    /// # Errors
    /// The server's error, or the connection breaks.
    pub async fn have_text_statement(
        &mut self,
        statement: TextStatement<'_>,
        now: &ParseState,
        is_open: impl Fn(&[u8], u64) -> bool,
    ) -> Result<(), Error> {
        let TextStatement { name, version, sql, parse_state: then } = statement;
        if self.text_statements.has(name, version) {
            return Ok(());
        }
        let mut dropped = self.text_statements.make_room(name, is_open);
        let mut command = Vec::with_capacity(sql.len() + 8);
        self.build_query(&mut command, sql);
        loop {
            let drops = self.build_drops(&dropped);
            let switches = self.send_as(drops, &command, then, now).await?;
            for _ in &dropped {
                match self.finish_all(1).await {
                    // Known to be there; if one is not, so much the better.
                    Ok(()) | Err(Error::Server(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let result = self.finish_as(switches, ResponseKind::Results).await;
            let is_full = matches!(&result, Err(Error::Server(err))
                if err.code == codes::MAX_PREPARED_STMT_COUNT);
            dropped = match is_full {
                true => self.text_statements.evict().into_iter().collect(),
                false => Vec::new(),
            };
            if dropped.is_empty() {
                return result.map(|_| self.text_statements.insert(name, version));
            }
        }
    }

    /// Makes a MariaDB forget the warnings and errors of the statement before, and nothing else: neither
    /// ROW_COUNT() nor FOUND_ROWS(). A statement that is prepared and has a table does that; measured on
    /// MariaDB 10.11.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn forget_conditions(&mut self) -> Result<(), Error> {
        let sql = b"SELECT 1 FROM (SELECT 1) t";
        let as_it_is = ParseState::default();
        match self.prepare_as(sql, &as_it_is, &as_it_is).await {
            Ok(id) => {
                self.queue_close(ServerStatement::new(id));
                Ok(())
            }
            // There is no room for a statement. ROW_COUNT() is -1 then.
            Err(Error::Server(_)) => self.run(sql).await,
            Err(error) => Err(error),
        }
    }

    /// DEALLOCATE PREPARE of these.
    fn build_drops(&self, names: &[Box<[u8]>]) -> Vec<u8> {
        let mut packets = Vec::new();
        for name in names {
            self.build_query(&mut packets, &[b"DEALLOCATE PREPARE `", &name[..], b"`"].concat());
        }
        packets
    }

    /// Prepares a statement and returns the server's id of it; the definitions are dropped. All that
    /// has to be sent goes out at once.
    async fn prepare_as(
        &mut self,
        text: &[u8],
        then: &ParseState,
        now: &ParseState,
    ) -> Result<u32, Error> {
        let mut command = Vec::with_capacity(text.len() + 8);
        build_packet(&mut command, 0, |out| {
            out.push(code::STMT_PREPARE);
            out.extend_from_slice(text);
        });
        let switches = self.send_as(Vec::new(), &command, then, now).await?;
        self.finish_as(switches, ResponseKind::Prepare).await
    }

    /// Sends these packets, then a command that is to run as the session was `then`, in one go. Returns
    /// how many responses lie before and after the command's.
    async fn send_as(
        &mut self,
        mut packets: Vec<u8>,
        command: &[u8],
        then: &ParseState,
        now: &ParseState,
    ) -> Result<(usize, usize), Error> {
        let there = now.switch_to(then, &self.initial_state);
        let back = then.switch_to(now, &self.initial_state);
        let before = self.build_switch(&mut packets, &there);
        packets.extend_from_slice(command);
        let after = self.build_switch(&mut packets, &back);
        self.send(&packets).await?;
        Ok((before, after))
    }

    /// Reads the responses to what [`Connection::send_as`] sent; returns the id of a prepared statement,
    /// and 0 for other commands.
    async fn finish_as(
        &mut self,
        (before, after): (usize, usize),
        kind: ResponseKind,
    ) -> Result<u32, Error> {
        let switched = self.finish_all(before).await;
        let prepared = match kind {
            ResponseKind::Prepare => self.finish_prepare().await,
            _ => self.finish(kind).await.map(|_| 0),
        };
        // If it cannot be switched back, it is not what the session takes it for.
        if let Err(error) = self.finish_all(after).await {
            self.phase = Phase::Broken;
            return Err(Error::Lost(std::io::Error::other(error.to_string())));
        }
        match (switched, prepared) {
            (Ok(()), prepared) => prepared,
            (Err(error), Ok(id)) if kind == ResponseKind::Prepare => {
                self.queue_close(ServerStatement::new(id));
                Err(error)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Reads `count` responses; the first error among them, if the connection is still good then.
    async fn finish_all(&mut self, count: usize) -> Result<(), Error> {
        let mut result = Ok(());
        for _ in 0..count {
            match self.finish(ResponseKind::Results).await {
                Err(Error::Server(err)) => result = result.and(Err(Error::Server(err))),
                other => drop(other?),
            }
        }
        result
    }

    async fn finish_prepare(&mut self) -> Result<u32, Error> {
        let mut id = None;
        self.collect(ResponseKind::Prepare, |_, payload| {
            if id.is_none() {
                id = Some(PrepareOk::parse(payload)?.statement_id);
            }
            Ok(())
        })
        .await?;
        id.ok_or(Error::Protocol(Malformed("PREPARE_OK packet")))
    }
}
