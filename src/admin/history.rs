//! `/history` and `/events`: what the status page draws beyond the present.
//!
//! The history is one small sample every two seconds, made from what is counted anyway, and held in memory
//! for ten minutes. Who wants more has Prometheus.
//!
//! Deliberately absent: anything on disk, and anything per session or statement.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::MissedTickBehavior;

use super::{AdminState, json, number};
use crate::logging::TopologyEvent;
use crate::metrics::{Latency, Metrics, Moment};
use crate::recent::Ring;

/// Between two samples.
const INTERVAL: Duration = Duration::from_secs(2);

/// Ten minutes of them.
const MAX_SAMPLES: usize = 300;

/// Replicas whose lag a sample has, the first of the configuration.
const MAX_SERVERS: usize = 100;

/// The samples of the last ten minutes.
#[derive(Debug)]
pub struct History(Mutex<Ring<Sample>>);

impl Default for History {
    fn default() -> Self {
        Self(Mutex::new(Ring::new(MAX_SAMPLES)))
    }
}

/// Two seconds of a running lagwise, up to `at_ms`. The names of the fields are those of the answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The end of the two seconds, in milliseconds since 1970.
    pub at_ms: u64,
    /// Statements by where they went.
    pub statements_per_second: Rates,
    /// How long things took.
    pub latency_ms: Latencies,
    /// As in `lagwise_sessions`, at the end.
    pub sessions: u64,
    /// As in `lagwise_pinned_sessions`, at the end.
    pub pinned: u64,
    /// Who waits at the end.
    pub waiting: Waiting,
    /// For each replica; `None` while unknown.
    #[serde(serialize_with = "as_map", deserialize_with = "of_map")]
    pub lag_ms: Vec<(Arc<str>, Option<u32>)>,
}

/// Statements by where they went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// To the primary.
    pub primary: f64,
    /// To replicas.
    pub replica: f64,
    /// Refused.
    pub none: f64,
}

/// Who waits for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// For a server connection.
    pub connection: u64,
    /// For replication.
    pub replica: u64,
    /// For a primary.
    pub primary: u64,
}

/// How long things took; `None` if nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// The primary, to its first byte.
    pub primary: Option<Percentiles>,
    /// Replicas, to their first byte.
    pub replica: Option<Percentiles>,
    /// lagwise itself.
    pub lagwise: Option<Percentiles>,
}

/// In milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half took no more.
    pub p50: f64,
    /// All but 5 % took no more.
    pub p95: f64,
    /// All but 1 % took no more.
    pub p99: f64,
}

fn as_map<S: Serializer>(lag: &[(Arc<str>, Option<u32>)], out: S) -> Result<S::Ok, S::Error> {
    out.collect_map(lag.iter().map(|(name, lag)| (&**name, lag)))
}

fn of_map<'de, D: Deserializer<'de>>(map: D) -> Result<Vec<(Arc<str>, Option<u32>)>, D::Error> {
    let map = BTreeMap::<String, Option<u32>>::deserialize(map)?;
    Ok(map.into_iter().map(|(name, lag)| (name.into(), lag)).collect())
}

fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// To three digits behind the point: less is noise, and makes answers long.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

impl Percentiles {
    fn between(before: &Latency, now: &Latency) -> Option<Self> {
        let at = |share| Some(rounded(now.percentile_since(before, share)? * 1e3));
        Some(Self { p50: at(0.5)?, p95: at(0.95)?, p99: at(0.99)? })
    }
}

impl Sample {
    /// What happened between two moments that are so far apart.
    fn between(before: &Moment, now: &Moment, elapsed: Duration, at: SystemTime) -> Self {
        let seconds = elapsed.as_secs_f64().max(1e-3);
        let rate = |target: &str| {
            let count = |moment: &Moment| {
                let found = moment.statements.iter().find(|(name, _)| *name == target);
                found.map_or(0, |(_, count)| *count)
            };
            rounded(count(now).saturating_sub(count(before)) as f64 / seconds)
        };
        let lag_of = |(name, lag): &(String, Option<Duration>)| {
            let lag = lag.map(|lag| u32::try_from(lag.as_millis()).unwrap_or(u32::MAX));
            (Arc::from(name.as_str()), lag)
        };
        Self {
            at_ms: in_ms(at.duration_since(UNIX_EPOCH).unwrap_or_default()),
            statements_per_second: Rates {
                primary: rate("primary"),
                replica: rate("replica"),
                none: rate("none"),
            },
            latency_ms: Latencies {
                primary: Percentiles::between(&before.primary_time, &now.primary_time),
                replica: Percentiles::between(&before.replica_time, &now.replica_time),
                lagwise: Percentiles::between(&before.proxy_time, &now.proxy_time),
            },
            sessions: now.sessions,
            pinned: now.pinned,
            waiting: Waiting {
                connection: now.waiting_connection,
                replica: now.waiting_replica,
                primary: now.waiting_primary,
            },
            lag_ms: now.lag.iter().take(MAX_SERVERS).map(lag_of).collect(),
        }
    }

    /// Names are the same for hours: one copy of each serves all samples.
    fn share_names(&mut self, with: &Self) {
        for (name, _) in &mut self.lag_ms {
            if let Some((known, _)) = with.lag_ms.iter().find(|(known, _)| known == name) {
                *name = Arc::clone(known);
            }
        }
    }
}

