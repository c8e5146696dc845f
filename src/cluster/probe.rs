//! What a probe asks, and how the answer is read.
//!
//! One question and one row, so that a probe is one round trip. Reading global variables needs no
//! privilege on either make, so the monitor's account needs none beyond logging in.
//!
//! What that does not tell, some servers are asked besides ([`Extra`]): `SHOW BINARY LOG STATUS` a
//! primary whose GTIDs are off, `SHOW REPLICA STATUS` a replica as [`super::channels`] says, and what
//! [`super::shown`] needs a MariaDB primary. They need a privilege, and go by several names.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use super::channels::{Channels, ServerId};
use super::coordinates::Coordinates;
use super::gtid_mariadb::{GtidPosition, GtidState};
use super::gtid_mysql::{GtidSet, parse_server_uuid};
use super::member::ReadOnly;
use super::position::{Flavor, ParseGtidError, Position};
use super::shown::Sent;
use crate::protocol::text_row::{Row, Table};

/// One probe's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// When the question was sent.
    pub sent_at: Instant,
    /// When the answer was there.
    pub answered_at: Instant,
    /// What it said.
    pub state: ServerState,
}

/// What a server said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Who may write; `None` when it would not say.
    pub read_only: Option<ReadOnly>,
    /// Where it is.
    pub positions: Positions,
    /// Who it is, to its replicas.
    pub id: Option<ServerId>,
    /// What it was asked besides.
    pub extra: Option<Result<Box<Extra>, Arc<str>>>,
    /// What it has sent to replicas and may not show yet, if that was asked; or why it would not say.
    pub sent: Option<Result<Box<Sent>, Arc<str>>>,
}

/// The answer to a further question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extra {
    /// `SHOW BINARY LOG STATUS`.
    Log(Coordinates),
    /// `SHOW REPLICA STATUS`.
    Channels(Channels),
}

/// The positions that a server told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Positions {
    /// `gtid_executed`: on a primary what it has committed, on a replica what it has applied.
    MySql(Arc<Position>),
    /// MariaDB's several positions.
    MariaDb(MariaDbPositions),
    /// MySQL has GTIDs off, or not quite on: some transactions have none, and a set that lacks them
    /// proves nothing.
    NoGtids,
    /// None, and why, for people.
    Missing(Arc<str>),
}

impl Positions {
    /// Whether the server can be asked [`SENT_QUESTIONS`].
    pub fn tell_sent(&self) -> bool {
        matches!(self, Positions::MariaDb(told) if told.binlog_pos.is_some())
    }
}

/// What MariaDB tells; which of it counts depends on the server's role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MariaDbPositions {
    /// `gtid_slave_pos`: what came by replication and is applied.
    pub slave_pos: GtidPosition,
    /// `gtid_binlog_pos`: the end of the binary log; `None` when that is off.
    pub binlog_pos: Option<GtidPosition>,
    /// `gtid_binlog_state`: the same for every server that ever wrote to it.
    pub binlog_state: GtidState,
    /// `server_id`.
    pub server_id: u32,
}

/// The question for a server of this make. `gtid_owned` comes first: see [`super::shown`].
///
/// A server whose storage is read-only takes no writes whatever its `read_only`: readers of Aurora MySQL
/// are known by that alone (its documentation, "Failover" under the Aurora MySQL user guide).
pub fn question(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MySql => {
            "SELECT @@global.gtid_owned, @@global.read_only OR @@global.innodb_read_only, \
             @@global.super_read_only, @@global.gtid_mode, @@global.gtid_executed, \
             @@global.server_uuid"
        }
        Flavor::MariaDb => {
            "SELECT @@global.read_only, @@global.log_bin, @@global.server_id, \
             @@global.gtid_slave_pos, @@global.gtid_binlog_pos, @@global.gtid_binlog_state"
        }
    }
}

