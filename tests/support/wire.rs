//! A raw client of the MySQL protocol, and the comparison of what two servers say, byte by byte.
//!
//! Written from the protocol's documents and apart from `src/protocol`, so that an error there is
//! not mirrored here; only the arithmetic of passwords is shared. A [`Client`] sends any payload
//! with any capabilities and keeps every packet of the answer. [`compare`] plays a script on two
//! clients and tells every difference.
//!
//! In reading order: [`transport`] (bytes, TLS, compression), this file (packets, where an answer
//! ends), [`login`], [`script`] (what is sent), [`compare`] (what must be equal).

pub mod compare;
pub mod login;
pub mod script;
pub mod transport;
pub mod world;

use std::collections::VecDeque;
use std::io::{self, Read, Write};

pub use compare::{Transcript, differences, play, play_after};
pub use login::{Greeting, Options};
pub use script::{Param, Step};
use transport::Transport;
pub use world::World;

/// Capability flags; from bit 32 up MariaDB's own.
pub mod caps {
    pub const LONG_PASSWORD: u64 = 1;
    pub const FOUND_ROWS: u64 = 1 << 1;
    pub const LONG_FLAG: u64 = 1 << 2;
    pub const CONNECT_WITH_DB: u64 = 1 << 3;
    pub const COMPRESS: u64 = 1 << 5;
    pub const LOCAL_FILES: u64 = 1 << 7;
    pub const IGNORE_SPACE: u64 = 1 << 8;
    pub const PROTOCOL_41: u64 = 1 << 9;
    pub const SSL: u64 = 1 << 11;
    pub const TRANSACTIONS: u64 = 1 << 13;
    pub const SECURE_CONNECTION: u64 = 1 << 15;
    pub const MULTI_STATEMENTS: u64 = 1 << 16;
    pub const MULTI_RESULTS: u64 = 1 << 17;
    pub const PS_MULTI_RESULTS: u64 = 1 << 18;
    pub const PLUGIN_AUTH: u64 = 1 << 19;
    pub const CONNECT_ATTRS: u64 = 1 << 20;
    pub const PLUGIN_AUTH_LENENC: u64 = 1 << 21;
    pub const SESSION_TRACK: u64 = 1 << 23;
    pub const DEPRECATE_EOF: u64 = 1 << 24;
    pub const OPTIONAL_METADATA: u64 = 1 << 25;
    pub const ZSTD: u64 = 1 << 26;
    pub const QUERY_ATTRIBUTES: u64 = 1 << 27;
    pub const MULTI_FACTOR: u64 = 1 << 28;
    pub const SSL_VERIFY_SERVER_CERT: u64 = 1 << 30;
    pub const REMEMBER_OPTIONS: u64 = 1 << 31;
    pub const MARIADB_PROGRESS: u64 = 1 << 32;
    pub const MARIADB_BULK: u64 = 1 << 34;
    pub const MARIADB_METADATA: u64 = 1 << 35;
    pub const MARIADB_CACHE_METADATA: u64 = 1 << 36;

    /// What every client of today sets.
    pub const BASE: u64 = LONG_PASSWORD
        | LONG_FLAG
        | PROTOCOL_41
        | TRANSACTIONS
        | SECURE_CONNECTION
        | PLUGIN_AUTH
        | PLUGIN_AUTH_LENENC
        | MULTI_STATEMENTS
        | MULTI_RESULTS
        | PS_MULTI_RESULTS
        | LOCAL_FILES;
}

/// Status flags that the client acts on.
const MORE_RESULTS: u16 = 1 << 3;
const CURSOR_EXISTS: u16 = 1 << 6;
const PS_OUT_PARAMS: u16 = 1 << 12;

/// An id that no server has given.
const NO_STATEMENT: u32 = 0x00ab_cdef;

/// A payload that fills its frame goes on in the next.
const FULL: usize = 0xff_ff_ff;

/// One packet, put together from its frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Sequence id of its last frame.
    pub seq: u8,
    pub payload: Vec<u8>,
}

/// What comes back for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// OK, ERR, EOF or result sets.
    Results,
    /// PREPARE_OK with definitions.
    Prepare,
    /// The same, and the statement is known by this number from then on.
    PrepareAs(usize),
    /// Rows (or column definitions) and what ends them.
    Rows,
    /// One packet.
    Single,
    /// Nothing.
    Nothing,
}

/// A logged-in client.
pub struct Client {
    transport: Transport,
    /// What both sides agreed on.
    pub caps: u64,
    pub greeting: Greeting,
    /// The OK packet of the login.
    pub login_ok: Packet,
    /// Sequence id that the next frame from the server must have.
    seq: u8,
    /// Prepared statements by number, which is the order of their PREPARE unless a step says it:
    /// server ids.
    statements: Vec<u32>,
}

