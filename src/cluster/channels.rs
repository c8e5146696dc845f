//! What a replica says of its replication channels (`SHOW REPLICA STATUS`), and what follows.
//!
//! Positions say more and cost less, so this is asked only where they do not suffice:
//! - GTIDs are off on MySQL: the channel from the primary has the binary log [`Coordinates`].
//! - No position can be compared (a replica of a replica without GTIDs): the lag is *estimated*.
//! - The replica has other sources, too: their channels may lag more, and what came through them is
//!   no errant write.
//!
//! `Seconds_Behind_Source` has traps. It is NULL while the applier stands, and 0 while the receiver
//! reconnects; so both must run. It counts whole seconds, so one is added. It is about the source and
//! not about the source's source; so the lag of that is added, which must be one of our servers. It
//! grows old; so its age is added. One trap stays: while the network is silent it says 0, until
//! `replica_net_timeout` finds that out. Hence it is never used where positions can be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::coordinates::Coordinates;
use super::gtid_mysql::{GtidSet, parse_server_uuid};
use super::lag::{Lag, NoLag};
use super::position::Flavor;
use super::roles::Replication;
use crate::protocol::text_row::{Row, Table};

/// Channels that are read; MySQL allows 256.
const MAX_CHANNELS: usize = 256;
/// By how much `Seconds_Behind_Source` may say too little: it cuts off the fraction.
const RESOLUTION: Duration = Duration::from_secs(1);
/// When a replica that nobody speaks of any more is none of these servers: a reload has removed it.
/// Those that are down are spoken of.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// Longest delay that is believed, in seconds: a clock that is wrong by more would overflow nothing,
/// but mean nothing either.
const MAX_SECONDS: u64 = 10 * 365 * 24 * 3600;

/// By which a server is known to its replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerId {
    /// `server_uuid`.
    MySql(u128),
    /// `server_id`.
    MariaDb(u32),
}

/// One replication channel of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Who is at the other end; `None` before the first connection.
    pub source: Option<ServerId>,
    /// How far in the source's binary log everything is applied; MySQL.
    pub applied: Option<Coordinates>,
    /// Who first committed what it received, the source or those before it; MySQL.
    pub received: BTreeSet<u128>,
    /// `Seconds_Behind_Source`, where it can be trusted: receiver and applier run.
    pub behind: Option<Duration>,
    /// Neither receiver nor applier runs or tries to.
    pub is_stopped: bool,
}

/// Reads the answer to `SHOW REPLICA STATUS`, under the names of any version.
pub fn read_channels(flavor: Flavor, table: &Table) -> Vec<Channel> {
    table.rows.iter().take(MAX_CHANNELS).map(|row| read_channel(flavor, table, row)).collect()
}

fn read_channel(flavor: Flavor, table: &Table, row: &Row) -> Channel {
    let text = |names: &[&str]| table.text(row, names);
    let runs = |names: &[&str]| text(names) == Some("Yes");
    let stands = |names: &[&str]| text(names) == Some("No");
    let is_running = runs(&["Replica_IO_Running", "Slave_IO_Running"])
        && runs(&["Replica_SQL_Running", "Slave_SQL_Running"]);
    let is_stopped = stands(&["Replica_IO_Running", "Slave_IO_Running"])
        && stands(&["Replica_SQL_Running", "Slave_SQL_Running"]);
    let seconds = text(&["Seconds_Behind_Source", "Seconds_Behind_Master"])
        .and_then(|seconds| seconds.parse().ok())
        .filter(|seconds| is_running && *seconds <= MAX_SECONDS);
    let behind = seconds.map(Duration::from_secs);
    if flavor == Flavor::MariaDb {
        let id = text(&["Master_Server_Id"]).and_then(|id| id.parse().ok()).filter(|id| *id != 0);
        let source = id.map(ServerId::MariaDb);
        return Channel { source, applied: None, received: BTreeSet::new(), behind, is_stopped };
    }
    let uuid = text(&["Source_UUID", "Master_UUID"]).and_then(parse_server_uuid);
    let file = text(&["Relay_Source_Log_File", "Relay_Master_Log_File"]);
    let offset = text(&["Exec_Source_Log_Pos", "Exec_Master_Log_Pos"]);
    let applied = uuid.zip(file.zip(offset));
    let applied = applied.and_then(|(uuid, (file, at))| Coordinates::parse(uuid, file, at));
    let received = text(&["Retrieved_Gtid_Set"]).and_then(|set| GtidSet::parse(set).ok());
    let received = received.map(|set| set.uuids().chain(uuid).collect()).unwrap_or_default();
    Channel { source: uuid.map(ServerId::MySql), applied, received, behind, is_stopped }
}

