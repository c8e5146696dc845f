//! What the operator's rules and the application's hints mean to one session.
//!
//! A rule by user alone that says `read_only` keeps the whole session on a replica: the side that
//! other sessions have on the primary is a replica then, chosen by the rule's tag, and there is no
//! second side. So the session's state, its transactions and its prepared statements are on one
//! connection, as on a direct one, and no code path leads to the primary.

use std::sync::Arc;
use std::time::Duration;

use super::Session;
use super::commands::query_text;
use super::context::Settings;
use super::error::{self, End, Kind};
use super::job::{Done, Job};
use super::prepared::Prepared;
use super::reply;
use super::routing::{Routed, is_among};
use crate::cluster::{Cluster, Floor, Member, Part, Wish};
use crate::protocol::ErrPacket;
use crate::protocol::command::code;
use crate::protocol::flags::Capabilities;
use crate::protocol::query;
use crate::protocol::response::ResponseKind;
use crate::route::{self, Kept, Reason, Route, Rule, SessionFacts, Side, Target, UserRules};
use crate::sql::{self, Flags, Hint, Statement};

/// Of the replicas that cannot serve, at most this many are named in an error.
const MAX_NAMED: usize = 5;

impl Session {
    /// True for a session that a rule keeps on a replica.
    #[inline]
    pub(super) fn is_kept(&self) -> bool {
        self.rules.keeper().is_some()
    }

    /// Takes over the rules of a reload. Where they say that the session lives elsewhere, that waits
    /// until nothing ties it to its connection; until then the old rules hold.
    pub(super) fn follow_rules(&mut self) {
        let settings = self.context.settings.load();
        if self.rules.are_of(&settings.policy.rules) {
            return;
        }
        let next = settings.policy.rules.of_user(&self.login.credential.user);
        let moves = home_of(&next) != home_of(&self.rules);
        if moves && self.is_tied() {
            return;
        }
        if moves {
            self.servers.drop_side(Side::Primary, &self.handle);
            self.servers.drop_side(Side::Replica, &self.handle);
            // A session on replicas has no pin, and one that comes from there is looked at anew.
            self.pin_gauge(None);
        }
        self.rules = next;
    }

    fn is_tied(&self) -> bool {
        self.state.is_bound_to_primary() || self.state.transaction() != route::Transaction::None
    }

    /// Finds the rule for a statement; an EXECUTE is the statement that it runs, if that is known.
    pub(super) fn find_rule(&mut self, job: &Job<'_>) -> Option<usize> {
        let (prepared, capabilities) = (&self.prepared, self.login.capabilities);
        let mode = self.state.lex_mode();
        let text = || text_of(job, prepared, capabilities);
        let is_execute = job.statement.flags.contains(Flags::TEXT_PREPARED);
        let executed = is_execute.then(text).flatten();
        let executed = executed.and_then(|text| self.text_prepared.text(text, mode));
        let text = || executed.as_deref().or_else(text);
        let schema = self.state.schema().unwrap_or_default();
        self.rules.find(schema, text, mode)
    }

