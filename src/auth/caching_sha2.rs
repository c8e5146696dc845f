//! `caching_sha2_password`: SHA-256 challenge and response, and the messages around it.
//!
//! With stage1 = SHA256(password) and stage2 = SHA256(stage1) the client answers
//! `stage1 XOR SHA256(stage2 || nonce)`. A server that has stage2 in its cache checks that and is
//! done (the fast path); otherwise it asks for the password itself, in clear on a secure channel
//! or in an RSA block (see [`super::rsa_key`]).
//!
//! Unlike `mysql_native_password` the recovered stage1 is of no use to lagwise: the server's
//! cache may be cold, and then only the password satisfies it.
//!
//! Source: MySQL's source documentation, "Caching_sha2_password information".

use aws_lc_rs::digest::{Context, SHA256, digest};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{AuthError, MAX_PASSWORD_LENGTH, xor_in_place};

/// Length in bytes of a scramble and of both hash stages.
pub const SCRAMBLE_LENGTH: usize = 32;

/// First byte of every packet with plugin data from the server (AuthMoreData).
pub const AUTH_MORE_DATA: u8 = 0x01;
/// Client to server: "send me your public key".
pub const REQUEST_PUBLIC_KEY: u8 = 0x02;
/// Server to client, in AuthMoreData: the scramble was right; OK follows.
pub const FAST_AUTH_SUCCESS: u8 = 0x03;
/// Server to client, in AuthMoreData: send the password itself.
pub const PERFORM_FULL_AUTHENTICATION: u8 = 0x04;

/// SHA256(SHA256(password)): verifies a client's scramble.
#[must_use]
pub fn stage2(password: &[u8]) -> [u8; SCRAMBLE_LENGTH] {
    sha256(&[&*stage1(password)])
}

/// The answer to `nonce` of a client that knows the password.
#[must_use]
pub fn scramble(password: &[u8], nonce: &[u8]) -> [u8; SCRAMBLE_LENGTH] {
    let mut scramble = sha256(&[&stage2(password), nonce]);
    xor_in_place(&mut scramble, &*stage1(password));
    scramble
}

/// Checks a client's answer to `nonce` against the stage2 of the known password, in constant time.
#[must_use]
pub fn verify(
    scramble: &[u8; SCRAMBLE_LENGTH],
    nonce: &[u8],
    stored_stage2: &[u8; SCRAMBLE_LENGTH],
) -> bool {
    let mut candidate = Zeroizing::new(sha256(&[stored_stage2, nonce]));
    xor_in_place(&mut *candidate, scramble);
    sha256(&[&*candidate]).ct_eq(stored_stage2).into()
}

/// The plain text of an RSA block: password and NUL, both XORed with the repeated nonce.
///
/// # Errors
/// [`AuthError::PasswordTooLong`] above [`MAX_PASSWORD_LENGTH`].
pub fn obfuscate(password: &[u8], nonce: &[u8]) -> Result<Zeroizing<Vec<u8>>, AuthError> {
    let mut text = with_nul(password)?;
    xor_in_place(&mut text, nonce);
    Ok(text)
}

/// The password in the plain text of an RSA block: all before the first NUL, as the server reads
/// it. `None` without a NUL: then no client that means well wrote it.
#[must_use]
pub fn deobfuscate(text: &[u8], nonce: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(text.to_vec());
    xor_in_place(&mut text, nonce);
    let end = text.iter().position(|&byte| byte == 0)?;
    // Shortening leaves the tail in the buffer, which is wiped whole, capacity included, on drop.
    text.truncate(end);
    Some(text)
}

/// Password and NUL, as it is sent on a secure channel (`string<NUL>`).
///
/// # Errors
/// [`AuthError::PasswordTooLong`] above [`MAX_PASSWORD_LENGTH`].
pub fn with_nul(password: &[u8]) -> Result<Zeroizing<Vec<u8>>, AuthError> {
    if password.len() > MAX_PASSWORD_LENGTH {
        return Err(AuthError::PasswordTooLong);
    }
    // Sized once: a vector that grows leaves an unwiped copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(password.len() + 1));
    text.extend_from_slice(password);
    text.push(0);
    Ok(text)
}

fn stage1(password: &[u8]) -> Zeroizing<[u8; SCRAMBLE_LENGTH]> {
    Zeroizing::new(sha256(&[password]))
}

fn sha256(parts: &[&[u8]]) -> [u8; SCRAMBLE_LENGTH] {
    let value = if let [single] = parts {
        digest(&SHA256, single)
    } else {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(part);
        }
        context.finish()
    };
    let mut bytes = [0; SCRAMBLE_LENGTH];
    for (to, from) in bytes.iter_mut().zip(value.as_ref()) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONCE: &[u8; 20] = b"abcdefghij0123456789";

    /// Computed with another implementation.
    #[test]
    fn known_values() {
        #[rustfmt::skip]
        let cases = [
            ("password", "4faf0a707d3f61794057f9d1614ab9f33d462f9d21796901279375c67f6dd01d"),
            ("foobar", "06d1a95502c410aa4103689d12cabdfbfc386dd8d68fc9c36fbcfed875b17c57"),
        ];
        for (password, answer) in cases {
            let scramble = scramble(password.as_bytes(), NONCE);
            let hex: String = scramble.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, answer, "{password}");
        }
    }

    #[test]
    fn plain_text_of_an_rsa_block() {
        // 'p' ^ 'a', 'w' ^ 'b', NUL ^ 'c'
        assert_eq!(*obfuscate(b"pw", NONCE).unwrap(), [0x11, 0x15, b'c']);
        assert_eq!(*deobfuscate(&[0x11, 0x15, b'c', 0xff], NONCE).unwrap(), b"pw");
        assert_eq!(*deobfuscate(b"a", NONCE).unwrap(), b"", "an empty password");
        assert!(deobfuscate(&[0x11, 0x15], NONCE).is_none(), "no NUL");
        assert!(deobfuscate(b"", NONCE).is_none(), "nothing");
        let limit = vec![b'x'; MAX_PASSWORD_LENGTH];
        assert!(obfuscate(&limit, NONCE).is_ok());
        let too_long = vec![b'x'; MAX_PASSWORD_LENGTH + 1];
        assert_eq!(obfuscate(&too_long, NONCE), Err(AuthError::PasswordTooLong));
    }

    proptest! {
        #[test]
        fn a_scramble_proves_exactly_its_password(
            password in proptest::collection::vec(any::<u8>(), 0..100),
            other in proptest::collection::vec(any::<u8>(), 0..100),
            nonce in any::<[u8; 20]>(),
            flipped_bit in 0..256_usize,
        ) {
            let mut answer = scramble(&password, &nonce);
            prop_assert!(verify(&answer, &nonce, &stage2(&password)));
            prop_assert_eq!(verify(&answer, &nonce, &stage2(&other)), password == other);
            answer[flipped_bit / 8] ^= 1 << (flipped_bit % 8);
            prop_assert!(!verify(&answer, &nonce, &stage2(&password)));
        }

        #[test]
        fn obfuscation_is_undone(
            password in proptest::collection::vec(1..=255_u8, 0..300),
            nonce in any::<[u8; 20]>(),
        ) {
            let text = obfuscate(&password, &nonce).unwrap();
            let back = deobfuscate(&text, &nonce).unwrap();
            prop_assert_eq!(&*back, &password);
        }
    }
}
