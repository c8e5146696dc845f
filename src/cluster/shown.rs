//! Until when the primary shows all that replicas could show.
//!
//! A server sends a transaction to its replicas as soon as that is in its binary log, and shows it
//! itself once the storage engine has committed it: a moment later, and with semi-synchronous
//! replication (`AFTER_SYNC`) as late as a replica has acknowledged it. So a session that has read on a
//! replica may go back in time on the primary.
//!
//! What is asked of the primary: first what it has sent, then what it shows. Once it shows what it had
//! sent at some moment, it shows everything that any replica showed before. Pure.
//!
//! - MySQL with GTIDs: `gtid_owned`, the transactions that are being committed, and `gtid_executed`. A
//!   commit moves its GTID from the one to the other after the engine's commit, so whoever reads them in
//!   this order finds it in one of them.
//! - MariaDB: the end of the binary log (`SHOW MASTER STATUS`), and `Binlog_snapshot_file` and
//!   `Binlog_snapshot_position`, which move after the engine's commit. `gtid_binlog_pos` moves before it
//!   and proves nothing.
//! - MySQL without GTIDs tells only the end of its binary log: nothing can be proven.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::gtid_mysql::GtidSet;
use super::position::Position;

/// No read waits longer for the primary to show something.
pub const LIMIT: Duration = Duration::from_millis(1500);
/// A GTID that is owned for longer is not being committed, but held by a session with `gtid_next` or by
/// an applier. Shorter than [`LIMIT`], so that a read is not kept by it until its time is over.
const LONG: Duration = Duration::from_secs(1);
/// Samples whose transactions are still awaited.
const MAX_AWAITED: usize = 16;

/// What the primary told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// What it has sent, or what of that it may not show yet.
    pub sent: Position,
    /// What it shows, asked later; `None`: its own position.
    pub shown: Option<Position>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct ShownClock {
    through: Option<Instant>,
    /// What was sent at these moments; none of it was shown entirely when last looked.
    awaited: VecDeque<(Instant, Position)>,
    held: Held,
}

/// GTIDs that were owned at every look for so long that nobody waits for them.
#[derive(Debug, Default)]
struct Held {
    /// For [`LONG`] and longer.
    long: GtidSet,
    /// Since then, and no longer.
    since: Option<(Instant, GtidSet)>,
}

impl ShownClock {
    /// Takes in what the primary told: what it had sent when asked at `asked_at`, and what it showed
    /// later.
    pub fn sample(&mut self, asked_at: Instant, sent: Position, shown: &Position) {
        let sent = match sent {
            Position::MySql(owned) => Position::MySql(self.held.without(owned, asked_at)),
            sent => sent,
        };
        if shown.contains(&sent) {
            self.through = self.through.max(Some(asked_at));
            self.awaited.clear();
            return;
        }
        // The latest that is shown counts: what was sent before it was sent by then, too.
        if let Some(latest) = self.awaited.iter().rposition(|(_, sent)| shown.contains(sent)) {
            for (at, _) in self.awaited.drain(..=latest) {
                self.through = self.through.max(Some(at));
            }
        }
        if self.awaited.len() == MAX_AWAITED {
            self.awaited.pop_back();
        }
        self.awaited.push_back((asked_at, sent));
    }

    /// The latest moment such that everything is shown that had been sent by then.
    pub fn through(&self) -> Option<Instant> {
        self.through
    }
}

impl Held {
    /// What of `owned` may be in the midst of its commit at `now`.
    fn without(&mut self, owned: GtidSet, now: Instant) -> GtidSet {
        self.long = both(&self.long, &owned);
        let rest = owned.subtract(&self.long);
        let before = self.since.take();
        let held = before.map(|(since, held)| (since, both(&held, &rest)));
        let held = held.filter(|(_, held)| !held.is_empty());
        let (since, held) = held.unwrap_or_else(|| (now, rest.clone()));
        if now.saturating_duration_since(since) < LONG {
            self.since = Some((since, held));
            return rest;
        }
        self.long.union(&held);
        rest.subtract(&held)
    }
}

