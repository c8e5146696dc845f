//! What the cluster takes from the configuration.

use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use super::health::Thresholds;
use super::view::RoutingPolicy;
use crate::auth::{Credential, CredentialSecret};
use crate::backend::Endpoint;
use crate::config::{Config, ServerConfig, WhenAllLag};
use crate::pool::Limits;

/// A server, and how it is reached.
#[derive(Debug, Clone)]
pub struct Server {
    /// What the configuration says about it.
    pub config: ServerConfig,
    /// Made from it by the caller, because reading certificates may fail and a reload must not
    /// fail half way.
    pub endpoint: Endpoint,
    /// What its pool may do.
    pub limits: Limits,
}

/// How servers are watched and judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The monitor's account.
    pub credential: Credential,
    /// Where its password is, to be read again when it is refused; `None`: not in a file.
    pub password_file: Option<PathBuf>,
    /// Between two probes of one server.
    pub check_interval: Duration,
    /// The same while a session waits for replication; never longer.
    pub min_check_interval: Duration,
    /// Deadline of one probe, connecting included.
    pub check_timeout: Duration,
    /// Whether mysql_native_password hashes are read from the primary.
    pub read_native_hashes: bool,
    /// When a server is up or down.
    pub thresholds: Thresholds,
    /// A replica that lags more gets no reads.
    pub max_lag: Duration,
    /// Replicas that lag at most this much more than the least lagged count as equally good.
    pub lag_tolerance: Duration,
    /// lagwise's own zone.
    pub zone: Option<String>,
    /// How long statements wait for a primary; what runs on a server that is down is given up after as
    /// long.
    pub primary_wait: Duration,
    /// A replica that takes reads again gets its whole share of them after this long.
    pub slow_start: Duration,
    /// Where all replicas are over `max_lag`, the least lagged of them take the reads.
    pub late_may_serve: bool,
}

impl Settings {
    /// The settings in a configuration.
    pub fn of(config: &Config) -> Settings {
        let monitor = &config.monitor;
        let password = Zeroizing::new(monitor.password.expose().to_vec());
        Settings {
            credential: Credential {
                user: monitor.user.clone().into_bytes(),
                secret: CredentialSecret::from_password(password),
                client: None,
            },
            password_file: monitor.password_file.clone(),
            check_interval: monitor.check_interval,
            min_check_interval: monitor.min_check_interval.min(monitor.check_interval),
            check_timeout: monitor.check_timeout,
            read_native_hashes: config.auth.read_native_hashes,
            thresholds: Thresholds { up_after: monitor.up_after, down_after: monitor.down_after },
            max_lag: config.routing.max_lag,
            lag_tolerance: config.routing.lag_tolerance,
            zone: config.routing.zone.clone(),
            primary_wait: config.routing.primary_wait,
            slow_start: config.routing.slow_start,
            late_may_serve: config.routing.when_all_lag == WhenAllLag::LeastLagged,
        }
    }

    /// How long a probe's answer may be relied on: until the next one is due, and then one that
    /// takes as long as it may, with one interval to spare for a busy machine.
    pub fn fresh_for(&self) -> Duration {
        self.check_interval.saturating_mul(2).saturating_add(self.check_timeout)
    }

    /// What makes a replica good enough.
    pub fn policy(&self) -> RoutingPolicy {
        RoutingPolicy {
            max_lag: self.max_lag,
            lag_tolerance: self.lag_tolerance,
            fresh_for: self.fresh_for(),
            zone: self.zone.clone(),
            slow_start: self.slow_start,
            late_may_serve: self.late_may_serve,
        }
    }
}
