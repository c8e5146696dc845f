//! A client that loads pages as a web application does: connect, SET NAMES, prepared reads that are
//! closed again, a write, quit. It speaks as PHP's mysqlnd does, without session tracking and with
//! EOF packets.
//!
//! Thousands of them run beside the servers that they ask, on one machine: so they are tasks rather
//! than threads, allocate little, and look at no more of an answer than they must. Shared by the
//! `pages` benchmark and the tests of many clients.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt;
use std::io;

use lagwise::auth::rsa_key::ServerPublicKey;
use lagwise::auth::{caching_sha2, native_password};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, MULTI_RESULTS, PS_MULTI_RESULTS, LONG_PASSWORD,
/// LONG_FLAG, CONNECT_WITH_DB, PLUGIN_AUTH.
const CAPABILITIES: u32 =
    1 << 9 | 1 << 13 | 1 << 15 | 1 << 17 | 1 << 18 | 1 | 1 << 2 | 1 << 3 | 1 << 19;

const SHA2: &str = "caching_sha2_password";

/// Why a page could not be loaded.
#[derive(Debug)]
pub enum Fail {
    /// An ERR packet.
    Err(u16, String),
    /// The connection failed.
    Io(io::Error),
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Err(code, text) => write!(f, "ERROR {code}: {text}"),
            Self::Io(error) => write!(f, "connection: {error}"),
        }
    }
}

impl From<io::Error> for Fail {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Who logs in.
#[derive(Clone, Debug)]
pub struct Account {
    pub user: String,
    pub password: String,
    pub schema: String,
}

impl Account {
    /// The application's.
    pub fn app() -> Self {
        Self::named("app")
    }

    /// One of the test servers' accounts.
    pub fn named(user: &str) -> Self {
        Self { user: user.to_owned(), password: format!("{user}_password"), schema: "shop".into() }
    }
}

/// What an answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub rows: u64,
    /// The text that was looked for is in a row.
    pub is_found: bool,
}

/// A client that is logged in.
pub struct Visitor {
    stream: TcpStream,
    /// What was read; packets before `at` are done with.
    input: Vec<u8>,
    at: usize,
    output: Vec<u8>,
    seq: u8,
}

