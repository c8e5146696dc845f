//! All servers at one moment, as sessions see them.

use std::sync::Arc;
use std::time::Instant;

use super::health::Health;
use super::member::{Member, MemberId, MemberStatus};
use super::roles::Hold;
use super::view::{Candidates, Excluded, Wish};
use crate::backend::connection::ServerFacts;

/// All servers at one moment. Immutable; cheap to replace.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub(super) primary: Arc<Member>,
    pub(super) replicas: Arc<[Arc<Member>]>,
    pub(super) candidates: Candidates,
    pub(super) hold: Option<Hold>,
    pub(super) rivals: Vec<MemberId>,
}

impl Cluster {
    /// The server that takes writes, or did last. Whether it is alive is for its status to say, and
    /// whether it takes them now for [`Cluster::hold`].
    pub fn primary(&self) -> &Arc<Member> {
        &self.primary
    }

    /// Why statements for the primary are not to be sent now, if they are not.
    #[inline]
    pub fn hold(&self) -> Option<Hold> {
        self.hold
    }

    /// Writable servers that are not the primary, and might be taken for it.
    pub fn rivals(&self) -> &[MemberId] {
        &self.rivals
    }

    /// Whether a statement may be sent to the primary that could not be run on the server `failed` (for
    /// want of a connection, or because that was read-only) at `since`: another is the primary now, or the
    /// same has been found well since.
    pub fn takes_statements(&self, failed: MemberId, since: Instant) -> bool {
        let is_well = |status: &MemberStatus| {
            status.health == Health::Up
                && status.asked_at.is_some_and(|asked| asked >= since)
                && status.read_only.is_none_or(|it| !it.read_only)
        };
        let is_another = self.primary.id() != failed;
        self.hold.is_none() && (is_another || self.primary.with_status(is_well))
    }

    /// The server of this number, if it is still there.
    pub fn member(&self, id: MemberId) -> Option<&Arc<Member>> {
        self.members().find(|member| member.id() == id)
    }

    /// What the primary said of itself when the monitor last connected; clients are greeted with
    /// it. `None` until then, unless there is no primary: then what any server said.
    pub fn primary_facts(&self) -> Option<Arc<ServerFacts>> {
        let facts = |member: &Arc<Member>| {
            member.with_status(|status| status.facts.as_ref().map(Arc::clone))
        };
        let others = || self.members().filter(|_| self.hold.is_some()).find_map(facts);
        facts(&self.primary).or_else(others)
    }

    /// The replicas, in the order of the configuration.
    pub fn replicas(&self) -> &[Arc<Member>] {
        &self.replicas
    }

    /// Every server, the primary first.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        std::iter::once(&self.primary).chain(self.replicas.iter())
    }

    /// Which replicas may take reads; indexes are into [`Cluster::replicas`].
    pub fn candidates(&self) -> &Candidates {
        &self.candidates
    }

    /// Why a replica takes no reads; `None` when it does.
    pub fn excluded(&self, member: &Arc<Member>) -> Option<Excluded> {
        self.candidates.excluded(self.index(member)?)
    }

    /// Whether any replica takes reads that ask for `tag`.
    pub fn serves_reads(&self, tag: Option<&str>) -> bool {
        self.candidates.group(tag).is_some_and(|group| !group.members.is_empty())
    }

    /// Whether all replicas for reads that ask for `tag` are over `max_lag`, and take them nevertheless.
    pub fn is_makeshift(&self, tag: Option<&str>) -> bool {
        self.candidates.group(tag).is_some_and(|group| group.is_makeshift)
    }

    /// Whether any replica has the tag, fit for reads or not.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.candidates.group(Some(tag)).is_some()
    }

    /// Whether a session that reads from `member` may as well stay there, as
    /// [`super::view::Group::keeps`] says.
    pub fn keeps(&self, wish: Wish<'_>, member: &Arc<Member>) -> bool {
        let group = self.candidates.group(wish.tag).zip(self.index(member));
        group.is_some_and(|(group, index)| group.keeps(index, wish.max_lag))
    }

    /// Whether `member` is a replica that is good enough for a read with this wish.
    pub fn allows(&self, wish: Wish<'_>, member: &Arc<Member>) -> bool {
        let group = self.candidates.group(wish.tag).zip(self.index(member));
        group.is_some_and(|(group, index)| group.allows(index, wish.max_lag))
    }

    /// Picks a replica for a read with this wish, if there is one that `accept`s, as
    /// [`super::view::Group::choose`] does. `random` is any random number.
    pub fn choose(
        &self,
        wish: Wish<'_>,
        random: u64,
        accept: impl Fn(&Member) -> bool,
    ) -> Option<&Arc<Member>> {
        let replica = |index: usize| self.replicas.get(index);
        let index = self.candidates.group(wish.tag)?.choose(
            wish.max_lag,
            random,
            |index| replica(index).map_or(u32::MAX, |member| member.outstanding()),
            |index| replica(index).is_some_and(|member| accept(member)),
        )?;
        replica(index)
    }

    /// The place of a replica in [`Cluster::replicas`].
    pub(super) fn index(&self, member: &Arc<Member>) -> Option<usize> {
        self.replicas.iter().position(|replica| Arc::ptr_eq(replica, member))
    }

    /// The same, where it is most likely at `guess`.
    pub(super) fn index_near(&self, guess: usize, member: &Arc<Member>) -> Option<usize> {
        let is_there = self.replicas.get(guess).is_some_and(|it| Arc::ptr_eq(it, member));
        if is_there { Some(guess) } else { self.index(member) }
    }
}
