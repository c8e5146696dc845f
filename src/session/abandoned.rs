//! Queries whose client has gone: they are ended on the server.
//!
//! A server finds out that its client has gone when it writes to it, which may be minutes later;
//! page loads that visitors gave up would pile up on it. So the connection of such a query is kept
//! back here, `KILL QUERY` is sent over another one under the same account, and then it is closed.
//! It is never given to another session, and its place in the pool stays taken until then: a KILL
//! that comes late hits nobody else, and clients that come and go cannot start more queries than
//! the pool allows.
//!
//! The other connection is beside the pool's limits, for the pool may be full of such queries. For
//! each server there are [`AT_ONCE`] at most, and a KILL each [`PACE`].
//!
//! Deliberately absent: statements that may write. They run on, as they do on a direct connection.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Session;
use super::context::Context;
use super::job::Job;
use super::servers::{Held, LoginRecord};
use crate::backend::error::codes;
use crate::backend::{Connection, Error};
use crate::metrics::Abandoned as Outcome;
use crate::pool::LoginKey;
use crate::protocol::response::ResponseKind;
use crate::route::Side;
use crate::sql::{Flags, StatementKind};

/// Connections for KILLs to one server at a time.
pub const AT_ONCE: usize = 2;

/// From one KILL to the next on one server, at least: 200 a second.
pub const PACE: Duration = Duration::from_millis(5);

/// KILLs over one connection. Others of the same account that come meanwhile use it, too.
const BATCH: usize = 64;

/// A query that has waited longer for its KILL, since the server takes none, is left to the server.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A query without a client.
#[derive(Debug)]
struct Case {
    held: Held,
    login: LoginRecord,
    since: Instant,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Case>,
    /// Tasks that work on it.
    at_work: usize,
    /// When the next KILL may be sent.
    next: Option<Instant>,
}

/// Queries without a client, by server.
#[derive(Debug, Default)]
pub struct Abandoned(Mutex<HashMap<String, Line>>);

impl Abandoned {
    fn lines(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a case in line. True if one more task is to work on it.
    fn enter(&self, server: &str, case: Case) -> bool {
        let mut lines = self.lines();
        let line = lines.entry(server.to_owned()).or_default();
        line.waiting.push_back(case);
        let is_more = line.at_work < AT_ONCE;
        line.at_work += usize::from(is_more);
        is_more
    }

    /// The first in line, with others of its account. Empty: there is no more to do, and the task
    /// that asked is taken to have ended.
    fn next(&self, server: &str) -> Vec<Case> {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(server) else { return Vec::new() };
        let Some(first) = line.waiting.pop_front() else {
            line.at_work -= 1;
            if line.at_work == 0 {
                lines.remove(server);
            }
            return Vec::new();
        };
        let (mut cases, mut others) = (vec![first], VecDeque::new());
        for case in std::mem::take(&mut line.waiting) {
            if cases.len() < BATCH && cases.first().is_some_and(|first| first.is_like(&case)) {
                cases.push(case);
            } else {
                others.push_back(case);
            }
        }
        line.waiting = others;
        cases
    }

    /// When a KILL may be sent that is ready at `now`.
    fn turn(&self, server: &str, now: Instant) -> Instant {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(server) else { return now };
        let turn = line.next.map_or(now, |next| next.max(now));
        line.next = Some(turn + PACE);
        turn
    }
}

impl Case {
    fn is_like(&self, other: &Self) -> bool {
        LoginKey::new(&self.login, false) == LoginKey::new(&other.login, false)
    }
}

impl Session {
    /// The client has gone: what runs for it on `side` is ended.
    pub(super) fn abandon(&mut self, side: Side) {
        if let Some(held) = self.servers.take(side, &self.handle) {
            end(&self.context, held, self.login.clone());
        }
    }
}

/// Ends the query that runs on a connection, whose client has gone, and closes the connection. In the
/// background.
fn end(context: &Arc<Context>, held: Held, login: LoginRecord) {
    let server = held.member.config().name.clone();
    if context.abandoned.enter(&server, Case { held, login, since: Instant::now() }) {
        tokio::spawn(work(Arc::clone(context), server));
    }
}

async fn work(context: Arc<Context>, server: String) {
    loop {
        let cases = context.abandoned.next(&server);
        let Some(first) = cases.first() else { return };
        let deadline = Instant::now() + context.settings.load().connect_timeout;
        let key = LoginKey::new(&first.login, false);
        match first.held.member.pool().open_beside(&key, deadline).await {
            Ok(aside) => kill(&context, &server, cases, aside).await,
            Err(error) => {
                tracing::debug!(server, %error, "queries of clients that have gone run on");
                cases.into_iter().for_each(|case| leave(&context, case, Outcome::Failed));
            }
        }
    }
}

/// Kills the queries of these cases, which are of one account.
async fn kill(context: &Context, server: &str, cases: Vec<Case>, mut aside: Box<Connection>) {
    for case in cases {
        let now = Instant::now();
        sleep_until(context.abandoned.turn(server, now)).await;
        if now > case.since + LONGEST_WAIT || !aside.is_usable(now) {
            tracing::debug!(server, "a query of a client that has gone was not killed in time");
            leave(context, case, Outcome::Failed);
            continue;
        }
        let sql = format!("KILL QUERY {}", case.held.guard.facts().thread_id);
        let deadline = Instant::now() + context.settings.load().connect_timeout;
        let outcome = match aside.query_rows(&sql, deadline).await {
            Ok(_) => Outcome::Killed,
            Err(Error::Server(err)) if err.code == codes::NO_SUCH_THREAD => Outcome::Killed,
            Err(error) => {
                tracing::debug!(server, %error, "a query of a client that has gone runs on");
                Outcome::Failed
            }
        };
        leave(context, case, outcome);
    }
    (*aside).quit().await;
}

/// Whether a statement is ended when its client goes: one that writes nothing. Others run to their end,
/// as they do on a direct connection.
pub(super) fn is_watched(job: &Job<'_>) -> bool {
    let statement = &job.statement;
    let asks = statement.is_query() || statement.kind == StatementKind::LockingRead;
    let is_query = asks && !statement.may_write();
    is_query && !statement.flags.contains(Flags::MULTI) && job.kind == ResponseKind::Results
}

fn leave(context: &Context, case: Case, outcome: Outcome) {
    context.metrics.local().abandoned(outcome);
    case.held.guard.close();
}
