//! Packets that lagwise itself sends to a client.

use super::error::End;
use crate::net::PacketStream;
use crate::protocol::ErrPacket;
use crate::protocol::flags::StatusFlags;
use crate::protocol::frame::build_packet;
use crate::protocol::ok::{OK, OkPacket};

/// Sends one packet with sequence id `seq`.
///
/// # Errors
/// The client is gone.
pub async fn packet(client: &mut PacketStream, seq: u8, payload: &[u8]) -> Result<(), End> {
    let mut bytes = Vec::with_capacity(payload.len() + 4);
    build_packet(&mut bytes, seq, |out| out.extend_from_slice(payload));
    write(client, &bytes).await
}

/// Sends an ERR packet.
///
/// # Errors
/// The client is gone.
pub async fn err(client: &mut PacketStream, seq: u8, err: &ErrPacket) -> Result<(), End> {
    let mut bytes = Vec::new();
    build_packet(&mut bytes, seq, |out| err.write(out));
    write(client, &bytes).await
}

/// Sends an ERR packet to a client that has not logged in: in the place of the greeting without SQLSTATE,
/// as servers do.
///
/// # Errors
/// The client is gone.
pub async fn err_at_login(client: &mut PacketStream, err: &ErrPacket) -> Result<(), End> {
    let seq = client.answer_seq();
    let mut bytes = Vec::new();
    build_packet(&mut bytes, seq, |out| match seq {
        0 => err.write_without_state(out),
        _ => err.write(out),
    });
    write(client, &bytes).await
}

/// Sends an OK packet that says nothing but the status and a number of warnings.
///
/// # Errors
/// The client is gone.
pub async fn ok(
    client: &mut PacketStream,
    seq: u8,
    status: StatusFlags,
    warnings: u16,
) -> Result<(), End> {
    let status = status & OF_SESSION;
    let ok = OkPacket {
        header: OK,
        affected_rows: 0,
        last_insert_id: 0,
        status,
        warnings,
        info: b"",
        state: b"",
    };
    let mut bytes = Vec::new();
    build_packet(&mut bytes, seq, |out| ok.write(out));
    write(client, &bytes).await
}

/// Status flags that describe the session rather than the statement.
pub const OF_SESSION: StatusFlags = StatusFlags::IN_TRANS
    .union(StatusFlags::AUTOCOMMIT)
    .union(StatusFlags::NO_BACKSLASH_ESCAPES)
    .union(StatusFlags::IN_TRANS_READONLY)
    .union(StatusFlags::ANSI_QUOTES);

/// Sends whole packets.
///
/// # Errors
/// The client is gone.
pub async fn write(client: &mut PacketStream, bytes: &[u8]) -> Result<(), End> {
    let stall = client.write_stall();
    client.write_all(bytes, stall).await.map_err(End::of_write)
}
