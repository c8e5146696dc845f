//! A server sends a transaction to its replicas before it shows it itself. A session that has read it
//! on a replica reads it on the primary as well, because it waits there until it is shown.
//!
//! Semi-synchronous replication with nobody to acknowledge holds a commit between the two for as long
//! as its timeout.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raw::{Client, first_value};
use support::{Lab, Make, Proxy, eventually};

const SCHEMA: &str = "CREATE TABLE note (id INT PRIMARY KEY, v INT NOT NULL); \
    INSERT INTO note VALUES (1, 0), (2, 0); \
    CREATE PROCEDURE get_note() SELECT CAST(v AS CHAR) FROM note WHERE id = 1";
const NOTE: &str = "SELECT CAST(v AS CHAR) FROM note WHERE id = 1";
const NOTE_AND_PLACE: &str = "SELECT CONCAT(v, '@', server) FROM note, place WHERE id = 1";
/// How long a commit is held, at most.
const HELD: Duration = Duration::from_millis(500);
/// How long a read waits for it, at least.
const LONG: Duration = Duration::from_secs(1);

struct Test<'a> {
    lab: &'a Lab,
    proxy: Proxy,
    n: u32,
}

impl Test<'_> {
    /// From now on the next commit is held for this long after it was sent.
    fn hold_next_commit(&self, time: Duration) {
        let (prefix, more) = match self.lab.make {
            Make::MySql => ("rpl_semi_sync_source", "wait_no_replica"),
            Make::MariaDb => ("rpl_semi_sync_master", "wait_no_slave"),
        };
        // After one timeout nobody is waited for any more, until it is turned on again.
        let settings = [
            "enabled = 0".to_owned(),
            format!("timeout = {}", time.as_millis()),
            "wait_point = 'AFTER_SYNC'".to_owned(),
            format!("{more} = 1"),
            "enabled = 1".to_owned(),
        ];
        let settings = settings.map(|setting| format!("SET GLOBAL {prefix}_{setting}"));
        self.lab.sql(0, &settings.join("; "));
    }

    /// Writes the next number, in a commit that is held, and reads it on a replica. The writer ends when
    /// the primary shows it.
    fn read_on_replica(&mut self, client: &mut Client, held: Duration) -> JoinHandle<()> {
        self.lab.wait_caught_up();
        self.n += 1;
        self.hold_next_commit(held);
        let mut root =
            Client::connect_unix(&self.lab.socket(0), raw::Login::of("root", "")).unwrap();
        let write = format!("UPDATE shop.note SET v = {} WHERE id = 1", self.n);
        let writer = std::thread::spawn(move || {
            root.run(&write);
        });
        let want = format!("{}@1", self.n);
        eventually("a replica shows it", || client.value(NOTE_AND_PLACE) == want);
        writer
    }

    fn count(&self, outcome: &str) -> f64 {
        self.proxy.metrics().sum("lagwise_read_waits_total", &[("outcome", outcome)])
    }
}

/// Each way of reading on the primary what was read on a replica.
fn reads_wait(test: &mut Test<'_>) {
    let make = test.lab.make;
    type Read = fn(&mut Client) -> String;
    let ways: [(&str, Read); 6] = [
        ("a hint", |client| client.value(&format!("/* lagwise: primary */ {NOTE}"))),
        ("a transaction", |client| {
            client.run("BEGIN");
            let value = client.value(NOTE);
            client.run("COMMIT");
            value
        }),
        ("a snapshot", |client| {
            client.run("START TRANSACTION WITH CONSISTENT SNAPSHOT");
            let value = client.value(NOTE);
            client.run("COMMIT");
            value
        }),
        ("a prepared statement", |client| {
            client.run("BEGIN");
            let value = first_value(client.execute(NOTE).unwrap());
            client.run("COMMIT");
            value
        }),
        ("a procedure", |client| client.value("CALL get_note()")),
        ("several statements", |client| client.value(&format!("{NOTE}; SET @a = 1"))),
    ];
    for (way, read) in ways {
        let before = test.count("shown");
        let mut client = Client::app(test.proxy.port());
        let writer = test.read_on_replica(&mut client, HELD);
        assert_eq!(read(&mut client), test.n.to_string(), "{make}: {way}");
        writer.join().unwrap();
        assert_eq!(test.count("shown"), before + 1.0, "{make}: {way} waited");
        assert_eq!(read(&mut client), test.n.to_string(), "{make}: {way}");
        assert_eq!(test.count("shown"), before + 1.0, "{make}: {way}: it is known now");
    }
}

