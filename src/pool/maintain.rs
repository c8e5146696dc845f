//! What time does to idle connections: they grow old, the server closes them, and some are kept
//! ready.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::{Opener, Pool, Pooled};

/// How often a pool is looked after, at most and at least.
const TICK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

impl<O: Opener> Pool<O> {
    /// Closes what is too old, idle for too long, or closed by the server, and opens ahead what is to
    /// be ready.
    pub fn maintain(self: &Arc<Self>) {
        let now = Instant::now();
        let gone = {
            let mut store = self.collected();
            self.note_wanted(&store);
            store.expire(now, |connection| !connection.is_usable(now))
        };
        self.close_all(gone);
        let orders = self.lock().prewarm(now, || fastrand::u64(..));
        for order in orders {
            self.start_opening(order);
        }
        self.pump();
    }
}

/// Looks after a pool until it is gone.
pub async fn run<O: Opener>(pool: Weak<Pool<O>>) {
    loop {
        let Some(limits) = pool.upgrade().map(|pool| pool.limits()) else { return };
        let shortest = limits.idle_timeout.min(limits.max_lifetime) / 4;
        tokio::time::sleep(shortest.clamp(TICK.0, TICK.1)).await;
        if let Some(pool) = pool.upgrade() {
            pool.maintain();
        }
    }
}
