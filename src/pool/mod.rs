//! Connections of one server: taking one, and giving it back.
//!
//! In reading order:
//! - [`key`]: what makes connections exchangeable. [`limits`]: what a pool may do.
//! - [`idle`], [`queue`]: who gets which connection, who waits, when one is opened or closed; with
//!   [`circuit`], when a server that refuses is asked again, and `list`. Pure.
//! - `spot`: where one is left from statement to statement with no lock of the pool's.
//! - [`guard`]: a connection that is held, and the ticket of one that was given back.
//! - [`checkout`]: taking one. [`open`]: opening them. [`maintain`]: what time does to them, and
//!   `upkeep`, the pure part of that.
//! - [`counters`]: for metrics.
//!
//! A connection that is given back is clean: it runs nothing, and says itself what its state is. What
//! a session leaves on it is taken away by [`Guard::recycle`], or is known to be none.
//!
//! Each worker thread has an event loop of its own. A connection that is taken on another thread than
//! before moves to that one's loop, so that a query crosses no thread.
//!
//! Deliberately absent: which server to take one of ([`crate::cluster`]), and bringing it in line
//! with a session ([`crate::session`]).

pub mod checkout;
pub mod circuit;
pub mod counters;
pub mod guard;
pub mod idle;
pub mod key;
pub mod limits;
mod list;
pub mod maintain;
pub mod open;
pub mod queue;
mod spot;
mod upkeep;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::backend::{self, Endpoint};
use checkout::{Sender, Served};
pub use counters::{Counters, Outcome};
use guard::Seat;
pub use guard::{Guard, Ticket};
pub use idle::Wish;
use idle::{Given, Key, Place, Store};
pub use key::{LoginKey, LoginRecord};
pub use limits::Limits;
use queue::{Room, Work};

/// Why there is no connection to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server or the network.
    #[error(transparent)]
    Backend(#[from] backend::Error),
    /// The limit of connections to this server is reached.
    #[error("all {0} connections to the server are in use (max_connections)")]
    Exhausted(usize),
    /// The limit of connections of this account to this server is reached.
    #[error("all {0} connections of the account are in use (max_connections_per_account)")]
    AccountExhausted(usize),
    /// The server was taken out.
    #[error("the server was taken out of the configuration")]
    Closed,
}

/// A connection as the pool sees it.
pub trait Pooled: Debug + Send + 'static {
    /// False once the other side has closed it or said something unasked. Must not wait.
    fn is_usable(&mut self, now: Instant) -> bool;

    /// The state that it is in.
    fn wish(&self) -> Wish;

    /// When it was opened.
    fn opened_at(&self) -> Instant;

    /// Since when nothing has run on it.
    fn ready_since(&self) -> Instant;

    /// Moves to the event loop of the calling thread.
    ///
    /// # Errors
    /// The system refuses; the connection is then of no use.
    fn come_here(&mut self) -> std::io::Result<()>;

    /// Closes it, and returns when the other side has done so too, or after a short while: so that
    /// one that is opened in its place does not exceed the server's own limit.
    fn end(self) -> impl Future<Output = ()> + Send;
}

/// What opens connections.
pub trait Opener: Debug + Send + Sync + Sized + 'static {
    /// What makes them exchangeable.
    type Key: Key + Debug + Send + Sync + 'static;
    /// What is opened. Dropping it closes it.
    type Connection: Pooled;

    /// Opens one, after `instead_of` was closed; or makes that, which nobody uses, into it.
    fn open(
        &self,
        key: &Self::Key,
        instead_of: Option<Self::Connection>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Self::Connection, backend::Error>> + Send;
}

/// Opens connections to a server.
#[derive(Debug)]
pub struct ToServer(Endpoint);

/// The connections of one server.
#[derive(Debug)]
pub struct Pool<O: Opener = ToServer> {
    opener: O,
    store: Mutex<Locked<O>>,
    /// Somebody waits, or nothing is kept: who has done with a connection gives it back to the pool
    /// itself. Written seldom, for all threads read it at each statement.
    is_wanted: AtomicBool,
    counters: Counters,
}

/// What the lock protects.
type Locked<O> = Store<<O as Opener>::Key, <O as Opener>::Connection, Sender<O>>;

