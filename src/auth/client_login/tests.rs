//! Logins of clients of every kind, packet by packet.

use proptest::prelude::*;

use super::*;
use crate::auth::rsa_key::tests::shared_key;
use crate::auth::server_login::{ServerLogin, ServerLoginStep};

const SHA2: &[u8] = b"caching_sha2_password";
const NATIVE: &[u8] = b"mysql_native_password";

fn greeting_nonce() -> Nonce {
    Nonce::from_random(*b"abcdefghij0123456789")
}

fn switch_nonce() -> Nonce {
    Nonce::from_random(*b"ABCDEFGHIJ!%&()*+,-.")
}

fn password(text: &[u8]) -> CredentialSecret {
    CredentialSecret::from_password(Zeroizing::new(text.to_vec()))
}

fn stage1(text: &[u8]) -> CredentialSecret {
    CredentialSecret::NativeStage1(native_password::stage1(text))
}

fn known(learned: Option<&[u8]>, hash_of: Option<&[u8]>) -> KnownAccount {
    let mut known = KnownAccount::default();
    if let Some(text) = learned {
        known = known.with_password(Zeroizing::new(text.to_vec()));
    }
    if let Some(text) = hash_of {
        known = known.with_native_hash(native_password::stage2(&native_password::stage1(text)));
    }
    known
}

fn context(known: &KnownAccount, greeting_plugin: Plugin, secure: bool) -> LoginContext<'_> {
    LoginContext {
        greeting_plugin,
        greeting_nonce: greeting_nonce(),
        switch_nonce: switch_nonce(),
        secure_channel: secure,
        known,
        rsa_key: shared_key(),
    }
}

/// How existing client libraries begin.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    /// mysqlnd, PyMySQL, mostly libmysqlclient and libmariadb: by the greeting's plugin.
    FollowsGreeting,
    /// MariaDB's driver for Node.js: a native scramble whatever the greeting says.
    AlwaysNative,
    /// Names its own default, without data where the greeting's is another: libmariadb with
    /// default-auth.
    PrefersNative,
    /// The same the other way round: libmysqlclient.
    PrefersSha2,
    /// MariaDB with default-auth: another plugin altogether, without data.
    PrefersEd25519,
    /// Drivers from before pluggable authentication.
    NoPluginAuth,
}

const PLUGGABLE: [Client; 5] = [
    Client::FollowsGreeting,
    Client::AlwaysNative,
    Client::PrefersNative,
    Client::PrefersSha2,
    Client::PrefersEd25519,
];

/// How a login ended.
#[derive(Debug, PartialEq)]
enum End {
    In(CredentialSecret, LoginPath),
    Out(RejectReason),
    ClientGaveUp(AuthError),
}

/// Lets a client that has `secret` log in, and counts the packets that lagwise sent meanwhile.
fn simulate(
    context: LoginContext<'_>,
    client: Client,
    secret: &CredentialSecret,
    change_user: bool,
) -> (End, usize) {
    let greeting = context.greeting_plugin.name().as_bytes();
    let answer_as = |plugin: &[u8]| {
        let nonce = context.greeting_nonce;
        ServerLogin::start(secret, plugin, nonce.as_bytes(), context.secure_channel).unwrap()
    };
    let prepared = |plugin: &'static [u8]| {
        let (response, login) = answer_as(plugin);
        let data = if plugin == greeting { response.data.to_vec() } else { Vec::new() };
        (plugin, data, login)
    };
    let (plugin, response, mut login) = match client {
        Client::FollowsGreeting => {
            let (response, login) = answer_as(greeting);
            (response.plugin.name().as_bytes(), response.data.to_vec(), login)
        }
        Client::AlwaysNative | Client::NoPluginAuth => {
            let (response, login) = answer_as(NATIVE);
            (NATIVE, response.data.to_vec(), login)
        }
        Client::PrefersNative => prepared(NATIVE),
        Client::PrefersSha2 => prepared(SHA2),
        Client::PrefersEd25519 => (&b"client_ed25519"[..], Vec::new(), answer_as(SHA2).1),
    };
    let plugin_auth = client != Client::NoPluginAuth;
    let auth =
        ClientAuth { plugin_auth, plugin: plugin_auth.then_some(plugin), response: &response };
    let mut step = if change_user {
        ClientLogin::start_change_user(context, &auth)
    } else {
        ClientLogin::start(context, &auth)
    };
    let mut sent = 0;
    loop {
        let (payload, next) = match step {
            ClientLoginStep::Authenticated { secret, path } => {
                return (End::In(secret, path), sent);
            }
            ClientLoginStep::Reject(reason) => return (End::Out(reason), sent),
            ClientLoginStep::Send { payload, next } => (payload, next),
        };
        sent += 1;
        assert!(sent < 5, "the login does not end");
        step = match login.handle(&payload) {
            Ok(ServerLoginStep::Send { payload, next: client }) => {
                login = client;
                next.handle(&payload)
            }
            Ok(step) => panic!("the client would wait for ever: {step:?}"),
            Err(error) => return (End::ClientGaveUp(error), sent),
        };
    }
}

