//! A small blocking MySQL client for tests that need more than a driver gives: to stop in the
//! middle, to send what no driver sends, or to be one of many threads.
//!
//! Result sets come back as text. Deliberately absent: TLS, compression, DEPRECATE_EOF.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use lagwise::auth::{caching_sha2, native_password};

use crate::support::DEADLINE;

pub const PLUGIN_AUTH: u32 = 1 << 19;
pub const CONNECT_ATTRS: u32 = 1 << 20;
pub const LOCAL_FILES: u32 = 1 << 7;
const CONNECT_WITH_DB: u32 = 1 << 3;
/// PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, MULTI_STATEMENTS, MULTI_RESULTS,
/// PS_MULTI_RESULTS, LONG_PASSWORD, LONG_FLAG.
const BASE: u32 = 1 << 9 | 1 << 13 | 1 << 15 | 1 << 16 | 1 << 17 | 1 << 18 | 1 | 1 << 2;

const NATIVE: &str = "mysql_native_password";
const SHA2: &str = "caching_sha2_password";

/// How a command failed.
#[derive(Debug)]
pub enum Fail {
    /// The server's or lagwise's ERR packet.
    Err { code: u16, state: String, text: String },
    /// The connection ended.
    Io(io::Error),
}

impl Fail {
    /// The error number; 0 for a connection that ended.
    pub fn code(&self) -> u16 {
        match self {
            Fail::Err { code, .. } => *code,
            Fail::Io(_) => 0,
        }
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fail::Err { code, state, text } => write!(f, "ERROR {code} ({state}): {text}"),
            Fail::Io(error) => write!(f, "connection: {error}"),
        }
    }
}

impl From<io::Error> for Fail {
    fn from(error: io::Error) -> Self {
        Fail::Io(error)
    }
}

/// Who logs in, and how.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    pub user: &'a str,
    pub password: &'a str,
    pub schema: Option<&'a str>,
    pub plugin: &'static str,
    /// Beyond the base.
    pub capabilities: u32,
    /// What an AuthSwitchRequest to another plugin than `plugin` is answered with.
    pub obeys_switch: bool,
}

/// The application's account.
pub const APP: Login<'static> = Login {
    user: "app",
    password: "app_password",
    schema: Some("shop"),
    plugin: SHA2,
    capabilities: PLUGIN_AUTH,
    obeys_switch: true,
};

impl<'a> Login<'a> {
    /// The account of that name, whose password is `NAME_password`-like.
    pub fn of(user: &'a str, password: &'a str) -> Self {
        Login { user, password, ..APP }
    }

    /// A client from before pluggable authentication.
    pub fn old_native(self) -> Self {
        Login { plugin: NATIVE, capabilities: 0, ..self }
    }

    /// PHP before 7.4, by what it says of itself.
    pub fn old_php(self) -> Self {
        Login { capabilities: PLUGIN_AUTH | CONNECT_ATTRS, ..self.native_only() }
    }

    /// A client that names mysql_native_password, and closes when asked for something else.
    pub fn native_only(self) -> Self {
        Login { plugin: NATIVE, obeys_switch: false, ..self }
    }
}

/// A socket of either kind.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub type Row = Vec<Option<String>>;

pub struct Client {
    pub stream: Box<dyn Stream>,
    pub seq: u8,
    /// Status flags of the last OK or EOF.
    pub status: u16,
    /// The id in the greeting.
    pub id: u32,
    pub version: String,
    /// Warnings of the last OK or EOF.
    pub warnings: u16,
    /// Affected rows of the last OK.
    pub affected: u64,
}

