//! The EOF packet, for clients without `DEPRECATE_EOF`.
//!
//! MySQL Internals, "Protocol::EOF_Packet": `int<1>` 0xfe, `int<2>` warnings, `int<2>` status.

use super::flags::StatusFlags;
use super::reader::{Malformed, Reader};

/// First byte of an EOF packet; a payload of 9 bytes or more that begins so is a row.
pub const EOF: u8 = 0xfe;

/// What an EOF packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EofPacket {
    /// Number of warnings of the statement.
    pub warnings: u16,
    /// Status flags.
    pub status: StatusFlags,
}

impl EofPacket {
    /// Reads an EOF packet.
    ///
    /// # Errors
    /// Not an EOF packet of protocol 4.1.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        match (r.u8(), r.u16(), r.u16()) {
            (Some(EOF), Some(warnings), Some(status)) => {
                Ok(Self { warnings, status: StatusFlags::from_bits_retain(status) })
            }
            _ => Err(Malformed("EOF packet")),
        }
    }

    /// Appends the payload to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(EOF);
        out.extend_from_slice(&self.warnings.to_le_bytes());
        out.extend_from_slice(&self.status.bits().to_le_bytes());
    }
}
