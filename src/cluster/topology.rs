//! The published picture of all servers, and the one place that changes it.
//!
//! Sessions load a [`Cluster`] once per command and see one consistent picture. Two things replace
//! it: a reload ([`Topology::apply`]) and an observation ([`Topology::observe`]). Both hold one
//! short lock, so that neither loses what the other did; nothing waits under it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{mpsc, watch};

use super::ask::Wanted;
use super::health::Thresholds;
use super::lag::{Lag, NoLag};
use super::member::{Member, MemberId, MemberStatus, SessionFailure};
use super::settings::{Server, Settings};
use super::tracker::{Event, Note, Reference, Tracker};
use super::urgency::Urgency;
use super::view::{Candidates, Excluded, ReplicaView, RoutingPolicy, Wish, eligible};
use super::waiters::Waiters;
use crate::backend::connection::ServerFacts;
use crate::config::Role;

/// All servers at one moment. Immutable; cheap to replace.
#[derive(Debug)]
pub struct Cluster {
    primary: Arc<Member>,
    replicas: Arc<[Arc<Member>]>,
    candidates: Candidates,
}

impl Cluster {
    /// The server that takes writes. Whether it is alive is for its status to say.
    pub fn primary(&self) -> &Arc<Member> {
        &self.primary
    }

    /// The server of this number, if it is still there.
    pub fn member(&self, id: MemberId) -> Option<&Arc<Member>> {
        self.members().find(|member| member.id() == id)
    }

    /// What the primary said of itself when the monitor last connected; clients are greeted with
    /// it. `None` until then.
    pub fn primary_facts(&self) -> Option<Arc<ServerFacts>> {
        self.primary.with_status(|status| status.facts.as_ref().map(Arc::clone))
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
    fn index(&self, member: &Arc<Member>) -> Option<usize> {
        self.replicas.iter().position(|replica| Arc::ptr_eq(replica, member))
    }

    /// The same, where it is most likely at `guess`.
    fn index_near(&self, guess: usize, member: &Arc<Member>) -> Option<usize> {
        let is_there = self.replicas.get(guess).is_some_and(|it| Arc::ptr_eq(it, member));
        if is_there { Some(guess) } else { self.index(member) }
    }
}

/// A replica began or ceased to take reads.
#[derive(Debug, Clone)]
pub struct ReadsChanged {
    /// Which.
    pub member: Arc<Member>,
    /// Why it takes none now; `None`: it takes them.
    pub excluded: Option<Excluded>,
    /// Whether any replica is left that is fit for reads without a tag.
    pub any_left: bool,
}

/// Why a server cannot be drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotDrained {
    /// The configuration names no such server.
    #[error("the configuration names no such server")]
    Unknown,
    /// It is the primary.
    #[error(
        "it is the primary: without it nothing can be written. Make another server the primary \
         first, and drain this one when it is a replica"
    )]
    Primary,
}

/// A member that needs a monitor, and where sessions report failures of it.
pub(super) type NewMember = (Arc<Member>, mpsc::Receiver<SessionFailure>);

/// What a reload changed; names of servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// New ones.
    pub added: Vec<String>,
    /// Those that are gone.
    pub removed: Vec<String>,
    /// Those that stay, with everything that is known about them.
    pub kept: Vec<String>,
}

/// The configuration names no primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no server is the primary")]
pub struct NoPrimary;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Topology {
    cluster: ArcSwap<Cluster>,
    core: Mutex<Core>,
    changed: watch::Sender<u64>,
    pub(super) urgency: Urgency,
    pub(super) waiters: Waiters,
}

/// What is needed to work out the next picture.
#[derive(Debug)]
struct Core {
    reference: Reference,
    policy: RoutingPolicy,
    thresholds: Thresholds,
    /// Servers that there have been.
    members: u32,
}

impl Topology {
    /// The first picture: nothing is known of any server.
    pub(super) fn new(
        servers: Vec<Server>,
        settings: &Settings,
        now: Instant,
    ) -> Result<(Topology, Vec<NewMember>), NoPrimary> {
        let mut built = Built::default();
        for server in servers {
            built.add(server, None, now);
        }
        let members = built.created;
        let primary = built.primary.take().ok_or(NoPrimary)?;
        let cluster =
            Cluster { primary, replicas: built.replicas.into(), candidates: Candidates::default() };
        let topology = Topology {
            cluster: ArcSwap::from_pointee(cluster),
            core: Mutex::new(Core {
                reference: Reference::new(settings.fresh_for()),
                policy: settings.policy(),
                thresholds: settings.thresholds,
                members,
            }),
            changed: watch::Sender::new(0),
            urgency: Urgency::new(now),
            waiters: Waiters::default(),
        };
        topology.publish(&topology.lock(), now);
        Ok((topology, built.new))
    }

