//! A TCP or Unix socket.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Keepalive probes that may stay without an answer.
const PROBES: u32 = 2;

/// When the first keepalive probe is sent, and the time between two: so that the one after [`PROBES`],
/// when the connection is given up, is due at `dead_after`. The kernel counts in whole seconds, and
/// refuses 0.
fn keepalive(dead_after: Duration) -> (Duration, Duration) {
    let interval = (dead_after.as_secs() / 3).max(1);
    let idle = dead_after.as_secs().saturating_sub(interval * u64::from(PROBES)).max(1);
    (Duration::from_secs(idle), Duration::from_secs(interval))
}

/// A connected stream socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix domain socket.
    Unix(UnixStream),
    /// None: its move to another event loop has failed.
    Gone,
}

impl Socket {
    /// Wraps a TCP stream: no delay, and a peer that vanished silently is noticed within about
    /// `dead_after` both when idle (keepalive) and when data is on its way (TCP_USER_TIMEOUT).
    ///
    /// # Errors
    /// The socket refuses an option; it is then of no use.
    pub fn tcp(stream: TcpStream, dead_after: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (idle, interval) = keepalive(dead_after);
        let keepalive =
            TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(PROBES);
        let socket = SockRef::from(&stream);
        socket.set_tcp_keepalive(&keepalive)?;
        socket.set_tcp_user_timeout(Some(dead_after))?;
        Ok(Self::Tcp(stream))
    }

    /// What `dead_after` is now, for a peer that does not take what is written to it, and from now on.
    /// TCP_USER_TIMEOUT does not tell one that has vanished from one that lives and does not read.
    /// `None`: it has none, being no TCP socket.
    ///
    /// # Errors
    /// The socket refuses the option.
    pub fn set_user_timeout(&self, timeout: Duration) -> io::Result<Option<Duration>> {
        let Self::Tcp(stream) = self else { return Ok(None) };
        let socket = SockRef::from(stream);
        let before = socket.tcp_user_timeout()?;
        socket.set_tcp_user_timeout(Some(timeout))?;
        Ok(before)
    }

    /// Moves the socket to the event loop of the calling thread. What the kernel holds for it stays.
    ///
    /// # Errors
    /// The system refuses; the socket is then closed.
    pub fn rehome(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream.into_std()?)?),
            Self::Unix(stream) => Self::Unix(UnixStream::from_std(stream.into_std()?)?),
            Self::Gone => Self::Gone,
        };
        Ok(())
    }

    /// Whether something has arrived that was not read, or the end of the stream; by a system call.
    pub fn has_news(&self) -> bool {
        let socket = match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(stream) => SockRef::from(stream),
            Self::Gone => return true,
        };
        let mut byte = [MaybeUninit::uninit()];
        let peeked = socket.peek(&mut byte);
        !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Ready once there may be something to read, or the end of the stream. No system call while
    /// nothing has arrived.
    ///
    /// # Errors
    /// The event loop is gone.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// True for a Unix socket, which no network can listen to.
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepalive_gives_up_at_dead_after() {
        let check = |dead_after, idle, interval| {
            let seconds = Duration::from_secs;
            assert_eq!(keepalive(seconds(dead_after)), (seconds(idle), seconds(interval)));
        };
        // 2 s is given up by TCP_USER_TIMEOUT at the second probe.
        check(2, 1, 1);
        check(3, 1, 1);
        check(4, 2, 1);
        check(10, 4, 3);
        check(60, 20, 20);
    }
}
