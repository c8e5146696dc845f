//! What `proxy.toml` says, as validated types that the rest of the program can trust.
//!
//! A [`Config`] that exists is a good one: every number is within its bounds, exactly one
//! server is the primary, no address occurs twice, every password and certificate has been read.
//! Code that takes a `Config` never checks it again and never opens a file that it names, so a
//! reload has only two outcomes, all or nothing.
//!
//! Reading order: the types are in this file, in [`sections`], [`access`], [`http`], [`console`], [`consistency`] and [`limits`]; [`address`], [`units`] and
//! [`secret`] hold the small value types; `file` walks the TOML tree and keeps the line of every
//! value; `validate`, `servers`, `rules` and `sources` turn it into a `Config`; [`error`] says what was wrong, all of it at once;
//! [`diff`] compares two configurations for a reload; `load` is the only place that touches the
//! file system and the environment.
//!
//! **There is no serde mirror struct.** Derived deserialization stops at the first error and
//! loses the line of values inside lists. `file` reads the parsed tree key by key instead and
//! remembers which keys it was asked for: whatever is left over is an unknown key, and the list
//! of known keys cannot fall out of step with the code that reads them.
//!
//! Deliberately absent: resolving host names (addresses may change while the proxy runs, so that
//! is done at each connect), and include files (a reload must be one atomic read).

#[macro_use]
mod word;

pub mod access;
pub mod address;
pub mod client_tls;
pub mod consistency;
pub mod console;
mod diff;
mod entries;
pub mod error;
mod file;
pub mod http;
pub mod limits;
pub mod listeners;
mod load;
mod rules;
pub mod secret;
pub mod sections;
mod servers;
mod sources;
pub mod units;
mod validate;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

pub use access::AccessConfig;
pub use address::{ListenAddress, ServerAddress};
pub use client_tls::{ClientCertificates, ClientTls, ClientTlsMode};
pub use consistency::{ConsistencyConfig, Pin, Scope};
pub use console::{ConsoleConfig, ConsoleRole, ConsoleUser};
pub use diff::{ConfigDiff, KeyChange, ServerChange, diff};
pub use error::{ConfigError, ConfigErrors};
pub use http::HttpConfig;
pub use limits::LimitsConfig;
pub use listeners::ListenerConfig;
pub use load::{ReadFile, Variable, read_password};
pub use secret::{NativeHash, PemFile, Secret};
pub use sections::{
    AccountConfig, AuthConfig, AuthPlugin, ClientProtocolConfig, Credential, LogConfig, LogFormat,
    LogLevel, LogSql, MonitorConfig, PoolConfig, PoolMode, Role, RoutingConfig, RuleConfig,
    RuleTarget, ServerConfig, ServerTls, ServerTlsMode, TlsVerify, UnknownFunctions, WhenAllLag,
};
pub use validate::known_keys;
pub use word::Word;

/// A whole, validated `proxy.toml`.
///
/// Cheap to share behind an `Arc`; `Debug` and `PartialEq` are safe to use anywhere, as secrets
/// show themselves as `***`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `listen` and `listener.address`: where clients connect; at least one, no two equal. Restart.
    pub listen: Vec<ListenAddress>,
    /// `[[listener]]`: no two of the same address, which is one of `listen`.
    pub listeners: Vec<ListenerConfig>,
    /// `worker_threads`: threads of the runtime, at most 1024; 0 is one per core. Restart.
    pub worker_threads: usize,
    /// `max_clients`: client connections served at once, 1 to 1 000 000. One more gets MySQL's
    /// error 1040.
    pub max_clients: usize,
    /// `max_clients_per_account`: of them logged in as one user, at most 1 000 000; 0 for no limit.
    /// One more gets MySQL's error 1203.
    pub max_clients_per_account: usize,
    /// `max_clients_per_address`: of them from one IP address, at most 1 000 000; 0 for no limit. One
    /// more gets MySQL's error 1040. Clients on Unix sockets have no address.
    pub max_clients_per_address: usize,
    /// `core_dumps`: whether a crash may leave one. Restart.
    pub core_dumps: bool,
    /// `max_digests`: statements that are told apart by their digest, in each worker thread, at most
    /// 100 000; with 0 they are not counted by digest.
    pub max_digests: usize,
    /// `[access]`.
    pub access: AccessConfig,
    /// `login_timeout`: from accept to a finished login, 100 ms to 1 h.
    pub login_timeout: Duration,
    /// `drain_timeout`: how long running work may take to end after SIGTERM, or on a server that
    /// was removed, 0 s to 1 d.
    pub drain_timeout: Duration,
    /// `max_packet`: largest command that a client may send, in bytes, 16 MiB to 1 GiB (the
    /// protocol's own bound on `max_allowed_packet`).
    pub max_packet: usize,
    /// The primary first, then the replicas in file order. Names and addresses are unique, and
    /// exactly one has [`Role::Primary`].
    pub servers: Vec<ServerConfig>,
    /// `[monitor]`.
    pub monitor: MonitorConfig,
    /// `[routing]`.
    pub routing: RoutingConfig,
    /// `[[rule]]`: the first that matches wins; names are unique, and each can match something.
    pub rules: Vec<RuleConfig>,
    /// `[consistency]`.
    pub consistency: ConsistencyConfig,
    /// `[limits]`.
    pub limits: LimitsConfig,
    /// `[pool]`.
    pub pool: PoolConfig,
    /// `[auth]`.
    pub auth: AuthConfig,
    /// `[[account]]`: no two of the same user.
    pub accounts: Vec<AccountConfig>,
    /// `[client_tls]`.
    pub client_tls: ClientTls,
    /// `[server_tls]`: what each server uses unless its own table says otherwise. The outcome is
    /// in [`ServerConfig::tls`]; nothing else needs to look here.
    pub server_tls: ServerTls,
    /// `[client_protocol]`.
    pub client_protocol: ClientProtocolConfig,
    /// `[http]`; `None` without that table: then nothing is served over HTTP.
    pub http: Option<HttpConfig>,
    /// `[console]`.
    pub console: ConsoleConfig,
    /// `[log]`.
    pub log: LogConfig,
    /// Every file that held a secret when this was read, so that `lagwise check` can look at
    /// its permissions. Not part of a diff.
    pub secret_files: Vec<PathBuf>,
}

impl Config {
    /// The one primary.
    pub fn primary(&self) -> Option<&ServerConfig> {
        self.servers.iter().find(|server| server.role == Role::Primary)
    }

    /// Whether a replica serves those who ask for `tag`, or, without one, those who ask for none.
    pub fn has_replica(&self, tag: Option<&str>) -> bool {
        self.replicas().any(|replica| match tag {
            Some(tag) => replica.tags.iter().any(|own| own == tag),
            None => replica.tags.is_empty(),
        })
    }

    /// The replicas, in file order.
    pub fn replicas(&self) -> impl Iterator<Item = &ServerConfig> {
        self.servers.iter().filter(|server| server.role == Role::Replica)
    }
}
