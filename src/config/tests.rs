//! Whole files: what they come to, what is said about the bad ones, and what a reload changes.

mod diff;
mod errors;
mod values;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

/// Five lines, as small as a configuration gets.
const MINIMAL: &str = r#"listen = "0.0.0.0:3307"
primary = "10.0.0.1:3306"
replicas = ["10.0.0.2:3306", "10.0.0.3:3306"]
monitor.user = "monitor"
monitor.password_env = "PASSWORD"
"#;

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    let variable = |name: &str| match name {
        "PASSWORD" => Some("hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        "LONG" => Some("hunter2".repeat(40)),
        "NUL" => Some("hunter2\0".to_owned()),
        _ => None,
    };
    Config::parse(text, Path::new("etc/p.toml"), &variable, &read_file)
}

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let contents: &[u8] = match path.to_str() {
        Some("etc/password") => b"hunter2\n",
        Some("etc/crlf") => b"hunter2\r\n",
        Some("etc/bare") => b"hunter2",
        Some("etc/binary") => b"\xff\xfe",
        Some("etc/empty") => b"\n",
        Some("etc/two") => b"hunter2\nb\n",
        Some("/abs/cert.pem") => b"text\n-----BEGIN CERTIFICATE-----\nhunter2\n",
        Some("/abs/new.pem") => b"-----BEGIN CERTIFICATE-----\nhunter3\n",
        Some("/abs/key.pem") => b"-----BEGIN RSA PRIVATE KEY-----\nhunter2\n",
        Some("/abs/locked.pem") => b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n",
        Some("/abs/old.pem") => b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
        _ => return Err(io::ErrorKind::NotFound.into()),
    };
    Ok(contents.to_vec())
}

#[test]
fn minimal_file_is_five_lines_and_has_the_defaults() {
    assert_eq!(MINIMAL.lines().count(), 5);
    let config = good(MINIMAL);
    let shown: Vec<String> =
        config.servers.iter().map(|s| format!("{} {} {}", s.role, s.name, s.address)).collect();
    let expected = ["primary 10.0.0.1:3306", "replica 10.0.0.2:3306", "replica 10.0.0.3:3306"];
    let expected = expected.map(|server| format!("{server} {}", &server[8..]));
    assert_eq!(shown, expected);
    assert_eq!(config.primary(), config.servers.first());
    assert_eq!(config.replicas().count(), 2);
    assert_eq!(config.monitor, MonitorConfig::new("monitor", Secret::new("hunter2")));
    assert_eq!(config.listen, vec!["0.0.0.0:3307".parse().unwrap()]);
    assert_eq!(config.login_timeout, Duration::from_secs(10));
    assert_eq!(config.max_packet, 1 << 30);
    assert_eq!(config.http, None);
    assert_eq!(config.accounts, vec![]);
    assert_eq!(config.secret_files, Vec::<PathBuf>::new());
}

