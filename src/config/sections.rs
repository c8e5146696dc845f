//! The tables of `proxy.toml`, one type each. `Default` gives the documented defaults; tables
//! with a required key have none.

use std::path::PathBuf;
use std::time::Duration;

use super::{NativeHash, PemFile, Secret, ServerAddress};

word_enum! {
    /// What a server is there for.
    pub enum Role {
        /// Takes every write; there is exactly one.
        Primary = "primary",
        /// Takes reads.
        Replica = "replica",
    }
}

/// One server: from `primary`, from `replicas`, or from a `[[server]]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Unique; what metrics, logs and commands call this server. The address unless given.
    /// 1 to 64 characters out of `A-Z a-z 0-9 . _ : - / [ ]`.
    pub name: String,
    /// Unique.
    pub address: ServerAddress,
    /// Whether this is the primary. With `primary = "auto"` none is, by configuration.
    pub role: Role,
    /// With `primary = "auto"`: whether it is the primary while it is seen to be.
    pub candidate: bool,
    /// Share of reads relative to other replicas that are equally good, 1 to 1000.
    pub weight: u32,
    /// Availability zone or data centre; `None`: unknown, and so not lagwise's own.
    pub zone: Option<String>,
    /// A replica with tags takes only reads that ask for one of them. At most 32.
    pub tags: Vec<String>,
    /// Connections that lagwise opens to this server for clients, 1 to 100 000; the monitor's
    /// own connection is not among them.
    pub max_connections: usize,
    /// `proxy_protocol`: it is told by the PROXY protocol where clients are.
    pub proxy_protocol: bool,
    /// A replica that is taken out for maintenance from the beginning.
    pub drained: bool,
    /// TLS to this server: `[server_tls]` overlaid with `[server.tls]`.
    pub tls: ServerTls,
}

impl ServerConfig {
    /// What it is there for, in a word.
    pub fn role_word(&self) -> &'static str {
        match (self.role, self.candidate) {
            (Role::Primary, _) => "primary",
            (Role::Replica, true) => "candidate",
            (Role::Replica, false) => "replica",
        }
    }

    /// A server about which nothing is known but address and role: what a bare entry in
    /// `primary` or `replicas` means.
    pub fn new(address: ServerAddress, role: Role) -> Self {
        Self {
            name: address.to_string(),
            address,
            role,
            candidate: false,
            weight: 1,
            zone: None,
            tags: Vec::new(),
            max_connections: 1000,
            proxy_protocol: false,
            drained: false,
            tls: ServerTls::default(),
        }
    }
}

word_enum! {
    /// Whether to use TLS towards a server. The words of the MySQL client's `--ssl-mode`.
    pub enum ServerTlsMode {
        /// Never.
        Off = "off",
        /// For the sessions of clients that use TLS themselves, when the server offers it. (The
        /// word is MySQL Router's.)
        AsClient = "as_client",
        /// When the server offers it.
        Preferred = "preferred",
        /// Always; a server without TLS is an error.
        Required = "required",
    }
}

word_enum! {
    /// What is checked of a server's certificate.
    pub enum TlsVerify {
        /// Nothing: the traffic is encrypted, but not safe from an active attacker.
        None = "none",
        /// That an authority in `ca_file` signed it.
        Ca = "ca",
        /// That, and that it is valid for the host part of the server's address.
        Full = "full",
    }
}

/// `[server_tls]` and `[server.tls]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTls {
    /// `mode`.
    pub mode: ServerTlsMode,
    /// `verify`; other than [`TlsVerify::None`] only together with [`ServerTlsMode::Required`]
    /// and a `ca`, as anything less could be talked out of the check.
    pub verify: TlsVerify,
    /// `ca_file`: the authorities to trust, PEM.
    pub ca: Option<PemFile>,
    /// `cert_file`: lagwise's own certificate, for accounts that must show one, PEM.
    pub cert: Option<PemFile>,
    /// `key_file`: its private key, PEM; there exactly when `cert` is.
    pub key: Option<PemFile>,
}

impl Default for ServerTls {
    fn default() -> Self {
        let (mode, verify) = (ServerTlsMode::AsClient, TlsVerify::None);
        Self { mode, verify, ca: None, cert: None, key: None }
    }
}

/// `[monitor]`: the account that watches the servers, and how closely it does.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorConfig {
    /// `user`: required, 1 to 128 bytes.
    pub user: String,
    /// `password`, `password_file` or `password_env`: required; may be empty only as
    /// `password = ""`.
    pub password: Secret,
    /// `password_file`: where it was read, if it was.
    pub password_file: Option<PathBuf>,
    /// `check_interval`: between two probes of one server, 10 ms to 1 min.
    pub check_interval: Duration,
    /// `min_check_interval`: the same while a session waits for replication, 5 ms to 1 min; not used
    /// where `check_interval` is shorter.
    pub min_check_interval: Duration,
    /// `check_timeout`: deadline of one probe, connecting included, 10 ms to 1 min.
    pub check_timeout: Duration,
    /// `up_after`: good probes in a row until a server is up, 1 to 100.
    pub up_after: u32,
    /// `down_after`: failed probes in a row until a server is down, 1 to 100.
    pub down_after: u32,
}