/// What is to be known of a connection that was left in its spot.
fn describe<C: Pooled>(connection: &C) -> (Wish, Instant) {
    (connection.wish(), connection.ready_since())
}

/// What a pool does at this moment, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Connections that are open or being opened.
    pub open: usize,
    /// Connections that nobody uses.
    pub idle: usize,
    /// Those who wait for one.
    pub waiting: usize,
    /// The server refuses connections, or some account's, and is left alone for now.
    pub is_circuit_open: bool,
}

impl Pool {
    /// A pool without connections to that server.
    pub fn new(endpoint: Endpoint, limits: Limits) -> Arc<Self> {
        Self::with(ToServer(endpoint), limits)
    }

    /// How the server is reached; the monitor connects on its own, beside the limits.
    pub fn endpoint(&self) -> &Endpoint {
        &self.opener.0
    }
}

impl<O: Opener> Pool<O> {
    /// A pool without connections.
    pub fn with(opener: O, limits: Limits) -> Arc<Self> {
        let store = Mutex::new(Store::new(limits));
        let is_wanted = AtomicBool::new(false);
        Arc::new(Self { opener, store, is_wanted, counters: Counters::default() })
    }

    /// Connections that are open or being opened for sessions.
    pub fn open(&self) -> usize {
        self.lock().open()
    }

    /// The limit, if every connection that there may be is in use: whoever wants one must wait until
    /// it is given back.
    pub fn exhausted(&self) -> Option<usize> {
        let max = self.limits().max_connections;
        // Collected only where it matters: the sessions have to ask the pool for what was.
        if max == 0 || self.open() < max {
            return None;
        }
        let store = self.collected();
        (store.idle() == 0 && store.open() >= max).then_some(max)
    }

    /// What it does now.
    pub fn levels(&self) -> Levels {
        let store = self.collected();
        Levels {
            open: store.open(),
            idle: store.idle(),
            waiting: store.waiting(),
            is_circuit_open: store.is_circuit_open(),
        }
    }

    /// What it has done.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Checkouts by outcome, with its name.
    pub fn checkouts(&self) -> Vec<(&'static str, u64)> {
        let own = self.lock().own_taken();
        [(Outcome::OWN, own)].into_iter().chain(self.counters.checkouts()).collect()
    }

    /// What it may do.
    pub fn limits(&self) -> Limits {
        self.lock().limits()
    }

    /// Changes what it may do; connections above a limit stay until they are given back.
    pub fn set_limits(self: &Arc<Self>, limits: Limits) {
        {
            let mut store = self.lock();
            store.set_limits(limits);
            self.want(&mut store);
        }
        self.pump();
    }

    /// Keeps nothing any more: idle connections are closed now, and others when they are given back.
    pub fn close(self: &Arc<Self>) {
        {
            let mut store = self.lock();
            store.close();
            self.note_wanted(&store);
        }
        self.clear();
    }

    /// Keeps connections again.
    pub fn reopen(self: &Arc<Self>) {
        let mut store = self.lock();
        store.reopen();
        self.note_wanted(&store);
    }

    /// Closes idle connections, whose server is thought to be gone.
    pub fn clear(self: &Arc<Self>) {
        let gone = self.collected().drain(|_| true);
        self.close_all(gone);
    }

    /// Closes idle connections of keys that `is_gone` names: of an account whose password has changed,
    /// say.
    pub fn clear_keys(self: &Arc<Self>, is_gone: impl FnMut(&O::Key) -> bool) {
        let gone = self.collected().drain(is_gone);
        self.close_all(gone);
    }

    /// Closes what was taken out.
    fn close_all(self: &Arc<Self>, gone: Vec<(u32, O::Connection)>) {
        for (slot, connection) in gone {
            Guard::new(connection, Seat::new(self, slot)).close();
        }
    }

    fn opener(&self) -> &O {
        &self.opener
    }

