//! What operators are told of who takes the writes.

use tracing::{error, info, warn};

use super::roles::Hold;

/// A change of who takes the writes. Servers are called by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleChange {
    /// Another server is the primary now.
    Followed {
        /// The one before, if that was known.
        from: Option<String>,
        /// The one now.
        to: String,
        /// It lacks transactions that the one before was seen to have.
        lacks: bool,
    },
    /// Statements for the primary are no longer sent.
    Held {
        /// The primary, or the server that is taken for it until that is known.
        primary: String,
        /// Why.
        hold: Hold,
    },
    /// They are sent again.
    Released {
        /// To this server.
        primary: String,
    },
    /// The primary was drained for longer than statements may be made to wait for that, and no other server
    /// has taken over: it is in use again.
    DrainEnded {
        /// The primary.
        primary: String,
    },
    /// Other servers can be written to, too; none: no longer.
    Rivals {
        /// The primary.
        primary: String,
        /// The others.
        rivals: Vec<String>,
        /// The primary is read-only, and they lack transactions that it has.
        lack: bool,
    },
}

impl RoleChange {
    /// Writes it to the log.
    pub fn log(&self) {
        match self {
            Self::Followed { from, to, lacks: true } => error!(
                server = to,
                from,
                "this server is the primary now, and lacks transactions that the one before had: \
                 they are lost, unless that one's binary log is searched for them"
            ),
            Self::Followed { from, to, lacks: false } => {
                info!(server = to, from, "this server is the primary now");
            }
            Self::Held { primary, hold: Hold::Down } => warn!(
                server = primary,
                "the primary is down: statements for it wait for one (routing.primary_wait)"
            ),
            Self::Held { primary, hold: Hold::ReadOnly } => warn!(
                server = primary,
                "the primary has turned read-only: statements for it wait for a server that is \
                 writable and has all its transactions (routing.primary_wait)"
            ),
            Self::Held { primary, hold: Hold::Drained } => warn!(
                server = primary,
                "the primary is drained: statements that would begin to write wait for another \
                 (routing.primary_wait)"
            ),
            Self::Held { hold: Hold::Undecided, .. } => warn!(
                "no server can be told to be the primary (primary = \"auto\"): none is writable, or \
                 it replicates from one that is down, or several are"
            ),
            Self::Released { primary } => info!(server = primary, "the primary takes statements"),
            Self::DrainEnded { primary } => warn!(
                server = primary,
                "the primary was drained, and is in use again: it is still writable after half of \
                 routing.primary_wait, and no statement is to fail by a drain"
            ),
            Self::Rivals { primary, rivals, .. } if rivals.is_empty() => {
                info!(server = primary, "no other server is writable any more");
            }
            Self::Rivals { primary, rivals, lack: true } => error!(
                server = primary,
                rivals = rivals.join(", "),
                "other servers were made writable before they had all transactions of the primary, \
                 which is read-only: statements for a primary go on waiting; turn read_only off on it \
                 again, or, to go on without those transactions, stop it or take it out of `servers`"
            ),
            Self::Rivals { primary, rivals, lack: false } => error!(
                server = primary,
                rivals = rivals.join(", "),
                "other servers are writable, too, as if they were primaries: lagwise does not write \
                 to them; turn read_only on there, or off there alone"
            ),
        }
    }
}
