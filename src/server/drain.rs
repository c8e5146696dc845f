//! Servers that are taken out for maintenance, and what still runs there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Server;
use super::elders::Elders;
use super::samples::is_eligible;
use crate::admin::{DrainRefusal, ServerState, ServerStates, Word};
use crate::cluster::{ClusterHandle, Lag, Member, NotDrained};
use crate::session::registry::{Activity, Registry};

/// Sessions that are looked at.
const MAX_SESSIONS: usize = 100_000;

/// The servers of a running lagwise.
pub struct Servers {
    /// Which there are.
    pub cluster: Arc<ClusterHandle>,
    /// Who uses them.
    pub registry: Arc<Registry>,
    /// Who uses them, besides.
    pub elders: Arc<Elders>,
}

impl Servers {
    /// What keeps each server in use: sessions that have a connection there, counted by the reason.
    fn waits(&self) -> BTreeMap<String, BTreeMap<Word, usize>> {
        let mut waits: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
        for session in self.registry.snapshot(MAX_SESSIONS).sessions {
            let runs = session.activity == Activity::Runs;
            let why = session.held_by.unwrap_or(if runs { "statement" } else { "session" });
            for connection in session.primary.into_iter().chain(session.replica) {
                *waits.entry(connection.server).or_default().entry(why.into()).or_default() += 1;
            }
        }
        waits
    }
}

impl ServerStates for Servers {
    fn servers(&self) -> Vec<ServerState> {
        let mut waits = self.waits();
        let cluster = self.cluster.snapshot();
        let elders = self.elders.count();
        let state = |member: &Arc<Member>| {
            let config = member.config();
            let is_primary = Arc::ptr_eq(member, cluster.primary());
            let lag = self.cluster.lag(member, Instant::now()).filter(|_| !is_primary);
            let mut used_by = waits.remove(&config.name).unwrap_or_default();
            if is_primary && member.is_drained() {
                in_the_way(&mut used_by, member);
            }
            if member.is_drained() && elders > 0 {
                // They give it no more work, and nobody knows what they still have there.
                used_by.insert("process before".into(), elders);
            }
            let in_ms = |lag: Duration| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
            ServerState {
                address: config.address.to_string(),
                lag_ms: lag.and_then(Lag::known).map(in_ms),
                lag_form: lag.map(Lag::form).map(Word::Borrowed),
                role: if is_primary { "primary" } else { "replica" }.into(),
                health: member.with_status(|status| status.health.as_str()).into(),
                eligible: is_eligible(&cluster, member),
                excluded: cluster.excluded(member).map(|why| why.to_string()),
                drained: member.is_drained(),
                connections: member.pool().open(),
                running: member.outstanding(),
                used_by,
                name: config.name.clone(),
            }
        };
        cluster.members().map(state).collect()
    }

    fn set_drained(&self, name: &str, drained: bool) -> Result<(), DrainRefusal> {
        self.cluster.set_drained(name, drained).map_err(|error| match error {
            NotDrained::Unknown => DrainRefusal::Unknown,
            NotDrained::NobodyWaits => DrainRefusal::Refused(error.to_string()),
        })?;
        tracing::info!(server = name, drained, "by command");
        // Those that are idle give up their connections to it.
        self.registry.servers_removed();
        self.elders.drained(&drained_servers(&self.cluster));
        Ok(())
    }
}

/// Leaves of what uses a drained primary what another cannot take over: what sessions have open or hold
/// there, and statements that began before the drain. Reads go on, and end by themselves.
fn in_the_way(used_by: &mut BTreeMap<Word, usize>, primary: &Member) {
    const MOVES: [&str; 5] = ["session", "statement", "warnings", "row_count", "connection_id"];
    used_by.retain(|why, _| !MOVES.contains(&why.as_ref()));
    let running = primary.outstanding_since_before();
    if running > 0 {
        used_by.insert("statement".into(), usize::try_from(running).unwrap_or(usize::MAX));
    }
}

/// The names of drained servers.
pub fn drained_servers(cluster: &ClusterHandle) -> Vec<String> {
    let cluster = cluster.snapshot();
    let drained = cluster.members().filter(|member| member.is_drained());
    drained.map(|member| member.config().name.clone()).collect()
}

impl Server {
    /// What `/servers` and the console are given.
    pub(super) fn server_states(&self) -> Arc<Servers> {
        Arc::new(Servers {
            cluster: Arc::clone(&self.cluster),
            registry: Arc::clone(&self.context.registry),
            elders: Arc::clone(&self.elders),
        })
    }

    /// The process that took over says which servers are drained: these, and no others.
    pub(super) fn drain_as_told(&self, names: &[String]) {
        let cluster = self.cluster.snapshot();
        for member in cluster.members() {
            let name = &member.config().name;
            let drained = names.contains(name);
            if drained != member.is_drained()
                && let Err(error) = self.cluster.set_drained(name, drained)
            {
                tracing::warn!(server = name, %error, "not drained as in the process after");
            }
        }
        self.context.registry.servers_removed();
    }
}
