//! Who may come in, and by what: networks, users and TLS, before any server is asked.
//!
//! A client from elsewhere is told so, as servers tell it. A user that may not log in is told what a
//! wrong password is told, after as long, so that nobody learns from the answer which users there
//! are, whether they may come in, or whether the password was right. No server is asked: servers lock
//! accounts that fail often.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::context::{Context, Settings};
use super::error;
use crate::config::{AccessConfig, ClientTlsMode, ListenAddress};
use crate::protocol::ErrPacket;

/// `[access]`, to be asked.
#[derive(Debug, Default)]
pub struct Access {
    networks: Vec<IpNet>,
    proxies: Vec<IpNet>,
    allowed: HashSet<Vec<u8>>,
    denied: HashSet<Vec<u8>>,
}

impl Access {
    /// What the configuration says.
    pub fn new(config: &AccessConfig) -> Self {
        let set = |users: &[String]| users.iter().map(|user| user.clone().into_bytes()).collect();
        Self {
            networks: config.allowed_networks.clone(),
            proxies: config.proxy_protocol_networks.clone(),
            allowed: set(&config.allowed_users),
            denied: set(&config.denied_users),
        }
    }

    /// Whether clients at this address may connect; `None`: on a Unix socket, whose file says who may.
    pub fn admits_address(&self, address: Option<IpAddr>) -> bool {
        address.is_none_or(|address| self.networks.is_empty() || is_in(&self.networks, address))
    }

    /// Whether a peer at this address is a proxy that may say who its client is.
    pub fn trusts_proxy(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| is_in(&self.proxies, address))
    }

    /// Whether this user may log in.
    pub fn admits_user(&self, user: &[u8]) -> bool {
        (self.allowed.is_empty() || self.allowed.contains(user)) && !self.denied.contains(user)
    }
}

/// TLS from clients, by where they connect.
#[derive(Debug)]
pub struct ListenerTls {
    config: Arc<rustls::ServerConfig>,
    mode: ClientTlsMode,
    modes: Vec<(ListenAddress, ClientTlsMode)>,
}

impl ListenerTls {
    /// `modes` are those of addresses that have one of their own.
    pub fn new(
        config: Arc<rustls::ServerConfig>,
        mode: ClientTlsMode,
        modes: Vec<(ListenAddress, ClientTlsMode)>,
    ) -> Self {
        Self { config, mode, modes }
    }

    /// What holds for a client that has connected to `local`; `None`: that is not known.
    pub fn mode(&self, local: Option<&ListenAddress>) -> ClientTlsMode {
        let Some(local) = local.filter(|_| !self.modes.is_empty()) else { return self.mode };
        let is_it = |listener: &ListenAddress| match (listener, local) {
            (ListenAddress::Tcp(listener), ListenAddress::Tcp(local)) => {
                listener == local
                    || listener.ip().is_unspecified()
                        && listener.port() == local.port()
                        && listener.is_ipv4() == local.is_ipv4()
            }
            (listener, local) => listener == local,
        };
        let own = self.modes.iter().find(|(listener, _)| is_it(listener));
        own.map_or(self.mode, |(_, mode)| *mode)
    }

    /// How to speak it, where it is offered.
    pub fn offered(&self, mode: ClientTlsMode) -> Option<Arc<rustls::ServerConfig>> {
        (mode != ClientTlsMode::Off).then(|| Arc::clone(&self.config))
    }
}

/// Whether an address is in one of the networks; IPv4 in the clothes of IPv6 is IPv4.
fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// Who is to be told that the password is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Denied<'a> {
    /// The user.
    pub user: &'a [u8],
    /// Where the servers see the client, if not at lagwise.
    pub client: Option<IpAddr>,
    /// Whether it has given a password.
    pub has_password: bool,
}

