//! The built `lagwise` in front of a [`Lab`].

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::lab::Lab;
use super::process::{free_ports, signal, target_dir, unique_name};
use super::{DEADLINE, eventually, eventually_some};

/// More than the default: on a busy machine a login takes long, and few tests are about that.
const CONNECT_TIMEOUT: &str = "4s";

/// A running `lagwise run`; ends with this value. Its log is printed when the test panics.
pub struct Proxy {
    child: Child,
    dir: PathBuf,
    port: u16,
    http_port: u16,
    servers: (String, Vec<String>),
}

impl Proxy {
    /// Starts lagwise in front of all servers of a lab and waits until it says that it is ready.
    ///
    /// `extra` is configuration: lines before the first `[table]` become top-level keys (and
    /// replace the default for `primary`, `replicas` and so on), the rest is appended.
    pub fn start(lab: &Lab, extra: &str) -> Self {
        let mut proxy = Self::start_unready(lab, extra);
        proxy.wait_ready();
        proxy
    }

    /// Like [`Proxy::start`], but returns as soon as the process runs.
    pub fn start_unready(lab: &Lab, extra: &str) -> Self {
        Self::start_program(env!("CARGO_BIN_EXE_lagwise").as_ref(), lab, extra)
    }

    /// The same with another path of the program.
    pub fn start_program(program: &Path, lab: &Lab, extra: &str) -> Self {
        let dir = target_dir().join("lab").join(format!("proxy-{}", unique_name()));
        std::fs::create_dir_all(&dir).unwrap();
        let [port, http_port] = free_ports();
        let servers = (lab.address(0), (1..lab.count()).map(|i| lab.address(i)).collect());
        let config = config_text(&servers, port, http_port, extra);
        std::fs::write(dir.join("proxy.toml"), config).unwrap();
        let log = File::create(dir.join("log")).unwrap();
        let child = Command::new(program)
            .arg("run")
            .arg("--config")
            .arg(dir.join("proxy.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("run lagwise");
        Self { child, dir, port, http_port, servers }
    }

    /// Like [`Proxy::start_unready`], where `extra` has an `[http]` that listens on this port.
    pub fn start_unready_at(lab: &Lab, extra: &str, http_port: u16) -> Self {
        let mut proxy = Self::start_unready(lab, extra);
        proxy.http_port = http_port;
        proxy
    }

    /// Sends a signal, by name without `SIG`.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits until `/readyz` says yes; panics when the process ends before.
    pub fn wait_ready(&mut self) {
        eventually("lagwise is ready", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("lagwise ended with {status}");
            }
            self.http("/readyz").is_some_and(|(status, _)| status == 200)
        });
    }

