//! The 20 random bytes that make every login's scramble different.
//!
//! Randomness enters here and nowhere else: the state machines take their nonces as arguments.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use super::AuthError;

/// Length in bytes of the nonce of `mysql_native_password` and `caching_sha2_password`.
pub const NONCE_LENGTH: usize = 20;

/// The nonce ("auth-plugin-data", "scramble") that a server sends and a client's answer covers.
///
/// Every byte is 7-bit, not NUL and not `$`: clients treat the nonce as a C string and
/// `$` separates fields in MySQL's stored hashes, so the server avoids them
/// (`generate_user_salt`) and so does lagwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce([u8; NONCE_LENGTH]);

impl Nonce {
    /// A fresh nonce from the operating system's generator.
    ///
    /// # Errors
    /// [`AuthError::Random`] when the generator fails.
    pub fn generate() -> Result<Self, AuthError> {
        let mut bytes = [0; NONCE_LENGTH];
        SystemRandom::new().fill(&mut bytes).map_err(|_| AuthError::Random)?;
        Ok(Self::from_random(bytes))
    }

    /// The nonce that random `bytes` give: the high bit cleared, NUL and `$` moved up by one.
    #[must_use]
    pub fn from_random(mut bytes: [u8; NONCE_LENGTH]) -> Self {
        for byte in &mut bytes {
            *byte &= 0x7f;
            if matches!(*byte, 0 | b'$') {
                *byte += 1;
            }
        }
        Self(bytes)
    }

    /// The bytes, without the NUL that follows them on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; NONCE_LENGTH] {
        &self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_value_becomes_a_safe_one() {
        for value in 0..=255_u8 {
            let nonce = Nonce::from_random([value; NONCE_LENGTH]);
            for &byte in nonce.as_bytes() {
                assert!(byte != 0 && byte != b'$' && byte < 0x80, "{value} became {byte}");
            }
        }
    }

    #[test]
    fn nonces_differ() {
        assert_ne!(Nonce::generate().unwrap(), Nonce::generate().unwrap());
    }
}
