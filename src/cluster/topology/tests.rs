//! Configurations and observations, and the picture that is published of them.

#![allow(clippy::unwrap_used)]
use std::time::Duration;

use super::super::health::{Health, Report};
use super::super::position::Flavor;
use super::super::probe::{Answer, read_answer};
use super::super::view::Wish;
use super::*;
use crate::auth::{Credential, CredentialSecret};
use crate::backend::Endpoint;
use crate::config::{ServerAddress, ServerConfig};
use crate::pool::Limits;

const BI: Wish<'_> = Wish { tag: Some("bi"), max_lag: None };
const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

pub(crate) fn settings() -> Settings {
    Settings {
        credential: Credential {
            user: b"monitor".to_vec(),
            secret: CredentialSecret::Empty,
            client: None,
        },
        password_file: None,
        check_interval: Duration::from_millis(250),
        min_check_interval: Duration::from_millis(20),
        check_timeout: Duration::from_secs(1),
        read_native_hashes: false,
        thresholds: Thresholds { up_after: 2, down_after: 3 },
        max_lag: Duration::from_secs(10),
        lag_tolerance: Duration::from_millis(100),
        zone: None,
        primary_wait: Duration::from_secs(10),
        slow_start: Duration::from_secs(10),
        late_may_serve: false,
    }
}

/// A server on a port of its own; its name is `server-PORT` unless `change` says otherwise.
fn server(port: u16, role: Role, change: impl FnOnce(&mut ServerConfig)) -> Server {
    let address = ServerAddress::Tcp { host: "127.0.0.1".into(), port };
    let endpoint = Endpoint {
        address: address.clone(),
        tls: None,
        dead_after: Duration::from_secs(3),
        proxy_protocol: false,
    };
    let mut config = ServerConfig::new(address, role);
    config.name = format!("server-{port}");
    change(&mut config);
    Server { config, endpoint, limits: Limits::default() }
}

fn primary(port: u16) -> Server {
    server(port, Role::Primary, |_| {})
}

fn replica(port: u16) -> Server {
    server(port, Role::Replica, |_| {})
}

/// A topology with the trackers that monitors would own.
struct Lab {
    topology: Topology,
    trackers: Vec<(Arc<Member>, Tracker)>,
    start: Instant,
    now: Instant,
}

impl Lab {
    fn new(servers: Vec<Server>) -> Lab {
        let start = Instant::now();
        let (topology, new) = Topology::new(servers, &settings(), start).unwrap();
        let mut lab = Lab { topology, trackers: Vec::new(), start, now: start };
        lab.watch(new);
        lab
    }

    fn watch(&mut self, new: Vec<NewMember>) {
        for (member, _) in new {
            let tracker = Tracker::new(member.config().role, self.now);
            self.trackers.push((member, tracker));
        }
    }

    fn at(&mut self, ms: u64) -> &mut Lab {
        self.now = self.start + Duration::from_millis(ms);
        self
    }

    fn apply(&mut self, servers: Vec<Server>) -> Applied {
        let (applied, new) = self.topology.apply(servers, &settings(), self.now).unwrap();
        self.watch(new);
        applied
    }

    fn event(&mut self, name: &str, event: Event) -> (Vec<Note>, Vec<String>) {
        let (member, tracker) = self
            .trackers
            .iter_mut()
            .find(|(member, _)| member.config().name == name && !member.is_removed())
            .unwrap();
        let Changes { notes, reads: changes, .. } =
            self.topology.observe(member, tracker, event, self.now);
        let describe = |change: &ReadsChanged| {
            let reason = change.excluded.map_or("takes reads".into(), |reason| reason.to_string());
            format!("{}: {reason}, {}", change.member.config().name, change.any_left)
        };
        (notes, changes.iter().map(describe).collect())
    }

    /// The server has transactions 1 to `last`; what changed about reads.
    fn answers(&mut self, name: &str, last: u64) -> Vec<String> {
        self.says(name, "0", last)
    }

    /// The same of one that is read-only.
    fn answers_read_only(&mut self, name: &str, last: u64) -> Vec<String> {
        self.says(name, "1", last)
    }

    fn says(&mut self, name: &str, read_only: &str, last: u64) -> Vec<String> {
        let columns = ["", read_only, read_only, "ON", &format!("{UUID}:1-{last}"), UUID];
        let row = columns.iter().map(|text| Some(text.as_bytes().to_vec())).collect();
        let state = read_answer(Flavor::MySql, &[row]);
        let answer = Answer { sent_at: self.now, answered_at: self.now, state };
        self.event(name, Event::Answered(answer)).1
    }

