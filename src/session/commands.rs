//! What each command leads to.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use super::context::Settings;
use super::diagnostics::Aside;
use super::error::{self, End, Kind};
use super::idle::IdleClock;
use super::incoming::Incoming;
use super::job::Job;
use super::registry::{Activity, Interrupt, SessionHandle};
use super::reply;
use crate::protocol::command::Command;
use crate::protocol::flags::Capabilities;
use crate::protocol::frame::HEADER_LEN;
use crate::protocol::query;
use crate::protocol::response::ResponseKind;
use crate::route::{Side, Transaction};
use crate::sql::{self, Make, Statement, StatementKind};

impl Session {
    /// Runs commands until the session ends.
    pub(super) async fn commands(&mut self) -> End {
        let mut incoming = Incoming::default();
        let mut settings = self.context.settings.load_full();
        // What proved the login is not needed before the first statement.
        self.park(settings.pool_mode);
        self.client.set_stalls(settings.net_read_timeout, settings.net_write_timeout);
        let mut idle = IdleClock::new();
        loop {
            // To count a reference anew each time would write to what all cores share.
            if !Arc::ptr_eq(&settings, &self.context.settings.load()) {
                settings = self.context.settings.load_full();
                self.client.set_stalls(settings.net_read_timeout, settings.net_write_timeout);
            }
            (self.busy, self.touched) = (false, false);
            let free = self.state.transaction() == Transaction::None && self.state.hold().is_none();
            if free && self.handle.interrupt() == Interrupt::Drain {
                return End::Shutdown;
            }
            self.handle.set_activity(if free { Activity::Idle } else { Activity::Waits });
            let wait_timeout = wait_timeout(self, &settings);
            let read = tokio::select! {
                biased;
                read = incoming.read(&mut self.client, &settings) => read,
                // What has been read of a command stays in the stream's buffer.
                () = servers_removed(&self.handle) => {
                    let is_kept = self.is_kept();
                    self.servers.release_removed(&self.state, &self.handle, is_kept);
                    self.park(settings.pool_mode);
                    continue;
                }
                () = at(self.servers.pending_due()) => {
                    self.servers.send_pending().await;
                    continue;
                }
                () = at(self.settle_at) => {
                    self.settle().await;
                    continue;
                }
                () = idle.rings(wait_timeout) => {
                    if self.client.buffered().len() >= HEADER_LEN {
                        // A command has begun.
                        idle.restart();
                    } else if Arc::ptr_eq(&settings, &self.context.settings.load()) {
                        return self.counted(End::Idle);
                    }
                    // Else a reload may have given it more time.
                    continue;
                }
            };
            self.handle.set_activity(Activity::Runs);
            if self.handle.interrupt() == Interrupt::Kill {
                // Killed before the command came, though the news of it may come later.
                return End::Killed;
            }
            self.busy = true;
            let result = match read {
                // Boxed: a command needs several KiB, a client that says nothing shall not. (Written
                // into its box, not moved there, which would copy them.)
                Ok(()) => {
                    let place = Box::new_uninit();
                    Box::into_pin(Box::write(place, self.command(&mut incoming))).await
                }
                Err(end) => Err(end),
            };
            if result.is_ok() {
                self.park(settings.pool_mode);
            }
            if let Err(end) = result {
                return self.counted(end);
            }
            idle.restart();
        }
    }

    /// Counts the end as an error, if it is one.
    fn counted(&self, end: End) -> End {
        end.kind().into_iter().for_each(|kind| self.count_error(kind));
        end
    }

