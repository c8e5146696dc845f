//! The published picture of all servers, and the one place that changes it.
//!
//! Sessions load a [`Cluster`] once per command and see one consistent picture. Two things replace
//! it: a reload ([`Topology::apply`]) and an observation ([`Topology::observe`]). Both hold one
//! short lock, so that neither loses what the other did; nothing waits under it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{mpsc, watch};

use super::ask::Wanted;
use super::health::{Health, Report, Thresholds};
use super::lag::{Lag, NoLag};
use super::member::{Member, MemberId, MemberStatus, SessionFailure};
use super::role_change::RoleChange;
use super::roles::{Hold, Roles};
use super::settings::{Server, Settings};
use super::snapshot::Cluster;
use super::tracker::{Event, Note, Reference, Tracker};
use super::urgency::Urgency;
use super::view::{Candidates, Excluded, ReplicaView, RoutingPolicy, eligible};
use super::waiters::Waiters;
use crate::config::Role;

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
    /// It is the primary, and statements do not wait for another.
    #[error(
        "it is the primary, and with routing.primary_wait = \"0s\" statements cannot wait until another \
         has taken over"
    )]
    NobodyWaits,
}

/// What an observation changed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) notes: Vec<Note>,
    pub(super) reads: Vec<ReadsChanged>,
    pub(super) roles: Vec<RoleChange>,
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
    primary_changes: AtomicU64,
}

/// What is needed to work out the next picture.
#[derive(Debug)]
struct Core {
    reference: Reference,
    policy: RoutingPolicy,
    thresholds: Thresholds,
    /// Servers that there have been.
    members: u32,
    primary_wait: Duration,
    /// Where roles are by observation.
    roles: Option<Roles>,
    /// Which server is the primary is known.
    is_decided: bool,
    /// The last server that was the primary and is it no more, by observation.
    demoted: Option<MemberId>,
    /// Until when statements wait for a primary that is drained.
    drained_until: Option<Instant>,
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
        let is_auto = built.is_auto();
        let (primary, replicas) = built.split(None).ok_or(NoPrimary)?;
        let cluster = Cluster {
            primary,
            replicas,
            candidates: Candidates::default(),
            hold: is_auto.then_some(Hold::Undecided),
            rivals: Vec::new(),
        };
        let topology = Topology {
            cluster: ArcSwap::from_pointee(cluster),
            core: Mutex::new(Core {
                reference: Reference::new(settings.fresh_for()),
                policy: settings.policy(),
                thresholds: settings.thresholds,
                members,
                primary_wait: settings.primary_wait,
                roles: is_auto.then(Roles::default),
                is_decided: !is_auto,
                demoted: None,
                drained_until: None,
            }),
            changed: watch::Sender::new(0),
            urgency: Urgency::new(now),
            waiters: Waiters::default(),
            primary_changes: AtomicU64::new(0),
        };
        topology.publish(&topology.lock(), &topology.load(), now);
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

    /// Times that another server was seen to be the primary.
    pub(super) fn changes(&self) -> u64 {
        self.primary_changes.load(Ordering::Relaxed)
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
        let may_be =
            |server: &Server| server.config.role == Role::Primary || server.config.candidate;
        if !servers.iter().any(may_be) {
            return Err(NoPrimary);
        }
        let mut core = self.lock();
        let old = self.snapshot();
        let mut built = Built { created: core.members, ..Built::default() };
        for server in servers {
            let known = old.members().find(|member| member.is_same_server(&server.config));
            built.add(server, known, now);
        }
        let is_auto = built.is_auto();
        let (primary, replicas) = built.split(Some(&old.primary)).ok_or(NoPrimary)?;
        core.members = built.created;
        core.primary_wait = settings.primary_wait;
        core.set_auto(is_auto, Arc::ptr_eq(&primary, &old.primary));
        core.policy = settings.policy();
        core.thresholds = settings.thresholds;
        core.reference.set_fresh_for(settings.fresh_for());
        if !Arc::ptr_eq(&primary, &old.primary) {
            core.reference.reset();
            forget_lag(&replicas, NoLag::PrimaryNotSampled);
            forget_position(&primary);
            forget_position(&old.primary);
            core.demoted = Some(old.primary.id());
            core.make_way(&old.primary);
        }
        let mut next = Cluster {
            primary,
            replicas,
            candidates: Candidates::default(),
            hold: None,
            rivals: Vec::new(),
        };
        if let Some(roles) = &mut core.roles {
            roles.retain(|id| next.member(id).is_some());
        }
        let decision = core.decide(&next, now);
        (next.hold, next.rivals) = (decision.hold, decision.rivals);
        next.primary.set_holds_writes(core.roles.is_some() && next.hold == Some(Hold::ReadOnly));
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
        self.waiters.look(&self.load());
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
        let role = match is_primary && self.lock().is_decided {
            true => Role::Primary,
            false => Role::Replica,
        };
        let channels = {
            let core = self.lock();
            let is_writable = tracker.status().read_only.is_some_and(|it| !it.read_only);
            let is_rival = core.roles.is_some() && is_writable && (!is_primary || !core.is_decided);
            is_rival || tracker.wants_channels(&core.reference, now)
        };
        let sent =
            role == Role::Primary && tracker.wants_sent(self.waiters.wait_for_primary(), now);
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
    ) -> Changes {
        let mut core = self.lock();
        let cluster = self.load();
        if !cluster.members().any(|other| Arc::ptr_eq(other, member)) {
            return Changes::default();
        }
        let is_primary = core.is_decided && Arc::ptr_eq(&cluster.primary, member);
        let role = if is_primary { Role::Primary } else { Role::Replica };
        let answered = match &event {
            Event::Answered(_) => Some(true),
            Event::Connected(_) | Event::NotAnswered(..) => Some(false),
            Event::Session(_) | Event::Waiting | Event::Unanswered(_) => None,
        };
        let hangs = match &event {
            Event::Unanswered(_) => true,
            Event::Answered(_) | Event::NotAnswered(Report::Busy | Report::Denied, _) => false,
            _ => member.hangs(),
        };
        let thresholds = core.thresholds;
        let notes = tracker.observe(event, role, &mut core.reference, &thresholds, now);
        let status = tracker.status();
        member.set_hangs(hangs);
        member.set_status(status.clone());
        if notes.contains(&Note::PrimaryWentBack) {
            // They are about what the primary no longer has; the next probes say more.
            cluster.replicas.iter().for_each(|replica| forget_position(replica));
            forget_lag(&cluster.replicas, NoLag::ReplicaNotProbed);
        }
        if is_primary {
            member.set_applied_through(status.shown_through);
            measure_unknown(&cluster.replicas, &core.reference, now);
            cluster.replicas.iter().for_each(|replica| prove(replica, &core.reference));
        } else {
            prove(member, &core.reference);
        }
        if let (Some(roles), Some(answered)) = (&mut core.roles, answered) {
            roles.observe(member.id(), status, answered, is_primary);
        }
        let (next, roles) = self.follow(&mut core, &cluster, now);
        let down_for = now.saturating_duration_since(status.health_since);
        let is_lost = down_for >= core.primary_wait || core.demoted == Some(member.id());
        member.set_given_up(status.health == Health::Down && is_lost);
        let reads = self.publish(&core, &next, now);
        self.waiters.look(&self.load());
        Changes { notes, reads, roles }
    }

