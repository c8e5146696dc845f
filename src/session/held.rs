//! What a session has on one side: a connection, or the way back to one.

use std::sync::Arc;

use tokio::time::Instant;

use crate::backend::connection::Phase;
use crate::cluster::Member;
use crate::pool;
use crate::route::Side;

/// A connection that the session holds.
#[derive(Debug)]
pub struct Held {
    /// The connection.
    pub guard: pool::Guard,
    /// Its server.
    pub member: Arc<Member>,
}

impl Held {
    /// False once the server has closed it or said something unasked (which is a farewell: a
    /// timeout, KILL, or shutdown). Costs no system call while nothing has arrived.
    pub fn is_usable(&mut self) -> bool {
        if self.guard.phase() != Phase::Ready || self.member.is_removed() {
            return self.guard.phase() == Phase::Ready;
        }
        self.guard.is_usable(Instant::now())
    }

    /// Whether a session that has more than its image on the connection may go on using it for statements
    /// that are for `member`: not on a server that is no longer the primary, and not in a transaction that
    /// could only fail. A server that the configuration has dropped ends what runs there.
    pub fn may_stay(&self, side: Side, member: &Arc<Member>, in_transaction: bool) -> bool {
        let is_there = Arc::ptr_eq(&self.member, member) || self.member.is_removed();
        side == Side::Replica || is_there && !(in_transaction && self.member.holds_writes())
    }
}

/// A connection that was given back after a statement, so that others may use it meanwhile.
#[derive(Debug)]
pub(super) struct Parked {
    /// To come back for the very same one; `None` if somebody else has it already.
    pub ticket: Option<pool::Ticket>,
    /// Its server.
    pub member: Arc<Member>,
}

/// What a session has on one side.
#[derive(Debug, Default)]
pub(super) enum Slot {
    /// No connection, and none that it had.
    #[default]
    Empty,
    Held(Held),
    Parked(Parked),
}

impl Slot {
    pub fn held(&self) -> Option<&Held> {
        match self {
            Slot::Held(held) => Some(held),
            Slot::Empty | Slot::Parked(_) => None,
        }
    }

    pub fn held_mut(&mut self) -> Option<&mut Held> {
        match self {
            Slot::Held(held) => Some(held),
            Slot::Empty | Slot::Parked(_) => None,
        }
    }
}
