//! Forwarding one response.
//!
//! The server's bytes go to the client as they came, in as few writes as they were read;
//! [`ResponseTracker`] says where the response ends. Only OK packets that carry session state are
//! rewritten, for the state is lagwise's own to ask for, and the statement id of a PREPARE_OK is
//! exchanged for lagwise's.
//!
//! Nothing is read from the server before the client has taken what was read before: what a slow
//! client holds is one read buffer.
//!
//! [`shown`]: what the client is told otherwise than by the server.

mod shown;

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::task::Poll;
use std::time::Instant;

use super::diagnostics::Told;
use super::failure::BEHIND;
use super::farewell::farewell;
use super::learned::REFUSALS;
use super::prepare_answers::MAX_ANSWER;
use super::primary_wait::says_read_only;
use super::tracked::Tracked;
use crate::backend::error::codes;
use crate::backend::{self, Connection};
use crate::cluster::Member;
use crate::net::PacketStream;
use crate::protocol::eof::EofPacket;
use crate::protocol::flags::StatusFlags;
use crate::protocol::frame::{HEADER_LEN, build_packet};
use crate::protocol::ok::{OK, OkPacket};
use crate::protocol::prepare::{PrepareOk, STATEMENT_ID};
use crate::protocol::response::{Control, Event, ResponseTracker};
use crate::protocol::{ErrPacket, Malformed};
pub use shown::Shown;

/// Why a response could not be forwarded whole.
#[derive(Debug)]
pub enum RelayError {
    /// The server failed, and nothing of its response has reached the client.
    Untouched(backend::Error),
    /// The server failed after the client had got a part.
    Midway {
        /// How.
        error: backend::Error,
        /// The client has got whole packets only: an ERR packet with this sequence id may end the
        /// response, and the session goes on.
        next_seq: Option<u8>,
    },
    /// The server has closed the connection, and said so, before it read the command.
    Unread(ErrPacket),
    /// The client has gone while the server was at it.
    Abandoned,
    /// The client does not take it.
    Client(io::Error),
    /// The client did not send the file that the server asked for.
    File(crate::net::ReadError),
}

/// What was seen of a response that was forwarded whole.
#[derive(Debug, Default)]
pub struct Relayed {
    /// When its first bytes arrived.
    pub first_byte: Option<Instant>,
    /// Everything came at once.
    pub in_one_read: bool,
    /// The PREPARE_OK, with the server's statement id.
    pub prepare_ok: Option<PrepareOk>,
    /// The server's error, if that is how it ended.
    pub error_code: Option<u16>,
    /// Number of columns of the last result set, if there was one.
    pub columns: u16,
    /// Number of its rows.
    pub rows: u64,
    /// It ended where rows of a cursor begin.
    pub has_cursor: bool,
    /// Bytes sent to the client.
    pub bytes: u64,
    /// What the client was sent, if that was asked for and is no longer than an answer to a PREPARE that
    /// is remembered.
    pub copy: Option<Vec<u8>>,
    /// The server's error, if nothing of it has reached the client, because another server is to be
    /// asked.
    pub withheld: Option<ErrPacket>,
}

/// What to do with control packets.
pub struct Relay<'a> {
    /// Where the response goes.
    pub client: &'a mut PacketStream,
    /// Where it comes from; Busy.
    pub server: &'a mut Connection,
    /// Which session state changes this client is told.
    pub tracked: Tracked,
    /// The id that a PREPARE_OK is to carry.
    pub statement_id: Option<u32>,
    /// Set as soon as a part of the response may have reached the client; it survives when the
    /// session is ended in the middle.
    pub touched: &'a mut bool,
    /// What the client is told otherwise than by the server.
    pub shown: Shown,
    /// The server.
    pub member: &'a Member,
    /// What [`Member::displaced`] was before the command was sent.
    pub displaced: u32,
    /// The response may be given up when that goes down before its first byte.
    pub may_abandon: bool,
    /// The response may be given up when the client goes.
    pub watches_client: bool,
    /// Room for rewritten packets, kept from response to response.
    pub scratch: &'a mut Vec<u8>,
    /// The server may refuse to write, and the statement can then be run elsewhere: what comes
    /// before such an error is held back, up to [`HELD_BACK`] bytes.
    pub refusable: bool,
    /// The client's id of the statement that the command is on.
    pub client_statement: Option<u32>,
    /// Which errors are withheld, besides refusals.
    pub withhold: Withhold,
    /// Takes what the client is sent, if that is wanted.
    pub copy: Option<Vec<u8>>,
    /// A row of text that ends the rows of the response, after those of the server: a packet's payload.
    pub last_row: Option<Vec<u8>>,
}

