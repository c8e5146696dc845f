//! The connection phase: Greeting, SSLRequest, HandshakeResponse, and COM_CHANGE_USER's payload.
//!
//! MySQL Internals, "Protocol::HandshakeV10", "Protocol::HandshakeResponse41",
//! "Protocol::COM_CHANGE_USER"; MariaDB Knowledge Base, "Connecting".

use super::flags::{Capabilities, StatusFlags};
use super::reader::{Malformed, Reader};
use super::writer;

/// Length of the nonce that a server sends: 8 bytes, then 12, then a NUL.
pub const NONCE_LEN: usize = 20;

/// The first packet of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// For example `9.7.0` or `5.5.5-10.11.14-MariaDB-…`, as on the wire.
    pub server_version: Vec<u8>,
    /// The server's connection id.
    pub thread_id: u32,
    /// Random bytes that scrambles are computed over.
    pub nonce: Vec<u8>,
    /// What the server can do.
    pub capabilities: Capabilities,
    /// Default collation id, low byte.
    pub charset: u8,
    /// Usually `AUTOCOMMIT`.
    pub status: StatusFlags,
    /// Name of the default authentication plugin.
    pub auth_plugin: Vec<u8>,
}

impl Greeting {
    /// Reads a greeting of protocol version 10.
    ///
    /// # Errors
    /// Not a greeting. A server that refuses a connection sends an ERR packet instead: look for
    /// that first.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        Self::read(payload).ok_or(Malformed("greeting"))
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let mut r = Reader::new(payload);
        if r.u8()? != 10 {
            return None; // int<1> protocol version
        }
        let server_version = r.nul_bytes()?.to_vec(); // string<NUL>
        let thread_id = r.u32()?; // int<4>
        let mut nonce = r.take(8)?.to_vec(); // string[8] auth-plugin-data-part-1
        r.take(1)?; // int<1> filler
        let low = u64::from(r.u16()?); // int<2> capability flags, lower half
        let charset = r.u8()?; // int<1>
        let status = StatusFlags::from_bits_retain(r.u16()?); // int<2>
        let high = u64::from(r.u16()?); // int<2> capability flags, upper half
        let auth_len = usize::from(r.u8()?); // int<1> length of auth-plugin-data
        r.take(6)?; // string[6] reserved
        let extended = u64::from(r.u32()?); // string[4] reserved, or MariaDB's capabilities
        let mut bits = low | high << 16;
        if bits & Capabilities::LONG_PASSWORD.bits() == 0 {
            bits |= extended << 32;
        }
        let capabilities = Capabilities::from_bits_retain(bits);
        if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let part_2 = r.take(auth_len.saturating_sub(8).max(13).min(r.rest().len()))?;
            nonce.extend(part_2.strip_suffix(&[0]).unwrap_or(part_2)); // string[max(13, n - 8)]
        }
        let auth_plugin = match r.nul_bytes() {
            Some(name) => name.to_vec(), // string<NUL>
            None => r.take_rest().to_vec(),
        };
        (nonce.len() >= NONCE_LEN).then_some(())?;
        Some(Self { server_version, thread_id, nonce, capabilities, charset, status, auth_plugin })
    }

    /// Appends the payload to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let bits = self.capabilities.bits();
        let (part_1, part_2) = self.nonce.split_at(self.nonce.len().min(8));
        out.push(10);
        writer::nul_bytes(out, &self.server_version);
        out.extend_from_slice(&self.thread_id.to_le_bytes());
        out.extend_from_slice(part_1);
        out.push(0);
        out.extend_from_slice(&(bits as u16).to_le_bytes());
        out.push(self.charset);
        out.extend_from_slice(&self.status.bits().to_le_bytes());
        out.extend_from_slice(&((bits >> 16) as u16).to_le_bytes());
        out.push((self.nonce.len() + 1).min(255) as u8);
        out.extend_from_slice(&[0; 6]);
        let mariadb = !self.capabilities.contains(Capabilities::LONG_PASSWORD);
        let extended = if mariadb { (bits >> 32) as u32 } else { 0 };
        out.extend_from_slice(&extended.to_le_bytes());
        writer::nul_bytes(out, part_2);
        writer::nul_bytes(out, &self.auth_plugin);
    }
}

