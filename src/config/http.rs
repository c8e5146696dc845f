//! `[http]`: metrics, health and sessions over HTTP.

use std::net::{Ipv4Addr, SocketAddr};

use super::error::quoted;
use super::file::Table;
use super::sources::Sources;
use super::{ListenAddress, Secret};

/// `[http]`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    /// `listen`. Restart.
    pub listen: SocketAddr,
    /// `token`, `token_file` or `token_env`: what `Authorization: Bearer` must say for everything but
    /// `/healthz` and `/readyz`; 16 to 256 characters. `None`: nothing is asked.
    pub token: Option<Secret>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9104)), token: None }
    }
}

impl HttpConfig {
    /// Whether other hosts may reach it, and nothing is asked of them.
    pub fn is_open(&self) -> bool {
        self.token.is_none() && !self.listen.ip().to_canonical().is_loopback()
    }

    /// As it is in force after a reload that brings this, of one that runs as `running`: it listens where
    /// it did.
    pub(super) fn after(self, running: &Self) -> Self {
        Self { listen: running.listen, ..self }
    }
}

const KEYS: [&str; 3] = ["token", "token_file", "token_env"];

/// Reads `[http]`; `None` without that table.
pub(super) fn read(table: &Table<'_>, sources: &Sources<'_>) -> Option<HttpConfig> {
    let allowed = "\"IPv4:port\" or \"[IPv6]:port\"";
    let listen = table.parsed("listen", allowed, |text| match text.parse() {
        Ok(ListenAddress::Tcp(socket)) => Ok(socket),
        Ok(ListenAddress::Unix(_)) => Err(format!("{} is a Unix socket", quoted(text))),
        Err(error) => Err(format!("{} {error}", quoted(text))),
    });
    let given: Vec<&str> = KEYS.into_iter().filter(|key| table.has(key)).collect();
    if let [_, .., last] = given.as_slice() {
        let problem = format!("{} are all given", given.join(", "));
        table.error(last, problem, &format!("at most one of {}", KEYS.join(", ")));
    }
    let token = sources.token(table);
    let default = HttpConfig::default();
    let listen = listen.map_or(default.listen, |listen| listen.value);
    table.is_present().then_some(HttpConfig { listen, token })
}
