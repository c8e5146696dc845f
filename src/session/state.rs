//! What is known of one client's session, from what the servers report.
//!
//! The truth about a session's state is what the server that ran the statement says: status flags
//! and session trackers. Reading the SQL only adds what no server reports (user locks, user
//! variables) and guesses nothing away. Pure: time is an argument.

mod variables;

use std::time::{Duration, Instant};

use super::diagnostics::{Aside, Diagnostics, Told};
use super::effects::{leaves_something, may_set_insert_id, only_looks, runs_unseen, was_not_run};
use super::names;
use super::pin::Pin;
use super::replayed::{Replayed, Unreplayable};
use crate::protocol::eof::EofPacket;
use crate::protocol::flags::StatusFlags;
use crate::protocol::ok::{StateChange, changes};
use crate::route::{HoldReason, PinCause, SessionFacts, Side, Transaction, is_server_schema};
use crate::sql::{ClientCharset, Flags, LexMode, Make, NamesCollation, Statement, StatementKind};

/// LAST_INSERT_ID() of a session. OK packets do not tell it: they name also ids that were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertId {
    /// This.
    Known(u64),
    /// Only the primary's connection knows.
    Untold,
}

/// The state of one session.
#[derive(Debug)]
pub struct SessionState {
    /// Status flags as the client last saw them.
    pub status: StatusFlags,
    /// Schema and variables.
    pub replayed: Replayed,
    lex_mode: LexMode,
    transaction: Transaction,
    /// The READ ONLY transaction on a replica has a counterpart on the primary.
    twin: bool,
    hold: Option<HoldReason>,
    /// SET TRANSACTION for the next transaction is outstanding.
    one_shot: bool,
    /// The primary connection knows something that reads elsewhere do not need but a new
    /// connection would lack: user variables, statements of PREPARE, a HANDLER.
    carries: bool,
    /// What LAST_INSERT_ID() is.
    insert_id: InsertId,
    /// The client sets the session trackers itself.
    untracked: bool,
    /// Something was set that COM_RESET_CONNECTION leaves.
    outlives_reset: bool,
    /// A characteristic of the session's transactions was set within one. Ended by SET autocommit,
    /// MySQL gives it to the next transaction but one: which that is, the primary alone knows.
    unsettled: bool,
    /// What the session has set `wait_timeout` to.
    wait_timeout: Option<Duration>,
    /// Where the last statement's warnings and counts are.
    pub diagnostics: Diagnostics,
    /// The session's unreplicated writes.
    pub pin: Pin,
}

impl SessionState {
    /// A new session.
    pub fn new(status: StatusFlags, schema: Vec<u8>, lex_mode: LexMode, pin: Pin) -> Self {
        Self {
            status,
            replayed: Replayed::new(schema),
            lex_mode,
            transaction: Transaction::None,
            twin: false,
            hold: None,
            one_shot: false,
            carries: false,
            insert_id: InsertId::Known(0),
            untracked: false,
            outlives_reset: false,
            unsettled: false,
            wait_timeout: None,
            diagnostics: Diagnostics::default(),
            pin,
        }
    }

    /// Takes in what the server reported when the trackers were turned on: how the session begins.
    /// That holds on every new connection, so none of it is replayed.
    pub fn begin_with(&mut self, reported: &[u8]) {
        for change in changes(reported).filter_map(Result::ok) {
            match change {
                (StateChange::SystemVariable { name: b"sql_mode", value }, _) => {
                    self.set_sql_mode(value);
                }
                (StateChange::SystemVariable { name: b"collation_connection", value }, _) => {
                    // At first it is that of the client's character set.
                    let charset = value.split(|byte| *byte == b'_').next().unwrap_or_default();
                    self.lex_mode.charset = ClientCharset::from_name(charset);
                }
                _ => {}
            }
        }
    }

    /// How the session's text is to be lexed.
    pub fn lex_mode(&self) -> &LexMode {
        &self.lex_mode
    }

    /// How long the client may be idle, if the session has set that.
    pub fn wait_timeout(&self) -> Option<Duration> {
        self.wait_timeout
    }

