//! `client_ed25519`: MariaDB's `ed25519` plugin as its clients see it.
//!
//! The server sends a 32-byte nonce and the client returns its Ed25519 signature. The key pair is
//! that of RFC 8032 but for one thing: where the RFC hashes a 32-byte seed, MariaDB hashes the
//! password, of whatever length. Hence the crate's low-level interface.
//!
//! Verifying such signatures is absent: lagwise never asks its clients for this plugin, because a
//! signature says nothing that would log in to a server.

use aws_lc_rs::digest::{SHA512, digest};
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Sha512, VerifyingKey};
use zeroize::Zeroizing;

/// Length in bytes of the server's nonce.
pub const NONCE_LENGTH: usize = 32;
/// Length in bytes of the client's answer.
pub const SIGNATURE_LENGTH: usize = 64;

/// The answer to `nonce` of a client that knows `password`. An empty password signs too.
#[must_use]
pub fn sign(password: &[u8], nonce: &[u8; NONCE_LENGTH]) -> [u8; SIGNATURE_LENGTH] {
    let (secret, public) = key_pair(password);
    raw_sign::<Sha512>(&secret, nonce, &public).to_bytes()
}

fn key_pair(password: &[u8]) -> (ExpandedSecretKey, VerifyingKey) {
    let mut hash = Zeroizing::new([0; 64]);
    for (to, from) in hash.iter_mut().zip(digest(&SHA512, password).as_ref()) {
        *to = *from;
    }
    let secret = ExpandedSecretKey::from_bytes(&hash);
    let public = VerifyingKey::from(&secret);
    (secret, public)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use proptest::prelude::*;

    /// Public keys as MariaDB's ED25519_PASSWORD() gives them.
    #[test]
    fn known_public_keys() {
        let cases = [
            ("foo", "vubFBzIrapbfHct1/J72dnUryz5VS7lA6XHH8sIx4TI"),
            ("secret", "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY"),
        ];
        for (password, expected) in cases {
            let (_, public) = key_pair(password.as_bytes());
            assert_eq!(STANDARD_NO_PAD.encode(public.as_bytes()), expected, "{password}");
        }
    }

    /// The key and the signature that MariaDB's own unit test of the plugin expects.
    #[test]
    fn known_signature() {
        #[rustfmt::skip]
        let expected_key = [
            170, 253, 166, 27, 161, 214, 10, 236, 183, 217, 41, 91, 231, 24, 85, 225,
            49, 210, 181, 236, 13, 207, 101, 72, 53, 83, 219, 130, 79, 151, 0, 159,
        ];
        #[rustfmt::skip]
        let expected_signature = [
            232, 61, 201, 63, 67, 63, 51, 53, 86, 73, 238, 35, 170, 117, 146, 214,
            26, 17, 35, 9, 8, 132, 245, 141, 48, 99, 66, 58, 36, 228, 48, 84,
            115, 254, 187, 168, 88, 162, 249, 57, 35, 85, 79, 238, 167, 106, 68, 117,
            56, 135, 171, 47, 20, 14, 133, 79, 15, 229, 124, 160, 176, 100, 138, 14,
        ];
        assert_eq!(key_pair(b"foobar").1.to_bytes(), expected_key);
        assert_eq!(sign(b"foobar", &[b'A'; 32]), expected_signature);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_server_accepts_the_signature(
            password in proptest::collection::vec(any::<u8>(), 0..200),
            nonce in any::<[u8; 32]>(),
            flipped_bit in 0..256_usize,
        ) {
            let (_, public) = key_pair(&password);
            let signature = ed25519_dalek::Signature::from_bytes(&sign(&password, &nonce));
            prop_assert!(public.verify_strict(&nonce, &signature).is_ok());
            let mut other = nonce;
            other[flipped_bit / 8] ^= 1 << (flipped_bit % 8);
            prop_assert!(public.verify_strict(&other, &signature).is_err());
        }
    }
}