fn check(
    what: &str,
    (known, greeting, secure): (&KnownAccount, Plugin, bool),
    clients: &[Client],
    secret: &CredentialSecret,
    (end, sent): (&End, usize),
) {
    for &client in clients {
        let got = simulate(context(known, greeting, secure), client, secret, false);
        assert_eq!((&got.0, got.1), (end, sent), "{what}: {client:?}");
    }
}

use Client::{
    AlwaysNative, FollowsGreeting, NoPluginAuth, PrefersEd25519, PrefersNative, PrefersSha2,
};
use Plugin::{CachingSha2, Native};

#[test]
fn greeting_names_caching_sha2() {
    let secret = password(b"pw");
    let full = End::In(password(b"pw"), LoginPath::Full);
    let fast = End::In(password(b"pw"), LoginPath::Fast);
    let native = End::In(password(b"pw"), LoginPath::Native);
    let by_hash = End::In(stage1(b"pw"), LoginPath::Native);
    let wrong = End::Out(RejectReason::WrongPassword);
    let switched = [AlwaysNative, PrefersNative, PrefersEd25519];
    // what is known: packets sent by lagwise are switch, 0x04, PEM.
    let at = |known, secure| (known, CachingSha2, secure);

    let nothing = known(None, None);
    for client in [FollowsGreeting, PrefersSha2] {
        check("new, RSA", at(&nothing, false), &[client], &secret, (&full, 2));
        check("new, secure", at(&nothing, true), &[client], &secret, (&full, 1));
    }
    check("new, RSA", at(&nothing, false), &switched, &secret, (&full, 3));
    check("new, secure", at(&nothing, true), &switched, &secret, (&full, 2));
    let refused = End::Out(RejectReason::NativeOnlyClient);
    check("new", at(&nothing, true), &[NoPluginAuth], &secret, (&refused, 0));

    let learned = known(Some(b"pw"), None);
    check("learned", at(&learned, false), &[FollowsGreeting, PrefersSha2], &secret, (&fast, 0));
    check("learned", at(&learned, false), &[PrefersNative, PrefersEd25519], &secret, (&fast, 1));
    check("learned", at(&learned, false), &[AlwaysNative, NoPluginAuth], &secret, (&native, 0));

    let stale = known(Some(b"old"), None);
    check("stale", at(&stale, false), &[FollowsGreeting, PrefersSha2], &secret, (&full, 2));
    check("stale", at(&stale, false), &switched, &secret, (&full, 3));
    check("stale", at(&stale, false), &[NoPluginAuth], &secret, (&wrong, 0));

    let hash = known(None, Some(b"pw"));
    check("hash", at(&hash, false), &[AlwaysNative, NoPluginAuth], &secret, (&by_hash, 0));
    check("hash", at(&hash, false), &[PrefersNative], &secret, (&by_hash, 1));
    check("hash", at(&hash, true), &[FollowsGreeting], &secret, (&full, 1));

    let other = known(None, Some(b"other"));
    check("other", at(&other, false), &[AlwaysNative, NoPluginAuth], &secret, (&wrong, 0));
    check("other", at(&other, false), &[PrefersNative], &secret, (&wrong, 1));

    let both = known(Some(b"pw"), Some(b"other"));
    check("newer than the hash", at(&both, false), &[NoPluginAuth], &secret, (&native, 0));
    let both = known(Some(b"other"), Some(b"pw"));
    check("older than the hash", at(&both, false), &[NoPluginAuth], &secret, (&by_hash, 0));
    check("older than the hash", at(&both, true), &[FollowsGreeting], &secret, (&full, 1));
}