    /// As [`text_of`], in this session.
    pub(super) fn text_of<'a>(&'a self, job: &'a Job<'_>) -> Option<&'a [u8]> {
        text_of(job, &self.prepared, self.login.capabilities)
    }

    /// Drops a hint that asks for a tag that no replica has, and counts hints that are ignored. One
    /// that was misspelt must not send its statement to the primary.
    pub(super) fn weigh_hint(&self, job: &mut Job<'_>, settings: &Settings, cluster: &Cluster) {
        let statement = &job.statement;
        let bad = statement.flags.contains(Flags::BAD_HINT) && job.statement_id.is_none();
        let tag = statement.hint.and_then(|hint| hint.tag);
        if !(bad || tag.is_some()) || !settings.policy.hints {
            return;
        }
        let unknown = tag.is_some_and(|span| {
            let text = self.text_of(job).unwrap_or_default();
            std::str::from_utf8(span.of(text)).map_or(true, |tag| !cluster.has_tag(tag))
        });
        if unknown {
            job.statement.hint = None;
        }
        if bad || unknown {
            self.context.metrics.local().bad_hint();
        }
    }

    /// Where a statement goes in a session that `keeper` keeps on replicas.
    pub(super) fn route_kept(
        &self,
        job: &Job<'_>,
        keeper: usize,
        settings: &Settings,
        cluster: &Cluster,
        avoid: &[Arc<Member>],
    ) -> Routed {
        let home = self.home(cluster, avoid);
        let server_read_only = home.as_ref().is_some_and(refuses_writes);
        let facts =
            SessionFacts { kept: Some(Kept { server_read_only }), ..self.state.facts(None) };
        let statement = self.head_of(job).unwrap_or(job.statement);
        let mut route = route::decide(&statement, &facts, &settings.policy);
        if home.is_none() && route.target != Target::Nowhere {
            route = Route { target: Target::Nowhere, reason: Reason::NoReplicaForRule };
        }
        // One may serve that has not yet what the session has read.
        let is_seen_only = home.is_none()
            && self.rules.keeper().is_some_and(|(_, rule)| {
                let fits =
                    |it: &&Arc<Member>| cluster.allows(wish_of(rule), it) && !is_among(avoid, it);
                cluster.replicas().iter().any(|it| fits(&it))
            });
        let lacks = is_seen_only.then(|| Box::new((Part::Seen, self.kept_floor())));
        let member = home.filter(|_| route.target != Target::Nowhere);
        Routed { route, side: Side::Primary, member, rule: Some(keeper), lacks }
    }

    /// What a replica must have where a rule keeps the session: no less than it has read.
    fn kept_floor(&self) -> Floor {
        let mut floor = Floor::default();
        self.seen.demand(&mut floor);
        floor
    }

    /// What a statement that is too large to be held seems to be by its beginning, if that is more
    /// than a question: then it need not be sent to be refused.
    fn head_of(&self, job: &Job<'_>) -> Option<Statement> {
        let (command, body) = job.incoming.payload().split_first()?;
        if job.incoming.is_whole() || *command != code::QUERY {
            return None;
        }
        let attributes = self.login.capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
        let head = sql::classify(query::text(body, attributes).ok()?, self.state.lex_mode());
        (!head.is_query()).then_some(head)
    }

    /// The server of the session's primary side: the primary, or the replica where a rule keeps the
    /// session. `None` if no replica may.
    pub(super) fn home(&self, cluster: &Cluster, avoid: &[Arc<Member>]) -> Option<Arc<Member>> {
        let Some((_, rule)) = self.rules.keeper() else {
            return Some(Arc::clone(cluster.primary()));
        };
        let floor = self.kept_floor();
        let accept = |member: &Member| floor.is_met_by(member, cluster) && !is_among(avoid, member);
        let wish = wish_of(rule);
        if let Some(current) = self.servers.member(Side::Primary)
            && (self.state.is_bound_to_primary()
                || cluster.allows(wish, current) && accept(current))
        {
            return Some(Arc::clone(current));
        }
        cluster.choose(wish, fastrand::u64(..), accept).cloned()
    }

    /// Answers a statement that no server gets.
    pub(super) async fn refuse(
        &mut self,
        job: &mut Job<'_>,
        routed: &Routed,
        settings: &Settings,
        cluster: &Cluster,
    ) -> Result<Done, End> {
        let rule = routed.rule.and_then(|index| self.rules.get(index));
        let name = rule.map_or("", |rule| &rule.name);
        let (err, kind) = match (routed.route.reason, rule) {
            (Reason::ReadRefused, _) => {
                let tag = self.wish_for(job, routed.rule, settings).tag;
                (error::read_refused(tag, &why_none_serves(tag, cluster)), Kind::Refused)
            }
            (Reason::NoPrimary, _) => {
                (error::no_primary(cluster, settings.primary_wait), Kind::Connect)
            }
            (Reason::ReadOnlyRule, _) | (_, None) => (error::read_only_rule(name), Kind::Refused),
            (_, Some(rule)) => (no_replica(rule, cluster), Kind::Connect),
        };
        self.count_error(kind);
        let seq = job.incoming.discard_rest(&mut self.client, settings.max_packet).await?;
        reply::err(&mut self.client, seq.wrapping_add(1), &err).await?;
        self.finish_statement(job, None, settings);
        Ok(Done::Failed)
    }
}

