//! Which server judges a login.
//!
//! The primary, or, while it cannot be reached, a replica. Where a rule keeps the user's sessions on
//! replicas, one of those and nobody else: such a login never reaches the primary.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::context::{Context, Settings};
use super::error;
use super::routing::is_among;
use super::rules::{has_tag, no_replica, wish_of};
use super::servers::{Held, LoginRecord, connect};
use crate::backend;
use crate::cluster::lag::NoLag;
use crate::cluster::view::Excluded;
use crate::cluster::{Cluster, Health, Member};
use crate::pool;
use crate::protocol::ErrPacket;
use crate::route::{Rule, Side, UserRules};

/// Replicas that one login may try.
const MAX_TRIED: usize = 3;

/// Why no server let the client in.
#[derive(Debug)]
pub enum Denial {
    /// The server of that name refused it, or could not be reached.
    Server(String, pool::Error),
    /// A rule allows replicas only, and none can serve.
    Rule(ErrPacket),
}

/// Logs in to a server that may judge the login. The side is the one on which the session begins.
///
/// # Errors
/// See [`Denial`].
pub async fn prove(
    context: &Context,
    settings: &Settings,
    login: &LoginRecord,
    schema: Option<&[u8]>,
    rules: &UserRules,
) -> Result<(Side, Held), Denial> {
    if let Some((_, rule)) = rules.keeper() {
        return on_kept_replica(context, settings, login, schema, rule).await;
    }
    let cluster = context.cluster.snapshot();
    let primary = cluster.primary();
    let error = match connect(primary, Side::Primary, login, schema, settings).await {
        Ok(held) => return Ok((Side::Primary, held)),
        Err(error) => error,
    };
    let fault = matches!(&error, pool::Error::Backend(error) if error.is_fault());
    if fault {
        // Those that the user's reads would go to: the others are kept for others.
        let tag = rules.whole().and_then(|rule| rule.tag.as_deref());
        let fit = |replica: &&Arc<Member>| {
            has_tag(replica, tag) && replica.with_status(|status| status.health.serves_reads())
        };
        for replica in cluster.replicas().iter().filter(fit) {
            if let Ok(held) = connect(replica, Side::Replica, login, schema, settings).await {
                return Ok((Side::Replica, held));
            }
        }
    }
    Err(Denial::Server(primary.config().name.clone(), error))
}

/// Logs in to a replica that `rule` allows. Waits for one only where it may be a matter of
/// lagwise's own start, and for `connect_timeout` at most.
async fn on_kept_replica(
    context: &Context,
    settings: &Settings,
    login: &LoginRecord,
    schema: Option<&[u8]>,
    rule: &Rule,
) -> Result<(Side, Held), Denial> {
    let deadline = Instant::now() + settings.connect_timeout;
    let mut changed = context.cluster.changed();
    let mut tried: Vec<Arc<Member>> = Vec::new();
    let mut failed = None;
    while tried.len() < MAX_TRIED {
        let cluster = context.cluster.snapshot();
        let accept = |member: &Member| !is_among(&tried, member);
        let Some(member) = cluster.choose(wish_of(rule), fastrand::u64(..), accept) else {
            let may_come = tried.is_empty() && is_starting(&cluster, rule);
            if may_come && matches!(timeout_at(deadline, changed.changed()).await, Ok(Ok(()))) {
                continue;
            }
            // One that could not be reached, and was thought to be up, is one more that cannot serve.
            let failed = failed.filter(|denial| !is_fault(denial));
            return Err(failed.unwrap_or_else(|| Denial::Rule(no_replica(rule, &cluster))));
        };
        let error = match connect(member, Side::Primary, login, schema, settings).await {
            // The side that other sessions have on the primary. The connection is not READ ONLY as
            // others to replicas are: it could make no temporary table then (error 1792, measured
            // on MySQL 9.7 and MariaDB 10.11).
            Ok(held) => return Ok((Side::Primary, held)),
            Err(error) => error,
        };
        let others_may_serve = match &error {
            pool::Error::Backend(error) => error.is_fault(),
            pool::Error::Exhausted(_) | pool::Error::Closed => true,
            pool::Error::AccountExhausted(_) => true,
        };
        let denial = Denial::Server(member.config().name.clone(), error);
        if !others_may_serve {
            return Err(denial);
        }
        failed = Some(denial);
        tried.push(Arc::clone(member));
    }
    Err(failed.unwrap_or_else(|| Denial::Rule(no_replica(rule, &context.cluster.load()))))
}

/// Whether a replica that the rule allows has not been looked at closely enough yet.
fn is_starting(cluster: &Cluster, rule: &Rule) -> bool {
    cluster.replicas().iter().filter(|member| has_tag(member, rule.tag.as_deref())).any(|member| {
        matches!(
            cluster.excluded(member),
            Some(
                Excluded::Health(Health::Starting)
                    | Excluded::LagUnknown(NoLag::PrimaryNotSampled | NoLag::ReplicaNotProbed)
            )
        )
    })
}

impl Denial {
    /// What the client is told, and whether it is a server's own judgement.
    pub fn err(&self) -> (ErrPacket, bool) {
        match self {
            Self::Rule(err) => (err.clone(), false),
            Self::Server(_, pool::Error::Backend(backend::Error::Server(err))) => {
                (err.clone(), true)
            }
            Self::Server(server, pool::Error::Backend(backend::Error::Auth(error))) => {
                (error::cannot_log_in(server, error), false)
            }
            Self::Server(server, error) => (error::unreachable(server, error), false),
        }
    }
}

fn is_fault(denial: &Denial) -> bool {
    matches!(denial, Denial::Server(_, pool::Error::Backend(error)) if error.is_fault())
}
