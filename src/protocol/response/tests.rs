//! Tables of whole responses, each fed whole, byte by byte, and cut at random.

use proptest::prelude::*;

use super::*;
use crate::protocol::frame::write_packet;

const NONE: Capabilities = Capabilities::empty();
const MODERN: Capabilities = Capabilities::DEPRECATE_EOF;
const PROGRESS: Capabilities = Capabilities::MARIADB_PROGRESS;

const OK_LAST: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const OK_MORE: &[u8] = &[0, 0, 0, 0x0a, 0, 0, 0];
const END_OK: &[u8] = &[0xfe, 0, 0, 2, 0, 0, 0];
const END_OK_MORE: &[u8] = &[0xfe, 0, 0, 0x0a, 0, 0, 0];
const EOF_LAST: &[u8] = &[0xfe, 0, 0, 2, 0];
const EOF_MORE: &[u8] = &[0xfe, 0, 0, 0x0a, 0];
const EOF_CURSOR: &[u8] = &[0xfe, 0, 0, 0x42, 0];
const OK_CURSOR: &[u8] = &[0xfe, 0, 0, 0x42, 0, 0, 0];
/// MySQL before the row of OUT parameters; after it comes EOF_LAST, and then OK_LAST.
const EOF_OUT_PARAMS: &[u8] = &[0xfe, 0, 0, 0x0a, 0x10];
const ERROR: &[u8] = b"\xff\x28\x04#42000syntax";
const PROGRESS_PACKET: &[u8] = b"\xff\xff\xff\x01\x01\x01\0\0\0";
const COLUMN: &[u8] = b"\x03def\0\0\0\x01a\0";
const PREPARE_2_1: &[u8] = &[0, 1, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0];
const PREPARE_0_0: &[u8] = &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn wire(packets: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut seq = 1;
    for packet in packets {
        seq = write_packet(&mut out, seq, packet);
    }
    out
}

/// Feeds `bytes` in pieces of at most `piece`; returns the control packets and where it ended.
fn follow(
    kind: ResponseKind,
    capabilities: Capabilities,
    bytes: &[u8],
    piece: usize,
) -> Result<(Vec<Control>, Option<usize>), Malformed> {
    let mut tracker = ResponseTracker::new(kind, capabilities);
    let (mut controls, mut consumed, mut available) = (Vec::new(), 0, 0);
    loop {
        let (step, event) = tracker.advance(&bytes[consumed..available])?;
        consumed += step;
        match event {
            Event::NeedMore(need) => {
                assert!(need > 0 && !tracker.is_done());
                if available == bytes.len() {
                    return Ok((controls, None));
                }
                available = (available + piece).min(bytes.len());
            }
            Event::Packet { control, last, .. } => {
                controls.push(control);
                assert_eq!(last, tracker.is_done());
                if control == Control::LocalInfile {
                    tracker.file_sent(bytes[consumed + 3].wrapping_sub(1));
                }
                if last {
                    return Ok((controls, Some(consumed)));
                }
            }
            Event::End => return Ok((controls, Some(consumed))),
        }
    }
}

/// The ends of definitions are left out of `want`.
#[track_caller]
fn check(kind: ResponseKind, capabilities: Capabilities, packets: &[&[u8]], want: &[Control]) {
    let mut bytes = wire(packets);
    let end = bytes.len();
    bytes.extend_from_slice(b"next response");
    for piece in [bytes.len(), 1, 3, 7] {
        let (mut got, ended) = follow(kind, capabilities, &bytes, piece).unwrap();
        got.retain(|control| *control != Control::DefinitionsEof);
        assert_eq!((got, ended), (want.to_vec(), Some(end)), "pieces of {piece}");
    }
    let (_, cut) = follow(kind, capabilities, &bytes[..end - 1], 5).unwrap();
    assert_eq!(cut, None, "one byte short");
}

