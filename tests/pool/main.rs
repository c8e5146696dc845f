//! Server connections that are used again: nothing of one session is seen by the next, limits hold,
//! and what a server does to an idle connection is nobody's error. On both makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod handed;
#[path = "../raw/mod.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lagwise::auth::{Credential, CredentialSecret};
use lagwise::backend::Endpoint;
use lagwise::backend::image::Image;
use lagwise::config::ServerAddress;
use lagwise::pool::{Guard, Limits, LoginKey, LoginRecord, Pool, Wish};
use lagwise::protocol::flags::{Capabilities, StatusFlags};
use raw::Client;
use support::{Lab, Make, Proxy, eventually};
use tokio::time::Instant;

/// What a session does, and what the next one asks.
type Trace = (&'static [&'static str], &'static str);

/// Traces that a reset takes away, or that have the connection closed.
const TRACES: &[Trace] = &[
    (&["SET @a = 7"], "SELECT @a"),
    (&["CREATE TEMPORARY TABLE secret AS SELECT 7 AS n"], "SELECT * FROM secret"),
    (&["INSERT INTO trace VALUES (NULL)"], "SELECT LAST_INSERT_ID()"),
    (&["SELECT SQL_CALC_FOUND_ROWS * FROM items LIMIT 3"], "SELECT ROW_COUNT()"),
    (&["SELECT GET_LOCK('trace', 1)"], "SELECT IS_FREE_LOCK('trace')"),
    (&["LOCK TABLES items READ"], "SELECT COUNT(*) > 0 FROM orders"),
    (&["HANDLER items OPEN"], "HANDLER items READ FIRST"),
    (&["PREPARE s FROM 'SELECT 7'"], "EXECUTE s"),
    (&["BEGIN", "DELETE FROM items"], "SELECT COUNT(*) FROM items"),
    (&["SET autocommit = 0", "DELETE FROM items"], "SELECT COUNT(*), @@autocommit FROM items"),
    (&["SET TRANSACTION READ ONLY"], "INSERT INTO trace VALUES (NULL)"),
    (&["SET SESSION TRANSACTION READ ONLY"], "INSERT INTO trace VALUES (NULL)"),
    (&["SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"], "SELECT @@transaction_isolation"),
    (&["SET sql_mode = 'ANSI'"], "SELECT @@sql_mode"),
    (&["SET time_zone = '+05:00'"], "SELECT @@time_zone"),
    (&["SET foreign_key_checks = 0"], "SELECT @@foreign_key_checks"),
    (&["SET sql_select_limit = 0"], "SELECT 1"),
    (&["SET character_set_results = NULL"], "SELECT @@character_set_results"),
    (
        &["SET NAMES latin1 COLLATE latin1_german1_ci"],
        "SELECT @@character_set_client, @@character_set_results, @@collation_connection",
    ),
    (
        &["SET session_track_schema = 0, session_track_system_variables = ''"],
        "SELECT @@session_track_schema, @@session_track_system_variables",
    ),
    (&["SELECT 1 / 0", "DROP TABLE IF EXISTS nothing"], "SHOW WARNINGS"),
    (&["SET ROLE reader"], "SELECT CURRENT_ROLE()"),
    (&["FLUSH TABLES WITH READ LOCK"], "INSERT INTO trace VALUES (NULL)"),
    (&["XA START 'trace'", "DELETE FROM items"], "BEGIN"),
    (&["DO SLEEP(0)", "SELECT * FROM items"], "SHOW SESSION STATUS LIKE 'Handler_read_rnd_next'"),
];

/// What only one make has.
const OF_MYSQL: &[Trace] = &[
    (&["SET ROLE NONE"], "SELECT CURRENT_ROLE()"),
    (&["SET gtid_next = 'AUTOMATIC'"], "SELECT @@gtid_next"),
    (&["LOCK INSTANCE FOR BACKUP"], "SELECT COUNT(*) FROM items"),
    (&["SET profiling = 1", "SELECT 'a secret'"], "SHOW PROFILES"),
];
const OF_MARIADB: &[Trace] = &[
    (&["SELECT NEXTVAL(numbers)"], "SELECT LASTVAL(numbers)"),
    (&["INSERT INTO trace VALUES (NULL)"], "SELECT @@last_gtid"),
    (&["SET @@max_statement_time = 5"], "SELECT @@max_statement_time"),
];

