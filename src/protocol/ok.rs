//! The OK packet, and the session state changes that it carries.
//!
//! MySQL Internals, "Protocol::OK_Packet", "Session State Information". Servers send the info
//! string length-encoded to every client, and leave it out where it and the state are empty.

use super::flags::StatusFlags;
use super::reader::{Malformed, Reader};
use super::writer;

/// First byte of an OK packet that is not the end of a result set.
pub const OK: u8 = 0x00;

/// An OK packet, borrowed from the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OkPacket<'a> {
    /// 0x00, or 0xfe at the end of a result set under `DEPRECATE_EOF`.
    pub header: u8,
    /// Rows changed, or matched under `FOUND_ROWS`.
    pub affected_rows: u64,
    /// The first generated AUTO_INCREMENT value, or 0.
    pub last_insert_id: u64,
    /// Status flags.
    pub status: StatusFlags,
    /// Number of warnings.
    pub warnings: u16,
    /// For example `Rows matched: 1  Changed: 1  Warnings: 0`.
    pub info: &'a [u8],
    /// Session state changes as on the wire: see [`changes`].
    pub state: &'a [u8],
}

impl<'a> OkPacket<'a> {
    /// Reads an OK packet of a connection with or without `SESSION_TRACK`.
    ///
    /// # Errors
    /// Not an OK packet.
    pub fn parse(payload: &'a [u8], session_track: bool) -> Result<Self, Malformed> {
        Self::read(payload, session_track).ok_or(Malformed("OK packet"))
    }

    fn read(payload: &'a [u8], session_track: bool) -> Option<Self> {
        let mut r = Reader::new(payload);
        let header = r.u8()?; // int<1>
        let affected_rows = r.lenenc()?; // int<lenenc>
        let last_insert_id = r.lenenc()?; // int<lenenc>
        let status = StatusFlags::from_bits_retain(r.u16()?); // int<2>
        let warnings = r.u16()?; // int<2>
        let info = if r.is_empty() { &[] } else { r.lenenc_bytes()? }; // string<lenenc>
        let mut state: &[u8] = &[];
        if session_track && status.contains(StatusFlags::SESSION_STATE_CHANGED) {
            state = r.lenenc_bytes()?; // string<lenenc>
        }
        Some(Self { header, affected_rows, last_insert_id, status, warnings, info, state })
    }

    /// Appends the payload to `out`, with the state if the flag says that there is some.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.header);
        writer::lenenc(out, self.affected_rows);
        writer::lenenc(out, self.last_insert_id);
        out.extend_from_slice(&self.status.bits().to_le_bytes());
        out.extend_from_slice(&self.warnings.to_le_bytes());
        let changed = self.status.contains(StatusFlags::SESSION_STATE_CHANGED);
        if changed || !self.info.is_empty() {
            writer::lenenc_bytes(out, self.info);
        }
        if changed {
            writer::lenenc_bytes(out, self.state);
        }
    }
}

