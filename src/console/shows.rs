//! Tables of what there is.

use std::time::Duration;

use super::answer::Answer;
use super::statement::HELP;
use crate::admin::{Connection, ServerState, Sessions};
use crate::metrics::{DigestRow, SlowStatement};

/// The longest list of sessions.
pub const MAX_SESSIONS: usize = 10_000;

type Value = Option<String>;

fn text(value: impl ToString) -> Value {
    Some(value.to_string())
}

fn yes(value: bool) -> Value {
    text(if value { "yes" } else { "no" })
}

/// Every statement in one line.
pub fn help() -> Answer {
    let row = |(form, what, is_change): &(&str, &str, bool)| {
        vec![text(form), text(if *is_change { "admin" } else { "read" }), text(what)]
    };
    Answer::table(&["statement", "role", "what"], HELP.iter().map(row).collect())
}

/// SHOW SERVERS
pub fn servers(servers: &[ServerState]) -> Answer {
    const COLUMNS: [&str; 11] = [
        "name",
        "address",
        "role",
        "health",
        "lag_ms",
        "lag_form",
        "eligible",
        "reason",
        "drained",
        "connections",
        "running",
    ];
    let row = |server: &ServerState| {
        vec![
            text(&server.name),
            text(&server.address),
            text(&server.role),
            text(&server.health),
            server.lag_ms.and_then(text),
            server.lag_form.as_ref().and_then(text),
            yes(server.eligible),
            server.excluded.clone(),
            yes(server.drained),
            text(server.connections),
            text(server.running),
        ]
    };
    Answer::table(&COLUMNS, servers.iter().map(row).collect())
}

/// SHOW POOLS
pub fn pools(servers: &[ServerState]) -> Answer {
    let row = |server: &ServerState| {
        let used: Vec<_> = server.used_by.iter().map(|(why, n)| format!("{why} {n}")).collect();
        let sessions: usize = server.used_by.values().sum();
        vec![
            text(&server.name),
            text(server.connections),
            text(server.running),
            text(sessions),
            (!used.is_empty()).then(|| used.join(", ")),
        ]
    };
    let columns = ["server", "connections", "running", "sessions", "used_by"];
    Answer::table(&columns, servers.iter().map(row).collect())
}

/// SHOW CONFIG
pub fn config(keys: Vec<(String, Value)>) -> Answer {
    let rows = keys.into_iter().map(|(key, value)| vec![Some(key), value]);
    Answer::table(&["key", "value"], rows.collect())
}

/// SHOW ROUTES
pub fn routes(routes: &[(&'static str, &'static str, u64)]) -> Answer {
    let row =
        |(target, reason, count): &(&str, &str, u64)| vec![text(target), text(reason), text(count)];
    Answer::table(&["target", "reason", "statements"], routes.iter().map(row).collect())
}

/// SHOW QUERIES: at most so many. The digest's text comes last, as it is long.
pub fn queries(rows: &[(DigestRow, &'static str)], most: usize) -> Answer {
    const COLUMNS: [&str; 14] = [
        "schema",
        "count",
        "errors",
        "total_ms",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "max_ms",
        "rows",
        "bytes",
        "replica_percent",
        "reason",
        "digest",
        "digest_text",
    ];
    let ms = |nanos: u64| text(format_args!("{:.3}", nanos as f64 / 1e6));
    let row = |(row, reason): &(DigestRow, &'static str)| {
        let is_others = row.text.is_empty();
        let share = row.on_replica as f64 * 100.0 / row.count.max(1) as f64;
        vec![
            (!row.schema.is_empty()).then(|| row.schema.to_string()),
            text(row.count),
            text(row.errors),
            ms(row.nanos),
            ms(row.quantile_nanos(0.5)),
            ms(row.quantile_nanos(0.95)),
            ms(row.quantile_nanos(0.99)),
            ms(row.longest_nanos),
            text(row.rows),
            text(row.bytes),
            text(format_args!("{share:.1}")),
            text(reason),
            (!is_others).then(|| format!("{:016x}", row.fingerprint)),
            text(if is_others { "(all others)" } else { &row.text }),
        ]
    };
    Answer::table(&COLUMNS, rows.iter().take(most).map(row).collect())
}

/// SHOW SLOW: at most so many.
pub fn slow(statements: &[SlowStatement], most: usize) -> Answer {
    const COLUMNS: [&str; 16] = [
        "seconds_ago",
        "session",
        "user",
        "schema",
        "server",
        "reason",
        "attempts",
        "total_ms",
        "wait_ms",
        "queue_ms",
        "sync_ms",
        "server_ms",
        "first_byte_ms",
        "rows",
        "error",
        "statement",
    ];
    let ms = |time: Duration| text(format_args!("{:.3}", time.as_secs_f64() * 1e3));
    let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    let row = |slow: &SlowStatement| {
        let phases = &slow.phases;
        vec![
            text(format_args!("{:.1}", slow.at.elapsed().as_secs_f64())),
            text(slow.session),
            text(&slow.user),
            name(&slow.schema),
            name(&slow.server),
            text(slow.reason),
            text(slow.attempts),
            ms(phases.total),
            ms(phases.wait),
            ms(phases.queue),
            ms(phases.sync),
            ms(phases.server),
            ms(phases.first_byte),
            text(slow.rows),
            yes(slow.is_error),
            text(&slow.text),
        ]
    };
    Answer::table(&COLUMNS, statements.iter().take(most).map(row).collect())
}

/// EXPLAIN ROUTE: a row for each line.
pub fn explanation(lines: &str) -> Answer {
    Answer::table(&["route"], lines.lines().map(|line| vec![text(line)]).collect())
}

/// RELOAD: a row for each change.
pub fn changed(lines: Vec<String>) -> Answer {
    Answer::table(&["changed"], lines.into_iter().map(|line| vec![Some(line)]).collect())
}

/// SHOW SESSIONS
pub fn sessions(sessions: &Sessions) -> Answer {
    const COLUMNS: [&str; 11] = [
        "id",
        "user",
        "client",
        "state",
        "held_by",
        "pinned_by",
        "pinned_until",
        "primary",
        "primary_thread",
        "replica",
        "replica_thread",
    ];
    let rows = sessions.sessions.iter().map(|session| {
        let [primary, replica] = [&session.connections.primary, &session.connections.replica];
        let server = |at: &Option<Connection>| at.as_ref().map(|at| at.server.clone());
        let thread = |at: &Option<Connection>| at.as_ref().and_then(|at| text(at.thread_id));
        vec![
            text(session.id),
            session.user.clone(),
            session.client.and_then(text),
            text(session.state),
            session.held_by.and_then(text),
            session.pinned.as_ref().and_then(|pinned| text(pinned.by)),
            session.pinned.as_ref().map(|pinned| pinned.until.clone()),
            server(primary),
            thread(primary),
            server(replica),
            thread(replica),
        ]
    });
    Answer::table(&COLUMNS, rows.collect())
}
