//! Servers that die, hang and come back under load, on both makes: reads go on, no write is run
//! twice, and nothing of lagwise is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, scope, spawn};
use std::time::{Duration, Instant};

use raw::{Client, Fail};
use support::{Lab, Make, Proxy, eventually, eventually_some};

/// What one part checks, and its name.
type Step = (&'static str, fn(&Lab, &Proxy));

/// Threads that read without a pause.
struct Readers {
    stop: &'static AtomicBool,
    threads: Vec<JoinHandle<Reads>>,
}

/// What one reader saw.
#[derive(Debug, Default)]
struct Reads {
    count: usize,
    longest: Duration,
    failed: Vec<String>,
}

impl Readers {
    fn start(port: u16, count: usize) -> Self {
        let stop: &'static AtomicBool = Box::leak(Box::default());
        let threads = (0..count)
            .map(|index| {
                let binary = index % 2 == 1;
                spawn(move || {
                    let mut client = Client::app(port);
                    let mut reads = Reads::default();
                    while !stop.load(Ordering::Relaxed) {
                        let start = Instant::now();
                        let sql = "SELECT name FROM items WHERE id = 7";
                        let rows = if binary { client.execute(sql) } else { client.query(sql) };
                        match rows {
                            Ok(rows) if rows == [[Some("item 7".to_owned())]] => {}
                            Ok(rows) => reads.failed.push(format!("{rows:?}")),
                            Err(fail) => {
                                reads.failed.push(fail.to_string());
                                client = Client::app(port);
                            }
                        }
                        reads.longest = reads.longest.max(start.elapsed());
                        reads.count += 1;
                        // Now and then anew, so that every replica gets its share of sessions.
                        if reads.count.is_multiple_of(100) {
                            client = Client::app(port);
                        }
                    }
                    reads
                })
            })
            .collect();
        Self { stop, threads }
    }

    /// Waits until every replica serves some of it.
    fn wait_spread(self, lab: &Lab, proxy: &Proxy) -> Self {
        let connections = |server| {
            let labels = format!("{{server=\"{}\"}}", lab.address(server));
            let value = |name| proxy.metrics().value(&format!("{name}{labels}"));
            value("lagwise_server_connections") - value("lagwise_server_idle_connections")
        };
        eventually("every replica serves reads", || {
            (1..lab.count()).all(|server| connections(server) > 0.0)
        });
        self
    }

    /// Ends the load; none may have failed. Returns the longest wait for an answer.
    fn finish(self, what: &str) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let all: Vec<Reads> = self.threads.into_iter().map(|t| t.join().unwrap()).collect();
        let count: usize = all.iter().map(|reads| reads.count).sum();
        let longest = all.iter().map(|reads| reads.longest).max().unwrap();
        println!("{what}: {count} reads, the slowest took {longest:?}");
        let failed: Vec<&String> = all.iter().flat_map(|reads| &reads.failed).collect();
        assert!(failed.is_empty(), "{what}: {} failed: {:?}", failed.len(), failed.first());
        assert!(count > 100, "{what}: only {count} reads");
        longest
    }
}

fn eligible(proxy: &Proxy, lab: &Lab, server: usize) -> bool {
    let labels = format!("{{server=\"{}\"}}", lab.address(server));
    proxy.metrics().value(&format!("lagwise_server_eligible{labels}")) == 1.0
}

fn wait_eligible(proxy: &Proxy, lab: &Lab, servers: &[usize], want: bool) {
    eventually(&format!("servers {servers:?} are eligible: {want}"), || {
        servers.iter().all(|server| eligible(proxy, lab, *server) == want)
    });
}

/// Where reads have gone so far: (primary, replica).
fn reads_by_target(proxy: &Proxy) -> (f64, f64) {
    let metrics = proxy.metrics();
    let count = |target| metrics.sum("lagwise_queries_total", &[("target", target)]);
    (count("primary"), count("replica"))
}

