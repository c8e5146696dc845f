//! What the SQL console is given of the running program, and what it may ask of it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot};

use super::{Server, explain, sessions};
use crate::config::{ClientTlsMode, Config};
use crate::console::{self, ConsoleState, Desk, Limits, Reload};
use crate::metrics::{DigestRow, Metrics, SlowStatement};
use crate::net::listen::Listener;
use crate::route::Reason;
use crate::session::Context;
use crate::session::registry::Interrupt;

/// Who waits for a reload.
type Wish = oneshot::Sender<Result<Vec<String>, String>>;

/// What the console asks of the control thread, and the configuration that it shows.
pub struct Wishes {
    config: Arc<ArcSwapOption<Config>>,
    reload: mpsc::Sender<Wish>,
    wishes: mpsc::Receiver<Wish>,
}

impl Default for Wishes {
    fn default() -> Self {
        // One waits while another is being done.
        let (reload, wishes) = mpsc::channel(1);
        Self { config: Arc::default(), reload, wishes }
    }
}

impl Wishes {
    /// This one is in force.
    pub fn set_config(&self, config: &Arc<Config>) {
        self.config.store(Some(Arc::clone(config)));
    }

    /// The next who asks for a reload.
    pub async fn next(&mut self) -> Wish {
        match self.wishes.recv().await {
            Some(wish) => wish,
            // It cannot be: the other end is here, too.
            None => std::future::pending().await,
        }
    }
}

/// What is behind the statements of the console's own.
struct Behind {
    config: Arc<ArcSwapOption<Config>>,
    reload: mpsc::Sender<Wish>,
    metrics: Arc<Metrics>,
    context: Arc<Context>,
}

impl Desk for Behind {
    fn config(&self) -> Vec<(String, Option<String>)> {
        self.config.load().as_ref().map(|config| config.shown()).unwrap_or_default()
    }

    fn explain(&self, user: &str, schema: &str, statement: &str) -> String {
        let config = self.config.load();
        config.as_ref().map(|it| explain(it, user, schema, statement)).unwrap_or_default()
    }

    fn routes(&self) -> Vec<(&'static str, &'static str, u64)> {
        self.metrics.routes()
    }

    fn queries(&self) -> Vec<(DigestRow, &'static str)> {
        let reason = |row: &DigestRow| Reason::NAMES.get(row.main_reason()).copied();
        let rows = self.metrics.digests().rows().into_iter();
        rows.map(|row| (reason(&row).unwrap_or_default(), row))
            .map(|(why, row)| (row, why))
            .collect()
    }

    fn slow(&self) -> Vec<SlowStatement> {
        self.metrics.slow().rows()
    }

    fn reset_statistics(&self) {
        self.metrics.digests().reset();
        self.metrics.slow().reset();
    }

    fn reload(&self) -> Reload {
        let (wish, outcome) = oneshot::channel();
        let sent = self.reload.try_send(wish);
        Box::pin(async move {
            sent.map_err(|_| "another RELOAD waits already".to_owned())?;
            outcome.await.map_err(|_| "lagwise is being stopped".to_owned())?
        })
    }

    fn kill(&self, session: u32) -> bool {
        let cluster = self.context.cluster.load();
        let found = self.context.registry.find(u64::from(session), cluster.primary());
        found.iter().for_each(|session| session.set_interrupt(Interrupt::Kill));
        found.is_some()
    }
}

impl Server {
    /// Serves the console there until it is dropped.
    pub(super) fn console(&self, listener: Listener) -> impl Future<Output = ()> + use<> {
        let context = Arc::clone(&self.context);
        // As clients of the proxy have it; where they must, the console leaves it to its clients.
        let tls = move || {
            let settings = context.settings.load();
            settings.tls.offered(ClientTlsMode::Allow)
        };
        let behind = Behind {
            config: Arc::clone(&self.wishes.config),
            reload: self.wishes.reload.clone(),
            metrics: Arc::clone(&self.metrics),
            context: Arc::clone(&self.context),
        };
        let state = ConsoleState {
            users: self.console_users.clone(),
            servers: self.server_states(),
            sessions: Arc::new(sessions::Sessions(Arc::clone(&self.context))),
            desk: Arc::new(behind),
            tls: Arc::new(tls),
            rsa_key: Arc::clone(&self.context.rsa_key),
            limits: Limits::default(),
        };
        console::serve(listener, state)
    }
}
