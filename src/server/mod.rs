//! The running program: builds everything from the configuration, and owns tasks, signals,
//! reload and drain.
//!
//! - [`build`]: from the configuration to what the modules take. Fallible, and first. [`sockets`]: where
//!   clients come.
//! - [`workers`]: the threads that serve clients.
//! - [`life`]: signals, drain and end. [`upgrade`]: SIGUSR2, a new process takes over. [`handover`]: what
//!   the two say to each other. [`elders`]: processes before this one that still have sessions.
//! - [`reload`]: SIGHUP, all or nothing. [`downs`]: what sessions are told of servers.
//! - [`memory`]: no core dumps. [`descriptors`]: how many files may be open.
//! - [`console`]: what the SQL console is given.
//! - [`explain`]: where a statement would run.
//! - [`drain`]: replicas that are taken out for maintenance.
//! - [`samples`]: what a scrape asks of the topology. [`certificates`]: what it says of them.
//!   [`sessions`]: what a look at the sessions shows.
//!
//! Threads: one control thread (signals, monitors, HTTP), and `worker_threads` workers, each with
//! an event loop of its own. A session lives on one worker from accept to end, together with its
//! server connections, so that a query crosses no thread.

pub mod build;
mod certificates;
mod console;
mod descriptors;
mod downs;
mod drain;
mod elders;
mod explain;
mod handover;
mod life;
mod memory;
mod reload;
mod samples;
mod sessions;
mod sockets;
mod upgrade;
mod workers;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::{self, AdminState, History, Readiness, Token};
use crate::cluster::ClusterHandle;
use crate::config::{Config, Secret};
use crate::console::Users;
use crate::logging::{self, LogHandle};
use crate::metrics::Metrics;
use crate::net::tls::SelfSigned;
use crate::notify::{self, Notifier};
use crate::session::Context;
use crate::session::context::Lifecycle;
use elders::Elders;
use handover::{Estate, Part, Word};
use life::Signals;
use sockets::Sockets;
use upgrade::Program;
use workers::Load;

pub use build::{BuildError, policy};
pub use explain::explain;

/// How long a process that is to take over waits for the primary.
const USEFUL_TIMEOUT: Duration = Duration::from_secs(20);

/// How long it then waits for the word to serve.
const GO_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// The sockets that systemd passes on are not those that clients are to be accepted from.
    #[error("sockets passed by systemd: {0}")]
    Passed(String),
    /// The process that this one should take over from does not say what it should.
    #[error("cannot take over from the process before: {0}")]
    Handover(io::Error),
    /// A process that takes over serves only when it can.
    #[error("does not take over: the primary was not reached within {0:?}")]
    NoPrimaryYet(Duration),
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
    program: Program,
    config: Arc<Config>,
    self_signed: SelfSigned,
    token: Token,
    console_users: Users,
    wishes: console::Wishes,
    context: Arc<Context>,
    cluster: Arc<ClusterHandle>,
    metrics: Arc<Metrics>,
    log: LogHandle,
    notifier: Arc<Notifier>,
    lifecycle: watch::Sender<Lifecycle>,
    load: Load,
    sockets: Sockets,
    elders: Arc<Elders>,
    /// What runs beside the workers.
    tasks: Vec<JoinHandle<()>>,
}

/// Serves clients until SIGTERM or SIGINT, or until a new process has taken over and the last session ends.
///
/// # Errors
/// See [`RunError`]; nothing has been served then.
pub fn run(config: Config, path: &Path) -> Result<(), RunError> {
    if Part::of_this_process() == Some(Part::Starter) {
        return Ok(upgrade::start_newcomer()?);
    }
    let log = start_log(&config)?;
    if !config.core_dumps
        && let Err(error) = memory::forbid_core_dumps()
    {
        tracing::warn!(%error, "a crash may leave a core dump, with passwords in it");
    }
    descriptors::allow(&config);
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
    let program = Program::of_this_process();
    let notifier = Arc::new(Notifier::from_env()?);
    let mut signals = Signals::new()?;
    let mut estate = handover::receive().map_err(RunError::Handover)?;
    let self_signed = build::self_signed()?;
    let settings = build::settings(&config, &self_signed)?;
    let servers = build::servers(&config)?;
    let rsa_key = build::rsa_key(&config)?;
    let sockets = sockets::open(&config, estate.as_mut())?;
    let threads = build::worker_threads(&config);
    let metrics = Metrics::new(build::LABELS, threads + 1, crate::VERSION, SystemTime::now())
        .map_err(|error| RunError::Start(error.to_string()))?;
    let cluster = ClusterHandle::start(servers, crate::cluster::Settings::of(&config));
    let cluster = Arc::new(cluster.map_err(BuildError::from)?);
    metrics.set_servers(Arc::new(samples::Servers(Arc::clone(&cluster))));
    let (lifecycle, watching) = watch::channel(Lifecycle::Running);
    let context =
        Context::new(Arc::clone(&cluster), Arc::clone(&metrics), settings, rsa_key, watching);
    let elders = arrive(estate.as_mut(), &cluster, &context).await?;
    let workers = workers::start(threads, &sockets.clients, &context)?;
    let load = workers.load();
    let mut server = Server {
        path,
        program,
        config: Arc::new(config),
        self_signed,
        token: Token::default(),
        console_users: Users::default(),
        wishes: console::Wishes::default(),
        context,
        cluster,
        metrics,
        log,
        notifier,
        lifecycle,
        load,
        sockets,
        elders: Arc::new(elders),
        tasks: Vec::new(),
    };
    server.set_access();
    server.metrics.digests().set_limit(server.config.max_digests);
    server.metrics.set_certificates(certificates::samples(&server.config));
    server.start_tasks(workers.pulse())?;
    if let Some(estate) = estate {
        server.take_over(estate)?;
    }
    let listen = server.sockets.addresses().join(", ");
    tracing::info!(listen, workers = threads, "lagwise is ready");
    server.tell(server.notifier.ready());
    server.live(&mut signals).await;
    workers.stop();
    tracing::info!("lagwise has ended");
    Ok(())
}