impl Client {
    /// The certificate that the server has shown, in DER.
    pub fn peer_certificate(&self) -> Option<Vec<u8>> {
        self.transport.peer_certificate()
    }

    /// Sends a payload as a new command, in as many frames as it takes.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.seq = 0;
        self.transport.begin_command();
        self.send_more(payload)
    }

    /// Sends a payload with the sequence ids that follow.
    fn send_more(&mut self, payload: &[u8]) -> io::Result<()> {
        let bytes = frames(payload, &mut self.seq);
        self.transport.write_all(&bytes)?;
        self.transport.flush()
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.transport.begin_command();
        self.transport.write_all(bytes)?;
        self.transport.flush()
    }

    /// Says which sequence id the next packet must have, after [`Client::send_raw`].
    pub fn expect_seq(&mut self, seq: u8) {
        self.seq = seq;
    }

    /// Reads one packet. Its sequence ids must follow those before it.
    pub fn read_packet(&mut self) -> io::Result<Packet> {
        let mut payload = Vec::new();
        loop {
            let mut header = [0; 4];
            self.transport.read_exact(&mut header)?;
            let len =
                usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
            let seq = header[3];
            // Compressed servers overwrite the inner ids now and then.
            if seq != self.seq && !self.transport.is_compressed() {
                let text = format!("sequence id {seq}, not {}", self.seq);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            self.seq = seq.wrapping_add(1);
            let start = payload.len();
            payload.resize(start + len, 0);
            self.transport.read_exact(&mut payload[start..])?;
            if len < FULL {
                let seq = if self.transport.is_compressed() { 0 } else { seq };
                return Ok(Packet { seq, payload });
            }
        }
    }

    /// Sends a command and reads its whole answer; `files` are sent where the server asks for one.
    pub fn ask(&mut self, payload: &[u8], expect: Expect, files: &[&[u8]]) -> Answer {
        let mut answer = Answer::default();
        let result = self.send(payload);
        let result = result.and_then(|()| self.read_answer(expect, files, &mut answer));
        answer.broken = result.err().map(|error| broken(&error));
        answer
    }

    /// A COM_QUERY without files.
    pub fn query(&mut self, sql: &str) -> Answer {
        let payload = self.query_payload(sql.as_bytes());
        self.ask(&payload, Expect::Results, &[])
    }

    /// The payload of a COM_QUERY.
    pub fn query_payload(&self, sql: &[u8]) -> Vec<u8> {
        let mut payload = vec![0x03];
        if self.has(caps::QUERY_ATTRIBUTES) {
            payload.extend([0, 1]); // no attributes, one set of them
        }
        payload.extend_from_slice(sql);
        payload
    }

    pub fn has(&self, capability: u64) -> bool {
        self.caps & capability != 0
    }

    /// Reads one whole answer; what was read before a failure is kept in `answer`.
    pub fn read_answer(
        &mut self,
        expect: Expect,
        files: &[&[u8]],
        answer: &mut Answer,
    ) -> io::Result<()> {
        // The first frame after a command that was sent alone has sequence id 1 or more.
        let mut files: VecDeque<&[u8]> = files.iter().copied().collect();
        match expect {
            Expect::Nothing => Ok(()),
            Expect::Single => self.keep(answer).map(drop),
            Expect::Rows => self.rows(answer).map(drop),
            Expect::Prepare => self.prepare(self.statements.len(), answer),
            Expect::PrepareAs(number) => self.prepare(number, answer),
            Expect::Results => loop {
                if self.result(answer, &mut files)? & MORE_RESULTS == 0 {
                    return Ok(());
                }
            },
        }
    }

    fn keep<'a>(&mut self, answer: &'a mut Answer) -> io::Result<&'a [u8]> {
        let packet = self.read_packet()?;
        answer.packets.push(packet);
        Ok(&answer.packets.last().unwrap().payload)
    }

    /// One result; returns its last status flags, without MORE_RESULTS where the answer ends.
    fn result(&mut self, answer: &mut Answer, files: &mut VecDeque<&[u8]>) -> io::Result<u16> {
        let first = self.keep(answer)?;
        let columns = match first.first() {
            Some(0x00) => return Ok(ok_status(first)),
            Some(0xff) => return Ok(0),
            Some(0xfe) if first.len() < 9 => return Ok(end_status(first, self.caps)),
            Some(0xfb) => {
                let file = files.pop_front().unwrap_or_default();
                for piece in file.chunks(1 << 16) {
                    self.send_more(piece)?;
                }
                self.send_more(&[])?;
                return self.result(answer, files);
            }
            _ => lenenc(&mut &first[..]).expect("a column count"),
        };
        for _ in 0..columns {
            self.keep(answer)?;
        }
        if !self.has(caps::DEPRECATE_EOF) {
            let status = end_status(self.keep(answer)?, self.caps);
            if status & CURSOR_EXISTS != 0 {
                return Ok(status);
            }
            // MySQL says that more follows OUT parameters before their row only.
            let out_params = status & PS_OUT_PARAMS != 0;
            return Ok(self.rows(answer)? | if out_params { status & MORE_RESULTS } else { 0 });
        }
        self.rows(answer)
    }

    fn rows(&mut self, answer: &mut Answer) -> io::Result<u16> {
        let limit = if self.has(caps::DEPRECATE_EOF) { FULL } else { 9 };
        loop {
            let caps = self.caps;
            let packet = self.keep(answer)?;
            match packet.first() {
                Some(0xff) => return Ok(0),
                Some(0xfe) if packet.len() < limit => return Ok(end_status(packet, caps)),
                _ => {}
            }
        }
    }

    fn prepare(&mut self, number: usize, answer: &mut Answer) -> io::Result<()> {
        let first = self.keep(answer)?;
        if first.first() != Some(&0) {
            return Ok(());
        }
        let id = u32::from_le_bytes(first[1..5].try_into().unwrap());
        let columns = u16::from_le_bytes([first[5], first[6]]);
        let params = u16::from_le_bytes([first[7], first[8]]);
        if self.statements.len() <= number {
            self.statements.resize(number + 1, NO_STATEMENT);
        }
        self.statements[number] = id;
        for count in [params, columns].into_iter().filter(|count| *count > 0) {
            let end = u16::from(!self.has(caps::DEPRECATE_EOF));
            for _ in 0..count + end {
                self.keep(answer)?;
            }
        }
        Ok(())
    }
}

