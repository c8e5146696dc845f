//! `lagwise drain` and `lagwise undrain`: a server is taken out for maintenance, and put back.

use std::process::ExitCode;
use std::time::Duration;

use lagwise::admin::client::{CommandError, Running};
use lagwise::config::Config;

use super::{FAILURE, TIME_IS_UP, complain, say, with_running};

/// Asks the running lagwise to take a server out and waits so long until it is free, or, without a time,
/// to put it back.
pub(super) fn drain(config: &Config, server: &str, limit: Option<Duration>) -> ExitCode {
    with_running(config, |running| drain_there(running, server, limit))
}

fn drain_there(running: &Running<'_>, server: &str, limit: Option<Duration>) -> ExitCode {
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
            ExitCode::from(match error {
                CommandError::InUse(..) => TIME_IS_UP,
                CommandError::Unreachable(..) | CommandError::Refused(_) => FAILURE,
            })
        }
    }
}
