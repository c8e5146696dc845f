//! What a server says to nobody in particular before it closes a connection. Pure.

use crate::protocol::ErrPacket;
use crate::protocol::frame::{HEADER_LEN, Header};
use crate::protocol::response::ResponseTracker;

/// What a server says, before it closes a connection, that has read no command since its last response:
/// where a response is awaited, the command was not read.
///
/// ER_CLIENT_INTERACTION_TIMEOUT has no other meaning. Others count where their sequence id shows that
/// they do not answer the command.
pub fn farewell(buffered: &[u8], tracker: &ResponseTracker) -> Option<ErrPacket> {
    let header = Header::parse(buffered)?;
    let payload = buffered.get(HEADER_LEN..HEADER_LEN + header.len)?;
    let err = ErrPacket::parse(payload).ok()?;
    let is_unasked = FAREWELLS.contains(&err.code) && tracker.at_boundary() != Some(header.seq);
    (err.code == CLIENT_INTERACTION_TIMEOUT || is_unasked).then_some(err)
}

/// ER_CLIENT_INTERACTION_TIMEOUT, of MySQL since 8.0.24: wait_timeout has passed.
const CLIENT_INTERACTION_TIMEOUT: u16 = 4031;

/// ER_SERVER_SHUTDOWN, ER_CONNECTION_KILLED (MariaDB), ER_SESSION_WAS_KILLED
const FAREWELLS: [u16; 3] = [1053, 1927, 3169];