#[test]
fn greeting_names_native() {
    let secret = password(b"pw");
    let full = End::In(password(b"pw"), LoginPath::Full);
    let fast = End::In(password(b"pw"), LoginPath::Fast);
    let native = End::In(password(b"pw"), LoginPath::Native);
    let by_hash = End::In(stage1(b"pw"), LoginPath::Native);
    let wrong = End::Out(RejectReason::WrongPassword);
    let native_first = [FollowsGreeting, AlwaysNative, PrefersNative];

    let nothing = known(None, None);
    check("new", (&nothing, Native, true), &PLUGGABLE, &secret, (&full, 2));
    check("new, RSA", (&nothing, Native, false), &PLUGGABLE, &secret, (&full, 3));
    let refused = End::Out(RejectReason::NativeOnlyClient);
    check("new", (&nothing, Native, true), &[NoPluginAuth], &secret, (&refused, 0));

    let learned = known(Some(b"pw"), None);
    check("learned", (&learned, Native, false), &native_first, &secret, (&native, 0));
    check("learned", (&learned, Native, false), &[NoPluginAuth], &secret, (&native, 0));
    check("learned", (&learned, Native, false), &[PrefersSha2], &secret, (&fast, 1));

    let hash = known(None, Some(b"pw"));
    check("hash", (&hash, Native, false), &native_first, &secret, (&by_hash, 0));
    check("hash", (&hash, Native, true), &[PrefersSha2, PrefersEd25519], &secret, (&full, 2));

    let other = known(None, Some(b"other"));
    check("other", (&other, Native, false), &native_first, &secret, (&wrong, 0));
}

#[test]
fn empty_passwords() {
    let end = End::In(CredentialSecret::Empty, LoginPath::Empty);
    let empty = password(b"");
    for known in [known(None, None), known(Some(b"pw"), None), known(None, Some(b"pw"))] {
        for (greeting, direct, asked) in [
            (CachingSha2, [FollowsGreeting, PrefersSha2], [AlwaysNative, PrefersNative]),
            (Native, [FollowsGreeting, AlwaysNative], [PrefersSha2, PrefersEd25519]),
        ] {
            let at = (&known, greeting, false);
            check("empty", at, &direct, &empty, (&end, 0));
            check("empty", at, &[NoPluginAuth], &empty, (&end, 0));
            check("empty", at, &asked, &empty, (&end, 1));
        }
    }
}

#[test]
fn change_user_always_asks() {
    let secret = password(b"pw");
    let new = |known: &KnownAccount, client| {
        simulate(context(known, CachingSha2, false), client, &secret, true)
    };
    let full = || End::In(password(b"pw"), LoginPath::Full);
    let fast = || End::In(password(b"pw"), LoginPath::Fast);
    let by_hash = || End::In(stage1(b"pw"), LoginPath::Native);
    for client in PLUGGABLE {
        assert_eq!(new(&known(None, None), client), (full(), 3), "{client:?}");
        assert_eq!(new(&known(Some(b"pw"), None), client), (fast(), 1), "{client:?}");
    }
    let hash = known(None, Some(b"pw"));
    assert_eq!(new(&hash, AlwaysNative), (by_hash(), 1));
    assert_eq!(new(&hash, FollowsGreeting), (full(), 3));
    assert_eq!(new(&hash, NoPluginAuth), (by_hash(), 0));
    let refused = End::Out(RejectReason::NativeOnlyClient);
    assert_eq!(new(&known(None, None), NoPluginAuth), (refused, 0));
    let no_name = ClientAuth { plugin_auth: true, plugin: None, response: b"" };
    let hash = known(None, Some(b"pw"));
    let step = ClientLogin::start_change_user(context(&hash, CachingSha2, false), &no_name);
    let ClientLoginStep::Send { payload, .. } = step else { panic!("{step:?}") };
    assert!(payload.starts_with(b"\xfemysql_native_password\0"));
}

#[test]
fn a_client_that_knows_only_native_is_recognised_by_its_failure() {
    // Such a client cannot follow the switch, as with a real server.
    let secret = stage1(b"pw");
    let nothing = known(None, None);
    let (end, sent) = simulate(context(&nothing, Native, false), FollowsGreeting, &secret, false);
    assert_eq!((end, sent), (End::ClientGaveUp(AuthError::NeedsPassword(CachingSha2)), 1));
}

/// What lagwise sends, byte for byte.
#[test]
fn payloads() {
    let nothing = known(None, None);
    let auth = |plugin, response| ClientAuth { plugin_auth: true, plugin: Some(plugin), response };
    let sent = |step: ClientLoginStep<'static>| match step {
        ClientLoginStep::Send { payload, next } => (payload, next),
        other => panic!("{other:?}"),
    };
    let nothing: &'static KnownAccount = Box::leak(Box::new(nothing));
    let (payload, next) =
        sent(ClientLogin::start(context(nothing, CachingSha2, false), &auth(b"dialog", b"x")));
    assert_eq!(payload, b"\xfecaching_sha2_password\0ABCDEFGHIJ!%&()*+,-.\0");
    let (payload, next) = sent(next.handle(&[7; 32]));
    assert_eq!(payload, [1, 4]);
    let (payload, _) = sent(next.handle(&[2]));
    assert_eq!(payload, [&[1], shared_key().public_key_pem()].concat());
    for path in [
        LoginPath::Fast,
        LoginPath::Full,
        LoginPath::FullInClear,
        LoginPath::Native,
        LoginPath::Empty,
    ] {
        let expected = (path == LoginPath::Fast).then_some(&[1, 3][..]);
        assert_eq!(path.before_ok(), expected, "{path:?}");
    }
}

