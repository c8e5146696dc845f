//! From what a monitor observes to a member's status: everything that is decided about a server
//! between two probes, without I/O.
//!
//! Each monitor owns one [`Tracker`]. All of them share one [`Reference`]: what the primary's own
//! probes have told, which the replicas are measured against.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channels::{Channels, Members, ServerId};
use super::coordinates::Coordinates;
use super::errant::ErrantWatch;
use super::gtid_mariadb::{self, GtidState};
use super::health::{Health, HealthMachine, Report, Thresholds, Transition};
use super::lag::{Lag, LagClock, NoLag, Sampled};
use super::member::{MemberStatus, ReadOnly, SessionFailure};
use super::position::Position;
use super::probe::{Answer, Extra, MariaDbPositions, Positions};
use crate::backend::connection::ServerFacts;
use crate::config::Role;

/// For how long a replica must have had more than the primary before it is asked for its channels:
/// most are only ahead of the sample.
const SUSPECT_AFTER: Duration = Duration::from_secs(1);
/// How often channels are asked for that positions do without. They count in seconds.
const CHANNELS_EVERY: Duration = Duration::from_secs(1);

/// What the primary's probes have told.
#[derive(Debug)]
pub struct Reference {
    clock: LagClock,
    /// MariaDB: every server's transactions that the primary knows.
    known: Option<GtidState>,
    /// Who the servers are.
    members: Members,
}

impl Reference {
    /// Nothing known yet. `fresh_for`: see [`LagClock::new`].
    pub fn new(fresh_for: Duration) -> Reference {
        Reference { clock: LagClock::new(fresh_for), known: None, members: Members::default() }
    }

    /// Another server is the primary now, and nothing is known of it.
    pub fn reset(&mut self) {
        self.clock.reset();
        self.known = None;
        self.members.clear();
    }

    /// The configuration may name other servers now.
    pub fn forget_members(&mut self) {
        self.members.clear();
    }

    /// Whether positions are places in the primary's binary log.
    fn is_by_coordinates(&self) -> bool {
        self.clock.newest().is_some_and(|(newest, _)| matches!(**newest, Position::Coordinates(_)))
    }

