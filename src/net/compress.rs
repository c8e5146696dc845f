//! The compressed protocol: a layer between the socket and the packets, once both sides agreed.
//!
//! Every compressed packet has a header of seven bytes: `int<3>` length on the wire, `int<1>`
//! sequence, `int<3>` length before compression (0: the payload is stored as it is). Its payload
//! is a piece of the stream of ordinary packets, cut anywhere. Payloads of fewer than 50 bytes
//! are stored. Each compressed packet is one whole zlib stream or one whole zstd frame.
//!
//! The sequence counts compressed packets of both directions and starts at 0 with each command;
//! it belongs to the connection, so both calls take it as an argument. The ordinary packets'
//! own sequence ids are another count, and MySQL overwrites it with this one now and then:
//! whoever reads packets out of a compressed stream must not check theirs.
//!
//! No I/O, and no buffering of whole packets: [`Decoder`] inflates what has arrived.
//!
//! Source: MySQL's protocol documentation, "Compression" and "Compressed Packet".

mod decoder;
mod encoder;

use thiserror::Error;

pub use decoder::{Decoded, Decoder, Stopped};
pub use encoder::Encoder;

/// Length in bytes of a compressed packet's header.
pub const HEADER_LENGTH: usize = 7;
/// Payloads of fewer bytes are stored, as MySQL does (`MIN_COMPRESS_LENGTH`).
pub const MIN_COMPRESS_LENGTH: usize = 50;
/// The most plain bytes that [`Encoder`] puts in one compressed packet. The protocol allows
/// 16 MiB - 1; small pieces let the receiver begin early and bound both sides' buffers.
pub const MAX_PIECE_LENGTH: usize = 64 * 1024;

/// What both sides agreed on in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// CLIENT_COMPRESS.
    Zlib,
    /// CLIENT_ZSTD_COMPRESSION_ALGORITHM, with the level that the client's handshake names.
    Zstd {
        /// 1 (fast) to 22 (small).
        level: u8,
    },
}

/// Why a compressed stream cannot be carried on. The connection is of no further use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompressError {
    /// A zstd level outside 1..=22.
    #[error("zstd compression level {0} is not between 1 and 22")]
    Level(u8),
    /// No memory for a compressor.
    #[error("cannot set up the compressor: {0}")]
    Setup(String),
    /// The sequence is neither the next one nor the 0 of a new command.
    #[error("compressed packet {got} is out of order, {expected} was expected")]
    Sequence {
        /// The next number in the count.
        expected: u8,
        /// The number that came.
        got: u8,
    },
    /// The payload is not what the algorithm makes.
    #[error("a compressed packet's payload is corrupt")]
    Corrupt,
    /// The payload inflates to more or fewer bytes than its header claims, or goes on after
    /// its end.
    #[error("a compressed packet does not have the length that its header claims")]
    Length,
}

fn setup(error: std::io::Error) -> CompressError {
    CompressError::Setup(error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
