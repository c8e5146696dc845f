//! The servers: which there are, which of them live, and how far each replica is behind.
//!
//! Sessions load a [`Cluster`] once per command, without waiting, and find everything worked out:
//! the primary, and the replicas that may take reads. One monitor per server keeps it that way.
//!
//! In reading order:
//! - [`position`], [`gtid_mysql`], [`gtid_mariadb`], [`coordinates`]: which transactions a server
//!   holds.
//! - [`lag`]: how far behind a replica is, from positions. [`errant`]: what it has too much.
//!   [`channels`]: what replicas say of their replication where positions do not suffice.
//! - [`health`]: whether a server can be used, as a state machine.
//! - [`probe`]: what is asked of a server, and how the answer is read.
//! - [`tracker`]: from observations to a member's status. All of these are pure.
//! - [`floor`]: what a replica must have for one read. [`view`]: which replicas may take reads, and the choice among them. Pure.
//! - [`settings`]: what of the configuration matters here.
//! - [`member`]: one server and its published status.
//! - [`roles`]: who takes the writes. Pure. [`role_change`]: what operators are told of it.
//! - [`snapshot`]: the published picture. [`topology`]: the one place that changes it.
//! - `urgency`: whether sessions wait for replication, so that servers are asked more often.
//!   `waiters`: reads that do.
//! - [`rotation`]: the monitor's password changes.
//! - `seen_as`: where the primary sees lagwise.
//! - [`shown`]: until when the primary shows all that replicas could show. Pure.
//! - `monitor`: the task that watches one server, `ask` what it asks. [`native_hashes`]: a second
//!   small task, for old clients. [`catalogue`]: a third, for consistency by table.
//!   With [`inspect`] the only I/O.
//! - [`inspect`]: a look at a server for `lagwise check --connect`. [`findings`]: what is wrong there; pure.
//!
//! Deliberately absent: promoting a server. That is for a DBA or a tool to do; lagwise follows.

mod ask;
pub mod catalogue;
pub mod channels;
pub mod coordinates;
pub mod errant;
pub mod findings;
pub mod floor;
pub mod gtid_mariadb;
pub mod gtid_mysql;
pub mod health;
pub mod inspect;
pub mod lag;
pub mod member;
mod monitor;
pub mod native_hashes;
pub mod position;
pub mod probe;
pub mod role_change;
pub mod roles;
pub mod rotation;
mod seen_as;
pub mod settings;
pub mod shown;
pub mod snapshot;
pub mod topology;
pub mod tracker;
mod urgency;
pub mod view;
mod waiters;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};

pub use floor::{Floor, OwnWrites, Part};
pub use health::Health;
pub use lag::Lag;
pub use member::{Member, MemberId, MemberStatus, SessionFailure};
pub use position::{Flavor, Position};
pub use roles::Hold;
pub use settings::{Server, Settings};
pub use snapshot::Cluster;
pub use topology::{Applied, NoPrimary, NotDrained};
pub use view::Wish;

use crate::auth::CredentialSecret;
use crate::backend::connection::ServerFacts;
use crate::backend::{self, Connection};
use crate::pool;
use monitor::Monitor;
use role_change::RoleChange;
use topology::{NewMember, Topology};
use waiters::Awaited;

/// Idle connections of a process that gets no new sessions are closed after this long.
const SHORT_IDLE: Duration = Duration::from_secs(1);

/// How long a process that is to take over waits for replicas that take no reads yet.
const REPLICAS_WAIT: Duration = Duration::from_secs(2);

/// The running cluster. Share it behind an `Arc`; when the last one goes, the monitors stop.
#[derive(Debug)]
pub struct ClusterHandle {
    topology: Arc<Topology>,
    settings: watch::Sender<Arc<Settings>>,
}

impl ClusterHandle {
    /// Starts a monitor for each server. Must be called within the runtime.
    ///
    /// # Errors
    /// [`NoPrimary`]; nothing was started.
    pub fn start(servers: Vec<Server>, settings: Settings) -> Result<ClusterHandle, NoPrimary> {
        let (topology, new) = Topology::new(servers, &settings, Instant::now().into_std())?;
        let settings = watch::Sender::new(Arc::new(settings));
        let handle = ClusterHandle { topology: Arc::new(topology), settings };
        handle.watch(new);
        Ok(handle)
    }

    /// Takes over a new configuration, in one step for everybody who looks. Servers that stay the
    /// same (name, address and TLS) keep their status, connections and monitor.
    ///
    /// # Errors
    /// [`NoPrimary`]; nothing was changed.
    pub fn apply(&self, servers: Vec<Server>, settings: Settings) -> Result<Applied, NoPrimary> {
        let now = Instant::now().into_std();
        let (applied, new) = self.topology.apply(servers, &settings, now)?;
        // Wakes every monitor, so that a new primary is known at once.
        self.settings.send_replace(Arc::new(settings));
        self.watch(new);
        Ok(applied)
    }

    /// Uses another password for the monitor's account from now on, if it still comes from this file.
    /// Whether it is another.
    fn exchange_password(&self, file: &std::path::Path, secret: CredentialSecret) -> bool {
        self.settings.send_if_modified(|settings| {
            let is_new = settings.password_file.as_deref() == Some(file)
                && settings.credential.secret != secret;
            if is_new {
                Arc::make_mut(settings).credential.secret = secret;
            }
            is_new
        })
    }

    /// The present picture; load it once per command. Do not keep the guard for long: for that
    /// there is [`ClusterHandle::snapshot`].
    pub fn load(&self) -> Guard<Arc<Cluster>> {
        self.topology.load()
    }

