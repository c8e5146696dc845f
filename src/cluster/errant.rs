//! Transactions that a replica has and its primary lacks.
//!
//! They come from a write to a replica by mistake, or from a former primary that died before its
//! last transactions got out. The replica's data is then not the primary's, whatever its lag says.
//!
//! What came through a channel from another source is no such write; [`super::channels`] tells which
//! that is. Where positions are places in the primary's binary log, nothing can be said: they do not
//! show what a replica wrote by itself.
//!
//! A replica that is *ahead of the sample* looks the same for a moment: its position is read after
//! the primary's, or semi-synchronous replication lets it apply a transaction before the primary
//! itself has finished committing. So an excess only counts when a later sample of the primary
//! still lacks it, [`CONFIRM_AFTER`] later.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::position::Position;

/// How much later the primary must still lack the transactions. Longer than the 10 s that
/// `rpl_semi_sync_source_timeout` lets a primary wait by default, for primaries that do not tell what they
/// still commit; what is known of that is no excess however long it takes.
pub const CONFIRM_AFTER: Duration = Duration::from_secs(15);

/// Watches one replica.
#[derive(Debug, Default)]
pub struct ErrantWatch {
    /// Since when which transactions have been in excess.
    excess: Option<(Instant, Position)>,
    confirmed: bool,
}

impl ErrantWatch {
    /// Takes in what the replica had at `now`, against the primary's position at `sampled_at`. What
    /// came from `elsewhere`, by replication from another source, is none of its own.
    pub fn observe_sets(
        &mut self,
        now: Instant,
        applied: &Position,
        (primary, sampled_at): (&Position, Instant),
        elsewhere: &BTreeSet<u128>,
    ) {
        // Only what was in excess before is looked at again; what came since is looked at when
        // that is settled. So a replica that is always a little ahead is never taken for errant.
        // And only what the replica still has: it may have been rebuilt meanwhile.
        let before = self.excess.as_ref().map(|(_, excess)| excess);
        let excess = match (applied, primary, before) {
            (
                Position::MySql(applied),
                Position::MySql(primary),
                Some(Position::MySql(suspects)),
            ) => suspects.intersect(applied).subtract(primary).without(elsewhere),
            (Position::MySql(applied), Position::MySql(primary), None) => {
                applied.subtract(primary).without(elsewhere)
            }
            // Of places in a log it cannot be said. What was found before is still so.
            _ => return,
        };
        self.settle(now, Position::MySql(excess), sampled_at);
    }

    /// Takes in an excess that was worked out by other means, empty for none.
    pub fn settle(&mut self, now: Instant, excess: Position, sampled_at: Instant) {
        if excess.is_empty() {
            *self = ErrantWatch::default();
            return;
        }
        let since = self.excess.as_ref().map_or(now, |(since, _)| *since);
        self.excess = Some((since, excess));
        self.confirmed |= sampled_at.saturating_duration_since(since) >= CONFIRM_AFTER;
    }

    /// Since when the same transactions have been in excess.
    pub fn suspected_since(&self) -> Option<Instant> {
        self.excess.as_ref().map(|(since, _)| *since)
    }

    /// The transactions that are errant for certain.
    pub fn confirmed(&self) -> Option<&Position> {
        self.excess.as_ref().filter(|_| self.confirmed).map(|(_, excess)| excess)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::position::Flavor;
    use super::*;

    fn set(intervals: &str) -> Position {
        let text = format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:{intervals}");
        Position::parse(Flavor::MySql, &text).unwrap()
    }

    /// Each row: seconds, the replica, the primary (sampled at that moment), what is confirmed.
    fn check(what: &str, rows: &[(u64, &str, &str, Option<&str>)]) {
        let start = Instant::now();
        let mut watch = ErrantWatch::default();
        for (seconds, replica, primary, confirmed) in rows {
            let now = start + Duration::from_secs(*seconds);
            let primary = set(primary);
            watch.observe_sets(now, &set(replica), (&primary, now), &BTreeSet::new());
            let confirmed = confirmed.map(set);
            assert_eq!(watch.confirmed(), confirmed.as_ref(), "{what} at {seconds} s");
        }
    }

    #[test]
    fn errant_only_when_it_lasts() {
        check("never ahead", &[(0, "1-5", "1-5", None), (20, "1-7", "1-9", None)]);
        check(
            "always a little ahead",
            &[
                (0, "1-6", "1-5", None),
                (10, "1-16", "1-15", None),
                (20, "1-26", "1-25", None),
                (40, "1-46", "1-45", None),
            ],
        );
        check(
            "one stray transaction among those ahead",
            &[
                (0, "1-6:99", "1-5", None),
                (10, "1-16:99", "1-15", None),
                (14, "1-26:99", "1-25", None),
                (15, "1-26:99", "1-25", Some("99")),
                (30, "1-46:99", "1-45", Some("99")),
                // Somebody committed an empty transaction in its name on the primary.
                (31, "1-46:99", "1-46:99", None),
                (60, "1-46:99", "1-46:99", None),
            ],
        );
        check(
            "a former primary that was made a copy of the new one",
            &[(0, "1-6", "1-5", None), (5, "1-5", "1-5", None), (16, "1-5:7", "1-5:7", None)],
        );
        check(
            "the same, when it had been found already",
            &[(0, "1-6", "1-5", None), (15, "1-6", "1-5", Some("6")), (16, "1-5", "1-5", None)],
        );
    }

    #[test]
    fn an_old_sample_confirms_nothing() {
        let start = Instant::now();
        let mut watch = ErrantWatch::default();
        for seconds in [0, 10, 100] {
            let now = start + Duration::from_secs(seconds);
            watch.observe_sets(now, &set("1-6"), (&set("1-5"), start), &BTreeSet::new());
        }
        assert_eq!(watch.confirmed(), None);
    }
}
