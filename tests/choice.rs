//! Which replica a read goes to, and what becomes of it when none is fit: zones and `when_all_lag`, on
//! both makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use raw::{Client, Fail};
use support::{Lab, Make, Proxy, eventually};

const SCHEMA: &str = "
    CREATE TABLE note (id INT PRIMARY KEY, v INT NOT NULL);
    INSERT INTO note VALUES (1, 0)";

/// Its answer differs from server to server.
const PLACE: &str = "SELECT server FROM place";

const REFUSED: u16 = 1429;

fn root(lab: &Lab, server: usize) -> Client {
    let login = raw::Login::of("root", "");
    Client::connect_unix(&lab.socket(server), login).unwrap_or_else(|fail| panic!("root: {fail}"))
}

/// The server that a read of a new session goes to.
fn server_of_new(proxy: &Proxy) -> String {
    Client::app(proxy.port()).value(PLACE)
}

fn is_refused<T>(result: Result<T, Fail>) -> bool {
    match result {
        Ok(_) => false,
        Err(Fail::Err { code: REFUSED, text, .. }) => text.contains("when_all_lag"),
        Err(fail) => panic!("another error: {fail}"),
    }
}

fn wait_eligible(proxy: &Proxy, count: f64) {
    eventually("so many servers are eligible", || {
        proxy.metrics().sum("lagwise_server_eligible", &[]) == count
    });
}

fn count_of(proxy: &Proxy, target: &str, reason: &str) -> f64 {
    let labels = [("target", target), ("reason", reason)];
    proxy.metrics().sum("lagwise_queries_total", &labels)
}

/// A write that the replica `server`, whose applier stands still, will lack from now on.
fn leave_behind(lab: &Lab, proxy: &Proxy, server: usize, left: f64) {
    lab.stop_applier(server);
    lab.sql(0, &format!("UPDATE shop.note SET v = {server}"));
    wait_eligible(proxy, left);
}

fn when_all_lag(word: &str) -> String {
    format!("[routing]\nmax_lag = \"1s\"\nslow_start = \"0s\"\nwhen_all_lag = {word:?}")
}

fn least_lagged(proxy: &Proxy) {
    assert!(proxy.reload(&when_all_lag("least_lagged")));
    assert_eq!(count_of(proxy, "replica", "lagging_replica"), 0.0);
    let mut client = Client::app(proxy.port());
    assert_eq!(client.value(PLACE), "2", "the least lagged");
    assert_eq!(client.execute(PLACE).unwrap()[0][0].as_deref(), Some("2"));
    client.run("START TRANSACTION READ ONLY");
    assert_eq!(client.value(PLACE), "2");
    client.run("COMMIT");
    assert!(count_of(proxy, "replica", "lagging_replica") >= 3.0);
    // Who says how old the data may be, is obeyed.
    let hinted = format!("/* lagwise: max_lag=500ms */ {PLACE}");
    assert_eq!(client.value(&hinted), "0");
    // And no replica has what the session wrote.
    client.run("UPDATE note SET v = 77");
    assert_eq!(client.value("SELECT CAST(v AS CHAR) FROM note"), "77");
    assert_eq!(client.value(PLACE), "0");
}

fn refused_with_all_late(lab: &Lab, proxy: &Proxy) {
    assert!(proxy.reload(&when_all_lag("error")));
    let mut client = Client::app(proxy.port());
    let Err(Fail::Err { code: REFUSED, text, .. }) = client.query(PLACE) else {
        panic!("it is refused")
    };
    for part in [&lab.address(1), &lab.address(2), "more than max_lag", "when_all_lag = \"error\""]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(is_refused(client.prepare(PLACE)));
    assert!(is_refused(client.query("START TRANSACTION READ ONLY")));
    assert!(count_of(proxy, "none", "read_refused") >= 3.0);
    // Whatever is the primary's own goes on, in the same session.
    assert_eq!(client.value(&format!("{PLACE} FOR UPDATE")), "0");
    assert_eq!(client.value(&format!("/* lagwise: primary */ {PLACE}")), "0");
    client.run("BEGIN");
    assert_eq!(client.value(PLACE), "0");
    client.run("ROLLBACK");
    assert_eq!(client.value(PLACE), "0", "what it has read there no replica has");
    let mut other = Client::app(proxy.port());
    other.run("BEGIN");
    other.run("ROLLBACK");
    assert!(is_refused(other.query(PLACE)), "a transaction without reads and writes pins nothing");
    client.run("UPDATE note SET v = 78");
    assert_eq!(client.value("SELECT CAST(v AS CHAR) FROM note"), "78", "its own write");
    assert!(is_refused(Client::app(proxy.port()).query(PLACE)), "others");
}

