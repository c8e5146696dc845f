//! What `lagwise drain`, `undrain`, `status` and `top` say to a running lagwise, over its HTTP endpoints.
//!
//! A few short requests of one program to itself: HTTP/1.0 by hand, since the library that serves
//! would bring a whole client for them.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::history::HistoryAnswer;
use super::queries::Queries;
use super::servers::{CHANGE_HEADER, ServerState, Word};
use super::status::Status;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Between two looks at a server that is not free yet.
const PAUSE: Duration = Duration::from_millis(200);

/// Bytes of an answer.
const MAX_ANSWER: u64 = 16 << 20;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nobody answers.
    #[error("no lagwise answers at {0} (http.listen): {1}")]
    Unreachable(SocketAddr, io::Error),
    /// lagwise does not do it, in its words.
    #[error("{0}")]
    Refused(String),
    /// It is drained, and still in use.
    #[error("still in use after {0:?}: {1}; it stays drained")]
    InUse(Duration, String),
    /// The same of the primary, which is in use again.
    #[error("still in use after {0:?}: {1}; it is the primary, and takes statements again")]
    InUseAgain(Duration, String),
}

/// What was drained, and is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Free {
    /// A replica: nothing uses it.
    Replica,
    /// The primary: nothing is open there, and what would begin to write waits for another.
    Primary {
        /// What sessions hold there and will lose, for people; empty: nothing.
        lost: String,
    },
}

/// What of a drained primary must end before another takes over; what sessions hold besides is lost to them.
const OPEN: [&str; 5] = ["transaction", "lock", "cursor", "statement", "process before"];

/// What keeps a server from being free.
struct Use {
    free: Free,
    is_drained: bool,
    /// For people; empty: nothing.
    by: String,
}

/// A running lagwise.
#[derive(Debug)]
pub struct Running<'a> {
    /// `http.listen`
    pub http: SocketAddr,
    /// `http.token`
    pub token: Option<&'a [u8]>,
}

impl Running<'_> {
    /// Takes a server out, and waits until nothing uses it; `progress` is told what still does, whenever
    /// that changes. Of the primary it waits until nothing is open there, while what would begin to write
    /// waits; if that takes too long, the primary is put back.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn drain(
        &self,
        server: &str,
        limit: Duration,
        mut progress: impl FnMut(&str),
    ) -> Result<Free, CommandError> {
        self.ask("POST", &format!("/servers/{}/drain", escaped(server)))?;
        let start = Instant::now();
        let (mut said, mut looks) = (String::new(), 0);
        loop {
            let Use { free, is_drained, by } = self.use_of(server)?;
            let is_replica = free == Free::Replica;
            // A statement that ends may leave a transaction open: it is seen at the second look.
            looks = if by.is_empty() { looks + 1 } else { 0 };
            if looks > 0 && (is_replica || is_drained && looks > 1) {
                return Ok(free);
            }
            if !is_replica && !is_drained {
                return Err(CommandError::InUseAgain(start.elapsed(), said));
            }
            if by != said && !by.is_empty() {
                progress(&by);
                said = by;
            }
            if looks == 0 && start.elapsed() >= limit {
                if is_replica {
                    return Err(CommandError::InUse(limit, said));
                }
                self.undrain(server)?;
                return Err(CommandError::InUseAgain(limit, said));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Puts a server back.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn undrain(&self, server: &str) -> Result<(), CommandError> {
        self.ask("POST", &format!("/servers/{}/undrain", escaped(server))).map(drop)
    }

    /// How it is, and its servers.
    ///
    /// # Errors
    /// See [`CommandError`]: nobody answers, or the token is wrong.
    pub fn status(&self) -> Result<Status, CommandError> {
        self.read("/status")
    }

    /// The samples of the last ten minutes with a number above `after`.
    ///
    /// # Errors
    /// As of [`Running::status`].
    pub fn history(&self, after: u64) -> Result<HistoryAnswer, CommandError> {
        self.read(&format!("/history?after={after}"))
    }

    /// The statements that have taken the most time, at most so many.
    ///
    /// # Errors
    /// As of [`Running::status`].
    pub fn queries(&self, limit: u64) -> Result<Queries, CommandError> {
        self.read(&format!("/queries?limit={limit}"))
    }

    fn use_of(&self, server: &str) -> Result<Use, CommandError> {
        let servers: Vec<ServerState> = self.read("/servers")?;
        let Some(found) = servers.into_iter().find(|found| found.name == server) else {
            return Ok(Use { free: Free::Replica, is_drained: false, by: String::new() });
        };
        let is_primary = found.role == "primary";
        let counted = |(why, count): (&Word, &usize)| format!("{count} {why}");
        let is_open = |why: &Word| !is_primary || OPEN.contains(&why.as_ref());
        let (open, held): (Vec<_>, Vec<_>) = found.used_by.iter().partition(|it| is_open(it.0));
        let mut by: Vec<_> = open.into_iter().map(counted).collect();
        if !is_primary && (found.connections > 0 || found.running > 0 || !by.is_empty()) {
            let text =
                format!("{} connections, {} statements run", found.connections, found.running);
            by.insert(0, text);
        }
        let lost = held.into_iter().map(counted).collect::<Vec<_>>().join(", ");
        let free = if is_primary { Free::Primary { lost } } else { Free::Replica };
        Ok(Use { free, is_drained: found.drained, by: by.join(", ") })
    }

    /// What is told there in JSON.
    fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        serde_json::from_str(&self.ask("GET", path)?)
            .map_err(|error| CommandError::Refused(format!("{path}: {error}")))
    }

    /// The body of an answer that is good.
    fn ask(&self, method: &str, path: &str) -> Result<String, CommandError> {
        let answer = self.exchange(method, path);
        let answer = answer.map_err(|error| CommandError::Unreachable(self.http, error))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        match head.split(' ').nth(1) {
            Some("200") => Ok(body.to_owned()),
            _ => Err(CommandError::Refused(body.trim_end().to_owned())),
        }
    }

    fn exchange(&self, method: &str, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&reachable(self.http), TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut request =
            format!("{method} {path} HTTP/1.0\r\nHost: {}\r\n", self.http).into_bytes();
        request
            .extend_from_slice(format!("{CHANGE_HEADER}: yes\r\nContent-Length: 0\r\n").as_bytes());
        if let Some(token) = self.token {
            request.extend_from_slice(b"Authorization: Bearer ");
            request.extend_from_slice(token);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request)?;
        let mut answer = String::new();
        stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// Where one connects to reach what listens there: `0.0.0.0` is no destination.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

/// A server's name as one part of a path.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses() {
        assert_eq!(escaped("10.0.0.1:3306"), "10.0.0.1:3306");
        assert_eq!(escaped("unix:/run/a b"), "unix:%2Frun%2Fa%20b");
        assert_eq!(escaped("[::1]:3306"), "%5B::1%5D:3306");
        for (listen, want) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), want.parse().unwrap());
        }
    }
}