/// Where sessions with these rules live: `None` for the primary.
fn home_of(rules: &UserRules) -> Option<Option<&str>> {
    rules.keeper().map(|(_, rule)| rule.tag.as_deref())
}

/// What a rule asks of a replica.
pub(super) fn wish_of(rule: &Rule) -> Wish<'_> {
    Wish { tag: rule.tag.as_deref(), max_lag: rule.max_lag }
}

/// What a read asks of a replica. The rule's tag wins; of two limits the stricter, and a hint never
/// allows more than the configuration does.
pub(super) fn wish<'a>(
    rule: Option<&'a Rule>,
    hint: Option<Hint>,
    text: impl FnOnce() -> &'a [u8],
    max_lag: Duration,
) -> Wish<'a> {
    let mut wish = rule.map(wish_of).unwrap_or_default();
    let Some(hint) = hint else { return wish };
    if let Some(span) = hint.tag.filter(|_| wish.tag.is_none()) {
        wish.tag = std::str::from_utf8(span.of(text())).ok();
    }
    if let Some(asked) = hint.max_lag_ms {
        let asked = Duration::from_millis(u64::from(asked));
        wish.max_lag = Some(asked.min(wish.max_lag.unwrap_or(max_lag)));
    }
    wish
}

/// The text of a job's statement, as far as it is a statement and held whole.
pub(super) fn text_of<'a>(
    job: &'a Job<'_>,
    prepared: &'a Prepared,
    capabilities: Capabilities,
) -> Option<&'a [u8]> {
    if let Some(id) = job.statement_id {
        return prepared.get(id).map(|known| &known.shared.text[..]);
    }
    let payload = job.incoming.payload();
    let (command, body) = payload.split_first().filter(|_| job.incoming.is_whole())?;
    match *command {
        _ if job.kind == ResponseKind::Prepare => Some(body),
        code::QUERY => query_text(job.incoming, capabilities),
        _ => None,
    }
}

/// Whether the server was seen to refuse writes by itself when it was last probed.
fn refuses_writes(member: &Arc<Member>) -> bool {
    member.with_status(|status| status.read_only.is_some_and(|it| it.read_only))
}

/// The error for a session that may only read from replicas of which none can serve; says why not.
pub(super) fn no_replica(rule: &Rule, cluster: &Cluster) -> ErrPacket {
    let tag = rule.tag.as_deref();
    error::no_replica_for_rule(&rule.name, tag, &why_none_serves(tag, cluster))
}

/// What is wrong with each replica for reads that ask for `tag`.
fn why_none_serves(tag: Option<&str>, cluster: &Cluster) -> String {
    let wanted = |member: &&Arc<Member>| has_tag(member, tag);
    let reasons = cluster.replicas().iter().filter(wanted).take(MAX_NAMED).map(|member| {
        let name = member.config().name.clone();
        match cluster.excluded(member) {
            Some(excluded) => format!("'{name}': {excluded}"),
            None => format!("'{name}' did not answer, or lacks what the session has read"),
        }
    });
    reasons.collect::<Vec<_>>().join(", ")
}

/// Whether a replica serves those who ask for `tag`, or, without one, those who ask for none.
pub(super) fn has_tag(member: &Arc<Member>, tag: Option<&str>) -> bool {
    let config = member.config();
    match tag {
        Some(tag) => config.tags.iter().any(|own| own == tag),
        None => config.tags.is_empty(),
    }
}
