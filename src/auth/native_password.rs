//! `mysql_native_password`: SHA-1 challenge and response.
//!
//! With stage1 = SHA1(password) and stage2 = SHA1(stage1), the server stores stage2 and the client
//! answers `stage1 XOR SHA1(nonce || stage2)`. Whoever knows stage2 and sees one answer therefore
//! learns stage1, and stage1 is all that a login needs: this is how a client that speaks only this
//! plugin can be passed on to a server without anybody knowing the password.
//!
//! Source: MySQL's protocol documentation, "Native Authentication".

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, digest};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::xor_in_place;

/// Length in bytes of a scramble and of both hash stages.
pub const SCRAMBLE_LENGTH: usize = 20;

/// SHA1(password): what a client needs to log in. As good as the password, so wiped on drop.
#[must_use]
pub fn stage1(password: &[u8]) -> Zeroizing<[u8; SCRAMBLE_LENGTH]> {
    Zeroizing::new(sha1(&[password]))
}

/// SHA1(stage1), what `mysql.user` stores as `*HEX`: verifies an answer but cannot give one.
#[must_use]
pub fn stage2(stage1: &[u8; SCRAMBLE_LENGTH]) -> [u8; SCRAMBLE_LENGTH] {
    sha1(&[stage1])
}

/// The answer to `nonce` of a client that knows stage1.
#[must_use]
pub fn scramble(stage1: &[u8; SCRAMBLE_LENGTH], nonce: &[u8]) -> [u8; SCRAMBLE_LENGTH] {
    let mut scramble = sha1(&[nonce, &stage2(stage1)]);
    xor_in_place(&mut scramble, stage1);
    scramble
}

/// Checks a client's answer to `nonce` against the stored stage2, in constant time.
///
/// Returns the stage1 that the answer reveals, or `None` for a wrong password.
#[must_use]
pub fn verify(
    scramble: &[u8; SCRAMBLE_LENGTH],
    nonce: &[u8],
    stored_stage2: &[u8; SCRAMBLE_LENGTH],
) -> Option<Zeroizing<[u8; SCRAMBLE_LENGTH]>> {
    let mut candidate = Zeroizing::new(sha1(&[nonce, stored_stage2]));
    xor_in_place(&mut *candidate, scramble);
    let agrees: bool = stage2(&candidate).ct_eq(stored_stage2).into();
    agrees.then_some(candidate)
}

/// Reads a stored hash: `*` and 40 hexadecimal digits of either case, as PASSWORD() and
/// `mysql.user.authentication_string` give it. `None` for anything else.
#[must_use]
pub fn parse_hash(text: &[u8]) -> Option<[u8; SCRAMBLE_LENGTH]> {
    let digits = text.strip_prefix(b"*")?;
    if digits.len() != 2 * SCRAMBLE_LENGTH {
        return None;
    }
    let mut hash = [0; SCRAMBLE_LENGTH];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = hex_digit(high)? << 4 | hex_digit(low)?;
    }
    Some(hash)
}

fn hex_digit(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

fn sha1(parts: &[&[u8]]) -> [u8; SCRAMBLE_LENGTH] {
    let value = if let [single] = parts {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, single)
    } else {
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
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

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Stored hashes as PASSWORD() gives them; scrambles computed with another implementation.
    #[test]
    fn known_values() {
        #[rustfmt::skip]
        let cases = [
            ("password", "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19", "d50c544a7ecd39e014d6655e6409f921b1a8fd78"),
            ("foobar", "*9B500343BC52E2911172EB52AE5CF4847604C6E5", "bb3d6c03e12b0f39404b7bec3eefe8cffffa311e"),
        ];
        for (password, stored, answer) in cases {
            let stage1 = stage1(password.as_bytes());
            assert_eq!(Some(stage2(&stage1)), parse_hash(stored.as_bytes()), "{password}");
            assert_eq!(hex(&scramble(&stage1, NONCE)), answer, "{password}");
        }
    }

    #[test]
    fn hashes_that_are_not_hashes() {
        let good = b"*2470c0c06dee42fd1618bb99005adca2ec9d1e19";
        assert!(parse_hash(good).is_some(), "lower case is read too");
        let too_long = [&good[..], b"0"].concat();
        let not_hex = [&good[..40], b"g"].concat();
        let no_star = [b"2", &good[1..]].concat();
        let signed = [&good[..39], b"+1"].concat();
        for bad in [b"", &b"*"[..], &good[1..], &good[..40], &too_long, &not_hex, &no_star, &signed]
        {
            assert_eq!(parse_hash(bad), None, "{:?}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn a_scramble_proves_exactly_its_password(
            password in proptest::collection::vec(any::<u8>(), 0..100),
            other in proptest::collection::vec(any::<u8>(), 0..100),
            nonce in any::<[u8; 20]>(),
            flipped_bit in 0..160_usize,
        ) {
            let known = stage1(&password);
            let stored = stage2(&known);
            let mut answer = scramble(&known, &nonce);
            let recovered = verify(&answer, &nonce, &stored).unwrap();
            prop_assert_eq!(*recovered, *known);
            let wrong = verify(&answer, &nonce, &stage2(&stage1(&other)));
            prop_assert_eq!(wrong.is_some(), password == other);
            answer[flipped_bit / 8] ^= 1 << (flipped_bit % 8);
            prop_assert!(verify(&answer, &nonce, &stored).is_none());
        }
    }
}
