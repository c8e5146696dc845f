//! Which replicas may take reads now, and the choice among them.
//!
//! [`eligible`] is worked out once after each observation of a monitor, so that a session only
//! looks at the result. Every replica that is left out has its reason.
//!
//! The picture before is an argument, so that a lag that wavers about a limit does not move all
//! reads at each observation: who takes reads, and who is among the best, has to become clearly worse
//! to lose that, or clearly better to get it back ([`RoutingPolicy`]). `standing` has what else
//! is remembered of a replica: that it has begun to take reads again only now.
//!
//! Deliberately absent: what one session needs on top (a position of its own). It is passed to
//! [`Group::choose`] as a filter.

mod group;
mod standing;

use std::fmt;
use std::time::{Duration, Instant};

pub use group::Group;
use standing::Standing;

use super::health::Health;
use super::lag::{Lag, NoLag};

/// What makes a replica good enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingPolicy {
    /// A replica that lags more gets no reads.
    pub max_lag: Duration,
    /// Replicas that lag at most this much more than the least lagged count as equally good.
    pub lag_tolerance: Duration,
    /// A replica whose last good probe is older than this gets no reads.
    pub fresh_for: Duration,
    /// lagwise's own zone: replicas in it come first among equals. `None`: all zones are alike.
    pub zone: Option<String>,
    /// A replica that takes reads again gets its whole share of them after this long; zero: at once.
    pub slow_start: Duration,
    /// Where all replicas of a group are over `max_lag`, the least lagged of them take its reads.
    pub late_may_serve: bool,
}

impl RoutingPolicy {
    /// How much lag a replica may have beyond that of the least lagged to be among the best: less to
    /// get there than to stay there.
    fn tolerance(&self, was_best: bool) -> Duration {
        if was_best { self.lag_tolerance.saturating_mul(3) / 2 } else { self.lag_tolerance }
    }

    /// How much lag a replica that was over `max_lag` may have to take reads again.
    fn max_lag_to_return(&self) -> Duration {
        self.max_lag.saturating_mul(4) / 5
    }

    fn is_near(&self, replica: &ReplicaView<'_>) -> bool {
        self.zone.as_deref().is_none_or(|own| replica.zone == Some(own))
    }
}

/// What is known about one replica.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaView<'a> {
    /// Judged by its monitor.
    pub health: Health,
    /// As last evaluated.
    pub lag: Lag,
    /// When its last good probe was answered.
    pub probed_at: Option<Instant>,
    /// It has transactions that the primary lacks.
    pub errant: bool,
    /// It is taken out for maintenance.
    pub is_drained: bool,
    /// Its share among equals, at least 1.
    pub weight: u32,
    /// With tags, only reads that ask for one of them may go there.
    pub tags: &'a [String],
    /// The zone that it is in; `None`: unknown, and so not lagwise's own.
    pub zone: Option<&'a str>,
    /// Its place in the list of which the picture before was made; `None`: it was not in it.
    pub was: Option<usize>,
}

/// What one read asks of a replica beyond being fit for reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish<'a> {
    /// Only replicas with this tag; without one, only those that have none.
    pub tag: Option<&'a str>,
    /// In the place of [`RoutingPolicy::max_lag`], less or more.
    pub max_lag: Option<Duration>,
}

/// Why a replica gets no reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excluded {
    /// It is taken out for maintenance.
    Drained,
    /// It is not up.
    Health(Health),
    /// Its last good probe is too long ago.
    ProbeTooOld,
    /// Its lag is unknown.
    LagUnknown(NoLag),
    /// It is at least this far behind, with no upper bound.
    LagUnbounded(Duration),
    /// It lags more than `max_lag`.
    OverMaxLag(Duration),
    /// It lagged more than `max_lag`, and is not yet below it by as much as it takes to come back.
    StillLate(Duration),
    /// It has transactions that the primary lacks, so its data is not the primary's.
    Errant,
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Excluded::Drained => f.write_str("drained"),
            Excluded::Health(health) => write!(f, "{health}"),
            Excluded::ProbeTooOld => f.write_str("its last good probe is too old"),
            Excluded::LagUnknown(reason) => write!(f, "lag unknown: {}", reason.as_str()),
            Excluded::LagUnbounded(lag) => {
                write!(f, "lags {:.3}s at least", lag.as_secs_f64())
            }
            Excluded::OverMaxLag(lag) => {
                write!(f, "lags {:.3}s, more than max_lag", lag.as_secs_f64())
            }
            Excluded::StillLate(lag) => {
                let lag = lag.as_secs_f64();
                write!(f, "lags {lag:.3}s; it was over max_lag, and is back at 4/5 of that")
            }
            Excluded::Errant => f.write_str("has transactions that the primary lacks"),
        }
    }
}

/// A replica that may take reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its place in the list that [`eligible`] was given.
    pub index: usize,
    /// Its lag.
    pub lag: Duration,
    /// Its share among equals, at least 1: only comparable with that of others in the same picture.
    pub weight: u32,
}

