//! Observations of a primary and a replica, and the status that follows.

#![allow(clippy::unwrap_used)]
mod errant;

use super::super::channels::Channel;
use super::super::coordinates::Coordinates;
use super::super::gtid_mysql::parse_server_uuid;
use super::super::lag::NoLag;
use super::super::position::Flavor;
use super::super::probe::{Extra, ServerState, read_answer};
use super::super::shown::Sent;
use super::*;

const THRESHOLDS: Thresholds = Thresholds { up_after: 2, down_after: 3 };
const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const REPLICA_UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429563";
const FRESH_FOR: Duration = Duration::from_millis(1500);

/// A primary and a replica, as two monitors would feed them.
struct Lab {
    start: Instant,
    now: Instant,
    flavor: Flavor,
    reference: Reference,
    primary: Tracker,
    replica: Tracker,
}

impl Lab {
    fn new(flavor: Flavor) -> Lab {
        let start = Instant::now();
        Lab {
            start,
            now: start,
            flavor,
            reference: Reference::new(FRESH_FOR),
            primary: Tracker::new(Role::Primary, start),
            replica: Tracker::new(Role::Replica, start),
        }
    }

    fn at(&mut self, ms: u64) -> &mut Lab {
        self.now = self.start + Duration::from_millis(ms);
        self
    }

    fn event(&mut self, role: Role, event: Event) -> Vec<Note> {
        let tracker = if role == Role::Primary { &mut self.primary } else { &mut self.replica };
        tracker.observe(event, role, &mut self.reference, &THRESHOLDS, self.now)
    }

    fn answer(&mut self, role: Role, columns: &[&str]) -> Vec<Note> {
        self.answer_with(role, columns, None)
    }

    /// The same with the answer to a further question.
    fn answer_with(
        &mut self,
        role: Role,
        columns: &[&str],
        extra: Option<Result<Extra, Arc<str>>>,
    ) -> Vec<Note> {
        self.answer_owning(role, "", columns, extra)
    }

    /// The same of a MySQL server that commits something (`gtid_owned`).
    fn answer_owning(
        &mut self,
        role: Role,
        owned: &str,
        columns: &[&str],
        extra: Option<Result<Extra, Arc<str>>>,
    ) -> Vec<Note> {
        let id = if role == Role::Primary { UUID } else { REPLICA_UUID };
        let id = Some(id).filter(|_| self.flavor == Flavor::MySql);
        // gtid_owned stands before everything else.
        let row = id
            .map(|_| owned)
            .into_iter()
            .chain(columns.iter().copied())
            .chain(id)
            .map(|text| Some(text.as_bytes().to_vec()));
        let extra = extra.map(|extra| extra.map(Box::new));
        let state = ServerState { extra, ..read_answer(self.flavor, &[row.collect()]) };
        let answer = Answer { sent_at: self.now, answered_at: self.now, state };
        self.event(role, Event::Answered(answer))
    }

    /// MySQL: the server has transactions 1 to `last`.
    fn mysql(&mut self, role: Role, last: u64) -> Vec<Note> {
        self.answer(role, &["0", "0", "ON", &gtid(&format!("1-{last}"))])
    }

    fn fails(&mut self, role: Role, report: Report) -> Vec<Note> {
        self.event(role, Event::NotAnswered(report, "cause".into()))
    }

    /// The replica's lag after a moment without news of it.
    fn lag(&mut self) -> Lag {
        self.event(Role::Replica, Event::Waiting);
        self.replica.status().lag.unwrap()
    }
}

fn gtid(intervals: &str) -> String {
    format!("{UUID}:{intervals}")
}

fn known(ms: u64) -> Lag {
    Lag::Known { lag: Duration::from_millis(ms), frozen: false }
}

fn health(from: Health, to: Health) -> Note {
    Note::Health(Transition { from, to })
}