/// A client's answer to the greeting; lagwise reads it from clients and writes it to servers.
#[derive(Clone, PartialEq, Eq)]
pub struct HandshakeResponse {
    /// What the client wants to use.
    pub capabilities: Capabilities,
    /// Longest packet the client wants to send, in bytes; servers ignore it.
    pub max_packet: u32,
    /// Collation id, low byte.
    pub charset: u8,
    /// The account's user name.
    pub user: Vec<u8>,
    /// The authentication plugin's first data. Secret: it may be a clear-text password.
    pub auth_data: Vec<u8>,
    /// The default schema, if one is named.
    pub schema: Option<Vec<u8>>,
    /// The plugin that made `auth_data`, if named.
    pub auth_plugin: Option<Vec<u8>>,
    /// Connection attributes as they are on the wire, without their total length.
    pub attributes: Option<Vec<u8>>,
    /// zstd level 1 to 22 where zstd was asked for, else 0.
    pub zstd_level: u8,
}

impl std::fmt::Debug for HandshakeResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandshakeResponse")
            .field("capabilities", &self.capabilities)
            .field("user", &String::from_utf8_lossy(&self.user))
            .field("auth_plugin", &self.auth_plugin)
            .finish_non_exhaustive()
    }
}

/// Length of an SSLRequest: a handshake response that stops before the user name.
pub const SSL_REQUEST_LEN: usize = 32;

impl HandshakeResponse {
    /// True if `payload` is an SSLRequest ("Protocol::SSLRequest").
    pub fn is_ssl_request(payload: &[u8]) -> bool {
        let flags = Reader::new(payload).u32().unwrap_or(0);
        payload.len() == SSL_REQUEST_LEN && u64::from(flags) & Capabilities::SSL.bits() != 0
    }

    /// Reads a handshake response of protocol 4.1.
    ///
    /// # Errors
    /// Malformed, or a client from before MySQL 4.1.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        Self::read(payload).ok_or(Malformed("handshake response"))
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let mut r = Reader::new(payload);
        let low = r.u32()?; // int<4> client_flag
        let max_packet = r.u32()?; // int<4>
        let charset = r.u8()?; // int<1>
        r.take(19)?; // string[19] filler
        let extended = r.u32()?; // string[4] filler, or MariaDB's capabilities
        let mut bits = u64::from(low);
        if bits & Capabilities::LONG_PASSWORD.bits() == 0 {
            bits |= u64::from(extended) << 32;
        }
        let capabilities = Capabilities::from_bits_retain(bits);
        capabilities.contains(Capabilities::PROTOCOL_41).then_some(())?;
        let user = r.nul_bytes()?.to_vec(); // string<NUL>
        let auth_data = if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            r.lenenc_bytes()? // string<lenenc>
        } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let len = r.u8()?;
            r.take(usize::from(len))? // int<1> length, string[n]
        } else {
            r.nul_bytes()? // string<NUL>
        }
        .to_vec();
        let mut schema = None;
        if capabilities.contains(Capabilities::CONNECT_WITH_DB) && !r.is_empty() {
            schema = Some(nul_or_rest(&mut r)).filter(|name| !name.is_empty()); // string<NUL>
        }
        let mut auth_plugin = None;
        if capabilities.contains(Capabilities::PLUGIN_AUTH) && !r.is_empty() {
            auth_plugin = Some(nul_or_rest(&mut r)); // string<NUL>
        }
        let mut attributes = None;
        if capabilities.contains(Capabilities::CONNECT_ATTRS) && !r.is_empty() {
            attributes = Some(r.lenenc_bytes()?.to_vec()); // int<lenenc> total, then pairs
        }
        let mut zstd_level = 0;
        if capabilities.contains(Capabilities::ZSTD_COMPRESSION) {
            zstd_level = r.u8().unwrap_or(3); // int<1>
        }
        Some(Self {
            capabilities,
            max_packet,
            charset,
            user,
            auth_data,
            schema,
            auth_plugin,
            attributes,
            zstd_level,
        })
    }

    /// Appends the fixed head, which alone is an SSLRequest.
    pub fn write_head(&self, out: &mut Vec<u8>) {
        let bits = self.capabilities.bits();
        out.extend_from_slice(&(bits as u32).to_le_bytes());
        out.extend_from_slice(&self.max_packet.to_le_bytes());
        out.push(self.charset);
        out.extend_from_slice(&[0; 19]);
        let mariadb = !self.capabilities.contains(Capabilities::LONG_PASSWORD);
        let extended = if mariadb { (bits >> 32) as u32 } else { 0 };
        out.extend_from_slice(&extended.to_le_bytes());
    }

    /// Appends the payload to `out`. The capabilities must fit the fields that are present.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_head(out);
        writer::nul_bytes(out, &self.user);
        if self.capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            writer::lenenc_bytes(out, &self.auth_data);
        } else if self.capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let len = self.auth_data.len().min(255);
            out.push(len as u8);
            out.extend_from_slice(self.auth_data.get(..len).unwrap_or_default());
        } else {
            writer::nul_bytes(out, &self.auth_data);
        }
        if self.capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            writer::nul_bytes(out, self.schema.as_deref().unwrap_or_default());
        }
        if self.capabilities.contains(Capabilities::PLUGIN_AUTH) {
            writer::nul_bytes(out, self.auth_plugin.as_deref().unwrap_or_default());
        }
        if self.capabilities.contains(Capabilities::CONNECT_ATTRS) {
            writer::lenenc_bytes(out, self.attributes.as_deref().unwrap_or_default());
        }
        if self.capabilities.contains(Capabilities::ZSTD_COMPRESSION) {
            out.push(self.zstd_level);
        }
    }
}

