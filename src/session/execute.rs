//! One statement: decide, take a connection, send, relay, observe.
//!
//! This is where the pure parts meet I/O: `route::decide` says where and why, [`Servers`] has the
//! connection, [`Relay`] forwards, [`SessionState`] learns.
//!
//! [`Servers`]: super::servers::Servers
//! [`SessionState`]: super::state::SessionState

use std::sync::Arc;
use std::time::Instant;

use super::Session;
use super::abandoned::is_watched;
use super::context::Settings;
use super::diagnostics::{Aside, Told};
use super::effects::asks_about_last;
use super::error::{self, End, Kind};
use super::job::{Attempt, Done, Failed, Job, Tried, Why};
use super::learned::REFUSALS;
use super::prepare::Forgetting;
use super::prepare_answers::changes_catalogue;
use super::primary_wait::says_read_only;
use super::relay::{Relay, RelayError, Relayed, Shown, Withhold, went_down};
use super::routing::Routed;
use super::servers::{Asker, Unavailable};
use super::tracked::Tracked;
use crate::backend;
use crate::backend::error::codes;
use crate::cluster::Member;
use crate::config::LogSql;
use crate::consistency::Tables;
use crate::pool;
use crate::protocol::ErrPacket;
use crate::protocol::response::ResponseKind;
use crate::route::{PinCause, Side, Transaction};
use crate::sql::{Flags, Make, Statement, StatementKind};

impl Session {
    /// Runs one statement and forwards its response.
    ///
    /// # Errors
    /// The session ends.
    pub(super) async fn run(&mut self, mut job: Job<'_>) -> Result<Done, End> {
        let settings = self.context.settings.load_full();
        self.begin_statement(&job, &settings);
        let mut cluster = self.context.cluster.snapshot();
        job.statement.know(&settings.policy.read_only_functions);
        self.weigh_hint(&mut job, &settings, &cluster);
        if let Some(done) = self.answer_without_server(&mut job, &settings).await? {
            self.trace_answered();
            return Ok(done);
        }
        if let Err(failed) = self.settle_variables(&job, &settings).await {
            let primary = Arc::clone(cluster.primary());
            return self.give_up(job, &primary, failed, 1).await;
        }
        let _forgetting = Forgetting::before(&job, &self.context);
        let _changing = self.begin_change(&job);
        let mut tried = Tried::default();
        let mut is_first = true;
        loop {
            let routed = self.route_patiently(&job, &settings, &mut cluster, &mut tried).await?;
            if std::mem::take(&mut is_first) {
                self.note_route(&job, &routed, &settings);
            }
            let Some(member) = &routed.member else {
                return self.refuse(&mut job, &routed, &settings, &cluster).await;
            };
            let (side, transaction) = (routed.side, self.state.transaction());
            let withhold = self.withhold(&job, side, &tried);
            let attempt = self.attempt(side, member, &mut job, &settings, withhold).await?;
            self.resume_tracking().await;
            let failed = match attempt {
                Attempt::Done(done) => {
                    self.ask_what_it_left(&job, &done).await;
                    self.leave_replica(side, transaction).await;
                    self.note_done(&job, &done, &tried, &settings);
                    return Ok(done);
                }
                Attempt::Withheld(why) => {
                    let noted =
                        self.note_withheld(why, (side, member), &job, &settings, &mut tried);
                    match noted.await {
                        None => continue,
                        Some(failed) => failed,
                    }
                }
                Attempt::Again(failed) => failed,
                Attempt::Broken(failed, seq) => {
                    self.note_failure(side, &job, &failed);
                    self.leave_replica(side, transaction).await;
                    return self.give_up(job, member, failed, seq).await;
                }
            };
            if self.awaits_primary(&job, side, member, &failed, &settings, &mut tried) {
                continue;
            }
            let again = self.is_run_again(&job, side, &failed, &settings, &mut tried);
            self.leave_replica(side, transaction).await;
            if !again {
                if let (Some(err), Failed::Unavailable(_)) = (&tried.behind, &failed) {
                    // Nothing better is to be had than what the replica said.
                    self.answer_error(&job, err, 1).await?;
                    return Ok(Done::Failed);
                }
                return self.give_up(job, member, failed, 1).await;
            }
            self.context.metrics.local().read_retried();
            tried.avoid.push(Arc::clone(member));
        }
    }

    /// Brings user variables to the primary that belong there, before a statement that may look at them.
    async fn settle_variables(&mut self, job: &Job<'_>, settings: &Settings) -> Result<(), Failed> {
        self.settle_key(job, settings).await?;
        self.settle_strays(job, settings).await
    }

