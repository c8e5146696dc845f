//! Logins to servers of every plugin, packet by packet.

use super::*;
use crate::auth::rsa_key::tests::shared_key;

const NONCE: &[u8; 20] = b"abcdefghij0123456789";
const LONG_NONCE: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";

fn password(text: &str) -> CredentialSecret {
    CredentialSecret::from_password(Zeroizing::new(text.as_bytes().to_vec()))
}

fn stage1_of(text: &str) -> CredentialSecret {
    CredentialSecret::NativeStage1(native_password::stage1(text.as_bytes()))
}

fn native(text: &str) -> Vec<u8> {
    native_password::scramble(&native_password::stage1(text.as_bytes()), NONCE).to_vec()
}

fn sha2(text: &str) -> Vec<u8> {
    caching_sha2::scramble(text.as_bytes(), NONCE).to_vec()
}

fn switch(plugin: &str, nonce: &[u8]) -> Vec<u8> {
    [&[0xfe], plugin.as_bytes(), b"\0", nonce].concat()
}

fn more(data: &[u8]) -> Vec<u8> {
    [&[1], data].concat()
}

/// What a step should be.
#[derive(Debug)]
enum Expect {
    Send(Vec<u8>),
    /// An RSA block for the shared key that holds this password.
    SendBlock(&'static str),
    Wait,
    Done,
    Fail(AuthError),
}
use Expect::{Done, Fail, Send, SendBlock, Wait};

/// Plays `script` (the server's packets and what must follow each) against one login.
fn check(
    what: &str,
    secret: &CredentialSecret,
    (greeting_plugin, secure): (&str, bool),
    first: (Plugin, Vec<u8>),
    script: Vec<(Vec<u8>, Expect)>,
) {
    let (response, login) =
        ServerLogin::start(secret, greeting_plugin.as_bytes(), NONCE, secure).unwrap();
    assert_eq!((response.plugin, response.data.to_vec()), first, "{what}: first response");
    let mut login = Some(login);
    for (number, (packet, expect)) in script.into_iter().enumerate() {
        let what = format!("{what}: packet {number}");
        let step = login.take().unwrap_or_else(|| panic!("{what}: is over")).handle(&packet);
        login = match (step, expect) {
            (Ok(ServerLoginStep::Send { payload, next }), Send(expected)) => {
                assert_eq!(*payload, expected, "{what}");
                Some(next)
            }
            (Ok(ServerLoginStep::Send { payload, next }), SendBlock(expected)) => {
                let text = shared_key().decrypt_password(&payload, NONCE).unwrap();
                assert_eq!(*text, expected.as_bytes(), "{what}");
                Some(next)
            }
            (Ok(ServerLoginStep::Wait(next)), Wait) => Some(next),
            (Ok(ServerLoginStep::Done), Done) => None,
            (Err(error), Fail(expected)) => {
                assert_eq!(error, expected, "{what}");
                None
            }
            (step, expect) => panic!("{what}: {step:?}, expected {expect:?}"),
        };
    }
}

const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const ERR: &[u8] = b"\xff\x15\x04#28000Access denied";
const SHA2: &str = "caching_sha2_password";
const NATIVE: &str = "mysql_native_password";

#[test]
fn caching_sha2_conversations() {
    let secret = password("secret");
    let first = || (Plugin::CachingSha2, sha2("secret"));
    let pem = || more(shared_key().public_key_pem());
    let ok = || (OK.to_vec(), Done);
    let fast = (more(&[3]), Wait);
    check("fast", &secret, (SHA2, false), first(), vec![fast, ok()]);
    check("refused", &secret, (SHA2, false), first(), vec![(ERR.to_vec(), Done)]);
    let clear = (more(&[4]), Send(b"secret\0".to_vec()));
    check("full, secure", &secret, (SHA2, true), first(), vec![clear, ok()]);
    let ask = || (more(&[4]), Send(vec![2]));
    let block = || (pem(), SendBlock("secret"));
    check("full, RSA", &secret, (SHA2, false), first(), vec![ask(), block(), ok()]);
    let denied = (ERR.to_vec(), Done);
    check("no key", &secret, (SHA2, false), first(), vec![ask(), denied]);
    let empty = (Plugin::CachingSha2, Vec::new());
    check("no password", &password(""), (SHA2, false), empty, vec![ok()]);

    let late = Fail(AuthError::UnexpectedPacket("more plugin data after the last answer"));
    check(
        "fast twice",
        &secret,
        (SHA2, false),
        first(),
        vec![(more(&[3]), Wait), (more(&[3]), late)],
    );
    let late = Fail(AuthError::UnexpectedPacket("more plugin data after the last answer"));
    let script = vec![ask(), block(), (pem(), late)];
    check("key twice", &secret, (SHA2, false), first(), script);
    for data in [&[][..], &[5], &[3, 3], &[4, 0]] {
        let neither = Fail(AuthError::UnexpectedPacket("neither fast nor full authentication"));
        check("unknown", &secret, (SHA2, false), first(), vec![(more(data), neither)]);
    }
    let no_key = Fail(AuthError::RsaKey("the server sent no PEM public key"));
    check("bad key", &secret, (SHA2, false), first(), vec![ask(), (more(b"PEM"), no_key)]);
    let long = "x".repeat(214);
    let first = (Plugin::CachingSha2, sha2(&long));
    let script = vec![ask(), (pem(), Fail(AuthError::PasswordTooLong))];
    check("long", &password(&long), (SHA2, false), first, script);
}

#[test]
fn switches() {
    let secret = password("secret");
    let first = || (Plugin::CachingSha2, sha2("secret"));
    let nonce = [NONCE, &b"\0"[..]].concat();
    let signature = ed25519::sign(b"secret", LONG_NONCE).to_vec();
    let unsupported = |name: &str| Fail(AuthError::UnsupportedPlugin(name.to_owned()));
    let cases: Vec<(&str, bool, Vec<u8>, Expect)> = vec![
        ("native", false, switch(NATIVE, &nonce), Send(native("secret"))),
        ("native, bare nonce", false, switch(NATIVE, NONCE), Send(native("secret"))),
        ("sha2", false, switch(SHA2, &nonce), Send(sha2("secret"))),
        ("ed25519", false, switch("client_ed25519", LONG_NONCE), Send(signature)),
        ("clear", true, switch("mysql_clear_password", b""), Send(b"secret\0".to_vec())),
        (
            "clear, no TLS",
            false,
            switch("mysql_clear_password", b""),
            Fail(AuthError::ClearTextRefused(Plugin::ClearPassword)),
        ),
        ("pam", true, switch("dialog", b"\x04Password: "), unsupported("dialog")),
        ("old", true, vec![0xfe], unsupported("mysql_old_password")),
        ("control", true, switch("a\nb", b""), unsupported("a\\nb")),
        ("long", true, switch(&"x".repeat(5000), b""), unsupported(&"x".repeat(64))),
        (
            "no NUL",
            true,
            b"\xfemysql_native_password".to_vec(),
            Fail(AuthError::MalformedPacket("AuthSwitchRequest without a plugin name")),
        ),
        (
            "short nonce",
            true,
            switch(NATIVE, &NONCE[..19]),
            Fail(AuthError::InvalidNonce { plugin: Plugin::Native, length: 19 }),
        ),
        (
            "nonce of another plugin",
            true,
            switch("client_ed25519", &nonce),
            Fail(AuthError::InvalidNonce { plugin: Plugin::Ed25519, length: 21 }),
        ),
        (
            "second factor",
            true,
            b"\x02webauthn\0".to_vec(),
            Fail(AuthError::UnexpectedPacket("the server asks for a second factor")),
        ),
        ("header", true, vec![0x0a], Fail(AuthError::UnexpectedPacket("unknown header"))),
        ("empty", true, vec![], Fail(AuthError::MalformedPacket("empty"))),
    ];
    for (what, secure, packet, expect) in cases {
        check(what, &secret, (SHA2, secure), first(), vec![(packet, expect)]);
    }
    // After a switch in the middle of a full authentication the new plugin starts afresh.
    let script = vec![
        (more(&[4]), Send(vec![2])),
        (switch(NATIVE, NONCE), Send(native("secret"))),
        (switch(SHA2, NONCE), Send(sha2("secret"))),
        (more(&[3]), Wait),
        (OK.to_vec(), Done),
    ];
    check("two switches", &secret, (SHA2, false), first(), script);
    let late = Fail(AuthError::UnexpectedPacket("more plugin data after the last answer"));
    let script = vec![(switch(NATIVE, NONCE), Send(native("secret"))), (more(&[4]), late)];
    check("no password for another plugin", &secret, (SHA2, true), first(), script);
    let mut script = Vec::new();
    for _ in 0..MAX_SWITCHES {
        script.push((switch(NATIVE, NONCE), Send(native("secret"))));
    }
    script.push((switch(NATIVE, NONCE), Fail(AuthError::TooManySwitches)));
    check("endless", &secret, (SHA2, false), first(), script);
}

#[test]
fn sha256_conversations() {
    let secret = password("secret");
    let first = || (Plugin::CachingSha2, sha2("secret"));
    let asked = || switch("sha256_password", &[NONCE, &b"\0"[..]].concat());
    let denied = || (ERR.to_vec(), Done);
    let clear = (asked(), Send(b"secret\0".to_vec()));
    check("sha256, secure", &secret, (SHA2, true), first(), vec![clear, denied()]);
    let script = vec![
        (asked(), Send(vec![1])),
        (more(shared_key().public_key_pem()), SendBlock("secret")),
        denied(),
    ];
    check("sha256, RSA", &secret, (SHA2, false), first(), script);
    let none = (asked(), Send(vec![0]));
    let empty = (Plugin::CachingSha2, Vec::new());
    check("sha256, no password", &password(""), (SHA2, false), empty, vec![none, denied()]);
}

#[test]
fn empty_passwords() {
    let first = || (Plugin::Native, Vec::new());
    let empty = ed25519::sign(b"", LONG_NONCE).to_vec();
    for (packet, answer) in [
        (switch(SHA2, NONCE), Vec::new()),
        (switch(NATIVE, NONCE), Vec::new()),
        (switch("mysql_clear_password", b""), vec![0]),
        (switch("client_ed25519", LONG_NONCE), empty),
    ] {
        check("empty", &password(""), (NATIVE, true), first(), vec![(packet, Send(answer))]);
    }
}

#[test]
fn a_native_scramble_is_all_that_is_known() {
    let secret = stage1_of("secret");
    let needs = |plugin| Fail(AuthError::NeedsPassword(plugin));
    for greeting in [NATIVE, SHA2, "dialog"] {
        for (packet, expect) in [
            (OK.to_vec(), Done),
            (switch(NATIVE, NONCE), Send(native("secret"))),
            (switch(SHA2, NONCE), needs(Plugin::CachingSha2)),
            (switch("client_ed25519", LONG_NONCE), needs(Plugin::Ed25519)),
            (switch("mysql_clear_password", b""), needs(Plugin::ClearPassword)),
        ] {
            let first = (Plugin::Native, native("secret"));
            check(greeting, &secret, (greeting, true), first, vec![(packet, expect)]);
        }
    }
}

#[test]
fn greetings() {
    let secret = password("secret");
    for (greeting, plugin, data) in [
        (SHA2, Plugin::CachingSha2, sha2("secret")),
        (NATIVE, Plugin::Native, native("secret")),
        ("sha256_password", Plugin::CachingSha2, sha2("secret")),
        ("mysql_clear_password", Plugin::CachingSha2, sha2("secret")),
        ("client_ed25519", Plugin::CachingSha2, sha2("secret")),
        ("", Plugin::CachingSha2, sha2("secret")),
    ] {
        check(greeting, &secret, (greeting, true), (plugin, data), vec![(OK.to_vec(), Done)]);
    }
    for length in [0, 8, 19, 22, 64] {
        let error = ServerLogin::start(&secret, SHA2.as_bytes(), &vec![b'n'; length], true);
        let expected = AuthError::InvalidNonce { plugin: Plugin::CachingSha2, length };
        assert_eq!(error.err(), Some(expected));
    }
}

#[test]
fn debug_shows_no_secret() {
    let secret = password("hunter2");
    let (_, login) = ServerLogin::start(&secret, SHA2.as_bytes(), NONCE, true).unwrap();
    let text = format!("{login:?}");
    assert!(text.contains("redacted") && !text.contains("hunter2"), "{text}");
}
