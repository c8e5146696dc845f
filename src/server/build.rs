//! From the configuration to what the modules take. Everything here may fail, and is done before
//! anything is changed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::auth::{AuthError, KnownAccount, Plugin, RsaKey};
use crate::backend::Endpoint;
use crate::backend::endpoint::{EndpointTls, UseFor};
use crate::cluster::{NoPrimary, Server};
use crate::config::{
    AuthPlugin, ClientCertificates, ClientTls, Config, Credential, LogConfig, LogFormat, PemFile,
    PoolConfig, RuleConfig, RuleTarget, ServerAddress, ServerConfig, ServerTlsMode, TlsVerify,
    UnknownFunctions,
};
use crate::logging::Format;
use crate::metrics::LabelSets;
use crate::net::tls::{self, ClientAuth, Identity, SelfSigned, TlsError, VerifyMode};
use crate::pool::Limits;
use crate::protocol::Command;
use crate::route::{PinCause, Policy, Reason, Rule, Rules, Side};
use crate::session::access::{Access, ListenerTls};
use crate::session::error::Kind;
use crate::session::{Bounds, Hold, LearnedFunctions, RejectCause, Settings};
use crate::sql::Prefix;

/// Why a valid configuration cannot be put into effect.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Certificates and keys for clients.
    #[error("client_tls: {0}")]
    ClientTls(TlsError),
    /// Authorities for a server.
    #[error("TLS for server '{server}': {source}")]
    ServerTls {
        /// Name of the server.
        server: String,
        /// What is wrong.
        source: TlsError,
    },
    /// The RSA key.
    #[error("auth.rsa_private_key_file: {0}")]
    RsaKey(#[from] AuthError),
    /// There is no primary.
    #[error(transparent)]
    NoPrimary(#[from] NoPrimary),
}

/// The label values of the metrics that belong to other modules.
pub const LABELS: LabelSets = LabelSets {
    targets: &["primary", "replica", "none"],
    reasons: Reason::NAMES,
    commands: Command::NAMES,
    pin_causes: PinCause::NAMES,
    holds: Hold::NAMES,
    reject_causes: RejectCause::NAMES,
    error_kinds: Kind::NAMES,
};

/// A certificate for clients where none is configured.
pub fn self_signed() -> Result<SelfSigned, BuildError> {
    tls::self_signed().map_err(BuildError::ClientTls)
}

/// TLS from clients, wherever they connect.
fn client_tls(config: &Config, own: &SelfSigned) -> Result<ListenerTls, TlsError> {
    let ClientTls { mode, cert, key, client_certificates, ca } = &config.client_tls;
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Identity::Files { cert: &cert.path, key: &key.path },
        _ => Identity::Own(own),
    };
    let clients = match (client_certificates, ca) {
        (ClientCertificates::Optional, Some(ca)) => ClientAuth::Optional(&ca.path),
        (ClientCertificates::Required, Some(ca)) => ClientAuth::Required(&ca.path),
        _ => ClientAuth::None,
    };
    let modes = config
        .listeners
        .iter()
        .filter_map(|listener| Some((listener.address.clone(), listener.tls_mode?)));
    Ok(ListenerTls::new(tls::server_config(identity, clients)?, *mode, modes.collect()))
}

/// What sessions need but the counters of rules, which are exchanged when nothing can fail any more;
/// `self_signed` serves clients where no certificate is configured.
pub fn settings(config: &Config, self_signed: &SelfSigned) -> Result<Settings, BuildError> {
    Ok(Settings {
        policy: policy(config),
        max_lag: config.routing.max_lag,
        when_all_lag: config.routing.when_all_lag,
        rule_counts: Vec::new(),
        learned: LearnedFunctions::default(),
        pin: config.consistency.pin,
        wait: config.consistency.wait,
        monotonic_reads: config.consistency.monotonic_reads,
        scope: config.consistency.scope,
        by_table: config.consistency.by_table,
        access: Access::new(&config.access),
        tells_clients: config.servers.iter().any(|server| server.proxy_protocol),
        max_clients: config.max_clients,
        max_clients_per_account: config.max_clients_per_account,
        max_clients_per_address: config.max_clients_per_address,
        logins: Bounds {
            all: config.limits.max_logins,
            of_origin: config.limits.max_logins_per_address,
        },
        max_connect_errors: config.limits.max_connect_errors,
        unblock_after: config.limits.unblock_after,
        login_timeout: config.login_timeout,
        connect_timeout: config.pool.connect_timeout,
        primary_wait: config.routing.primary_wait,
        checkout_timeout: config.pool.checkout_timeout,
        max_prepared_statements: config.pool.max_prepared_statements,
        pool_mode: config.pool.mode,
        max_packet: config.max_packet,
        max_statement_size: config.limits.max_statement_size,
        max_open_statements: config.limits.max_open_statements,
        wait_timeout: config.limits.wait_timeout,
        interactive_timeout: config.limits.interactive_timeout,
        net_read_timeout: config.limits.net_read_timeout,
        net_write_timeout: config.limits.net_write_timeout,
        tls: client_tls(config, self_signed).map_err(BuildError::ClientTls)?,
        log_sql: config.log.sql,
        log_sql_one_in: config.log.sql_one_in,
        slow_query: config.log.slow_query,
        compression: config.client_protocol.compression,
        greeting_plugin: match config.auth.default_plugin {
            AuthPlugin::CachingSha2Password => Plugin::CachingSha2,
            AuthPlugin::MysqlNativePassword => Plugin::Native,
        },
        accounts: accounts(config),
    })
}

