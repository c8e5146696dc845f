//! What is wrong with servers as `lagwise check --connect` has seen them. Pure.
//!
//! *Wrong* is what makes lagwise serve less, or promise less, than the configuration says; a *warning* is
//! what will do so on a bad day; a *note* is about the check itself.

use std::fmt;

use super::channels::ServerId;
use super::inspect::{Seen, Source};
use super::position::Flavor;
use super::probe::{Positions, privilege};
use crate::config::{Config, Role, ServerConfig};

use super::ask::LOG_PRIVILEGE;

/// From here on a clock's difference is worth a warning, in microseconds.
const MAX_CLOCK: u64 = 1_000_000;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The check fails.
    Wrong,
    /// It does not.
    Warning,
    /// Something that could not be looked at, and need not be.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Wrong => "wrong",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

/// One thing to know, in a sentence.
pub type Finding = (Severity, String);

/// The look at one server, or why there was none.
pub type Look = Result<Seen, String>;

/// All servers together.
pub struct Judge<'a> {
    config: &'a Config,
    looks: &'a [Look],
}

impl<'a> Judge<'a> {
    /// `looks`: one for each of the configuration's servers, in their order.
    pub fn new(config: &'a Config, looks: &'a [Look]) -> Judge<'a> {
        Judge { config, looks }
    }

    /// What is wrong with one server; none beyond the last.
    pub fn of_server(&self, index: usize) -> Vec<Finding> {
        let Some((config, look)) = self.config.servers.get(index).zip(self.looks.get(index)) else {
            return Vec::new();
        };
        let seen = match look {
            Ok(seen) => seen,
            Err(reason) => return vec![(Severity::Wrong, reason.clone())],
        };
        let mut found = Vec::new();
        let is_primary = match config.candidate {
            true => may_be_primary(seen),
            false => config.role == Role::Primary,
        };
        self.identity(index, seen, &mut found);
        if is_primary {
            self.primary(config, seen, &mut found);
        } else {
            self.replica(seen, &mut found);
        }
        self.gtids(seen, &mut found);
        self.settings(config, seen, &mut found);
        found
    }

    /// What is wrong with all of them together.
    pub fn of_all(&self) -> Vec<Finding> {
        let servers = self.config.servers.iter().zip(self.looks);
        let candidates: Vec<_> = servers.filter(|(config, _)| config.candidate).collect();
        let is_it = |look: &Look| look.as_ref().is_ok_and(may_be_primary);
        let primaries: Vec<&str> = candidates
            .iter()
            .filter(|(_, look)| is_it(look))
            .map(|(config, _)| config.name.as_str())
            .collect();
        match primaries.len() {
            _ if candidates.is_empty() => Vec::new(),
            0 => vec![(Severity::Wrong, "no server is writable: there is no primary".to_owned())],
            1 => Vec::new(),
            _ => {
                let names = primaries.join(", ");
                let text = format!(
                    "several servers are writable, and only one can be the primary: {names}"
                );
                vec![(Severity::Wrong, text)]
            }
        }
    }

    fn ids(&self) -> impl Iterator<Item = (usize, ServerId)> {
        let id = |(index, look): (usize, &Look)| Some((index, look.as_ref().ok()?.state.id?));
        self.looks.iter().enumerate().filter_map(id)
    }

    fn identity(&self, index: usize, seen: &Seen, found: &mut Vec<Finding>) {
        let twin = self.ids().find(|(other, id)| *other != index && Some(*id) == seen.state.id);
        if let Some(twin) = twin.and_then(|(other, _)| self.config.servers.get(other)) {
            let which = match seen.flavor {
                Flavor::MySql => "server_uuid",
                Flavor::MariaDb => "server_id",
            };
            let text = format!("it has the {which} of {}: each server needs its own", twin.name);
            found.push((Severity::Wrong, text));
        }
        let (least, name) = match seen.flavor {
            Flavor::MySql => (80_000, "MySQL 8.0"),
            Flavor::MariaDb => (100_500, "MariaDB 10.5"),
        };
        if seen.version_number < least {
            found.push((Severity::Warning, format!("lagwise is made for {name} and later")));
        }
        if seen.clock.is_some_and(|clock| clock.unsigned_abs() >= MAX_CLOCK) {
            let text =
                "its clock differs from this host's: NOW() depends on the server that runs it";
            found.push((Severity::Warning, text.to_owned()));
        }
    }

    fn primary(&self, config: &ServerConfig, seen: &Seen, found: &mut Vec<Finding>) {
        if seen.is_writable() == Some(false) {
            found.push((Severity::Wrong, "it is the primary, and read_only is on".to_owned()));
        }
        let feeds = self.config.servers.len() > 1;
        if feeds && seen.is_on(&["log_bin"]) == Some(false) {
            let text = "log_bin is off on the primary: nothing replicates";
            found.push((Severity::Wrong, text.to_owned()));
        }
        if self.config.consistency.monotonic_reads && feeds && seen.lacks.contains(LOG_PRIVILEGE) {
            let text = "the monitor's account may not ask what the primary has sent to replicas, so that \
                        a session may for a moment read less there than it has read on a replica";
            found.push((Severity::Wrong, format!("{text}; {}", grant(LOG_PRIVILEGE, seen))));
        }
        if !config.candidate && seen.sources.as_ref().is_some_and(|sources| !sources.is_empty()) {
            let text = "it is the primary by configuration, and replicates from another server";
            found.push((Severity::Warning, text.to_owned()));
        }
    }

    fn replica(&self, seen: &Seen, found: &mut Vec<Finding>) {
        if seen.is_writable() == Some(true) {
            let text = "it is a replica, and writable: set read_only = ON";
            found.push((Severity::Warning, text.to_owned()));
        } else if seen.is_on(&["super_read_only"]) == Some(false) {
            let text =
                "super_read_only is off: accounts with CONNECTION_ADMIN may write to this replica";
            found.push((Severity::Warning, text.to_owned()));
        }
        let workers = seen.variable(&["replica_parallel_workers", "slave_parallel_workers"]);
        let several = workers.and_then(|workers| workers.parse::<u32>().ok());
        let ordered = seen.is_on(&["replica_preserve_commit_order", "slave_preserve_commit_order"]);
        if seen.flavor == Flavor::MySql
            && several.is_some_and(|count| count > 1)
            && ordered == Some(false)
        {
            let text = "replica_preserve_commit_order is off: reads may see a later write without an \
                        earlier one";
            found.push((Severity::Warning, text.to_owned()));
        }
        match seen.sources.as_deref() {
            None => {
                if seen.lacks.contains(privilege(seen.flavor)) {
                    let grant = grant(privilege(seen.flavor), seen);
                    found.push((Severity::Note, format!("its replication is not shown; {grant}")));
                }
            }
            Some([]) => {
                let text = "it replicates from nobody, which is right in a replication group only";
                found.push((Severity::Warning, text.to_owned()));
            }
            Some(sources) => sources.iter().for_each(|source| self.source(source, found)),
        }
    }

    fn source(&self, source: &Source, found: &mut Vec<Finding>) {
        let Source { channel, address, receiver, applier, errors } = source;
        for (name, state, error) in
            [("receiver", receiver, errors[0]), ("applier", applier, errors[1])]
        {
            if state != "Yes" {
                let is = if state == "Connecting" { "cannot connect" } else { "does not run" };
                let mut text = format!("replication from {address}: the {name} {is}");
                if error != 0 {
                    text.push_str(&format!(" (error {error}; the server's log has more)"));
                }
                found.push((Severity::Wrong, text));
            }
        }
        let all_known = self.looks.iter().all(Result::is_ok);
        let is_ours = self.ids().any(|(_, id)| Some(id) == channel.source);
        if all_known && channel.source.is_some() && !is_ours {
            let text = format!("its source, {address}, is none of these servers");
            found.push((Severity::Warning, text));
        }
    }

    fn gtids(&self, seen: &Seen, found: &mut Vec<Finding>) {
        match &seen.state.positions {
            Positions::NoGtids if self.config.servers.len() > 1 => {
                let mode = seen.variable(&["gtid_mode"]).unwrap_or("off");
                let text = format!(
                    "gtid_mode is {mode}: only replicas whose source is the primary itself can be \
                     compared with it; better gtid_mode = ON and enforce_gtid_consistency = ON"
                );
                found.push((Severity::Warning, text));
                let needed = privilege(seen.flavor);
                if seen.lacks.contains(needed) {
                    let grant = grant(needed, seen);
                    let text = "without GTIDs the monitor's account must ask for the binary log, and \
                                may not: replicas get no reads";
                    found.retain(|(severity, _)| *severity != Severity::Note);
                    found.push((Severity::Wrong, format!("{text}; {grant}")));
                }
            }
            Positions::Missing(reason) => {
                found.push((Severity::Wrong, format!("it tells no position: {reason}")));
            }
            _ => {}
        }
    }

    fn settings(&self, config: &ServerConfig, seen: &Seen, found: &mut Vec<Finding>) {
        if seen.variable(&["binlog_format"]) == Some("STATEMENT") {
            let text = "binlog_format is STATEMENT: replicas may come to hold other rows";
            found.push((Severity::Warning, text.to_owned()));
        }
        let logs = seen.is_on(&["log_replica_updates", "log_slave_updates"]);
        if config.candidate && logs == Some(false) {
            let text =
                "log_replica_updates is off: replicas cannot follow it once it is the primary";
            found.push((Severity::Warning, text.to_owned()));
        }
        let own = seen.variable(&["max_connections"]).and_then(|own| own.parse::<u64>().ok());
        if let Some(own) = own.filter(|own| config.max_connections as u64 >= *own) {
            let text = format!(
                "max_connections is {} here and {own} on the server: leave some to others",
                config.max_connections
            );
            found.push((Severity::Warning, text));
        }
    }
}

/// Whether it is taken for the primary where the servers themselves say who it is: a writable replica is
/// not, as long as it replicates.
fn may_be_primary(seen: &Seen) -> bool {
    let replicates = seen.sources.as_ref().is_some_and(|sources| !sources.is_empty());
    seen.is_writable() == Some(true) && !replicates
}

/// The statement that mends it. Replication brings a grant to the replicas, which take none themselves.
fn grant(privilege: &str, seen: &Seen) -> String {
    format!("run on the primary: GRANT {privilege} ON *.* TO {};", seen.account)
}
