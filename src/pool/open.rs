//! Opening connections, for whoever is first in line, and what a failure means for those who wait.
//!
//! Connects are the pool's and not the waiter's: a waiter is served by whichever connection is free
//! first, and a server that is slow to connect to is not asked once for each waiter.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::counters::{Connect, Outcome};
use super::guard::{Guard, Seat};
use super::queue::Order;
use super::{Error, LoginKey, Opener, Pool, Pooled, ToServer, Wish};
use crate::backend::change_user::hand_on;
use crate::backend::error::{Error as BackendError, codes};
use crate::backend::{self, Connection, Login};
use crate::protocol::handshake::without_attribute;

/// Whom a failed connect concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The server refuses connections for now.
    Server,
    /// It refuses those of this account for now.
    Account,
    /// It does not let this account in.
    Login,
    /// It cannot be reached, or does not work.
    Fault,
}

impl Failure {
    fn of(error: &BackendError) -> Self {
        match error {
            BackendError::Server(err) => match err.code {
                codes::CON_COUNT | codes::HOST_IS_BLOCKED => Self::Server,
                codes::TOO_MANY_USER_CONNECTIONS | codes::USER_LIMIT_REACHED => Self::Account,
                codes::SERVER_SHUTDOWN => Self::Fault,
                _ => Self::Login,
            },
            error if error.is_fault() => Self::Fault,
            _ => Self::Login,
        }
    }
}

impl<O: Opener> Pool<O> {
    /// Opens a connection in the background; where there is no runtime, the next maintenance does.
    pub(super) fn start_opening(self: &Arc<Self>, order: Order<O::Key, O::Connection>) {
        let seat = Seat::new(self, order.slot);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(open(Arc::clone(self), seat, order));
        }
    }

    /// Takes in how a connect ended that was begun at that time, after those before `began` had got in
    /// line. Failed, those who wait and cannot be helped are told.
    pub(super) fn note_connect(
        self: &Arc<Self>,
        key: &O::Key,
        (at, began): (Instant, u64),
        result: Result<&O::Connection, &BackendError>,
    ) {
        let now = Instant::now();
        let error = match result {
            Ok(connection) => {
                let is_handed = connection.opened_at() < at;
                self.counters().connect(if is_handed { Connect::Handed } else { Connect::Opened });
                return self.lock().connected(key, at, is_handed);
            }
            Err(error) => error,
        };
        self.counters().connect(Connect::Failed);
        let failure = Failure::of(error);
        let (until, failed, given_up) = {
            let mut store = self.lock();
            match (failure, error) {
                (Failure::Server | Failure::Account, BackendError::Server(err)) => {
                    let of_account = (failure == Failure::Account).then_some(key);
                    let until = store.refused(of_account, err.clone(), now, fastrand::u64(..));
                    // This connect still has its place: who has no other has nothing to wait for.
                    let is_last = store.places(key) <= 1;
                    let failed = if is_last { store.fail(Some(key), u64::MAX) } else { Vec::new() };
                    (Some(until), failed, store.give_up_one())
                }
                (Failure::Fault, _) => (None, store.fail(None, began), None),
                _ => (None, store.fail(Some(key), u64::MAX), None),
            }
        };
        if let Some((slot, connection)) = given_up {
            Guard::new(connection, Seat::new(self, slot)).close();
        }
        for waiter in failed {
            // One that has gone away meanwhile need not be told.
            let _ = waiter.send(Err(error.duplicate()));
        }
        if let (Some(until), Ok(runtime)) = (until, tokio::runtime::Handle::try_current()) {
            let pool = Arc::downgrade(self);
            runtime.spawn(async move {
                sleep_until(until).await;
                if let Some(pool) = pool.upgrade() {
                    pool.pump();
                }
            });
        }
    }
}

async fn open<O: Opener>(pool: Arc<Pool<O>>, seat: Seat<O>, order: Order<O::Key, O::Connection>) {
    let Order { key, began, instead_of, .. } = order;
    let at = Instant::now();
    let deadline = at + pool.limits().connect_timeout;
    let result = match timeout_at(deadline, pool.opener().open(&key, instead_of, deadline)).await {
        Ok(result) => result,
        Err(_) => Err(BackendError::TimedOut("connecting")),
    };
    pool.note_connect(&key, (at, began), result.as_ref());
    if let Ok(connection) = result {
        seat.set_age(connection.opened_at());
        if let Some((pool, slot)) = seat.give() {
            pool.give_back(slot, connection, false, Some(Outcome::Opened));
        }
    }
}

