//! Logins that were broken off, by where they came from: `max_connect_errors`.
//!
//! As MySQL counts them: a connection that ends, is too slow, or says what is no login, before the client
//! has done its part. Wrong passwords are another matter ([`super::guesses`]). A login that succeeds
//! resets the count. Other than in MySQL nobody is locked out for ever: `unblock_after` the last of them
//! all are forgotten.
//!
//! Pure: time is an argument. Bounded: who failed longest ago makes room.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::guesses::Origin;

/// Addresses that are remembered.
const MAX_ADDRESSES: usize = 10_000;

#[derive(Debug)]
struct Broken {
    count: u32,
    last: Instant,
}

/// Logins that were broken off.
#[derive(Debug, Default)]
pub struct ConnectErrors(Mutex<HashMap<Origin, Broken>>);

impl ConnectErrors {
    /// Whether an address has broken off `max` logins; 0: it never has.
    pub fn is_blocked(&self, origin: Origin, max: u32, memory: Duration, now: Instant) -> bool {
        if max == 0 {
            return false;
        }
        let mut all = self.all();
        let Some(broken) = all.get(&origin) else { return false };
        if now.saturating_duration_since(broken.last) >= memory {
            all.remove(&origin);
            return false;
        }
        broken.count >= max
    }

    /// A login was broken off.
    pub fn broken_off(&self, origin: Origin, memory: Duration, now: Instant) {
        let mut all = self.all();
        if all.len() >= MAX_ADDRESSES && !all.contains_key(&origin) {
            let oldest = all.iter().min_by_key(|(_, broken)| broken.last);
            let oldest = oldest.map(|(origin, _)| *origin);
            oldest.and_then(|origin| all.remove(&origin));
        }
        let broken = all.entry(origin).or_insert(Broken { count: 0, last: now });
        if now.saturating_duration_since(broken.last) >= memory {
            broken.count = 0;
        }
        broken.count = broken.count.saturating_add(1);
        broken.last = now;
    }

    /// A login succeeded.
    pub fn succeeded(&self, origin: Origin) {
        self.all().remove(&origin);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Origin, Broken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Duration = Duration::from_secs(60);

    fn origin(index: u32) -> Origin {
        Origin::of(Some(index.to_be_bytes().into()))
    }

    #[test]
    fn an_address_is_blocked_for_a_while() {
        let (errors, start) = (ConnectErrors::default(), Instant::now());
        let is_blocked = |index, at| errors.is_blocked(origin(index), 3, MEMORY, start + at);
        for _ in 0..3 {
            assert!(!is_blocked(1, Duration::ZERO));
            errors.broken_off(origin(1), MEMORY, start);
        }
        assert!(is_blocked(1, Duration::ZERO));
        assert!(!is_blocked(2, Duration::ZERO), "another address");
        assert!(!errors.is_blocked(origin(1), 0, MEMORY, start), "no limit");
        assert!(is_blocked(1, MEMORY - Duration::from_nanos(1)));
        assert!(!is_blocked(1, MEMORY));
        assert!(errors.all().is_empty());
    }

    #[test]
    fn success_and_time_reset_the_count() {
        let (errors, start) = (ConnectErrors::default(), Instant::now());
        errors.broken_off(origin(1), MEMORY, start);
        errors.succeeded(origin(1));
        errors.broken_off(origin(1), MEMORY, start);
        errors.broken_off(origin(1), MEMORY, start + MEMORY);
        assert!(!errors.is_blocked(origin(1), 2, MEMORY, start + MEMORY));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (errors, start) = (ConnectErrors::default(), Instant::now());
        for index in 0..=MAX_ADDRESSES as u32 {
            let at = start + Duration::from_micros(u64::from(index));
            errors.broken_off(origin(index), MEMORY, at);
        }
        assert_eq!(errors.all().len(), MAX_ADDRESSES);
        assert!(!errors.is_blocked(origin(0), 1, MEMORY, start), "the oldest made room");
    }
}
