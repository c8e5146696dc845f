//! The command line: arguments in, exit code out.
//!
//! One file a command: [`run`], [`check`] (and what it says of servers, [`connect`]), [`drain`] (and
//! undrain), [`status`], [`top`], [`explain`], [`generate`] (completions and manual pages). [`arguments`]: what they are told, and their help.
//!
//! Exit codes: 0 when it did what was asked, 2 for a command line or a configuration that is
//! wrong, 3 when `drain` gave up waiting, 1 for any other failure.

mod arguments;
mod check;
mod connect;
mod drain;
mod explain;
mod generate;
mod run;
mod status;
mod top;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use lagwise::admin::client::Running;
use lagwise::config::{Config, Secret};

use arguments::{Cli, Command, ConfigArgs};

/// Something that is not the user's doing went wrong.
const FAILURE: u8 = 1;
/// The command line or the configuration is wrong; clap uses the same code.
const USAGE: u8 = 2;
/// The time that was given is up.
const TIME_IS_UP: u8 = 3;

/// Does what the command line says.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(ConfigArgs { path }) => {
            with_config(&path, |config| run::run_proxy(config, &path))
        }
        Command::Check { config: ConfigArgs { path }, connect } => with_config(&path, |config| {
            check::check(&config, &path);
            if connect { connect::connect(&config) } else { ExitCode::SUCCESS }
        }),
        Command::Status { config, json } => {
            with_config(&config.path, |config| status::status(&config, json))
        }
        Command::Top(ConfigArgs { path }) => with_config(&path, top::top),
        Command::Drain { config, timeout, server } => with_config(&config.path, |config| {
            drain::drain(&config, &server, Some(Duration::from_secs(timeout)))
        }),
        Command::Undrain { config, server } => {
            with_config(&config.path, |config| drain::drain(&config, &server, None))
        }
        Command::Explain { config: ConfigArgs { path }, user, schema, statement } => {
            with_config(&path, |config| explain::explain(&config, &user, &schema, &statement))
        }
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { command } => generate::man(command.as_deref()),
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

/// Hands on how the running lagwise is reached.
fn with_running(config: &Config, command: impl FnOnce(&Running<'_>) -> ExitCode) -> ExitCode {
    let Some(http) = &config.http else {
        complain(
            "lagwise is asked over its HTTP endpoints, and the configuration has no http.listen",
        );
        return ExitCode::from(USAGE);
    };
    let token = http.token.as_ref().map(Secret::expose);
    command(&Running { http: http.listen, token })
}

/// Prints to standard output. Whoever stopped reading does not want to hear of it.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// Like [`say`], as it is.
fn print(bytes: &[u8]) {
    let _ = std::io::stdout().write_all(bytes);
}

/// Prints to standard error.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
