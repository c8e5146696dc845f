//! Commands about connections rather than data: KILL, COM_CHANGE_USER, COM_RESET_CONNECTION.

use std::sync::Arc;

use tokio::time::Instant;

use super::Session;
use super::context::Settings;
use super::error::{self, End, Kind};
use super::found_rows::FoundRowsUse;
use super::incoming::Incoming;
use super::job::{Done, Job};
use super::login::{self, Asking, Established, Failure};
use super::proofs::LIFETIME;
use super::prove;
use super::registry::{Interrupt, Registry, SessionHandle};
use super::reply;
use super::rules::has_tag;
use crate::auth::Nonce;
use crate::backend::{self, error::codes};
use crate::cluster::Member;
use crate::pool::{self, LoginKey, Wish};
use crate::protocol::ErrPacket;
use crate::protocol::handshake::ChangeUser;
use crate::protocol::response::ResponseKind;
use crate::protocol::text_row::Row;
use crate::route::Side;
use crate::sql::{KillKind, Statement, StatementKind};

impl Session {
    /// KILL and COM_PROCESS_KILL. An id of lagwise's own, or one that the primary gave to a
    /// session of lagwise's, means that session, wherever it runs; any other is the primary's
    /// business. Whether this account may kill is for the servers to say, or for what they say of its
    /// privileges.
    pub(super) async fn kill(
        &mut self,
        kind: KillKind,
        id: u64,
        incoming: &mut Incoming,
    ) -> Result<(), End> {
        let home = self.home(&self.context.cluster.load(), &[]);
        let target = home.and_then(|home| self.context.registry.find(id, &home));
        // Who is kept on replicas does not reach the sessions of others elsewhere.
        let target = target.filter(|target| !self.is_kept() || self.may_reach(target));
        let Some(target) = target else {
            if Registry::is_own(id) {
                let err = ErrPacket::new(
                    codes::NO_SUCH_THREAD,
                    b"HY000",
                    format!("Unknown thread id: {id}"),
                );
                return reply::err(&mut self.client, 1, &err).await;
            }
            let statement = Statement::of_kind(StatementKind::Kill);
            let results = ResponseKind::Results;
            let fixed = None;
            let job = Job { incoming, statement, kind: results, statement_id: None, fixed };
            return self.run(job).await.map(drop);
        };
        let aims = match kind {
            KillKind::Query => target.aim_at_query().into_iter().collect(),
            KillKind::Connection => target.aim_at_all(),
        };
        if aims.is_empty()
            && !target.is_of(&self.login.credential.user)
            && let Err(err) = self.check_kill_privilege(id).await
        {
            return reply::err(&mut self.client, 1, &err).await;
        }
        for aim in aims {
            let word = match kind {
                KillKind::Query => "QUERY",
                KillKind::Connection => "CONNECTION",
            };
            if let Err(err) =
                self.kill_on(&aim.member, &format!("KILL {word} {}", aim.thread)).await
            {
                return reply::err(&mut self.client, 1, &err).await;
            }
            if kind == KillKind::Connection {
                aim.hit();
            }
        }
        if kind == KillKind::Connection {
            target.set_interrupt(Interrupt::Kill);
        }
        reply::ok(&mut self.client, 1, self.state.status, 0).await
    }

    /// Whether all connections of another session are to replicas that this one may use.
    fn may_reach(&self, target: &SessionHandle) -> bool {
        let Some((_, rule)) = self.rules.keeper() else { return true };
        target.is_only_at(|member| has_tag(member, rule.tag.as_deref()))
    }

    /// Runs a KILL over a connection of its own, under this session's account.
    async fn kill_on(&self, member: &Arc<Member>, sql: &str) -> Result<(), ErrPacket> {
        match self.ask_aside(member, sql).await {
            // Gone already: that is what was wanted.
            Err(pool::Error::Backend(backend::Error::Server(err)))
                if err.code == codes::NO_SUCH_THREAD =>
            {
                Ok(())
            }
            Err(error) => Err(error::unreachable(&member.config().name, &error)),
            Ok(_) => Ok(()),
        }
    }

    /// Whether this account may kill sessions of others, where there is no connection to a server on
    /// which that would show. Privileges that it has by a role alone are not seen.
    async fn check_kill_privilege(&self, id: u64) -> Result<(), ErrPacket> {
        const SQL: &str = "SELECT privilege_type FROM information_schema.user_privileges WHERE \
                           privilege_type IN ('SUPER', 'CONNECTION_ADMIN', 'CONNECTION ADMIN') AND \
                           REPLACE(grantee, '''', '') = CURRENT_USER() LIMIT 1";
        let home = self.home(&self.context.cluster.load(), &[]);
        let Some(home) = home else { return Err(error::not_owner(id)) };
        match self.ask_aside(&home, SQL).await {
            Ok(rows) if rows.is_empty() => Err(error::not_owner(id)),
            Ok(_) => Ok(()),
            Err(error) => Err(error::unreachable(&home.config().name, &error)),
        }
    }

    /// Asks a server over a connection of its own, under this session's account; beside the limits where
    /// all are in use, for that is when somebody has to be killed.
    async fn ask_aside(&self, member: &Arc<Member>, sql: &str) -> Result<Vec<Row>, pool::Error> {
        let settings = self.context.settings.load();
        let key = LoginKey::new(&self.login, false);
        let pool = member.pool();
        if let Some(max) = pool.exhausted() {
            let Ok(_permit) = self.context.asides.acquire().await else {
                return Err(pool::Error::Exhausted(max));
            };
            let deadline = Instant::now() + settings.connect_timeout;
            let mut aside = pool.open_beside(&key, deadline).await?;
            let rows = aside.query_rows(sql, deadline).await;
            (*aside).quit().await;
            return Ok(rows?);
        }
        let until = Instant::now() + settings.checkout_timeout;
        // Any will do.
        let wish = Wish { has_schema: true, fingerprint: 0 };
        let mut guard = pool.checkout(&key, wish, None, until).await?;
        let deadline = Instant::now() + settings.connect_timeout;
        let rows = guard.query_rows(sql, deadline).await?;
        guard.recycle();
        Ok(rows)
    }

