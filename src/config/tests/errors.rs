//! Every kind of error, with its line, its key and what is allowed instead.

mod meaning;
mod rules;

use std::path::Path;

use proptest::prelude::*;

use super::super::Config;
use super::{FULL, MINIMAL, parse};

fn errors(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

fn check(text: &str, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|line| format!("etc/p.toml:{line}")).collect();
    assert_eq!(errors(text), expected, "{text}");
}

/// `MINIMAL`, whose last line is the fifth, with `more` below it.
fn appended(more: &str, expected: &[&str]) {
    check(&format!("{MINIMAL}{more}"), expected);
}

/// `MINIMAL` with one thing replaced.
fn replaced(from: &str, to: &str, expected: &[&str]) {
    assert!(MINIMAL.contains(from), "{from}");
    check(&MINIMAL.replace(from, to), expected);
}

const PRIMARY: &str = "allowed: \"auto\", or \"host:port\", \"[IPv6]:port\" or \"unix:/path\"";
const SERVER: &str = "allowed: \"host:port\", \"[IPv6]:port\" or \"unix:/path\"";
const DURATION: &str = "a whole number and ms, s, m, h or d, such as \"250ms\"";
const SOURCES: &str = "allowed: exactly one of password, password_file, password_env";
const SYNTAX: &str = "allowed: TOML: [table], or key = value with text in quotes";

#[test]
fn all_of_them_at_once_in_the_order_of_lines() {
    check(
        "worker_threads = -1\n[monitor]\nup_after = 101\n\n[pool]\nfoo = 1\n",
        &[
            "1: listen: missing; allowed: \"IPv4:port\", \"[IPv6]:port\" or \"unix:/path\"",
            "1: worker_threads: -1 is out of range; allowed: 0 to 1024",
            &format!("1: primary: missing; {PRIMARY}"),
            "2: monitor.user: missing; allowed: 1 to 128 bytes without NUL",
            &format!("2: monitor.password: missing; {SOURCES}"),
            "3: monitor.up_after: 101 is out of range; allowed: 1 to 100",
            "6: pool.foo: unknown key; allowed: checkout_timeout, connect_timeout, dead_after, idle_timeout, \
             max_connecting, max_connections_per_account, max_lifetime, \
             max_prepared_statements, min_idle, mode",
        ],
    );
}

#[test]
fn a_table_that_is_missing_is_missed_at_the_end() {
    let text = "listen = \"0.0.0.0:1\"\nprimary = \"a:1\"\n\n";
    let user = "2: monitor.user: missing; allowed: 1 to 128 bytes without NUL";
    check(text, &[user, &format!("2: monitor.password: missing; {SOURCES}")]);
}

#[test]
fn syntax() {
    let with = |problem: &str| format!("{problem}; {SYNTAX}");
    appended("[log\n", &[&with("6: syntax: unclosed table, expected `]`")]);
    appended(
        "log.sql = quiet\n",
        &[&with("6: log.sql: string values must be quoted, expected literal string")],
    );
    appended("max_clients = 1\nmax_clients = 2\n", &[&with("7: max_clients: duplicate key")]);
    appended("[pool]\n[[account]]\n[pool]\n", &[&with("8: syntax: duplicate key")]);
    // What else is wrong is not said: the tree is only partly there.
    check(
        "[log]\nlevel = \"loud\nsql = 1\n",
        &[&with("2: log.level: invalid basic string, expected `\"`")],
    );
    // The line is not shown: it may hold a password.
    check(
        "[monitor]\npassword = hunter2\n",
        &[&with("2: monitor.password: string values must be quoted, expected literal string")],
    );
}

#[test]
fn unknown_keys() {
    let routing = "allowed: hints, lag_tolerance, max_lag, primary_wait, read_only_functions, \
                   slow_start, unknown_functions, when_all_lag, zone";
    appended(
        "[routing]\nmaxlag = 1\n",
        &[&format!("7: routing.maxlag: unknown key; did you mean \"max_lag\"?; {routing}")],
    );
    appended(
        "[routing]\npin = 1\n",
        &[&format!("7: routing.pin: unknown key; did you mean \"consistency.pin\"?; {routing}")],
    );
    appended(
        "[routing]\nmax_clients = 1\n",
        &[&format!(
            "7: routing.max_clients: unknown key here; it belongs above the first [table]; {routing}"
        )],
    );
    appended(
        "[routing]\nnonsense.x = 1\n",
        &[&format!("7: routing.nonsense: unknown key; {routing}")],
    );
    let root = "allowed: access, account, auth, client_protocol, client_tls, consistency, console, core_dumps, \
                drain_timeout, \
                http, limits, listen, listener, log, login_timeout, max_clients, max_clients_per_account, \
                max_clients_per_address, max_digests, max_packet, monitor, pool, primary, \
                replicas, routing, rule, server, server_tls, servers, worker_threads";
    appended(
        "[rooting]\nx = 1\n",
        &[&format!("6: rooting: unknown key; did you mean \"routing\"?; {root}")],
    );
    appended("\"\\u001bx\" = 1\n", &[&format!("6: \\u{{1b}}x: unknown key; {root}")]);
    appended(
        "[[account]]\nuser = \"a\"\npassword = \"\"\nhost = \"%\"\n",
        &[
            "9: account.host: unknown key; allowed: native_hash, password, password_env, password_file, user",
        ],
    );
    appended(
        "[[server]]\naddress = \"10.0.0.2:3306\"\ntls = { modes = \"off\" }\n",
        &[
            "8: server.tls.modes: unknown key; did you mean \"mode\"?; allowed: ca_file, cert_file, \
             key_file, mode, verify",
        ],
    );
}