impl Visitor {
    /// Connects and logs in.
    pub async fn connect(port: u16, account: &Account) -> Result<Self, Fail> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (input, output) = (Vec::with_capacity(1024), Vec::with_capacity(256));
        let mut visitor = Self { stream, input, at: 0, output, seq: 0 };
        let greeting = visitor.packet().await?.to_vec();
        if greeting.first() == Some(&0xff) {
            return Err(fail(&greeting));
        }
        let version = 1 + greeting[1..].iter().position(|byte| *byte == 0).unwrap();
        // int<4> thread id, nonce, int<1> 0, int<2> capabilities, int<1> charset …
        let at = version + 5;
        let mut nonce = greeting[at..at + 8].to_vec();
        nonce.extend_from_slice(&greeting[at + 27..at + 39]);
        visitor.log_in(account, nonce).await?;
        Ok(visitor)
    }

    async fn log_in(&mut self, account: &Account, nonce: Vec<u8>) -> Result<(), Fail> {
        let mut nonce = nonce;
        let mut response = CAPABILITIES.to_le_bytes().to_vec();
        response.extend_from_slice(&(1_u32 << 24).to_le_bytes());
        response.push(45);
        response.extend_from_slice(&[0; 23]);
        response.extend_from_slice(account.user.as_bytes());
        let scramble = scramble_of(SHA2, account, &nonce);
        response.extend_from_slice(&[0, scramble.len() as u8]);
        response.extend_from_slice(&scramble);
        response.extend_from_slice(account.schema.as_bytes());
        response.push(0);
        response.extend_from_slice(SHA2.as_bytes());
        response.push(0);
        self.send(&response).await?;
        loop {
            let packet = self.packet().await?.to_vec();
            match packet[..] {
                [0x00, ..] => return Ok(()),
                [0xff, ..] => return Err(fail(&packet)),
                [0xfe, ref rest @ ..] => {
                    let end = rest.iter().position(|byte| *byte == 0).unwrap();
                    nonce = rest[end + 1..].iter().copied().take(20).collect();
                    let plugin = String::from_utf8_lossy(&rest[..end]).into_owned();
                    self.send(&scramble_of(&plugin, account, &nonce)).await?;
                }
                [0x01, 3] => {}
                // Full authentication: the key is asked for, and the password sent under it.
                [0x01, 4] => self.send(&[2]).await?,
                [0x01, ref pem @ ..] => {
                    let key = ServerPublicKey::from_pem(pem).expect("a public key");
                    let password = account.password.as_bytes();
                    let block = key.encrypt_password(password, &nonce).expect("a short password");
                    self.send(&block).await?;
                }
                _ => panic!("an unknown packet in a login"),
            }
        }
    }

    /// COM_QUERY.
    pub async fn query(&mut self, sql: &str) -> Result<Answer, Fail> {
        self.command(3, &[sql.as_bytes()]).await?;
        self.answer(None).await
    }

    /// COM_STMT_PREPARE, EXECUTE with a number, and CLOSE; `text` is looked for in the rows.
    pub async fn prepared(&mut self, sql: &str, number: u32, text: &str) -> Result<Answer, Fail> {
        let id = self.prepare(sql).await?;
        let answer = self.execute(id, number, text).await;
        self.close(id).await?;
        answer
    }

    /// COM_STMT_PREPARE of a statement with one parameter; its id.
    pub async fn prepare(&mut self, sql: &str) -> Result<[u8; 4], Fail> {
        self.command(0x16, &[sql.as_bytes()]).await?;
        let ok = self.packet().await?;
        if ok[0] == 0xff {
            return Err(fail(ok));
        }
        let id = ok[1..5].try_into().unwrap();
        let (columns, parameters) = (ok[5], ok[7]);
        assert_eq!((ok[6], ok[8], parameters), (0, 0, 1), "{sql}");
        // The EOF packets, too.
        let more = u32::from(columns) + u32::from(columns > 0) + u32::from(parameters) + 1;
        for _ in 0..more {
            self.packet().await?;
        }
        Ok(id)
    }

    /// COM_STMT_EXECUTE with a number.
    pub async fn execute(&mut self, id: [u8; 4], number: u32, text: &str) -> Result<Answer, Fail> {
        // int<1> flags, int<4> iterations, NULL bitmap, int<1> new types, int<2> MYSQL_TYPE_LONG
        let head = [0, 1, 0, 0, 0, 0, 1, 3, 0];
        self.command(0x17, &[&id, &head, &number.to_le_bytes()]).await?;
        self.answer(Some(text.as_bytes())).await
    }

    /// COM_STMT_CLOSE.
    pub async fn close(&mut self, id: [u8; 4]) -> Result<(), Fail> {
        self.command(0x19, &[&id]).await
    }

    /// COM_QUIT, and the end of the connection.
    pub async fn quit(mut self) -> Result<(), Fail> {
        self.command(1, &[]).await?;
        match self.stream.read(&mut [0; 1]).await? {
            0 => Ok(()),
            _ => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
        }
    }

    async fn answer(&mut self, text: Option<&[u8]>) -> Result<Answer, Fail> {
        let mut answer = Answer::default();
        match self.packet().await? {
            [0x00, ..] => return Ok(answer),
            err @ [0xff, ..] => return Err(fail(err)),
            _ => {}
        }
        let mut ends = 0;
        while ends < 2 {
            match self.packet().await? {
                err @ [0xff, ..] => return Err(fail(err)),
                eof @ [0xfe, ..] if eof.len() < 9 => ends += 1,
                _ if ends == 0 => {}
                row => {
                    answer.rows += 1;
                    let has = |text: &[u8]| row.windows(text.len()).any(|window| window == text);
                    answer.is_found |= text.is_some_and(has);
                }
            }
        }
        Ok(answer)
    }

    async fn command(&mut self, code: u8, parts: &[&[u8]]) -> Result<(), Fail> {
        self.seq = 0;
        self.output.clear();
        self.output.extend_from_slice(&[0, 0, 0, 0, code]);
        parts.iter().for_each(|part| self.output.extend_from_slice(part));
        self.flush().await
    }

    async fn send(&mut self, payload: &[u8]) -> Result<(), Fail> {
        self.output.clear();
        self.output.extend_from_slice(&[0; 4]);
        self.output.extend_from_slice(payload);
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Fail> {
        let len = (self.output.len() - 4) as u32;
        self.output[..3].copy_from_slice(&len.to_le_bytes()[..3]);
        self.output[3] = self.seq;
        Ok(self.stream.write_all(&self.output).await?)
    }

    /// The next packet's payload.
    async fn packet(&mut self) -> Result<&[u8], Fail> {
        loop {
            if let [low, middle, high, seq, rest @ ..] = &self.input[self.at..] {
                let len = u32::from_le_bytes([*low, *middle, *high, 0]) as usize;
                if rest.len() >= len {
                    self.seq = seq.wrapping_add(1);
                    let start = self.at + 4;
                    self.at = start + len;
                    return Ok(&self.input[start..start + len]);
                }
            }
            self.input.drain(..self.at);
            self.at = 0;
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

fn scramble_of(plugin: &str, account: &Account, nonce: &[u8]) -> Vec<u8> {
    let password = account.password.as_bytes();
    match plugin {
        SHA2 => caching_sha2::scramble(password, nonce).to_vec(),
        _ => native_password::scramble(&native_password::stage1(password), nonce).to_vec(),
    }
}

fn fail(packet: &[u8]) -> Fail {
    let code = u16::from_le_bytes([packet[1], packet[2]]);
    Fail::Err(code, String::from_utf8_lossy(&packet[3..]).into_owned())
}
