//! Which session state changes a client is told.
//!
//! lagwise asks its servers to report everything. A client that did not negotiate SESSION_TRACK
//! gets nothing of it; one that did gets what its server would tell by default, as on a direct
//! connection; one that has set the session_track_ variables itself gets what comes.

use crate::protocol::flags::{Capabilities, StatusFlags};
use crate::protocol::ok::{OkPacket, StateChange, changes};
use crate::protocol::writer;
use crate::sql::Make;

/// What a client is told of its session's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracked {
    /// Nothing: no SESSION_TRACK.
    Nothing,
    /// What servers of this make track by default.
    Default(Make),
    /// All that the server says.
    Everything,
}

const AUTOCOMMIT: &[u8] = b"autocommit";
const CLIENT: &[u8] = b"character_set_client";
const CONNECTION: &[u8] = b"character_set_connection";
const RESULTS: &[u8] = b"character_set_results";
const TIME_ZONE: &[u8] = b"time_zone";

/// The default of session_track_system_variables in MySQL 5.7 to 9 and MariaDB from 10.2, in the order in
/// which servers report them, whatever a SET names first. (Measured on MySQL 9.7 and MariaDB 10.11.)
fn default_variables(make: Make) -> [&'static [u8]; 5] {
    match make {
        Make::MySql => [AUTOCOMMIT, CLIENT, CONNECTION, RESULTS, TIME_ZONE],
        Make::MariaDb => [AUTOCOMMIT, TIME_ZONE, CLIENT, CONNECTION, RESULTS],
    }
}

impl Tracked {
    /// For a client of these capabilities, at a server of this make.
    pub fn by_default(capabilities: Capabilities, make: Make) -> Self {
        if capabilities.contains(Capabilities::SESSION_TRACK) {
            Self::Default(make)
        } else {
            Self::Nothing
        }
    }

    /// For a client of these capabilities that sets the trackers itself, or does not.
    pub fn of(capabilities: Capabilities, make: Make, set_by_client: bool) -> Self {
        match Self::by_default(capabilities, make) {
            Self::Default(_) if set_by_client => Self::Everything,
            other => other,
        }
    }

    /// True if no packet needs to be rewritten.
    pub fn is_everything(self) -> bool {
        self == Self::Everything
    }

    /// The packet as the client gets it; `state` is room for its state.
    pub fn shown<'a>(self, ok: &OkPacket<'a>, state: &'a mut Vec<u8>) -> OkPacket<'a> {
        match self {
            Self::Nothing => {}
            Self::Default(make) => by_default(ok.state, make, state),
            Self::Everything => return *ok,
        }
        let mut status = ok.status;
        status.set(StatusFlags::SESSION_STATE_CHANGED, !state.is_empty());
        OkPacket { status, state, ..*ok }
    }
}

/// Appends what servers report by default, in their order. (With all variables tracked, MariaDB's order
/// varies.)
fn by_default(told: &[u8], make: Make, out: &mut Vec<u8>) {
    let names = default_variables(make);
    let mut variables: [Option<&[u8]>; 5] = Default::default();
    let mut schema = None;
    for (change, raw) in changes(told).filter_map(Result::ok) {
        match change {
            StateChange::SystemVariable { name, .. } => {
                let place = names.iter().position(|known| *known == name);
                if let Some(slot) = place.and_then(|place| variables.get_mut(place)) {
                    *slot = Some(raw);
                }
            }
            StateChange::Schema(_) => schema = Some(raw),
            _ => {}
        }
    }
    for raw in variables.into_iter().flatten() {
        out.push(0);
        writer::lenenc_bytes(out, raw);
    }
    if let Some(raw) = schema {
        out.push(1);
        writer::lenenc_bytes(out, raw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ok::{write_schema, write_system_variable};

    fn check(tracked: Tracked, want: &[u8]) {
        let mut state = Vec::new();
        write_system_variable(&mut state, b"sql_mode", b"ANSI");
        write_system_variable(&mut state, b"character_set_client", b"gbk");
        write_system_variable(&mut state, b"time_zone", b"UTC");
        write_system_variable(&mut state, b"autocommit", b"ON");
        write_schema(&mut state, b"shop");
        state.extend_from_slice(&[2, 1, b'1']);
        let status = StatusFlags::AUTOCOMMIT | StatusFlags::SESSION_STATE_CHANGED;
        let ok = OkPacket {
            header: 0,
            affected_rows: 1,
            last_insert_id: 2,
            status,
            warnings: 3,
            info: b"info",
            state: &state,
        };
        let mut room = Vec::new();
        let shown = tracked.shown(&ok, &mut room);
        assert_eq!(shown.state, want);
        assert_eq!((shown.affected_rows, shown.info, shown.warnings), (1, &b"info"[..], 3));
        let flag = shown.status.contains(StatusFlags::SESSION_STATE_CHANGED);
        assert_eq!(flag, !want.is_empty());
    }

    #[test]
    fn clients_are_told_what_they_would_be_told_directly() {
        check(Tracked::Nothing, b"");
        let want = |variables: [(&str, &str); 3]| {
            let mut want = Vec::new();
            for (name, value) in variables {
                write_system_variable(&mut want, name.as_bytes(), value.as_bytes());
            }
            write_schema(&mut want, b"shop");
            want
        };
        let on = ("autocommit", "ON");
        let (gbk, utc) = (("character_set_client", "gbk"), ("time_zone", "UTC"));
        check(Tracked::Default(Make::MySql), &want([on, gbk, utc]));
        check(Tracked::Default(Make::MariaDb), &want([on, utc, gbk]));
    }
}
