//! The packet header, and how a payload becomes one or more frames.
//!
//! Wire format (MySQL Internals, "Protocol::Packet"): `int<3>` payload length, `int<1>` sequence
//! id, payload. A payload of 16 MiB - 1 or more is sent as full frames followed by one that is not
//! full (and may be empty); every frame counts the sequence id up.

/// Bytes of a packet header.
pub const HEADER_LEN: usize = 4;

/// The largest payload of one frame in bytes; a frame of exactly this size is continued.
pub const MAX_PAYLOAD: usize = 0xff_ffff;

/// A packet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Payload bytes that follow, at most [`MAX_PAYLOAD`].
    pub len: usize,
    /// Sequence id: 0 for the first frame of a command, then one more for each frame either way.
    pub seq: u8,
}

impl Header {
    /// The header at the start of `bytes`, or `None` if fewer than [`HEADER_LEN`] are there.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, seq] = *bytes.first_chunk::<HEADER_LEN>()?;
        Some(Self { len: u32::from_le_bytes([a, b, c, 0]) as usize, seq })
    }

    /// The four bytes of this header; a length above [`MAX_PAYLOAD`] is cut to it.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [a, b, c, _] = (self.len.min(MAX_PAYLOAD) as u32).to_le_bytes();
        [a, b, c, self.seq]
    }

    /// True if another frame of the same packet follows.
    pub fn is_continued(self) -> bool {
        self.len == MAX_PAYLOAD
    }
}

/// The first whole frame in `bytes`: its header and payload. `None` means "more bytes".
#[inline]
pub fn split_frame(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let header = Header::parse(bytes)?;
    let payload = bytes.get(HEADER_LEN..HEADER_LEN + header.len)?;
    Some((header, payload))
}

/// Appends `payload` to `out` as frames that start at sequence id `seq`; returns the next id.
pub fn write_packet(out: &mut Vec<u8>, seq: u8, payload: &[u8]) -> u8 {
    let mut seq = seq;
    let mut rest = payload;
    loop {
        let (frame, tail) = rest.split_at(rest.len().min(MAX_PAYLOAD));
        out.extend_from_slice(&Header { len: frame.len(), seq }.to_bytes());
        out.extend_from_slice(frame);
        seq = seq.wrapping_add(1);
        if frame.len() < MAX_PAYLOAD {
            return seq;
        }
        rest = tail;
    }
}

/// Appends one packet whose payload `build` writes, without a copy; returns the next sequence id.
///
/// For payloads below 16 MiB - 1, which is everything that lagwise itself makes; a larger one is
/// re-framed by a copy.
pub fn build_packet(out: &mut Vec<u8>, seq: u8, build: impl FnOnce(&mut Vec<u8>)) -> u8 {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    build(out);
    let len = out.len() - start - HEADER_LEN;
    if len >= MAX_PAYLOAD {
        let payload = out.split_off(start + HEADER_LEN);
        out.truncate(start);
        return write_packet(out, seq, &payload);
    }
    if let Some(header) = out.get_mut(start..start + HEADER_LEN) {
        header.copy_from_slice(&Header { len, seq }.to_bytes());
    }
    seq.wrapping_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip() {
        for (len, seq) in [(0, 0), (1, 1), (0x01_0203, 255), (MAX_PAYLOAD, 7)] {
            let header = Header { len, seq };
            assert_eq!(Header::parse(&header.to_bytes()), Some(header));
        }
        assert_eq!(Header::parse(&[1, 0, 0]), None);
    }

    #[test]
    fn a_frame_is_whole_or_absent() {
        let bytes = [3, 0, 0, 9, b'a', b'b', b'c', b'x'];
        assert_eq!(split_frame(&bytes), Some((Header { len: 3, seq: 9 }, &b"abc"[..])));
        for end in 0..7 {
            assert_eq!(split_frame(&bytes[..end]), None, "{end} bytes");
        }
    }

    #[test]
    fn payloads_split_at_the_limit() {
        for (len, frames) in
            [(0, 1), (10, 1), (MAX_PAYLOAD - 1, 1), (MAX_PAYLOAD, 2), (MAX_PAYLOAD + 5, 2)]
        {
            let payload = vec![7_u8; len];
            let mut out = Vec::new();
            assert_eq!(write_packet(&mut out, 250, &payload), 250_u8.wrapping_add(frames));
            let mut built = Vec::new();
            build_packet(&mut built, 250, |out| out.extend_from_slice(&payload));
            assert!(out == built, "{len}");
            let mut rest = &out[..];
            let mut joined = 0;
            while let Some((header, payload)) = split_frame(rest) {
                joined += payload.len();
                rest = &rest[HEADER_LEN + header.len..];
            }
            assert_eq!((joined, rest.len()), (len, 0));
        }
    }
}
