//! Where the response to one command ends.
//!
//! A relay forwards what a server says without reading rows; but it must know when the answer is
//! complete, find the few packets that carry state (OK, ERR, EOF), and stop when the server asks
//! the client for a file. [`ResponseTracker`] sees the bytes as they come, in pieces of any size,
//! looks at headers and first bytes, and asks for a whole packet only where it must be read.
//!
//! ```text
//!              OK/ERR/EOF, no more results
//!   First ─────────────────────────────────────────────► Done
//!    │ ▲ └─0xfb─► AwaitFile ──file_sent()──► First         ▲
//!    │ └────── OK/EOF with MORE_RESULTS_EXISTS ──────┐     │
//!    │ column count                                  │     │
//!    ▼                                               │     │
//!  Columns ──► ColumnsEof (without DEPRECATE_EOF) ─► Rows ─┤ OK/EOF/ERR
//!                   └─ CURSOR_EXISTS ──────────────────────┘
//!  Prepare ──► Definitions (parameters) ──► Definitions (columns) ──► Done
//! ```
//!
//! MySQL Internals, "Text Resultset", "COM_STMT_PREPARE Response", "COM_STMT_FETCH Response",
//! "LOCAL INFILE Request".

use super::eof::{EOF, EofPacket};
use super::err::{ERR, PROGRESS_REPORT};
use super::flags::{Capabilities, StatusFlags};
use super::frame::{HEADER_LEN, Header, MAX_PAYLOAD};
use super::ok::OK;
use super::prepare::PrepareOk;
use super::reader::{Malformed, Reader};

/// The largest OK, ERR or EOF packet that is believed, in bytes: they must be read whole. Session
/// trackers make OK packets long; a megabyte is far above what any server sends.
pub const MAX_CONTROL_PACKET: usize = 1 << 20;

/// What kind of response a command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// OK, ERR, or result sets: COM_QUERY, COM_STMT_EXECUTE, COM_PING and most others.
    Results,
    /// COM_STMT_PREPARE
    Prepare,
    /// Rows without column definitions before them: COM_STMT_FETCH; the same shape, with column
    /// definitions in the place of rows, has COM_FIELD_LIST.
    Rows,
    /// One packet of any content: COM_STATISTICS.
    Single,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    First,
    Prepare,
    Single,
    Columns {
        left: u16,
    },
    ColumnsEof,
    /// Parameter or column definitions of a PREPARE, then those of `then`.
    Definitions {
        left: u16,
        then: u16,
    },
    DefinitionsEof {
        then: u16,
    },
    Rows,
    AwaitFile,
    Done,
}

/// A packet that the relay may have to read or change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// OK, at the end of a result or instead of one.
    Ok,
    /// EOF at the end of a result.
    Eof,
    /// EOF after definitions: of columns, or of a prepared statement's parameters.
    DefinitionsEof,
    /// ERR; always the end of the response.
    Err,
    /// PREPARE_OK; definitions may follow.
    PrepareOk,
    /// The server asks for a file's content.
    LocalInfile,
}

/// What [`ResponseTracker::advance`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// All that could be passed over was; at least this many more bytes are needed to go on.
    NeedMore(usize),
    /// A whole control packet: from `start` (its header) to the number of bytes consumed.
    Packet {
        /// Which.
        control: Control,
        /// Offset of the header.
        start: usize,
        /// True if the response ends with it.
        last: bool,
    },
    /// The response has ended with a packet that is not a control packet.
    End,
}

/// Follows one response.
#[derive(Clone, Debug)]
pub struct ResponseTracker {
    state: State,
    /// Bytes of a frame that are yet to come and need not be read.
    skip: usize,
    /// The frame before was full: the next belongs to the same packet.
    continued: bool,
    /// The sequence id that the next frame must have.
    seq: u8,
    deprecate_eof: bool,
    progress: bool,
    /// The rows are those of OUT parameters, which another result follows. MySQL says so in the
    /// EOF before the rows only ("COM_STMT_EXECUTE Response" calls that a bug).
    out_params: bool,
    columns: u16,
    rows: u64,
}

