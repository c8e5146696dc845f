//! The session's writes that a replica may lack.
//!
//! A pin is set by a write and says what a replica must have applied before this session may read
//! there. It is known precisely once the server names the write's GTID; where it names none (the
//! write failed, changed nothing, or GTIDs are not reported), the primary's own position, sampled
//! after the write had ended, covers it just as well and costs no round trip. Pure.

use std::sync::Arc;
use std::time::Instant;

use crate::cluster::{Flavor, Position};
use crate::config::Pin as Policy;
use crate::route::PinCause;

/// Beyond this many bytes a session's own GTIDs are given up for a sample of the primary.
const MAX_GTIDS: usize = 16 << 10;

/// What a replica must have applied for a session to read there.
#[derive(Debug, Default)]
pub struct Pin {
    flavor: Option<Flavor>,
    set: Option<Set>,
}

#[derive(Debug)]
struct Set {
    cause: PinCause,
    /// When the last write ended.
    since: Instant,
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    /// A sample of the primary that was taken after `since`.
    Sample,
    /// These transactions.
    Position(Arc<Position>),
    /// Nothing can prove it: the write's outcome is unknown.
    Never,
}

/// What a pin asks of a replica at some moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Demand {
    /// Nothing.
    None,
    /// The replica must have applied this.
    Position(Arc<Position>),
    /// No replica will do.
    Primary(PinCause),
}

impl Pin {
    /// No pin, in a session on servers of this make.
    pub fn new(flavor: Flavor) -> Self {
        Self { flavor: Some(flavor), set: None }
    }

    /// The cause, while set.
    pub fn cause(&self) -> Option<PinCause> {
        self.set.as_ref().map(|set| set.cause)
    }

    /// Whether a later sample of the primary is what it waits for, to say what a replica must have.
    pub fn awaits_sample(&self) -> bool {
        self.set.as_ref().is_some_and(|set| matches!(set.wanted, Wanted::Sample))
    }

    /// A write ended at `now`. Its GTID, if the server told one, was reported just before.
    pub fn write(&mut self, cause: PinCause, now: Instant) {
        match &mut self.set {
            Some(Set { wanted: Wanted::Never, .. }) => {}
            // Reported for this very write.
            Some(set) if set.since == now => set.cause = cause,
            _ => self.set = Some(Set { cause, since: now, wanted: Wanted::Sample }),
        }
    }

