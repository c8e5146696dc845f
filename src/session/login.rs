//! From an accepted socket to a session: greeting, TLS, authentication, proof.
//!
//! lagwise has no account list. It learns the client's password (or a hash that is as good), logs
//! in to a server with it, and lets that server decide; what the server refuses, the client is
//! told in the server's own words. That connection is the session's first; a login that a server
//! accepted a moment ago needs none.
//!
//! MySQL Internals, "Connection Phase".

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use zeroize::Zeroizing;

use super::access::Denied;
use super::context::{Context, Settings};
use super::error::{self, End, Kind};
use super::guesses::Origin;
use super::limits::{Place, Who};
use super::logins::LoginPlace;
use super::proofs::{Refusal, Welcome};
use super::prove::{Admitted, admit, hold_back};
use super::registry::SessionHandle;
use super::reply;
use super::servers::{Held, LoginRecord};
use super::tracked::Tracked;
use super::visitor::{RejectCause, Visitor};
use crate::auth::{
    ClientAuth, ClientLogin, ClientLoginStep, Credential, CredentialSecret, KnownAccount,
    LoginContext, LoginPath, Nonce, Plugin, RejectReason,
};
use crate::backend::connection::ServerFacts;
use crate::cluster::Member;
use crate::config::ClientTlsMode;
use crate::net::compress::Algorithm;
use crate::net::compressed::Compression;
use crate::net::{PacketStream, Transport};
use crate::protocol::auth_switch::AUTH_SWITCH;
use crate::protocol::flags::{Capabilities, StatusFlags};
use crate::protocol::frame::build_packet;
use crate::protocol::handshake::{Greeting, HandshakeResponse, attribute};
use crate::protocol::{ErrPacket, OkPacket};
use crate::route::{Side, UserRules};
use crate::sql::Make;

/// Bound on a client's packet before it is logged in, in bytes.
const MAX_LOGIN_PACKET: usize = 64 << 10;

/// Packets that one login may take.
const MAX_LOGIN_STEPS: usize = 8;

/// A client that is in.
#[derive(Debug)]
pub struct Established {
    /// How it logged in.
    pub login: LoginRecord,
    /// What the server that judges said.
    pub welcome: Arc<Welcome>,
    /// The connection that proved it, and its side, if there was need for one.
    pub first: Option<(Side, Held)>,
    /// Default schema; empty for none.
    pub schema: Vec<u8>,
    /// The greeting's nonce, which clients without plugin switching use again.
    pub nonce: Nonce,
    /// The operator's rules for its user.
    pub rules: UserRules,
    /// Where the client is.
    pub origin: Origin,
    /// Its place among those of its account.
    pub place: Place,
}

/// A login that did not come about; the client has been told.
#[derive(Debug)]
pub enum Failure {
    /// A server, or a proof that one gave earlier, refused the account.
    Denied(String),
    /// There are `max_clients_per_account` of the account already.
    Limit,
    /// Anything else.
    Ended(End),
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        Self::Ended(end)
    }
}

impl From<crate::net::ReadError> for Failure {
    fn from(error: crate::net::ReadError) -> Self {
        Self::Ended(error.into())
    }
}