    async fn command(&mut self, incoming: &mut Incoming) -> Result<(), End> {
        let command = match Command::parse(incoming.payload()) {
            Ok(command) => command,
            Err(malformed) => {
                let err = error::malformed(malformed.0);
                reply::err(&mut self.client, 1, &err).await?;
                return Err(End::Refused(malformed.to_string()));
            }
        };
        self.context.metrics.local().command(command.index());
        if incoming.is_too_long() {
            return self.over_limit(incoming, &error::statement_too_large()).await;
        }
        self.follow_rules();
        match command {
            Command::Quit => Err(End::Quit),
            Command::Query(_) => self.query(incoming).await,
            Command::StmtPrepare(_) => self.stmt_prepare(incoming).await,
            Command::StmtExecute(id, _) => self.stmt_execute(incoming, id, false).await,
            Command::StmtBulkExecute(id, _) => self.stmt_execute(incoming, id, true).await,
            Command::StmtSendLongData(id) => self.stmt_send_long_data(incoming, id).await,
            Command::StmtFetch(id) => self.stmt_follow(incoming, id, ResponseKind::Rows).await,
            Command::StmtReset(id) => self.stmt_follow(incoming, id, ResponseKind::Results).await,
            Command::StmtClose(id) => {
                self.stmt_close(id);
                Ok(())
            }
            Command::Ping => self.ping().await,
            Command::InitDb(_) => {
                self.learn_warnings().await;
                self.plain(incoming, StatementKind::Use).await
            }
            Command::Statistics => {
                self.simple(incoming, StatementKind::ShowServer, ResponseKind::Single).await
            }
            Command::ProcessInfo => self.plain(incoming, StatementKind::ShowServer).await,
            Command::FieldList => self.field_list(incoming).await,
            Command::Debug | Command::Refresh | Command::Shutdown => {
                self.plain(incoming, StatementKind::Admin).await
            }
            Command::ProcessKill(id) => {
                self.kill(sql::KillKind::Connection, u64::from(id), incoming).await
            }
            Command::ChangeUser(_) => self.change_user(incoming).await,
            Command::ResetConnection => self.reset_connection(incoming).await,
            Command::SetOption(option) => self.set_option(incoming, option).await,
            Command::Replication(_) => {
                self.refuse_command(incoming, &error::unsupported("replication commands")).await
            }
            Command::Unknown(_) => self.refuse_command(incoming, &error::unknown_command()).await,
        }
    }

    /// COM_QUERY
    async fn query(&mut self, incoming: &mut Incoming) -> Result<(), End> {
        let mode = *self.state.lex_mode();
        let text = query_text(incoming, self.login.capabilities);
        let statement = match text {
            Some(text) => sql::classify(text, &mode),
            None => Statement::of_kind(StatementKind::Unknown),
        };
        if statement.kind == StatementKind::Kill
            && let Some((kind, id)) = text.and_then(|text| sql::kill_target(text, &mode))
        {
            return self.kill(kind, id, incoming).await;
        }
        let (statement, outcome) = self.text_prepared.judge(statement, text, &mode);
        let kind = ResponseKind::Results;
        let job = Job { incoming, statement, kind, statement_id: None, fixed: None };
        let done = self.run(job).await?;
        let state = &mut self.state;
        self.text_prepared.note(outcome, done.is_success(), &mode, || state.replayed.parse_state());
        Ok(())
    }

    /// A command with an ordinary response, routed as a statement of this kind.
    async fn plain(&mut self, incoming: &mut Incoming, kind: StatementKind) -> Result<(), End> {
        self.simple(incoming, kind, ResponseKind::Results).await
    }

    async fn simple(
        &mut self,
        incoming: &mut Incoming,
        statement: StatementKind,
        kind: ResponseKind,
    ) -> Result<(), End> {
        let statement = Statement::of_kind(statement);
        self.run(Job { incoming, statement, kind, statement_id: None, fixed: None }).await?;
        Ok(())
    }

    /// What MySQL repeats at COM_PING, COM_INIT_DB and COM_SET_OPTION is the number of warnings and
    /// errors of the statement before. After an error it is not known yet: the connection is asked by
    /// the one of these commands that changes nothing else.
    async fn learn_warnings(&mut self) {
        let is_mysql = self.state.lex_mode().make == Make::MySql;
        if !is_mysql || !self.state.diagnostics.is_untold() {
            return;
        }
        let side = self.state.last_side();
        let multi = self.login.capabilities.contains(Capabilities::MULTI_STATEMENTS);
        if let Some(held) = self.servers.get(side)
            && held.is_usable()
            && let Ok((status, warnings)) = held.guard.set_option(u16::from(!multi)).await
        {
            self.state.diagnostics.tell(warnings);
            // The statement that failed may have committed before.
            self.state.observe_status(side, status, Instant::now().into_std());
        }
    }

