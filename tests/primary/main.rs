//! Statements for a primary that takes none: they wait, once, and what a session had there is lost with
//! the right error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../raw/mod.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;
#[path = "../chaos/switch.rs"]
#[allow(dead_code)]
mod switch;

use std::process::Command;

use raw::{Client, Fail};
use support::{Lab, Make, Proxy, eventually};
use switch::Topology;

/// The primary is the configured one.
const FIXED: &str = "[routing]\nprimary_wait = \"1m\"\n[pool]\nconnect_timeout = \"1s\"";
const HASTY: &str = "[routing]\nprimary_wait = \"300ms\"\n[pool]\nconnect_timeout = \"1s\"";

fn waiting(proxy: &Proxy) -> f64 {
    proxy.metrics().value("lagwise_waiting_for_primary")
}

fn held(proxy: &Proxy, reason: &str) -> bool {
    proxy.metrics().value(&format!("lagwise_primary_held{{reason=\"{reason}\"}}")) == 1.0
}

/// Notes that begin with this.
fn notes(lab: &Lab, server: usize, text: &str) -> String {
    lab.sql(server, &format!("SELECT COUNT(*) FROM shop.note WHERE text = '{text}'"))
}

fn note(client: &mut Client, text: &str) -> Result<(), Fail> {
    client.query(&format!("INSERT INTO note (text) VALUES ('{text}')")).map(drop)
}

/// What is written while `meanwhile` runs waits for its end.
fn waits(proxy: &Proxy, text: &str, meanwhile: impl FnOnce()) -> Result<(), Fail> {
    waits_with(proxy, |client| note(client, text), meanwhile)
}

/// What `write` does while `meanwhile` runs waits for its end.
fn waits_with(
    proxy: &Proxy,
    write: impl FnOnce(&mut Client) -> Result<(), Fail> + Send,
    meanwhile: impl FnOnce(),
) -> Result<(), Fail> {
    let mut client = Client::app(proxy.port());
    client.run("SELECT 1");
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| write(&mut client));
        eventually("it waits", || waiting(proxy) == 1.0);
        meanwhile();
        writing.join().unwrap()
    })
}

/// Down: what was not sent waits, and reads go on.
fn down(lab: &Lab, proxy: &Proxy) {
    let mut reader = Client::app(proxy.port());
    reader.run("SELECT COUNT(*) FROM items");
    lab.kill(0);
    eventually("the primary is held", || held(proxy, "down"));
    let result = waits(proxy, "down", || {
        assert_eq!(reader.value("SELECT COUNT(*) FROM items"), "100");
        // A new session, too.
        assert_eq!(Client::app(proxy.port()).value("SELECT COUNT(*) FROM items"), "100");
        lab.restart(0);
    });
    result.unwrap();
    assert_eq!(notes(lab, 0, "down"), "1");
    assert!(!held(proxy, "down") && waiting(proxy) == 0.0);
    let metrics = proxy.metrics();
    assert!(metrics.value("lagwise_primary_waits_total{outcome=\"served\"}") >= 1.0);
}

/// Not for ever; and the session goes on.
fn down_for_too_long(lab: &Lab, proxy: &Proxy) {
    assert!(proxy.reload(HASTY));
    let mut client = Client::app(proxy.port());
    client.run("SELECT 1");
    lab.kill(0);
    eventually("the primary is held", || held(proxy, "down"));
    let fail = note(&mut client, "too long").unwrap_err();
    let text = fail.to_string();
    assert_eq!(fail.code(), 1429, "{text}");
    assert!(text.contains("is down") && text.contains("300ms (primary_wait)"), "{text}");
    lab.restart(0);
    eventually("it is back", || !held(proxy, "down"));
    note(&mut client, "after that").unwrap();
    assert_eq!(notes(lab, 0, "too long"), "0");
    assert!(proxy.reload(FIXED));
}

/// Read-only: nobody hears of the option.
fn read_only(lab: &Lab, proxy: &Proxy) {
    let topology = Topology::of(lab);
    topology.set_read_only(0, true);
    waits(proxy, "read-only", || topology.set_read_only(0, false)).unwrap();
    assert_eq!(notes(lab, 0, "read-only"), "1");

    let mut client = Client::app(proxy.port());
    client.run("BEGIN");
    note(&mut client, "in a transaction").unwrap();
    topology.set_read_only(0, true);
    let fail = note(&mut client, "in a transaction").unwrap_err();
    assert_eq!(fail.code(), 1213, "{fail}");
    topology.set_read_only(0, false);
    // It is over, on both sides.
    note(&mut client, "by itself").unwrap();
    assert_eq!(
        (notes(lab, 0, "in a transaction"), notes(lab, 0, "by itself")),
        ("0".into(), "1".into())
    );

    // What has committed something before it was refused is not run again.
    topology.set_read_only(0, true);
    let fail = client.query("CALL take_note('called')").unwrap_err();
    assert!(fail.code() == 1158 && fail.to_string().contains("not known"), "{fail}");
    topology.set_read_only(0, false);
    assert_eq!(notes(lab, 0, "called"), "0");

    several(lab, proxy, &topology);

    assert!(proxy.reload(HASTY));
    topology.set_read_only(0, true);
    let fail = note(&mut client, "for long").unwrap_err();
    assert!(fail.code() == 1429 && fail.to_string().contains("is read-only"), "{fail}");
    topology.set_read_only(0, false);
    assert!(proxy.reload(FIXED));
}

