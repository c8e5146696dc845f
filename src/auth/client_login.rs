//! The server's half of a login, which lagwise plays towards clients.
//!
//! The aim is not to judge the client (the servers do that) but to come by a secret that logs in
//! to them, at the price of as few round trips as possible:
//!
//! ```text
//!   start, by what the client's first response names
//!     caching_sha2_password: empty --------------------------> Authenticated(Empty)
//!                            scramble of the known password -> Authenticated(Fast)
//!                            any other scramble -> 0x01 0x04 -> Password
//!     mysql_native_password: matches a hash or the password -> Authenticated(Native)
//!                            does not match the hash --------> Reject(WrongPassword)
//!                            otherwise ----------------------> AuthSwitch, or Reject
//!     another plugin ----------------------------------------> AuthSwitch
//!   SwitchResponse: as above for the plugin asked for, but never a second AuthSwitch
//!   Password: 0x02 -> 0x01 PEM -> Password
//!                  password, in clear or in an RSA block ----> Authenticated(Full)
//! ```
//!
//! A plugin named `mysql_native_password` does not make a client that knows nothing else: MariaDB's
//! Node.js driver names it and answers by it whatever the greeting says, and the C libraries send
//! an empty response when their own default is not the greeting's plugin. All of them follow an
//! AuthSwitchRequest, as they do with a real server; only a client without CLIENT_PLUGIN_AUTH
//! cannot be asked.
//!
//! Source: MySQL's protocol documentation, "Connection Phase" and
//! "Caching_sha2_password information".

use zeroize::Zeroizing;

use super::credential::CredentialSecret;
use super::known_account::KnownAccount;
use super::nonce::Nonce;
use super::rsa_key::RsaKey;
use super::{AuthError, MAX_PASSWORD_LENGTH, Plugin, caching_sha2, native_password};

/// The surroundings of one login, which do not change while it lasts.
#[derive(Clone, Copy, Debug)]
pub struct LoginContext<'a> {
    /// The plugin that the greeting named: `CachingSha2`, or `Native` where configured.
    pub greeting_plugin: Plugin,
    /// The nonce that the greeting carried.
    pub greeting_nonce: Nonce,
    /// A fresh nonce, for an AuthSwitchRequest should there be one.
    pub switch_nonce: Nonce,
    /// Nobody but lagwise can read along: TLS or a Unix socket.
    pub secure_channel: bool,
    /// What is known about the account.
    pub known: &'a KnownAccount,
    /// lagwise's own key pair.
    pub rsa_key: &'a RsaKey,
}

/// The authentication fields of a handshake response or COM_CHANGE_USER.
#[derive(Clone, Copy)]
pub struct ClientAuth<'a> {
    /// The client set CLIENT_PLUGIN_AUTH: it understands an AuthSwitchRequest.
    pub plugin_auth: bool,
    /// The plugin it names, if it names one.
    pub plugin: Option<&'a [u8]>,
    /// Its answer to the greeting's nonce.
    pub response: &'a [u8],
}

/// How a client proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginPath {
    /// A caching_sha2_password scramble of the known password.
    Fast,
    /// The password itself was asked for.
    Full,
    /// It was asked for and came in clear over an unencrypted network, by the client's own
    /// choice: worth a warning.
    FullInClear,
    /// A mysql_native_password scramble.
    Native,
    /// No password was given; nothing is proven.
    Empty,
}

impl LoginPath {
    /// A packet payload that must precede the OK packet, for clients that await it.
    #[must_use]
    pub const fn before_ok(self) -> Option<&'static [u8]> {
        match self {
            Self::Fast => Some(&[caching_sha2::AUTH_MORE_DATA, caching_sha2::FAST_AUTH_SUCCESS]),
            Self::Full | Self::FullInClear | Self::Native | Self::Empty => None,
        }
    }
}

/// Why a client is turned away without a server having been asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// The scramble does not match the account's stored hash: error 1045.
    WrongPassword,
    /// The client knows only mysql_native_password and no hash of the account is known. The
    /// cure is an `[[account]]` entry or a monitor account that may read the hashes.
    NativeOnlyClient,
    /// The answer has no valid form: error 1045 as a server gives it, or 1043 (bad handshake).
    Malformed(&'static str),
}

