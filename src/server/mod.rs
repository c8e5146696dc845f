//! The running program: builds everything from the configuration, and owns tasks, signals,
//! reload and drain.
//!
//! - [`build`]: from the configuration to what the modules take. Fallible, and first.
//! - [`workers`]: the threads that serve clients.
//! - [`reload`]: SIGHUP, all or nothing. [`downs`]: what sessions are told of servers.
//! - [`samples`]: what a scrape asks of the topology. [`sessions`]: what a look at the sessions shows.
//!
//! Threads: one control thread (signals, monitors, HTTP), and `worker_threads` workers, each with
//! an event loop of its own. A session lives on one worker from accept to end, together with its
//! server connections, so that a query crosses no thread.

mod build;
mod downs;
mod reload;
mod samples;
mod sessions;
mod workers;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::admin::{self, AdminState, Readiness, Token};
use crate::cluster::ClusterHandle;
use crate::config::{Config, ListenAddress, Secret};
use crate::logging::{self, LogHandle};
use crate::metrics::Metrics;
use crate::net::listen::Bound;
use crate::notify::{self, Notifier};
use crate::session::Context;
use crate::session::context::Lifecycle;
use crate::session::registry::Interrupt;

pub use build::{BuildError, policy};

/// How long sessions get to say goodbye when the drain timeout has passed.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Why the program could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration cannot be put into effect.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address as configured.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// Threads, signals, or the log cannot be set up.
    #[error("cannot start: {0}")]
    Start(String),
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::Start(error.to_string())
    }
}

/// What the control thread owns.
struct Server {
    path: PathBuf,
    config: Config,
    self_signed: Arc<rustls::ServerConfig>,
    token: Token,
    context: Arc<Context>,
    cluster: Arc<ClusterHandle>,
    metrics: Arc<Metrics>,
    log: LogHandle,
    notifier: Arc<Notifier>,
    lifecycle: watch::Sender<Lifecycle>,
}

/// Serves clients until SIGTERM or SIGINT.
///
/// # Errors
/// See [`RunError`]; nothing has been served then.
pub fn run(config: Config, path: &Path) -> Result<(), RunError> {
    let log = start_log(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(config, path.to_owned(), log))
}

fn start_log(config: &Config) -> Result<LogHandle, RunError> {
    let journal = std::env::var_os("JOURNAL_STREAM");
    let sink = logging::stderr_sink(journal.as_deref());
    let format = build::log_format(&config.log);
    logging::init(&build::log_filter(&config.log), format, sink)
        .map_err(|error| RunError::Start(error.to_string()))
}

async fn serve(config: Config, path: PathBuf, log: LogHandle) -> Result<(), RunError> {
    let notifier = Arc::new(Notifier::from_env()?);
    let mut signals = Signals::new()?;
    let self_signed = build::self_signed()?;
    let settings = build::settings(&config, &self_signed)?;
    let servers = build::servers(&config)?;
    let rsa_key = build::rsa_key(&config)?;
    let bound = bind(&config.listen)?;
    let http = bind_http(&config).await?;
    let threads = build::worker_threads(&config);
    let metrics = Metrics::new(build::LABELS, threads + 1, crate::VERSION, SystemTime::now())
        .map_err(|error| RunError::Start(error.to_string()))?;
    let cluster = ClusterHandle::start(servers, crate::cluster::Settings::of(&config));
    let cluster = Arc::new(cluster.map_err(BuildError::from)?);
    metrics.set_servers(Arc::new(samples::Servers(Arc::clone(&cluster))));
    let (lifecycle, watching) = watch::channel(Lifecycle::Running);
    let context =
        Context::new(Arc::clone(&cluster), Arc::clone(&metrics), settings, rsa_key, watching);
    let workers = workers::start(threads, &bound, &context)?;
    let addresses: Vec<String> = bound.iter().map(shown_address).collect();
    let mut server = Server {
        path,
        config,
        self_signed,
        token: Token::default(),
        context,
        cluster,
        metrics,
        log,
        notifier,
        lifecycle,
    };
    server.set_token();
    let http = http.map(|listener| tokio::spawn(server.http(listener)));
    let hashes = tokio::spawn(crate::cluster::native_hashes::refresh(
        Arc::clone(&server.cluster),
        Arc::clone(&server.context.native_hashes),
    ));
    let catalogue = tokio::spawn(crate::cluster::catalogue::refresh(
        Arc::clone(&server.cluster),
        Arc::clone(&server.context.writes),
    ));
    let downs = tokio::spawn(downs::tell(
        Arc::clone(&server.cluster),
        Arc::clone(&server.context.registry),
    ));
    let watchdog = server.watchdog(workers.pulse());
    tracing::info!(listen = addresses.join(", "), workers = threads, "lagwise is ready");
    server.tell(server.notifier.ready());
    server.until_stopped(&mut signals).await;
    drop(bound);
    server.drain(&mut signals).await;
    for task in [http, watchdog, Some(hashes), Some(catalogue), Some(downs)].into_iter().flatten() {
        task.abort();
    }
    workers.stop();
    tracing::info!("lagwise has ended");
    Ok(())
}