/// A file with a value other than the default in each place where that is possible.
const FULL: &str = r#"listen = ["127.0.0.1:3307", "[::1]:3307", "unix:/run/lagwise.sock"]
primary = "unix:/run/mysqld.sock"
replicas = "DB2.example:3306"
worker_threads = 3
max_clients = 7
max_clients_per_account = 6
max_clients_per_address = 5
core_dumps = true
max_digests = 12
login_timeout = "2m"
drain_timeout = "0s"
max_packet = "64MiB"
[monitor]
user = "watch"
password_file = "password"
check_interval = "1s"
min_check_interval = "7ms"
check_timeout = "500ms"
up_after = 1
down_after = 9
[routing]
max_lag = "1d"
lag_tolerance = "0s"
when_all_lag = "error"
zone = "z-1"
slow_start = "1m"
primary_wait = "3s"
hints = false
read_only_functions = ["Total", "shop.Price$2"]
unknown_functions = "try"
[consistency]
pin = "500ms"
wait = "10s"
monotonic_reads = false
scope = "global"
by_table = false
[limits]
max_logins = 9
max_logins_per_address = 8
max_connect_errors = 7
unblock_after = "6s"
wait_timeout = "5s"
interactive_timeout = "4s"
net_read_timeout = "3s"
net_write_timeout = "2s"
max_statement_size = "1MiB"
max_open_statements = 10
[pool]
connect_timeout = "20ms"
dead_after = "5s"
checkout_timeout = "10m"
mode = "session"
max_connections_per_account = 7
max_connecting = 3
min_idle = 2
idle_timeout = "100ms"
max_lifetime = "1d"
max_prepared_statements = 9
[access]
allowed_networks = ["10.0.0.0/8", "::1"]
proxy_protocol_networks = "127.0.0.1"
allowed_users = ["app", "metabase"]
denied_users = "root"
[auth]
default_plugin = "mysql_native_password"
rsa_private_key_file = "/abs/key.pem"
read_native_hashes = false
[client_tls]
mode = "require"
cert_file = "/abs/cert.pem"
key_file = "/abs/key.pem"
client_certificates = "required"
ca_file = "/abs/new.pem"
[server_tls]
mode = "required"
verify = "full"
ca_file = "/abs/cert.pem"
cert_file = "/abs/cert.pem"
key_file = "/abs/key.pem"
[client_protocol]
compression = false
[console]
listen = "unix:/run/console.sock"
[[console.user]]
name = "a"
role = "admin"
password = "x"

[http]
listen = "[::1]:9999"
token = "hunter2.hunter2.hunter2"
[log]
level = "trace"
format = "json"
sql = "full"
sql_one_in = 7
slow_query = "0s"
[[server]]
address = "[FD00::0:3]:3308"
role = "replica"
name = "reports"
weight = 1000
drained = true
zone = "z-2"
tags = ["reporting", "bi"]
max_connections = 5
proxy_protocol = true
tls = { mode = "off" }
[[server]]
address = "db2.EXAMPLE:3306"
name = "db2"
[[listener]]
address = "[::1]:3307"
tls_mode = "off"
[[listener]]
address = "127.0.0.9:3309"
[[rule]]
name = "bi"
user = ["metabase", "tableau"]
tag = "reporting"
max_lag = "1h"
read_only = true
[[rule]]
schema = "archive"
statement = ["select * from a;", "TABLE a"]
target = "primary"
[[account]]
user = "old"
native_hash = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"
[[account]]
user = "older"
password = ""
"#;

#[test]
fn a_listener_has_its_own_mode_or_that_of_all() {
    let config = good(FULL);
    let modes = [1, 3].map(|at: usize| config.tls_mode(&config.listen[at]));
    assert_eq!(modes, [ClientTlsMode::Off, ClientTlsMode::Require]);
}

