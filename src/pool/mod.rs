//! Connections of one server: taking one, and giving it back.
//!
//! A session takes a connection with [`Pool::checkout`] when a statement needs it and holds it by
//! a [`Guard`]; whatever happens to the session, dropping the guard settles the account. Today a
//! connection serves one session and is closed after it; reuse belongs here and nowhere else.
//!
//! Deliberately absent: which server to take one of ([`crate::cluster`]).

mod guard;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backend::{self, Endpoint, Login};

pub use guard::Guard;

/// Why there is no connection to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server or the network.
    #[error(transparent)]
    Backend(#[from] backend::Error),
    /// The limit of connections to this server is reached.
    #[error("all {0} connections to the server are in use (max_connections)")]
    Exhausted(usize),
}

/// How long a checkout may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Waiting in line while all connections are in use.
    pub wait: Duration,
    /// Connecting and logging in.
    pub connect: Duration,
}

/// The connections of one server.
#[derive(Debug)]
pub struct Pool {
    endpoint: Endpoint,
    /// 0: no limit.
    max_connections: AtomicUsize,
    open: AtomicUsize,
    /// A connection was given back.
    freed: Notify,
}

impl Pool {
    /// A pool without connections. `max_connections` 0 means no limit.
    pub fn new(endpoint: Endpoint, max_connections: usize) -> Arc<Self> {
        let max_connections = AtomicUsize::new(max_connections);
        Arc::new(Self {
            endpoint,
            max_connections,
            open: AtomicUsize::new(0),
            freed: Notify::new(),
        })
    }

    /// How the server is reached; the monitor connects on its own, beside the limit.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Connections that are open or being opened for sessions.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Changes the limit; connections above it stay until they are given back.
    pub fn set_max_connections(&self, max_connections: usize) {
        self.max_connections.store(max_connections, Ordering::Relaxed);
    }

    /// A connection on which `login` is logged in. While the limit is reached, waits in line for
    /// one to be given back.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn checkout(
        self: &Arc<Self>,
        login: Login<'_>,
        timeouts: Timeouts,
    ) -> Result<Guard, Error> {
        let slot = self.wait_for_slot(Instant::now() + timeouts.wait).await?;
        let deadline = Instant::now() + timeouts.connect;
        let connection = backend::connect(&self.endpoint, login, deadline).await?;
        Ok(Guard::new(connection, slot))
    }

    async fn wait_for_slot(self: &Arc<Self>, deadline: Instant) -> Result<guard::Slot, Error> {
        loop {
            // In line before looking, so that what is given back meanwhile is not missed.
            let freed = self.freed.notified();
            match guard::Slot::take(self) {
                Ok(slot) => return Ok(slot),
                Err(error) => {
                    tokio::time::timeout_at(deadline, freed).await.map_err(|_| error)?;
                }
            }
        }
    }

    /// Counts one more connection, unless the limit is reached.
    fn take_slot(&self) -> Result<(), Error> {
        let max = self.max_connections.load(Ordering::Relaxed);
        let taken = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (max == 0 || open < max).then_some(open + 1)
        });
        taken.map(drop).map_err(|_| Error::Exhausted(max))
    }

    fn give_slot(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServerAddress;

    #[test]
    fn the_limit_counts_slots_that_are_held() {
        let address = ServerAddress::Unix("/nowhere".into());
        let endpoint = Endpoint { address, tls: None, dead_after: Duration::from_secs(3) };
        let pool = Pool::new(endpoint, 2);
        let first = guard::Slot::take(&pool).unwrap();
        let _second = guard::Slot::take(&pool).unwrap();
        assert!(matches!(guard::Slot::take(&pool), Err(Error::Exhausted(2))));
        drop(first);
        assert_eq!(pool.open(), 1);
        let _third = guard::Slot::take(&pool).unwrap();
        pool.set_max_connections(0);
        let _fourth = guard::Slot::take(&pool).unwrap();
        assert_eq!(pool.open(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_checkout_waits_in_line_until_its_deadline() {
        let address = ServerAddress::Unix("/nowhere".into());
        let endpoint = Endpoint { address, tls: None, dead_after: Duration::from_secs(3) };
        let pool = Pool::new(endpoint, 1);
        let held = guard::Slot::take(&pool).unwrap();
        let began = Instant::now();
        let waited = pool.wait_for_slot(began + Duration::from_secs(5)).await;
        assert!(matches!(waited, Err(Error::Exhausted(1))));
        assert_eq!(began.elapsed(), Duration::from_secs(5));
        let waiting = pool.wait_for_slot(Instant::now() + Duration::from_secs(5));
        let give_back = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            drop(held);
        };
        let (got, ()) = tokio::join!(waiting, give_back);
        assert!(got.is_ok());
        assert_eq!(began.elapsed(), Duration::from_secs(7));
    }
}
