//! Both directions of the codec, in pieces of any size, and what it refuses.

use std::io::Write;

use proptest::prelude::*;

use super::*;

const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::Zlib,
    Algorithm::Zstd { level: 1 },
    Algorithm::Zstd { level: 3 },
    Algorithm::Zstd { level: 22 },
];

/// Everything that `wire` unpacks to when it arrives in pieces of `step` bytes and is taken in
/// portions of `limit`; and the sequence after it.
fn unpack(
    algorithm: Algorithm,
    wire: &[u8],
    step: usize,
    limit: usize,
) -> Result<(Vec<u8>, u8), CompressError> {
    let mut decoder = Decoder::new(algorithm).unwrap();
    let (mut plain, mut sequence) = (Vec::new(), 0);
    for mut input in wire.chunks(step) {
        loop {
            let before = plain.len();
            let decoded = decoder.decode(input, &mut sequence, &mut plain, limit)?;
            let produced = plain.len() - before;
            assert!(produced <= limit, "the limit of {limit} was overrun: {produced}");
            input = &input[decoded.consumed..];
            match decoded.stopped {
                Stopped::PacketComplete => assert!(decoder.is_at_boundary()),
                Stopped::NeedRoom => assert_eq!(produced, limit),
                Stopped::NeedInput => assert!(input.is_empty()),
            }
            if input.is_empty() && decoded.stopped != Stopped::NeedRoom {
                break;
            }
        }
    }
    // A payload that is not over yet is the caller's end of file, not the decoder's error.
    assert!(decoder.is_at_boundary(), "not over");
    Ok((plain, sequence))
}

fn pack(algorithm: Algorithm, plain: &[u8]) -> (Vec<u8>, u8) {
    let (mut wire, mut sequence) = (Vec::new(), 0);
    Encoder::new(algorithm).unwrap().encode(plain, &mut sequence, &mut wire);
    (wire, sequence)
}

/// Repeats itself, so that it compresses well.
fn text(length: usize) -> Vec<u8> {
    b"SELECT name FROM items WHERE id = 42; ".iter().copied().cycle().take(length).collect()
}

/// Does not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

fn packet(sequence: u8, payload: &[u8], plain_length: usize) -> Vec<u8> {
    let length = payload.len().to_le_bytes();
    let plain_length = plain_length.to_le_bytes();
    [&length[..3], &[sequence], &plain_length[..3], payload].concat()
}

fn deflated(algorithm: Algorithm, plain: &[u8]) -> Vec<u8> {
    match algorithm {
        Algorithm::Zlib => {
            let level = flate2::Compression::best();
            let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
            writer.write_all(plain).unwrap();
            writer.finish().unwrap()
        }
        Algorithm::Zstd { level } => zstd::bulk::compress(plain, i32::from(level)).unwrap(),
    }
}

/// The examples of the protocol documentation.
#[test]
fn known_packets() {
    let wire = b"\x22\x00\x00\x00\x32\x00\x00\x78\x9c\xd3\x63\x60\x60\x60\x2e\x4e\xcd\x49\x4d\x2e\
        \x51\x50\x32\x30\x34\x32\x36\x31\x35\x33\xb7\xb0\xc4\xcd\x52\x02\x00\x0c\xd1\x0a\x6c";
    let plain = b"\x2e\x00\x00\x00\x03select \"012345678901234567890123456789012345\"";
    assert_eq!(unpack(Algorithm::Zlib, wire, wire.len(), 1000), Ok((plain.to_vec(), 1)));
    let wire = b"\x0d\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x03SELECT 1";
    let plain = b"\x09\x00\x00\x00\x03SELECT 1";
    for algorithm in ALGORITHMS {
        assert_eq!(unpack(algorithm, wire, wire.len(), 1000), Ok((plain.to_vec(), 1)));
        assert_eq!(pack(algorithm, plain), (wire.to_vec(), 1));
    }
}

/// What gets compressed, and how it is cut: (plain, packets, stored or not).
#[test]
fn what_the_encoder_makes() {
    let over = MAX_PIECE_LENGTH + 1;
    for algorithm in ALGORITHMS {
        for (plain, packets, stored) in [
            (text(0), 0, vec![]),
            (text(1), 1, vec![true]),
            (text(MIN_COMPRESS_LENGTH - 1), 1, vec![true]),
            (vec![b'x'; MIN_COMPRESS_LENGTH], 1, vec![false]),
            (noise(MIN_COMPRESS_LENGTH), 1, vec![true]),
            (noise(1000), 1, vec![true]),
            (text(MAX_PIECE_LENGTH), 1, vec![false]),
            (text(over), 2, vec![false, true]),
            (noise(over), 2, vec![true, true]),
            (text(3 * over), 4, vec![false, false, false, true]),
        ] {
            let (wire, sequence) = pack(algorithm, &plain);
            assert_eq!(sequence, packets, "{algorithm:?}, {} bytes", plain.len());
            let mut rest = &wire[..];
            let mut found = Vec::new();
            while let [l0, l1, l2, number, p0, p1, p2, payload @ ..] = rest {
                assert_eq!(usize::from(*number), found.len());
                found.push([p0, p1, p2] == [&0; 3]);
                let length = u32::from_le_bytes([*l0, *l1, *l2, 0]);
                rest = &payload[usize::try_from(length).unwrap()..];
            }
            assert_eq!(found, stored, "{algorithm:?}, {} bytes", plain.len());
            assert!(wire.len() <= plain.len() + usize::from(packets) * HEADER_LENGTH);
            assert_eq!(unpack(algorithm, &wire, wire.len().max(1), over), Ok((plain, packets)));
        }
    }
}

