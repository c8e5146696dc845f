//! Compressed packets into plain bytes, in bounded memory.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Operation};

use super::{Algorithm, CompressError, HEADER_LENGTH, setup};

/// Plain bytes that one step of decompression yields at most.
const STEP_LENGTH: usize = 16 * 1024;
/// A zstd frame may ask its decoder for this much memory (2^24 bytes), the size of the largest
/// payload: what needs more was not made for this protocol.
const MAX_ZSTD_WINDOW_LOG: u32 = 24;
/// After a payload above this length the zstd decoder is replaced, to free its window.
const MAX_KEPT_LENGTH: usize = 1024 * 1024;

/// Unpacks compressed packets, as their bytes arrive.
pub struct Decoder {
    inflater: Inflater,
    state: State,
}

/// What the next byte belongs to.
enum State {
    /// A header, of which `have` bytes have come.
    Header { bytes: [u8; HEADER_LENGTH], have: usize },
    /// A stored payload.
    Stored { left: usize },
    /// A compressed payload, and what it may still inflate to.
    Compressed { left: usize, plain_left: usize, plain_length: usize },
}

impl State {
    const START: Self = Self::Header { bytes: [0; HEADER_LENGTH], have: 0 };
}

/// What one call of [`Decoder::decode`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that were used up.
    pub consumed: usize,
    /// Why it stopped there.
    pub stopped: Stopped,
}

/// Why [`Decoder::decode`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// A compressed packet is over.
    PacketComplete,
    /// All input is used up and nothing more can be made of it.
    NeedInput,
    /// The limit was reached. Call again, with an empty input if need be, before waiting for
    /// more: the payload may have been taken in whole, with most of its plain bytes to come.
    NeedRoom,
}

impl Decoder {
    /// A decompressor for one connection.
    ///
    /// # Errors
    /// [`CompressError::Setup`]. A zstd level makes no difference here.
    pub fn new(algorithm: Algorithm) -> Result<Self, CompressError> {
        Ok(Self { inflater: Inflater::new(algorithm)?, state: State::START })
    }

    /// No compressed packet has been begun: the stream may end here.
    #[must_use]
    pub fn is_at_boundary(&self) -> bool {
        matches!(self.state, State::Header { have: 0, .. })
    }

    /// Takes bytes from `input`, at most to the end of one compressed packet, and appends what
    /// they unpack to, at most `limit` bytes, to `out`. Call again with the rest of the input.
    ///
    /// A header must carry `sequence`, which then moves on; or 0, with which a client starts a new
    /// command and the count anew. (So leave the next command packed until the last reply is
    /// out, or that reply's numbers go wrong.) A claim above 16 MiB - 1 cannot be made in three
    /// bytes, and no payload inflates beyond its claim.
    ///
    /// # Errors
    /// [`CompressError::Sequence`], [`CompressError::Corrupt`] and [`CompressError::Length`].
    pub fn decode(
        &mut self,
        input: &[u8],
        sequence: &mut u8,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<Decoded, CompressError> {
        let full_at = out.len().saturating_add(limit);
        let mut rest = input;
        let stopped = loop {
            match &mut self.state {
                State::Header { bytes, have } => {
                    let wanted = bytes.get_mut(*have..).unwrap_or_default();
                    let (now, later) = rest.split_at(wanted.len().min(rest.len()));
                    wanted.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
                    *have += now.len();
                    rest = later;
                    if *have < HEADER_LENGTH {
                        break Stopped::NeedInput;
                    }
                    self.state = begin(*bytes, sequence)?;
                }
                State::Stored { left } => {
                    let length = (*left).min(rest.len()).min(full_at - out.len());
                    let (now, later) = rest.split_at(length);
                    out.extend_from_slice(now);
                    *left -= length;
                    rest = later;
                    break match (*left, rest) {
                        (0, _) => Stopped::PacketComplete,
                        (_, []) => Stopped::NeedInput,
                        _ => Stopped::NeedRoom,
                    };
                }
                State::Compressed { left, plain_left, plain_length } => {
                    let room = full_at - out.len();
                    if room == 0 && *plain_left > 0 {
                        break Stopped::NeedRoom;
                    }
                    let available = rest.get(..*left).unwrap_or(rest);
                    let step = self.inflater.step(available, out, (*plain_left).min(room))?;
                    *left -= step.consumed;
                    *plain_left =
                        plain_left.checked_sub(step.produced).ok_or(CompressError::Length)?;
                    rest = rest.get(step.consumed..).unwrap_or_default();
                    if step.ended {
                        if *left != 0 || *plain_left != 0 {
                            return Err(CompressError::Length);
                        }
                        self.inflater.renew(*plain_length)?;
                        break Stopped::PacketComplete;
                    }
                    if step.consumed == 0 && step.produced == 0 {
                        // Without more of this packet to come, or in spite of it.
                        if *left == 0 || !rest.is_empty() {
                            return Err(CompressError::Length);
                        }
                        break Stopped::NeedInput;
                    }
                }
            }
        };
        if stopped == Stopped::PacketComplete {
            self.state = State::START;
        }
        Ok(Decoded { consumed: input.len() - rest.len(), stopped })
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("at_boundary", &self.is_at_boundary()).finish()
    }
}

fn begin(header: [u8; HEADER_LENGTH], sequence: &mut u8) -> Result<State, CompressError> {
    let [l0, l1, l2, got, p0, p1, p2] = header;
    if got != *sequence && got != 0 {
        return Err(CompressError::Sequence { expected: *sequence, got });
    }
    *sequence = got.wrapping_add(1);
    let length = |bytes: [u8; 3]| {
        bytes.iter().rev().fold(0_usize, |length, &byte| length << 8 | usize::from(byte))
    };
    let left = length([l0, l1, l2]);
    Ok(match length([p0, p1, p2]) {
        0 => State::Stored { left },
        plain_length => State::Compressed { left, plain_left: plain_length, plain_length },
    })
}

enum Inflater {
    Zlib(Decompress),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

struct Step {
    consumed: usize,
    produced: usize,
    ended: bool,
}

impl Inflater {
    fn new(algorithm: Algorithm) -> Result<Self, CompressError> {
        Ok(match algorithm {
            Algorithm::Zlib => Self::Zlib(Decompress::new(true)),
            Algorithm::Zstd { .. } => Self::Zstd(zstd_decoder()?),
        })
    }