fn pool_to(lab: &Lab, limits: Limits) -> Arc<Pool> {
    let address = ServerAddress::Tcp { host: "127.0.0.1".into(), port: lab.port(0) };
    let endpoint =
        Endpoint { address, tls: None, dead_after: Duration::from_secs(3), proxy_protocol: false };
    Pool::new(endpoint, limits)
}

fn key(user: &str, charset: u8) -> LoginKey {
    let password = format!("{user}_password").into_bytes();
    let secret = CredentialSecret::from_password(password.into());
    let login = LoginRecord {
        credential: Arc::new(Credential { user: user.into(), secret, client: None }),
        capabilities: Capabilities::PROTOCOL_41 | Capabilities::DEPRECATE_EOF,
        charset,
        attributes: None,
        client_tls: false,
    };
    LoginKey::new(&login, false)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

async fn take(pool: &Arc<Pool>, key: &LoginKey) -> Guard {
    let wish = Wish { has_schema: true, fingerprint: 0 };
    pool.checkout(key, wish, None, soon()).await.unwrap()
}

/// The state of a session in its schema.
fn shop() -> Image {
    Image::new(false, b"shop", None, [])
}

/// A session in its schema.
async fn begin(pool: &Arc<Pool>, key: &LoginKey) -> Guard {
    let mut guard = take(pool, key).await;
    guard.bring_in_line(&Arc::new(shop()), None, false).await.unwrap();
    guard
}

/// Rows or the server's error, as text.
async fn ask(guard: &mut Guard, sql: &str) -> String {
    match guard.query_rows(sql, soon()).await {
        Ok(rows) => format!("{:?}", rows.iter().map(|row| readable(row)).collect::<Vec<_>>()),
        Err(error) => error.to_string(),
    }
}

fn readable(row: &[Option<Vec<u8>>]) -> Vec<Option<String>> {
    row.iter().map(|it| it.as_deref().map(|it| String::from_utf8_lossy(it).into())).collect()
}

async fn no_trace_is_left(lab: &Lab) {
    lab.sql(
        0,
        "CREATE TABLE shop.trace (id INT AUTO_INCREMENT PRIMARY KEY); CREATE ROLE reader; \
         GRANT SELECT ON other.* TO reader; GRANT reader TO admin@'%'",
    );
    let (of_make, roles) = match lab.make {
        Make::MySql => {
            lab.sql(0, "CREATE ROLE base; GRANT base TO admin@'%'; SET DEFAULT ROLE base TO admin");
            (OF_MYSQL, "`base`@`%`")
        }
        Make::MariaDb => {
            lab.sql(0, "CREATE SEQUENCE shop.numbers");
            (OF_MARIADB, "None")
        }
    };
    // Latin1, swedish: no server's default.
    let key = key("admin", 8);
    let traced = lab.sql(0, "SELECT COUNT(*) FROM shop.items");
    let mut used_again = 0;
    for (sets, asks) in TRACES.iter().chain(of_make) {
        let fresh = pool_to(lab, Limits::default());
        let mut guard = begin(&fresh, &key).await;
        let began_with = guard.initial_state().to_vec();
        let status = guard.status - StatusFlags::SESSION_STATE_CHANGED;
        let want = ask(&mut guard, asks).await;
        drop(guard);
        let pool = pool_to(lab, Limits { max_connections: 1, ..Limits::default() });
        let mut guard = begin(&pool, &key).await;
        let id = guard.facts().thread_id;
        for set in *sets {
            // A statement that one make does not know leaves no trace there.
            drop(guard.query_rows(set, soon()).await);
        }
        guard.recycle();
        let mut guard = begin(&pool, &key).await;
        let is_same = guard.facts().thread_id == id;
        used_again += usize::from(is_same);
        let closed = lab.make == Make::MariaDb && sets[0].contains("ROLE");
        assert_eq!(is_same, !closed, "{}: {sets:?}", lab.make);
        let flags = guard.status - StatusFlags::SESSION_STATE_CHANGED;
        assert_eq!(flags, status, "{}: status flags after {sets:?}", lab.make);
        assert_eq!(guard.initial_state(), began_with, "{}: after {sets:?}", lab.make);
        let got = ask(&mut guard, asks).await;
        assert_eq!(got, want, "{}: {asks} after {sets:?}", lab.make);
        assert!(asks.contains("ROLE") <= got.contains(roles), "{got}");
        drop(guard);
    }
    assert!(used_again > 20, "{used_again}");
    assert_eq!(lab.sql(0, "SELECT COUNT(*) FROM shop.items"), traced);
}

/// A connection comes back with its schema, and never to a session without one.
async fn a_schema_stays(lab: &Lab) {
    let pool = pool_to(lab, Limits { max_connections: 1, ..Limits::default() });
    let key = key("app", 45);
    let guard = begin(&pool, &key).await;
    let first = guard.facts().thread_id;
    guard.recycle();
    let mut guard = take(&pool, &key).await;
    assert_eq!(ask(&mut guard, "SELECT DATABASE()").await, "[[Some(\"shop\")]]");
    assert_eq!((&*guard.image, guard.facts().thread_id), (&shop(), first));
    guard.recycle();
    let wish = Wish { has_schema: false, fingerprint: 0 };
    let mut guard = pool.checkout(&key, wish, None, soon()).await.unwrap();
    assert_eq!(ask(&mut guard, "SELECT DATABASE()").await, "[[None]]");
    assert_eq!((guard.facts().thread_id, pool.counters().handed()), (first, 1));
}

/// A server with an init_connect has every session begin with it.
async fn init_connect_is_for_every_session(lab: &Lab) {
    lab.sql(0, "SET GLOBAL init_connect = 'SET @began = 7'");
    let pool = pool_to(lab, Limits { max_connections: 1, ..Limits::default() });
    let key = key("app", 45);
    for _ in 0..2 {
        let mut guard = begin(&pool, &key).await;
        assert_eq!(ask(&mut guard, "SELECT @began").await, "[[Some(\"7\")]]");
        guard.run(b"SET @began = 8").await.unwrap();
        guard.recycle();
    }
    lab.sql(0, "SET GLOBAL init_connect = ''");
}

/// A connection with a statement under way is closed; so is one that has gone.
async fn what_is_not_clean_is_closed(lab: &Lab) {
    let pool = pool_to(lab, Limits { max_connections: 1, ..Limits::default() });
    let key = key("app", 45);
    let mut guard = begin(&pool, &key).await;
    let first = guard.facts().thread_id;
    let mut packet = Vec::new();
    guard.build_query(&mut packet, b"SELECT SLEEP(0.05)");
    guard.send(&packet).await.unwrap();
    guard.recycle();
    let guard = begin(&pool, &key).await;
    let second = guard.facts().thread_id;
    assert_ne!(second, first);
    lab.sql(0, &format!("KILL {second}"));
    guard.recycle();
    assert_ne!(begin(&pool, &key).await.facts().thread_id, second);
}

/// Where the server lets an account in no further, what there is serves all.
async fn a_limit_of_the_server_is_lived_with(lab: &Lab) {
    lab.sql(0, "ALTER USER other@'%' WITH MAX_USER_CONNECTIONS 2");
    let pool = pool_to(lab, Limits::default());
    let mut sessions = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let pool = Arc::clone(&pool);
        sessions.spawn(async move {
            let mut guard = begin(&pool, &key("other", 45)).await;
            assert_eq!(ask(&mut guard, "SELECT SLEEP(0.01)").await, "[[Some(\"0\")]]");
            guard.recycle();
        });
    }
    while let Some(ended) = sessions.join_next().await {
        ended.unwrap();
    }
    assert!(pool.levels().is_circuit_open && pool.open() <= 2, "{:?}", pool.levels());
    let failures = pool.counters().connect_failures();
    assert!((1..20).contains(&failures), "{failures} connects were refused");
    lab.sql(0, "ALTER USER other@'%' WITH MAX_USER_CONNECTIONS 0");
}

