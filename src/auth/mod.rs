//! How a password is proven, to clients and to servers, without any I/O.
//!
//! lagwise keeps no account list. It speaks the server's half of a login to the client
//! ([`ClientLogin`]), learns from it a secret that is enough to log in to a server, and then
//! speaks the client's half to the server ([`ServerLogin`]), which alone decides. Both halves are
//! state machines that take packet payloads and return packet payloads, so that each can be
//! tested against the other and neither can wait, time out or leak through a log line.
//!
//! Reading order: [`nonce`], [`native_password`], [`caching_sha2`], [`rsa_key`], [`ed25519`]
//! (the arithmetic), [`credential`], [`known_account`], [`server_login`], [`client_login`] (the conversations).
//!
//! Deliberately absent: `mysql_old_password`, `dialog`, GSSAPI, LDAP, WebAuthn
//! and a second authentication factor. A server that asks for one gets an error that names it.
//! OK and ERR packets are judged by the caller, which also knows what to tell the client.

pub mod caching_sha2;
pub mod client_login;
pub mod credential;
pub mod ed25519;
pub mod known_account;
pub mod native_password;
pub mod nonce;
pub mod rsa_key;
pub mod server_login;

pub use client_login::{
    ClientAuth, ClientLogin, ClientLoginStep, LoginContext, LoginPath, RejectReason,
};
pub use credential::{Credential, CredentialSecret};
pub use known_account::KnownAccount;
pub use nonce::Nonce;
pub use rsa_key::RsaKey;
pub use server_login::{FirstResponse, ServerLogin, ServerLoginStep};

use thiserror::Error;

/// The longest password, in bytes, that is taken from a client or sent to a server.
///
/// MySQL's SHA-2 plugins stop at 256 (`MAX_PLAINTEXT_LENGTH`); MariaDB's `mysql_native_password`
/// and `ed25519` set no bound of their own. Through an RSA block the key's size bounds it first:
/// 213 bytes with 2048 bits.
pub const MAX_PASSWORD_LENGTH: usize = 1024;

/// An authentication plugin of which lagwise knows the client's half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// `caching_sha2_password`, MySQL's default since 8.0.
    CachingSha2,
    /// `sha256_password`. MySQL also names it, among others, for users that do not exist, so that
    /// nobody can tell; without it such a login would not come to the server's own error.
    Sha256,
    /// `mysql_native_password`, MariaDB's default, absent from MySQL 9.
    Native,
    /// `client_ed25519`, the client's name for MariaDB's `ed25519`.
    Ed25519,
    /// `mysql_clear_password`, as PAM and LDAP accounts use it; only ever on a secure channel.
    ClearPassword,
}

impl Plugin {
    /// The plugin that goes by `name` on the wire, or `None` for one that lagwise cannot play.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::CachingSha2, Self::Sha256, Self::Native, Self::Ed25519, Self::ClearPassword]
            .into_iter()
            .find(|plugin| plugin.name().as_bytes() == name)
    }

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
            Self::Native => "mysql_native_password",
            Self::Ed25519 => "client_ed25519",
            Self::ClearPassword => "mysql_clear_password",
        }
    }
}

/// Why a login could not be carried on. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuthError {
    /// The server wants a plugin whose client half lagwise does not have.
    #[error("the server asks for authentication plugin '{0}', which lagwise does not support")]
    UnsupportedPlugin(String),
    /// Only SHA1(password) is known, which suffices for `mysql_native_password` and nothing else.
    #[error(
        "the server asks for '{}', which needs the password itself, but only a \
         mysql_native_password scramble is known", .0.name()
    )]
    NeedsPassword(Plugin),
    /// The password would cross an unencrypted network in clear.
    #[error(
        "the server asks for the password in clear ('{}') on a connection without TLS; \
         enable TLS to this server", .0.name()
    )]
    ClearTextRefused(Plugin),
    /// A nonce of the wrong length for the plugin.
    #[error("the server's nonce for '{}' is {length} bytes long", plugin.name())]
    InvalidNonce {
        /// The plugin that the nonce was for.
        plugin: Plugin,
        /// Its length in bytes.
        length: usize,
    },
    /// A packet that cannot be parsed.
    #[error("malformed authentication packet: {0}")]
    MalformedPacket(&'static str),
    /// A packet that has no place at this point of the exchange.
    #[error("unexpected authentication packet: {0}")]
    UnexpectedPacket(&'static str),
    /// The server keeps switching plugins.
    #[error("the server switched the authentication plugin too often")]
    TooManySwitches,
    /// Longer than [`MAX_PASSWORD_LENGTH`], or than the RSA key can carry.
    #[error("the password is too long for this authentication plugin")]
    PasswordTooLong,
    /// An RSA key that cannot be read or used.
    #[error("RSA key: {0}")]
    RsaKey(&'static str),
    /// An RSA block that does not decrypt to a password.
    #[error("the RSA-encrypted password cannot be decrypted")]
    RsaBlock,
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    Random,
}

/// `bytes` XOR `key`, the key repeated as often as needed. An empty key changes nothing.
fn xor_in_place(bytes: &mut [u8], key: &[u8]) {
    for (byte, key_byte) in bytes.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key_byte;
    }
}
