//! What a statement took, told when its response has been sent: to the statistics by digest, to the slow
//! statements, and to a client that has asked for it by a hint.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Session;
use super::context::Settings;
use super::job::{Done, Job};
use super::relay::Relayed;
use crate::cluster::MemberId;
use crate::config::LogSql;
use crate::metrics::{Direction, Execution, MAX_REASONS, MAX_TEXT, Phases, Role, SlowStatement};
use crate::protocol::command::code;
use crate::route::{Reason, Side};
use crate::sql::{digest_text, fingerprint, shape};
use crate::text::cut;

// SHOW QUERIES tells every reason apart.
const _: () = assert!(Reason::ALL.len() <= MAX_REASONS);

/// What is known of the statement at hand.
#[derive(Debug)]
pub(super) struct Running {
    /// When its command was there.
    pub began: Instant,
    /// The reason for its first route; none as long as it has none.
    pub reason: Option<Reason>,
    /// The server that it was sent to last.
    pub server: Option<MemberId>,
    /// Connections that were tried.
    pub attempts: u8,
    /// What it waited for before it was sent, of all attempts.
    pub wait: Duration,
    /// See [`Phases::queue`].
    pub queue: Duration,
    /// From the decision to sending, with what `queue` has.
    pub until_sent: Duration,
    /// When the last attempt was sent.
    pub sent: Option<Instant>,
    /// The client wants to see the route.
    pub traced: bool,
}

impl Running {
    /// A statement that begins now.
    pub(super) fn begin(now: Instant) -> Self {
        Self {
            began: now,
            reason: None,
            server: None,
            attempts: 0,
            wait: Duration::ZERO,
            queue: Duration::ZERO,
            until_sent: Duration::ZERO,
            sent: None,
            traced: false,
        }
    }

    /// Where its time went until `now`, when its response has been sent.
    fn phases(&self, relayed: Option<&Relayed>, now: Instant) -> Phases {
        let first_byte = relayed.and_then(|relayed| relayed.first_byte);
        let since = |at: Option<Instant>, before: Instant| {
            at.map_or(Duration::ZERO, |at| at.saturating_duration_since(before))
        };
        Phases {
            wait: self.wait,
            queue: self.queue,
            sync: self.until_sent.saturating_sub(self.queue),
            server: self.sent.map_or(Duration::ZERO, |sent| since(first_byte, sent)),
            first_byte: since(first_byte, self.began),
            total: now.saturating_duration_since(self.began),
        }
    }
}

impl Session {
    /// A statement begins.
    pub(super) fn begin_statement(&mut self, job: &Job<'_>, settings: &Settings) {
        self.running = Running::begin(Instant::now());
        self.begin_trace(job, settings);
    }

    /// A statement has ended, and the client has its response: `done`, or an error of lagwise's own.
    pub(super) fn finish_statement(
        &mut self,
        job: &Job<'_>,
        done: Option<&Done>,
        settings: &Settings,
    ) {
        let command = job.incoming.payload().first();
        if !matches!(command, Some(&(code::QUERY | code::STMT_EXECUTE | code::STMT_BULK_EXECUTE))) {
            return;
        }
        let now = Instant::now();
        let (side, relayed) = match done {
            Some(Done::Forwarded(side, relayed)) => (Some(*side), Some(relayed)),
            Some(Done::Failed) | None => (None, None),
        };
        let total = now.saturating_duration_since(self.running.began);
        let is_slow = !settings.slow_query.is_zero() && total >= settings.slow_query;
        self.count_digest(job, side, relayed, total);
        if is_slow {
            self.note_slow(job, relayed, now, settings);
        }
        if self.running.traced {
            let phases = self.running.phases(relayed, now);
            self.keep_trace(&phases);
        }
    }

    /// Counts what one attempt took.
    pub(super) fn count_times(
        &self,
        side: Side,
        relayed: &Relayed,
        started: Instant,
        sent: Instant,
    ) {
        let metrics = self.context.metrics.local();
        let first_byte = relayed.first_byte.unwrap_or(sent);
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let role = match side {
            Side::Primary if !self.is_kept() => Role::Primary,
            Side::Primary | Side::Replica => Role::Replica,
        };
        metrics.server_time(role, nanos(first_byte.saturating_duration_since(sent)));
        let mut own = sent.saturating_duration_since(started);
        // Of a long response the rest is mostly waiting for server and client.
        if relayed.in_one_read {
            own += first_byte.elapsed();
        }
        metrics.proxy_time(nanos(own));
        metrics.bytes(Direction::ToClient, relayed.bytes);
    }

