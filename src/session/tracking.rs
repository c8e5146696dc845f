//! Who sees that lagwise tracks the session: nobody.
//!
//! The session_track_… variables on the primary's connection are lagwise's. A client that sets them
//! gets them for itself; one that only looks at them is shown the server's defaults, as on a direct
//! connection: the trackers are off while the statement runs.
//!
//! Deliberately absent: statements that look at them from within a routine or a text PREPARE.

use super::Session;
use super::job::Job;
use crate::backend;
use crate::backend::connection::Phase;
use crate::protocol::flags::StatusFlags;
use crate::route::{Side, Transaction};
use crate::sql::{Flags, Statement, StatementKind};

/// What the variables' names begin with.
const TRACKERS: &[u8] = b"session_track_";

impl Session {
    /// Before a client sets the trackers itself: lagwise takes its own settings back, so that the
    /// client meets the server's, and keeps the session where it is from here on. Before one looks at
    /// them, they are turned off.
    ///
    /// # Errors
    /// The primary's connection breaks.
    pub(super) async fn hand_over_tracking(
        &mut self,
        side: Side,
        job: &Job<'_>,
    ) -> Result<(), backend::Error> {
        let sets = job.statement.flags.contains(Flags::SETS_SESSION_TRACK);
        if side == Side::Replica || self.state.is_untracked() {
            return Ok(());
        }
        let looks = || self.text_of(job).is_some_and(|text| shows_trackers(&job.statement, text));
        if sets || may_show(&job.statement) && looks() {
            let Some(held) = self.servers.get(side) else { return Ok(()) };
            let autocommit = self.state.status.contains(StatusFlags::AUTOCOMMIT);
            let in_transaction = !autocommit || self.state.transaction() != Transaction::None;
            held.guard.stop_tracking(in_transaction).await?;
        }
        if sets {
            self.state.set_untracked();
        }
        Ok(())
    }

    /// After a statement: the trackers are on again.
    pub(super) async fn resume_tracking(&mut self) {
        if self.state.is_untracked() {
            return;
        }
        let Some(held) = self.servers.get(Side::Primary) else { return };
        if held.guard.phase() == Phase::Ready && held.guard.resume_tracking().await.is_err() {
            self.servers.drop_side(Side::Primary, &self.handle);
        }
    }
}

/// Statements that only look, and may look at variables of the server.
fn may_show(statement: &Statement) -> bool {
    let only_looks = Flags::MULTI | Flags::UNKNOWN_FUNCTION | Flags::AMBIGUOUS;
    if statement.flags.intersects(only_looks) {
        return false;
    }
    match statement.kind {
        StatementKind::ShowServer => true,
        StatementKind::Read => {
            statement.flags.intersects(Flags::SERVER_VARIABLE | Flags::SERVER_SCHEMA)
        }
        _ => false,
    }
}

/// Whether the answer may hold the value of a tracker.
fn shows_trackers(statement: &Statement, text: &[u8]) -> bool {
    if find(text, b"session_track").is_some() {
        return true;
    }
    let Some(at) = find(text, b"variables") else { return false };
    if statement.kind != StatementKind::ShowServer {
        return true;
    }
    let rest = text.get(at..).unwrap_or_default();
    let Some(like) = find(rest, b"like") else { return true };
    let pattern = rest.get(like..).unwrap_or_default();
    let Some(quote) = pattern.iter().position(|byte| matches!(byte, b'\'' | b'"')) else {
        return true;
    };
    // Up to the first wildcard, which an underscore is.
    let plain = |byte: &&u8| byte.is_ascii_alphanumeric();
    let begin = pattern.get(quote + 1..).unwrap_or_default();
    let length = begin.iter().take_while(plain).count().min(TRACKERS.len());
    let begin = begin.get(..length).unwrap_or_default();
    TRACKERS.get(..length).is_some_and(|name| name.eq_ignore_ascii_case(begin))
}

/// Where a word stands, in any case.
pub(super) fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{LexMode, classify};

    #[test]
    fn which_statements_look_at_the_trackers() {
        let check = |sql: &str, want| {
            let statement = classify(sql.as_bytes(), &LexMode::default());
            let found = may_show(&statement) && shows_trackers(&statement, sql.as_bytes());
            assert_eq!(found, want, "{sql}");
        };
        for sql in [
            "SELECT @@session_track_schema",
            "select @@Session.Session_Track_Gtids, 1",
            "SHOW VARIABLES",
            "SHOW SESSION VARIABLES LIKE '%track%'",
            "show variables like 'SESSION\\_track\\_%'",
            "SHOW VARIABLES WHERE Variable_name = 'session_track_schema'",
            "SHOW VARIABLES LIKE 's%'",
            "SELECT * FROM performance_schema.session_variables",
        ] {
            check(sql, true);
        }
        for sql in [
            "SELECT @@version",
            "SHOW VARIABLES LIKE 'sql_mode'",
            "SHOW VARIABLES LIKE 'lower_case_%'",
            "SHOW STATUS LIKE 'x'",
            "SELECT 'session_track_schema'",
            "SELECT * FROM information_schema.tables",
            "SELECT @@session_track_schema; USE other",
            "CALL p(@@session_track_schema)",
        ] {
            check(sql, false);
        }
    }
}
