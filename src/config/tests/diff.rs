//! What a reload is said to change.

mod access;
mod consistency;
mod limits;
mod pool;

use std::collections::BTreeSet;

use super::super::{Config, diff, known_keys};
use super::{MINIMAL, good};

/// `MINIMAL` with `from` replaced by `to`; an empty `from` appends.
fn with(from: &str, to: &str) -> Config {
    if from.is_empty() {
        return good(&format!("{MINIMAL}{to}\n"));
    }
    assert!(MINIMAL.contains(from), "{from}");
    good(&MINIMAL.replace(from, to))
}

/// (key that the row covers, configuration of the old, of the new, lines)
type Row = (&'static str, [&'static str; 2], [&'static str; 2], &'static [&'static str]);

const ROWS: &[Row] = &[
    (
        "listen",
        ["0.0.0.0:3307", "0.0.0.0:3307"],
        ["0.0.0.0:3307", "0.0.0.0:3308"],
        &["listen: [0.0.0.0:3307] -> [0.0.0.0:3308] (after a restart)"],
    ),
    (
        "primary",
        ["", ""],
        ["10.0.0.1", "10.0.0.9"],
        &["server 10.0.0.9:3306 (primary): added", "server 10.0.0.1:3306 (primary): removed"],
    ),
    (
        "replicas",
        ["", ""],
        [", \"10.0.0.3:3306\"", ""],
        &["server 10.0.0.3:3306 (replica): removed"],
    ),
    (
        "server.name",
        ["", ""],
        ["", "[[server]]\naddress = \"10.0.0.2:3306\"\nname = \"b\""],
        &["server b (replica at 10.0.0.2:3306): added", "server 10.0.0.2:3306 (replica): removed"],
    ),
    (
        "server.address",
        ["", "[[server]]\naddress = \"x:1\"\nname = \"b\"\nrole = \"replica\""],
        ["", "[[server]]\naddress = \"x:2\"\nname = \"b\"\nrole = \"replica\""],
        &["server.b.address: x:1 -> x:2"],
    ),
    (
        "server.role",
        [
            "primary = \"10.0.0.1:3306\"\nreplicas = [\"10.0.0.2:3306\", \"10.0.0.3:3306\"]",
            "primary = \"a:1\"\nreplicas = \"b:1\"",
        ],
        [
            "primary = \"10.0.0.1:3306\"\nreplicas = [\"10.0.0.2:3306\", \"10.0.0.3:3306\"]",
            "primary = \"b:1\"\nreplicas = \"a:1\"",
        ],
        &["server.a:1.role: primary -> replica", "server.b:1.role: replica -> primary"],
    ),
    (
        "server.weight",
        ["", ""],
        ["", "[[server]]\naddress = \"10.0.0.2:3306\"\nweight = 3"],
        &["server.10.0.0.2:3306.weight: 1 -> 3"],
    ),
    (
        "server.zone",
        ["", ""],
        ["", "[[server]]\naddress = \"10.0.0.2:3306\"\nzone = \"z\""],
        &["server.10.0.0.2:3306.zone: added, z"],
    ),
    (
        "server.tags",
        ["", "[[server]]\naddress = \"10.0.0.2:3306\"\ntags = [\"a\"]"],
        ["", "[[server]]\naddress = \"10.0.0.2:3306\"\ntags = [\"a\", \"b\"]"],
        &["server.10.0.0.2:3306.tags: [a] -> [a, b]"],
    ),
    (
        "server.max_connections",
        ["", "[[server]]\naddress = \"10.0.0.2:3306\"\nmax_connections = 5"],
        ["", ""],
        &["server.10.0.0.2:3306.max_connections: 5 -> 1000"],
    ),
    (
        "server.tls.mode",
        ["", ""],
        ["", "[[server]]\naddress = \"10.0.0.2:3306\"\ntls.mode = \"off\""],
        &["server.10.0.0.2:3306.tls.mode: as_client -> off"],
    ),
    (
        "server.tls.ca_file",
        ["", "[[server]]\naddress = \"10.0.0.2:3306\"\ntls.ca_file = \"/abs/cert.pem\""],
        ["", ""],
        &["server.10.0.0.2:3306.tls.ca_file: removed, was /abs/cert.pem"],
    ),
    (
        "server.tls.verify",
        [
            "",
            "[[server]]\naddress = \"10.0.0.2:3306\"\ntls = { mode = \"required\", verify = \"ca\", ca_file = \"/abs/cert.pem\" }",
        ],
        [
            "",
            "[[server]]\naddress = \"10.0.0.2:3306\"\ntls = { mode = \"required\", verify = \"full\", ca_file = \"/abs/cert.pem\" }",
        ],
        &["server.10.0.0.2:3306.tls.verify: ca -> full"],
    ),
    (
        "server_tls.mode",
        ["", ""],
        ["", "[server_tls]\nmode = \"off\""],
        &[
            "server.10.0.0.1:3306.tls.mode: as_client -> off",
            "server.10.0.0.2:3306.tls.mode: as_client -> off",
            "server.10.0.0.3:3306.tls.mode: as_client -> off",
        ],
    ),
    (
        "worker_threads",
        ["listen", "worker_threads = 1\nlisten"],
        ["listen", "worker_threads = 2\nlisten"],
        &["worker_threads: 1 -> 2 (after a restart)"],
    ),
    ("max_clients", ["", ""], ["listen", "max_clients = 2\nlisten"], &["max_clients: 10000 -> 2"]),
    (
        "max_clients_per_account",
        ["", ""],
        ["listen", "max_clients_per_account = 2\nlisten"],
        &["max_clients_per_account: 0 -> 2"],
    ),
    (
        "max_clients_per_address",
        ["", ""],
        ["listen", "max_clients_per_address = 2\nlisten"],
        &["max_clients_per_address: 0 -> 2"],
    ),
    (
        "login_timeout",
        ["", ""],
        ["listen", "login_timeout = \"1m\"\nlisten"],
        &["login_timeout: 10s -> 1m"],
    ),
    (
        "drain_timeout",
        ["", ""],
        ["listen", "drain_timeout = \"1500ms\"\nlisten"],
        &["drain_timeout: 30s -> 1500ms"],
    ),
    ("max_digests", ["", ""], ["listen", "max_digests = 0\nlisten"], &["max_digests: 1000 -> 0"]),
    (
        "max_packet",
        ["", ""],
        ["listen", "max_packet = \"64MiB\"\nlisten"],
        &["max_packet: 1GiB -> 64MiB"],
    ),
    ("monitor.user", ["", ""], ["\"monitor\"", "\"watch\""], &["monitor.user: monitor -> watch"]),
    (
        "monitor.password",
        ["", ""],
        ["password_env = \"PASSWORD\"", "password = \"hunter3\""],
        &["monitor.password: changed"],
    ),
    (
        "monitor.password_file",
        ["", ""],
        ["password_env = \"PASSWORD\"", "password_file = \"password\""],
        &[],
    ),
    (
        "monitor.check_interval",
        ["", ""],
        ["", "monitor.check_interval = \"1s\""],
        &["monitor.check_interval: 250ms -> 1s"],
    ),
    (
        "monitor.min_check_interval",
        ["", ""],
        ["", "monitor.min_check_interval = \"5ms\""],
        &["monitor.min_check_interval: 20ms -> 5ms"],
    ),
    (
        "monitor.check_timeout",
        ["", ""],
        ["", "monitor.check_timeout = \"2s\""],
        &["monitor.check_timeout: 1s -> 2s"],
    ),
    ("monitor.up_after", ["", ""], ["", "monitor.up_after = 9"], &["monitor.up_after: 2 -> 9"]),
    (
        "monitor.down_after",
        ["", ""],
        ["", "monitor.down_after = 9"],
        &["monitor.down_after: 3 -> 9"],
    ),
    (
        "routing.max_lag",
        ["", "routing.max_lag = \"5s\""],
        ["", ""],
        &["routing.max_lag: 5s -> 10s"],
    ),
    (
        "routing.lag_tolerance",
        ["", ""],
        ["", "routing.lag_tolerance = \"0s\""],
        &["routing.lag_tolerance: 100ms -> 0s"],
    ),
    (
        "routing.when_all_lag",
        ["", ""],
        ["", "routing.when_all_lag = \"least_lagged\""],
        &["routing.when_all_lag: primary -> least_lagged"],
    ),
    (
        "routing.zone",
        ["", "routing.zone = \"a\""],
        ["", "routing.zone = \"b\""],
        &["routing.zone: a -> b"],
    ),
    (
        "routing.slow_start",
        ["", ""],
        ["", "routing.slow_start = \"0s\""],
        &["routing.slow_start: 10s -> 0s"],
    ),
    (
        "routing.primary_wait",
        ["", ""],
        ["", "routing.primary_wait = \"0s\""],
        &["routing.primary_wait: 10s -> 0s"],
    ),
    ("routing.hints", ["", ""], ["", "routing.hints = false"], &["routing.hints: true -> false"]),
    (
        "routing.read_only_functions",
        ["", ""],
        ["", "routing.read_only_functions = [\"f\"]"],
        &["routing.read_only_functions: [] -> [f]"],
    ),
    (
        "rule.name",
        ["", "[[rule]]\nuser = \"u\"\ntarget = \"replica\""],
        ["", "[[rule]]\nuser = \"u\"\ntarget = \"replica\"\nname = \"n\""],
        &[
            "rule: [rule-1] -> [n]",
            "rule.rule-1.user: removed, was [u]",
            "rule.rule-1.target: removed, was replica",
            "rule.rule-1.read_only: removed, was false",
            "rule.n.user: added, [u]",
            "rule.n.target: added, replica",
            "rule.n.read_only: added, false",
        ],
    ),
    (
        "rule.user",
        ["", "[[rule]]\nuser = \"u\"\ntarget = \"replica\""],
        ["", "[[rule]]\nuser = [\"u\", \"v\"]\ntarget = \"replica\""],
        &["rule.rule-1.user: [u] -> [u, v]"],
    ),
    (
        "rule.schema",
        ["", "[[rule]]\nuser = \"u\"\ntarget = \"replica\""],
        ["", "[[rule]]\nuser = \"u\"\ntarget = \"replica\"\nschema = \"s\""],
        &["rule.rule-1.schema: added, [s]"],
    ),
    (
        "rule.statement",
        ["", "[[rule]]\nuser = \"u\"\ntarget = \"replica\""],
        ["", "[[rule]]\nuser = \"u\"\ntarget = \"replica\"\nstatement = \"SELECT 1\""],
        &["rule.rule-1.statement: added, [SELECT 1]"],
    ),
    (
        "rule.target",
        ["", "[[rule]]\nuser = \"u\"\ntarget = \"replica\""],
        ["", "[[rule]]\nuser = \"u\"\ntarget = \"primary\""],
        &["rule.rule-1.target: replica -> primary"],
    ),
    (
        "rule.tag",
        [
            "",
            "[[server]]\naddress = \"10.0.0.2:3306\"\ntags = [\"a\", \"b\"]\n[[rule]]\nuser = \"u\"\ntarget = \"replica\"\ntag = \"a\"",
        ],
        [
            "",
            "[[server]]\naddress = \"10.0.0.2:3306\"\ntags = [\"a\", \"b\"]\n[[rule]]\nuser = \"u\"\ntarget = \"replica\"\ntag = \"b\"",
        ],
        &["rule.rule-1.tag: a -> b"],
    ),
    (
        "rule.max_lag",
        ["", "[[rule]]\nuser = \"u\"\ntarget = \"replica\""],
        ["", "[[rule]]\nuser = \"u\"\ntarget = \"replica\"\nmax_lag = \"1m\""],
        &["rule.rule-1.max_lag: added, 1m"],
    ),
    (
        "rule.read_only",
        ["", "[[rule]]\nuser = \"u\"\ntarget = \"replica\""],
        ["", "[[rule]]\nuser = \"u\"\ntarget = \"replica\"\nread_only = true"],
        &["rule.rule-1.read_only: false -> true"],
    ),
    (
        "routing.unknown_functions",
        ["", ""],
        ["", "routing.unknown_functions = \"try\""],
        &["routing.unknown_functions: primary -> try"],
    ),
    ("pool.min_idle", ["", ""], ["", "pool.min_idle = 9"], &["pool.min_idle: 0 -> 9"]),
    (
        "auth.default_plugin",
        ["", ""],
        ["", "auth.default_plugin = \"mysql_native_password\""],
        &["auth.default_plugin: caching_sha2_password -> mysql_native_password"],
    ),
    (
        "auth.rsa_private_key_file",
        ["", ""],
        ["", "auth.rsa_private_key_file = \"/abs/key.pem\""],
        &["auth.rsa_private_key_file: added, /abs/key.pem"],
    ),
    (
        "auth.read_native_hashes",
        ["", ""],
        ["", "auth.read_native_hashes = false"],
        &["auth.read_native_hashes: true -> false"],
    ),
    (
        "account.user",
        ["", ""],
        ["", "[[account]]\nuser = \"a\"\npassword = \"x\""],
        &["account.a.password: added"],
    ),
    (
        "account.password",
        ["", "[[account]]\nuser = \"a\"\npassword = \"x\""],
        ["", "[[account]]\nuser = \"a\"\npassword = \"y\""],
        &["account.a.password: changed"],
    ),
    (
        "account.native_hash",
        ["", "[[account]]\nuser = \"a\"\npassword = \"x\""],
        [
            "",
            "[[account]]\nuser = \"a\"\nnative_hash = \"*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19\"",
        ],
        &["account.a.password: removed", "account.a.native_hash: added"],
    ),
    (
        "client_protocol.compression",
        ["", ""],
        ["", "client_protocol.compression = false"],
        &["client_protocol.compression: true -> false"],
    ),
    ("log.level", ["", ""], ["", "log.level = \"warn\""], &["log.level: info -> warn"]),
    (
        "log.format",
        ["", ""],
        ["", "log.format = \"json\""],
        &["log.format: human -> json (after a restart)"],
    ),
    ("log.sql", ["", ""], ["", "log.sql = \"full\""], &["log.sql: none -> full"]),
    ("log.sql_one_in", ["", ""], ["", "log.sql_one_in = 10"], &["log.sql_one_in: 1 -> 10"]),
    (
        "log.slow_query",
        ["", ""],
        ["", "log.slow_query = \"250ms\""],
        &["log.slow_query: 1s -> 250ms"],
    ),
];

fn rows() -> impl Iterator<Item = &'static Row> {
    [ROWS, access::ROWS, consistency::ROWS, limits::ROWS, pool::ROWS].into_iter().flatten()
}

#[test]
fn each_key_is_named_with_old_and_new() {
    for (key, old, new, lines) in rows() {
        let (old, new) = (with(old[0], old[1]), with(new[0], new[1]));
        let found = diff(&old, &new);
        assert_eq!(found.lines(), *lines, "{key}");
        assert_eq!(found.is_empty(), lines.is_empty(), "{key}");
        let restart: BTreeSet<&str> = found.needs_restart().iter().copied().collect();
        assert_eq!(!restart.is_empty(), lines.iter().any(|l| l.contains("restart")), "{key}");

        // What a reload can put in force has no such key left in it.
        let in_force = new.clone().keeping_restart_keys(&old);
        assert_eq!(diff(&old, &in_force).needs_restart().len(), 0, "{key}");
        assert_eq!(diff(&in_force, &new).lines().len(), restart.len(), "{key}");
    }
}

#[test]
fn no_key_is_left_out() {
    let covered: BTreeSet<String> = rows().map(|row| row.0.to_owned()).collect();
    let tables = |key: &String| known_keys().iter().any(|k| k.starts_with(&format!("{key}.")));
    let left: Vec<String> =
        known_keys().into_iter().filter(|key| !tables(key) && !covered.contains(key)).collect();
    // Other sources of what monitor.password, account.password, http.token and server.tls cover.
    let same = [
        "account.password_env",
        "account.password_file",
        "console.user.password_env",
        "console.user.password_file",
        "http.token_env",
        "http.token_file",
        "monitor.password_env",
        // There is one word for it so far.
        "pool.mode",
        "server_tls.ca_file",
        "server_tls.cert_file",
        "server_tls.key_file",
        "server_tls.verify",
        // Of servers, as replicas is.
        "servers",
    ];
    assert_eq!(left, same);
}

#[test]
fn nothing_differs_from_itself_or_in_another_order() {
    let old = good(super::FULL);
    assert!(diff(&old, &old).is_empty());
    let mut new = old.clone();
    new.servers.reverse();
    new.secret_files.clear();
    assert_eq!(diff(&old, &new).lines(), Vec::<String>::new());
}

#[test]
fn a_renewed_certificate_is_a_change() {
    let old = good(super::FULL);
    let mut new = old.clone();
    let mut renewed = good(&super::FULL.replace("cert.pem", "new.pem")).client_tls.cert.unwrap();
    renewed.path = "/abs/cert.pem".into();
    new.client_tls.cert = Some(renewed);
    let lines = diff(&old, &new).lines();
    assert_eq!(lines, ["client_tls.cert_file: /abs/cert.pem has new contents"]);
}

#[test]
fn no_secret_in_the_lines() {
    let old = good(&MINIMAL.replace("password_env = \"PASSWORD\"", "password = \"hunter3\""));
    let found = diff(&old, &good(super::FULL));
    let shown = format!("{:?} {found:?}", found.lines());
    assert!(shown.contains("monitor.password: changed"));
    assert!(!shown.contains("hunter") && !shown.contains("2470"), "{shown}");
}