    fn primary_position(&self) -> Option<String> {
        let status = self.topology.load().primary().status();
        status.position.as_ref().map(ToString::to_string)
    }

    /// The servers among the best, by name, and their weights.
    fn weights(&self) -> Vec<(String, u32)> {
        let cluster = self.topology.load();
        let name = |index: usize| cluster.replicas()[index].config().name.clone();
        let members = &cluster.candidates().group(None).unwrap().members;
        let mut weights: Vec<_> = members.iter().map(|it| (name(it.index), it.weight)).collect();
        weights.sort();
        weights
    }

    fn chosen(&self) -> Option<String> {
        let cluster = self.topology.load();
        cluster.choose(Wish::default(), 7, |_| true).map(|member| member.config().name.clone())
    }
}

#[test]
fn replicas_take_reads_once_their_lag_is_known() {
    let mut lab = Lab::new(vec![primary(1), replica(2), replica(3)]);
    assert_eq!(lab.chosen(), None);
    assert_eq!(lab.primary_position(), None);
    lab.at(100);
    assert_eq!(lab.answers("server-2", 5), [""; 0]);
    // The primary's first sample is all that was missing.
    assert_eq!(lab.answers("server-1", 5), ["server-2: takes reads, true"]);
    assert_eq!(lab.primary_position(), Some(format!("{UUID}:1-5")));
    assert_eq!(lab.chosen().as_deref(), Some("server-2"));
    assert_eq!(lab.answers("server-3", 4), [""; 0], "it lacks what was there before");
    assert_eq!(lab.answers("server-3", 5), ["server-3: takes reads, true"]);

    // A lagging replica is left alone, and the last one to fail leaves reads to the primary.
    lab.at(400).answers("server-1", 6);
    lab.at(600).answers("server-3", 6);
    assert_eq!(lab.answers("server-2", 5), [""; 0]);
    let cluster = lab.topology.snapshot();
    assert_eq!(cluster.candidates().group(None).unwrap().spare[0].index, 0);
    let failed = Event::NotAnswered(Report::Failed, "cause".into());
    let (_, changes) = lab.event("server-2", failed.clone());
    assert_eq!(changes, ["server-2: suspect, true"]);
    let (_, changes) = lab.event("server-3", failed);
    assert_eq!(changes, ["server-3: suspect, false"]);
    assert_eq!(lab.chosen(), None);
    assert!(!lab.topology.load().serves_reads(None));
    // The picture that somebody kept has not changed.
    assert!(cluster.serves_reads(None));
}

#[test]
fn a_silent_monitor_takes_its_replica_out() {
    let mut lab = Lab::new(vec![primary(1), replica(2), replica(3)]);
    for name in ["server-1", "server-2", "server-3"] {
        lab.answers(name, 5);
    }
    lab.at(1000).answers("server-1", 5);
    // fresh_for is two intervals and a timeout: 1.5 s.
    assert_eq!(lab.at(1500).answers("server-2", 5), [""; 0]);
    assert_eq!(
        lab.at(1501).answers("server-2", 5),
        ["server-3: its last good probe is too old, true"]
    );
    assert!(matches!(
        lab.topology.load().excluded(&lab.trackers[2].0),
        Some(Excluded::ProbeTooOld)
    ));
}

#[test]
fn the_choice_knows_the_load_and_the_callers_wishes() {
    let mut lab = Lab::new(vec![primary(1), replica(2), replica(3)]);
    for name in ["server-1", "server-2", "server-3"] {
        lab.answers(name, 5);
    }
    let cluster = lab.topology.snapshot();
    let [second, third] = cluster.replicas() else { unreachable!() };
    let busy = second.begin_query();
    assert_eq!(second.outstanding(), 1);
    for random in 0..20 {
        let chosen = cluster.choose(Wish::default(), random, |_| true).unwrap();
        assert!(Arc::ptr_eq(chosen, third));
        let chosen =
            cluster.choose(Wish::default(), random, |member| std::ptr::eq(member, &**second));
        assert!(Arc::ptr_eq(chosen.unwrap(), second));
    }
    drop(busy);
    assert_eq!(second.outstanding(), 0);
    assert!(cluster.choose(BI, 0, |_| true).is_none());
    assert!(cluster.choose(Wish::default(), 0, |_| false).is_none());
}

