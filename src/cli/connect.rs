//! `lagwise check --connect`: what the servers say.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use lagwise::cluster::findings::{Finding, Judge, Look, Severity};
use lagwise::cluster::inspect::{Seen, inspect};
use lagwise::cluster::{Flavor, Server, Settings};
use lagwise::config::{Config, ServerConfig};
use lagwise::server::build;

use super::{FAILURE, USAGE, complain, say};

/// What is shown of a server's settings, in this order, each by its newest name.
const SHOWN: [&[&str]; 8] = [
    &["read_only"],
    &["super_read_only"],
    &["gtid_mode"],
    &["enforce_gtid_consistency"],
    &["gtid_strict_mode"],
    &["log_bin"],
    &["binlog_format"],
    &["log_replica_updates", "log_slave_updates"],
];

/// Looks at every server, all at once, and says what it finds.
pub(super) fn connect(config: &Config) -> ExitCode {
    let servers = match build::servers(config) {
        Ok(servers) => servers,
        Err(error) => {
            complain(&format!("lagwise: {error}"));
            return ExitCode::from(USAGE);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("lagwise: {error}"));
            return ExitCode::from(FAILURE);
        }
    };
    let looks = runtime.block_on(look_at(servers, Settings::of(config)));
    let judge = Judge::new(config, &looks);
    let mut text = String::from("\n");
    let mut all = Vec::new();
    for (index, (server, look)) in config.servers.iter().zip(&looks).enumerate() {
        describe(&mut text, server, look);
        let found = judge.of_server(index);
        append(&mut text, "  ", &found);
        all.extend(found);
    }
    let found = judge.of_all();
    append(&mut text, "", &found);
    all.extend(found);
    let count = |wanted| all.iter().filter(|(severity, _)| *severity == wanted).count();
    let (wrong, warnings) = (count(Severity::Wrong), count(Severity::Warning));
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{wrong} wrong, {warnings} warnings");
    say(&text);
    if wrong > 0 { ExitCode::from(FAILURE) } else { ExitCode::SUCCESS }
}

/// One look at each, in their order.
async fn look_at(servers: Vec<Server>, settings: Settings) -> Vec<Look> {
    let settings = Arc::new(settings);
    let look = |server: Server| {
        let settings = Arc::clone(&settings);
        tokio::spawn(async move { inspect(&server, &settings).await })
    };
    let running: Vec<_> = servers.into_iter().map(look).collect();
    let mut looks = Vec::new();
    for one in running {
        looks.push(one.await.unwrap_or_else(|error| Err(error.to_string())));
    }
    looks
}

/// A server's name, and what it said of itself.
fn describe(text: &mut String, server: &ServerConfig, look: &Look) {
    let role = if server.candidate { "server" } else { server.role_word() };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{role} {}", server.name);
    let Ok(seen) = look else { return };
    let make = match seen.flavor {
        Flavor::MySql => "MySQL",
        Flavor::MariaDb => "MariaDB",
    };
    let took = seen.took.as_secs_f64() * 1e3;
    let _ = writeln!(text, "  {make} {}, logged in within {took:.1} ms", seen.version);
    let settings: Vec<String> = SHOWN.iter().filter_map(|names| setting(seen, names)).collect();
    let _ = writeln!(text, "  {}", settings.join(", "));
    if let Some(clock) = seen.clock {
        let _ = writeln!(text, "  clock {:+} ms", clock / 1000);
    }
    for source in seen.sources.iter().flatten() {
        let _ = write!(
            text,
            "  replicates from {}: receiver {}, applier {}",
            source.address, source.receiver, source.applier
        );
        if let Some(behind) = source.channel.behind {
            let _ = write!(text, ", {} s behind", behind.as_secs());
        }
        text.push('\n');
    }
}

fn setting(seen: &Seen, names: &[&str]) -> Option<String> {
    let value = seen.variable(names)?;
    Some(format!("{} {value}", names.first()?))
}

fn append(text: &mut String, indent: &str, found: &[Finding]) {
    for (severity, sentence) in found {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{indent}{severity}: {sentence}");
    }
}