#[test]
fn lag_of_a_mysql_replica() {
    let mut lab = Lab::new(Flavor::MySql);
    assert_eq!(lab.lag(), Lag::Unknown(NoLag::ReplicaNotProbed));
    assert_eq!(lab.mysql(Role::Replica, 5), [health(Health::Starting, Health::Up)]);
    assert_eq!(lab.lag(), Lag::Unknown(NoLag::PrimaryNotSampled));
    lab.mysql(Role::Primary, 5);
    assert_eq!(lab.lag(), known(0));
    assert_eq!(lab.primary.status().lag, None);
    lab.at(250).mysql(Role::Primary, 6);
    assert_eq!(lab.lag(), known(0));
    assert_eq!(lab.at(400).lag(), known(150), "lag grows while the replica is not heard");
    assert_eq!(lab.at(600).mysql(Role::Replica, 6), []);
    assert_eq!(lab.lag(), known(0));
    assert!(lab.replica.status().has_applied(&Position::parse(Flavor::MySql, &gtid("6")).unwrap()));
    assert!(
        !lab.replica.status().has_applied(&Position::parse(Flavor::MySql, &gtid("7")).unwrap())
    );
}

#[test]
fn a_denied_primary_lets_lag_grow_and_a_dead_one_freezes_it() {
    let prepare = || {
        let mut lab = Lab::new(Flavor::MySql);
        lab.mysql(Role::Primary, 5);
        lab.mysql(Role::Replica, 5);
        lab
    };
    let mut lab = prepare();
    assert_eq!(
        lab.at(250).fails(Role::Primary, Report::Denied),
        [health(Health::Up, Health::Denied)]
    );
    assert!(lab.primary.status().health.may_be_alive(), "writes still go there");
    assert_eq!(lab.primary.status().last_error.as_deref(), Some("cause"));
    assert_eq!(lab.at(2000).lag(), known(2000), "nothing newer is proven");

    let mut lab = prepare();
    for (ms, notes) in [
        (250, vec![health(Health::Up, Health::Suspect)]),
        (500, vec![]),
        (750, vec![health(Health::Suspect, Health::Down)]),
        (1000, vec![]),
    ] {
        assert_eq!(lab.at(ms).fails(Role::Primary, Report::Failed), notes, "{ms}");
    }
    let frozen = Lag::Known { lag: Duration::ZERO, frozen: true };
    assert_eq!(lab.at(900_000).lag(), frozen);
    // One answer, and then silence again: still down, so the lag is frozen again.
    lab.mysql(Role::Primary, 5);
    assert_eq!(lab.lag(), known(0));
    lab.at(900_250).fails(Role::Primary, Report::Failed);
    assert_eq!(lab.at(999_000).lag(), frozen);
    // It answers, but not the monitor: alive, so nothing is known.
    lab.fails(Role::Primary, Report::Denied);
    assert_eq!(lab.lag(), known(99_000));
}

#[test]
fn a_replica_that_was_down_has_to_prove_its_position_again() {
    let mut lab = Lab::new(Flavor::MySql);
    lab.mysql(Role::Primary, 5);
    lab.mysql(Role::Replica, 5);
    lab.fails(Role::Replica, Report::Failed);
    assert_eq!(lab.lag(), known(0), "suspect: not forgotten yet");
    assert!(!lab.replica.status().has_applied(&Position::empty(Flavor::MySql)), "but no reads");
    lab.fails(Role::Replica, Report::Failed);
    assert_eq!(lab.fails(Role::Replica, Report::Failed), [health(Health::Suspect, Health::Down)]);
    assert_eq!(lab.lag(), Lag::Unknown(NoLag::ReplicaNotProbed));
    assert_eq!(lab.replica.status().probed_at, None);
    assert_eq!(lab.mysql(Role::Replica, 3), []);
    assert_eq!(lab.lag(), Lag::AtLeast(Duration::ZERO));
    assert_eq!(lab.mysql(Role::Replica, 5), [health(Health::Down, Health::Up)]);
    assert_eq!(lab.replica.status().last_error, None);
}