/// Several statements in one text wait as one does: nothing has run where the first is refused, unless that
/// may have committed something before.
fn several(lab: &Lab, proxy: &Proxy, topology: &Topology) {
    let insert = |text: &str| format!("INSERT INTO note (text) VALUES ('{text}')");
    let two = format!("{}; {}", insert("first of two"), insert("second of two"));
    topology.set_read_only(0, true);
    let write = |client: &mut Client| client.query(&two).map(drop);
    waits_with(proxy, write, || topology.set_read_only(0, false)).unwrap();
    let found = (notes(lab, 0, "first of two"), notes(lab, 0, "second of two"));
    assert_eq!(found, ("1".into(), "1".into()));

    let mut client = Client::app(proxy.port());
    client.run("SELECT 1");
    topology.set_read_only(0, true);
    let called = format!("CALL take_note('called first'); {}", insert("called first"));
    let fail = client.query(&called).unwrap_err();
    assert!(fail.code() == 1158 && fail.to_string().contains("not known"), "{fail}");
    topology.set_read_only(0, false);
    assert_eq!(notes(lab, 0, "called first"), "0");
}

/// Promoted before it has all that the old primary has: nobody takes writes, and that is an alarm.
fn too_early(lab: &Lab, proxy: &Proxy, topology: &Topology) {
    let rivals = || proxy.metrics().value("lagwise_rival_primaries");
    lab.stop_applier(1);
    note(&mut Client::app(proxy.port()), "too early").unwrap();
    topology.set_read_only(0, true);
    eventually("the primary is held", || held(proxy, "read_only"));
    assert_eq!(rivals(), 0.0);
    topology.set_read_only(1, false);
    eventually("the other one is seen to lack something", || rivals() == 1.0);
    proxy.wait_log("before they had all transactions");
    assert!(held(proxy, "read_only"));
    topology.set_read_only(1, true);
    topology.set_read_only(0, false);
    lab.start_applier(1);
    eventually("it is as before", || rivals() == 0.0 && !held(proxy, "read_only"));
}

