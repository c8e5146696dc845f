//! A storm: thousands of clients connect within seconds, load a page each, and leave. All are served
//! over a few server connections, and every write that was acknowledged is there once. On both makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../benches/page/mod.rs"]
mod page;
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use page::{Account, Fail, Visitor};
use support::{Lab, Make, Proxy, eventually};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Of the application's account.
const CLIENTS: u32 = 5_000;

/// Of another, which nobody has proven when they come in the midst of the others.
const LATE: u32 = 20;

/// They connect within this time.
const ARRIVAL: Duration = Duration::from_secs(5);

/// No client waits longer, from connecting to leaving.
const PATIENCE: Duration = Duration::from_secs(120);

const MAX_CONNECTIONS: u64 = 20;

/// How the clients fared.
#[derive(Debug, Default)]
struct Outcome {
    /// Whose write was acknowledged.
    acknowledged: BTreeSet<u32>,
    /// What went wrong, a few of each kind at most.
    failures: Vec<String>,
    /// From connecting to leaving.
    times: Vec<Duration>,
}

/// Loads one page: three prepared reads and a write.
async fn visit(port: u16, account: &Account, number: u32) -> Result<(), String> {
    let fail = |what: &'static str| move |fail: Fail| format!("{what}: {fail}");
    let mut visitor = Visitor::connect(port, account).await.map_err(fail("connect"))?;
    visitor.query("SET NAMES utf8mb4").await.map_err(fail("SET NAMES"))?;
    let item = number % 100 + 1;
    for sql in [
        "SELECT id, name, price FROM items WHERE id = ?",
        "SELECT name, stock FROM items WHERE id = ? ORDER BY name LIMIT 1",
        "SELECT i.name FROM items i LEFT JOIN orders o ON o.item_id = -i.id WHERE i.id = ?",
    ] {
        let answer = visitor.prepared(sql, item, &format!("item {item}")).await;
        let answer = answer.map_err(fail("a read"))?;
        if (answer.rows, answer.is_found) != (1, true) {
            return Err(format!("a read: {answer:?}"));
        }
    }
    let sql = format!("INSERT INTO visits (client) VALUES ({number})");
    visitor.query(&sql).await.map_err(fail("the write"))?;
    visitor.quit().await.map_err(fail("quit"))
}

/// Lets all clients come.
async fn storm(port: u16) -> Outcome {
    let app = Arc::new(Account::app());
    let other = Arc::new(Account::named("other"));
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS + LATE {
        let is_late = number >= CLIENTS;
        let account = Arc::clone(if is_late { &other } else { &app });
        let arrival = if is_late { ARRIVAL * 3 / 4 } else { ARRIVAL * number / CLIENTS };
        clients.spawn(async move {
            sleep_until(begin + arrival).await;
            let came = Instant::now();
            let visited = timeout(PATIENCE, visit(port, &account, number)).await;
            (number, visited.unwrap_or_else(|_| Err("not in time".to_owned())), came.elapsed())
        });
    }
    let mut outcome = Outcome::default();
    while let Some(ended) = clients.join_next().await {
        let (number, visited, time) = ended.unwrap();
        outcome.times.push(time);
        match visited {
            Ok(()) => drop(outcome.acknowledged.insert(number)),
            Err(text) => outcome.failures.push(text),
        }
    }
    outcome.times.sort_unstable();
    outcome
}

/// The most connections that a server has had at a time since [`forget_most`], the one that asks
/// included.
fn most_connections(lab: &Lab, server: usize) -> u64 {
    lab.status(server, "Max_used_connections")
}

fn forget_most(lab: &Lab, server: usize) {
    // Not written to the binary log: a replica would have what the primary lacks.
    lab.sql(server, "FLUSH LOCAL STATUS");
}

fn check(lab: &Lab, mode: &str) {
    lab.sql(0, "CREATE TABLE shop.visits (id INT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL)");
    lab.wait_caught_up();
    let tables = [0, 1].map(|server| {
        let address = lab.address(server);
        format!("[[server]]\naddress = {address:?}\nmax_connections = {MAX_CONNECTIONS}\n")
    });
    // On a busy machine a place in line and a login may take long. A server counts a connect that was
    // given up for a while.
    let pool =
        format!("[pool]\nmode = {mode:?}\ncheckout_timeout = \"2m\"\nconnect_timeout = \"30s\"\n",);
    let top = "login_timeout = \"1m\"\n";
    let proxy = Proxy::start(lab, &[top, &pool, &tables.concat()].concat());
    proxy.wait_probed();
    (0..2).for_each(|server| forget_most(lab, server));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begin = Instant::now();
    let outcome = runtime.block_on(storm(proxy.port()));
    let took = begin.elapsed();
    let most = [0, 1].map(|server| most_connections(lab, server));
    let time = |part: usize| outcome.times[(outcome.times.len() - 1) * part / 100];
    println!(
        "{}, {mode}: {} pages in {took:.1?}, at most {most:?} connections, p50 {:.0?}, p99 {:.0?}; \
         lagwise: {}",
        lab.make,
        outcome.acknowledged.len(),
        time(50),
        time(99),
        cost(&proxy),
    );
    let some: Vec<&String> = outcome.failures.iter().take(5).collect();
    assert!(some.is_empty(), "{} clients failed: {some:#?}", outcome.failures.len());
    let clients = lab.sql(0, "SELECT client FROM shop.visits ORDER BY client");
    let written: Vec<u32> = clients.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(written, (0..CLIENTS + LATE).collect::<Vec<_>>(), "every write is there once");
    // The monitor's, the one on which the primary is asked for hashes every 5 s, the replica's own, and
    // the one that asks.
    assert!(most[0] <= MAX_CONNECTIONS + 4, "{most:?}");
    // The monitor's, and the one that asks.
    assert!(most[1] <= MAX_CONNECTIONS + 2, "{most:?}");
    assert!(most.iter().all(|most| *most > MAX_CONNECTIONS / 2), "{most:?}");
    let errors = proxy.metrics().sum("lagwise_errors_total", &[]);
    assert_eq!(errors, 0.0, "{}", proxy.metrics().text);
    eventually("every session has ended", || proxy.metrics().value("lagwise_sessions") == 0.0);
    lab.sql(0, "DROP TABLE shop.visits");
}

/// What the storm has cost lagwise.
fn cost(proxy: &Proxy) -> String {
    let metrics = proxy.metrics();
    let value = |name| metrics.value(name);
    format!(
        "{:.1} s of CPU, {:.0} MiB, {} logins remembered, {} connects \
         ({} failed), {} handed on, {} waited",
        value("process_cpu_seconds_total"),
        value("process_resident_memory_bytes") / f64::from(1 << 20),
        value("lagwise_logins_remembered_total"),
        metrics.sum("lagwise_connects_total", &[]),
        metrics.sum("lagwise_connect_failures_total", &[]),
        metrics.sum("lagwise_connections_handed_on_total", &[]),
        metrics.sum("lagwise_checkouts_total", &[("outcome", "waited")]),
    )
}

fn run(make: Make) {
    let lab = Lab::start(make, 1);
    for mode in ["transaction", "session"] {
        check(&lab, mode);
    }
}

#[test]
fn a_storm_is_served_over_a_few_connections_on_mysql() {
    run(Make::MySql);
}

#[test]
fn a_storm_is_served_over_a_few_connections_on_mariadb() {
    run(Make::MariaDb);
}
