//! Passwords that a server has accepted, so that a later login need not ask the client for it.
//!
//! This is no account list: whether a server must be asked about a login is for [`super::proofs`] to
//! say, and a password that a server refuses is forgotten at once. Bounded; wiped from memory when
//! dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::auth::{CredentialSecret, KnownAccount};

/// Accounts that are remembered. The oldest proof makes room for a new account.
const MAX_ACCOUNTS: usize = 10_000;

#[derive(Debug)]
struct Proof {
    known: Arc<KnownAccount>,
    secret: CredentialSecret,
    proven_at: Instant,
}

/// Proven passwords by user name.
#[derive(Debug, Default)]
pub struct Credentials(Mutex<HashMap<Vec<u8>, Proof>>);

impl Credentials {
    /// What is known of `user`.
    pub fn known(&self, user: &[u8]) -> Option<Arc<KnownAccount>> {
        let proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.get(user).map(|proof| Arc::clone(&proof.known))
    }

    /// Whether `secret` is the one that a server accepted last for `user`, and has not refused since.
    pub fn has_proven(&self, user: &[u8], secret: &CredentialSecret) -> bool {
        let proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.get(user).is_some_and(|proof| proof.secret == *secret)
    }

    /// A server accepted `secret` for `user` at `now`.
    pub fn proven(&self, user: &[u8], secret: &CredentialSecret, now: Instant) {
        let CredentialSecret::Password(password) = secret else { return };
        let mut proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(proof) = proofs.get_mut(user)
            && proof.secret == *secret
        {
            proof.proven_at = now;
            return;
        }
        if proofs.len() >= MAX_ACCOUNTS && !proofs.contains_key(user) {
            let oldest = proofs.iter().min_by_key(|(_, proof)| proof.proven_at);
            let oldest = oldest.map(|(user, _)| user.clone());
            oldest.and_then(|user| proofs.remove(&user));
        }
        let known = Arc::new(KnownAccount::default().with_password(password.clone()));
        proofs.insert(user.to_vec(), Proof { known, secret: secret.clone(), proven_at: now });
    }

    /// A server refused `secret` for `user`.
    pub fn refused(&self, user: &[u8], secret: &CredentialSecret) {
        let mut proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if proofs.get(user).is_some_and(|proof| proof.secret == *secret) {
            proofs.remove(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zeroize::Zeroizing;

    use super::*;

    fn secret(text: &str) -> CredentialSecret {
        CredentialSecret::from_password(Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_refused_password_is_forgotten_and_no_other() {
        let (credentials, now) = (Credentials::default(), Instant::now());
        credentials.proven(b"app", &secret("old"), now);
        credentials.refused(b"app", &secret("typo"));
        assert!(credentials.known(b"app").is_some());
        let has_proven = |user: &[u8], text| credentials.has_proven(user, &secret(text));
        assert!(has_proven(b"app", "old"));
        assert!(!has_proven(b"app", "typo") && !has_proven(b"other", "old"));
        credentials.refused(b"app", &secret("old"));
        assert!(credentials.known(b"app").is_none());
        credentials.proven(b"app", &secret(""), now);
        assert!(credentials.known(b"app").is_none(), "no password proves nothing");
    }

    #[test]
    fn the_oldest_proof_makes_room() {
        let (credentials, now) = (Credentials::default(), Instant::now());
        for index in 0..=MAX_ACCOUNTS as u64 {
            let user = index.to_string().into_bytes();
            credentials.proven(&user, &secret("pw"), now + Duration::from_secs(index));
        }
        assert!(credentials.known(b"0").is_none());
        assert!(credentials.known(b"1").is_some());
        assert_eq!(credentials.0.lock().unwrap().len(), MAX_ACCOUNTS);
    }
}
