//! A real primary with replicas, started by `scripts/servers.sh`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::process::{is_stopped, package_dir, signal, target_dir, unique_name, wait_gone};
use super::{DEADLINE, eventually};

/// Which server program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    MySql,
    MariaDb,
}

impl Make {
    /// For tests that must hold on both.
    pub const ALL: [Make; 2] = [Make::MySql, Make::MariaDb];

    /// The name that `scripts/servers.sh` knows.
    pub fn name(self) -> &'static str {
        match self {
            Make::MySql => "mysql",
            Make::MariaDb => "mariadb",
        }
    }
}

impl fmt::Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A running primary (server 0) with its replicas (servers 1…). Accounts and tables are those of
/// `scripts/lib/fixture.sql`; server `i` has `server_id` `i + 1`.
pub struct Lab {
    pub make: Make,
    dir: PathBuf,
    env: BTreeMap<String, String>,
}

/// One line of a server's general log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The server's connection id.
    pub connection: u64,
    /// `Connect`, `Query`, `Prepare`, `Execute`, `Init DB`, `Quit` …
    pub command: String,
    /// The statement text, over as many lines as it has.
    pub text: String,
}

impl Lab {
    /// Starts a primary and `replicas` replicas, which have caught up when this returns.
    pub fn start(make: Make, replicas: usize) -> Self {
        Self::start_with(make, replicas, &[])
    }

    /// The same with server options (`name=value` for all, `1:name=value` for server 1 alone).
    pub fn start_with(make: Make, replicas: usize, settings: &[&str]) -> Self {
        Self::start_exposed(make, replicas, settings, &[])
    }

    /// The same with further arguments of `scripts/servers.sh`: `--hosts` for [`Lab::pull_out`], and
    /// `--disk=MIB` for [`Lab::fill_disk`]. Both need root.
    pub fn start_exposed(make: Make, replicas: usize, settings: &[&str], exposed: &[&str]) -> Self {
        let dir = target_dir().join("lab").join(unique_name());
        let mut arguments = vec![
            "start".to_owned(),
            "--no-fetch".to_owned(),
            format!("--make={make}"),
            format!("--replicas={replicas}"),
            format!("--owner={}", std::process::id()),
        ];
        arguments.extend(settings.iter().map(|setting| format!("--set={setting}")));
        arguments.extend(exposed.iter().map(|&argument| argument.to_owned()));
        let mut lab = Self { make, dir, env: BTreeMap::new() };
        let printed = lab.script(&arguments);
        lab.env = printed
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        lab
    }