#[test]
fn sessions_only_make_suspect() {
    let mut lab = Lab::new(Flavor::MySql);
    lab.mysql(Role::Replica, 5);
    assert_eq!(lab.event(Role::Replica, Event::Session(SessionFailure::Lost)), []);
    let failure = Event::Session(SessionFailure::Connect);
    let notes = lab.event(Role::Replica, failure.clone());
    assert_eq!(notes, [health(Health::Up, Health::Suspect)]);
    assert_eq!(lab.event(Role::Replica, failure), []);
    assert_eq!(lab.mysql(Role::Replica, 5), [health(Health::Suspect, Health::Up)]);
}

#[test]
fn no_position_is_said_once() {
    let mut lab = Lab::new(Flavor::MySql);
    lab.mysql(Role::Primary, 5);
    let off = |lab: &mut Lab, role| lab.answer(role, &["0", "0", "OFF", ""]);
    let notes = off(&mut lab, Role::Replica);
    let reason: Arc<str> = "gtid_mode is not ON".into();
    let up = health(Health::Starting, Health::Up);
    assert_eq!(notes, [Note::NoPosition(Arc::clone(&reason)), up]);
    assert_eq!(off(&mut lab, Role::Replica), []);
    assert_eq!(lab.lag(), Lag::Unknown(NoLag::ReplicaHasNoPosition));
    assert_eq!(lab.mysql(Role::Replica, 5), [Note::PositionBack]);
    assert_eq!(lab.lag(), known(0));
    // The same on the primary: nothing is proven of any replica after a while.
    assert_eq!(off(&mut lab, Role::Primary), [Note::NoPosition(reason)]);
    assert_eq!(lab.at(1600).lag(), known(1600));
}

#[test]
fn a_primary_that_went_back_is_said() {
    let mut lab = Lab::new(Flavor::MySql);
    lab.mysql(Role::Primary, 5);
    lab.mysql(Role::Replica, 5);
    assert_eq!(lab.at(250).mysql(Role::Primary, 4), [Note::PrimaryWentBack]);
}

#[test]
fn a_mariadb_replica() {
    let mut lab = Lab::new(Flavor::MariaDb);
    lab.answer(Role::Primary, &["0", "1", "1", "", "0-1-7", "0-1-7"]);
    lab.answer(Role::Replica, &["1", "0", "2", "0-1-7", "", ""]);
    assert_eq!(lab.lag(), known(0));
    lab.at(250).answer(Role::Primary, &["0", "1", "1", "", "0-1-9", "0-1-9"]);
    // In the binary log of the replica, but not yet applied.
    lab.at(300).answer(Role::Replica, &["1", "1", "2", "0-1-8", "0-1-9", "0-1-9"]);
    assert_eq!(lab.lag(), known(50));
    // Its own write of the same number does not count, and is found out.
    let mut all = Vec::new();
    for ms in (500..20_000).step_by(250) {
        lab.at(ms).answer(Role::Primary, &["0", "1", "1", "", "0-1-9", "0-1-9"]);
        all.extend(lab.answer(Role::Replica, &["1", "1", "2", "0-1-8", "0-2-9", "0-1-8,0-2-9"]));
    }
    assert_eq!(lab.lag(), known(19_500));
    let errant = Arc::new(Position::parse(Flavor::MariaDb, "0-2-9").unwrap());
    assert_eq!(all, [Note::Errant(errant)]);
}

#[test]
fn a_mariadb_primary_without_a_binary_log() {
    let mut lab = Lab::new(Flavor::MariaDb);
    let notes = lab.answer(Role::Primary, &["0", "0", "1", "", "", ""]);
    assert_eq!(notes[0], Note::NoPosition("log_bin is off".into()));
    lab.answer(Role::Replica, &["1", "0", "2", "", "", ""]);
    assert_eq!(lab.lag(), Lag::Unknown(NoLag::PrimaryNotSampled));
}