/// All packets of one answer.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Answer {
    pub packets: Vec<Packet>,
    /// Why it stopped early, in words that do not depend on timing.
    pub broken: Option<String>,
}

impl Answer {
    /// The error that it ends with: code, SQLSTATE and text.
    pub fn error(&self) -> Option<(u16, String)> {
        let payload = &self.packets.last()?.payload;
        (payload.first() == Some(&0xff)).then(|| {
            let code = u16::from_le_bytes([payload[1], payload[2]]);
            (code, String::from_utf8_lossy(&payload[3..]).into_owned())
        })
    }

    /// The first value of the first row of a text result.
    pub fn first_value(&self, client: &Client) -> String {
        let columns = usize::from(self.packets[0].payload[0]);
        let eof = usize::from(!client.has(caps::DEPRECATE_EOF));
        let mut row = &self.packets[1 + columns + eof].payload[..];
        let len = lenenc(&mut row).expect("a value") as usize;
        String::from_utf8_lossy(&row[..len]).into_owned()
    }

    /// Status flags of the last packet, an OK or an EOF.
    pub fn status(&self, client: &Client) -> u16 {
        let payload = &self.packets.last().expect("a packet").payload;
        match payload[0] {
            0 => ok_status(payload),
            _ => end_status(payload, client.caps),
        }
    }
}

/// A reset or an end of file are the same thing to whoever reads.
fn broken(error: &io::Error) -> String {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => "closed".to_owned(),
        _ => error.to_string(),
    }
}

/// A payload as frames with sequence ids from `seq` on.
pub fn frames(payload: &[u8], seq: &mut u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 8);
    let mut rest = payload;
    loop {
        let (piece, more) = rest.split_at(rest.len().min(FULL));
        bytes.extend_from_slice(&(piece.len() as u32).to_le_bytes()[..3]);
        bytes.push(*seq);
        bytes.extend_from_slice(piece);
        *seq = seq.wrapping_add(1);
        rest = more;
        if piece.len() < FULL {
            return bytes;
        }
    }
}

/// A length-encoded integer, taken off the front.
pub fn lenenc(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    let width = match first {
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        0xfb | 0xff => return None,
        small => {
            *bytes = rest;
            return Some(u64::from(small));
        }
    };
    let mut value = [0; 8];
    value[..width].copy_from_slice(rest.get(..width)?);
    *bytes = &rest[width..];
    Some(u64::from_le_bytes(value))
}

fn ok_status(payload: &[u8]) -> u16 {
    let mut rest = &payload[1..];
    lenenc(&mut rest).expect("affected rows");
    lenenc(&mut rest).expect("insert id");
    u16::from_le_bytes([rest[0], rest[1]])
}

fn end_status(payload: &[u8], capabilities: u64) -> u16 {
    if capabilities & caps::DEPRECATE_EOF != 0 && payload.len() > 5 {
        return ok_status(payload);
    }
    u16::from_le_bytes([payload[3], payload[4]])
}