#[test]
fn single_packets() {
    use ResponseKind::{Results, Rows, Single};
    check(Results, NONE, &[OK_LAST], &[Control::Ok]);
    check(Results, MODERN, &[OK_LAST], &[Control::Ok]);
    check(Results, NONE, &[ERROR], &[Control::Err]);
    check(Results, NONE, &[EOF_LAST], &[Control::Eof]);
    check(Single, NONE, &[b"Uptime: 1"], &[]);
    check(Single, NONE, &[ERROR], &[Control::Err]);
    check(Rows, NONE, &[ERROR], &[Control::Err]);
}

#[test]
fn result_sets() {
    use ResponseKind::Results;
    let row: &[u8] = b"\x01x";
    check(Results, NONE, &[&[1], COLUMN, EOF_LAST, row, EOF_LAST], &[Control::Eof]);
    check(Results, MODERN, &[&[1], COLUMN, row, row, END_OK], &[Control::Ok]);
    check(Results, MODERN, &[&[2], COLUMN, COLUMN, END_OK], &[Control::Ok]);
    check(Results, NONE, &[&[1], COLUMN, EOF_LAST, row, ERROR], &[Control::Err]);
    check(Results, MODERN, &[&[1], COLUMN, row, ERROR], &[Control::Err]);
    let empty_text: &[u8] = b"\0";
    let null: &[u8] = b"\xfb";
    check(Results, MODERN, &[&[1], COLUMN, empty_text, null, END_OK], &[Control::Ok]);
    let columns = [&[0xfc, 0x2c, 0x01][..]].into_iter().chain([COLUMN; 300]).chain([END_OK]);
    check(Results, MODERN, &columns.collect::<Vec<_>>(), &[Control::Ok]);
}

#[test]
fn rows_that_begin_like_an_eof() {
    use ResponseKind::Results;
    let mut row = vec![0xfe, 0, 0, 0, 1, 0, 0, 0, 0];
    row.resize(MAX_PAYLOAD + 100, b'x');
    check(Results, MODERN, &[&[1], COLUMN, &row, END_OK], &[Control::Ok]);
    check(Results, NONE, &[&[1], COLUMN, EOF_LAST, &row, EOF_LAST], &[Control::Eof]);
    let full = vec![b'x'; MAX_PAYLOAD];
    check(Results, MODERN, &[&[1], COLUMN, &full, END_OK], &[Control::Ok]);
}

#[test]
fn several_results() {
    use Control::{Eof, Err, Ok};
    use ResponseKind::Results;
    check(Results, NONE, &[OK_MORE, OK_LAST], &[Ok, Ok]);
    check(Results, NONE, &[&[1], COLUMN, EOF_MORE, b"\x01x", EOF_MORE, OK_LAST], &[Eof, Ok]);
    check(Results, MODERN, &[&[1], COLUMN, END_OK_MORE, &[1], COLUMN, END_OK], &[Ok, Ok]);
    check(Results, MODERN, &[OK_MORE, ERROR], &[Ok, Err]);
}

#[test]
fn cursors() {
    use ResponseKind::{Results, Rows};
    check(Results, NONE, &[&[1], COLUMN, EOF_CURSOR], &[Control::Eof]);
    check(Results, MODERN, &[&[1], COLUMN, OK_CURSOR], &[Control::Ok]);
    check(Rows, NONE, &[b"\0\0a", EOF_LAST], &[Control::Eof]);
    check(Rows, MODERN, &[b"\0\0a", b"\0\0b", END_OK], &[Control::Ok]);
}