    /// Inflates some of `input` to `out`, `room` bytes at most. Without room it still takes the
    /// input that yields nothing (checksums, end marks); if something comes of it after all,
    /// `produced` says so and nothing is appended.
    fn step(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        room: usize,
    ) -> Result<Step, CompressError> {
        let start = out.len();
        let mut spare = [0; 1];
        let target = if room == 0 {
            &mut spare[..]
        } else {
            out.resize(start + room.min(STEP_LENGTH), 0);
            out.get_mut(start..).unwrap_or_default()
        };
        let step = match self {
            Self::Zlib(zlib) => {
                let before = (zlib.total_in(), zlib.total_out());
                let status = zlib.decompress(input, target, FlushDecompress::None);
                status
                    .map(|status| Step {
                        consumed: difference(zlib.total_in(), before.0),
                        produced: difference(zlib.total_out(), before.1),
                        ended: status == Status::StreamEnd,
                    })
                    .map_err(|_| CompressError::Corrupt)
            }
            Self::Zstd(zstd) => zstd
                .run_on_buffers(input, target)
                .map(|status| Step {
                    consumed: status.bytes_read,
                    produced: status.bytes_written,
                    ended: status.remaining == 0,
                })
                .map_err(|_| CompressError::Corrupt),
        };
        let appended = step.as_ref().map_or(0, |step| if room == 0 { 0 } else { step.produced });
        out.truncate(start + appended);
        step
    }

    /// Makes ready for the next packet.
    fn renew(&mut self, plain_length: usize) -> Result<(), CompressError> {
        match self {
            Self::Zlib(zlib) => zlib.reset(true),
            Self::Zstd(zstd) if plain_length > MAX_KEPT_LENGTH => *zstd = zstd_decoder()?,
            Self::Zstd(zstd) => zstd.reinit().map_err(setup)?,
        }
        Ok(())
    }
}

fn zstd_decoder() -> Result<zstd::stream::raw::Decoder<'static>, CompressError> {
    let mut decoder = zstd::stream::raw::Decoder::new().map_err(setup)?;
    decoder.set_parameter(DParameter::WindowLogMax(MAX_ZSTD_WINDOW_LOG)).map_err(setup)?;
    Ok(decoder)
}

fn difference(after: u64, before: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}
