//! Reads that wait until a replica has what they must see, or until the primary shows it; and statements
//! that wait for a primary.
//!
//! Nobody polls: each waiter stands in one list, and after each observation of a monitor those are woken
//! for whom it has changed something. While anybody waits, the monitors ask every few milliseconds
//! ([`super::urgency`]), once for all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::floor::Floor;
use super::member::MemberId;
use super::snapshot::Cluster;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    list: Mutex<Vec<Waiter>>,
    /// Those who wait for a replica, for the primary to show something, and for a primary.
    replica: AtomicUsize,
    primary: AtomicUsize,
    writable: AtomicUsize,
}

/// What somebody waits for.
#[derive(Debug)]
pub enum Awaited {
    /// A replica that meets it.
    Replica(Floor),
    /// That the primary shows what it had sent to replicas until then.
    Primary(Instant),
    /// A primary for what could not be run on this server at that time.
    Writable(MemberId, Instant),
}

#[derive(Debug)]
struct Waiter {
    awaited: Awaited,
    wake: oneshot::Sender<()>,
}

impl Waiters {
    /// Whether anybody waits for a replica, and so for the primary's position as well.
    pub fn wait_for_replica(&self) -> bool {
        self.replica.load(Ordering::Relaxed) > 0
    }

    /// Whether anybody waits for the primary to show something.
    pub fn wait_for_primary(&self) -> bool {
        self.primary.load(Ordering::Relaxed) > 0
    }

    /// How many statements wait for a primary.
    pub fn for_writable(&self) -> usize {
        self.writable.load(Ordering::Relaxed)
    }

    /// How many reads wait, those included who have given up since the last observation.
    pub fn count(&self) -> usize {
        self.replica.load(Ordering::Relaxed) + self.primary.load(Ordering::Relaxed)
    }

    /// Waits until that is so; look first, and again when told. To drop the receiver is to wait no longer.
    pub fn add(&self, awaited: Awaited) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        let count = self.counter(&awaited);
        let mut list = self.lock();
        list.push(Waiter { awaited, wake });
        count.fetch_add(1, Ordering::Relaxed);
        woken
    }

    /// Something was observed.
    pub fn look(&self, cluster: &Cluster) {
        if self.count() + self.for_writable() == 0 {
            return;
        }
        let mut list = self.lock();
        let mut at = 0;
        while let Some(waiter) = list.get(at) {
            if waiter.wake.is_closed() || waiter.awaited.is_so(cluster) {
                let Waiter { awaited, wake } = list.swap_remove(at);
                self.counter(&awaited).fetch_sub(1, Ordering::Relaxed);
                // Whoever has gone meanwhile need not be told.
                let _ = wake.send(());
            } else {
                at += 1;
            }
        }
    }

    /// Of those in the list; changed with the list locked.
    fn counter(&self, awaited: &Awaited) -> &AtomicUsize {
        match awaited {
            Awaited::Replica(_) => &self.replica,
            Awaited::Primary(_) => &self.primary,
            Awaited::Writable(..) => &self.writable,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiter>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Awaited {
    fn is_so(&self, cluster: &Cluster) -> bool {
        match self {
            Awaited::Replica(floor) => {
                cluster.replicas().iter().any(|replica| floor.is_met_by(replica, cluster))
            }
            Awaited::Primary(at) => cluster.primary().has_all_before(*at),
            Awaited::Writable(failed, since) => cluster.takes_statements(*failed, *since),
        }
    }
}