impl MonitorConfig {
    /// The documented defaults for an account.
    pub fn new(user: impl Into<String>, password: Secret) -> Self {
        Self {
            user: user.into(),
            password,
            password_file: None,
            check_interval: Duration::from_millis(250),
            min_check_interval: Duration::from_millis(20),
            check_timeout: Duration::from_secs(1),
            up_after: 2,
            down_after: 3,
        }
    }
}

word_enum! {
    /// Where a read runs that calls a function which is neither built in nor known to read only.
    pub enum UnknownFunctions {
        /// On the primary.
        Primary = "primary",
        /// On a replica, which refuses what writes; on the primary from then on.
        Try = "try",
    }
}

word_enum! {
    /// Where reads run while no replica is fit for them because all lag too much.
    pub enum WhenAllLag {
        /// On the primary.
        Primary = "primary",
        /// On the least lagged of the replicas; on the primary when none is up.
        LeastLagged = "least_lagged",
        /// Nowhere: they are refused.
        Error = "error",
    }
}

/// `[routing]`: which reads may run on which replica.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutingConfig {
    /// `max_lag`: a replica that lags more gets no reads, 1 ms to 1 d.
    pub max_lag: Duration,
    /// `lag_tolerance`: replicas within this of the least lagged count as equally good, 0 s to
    /// `max_lag`.
    pub lag_tolerance: Duration,
    /// `when_all_lag`: what becomes of reads while every replica lags more than `max_lag`.
    pub when_all_lag: WhenAllLag,
    /// `zone`: lagwise's own; among equally good replicas, those in it come first.
    pub zone: Option<String>,
    /// `primary_wait`: how long a statement for the primary waits while none takes it, 0 s to 10 min.
    pub primary_wait: Duration,
    /// `slow_start`: a replica that takes reads again gets its whole share of them after this long,
    /// 0 s to 1 h.
    pub slow_start: Duration,
    /// `hints`: whether a leading comment such as `/* lagwise: primary */` is obeyed.
    pub hints: bool,
    /// `read_only_functions`: stored or loadable functions that only read; lower case, `name` or
    /// `schema.name`, at most 10 000.
    pub read_only_functions: Vec<String>,
    /// `unknown_functions`: where reads that call any other function run.
    pub unknown_functions: UnknownFunctions,
}

impl Default for RoutingConfig {
    fn default() -> Self {
        Self {
            max_lag: Duration::from_secs(10),
            lag_tolerance: Duration::from_millis(100),
            when_all_lag: WhenAllLag::Primary,
            zone: None,
            primary_wait: Duration::from_secs(10),
            slow_start: Duration::from_secs(10),
            hints: true,
            read_only_functions: Vec::new(),
            unknown_functions: UnknownFunctions::Primary,
        }
    }
}

word_enum! {
    /// Where a rule sends the reads that it matches.
    pub enum RuleTarget {
        /// To the primary.
        Primary = "primary",
        /// To a replica, if they can be answered there at all.
        Replica = "replica",
    }
}

/// `[[rule]]`: the first whose conditions all hold decides. Empty lists hold for everything.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleConfig {
    /// `name`: unique; `rule-N` for the N-th unless given. 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// `user`: user names as clients log in with; at most 100.
    pub users: Vec<String>,
    /// `schema`: default schemas of the session; at most 100.
    pub schemas: Vec<String>,
    /// `statement`: beginnings of statements, see [`crate::sql::Prefix`]; at most 100.
    pub statements: Vec<String>,
    /// `target`.
    pub target: Option<RuleTarget>,
    /// `tag`: some replica has it.
    pub tag: Option<String>,
    /// `max_lag`: in the place of that in `[routing]`, 1 ms to 1 d.
    pub max_lag: Option<Duration>,
    /// `read_only`: what may write is refused; in a rule by user alone the whole session is kept
    /// on replicas.
    pub read_only: bool,
}

word_enum! {
    /// For how long a session has a server connection to itself.
    pub enum PoolMode {
        /// While a statement or a transaction runs, or it holds what no other connection can be given.
        Transaction = "transaction",
        /// Until the client leaves; it is reset then, and serves another.
        Session = "session",
    }
}

