//! From the TOML tree to a [`Config`]: every key, its bounds, and what must hold between keys.
//!
//! One line a key. The defaults of a table are those of `Default` of its type and nowhere else;
//! those of the keys above the first table are in [`read`].

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::error::quoted;
use super::file::{Document, Table};
use super::load::{ReadFile, Variable};
use super::sources::{PemKind, Sources};
use super::units::format_duration;
use super::{
    AccountConfig, AuthConfig, ClientProtocolConfig, Config, ConfigErrors, ConsistencyConfig,
    Credential, HttpConfig, ListenAddress, LogConfig, MonitorConfig, Pin, PoolConfig,
    RoutingConfig, Secret, ServerTls, access, client_tls, console, http, limits, listeners, rules,
    servers, units,
};

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const MAX_ACCOUNTS: usize = 10_000;
const MAX_FUNCTIONS: usize = 10_000;

/// User names: 32 characters on MySQL, 128 on MariaDB.
pub(super) const USER_FORM: &str = "1 to 128 bytes without NUL";

pub(super) fn config(
    text: &str,
    path: &Path,
    variable: &Variable<'_>,
    read_file: &ReadFile<'_>,
) -> Result<Config, ConfigErrors> {
    let document = Document::parse(text, path)?;
    let secret_files = RefCell::default();
    let sources = Sources { config_path: path, variable, read_file, secret_files };
    let mut config = read(&document.root(), &sources);
    document.finish()?;
    config.secret_files = sources.secret_files.into_inner();
    Ok(config)
}

/// Dotted names of every key there is, such as `monitor.user` or `server.tls.mode`: what a
/// reference of the file must describe.
pub fn known_keys() -> BTreeSet<String> {
    // Keys of repeated tables are asked for only where there is such a table.
    let text = "[[server]]\naddress = \"a:1\"\n[[account]]\n[[rule]]\n[[listener]]\n\
                [[console.user]]\n";
    let path = Path::new("");
    let Ok(document) = Document::parse(text, path) else { return BTreeSet::new() };
    let sources = Sources {
        config_path: path,
        variable: &|_| None,
        read_file: &|_| Err(std::io::ErrorKind::NotFound.into()),
        secret_files: RefCell::default(),
    };
    read(&document.root(), &sources);
    document.known_keys()
}

fn read(root: &Table<'_>, sources: &Sources<'_>) -> Config {
    let server_tls = servers::tls(&root.table("server_tls"), sources, &ServerTls::default());
    let (listen, listeners) = listeners::read(root);
    let mut config = Config {
        listen,
        listeners,
        worker_threads: root.integer("worker_threads", 0..=1024).unwrap_or(0) as usize,
        max_clients: root.integer("max_clients", 1..=1_000_000).unwrap_or(10_000) as usize,
        max_clients_per_account: client_limit(root, "max_clients_per_account"),
        max_clients_per_address: client_limit(root, "max_clients_per_address"),
        core_dumps: root.boolean("core_dumps").unwrap_or(false),
        max_digests: root.integer("max_digests", 0..=100_000).unwrap_or(1000) as usize,
        access: access::read(&root.table("access")),
        login_timeout: root.duration("login_timeout", 100 * MS..=HOUR).unwrap_or(10 * SECOND),
        drain_timeout: root.duration("drain_timeout", Duration::ZERO..=DAY).unwrap_or(30 * SECOND),
        max_packet: root.size("max_packet", 16 * MIB..=GIB).unwrap_or(GIB) as usize,
        servers: servers::read(root, sources, &server_tls),
        monitor: monitor(&root.table("monitor"), sources),
        routing: routing(&root.table("routing")),
        rules: Vec::new(),
        consistency: consistency(&root.table("consistency")),
        limits: limits::read(&root.table("limits")),
        pool: pool(&root.table("pool")),
        auth: auth(&root.table("auth"), sources),
        accounts: accounts(root, sources),
        client_tls: client_tls::read(&root.table("client_tls"), sources),
        server_tls,
        client_protocol: client_protocol(&root.table("client_protocol")),
        http: http::read(&root.table("http"), sources),
        console: console::read(&root.table("console"), sources),
        log: log(&root.table("log")),
        secret_files: Vec::new(),
    };
    config.rules = rules::read(root, &config.servers);
    check_loops(root, &config);
    config
}

/// A limit of clients that are alike; 0 for none.
fn client_limit(root: &Table<'_>, key: &str) -> usize {
    root.integer(key, 0..=1_000_000).unwrap_or(0) as usize
}

