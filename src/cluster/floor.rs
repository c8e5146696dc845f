//! What a replica must have applied to serve a read.
//!
//! Three things ask for something: what the session wrote, what it has read, and what others wrote whom
//! it must agree with. Most of it is a moment: everything that the primary had acknowledged until then.
//! A replica is known to have that once it has a position of the primary that was asked for later
//! ([`Member::has_all_before`]), whatever kind of positions the servers have. Where more is known it is
//! used: a write's own GTID is on a replica sooner than a later sample of the primary, and what was read
//! on another replica may be less than what the primary had by then.

use std::sync::Arc;
use std::time::Instant;

use super::member::{Member, MemberId};
use super::position::Position;
use super::snapshot::Cluster;

/// See the module's documentation. The default asks for nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Floor {
    /// The session's own writes.
    pub own: Option<OwnWrites>,
    /// Everything that the primary had acknowledged until then: it has been read there.
    pub seen: Option<Instant>,
    /// Everything that this replica had applied by then: it has been read there.
    pub seen_on: Option<(MemberId, Instant)>,
    /// Everything that the primary had acknowledged until then: others wrote it.
    pub others: Option<Instant>,
}

/// Writes of one session.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnWrites {
    /// When the last one had ended.
    pub until: Instant,
    /// Their GTIDs, where the servers told all of them.
    pub gtids: Option<Arc<Position>>,
}

/// The parts of a [`Floor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// [`Floor::own`].
    Own,
    /// [`Floor::others`].
    Others,
    /// [`Floor::seen`] and [`Floor::seen_on`].
    Seen,
}

impl Floor {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `member` is known to have all of it.
    pub fn is_met_by(&self, member: &Member, cluster: &Cluster) -> bool {
        self.own.as_ref().is_none_or(|own| own.are_on(member))
            && self.others.is_none_or(|until| member.has_all_before(until))
            && self.has_seen(member, cluster)
    }

    /// Of its parts, in the order of [`Part`], the first that no replica meets of those that `accept`
    /// passes, where it and those before it are looked at; `None` if there is no such replica.
    pub fn first_unmet(
        &self,
        cluster: &Cluster,
        accept: impl Fn(&Arc<Member>) -> bool,
    ) -> Option<Part> {
        let replicas = || cluster.replicas().iter().filter(|member| accept(member));
        replicas().next()?;
        let own = Floor { own: self.own.clone(), ..Floor::default() };
        if !replicas().any(|member| own.is_met_by(member, cluster)) {
            return Some(Part::Own);
        }
        let others = Floor { others: self.others, ..own };
        let others_met = replicas().any(|member| others.is_met_by(member, cluster));
        Some(if others_met { Part::Seen } else { Part::Others })
    }

    fn has_seen(&self, member: &Member, cluster: &Cluster) -> bool {
        if self.seen.is_some_and(|until| !member.has_all_before(until)) {
            return false;
        }
        let Some((on, at)) = self.seen_on else { return true };
        // It only goes forward.
        member.id() == on || member.has_all_before(at) || {
            let later = |status: &super::MemberStatus| {
                let is_later = status.asked_at.is_some_and(|asked_at| asked_at > at);
                status.position.as_ref().filter(|_| is_later).map(Arc::clone)
            };
            let had = cluster.member(on).and_then(|replica| replica.with_status(later));
            had.is_some_and(|had| member.with_status(|status| status.has_applied(&had)))
        }
    }
}

impl OwnWrites {
    fn are_on(&self, member: &Member) -> bool {
        member.has_all_before(self.until)
            || self
                .gtids
                .as_ref()
                .is_some_and(|gtids| member.with_status(|status| status.has_applied(gtids)))
    }
}