#[test]
fn every_key_arrives_where_it_belongs() {
    let config = good(FULL);
    let Config { servers, listen, .. } = &config;
    assert_eq!(listen.len(), 4);
    assert_eq!(listen[1].to_string(), "[::1]:3307");
    let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["unix:/run/mysqld.sock", "db2", "reports"]);
    assert_eq!(servers[1].address.to_string(), "db2.example:3306");
    assert_eq!(servers[1].tls, config.server_tls, "[server_tls] is the default of each");
    let reports = &servers[2];
    assert_eq!(reports.address.to_string(), "[fd00::3]:3308");
    assert_eq!((reports.weight, reports.max_connections, reports.drained), (1000, 5, true));
    assert_eq!(reports.zone.as_deref(), Some("z-2"));
    assert_eq!(reports.tags, ["reporting", "bi"]);
    assert_eq!(reports.tls.mode, ServerTlsMode::Off);
    assert_eq!(config.monitor.password.expose(), b"hunter2");
    assert_eq!(config.routing.when_all_lag, WhenAllLag::Error);
    assert_eq!(config.routing.zone.as_deref(), Some("z-1"));
    assert_eq!(config.routing.primary_wait + config.routing.slow_start, Duration::from_secs(63));
    assert_eq!(config.routing.read_only_functions, ["total", "shop.price$2"]);
    assert_eq!(config.routing.unknown_functions, UnknownFunctions::Try);
    assert_eq!(config.consistency.pin, Pin::For(Duration::from_millis(500)));
    let expected = LimitsConfig {
        max_logins: 9,
        max_logins_per_address: 8,
        max_connect_errors: 7,
        unblock_after: Duration::from_secs(6),
        wait_timeout: Duration::from_secs(5),
        interactive_timeout: Duration::from_secs(4),
        net_read_timeout: Duration::from_secs(3),
        net_write_timeout: Duration::from_secs(2),
        max_statement_size: 1 << 20,
        max_open_statements: 10,
    };
    assert_eq!(config.limits, expected);
    let expected = PoolConfig {
        mode: PoolMode::Session,
        connect_timeout: Duration::from_millis(20),
        dead_after: Duration::from_secs(5),
        checkout_timeout: Duration::from_secs(600),
        max_connections_per_account: 7,
        max_connecting: 3,
        min_idle: 2,
        idle_timeout: Duration::from_millis(100),
        max_lifetime: Duration::from_secs(86_400),
        max_prepared_statements: 9,
    };
    assert_eq!(config.pool, expected);
    assert_eq!(config.accounts.len(), 2);
    let rules: Vec<String> =
        config.rules.iter().map(|rule| format!("{}: {}", rule.name, rule.describe())).collect();
    let expected = [
        "bi: user metabase or tableau -> tag reporting, max_lag 1h, read only",
        "rule-2: schema archive, statement select * from a; or TABLE a -> primary",
    ];
    assert_eq!(rules, expected);
    check_console(&config);
    let files = ["/abs/key.pem", "etc/p.toml", "etc/password"].map(PathBuf::from);
    let mut secret_files = config.secret_files.clone();
    secret_files.sort();
    assert_eq!(secret_files, files);
}

/// What the assertions above do not name is at least not the default.
#[test]
fn every_key_has_another_value_than_its_default() {
    let differ = super::diff(&good(MINIMAL), &good(FULL));
    let changed: Vec<&str> = differ.changed.iter().map(|change| change.key.as_str()).collect();
    let missing: Vec<String> = known_keys()
        .into_iter()
        .filter(|key| {
            !["server", "account", "rule", "listener", "console.user"]
                .iter()
                .any(|table| key.starts_with(table))
        })
        .filter(|key| !is_table_or_password_source(key) && !changed.contains(&key.as_str()))
        .collect();
    assert_eq!(missing, ["primary", "replicas"], "these keys changed nothing");
}

fn check_console(config: &Config) {
    let user = &config.console.users[0];
    assert_eq!((user.name.as_str(), user.password.expose()), ("a", &b"x"[..]));
    assert_eq!(user.role, ConsoleRole::Admin);
}

fn is_table_or_password_source(key: &str) -> bool {
    let inner = format!("{key}.");
    let is_source = key.starts_with("monitor.password") || key.starts_with("http.token_");
    is_source || known_keys().iter().any(|name| name.starts_with(&inner))
}

#[test]
fn debug_shows_no_secret() {
    let config = good(FULL);
    let shown = format!("{config:?} {config:#?}");
    assert!(shown.contains("reports") && shown.contains("***"), "{shown}");
    // Passwords as text and as the list of bytes that a derived Debug would print.
    for leak in ["hunter", "104, 117", "2470", "36, 112"] {
        assert!(!shown.contains(leak), "{leak} in {shown}");
    }
}

#[test]
fn password_files_lose_one_line_end_and_nothing_else() {
    for (file, expected) in [
        ("password", &b"hunter2"[..]),
        ("crlf", b"hunter2"),
        ("bare", b"hunter2"),
        ("binary", b"\xff\xfe"),
    ] {
        let line = format!("monitor.password_file = \"{file}\"");
        let config = good(&MINIMAL.replace("monitor.password_env = \"PASSWORD\"", &line));
        assert_eq!(config.monitor.password.expose(), expected, "{file}");
        assert_eq!(config.secret_files, [Path::new("etc").join(file)]);
    }
}
