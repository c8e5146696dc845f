//! What makes connections exchangeable between sessions.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::idle::Key;
use crate::auth::Credential;
use crate::protocol::flags::Capabilities;

/// How the client logged in: what every connection of its session begins with.
#[derive(Clone, Debug)]
pub struct LoginRecord {
    /// Account and secret.
    pub credential: Arc<Credential>,
    /// What the client negotiated.
    pub capabilities: Capabilities,
    /// Collation id, low byte.
    pub charset: u8,
    /// Connection attributes as the client sent them.
    pub attributes: Option<Arc<[u8]>>,
    /// The client uses TLS.
    pub client_tls: bool,
}

/// Connections of equal keys are exchangeable: same account, proven by the same secret, same meaning
/// of packets, same character set to begin with, equally safe on the network, and both or neither
/// unable to write.
///
/// The connection attributes are those of the first client, and no part of the comparison.
#[derive(Clone, Debug)]
pub struct LoginKey {
    /// How the client logged in.
    pub login: LoginRecord,
    /// The connections refuse to write.
    pub read_only: bool,
}

impl LoginKey {
    /// Of a client, for connections that may write or not. Copies no bytes.
    pub fn new(login: &LoginRecord, read_only: bool) -> Self {
        Self { login: login.clone(), read_only }
    }

    fn compared(&self) -> (Capabilities, u8, bool, bool) {
        let LoginRecord { capabilities, charset, client_tls, .. } = self.login;
        (capabilities & Capabilities::SEMANTIC, charset, client_tls, self.read_only)
    }
}

impl PartialEq for LoginKey {
    fn eq(&self, other: &Self) -> bool {
        // The secret last, and in constant time.
        self.compared() == other.compared()
            && (Arc::ptr_eq(&self.login.credential, &other.login.credential)
                || self.login.credential == other.login.credential)
    }
}

impl Eq for LoginKey {}

impl Hash for LoginKey {
    /// Not of the secret: a hash might tell of it.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.login.credential.user.hash(state);
        let (capabilities, rest) = (self.compared().0, self.compared());
        capabilities.bits().hash(state);
        (rest.1, rest.2, rest.3).hash(state);
    }
}

impl Key for LoginKey {
    fn account(&self) -> &[u8] {
        &self.login.credential.user
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::auth::CredentialSecret;

    fn key(user: &str, password: &str) -> LoginKey {
        let secret = CredentialSecret::from_password(Zeroizing::new(password.into()));
        let credential = Arc::new(Credential { user: user.into(), secret, client: None });
        let login = LoginRecord {
            credential,
            capabilities: Capabilities::PROTOCOL_41 | Capabilities::DEPRECATE_EOF,
            charset: 45,
            attributes: Some(b"\x01a\x01b"[..].into()),
            client_tls: false,
        };
        LoginKey { login, read_only: false }
    }

    #[test]
    fn connections_are_exchangeable_by_all_that_a_client_can_tell_apart() {
        let one = key("app", "pw");
        let check = |change: fn(&mut LoginKey), want: bool| {
            let mut other = key("app", "pw");
            change(&mut other);
            assert_eq!(one == other, want, "{other:?}");
        };
        check(|_| {}, true);
        check(|key| key.login.attributes = None, true);
        check(|key| key.login.capabilities |= Capabilities::SESSION_TRACK, true);
        check(|key| key.login.capabilities |= Capabilities::FOUND_ROWS, false);
        check(|key| key.login.charset = 8, false);
        check(|key| key.login.client_tls = true, false);
        check(|key| key.read_only = true, false);
        check(
            |key| Arc::make_mut(&mut key.login.credential).client = Some([10, 0, 0, 1].into()),
            false,
        );
        assert_ne!(one, key("app", "old"));
        assert_ne!(one, key("App", "pw"));
    }
}
