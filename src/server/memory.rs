//! Keeping lagwise's memory, which holds passwords, out of core dumps.
//!
//! The limit of size is for dumps that the kernel writes to a file. One that it hands to a program
//! (systemd-coredump, apport) goes by no limit; so what goes into a dump is set to nothing besides.
//! Deliberately absent: PR_SET_DUMPABLE, which also takes `/proc/self/fd` from lagwise's own metrics.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// No mappings at all. See core(5).
const FILTER: &str = "/proc/self/coredump_filter";

/// Lets no core dump hold anything of this process's memory.
///
/// # Errors
/// The system refuses one of the two; the other is done.
pub fn forbid_core_dumps() -> io::Result<()> {
    let maximum = getrlimit(Resource::Core).maximum;
    let limit = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
    std::fs::write(FILTER, "0")?;
    Ok(limit?)
}