/// What to do after a client's packet.
#[derive(Debug)]
pub enum ClientLoginStep<'a> {
    /// Send `payload` (AuthSwitchRequest or AuthMoreData, whole) as one packet, read the next.
    Send {
        /// The whole payload.
        payload: Vec<u8>,
        /// The login to hand the next packet to.
        next: ClientLogin<'a>,
    },
    /// The client has given what it has. Log in to a server with `secret`; before an OK goes
    /// `path.before_ok()`.
    Authenticated {
        /// What to log in with.
        secret: CredentialSecret,
        /// How it was come by.
        path: LoginPath,
    },
    /// Turn the client away.
    Reject(RejectReason),
}

/// One client's login, between two packets.
#[derive(Debug)]
pub struct ClientLogin<'a> {
    context: LoginContext<'a>,
    state: State,
}

/// What the client's next packet is expected to be.
#[derive(Debug)]
enum State {
    SwitchResponse(Plugin),
    Password { nonce: Nonce, key_sent: bool },
}

impl<'a> ClientLogin<'a> {
    /// Begins with a handshake response.
    ///
    /// Depends on its arguments alone: after a `WrongPassword` the caller may fetch the account's
    /// hash anew and start again with the same response.
    #[must_use]
    pub fn start(context: LoginContext<'a>, auth: &ClientAuth<'_>) -> ClientLoginStep<'a> {
        let nonce = context.greeting_nonce;
        let plugin = match auth.plugin {
            Some(name) if auth.plugin_auth => Plugin::from_name(name),
            // Older than pluggable authentication: there was but one plugin.
            _ => Some(Plugin::Native),
        };
        // A client that prefers another plugin than the greeting's has no data for it and sends
        // an empty response, which then does not mean an empty password.
        let prepared = !auth.plugin_auth || plugin == Some(context.greeting_plugin);
        match plugin {
            Some(Plugin::CachingSha2) if prepared || !auth.response.is_empty() => {
                caching_sha2_response(context, auth.response, nonce)
            }
            Some(Plugin::Native) if prepared || !auth.response.is_empty() => {
                native_response(context, auth.response, nonce, auth.plugin_auth)
            }
            Some(Plugin::Native) => switch_to(context, preferred_for_native(&context)),
            _ => switch_to(context, Plugin::CachingSha2),
        }
    }

    /// Begins with a COM_CHANGE_USER. The greeting's nonce has been used up by then, so the
    /// client is asked anew with a fresh one, unless it cannot be asked.
    #[must_use]
    pub fn start_change_user(
        context: LoginContext<'a>,
        auth: &ClientAuth<'_>,
    ) -> ClientLoginStep<'a> {
        if !auth.plugin_auth {
            return native_response(context, auth.response, context.greeting_nonce, false);
        }
        let native = match auth.plugin {
            Some(name) => name == Plugin::Native.name().as_bytes(),
            None => true,
        };
        let plugin = if native { preferred_for_native(&context) } else { Plugin::CachingSha2 };
        switch_to(context, plugin)
    }

    /// Takes the payload of the client's next packet.
    #[must_use]
    pub fn handle(self, payload: &[u8]) -> ClientLoginStep<'a> {
        let Self { context, state } = self;
        match state {
            State::SwitchResponse(Plugin::Native) => {
                native_response(context, payload, context.switch_nonce, false)
            }
            State::SwitchResponse(_) => {
                caching_sha2_response(context, payload, context.switch_nonce)
            }
            State::Password { nonce, key_sent } => {
                password_response(context, payload, nonce, key_sent)
            }
        }
    }
}

/// What to ask a client that names mysql_native_password: it can certainly do that, so with a
/// hash at hand every such client is served; without one it must do more.
fn preferred_for_native(context: &LoginContext<'_>) -> Plugin {
    if context.known.native_stage2.is_some() { Plugin::Native } else { Plugin::CachingSha2 }
}

/// AuthSwitchRequest: `int<1>` 0xfe, `string<NUL>` plugin name, `string<EOF>` nonce and NUL.
fn switch_to(context: LoginContext<'_>, plugin: Plugin) -> ClientLoginStep<'_> {
    let mut payload = vec![0xfe];
    payload.extend_from_slice(plugin.name().as_bytes());
    payload.push(0);
    payload.extend_from_slice(context.switch_nonce.as_bytes());
    payload.push(0);
    let next = ClientLogin { context, state: State::SwitchResponse(plugin) };
    ClientLoginStep::Send { payload, next }
}

fn caching_sha2_response<'a>(
    context: LoginContext<'a>,
    response: &[u8],
    nonce: Nonce,
) -> ClientLoginStep<'a> {
    // libmysqlclient says "no password" with one NUL, others with nothing.
    if matches!(response, [] | [0]) {
        return authenticated(CredentialSecret::Empty, LoginPath::Empty);
    }
    let Ok(scramble) = response.try_into() else {
        return reject("a caching_sha2_password scramble has 32 bytes");
    };
    if let Some(verified) = &context.known.verified
        && caching_sha2::verify(scramble, nonce.as_bytes(), &verified.sha256_stage2)
    {
        let secret = CredentialSecret::from_password(verified.password.clone());
        return authenticated(secret, LoginPath::Fast);
    }
    ClientLoginStep::Send {
        payload: vec![caching_sha2::AUTH_MORE_DATA, caching_sha2::PERFORM_FULL_AUTHENTICATION],
        next: ClientLogin { context, state: State::Password { nonce, key_sent: false } },
    }
}

