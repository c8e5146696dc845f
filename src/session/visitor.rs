//! Who has come, and from where: a client from its socket to its login, with its places among the
//! limits.
//!
//! Mostly the peer is the client. A proxy in `proxy_protocol_networks` may say by a PROXY header that its
//! client is elsewhere, and that address is the client's from then on. The header comes first of all
//! bytes, but the server speaks first in MySQL's protocol, and a client without a header waits for the
//! greeting; so, as MariaDB does it, the greeting is sent, and then it is seen whether a header comes.
//! Until then a proxy's connection counts for no address, and is in no list.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::context::{Context, Permit, Settings};
use super::error::{self, End};
use super::guesses::Origin;
use super::limits::Place;
use super::login::Failure;
use super::logins::{LoginPlace, Notice};
use super::registry::SessionHandle;
use super::reply;
use crate::config::{ClientTlsMode, ListenAddress};
use crate::net::PacketStream;
use crate::protocol::ErrPacket;
use crate::protocol::proxy_header::{self, BEGIN_LEN, Said, Step};

/// Why a client was turned away, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectCause {
    /// `max_clients` are there.
    MaxClients,
    /// `max_clients_per_address` are there from this address.
    MaxClientsPerAddress,
    /// `max_clients_per_account` are there of this account.
    MaxClientsPerAccount,
    /// lagwise is being stopped.
    Shutdown,
    /// `allowed_networks` do not have its address.
    AllowedNetworks,
    /// `max_logins` log in.
    MaxLogins,
    /// `max_logins_per_address` log in from its address.
    MaxLoginsPerAddress,
    /// Its address has broken off `max_connect_errors` logins.
    MaxConnectErrors,
}

impl RejectCause {
    /// The label values.
    pub const NAMES: &'static [&'static str] = &[
        "max_clients",
        "max_clients_per_address",
        "max_clients_per_account",
        "shutdown",
        "allowed_networks",
        "max_logins",
        "max_logins_per_address",
        "max_connect_errors",
    ];

    /// Tells a client at this address, in the place of the greeting.
    pub async fn tell(
        self,
        client: &mut PacketStream,
        context: &Context,
        address: Option<SocketAddr>,
    ) -> Result<(), End> {
        let err = self.err(context, address.map(ip));
        reply::err_at_login(client, &err).await
    }

    /// The words for it.
    fn err(self, context: &Context, address: Option<IpAddr>) -> ErrPacket {
        match (self, address) {
            (Self::AllowedNetworks, Some(address)) => {
                let facts = context.cluster.load().primary_facts();
                error::host_not_allowed(address, facts.is_some_and(|facts| facts.is_mariadb))
            }
            (Self::MaxConnectErrors, Some(address)) => {
                error::host_blocked(address, context.settings.load().unblock_after)
            }
            _ => error::too_many_connections(),
        }
    }
}

/// A client that is there, until dropped.
#[derive(Debug)]
pub struct Visitor {
    /// Where it is; `None`: on a Unix socket.
    address: Option<SocketAddr>,
    /// Whether it uses TLS, by where it has connected.
    pub tls_mode: ClientTlsMode,
    /// The proxy that has told it.
    through: Option<SocketAddr>,
    /// A proxy that may tell it, and has not been heard yet.
    is_proxy: bool,
    _permit: Permit,
    /// Among those of its address.
    place: Option<Place>,
    /// Among those that log in, until its part of the login begins to be looked at.
    login_place: Option<Box<LoginPlace>>,
}

