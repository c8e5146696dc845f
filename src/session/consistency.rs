//! What a read of the session must see, and the waiting for a server that has it.
//!
//! What is asked of a replica is put together before each read from what the session wrote, what it has
//! read and what others wrote; the decision is [`crate::cluster::Floor`]'s.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::Session;
use super::abandoned::is_watched;
use super::context::Settings;
use super::error::End;
use super::job::{Done, Job, Tried};
use super::pin::Demand;
use super::read_only::reads_no_tables;
use super::routing::Routed;
use super::scope::CLUSTER_WAIT;
use super::seen::Place;
use crate::cluster::shown::LIMIT;
use crate::cluster::{Cluster, Floor, Member, Part};
use crate::consistency::says_any;
use crate::metrics::WaitOutcome;
use crate::protocol::response::ResponseKind;
use crate::route::{PinCause, Reason, Route, Side, Target};
use crate::sql::{Flags, LexMode, Statement, StatementKind};

impl Session {
    /// What a read must see: the cause if only the primary will do, and else what a replica must have.
    pub(super) fn must_see(
        &mut self,
        job: &Job<'_>,
        settings: &Settings,
        cluster: &Cluster,
        tried: &Tried,
    ) -> (Option<PinCause>, Floor) {
        let mut floor = Floor::default();
        let pinned = match self.state.pin.demand(settings.pin, Instant::now) {
            Demand::None => None,
            Demand::Primary(cause) => Some(cause),
            // They are among those of the group, with their tables.
            Demand::Writes(_) if Self::is_by_table(settings) => None,
            Demand::Writes(own) => {
                floor.own = Some(own);
                None
            }
        };
        if settings.monotonic_reads {
            self.seen.demand(&mut floor);
        }
        self.scope_demand(job, settings, cluster, tried, &mut floor);
        (pinned, floor)
    }

    /// The route of a read for which no replica could be chosen of those that `allowed` passes; and what
    /// none has, if there is anything.
    pub(super) fn not_replicated(
        &self,
        cluster: &Cluster,
        floor: Floor,
        allowed: impl Fn(&Arc<Member>) -> bool,
    ) -> (Route, Option<Box<(Part, Floor)>>) {
        let part = if floor.is_empty() { None } else { floor.first_unmet(cluster, allowed) };
        let Some(part) = part else {
            return (Route { target: Target::Primary, reason: Reason::NoReplica }, None);
        };
        self.context.cluster.wait_for_replication(Instant::now());
        let cause = match part {
            Part::Own => self.state.pin.cause().unwrap_or(PinCause::Write),
            Part::Others => PinCause::Others,
            Part::Seen => PinCause::Seen,
        };
        (Route { target: Target::Primary, reason: cause.into() }, Some(Box::new((part, floor))))
    }

    /// Where the statement goes, after it has waited for a replica if it must and may; `cluster` is then
    /// looked at anew.
    ///
    /// # Errors
    /// The client has left meanwhile.
    pub(super) async fn route_patiently(
        &mut self,
        job: &Job<'_>,
        settings: &Settings,
        cluster: &mut Arc<Cluster>,
        tried: &mut Tried,
    ) -> Result<Routed, End> {
        if self.asks_primary(job, settings) {
            tried.began = Some(Instant::now());
        }
        let mut routed = self.route(job, settings, cluster, tried);
        if routed.lacks.is_some() {
            // Boxed: it is rare, and no room is kept for it in every command.
            let waiting = self.route_after_waiting(routed, job, settings, cluster, tried);
            let since = Instant::now();
            routed = Box::pin(waiting).await?;
            self.running.wait += since.elapsed();
        }
        if routed.side == Side::Primary && (cluster.hold().is_some() || tried.no_primary.is_some())
        {
            let waiting = self.route_to_taker(routed, job, settings, cluster, tried);
            let since = Instant::now();
            routed = Box::pin(waiting).await?;
            self.running.wait += since.elapsed();
        }
        if routed.side == Side::Primary
            && let Some(primary) = &routed.member
            && let Some(until) = self.not_shown(job, primary)
        {
            let since = Instant::now();
            Box::pin(self.wait_for_primary(job, Arc::clone(primary), until)).await?;
            self.running.wait += since.elapsed();
        }
        Ok(routed)
    }

