//! Changes of roles, as a tool or a DBA makes them.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Lab, Make, eventually};

/// What every server of [`Topology::new`] is started with: what survives a crash, and that nobody writes,
/// or replicates on MariaDB, before the rest is set. MariaDB's `rpl_semi_sync_slave_enabled` must not be
/// among it: a server that starts with that takes back what its clients were not told of, although replicas
/// may have it.
pub fn settings(make: Make) -> Vec<&'static str> {
    let replica = match make {
        // The plugin comes later.
        Make::MySql => "loose-rpl-semi-sync-replica-enabled=ON",
        Make::MariaDb => "skip-slave-start=ON",
    };
    let lasts = ["innodb-flush-log-at-trx-commit=1", "sync-binlog=1", "relay-log-recovery=ON"];
    [&lasts[..], &[replica, "read-only=ON"]].concat()
}

/// A lab whose primary may be any of its servers.
pub struct Topology<'a> {
    pub lab: &'a Lab,
    primary: usize,
    /// Commits wait for a replica.
    is_acknowledged: bool,
}

impl<'a> Topology<'a> {
    /// Server 0 is the primary. Commits are acknowledged once a replica has them, so that nothing is
    /// lost with a primary. The lab was started with [`settings`].
    pub fn new(lab: &'a Lab) -> Self {
        let topology = Self { lab, primary: 0, is_acknowledged: true };
        // The primary first: a replica asks it whether it wants acknowledgements when it connects.
        (0..lab.count()).for_each(|server| topology.started(server));
        topology
    }

    /// The same with replication as it is.
    pub fn of(lab: &'a Lab) -> Self {
        Self::at(lab, 0)
    }

    /// The same where `primary` is it.
    pub fn at(lab: &'a Lab, primary: usize) -> Self {
        Self { lab, primary, is_acknowledged: false }
    }

    /// The server that is the primary now.
    pub fn primary(&self) -> usize {
        self.primary
    }

    /// The others.
    pub fn replicas(&self) -> Vec<usize> {
        (0..self.lab.count()).filter(|server| *server != self.primary).collect()
    }

    /// Has a server acknowledge what it receives as a replica from its next connection on.
    fn acknowledges(&self, server: usize) {
        match self.lab.make {
            Make::MySql => {
                let enabled = "SELECT @@GLOBAL.rpl_semi_sync_replica_enabled";
                if self.lab.try_sql(server, enabled).is_err() {
                    for side in ["source", "replica"] {
                        let install = format!(
                            "INSTALL PLUGIN rpl_semi_sync_{side} SONAME 'semisync_{side}.so'"
                        );
                        self.writable(server, &install);
                    }
                }
                assert_eq!(self.lab.sql(server, enabled), "1");
            }
            Make::MariaDb => {
                self.lab.sql(server, "SET GLOBAL rpl_semi_sync_slave_enabled = 1");
            }
        }
    }

    /// A server of [`Topology::new`] has been started.
    pub fn started(&self, server: usize) {
        self.acknowledges(server);
        self.acknowledge_by_replicas(server);
        if server == self.primary {
            self.set_read_only(server, false);
        } else {
            self.set_read_only(server, true);
            self.lab.sql(server, "STOP REPLICA IO_THREAD; START REPLICA");
        }
    }

    /// Has commits on a server wait for a replica, without a way back to not waiting, if it is the primary.
    /// Nothing may be written there meanwhile: what MariaDB has sent before is never acknowledged, and
    /// would be waited for.
    pub fn acknowledge_by_replicas(&self, server: usize) {
        if !self.is_acknowledged {
            return;
        }
        let settings = match self.lab.make {
            Make::MySql => {
                "SET GLOBAL rpl_semi_sync_source_timeout = 3600000; \
                 SET GLOBAL rpl_semi_sync_source_enabled"
            }
            Make::MariaDb => {
                "SET GLOBAL rpl_semi_sync_master_timeout = 3600000; \
                 SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC'; \
                 SET GLOBAL rpl_semi_sync_master_enabled"
            }
        };
        // A replica that did the same would wait for replicas of its own.
        let enabled = u8::from(server == self.primary);
        self.lab.sql(server, &format!("{settings} = {enabled}"));
    }

