//! Where a server is and how it is reached.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use crate::config::ServerAddress;

/// Everything that a connection needs to know of its server before it speaks to it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Host and port, or socket path.
    pub address: ServerAddress,
    /// TLS, if it is to be used at all; never on a Unix socket.
    pub tls: Option<EndpointTls>,
    /// A peer that vanished silently is given up after about this long.
    pub dead_after: Duration,
    /// It is told where clients are, by the PROXY protocol.
    pub proxy_protocol: bool,
}

/// TLS towards a server.
#[derive(Clone, Debug)]
pub struct EndpointTls {
    /// What is verified, and the sessions that can be resumed.
    pub config: Arc<rustls::ClientConfig>,
    /// The name that the certificate is checked against.
    pub name: ServerName<'static>,
    /// Which connections use it.
    pub use_for: UseFor,
}

/// Which connections to a server use TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseFor {
    /// Those of clients that use TLS themselves, if the server offers it.
    SecureClients,
    /// All, if the server offers it.
    AllIfOffered,
    /// All; a server that offers none is an error.
    All,
}
