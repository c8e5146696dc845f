//! The replicas for one kind of read, and the choice among them.
//!
//! Sessions choose at every read, so whatever can be worked out ahead is: what is left is to compare
//! a few numbers.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use super::Candidate;

/// How many members of a large group are compared for one choice. More would make the choice
/// slower and hardly better.
const MAX_COMPARED: usize = 8;

/// The replicas for the reads of one tag, or for those without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// `None`: reads that ask for no tag.
    pub tag: Option<Arc<str>>,
    /// The least lagged and their equals, those in lagwise's own zone only where there are such; empty
    /// only when no replica of the group may take reads.
    pub members: Vec<Candidate>,
    /// Equals of the members in other zones. For when no member will do.
    pub far: Vec<Candidate>,
    /// Within `max_lag`, but not among the best; least lagged first. For a second try.
    pub spare: Vec<Candidate>,
    /// Fit but for a known lag over `max_lag`; least lagged first. For reads that allow more.
    pub late: Vec<Candidate>,
    /// All replicas of the group are late, and serve nevertheless: what would be in `late` is in the
    /// other lists.
    pub is_makeshift: bool,
}

impl Group {
    /// Picks a replica that `accept`s, by its index: among the best the one with the fewest
    /// outstanding queries for its weight, ties at random by weight; then in the same way from other
    /// zones; then from the spare ones the least lagged. `max_lag` is that of the
    /// [`Wish`](super::Wish); `random` is any random number; `outstanding` tells a replica's load.
    pub fn choose(
        &self,
        max_lag: Option<Duration>,
        random: u64,
        outstanding: impl Fn(usize) -> u32,
        accept: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let fits = |candidate: &&Candidate| candidate.is_within(max_lag) && accept(candidate.index);
        least_loaded(&self.members, random, &outstanding, &fits)
            .or_else(|| least_loaded(&self.far, random, &outstanding, &fits))
            .or_else(|| self.others(max_lag).find(|candidate| accept(candidate.index)))
            .map(|candidate| candidate.index)
    }

    /// Whether a session that reads from the replica at `index` may as well stay there: it is among
    /// the best (and in lagwise's own zone, if one of these is), or no other is good enough for reads
    /// that do not allow more lag.
    pub fn keeps(&self, index: usize, max_lag: Option<Duration>) -> bool {
        let is_it =
            |candidate: &Candidate| candidate.index == index && candidate.is_within(max_lag);
        self.members.iter().any(is_it)
            || self.members.is_empty() && self.late.iter().any(|c| max_lag.is_some() && is_it(c))
    }

    /// Whether the replica at `index` is good enough.
    pub fn allows(&self, index: usize, max_lag: Option<Duration>) -> bool {
        let best = self.best().filter(|candidate| candidate.is_within(max_lag));
        best.chain(self.others(max_lag)).any(|candidate| candidate.index == index)
    }

    /// The least lagged and their equals in all zones.
    pub(super) fn best(&self) -> impl Iterator<Item = &Candidate> {
        self.members.iter().chain(&self.far)
    }

    /// Good enough, but not among the best.
    fn others(&self, max_lag: Option<Duration>) -> impl Iterator<Item = &Candidate> {
        let late = self.late.iter().filter(move |_| max_lag.is_some());
        self.spare.iter().chain(late).filter(move |candidate| candidate.is_within(max_lag))
    }

    /// Leaves among the members those that lag at most `tolerance`, which may differ from replica to
    /// replica, more than the least lagged. If there are none, and `late_may_serve`, the late ones
    /// stand in for them.
    pub(super) fn find_best(
        &mut self,
        late_may_serve: bool,
        tolerance: impl Fn(usize) -> Duration,
    ) {
        self.late.sort_by_key(|candidate| candidate.lag);
        if late_may_serve && self.members.is_empty() && !self.late.is_empty() {
            self.members = std::mem::take(&mut self.late);
            self.is_makeshift = true;
        }
        self.members.sort_by_key(|candidate| candidate.lag);
        let least = self.members.first().map(|candidate| candidate.lag).unwrap_or_default();
        let is_best = |candidate: &Candidate| {
            candidate.lag <= least.saturating_add(tolerance(candidate.index))
        };
        (self.members, self.spare) = self.members.iter().copied().partition(is_best);
    }

    /// Leaves among the members those that are near, if any is.
    ///
    /// While all near ones have less than their whole `share`, others that have more of theirs help
    /// out: a zone often has one replica only, and that one is not to be flooded either. They get what
    /// the near ones are spared, so that reads come home bit by bit.
    pub(super) fn prefer_near(
        &mut self,
        is_near: impl Fn(usize) -> bool,
        share: impl Fn(usize) -> u32,
    ) {
        let (near, far): (Vec<_>, Vec<_>) =
            self.members.iter().copied().partition(|candidate| is_near(candidate.index));
        if near.is_empty() || far.is_empty() {
            return;
        }
        let most = |list: &[Candidate]| list.iter().map(|it| share(it.index)).max().unwrap_or(1);
        let sum = |list: &[Candidate]| list.iter().map(|it| u64::from(it.weight)).sum::<u64>();
        let [near_share, far_share] = [&near, &far].map(|list| u64::from(most(list).max(1)));
        let (near_weight, far_weight) = (sum(&near), sum(&far).max(1));
        (self.members, self.far) = (near, far);
        if far_share <= near_share {
            return;
        }
        // Those near are to get `near_share` of `far_share` parts, and those far the others.
        let rest = near_weight * (far_share - near_share) / near_share;
        let scaled = |candidate: Candidate| {
            let weight = u64::from(candidate.weight) * rest / far_weight;
            Candidate { weight: u32::try_from(weight).unwrap_or(u32::MAX).max(1), ..candidate }
        };
        self.members.extend(std::mem::take(&mut self.far).into_iter().map(scaled));
    }
}

/// The one with the fewest outstanding queries for its weight of those that fit, ties at random by
/// weight.
fn least_loaded<'a>(
    list: &'a [Candidate],
    mut random: u64,
    outstanding: &impl Fn(usize) -> u32,
    fits: &impl Fn(&&'a Candidate) -> bool,
) -> Option<&'a Candidate> {
    let start = usize::try_from(random % list.len().max(1) as u64).unwrap_or(0);
    let around = list.iter().cycle().skip(start).take(list.len());
    let mut best: Option<(u64, &Candidate)> = None;
    let mut tied_weight = 0_u64;
    for candidate in around.filter(fits).take(MAX_COMPARED) {
        let load = u64::from(outstanding(candidate.index));
        let weight = u64::from(candidate.weight);
        // load / weight, compared without division.
        let order = best
            .map(|(best_load, best)| (load * u64::from(best.weight)).cmp(&(best_load * weight)));
        match order {
            Some(Ordering::Greater) => {}
            Some(Ordering::Equal) => {
                tied_weight += weight;
                random = next_random(random);
                if random % tied_weight < weight {
                    best = Some((load, candidate));
                }
            }
            None | Some(Ordering::Less) => {
                tied_weight = weight;
                best = Some((load, candidate));
            }
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The next number of a sequence (splitmix64), so that one random number does for several ties.
pub(super) fn next_random(seed: u64) -> u64 {
    let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
