//! When each table was last written, for each group.
//!
//! A fixed number of places, found by hash, each with the latest time of all that fall on it. Two tables on
//! one place count as both written, which is too careful and never wrong; each has two places and the
//! earlier time counts, so that this is rare. Nothing has to be removed (what every replica has is simply
//! long ago), nothing can be too much, and nobody waits for a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::group::Group;

/// Places: half a MiB. With a thousand tables written within the lag of the replicas, one in 4000 others is
/// taken for written.
const PLACES: usize = 1 << 16;

/// See the module's documentation.
#[derive(Debug)]
pub struct Stamps {
    epoch: Instant,
    /// Nanoseconds since `epoch`, rounded up; 0 for never.
    places: Box<[AtomicU64]>,
}

impl Stamps {
    /// Nothing has been written.
    pub fn new(now: Instant) -> Self {
        let places = (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        Self { epoch: now, places }
    }

    /// Something of the group with this hash was written by `now`.
    pub fn write(&self, group: Group, hash: u64, now: Instant) {
        let at = now.saturating_duration_since(self.epoch).as_nanos();
        let at = u64::try_from(at).unwrap_or(u64::MAX).max(1);
        for place in places_of(group, hash).into_iter().filter_map(|at| self.places.get(at)) {
            place.fetch_max(at, Ordering::AcqRel);
        }
    }

    /// When that was last written, or something that shares its places.
    pub fn last(&self, group: Group, hash: u64) -> Option<Instant> {
        let places = places_of(group, hash).into_iter().filter_map(|at| self.places.get(at));
        let at = places.map(|place| place.load(Ordering::Acquire)).min()?;
        (at != 0).then(|| self.epoch + Duration::from_nanos(at))
    }
}

fn places_of(group: Group, hash: u64) -> [usize; 2] {
    let mixed = (group.hash() ^ hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    [mixed >> 48, mixed >> 16].map(|bits| bits as usize % PLACES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_time_is_remembered_for_each_group() {
        let start = Instant::now();
        let stamps = Stamps::new(start);
        let (one, other) = (Group::of_user(b"a"), Group::of_user(b"b"));
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(stamps.last(one, 7), None);
        stamps.write(one, 7, at(5));
        stamps.write(one, 7, at(3));
        assert_eq!((stamps.last(one, 7), stamps.last(other, 7)), (Some(at(5)), None));
        stamps.write(other, 7, start);
        assert!(stamps.last(other, 7).is_some(), "at once is not never");
    }

    /// Never too early, and seldom too late.
    #[test]
    fn collisions_are_rare_and_careful() {
        let start = Instant::now();
        let stamps = Stamps::new(start);
        let at = |n: u64| start + Duration::from_millis(n);
        for n in 1..1000 {
            stamps.write(Group::ALL, n * 0x1234_5677, at(n));
        }
        let mut late = 0;
        for n in 1..1000 {
            let last = stamps.last(Group::ALL, n * 0x1234_5677).unwrap();
            assert!(last >= at(n));
            late += usize::from(last > at(n));
        }
        let taken = (1000..101_000).filter(|n| stamps.last(Group::ALL, n * 0x1234_5677).is_some());
        let taken = taken.count();
        assert!(late < 5 && taken < 300, "{late} of 1000, {taken} of 100 000");
    }
}
