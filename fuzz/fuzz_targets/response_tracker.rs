//! Where a response ends must not depend on how its bytes arrive.
#![no_main]

use lagwise::protocol::frame::{MAX_PAYLOAD, write_packet};
use lagwise::protocol::response::{Control, Event};
use lagwise::protocol::{Capabilities, ResponseKind, ResponseTracker};
use libfuzzer_sys::fuzz_target;

/// How one way of feeding ended, and what was found on the way.
#[derive(Debug, PartialEq)]
struct Found {
    /// Each control packet with the offset of its header and whether it was the last.
    packets: Vec<(usize, Control, bool)>,
    /// The offset where the response ended; `None` if it did not.
    end: Option<usize>,
    malformed: bool,
}

fuzz_target!(|data: &[u8]| {
    let Some((&[how, piece], bytes)) = data.split_first_chunk::<2>() else { return };
    let kind = match how & 3 {
        0 => ResponseKind::Results,
        1 => ResponseKind::Prepare,
        2 => ResponseKind::Rows,
        _ => ResponseKind::Single,
    };
    let mut capabilities = Capabilities::empty();
    capabilities.set(Capabilities::DEPRECATE_EOF, how & 4 != 0);
    capabilities.set(Capabilities::MARIADB_PROGRESS, how & 8 != 0);
    // A full frame takes as long as thousands of inputs without one.
    let full = how & 0xe0 == 0xe0;
    let wire = if how & 16 != 0 { bytes.to_vec() } else { frames(bytes, full) };
    let whole = follow(kind, capabilities, &wire, wire.len().max(1));
    let pieces = follow(kind, capabilities, &wire, usize::from(piece).max(1));
    assert_eq!(whole, pieces);
    if let Some(end) = whole.end {
        // What follows a response is of no meaning to it.
        let longer = [&wire[..end], b"\0\0\0\0"].concat();
        let again = follow(kind, capabilities, &longer, longer.len());
        assert_eq!(whole, again);
    }
});

/// Packets of the lengths that the bytes themselves give, with good headers. With `full`, the first
/// 0xff stands for the payload of a full frame.
fn frames(mut bytes: &[u8], mut full: bool) -> Vec<u8> {
    let (mut out, mut seq) = (Vec::new(), 1);
    while let Some((&len, rest)) = bytes.split_first() {
        let (payload, rest) = rest.split_at(usize::from(len).min(rest.len()));
        if len == 0xff && full {
            full = false;
            let mut payload = payload.to_vec();
            payload.resize(MAX_PAYLOAD, b'x');
            seq = write_packet(&mut out, seq, &payload);
        } else {
            seq = write_packet(&mut out, seq, payload);
        }
        bytes = rest;
    }
    out
}

fn follow(kind: ResponseKind, capabilities: Capabilities, wire: &[u8], piece: usize) -> Found {
    let mut tracker = ResponseTracker::new(kind, capabilities);
    let mut found = Found { packets: Vec::new(), end: None, malformed: false };
    // Pieces of a few bytes of a frame of 16 MiB are a test of patience.
    let piece = if wire.len() > 1 << 20 { piece << 12 } else { piece };
    let (mut at, mut available) = (0, 0);
    loop {
        let Ok((count, event)) = tracker.advance(&wire[at..available]) else {
            found.malformed = true;
            return found;
        };
        match event {
            Event::NeedMore(need) => {
                assert!(need > 0 && !tracker.is_done());
                at += count;
                if available == wire.len() {
                    return found;
                }
                available = wire.len().min(available + piece);
            }
            Event::Packet { control, start, last } => {
                assert!(start < count && last == tracker.is_done());
                found.packets.push((at + start, control, last));
                at += count;
                if control == Control::LocalInfile {
                    assert!(!last);
                    let next = wire.get(at + 3).copied().unwrap_or_default();
                    // The client's last frame is the one before the server's next; only where all
                    // of it is there can that be known.
                    if wire.len() < at + 4 {
                        return found;
                    }
                    tracker.file_sent(next.wrapping_sub(1));
                }
                if last {
                    found.end = Some(at);
                    return found;
                }
            }
            Event::End => {
                assert!(tracker.is_done());
                found.end = Some(at + count);
                return found;
            }
        }
    }
}
