//! `lagwise explain`: where a statement would run, and why.

use std::process::ExitCode;

use lagwise::config::Config;

use super::say;

/// Says where a statement of this user in this schema would run.
pub(super) fn explain(config: &Config, user: &str, schema: &str, statement: &str) -> ExitCode {
    say(&lagwise::server::explain(config, user, schema, statement));
    ExitCode::SUCCESS
}
