//! What `tests/lag.rs` works with: servers whose replication is rearranged, lagwise before three of
//! them, and a row that says how late a replica truly is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::raw::{Client, Login};
use super::support::{Lab, Make, Metrics, Proxy, eventually};

/// lagwise's `check_interval` by default.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// Between two writes.
const WRITE_EVERY: Duration = Duration::from_millis(20);

const SCHEMA: &str = "CREATE TABLE tick (n BIGINT NOT NULL PRIMARY KEY); \
    INSERT INTO tick VALUES (0); \
    CREATE TABLE mark (n BIGINT NOT NULL); INSERT INTO mark VALUES (0)";

/// A primary, two replicas that lagwise knows, and a server 3 that it does not know.
pub struct Cluster {
    pub lab: Lab,
    pub proxy: Proxy,
    no_gtids: AtomicBool,
}

fn config(lab: &Lab) -> String {
    format!(
        "replicas = [\"{}\", \"{}\"]\n[routing]\nmax_lag = \"1h\"",
        lab.address(1),
        lab.address(2)
    )
}

fn root(lab: &Lab, server: usize) -> Client {
    let client = Client::connect_unix(&lab.socket(server), Login::of("root", ""));
    let mut client = client.unwrap_or_else(|fail| panic!("root on server {server}: {fail}"));
    client.run("USE shop");
    client
}

impl Cluster {
    pub fn start(make: Make) -> Self {
        let lab = Lab::start(make, 3);
        root(&lab, 0).run(SCHEMA);
        lab.name_places();
        let proxy = Proxy::start(&lab, &config(&lab));
        let cluster = Self { lab, proxy, no_gtids: AtomicBool::new(false) };
        cluster.wait_form("measured", &[1, 2]);
        eventually("both take reads", || cluster.is_eligible(1) && cluster.is_eligible(2));
        cluster
    }

    /// What lagwise is configured with.
    pub fn config(&self) -> String {
        config(&self.lab)
    }

    // ---- what lagwise says

    pub fn metric(&self, name: &str, server: usize) -> f64 {
        self.of(&self.proxy.metrics(), name, server)
    }

    fn of(&self, metrics: &Metrics, name: &str, server: usize) -> f64 {
        metrics.value(&format!("{name}{{server=\"{}\"}}", self.lab.address(server)))
    }

    /// The lag in seconds; `None` while none is reported.
    pub fn lag(&self, server: usize) -> Option<f64> {
        self.lag_in(&self.proxy.metrics(), server)
    }

    fn lag_in(&self, metrics: &Metrics, server: usize) -> Option<f64> {
        let series =
            format!("lagwise_server_lag_seconds{{server=\"{}\"}}", self.lab.address(server));
        metrics.text.contains(&series).then(|| metrics.value(&series))
    }

    /// What kind of knowledge the lag is.
    pub fn form(&self, server: usize) -> String {
        let metrics = self.proxy.metrics();
        let forms = ["measured", "frozen", "estimated", "at_least", "unknown"];
        let address = self.lab.address(server);
        let is_it = |form: &&str| {
            let labels = [("server", address.as_str()), ("form", *form)];
            metrics.sum("lagwise_server_lag_form", &labels) == 1.0
        };
        forms.into_iter().find(is_it).unwrap_or("none").to_owned()
    }

    pub fn is_eligible(&self, server: usize) -> bool {
        self.metric("lagwise_server_eligible", server) == 1.0
    }

    pub fn wait_lag(&self, what: &str, servers: &[usize], is_it: impl Fn(Option<f64>) -> bool) {
        eventually(&format!("{}: {what}", self.lab.make), || {
            servers.iter().all(|server| is_it(self.lag(*server)))
        });
    }

    pub fn wait_form(&self, form: &str, servers: &[usize]) {
        eventually(&format!("{}: lags are {form}", self.lab.make), || {
            servers.iter().all(|server| self.form(*server) == form)
        });
    }

    /// Waits until the server has been asked so many times more.
    pub fn wait_probes(&self, server: usize, count: u32) {
        let before = self.metric("lagwise_probes_total", server);
        eventually("the server is probed", || {
            self.metric("lagwise_probes_total", server) >= before + f64::from(count)
        });
    }

    // ---- what the servers do

    pub fn write(&self) {
        self.lab.sql(0, "UPDATE shop.mark SET n = n + 1");
    }

    /// Waits until replicas have what the primary has written; needs no GTIDs.
    pub fn settle(&self, servers: &[usize]) {
        self.write();
        let ask = |server| self.lab.sql(server, "SELECT n FROM shop.mark");
        let wanted = ask(0);
        eventually("the replicas have the last write", || {
            servers.iter().all(|server| ask(*server) == wanted)
        });
    }