impl History {
    fn push(&self, mut sample: Sample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newest) = samples.newest() {
            sample.share_names(newest);
        }
        samples.push(sample);
    }

    fn after(&self, seq: u64) -> Vec<Numbered<Sample>> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.after(seq).map(|(seq, sample)| Numbered { seq, item: sample.clone() }).collect()
    }
}

/// Takes a sample every two seconds, for ever.
pub async fn keep(history: Arc<History>, metrics: Arc<Metrics>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    // Late ones are left out: a sample knows how long its time was.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut before = (Instant::now(), metrics.moment());
    loop {
        ticks.tick().await;
        let now = (Instant::now(), metrics.moment());
        let elapsed = now.0.saturating_duration_since(before.0);
        history.push(Sample::between(&before.1, &now.1, elapsed, SystemTime::now()));
        before = now;
    }
}

/// One thing with its number.
#[derive(Debug, Serialize, Deserialize)]
pub struct Numbered<T> {
    /// Its number; the first of a process has 1.
    pub seq: u64,
    /// Its fields stand beside the number.
    #[serde(flatten)]
    pub item: T,
}

/// What `/history` says.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct HistoryAnswer {
    /// When this process started, in milliseconds since 1970.
    pub started_ms: u64,
    /// Between two samples, in milliseconds.
    pub interval_ms: u64,
    /// `routing.max_lag` in milliseconds.
    pub max_lag_ms: u64,
    /// The oldest first.
    pub samples: Vec<Numbered<Sample>>,
}

/// What `/events` says.
#[derive(Serialize)]
struct EventsAnswer {
    started_ms: u64,
    events: Vec<Numbered<TopologyEvent>>,
}

/// GET /history, GET /history?after=SEQ
pub async fn history(State(state): State<AdminState>, uri: Uri) -> Response {
    let answer = HistoryAnswer {
        started_ms: state.metrics.started_ms(),
        interval_ms: in_ms(INTERVAL),
        max_lag_ms: state.metrics.max_lag().map_or(0, in_ms),
        samples: state.history.after(after(&uri)),
    };
    json(StatusCode::OK, &answer)
}

/// GET /events, GET /events?after=SEQ
pub async fn events(State(state): State<AdminState>, uri: Uri) -> Response {
    let events = state.topology.after(after(&uri)).into_iter();
    let answer = EventsAnswer {
        started_ms: state.metrics.started_ms(),
        events: events.map(|(seq, item)| Numbered { seq, item }).collect(),
    };
    json(StatusCode::OK, &answer)
}

/// The number of `after=` in a query; 0, which means all, if it is none.
fn after(uri: &Uri) -> u64 {
    number(uri, "after").unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn moment(primary: u64, replica: u64, lag_ms: Option<u64>) -> Moment {
        Moment {
            statements: vec![("primary", primary), ("replica", replica)],
            sessions: 3,
            pinned: 2,
            waiting_connection: 1,
            lag: vec![("db-2".to_owned(), lag_ms.map(Duration::from_millis))],
            ..Moment::default()
        }
    }

    fn sample(seconds: u64, before: &Moment, now: &Moment) -> Sample {
        let at = UNIX_EPOCH + Duration::from_secs(10);
        Sample::between(before, now, Duration::from_secs(seconds), at)
    }

    #[test]
    fn a_sample_is_the_difference_of_two_moments() {
        let found = sample(2, &moment(10, 5, None), &moment(13, 105, Some(40)));
        let rates = Rates { primary: 1.5, replica: 50.0, none: 0.0 };
        assert_eq!((found.at_ms, found.statements_per_second), (10_000, rates));
        assert_eq!((found.sessions, found.pinned, found.waiting.connection), (3, 2, 1));
        assert_eq!(found.latency_ms, Latencies::default());
        let shown = serde_json::to_value(&found).unwrap();
        assert_eq!(shown["lag_ms"], serde_json::json!({"db-2": 40}));
        assert_eq!(shown["latency_ms"]["primary"], serde_json::Value::Null);
    }

    #[test]
    fn memory_is_bounded_and_names_are_shared() {
        let many = (0..MAX_SERVERS as u32 + 5).map(|index| (format!("db-{index}"), None));
        let now = Moment { lag: many.collect(), ..Moment::default() };
        let history = History::default();
        for _ in 0..MAX_SAMPLES + 3 {
            history.push(sample(2, &now, &now));
        }
        let all = history.after(0);
        assert_eq!((all.len(), all[0].seq), (MAX_SAMPLES, 4));
        assert_eq!(all[0].item.lag_ms.len(), MAX_SERVERS);
        let name = |index: usize| Arc::clone(&all[index].item.lag_ms[7].0);
        assert!(Arc::ptr_eq(&name(0), &name(MAX_SAMPLES - 1)));
        let last = MAX_SAMPLES as u64 + 3;
        assert_eq!(history.after(last - 1).len(), 1);
        assert_eq!(history.after(last).len(), 0);
    }

    #[test]
    fn what_is_asked_for() {
        let check = |uri: &str, want| assert_eq!(after(&uri.parse().unwrap()), want, "{uri}");
        check("/history", 0);
        check("/history?after=17", 17);
        check("/history?x=1&after=17", 17);
        check("/history?after=-1", 0);
        check("/history?after=", 0);
        check("/history?after=99999999999999999999999", 0);
    }
}