fn native_response<'a>(
    context: LoginContext<'a>,
    response: &[u8],
    nonce: Nonce,
    may_switch: bool,
) -> ClientLoginStep<'a> {
    if response.is_empty() {
        return authenticated(CredentialSecret::Empty, LoginPath::Empty);
    }
    let Ok(scramble) = response.try_into() else {
        return reject("a mysql_native_password scramble has 20 bytes");
    };
    let KnownAccount { verified, native_stage2 } = context.known;
    let proves = |stage2| native_password::verify(scramble, nonce.as_bytes(), stage2);
    // The password first: it satisfies servers that ask for another plugin as well.
    if let Some(verified) = verified
        && proves(&verified.native_stage2).is_some()
    {
        let secret = CredentialSecret::from_password(verified.password.clone());
        return authenticated(secret, LoginPath::Native);
    }
    if let Some(stage2) = native_stage2 {
        return match proves(stage2) {
            Some(stage1) => {
                authenticated(CredentialSecret::NativeStage1(stage1), LoginPath::Native)
            }
            None => ClientLoginStep::Reject(RejectReason::WrongPassword),
        };
    }
    if may_switch {
        return switch_to(context, Plugin::CachingSha2);
    }
    ClientLoginStep::Reject(match verified {
        Some(_) => RejectReason::WrongPassword,
        None => RejectReason::NativeOnlyClient,
    })
}

fn password_response<'a>(
    context: LoginContext<'a>,
    payload: &[u8],
    nonce: Nonce,
    key_sent: bool,
) -> ClientLoginStep<'a> {
    // On a Unix socket some clients (mysqlnd) do not count on secrecy and ask for the key.
    if payload == [caching_sha2::REQUEST_PUBLIC_KEY] && !key_sent {
        let mut payload = vec![caching_sha2::AUTH_MORE_DATA];
        payload.extend_from_slice(context.rsa_key.public_key_pem());
        let state = State::Password { nonce, key_sent: true };
        return ClientLoginStep::Send { payload, next: ClientLogin { context, state } };
    }
    let block_length = context.rsa_key.block_length();
    let (password, path) = match payload.split_last() {
        Some((0, password)) if !key_sent && context.secure_channel => {
            (clear_password(password), LoginPath::Full)
        }
        // libmariadb does so whenever it would have liked TLS and the server has none, MySQL's
        // pure Python driver always. Refusing would not take the password back off the wire.
        Some((0, password)) if !key_sent && payload.len() != block_length => {
            (clear_password(password), LoginPath::FullInClear)
        }
        _ if !key_sent && context.secure_channel => {
            return reject("a password in clear ends in NUL");
        }
        _ => (context.rsa_key.decrypt_password(payload, nonce.as_bytes()), LoginPath::Full),
    };
    match password.map(CredentialSecret::from_password) {
        Ok(CredentialSecret::Empty) => authenticated(CredentialSecret::Empty, LoginPath::Empty),
        Ok(secret) => authenticated(secret, path),
        Err(AuthError::PasswordTooLong) => reject("the password is too long"),
        Err(_) => reject("the RSA-encrypted password cannot be decrypted"),
    }
}

fn clear_password(password: &[u8]) -> Result<Zeroizing<Vec<u8>>, AuthError> {
    if password.len() > MAX_PASSWORD_LENGTH {
        return Err(AuthError::PasswordTooLong);
    }
    Ok(Zeroizing::new(password.to_vec()))
}

fn authenticated(secret: CredentialSecret, path: LoginPath) -> ClientLoginStep<'static> {
    ClientLoginStep::Authenticated { secret, path }
}

fn reject(why: &'static str) -> ClientLoginStep<'static> {
    ClientLoginStep::Reject(RejectReason::Malformed(why))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
