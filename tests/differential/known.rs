//! Differences whose causes are known and not mended yet. A run says how many scripts it took for
//! one of these.
//!
//! FOUND_ROWS() and ROW_COUNT() asked in one statement may be about two statements that ran on two
//! servers. No connection has both values then, and to bring the one takes the other away: a query
//! that has found so many rows makes ROW_COUNT() -1. Neither does a CALL tell whether it ran a query.

/// Asked by name, as the generator does, so that nothing else is taken for it.
const BOTH_COUNTS: &str = "query SELECT FOUND_ROWS() AS f, ROW_COUNT() AS r\n";

/// Whether a script's first difference is one of them.
pub fn is_known(difference: &str) -> bool {
    difference.starts_with(BOTH_COUNTS)
}
