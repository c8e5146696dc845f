//! What a scrape asks of the topology.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, ClusterHandle, Health, Hold, Lag, Member};
use crate::metrics::{PrimarySample, Role, ServerSample, ServerSource};

/// The servers of a running cluster.
pub struct Servers(pub Arc<ClusterHandle>);

/// It may get work: a primary that may be alive, a replica that nothing speaks against.
pub fn is_eligible(cluster: &Cluster, member: &Arc<Member>) -> bool {
    if Arc::ptr_eq(member, cluster.primary()) {
        member.with_status(|status| status.health.may_be_alive())
    } else {
        cluster.excluded(member).is_none()
    }
}

impl ServerSource for Servers {
    fn servers(&self) -> Vec<ServerSample> {
        let cluster = self.0.snapshot();
        let sample = |member: &Arc<Member>| {
            let primary = Arc::ptr_eq(member, cluster.primary());
            let status = member.status();
            let (levels, counters) = (member.pool().levels(), member.pool().counters());
            let lag = self.0.lag(member, Instant::now()).filter(|_| !primary);
            ServerSample {
                name: member.config().name.clone(),
                role: if primary { Role::Primary } else { Role::Replica },
                up: status.health == Health::Up,
                lag: lag.and_then(Lag::known),
                lag_form: lag.map(Lag::form),
                errant: status.errant.is_some(),
                drained: member.is_drained(),
                health: status.health.as_str(),
                eligible: is_eligible(&cluster, member),
                outstanding: u64::from(member.outstanding()),
                connections: levels.open as u64,
                max_connections: member.config().max_connections as u64,
                idle: levels.idle as u64,
                waiting: levels.waiting as u64,
                circuit_open: levels.is_circuit_open,
                checkouts: member.pool().checkouts(),
                connects: counters.connects(),
                connect_failures: counters.connect_failures(),
                handed_on: counters.handed(),
                probes: member.counters().probes.load(Ordering::Relaxed),
                probe_failures: member.counters().probe_failures.load(Ordering::Relaxed),
            }
        };
        cluster.members().map(sample).collect()
    }

    fn primary(&self) -> PrimarySample {
        let cluster = self.0.load();
        PrimarySample {
            waiting: self.0.waiting_for_writable() as u64,
            holds: Hold::NAMES,
            held: cluster.hold().map(Hold::as_str),
            changes: self.0.primary_changes(),
            rivals: cluster.rivals().len() as u64,
        }
    }

    fn max_lag(&self) -> Duration {
        self.0.settings().max_lag
    }

    fn waiting_reads(&self) -> u64 {
        self.0.waiting() as u64
    }

    fn health_states(&self) -> &'static [&'static str] {
        &["starting", "up", "suspect", "down", "denied"]
    }

    fn lag_forms(&self) -> &'static [&'static str] {
        Lag::FORMS
    }
}