#[test]
fn a_reload_keeps_what_stays_the_same() {
    let mut lab = Lab::new(vec![primary(1), replica(2), replica(3)]);
    for name in ["server-1", "server-2", "server-3"] {
        lab.answers(name, 5);
    }
    let before = lab.topology.snapshot();
    let mut changed = lab.topology.changed();
    changed.mark_unchanged();
    let heavier = server(2, Role::Replica, |config| {
        config.weight = 7;
        config.tags = vec!["bi".into()];
        config.max_connections = 3;
    });
    let applied = lab.apply(vec![primary(1), heavier, replica(4)]);
    assert_eq!(applied.added, ["server-4"]);
    assert_eq!(applied.removed, ["server-3"]);
    assert_eq!(applied.kept, ["server-1", "server-2"]);
    assert!(changed.has_changed().unwrap());
    let after = lab.topology.snapshot();
    assert!(Arc::ptr_eq(before.primary(), after.primary()));
    assert!(Arc::ptr_eq(&before.replicas()[0], &after.replicas()[0]));
    assert_eq!(after.replicas()[0].status().health, Health::Up);
    assert_eq!(after.replicas()[0].config().weight, 7);
    // In use at once, under its new tag.
    assert!(after.choose(BI, 0, |_| true).is_some());
    assert!(after.choose(Wish::default(), 0, |_| true).is_none());
    assert!(before.replicas()[1].is_removed());
    assert!(*before.replicas()[1].removal().borrow());
    assert_eq!(after.replicas()[1].status().health, Health::Starting);
    // What the monitor of a removed server still observes is dropped.
    let (member, tracker) = &mut lab.trackers[2];
    let event = Event::NotAnswered(Report::Denied, "late".into());
    let Changes { notes, reads: changes, .. } =
        lab.topology.observe(member, tracker, event, lab.now);
    assert!(notes.is_empty() && changes.is_empty());
    assert_eq!(member.status().health, Health::Up);
}

#[test]
fn another_address_is_another_server() {
    let mut lab = Lab::new(vec![primary(1), replica(2)]);
    let moved = server(9, Role::Replica, |config| config.name = "server-2".into());
    let renamed = server(1, Role::Primary, |config| config.name = "main".into());
    let applied = lab.apply(vec![renamed, moved]);
    assert_eq!(applied.added, ["main", "server-2"]);
    assert_eq!(applied.removed, ["server-1", "server-2"]);
    assert_eq!(applied.kept, [""; 0]);
}

#[test]
fn without_a_primary_nothing_changes() {
    let lab = Lab::new(vec![primary(1), replica(2)]);
    let before = lab.topology.snapshot();
    let error = lab.topology.apply(vec![replica(1), replica(3)], &settings(), lab.now);
    assert_eq!(error.err(), Some(NoPrimary));
    assert!(Arc::ptr_eq(&before, &lab.topology.snapshot()));
    assert!(before.members().all(|member| !member.is_removed()));
    assert_eq!(Topology::new(vec![replica(1)], &settings(), lab.now).err(), Some(NoPrimary));
}

#[test]
fn a_new_primary_makes_all_lag_unknown_until_it_is_measured() {
    let mut lab = Lab::new(vec![primary(1), replica(2), replica(3)]);
    for name in ["server-1", "server-2", "server-3"] {
        lab.answers(name, 5);
    }
    assert!(lab.topology.load().serves_reads(None));
    let demoted = server(1, Role::Replica, |_| {});
    let promoted = server(2, Role::Primary, |_| {});
    let applied = lab.apply(vec![demoted, promoted, replica(3)]);
    assert_eq!(applied.kept.len(), 3);
    assert!(!lab.topology.load().serves_reads(None));
    assert_eq!(lab.primary_position(), None, "asked as a replica");
    assert_eq!(lab.topology.load().primary().config().name, "server-2");
    assert_eq!(lab.answers("server-3", 5), [""; 0]);
    assert_eq!(lab.answers("server-2", 5), ["server-3: takes reads, true"]);
    assert_eq!(lab.answers("server-1", 5), ["server-1: takes reads, true"]);
    assert!(lab.topology.load().primary().status().lag.is_none());
}