    /// Before a COM_PING that follows an error in MariaDB: the statement may have ended its transaction
    /// before it failed. Ping is the command that changes nothing else here.
    async fn learn_status(&mut self) {
        let on_primary = self.state.transaction() == Transaction::OnPrimary;
        if on_primary
            && self.state.diagnostics.is_untold()
            && let Some(held) = self.servers.get(Side::Primary)
            && held.is_usable()
            && let Ok(status) = held.guard.ping().await
        {
            self.state.observe_status(Side::Primary, status, Instant::now().into_std());
        }
    }

    /// COM_PING, answered here: a client that asks whether its connection lives is not to wait for a
    /// server.
    async fn ping(&mut self) -> Result<(), End> {
        self.learn_warnings().await;
        let warnings = match self.state.lex_mode().make {
            Make::MySql => self.state.diagnostics.warnings(),
            Make::MariaDb => {
                self.learn_status().await;
                0
            }
        };
        self.state.diagnostics.step_aside(Aside::Ping);
        reply::ok(&mut self.client, 1, self.state.status, warnings).await
    }

    /// COM_FIELD_LIST, which adds its warnings to those of the statement before.
    async fn field_list(&mut self, incoming: &mut Incoming) -> Result<(), End> {
        let statement = Statement::of_kind(StatementKind::Describe);
        let kind = ResponseKind::Rows;
        let fixed = Some(self.state.last_side());
        self.run(Job { incoming, statement, kind, statement_id: None, fixed }).await.map(drop)
    }

    /// COM_SET_OPTION: the option belongs to the session, so that connections made later get it
    /// with their login.
    async fn set_option(&mut self, incoming: &mut Incoming, option: u16) -> Result<(), End> {
        self.learn_warnings().await;
        let statement = Statement::of_kind(StatementKind::Set);
        let kind = ResponseKind::Results;
        let fixed = Some(Side::Primary);
        let job = Job { incoming, statement, kind, statement_id: None, fixed };
        if self.run(job).await?.is_success() {
            self.login.capabilities.set(Capabilities::MULTI_STATEMENTS, option == 0);
            self.servers.forget_login();
            // They are no longer what they were opened as, which no reset mends.
            for side in [Side::Primary, Side::Replica] {
                if let Some(held) = self.servers.get(side) {
                    held.guard.is_tainted = true;
                }
            }
            // Not closed, for a READ ONLY transaction may be open there.
            if let Some(held) = self.servers.get(Side::Replica)
                && held.guard.set_option(option).await.is_err()
            {
                self.servers.drop_side(Side::Replica, &self.handle);
            }
        }
        Ok(())
    }

    pub(super) async fn refuse_command(
        &mut self,
        incoming: &mut Incoming,
        err: &crate::protocol::ErrPacket,
    ) -> Result<(), End> {
        self.refuse_as(Kind::Unsupported, incoming, err).await
    }

    /// Answers a command that exceeds a limit.
    pub(super) async fn over_limit(
        &mut self,
        incoming: &mut Incoming,
        err: &crate::protocol::ErrPacket,
    ) -> Result<(), End> {
        self.refuse_as(Kind::Limit, incoming, err).await
    }

    async fn refuse_as(
        &mut self,
        kind: Kind,
        incoming: &mut Incoming,
        err: &crate::protocol::ErrPacket,
    ) -> Result<(), End> {
        self.count_error(kind);
        let settings = self.context.settings.load_full();
        let seq = incoming.discard_rest(&mut self.client, settings.max_packet).await?;
        reply::err(&mut self.client, seq.wrapping_add(1), err).await
    }
}

/// How long the client may be idle.
fn wait_timeout(session: &Session, settings: &Settings) -> Duration {
    let is_interactive = session.login.capabilities.contains(Capabilities::INTERACTIVE);
    session.state.wait_timeout().unwrap_or(match is_interactive {
        true => settings.interactive_timeout,
        false => settings.wait_timeout,
    })
}

/// The text of a COM_QUERY that is held whole.
pub(super) fn query_text(incoming: &Incoming, capabilities: Capabilities) -> Option<&[u8]> {
    let attributes = capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
    let body = incoming.payload().get(1..).filter(|_| incoming.is_whole())?;
    query::text(body, attributes).ok()
}

/// Returns if servers were taken out of the configuration. What wakes the session then is its news.
async fn servers_removed(handle: &SessionHandle) {
    poll_fn(|_| match handle.take_servers_removed() {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Returns at that time; never for `None`.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
