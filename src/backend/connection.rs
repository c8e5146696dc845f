//! An open connection to a server.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use tokio::time::Instant;

use super::beginning::AtLogin;
use super::error::Error;
use super::image::Image;
use super::statements::Statements;
use super::text_statements::TextStatements;
use crate::net::PacketStream;
use crate::protocol::column;
use crate::protocol::command::code;
use crate::protocol::eof::EofPacket;
use crate::protocol::flags::{Capabilities, StatusFlags};
use crate::protocol::frame::{HEADER_LEN, build_packet};
use crate::protocol::handshake::Greeting;
use crate::protocol::query::NO_ATTRIBUTES;
use crate::protocol::reader::Reader;
use crate::protocol::response::{Control, Event, ResponseKind, ResponseTracker};
use crate::protocol::text_row::{self, Row, Table};
use crate::protocol::{ErrPacket, Malformed, OkPacket};

/// How long a server may take none of what is written to it. Servers read commands at once unless
/// they hang or are cut off; but while LOAD DATA LOCAL waits for a lock (`innodb_lock_wait_timeout`, 50 s)
/// its server reads nothing.
pub const WRITE_STALL: Duration = Duration::from_secs(60);

/// Bound on one packet, and on the whole, of a result set that lagwise asked for itself, in bytes.
const MAX_OWN_RESULT: usize = 16 << 20;

/// What the greeting told of the server.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// The version string as on the wire.
    pub version: Vec<u8>,
    /// The server's id of this connection.
    pub thread_id: u32,
    /// What the server can do.
    pub server_capabilities: Capabilities,
    /// What was negotiated.
    pub capabilities: Capabilities,
    /// Default collation id, low byte.
    pub charset: u8,
    /// True for MariaDB.
    pub is_mariadb: bool,
}

impl ServerFacts {
    /// The facts of a greeting and what was agreed on.
    pub fn of(greeting: &Greeting, capabilities: Capabilities) -> Self {
        Self {
            version: greeting.server_version.clone(),
            thread_id: greeting.thread_id,
            server_capabilities: greeting.capabilities,
            capabilities,
            charset: greeting.charset,
            is_mariadb: is_mariadb(&greeting.server_version),
        }
    }

    /// The version as servers write it in version comments: 90700 for 9.7.0, 101114 for 10.11.14;
    /// 0 if it cannot be read.
    pub fn version_number(&self) -> u32 {
        let version = self.version.strip_prefix(b"5.5.5-").unwrap_or(&self.version);
        let mut parts = version.split(|byte| !byte.is_ascii_digit()).map(|digits| {
            std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u32>().ok())
        });
        let mut part = || parts.next().flatten().filter(|part| *part < 100);
        match (part(), part(), part()) {
            (Some(major), Some(minor), patch) => major * 10_000 + minor * 100 + patch.unwrap_or(0),
            _ => 0,
        }
    }
}

/// True if a version string is MariaDB's, as its own client libraries decide.
pub fn is_mariadb(version: &[u8]) -> bool {
    version.windows(7).any(|window| window.eq_ignore_ascii_case(b"mariadb"))
        || version.starts_with(b"5.5.5-")
}

/// Where a connection is between commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A command may be sent.
    Ready,
    /// A command was sent and its response has not ended.
    Busy,
    /// Nothing more can be said of it; it must be closed.
    Broken,
}

/// How a response that lagwise read itself ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Status flags of the last OK or EOF.
    pub status: StatusFlags,
    /// Session state changes of all OK packets, one after the other.
    pub state: Vec<u8>,
    /// Warnings of the last OK or EOF.
    pub warnings: u16,
}

/// An open, logged-in connection.
#[derive(Debug)]
pub struct Connection {
    pub(super) stream: PacketStream,
    facts: ServerFacts,
    pub(super) phase: Phase,
    /// The time after which the peer counts as dead, while it has more ([`Connection::be_patient`]).
    dead_after: Option<Duration>,
    /// Since when it has been ready.
    pub(super) ready_since: Instant,
    /// When it was opened, for whichever account.
    pub opened_at: Instant,
    /// The client that it was opened for uses TLS.
    pub(super) client_tls: bool,
    /// Where the server was told that the client is, when it was opened.
    pub(super) told_client: Option<IpAddr>,
    pub(super) login_ok: Vec<u8>,
    pub(super) initial_state: Vec<u8>,
    /// Commands without a response that go out with the next command.
    pub(super) pending: Vec<u8>,
    /// Responses that come before that of the next command.
    pub(super) owed: usize,
    /// The last of them is about LAST_INSERT_ID().
    pub(super) owes_insert_id: bool,
    /// When `pending` must go out though no command has come.
    pub(super) pending_due: Option<Instant>,
    /// The trackers are off; whether those of GTIDs are.
    pub(super) tracking_stopped: Option<bool>,
    /// Nothing can be written here, whatever the server and the account allow.
    pub read_only: bool,
    /// Status flags after the last response.
    pub status: StatusFlags,
    /// The session state that it is in.
    pub image: Arc<Image>,
    /// Statements prepared here.
    pub statements: Statements,
    /// It must not serve another session.
    pub is_tainted: bool,
    /// The id of the session that used it last; 0 for none.
    pub session: u32,
    /// The last statements may have left warnings or errors.
    pub has_conditions: bool,
    /// What LAST_INSERT_ID() is here, if that is known.
    pub insert_id: Option<u64>,
    /// What it was like right after its login; `None` if the server was not asked.
    pub(super) at_login: Option<AtLogin>,
    /// The thread on whose event loop it is.
    pub(super) home: ThreadId,
    /// Statements of PREPARE … FROM that were prepared here again.
    pub text_statements: TextStatements,
}

