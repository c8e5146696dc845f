//! The lag that lagwise reports, against the lag that there is: a row that is written every few
//! milliseconds, and read on the replica. And what becomes of it where replication is not as it should
//! be: an idle primary, one that is down, detached and chained replicas, several sources, writes to a
//! replica, and MySQL without GTIDs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod lag_lab;
mod raw;
mod support;

use std::time::{Duration, Instant};

use lag_lab::{Cluster, Writer, watch};
use raw::Client;
use support::{Make, Proxy, eventually};

/// How old MySQL's coordinates may be when they are asked for, with parallel workers: they move at
/// checkpoints, every 300 ms, and not while the applier waits for the next second of a delay.
const CHECKPOINT: Duration = Duration::from_millis(1300);

/// Reported against true lag, with a delayed replica and then with one that applies nothing.
fn accuracy(cluster: &Cluster, stale: Duration) {
    let (lab, writer) = (&cluster.lab, Writer::start(cluster));
    lab.set_source_delay(1, 1);
    eventually("the delay shows", || cluster.lag(1).is_some_and(|lag| lag > 0.7));
    eventually("what had piled up is applied", || cluster.lag(1).is_some_and(|lag| lag < 1.3));
    let seen = watch(cluster, &writer, stale, Duration::from_secs(3));
    // Servers delay by whole seconds of the clock: they apply a second's writes at once.
    seen.check(&format!("{}: delayed by 1 s", lab.make), false);
    assert!(seen.most >= Duration::from_millis(900), "there was no lag: {:?}", seen.most);

    lab.set_source_delay(1, 0);
    eventually("the delay ends", || cluster.lag(1).is_some_and(|lag| lag < 0.5));
    lab.stop_applier(1);
    let seen = watch(cluster, &writer, stale, Duration::from_secs(2));
    lab.start_applier(1);
    seen.check(&format!("{}: applier stopped", lab.make), true);
    assert!(seen.most >= Duration::from_millis(1500), "there was no lag: {:?}", seen.most);

    // Nothing is written any more: whoever has it all is not late, however old it is.
    writer.stop();
    cluster.settle(&[1, 2]);
    cluster.wait_lag("an idle primary", &[1, 2], |lag| lag == Some(0.0));
    cluster.wait_form("measured", &[1, 2]);
}

/// Nobody can write: the lag stays what it was, and says so.
fn primary_down(cluster: &Cluster) {
    let lab = &cluster.lab;
    lab.stop_applier(1);
    cluster.write();
    cluster.wait_lag("the replica is behind", &[1], |lag| lag.is_some_and(|lag| lag > 0.3));
    lab.shut_down(0);
    cluster.wait_form("frozen", &[1, 2]);
    let before = (cluster.lag(1), cluster.lag(2));
    assert!(before.0.is_some_and(|lag| lag > 0.3) && before.1 == Some(0.0), "{before:?}");
    cluster.wait_probes(1, 4);
    assert_eq!((cluster.lag(1), cluster.lag(2)), before, "{}: it is frozen", lab.make);
    assert!(cluster.is_eligible(1) && cluster.is_eligible(2), "reads go on");
    lab.restart(0);
    lab.start_applier(1);
    cluster.wait_form("measured", &[1, 2]);
    cluster.wait_lag("all is applied", &[1, 2], |lag| lag == Some(0.0));
}

/// A replica without a source has everything until the primary writes; with another replica for its
/// source it comes by everything again.
fn detached_and_chained(cluster: &Cluster) {
    let lab = &cluster.lab;
    cluster.detach(2);
    cluster.wait_probes(2, 4);
    assert_eq!(cluster.lag(2), Some(0.0), "{}: it lacks nothing", lab.make);
    cluster.write();
    cluster.wait_lag("it gets no more", &[2], |lag| lag.is_some_and(|lag| lag > 0.6));
    cluster.follow(2, 1, "");
    cluster.wait_lag("it is fed by server 1", &[2], |lag| lag == Some(0.0));
    lab.stop_applier(1);
    cluster.write();
    cluster.wait_lag("late as its source is", &[2], |lag| lag.is_some_and(|lag| lag > 0.6));
    lab.start_applier(1);
    cluster.wait_lag("both have it", &[1, 2], |lag| lag == Some(0.0));
    cluster.detach(2);
    cluster.follow(2, 0, "");
    assert_eq!(cluster.form(2), "measured");
}