    /// The session has read on a replica, and now reads on the primary, which may not show yet what that
    /// replica had ([`crate::cluster::shown`]): until when it has read there.
    fn not_shown(&self, job: &Job<'_>, primary: &Member) -> Option<Instant> {
        let until = self.seen.on_replica_until()?;
        let is_proven = primary.has_all_before(until)
            // The session's own write came behind it in the binary log, and transactions are committed in
            // its order.
            || self.state.pin.logged_at().is_some_and(|at| at > until)
            || self.is_kept()
            || !primary.with_status(|status| status.tells_shown);
        if is_proven || !self.reads_without_locks(job) {
            return None;
        }
        Some(until)
    }

    /// Whether it shows rows as they were committed last. A read that locks them waits by itself until
    /// what is being committed is.
    fn reads_without_locks(&self, job: &Job<'_>) -> bool {
        match job.statement.kind {
            StatementKind::Begin { consistent_snapshot, .. } => consistent_snapshot,
            StatementKind::LockingRead => false,
            _ => {
                let text = self.judged_text(job);
                shows_rows(&job.statement, text.as_deref(), self.state.lex_mode())
            }
        }
    }

    /// Waits until the primary shows everything that replicas could show at `until`.
    ///
    /// # Errors
    /// The client has left meanwhile.
    async fn wait_for_primary(
        &mut self,
        job: &Job<'_>,
        primary: Arc<Member>,
        until: Instant,
    ) -> Result<(), End> {
        let deadline = Instant::now() + LIMIT;
        let mut is_over = false;
        let mut outcome = WaitOutcome::Shown;
        while !primary.has_all_before(until) {
            let tells =
                primary.with_status(|status| status.tells_shown && status.health.may_be_alive());
            if !tells || is_over {
                outcome = WaitOutcome::NotShown;
                break;
            }
            let woken = self.context.cluster.wait_for_primary(until);
            is_over = !self.wait_until(deadline, woken, job).await?;
        }
        self.context.metrics.local().read_waited(outcome);
        Ok(())
    }

    async fn route_after_waiting(
        &mut self,
        mut routed: Routed,
        job: &Job<'_>,
        settings: &Settings,
        cluster: &mut Arc<Cluster>,
        tried: &mut Tried,
    ) -> Result<Routed, End> {
        let mut has_waited = false;
        while self.waits_for_replica(job, &routed, settings, tried).await? {
            has_waited = true;
            *cluster = self.context.cluster.snapshot();
            routed = self.route(job, settings, cluster, tried);
        }
        if has_waited {
            self.count_wait(&routed);
        }
        Ok(routed)
    }

    /// Waits for a replica that has what the read must see, if that is what it lacks and it may; true if
    /// it is to be routed again.
    ///
    /// # Errors
    /// The client has left meanwhile.
    async fn waits_for_replica(
        &mut self,
        job: &Job<'_>,
        routed: &Routed,
        settings: &Settings,
        tried: &mut Tried,
    ) -> Result<bool, End> {
        let Some((part, floor)) = routed.lacks.as_deref() else { return Ok(false) };
        let now = Instant::now();
        let until = match tried.waits_until {
            Some(until) => until,
            None => {
                // Where there is no primary to go to, the read waits as for a connection.
                let of_kept = self.is_kept().then_some(settings.checkout_timeout);
                let asks_primary = self.asks_primary(job, settings);
                let of_own_reads = || self.seen.wait(now).filter(|_| *part == Part::Seen);
                let configured = Some(settings.wait).filter(|wait| !wait.is_zero());
                let of_cluster = asks_primary.then_some(CLUSTER_WAIT);
                let time = of_kept.or(configured).or(of_cluster).or_else(of_own_reads);
                now + time.unwrap_or_default()
            }
        };
        tried.waits_until = Some(until);
        if until <= now {
            return Ok(false);
        }
        let woken = self.context.cluster.wait_for(floor.clone(), now);
        // Whether a replica has it or the time is over: there is one more look.
        if !self.wait_until(until, woken, job).await? {
            tried.waits_until = Some(now);
        }
        Ok(true)
    }

    /// Waits until somebody says that there is news, or for so long; whether there is news. Go by that
    /// rather than by the clock: the runtime's may be ahead of the other.
    ///
    /// # Errors
    /// The client has left meanwhile.
    pub(super) async fn wait_until(
        &mut self,
        until: Instant,
        woken: oneshot::Receiver<()>,
        job: &Job<'_>,
    ) -> Result<bool, End> {
        tokio::select! {
            biased;
            told = timeout_at(until.into(), woken) => Ok(told.is_ok()),
            () = self.client.gone(), if is_watched(job) => {
                Err(End::ClientGone("closed before its query ran".to_owned()))
            }
        }
    }

