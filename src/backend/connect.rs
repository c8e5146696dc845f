//! Opening a connection: socket, greeting, TLS, login, session trackers.
//!
//! MySQL Internals, "Connection Phase". The whole is under one deadline, which the caller names;
//! a half-open connection is dropped with the future.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use zeroize::Zeroize;

use super::connection::{Connection, ServerFacts};
use super::endpoint::{Endpoint, EndpointTls, UseFor};
use super::error::Error;
use crate::auth::{Credential, ServerLogin, ServerLoginStep};
use crate::config::ServerAddress;
use crate::net::{PacketStream, Socket, Transport};
use crate::protocol::err::ERR;
use crate::protocol::flags::Capabilities;
use crate::protocol::frame::build_packet;
use crate::protocol::handshake::{Greeting, HandshakeResponse};
use crate::protocol::proxy_header;
use crate::protocol::{ErrPacket, Malformed, OkPacket};

/// Bound on a packet of the connection phase, in bytes.
const MAX_LOGIN_PACKET: usize = 64 << 10;

/// How long a server may take none of what is written to it during login.
const WRITE_STALL: Duration = Duration::from_secs(10);

/// Who logs in, and how the session begins.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// Account and secret.
    pub credential: &'a Credential,
    /// What the client negotiated; only [`Capabilities::SEMANTIC`] ones matter.
    pub capabilities: Capabilities,
    /// Collation id, low byte.
    pub charset: u8,
    /// Default schema.
    pub schema: Option<&'a [u8]>,
    /// Connection attributes as the client sent them.
    pub attributes: Option<&'a [u8]>,
    /// Whether the client that this is for uses TLS.
    pub client_tls: bool,
    /// Whether the server is to report session state and GTIDs.
    pub track: bool,
    /// Whether the connection refuses to write, whatever the server and the account allow. Only
    /// with `track`.
    pub read_only: bool,
}

/// What lagwise itself uses on every server connection.
const BASE: Capabilities = Capabilities::LONG_FLAG
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(Capabilities::SESSION_TRACK);

/// Opens a connection and logs in.
///
/// # Errors
/// See [`Error`]; [`Error::TimedOut`] once `deadline` has passed.
pub async fn connect(
    endpoint: &Endpoint,
    login: Login<'_>,
    deadline: Instant,
) -> Result<Connection, Error> {
    connect_noting(endpoint, login, deadline, &mut None).await
}

/// Like [`connect`], and notes what the server's greeting told, also if the server then refuses the
/// login.
///
/// # Errors
/// As [`connect`].
pub async fn connect_noting(
    endpoint: &Endpoint,
    login: Login<'_>,
    deadline: Instant,
    greeted: &mut Option<ServerFacts>,
) -> Result<Connection, Error> {
    match tokio::time::timeout_at(deadline, open(endpoint, login, greeted)).await {
        Ok(result) => result,
        Err(_) => Err(Error::TimedOut("connecting")),
    }
}

async fn open(
    endpoint: &Endpoint,
    login: Login<'_>,
    greeted: &mut Option<ServerFacts>,
) -> Result<Connection, Error> {
    let (socket, peer) = open_socket(endpoint).await.map_err(Error::Connect)?;
    let mut stream = PacketStream::new(Transport::Plain(socket));
    let client = login.credential.client.filter(|_| endpoint.proxy_protocol);
    if let Some(client) = client {
        // Before all else, the greeting included.
        write(&mut stream, &proxy_header::write((client, 0).into(), destination(client, peer)))
            .await?;
    }
    let (seq, payload) = stream.packet(MAX_LOGIN_PACKET).await?;
    refuse_error(&payload)?;
    let greeting = Greeting::parse(&payload)?;
    let mut next_seq = seq.wrapping_add(1);

    let capabilities = negotiate(&greeting, &login)?;
    let facts = ServerFacts::of(&greeting, capabilities);
    *greeted = Some(facts.clone());
    let mut response = HandshakeResponse {
        capabilities,
        max_packet: 1 << 30,
        charset: login.charset,
        user: login.credential.user.clone(),
        auth_data: Vec::new(),
        schema: login.schema.map(<[u8]>::to_vec),
        auth_plugin: None,
        attributes: login.attributes.map(<[u8]>::to_vec),
        zstd_level: 0,
    };
    if let Some(tls) = wanted_tls(endpoint, &stream, &greeting, login.client_tls)? {
        response.capabilities |= Capabilities::SSL;
        let mut request = Vec::new();
        next_seq = build_packet(&mut request, next_seq, |out| response.write_head(out));
        write(&mut stream, &request).await?;
        let handshake =
            |transport: Transport| transport.connect_tls(tls.config.clone(), tls.name.clone());
        stream.upgrade(handshake).await.map_err(|error| Error::Tls(error.to_string()))?;
    }
    let secret = &login.credential.secret;
    let (first, auth) =
        ServerLogin::start(secret, &greeting.auth_plugin, &greeting.nonce, stream.is_secure())?;
    response.auth_data = first.data.to_vec();
    response.auth_plugin = Some(first.plugin.name().as_bytes().to_vec());
    let mut packet = Vec::new();
    build_packet(&mut packet, next_seq, |out| response.write(out));
    write(&mut stream, &packet).await?;
    response.auth_data.zeroize();
    packet.zeroize();

    let ok = authenticate(&mut stream, auth).await?;
    let status = OkPacket::parse(&ok, true)?.status;
    let mut connection = Connection::new(stream, facts, status, ok);
    connection.client_tls = login.client_tls;
    connection.told_client = client;
    connection.begin(&login).await?;
    Ok(connection)
}

