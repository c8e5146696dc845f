//! One server, for as long as the configuration names it.
//!
//! A [`Member`] outlives reloads that do not change which server it is: pools, monitors and
//! metrics hold on to it. Its monitor is the only writer of its status; everybody else reads the
//! last one without waiting.
//!
//! Deliberately absent: connections. They are the [`Pool`]'s, and the monitor's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use super::health::Health;
use super::lag::Lag;
use super::position::Position;
use super::roles::Replication;
use super::settings::Server;
use crate::backend::Endpoint;
use crate::backend::connection::ServerFacts;
use crate::config::{Role, ServerConfig};
use crate::pool::{Limits, Pool};

/// Reports of sessions that wait for the monitor; more are dropped, as they say the same.
const REPORT_QUEUE: usize = 16;

/// Tells the servers of one process apart, those that were removed included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u32);

/// Who may write to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOnly {
    /// `@@global.read_only`, or on MySQL `@@global.innodb_read_only`: ordinary accounts may not.
    pub read_only: bool,
    /// `@@global.super_read_only`: nobody may; always off on MariaDB, which lacks it.
    pub super_read_only: bool,
}

/// What is known about a server, at one moment.
#[derive(Debug, Clone)]
pub struct MemberStatus {
    /// Whether it can be used.
    pub health: Health,
    /// Since when.
    pub health_since: Instant,
    /// How far it is behind; `None` for the primary.
    pub lag: Option<Lag>,
    /// What it has applied, by its last good probe; `None` while that is unknown or it is down.
    pub position: Option<Arc<Position>>,
    /// Why a server that answers has no position, for people.
    pub no_position: Option<Arc<str>>,
    /// Why it would not say what it was asked besides its position, for people: its replication
    /// channels, or where its binary log ends.
    pub refused: Option<Arc<str>>,
    /// Transactions that it has and the primary lacks, confirmed.
    pub errant: Option<Arc<Position>>,
    /// By the last good probe.
    pub read_only: Option<ReadOnly>,
    /// What it says of its replication, if it was asked at its last good probe.
    pub replication: Option<Replication>,
    /// What its greeting said when the monitor last began a connection.
    pub facts: Option<Arc<ServerFacts>>,
    /// When the question of the last good probe was sent: the position holds everything that was
    /// acknowledged before.
    pub asked_at: Option<Instant>,
    /// When the last good probe was answered.
    pub probed_at: Option<Instant>,
    /// Of the primary: it says what it has sent to replicas, and what of that it shows.
    pub tells_shown: bool,
    /// Of the primary: it shows everything that it had sent to replicas until then.
    pub shown_through: Option<Instant>,
    /// What went wrong last, for people; `None` after a good probe.
    pub last_error: Option<Arc<str>>,
}

impl MemberStatus {
    /// A server that nobody has looked at.
    pub fn starting(now: Instant) -> MemberStatus {
        MemberStatus {
            health: Health::Starting,
            health_since: now,
            lag: None,
            position: None,
            no_position: None,
            refused: None,
            errant: None,
            read_only: None,
            replication: None,
            facts: None,
            asked_at: None,
            probed_at: None,
            tells_shown: false,
            shown_through: None,
            last_error: None,
        }
    }

    /// Whether the server is up and proven to have applied all of `wanted`.
    pub fn has_applied(&self, wanted: &Position) -> bool {
        self.health.serves_reads()
            && self.position.as_ref().is_some_and(|position| position.contains(wanted))
    }
}

/// What a session noticed about a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionFailure {
    /// A new connection could not be opened: refused, timed out, cut during the login.
    Connect,
    /// An established connection broke. It may have been killed alone, so this only asks for a
    /// probe.
    Lost,
    /// It has refused a write because it is read-only.
    ReadOnly,
}

/// Counts for metrics; they only grow.
#[derive(Debug, Default)]
pub struct MemberCounters {
    /// Probes begun.
    pub probes: AtomicU64,
    /// Probes that were not answered, the server's refusals included.
    pub probe_failures: AtomicU64,
    /// Failures that sessions reported.
    pub session_failures: AtomicU64,
}

