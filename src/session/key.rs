//! The consistency key that the application gives its session by `SET @lagwise_key = '…'`.
//!
//! A user variable holds a session to one connection of the primary, which is too much for a word that
//! only lagwise reads. So the SET is answered by lagwise alone, where nothing else is going on, and sent to
//! the primary before the first statement that may look at user variables.

use std::time::Instant;

use super::Session;
use super::context::Settings;
use super::diagnostics::Told;
use super::error::End;
use super::job::{Done, Failed, Job};
use super::relay::Relayed;
use super::reply;
use crate::config::LogSql;
use crate::consistency::Group;
use crate::protocol::flags::StatusFlags;
use crate::protocol::ok::{OK, OkPacket};
use crate::protocol::response::ResponseKind;
use crate::route::{Side, Transaction};
use crate::sql::{Flags, Statement, StatementKind, session_key};

/// What may look at a user variable.
const MAY_LOOK: Flags = Flags::USES_USER_VARIABLE
    .union(Flags::ASSIGNS_USER_VARIABLE)
    .union(Flags::UNKNOWN_FUNCTION)
    .union(Flags::AMBIGUOUS)
    .union(Flags::MULTI);

impl Session {
    /// Takes the key of a statement that sets one; answers it, too, if no server has to.
    ///
    /// # Errors
    /// The client has gone.
    pub(super) async fn take_key(
        &mut self,
        job: &Job<'_>,
        settings: &Settings,
    ) -> Result<Option<Done>, End> {
        let is_set = job.statement.kind == StatementKind::Set
            && job.statement.flags.contains(Flags::SETS_USER_VARIABLE)
            && job.kind == ResponseKind::Results
            && job.statement_id.is_none();
        if !is_set {
            return Ok(None);
        }
        let text = self.text_of(job).filter(|_| !self.is_kept());
        let Some(key) = text.and_then(|text| session_key(text, self.state.lex_mode())) else {
            return Ok(None);
        };
        let text: Box<[u8]> = text.unwrap_or_default().into();
        self.key = (!key.is_empty()).then(|| Group::of_key(key));
        let state = &self.state;
        let is_free = state.transaction() == Transaction::None
            && state.status.contains(StatusFlags::AUTOCOMMIT)
            && !state.is_bound_to_primary()
            && !state.is_untracked()
            && self.strays.is_empty()
            && self.rules.is_empty()
            && settings.log_sql == LogSql::None;
        if !is_free {
            self.key_text = None;
            return Ok(None);
        }
        self.key_text = Some(text);
        let status = self.state.status & reply::OF_SESSION;
        let (info, state) = (&b""[..], &b""[..]);
        let (affected_rows, last_insert_id, warnings) = (0, 0, 0);
        let ok =
            OkPacket { header: OK, affected_rows, last_insert_id, status, warnings, info, state };
        let statement = Statement::of_kind(StatementKind::Set);
        self.state.observe(Side::Primary, &statement, Told::Ok(ok), Instant::now());
        // No connection has run it.
        self.state.diagnostics.moved(Side::Primary);
        self.touched = true;
        reply::ok(&mut self.client, 1, status, 0).await?;
        Ok(Some(Done::Forwarded(Side::Primary, Relayed::default())))
    }

    /// Before a statement that may look at user variables: sets the key on the primary, if it was not.
    ///
    /// # Errors
    /// The primary's connection breaks. (Without a primary it waits.)
    pub(super) async fn settle_key(
        &mut self,
        job: &Job<'_>,
        settings: &Settings,
    ) -> Result<(), Failed> {
        use StatementKind::{Call, TextExecute, TextPrepare, Unknown};
        let runs_unseen = matches!(job.statement.kind, Call | TextExecute | TextPrepare | Unknown);
        let may_look = runs_unseen || job.statement.flags.intersects(MAY_LOOK);
        if self.key_text.is_none() || !may_look || self.have_primary(settings).await.is_none() {
            return Ok(());
        }
        let Some(text) = self.key_text.take() else { return Ok(()) };
        let Some(held) = self.servers.get(Side::Primary) else { return Ok(()) };
        held.guard.run(&text).await.map_err(Failed::Lost)?;
        self.state.carry();
        Ok(())
    }

    /// The session begins anew, without user variables.
    pub(super) fn forget_key(&mut self) {
        (self.key, self.key_text) = (None, None);
    }
}
