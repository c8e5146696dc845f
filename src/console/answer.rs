//! What a statement is answered with, as packets of the text protocol.
//!
//! MySQL Internals, "Text Resultset".

use crate::protocol::ErrPacket;
use crate::protocol::eof::{EOF, EofPacket};
use crate::protocol::flags::StatusFlags;
use crate::protocol::frame::build_packet;
use crate::protocol::ok::{OK, OkPacket};
use crate::protocol::writer;

/// utf8mb4_general_ci.
const CHARSET: u16 = 45;
/// MYSQL_TYPE_VAR_STRING.
const VAR_STRING: u8 = 0xfd;
/// Bytes of a value, as a client is told.
const WIDTH: u32 = 1024;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// OK, and what it says besides.
    Done(String),
    /// A result set: names of columns, and rows. All values are text.
    Table(Vec<String>, Vec<Vec<Option<String>>>),
    /// The end of a list of columns without any.
    NoFields,
    /// An error.
    Error(ErrPacket),
}

impl Answer {
    /// OK.
    pub fn done(info: &str) -> Self {
        Self::Done(info.to_owned())
    }

    /// An error.
    pub fn error(code: u16, state: &[u8; 5], text: impl Into<String>) -> Self {
        Self::Error(ErrPacket::new(code, state, text))
    }

    /// A result set.
    pub fn table(columns: &[&str], rows: Vec<Vec<Option<String>>>) -> Self {
        Self::Table(columns.iter().map(|&name| name.to_owned()).collect(), rows)
    }

    /// A result set without rows.
    pub fn empty(columns: &[&str]) -> Self {
        Self::table(columns, Vec::new())
    }

    /// The packets, from sequence id `seq` on.
    pub fn packets(&self, seq: u8, deprecate_eof: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let end = |out: &mut Vec<u8>| match deprecate_eof {
            true => ok(EOF, "").write(out),
            false => EofPacket { warnings: 0, status: StatusFlags::AUTOCOMMIT }.write(out),
        };
        match self {
            Self::Done(info) => {
                build_packet(&mut out, seq, |out| ok(OK, info).write(out));
            }
            Self::Error(err) => {
                build_packet(&mut out, seq, |out| err.write(out));
            }
            Self::NoFields => {
                build_packet(&mut out, seq, end);
            }
            Self::Table(columns, rows) => {
                let count = columns.len() as u64;
                let mut seq = build_packet(&mut out, seq, |out| writer::lenenc(out, count));
                for name in columns {
                    seq = build_packet(&mut out, seq, |out| definition(out, name));
                }
                if !deprecate_eof {
                    seq = build_packet(&mut out, seq, end);
                }
                for row in rows {
                    seq = build_packet(&mut out, seq, |out| write_row(out, row));
                }
                build_packet(&mut out, seq, end);
            }
        }
        out
    }
}

/// An OK packet.
pub fn ok(header: u8, info: &str) -> OkPacket<'_> {
    OkPacket {
        header,
        affected_rows: 0,
        last_insert_id: 0,
        status: StatusFlags::AUTOCOMMIT,
        warnings: 0,
        info: info.as_bytes(),
        state: b"",
    }
}

/// "Protocol::ColumnDefinition41".
fn definition(out: &mut Vec<u8>, name: &str) {
    // catalog, schema, table, org_table, name, org_name
    for text in ["def", "", "", "", name, name] {
        writer::lenenc_bytes(out, text.as_bytes());
    }
    out.push(0x0c); // bytes of the fixed fields
    out.extend_from_slice(&CHARSET.to_le_bytes());
    out.extend_from_slice(&WIDTH.to_le_bytes());
    out.extend_from_slice(&[VAR_STRING, 0, 0, 0, 0, 0]); // type, flags, decimals, filler
}

fn write_row(out: &mut Vec<u8>, row: &[Option<String>]) {
    for value in row {
        match value {
            Some(text) => writer::lenenc_bytes(out, text.as_bytes()),
            None => out.push(0xfb), // NULL
        }
    }
}
