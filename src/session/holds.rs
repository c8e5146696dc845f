//! What keeps a session on its server connections between statements.
//!
//! With `mode = "transaction"` a connection goes back to the pool after each statement, unless the
//! session has left something on it that no other connection can be given. Which that is, and why, is
//! decided here from what is known of the session, and is counted by its reason.
//!
//! What only the connection knows, but can say ([`InsertId::Untold`], [`FoundRows::Untold`]), does
//! not hold it: the session asks for it once its client has been silent for [`SETTLE_AFTER`], and
//! gives the connection back then. A client that goes on at once needs no such question.
//!
//! Warnings, errors and a ROW_COUNT() of several rows hold it until the next statement, or for
//! [`YIELD_AFTER`] if others wait: sessions that are silent after an error must not keep all others
//! out. Who then asks for them gets an error, never another's.

use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use super::diagnostics::FoundRows;
use super::found_rows::ANSWER_TIME;
use super::job::Job;
use super::state::{InsertId, SessionState};
use super::tracking::find;
use crate::backend::connection::Phase;
use crate::config::PoolMode;
use crate::route::{HoldReason, Side, Transaction};
use crate::sql::Flags;

/// How long a client may be silent before its session asks for what only the connection knows.
const SETTLE_AFTER: Duration = Duration::from_millis(5);

/// After so long a silence a session gives up what the next statement would end, if others wait for a
/// connection. (Measured: what a program asks about its last statement comes within a millisecond.)
const YIELD_AFTER: Duration = Duration::from_secs(1);

/// Why a session keeps a connection between statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// A transaction is open there, or prepared by SET TRANSACTION.
    Transaction,
    /// A temporary table.
    TemporaryTable,
    /// LOCK TABLES, GET_LOCK(), FLUSH TABLES … WITH READ LOCK.
    Lock,
    /// User variables, a HANDLER, or what a routine has left.
    Variables,
    /// A statement of PREPARE … FROM.
    TextPrepare,
    /// An open cursor, or long data of a prepared statement.
    Cursor,
    /// Warnings or an error that may be asked for.
    Warnings,
    /// ROW_COUNT() of a statement that has changed several rows.
    RowCount,
    /// CONNECTION_ID() was asked.
    ConnectionId,
    /// State that cannot be brought to another connection, or is not known.
    Unreplayable,
    /// The client leaves first: `mode = "session"`.
    Session,
}

impl Hold {
    /// The label values, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &[
        "transaction",
        "temporary_table",
        "lock",
        "variables",
        "text_prepare",
        "cursor",
        "warnings",
        "row_count",
        "connection_id",
        "unreplayable",
        "session",
    ];

    fn by_reason(reason: HoldReason) -> Self {
        match reason {
            HoldReason::TemporaryTable => Self::TemporaryTable,
            HoldReason::UserLock | HoldReason::LockTables => Self::Lock,
            HoldReason::UserVariable | HoldReason::Handler => Self::Variables,
            HoldReason::TextPrepare => Self::TextPrepare,
            HoldReason::Cursor => Self::Cursor,
            HoldReason::OneShotTransaction | HoldReason::Xa => Self::Transaction,
            HoldReason::Unreplayable | HoldReason::UnknownState => Self::Unreplayable,
        }
    }
}

/// What the state of a session holds on its connection of one side, besides [`by_last_statement`].
fn by_state(state: &SessionState, side: Side) -> Option<Hold> {
    let here = match side {
        Side::Primary => Transaction::OnPrimary,
        Side::Replica => Transaction::OnReplica,
    };
    if state.transaction() == here || state.has_twin() {
        return Some(Hold::Transaction);
    }
    if side == Side::Replica {
        return None;
    }
    if let Some(reason) = state.hold() {
        return Some(Hold::by_reason(reason));
    }
    if state.awaits_transaction() {
        return Some(Hold::Transaction);
    }
    if state.carries() {
        return Some(Hold::Variables);
    }
    (!state.is_resettable()).then_some(Hold::Unreplayable)
}

/// What the last statement has left on the connection of one side, until the next one.
fn by_last_statement(state: &SessionState, side: Side) -> Option<Hold> {
    let diagnostics = &state.diagnostics;
    let conditions = diagnostics.conditions();
    if conditions.held && conditions.on == side
        || diagnostics.is_untold() && diagnostics.side() == side
    {
        return Some(Hold::Warnings);
    }
    match diagnostics.row_count_there(side) {
        // A server has no statement that brings about any other number.
        Some(2..) if side == Side::Primary => Some(Hold::RowCount),
        _ => None,
    }
}

/// What only the connection of that side knows.
fn is_untold(state: &SessionState, side: Side) -> bool {
    let found =
        state.diagnostics.has_found_rows(side) && state.diagnostics.found() == FoundRows::Untold;
    found || side == Side::Primary && state.insert_id() == InsertId::Untold
}

impl Session {
    /// Why the session keeps its connection of `side`, if it does.
    fn hold_on(&mut self, side: Side) -> Option<Hold> {
        self.firm_hold_on(side).or_else(|| by_last_statement(&self.state, side))
    }

