//! What is counted is exported, completely and only once.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::catalogue::ALL;
use super::*;

const LABELS: LabelSets = LabelSets {
    targets: &["primary", "replica"],
    reasons: &["read", "write", "unknown"],
    commands: &["query", "ping"],
    pin_causes: &["write", "call"],
    holds: &["transaction"],
    reject_causes: &["max_clients"],
    error_kinds: &["connect", "protocol"],
};

fn metrics(workers: usize) -> Arc<Metrics> {
    Metrics::new(LABELS, workers, "1.2.3", UNIX_EPOCH + Duration::from_millis(1_500)).unwrap()
}

struct Fixed(Vec<ServerSample>);

impl ServerSource for Fixed {
    fn servers(&self) -> Vec<ServerSample> {
        self.0.clone()
    }

    fn primary(&self) -> PrimarySample {
        PrimarySample {
            waiting: 4,
            holds: &["down", "read_only"],
            held: Some("down"),
            changes: 2,
            rivals: 1,
        }
    }

    fn max_lag(&self) -> Duration {
        Duration::from_millis(2_500)
    }

    fn waiting_reads(&self) -> u64 {
        3
    }

    fn health_states(&self) -> &'static [&'static str] {
        &["up", "down"]
    }

    fn lag_forms(&self) -> &'static [&'static str] {
        &["measured", "unknown"]
    }
}

fn sample(name: &str, role: Role) -> ServerSample {
    ServerSample {
        name: name.to_owned(),
        role,
        up: true,
        lag: None,
        lag_form: None,
        errant: false,
        drained: false,
        health: "up",
        eligible: true,
        outstanding: 3,
        connections: 5,
        idle: 2,
        max_connections: 8,
        waiting: 4,
        circuit_open: false,
        checkouts: vec![("own", 11), ("timeout", 1)],
        connects: 12,
        connect_failures: 6,
        handed_on: 9,
        probes: 70,
        probe_failures: 7,
    }
}

/// The scrape after `act` has every line of `expected`, and no line that starts with one of
/// `absent`.
fn check(act: impl FnOnce(&Arc<Metrics>), expected: &[&str], absent: &[&str]) {
    let metrics = metrics(2);
    act(&metrics);
    let text = metrics.render().unwrap();
    let lines: BTreeSet<&str> = text.lines().collect();
    for line in expected {
        assert!(lines.contains(line), "no line {line:?} in\n{text}");
    }
    for start in absent {
        assert!(!lines.iter().any(|line| line.starts_with(start)), "{start:?} in\n{text}");
    }
}

#[test]
fn a_fresh_process_exports_zeros_for_lists_and_nothing_for_products() {
    check(
        |_| {},
        &[
            "lagwise_sessions 0",
            "lagwise_sessions_total 0",
            "lagwise_logins_total{result=\"timeout\"} 0",
            "lagwise_commands_total{command=\"ping\"} 0",
            "lagwise_clients_rejected_total{cause=\"max_clients\"} 0",
            "lagwise_pins_total{cause=\"call\"} 0",
            "lagwise_bytes_total{direction=\"to_server\"} 0",
            "lagwise_read_retries_total 0",
            "lagwise_reloads_total{result=\"error\"} 0",
            "lagwise_config_last_reload_success_timestamp_seconds 1.5",
            "lagwise_config_last_reload_successful 1",
            "process_start_time_seconds 1.5",
            "lagwise_proxy_seconds_count 0",
            "lagwise_server_seconds_bucket{role=\"replica\",le=\"+Inf\"} 0",
        ],
        &[
            "lagwise_queries_total{",
            "lagwise_errors_total{",
            "lagwise_server_up",
            "lagwise_commands_total{command=\"other\"",
        ],
    );
}