impl Candidate {
    fn is_within(&self, max_lag: Option<Duration>) -> bool {
        max_lag.is_none_or(|max_lag| self.lag <= max_lag)
    }
}

/// The result of [`eligible`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    /// The group without a tag, then one for each tag that a replica has.
    groups: Vec<Group>,
    /// For each replica.
    standings: Vec<Standing>,
    /// That of the policy which it was worked out by.
    max_lag: Duration,
}

impl Candidates {
    /// The group for reads that ask for `tag`; `None` when no replica has it.
    pub fn group(&self, tag: Option<&str>) -> Option<&Group> {
        self.groups.iter().find(|group| group.tag.as_deref() == tag)
    }

    /// Why the replica at `index` gets no reads; `None` when it does.
    pub fn excluded(&self, index: usize) -> Option<Excluded> {
        self.standings.get(index).and_then(|standing| standing.excluded)
    }

    /// For each replica, whether it was among the best of the group with this tag.
    fn best_of(&self, tag: Option<&str>) -> Vec<bool> {
        let mut best = vec![false; self.standings.len()];
        for candidate in self.group(tag).into_iter().flat_map(Group::best) {
            if let Some(is_best) = best.get_mut(candidate.index) {
                *is_best = true;
            }
        }
        best
    }
}

/// Works out which replicas may take reads at `now`; `old` is the picture before, an empty one when
/// lagwise starts.
pub fn eligible(
    replicas: &[ReplicaView<'_>],
    old: &Candidates,
    policy: &RoutingPolicy,
    now: Instant,
) -> Candidates {
    let mut groups = vec![Group::default()];
    for tag in replicas.iter().flat_map(|replica| replica.tags) {
        if !groups.iter().any(|group| group.tag.as_deref() == Some(tag.as_str())) {
            groups.push(Group { tag: Some(tag.as_str().into()), ..Group::default() });
        }
    }
    let is_beginning = old.standings.is_empty();
    // What was over another limit was not over this one.
    let same_limit = old.max_lag == policy.max_lag;
    let mut standings = Vec::with_capacity(replicas.len());
    for (index, replica) in replicas.iter().enumerate() {
        let before = replica.was.and_then(|was| old.standings.get(was));
        let was_late = same_limit && before.is_some_and(Standing::was_late);
        let verdict = judge(replica, was_late, policy, now);
        let standing = Standing::next(before, is_beginning, verdict.err(), policy.slow_start, now);
        standings.push(standing);
        let (Ok(lag) | Err(Excluded::OverMaxLag(lag) | Excluded::StillLate(lag))) = verdict else {
            continue;
        };
        let weight = replica.weight.max(1).saturating_mul(standing.share());
        let candidate = Candidate { index, lag, weight };
        for group in &mut groups {
            let wanted = match &group.tag {
                Some(tag) => replica.tags.iter().any(|own| **own == **tag),
                None => replica.tags.is_empty(),
            };
            if wanted {
                let list = if verdict.is_ok() { &mut group.members } else { &mut group.late };
                list.push(candidate);
            }
        }
    }
    let view = |index: usize| replicas.get(index);
    for group in &mut groups {
        let best = old.best_of(group.tag.as_deref());
        let was_best =
            |index| view(index).and_then(|replica| best.get(replica.was?)) == Some(&true);
        let is_near = |index| view(index).is_some_and(|replica| policy.is_near(replica));
        let share = |index: usize| standings.get(index).map_or(standing::WHOLE, Standing::share);
        group.find_best(policy.late_may_serve, |index| policy.tolerance(was_best(index)));
        group.prefer_near(is_near, share);
    }
    Candidates { groups, standings, max_lag: policy.max_lag }
}

/// The lag of a replica that is good enough by itself, or why it is not.
fn judge(
    replica: &ReplicaView<'_>,
    was_late: bool,
    policy: &RoutingPolicy,
    now: Instant,
) -> Result<Duration, Excluded> {
    if replica.is_drained {
        return Err(Excluded::Drained);
    }
    if !replica.health.serves_reads() {
        return Err(Excluded::Health(replica.health));
    }
    let age = replica.probed_at.map(|probed_at| now.saturating_duration_since(probed_at));
    if age.is_none_or(|age| age > policy.fresh_for) {
        return Err(Excluded::ProbeTooOld);
    }
    if replica.errant {
        return Err(Excluded::Errant);
    }
    match replica.lag {
        Lag::Known { lag, .. } | Lag::Estimated(lag) if lag > policy.max_lag => {
            Err(Excluded::OverMaxLag(lag))
        }
        Lag::Known { lag, .. } | Lag::Estimated(lag)
            if was_late && lag > policy.max_lag_to_return() =>
        {
            Err(Excluded::StillLate(lag))
        }
        Lag::Known { lag, .. } | Lag::Estimated(lag) => Ok(lag),
        Lag::AtLeast(lag) => Err(Excluded::LagUnbounded(lag)),
        Lag::Unknown(reason) => Err(Excluded::LagUnknown(reason)),
    }
}

#[cfg(test)]
mod tests;
