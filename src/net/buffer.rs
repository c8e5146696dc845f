//! The read buffer of a connection.
//!
//! A connection that waits for its peer and has nothing buffered holds no memory: blocks come from
//! a free list of the thread and go back to it. Ten thousand idle clients then cost what their
//! state costs, not ten thousand buffers. The list is a thread's own, so taking a block needs no
//! lock and touches no other core's cache; it is bounded.

use std::cell::RefCell;

/// Size of a block in bytes. Most responses fit into one, so that one read sees them whole.
pub const BLOCK: usize = 16 << 10;

/// Size in bytes that a buffer grows to when reads keep filling it (large result sets): fewer
/// system calls a byte, and still a bound on what a slow peer can hold.
pub const STREAM_BLOCK: usize = 128 << 10;

/// Blocks kept for reuse by each thread: 4 MiB of the small size, 2 MiB of the large one.
const KEPT: [(usize, usize); 2] = [(BLOCK, 256), (STREAM_BLOCK, 16)];

thread_local! {
    static FREE: RefCell<[Vec<Vec<u8>>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// A block of one of the two sizes; its content is whatever it held before.
fn take_block(len: usize) -> Vec<u8> {
    let kind = KEPT.iter().position(|(size, _)| *size == len);
    let kept =
        kind.and_then(|kind| FREE.with(|free| free.try_borrow_mut().ok()?.get_mut(kind)?.pop()));
    kept.unwrap_or_else(|| vec![0; len])
}

fn give_block(block: Vec<u8>) {
    let Some(kind) = KEPT.iter().position(|(size, _)| *size == block.len()) else { return };
    FREE.with(|free| {
        if let Ok(mut lists) = free.try_borrow_mut()
            && let (Some(list), Some((_, kept))) = (lists.get_mut(kind), KEPT.get(kind))
            && list.len() < *kept
        {
            list.push(block);
        }
    });
}

/// Bytes that were read and not yet consumed, and room for more.
#[derive(Debug, Default)]
pub struct Buffer {
    /// Always initialised to its whole length, so that reading needs no unsafe code.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// What was read and not consumed.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The same, to be changed in place.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// True while it holds no block.
    #[inline]
    pub fn is_released(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Drops the first `count` bytes (all, if there are fewer).
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Room to read into: at least one byte, and what is missing for `at_least` bytes in a row.
    pub fn room(&mut self, at_least: usize) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = take_block(BLOCK);
        }
        let held = self.end - self.start;
        let wanted = (held + 1).max(at_least);
        if self.start > 0 && (self.start + wanted > self.bytes.len() || held == 0) {
            self.bytes.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = held;
        }
        if wanted > self.bytes.len() {
            let len = wanted.next_power_of_two().max(BLOCK);
            self.bytes.resize(len, 0);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Changes to [`STREAM_BLOCK`] if the last read left no room: more is likely to follow.
    #[inline]
    pub fn grow_for_streaming(&mut self) {
        if self.end == self.bytes.len() && self.end > 0 && self.bytes.len() < STREAM_BLOCK {
            let mut larger = take_block(STREAM_BLOCK);
            let held = self.end - self.start;
            if let Some(target) = larger.get_mut(..held) {
                target.copy_from_slice(self.filled());
            }
            (self.start, self.end) = (0, held);
            give_block(std::mem::replace(&mut self.bytes, larger));
        }
    }

    /// Says that `count` bytes were read into [`Buffer::room`].
    #[inline]
    pub fn advance(&mut self, count: usize) {
        self.end = self.bytes.len().min(self.end + count);
    }

    /// Appends bytes that came from elsewhere (the decompressor).
    pub fn extend(&mut self, bytes: &[u8]) {
        let wanted = self.end - self.start + bytes.len();
        let room = self.room(wanted);
        if let Some(target) = room.get_mut(..bytes.len()) {
            target.copy_from_slice(bytes);
            self.advance(bytes.len());
        }
    }

    /// Gives the memory back if nothing is buffered.
    #[inline]
    pub fn release(&mut self) {
        if self.start == self.end && !self.bytes.is_empty() {
            self.start = 0;
            self.end = 0;
            give_block(std::mem::take(&mut self.bytes));
        }
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give_block(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_idle_buffer_holds_nothing() {
        let mut buffer = Buffer::default();
        buffer.extend(b"abc");
        assert_eq!(buffer.capacity(), BLOCK);
        buffer.release();
        assert_eq!(buffer.filled(), b"abc", "not while something is buffered");
        buffer.consume(3);
        buffer.release();
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn room_for_a_whole_packet() {
        let mut buffer = Buffer::default();
        buffer.extend(&[1; 100]);
        buffer.consume(60);
        assert!(buffer.room(BLOCK * 3).len() >= BLOCK * 3 - 40);
        assert_eq!(buffer.filled(), [1; 40]);
    }

    #[test]
    fn an_empty_buffer_does_not_grow_and_a_full_one_does() {
        let mut buffer = Buffer::default();
        buffer.grow_for_streaming();
        assert_eq!(buffer.capacity(), 0);
        buffer.extend(&[1; BLOCK]);
        buffer.consume(10);
        buffer.grow_for_streaming();
        assert_eq!((buffer.capacity(), buffer.filled()), (STREAM_BLOCK, &[1; BLOCK - 10][..]));
    }

    proptest! {
        #[test]
        fn behaves_like_a_queue(steps in proptest::collection::vec((any::<bool>(), 0_usize..40_000), 1..60)) {
            let (mut buffer, mut model) = (Buffer::default(), Vec::new());
            for (index, (push, count)) in steps.into_iter().enumerate() {
                if push {
                    let bytes = vec![index as u8; count];
                    buffer.extend(&bytes);
                    model.extend_from_slice(&bytes);
                } else {
                    buffer.consume(count);
                    model.drain(..count.min(model.len()));
                    buffer.release();
                }
                prop_assert_eq!(buffer.filled(), &model[..]);
            }
        }
    }
}