    /// The server replicates from nobody any more.
    pub fn detach(&self, server: usize) {
        self.lab.sql(server, "STOP REPLICA; RESET REPLICA ALL");
    }

    pub fn make_writable(&self, server: usize) {
        let variable = match self.lab.make {
            Make::MySql => "super_read_only",
            Make::MariaDb => "read_only",
        };
        self.lab.sql(server, &format!("SET GLOBAL {variable} = 0"));
    }

    /// The server replicates from `source`, from where it is; on a channel of its own, if that has a
    /// name.
    pub fn follow(&self, server: usize, source: usize, channel: &str) {
        let port = self.lab.port(source);
        let no_gtids = self.no_gtids.load(Ordering::Relaxed);
        let place = || {
            let command = match self.lab.make {
                Make::MySql => "SHOW BINARY LOG STATUS",
                Make::MariaDb => "SHOW MASTER STATUS",
            };
            let row = self.lab.sql(source, command);
            let mut columns = row.split('\t').map(str::to_owned);
            (columns.next().unwrap(), columns.next().unwrap())
        };
        let text = match self.lab.make {
            Make::MySql => {
                let from = match no_gtids {
                    false => "SOURCE_AUTO_POSITION=1".to_owned(),
                    true => {
                        let (file, at) = place();
                        format!("SOURCE_LOG_FILE='{file}', SOURCE_LOG_POS={at}")
                    }
                };
                format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, \
                     SOURCE_USER='repl', SOURCE_PASSWORD='repl_password', {from}, \
                     GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1, SOURCE_HEARTBEAT_PERIOD=1 \
                     FOR CHANNEL '{channel}'; START REPLICA FOR CHANNEL '{channel}'"
                )
            }
            Make::MariaDb => {
                // The other source has its own transactions and an old part of the primary's.
                let from = match channel {
                    "" => "MASTER_USE_GTID=slave_pos".to_owned(),
                    _ => {
                        let (file, at) = place();
                        format!("MASTER_USE_GTID=no, MASTER_LOG_FILE='{file}', MASTER_LOG_POS={at}")
                    }
                };
                format!(
                    "CHANGE MASTER '{channel}' TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, \
                     MASTER_USER='repl', MASTER_PASSWORD='repl_password', {from}, \
                     MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=1; START SLAVE '{channel}'"
                )
            }
        };
        self.lab.sql(server, &text);
    }

    /// Stops or starts the applier of the channel `other`.
    pub fn applier_of_other(&self, server: usize, runs: bool) {
        let verb = if runs { "START" } else { "STOP" };
        let text = match self.lab.make {
            Make::MySql => format!("{verb} REPLICA SQL_THREAD FOR CHANNEL 'other'"),
            Make::MariaDb => format!("{verb} SLAVE 'other' SQL_THREAD"),
        };
        self.lab.sql(server, &text);
    }

    /// Ends the channel `other`.
    pub fn drop_other(&self, server: usize) {
        let text = match self.lab.make {
            Make::MySql => {
                "STOP REPLICA FOR CHANNEL 'other'; RESET REPLICA ALL FOR CHANNEL 'other'"
            }
            Make::MariaDb => "STOP SLAVE 'other'; RESET SLAVE 'other' ALL",
        };
        self.lab.sql(server, text);
    }

    /// MySQL: replication by binary log coordinates, as of old.
    pub fn turn_gtids_off(&self) {
        self.settle(&[1, 2]);
        for server in 1..=2 {
            let text = "STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=0";
            self.lab.sql(server, text);
        }
        for server in 0..=2 {
            for mode in ["ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF"] {
                self.lab.sql(server, &format!("SET GLOBAL gtid_mode = {mode}"));
            }
        }
        self.no_gtids.store(true, Ordering::Relaxed);
        (1..=2).for_each(|server| drop(self.lab.sql(server, "START REPLICA")));
    }
}

/// Writes 1, 2, 3 … into a row of the primary, and knows when.
pub struct Writer {
    /// Before and after each write.
    log: Arc<Mutex<Vec<(Instant, Instant)>>>,
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Writer {
    pub fn start(cluster: &Cluster) -> Self {
        let mut client = root(&cluster.lab, 0);
        client.run("UPDATE tick SET n = 0");
        cluster.settle(&[1, 2]);
        let log = Arc::new(Mutex::new(Vec::new()));
        let end = Arc::new(AtomicBool::new(false));
        let (own_log, own_end) = (Arc::clone(&log), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            for n in 1_u64.. {
                let begun = Instant::now();
                client.run(&format!("UPDATE tick SET n = {n}"));
                own_log.lock().unwrap().push((begun, Instant::now()));
                if own_end.load(Ordering::Relaxed) {
                    return;
                }
                // The pace of the writes.
                std::thread::sleep(WRITE_EVERY);
            }
        });
        Self { log, end, thread }
    }