/// What routing goes by.
pub fn policy(config: &Config) -> Policy {
    let read_only = config.routing.read_only_functions.iter().map(String::as_str).collect();
    Policy {
        hints: config.routing.hints,
        read_only_functions: Arc::new(read_only),
        rules: Arc::new(Rules::new(config.rules.iter().map(rule).collect())),
        try_unknown_functions: config.routing.unknown_functions == UnknownFunctions::Try,
        ..Policy::default()
    }
}

fn rule(config: &RuleConfig) -> Rule {
    let bytes = |text: &String| text.as_bytes().into();
    Rule {
        name: config.name.as_str().into(),
        users: config.users.iter().map(bytes).collect(),
        schemas: config.schemas.iter().map(bytes).collect(),
        // The validation has read them all before.
        statements: config.statements.iter().filter_map(|it| Prefix::parse(it).ok()).collect(),
        target: config.target.map(|target| match target {
            RuleTarget::Primary => Side::Primary,
            RuleTarget::Replica => Side::Replica,
        }),
        tag: config.tag.as_deref().map(Into::into),
        max_lag: config.max_lag,
        read_only: config.read_only,
    }
}

/// The names of the rules, in their order.
pub fn rule_names(config: &Config) -> impl Iterator<Item = &str> {
    config.rules.iter().map(|rule| rule.name.as_str())
}

fn accounts(config: &Config) -> HashMap<Vec<u8>, Arc<KnownAccount>> {
    let known = |credential: &Credential| match credential {
        Credential::Password(password) => {
            KnownAccount::default().with_password(password.expose().to_vec().into())
        }
        Credential::NativeHash(hash) => KnownAccount::default().with_native_hash(*hash.expose()),
    };
    let entry = |account: &crate::config::AccountConfig| {
        (account.user.clone().into_bytes(), Arc::new(known(&account.credential)))
    };
    config.accounts.iter().map(entry).collect()
}

/// The servers, and how they are reached.
pub fn servers(config: &Config) -> Result<Vec<Server>, BuildError> {
    config.servers.iter().map(|it| server(it, &config.pool)).collect()
}

fn server(config: &ServerConfig, pool: &PoolConfig) -> Result<Server, BuildError> {
    let named = |source| BuildError::ServerTls { server: config.name.clone(), source };
    let tls = endpoint_tls(config).map_err(named)?;
    let address = config.address.clone();
    let endpoint = Endpoint {
        address,
        tls,
        dead_after: pool.dead_after,
        proxy_protocol: config.proxy_protocol,
    };
    let limits = Limits {
        max_connections: config.max_connections,
        max_connections_per_account: pool.max_connections_per_account,
        max_connecting: pool.max_connecting,
        min_idle: pool.min_idle,
        idle_timeout: pool.idle_timeout,
        max_lifetime: pool.max_lifetime,
        connect_timeout: pool.connect_timeout,
    };
    Ok(Server { config: config.clone(), endpoint, limits })
}

fn endpoint_tls(server: &ServerConfig) -> Result<Option<EndpointTls>, TlsError> {
    let ServerAddress::Tcp { host, .. } = &server.address else { return Ok(None) };
    let use_for = match server.tls.mode {
        ServerTlsMode::Off => return Ok(None),
        ServerTlsMode::AsClient => UseFor::SecureClients,
        ServerTlsMode::Preferred => UseFor::AllIfOffered,
        ServerTlsMode::Required => UseFor::All,
    };
    let verify = match server.tls.verify {
        TlsVerify::None => VerifyMode::None,
        TlsVerify::Ca => VerifyMode::Ca,
        TlsVerify::Full => VerifyMode::Full,
    };
    let ca = server.tls.ca.as_ref().map(|ca| ca.path.as_path());
    let path = |file: &'_ Option<PemFile>| file.as_ref().map(|file| file.path.clone());
    let own = path(&server.tls.cert).zip(path(&server.tls.key));
    let own = own.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
    let config = tls::client_config(verify, ca, own)?;
    Ok(Some(EndpointTls { config, name: tls::server_name(host)?, use_for }))
}

/// The configured key, or a new one.
pub fn rsa_key(config: &Config) -> Result<RsaKey, BuildError> {
    let key = match &config.auth.rsa_private_key {
        Some(file) => RsaKey::from_pem(file.contents.expose()),
        None => RsaKey::generate(),
    };
    key.map_err(BuildError::RsaKey)
}

/// `worker_threads`, or one for each core.
pub fn worker_threads(config: &Config) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    if config.worker_threads == 0 { cores() } else { config.worker_threads }
}

/// The log level as a filter.
pub fn log_filter(log: &LogConfig) -> String {
    format!("lagwise={}", log.level)
}

/// The log's format.
pub fn log_format(log: &LogConfig) -> Format {
    match log.format {
        LogFormat::Human => Format::Human,
        LogFormat::Json => Format::Json,
    }
}
