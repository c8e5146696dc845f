//! The `lagwise` command: arguments in, exit code out. Everything else is in the library.
//!
//! Exit codes: 0 when it did what was asked, 2 for a command line or a configuration that is
//! wrong, 1 for any other failure.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use lagwise::admin::client::Running;
use lagwise::config::{Config, Secret, ServerConfig};
use lagwise::route::{Kept, Rule, SessionFacts, Target, is_server_schema};
use lagwise::session::TextPrepared;
use lagwise::sql::{Flags, LexMode, Make, Statement, TextPrepare, classify, text_prepare};

/// Something that is not the user's doing went wrong.
const FAILURE: u8 = 1;
/// The command line or the configuration is wrong; clap uses the same code.
const USAGE: u8 = 2;

/// A read/write-splitting proxy for MySQL and MariaDB that never serves a stale read of your own
/// write.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 success, 1 failure, 2 wrong command line or configuration.
Signals to a running lagwise: SIGHUP reads the configuration again, SIGUSR2 has a new process of
the program take over without an outage, SIGTERM ends it once running work is done.";

#[derive(Subcommand)]
enum Command {
    /// Serve clients until SIGTERM.
    Run(ConfigArgs),
    /// Validate the configuration, and show what it comes to; connects to nothing.
    ///
    /// Every error is shown, with its line, its key and what is allowed.
    Check(ConfigArgs),
    /// Take a replica out for maintenance, and wait until nothing uses it.
    ///
    /// It gets no new work; what runs there ends or moves on at its next statement, and nothing is ended by
    /// force. The command asks the running lagwise, at http.listen of the configuration. It lasts until
    /// `undrain`, also over a reload or an upgrade, and ends with a restart.
    Drain {
        #[command(flatten)]
        config: ConfigArgs,
        /// Seconds until it gives up waiting; the server stays drained.
        #[arg(short, long, value_name = "SECONDS", default_value_t = 300)]
        timeout: u64,
        /// The server's name, or its address if it has none.
        #[arg(value_name = "SERVER")]
        server: String,
    },
    /// Put a drained server back.
    Undrain {
        #[command(flatten)]
        config: ConfigArgs,
        /// The server's name, or its address if it has none.
        #[arg(value_name = "SERVER")]
        server: String,
    },
    /// Tell where a statement would run, and why; connects to nothing.
    ///
    /// The answer is that for a new session, which has written nothing and is in no transaction.
    Explain {
        #[command(flatten)]
        config: ConfigArgs,
        /// The user who runs it, for rules that name one.
        #[arg(short, long, value_name = "USER", default_value = "")]
        user: String,
        /// The default schema, for rules that name one.
        #[arg(short, long, value_name = "SCHEMA", default_value = "")]
        schema: String,
        /// The statement.
        #[arg(value_name = "SQL")]
        statement: String,
    },
}

#[derive(Args)]
struct ConfigArgs {
    /// The configuration file; proxy.toml.example describes all its keys.
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        default_value = "/etc/lagwise/proxy.toml"
    )]
    path: PathBuf,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(ConfigArgs { path }) => with_config(&path, |config| run_proxy(config, &path)),
        Command::Check(ConfigArgs { path }) => with_config(&path, |config| check(&config, &path)),
        Command::Drain { config, timeout, server } => with_config(&config.path, |config| {
            drain(&config, &server, Some(Duration::from_secs(timeout)))
        }),
        Command::Undrain { config, server } => {
            with_config(&config.path, |config| drain(&config, &server, None))
        }
        Command::Explain { config: ConfigArgs { path }, user, schema, statement } => {
            with_config(&path, |config| {
                say(&explanation(&config, &user, &schema, &statement));
                ExitCode::SUCCESS
            })
        }
    }
}

/// Loads the configuration for `command`, or says what is wrong with it.
fn with_config(path: &Path, command: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match Config::load(path) {
        Ok(config) => command(config),
        Err(errors) => {
            complain(&errors.to_string());
            ExitCode::from(USAGE)
        }
    }
}

/// Serves clients until a signal ends it.
fn run_proxy(config: Config, path: &Path) -> ExitCode {
    match lagwise::server::run(config, path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("lagwise: {error}"));
            ExitCode::from(FAILURE)
        }
    }
}

/// Asks the running lagwise to take a server out and waits so long until it is free, or, without a time,
/// to put it back.
fn drain(config: &Config, server: &str, limit: Option<Duration>) -> ExitCode {
    let Some(http) = &config.http else {
        complain(
            "lagwise is asked over its HTTP endpoints, and the configuration has no http.listen",
        );
        return ExitCode::from(USAGE);
    };
    let token = http.token.as_ref().map(Secret::expose);
    let running = Running { http: http.listen, token };
    let done = match limit {
        Some(limit) => running.drain(server, limit, complain),
        None => running.undrain(server),
    };
    match done {
        Ok(()) => {
            let is = if limit.is_some() { "drained: nothing uses it" } else { "in use again" };
            say(&format!("{server} is {is}."));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("lagwise: {error}"));
            ExitCode::from(FAILURE)
        }
    }
}