/// Server 2 is fed by server 3 besides, which is none of lagwise's; server 1 is written to.
fn several_sources_and_errant(cluster: &Cluster) {
    let lab = &cluster.lab;
    cluster.detach(3);
    cluster.make_writable(3);
    cluster.make_writable(1);
    if lab.make == Make::MariaDb {
        // As MariaDB demands of several sources.
        lab.sql(3, "SET GLOBAL gtid_domain_id = 3");
    }
    cluster.follow(2, 3, "other");
    lab.sql(3, "CREATE DATABASE from_elsewhere");
    eventually("it comes through the other channel", || {
        lab.sql(2, "SHOW DATABASES LIKE 'from_elsewhere'") == "from_elsewhere"
    });
    lab.sql(1, "CREATE DATABASE by_mistake");
    // The worst channel: one that says that it is not late may be so by a second.
    cluster.wait_lag("both channels count", &[2], |lag| {
        lag.is_some_and(|lag| (1.0..3.0).contains(&lag))
    });
    assert_eq!(cluster.form(2), "estimated");
    cluster.applier_of_other(2, false);
    eventually("the other channel stands", || !cluster.is_eligible(2));
    assert_eq!((cluster.form(2), cluster.lag(2)), ("unknown".to_owned(), None));
    cluster.applier_of_other(2, true);
    eventually("the other channel runs", || cluster.is_eligible(2));
    eventually("server 1 is found errant", || cluster.metric("lagwise_server_errant", 1) == 1.0);
    assert!(!cluster.is_eligible(1), "{}: it takes no reads", lab.make);
    cluster.proxy.wait_log("replica has transactions that the primary lacks: no reads");
    assert!(cluster.is_eligible(2), "{}: what came by replication is not errant", lab.make);
    assert_eq!(cluster.metric("lagwise_server_errant", 2), 0.0);
    cluster.drop_other(2);
    if lab.make == Make::MySql {
        // As one makes good for it: the primary commits nothing in the transaction's name.
        let line = cluster.proxy.wait_log("the primary lacks: no reads");
        let gtid = line.split("gtids=").nth(1).unwrap().split(' ').next().unwrap();
        let name = format!("SET gtid_next = '{gtid}'; BEGIN; COMMIT; SET gtid_next = AUTOMATIC");
        lab.sql(0, &name);
        eventually("server 1 is as the primary again", || cluster.is_eligible(1));
        assert_eq!(cluster.metric("lagwise_server_errant", 1), 0.0);
    }
}

/// With places in the primary's binary log, on the same lagwise.
fn without_gtids(cluster: &Cluster) {
    let lab = &cluster.lab;
    cluster.turn_gtids_off();
    cluster.write();
    cluster.wait_lag("by coordinates", &[1, 2], |lag| lag == Some(0.0));
    cluster.wait_form("measured", &[1, 2]);
    assert!(cluster.is_eligible(1) && cluster.is_eligible(2));
    accuracy(cluster, CHECKPOINT);
    lab.sql(0, "FLUSH BINARY LOGS");
    cluster.wait_probes(1, 4);
    cluster.wait_lag("in the next file", &[1, 2], |lag| lag == Some(0.0));
    sessions_read_their_writes(cluster);

    // A replica of a replica is in another log.
    cluster.detach(2);
    cluster.follow(2, 1, "");
    cluster.wait_form("estimated", &[2]);
    cluster.wait_lag("a chained one", &[2], |lag| lag.is_some_and(|lag| (1.0..3.0).contains(&lag)));
    assert!(cluster.is_eligible(2), "as long as it does not lag too much");
    lab.stop_applier(2);
    eventually("it cannot say how late it is", || !cluster.is_eligible(2));
    assert_eq!(cluster.form(2), "unknown");
    lab.start_applier(2);
    eventually("it can again", || cluster.is_eligible(2));
    cluster.detach(2);
    cluster.follow(2, 0, "");
    cluster.wait_form("measured", &[2]);
}

