//! `lagwise run`: serves clients.

use std::path::Path;
use std::process::ExitCode;

use lagwise::config::Config;

use super::{FAILURE, complain};

/// Serves clients until a signal ends it.
pub(super) fn run_proxy(config: Config, path: &Path) -> ExitCode {
    match lagwise::server::run(config, path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("lagwise: {error}"));
            ExitCode::from(FAILURE)
        }
    }
}
