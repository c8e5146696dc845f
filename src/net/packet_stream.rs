//! A transport with a read buffer: packets in, bytes out.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroize;

use super::buffer::{BLOCK, Buffer};
use super::compressed::Compression;
use super::transport::Transport;
use crate::protocol::frame::{HEADER_LEN, Header};

/// Why a packet could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer closed the connection between packets.
    #[error("the connection was closed")]
    Closed,
    /// The peer closed the connection inside a packet.
    #[error("the connection was closed inside a packet")]
    Truncated,
    /// The packet is longer than allowed.
    #[error("a packet of {len} bytes, more than the {limit} that are allowed here")]
    TooLarge {
        /// What the header says, in bytes.
        len: usize,
        /// The bound, in bytes.
        limit: usize,
    },
    /// The peer has stopped in the midst of what it sends.
    #[error("nothing more has come of a packet for {0:?}")]
    Stalled(Duration),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How long a peer may take nothing of what is sent, unless [`PacketStream::set_stalls`] says otherwise;
/// MySQL's default for net_write_timeout.
const WRITE_STALL: Duration = Duration::from_secs(60);

/// One peer's byte stream.
#[derive(Debug)]
pub struct PacketStream {
    /// `None` only while TLS is being set up, and for good if that fails.
    transport: Option<Transport>,
    input: Buffer,
    compression: Option<Box<Compression>>,
    answer_seq: u8,
    /// How long the peer may stop in the midst of what it sends; `None`: for ever.
    read_stall: Option<Duration>,
    /// How long it may take nothing of what is sent.
    write_stall: Duration,
}

impl PacketStream {
    /// Wraps a transport.
    pub fn new(transport: Transport) -> Self {
        let (input, compression) = (Buffer::default(), None);
        let transport = Some(transport);
        let (read_stall, write_stall) = (None, WRITE_STALL);
        Self { transport, input, compression, answer_seq: 0, read_stall, write_stall }
    }

    /// Bounds how long the peer may stop in the midst of what it sends, which is where
    /// [`PacketStream::require`] and [`PacketStream::next_header`] wait, and how long it may take nothing
    /// of what is sent.
    pub fn set_stalls(&mut self, read: Duration, write: Duration) {
        (self.read_stall, self.write_stall) = (Some(read), write);
    }

    /// How long the peer may take nothing of what is sent.
    pub fn write_stall(&self) -> Duration {
        self.write_stall
    }

    /// In the connection phase: the sequence id of an answer to the last packet that was read by
    /// [`PacketStream::packet`]; 0 before the greeting, 1 behind it.
    pub fn answer_seq(&self) -> u8 {
        self.answer_seq
    }

    /// The greeting is sent, or the connection phase begins anew (COM_CHANGE_USER).
    pub fn restart_answers(&mut self) {
        self.answer_seq = 1;
    }

    /// True if nobody on the network can read along.
    pub fn is_secure(&self) -> bool {
        self.transport.as_ref().is_some_and(Transport::is_secure)
    }

