//! From what a monitor observes to a member's status: everything that is decided about a server
//! between two probes, without I/O.
//!
//! `replication` has what becomes of the several answers about where a server is, `sent` what becomes
//! of those about what a primary shows.
//!
//! Each monitor owns one [`Tracker`]. All of them share one [`Reference`]: what the primary's own
//! probes have told, which the replicas are measured against.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channels::{Channels, Members, ServerId};
use super::coordinates::Coordinates;
use super::errant::ErrantWatch;
use super::gtid_mariadb::GtidState;
use super::health::{Health, HealthMachine, Report, Thresholds, Transition};
use super::lag::{Lag, LagClock, Sampled};
use super::member::{MemberStatus, ReadOnly, SessionFailure};
use super::position::Position;
use super::probe::Answer;
use super::shown::ShownClock;
use crate::backend::connection::ServerFacts;
use crate::config::Role;

/// What the primary's probes have told.
#[derive(Debug)]
pub struct Reference {
    clock: LagClock,
    /// MySQL: what the primary still committed at its newest sample. Replicas may have it.
    in_commit: Option<Position>,
    /// MariaDB: every server's transactions that the primary knows.
    known: Option<GtidState>,
    /// Who the servers are.
    members: Members,
    /// How often the primary has gone back: its binary log may have begun anew.
    went_back: u64,
}

impl Reference {
    /// Nothing known yet. `fresh_for`: see [`LagClock::new`].
    pub fn new(fresh_for: Duration) -> Reference {
        Reference {
            clock: LagClock::new(fresh_for),
            in_commit: None,
            known: None,
            members: Members::default(),
            went_back: 0,
        }
    }

    /// Another server is the primary now, and nothing is known of it.
    pub fn reset(&mut self) {
        self.clock.reset();
        self.in_commit = None;
        self.known = None;
        self.members.clear();
        self.went_back += 1;
    }

    /// How far a replica that has applied `applied` is behind at `now`.
    pub fn lag(&self, now: Instant, applied: &Position) -> Lag {
        self.clock.lag(now, applied)
    }

    /// Until when a server has everything that the primary had acknowledged, as
    /// [`LagClock::applied_through`] says; `None` for one that may not be read from.
    pub fn applied_through(&self, status: &MemberStatus) -> Option<Instant> {
        let position = status.position.as_ref().filter(|_| status.health.serves_reads())?;
        self.clock.applied_through(position)
    }

    /// Changes how long one sample is good for.
    pub fn set_fresh_for(&mut self, fresh_for: Duration) {
        self.clock.set_fresh_for(fresh_for);
    }
}

/// Something that a monitor observed.
#[derive(Debug, Clone)]
pub enum Event {
    /// A connection was opened; what its greeting said.
    Connected(Arc<ServerFacts>),
    /// A probe was answered.
    Answered(Answer),
    /// A probe was not, with the cause. [`Report::Failed`], [`Report::Denied`] or
    /// [`Report::Busy`].
    NotAnswered(Report, Arc<str>),
    /// A session reported a failure.
    Session(SessionFailure),
    /// Time has passed while a probe is under way.
    Waiting,
    /// A probe is under way for so long that the server seems to hang.
    Unanswered(Duration),
}

/// Something that an operator should read, once.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// The health changed.
    Health(Transition),
    /// The primary does not say what of its transactions it shows, and why.
    SentRefused(Arc<str>),
    /// The server answers but has no position, and why; its lag is unknown.
    NoPosition(Arc<str>),
    /// It has one again.
    PositionBack,
    /// The primary lacks transactions that it had: it was reset, restored, or replaced.
    PrimaryWentBack,
    /// The replica has transactions that the primary lacks.
    Errant(Arc<Position>),
    /// It no longer has.
    ErrantGone,
    /// The server was made read-only or writable.
    ReadOnly(bool),
}

