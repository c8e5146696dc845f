//! A connection between two sessions: whether it still lives, what is taken off it, and its end.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Connection, Phase};
use super::error::Error;
use super::image::Switch;
use super::sync;
use crate::protocol::command::code;
use crate::protocol::frame::build_packet;
use crate::protocol::response::ResponseKind;

/// A connection that has been idle for so long is looked at by a system call before it is used.
const LONG_IDLE: Duration = Duration::from_millis(50);

/// How long the end of a connection is waited for. Servers that have many queries to run take more
/// than 100 ms for it (measured with 20 connections on two cores).
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The same where the server may be at a query, and not be listening.
const BROKEN_TIMEOUT: Duration = Duration::from_millis(100);

/// From closing a connection to counting it no more: MySQL's thread-per-connection handler first closes
/// the socket, then frees what the session had, and then counts.
const UNCOUNTED_AFTER: Duration = Duration::from_millis(20);

impl Connection {
    /// False once the server has closed it or said something unasked (which is a farewell: a
    /// timeout, KILL, or shutdown), and while a response is outstanding. Costs no system call while
    /// nothing has arrived, unless it has been idle for [`LONG_IDLE`] or comes from another thread.
    pub fn is_usable(&mut self, now: Instant) -> bool {
        if self.phase != Phase::Ready {
            return false;
        }
        let mut context = Context::from_waker(Waker::noop());
        // On a busy machine the event loop hears of what has arrived later than the client's statement;
        // and that of another thread tells this one nothing for certain.
        let is_told =
            self.home == std::thread::current().id() && now < self.ready_since + LONG_IDLE;
        self.stream.poll_fill(&mut context, 0).is_pending() && (is_told || !self.stream.has_news())
    }

    /// Whether [`Connection::reset_for_reuse`] makes it as good as new.
    pub fn is_resettable(&self) -> bool {
        self.phase == Phase::Ready && !self.is_tainted && self.names().is_some()
    }

    /// NAMES of the login, of a connection that can be reset.
    fn names(&self) -> Option<&[u8]> {
        self.at_login.as_ref().filter(|it| !it.has_init_connect)?.names.as_deref()
    }

    /// Makes the connection that of a session which has just logged in, but for the default schema,
    /// which stays (COM_RESET_CONNECTION does not touch it). In one round trip: the reset, what a
    /// reset leaves (the server's default character set, and the role), and the trackers.
    ///
    /// What stays different, on MySQL 9.7: foreign keys are checked by InnoDB, not by the SQL layer, so
    /// that a row which is refused takes an AUTO_INCREMENT value. COM_CHANGE_USER does the same.
    ///
    /// False if that cannot be had: where the server has an `init_connect`, a session begins with
    /// what that does, and no reset repeats it; MariaDB has no way back from another role.
    ///
    /// # Errors
    /// The server refuses, or the connection breaks; it must be closed.
    pub async fn reset_for_reuse(&mut self) -> Result<bool, Error> {
        let (Some(names), Some(at_login)) = (self.names(), &self.at_login) else {
            return Ok(false);
        };
        let mut packets = Vec::new();
        build_packet(&mut packets, 0, |out| out.push(code::RESET_CONNECTION));
        self.build_query(&mut packets, at_login.roles.as_bytes());
        self.build_query(&mut packets, &[b"SET ", names].concat());
        // MariaDB's reset keeps the schema, and forgets which character set that has.
        let schema = self.image.schema().to_vec();
        let again = self.facts().is_mariadb && !schema.is_empty();
        if again {
            self.build_switch(
                &mut packets,
                &Switch { schema: Some(schema.into()), ..Switch::default() },
            );
        }
        let tracking = sync::tracking_statement(self.facts().is_mariadb, self.read_only);
        self.build_query(&mut packets, &tracking);
        self.send(&packets).await?;
        self.finish(ResponseKind::Results).await?;
        let roles = self.finish_rows().await?;
        self.finish(ResponseKind::Results).await?;
        if again {
            self.finish(ResponseKind::Results).await?;
        }
        let summary = self.finish(ResponseKind::Results).await?;
        if !self.at_login.as_ref().is_some_and(|at_login| at_login.has_roles(&roles)) {
            return Ok(false);
        }
        self.initial_state = summary.state;
        self.statements.clear();
        self.text_statements.clear();
        self.tracking_stopped = None;
        self.image = Arc::new(self.image.after_login());
        (self.session, self.insert_id) = (0, Some(0));
        self.forget_warnings(summary.warnings).await?;
        Ok(self.phase == Phase::Ready)
    }

    /// Moves to the event loop of the calling thread, if it is on another's.
    ///
    /// # Errors
    /// The system refuses; the connection is then of no use.
    pub fn come_here(&mut self) -> io::Result<()> {
        let here = std::thread::current().id();
        if self.home != here {
            self.stream.rehome()?;
            self.home = here;
        }
        Ok(())
    }
}

impl Connection {
    /// Says goodbye, and waits until the server has closed the connection, but not for long.
    pub async fn quit(mut self) {
        if self.come_here().is_err() {
            return;
        }
        let patience = if self.phase == Phase::Ready { QUIT_TIMEOUT } else { BROKEN_TIMEOUT };
        let goodbye = self.goodbye();
        self.phase = Phase::Broken;
        // All the same how it ends. (A stream that has just moved here cannot be written to at once.)
        let _ = self.stream.write_all(&goodbye, patience).await;
        let _ = tokio::time::timeout(patience, self.stream.fill(0)).await;
        tokio::time::sleep(UNCOUNTED_AFTER).await;
    }

    /// What a server that listens is told at the end.
    fn goodbye(&mut self) -> Vec<u8> {
        if self.phase != Phase::Ready {
            return Vec::new();
        }
        let mut packets = std::mem::take(&mut self.pending);
        build_packet(&mut packets, 0, |out| out.push(code::QUIT));
        packets
    }
}

impl Drop for Connection {
    /// Says goodbye where a server listens for it, as clients do: without, it counts the connection
    /// as aborted and may write so to its log.
    fn drop(&mut self) {
        let goodbye = self.goodbye();
        if goodbye.is_empty() {
            return;
        }
        let mut context = Context::from_waker(Waker::noop());
        // A full socket, or none any more: closing it says as much.
        if let Poll::Ready(Err(error)) = self.stream.poll_write_once(&mut context, &goodbye) {
            tracing::trace!(%error, "a connection could not be ended in due form");
        }
    }
}
