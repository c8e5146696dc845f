//! The certificates that lagwise shows, for those who watch when they end.

use crate::config::{ClientTlsMode, Config, PemFile, ServerTlsMode};
use crate::metrics::CertificateSample;
use crate::net::expiry::expiry;

/// Those of the configuration. One that lagwise has made itself is not among them: nobody verifies it,
/// and a restart makes another.
pub(super) fn samples(config: &Config) -> Vec<CertificateSample> {
    let modes = config.listeners.iter().filter_map(|listener| listener.tls_mode);
    let is_shown = modes.chain([config.client_tls.mode]).any(|mode| mode != ClientTlsMode::Off);
    let own = config.client_tls.cert.iter().filter(|_| is_shown);
    let clients = own.filter_map(|file| sample(file, None));
    let servers = config.servers.iter().filter(|server| server.tls.mode != ServerTlsMode::Off);
    let servers =
        servers.filter_map(|server| sample(server.tls.cert.as_ref()?, Some(&server.name)));
    clients.chain(servers).collect()
}

fn sample(file: &PemFile, server: Option<&str>) -> Option<CertificateSample> {
    let Some(expiry) = expiry(file.contents.expose()) else {
        tracing::warn!(
            file = %file.path.display(),
            "cannot tell when this certificate ends: it is missing in the metrics"
        );
        return None;
    };
    Some(CertificateSample { server: server.map(str::to_owned), expiry })
}
