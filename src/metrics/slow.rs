//! The slow statements of late: the console's SHOW SLOW, and which of them are logged.
//!
//! The last ones are kept, whatever the log says. Of these a bounded number a second is logged, so that a
//! server that hangs does not fill the disk with what everybody sees anyway; the next line that is logged
//! says how many were left out.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::recent::Ring;

/// Statements that are kept.
const MAX_STATEMENTS: usize = 100;

/// Lines of a second.
const MAX_LOGGED: u32 = 10;

/// Where the time of a statement went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Waiting for a replica that has what the statement must see, or for a primary.
    pub wait: Duration,
    /// Getting a connection to the server: waiting for one of the pool, or opening it.
    pub queue: Duration,
    /// Bringing the session's state there before the statement. What goes along with it is in `server`.
    pub sync: Duration,
    /// From sending the statement to the first byte of the response.
    pub server: Duration,
    /// From the client's command to the first byte of the response; zero if none came.
    pub first_byte: Duration,
    /// From the client's command to the last byte of the response, which the client has taken.
    pub total: Duration,
}

/// One statement.
#[derive(Clone, Debug)]
pub struct SlowStatement {
    /// When it ended.
    pub at: Instant,
    /// The session's id.
    pub session: u32,
    /// The account's user name.
    pub user: String,
    /// The schema that it ran in; empty if none.
    pub schema: String,
    /// The server that it was sent to last; empty if it was sent to none.
    pub server: String,
    /// The reason for its first route.
    pub reason: &'static str,
    /// Connections that were tried.
    pub attempts: u8,
    /// Where the time went.
    pub phases: Phases,
    /// Rows that the client got.
    pub rows: u64,
    /// Bytes of the response.
    pub bytes: u64,
    /// The client got an error.
    pub is_error: bool,
    /// Its text, or the digest's; at most 1 KiB.
    pub text: String,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct SlowStatements(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    last: Ring<SlowStatement>,
    /// When the second began that lines are counted in.
    since: Option<Instant>,
    logged: u32,
    left_out: u64,
}

impl Default for SlowStatements {
    fn default() -> Self {
        let last = Ring::new(MAX_STATEMENTS);
        Self(Mutex::new(Kept { last, since: None, logged: 0, left_out: 0 }))
    }
}

impl SlowStatements {
    /// Keeps one. If it is to be logged: how many have not been since the last line.
    pub fn keep(&self, statement: SlowStatement) -> Option<u64> {
        let now = statement.at;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last.push(statement);
        let second = Duration::from_secs(1);
        if kept.since.is_none_or(|since| now.saturating_duration_since(since) >= second) {
            (kept.since, kept.logged) = (Some(now), 0);
        }
        if kept.logged >= MAX_LOGGED {
            kept.left_out += 1;
            return None;
        }
        kept.logged += 1;
        Some(std::mem::take(&mut kept.left_out))
    }

    /// Those that are kept, the newest first.
    pub fn rows(&self) -> Vec<SlowStatement> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows: Vec<_> = kept.last.after(0).map(|(_, statement)| statement.clone()).collect();
        rows.reverse();
        rows
    }

    /// Forgets them.
    pub fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last = Ring::new(MAX_STATEMENTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(session: u32) -> SlowStatement {
        SlowStatement {
            at: Instant::now(),
            session,
            user: "app".to_owned(),
            schema: String::new(),
            server: "r1".to_owned(),
            reason: "read",
            attempts: 1,
            phases: Phases::default(),
            rows: 1,
            bytes: 2,
            is_error: false,
            text: "SELECT ?".to_owned(),
        }
    }

    #[test]
    fn the_last_are_kept_and_few_a_second_are_logged() {
        let slow = SlowStatements::default();
        let start = Instant::now();
        let keep = |session: u32, ms: u64| {
            let at = start + Duration::from_millis(ms);
            slow.keep(SlowStatement { at, ..statement(session) })
        };
        let logged: Vec<_> = (0..250).filter_map(|session| keep(session, 1)).collect();
        assert_eq!(logged, [0; MAX_LOGGED as usize]);
        assert_eq!([keep(250, 1000), keep(251, 1001), keep(252, 1002)], [None, Some(241), Some(0)]);
        let rows = slow.rows();
        assert_eq!((rows.len(), rows[0].session, rows[99].session), (MAX_STATEMENTS, 252, 153));
        slow.reset();
        assert!(slow.rows().is_empty());
    }
}