    /// The present picture.
    pub(super) fn load(&self) -> Guard<Arc<Cluster>> {
        self.cluster.load()
    }

    /// The present picture, to keep.
    pub(super) fn snapshot(&self) -> Arc<Cluster> {
        self.cluster.load_full()
    }

    /// Wakes after every change of the picture or of any status in it.
    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Replaces the servers and the settings. Members that are the same server stay; monitors of
    /// those that are gone are told to stop.
    pub(super) fn apply(
        &self,
        servers: Vec<Server>,
        settings: &Settings,
        now: Instant,
    ) -> Result<(Applied, Vec<NewMember>), NoPrimary> {
        if !servers.iter().any(|server| server.config.role == Role::Primary) {
            return Err(NoPrimary);
        }
        let mut core = self.lock();
        let old = self.snapshot();
        let mut built = Built { created: core.members, ..Built::default() };
        for server in servers {
            let known = old.members().find(|member| member.is_same_server(&server.config));
            built.add(server, known, now);
        }
        let primary = built.primary.take().ok_or(NoPrimary)?;
        core.members = built.created;
        core.policy = settings.policy();
        core.thresholds = settings.thresholds;
        core.reference.set_fresh_for(settings.fresh_for());
        if !Arc::ptr_eq(&primary, &old.primary) {
            core.reference.reset();
            forget_lag(&built.replicas, NoLag::PrimaryNotSampled);
            forget_position(&primary);
            forget_position(&old.primary);
        }
        let next =
            Cluster { primary, replicas: built.replicas.into(), candidates: Candidates::default() };
        let mut applied = Applied { kept: built.kept, ..Applied::default() };
        applied.added = built.new.iter().map(|(member, _)| member.config().name.clone()).collect();
        for member in old.members() {
            if !next.members().any(|kept| Arc::ptr_eq(kept, member)) {
                applied.removed.push(member.config().name.clone());
                member.remove();
            }
        }
        // One store: the candidates are worked out before anyone sees the new servers.
        self.cluster.store(Arc::new(with_candidates(&next, &old, &core.policy, now)));
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
        Ok((applied, built.new))
    }

    /// A member's lag at `now`: by what is known of the primary now, and not when the member was probed
    /// last.
    pub(super) fn lag(&self, member: &Member, now: Instant) -> Option<Lag> {
        member.with_status(|status| match (status.lag, &status.position) {
            (Some(Lag::Known { .. } | Lag::AtLeast(_)), Some(applied)) => {
                Some(self.lock().reference.lag(now, applied))
            }
            (lag, _) => lag,
        })
    }

    /// What a member is to be asked at `now`.
    pub(super) fn wanted(&self, member: &Arc<Member>, tracker: &Tracker, now: Instant) -> Wanted {
        let is_primary = Arc::ptr_eq(&self.load().primary, member);
        let role = if is_primary { Role::Primary } else { Role::Replica };
        let channels = tracker.wants_channels(&self.lock().reference, now);
        let sent = is_primary && tracker.wants_sent(self.waiters.wait_for_primary(), now);
        Wanted { role, channels, sent }
    }

    /// Whether reads wait for what the next probe of this member says.
    pub(super) fn is_waited_for(&self, member: &Arc<Member>) -> bool {
        self.waiters.wait_for_replica()
            || self.waiters.wait_for_primary() && Arc::ptr_eq(&self.load().primary, member)
    }

    /// Takes in what a monitor observed. Nothing happens for a member that was removed meanwhile.
    pub(super) fn observe(
        &self,
        member: &Arc<Member>,
        tracker: &mut Tracker,
        event: Event,
        now: Instant,
    ) -> (Vec<Note>, Vec<ReadsChanged>) {
        let mut core = self.lock();
        let cluster = self.load();
        let role = if Arc::ptr_eq(&cluster.primary, member) {
            Role::Primary
        } else if cluster.replicas.iter().any(|replica| Arc::ptr_eq(replica, member)) {
            Role::Replica
        } else {
            return (Vec::new(), Vec::new());
        };
        let thresholds = core.thresholds;
        let notes = tracker.observe(event, role, &mut core.reference, &thresholds, now);
        member.set_status(tracker.status().clone());
        if notes.contains(&Note::PrimaryWentBack) {
            // They are about what the primary no longer has; the next probes say more.
            cluster.replicas.iter().for_each(|replica| forget_position(replica));
            forget_lag(&cluster.replicas, NoLag::ReplicaNotProbed);
        }
        if role == Role::Primary {
            member.set_applied_through(tracker.status().shown_through);
            measure_unknown(&cluster.replicas, &core.reference, now);
            cluster.replicas.iter().for_each(|replica| prove(replica, &core.reference));
        } else {
            prove(member, &core.reference);
        }
        let changes = self.publish(&core, now);
        self.waiters.look(&cluster);
        (notes, changes)
    }

