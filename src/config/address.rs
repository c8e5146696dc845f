//! Where servers are, and where lagwise listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How a server's address may be written, for messages.
pub const SERVER_FORM: &str = "\"host:port\", \"[IPv6]:port\" or \"unix:/path\"";
/// How a listener's address may be written, for messages.
pub const LISTEN_FORM: &str = "\"IPv4:port\", \"[IPv6]:port\" or \"unix:/path\"";

/// Longest path of a Unix socket: `sun_path` holds 108 bytes on Linux, one of them NUL.
const MAX_UNIX_PATH: usize = 107;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerAddress {
    /// Over TCP.
    Tcp {
        /// A host name in lower case, or an IP address without brackets. Names are resolved at
        /// each connect.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
}

/// Where lagwise listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// Over TCP; an IPv6 wildcard does not take IPv4 connections. Port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
}

/// Why a text is no address; the sentence that follows the value in a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(&'static str);

impl ServerAddress {
    /// The IP address, if it is one and not a host name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp { host, .. } => host.parse().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Whether a connection to this server would come back to `listener`: the same socket, or
    /// the same port of an address that reaches it. Host names other than `localhost` are not
    /// looked up.
    pub fn reaches(&self, listener: &ListenAddress) -> bool {
        match (self, listener) {
            (Self::Unix(server), ListenAddress::Unix(path)) => server == path,
            (Self::Tcp { host, port }, ListenAddress::Tcp(socket)) => {
                let localhost = host == "localhost";
                let same_ip = match self.ip() {
                    Some(ip) if socket.ip().is_unspecified() => {
                        ip.is_loopback() && ip.is_ipv4() == socket.is_ipv4()
                    }
                    Some(ip) => ip == socket.ip(),
                    None => {
                        localhost && (socket.ip().is_loopback() || socket.ip().is_unspecified())
                    }
                };
                *port == socket.port() && same_ip
            }
            _ => false,
        }
    }
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path).map(Self::Unix);
        }
        let (host, port) = split_port(text)?;
        if port == 0 {
            return Err(AddressError("names port 0"));
        }
        Ok(Self::Tcp { host: server_host(host)?, port })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path).map(Self::Unix);
        }
        let (host, port) = split_port(text)?;
        let ip = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
            None => host.parse::<Ipv4Addr>().map(IpAddr::V4).ok(),
        };
        match ip {
            Some(ip) => Ok(Self::Tcp(SocketAddr::new(ip, port))),
            None if host.is_empty() => Err(AddressError("names no address to listen on")),
            None => Err(AddressError("does not begin with an IP address")),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(socket) => write!(f, "{socket}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn split_port(text: &str) -> Result<(&str, u16), AddressError> {
    let missing = AddressError("has no port");
    let (host, port) = text.rsplit_once(':').ok_or(missing.clone())?;
    if host.contains(':') && !host.ends_with(']') {
        return Err(AddressError("is an IPv6 address without brackets"));
    }
    if host.starts_with('[') && !host.ends_with(']') {
        return Err(missing);
    }
    // `u16::from_str` takes a leading '+', which no one means.
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(missing);
    }
    let port = port.parse().map_err(|_| AddressError("has a port above 65535"))?;
    Ok((host, port))
}

fn server_host(host: &str) -> Result<String, AddressError> {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        // One spelling of an address, so that two entries for one server are noticed.
        let ip = inner.parse::<Ipv6Addr>();
        return ip
            .map(|ip| ip.to_string())
            .map_err(|_| AddressError("has something else than an IPv6 address in its brackets"));
    }
    if host.parse::<Ipv4Addr>().is_ok() {
        return Ok(host.to_owned());
    }
    // RFC 1123 with the underscore that container networks allow.
    let label_is_good = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let numeric = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if numeric || name.len() > 253 || !name.split('.').all(label_is_good) {
        return Err(AddressError("has a host that is neither a name nor an IP address"));
    }
    Ok(host.to_ascii_lowercase())
}

fn unix_path(path: &str) -> Result<PathBuf, AddressError> {
    if !path.starts_with('/') {
        return Err(AddressError("has a path that is not absolute"));
    }
    if path.len() > MAX_UNIX_PATH {
        return Err(AddressError("has a path over 107 bytes, too long for a Unix socket"));
    }
    if path.contains('\0') {
        return Err(AddressError("has a path that holds a NUL"));
    }
    Ok(Path::new(path).to_path_buf())
}