fn candidate(port: u16) -> Server {
    server(port, Role::Replica, |config| config.candidate = true)
}

#[test]
fn roles_are_followed_where_none_is_named() {
    let mut lab = Lab::new(vec![candidate(1), candidate(2), replica(3)]);
    let state = |lab: &Lab| {
        let cluster = lab.topology.load();
        (cluster.primary().config().name.clone(), cluster.hold())
    };
    assert_eq!(state(&lab), ("server-1".to_owned(), Some(Hold::Undecided)));
    // A replica by configuration is never the primary, writable or not.
    lab.answers("server-3", 5);
    lab.answers_read_only("server-1", 5);
    lab.answers("server-2", 5);
    assert_eq!(state(&lab), ("server-2".to_owned(), None));
    for name in ["server-2", "server-1", "server-3"] {
        lab.at(10).answers_read_only(name, 5);
    }
    assert_eq!(state(&lab), ("server-2".to_owned(), Some(Hold::ReadOnly)));
    assert!(lab.topology.load().primary().holds_writes());
    lab.at(20).answers("server-1", 5);
    assert_eq!(state(&lab), ("server-1".to_owned(), None));
    assert_eq!(lab.topology.changes(), 1);
    let old = Arc::clone(&lab.topology.load().replicas()[0]);
    assert!(old.config().name == "server-2" && !old.holds_writes() && !old.is_given_up());
    // Lags are measured against the new one.
    assert!(!lab.topology.load().serves_reads(None));
    lab.at(30).answers("server-1", 5);
    lab.answers_read_only("server-2", 5);
    assert!(lab.topology.load().serves_reads(None));
    // What runs on the old one is given up when that goes down.
    for _ in 0..3 {
        lab.event("server-2", Event::NotAnswered(Report::Failed, "cause".into()));
    }
    assert!(old.is_given_up());
    // A reload names it; and then leaves it to observation again.
    lab.apply(vec![server(1, Role::Primary, |_| {}), replica(2)]);
    assert_eq!(state(&lab), ("server-1".to_owned(), None));
    lab.apply(vec![candidate(2), candidate(1)]);
    assert_eq!(state(&lab), ("server-1".to_owned(), None));
}

#[test]
fn a_named_primary_that_is_down_is_waited_for() {
    let mut lab = Lab::new(vec![primary(1), replica(2)]);
    lab.answers("server-1", 5);
    assert_eq!(lab.topology.load().hold(), None);
    for _ in 0..3 {
        lab.event("server-1", Event::NotAnswered(Report::Failed, "cause".into()));
    }
    let cluster = lab.topology.snapshot();
    let (id, now) = (cluster.primary().id(), lab.now);
    assert_eq!(cluster.hold(), Some(Hold::Down));
    assert!(!cluster.takes_statements(id, now) && !cluster.primary().is_given_up());
    lab.at(10_001).event("server-1", Event::NotAnswered(Report::Failed, "cause".into()));
    assert!(cluster.primary().is_given_up());
    lab.answers("server-1", 5);
    lab.answers("server-1", 5);
    let cluster = lab.topology.snapshot();
    assert!(cluster.hold().is_none() && cluster.takes_statements(id, now));
    // Not for what failed after the last probe was sent.
    assert!(!cluster.takes_statements(id, lab.now + Duration::from_millis(1)));
}

#[test]
fn a_reload_forgets_nothing_of_who_was_away() {
    let mut lab = Lab::new(vec![primary(1), replica(2), replica(3)]);
    for name in ["server-1", "server-2", "server-3"] {
        lab.answers(name, 5);
    }
    for _ in 0..3 {
        lab.event("server-2", Event::NotAnswered(Report::Failed, "cause".into()));
    }
    lab.at(100).answers("server-2", 5);
    assert_eq!(lab.answers("server-2", 5), ["server-2: takes reads, true"]);
    assert_eq!(lab.weights(), [("server-2".to_owned(), 16), ("server-3".to_owned(), 256)]);
    lab.apply(vec![primary(1), replica(4), replica(3), replica(2)]);
    lab.answers("server-4", 5);
    let names = ["server-2", "server-3", "server-4"].map(str::to_owned);
    let weights = lab.weights();
    assert!(weights.iter().map(|(name, _)| name).eq(&names), "{weights:?}");
    assert_eq!(weights.iter().map(|(_, weight)| *weight).collect::<Vec<_>>(), [16, 256, 16]);
}