    /// What no server is needed for, or none could answer.
    async fn answer_without_server(
        &mut self,
        job: &mut Job<'_>,
        settings: &Settings,
    ) -> Result<Option<Done>, End> {
        if self.state.diagnostics.is_lost() && asks_about_last(&job.statement) {
            self.refuse_command(job.incoming, &error::diagnostics_lost()).await?;
            return Ok(Some(Done::Failed));
        }
        if let Some(done) = self.take_key(job, settings).await? {
            return Ok(Some(done));
        }
        self.answer_known_set(job, settings).await
    }

    /// After a statement: has the primary's connection say what its answer has not told.
    async fn ask_what_it_left(&mut self, job: &Job<'_>, done: &Done) {
        self.ask_untold().await;
        if done.is_error() {
            self.ask_for_status(&job.statement).await;
        }
    }

    fn note_route(&mut self, job: &Job<'_>, routed: &Routed, settings: &Settings) {
        self.running.reason = Some(routed.route.reason);
        self.count_route(routed, settings);
        if settings.log_sql != LogSql::None {
            self.log_statement(job, routed, settings);
        }
    }

    /// A replica refused the statement for a function that writes: the primary runs it, now and from
    /// now on.
    pub(super) fn learn(&self, job: &Job<'_>, settings: &Settings) {
        settings.learned.learn(&job.statement);
        self.context.metrics.local().function_refused();
        tracing::debug!(session = self.id(), "a replica refused a function that writes");
    }

    /// A statement is done. Where a replica failed and the primary did not, the session has seen what
    /// the replica lacks, and must not be shown less again.
    fn note_done(&mut self, job: &Job<'_>, done: &Done, tried: &Tried, settings: &Settings) {
        self.note_seen(job, done, settings);
        self.remember_set(done);
        self.note_strays(job, done);
        self.note_thread(job);
        let by_primary = matches!(done, Done::Forwarded(Side::Primary, _));
        if by_primary && done.is_success() && tried.behind.is_some() {
            let now = Instant::now();
            self.state.pin.write(PinCause::Behind, now);
            // By table nobody could say which it was.
            self.seen_tables.read(&Tables::every(), now);
        }
        // What failed has been counted with its error.
        if let Done::Forwarded(..) = done {
            self.finish_statement(job, Some(done), settings);
        }
    }

    /// One try on one connection.
    async fn attempt(
        &mut self,
        side: Side,
        member: &Arc<Member>,
        job: &mut Job<'_>,
        settings: &Settings,
        mut withhold: Withhold,
    ) -> Result<Attempt, End> {
        if side == Side::Primary {
            self.note_writing(job, settings);
        }
        let started = Instant::now();
        self.running.server = Some(member.id());
        self.running.attempts = self.running.attempts.saturating_add(1);
        let on_replica = side == Side::Replica || self.is_kept();
        let may_abandon = on_replica && self.is_repeatable(job, side);
        let displaced = member.displaced();
        let ready = tokio::select! {
            biased;
            ready = self.get_ready(side, member, job, settings) => ready?,
            () = went_down(member, may_abandon, displaced) => {
                Err(Failed::Lost(backend::Error::TimedOut("the server went down")))
            }
        };
        match ready {
            Ok(None) => {}
            Ok(Some(err)) if withhold.behind => return Ok(Attempt::Withheld(Why::Behind(err))),
            Ok(Some(err)) => {
                self.answer_error(job, &err, 1).await?;
                return Ok(Attempt::Done(Done::Failed));
            }
            Err(failed) => return Ok(Attempt::Again(failed)),
        }
        withhold.stale = withhold.stale && self.may_be_stale(side, job);
        let Some(held) = self.servers.get(side) else {
            let lost = Unavailable::StateLost { in_transaction: false };
            return Ok(Attempt::Again(Failed::Unavailable(lost)));
        };
        withhold.full &= held.guard.statements.can_make_room();
        self.handle.set_running_on(side);
        let _running = member.begin_query();
        if let Err(error) = held.guard.send(&job.incoming.frame).await {
            return Ok(Attempt::Again(Failed::Lost(error)));
        }
        let (client, max_packet) = (&mut self.client, settings.max_packet);
        let last_seq = job.incoming.send_rest(client, &mut held.guard, max_packet).await?;
        let sent = Instant::now();
        self.running.until_sent += sent.saturating_duration_since(started);
        self.running.sent = Some(sent);
        let owed = tokio::select! {
            biased;
            owed = held.guard.finish_owed() => owed,
            () = went_down(member, may_abandon, displaced) => {
                held.guard.mark_broken();
                Err(backend::Error::TimedOut("the server went down"))
            }
        };
        if let Err(error) = owed {
            if error.is_of_connection() {
                return Ok(Attempt::Again(Failed::Lost(error)));
            }
            // A harmless statement has run in another state than it should have.
            self.servers.drop_side(side, &self.handle);
            return Ok(Attempt::Again(Failed::Unavailable(Unavailable::Sync(error))));
        }
        let conditions = self.state.diagnostics.conditions();
        let result = self
            .relay(job, (side, member, may_abandon, displaced), (last_seq, sent), withhold)
            .await;
        if let Ok(relayed @ Relayed { withheld: None, .. }) = &result {
            self.note_conditions(side, job, relayed, conditions);
        }
        self.conclude(side, job, result, started, sent)
    }

