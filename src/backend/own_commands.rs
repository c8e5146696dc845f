//! Commands of lagwise's own on a connection, which no client has asked for in these words.

use std::sync::Arc;

use super::connection::Connection;
use super::error::Error;
use super::sync;
use crate::protocol::command::code;
use crate::protocol::flags::StatusFlags;
use crate::protocol::frame::build_packet;
use crate::protocol::response::ResponseKind;

impl Connection {
    /// Puts the session back to the server's own defaults (COM_RESET_CONNECTION), which are not those
    /// that it logged in with, and turns the trackers on again.
    ///
    /// # Errors
    /// The server refuses, or the connection breaks.
    pub async fn reset(&mut self) -> Result<(), Error> {
        let mut packets = Vec::new();
        build_packet(&mut packets, 0, |out| out.push(code::RESET_CONNECTION));
        let sql = sync::tracking_statement(self.facts().is_mariadb, self.read_only);
        self.build_query(&mut packets, &sql);
        self.send(&packets).await?;
        self.status = self.finish(ResponseKind::Results).await?.status;
        let summary = self.finish(ResponseKind::Results).await?;
        self.initial_state = summary.state;
        self.image = Arc::new(self.image.after_reset());
        self.insert_id = Some(0);
        self.statements.clear();
        self.text_statements.clear();
        self.forget_warnings(summary.warnings).await
    }

    /// COM_SET_OPTION; returns the status flags, and how many warnings and errors of the statement before
    /// MySQL repeats.
    ///
    /// # Errors
    /// The server refuses, or the connection breaks.
    pub async fn set_option(&mut self, option: u16) -> Result<(StatusFlags, u16), Error> {
        let mut packet = Vec::new();
        build_packet(&mut packet, 0, |out| {
            out.push(code::SET_OPTION);
            out.extend_from_slice(&option.to_le_bytes());
        });
        self.send(&packet).await?;
        let summary = self.finish(ResponseKind::Results).await?;
        Ok((summary.status, summary.warnings))
    }

    /// COM_PING; returns the status flags.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn ping(&mut self) -> Result<StatusFlags, Error> {
        let mut packet = Vec::new();
        build_packet(&mut packet, 0, |out| out.push(code::PING));
        self.send(&packet).await?;
        Ok(self.finish(ResponseKind::Results).await?.status)
    }

    /// Runs a statement of lagwise's own that has no result set.
    ///
    /// # Errors
    /// The server refuses, or the connection breaks.
    pub async fn run(&mut self, sql: &[u8]) -> Result<(), Error> {
        let mut packet = Vec::new();
        self.build_query(&mut packet, sql);
        self.send(&packet).await?;
        self.finish(ResponseKind::Results).await.map(drop)
    }

    /// Sets variables of the session to themselves, and returns what the server reports of them: their
    /// values.
    ///
    /// # Errors
    /// The server refuses, or the connection breaks.
    pub async fn report(&mut self, names: &[&str]) -> Result<Vec<u8>, Error> {
        let one = |name: &&str| format!("SESSION {name}=@@SESSION.{name}");
        let sql = format!("SET {}", names.iter().map(one).collect::<Vec<_>>().join(", "));
        let mut packet = Vec::new();
        self.build_query(&mut packet, sql.as_bytes());
        self.send(&packet).await?;
        let summary = self.finish(ResponseKind::Results).await?;
        self.forget_warnings(summary.warnings).await?;
        Ok(summary.state)
    }

    /// Gives the trackers the server's defaults: what it reports and shows is as on a connection that
    /// is not lagwise's. In a transaction, those of GTIDs stay on.
    ///
    /// # Errors
    /// The server refuses, or the connection breaks.
    pub async fn stop_tracking(&mut self, in_transaction: bool) -> Result<(), Error> {
        self.tracking_stopped = Some(!in_transaction);
        self.run(&sync::trackers(self.facts().is_mariadb, false, !in_transaction)).await
    }

    /// Undoes [`Connection::stop_tracking`], if that was called.
    ///
    /// # Errors
    /// The server refuses, or the connection breaks.
    pub async fn resume_tracking(&mut self) -> Result<(), Error> {
        match self.tracking_stopped.take() {
            Some(gtids) => self.run(&sync::trackers(self.facts().is_mariadb, true, gtids)).await,
            None => Ok(()),
        }
    }
}