/// Replicas are a second late: a session that wrote reads from the primary until one has its write.
fn sessions_read_their_writes(cluster: &Cluster) {
    let lab = &cluster.lab;
    (1..=2).for_each(|server| lab.set_source_delay(server, 1));
    let mut client = Client::app(cluster.proxy.port());
    let read = |client: &mut Client| -> (u64, u64) {
        let row = client.run("SELECT n, server FROM tick, place").remove(0);
        let number = |at: usize| row[at].as_ref().unwrap().parse().unwrap();
        (number(0), number(1))
    };
    for n in [1_000_001, 1_000_002] {
        client.run(&format!("UPDATE tick SET n = {n}"));
        let wrote = Instant::now();
        assert_eq!(read(&mut client), (n, 0), "no replica can have it yet");
        let mut stale = Vec::new();
        eventually("a replica has it", || {
            let (seen, server) = read(&mut client);
            if seen != n {
                stale.push(seen);
            }
            server != 0
        });
        println!("without GTIDs: back on a replica after {:?}", wrote.elapsed());
        assert!(stale.is_empty(), "want {n}, read {stale:?}");
    }
    (1..=2).for_each(|server| lab.set_source_delay(server, 0));
}

/// The monitor may log in and no more.
fn without_the_privilege(cluster: &Cluster) {
    let lab = &cluster.lab;
    lab.sql(0, "REVOKE REPLICATION CLIENT ON *.* FROM monitor@'%'");
    cluster.settle(&[1, 2]);
    let proxy = Proxy::start(lab, &cluster.config());
    let line = proxy.wait_log("server has no position to compare");
    assert!(line.contains("GRANT REPLICATION CLIENT ON *.* TO it, or turn GTIDs on"), "{line}");

    let probes = || proxy.metrics().sum("lagwise_probes_total", &[]);
    let before = probes();
    eventually("every server is asked again and again", || probes() >= before + 12.0);
    let count = proxy.log().matches("server has no position to compare").count();
    assert_eq!(count, 3, "once a server:\n{}", proxy.log());
    assert_eq!(proxy.metrics().sum("lagwise_server_eligible", &[]), 1.0, "the primary alone");
    lab.sql(0, "GRANT REPLICATION CLIENT ON *.* TO monitor@'%'");
    eventually("the grant is noticed", || {
        proxy.metrics().sum("lagwise_server_eligible", &[]) == 3.0
    });
}

/// The primary's binary log begins anew, and the places where replicas are lie far beyond its end: they
/// prove nothing.
fn without_gtids_after_a_reset(cluster: &Cluster) {
    let mut client = Client::app(cluster.proxy.port());
    cluster.lab.sql(0, "RESET BINARY LOGS AND GTIDS");
    client.run("UPDATE tick SET n = 2000001");
    eventually("no replica takes reads", || {
        assert_eq!(client.value("SELECT CAST(n AS CHAR) FROM tick"), "2000001");
        !cluster.is_eligible(1) && !cluster.is_eligible(2)
    });
    assert_eq!((cluster.lag(1), cluster.lag(2)), (None, None));
    cluster.proxy.wait_log("further in the primary's binary log than that goes");
    cluster.wait_probes(1, 8);
    assert!(!cluster.is_eligible(1) && !cluster.is_eligible(2));
    assert_eq!(client.value("SELECT CAST(n AS CHAR) FROM tick"), "2000001");
}

fn timed(cluster: &Cluster, name: &str, part: impl FnOnce(&Cluster)) {
    let start = Instant::now();
    part(cluster);
    println!("{}: {name}: {:?}", cluster.lab.make, start.elapsed());
}

fn run(make: Make) {
    let cluster = Cluster::start(make);
    timed(&cluster, "accuracy", |cluster| accuracy(cluster, Duration::ZERO));
    timed(&cluster, "primary down", primary_down);
    timed(&cluster, "detached and chained", detached_and_chained);
    timed(&cluster, "several sources, errant", several_sources_and_errant);
    if make == Make::MySql {
        timed(&cluster, "without GTIDs", without_gtids);
        timed(&cluster, "without the privilege", without_the_privilege);
        timed(&cluster, "without GTIDs, after a reset", without_gtids_after_a_reset);
    }
}

#[test]
fn lag_on_mysql() {
    run(Make::MySql);
}

#[test]
fn lag_on_mariadb() {
    run(Make::MariaDb);
}
