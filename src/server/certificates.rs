//! The certificates that lagwise shows, for those who watch when they end.

use crate::config::{Config, PemFile};
use crate::metrics::CertificateSample;
use crate::net::expiry::expiry;

/// Those of the configuration. One that lagwise has made itself is not among them: nobody verifies it,
/// and a restart makes another.
pub(super) fn samples(config: &Config) -> Vec<CertificateSample> {
    let clients = config.client_tls.cert.iter().filter_map(|file| sample(file, None));
    let servers = config.servers.iter().filter_map(|server| {
        server.tls.cert.as_ref().and_then(|file| sample(file, Some(&server.name)))
    });
    clients.chain(servers).collect()
}

fn sample(file: &PemFile, server: Option<&str>) -> Option<CertificateSample> {
    let Some(expiry) = expiry(file.contents.expose()) else {
        tracing::warn!(file = %file.path.display(), "cannot tell when a certificate ends: it is missing in the metrics");
        return None;
    };
    Some(CertificateSample { server: server.map(str::to_owned), expiry })
}
