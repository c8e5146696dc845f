//! `/sessions`: who is connected, and what keeps which server connection.
//!
//! It names users and the addresses of their clients, and nothing that they have said. A list of more
//! than [`MAX_SESSIONS`] is cut; one of so many takes some 2 MiB until it is sent.

use std::net::SocketAddr;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::{AdminState, failed, json};

/// The longest list.
const MAX_SESSIONS: usize = 10_000;

/// Knows the sessions.
pub trait SessionSource: Send + Sync {
    /// The sessions of now, the `max` with the lowest ids if there are more. It must not wait for
    /// anything.
    fn sessions(&self, max: usize) -> Sessions;
}

/// What `/sessions` shows. The names of the fields are those of the answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sessions {
    /// How many there are.
    pub total: usize,
    /// Not all of them are listed.
    pub truncated: bool,
    /// By id.
    pub sessions: Vec<Session>,
}

/// One session.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// The connection id that the client was told, which it may name in a KILL.
    pub id: u32,
    /// The user that it is logged in as; bytes that are no UTF-8 are replaced. `None` before that.
    pub user: Option<String>,
    /// Where its client is; `None`: on a Unix socket.
    pub client: Option<SocketAddr>,
    /// What it is at.
    pub state: &'static str,
    /// Why it keeps a server connection between two commands: the reasons of
    /// `lagwise_holding_sessions`. As the last command has left it.
    pub held_by: Option<&'static str>,
    /// Why it reads from the primary, and until when.
    pub pinned: Option<Pinned>,
    /// The server connections that it has.
    pub connections: Connections,
}

/// Why the reads of a session go to the primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pinned {
    /// The causes of `lagwise_pinned_sessions`.
    pub by: &'static str,
    /// Until when, in words for a person.
    pub until: String,
}

/// The server connections that a session has.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Connections {
    /// To the primary; of a session that a rule keeps on replicas, to the one that it lives on.
    pub primary: Option<Connection>,
    /// To a replica.
    pub replica: Option<Connection>,
}

/// A server connection.
#[derive(Clone, Debug, Serialize)]
pub struct Connection {
    /// The server's name.
    pub server: String,
    /// The server's id of the connection, as SHOW PROCESSLIST has it there.
    pub thread_id: u32,
}

/// GET /sessions
pub async fn sessions(State(state): State<AdminState>) -> Response {
    // Long lists take a while, and the monitors share this thread.
    let list = move || json(axum::http::StatusCode::OK, &state.sessions.sessions(MAX_SESSIONS));
    match tokio::task::spawn_blocking(list).await {
        Ok(response) => response,
        Err(error) => failed(&error),
    }
}
