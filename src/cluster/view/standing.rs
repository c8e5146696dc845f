//! What is remembered of a replica from one picture to the next.
//!
//! A replica that has been away has cold caches, and nothing to do: it would be given all new reads at
//! once. So its share of them grows over a time, from a small part to the whole. Nothing is held back
//! from it that no other could take, because shares only say how equals compare.
//!
//! ```text
//!  lagwise starts ──► Fresh ── takes reads ──► Whole ◄── slow_start is over ── Growing
//!  a reload adds it ──► Cold ── takes reads ──► Growing
//!  Fresh ── down ──► Cold
//!  Whole, Growing ── away in earnest ──► Cold
//! ```

use std::time::{Duration, Instant};

use super::Excluded;
use crate::cluster::health::Health;
use crate::cluster::lag::NoLag;

/// The whole share of a replica.
pub const WHOLE: u32 = 256;

/// The share of a replica with which it begins.
const FIRST: u32 = 16;

/// One replica in one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Why it gets no reads; `None` when it does.
    pub excluded: Option<Excluded>,
    warmth: Warmth,
}

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Warmth {
    /// It was there when lagwise started, and has not taken reads of it yet. That says nothing of
    /// the replica.
    Fresh,
    /// It gets its whole share.
    Whole,
    /// It was away, or is new.
    Cold,
    /// It has taken reads since then, and gets this share of its weight, less than [`WHOLE`].
    Growing { since: Instant, share: u32 },
}

impl Standing {
    /// What comes of the standing `before` (`None`: it is new; at the beginning, all are) when the
    /// replica is `excluded` now, or not.
    pub fn next(
        before: Option<&Standing>,
        is_beginning: bool,
        excluded: Option<Excluded>,
        slow_start: Duration,
        now: Instant,
    ) -> Standing {
        let first = if is_beginning { Warmth::Fresh } else { Warmth::Cold };
        let before = before.map_or(first, |standing| standing.warmth);
        let warmth = match (excluded, before) {
            (Some(excluded), before) if is_in_earnest(excluded, before) => Warmth::Cold,
            (Some(_), before) => before,
            (None, Warmth::Fresh | Warmth::Whole) => Warmth::Whole,
            (None, Warmth::Cold) => growing(now, slow_start, now),
            (None, Warmth::Growing { since, .. }) => growing(since, slow_start, now),
        };
        Standing { excluded, warmth }
    }

    /// It lags more than `max_lag`, or did and has not caught up enough since.
    pub fn was_late(&self) -> bool {
        matches!(self.excluded, Some(Excluded::OverMaxLag(_) | Excluded::StillLate(_)))
    }

    /// By what its weight is to be multiplied: 1 to [`WHOLE`].
    pub fn share(&self) -> u32 {
        match self.warmth {
            Warmth::Growing { share, .. } => share,
            // One that is excluded, and serves for want of a better one, is held back by nothing.
            Warmth::Fresh | Warmth::Whole | Warmth::Cold => WHOLE,
        }
    }
}

/// The share of a replica that has taken reads again `since` then.
fn growing(since: Instant, slow_start: Duration, now: Instant) -> Warmth {
    let elapsed = now.saturating_duration_since(since);
    if elapsed >= slow_start {
        return Warmth::Whole;
    }
    let grown = u128::from(WHOLE - FIRST) * elapsed.as_nanos() / slow_start.as_nanos().max(1);
    // Below WHOLE, as less than slow_start has elapsed.
    Warmth::Growing { since, share: FIRST + u32::try_from(grown).unwrap_or(0) }
}

/// Whether the replica was away, and not only out of sight for a moment: one failed probe, a monitor
/// that came late, or a primary that was not looked at yet make nothing cold.
fn is_in_earnest(excluded: Excluded, before: Warmth) -> bool {
    match excluded {
        Excluded::Health(Health::Down) | Excluded::Drained => true,
        // Before lagwise knows its way about, nothing else is news of the replica.
        _ if before == Warmth::Fresh => false,
        Excluded::Health(Health::Starting | Health::Suspect | Health::Up)
        | Excluded::ProbeTooOld
        | Excluded::LagUnknown(NoLag::PrimaryNotSampled | NoLag::ReplicaNotProbed) => false,
        Excluded::Health(Health::Denied)
        | Excluded::LagUnknown(
            NoLag::ReplicaHasNoPosition
            | NoLag::Unrelated
            | NoLag::ChannelNotRunning
            | NoLag::OtherSource,
        )
        | Excluded::LagUnbounded(_)
        | Excluded::OverMaxLag(_)
        | Excluded::StillLate(_)
        | Excluded::Errant => true,
    }
}
