//! Where a statement of this session goes: the pure decision, with the servers as they are now.

use std::sync::Arc;
use std::time::Instant;

use super::Session;
use super::context::Settings;
use super::execute::{Job, Tried};
use super::pin::Demand;
use crate::cluster::{Cluster, Member, Position};
use crate::protocol::response::ResponseKind;
use crate::route::{self, PinCause, Reason, Route, Side, Target, Transaction};

/// Of a statement that is logged, at most this many bytes.
const MAX_LOGGED: usize = 1024;

impl Session {
    /// Where the statement goes, and why.
    pub(super) fn route(
        &mut self,
        job: &Job<'_>,
        settings: &Settings,
        cluster: &Cluster,
        tried: &Tried,
    ) -> (Route, Arc<Member>) {
        let primary = || Arc::clone(cluster.primary());
        if let Some(side) = job.fixed {
            return self.route_to_fixed(side, cluster);
        }
        if tried.primary_only {
            return (self.no_replica(false), primary());
        }
        let now = Instant::now();
        let demand = self.state.pin.demand(settings.pin, now, || cluster.primary_sample());
        let (pinned, floor) = match demand {
            Demand::None => (None, None),
            Demand::Primary(cause) => (Some(cause), None),
            Demand::Position(position) => (None, Some(position)),
        };
        self.pin_gauge(pinned.is_some() || floor.is_some());
        let mut facts = self.state.facts(pinned);
        facts.refused_function = tried.refused || settings.learned.are_called_by(&job.statement);
        let route = route::decide(&job.statement, &facts, &settings.policy);
        match route.target {
            Target::Primary => (route, primary()),
            Target::Last if self.state.last_side() == Side::Primary => (route, primary()),
            Target::Last => (route, self.current_replica().unwrap_or_else(primary)),
            Target::Replica if facts.transaction == Transaction::OnReplica => {
                (route, self.current_replica().unwrap_or_else(primary))
            }
            Target::Replica => match self.choose(cluster, floor.as_deref(), &tried.avoid) {
                Some(member) => (route, member),
                None => (self.no_replica(floor.is_some()), primary()),
            },
        }
    }

    fn route_to_fixed(&self, side: Side, cluster: &Cluster) -> (Route, Arc<Member>) {
        let replica = self.current_replica().filter(|_| side == Side::Replica);
        let target = if replica.is_some() { Target::Replica } else { Target::Primary };
        let member = replica.unwrap_or_else(|| Arc::clone(cluster.primary()));
        (Route { target, reason: Reason::SameConnection }, member)
    }

    /// The route of a read that no replica may serve.
    fn no_replica(&self, pinned: bool) -> Route {
        let cause = self.state.pin.cause().unwrap_or(PinCause::Write);
        let reason = if pinned { cause.into() } else { Reason::NoReplica };
        Route { target: Target::Primary, reason }
    }

    fn current_replica(&self) -> Option<Arc<Member>> {
        self.servers.replica_member().map(Arc::clone)
    }

    /// The replica for a read: the one that the session reads from as long as it is among the
    /// best, so that it keeps its connection.
    fn choose(
        &mut self,
        cluster: &Cluster,
        floor: Option<&Position>,
        avoid: &[Arc<Member>],
    ) -> Option<Arc<Member>> {
        let accept = |member: &Member| {
            let applied = |floor| member.with_status(|status| status.has_applied(floor));
            floor.is_none_or(applied) && !avoid.iter().any(|other| std::ptr::eq(&**other, member))
        };
        if let Some(current) = self.servers.replica_member()
            && cluster.is_among_best(None, current)
            && accept(current)
        {
            return Some(Arc::clone(current));
        }
        cluster.choose(None, fastrand::u64(..), accept).cloned()
    }

    pub(super) fn count_route(&mut self, side: Side, reason: Reason) {
        let target = match side {
            Side::Primary => 0,
            Side::Replica => 1,
        };
        self.context.metrics.local().query(target, reason.index());
        tracing::trace!(session = self.id(), target, reason = reason.as_str(), "statement");
    }

    /// Writes the statement to the log, which the operator has asked for.
    pub(super) fn log_statement(&self, job: &Job<'_>, side: Side, reason: Reason) {
        let prepared = job.statement_id.and_then(|id| self.prepared.get(id));
        let text = match (prepared, job.kind) {
            (Some(prepared), _) => Some(&prepared.text[..]),
            (None, ResponseKind::Prepare) => job.incoming.payload().get(1..),
            (None, _) => self.query_text(job.incoming),
        };
        let text = text.unwrap_or_default();
        let sql = String::from_utf8_lossy(text.get(..MAX_LOGGED).unwrap_or(text));
        tracing::info!(session = self.id(), ?side, reason = reason.as_str(), ?sql, "statement");
    }
}

/// The side of a target.
pub(super) fn side_of(target: Target, last: Side) -> Side {
    match target {
        Target::Primary => Side::Primary,
        Target::Replica => Side::Replica,
        Target::Last => last,
    }
}
