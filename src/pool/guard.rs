//! Holding a connection, and coming back for it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use tokio::time::Instant;

use super::idle::Place;
use super::spot::{LEFT_FOR, Lease};
use super::{Opener, Pool, Pooled, ToServer, Wish};

/// A place in a pool, settled when dropped.
#[derive(Debug)]
pub(super) struct Seat<O: Opener> {
    /// `None` once somebody else settles it.
    pool: Option<Arc<Pool<O>>>,
    slot: u32,
    /// Of whoever came back for the connection before.
    lease: Option<Lease<O::Connection>>,
}

impl<O: Opener> Seat<O> {
    pub(super) fn new(pool: &Arc<Pool<O>>, slot: u32) -> Self {
        Self { pool: Some(Arc::clone(pool)), slot, lease: None }
    }

    /// The same, of a connection that was taken under this lease.
    pub(super) fn with(self, lease: Option<Lease<O::Connection>>) -> Self {
        let mut seat = self;
        seat.lease = lease;
        seat
    }

    /// The place, for whoever settles it now.
    pub(super) fn give(mut self) -> Option<(Arc<Pool<O>>, u32)> {
        self.pool.take().map(|pool| (pool, self.slot))
    }

    /// A connect has ended well: the connection was opened at that time.
    pub(super) fn set_taken(&self, opened_at: Instant) {
        if let Some(pool) = &self.pool {
            let mut store = pool.lock();
            store.set_age(self.slot, opened_at);
            store.set_taken(self.slot);
        }
    }

    /// The connection that the place is for was opened at that time.
    pub(super) fn set_age(&self, opened_at: Instant) {
        if let Some(pool) = &self.pool {
            pool.lock().set_age(self.slot, opened_at);
        }
    }
}

impl<O: Opener> Drop for Seat<O> {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.settle(self.slot);
        }
    }
}

/// A connection that is held; dropping it closes the connection and settles the pool's account, as
/// [`Guard::close`] does more carefully.
#[derive(Debug)]
pub struct Guard<O: Opener = ToServer> {
    // Closed before its place is free.
    connection: O::Connection,
    seat: Seat<O>,
}

impl<O: Opener> Guard<O> {
    pub(super) fn new(connection: O::Connection, seat: Seat<O>) -> Self {
        Self { connection, seat }
    }

    /// Gives the connection back, which is clean: nothing runs on it, and its state is what it says.
    /// Who keeps the ticket may come back for the very same connection; once the ticket is dropped it
    /// is nobody's. `None` if somebody else has it already.
    pub fn release(mut self) -> Option<Ticket<O>> {
        let lease = self.seat.lease.take();
        let (pool, slot) = self.seat.give()?;
        let mut connection = self.connection;
        if let Some(lease) = lease.filter(|it| connection.ready_since() < it.expires)
            && !pool.is_wanted()
        {
            lease.leave(connection);
            let taken = if pool.is_wanted() { lease.take() } else { None };
            let Some(back) = taken else {
                return Some(Ticket { pool: Some(pool), place: lease.place, lease: Some(lease) });
            };
            // Somebody got in line in this moment.
            connection = back;
        }
        let place = pool.give_back(slot, connection, true, None)?;
        Some(Ticket { pool: Some(pool), place, lease: None })
    }

    /// As [`Guard::release`], by one who will not come back.
    pub fn release_for_all(self) {
        if let Some((pool, slot)) = self.seat.give() {
            pool.give_back(slot, self.connection, false, None);
        }
    }

    /// Closes the connection. Its place is free once the server has closed it, too: one that is opened
    /// in its place does not exceed the server's own limit.
    pub fn close(self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let Self { connection, seat } = self;
        runtime.spawn(async move {
            connection.end().await;
            drop(seat);
        });
    }

    /// False once the server has closed the connection or said something unasked. No system call
    /// while nothing has arrived.
    pub fn is_usable(&mut self, now: Instant) -> bool {
        self.connection.is_usable(now)
    }

    /// Moves the connection to the event loop of the calling thread.
    pub(super) fn come_here(&mut self) -> std::io::Result<()> {
        self.connection.come_here()
    }

    /// The connection, whose place stays taken.
    pub(super) fn into_connection(self) -> O::Connection {
        self.seat.give();
        self.connection
    }

