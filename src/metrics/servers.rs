//! What a scrape asks of the server module: one sample per configured server.
//!
//! The gauges of a server are read at scrape time instead of being kept twice, so a server that a
//! reload removed vanishes from the next scrape without any bookkeeping here.

use std::time::Duration;

use super::worker::Role;

/// The state of one server at the moment of a scrape.
#[derive(Clone, Debug)]
pub struct ServerSample {
    /// The configured name; the `server` label. Of two samples with one name the first counts.
    pub name: String,
    /// What the server is now.
    pub role: Role,
    /// The health checks call it up.
    pub up: bool,
    /// Lag behind the primary; `None` while unknown, and for the primary.
    pub lag: Option<Duration>,
    /// What kind of knowledge the lag is, one of [`ServerSource::lag_forms`]; `None` for the primary.
    pub lag_form: Option<&'static str>,
    /// It has transactions that the primary lacks.
    pub errant: bool,
    /// It is taken out for maintenance.
    pub drained: bool,
    /// Health state, one of [`ServerSource::health_states`].
    pub health: &'static str,
    /// It may get work now.
    pub eligible: bool,
    /// Commands sent whose response has not ended.
    pub outstanding: u64,
    /// Open connections, the monitor's not included.
    pub connections: u64,
    /// Of these, idle ones.
    pub idle: u64,
    /// How many may be open.
    pub max_connections: u64,
    /// Those who wait for a connection.
    pub waiting: u64,
    /// The server refuses connections, and is left alone for now.
    pub circuit_open: bool,
    /// Checkouts by outcome, with its name.
    pub checkouts: Vec<(&'static str, u64)>,
    /// Connects that have ended.
    pub connects: u64,
    /// Failed ones.
    pub connect_failures: u64,
    /// Connections handed from one account to another.
    pub handed_on: u64,
    /// Probes since the server was configured, failed ones included.
    pub probes: u64,
    /// Failed probes since the server was configured; must not go down while it is.
    pub probe_failures: u64,
}

/// Who takes the writes, at the moment of a scrape.
#[derive(Clone, Debug, Default)]
pub struct PrimarySample {
    /// Statements that wait for a primary.
    pub waiting: u64,
    /// Every reason why they may be held.
    pub holds: &'static [&'static str],
    /// The reason now.
    pub held: Option<&'static str>,
    /// Times that another server was seen to be the primary.
    pub changes: u64,
    /// Servers that are writable beside it.
    pub rivals: u64,
}

/// Supplies the samples. Called on every scrape: it must not block or wait.
pub trait ServerSource: Send + Sync {
    /// One sample per configured server.
    fn servers(&self) -> Vec<ServerSample>;

    /// Who takes the writes.
    fn primary(&self) -> PrimarySample;

    /// A replica that lags more gets no reads.
    fn max_lag(&self) -> Duration;

    /// Reads that wait for a replica that has what they must see.
    fn waiting_reads(&self) -> u64;

    /// Every health state that a server can be in, so that those not taken show as 0.
    fn health_states(&self) -> &'static [&'static str];

    /// The same for the kinds of knowledge of a lag.
    fn lag_forms(&self) -> &'static [&'static str];
}
