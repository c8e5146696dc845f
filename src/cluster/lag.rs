//! Replica lag, measured from positions.
//!
//! `Seconds_Behind_Source` counts in whole seconds, trusts the clocks of two machines, and reads 0
//! while a silently stalled network holds transactions back. [`LagClock`] needs none of that: it
//! remembers when the primary was first seen at each position, by lagwise's own monotonic clock.
//! A replica's lag is the time since the oldest of those positions that it has not reached. An idle
//! primary gives 0, however long ago its last transaction was.
//!
//! How exact: a transaction is at most one check interval older than the first sample that holds
//! it, so the reported lag is at most one interval too small, and never smaller than the time since
//! that sample. Where the clock has to choose (a gap between samples, samples merged to save
//! memory) it reports too much rather than too little. While the primary lives but cannot be
//! sampled, every lag is at least the age of the last sample: nobody knows what was committed
//! since, but it cannot be older than that.
//!
//! Deliberately absent: any idea of wall-clock time, and I/O.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::position::Position;

/// Most samples kept. Enough for an hour of lag in steps of 250 ms with an error under 5%, and
/// for days with a slightly larger one.
const MAX_SAMPLES: usize = 512;
/// Most memory for samples, in bytes: GTID sets can be long.
const MAX_WEIGHT: usize = 16 << 20;

/// How far a replica is behind its primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// Measured: this old is the oldest transaction that the replica has not applied; zero when it
    /// has applied everything that the primary had at the last sample.
    Known {
        /// Time since the primary was first seen with a transaction that the replica lacks.
        lag: Duration,
        /// The primary is lost, and this is what the lag was when that was found (less what the
        /// replica has applied since). Nobody can write meanwhile, so reads may go on.
        frozen: bool,
    },
    /// What the replica says of itself, by `Seconds_Behind_Source`, made an upper bound as far as that
    /// can be trusted: see [`super::channels`].
    Estimated(Duration),
    /// The replica lacks transactions that were there before the first sample. It is at least this
    /// far behind, and may be behind by any more: as bad as unknown.
    AtLeast(Duration),
    /// Nothing is known.
    Unknown(NoLag),
}

/// Why a lag is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoLag {
    /// No probe of the replica has told its position (yet, or since it was last down).
    ReplicaNotProbed,
    /// The replica answers, but has no position that could be compared, and why is in its status:
    /// GTIDs are off, and the monitor may not ask for coordinates, say.
    ReplicaHasNoPosition,
    /// The primary's position has never been read.
    PrimaryNotSampled,
    /// Replica and primary are not of the same make, or one has GTIDs and the other has not.
    Unrelated,
    /// There is no position to compare, and the replica cannot say how late it is: a channel's
    /// receiver or applier does not run, or the server that it replicates from does not know either.
    ChannelNotRunning,
    /// There is no position to compare, and the replica replicates from none of these servers.
    OtherSource,
}

impl Lag {
    /// Every form by its name, as [`Lag::form`] says it.
    pub const FORMS: &'static [&'static str] =
        &["measured", "frozen", "estimated", "at_least", "unknown"];

    /// What kind of knowledge it is, for metrics; one of [`Lag::FORMS`].
    pub fn form(self) -> &'static str {
        match self {
            Lag::Known { frozen: false, .. } => "measured",
            Lag::Known { frozen: true, .. } => "frozen",
            Lag::Estimated(_) => "estimated",
            Lag::AtLeast(_) => "at_least",
            Lag::Unknown(_) => "unknown",
        }
    }

    /// The measured or estimated lag; `None` when there is no upper bound. The only form that may be compared
    /// with a limit: an unknown lag is never good news.
    pub fn known(self) -> Option<Duration> {
        match self {
            Lag::Known { lag, .. } | Lag::Estimated(lag) => Some(lag),
            Lag::AtLeast(_) | Lag::Unknown(_) => None,
        }
    }
}

