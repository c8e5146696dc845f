//! `/* lagwise: trace */`: a client sees where its statement went, and why, in a warning of its own.
//!
//! The number of warnings that the response tells is one higher, and SHOW WARNINGS has one row more, the
//! last, until another statement is run. So a developer needs no other tool than the client at hand, and
//! a client that shows warnings by itself shows the route. A note of code 1003 is what EXPLAIN uses to tell
//! more (ER_YES, mysqld_error.h).
//!
//! Deliberately absent: `@@warning_count`, SHOW COUNT(*) WARNINGS and SHOW WARNINGS with a LIMIT, which
//! are the server's.

use std::fmt::Write;
use std::time::Duration;

use super::Session;
use super::context::Settings;
use super::effects::only_looks;
use super::job::Job;
use crate::metrics::Phases;
use crate::protocol::command::code;
use crate::protocol::response::ResponseKind;
use crate::protocol::writer;
use crate::route::Reason;
use crate::sql::StatementKind;

/// The level and the code of the row.
const LEVEL: &[u8] = b"Note";
const CODE: &[u8] = b"1003";

impl Session {
    /// A statement begins: what is known of the one before is of no interest any more, unless this one
    /// asks for it.
    pub(super) fn begin_trace(&mut self, job: &Job<'_>, settings: &Settings) {
        let hint = job.statement.hint.filter(|_| settings.policy.hints);
        self.running.traced =
            hint.is_some_and(|hint| hint.trace) && job.kind == ResponseKind::Results;
        if self.trace.is_some() && !only_looks(&job.statement) {
            self.trace = None;
        }
    }

    /// Keeps what SHOW WARNINGS is to say of the statement that has ended.
    #[cold]
    pub(super) fn keep_trace(&mut self, phases: &Phases) {
        let message =
            message(&self.server_name(), self.running.reason, self.running.attempts, phases);
        self.trace = Some(message.into());
    }

    /// lagwise has answered the statement from what it knows.
    pub(super) fn trace_answered(&mut self) {
        if self.running.traced {
            self.trace =
                Some("lagwise: no server was asked: it was answered from what is known".into());
        }
    }

    /// The row that ends the response to SHOW WARNINGS.
    pub(super) fn trace_row(&self, job: &Job<'_>) -> Option<Vec<u8>> {
        let message = self.trace.as_deref()?;
        let is_query = job.incoming.payload().first() == Some(&code::QUERY);
        let asks = job.statement.kind == StatementKind::ShowDiagnostics
            && is_query
            && is_show_warnings(self.text_of(job).unwrap_or_default());
        asks.then(|| row(message))
    }
}

fn message(server: &str, reason: Option<Reason>, attempts: u8, phases: &Phases) -> String {
    let mut text = match server {
        "" => "lagwise: no server".to_owned(),
        name => format!("lagwise: server {name}"),
    };
    if let Some(reason) = reason {
        let _ = write!(text, ", reason {}: {}", reason.as_str(), reason.explain());
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let Phases { wait, queue, sync, server, first_byte, total } = phases;
    for (name, time) in [
        ("wait", wait),
        ("queue", queue),
        ("sync", sync),
        ("server", server),
        ("first byte", first_byte),
        ("total", total),
    ] {
        let _ = write!(text, " {name} {:.3} ms,", ms(*time));
    }
    let _ = write!(text, " attempts {attempts}");
    text
}

/// A row of text as SHOW WARNINGS has them: Level, Code, Message.
fn row(message: &str) -> Vec<u8> {
    let mut row = Vec::with_capacity(message.len() + 20);
    for field in [LEVEL, CODE, message.as_bytes()] {
        writer::lenenc_bytes(&mut row, field);
    }
    row
}

/// Whether this asks for all warnings, and in no other words.
fn is_show_warnings(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let text = text.strip_suffix(b";").unwrap_or(text);
    let mut words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut next = |want: &[u8]| words.next().is_some_and(|word| word.eq_ignore_ascii_case(want));
    next(b"show") && next(b"warnings") && words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_all_warnings() {
        for (text, want) in [
            ("SHOW WARNINGS", true),
            (" show\n\twarnings ; ", true),
            ("SHOW WARNINGS LIMIT 1", false),
            ("SHOW COUNT(*) WARNINGS", false),
            ("SHOW ERRORS", false),
            ("SHOWWARNINGS", false),
            ("", false),
        ] {
            assert_eq!(is_show_warnings(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn what_is_told() {
        let ms = Duration::from_millis;
        let phases = Phases {
            wait: ms(0),
            queue: ms(1),
            sync: ms(2),
            server: ms(30),
            first_byte: ms(33),
            total: ms(34),
        };
        assert_eq!(
            message("db-2", Some(Reason::Read), 1, &phases),
            "lagwise: server db-2, reason read: A read that any replica answers as the primary would. \
             wait 0.000 ms, queue 1.000 ms, sync 2.000 ms, server 30.000 ms, first byte 33.000 ms, \
             total 34.000 ms, attempts 1"
        );
        assert!(message("", None, 0, &phases).starts_with("lagwise: no server wait "));
        assert_eq!(row("x"), b"\x04Note\x041003\x01x");
    }
}
