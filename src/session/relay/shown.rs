//! What the client is told otherwise than by the server: status flags and numbers of warnings. Pure.

use crate::protocol::flags::StatusFlags;
use crate::protocol::frame::HEADER_LEN;

/// Status flags about the session's transaction.
const OF_TRANSACTION: StatusFlags =
    StatusFlags::IN_TRANS.union(StatusFlags::IN_TRANS_READONLY).union(StatusFlags::AUTOCOMMIT);

/// What the client is told otherwise than by the server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// For the execution of a prepared statement with a result set: the number of columns that the
    /// client has been told of.
    pub known_columns: Option<u16>,
    /// The session's flags, if its transaction is on another connection.
    pub session: Option<StatusFlags>,
    /// How many warnings there are, if not as many as the server says.
    pub warnings: Option<u16>,
    /// There is one warning more: lagwise's own.
    pub one_more: bool,
}

impl Shown {
    /// The flags at the end of a result set of so many columns.
    ///
    /// A server sets METADATA_CHANGED when it had to prepare a statement anew and found another
    /// number of columns than its connection had been told. The client is told the same by what it
    /// has been told, over whichever connection.
    pub fn status(self, told: StatusFlags, columns: u16) -> StatusFlags {
        let mut status = told;
        if let Some(known) = self.known_columns.filter(|_| columns > 0) {
            status.set(StatusFlags::METADATA_CHANGED, columns != known);
        }
        match self.session {
            Some(session) => (status - OF_TRANSACTION) | (session & OF_TRANSACTION),
            None => status,
        }
    }

    /// The number of warnings where the server told this one.
    pub fn warnings(self, told: u16) -> u16 {
        self.warnings.unwrap_or(told).saturating_add(self.one_more.into())
    }

    /// Rewrites status flags and warnings of an EOF packet, header included. MariaDB sets
    /// SESSION_STATE_CHANGED for what only lagwise's trackers report.
    pub fn change_eof(self, packet: &mut [u8], columns: u16, is_told_everything: bool) {
        // int<1> header, int<2> warnings, int<2> status
        let Some([a, b, c, d]) = packet.get_mut(HEADER_LEN + 1..HEADER_LEN + 5) else { return };
        let told = StatusFlags::from_bits_retain(u16::from_le_bytes([*c, *d]));
        let mut status = self.status(told, columns);
        if !is_told_everything {
            status -= StatusFlags::SESSION_STATE_CHANGED;
        }
        [*c, *d] = status.bits().to_le_bytes();
        [*a, *b] = self.warnings(u16::from_le_bytes([*a, *b])).to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eof_packet_says_what_is_shown() {
        let eof = [5, 0, 0, 9, 0xfe, 1, 0, 0x22, 0x40];
        let check = |shown: Shown, everything, want: [u8; 9]| {
            let mut packet = eof;
            shown.change_eof(&mut packet, 1, everything);
            assert_eq!(packet, want, "{shown:?}");
        };
        check(Shown::default(), true, eof);
        check(Shown::default(), false, [5, 0, 0, 9, 0xfe, 1, 0, 0x22, 0]);
        let session = Some(StatusFlags::IN_TRANS);
        let shown = Shown { session, warnings: Some(7), one_more: true, ..Shown::default() };
        check(shown, true, [5, 0, 0, 9, 0xfe, 8, 0, 0x21, 0x40]);
        let many = Shown { warnings: Some(u16::MAX), one_more: true, ..Shown::default() };
        assert_eq!((many.warnings(0), Shown::default().warnings(3)), (u16::MAX, 3));
        // Too short: it is left alone.
        Shown::default().change_eof(&mut [0; 8], 0, false);
    }
}