/// What is known of one server, between probes.
#[derive(Debug)]
pub struct Tracker {
    role: Role,
    health: HealthMachine,
    errant: ErrantWatch,
    status: MemberStatus,
    id: Option<ServerId>,
    /// As last told.
    channels: Option<Channels>,
    /// When they were last asked for.
    channels_at: Option<Instant>,
    /// Its last place in the primary's binary log, and when that was known.
    placed: Option<(Instant, Coordinates)>,
    /// Its places are those of the log that the primary has had since it went back so often.
    is_in_log: Option<u64>,
    /// MariaDB: it has transactions of domains that the primary knows nothing of.
    has_other_domains: bool,
    /// Of the primary.
    shown: ShownClock,
    /// When and why the primary would not say what it has sent.
    sent_refused: Option<(Instant, Arc<str>)>,
}

impl Tracker {
    /// A server that nobody has looked at.
    pub fn new(role: Role, now: Instant) -> Tracker {
        let status = MemberStatus::starting(now);
        Tracker {
            role,
            health: HealthMachine::default(),
            errant: ErrantWatch::default(),
            status,
            id: None,
            channels: None,
            channels_at: None,
            placed: None,
            is_in_log: None,
            has_other_domains: false,
            shown: ShownClock::default(),
            sent_refused: None,
        }
    }

    /// What is known now.
    pub fn status(&self) -> &MemberStatus {
        &self.status
    }

    /// Takes in one event. `role` is what the server is at this moment.
    pub fn observe(
        &mut self,
        event: Event,
        role: Role,
        reference: &mut Reference,
        thresholds: &Thresholds,
        now: Instant,
    ) -> Vec<Note> {
        let mut notes = Vec::new();
        self.set_role(role);
        let report = match event {
            Event::Connected(facts) => {
                self.status.facts = Some(facts);
                None
            }
            Event::Answered(answer) => {
                self.answered(answer, reference, &mut notes);
                Some(Report::Ok)
            }
            Event::NotAnswered(report, cause) => {
                self.status.last_error = Some(cause);
                Some(report)
            }
            Event::Session(SessionFailure::Connect) => {
                if self.status.health == Health::Up {
                    self.status.last_error = Some("a session could not connect".into());
                }
                Some(Report::SessionFailed)
            }
            Event::Session(SessionFailure::ReadOnly) => {
                let read_only = ReadOnly { read_only: true, super_read_only: false };
                self.set_read_only(Some(read_only), &mut notes);
                None
            }
            Event::Unanswered(for_long) => {
                let cause = format!("a probe is not answered for {} ms", for_long.as_millis());
                self.status.last_error = Some(cause.into());
                Some(Report::Hangs)
            }
            Event::Session(SessionFailure::Lost) | Event::Waiting => None,
        };
        if let Some(report) = report {
            self.judge(report, thresholds, now, &mut notes);
            self.tell_reference(report, reference, now);
        }
        self.evaluate_lag(reference, now);
        notes
    }

    /// A reload may turn a replica into the primary; what was measured against the old primary
    /// is then worth nothing.
    fn set_role(&mut self, role: Role) {
        if self.role != role {
            self.role = role;
            self.errant = ErrantWatch::default();
            self.id = None;
            self.channels = None;
            self.is_in_log = None;
            self.forget_shown();
            self.status.errant = None;
            self.status.position = None;
            self.status.asked_at = None;
            self.status.probed_at = None;
            self.status.replication = None;
        }
    }

    fn answered(&mut self, answer: Answer, reference: &mut Reference, notes: &mut Vec<Note>) {
        self.status.last_error = None;
        self.status.asked_at = Some(answer.sent_at);
        self.status.probed_at = Some(answer.answered_at);
        self.set_read_only(answer.state.read_only, notes);
        self.id = answer.state.id.or(self.id);
        if let (Some(id), Role::Primary) = (self.id, self.role) {
            reference.members.set_primary(id);
        }
        let log = self.take_extra(answer.state.extra, answer.sent_at);
        let channels = self.channels.as_ref().filter(|_| self.channels_at == Some(answer.sent_at));
        self.status.replication = channels.map(Channels::replication);
        let could_tell = answer.state.positions.tell_sent();
        let position =
            self.find_position(answer.state.positions, log, reference, answer.answered_at);
        let (position, missing) = match position {
            Ok(position) => (position, None),
            Err(reason) => (None, Some(reason)),
        };
        match (&self.status.no_position, &missing) {
            (old, Some(new)) if old.as_ref() != Some(new) => {
                notes.push(Note::NoPosition(Arc::clone(new)));
            }
            (Some(_), None) => notes.push(Note::PositionBack),
            _ => {}
        }
        self.status.no_position = missing;
        if self.role == Role::Primary {
            let position = position.as_deref();
            let sent = answer.state.sent.as_ref().and_then(|sent| sent.as_ref().ok());
            reference.in_commit = sent.filter(|it| it.shown.is_none()).map(|it| it.sent.clone());
            notes.extend(self.take_sent(answer.state.sent, could_tell, position, answer.sent_at));
        }
        match (self.role, &position) {
            (Role::Primary, Some(position)) => {
                let sampled = reference.clock.sample(answer.sent_at, Arc::clone(position));
                if sampled == Sampled::Restarted {
                    reference.went_back += 1;
                    notes.push(Note::PrimaryWentBack);
                }
            }
            (Role::Replica, Some(position)) => {
                self.watch_errant(position, reference, answer.answered_at, notes);
            }
            (_, None) => {}
        }
        self.status.position = position;
    }

