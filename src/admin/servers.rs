//! `/servers`: the servers and what keeps them in use; and taking one out for maintenance.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{AdminState, json};

/// A request that changes something must have this header: a page in somebody's browser can send none such
/// to another host.
pub const CHANGE_HEADER: &str = "x-lagwise-change";

/// A word out of lagwise's own list of them, or what another lagwise told of its own.
pub type Word = Cow<'static, str>;

/// One server, as `/servers` and `/status` tell it and as the commands read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerState {
    /// Its name.
    pub name: String,
    /// Where it is, as configured.
    pub address: String,
    /// `primary` or `replica`.
    pub role: Word,
    /// Health state.
    pub health: Word,
    /// How far it is behind the primary, in milliseconds; `None` while unknown, and for the primary.
    pub lag_ms: Option<u64>,
    /// What kind of knowledge that is, as in `lagwise_server_lag_form`; `None` for the primary.
    pub lag_form: Option<Word>,
    /// It may get work, as in `lagwise_server_eligible`.
    pub eligible: bool,
    /// Why it gets no reads; `None` if it does, and for the primary.
    pub excluded: Option<String>,
    /// It is taken out for maintenance.
    pub drained: bool,
    /// Connections for sessions.
    pub connections: usize,
    /// Statements that run.
    pub running: u32,
    /// Sessions that have a connection there, counted by what holds it: `statement`, `session`, or as in
    /// `/sessions`. Of a drained server also each `process before` that still serves sessions.
    pub used_by: BTreeMap<Word, usize>,
}

/// Why a server is not drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrainRefusal {
    /// There is none of that name.
    Unknown,
    /// In one sentence for a person.
    Refused(String),
}

/// The servers, and who may change something about them.
pub trait ServerStates: Send + Sync {
    /// All of them, the primary first.
    fn servers(&self) -> Vec<ServerState>;

    /// Takes one out for maintenance, or puts it back.
    ///
    /// # Errors
    /// Why not.
    fn set_drained(&self, name: &str, drained: bool) -> Result<(), DrainRefusal>;
}

/// GET /servers
pub async fn servers(State(state): State<AdminState>) -> Response {
    json(StatusCode::OK, &state.servers.servers())
}

/// POST /servers/NAME/drain
pub async fn drain(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    set_drained(&state, &name, &headers, true)
}

/// POST /servers/NAME/undrain
pub async fn undrain(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    set_drained(&state, &name, &headers, false)
}

fn set_drained(state: &AdminState, name: &str, headers: &HeaderMap, drained: bool) -> Response {
    if !headers.contains_key(CHANGE_HEADER) {
        return (StatusCode::FORBIDDEN, format!("a header {CHANGE_HEADER} is needed\n"))
            .into_response();
    }
    if !state.is_local && !state.token.is_set() {
        let text = "other hosts reach this: changes need [http] token, token_file or token_env\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    match state.servers.set_drained(name, drained) {
        Ok(()) => (StatusCode::OK, "done\n").into_response(),
        Err(DrainRefusal::Unknown) => {
            let names: Vec<_> = state.servers.servers().into_iter().map(|it| it.name).collect();
            let text = format!("there is no server {name:?}: {}\n", names.join(", "));
            (StatusCode::NOT_FOUND, text).into_response()
        }
        Err(DrainRefusal::Refused(why)) => {
            (StatusCode::CONFLICT, format!("{name}: {why}\n")).into_response()
        }
    }
}