/// Logs one client in.
///
/// # Errors
/// See [`Failure`].
pub async fn login(
    client: &mut PacketStream,
    handle: &SessionHandle,
    context: &Context,
    settings: &Settings,
    visitor: &mut Visitor,
) -> Result<Established, Failure> {
    let Some(facts) = server_facts(context, settings).await else {
        visitor.login_done();
        let err = error::no_server_yet();
        reply::err_at_login(client, &err).await?;
        return Err(End::Refused(err.to_string()).into());
    };
    let nonce = Nonce::generate().map_err(|error| End::Refused(error.to_string()))?;
    let offered = offered(&facts, settings, visitor.tls_mode);
    let greeting = Greeting {
        server_version: facts.version.clone(),
        thread_id: handle.id,
        nonce: nonce.as_bytes().to_vec(),
        capabilities: offered,
        charset: facts.charset,
        status: StatusFlags::AUTOCOMMIT,
        auth_plugin: settings.greeting_plugin.name().as_bytes().to_vec(),
    };
    let mut bytes = Vec::new();
    build_packet(&mut bytes, 0, |out| greeting.write(out));
    reply::write(client, &bytes).await?;
    client.restart_answers();

    visitor.look_for_header(client, handle).await?;
    let (mut seq, mut payload) = client.packet_alone(MAX_LOGIN_PACKET).await?;
    if HandshakeResponse::is_ssl_request(&payload) {
        let Some(tls) = settings.tls.offered(visitor.tls_mode) else {
            return refuse(client, seq.wrapping_add(1), error::bad_handshake()).await;
        };
        let upgrade = |transport: Transport| transport.accept_tls(tls);
        let upgraded = client.upgrade(upgrade).await;
        upgraded.map_err(|error| End::ClientGone(format!("TLS: {error}")))?;
        (seq, payload) = client.packet(MAX_LOGIN_PACKET).await?;
    }
    let next_seq = seq.wrapping_add(1);
    let Ok(mut response) = HandshakeResponse::parse(&payload) else {
        return refuse(client, next_seq, error::bad_handshake()).await;
    };
    if let Err(err) = visitor.take_place(context, settings) {
        visitor.login_done();
        return refuse(client, next_seq, err).await;
    }
    if visitor.tls_mode == ClientTlsMode::Require && !client.is_secure() {
        visitor.login_done();
        return refuse(client, next_seq, error::insecure_transport()).await;
    }
    response.capabilities &= offered;
    let schema = response.schema.clone().unwrap_or_default();
    let asking = Asking {
        user: response.user.clone(),
        plugin: response.auth_plugin.clone(),
        data: std::mem::take(&mut response.auth_data),
        capabilities: response.capabilities,
        charset: response.charset,
        attributes: response.attributes.clone(),
        schema,
        nonce,
        is_change: false,
        client: visitor.ip().filter(|_| settings.tells_clients),
        origin: visitor.origin(),
        login_place: visitor.take_login_place(),
    };
    let established = authenticate(client, next_seq, asking, handle, context, settings).await?;
    start_compression(client, &response)?;
    Ok(established)
}

/// What a client said of itself in a handshake response or a COM_CHANGE_USER.
pub struct Asking {
    /// User name.
    pub user: Vec<u8>,
    /// The plugin that made `data`, if named.
    pub plugin: Option<Vec<u8>>,
    /// Authentication data.
    pub data: Vec<u8>,
    /// What is negotiated.
    pub capabilities: Capabilities,
    /// Collation id, low byte.
    pub charset: u8,
    /// Connection attributes.
    pub attributes: Option<Vec<u8>>,
    /// Default schema; empty for none.
    pub schema: Vec<u8>,
    /// The greeting's nonce.
    pub nonce: Nonce,
    /// A COM_CHANGE_USER.
    pub is_change: bool,
    /// Where it is, if servers are told.
    pub client: Option<IpAddr>,
    /// Where the client is.
    pub origin: Origin,
    /// Its place among those that log in, unless it has logged in before.
    pub login_place: Option<Box<LoginPlace>>,
}

impl Asking {
    /// The client has done its part.
    fn done(&self) {
        self.login_place.iter().for_each(|place| place.done());
    }
}