/// Which errors of a server do not reach the client, for the statement is then run once more.
#[derive(Clone, Copy, Debug)]
pub struct Withhold {
    /// Those which say that it lacks what the primary has.
    pub behind: bool,
    /// That which says that it has no room for a prepared statement.
    pub full: bool,
    /// That which says that a statement must be prepared anew.
    pub stale: bool,
    /// That which says that the server shuts down.
    pub ending: bool,
    /// Those which say that it is read-only.
    pub read_only: bool,
}

impl Withhold {
    fn covers(self, err: &ErrPacket) -> bool {
        let code = err.code;
        self.behind && BEHIND.contains(&code)
            || self.full && code == codes::MAX_PREPARED_STMT_COUNT
            || self.stale && code == codes::NEED_REPREPARE
            || self.ending && code == codes::SERVER_SHUTDOWN
            || self.read_only && says_read_only(err)
    }
}

/// How far one look at the buffered bytes came.
enum Stop {
    More(usize),
    File,
    Withheld(ErrPacket),
    End,
}

/// ER_STMT_HAS_NO_OPEN_CURSOR
const NO_OPEN_CURSOR: u16 = 1421;

/// How much of a response is held back while it may end in a refusal, in bytes. Servers send the
/// definitions, and as many rows as fit in their buffer, before they meet the error.
const HELD_BACK: usize = 64 << 10;

