//! `[access]`: who may come in, and by what.

use std::net::IpAddr;

use ipnet::IpNet;

use super::error::quoted;
use super::file::Table;
use super::validate::{USER_FORM, user_name};

/// Networks of one list.
const MAX_NETWORKS: usize = 1000;
/// Users of one list.
const MAX_USERS: usize = 10_000;

const NETWORK_FORM: &str = "\"10.0.0.0/8\", \"2001:db8::/32\" or an address";

/// `[access]`: what is looked at before any server is asked. By default everybody may come, and the
/// servers decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessConfig {
    /// `allowed_networks`: addresses from which clients may connect; empty: all. At most 1000. Clients
    /// on Unix sockets have no address, and are let in.
    pub allowed_networks: Vec<IpNet>,
    /// `proxy_protocol_networks`: proxies that are believed what a PROXY header says of their client.
    /// At most 1000.
    pub proxy_protocol_networks: Vec<IpNet>,
    /// `allowed_users`: who may log in; empty: all. At most 10 000.
    pub allowed_users: Vec<String>,
    /// `denied_users`: who may not, whatever `allowed_users` says. At most 10 000.
    pub denied_users: Vec<String>,
}

/// Reads `[access]`.
pub(super) fn read(table: &Table<'_>) -> AccessConfig {
    let users = |key: &str| -> Vec<String> {
        let found = table.list(key, MAX_USERS, USER_FORM, user_name);
        found.into_iter().flatten().map(|user| user.value).collect()
    };
    AccessConfig {
        allowed_networks: networks(table, "allowed_networks"),
        proxy_protocol_networks: networks(table, "proxy_protocol_networks"),
        allowed_users: users("allowed_users"),
        denied_users: users("denied_users"),
    }
}

fn networks(table: &Table<'_>, key: &str) -> Vec<IpNet> {
    let found = table.list(key, MAX_NETWORKS, NETWORK_FORM, network);
    found.into_iter().flatten().map(|network| network.value).collect()
}

/// A network, or an address by itself. One with bits beyond its prefix is refused: perhaps the prefix
/// is what is wrong.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| format!("{} is no network", quoted(text)))?;
    if network.trunc() != network {
        let whole = network.trunc();
        return Err(format!("{} has bits beyond its prefix; {whole} has none", quoted(text)));
    }
    match network {
        IpNet::V6(network) if network.addr().to_ipv4_mapped().is_some() => {
            Err(format!("{} is IPv4; write it so", quoted(text)))
        }
        network => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses() {
        let check = |text: &str, want: Option<&str>| {
            let got = network(text).ok().map(|network| network.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        };
        check("10.0.0.0/8", Some("10.0.0.0/8"));
        check("0.0.0.0/0", Some("0.0.0.0/0"));
        check("10.1.2.3", Some("10.1.2.3/32"));
        check("2001:db8::/32", Some("2001:db8::/32"));
        check("::1", Some("::1/128"));
        check("::/0", Some("::/0"));
        for bad in ["10.0.0.1/8", "2001:db8::1/32", "::ffff:10.0.0.1", "::ffff:10.0.0.0/104"] {
            check(bad, None);
        }
        for bad in ["", "*", "10.0.0.0/33", "10.0.0", "db1", "10.0.0.0/255.0.0.0", " 10.0.0.1"] {
            check(bad, None);
        }
    }
}