/// Has the client prove itself, and the proof judged by a server; then sends OK.
///
/// # Errors
/// See [`Failure`].
pub async fn authenticate(
    client: &mut PacketStream,
    seq: u8,
    asking: Asking,
    handle: &SessionHandle,
    context: &Context,
    settings: &Settings,
) -> Result<Established, Failure> {
    let (seq, secret, path) = converse(client, seq, &asking, context, settings).await?;
    asking.done();
    if path == LoginPath::FullInClear {
        let user = String::from_utf8_lossy(&asking.user);
        tracing::warn!(?user, "the client sent its password in clear over a network without TLS");
    }
    if !settings.access.admits_user(&asking.user) {
        return turn_away(client, seq, &asking, &secret, context, settings).await;
    }
    let credential = Credential { user: asking.user, secret, client: asking.client };
    let mut login = LoginRecord {
        credential: Arc::new(credential),
        capabilities: asking.capabilities,
        charset: asking.charset,
        attributes: asking.attributes.map(Into::into),
        client_tls: client.is_secure() && !client.is_unix(),
    };
    let schema = (!asking.schema.is_empty()).then_some(&asking.schema[..]);
    let rules = settings.policy.rules.of_user(&login.credential.user);
    let Admitted { welcome, first } =
        match admit(context, settings, &login, schema, &rules, asking.origin).await {
            Ok(admitted) => admitted,
            Err(refusal) => return deny(client, seq, context, &login.credential, refusal).await,
        };
    if let Some(credential) = &welcome.credential {
        login.credential = Arc::clone(credential);
    }
    let max = settings.max_clients_per_account;
    let Some(place) = context.clients.take(Who::Account(login.credential.user.clone()), max) else {
        context.metrics.local().client_rejected(RejectCause::MaxClientsPerAccount as usize);
        reply::err(client, seq, &error::too_many_of_account(&login.credential.user)).await?;
        return Err(Failure::Limit);
    };
    context.credentials.proven(&login.credential.user, &login.credential.secret, Instant::now());
    // Before the client knows that it is in: it may be killed from then on.
    handle.set_user(&login.credential.user);
    let mut bytes = Vec::new();
    let mut seq = seq;
    if let Some(payload) = path.before_ok().filter(|_| !asking.is_change || path == LoginPath::Fast)
    {
        seq = build_packet(&mut bytes, seq, |out| out.extend_from_slice(payload));
    }
    let ok =
        OkPacket::parse(&welcome.ok, true).map_err(|error| End::ServerLost(error.to_string()))?;
    let mut state = Vec::new();
    let make = if welcome.is_mariadb { Make::MariaDb } else { Make::MySql };
    let shown = Tracked::by_default(asking.capabilities, make).shown(&ok, &mut state);
    build_packet(&mut bytes, seq, |out| shown.write(out));
    reply::write(client, &bytes).await?;
    let Asking { schema, nonce, origin, .. } = asking;
    Ok(Established { login, welcome, first, schema, nonce, rules, origin, place })
}

/// The end of a login of a user that may not come in: as if its password were wrong.
async fn turn_away(
    client: &mut PacketStream,
    seq: u8,
    asking: &Asking,
    secret: &CredentialSecret,
    context: &Context,
    settings: &Settings,
) -> Result<Established, Failure> {
    let user = &asking.user;
    let _turn = hold_back(context, settings, asking.origin, user).await;
    let has_password = *secret != CredentialSecret::Empty;
    let who = Denied { user, client: asking.client, has_password };
    let words = context.wrong_password.words_in_time(context, settings, who).await;
    context.guesses.failed(asking.origin, user, Instant::now());
    reply::err(client, seq, &words).await?;
    Err(Failure::Denied(format!("{words} [access] does not let this user in")))
}

