//! Chaos: servers are killed, frozen, restarted, demoted and promoted while clients write and read
//! through lagwise, and every write is accounted for.
//!
//! `LAGWISE_CHAOS_FAULTS` says how many faults there are on each make (a round of each kind without it),
//! `LAGWISE_CHAOS_SEED` which servers they are of, `LAGWISE_CHAOS_ONLY` the kinds to be tried, with commas.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fault;
#[path = "../raw/mod.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code)]
mod switch;
mod work;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fault::{FAULTS, Fault};
use support::{Lab, Make, Proxy, eventually, is_running, signal};
use switch::Topology;
use work::{ACCOUNTS, BALANCE, COUNTERS, Gauge, Look, Seen, Work};

/// Threads that write, and that read.
const WRITERS: usize = 6;
const READERS: usize = 4;
/// How long a frozen server stays so, and one that nothing reaches: longer than it takes to find it out.
const AWAY: Duration = Duration::from_secs(5);
const TAKEN_OVER: &str = "another process has taken over";

/// One battery.
struct Chaos<'a> {
    lab: &'a Lab,
    proxy: &'a Proxy,
    topology: Topology<'a>,
    gauge: &'a Gauge,
    random: fastrand::Rng,
    /// The processes of lagwise that have taken over from the first; they end with this value.
    newcomers: Vec<u32>,
}

impl Drop for Chaos<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell_all();
        }
        self.newcomers.iter().filter(|pid| is_running(**pid)).for_each(|pid| signal(*pid, "KILL"));
    }
}

