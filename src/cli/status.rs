//! `lagwise status`: the running lagwise on one screen, or as JSON.

use std::fmt::Write as _;
use std::process::ExitCode;

use lagwise::admin::ServerState;
use lagwise::admin::status::Status;
use lagwise::config::Config;

use super::{FAILURE, complain, say, with_running};

/// Asks the running lagwise for its state, and shows it.
pub(super) fn status(config: &Config, as_json: bool) -> ExitCode {
    with_running(config, |running| match running.status() {
        Ok(status) => match as_json.then(|| serde_json::to_string_pretty(&status)) {
            None => done(&screen(&status)),
            Some(Ok(json)) => done(&json),
            Some(Err(error)) => failed(&error),
        },
        Err(error) => failed(&error),
    })
}

fn done(text: &str) -> ExitCode {
    say(text);
    ExitCode::SUCCESS
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    complain(&format!("lagwise: {error}"));
    ExitCode::from(FAILURE)
}

fn screen(status: &Status) -> String {
    let mut text = String::new();
    let ready = match (status.ready, &status.reason) {
        (true, _) => "ready".to_owned(),
        (false, Some(reason)) => format!("NOT READY: {reason}"),
        (false, None) => "NOT READY".to_owned(),
    };
    let up = uptime(status.uptime_seconds);
    let counts = status.statements;
    let all = counts.primary.saturating_add(counts.replica);
    let share = |count: u64| if all == 0 { 0.0 } else { count as f64 * 100.0 / all as f64 };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "lagwise {}, up {up}, {ready}", status.version);
    let _ = writeln!(text, "sessions: {}", status.sessions);
    let _ = write!(
        text,
        "statements: {} to the primary ({:.1} %), {} to replicas ({:.1} %)",
        counts.primary,
        share(counts.primary),
        counts.replica,
        share(counts.replica)
    );
    if counts.none > 0 {
        let _ = write!(text, ", {} refused", counts.none);
    }
    let names = status.servers.iter().map(|server| &server.name);
    let longest = names.map(|name| name.chars().count()).max();
    let width = longest.unwrap_or_default().max("server".len());
    let _ = writeln!(
        text,
        "\n\n{:width$}  {:7}  {:8}  {:>9}  {:>11}  {:>7}  work",
        "server", "role", "health", "lag", "connections", "running"
    );
    for server in &status.servers {
        let ServerState { name, role, health, lag_ms, connections, running, .. } = server;
        let lag = lag_ms.map_or("-".to_owned(), |lag| format!("{:.3} s", lag as f64 / 1e3));
        let work = work(server);
        let _ = writeln!(
            text,
            "{name:width$}  {role:7}  {health:8}  {lag:>9}  {connections:>11}  {running:>7}  {work}"
        );
    }
    text
}

/// Whether it may get work, or why not.
pub(super) fn work(server: &ServerState) -> &str {
    match &server.excluded {
        _ if server.drained => "drained",
        Some(reason) => reason,
        None if server.eligible => "yes",
        None => "no",
    }
}

/// The two greatest units: `3d 4h`.
pub(super) fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (seconds, want) in
            [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3_660, "1h 1m"), (183_600, "2d 3h")]
        {
            assert_eq!(uptime(seconds), want);
        }
    }
}
