//! The task that watches one server.
//!
//! It probes on a connection of its own, under one deadline, and is the only one to judge the
//! server; sessions merely report to it. All decisions are in [`super::tracker`]; here is the I/O
//! and the waiting.
//!
//! Deliberately absent: a check of whether the server's name has come to mean another address. The
//! connection is kept as long as it works.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{error, info, warn};

use super::ask::{Wanted, ask};
use super::health::{Health, Report, Transition};
use super::member::{Member, MemberCounters, SessionFailure};
use super::probe::{Answer, Refusal};
use super::role_change::RoleChange;
use super::settings::Settings;
use super::topology::{Changes, ReadsChanged, Topology};
use super::tracker::{Event, Note, Tracker};
use crate::backend::connection::{Phase, ServerFacts};
use crate::backend::{self, Connection, Endpoint, Error, Login};
use crate::protocol::command::code;
use crate::protocol::flags::Capabilities;
use crate::protocol::frame::build_packet;

/// Longest wait between probes of a server that does not answer, unless `check_interval` is
/// longer: a primary that comes back is wanted within about a second.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// The same for a server that denies the account: somebody has to change something first, and each
/// attempt is a line in its log.
const MAX_DENIED_BACKOFF: Duration = Duration::from_secs(5);
/// Least time between two probes, however many sessions report failures.
const MIN_GAP: Duration = Duration::from_millis(50);
/// The same while reads wait for replication: about what it takes to ask and to apply.
const WAITED_FOR_GAP: Duration = Duration::from_millis(3);
/// How long saying goodbye may take.
const QUIT_TIMEOUT: Duration = Duration::from_millis(100);
/// `utf8mb4_general_ci`, which both makes know.
const UTF8MB4: u8 = 45;
/// `program_name`: `lagwise monitor`, as length-prefixed strings, so that a DBA who looks for the
/// origin of a connection finds it.
const ATTRIBUTES: &[u8] = b"\x0cprogram_name\x0flagwise monitor";

/// What a monitor works with.
pub(super) struct Monitor {
    pub(super) topology: Arc<Topology>,
    pub(super) member: Arc<Member>,
    pub(super) reports: mpsc::Receiver<SessionFailure>,
    pub(super) settings: watch::Receiver<Arc<Settings>>,
}

/// What one probe brought.
struct Probed {
    /// Of the greeting, when a new connection was begun.
    facts: Option<Arc<ServerFacts>>,
    outcome: Result<Answer, (Report, Arc<str>)>,
}

/// Why the waiting between two probes ended.
enum Wake {
    /// It is time, or the settings changed.
    Probe,
    /// A session could not connect: probe by a new connection.
    ProbeAnew,
    /// The member is removed, or the proxy ends.
    Stop,
}

impl Monitor {
    /// Watches until the member is removed.
    pub(super) async fn run(mut self) {
        let role = self.member.config().role;
        let mut tracker = Tracker::new(role, Instant::now().into_std());
        let mut connection: Option<Connection> = None;
        let mut removed = self.member.removal();
        let mut anew = false;
        let mut streak = Streak::default();
        while !self.member.is_removed() {
            let settings = Arc::clone(&self.settings.borrow_and_update());
            let started = Instant::now();
            let member = Arc::clone(&self.member);
            let wanted = self.topology.wanted(&member, &tracker, started.into_std());
            anew |= tracker.status().refused.is_some() && is_old(connection.as_ref());
            let probing = probe(&mut connection, anew, member.endpoint(), &settings, wanted);
            tokio::pin!(probing);
            // Half of its time without an answer to anybody: with the defaults nobody waits longer than three
            // quarters of a second for a replica that hangs.
            let hangs_after = settings.check_timeout / 2;
            let tick = settings.check_interval.min(hangs_after / 2);
            let (mut silent, mut answers) = (Duration::ZERO, member.answers());
            let probed = loop {
                tokio::select! {
                    // First what is there: after a pause of this process all is due at once.
                    biased;
                    probed = &mut probing => break probed,
                    () = sleep(tick) => {
                        let before = std::mem::replace(&mut answers, member.answers());
                        silent = if answers == before { silent + tick } else { Duration::ZERO };
                        let event = match silent >= hangs_after && !member.hangs() {
                            true => Event::Unanswered(silent),
                            false => Event::Waiting,
                        };
                        self.observe(&mut tracker, event);
                    }
                    _ = removed.changed() => return,
                }
            };
            streak.add(probed.outcome.as_ref().err().map(|(report, _)| *report));
            self.take_in(&mut tracker, probed);
            let delay = streak.delay(tracker.status().health, settings.check_interval);
            // One that does not answer is asked no more often than else.
            let least = streak.is_good().then_some(settings.min_check_interval);
            match self.wait(&mut tracker, &mut removed, started, (least, delay)).await {
                Wake::Probe => anew = false,
                Wake::ProbeAnew => anew = true,
                Wake::Stop => break,
            }
        }
        if let Some(connection) = connection {
            quit(connection).await;
        }
    }