/// A replica that is killed, hangs, or restarts, while eight clients read.
fn replicas_fail_under_load(lab: &Lab, proxy: &Proxy) {
    let readers = Readers::start(proxy.port(), 8).wait_spread(lab, proxy);
    lab.kill(1);
    wait_eligible(proxy, lab, &[1], false);
    lab.restart(1);
    wait_eligible(proxy, lab, &[1], true);
    let longest = readers.finish(&format!("{}: replica killed and restarted", lab.make));
    assert!(longest < Duration::from_secs(2), "{longest:?}");

    let readers = Readers::start(proxy.port(), 8).wait_spread(lab, proxy);
    lab.freeze(2);
    wait_eligible(proxy, lab, &[2], false);
    let before = reads_by_target(proxy);
    eventually("reads go on", || reads_by_target(proxy).1 > before.1 + 500.0);
    let labels = format!("{{server=\"{}\"}}", lab.address(2));
    let waiting = || proxy.metrics().value(&format!("lagwise_server_outstanding{labels}"));
    println!("{}: {} reads wait for the frozen replica", lab.make, waiting());
    eventually("nobody waits for the frozen one", || waiting() == 0.0);
    lab.thaw(2);
    wait_eligible(proxy, lab, &[2], true);
    let longest = readers.finish(&format!("{}: replica frozen", lab.make));
    assert!(longest < Duration::from_secs(6), "{longest:?}");
}

/// Without any replica reads go to the primary, at once.
fn all_replicas_out(lab: &Lab, proxy: &Proxy) {
    let readers = Readers::start(proxy.port(), 4);
    lab.kill(1);
    lab.kill(2);
    wait_eligible(proxy, lab, &[1, 2], false);
    let before = reads_by_target(proxy);
    eventually("the primary serves reads", || reads_by_target(proxy).0 > before.0 + 500.0);
    lab.restart(1);
    lab.restart(2);
    wait_eligible(proxy, lab, &[1, 2], true);
    let longest = readers.finish(&format!("{}: all replicas killed", lab.make));
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}

/// A replica whose lag nobody knows, or is too large, gets no reads.
fn lag_decides(lab: &Lab, proxy: &Proxy) {
    let config = "[routing]\nmax_lag = \"1s\"";
    assert!(proxy.reload(config));
    lab.stop_applier(2);
    lab.sql(0, "CREATE TABLE IF NOT EXISTS shop.ticks (id INT AUTO_INCREMENT PRIMARY KEY)");
    eventually("replica 2 lags too much", || {
        lab.sql(0, "INSERT INTO shop.ticks VALUES ()");
        !eligible(proxy, lab, 2)
    });
    assert!(eligible(proxy, lab, 1));
    lab.start_applier(2);
    wait_eligible(proxy, lab, &[1, 2], true);
    // The monitor may not ask any more.
    let drop = "SET sql_log_bin = 0; SET GLOBAL read_only = 0; DROP USER monitor@'%'";
    lab.sql(2, drop);
    let monitor = "SELECT GROUP_CONCAT(CONCAT('KILL ', id) SEPARATOR '; ') \
        FROM information_schema.processlist WHERE user = 'monitor'";
    lab.sql(2, &lab.sql(2, monitor));
    wait_eligible(proxy, lab, &[2], false);
    let metrics = proxy.metrics();
    let labels = format!("{{server=\"{}\",state=\"denied\"}}", lab.address(2));
    assert_eq!(metrics.value(&format!("lagwise_server_health{labels}")), 1.0);
    let mut client = Client::app(proxy.port());
    let before = lab.status(2, "Questions");
    for _ in 0..50 {
        client.run("SELECT COUNT(*) FROM items");
    }
    assert!(lab.status(2, "Questions") < before + 10, "no reads where the monitor is denied");
    lab.sql(
        2,
        "SET sql_log_bin = 0; CREATE USER monitor@'%' IDENTIFIED BY 'monitor_password'; \
         GRANT REPLICATION CLIENT ON *.* TO monitor@'%'",
    );
    if lab.make == Make::MariaDb {
        lab.sql(2, "SET sql_log_bin = 0; GRANT SLAVE MONITOR ON *.* TO monitor@'%'");
    }
    wait_eligible(proxy, lab, &[1, 2], true);
    assert!(proxy.reload(SHORT));
}