#[test]
fn each_counter_reaches_its_own_series() {
    check(
        |metrics| {
            let (a, b) = (metrics.worker(0), metrics.worker(1));
            a.query(1, 0);
            b.query(1, 0);
            a.query(0, 2);
            b.command(1);
            a.login(LoginResult::Denied);
            a.client_rejected(0);
            a.error(Side::Server, 1);
            b.error(Side::Proxy, 0);
            a.bytes(Direction::ToClient, 1000);
            b.bytes(Direction::ToClient, 24);
            a.read_retried();
            (0..3).for_each(|_| b.function_refused());
            metrics.reload_succeeded(UNIX_EPOCH + Duration::from_secs(9));
            metrics.reload_failed();
            metrics.reload_failed();
        },
        &[
            "lagwise_queries_total{target=\"replica\",reason=\"read\"} 2",
            "lagwise_function_refusals_total 3",
            "lagwise_queries_total{target=\"primary\",reason=\"unknown\"} 1",
            "lagwise_commands_total{command=\"ping\"} 1",
            "lagwise_commands_total{command=\"query\"} 0",
            "lagwise_logins_total{result=\"denied\"} 1",
            "lagwise_logins_total{result=\"ok\"} 0",
            "lagwise_clients_rejected_total{cause=\"max_clients\"} 1",
            "lagwise_errors_total{side=\"server\",kind=\"protocol\"} 1",
            "lagwise_errors_total{side=\"proxy\",kind=\"connect\"} 1",
            "lagwise_bytes_total{direction=\"to_client\"} 1024",
            "lagwise_bytes_total{direction=\"from_client\"} 0",
            "lagwise_read_retries_total 1",
            "lagwise_reloads_total{result=\"ok\"} 1",
            "lagwise_reloads_total{result=\"error\"} 2",
            "lagwise_config_last_reload_success_timestamp_seconds 9",
            "lagwise_config_last_reload_successful 0",
        ],
        &[
            "lagwise_queries_total{target=\"primary\",reason=\"read\"",
            "lagwise_errors_total{side=\"client\"",
        ],
    );
}

#[test]
fn an_index_outside_its_list_counts_as_other() {
    check(
        |metrics| {
            let worker = metrics.local();
            worker.query(usize::MAX, 1);
            worker.query(0, 3);
            worker.query(0, usize::MAX);
            worker.command(2);
            worker.error(Side::Client, 99);
        },
        &[
            "lagwise_queries_total{target=\"other\",reason=\"write\"} 1",
            "lagwise_queries_total{target=\"primary\",reason=\"other\"} 2",
            "lagwise_commands_total{command=\"other\"} 1",
            "lagwise_errors_total{side=\"client\",kind=\"other\"} 1",
            "lagwise_pins_total{cause=\"write\"} 0",
        ],
        &["lagwise_errors_total{side=\"server\""],
    );
}