/// The replicas go away under a session that reads: what they do not serve is refused.
fn refused_with_all_down(lab: &Lab, proxy: &Proxy) {
    let mut client = Client::app(proxy.port());
    assert_ne!(client.value(PLACE), "0");
    for (server, left) in [(1, 2.0), (2, 1.0)] {
        lab.shut_down(server);
        let mut reads = || match client.query(PLACE) {
            Ok(rows) => assert_ne!(rows[0][0].as_deref(), Some("0"), "the primary is spared"),
            failed => assert!(is_refused(failed)),
        };
        eventually("it is noticed", || {
            reads();
            proxy.metrics().sum("lagwise_server_up", &[]) == left
        });
    }
    assert!(is_refused(client.query(PLACE)));
    assert!(is_refused(Client::app(proxy.port()).query(PLACE)));
    assert!(proxy.reload(&when_all_lag("least_lagged")));
    assert_eq!(server_of_new(proxy), "0", "there is no late one either");
    lab.restart(1);
    lab.restart(2);
    wait_eligible(proxy, 3.0);
    assert_ne!(client.value(PLACE), "0");
}

fn all_lag(lab: &Lab) {
    let proxy = Proxy::start(lab, &when_all_lag("primary"));
    wait_eligible(&proxy, 3.0);
    assert_ne!(server_of_new(&proxy), "0");
    // The first is behind for a second and more when the second one begins to be.
    leave_behind(lab, &proxy, 1, 2.0);
    assert_eq!(server_of_new(&proxy), "2");
    leave_behind(lab, &proxy, 2, 1.0);
    assert_eq!(server_of_new(&proxy), "0");
    assert!(count_of(&proxy, "primary", "no_replica") >= 1.0);
    least_lagged(&proxy);
    refused_with_all_late(lab, &proxy);
    (1..lab.count()).for_each(|server| lab.start_applier(server));
    wait_eligible(&proxy, 3.0);
    refused_with_all_down(lab, &proxy);
}

fn zones(lab: &Lab) {
    let config = |own: &str| {
        let server = |server, zone| {
            format!("[[server]]\naddress = \"{}\"\nzone = {zone:?}\n", lab.address(server))
        };
        format!(
            "[routing]\nmax_lag = \"1h\"\nlag_tolerance = \"1h\"\nslow_start = \"0s\"\n\
             zone = {own:?}\n{}{}",
            server(1, "b"),
            server(2, "a"),
        )
    };
    let proxy = Proxy::start(lab, &config("a"));
    wait_eligible(&proxy, 3.0);
    let mut stays = Client::app(proxy.port());
    let all_on = |stays: &mut Client, want: &str| {
        for _ in 0..20 {
            assert_eq!(server_of_new(&proxy), want);
            assert_eq!(stays.value(PLACE), want);
        }
    };
    all_on(&mut stays, "2");
    // The other zone takes over, and is left again.
    lab.shut_down(2);
    wait_eligible(&proxy, 2.0);
    all_on(&mut stays, "1");
    lab.restart(2);
    wait_eligible(&proxy, 3.0);
    all_on(&mut stays, "2");
    // lagwise itself is moved; and is in no zone that has a replica.
    assert!(proxy.reload(&config("b")));
    all_on(&mut stays, "1");
    assert!(proxy.reload(&config("c")));
    eventually("both serve", || server_of_new(&proxy) == "1");
    eventually("both serve", || server_of_new(&proxy) == "2");
}

fn run(make: Make) {
    let lab = Lab::start(make, 2);
    root(&lab, 0).run(SCHEMA);
    lab.name_places();
    zones(&lab);
    all_lag(&lab);
}

#[test]
fn the_choice_of_a_replica_on_mysql() {
    run(Make::MySql);
}

#[test]
fn the_choice_of_a_replica_on_mariadb() {
    run(Make::MariaDb);
}