/// `[pool]`: connections to the servers.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// `mode`.
    pub mode: PoolMode,
    /// `connect_timeout`: deadline of opening one connection, login included, 10 ms to 1 min.
    pub connect_timeout: Duration,
    /// `dead_after`: a server that has vanished silently is noticed on a connection to it after about this
    /// long, 2 s to 1 min.
    pub dead_after: Duration,
    /// `checkout_timeout`: how long a statement may wait for a connection, 10 ms to 10 min.
    pub checkout_timeout: Duration,
    /// `max_connections_per_account`: connections to each server for one user, at most 100 000;
    /// 0: no limit but the server's.
    pub max_connections_per_account: usize,
    /// `max_connecting`: connects to one server at a time, 1 to 1000.
    pub max_connecting: usize,
    /// `min_idle`: idle connections to each server that are kept ready for each account in use, at
    /// most 1000.
    pub min_idle: usize,
    /// `idle_timeout`: an idle connection is closed after this long, 100 ms to 1 d.
    pub idle_timeout: Duration,
    /// `max_lifetime`: a connection is closed at about this age, when it is idle, 100 ms to 1 d.
    pub max_lifetime: Duration,
    /// `max_prepared_statements`: statements that are kept prepared on one connection, 1 to 10 000.
    /// Each is some 10 KiB on its server, and counts for that one's `max_prepared_stmt_count` (16 382 by
    /// default).
    pub max_prepared_statements: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            mode: PoolMode::Transaction,
            connect_timeout: Duration::from_secs(1),
            dead_after: Duration::from_secs(3),
            checkout_timeout: Duration::from_secs(5),
            max_connections_per_account: 0,
            max_connecting: 8,
            min_idle: 0,
            idle_timeout: Duration::from_secs(60),
            max_lifetime: Duration::from_secs(30 * 60),
            max_prepared_statements: 250,
        }
    }
}

word_enum! {
    /// An authentication plugin that lagwise may name in its greeting.
    pub enum AuthPlugin {
        /// MySQL's default since 8.0.
        CachingSha2Password = "caching_sha2_password",
        /// For clients that cannot switch plugins.
        MysqlNativePassword = "mysql_native_password",
    }
}

/// `[auth]`: how clients log in.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthConfig {
    /// `default_plugin`: named in the greeting.
    pub default_plugin: AuthPlugin,
    /// `rsa_private_key_file`: PEM, for caching_sha2_password without TLS; `None`: a key is
    /// made at start.
    pub rsa_private_key: Option<PemFile>,
    /// `read_native_hashes`: whether the monitor may read mysql_native_password hashes from the
    /// servers, where its grants allow.
    pub read_native_hashes: bool,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            default_plugin: AuthPlugin::CachingSha2Password,
            rsa_private_key: None,
            read_native_hashes: true,
        }
    }
}

/// What an `[[account]]` knows of its password.
#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    /// `password`, `password_file` or `password_env`.
    Password(Secret),
    /// `native_hash`.
    NativeHash(NativeHash),
}

/// `[[account]]`: only for clients that know nothing but mysql_native_password; all others log in
/// without being listed.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountConfig {
    /// `user`: unique, 1 to 128 bytes.
    pub user: String,
    /// What proves it.
    pub credential: Credential,
}

/// `[client_protocol]`: what lagwise offers to clients.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientProtocolConfig {
    /// `compression`: offer zlib and zstd.
    pub compression: bool,
}

impl Default for ClientProtocolConfig {
    fn default() -> Self {
        Self { compression: true }
    }
}

word_enum! {
    /// The least important message that is logged.
    pub enum LogLevel {
        /// Something needs a person.
        Error = "error",
        /// Something may need a person.
        Warn = "warn",
        /// Topology changes, reloads, start and stop.
        Info = "info",
        /// Each session.
        Debug = "debug",
        /// Each packet.
        Trace = "trace",
    }
}

word_enum! {
    /// The shape of a log line.
    pub enum LogFormat {
        /// For people.
        Human = "human",
        /// One JSON object a line.
        Json = "json",
    }
}

word_enum! {
    /// How much of a statement may appear in the log.
    pub enum LogSql {
        /// Nothing.
        None = "none",
        /// Its digest: without the values.
        Digest = "digest",
        /// The statement as it was sent, literals included.
        Full = "full",
    }
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `level`.
    pub level: LogLevel,
    /// `format`. Restart.
    pub format: LogFormat,
    /// `sql`.
    pub sql: LogSql,
    /// `sql_one_in`: of so many statements one is logged, 1 to 1 000 000.
    pub sql_one_in: u32,
    /// `slow_query`: what takes as long is a slow statement; at most 1 h, with 0 none is.
    pub slow_query: Duration,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Human,
            sql: LogSql::None,
            sql_one_in: 1,
            slow_query: Duration::from_secs(1),
        }
    }
}
