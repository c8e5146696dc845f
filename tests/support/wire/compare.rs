//! What must be equal, and what may differ.
//!
//! Every byte of every packet must be equal, sequence ids included, but for
//! - the statement id of a PREPARE_OK, which is lagwise's own, and the one in the texts of errors
//!   1243 (unknown statement) and 1421 (no open cursor);
//! - MySQL 9 reports the begin and end of explicit transactions (trackers of kind 5, or no more than
//!   the flag) even with `session_track_transaction_info=OFF`; lagwise tells a client that has not turned them on
//!   nothing of it, as the manual says;
//! - the mark of changed state in an EOF packet, which cannot say what changed: lagwise, whose own
//!   trackers would set it for more, leaves it out;
//! - GTIDs, which differ from run to run: trackers of kind 3, and MariaDB's `last_gtid`.

use super::script::Step;
use super::{Answer, Client, Packet, lenenc};

/// What a script's answers were, step by step.
pub type Transcript = Vec<(String, Vec<Answer>)>;

/// Plays a script to the end, or until the connection breaks.
pub fn play(client: &mut Client, script: &[Step]) -> Transcript {
    play_after(client, script, |_| {})
}

/// [`play`], with something to be done before each step, given its number.
pub fn play_after(
    client: &mut Client,
    script: &[Step],
    mut before: impl FnMut(usize),
) -> Transcript {
    let mut transcript = Vec::new();
    for (number, step) in script.iter().enumerate() {
        before(number);
        let answers = client.play(step);
        let broken = answers.iter().any(|answer| answer.broken.is_some());
        transcript.push((step.label(), answers));
        if broken {
            break;
        }
    }
    transcript
}

/// Everything in which two transcripts differ, for people to read.
pub fn differences(direct: &Transcript, proxied: &Transcript) -> Vec<String> {
    let mut found = Vec::new();
    if direct.len() != proxied.len() {
        found.push(format!("{} steps direct, {} by lagwise", direct.len(), proxied.len()));
    }
    for ((label, direct), (_, proxied)) in direct.iter().zip(proxied) {
        for (direct, proxied) in direct.iter().zip(proxied) {
            if let Some(text) = difference(direct, proxied) {
                found.push(format!("{label}\n{text}"));
            }
        }
    }
    found
}

fn difference(direct: &Answer, proxied: &Answer) -> Option<String> {
    let pairs = direct.packets.iter().zip(&proxied.packets);
    for (index, (a, b)) in pairs.enumerate() {
        if masked(a) != masked(b) && !is_eof_unmarked(a, b) && !lacks_transaction_state(a, b) {
            return Some(format!(
                "  packet {index} of {}\n    direct:  {}\n    lagwise: {}",
                direct.packets.len(),
                show(a, b),
                show(b, a)
            ));
        }
    }
    let (a, b) = (direct.packets.len(), proxied.packets.len());
    if a == b && direct.broken == proxied.broken {
        return None;
    }
    let longer = if a > b { &direct.packets[b..] } else { &proxied.packets[a..] };
    let next = longer.first().map(|packet| format!("; then {}", show(packet, packet)));
    Some(format!(
        "  {a} packets direct ({:?}), {b} by lagwise ({:?}){}",
        direct.broken,
        proxied.broken,
        next.unwrap_or_default()
    ))
}

/// Two OK packets that differ in the transaction's state alone, which is the last that the direct one
/// tells, besides something else.
fn lacks_transaction_state(direct: &Packet, proxied: &Packet) -> bool {
    let mut direct = direct.clone();
    let payload = &mut direct.payload;
    let Some(state) = state_of(payload) else { return false };
    let last = payload.len().checked_sub(11).filter(|last| *last > state);
    let Some(last) = last.filter(|last| payload[*last..].starts_with(&[5, 9, 8])) else {
        return false;
    };
    payload.truncate(last);
    payload[state - 1] -= 11;
    masked(&direct) == masked(proxied)
}

/// Two EOF packets, of which only the direct one says that state has changed.
fn is_eof_unmarked(direct: &Packet, proxied: &Packet) -> bool {
    let mut direct = direct.clone();
    let is_eof = direct.payload.first() == Some(&0xfe) && direct.payload.len() == 5;
    if is_eof {
        direct.payload[4] &= !0x40;
    }
    is_eof && direct == *proxied
}

