//! What clients do meanwhile, and what they know of it: every write is accounted for.
//!
//! Each thread has one connection, and connects anew only when that has ended. Ids are unique, so that a
//! write that was run twice, or was acknowledged and is not there, shows in the end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::raw::{APP, Client, Fail};

/// Rows of `accounts`, and what is in each at first.
pub const ACCOUNTS: u64 = 16;
pub const BALANCE: u64 = 1000;
/// Rows of `counters`.
pub const COUNTERS: u64 = 4;

/// What the tables begin with.
pub fn schema() -> String {
    let rows = |count, value: &str| {
        let row = |id| format!("({id}, {value})");
        (0..count).map(row).collect::<Vec<_>>().join(", ")
    };
    format!(
        "CREATE TABLE shop.ledger (n INT AUTO_INCREMENT PRIMARY KEY, id BIGINT NOT NULL, \
           part INT NOT NULL DEFAULT 0, KEY (id)); \
         CREATE TABLE shop.counters (id INT PRIMARY KEY, n BIGINT NOT NULL); \
         INSERT INTO shop.counters VALUES {}; \
         CREATE TABLE shop.accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL); \
         INSERT INTO shop.accounts VALUES {}; \
         CREATE PROCEDURE shop.enter(i BIGINT) SQL SECURITY INVOKER \
         INSERT INTO ledger (id) VALUES (i)",
        rows(COUNTERS, "0"),
        rows(ACCOUNTS, &BALANCE.to_string()),
    )
}

/// What became of one write, as its client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    Unknown,
    NotRun,
}

/// What all clients together have seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub acknowledged: HashSet<u64>,
    pub unknown: HashSet<u64>,
    pub not_run: HashSet<u64>,
    /// Of each counter: increments that were acknowledged, and those of which nobody knows.
    pub counts: [(u64, u64); COUNTERS as usize],
    /// Reads that missed a write of their own session, went back in time, or whose sum was wrong.
    pub wrong: Vec<String>,
}

/// The load of one fault: what was slow, and what failed.
#[derive(Debug, Default)]
pub struct Gauge {
    reads: AtomicU64,
    writes: AtomicU64,
    read_gap_micros: AtomicU64,
    write_gap_micros: AtomicU64,
    errors: Mutex<BTreeMap<String, usize>>,
}

/// One look at a [`Gauge`].
#[derive(Debug)]
pub struct Look {
    pub reads: u64,
    pub writes: u64,
    pub read_gap: Duration,
    pub write_gap: Duration,
    pub errors: BTreeMap<String, usize>,
}

impl Gauge {
    /// What has come about since the last look.
    pub fn take(&self) -> Look {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        Look {
            reads: take(&self.reads),
            writes: take(&self.writes),
            read_gap: Duration::from_micros(take(&self.read_gap_micros)),
            write_gap: Duration::from_micros(take(&self.write_gap_micros)),
            errors: std::mem::take(&mut self.errors.lock().unwrap()),
        }
    }

    /// Reads and writes until now.
    pub fn counts(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }

    fn failed(&self, what: &str, fail: &Fail) {
        let text: String = fail.to_string().chars().filter(|c| !c.is_ascii_digit()).collect();
        let name = format!("{what}: {} {text}", fail.code());
        *self.errors.lock().unwrap().entry(name).or_default() += 1;
    }
}

/// What a client works with.
pub struct Work<'a> {
    pub port: u16,
    pub stop: &'a AtomicBool,
    pub gauge: &'a Gauge,
    pub seen: &'a Mutex<Seen>,
    pub next: &'a AtomicU64,
}

/// A connection that is made anew when it has ended, and the time since the last success.
struct Line<'a> {
    work: &'a Work<'a>,
    client: Option<Client>,
    succeeded: Instant,
    gap: &'a AtomicU64,
    count: &'a AtomicU64,
}