    fn lock(&self) -> MutexGuard<'_, Locked<O>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, with what was left in spots.
    fn collected(&self) -> MutexGuard<'_, Locked<O>> {
        let mut store = self.lock();
        store.collect(describe);
        store
    }

    fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Acquire)
    }

    /// Says that a connection is wanted, or that none is kept, and then collects what was left before: see
    /// `spot`.
    fn want(&self, store: &mut Locked<O>) {
        let was_wanted = self.is_wanted();
        self.note_wanted(store);
        if !was_wanted {
            store.collect(describe);
        }
    }

    /// Whoever has done with a connection must know whether it is wanted. Under the lock, so that what
    /// was noted last is so.
    fn note_wanted(&self, store: &Locked<O>) {
        let is_wanted = store.waiting() > 0 || store.is_closed() || store.is_over();
        if self.is_wanted.load(Ordering::Relaxed) != is_wanted {
            self.is_wanted.store(is_wanted, Ordering::Release);
        }
    }

    /// When a reset that begins now must have ended; `None` if nothing is kept any more.
    fn reset_deadline(&self) -> Option<Instant> {
        let store = self.lock();
        (!store.is_closed()).then(|| Instant::now() + store.limits().connect_timeout)
    }

    /// Takes back a clean connection, or one that was `opened`. Returns its place if it is kept.
    fn give_back(
        self: &Arc<Self>,
        slot: u32,
        connection: O::Connection,
        is_owned: bool,
        opened: Option<Outcome>,
    ) -> Option<Place> {
        let mut connection = connection;
        let (place, work) = loop {
            let wish = connection.wish();
            let (given, work) = {
                let mut store = self.lock();
                // Nobody waits, mostly, and what time it is was asked just now.
                let now = match store.waiting() {
                    0 => connection.ready_since(),
                    _ => Instant::now(),
                };
                let given = store.give(slot, connection, wish, is_owned, now);
                // At once: a place that is free is anybody's, and its connection is not closed yet.
                let work = (store.waiting() > 0).then(|| store.pump(now, || fastrand::u64(..)));
                self.note_wanted(&store);
                (given, work)
            };
            if let (Given::Parked(place), None) = (&given, &work) {
                return Some(*place);
            }
            let work = work.unwrap_or_default();
            match given {
                Given::Parked(place) => break (Some(place), work),
                Given::Retire(old) => {
                    Guard::new(old, Seat::new(self, slot)).close();
                    break (None, work);
                }
                Given::Close(old) => break (None, work.instead_of(old)),
                Given::Handed(waiter, handed) => {
                    let outcome = opened.unwrap_or(Outcome::Waited);
                    match self.hand_over(waiter, slot, handed, outcome) {
                        None => break (None, work),
                        // Gone away in this moment: the next one.
                        Some(back) => {
                            self.carry_out(work);
                            connection = back;
                        }
                    }
                }
            }
        };
        self.carry_out(work);
        place
    }

    /// Gives a connection to a waiter; returns it if that has gone away.
    fn hand_over(
        self: &Arc<Self>,
        waiter: Sender<O>,
        slot: u32,
        connection: O::Connection,
        outcome: Outcome,
    ) -> Option<O::Connection> {
        let guard = Guard::new(connection, Seat::new(self, slot));
        match waiter.send(Ok(Served::Connection(guard, outcome))) {
            Err(Ok(Served::Connection(guard, _))) => Some(guard.into_connection()),
            _ => None,
        }
    }

    /// The connection of a place is gone.
    fn settle(self: &Arc<Self>, slot: u32) {
        let others_wait = {
            let mut store = self.lock();
            store.settle(slot);
            store.waiting() > 0
        };
        if others_wait {
            self.pump();
        }
    }

    /// Does what can be done for those who wait.
    fn pump(self: &Arc<Self>) {
        let work = {
            let mut store = self.lock();
            let work = store.pump(Instant::now(), || fastrand::u64(..));
            self.note_wanted(&store);
            work
        };
        self.carry_out(work);
    }

    fn carry_out(self: &Arc<Self>, work: Work<O::Key, O::Connection, Sender<O>>) {
        let Work { open, close, handed, rooms } = work;
        drop(close);
        for (waiter, slot, connection) in handed {
            if let Some(back) = self.hand_over(waiter, slot, connection, Outcome::Waited) {
                self.give_back(slot, back, false, None);
            }
        }
        for (waiter, Room { slot, instead_of }) in rooms {
            // A waiter that has gone away drops the place again.
            let _ = waiter.send(Ok(Served::Room(Seat::new(self, slot), instead_of)));
        }
        for order in open {
            self.start_opening(order);
        }
    }
}
