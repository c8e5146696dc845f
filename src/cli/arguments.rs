//! What the command line may say, and the help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// A read/write-splitting proxy for MySQL and MariaDB that never serves a stale read of your own
/// write.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 success, 1 failure, 2 wrong command line or configuration, 3 time is up (drain).
Signals to a running lagwise: SIGHUP reads the configuration again, SIGUSR2 has a new process of
the program take over without an outage, SIGTERM ends it once running work is done.";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Serve clients until SIGTERM.
    Run(ConfigArgs),
    /// Validate the configuration, and show what it comes to; connects to nothing, unless asked to.
    ///
    /// Every error is shown, with its line, its key and what is allowed.
    Check {
        #[command(flatten)]
        config: ConfigArgs,
        /// Log in at every server with the monitor's account, too, and look whether it is as lagwise needs
        /// it: exit code 1 if something is wrong. Warnings do not count.
        #[arg(long)]
        connect: bool,
    },
    /// Show how the running lagwise is, and its servers, on one screen.
    ///
    /// It is asked at http.listen of the configuration. Exit code 0 if it answers, ready or not.
    Status {
        #[command(flatten)]
        config: ConfigArgs,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the running lagwise live, until q is pressed.
    ///
    /// Servers and their lag, statements per second, what waits, what holds connections, and the statements
    /// that take the most time; asked every two seconds at http.listen of the configuration.
    Top(ConfigArgs),
    /// Take a server out for maintenance, and wait until nothing uses it.
    ///
    /// A replica gets no new work; what runs there ends or moves on at its next statement, and nothing is
    /// ended by force. The command asks the running lagwise, at http.listen of the configuration. It lasts
    /// until `undrain`, also over a reload or an upgrade, and ends with a restart.
    ///
    /// At the primary, before another server takes over: transactions that are open go on to their end, and
    /// whatever would begin to write waits, unsent. Once another server is the primary, the drained one gets
    /// no work as a replica. If it stays writable, it is put back after half of routing.primary_wait, or
    /// when the time is up, so that no statement fails by it.
    Drain {
        #[command(flatten)]
        config: ConfigArgs,
        /// Seconds until it gives up waiting, with exit code 3; a replica stays drained.
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
    /// Print what a shell reads to complete this command line.
    Completions {
        /// The shell.
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the manual page, or that of one command; `lagwise man | man -l -` shows it.
    Man {
        /// The command.
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
    },
}

#[derive(Args)]
pub(super) struct ConfigArgs {
    /// The configuration file; proxy.toml.example describes all its keys.
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        default_value = "/etc/lagwise/proxy.toml"
    )]
    pub(super) path: PathBuf,
}
