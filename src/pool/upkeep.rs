//! What time does to idle connections: which are too old, and which are to be kept ready. Pure.

use tokio::time::Instant;

use super::idle::{Key, State, Store};
use super::queue::Order;

impl<K: Key, C, W> Store<K, C, W> {
    /// The connection of a place, being opened still, is one that was opened at that time.
    pub fn set_age(&mut self, slot: u32, opened_at: Instant) {
        let known = &mut self.slots[slot as usize];
        known.expires = known.expires.min(opened_at + self.limits.max_lifetime);
    }

    /// Whether there are more connections than there may be, since a limit was lowered.
    pub fn is_over(&self) -> bool {
        self.limits.max_connections != 0 && self.open > self.limits.max_connections
    }

    /// Takes out what has been idle for too long or is too old, each to be closed and its place settled
    /// then. `is_dead` looks at one that is kept otherwise.
    pub fn expire(
        &mut self,
        now: Instant,
        mut is_dead: impl FnMut(&mut C) -> bool,
    ) -> Vec<(u32, C)> {
        let mut gone = Vec::new();
        let mut due: Vec<(Instant, u32)> = Vec::new();
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            let State::Idle(idle) = &mut slot.state else { continue };
            let is_idle = now >= idle.since + self.limits.idle_timeout;
            if now >= slot.expires || is_dead(&mut idle.connection) {
                gone.extend(self.take_out(index as u32));
            } else if is_idle {
                due.push((idle.since, index as u32));
            }
        }
        due.sort_unstable();
        for (_, slot) in due {
            let bucket = self.slots[slot as usize].bucket;
            if self.idle_wanted(bucket, now) < self.bucket(bucket).map_or(0, |it| it.idle) {
                gone.extend(self.take_out(slot));
            }
        }
        self.forget_unused(now);
        gone
    }

    /// How many idle connections a bucket is to have: none unless it was used within a lifetime.
    pub(super) fn idle_wanted(&self, bucket: u32, now: Instant) -> usize {
        let used = self.bucket(bucket).map(|bucket| bucket.used);
        let in_use = used.is_some_and(|used| now < used + self.limits.max_lifetime);
        if in_use { self.limits.min_idle } else { 0 }
    }

    /// Connections that are to be opened ahead: below all limits, and where nobody waits.
    pub fn prewarm(&mut self, now: Instant, mut random: impl FnMut() -> u64) -> Vec<Order<K, C>> {
        let mut orders = Vec::new();
        if self.is_closed || self.waiting > 0 || self.limits.min_idle == 0 {
            return orders;
        }
        for index in 0..self.buckets.len() as u32 {
            while let Some(bucket) = self.bucket(index) {
                let enough = bucket.idle + bucket.opening >= self.idle_wanted(index, now);
                if enough || !self.may_open(index, now) {
                    break;
                }
                orders.extend(self.order(index, None, now, random()));
            }
        }
        orders
    }

    fn take_out(&mut self, slot: u32) -> Option<(u32, C)> {
        self.unpark(slot).map(|connection| (slot, connection))
    }

    /// Takes out all idle connections, or those of keys that `is_gone` names, each to be closed and its
    /// place settled then.
    pub fn drain(&mut self, mut is_gone: impl FnMut(&K) -> bool) -> Vec<(u32, C)> {
        let mut gone = Vec::new();
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let key = self.bucket(slot.bucket).map(|bucket| &bucket.key);
            if matches!(slot.state, State::Idle(_)) && key.is_some_and(&mut is_gone) {
                gone.extend(self.take_out(index as u32));
            }
        }
        gone
    }
}
