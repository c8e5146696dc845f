//! The ERR packet.
//!
//! MySQL Internals, "Protocol::ERR_Packet".

use super::reader::{Malformed, Reader};

/// First byte of an ERR packet.
pub const ERR: u8 = 0xff;

/// MariaDB sends progress reports as ERR packets of this code; they do not end a response.
pub const PROGRESS_REPORT: u16 = 0xffff;

/// A server's error: code, SQLSTATE and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrPacket {
    /// Error number, such as 1045.
    pub code: u16,
    /// Five characters, such as `28000`; `HY000` where the packet had none.
    pub sqlstate: [u8; 5],
    /// The text, in the connection's character set.
    pub message: Vec<u8>,
}

impl ErrPacket {
    /// An error that lagwise itself raises.
    pub fn new(code: u16, sqlstate: &[u8; 5], message: impl Into<String>) -> Self {
        Self { code, sqlstate: *sqlstate, message: message.into().into_bytes() }
    }

    /// Reads an ERR packet. One sent before the handshake has no SQLSTATE.
    ///
    /// # Errors
    /// Not an ERR packet.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        Self::read(payload).ok_or(Malformed("ERR packet"))
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let mut r = Reader::new(payload);
        (r.u8()? == ERR).then_some(())?; // int<1> header
        let code = r.u16()?; // int<2>
        let mut sqlstate = *b"HY000";
        if r.rest().first() == Some(&b'#') {
            r.take(1)?; // string[1] marker
            sqlstate = *r.take(5)?.first_chunk()?; // string[5]
        }
        Some(Self { code, sqlstate, message: r.take_rest().to_vec() }) // string<EOF>
    }

    /// Appends the payload as servers write it in the place of a greeting: without SQLSTATE, which a
    /// client does not look for before it has agreed on the protocol of 4.1.
    pub fn write_without_state(&self, out: &mut Vec<u8>) {
        out.push(ERR);
        out.extend_from_slice(&self.code.to_le_bytes());
        out.extend_from_slice(&self.message);
    }

    /// Appends the payload to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(ERR);
        out.extend_from_slice(&self.code.to_le_bytes());
        out.push(b'#');
        out.extend_from_slice(&self.sqlstate);
        out.extend_from_slice(&self.message);
    }
}

impl std::fmt::Display for ErrPacket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = String::from_utf8_lossy(&self.sqlstate);
        write!(f, "{} ({state}): {}", self.code, String::from_utf8_lossy(&self.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_with_and_without_a_state() {
        let err = ErrPacket::new(1045, b"28000", "Access denied");
        let mut out = Vec::new();
        err.write(&mut out);
        assert_eq!(ErrPacket::parse(&out), Ok(err.clone()));
        assert_eq!(err.to_string(), "1045 (28000): Access denied");
        let early = ErrPacket::parse(b"\xff\x10\x04Too many connections").unwrap();
        out.clear();
        early.write_without_state(&mut out);
        assert_eq!(out, b"\xff\x10\x04Too many connections");
        assert_eq!((early.code, &early.sqlstate), (1040, b"HY000"));
        for bad in [&b""[..], b"\xff", b"\xff\x01", b"\x00\x00\x00", b"\xff\x01\x00#12"] {
            assert!(ErrPacket::parse(bad).is_err(), "{bad:x?}");
        }
    }
}
