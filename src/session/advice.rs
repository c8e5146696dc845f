//! Log lines for people who must change something, at most one a minute for each user.
//!
//! User names are a client's to choose, so both the lines and the memory for them are bounded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two lines about the same user.
const INTERVAL: Duration = Duration::from_secs(60);

/// Users that are spoken of in one [`INTERVAL`]; the others have to wait.
const MAX_USERS: usize = 100;

/// When each user was last spoken of.
#[derive(Debug, Default)]
pub struct Advice(Mutex<HashMap<Vec<u8>, Instant>>);

impl Advice {
    /// True if a line about `user` is due at `now`; it counts as written then.
    pub fn is_due(&self, user: &[u8], now: Instant) -> bool {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: &Instant| now.saturating_duration_since(*at) < INTERVAL;
        if users.get(user).is_some_and(recent) {
            return false;
        }
        if users.len() >= MAX_USERS {
            users.retain(|_, at| recent(at));
        }
        if users.len() >= MAX_USERS {
            return false;
        }
        users.insert(user.to_vec(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_minute_for_each_of_so_many_users() {
        let (advice, start) = (Advice::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(advice.is_due(b"a", at(0)));
        assert!(!advice.is_due(b"a", at(59)));
        assert!(advice.is_due(b"b", at(59)));
        assert!(advice.is_due(b"a", at(60)));
        for user in 2..MAX_USERS as u64 {
            assert!(advice.is_due(&user.to_le_bytes(), at(60)));
        }
        assert!(!advice.is_due(b"one too many", at(60)));
        assert!(advice.is_due(b"one too many", at(119)), "b's minute is over");
        assert_eq!(advice.0.lock().unwrap().len(), MAX_USERS);
    }
}