/// The servers of the configuration, as far as they have said who they are.
#[derive(Debug, Default)]
pub struct Members {
    primary: Option<ServerId>,
    replicas: BTreeMap<ServerId, (Instant, Lag)>,
}

impl Members {
    /// Forgets all: they will say it again with their next probes.
    pub fn clear(&mut self) {
        *self = Members::default();
    }

    /// The primary says who it is.
    pub fn set_primary(&mut self, id: ServerId) {
        self.replicas.remove(&id);
        self.primary = Some(id);
    }

    /// Who the primary is.
    pub fn primary(&self) -> Option<ServerId> {
        self.primary
    }

    /// The lag of a replica at `now`.
    pub fn set_replica(&mut self, id: ServerId, lag: Lag, now: Instant) {
        self.replicas.retain(|_, (at, _)| now.saturating_duration_since(*at) <= FORGET_AFTER);
        self.replicas.insert(id, (now, lag));
    }

    fn has(&self, id: ServerId) -> bool {
        self.primary == Some(id) || self.replicas.contains_key(&id)
    }

    /// How far a source is behind at most: `None` if it is none of these servers.
    fn lag_of(&self, id: ServerId, now: Instant) -> Option<Result<Duration, NoLag>> {
        if self.primary == Some(id) {
            return Some(Ok(Duration::ZERO));
        }
        let (at, lag) = self.replicas.get(&id)?;
        let lag = lag.known().map(|lag| lag + now.saturating_duration_since(*at));
        Some(lag.ok_or(NoLag::ChannelNotRunning))
    }
}

/// The channels of a replica, as they were when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    /// When the question was sent.
    pub asked_at: Instant,
    /// All of them; empty for a server that replicates from nobody.
    pub list: Vec<Channel>,
}

impl Channels {
    /// What they say together.
    pub fn replication(&self) -> Replication {
        match self.list.iter().all(|channel| channel.is_stopped) {
            _ if self.list.is_empty() => Replication::None,
            true => Replication::Stopped,
            false => Replication::Running,
        }
    }

    /// How far the replica is in the primary's binary log.
    pub fn coordinates(&self, members: &Members) -> Option<&Coordinates> {
        let primary = members.primary()?;
        let is_it = |channel: &&Channel| channel.source == Some(primary);
        self.list.iter().find(is_it)?.applied.as_ref()
    }

    /// Whether there are channels from elsewhere beside one from a server of ours.
    pub fn has_others(&self, members: &Members) -> bool {
        self.others(members).next().is_some()
    }

    /// Who has committed what came through the other channels, and through no server of ours.
    pub fn elsewhere(&self, members: &Members) -> BTreeSet<u128> {
        let uuids = self.others(members).flat_map(|channel| &channel.received);
        uuids.copied().filter(|uuid| !members.has(ServerId::MySql(*uuid))).collect()
    }

    /// How far the worst of the other channels is behind at `now`; zero if there is none.
    pub fn lag_of_others(&self, members: &Members, now: Instant) -> Result<Duration, NoLag> {
        let mut lags = self.others(members).map(|channel| self.behind_source(channel, now));
        lags.try_fold(Duration::ZERO, |worst, lag| Ok(worst.max(lag?)))
    }

    /// How far the replica is behind at `now` where no position says it.
    pub fn lag(&self, members: &Members, now: Instant) -> Result<Duration, NoLag> {
        let mut worst = None;
        for channel in &self.list {
            let source = channel.source.and_then(|id| members.lag_of(id, now));
            let Some(source) = source else { continue };
            let lag = source?.saturating_add(self.behind_source(channel, now)?);
            worst = worst.max(Some(lag));
        }
        let worst = worst.ok_or(NoLag::OtherSource)?;
        Ok(worst.max(self.lag_of_others(members, now)?))
    }

    /// Channels from none of our servers. If none is from ours, it is not known which is the one that
    /// leads to the primary.
    fn others<'a>(&'a self, members: &'a Members) -> impl Iterator<Item = &'a Channel> {
        let is_ours = |channel: &&Channel| channel.source.is_some_and(|id| members.has(id));
        let any_ours = self.list.iter().any(|channel| is_ours(&channel));
        self.list.iter().filter(move |channel| any_ours && !is_ours(channel))
    }

    fn behind_source(&self, channel: &Channel, now: Instant) -> Result<Duration, NoLag> {
        let behind = channel.behind.ok_or(NoLag::ChannelNotRunning)?;
        Ok(behind + RESOLUTION + now.saturating_duration_since(self.asked_at))
    }
}

#[cfg(test)]
mod tests;