    /// The default schema, if there is one.
    pub fn schema(&self) -> Option<&[u8]> {
        Some(self.replayed.schema()).filter(|schema| !schema.is_empty())
    }

    /// Where the transaction is, if one is open.
    pub fn transaction(&self) -> Transaction {
        self.transaction
    }

    /// Where the last statement ran.
    pub fn last_side(&self) -> Side {
        self.diagnostics.side()
    }

    /// What keeps the session on its primary connection, if anything does.
    pub fn hold(&self) -> Option<HoldReason> {
        self.hold
    }

    /// True if losing the primary connection loses something that cannot be brought back.
    pub fn is_bound_to_primary(&self) -> bool {
        self.transaction == Transaction::OnPrimary
            || self.hold.is_some()
            || self.one_shot
            || self.unsettled
            || self.carries
            || self.insert_id == InsertId::Untold
            || self.twin
    }

    /// What routing has to know; `pinned` says whether every replica may lack a write of this
    /// session.
    pub fn facts(&self, pinned: Option<PinCause>) -> SessionFacts {
        let awaits = self.one_shot || self.unsettled;
        SessionFacts {
            transaction: self.transaction,
            autocommit: self.status.contains(StatusFlags::AUTOCOMMIT),
            pin: pinned,
            hold: self.hold.or(awaits.then_some(HoldReason::OneShotTransaction)),
            last_on: self.last_side(),
            found_on: self.diagnostics.found_on(),
            last_warned: self.diagnostics.conditions().held,
            conditions_on: self.diagnostics.conditions().on,
            in_server_schema: is_server_schema(self.replayed.schema()),
            has_twin: self.twin,
            carries: self.carries || self.insert_id != InsertId::Known(0),
            ..SessionFacts::default()
        }
    }

    /// Takes in what the server on `side` told at the end of a result of `statement`.
    pub fn observe(&mut self, side: Side, statement: &Statement, told: Told<'_>, now: Instant) {
        let before = self.transaction;
        let looks = only_looks(statement);
        let diagnostics = self.diagnostics;
        self.diagnostics.observe(side, &told, looks);
        // MariaDB 10.11, of those that read information_schema.
        let is_show = matches!(statement.kind, StatementKind::Show | StatementKind::Describe);
        if is_show && self.lex_mode.make == Make::MariaDb && matches!(told, Told::Err(_)) {
            self.diagnostics.keep_row_count(&diagnostics);
        }
        match told {
            Told::Ok(ok) => {
                let returns_rows = ok.header != 0 && statement.kind == StatementKind::Write;
                if side == Side::Primary
                    && (ok.last_insert_id != 0 || returns_rows || may_set_insert_id(statement))
                {
                    self.insert_id = InsertId::Untold;
                }
                self.observe_status(side, ok.status, now);
                if side == Side::Primary && ok.status.contains(StatusFlags::SESSION_STATE_CHANGED) {
                    self.observe_changes(statement, ok.state, now);
                }
                let ended = !ok.status.contains(StatusFlags::MORE_RESULTS_EXISTS);
                if ended && side == Side::Primary {
                    self.observe_success(statement, now);
                }
            }
            Told::Eof(EofPacket { status, .. }) => {
                // MariaDB's INSERT … RETURNING sets it, too.
                let is_write = statement.kind == StatementKind::Write;
                if side == Side::Primary && (is_write || may_set_insert_id(statement)) {
                    self.insert_id = InsertId::Untold;
                }
                self.observe_status(side, status, now);
                let ended = !status.contains(StatusFlags::MORE_RESULTS_EXISTS);
                if ended && side == Side::Primary {
                    self.observe_success(statement, now);
                }
            }
            // An error carries no flags: what held before holds, and what may have been written
            // before the error is written.
            Told::Err(code) => {
                if side == Side::Replica || was_not_run(statement, code) {
                    return;
                }
                // A transaction that has written may have ended by this error.
                let wrote =
                    self.transaction == Transaction::OnPrimary && self.pin.cause().is_some();
                if statement.may_write() || wrote {
                    self.pin.write(PinCause::FailedWrite, now);
                }
                if statement.may_write() || may_set_insert_id(statement) {
                    self.insert_id = InsertId::Untold;
                }
                self.hold_for(statement);
            }
        }
        let ends = before == Transaction::OnPrimary && self.transaction == Transaction::None;
        self.unsettled &= !ends || statement.kind == StatementKind::Set;
    }