#[test]
fn any_split_gives_the_same() {
    for algorithm in ALGORITHMS {
        let mut plain = text(300);
        plain.extend_from_slice(&noise(100));
        let (mut wire, mut sequence) = (Vec::new(), 0);
        let mut encoder = Encoder::new(algorithm).unwrap();
        for piece in [&plain[..], &plain[..10], &plain[200..], &noise(60)] {
            encoder.encode(piece, &mut sequence, &mut wire);
        }
        let plain = [&plain[..], &plain[..10], &plain[200..], &noise(60)].concat();
        for step in 1..=wire.len() {
            for limit in [1, 7, 10_000] {
                let got = unpack(algorithm, &wire, step, limit);
                assert_eq!(got, Ok((plain.clone(), 4)), "{algorithm:?} by {step}, {limit}");
            }
        }
        for cut in 1..wire.len() {
            let mut decoder = Decoder::new(algorithm).unwrap();
            let (mut out, mut sequence, mut consumed) = (Vec::new(), 0, 0);
            for input in [&wire[..cut], &wire[cut..]] {
                let mut input = input;
                while !input.is_empty() {
                    let step = decoder.decode(input, &mut sequence, &mut out, 99_999).unwrap();
                    consumed += step.consumed;
                    input = &input[step.consumed..];
                }
            }
            assert_eq!((consumed, out.len()), (wire.len(), plain.len()), "cut at {cut}");
        }
    }
}

#[test]
fn the_largest_packet() {
    let plain = text(0x00ff_ffff);
    for algorithm in [Algorithm::Zlib, Algorithm::Zstd { level: 1 }] {
        let wire = packet(0, &deflated(algorithm, &plain), plain.len());
        let mut two = wire.clone();
        two.extend_from_slice(&packet(1, &deflated(algorithm, b"and on"), 6));
        let (got, sequence) = unpack(algorithm, &two, 4096, 64 * 1024).unwrap();
        assert_eq!((got.len(), sequence), (plain.len() + 6, 2));
        assert!(got.starts_with(&plain) && got.ends_with(b"and on"));
    }
    let stored = noise(0x00ff_ffff);
    let wire = packet(0, &stored, 0);
    assert_eq!(unpack(Algorithm::Zlib, &wire, 4096, 64 * 1024), Ok((stored, 1)));
}

/// All of the input is taken in long before all of the output is out.
#[test]
fn a_small_packet_with_much_in_it() {
    let plain = b"ab".repeat(300_000);
    for algorithm in ALGORITHMS {
        let wire = packet(0, &deflated(algorithm, &plain), plain.len());
        for limit in [1000, 100_000, usize::MAX] {
            let got = unpack(algorithm, &wire, wire.len(), limit);
            assert!(got == Ok((plain.clone(), 1)), "{algorithm:?} in portions of {limit}");
        }
    }
}

#[test]
fn sequences() {
    let numbers = |numbers: &[u8]| {
        let wire: Vec<u8> = numbers.iter().flat_map(|&n| packet(n, b"x", 0)).collect();
        unpack(Algorithm::Zlib, &wire, 100, 100).map(|(_, sequence)| sequence)
    };
    let error = |expected, got| Err(CompressError::Sequence { expected, got });
    for (given, expected) in [
        (&[0, 1, 2][..], Ok(3)),
        (&[0, 1, 0, 1], Ok(2)),
        (&[0, 0, 0], Ok(1)),
        (&[1], error(0, 1)),
        (&[0, 2], error(1, 2)),
        (&[0, 1, 1], error(2, 1)),
        (&[0, 255], error(1, 255)),
    ] {
        assert_eq!(numbers(given), expected, "{given:?}");
    }
    let all: Vec<u8> = (0..=255).chain(0..=3).collect();
    assert_eq!(numbers(&all), Ok(4), "it wraps");

    let (mut wire, mut sequence) = (Vec::new(), 254);
    let mut encoder = Encoder::new(Algorithm::Zlib).unwrap();
    for _ in 0..3 {
        encoder.encode(b"x", &mut sequence, &mut wire);
    }
    let sent: Vec<u8> = wire.chunks(HEADER_LENGTH + 1).map(|packet| packet[3]).collect();
    assert_eq!((sent, sequence), (vec![254, 255, 0], 1));
}