fn check(config: &Config, path: &Path) -> ExitCode {
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
    } else if !has_replica(config, None) {
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
    ExitCode::SUCCESS
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

/// What is known of a statement, and of each EXECUTE of one that PREPARE names.
fn explanation(config: &Config, user: &str, schema: &str, text: &str) -> String {
    let sql = text.as_bytes();
    // EXECUTE IMMEDIATE is MariaDB's alone.
    let makes = [Make::default(), Make::MariaDb].map(|make| LexMode::utf8(make, 0));
    let [mode, mariadb] = &makes;
    let is_immediate =
        |mode| matches!(text_prepare(sql, mode), Some(TextPrepare::Immediate { .. }));
    let mode = if is_immediate(mariadb) { mariadb } else { mode };
    let mut known = TextPrepared::default();
    let (statement, outcome) = known.judge(classify(sql, mode), Some(sql), mode);
    let meant = statement.flags.contains(Flags::TEXT_PREPARED).then(|| known.text(sql, mode));
    let meant = meant.flatten().unwrap_or(sql.into());
    let mut out = explained(config, user, schema, statement, (sql, &meant));
    known.note(outcome, true, mode, Arc::default);
    if let Some(TextPrepare::Prepare { name, .. }) = text_prepare(sql, mode) {
        let execute = [b"EXECUTE `", &name[..], b"`"].concat();
        let (statement, _) = known.judge(classify(&execute, mode), Some(&execute), mode);
        let meant = known.text(&execute, mode).unwrap_or(execute[..].into());
        out.push_str("\nEach EXECUTE of it:\n");
        out.push_str(&explained(config, user, schema, statement, (&execute, &meant)));
    }
    out
}

/// Target, reason, the rule that spoke, and a sentence, for a statement of a new session: with its text,
/// and that of what it executes. What only the server or the session knows is left at its default: the
/// version (so that versioned comments count as unclear), `sql_mode`, and that replicas are `read_only`
/// as they should be.
fn explained(
    config: &Config,
    user: &str,
    schema: &str,
    mut statement: Statement,
    (text, meant): (&[u8], &[u8]),
) -> String {
    let mode = LexMode::utf8(Make::default(), 0);
    let policy = lagwise::server::policy(config);
    let mut rules = policy.rules.of_user(user.as_bytes());
    let keeper = rules.keeper().map(|(index, _)| index);
    let found = keeper.or_else(|| rules.find(schema.as_bytes(), || Some(meant), &mode));
    let rule = found.and_then(|index| rules.get(index));
    let hint = statement.hint.filter(|_| policy.hints);
    let hinted = hint.and_then(|hint| hint.tag);
    let hinted = hinted.and_then(|tag| std::str::from_utf8(tag.of(text)).ok());
    let unknown = hinted.filter(|tag| !has_replica(config, Some(tag)));
    if unknown.is_some() {
        statement.hint = None;
    }
    let facts = SessionFacts {
        in_server_schema: is_server_schema(schema.as_bytes()),
        rule: rule.map(Rule::says).unwrap_or_default(),
        kept: keeper.map(|_| Kept { server_read_only: true }),
        ..SessionFacts::default()
    };
    let route = lagwise::route::decide(&statement, &facts, &policy);
    let tag = rule.and_then(|rule| rule.tag.as_deref()).or(hinted.filter(|_| unknown.is_none()));
    let mut out = format!("target  {}\n", route.target.as_str());
    // Writing to a String cannot fail.
    let _ = writeln!(out, "reason  {}", route.reason.as_str());
    if let Some(rule) = rule {
        let _ = writeln!(out, "rule    {}", rule.name);
    }
    if let Some(tag) = tag.filter(|_| route.target == Target::Replica) {
        let _ = writeln!(out, "tag     {tag}");
    }
    let _ = writeln!(out, "{}", route.reason.explain());
    if unknown.is_some() {
        out.push_str("Its hint is ignored: no replica has that tag.\n");
    }
    if route.target == Target::Replica && !has_replica(config, tag) {
        out.push_str(match (config.replicas().next(), keeper) {
            (_, Some(_)) => "There is no replica for it, so the client gets an error.\n",
            (None, None) => "There are no replicas, so the primary runs it.\n",
            (Some(_), None) => "Every replica has tags, so the primary runs it.\n",
        });
    }
    out
}

/// Whether a replica serves those who ask for `tag`, or, without one, those who ask for none.
fn has_replica(config: &Config, tag: Option<&str>) -> bool {
    config.replicas().any(|replica| match tag {
        Some(tag) => replica.tags.iter().any(|own| own == tag),
        None => replica.tags.is_empty(),
    })
}

/// Prints to standard output. Whoever stopped reading does not want to hear of it.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// Prints to standard error.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
