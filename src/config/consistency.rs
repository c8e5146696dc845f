//! `[consistency]`: what a read must see.

use std::time::Duration;

/// When a session that wrote may read from a replica again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// When the replica is proven to have applied the session's last write.
    UntilReplicated,
    /// Never: the session stays with the primary.
    Session,
    /// When this much time has passed, 1 ms to 1 d. A replica that lags more than this serves a
    /// stale read.
    For(Duration),
    /// At once: it may read what was there before its write.
    None,
}

word_enum! {
    /// Whose writes a read sees for certain, if they were acknowledged before it began.
    pub enum Scope {
        /// Those of its own session.
        Session = "session",
        /// Those of all sessions of its user.
        Account = "account",
        /// Those of all sessions of this lagwise.
        Global = "global",
        /// All that the primary has acknowledged to anybody.
        Cluster = "cluster",
    }
}

/// `[consistency]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsistencyConfig {
    /// `pin`.
    pub pin: Pin,
    /// `wait`: how long a read waits for a replica that has what it must see before it goes to the
    /// primary, 0 s to 10 s.
    pub wait: Duration,
    /// `monotonic_reads`: whether a session is never shown an older state than it has read.
    pub monotonic_reads: bool,
    /// `scope`.
    pub scope: Scope,
    /// `by_table`: whether with `account`, `global` or a key a read only needs the writes to its own
    /// tables.
    pub by_table: bool,
}

impl Default for ConsistencyConfig {
    fn default() -> Self {
        Self {
            pin: Pin::UntilReplicated,
            wait: Duration::ZERO,
            monotonic_reads: true,
            scope: Scope::Session,
            by_table: true,
        }
    }
}