#[test]
fn first_responses_of_no_valid_form() {
    let nothing = known(Some(b"pw"), Some(b"pw"));
    let sha2_form = "a caching_sha2_password scramble has 32 bytes";
    let native_form = "a mysql_native_password scramble has 20 bytes";
    for (plugin, lengths, why) in
        [(SHA2, [1, 20, 31, 33, 300], sha2_form), (NATIVE, [1, 8, 19, 21, 32], native_form)]
    {
        for length in lengths {
            let response = vec![7; length];
            let auth = ClientAuth { plugin_auth: true, plugin: Some(plugin), response: &response };
            let step = ClientLogin::start(context(&nothing, CachingSha2, true), &auth);
            let ClientLoginStep::Reject(reason) = step else { panic!("{length}: {step:?}") };
            assert_eq!(reason, RejectReason::Malformed(why), "{length}");
        }
    }
    let auth = ClientAuth { plugin_auth: true, plugin: Some(SHA2), response: b"\0" };
    let step = ClientLogin::start(context(&nothing, CachingSha2, true), &auth);
    assert!(matches!(step, ClientLoginStep::Authenticated { path: LoginPath::Empty, .. }));
}

/// What may follow 0x04.
#[test]
fn answers_to_full_authentication() {
    let key = shared_key();
    let server = crate::auth::rsa_key::ServerPublicKey::from_pem(key.public_key_pem()).unwrap();
    let encrypt = || server.encrypt_password(b"pw", greeting_nonce().as_bytes()).unwrap();
    // A block is random, and one in 256 ends in NUL, as a password in clear does; so does its half.
    let is_no_text = |block: &Vec<u8>| block[127] != 0 && block[255] != 0;
    let block = std::iter::repeat_with(encrypt).find(is_no_text).unwrap();
    let elsewhere = server.encrypt_password(b"pw", switch_nonce().as_bytes()).unwrap();
    let empty_block = server.encrypt_password(b"", greeting_nonce().as_bytes()).unwrap();
    let long = [&[b'x'; MAX_PASSWORD_LENGTH][..], b"\0"].concat();
    let longer = [&b"x"[..], &long].concat();
    let full = |text: &[u8]| End::In(password(text), LoginPath::Full);
    let in_clear = |text: &[u8]| End::In(password(text), LoginPath::FullInClear);
    let as_long = [&[b'x'; 255][..], b"\0"].concat();
    let bad = |why| End::Out(RejectReason::Malformed(why));
    let no_block = || bad("the RSA-encrypted password cannot be decrypted");
    let no_nul = || bad("a password in clear ends in NUL");
    let none = || End::In(CredentialSecret::Empty, LoginPath::Empty);
    #[rustfmt::skip]
    let cases: Vec<(&str, bool, Vec<&[u8]>, End)> = vec![
        ("clear", true, vec![b"pw\0"], full(b"pw")),
        ("clear, odd bytes", true, vec![b"p\0\xff\0"], full(b"p\0\xff")),
        ("clear, one NUL", true, vec![b"\0"], none()),
        ("clear, no NUL", true, vec![b"pw"], no_nul()),
        ("clear, nothing", true, vec![b""], no_nul()),
        ("clear, long", true, vec![&long], full(&long[..MAX_PASSWORD_LENGTH])),
        ("clear, longer", true, vec![&longer], bad("the password is too long")),
        ("mysqlnd on a socket", true, vec![b"\x02", &block], full(b"pw")),
        ("clear after the key", true, vec![b"\x02", b"pw\0"], no_block()),
        ("block unasked on TLS", true, vec![&block], no_nul()),
        ("block after the key", false, vec![b"\x02", &block], full(b"pw")),
        ("block, key known", false, vec![&block], full(b"pw")),
        ("block of nothing", false, vec![&empty_block], none()),
        ("clear without TLS", false, vec![b"pw\0"], in_clear(b"pw")),
        ("clear without TLS, one NUL", false, vec![b"\0"], none()),
        ("clear without TLS, no NUL", false, vec![b"pw"], no_block()),
        ("clear without TLS, longer", false, vec![&longer], bad("the password is too long")),
        ("clear without TLS after the key", false, vec![b"\x02", b"pw\0"], no_block()),
        ("as long as a block", false, vec![&as_long], no_block()),
        ("key twice", false, vec![b"\x02", b"\x02"], no_block()),
        ("nothing", false, vec![b""], no_block()),
        ("half a block", false, vec![&block[..128]], no_block()),
    ];
    let nothing = known(None, None);
    for (what, secure, packets, expected) in cases {
        let auth = ClientAuth { plugin_auth: true, plugin: Some(SHA2), response: &[7; 32] };
        let mut step = ClientLogin::start(context(&nothing, CachingSha2, secure), &auth);
        for packet in packets {
            let ClientLoginStep::Send { next, .. } = step else { panic!("{what}: {step:?}") };
            step = next.handle(packet);
        }
        let end = match step {
            ClientLoginStep::Authenticated { secret, path } => End::In(secret, path),
            ClientLoginStep::Reject(reason) => End::Out(reason),
            ClientLoginStep::Send { .. } => panic!("{what}: not over"),
        };
        // A block that decrypts by chance to something with a NUL must not be "pw" either way.
        assert_eq!(end, expected, "{what}");
    }
    let auth = ClientAuth { plugin_auth: true, plugin: Some(SHA2), response: &[7; 32] };
    let step = ClientLogin::start(context(&nothing, CachingSha2, false), &auth);
    let ClientLoginStep::Send { next, .. } = step else { panic!("{step:?}") };
    if let ClientLoginStep::Authenticated { secret, .. } = next.handle(&elsewhere) {
        assert_ne!(secret, password(b"pw"), "a block recorded in another login");
    }
}

