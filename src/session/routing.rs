//! Where a statement of this session goes: the pure decision, with the servers as they are now.

use std::sync::Arc;

use super::Session;
use super::context::Settings;
use super::job::{Job, Tried};
use super::prove::is_starting;
use super::rules::{has_tag, wish};
use crate::cluster::{Cluster, Floor, Member, Part, Wish};
use crate::config::WhenAllLag;
use crate::route::{self, PinCause, Reason, Route, Rule, SessionFacts, Side, Target, Transaction};

/// A decision, with the server that it comes to.
pub(super) struct Routed {
    /// Target and reason.
    pub route: Route,
    /// The side of the session that runs it.
    pub side: Side,
    /// The server; `None` if the statement is refused.
    pub member: Option<Arc<Member>>,
    /// The rule that matched, by its index.
    pub rule: Option<usize>,
    /// What no replica has that the read must see, if only for that it goes to the primary.
    pub lacks: Option<Box<(Part, Floor)>>,
}

impl Routed {
    /// Refused.
    pub(super) fn nowhere(route: Route, rule: Option<usize>) -> Self {
        Self { route, side: Side::Primary, member: None, rule, lacks: None }
    }
}

impl Session {
    /// Where the statement goes, and why.
    pub(super) fn route(
        &mut self,
        job: &Job<'_>,
        settings: &Settings,
        cluster: &Cluster,
        tried: &Tried,
    ) -> Routed {
        if let Some((keeper, _)) = self.rules.keeper() {
            return self.route_kept(job, keeper, settings, cluster, &tried.avoid);
        }
        let rule = self.find_rule(job);
        let says = rule.and_then(|index| self.rules.get(index)).map(Rule::says);
        if let Some(side) = job.fixed
            && says.is_none_or(|says| !says.read_only)
        {
            return self.route_to_fixed(side, cluster, rule);
        }
        if tried.primary_only {
            let member = Some(Arc::clone(cluster.primary()));
            let route = Route { target: Target::Primary, reason: Reason::NoReplica };
            return Routed { route, side: Side::Primary, member, rule, lacks: None };
        }
        let (pinned, floor) = self.must_see(job, settings, cluster, tried);
        let pinned = tried.behind.as_ref().map(|_| PinCause::Behind).or(pinned);
        let refused_function = tried.refused || settings.learned.are_called_by(&job.statement);
        let rule_says = says.unwrap_or_default();
        let facts = self.state.facts(pinned);
        let hold = facts.hold.or(self.text_prepared.hold());
        // A prepared statement is about the schema that it was prepared in.
        let in_server_schema = facts.in_server_schema && job.statement_id.is_none();
        let facts = SessionFacts {
            rule: rule_says,
            refused_function,
            hold,
            in_server_schema,
            stays_with_conditions: self.stays_with_conditions(job),
            ..facts
        };
        let mut route = route::decide(&job.statement, &facts, &settings.policy);
        let mut lacks = None;
        let member = match route.target {
            Target::Nowhere => return Routed::nowhere(route, rule),
            _ if job.fixed.is_some() => {
                return self.route_to_fixed(job.fixed.unwrap_or_default(), cluster, rule);
            }
            Target::Primary => None,
            Target::Last => self.current_replica(),
            Target::Replica if facts.transaction == Transaction::OnReplica => {
                self.current_replica()
            }
            Target::Replica => {
                let wish = self.wish_for(job, rule, settings);
                let chosen = self.choose(cluster, wish, &floor, &tried.avoid);
                (route, lacks) = match chosen {
                    Some(_) => (served(route, wish, settings, cluster), None),
                    None => self.not_served(wish, floor, settings, cluster),
                };
                chosen
            }
        };
        let side = match (route.target, &member) {
            (Target::Primary | Target::Nowhere, _) | (Target::Last, None) => Side::Primary,
            (Target::Replica | Target::Last, _) => Side::Replica,
        };
        let member = (route.target != Target::Nowhere)
            .then(|| member.unwrap_or_else(|| Arc::clone(cluster.primary())));
        match route.target {
            Target::Primary if route.reason.pin().is_some() => self.pin_gauge(route.reason.pin()),
            Target::Replica => self.pin_gauge(None),
            _ => {}
        }
        Routed { route, side, member, rule, lacks }
    }

    fn route_to_fixed(&self, side: Side, cluster: &Cluster, rule: Option<usize>) -> Routed {
        let replica = self.current_replica().filter(|_| side == Side::Replica);
        let side = if replica.is_some() { Side::Replica } else { Side::Primary };
        let target = if replica.is_some() { Target::Replica } else { Target::Primary };
        let member = Some(replica.unwrap_or_else(|| Arc::clone(cluster.primary())));
        Routed {
            route: Route { target, reason: Reason::SameConnection },
            side,
            member,
            rule,
            lacks: None,
        }
    }

