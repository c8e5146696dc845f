//! What a monitor asks of a server at each probe, on its connection.
//!
//! One question in the normal case; a further one where [`super::tracker`] wants it or GTIDs are off.
//! That one may fail by itself, for lack of a privilege, say: the server is well all the same.

use std::sync::Arc;

use tokio::time::Instant;

use super::channels::{Channels, read_channels};
use super::position::Flavor;
use super::probe::{
    Answer, Extra, Positions, Refusal, SENT_QUESTIONS, ServerState, channels_question,
    log_question, privilege, question, read_answer, read_log, read_sent,
};
use super::shown::Sent;
use crate::backend::{Connection, Error};
use crate::config::Role;
use crate::protocol::text_row::Table;

/// ER_SPECIFIC_ACCESS_DENIED_ERROR: a privilege is lacking.
pub(super) const NO_PRIVILEGE: u16 = 1227;
/// What MariaDB's SHOW MASTER STATUS needs.
pub(super) const LOG_PRIVILEGE: &str = "BINLOG MONITOR";

/// What is wanted of a server beyond the one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// What it is now.
    pub(super) role: Role,
    /// Its replication channels, even if GTIDs are on.
    pub(super) channels: bool,
    /// What it has sent to replicas, and what of that it shows.
    pub(super) sent: bool,
}

/// One probe's questions.
pub(super) async fn ask(
    connection: &mut Connection,
    deadline: Instant,
    wanted: Wanted,
) -> Result<Answer, Error> {
    let flavor = Flavor::of_version(&connection.facts().version);
    let sent_at = Instant::now().into_std();
    let mut state = match connection.query_rows(question(flavor), deadline).await {
        Ok(rows) => read_answer(flavor, &rows),
        Err(Error::Server(err)) if Refusal::of_code(err.code, false) == Refusal::NoAnswer => {
            ServerState::unreadable(&err.to_string())
        }
        Err(error) => return Err(error),
    };
    let no_gtids = state.positions == Positions::NoGtids;
    if no_gtids || wanted.channels && wanted.role == Role::Replica {
        state.extra = Some(ask_more(connection, deadline, flavor, wanted.role, &state).await?);
    }
    if wanted.sent && wanted.role == Role::Primary && state.positions.tell_sent() {
        state.sent = Some(ask_sent(connection, deadline).await?.map(Box::new));
    }
    Ok(Answer { sent_at, answered_at: Instant::now().into_std(), state })
}

/// The further question.
async fn ask_more(
    connection: &mut Connection,
    deadline: Instant,
    flavor: Flavor,
    role: Role,
    state: &ServerState,
) -> Result<Result<Box<Extra>, Arc<str>>, Error> {
    let version = connection.facts().version_number();
    let sql = match role {
        Role::Primary => log_question(version),
        Role::Replica => channels_question(flavor, version),
    };
    let asked_at = Instant::now().into_std();
    let answer = query(connection, half_way_to(deadline), sql, privilege(flavor)).await?;
    let extra = answer.and_then(|table| match role {
        Role::Primary => read_log(state.id, &table).map(Extra::Log),
        Role::Replica => {
            let list = read_channels(flavor, &table);
            Ok(Extra::Channels(Channels { asked_at, list }))
        }
    });
    Ok(extra.map(Box::new))
}

/// What a MariaDB primary has sent to its replicas, and then what it shows.
async fn ask_sent(
    connection: &mut Connection,
    deadline: Instant,
) -> Result<Result<Sent, Arc<str>>, Error> {
    let [sent, shown] = SENT_QUESTIONS;
    let deadline = half_way_to(deadline);
    let sent = match query(connection, deadline, sent, LOG_PRIVILEGE).await? {
        Ok(sent) => sent,
        Err(reason) => return Ok(Err(reason)),
    };
    let shown = query(connection, deadline, shown, LOG_PRIVILEGE).await?;
    Ok(shown.and_then(|shown| read_sent(&sent, &shown)))
}

/// Further questions get half of the time that is left: SHOW REPLICA STATUS waits for a STOP REPLICA
/// that waits for a long transaction, and the server must not be taken for dead by it.
fn half_way_to(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}

/// A question that may fail by itself; then why, for people.
async fn query(
    connection: &mut Connection,
    deadline: Instant,
    sql: &str,
    privilege: &str,
) -> Result<Result<Table, Arc<str>>, Error> {
    let reason = match connection.query_table(sql, deadline).await {
        Ok(table) => return Ok(Ok(table)),
        Err(Error::Server(err)) if err.code == NO_PRIVILEGE => {
            format!("the monitor's account lacks {privilege}: GRANT {privilege} ON *.* TO it")
        }
        Err(Error::Server(err)) if Refusal::of_code(err.code, false) == Refusal::NoAnswer => {
            format!("{sql}: {err}")
        }
        Err(Error::TimedOut(_)) => format!("{sql} was not answered in time"),
        Err(error) => return Err(error),
    };
    Ok(Err(reason.into()))
}