    fn set_read_only(&mut self, read_only: Option<ReadOnly>, notes: &mut Vec<Note>) {
        if let (Some(old), Some(new)) = (self.status.read_only, read_only)
            && old.read_only != new.read_only
        {
            notes.push(Note::ReadOnly(new.read_only));
        }
        self.status.read_only = read_only;
    }

    fn watch_errant(
        &mut self,
        applied: &Position,
        reference: &Reference,
        now: Instant,
        notes: &mut Vec<Note>,
    ) {
        if let Some((primary, sampled_at)) = reference.clock.newest() {
            let mut primary = Cow::Borrowed(&**primary);
            if let Some(in_commit) = reference.in_commit.as_ref().filter(|it| !it.is_empty()) {
                // Positions of two kinds cannot be one; of those nothing is said to be errant.
                let _ = primary.to_mut().union(in_commit);
            }
            let channels = self.channels.as_ref();
            let elsewhere = channels.map(|channels| channels.elsewhere(&reference.members));
            let elsewhere = elsewhere.unwrap_or_default();
            self.errant.observe_sets(now, applied, (&primary, sampled_at), &elsewhere);
        }
        let confirmed = self.errant.confirmed();
        match (&self.status.errant, confirmed) {
            (None, Some(errant)) => {
                let errant = Arc::new(errant.clone());
                notes.push(Note::Errant(Arc::clone(&errant)));
                self.status.errant = Some(errant);
            }
            (Some(_), None) => {
                notes.push(Note::ErrantGone);
                self.status.errant = None;
            }
            _ => {}
        }
    }

    fn judge(
        &mut self,
        report: Report,
        thresholds: &Thresholds,
        now: Instant,
        notes: &mut Vec<Note>,
    ) {
        if let Some(transition) = self.health.observe(report, thresholds) {
            self.status.health = transition.to;
            self.status.health_since = now;
            notes.push(Note::Health(transition));
        }
        if self.status.health == Health::Down && report != Report::Ok {
            // It may come back with less than it had: restored, or after a crash.
            self.status.position = None;
            self.status.asked_at = None;
            self.status.probed_at = None;
            self.status.no_position = None;
            self.forget_shown();
            self.channels = None;
        }
    }

    /// Only a primary that is lost for certain stops the clock. One that is denied or merely slow
    /// goes on taking writes, and lag against it grows until it can be sampled again.
    fn tell_reference(&self, report: Report, reference: &mut Reference, now: Instant) {
        if self.role != Role::Primary {
            return;
        }
        if self.status.health != Health::Down {
            reference.clock.thaw();
        } else if report == Report::Failed {
            reference.clock.freeze(now);
        }
    }

    fn evaluate_lag(&mut self, reference: &mut Reference, now: Instant) {
        if self.role == Role::Primary {
            self.status.lag = None;
            return;
        }
        if matches!(self.status.position.as_deref(), Some(Position::Coordinates(_)))
            && self.is_in_log != Some(reference.went_back)
        {
            self.status.position = None;
        }
        let lag = self.replica_lag(reference, now);
        self.status.lag = Some(lag);
        if let Some(id) = self.id {
            reference.members.set_replica(id, lag, now);
        }
    }
}

mod replication;
mod sent;
#[cfg(test)]
mod tests;
