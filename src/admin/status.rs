//! What a running lagwise says of itself, put together from `/readyz`, `/servers` and `/metrics`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::client::{CommandError, Running};

/// The state of a running lagwise, as `lagwise status --json` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Whether it should get clients.
    pub ready: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Client sessions that are open.
    pub sessions: u64,
    /// Statements since the start, by where they went.
    pub statements: Statements,
    /// The primary first.
    pub servers: Vec<ServerStatus>,
}

/// Statements since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Statements {
    /// Those for the primary: all writes, and reads that had to go there.
    pub primary: u64,
    /// Reads for replicas.
    pub replica: u64,
    /// Those that were refused.
    pub none: u64,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// `primary` or `replica`.
    pub role: String,
    /// Health state.
    pub health: String,
    /// How far a replica is behind the primary; `None`: not known, and for the primary.
    pub lag_seconds: Option<f64>,
    /// Whether it may get work.
    pub eligible: bool,
    /// Why it gets no reads.
    pub excluded: Option<String>,
    /// It is taken out for maintenance.
    pub drained: bool,
    /// Connections for sessions, idle ones included.
    pub connections: u64,
    /// Statements that run.
    pub running: u64,
}

/// What is needed of an answer of `/readyz`.
#[derive(Deserialize)]
struct Ready {
    ready: bool,
    reason: Option<String>,
}

/// What is needed of a server in `/servers`.
#[derive(Deserialize)]
struct Known {
    name: String,
    role: String,
    health: String,
    excluded: Option<String>,
    drained: bool,
    connections: u64,
    running: u64,
}

impl Running<'_> {
    /// Asks for its state.
    ///
    /// # Errors
    /// See [`CommandError`]: nobody answers, or the token is wrong.
    pub fn status(&self) -> Result<Status, CommandError> {
        let unreadable = |error: serde_json::Error| CommandError::Refused(error.to_string());
        // The list first: it needs the token, if there is one.
        let servers = self.ask("GET", "/servers")?;
        let servers: Vec<Known> = serde_json::from_str(&servers).map_err(unreadable)?;
        let (_, ready) = self.answer("GET", "/readyz")?;
        let ready: Ready = serde_json::from_str(&ready).map_err(unreadable)?;
        let series = Series::parse(&self.ask("GET", "/metrics")?);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(put_together(ready, servers, &series, now))
    }
}

/// `now`: since 1970.
fn put_together(ready: Ready, servers: Vec<Known>, series: &Series, now: Duration) -> Status {
    let queries = |target| series.sum("lagwise_queries_total", &[("target", target)]);
    let started = series.sum("process_start_time_seconds", &[]);
    let server = |known: Known| {
        let of = [("server", known.name.as_str())];
        ServerStatus {
            lag_seconds: series.find("lagwise_server_lag_seconds", &of),
            eligible: series.find("lagwise_server_eligible", &of) == Some(1.0),
            name: known.name,
            role: known.role,
            health: known.health,
            excluded: known.excluded,
            drained: known.drained,
            connections: known.connections,
            running: known.running,
        }
    };
    Status {
        version: series.label("lagwise_build_info", "version").unwrap_or_default(),
        uptime_seconds: (now.as_secs_f64() - started).max(0.0) as u64,
        ready: ready.ready,
        reason: ready.reason,
        sessions: series.sum("lagwise_sessions", &[]) as u64,
        statements: Statements {
            primary: queries("primary") as u64,
            replica: queries("replica") as u64,
            none: queries("none") as u64,
        },
        servers: servers.into_iter().map(server).collect(),
    }
}

/// Samples of the Prometheus text format: name, labels and value.
struct Series(Vec<(String, BTreeMap<String, String>, f64)>);

impl Series {
    /// What is no sample is left out.
    fn parse(text: &str) -> Series {
        Series(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = f64> + 'a {
        let fits = move |found: &BTreeMap<String, String>| {
            labels.iter().all(|(key, value)| found.get(*key).is_some_and(|it| it == value))
        };
        let of_name = self.0.iter().filter(move |(found, ..)| found == name);
        of_name.filter(move |(_, found, _)| fits(found)).map(|(.., value)| *value)
    }

    /// The first that carries these labels.
    fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.matching(name, labels).next()
    }

    /// The sum of all that carry these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).sum()
    }

    fn label(&self, name: &str, key: &str) -> Option<String> {
        self.0.iter().find(|(found, ..)| found == name)?.1.get(key).cloned()
    }
}

/// `name{key="value",…} 1.5`
fn sample(line: &str) -> Option<(String, BTreeMap<String, String>, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, mut rest)) = series.split_once('{') else {
        return Some((series.to_owned(), BTreeMap::new(), value));
    };
    let mut labels = BTreeMap::new();
    while let Some((key, quoted)) = rest.split_once("=\"") {
        let (text, after) = unquoted(quoted)?;
        labels.insert(key.trim_start_matches(',').to_owned(), text);
        rest = after;
    }
    (rest == "}").then(|| (name.to_owned(), labels, value))
}

/// The text up to the closing quote, and what follows that.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((text, quoted.get(at + 1..)?)),
            '\\' => match chars.next()?.1 {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP a b\nlagwise_build_info{arch=\"x\",version=\"1.2.3\"} 1\n\
        lagwise_queries_total{reason=\"write\",target=\"primary\"} 3\n\
        lagwise_queries_total{reason=\"lock\",target=\"primary\"} 4\n\
        lagwise_queries_total{reason=\"read\",target=\"replica\"} 5\n\
        process_start_time_seconds 100\nlagwise_sessions 2\n\
        lagwise_server_eligible{server=\"a\"} 1\nlagwise_server_lag_seconds{server=\"b\"} 0.25\n";

    #[test]
    fn samples() {
        for (line, want) in [
            ("a 1", Some("a[] 1")),
            ("a{b=\"c\",d=\"e f\"} 1.5", Some("a[b=c d=e f] 1.5")),
            ("a{b=\"\\\"\\\\}\\n\"} 1", Some("a[b=\"\\}\n] 1")),
            ("a{} 0", Some("a[] 0")),
            ("a{b=\"c} 1", None),
            ("a{b=\"c\" 1", None),
            ("a one", None),
            ("", None),
        ] {
            let found = sample(line).map(|(name, labels, value)| {
                let labels: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("{name}[{}] {value}", labels.join(" "))
            });
            assert_eq!(found.as_deref(), want, "{line}");
        }
    }

    #[test]
    fn the_parts_make_a_whole() {
        let known = |name: &str, role: &str| Known {
            name: name.to_owned(),
            role: role.to_owned(),
            health: "up".to_owned(),
            excluded: None,
            drained: false,
            connections: 7,
            running: 1,
        };
        let ready = Ready { ready: false, reason: Some("why".to_owned()) };
        let servers = vec![known("a", "primary"), known("b", "replica")];
        let now = Duration::from_secs(160);
        let status = put_together(ready, servers, &Series::parse(METRICS), now);
        assert_eq!((status.version.as_str(), status.uptime_seconds), ("1.2.3", 60));
        assert_eq!((status.ready, status.reason.as_deref()), (false, Some("why")));
        assert_eq!(status.sessions, 2);
        assert_eq!(status.statements, Statements { primary: 7, replica: 5, none: 0 });
        let servers: Vec<_> = status
            .servers
            .iter()
            .map(|it| (it.name.as_str(), it.eligible, it.lag_seconds))
            .collect();
        assert_eq!(servers, [("a", true, None), ("b", false, Some(0.25))]);
    }
}
