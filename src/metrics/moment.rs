//! What the status page's history is made of: the few totals and gauges that it shows, taken at one moment
//! without rendering a scrape.

use std::sync::Arc;
use std::time::Duration;

use super::histogram::{BUCKETS, percentile};
use super::worker::{PINS_ENDED, PINS_STARTED, Role};
use super::{Core, Metrics, ServerSource};

/// The state of what is counted at one moment. Counters are since the start.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// Statements by target, with its name.
    pub statements: Vec<(&'static str, u64)>,
    /// Client sessions that are open.
    pub sessions: u64,
    /// Of these, pinned ones.
    pub pinned: u64,
    /// How long the primary took to its first byte.
    pub primary_time: Latency,
    /// How long replicas took.
    pub replica_time: Latency,
    /// How long lagwise itself took.
    pub proxy_time: Latency,
    /// Those who wait for a connection, of all servers.
    pub waiting_connection: u64,
    /// Reads that wait for a replica that has what they must see.
    pub waiting_replica: u64,
    /// Statements that wait for a primary.
    pub waiting_primary: u64,
    /// The replicas with their lag; `None` while unknown.
    pub lag: Vec<(String, Option<Duration>)>,
}

/// A latency histogram at one moment.
#[derive(Clone, Debug, Default)]
pub struct Latency(Box<[u64]>);

impl Latency {
    /// Counts up to now in a bucket of its own for each range of nanoseconds.
    fn of(totals: &[u64], at: usize) -> Self {
        Self(totals.get(at..at + BUCKETS).unwrap_or_default().into())
    }

    /// What a share of those took that were counted since `before`, at most, in seconds; `None` if none was.
    /// Exact to half a doubling, as the buckets are.
    pub fn percentile_since(&self, before: &Self, share: f64) -> Option<f64> {
        let since = |(index, now): (usize, &u64)| {
            now.saturating_sub(before.0.get(index).copied().unwrap_or_default())
        };
        let counts: Vec<u64> = self.0.iter().enumerate().map(since).collect();
        percentile(&counts, share).map(|nanos| nanos / 1e9)
    }
}

impl Metrics {
    /// The moment of now. Cheap enough for every second: it adds the workers up, and asks the servers'
    /// source once.
    pub fn moment(&self) -> Moment {
        let mut moment = self.core.counted();
        if let Some(source) = self.core.servers() {
            moment.ask(&source);
        }
        moment
    }

    /// A replica that lags more gets no reads; `None` before the servers are known.
    pub fn max_lag(&self) -> Option<Duration> {
        self.core.servers().map(|source| source.max_lag())
    }

    /// When the process started, in milliseconds since 1970.
    pub fn started_ms(&self) -> u64 {
        (self.core.started_seconds * 1e3).round() as u64
    }
}

impl Core {
    fn counted(&self) -> Moment {
        let totals = self.totals();
        let at = |slot: usize| totals.get(slot).copied().unwrap_or_default();
        let targets = self.labels.targets.iter().enumerate();
        let statements = targets.map(|(target, name)| {
            let reasons = 0..self.layout.reasons;
            (*name, reasons.map(|reason| at(self.layout.query(target, reason))).sum())
        });
        let server_time =
            |role: Role| Latency::of(&totals, self.layout.server_seconds(role as usize));
        Moment {
            statements: statements.collect(),
            sessions: self.open_sessions(&totals),
            // The two are not read at one moment.
            pinned: at(PINS_STARTED).saturating_sub(at(PINS_ENDED)),
            primary_time: server_time(Role::Primary),
            replica_time: server_time(Role::Replica),
            proxy_time: Latency::of(&totals, self.layout.proxy_seconds()),
            ..Moment::default()
        }
    }
}

impl Moment {
    fn ask(&mut self, source: &Arc<dyn ServerSource>) {
        self.waiting_replica = source.waiting_reads();
        self.waiting_primary = source.primary().waiting;
        for server in source.servers() {
            self.waiting_connection += server.waiting;
            if server.role == Role::Replica {
                self.lag.push((server.name, server.lag));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::metrics::LabelSets;

    const LABELS: LabelSets = LabelSets {
        targets: &["primary", "replica"],
        reasons: &["read", "write"],
        commands: &["query"],
        pin_causes: &["write"],
        holds: &[],
        reject_causes: &[],
        error_kinds: &[],
    };

    #[test]
    fn what_was_counted_between_two_moments() {
        let metrics = Metrics::new(LABELS, 2, "0.0.0", SystemTime::UNIX_EPOCH).unwrap();
        let _session = metrics.session();
        let _pin = metrics.pin(0);
        metrics.local().query(0, 1);
        metrics.local().server_time(Role::Replica, 80_000_000);
        let before = metrics.moment();
        assert_eq!(before.statements, [("primary", 1), ("replica", 0)]);
        assert_eq!((before.sessions, before.pinned, metrics.started_ms()), (1, 1, 0));
        metrics.worker(1).query(0, 0);
        metrics.worker(0).query(1, 0);
        metrics.worker(0).server_time(Role::Replica, 1_000_000);
        let now = metrics.moment();
        assert_eq!(now.statements, [("primary", 2), ("replica", 1)]);
        let slow = now.replica_time.percentile_since(&before.replica_time, 0.99).unwrap();
        assert!((0.0007..0.0014).contains(&slow), "{slow}");
        assert_eq!(now.primary_time.percentile_since(&before.primary_time, 0.99), None);
        // Of all, half took no more than the quicker one, and the slowest is the slower one.
        let all = Latency::default();
        assert!(now.replica_time.percentile_since(&all, 0.5).unwrap() < 0.002);
        assert!(now.replica_time.percentile_since(&all, 0.99).unwrap() > 0.06);
    }
}