fn nul_or_rest(r: &mut Reader<'_>) -> Vec<u8> {
    match r.nul_bytes() {
        Some(bytes) => bytes.to_vec(),
        None => r.take_rest().to_vec(), // some clients leave the last NUL out
    }
}

/// The value of one connection attribute; `attributes` as in [`HandshakeResponse::attributes`].
pub fn attribute<'a>(attributes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut r = Reader::new(attributes);
    loop {
        let (key, value) = (r.lenenc_bytes()?, r.lenenc_bytes()?);
        if key == name {
            return Some(value);
        }
    }
}

/// Connection attributes without that of this name; up to where they are malformed.
pub fn without_attribute(attributes: &[u8], name: &[u8]) -> Vec<u8> {
    let mut r = Reader::new(attributes);
    let mut kept = Vec::with_capacity(attributes.len());
    while let (Some(key), Some(value)) = (r.lenenc_bytes(), r.lenenc_bytes()) {
        if key != name {
            writer::lenenc_bytes(&mut kept, key);
            writer::lenenc_bytes(&mut kept, value);
        }
    }
    kept
}

/// What COM_CHANGE_USER asks for: clients lagwise, and lagwise servers.
#[derive(Clone, PartialEq, Eq)]
pub struct ChangeUser {
    /// The new account's user name.
    pub user: Vec<u8>,
    /// Authentication data; lagwise asks for it anew and ignores that of clients.
    pub auth_data: Vec<u8>,
    /// The new default schema; `None` if empty.
    pub schema: Option<Vec<u8>>,
    /// Collation id, low byte, if given.
    pub charset: Option<u8>,
    /// The plugin that made `auth_data`, if named.
    pub auth_plugin: Option<Vec<u8>>,
    /// Connection attributes, without their total length.
    pub attributes: Option<Vec<u8>>,
}

impl ChangeUser {
    /// Reads what follows the command byte, sent by a client of these `capabilities`.
    ///
    /// # Errors
    /// Malformed.
    pub fn parse(body: &[u8], capabilities: Capabilities) -> Result<Self, Malformed> {
        Self::read(body, capabilities).ok_or(Malformed("COM_CHANGE_USER"))
    }

