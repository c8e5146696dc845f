//! The load generator of `scripts/bench.sh` for what short connections cost.
//!
//! ```text
//! pages load PORT CLIENTS SECONDS KIND        pages one after the other from each of the clients
//! pages storm PORT CLIENTS SECONDS            so many clients that connect within the time, a page each
//! pages prepare PORT CLIENTS SECONDS          PREPARE, EXECUTE and CLOSE on connections that stay
//! ```
//!
//! A `full` page is connect, SET NAMES, three prepared reads that are closed again, a write, and quit; a
//! `read` page the same without the write, and a `query` page connect, a query, and quit. The table `visits (client INT)` must exist. Prints one line:
//! units done, units that failed, seconds, p50 and p99 in milliseconds; and the first error, if any,
//! on standard error. One thread, so that it takes little from those whom it measures.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod page;

use std::time::Duration;

use page::{Account, Fail, Visitor};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until, timeout};

/// A page that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

const READS: [&str; 3] = [
    "SELECT id, name, price FROM items WHERE id = ?",
    "SELECT name, stock FROM items WHERE id = ? ORDER BY name LIMIT 1",
    "SELECT item_id, COUNT(*) FROM orders WHERE item_id = ? GROUP BY item_id",
];

/// What was done, and how long each took.
#[derive(Default)]
struct Outcome {
    times: Vec<Duration>,
    failed: usize,
    error: Option<String>,
}

impl Outcome {
    fn add(&mut self, result: Result<(), Fail>, time: Duration) {
        match result {
            Ok(()) => self.times.push(time),
            Err(fail) => {
                self.failed += 1;
                self.error.get_or_insert_with(|| fail.to_string());
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.times.extend(other.times);
        self.failed += other.failed;
        self.error = self.error.take().or(other.error);
    }
}

/// What a page does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Read,
    Query,
}

async fn page(port: u16, account: &Account, number: u32, kind: Kind) -> Result<(), Fail> {
    let mut visitor = Visitor::connect(port, account).await?;
    if kind == Kind::Query {
        visitor.query(&format!("SELECT name FROM items WHERE id = {}", number % 100 + 1)).await?;
        return visitor.quit().await;
    }
    visitor.query("SET NAMES utf8mb4").await?;
    for sql in READS {
        visitor.prepared(sql, number % 100 + 1, "item").await?;
    }
    if kind == Kind::Full {
        visitor.query(&format!("INSERT INTO visits (client) VALUES ({number})")).await?;
    }
    visitor.quit().await
}

async fn patiently(page: impl Future<Output = Result<(), Fail>>) -> Result<(), Fail> {
    let late = || Err(Fail::Io(std::io::ErrorKind::TimedOut.into()));
    timeout(PATIENCE, page).await.unwrap_or_else(|_| late())
}

async fn load(port: u16, client: u32, until: Instant, kind: Kind) -> Outcome {
    let (account, mut outcome, mut number) = (Account::app(), Outcome::default(), client);
    while Instant::now() < until {
        let begin = Instant::now();
        let result = patiently(page(port, &account, number, kind)).await;
        outcome.add(result, begin.elapsed());
        number = number.wrapping_add(7919);
    }
    outcome
}

async fn storm_of_one(port: u16, number: u32, at: Instant) -> Outcome {
    let (account, mut outcome) = (Account::app(), Outcome::default());
    sleep_until(at).await;
    let begin = Instant::now();
    outcome.add(patiently(page(port, &account, number, Kind::Full)).await, begin.elapsed());
    outcome
}

async fn prepare(port: u16, client: u32, until: Instant) -> Outcome {
    let (account, mut outcome) = (Account::app(), Outcome::default());
    let mut visitor = match Visitor::connect(port, &account).await {
        Ok(visitor) => visitor,
        Err(fail) => {
            outcome.add(Err(fail), Duration::ZERO);
            return outcome;
        }
    };
    let mut number = client;
    while Instant::now() < until {
        let begin = Instant::now();
        let sql = READS[number as usize % READS.len()];
        let result = visitor.prepared(sql, number % 100 + 1, "item").await.map(drop);
        outcome.add(result, begin.elapsed());
        number = number.wrapping_add(1);
    }
    outcome
}

async fn run(what: &str, port: u16, clients: u32, seconds: f64, kind: &str) -> Outcome {
    let (begin, span) = (Instant::now(), Duration::from_secs_f64(seconds));
    let kind = match kind {
        "read" => Kind::Read,
        "query" => Kind::Query,
        _ => Kind::Full,
    };
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let at = begin + span * client / clients;
        match what {
            "load" => tasks.spawn_local(load(port, client, begin + span, kind)),
            "storm" => tasks.spawn_local(storm_of_one(port, client, at)),
            "prepare" => tasks.spawn_local(prepare(port, client, begin + span)),
            other => panic!("what is {other}?"),
        };
    }
    let mut outcome = Outcome::default();
    while let Some(ended) = tasks.join_next().await {
        outcome.merge(ended.unwrap());
    }
    outcome
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let [what, port, clients, seconds, rest @ ..] = &arguments[..] else {
        println!("usage: pages load|storm|prepare PORT CLIENTS SECONDS [full|read|query]");
        return;
    };
    let port = port.parse().expect("a port");
    let clients = clients.parse().expect("a number of clients");
    let seconds = seconds.parse().expect("a number of seconds");
    let kind = rest.first().map_or("full", String::as_str);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begin = Instant::now();
    let tasks = LocalSet::new();
    let mut outcome = tasks.block_on(&runtime, run(what, port, clients, seconds, kind));
    let took = begin.elapsed().as_secs_f64();
    outcome.times.sort_unstable();
    let at = |part: usize| match outcome.times.len() {
        0 => 0.0,
        count => outcome.times[(count - 1) * part / 100].as_secs_f64() * 1e3,
    };
    let (done, failed) = (outcome.times.len(), outcome.failed);
    println!("{done} {failed} {took:.3} {:.3} {:.3}", at(50), at(99));
    if let Some(error) = outcome.error {
        eprintln!("{error}");
    }
}