/// Reads the answer to [`question`]. An answer that makes no sense is one without a position: the
/// server is alive all the same.
pub fn read_answer(flavor: Flavor, rows: &[Row]) -> ServerState {
    let [row] = rows else {
        return ServerState::unreadable("the answer to the probe is not one row");
    };
    let columns: Option<Vec<&str>> = row
        .iter()
        .map(|column| column.as_deref().and_then(|text| std::str::from_utf8(text).ok()))
        .collect();
    match (flavor, columns.as_deref()) {
        (
            Flavor::MySql,
            Some([owned, read_only, super_read_only, gtid_mode, gtid_executed, uuid]),
        ) => {
            let read_only =
                ReadOnly { read_only: is_on(read_only), super_read_only: is_on(super_read_only) };
            let positions = mysql_positions(gtid_mode, gtid_executed);
            let id = parse_server_uuid(uuid).map(ServerId::MySql);
            let has_gtids = matches!(positions, Positions::MySql(_));
            let sent = has_gtids.then(|| mysql_sent(owned));
            ServerState { read_only: Some(read_only), positions, id, extra: None, sent }
        }
        (
            Flavor::MariaDb,
            Some([read_only, log_bin, server_id, slave_pos, binlog_pos, binlog_state]),
        ) => {
            let read_only = ReadOnly { read_only: is_on(read_only), super_read_only: false };
            let binlog = is_on(log_bin).then_some((*binlog_pos, *binlog_state));
            let positions = mariadb_positions(server_id, slave_pos, binlog);
            let id = server_id.parse().ok().map(ServerId::MariaDb);
            ServerState { read_only: Some(read_only), positions, id, extra: None, sent: None }
        }
        _ => ServerState::unreadable("the answer to the probe has other columns than asked for"),
    }
}

impl ServerState {
    /// A server that answers without saying anything of use.
    pub fn unreadable(reason: &str) -> ServerState {
        let positions = Positions::Missing(reason.into());
        ServerState { read_only: None, positions, id: None, extra: None, sent: None }
    }
}

fn mysql_sent(owned: &str) -> Result<Box<Sent>, Arc<str>> {
    match GtidSet::parse_owned(owned) {
        Ok(owned) => Ok(Box::new(Sent { sent: Position::MySql(owned), shown: None })),
        Err(error) => Err(format!("gtid_owned: {error}").into()),
    }
}

/// How to ask a MariaDB primary what it has sent to replicas, and then what of that it shows.
pub const SENT_QUESTIONS: [&str; 2] =
    ["SHOW MASTER STATUS", "SHOW GLOBAL STATUS LIKE 'binlog_snapshot%'"];

/// Reads the answers to [`SENT_QUESTIONS`].
///
/// # Errors
/// They say nothing of use, for people.
pub fn read_sent(sent: &Table, shown: &Table) -> Result<Sent, Arc<str>> {
    // Both are of one server's log, whichever it is.
    let place = |(file, offset)| Coordinates::parse(0, file, offset).map(Position::Coordinates);
    let end = sent.rows.first().and_then(|row| {
        let file = sent.text(row, &["File"])?;
        place((file, sent.text(row, &["Position"])?))
    });
    let status = |name: &str| {
        let is_it = |row: &&Row| {
            let told = shown.text(row, &["Variable_name"]);
            told.is_some_and(|told| told.eq_ignore_ascii_case(name))
        };
        shown.text(shown.rows.iter().find(is_it)?, &["Value"])
    };
    let snapshot = status("binlog_snapshot_file").zip(status("binlog_snapshot_position"));
    match (end, snapshot.and_then(place)) {
        (Some(sent), Some(shown)) => Ok(Sent { sent, shown: Some(shown) }),
        _ => Err("where the binary log ends, or how far it is committed, cannot be read".into()),
    }
}

/// How to ask where a MySQL primary's binary log ends; `version` as [`ServerFacts`] has it.
///
/// [`ServerFacts`]: crate::backend::connection::ServerFacts::version_number
pub fn log_question(version: u32) -> &'static str {
    if version >= 80_200 { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" }
}

/// Reads the answer to [`log_question`] of the server `id`.
///
/// # Errors
/// There is no binary log, for people.
pub fn read_log(id: Option<ServerId>, table: &Table) -> Result<Coordinates, Arc<str>> {
    let Some(ServerId::MySql(uuid)) = id else { return Err("server_uuid is not known".into()) };
    let row = table.rows.first().ok_or("GTIDs are off, and so is log_bin")?;
    let place = table.text(row, &["File"]).zip(table.text(row, &["Position"]));
    let coordinates = place.and_then(|(file, offset)| Coordinates::parse(uuid, file, offset));
    coordinates.ok_or_else(|| "the binary log's file and position cannot be read".into())
}