    /// Has a connection on `side` that the job can be sent on; or the server's error, if its
    /// statement cannot be prepared there.
    ///
    /// # Errors
    /// The client has left meanwhile.
    async fn get_ready(
        &mut self,
        side: Side,
        member: &Arc<Member>,
        job: &mut Job<'_>,
        settings: &Settings,
    ) -> Result<Result<Option<ErrPacket>, Failed>, End> {
        if self.servers.member(side).is_none() {
            self.renew_proof();
        }
        let is_harmless = job.statement.is_read();
        let has_other_way = job.fixed.is_none();
        let by = Asker {
            login: &self.login,
            handle: &self.handle,
            settings,
            is_harmless,
            has_other_way,
            is_kept: self.is_kept(),
        };
        if self.servers.is_at_hand(side, member, &mut self.state, &by) {
            return Ok(self.make_all_ready(side, job).await);
        }
        let is_watched = is_watched(job);
        let queued = Instant::now();
        let ensured = tokio::select! {
            biased;
            ensured = self.servers.ensure(side, member, &mut self.state, by) => ensured,
            // In line for a connection, say: those behind shall not wait for a query of nobody's.
            () = self.client.gone(), if is_watched => {
                return Err(End::ClientGone("closed before its query ran".to_owned()));
            }
        };
        self.running.queue += queued.elapsed();
        match ensured {
            Ok(()) if self.is_superseded(side, member) => {
                Ok(Err(Failed::Unavailable(Unavailable::Pool(pool::Error::Closed))))
            }
            Ok(()) => Ok(self.make_all_ready(side, job).await),
            Err(unavailable) => Ok(Err(Failed::Unavailable(unavailable))),
        }
    }

    /// Brings the session's connection on `side` to where the job can be sent.
    async fn make_all_ready(
        &mut self,
        side: Side,
        job: &mut Job<'_>,
    ) -> Result<Option<ErrPacket>, Failed> {
        self.enter_transaction(side, job).await.map_err(Failed::Lost)?;
        self.follow_read(side, &job.statement).await.map_err(Failed::Lost)?;
        self.bring_found_rows(side, &job.statement).await.map_err(Failed::Lost)?;
        self.hand_over_tracking(side, job).await.map_err(Failed::Lost)?;
        self.make_ready(side, job).await.map_err(Failed::Lost)
    }

    /// Has a connection to the primary, if one is to be had, for what is not a statement.
    pub(super) async fn have_primary(&mut self, settings: &Settings) -> Option<()> {
        let primary = self.home(&self.context.cluster.load(), &[])?;
        let (is_harmless, has_other_way, is_kept) = (false, false, self.is_kept());
        let (login, handle) = (&self.login, &*self.handle);
        let by = Asker { login, handle, settings, is_harmless, has_other_way, is_kept };
        self.servers.ensure(Side::Primary, &primary, &mut self.state, by).await.ok()
    }