impl<'a> Line<'a> {
    fn new(work: &'a Work<'a>, reads: bool) -> Self {
        let gauge = work.gauge;
        let (gap, count) = match reads {
            true => (&gauge.read_gap_micros, &gauge.reads),
            false => (&gauge.write_gap_micros, &gauge.writes),
        };
        Line { work, client: None, succeeded: Instant::now(), gap, count }
    }

    /// Runs `job`; its error is counted, and ends the connection if that is what it says.
    fn run<T>(
        &mut self,
        what: &str,
        job: impl FnOnce(&mut Client) -> Result<T, Fail>,
    ) -> Option<Result<T, Fail>> {
        if self.client.is_none() {
            match Client::connect(self.work.port, APP) {
                Ok(client) => self.client = Some(client),
                Err(fail) => {
                    self.work.gauge.failed("connect", &fail);
                    self.note_gap();
                    std::thread::sleep(Duration::from_millis(5));
                    return None;
                }
            }
        }
        let result = job(self.client.as_mut()?);
        self.note_gap();
        match &result {
            Ok(_) => {
                self.succeeded = Instant::now();
                self.count.fetch_add(1, Ordering::Relaxed);
            }
            Err(fail) => {
                self.work.gauge.failed(what, fail);
                if matches!(fail, Fail::Io(_)) || fail.to_string().contains("gone away") {
                    self.client = None;
                }
                // A loop without a pause would only fill the accounts.
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Some(result)
    }

    fn note_gap(&self) {
        let micros = u64::try_from(self.succeeded.elapsed().as_micros()).unwrap();
        self.gap.fetch_max(micros, Ordering::Relaxed);
    }
}

/// Writes until told to stop, and reads back what it wrote. `calls`: by procedures, too. Who has called
/// one is tied to its connection, for it may have set variables there.
pub fn write(work: &Work<'_>, calls: bool) {
    let mut line = Line::new(work, false);
    while !work.stop.load(Ordering::Relaxed) {
        let id = work.next.fetch_add(1, Ordering::Relaxed);
        let counter = id % COUNTERS;
        let kind = id % 6;
        let is_call = calls && kind <= 2;
        let what = if calls { "call" } else { KINDS[kind as usize] };
        let result = line.run(what, |client| match kind {
            _ if is_call => outcome(client.query(&format!("CALL enter({id})"))),
            0 => outcome(client.execute(&format!("INSERT INTO ledger (id) VALUES ({id})"))),
            1 | 2 => outcome(client.query(&format!("INSERT INTO ledger (id) VALUES ({id})"))),
            3 => outcome(
                client.query(&format!("UPDATE counters SET n = n + 1 WHERE id = {counter}")),
            ),
            4 => transaction(client, &entries(id)),
            _ => transaction(client, &transfer(id)),
        });
        let Some(result) = result else { continue };
        let fate = match &result {
            Ok(()) => Fate::Acknowledged,
            Err(fail) => fate(fail),
        };
        note(&mut work.seen.lock().unwrap(), kind, id, fate);
        if result.is_ok() && kind != 3 && kind != 5 {
            read_back(work, &mut line, id, if kind == 4 { "2" } else { "1" });
        }
    }
}

/// What is written, by the number of its kind.
const KINDS: [&str; 6] = ["prepared", "insert", "insert", "update", "transaction", "transfer"];

fn outcome<T>(result: Result<T, Fail>) -> Result<(), Fail> {
    result.map(drop)
}

fn entries(id: u64) -> [String; 2] {
    [0, 1].map(|part| format!("INSERT INTO ledger (id, part) VALUES ({id}, {part})"))
}

fn transfer(id: u64) -> [String; 2] {
    // In the order of rows, so that no two wait for each other.
    let from = id % (ACCOUNTS - 1);
    [(from, "-"), (from + 1, "+")].map(|(row, sign)| {
        format!("UPDATE accounts SET balance = balance {sign} {} WHERE id = {row}", id % 7)
    })
}

fn note(seen: &mut Seen, kind: u64, id: u64, fate: Fate) {
    match (kind, fate) {
        (5, _) | (3, Fate::NotRun) => {}
        (3, Fate::Acknowledged) => seen.counts[(id % COUNTERS) as usize].0 += 1,
        (3, Fate::Unknown) => seen.counts[(id % COUNTERS) as usize].1 += 1,
        (_, Fate::Acknowledged) => drop(seen.acknowledged.insert(id)),
        (_, Fate::Unknown) => drop(seen.unknown.insert(id)),
        (_, Fate::NotRun) => drop(seen.not_run.insert(id)),
    }
}

/// All or nothing; an error before COMMIT means nothing.
fn transaction(client: &mut Client, statements: &[String]) -> Result<(), Fail> {
    client.query("BEGIN").map_err(not_committed)?;
    for sql in statements {
        if let Err(fail) = client.query(sql) {
            // Whatever comes next must not be taken for a part of it.
            let _ = client.query("ROLLBACK");
            return Err(not_committed(fail));
        }
    }
    outcome(client.query("COMMIT"))
}

/// Marks an error as one that came before COMMIT was sent.
fn not_committed(fail: Fail) -> Fail {
    match fail {
        Fail::Err { code, state, text } => {
            Fail::Err { code, state, text: format!("{text}{BEFORE_COMMIT}") }
        }
        Fail::Io(error) => Fail::Err {
            code: 0,
            state: String::new(),
            text: format!("gone away: {error}{BEFORE_COMMIT}"),
        },
    }
}

const BEFORE_COMMIT: &str = " (before COMMIT)";

fn fate(fail: &Fail) -> Fate {
    let text = fail.to_string();
    let is_not_run = matches!(fail.code(), 1429 | 1213)
        || text.contains("server has gone away")
        || text.ends_with(BEFORE_COMMIT);
    if is_not_run { Fate::NotRun } else { Fate::Unknown }
}

/// A session sees its own write, wherever it reads.
fn read_back(work: &Work<'_>, line: &mut Line<'_>, id: u64, expected: &str) {
    let Some(client) = line.client.as_mut() else { return };
    match client.query(&format!("SELECT COUNT(*) FROM ledger WHERE id = {id}")) {
        Ok(rows) if rows[0][0].as_deref() == Some(expected) => {}
        Ok(rows) => {
            let text = format!("write {id} read back as {rows:?}");
            work.seen.lock().unwrap().wrong.push(text);
        }
        Err(fail) => {
            work.gauge.failed("read back", &fail);
            line.client = None;
        }
    }
}

/// Reads until told to stop: sums that no transfer changes, and counters that never go back.
pub fn read(work: &Work<'_>) {
    let mut line = Line::new(work, true);
    let mut last: HashMap<u64, u64> = HashMap::new();
    let mut number = 0_u64;
    while !work.stop.load(Ordering::Relaxed) {
        number += 1;
        let id = number % COUNTERS;
        if number.is_multiple_of(200) {
            // A session of its own, so that others than the first replica get readers.
            line.client = None;
        }
        if line.client.is_none() {
            last.clear();
        }
        let wrong = |text: String| work.seen.lock().unwrap().wrong.push(text);
        if number.is_multiple_of(2) {
            let sql = "SELECT CAST(SUM(balance) AS CHAR) FROM accounts";
            let Some(Ok(rows)) = line.run("sum", |client| client.query(sql)) else { continue };
            if rows[0][0].as_deref() != Some(&(ACCOUNTS * BALANCE).to_string()) {
                wrong(format!("the sum is {rows:?}"));
            }
        } else {
            let sql = format!("SELECT CAST(n AS CHAR) FROM counters WHERE id = {id}");
            let Some(Ok(rows)) = line.run("counter", |client| client.execute(&sql)) else {
                continue;
            };
            let now: u64 = rows[0][0].as_deref().unwrap().parse().unwrap();
            let before = last.insert(id, now).unwrap_or(0);
            if now < before {
                wrong(format!("counter {id} went from {before} back to {now}"));
            }
        }
    }
}
