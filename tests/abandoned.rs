//! Clients that go while their query runs: it is ended on the server, a few at a time, and nobody
//! else's is. On both makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use std::time::{Duration, Instant};

use raw::{Client, Login};
use support::{Lab, Make, Proxy, eventually};

const COM_QUERY: u8 = 3;

/// A query is gone from its server within this time after its client.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// Queries of the application on a server that hold this text.
fn running(lab: &Lab, server: usize, mark: &str) -> usize {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app' AND info LIKE \
         '%{mark}%'"
    );
    lab.sql(server, &sql).parse().unwrap()
}

fn killed(proxy: &Proxy, outcome: &str) -> f64 {
    proxy.metrics().sum("lagwise_abandoned_queries_total", &[("outcome", outcome)])
}

/// So many clients send a query and go once all of them run; returns how long the server is at it
/// after that.
fn abandon(lab: &Lab, proxy: &Proxy, server: usize, count: usize, sql: &str) -> Duration {
    let before = killed(proxy, "killed");
    let text = format!("{sql} /* left */");
    let mut clients: Vec<_> = (0..count).map(|_| Client::app(proxy.port())).collect();
    for client in &mut clients {
        client.send(COM_QUERY, text.as_bytes()).unwrap();
    }
    eventually("they all run", || running(lab, server, "left") == count);
    let begin = Instant::now();
    drop(clients);
    eventually("they are gone", || running(lab, server, "left") == 0);
    let took = begin.elapsed();
    eventually("they are counted", || killed(proxy, "killed") == before + count as f64);
    took
}

/// Queries of all kinds, on either server.
fn queries_end_with_their_clients(lab: &Lab, proxy: &Proxy) {
    let long = "SELECT COUNT(*) FROM items a, items b, items c, items d, items e, items f \
                WHERE a.stock + b.stock + c.stock + d.stock + e.stock + f.stock = 3";
    // More than the sockets hold, and nobody takes it.
    let wide = "SELECT a.*, b.* FROM items a, items b, items c";
    for (server, sql) in [
        (1, "SELECT SLEEP(60)"),
        (1, long),
        (1, wide),
        (0, "/* lagwise: primary */ SELECT SLEEP(60)"),
        (0, "SELECT id, SLEEP(60) FROM items WHERE id = 1 FOR UPDATE"),
        (0, "SELECT GET_LOCK('left', 60), SLEEP(60)"),
    ] {
        let took = abandon(lab, proxy, server, 1, sql);
        println!("{}: {sql}: {took:?}", lab.make);
        assert!(took < GONE_WITHIN, "{sql}: {took:?}");
    }
}

/// Many at once are ended over a few connections, and their places are free again.
fn many_at_once_are_ended_by_a_few(lab: &Lab, proxy: &Proxy) {
    const MANY: usize = 100;
    // They wait for a row. SLEEPs would wait for one another in MariaDB, and its KILL for them.
    let mut holder = Client::connect_unix(&lab.socket(0), Login::of("root", "")).unwrap();
    holder.run("BEGIN");
    holder.run("SELECT * FROM shop.items WHERE id = 3 FOR UPDATE");
    lab.sql(0, "FLUSH LOCAL STATUS");
    let sql = "SELECT name FROM items WHERE id = 3 FOR UPDATE";
    let took = abandon(lab, proxy, 0, MANY, sql);
    let most = lab.status(0, "Max_used_connections");
    println!("{}: {MANY} were gone after {took:?}, at most {most} connections", lab.make);
    // Two that kill, the monitor's, the replica's, the one that holds the row, and the one that asks;
    // connections that were idle before.
    assert!(most <= MANY as u64 + 10, "{most}");
    assert!(took < GONE_WITHIN, "{took:?}");
    eventually("their connections are closed", || {
        let name = format!("lagwise_server_connections{{server=\"{}\"}}", lab.address(0));
        proxy.metrics().value(&name) <= 10.0
    });
    assert_eq!(killed(proxy, "failed"), 0.0);
}

