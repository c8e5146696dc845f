//! Taking a connection: at once, or in line.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::counters::Outcome;
use super::guard::{Guard, Seat, Ticket};
use super::idle::Wish;
use super::queue::{Queued, Wanted};
use super::{Error, Opener, Pool, describe};
use crate::backend;

/// What a waiter gets.
#[derive(Debug)]
pub(super) enum Served<O: Opener> {
    /// A connection, which was opened for those who wait, or given back.
    Connection(Guard<O>, Outcome),
    /// A place for one that it opens itself, and what makes way for it.
    Room(Seat<O>, Option<O::Connection>),
}

/// Where a waiter is told.
pub(super) type Sender<O> = oneshot::Sender<Result<Served<O>, backend::Error>>;

/// Somebody in line; steps out when dropped.
struct Waiting<O: Opener> {
    pool: Arc<Pool<O>>,
    queued: Queued,
    receiver: oneshot::Receiver<Result<Served<O>, backend::Error>>,
}

impl<O: Opener> Drop for Waiting<O> {
    fn drop(&mut self) {
        if self.pool.lock().cancel(self.queued).is_none() {
            self.receiver.close();
            // Served in the moment of leaving: the connection is as good as it was.
            if let Ok(Ok(Served::Connection(guard, _))) = self.receiver.try_recv() {
                guard.release_for_all();
            }
        }
    }
}

impl<O: Opener> Pool<O> {
    /// A connection of this key: the session's own last one if it is still there (`own`), or the one
    /// that suits it best. While there is none, waits in line until `deadline`.
    ///
    /// The connection answers as far as can be known without asking; its state need not be the
    /// session's.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn checkout(
        self: &Arc<Self>,
        key: &O::Key,
        wish: Wish,
        own: Option<Ticket<O>>,
        deadline: Instant,
    ) -> Result<Guard<O>, Error> {
        if let Some(guard) = own.and_then(|own| self.take_own(key, wish, own)) {
            return Ok(guard);
        }
        loop {
            let now = Instant::now();
            let (mut guard, outcome) = match self.find(key, wish, now) {
                Some(guard) => (guard, Outcome::Idle),
                None => {
                    let waiting = self.get_in_line(key, Wanted::connection(wish.has_schema));
                    match self.wait(waiting, key, deadline).await? {
                        Served::Connection(guard, outcome) => (guard, outcome),
                        Served::Room(..) => continue,
                    }
                }
            };
            // One that the server has closed is dropped silently: nothing was sent on it.
            if guard.is_usable(now) && guard.come_here().is_ok() {
                self.counters().checkout(outcome);
                return Ok(guard);
            }
            guard.close();
        }
    }

    /// The connection that a session has parked, if it is still there and answers as far as can be
    /// known without asking.
    pub fn take_own(
        self: &Arc<Self>,
        key: &O::Key,
        wish: Wish,
        own: Ticket<O>,
    ) -> Option<Guard<O>> {
        if own.is_of(self) { own.redeem(key, wish) } else { None }
    }

    /// An idle connection.
    fn find(self: &Arc<Self>, key: &O::Key, wish: Wish, now: Instant) -> Option<Guard<O>> {
        let (slot, connection, lease) = {
            let mut store = self.lock();
            // While a connection is wanted, nothing is left anywhere.
            if !self.is_wanted() && !store.has_unowned(key, wish) {
                store.collect(describe);
            }
            let (slot, connection) = store.take(key, wish, now)?;
            (slot, connection, store.lease(slot))
        };
        Some(Guard::new(connection, Seat::new(self, slot).with(lease)))
    }

    /// A place for a connection that the caller opens itself, at once or in line, and the connection
    /// that makes way for it. Dropping the place gives it up.
    pub(super) async fn room(
        self: &Arc<Self>,
        key: &O::Key,
        deadline: Instant,
    ) -> Result<(Seat<O>, Option<O::Connection>), Error> {
        loop {
            let waiting = self.get_in_line(key, Wanted::New);
            if let Served::Room(seat, instead_of) = self.wait(waiting, key, deadline).await? {
                return Ok((seat, instead_of));
            }
        }
    }

    fn get_in_line(self: &Arc<Self>, key: &O::Key, wanted: Wanted) -> Waiting<O> {
        let (sender, receiver) = oneshot::channel();
        let queued = {
            let mut store = self.lock();
            let queued = store.enqueue(key, wanted, sender, Instant::now());
            self.want(&mut store);
            queued
        };
        let waiting = Waiting { pool: Arc::clone(self), queued, receiver };
        self.pump();
        waiting
    }

    async fn wait(
        self: &Arc<Self>,
        mut waiting: Waiting<O>,
        key: &O::Key,
        deadline: Instant,
    ) -> Result<Served<O>, Error> {
        if self.lock().is_hopeless(key, Instant::now()) {
            self.counters().checkout(Outcome::Timeout);
            return Err(self.lock().why_not(key));
        }
        match timeout_at(deadline, &mut waiting.receiver).await {
            Ok(Ok(Ok(served))) => Ok(served),
            Ok(Ok(Err(error))) => Err(Error::Backend(error)),
            // The pool is gone with all its connections.
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => {
                self.counters().checkout(Outcome::Timeout);
                Err(self.lock().why_not(key))
            }
        }
    }
}
