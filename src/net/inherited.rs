//! Listening sockets that the process did not make: from systemd (socket activation, sd_listen_fds(3)),
//! or from the process that it takes over from.
//!
//! Each is found by its address. One that nobody asks for would be kept open by whoever made it, and
//! clients would wait in it for ever; so the caller is to look at what is left over.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use listenfd::ListenFd;
use socket2::Socket;

use super::listen::Bound;
use crate::config::ListenAddress;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Inherited(Vec<Given>);

/// One socket.
#[derive(Debug)]
struct Given {
    socket: Socket,
    /// What the process before was configured to listen on, where that is known: port 0 is told by it.
    asked: Option<ListenAddress>,
}

impl Inherited {
    /// Those that systemd passes on, by `LISTEN_FDS`; none if it does not.
    ///
    /// # Errors
    /// A descriptor is no socket that TCP or Unix clients can connect to: the unit has
    /// `ListenDatagram=`, a fifo, or `Accept=yes`.
    pub fn from_systemd() -> io::Result<Self> {
        let mut passed = ListenFd::from_env();
        let mut given = Vec::with_capacity(passed.len());
        for index in 0..passed.len() {
            let socket = match passed.take_unix_listener(index) {
                Ok(listener) => listener.map(Socket::from),
                Err(_) => passed.take_tcp_listener(index)?.map(Socket::from),
            };
            let Some(socket) = socket else { continue };
            if !socket.is_listener()? {
                return Err(io::Error::other("a socket does not listen (Accept=yes?)"));
            }
            given.push(Given { socket, asked: None });
        }
        Ok(Self(given))
    }

    /// Adds one of the process before, which was configured to listen on `asked`.
    pub fn add(&mut self, socket: OwnedFd, asked: ListenAddress) {
        self.0.push(Given { socket: Socket::from(socket), asked: Some(asked) });
    }

    /// The socket of an address, or, if there is none, one that is bound now. The file of a Unix socket
    /// stays with whoever made it.
    ///
    /// # Errors
    /// As for [`Bound::bind`].
    pub fn take_or_bind(&mut self, address: &ListenAddress) -> io::Result<Bound> {
        let found = self.0.iter().position(|given| given.is_at(address));
        match found.map(|index| self.0.swap_remove(index)) {
            Some(Given { socket, .. }) => Bound::of(socket, address),
            None => Bound::bind(address),
        }
    }

    /// What nobody has asked for, for people.
    pub fn left_over(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl Given {
    fn is_at(&self, address: &ListenAddress) -> bool {
        if let Some(asked) = &self.asked {
            return asked == address;
        }
        let Ok(local) = self.socket.local_addr() else { return false };
        match address {
            ListenAddress::Tcp(address) => local.as_socket() == Some(*address),
            ListenAddress::Unix(path) => local.as_pathname() == Some(path.as_path()),
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(asked) = &self.asked {
            return write!(f, "{asked}");
        }
        let Ok(local) = self.socket.local_addr() else { return f.write_str("an unknown address") };
        match (local.as_socket(), local.as_pathname()) {
            (Some(address), _) => write!(f, "{address}"),
            (None, Some(path)) => write!(f, "unix:{}", path.display()),
            (None, None) => f.write_str("an unnamed Unix socket"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn tcp(address: SocketAddr) -> ListenAddress {
        ListenAddress::Tcp(address)
    }

    /// As systemd passes it on.
    fn given(socket: impl Into<OwnedFd>) -> Inherited {
        Inherited(vec![Given { socket: Socket::from(socket.into()), asked: None }])
    }

    #[test]
    fn a_socket_is_found_by_its_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp(listener.local_addr().unwrap());
        let mut inherited = given(listener);
        assert_eq!(inherited.left_over(), [address.to_string()]);
        let other = inherited.take_or_bind(&tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        assert_ne!(other.local_address().map(tcp), Some(address.clone()), "another port was bound");
        assert_eq!(inherited.left_over().len(), 1);
        let bound = inherited.take_or_bind(&address).unwrap();
        assert_eq!(bound.local_address().map(tcp), Some(address));
        assert!(inherited.left_over().is_empty());
    }

    #[test]
    fn a_port_that_the_system_chose_is_found_by_what_was_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let asked = tcp("127.0.0.1:0".parse().unwrap());
        let mut inherited = Inherited::default();
        inherited.add(listener.into(), asked.clone());
        assert_eq!(inherited.take_or_bind(&asked).unwrap().local_address(), Some(local));
    }

    #[test]
    fn the_file_of_a_unix_socket_stays_with_who_made_it() {
        let path = std::env::temp_dir().join(format!("lagwise-inherited-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut inherited = given(UnixListener::bind(&path).unwrap());
        assert_eq!(inherited.left_over(), [format!("unix:{}", path.display())]);
        let mut bound = inherited.take_or_bind(&ListenAddress::Unix(path.clone())).unwrap();
        assert!(inherited.left_over().is_empty() && !bound.owns_file());
        bound.own_file();
        assert!(bound.owns_file());
        bound.leave_file();
        drop(bound);
        assert!(path.exists(), "it was left to another");
        std::fs::remove_file(&path).unwrap();
    }
}