    /// True for a Unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(&self.transport, Some(Transport::Plain(socket)) if socket.is_unix())
    }

    /// Exchanges the transport for what `upgrade` makes of it (TLS). Bytes that the peer sent
    /// ahead of the exchange would be read as plain text: they are refused.
    ///
    /// # Errors
    /// The upgrade fails; the stream is then closed.
    pub async fn upgrade<F>(&mut self, upgrade: impl FnOnce(Transport) -> F) -> io::Result<()>
    where
        F: Future<Output = io::Result<Transport>>,
    {
        if !self.input.filled().is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "data sent before TLS began"));
        }
        let transport = self.transport.take().ok_or(io::ErrorKind::NotConnected)?;
        self.transport = Some(upgrade(transport).await?);
        Ok(())
    }

    /// Speaks the compressed protocol from here on.
    pub fn set_compression(&mut self, compression: Compression) {
        self.compression = Some(Box::new(compression));
    }

    /// What was read and not consumed.
    #[inline]
    pub fn buffered(&self) -> &[u8] {
        self.input.filled()
    }

    /// The same, to be changed in place.
    pub fn buffered_mut(&mut self) -> &mut [u8] {
        self.input.filled_mut()
    }

    /// Drops the first `count` bytes of what is buffered.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.input.consume(count);
    }

    /// Gives the read buffer back if it is empty.
    #[inline]
    pub fn release(&mut self) {
        self.input.release();
    }

    /// Reads once; returns the number of new bytes, 0 at the end of the stream. Makes room for `at_least`
    /// bytes in a row, as far as that is no more than twice of what is buffered, or a block.
    ///
    /// # Errors
    /// The socket fails, or compressed data is malformed.
    pub async fn fill(&mut self, at_least: usize) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx, at_least)).await
    }

    /// Returns once the peer has closed or reset the stream, having sent nothing that is still to be
    /// read; never once it sends more. Costs no memory and no system call while nothing arrives.
    pub async fn gone(&mut self) {
        let gone = poll_fn(|cx| {
            let Some(transport) = &self.transport else { return Poll::Ready(true) };
            if !self.input.filled().is_empty() {
                return Poll::Ready(false);
            }
            if ready!(transport.poll_read_ready(cx)).is_err() {
                return Poll::Ready(true);
            }
            self.poll_fill(cx, 0).map(|read| matches!(read, Ok(0) | Err(_)))
        });
        if !gone.await {
            // What it has sent is for later; it is not asked again before.
            std::future::pending().await
        }
    }

    /// Whether something has arrived that was not read, or the end of the stream; by a system call.
    pub fn has_news(&self) -> bool {
        self.transport.as_ref().is_none_or(Transport::has_news)
    }

    /// As [`PacketStream::fill`], to be polled beside something else.
    ///
    /// # Errors
    /// As [`PacketStream::fill`].
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, at_least: usize) -> Poll<io::Result<usize>> {
        let Some(transport) = &mut self.transport else {
            return Poll::Ready(Ok(0));
        };
        let Some(compression) = &mut self.compression else {
            return poll_read(transport, &mut self.input, cx, at_least, usize::MAX);
        };
        loop {
            let before = self.input.filled().len();
            compression.decode_into(&mut self.input)?;
            let gained = self.input.filled().len() - before;
            if gained > 0 {
                return Poll::Ready(Ok(gained));
            }
            if ready!(poll_read(transport, compression.raw_input(), cx, 0, usize::MAX))? == 0 {
                return Poll::Ready(Ok(0));
            }
        }
    }

    /// Waits until a whole frame is buffered and returns its header; the frame stays buffered.
    ///
    /// # Errors
    /// See [`ReadError`]; nothing is consumed then.
    pub async fn frame(&mut self, max_payload: usize) -> Result<Header, ReadError> {
        loop {
            match self.buffered_frame(max_payload)? {
                Ok(header) => return Ok(header),
                Err(wanted) => self.fill_or_end(wanted).await?,
            }
        }
    }

    /// The header of the frame that is buffered whole; or how many bytes must be, to know more.
    fn buffered_frame(&self, max_payload: usize) -> Result<Result<Header, usize>, ReadError> {
        Ok(match Header::parse(self.buffered()) {
            Some(header) if header.len > max_payload => {
                return Err(ReadError::TooLarge { len: header.len, limit: max_payload });
            }
            Some(header) if self.buffered().len() >= HEADER_LEN + header.len => Ok(header),
            Some(header) => Err(HEADER_LEN + header.len),
            None => Err(HEADER_LEN),
        })
    }

    /// Waits until a header is buffered and returns it.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn header(&mut self) -> Result<Header, ReadError> {
        loop {
            if let Some(header) = Header::parse(self.buffered()) {
                return Ok(header);
            }
            self.fill_or_end(HEADER_LEN).await?;
        }
    }

    /// As [`PacketStream::header`], of a frame that must follow.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn next_header(&mut self) -> Result<Header, ReadError> {
        self.require(HEADER_LEN).await?;
        self.header().await
    }

    /// Waits until at least `count` bytes are buffered.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn require(&mut self, count: usize) -> Result<(), ReadError> {
        while self.buffered().len() < count {
            match self.read_stall {
                None => self.fill_or_end(count).await?,
                Some(stall) => {
                    let filled = tokio::time::timeout(stall, self.fill_or_end(count)).await;
                    filled.map_err(|_| ReadError::Stalled(stall))??;
                }
            }
        }
        Ok(())
    }

    /// As [`PacketStream::packet`], but takes no byte from the socket that does not belong to the
    /// packet: a client sends its TLS ClientHello right behind the SSLRequest.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn packet_alone(&mut self, max_payload: usize) -> Result<(u8, Vec<u8>), ReadError> {
        while let Err(wanted) = self.buffered_frame(max_payload)? {
            self.fill_alone(wanted).await?;
        }
        self.packet(max_payload).await
    }

    /// Waits until `count` bytes are buffered, and takes none beyond them from the socket.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn require_alone(&mut self, count: usize) -> Result<(), ReadError> {
        while self.buffered().len() < count {
            self.fill_alone(count).await?;
        }
        Ok(())
    }

    /// Reads once; buffers no more than `wanted` bytes, of which some are missing.
    async fn fill_alone(&mut self, wanted: usize) -> Result<(), ReadError> {
        let missing = wanted - self.buffered().len();
        let Some(transport) = &mut self.transport else { return Err(ReadError::Closed) };
        let input = &mut self.input;
        let read = poll_fn(|cx| poll_read(transport, input, cx, wanted, missing));
        if read.await? == 0 { Err(self.ended()) } else { Ok(()) }
    }

    async fn fill_or_end(&mut self, wanted: usize) -> Result<(), ReadError> {
        if self.fill(wanted).await? > 0 {
            return Ok(());
        }
        Err(self.ended())
    }

    /// The error of a stream that has ended here.
    fn ended(&self) -> ReadError {
        if self.buffered().is_empty() { ReadError::Closed } else { ReadError::Truncated }
    }

    /// Waits for a whole packet of one frame, and takes it: sequence id and payload. For the
    /// connection phase, where packets are small; `max_payload` is below 16 MiB - 1.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn packet(&mut self, max_payload: usize) -> Result<(u8, Vec<u8>), ReadError> {
        let header = self.frame(max_payload).await?;
        let payload = self.buffered().get(HEADER_LEN..HEADER_LEN + header.len);
        let payload = payload.unwrap_or_default().to_vec();
        // In the connection phase there are passwords: none is to stay behind in the buffer.
        let rest = self.buffered_mut();
        rest.get_mut(..HEADER_LEN + header.len).unwrap_or_default().zeroize();
        self.consume(HEADER_LEN + header.len);
        self.answer_seq = header.seq.wrapping_add(1);
        Ok((header.seq, payload))
    }

    /// Writes all of `bytes`, whole packets that begin at sequence id 0 or follow on the last
    /// ones. `stall` bounds how long the peer may take none of it; it costs nothing while the peer
    /// takes all at once.
    ///
    /// # Errors
    /// The socket fails, or `TimedOut`.
    pub async fn write_all(&mut self, bytes: &[u8], stall: Duration) -> io::Result<()> {
        match self.compression.take() {
            None => self.write_raw(bytes, stall).await,
            Some(mut compression) => {
                let result = self.write_raw(compression.encode(bytes), stall).await;
                self.compression = Some(compression);
                result
            }
        }
    }

    async fn write_raw(&mut self, bytes: &[u8], stall: Duration) -> io::Result<()> {
        let Some(transport) = &mut self.transport else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut rest = bytes;
        // The usual case: the peer's window takes everything in one call, and no timer is set.
        let first = poll_fn(|cx| match Pin::new(&mut *transport).poll_write(cx, rest) {
            Poll::Ready(result) => Poll::Ready(result.map(Some)),
            Poll::Pending => Poll::Ready(Ok(None)),
        })
        .await?;
        rest = rest.get(first.unwrap_or(0)..).unwrap_or_default();
        while !rest.is_empty() {
            let step = poll_fn(|cx| Pin::new(&mut *transport).poll_write(cx, rest));
            let count = tokio::time::timeout(stall, step).await??;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(count..).unwrap_or_default();
        }
        if let Transport::Tls(_) = transport {
            let flush = poll_fn(|cx| Pin::new(&mut *transport).poll_flush(cx));
            tokio::time::timeout(stall, flush).await??;
        }
        Ok(())
    }

    /// Writes what the peer takes at once of `bytes`, and flushes; for farewells, of which no rest
    /// matters. Not for the compressed protocol.
    ///
    /// # Errors
    /// The socket fails.
    pub fn poll_write_once(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<()>> {
        let Some(transport) = self.transport.as_mut().filter(|_| self.compression.is_none()) else {
            return Poll::Ready(Ok(()));
        };
        ready!(Pin::new(&mut *transport).poll_write(cx, bytes))?;
        Pin::new(transport).poll_flush(cx)
    }

    /// As [`super::Socket::set_user_timeout`].
    ///
    /// # Errors
    /// As there.
    pub fn set_user_timeout(&self, timeout: Duration) -> io::Result<Option<Duration>> {
        self.transport.as_ref().map_or(Ok(None), |stream| stream.set_user_timeout(timeout))
    }

    /// Moves the socket to the event loop of the calling thread.
    ///
    /// # Errors
    /// The system refuses; the stream is then of no use.
    pub fn rehome(&mut self) -> io::Result<()> {
        self.transport.as_mut().map_or(Ok(()), Transport::rehome)
    }

    /// True while the compressed protocol is spoken. Packets inside of it may carry any sequence
    /// id.
    #[inline]
    pub fn is_compressed(&self) -> bool {
        self.compression.is_some()
    }

    /// Ends the stream towards the peer (TLS close_notify, FIN); errors do not matter any more.
    pub async fn shutdown(&mut self) {
        if let Some(transport) = &mut self.transport {
            let _ = poll_fn(|cx| Pin::new(&mut *transport).poll_shutdown(cx)).await;
        }
    }
}

/// Reads once, at most `limit` bytes, into `input`; a buffer that stays empty is given back before waiting.
fn poll_read(
    transport: &mut Transport,
    input: &mut Buffer,
    cx: &mut Context<'_>,
    at_least: usize,
    limit: usize,
) -> Poll<io::Result<usize>> {
    if input.is_released() {
        // Mostly the peer has yet to answer, and a block would go back at once.
        ready!(transport.poll_readable(cx))?;
    }
    input.grow_for_streaming();
    // Room for what has come so far once more, not for all that the peer announces.
    let room = input.room(at_least.min(BLOCK.max(2 * input.filled().len())));
    let limit = limit.min(room.len());
    let mut target = ReadBuf::new(room.get_mut(..limit).unwrap_or_default());
    match Pin::new(transport).poll_read(cx, &mut target) {
        Poll::Ready(Ok(())) => {
            let count = target.filled().len();
            input.advance(count);
            Poll::Ready(Ok(count))
        }
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending => {
            input.release();
            Poll::Pending
        }
    }
}
