//! What the SQL console is given of the running program.

use std::sync::Arc;

use super::{Server, drain, sessions};
use crate::config::ClientTlsMode;
use crate::console::{self, ConsoleState, Limits};
use crate::net::listen::Listener;

impl Server {
    /// Serves the console there until it is dropped.
    pub(super) fn console(&self, listener: Listener) -> impl Future<Output = ()> + use<> {
        let context = Arc::clone(&self.context);
        // As clients of the proxy have it; where they must, the console leaves it to its clients.
        let tls = move || {
            let settings = context.settings.load();
            settings.tls.offered(ClientTlsMode::Allow)
        };
        let state = ConsoleState {
            users: self.console_users.clone(),
            servers: Arc::new(drain::Servers {
                cluster: Arc::clone(&self.cluster),
                registry: Arc::clone(&self.context.registry),
            }),
            sessions: Arc::new(sessions::Sessions(Arc::clone(&self.context.registry))),
            tls: Arc::new(tls),
            rsa_key: Arc::clone(&self.context.rsa_key),
            limits: Limits::default(),
        };
        console::serve(listener, state)
    }
}
