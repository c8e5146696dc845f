//! The client's half of a login, which lagwise plays towards servers.
//!
//! ```text
//!             start: first response            +--- AuthSwitchRequest (0xfe), from any state:
//!                 |                            |    answer with the asked plugin
//!                 v                            v
//!   caching_sha2: FastResult        others: Verdict
//!     0x01 0x03 -> Verdict                0x00 OK, 0xff ERR, from any state: Done
//!     0x01 0x04, secure -> password NUL -> Verdict
//!     0x01 0x04, else   -> 0x02 -> PublicKey
//!   sha256: secure or no password -> password NUL -> Verdict
//!           else                  -> 0x01 -> PublicKey
//!   PublicKey
//!     0x01 PEM -> RSA block -> Verdict
//! ```
//!
//! Sequence ids, capabilities, the handshake response's other fields and the OK and ERR packets
//! are the caller's. Sources: MySQL's protocol documentation, "Connection Phase" and
//! "Caching_sha2_password information"; MariaDB's "Connecting".

use zeroize::Zeroizing;

use super::credential::CredentialSecret;
use super::nonce::NONCE_LENGTH;
use super::rsa_key::ServerPublicKey;
use super::{AuthError, Plugin, caching_sha2, ed25519, native_password};

/// AuthSwitchRequests that one login follows. MariaDB sends one for each alternative of
/// `IDENTIFIED VIA … OR …`.
const MAX_SWITCHES: u8 = 8;

/// Asks for the key in sha256_password, where caching_sha2_password has 0x02.
const SHA256_REQUEST_PUBLIC_KEY: u8 = 1;

/// Longest plugin name, in bytes, that is repeated in an error.
const MAX_SHOWN_NAME: usize = 64;

/// What goes into the handshake response (or COM_CHANGE_USER).
#[derive(Debug)]
pub struct FirstResponse {
    /// The plugin to name there.
    pub plugin: Plugin,
    /// The auth response; empty for an empty password.
    pub data: Zeroizing<Vec<u8>>,
}

/// What to do after a server's packet.
#[derive(Debug)]
pub enum ServerLoginStep<'a> {
    /// Send `payload` as one packet, which may hold a password in clear, then read the next.
    Send {
        /// The whole payload; may be empty.
        payload: Zeroizing<Vec<u8>>,
        /// The login to hand the next packet to.
        next: ServerLogin<'a>,
    },
    /// Send nothing, read the next packet.
    Wait(ServerLogin<'a>),
    /// The packet is OK (0x00) or ERR (0xff): the login is over and the caller judges it.
    Done,
}

/// One login to one server, between two packets.
#[derive(Debug)]
pub struct ServerLogin<'a> {
    secret: &'a CredentialSecret,
    secure_channel: bool,
    switches: u8,
    state: State,
}

/// What the server's next packet is expected to be, besides OK, ERR and AuthSwitchRequest.
#[derive(Debug)]
enum State {
    FastResult { nonce: [u8; NONCE_LENGTH] },
    PublicKey { plugin: Plugin, nonce: [u8; NONCE_LENGTH] },
    Verdict,
}

impl<'a> ServerLogin<'a> {
    /// Starts a login to a server whose greeting names `greeting_plugin` and carries `nonce`
    /// (20 bytes, with or without the NUL that follows).
    ///
    /// `secure_channel` says that nobody but the server can read along: TLS or a Unix socket.
    ///
    /// The greeting's plugin is the server's default and not necessarily the account's. Where it
    /// does not suit (one that lagwise lacks, or one that needs a password when only a native
    /// scramble is known) the response names another, and the server switches as it must anyway.
    ///
    /// # Errors
    /// [`AuthError::InvalidNonce`] when the nonce is not 20 bytes long.
    pub fn start(
        secret: &'a CredentialSecret,
        greeting_plugin: &[u8],
        nonce: &[u8],
        secure_channel: bool,
    ) -> Result<(FirstResponse, Self), AuthError> {
        let plugin = match (secret, Plugin::from_name(greeting_plugin)) {
            (CredentialSecret::NativeStage1(_), _) | (_, Some(Plugin::Native)) => Plugin::Native,
            _ => Plugin::CachingSha2,
        };
        let (data, login) = Self::asked(secret, secure_channel).answer(plugin, nonce)?;
        Ok((FirstResponse { plugin, data }, login))
    }

    /// A login whose first answer the server has asked for, or is going to (COM_CHANGE_USER).
    pub fn asked(secret: &'a CredentialSecret, secure_channel: bool) -> Self {
        Self { secret, secure_channel, switches: 0, state: State::Verdict }
    }