    /// Appends what follows the command byte to `out`, for a server that such `capabilities` were
    /// agreed on with. Without a charset the packet ends before it.
    pub fn write(&self, capabilities: Capabilities, out: &mut Vec<u8>) {
        writer::nul_bytes(out, &self.user);
        let len = self.auth_data.len().min(255);
        out.push(len as u8);
        out.extend_from_slice(self.auth_data.get(..len).unwrap_or_default());
        writer::nul_bytes(out, self.schema.as_deref().unwrap_or_default());
        let Some(charset) = self.charset else { return };
        out.extend_from_slice(&u16::from(charset).to_le_bytes());
        if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            writer::nul_bytes(out, self.auth_plugin.as_deref().unwrap_or_default());
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            writer::lenenc_bytes(out, self.attributes.as_deref().unwrap_or_default());
        }
    }

    fn read(body: &[u8], capabilities: Capabilities) -> Option<Self> {
        let mut r = Reader::new(body);
        let user = r.nul_bytes()?.to_vec(); // string<NUL>
        let len = r.u8()?; // int<1>
        let auth_data = r.take(usize::from(len))?.to_vec(); // string[n]
        let schema = Some(nul_or_rest(&mut r)).filter(|name| !name.is_empty()); // string<NUL>
        let charset = r.u16().map(|id| id as u8); // int<2>
        let mut auth_plugin = None;
        if capabilities.contains(Capabilities::PLUGIN_AUTH) && !r.is_empty() {
            auth_plugin = Some(nul_or_rest(&mut r)); // string<NUL>
        }
        let mut attributes = None;
        if capabilities.contains(Capabilities::CONNECT_ATTRS) && !r.is_empty() {
            attributes = Some(r.lenenc_bytes()?.to_vec());
        }
        Some(Self { user, auth_data, schema, charset, auth_plugin, attributes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn greeting(capabilities: Capabilities) -> Greeting {
        Greeting {
            server_version: b"9.7.0".to_vec(),
            thread_id: 77,
            nonce: (1..=20).collect(),
            capabilities,
            charset: 255,
            status: StatusFlags::AUTOCOMMIT,
            auth_plugin: b"caching_sha2_password".to_vec(),
        }
    }

    #[test]
    fn greetings_round_trip() {
        let mysql = Capabilities::OFFERED & Capabilities::from_bits_retain(0xffff_ffff);
        let mariadb = Capabilities::OFFERED - Capabilities::LONG_PASSWORD;
        for capabilities in [mysql, mariadb] {
            let mut out = Vec::new();
            greeting(capabilities).write(&mut out);
            assert_eq!(Greeting::parse(&out), Ok(greeting(capabilities)));
            for end in 0..out.len() - 23 {
                assert!(Greeting::parse(&out[..end]).is_err(), "{end}");
            }
        }
    }

    fn response(capabilities: Capabilities) -> HandshakeResponse {
        let has = |flag, value: &[u8]| capabilities.contains(flag).then(|| value.to_vec());
        HandshakeResponse {
            capabilities,
            max_packet: 1 << 24,
            charset: 45,
            user: b"app".to_vec(),
            auth_data: vec![9; 32],
            schema: has(Capabilities::CONNECT_WITH_DB, b"shop"),
            auth_plugin: has(Capabilities::PLUGIN_AUTH, b"caching_sha2_password"),
            attributes: has(Capabilities::CONNECT_ATTRS, b"\x01a\x01b"),
            zstd_level: if capabilities.contains(Capabilities::ZSTD_COMPRESSION) { 5 } else { 0 },
        }
    }

    #[test]
    fn handshake_responses_round_trip() {
        let base = Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION;
        for more in [
            Capabilities::empty(),
            Capabilities::CONNECT_WITH_DB,
            Capabilities::PLUGIN_AUTH | Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA,
            Capabilities::CONNECT_ATTRS | Capabilities::LONG_PASSWORD,
            Capabilities::all() - Capabilities::LONG_PASSWORD,
        ] {
            let mut out = Vec::new();
            response(base | more).write(&mut out);
            assert_eq!(HandshakeResponse::parse(&out), Ok(response(base | more)), "{more:?}");
        }
    }

    #[test]
    fn a_response_without_secure_connection_ends_its_data_with_nul() {
        let old = response(Capabilities::PROTOCOL_41 | Capabilities::CONNECT_WITH_DB);
        let mut out = Vec::new();
        old.write(&mut out);
        assert_eq!(HandshakeResponse::parse(&out), Ok(old));
    }

    #[test]
    fn an_ssl_request_is_the_head_alone() {
        let mut out = Vec::new();
        response(Capabilities::PROTOCOL_41 | Capabilities::SSL).write_head(&mut out);
        assert_eq!(out.len(), SSL_REQUEST_LEN);
        assert!(HandshakeResponse::is_ssl_request(&out));
        assert!(!HandshakeResponse::is_ssl_request(&out[..31]));
        assert!(!HandshakeResponse::is_ssl_request(&[0; 32]));
    }

    #[test]
    fn attributes() {
        let attributes = b"\x01a\x011\x0c_client_name\x07mysqlnd";
        assert_eq!(attribute(attributes, b"_client_name"), Some(&b"mysqlnd"[..]));
        assert_eq!(attribute(attributes, b"b"), None);
        assert_eq!(attribute(&attributes[..20], b"_client_name"), None);
        assert_eq!(without_attribute(attributes, b"a"), b"\x0c_client_name\x07mysqlnd");
        assert_eq!(without_attribute(attributes, b"b"), attributes);
        assert_eq!(without_attribute(&attributes[..20], b"b"), b"\x01a\x011");
    }

    #[test]
    fn change_user() {
        let body = b"app\0\x02xyshop\0\x2d\0caching_sha2_password\0";
        let got = ChangeUser::parse(body, Capabilities::PLUGIN_AUTH).unwrap();
        assert_eq!((&got.user[..], got.schema.as_deref()), (&b"app"[..], Some(&b"shop"[..])));
        assert_eq!((got.charset, got.auth_data.len()), (Some(45), 2));
        assert!(ChangeUser::parse(b"app", Capabilities::PLUGIN_AUTH).is_err());
        let all = Capabilities::PLUGIN_AUTH | Capabilities::CONNECT_ATTRS;
        let got = ChangeUser { attributes: Some(b"\x01a\x011".to_vec()), ..got };
        let mut out = Vec::new();
        got.write(all, &mut out);
        assert!(ChangeUser::parse(&out, all) == Ok(got));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = Greeting::parse(&bytes);
            let _ = HandshakeResponse::parse(&bytes);
            let _ = ChangeUser::parse(&bytes, Capabilities::all());
        }
    }
}