    fn take_in(&self, tracker: &mut Tracker, probed: Probed) {
        let MemberCounters { probes, probe_failures, .. } = self.member.counters();
        if let Some(facts) = probed.facts {
            self.observe(tracker, Event::Connected(facts));
        }
        match probed.outcome {
            Ok(answer) => self.observe(tracker, Event::Answered(answer)),
            Err((report, cause)) => {
                probe_failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                self.observe(tracker, Event::NotAnswered(report, cause));
            }
        }
        // Last: whoever sees the count may rely on what the probe has found.
        probes.fetch_add(1, std::sync::atomic::Ordering::Release);
    }

    /// Waits until the next probe is due: the second of the delays after the last one began, or, if there is
    /// a first, that one while sessions wait for replication.
    async fn wait(
        &mut self,
        tracker: &mut Tracker,
        removed: &mut watch::Receiver<bool>,
        started: Instant,
        (least, delay): (Option<Duration>, Duration),
    ) -> Wake {
        let mut due = started + delay;
        let mut wake = Wake::Probe;
        let topology = Arc::clone(&self.topology);
        loop {
            // Listened for before it is looked at.
            let begun = topology.urgency.begun();
            tokio::pin!(begun);
            begun.as_mut().enable();
            let shorter = match least {
                Some(least) if topology.is_waited_for(&self.member) => {
                    Some(least.min(WAITED_FOR_GAP))
                }
                Some(least)
                    if topology.urgency.is_there(Instant::now().into_std())
                        || topology.waiters.for_writable() > 0 =>
                {
                    Some(least)
                }
                _ => None,
            };
            if let Some(shorter) = shorter {
                due = due.min(started + shorter);
            }
            tokio::select! {
                () = &mut begun => {}
                () = sleep_until(due) => return wake,
                report = self.reports.recv() => {
                    let Some(first) = report else { return Wake::Stop };
                    let connect_failed = self.drain_reports(first);
                    let failure =
                        if connect_failed { SessionFailure::Connect } else { SessionFailure::Lost };
                    self.observe(tracker, Event::Session(failure));
                    if connect_failed {
                        wake = Wake::ProbeAnew;
                    }
                    // A server that is down is probed at its own pace.
                    if tracker.status().health != Health::Down {
                        due = due.min(started + MIN_GAP);
                    }
                }
                changed = self.settings.changed() => {
                    return if changed.is_ok() { Wake::Probe } else { Wake::Stop };
                }
                _ = removed.changed() => return Wake::Stop,
            }
        }
    }

    /// Takes what is queued behind `first`; whether any says that a session could not connect.
    fn drain_reports(&mut self, first: SessionFailure) -> bool {
        let mut connect_failed = first == SessionFailure::Connect;
        while let Ok(failure) = self.reports.try_recv() {
            connect_failed |= failure == SessionFailure::Connect;
        }
        connect_failed
    }

    fn observe(&self, tracker: &mut Tracker, event: Event) {
        let now = Instant::now().into_std();
        let Changes { notes, reads, roles } =
            self.topology.observe(&self.member, tracker, event, now);
        let server = &self.member.config().name;
        for note in notes {
            log_note(server, tracker, &note);
        }
        reads.iter().for_each(log_reads_changed);
        roles.iter().for_each(RoleChange::log);
    }
}

/// How many probes in a row came out the same bad way.
#[derive(Debug, Default)]
struct Streak {
    report: Option<Report>,
    length: u32,
}

impl Streak {
    /// Whether the last probe was answered.
    fn is_good(&self) -> bool {
        self.report.is_none()
    }

    /// `report`: how the probe failed, `None` when it was answered.
    fn add(&mut self, report: Option<Report>) {
        self.length = if report.is_some() && report == self.report { self.length + 1 } else { 0 };
        self.report = report;
    }

    /// From the beginning of one probe to the next. Grows only once the server is out of service,
    /// so that the way there is not slowed.
    fn delay(&self, health: Health, interval: Duration) -> Duration {
        let bound = match (self.report, health) {
            (Some(Report::Failed), Health::Down) => MAX_BACKOFF,
            (Some(Report::Busy), _) => MAX_BACKOFF,
            (Some(Report::Denied), _) => MAX_DENIED_BACKOFF,
            _ => return interval,
        };
        let factor = 2_u32.saturating_pow(self.length.min(16));
        interval.saturating_mul(factor).min(bound.max(interval))
    }
}

