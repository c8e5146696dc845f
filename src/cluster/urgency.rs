//! Whether sessions wait for replication just now, so that positions are asked for more often.
//!
//! A session that has written reads from the primary until a replica is known to have its write. How
//! long that takes is how long replication takes, and then how long until the monitors have asked. So
//! while any session waits the monitors ask every few milliseconds, and every quarter of a second
//! otherwise. Saying that one waits costs a clock and an atomic; nobody has to say when the waiting is
//! over, for it wears off.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// How long one wait counts. Sessions that go on waiting say so with each read.
const LASTS: Duration = Duration::from_millis(100);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Urgency {
    start: Instant,
    /// Until when, in microseconds since `start`.
    until: AtomicU64,
    begun: Notify,
}

impl Urgency {
    /// Nobody waits.
    pub fn new(now: Instant) -> Self {
        Self { start: now, until: AtomicU64::new(0), begun: Notify::new() }
    }

    /// A session waits for replication at `now`.
    pub fn wait(&self, now: Instant) {
        let until = self.micros(now + LASTS);
        let before = self.until.fetch_max(until, Ordering::Relaxed);
        if before <= self.micros(now) {
            self.begun.notify_waiters();
        }
    }

    /// A read waits: whoever listens looks again at once.
    pub fn hurry(&self) {
        self.begun.notify_waiters();
    }

    /// Whether any session has waited lately.
    pub fn is_there(&self, now: Instant) -> bool {
        self.micros(now) < self.until.load(Ordering::Relaxed)
    }

    /// Returns when a session begins to wait.
    pub fn begun(&self) -> Notified<'_> {
        self.begun.notified()
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_wears_off_and_is_told_when_it_begins() {
        let now = Instant::now();
        let urgency = Urgency::new(now);
        let told = || listen(&urgency);
        let mut first = told();
        assert!(!urgency.is_there(now) && !first());
        urgency.wait(now);
        assert!(urgency.is_there(now) && first());
        let mut second = told();
        urgency.wait(now + LASTS / 2);
        assert!(!second(), "it had begun before");
        assert!(urgency.is_there(now + LASTS) && !urgency.is_there(now + LASTS * 3 / 2));
        urgency.wait(now + LASTS * 2);
        assert!(second());
    }

    /// Whether somebody who has begun to listen now was told.
    fn listen(urgency: &Urgency) -> impl FnMut() -> bool + '_ {
        let mut begun = Box::pin(urgency.begun());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut done = begun.as_mut().poll(&mut context).is_ready();
        move || {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            done = done || begun.as_mut().poll(&mut context).is_ready();
            done
        }
    }
}
