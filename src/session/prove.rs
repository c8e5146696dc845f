//! Which server judges a login.
//!
//! The primary, or, while it cannot be reached, a replica. Where a rule keeps the user's sessions on
//! replicas, one of those and nobody else: such a login never reaches the primary.
//!
//! A server is asked only if it has not accepted the same login lately ([`super::proofs`]).

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout_at};

use super::context::{Context, Settings};
use super::error;
use super::guesses::Origin;
use super::proofs::{Judge, Key, Next, Refusal, Welcome};
use super::routing::is_among;
use super::rules::{has_tag, no_replica, wish_of};
use super::servers::{Held, LoginRecord, connect};
use crate::backend;
use crate::cluster::lag::NoLag;
use crate::cluster::view::Excluded;
use crate::cluster::{Cluster, Health, Hold, Member};
use crate::pool;
use crate::protocol::ErrPacket;
use crate::route::{Rule, Side, UserRules};

/// Replicas that one login may try.
const MAX_TRIED: usize = 3;

/// Why no server let the client in.
#[derive(Debug)]
enum Denial {
    /// The server of that name refused it, or could not be reached.
    Server(String, pool::Error),
    /// A rule allows replicas only, and none can serve.
    Rule(ErrPacket),
}

/// A login that was accepted.
#[derive(Debug)]
pub struct Admitted {
    /// What the server that judges says to it.
    pub welcome: Arc<Welcome>,
    /// The connection that proved it, and its side, if there was need for one.
    pub first: Option<(Side, Held)>,
}

impl Admitted {
    fn by((side, mut held): (Side, Held), login: &LoginRecord) -> Self {
        Self { welcome: Arc::new(Welcome::of(&mut held, login)), first: Some((side, held)) }
    }
}

/// Has a login judged: by what a server said to the same one lately, or by a server. Logins that
/// come at the same time and are alike share one proof.
///
/// # Errors
/// See [`Refusal`].
pub async fn admit(
    context: &Context,
    settings: &Settings,
    login: &LoginRecord,
    schema: Option<&[u8]>,
    rules: &UserRules,
    origin: Origin,
) -> Result<Admitted, Refusal> {
    let cluster = context.cluster.snapshot();
    let key = Key::of(login, schema, judge(&cluster, rules));
    loop {
        let ticket = match context.proofs.next(&key, std::time::Instant::now()) {
            Next::Remembered(welcome) if can_serve(&cluster, rules) => {
                context.metrics.local().login_remembered();
                return Ok(Admitted { welcome, first: None });
            }
            Next::Remembered(_) => None,
            Next::Prove(ticket) => Some(ticket),
            Next::Wait(mut outcome) => {
                let told = outcome.wait_for(Option::is_some).await;
                match told.ok().and_then(|told| told.clone()) {
                    Some(told) => {
                        if told.is_ok() {
                            context.metrics.local().login_remembered();
                        }
                        return told.map(|welcome| Admitted { welcome, first: None });
                    }
                    // The client that asked has left.
                    None => continue,
                }
            }
        };
        let user = &login.credential.user;
        // What was right once is no guess: those who guess must not hold up those who know.
        let is_guess = !context.credentials.has_proven(user, &login.credential.secret);
        let _turn = match is_guess {
            true => Some(hold_back(context, settings, origin, user).await),
            false => None,
        };
        let asked_at = std::time::Instant::now();
        let proof = prove(context, settings, login, schema, rules).await;
        // What a replica said for want of the primary is not the primary's word.
        let is_judged = !matches!(proof, Ok((Side::Replica, _)));
        let admitted =
            proof.map(|proof| Admitted::by(proof, login)).map_err(|denial| denial.refusal());
        match &admitted {
            Ok(_) => context.guesses.succeeded(origin, user, std::time::Instant::now()),
            Err(refusal) if refusal.is_wrong_password() => {
                context.guesses.failed(origin, user, std::time::Instant::now());
                context.wrong_password.took(asked_at.elapsed());
            }
            Err(_) => {}
        }
        if let Some(ticket) = ticket {
            let outcome = match &admitted {
                Ok(admitted) => Ok(Arc::clone(&admitted.welcome)),
                Err(refusal) => Err(refusal.clone()),
            };
            ticket.finish(outcome, is_judged.then_some(asked_at));
        }
        return admitted;
    }
}