    pub(super) fn pool(&self) -> Option<&Arc<Pool<O>>> {
        self.seat.pool.as_ref()
    }
}

impl Guard<ToServer> {
    /// Gives the connection back whose session has ended: it is reset, which nobody waits for, and
    /// is then anybody's. One on which something runs is closed.
    pub fn recycle(mut self) {
        let Some(deadline) = self.pool().and_then(|pool| pool.reset_deadline()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !self.connection.is_resettable() || !self.is_usable(Instant::now()) {
            return self.close();
        }
        runtime.spawn(async move {
            let reset = self.connection.reset_for_reuse();
            match tokio::time::timeout_at(deadline, reset).await {
                Ok(Ok(true)) => self.release_for_all(),
                Ok(Ok(false)) => self.close(),
                Ok(Err(error)) => tracing::debug!(%error, "a connection could not be reset"),
                Err(_) => tracing::debug!("a connection was not reset in time"),
            }
        });
    }
}

impl<O: Opener> Deref for Guard<O> {
    type Target = O::Connection;

    fn deref(&self) -> &O::Connection {
        &self.connection
    }
}

impl<O: Opener> DerefMut for Guard<O> {
    fn deref_mut(&mut self) -> &mut O::Connection {
        &mut self.connection
    }
}

/// What a session keeps of a connection that it gave back. Dropped, it leaves the connection to
/// anybody.
#[derive(Debug)]
pub struct Ticket<O: Opener = ToServer> {
    /// `None` once the connection was taken.
    pool: Option<Arc<Pool<O>>>,
    /// Where the connection is parked, or would be if it was collected.
    place: Place,
    /// Of one that was left in its spot.
    lease: Option<Lease<O::Connection>>,
}

impl<O: Opener> Ticket<O> {
    /// The connection, if it is there and answers as far as can be known without asking.
    pub(super) fn redeem(mut self, key: &O::Key, wish: Wish) -> Option<Guard<O>> {
        let now = Instant::now();
        let fits = |connection: &O::Connection| {
            let is_fresh = now < connection.ready_since() + LEFT_FOR;
            is_fresh && (wish.has_schema || !connection.wish().has_schema)
        };
        let (connection, lease) = match self.take_left() {
            Some((connection, lease)) if fits(&connection) => (connection, lease),
            Some((connection, lease)) => {
                let pool = self.pool.as_ref()?;
                self.place = pool.give_back(lease.place.slot, connection, true, None)?;
                self.redeem_parked(key, wish, now)?
            }
            None => self.redeem_parked(key, wish, now)?,
        };
        let slot = self.place.slot;
        let seat = Seat { pool: self.pool.take(), slot, lease: Some(lease) };
        let mut guard = Guard::new(connection, seat);
        if guard.is_usable(now) && guard.come_here().is_ok() {
            if let Some(lease) = &guard.seat.lease {
                lease.count();
            }
            return Some(guard);
        }
        guard.close();
        None
    }

    fn redeem_parked(
        &self,
        key: &O::Key,
        wish: Wish,
        now: Instant,
    ) -> Option<(O::Connection, Lease<O::Connection>)> {
        let mut store = self.pool.as_ref()?.lock();
        let connection = store.take_own(key, wish, self.place, now)?;
        let lease = store.lease(self.place.slot)?;
        Some((connection, lease))
    }

    /// What is still where it was left.
    fn take_left(&mut self) -> Option<(O::Connection, Lease<O::Connection>)> {
        let lease = self.lease.take()?;
        let connection = lease.take()?;
        Some((connection, lease))
    }

    /// Whether the connection is in that pool.
    pub(super) fn is_of(&self, pool: &Arc<Pool<O>>) -> bool {
        self.pool.as_ref().is_some_and(|own| Arc::ptr_eq(own, pool))
    }
}

impl<O: Opener> Drop for Ticket<O> {
    fn drop(&mut self) {
        let left = self.take_left();
        let Some(pool) = &self.pool else { return };
        if let Some((connection, lease)) = left {
            pool.give_back(lease.place.slot, connection, false, None);
            return;
        }
        let waiting = {
            let mut store = pool.lock();
            store.disown(self.place);
            store.waiting()
        };
        if waiting > 0 {
            pool.pump();
        }
    }
}
