//! The compressed protocol on a stream: the codec with its sequence and its buffers.

use std::io;

use super::buffer::Buffer;
use super::compress::{Algorithm, CompressError, Decoder, Encoder};

/// Plain bytes that are unpacked at a time: bounds what a highly compressed packet can take.
const UNPACK: usize = 64 << 10;

/// One stream's compression, both ways.
pub struct Compression {
    encoder: Encoder,
    decoder: Decoder,
    /// Counts compressed packets of both directions.
    sequence: u8,
    raw: Buffer,
    plain: Vec<u8>,
    packed: Vec<u8>,
}

impl std::fmt::Debug for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compression").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Compression {
    /// Compression as agreed in the handshake.
    ///
    /// # Errors
    /// A zstd level outside 1 to 22, or no memory.
    pub fn new(algorithm: Algorithm) -> Result<Self, CompressError> {
        Ok(Self {
            encoder: Encoder::new(algorithm)?,
            decoder: Decoder::new(algorithm)?,
            sequence: 0,
            raw: Buffer::default(),
            plain: Vec::new(),
            packed: Vec::new(),
        })
    }

    /// Where bytes from the socket go.
    pub fn raw_input(&mut self) -> &mut Buffer {
        &mut self.raw
    }

    /// Unpacks what has arrived, a bounded piece of it, into `input`.
    ///
    /// # Errors
    /// The peer's bytes are not the compressed protocol.
    pub fn decode_into(&mut self, input: &mut Buffer) -> io::Result<()> {
        self.plain.clear();
        loop {
            let raw = self.raw.filled();
            let decoded = self.decoder.decode(raw, &mut self.sequence, &mut self.plain, UNPACK);
            let decoded = decoded.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            self.raw.consume(decoded.consumed);
            // One compressed packet at a time: the next may begin a new command, and with it the
            // sequence, before the answer to this one is out.
            if !self.plain.is_empty() || decoded.consumed == 0 {
                break;
            }
        }
        input.extend(&self.plain);
        self.raw.release();
        Ok(())
    }

    /// `bytes` as compressed packets.
    pub fn encode(&mut self, bytes: &[u8]) -> &[u8] {
        self.packed.clear();
        self.encoder.encode(bytes, &mut self.sequence, &mut self.packed);
        &self.packed
    }
}
