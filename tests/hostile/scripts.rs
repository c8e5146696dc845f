//! Whole sessions between a client and servers that say what a random script has them say. The same runs
//! under the fuzzer for as long as one likes (`scripts/fuzz.sh`, target `session`).

use crate::session;

/// Commands as clients send them, and what may come in answer, to begin with.
const CLIENT: &[&[u8]] = &[
    b"\x03SELECT 1",
    b"\x03SET NAMES utf8mb4",
    b"\x03BEGIN",
    b"\x03COMMIT",
    b"\x03INSERT INTO t VALUES (1)",
    b"\x03LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
    b"\x16SELECT ?",
    b"\x17\x01\0\0\0\0\x01\0\0\0\0\x01\x03\0\x07\0\0\0",
    b"\x17\x01\0\0\0\x01\x01\0\0\0",
    b"\x18\x01\0\0\0\0\0data",
    b"\x19\x01\0\0\0",
    b"\x1a\x01\0\0\0",
    b"\x1c\x01\0\0\0\x0a\0\0\0",
    b"\x1f",
    b"\x0e",
    b"\x02shop",
    b"\x11app\0\0shop\0",
    b"\x1b\0\0",
    b"",
];
const SERVER: &[&[u8]] = &[
    b"\0\0\0\x02\0\0\0",
    b"\0\0\0\x03\0\0\0",
    b"\0\0\0\x02\x40\0\0\0\x08\0\x06\x07autocommit",
    b"\xff\x28\x04#42000no",
    b"\xff\x52\x05#HY000gone",
    b"\x01",
    b"\x03def\0\0\0\x01c\0\x0c\x2d\0\x01\0\0\0\xfd\0\0\0\0\0",
    b"\xfe\0\0\x02\0",
    b"\x011",
    b"\xfbname",
    b"\0\x01\0\0\0\x01\0\x01\0\0\0\0",
    b"\0\0\x011",
];

#[test]
fn sessions_end_whatever_is_said() {
    let mut random = fastrand::Rng::with_seed(6);
    for _ in 0..500 {
        let mut script = vec![random.u8(..)];
        for _ in 0..random.usize(..24) {
            let mut kind = random.u8(..);
            if random.u8(..) < 200 {
                // Mostly packets, and mostly such as there are.
                kind &= 3;
                kind |= random.u8(..2) << 2;
            }
            let known = if kind & 1 == 0 { CLIENT } else { SERVER };
            let mut bytes = random.choice(known).copied().unwrap_or_default().to_vec();
            if random.u8(..) < 64 && !bytes.is_empty() {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            if random.u8(..) < 16 {
                bytes = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
            }
            script.extend([kind, bytes.len() as u8]);
            script.extend(bytes);
        }
        let kept = script.clone();
        let played = std::panic::catch_unwind(|| session::play(&script));
        assert!(played.is_ok(), "this script: {kept:?}");
    }
}