fn counter(proxy: &Proxy, lab: &Lab, server: usize, name: &str) -> f64 {
    proxy.metrics().value(&format!("{name}{{server=\"{}\"}}", lab.address(server)))
}

/// Many clients, few connections: all are served, and the servers see no more than allowed.
fn many_clients_in_turn(lab: &Lab) {
    let tables = [0, 1].map(|server| {
        format!("[[server]]\naddress = \"{}\"\nmax_connections = 5\n", lab.address(server))
    });
    let proxy =
        Proxy::start(lab, &format!("[pool]\ncheckout_timeout = \"30s\"\n{}", tables.concat()));
    proxy.wait_probed();
    let there = |server| {
        let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'";
        lab.sql(server, sql).parse::<u64>().unwrap()
    };
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let most = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = [0; 2];
            while !stop.load(Ordering::Relaxed) {
                for server in [0, 1] {
                    most[server] = most[server].max(there(server));
                }
            }
            most
        });
        let clients: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < 200 {
                        let mut client = Client::app(proxy.port());
                        client.run("SET @mine = 1");
                        assert_eq!(client.value("SELECT COUNT(*) FROM items"), "100");
                        client.run("UPDATE items SET stock = stock + 1 WHERE id = 1");
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        stop.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    });
    assert_eq!(lab.sql(0, "SELECT stock FROM shop.items WHERE id = 1"), "1200");
    println!("{}: at most {most:?} connections", lab.make);
    assert!(most.iter().all(|most| (1..=5).contains(most)), "{most:?}");
    eventually("every connection is given back", || {
        let level = |name| (0..2).map(|it| counter(&proxy, lab, it, name)).sum::<f64>();
        level("lagwise_server_connections") == level("lagwise_server_idle_connections")
    });
    assert!(counter(&proxy, lab, 1, "lagwise_connects_total") <= 10.0);
    let waited = proxy.metrics().sum("lagwise_checkouts_total", &[("outcome", "timeout")]);
    assert_eq!(waited, 0.0);
}