    /// The server named the GTIDs of what was committed at `now`.
    pub fn gtids(&mut self, text: &[u8], now: Instant) {
        if text.is_empty() {
            return;
        }
        let parsed = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_GTIDS);
        let parsed = parsed.zip(self.flavor);
        let parsed = parsed.and_then(|(text, flavor)| Position::parse(flavor, text).ok());
        let cause = self.cause().unwrap_or(PinCause::Write);
        let wanted = match (parsed, self.set.take().map(|set| set.wanted)) {
            (_, Some(Wanted::Never)) => Wanted::Never,
            (None, _) => Wanted::Sample,
            (Some(position), Some(Wanted::Position(before))) => {
                let mut all = (*before).clone();
                if all.union(&position) && all.weight() <= MAX_GTIDS {
                    Wanted::Position(Arc::new(all))
                } else {
                    Wanted::Sample
                }
            }
            // A write without a GTID came before in this session: it is in the log before this
            // one, or not at all. A sample would cover both, but this one does too.
            (Some(position), _) => Wanted::Position(Arc::new(position)),
        };
        self.set = Some(Set { cause, since: now, wanted });
    }

    /// A write was sent and its outcome will never be known: it may still be running.
    pub fn lost(&mut self, now: Instant) {
        self.set = Some(Set { cause: PinCause::LostWrite, since: now, wanted: Wanted::Never });
    }

    /// What is asked of a replica; `now` is asked for only where it matters. `sample` is the primary's
    /// newest position and when the question for it was sent.
    pub fn demand(
        &mut self,
        policy: Policy,
        now: impl FnOnce() -> Instant,
        sample: impl FnOnce() -> Option<(Arc<Position>, Instant)>,
    ) -> Demand {
        let Some(set) = &mut self.set else { return Demand::None };
        match policy {
            Policy::Session => return Demand::Primary(set.cause),
            Policy::For(time) => {
                if now().saturating_duration_since(set.since) < time {
                    return Demand::Primary(set.cause);
                }
                self.set = None;
                return Demand::None;
            }
            Policy::UntilReplicated => {}
        }
        if let Wanted::Sample = set.wanted
            && let Some((position, sent_at)) = sample()
            && sent_at > set.since
        {
            set.wanted = Wanted::Position(position);
        }
        match &set.wanted {
            Wanted::Position(position) => Demand::Position(Arc::clone(position)),
            Wanted::Sample | Wanted::Never => Demand::Primary(set.cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn position(text: &str) -> Arc<Position> {
        Arc::new(Position::parse(Flavor::MySql, &format!("{UUID}:{text}")).unwrap())
    }

    fn gtids(pin: &mut Pin, text: &str, now: Instant) {
        pin.gtids(format!("{UUID}:{text}").as_bytes(), now);
    }

    fn demand(pin: &mut Pin, now: Instant) -> Demand {
        pin.demand(Policy::UntilReplicated, || now, || None)
    }

    #[test]
    fn a_gtid_is_demanded_and_adds_up() {
        let (mut pin, now) = (Pin::new(Flavor::MySql), Instant::now());
        assert_eq!(demand(&mut pin, now), Demand::None);
        gtids(&mut pin, "5", now);
        pin.write(PinCause::Write, now);
        assert_eq!(demand(&mut pin, now), Demand::Position(position("5")));
        let later = now + Duration::from_secs(1);
        gtids(&mut pin, "9", later);
        assert_eq!(demand(&mut pin, later), Demand::Position(position("5:9")));
    }

    #[test]
    fn a_write_without_a_gtid_waits_for_a_later_sample() {
        let (mut pin, now) = (Pin::new(Flavor::MySql), Instant::now());
        pin.write(PinCause::FailedWrite, now);
        let step = Duration::from_millis(1);
        let mut ask = |sent_at| {
            pin.demand(Policy::UntilReplicated, || now, || Some((position("1-7"), sent_at)))
        };
        assert_eq!(ask(now - step), Demand::Primary(PinCause::FailedWrite));
        assert_eq!(ask(now), Demand::Primary(PinCause::FailedWrite));
        assert_eq!(ask(now + step), Demand::Position(position("1-7")));
    }

    #[test]
    fn a_later_write_without_a_gtid_is_not_covered_by_an_earlier_gtid() {
        let (mut pin, now) = (Pin::new(Flavor::MySql), Instant::now());
        gtids(&mut pin, "5", now);
        pin.write(PinCause::Write, now);
        pin.write(PinCause::FailedWrite, now + Duration::from_secs(1));
        assert_eq!(demand(&mut pin, now), Demand::Primary(PinCause::FailedWrite));
    }

    #[test]
    fn a_lost_write_never_ends() {
        let (mut pin, now) = (Pin::new(Flavor::MySql), Instant::now());
        pin.lost(now);
        gtids(&mut pin, "5", now);
        pin.write(PinCause::Write, now);
        assert!(matches!(demand(&mut pin, now), Demand::Primary(_)));
    }

    #[test]
    fn unreadable_gtids_fall_back_to_a_sample() {
        let (mut pin, now) = (Pin::new(Flavor::MySql), Instant::now());
        pin.gtids(b"nonsense", now);
        assert!(matches!(demand(&mut pin, now), Demand::Primary(PinCause::Write)));
    }

    #[test]
    fn other_policies() {
        let (mut pin, now) = (Pin::new(Flavor::MySql), Instant::now());
        let limit = Duration::from_millis(500);
        gtids(&mut pin, "5", now);
        let mut ask = |policy, at| pin.demand(policy, || at, || None);
        assert_eq!(ask(Policy::Session, now + limit), Demand::Primary(PinCause::Write));
        let for_limit = Policy::For(limit);
        assert_eq!(ask(for_limit, now + limit / 2), Demand::Primary(PinCause::Write));
        assert_eq!(ask(for_limit, now + limit), Demand::None);
        assert_eq!(ask(Policy::Session, now), Demand::None, "it has ended for good");
    }
}