    fn count_digest(
        &self,
        job: &Job<'_>,
        side: Option<Side>,
        relayed: Option<&Relayed>,
        total: Duration,
    ) {
        let digests = self.context.metrics.digests();
        if !digests.is_on() {
            return;
        }
        let Some(text) = self.text_of(job) else { return };
        let mode = self.state.lex_mode();
        let known = job.statement_id.and_then(|id| self.prepared.get(id));
        let execution = Execution {
            schema: self.schema_name(),
            shape: if known.is_none() { shape(text) } else { None },
            nanos: u64::try_from(total.as_nanos()).unwrap_or(u64::MAX),
            rows: relayed.map_or(0, |relayed| relayed.rows),
            bytes: relayed.map_or(0, |relayed| relayed.bytes),
            is_error: relayed.is_none_or(|relayed| relayed.error_code.is_some()),
            on_replica: side == Some(Side::Replica) || side.is_some() && self.is_kept(),
            reason: self.running.reason.map_or(0, Reason::index),
        };
        let fingerprint = || match known {
            Some(known) => known.shared.fingerprint(),
            None => fingerprint(text, mode),
        };
        let text = || digest_text(text, known.map_or(mode, |known| known.shared.lex_mode()));
        self.context.metrics.digest(&execution, fingerprint, text);
    }

    /// Off the common path: what is built here is for people.
    #[cold]
    fn note_slow(
        &self,
        job: &Job<'_>,
        relayed: Option<&Relayed>,
        now: Instant,
        settings: &Settings,
    ) {
        let slow = SlowStatement {
            at: now,
            session: self.id(),
            user: String::from_utf8_lossy(&self.login.credential.user).into_owned(),
            schema: self.schema_name().to_owned(),
            server: self.server_name(),
            reason: self.running.reason.map_or("", Reason::as_str),
            attempts: self.running.attempts,
            phases: self.running.phases(relayed, now),
            rows: relayed.map_or(0, |relayed| relayed.rows),
            bytes: relayed.map_or(0, |relayed| relayed.bytes),
            is_error: relayed.is_none_or(|relayed| relayed.error_code.is_some()),
            text: self.shown_text(job, settings.log_sql),
        };
        let Some(left_out) = self.context.metrics.slow().keep(slow.clone()) else { return };
        let SlowStatement { session, user, schema, server, reason, attempts, phases, .. } = slow;
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        tracing::warn!(
            session,
            user,
            schema,
            server,
            reason,
            attempts,
            total_ms = ms(phases.total),
            wait_ms = ms(phases.wait),
            queue_ms = ms(phases.queue),
            sync_ms = ms(phases.sync),
            server_ms = ms(phases.server),
            first_byte_ms = ms(phases.first_byte),
            rows = slow.rows,
            bytes = slow.bytes,
            is_error = slow.is_error,
            left_out = Some(left_out).filter(|count| *count > 0),
            sql = slow.text,
            "slow statement"
        );
    }

    /// The statement's text as the configuration lets it be told: without its values, if not in full.
    pub(super) fn shown_text(&self, job: &Job<'_>, wanted: LogSql) -> String {
        let text = self.text_of(job).unwrap_or_default();
        let known = job.statement_id.and_then(|id| self.prepared.get(id));
        let mode = known.map_or(self.state.lex_mode(), |known| known.shared.lex_mode());
        match wanted {
            LogSql::Full => {
                String::from_utf8_lossy(text.get(..MAX_TEXT).unwrap_or(text)).into_owned()
            }
            LogSql::None | LogSql::Digest => cut(&digest_text(text, mode), MAX_TEXT).to_owned(),
        }
    }

    fn schema_name(&self) -> &str {
        std::str::from_utf8(self.state.schema().unwrap_or_default()).unwrap_or_default()
    }

    /// The name of the server that has the statement at hand; empty if none has.
    pub(super) fn server_name(&self) -> String {
        let cluster = self.context.cluster.load();
        let member = self.running.server.and_then(|id| cluster.member(id).map(Arc::clone));
        member.map_or_else(String::new, |member| member.config().name.clone())
    }
}
