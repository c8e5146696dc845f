//! COM_STMT_PREPARE_OK, the first packet of a successful PREPARE.
//!
//! MySQL Internals, "COM_STMT_PREPARE Response".

use super::reader::{Malformed, Reader};

/// Where the statement id stands in the payload of a PREPARE_OK, and in that of the COM_STMT_*
/// commands, after the first byte.
pub const STATEMENT_ID: std::ops::Range<usize> = 1..5;

/// What a PREPARE_OK says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepareOk {
    /// The server's id of the statement on this connection.
    pub statement_id: u32,
    /// Number of result columns; that many column definitions follow the parameters'.
    pub num_columns: u16,
    /// Number of parameters; that many column definitions follow.
    pub num_params: u16,
    /// Number of warnings.
    pub warnings: u16,
}

impl PrepareOk {
    /// Reads a PREPARE_OK.
    ///
    /// # Errors
    /// Not a PREPARE_OK.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        Self::read(payload).ok_or(Malformed("PREPARE_OK packet"))
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let mut r = Reader::new(payload);
        (r.u8()? == 0).then_some(())?; // int<1> status
        let statement_id = r.u32()?; // int<4>
        let num_columns = r.u16()?; // int<2>
        let num_params = r.u16()?; // int<2>
        let filler = r.u8(); // int<1>, since MySQL 4.1.22 with warnings behind it
        let warnings = filler.and_then(|_| r.u16()).unwrap_or(0); // int<2>
        Some(Self { statement_id, num_columns, num_params, warnings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prepare_ok() {
        let want =
            PrepareOk { statement_id: 0x01_0203, num_columns: 2, num_params: 1, warnings: 4 };
        assert_eq!(PrepareOk::parse(&[0, 3, 2, 1, 0, 2, 0, 1, 0, 0, 4, 0]), Ok(want));
        assert!(PrepareOk::parse(&[0, 3, 2, 1, 0, 2, 0, 1]).is_err());
        assert!(PrepareOk::parse(&[1; 12]).is_err());
    }
}
