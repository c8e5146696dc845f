//! The HTTP endpoints: `/metrics`, `/healthz`, `/readyz`, `/status`, `/history`, `/events`, `/queries`,
//! `/sessions` and `/servers` for machines, and `/` for people.
//!
//! - [`sessions`]: the list of sessions. [`token`]: who may look.
//! - [`servers`]: the list of servers, and taking one out for maintenance. [`client`]: the commands that
//!   ask for it. [`status`]: all of it together, for a person who asks.
//! - [`queries`]: what statements cost. [`history`]: the last ten minutes, and what happened. [`page`]: the status page, drawn from these.
//!
//! But for that one change they answer GET and HEAD only, and they read no request body. Because they share the process with
//! the proxy, a hostile or broken scraper must not cost it more than a little: connections, header
//! size, the time to send a header, and the life of a connection are bounded by [`Limits`].
//!
//! Deliberately absent: TLS (bind to loopback, which is the default, or put a reverse proxy before
//! it), and anything else that changes state: the SQL console is for that.

pub mod client;
mod history;
mod page;
mod queries;
mod servers;
mod sessions;
pub mod status;
#[cfg(test)]
mod tests;
mod token;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

pub use history::{
    History, HistoryAnswer, Latencies, Numbered, Percentiles, Rates, Sample, Waiting,
    keep as keep_history,
};
pub use queries::{Queries, Query};
pub use servers::{DrainRefusal, ServerState, ServerStates, Word};
pub use sessions::{Connection, Connections, Pinned, Session, SessionSource, Sessions};
pub use token::Token;

use crate::logging::TopologyEvents;
use crate::metrics::{CONTENT_TYPE, Metrics};

/// Says whether this lagwise should get clients.
pub trait Readiness: Send + Sync {
    /// `Ok` while a primary or an eligible replica is up and lagwise is not draining.
    ///
    /// # Errors
    /// Why not, in one sentence for a person; it must hold no secret. It must not block.
    fn ready(&self) -> Result<(), String>;
}

/// What the endpoints show.
#[derive(Clone)]
pub struct AdminState {
    /// Rendered at `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Asked at `/readyz`.
    pub readiness: Arc<dyn Readiness>,
    /// Asked at `/sessions`.
    pub sessions: Arc<dyn SessionSource>,
    /// Asked at `/servers`, and told to drain one.
    pub servers: Arc<dyn ServerStates>,
    /// Shown at `/history`; [`keep_history`] fills it.
    pub history: Arc<History>,
    /// Shown at `/events`.
    pub topology: TopologyEvents,
    /// What is asked of those who look.
    pub token: Token,
    /// Only this host reaches the endpoints. Others may change something only with a token.
    pub is_local: bool,
}

/// The bounds of the HTTP side.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections served at once; more wait in the listener's backlog.
    pub connections: usize,
    /// Time for a client to send a whole request header, and to idle between two requests.
    pub header_timeout: Duration,
    /// Bytes of a request header, and of buffer per connection; at least 8192.
    pub header_bytes: usize,
    /// Life of a connection, however busy; then it is closed after the request being answered.
    pub max_age: Duration,
    /// Time for the request being answered, once a connection is to be closed.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            header_timeout: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            max_age: Duration::from_secs(300),
            grace: Duration::from_secs(2),
        }
    }
}

/// Serves the endpoints on `listener` until `shutdown` completes; then requests being answered
/// get [`Limits::grace`], and all connections are closed when this returns.
pub async fn serve(listener: TcpListener, state: AdminState, shutdown: impl Future) {
    serve_with(listener, state, shutdown, Limits::default()).await;
}

/// [`serve`] with other bounds.
pub async fn serve_with(
    listener: TcpListener,
    state: AdminState,
    shutdown: impl Future,
    limits: Limits,
) {
    let router = router(state);
    let permits = Arc::new(Semaphore::new(limits.connections));
    // Closed by the drop of `stop`; `stop.closed()` in turn waits for the last connection.
    let (stop, stopped) = watch::channel(());
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            _ = &mut shutdown => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let connection = connection(stream, router.clone(), stopped.clone(), limits);
                tokio::spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "HTTP endpoint cannot accept a connection");
                // Out of descriptors or memory: the error would repeat at once.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let _ = stop.send(());
    drop(stopped);
    stop.closed().await;
}

/// Takes a permit first, so that a connection over the bound stays in the backlog.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok((stream, permit)),
            // The peer gave up before it was accepted; that is its affair (accept(2)).
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Serves one connection to its end, which [`Limits`] put in sight.
async fn connection(
    stream: TcpStream,
    router: Router,
    mut stopped: watch::Receiver<()>,
    limits: Limits,
) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        result = connection.as_mut() => Some(result),
        _ = stopped.changed() => None,
        () = sleep(limits.max_age) => None,
    };
    let result = match ended {
        Some(result) => result,
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.grace, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "HTTP connection ended early");
    }
}

fn router(state: AdminState) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status::status))
        .route("/history", get(history::history))
        .route("/events", get(history::events))
        .route("/queries", get(queries::queries))
        .route("/sessions", get(sessions::sessions))
        .route("/servers", get(servers::servers))
        .route("/servers/{name}/drain", post(servers::drain))
        .route("/servers/{name}/undrain", post(servers::undrain))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(state.clone(), token::check))
        .with_state(state)
}

async fn metrics(State(state): State<AdminState>) -> Response {
    // It reads /proc, so not on a thread that serves clients.
    let rendered = tokio::task::spawn_blocking(move || state.metrics.render()).await;
    match rendered {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::error!(%error, "cannot render an HTTP answer");
    (StatusCode::INTERNAL_SERVER_ERROR, "cannot render the answer\n").into_response()
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(mut text) => {
            text.push(b'\n');
            (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Err(error) => failed(&error),
    }
}

/// The number of `name=` in a query, if it has one.
fn number(uri: &Uri, name: &str) -> Option<u64> {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    let found = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    found.and_then(|number| number.parse().ok())
}

/// Alive: that the process answers at all is the answer.
async fn healthz() -> &'static str {
    "ok\n"
}

/// What `/readyz` says.
#[derive(Serialize)]
struct Ready {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

async fn readyz(State(state): State<AdminState>) -> Response {
    match state.readiness.ready() {
        Ok(()) => json(StatusCode::OK, &Ready { ready: true, reason: None }),
        Err(reason) => {
            let body = Ready { ready: false, reason: Some(reason) };
            json(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}

async fn not_found() -> impl IntoResponse {
    (
        StatusCode::NOT_FOUND,
        "not found: try /metrics, /healthz, /readyz, /status, /history, /events, /queries, /sessions \
         or /servers, or / in a browser\n",
    )
}

/// What a server is told to do is the one thing that is not read: see [`router`].
async fn method_not_allowed(uri: Uri) -> impl IntoResponse {
    let (allowed, text) = match uri.path().starts_with("/servers/") {
        true => ("POST", "POST only\n"),
        false => ("GET, HEAD", "GET and HEAD only\n"),
    };
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allowed)], text)
}