/// What comes before the first client if there is a process before this one: looks at the servers, tells
/// it, and waits for the word to serve.
async fn arrive(
    estate: Option<&mut Estate>,
    cluster: &ClusterHandle,
    context: &Context,
) -> Result<Elders, RunError> {
    let Some(estate) = estate else { return Ok(Elders::watch(Vec::new(), &context.writes)?) };
    context.registry.begin_at(estate.first_session);
    for name in &estate.drained {
        // The new configuration may not have it, or as the primary.
        if let Err(error) = cluster.set_drained(name, true) {
            tracing::warn!(server = name, %error, "not drained any more");
        }
    }
    if !cluster.until_useful(tokio::time::Instant::now() + USEFUL_TIMEOUT).await {
        return Err(RunError::NoPrimaryYet(USEFUL_TIMEOUT));
    }
    let elder = estate.elder()?;
    handover::say(&elder, Word::Ready).map_err(RunError::Handover)?;
    elder.set_nonblocking(true)?;
    let elder = tokio::net::UnixStream::from_std(elder)?;
    handover::expect(&elder, Word::Go, GO_TIMEOUT).await.map_err(RunError::Handover)?;
    drop(elder);
    Ok(Elders::watch(std::mem::take(&mut estate.elders), &context.writes)?)
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
        let is_known = cluster.hold() != Some(crate::cluster::Hold::Undecided);
        if is_known && primary.may_be_alive() && primary != crate::cluster::Health::Starting
            || cluster.serves_reads(None)
        {
            return Ok(());
        }
        if !is_known {
            return Err("which server is the primary cannot be told, see the log".to_owned());
        }
        Err(format!("the primary is {} and no replica is eligible", primary.as_str()))
    }
}

impl Server {
    fn http(
        &self,
        listener: tokio::net::TcpListener,
        history: Arc<History>,
    ) -> impl Future<Output = ()> + use<> {
        let readiness =
            Ready { cluster: Arc::clone(&self.cluster), lifecycle: self.lifecycle.subscribe() };
        let state = AdminState {
            metrics: Arc::clone(&self.metrics),
            readiness: Arc::new(readiness),
            sessions: Arc::new(sessions::Sessions(Arc::clone(&self.context))),
            servers: self.server_states(),
            history,
            topology: self.log.topology().clone(),
            token: self.token.clone(),
            is_local: listener.local_addr().is_ok_and(|address| address.ip().is_loopback()),
        };
        admin::serve(listener, state, std::future::pending::<()>())
    }

    /// Asks those who look over HTTP for the token that the configuration has, and knows the accounts of
    /// the console.
    fn set_access(&self) {
        self.console_users.set(&self.config.console.users);
        self.wishes.set_config(&self.config);
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

    /// What runs beside the workers.
    fn start_tasks(&mut self, pulse: workers::Pulse) -> io::Result<()> {
        let context = &self.context;
        let hashes = crate::cluster::native_hashes::refresh(
            Arc::clone(&self.cluster),
            Arc::clone(&context.native_hashes),
        );
        let catalogue = crate::cluster::catalogue::refresh(
            Arc::clone(&self.cluster),
            Arc::clone(&context.writes),
        );
        let downs = downs::tell(Arc::clone(&self.cluster), Arc::clone(&context.registry));
        let rotation = crate::cluster::rotation::watch(Arc::clone(&self.cluster));
        let mut tasks = vec![tokio::spawn(hashes), tokio::spawn(catalogue), tokio::spawn(downs)];
        tasks.push(tokio::spawn(rotation));
        if let Some(http) = self.sockets.http()? {
            let history = Arc::new(History::default());
            let metrics = Arc::clone(&self.metrics);
            tasks.push(tokio::spawn(admin::keep_history(Arc::clone(&history), metrics)));
            tasks.push(tokio::spawn(self.http(http, history)));
        }
        if let Some(listener) = self.sockets.console()? {
            tasks.push(tokio::spawn(self.console(listener)));
        }
        tasks.extend(self.watchdog(pulse));
        self.tasks = tasks;
        Ok(())
    }
}