/// Speaks the server's half of the login until the client has given what it has.
async fn converse(
    client: &mut PacketStream,
    seq: u8,
    asking: &Asking,
    context: &Context,
    settings: &Settings,
) -> Result<(u8, CredentialSecret, LoginPath), Failure> {
    // Nobody is to learn by the steps of the login whether the password was right.
    let known = match settings.access.admits_user(&asking.user) {
        true => known_account(&asking.user, context, settings),
        false => Arc::default(),
    };
    let switch_nonce = Nonce::generate().map_err(|error| End::Refused(error.to_string()))?;
    let login_context = LoginContext {
        greeting_plugin: settings.greeting_plugin,
        greeting_nonce: asking.nonce,
        switch_nonce,
        secure_channel: client.is_secure(),
        known: &known,
        rsa_key: &context.rsa_key,
    };
    let auth = ClientAuth {
        plugin_auth: asking.capabilities.contains(Capabilities::PLUGIN_AUTH),
        plugin: asking.plugin.as_deref(),
        response: &asking.data,
    };
    let mut step = if asking.is_change {
        ClientLogin::start_change_user(login_context, &auth)
    } else {
        ClientLogin::start(login_context, &auth)
    };
    if matches!(step, ClientLoginStep::Send { .. }) && is_old_php(asking, settings) {
        step = ClientLoginStep::Reject(RejectReason::NativeOnlyClient);
    }
    let mut seq = seq;
    for _ in 0..MAX_LOGIN_STEPS {
        match step {
            ClientLoginStep::Send { payload, next } => {
                reply::packet(client, seq, &payload).await?;
                let answer = client.packet(MAX_LOGIN_PACKET).await;
                if answer.is_err() && is_switch_from_native(&payload, asking) {
                    advise_native_only(context, &asking.user);
                }
                let (answer_seq, answer) = answer?;
                let answer = Zeroizing::new(answer);
                seq = answer_seq.wrapping_add(1);
                step = next.handle(&answer);
            }
            ClientLoginStep::Authenticated { secret, path } => return Ok((seq, secret, path)),
            ClientLoginStep::Reject(reason) => {
                let err = rejection(&reason, asking, context, settings).await;
                if !matches!(reason, RejectReason::Malformed(_)) {
                    asking.done();
                }
                if reason == RejectReason::WrongPassword {
                    let _turn = hold_back(context, settings, asking.origin, &asking.user).await;
                    context.guesses.failed(asking.origin, &asking.user, Instant::now());
                }
                reply::err(client, seq, &err).await?;
                return Err(match reason {
                    RejectReason::WrongPassword => Failure::Denied(err.to_string()),
                    _ => End::Refused(err.to_string()).into(),
                });
            }
        }
    }
    refuse(client, seq, error::bad_handshake()).await
}

/// True if a client that answered by mysql_native_password was asked for another plugin.
fn is_switch_from_native(payload: &[u8], asking: &Asking) -> bool {
    let native = Plugin::Native.name().as_bytes();
    let to = payload.strip_prefix(&[AUTH_SWITCH]);
    asking.plugin.as_deref() == Some(native) && to.is_some_and(|to| !to.starts_with(native))
}

/// A client that left without a word when it was asked for more than it can do: its user sees
/// only a lost connection, so that the cause must be found here.
fn advise_native_only(context: &Context, user: &[u8]) {
    if context.advice.is_due(user, Instant::now()) {
        tracing::warn!(
            user = ?String::from_utf8_lossy(user),
            "a client left the login when it was asked for caching_sha2_password: it may know only \
             mysql_native_password. Upgrade it, or give lagwise an [[account]] entry for this \
             user, or let the monitor account read the password hashes from the servers",
        );
    }
}

/// PHP's mysqlnd takes the greeting's plugin if it has it: one that answers another greeting by
/// mysql_native_password (PHP before 7.4) has no other, and would tell its user nothing of use when
/// asked for more. Of other clients that answer so, some follow an AuthSwitchRequest.
fn is_old_php(asking: &Asking, settings: &Settings) -> bool {
    let attributes = asking.attributes.as_deref().unwrap_or_default();
    !asking.is_change
        && settings.greeting_plugin != Plugin::Native
        && !asking.data.is_empty()
        && asking.plugin.as_deref() == Some(Plugin::Native.name().as_bytes())
        && attribute(attributes, b"_client_name") == Some(b"mysqlnd")
}

