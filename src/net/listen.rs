//! Binding and accepting.
//!
//! Accepted sockets are handed out unregistered, so that the worker that will serve them is the
//! only one that registers them with its event queue.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Type};
use tokio::io::unix::AsyncFd;

/// Connections that the kernel may hold ready; it caps this at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Pause after an accept that failed for want of descriptors or memory.
const BACKOFF: Duration = Duration::from_millis(50);

/// A socket that clients connect to.
#[derive(Debug)]
pub struct Listener {
    socket: AsyncFd<socket2::Socket>,
    /// To be removed when the listener goes.
    path: Option<PathBuf>,
}

/// A client's socket, not yet registered with any event queue.
#[derive(Debug)]
pub enum Accepted {
    /// TCP, and the client's address.
    Tcp(std::net::TcpStream, SocketAddr),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Listener {
    /// Binds a TCP address. An IPv6 address takes IPv6 clients only, so that `0.0.0.0` and `[::]`
    /// can be given side by side.
    ///
    /// # Errors
    /// The address is taken or not this host's.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        Self::listen(socket, None)
    }

    /// Binds a Unix socket that every user of the host may connect to, as MySQL's is. A socket
    /// file that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// Another process listens there, the path is no socket, or the directory is not writable.
    pub fn unix(path: &Path) -> io::Result<Self> {
        if let Ok(meta) = std::fs::symlink_metadata(path) {
            let stale = meta.file_type().is_socket()
                && std::os::unix::net::UnixStream::connect(path).is_err();
            if !stale {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)?;
        }
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))?;
        Self::listen(socket, Some(path.to_owned()))
    }

    fn listen(socket: socket2::Socket, path: Option<PathBuf>) -> io::Result<Self> {
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: AsyncFd::register(socket)?, path })
    }

    /// The TCP address that was bound, with the port the kernel chose for port 0.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket.get_ref().local_addr().ok()?.as_socket()
    }

    /// Waits for the next client. Failures of single connections are passed over; want of
    /// descriptors or memory is waited out.
    pub async fn accept(&self) -> Accepted {
        loop {
            match self.socket.async_io(tokio::io::Interest::READABLE, |s| s.accept()).await {
                Ok((socket, address)) => {
                    if let Some(accepted) = self.hand_out(socket, &address) {
                        return accepted;
                    }
                }
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

    fn hand_out(&self, socket: socket2::Socket, address: &SockAddr) -> Option<Accepted> {
        socket.set_nonblocking(true).ok()?;
        let descriptor = OwnedFd::from(socket);
        Some(match address.as_socket() {
            Some(address) => Accepted::Tcp(descriptor.into(), address),
            None => Accepted::Unix(descriptor.into()),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}