#[test]
fn guards_count_down_on_any_thread() {
    let metrics = metrics(4);
    let (session, gone, pin) = (metrics.session(), metrics.session(), metrics.pin(1));
    let released = metrics.pin(0);
    std::thread::spawn(move || drop((gone, released))).join().unwrap();
    let text = metrics.render().unwrap();
    for line in [
        "lagwise_sessions 1",
        "lagwise_sessions_total 2",
        "lagwise_pinned_sessions 1",
        "lagwise_pins_total{cause=\"call\"} 1",
        "lagwise_pins_total{cause=\"write\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    drop((session, pin));
    let text = metrics.render().unwrap();
    assert!(
        text.contains("\nlagwise_sessions 0\n") && text.contains("\nlagwise_pinned_sessions 0\n")
    );
}

#[test]
fn histograms_are_cumulative_with_sum_and_count() {
    check(
        |metrics| {
            metrics.worker(0).proxy_time(1_024);
            metrics.worker(1).proxy_time(1_500);
            metrics.worker(0).proxy_time(u64::from(u32::MAX) * 8);
            metrics.worker(0).server_time(Role::Replica, 2_000_000_000);
        },
        &[
            "lagwise_proxy_seconds_bucket{le=\"0.000001024\"} 1",
            "lagwise_proxy_seconds_bucket{le=\"0.000001536\"} 2",
            "lagwise_proxy_seconds_bucket{le=\"17.179869184\"} 2",
            "lagwise_proxy_seconds_bucket{le=\"+Inf\"} 3",
            "lagwise_proxy_seconds_count 3",
            "lagwise_server_seconds_sum{role=\"replica\"} 2",
            "lagwise_server_seconds_bucket{role=\"replica\",le=\"1.610612736\"} 0",
            "lagwise_server_seconds_bucket{role=\"replica\",le=\"2.147483648\"} 1",
            "lagwise_server_seconds_count{role=\"primary\"} 0",
        ],
        &[],
    );
}

#[test]
fn servers_come_from_the_source_once_per_name() {
    check(
        |metrics| {
            let lagging = ServerSample {
                lag: Some(Duration::from_millis(1_250)),
                lag_form: Some("measured"),
                errant: true,
                up: false,
                health: "odd",
                eligible: false,
                ..sample("r\"1", Role::Replica)
            };
            let twice = ServerSample { connections: 99, ..sample("p", Role::Replica) };
            metrics.set_servers(Arc::new(Fixed(vec![sample("p", Role::Primary), lagging, twice])));
        },
        &[
            "lagwise_server_role{server=\"p\",role=\"primary\"} 1",
            "lagwise_server_role{server=\"p\",role=\"replica\"} 0",
            "lagwise_server_up{server=\"p\"} 1",
            "lagwise_server_up{server=\"r\\\"1\"} 0",
            "lagwise_server_lag_seconds{server=\"r\\\"1\"} 1.25",
            "lagwise_server_lag_form{server=\"r\\\"1\",form=\"measured\"} 1",
            "lagwise_server_lag_form{server=\"r\\\"1\",form=\"unknown\"} 0",
            "lagwise_server_errant{server=\"r\\\"1\"} 1",
            "lagwise_server_health{server=\"p\",state=\"up\"} 1",
            "lagwise_server_health{server=\"p\",state=\"down\"} 0",
            "lagwise_server_health{server=\"r\\\"1\",state=\"odd\"} 1",
            "lagwise_server_health{server=\"r\\\"1\",state=\"up\"} 0",
            "lagwise_server_eligible{server=\"p\"} 1",
            "lagwise_server_eligible{server=\"r\\\"1\"} 0",
            "lagwise_server_outstanding{server=\"p\"} 3",
            "lagwise_server_connections{server=\"p\"} 5",
            "lagwise_server_idle_connections{server=\"p\"} 2",
            "lagwise_server_max_connections{server=\"p\"} 8",
            "lagwise_max_lag_seconds 2.5",
            "lagwise_server_waiting{server=\"p\"} 4",
            "lagwise_server_circuit_open{server=\"p\"} 0",
            "lagwise_checkouts_total{server=\"p\",outcome=\"own\"} 11",
            "lagwise_checkouts_total{server=\"p\",outcome=\"timeout\"} 1",
            "lagwise_connects_total{server=\"p\"} 12",
            "lagwise_connect_failures_total{server=\"p\"} 6",
            "lagwise_connections_handed_on_total{server=\"p\"} 9",
            "lagwise_probes_total{server=\"p\"} 70",
            "lagwise_probe_failures_total{server=\"p\"} 7",
        ],
        &["lagwise_server_lag_seconds{server=\"p\"", "lagwise_server_connections{server=\"p\"} 99"],
    );
}

#[test]
fn certificates_are_those_of_the_last_configuration() {
    let sample = |server: Option<&str>, seconds| CertificateSample {
        server: server.map(str::to_owned),
        expiry: UNIX_EPOCH + Duration::from_secs(seconds),
    };
    check(
        |metrics| {
            metrics.set_certificates(vec![sample(Some("gone"), 1)]);
            metrics.set_certificates(vec![sample(None, 2), sample(Some("r"), 3)]);
        },
        &[
            "lagwise_certificate_expiry_timestamp_seconds{shown_to=\"clients\",server=\"\"} 2",
            "lagwise_certificate_expiry_timestamp_seconds{shown_to=\"server\",server=\"r\"} 3",
        ],
        &["lagwise_certificate_expiry_timestamp_seconds{shown_to=\"server\",server=\"gone\"}"],
    );
}

#[test]
fn no_count_is_lost_between_threads() {
    const EACH: usize = 200_000;
    let metrics = metrics(1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..EACH).for_each(|_| metrics.local().command(0)));
        }
    });
    let line = format!("lagwise_commands_total{{command=\"query\"}} {}\n", 4 * EACH);
    assert!(metrics.render().unwrap().contains(&line));
}