    /// When a replica comes back, MariaDB at times misses what it has got before, and commits wait for its
    /// acknowledgement though all replicas have everything. Ends that wait, if there is one.
    pub fn forget_missed_acknowledgements(&self) {
        if self.lab.make == Make::MySql {
            return;
        }
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist \
                       WHERE state = 'Waiting for semi-sync ACK from slave' AND time >= 2";
        let position = |server| self.lab.sql(server, "SELECT @@GLOBAL.gtid_binlog_pos");
        let written = position(self.primary);
        if self.lab.sql(self.primary, waiting) != "0"
            && self.replicas().into_iter().all(|replica| position(replica) == written)
        {
            println!("missed acknowledgements at {written}");
            let set = "SET GLOBAL rpl_semi_sync_master_enabled";
            self.lab.sql(self.primary, &format!("{set} = 0; {set} = 1"));
        }
    }

    fn writable(&self, server: usize, sql: &str) {
        let was = self.lab.sql(server, "SELECT @@GLOBAL.super_read_only");
        self.lab.sql(
            server,
            &format!(
                "SET GLOBAL super_read_only = 0; SET sql_log_bin = 0; {sql}; \
                 SET GLOBAL super_read_only = {was}"
            ),
        );
    }

    pub fn set_read_only(&self, server: usize, on: bool) {
        let sql = match (self.lab.make, on) {
            (Make::MySql, true) => "SET GLOBAL super_read_only = 1",
            (Make::MySql, false) => "SET GLOBAL super_read_only = 0; SET GLOBAL read_only = 0",
            (Make::MariaDb, true) => "SET GLOBAL read_only = 1",
            (Make::MariaDb, false) => "SET GLOBAL read_only = 0",
        };
        self.lab.sql(server, sql);
    }

    /// What a server has.
    fn position(&self, server: usize) -> String {
        let sql = match self.lab.make {
            Make::MySql => "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')",
            Make::MariaDb => "SELECT @@GLOBAL.gtid_current_pos",
        };
        self.lab.sql(server, sql)
    }

    /// Makes `server` replicate from the primary.
    pub fn follow(&self, server: usize) {
        let (host, port) = (self.lab.host(self.primary), self.lab.port(self.primary));
        if self.is_acknowledged {
            self.acknowledges(server);
        }
        let sql = match self.lab.make {
            Make::MySql => format!(
                "STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_HOST='{host}', \
                 SOURCE_PORT={port}, SOURCE_USER='repl', SOURCE_PASSWORD='repl_password', \
                 SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1, \
                 SOURCE_RETRY_COUNT=100000, SOURCE_HEARTBEAT_PERIOD=1; START REPLICA"
            ),
            Make::MariaDb => format!(
                "STOP SLAVE; SET GLOBAL gtid_slave_pos = @@GLOBAL.gtid_current_pos; \
                 CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, \
                 MASTER_USER='repl', MASTER_PASSWORD='repl_password', \
                 MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, \
                 MASTER_HEARTBEAT_PERIOD=1; START SLAVE"
            ),
        };
        self.lab.sql(server, &sql);
    }

    /// Makes `server` the primary: it applies all that it has received, and is writable.
    fn promote(&mut self, server: usize) {
        self.lab.sql(server, "STOP REPLICA IO_THREAD");
        self.wait_all_applied(server);
        self.lab.sql(server, "STOP REPLICA; RESET REPLICA ALL");
        self.primary = server;
        self.acknowledge_by_replicas(server);
        self.set_read_only(server, false);
    }

    /// Of the relay log.
    fn wait_all_applied(&self, server: usize) {
        let (status, done) = match self.lab.make {
            Make::MySql => (
                "SELECT CONCAT(service_state) FROM performance_schema.replication_applier_status",
                "has read all relay log",
            ),
            Make::MariaDb => ("SELECT 'ON'", "has read all relay log"),
        };
        assert_eq!(self.lab.sql(server, status), "ON");
        let states = "SELECT GROUP_CONCAT(state) FROM information_schema.processlist";
        eventually("the relay log is applied", || self.lab.sql(server, states).contains(done));
    }

