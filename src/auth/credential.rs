//! Who logs in to a server and with what.

use std::fmt;
use std::net::IpAddr;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A user name and the secret that proves it to a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The account's user name, in the client's character set, as it was sent.
    pub user: Vec<u8>,
    /// What proves it.
    pub secret: CredentialSecret,
    /// Where the client is, if servers are told so (PROXY protocol): their accounts are by host, so that
    /// one user from two addresses is two accounts. `None`: they see lagwise's own address.
    pub client: Option<IpAddr>,
}

/// What a client's login revealed, or what the configuration holds.
///
/// Wiped from memory on drop, never shown by `Debug`, compared in constant time.
#[derive(Clone)]
pub enum CredentialSecret {
    /// The account has no password, or the client gave none.
    Empty,
    /// The password itself: satisfies every plugin.
    Password(Zeroizing<Vec<u8>>),
    /// SHA1(password), which satisfies `mysql_native_password` only.
    NativeStage1(Zeroizing<[u8; 20]>),
}

impl CredentialSecret {
    /// The secret of a password; an empty one is [`CredentialSecret::Empty`].
    #[must_use]
    pub fn from_password(password: Zeroizing<Vec<u8>>) -> Self {
        if password.is_empty() { Self::Empty } else { Self::Password(password) }
    }

    /// The password, empty or not, if it is known.
    #[must_use]
    pub(super) fn password(&self) -> Option<&[u8]> {
        match self {
            Self::Empty => Some(b""),
            Self::Password(password) => Some(password),
            Self::NativeStage1(_) => None,
        }
    }
}

impl PartialEq for CredentialSecret {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Empty, Self::Empty) => true,
            (Self::Password(one), Self::Password(two)) => one.ct_eq(two).into(),
            (Self::NativeStage1(one), Self::NativeStage1(two)) => one.ct_eq(&**two).into(),
            _ => false,
        }
    }
}

impl Eq for CredentialSecret {}

impl fmt::Debug for CredentialSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Password(_) => "Password(<redacted>)",
            Self::NativeStage1(_) => "NativeStage1(<redacted>)",
        })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Credential");
        shown.field("user", &String::from_utf8_lossy(&self.user)).field("secret", &self.secret);
        if let Some(client) = &self.client {
            shown.field("client", client);
        }
        shown.finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn password(text: &str) -> CredentialSecret {
        CredentialSecret::from_password(Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn debug_shows_no_secret() {
        let stage1 = CredentialSecret::NativeStage1(Zeroizing::new([77; 20]));
        for (secret, expected) in [
            (password("hunter2"), "Password(<redacted>)"),
            (stage1, "NativeStage1(<redacted>)"),
            (password(""), "Empty"),
        ] {
            let credential = Credential { user: b"shop".to_vec(), secret, client: None };
            let expected = format!("Credential {{ user: \"shop\", secret: {expected} }}");
            assert_eq!(format!("{credential:?}"), expected);
        }
    }

    #[test]
    fn equality() {
        let stage1 = |byte| CredentialSecret::NativeStage1(Zeroizing::new([byte; 20]));
        let secrets =
            [password(""), password("a"), password("b"), password("ab"), stage1(1), stage1(2)];
        for (row, one) in secrets.iter().enumerate() {
            for (column, two) in secrets.iter().enumerate() {
                assert_eq!(one == two, row == column, "{row} {column}");
            }
        }
    }
}
