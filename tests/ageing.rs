//! Days in seconds: connections that grow old, are idle for too long, are dropped by the server's
//! wait_timeout and killed by hand, all the time and under load. No client sees an error. On both
//! makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../benches/page/mod.rs"]
mod page;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use page::{Account, Fail, Visitor};
use support::{Lab, Make, Proxy};
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Clients at a time.
const CLIENTS: u32 = 24;

/// How long they go on.
const LOAD: Duration = Duration::from_secs(20);

/// What they have done.
#[derive(Debug, Default)]
struct Done {
    pages: AtomicU64,
    writes: AtomicU64,
}

/// One client after the other: each reads and writes, says nothing for a while, and goes on.
async fn visits(
    port: u16,
    number: u32,
    until: Instant,
    done: Arc<Done>,
    quiet: Arc<RwLock<()>>,
) -> Result<(), String> {
    let fail = |what: &'static str| move |fail: Fail| format!("{what}: {fail}");
    let account = Account::app();
    let mut random = fastrand::Rng::with_seed(u64::from(number));
    while Instant::now() < until {
        let mut visitor = Visitor::connect(port, &account).await.map_err(fail("connect"))?;
        visitor.query("SET NAMES utf8mb4").await.map_err(fail("SET NAMES"))?;
        for _ in 0..3 {
            let at_work = quiet.read().await;
            let item = random.u32(1..=100);
            let sql = "SELECT name FROM items WHERE id = ?";
            let answer = visitor.prepared(sql, item, &format!("item {item}")).await;
            let answer = answer.map_err(fail("a read"))?;
            if (answer.rows, answer.is_found) != (1, true) {
                return Err(format!("a read: {answer:?}"));
            }
            drop(at_work);
            // A third of the pauses is longer than everything's life.
            sleep(Duration::from_millis(random.u64(0..1500))).await;
            let at_work = quiet.read().await;
            let sql = format!("INSERT INTO visits (client) VALUES ({number})");
            visitor.query(&sql).await.map_err(fail("a write"))?;
            done.writes.fetch_add(1, Ordering::Relaxed);
            drop(at_work);
            sleep(Duration::from_millis(random.u64(0..1500))).await;
        }
        visitor.quit().await.map_err(fail("quit"))?;
        done.pages.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Kills connections of which no statement is under way; says how many.
fn kill_idle(lab: &Lab, stop: &AtomicBool, quiet: &RwLock<()>) -> u64 {
    let mut killed = 0;
    while !stop.load(Ordering::Relaxed) {
        for server in [0, 1] {
            let sql = "SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist WHERE \
                       user = 'app' AND command = 'Sleep' ORDER BY id DESC LIMIT 1";
            let _quiet = quiet.blocking_write();
            let kill = lab.sql(server, sql);
            // It may be gone already.
            killed += u64::from(!kill.is_empty() && lab.try_sql(server, &kill).is_ok());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    killed
}

fn run(make: Make) {
    let lab = Lab::start(make, 1);
    // Without AUTO_INCREMENT: LAST_INSERT_ID() of a write holds its connection.
    lab.sql(0, "CREATE TABLE shop.visits (client INT NOT NULL)");
    lab.wait_caught_up();
    for server in [0, 1] {
        lab.sql(server, "SET GLOBAL wait_timeout = 1");
    }
    let proxy = Proxy::start(
        &lab,
        "[pool]\nidle_timeout = \"1s\"\nmax_lifetime = \"1s\"\ncheckout_timeout = \"30s\"\n\
         connect_timeout = \"10s\"\n",
    );
    proxy.wait_probed();
    let done = Arc::new(Done::default());
    let stop = AtomicBool::new(false);
    // Held while a statement is under way; whole while somebody kills.
    let quiet = Arc::new(RwLock::new(()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (killed, failures) = std::thread::scope(|scope| {
        let killer = scope.spawn(|| kill_idle(&lab, &stop, &quiet));
        let failures = runtime.block_on(async {
            let until = Instant::now() + LOAD;
            let mut clients = JoinSet::new();
            for number in 0..CLIENTS {
                let (done, quiet) = (Arc::clone(&done), Arc::clone(&quiet));
                clients.spawn(visits(proxy.port(), number, until, done, quiet));
            }
            let ended = clients.join_all().await;
            ended.into_iter().filter_map(Result::err).collect::<Vec<_>>()
        });
        stop.store(true, Ordering::Relaxed);
        (killer.join().unwrap(), failures)
    });
    let metrics = proxy.metrics();
    let opened = metrics.sum("lagwise_connects_total", &[]);
    let writes = done.writes.load(Ordering::Relaxed);
    println!("{make}: {done:?}, {killed} killed, {opened} connections opened");
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(lab.sql(0, "SELECT COUNT(*) FROM shop.visits"), writes.to_string());
    // All of it has happened, many times.
    assert!(killed > 10 && opened > 50.0 && done.pages.load(Ordering::Relaxed) > 20);
    for side in ["server", "proxy"] {
        assert_eq!(metrics.sum("lagwise_errors_total", &[("side", side)]), 0.0, "{side}");
    }
}

#[test]
fn connections_age_unnoticed_on_mysql() {
    run(Make::MySql);
}

#[test]
fn connections_age_unnoticed_on_mariadb() {
    run(Make::MariaDb);
}