/// How to ask for replication channels, all of them.
pub fn channels_question(flavor: Flavor, version: u32) -> &'static str {
    match flavor {
        Flavor::MariaDb => "SHOW ALL SLAVES STATUS",
        Flavor::MySql if version >= 80_022 => "SHOW REPLICA STATUS",
        Flavor::MySql => "SHOW SLAVE STATUS",
    }
}

/// The privilege that [`log_question`] and [`channels_question`] need.
pub fn privilege(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MySql => "REPLICATION CLIENT",
        Flavor::MariaDb => "SLAVE MONITOR",
    }
}

/// `0` and `OFF` are off. Anything else counts as on: newer MariaDB versions have several ways to
/// be read-only.
fn is_on(value: &str) -> bool {
    value != "0" && !value.eq_ignore_ascii_case("OFF")
}

fn mysql_positions(gtid_mode: &str, gtid_executed: &str) -> Positions {
    if !gtid_mode.eq_ignore_ascii_case("ON") && gtid_mode != "1" {
        return Positions::NoGtids;
    }
    match Position::parse(Flavor::MySql, gtid_executed) {
        Ok(position) => Positions::MySql(Arc::new(position)),
        Err(error) => missing("gtid_executed", error),
    }
}

fn mariadb_positions(server_id: &str, slave_pos: &str, binlog: Option<(&str, &str)>) -> Positions {
    let Ok(server_id) = server_id.parse() else {
        return Positions::Missing("server_id is not a number".into());
    };
    let slave_pos = match GtidPosition::parse(slave_pos) {
        Ok(position) => position,
        Err(error) => return missing("gtid_slave_pos", error),
    };
    let (binlog_pos, binlog_state) = match binlog {
        None => (None, GtidState::default()),
        Some((position, state)) => match (GtidPosition::parse(position), GtidState::parse(state)) {
            (Ok(position), Ok(state)) => (Some(position), state),
            (Err(error), _) => return missing("gtid_binlog_pos", error),
            (_, Err(error)) => return missing("gtid_binlog_state", error),
        },
    };
    Positions::MariaDb(MariaDbPositions { slave_pos, binlog_pos, binlog_state, server_id })
}

fn missing(variable: &str, error: ParseGtidError) -> Positions {
    let mut reason = String::new();
    // Writing to a String cannot fail.
    let _ = write!(reason, "{variable}: {error}");
    Positions::Missing(reason.into())
}

/// What a server's refusal means for its health. The codes are in MySQL's "Server Error Message
/// Reference" and MariaDB's "MariaDB Error Code Reference".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The monitor's account is not let in, or not allowed to ask.
    Denied,
    /// No connection is free; those that exist go on working.
    Busy,
    /// The server is going away.
    Failed,
    /// It does not understand the question: alive, but it has no position.
    NoAnswer,
}