#[test]
fn prepare() {
    use Control::{Err, PrepareOk};
    use ResponseKind::Prepare;
    check(Prepare, NONE, &[PREPARE_0_0], &[PrepareOk]);
    check(Prepare, MODERN, &[ERROR], &[Err]);
    let params = [COLUMN, COLUMN];
    let legacy = [&[PREPARE_2_1], &params[..], &[EOF_LAST, COLUMN, EOF_LAST]].concat();
    check(Prepare, NONE, &legacy, &[PrepareOk]);
    check(Prepare, MODERN, &[&[PREPARE_2_1], &params[..], &[COLUMN]].concat(), &[PrepareOk]);
    let only_columns: &[u8] = &[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    check(Prepare, NONE, &[only_columns, COLUMN, EOF_LAST], &[PrepareOk]);
}

#[test]
fn local_infile_and_progress() {
    use Control::{LocalInfile, Ok};
    use ResponseKind::Results;
    check(Results, NONE, &[b"\xfbfile.csv", OK_LAST], &[LocalInfile, Ok]);
    check(Results, PROGRESS, &[PROGRESS_PACKET, PROGRESS_PACKET, OK_LAST], &[Ok]);
}

#[test]
fn what_is_no_response_is_refused() {
    let refused = |bytes: &[u8]| {
        follow(ResponseKind::Results, NONE, bytes, bytes.len()).expect_err("must be refused")
    };
    refused(&[1, 0, 0, 2, 0]); // sequence id 2
    refused(&[0, 0, 0, 1]); // empty
    refused(&wire(&[&[1], COLUMN, EOF_LAST, b"", EOF_LAST])); // empty, with more behind it
    refused(&[9, 0, 0, 1, 0xfd, 255, 255, 255, 0, 0, 0, 0, 0]); // 16 million columns
    refused(&[1, 0, 0, 1, 0]); // an OK packet cut short
    refused(&[1, 0, 0x20, 1, 0]); // an OK packet of 2 MiB
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, modern: bool, piece in 1_usize..9) {
        for kind in [ResponseKind::Results, ResponseKind::Prepare, ResponseKind::Rows] {
            let capabilities = if modern { MODERN } else { NONE };
            let whole = follow_to_file(kind, capabilities, &bytes, bytes.len().max(1));
            let pieces = follow_to_file(kind, capabilities, &bytes, piece);
            prop_assert_eq!(whole, pieces);
        }
    }
}

/// As [`follow`], but ends at a file request, whose continuation random bytes do not have.
fn follow_to_file(
    kind: ResponseKind,
    capabilities: Capabilities,
    bytes: &[u8],
    piece: usize,
) -> Option<usize> {
    let mut tracker = ResponseTracker::new(kind, capabilities);
    let (mut consumed, mut available) = (0, 0);
    loop {
        let (step, event) = tracker.advance(&bytes[consumed..available]).ok()?;
        consumed += step;
        match event {
            Event::NeedMore(_) if available < bytes.len() => {
                available = (available + piece).min(bytes.len());
            }
            Event::Packet { control, last, .. } if !last && control != Control::LocalInfile => {}
            _ => return Some(consumed),
        }
    }
}

#[test]
fn mysql_announces_what_follows_out_parameters_only_before_them() {
    let row: &[u8] = &[0, 0, 6];
    let packets: &[&[u8]] = &[&[1], COLUMN, EOF_OUT_PARAMS, row, EOF_LAST, OK_LAST];
    check(ResponseKind::Results, NONE, packets, &[Control::Eof, Control::Ok]);
    // MariaDB says so twice.
    let packets: &[&[u8]] = &[&[1], COLUMN, EOF_OUT_PARAMS, row, EOF_MORE, OK_LAST];
    check(ResponseKind::Results, NONE, packets, &[Control::Eof, Control::Ok]);
}

#[test]
fn ends_of_definitions_are_shown() {
    use Control::{DefinitionsEof, Eof, PrepareOk};
    let rows = wire(&[&[1], COLUMN, EOF_LAST, b"\x01x", EOF_LAST]);
    let (got, _) = follow(ResponseKind::Results, NONE, &rows, 9).unwrap();
    assert_eq!(got, [DefinitionsEof, Eof]);
    let prepare = wire(&[PREPARE_2_1, COLUMN, COLUMN, EOF_LAST, COLUMN, EOF_LAST]);
    let (got, ended) = follow(ResponseKind::Prepare, NONE, &prepare, 9).unwrap();
    assert_eq!(
        (&got[..], ended),
        (&[PrepareOk, DefinitionsEof, DefinitionsEof][..], Some(prepare.len()))
    );
}
