//! The usual `process_*` metrics, read from `/proc/self`.
//!
//! Small enough not to be worth a dependency; what cannot be read is left out of the scrape.

use std::fs;

/// The unit of CPU times in `/proc/self/stat`: `USER_HZ` is 100 on every Linux that Rust's
/// standard library supports, whatever the kernel's own tick is (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// One reading; `None` where the kernel gave no such value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ProcessSample {
    pub cpu_seconds: Option<f64>,
    pub resident_bytes: Option<f64>,
    pub virtual_bytes: Option<f64>,
    pub threads: Option<f64>,
    pub open_fds: Option<f64>,
    pub max_fds: Option<f64>,
}

impl ProcessSample {
    /// Reads the running process. Costs time linear in its open descriptors.
    pub(super) fn read() -> Self {
        let text = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let mut sample =
            parse(&text("/proc/self/stat"), &text("/proc/self/status"), &text("/proc/self/limits"));
        // The directory handle of this very reading is one of the entries.
        sample.open_fds = fs::read_dir("/proc/self/fd")
            .ok()
            .map(|entries| (entries.count() as f64 - 1.0).max(0.0));
        sample
    }
}

/// Picks the values out of the three texts (proc(5)).
fn parse(stat: &str, status: &str, limits: &str) -> ProcessSample {
    let field = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let kib = |value: f64| value * 1024.0;
    ProcessSample {
        cpu_seconds: cpu_seconds(stat),
        resident_bytes: field("VmRSS").map(kib),
        virtual_bytes: field("VmSize").map(kib),
        threads: field("Threads"),
        open_fds: None,
        max_fds: max_fds(limits),
    }
}

/// utime and stime are fields 14 and 15. The second field, the command's name in parentheses, may
/// hold spaces and parentheses, so counting starts behind the last one.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn max_fds(limits: &str) -> Option<f64> {
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_whitespace()
        .next()?;
    if soft == "unlimited" { Some(f64::INFINITY) } else { soft.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_a_process_whose_name_looks_like_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 100 1 1";
        let status = "Name:\ta\nVmSize:\t  2000 kB\nVmRSS:\t  1000 kB\nThreads:\t9\n";
        let limits = "Limit  Soft Limit  Hard Limit  Units\n\
                      Max open files            1024                 4096                 files\n";
        assert_eq!(
            parse(stat, status, limits),
            ProcessSample {
                cpu_seconds: Some(3.0),
                resident_bytes: Some(1_024_000.0),
                virtual_bytes: Some(2_048_000.0),
                threads: Some(9.0),
                open_fds: None,
                max_fds: Some(1024.0),
            }
        );
    }

    #[test]
    fn what_is_missing_or_broken_is_none() {
        for text in ["", "(", ")", "7 (x) S 1", "Max open files", "VmRSS:", "VmRSS: x kB"] {
            assert_eq!(parse(text, text, text), ProcessSample::default(), "{text:?}");
        }
        let unlimited = "Max open files            unlimited            unlimited            files";
        assert_eq!(max_fds(unlimited), Some(f64::INFINITY));
    }

    #[test]
    fn reads_this_process() {
        let sample = ProcessSample::read();
        assert!(sample.resident_bytes.is_some_and(|bytes| bytes > 100_000.0));
        assert!(sample.open_fds.is_some_and(|count| count >= 3.0));
        assert!(sample.max_fds.is_some_and(|count| count >= 16.0));
        assert!(sample.threads.is_some_and(|count| count >= 1.0));
        assert!(sample.cpu_seconds.is_some());
    }
}
