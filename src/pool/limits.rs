//! What a pool may do.

use std::time::Duration;

/// What a pool may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections, open or being opened; 0: no limit.
    pub max_connections: usize,
    /// Of these for one account; 0: no limit.
    pub max_connections_per_account: usize,
    /// Connects at a time, at least 1.
    pub max_connecting: usize,
    /// Idle connections that are kept, or opened ahead, for an account in use.
    pub min_idle: usize,
    /// An idle connection is closed after this long.
    pub idle_timeout: Duration,
    /// A connection is closed at about this age, when nobody uses it.
    pub max_lifetime: Duration,
    /// Opening a connection may take this long, login included.
    pub connect_timeout: Duration,
}

impl Default for Limits {
    /// None but those of time, at their defaults.
    fn default() -> Self {
        Self {
            max_connections: 0,
            max_connections_per_account: 0,
            max_connecting: 8,
            min_idle: 0,
            idle_timeout: Duration::from_secs(60),
            max_lifetime: Duration::from_secs(30 * 60),
            connect_timeout: Duration::from_secs(1),
        }
    }
}
