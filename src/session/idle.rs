//! How long a client may be idle: `wait_timeout`.
//!
//! One timer for the session's life, which is not touched while commands come: when it rings, it is seen
//! whether the client has been silent for so long, and it is set anew if not.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Measures how long a client has been idle.
#[derive(Debug)]
pub struct IdleClock {
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl IdleClock {
    /// A client that begins to be idle.
    pub fn new() -> Self {
        Self { since: Instant::now(), timer: None }
    }

    /// The client was not idle until now.
    #[inline]
    pub fn restart(&mut self) {
        self.since = Instant::now();
    }

    /// Returns once the client has been idle for `limit`; never if that is zero.
    pub async fn rings(&mut self, limit: Duration) {
        let Some(due) = self.since.checked_add(limit).filter(|_| !limit.is_zero()) else {
            return pending().await;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        poll_fn(|cx| {
            loop {
                ready!(timer.as_mut().poll(cx));
                if timer.deadline() >= due {
                    return Poll::Ready(());
                }
                timer.as_mut().reset(due);
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn rings_within(clock: &mut IdleClock, limit: Duration, within: u64) -> bool {
        timeout(Duration::from_secs(within), clock.rings(limit)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_after_the_limit_since_the_last_command() {
        let mut clock = IdleClock::new();
        assert!(!rings_within(&mut clock, LIMIT, 9).await);
        clock.restart();
        assert!(!rings_within(&mut clock, LIMIT, 9).await);
        assert!(rings_within(&mut clock, LIMIT, 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_may_change() {
        let mut clock = IdleClock::new();
        assert!(!rings_within(&mut clock, LIMIT * 100, 1).await);
        assert!(!rings_within(&mut clock, Duration::ZERO, 100_000).await, "no limit");
        clock.restart();
        assert!(!rings_within(&mut clock, LIMIT, 9).await);
        assert!(rings_within(&mut clock, LIMIT, 2).await, "shorter than it was");
        clock.restart();
        advance(Duration::from_secs(5)).await;
        assert!(!rings_within(&mut clock, LIMIT * 2, 14).await, "longer");
        assert!(rings_within(&mut clock, LIMIT * 2, 2).await);
    }
}
