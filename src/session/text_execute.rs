//! EXECUTE on a replica: the statement is prepared there first, as the client prepared it on the
//! primary.

use std::borrow::Cow;

use super::Session;
use super::job::Job;
use super::rules::text_of;
use crate::backend;
use crate::protocol::ErrPacket;
use crate::route::Side;
use crate::sql::Flags;

impl Session {
    /// Has the statement that an EXECUTE names prepared on a replica's connection. Returns the server's
    /// error if it cannot be.
    ///
    /// # Errors
    /// The connection breaks.
    pub(super) async fn have_text_prepared(
        &mut self,
        side: Side,
        job: &Job<'_>,
    ) -> Result<Option<ErrPacket>, backend::Error> {
        if side == Side::Primary || !job.statement.flags.contains(Flags::TEXT_PREPARED) {
            return Ok(None);
        }
        let now = self.state.replayed.parse_state();
        let known = &self.text_prepared;
        let text = text_of(job, &self.prepared, self.login.capabilities);
        // EXECUTE IMMEDIATE needs nothing before it.
        let named = text.and_then(|text| known.executed(text, self.state.lex_mode()));
        let (Some(named), Some(held)) = (named, self.servers.get(side)) else { return Ok(None) };
        let is_open = |name: &[u8], version| known.is_open(name, version);
        match held.guard.have_text_statement(named, &now, is_open).await {
            Ok(()) => Ok(None),
            Err(backend::Error::Server(err)) => Ok(Some(err)),
            Err(error) => Err(error),
        }
    }

    /// The text that a job's statement is judged by: of an EXECUTE whose statement is known, that
    /// statement's.
    pub(super) fn judged_text<'a>(&'a self, job: &'a Job<'_>) -> Option<Cow<'a, [u8]>> {
        let text = self.text_of(job)?;
        if job.statement.flags.contains(Flags::TEXT_PREPARED) {
            return self.text_prepared.text(text, self.state.lex_mode());
        }
        Some(text.into())
    }

    /// The primary's connection is gone with all that it held, and the session goes on without.
    pub(super) fn forget_primary(&mut self) {
        self.state.forget_hold();
        self.text_prepared.clear();
    }
}
