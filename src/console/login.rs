//! Logging in to the console: accounts of its own, whose passwords are known here.
//!
//! So no password ever crosses the wire: a scramble that does not prove the password is a wrong one,
//! and the client is not asked for the password itself.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::answer::ok;
use super::{ConsoleState, Visitor, send};
use crate::auth::{
    ClientAuth, ClientLogin, ClientLoginStep, CredentialSecret, KnownAccount, LoginContext,
    LoginPath, Nonce, Plugin,
};
use crate::config::{ConsoleRole, ConsoleUser};
use crate::net::{PacketStream, Transport};
use crate::protocol::ErrPacket;
use crate::protocol::auth_switch::AUTH_SWITCH;
use crate::protocol::flags::{Capabilities, StatusFlags};
use crate::protocol::frame::build_packet;
use crate::protocol::handshake::{Greeting, HandshakeResponse};
use crate::protocol::ok::OK;

/// Bytes of a packet of a login.
const MAX_PACKET: usize = 16 << 10;

/// What the greeting says. The number is one from which clients take it for a present-day server.
pub const SERVER_VERSION: &str = concat!("8.0.11-lagwise-console-", env!("CARGO_PKG_VERSION"));

/// What the console can do; COM_QUERY with nothing but its text.
const OFFERED: Capabilities = Capabilities::LONG_PASSWORD
    .union(Capabilities::LONG_FLAG)
    .union(Capabilities::CONNECT_WITH_DB)
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::IGNORE_SIGPIPE)
    .union(Capabilities::INTERACTIVE)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::CONNECT_ATTRS)
    .union(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(Capabilities::DEPRECATE_EOF);

/// The accounts of the console; a reload exchanges them.
#[derive(Clone, Default)]
pub struct Users(Arc<ArcSwap<HashMap<String, User>>>);

#[derive(Clone)]
struct User {
    known: KnownAccount,
    password: Zeroizing<Vec<u8>>,
    role: ConsoleRole,
}

impl Users {
    /// These from now on. Who is logged in stays so.
    pub fn set(&self, users: &[ConsoleUser]) {
        let user = |user: &ConsoleUser| {
            let password = Zeroizing::new(user.password.expose().to_vec());
            let known = KnownAccount::default().with_password(password.clone());
            (user.name.clone(), User { known, password, role: user.role })
        };
        self.0.store(Arc::new(users.iter().map(user).collect()));
    }

    fn get(&self, name: &[u8]) -> Option<User> {
        self.0.load().get(std::str::from_utf8(name).ok()?).cloned()
    }
}

/// Logs one client in. `None`: it was refused, or is gone.
pub(super) async fn login(
    mut client: PacketStream,
    id: u32,
    state: &ConsoleState,
) -> Option<Visitor> {
    let tls = (state.tls)();
    let mut offered = OFFERED;
    offered.set(Capabilities::SSL, tls.is_some());
    let nonce = Nonce::generate().ok()?;
    let greeting = Greeting {
        server_version: SERVER_VERSION.as_bytes().to_vec(),
        thread_id: id,
        nonce: nonce.as_bytes().to_vec(),
        capabilities: offered,
        charset: 45,
        status: StatusFlags::AUTOCOMMIT,
        auth_plugin: Plugin::CachingSha2.name().as_bytes().to_vec(),
    };
    let mut bytes = Vec::new();
    build_packet(&mut bytes, 0, |out| greeting.write(out));
    send(&mut client, &bytes).await.ok()?;
    let (mut seq, mut payload) = client.packet_alone(MAX_PACKET).await.ok()?;
    if HandshakeResponse::is_ssl_request(&payload) {
        let tls = tls?;
        client.upgrade(|transport: Transport| transport.accept_tls(tls)).await.ok()?;
        (seq, payload) = client.packet(MAX_PACKET).await.ok()?;
    }
    let seq = seq.wrapping_add(1);
    let Ok(response) = HandshakeResponse::parse(&payload) else {
        refuse(&mut client, seq, &ErrPacket::new(1043, b"08S01", "Bad handshake")).await;
        return None;
    };
    let user = String::from_utf8_lossy(&response.user).into_owned();
    let (seq, proven) = prove(&mut client, seq, &response, offered, nonce, state).await?;
    let Some((role, path)) = proven else {
        tracing::warn!(user, "console: login denied");
        tokio::time::sleep(state.limits.denial_delay).await;
        let text = format!("Access denied for user '{user}' to the console of lagwise");
        refuse(&mut client, seq, &ErrPacket::new(1045, b"28000", text)).await;
        return None;
    };
    let (mut bytes, mut seq) = (Vec::new(), seq);
    if let Some(payload) = path.before_ok() {
        seq = build_packet(&mut bytes, seq, |out| out.extend_from_slice(payload));
    }
    build_packet(&mut bytes, seq, |out| ok(OK, "").write(out));
    send(&mut client, &bytes).await.ok()?;
    let agreed = response.capabilities & offered;
    let deprecate_eof = agreed.contains(Capabilities::DEPRECATE_EOF);
    client.set_stalls(state.limits.login_timeout, state.limits.idle_timeout);
    Some(Visitor { client, user, role, deprecate_eof, id })
}

/// The next sequence id, and the role and how it was come by; without these, the password is wrong or
/// the user is none. `None`: the client is gone.
async fn prove(
    client: &mut PacketStream,
    mut seq: u8,
    response: &HandshakeResponse,
    offered: Capabilities,
    greeting_nonce: Nonce,
    state: &ConsoleState,
) -> Option<(u8, Option<(ConsoleRole, LoginPath)>)> {
    let user = state.users.get(&response.user);
    // A user that is none goes the same way as one with another password.
    let nobody = || KnownAccount::default().with_password(Zeroizing::new(vec![0]));
    let known = user.as_ref().map_or_else(nobody, |user| user.known.clone());
    let context = LoginContext {
        greeting_plugin: Plugin::CachingSha2,
        greeting_nonce,
        switch_nonce: Nonce::generate().ok()?,
        secure_channel: client.is_secure(),
        known: &known,
        rsa_key: &state.rsa_key,
    };
    let auth = ClientAuth {
        plugin_auth: (response.capabilities & offered).contains(Capabilities::PLUGIN_AUTH),
        plugin: response.auth_plugin.as_deref(),
        response: &response.auth_data,
    };
    let mut step = ClientLogin::start(context, &auth);
    // Another plugin may be asked for once; the password itself never is.
    if let ClientLoginStep::Send { payload, next } = step {
        if payload.first() != Some(&AUTH_SWITCH) {
            return Some((seq, None));
        }
        let mut bytes = Vec::new();
        build_packet(&mut bytes, seq, |out| out.extend_from_slice(&payload));
        send(client, &bytes).await.ok()?;
        let (answer_seq, answer) = client.packet(MAX_PACKET).await.ok()?;
        seq = answer_seq.wrapping_add(1);
        step = next.handle(&answer);
    }
    let ClientLoginStep::Authenticated { secret: CredentialSecret::Password(said), path } = step
    else {
        return Some((seq, None));
    };
    // Not needed today; a path that proves nothing must not become a way in.
    let user = user.filter(|user| bool::from(said.ct_eq(&user.password)));
    Some((seq, user.map(|user| (user.role, path))))
}

async fn refuse(client: &mut PacketStream, seq: u8, err: &ErrPacket) {
    let mut bytes = Vec::new();
    build_packet(&mut bytes, seq, |out| err.write(out));
    let _ = send(client, &bytes).await;
}
