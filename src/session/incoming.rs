//! One command as it comes from a client.
//!
//! A command of ordinary size is taken whole, so that it can be read, and sent again to another
//! server if the first one fails. Of a larger one only the head is held; the rest is passed on in
//! pieces as it arrives, and such a command always goes to the primary.

use super::context::Settings;
use super::error::{self, End};
use super::reply;
use crate::backend::Connection;
use crate::net::PacketStream;
use crate::protocol::command::code;
use crate::protocol::frame::{HEADER_LEN, MAX_PAYLOAD};

/// Commands up to this many bytes are held whole.
pub const MAX_HELD: usize = 1 << 20;

/// How much of a larger command is held: enough for its command byte, statement id, and types.
const HEAD: usize = 64 << 10;

/// Capacity that an idle session keeps for its next command, in bytes.
const KEPT_CAPACITY: usize = 512;

/// A command, or the head of one.
#[derive(Debug, Default)]
pub struct Incoming {
    /// Header and payload of the first frame, as far as they are held.
    pub frame: Vec<u8>,
    /// What is still to be read of the first frame, in bytes.
    left: usize,
    /// Frames follow the first.
    continued: bool,
    /// Sequence id of the last frame that was begun.
    last_seq: u8,
    /// Payload bytes of all frames that were begun.
    total: usize,
    /// How many they may be.
    limit: usize,
}

impl Incoming {
    /// What is held of the payload.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.frame.get(HEADER_LEN..).unwrap_or_default()
    }

    /// True if the whole command is held.
    #[inline]
    pub fn is_whole(&self) -> bool {
        self.left == 0 && !self.continued
    }

    /// True if it is a statement that is longer than `max_statement_size`, as far as is known.
    pub fn is_too_long(&self) -> bool {
        self.total > self.limit
    }

    /// True if the command was too large to be held: what was passed on cannot be sent again.
    pub fn was_streamed(&self) -> bool {
        self.total > MAX_HELD
    }

    /// Waits for the next command.
    ///
    /// # Errors
    /// The client is gone, or sent what is no command: it is told, and the session ends.
    pub async fn read(
        &mut self,
        client: &mut PacketStream,
        settings: &Settings,
    ) -> Result<(), End> {
        self.frame.clear();
        if self.frame.capacity() > KEPT_CAPACITY {
            self.frame = Vec::with_capacity(KEPT_CAPACITY);
        }
        let header = client.header().await?;
        if header.seq != 0 && !client.is_compressed() {
            reply::err(client, 1, &error::out_of_order()).await?;
            return Err(End::Refused(format!("sequence id {}", header.seq)));
        }
        if header.len > settings.max_packet {
            reply::err(client, 1, &error::too_large()).await?;
            return Err(End::Refused(format!("a packet of {} bytes", header.len)));
        }
        if header.len == 0 {
            reply::err(client, 1, &error::malformed("empty command")).await?;
            return Err(End::Refused("an empty command".into()));
        }
        client.require(HEADER_LEN + 1).await?;
        let command = client.buffered().get(HEADER_LEN).copied();
        self.limit = match command {
            Some(code::QUERY | code::STMT_PREPARE) => settings.max_statement_size.saturating_add(1),
            _ => usize::MAX,
        };
        // A statement that is prepared must be known whole, to be prepared elsewhere.
        let prepare = command == Some(code::STMT_PREPARE) && header.len <= self.limit;
        let whole = header.len <= MAX_HELD || prepare && !header.is_continued();
        let held = if whole { header.len } else { HEAD };
        client.require(HEADER_LEN + held).await?;
        let bytes = client.buffered().get(..HEADER_LEN + held).unwrap_or_default();
        self.frame.extend_from_slice(bytes);
        client.consume(HEADER_LEN + held);
        client.release();
        self.left = header.len - held;
        self.continued = header.is_continued();
        self.last_seq = header.seq;
        self.total = header.len;
        Ok(())
    }

    /// Waits for a piece of what is not held; it is then at the front of the client's buffer.
    /// `None` once there is no more.
    ///
    /// # Errors
    /// The client is gone, or exceeds `max_packet`: it is told, and the session ends.
    pub async fn next_piece(
        &mut self,
        client: &mut PacketStream,
        max_packet: usize,
    ) -> Result<Option<usize>, End> {
        if self.left == 0 {
            if !self.continued {
                return Ok(None);
            }
            let header = client.next_header().await?;
            let was_within = self.total <= self.limit;
            self.total = self.total.saturating_add(header.len);
            // Of what is too long already the rest is only dropped.
            let is_too_long = was_within && self.total > self.limit;
            if self.total > max_packet || is_too_long {
                let err = match is_too_long {
                    true => error::statement_too_large(),
                    false => error::too_large(),
                };
                reply::err(client, header.seq.wrapping_add(1), &err).await?;
                return Err(End::Refused(format!("a command of {} bytes", self.total)));
            }
            self.left = header.len + HEADER_LEN;
            self.continued = header.len == MAX_PAYLOAD;
            self.last_seq = header.seq;
        }
        client.require(1).await?;
        Ok(Some(client.buffered().len().min(self.left)))
    }

    /// The piece of `count` bytes was passed on.
    pub fn took_piece(&mut self, client: &mut PacketStream, count: usize) {
        client.consume(count);
        self.left -= count.min(self.left);
    }

    /// Sequence id of the last frame that was begun.
    pub fn last_seq(&self) -> u8 {
        self.last_seq
    }

    /// Sends on what is not held, as it comes. The sequence id of the command's last packet, if it has
    /// more than one.
    ///
    /// # Errors
    /// The client fails. If the server does, it may have said why: its answer is still to be read.
    pub async fn send_rest(
        &mut self,
        client: &mut PacketStream,
        server: &mut Connection,
        max_packet: usize,
    ) -> Result<u8, End> {
        if self.is_whole() {
            return Ok(0);
        }
        server.be_patient();
        while let Some(count) = self.next_piece(client, max_packet).await? {
            let piece = client.buffered().get(..count).unwrap_or_default();
            if server.send(piece).await.is_err() {
                break;
            }
            self.took_piece(client, count);
        }
        Ok(self.last_seq())
    }

    /// Reads and drops what is not held, so that an error can be answered.
    ///
    /// # Errors
    /// The client is gone, or exceeds `max_packet`.
    pub async fn discard_rest(
        &mut self,
        client: &mut PacketStream,
        max_packet: usize,
    ) -> Result<u8, End> {
        while let Some(count) = self.next_piece(client, max_packet).await? {
            self.took_piece(client, count);
        }
        Ok(self.last_seq)
    }
}
