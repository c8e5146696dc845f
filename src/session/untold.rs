//! What a SET leaves that no tracker tells: the connection is asked.
//!
//! MariaDB reports nothing of `SET @@name = …` without a scope, and no server the collation that SET
//! CHARACTER SET takes from the default schema. Each variable that is set to itself is reported, and so
//! lagwise does that after such a SET: ROW_COUNT() is 0 before and after it, FOUND_ROWS() stays, and so do
//! the conditions in MariaDB.
//!
//! Deliberately absent: a SET on MySQL that has warnings, for those would be forgotten. It holds the
//! session, as does what cannot be asked for. And what a routine sets by `@@name` in MariaDB: to ask for
//! everything after each CALL would cost a round trip for what hardly a routine does.

use std::borrow::Cow;
use std::time::Instant;

use super::Session;
use super::job::Job;
use super::prepared::Prepared;
use super::relay::Relayed;
use super::rules::text_of;
use super::text_prepared::TextPrepared;
use crate::protocol::flags::Capabilities;
use crate::protocol::response::ResponseKind;
use crate::route::Side;
use crate::sql::{self, Flags, LexMode, Make, NamesCollation, Statement, StatementKind};

/// The collation of literals.
const COLLATION: &str = "collation_connection";

impl Session {
    /// A statement has run on the primary: takes in what its text says of the session's variables, and
    /// notes those that the connection is to be asked for.
    pub(super) fn note_untold(&mut self, job: &Job<'_>, relayed: &Relayed) {
        let succeeded = job.kind == ResponseKind::Results && relayed.error_code.is_none();
        let may_be_set =
            matches!(job.statement.kind, StatementKind::Set | StatementKind::TextExecute);
        let is_untold = self.state.is_collation_untold();
        if !(may_be_set && succeeded || is_untold) || self.state.is_untracked() {
            return;
        }
        let mode = *self.state.lex_mode();
        let capabilities = self.login.capabilities;
        let set = set_of(job, &self.prepared, &self.text_prepared, capabilities, &mode);
        let set = set.filter(|_| succeeded);
        let (mut untold, mut collation) = (Vec::new(), NamesCollation::Unknown);
        let mut is_held = false;
        if let Some((text, statement)) = &set {
            untold = sql::unreported_variables(text, &mode);
            is_held = statement.flags.contains(Flags::SETS_UNREPLAYABLE);
            collation = sql::names_collation(text, &mode);
        }
        let may_ask = mode.make == Make::MariaDb || self.state.diagnostics.warnings() == 0;
        if collation == NamesCollation::OfSchema && !may_ask {
            collation = NamesCollation::Unknown;
        }
        if is_untold {
            let is_of_schema = collation == NamesCollation::OfSchema;
            untold.extend(is_of_schema.then_some(COLLATION));
            self.state.set_collation(collation, Instant::now());
        }
        if is_held {
            self.state.set_unknown();
        }
        self.untold = untold;
    }

    /// Asks the primary's connection for what was noted. Without an answer, what the session is like is
    /// not known any more.
    pub(super) async fn ask_untold(&mut self) {
        if self.untold.is_empty() {
            return;
        }
        let untold = std::mem::take(&mut self.untold);
        let Some(held) = self.servers.get(Side::Primary) else { return };
        match held.guard.report(&untold).await {
            Ok(state) => {
                self.state.observe_report(&state, Instant::now());
                self.servers.primary_is_in_line(&mut self.state);
            }
            Err(error) => {
                tracing::debug!(session = self.id(), %error, "the session's variables are not known");
                self.state.set_unknown();
            }
        }
    }
}

/// The SET that a job is, or executes, if it is known and one statement.
fn set_of<'a>(
    job: &'a Job<'_>,
    prepared: &'a Prepared,
    text_prepared: &'a TextPrepared,
    capabilities: Capabilities,
    mode: &LexMode,
) -> Option<(Cow<'a, [u8]>, Statement)> {
    let text = text_of(job, prepared, capabilities)?;
    let (text, statement) = match job.statement.kind {
        StatementKind::TextExecute => {
            let text = text_prepared.text(text, mode)?;
            let statement = sql::classify(&text, mode);
            (text, statement)
        }
        _ => (Cow::Borrowed(text), job.statement),
    };
    let is_one = statement.kind == StatementKind::Set && !statement.flags.contains(Flags::MULTI);
    is_one.then_some((text, statement))
}