/// The packet without what may differ.
fn masked(packet: &Packet) -> Packet {
    let mut packet = packet.clone();
    let payload = &mut packet.payload;
    // A PREPARE_OK is 12 bytes long (MySQL: 13 with optional metadata) and its tenth is 0. An OK
    // packet of that shape would have to carry neither info nor state.
    if payload.first() == Some(&0) && payload.len() == 12 && payload[9] == 0 {
        payload[1..5].fill(0xee);
    }
    if let [0xff, low, high, ..] = payload[..]
        && matches!(u16::from_le_bytes([low, high]), 1243 | 1421)
    {
        payload.retain(|byte| !byte.is_ascii_digit());
    }
    if let Some(state) = state_of(payload) {
        mask_state(&mut payload[state..]);
        drop_transaction_state(payload, state);
    }
    packet
}

/// Where the session state changes of an OK packet begin, if it has some.
pub fn state_of(payload: &[u8]) -> Option<usize> {
    if !matches!(payload.first(), Some(0x00 | 0xfe)) || payload.len() > 1 << 16 {
        return None;
    }
    let mut rest = &payload[1..];
    lenenc(&mut rest)?;
    lenenc(&mut rest)?;
    let status = u16::from_le_bytes([*rest.first()?, *rest.get(1)?]);
    if status & 1 << 14 == 0 {
        return None;
    }
    rest = rest.get(4..)?;
    let info = lenenc(&mut rest)? as usize;
    rest = rest.get(info..)?;
    let len = lenenc(&mut rest)? as usize;
    (len == rest.len()).then(|| payload.len() - len)
}

/// Takes entries of kind 5 out of an OK packet's state; with nothing left, it has none.
fn drop_transaction_state(payload: &mut Vec<u8>, state: usize) {
    let mut kept = Vec::new();
    let mut rest = &payload[state..];
    while let Some((&kind, mut entry)) = rest.split_first() {
        let Some(len) = lenenc(&mut entry) else { return };
        let size = rest.len() - entry.len() + len as usize;
        let Some(whole) = rest.get(..size) else { return };
        if kind != 5 {
            kept.extend_from_slice(whole);
        }
        rest = &rest[size..];
    }
    // Lengths are of one byte in every packet that has such an entry here.
    if kept.len() == payload.len() - state && !kept.is_empty() || kept.len() > 250 {
        return;
    }
    payload.truncate(state - 1);
    payload.push(kept.len() as u8);
    payload.extend(&kept);
    if kept.is_empty() {
        // The length of the state, and that of an empty info, go with it.
        payload.truncate(state - if state > 9 { 1 } else { 2 });
        if let Some(status) = status_of(payload) {
            payload[status + 1] &= !0x40;
        }
    }
}

/// Where the status flags of an OK packet are.
fn status_of(payload: &[u8]) -> Option<usize> {
    let mut rest = payload.get(1..)?;
    lenenc(&mut rest)?;
    lenenc(&mut rest)?;
    (rest.len() >= 4).then(|| payload.len() - rest.len())
}

fn mask_state(state: &mut [u8]) {
    let mut at = 0;
    while let Some((&kind, mut rest)) = state.get(at..).and_then(<[u8]>::split_first) {
        let Some(len) = lenenc(&mut rest) else { return };
        let start = state.len() - rest.len();
        let Some(data) = state.get_mut(start..start + len as usize) else { return };
        let is_gtid = kind == 3 || data.windows(9).any(|name| name == b"last_gtid");
        if is_gtid {
            data.fill(b'g');
        }
        at = start + len as usize;
    }
}

/// A packet for people: what it seems to be, and its bytes around the first difference.
pub fn show(packet: &Packet, other: &Packet) -> String {
    let payload = &packet.payload;
    let kind = match payload.first() {
        Some(0xff) if payload.len() > 2 => {
            let code = u16::from_le_bytes([payload[1], payload[2]]);
            let text: String = String::from_utf8_lossy(&payload[3..]).chars().take(200).collect();
            return format!("seq {} ERR {code} {text:?}", packet.seq);
        }
        Some(0x00) => "OK or row",
        Some(0xfe) => "EOF or OK",
        _ => "",
    };
    let equal = payload.iter().zip(&other.payload).take_while(|(a, b)| a == b).count();
    let from = if equal == payload.len() { 0 } else { equal.saturating_sub(24) };
    let bytes: String = payload
        .iter()
        .skip(from)
        .take(96)
        .map(|byte| match byte {
            b' '..=b'~' => char::from(*byte).to_string(),
            _ => format!("\\{byte:02x}"),
        })
        .collect();
    format!("seq {} len {} {kind} @{from} {bytes}", packet.seq, payload.len())
}