/// One server.
#[derive(Debug)]
pub struct Member {
    config: ArcSwap<ServerConfig>,
    pool: Arc<Pool>,
    status: ArcSwap<MemberStatus>,
    id: MemberId,
    epoch: Instant,
    /// See [`Member::has_all_before`]; nanoseconds since `epoch`, 0 for nothing.
    applied_through: AtomicU64,
    /// Queries that run there: those that began after the last drain as the primary, and those before, in
    /// turns ([`Member::turn`]).
    outstanding: [AtomicU32; 2],
    /// Times that it was drained as the primary.
    announced: AtomicU32,
    /// Beside what is written with every statement in any case.
    answers: AtomicU32,
    counters: MemberCounters,
    reports: mpsc::Sender<SessionFailure>,
    removed: watch::Sender<bool>,
    /// The same once more, for those who look at every query: to look into a channel writes to what
    /// all cores share.
    is_removed: AtomicBool,
    is_down: AtomicBool,
    is_drained: AtomicBool,
    hangs: AtomicBool,
    is_given_up: AtomicBool,
    /// How often it was replaced as the primary while it could be written to, for all that is known.
    displaced: AtomicU32,
    holds_writes: AtomicBool,
}

impl Member {
    /// A new member, and the end of its report channel for its monitor.
    pub(super) fn new(
        server: Server,
        id: MemberId,
        now: Instant,
    ) -> (Arc<Member>, mpsc::Receiver<SessionFailure>) {
        let (reports, receiver) = mpsc::channel(REPORT_QUEUE);
        let drained = server.config.drained;
        let member = Member {
            pool: Pool::new(server.endpoint, server.limits),
            config: ArcSwap::from_pointee(server.config),
            status: ArcSwap::from_pointee(MemberStatus::starting(now)),
            id,
            epoch: now,
            applied_through: AtomicU64::new(0),
            outstanding: [const { AtomicU32::new(0) }; 2],
            announced: AtomicU32::new(0),
            answers: AtomicU32::new(0),
            counters: MemberCounters::default(),
            reports,
            removed: watch::Sender::new(false),
            is_removed: AtomicBool::new(false),
            is_down: AtomicBool::new(false),
            is_drained: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            displaced: AtomicU32::new(0),
            holds_writes: AtomicBool::new(false),
        };
        if drained {
            member.set_drained(true);
        }
        (Arc::new(member), receiver)
    }

    /// What the configuration says about it now. Name, address and TLS never change.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// The connections to it.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// How it is reached.
    pub fn endpoint(&self) -> &Endpoint {
        self.pool.endpoint()
    }

    /// What is known about it now.
    pub fn status(&self) -> Arc<MemberStatus> {
        self.status.load_full()
    }

    /// Looks at the status without keeping it, which is cheaper.
    pub fn with_status<T>(&self, look: impl FnOnce(&MemberStatus) -> T) -> T {
        look(&self.status.load())
    }

    /// What tells it from every other.
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// Whether a replica is known to have applied everything that the primary had acknowledged until
    /// `at`; of the primary: whether it is known to show everything that replicas could show by then.
    /// Two loads and no lock: asked for each read of a session that has written.
    #[inline]
    pub fn has_all_before(&self, at: Instant) -> bool {
        self.nanos(at) < self.applied_through.load(Ordering::Acquire)
    }

