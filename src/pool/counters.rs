//! What a pool counts, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a checkout ended, other than by coming back for one's own last connection. (That is counted where
/// the connection is left: a counter that all threads write to at each statement would cost as much
/// again.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Another idle one.
    Idle,
    /// One that was opened meanwhile.
    Opened,
    /// One that somebody gave back meanwhile.
    Waited,
    /// None came in time.
    Timeout,
}

impl Outcome {
    /// The label value of one's own last connection.
    pub const OWN: &'static str = "own";

    /// The other label values, in the order of the variants.
    pub const NAMES: [&'static str; 4] = ["idle", "opened", "waited", "timeout"];
}

/// How a connect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connect {
    /// A connection was opened.
    Opened,
    /// One that was open already was handed to another account.
    Handed,
    /// None came about.
    Failed,
}

/// Counts; they only grow.
#[derive(Debug, Default)]
pub struct Counters {
    checkouts: [AtomicU64; Outcome::NAMES.len()],
    connects: AtomicU64,
    connect_failures: AtomicU64,
    handed: AtomicU64,
}

impl Counters {
    /// Checkouts by outcome, with its name; those of one's own connection are not among them.
    pub(super) fn checkouts(&self) -> [(&'static str, u64); Outcome::NAMES.len()] {
        let mut at = 0;
        Outcome::NAMES.map(|name| {
            at += 1;
            (name, self.checkouts[at - 1].load(Ordering::Relaxed))
        })
    }

    /// Connects that have ended, failed ones included.
    pub fn connects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed)
    }

    /// Failed ones.
    pub fn connect_failures(&self) -> u64 {
        self.connect_failures.load(Ordering::Relaxed)
    }

    pub(super) fn checkout(&self, outcome: Outcome) {
        self.checkouts[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that were handed from one account to another, instead of being closed.
    pub fn handed(&self) -> u64 {
        self.handed.load(Ordering::Relaxed)
    }

    pub(super) fn connect(&self, connect: Connect) {
        let count = |counter: &AtomicU64, is_it| {
            counter.fetch_add(u64::from(is_it), Ordering::Relaxed);
        };
        count(&self.handed, connect == Connect::Handed);
        count(&self.connects, connect != Connect::Handed);
        count(&self.connect_failures, connect == Connect::Failed);
    }
}
