//! Both halves of a login against a peer that says anything at all: they end after a few packets,
//! and nobody gets in who has not shown a password.
#![no_main]

use std::sync::LazyLock;

use lagwise::auth::{
    ClientAuth, ClientLogin, ClientLoginStep, CredentialSecret, KnownAccount, LoginContext,
    LoginPath, Nonce, Plugin, RsaKey, ServerLogin, ServerLoginStep,
};
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

static RSA_KEY: LazyLock<RsaKey> = LazyLock::new(|| RsaKey::generate().unwrap());

/// More packets than any login takes.
const MAX_STEPS: usize = 10;

fuzz_target!(|data: &[u8]| {
    let Some((&how, rest)) = data.split_first() else { return };
    let mut packets = rest.split(|byte| *byte == b'|');
    if how & 1 == 0 { client(how, &mut packets) } else { server(how, &mut packets) }
});

fn client<'a>(how: u8, packets: &mut impl Iterator<Item = &'a [u8]>) {
    let known = match how & 2 {
        0 => KnownAccount::default(),
        _ => KnownAccount::default()
            .with_password(Zeroizing::new(b"a password nobody guesses".to_vec()))
            .with_native_hash([7; 20]),
    };
    let context = LoginContext {
        greeting_plugin: if how & 4 == 0 { Plugin::CachingSha2 } else { Plugin::Native },
        greeting_nonce: Nonce::from_random([1; 20]),
        switch_nonce: Nonce::from_random([2; 20]),
        secure_channel: how & 8 != 0,
        known: &known,
        rsa_key: &RSA_KEY,
    };
    let auth = ClientAuth {
        plugin_auth: how & 16 != 0,
        plugin: packets.next(),
        response: packets.next().unwrap_or_default(),
    };
    let mut step = if how & 32 == 0 {
        ClientLogin::start(context, &auth)
    } else {
        ClientLogin::start_change_user(context, &auth)
    };
    for _ in 0..MAX_STEPS {
        match step {
            ClientLoginStep::Send { next, .. } => {
                let Some(packet) = packets.next() else { return };
                step = next.handle(packet);
            }
            ClientLoginStep::Authenticated { secret, path } => {
                // What is known of the account is not to be had without showing it.
                assert!(path != LoginPath::Fast && path != LoginPath::Native);
                assert_eq!(secret == CredentialSecret::Empty, path == LoginPath::Empty);
                return;
            }
            ClientLoginStep::Reject(_) => return,
        }
    }
    panic!("a login without end");
}

fn server<'a>(how: u8, packets: &mut impl Iterator<Item = &'a [u8]>) {
    let secret = match how & 6 {
        0 => CredentialSecret::Empty,
        2 => CredentialSecret::NativeStage1(Zeroizing::new([9; 20])),
        _ => CredentialSecret::Password(Zeroizing::new(b"correct horse".to_vec())),
    };
    let secure = how & 8 != 0;
    let plugin = packets.next().unwrap_or_default();
    let nonce = packets.next().unwrap_or_default();
    let Ok((first, mut login)) = ServerLogin::start(&secret, plugin, nonce, secure) else { return };
    let clear = |data: &[u8]| data.windows(13).any(|window| window == b"correct horse");
    assert!(secure || !clear(&first.data));
    for _ in 0..MAX_STEPS {
        let Some(packet) = packets.next() else { return };
        match login.handle(packet) {
            Ok(ServerLoginStep::Send { payload, next }) => {
                assert!(secure || !clear(&payload), "a password in clear on an open network");
                login = next;
            }
            Ok(ServerLoginStep::Wait(next)) => login = next,
            Ok(ServerLoginStep::Done) | Err(_) => return,
        }
    }
}