/// Sessions that share one connection have what `init_connect` gives to each, and what they set
/// themselves.
fn init_connect_is_for_all(lab: &Lab) {
    for server in [0, 1] {
        let sql = "SET SESSION div_precision_increment = 7, @began = 7";
        lab.sql(server, &format!("SET GLOBAL init_connect = '{sql}'"));
    }
    let tables = [0, 1].map(|server| {
        format!("[[server]]\naddress = \"{}\"\nmax_connections = 1\n", lab.address(server))
    });
    let proxy = Proxy::start(lab, &tables.concat());
    proxy.wait_probed();
    let mut clients = [(); 2].map(|()| Client::app(proxy.port()));
    for _ in 0..3 {
        clients[0].run("SET SESSION div_precision_increment = 3");
        clients[0].run("SET SESSION sql_select_limit = 50");
        for (client, want) in clients.iter_mut().zip(["3", "7"]) {
            assert_eq!(client.value("SELECT @@div_precision_increment"), want, "on the replica");
            assert_eq!(client.value("SELECT @began"), "7");
            let sql = "SELECT @@div_precision_increment, @began FROM items LIMIT 1 FOR UPDATE";
            assert_eq!(client.value(sql), want, "on the primary");
        }
    }
    for server in [0, 1] {
        lab.sql(server, "SET GLOBAL init_connect = ''");
    }
}

/// What the last statement has left holds a connection only as long as nobody else needs it.
fn a_silent_session_lets_others_in(lab: &Lab) {
    let table = format!("[[server]]\naddress = \"{}\"\nmax_connections = 1\n", lab.address(0));
    let proxy = Proxy::start(lab, &table);
    proxy.wait_probed();
    let mut client = Client::app(proxy.port());
    let mut other = Client::app(proxy.port());
    let two = "UPDATE items SET stock = stock + 1 WHERE id IN (1, 2)";
    let error = |fail: raw::Fail| fail.code();
    for _ in 0..2 {
        client.run(two);
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(client.value("SELECT ROW_COUNT()"), "2", "nobody else has come");
        client.run(two);
        other.run("UPDATE items SET stock = stock WHERE id = 1");
        assert_eq!(client.query("SELECT ROW_COUNT()").map(drop).map_err(error), Err(1105));
        assert_eq!(client.query("SHOW WARNINGS").map(drop).map_err(error), Err(1105));
        client.run("UPDATE items SET stock = stock + 1 WHERE id = 3");
        assert_eq!(client.value("SELECT ROW_COUNT()"), "1");
        assert_eq!(client.query("DELETE FROM no_such").map(drop).map_err(error), Err(1146));
        assert_eq!(client.value("SHOW WARNINGS"), "Error");
        assert_eq!(client.query("DELETE FROM no_such").map(drop).map_err(error), Err(1146));
        other.run("UPDATE items SET stock = stock WHERE id = 1");
        assert_eq!(client.query("SHOW WARNINGS").map(drop).map_err(error), Err(1105));
        client.run("DO 0");
        assert_eq!(client.query("SHOW WARNINGS").map(|rows| rows.len()).map_err(error), Ok(0));
    }
}