/// What servers say to a wrong password, and how long they take for it.
#[derive(Debug, Default)]
pub struct WrongPassword {
    /// Where the servers see lagwise's connections come from, once that is known.
    host: Mutex<Option<Arc<str>>>,
    /// How long the last refusal took, in microseconds.
    took: AtomicU64,
}

impl WrongPassword {
    /// A server has refused a password, after so long.
    pub fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.took.store(time, Ordering::Relaxed);
    }

    /// Other servers may judge from now on.
    pub fn forget(&self) {
        if let Ok(mut host) = self.host.try_lock() {
            *host = None;
        }
    }

    /// Their words. They name the host that the server sees, which the primary is asked for once, as
    /// the monitor's account.
    pub async fn words(&self, context: &Context, who: Denied<'_>) -> ErrPacket {
        let Denied { user, client, has_password } = who;
        if let Some(client) = client {
            return error::access_denied(user, Some(&client.to_string()), has_password);
        }
        let mut host = self.host.lock().await;
        if host.is_none() {
            let start = Instant::now();
            let deadline = start + context.settings.load().connect_timeout;
            *host = context.cluster.seen_as(deadline).await.map(Into::into);
            // It is about as much work as a refusal; better than nothing before the first of those.
            let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            let relaxed = Ordering::Relaxed;
            let _ = self.took.compare_exchange(0, took, relaxed, relaxed);
        }
        error::access_denied(user, host.as_deref(), has_password)
    }

    /// The same, as late as a server would say it.
    pub async fn words_in_time(
        &self,
        context: &Context,
        settings: &Settings,
        who: Denied<'_>,
    ) -> ErrPacket {
        let start = Instant::now();
        let words = self.words(context, who).await;
        let took = Duration::from_micros(self.took.load(Ordering::Relaxed));
        tokio::time::sleep_until(start + took.min(settings.login_timeout / 2)).await;
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(networks: &[&str], allowed: &[&str], denied: &[&str]) -> Access {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Access::new(&AccessConfig {
            allowed_networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
            proxy_protocol_networks: vec!["127.0.0.1/32".parse().unwrap()],
            allowed_users: texts(allowed),
            denied_users: texts(denied),
        })
    }

    #[test]
    fn addresses() {
        let check = |networks: &[&str], address: &str, want: bool| {
            let got = access(networks, &[], &[]).admits_address(Some(address.parse().unwrap()));
            assert_eq!(got, want, "{networks:?} {address}");
        };
        check(&[], "192.0.2.1", true);
        check(&["10.0.0.0/8", "192.0.2.0/24"], "192.0.2.1", true);
        check(&["10.0.0.0/8"], "192.0.2.1", false);
        check(&["10.0.0.0/8"], "::ffff:10.1.2.3", true);
        check(&["10.0.0.0/8"], "2001:db8::1", false);
        check(&["2001:db8::/32"], "2001:db8::1", true);
        check(&["::/0"], "10.0.0.1", false);
        let access = access(&["10.0.0.0/8"], &[], &[]);
        assert!(access.admits_address(None), "Unix sockets");
        for (address, want) in
            [("127.0.0.1", true), ("::ffff:127.0.0.1", true), ("10.0.0.1", false)]
        {
            assert_eq!(access.trusts_proxy(Some(address.parse().unwrap())), want, "{address}");
        }
        assert!(!access.trusts_proxy(None));
    }

    #[test]
    fn users() {
        let check = |allowed: &[&str], denied: &[&str], user: &str, want: bool| {
            let got = access(&[], allowed, denied).admits_user(user.as_bytes());
            assert_eq!(got, want, "{allowed:?} {denied:?} {user}");
        };
        check(&[], &[], "app", true);
        check(&["app"], &[], "app", true);
        check(&["app"], &[], "App", false);
        check(&["app"], &[], "root", false);
        check(&["app"], &[], "", false);
        check(&[], &["root"], "root", false);
        check(&[], &["root"], "app", true);
        check(&["root"], &["root"], "root", false);
    }
}