    /// As [`SessionState::observe`], for a command that keeps the warnings of the statement before.
    pub fn observe_aside(
        &mut self,
        side: Side,
        aside: Aside,
        statement: &Statement,
        told: Told<'_>,
        now: Instant,
    ) {
        if matches!(told, Told::Err(_)) {
            let (on, before) = (self.last_side(), self.diagnostics.warnings());
            self.observe(side, statement, told, now);
            return self.diagnostics.add(on, before);
        }
        let kept = self.diagnostics;
        self.observe(side, statement, told, now);
        self.diagnostics = kept;
        self.diagnostics.step_aside(aside);
    }

    /// Takes in the status flags that the server on `side` reported at the end of a result.
    pub fn observe_status(&mut self, side: Side, status: StatusFlags, now: Instant) {
        if self.is_elsewhere(side) {
            return;
        }
        self.status = status - StatusFlags::MORE_RESULTS_EXISTS;
        if side == Side::Primary {
            // MariaDB's trackers do not tell of SET @@autocommit.
            self.replayed.set_autocommit(status.contains(StatusFlags::AUTOCOMMIT));
        }
        let open = status.contains(StatusFlags::IN_TRANS);
        // What the transaction wrote became visible now, however it was ended. Where the server
        // names the GTID, that follows and takes the place of this.
        if !open
            && self.transaction == Transaction::OnPrimary
            && let Some(cause) = self.pin.cause()
        {
            self.pin.write(cause, now);
        }
        self.transaction = match (open, side) {
            (false, _) => Transaction::None,
            // Without autocommit every statement belongs on the primary.
            (true, Side::Primary) if self.twin && status.contains(StatusFlags::AUTOCOMMIT) => {
                Transaction::OnReplica
            }
            (true, Side::Primary) => Transaction::OnPrimary,
            (true, Side::Replica) => Transaction::OnReplica,
        };
        self.twin &= self.transaction == Transaction::OnReplica;
        self.lex_mode.no_backslash_escapes = status.contains(StatusFlags::NO_BACKSLASH_ESCAPES);
    }

    /// Whether the server has acknowledged at `now` that something was written, and no transaction is open
    /// to which it belongs.
    pub fn has_written_at(&self, now: Instant) -> bool {
        self.transaction != Transaction::OnPrimary && self.pin.written_at() == Some(now)
    }

    /// True for a replica, if the session's transaction, or the next one, is on the primary: what runs on
    /// the replica nevertheless has no part in it.
    pub fn is_elsewhere(&self, side: Side) -> bool {
        side == Side::Replica
            && (self.transaction == Transaction::OnPrimary
                || !self.status.contains(StatusFlags::AUTOCOMMIT))
    }

    /// Whether the READ ONLY transaction on a replica has a counterpart on the primary.
    pub fn has_twin(&self) -> bool {
        self.twin
    }

    /// A counterpart of the READ ONLY transaction on a replica was begun on the primary.
    pub fn set_twin(&mut self) {
        self.twin = true;
    }

    /// The replica's half of a READ ONLY transaction is gone; true if there is one on the primary.
    pub fn take_twin(&mut self) -> bool {
        std::mem::take(&mut self.twin)
    }

    /// The READ ONLY transaction goes on in its counterpart on the primary.
    pub fn move_to_primary(&mut self) {
        (self.transaction, self.twin) = (Transaction::OnPrimary, false);
    }

    /// A statement succeeded on the primary. On a replica none leaves anything: there nothing can be
    /// written, and nothing is run that would stay.
    fn observe_success(&mut self, statement: &Statement, now: Instant) {
        if statement.may_write() {
            let cause = match statement.kind {
                StatementKind::Call => PinCause::Call,
                StatementKind::Unknown => PinCause::Unknown,
                _ => PinCause::Write,
            };
            self.pin.write(cause, now);
        }
        self.hold_for(statement);
        self.carries |= leaves_something(statement);
        if statement.kind == StatementKind::UnlockTables
            && self.hold == Some(HoldReason::LockTables)
        {
            self.hold = None;
        }
        // Which statement uses it up, the server tells: not each begins a transaction.
        if statement.flags.contains(Flags::ONE_SHOT_TRANSACTION) {
            self.one_shot = true;
        }
    }