    /// What [`Member::has_all_before`] says from now on: the latest moment of which it can be said.
    pub(super) fn set_applied_through(&self, at: Option<Instant>) {
        self.applied_through.store(at.map_or(0, |at| self.nanos(at)), Ordering::Release);
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Queries that are running there through lagwise.
    pub fn outstanding(&self) -> u32 {
        self.outstanding.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Those of them that began before it was drained as the primary.
    pub fn outstanding_since_before(&self) -> u32 {
        self.outstanding[self.turn() ^ 1].load(Ordering::Relaxed)
    }

    /// Where queries that begin now are counted.
    #[inline]
    fn turn(&self) -> usize {
        usize::from(self.announced.load(Ordering::Relaxed) % 2 == 1)
    }

    /// Counts one running query until the guard is dropped.
    pub fn begin_query(&self) -> OutstandingQuery<'_> {
        let count = &self.outstanding[self.turn()];
        count.fetch_add(1, Ordering::Relaxed);
        OutstandingQuery { count }
    }

    /// Counts for metrics.
    pub fn counters(&self) -> &MemberCounters {
        &self.counters
    }

    /// Tells the monitor of a failure. Never waits; when many say the same, some are dropped.
    pub fn report_failure(&self, failure: SessionFailure) {
        self.counters.session_failures.fetch_add(1, Ordering::Relaxed);
        // Full: the monitor has enough reports to act on. Closed: the member is removed.
        let _ = self.reports.try_send(failure);
    }

    /// Whether the configuration no longer names it: no new work, and its connections may go.
    pub fn is_removed(&self) -> bool {
        self.is_removed.load(Ordering::Relaxed)
    }

    /// Becomes `true` once the member is removed.
    pub fn removal(&self) -> watch::Receiver<bool> {
        self.removed.subscribe()
    }

    /// Whether `config` names the same server in the same way: what was learned stays true.
    pub(super) fn is_same_server(&self, config: &ServerConfig) -> bool {
        let own = self.config.load();
        own.name == config.name && own.address == config.address && own.tls == config.tls
    }

    /// Takes over what may change about the same server.
    pub(super) fn reconfigure(&self, config: ServerConfig, limits: Limits) {
        self.pool.set_limits(limits);
        // Only a change of the key says something: the command has the last word until then. The primary
        // is in use.
        let is_primary = config.role == Role::Primary;
        if is_primary || config.drained != self.config.load().drained {
            self.set_drained(config.drained && !is_primary);
        }
        self.config.store(Arc::new(config));
    }

    /// Whether the monitor has given the server up: what was asked of it will hardly be answered. The
    /// sessions are woken when it does, and look.
    #[inline]
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// Whether it is taken out for maintenance: as a replica it gets no new work, and what is idle there
    /// leaves; as the primary it gets nothing that begins to write ([`super::Hold::Drained`]). A reload does
    /// not change that.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.is_drained.load(Ordering::Relaxed)
    }

    /// Whether idle sessions are to give up their connections to it.
    pub fn is_leaving(&self) -> bool {
        self.is_removed() || self.is_drained()
    }

    /// The same of a primary, whose connections are still needed.
    pub(super) fn announce_drain(&self, drained: bool) {
        self.is_drained.store(drained, Ordering::Relaxed);
        if drained {
            self.announced.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn set_drained(&self, drained: bool) {
        self.is_drained.store(drained, Ordering::Relaxed);
        if drained {
            self.pool.close();
        } else if !self.is_removed() {
            self.pool.reopen();
        }
    }

    /// Whether nothing is waited for any more that was asked of the server: it has been down for
    /// `primary_wait`, or down and replaced by another primary. The sessions are woken, as above.
    #[inline]
    pub fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }

    /// A number that changes when another server takes over as the primary and this one was not seen
    /// read-only before. What it answers later to what was asked before then is not to be believed: the
    /// other does not have it. The sessions are woken.
    #[inline]
    pub fn displaced(&self) -> u32 {
        self.displaced.load(Ordering::Relaxed)
    }

    pub(super) fn displace(&self) {
        self.displaced.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer to a session's statement.
    #[inline]
    pub fn note_answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers to statements of sessions until now.
    pub(super) fn answers(&self) -> u32 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Whether a probe has gone unanswered for so long, while nobody else was answered, that reads that run
    /// there are better run elsewhere.
    /// The sessions are woken when it begins.
    #[inline]
    pub fn hangs(&self) -> bool {
        self.hangs.load(Ordering::Relaxed)
    }

    pub(super) fn set_hangs(&self, is_so: bool) {
        self.hangs.store(is_so, Ordering::Relaxed);
    }

    pub(super) fn set_given_up(&self, is_so: bool) {
        self.is_given_up.store(is_so, Ordering::Relaxed);
    }

    /// Whether it is the primary and about to be replaced: it has turned read-only, where roles are by
    /// observation. Transactions there can only be ended.
    #[inline]
    pub fn holds_writes(&self) -> bool {
        self.holds_writes.load(Ordering::Relaxed)
    }

    pub(super) fn set_holds_writes(&self, is_so: bool) {
        self.holds_writes.store(is_so, Ordering::Relaxed);
    }

    pub(super) fn set_status(&self, status: MemberStatus) {
        let is_down = status.health == Health::Down;
        if !self.is_down.swap(is_down, Ordering::Relaxed) && is_down {
            // Its idle connections would hang, those whom they are given to with them.
            self.pool.clear();
        }
        self.status.store(Arc::new(status));
    }

    pub(super) fn remove(&self) {
        self.is_removed.store(true, Ordering::Relaxed);
        self.removed.send_replace(true);
        self.pool.close();
    }
}

/// Counts one running query; see [`Member::begin_query`].
#[derive(Debug)]
pub struct OutstandingQuery<'a> {
    count: &'a AtomicU32,
}

impl Drop for OutstandingQuery<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
