//! The compressed protocol: any bytes are survived in bounded memory, pieces give what the whole
//! gives, and what is packed is unpacked again.
#![no_main]

use lagwise::net::compress::{Algorithm, Decoder, Encoder, Stopped};
use libfuzzer_sys::fuzz_target;

/// Room that one call gets, in bytes.
const ROOM: usize = 4096;
/// An input may claim 16 MiB for each few bytes; what is looked at of it.
const MAX_PLAIN: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((&[how, piece], bytes)) = data.split_first_chunk::<2>() else { return };
    let algorithm = if how & 1 == 0 { Algorithm::Zlib } else { Algorithm::Zstd { level: 1 } };
    if how & 2 == 0 {
        let whole = unpack(algorithm, bytes, bytes.len().max(1));
        let pieces = unpack(algorithm, bytes, usize::from(piece).max(1));
        assert_eq!(whole, pieces);
    } else {
        let (mut packed, mut sequence) = (Vec::new(), how);
        Encoder::new(algorithm).unwrap().encode(bytes, &mut sequence, &mut packed);
        // A decoder takes sequence 0 at any time, so only the first packet's number is set.
        let plain = unpack_from(algorithm, &packed, usize::from(piece).max(1), how);
        assert_eq!(plain.as_deref(), Some(bytes));
    }
});

fn unpack(algorithm: Algorithm, bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
    unpack_from(algorithm, bytes, piece, 0)
}

/// All plain bytes, or `None` if the input is refused.
fn unpack_from(
    algorithm: Algorithm,
    bytes: &[u8],
    piece: usize,
    mut sequence: u8,
) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(algorithm).unwrap();
    let mut plain = Vec::new();
    for input in bytes.chunks(piece) {
        let mut rest = input;
        loop {
            let before = plain.len();
            let decoded = decoder.decode(rest, &mut sequence, &mut plain, ROOM).ok()?;
            assert!(plain.len() - before <= ROOM);
            rest = &rest[decoded.consumed..];
            if plain.len() > MAX_PLAIN {
                plain.truncate(MAX_PLAIN);
                return Some(plain);
            }
            match decoded.stopped {
                Stopped::NeedInput => {
                    assert!(rest.is_empty());
                    break;
                }
                Stopped::PacketComplete if rest.is_empty() => break,
                Stopped::PacketComplete | Stopped::NeedRoom => {}
            }
        }
    }
    Some(plain)
}