impl Chaos<'_> {
    /// What there is to know when something has gone wrong.
    fn tell_all(&self) {
        let sets = match self.lab.make {
            Make::MySql => "SELECT @@GLOBAL.gtid_executed",
            Make::MariaDb => "SELECT @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_slave_pos",
        };
        let asked = [
            "SELECT @@GLOBAL.read_only",
            sets,
            "SHOW STATUS LIKE 'rpl_semi%'",
            "SHOW PROCESSLIST",
            "SHOW REPLICA STATUS",
        ];
        for server in 0..self.lab.count() {
            for sql in asked {
                let answer = self.lab.try_sql(server, sql);
                println!("server {server}, {sql}:\n{}", answer.unwrap_or_else(|error| error));
            }
        }
        for path in ["/servers", "/sessions"] {
            println!("{path}: {:?}", self.proxy.http(path));
        }
    }

    /// Nobody reads there meanwhile.
    fn rebuild(&self, server: usize) {
        self.lab.pull_out(server);
        self.topology.restore(server);
        self.lab.plug_in(server);
        self.topology.follow_again(server);
    }

    /// Does it, and undoes it; returns once all servers serve again.
    fn inflict(&mut self, fault: Fault) {
        let replicas = self.topology.replicas();
        let replica = replicas[self.random.usize(..replicas.len())];
        let primary = self.topology.primary();
        match fault {
            Fault::ReplicaKilled => {
                self.lab.kill(replica);
                self.wait_eligible(replica, false);
                self.restart(replica);
            }
            Fault::ReplicaRestarted => {
                self.lab.shut_down(replica);
                self.restart(replica);
            }
            Fault::ReplicaFrozen => self.freeze(replica),
            Fault::ReplicaCutOff => self.cut_off(replica),
            Fault::ReplicaDiskFull => {
                self.lab.fill_disk(replica);
                self.pass_some_time();
                self.lab.free_disk(replica);
                // What waits for room looks again after a minute only.
                self.lab.kill(replica);
                self.restart(replica);
            }
            Fault::ReplicaBroken => {
                self.lab.sql(replica, "STOP REPLICA");
                self.pass_some_time();
                self.lab.sql(replica, "START REPLICA");
            }
            Fault::ReplicaCrowded => {
                // Whoever connects is turned away, as when max_connections is used up.
                let login = raw::Login::of("root", "");
                let mut root = raw::Client::connect_unix(&self.lab.socket(replica), login).unwrap();
                root.run("SET GLOBAL max_connections = 1");
                self.pass_some_time();
                root.run("SET GLOBAL max_connections = 151");
            }
            Fault::PrimaryKilled => {
                self.lab.kill(primary);
                self.restart(primary);
            }
            Fault::PrimaryFrozen => self.freeze(primary),
            Fault::PrimaryCutOff => self.cut_off(primary),
            Fault::Switchover => self.topology.switch_over(replica),
            Fault::AnnouncedSwitchover => {
                self.command("drain", primary);
                self.topology.switch_over(replica);
                self.command("undrain", primary);
            }
            Fault::Failover | Fault::FailoverFromFrozen | Fault::FailoverFromCutOff => {
                self.fail_over(fault);
            }
            Fault::Reload => self.signal("HUP", "reloaded, nothing has changed"),
            Fault::Upgrade => self.upgrade(),
        }
        for server in self.topology.replicas() {
            self.wait_eligible(server, true);
        }
        self.wait_writes();
    }

    /// The primary goes away in one way or another, a replica takes over, and the primary comes back.
    fn fail_over(&mut self, fault: Fault) {
        let primary = self.topology.primary();
        match fault {
            Fault::FailoverFromFrozen => self.lab.freeze(primary),
            Fault::FailoverFromCutOff => self.lab.pull_out(primary),
            _ => self.lab.kill(primary),
        }
        self.topology.fail_over();
        self.wait_writes();
        match fault {
            Fault::FailoverFromFrozen => {
                self.lab.thaw(primary);
                eventually("it goes on", || self.lab.try_sql(primary, "SELECT 1").is_ok());
                // What it was asked before it was frozen must not run into the rebuilding.
                self.lab.kill(primary);
            }
            Fault::FailoverFromCutOff => {
                // It knows of nothing, and is writable still.
                self.lab.plug_in(primary);
                self.wait_rivals(1.0);
                self.pass_some_time();
                self.lab.kill(primary);
            }
            _ => {}
        }
        self.lab.restart(primary);
        self.rebuild(primary);
    }

    /// Says it to the running lagwise.
    fn command(&self, what: &str, server: usize) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lagwise"));
        command.args([what, &self.lab.address(server), "--config"]);
        let done = command.arg(self.proxy.config_path()).output().unwrap();
        assert!(done.status.success(), "{what}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn freeze(&self, server: usize) {
        self.lab.freeze(server);
        // The time itself is the fault.
        std::thread::sleep(AWAY);
        self.lab.thaw(server);
    }

    fn cut_off(&self, server: usize) {
        self.lab.pull_out(server);
        // The time itself is the fault.
        std::thread::sleep(AWAY);
        self.lab.plug_in(server);
    }

    fn wait_rivals(&self, count: f64) {
        eventually("lagwise tells of the rivals", || {
            self.proxy.metrics().value("lagwise_rival_primaries") == count
        });
    }

    fn restart(&self, server: usize) {
        self.lab.restart(server);
        self.topology.started(server);
    }

    fn wait_eligible(&self, server: usize, want: bool) {
        let series = format!("lagwise_server_eligible{{server=\"{}\"}}", self.lab.address(server));
        eventually(&format!("server {server} is eligible: {want}"), || {
            (self.proxy.metrics().value(&series) == 1.0) == want
        });
    }

    fn wait_writes(&self) {
        let before = self.gauge.counts().1;
        let mut looked_at = Instant::now();
        eventually("writes go on", || {
            if looked_at.elapsed() >= Duration::from_secs(2) {
                self.topology.forget_missed_acknowledgements();
                looked_at = Instant::now();
            }
            self.gauge.counts().1 >= before + 20
        });
    }

    /// Sends a signal to the newest process, and waits until a line of the log says that it has acted.
    fn signal(&self, name: &str, line: &str) {
        let pid = *self.newcomers.last().unwrap_or(&self.proxy.pid());
        let count = || self.proxy.log().matches(line).count();
        let before = count();
        signal(pid, name);
        eventually(line, || count() > before);
    }

    fn upgrade(&mut self) {
        self.signal("USR2", TAKEN_OVER);
        let log = self.proxy.log();
        let line = log.lines().rev().find(|line| line.contains(TAKEN_OVER)).unwrap();
        let pid = line.split_once("pid=").unwrap().1;
        let pid: String = pid.chars().take_while(char::is_ascii_digit).collect();
        self.newcomers.push(pid.parse().unwrap());
    }

    fn pass_some_time(&self) {
        let (reads, writes) = self.gauge.counts();
        eventually("reads and writes go on", || {
            let now = self.gauge.counts();
            now.0 >= reads + 500 && now.1 >= writes + 100
        });
    }
}