impl Relay<'_> {
    /// Forwards the response that `tracker` follows; `observe` is told what its control packets
    /// say.
    ///
    /// # Errors
    /// See [`RelayError`]; the server connection is Broken then.
    pub async fn run(
        mut self,
        mut tracker: ResponseTracker,
        mut observe: impl FnMut(Told<'_>),
    ) -> Result<Relayed, RelayError> {
        let result = self.forward(&mut tracker, &mut observe).await;
        match &result {
            Ok(_) => self.server.mark_ready(),
            Err(_) => self.server.mark_broken(),
        }
        result
    }

    async fn forward(
        &mut self,
        tracker: &mut ResponseTracker,
        observe: &mut impl FnMut(Told<'_>),
    ) -> Result<Relayed, RelayError> {
        let mut relayed = Relayed::default();
        let mut reads = 0_u32;
        // It may have come along with an answer before it.
        let is_here = !self.server.stream().buffered().is_empty();
        let (mut need, mut held) = (usize::from(!is_here), 0);
        loop {
            self.fill(need, relayed.bytes > 0).await.map_err(|error| match error {
                RelayError::Midway { error, .. } => {
                    RelayError::Midway { error, next_seq: tracker.at_boundary() }
                }
                error => error,
            })?;
            reads += 1;
            if reads == 1
                && let Some(farewell) = farewell(self.server.stream().buffered(), tracker)
            {
                return Err(RelayError::Unread(farewell));
            }
            relayed.first_byte.get_or_insert_with(Instant::now);
            let (count, stop) = self
                .look(held, tracker, observe, &mut relayed)
                .map_err(|error| failed(error.into(), relayed.bytes > 0))?;
            if let Stop::Withheld(err) = stop {
                self.server.stream().consume(count);
                relayed.withheld = Some(err);
                return Ok(relayed);
            }
            let hold = self.refusable && relayed.bytes == 0 && self.scratch.is_empty();
            if hold && count < HELD_BACK && matches!(stop, Stop::More(_)) {
                held = count;
            } else if count > 0 {
                relayed.bytes += self.write(count).await.map_err(RelayError::Client)?;
                held = 0;
            }
            match stop {
                Stop::End | Stop::Withheld(_) => {
                    relayed.in_one_read = reads == 1;
                    relayed.columns = tracker.columns();
                    relayed.copy = self.copy.take();
                    relayed.rows = tracker.rows();
                    return Ok(relayed);
                }
                Stop::File => {
                    let last_seq = self.forward_file().await?;
                    tracker.file_sent(last_seq);
                    need = 1;
                }
                Stop::More(more) => need = more,
            }
        }
    }

    /// Reads from the server until at least `need` more bytes are there.
    async fn fill(&mut self, need: usize, touched: bool) -> Result<(), RelayError> {
        let watches_client = self.watches_client;
        let client = &mut *self.client;
        let stream = self.server.stream();
        let wanted = stream.buffered().len() + need;
        while stream.buffered().len() < wanted {
            let may_abandon = self.may_abandon && !touched;
            let filled = tokio::select! {
                biased;
                filled = stream.fill(wanted) => filled,
                () = client.gone(), if watches_client => return Err(RelayError::Abandoned),
                () = went_down(self.member, may_abandon, self.displaced) => Err(io::ErrorKind::TimedOut.into()),
            };
            let error = match filled {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(_) if self.member.displaced() == self.displaced => continue,
                Ok(_) => io::ErrorKind::TimedOut.into(),
                Err(error) => error,
            };
            return Err(failed(backend::Error::Lost(error), touched));
        }
        Ok(())
    }

    /// Looks at what is buffered, the first `held` bytes of which were looked at before; returns how
    /// many bytes of it are to be forwarded. If packets among them were rewritten, `scratch` holds
    /// what is to be sent instead.
    fn look(
        &mut self,
        held: usize,
        tracker: &mut ResponseTracker,
        observe: &mut impl FnMut(Told<'_>),
        relayed: &mut Relayed,
    ) -> Result<(usize, Stop), Malformed> {
        self.scratch.clear();
        // Bytes before `copied` are in scratch already, if anything is.
        let (mut at, mut copied) = (held, 0);
        loop {
            let bytes = self.server.stream().buffered();
            let (count, event) = tracker.advance(bytes.get(at..).unwrap_or_default())?;
            let (start, control, last) = match event {
                Event::NeedMore(more) => {
                    return Ok((self.rest(copied, at + count), Stop::More(more)));
                }
                Event::End => return Ok((self.rest(copied, at + count), Stop::End)),
                Event::Packet { control, start, last } => (at + start, control, last),
            };
            let end = at + count;
            let payload = bytes.get(start + HEADER_LEN..end).unwrap_or_default();
            match control {
                Control::Ok => {
                    let ok = OkPacket::parse(payload, true)?;
                    relayed.has_cursor = ok.status.contains(StatusFlags::CURSOR_EXISTS);
                    observe(Told::Ok(ok));
                    let status = self.shown.status(ok.status, tracker.columns());
                    let hides = !ok.state.is_empty() && !self.tracked.is_everything();
                    let warnings = self.shown.warnings(ok.warnings);
                    let row = self.last_row.take_if(|_| ok.header != OK);
                    if hides || status != ok.status || warnings != ok.warnings || row.is_some() {
                        let mut state = Vec::new();
                        let shown = OkPacket { status, warnings, ..ok };
                        let shown = self.tracked.shown(&shown, &mut state);
                        replace(self.scratch, bytes, copied..start, row, |out| shown.write(out));
                        copied = end;
                    }
                }
                Control::Eof => {
                    let eof = EofPacket::parse(payload)?;
                    relayed.has_cursor = eof.status.contains(StatusFlags::CURSOR_EXISTS);
                    observe(Told::Eof(eof));
                    self.change_eof(start, tracker.columns());
                    if let row @ Some(_) = self.last_row.take() {
                        let bytes = self.server.stream().buffered();
                        let eof = bytes.get(start + HEADER_LEN..end).unwrap_or_default();
                        replace(self.scratch, bytes, copied..start, row, |out| out.extend(eof));
                        copied = end;
                    }
                }
                Control::DefinitionsEof => self.change_eof(start, tracker.columns()),
                Control::Err => {
                    let err = ErrPacket::parse(payload)?;
                    let untouched = relayed.bytes == 0 && self.scratch.is_empty();
                    let withheld = self.refusable && REFUSALS.contains(&err.code)
                        || self.withhold.covers(&err);
                    if untouched && withheld {
                        return Ok((end, Stop::Withheld(err)));
                    }
                    relayed.error_code = Some(err.code);
                    observe(Told::Err(err.code));
                    if let Some(err) = in_clients_words(err, self.client_statement) {
                        replace(self.scratch, bytes, copied..start, None, |out| err.write(out));
                        copied = end;
                    }
                }
                Control::PrepareOk => {
                    relayed.prepare_ok = Some(PrepareOk::parse(payload)?);
                    self.exchange_statement_id(start);
                }
                Control::LocalInfile => return Ok((self.rest(copied, end), Stop::File)),
            }
            if last {
                return Ok((self.rest(copied, end), Stop::End));
            }
            at = end;
        }
    }

    /// Completes `scratch`, if it is used, with what follows the last rewritten packet.
    fn rest(&mut self, copied: usize, end: usize) -> usize {
        if !self.scratch.is_empty() {
            let bytes = self.server.stream().buffered();
            self.scratch.extend_from_slice(bytes.get(copied..end).unwrap_or_default());
        }
        end
    }

    /// Has the EOF packet at `start` say what the client is to be told.
    fn change_eof(&mut self, start: usize, columns: u16) {
        let (shown, is_everything) = (self.shown, self.tracked.is_everything());
        let packet = self.server.stream().buffered_mut().get_mut(start..).unwrap_or_default();
        shown.change_eof(packet, columns, is_everything);
    }

    fn exchange_statement_id(&mut self, start: usize) {
        let Some(id) = self.statement_id else { return };
        let at = start + HEADER_LEN + STATEMENT_ID.start;
        if let Some(field) = self.server.stream().buffered_mut().get_mut(at..at + 4) {
            field.copy_from_slice(&id.to_le_bytes());
        }
    }

    /// Sends the first `count` buffered bytes, or what was put in their place.
    async fn write(&mut self, count: usize) -> io::Result<u64> {
        let stream = self.server.stream();
        let bytes = if self.scratch.is_empty() {
            stream.buffered().get(..count).unwrap_or_default()
        } else {
            &self.scratch[..]
        };
        let sent = bytes.len() as u64;
        *self.touched = true;
        self.copy = self.copy.take().filter(|copy| copy.len() + bytes.len() <= MAX_ANSWER);
        if let Some(copy) = &mut self.copy {
            copy.extend_from_slice(bytes);
        }
        let stall = self.client.write_stall();
        self.client.write_all(bytes, stall).await?;
        self.server.stream().consume(count);
        Ok(sent)
    }

    /// Passes the client's packets to the server until the empty one that ends a file; returns its
    /// sequence id.
    async fn forward_file(&mut self) -> Result<u8, RelayError> {
        self.server.be_patient();
        loop {
            let header = self.client.next_header().await.map_err(RelayError::File)?;
            forward_frame(self.client, self.server, header.len).await?;
            if header.len == 0 {
                return Ok(header.seq);
            }
        }
    }
}

/// Copies what is `before` a packet of `bytes` from where copying ended, and what takes the packet's place:
/// a row, if there is one, and another payload.
fn replace(
    out: &mut Vec<u8>,
    bytes: &[u8],
    before: Range<usize>,
    row: Option<Vec<u8>>,
    write: impl FnOnce(&mut Vec<u8>),
) {
    // int<3> length, int<1> sequence id
    let mut seq = bytes.get(before.end + 3).copied().unwrap_or_default();
    out.extend_from_slice(bytes.get(before).unwrap_or_default());
    if let Some(row) = row {
        build_packet(out, seq, |out| out.extend_from_slice(&row));
        seq = seq.wrapping_add(1);
    }
    build_packet(out, seq, write);
}

/// Returns once a server is given up or displaced, or only down or hanging, if what it was asked may be abandoned. Whoever takes a
/// server out of service wakes the sessions, so that they look again.
pub async fn went_down(member: &Member, may_abandon: bool, displaced: u32) {
    let is_lost = || member.is_given_up() || member.displaced() != displaced;
    let hangs = || may_abandon && (member.is_down() || member.hangs());
    poll_fn(|_| if is_lost() || hangs() { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Passes one frame on from client to server, in pieces as they come.
///
/// # Errors
/// Either side fails.
pub async fn forward_frame(
    client: &mut PacketStream,
    server: &mut Connection,
    payload_len: usize,
) -> Result<(), RelayError> {
    let mut left = HEADER_LEN + payload_len;
    while left > 0 {
        client.require(1).await.map_err(RelayError::File)?;
        let count = client.buffered().len().min(left);
        let bytes = client.buffered().get(..count).unwrap_or_default();
        let sent = server.send(bytes).await;
        sent.map_err(|error| RelayError::Midway { error, next_seq: None })?;
        client.consume(count);
        left -= count;
    }
    Ok(())
}

fn failed(error: backend::Error, touched: bool) -> RelayError {
    if touched {
        RelayError::Midway { error, next_seq: None }
    } else {
        RelayError::Untouched(error)
    }
}

/// ER_STMT_HAS_NO_OPEN_CURSOR names the server's id of the statement: with the client's instead.
fn in_clients_words(mut err: ErrPacket, client_statement: Option<u32>) -> Option<ErrPacket> {
    let id = client_statement.filter(|_| err.code == NO_OPEN_CURSOR)?;
    let open = err.message.iter().position(|byte| *byte == b'(')?;
    let close = err.message.iter().position(|byte| *byte == b')').filter(|at| *at > open)?;
    err.message.splice(open + 1..close, id.to_string().into_bytes());
    Some(err)
}
