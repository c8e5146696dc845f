//! Plain bytes into compressed packets.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress, Status};

use super::{
    Algorithm, CompressError, HEADER_LENGTH, MAX_PIECE_LENGTH, MIN_COMPRESS_LENGTH, setup,
};

/// zlib's own default, which MySQL uses as well.
const ZLIB_LEVEL: u32 = 6;

/// Packs plain bytes into compressed packets.
pub struct Encoder(Deflater);

enum Deflater {
    Zlib(Compress),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Encoder {
    /// A compressor for one connection.
    ///
    /// # Errors
    /// [`CompressError::Level`] and [`CompressError::Setup`].
    pub fn new(algorithm: Algorithm) -> Result<Self, CompressError> {
        Ok(Self(match algorithm {
            Algorithm::Zlib => Deflater::Zlib(Compress::new(Compression::new(ZLIB_LEVEL), true)),
            Algorithm::Zstd { level: level @ 1..=22 } => {
                Deflater::Zstd(zstd::bulk::Compressor::new(i32::from(level)).map_err(setup)?)
            }
            Algorithm::Zstd { level } => return Err(CompressError::Level(level)),
        }))
    }

    /// Appends `plain` to `out` as compressed packets of at most [`MAX_PIECE_LENGTH`] plain bytes,
    /// numbered from `sequence`, which moves on (and wraps after 255). Nothing gives nothing.
    pub fn encode(&mut self, plain: &[u8], sequence: &mut u8, out: &mut Vec<u8>) {
        for piece in plain.chunks(MAX_PIECE_LENGTH) {
            let header_at = out.len();
            out.extend_from_slice(&[0; HEADER_LENGTH]);
            let (length, plain_length) = match self.0.deflate(piece, out) {
                Some(length) => (length, piece.len()),
                None => {
                    out.extend_from_slice(piece);
                    (piece.len(), 0)
                }
            };
            let [l0, l1, l2] = int3(length);
            let [p0, p1, p2] = int3(plain_length);
            if let Some(header) = out.get_mut(header_at..header_at + HEADER_LENGTH) {
                header.copy_from_slice(&[l0, l1, l2, *sequence, p0, p1, p2]);
            }
            *sequence = sequence.wrapping_add(1);
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encoder")
    }
}

impl Deflater {
    /// Appends the compressed `piece` and returns its length; appends nothing and returns `None`
    /// where compressing would not make it shorter.
    fn deflate(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        if piece.len() < MIN_COMPRESS_LENGTH {
            return None;
        }
        let start = out.len();
        // One byte short, so that whatever fits is a gain.
        out.resize(start + piece.len() - 1, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let length = match self {
            Self::Zlib(zlib) => {
                zlib.reset();
                match zlib.compress(piece, room, FlushCompress::Finish) {
                    Ok(Status::StreamEnd) => usize::try_from(zlib.total_out()).ok(),
                    _ => None,
                }
            }
            Self::Zstd(zstd) => zstd.compress_to_buffer(piece, room).ok(),
        };
        out.truncate(start + length.unwrap_or(0));
        length
    }
}

/// `int<3>`. Lengths here are at most [`MAX_PIECE_LENGTH`], which fits.
fn int3(length: usize) -> [u8; 3] {
    let [b0, b1, b2, ..] = length.to_le_bytes();
    [b0, b1, b2]
}