async fn deny(
    client: &mut PacketStream,
    seq: u8,
    context: &Context,
    credential: &Credential,
    refusal: Refusal,
) -> Result<Established, Failure> {
    let err = &refusal.err;
    reply::err(client, seq, err).await?;
    if refusal.is_about_account() {
        context.refused(credential);
    }
    if refusal.by_server {
        return Err(Failure::Denied(err.to_string()));
    }
    context.metrics.local().error(Kind::Connect.blame(), Kind::Connect.index());
    Err(End::Refused(err.to_string()).into())
}

/// What to greet the client with: the primary's own words, or, while it has not been reached since
/// lagwise started, a replica's.
async fn server_facts(context: &Context, settings: &Settings) -> Option<Arc<ServerFacts>> {
    let deadline = tokio::time::Instant::now() + settings.connect_timeout;
    if let Some(facts) = context.cluster.primary_facts(deadline).await {
        return Some(facts);
    }
    let facts = |member: &Arc<Member>| member.with_status(|status| status.facts.clone());
    context.cluster.snapshot().members().find_map(facts)
}

/// What the greeting offers: what the primary has and lagwise passes on, and what lagwise does
/// itself.
fn offered(facts: &ServerFacts, settings: &Settings, tls: ClientTlsMode) -> Capabilities {
    let mut offered = facts.server_capabilities & Capabilities::OFFERED;
    offered |= Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION;
    offered |= Capabilities::PLUGIN_AUTH | Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA;
    offered.set(Capabilities::SSL, tls != ClientTlsMode::Off);
    if settings.compression {
        offered |= Capabilities::COMPRESS;
        offered |= facts.server_capabilities & Capabilities::ZSTD_COMPRESSION;
    }
    offered
}

fn start_compression(client: &mut PacketStream, response: &HandshakeResponse) -> Result<(), End> {
    let algorithm = if response.capabilities.contains(Capabilities::COMPRESS) {
        Algorithm::Zlib
    } else if response.capabilities.contains(Capabilities::ZSTD_COMPRESSION) {
        Algorithm::Zstd { level: response.zstd_level }
    } else {
        return Ok(());
    };
    let compression = Compression::new(algorithm);
    client.set_compression(compression.map_err(|error| End::Refused(error.to_string()))?);
    Ok(())
}

/// What is known of an account: a proof, or what the configuration or the servers hold for clients
/// that know only mysql_native_password.
fn known_account(user: &[u8], context: &Context, settings: &Settings) -> Arc<KnownAccount> {
    if let Some(account) = settings.accounts.get(user) {
        return Arc::clone(account);
    }
    let known = context.credentials.known(user);
    let hashes = context.native_hashes.load();
    let Some(hash) = hashes.of(user).first() else {
        return known.unwrap_or_default();
    };
    let known = known.map(|known| (*known).clone()).unwrap_or_default();
    Arc::new(known.with_native_hash(**hash))
}

async fn rejection(
    reason: &RejectReason,
    asking: &Asking,
    context: &Context,
    settings: &Settings,
) -> ErrPacket {
    match reason {
        RejectReason::WrongPassword => {
            let Asking { user, client, .. } = asking;
            let who = Denied { user, client: *client, has_password: true };
            context.wrong_password.words(context, who).await
        }
        RejectReason::NativeOnlyClient => {
            let user = String::from_utf8_lossy(&asking.user);
            let plugin = settings.greeting_plugin.name();
            let text = format!(
                "Client does not support authentication protocol requested by server: this client \
                 knows only mysql_native_password, lagwise asks for {plugin}. Upgrade the client, \
                 or give lagwise an [[account]] entry for '{user}', or let its monitor account \
                 read mysql_native_password hashes from the servers"
            );
            ErrPacket::new(1251, b"08004", text)
        }
        RejectReason::Malformed(what) => {
            ErrPacket::new(1043, b"08S01", format!("Bad handshake: {what}"))
        }
    }
}

async fn refuse<T>(client: &mut PacketStream, seq: u8, err: ErrPacket) -> Result<T, Failure> {
    reply::err(client, seq, &err).await?;
    Err(End::Refused(err.to_string()).into())
}
