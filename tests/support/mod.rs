//! What integration tests share: real servers ([`Lab`]) and a running proxy ([`Proxy`]).
//!
//! A test that needs them says `mod support;`. Each `Lab` is its own primary with replicas, in a
//! folder of its own, and ends with the value that holds it: also when the test panics, and also
//! when the test process is killed (`scripts/servers.sh` watches for that). Nothing here sleeps to
//! let something happen: conditions are observed, with a deadline ([`eventually`]).
#![allow(dead_code, unused_imports)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod behind;
pub mod corpus;
pub mod forwarder;
mod lab;
mod process;
mod proxy;
pub mod wire;

use std::time::{Duration, Instant};

pub use behind::MYSQL_SHOWS_LOCKS;
pub use lab::{Lab, LogEntry, Make};
pub use process::{
    free_ports, is_running, package_dir, signal, target_dir, unique_name, wait_gone,
};
/// A port on 127.0.0.1 that is free now, and the caller's in this process from now on.
pub fn free_port() -> u16 {
    let [port] = process::free_ports();
    port
}

pub use proxy::{Metrics, Proxy};

/// How long a condition that must come true may take on a loaded machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds; panics with `what` when it does not within [`DEADLINE`].
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    eventually_some(what, || condition().then_some(()))
}

/// Waits until `look` finds something, and returns it; panics with `what` at [`DEADLINE`].
pub fn eventually_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        // The pause between two looks, not a wait for something to have happened.
        std::thread::sleep(Duration::from_millis(10));
    }
}