/// One session state change (MySQL Internals, "SESSION_TRACK_*").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChange<'a> {
    /// A system variable has this value now, as text.
    SystemVariable {
        /// The variable's name.
        name: &'a [u8],
        /// Its value; empty for NULL too.
        value: &'a [u8],
    },
    /// The default schema.
    Schema(&'a [u8]),
    /// Anything in the session changed: `1`.
    State(&'a [u8]),
    /// GTIDs of the statement, as MySQL prints them.
    Gtids(&'a [u8]),
    /// The statements that would start the open transaction again; empty if none is needed.
    TransactionCharacteristics(&'a [u8]),
    /// Eight characters, such as `T_______`.
    TransactionState(&'a [u8]),
    /// A kind that lagwise does not know.
    Other(u8),
}

/// A change together with the bytes that carried it, so that it can be passed on as it is.
pub type RawChange<'a> = (StateChange<'a>, &'a [u8]);

/// Walks the session state changes of an OK packet; a malformed rest ends the walk with an error.
pub fn changes(state: &[u8]) -> impl Iterator<Item = Result<RawChange<'_>, Malformed>> {
    let mut pending: Option<Reader<'_>> = None;
    let mut outer = Reader::new(state);
    std::iter::from_fn(move || {
        loop {
            // MariaDB packs several variables into one entry; MySQL sends one an entry.
            if let Some(inner) = &mut pending {
                if inner.is_empty() {
                    pending = None;
                    continue;
                }
                let start = inner.rest();
                let pair = inner.lenenc_bytes().zip(inner.lenenc_bytes());
                let len = start.len() - inner.rest().len();
                let Some((name, value)) = pair else {
                    pending = None;
                    outer = Reader::new(&[]);
                    return Some(Err(Malformed("session state")));
                };
                let raw = start.get(..len).unwrap_or_default();
                return Some(Ok((StateChange::SystemVariable { name, value }, raw)));
            }
            if outer.is_empty() {
                return None;
            }
            match entry(&mut outer) {
                Some((0, data)) => pending = Some(Reader::new(data)),
                Some((kind, data)) => {
                    let change = change(kind, data);
                    if change.is_err() {
                        outer = Reader::new(&[]);
                    }
                    return Some(change);
                }
                None => {
                    outer = Reader::new(&[]);
                    return Some(Err(Malformed("session state")));
                }
            }
        }
    })
}

fn entry<'a>(r: &mut Reader<'a>) -> Option<(u8, &'a [u8])> {
    let kind = r.u8()?; // int<1> type
    Some((kind, r.lenenc_bytes()?)) // string<lenenc> data
}

fn change(kind: u8, data: &[u8]) -> Result<RawChange<'_>, Malformed> {
    let mut r = Reader::new(data);
    let read = |value: Option<_>| value.ok_or(Malformed("session state"));
    let change = match kind {
        1 => StateChange::Schema(read(r.lenenc_bytes())?),
        2 => StateChange::State(data), // as it is, without a length of its own
        3 => {
            r.u8().ok_or(Malformed("session state"))?; // int<1> encoding specification, always 0
            StateChange::Gtids(read(r.lenenc_bytes())?)
        }
        4 => StateChange::TransactionCharacteristics(read(r.lenenc_bytes())?),
        5 => StateChange::TransactionState(read(r.lenenc_bytes())?),
        other => StateChange::Other(other),
    };
    Ok((change, data))
}

/// Appends one entry of a system variable to a state string.
pub fn write_system_variable(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let mut data = Vec::with_capacity(name.len() + value.len() + 4);
    writer::lenenc_bytes(&mut data, name);
    writer::lenenc_bytes(&mut data, value);
    out.push(0);
    writer::lenenc_bytes(out, &data);
}

/// Appends one entry of the default schema to a state string.
pub fn write_schema(out: &mut Vec<u8>, schema: &[u8]) {
    let mut data = Vec::with_capacity(schema.len() + 2);
    writer::lenenc_bytes(&mut data, schema);
    out.push(1);
    writer::lenenc_bytes(out, &data);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_ok_is_seven_bytes() {
        let payload = [0, 1, 2, 2, 0, 3, 0];
        let ok = OkPacket::parse(&payload, true).unwrap();
        assert_eq!((ok.affected_rows, ok.last_insert_id, ok.warnings), (1, 2, 3));
        assert_eq!(ok.status, StatusFlags::AUTOCOMMIT);
        let mut out = Vec::new();
        ok.write(&mut out);
        assert_eq!(out, payload);
        for end in 0..payload.len() {
            assert!(OkPacket::parse(&payload[..end], true).is_err(), "{end}");
        }
    }

    #[test]
    fn state_changes() {
        let mut state = Vec::new();
        write_system_variable(&mut state, b"sql_mode", b"ANSI");
        write_schema(&mut state, b"shop");
        state.extend_from_slice(&[3, 4, 0, 2, b'u', b'5', 2, 1, b'1', 9, 1, 0]);
        // MariaDB: two variables in one entry.
        state.extend_from_slice(&[0, 8, 1, b'a', 1, b'1', 1, b'b', 1, b'2']);
        let got: Vec<_> = changes(&state).map(|change| change.unwrap().0).collect();
        let want = [
            StateChange::SystemVariable { name: b"sql_mode", value: b"ANSI" },
            StateChange::Schema(b"shop"),
            StateChange::Gtids(b"u5"),
            StateChange::State(b"1"),
            StateChange::Other(9),
            StateChange::SystemVariable { name: b"a", value: b"1" },
            StateChange::SystemVariable { name: b"b", value: b"2" },
        ];
        assert_eq!(got, want);
        assert!(changes(&[0, 5, 1]).next().unwrap().is_err());
        // A schema longer than its entry; what follows is not looked at.
        assert_eq!(
            changes(&[1, 1, 5, 2, 1, b'1']).map(|change| change.is_ok()).collect::<Vec<_>>(),
            [false]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, track: bool) {
            if let Ok(ok) = OkPacket::parse(&bytes, track) {
                changes(ok.state).for_each(drop);
            }
            prop_assert!(changes(&bytes).count() <= bytes.len());
        }
    }
}
