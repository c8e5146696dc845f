//! Where scripts run: servers, lagwise, equal data for each run.
//!
//! Names of schemas are in what clients see, so that the direct run and the one through lagwise use
//! the same schema, one after the other, and the data is put back between them. Each worker has
//! schemas of its own, and so several scripts run at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::script::{Replicas, Script, xa_name};
use crate::support::wire::{Answer, Client, Options, caps};
use crate::support::{Lab, MYSQL_SHOWS_LOCKS, Make, Proxy, eventually};

const GROUND: &str = include_str!("ground.sql");

/// How often lagwise looks at the servers.
const CHECK_INTERVAL: &str = "10ms";

/// What connections lagwise may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pools {
    /// As many as it likes.
    Ample,
    /// Two to each server, which go from session to session at every statement.
    Small,
    /// The same, kept until a client leaves.
    SmallBySession,
}

impl Pools {
    pub const ALL: [Self; 3] = [Self::Ample, Self::Small, Self::SmallBySession];

    /// The word for `LAGWISE_DIFF_POOLS`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ample => "ample",
            Self::Small => "small",
            Self::SmallBySession => "session",
        }
    }

    fn config(self) -> &'static str {
        match self {
            // Direct connections need room beside those that are kept.
            Self::Ample => "[pool]\nidle_timeout = \"1s\"\n",
            Self::Small => "[pool]\ncheckout_timeout = \"2m\"\n",
            Self::SmallBySession => "[pool]\nmode = \"session\"\ncheckout_timeout = \"2m\"\n",
        }
    }
}

/// Servers of one make with lagwise before them.
pub struct Ground<'l> {
    pub lab: &'l Lab,
    pub proxy: Proxy,
    pub pools: Pools,
    /// What each worker runs.
    running: Mutex<BTreeMap<usize, String>>,
}

/// A primary with one replica.
pub fn lab(make: Make) -> Lab {
    let settings = if make == Make::MySql { MYSQL_SHOWS_LOCKS } else { &[] };
    Lab::start_with(make, 1, settings)
}

impl<'l> Ground<'l> {
    /// Starts lagwise.
    pub fn start(lab: &'l Lab, pools: Pools) -> Self {
        let mut config = format!(
            "[monitor]\nuser = \"monitor\"\npassword = \"monitor_password\"\n\
             check_interval = \"{CHECK_INTERVAL}\"\n\
             [routing]\nmax_lag = \"1d\"\nlag_tolerance = \"1d\"\n{}",
            pools.config()
        );
        if pools != Pools::Ample {
            for server in 0..2 {
                config.push_str(&format!(
                    "[[server]]\naddress = \"127.0.0.1:{}\"\nmax_connections = 2\n",
                    lab.port(server)
                ));
            }
        }
        let proxy = Proxy::start(lab, &config);
        Self { lab, proxy, pools, running: Mutex::default() }
    }

    /// Has the replicas replicate or not, with equal data at the moment at which they stop.
    pub fn set_replicas(&self, replicas: Replicas) {
        self.lab.wait_caught_up();
        if replicas == Replicas::Stopped {
            self.lab.stop_applier(1);
        }
        eventually("the replica takes reads", || {
            self.proxy.metrics().sum("lagwise_server_eligible", &[]) == 2.0
        });
    }

    /// Undoes [`Ground::set_replicas`].
    pub fn resume_replicas(&self, replicas: Replicas) {
        if replicas == Replicas::Stopped {
            self.lab.start_applier(1);
        }
    }

    /// Tells what a worker runs from now on, for [`Ground::panic_behind`].
    pub fn note_running(&self, worker: usize, script: &Script, proxied: bool) {
        let way = if proxied { "through lagwise" } else { "direct" };
        let text = format!("worker {worker}, {way}:\n{script}");
        self.running.lock().expect("no other worker has failed").insert(worker, text);
    }

    /// The replica has not applied what stands at `position` in time: says why, once for all the
    /// workers that wait for it.
    fn panic_behind(&self, position: &str) -> ! {
        // A second worker that comes here finds the lock poisoned, and the reason told.
        let Ok(running) = self.running.lock() else {
            panic!("the replica does not catch up, see above")
        };
        let scripts: Vec<&str> = running.values().map(String::as_str).collect();
        panic!(
            "the replica does not catch up: {}{}",
            self.lab.why_behind(1, position),
            scripts.join("\n")
        );
    }

