//! What a monitor asks of a server at each probe, on its connection.
//!
//! One question in the normal case; a further one where [`super::tracker`] wants it or GTIDs are off.
//! That one may fail by itself, for lack of a privilege, say: the server is well all the same.

use std::sync::Arc;

use tokio::time::Instant;

use super::channels::{Channels, read_channels};
use super::position::Flavor;
use super::probe::{
    Answer, Extra, Positions, Refusal, ServerState, channels_question, log_question, privilege,
    question, read_answer, read_log,
};
use crate::backend::{Connection, Error};
use crate::config::Role;

/// ER_SPECIFIC_ACCESS_DENIED_ERROR: a privilege is lacking.
const NO_PRIVILEGE: u16 = 1227;

/// What is wanted of a server beyond the one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// What it is now.
    pub(super) role: Role,
    /// Its replication channels, even if GTIDs are on.
    pub(super) channels: bool,
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
    Ok(Answer { sent_at, answered_at: Instant::now().into_std(), state })
}

/// The further question. It gets half of the time that is left: SHOW REPLICA STATUS waits for a STOP
/// REPLICA that waits for a long transaction, and the server must not be taken for dead by it.
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
    let now = Instant::now();
    let asked_at = now.into_std();
    let deadline = now + deadline.saturating_duration_since(now) / 2;
    let answer = match connection.query_table(sql, deadline).await {
        Ok(table) => Ok(table),
        Err(Error::Server(err)) if err.code == NO_PRIVILEGE => Err(format!(
            "the monitor's account lacks {privilege}: GRANT {privilege} ON *.* TO it",
            privilege = privilege(flavor)
        )),
        Err(Error::Server(err)) if Refusal::of_code(err.code, false) == Refusal::NoAnswer => {
            Err(format!("{sql}: {err}"))
        }
        Err(Error::TimedOut(_)) => Err(format!("{sql} was not answered in time")),
        Err(error) => return Err(error),
    };
    let extra = answer.map_err(Into::into).and_then(|table| match role {
        Role::Primary => read_log(state.id, &table).map(Extra::Log),
        Role::Replica => {
            let list = read_channels(flavor, &table);
            Ok(Extra::Channels(Channels { asked_at, list }))
        }
    });
    Ok(extra.map(Box::new))
}