impl Connection {
    /// A connection whose login has just ended.
    pub fn new(
        stream: PacketStream,
        facts: ServerFacts,
        status: StatusFlags,
        login_ok: Vec<u8>,
    ) -> Self {
        Self {
            stream,
            facts,
            phase: Phase::Ready,
            dead_after: None,
            ready_since: Instant::now(),
            opened_at: Instant::now(),
            client_tls: false,
            told_client: None,
            login_ok,
            initial_state: Vec::new(),
            pending: Vec::new(),
            owed: 0,
            owes_insert_id: false,
            pending_due: None,
            tracking_stopped: None,
            read_only: false,
            status,
            image: Arc::default(),
            statements: Statements::default(),
            is_tainted: false,
            session: 0,
            has_conditions: false,
            insert_id: Some(0),
            at_login: None,
            home: std::thread::current().id(),
            text_statements: TextStatements::default(),
        }
    }

    /// What the greeting told.
    pub fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    /// The OK packet of the login, to be passed on to the client; once.
    pub fn take_login_ok(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.login_ok)
    }

    /// What the server reported when the trackers were turned on.
    pub fn initial_state(&self) -> &[u8] {
        &self.initial_state
    }

    /// Since when it has been ready.
    pub fn ready_since(&self) -> Instant {
        self.ready_since
    }

    /// Where it is between commands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The byte stream, for the relay.
    pub fn stream(&mut self) -> &mut PacketStream {
        &mut self.stream
    }

    /// Says that nothing more can be said of it.
    pub fn mark_broken(&mut self) {
        self.phase = Phase::Broken;
    }

    /// Says that the response has ended.
    #[inline]
    pub fn mark_ready(&mut self) {
        if self.phase == Phase::Busy {
            self.phase = Phase::Ready;
            self.ready_since = Instant::now();
        }
        if let Some(usual) = self.dead_after.take() {
            // It was set before in the same way.
            let _ = self.stream.set_user_timeout(usual);
        }
        self.stream.release();
    }

    /// Until the response has ended, the server may read nothing for [`WRITE_STALL`] and is not taken for
    /// dead: it works on what it has of a file or a long command.
    pub fn be_patient(&mut self) {
        if self.dead_after.is_none() {
            self.dead_after = self.stream.set_user_timeout(WRITE_STALL).unwrap_or_default();
        }
    }

    /// A tracker for a response on this connection.
    pub fn tracker(&self, kind: ResponseKind) -> ResponseTracker {
        ResponseTracker::new(kind, self.facts.capabilities)
    }

    /// Sends whole packets of one or more commands. The connection is Busy from here on.
    ///
    /// # Errors
    /// [`Error::Lost`]: how much arrived is not known.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.phase = Phase::Busy;
        self.pending_due = None;
        let mut all = std::mem::take(&mut self.pending);
        let result = if all.is_empty() {
            self.stream.write_all(bytes, WRITE_STALL).await
        } else {
            all.extend_from_slice(bytes);
            self.stream.write_all(&all, WRITE_STALL).await
        };
        if result.is_err() {
            self.phase = Phase::Broken;
        }
        result.map_err(Error::Lost)
    }

    /// Sends commands that have no response (COM_STMT_CLOSE).
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub async fn send_without_response(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.send(bytes).await?;
        self.mark_ready();
        Ok(())
    }

    /// Appends a COM_QUERY of lagwise's own to `out`.
    pub fn build_query(&self, out: &mut Vec<u8>, sql: &[u8]) {
        let attributes = self.facts.capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
        build_packet(out, 0, |out| {
            out.push(code::QUERY);
            if attributes {
                out.extend_from_slice(&NO_ATTRIBUTES);
            }
            out.extend_from_slice(sql);
        });
    }

    /// After a statement of lagwise's own: a client that asks for warnings must not find those. (To
    /// set a deprecated collation to itself warns.)
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn forget_warnings(&mut self, warnings: u16) -> Result<(), Error> {
        if warnings == 0 {
            return Ok(());
        }
        // MySQL's DO sets FOUND_ROWS(), and MariaDB's SET keeps warnings.
        let nothing: &[u8] = match self.facts.is_mariadb {
            true => b"DO 0",
            false => b"SET SESSION sql_quote_show_create=@@sql_quote_show_create",
        };
        self.run(nothing).await
    }

    /// Reads and drops one response.
    ///
    /// # Errors
    /// The server's error, or the connection breaks.
    pub async fn finish(&mut self, kind: ResponseKind) -> Result<Summary, Error> {
        self.collect(kind, |_, _| Ok(())).await
    }

    /// Asks for a small result set.
    ///
    /// # Errors
    /// The server's error; [`Error::TimedOut`] after `deadline`, the connection is then Broken.
    pub async fn query_rows(&mut self, sql: &str, deadline: Instant) -> Result<Vec<Row>, Error> {
        Ok(self.query_table(sql, deadline).await?.rows)
    }

    /// The same with the names of the columns.
    ///
    /// # Errors
    /// As [`Connection::query_rows`].
    pub async fn query_table(&mut self, sql: &str, deadline: Instant) -> Result<Table, Error> {
        let mut packet = Vec::new();
        self.build_query(&mut packet, sql.as_bytes());
        let ask = async {
            self.send(&packet).await?;
            self.finish_table().await
        };
        match tokio::time::timeout_at(deadline, ask).await {
            Ok(result) => result,
            Err(_) => {
                self.phase = Phase::Broken;
                Err(Error::TimedOut("waiting for an answer"))
            }
        }
    }

    /// Reads one small result set.
    pub(super) async fn finish_rows(&mut self) -> Result<Vec<Row>, Error> {
        Ok(self.finish_table().await?.rows)
    }

    async fn finish_table(&mut self) -> Result<Table, Error> {
        let (mut columns, mut table, mut size) = (None, Table::default(), 0);
        self.collect(ResponseKind::Results, |index, payload| {
            size += payload.len();
            if size > MAX_OWN_RESULT {
                return Err(Malformed("oversized result set"));
            }
            match columns {
                None => {
                    let count = Reader::new(payload).lenenc().unwrap_or(0);
                    columns = usize::try_from(count).ok();
                }
                Some(count) if index <= count => {
                    table.columns.push(column::name(payload)?.to_vec());
                }
                Some(count) => table.rows.push(text_row::parse(payload, count)?),
            }
            Ok(())
        })
        .await?;
        Ok(table)
    }

    /// Reads one response; `each` gets every packet that is not OK, EOF or ERR, with its position.
    pub(super) async fn collect(
        &mut self,
        kind: ResponseKind,
        mut each: impl FnMut(usize, &[u8]) -> Result<(), Malformed>,
    ) -> Result<Summary, Error> {
        self.finish_owed().await?;
        let result = self.read_response(kind, &mut each).await;
        match &result {
            Ok(_) | Err(Error::Server(_)) => self.mark_ready(),
            Err(_) => self.phase = Phase::Broken,
        }
        result
    }

    pub(super) async fn read_response(
        &mut self,
        kind: ResponseKind,
        each: &mut impl FnMut(usize, &[u8]) -> Result<(), Malformed>,
    ) -> Result<Summary, Error> {
        let mut tracker = self.tracker(kind);
        let mut summary = Summary { status: self.status, state: Vec::new(), warnings: 0 };
        let mut index = 0;
        loop {
            // One frame at a time: these responses are small, and their packets are read whole.
            let header = self.stream.frame(MAX_OWN_RESULT).await?;
            let len = HEADER_LEN + header.len;
            let frame = self.stream.buffered().get(..len).unwrap_or_default();
            let payload = frame.get(HEADER_LEN..).unwrap_or_default();
            let (_, event) = tracker.advance(frame)?;
            let mut ended = tracker.is_done();
            match event {
                Event::Packet { control: Control::Err, .. } => {
                    let err = ErrPacket::parse(payload)?;
                    self.stream.consume(len);
                    return Err(Error::Server(err));
                }
                Event::Packet { control: Control::Ok, last, .. } => {
                    let ok = OkPacket::parse(payload, true)?;
                    summary.status = ok.status;
                    summary.warnings = ok.warnings;
                    summary.state.extend_from_slice(ok.state);
                    ended = last;
                }
                Event::Packet { control: Control::LocalInfile, .. } => {
                    return Err(Malformed("request for a file").into());
                }
                Event::Packet { control: Control::Eof, last, .. } => {
                    let eof = EofPacket::parse(payload)?;
                    (summary.status, summary.warnings) = (eof.status, eof.warnings);
                    ended = last;
                }
                Event::Packet { control: Control::DefinitionsEof, last, .. } => ended = last,
                Event::Packet { control: Control::PrepareOk, last, .. } => {
                    each(index, payload)?;
                    ended = last;
                }
                Event::NeedMore(_) | Event::End => {
                    // A definition or a row.
                    each(index, payload)?;
                    index += 1;
                }
            }
            self.stream.consume(len);
            if ended {
                self.status = summary.status;
                return Ok(summary);
            }
        }
    }
}
