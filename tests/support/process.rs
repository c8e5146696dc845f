//! Processes: signals by the `kill` program (the package forbids `unsafe`), and folders.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::eventually;

/// The cargo target folder; everything that tests write is below it.
pub fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_path_buf()
}

/// The root of the package.
pub fn package_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A name that no other test of this or another running process uses.
pub fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Ports on 127.0.0.1 that are free now, no two of them the same. Each is the caller's in this process
/// from now on: a port that is let go before its server has it would be given out again.
pub fn free_ports<const N: usize>() -> [u16; N] {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut taken = TAKEN.lock().unwrap();
    // Held until all are chosen, so that the next one is another.
    let mut listeners = Vec::new();
    std::array::from_fn(|_| {
        loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            listeners.push(listener);
            if taken.insert(port) {
                return port;
            }
        }
    })
}

/// Sends a signal, by name without `SIG`.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .expect("run kill");
    assert!(status.success(), "process {pid} took no SIG{name}: it has ended");
}

/// Whether a process runs; one that has ended and waits to be collected does not.
pub fn is_running(pid: u32) -> bool {
    state(Path::new(&format!("/proc/{pid}"))).is_some_and(|state| state != 'Z')
}

/// Whether SIGSTOP has come into force in every thread of a process.
pub fn is_stopped(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process exists");
    // One that has ended meanwhile has no state.
    tasks.flatten().all(|task| state(&task.path()).is_none_or(|state| state == 'T'))
}

/// The state of a process or thread, as `/proc` has it.
fn state(folder: &Path) -> Option<char> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// Waits until a process has ended.
pub fn wait_gone(pid: u32) {
    eventually(&format!("process {pid} ends"), || !is_running(pid));
}