#[test]
fn a_change_of_role_forgets_what_was_measured() {
    let mut lab = Lab::new(Flavor::MySql);
    lab.mysql(Role::Primary, 5);
    lab.mysql(Role::Replica, 5);
    lab.reference.reset();
    let columns = ["", "1", "0", "ON", &gtid("1-5"), UUID];
    let row = columns.iter().map(|text| Some(text.as_bytes().to_vec())).collect();
    let answer = Answer {
        sent_at: lab.now,
        answered_at: lab.now,
        state: read_answer(Flavor::MySql, &[row]),
    };
    // The former replica is asked as the primary.
    let mut promoted = std::mem::replace(&mut lab.replica, Tracker::new(Role::Replica, lab.now));
    let event = Event::Answered(answer);
    let notes = promoted.observe(event, Role::Primary, &mut lab.reference, &THRESHOLDS, lab.now);
    assert_eq!(notes, [Note::ReadOnly(true)]);
    assert_eq!(promoted.status().lag, None);
    // The former primary is a replica now, with nothing known of it until its next probe.
    let mut demoted = std::mem::replace(&mut lab.primary, promoted);
    demoted.observe(Event::Waiting, Role::Replica, &mut lab.reference, &THRESHOLDS, lab.now);
    assert_eq!(demoted.status().lag, Some(Lag::Unknown(NoLag::ReplicaNotProbed)));
}

/// Without GTIDs: the answers of both, with places in the primary's log.
fn places(lab: &mut Lab, role: Role, offset: u64) -> Vec<Note> {
    let extra = match role {
        Role::Primary => Extra::Log(place(offset)),
        Role::Replica => Extra::Channels(channel(lab, UUID, offset)),
    };
    lab.answer_with(role, &["0", "0", "OFF", ""], Some(Ok(extra)))
}

fn place(offset: u64) -> Coordinates {
    let uuid = parse_server_uuid(UUID).unwrap();
    Coordinates::parse(uuid, "binlog.000004", &offset.to_string()).unwrap()
}

/// A replica's one channel, which is not late by its own account.
fn channel(lab: &Lab, source: &str, offset: u64) -> Channels {
    let uuid = parse_server_uuid(source).unwrap();
    let channel = Channel {
        source: Some(ServerId::MySql(uuid)),
        applied: Coordinates::parse(uuid, "binlog.000004", &offset.to_string()),
        received: [uuid].into(),
        behind: Some(Duration::ZERO),
        is_stopped: false,
    };
    Channels { asked_at: lab.now, list: vec![channel] }
}

#[test]
fn coordinates_measure_where_gtids_are_off() {
    let mut lab = Lab::new(Flavor::MySql);
    let up = health(Health::Starting, Health::Up);
    assert_eq!(places(&mut lab, Role::Replica, 100), std::slice::from_ref(&up), "nothing is wrong");
    assert_eq!(lab.lag(), Lag::Unknown(NoLag::PrimaryNotSampled));
    assert_eq!(places(&mut lab, Role::Primary, 100), [up]);
    places(&mut lab, Role::Replica, 100);
    assert_eq!(lab.lag(), known(0));
    assert!(lab.replica.wants_channels(&lab.reference, lab.now));
    places(lab.at(250), Role::Primary, 200);
    assert_eq!(lab.at(400).lag(), known(150));
    assert!(!lab.replica.status().has_applied(&Position::Coordinates(place(101))));
    places(&mut lab, Role::Replica, 200);
    assert_eq!(lab.lag(), known(0));
    assert!(lab.replica.status().has_applied(&Position::Coordinates(place(200))));
    assert_eq!(lab.mysql(Role::Primary, 5), [Note::PrimaryWentBack], "GTIDs are turned on");
    assert_eq!(lab.mysql(Role::Replica, 5), []);
    assert_eq!(lab.lag(), known(0));
}

