//! A socket, plain or under TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::socket::Socket;

/// A byte stream to a peer.
#[derive(Debug)]
pub enum Transport {
    /// As it is on the wire.
    Plain(Socket),
    /// Under TLS, as either side. Boxed: a TLS session is a kilobyte, and most are plain.
    Tls(Box<TlsStream<Socket>>),
}

impl Transport {
    /// True if nobody on the network can read along: TLS, or a Unix socket.
    pub fn is_secure(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_unix(),
            Self::Tls(_) => true,
        }
    }

    /// As [`Socket::poll_read_ready`]; always ready under TLS, where only a read can tell.
    ///
    /// # Errors
    /// As [`Socket::poll_read_ready`].
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_read_ready(cx),
            Self::Tls(_) => Poll::Ready(Ok(())),
        }
    }

    /// As [`Socket::set_user_timeout`].
    ///
    /// # Errors
    /// As there.
    pub fn set_user_timeout(&self, timeout: Duration) -> io::Result<Option<Duration>> {
        match self {
            Self::Plain(socket) => socket.set_user_timeout(timeout),
            Self::Tls(stream) => stream.get_ref().0.set_user_timeout(timeout),
        }
    }

    /// Makes a plain transport a TLS server's; what the client sends next must be its ClientHello.
    ///
    /// # Errors
    /// The handshake fails, or TLS is already on.
    pub async fn accept_tls(self, config: Arc<rustls::ServerConfig>) -> io::Result<Self> {
        let socket = self.into_plain()?;
        let stream = TlsAcceptor::from(config).accept(socket).await?;
        Ok(Self::Tls(Box::new(TlsStream::Server(stream))))
    }

    /// Makes a plain transport a TLS client's.
    ///
    /// # Errors
    /// The handshake fails (also because the server's certificate is refused), or TLS is already
    /// on.
    pub async fn connect_tls(
        self,
        config: Arc<rustls::ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let socket = self.into_plain()?;
        let stream = TlsConnector::from(config).connect(name, socket).await?;
        Ok(Self::Tls(Box::new(TlsStream::Client(stream))))
    }

    /// Moves the socket to the event loop of the calling thread.
    ///
    /// # Errors
    /// The system refuses; the transport is then of no use.
    pub fn rehome(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.rehome(),
            Self::Tls(stream) => match &mut **stream {
                TlsStream::Client(stream) => stream.get_mut().0.rehome(),
                TlsStream::Server(stream) => stream.get_mut().0.rehome(),
            },
        }
    }

    /// Whether something has arrived that was not read, or the end of the stream; by a system call.
    pub fn has_news(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.has_news(),
            Self::Tls(stream) => stream.get_ref().0.has_news(),
        }
    }

    /// Ready once there may be something to read, or the end of the stream.
    ///
    /// # Errors
    /// The socket fails.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_read_ready(cx),
            Self::Tls(stream) => stream.get_ref().0.poll_read_ready(cx),
        }
    }

    fn into_plain(self) -> io::Result<Socket> {
        match self {
            Self::Plain(socket) => Ok(socket),
            Self::Tls(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS is already on")),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())), // a socket keeps nothing back
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