    /// A session waits until a replica has its write: positions are asked for more often now.
    pub fn wait_for_replication(&self, now: std::time::Instant) {
        self.topology.urgency.wait(now);
    }

    /// A read waits until a replica meets `floor`: look whether one does, ask for this, and look again
    /// when it says so. It may say so too early, and to drop it is to wait no longer.
    pub fn wait_for(&self, floor: Floor, now: std::time::Instant) -> oneshot::Receiver<()> {
        let woken = self.topology.waiters.add(Awaited::Replica(floor));
        self.topology.urgency.wait(now);
        self.topology.urgency.hurry();
        woken
    }

    /// A read waits until the primary shows all that replicas could show at `at`: look first, and again
    /// when told, as above.
    pub fn wait_for_primary(&self, at: std::time::Instant) -> oneshot::Receiver<()> {
        let woken = self.topology.waiters.add(Awaited::Primary(at));
        self.topology.urgency.hurry();
        woken
    }

    /// A statement could not be run on the primary `failed` at `since`, and waits for a primary that takes
    /// it ([`Cluster::takes_statements`]): look first, and again when told, as above.
    pub fn wait_for_writable(
        &self,
        failed: MemberId,
        since: std::time::Instant,
    ) -> oneshot::Receiver<()> {
        let woken = self.topology.waiters.add(Awaited::Writable(failed, since));
        self.topology.urgency.hurry();
        woken
    }

    /// Times that another server was seen to be the primary, where roles are by observation.
    pub fn primary_changes(&self) -> u64 {
        self.topology.changes()
    }

    /// Statements that wait for a primary.
    pub fn waiting_for_writable(&self) -> usize {
        self.topology.waiters.for_writable()
    }

    /// How far a member is behind at `now`; `None` for the primary. What the picture says is as old as
    /// the member's last probe.
    pub fn lag(&self, member: &Member, now: std::time::Instant) -> Option<Lag> {
        self.topology.lag(member, now)
    }

    /// Reads that wait for a replica, or for the primary to show what a replica has shown.
    pub fn waiting(&self) -> usize {
        self.topology.waiters.count()
    }

    /// The present picture, to keep.
    pub fn snapshot(&self) -> Arc<Cluster> {
        self.topology.snapshot()
    }

    /// The settings now in force.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// Wakes whenever anything about any server has changed, so that a waiter can look again.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.topology.changed()
    }

    /// What the primary said of itself, for greeting clients; waits for the monitor's first login
    /// until `deadline`.
    pub async fn primary_facts(&self, deadline: Instant) -> Option<Arc<ServerFacts>> {
        let mut changed = self.changed();
        loop {
            if let Some(facts) = self.load().primary_facts() {
                return Some(facts);
            }
            timeout_at(deadline, changed.changed()).await.ok()?.ok()?;
        }
    }

    /// A connection to the primary as the monitor's account, for what is asked now and then.
    async fn connect_to_primary(&self, deadline: Instant) -> Result<Connection, backend::Error> {
        let primary = Arc::clone(self.load().primary());
        let settings = self.settings();
        monitor::connect(primary.endpoint(), &settings, deadline, &mut None).await
    }

    /// Closes idle connections, and all others when they are given back: lagwise is being stopped.
    pub fn close_pools(&self) {
        self.snapshot().members().for_each(|member| member.pool().close());
    }

    /// Takes a server out for maintenance, or puts it back. At the primary, what would begin to write waits,
    /// half of `primary_wait` at most.
    ///
    /// # Errors
    /// There is none of that name, or it is the primary, and statements do not wait.
    pub fn set_drained(&self, name: &str, drained: bool) -> Result<(), NotDrained> {
        let changes = self.topology.set_drained(name, drained, Instant::now().into_std())?;
        changes.roles.iter().for_each(RoleChange::log);
        Ok(())
    }

    /// Keeps connections no longer than for a moment: there will be no new sessions.
    pub fn shrink_pools(&self) {
        for member in self.snapshot().members() {
            let limits = member.pool().limits();
            let idle_timeout = limits.idle_timeout.min(SHORT_IDLE);
            member.pool().set_limits(pool::Limits { min_idle: 0, idle_timeout, ..limits });
        }
    }

    /// Returns true once clients can be greeted, and either every replica takes reads or a while has passed
    /// for those that do not; false if the primary cannot be reached until `deadline`.
    pub async fn until_useful(&self, deadline: Instant) -> bool {
        if self.primary_facts(deadline).await.is_none() {
            return false;
        }
        let mut changed = self.changed();
        let deadline = deadline.min(Instant::now() + REPLICAS_WAIT);
        let all_serve = || {
            let cluster = self.load();
            cluster.replicas().iter().all(|replica| cluster.excluded(replica).is_none())
        };
        while !all_serve() {
            match timeout_at(deadline, changed.changed()).await {
                Ok(Ok(())) => {}
                _ => break,
            }
        }
        true
    }

    /// Connections of sessions to the servers that the configuration names.
    pub fn open_connections(&self) -> usize {
        self.snapshot().members().map(|member| member.pool().open()).sum()
    }

    fn watch(&self, new: Vec<NewMember>) {
        for (member, reports) in new {
            let topology = Arc::clone(&self.topology);
            let settings = self.settings.subscribe();
            tokio::spawn(pool::maintain::run(Arc::downgrade(member.pool())));
            tokio::spawn(Monitor { topology, member, reports, settings }.run());
        }
    }
}
