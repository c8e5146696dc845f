//! Logins that are remembered, shared, and forgotten.

use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::*;
use crate::auth::CredentialSecret;

fn login(user: &str, password: &str) -> LoginRecord {
    let password = Zeroizing::new(password.as_bytes().to_vec());
    let secret = CredentialSecret::from_password(password);
    LoginRecord {
        credential: Arc::new(Credential { user: user.into(), secret, client: None }),
        capabilities: Capabilities::FOUND_ROWS | Capabilities::SESSION_TRACK,
        charset: 45,
        attributes: None,
        client_tls: false,
    }
}

fn key(user: &str, password: &str) -> Key {
    Key::of(&login(user, password), Some(b"shop"), Judge::Primary("db1".into()))
}

fn refused(code: u16) -> Outcome {
    Err(Refusal { err: ErrPacket::new(code, b"28000", "no"), by_server: true })
}

/// Has a login proven by a server that was asked at `at`.
fn prove(proofs: &Arc<Proofs>, key: &Key, at: Instant) {
    let Next::Prove(ticket) = proofs.next(key, at) else { panic!("not to be proven: {key:?}") };
    ticket.finish(Ok(Arc::default()), Some(at));
}

fn is_remembered(proofs: &Arc<Proofs>, key: &Key, at: Instant) -> bool {
    matches!(proofs.next(key, at), Next::Remembered(_))
}

#[test]
fn a_proof_is_good_for_ten_seconds_from_when_the_server_was_asked() {
    let (proofs, start) = (Arc::<Proofs>::default(), Instant::now());
    let key = key("app", "secret");
    prove(&proofs, &key, start);
    let check = |millis, want| {
        let at = start + Duration::from_millis(millis);
        assert_eq!(is_remembered(&proofs, &key, at), want, "after {millis} ms");
    };
    check(0, true);
    check(9_999, true);
    check(10_000, false);
    check(60_000, false);
}

#[test]
fn all_that_the_answer_depends_on_is_compared() {
    let (proofs, now) = (Arc::<Proofs>::default(), Instant::now());
    let judge = || Judge::Primary("db1".into());
    prove(&proofs, &key("app", "secret"), now);
    let check = |name: &str, want, key: Key| {
        assert_eq!(is_remembered(&proofs, &key, now), want, "{name}");
    };
    let with = |change: fn(&mut LoginRecord)| {
        let mut login = login("app", "secret");
        change(&mut login);
        Key::of(&login, Some(b"shop"), judge())
    };
    check("the same", true, with(|_| {}));
    check("attributes", true, with(|login| login.attributes = Some(b"x"[..].into())));
    check("what only the client's side sees", true, {
        with(|login| login.capabilities.remove(Capabilities::SESSION_TRACK))
    });
    check("FOUND_ROWS", false, with(|login| login.capabilities = Capabilities::SESSION_TRACK));
    check("character set", false, with(|login| login.charset = 8));
    check("TLS", false, with(|login| login.client_tls = true));
    check("user", false, key("app2", "secret"));
    check("password", false, key("app", "Secret"));
    check("no password", false, key("app", ""));
    let same = login("app", "secret");
    check("no schema", false, Key::of(&same, None, judge()));
    check("schema", false, Key::of(&same, Some(b"Shop"), judge()));
    check("primary", false, Key::of(&same, Some(b"shop"), Judge::Primary("db2".into())));
    check("kept", false, Key::of(&same, Some(b"shop"), Judge::Replicas(None)));
}