/// What locks rows waits by itself; what shows none has nothing to wait for.
fn others_do_not(test: &mut Test<'_>) {
    let mut client = Client::app(test.proxy.port());
    let before = test.count("shown");
    let writer = test.read_on_replica(&mut client, HELD);
    client.run("BEGIN");
    client.run("SELECT 1");
    client.run("SELECT v FROM note WHERE id = 2 FOR UPDATE");
    assert_eq!(client.value(&format!("{NOTE} FOR UPDATE")), test.n.to_string());
    client.run("ROLLBACK");
    writer.join().unwrap();
    assert_eq!(test.count("shown"), before);
}

/// A commit that takes too long is not waited for.
fn not_for_ever(test: &mut Test<'_>) {
    let mut client = Client::app(test.proxy.port());
    let writer = test.read_on_replica(&mut client, 4 * LONG);
    let start = Instant::now();
    assert_eq!(client.value(&format!("/* lagwise: primary */ {NOTE}")), (test.n - 1).to_string());
    assert!(start.elapsed() >= LONG, "{:?}", start.elapsed());
    writer.join().unwrap();
}

/// A GTID that a session holds without committing anything is nothing that a replica has.
fn held_gtids(test: &Test<'_>) {
    let mut holder = Client::connect_unix(&test.lab.socket(0), raw::Login::of("root", "")).unwrap();
    holder.run("SET gtid_next = '3e11fa47-71ca-11e1-9e33-c80aa9429562:1'");
    let mut client = Client::app(test.proxy.port());
    let read = |client: &mut Client| {
        eventually("a replica is read from", || client.value("SELECT server FROM place") == "1");
        client.run(&format!("/* lagwise: primary */ {NOTE}"));
    };
    let (before, in_vain) = (test.count("shown"), test.count("not_shown"));
    let start = Instant::now();
    for _ in 0..20 {
        read(&mut client);
    }
    println!("20 reads while a GTID is held: {:?}", start.elapsed());
    assert!(test.count("shown") > before, "nobody waited");
    assert_eq!(test.count("not_shown"), in_vain);
    holder.run("COMMIT");
}

/// A write that the server named a GTID for came behind what was read.
fn own_writes(test: &Test<'_>) {
    let before = test.count("shown");
    let mut client = Client::app(test.proxy.port());
    for n in 1..20 {
        eventually("a replica is read from", || client.value("SELECT server FROM place") == "1");
        client.run(&format!("UPDATE note SET v = {n} WHERE id = 2"));
        assert_eq!(client.value("SELECT CAST(v AS CHAR) FROM note WHERE id = 2"), n.to_string());
    }
    assert_eq!(test.count("shown"), before);
}

/// Without the privilege nothing is known, nobody waits, and the log says so.
fn without_the_privilege(test: &mut Test<'_>) {
    test.lab.sql(0, "REVOKE BINLOG MONITOR ON *.* FROM monitor@'%'");
    test.lab.wait_caught_up();
    test.proxy = proxy(test.lab);
    let mut client = Client::app(test.proxy.port());
    let writer = test.read_on_replica(&mut client, HELD);
    client.run(&format!("/* lagwise: primary */ {NOTE}"));
    writer.join().unwrap();
    let line = test.proxy.wait_log("does not say what it shows");
    assert!(line.contains("GRANT BINLOG MONITOR ON *.* TO it"), "{line}");
    assert_eq!((test.count("shown"), test.count("not_shown")), (0.0, 1.0));
    let writer = test.read_on_replica(&mut client, HELD);
    client.run(&format!("/* lagwise: primary */ {NOTE}"));
    writer.join().unwrap();
    assert_eq!(test.count("not_shown"), 1.0, "it is known that it would be in vain");
    test.lab.sql(0, "GRANT BINLOG MONITOR ON *.* TO monitor@'%'");
}

fn proxy(lab: &Lab) -> Proxy {
    let proxy = Proxy::start(lab, "[routing]\nmax_lag = \"1h\"");
    eventually("the replica takes reads", || {
        proxy.metrics().sum("lagwise_server_eligible", &[]) == 2.0
    });
    proxy
}

fn run(make: Make) {
    let lab = Lab::start(make, 1);
    if make == Make::MySql {
        lab.sql(0, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'");
    }
    lab.sql(0, &format!("USE shop; {SCHEMA}"));
    lab.name_places();
    let mut test = Test { proxy: proxy(&lab), lab: &lab, n: 0 };
    reads_wait(&mut test);
    others_do_not(&mut test);
    not_for_ever(&mut test);
    match make {
        Make::MySql => {
            held_gtids(&test);
            own_writes(&test);
        }
        Make::MariaDb => without_the_privilege(&mut test),
    }
}

#[test]
fn the_primary_shows_what_replicas_have_shown_on_mysql() {
    run(Make::MySql);
}

#[test]
fn the_primary_shows_what_replicas_have_shown_on_mariadb() {
    run(Make::MariaDb);
}
