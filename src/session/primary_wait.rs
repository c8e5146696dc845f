//! Statements for the primary while there is none that takes them: they wait, unsent.
//!
//! What a server has been given is never given to another. So only what nothing ties to a connection
//! waits: a session with a transaction, a temporary table or a lock on the old primary is told at once
//! that it has lost them, and goes on.

use std::sync::Arc;
use std::time::Instant;

use super::Session;
use super::context::Settings;
use super::error::End;
use super::job::{Failed, Job, Tried};
use super::routing::Routed;
use super::servers::Unavailable;
use super::state::InsertId;
use crate::backend;
use crate::cluster::{Cluster, Hold, Member, SessionFailure};
use crate::metrics::PrimaryWait;
use crate::pool;
use crate::protocol::ErrPacket;
use crate::protocol::flags::StatusFlags;
use crate::protocol::response::ResponseKind;
use crate::route::{HoldReason, Reason, Route, Side, Target, Transaction};
use crate::sql::{Flags, Statement};

impl Session {
    /// The route, after the statement has waited for a primary if it is for one and none takes it.
    ///
    /// # Errors
    /// The client has left meanwhile.
    pub(super) async fn route_to_taker(
        &mut self,
        mut routed: Routed,
        job: &Job<'_>,
        settings: &Settings,
        cluster: &mut Arc<Cluster>,
        tried: &mut Tried,
    ) -> Result<Routed, End> {
        let mut has_waited = false;
        if matches!(cluster.hold(), Some(Hold::ReadOnly | Hold::Drained)) {
            self.take_leave().await;
        }
        while routed.side == Side::Primary
            && routed.member.is_some()
            && self.waits_for_primary(job, cluster, tried)
        {
            let now = Instant::now();
            let until = *tried.primary_until.get_or_insert(now + settings.primary_wait);
            let (failed, since) = *tried.no_primary.get_or_insert((cluster.primary().id(), now));
            if cluster.takes_statements(failed, since) {
                break;
            }
            if now >= until {
                self.context.metrics.local().primary_waited(PrimaryWait::Expired);
                let route = Route { target: Target::Nowhere, reason: Reason::NoPrimary };
                return Ok(Routed::nowhere(route, routed.rule));
            }
            has_waited = true;
            let woken = self.context.cluster.wait_for_writable(failed, since);
            if !self.wait_until(until, woken, job).await? {
                tried.primary_until = Some(now);
            }
            *cluster = self.context.cluster.snapshot();
            routed = self.route(job, settings, cluster, tried);
        }
        if has_waited {
            self.context.metrics.local().primary_waited(PrimaryWait::Served);
        }
        Ok(routed)
    }

    /// Whether the statement is one that waits now.
    fn waits_for_primary(&self, job: &Job<'_>, cluster: &Cluster, tried: &Tried) -> bool {
        let only_reads = job.statement.is_read() || job.kind == ResponseKind::Prepare;
        let is_held = match cluster.hold() {
            None => false,
            // Nobody has newer rows yet.
            Some(Hold::ReadOnly) => !only_reads,
            // A read would begin a transaction, which is then in the way.
            Some(Hold::Drained) => {
                !only_reads || !self.state.status.contains(StatusFlags::AUTOCOMMIT)
            }
            Some(Hold::Down | Hold::Undecided) => true,
        };
        (is_held || tried.no_primary.is_some()) && self.can_wait_for_primary(job)
            || cluster.hold() == Some(Hold::Drained) && is_held && self.can_pause(job)
    }

    /// A statement that is tied to its connection can wait there, too, until it is clear whether another
    /// server takes over, unless something is open that others may wait for.
    fn can_pause(&self, job: &Job<'_>) -> bool {
        let is_open = match self.state.hold() {
            Some(
                HoldReason::LockTables
                | HoldReason::UserLock
                | HoldReason::Xa
                | HoldReason::OneShotTransaction
                | HoldReason::Cursor,
            ) => true,
            Some(
                HoldReason::TemporaryTable
                | HoldReason::UserVariable
                | HoldReason::Handler
                | HoldReason::TextPrepare
                | HoldReason::Unreplayable
                | HoldReason::UnknownState,
            )
            | None => false,
        };
        let is_free = job.fixed.is_none() && !job.incoming.was_streamed() && !self.is_kept();
        is_free && !is_open && self.state.transaction() == Transaction::None
    }

    /// Nothing ties the statement to a connection, and it is here whole.
    fn can_wait_for_primary(&self, job: &Job<'_>) -> bool {
        let is_free = job.fixed.is_none() && !job.incoming.was_streamed();
        is_free && !self.is_kept() && !self.state.is_bound_to_primary()
    }