    /// The same, but for what the next statement ends.
    fn firm_hold_on(&mut self, side: Side) -> Option<Hold> {
        match by_state(&self.state, side) {
            // The state only knows that there is something.
            Some(Hold::Variables) if self.text_prepared.has_some() => {
                return Some(Hold::TextPrepare);
            }
            None => {}
            hold => return hold,
        }
        if !self.strays.is_empty() {
            return Some(Hold::Variables);
        }
        if side == Side::Primary {
            if self.knows_thread {
                return Some(Hold::ConnectionId);
            }
            if let Some(reason) = self.text_prepared.hold() {
                return Some(Hold::by_reason(reason));
            }
        }
        let uses_cursors = self.uses_cursors;
        let held = self.servers.get(side)?;
        if held.guard.is_tainted {
            return Some(Hold::Unreplayable);
        }
        if !held.guard.text_statements.is_empty() {
            return Some(Hold::TextPrepare);
        }
        (uses_cursors && held.guard.statements.has_held()).then_some(Hold::Cursor)
    }

    /// After a command: gives back what connections the session does not have to keep.
    pub(super) fn park(&mut self, mode: PoolMode) {
        let mut why = None;
        self.settle_at = None;
        for side in [Side::Primary, Side::Replica] {
            let Some(held) = self.servers.get(side) else { continue };
            // One that is not is found so by who needs it next, who has to know what was lost with it.
            if held.guard.phase() != Phase::Ready {
                continue;
            }
            if mode == PoolMode::Session {
                why = Some(Hold::Session);
            } else if let Some(hold) = self.firm_hold_on(side) {
                why = Some(hold);
            } else if let Some(hold) = by_last_statement(&self.state, side) {
                why = Some(hold);
                self.settle_in(YIELD_AFTER);
            } else if is_untold(&self.state, side) {
                self.settle_in(SETTLE_AFTER);
            } else {
                self.servers.park(side, &self.handle);
            }
        }
        if self.hold_count.as_ref().map(|(hold, _)| *hold) != why {
            let metrics = &self.context.metrics;
            self.hold_count = why.map(|why| (why, metrics.hold(why as usize)));
            self.handle.set_hold(why);
        }
        let written_at = self.state.pin.written_at();
        if self.pin_shown != written_at {
            self.pin_shown = written_at;
            self.handle.set_pin(self.state.pin.view());
        }
    }

    fn settle_in(&mut self, time: Duration) {
        let due = Instant::now() + time;
        self.settle_at = Some(self.settle_at.map_or(due, |other| other.min(due)));
    }

    /// After a statement: a session that has asked for the id of its connection goes on having it.
    pub(super) fn note_thread(&mut self, job: &Job<'_>) {
        if job.statement.flags.contains(Flags::SESSION_FUNCTION) {
            let text = self.text_of(job).unwrap_or_default();
            let names: [&[u8]; 3] = [b"connection_id", b"thread_id", b"rand_seed"];
            self.knows_thread |= names.into_iter().any(|name| find(text, name).is_some());
        }
    }

    /// The client has been silent for a while: asks the connections for what only they know, and gives
    /// up what the next statement would end where others wait for a connection, so that they can be
    /// given back.
    pub(super) async fn settle(&mut self) {
        self.settle_at = None;
        for side in [Side::Primary, Side::Replica] {
            if self.firm_hold_on(side).is_some() {
                continue;
            }
            let is_untold = is_untold(&self.state, side);
            if by_last_statement(&self.state, side).is_some() {
                let held = self.servers.get(side);
                if held.is_none_or(|held| held.member.pool().levels().waiting == 0) {
                    continue;
                }
                self.state.diagnostics.give_up(side);
            }
            if is_untold {
                self.ask_counts(side).await;
            }
        }
        self.park(PoolMode::Transaction);
    }

    /// Asks the connection for the counts that only it knows.
    pub(super) async fn ask_counts(&mut self, side: Side) {
        const BOTH: &str = "SELECT LAST_INSERT_ID(), FOUND_ROWS()";
        let Some(held) = self.servers.get(side) else { return };
        if !held.is_usable() {
            return;
        }
        let Ok(rows) = held.guard.query_rows(BOTH, Instant::now() + ANSWER_TIME).await else {
            // What it knew is lost: the next statement that would have used it says so.
            held.guard.mark_broken();
            return;
        };
        // MySQL warns of FOUND_ROWS(), which whoever has the connection next would find.
        let is_mysql = !held.guard.facts().is_mariadb;
        if is_mysql && held.guard.forget_warnings(1).await.is_err() {
            held.guard.mark_broken();
            return;
        }
        let number = |value: Option<Vec<u8>>| -> Option<u64> {
            String::from_utf8(value?).ok()?.parse().ok()
        };
        let mut row = rows.into_iter().flatten().map(number);
        let (id, found) = (row.next().flatten(), row.next().flatten());
        let diagnostics = &mut self.state.diagnostics;
        match found {
            Some(found) if diagnostics.has_found_rows(side) => diagnostics.tell_found(found),
            _ => {}
        }
        diagnostics.moved(side);
        if side == Side::Primary && self.state.insert_id() == InsertId::Untold {
            // MariaDB's may be negative, where the column is signed.
            held.guard.insert_id = id;
            self.state.tell_insert_id(id.unwrap_or_default());
        }
    }

    /// Whether a session that ends now leaves nothing on its connection of `side`.
    pub(super) fn leaves_clean(&mut self, side: Side) -> bool {
        self.hold_on(side).is_none()
    }
}
