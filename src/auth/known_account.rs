//! What can be known of an account before its client proves anything.
//!
//! Who keeps it, for how long, and when it stops being true is not this module's business.

use std::fmt;

use zeroize::Zeroizing;

use super::{caching_sha2, native_password};

/// What lagwise knows about the account that a client names, before the client proves anything.
#[derive(Clone, Default)]
pub struct KnownAccount {
    pub(super) verified: Option<VerifiedPassword>,
    pub(super) native_stage2: Option<[u8; native_password::SCRAMBLE_LENGTH]>,
}

#[derive(Clone)]
pub(super) struct VerifiedPassword {
    pub(super) password: Zeroizing<Vec<u8>>,
    pub(super) sha256_stage2: [u8; caching_sha2::SCRAMBLE_LENGTH],
    pub(super) native_stage2: [u8; native_password::SCRAMBLE_LENGTH],
}

impl KnownAccount {
    /// Adds a password that a server accepted earlier, or that the configuration holds: scrambles
    /// made of it take the fast path. An outdated one does no harm, the client is then asked.
    #[must_use]
    pub fn with_password(mut self, password: Zeroizing<Vec<u8>>) -> Self {
        self.verified = Some(VerifiedPassword {
            sha256_stage2: caching_sha2::stage2(&password),
            native_stage2: native_password::stage2(&native_password::stage1(&password)),
            password,
        });
        self
    }

    /// Adds SHA1(SHA1(password)) as the servers or the configuration store it. It is taken for
    /// the truth: a native scramble that does not match is a wrong password.
    #[must_use]
    pub fn with_native_hash(mut self, stage2: [u8; native_password::SCRAMBLE_LENGTH]) -> Self {
        self.native_stage2 = Some(stage2);
        self
    }
}

impl fmt::Debug for KnownAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownAccount")
            .field("password", &self.verified.is_some())
            .field("native_hash", &self.native_stage2.is_some())
            .finish()
    }
}