    /// Takes a server out for maintenance, or puts it back. A primary stays what it is: its statements are
    /// held, half of `primary_wait` at most, so that what is open there can end and another can take over.
    pub(super) fn set_drained(
        &self,
        name: &str,
        drained: bool,
        now: Instant,
    ) -> Result<Changes, NotDrained> {
        let mut core = self.lock();
        let cluster = self.load();
        let member = cluster.members().find(|member| member.config().name == name);
        let member = member.ok_or(NotDrained::Unknown)?;
        if !Arc::ptr_eq(member, &cluster.primary) {
            member.set_drained(drained);
        } else if drained && core.primary_wait.is_zero() {
            return Err(NotDrained::NobodyWaits);
        } else if drained != member.is_drained() {
            core.drained_until = drained.then_some(now + core.primary_wait / 2);
            member.announce_drain(drained);
        }
        let (next, roles) = self.follow(&mut core, &cluster, now);
        let reads = self.publish(&core, &next, now);
        self.waiters.look(&self.load());
        Ok(Changes { notes: Vec::new(), reads, roles })
    }

    /// Works out the candidates of `next` anew and publishes it.
    fn publish(&self, core: &Core, next: &Cluster, now: Instant) -> Vec<ReadsChanged> {
        let old = self.load();
        let next = with_candidates(next, &old, &core.policy, now);
        let any_left = next.serves_reads(None) && !next.is_makeshift(None);
        let is_same_primary = Arc::ptr_eq(&next.primary, &old.primary);
        let mut changes = Vec::new();
        // With another primary all begin anew.
        for (index, member) in next.replicas.iter().enumerate().filter(|_| is_same_primary) {
            let (before, after) = (old.candidates.excluded(index), next.candidates.excluded(index));
            if before.is_some() != after.is_some() {
                let member = Arc::clone(member);
                changes.push(ReadsChanged { member, excluded: after, any_left });
            }
        }
        let is_same = is_same_primary
            && next.candidates == old.candidates
            && next.hold == old.hold
            && next.rivals == old.rivals;
        if !is_same {
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
    let candidates = eligible(&views, &old.candidates, policy, now);
    Cluster { candidates, ..cluster.clone() }
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
    all: Vec<Arc<Member>>,
    new: Vec<NewMember>,
    kept: Vec<String>,
    created: u32,
}

impl Built {
    fn add(&mut self, server: Server, known: Option<&Arc<Member>>, now: Instant) {
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
        self.all.push(member);
    }

    /// Roles are by observation: the configuration names no primary.
    fn is_auto(&self) -> bool {
        !self.all.iter().any(|member| member.config().role == Role::Primary)
    }

    /// The primary, or the one that is taken for it until that is known (`old`, if it may be), and the
    /// others.
    fn split(&self, old: Option<&Arc<Member>>) -> Option<(Arc<Member>, Arc<[Arc<Member>]>)> {
        let is_old = |member: &&Arc<Member>| old.is_some_and(|old| Arc::ptr_eq(old, member));
        let mut candidates = self.all.iter().filter(|member| member.config().candidate);
        let named = self.all.iter().find(|member| member.config().role == Role::Primary);
        let primary =
            named.or_else(|| candidates.clone().find(is_old)).or_else(|| candidates.next())?;
        let others = self.all.iter().filter(|member| !Arc::ptr_eq(member, primary));
        Some((Arc::clone(primary), others.map(Arc::clone).collect()))
    }
}

mod follow;
#[cfg(test)]
mod tests;