#[test]
fn types() {
    appended(
        "max_clients = \"1\"\n",
        &["6: max_clients: is a string, not an integer; allowed: 1 to 1000000"],
    );
    appended(
        "routing.hints = 1\n",
        &["6: routing.hints: is an integer, not a boolean; allowed: true, false"],
    );
    appended(
        "log.level = 1.5\n",
        &[
            "6: log.level: is a float, not a string; allowed: \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        ],
    );
    appended(
        "login_timeout = 10\n",
        &[&format!(
            "6: login_timeout: is an integer, not a string; allowed: 100ms to 1h: {DURATION}"
        )],
    );
    appended("pool = 1\n", &["6: pool: is an integer, not a table; allowed: [pool]"]);
    appended("[[pool]]\n", &["6: pool: is an array, not a table; allowed: [pool]"]);
    appended(
        "[server]\nweight = 1\n",
        &["6: server: is a table, not an array of tables; allowed: at most 1000 tables [[server]]"],
    );
    appended(
        "account = [1]\n",
        &["6: account: is an integer, not a table; allowed: at most 10000 tables [[account]]"],
    );
    replaced(
        "\"10.0.0.3:3306\"]",
        "\n 2020-01-01]",
        &[&format!("4: replicas: is a datetime, not a string; {SERVER}")],
    );
    replaced(
        "\"0.0.0.0:3307\"",
        "3307",
        &[
            "1: listen: is an integer, not a string; allowed: \"IPv4:port\", \"[IPv6]:port\" or \"unix:/path\", or an array of such",
        ],
    );
}

#[test]
fn bounds() {
    for (key, low, least, most, high) in [
        ("login_timeout", "99ms", "100ms", "1h", "61m"),
        ("limits.unblock_after", "999ms", "1s", "1d", "25h"),
        ("limits.wait_timeout", "", "0s", "365d", "366d"),
        ("limits.interactive_timeout", "", "0s", "365d", "366d"),
        ("limits.net_read_timeout", "99ms", "100ms", "1h", "61m"),
        ("limits.net_write_timeout", "99ms", "100ms", "1m", "61s"),
        ("monitor.check_interval", "9ms", "10ms", "1m", "61s"),
        ("monitor.min_check_interval", "4ms", "5ms", "1m", "1h"),
        ("monitor.check_timeout", "0s", "10ms", "1m", "1h"),
        ("pool.connect_timeout", "1ms", "10ms", "1m", "2m"),
        ("pool.dead_after", "1999ms", "2s", "1m", "2m"),
        ("pool.checkout_timeout", "1ms", "10ms", "10m", "11m"),
        ("pool.idle_timeout", "99ms", "100ms", "1d", "25h"),
        ("pool.max_lifetime", "99ms", "100ms", "1d", "25h"),
        ("drain_timeout", "", "0s", "1d", "25h"),
        ("log.slow_query", "", "0s", "1h", "61m"),
        ("routing.max_lag", "0s", "100ms", "1d", "2d"),
    ] {
        let shown = least.replace("100ms", if key.contains("lag") { "1ms" } else { "100ms" });
        for bad in [low, high].iter().filter(|bad| !bad.is_empty()) {
            let problem = format!("\"{bad}\" is out of range");
            appended(
                &format!("{key} = \"{bad}\"\n"),
                &[&format!("6: {key}: {problem}; allowed: {shown} to {most}: {DURATION}")],
            );
        }
        appended(&format!("{key} = \"{least}\"\n"), &[]);
        appended(&format!("{key} = \"{most}\"\n"), &[]);
    }
}

#[test]
fn bounds_of_counts() {
    for (key, least, most) in [
        ("worker_threads", 0, 1024),
        ("max_clients", 1, 1_000_000),
        ("max_clients_per_account", 0, 1_000_000),
        ("max_clients_per_address", 0, 1_000_000),
        ("max_digests", 0, 100_000),
        ("limits.max_logins", 1, 1_000_000),
        ("limits.max_logins_per_address", 0, 1_000_000),
        ("limits.max_connect_errors", 0, 1_000_000),
        ("limits.max_open_statements", 1, 1_000_000),
        ("log.sql_one_in", 1, 1_000_000),
        ("monitor.up_after", 1, 100),
        ("monitor.down_after", 1, 100),
        ("pool.max_connections_per_account", 0, 100_000),
        ("pool.max_connecting", 1, 1000),
        ("pool.min_idle", 0, 1000),
        ("pool.max_prepared_statements", 1, 10_000),
        ("server.weight", 1, 1000),
        ("server.max_connections", 1, 100_000),
    ] {
        let (table, key) = key
            .strip_prefix("server.")
            .map_or(("", key), |k| ("[[server]]\naddress = \"10.0.0.2:3306\"\n", k));
        let (line, name) =
            if table.is_empty() { (6, key.to_owned()) } else { (8, format!("server.{key}")) };
        for bad in [(least - 1).to_string(), (most + 1).to_string(), "1".repeat(40)] {
            let problem = format!("{bad} is out of range");
            appended(
                &format!("{table}{key} = {bad}\n"),
                &[&format!("{line}: {name}: {problem}; allowed: {least} to {most}")],
            );
        }
        appended(&format!("{table}{key} = {least}\n"), &[]);
        appended(&format!("{table}{key} = {most}\n"), &[]);
    }
}

#[test]
fn sizes_and_durations() {
    let size = "allowed: 16MiB to 1GiB: a whole number and B, KiB, MiB or GiB, such as \"64MiB\"";
    appended(
        "max_packet = \"16777215B\"\n",
        &[&format!("6: max_packet: \"16777215B\" is out of range; {size}")],
    );
    appended(
        "max_packet = \"2GiB\"\n",
        &[&format!("6: max_packet: \"2GiB\" is out of range; {size}")],
    );
    appended("max_packet = \"64MB\"\n", &[&format!("6: max_packet: \"64MB\" is no size; {size}")]);
    appended("max_packet = \"16MiB\"\n", &[]);
    appended(
        "drain_timeout = \"10 s\"\n",
        &[&format!("6: drain_timeout: \"10 s\" is no duration; allowed: 0s to 1d: {DURATION}")],
    );
    let long = "x".repeat(61);
    appended(
        &format!("drain_timeout = \"{long}\"\n"),
        &[&format!(
            "6: drain_timeout: \"{}\"… is no duration; allowed: 0s to 1d: {DURATION}",
            &long[1..]
        )],
    );
}

#[test]
fn how_many() {
    let listeners: Vec<String> = (1..=65).map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    replaced(
        "\"0.0.0.0:3307\"",
        &format!("[{}]", listeners.join(",")),
        &["1: listen: has 65 entries; allowed: at most 64"],
    );
    let tags: Vec<String> = (1..=33).map(|tag| format!("\"t{tag}\"")).collect();
    let table = format!("[[server]]\naddress = \"10.0.0.2:3306\"\ntags = [{}]\n", tags.join(","));
    appended(&table, &["8: server.tags: has 33 entries; allowed: at most 32"]);
    let accounts: Vec<String> =
        (0..=10_000).map(|i| format!("{{user=\"u{i}\",password=\"\"}}")).collect();
    appended(
        &format!("account = [{}]\n", accounts.join(",")),
        &["6: account: there are 10001; allowed: at most 10000 tables [[account]]"],
    );
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempdir();
    let at = |name: &str| folder.join(name);
    let message = |path: &Path| {
        let errors = Config::load(path).expect_err("bad file").to_string();
        errors.replace(&folder.display().to_string(), "")
    };
    assert_eq!(
        message(&at("no.toml")),
        "/no.toml: cannot read: No such file or directory (os error 2)"
    );
    std::fs::write(at("latin1.toml"), b"# \xe9\n").unwrap();
    assert!(message(&at("latin1.toml")).starts_with("/latin1.toml: is not UTF-8: "));
    std::fs::write(at("big.toml"), vec![b'#'; (4 << 20) + 1]).unwrap();
    assert_eq!(message(&at("big.toml")), "/big.toml: cannot read: larger than 4 MiB");
    assert!(message(Path::new("/dev/zero")).ends_with("larger than 4 MiB"));
    std::fs::remove_dir_all(folder).unwrap();
}

fn tempdir() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("lagwise-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

proptest! {
    /// Whatever a line of a good file is replaced with: no panic, no secret in what is said, and
    /// each message has a line that exists.
    #[test]
    fn damaged_files(line in 0..FULL.lines().count(), with in "[a-z=\"'\\[\\]{}.0-9\n# ]{0,30}", cut in any::<bool>()) {
        let lines: Vec<&str> = FULL.lines().collect();
        let damaged = if cut { format!("{}{with}", &lines[line][..lines[line].len() / 2]) } else { with };
        let text = [&lines[..line], &[damaged.as_str()], &lines[line + 1..]].concat().join("\n");
        if let Err(found) = parse(&text) {
            prop_assert!(!found.0.is_empty());
            for error in &found.0 {
                let number = error.line.unwrap_or_default();
                prop_assert!((1..=text.lines().count().max(1)).contains(&number), "{error}\n{text}");
                prop_assert!(!error.to_string().contains("hunter2"), "{error}");
            }
        }
    }
}