impl ResponseTracker {
    /// A tracker for the response to a command of one frame, on a connection with these
    /// capabilities.
    pub fn new(kind: ResponseKind, capabilities: Capabilities) -> Self {
        let state = match kind {
            ResponseKind::Results => State::First,
            ResponseKind::Prepare => State::Prepare,
            ResponseKind::Rows => State::Rows,
            ResponseKind::Single => State::Single,
        };
        Self {
            state,
            skip: 0,
            continued: false,
            seq: 1,
            deprecate_eof: capabilities.contains(Capabilities::DEPRECATE_EOF),
            progress: capabilities.contains(Capabilities::MARIADB_PROGRESS),
            out_params: false,
            columns: 0,
            rows: 0,
        }
    }

    /// The same, where the command's last frame had sequence id `last_seq`.
    pub fn after(mut self, last_seq: u8) -> Self {
        self.seq = last_seq.wrapping_add(1);
        self
    }

    /// Tells that the client's file was sent, its last (empty) frame with sequence id `last_seq`.
    pub fn file_sent(&mut self, last_seq: u8) {
        if self.state == State::AwaitFile {
            self.state = State::First;
            self.seq = last_seq.wrapping_add(1);
        }
    }

    /// The sequence id of the next packet, if all bytes that were consumed are whole packets.
    pub fn at_boundary(&self) -> Option<u8> {
        (self.skip == 0 && !self.continued).then_some(self.seq)
    }

    /// Number of columns of the result set that came last; 0 if none did.
    pub fn columns(&self) -> u16 {
        self.columns
    }