    /// Whether a statement that found no connection to the primary waits for one. Nothing was sent.
    pub(super) fn awaits_primary(
        &self,
        job: &Job<'_>,
        side: Side,
        member: &Arc<Member>,
        failed: &Failed,
        settings: &Settings,
        tried: &mut Tried,
    ) -> bool {
        let is_fault = match failed {
            Failed::Unavailable(Unavailable::Pool(pool::Error::Backend(error))) => error.is_fault(),
            Failed::Unavailable(Unavailable::Pool(pool::Error::Closed)) => true,
            _ => false,
        };
        let now = Instant::now();
        let until = *tried.primary_until.get_or_insert(now + settings.primary_wait);
        let waits =
            side == Side::Primary && is_fault && now < until && self.can_wait_for_primary(job);
        if waits {
            tried.no_primary = Some((member.id(), now));
        }
        waits
    }

    /// The primary has refused a statement because it is read-only: it waits for another, or has failed.
    pub(super) async fn note_read_only(
        &mut self,
        job: &Job<'_>,
        member: &Arc<Member>,
        err: ErrPacket,
        tried: &mut Tried,
    ) -> Option<Failed> {
        // Nobody else needs to find that out.
        member.report_failure(SessionFailure::ReadOnly);
        self.take_leave().await;
        let in_transaction = self.state.transaction() != Transaction::None;
        if !in_transaction && !ran_nothing(&job.statement) {
            return Some(Failed::Lost(backend::Error::Server(err)));
        }
        if self.can_wait_for_primary(job) {
            tried.no_primary = Some((member.id(), Instant::now()));
            return None;
        }
        // What was begun there can only be rolled back.
        self.servers.drop_side(Side::Primary, &self.handle);
        Some(Failed::Unavailable(Unavailable::Demoted { in_transaction }))
    }

    /// Has a primary that goes on answering say what only the session's connection to it knows, as its
    /// LAST_INSERT_ID(), so that the session is not tied to it by that.
    async fn take_leave(&mut self) {
        let is_untold = self.state.insert_id() == InsertId::Untold;
        if is_untold && !self.is_kept() && self.state.transaction() == Transaction::None {
            self.ask_counts(Side::Primary).await;
        }
    }

    /// Whether `member` has ceased to be the primary while the session waited for a connection to it.
    pub(super) fn is_superseded(&self, side: Side, member: &Arc<Member>) -> bool {
        side == Side::Primary
            && !self.is_kept()
            && !member.is_removed()
            && !Arc::ptr_eq(self.context.cluster.load().primary(), member)
    }
}

/// Whether nothing has run when the first thing that the server says is that it is read-only: the statement,
/// or the first of several, runs whole or not at all. A procedure, or what EXECUTE may stand for, may have
/// committed something before.
fn ran_nothing(statement: &Statement) -> bool {
    let flags = statement.flags;
    let runs_whole = match flags.contains(Flags::MULTI) {
        true => flags.contains(Flags::RUNS_WHOLE_FIRST),
        false => statement.kind.runs_whole(),
    };
    runs_whole && !flags.contains(Flags::AMBIGUOUS)
}

/// Whether an error says that the whole server is read-only, as opposed to other options of which the same
/// number tells.
pub(super) fn says_read_only(err: &ErrPacket) -> bool {
    // ER_OPTION_PREVENTS_STATEMENT with --read-only or --super-read-only, in any language; ER_READ_ONLY_MODE
    let option = || err.message.windows(9).any(|word| word == b"read-only");
    err.code == 1836 || err.code == 1290 && option()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_run_nothing_when_it_is_refused() {
        for (sql, expected) in [
            ("INSERT INTO t VALUES (1)", true),
            ("CREATE TABLE t (a INT)", true),
            ("START TRANSACTION", true),
            ("CALL p()", false),
            ("EXECUTE s", false),
            ("EXECUTE IMMEDIATE 'CALL p()'", false),
            ("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", true),
            ("/* a */; INSERT INTO t VALUES (1); CALL p()", true),
            ("CALL p(); INSERT INTO t VALUES (1)", false),
            ("INSERT INTO t VALUES ('open; INSERT INTO t VALUES (2)", false),
            ("BEGIN NOT ATOMIC INSERT INTO t VALUES (1); END", false),
            ("XA COMMIT 'a'", false),
        ] {
            let statement = crate::sql::classify(sql.as_bytes(), &crate::sql::LexMode::default());
            assert_eq!(ran_nothing(&statement), expected, "{sql}");
        }
    }

    #[test]
    fn which_errors_say_that_a_server_is_read_only() {
        for (code, text, expected) in [
            (1290, "running with the --read-only option so it cannot", true),
            (1290, "running with the --super-read-only option so", true),
            (1290, "running with the --secure-file-priv option so", false),
            (1290, "read-onl", false),
            (1836, "Running in read-only mode", true),
            (1792, "Cannot execute statement in a READ ONLY transaction.", false),
        ] {
            let mut err = ErrPacket::new(1290, b"HY000", text.to_owned());
            err.code = code;
            assert_eq!(says_read_only(&err), expected, "{text}");
        }
    }
}
