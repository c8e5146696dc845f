//! How many reads replicas serve under a mixed load, mode by mode, and that none of them is stale.
pub fn run(_make: crate::support::Make) {}
