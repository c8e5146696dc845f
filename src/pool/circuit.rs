//! When a server that refuses connections is asked again.
//!
//! A server that says "too many connections" gets no better by being asked at once, by everyone:
//! each try costs it a thread. After a refusal nobody connects for a while, which doubles with each
//! further one, and then a single connect tries. Pure: time and randomness are arguments.

use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::ErrPacket;

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);

/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(5);

/// Closed (connects are allowed), open (none is, until a time), or half open (one is).
///
/// ```text
/// closed --refused--> open --time passes--> half open --refused--> open, for longer
///    ^                                          |
///    +----------------- connected --------------+
/// ```
#[derive(Debug, Default)]
pub struct Circuit(Option<Open>);

#[derive(Debug)]
struct Open {
    /// When the server has refused one last.
    since: Instant,
    until: Instant,
    pause: Duration,
    error: ErrPacket,
}

impl Circuit {
    /// How many connects may be on their way now, out of `most`.
    pub fn allowed(&self, now: Instant, most: usize) -> usize {
        match &self.0 {
            None => most,
            Some(open) if now < open.until => 0,
            Some(_) => 1,
        }
    }

    /// True from a refusal to the next success.
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// What the server said last.
    pub fn error(&self) -> Option<&ErrPacket> {
        self.0.as_ref().map(|open| &open.error)
    }

    /// The server refused a connection. `random` shortens the pause by up to a half, so that several
    /// proxies do not come back together. Returns when to try again.
    pub fn refused(&mut self, error: ErrPacket, now: Instant, random: u64) -> Instant {
        let pause = match &self.0 {
            None => FIRST,
            // Connects that were on their way together count once.
            Some(open) if now < open.until => return open.until,
            Some(open) => (open.pause * 2).min(LONGEST),
        };
        let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).max(2);
        let until = now + pause - Duration::from_millis(random % (millis / 2));
        self.0 = Some(Open { since: now, until, pause, error });
        until
    }

    /// The server let one in, a connect that was begun at that time. One that was on its way with the
    /// one that was refused says nothing of the time since.
    pub fn connected(&mut self, began: Instant) {
        if self.0.as_ref().is_some_and(|open| began >= open.since) {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_end_with_a_success() {
        let error = || ErrPacket::new(1040, b"08004", "Too many connections".to_owned());
        let mut now = Instant::now();
        let mut circuit = Circuit::default();
        assert_eq!((circuit.allowed(now, 8), circuit.is_open()), (8, false));
        for pause in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let until = circuit.refused(error(), now, 0);
            assert_eq!(until, now + Duration::from_millis(pause));
            // A second one that was on its way changes nothing.
            assert_eq!(circuit.refused(error(), now, 0), until);
            assert_eq!(circuit.allowed(until - Duration::from_millis(1), 8), 0);
            assert_eq!(circuit.allowed(until, 8), 1);
            now = until;
        }
        assert_eq!(circuit.error().unwrap().code, 1040);
        circuit.connected(now - Duration::from_millis(5001));
        assert!(circuit.is_open(), "it was begun before the last refusal");
        circuit.connected(now);
        assert_eq!((circuit.allowed(now, 8), circuit.is_open()), (8, false));
        assert_eq!(circuit.refused(error(), now, 0), now + FIRST);
    }

    #[test]
    fn a_pause_is_shortened_by_less_than_a_half() {
        let now = Instant::now();
        for random in 0..200 {
            let mut circuit = Circuit::default();
            let until = circuit.refused(ErrPacket::new(1040, b"08004", String::new()), now, random);
            assert!(until > now + FIRST / 2 && until <= now + FIRST, "{:?}", until - now);
        }
    }
}