/// What is wrong in the end: rows that are there and should not be, or the other way round.
fn account(lab: &Lab, primary: usize, seen: &Seen) -> Vec<String> {
    let mut wrong = seen.wrong.clone();
    let mut found: HashMap<u64, Vec<u64>> = HashMap::new();
    for line in lab.sql(primary, "SELECT id, part FROM shop.ledger").lines() {
        let (id, part) = line.split_once('\t').unwrap();
        found.entry(id.parse().unwrap()).or_default().push(part.parse().unwrap());
    }
    let sets: [(&str, &HashSet<u64>, bool, bool); 3] = [
        ("acknowledged", &seen.acknowledged, true, false),
        ("of unknown outcome", &seen.unknown, true, true),
        ("not run", &seen.not_run, false, true),
    ];
    for (what, ids, may_be_there, may_be_missing) in sets {
        for id in ids {
            let mut parts = found.remove(id).unwrap_or_default();
            parts.sort_unstable();
            let whole: &[u64] = if id % 6 == 4 { &[0, 1] } else { &[0] };
            if !(may_be_there && parts == whole || may_be_missing && parts.is_empty()) {
                wrong.push(format!("write {id}, {what}, has rows {parts:?}"));
            }
        }
    }
    wrong.extend(found.keys().map(|id| format!("write {id} is there, and nobody made it")));
    for id in 0..COUNTERS {
        let sql = format!("SELECT n FROM shop.counters WHERE id = {id}");
        let n: u64 = lab.sql(primary, &sql).parse().unwrap();
        let (least, unknown) = seen.counts[id as usize];
        if !(least..=least + unknown).contains(&n) {
            wrong.push(format!("counter {id} is {n}, not {least} to {}", least + unknown));
        }
    }
    let sum = lab.sql(primary, "SELECT SUM(balance) FROM shop.accounts");
    if sum != (ACCOUNTS * BALANCE).to_string() {
        wrong.push(format!("the balances add up to {sum}"));
    }
    wrong
}

/// The longest gaps and all errors of each kind of fault.
#[derive(Default)]
struct Worst {
    count: usize,
    reads: u64,
    writes: u64,
    read_gap: Duration,
    write_gap: Duration,
    errors: BTreeMap<String, usize>,
}

impl Worst {
    fn add(&mut self, look: Look) {
        self.count += 1;
        self.reads += look.reads;
        self.writes += look.writes;
        self.read_gap = self.read_gap.max(look.read_gap);
        self.write_gap = self.write_gap.max(look.write_gap);
        for (text, count) in look.errors {
            *self.errors.entry(text).or_default() += count;
        }
    }
}