/// Old places are further on than any in a log that begins anew, and must prove nothing of it.
#[test]
fn a_log_that_begins_anew() {
    let mut lab = Lab::new(Flavor::MySql);
    places(&mut lab, Role::Primary, 900);
    places(&mut lab, Role::Replica, 900);
    assert_eq!(lab.lag(), known(0));
    // Ahead of the sample, as on a busy primary.
    assert_eq!(places(lab.at(100), Role::Replica, 950), []);
    assert_eq!(places(lab.at(250), Role::Primary, 990), []);
    assert_eq!(places(lab.at(350), Role::Replica, 999), []);
    assert_eq!(lab.lag(), known(0));
    assert_eq!(places(lab.at(500), Role::Primary, 200), [Note::PrimaryWentBack]);
    lab.event(Role::Replica, Event::Waiting);
    assert_eq!(lab.replica.status().position, None, "not even before its next probe");
    let notes = places(lab.at(600), Role::Replica, 999);
    assert!(matches!(notes[..], [Note::NoPosition(_)]), "{notes:?}");
    assert_eq!(lab.replica.status().position, None);
    // Attached anew, it is in the new log.
    places(lab.at(750), Role::Primary, 300);
    assert_eq!(places(lab.at(850), Role::Replica, 250), [Note::PositionBack]);
    assert_eq!(lab.lag(), known(100));
}

#[test]
fn a_missing_privilege_is_named_once() {
    let mut lab = Lab::new(Flavor::MySql);
    places(&mut lab, Role::Primary, 100);
    let refused = || Some(Err("the account lacks it".into()));
    let columns = ["0", "0", "OFF", ""];
    let notes = lab.answer_with(Role::Replica, &columns, refused());
    let why = "GTIDs are off, and the account lacks it, or turn GTIDs on";
    assert_eq!(notes[0], Note::NoPosition(why.into()));
    assert_eq!(lab.answer_with(Role::Replica, &columns, refused()), []);
    assert_eq!(lab.lag(), Lag::Unknown(NoLag::ReplicaHasNoPosition));
    assert_eq!(places(&mut lab, Role::Replica, 100), [Note::PositionBack]);
    // The primary may not be asked: its replicas say how late they are.
    let mut lab = Lab::new(Flavor::MySql);
    lab.answer_with(Role::Primary, &columns, refused());
    places(&mut lab, Role::Replica, 100);
    assert_eq!(lab.lag(), Lag::Estimated(Duration::from_secs(1)));
}

#[test]
fn a_replica_of_a_stranger_is_not_estimated() {
    let mut lab = Lab::new(Flavor::MySql);
    places(&mut lab, Role::Primary, 100);
    let stranger = "3e11fa47-71ca-11e1-9e33-c80aa9429569";
    let extra = Extra::Channels(channel(&lab, stranger, 100));
    let notes = lab.answer_with(Role::Replica, &["0", "0", "OFF", ""], Some(Ok(extra)));
    assert!(matches!(notes[0], Note::NoPosition(_)), "{notes:?}");
    assert_eq!(lab.lag(), Lag::Unknown(NoLag::OtherSource));
    assert_eq!(lab.replica.status().position, None);
}

/// What came through another channel is no errant write, and that channel's lag counts.
#[test]
fn a_replica_of_two_sources() {
    let mut lab = Lab::new(Flavor::MySql);
    let stranger = "3e11fa47-71ca-11e1-9e33-c80aa9429569";
    let set = format!("{},{stranger}:1-9", gtid("1-5"));
    let mut asked = 0;
    let mut all = Vec::new();
    for ms in (0..20_000).step_by(250) {
        lab.at(ms).mysql(Role::Primary, 5);
        let mut extra = None;
        if lab.replica.wants_channels(&lab.reference, lab.now) {
            asked += 1;
            let mut channels = channel(&lab, UUID, 100);
            channels.list.extend(channel(&lab, stranger, 100).list);
            channels.list[1].behind = Some(Duration::from_secs(4));
            extra = Some(Ok(Extra::Channels(channels)));
        }
        all.extend(lab.answer_with(Role::Replica, &["0", "0", "ON", &set], extra));
    }
    assert_eq!(all, [health(Health::Starting, Health::Up)]);
    assert_eq!(asked, 19, "once a second from the first suspicion on");
    let Lag::Estimated(lag) = lab.lag() else { panic!("{}", lab.lag()) };
    assert!(lag >= Duration::from_secs(5) && lag <= Duration::from_secs(6), "{lag:?}");
    assert!(lab.replica.status().has_applied(&Position::parse(Flavor::MySql, &gtid("5")).unwrap()));
    // Without the privilege it cannot be told from a stray write.
    for ms in (20_000..40_000).step_by(250) {
        lab.at(ms).mysql(Role::Primary, 5);
        let refused = Some(Err("no privilege".into()));
        let notes = lab.answer_with(Role::Replica, &["0", "0", "ON", &set], refused);
        all.extend(notes);
    }
    assert!(matches!(all[1..], [Note::Errant(_)]), "{all:?}");
    assert_eq!(lab.replica.status().refused.as_deref(), Some("no privilege"));
}

