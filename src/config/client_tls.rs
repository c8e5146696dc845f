//! `[client_tls]`: TLS from clients.

use super::PemFile;
use super::file::Table;
use super::sources::{CERTIFICATE_FORM, PRIVATE_KEY_FORM, PemKind, Sources};

word_enum! {
    /// Whether clients use TLS.
    pub enum ClientTlsMode {
        /// Not offered.
        Off = "off",
        /// Offered; clients choose.
        Allow = "allow",
        /// A login without it is refused.
        Require = "require",
    }
}

word_enum! {
    /// Whether clients that use TLS show a certificate.
    pub enum ClientCertificates {
        /// They are not asked for one.
        Off = "off",
        /// One that is shown must be good.
        Optional = "optional",
        /// Without a good one there is no login.
        Required = "required",
    }
}

/// `[client_tls]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientTls {
    /// `mode`: where no `[[listener]]` says otherwise.
    pub mode: ClientTlsMode,
    /// `cert_file`: the certificate chain, PEM; without one, lagwise makes itself a self-signed
    /// certificate at each start, as the servers do.
    pub cert: Option<PemFile>,
    /// `key_file`: the private key, PEM; there exactly when `cert` is.
    pub key: Option<PemFile>,
    /// `client_certificates`; other than off only together with a `ca`.
    pub client_certificates: ClientCertificates,
    /// `ca_file`: the authorities of clients' certificates, PEM.
    pub ca: Option<PemFile>,
}

impl Default for ClientTls {
    fn default() -> Self {
        let (mode, client_certificates) = (ClientTlsMode::Allow, ClientCertificates::Off);
        Self { mode, cert: None, key: None, client_certificates, ca: None }
    }
}

/// Reads `[client_tls]`.
pub(super) fn read(table: &Table<'_>, sources: &Sources<'_>) -> ClientTls {
    let default = ClientTls::default();
    let (cert, key) = identity(table, sources);
    let mode = table.word("mode").unwrap_or(default.mode);
    let client_certificates =
        table.word("client_certificates").unwrap_or(default.client_certificates);
    let ca = sources.pem(table, "ca_file", PemKind::Certificate);
    if client_certificates != ClientCertificates::Off && !table.has("ca_file") {
        table.error("ca_file", "missing, as client_certificates needs it", CERTIFICATE_FORM);
    }
    if client_certificates == ClientCertificates::Required && mode != ClientTlsMode::Require {
        let problem = format!("\"required\" is of no use with mode = \"{mode}\"");
        let allowed = "mode = \"require\" with it, or \"optional\"";
        table.error("client_certificates", problem, allowed);
    }
    ClientTls { mode, cert, key, client_certificates, ca }
}

/// A certificate and its key, which are there together.
pub(super) fn identity(
    table: &Table<'_>,
    sources: &Sources<'_>,
) -> (Option<PemFile>, Option<PemFile>) {
    let cert = sources.pem(table, "cert_file", PemKind::Certificate);
    let key = sources.pem(table, "key_file", PemKind::PrivateKey);
    match (table.has("cert_file"), table.has("key_file")) {
        (false, true) => {
            table.error("cert_file", "missing, as key_file needs it", CERTIFICATE_FORM);
        }
        (true, false) => {
            table.error("key_file", "missing, as cert_file needs it", PRIVATE_KEY_FORM);
        }
        _ => {}
    }
    (cert, key)
}
