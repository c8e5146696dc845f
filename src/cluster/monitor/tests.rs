//! The monitor against a server that misbehaves on demand.

#![allow(clippy::unwrap_used)]
use std::sync::atomic::Ordering;

use tokio::time::timeout_at;

use super::super::health::Thresholds;
use super::super::lag::{Lag, NoLag};
use super::super::settings::Server;
use super::super::view::Excluded;
use super::super::{Cluster, ClusterHandle};
use super::fake::{Fake, Mode};
use super::*;
use crate::auth::{Credential, CredentialSecret};
use crate::config::Role;

fn settings(interval_ms: u64) -> Settings {
    Settings {
        credential: Credential {
            user: b"monitor".to_vec(),
            secret: CredentialSecret::Empty,
            client: None,
        },
        password_file: None,
        check_interval: Duration::from_millis(interval_ms),
        min_check_interval: Duration::from_millis(interval_ms.min(20)),
        // Not to be reached by a busy machine; tests of silence take [`impatient`].
        check_timeout: Duration::from_secs(10),
        thresholds: Thresholds { up_after: 2, down_after: 3 },
        max_lag: Duration::from_secs(10),
        lag_tolerance: Duration::from_millis(50),
        zone: None,
        primary_wait: Duration::from_secs(10),
        slow_start: Duration::from_secs(10),
        late_may_serve: false,
        read_native_hashes: false,
    }
}

/// Gives up a silent server soon.
fn impatient() -> Settings {
    Settings { check_timeout: Duration::from_millis(200), ..settings(10) }
}

/// A primary and a replica, both at transaction 5.
struct Lab {
    primary: Fake,
    replica: Fake,
    handle: ClusterHandle,
}

impl Lab {
    async fn start(settings: Settings) -> Lab {
        let (primary, replica) = (Fake::start(5).await, Fake::start(5).await);
        let servers = servers(&primary, &replica);
        let handle = ClusterHandle::start(servers, settings).unwrap();
        Lab { primary, replica, handle }
    }

    async fn ready(settings: Settings) -> Lab {
        let lab = Lab::start(settings).await;
        lab.until("reads", |cluster| cluster.serves_reads(None)).await;
        lab
    }

    /// Waits until the picture is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&Cluster) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut changed = self.handle.changed();
        while !wanted(&self.handle.load()) {
            let woken = timeout_at(deadline, changed.changed()).await;
            assert!(woken.is_ok(), "{what} did not come: {:#?}", self.handle.snapshot());
        }
    }

    async fn until_replica(&self, health: Health) {
        self.until(health.as_str(), |cluster| replica(cluster).status().health == health).await;
    }
}

/// Waits for something that no picture shows.
async fn eventually(what: &str, wanted: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !wanted() {
        assert!(Instant::now() < deadline, "not so: {what}");
        tokio::task::yield_now().await;
    }
}

fn servers(primary: &Fake, replica: &Fake) -> Vec<Server> {
    vec![primary.server("primary", Role::Primary), replica.server("replica", Role::Replica)]
}

fn replica(cluster: &Cluster) -> &Arc<Member> {
    &cluster.replicas()[0]
}

fn lag(cluster: &Cluster) -> Option<Lag> {
    replica(cluster).status().lag
}

#[tokio::test]
async fn a_cluster_comes_up_and_lag_is_measured() {
    let lab = Lab::start(settings(10)).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let facts = lab.handle.primary_facts(deadline).await.unwrap();
    assert_eq!((facts.version.as_slice(), facts.charset), (&b"9.7.0-fake"[..], 255));
    let caught_up = Some(Lag::Known { lag: Duration::ZERO, frozen: false });
    lab.until("lag 0", |cluster| lag(cluster) == caught_up).await;
    lab.primary.commit(6);
    let lagging = |cluster: &Cluster| {
        lag(cluster).and_then(Lag::known).is_some_and(|lag| lag > Duration::from_millis(100))
    };
    lab.until("lag", lagging).await;
    lab.replica.commit(6);
    lab.until("lag 0 again", |cluster| lag(cluster) == caught_up).await;
    assert_eq!(lab.replica.logins(), 1, "one connection for all probes");
}

#[tokio::test]
async fn nobody_greets_for_a_primary_that_never_answered() {
    let primary = Fake::start(5).await;
    primary.set(Mode::Hang);
    let servers = vec![primary.server("primary", Role::Primary)];
    let handle = ClusterHandle::start(servers, settings(10)).unwrap();
    let deadline = Instant::now() + Duration::from_millis(50);
    assert!(handle.primary_facts(deadline).await.is_none());
}