    /// A switchover that nothing is lost in.
    pub fn switch_over(&mut self, to: usize) {
        let from = self.primary;
        self.set_read_only(from, true);
        let position = self.position(from);
        self.lab.wait_applied(to, &position);
        self.lab.sql(to, "STOP REPLICA; RESET REPLICA ALL");
        self.primary = to;
        self.acknowledge_by_replicas(to);
        self.set_read_only(to, false);
        for server in self.replicas() {
            self.acknowledge_by_replicas(server);
            self.follow(server);
        }
    }

    /// After the primary is gone: the replica that has most takes over, and the others follow it.
    pub fn fail_over(&mut self) -> usize {
        let replicas = self.replicas();
        for server in &replicas {
            self.lab.sql(*server, "STOP REPLICA IO_THREAD");
            self.wait_all_applied(*server);
        }
        let has_all = |server: &&usize| {
            replicas.iter().all(|other| self.contains(**server, &self.position(*other)))
        };
        let best = *replicas.iter().find(has_all).expect("one has what the others have");
        let others: Vec<usize> = replicas.into_iter().filter(|other| *other != best).collect();
        self.promote(best);
        others.into_iter().for_each(|server| self.follow(server));
        best
    }

    fn contains(&self, server: usize, position: &str) -> bool {
        let own = self.position(server);
        match self.lab.make {
            Make::MySql => {
                self.lab.sql(server, &format!("SELECT GTID_SUBSET('{position}', '{own}')")) == "1"
            }
            Make::MariaDb => {
                let last = |text: &str| {
                    text.rsplit('-').next().and_then(|number| number.parse::<u64>().ok())
                };
                last(&own) >= last(position)
            }
        }
    }

    /// Makes a former primary, which may have what nobody else has, a copy of the present one. Nobody
    /// else must be let to it before it follows ([`Topology::follow_again`]).
    pub fn restore(&self, server: usize) {
        self.set_read_only(server, false);
        let (stop, forget, options): (_, _, &[&str]) = match self.lab.make {
            Make::MySql => (
                "SET GLOBAL rpl_semi_sync_source_enabled = 0; STOP REPLICA; RESET REPLICA ALL",
                "RESET BINARY LOGS AND GTIDS",
                &["--set-gtid-purged=ON"],
            ),
            Make::MariaDb => (
                "SET GLOBAL rpl_semi_sync_master_enabled = 0; STOP SLAVE; RESET SLAVE ALL",
                "RESET MASTER",
                &["--gtid", "--master-data"],
            ),
        };
        self.lab.sql(server, stop);
        self.lab.sql(server, forget);
        let common = ["--single-transaction", "--routines", "--databases", "shop"];
        // mysqldump locks all tables for a moment, by FLUSH TABLES WITH READ LOCK. On MySQL's primary
        // that waits for ever if a statement waits for a row of a transaction that is kept from going on.
        let from = match self.lab.make {
            Make::MySql => self.replicas().into_iter().find(|replica| *replica != server),
            Make::MariaDb => None,
        };
        from.into_iter().for_each(|replica| self.lab.stop_applier(replica));
        let source = from.unwrap_or(self.primary);
        let dump = self.tool("mysqldump", source, &[options, &common].concat(), None);
        from.into_iter().for_each(|replica| self.lab.start_applier(replica));
        // What is copied is none of its own writes: those of MariaDB would be errant. MySQL's dump says so.
        self.tool("mysql", server, &["--init-command=SET sql_log_bin = 0"], Some(dump));
        self.set_read_only(server, true);
    }

    /// After [`Topology::restore`].
    pub fn follow_again(&self, server: usize) {
        self.acknowledge_by_replicas(server);
        self.follow(server);
    }

    /// Runs a tool against a server as root; what it prints.
    fn tool(&self, name: &str, server: usize, options: &[&str], input: Option<Vec<u8>>) -> Vec<u8> {
        let mut child = Command::new(self.lab.tool(name))
            .args(["--no-defaults", "--user=root"])
            .arg(format!("--socket={}", self.lab.socket(server).display()))
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run the tool");
        let mut stdin = child.stdin.take().unwrap();
        let feeding = std::thread::spawn(move || {
            let _ = stdin.write_all(&input.unwrap_or_default());
        });
        let output = child.wait_with_output().unwrap();
        feeding.join().unwrap();
        assert!(output.status.success(), "{name} on server {server} failed");
        output.stdout
    }
}