fn monitor(table: &Table<'_>, sources: &Sources<'_>) -> MonitorConfig {
    let user = user(table);
    let default = MonitorConfig::new("", Secret::new(""));
    MonitorConfig {
        user: user.unwrap_or_default(),
        password: credential(table, sources, PASSWORD_KEYS)
            .and_then(|credential| match credential {
                Credential::Password(password) => Some(password),
                Credential::NativeHash(_) => None,
            })
            .unwrap_or(default.password),
        password_file: sources.password_file(table),
        check_interval: table
            .duration("check_interval", 10 * MS..=MINUTE)
            .unwrap_or(default.check_interval),
        min_check_interval: table
            .duration("min_check_interval", 5 * MS..=MINUTE)
            .unwrap_or(default.min_check_interval),
        check_timeout: table
            .duration("check_timeout", 10 * MS..=MINUTE)
            .unwrap_or(default.check_timeout),
        up_after: table.integer("up_after", 1..=100).unwrap_or(default.up_after),
        down_after: table.integer("down_after", 1..=100).unwrap_or(default.down_after),
    }
}

fn routing(table: &Table<'_>) -> RoutingConfig {
    let default = RoutingConfig::default();
    let functions = table.list(
        "read_only_functions",
        MAX_FUNCTIONS,
        "\"name\" or \"schema.name\", of letters, digits, _ and $",
        function_name,
    );
    let routing = RoutingConfig {
        max_lag: table.duration("max_lag", MS..=DAY).unwrap_or(default.max_lag),
        lag_tolerance: table
            .duration("lag_tolerance", Duration::ZERO..=DAY)
            .unwrap_or(default.lag_tolerance),
        when_all_lag: table.word("when_all_lag").unwrap_or(default.when_all_lag),
        zone: servers::zone(table),
        primary_wait: table
            .duration("primary_wait", Duration::ZERO..=10 * MINUTE)
            .unwrap_or(default.primary_wait),
        slow_start: table
            .duration("slow_start", Duration::ZERO..=HOUR)
            .unwrap_or(default.slow_start),
        hints: table.boolean("hints").unwrap_or(default.hints),
        read_only_functions: functions.into_iter().flatten().map(|name| name.value).collect(),
        unknown_functions: table.word("unknown_functions").unwrap_or(default.unknown_functions),
    };
    if routing.lag_tolerance > routing.max_lag {
        let [tolerance, most] = [routing.lag_tolerance, routing.max_lag].map(format_duration);
        if table.has("lag_tolerance") {
            let allowed = format!("0s to max_lag, which is {most}");
            table.error("lag_tolerance", format!("{tolerance} is more than max_lag"), &allowed);
        } else {
            let allowed = format!("lag_tolerance, which is {tolerance}, to 1d");
            table.error("max_lag", format!("{most} is less than lag_tolerance"), &allowed);
        }
    }
    routing
}

fn consistency(table: &Table<'_>) -> ConsistencyConfig {
    let default = ConsistencyConfig::default();
    let allowed = "\"until_replicated\", \"session\", \"none\", or 1ms to 1d such as \"500ms\"";
    let pin = table.parsed("pin", allowed, |text| match text {
        "until_replicated" => Ok(Pin::UntilReplicated),
        "session" => Ok(Pin::Session),
        "none" => Ok(Pin::None),
        _ => match units::parse_duration(text) {
            Some(time) if (MS..=DAY).contains(&time) => Ok(Pin::For(time)),
            Some(_) => Err(format!("{} is out of range", quoted(text))),
            None => Err(format!("{} is unknown", quoted(text))),
        },
    });
    ConsistencyConfig {
        pin: pin.map_or(default.pin, |pin| pin.value),
        wait: table.duration("wait", Duration::ZERO..=10 * SECOND).unwrap_or(default.wait),
        monotonic_reads: table.boolean("monotonic_reads").unwrap_or(default.monotonic_reads),
        scope: table.word("scope").unwrap_or(default.scope),
        by_table: table.boolean("by_table").unwrap_or(default.by_table),
    }
}

fn pool(table: &Table<'_>) -> PoolConfig {
    let default = PoolConfig::default();
    let count = |key: &str, bounds, default: usize| {
        table.integer(key, bounds).map_or(default, |count| count as usize)
    };
    PoolConfig {
        mode: table.word("mode").unwrap_or(default.mode),
        connect_timeout: table
            .duration("connect_timeout", 10 * MS..=MINUTE)
            .unwrap_or(default.connect_timeout),
        dead_after: table.duration("dead_after", 2 * SECOND..=MINUTE).unwrap_or(default.dead_after),
        checkout_timeout: table
            .duration("checkout_timeout", 10 * MS..=10 * MINUTE)
            .unwrap_or(default.checkout_timeout),
        max_connections_per_account: count(
            "max_connections_per_account",
            0..=100_000,
            default.max_connections_per_account,
        ),
        max_connecting: count("max_connecting", 1..=1000, default.max_connecting),
        min_idle: count("min_idle", 0..=1000, default.min_idle),
        idle_timeout: table
            .duration("idle_timeout", 100 * MS..=DAY)
            .unwrap_or(default.idle_timeout),
        max_lifetime: table
            .duration("max_lifetime", 100 * MS..=DAY)
            .unwrap_or(default.max_lifetime),
        max_prepared_statements: count(
            "max_prepared_statements",
            1..=10_000,
            default.max_prepared_statements,
        ),
    }
}