#[tokio::test]
async fn a_denied_replica_is_not_dead() {
    let lab = Lab::start(settings(10)).await;
    lab.replica.set(Mode::Refuse(1045));
    lab.replica.kill_connections();
    lab.until_replica(Health::Denied).await;
    let member = Arc::clone(replica(&lab.handle.load()));
    let error = member.status().last_error.clone().unwrap();
    assert!(error.contains("as told"), "{error}");
    assert!(member.counters().probe_failures.load(Ordering::Relaxed) >= 1);
    lab.replica.set(Mode::Good);
    lab.until("reads", |cluster| cluster.serves_reads(None)).await;
    assert_eq!(member.status().last_error, None);
}

#[tokio::test]
async fn a_denied_primary_stays_in_use_and_reads_stop_at_max_lag() {
    let lab = Lab::start(Settings { max_lag: Duration::from_millis(500), ..impatient() }).await;
    lab.until("reads", |cluster| cluster.serves_reads(None)).await;
    lab.primary.set(Mode::Refuse(1045));
    lab.primary.kill_connections();
    lab.until("no reads", |cluster| !cluster.serves_reads(None)).await;
    let cluster = lab.handle.snapshot();
    assert!(matches!(cluster.excluded(replica(&cluster)), Some(Excluded::OverMaxLag(_))));
    assert_eq!(cluster.primary().status().health, Health::Denied);
    assert!(cluster.primary().status().health.may_be_alive());
    lab.primary.set(Mode::Good);
    lab.until("reads", |cluster| cluster.serves_reads(None)).await;
}

#[tokio::test]
async fn a_dead_primary_freezes_lag_and_reads_go_on() {
    let lab = Lab::ready(impatient()).await;
    lab.primary.set(Mode::Hang);
    lab.until("down", |cluster| cluster.primary().status().health == Health::Down).await;
    let frozen = Some(Lag::Known { lag: Duration::ZERO, frozen: true });
    lab.until("frozen", |cluster| lag(cluster) == frozen && cluster.serves_reads(None)).await;
    lab.primary.set(Mode::Good);
    lab.until("up", |cluster| cluster.primary().status().health == Health::Up).await;
}

#[tokio::test]
async fn a_hanging_replica_goes_down_and_comes_back() {
    let lab = Lab::ready(impatient()).await;
    lab.replica.set(Mode::Hang);
    lab.until_replica(Health::Down).await;
    assert!(!lab.handle.load().serves_reads(None));
    assert_eq!(lag(&lab.handle.load()), Some(Lag::Unknown(NoLag::ReplicaNotProbed)));
    lab.replica.set(Mode::Good);
    lab.until("reads", |cluster| cluster.serves_reads(None)).await;
}

#[tokio::test]
async fn lag_grows_while_a_probe_hangs() {
    let lab = Lab::ready(settings(10)).await;
    lab.replica.set(Mode::Hang);
    lab.primary.commit(6);
    // Seen before the probe's deadline has made the replica suspect.
    lab.until("lag", |cluster| {
        let status = replica(cluster).status();
        status.health == Health::Up
            && status.lag != Some(Lag::Known { lag: Duration::ZERO, frozen: false })
    })
    .await;
}

#[tokio::test]
async fn a_killed_connection_is_replaced_unnoticed() {
    let lab = Lab::ready(settings(10)).await;
    let cluster = lab.handle.snapshot();
    let counters = replica(&cluster).counters();
    let logins = lab.replica.logins();
    for round in 1..=3 {
        lab.replica.kill_connections();
        lab.until("a new login", |_| lab.replica.logins() >= logins + round).await;
        // A connection that is cut before its first answer is a failed probe, and rightly so.
        let probes = counters.probes.load(Ordering::Relaxed);
        lab.until("an answer", |_| counters.probes.load(Ordering::Relaxed) > probes).await;
    }
    assert_eq!(counters.probe_failures.load(Ordering::Relaxed), 0);
    assert!(counters.probes.load(Ordering::Relaxed) >= 3);
}

#[tokio::test]
async fn a_question_that_is_not_understood_leaves_a_server_up_without_a_position() {
    let lab = Lab::ready(settings(10)).await;
    lab.replica.set(Mode::RefuseQuestion(1193));
    let unknown = Some(Lag::Unknown(NoLag::ReplicaHasNoPosition));
    lab.until("no position", |cluster| lag(cluster) == unknown).await;
    assert_eq!(replica(&lab.handle.load()).status().health, Health::Up);
    lab.replica.set(Mode::RefuseQuestion(1227));
    lab.until_replica(Health::Denied).await;
}