    /// What a read by this job asks of a replica.
    pub(super) fn wish_for<'a>(
        &'a self,
        job: &'a Job<'_>,
        rule: Option<usize>,
        settings: &Settings,
    ) -> Wish<'a> {
        let hint = job.statement.hint.filter(|_| settings.policy.hints);
        let text = || self.text_of(job).unwrap_or_default();
        wish(rule.and_then(|index| self.rules.get(index)), hint, text, settings.max_lag)
    }

    /// The route of a read for which no replica could be chosen; and what none has, if that is why.
    fn not_served(
        &self,
        wish: Wish<'_>,
        floor: Floor,
        settings: &Settings,
        cluster: &Cluster,
    ) -> (Route, Option<Box<(Part, Floor)>>) {
        let refuses = settings.when_all_lag == WhenAllLag::Error && wish.max_lag.is_none();
        if refuses && is_for_replicas(cluster, wish.tag, &floor) {
            return (Route { target: Target::Nowhere, reason: Reason::ReadRefused }, None);
        }
        self.not_replicated(cluster, floor, |member| cluster.allows(wish, member))
    }

    fn current_replica(&self) -> Option<Arc<Member>> {
        self.servers.replica_member().map(Arc::clone)
    }

    /// The replica for a read: the one that the session reads from as long as it is among the
    /// best, so that it keeps its connection; or while no other has what the session has seen.
    fn choose(
        &self,
        cluster: &Cluster,
        wish: Wish<'_>,
        floor: &Floor,
        avoid: &[Arc<Member>],
    ) -> Option<Arc<Member>> {
        let accept = |member: &Member| floor.is_met_by(member, cluster) && !is_among(avoid, member);
        let current = self.servers.replica_member();
        if let Some(current) = current
            && cluster.keeps(wish, current)
            && accept(current)
        {
            return Some(Arc::clone(current));
        }
        let chosen = cluster.choose(wish, fastrand::u64(..), accept);
        let stays = |member: &&Arc<Member>| cluster.allows(wish, member) && accept(member);
        chosen.or_else(|| current.filter(stays)).cloned()
    }

    /// Counts a decision.
    pub(super) fn count_route(&self, routed: &Routed, settings: &Settings) {
        let Route { target, reason } = routed.route;
        let place = match (target, routed.side) {
            (Target::Nowhere, _) => 2,
            _ if self.is_kept() => 1,
            (_, Side::Primary) => 0,
            (_, Side::Replica) => 1,
        };
        self.context.metrics.local().query(place, reason.index());
        if let Some(index) = routed.rule
            && self.rules.are_of(&settings.policy.rules)
            && let Some(count) = settings.rule_counts.get(index)
        {
            count.add();
        }
        let rule = || routed.rule.and_then(|index| self.rules.get(index)).map(|rule| &*rule.name);
        let (session, target, reason) = (self.id(), target.as_str(), reason.as_str());
        tracing::trace!(session, target, reason, rule = rule(), "statement");
    }

    /// Writes the statement to the log, which the operator has asked for.
    pub(super) fn log_statement(&self, job: &Job<'_>, routed: &Routed, settings: &Settings) {
        if fastrand::u32(..settings.log_sql_one_in.max(1)) != 0 {
            return;
        }
        let sql = self.shown_text(job, settings.log_sql);
        let (session, reason) = (self.id(), routed.route.reason.as_str());
        let server = routed.member.as_ref().map(|member| member.config());
        let server = server.as_ref().map(|config| config.name.as_str());
        let rule = routed.rule.and_then(|index| self.rules.get(index)).map(|rule| &*rule.name);
        tracing::info!(session, side = ?routed.side, server, reason, rule, ?sql, "statement");
    }
}

/// The route of a read that a replica serves.
fn served(route: Route, wish: Wish<'_>, settings: &Settings, cluster: &Cluster) -> Route {
    let is_late = settings.when_all_lag == WhenAllLag::LeastLagged
        && wish.max_lag.is_none()
        && cluster.is_makeshift(wish.tag);
    Route { reason: if is_late { Reason::LaggingReplica } else { route.reason }, ..route }
}

/// Whether a read that no replica serves now is one that they would serve if all were well, and so is
/// none for the primary: there are replicas for it, what is wrong with them is known, and it does not
/// wait for something that none of them has.
fn is_for_replicas(cluster: &Cluster, tag: Option<&str>, floor: &Floor) -> bool {
    let fits = |member: &Arc<Member>| has_tag(member, tag) && floor.is_met_by(member, cluster);
    !is_starting(cluster, tag) && cluster.replicas().iter().any(fits)
}

/// Whether the server is one of these.
pub(super) fn is_among(members: &[Arc<Member>], member: &Member) -> bool {
    members.iter().any(|other| std::ptr::eq(&**other, member))
}