fn auth(table: &Table<'_>, sources: &Sources<'_>) -> AuthConfig {
    let default = AuthConfig::default();
    AuthConfig {
        default_plugin: table.word("default_plugin").unwrap_or(default.default_plugin),
        rsa_private_key: sources.pem(table, "rsa_private_key_file", PemKind::PrivateKey),
        read_native_hashes: table
            .boolean("read_native_hashes")
            .unwrap_or(default.read_native_hashes),
    }
}

fn accounts(root: &Table<'_>, sources: &Sources<'_>) -> Vec<AccountConfig> {
    let mut accounts = Vec::new();
    let mut users = BTreeSet::new();
    for table in root.tables("account", MAX_ACCOUNTS) {
        let user = user(&table);
        let credential = credential(&table, sources, ACCOUNT_KEYS);
        if let Some(user) = &user
            && !users.insert(user.clone())
        {
            table.error("user", format!("{} is there twice", quoted(user)), "each user once");
        }
        if let (Some(user), Some(credential)) = (user, credential) {
            accounts.push(AccountConfig { user, credential });
        }
    }
    accounts
}

fn client_protocol(table: &Table<'_>) -> ClientProtocolConfig {
    let default = ClientProtocolConfig::default();
    ClientProtocolConfig {
        compression: table.boolean("compression").unwrap_or(default.compression),
    }
}

fn log(table: &Table<'_>) -> LogConfig {
    let default = LogConfig::default();
    LogConfig {
        level: table.word("level").unwrap_or(default.level),
        format: table.word("format").unwrap_or(default.format),
        sql: table.word("sql").unwrap_or(default.sql),
        sql_one_in: table.integer("sql_one_in", 1..=1_000_000).unwrap_or(default.sql_one_in),
        slow_query: table
            .duration("slow_query", Duration::ZERO..=HOUR)
            .unwrap_or(default.slow_query),
    }
}

/// A server that is lagwise itself would take every connection until no file descriptor is left;
/// an HTTP endpoint on a client port could not be bound.
fn check_loops(root: &Table<'_>, config: &Config) {
    for listener in &config.listen {
        for server in config.servers.iter().filter(|server| server.address.reaches(listener)) {
            let problem = format!("{listener} is also the address of server {}", server.name);
            root.error("listen", problem, "an address that is no server's");
        }
        if let (ListenAddress::Tcp(socket), Some(http)) = (listener, &config.http)
            && *socket == http.listen
            && socket.port() != 0
        {
            let problem = format!("{listener} is also where [http] listens");
            root.error("listen", problem, "another address than http.listen");
        }
    }
    let Some(console) = &config.console.listen else { return };
    let is_http = |http: &HttpConfig| *console == ListenAddress::Tcp(http.listen);
    let has_port = !matches!(console, ListenAddress::Tcp(socket) if socket.port() == 0);
    if has_port && (config.listen.contains(console) || config.http.as_ref().is_some_and(is_http)) {
        let problem = format!("{console} is also where clients or [http] are");
        root.table("console").error("listen", problem, "an address of its own");
    }
}

fn user(table: &Table<'_>) -> Option<String> {
    let user = table.parsed("user", USER_FORM, user_name);
    if !table.has("user") {
        table.error("user", "missing", USER_FORM);
    }
    user.map(|user| user.value)
}

pub(super) fn user_name(text: &str) -> Result<String, String> {
    if (1..=128).contains(&text.len()) && !text.contains('\0') {
        Ok(text.to_owned())
    } else {
        Err(format!("has {} bytes or holds NUL", text.len()))
    }
}

pub(super) const PASSWORD_KEYS: &[&str] = &["password", "password_file", "password_env"];
const ACCOUNT_KEYS: &[&str] = &["password", "password_file", "password_env", "native_hash"];

/// The one credential of a table, which may be under any of `keys`.
pub(super) fn credential(
    table: &Table<'_>,
    sources: &Sources<'_>,
    keys: &[&str],
) -> Option<Credential> {
    let given: Vec<&str> = keys.iter().copied().filter(|key| table.has(key)).collect();
    let allowed = format!("exactly one of {}", keys.join(", "));
    match given.as_slice() {
        [] => table.error("password", "missing", &allowed),
        [_] => {}
        [.., last] => table.error(last, format!("{} are all given", given.join(", ")), &allowed),
    }
    let password = sources.password(table).map(Credential::Password);
    if !keys.contains(&"native_hash") {
        return password;
    }
    password.or(sources.native_hash(table).map(Credential::NativeHash))
}

fn function_name(text: &str) -> Result<String, String> {
    let part_is_good = |part: &str| {
        (1..=64).contains(&part.chars().count())
            && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
    };
    if text.split('.').count() <= 2 && text.split('.').all(part_is_good) {
        Ok(text.to_lowercase())
    } else {
        Err(format!("{} is no function name", quoted(text)))
    }
}