pub fn tcp(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

impl Client {
    pub fn connect(port: u16, login: Login<'_>) -> Result<Self, Fail> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Self::login(Box::new(stream), login)
    }

    /// As the application's account.
    pub fn app(port: u16) -> Self {
        Self::connect(port, APP).unwrap_or_else(|fail| panic!("login: {fail}"))
    }

    pub fn connect_unix(path: &Path, login: Login<'_>) -> Result<Self, Fail> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Self::login(Box::new(stream), login)
    }

    pub fn login(stream: Box<dyn Stream>, login: Login<'_>) -> Result<Self, Fail> {
        let version = String::new();
        let mut client =
            Client { stream, seq: 0, status: 0, id: 0, version, warnings: 0, affected: 0 };
        let greeting = client.read()?;
        if greeting.first() == Some(&0xff) {
            return Err(fail(&greeting));
        }
        let end = 1 + greeting[1..].iter().position(|byte| *byte == 0).unwrap();
        client.version = String::from_utf8_lossy(&greeting[1..end]).into_owned();
        let at = end + 1;
        client.id = u32::from_le_bytes(greeting[at..at + 4].try_into().unwrap());
        let mut nonce = greeting[at + 4..at + 12].to_vec();
        nonce.extend_from_slice(&greeting[at + 31..at + 43]);
        client.respond(&login, &nonce)?;
        client.finish_login(&login)?;
        Ok(client)
    }

    fn respond(&mut self, login: &Login<'_>, nonce: &[u8]) -> io::Result<()> {
        let schema = if login.schema.is_some() { CONNECT_WITH_DB } else { 0 };
        let mut out = (BASE | login.capabilities | schema).to_le_bytes().to_vec();
        out.extend_from_slice(&(1_u32 << 24).to_le_bytes());
        out.push(45);
        out.extend_from_slice(&[0; 23]);
        out.extend_from_slice(login.user.as_bytes());
        out.push(0);
        let scramble = scramble(login.plugin, login.password, nonce);
        out.push(scramble.len() as u8);
        out.extend_from_slice(&scramble);
        if let Some(schema) = login.schema {
            out.extend_from_slice(schema.as_bytes());
            out.push(0);
        }
        if login.capabilities & PLUGIN_AUTH != 0 {
            out.extend_from_slice(login.plugin.as_bytes());
            out.push(0);
        }
        if login.capabilities & CONNECT_ATTRS != 0 {
            let attributes = b"\x0c_client_name\x07mysqlnd";
            out.push(attributes.len() as u8);
            out.extend_from_slice(attributes);
        }
        self.write(&out)
    }

    fn finish_login(&mut self, login: &Login<'_>) -> Result<(), Fail> {
        loop {
            let packet = self.read()?;
            match packet[0] {
                0x00 => {
                    self.take_ok(&packet);
                    return Ok(());
                }
                0xff => return Err(fail(&packet)),
                0xfe => {
                    let end = packet.iter().position(|byte| *byte == 0).unwrap();
                    let plugin = String::from_utf8_lossy(&packet[1..end]).into_owned();
                    if plugin != login.plugin && !login.obeys_switch {
                        return Err(io::Error::from(io::ErrorKind::ConnectionAborted).into());
                    }
                    let nonce = packet.get(end + 1..end + 21).unwrap_or_default();
                    self.write(&scramble(&plugin, login.password, nonce))?;
                }
                0x01 if packet[1..] == [3] => {}
                0x01 if packet[1..] == [4] => {
                    let mut clear = login.password.as_bytes().to_vec();
                    clear.push(0);
                    self.write(&clear)?;
                }
                other => panic!("packet {other:#x} in a login"),
            }
        }
    }

    // ---- packets

    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut payload = Vec::new();
        loop {
            let mut header = [0; 4];
            self.stream.read_exact(&mut header)?;
            let len = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
            self.seq = header[3].wrapping_add(1);
            let start = payload.len();
            payload.resize(start + len, 0);
            self.stream.read_exact(&mut payload[start..])?;
            if len < 0xff_ffff {
                return Ok(payload);
            }
        }
    }

    pub fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut packet = (payload.len() as u32).to_le_bytes().to_vec();
        packet[3] = self.seq;
        packet.extend_from_slice(payload);
        self.seq = self.seq.wrapping_add(1);
        self.stream.write_all(&packet)
    }

    /// Sends a command without awaiting its response.
    pub fn send(&mut self, command: u8, body: &[u8]) -> io::Result<()> {
        self.seq = 0;
        let mut payload = vec![command];
        payload.extend_from_slice(body);
        self.write(&payload)
    }

    fn take_ok(&mut self, packet: &[u8]) {
        let mut at = 1;
        self.affected = lenenc(packet, &mut at).unwrap_or(0);
        lenenc(packet, &mut at);
        self.status = u16::from_le_bytes([packet[at], packet[at + 1]]);
        self.warnings = u16::from_le_bytes([packet[at + 2], packet[at + 3]]);
    }

    // ---- commands

    /// A command with an OK response.
    pub fn simple(&mut self, command: u8, body: &[u8]) -> Result<(), Fail> {
        self.send(command, body)?;
        self.results(false).map(drop)
    }

    /// COM_QUERY; the rows of all result sets.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Row>, Fail> {
        self.send(3, sql.as_bytes())?;
        self.results(false)
    }

    /// COM_QUERY that must succeed.
    pub fn run(&mut self, sql: &str) -> Vec<Row> {
        self.query(sql).unwrap_or_else(|fail| panic!("{sql}: {fail}"))
    }

    /// The first value of the last result set of a COM_QUERY that must succeed.
    pub fn value(&mut self, sql: &str) -> String {
        first_value(self.run(sql))
    }

    /// COM_STMT_PREPARE, EXECUTE and CLOSE of a statement without parameters; the columns of
    /// its result must be strings.
    pub fn execute(&mut self, sql: &str) -> Result<Vec<Row>, Fail> {
        let (id, _) = self.prepare(sql)?;
        let result = self.execute_id(id);
        self.send(0x19, &id.to_le_bytes())?;
        result
    }

    /// COM_STMT_PREPARE; the statement id and the number of its columns.
    pub fn prepare(&mut self, sql: &str) -> Result<(u32, usize), Fail> {
        self.send(0x16, sql.as_bytes())?;
        let ok = self.read()?;
        if ok[0] == 0xff {
            return Err(fail(&ok));
        }
        let columns = u16::from_le_bytes([ok[5], ok[6]]) as usize;
        let parameters = u16::from_le_bytes([ok[7], ok[8]]) as usize;
        for count in [parameters, columns] {
            if count > 0 {
                for _ in 0..=count {
                    self.read()?;
                }
            }
        }
        Ok((u32::from_le_bytes(ok[1..5].try_into().unwrap()), columns))
    }

    pub fn execute_id(&mut self, id: u32) -> Result<Vec<Row>, Fail> {
        let mut body = id.to_le_bytes().to_vec();
        body.extend_from_slice(&[0, 1, 0, 0, 0]);
        self.send(0x17, &body)?;
        self.results(true)
    }

    /// COM_CHANGE_USER.
    pub fn change_user(&mut self, login: Login<'_>) -> Result<(), Fail> {
        let mut body = login.user.as_bytes().to_vec();
        // No answer yet: the server asks for one to a nonce of its own.
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(login.schema.unwrap_or_default().as_bytes());
        body.extend_from_slice(&[0, 45, 0]);
        body.extend_from_slice(login.plugin.as_bytes());
        body.push(0);
        self.send(0x11, &body)?;
        self.finish_login(&login)
    }

    /// Reads the whole response to a command.
    pub fn results(&mut self, binary: bool) -> Result<Vec<Row>, Fail> {
        let mut rows = Vec::new();
        loop {
            let head = self.read()?;
            match head[0] {
                0xff => return Err(fail(&head)),
                0x00 => self.take_ok(&head),
                0xfb => {
                    // A file is asked for: there is none.
                    self.write(&[])?;
                    continue;
                }
                _ => {
                    let columns = lenenc(&head, &mut 0).unwrap() as usize;
                    for _ in 0..=columns {
                        self.read()?;
                    }
                    self.rows(columns, binary, &mut rows)?;
                }
            }
            if self.status & 8 == 0 {
                return Ok(rows);
            }
        }
    }

    fn rows(&mut self, columns: usize, binary: bool, rows: &mut Vec<Row>) -> Result<(), Fail> {
        loop {
            let packet = self.read()?;
            if packet[0] == 0xfe && packet.len() < 9 {
                self.status = u16::from_le_bytes([packet[3], packet[4]]);
                self.warnings = u16::from_le_bytes([packet[1], packet[2]]);
                return Ok(());
            }
            if packet[0] == 0xff {
                return Err(fail(&packet));
            }
            let bitmap = (columns + 9) / 8;
            let mut at = if binary { 1 + bitmap } else { 0 };
            let mut row = Row::new();
            for column in 0..columns {
                let bit = column + 2;
                let null = binary && packet[1 + bit / 8] & (1 << (bit % 8)) != 0;
                let len = if null { None } else { lenenc(&packet, &mut at) };
                row.push(len.map(|len| {
                    let text = String::from_utf8_lossy(&packet[at..at + len as usize]).into_owned();
                    at += len as usize;
                    text
                }));
            }
            rows.push(row);
        }
    }
}

