//! Replicas of a tag that die under the sessions which a rule keeps there.

use std::time::{Duration, Instant};

use super::raw::Client;
use super::support::{Lab, Proxy, eventually, eventually_some};
use super::{BI, fails, login, ran_on, server_of, visited, wait_all, within};

/// Reads go on elsewhere; what was tied to the server is an error, once.
pub fn a_replica_dies(lab: &Lab, proxy: &mut Proxy) {
    let mut clients: Vec<Client> = (0..3).map(|_| on_server_2(proxy)).collect();
    let mut running = on_server_2(proxy);
    clients[0].run("CREATE TEMPORARY TABLE t (a INT)");
    clients[1].run("BEGIN");
    clients[1].run("SELECT 1 FROM items");
    running.send(3, b"SELECT SLEEP(1), 'mark-running' FROM items LIMIT 1").unwrap();
    lab.wait_seen(2, "mark-running");
    lab.kill(2);
    assert_eq!(running.results(false).expect("is asked elsewhere").len(), 1);
    for (index, client) in clients.iter_mut().enumerate() {
        if index < 2 {
            let what = if index == 0 { "a temporary table" } else { "a transaction" };
            fails(what, client.query("SELECT 1 FROM items"), 1158, &["report-2"]);
        }
        assert_eq!(server_of(client), 3, "client {index}");
    }
    let mut new = login(proxy, BI);
    assert_eq!(server_of(&mut new), 3);
    lab.restart(2);
    wait_all(proxy);
}

/// Without the primary nobody is sent to replicas that are kept for others, not for a login either.
pub fn the_primary_dies(lab: &Lab, proxy: &mut Proxy) {
    lab.kill(0);
    let mut app = Client::app(proxy.port());
    assert_eq!(app.value("SELECT 'mark-app' FROM items LIMIT 1"), "mark-app");
    let mut bi = login(proxy, BI);
    bi.run("BEGIN");
    assert_eq!(bi.value("SELECT 'mark-bi' FROM items LIMIT 1"), "mark-bi");
    bi.run("COMMIT");
    assert_eq!(ran_on(lab, "mark-app"), [1]);
    assert_eq!(visited(lab, "app"), [1]);
    within(&visited(lab, "other"), &[2, 3], "other");
    lab.kill(1);
    assert!(Client::connect(proxy.port(), super::raw::APP).is_err(), "nobody is there for app");
    assert_eq!(visited(lab, "app"), [1]);
    lab.restart(0);
    lab.restart(1);
    wait_all(proxy);
}

/// A session that is on server 2.
fn on_server_2(proxy: &Proxy) -> Client {
    eventually_some("a session is on server 2", || {
        let mut client = login(proxy, BI);
        (server_of(&mut client) == 2).then_some(client)
    })
}

/// Where no connection is to be had the session goes to another one, with all that it is.
pub fn a_replica_is_full(lab: &Lab, proxy: &mut Proxy) {
    lab.sql(2, "SET GLOBAL max_connections = 10");
    let mut bi = on_server_2(proxy);
    bi.run("SET SESSION group_concat_max_len = 4321");
    bi.run("USE other");
    let thread = bi.value("SELECT CAST(CONNECTION_ID() AS CHAR)");
    let mut others = Vec::new();
    let mut fill = || {
        let refused = loop {
            match Client::connect(lab.port(2), BI) {
                Ok(client) => others.push(client),
                Err(fail) => break fail,
            }
        };
        assert_eq!(refused.code(), 1040, "{refused}");
        others.len()
    };
    let before = fill();
    lab.sql(2, &format!("KILL {thread}"));
    eventually("its place is taken", || fill() > before);
    bi.run("SET @a = 5");
    assert_eq!(server_of(&mut bi), 3);
    let state = "SELECT CONCAT(DATABASE(), @@group_concat_max_len, @a)";
    assert_eq!(bi.value(state), "other43215");
    drop(others);
    lab.sql(2, "SET GLOBAL max_connections = 151");
    wait_all(proxy);
}

/// One that answers nothing any more is given up, in a statement that runs and for those after it.
pub fn a_replica_hangs(lab: &Lab, proxy: &mut Proxy) {
    let mut bi = on_server_2(proxy);
    lab.freeze(2);
    let begun = Instant::now();
    assert_eq!(server_of(&mut bi), 3);
    let took = begun.elapsed();
    lab.thaw(2);
    assert!(took < Duration::from_secs(15), "{took:?}");
    wait_all(proxy);
}

/// A clear error in bounded time, and never the primary.
pub fn all_die(lab: &Lab, proxy: &mut Proxy) {
    let mut bi = login(proxy, BI);
    bi.run("SELECT 1");
    lab.kill(2);
    lab.kill(3);
    let begun = Instant::now();
    let words = ["'bi'", "'reporting'", "'report-2'", "'report-3'"];
    // Before the monitors know, it is a server that cannot be reached.
    let first = bi.query("SELECT 1").expect_err("nobody is there");
    assert!([1429, 1158].contains(&first.code()), "{first}");
    eventually("the error says which rule", || {
        let fail = bi.query("SELECT 1").expect_err("nobody is there");
        words.iter().all(|word| fail.to_string().contains(word))
    });
    fails("USE", bi.query("USE other"), 1429, &words);
    fails("PREPARE", bi.execute("SELECT 1"), 1429, &words);
    fails("a write", bi.query("DELETE FROM items"), 1290, &["'bi'"]);
    let denied = Client::connect(proxy.port(), BI).map(drop);
    fails("a new login", denied, 1429, &words);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let one = Instant::now();
    fails("the session", bi.query("SELECT 1"), 1429, &words);
    assert!(one.elapsed() < Duration::from_secs(2), "{:?}", one.elapsed());
    let mut app = Client::app(proxy.port());
    assert_eq!(app.value("SELECT 'x' FROM items LIMIT 1"), "x", "others do not notice");
    let on_primary = lab.general_log(0);
    let met = on_primary.iter().any(|entry| entry.text.starts_with("other@"));
    assert!(!met, "the primary never saw the account");
    lab.restart(3);
    eventually("the session is served again", || bi.query("SELECT 1").is_ok());
    assert_eq!(server_of(&mut bi), 3);
}