    fn count_wait(&self, routed: &Routed) {
        let by_replica = routed.side == Side::Replica || self.is_kept() && routed.member.is_some();
        let outcome = if by_replica { WaitOutcome::Replica } else { WaitOutcome::Primary };
        self.context.metrics.local().read_waited(outcome);
    }

    /// After a statement: notes what the session may have read.
    pub(super) fn note_seen(&mut self, job: &Job<'_>, done: &Done, settings: &Settings) {
        let Done::Forwarded(side, relayed) = done else { return };
        // An error shows no rows.
        if !settings.monotonic_reads || relayed.error_code.is_some() {
            return;
        }
        let first_byte = relayed.first_byte.filter(|_| relayed.in_one_read);
        let at = || first_byte.unwrap_or_else(Instant::now);
        match side {
            Side::Replica => {
                if let Some(replica) = self.servers.replica_member() {
                    self.seen.read(Place::Replica(replica.id()), at());
                }
            }
            Side::Primary if job.kind == ResponseKind::Prepare => {}
            Side::Primary if self.is_kept() => {
                if let Some(replica) = self.servers.member(Side::Primary) {
                    self.seen.read(Place::Replica(replica.id()), at());
                }
            }
            Side::Primary => {
                let text = self.judged_text(job);
                if !shows_rows(&job.statement, text.as_deref(), self.state.lex_mode()) {
                    return;
                }
                if Self::is_by_table(settings) {
                    // A view shows its tables, and a table shows in its views.
                    let tables = self.context.writes.complete(&self.tables_of(job));
                    self.seen_tables.read(&tables, at());
                } else {
                    self.seen.read(Place::Primary, at());
                }
            }
        }
    }
}

/// Without any of these words, several statements in one text show nothing of tables.
const SHOW: [&str; 12] = [
    "from", "table", "show", "call", "execute", "describe", "desc", "explain", "handler",
    "checksum", "analyze", "check",
];

/// Whether the statement may show what is in tables. A write shows nothing that a replica with the write
/// does not have.
fn shows_rows(statement: &Statement, text: Option<&[u8]>, mode: &LexMode) -> bool {
    use StatementKind::*;
    let says = |any: &[&str]| text.is_none_or(|text| says_any(text, mode, any));
    if statement.flags.contains(Flags::MULTI) {
        return says(&SHOW);
    }
    let calls = statement.flags.intersects(Flags::UNKNOWN_FUNCTION | Flags::AMBIGUOUS);
    match statement.kind {
        // A query without FROM and TABLE reads none. Names of modes may hold these words, and words of
        // literals do.
        Read | LockingRead | Set | Do => calls || says(&["from", "table"]),
        Begin { .. } | Commit | Rollback | Xa | LockTables | UnlockTables => false,
        _ => !reads_no_tables(statement, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{LexMode, classify};

    #[test]
    fn what_shows_rows() {
        let check = |sql: &str, want| {
            let statement = classify(sql.as_bytes(), &LexMode::default());
            let mode = LexMode::default();
            assert_eq!(shows_rows(&statement, Some(sql.as_bytes()), &mode), want, "{sql}");
        };
        for sql in [
            "SELECT a FROM t",
            "SELECT a FROM t FOR UPDATE",
            "TABLE t",
            "SET @a = (SELECT COUNT(*) FROM t)",
            "CALL p()",
            "SELECT f(1)",
            "SHOW COLUMNS FROM t",
            "SELECT 1; CALL p()",
            "BEGIN; SELECT a FROM t",
            "HANDLER t READ FIRST",
        ] {
            check(sql, true);
        }
        for sql in [
            "SELECT 1",
            "SELECT @@version, LAST_INSERT_ID()",
            "SET NAMES utf8mb4",
            "set session sql_mode='ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES'",
            "SET @a = 'from t'",
            "SELECT 'from t', \"table\", @@sql_mode /* from t */",
            "USE shop",
            "BEGIN",
            "START TRANSACTION",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT a",
            "INSERT INTO t VALUES (1)",
            "UPDATE t SET a = 1",
            "SHOW WARNINGS",
            "SET @a = 1; SELECT @a",
            "SELECT 1; BEGIN",
            "SHOW VARIABLES",
        ] {
            check(sql, false);
        }
    }
}