/// MariaDB: the primary's answer, with what it was asked about its binary log.
fn primary_tells(lab: &mut Lab, sent: Option<Result<(&str, &str), &str>>) -> Vec<Note> {
    let place = |offset| Position::Coordinates(Coordinates::parse(0, "b.000001", offset).unwrap());
    let sent = sent.map(|told| match told {
        Ok((end, shown)) => Ok(Box::new(Sent { sent: place(end), shown: Some(place(shown)) })),
        Err(reason) => Err(reason.into()),
    });
    let row = ["0", "1", "1", "", "0-1-5", "0-1-5"].map(|text| Some(text.as_bytes().to_vec()));
    let state = ServerState { sent, ..read_answer(Flavor::MariaDb, &[row.to_vec()]) };
    let answer = Answer { sent_at: lab.now, answered_at: lab.now, state };
    lab.event(Role::Primary, Event::Answered(answer))
}

#[test]
fn what_the_primary_shows() {
    let mut lab = Lab::new(Flavor::MySql);
    lab.at(10).mysql(Role::Primary, 5);
    let start = lab.start;
    let status = lab.primary.status();
    assert!(status.tells_shown && status.shown_through == Some(start + Duration::from_millis(10)));
    lab.at(20).mysql(Role::Replica, 5);
    assert!(!lab.replica.status().tells_shown, "only the primary is asked");
    lab.at(30).answer(Role::Primary, &["0", "0", "OFF", ""]);
    assert!(!lab.primary.status().tells_shown, "without GTIDs it cannot say it");

    let mut lab = Lab::new(Flavor::MariaDb);
    let through = |lab: &Lab| {
        let through = lab.primary.status().shown_through;
        through.map(|at| at.saturating_duration_since(lab.start).as_millis())
    };
    primary_tells(lab.at(0), None);
    assert!(lab.primary.status().tells_shown && through(&lab).is_none());
    assert!(!lab.primary.wants_sent(false, lab.now) && lab.primary.wants_sent(true, lab.now));
    primary_tells(lab.at(3), Some(Ok(("900", "400"))));
    assert_eq!(through(&lab), None);
    primary_tells(lab.at(6), Some(Ok(("950", "900"))));
    assert_eq!(through(&lab), Some(3));

    let notes = primary_tells(lab.at(9), Some(Err("no privilege")));
    assert_eq!(notes, [Note::SentRefused("no privilege".into())]);
    let status = lab.primary.status();
    assert!(!status.tells_shown && status.refused.as_deref() == Some("no privilege"));
    assert!(!lab.primary.wants_sent(true, lab.now), "it would be in vain");
    primary_tells(lab.at(10_009), None);
    assert!(!lab.primary.status().tells_shown);
    assert!(lab.primary.wants_sent(false, lab.now), "the privilege may be granted by now");
    assert_eq!(primary_tells(lab.at(10_012), Some(Err("no privilege"))), []);
    primary_tells(lab.at(20_012), Some(Ok(("950", "950"))));
    assert!(lab.primary.status().tells_shown && lab.primary.status().refused.is_none());
    assert_eq!(through(&lab), Some(20_012));
}