    /// Runs `scripts/servers.sh` on this lab's folder; panics with what it said if it fails.
    fn script(&self, arguments: &[String]) -> String {
        let output = Command::new("bash")
            .arg(package_dir().join("scripts/servers.sh"))
            .args(arguments)
            .arg(format!("--dir={}", self.dir.display()))
            .env("CARGO_TARGET_DIR", target_dir())
            .stdin(Stdio::null())
            .output()
            .expect("run bash");
        assert!(
            output.status.success(),
            "scripts/servers.sh {arguments:?} failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn value(&self, key: &str) -> &str {
        self.env.get(key).unwrap_or_else(|| panic!("no {key} in this lab"))
    }

    /// How many servers there are, the primary included.
    pub fn count(&self) -> usize {
        self.value("COUNT").parse().unwrap()
    }

    /// Where it listens: 127.0.0.1, or the address of its own host (`--hosts`).
    pub fn host(&self, server: usize) -> &str {
        self.value(&format!("S{server}_HOST"))
    }

    /// TCP port; stays the same over a restart.
    pub fn port(&self, server: usize) -> u16 {
        self.value(&format!("S{server}_PORT")).parse().unwrap()
    }

    /// `host:port`, as in a configuration file.
    pub fn address(&self, server: usize) -> String {
        format!("{}:{}", self.host(server), self.port(server))
    }

    /// Unix socket, on which `root` logs in without a password.
    pub fn socket(&self, server: usize) -> PathBuf {
        self.value(&format!("S{server}_SOCKET")).into()
    }

    /// The folder of a server's logs; its data folder is `data` below it.
    pub fn server_dir(&self, server: usize) -> PathBuf {
        self.dir.join(format!("s{server}"))
    }

    /// The command-line client that came with the server.
    pub fn client(&self) -> PathBuf {
        self.value("CLIENT").into()
    }

    /// A command-line tool of the make, by MySQL's name for it: beside the client, or Debian's.
    pub fn tool(&self, name: &str) -> PathBuf {
        let beside = self.client().with_file_name(name);
        match self.make {
            _ if beside.exists() => beside,
            Make::MySql => panic!("no {name} beside {}", self.client().display()),
            Make::MariaDb if name == "mysql" => "mariadb".into(),
            Make::MariaDb => name.replace("mysql", "mariadb-").into(),
        }
    }

    /// The process of a server now.
    pub fn pid(&self, server: usize) -> u32 {
        let file = self.server_dir(server).join("pid");
        std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
    }

    /// Runs statements as `root`, direct to a server, and returns the rows: tab-separated columns,
    /// no header. Panics with the server's error if there is one.
    pub fn sql(&self, server: usize, text: &str) -> String {
        self.try_sql(server, text)
            .unwrap_or_else(|error| panic!("{} server {server}: {text}: {error}", self.make))
    }

    /// Like [`Lab::sql`], but hands the client's error text back.
    pub fn try_sql(&self, server: usize, text: &str) -> Result<String, String> {
        self.run_client(
            server,
            &["--batch", "--skip-column-names", "--comments", "--execute", text],
        )
    }

    /// Makes the table `shop.place`, whose one row says which server answers: 0 is the primary.
    pub fn name_places(&self) {
        let schema = "CREATE TABLE shop.place (server VARCHAR(5) NOT NULL PRIMARY KEY)";
        self.sql(0, &format!("{schema}; INSERT INTO shop.place VALUES ('0')"));
        self.wait_caught_up();
        let writable = match self.make {
            Make::MySql => "SET GLOBAL super_read_only = 0;",
            Make::MariaDb => "",
        };
        for server in 1..self.count() {
            let name = format!("UPDATE shop.place SET server = '{server}'");
            self.sql(server, &format!("SET sql_log_bin = 0; {writable} {name}"));
        }
    }

    /// What the command-line client of the server prints to `root`, or the error that it fails with.
    pub fn run_client(&self, server: usize, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(self.client())
            .args(["--no-defaults", "--user=root"])
            .arg(format!("--socket={}", self.socket(server).display()))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("run the server's command-line client");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }

    // ---- replication

    /// What server 0 has written: a GTID set (MySQL) or position (MariaDB).
    pub fn position(&self) -> String {
        match self.make {
            Make::MySql => self.sql(0, "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')"),
            Make::MariaDb => self.sql(0, "SELECT @@GLOBAL.gtid_binlog_pos"),
        }
    }

    /// Waits until a server has applied what stands at `position`; false if it has not within
    /// `seconds`.
    pub fn applied(&self, server: usize, position: &str, seconds: u64) -> bool {
        let function = match self.make {
            Make::MySql => "WAIT_FOR_EXECUTED_GTID_SET",
            Make::MariaDb => "MASTER_GTID_WAIT",
        };
        self.sql(server, &format!("SELECT {function}('{position}', {seconds})")) == "0"
    }

    /// Waits until every replica has applied what the primary has written.
    pub fn wait_caught_up(&self) {
        let position = self.position();
        (1..self.count()).for_each(|server| self.wait_applied(server, &position));
    }

    /// Waits until a server has applied what stands at `position`. However far it is behind, it goes on:
    /// it fails when it has applied nothing for [`DEADLINE`].
    pub fn wait_applied(&self, server: usize, position: &str) {
        let own = match self.make {
            Make::MySql => "SELECT @@GLOBAL.gtid_executed",
            Make::MariaDb => "SELECT @@GLOBAL.gtid_slave_pos",
        };
        let mut last = self.sql(server, own);
        while !self.applied(server, position, DEADLINE.as_secs()) {
            let now = self.sql(server, own);
            assert!(now != last, "{}", self.why_behind(server, position));
            last = now;
        }
    }

    /// The replica receives, but applies nothing more.
    pub fn stop_applier(&self, server: usize) {
        self.sql(server, "STOP REPLICA SQL_THREAD");
    }

    /// Undoes [`Lab::stop_applier`].
    pub fn start_applier(&self, server: usize) {
        self.sql(server, "START REPLICA SQL_THREAD");
    }

    /// The replica receives nothing more, and applies what it has.
    pub fn stop_receiver(&self, server: usize) {
        self.sql(server, "STOP REPLICA IO_THREAD");
    }

    /// Undoes [`Lab::stop_receiver`].
    pub fn start_receiver(&self, server: usize) {
        self.sql(server, "START REPLICA IO_THREAD");
    }

    /// The replica applies each transaction so many seconds after the primary committed it.
    pub fn set_source_delay(&self, server: usize, seconds: u32) {
        let change = match self.make {
            Make::MySql => format!("CHANGE REPLICATION SOURCE TO SOURCE_DELAY={seconds}"),
            Make::MariaDb => format!("CHANGE MASTER TO MASTER_DELAY={seconds}"),
        };
        self.sql(server, &format!("STOP REPLICA; {change}; START REPLICA"));
    }

    // ---- faults

    /// SIGKILL; returns when the process is gone.
    pub fn kill(&self, server: usize) {
        let pid = self.pid(server);
        signal(pid, "KILL");
        wait_gone(pid);
    }

    /// An orderly shutdown; returns when the process is gone.
    pub fn shut_down(&self, server: usize) {
        let pid = self.pid(server);
        signal(pid, "TERM");
        wait_gone(pid);
    }

    /// SIGSTOP: the server keeps its connections, accepts new ones, and answers nothing.
    /// Returns when it has come into force: until one thread has taken the signal, the others run on.
    pub fn freeze(&self, server: usize) {
        let pid = self.pid(server);
        signal(pid, "STOP");
        eventually("every thread has stopped", || is_stopped(pid));
    }

    /// Undoes [`Lab::freeze`].
    pub fn thaw(&self, server: usize) {
        signal(self.pid(server), "CONT");
    }

    /// Pulls the cable of a server's host out: nothing comes from there any more, and nothing arrives.
    pub fn pull_out(&self, server: usize) {
        self.cable(server, "down");
    }

    /// Undoes [`Lab::pull_out`].
    pub fn plug_in(&self, server: usize) {
        self.cable(server, "up");
    }

    fn cable(&self, server: usize, state: &str) {
        self.script(&["cable".to_owned(), format!("--server={server}"), state.to_owned()]);
    }

    fn ballast(&self, server: usize) -> PathBuf {
        self.server_dir(server).join("data/ballast")
    }

    /// Leaves no byte free on a server's disk.
    pub fn fill_disk(&self, server: usize) {
        let mut ballast = File::create(self.ballast(server)).unwrap();
        for size in [1 << 20, 1 << 12] {
            let block = vec![0; size];
            while ballast.write_all(&block).is_ok() {}
        }
    }

    /// Undoes [`Lab::fill_disk`].
    pub fn free_disk(&self, server: usize) {
        std::fs::remove_file(self.ballast(server)).unwrap();
    }

    /// Starts a server again, on the same port and data; ends it before if it runs. A replica goes
    /// on replicating by itself.
    pub fn restart(&self, server: usize) {
        self.script(&["restart".to_owned(), format!("--server={server}")]);
    }

    // ---- what a server was asked

    /// A counter of SHOW GLOBAL STATUS.
    pub fn status(&self, server: usize, name: &str) -> u64 {
        let row = self.sql(server, &format!("SHOW GLOBAL STATUS LIKE '{name}'"));
        let value = row.split_once('\t').unwrap_or_else(|| panic!("no status {name}")).1;
        value.parse().unwrap()
    }

    /// The statement counters (`Com_select`, `Com_stmt_execute`, …) that are not zero. A health
    /// check's SELECT counts too: to know where a statement went, mark it with a comment and use
    /// [`Lab::seen`].
    pub fn statement_counts(&self, server: usize) -> BTreeMap<String, u64> {
        self.sql(server, "SHOW GLOBAL STATUS LIKE 'Com\\_%'")
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .filter(|(_, value)| *value > 0)
            .collect()
    }

    /// Turns a server's general log on or off.
    pub fn set_general_log(&self, server: usize, on: bool) {
        self.sql(server, &format!("SET GLOBAL general_log={}", u8::from(on)));
    }

    /// Turns the general log of every server on.
    pub fn log_all(&self) {
        for server in 0..self.count() {
            self.set_general_log(server, true);
        }
    }

    /// What the general log holds.
    pub fn general_log(&self, server: usize) -> Vec<LogEntry> {
        let bytes = std::fs::read(self.server_dir(server).join("general.log")).unwrap_or_default();
        parse_general_log(&String::from_utf8_lossy(&bytes))
    }

    /// How many commands that hold `needle` a server has run, by its general log: text queries and
    /// executions of prepared statements, not the preparing.
    pub fn seen(&self, server: usize, needle: &str) -> usize {
        self.general_log(server)
            .iter()
            .filter(|entry| matches!(entry.command.as_str(), "Query" | "Execute"))
            .filter(|entry| entry.text.contains(needle))
            .count()
    }

    /// Waits until a client's statement that holds `needle` was logged on a server.
    pub fn wait_seen(&self, server: usize, needle: &str) {
        eventually(&format!("server {server} logs {needle:?}"), || self.seen(server, needle) > 0);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for server in 0..self.env.get("COUNT").map_or(0, |count| count.parse().unwrap_or(0)) {
                let log = std::fs::read_to_string(self.server_dir(server).join("error.log"));
                let errors: Vec<&str> = log
                    .as_deref()
                    .unwrap_or("")
                    .lines()
                    .filter(|line| line.contains("[ERROR]"))
                    .collect();
                if !errors.is_empty() {
                    eprintln!("{} server {server}: {}", self.make, errors.join("\n  "));
                }
            }
        }
        let stopped = Command::new("bash")
            .arg(package_dir().join("scripts/servers.sh"))
            .args(["stop", "--remove"])
            .arg(format!("--dir={}", self.dir.display()))
            .env("CARGO_TARGET_DIR", target_dir())
            .stdin(Stdio::null())
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("could not stop the servers in {}", self.dir.display());
        }
    }
}

/// Both makes write `TIME <tab> ID COMMAND <tab> TEXT`, MariaDB the time only when it changes;
/// further lines of a statement stand as they are.
fn parse_general_log(text: &str) -> Vec<LogEntry> {
    let mut entries: Vec<LogEntry> = Vec::new();
    for line in text.lines() {
        match parse_log_line(line) {
            Some(entry) => entries.push(entry),
            None => {
                if let Some(last) = entries.last_mut() {
                    last.text.push('\n');
                    last.text.push_str(line);
                }
            }
        }
    }
    entries
}

fn parse_log_line(line: &str) -> Option<LogEntry> {
    let (time, rest) = line.split_once('\t')?;
    let starts_entry = time.is_empty() || time.starts_with(|c: char| c.is_ascii_digit());
    let rest = rest.trim_start_matches('\t').trim_start_matches(' ');
    let (id, rest) = rest.split_once(' ')?;
    let connection = id.parse().ok()?;
    let (command, text) = rest.split_once('\t')?;
    starts_entry.then(|| LogEntry {
        connection,
        command: command.to_owned(),
        text: text.to_owned(),
    })
}