    /// Statements that ran on the primary and on replicas, and the reasons that kept reads from
    /// them.
    pub fn statements(&self) -> (f64, f64) {
        let metrics = self.proxy.metrics();
        let of = |target| metrics.sum("lagwise_queries_total", &[("target", target)]);
        (of("primary"), of("replica"))
    }
}

/// The two schemas of a worker, and the connections with which it puts them back.
pub struct Plot<'a> {
    pub ground: &'a Ground<'a>,
    pub schema: String,
    pub other: String,
    primary: Client,
    replica: Client,
}

impl<'a> Plot<'a> {
    /// Makes the schemas.
    pub fn new(ground: &'a Ground<'a>, worker: usize) -> Self {
        let (schema, other) = (format!("diff_{worker}"), format!("diff_{worker}_other"));
        let admin = |server| {
            let mut options = Options::new(caps::MULTI_STATEMENTS).account("admin");
            options.schema = None;
            options.login(ground.lab.port(server)).expect("admin logs in")
        };
        let (primary, replica) = (admin(0), admin(1));
        let mut plot = Self { ground, schema, other, primary, replica };
        plot.make_schemas();
        plot
    }

    fn make_schemas(&mut self) {
        for schema in [self.schema.clone(), self.other.clone()] {
            self.ask(&format!("DROP DATABASE IF EXISTS {schema}"));
            self.ask(&format!("CREATE DATABASE {schema} CHARACTER SET utf8mb4; USE {schema}"));
            for account in ["app", "other"] {
                self.ask(&format!("GRANT ALL ON {schema}.* TO {account}@'%'"));
            }
            let (start, _) = GROUND.split_once("\n\n-- reset").expect("parts");
            self.ask(start);
            if schema == self.schema {
                self.ask(section("routines"));
            }
        }
        let all = Part::ALL.into_iter().collect();
        self.reset(&all, true);
        self.ask("SET innodb_lock_wait_timeout = 2, lock_wait_timeout = 5");
    }

    fn try_ask(&mut self, sql: &str) -> Result<Answer, (u16, String)> {
        let answer = self.primary.query(sql);
        match answer.error() {
            Some(error) => Err(error),
            None => {
                assert_eq!(answer.broken, None, "{sql}");
                Ok(answer)
            }
        }
    }

