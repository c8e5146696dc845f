//! Logins that a server has accepted lately, so that the next ones are answered by lagwise alone.
//!
//! What a server said to a login it says again to the same login a moment later. So one login in
//! [`LIFETIME`] is proven to a server for each account, and the others are given the same answer: a
//! storm of short connections costs the primary one connect instead of thousands. Of several logins
//! that come at once and are not remembered, one is proven, and the others wait for what comes of it.
//!
//! All that a server's answer depends on is part of the [`Key`]: account and secret, default schema,
//! capabilities, character set, TLS, and which server judges. Pure but for the news of a proof's end:
//! time is an argument. Bounded; secrets are wiped from memory when dropped.
//!
//! Deliberately absent: how a login is proven ([`super::prove`]), and passwords for the fast path of
//! a login ([`super::credentials`]), which outlive a proof.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::servers::{Held, LoginRecord};
use crate::auth::Credential;
use crate::backend::error::codes;
use crate::protocol::ErrPacket;
use crate::protocol::flags::{Capabilities, StatusFlags};

/// How long a server's answer to a login is given again, from when the server was asked. It is how
/// long an old password or a dropped account may still be let in: 10 s is the promise.
pub const LIFETIME: Duration = Duration::from_secs(10);

/// Accounts that are remembered. The oldest proof makes room.
const MAX_ACCOUNTS: usize = 10_000;

/// Proofs that are remembered of one account: it may log in with several schemas, character sets and
/// capabilities. The oldest makes room.
const MAX_OF_ACCOUNT: usize = 32;

/// All that a server's answer to a login depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Account and secret.
    credential: Arc<Credential>,
    /// Of the client's, those that matter to a server.
    capabilities: Capabilities,
    /// Collation id, low byte.
    charset: u8,
    /// The client uses TLS, and so does lagwise for it: an account may demand it.
    client_tls: bool,
    /// Default schema; empty for none.
    schema: Box<[u8]>,
    judge: Judge,
}

/// Who decides about a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The primary, by its name.
    Primary(String),
    /// Any of the replicas with this tag, or without one.
    Replicas(Option<Arc<str>>),
}

impl Key {
    /// The key of a login.
    pub fn of(login: &LoginRecord, schema: Option<&[u8]>, judge: Judge) -> Self {
        Self {
            credential: Arc::clone(&login.credential),
            capabilities: login.capabilities & Capabilities::SEMANTIC,
            charset: login.charset,
            client_tls: login.client_tls,
            schema: schema.unwrap_or_default().into(),
            judge,
        }
    }

    /// Whether the answer may be given again. A client that can handle an expired password may have
    /// been let in to do nothing but change it.
    fn may_be_remembered(&self) -> bool {
        !self.capabilities.contains(Capabilities::CAN_HANDLE_EXPIRED_PASSWORDS)
    }
}

/// What a server said to a login that it accepted, and how a session begins there.
#[derive(Debug, Default)]
pub struct Welcome {
    /// Account and secret: one copy for all sessions that begin with it.
    pub credential: Option<Arc<Credential>>,
    /// The payload of its OK packet.
    pub ok: Vec<u8>,
    /// Status flags after the login.
    pub status: StatusFlags,
    /// What it reported when the trackers were turned on.
    pub initial_state: Vec<u8>,
    /// It is a MariaDB.
    pub is_mariadb: bool,
    /// Its version, as in version comments.
    pub version_number: u32,
}

impl Welcome {
    /// What was said to this login on a connection that has just been opened.
    pub fn of(held: &mut Held, login: &LoginRecord) -> Self {
        let ok = held.guard.take_login_ok();
        let facts = held.guard.facts();
        Self {
            credential: Some(Arc::clone(&login.credential)),
            ok,
            status: held.guard.status,
            initial_state: held.guard.initial_state().to_vec(),
            is_mariadb: facts.is_mariadb,
            version_number: facts.version_number(),
        }
    }
}

/// Why a login was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told.
    pub err: ErrPacket,
    /// It is a server's own judgement.
    pub by_server: bool,
}

/// Errors of a login that say nothing of whether account and secret are right.
const NOT_ABOUT_ACCOUNT: [u16; 6] = [
    codes::CON_COUNT,
    1044, // ER_DBACCESS_DENIED_ERROR
    1049, // ER_BAD_DB_ERROR
    1129, // ER_HOST_IS_BLOCKED
    1203, // ER_TOO_MANY_USER_CONNECTIONS
    1226, // ER_USER_LIMIT_REACHED
];

/// ER_ACCESS_DENIED_ERROR and ER_ACCESS_DENIED_NO_PASSWORD_ERROR.
const WRONG_PASSWORD: [u16; 2] = [codes::ACCESS_DENIED, 1698];

impl Refusal {
    /// Whether the server does not let the account in with this secret any more: it is wrong, expired,
    /// locked or gone.
    pub fn is_about_account(&self) -> bool {
        self.by_server && !NOT_ABOUT_ACCOUNT.contains(&self.err.code)
    }

    /// Whether it may have been a guess.
    pub fn is_wrong_password(&self) -> bool {
        self.by_server && WRONG_PASSWORD.contains(&self.err.code)
    }
}