/// The first value of the last row.
pub fn first_value(rows: Vec<Row>) -> String {
    let row = rows.into_iter().next_back().expect("a row");
    row.into_iter().next().expect("a column").unwrap_or_else(|| "NULL".to_owned())
}

/// `int<lenenc>`; `None` is NULL.
fn lenenc(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let first = bytes[*at];
    let width = match first {
        0xfb => 0,
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        _ => {
            *at += 1;
            return Some(u64::from(first));
        }
    };
    let start = *at + 1;
    *at = start + width;
    let mut wide = [0; 8];
    wide[..width].copy_from_slice(&bytes[start..start + width]);
    (first != 0xfb).then(|| u64::from_le_bytes(wide))
}

fn scramble(plugin: &str, password: &str, nonce: &[u8]) -> Vec<u8> {
    match plugin {
        _ if password.is_empty() => Vec::new(),
        NATIVE => {
            let stage1 = native_password::stage1(password.as_bytes());
            native_password::scramble(&stage1, nonce).to_vec()
        }
        _ => caching_sha2::scramble(password.as_bytes(), nonce).to_vec(),
    }
}

fn fail(packet: &[u8]) -> Fail {
    let code = u16::from_le_bytes([packet[1], packet[2]]);
    let rest = &packet[3..];
    let (state, text) =
        if rest.first() == Some(&b'#') { (&rest[1..6], &rest[6..]) } else { (&b""[..], rest) };
    let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Fail::Err { code, state: string(state), text: string(text) }
}