    async fn relay(
        &mut self,
        job: &Job<'_>,
        (side, member, may_abandon, displaced): (Side, &Member, bool, u32),
        (last_seq, sent): (u8, Instant),
        withhold: Withhold,
    ) -> Result<Relayed, RelayError> {
        let last_row = self.trace_row(job);
        let Some(held) = self.servers.get(side) else {
            let error = std::io::Error::from(std::io::ErrorKind::NotConnected);
            return Err(RelayError::Untouched(backend::Error::Lost(error)));
        };
        let make = self.state.lex_mode().make;
        let tracked = Tracked::of(self.login.capabilities, make, self.state.is_untracked());
        let tracker = held.guard.tracker(job.kind).after(last_seq);
        let prepare = job.kind == ResponseKind::Prepare;
        let executed = job.statement_id.filter(|_| job.kind == ResponseKind::Results);
        let executed = executed.and_then(|id| self.prepared.get(id));
        let known_columns = executed.map(|known| known.num_columns).filter(|&count| count > 0);
        let session = self.state.is_elsewhere(side).then_some(self.state.status);
        let aside = job.aside();
        let counts = make == Make::MySql && aside.is_some_and(Aside::counts_warnings);
        let warnings = counts.then(|| self.state.diagnostics.warnings());
        let relay = Relay {
            client: &mut self.client,
            server: &mut held.guard,
            tracked,
            statement_id: prepare.then(|| self.prepared.next_id()),
            touched: &mut self.touched,
            shown: Shown { known_columns, session, warnings, one_more: self.running.traced },
            member,
            displaced,
            may_abandon,
            watches_client: is_watched(job),
            scratch: &mut self.scratch,
            // Other functions that are not built in do not get to a replica.
            refusable: side == Side::Replica
                && self.state.transaction() == Transaction::None
                && job.statement.flags.contains(Flags::UNKNOWN_FUNCTION),
            client_statement: job.statement_id,
            withhold,
            copy: prepare.then(Vec::new),
            last_row,
        };
        let (state, context) = (&mut self.state, &self.context);
        let changes = job.kind != ResponseKind::Prepare && changes_catalogue(&job.statement);
        let statement = observed(job);
        let learning = &mut self.learning;
        let unacknowledged = &mut self.unacknowledged;
        let observe = |told: Told<'_>| {
            if changes {
                // Before the client is told.
                context.prepare_answers.forget_all();
                context.known_sets.forget();
            }
            if let Some(learning) = learning {
                learning.observe(&told);
            }
            // When something was written; on a replica nothing is.
            let now = if side == Side::Primary { Instant::now() } else { sent };
            match aside {
                Some(aside) => state.observe_aside(side, aside, statement, told, now),
                None => state.observe(side, statement, told, now),
            }
            if state.has_written_at(now) {
                unacknowledged.acknowledge(&context.writes, now);
            }
        };
        relay.run(tracker, observe).await
    }

    /// Judges what came of a response.
    fn conclude(
        &mut self,
        side: Side,
        job: &Job<'_>,
        result: Result<Relayed, RelayError>,
        started: Instant,
        sent: Instant,
    ) -> Result<Attempt, End> {
        match result {
            Ok(Relayed { withheld: Some(err), .. })
                if side == Side::Primary && says_read_only(&err) =>
            {
                Ok(Attempt::Withheld(Why::ReadOnly(err)))
            }
            Ok(Relayed { withheld: Some(err), .. }) if REFUSALS.contains(&err.code) => {
                Ok(Attempt::Withheld(Why::Refused))
            }
            Ok(Relayed { withheld: Some(err), .. })
                if self.makes_room(side, &err) || self.forgets_stale(side, job, &err) =>
            {
                Ok(Attempt::Withheld(Why::Full))
            }
            Ok(Relayed { withheld: Some(err), .. }) if err.code == codes::SERVER_SHUTDOWN => {
                if let Some(held) = self.servers.get(side) {
                    held.guard.mark_broken();
                }
                Ok(Attempt::Again(Failed::Lost(backend::Error::Server(err))))
            }
            Ok(Relayed { withheld: Some(err), .. }) => Ok(Attempt::Withheld(Why::Behind(err))),
            Ok(relayed) => {
                self.note_found_rows(side, job, &relayed);
                if let Some(ok) = relayed.prepare_ok
                    && self.state.lex_mode().make == Make::MySql
                {
                    self.state.diagnostics.observe_prepare(side, ok.warnings);
                }
                if side == Side::Primary {
                    self.note_untold(job, &relayed);
                    self.servers.primary_is_in_line(&mut self.state);
                }
                if self.state.diagnostics.conditions().held
                    && let Some(held) = self.servers.get(side)
                {
                    held.guard.has_conditions = true;
                }
                if let Some(held) = self.servers.get(side) {
                    held.member.note_answer();
                }
                self.count_times(side, &relayed, started, sent);
                Ok(Attempt::Done(Done::Forwarded(side, relayed)))
            }
            Err(RelayError::Untouched(error)) => Ok(Attempt::Again(Failed::Lost(error))),
            Err(RelayError::Midway { error, next_seq: Some(seq) }) => {
                Ok(Attempt::Broken(Failed::Lost(error), seq))
            }
            Err(RelayError::Midway { error, next_seq: None }) => {
                self.state.lost(side, &job.statement, Instant::now());
                self.count_error(Kind::Lost);
                Err(End::ServerLost(error.to_string()))
            }
            Err(RelayError::Unread(err)) => {
                tracing::debug!(session = self.id(), %err, "the server had closed a connection");
                Ok(Attempt::Withheld(Why::Unread))
            }
            Err(RelayError::Abandoned) => {
                self.abandon(side);
                Err(End::ClientGone("closed while its query ran".to_owned()))
            }
            Err(RelayError::Client(error)) => {
                if is_watched(job) {
                    self.abandon(side);
                }
                Err(End::of_write(error))
            }
            Err(RelayError::File(error)) => Err(error.into()),
        }
    }
}

/// What the session is taken to have run: a PREPARE runs nothing.
fn observed<'a>(job: &'a Job<'_>) -> &'a Statement {
    const NOTHING: &Statement = &Statement::of_kind(StatementKind::Empty);
    match job.kind {
        ResponseKind::Prepare => NOTHING,
        _ => &job.statement,
    }
}