    /// How far a replica that has applied `applied` is behind at `now`.
    pub fn lag(&self, now: Instant, applied: &Position) -> Lag {
        self.clock.lag(now, applied)
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
}

/// Something that an operator should read, once.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// The health changed.
    Health(Transition),
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
    /// MariaDB: it has transactions of domains that the primary knows nothing of.
    has_other_domains: bool,
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
            has_other_domains: false,
        }
    }

    /// Whether the replica is to be asked for its channels though it has GTIDs: the primary has none,
    /// or there may be other sources.
    pub fn wants_channels(&self, reference: &Reference, now: Instant) -> bool {
        let since = |at: Instant| now.saturating_duration_since(at);
        let is_mysql = matches!(self.id, Some(ServerId::MySql(_)));
        let suspected = self.errant.suspected_since().filter(|_| is_mysql);
        let members = &reference.members;
        let is_needed = suspected.is_some_and(|at| since(at) >= SUSPECT_AFTER)
            || self.has_other_domains
            || self.channels.as_ref().is_some_and(|channels| channels.has_others(members));
        let is_due = self.channels_at.is_none_or(|at| since(at) >= CHANNELS_EVERY);
        is_needed && is_due || reference.is_by_coordinates()
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
            self.status.errant = None;
            self.status.position = None;
            self.status.asked_at = None;
            self.status.probed_at = None;
        }
    }

    fn answered(&mut self, answer: Answer, reference: &mut Reference, notes: &mut Vec<Note>) {
        self.status.last_error = None;
        self.status.asked_at = Some(answer.sent_at);
        self.status.probed_at = Some(answer.answered_at);
        self.set_read_only(answer.state.read_only, notes);
        self.id = answer.state.id;
        if let (Some(id), Role::Primary) = (self.id, self.role) {
            reference.members.set_primary(id);
        }
        let log = self.take_extra(answer.state.extra, answer.sent_at);
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
        match (self.role, &position) {
            (Role::Primary, Some(position)) => {
                let sampled = reference.clock.sample(answer.sent_at, Arc::clone(position));
                if sampled == Sampled::Restarted {
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

    /// Takes in the answer to a further question, if there was one; the end of the binary log is
    /// handed back.
    fn take_extra(
        &mut self,
        extra: Option<Result<Box<Extra>, Arc<str>>>,
        sent_at: Instant,
    ) -> Option<Coordinates> {
        let extra = extra?;
        self.channels_at = Some(sent_at);
        self.status.refused = None;
        match extra.map(|extra| *extra) {
            Ok(Extra::Log(log)) => return Some(log),
            Ok(Extra::Channels(channels)) => self.channels = Some(channels),
            Err(reason) => {
                self.channels = None;
                self.status.refused = Some(reason);
            }
        }
        None
    }

    /// Where the server is; `Ok(None)` if that cannot be said before the primary is known.
    fn find_position(
        &mut self,
        positions: Positions,
        log: Option<Coordinates>,
        reference: &mut Reference,
        now: Instant,
    ) -> Result<Option<Arc<Position>>, Arc<str>> {
        let channels = self.channels.as_ref();
        let applied = channels.and_then(|channels| channels.coordinates(&reference.members));
        let place = |place: &Coordinates| Arc::new(Position::Coordinates(place.clone()));
        match (positions, self.role) {
            (Positions::MySql(_), Role::Replica) if reference.is_by_coordinates() => {
                applied.map(place).map(Some).ok_or_else(|| self.no_place())
            }
            (Positions::MySql(position), _) => Ok(Some(position)),
            (Positions::MariaDb(positions), Role::Primary) => {
                primary_position(positions, &mut reference.known).map(Some)
            }
            (Positions::MariaDb(positions), Role::Replica) => {
                Ok(Some(self.replica_position(positions, reference, now)))
            }
            (Positions::NoGtids, Role::Primary) => {
                log.as_ref().map(place).map(Some).ok_or_else(|| self.no_place())
            }
            (Positions::NoGtids, Role::Replica) => match applied {
                Some(applied) => Ok(Some(place(applied))),
                None if channels.is_some() && reference.members.primary().is_none() => Ok(None),
                None => Err(self.no_place()),
            },
            (Positions::Missing(reason), _) => Err(reason),
        }
    }

    /// Why there are no coordinates where they are needed.
    fn no_place(&self) -> Arc<str> {
        match (&self.status.refused, &self.channels) {
            (Some(refused), _) => format!("GTIDs are off, and {refused}, or turn GTIDs on").into(),
            (None, Some(_)) => "GTIDs are off, and no channel says how far it is in the primary's \
                                binary log: the lag is at best an estimate, and sessions that have \
                                written do not read there"
                .into(),
            (None, None) => "gtid_mode is not ON".into(),
        }
    }

    fn set_read_only(&mut self, read_only: Option<ReadOnly>, notes: &mut Vec<Note>) {
        if let (Some(old), Some(new)) = (self.status.read_only, read_only)
            && old.read_only != new.read_only
        {
            notes.push(Note::ReadOnly(new.read_only));
        }
        self.status.read_only = read_only;
    }

    /// What a MariaDB replica has applied. Its own transactions are compared right here, where the
    /// server ids are known.
    fn replica_position(
        &mut self,
        positions: MariaDbPositions,
        reference: &Reference,
        now: Instant,
    ) -> Arc<Position> {
        let MariaDbPositions { slave_pos, binlog_pos, binlog_state, server_id } = positions;
        let known = reference.known.as_ref();
        self.has_other_domains = known.is_some_and(|known| slave_pos.has_other_domains(known));
        if let (Some(known), Some((_, sampled_at))) = (known, reference.clock.newest()) {
            let errant = Position::MariaDb(binlog_state.errant(server_id, known));
            self.errant.settle(now, errant, sampled_at);
        }
        let binlog_pos = binlog_pos.unwrap_or_default();
        let applied = gtid_mariadb::applied(&slave_pos, &binlog_pos, server_id, known);
        Arc::new(Position::MariaDb(applied))
    }

    fn watch_errant(
        &mut self,
        applied: &Position,
        reference: &Reference,
        now: Instant,
        notes: &mut Vec<Note>,
    ) {
        if let Some((primary, sampled_at)) = reference.clock.newest() {
            let channels = self.channels.as_ref();
            let elsewhere = channels.map(|channels| channels.elsewhere(&reference.members));
            let elsewhere = elsewhere.unwrap_or_default();
            self.errant.observe_sets(now, applied, (primary, sampled_at), &elsewhere);
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
        let lag = self.replica_lag(reference, now);
        self.status.lag = Some(lag);
        if let Some(id) = self.id {
            reference.members.set_replica(id, lag, now);
        }
    }

    /// By positions; where these say nothing, or are not all, by channels.
    fn replica_lag(&self, reference: &Reference, now: Instant) -> Lag {
        let measured = match &self.status.position {
            Some(applied) => reference.lag(now, applied),
            None if self.status.no_position.is_some() => Lag::Unknown(NoLag::ReplicaHasNoPosition),
            None => Lag::Unknown(NoLag::ReplicaNotProbed),
        };
        let Some(channels) = &self.channels else { return measured };
        let members = &reference.members;
        let estimated = match measured {
            Lag::Known { lag, .. } => match channels.lag_of_others(members, now) {
                Ok(others) if others <= lag => return measured,
                others => others,
            },
            // The primary answers, and has no position either.
            Lag::Unknown(NoLag::PrimaryNotSampled) if members.primary().is_none() => {
                return measured;
            }
            Lag::Unknown(NoLag::ReplicaNotProbed) | Lag::AtLeast(_) | Lag::Estimated(_) => {
                return measured;
            }
            Lag::Unknown(_) => channels.lag(members, now),
        };
        estimated.map_or_else(Lag::Unknown, Lag::Estimated)
    }
}

/// What a MariaDB primary has for its replicas: the end of its binary log.
fn primary_position(
    positions: MariaDbPositions,
    known: &mut Option<GtidState>,
) -> Result<Arc<Position>, Arc<str>> {
    let Some(binlog_pos) = positions.binlog_pos else {
        return Err("log_bin is off".into());
    };
    let mut state = positions.binlog_state;
    // A primary that was a replica without log_slave_updates knows more than its binary log.
    state.add(&positions.slave_pos);
    *known = Some(state);
    Ok(Arc::new(Position::MariaDb(binlog_pos)))
}

#[cfg(test)]
mod tests;