    /// Takes the payload of the server's next packet.
    ///
    /// # Errors
    /// Any [`AuthError`] but `RsaBlock` and `Random`. The connection is of no further use then.
    pub fn handle(self, payload: &[u8]) -> Result<ServerLoginStep<'a>, AuthError> {
        match payload {
            [] => Err(AuthError::MalformedPacket("empty")),
            [0x00 | 0xff, ..] => Ok(ServerLoginStep::Done),
            [caching_sha2::AUTH_MORE_DATA, data @ ..] => self.handle_more_data(data),
            [0xfe, request @ ..] => self.handle_switch(request),
            [0x02, ..] => Err(AuthError::UnexpectedPacket("the server asks for a second factor")),
            _ => Err(AuthError::UnexpectedPacket("unknown header")),
        }
    }

    fn handle_more_data(mut self, data: &[u8]) -> Result<ServerLoginStep<'a>, AuthError> {
        match (&self.state, data) {
            (State::FastResult { .. }, [caching_sha2::FAST_AUTH_SUCCESS]) => {
                self.state = State::Verdict;
                Ok(ServerLoginStep::Wait(self))
            }
            (&State::FastResult { nonce }, [caching_sha2::PERFORM_FULL_AUTHENTICATION]) => {
                let payload = if self.secure_channel {
                    self.state = State::Verdict;
                    caching_sha2::with_nul(self.password(Plugin::CachingSha2)?)?
                } else {
                    self.state = State::PublicKey { plugin: Plugin::CachingSha2, nonce };
                    Zeroizing::new(vec![caching_sha2::REQUEST_PUBLIC_KEY])
                };
                Ok(ServerLoginStep::Send { payload, next: self })
            }
            (State::PublicKey { plugin, nonce }, pem) => {
                let password = self.password(*plugin)?;
                let block = ServerPublicKey::from_pem(pem)?.encrypt_password(password, nonce)?;
                self.state = State::Verdict;
                Ok(ServerLoginStep::Send { payload: Zeroizing::new(block), next: self })
            }
            (State::FastResult { .. }, _) => {
                Err(AuthError::UnexpectedPacket("neither fast nor full authentication"))
            }
            (State::Verdict, _) => {
                Err(AuthError::UnexpectedPacket("more plugin data after the last answer"))
            }
        }
    }

    /// `request` is what follows 0xfe: `string<NUL>` plugin name, `string<EOF>` plugin data.
    fn handle_switch(mut self, request: &[u8]) -> Result<ServerLoginStep<'a>, AuthError> {
        if request.is_empty() {
            return Err(AuthError::UnsupportedPlugin("mysql_old_password".to_owned()));
        }
        let end = request
            .iter()
            .position(|&byte| byte == 0)
            .ok_or(AuthError::MalformedPacket("AuthSwitchRequest without a plugin name"))?;
        let (name, data) = request.split_at(end);
        // The NUL at `end` was found above, so there is a byte to skip.
        let data = data.get(1..).unwrap_or_default();
        let plugin = Plugin::from_name(name).ok_or_else(|| unsupported(name))?;
        if self.switches == MAX_SWITCHES {
            return Err(AuthError::TooManySwitches);
        }
        self.switches += 1;
        let (payload, next) = self.answer(plugin, data)?;
        Ok(ServerLoginStep::Send { payload, next })
    }

    /// The first answer that `plugin` gives to the server's plugin data.
    fn answer(
        mut self,
        plugin: Plugin,
        data: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, Self), AuthError> {
        self.state = State::Verdict;
        let answer = match plugin {
            Plugin::Native => {
                let nonce = nonce::<NONCE_LENGTH>(plugin, data)?;
                match self.secret {
                    CredentialSecret::Empty => Vec::new(),
                    CredentialSecret::Password(password) => {
                        let stage1 = native_password::stage1(password);
                        native_password::scramble(&stage1, &nonce).to_vec()
                    }
                    CredentialSecret::NativeStage1(stage1) => {
                        native_password::scramble(stage1, &nonce).to_vec()
                    }
                }
            }
            Plugin::CachingSha2 => {
                let nonce = nonce::<NONCE_LENGTH>(plugin, data)?;
                self.state = State::FastResult { nonce };
                match self.password(plugin)? {
                    [] => Vec::new(),
                    password => caching_sha2::scramble(password, &nonce).to_vec(),
                }
            }
            Plugin::Sha256 => {
                let nonce = nonce::<NONCE_LENGTH>(plugin, data)?;
                let password = self.password(plugin)?;
                if self.secure_channel || password.is_empty() {
                    return Ok((caching_sha2::with_nul(password)?, self));
                }
                self.state = State::PublicKey { plugin, nonce };
                vec![SHA256_REQUEST_PUBLIC_KEY]
            }
            Plugin::Ed25519 => {
                let nonce = nonce::<{ ed25519::NONCE_LENGTH }>(plugin, data)?;
                ed25519::sign(self.password(plugin)?, &nonce).to_vec()
            }
            Plugin::ClearPassword if self.secure_channel => {
                return Ok((caching_sha2::with_nul(self.password(plugin)?)?, self));
            }
            Plugin::ClearPassword => return Err(AuthError::ClearTextRefused(plugin)),
        };
        Ok((Zeroizing::new(answer), self))
    }

    fn password(&self, plugin: Plugin) -> Result<&'a [u8], AuthError> {
        self.secret.password().ok_or(AuthError::NeedsPassword(plugin))
    }
}

/// The server's nonce of `N` bytes, which a NUL may follow (MySQL ends its nonces as C strings).
fn nonce<const N: usize>(plugin: Plugin, data: &[u8]) -> Result<[u8; N], AuthError> {
    let bare = match data.split_last() {
        Some((0, bare)) if bare.len() == N => bare,
        _ => data,
    };
    bare.try_into().map_err(|_| AuthError::InvalidNonce { plugin, length: data.len() })
}

/// The name comes from the network and ends in a log: bounded, and nothing but printable ASCII.
fn unsupported(name: &[u8]) -> AuthError {
    let shown = name.get(..MAX_SHOWN_NAME).unwrap_or(name);
    AuthError::UnsupportedPlugin(shown.escape_ascii().to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