    /// Number of rows of the result set that came last.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// True once the response has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done && self.skip == 0 && !self.continued
    }

    /// Looks at `bytes`, which follow directly on all bytes that were consumed before. Returns how
    /// many are consumed now, and why it stopped there.
    ///
    /// # Errors
    /// The bytes are not a response of this kind; nothing more can be said of the connection.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<(usize, Event), Malformed> {
        let mut pos = 0;
        loop {
            if self.skip > 0 {
                let step = self.skip.min(bytes.len() - pos);
                pos += step;
                self.skip -= step;
                if self.skip > 0 {
                    return Ok((pos, Event::NeedMore(1)));
                }
            }
            if self.is_done() {
                return Ok((pos, Event::End));
            }
            let rest = bytes.get(pos..).unwrap_or_default();
            let Some(header) = Header::parse(rest) else {
                return Ok((pos, Event::NeedMore(HEADER_LEN - rest.len())));
            };
            if header.seq != self.seq {
                return Err(Malformed("sequence id"));
            }
            if self.continued {
                self.pass(header);
                continue;
            }
            if header.len == 0 {
                return Err(Malformed("empty packet"));
            }
            let body = rest.get(HEADER_LEN..).unwrap_or_default();
            let Some(&first) = body.first() else {
                return Ok((pos, Event::NeedMore(1)));
            };
            if !self.must_read(header, first) {
                self.pass(header);
                self.passed_definition();
                continue;
            }
            if header.len > MAX_CONTROL_PACKET {
                return Err(Malformed("control packet"));
            }
            let Some(payload) = body.get(..header.len) else {
                return Ok((pos, Event::NeedMore(header.len - body.len())));
            };
            self.seq = self.seq.wrapping_add(1);
            let start = pos;
            pos += HEADER_LEN + header.len;
            if let Some((control, last)) = self.read(first, payload)? {
                if last {
                    self.state = State::Done;
                }
                return Ok((pos, Event::Packet { control, start, last }));
            }
        }
    }

    /// Passes over a frame without reading it.
    fn pass(&mut self, header: Header) {
        self.skip = HEADER_LEN + header.len;
        self.continued = header.is_continued();
        self.seq = self.seq.wrapping_add(1);
    }

    /// Must the packet be seen whole?
    fn must_read(&self, header: Header, first: u8) -> bool {
        match self.state {
            State::Rows => first == ERR || self.ends_rows(header, first),
            State::Columns { .. } | State::Definitions { .. } => first == ERR,
            State::Single => first == ERR,
            _ => true,
        }
    }

    /// An OK or EOF rather than a row whose first value is longer than 16 MiB.
    fn ends_rows(&self, header: Header, first: u8) -> bool {
        let limit = if self.deprecate_eof { MAX_PAYLOAD } else { 9 };
        first == EOF && header.len < limit
    }

    /// Counts a definition (or the only packet) that was passed over.
    fn passed_definition(&mut self) {
        self.state = match self.state {
            State::Rows => {
                self.rows += 1;
                State::Rows
            }
            State::Single => State::Done,
            State::Columns { left: 0 | 1 } if self.deprecate_eof => State::Rows,
            State::Columns { left: 0 | 1 } => State::ColumnsEof,
            State::Columns { left } => State::Columns { left: left - 1 },
            State::Definitions { left: 0 | 1, then } if self.deprecate_eof => {
                Self::definitions(then, 0)
            }
            State::Definitions { left: 0 | 1, then } => State::DefinitionsEof { then },
            State::Definitions { left, then } => State::Definitions { left: left - 1, then },
            state => state,
        };
    }

    fn definitions(first: u16, then: u16) -> State {
        match (first, then) {
            (0, 0) => State::Done,
            (0, then) => State::Definitions { left: then, then: 0 },
            (left, then) => State::Definitions { left, then },
        }
    }

    /// Reads a whole packet; `None` if it is none that the relay has to know of.
    fn read(&mut self, first: u8, payload: &[u8]) -> Result<Option<(Control, bool)>, Malformed> {
        if first == ERR {
            let code = Reader::new(payload.get(1..).unwrap_or_default()).u16();
            if self.progress && code == Some(PROGRESS_REPORT) {
                return Ok(None);
            }
            return Ok(Some((Control::Err, true)));
        }
        match self.state {
            State::First => self.first(first, payload),
            State::Prepare => {
                let ok = PrepareOk::parse(payload)?;
                self.state = Self::definitions(ok.num_params, ok.num_columns);
                Ok(Some((Control::PrepareOk, self.state == State::Done)))
            }
            State::ColumnsEof => {
                let eof = EofPacket::parse(payload)?;
                self.state = State::Rows;
                let more = StatusFlags::PS_OUT_PARAMS | StatusFlags::MORE_RESULTS_EXISTS;
                self.out_params = eof.status.contains(more);
                if eof.status.contains(StatusFlags::CURSOR_EXISTS) {
                    return Ok(Some((Control::Eof, self.ends(eof.status))));
                }
                Ok(Some((Control::DefinitionsEof, false)))
            }
            State::DefinitionsEof { then } => {
                EofPacket::parse(payload)?;
                self.state = Self::definitions(then, 0);
                Ok(Some((Control::DefinitionsEof, self.state == State::Done)))
            }
            State::Rows if self.deprecate_eof => self.ok(payload),
            State::Rows => self.eof(payload),
            _ => Err(Malformed("response")),
        }
    }

    fn first(&mut self, first: u8, payload: &[u8]) -> Result<Option<(Control, bool)>, Malformed> {
        match first {
            OK => self.ok(payload),
            EOF if payload.len() < 9 && !self.deprecate_eof => self.eof(payload),
            EOF => self.ok(payload),
            0xfb => {
                self.state = State::AwaitFile;
                Ok(Some((Control::LocalInfile, false)))
            }
            _ => {
                let mut r = Reader::new(payload);
                let columns = r.lenenc().and_then(|count| u16::try_from(count).ok());
                self.columns = columns.filter(|&c| c > 0).ok_or(Malformed("column count"))?;
                self.rows = 0;
                self.state = State::Columns { left: self.columns };
                Ok(None)
            }
        }
    }

    fn ok(&mut self, payload: &[u8]) -> Result<Option<(Control, bool)>, Malformed> {
        let mut r = Reader::new(payload);
        // int<1> header, int<lenenc> affected_rows, int<lenenc> last_insert_id, int<2> status
        let head = r.u8().and_then(|_| r.lenenc()).and_then(|_| r.lenenc());
        let status = head.and_then(|_| r.u16()).ok_or(Malformed("OK packet"))?;
        Ok(Some((Control::Ok, self.ends(StatusFlags::from_bits_retain(status)))))
    }

    fn eof(&mut self, payload: &[u8]) -> Result<Option<(Control, bool)>, Malformed> {
        let eof = EofPacket::parse(payload)?;
        Ok(Some((Control::Eof, self.ends(eof.status))))
    }

    /// The end of one result: of the response too, unless another follows.
    fn ends(&mut self, status: StatusFlags) -> bool {
        let out_params = std::mem::take(&mut self.out_params);
        let more = out_params || status.contains(StatusFlags::MORE_RESULTS_EXISTS);
        self.state = if more { State::First } else { State::Done };
        !more
    }
}

#[cfg(test)]
mod tests;
