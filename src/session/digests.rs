//! What a statement took, counted by its digest when its response has been sent.

use std::time::Instant;

use super::Session;
use super::job::{Done, Job};
use crate::metrics::Execution;
use crate::protocol::command::code;
use crate::route::Side;
use crate::sql::{digest_text, fingerprint};

/// What will be counted of the statement at hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    /// When its command was there.
    pub began: Instant,
    /// Index of the reason for its first route.
    pub reason: usize,
}

impl Session {
    /// Counts a statement that the client has the response of: `done`, or an error of lagwise's own.
    pub(super) fn count_digest(&self, job: &Job<'_>, done: Option<&Done>) {
        let digests = self.context.metrics.digests();
        let is_execution = || {
            let command = job.incoming.payload().first();
            matches!(command, Some(&(code::QUERY | code::STMT_EXECUTE | code::STMT_BULK_EXECUTE)))
        };
        if !digests.is_on() || !is_execution() {
            return;
        }
        let Some(text) = self.text_of(job) else { return };
        let mode = self.state.lex_mode();
        let known = job.statement_id.and_then(|id| self.prepared.get(id));
        let fingerprint = match known {
            Some(known) => known.shared.fingerprint(),
            None => fingerprint(text, mode),
        };
        let schema = self.state.schema().unwrap_or_default();
        let (side, relayed) = match done {
            Some(Done::Forwarded(side, relayed)) => (Some(*side), Some(relayed)),
            Some(Done::Failed) | None => (None, None),
        };
        let execution = Execution {
            schema: std::str::from_utf8(schema).unwrap_or_default(),
            fingerprint,
            nanos: u64::try_from(self.running.began.elapsed().as_nanos()).unwrap_or(u64::MAX),
            rows: relayed.map_or(0, |relayed| relayed.rows),
            bytes: relayed.map_or(0, |relayed| relayed.bytes),
            is_error: relayed.is_none_or(|relayed| relayed.error_code.is_some()),
            on_replica: side == Some(Side::Replica) || side.is_some() && self.is_kept(),
            reason: self.running.reason,
        };
        let mode = known.map_or(mode, |known| known.shared.lex_mode());
        self.context.metrics.digest(&execution, || digest_text(text, mode));
    }
}
