//! The connection phase, as a client plays it.

use std::io;
use std::net::TcpStream;

use lagwise::auth::caching_sha2;
use lagwise::auth::native_password;
use lagwise::auth::rsa_key::ServerPublicKey;

use super::super::DEADLINE;
use super::transport::{Compression, Transport};
use super::{Client, Packet, caps, frames};

const SHA2: &str = "caching_sha2_password";
const NATIVE: &str = "mysql_native_password";

/// How to log in.
#[derive(Clone, Debug)]
pub struct Options {
    pub user: String,
    pub password: String,
    pub schema: Option<String>,
    /// Capabilities to ask for; those that the greeting lacks are left out.
    pub caps: u64,
    /// Collation id.
    pub charset: u8,
    /// Connection attributes, if any are to be sent.
    pub attributes: Vec<(String, String)>,
    pub tls: bool,
    /// The certificate that is shown under TLS, and its key, in DER.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The plugin of the first answer; the greeting's if none is named.
    pub plugin: Option<&'static str>,
}

impl Options {
    /// The account `app` in schema `shop`, with the base capabilities and `caps`.
    pub fn new(more: u64) -> Self {
        Self {
            user: "app".to_owned(),
            password: "app_password".to_owned(),
            schema: Some("shop".to_owned()),
            caps: caps::BASE | more,
            charset: 45, // utf8mb4_general_ci
            attributes: Vec::new(),
            tls: false,
            identity: None,
            plugin: None,
        }
    }

    /// The same as another account, whose password is its name with `_password`.
    pub fn account(mut self, user: &str) -> Self {
        self.user = user.to_owned();
        self.password = format!("{user}_password");
        self
    }

    /// Logs in; the server's ERR packet if it refuses.
    pub fn login(&self, port: u16) -> Result<Client, Packet> {
        self.try_login(port).unwrap_or_else(|error| panic!("login on port {port}: {error}"))
    }

    /// The same, where the connection may break.
    pub fn try_login(&self, port: u16) -> io::Result<Result<Client, Packet>> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        let mut client = Client {
            transport: Transport::new(stream),
            caps: caps::PROTOCOL_41,
            greeting: Greeting::default(),
            login_ok: Packet { seq: 0, payload: Vec::new() },
            seq: 0,
            statements: Vec::new(),
        };
        let first = client.read_packet()?;
        if first.payload.first() == Some(&0xff) {
            return Ok(Err(first));
        }
        client.greeting = Greeting::parse(&first.payload);
        client.caps = self.negotiate(&client.greeting);
        if self.tls {
            let head = self.head(client.caps);
            let request = frames(&head, &mut client.seq);
            client.transport.start_tls(&request, self.identity.as_ref())?;
        }
        let plugin = self.plugin.unwrap_or(&client.greeting.plugin).to_owned();
        let scramble = scramble(&plugin, &self.password, &client.greeting.nonce);
        let response = self.response(client.caps, &plugin, &scramble);
        client.send_more(&response)?;
        let nonce = client.greeting.nonce.clone();
        let last = client.authenticate(&self.password, &plugin, nonce)?;
        if last.payload.first() == Some(&0xff) {
            return Ok(Err(last));
        }
        client.login_ok = last;
        if client.has(caps::COMPRESS) {
            client.transport.compress(Compression::Zlib);
        } else if client.has(caps::ZSTD) {
            client.transport.compress(Compression::Zstd);
        }
        Ok(Ok(client))
    }

    fn negotiate(&self, greeting: &Greeting) -> u64 {
        let mut wanted = self.caps;
        if self.schema.is_some() {
            wanted |= caps::CONNECT_WITH_DB;
        }
        if !self.attributes.is_empty() {
            wanted |= caps::CONNECT_ATTRS;
        }
        if self.tls {
            wanted |= caps::SSL;
        }
        // A client that says LONG_PASSWORD is none of MariaDB's own, and has no extensions.
        if wanted >> 32 != 0 {
            wanted &= !caps::LONG_PASSWORD;
        }
        let found_rows = wanted & (caps::FOUND_ROWS | caps::IGNORE_SPACE);
        wanted & greeting.caps | found_rows
    }

    fn head(&self, capabilities: u64) -> Vec<u8> {
        let mut out = (capabilities as u32).to_le_bytes().to_vec();
        out.extend((1_u32 << 30).to_le_bytes());
        out.push(self.charset);
        out.extend([0; 19]);
        out.extend(((capabilities >> 32) as u32).to_le_bytes());
        out
    }

    fn response(&self, capabilities: u64, plugin: &str, scramble: &[u8]) -> Vec<u8> {
        let mut out = self.head(capabilities);
        out.extend(self.user.as_bytes());
        out.push(0);
        out.push(scramble.len() as u8);
        out.extend(scramble);
        if let Some(schema) = &self.schema {
            out.extend(schema.as_bytes());
            out.push(0);
        }
        if capabilities & caps::PLUGIN_AUTH != 0 {
            out.extend(plugin.as_bytes());
            out.push(0);
        }
        if capabilities & caps::CONNECT_ATTRS != 0 {
            out.extend(self.attribute_bytes());
        }
        if capabilities & caps::ZSTD != 0 {
            out.push(3);
        }
        out
    }

    fn attribute_bytes(&self) -> Vec<u8> {
        let mut pairs = Vec::new();
        for text in self.attributes.iter().flat_map(|(key, value)| [key, value]) {
            pairs.push(text.len() as u8);
            pairs.extend(text.as_bytes());
        }
        let mut out = vec![pairs.len() as u8];
        out.extend(pairs);
        out
    }

    /// The payload of a COM_CHANGE_USER to this account.
    pub fn change_user(&self, client: &Client) -> Vec<u8> {
        let plugin = self.plugin.unwrap_or(&client.greeting.plugin);
        let scramble = scramble(plugin, &self.password, &client.greeting.nonce);
        let mut out = vec![0x11];
        out.extend(self.user.as_bytes());
        out.push(0);
        out.push(scramble.len() as u8);
        out.extend(scramble);
        out.extend(self.schema.as_deref().unwrap_or("").as_bytes());
        out.push(0);
        out.extend([self.charset, 0]);
        out.extend(plugin.as_bytes());
        out.push(0);
        if client.has(caps::CONNECT_ATTRS) {
            out.extend(self.attribute_bytes());
        }
        out
    }
}

