//! What a probe asks, and how the answer is read.
//!
//! One question and one row, so that a probe is one round trip. Reading global variables needs no
//! privilege on either make, so the monitor's account needs none beyond logging in.
//!
//! Deliberately absent: `SHOW REPLICA STATUS`. It needs a privilege, differs between versions, and
//! says nothing about lag that positions do not say better.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use super::gtid_mariadb::{GtidPosition, GtidState};
use super::member::ReadOnly;
use super::position::{Flavor, ParseGtidError, Position};
use crate::protocol::text_row::Row;

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
}

/// The positions that a server told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Positions {
    /// `gtid_executed`: on a primary what it has committed, on a replica what it has applied.
    MySql(Arc<Position>),
    /// MariaDB's several positions.
    MariaDb(MariaDbPositions),
    /// None, and why, for people.
    Missing(Arc<str>),
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

/// The question for a server of this make.
pub fn question(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MySql => {
            "SELECT @@global.read_only, @@global.super_read_only, \
             @@global.gtid_mode, @@global.gtid_executed"
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
        (Flavor::MySql, Some([read_only, super_read_only, gtid_mode, gtid_executed])) => {
            let read_only =
                ReadOnly { read_only: is_on(read_only), super_read_only: is_on(super_read_only) };
            let positions = mysql_positions(gtid_mode, gtid_executed);
            ServerState { read_only: Some(read_only), positions }
        }
        (
            Flavor::MariaDb,
            Some([read_only, log_bin, server_id, slave_pos, binlog_pos, binlog_state]),
        ) => {
            let read_only = ReadOnly { read_only: is_on(read_only), super_read_only: false };
            let binlog = is_on(log_bin).then_some((*binlog_pos, *binlog_state));
            let positions = mariadb_positions(server_id, slave_pos, binlog);
            ServerState { read_only: Some(read_only), positions }
        }
        _ => ServerState::unreadable("the answer to the probe has other columns than asked for"),
    }
}

impl ServerState {
    /// A server that answers without saying anything of use.
    pub fn unreadable(reason: &str) -> ServerState {
        ServerState { read_only: None, positions: Positions::Missing(reason.into()) }
    }
}

/// `0` and `OFF` are off. Anything else counts as on: newer MariaDB versions have several ways to
/// be read-only.
fn is_on(value: &str) -> bool {
    value != "0" && !value.eq_ignore_ascii_case("OFF")
}

/// With `gtid_mode` other than ON some transactions have no GTID, and a set that lacks them proves
/// nothing.
fn mysql_positions(gtid_mode: &str, gtid_executed: &str) -> Positions {
    if !gtid_mode.eq_ignore_ascii_case("ON") && gtid_mode != "1" {
        return Positions::Missing("gtid_mode is not ON".into());
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
            (["0", "0", "OFF", ""], Some((false, false)), "none: gtid_mode is not ON"),
            (["0", "0", "ON_PERMISSIVE", &set], Some((false, false)), "none: gtid_mode is not ON"),
        ] {
            let state = answer(Flavor::MySql, &columns);
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
            (Flavor::MySql, vec![vec![text("0"), text("0"), text("ON")]]),
            (Flavor::MySql, vec![vec![text("0"), text("0"), text("ON"), None]]),
            (Flavor::MySql, vec![vec![text("0"), text("0"), text("ON"), Some(vec![0xff])]]),
            (Flavor::MySql, vec![vec![text("0"), text("0"), text("ON"), text("0-1-5")]]),
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
