//! Crafted answers to SHOW REPLICA STATUS, and what follows from them.

use super::*;

const PRIMARY: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429561";
const REPLICA: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const STRANGER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429569";

fn id(uuid: &str) -> ServerId {
    ServerId::MySql(uuid_of(uuid))
}

fn uuid_of(uuid: &str) -> u128 {
    parse_server_uuid(uuid).unwrap_or_default()
}

/// One row, from columns and values; the value NULL is SQL's.
fn table(columns: &[(&str, &str)]) -> Table {
    let value = |text: &str| (text != "NULL").then(|| text.as_bytes().to_vec());
    Table {
        columns: columns.iter().map(|(name, _)| name.as_bytes().to_vec()).collect(),
        rows: vec![columns.iter().map(|(_, text)| value(text)).collect()],
    }
}

fn one(flavor: Flavor, columns: &[(&str, &str)]) -> Channel {
    read_channels(flavor, &table(columns)).remove(0)
}

#[test]
fn seconds_count_only_while_both_threads_run() {
    for (receiver, applier, seconds, expected) in [
        ("Yes", "Yes", "0", Some(0)),
        ("Yes", "Yes", "17", Some(17)),
        ("Connecting", "Yes", "0", None),
        ("No", "Yes", "0", None),
        ("Yes", "No", "0", None),
        ("Yes", "Yes", "NULL", None),
        ("Yes", "Yes", "", None),
        ("Yes", "Yes", "-3", None),
        ("Yes", "Yes", "18446744073709551615", None),
        ("NULL", "Yes", "0", None),
    ] {
        for (flavor, names) in [
            (Flavor::MySql, ["Replica_IO_Running", "Replica_SQL_Running", "Seconds_Behind_Source"]),
            (Flavor::MySql, ["Slave_IO_Running", "Slave_SQL_Running", "Seconds_Behind_Master"]),
            (Flavor::MariaDb, ["Slave_IO_Running", "Slave_SQL_Running", "Seconds_Behind_Master"]),
        ] {
            let columns = [(names[0], receiver), (names[1], applier), (names[2], seconds)];
            let behind = one(flavor, &columns).behind;
            assert_eq!(behind, expected.map(Duration::from_secs), "{columns:?}");
        }
    }
    assert_eq!(one(Flavor::MySql, &[("Other", "1")]).behind, None);
}

#[test]
fn sources_and_places() {
    let received = format!("{STRANGER}:1-7");
    for names in [
        ["Source_UUID", "Relay_Source_Log_File", "Exec_Source_Log_Pos"],
        ["Master_UUID", "Relay_Master_Log_File", "Exec_Master_Log_Pos"],
    ] {
        let columns = [
            (names[0], PRIMARY),
            (names[1], "binlog.000004"),
            (names[2], "377"),
            ("Retrieved_Gtid_Set", &received),
        ];
        let channel = one(Flavor::MySql, &columns);
        assert_eq!(channel.source, Some(id(PRIMARY)));
        assert_eq!(channel.applied.map(|at| at.to_string()).as_deref(), Some("binlog.000004:377"));
        assert_eq!(channel.received, BTreeSet::from([uuid_of(PRIMARY), uuid_of(STRANGER)]));
    }
    // Before the first connection.
    let columns =
        [("Source_UUID", ""), ("Relay_Source_Log_File", ""), ("Exec_Source_Log_Pos", "0")];
    let channel = one(Flavor::MySql, &columns);
    assert_eq!((channel.source, channel.applied), (None, None));
    for (server_id, expected) in [("1", Some(ServerId::MariaDb(1))), ("0", None), ("x", None)] {
        assert_eq!(one(Flavor::MariaDb, &[("Master_Server_Id", server_id)]).source, expected);
    }
    assert_eq!(read_channels(Flavor::MySql, &Table::default()), []);
}

fn channel(source: &str, behind: Option<u64>) -> Channel {
    Channel {
        source: Some(id(source)),
        applied: Coordinates::parse(uuid_of(source), "binlog.000004", "377"),
        received: BTreeSet::from([uuid_of(source)]),
        behind: behind.map(Duration::from_secs),
        is_stopped: false,
    }
}

