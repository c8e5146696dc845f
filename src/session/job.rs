//! What is sent for a statement, and how an attempt at it ends.

use std::sync::Arc;
use std::time::Instant;

use super::diagnostics::Aside;
use super::incoming::Incoming;
use super::relay::Relayed;
use super::servers::Unavailable;
use crate::backend;
use crate::cluster::{Member, MemberId};
use crate::pool;
use crate::protocol::ErrPacket;
use crate::protocol::command::code;
use crate::protocol::response::ResponseKind;
use crate::route::Side;
use crate::sql::Statement;

/// Connections that one statement may try: the first, and two more for a read.
pub(super) const MAX_ATTEMPTS: usize = 3;

/// What is sent for a statement, and what its response is.
pub struct Job<'a> {
    /// The command; its payload is used where `frame` is `None`.
    pub incoming: &'a mut Incoming,
    /// What routing knows of the statement.
    pub statement: Statement,
    /// What response it has.
    pub kind: ResponseKind,
    /// The client's statement id, for commands on a prepared statement.
    pub statement_id: Option<u32>,
    /// The statement must run where this says, whatever routing would say.
    pub fixed: Option<Side>,
}

impl Job<'_> {
    /// Which of the commands that keep the warnings of the statement before it is, if it is one.
    pub(super) fn aside(&self) -> Option<Aside> {
        match self.incoming.payload().first() {
            Some(&code::INIT_DB) => Some(Aside::InitDb),
            Some(&code::SET_OPTION) => Some(Aside::SetOption),
            Some(&code::STMT_RESET) => Some(Aside::StmtReset),
            _ => None,
        }
    }
}

/// How a job ended.
pub enum Done {
    /// The response was forwarded whole; it came from this side.
    Forwarded(Side, Relayed),
    /// The client got an error of lagwise's own, or of a step before the statement.
    Failed,
}

impl Done {
    /// The server that ran the statement said that all went well.
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Self::Forwarded(_, relayed) if relayed.error_code.is_none())
    }

    /// The client got an error of the server that ran the statement.
    pub(super) fn is_error(&self) -> bool {
        matches!(self, Self::Forwarded(_, relayed) if relayed.error_code.is_some())
    }
}

/// How one attempt ended.
pub(super) enum Attempt {
    Done(Done),
    /// Nothing has reached the client; another server may be asked.
    Again(Failed),
    /// A part has reached the client; an ERR packet with this sequence id ends the response.
    Broken(Failed, u8),
    /// Nothing has reached the client; the statement is to be run once more.
    Withheld(Why),
}

/// Why a statement is to be run once more.
pub(super) enum Why {
    /// The server had closed the connection for its own reasons, and did not read it.
    Unread,
    /// A replica refused to run a function, which writes.
    Refused,
    /// A replica may lack what the primary has.
    Behind(ErrPacket),
    /// The primary is read-only.
    ReadOnly(ErrPacket),
    /// The server had no room for a prepared statement, and has now; or a statement must be prepared
    /// anew, and will be.
    Full,
}

/// What made an attempt fail.
pub(super) enum Failed {
    /// No connection came about: nothing was sent.
    Unavailable(Unavailable),
    /// The connection broke after the statement had been sent.
    Lost(backend::Error),
}

/// What earlier attempts at a statement have shown.
#[derive(Default)]
pub(super) struct Tried {
    /// Servers that failed.
    pub avoid: Vec<Arc<Member>>,
    /// Connections that the server had closed.
    pub unread: usize,
    /// A replica refused it.
    pub refused: bool,
    /// The error of a replica that may lack what the primary has.
    pub behind: Option<ErrPacket>,
    /// No replica will do.
    pub primary_only: bool,
    /// Room was made for a prepared statement, or one is prepared anew.
    pub made_room: bool,
    /// When the statement began, where it matters.
    pub began: Option<Instant>,
    /// Until when it waits for a replica, if it does or did.
    pub waits_until: Option<Instant>,
    /// Until when it waits for a primary, if it does or did.
    pub primary_until: Option<Instant>,
    /// Which server was the primary and could not take it, and when.
    pub no_primary: Option<(MemberId, Instant)>,
}

impl Failed {
    /// All connections to the server are in use.
    pub(super) fn is_crowded(&self) -> bool {
        matches!(self, Self::Unavailable(Unavailable::Pool(pool::Error::Exhausted(_))))
    }
}
