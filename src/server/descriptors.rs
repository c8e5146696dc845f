//! How many files the process may have open. Each client is one, and each connection to a server.
//!
//! Shells and container runtimes often allow 1 024 and let a process ask for more, which most have to be
//! told to do. So lagwise asks for what its configuration may need, and says so in the log where that is
//! not to be had: otherwise it would show only on the day when all the clients come.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// For listeners, the log, the monitors' connections and those that KILL.
const BESIDES: u64 = 100;

/// Sees to it that the process may open as many files as the configuration may need, or warns.
pub fn allow(config: &Config) {
    let needed = needed(config);
    let limit = getrlimit(Resource::Nofile);
    let Some(wanted) = raised(limit, needed) else { return };
    let raised = setrlimit(Resource::Nofile, wanted);
    let allowed = raised.map_or(limit.current, |()| wanted.current);
    if allowed.is_some_and(|allowed| allowed < needed) {
        tracing::warn!(
            allowed,
            needed,
            "the process may open too few files for max_clients and the servers' max_connections: raise its \
             limit (LimitNOFILE=, ulimit -n), or lower these"
        );
    }
}

/// The clients, the connections to each server, and some.
fn needed(config: &Config) -> u64 {
    let servers = config.servers.iter().map(|server| server.max_connections as u64);
    config.max_clients as u64 + servers.sum::<u64>() + BESIDES
}

/// The limit to ask for; `None` if this one will do.
fn raised(limit: Rlimit, needed: u64) -> Option<Rlimit> {
    if limit.current.is_none_or(|current| current >= needed) {
        return None;
    }
    let current = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    Some(Rlimit { current: Some(current), maximum: limit.maximum })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let check = |current, maximum, want| {
            let found = raised(Rlimit { current, maximum }, 5000);
            assert_eq!(found.map(|limit| (limit.current, limit.maximum)), want);
        };
        check(Some(1024), Some(4096), Some((Some(4096), Some(4096))));
        check(Some(1024), Some(524_288), Some((Some(5000), Some(524_288))));
        check(Some(1024), None, Some((Some(5000), None)));
        check(Some(5000), Some(5000), None);
        check(None, None, None);
    }
}