fn bind(addresses: &[ListenAddress]) -> Result<Vec<Bound>, RunError> {
    let bind = |address: &ListenAddress| {
        Bound::bind(address)
            .map_err(|source| RunError::Listen { address: address.to_string(), source })
    };
    addresses.iter().map(bind).collect()
}

async fn bind_http(config: &Config) -> Result<Option<tokio::net::TcpListener>, RunError> {
    let Some(http) = &config.http else { return Ok(None) };
    let listener = tokio::net::TcpListener::bind(http.listen).await;
    let named = |source| RunError::Listen { address: format!("http {}", http.listen), source };
    listener.map(Some).map_err(named)
}

/// The address with the port that was really bound.
fn shown_address(bound: &Bound) -> String {
    match bound.local_address() {
        Some(address) => address.to_string(),
        None => bound.address().to_string(),
    }
}

/// The signals that lagwise listens to.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Ready: some server can be used, and lagwise is not being stopped.
struct Ready {
    cluster: Arc<ClusterHandle>,
    lifecycle: watch::Receiver<Lifecycle>,
}

impl Readiness for Ready {
    fn ready(&self) -> Result<(), String> {
        if *self.lifecycle.borrow() != Lifecycle::Running {
            return Err("lagwise is being stopped".to_owned());
        }
        let cluster = self.cluster.load();
        let primary = cluster.primary().with_status(|status| status.health);
        if primary.may_be_alive() && primary != crate::cluster::Health::Starting
            || cluster.serves_reads(None)
        {
            return Ok(());
        }
        Err(format!("the primary is {} and no replica is eligible", primary.as_str()))
    }
}

impl Server {
    fn http(&self, listener: tokio::net::TcpListener) -> impl Future<Output = ()> + use<> {
        let readiness =
            Ready { cluster: Arc::clone(&self.cluster), lifecycle: self.lifecycle.subscribe() };
        let state = AdminState {
            metrics: Arc::clone(&self.metrics),
            readiness: Arc::new(readiness),
            sessions: Arc::new(sessions::Sessions(Arc::clone(&self.context.registry))),
            token: self.token.clone(),
        };
        admin::serve(listener, state, std::future::pending::<()>())
    }

    /// Asks those who look over HTTP for the token that the configuration has.
    fn set_token(&self) {
        let Some(http) = &self.config.http else { return };
        self.token.set(http.token.as_ref().map(Secret::expose));
        if http.is_open() {
            let listen = http.listen;
            tracing::warn!(
                %listen,
                "other hosts may reach [http] and need no token: whoever does sees users and addresses"
            );
        }
    }

    fn watchdog(&self, pulse: workers::Pulse) -> Option<tokio::task::JoinHandle<()>> {
        let timeout = notify::watchdog_timeout()?;
        let notifier = Arc::clone(&self.notifier);
        Some(tokio::spawn(async move {
            notify::keep_alive(&notifier, timeout, move || pulse.all_alive(timeout / 2)).await;
        }))
    }

    fn tell(&self, result: io::Result<()>) {
        if let Err(error) = result {
            tracing::warn!(%error, "cannot notify systemd");
        }
    }

    async fn until_stopped(&mut self, signals: &mut Signals) {
        loop {
            tokio::select! {
                _ = signals.hangup.recv() => {
                    let notifier = Arc::clone(&self.notifier);
                    notify::around_reload(&notifier, async { self.reload() }).await;
                }
                _ = signals.terminate.recv() => return,
                _ = signals.interrupt.recv() => return,
            }
        }
    }

    /// Lets sessions finish what they are at, at most for `drain_timeout`; a second signal ends
    /// the wait.
    async fn drain(&mut self, signals: &mut Signals) {
        self.tell(self.notifier.stopping());
        self.lifecycle.send_replace(Lifecycle::Draining);
        let registry = Arc::clone(&self.context.registry);
        registry.interrupt_all(Interrupt::Drain);
        self.cluster.close_pools();
        let limit = self.config.drain_timeout;
        tracing::info!(sessions = self.context.sessions(), ?limit, "draining");
        tokio::select! {
            () = self.until_empty(limit) => {}
            _ = signals.terminate.recv() => {}
            _ = signals.interrupt.recv() => {}
        }
        if self.context.sessions() > 0 {
            tracing::warn!(sessions = self.context.sessions(), "closing sessions that still run");
            self.lifecycle.send_replace(Lifecycle::Closing);
            registry.interrupt_all(Interrupt::Close);
            self.until_empty(CLOSE_GRACE).await;
        }
        // Servers count connections that end without a goodbye, and write of them to their logs.
        let closed = until(|| self.cluster.open_connections() == 0);
        let _ = tokio::time::timeout(CLOSE_GRACE, closed).await;
    }

    async fn until_empty(&self, limit: Duration) {
        let empty = until(|| self.context.sessions() == 0);
        // Running out of time is one of the two ways in which this ends.
        let _ = tokio::time::timeout(limit, empty).await;
    }
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
