//! Wrong passwords: how long a login has to wait because of those that came before it.
//!
//! A wrong password costs a server a login, for only a server knows that it is wrong. So after a few
//! of one account from one address, each further login of the two is held back before a server is
//! asked, for a time that doubles up to [`LONGEST`], and one waits for the other. An address that
//! fails with many accounts, as one that guesses user names does, waits with every account that it
//! has not logged in with. Nobody is locked out: the same account from elsewhere, another account
//! from the same address (a deploy with one wrong password) and a login that is remembered
//! ([`super::proofs`]) do not wait.
//!
//! Pure but for the turns: time is an argument. Bounded: who failed longest ago makes room.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;

/// Wrong passwords of one account from one address that cost nothing: people mistype.
const FREE: u32 = 3;

/// Accounts that fail from one address before all others wait there.
const FREE_ACCOUNTS: u32 = 10;

/// The first delay; each further failure doubles it.
const FIRST: Duration = Duration::from_millis(250);

/// The longest delay.
const LONGEST: Duration = Duration::from_secs(4);

/// A failure is forgotten after so long without another.
const MEMORY: Duration = Duration::from_secs(60);

/// Addresses that are remembered.
const MAX_ADDRESSES: usize = 10_000;

/// Accounts of one address that are remembered: those that failed, and as many that did not.
const MAX_ACCOUNTS: usize = 100;

/// Turns that are kept though nobody waits for them.
const MAX_IDLE_TURNS: usize = 1000;

/// Where a login comes from: an IPv4 address, an IPv6 network of 64 bits, which one host has for
/// itself, or a Unix socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin(Option<IpAddr>);

impl Origin {
    /// The origin of a client at this address; `None` for a Unix socket.
    pub fn of(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        }))
    }
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// What is known of one origin. It is remembered while it fails.
#[derive(Debug)]
struct Known {
    failed: HashMap<Vec<u8>, Failures>,
    /// Accounts that logged in since.
    good: Vec<Vec<u8>>,
    last: Instant,
}

impl Known {
    fn forget_old(&mut self, now: Instant) {
        self.failed.retain(|_, failures| is_recent(failures.last, now));
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < MEMORY
}

/// The delay after `failures` beyond the `free` ones.
fn delay(failures: u32, free: u32) -> Duration {
    match failures.checked_sub(free) {
        None | Some(0) => Duration::ZERO,
        Some(more) => FIRST.saturating_mul(1 << (more - 1).min(16)).min(LONGEST),
    }
}

type Turns = HashMap<(Origin, Vec<u8>), Arc<tokio::sync::Mutex<()>>>;

/// Wrong passwords by origin and user name.
#[derive(Debug, Default)]
pub struct Guesses {
    known: Mutex<HashMap<Origin, Known>>,
    turns: Mutex<Turns>,
}

impl Guesses {
    /// How long a login must be held back at `now`.
    pub fn delay(&self, origin: Origin, user: &[u8], now: Instant) -> Duration {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = known.get_mut(&origin) else { return Duration::ZERO };
        known.forget_old(now);
        let own = known.failed.get(user).map_or(0, |failures| failures.count);
        let of_account = delay(own, FREE);
        if known.good.iter().any(|good| good == user) {
            return of_account;
        }
        let accounts = u32::try_from(known.failed.len()).unwrap_or(u32::MAX);
        of_account.max(delay(accounts, FREE_ACCOUNTS))
    }

    /// A login failed for its password, or for want of such an account.
    pub fn failed(&self, origin: Origin, user: &[u8], now: Instant) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_ADDRESSES && !all.contains_key(&origin) {
            all.retain(|_, known| is_recent(known.last, now));
            if all.len() >= MAX_ADDRESSES {
                let oldest = all.iter().min_by_key(|(_, known)| known.last);
                let oldest = oldest.map(|(origin, _)| *origin);
                oldest.and_then(|origin| all.remove(&origin));
            }
        }
        let new = || Known { failed: HashMap::new(), good: Vec::new(), last: now };
        let known = all.entry(origin).or_insert_with(new);
        known.last = now;
        known.forget_old(now);
        if known.failed.len() >= MAX_ACCOUNTS && !known.failed.contains_key(user) {
            let oldest = known.failed.iter().min_by_key(|(_, failures)| failures.last);
            let oldest = oldest.map(|(user, _)| user.clone());
            oldest.and_then(|user| known.failed.remove(&user));
        }
        let failures =
            known.failed.entry(user.to_vec()).or_insert(Failures { count: 0, last: now });
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    /// A login succeeded.
    pub fn succeeded(&self, origin: Origin, user: &[u8], now: Instant) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = all.get_mut(&origin) else { return };
        known.failed.remove(user);
        known.forget_old(now);
        if known.failed.is_empty() {
            all.remove(&origin);
            return;
        }
        if known.good.iter().any(|good| good == user) {
            return;
        }
        if known.good.len() >= MAX_ACCOUNTS {
            known.good.remove(0);
        }
        known.good.push(user.to_vec());
    }