fn ip(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

impl Visitor {
    /// A peer has connected to `local` from `address` (`None`: on a Unix socket).
    ///
    /// # Errors
    /// It may not come in, or there are too many.
    pub fn arrive(
        context: &Arc<Context>,
        address: Option<SocketAddr>,
        local: Option<ListenAddress>,
    ) -> Result<Self, RejectCause> {
        let settings = context.settings.load();
        let is_proxy = settings.access.trusts_proxy(address.map(ip));
        let place = if is_proxy { Ok(None) } else { place(context, &settings, address) };
        let admit = || context.admit().ok_or(RejectCause::MaxClients);
        let log_in = || login_place(context, &settings, address, is_proxy);
        match place.and_then(|place| Ok((place, admit()?, log_in()?))) {
            Ok((place, permit, login_place)) => {
                let login_place = Some(Box::new(login_place));
                let _permit = permit;
                let tls_mode = settings.tls.mode(local.as_ref());
                Ok(Self { address, tls_mode, through: None, is_proxy, _permit, place, login_place })
            }
            Err(cause) => {
                context.metrics.local().client_rejected(cause as usize);
                Err(cause)
            }
        }
    }

    /// By which it is told that it has to give way to another login.
    pub fn notice(&self) -> Arc<Notice> {
        self.login_place.as_ref().map(|place| place.notice()).unwrap_or_default()
    }

    /// It has done its part of the login, or is refused for no fault in it.
    pub fn login_done(&self) {
        self.login_place.iter().for_each(|place| place.done());
    }

    /// Its place among those that log in.
    pub fn take_login_place(&mut self) -> Option<Box<LoginPlace>> {
        self.login_place.take()
    }

    /// Its address; `None`: on a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.map(ip)
    }

    /// What wrong passwords of this client count for.
    pub fn origin(&self) -> Origin {
        Origin::of(self.address.map(ip))
    }

    /// The greeting has been sent: reads the PROXY header, if one comes. Nothing of what follows is
    /// taken from the socket but its first bytes.
    ///
    /// # Errors
    /// The peer leaves, or sends a header that it may not send or that is none; it has been told.
    pub async fn look_for_header(
        &mut self,
        client: &mut PacketStream,
        handle: &SessionHandle,
    ) -> Result<(), Failure> {
        client.require_alone(BEGIN_LEN).await?;
        if !proxy_header::begins(client.buffered()) {
            return Ok(());
        }
        if !self.is_proxy {
            let err = error::proxy_header_refused(self.address.map(ip));
            reply::err(client, 1, &err).await?;
            return Err(End::Refused(err.to_string()).into());
        }
        loop {
            let buffered = client.buffered();
            match proxy_header::step(buffered) {
                Ok(Step::Read(count)) => {
                    let wanted = buffered.len().saturating_add(count);
                    client.require_alone(wanted).await?;
                }
                Ok(Step::Done(said)) => {
                    client.consume(buffered.len());
                    if let Said::Client(address) = said {
                        self.through = self.address.replace(address);
                        handle.set_client(address);
                    }
                    return Ok(());
                }
                Err(malformed) => {
                    reply::err(client, 1, &error::bad_handshake()).await?;
                    return Err(End::Refused(malformed.to_string()).into());
                }
            }
        }
    }

    /// The client's first packet is there, so that its address is known: whether it may come in, and its
    /// place among those of that address, if that was not settled when it arrived.
    ///
    /// # Errors
    /// What it is to be told.
    pub fn take_place(&mut self, context: &Context, settings: &Settings) -> Result<(), ErrPacket> {
        if !std::mem::take(&mut self.is_proxy) {
            return Ok(());
        }
        self.place = place(context, settings, self.address).map_err(|cause| {
            context.metrics.local().client_rejected(cause as usize);
            cause.err(context, self.address.map(ip))
        })?;
        Ok(())
    }
}

/// A client at this address may come in, and its place among those of that address.
fn place(
    context: &Context,
    settings: &Settings,
    address: Option<SocketAddr>,
) -> Result<Option<Place>, RejectCause> {
    let address = address.map(ip);
    if !settings.access.admits_address(address) {
        return Err(RejectCause::AllowedNetworks);
    }
    let (max, memory) = (settings.max_connect_errors, settings.unblock_after);
    let now = std::time::Instant::now();
    if address.is_some() && context.connect_errors.is_blocked(Origin::of(address), max, memory, now)
    {
        return Err(RejectCause::MaxConnectErrors);
    }
    context.place_of(address).ok_or(RejectCause::MaxClientsPerAddress)
}

/// A client's place among those that log in. Of a proxy's it is not known whose it is.
fn login_place(
    context: &Context,
    settings: &Settings,
    address: Option<SocketAddr>,
    is_proxy: bool,
) -> Result<LoginPlace, RejectCause> {
    let mut bounds = settings.logins;
    if is_proxy || address.is_none() {
        bounds.of_origin = 0;
    }
    context.logins.enter(Origin::of(address.map(ip)), bounds, std::time::Instant::now())
}

/// For the log.
impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.through) {
            (None, _) => f.write_str("a Unix socket"),
            (Some(address), None) => address.fmt(f),
            (Some(address), Some(proxy)) => write!(f, "{address} (through {proxy})"),
        }
    }
}