#[test]
fn lag_is_unknown_as_soon_as_the_primary_has_gone_back() {
    let mut lab = Lab::new(vec![primary(1), replica(2)]);
    lab.at(5).answers("server-1", 5);
    lab.at(6).answers("server-2", 5);
    let lag = |lab: &Lab| lab.topology.load().replicas()[0].status().lag;
    assert_eq!(lag(&lab), Some(Lag::Known { lag: Duration::ZERO, frozen: false }));
    lab.at(10).answers("server-1", 2);
    assert_eq!(lag(&lab), Some(Lag::Unknown(NoLag::ReplicaNotProbed)));
    assert_eq!(lab.chosen(), None);
    let has_all = |lab: &Lab| lab.topology.load().replicas()[0].has_all_before(lab.start);
    assert!(!has_all(&lab));
    lab.at(11).answers("server-2", 2);
    assert!(has_all(&lab) && lab.chosen().is_some());
}

#[test]
fn a_drained_primary_makes_way() {
    let mut lab = Lab::new(vec![candidate(1), candidate(2)]);
    let state = |lab: &Lab| {
        let cluster = lab.topology.load();
        let drained: Vec<_> = cluster.members().map(|member| member.is_drained()).collect();
        (cluster.primary().config().name.clone(), cluster.hold(), drained)
    };
    let drain = |lab: &Lab, name: &str, drained| {
        lab.topology.set_drained(name, drained, lab.now).map(|changes| changes.roles)
    };
    let primary = || "server-1".to_owned();
    lab.answers("server-1", 5);
    lab.answers_read_only("server-2", 5);
    let held = RoleChange::Held { primary: primary(), hold: Hold::Drained };
    assert_eq!(drain(&lab, "server-1", true), Ok(vec![held.clone()]));
    assert_eq!(state(&lab), (primary(), Some(Hold::Drained), vec![true, false]));
    let released = RoleChange::Released { primary: primary() };
    assert!(drain(&lab, "server-1", false).unwrap().contains(&released));
    assert_eq!(state(&lab), (primary(), None, vec![false, false]));
    // It stays writable: nothing may fail by the drain.
    drain(&lab, "server-1", true).unwrap();
    lab.at(4_900).answers("server-1", 5);
    assert_eq!(state(&lab), (primary(), Some(Hold::Drained), vec![true, false]));
    lab.at(5_000).answers("server-1", 5);
    assert_eq!(state(&lab), (primary(), None, vec![false, false]));
    // Another takes over.
    drain(&lab, "server-1", true).unwrap();
    lab.at(6_000).answers_read_only("server-1", 5);
    assert_eq!(state(&lab), (primary(), Some(Hold::ReadOnly), vec![true, false]));
    lab.at(11_000).answers_read_only("server-1", 5);
    assert_eq!(state(&lab), (primary(), Some(Hold::ReadOnly), vec![true, false]));
    lab.answers("server-2", 5);
    assert_eq!(state(&lab), ("server-2".to_owned(), None, vec![false, true]));
    let old = Arc::clone(&lab.topology.load().replicas()[0]);
    lab.at(11_100).answers("server-2", 5);
    lab.answers_read_only("server-1", 5);
    assert_eq!(lab.topology.load().excluded(&old), Some(Excluded::Drained));
    drain(&lab, "server-1", false).unwrap();
    lab.answers_read_only("server-1", 5);
    assert_eq!(lab.topology.load().excluded(&old), None);
    // Nobody would wait.
    let settings = Settings { primary_wait: Duration::ZERO, ..settings() };
    lab.topology.apply(vec![candidate(1), candidate(2)], &settings, lab.now).unwrap();
    assert_eq!(drain(&lab, "server-2", true), Err(NotDrained::NobodyWaits));
}

#[test]
fn what_began_before_a_primary_was_drained_is_told_apart() {
    let lab = Lab::new(vec![primary(1), replica(2)]);
    let member = Arc::clone(lab.topology.load().primary());
    let before = member.begin_query();
    lab.topology.set_drained("server-1", true, lab.now).unwrap();
    let after = member.begin_query();
    assert_eq!((member.outstanding(), member.outstanding_since_before()), (2, 1));
    drop(before);
    assert_eq!((member.outstanding(), member.outstanding_since_before()), (1, 0));
    drop(after);
    assert_eq!(member.outstanding(), 0);
}
