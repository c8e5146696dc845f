//! COM_STMT_PREPARE: answered by a server, or by what one has answered lately.

use std::sync::Arc;
use std::time::Instant;

use super::Session;
use super::context::Context;
use super::error::{self, End};
use super::incoming::Incoming;
use super::job::{Done, Job};
use super::known_statements::SharedStatement;
use super::prepare_answers::{Answer, Asked, changes_catalogue};
use super::prepared::ClientStatement;
use super::reply;
use crate::config::LogSql;
use crate::metrics::PrepareBy;
use crate::pool::LoginKey;
use crate::protocol::flags::StatusFlags;
use crate::protocol::response::ResponseKind;
use crate::route::{Side, Transaction};
use crate::sql;

impl Session {
    /// COM_STMT_PREPARE
    pub(super) async fn stmt_prepare(&mut self, incoming: &mut Incoming) -> Result<(), End> {
        if !incoming.is_whole() {
            let settings = self.context.settings.load_full();
            incoming.discard_rest(&mut self.client, settings.max_packet).await?;
            return reply::err(&mut self.client, 1, &error::too_large()).await;
        }
        let max = self.context.settings.load().max_open_statements;
        if self.prepared.open() >= max {
            self.prepared.failed();
            return self.over_limit(incoming, &error::too_many_statements(max)).await;
        }
        let parse_state = self.state.replayed.parse_state();
        let text = incoming.payload().get(1..).unwrap_or_default();
        let mode = self.state.lex_mode();
        let classify = || sql::classify(text, mode);
        let shared = self.context.known_statements.get(text, mode, parse_state, classify);
        // What is logged tells where it ran.
        let is_logged = self.context.settings.load().log_sql != LogSql::None;
        let is_usual = shared.is_shared && !is_logged && self.is_answered_as_usual();
        if let Some(answer) = is_usual.then(|| self.known_answer(&shared)).flatten() {
            return self.answer_prepare(shared, &answer).await;
        }
        let answers = &self.context.prepare_answers;
        let (since, generation) = (Instant::now(), answers.generation());
        let (statement, kind) = (shared.statement, ResponseKind::Prepare);
        let job = Job { incoming, statement, kind, statement_id: None, fixed: None };
        let done = self.run(job).await?;
        self.prepared.failed();
        let Done::Forwarded(side, relayed) = done else { return Ok(()) };
        let Some(ok) = relayed.prepare_ok.filter(|_| relayed.error_code.is_none()) else {
            return Ok(());
        };
        self.context.metrics.local().prepare(PrepareBy::Client);
        if let Some(bytes) = relayed.copy.filter(|_| is_usual) {
            let asked = self.asked(&shared, side);
            self.context.prepare_answers.keep(asked, &bytes, since, generation);
        }
        let max = self.context.settings.load().max_prepared_statements;
        if let Some(held) = self.servers.get(side) {
            held.guard.adopt_statement(shared.id, ok.statement_id, max);
        }
        self.prepared.insert(ClientStatement::new(shared, ok, side));
        Ok(())
    }

    /// Whether a PREPARE is answered as in any other session of the account that is in the same state,
    /// and does nothing that could be told later: it has no temporary tables and locks, it is in no
    /// snapshot, and there are no warnings that a PREPARE would have forgotten.
    fn is_answered_as_usual(&self) -> bool {
        let (state, diagnostics) = (&self.state, &self.state.diagnostics);
        state.hold().is_none()
            && state.transaction() != Transaction::OnReplica
            && !state.awaits_transaction()
            && !state.is_untracked()
            && state.status.contains(StatusFlags::AUTOCOMMIT)
            && !state.replayed.is_reset()
            && !diagnostics.conditions().held
            && !diagnostics.is_untold()
            && diagnostics.warnings() == 0
            && self.strays.is_empty()
            && !self.is_kept()
    }

    fn asked(&mut self, shared: &SharedStatement, side: Side) -> Asked {
        Asked {
            statement: shared.id,
            state: self.state.replayed.image(Side::Primary).fingerprint(),
            login: LoginKey::new(&self.login, false),
            of_primary: side == Side::Primary,
        }
    }

    /// What a server has answered to this lately, if the session may be told the same.
    fn known_answer(&mut self, shared: &SharedStatement) -> Option<Arc<Answer>> {
        let mut asked = self.asked(shared, Side::Primary);
        let (answers, now) = (&self.context.prepare_answers, Instant::now());
        let of_primary = answers.get(&asked, now);
        // Who wrote may have changed what a replica does not know of yet.
        let is_pinned =
            self.state.pin.cause().is_some() || self.state.transaction() != Transaction::None;
        if of_primary.is_some() || is_pinned {
            return of_primary;
        }
        asked.of_primary = false;
        answers.get(&asked, now)
    }

    async fn answer_prepare(
        &mut self,
        shared: Arc<SharedStatement>,
        answer: &Answer,
    ) -> Result<(), End> {
        self.context.metrics.local().prepare(PrepareBy::Memory);
        let id = self.prepared.insert(ClientStatement::new(shared, answer.ok, Side::Primary));
        let packets = answer.packets(id, self.state.status & reply::OF_SESSION);
        self.touched = true;
        reply::write(&mut self.client, &packets).await
    }
}

/// Has answers to PREPARE forgotten when a statement that may change them has ended, however it did.
pub(super) struct Forgetting(Option<Arc<Context>>);

impl Forgetting {
    /// For the statement of this job, which is about to run.
    pub(super) fn before(job: &Job<'_>, context: &Arc<Context>) -> Self {
        let changes = job.kind != ResponseKind::Prepare && changes_catalogue(&job.statement);
        let forgetting = Self(changes.then(|| Arc::clone(context)));
        forgetting.forget();
        forgetting
    }

    fn forget(&self) {
        if let Some(context) = &self.0 {
            context.prepare_answers.forget_all();
        }
    }
}

impl Drop for Forgetting {
    fn drop(&mut self) {
        self.forget();
    }
}
