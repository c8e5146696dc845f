//! SIGHUP: the configuration is read again and takes effect as a whole, or not at all.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Server, build, certificates, descriptors};
use crate::cluster;
use crate::config::{Config, diff};

impl Server {
    /// Reads the configuration and puts it into effect; logs what changed, or what is wrong.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn reload(&mut self) -> Result<Vec<String>, String> {
        let outcome = self.try_reload();
        match &outcome {
            Ok(_) => self.metrics.reload_succeeded(SystemTime::now()),
            Err(error) => {
                self.metrics.reload_failed();
                tracing::error!("reload failed, the configuration stays as it was:\n{error}");
            }
        }
        outcome
    }

    /// What changed, a sentence each.
    fn try_reload(&mut self) -> Result<Vec<String>, String> {
        let next = Config::load(&self.path).map_err(|errors| errors.to_string())?;
        let difference = diff(&self.config, &next);
        let restart = difference.needs_restart().join(", ");
        let next = next.keeping_restart_keys(&self.config);
        // Everything that can fail comes first.
        let mut settings =
            build::settings(&next, &self.self_signed).map_err(|error| error.to_string())?;
        let servers = build::servers(&next).map_err(|error| error.to_string())?;
        let filter = build::log_filter(&next.log);
        self.log.set_filter(&filter).map_err(|error| error.to_string())?;
        let applied = self.cluster.apply(servers, cluster::Settings::of(&next));
        let applied = applied.map_err(|error| error.to_string())?;
        settings.rule_counts = self.metrics.set_rules(build::rule_names(&next));
        self.context.settings.store(Arc::new(settings));
        // Another server, or none with TLS, may judge from now on.
        self.context.proofs.clear();
        self.context.wrong_password.forget();
        self.context.forget_prepare_answers();
        if !applied.removed.is_empty() {
            self.context.registry.servers_removed();
        }
        self.config = Arc::new(next);
        self.set_access();
        descriptors::allow(&self.config);
        self.metrics.digests().set_limit(self.config.max_digests);
        self.metrics.set_certificates(certificates::samples(&self.config));
        if difference.is_empty() {
            tracing::info!("reloaded, nothing has changed");
        } else {
            let changed = difference.lines().join("; ");
            tracing::info!(added = ?applied.added, removed = ?applied.removed, "reloaded: {changed}");
        }
        if !restart.is_empty() {
            tracing::warn!("these keys take effect at the next start only: {restart}");
        }
        Ok(difference.lines())
    }
}