/// A monitor that is denied everywhere is a matter of configuration, not an outage.
fn wrong_monitor_password(lab: &Lab) {
    let extra = "[monitor]\nuser = \"monitor\"\npassword = \"wrong\"";
    let proxy = Proxy::start_unready(lab, extra);
    eventually("clients are served by the primary", || {
        let Ok(mut client) = Client::connect(proxy.port(), raw::APP) else { return false };
        client.run("SELECT COUNT(*) FROM items") == [[Some("100".to_owned())]]
    });
    let line = proxy.wait_log("denied");
    assert!(line.contains("WARN") || line.contains("ERROR"), "{line}");
    assert!(!proxy.log().contains("password\" wrong"), "no password in the log");
}

/// What a writer knows of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    Unknown,
    NotRun,
}

/// Error numbers that say that the statement was not sent.
const NOT_SENT: [u16; 2] = [1429, 1053];

fn fate(result: &Result<Vec<raw::Row>, Fail>) -> Fate {
    match result {
        Ok(_) => Fate::Acknowledged,
        Err(fail) if NOT_SENT.contains(&fail.code()) => Fate::NotRun,
        Err(_) => Fate::Unknown,
    }
}

/// What a writer has seen.
struct Written {
    fates: HashMap<u64, Fate>,
    /// The errors that it was told and had to expect.
    said: Vec<String>,
    /// What it was told instead; it stopped there.
    unexpected: Option<String>,
}

