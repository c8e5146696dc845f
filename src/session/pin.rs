//! The session's writes that a replica may lack.
//!
//! A pin is set by a write and says what a replica must have applied before this session may read
//! there. It is known precisely once the server names the write's GTID; where it names none (the
//! write failed, changed nothing, or GTIDs are not reported), the primary's own position, sampled
//! after the write had ended, covers it just as well and costs no round trip. Pure.

use std::sync::Arc;
use std::time::Instant;

use crate::cluster::{Flavor, OwnWrites, Position};
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
    /// All GTIDs, if they are known.
    gtids: Option<Arc<Position>>,
    /// Nothing can prove it: the outcome of a write is unknown.
    is_lost: bool,
}

/// What a pin asks of a replica at some moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Demand {
    /// Nothing.
    None,
    /// The replica must have applied these.
    Writes(OwnWrites),
    /// No replica will do.
    Primary(PinCause),
}

/// A pin, for people who look.
#[derive(Clone, Debug, PartialEq)]
pub struct PinView {
    /// What has set it.
    pub cause: PinCause,
    /// What a replica must have.
    pub writes: OwnWrites,
    /// Nothing can prove that one has it.
    pub is_lost: bool,
}

impl Pin {
    /// What there is to see of it, while set.
    pub fn view(&self) -> Option<PinView> {
        let Set { cause, since, gtids, is_lost } = self.set.as_ref()?;
        let writes = OwnWrites { until: *since, gtids: gtids.clone() };
        Some(PinView { cause: *cause, writes, is_lost: *is_lost })
    }

    /// No pin, in a session on servers of this make.
    pub fn new(flavor: Flavor) -> Self {
        Self { flavor: Some(flavor), set: None }
    }

    /// The cause, while set.
    pub fn cause(&self) -> Option<PinCause> {
        self.set.as_ref().map(|set| set.cause)
    }

    /// When the last write ended.
    pub fn written_at(&self) -> Option<Instant> {
        self.set.as_ref().map(|set| set.since)
    }

    /// When the last write ended, if the server named its GTID: it went through the binary log.
    pub fn logged_at(&self) -> Option<Instant> {
        self.set.as_ref().and_then(|set| set.gtids.as_ref().map(|_| set.since))
    }

    /// A write ended at `now`. Its GTID, if the server told one, was reported just before.
    pub fn write(&mut self, cause: PinCause, now: Instant) {
        match &mut self.set {
            Some(set) if set.is_lost => {}
            // Reported for this very write.
            Some(set) if set.since == now => set.cause = cause,
            _ => self.set = Some(Set { cause, since: now, gtids: None, is_lost: false }),
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
        let gtids = match (parsed, self.set.take()) {
            (_, Some(set)) if set.is_lost => return self.set = Some(set),
            (None, _) => None,
            (Some(position), Some(Set { gtids: Some(before), .. })) => {
                let mut all = (*before).clone();
                (all.union(&position) && all.weight() <= MAX_GTIDS).then(|| Arc::new(all))
            }
            // A write without a GTID came before in this session: it is in the log before this
            // one, or not at all.
            (Some(position), _) => Some(Arc::new(position)),
        };
        self.set = Some(Set { cause, since: now, gtids, is_lost: false });
    }

    /// A write was sent and its outcome will never be known: it may still be running.
    pub fn lost(&mut self, now: Instant) {
        let cause = PinCause::LostWrite;
        self.set = Some(Set { cause, since: now, gtids: None, is_lost: true });
    }

    /// What is asked of a replica; `now` is asked for only where it matters.
    pub fn demand(&mut self, policy: Policy, now: impl FnOnce() -> Instant) -> Demand {
        let Some(set) = &self.set else { return Demand::None };
        match policy {
            Policy::Session => Demand::Primary(set.cause),
            Policy::For(time) => {
                if now().saturating_duration_since(set.since) < time {
                    return Demand::Primary(set.cause);
                }
                self.set = None;
                Demand::None
            }
            Policy::None => {
                self.set = None;
                Demand::None
            }
            Policy::UntilReplicated if set.is_lost => Demand::Primary(set.cause),
            Policy::UntilReplicated => {
                Demand::Writes(OwnWrites { until: set.since, gtids: set.gtids.clone() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn gtids(pin: &mut Pin, text: &str, now: Instant) {
        pin.gtids(format!("{UUID}:{text}").as_bytes(), now);
    }

    fn demand(pin: &mut Pin, now: Instant) -> Demand {
        pin.demand(Policy::UntilReplicated, || now)
    }

    /// The writes until then, with these GTIDs.
    fn writes(until: Instant, gtids: Option<&str>) -> Demand {
        let parse = |text| Position::parse(Flavor::MySql, &format!("{UUID}:{text}")).unwrap();
        Demand::Writes(OwnWrites { until, gtids: gtids.map(|text| Arc::new(parse(text))) })
    }

    #[test]
    fn a_gtid_is_demanded_and_adds_up() {
        let (mut pin, now) = (Pin::new(Flavor::MySql), Instant::now());
        assert_eq!(demand(&mut pin, now), Demand::None);
        gtids(&mut pin, "5", now);
        pin.write(PinCause::Write, now);
        assert_eq!(demand(&mut pin, now), writes(now, Some("5")));
        let later = now + Duration::from_secs(1);
        gtids(&mut pin, "9", later);
        assert_eq!(demand(&mut pin, later), writes(later, Some("5:9")));
    }

    #[test]
    fn a_write_without_a_gtid_waits_for_a_later_sample() {
        let (mut pin, now) = (Pin::new(Flavor::MySql), Instant::now());
        pin.write(PinCause::FailedWrite, now);
        assert_eq!(demand(&mut pin, now), writes(now, None));
    }

    #[test]
    fn a_later_write_without_a_gtid_is_not_covered_by_an_earlier_gtid() {
        let (mut pin, now) = (Pin::new(Flavor::MySql), Instant::now());
        gtids(&mut pin, "5", now);
        pin.write(PinCause::Write, now);
        let later = now + Duration::from_secs(1);
        pin.write(PinCause::FailedWrite, later);
        assert_eq!(demand(&mut pin, later), writes(later, None));
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
        assert_eq!(demand(&mut pin, now), writes(now, None));
    }

    #[test]
    fn other_policies() {
        let (mut pin, now) = (Pin::new(Flavor::MySql), Instant::now());
        let limit = Duration::from_millis(500);
        gtids(&mut pin, "5", now);
        let mut ask = |policy, at| pin.demand(policy, || at);
        assert_eq!(ask(Policy::Session, now + limit), Demand::Primary(PinCause::Write));
        let for_limit = Policy::For(limit);
        assert_eq!(ask(for_limit, now + limit / 2), Demand::Primary(PinCause::Write));
        assert_eq!(ask(for_limit, now + limit), Demand::None);
        assert_eq!(ask(Policy::Session, now), Demand::None, "it has ended for good");
        gtids(&mut pin, "6", now);
        assert_eq!(pin.demand(Policy::None, || now), Demand::None);
    }
}
