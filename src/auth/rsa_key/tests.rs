//! Keys of lagwise and of servers against each other, and what is refused.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

const NONCE: &[u8; 20] = b"abcdefghij0123456789";

/// One key for all tests: generating one takes longer than everything else here.
pub(crate) fn shared_key() -> &'static RsaKey {
    static KEY: OnceLock<RsaKey> = OnceLock::new();
    KEY.get_or_init(|| RsaKey::generate().unwrap())
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
        .into_bytes()
}

fn pkcs8_der() -> Vec<u8> {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap().as_ref().to_vec()
}

#[test]
fn public_key_is_the_pem_that_clients_expect() {
    let text = String::from_utf8(shared_key().public_key_pem().to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.first(), Some(&"-----BEGIN PUBLIC KEY-----"));
    assert_eq!(lines.last(), Some(&"-----END PUBLIC KEY-----"));
    assert!(text.ends_with('\n'));
    let body = &lines[1..lines.len() - 1];
    assert!(body.len() > 4, "a 2048-bit key has several lines");
    let (last, full) = body.split_last().unwrap();
    assert!(full.iter().all(|line| line.len() == 64), "{text}");
    assert!((1..=64).contains(&last.len()), "{text}");
}

#[test]
fn key_files() {
    let der = pkcs8_der();
    // The PKCS#1 key is the last element of the PKCS#8 one: an OCTET STRING after 26 bytes.
    let pkcs1 = &der[26..];
    let check = |what: &str, text: &[u8], expected: Result<(), &str>| match (
        RsaKey::from_pem(text),
        expected,
    ) {
        (Ok(key), Ok(())) => {
            let server = ServerPublicKey::from_pem(key.public_key_pem()).unwrap();
            let block = server.encrypt_password(b"secret", NONCE).unwrap();
            assert_eq!(*key.decrypt_password(&block, NONCE).unwrap(), b"secret", "{what}");
        }
        (Err(AuthError::RsaKey(why)), Err(expected)) => {
            assert!(why.contains(expected), "{what}: {why}");
        }
        (got, expected) => panic!("{what}: {got:?}, expected {expected:?}"),
    };
    check("PKCS#8", &pem("PRIVATE KEY", &der), Ok(()));
    check("PKCS#1", &pem("RSA PRIVATE KEY", pkcs1), Ok(()));
    check("after a comment", &[b"# mine\n", &*pem("PRIVATE KEY", &der)].concat(), Ok(()));
    check("encrypted", &pem("ENCRYPTED PRIVATE KEY", &der), Err("unencrypted"));
    check("public", shared_key().public_key_pem(), Err("no unencrypted PEM private key"));
    check("PKCS#1 called PKCS#8", &pem("PRIVATE KEY", pkcs1), Err("2048 to 8192"));
    check("elliptic", &pem("EC PRIVATE KEY", &der), Err("not an RSA key"));
    check("truncated", &pem("PRIVATE KEY", &der[..der.len() - 9]), Err("2048 to 8192"));
    check("empty", b"", Err("unencrypted"));
    check("large", &[b' '; MAX_PEM_LENGTH + 1], Err("16 KiB"));
}

#[test]
fn public_keys_that_are_refused() {
    let good = shared_key().public_key_pem();
    assert!(ServerPublicKey::from_pem(good).is_ok());
    assert!(ServerPublicKey::from_pem(&[good, b"\0"].concat()).is_ok(), "a C string's end");
    // SubjectPublicKeyInfo of a 1024-bit key and of an Ed25519 key.
    let small = STANDARD.decode(SMALL_KEY).unwrap();
    let elliptic =
        [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], &[9; 32]]
            .concat();
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("empty", Vec::new(), "no PEM"),
        ("noise", vec![0xff; 300], "no PEM"),
        ("half", good[..good.len() / 2].to_vec(), "no PEM"),
        ("1024 bits", pem("PUBLIC KEY", &small), "2048 to 8192"),
        ("elliptic", pem("PUBLIC KEY", &elliptic), "2048 to 8192"),
        ("large", vec![b' '; MAX_PEM_LENGTH + 1], "16 KiB"),
    ];
    for (what, text, expected) in cases {
        match ServerPublicKey::from_pem(text) {
            Err(AuthError::RsaKey(why)) => assert!(why.contains(expected), "{what}: {why}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn password_lengths() {
    let key = shared_key();
    let server = ServerPublicKey::from_pem(key.public_key_pem()).unwrap();
    for length in [0, 1, 19, 20, 21, 212, 213] {
        let password = vec![b'x'; length];
        let block = server.encrypt_password(&password, NONCE).unwrap();
        assert_eq!(block.len(), key.block_length());
        assert_eq!(*key.decrypt_password(&block, NONCE).unwrap(), password);
    }
    let too_long = server.encrypt_password(&[b'x'; 214], NONCE);
    assert_eq!(too_long, Err(AuthError::PasswordTooLong));
}

#[test]
fn blocks_that_are_refused() {
    let key = shared_key();
    let server = ServerPublicKey::from_pem(key.public_key_pem()).unwrap();
    let block = server.encrypt_password(b"secret", NONCE).unwrap();
    let mut flipped = block.clone();
    flipped[100] ^= 1;
    let mut no_nul = vec![0; key.block_length()];
    let length = server.0.encrypt(&OAEP_SHA1_MGF1SHA1, b"no NUL", &mut no_nul, None).unwrap().len();
    assert_eq!(length, key.block_length());
    let mut longer = block.clone();
    longer.push(0);
    for bad in [&[][..], &block[1..], &longer, &flipped, &no_nul, &[0xff; 256]] {
        assert_eq!(key.decrypt_password(bad, NONCE), Err(AuthError::RsaBlock));
    }
    assert_eq!(*key.decrypt_password(&block, NONCE).unwrap(), b"secret");
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(format!("{:?}", shared_key()), "RsaKey { bits: 2048 }");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_password_survives(
        password in proptest::collection::vec(1..=255_u8, 0..=213),
        nonce in any::<[u8; 20]>(),
    ) {
        let key = shared_key();
        let server = ServerPublicKey::from_pem(key.public_key_pem()).unwrap();
        let block = server.encrypt_password(&password, &nonce).unwrap();
        prop_assert_eq!(&*key.decrypt_password(&block, &nonce).unwrap(), &password);
    }
}

/// A 1024-bit RSA SubjectPublicKeyInfo; its private half was thrown away.
const SMALL_KEY: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC0fO8LkGKzolzz5QDzlb+fOMmWtvVIInvQPsdPP4dbqXCumXXa8cqi6P5hq+D5zPZ1QBGGSY6Qs0gDOp0hJZ2In3b7TBgaRe07SqIdtm7/4neSE53RQ1/naWxvEl8daEvtiblEed5TC1ypw5rPEk6a0KhhrHtwwHjsp1b0o7Ko2QIDAQAB";