#[test]
fn a_refusal_of_the_account_forgets_its_secret_and_no_other() {
    let now = Instant::now();
    let check = |code, user: &str, password: &str, want| {
        let proofs = Arc::<Proofs>::default();
        let known = key("app", "secret");
        prove(&proofs, &known, now);
        let other = Key::of(&login(user, password), None, Judge::Replicas(None));
        let Next::Prove(ticket) = proofs.next(&other, now) else { panic!("known: {other:?}") };
        ticket.finish(refused(code), Some(now));
        let name = format!("{code} to {user}, {password}");
        assert_eq!(is_remembered(&proofs, &known, now), want, "{name}");
        assert!(!is_remembered(&proofs, &other, now), "{name}");
    };
    check(1045, "app", "secret", false);
    check(1862, "app", "secret", false);
    check(3118, "app", "secret", false);
    check(1045, "app", "guess", true);
    check(1045, "other", "secret", true);
    for code in NOT_ABOUT_ACCOUNT {
        check(code, "app", "secret", true);
    }
}

#[tokio::test]
async fn logins_that_come_at_once_share_one_proof() {
    let (proofs, now) = (Arc::<Proofs>::default(), Instant::now());
    let key = key("app", "secret");
    for outcome in [refused(1045), Ok(Arc::default())] {
        let Next::Prove(ticket) = proofs.next(&key, now) else { panic!("known") };
        let Next::Wait(mut first) = proofs.next(&key, now) else { panic!("not shared") };
        let Next::Wait(mut second) = proofs.next(&key, now) else { panic!("not shared") };
        let is_ok = outcome.is_ok();
        ticket.finish(outcome, Some(now));
        for waiting in [&mut first, &mut second] {
            let told = waiting.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            assert_eq!(told.is_ok(), is_ok);
        }
    }
    assert!(is_remembered(&proofs, &key, now));
}

#[tokio::test]
async fn a_proof_that_is_given_up_passes_to_one_that_waits() {
    let (proofs, now) = (Arc::<Proofs>::default(), Instant::now());
    let key = key("app", "secret");
    let Next::Prove(ticket) = proofs.next(&key, now) else { panic!("known") };
    let Next::Wait(mut outcome) = proofs.next(&key, now) else { panic!("not shared") };
    drop(ticket);
    assert!(outcome.wait_for(Option::is_some).await.is_err());
    assert!(matches!(proofs.next(&key, now), Next::Prove(_)));
    assert!(proofs.accounts().is_empty(), "nothing is kept of what came to nothing");
}

#[test]
fn what_is_not_remembered() {
    let (proofs, now) = (Arc::<Proofs>::default(), Instant::now());
    let mut expired = login("app", "secret");
    expired.capabilities |= Capabilities::CAN_HANDLE_EXPIRED_PASSWORDS;
    let expired = Key::of(&expired, None, Judge::Replicas(None));
    prove(&proofs, &expired, now);
    assert!(!is_remembered(&proofs, &expired, now));
    let key = key("app", "secret");
    let Next::Prove(ticket) = proofs.next(&key, now) else { panic!("known") };
    ticket.finish(Ok(Arc::default()), None);
    assert!(!is_remembered(&proofs, &key, now), "not the judge's word");
    prove(&proofs, &key, now);
    proofs.clear();
    assert!(!is_remembered(&proofs, &key, now), "other servers may judge");
}

#[test]
fn the_oldest_makes_room() {
    let (proofs, start) = (Arc::<Proofs>::default(), Instant::now());
    let at = |micros| start + Duration::from_micros(micros);
    for index in 0..=MAX_ACCOUNTS as u64 {
        prove(&proofs, &key(&index.to_string(), "pw"), at(index));
    }
    let end = at(MAX_ACCOUNTS as u64);
    assert_eq!(proofs.accounts().len(), MAX_ACCOUNTS);
    assert!(!is_remembered(&proofs, &key("0", "pw"), end));
    assert!(is_remembered(&proofs, &key("1", "pw"), end));
    for index in 0..=MAX_OF_ACCOUNT {
        prove(&proofs, &key("1", &index.to_string()), end);
    }
    assert!(!is_remembered(&proofs, &key("1", "pw"), end));
    assert!(is_remembered(&proofs, &key("1", "1"), end));
    prove(&proofs, &key("late", "pw"), end + LIFETIME);
    assert_eq!(proofs.accounts().len(), 1, "what is over goes when room is needed");
}