    /// State that no tracker reports and no other connection can be given.
    fn hold_for(&mut self, statement: &Statement) {
        let flags = statement.flags;
        self.outlives_reset |= flags.contains(Flags::SETS_UNREPLAYABLE);
        let reason = if flags.contains(Flags::CREATES_TEMPORARY_TABLE) {
            HoldReason::TemporaryTable
        } else if flags.contains(Flags::USER_LOCK) {
            HoldReason::UserLock
        } else if statement.kind == StatementKind::LockTables {
            HoldReason::LockTables
        } else if flags.intersects(Flags::SETS_SESSION_TRACK) {
            HoldReason::UnknownState
        } else if flags.contains(Flags::SETS_UNREPLAYABLE) {
            HoldReason::Unreplayable
        } else {
            return;
        };
        // UNLOCK TABLES ends a hold for locked tables only, so others must not be hidden by it.
        if self.hold.is_none() || self.hold == Some(HoldReason::LockTables) {
            self.hold = Some(reason);
        }
    }

    /// COM_RESET_CONNECTION succeeded: everything but the schema is as after a login.
    pub fn reset(&mut self, status: StatusFlags) {
        let pin = std::mem::take(&mut self.pin);
        let outlives_reset = self.outlives_reset;
        let replayed = std::mem::replace(&mut self.replayed, Replayed::new(Vec::new()));
        *self = Self::new(status, Vec::new(), self.lex_mode, pin);
        self.replayed = replayed.after_reset();
        self.outlives_reset = outlives_reset;
    }

    /// Whether a reset makes the primary connection as good as new: what is known to outlive one (a
    /// resource group, profiles) was not set, and nothing unknown.
    pub fn is_resettable(&self) -> bool {
        !self.outlives_reset && !self.untracked
    }

    /// The statement's outcome is not known: it was sent, and the connection broke.
    pub fn lost(&mut self, side: Side, statement: &Statement, now: Instant) {
        let may_write = statement.may_write() || self.transaction == Transaction::OnPrimary;
        if side == Side::Primary && may_write {
            self.pin.lost(now);
        }
        self.transaction = Transaction::None;
        self.status -= StatusFlags::IN_TRANS | StatusFlags::IN_TRANS_READONLY;
    }

    /// The primary connection is gone with all that it held; the session goes on without.
    pub fn forget_hold(&mut self) {
        self.hold = None;
        self.one_shot = false;
        self.unsettled = false;
        self.carries = false;
        self.insert_id = InsertId::Known(0);
        self.untracked = false;
        self.twin = false;
    }

    /// What LAST_INSERT_ID() is.
    pub fn insert_id(&self) -> InsertId {
        self.insert_id
    }

    /// The primary's connection has said what LAST_INSERT_ID() is.
    pub fn tell_insert_id(&mut self, id: u64) {
        self.insert_id = InsertId::Known(id);
    }

    /// Whether the primary's connection has something that cannot be brought to another.
    pub fn carries(&self) -> bool {
        self.carries
    }

    /// Whether a transaction of which no status flag tells is being prepared.
    pub fn awaits_transaction(&self) -> bool {
        self.one_shot || self.unsettled
    }

    /// The primary connection has got something that a new one would lack.
    pub fn carry(&mut self) {
        self.carries = true;
    }

    /// True if the client sets the session trackers itself, and lagwise's are off.
    pub fn is_untracked(&self) -> bool {
        self.untracked
    }

    /// The client sets the session trackers itself from here on: what changes in the session can
    /// no longer be known, so that it stays on its primary connection.
    pub fn set_untracked(&mut self) {
        self.untracked = true;
        self.hold = Some(HoldReason::UnknownState);
    }
}

#[cfg(test)]
mod tests;