/// The socket, and the server's address if it is TCP.
async fn open_socket(endpoint: &Endpoint) -> io::Result<(Socket, Option<SocketAddr>)> {
    match &endpoint.address {
        ServerAddress::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            let peer = stream.peer_addr()?;
            Ok((Socket::tcp(stream, endpoint.dead_after)?, Some(peer)))
        }
        ServerAddress::Unix(path) => Ok((Socket::Unix(UnixStream::connect(path).await?), None)),
    }
}

/// What a PROXY header says of where a client has connected to: the server, if it is of the client's
/// family, or else nowhere.
fn destination(client: IpAddr, server: Option<SocketAddr>) -> SocketAddr {
    let nowhere: IpAddr = match client {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    server.filter(|server| server.is_ipv4() == client.is_ipv4()).unwrap_or((nowhere, 0).into())
}

/// The capabilities of the new connection: what the client's session means, and what lagwise uses.
fn negotiate(greeting: &Greeting, login: &Login<'_>) -> Result<Capabilities, Error> {
    let semantic = login.capabilities & Capabilities::SEMANTIC;
    let missing = semantic - greeting.capabilities - Capabilities::ODBC - Capabilities::NO_SCHEMA;
    let missing = missing - Capabilities::INTERACTIVE - Capabilities::IGNORE_SPACE;
    if !missing.is_empty() {
        return Err(Error::Capabilities(missing));
    }
    let mut wanted = semantic | BASE;
    // MariaDB takes a client that sets LONG_PASSWORD for a MySQL one, without its extensions.
    wanted |= greeting.capabilities & Capabilities::LONG_PASSWORD;
    wanted.set(Capabilities::CONNECT_WITH_DB, login.schema.is_some());
    wanted.set(Capabilities::CONNECT_ATTRS, login.attributes.is_some());
    Ok(wanted & (greeting.capabilities | semantic))
}

fn wanted_tls<'a>(
    endpoint: &'a Endpoint,
    stream: &PacketStream,
    greeting: &Greeting,
    client_tls: bool,
) -> Result<Option<&'a EndpointTls>, Error> {
    let Some(tls) = endpoint.tls.as_ref().filter(|_| !stream.is_unix()) else {
        return Ok(None);
    };
    if tls.use_for == UseFor::SecureClients && !client_tls {
        return Ok(None);
    }
    if greeting.capabilities.contains(Capabilities::SSL) {
        return Ok(Some(tls));
    }
    if tls.use_for == UseFor::All {
        return Err(Error::Tls("the server offers no TLS, but server_tls requires it".into()));
    }
    Ok(None)
}

/// Plays the client's half until the server says OK; returns that packet.
pub(super) async fn authenticate(
    stream: &mut PacketStream,
    mut login: ServerLogin<'_>,
) -> Result<Vec<u8>, Error> {
    loop {
        let (seq, payload) = stream.packet(MAX_LOGIN_PACKET).await?;
        refuse_error(&payload)?;
        match login.handle(&payload)? {
            ServerLoginStep::Send { payload, next } => {
                let mut packet = Vec::new();
                build_packet(&mut packet, seq.wrapping_add(1), |out| {
                    out.extend_from_slice(&payload);
                });
                write(stream, &packet).await?;
                packet.zeroize();
                login = next;
            }
            ServerLoginStep::Wait(next) => login = next,
            ServerLoginStep::Done => return Ok(payload),
        }
    }
}

fn refuse_error(payload: &[u8]) -> Result<(), Error> {
    match payload.first() {
        Some(&ERR) => Err(Error::Server(ErrPacket::parse(payload)?)),
        Some(_) => Ok(()),
        None => Err(Malformed("empty packet").into()),
    }
}

async fn write(stream: &mut PacketStream, bytes: &[u8]) -> Result<(), Error> {
    stream.write_all(bytes, WRITE_STALL).await.map_err(Error::Lost)
}