    /// Takes a replica out for maintenance, or puts it back.
    pub(super) fn set_drained(
        &self,
        name: &str,
        drained: bool,
        now: Instant,
    ) -> Result<(), NotDrained> {
        let core = self.lock();
        let cluster = self.load();
        let member = cluster.members().find(|member| member.config().name == name);
        let member = member.ok_or(NotDrained::Unknown)?;
        if drained && Arc::ptr_eq(member, &cluster.primary) {
            return Err(NotDrained::Primary);
        }
        member.set_drained(drained);
        self.publish(&core, now);
        self.waiters.look(&self.load());
        Ok(())
    }

    /// Works out the candidates anew and publishes them.
    fn publish(&self, core: &Core, now: Instant) -> Vec<ReadsChanged> {
        let old = self.load();
        let next = with_candidates(&old, &old, &core.policy, now);
        let any_left = next.serves_reads(None) && !next.is_makeshift(None);
        let mut changes = Vec::new();
        for (index, member) in next.replicas.iter().enumerate() {
            let (before, after) = (old.candidates.excluded(index), next.candidates.excluded(index));
            if before.is_some() != after.is_some() {
                let member = Arc::clone(member);
                changes.push(ReadsChanged { member, excluded: after, any_left });
            }
        }
        if next.candidates != old.candidates {
            self.cluster.store(Arc::new(next));
        }
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
        changes
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic elsewhere must not stop every monitor; the state is valid at every step.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same servers with their candidates worked out anew; `old` is the picture before.
fn with_candidates(
    cluster: &Cluster,
    old: &Cluster,
    policy: &RoutingPolicy,
    now: Instant,
) -> Cluster {
    let members: Vec<_> =
        cluster.replicas.iter().map(|member| (member.config(), member.status())).collect();
    let views: Vec<ReplicaView<'_>> = members
        .iter()
        .zip(cluster.replicas.iter().enumerate())
        .map(|((config, status), (index, member))| ReplicaView {
            health: status.health,
            lag: status.lag.unwrap_or(Lag::Unknown(NoLag::ReplicaNotProbed)),
            probed_at: status.probed_at,
            errant: status.errant.is_some(),
            is_drained: member.is_drained(),
            weight: config.weight,
            tags: &config.tags,
            zone: config.zone.as_deref(),
            was: old.index_near(index, member),
        })
        .collect();
    Cluster {
        primary: Arc::clone(&cluster.primary),
        replicas: Arc::clone(&cluster.replicas),
        candidates: eligible(&views, &old.candidates, policy, now),
    }
}

/// Another server is the primary, or it has gone back: lags against what it was mean nothing until the
/// next probes.
fn forget_lag(replicas: &[Arc<Member>], why: NoLag) {
    for member in replicas {
        let lag = Some(Lag::Unknown(why));
        member.set_status(MemberStatus { lag, ..(*member.status()).clone() });
        member.set_applied_through(None);
    }
}

/// Works out anew what the replica is known to have.
fn prove(replica: &Member, reference: &Reference) {
    replica.set_applied_through(replica.with_status(|status| reference.applied_through(status)));
}

/// What a server told in its old role says nothing in its new one: a replica's position is no
/// sample of the primary.
fn forget_position(member: &Member) {
    let status = (*member.status()).clone();
    let (position, asked_at, probed_at) = (None, None, None);
    member.set_status(MemberStatus { position, asked_at, probed_at, ..status });
    member.set_applied_through(None);
}

/// The primary was sampled: replicas whose lag waited for that need not wait for their own next
/// probes.
fn measure_unknown(replicas: &[Arc<Member>], reference: &Reference, now: Instant) {
    for member in replicas {
        let status = member.status();
        let waiting = status.lag == Some(Lag::Unknown(NoLag::PrimaryNotSampled));
        if let Some(applied) = status.position.as_ref().filter(|_| waiting) {
            let lag = reference.lag(now, applied);
            member.set_status(MemberStatus { lag: Some(lag), ..(*status).clone() });
        }
    }
}

/// Members of the next picture.
#[derive(Default)]
struct Built {
    primary: Option<Arc<Member>>,
    replicas: Vec<Arc<Member>>,
    new: Vec<NewMember>,
    kept: Vec<String>,
    created: u32,
}

impl Built {
    fn add(&mut self, server: Server, known: Option<&Arc<Member>>, now: Instant) {
        let role = server.config.role;
        let member = if let Some(known) = known {
            self.kept.push(server.config.name.clone());
            known.reconfigure(server.config, server.limits);
            Arc::clone(known)
        } else {
            let (member, reports) = Member::new(server, MemberId(self.created), now);
            self.created = self.created.wrapping_add(1);
            self.new.push((Arc::clone(&member), reports));
            member
        };
        match role {
            Role::Primary => self.primary = Some(member),
            Role::Replica => self.replicas.push(member),
        }
    }
}

#[cfg(test)]
mod tests;