impl Refusal {
    /// Classifies a server's error code. `connecting`: it came instead of a login, where an error
    /// that is not known means that the server cannot be used.
    pub fn of_code(code: u16, connecting: bool) -> Refusal {
        match code {
            // ER_DBACCESS_DENIED, ER_ACCESS_DENIED, and without a password; ER_HOST_NOT_PRIVILEGED;
            // ER_NOT_SUPPORTED_AUTH_MODE; ER_PLUGIN_IS_NOT_LOADED; ER_SECURE_TRANSPORT_REQUIRED
            1044 | 1045 | 1698 | 1130 | 1251 | 1524 | 3159 => Refusal::Denied,
            // ER_MUST_CHANGE_PASSWORD and at login; ER_ACCOUNT_HAS_BEEN_LOCKED of both makes;
            // ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK
            1820 | 1862 | 3118 | 4151 | 3955 => Refusal::Denied,
            // ER_TABLEACCESS_DENIED, ER_COLUMNACCESS_DENIED, ER_SPECIFIC_ACCESS_DENIED
            1142 | 1143 | 1227 => Refusal::Denied,
            // ER_CON_COUNT, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED
            1040 | 1203 | 1226 => Refusal::Busy,
            // ER_SERVER_SHUTDOWN, ER_NORMAL_SHUTDOWN, ER_CONNECTION_KILLED, ER_QUERY_INTERRUPTED,
            // ER_HOST_IS_BLOCKED, ER_SERVER_OFFLINE_MODE
            1053 | 1077 | 1927 | 1317 | 1129 | 3032 => Refusal::Failed,
            _ if connecting => Refusal::Failed,
            _ => Refusal::NoAnswer,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn answer(flavor: Flavor, columns: &[&str]) -> ServerState {
        read_answer(flavor, &[columns.iter().map(|text| Some(text.as_bytes().to_vec())).collect()])
    }

    /// The position, or why there is none.
    fn told(state: &ServerState) -> String {
        match &state.positions {
            Positions::MySql(position) => position.to_string(),
            Positions::MariaDb(MariaDbPositions { slave_pos, binlog_pos, server_id, .. }) => {
                let binlog_pos = binlog_pos.as_ref().map(ToString::to_string);
                format!("{slave_pos} / {binlog_pos:?} / {server_id}")
            }
            Positions::NoGtids => "no GTIDs".into(),
            Positions::Missing(reason) => format!("none: {reason}"),
        }
    }

    #[test]
    fn mysql_answers() {
        let set = format!("{UUID}:1-5");
        for (columns, read_only, expected) in [
            (["0", "0", "ON", &set], Some((false, false)), set.as_str()),
            (["1", "1", "ON", ""], Some((true, true)), ""),
            (["ON", "OFF", "ON", ""], Some((true, false)), ""),
            (["0", "0", "OFF", ""], Some((false, false)), "no GTIDs"),
            (["0", "0", "ON_PERMISSIVE", &set], Some((false, false)), "no GTIDs"),
        ] {
            let [a, b, c, d] = columns;
            let state = answer(Flavor::MySql, &["", a, b, c, d, UUID]);
            assert_eq!(state.id, parse_server_uuid(UUID).map(ServerId::MySql));
            assert_eq!(told(&state), expected, "{columns:?}");
            let read_only = read_only
                .map(|(read_only, super_read_only)| ReadOnly { read_only, super_read_only });
            assert_eq!(state.read_only, read_only, "{columns:?}");
        }
    }

    #[test]
    fn mariadb_answers() {
        for (columns, read_only, expected) in [
            (["0", "1", "1", "", "0-1-7", "0-1-7"], false, " / Some(\"0-1-7\") / 1"),
            (["1", "1", "2", "0-1-7", "0-1-8", "0-1-8,0-2-3"], true, "0-1-7 / Some(\"0-1-8\") / 2"),
            (["1", "0", "2", "0-1-7", "", ""], true, "0-1-7 / None / 2"),
            (["NO_LOCK", "0", "2", "0-1-7", "", ""], true, "0-1-7 / None / 2"),
            (["1", "1", "x", "", "", ""], true, "none: server_id is not a number"),
        ] {
            let state = answer(Flavor::MariaDb, &columns);
            assert_eq!(told(&state), expected, "{columns:?}");
            assert_eq!(state.read_only.unwrap().read_only, read_only, "{columns:?}");
        }
    }

    #[test]
    fn nonsense_is_an_answer_without_a_position() {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        for (flavor, rows) in [
            (Flavor::MySql, vec![]),
            (Flavor::MySql, vec![vec![], vec![]]),
            (Flavor::MySql, vec![vec![text(""), text("0"), text("0"), text("ON")]]),
            (Flavor::MySql, vec![vec![text(""), text("0"), text("0"), text("ON"), text("")]]),
            (
                Flavor::MySql,
                vec![
                    ["", "0", "0", "ON", "?", UUID].map(|t| text(t).filter(|_| t != "?")).to_vec(),
                ],
            ),
            (Flavor::MySql, vec![["", "0", "0", "ON", "0-1-5", UUID].map(text).to_vec()]),
            (
                Flavor::MySql,
                vec![vec![
                    text(""),
                    text("0"),
                    text("0"),
                    text("ON"),
                    Some(vec![0xff]),
                    text(UUID),
                ]],
            ),
            (Flavor::MariaDb, vec![vec![text("0"), text("0"), text("ON"), text("")]]),
            (Flavor::MariaDb, vec![["0", "1", "1", "x", "", ""].map(text).to_vec()]),
            (Flavor::MariaDb, vec![["0", "1", "1", "", "x", ""].map(text).to_vec()]),
            (Flavor::MariaDb, vec![["0", "1", "1", "", "", "x"].map(text).to_vec()]),
        ] {
            let state = read_answer(flavor, &rows);
            assert!(matches!(state.positions, Positions::Missing(_)), "{rows:?}");
        }
    }

    #[test]
    fn the_end_of_the_binary_log() {
        let id = parse_server_uuid(UUID).map(ServerId::MySql);
        let columns = ["File", "Position", "Binlog_Do_DB"].map(|name| name.as_bytes().to_vec());
        let table = |file: &str, position: &str| {
            let row = [file, position, ""].map(|text| Some(text.as_bytes().to_vec())).to_vec();
            Table { columns: columns.to_vec(), rows: vec![row] }
        };
        let read = |id, table| read_log(id, &table).map(|place| place.to_string());
        assert_eq!(read(id, table("binlog.000004", "377")).unwrap(), "binlog.000004:377");
        assert!(read(id, table("binlog.000004", "x")).is_err());
        assert!(read(None, table("binlog.000004", "377")).is_err());
        let off = read(id, Table { columns: columns.to_vec(), rows: vec![] });
        assert_eq!(&*off.unwrap_err(), "GTIDs are off, and so is log_bin");
    }

    #[test]
    fn what_was_sent() {
        let set = format!("{UUID}:1-5");
        let sent = |owned: &str, mode: &str| {
            let told = answer(Flavor::MySql, &[owned, "0", "0", mode, &set, UUID]).sent;
            told.map(|told| told.map(|told| (told.sent.to_string(), told.shown)).map_err(drop))
        };
        assert_eq!(sent("", "ON"), Some(Ok((String::new(), None))));
        let owned = format!("{UUID}:6#12:8#1,\n{}:tag:1#7", UUID.replace('3', "4"));
        let without = format!("{UUID}:6:8,\n{}:tag:1", UUID.replace('3', "4"));
        assert_eq!(sent(&owned, "ON"), Some(Ok((without, None))));
        assert_eq!(sent("#", "ON"), Some(Ok((String::new(), None))));
        assert_eq!(sent("x", "ON"), Some(Err(())));
        assert_eq!(sent("", "OFF"), None);

        let table = |columns: &[&str], rows: &[&[&str]]| {
            let texts =
                |texts: &[&str]| texts.iter().map(|text| Some(text.as_bytes().to_vec())).collect();
            let columns = columns.iter().map(|name| name.as_bytes().to_vec()).collect();
            Table { columns, rows: rows.iter().copied().map(texts).collect() }
        };
        let end = table(&["File", "Position", "Binlog_Do_DB"], &[&["b.000002", "596", ""]]);
        let status = |rows: &[&[&str]]| table(&["Variable_name", "Value"], rows);
        let file: &[&str] = &["Binlog_snapshot_file", "b.000001"];
        let told = read_sent(&end, &status(&[file, &["Binlog_snapshot_position", "379"]])).unwrap();
        let place =
            |file, offset| Position::Coordinates(Coordinates::parse(0, file, offset).unwrap());
        let (sent, shown) = (place("b.000002", "596"), Some(place("b.000001", "379")));
        assert_eq!(told, Sent { sent, shown });
        assert!(read_sent(&end, &status(&[file])).is_err());
        assert!(read_sent(&table(&["File", "Position"], &[]), &status(&[file])).is_err());
    }

    #[test]
    fn statements_by_version() {
        for (version, log, channels) in [
            (50_744, "SHOW MASTER STATUS", "SHOW SLAVE STATUS"),
            (80_021, "SHOW MASTER STATUS", "SHOW SLAVE STATUS"),
            (80_022, "SHOW MASTER STATUS", "SHOW REPLICA STATUS"),
            (80_200, "SHOW BINARY LOG STATUS", "SHOW REPLICA STATUS"),
            (90_700, "SHOW BINARY LOG STATUS", "SHOW REPLICA STATUS"),
        ] {
            let asked = (log_question(version), channels_question(Flavor::MySql, version));
            assert_eq!(asked, (log, channels), "{version}");
        }
    }

    #[test]
    fn refusals() {
        for (code, connecting, expected) in [
            (1045, true, Refusal::Denied),
            (1045, false, Refusal::Denied),
            (1130, true, Refusal::Denied),
            (4151, true, Refusal::Denied),
            (1227, false, Refusal::Denied),
            (1040, true, Refusal::Busy),
            (1203, true, Refusal::Busy),
            (1129, true, Refusal::Failed),
            (1053, false, Refusal::Failed),
            (1193, false, Refusal::NoAnswer),
            (1193, true, Refusal::Failed),
        ] {
            assert_eq!(Refusal::of_code(code, connecting), expected, "{code}");
        }
    }
}