    fn ask(&mut self, sql: &str) -> Answer {
        self.try_ask(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    fn reset(&mut self, parts: &BTreeSet<Part>, both: bool) {
        let sql = self.reset_sql(parts, both);
        self.ask(&sql);
    }

    fn reset_sql(&self, parts: &BTreeSet<Part>, both: bool) -> String {
        let schemas = [Some(&self.schema), both.then_some(&self.other)];
        let mut sql = String::new();
        for schema in schemas.into_iter().flatten() {
            sql.push_str(&format!("USE {schema};"));
            for part in parts {
                if *part != Part::Sequence || self.ground.lab.make == Make::MariaDb {
                    sql.push_str(section(part.section()));
                }
            }
        }
        sql
    }

    /// Puts back what a script may have changed. `run` is what `{r}` stood for.
    pub fn put_back(&mut self, script: &Script, run: &str) {
        let (parts, both) = changed_by(script);
        self.end_xa(script, run);
        if parts.is_empty() {
            return;
        }
        let sql = self.reset_sql(&parts, both);
        // A session that has just been closed may hold its locks for a moment; so does a prepared
        // XA transaction, which another session can end only after that.
        let mut tries = 0;
        while let Err(error) = self.try_ask(&sql) {
            tries += 1;
            assert!(matches!(error.0, 1205 | 1213) && tries < 10, "{sql}: {error:?}");
            self.end_xa(script, run);
        }
        if parts.contains(&Part::Ta) {
            self.put_back_counters(both);
        }
    }

    /// Ends XA transactions that a script has left prepared.
    fn end_xa(&mut self, script: &Script, run: &str) {
        let begun = script.actions.iter().filter(|action| action.begins_xa()).count();
        for number in 1..=begun {
            // Fails where nothing is left over.
            let _ = self.primary.query(&format!("XA ROLLBACK '{}'", xa_name(run, number)));
        }
    }

    /// InnoDB may count rows that are deleted but not yet purged when it sets the counter of a table
    /// back: then it is set again.
    fn put_back_counters(&mut self, both: bool) {
        let schemas = [Some(self.schema.clone()), both.then(|| self.other.clone())];
        for schema in schemas.into_iter().flatten() {
            let mut tries = 0;
            let right = b"AUTO_INCREMENT=8 ";
            let is_right = |answer: Answer| {
                let mut payloads = answer.packets.iter().map(|packet| &packet.payload);
                payloads.any(|bytes| bytes.windows(right.len()).any(|found| found == right))
            };
            while !is_right(self.ask(&format!("SHOW CREATE TABLE {schema}.ta"))) {
                tries += 1;
                assert!(tries < 1000, "the counter of {schema}.ta is not put back");
                self.ask(&format!("ALTER TABLE {schema}.ta AUTO_INCREMENT = 8"));
            }
        }
    }

    /// Waits until the replica has all that the primary has.
    pub fn wait_caught_up(&mut self) {
        let (ask, wait) = match self.ground.lab.make {
            Make::MySql => ("SELECT @@GLOBAL.gtid_executed", "WAIT_FOR_EXECUTED_GTID_SET"),
            Make::MariaDb => ("SELECT @@GLOBAL.gtid_binlog_pos", "MASTER_GTID_WAIT"),
        };
        let position = self.ask(ask).first_value(&self.primary);
        let answer = self.replica.query(&format!("SELECT {wait}('{position}', 30)"));
        assert_eq!(answer.error(), None);
        if answer.first_value(&self.replica) != "0" {
            self.ground.panic_behind(&position);
        }
    }

    /// The same, and lagwise knows it.
    pub fn wait_noticed(&mut self) {
        self.wait_caught_up();
        self.ground.proxy.wait_probed();
    }
}

/// What is put back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Ta,
    Tb,
    Heap,
    Sequence,
    Made,
}

impl Part {
    const ALL: [Self; 5] = [Self::Ta, Self::Tb, Self::Heap, Self::Sequence, Self::Made];

    fn section(self) -> &'static str {
        match self {
            Self::Ta => "reset ta",
            Self::Tb => "reset tb",
            Self::Heap => "reset heap",
            Self::Sequence => "reset sq",
            Self::Made => "reset made",
        }
    }

    /// Words in a statement that may change it.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Ta => &["ta", "va"],
            Self::Tb => &["tb", "f_write", "p_write", "p_fail", "p_transaction", "p_open"],
            Self::Heap => &["heap"],
            Self::Sequence => &["sq"],
            Self::Made => &["ca", "cb", "cv", "cp"],
        }
    }
}

/// Statements between the line `-- NAME` of `ground.sql` and the next such line.
fn section(name: &str) -> &'static str {
    let (_, rest) = GROUND.split_once(&format!("-- {name}\n")).expect("a section");
    rest.split("\n-- ").next().expect("a text").trim()
}

/// What a script may have changed, and whether in the second schema too. Rather too much than too
/// little.
fn changed_by(script: &Script) -> (BTreeSet<Part>, bool) {
    let mut parts = BTreeSet::new();
    let mut both = false;
    for text in script.texts() {
        let text = String::from_utf8_lossy(text).to_lowercase();
        both |= text.contains("{o}");
        let reads = ["select", "show", "describe", "explain", "with", "table", "values"];
        let only_reads = reads.iter().any(|word| text.starts_with(word))
            && !text.contains(';')
            && !text.contains("f_write")
            && !text.contains("sq")
            && !text.contains("update");
        if only_reads {
            continue;
        }
        let words: BTreeSet<&str> =
            text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        for part in Part::ALL {
            if part.words().iter().any(|word| words.contains(word)) {
                parts.insert(part);
            }
        }
    }
    (parts, both)
}