impl NoLag {
    /// A phrase for logs and status pages.
    pub fn as_str(self) -> &'static str {
        match self {
            NoLag::ReplicaNotProbed => "the replica has not been probed",
            NoLag::ReplicaHasNoPosition => "the replica has no position",
            NoLag::PrimaryNotSampled => "the primary's position has not been read",
            NoLag::Unrelated => "the positions of replica and primary cannot be compared",
            NoLag::ChannelNotRunning => "a replication channel does not run",
            NoLag::OtherSource => "it replicates from none of these servers",
        }
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lag::Known { lag, frozen: false } => write!(f, "{:.3}s", lag.as_secs_f64()),
            Lag::Known { lag, frozen: true } => write!(f, "{:.3}s (frozen)", lag.as_secs_f64()),
            Lag::Estimated(lag) => write!(f, "{:.3}s (estimated)", lag.as_secs_f64()),
            Lag::AtLeast(lag) => write!(f, "at least {:.3}s", lag.as_secs_f64()),
            Lag::Unknown(reason) => write!(f, "unknown: {}", reason.as_str()),
        }
    }
}

/// What one sample of the primary told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampled {
    /// The first one: replicas that lack any of it are behind by an unknown time.
    First,
    /// The position of the last sample.
    Unchanged,
    /// Transactions were committed since.
    Advanced,
    /// The primary lacks transactions that it had: it was reset, restored, or is another server.
    /// What was known is forgotten, and this counts as the first sample.
    Restarted,
    /// Older than the last sample; not used.
    OutOfOrder,
}

/// A position of the primary, and the earliest moment at which its newest transactions can have
/// been committed, give or take one interval.
#[derive(Debug)]
struct Sample {
    since: Instant,
    position: Arc<Position>,
}

/// The primary's recent positions; see the module's documentation.
#[derive(Debug)]
pub struct LagClock {
    /// Each position holds more than the one before, and `since` never falls.
    samples: VecDeque<Sample>,
    /// When the last position was last confirmed.
    confirmed_at: Option<Instant>,
    /// When the primary was found lost; no lag grows beyond that moment.
    frozen_at: Option<Instant>,
    /// How old the last sample may be before its age counts.
    fresh_for: Duration,
    max_samples: usize,
    max_weight: usize,
    weight: usize,
}

impl LagClock {
    /// A clock without samples. `fresh_for` is how long one sample stands for the present: a few
    /// check intervals and a probe's deadline.
    pub fn new(fresh_for: Duration) -> LagClock {
        LagClock::bounded(fresh_for, MAX_SAMPLES, MAX_WEIGHT)
    }

    fn bounded(fresh_for: Duration, max_samples: usize, max_weight: usize) -> LagClock {
        LagClock {
            samples: VecDeque::new(),
            confirmed_at: None,
            frozen_at: None,
            fresh_for,
            max_samples,
            max_weight,
            weight: 0,
        }
    }

    /// Changes how long one sample is good for, after a reload.
    pub fn set_fresh_for(&mut self, fresh_for: Duration) {
        self.fresh_for = fresh_for;
    }

    /// Forgets everything: another server is the primary now.
    pub fn reset(&mut self) {
        self.samples.clear();
        self.weight = 0;
        self.confirmed_at = None;
        self.frozen_at = None;
    }

    /// The primary's last position, and when it was last confirmed.
    pub fn newest(&self) -> Option<(&Arc<Position>, Instant)> {
        Some((&self.samples.back()?.position, self.confirmed_at?))
    }

    /// Takes in a position of the primary. `sent_at` is when the question was *sent*: the answer
    /// may be as old as that, and a lag that starts there is never too small.
    pub fn sample(&mut self, sent_at: Instant, position: Arc<Position>) -> Sampled {
        let (Some(last), Some(confirmed_at)) = (self.samples.back(), self.confirmed_at) else {
            self.begin(sent_at, position);
            return Sampled::First;
        };
        if sent_at < confirmed_at {
            return Sampled::OutOfOrder;
        }
        if !position.contains(&last.position) {
            self.begin(sent_at, position);
            return Sampled::Restarted;
        }
        let unchanged = *position == *last.position;
        self.frozen_at = None;
        self.confirmed_at = Some(sent_at);
        if unchanged {
            return Sampled::Unchanged;
        }
        // After a gap the new transactions may have been committed at any time within it.
        let gap = sent_at.saturating_duration_since(confirmed_at);
        let since = if gap > self.fresh_for { confirmed_at } else { sent_at };
        self.push(since, position);
        while self.samples.len() > self.max_samples || self.weight > self.max_weight {
            if !self.merge_cheapest(sent_at) {
                break;
            }
        }
        Sampled::Advanced
    }

