//! Where a session leaves its connection between two statements without asking the pool.
//!
//! Mostly nobody else needs the connection, and its session comes back for it within a millisecond.
//! Each place has a spot of its own for that: no lock, list or counter is touched there that the other
//! threads use, too. Who looks for a connection and finds none that is nobody's, and whoever looks after
//! the pool, first collects what lies in the spots ([`Store::collect`]): that is parked then, like what
//! was given back to the pool itself.
//!
//! While somebody waits, nothing is left in a spot. Nobody is forgotten: who gets in line says that he
//! waits and collects then, and who leaves a connection looks then whether somebody waits. The spot's
//! lock orders the two, so that one of them sees what the other did.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::idle::{Key, Place, Slot, State, Store, Wish};

/// After so long a session asks the pool for its connection, which may have been idle for too long.
pub(super) const LEFT_FOR: Duration = Duration::from_millis(50);

/// The spot of one place.
#[derive(Debug)]
pub(super) struct Spot<C> {
    /// With the generation of the place that it was left under: what another session has left there
    /// meanwhile is that one's.
    left: Mutex<Option<(u32, C)>>,
    came_back: AtomicU64,
}

impl<C> Default for Spot<C> {
    fn default() -> Self {
        Self { left: Mutex::new(None), came_back: AtomicU64::new(0) }
    }
}

impl<C> Spot<C> {
    fn lock(&self) -> MutexGuard<'_, Option<(u32, C)>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right of whoever holds a connection to leave it in its spot.
#[derive(Debug)]
pub(super) struct Lease<C> {
    spot: Arc<Spot<C>>,
    /// When the connection is old, and goes back to the pool.
    pub expires: Instant,
    /// Where it is parked if it is collected.
    pub place: Place,
}

impl<C> Lease<C> {
    /// Leaves the connection.
    pub fn leave(&self, connection: C) {
        *self.spot.lock() = Some((self.place.generation, connection));
    }

    /// Takes it again, if it is still there.
    pub fn take(&self) -> Option<C> {
        let is_own = |left: &mut (u32, C)| left.0 == self.place.generation;
        self.spot.lock().take_if(is_own).map(|(_, connection)| connection)
    }

    /// Counts that the session has come back.
    pub fn count(&self) {
        self.spot.came_back.fetch_add(1, Ordering::Relaxed);
    }
}

impl<K: Key, C, W> Store<K, C, W> {
    /// The lease of a place whose connection is taken.
    pub(super) fn lease(&self, slot: u32) -> Option<Lease<C>> {
        let known = self.slots.get(slot as usize)?;
        let place = Place { slot, generation: known.generation.wrapping_add(1) };
        Some(Lease { spot: Arc::clone(&known.spot), expires: known.expires, place })
    }

    /// Parks what was left in spots. `describe` says the state that a connection is in, and since when
    /// nothing has run on it.
    pub fn collect(&mut self, describe: impl Fn(&C) -> (Wish, Instant)) {
        for slot in 0..self.slots.len() {
            let known = &self.slots[slot];
            if !matches!(known.state, State::Taken) {
                continue;
            }
            let left = known.spot.lock().take();
            if let Some((_, connection)) = left {
                let (wish, since) = describe(&connection);
                self.park(slot as u32, connection, wish, true, since);
            }
        }
    }

    /// Whether there is an idle connection of that key that is nobody's.
    pub fn has_unowned(&self, key: &K, wish: Wish) -> bool {
        self.index_of(key).is_some_and(|bucket| self.unowned(bucket, wish).is_some())
    }

    /// How often a session came back for its own connection.
    pub fn own_taken(&self) -> u64 {
        let came_back = |slot: &Slot<C>| slot.spot.came_back.load(Ordering::Relaxed);
        self.slots.iter().map(came_back).sum()
    }
}