    pub fn stop(self) {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// One look at lagwise, between two at the replica.
struct Look {
    /// When the metrics were asked for and there.
    asked: (Instant, Instant),
    reported: Option<f64>,
    /// Probes of the primary and of the replica.
    probes: [f64; 2],
    /// What the replica had before and after.
    rows: (usize, usize),
}

/// What [`watch`] found.
pub struct Seen {
    /// The shortest and longest true lag.
    pub least: Duration,
    pub most: Duration,
    /// For each look, in seconds: the reported lag less the shortest true one that there can have been,
    /// less the longest, and less the longest had the replica applied nothing since it was probed.
    errors: Vec<[f64; 3]>,
    /// The longest time that lagwise did not look at one of the two.
    gap: Duration,
}

/// Looks at reported and true lag of server 1 for a while. What that says of itself is as it was
/// `stale` before at most.
pub fn watch(cluster: &Cluster, writer: &Writer, stale: Duration, time: Duration) -> Seen {
    let server = 1;
    let mut replica = root(&cluster.lab, server);
    let mut row = || replica.value("SELECT CAST(n AS CHAR) FROM tick").parse::<usize>().unwrap();
    let mut looks: Vec<Look> = Vec::new();
    let end = Instant::now() + time;
    let mut before = row();
    while Instant::now() < end {
        let begun = Instant::now();
        let metrics = cluster.proxy.metrics();
        let asked = (begun, Instant::now());
        let after = row();
        let probes = [0, server].map(|server| cluster.of(&metrics, "lagwise_probes_total", server));
        let reported = cluster.lag_in(&metrics, server);
        looks.push(Look { asked, reported, probes, rows: (before, after) });
        before = after;
    }
    // The write that the last look missed must be known, too.
    let last = looks.last().unwrap().rows.1;
    eventually("one write more", || writer.log.lock().unwrap().len() > last);
    let log = writer.log.lock().unwrap();
    let gap = longest_gap(&looks);
    let mut seen = Seen { least: Duration::MAX, most: Duration::ZERO, errors: vec![], gap };
    for Look { asked, reported, rows, .. } in &looks {
        // The oldest write that it lacked was one of those after `rows`; write n is at n - 1.
        let least = asked.0.saturating_duration_since(log[rows.1].1);
        let longest = |row: usize| asked.1.saturating_duration_since(log[row].0);
        let Some(probed) = looks.iter().rfind(|look| look.asked.1 + gap + stale < asked.0) else {
            continue;
        };
        let reported = reported.unwrap_or_else(|| panic!("no lag is reported"));
        let lags = [least, longest(rows.0), longest(probed.rows.0)];
        seen.errors.push(lags.map(|lag| reported - lag.as_secs_f64()));
        (seen.least, seen.most) = (seen.least.min(lags[1]), seen.most.max(least));
    }
    seen
}

/// How long at most one of the servers was not probed, as far as looking at the counters tells.
fn longest_gap(looks: &[Look]) -> Duration {
    let mut longest = Duration::ZERO;
    for which in 0..2 {
        let mut last: Option<Instant> = None;
        for pair in looks.windows(2) {
            if pair[0].probes[which] < pair[1].probes[which] {
                // Answered between these two looks.
                if let Some(last) = last {
                    longest = longest.max(pair[1].asked.1 - last);
                }
                last = Some(pair[0].asked.0);
            }
        }
    }
    longest
}

impl Seen {
    /// The reported lag is at most one check interval (or what that came to on a busy machine) too
    /// small, and too large by no more than the replica has applied since it was probed, which is one
    /// check interval ago at most. Where the lag does not fall, `steady`, that is one interval, too.
    pub fn check(&self, what: &str, steady: bool) {
        let bound = self.gap.max(INTERVAL).as_secs_f64();
        let least = |which: usize| self.errors.iter().map(|e| e[which]).fold(f64::MAX, f64::min);
        let most = |which: usize| self.errors.iter().map(|e| e[which]).fold(f64::MIN, f64::max);
        let (low, high, since) = (least(0), most(1), most(2));
        println!(
            "{what}: {} looks, true lag {:?} to {:?}, reported {low:+.3} s to {high:+.3} s; of what \
             was probed {since:+.3} s at most; probes at most {:?} apart",
            self.errors.len(),
            self.least,
            self.most,
            self.gap
        );
        assert!(self.errors.len() > 20, "{what}: too few looks");
        assert!(self.gap < INTERVAL * 2, "{what}: probes were {:?} apart", self.gap);
        assert!(low >= -bound, "{what}: {low} s too little, allowed {bound} s");
        assert!(since <= 0.0, "{what}: {since} s more than when probed");
        assert!(!steady || high <= bound, "{what}: {high} s too much, allowed {bound} s");
    }
}