#[test]
fn debug_shows_no_secret() {
    let known = known(Some(b"hunter2"), Some(b"hunter2"));
    let text = format!("{:?}", context(&known, CachingSha2, false));
    assert!(text.contains("KnownAccount { password: true, native_hash: true }"), "{text}");
    assert!(!text.contains("104, 117, 110, 116"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is known and however the client begins: it gets in with its own secret, never
    /// with the one that lagwise knew, or is refused for a password that does not match the hash.
    #[test]
    fn nobody_gets_another_secret_than_the_own(
        text in proptest::collection::vec(1..=255_u8, 1..=213),
        known_text in proptest::collection::vec(1..=255_u8, 1..=213),
        learned in 0..3_u8,
        hashed in 0..3_u8,
        client in 0..6_usize,
        native_greeting in any::<bool>(),
        secure in any::<bool>(),
        change_user in any::<bool>(),
    ) {
        let pick = |choice| match choice { 0 => None, 1 => Some(&*text), _ => Some(&*known_text) };
        let known = known(pick(learned), pick(hashed));
        let client = [&PLUGGABLE[..], &[NoPluginAuth]].concat()[client];
        let greeting = if native_greeting { Native } else { CachingSha2 };
        let secret = password(&text);
        let (end, _) = simulate(context(&known, greeting, secure), client, &secret, change_user);
        match end {
            End::In(secret, LoginPath::Native) => {
                prop_assert!(secret == password(&text) || secret == stage1(&text));
            }
            End::In(secret, path) => {
                prop_assert_eq!(secret, password(&text));
                prop_assert!(path == LoginPath::Full || learned == 1 || text == known_text);
            }
            End::Out(RejectReason::WrongPassword) => prop_assert!(learned == 2 || hashed == 2),
            End::Out(reason) => {
                prop_assert_eq!(reason, RejectReason::NativeOnlyClient);
                prop_assert!(client == NoPluginAuth && learned == 0 && hashed == 0);
            }
            End::ClientGaveUp(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn no_packet_makes_it_panic(
        plugin in prop_oneof![Just(SHA2.to_vec()), Just(NATIVE.to_vec()), any::<Vec<u8>>()],
        packets in proptest::collection::vec(
            prop_oneof![any::<Vec<u8>>(), Just(vec![2]), Just(vec![7; 32]), Just(vec![7; 256])],
            1..6,
        ),
        plugin_auth in any::<bool>(),
        secure in any::<bool>(),
    ) {
        let known = known(Some(b"pw"), None);
        let auth = ClientAuth { plugin_auth, plugin: Some(&plugin), response: &packets[0] };
        let mut step = ClientLogin::start(context(&known, CachingSha2, secure), &auth);
        for packet in &packets {
            step = match step {
                ClientLoginStep::Send { next, .. } => next.handle(packet),
                over => over,
            };
        }
        if let ClientLoginStep::Authenticated { path, .. } = step {
            prop_assert!(path != LoginPath::Fast && path != LoginPath::Native);
        }
    }
}
