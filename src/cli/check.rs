//! `lagwise check`: what a good configuration comes to, and what about it may be meant otherwise.

use std::fmt::Write as _;
use std::path::Path;

use lagwise::config::{Config, ServerConfig};

use super::{complain, say};

/// Warns of what is allowed and dubious, and shows the configuration.
pub(super) fn check(config: &Config, path: &Path) {
    for exposed in config.exposed_secret_files() {
        let name = exposed.display();
        complain(&format!(
            "warning: {name} holds a secret and every user may read it; chmod o-r {name}"
        ));
    }
    if config.http.as_ref().is_some_and(lagwise::config::HttpConfig::is_open) {
        complain(
            "warning: other hosts may reach [http] and need no token: whoever does sees users and \
             addresses",
        );
    }
    if config.replicas().next().is_none() {
        complain("warning: there are no replicas: every read goes to the primary");
    } else if !config.has_replica(None) {
        complain(
            "warning: every replica has tags: reads that ask for none of them go to the primary",
        );
    }
    if let Some(zone) = &config.routing.zone
        && config.replicas().all(|replica| replica.zone.as_ref() != Some(zone))
    {
        complain(&format!("warning: no replica is in lagwise's own zone, {zone} (routing.zone)"));
    }
    say(&summary(config, path));
}

/// The topology as a person would want to see it confirmed.
fn summary(config: &Config, path: &Path) -> String {
    let mut text = format!("{} is good.\n", path.display());
    let mut line = |label: &str, value: &dyn std::fmt::Display| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{label:<8} {value}");
    };
    for address in &config.listen {
        line("listen", address);
    }
    for server in &config.servers {
        line(server.role_word(), &describe(server));
    }
    for rule in &config.rules {
        line("rule", &format_args!("{}: {}", rule.name, rule.describe()));
    }
    line("monitor", &config.monitor.user);
    match &config.http {
        Some(http) => line("http", &http.listen),
        None => line("http", &"off"),
    }
    text
}

/// A server in one line, with what is out of the ordinary about it.
fn describe(server: &ServerConfig) -> String {
    let plain = ServerConfig::new(server.address.clone(), server.role);
    let mut text = server.name.clone();
    // Writing to a String cannot fail.
    if server.name != plain.name {
        let _ = write!(text, " at {}", server.address);
    }
    if server.weight != plain.weight {
        let _ = write!(text, ", weight {}", server.weight);
    }
    if let Some(zone) = &server.zone {
        let _ = write!(text, ", zone {zone}");
    }
    if !server.tags.is_empty() {
        let _ = write!(text, ", only for {}", server.tags.join(" "));
    }
    if server.max_connections != plain.max_connections {
        let _ = write!(text, ", at most {} connections", server.max_connections);
    }
    if server.drained {
        text.push_str(", drained");
    }
    let _ = write!(text, ", TLS {}", server.tls.mode);
    text
}
