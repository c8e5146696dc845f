//! `/status`: the whole of a running lagwise in one answer, which `lagwise status` asks for.

use std::time::SystemTime;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::servers::ServerState;
use super::{AdminState, json};

/// The state of a running lagwise, as `/status` tells it and as `lagwise status` reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Whether it should get clients.
    pub ready: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Client sessions that are open.
    pub sessions: u64,
    /// Statements since the start, by where they went.
    pub statements: Statements,
    /// The primary first.
    pub servers: Vec<ServerState>,
}

/// Statements since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statements {
    /// Those for the primary: all writes, and reads that had to go there.
    pub primary: u64,
    /// Reads for replicas.
    pub replica: u64,
    /// Those that were refused.
    pub none: u64,
}

impl Statements {
    /// Of statements by target and reason.
    fn count(routes: &[(&str, &str, u64)]) -> Self {
        let to = |target: &str| {
            let those = routes.iter().filter(|(to, ..)| *to == target);
            those.map(|(.., count)| count).sum()
        };
        Self { primary: to("primary"), replica: to("replica"), none: to("none") }
    }
}

/// GET /status. An answer is good whether lagwise is ready or not.
pub async fn status(State(state): State<AdminState>) -> Response {
    let ready = state.readiness.ready();
    let status = Status {
        version: state.metrics.version().to_owned(),
        uptime_seconds: state.metrics.uptime_seconds(SystemTime::now()),
        ready: ready.is_ok(),
        reason: ready.err(),
        sessions: state.metrics.sessions(),
        statements: Statements::count(&state.metrics.routes()),
        servers: state.servers.servers(),
    };
    json(StatusCode::OK, &status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_counted_by_target() {
        let routes = [
            ("primary", "write", 3),
            ("primary", "locking_read", 4),
            ("replica", "read", 5),
            ("elsewhere", "read", 6),
        ];
        assert_eq!(Statements::count(&routes), Statements { primary: 7, replica: 5, none: 0 });
        assert_eq!(Statements::count(&[]), Statements::default());
    }
}
