//! Where a server is, and how late, from all that it was asked.
//!
//! Which of the answers counts depends on what the primary tells: GTIDs, or places in its binary log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::channels::ServerId;
use super::super::coordinates::Coordinates;
use super::super::gtid_mariadb::{self, GtidState};
use super::super::lag::{Lag, NoLag};
use super::super::position::Position;
use super::super::probe::{Extra, MariaDbPositions, Positions};
use super::{Reference, Tracker};
use crate::config::Role;

/// For how long a replica must have had more than the primary before it is asked for its channels:
/// most are only ahead of the sample.
const SUSPECT_AFTER: Duration = Duration::from_secs(1);
/// How often channels are asked for that positions do without. They count in seconds.
const CHANNELS_EVERY: Duration = Duration::from_secs(1);

/// When a refusal no longer matters, as nothing more was asked.
const FORGET_REFUSAL: Duration = Duration::from_secs(10);

impl Reference {
    /// Whether positions are places in the primary's binary log.
    fn is_by_coordinates(&self) -> bool {
        self.clock.newest().is_some_and(|(newest, _)| matches!(**newest, Position::Coordinates(_)))
    }
}

impl Tracker {
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

    /// Takes in the answer to a further question, if there was one; the end of the binary log is
    /// handed back.
    pub(super) fn take_extra(
        &mut self,
        extra: Option<Result<Box<Extra>, Arc<str>>>,
        sent_at: Instant,
    ) -> Option<Coordinates> {
        let Some(extra) = extra else {
            let since = self.channels_at.map(|at| sent_at.saturating_duration_since(at));
            if since.is_none_or(|since| since > FORGET_REFUSAL) {
                self.status.refused = None;
            }
            return None;
        };
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
    pub(super) fn find_position(
        &mut self,
        positions: Positions,
        log: Option<Coordinates>,
        reference: &mut Reference,
        now: Instant,
    ) -> Result<Option<Arc<Position>>, Arc<str>> {
        let channels = self.channels.as_ref();
        let applied = channels.and_then(|channels| channels.coordinates(&reference.members));
        let applied = applied.cloned();
        let place = |place: &Coordinates| Arc::new(Position::Coordinates(place.clone()));
        match (positions, self.role) {
            (Positions::MySql(_), Role::Replica) if reference.is_by_coordinates() => {
                let applied = applied.ok_or_else(|| self.no_place())?;
                self.check_place(&applied, reference, now)
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
                Some(applied) => self.check_place(&applied, reference, now),
                None if self.channels.is_some() && reference.members.primary().is_none() => {
                    Ok(None)
                }
                None => Err(self.no_place()),
            },
            (Positions::Missing(reason), _) => Err(reason),
        }
    }

    /// A replica cannot be further in the primary's log than that goes. If it seems to be, the log has
    /// begun anew (RESET BINARY LOGS AND GTIDS), and the place says nothing of it. `now`: when the
    /// place was known; the primary's newest end may be older, and is held against the place before.
    fn check_place(
        &mut self,
        place: &Coordinates,
        reference: &Reference,
        now: Instant,
    ) -> Result<Option<Arc<Position>>, Arc<str>> {
        let before = self.placed.replace((now, place.clone()));
        let before = before.filter(|(_, before)| before.is_same_log(place));
        let position = Arc::new(Position::Coordinates(place.clone()));
        if let Some((newest, sampled_at)) = reference.clock.newest() {
            let is_before = |before: Coordinates| newest.contains(&Position::Coordinates(before));
            let before = before.filter(|(at, _)| *at < sampled_at).map(|(_, before)| before);
            if newest.contains(&position) || before.clone().is_some_and(is_before) {
                self.is_in_log = Some(reference.went_back);
            } else if before.is_some() {
                self.is_in_log = None;
                return Err("GTIDs are off, and it is further in the primary's binary log than \
                            that goes: the log was reset"
                    .into());
            }
        }
        Ok(Some(position).filter(|_| self.is_in_log == Some(reference.went_back)))
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

    /// By positions; where these say nothing, or are not all, by channels.
    pub(super) fn replica_lag(&self, reference: &Reference, now: Instant) -> Lag {
        let measured = match &self.status.position {
            Some(applied) => reference.lag(now, applied),
            None if self.status.no_position.is_some() => Lag::Unknown(NoLag::ReplicaHasNoPosition),
            None if self.channels.is_some() && reference.clock.newest().is_none() => {
                Lag::Unknown(NoLag::PrimaryNotSampled)
            }
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
