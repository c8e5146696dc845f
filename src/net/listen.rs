//! Binding and accepting.
//!
//! An address is bound once ([`Bound`]); each worker thread accepts from its own registration of
//! the same socket ([`Listener`]), so that a client's socket is registered with the event queue of
//! the worker that serves it and with no other.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::ListenAddress;

/// Connections that the kernel may hold ready; it caps this at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Pause after an accept that failed for want of descriptors or memory.
const BACKOFF: Duration = Duration::from_millis(50);

/// A bound address that clients can connect to. A Unix socket's file goes with it.
#[derive(Debug)]
pub struct Bound {
    socket: socket2::Socket,
    address: ListenAddress,
    path: Option<PathBuf>,
}

impl Bound {
    /// Binds an address. An IPv6 address takes IPv6 clients only, so that `0.0.0.0` and `[::]` can
    /// be given side by side. A Unix socket can be connected to by every user of the host, as
    /// MySQL's; a socket file that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// The address is taken or not this host's, the path is no socket, or its directory is not
    /// writable.
    pub fn bind(address: &ListenAddress) -> io::Result<Self> {
        let (socket, path) = match address {
            ListenAddress::Tcp(address) => (bind_tcp(*address)?, None),
            ListenAddress::Unix(path) => (bind_unix(path)?, Some(path.clone())),
        };
        let bound = Self { socket, address: address.clone(), path };
        bound.socket.listen(BACKLOG)?;
        bound.socket.set_nonblocking(true)?;
        Ok(bound)
    }

    /// Takes a socket that listens at `address` already. The file of a Unix socket is somebody else's.
    ///
    /// # Errors
    /// The socket is of no use.
    pub(super) fn of(socket: socket2::Socket, address: &ListenAddress) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address: address.clone(), path: None })
    }

    /// The socket, to be passed on to another process.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether there is a file that is removed with it.
    pub fn owns_file(&self) -> bool {
        self.path.is_some()
    }

    /// The file of a Unix socket is this process's from now on.
    pub fn own_file(&mut self) {
        if let ListenAddress::Unix(path) = &self.address {
            self.path = Some(path.clone());
        }
    }

    /// Lets nobody but this process's user and group connect to a Unix socket that it has made.
    ///
    /// # Errors
    /// The file is gone.
    pub fn restrict_file(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
    }

    /// Leaves the file to another process.
    pub fn leave_file(&mut self) {
        self.path = None;
    }

    /// What was asked for.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The TCP address that was bound, with the port that the kernel chose for port 0.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// The same as [`Bound::listener`], of an address that is TCP.
    ///
    /// # Errors
    /// Out of descriptors, or no runtime.
    pub fn tcp_listener(&self) -> io::Result<TcpListener> {
        TcpListener::from_std(self.socket.try_clone()?.into())
    }

    /// Registers the socket with the current runtime, to accept from it.
    ///
    /// # Errors
    /// Out of descriptors, or no runtime.
    pub fn listener(&self) -> io::Result<Listener> {
        let socket = self.socket.try_clone()?;
        Ok(match self.address {
            ListenAddress::Tcp(_) => Listener::Tcp(TcpListener::from_std(socket.into())?),
            ListenAddress::Unix(_) => Listener::Unix(UnixListener::from_std(socket.into())?),
        })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<socket2::Socket> {
    let domain = Domain::for_address(address);
    let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_unix(path: &Path) -> io::Result<socket2::Socket> {
    if let Ok(meta) = std::fs::symlink_metadata(path) {
        let stale =
            meta.file_type().is_socket() && std::os::unix::net::UnixStream::connect(path).is_err();
        if !stale {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        std::fs::remove_file(path)?;
    }
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))?;
    Ok(socket)
}

/// A bound address as one worker accepts from it.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// A client's socket, registered with the worker that accepted it.
#[derive(Debug)]
pub enum Accepted {
    /// TCP, and the client's address.
    Tcp(TcpStream, SocketAddr),
    /// A Unix socket.
    Unix(UnixStream),
}

/// A client's socket on its way to another worker, registered with none.
#[derive(Debug)]
pub enum Detached {
    /// TCP, and the client's address.
    Tcp(std::net::TcpStream, SocketAddr),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// What the client has connected to. `None`: the system does not say.
    pub fn local_address(&self) -> Option<ListenAddress> {
        match self {
            Self::Tcp(stream, _) => stream.local_addr().ok().map(ListenAddress::Tcp),
            Self::Unix(stream) => {
                let address = stream.local_addr().ok()?;
                address.as_pathname().map(|path| ListenAddress::Unix(path.to_owned()))
            }
        }
    }

    /// Takes the socket from this worker's event queue.
    ///
    /// # Errors
    /// The queue refuses; the socket is closed.
    pub fn detach(self) -> io::Result<Detached> {
        Ok(match self {
            Self::Tcp(stream, address) => Detached::Tcp(stream.into_std()?, address),
            Self::Unix(stream) => Detached::Unix(stream.into_std()?),
        })
    }
}

impl Detached {
    /// Registers the socket with the current runtime.
    ///
    /// # Errors
    /// The queue refuses; the socket is closed.
    pub fn attach(self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Tcp(stream, address) => Accepted::Tcp(TcpStream::from_std(stream)?, address),
            Self::Unix(stream) => Accepted::Unix(UnixStream::from_std(stream)?),
        })
    }
}

impl Listener {
    /// Waits for the next client. Failures of single connections are passed over; want of
    /// descriptors or memory is waited out.
    pub async fn accept(&self) -> Accepted {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => {
                    listener.accept().await.map(|(stream, peer)| Accepted::Tcp(stream, peer))
                }
                Self::Unix(listener) => {
                    listener.accept().await.map(|(stream, _)| Accepted::Unix(stream))
                }
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) => match error.kind() {
                    io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::Interrupted => {}
                    _ => {
                        tracing::warn!(%error, "accept failed; trying again shortly");
                        tokio::time::sleep(BACKOFF).await;
                    }
                },
            }
        }
    }
}