/// The primary, and a replica that lagged 3 s half a second ago.
fn members(now: Instant) -> Members {
    let mut members = Members::default();
    members.set_primary(id(PRIMARY));
    let at = now - Duration::from_millis(500);
    let lag = Lag::Known { lag: Duration::from_secs(3), frozen: false };
    members.set_replica(id(REPLICA), lag, at);
    members
}

#[test]
fn an_estimate_is_an_upper_bound_of_what_is_known() {
    let asked_at = Instant::now();
    let now = asked_at + Duration::from_millis(250);
    let (not_running, other) = (Err(NoLag::ChannelNotRunning), Err(NoLag::OtherSource));
    for (what, list, lag, others) in [
        ("none", vec![], other, Ok(0)),
        ("the primary's", vec![channel(PRIMARY, Some(0))], Ok(1250), Ok(0)),
        ("the primary's, stopped", vec![channel(PRIMARY, None)], not_running, Ok(0)),
        // 3 s of the source, half a second ago.
        ("a replica's", vec![channel(REPLICA, Some(2))], Ok(3500 + 3250), Ok(0)),
        ("a stranger's", vec![channel(STRANGER, Some(0))], other, Ok(0)),
        ("two", vec![channel(PRIMARY, Some(1)), channel(STRANGER, Some(7))], Ok(8250), Ok(8250)),
        (
            "two, the better a stranger's",
            vec![channel(PRIMARY, Some(7)), channel(STRANGER, Some(1))],
            Ok(8250),
            Ok(2250),
        ),
        (
            "two, the stranger's stopped",
            vec![channel(PRIMARY, Some(7)), channel(STRANGER, None)],
            not_running,
            not_running,
        ),
    ] {
        let channels = Channels { asked_at, list };
        let ms = |ms: Result<u64, NoLag>| ms.map(Duration::from_millis);
        assert_eq!(channels.lag(&members(now), now), ms(lag), "{what}");
        assert_eq!(channels.lag_of_others(&members(now), now), ms(others), "{what}: others");
    }
    let mut members = members(now);
    members.set_replica(id(REPLICA), Lag::Unknown(NoLag::ReplicaNotProbed), now);
    let channels = Channels { asked_at, list: vec![channel(REPLICA, Some(0))] };
    assert_eq!(
        channels.lag(&members, now),
        Err(NoLag::ChannelNotRunning),
        "its source does not know either"
    );
}

#[test]
fn what_came_from_elsewhere() {
    let now = Instant::now();
    let mut foreign = channel(STRANGER, Some(0));
    // The stranger replicates from the primary, too.
    foreign.received.insert(uuid_of(PRIMARY));
    let list = vec![foreign.clone(), channel(PRIMARY, Some(0))];
    let channels = Channels { asked_at: now, list };
    assert_eq!(channels.elsewhere(&members(now)), BTreeSet::from([uuid_of(STRANGER)]));
    assert!(channels.has_others(&members(now)));
    let place = channels.coordinates(&members(now)).map(ToString::to_string);
    assert_eq!(place.as_deref(), Some("binlog.000004:377"));
    // If it is the only one, it is what leads to the primary: its own writes are errant here, too.
    let alone = Channels { asked_at: now, list: vec![foreign] };
    assert!(!alone.has_others(&members(now)) && alone.elsewhere(&members(now)).is_empty());
    assert_eq!(alone.coordinates(&members(now)), None);
}

#[test]
fn a_replica_that_was_removed_is_forgotten() {
    let now = Instant::now();
    let mut members = members(now);
    assert!(members.has(id(REPLICA)));
    let (later, lag) = (now + FORGET_AFTER, Lag::Unknown(NoLag::ReplicaNotProbed));
    members.set_replica(id(STRANGER), lag, later);
    assert!(!members.has(id(REPLICA)) && members.has(id(STRANGER)) && members.has(id(PRIMARY)));
}