#[test]
fn payloads_that_are_refused() {
    use CompressError::{Corrupt, Length};
    let plain = text(1000);
    let large = vec![0; 0x00ff_ffff + 1];
    for algorithm in [Algorithm::Zlib, Algorithm::Zstd { level: 3 }] {
        let good = deflated(algorithm, &plain);
        let bomb = deflated(algorithm, &large);
        let mut flipped = good.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x55;
        let trailing = [&good[..], b"more"].concat();
        let twice = [&good[..], &good].concat();
        let mut cases: Vec<(&str, Vec<u8>, usize, &[CompressError])> = vec![
            ("longer than claimed", good.clone(), 999, &[Length]),
            ("much longer", bomb, 1, &[Length]),
            ("a bomb", deflated(algorithm, &large), 0x00ff_ffff, &[Length]),
            ("shorter than claimed", good.clone(), 1001, &[Length]),
            ("much shorter", good.clone(), 0x00ff_ffff, &[Length]),
            ("cut short", good[..good.len() - 3].to_vec(), 1000, &[Length]),
            ("nothing", Vec::new(), 1000, &[Length]),
            ("trailing bytes", trailing, 1000, &[Length]),
            ("two streams", twice, 2000, &[Length]),
            ("noise", noise(500), 1000, &[Corrupt]),
            ("not compressed", plain.clone(), 1000, &[Corrupt]),
        ];
        if algorithm == Algorithm::Zlib {
            // zstd frames carry no checksum in this protocol.
            cases.push(("a changed byte", flipped, 1000, &[Corrupt, Length]));
        }
        for (what, payload, claim, expected) in cases {
            // What follows must not be taken for the rest of the payload.
            let wire = [packet(0, &payload, claim), packet(1, b"next", 0)].concat();
            for step in [1, 1_000_000] {
                let got = unpack_until_error(algorithm, &wire, step, claim);
                assert!(expected.contains(&got), "{algorithm:?}: {what} by {step}: {got:?}");
            }
        }
    }
}

/// The error that `wire` ends in, having given no more than `claim` bytes.
fn unpack_until_error(
    algorithm: Algorithm,
    wire: &[u8],
    step: usize,
    claim: usize,
) -> CompressError {
    let mut decoder = Decoder::new(algorithm).unwrap();
    let (mut plain, mut sequence) = (Vec::new(), 0);
    for mut input in wire.chunks(step) {
        while !input.is_empty() {
            match decoder.decode(input, &mut sequence, &mut plain, usize::MAX) {
                Ok(decoded) => input = &input[decoded.consumed..],
                Err(error) => {
                    assert!(plain.len() <= claim, "{} of {claim} bytes", plain.len());
                    return error;
                }
            }
        }
    }
    panic!("{algorithm:?}: no error");
}

#[test]
fn a_window_larger_than_any_payload_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(25).unwrap();
    // The length is unknown when the frame begins, so the frame asks for the whole window.
    encoder.write_all(&text(1000)).unwrap();
    encoder.flush().unwrap();
    let frame = encoder.finish().unwrap();
    let wire = packet(0, &frame, 1000);
    let got = unpack(Algorithm::Zstd { level: 3 }, &wire, 1000, 1000);
    assert_eq!(got, Err(CompressError::Corrupt));
}

#[test]
fn a_packet_may_be_empty() {
    for algorithm in ALGORITHMS {
        let wire = [packet(0, b"", 0), packet(1, b"x", 0)].concat();
        assert_eq!(unpack(algorithm, &wire, 100, 100), Ok((b"x".to_vec(), 2)));
    }
}

#[test]
fn levels() {
    for (level, good) in [(0, false), (1, true), (22, true), (23, false), (255, false)] {
        let got = Encoder::new(Algorithm::Zstd { level });
        let expected = (!good).then_some(CompressError::Level(level));
        assert_eq!(got.err(), expected);
    }
}

#[test]
fn codecs_move_between_threads() {
    fn check<T: Send + 'static>() {}
    check::<Encoder>();
    check::<Decoder>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_packed_is_unpacked(
        pieces in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..3000),
                (0..200_000_usize).prop_map(text),
            ],
            1..5,
        ),
        algorithm in 0..ALGORITHMS.len() - 1,
        step in 1..70_000_usize,
        limit in 1..70_000_usize,
    ) {
        let algorithm = ALGORITHMS[algorithm];
        let mut encoder = Encoder::new(algorithm).unwrap();
        let (mut wire, mut sequence) = (Vec::new(), 0);
        for piece in &pieces {
            encoder.encode(piece, &mut sequence, &mut wire);
        }
        let got = unpack(algorithm, &wire, step, limit);
        prop_assert_eq!(got, Ok((pieces.concat(), sequence)));
    }

    #[test]
    fn noise_neither_panics_nor_overruns(
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        claim in 1..5000_usize,
        zlib in any::<bool>(),
    ) {
        let algorithm = if zlib { Algorithm::Zlib } else { Algorithm::Zstd { level: 1 } };
        let wire = packet(0, &payload, claim);
        let mut decoder = Decoder::new(algorithm).unwrap();
        let (mut plain, mut sequence) = (Vec::new(), 0);
        let _ = decoder.decode(&wire, &mut sequence, &mut plain, usize::MAX);
        prop_assert!(plain.len() <= claim);
    }
}