/// Has an account judged anew, unless that was done lately: for a session that goes on after its proof
/// is over, so that connections of an account that is no longer let in do not stay with the pools.
pub async fn renew(context: Arc<Context>, login: LoginRecord, schema: Option<Vec<u8>>) {
    let settings = context.settings.load_full();
    let rules = settings.policy.rules.of_user(&login.credential.user);
    let judge = judge(&context.cluster.snapshot(), &rules);
    let key = Key::of(&login, schema.as_deref(), judge);
    let Next::Prove(ticket) = context.proofs.next(&key, std::time::Instant::now()) else { return };
    let asked_at = std::time::Instant::now();
    let proof = prove(&context, &settings, &login, schema.as_deref(), &rules).await;
    let is_judged = !matches!(proof, Ok((Side::Replica, _)));
    let outcome = proof.map(|(_, mut held)| Arc::new(Welcome::of(&mut held, &login)));
    let outcome = outcome.map_err(|denial| denial.refusal());
    if let Err(refusal) = &outcome
        && refusal.is_about_account()
    {
        let user = String::from_utf8_lossy(&login.credential.user).into_owned();
        tracing::info!(?user, error = %refusal.err, "a server no longer lets a session's account in");
        context.refused(&login.credential);
    }
    ticket.finish(outcome, is_judged.then_some(asked_at));
}

/// Who decides about logins of a user with these rules.
fn judge(cluster: &Cluster, rules: &UserRules) -> Judge {
    match rules.keeper() {
        None => Judge::Primary(cluster.primary().config().name.clone()),
        Some((_, rule)) => Judge::Replicas(rule.tag.clone()),
    }
}

/// Waits for the turn of a login that a server is to be asked about, or that is to be refused, and for
/// as long as wrong passwords before it demand. The turn lasts until it is dropped.
pub async fn hold_back(
    context: &Context,
    settings: &Settings,
    origin: Origin,
    user: &[u8],
) -> OwnedMutexGuard<()> {
    let turn = context.guesses.turn(origin, user).await;
    let delay = context.guesses.delay(origin, user, std::time::Instant::now());
    // The answer is to come in time, however short that is.
    let delay = delay.min(settings.login_timeout / 2);
    if !delay.is_zero() {
        context.metrics.local().login_delayed();
        tokio::time::sleep(delay).await;
    }
    turn
}

/// Whether a session may begin without a connection: one that a rule keeps on replicas is told at its
/// login when none can serve.
fn can_serve(cluster: &Cluster, rules: &UserRules) -> bool {
    rules.keeper().is_none_or(|(_, rule)| cluster.choose(wish_of(rule), 0, |_| true).is_some())
}

/// Logs in to a server that may judge the login. The side is the one on which the session begins.
///
/// # Errors
/// See [`Denial`].
async fn prove(
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
    // Those that the user's reads would go to: the others are kept for others.
    let tag = rules.whole().and_then(|rule| rule.tag.as_deref());
    let is_lost = cluster.hold() == Some(Hold::Down) || primary.hangs();
    if is_lost && let Some(held) = on_any_replica(&cluster, tag, settings, login, schema).await {
        return Ok((Side::Replica, held));
    }
    let error = match connect(primary, Side::Primary, login, schema, settings).await {
        Ok(held) => return Ok((Side::Primary, held)),
        Err(error) => error,
    };
    let is_fault = matches!(&error, pool::Error::Backend(error) if error.is_fault());
    if is_fault
        && !is_lost
        && let Some(held) = on_any_replica(&cluster, tag, settings, login, schema).await
    {
        return Ok((Side::Replica, held));
    }
    Err(Denial::Server(primary.config().name.clone(), error))
}

/// Logs in to the first replica for reads with `tag` that lets the account in, for want of the primary.
async fn on_any_replica(
    cluster: &Cluster,
    tag: Option<&str>,
    settings: &Settings,
    login: &LoginRecord,
    schema: Option<&[u8]>,
) -> Option<Held> {
    let fit = |replica: &&Arc<Member>| {
        has_tag(replica, tag) && replica.with_status(|status| status.health.serves_reads())
    };
    for replica in cluster.replicas().iter().filter(fit) {
        if let Ok(held) = connect(replica, Side::Replica, login, schema, settings).await {
            return Some(held);
        }
    }
    None
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
            let may_come = tried.is_empty() && is_starting(&cluster, rule.tag.as_deref());
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

/// Whether a replica for those who ask for `tag` has not been looked at closely enough yet.
pub(super) fn is_starting(cluster: &Cluster, tag: Option<&str>) -> bool {
    cluster.replicas().iter().filter(|member| has_tag(member, tag)).any(|member| {
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
    fn refusal(&self) -> Refusal {
        let (err, by_server) = match self {
            Self::Rule(err) => (err.clone(), false),
            Self::Server(_, pool::Error::Backend(backend::Error::Server(err))) => {
                (err.clone(), true)
            }
            Self::Server(server, pool::Error::Backend(backend::Error::Auth(error))) => {
                (error::cannot_log_in(server, error), false)
            }
            Self::Server(server, error) => (error::unreachable(server, error), false),
        };
        Refusal { err, by_server }
    }
}

fn is_fault(denial: &Denial) -> bool {
    matches!(denial, Denial::Server(_, pool::Error::Backend(error)) if error.is_fault())
}