/// What came of a proof.
pub type Outcome = Result<Arc<Welcome>, Refusal>;

/// What a login has to do.
#[derive(Debug)]
pub enum Next {
    /// Nothing: a server said this lately.
    Remembered(Arc<Welcome>),
    /// Log in to a server, and say what came of it.
    Prove(Ticket),
    /// Wait for another login's proof. If that is given up, ask again.
    Wait(watch::Receiver<Option<Outcome>>),
}

#[derive(Debug)]
struct Proof {
    key: Key,
    asked_at: Instant,
    welcome: Arc<Welcome>,
}

#[derive(Debug)]
struct Flight {
    key: Key,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// Of one user name.
#[derive(Debug, Default)]
struct Account {
    proofs: Vec<Proof>,
    flights: Vec<Flight>,
}

/// Proofs by user name.
#[derive(Debug, Default)]
pub struct Proofs(Mutex<HashMap<Vec<u8>, Account>>);

impl Proofs {
    fn accounts(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a login with this key has to do at `now`.
    pub fn next(self: &Arc<Self>, key: &Key, now: Instant) -> Next {
        let mut accounts = self.accounts();
        let account = accounts.entry(key.credential.user.clone()).or_default();
        let proof = account.proofs.iter().find(|proof| proof.key == *key);
        if let Some(proof) = proof.filter(|proof| proof.is_valid(now)) {
            return Next::Remembered(Arc::clone(&proof.welcome));
        }
        if let Some(flight) = account.flights.iter().find(|flight| flight.key == *key) {
            return Next::Wait(flight.outcome.clone());
        }
        let (sender, outcome) = watch::channel(None);
        account.flights.push(Flight { key: key.clone(), outcome });
        Next::Prove(Ticket { proofs: Arc::clone(self), key: key.clone(), sender })
    }

    /// A server that was asked at `asked_at` accepted a login.
    fn proven(&self, key: &Key, welcome: Arc<Welcome>, asked_at: Instant) {
        if !key.may_be_remembered() {
            return;
        }
        let mut accounts = self.accounts();
        let account = accounts.entry(key.credential.user.clone()).or_default();
        account.proofs.retain(|proof| proof.key != *key && proof.is_valid(asked_at));
        if account.proofs.len() >= MAX_OF_ACCOUNT {
            account.proofs.remove(0);
        }
        account.proofs.push(Proof { key: key.clone(), asked_at, welcome });
        if accounts.len() > MAX_ACCOUNTS {
            make_room(&mut accounts, asked_at);
        }
    }

    /// A server refused this secret, or the account is gone.
    pub fn forget(&self, credential: &Credential) {
        let mut accounts = self.accounts();
        let Some(account) = accounts.get_mut(&credential.user) else { return };
        account.proofs.retain(|proof| *proof.key.credential != *credential);
        if account.is_empty() {
            accounts.remove(&credential.user);
        }
    }

    /// Forgets all proofs: other servers may judge from now on.
    pub fn clear(&self) {
        self.accounts().retain(|_, account| {
            account.proofs.clear();
            !account.is_empty()
        });
    }

    fn end_flight(&self, key: &Key) {
        let mut accounts = self.accounts();
        let Some(account) = accounts.get_mut(&key.credential.user) else { return };
        account.flights.retain(|flight| flight.key != *key);
        if account.is_empty() {
            accounts.remove(&key.credential.user);
        }
    }
}

impl Proof {
    fn is_valid(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.asked_at) < LIFETIME
    }
}

impl Account {
    fn is_empty(&self) -> bool {
        self.proofs.is_empty() && self.flights.is_empty()
    }
}

/// Drops what is no longer valid, and of the rest the account that was proven longest ago.
fn make_room(accounts: &mut HashMap<Vec<u8>, Account>, now: Instant) {
    accounts.retain(|_, account| {
        account.proofs.retain(|proof| proof.is_valid(now));
        !account.is_empty()
    });
    if accounts.len() <= MAX_ACCOUNTS {
        return;
    }
    let last = |account: &Account| account.proofs.last().map(|proof| proof.asked_at);
    let idle = accounts.iter().filter(|(_, account)| account.flights.is_empty());
    let oldest = idle.min_by_key(|(_, account)| last(account)).map(|(user, _)| user.clone());
    oldest.and_then(|user| accounts.remove(&user));
}

/// The right, and the duty, to prove a login that others may wait for. Dropped, one of those gets it.
#[derive(Debug)]
pub struct Ticket {
    proofs: Arc<Proofs>,
    key: Key,
    sender: watch::Sender<Option<Outcome>>,
}

impl Ticket {
    /// Says what came of it. What the server that judges said, when asked at `asked_at`, is
    /// remembered; without that, it is for those who wait alone.
    pub fn finish(self, outcome: Outcome, asked_at: Option<Instant>) {
        match (&outcome, asked_at) {
            (Ok(welcome), Some(asked_at)) => {
                self.proofs.proven(&self.key, Arc::clone(welcome), asked_at);
            }
            (Err(refusal), _) if refusal.is_about_account() => {
                self.proofs.forget(&self.key.credential);
            }
            _ => {}
        }
        self.sender.send_replace(Some(outcome));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.proofs.end_flight(&self.key);
    }
}

#[cfg(test)]
mod tests;