fn both(one: &GtidSet, other: &GtidSet) -> GtidSet {
    one.subtract(&one.subtract(other))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::coordinates::Coordinates;
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn gtids(numbers: &str) -> Position {
        let text = if numbers.is_empty() { String::new() } else { format!("{UUID}:{numbers}") };
        Position::MySql(GtidSet::parse(&text).unwrap())
    }

    /// Samples at these milliseconds, and until when all is shown then.
    fn mysql(samples: &[(u64, &str, &str)]) -> Vec<Option<u64>> {
        let (start, mut clock) = (Instant::now(), ShownClock::default());
        let mut through = Vec::new();
        for (ms, owned, executed) in samples {
            clock.sample(start + Duration::from_millis(*ms), gtids(owned), &gtids(executed));
            let since = clock.through().map(|at| at.saturating_duration_since(start));
            through.push(since.map(|since| u64::try_from(since.as_millis()).unwrap()));
        }
        through
    }

    #[test]
    fn what_is_being_committed_is_waited_for() {
        assert_eq!(mysql(&[(0, "", ""), (5, "", "1-3")]), [Some(0), Some(5)]);
        // 4 was committed between the two looks of one sample.
        assert_eq!(mysql(&[(0, "4", "1-4")]), [Some(0)]);
        assert_eq!(
            mysql(&[(0, "4", "1-3"), (3, "4-5", "1-3"), (6, "5-6", "1-4"), (9, "7", "1-6")]),
            [None, None, Some(0), Some(6)]
        );
        // Commits may end in another order than they began.
        assert_eq!(mysql(&[(0, "4", "1-3"), (3, "5", "1-3"), (6, "4:6", "1-3:5")])[2], Some(3));
    }

    #[test]
    fn a_gtid_that_somebody_holds_is_waited_for_only_for_a_time() {
        let samples: Vec<(u64, String, String)> =
            (0..30).map(|n| (n * 100, format!("100:{n}"), format!("1-{n}"))).collect();
        let samples: Vec<(u64, &str, &str)> =
            samples.iter().skip(1).map(|(ms, owned, done)| (*ms, &**owned, &**done)).collect();
        let through = mysql(&samples);
        assert!(through.iter().take(10).all(Option::is_none), "{through:?}");
        let late: Vec<_> = (11..30).map(|n| Some(n * 100)).collect();
        assert_eq!(through.get(10..), Some(&*late));
    }

    #[test]
    fn samples_that_are_never_shown_take_no_room() {
        let (start, mut clock) = (Instant::now(), ShownClock::default());
        for ms in 0..900 {
            clock.sample(start + Duration::from_millis(ms), gtids("9"), &gtids("1-3"));
        }
        assert_eq!(clock.awaited.len(), MAX_AWAITED);
        clock.sample(start + Duration::from_millis(901), gtids("10"), &gtids("1-9"));
        assert_eq!(clock.through(), Some(start + Duration::from_millis(899)));
    }

    #[test]
    fn mariadb_by_places_in_the_binary_log() {
        let (start, mut clock) = (Instant::now(), ShownClock::default());
        let place = |file: &str, offset: &str| {
            Position::Coordinates(Coordinates::parse(1, file, offset).unwrap())
        };
        let mut sample = |ms, sent: (&str, &str), shown: (&str, &str)| {
            let at = start + Duration::from_millis(ms);
            clock.sample(at, place(sent.0, sent.1), &place(shown.0, shown.1));
            clock.through().map(|at| at.saturating_duration_since(start).as_millis())
        };
        assert_eq!(sample(0, ("b.000001", "400"), ("b.000001", "400")), Some(0));
        assert_eq!(sample(3, ("b.000001", "900"), ("b.000001", "400")), Some(0));
        assert_eq!(sample(6, ("b.000002", "379"), ("b.000001", "900")), Some(3));
        assert_eq!(sample(9, ("b.000002", "500"), ("b.000002", "379")), Some(6));
    }
}