/// Every counter has a place of its own, and all places are within the array.
#[test]
fn no_two_counters_share_a_slot() {
    let layout = worker::Layout::new(&LABELS);
    let range = |count: usize| 0..count;
    let pairs = |a: usize, b: usize| (0..a).flat_map(move |a| (0..b).map(move |b| (a, b)));
    let histogram = |first: usize| first..first + worker::HISTOGRAM_LEN;
    let mut slots = vec![
        worker::SESSIONS_STARTED,
        worker::SESSIONS_ENDED,
        worker::PINS_STARTED,
        worker::PINS_ENDED,
        worker::READ_RETRIES,
        worker::BAD_HINTS,
        worker::LOGINS_REMEMBERED,
        worker::LOGINS_DELAYED,
        worker::SETS_REMEMBERED,
        worker::FUNCTION_REFUSALS,
    ];
    slots.extend(range(LoginResult::NAMES.len()).map(|i| layout.login(i)));
    slots.extend(range(WaitOutcome::NAMES.len()).map(|i| worker::READ_WAITS + i));
    slots.extend(range(PrimaryWait::NAMES.len()).map(|i| worker::PRIMARY_WAITS + i));
    slots.extend(range(Abandoned::NAMES.len()).map(|i| layout.abandoned(i)));
    slots.extend(range(PrepareBy::NAMES.len()).map(|i| layout.prepare(i)));
    slots.extend(range(Direction::NAMES.len()).map(|i| layout.bytes(i)));
    slots.extend(range(layout.commands).map(|i| layout.command(i)));
    slots.extend(range(layout.pin_causes).map(|i| layout.pin(i)));
    slots.extend(range(layout.holds).flat_map(|i| [layout.hold(i), layout.hold_end(i)]));
    slots.extend(range(layout.reject_causes).map(|i| layout.rejected(i)));
    slots.extend(pairs(Side::NAMES.len(), layout.error_kinds).map(|(a, b)| layout.error(a, b)));
    slots.extend(pairs(layout.targets, layout.reasons).map(|(a, b)| layout.query(a, b)));
    slots.extend(histogram(layout.proxy_seconds()));
    slots.extend(range(Role::NAMES.len()).flat_map(|i| histogram(layout.server_seconds(i))));
    slots.sort_unstable();
    assert_eq!(slots, range(layout.len()).collect::<Vec<_>>());
}

/// Name to type of every family in the scrape of a `Metrics` where everything has a value.
fn scraped() -> BTreeMap<String, String> {
    let metrics = metrics(1);
    metrics.local().query(0, 0);
    metrics.local().error(Side::Client, 0);
    metrics.set_rules(["r"].into_iter());
    metrics.set_certificates(vec![CertificateSample { server: None, expiry: UNIX_EPOCH }]);
    let replica = ServerSample {
        lag: Some(Duration::ZERO),
        lag_form: Some("measured"),
        ..sample("r", Role::Replica)
    };
    metrics.set_servers(Arc::new(Fixed(vec![replica])));
    let text = metrics.render().unwrap();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

#[test]
fn the_scrape_is_exactly_the_catalogue() {
    let listed: BTreeMap<_, _> =
        ALL.iter().map(|f| (f.name.to_owned(), f.kind.as_str().to_owned())).collect();
    assert_eq!(listed.len(), ALL.len(), "a name is listed twice");
    assert_eq!(scraped(), listed);
}

#[test]
fn names_follow_the_conventions() {
    for family in ALL {
        let name = family.name;
        let counter = family.kind == catalogue::Kind::Counter;
        assert_eq!(name.ends_with("_total"), counter, "{name}");
        assert!(name.starts_with("lagwise_") || name.starts_with("process_"), "{name}");
        assert!(!["_ms", "_millis", "_us"].iter().any(|unit| name.contains(unit)), "{name}");
        assert!(family.help.ends_with('.') && family.help.len() > 15, "{name}: {}", family.help);
        // Read alone, as a tooltip.
        assert!(!["Those", "The same"].iter().any(|it| family.help.starts_with(it)), "{name}");
    }
}

/// A row of the table in the documentation: `` | `name` | type | `label`, `label` | meaning | ``.
fn documented() -> BTreeMap<String, (String, Vec<String>)> {
    let plain = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let text = include_str!("../../docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        assert!(cells.len() == 6 && !cells[4].trim().is_empty(), "{row}");
        let labels = cells[3].split(',').map(plain).filter(|label| !label.is_empty()).collect();
        (plain(cells[1]), (plain(cells[2]), labels))
    })
    .collect()
}

#[test]
fn the_documentation_lists_every_metric_and_no_other() {
    let catalogue: BTreeMap<_, _> = ALL
        .iter()
        .map(|f| {
            let labels = f.labels.iter().map(|label| (*label).to_owned()).collect();
            (f.name.to_owned(), (f.kind.as_str().to_owned(), labels))
        })
        .collect();
    assert_eq!(documented(), catalogue);
}

#[test]
fn a_clock_before_1970_is_no_panic() {
    let before = UNIX_EPOCH - Duration::from_secs(1);
    let metrics = Metrics::new(LABELS, 0, "1", before).unwrap();
    metrics.reload_succeeded(SystemTime::now());
    assert!(metrics.render().unwrap().contains("process_start_time_seconds 0\n"));
}
