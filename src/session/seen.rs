//! What the session has read, so that it is never shown an older state.
//!
//! The last read says it all, as none before saw more. On the same replica the next one sees no less,
//! and nothing has to be known. Elsewhere it does once a sample of the primary, or one of that replica,
//! was asked for later than the read ended. Pure.

use std::time::{Duration, Instant};

use crate::cluster::{Floor, MemberId};

/// A session that is kept on the primary by its own reads alone waits for a replica after this long:
/// each further read there moves what a replica must have, so that one that never pauses would never
/// come back.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long it waits then, at most, and one whose replica is replaced.
const PATIENT_WAIT: Duration = Duration::from_millis(20);
/// After waits that were in vain it waits less often, down to once in this time.
const MAX_PATIENCE: Duration = Duration::from_secs(10);

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    last: Option<(Place, Instant)>,
    kept: Option<Kept>,
}

/// Where something was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the primary.
    Primary,
    /// On this replica.
    Replica(MemberId),
}

/// Since when reads have stayed on the primary because of those before.
#[derive(Clone, Copy, Debug)]
struct Kept {
    wait_at: Instant,
    patience: Duration,
}

impl Seen {
    /// A read there showed what was there until `at`.
    pub fn read(&mut self, place: Place, at: Instant) {
        self.last = Some((place, at));
        if place != Place::Primary {
            self.kept = None;
        }
    }

    /// Adds to `floor` what a replica must have not to show less.
    pub fn demand(&self, floor: &mut Floor) {
        match self.last {
            None => {}
            Some((Place::Primary, at)) => floor.seen = Some(at),
            Some((Place::Replica(id), at)) => floor.seen_on = Some((id, at)),
        }
    }

    /// Until when the session has read on a replica, if it has read nowhere else since.
    #[inline]
    pub fn on_replica_until(&self) -> Option<Instant> {
        self.last.and_then(|(place, at)| (place != Place::Primary).then_some(at))
    }

    /// A read goes to the primary for nothing but what was read before. Returns how long it may wait
    /// for a replica instead. One whose replica is replaced waits at once: for the others to have what
    /// that had is mostly a matter of asking them, and all its readers would meet on the primary.
    pub fn wait(&mut self, now: Instant) -> Option<Duration> {
        if matches!(self.last, Some((Place::Replica(_), _))) {
            return Some(PATIENT_WAIT);
        }
        let first = Kept { wait_at: now + PATIENCE, patience: PATIENCE };
        let kept = self.kept.get_or_insert(first);
        if now < kept.wait_at {
            return None;
        }
        kept.patience = (kept.patience * 2).min(MAX_PATIENCE);
        kept.wait_at = now + kept.patience;
        Some(PATIENT_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_read_counts() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let demand = |seen: &Seen| {
            let mut floor = Floor::default();
            seen.demand(&mut floor);
            floor
        };
        assert!(demand(&seen).is_empty());
        seen.read(Place::Primary, now);
        assert_eq!(demand(&seen), Floor { seen: Some(now), ..Floor::default() });
        let on = (MemberId(3), now + PATIENCE);
        seen.read(Place::Replica(on.0), on.1);
        assert_eq!(demand(&seen), Floor { seen_on: Some(on), ..Floor::default() });
    }

    #[test]
    fn a_session_that_never_pauses_waits_now_and_then() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let mut waits = Vec::new();
        for ms in 0..2000 {
            let now = start + Duration::from_millis(ms);
            seen.read(Place::Primary, now);
            if seen.wait(now).is_some() {
                waits.push(ms);
            }
        }
        assert_eq!(waits, [100, 300, 700, 1500]);
        seen.read(Place::Replica(MemberId(1)), start);
        assert!(seen.wait(start).is_some(), "its replica is replaced");
        let later = start + Duration::from_secs(60);
        seen.read(Place::Primary, later);
        assert!(seen.wait(later).is_none(), "it begins anew");
    }
}
