//! What a reload changes: a pure comparison of two configurations.
//!
//! Servers are matched by name, so a server that gets another name is one removed and one added.

use std::fmt;

use super::entries::{Entries, Entry};
use super::{Config, ServerConfig};

/// Keys that a running lagwise cannot change: sockets that are bound once, the size of the
/// runtime, the shape of its log lines, the options of connections.
const RESTART_KEYS: [&str; 7] = [
    "listen",
    "worker_threads",
    "http.listen",
    "console.listen",
    "log.format",
    "pool.dead_after",
    "core_dumps",
];

/// The difference of two configurations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigDiff {
    /// In the new configuration only.
    pub servers_added: Vec<ServerConfig>,
    /// In the old configuration only.
    pub servers_removed: Vec<ServerConfig>,
    /// In both, but not the same.
    pub servers_changed: Vec<ServerChange>,
    /// Everything but servers.
    pub changed: Vec<KeyChange>,
    needs_restart: Vec<&'static str>,
}

/// A server that is in both configurations.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerChange {
    /// Its name.
    pub name: String,
    /// As it was.
    pub old: ServerConfig,
    /// As it is to be.
    pub new: ServerConfig,
    /// What differs; keys begin with `server.NAME.`.
    pub changed: Vec<KeyChange>,
}

/// One key whose value differs. Shown as `routing.max_lag: 10s -> 5s`; a secret shows only that
/// it changed.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyChange {
    /// Dotted name.
    pub key: String,
    /// What happened to it, never with a secret in it.
    pub change: String,
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.change)
    }
}

/// Compares two configurations.
pub fn diff(old: &Config, new: &Config) -> ConfigDiff {
    let by_name = |config: &Config, name: &str| {
        config.servers.iter().find(|server| server.name == name).cloned()
    };
    let mut diff = ConfigDiff {
        changed: compare("", &Entries::of_config(old), &Entries::of_config(new)),
        ..ConfigDiff::default()
    };
    for old_server in &old.servers {
        let Some(new_server) = by_name(new, &old_server.name) else {
            diff.servers_removed.push(old_server.clone());
            continue;
        };
        let prefix = format!("server.{}.", old_server.name);
        let entries = [old_server, &new_server].map(Entries::of_server);
        let changed = compare(&prefix, &entries[0], &entries[1]);
        if !changed.is_empty() {
            diff.servers_changed.push(ServerChange {
                name: old_server.name.clone(),
                old: old_server.clone(),
                new: new_server,
                changed,
            });
        }
    }
    let added = new.servers.iter().filter(|server| by_name(old, &server.name).is_none());
    diff.servers_added = added.cloned().collect();
    let restart = |key: &&&str| diff.changed.iter().any(|change| change.key == **key);
    diff.needs_restart = RESTART_KEYS.iter().filter(restart).copied().collect();
    diff
}

impl ConfigDiff {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.servers_added.is_empty()
            && self.servers_removed.is_empty()
            && self.servers_changed.is_empty()
            && self.changed.is_empty()
    }

    /// The changed keys that take effect only at the next start.
    pub fn needs_restart(&self) -> &[&'static str] {
        &self.needs_restart
    }

    /// One sentence for each difference, for the log; servers first.
    pub fn lines(&self) -> Vec<String> {
        let server = |server: &ServerConfig, what: &str| {
            let ServerConfig { name, address, .. } = server;
            let role = server.role_word();
            if *name == address.to_string() {
                format!("server {name} ({role}): {what}")
            } else {
                format!("server {name} ({role} at {address}): {what}")
            }
        };
        let added = self.servers_added.iter().map(|s| server(s, "added"));
        let removed = self.servers_removed.iter().map(|s| server(s, "removed"));
        let servers = self.servers_changed.iter().flat_map(|server| &server.changed);
        let keys = self.changed.iter().map(|change| {
            let restart = self.needs_restart.contains(&change.key.as_str());
            format!("{change}{}", if restart { " (after a restart)" } else { "" })
        });
        added.chain(removed).chain(servers.map(ToString::to_string)).chain(keys).collect()
    }
}

impl Config {
    /// This configuration with the keys that need a restart as they are in `running`: what a
    /// reload can really put in force. Comparing the next file with the outcome names those keys
    /// again until there was a restart.
    pub fn keeping_restart_keys(mut self, running: &Self) -> Self {
        self.listen.clone_from(&running.listen);
        self.worker_threads = running.worker_threads;
        self.core_dumps = running.core_dumps;
        self.http = match (self.http, &running.http) {
            (Some(next), Some(running)) => Some(next.after(running)),
            (_, running) => running.clone(),
        };
        self.console.listen.clone_from(&running.console.listen);
        self.log.format = running.log.format;
        self.pool.dead_after = running.pool.dead_after;
        self
    }
}

/// What differs between two lists of entries, in the order of the old one, then of the new one.
fn compare(prefix: &str, old: &Entries, new: &Entries) -> Vec<KeyChange> {
    let find = |entries: &Entries, key: &str| {
        let entry = entries.0.iter().find(|(name, _)| name == key);
        entry.map_or(Entry::Absent, |(_, entry)| entry.clone())
    };
    let change = |key: &str, old: &Entry, new: &Entry| {
        let change = describe(old, new)?;
        Some(KeyChange { key: format!("{prefix}{key}"), change })
    };
    let in_old = old.0.iter().filter_map(|(key, entry)| change(key, entry, &find(new, key)));
    let only_in_new = new.0.iter().filter(|(key, _)| !old.0.iter().any(|(name, _)| name == key));
    let in_new = only_in_new.filter_map(|(key, entry)| change(key, &Entry::Absent, entry));
    in_old.chain(in_new).collect()
}

fn describe(old: &Entry, new: &Entry) -> Option<String> {
    if old == new {
        return None;
    }
    let show = |entry: &Entry| match entry {
        Entry::Plain(text) => Some(text.clone()),
        Entry::File(file) => Some(file.path.display().to_string()),
        Entry::Secret(_) | Entry::Absent => None,
    };
    Some(match (show(old), show(new)) {
        (Some(old), Some(new)) if old == new => format!("{old} has new contents"),
        (Some(old), Some(new)) => format!("{old} -> {new}"),
        (Some(old), None) => format!("removed, was {old}"),
        (None, Some(new)) => format!("added, {new}"),
        (None, None) if *old == Entry::Absent => "added".to_owned(),
        (None, None) if *new == Entry::Absent => "removed".to_owned(),
        (None, None) => "changed".to_owned(),
    })
}