    /// COM_CHANGE_USER: a login anew on the same client connection. One that fails ends the
    /// session, as a server does.
    pub(super) async fn change_user(&mut self, incoming: &mut Incoming) -> Result<(), End> {
        let body = incoming.payload().get(1..).unwrap_or_default();
        let Ok(change) = ChangeUser::parse(body, self.login.capabilities) else {
            reply::err(&mut self.client, 1, &error::malformed("COM_CHANGE_USER")).await?;
            return Err(End::Refused("malformed COM_CHANGE_USER".into()));
        };
        let settings = self.context.settings.load_full();
        self.let_go(&settings).await;
        // Who waits for a connection must not keep others from giving theirs back.
        self.leave();
        let asking = Asking {
            user: change.user,
            plugin: change.auth_plugin,
            data: change.auth_data,
            capabilities: self.login.capabilities,
            charset: change.charset.unwrap_or(self.login.charset),
            attributes: change.attributes,
            schema: change.schema.unwrap_or_default(),
            nonce: self.nonce,
            is_change: true,
            client: self.login.credential.client,
            origin: self.origin,
            login_place: None,
        };
        let context = Arc::clone(&self.context);
        self.client.restart_answers();
        let login =
            login::authenticate(&mut self.client, 1, asking, &self.handle, &context, &settings);
        let established = match tokio::time::timeout(settings.login_timeout, login).await {
            Ok(Ok(established)) => established,
            Ok(Err(Failure::Denied(error))) => return Err(End::Refused(error)),
            Ok(Err(Failure::Limit)) => return Err(End::Refused("too many clients".into())),
            Ok(Err(Failure::Ended(end))) => return Err(end),
            Err(_) => {
                let seq = self.client.answer_seq();
                reply::err(&mut self.client, seq, &error::read_timeout()).await?;
                return Err(End::Refused("COM_CHANGE_USER timed out".into()));
            }
        };
        self.become_established(established);
        Ok(())
    }

    /// Before a login anew: locks, temporary tables and a transaction end before the client is told that
    /// it is logged in, as at a server. To close the connection alone would free them a moment later.
    async fn let_go(&mut self, settings: &Settings) {
        if !self.state.is_bound_to_primary() {
            return;
        }
        if let Some(held) = self.servers.get(Side::Primary) {
            // One that fails is closed, as all are that are not needed any more.
            let _ = tokio::time::timeout(settings.login_timeout, held.guard.reset()).await;
        }
    }

    fn become_established(&mut self, established: Established) {
        let Established { login, welcome, first, schema, nonce, rules, place, .. } = established;
        let nonce: Nonce = nonce;
        self.leave();
        (self.knows_thread, self.settle_at) = (false, None);
        let pin = std::mem::take(&mut self.state.pin);
        self.state = super::new_state(&welcome, &login, schema);
        // What this client wrote as another user it may look for as this one. What it read was another
        // session's.
        self.state.pin = pin;
        (self.seen, self.seen_tables) = Default::default();
        self.prepared.clear();
        self.text_prepared.clear();
        self.strays.clear();
        self.forget_key();
        self.found_rows = FoundRowsUse::default();
        self.rules = rules;
        self.place = place;
        self.proven_at = std::time::Instant::now();
        self.login = login;
        self.servers.forget_login();
        self.nonce = nonce;
        self.take_first(first);
    }

    /// The session takes a connection, which may have been proven long ago: its account is judged anew
    /// in the background, once in [`LIFETIME`] at most.
    pub(super) fn renew_proof(&mut self) {
        let now = std::time::Instant::now();
        if now.saturating_duration_since(self.proven_at) < LIFETIME {
            return;
        }
        self.proven_at = now;
        let (context, login) = (Arc::clone(&self.context), self.login.clone());
        let schema = self.state.schema().map(<[u8]>::to_vec);
        tokio::spawn(prove::renew(context, login, schema));
    }

    /// COM_RESET_CONNECTION: the primary resets its side of the session; a replica's connection is
    /// given back, as there is nothing on it to keep.
    pub(super) async fn reset_connection(&mut self, incoming: &mut Incoming) -> Result<(), End> {
        let statement = Statement::of_kind(StatementKind::Empty);
        let kind = ResponseKind::Results;
        let fixed = Some(Side::Primary);
        let job = Job { incoming, statement, kind, statement_id: None, fixed };
        let Done::Forwarded(_, relayed) = self.run(job).await? else { return Ok(()) };
        if relayed.error_code.is_some() {
            return Ok(());
        }
        self.prepared.clear();
        self.text_prepared.clear();
        self.strays.clear();
        self.forget_key();
        self.give_back(Side::Replica);
        self.knows_thread = false;
        let status = self.state.status;
        self.state.reset(status);
        let image = Arc::clone(self.state.replayed.image(Side::Primary));
        if let Some(held) = self.servers.get(Side::Primary) {
            held.guard.statements.clear();
            held.guard.image = image;
            // The trackers were reset as well.
            match held.guard.start_tracking().await {
                Ok(()) => self.state.begin_with(held.guard.initial_state()),
                Err(_) => {
                    self.servers.drop_side(Side::Primary, &self.handle);
                    self.count_error(Kind::Lost);
                }
            }
        }
        Ok(())
    }
}