/// A statement that writes runs to its end, as on a direct connection.
fn writes_run_on(lab: &Lab, proxy: &Proxy) {
    let before = killed(proxy, "killed");
    let mut client = Client::app(proxy.port());
    let sql = "UPDATE items SET stock = 7 + SLEEP(0.5) WHERE id = 1";
    client.send(COM_QUERY, sql.as_bytes()).unwrap();
    eventually("it runs", || running(lab, 0, "stock = 7") == 1);
    drop(client);
    eventually("it ends", || running(lab, 0, "stock = 7") == 0);
    assert_eq!(lab.sql(0, "SELECT stock FROM shop.items WHERE id = 1"), "7");
    assert_eq!(killed(proxy, "killed"), before);
}

/// What a client has sent ahead is read, and is no sign of its going.
fn a_client_may_send_ahead(proxy: &Proxy) {
    let mut client = Client::app(proxy.port());
    client.send(COM_QUERY, b"SELECT SLEEP(0.3)").unwrap();
    client.send(COM_QUERY, b"SELECT 'second'").unwrap();
    assert_eq!(client.results(false).unwrap(), [[Some("0".to_owned())]]);
    assert_eq!(client.results(false).unwrap(), [[Some("second".to_owned())]]);
}

/// While others go, a client that stays is not disturbed.
fn nobody_else_is_hit(proxy: &Proxy) {
    let before = killed(proxy, "killed");
    let mut staying = Client::app(proxy.port());
    for _ in 0..20 {
        let mut leaving: Vec<_> = (0..3).map(|_| Client::app(proxy.port())).collect();
        for client in &mut leaving {
            client.send(COM_QUERY, b"SELECT SLEEP(0.01)").unwrap();
        }
        drop(leaving);
        for _ in 0..5 {
            assert_eq!(staying.value("SELECT SLEEP(0.002)"), "0");
            staying.run("UPDATE items SET stock = stock WHERE id = 2 AND SLEEP(0.001) = 0");
            let mut new = Client::app(proxy.port());
            assert_eq!(new.value("SELECT SLEEP(0.002)"), "0");
        }
    }
    assert!(killed(proxy, "killed") > before, "some were at it when their clients went");
}

/// Who leaves while in line for a connection has nothing run, and lets those behind go on.
fn a_query_in_line_is_dropped(lab: &Lab) {
    let table = format!("[[server]]\naddress = \"{}\"\nmax_connections = 1\n", lab.address(0));
    let proxy = Proxy::start(lab, &table);
    proxy.wait_probed();
    let mut holder = Client::app(proxy.port());
    holder.run("BEGIN");
    holder.run("SELECT name FROM items WHERE id = 1 FOR UPDATE");
    let mut clients: Vec<_> = (0..5).map(|_| Client::app(proxy.port())).collect();
    for client in &mut clients {
        client.send(COM_QUERY, b"/* lagwise: primary */ SELECT 'in line'").unwrap();
    }
    let in_line = || proxy.metrics().sum("lagwise_server_waiting", &[]);
    eventually("they are in line", || in_line() == 5.0);
    let mut last = Client::app(proxy.port());
    last.send(COM_QUERY, b"/* lagwise: primary */ SELECT 'behind them'").unwrap();
    eventually("another is behind them", || in_line() == 6.0);
    drop(clients);
    eventually("they have gone", || in_line() == 1.0);
    lab.set_general_log(0, true);
    holder.run("COMMIT");
    assert_eq!(last.results(false).unwrap().len(), 1);
    assert_eq!((lab.seen(0, "in line"), lab.seen(0, "behind them")), (0, 1));
    lab.set_general_log(0, false);
}

fn run(make: Make) {
    let lab = Lab::start(make, 1);
    let proxy = Proxy::start(&lab, "");
    proxy.wait_probed();
    queries_end_with_their_clients(&lab, &proxy);
    many_at_once_are_ended_by_a_few(&lab, &proxy);
    writes_run_on(&lab, &proxy);
    a_client_may_send_ahead(&proxy);
    nobody_else_is_hit(&proxy);
    a_query_in_line_is_dropped(&lab);
}

#[test]
fn queries_without_a_client_are_ended_on_mysql() {
    run(Make::MySql);
}

#[test]
fn queries_without_a_client_are_ended_on_mariadb() {
    run(Make::MariaDb);
}