    /// The primary was found lost: from now on no lag grows, because nothing can be committed.
    /// The next sample ends this, and so does [`LagClock::thaw`].
    pub fn freeze(&mut self, now: Instant) {
        self.frozen_at.get_or_insert(now);
    }

    /// The primary is alive after all, even if its position cannot be read.
    pub fn thaw(&mut self) {
        self.frozen_at = None;
    }

    /// How far a replica that has applied `applied` is behind at `now`. `applied` must have been
    /// read before `now`.
    pub fn lag(&self, now: Instant, applied: &Position) -> Lag {
        let (Some((newest, confirmed_at)), Some(first)) = (self.newest(), self.samples.front())
        else {
            return Lag::Unknown(NoLag::PrimaryNotSampled);
        };
        if !newest.compares_with(applied) {
            return Lag::Unknown(NoLag::Unrelated);
        }
        let frozen = self.frozen_at.is_some();
        // What may have been committed since the last sample, unless that is recent or nobody can.
        let age = now.saturating_duration_since(confirmed_at);
        let unseen = if frozen || age <= self.fresh_for { Duration::ZERO } else { age };
        let now = self.frozen_at.map_or(now, |frozen_at| now.min(frozen_at));
        let behind = |sample: &Sample| now.saturating_duration_since(sample.since).max(unseen);
        // Positions only grow, so what is applied is a prefix.
        let reached = self.samples.partition_point(|sample| applied.contains(&sample.position));
        match self.samples.get(reached) {
            None => Lag::Known { lag: unseen, frozen },
            Some(_) if reached == 0 => Lag::AtLeast(behind(first)),
            Some(oldest_missing) => Lag::Known { lag: behind(oldest_missing), frozen },
        }
    }

    /// Until when a replica that has applied `applied` has everything that the primary had
    /// acknowledged; `None` if it lacks something of the first sample.
    ///
    /// A position that was asked for at some moment holds what was acknowledged before.
    pub fn applied_through(&self, applied: &Position) -> Option<Instant> {
        let newest = self.samples.back()?;
        if applied.contains(&newest.position) {
            return self.confirmed_at;
        }
        let reached = self.samples.partition_point(|sample| applied.contains(&sample.position));
        // Never later than when that sample was asked for.
        Some(self.samples.get(reached.checked_sub(1)?)?.since)
    }

    fn begin(&mut self, sent_at: Instant, position: Arc<Position>) {
        self.reset();
        self.confirmed_at = Some(sent_at);
        self.push(sent_at, position);
    }

    fn push(&mut self, since: Instant, position: Arc<Position>) {
        self.weight += position.weight();
        self.samples.push_back(Sample { since, position });
    }

    /// Merges two neighbours into one that keeps the time of the first and the position of the
    /// second, so that the lag can only come out too large. Of all pairs, the one is taken whose
    /// error is the smallest part of the lag that it concerns: the far past becomes coarse first.
    /// The first sample stays (it divides known from unknown), and so does the newest.
    fn merge_cheapest(&mut self, now: Instant) -> bool {
        let error = |at: usize| -> Option<f64> {
            let (begin, end) = (self.samples.get(at)?.since, self.samples.get(at + 2)?.since);
            let age = now.saturating_duration_since(end) + Duration::from_millis(1);
            Some(end.saturating_duration_since(begin).as_secs_f64() / age.as_secs_f64())
        };
        let pairs = 1..self.samples.len().saturating_sub(2);
        let cheapest = pairs
            .filter_map(|at| Some((at, error(at)?)))
            .min_by(|left, right| left.1.total_cmp(&right.1));
        let Some((at, _)) = cheapest else { return false };
        let Some(earlier) = self.samples.remove(at) else { return false };
        self.weight = self.weight.saturating_sub(earlier.position.weight());
        if let Some(later) = self.samples.get_mut(at) {
            later.since = earlier.since;
        }
        true
    }
}

#[cfg(test)]
mod tests;