/// Writes until told to stop; every write has an id that no other has, in a table that would take
/// it twice. Never connects anew by itself.
fn writer(port: u16, stop: &AtomicBool, next: &AtomicU64) -> Written {
    let mut client = Client::app(port);
    let (mut fates, mut said) = (HashMap::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let id = next.fetch_add(1, Ordering::Relaxed);
        let result = match id % 4 {
            0 => client.execute(&format!("INSERT INTO ledger (id) VALUES ({id})")),
            1 => client.query(&format!("CALL enter({id})")),
            2 => client.query(&format!("INSERT INTO ledger (id) VALUES ({id}); SELECT 1")),
            _ => transaction(&mut client, id),
        };
        fates.insert(id, fate(&result));
        if let Err(fail) = result {
            if !matches!(fail, Fail::Err { code: 1429 | 1158 | 1053, .. }) {
                return Written { fates, said, unexpected: Some(format!("write {id}: {fail}")) };
            }
            said.push(fail.to_string());
            // A loop without a pause would only fill the map.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let after = client.query("SELECT COUNT(*) FROM ledger");
    let unexpected = after.err().map(|fail| format!("when all is well again: {fail}"));
    Written { fates, said, unexpected }
}

/// A write that has taken effect when its server ends: the client is told that
/// nobody knows, and it is not run again.
fn what_may_have_run_is_not_repeated(lab: &Lab, proxy: &Proxy) {
    root(lab).run(
        "CREATE TABLE slow (id INT NOT NULL); CREATE PROCEDURE enter_slowly(i INT) \
         BEGIN INSERT INTO slow VALUES (i); DO SLEEP(20); END",
    );
    let rows = |id| lab.sql(0, &format!("SELECT COUNT(*) FROM shop.slow WHERE id = {id}"));
    let mut client = Client::app(proxy.port());
    client.send(3, b"CALL enter_slowly(1)").unwrap();
    eventually("it has written", || rows(1) == "1");
    lab.kill(0);
    let fail = client.results(false).expect_err("its outcome is unknown");
    assert_eq!(fail.code(), 1158, "{fail}");
    lab.restart(0);
    eventually("the same connection writes again", || {
        client.query("INSERT INTO slow VALUES (0)").is_ok()
    });
    // Of two results the first is out (MariaDB sends it at once) when the server ends.
    client.send(3, b"SELECT 'first'; DO SLEEP(20)").unwrap();
    let sleeping = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'";
    eventually("it sleeps", || lab.sql(0, sleeping) == "1");
    lab.kill(0);
    let fail = client.results(false).expect_err("the second result is lost");
    assert_eq!(fail.code(), 1158, "{fail}");
    lab.restart(0);
    eventually("the same connection writes again", || {
        client.query("INSERT INTO slow VALUES (0)").is_ok()
    });
    assert_eq!(rows(1), "1", "written once");
    assert_eq!(client.value("SELECT COUNT(*) FROM slow WHERE id = 1"), "1");
}

fn root(lab: &Lab) -> Client {
    Client::connect_unix(&lab.socket(0), raw::Login::of("root", ""))
        .unwrap_or_else(|fail| panic!("root: {fail}"))
}

/// Ends the load also when the test panics, which would else wait for it for ever.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Both rows or none; an error before COMMIT means none.
fn transaction(client: &mut Client, id: u64) -> Result<Vec<raw::Row>, Fail> {
    client.query("BEGIN")?;
    for part in 0..2 {
        let sql = format!("INSERT INTO ledger (id, part) VALUES ({id}, {part})");
        if let Err(fail) = client.query(&sql) {
            // Whatever comes next must not be taken for a part of it.
            let _ = client.query("ROLLBACK");
            return Err(fail);
        }
    }
    client.query("COMMIT")
}

/// kill -9 of the primary, again and again, while eight clients write: each write that was
/// acknowledged is there once, each that was not sent is not, and none is there twice.
fn no_write_is_lost_or_repeated(lab: &Lab, proxy: &Proxy) {
    lab.sql(
        0,
        "CREATE TABLE shop.ledger (n INT AUTO_INCREMENT PRIMARY KEY, id BIGINT NOT NULL, \
           part INT NOT NULL DEFAULT 0, KEY (id)); \
         CREATE PROCEDURE shop.enter(i BIGINT) INSERT INTO ledger (id) VALUES (i)",
    );
    lab.wait_caught_up();
    // How far replicas fall behind eight writers on a busy machine is not what this is about.
    assert!(proxy.reload(&format!("[routing]\nmax_lag = \"1h\"\n{SHORT}")));
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(1));
    let readers = Readers::start(proxy.port(), 2);
    let results = scope(|scope| {
        let _stop = StopAtEnd(&stop);
        let writers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| writer(proxy.port(), &stop, &next))).collect();
        for _ in 0..3 {
            let enough = next.load(Ordering::Relaxed) + 400;
            eventually("writes go on", || next.load(Ordering::Relaxed) > enough);
            lab.kill(0);
            lab.restart(0);
            eventually("the primary takes writes", || {
                let count = "SELECT COUNT(*) FROM shop.ledger";
                let before = lab.sql(0, count);
                eventually("a write arrives", || lab.sql(0, count) != before);
                true
            });
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    readers.finish(&format!("{}: primary killed three times", lab.make));
    let mut found: HashMap<u64, Vec<u64>> = HashMap::new();
    for line in lab.sql(0, "SELECT id, part FROM shop.ledger").lines() {
        let (id, part) = line.split_once('\t').unwrap();
        found.entry(id.parse().unwrap()).or_default().push(part.parse().unwrap());
    }
    let (mut wrong, mut counts) = (Vec::new(), HashMap::new());
    let mut said: HashMap<String, usize> = HashMap::new();
    let mut unexpected = Vec::new();
    for Written { fates, said: texts, unexpected: text } in results {
        unexpected.extend(text);
        for text in texts {
            *said.entry(text.replace(|c: char| c.is_ascii_digit(), "#")).or_default() += 1;
        }
        for (id, fate) in fates {
            let mut parts = found.remove(&id).unwrap_or_default();
            parts.sort_unstable();
            let whole: &[u64] = if id % 4 == 3 { &[0, 1] } else { &[0] };
            let right = match fate {
                Fate::Acknowledged => parts == whole,
                Fate::Unknown => parts.is_empty() || parts == whole,
                Fate::NotRun => parts.is_empty(),
            };
            *counts.entry(format!("{fate:?}, {} rows", parts.len())).or_insert(0) += 1;
            if !right {
                wrong.push(format!("{id}: {fate:?}, but {parts:?}"));
            }
        }
    }
    println!("{}: {counts:?}\n{said:#?}", lab.make);
    assert!(unexpected.is_empty(), "clients were told {unexpected:#?}");
    assert!(wrong.is_empty(), "{} wrong: {:?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    assert!(found.is_empty(), "rows that nobody wrote");
}

/// The times that are bounded here are with lagwise's own default.
const PATIENT: &str =
    "[monitor]\nuser = \"monitor\"\npassword = \"monitor_password\"\ncheck_timeout = \"30s\"";
const SHORT: &str = "[pool]\nconnect_timeout = \"1s\"";

/// A read that runs on a replica when that shuts down in good order is answered by another server.
fn a_replica_shuts_down(lab: &Lab, proxy: &Proxy) {
    // What runs for long keeps the machine busy: that is not to be taken for a replica that hangs.
    assert!(proxy.reload(&format!("{PATIENT}\n{SHORT}")));
    lab.log_all();
    lab.sql(0, "CREATE TABLE shop.pace (n INT PRIMARY KEY); INSERT INTO shop.pace VALUES (3)");
    lab.wait_caught_up();
    // Without end on the replica that it comes to, and short on those that it is sent to then.
    let writable = match lab.make {
        Make::MySql => "SET sql_log_bin = 0; SET GLOBAL super_read_only = 0",
        Make::MariaDb => "SET sql_log_bin = 0",
    };
    let set_pace = |server: usize, n: usize| {
        lab.sql(server, &format!("{writable}; UPDATE shop.pace SET n = {n}"));
    };
    for (number, binary) in [false, true].into_iter().enumerate() {
        (1..lab.count()).for_each(|server| set_pace(server, 1_000_000));
        let mark = format!("shutdown-{number}");
        let sql = format!(
            "SELECT '{mark}', CAST(COUNT(*) AS CHAR) \
             FROM items a, items b, items c, items d, items e, pace \
             WHERE d.id <= 3 AND e.id <= n / 3 AND a.price + b.price + c.price + d.price > 0"
        );
        let port = proxy.port();
        let read = spawn(move || {
            let mut client = Client::app(port);
            if binary { client.execute(&sql) } else { client.query(&sql) }
        });
        let is_there = |server: &usize| lab.seen(*server, &mark) > 0;
        let server = eventually_some("a replica runs it", || (1..lab.count()).find(is_there));
        (1..lab.count()).filter(|other| *other != server).for_each(|other| set_pace(other, 3));
        lab.shut_down(server);
        let rows = read.join().unwrap().unwrap_or_else(|fail| panic!("{}: {fail}", lab.make));
        assert_eq!(rows[0][1].as_deref(), Some("3000000"));
        let servers = (0..lab.count()).filter(|other| *other != server);
        assert!(servers.map(|other| lab.seen(other, &mark)).sum::<usize>() > 0, "run elsewhere");
        lab.restart(server);
        lab.set_general_log(server, true);
        wait_eligible(proxy, lab, &[server], true);
    }
    (0..lab.count()).for_each(|server| lab.set_general_log(server, false));
    assert!(proxy.reload(SHORT));
}

fn run(make: Make) {
    // What was acknowledged or applied must survive kill -9, or the server would be to blame.
    let durable = ["innodb-flush-log-at-trx-commit=1", "sync-binlog=1"];
    let lab = Lab::start_with(make, 2, &durable);
    let proxy = Proxy::start(&lab, SHORT);
    wait_eligible(&proxy, &lab, &[0, 1, 2], true);
    let steps: &[Step] = &[
        ("shutdown", a_replica_shuts_down),
        ("replicas fail", replicas_fail_under_load),
        ("all replicas out", all_replicas_out),
        ("lag", lag_decides),
        ("monitor", |lab, _| wrong_monitor_password(lab)),
        ("outcomes", what_may_have_run_is_not_repeated),
        ("writes", no_write_is_lost_or_repeated),
    ];
    for (name, step) in steps {
        let start = Instant::now();
        step(&lab, &proxy);
        println!("{make}: {name}: {:?}", start.elapsed());
    }
    eventually("all sessions are gone", || proxy.metrics().value("lagwise_sessions") == 0.0);
    eventually("all connections are given back", || {
        let metrics = proxy.metrics();
        let all = metrics.sum("lagwise_server_connections", &[]);
        all == metrics.sum("lagwise_server_idle_connections", &[])
    });
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

#[test]
fn servers_fail_on_mysql() {
    run(Make::MySql);
}

#[test]
fn servers_fail_on_mariadb() {
    run(Make::MariaDb);
}
