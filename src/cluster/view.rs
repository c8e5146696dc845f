//! Which replicas may take reads now, and the choice among them.
//!
//! [`eligible`] is worked out once after each observation of a monitor, so that a session only
//! looks at the result. Every replica that is left out has its reason.
//!
//! Deliberately absent: what one session needs on top (a position of its own). It is passed to
//! [`Group::choose`] as a filter.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::health::Health;
use super::lag::{Lag, NoLag};

/// How many members of a large group are compared for one choice. More would make the choice
/// slower and hardly better.
const MAX_COMPARED: usize = 8;

/// What makes a replica good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutingPolicy {
    /// A replica that lags more gets no reads.
    pub max_lag: Duration,
    /// Replicas that lag at most this much more than the least lagged count as equally good.
    pub lag_tolerance: Duration,
    /// A replica whose last good probe is older than this gets no reads.
    pub fresh_for: Duration,
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
    /// Its share among equals, at least 1.
    pub weight: u32,
    /// With tags, only reads that ask for one of them may go there.
    pub tags: &'a [String],
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
    /// It has transactions that the primary lacks, so its data is not the primary's.
    Errant,
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Excluded::Health(health) => write!(f, "{health}"),
            Excluded::ProbeTooOld => f.write_str("its last good probe is too old"),
            Excluded::LagUnknown(reason) => write!(f, "lag unknown: {}", reason.as_str()),
            Excluded::LagUnbounded(lag) => {
                write!(f, "lags {:.3}s at least", lag.as_secs_f64())
            }
            Excluded::OverMaxLag(lag) => {
                write!(f, "lags {:.3}s, more than max_lag", lag.as_secs_f64())
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
    /// Its share among equals, at least 1.
    pub weight: u32,
}

impl Candidate {
    fn is_within(&self, max_lag: Option<Duration>) -> bool {
        max_lag.is_none_or(|max_lag| self.lag <= max_lag)
    }
}

/// The replicas for the reads of one tag, or for those without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// `None`: reads that ask for no tag.
    pub tag: Option<Arc<str>>,
    /// The least lagged and their equals; empty only when no replica of the group may take reads.
    pub members: Vec<Candidate>,
    /// Within `max_lag`, but not among the best; least lagged first. For a second try.
    pub spare: Vec<Candidate>,
    /// Fit but for a known lag over `max_lag`; least lagged first. For reads that allow more.
    pub late: Vec<Candidate>,
}

/// The result of [`eligible`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    /// The group without a tag, then one for each tag that a replica has.
    groups: Vec<Group>,
    /// For each replica, why it gets no reads.
    excluded: Vec<Option<Excluded>>,
}

impl Candidates {
    /// The group for reads that ask for `tag`; `None` when no replica has it.
    pub fn group(&self, tag: Option<&str>) -> Option<&Group> {
        self.groups.iter().find(|group| group.tag.as_deref() == tag)
    }

    /// Why the replica at `index` gets no reads; `None` when it does.
    pub fn excluded(&self, index: usize) -> Option<Excluded> {
        self.excluded.get(index).copied().flatten()
    }
}

