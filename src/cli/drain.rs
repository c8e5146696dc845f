//! `lagwise drain` and `lagwise undrain`: a server is taken out for maintenance, and put back.

use std::process::ExitCode;
use std::time::Duration;

use lagwise::admin::client::{CommandError, Free, Running};
use lagwise::config::Config;

use super::{FAILURE, TIME_IS_UP, complain, say, with_running};

/// Asks the running lagwise to take a server out and waits so long until it is free, or, without a time,
/// to put it back.
pub(super) fn drain(config: &Config, server: &str, limit: Option<Duration>) -> ExitCode {
    with_running(config, |running| drain_there(running, server, limit))
}

fn drain_there(running: &Running<'_>, server: &str, limit: Option<Duration>) -> ExitCode {
    let done = match limit {
        Some(limit) => running.drain(server, limit, complain).map(Some),
        None => running.undrain(server).map(|()| None),
    };
    let is = match done {
        Ok(None) => "in use again.".to_owned(),
        Ok(Some(Free::Replica)) => "drained: nothing uses it.".to_owned(),
        Ok(Some(Free::Primary { lost })) => of_the_primary(&lost),
        Err(error) => {
            complain(&format!("lagwise: {error}"));
            return ExitCode::from(match error {
                CommandError::InUse(..) | CommandError::InUseAgain(..) => TIME_IS_UP,
                CommandError::Unreachable(..) | CommandError::Refused(_) => FAILURE,
            });
        }
    };
    say(&format!("{server} is {is}"));
    ExitCode::SUCCESS
}

fn of_the_primary(lost: &str) -> String {
    let mut text = "drained: nothing is open there, and what would begin to write waits, for half of \
         routing.primary_wait while the server stays writable. Make another one the primary now, or \
         undrain it."
        .to_owned();
    if !lost.is_empty() {
        text.push_str(&format!(" Sessions will lose what they hold there: {lost}."));
    }
    text
}
