//! A socket, plain or under TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

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

    /// As [`Socket::poll_readable`]; always ready under TLS, where only a read can tell.
    ///
    /// # Errors
    /// As [`Socket::poll_readable`].
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_readable(cx),
            Self::Tls(_) => Poll::Ready(Ok(())),
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