/// Works out which replicas may take reads at `now`.
pub fn eligible(replicas: &[ReplicaView<'_>], policy: &RoutingPolicy, now: Instant) -> Candidates {
    let mut groups = vec![Group::default()];
    for tag in replicas.iter().flat_map(|replica| replica.tags) {
        if !groups.iter().any(|group| group.tag.as_deref() == Some(tag.as_str())) {
            groups.push(Group { tag: Some(tag.as_str().into()), ..Group::default() });
        }
    }
    let mut excluded = Vec::with_capacity(replicas.len());
    for (index, replica) in replicas.iter().enumerate() {
        let verdict = judge(replica, policy, now);
        excluded.push(verdict.err());
        let (Ok(lag) | Err(Excluded::OverMaxLag(lag))) = verdict else { continue };
        let candidate = Candidate { index, lag, weight: replica.weight.max(1) };
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
    for group in &mut groups {
        let best = group.members.iter().map(|candidate| candidate.lag).min().unwrap_or_default();
        let limit = best.saturating_add(policy.lag_tolerance);
        group.members.sort_by_key(|candidate| candidate.lag);
        let equals = group.members.partition_point(|candidate| candidate.lag <= limit);
        group.spare = group.members.split_off(equals);
        group.late.sort_by_key(|candidate| candidate.lag);
    }
    Candidates { groups, excluded }
}

/// The lag of a replica that is good enough by itself, or why it is not.
fn judge(
    replica: &ReplicaView<'_>,
    policy: &RoutingPolicy,
    now: Instant,
) -> Result<Duration, Excluded> {
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
        Lag::Known { lag, .. } | Lag::Estimated(lag) if lag <= policy.max_lag => Ok(lag),
        Lag::Known { lag, .. } | Lag::Estimated(lag) => Err(Excluded::OverMaxLag(lag)),
        Lag::AtLeast(lag) => Err(Excluded::LagUnbounded(lag)),
        Lag::Unknown(reason) => Err(Excluded::LagUnknown(reason)),
    }
}

impl Group {
    /// Picks a replica that `accept`s, by its index: among the best the one with the fewest
    /// outstanding queries for its weight, ties at random by weight; then from the spare ones the
    /// least lagged. `max_lag` is that of the [`Wish`]; `random` is any random number; `outstanding`
    /// tells a replica's load.
    pub fn choose(
        &self,
        max_lag: Option<Duration>,
        random: u64,
        outstanding: impl Fn(usize) -> u32,
        accept: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let count = self.members.len();
        let start = usize::try_from(random % count.max(1) as u64).unwrap_or(0);
        let accepted = self
            .members
            .iter()
            .cycle()
            .skip(start)
            .take(count)
            .filter(|candidate| candidate.is_within(max_lag) && accept(candidate.index))
            .take(MAX_COMPARED);
        let mut best: Option<(u64, &Candidate)> = None;
        let (mut tied_weight, mut random) = (0_u64, random);
        for candidate in accepted {
            let load = u64::from(outstanding(candidate.index));
            let weight = u64::from(candidate.weight);
            // load / weight, compared without division.
            let order = best.map(|(best_load, best)| {
                (load * u64::from(best.weight)).cmp(&(best_load * weight))
            });
            match order {
                Some(std::cmp::Ordering::Greater) => {}
                Some(std::cmp::Ordering::Equal) => {
                    tied_weight += weight;
                    random = next_random(random);
                    if random % tied_weight < weight {
                        best = Some((load, candidate));
                    }
                }
                None | Some(std::cmp::Ordering::Less) => {
                    tied_weight = weight;
                    best = Some((load, candidate));
                }
            }
        }
        best.map(|(_, candidate)| candidate)
            .or_else(|| self.others(max_lag).find(|candidate| accept(candidate.index)))
            .map(|candidate| candidate.index)
    }

    /// Whether a session that reads from the replica at `index` may as well stay there: it is among
    /// the best, or no other is good enough for reads that do not allow more lag.
    pub fn keeps(&self, index: usize, max_lag: Option<Duration>) -> bool {
        let is_it =
            |candidate: &Candidate| candidate.index == index && candidate.is_within(max_lag);
        self.members.iter().any(is_it)
            || self.members.is_empty() && self.late.iter().any(|c| max_lag.is_some() && is_it(c))
    }

    /// Whether the replica at `index` is good enough.
    pub fn allows(&self, index: usize, max_lag: Option<Duration>) -> bool {
        let members = self.members.iter().filter(|candidate| candidate.is_within(max_lag));
        members.chain(self.others(max_lag)).any(|candidate| candidate.index == index)
    }

    /// Good enough, but not among the best.
    fn others(&self, max_lag: Option<Duration>) -> impl Iterator<Item = &Candidate> {
        let late = self.late.iter().filter(move |_| max_lag.is_some());
        self.spare.iter().chain(late).filter(move |candidate| candidate.is_within(max_lag))
    }
}

/// The next number of a sequence (splitmix64), so that one random number does for several ties.
fn next_random(seed: u64) -> u64 {
    let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