impl Client {
    /// COM_CHANGE_USER; returns the OK or ERR that it ends with.
    pub fn change_user(&mut self, options: &Options) -> io::Result<Packet> {
        let payload = options.change_user(self);
        self.send(&payload)?;
        let plugin = options.plugin.unwrap_or(&self.greeting.plugin).to_owned();
        let nonce = self.greeting.nonce.clone();
        self.statements.clear();
        self.authenticate(&options.password, &plugin, nonce)
    }

    /// Goes on after the first answer until the server says OK or ERR.
    fn authenticate(
        &mut self,
        password: &str,
        plugin: &str,
        mut nonce: Vec<u8>,
    ) -> io::Result<Packet> {
        debug_assert!(!plugin.is_empty());
        loop {
            let packet = self.read_packet()?;
            let payload = &packet.payload[..];
            match payload {
                [0x00 | 0xff, ..] => return Ok(packet),
                [0xfe, rest @ ..] => {
                    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
                    let plugin = String::from_utf8_lossy(&rest[..end]).into_owned();
                    nonce = rest.get(end + 1..).unwrap_or_default().to_vec();
                    nonce.truncate(20);
                    let answer = scramble(&plugin, password, &nonce);
                    self.send_more(&answer)?;
                }
                [0x01, 0x03] => {}
                [0x01, 0x04] if self.transport.is_tls() => {
                    self.send_more(&[password.as_bytes(), b"\0"].concat())?;
                }
                [0x01, 0x04] => self.send_more(&[0x02])?,
                [0x01, pem @ ..] => {
                    let key = ServerPublicKey::from_pem(pem).map_err(io::Error::other)?;
                    let block = key.encrypt_password(password.as_bytes(), &nonce);
                    self.send_more(&block.map_err(io::Error::other)?)?;
                }
                _ => return Err(io::Error::other(format!("login packet {payload:?}"))),
            }
        }
    }
}

fn scramble(plugin: &str, password: &str, nonce: &[u8]) -> Vec<u8> {
    // MySQL asks unknown users for any plugin, so as not to tell that they are unknown.
    if plugin == "sha256_password" {
        return vec![u8::from(!password.is_empty())]; // a request for the key, or an end
    }
    if password.is_empty() {
        return Vec::new();
    }
    match plugin {
        SHA2 => caching_sha2::scramble(password.as_bytes(), nonce).to_vec(),
        NATIVE => {
            let stage1 = native_password::stage1(password.as_bytes());
            native_password::scramble(&stage1, nonce).to_vec()
        }
        other => panic!("no plugin {other} in this client"),
    }
}

/// The server's first packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    pub version: String,
    pub thread_id: u32,
    pub nonce: Vec<u8>,
    pub caps: u64,
    pub charset: u8,
    pub status: u16,
    pub plugin: String,
}

impl Greeting {
    fn parse(payload: &[u8]) -> Self {
        assert_eq!(payload[0], 10, "protocol version");
        let end = payload.iter().position(|byte| *byte == 0).expect("a version");
        let version = String::from_utf8_lossy(&payload[1..end]).into_owned();
        let rest = &payload[end + 1..];
        let number = |at: usize, len: usize| {
            rest[at..at + len].iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        let mut capabilities = number(13, 2) | number(18, 2) << 16;
        // int<4> thread id, string[8], int<1>, int<2> low, int<1>, int<2>, int<2> high, int<1>,
        // string[6], int<4> MariaDB's own
        if capabilities & caps::LONG_PASSWORD == 0 {
            capabilities |= number(27, 4) << 32;
        }
        assert_eq!((rest[12], number(20, 1)), (0, 21), "nonce length");
        let nonce = [&rest[4..12], &rest[31..43]].concat();
        assert_eq!(rest[43], 0, "end of nonce");
        let plugin = rest[44..].strip_suffix(&[0]).expect("a plugin name");
        Self {
            version,
            thread_id: number(0, 4) as u32,
            nonce,
            caps: capabilities,
            charset: rest[15],
            status: number(16, 2) as u16,
            plugin: String::from_utf8_lossy(plugin).into_owned(),
        }
    }
}