impl ToServer {
    /// Makes `instead_of` the connection of that login, or opens one.
    async fn connect(
        &self,
        login: Login<'_>,
        instead_of: Option<Box<Connection>>,
        deadline: Instant,
    ) -> Result<Box<Connection>, BackendError> {
        if let Some(old) = instead_of
            && let Some(handed) = hand_on(old, login, deadline).await?
        {
            return Ok(handed);
        }
        backend::connect(&self.0, login, deadline).await.map(Box::new)
    }
}

impl LoginKey {
    /// The login of a connection of this key.
    fn login<'a>(&'a self, schema: Option<&'a [u8]>, attributes: Option<&'a [u8]>) -> Login<'a> {
        Login {
            credential: &self.login.credential,
            capabilities: self.login.capabilities,
            charset: self.login.charset,
            schema,
            attributes,
            client_tls: self.login.client_tls,
            track: true,
            read_only: self.read_only,
        }
    }
}

impl Opener for ToServer {
    type Key = LoginKey;
    // It moves between pool and session at every statement.
    type Connection = Box<Connection>;

    async fn open(
        &self,
        key: &LoginKey,
        instead_of: Option<Box<Connection>>,
        deadline: Instant,
    ) -> Result<Box<Connection>, BackendError> {
        // It serves many processes.
        let attributes = key.login.attributes.as_deref();
        let attributes = attributes.map(|it| without_attribute(it, b"_pid"));
        self.connect(key.login(None, attributes.as_deref()), instead_of, deadline).await
    }
}

impl Pooled for Box<Connection> {
    fn is_usable(&mut self, now: Instant) -> bool {
        Connection::is_usable(self, now)
    }

    fn wish(&self) -> Wish {
        Wish { has_schema: self.image.has_schema(), fingerprint: self.image.fingerprint() }
    }

    fn opened_at(&self) -> Instant {
        self.opened_at
    }

    fn ready_since(&self) -> Instant {
        Connection::ready_since(self)
    }

    fn come_here(&mut self) -> std::io::Result<()> {
        Connection::come_here(self)
    }

    async fn end(self) {
        self.quit().await;
    }
}

impl Pool {
    /// Opens a connection beside the limits, for what must get through when they are reached. The
    /// caller sees to it that there are few.
    ///
    /// # Errors
    /// The server's or the network's.
    pub async fn open_beside(
        &self,
        key: &LoginKey,
        deadline: Instant,
    ) -> Result<Box<Connection>, BackendError> {
        let opened = timeout_at(deadline, self.opener().open(key, None, deadline)).await;
        opened.unwrap_or(Err(BackendError::TimedOut("connecting")))
    }

    /// Opens a connection for one session, whose login it proves: never one that is there already.
    /// Counts for the limits, and waits in line for room until `deadline`; it may then take as long
    /// to connect as any.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open_anew(
        self: &Arc<Self>,
        key: &LoginKey,
        schema: Option<&[u8]>,
        deadline: Instant,
    ) -> Result<Guard, Error> {
        let (seat, instead_of) = self.room(key, deadline).await?;
        let began = (Instant::now(), self.lock().next_seq());
        let login = key.login(schema, key.login.attributes.as_deref());
        let connect_by = Instant::now() + self.limits().connect_timeout;
        let result = self.opener().connect(login, instead_of, connect_by).await;
        // A schema that does not exist is this session's own affair.
        match &result {
            Err(BackendError::Server(err)) if Failure::of_one(err.code) => {
                self.counters().connect(Connect::Failed);
            }
            result => self.note_connect(key, began, result.as_ref()),
        }
        let connection = result?;
        seat.set_taken(connection.opened_at);
        Ok(Guard::new(connection, seat))
    }
}

impl Failure {
    /// Whether an error may come of what one session alone asked for.
    fn of_one(code: u16) -> bool {
        matches!(code, codes::BAD_DB | codes::DB_ACCESS_DENIED)
    }
}