    /// Where clients connect, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the HTTP endpoints are, on 127.0.0.1.
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The configuration file, for tests that write their own.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("proxy.toml")
    }

    /// All that the process has logged so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.dir.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for a line of the log that holds `needle`, and returns it.
    pub fn wait_log(&self, needle: &str) -> String {
        eventually_some(&format!("lagwise logs {needle:?}"), || {
            self.log().lines().find(|line| line.contains(needle)).map(str::to_owned)
        })
    }

    /// Writes a new configuration (made like [`Proxy::start`] does from `extra`), sends SIGHUP, and
    /// waits until the reload is counted, good or bad. Returns whether it was good.
    pub fn reload(&self, extra: &str) -> bool {
        let config = config_text(&self.servers, self.port, self.http_port, extra);
        std::fs::write(self.config_path(), config).unwrap();
        self.reload_file()
    }

    /// Sends SIGHUP for the configuration file as it is; like [`Proxy::reload`].
    pub fn reload_file(&self) -> bool {
        let count = |metrics: &Metrics, result: &str| {
            metrics.value(&format!("lagwise_reloads_total{{result=\"{result}\"}}")) as u64
        };
        let before = self.metrics();
        signal(self.pid(), "HUP");
        eventually_some("the reload is counted", || {
            let now = self.metrics();
            let good = count(&now, "ok") > count(&before, "ok");
            let bad = count(&now, "error") > count(&before, "error");
            (good || bad).then_some(good)
        })
    }

    /// The metrics now.
    pub fn metrics(&self) -> Metrics {
        let (status, text) = self.http("/metrics").expect("lagwise answers /metrics");
        assert_eq!(status, 200, "/metrics: {text}");
        Metrics { text }
    }

    /// Waits until lagwise has asked every server anew and knows what it answered.
    pub fn wait_probed(&self) {
        let probes = |server: &str| {
            self.metrics().value(&format!("lagwise_probes_total{{server={server:?}}}"))
        };
        let (primary, replicas) = &self.servers;
        for server in replicas.iter().chain([primary]) {
            // The first to end from now on may have been sent before now.
            let enough = probes(server) + 2.0;
            eventually("the server is probed", || probes(server) >= enough);
        }
    }

    /// GET of a path: status and body, or `None` when nothing answers there.
    pub fn http(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http_port)).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// SIGTERM; waits for the end and returns the exit status.
    pub fn terminate(&mut self) -> ExitStatus {
        if let Some(status) = self.child.try_wait().unwrap() {
            return status;
        }
        signal(self.pid(), "TERM");
        eventually_some("lagwise ends after SIGTERM", || self.child.try_wait().unwrap())
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(5)
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of lagwise\n{}---- end of log", self.log());
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The smallest configuration in front of the servers, and `extra` in its right places.
fn config_text(
    (primary, replicas): &(String, Vec<String>),
    port: u16,
    http_port: u16,
    extra: &str,
) -> String {
    let split = extra
        .lines()
        .position(|line| line.trim_start().starts_with('['))
        .unwrap_or_else(|| extra.lines().count());
    let top: Vec<&str> = extra.lines().take(split).collect();
    let tables: Vec<&str> = extra.lines().skip(split).collect();
    let mut text = String::new();
    for (key, value) in [
        ("listen", format!("\"127.0.0.1:{port}\"")),
        ("primary", format!("{primary:?}")),
        ("replicas", format!("{replicas:?}")),
    ] {
        let given =
            top.iter().any(|line| line.split_once('=').is_some_and(|(name, _)| name.trim() == key));
        if !given {
            text.push_str(&format!("{key} = {value}\n"));
        }
    }
    text.push_str(&top.join("\n"));
    for (table, lines) in [
        ("[monitor]", "user = \"monitor\"\npassword = \"monitor_password\"".to_owned()),
        ("[http]", format!("listen = \"127.0.0.1:{http_port}\"")),
        ("[pool]", format!("connect_timeout = \"{CONNECT_TIMEOUT}\"")),
    ] {
        if !tables.iter().any(|line| line.trim() == table) {
            text.push_str(&format!("\n{table}\n{lines}\n"));
        }
    }
    text.push_str(&tables.join("\n"));
    text.push('\n');
    text
}

/// One reading of `/metrics`.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub text: String,
}

impl Metrics {
    /// The value of a series, written as in the text format: `name` or `name{label="value",…}`
    /// with the labels in any order. 0 when there is no such series.
    pub fn value(&self, series: &str) -> f64 {
        let (name, labels) = parse_series(series);
        self.series(name).find(|(found, _)| *found == labels).map_or(0.0, |(_, value)| value)
    }

    /// The sum of all series of `name` that carry these labels (and maybe others).
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted = |found: &Labels<'_>| labels.iter().all(|label| found.contains(label));
        self.series(name).filter(|(found, _)| wanted(found)).map(|(_, value)| value).sum()
    }

    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (Labels<'a>, f64)> + 'a {
        self.text.lines().filter(|line| !line.starts_with('#')).filter_map(move |line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, labels) = parse_series(series);
            (found == name).then_some((labels, value.parse().ok()?))
        })
    }
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

/// Name and labels, sorted. Label values here hold no escaped quote and no comma.
fn parse_series(series: &str) -> (&str, Labels<'_>) {
    let Some((name, labels)) = series.split_once('{') else { return (series, Vec::new()) };
    let mut labels: Labels<'_> = labels
        .trim_end_matches('}')
        .split(',')
        .filter_map(|label| label.split_once('='))
        .map(|(key, value)| (key, value.trim_matches('"')))
        .collect();
    labels.sort_unstable();
    (name, labels)
}
