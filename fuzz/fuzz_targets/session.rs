//! Whole sessions, between a client and servers that say any bytes in any order: no panic, and an end.
#![no_main]

#[path = "support/session.rs"]
mod session;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| session::play(data));