fn run(make: Make) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let faults = number("LAGWISE_CHAOS_FAULTS").unwrap_or(FAULTS.len() as u64);
    let seed = number("LAGWISE_CHAOS_SEED").unwrap_or(1);
    let only = std::env::var("LAGWISE_CHAOS_ONLY").ok();
    let is_wanted = |fault: &Fault| {
        only.as_ref().is_none_or(|only| only.split(',').any(|it| it == format!("{fault:?}")))
    };
    let kinds: Vec<Fault> = FAULTS.into_iter().filter(is_wanted).collect();
    assert!(!kinds.is_empty(), "there are {FAULTS:?}");
    let lab = Lab::start_exposed(make, 2, &switch::settings(make), &["--hosts", "--disk=512"]);
    lab.sql(0, &work::schema());
    lab.wait_caught_up();
    let topology = Topology::new(&lab);
    let servers: Vec<String> = (0..lab.count()).map(|server| lab.address(server)).collect();
    let config = format!(
        "drain_timeout = \"1h\"\nprimary = \"auto\"\nservers = {servers:?}\nreplicas = []\n\
         [routing]\nprimary_wait = \"20s\"\nmax_lag = \"1h\"\n[pool]\nconnect_timeout = \"1s\""
    );
    let proxy = Proxy::start(&lab, &config);
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(1));
    let (gauge, seen) = (Gauge::default(), Mutex::new(Seen::default()));
    let work = Work { port: proxy.port(), stop: &stop, gauge: &gauge, seen: &seen, next: &next };
    let mut worst: BTreeMap<Fault, Worst> = BTreeMap::new();
    let primary = std::thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        for writer in 0..WRITERS {
            let work = &work;
            scope.spawn(move || work::write(work, writer == 0));
        }
        (0..READERS).for_each(|_| drop(scope.spawn(|| work::read(&work))));
        let random = fastrand::Rng::with_seed(seed);
        let mut chaos = Chaos {
            lab: &lab,
            proxy: &proxy,
            topology,
            gauge: &gauge,
            random,
            newcomers: Vec::new(),
        };
        chaos.pass_some_time();
        for server in chaos.topology.replicas() {
            chaos.wait_eligible(server, true);
        }
        gauge.take();
        for (number, fault) in (0..faults).zip(kinds.iter().cycle().copied()) {
            let started = Instant::now();
            chaos.inflict(fault);
            let look = gauge.take();
            println!("{make}: {number} {fault:?}, {:?}: {look:?}", started.elapsed());
            worst.entry(fault).or_default().add(look);
            assert!(seen.lock().unwrap().wrong.is_empty(), "{:?}", seen.lock().unwrap().wrong);
        }
        chaos.topology.primary()
    });
    report(make, &worst);
    let seen = seen.into_inner().unwrap();
    let wrong = account(&lab, primary, &seen);
    println!(
        "{make}: {faults} faults, {} writes acknowledged, {} of unknown outcome, {} not run, {} wrong",
        seen.acknowledged.len(),
        seen.unknown.len(),
        seen.not_run.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{} wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(9)]);
    judge(&worst);
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

fn report(make: Make, worst: &BTreeMap<Fault, Worst>) {
    for (fault, Worst { count, reads, writes, read_gap, write_gap, errors }) in worst {
        println!(
            "{make}: {fault:?} x {count}: {reads} reads, longest gap {} ms; {writes} writes, longest \
             gap {} ms; errors {errors:?}",
            read_gap.as_millis(),
            write_gap.as_millis()
        );
    }
}

/// What clients may have been told.
fn judge(worst: &BTreeMap<Fault, Worst>) {
    for (fault, worst) in worst {
        let errors = |is_fine: &dyn Fn(&str) -> bool| {
            worst.errors.keys().filter(|text| !is_fine(text)).cloned().collect::<Vec<_>>()
        };
        let bad = match fault {
            // A transaction that was open is rolled back, and says so. What a procedure had done
            // before it was refused, and what it has left, nobody knows.
            Fault::Switchover => {
                errors(&|text| text.contains(": 1213 ") || text.starts_with("call: 1158 "))
            }
            // What was open has ended before. What a procedure may have left is lost, and that is said.
            Fault::AnnouncedSwitchover => errors(&|text| {
                text.starts_with("call: 1158 ")
                    && text.contains("of this session were lost with it")
            }),
            fault if fault.is_of_replica() => errors(&|_| false),
            _ => errors(&|text| !text.contains("read-only option")),
        };
        assert!(bad.is_empty(), "{fault:?}: {bad:#?}");
    }
}

/// Ends the load also when the test panics, which would else wait for it for ever.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nothing_is_lost_on_mysql() {
    run(Make::MySql);
}

#[test]
fn nothing_is_lost_on_mariadb() {
    run(Make::MariaDb);
}