    /// The turn of a login that a server is to be asked about. Those of one account from one origin
    /// have it one after the other, in the order in which they came, until it is dropped.
    pub async fn turn(&self, origin: Origin, user: &[u8]) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() > MAX_IDLE_TURNS {
                turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            Arc::clone(turns.entry((origin, user.to_vec())).or_default())
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::of(Some([10, 0, 0, last].into()))
    }

    #[test]
    fn the_delay_grows_and_is_forgotten() {
        let (guesses, start) = (Guesses::default(), Instant::now());
        let here = origin(1);
        for want in [0, 0, 0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000] {
            let got = guesses.delay(here, b"app", start);
            assert_eq!(got, Duration::from_millis(want));
            guesses.failed(here, b"app", start);
        }
        for other in [&b"other"[..], b"App"] {
            assert_eq!(guesses.delay(here, other, start), Duration::ZERO, "another account");
        }
        assert_eq!(guesses.delay(origin(2), b"app", start), Duration::ZERO, "from elsewhere");
        let later = start + MEMORY - Duration::from_millis(1);
        assert_eq!(guesses.delay(here, b"app", later), LONGEST);
        assert_eq!(guesses.delay(here, b"app", start + MEMORY), Duration::ZERO);
    }

    #[test]
    fn success_clears_the_account_and_no_other() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for user in [b"a", b"b"] {
            (0..9).for_each(|_| guesses.failed(origin(1), user, now));
        }
        guesses.succeeded(origin(1), b"a", now);
        assert_eq!(guesses.delay(origin(1), b"a", now), Duration::ZERO);
        assert_eq!(guesses.delay(origin(1), b"b", now), LONGEST);
        guesses.succeeded(origin(1), b"b", now);
        assert!(guesses.known.lock().unwrap().is_empty());
    }

    #[test]
    fn an_address_that_tries_many_accounts_waits_with_those_that_it_has_not_proven() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for user in 0..=FREE_ACCOUNTS as u8 {
            assert_eq!(guesses.delay(origin(1), b"app", now), Duration::ZERO, "after {user}");
            guesses.failed(origin(1), &[user], now);
        }
        assert_eq!(guesses.delay(origin(1), b"app", now), FIRST);
        assert_eq!(guesses.delay(origin(2), b"app", now), Duration::ZERO);
        guesses.succeeded(origin(1), b"app", now);
        assert_eq!(guesses.delay(origin(1), b"app", now), Duration::ZERO);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (guesses, start) = (Guesses::default(), Instant::now());
        for index in 0..=MAX_ADDRESSES as u32 {
            let at = start + Duration::from_micros(u64::from(index));
            guesses.failed(Origin::of(Some(index.to_be_bytes().into())), b"app", at);
        }
        for index in 0..=MAX_ACCOUNTS as u32 {
            guesses.failed(origin(1), &index.to_be_bytes(), start);
            guesses.succeeded(origin(1), &(index + 1000).to_be_bytes(), start);
        }
        let known = guesses.known.lock().unwrap();
        assert_eq!(known.len(), MAX_ADDRESSES);
        assert_eq!(known[&origin(1)].failed.len(), MAX_ACCOUNTS);
        assert_eq!(known[&origin(1)].good.len(), MAX_ACCOUNTS);
    }

    #[test]
    fn where_a_login_comes_from() {
        let check = |one: &str, other: &str, want| {
            let of = |text: &str| Origin::of(Some(text.parse().unwrap()));
            assert_eq!(of(one) == of(other), want, "{one}, {other}");
        };
        check("10.0.0.1", "::ffff:10.0.0.1", true);
        check("10.0.0.1", "10.0.0.2", false);
        check("2001:db8::1", "2001:db8::ffff:0:0:2", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
        assert!(Origin::of(None) != origin(1));
    }

    #[tokio::test(start_paused = true)]
    async fn logins_of_one_account_from_one_origin_take_turns() {
        let guesses = Guesses::default();
        let first = guesses.turn(origin(1), b"app").await;
        let _other = guesses.turn(origin(1), b"other").await;
        let _elsewhere = guesses.turn(origin(2), b"app").await;
        let second = guesses.turn(origin(1), b"app");
        let mut second = std::pin::pin!(second);
        let wait = Duration::from_secs(60);
        assert!(tokio::time::timeout(wait, &mut second).await.is_err());
        drop(first);
        assert!(tokio::time::timeout(wait, second).await.is_ok());
    }
}
