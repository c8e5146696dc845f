//! `[limits]`: what one client may take, before and after it has logged in.

use std::time::Duration;

use super::file::Table;
use super::validate::{DAY, HOUR, MINUTE, MS, SECOND};

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// The longest time that a client may be idle.
const LONGEST_WAIT: Duration = DAY.saturating_mul(365);

/// `[limits]`.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitsConfig {
    /// `max_logins`: clients that log in at once, 1 to 1 000 000. One more takes the place of that which
    /// has kept lagwise waiting longest.
    pub max_logins: usize,
    /// `max_logins_per_address`: of them from one IPv4 address or IPv6 network of 64 bits, at most
    /// 1 000 000; 0 for no limit.
    pub max_logins_per_address: usize,
    /// `max_connect_errors`: logins that were broken off, one after the other, until an address is
    /// blocked with MySQL's error 1129; at most 1 000 000; 0: never.
    pub max_connect_errors: u32,
    /// `unblock_after`: for how long an address is blocked, and a login that was broken off is
    /// remembered, 1 s to 1 d.
    pub unblock_after: Duration,
    /// `wait_timeout`: how long a client may be idle unless it says otherwise by SET, 0 s to 365 d; zero
    /// for ever.
    pub wait_timeout: Duration,
    /// `interactive_timeout`: the same for clients that say that they are interactive.
    pub interactive_timeout: Duration,
    /// `net_read_timeout`: how long a client may be silent in the midst of a command, 100 ms to 1 h.
    pub net_read_timeout: Duration,
    /// `net_write_timeout`: how long a client may take nothing of a response, 100 ms to 1 min: TCP gives
    /// such a client up by itself after that.
    pub net_write_timeout: Duration,
    /// `max_statement_size`: the longest text of a statement, in bytes, 1 KiB to 1 GiB.
    pub max_statement_size: usize,
    /// `max_open_statements`: prepared statements of one session, 1 to 1 000 000.
    pub max_open_statements: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_logins: 5000,
            max_logins_per_address: 0,
            max_connect_errors: 0,
            unblock_after: Duration::from_secs(60),
            wait_timeout: HOUR * 8,
            interactive_timeout: HOUR * 8,
            net_read_timeout: Duration::from_secs(30),
            net_write_timeout: Duration::from_secs(60),
            max_statement_size: GIB as usize,
            max_open_statements: 16_382,
        }
    }
}

/// Reads the table.
pub(super) fn read(table: &Table<'_>) -> LimitsConfig {
    let default = LimitsConfig::default();
    let count = |key: &str, least, default: usize| {
        table.integer(key, least..=1_000_000).map_or(default, |count| count as usize)
    };
    let idle =
        |key: &str, default| table.duration(key, Duration::ZERO..=LONGEST_WAIT).unwrap_or(default);
    LimitsConfig {
        max_logins: count("max_logins", 1, default.max_logins),
        max_logins_per_address: count("max_logins_per_address", 0, default.max_logins_per_address),
        max_connect_errors: table
            .integer("max_connect_errors", 0..=1_000_000)
            .unwrap_or(default.max_connect_errors),
        unblock_after: table
            .duration("unblock_after", SECOND..=DAY)
            .unwrap_or(default.unblock_after),
        wait_timeout: idle("wait_timeout", default.wait_timeout),
        interactive_timeout: idle("interactive_timeout", default.interactive_timeout),
        net_read_timeout: table
            .duration("net_read_timeout", 100 * MS..=HOUR)
            .unwrap_or(default.net_read_timeout),
        net_write_timeout: table
            .duration("net_write_timeout", 100 * MS..=MINUTE)
            .unwrap_or(default.net_write_timeout),
        max_statement_size: table
            .size("max_statement_size", KIB..=GIB)
            .map_or(default.max_statement_size, |size| size as usize),
        max_open_statements: count("max_open_statements", 1, default.max_open_statements),
    }
}
