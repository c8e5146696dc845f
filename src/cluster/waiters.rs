//! Reads that wait until a replica has what they must see.
//!
//! Nobody polls: each waiter stands in one list, and after each observation of a monitor those are woken
//! for whom it has changed something. While anybody waits, the monitors ask every few milliseconds
//! ([`super::urgency`]), once for all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use super::floor::Floor;
use super::topology::Cluster;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    list: Mutex<Vec<Waiter>>,
    count: AtomicUsize,
}

#[derive(Debug)]
struct Waiter {
    floor: Floor,
    wake: oneshot::Sender<()>,
}

impl Waiters {
    /// Whether anybody waits.
    pub fn are_there(&self) -> bool {
        self.count() > 0
    }

    /// How many do, those included who have given up since the last observation.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until a replica meets `floor`; look first, and again when told. To drop the receiver is to
    /// wait no longer.
    pub fn add(&self, floor: Floor) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        let mut list = self.lock();
        list.push(Waiter { floor, wake });
        self.count.store(list.len(), Ordering::Relaxed);
        woken
    }

    /// Something was observed.
    pub fn look(&self, cluster: &Cluster) {
        if !self.are_there() {
            return;
        }
        let mut list = self.lock();
        let mut at = 0;
        while let Some(waiter) = list.get(at) {
            let is_met = || {
                let mut replicas = cluster.replicas().iter();
                replicas.any(|replica| waiter.floor.is_met_by(replica, cluster))
            };
            if waiter.wake.is_closed() || is_met() {
                let Waiter { wake, .. } = list.swap_remove(at);
                // Whoever has gone meanwhile need not be told.
                let _ = wake.send(());
            } else {
                at += 1;
            }
        }
        self.count.store(list.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiter>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