/// One probe. The deadline covers all of it. A connection that broke is replaced within the same
/// probe, because it may have been killed alone; `anew` asks for a new connection in any case.
async fn probe(
    connection: &mut Option<Connection>,
    anew: bool,
    endpoint: &Endpoint,
    settings: &Settings,
    wanted: Wanted,
) -> Probed {
    let deadline = Instant::now() + settings.check_timeout;
    if !anew && let Some(mut open) = connection.take() {
        match ask(&mut open, deadline, wanted).await {
            Err(Error::Lost(_)) => {}
            result => {
                let outcome = settle(result, false);
                // After a refusal or a timeout the next probe starts from a new connection.
                let is_good = outcome.is_ok() && open.phase() != Phase::Broken;
                *connection = is_good.then_some(open);
                return Probed { facts: None, outcome };
            }
        }
    }
    let mut greeted = None;
    let connected = connect(endpoint, settings, deadline, &mut greeted).await;
    // Clients can be greeted with what a server said that then refused the monitor's account.
    let facts = greeted.map(Arc::new);
    let outcome = match connected {
        Ok(mut open) => {
            let outcome = settle(ask(&mut open, deadline, wanted).await, false);
            if outcome.is_ok()
                && let Some(old) = connection.replace(open)
            {
                quit(old).await;
            }
            outcome
        }
        Err(error) => {
            let outcome = settle(Err(error), true);
            match (&outcome, connection.as_mut()) {
                // No connection is free for anybody new; ours still works.
                (Err((Report::Busy, _)), Some(open)) => {
                    settle(ask(open, deadline, wanted).await, false)
                }
                _ => outcome,
            }
        }
    };
    if outcome.is_err() || connection.as_ref().is_some_and(|open| open.phase() == Phase::Broken) {
        *connection = None;
    }
    Probed { facts, outcome }
}

/// Privileges that were granted meanwhile are those of new connections.
fn is_old(connection: Option<&Connection>) -> bool {
    connection.is_some_and(|open| open.opened_at.elapsed() > MAX_DENIED_BACKOFF)
}

/// A connection as the monitor's account.
pub(super) async fn connect(
    endpoint: &Endpoint,
    settings: &Settings,
    deadline: Instant,
    greeted: &mut Option<ServerFacts>,
) -> Result<Connection, Error> {
    let login = Login {
        credential: &settings.credential,
        capabilities: Capabilities::empty(),
        charset: UTF8MB4,
        schema: None,
        attributes: Some(ATTRIBUTES),
        client_tls: false,
        track: false,
        read_only: false,
    };
    backend::connect_noting(endpoint, login, deadline, greeted).await
}

/// What an error means for the server's health.
fn settle(result: Result<Answer, Error>, connecting: bool) -> Result<Answer, (Report, Arc<str>)> {
    result.map_err(|error| {
        let report = match &error {
            Error::Server(err) => match Refusal::of_code(err.code, connecting) {
                Refusal::Denied => Report::Denied,
                Refusal::Busy => Report::Busy,
                Refusal::Failed | Refusal::NoAnswer => Report::Failed,
            },
            // The account wants something that lagwise or this connection cannot give.
            Error::Auth(_) => Report::Denied,
            Error::Connect(_)
            | Error::Tls(_)
            | Error::TimedOut(_)
            | Error::Lost(_)
            | Error::Protocol(_)
            | Error::Capabilities(_)
            | Error::State => Report::Failed,
        };
        (report, error.to_string().into())
    })
}

/// Leaves politely: without COM_QUIT servers log an aborted connection.
async fn quit(mut connection: Connection) {
    let mut packet = Vec::new();
    build_packet(&mut packet, 0, |out| out.push(code::QUIT));
    // A server that does not take it is left all the same.
    let _ = timeout(QUIT_TIMEOUT, connection.send_without_response(&packet)).await;
}

fn log_note(server: &str, tracker: &Tracker, note: &Note) {
    let status = tracker.status();
    let cause = status.last_error.as_deref().unwrap_or("");
    match note {
        Note::Health(Transition { from, to }) => match to {
            Health::Up => info!(server, %from, %to, "server is up"),
            Health::Suspect => warn!(server, %from, %to, cause, "server is suspect"),
            Health::Down => error!(server, %from, %to, cause, "server is down"),
            Health::Denied => error!(
                server, %from, %to, cause,
                "server refuses the monitor's account: it is alive, but cannot be watched"
            ),
            Health::Starting => {}
        },
        Note::NoPosition(reason) => {
            let lag = status.lag.map(tracing::field::display);
            warn!(server, reason = &**reason, lag, "server has no position to compare");
        }
        Note::SentRefused(reason) => warn!(
            server,
            reason = &**reason,
            "the primary does not say what it shows of what it has sent to replicas: \
             a session that has read it there may for a moment read less on the primary"
        ),
        Note::PositionBack => info!(server, "server has a position again"),
        Note::PrimaryWentBack => warn!(
            server,
            "the primary lacks transactions that it had, or tells its position in another way; \
             lag is measured afresh"
        ),
        Note::Errant(gtids) => {
            // If they came by replication from another source, this is why that is not known.
            let refused = status.refused.as_deref();
            error!(
                server, %gtids, refused,
                "replica has transactions that the primary lacks: no reads"
            );
        }
        Note::ErrantGone => info!(server, "replica has no transactions that the primary lacks"),
        Note::ReadOnly(read_only) => info!(server, read_only, "read_only changed"),
    }
}

fn log_reads_changed(change: &ReadsChanged) {
    let server = &change.member.config().name;
    match change.excluded {
        None => info!(server, "replica takes reads"),
        Some(reason) if change.any_left => info!(server, %reason, "replica takes no reads"),
        Some(reason) => {
            warn!(server, %reason, "replica takes no reads, and none is left: when_all_lag decides");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod fake;
#[cfg(test)]
mod tests;
