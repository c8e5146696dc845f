//! From what [`Roles`] decides to the picture: who is the primary from now on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Core, Topology, forget_lag, forget_position};
use crate::cluster::lag::NoLag;
use crate::cluster::member::{Member, MemberId};
use crate::cluster::role_change::RoleChange;
use crate::cluster::roles::{Decision, Hold, Seen};
use crate::cluster::snapshot::Cluster;

impl Topology {
    /// The same servers in the roles that they are seen in now.
    pub(super) fn follow(
        &self,
        core: &mut Core,
        old: &Cluster,
        now: Instant,
    ) -> (Cluster, Vec<RoleChange>) {
        let Decision { primary, hold, lacks, rivals } = core.decide(old, now);
        let name = |member: &Arc<Member>| member.config().name.clone();
        let mut next = Cluster { hold, rivals, ..old.clone() };
        let mut changes = Vec::new();
        if hold.is_none() && old.primary.is_drained() && core.is_same_primary(primary, old) {
            core.drained_until = None;
            old.primary.announce_drain(false);
            changes.push(RoleChange::DrainEnded { primary: name(&old.primary) });
        }
        let chosen = primary.and_then(|id| old.member(id));
        if let Some(chosen) = chosen
            && !(core.is_decided && Arc::ptr_eq(chosen, &old.primary))
        {
            core.make_way(&old.primary);
            let from = core.is_decided.then(|| name(&old.primary));
            changes.push(RoleChange::Followed { from, to: name(chosen), lacks });
            if core.is_decided {
                self.primary_changes.fetch_add(1, Ordering::Relaxed);
            }
            core.demoted = core.is_decided.then(|| old.primary.id());
            core.is_decided = true;
            // Whoever made it the primary wants it used.
            if chosen.is_drained() {
                chosen.set_drained(false);
            }
            core.reference.reset();
            let mut replicas: Vec<_> = old.members().map(Arc::clone).collect();
            replicas.retain(|member| !Arc::ptr_eq(member, chosen));
            replicas.sort_by_key(|member| member.id());
            forget_lag(&replicas, NoLag::PrimaryNotSampled);
            forget_position(chosen);
            forget_position(&old.primary);
            if old.hold != Some(Hold::ReadOnly) {
                old.primary.displace();
            }
            old.primary.set_holds_writes(false);
            (next.primary, next.replicas) = (Arc::clone(chosen), replicas.into());
            // All are asked at once, so that reads find replicas again soon.
            self.urgency.wait(now);
        } else {
            match (old.hold, hold) {
                (before, Some(hold)) if before != Some(hold) => {
                    changes.push(RoleChange::Held { primary: name(&old.primary), hold });
                }
                (Some(_), None) => {
                    changes.push(RoleChange::Released { primary: name(&old.primary) });
                }
                _ => {}
            }
        }
        if next.rivals != old.rivals {
            let named = |id: &MemberId| old.member(*id).map(name);
            let rivals = next.rivals.iter().filter_map(named).collect();
            let lack = hold == Some(Hold::ReadOnly);
            changes.push(RoleChange::Rivals { primary: name(&next.primary), rivals, lack });
        }
        let is_read_only = core.roles.is_some() && hold == Some(Hold::ReadOnly);
        next.primary.set_holds_writes(is_read_only);
        (next, changes)
    }
}

impl Core {
    /// Roles are by observation from now on, or by the configuration. `is_same`: the primary is the one of
    /// before.
    pub(super) fn set_auto(&mut self, is_auto: bool, is_same: bool) {
        if !is_auto {
            (self.roles, self.is_decided, self.demoted) = (None, true, None);
        } else {
            // Who was the primary by the configuration is it until another is seen to be.
            self.is_decided &= is_same;
            self.roles.get_or_insert_default();
        }
    }

    /// Whether the primary is the one of before.
    fn is_same_primary(&self, primary: Option<MemberId>, old: &Cluster) -> bool {
        self.is_decided && primary == Some(old.primary.id())
    }

    /// The primary is it no longer: if it was drained, it is drained as a replica from now on.
    pub(super) fn make_way(&mut self, primary: &Member) {
        self.drained_until = None;
        if primary.is_drained() {
            primary.set_drained(true);
        }
    }

    /// Who is the primary, and whether it takes statements.
    pub(super) fn decide(&self, cluster: &Cluster, now: Instant) -> Decision {
        let mut decision = self.observed(cluster, now);
        let is_drained = self.drained_until.is_some_and(|until| now < until);
        if is_drained && self.is_same_primary(decision.primary, cluster) {
            decision.hold = decision.hold.or(Some(Hold::Drained));
        }
        decision
    }

    /// The same by what is seen of the servers alone.
    fn observed(&self, cluster: &Cluster, now: Instant) -> Decision {
        let primary = cluster.primary.id();
        let Some(roles) = &self.roles else {
            let is_down = cluster.primary.is_down();
            let hold = is_down.then_some(Hold::Down);
            return Decision { primary: Some(primary), hold, ..Decision::default() };
        };
        let members: Vec<_> = cluster
            .members()
            .map(|member| (member.id(), member.config().candidate, member.status()))
            .collect();
        let seen: Vec<Seen<'_>> = members
            .iter()
            .map(|(id, candidate, status)| Seen { id: *id, candidate: *candidate, status })
            .collect();
        roles.decide(&seen, self.is_decided.then_some(primary), now)
    }
}