#[tokio::test]
async fn a_further_question_that_hangs_leaves_a_server_up() {
    let lab = Lab::ready(impatient()).await;
    lab.replica.set(Mode::HangAtShow);
    let refused = |cluster: &Cluster| replica(cluster).status().refused.clone();
    lab.until("a refusal", |cluster| refused(cluster).is_some()).await;
    let logins = lab.replica.logins();
    lab.until("a new connection", |_| lab.replica.logins() > logins + 1).await;
    let status = replica(&lab.handle.load()).status();
    assert_eq!(status.health, Health::Up, "{:?}", status.last_error);
    assert_eq!(status.refused.as_deref(), Some("SHOW REPLICA STATUS was not answered in time"));
    assert_eq!(status.lag, Some(Lag::Unknown(NoLag::ReplicaHasNoPosition)));
    lab.replica.set(Mode::Good);
    lab.until("reads", |cluster| cluster.serves_reads(None)).await;
}

/// With an interval of a minute, whatever happens is the report's doing.
#[tokio::test]
async fn a_sessions_report_makes_the_monitor_look_at_once() {
    let lab = Lab::start(settings(60_000)).await;
    lab.until_replica(Health::Up).await;
    let member = Arc::clone(replica(&lab.handle.load()));
    member.report_failure(SessionFailure::Connect);
    lab.until("a new login", |_| lab.replica.logins() == 2).await;
    lab.until_replica(Health::Up).await;
    eventually("the old connection is left politely", || lab.replica.quits() == 1).await;
    let probes = member.counters().probes.load(Ordering::Relaxed);
    member.report_failure(SessionFailure::Lost);
    let more = |_: &Cluster| member.counters().probes.load(Ordering::Relaxed) > probes;
    lab.until("a probe", more).await;
    assert_eq!(lab.replica.logins(), 2);
    // Many reports at once neither wait nor lead to many probes.
    let probes = member.counters().probes.load(Ordering::Relaxed);
    for _ in 0..10_000 {
        member.report_failure(SessionFailure::Connect);
    }
    lab.until("a new login", |_| lab.replica.logins() >= 3).await;
    lab.until_replica(Health::Up).await;
    assert!(member.counters().probes.load(Ordering::Relaxed) <= probes + 3);
    assert_eq!(member.counters().session_failures.load(Ordering::Relaxed), 10_002);
}

/// A server without free connections refuses sessions; the monitor keeps the one it has.
#[tokio::test]
async fn a_full_server_stays_up_for_the_monitor() {
    let lab = Lab::ready(settings(10)).await;
    lab.replica.set(Mode::Refuse(1040));
    let member = Arc::clone(replica(&lab.handle.load()));
    let probes = member.counters().probes.load(Ordering::Relaxed);
    member.report_failure(SessionFailure::Connect);
    let more = |cluster: &Cluster| {
        member.counters().probes.load(Ordering::Relaxed) > probes + 3 && cluster.serves_reads(None)
    };
    lab.until("more probes", more).await;
    assert_eq!(member.status().health, Health::Up);
    assert_eq!((lab.replica.logins(), lab.replica.quits()), (1, 0));
    assert_eq!(member.counters().probe_failures.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_reload_starts_and_stops_monitors() {
    let lab = Lab::ready(settings(60_000)).await;
    let other = Fake::start(5).await;
    let applied = lab.handle.apply(servers(&lab.primary, &other), settings(60_000)).unwrap();
    assert_eq!((applied.added.len(), applied.removed.len(), applied.kept.len()), (1, 1, 1));
    lab.until("reads", |cluster| cluster.serves_reads(None)).await;
    assert!(other.logins() >= 1);
    eventually("the monitor of the removed server ends", || lab.replica.quits() == 1).await;
    // Everything ends with the handle.
    let Lab { primary, handle, .. } = lab;
    drop(handle);
    eventually("all monitors end", || primary.quits() == 1 && other.quits() == 1).await;
}

#[test]
fn delays() {
    let interval = Duration::from_millis(250);
    for (what, reports, health, expected) in [
        ("good", &[None][..], Health::Up, 250),
        ("on the way down", &[Some(Report::Failed); 2], Health::Suspect, 250),
        ("down", &[Some(Report::Failed)], Health::Down, 250),
        ("down for longer", &[Some(Report::Failed); 3], Health::Down, 1000),
        ("down for very long", &[Some(Report::Failed); 100], Health::Down, 1000),
        ("coming back", &[Some(Report::Failed), None], Health::Down, 250),
        ("busy", &[Some(Report::Busy); 2], Health::Up, 500),
        ("denied", &[Some(Report::Denied); 3], Health::Denied, 1000),
        ("denied for long", &[Some(Report::Denied); 30], Health::Denied, 5000),
        ("not the same", &[Some(Report::Denied), Some(Report::Failed)], Health::Denied, 250),
    ] {
        let mut streak = Streak::default();
        reports.iter().for_each(|report| streak.add(*report));
        assert_eq!(streak.delay(health, interval), Duration::from_millis(expected), "{what}");
    }
    let slow = Duration::from_secs(60);
    let streak = Streak { report: Some(Report::Failed), length: 9 };
    assert_eq!(streak.delay(Health::Down, slow), slow, "never faster than asked for");
}