/// Who keeps all others out can be killed.
fn a_kill_needs_no_room(lab: &Lab) {
    let table = format!("[[server]]\naddress = \"{}\"\nmax_connections = 1\n", lab.address(0));
    let proxy = Proxy::start(lab, &table);
    proxy.wait_probed();
    let mut killer = Client::app(proxy.port());
    for _ in 0..3 {
        let mut holder = Client::app(proxy.port());
        holder.run("BEGIN");
        holder.run("UPDATE items SET stock = 7 WHERE id = 5");
        killer.run(&format!("KILL {}", holder.id));
        assert!(holder.query("SELECT 1").is_err());
        killer.run("UPDATE items SET stock = stock WHERE id = 5");
    }
}

/// What a server does to idle connections is noticed by nobody.
fn idle_connections_die_unnoticed(lab: &Lab) {
    let proxy = Proxy::start(lab, "");
    proxy.wait_probed();
    let visit = || {
        let mut client = Client::app(proxy.port());
        assert_eq!(client.value("SELECT COUNT(*) FROM items"), "100");
        client.run("UPDATE items SET stock = stock WHERE id = 1");
    };
    let opened = || counter(&proxy, lab, 1, "lagwise_connects_total");
    visit();
    visit();
    let before = opened();
    assert!(before >= 1.0, "the replica is read from");
    for server in [0, 1] {
        let ids =
            lab.sql(server, "SELECT id FROM information_schema.processlist WHERE user = 'app'");
        assert!(!ids.is_empty(), "server {server} has no idle connection");
        for id in ids.lines() {
            lab.sql(server, &format!("KILL {id}"));
        }
        // It says so before it has closed them.
        eventually("they are closed", || {
            let left = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'";
            lab.sql(server, left) == "0"
        });
    }
    visit();
    visit();
    assert!(opened() > before, "the killed one was used");
    // Every session of these servers is dropped after a second.
    for server in [0, 1] {
        lab.sql(server, "SET GLOBAL wait_timeout = 1");
    }
    visit();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1200));
        visit();
    }
    for server in [0, 1] {
        lab.sql(server, "SET GLOBAL wait_timeout = 28800");
    }
    for side in ["server", "proxy"] {
        assert_eq!(proxy.metrics().sum("lagwise_errors_total", &[("side", side)]), 0.0, "{side}");
    }
}

/// Connections are closed in due form when lagwise stops.
fn connections_are_ended_in_due_form(lab: &Lab) {
    // Each session has its own.
    let mut proxy = Proxy::start(lab, "[pool]\nmode = \"session\"");
    proxy.wait_probed();
    let aborted = [0, 1].map(|server| lab.status(server, "Aborted_clients"));
    let mut clients: Vec<_> = (0..4).map(|_| Client::app(proxy.port())).collect();
    for client in &mut clients {
        client.value("SELECT COUNT(*) FROM items");
        client.run("UPDATE items SET stock = stock WHERE id = 1");
    }
    drop(clients);
    eventually("connections are idle", || {
        let idle = |server| counter(&proxy, lab, server, "lagwise_server_idle_connections");
        idle(0) >= 4.0 && idle(1) >= 4.0
    });
    assert!(proxy.terminate().success());
    for server in [0, 1] {
        // The monitor may have been in the middle of a probe.
        let now = lab.status(server, "Aborted_clients");
        assert!(now <= aborted[server] + 1, "{now} after {aborted:?}");
    }
}

fn run(make: Make) {
    let lab = Lab::start(make, 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        no_trace_is_left(&lab).await;
        a_schema_stays(&lab).await;
        handed::an_account_takes_over_anothers(&lab).await;
        init_connect_is_for_every_session(&lab).await;
        what_is_not_clean_is_closed(&lab).await;
        // MariaDB heeds the limit of an account only with one for all.
        if make == Make::MySql {
            a_limit_of_the_server_is_lived_with(&lab).await;
        }
    });
    lab.wait_caught_up();
    many_clients_in_turn(&lab);
    lab.wait_caught_up();
    init_connect_is_for_all(&lab);
    a_silent_session_lets_others_in(&lab);
    a_kill_needs_no_room(&lab);
    idle_connections_die_unnoticed(&lab);
    connections_are_ended_in_due_form(&lab);
}

#[test]
fn connections_are_used_again_on_mysql() {
    run(Make::MySql);
}

#[test]
fn connections_are_used_again_on_mariadb() {
    run(Make::MariaDb);
}
