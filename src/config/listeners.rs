//! `listen` and `[[listener]]`: one list of addresses out of two places.
//!
//! `listen` is all that most people need. A `[[listener]]` table adds detail to an address that is
//! named there, or adds an address by itself.

use super::error::quoted;
use super::file::{Located, Table};
use super::{ClientTls, ClientTlsMode, Config, ListenAddress, address};

const MAX_LISTENERS: usize = 64;

/// `[[listener]]`: where one address differs from the others.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerConfig {
    /// `address`: one of [`Config::listen`].
    pub address: ListenAddress,
    /// `tls_mode`: in the place of `client_tls.mode`.
    pub tls_mode: Option<ClientTlsMode>,
}

/// Reads all addresses, those of `listen` first, and the tables.
pub(super) fn read(root: &Table<'_>) -> (Vec<ListenAddress>, Vec<ListenerConfig>) {
    let read = |text: &str| {
        text.parse::<ListenAddress>().map_err(|error| format!("{} {error}", quoted(text)))
    };
    let found = root.list("listen", MAX_LISTENERS, address::LISTEN_FORM, read);
    let tables = root.tables("listener", MAX_LISTENERS);
    if found.is_none() && tables.is_empty() {
        root.error("listen", "missing", address::LISTEN_FORM);
    }
    if found.as_ref().is_some_and(Vec::is_empty) && tables.is_empty() && !root.has_errors("listen")
    {
        root.error("listen", "is empty", address::LISTEN_FORM);
    }
    let mut addresses: Vec<ListenAddress> = Vec::new();
    for entry in found.into_iter().flatten() {
        if addresses.contains(&entry.value) {
            let problem = format!("{} is there twice", entry.value);
            root.error_at(entry.offset, "listen", problem, "each address once");
        } else {
            addresses.push(entry.value);
        }
    }
    let mut listeners: Vec<ListenerConfig> = Vec::new();
    for table in &tables {
        let tls_mode = table.word("tls_mode");
        let Some(Located { value: address, .. }) =
            table.parsed("address", address::LISTEN_FORM, read)
        else {
            if !table.has("address") {
                table.error("address", "missing", address::LISTEN_FORM);
            }
            continue;
        };
        if listeners.iter().any(|known| known.address == address) {
            let problem = format!("{address} has a [[listener]] table already");
            table.error("address", problem, "one [[listener]] table for each address");
            continue;
        }
        if matches!(&address, ListenAddress::Tcp(socket) if socket.port() == 0) {
            table.error("address", format!("{address} names port 0"), "a port by which to know it");
        }
        if !addresses.contains(&address) {
            addresses.push(address.clone());
        }
        listeners.push(ListenerConfig { address, tls_mode });
    }
    (addresses, listeners)
}

impl Config {
    /// Whether clients at this address of lagwise's use TLS.
    pub fn tls_mode(&self, address: &ListenAddress) -> ClientTlsMode {
        let ClientTls { mode, .. } = self.client_tls;
        let own = self.listeners.iter().find(|listener| listener.address == *address);
        own.and_then(|listener| listener.tls_mode).unwrap_or(mode)
    }
}
