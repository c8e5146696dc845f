//! A hostile network: limits before and after the login, each with its error, and floods of bad clients
//! beside which good ones are served and memory stays bounded.
//!
//! `scripts/hostile.sh` runs the floods at full size.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "hostile/before_login.rs"]
mod before_login;
#[path = "hostile/floods.rs"]
mod floods;
#[path = "hostile/limits.rs"]
mod limits;
mod raw;
#[path = "hostile/scripts.rs"]
mod scripts;
#[path = "../fuzz/fuzz_targets/support/session.rs"]
mod session;
mod support;

use std::io::Read;
use std::net::TcpStream;

/// The resident memory of a process, and the most that it ever was, in MiB.
fn memory(pid: u32) -> (usize, usize) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let of = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// A connection that has got its greeting, and does not answer it.
fn half_open(port: u16) -> TcpStream {
    let mut stream = raw::tcp(port);
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let mut greeting = vec![0; usize::from(header[0]) | usize::from(header[1]) << 8];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(greeting[0], 10, "a greeting: {greeting:?}");
    stream
}

/// All that is said before the connection is closed, which it must be.
fn said(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection is kept: {error}"),
    }
    all
}

/// Sequence id, number, SQLSTATE and text of a lone ERR packet.
#[track_caller]
fn error(bytes: &[u8]) -> (u8, u16, String, String) {
    assert!(bytes.len() > 13 && bytes[4] == 0xff && bytes[7] == b'#', "no lone error: {bytes:?}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = u16::from_le_bytes([bytes[5], bytes[6]]);
    (bytes[3], code, text(&bytes[8..13]), text(&bytes[13..]))
}