/// By observation: a second writable server gets no write; after a switchover, what a session had on the
/// old primary is lost, and no connection to that is used for writes.
fn observed(lab: &Lab, proxy: &Proxy) {
    let servers: Vec<String> = (0..lab.count()).map(|server| lab.address(server)).collect();
    let config = format!("primary = \"auto\"\nservers = {servers:?}\nreplicas = []\n{FIXED}");
    assert!(proxy.reload(&config));
    let mut topology = Topology::of(lab);
    let rivals = || proxy.metrics().value("lagwise_rival_primaries");
    proxy.wait_probed();
    topology.set_read_only(1, false);
    eventually("there is a rival", || rivals() == 1.0);
    let mut client = Client::app(proxy.port());
    note(&mut client, "of two").unwrap();
    let port = |client: &mut Client| client.value("SELECT CAST(@@port AS CHAR)");
    assert_eq!(port(&mut client), lab.port(0).to_string());
    topology.set_read_only(1, true);
    eventually("there is none", || rivals() == 0.0);
    too_early(lab, proxy, &topology);

    client.run("CREATE TEMPORARY TABLE basket (id INT)");
    let mut open = Client::app(proxy.port());
    open.run("BEGIN");
    note(&mut open, "open").unwrap();
    lab.wait_caught_up();
    topology.switch_over(1);
    eventually("it is followed", || proxy.metrics().value("lagwise_primary_changes_total") == 1.0);
    let fail = client.query("INSERT INTO basket VALUES (1)").unwrap_err();
    assert!(fail.to_string().contains("server has gone away"), "{fail}");
    assert_eq!(note(&mut open, "open").unwrap_err().code(), 1213);
    // The same connections go on, on the new primary.
    for client in [&mut client, &mut open] {
        note(client, "after it").unwrap();
        assert_eq!(port(client), lab.port(1).to_string());
    }
    assert_eq!((notes(lab, 1, "open"), notes(lab, 1, "after it")), ("0".into(), "2".into()));
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

/// Drained before another takes over: what is open ends, what would begin waits, and nobody hears of it.
fn announced(lab: &Lab, proxy: &Proxy) {
    let mut topology = Topology::at(lab, 1);
    eventually("the old one follows", || {
        proxy.metrics().value(&format!("lagwise_server_eligible{{server={:?}}}", lab.address(0)))
            == 1.0
    });
    let config = proxy.config_path();
    let drain = |seconds: &str| {
        let arguments = ["drain", &lab.address(1), "--timeout", seconds, "--config"];
        Command::new(env!("CARGO_BIN_EXE_lagwise")).args(arguments).arg(&config).output().unwrap()
    };
    let insert = |text: &str| format!("INSERT INTO note (text) VALUES ('{text}')");
    let (mut open, mut without, mut reader) =
        (Client::app(proxy.port()), Client::app(proxy.port()), Client::app(proxy.port()));
    without.run("SET autocommit = 0");
    let mut keeper = Client::app(proxy.port());
    keeper.run("CREATE TEMPORARY TABLE basket (id INT)");
    open.run("BEGIN");
    note(&mut open, "open when drained").unwrap();
    // The time is up: it is as before.
    let refused = drain("1");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(
        said.contains("1 transaction; it is the primary, and takes statements again"),
        "{said}"
    );
    assert!(!held(proxy, "drained"));
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| drain("60"));
        eventually("it is drained", || held(proxy, "drained"));
        let mut waiting_ones = Vec::new();
        for text in [insert("waits"), "BEGIN".to_owned()] {
            let mut client = Client::app(proxy.port());
            waiting_ones.push(scope.spawn(move || client.query(&text).map(|_| client)));
        }
        // Its read would begin a transaction.
        let keeps = scope.spawn(move || keeper.query("INSERT INTO basket VALUES (1)"));
        let reads = scope.spawn(move || without.query("SELECT COUNT(*) FROM note").map(drop));
        eventually("they wait", || waiting(proxy) == 4.0);
        reader.run("/* lagwise: primary */ SELECT COUNT(*) FROM note");
        note(&mut open, "open when drained").unwrap();
        open.query("COMMIT").unwrap();
        let drained = drained.join().unwrap();
        let said = String::from_utf8_lossy(&drained.stdout).into_owned();
        assert!(drained.status.success() && said.contains("nothing is open there"), "{drained:?}");
        assert!(said.contains("will lose what they hold there: 1 temporary_table"), "{said}");
        topology.switch_over(0);
        let mut clients: Vec<_> =
            waiting_ones.into_iter().map(|it| it.join().unwrap().unwrap()).collect();
        reads.join().unwrap().unwrap();
        let lost = keeps.join().unwrap().unwrap_err();
        assert!(lost.to_string().contains("server has gone away"), "{lost}");
        note(&mut clients[1], "after the drain").unwrap();
        clients[1].query("COMMIT").unwrap();
    });
    for (text, count) in [("open when drained", "2"), ("waits", "1"), ("after the drain", "1")] {
        assert_eq!(notes(lab, 0, text), count, "{text}");
    }
    let (_, servers) = proxy.http("/servers").unwrap();
    assert!(servers.contains("\"excluded\":\"drained\""), "{servers}");
}

/// A server that could write but for its storage, as a reader of Aurora MySQL is, is no rival.
fn storage_is_read_only(lab: &Lab, proxy: &Proxy) {
    let up = format!("lagwise_server_up{{server={:?}}}", lab.address(0));
    lab.shut_down(0);
    eventually("it is seen to be down", || proxy.metrics().value(&up) == 0.0);
    let command = lab.server_dir(0).join("command");
    let mut arguments = std::fs::read(&command).unwrap();
    arguments.extend(b"--innodb-read-only=ON\0");
    std::fs::write(&command, arguments).unwrap();
    lab.restart(0);
    let flags = "SELECT CONCAT(@@read_only, @@super_read_only, @@innodb_read_only)";
    lab.sql(0, "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF");
    assert_eq!(lab.sql(0, flags), "001");
    eventually("it is seen to be up", || proxy.metrics().value(&up) == 1.0);
    proxy.wait_probed();
    assert_eq!(proxy.metrics().value("lagwise_rival_primaries"), 0.0);
}

fn run(make: Make) {
    // What was acknowledged must survive kill -9, or the server would be to blame.
    let durable = ["innodb-flush-log-at-trx-commit=1", "sync-binlog=1"];
    let lab = Lab::start_with(make, 1, &durable);
    lab.sql(
        0,
        "CREATE TABLE shop.note (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(40) NOT NULL); \
         CREATE PROCEDURE shop.take_note(t VARCHAR(40)) SQL SECURITY INVOKER \
         INSERT INTO note (text) VALUES (t)",
    );
    lab.wait_caught_up();
    let proxy = Proxy::start(&lab, FIXED);
    proxy.wait_probed();
    for step in [down, down_for_too_long, read_only, observed, announced] {
        step(&lab, &proxy);
    }
    if make == Make::MySql {
        storage_is_read_only(&lab, &proxy);
    }
}

#[test]
fn statements_wait_for_a_primary_on_mysql() {
    run(Make::MySql);
}

#[test]
fn statements_wait_for_a_primary_on_mariadb() {
    run(Make::MariaDb);
}
