//! A session's server connections: at most one to the primary and one to a replica.

use std::sync::Arc;

use tokio::time::Instant;

use super::context::Settings;
use super::registry::SessionHandle;
use super::state::SessionState;
use crate::backend;
use crate::backend::connection::Phase;
use crate::backend::image::Image;
use crate::cluster::Member;
use crate::cluster::SessionFailure;
use crate::pool::{self, LoginKey, Wish};
use crate::protocol::flags::StatusFlags;
use crate::route::{Side, Transaction};

pub use crate::pool::LoginRecord;

/// A connection that the session holds.
#[derive(Debug)]
pub struct Held {
    /// The connection.
    pub guard: pool::Guard,
    /// Its server.
    pub member: Arc<Member>,
}

impl Held {
    /// False once the server has closed it or said something unasked (which is a farewell: a
    /// timeout, KILL, or shutdown). Costs no system call while nothing has arrived.
    pub fn is_usable(&mut self) -> bool {
        if self.guard.phase() != Phase::Ready || self.member.is_removed() {
            return self.guard.phase() == Phase::Ready;
        }
        self.guard.is_usable()
    }
}

/// The session's connections by side.
#[derive(Debug, Default)]
pub struct Servers {
    primary: Option<Held>,
    replica: Option<Held>,
}

/// Why a connection cannot be had.
#[derive(Debug)]
pub enum Unavailable {
    /// The pool, the server or the network.
    Pool(pool::Error),
    /// The connection that held the session's state is gone.
    StateLost {
        /// A transaction was open on it.
        in_transaction: bool,
    },
    /// The session's state cannot be brought about there.
    Sync(backend::Error),
}

impl Servers {
    /// The connection on `side`.
    pub fn get(&mut self, side: Side) -> Option<&mut Held> {
        match side {
            Side::Primary => self.primary.as_mut(),
            Side::Replica => self.replica.as_mut(),
        }
    }

    /// The server of the connection on `side`.
    pub fn member(&self, side: Side) -> Option<&Arc<Member>> {
        let held = match side {
            Side::Primary => &self.primary,
            Side::Replica => &self.replica,
        };
        held.as_ref().map(|held| &held.member)
    }

    /// The replica that the session reads from.
    pub fn replica_member(&self) -> Option<&Arc<Member>> {
        self.replica.as_ref().map(|held| &held.member)
    }

    /// Keeps a connection, instead of one that was there.
    pub fn put(&mut self, side: Side, held: Held, handle: &SessionHandle) {
        let place = (Arc::clone(&held.member), held.guard.facts().thread_id);
        handle.set_place(side, Some(place));
        match side {
            Side::Primary => self.primary = Some(held),
            Side::Replica => self.replica = Some(held),
        }
    }

    /// Gives back the connection on `side`, which is reset then.
    pub fn give_back(&mut self, side: Side, state: &SessionState, handle: &SessionHandle) {
        let Some(Held { guard, member }) = self.take(side, handle) else { return };
        if !member.is_removed() && (side == Side::Replica || state.is_resettable()) {
            guard.recycle();
        } else {
            guard.close();
        }
    }

    /// Gives back all connections.
    pub fn give_back_all(&mut self, state: &SessionState, handle: &SessionHandle) {
        self.give_back(Side::Primary, state, handle);
        self.give_back(Side::Replica, state, handle);
    }

    /// Takes the connection on `side` away from the session.
    pub fn take(&mut self, side: Side, handle: &SessionHandle) -> Option<Held> {
        handle.set_place(side, None);
        match side {
            Side::Primary => self.primary.take(),
            Side::Replica => self.replica.take(),
        }
    }

    /// Closes the connection on `side`.
    pub fn drop_side(&mut self, side: Side, handle: &SessionHandle) {
        if let Some(held) = self.take(side, handle) {
            held.guard.close();
        }
    }

    /// Closes an unused connection to a replica that the configuration no longer names. `is_kept`:
    /// the primary side is a replica, too.
    pub fn release_removed(&mut self, state: &SessionState, handle: &SessionHandle, is_kept: bool) {
        let is_removed = |member: &Arc<Member>| member.is_removed();
        let gone = self.member(Side::Primary).is_some_and(is_removed);
        if is_kept && gone && !state.is_bound_to_primary() {
            self.drop_side(Side::Primary, handle);
        }
        let in_use = state.transaction() == crate::route::Transaction::OnReplica
            || state.status.contains(StatusFlags::CURSOR_EXISTS);
        if !in_use && self.replica.as_ref().is_some_and(|held| held.member.is_removed()) {
            self.drop_side(Side::Replica, handle);
        }
    }

    /// Notes whether a statement may have a cursor or long data on its connection.
    pub fn hold_statement(&mut self, side: Side, id: u32, is_held: bool) {
        let on_server = self.get(side).and_then(|held| held.guard.statements.get_mut(id));
        if let Some(on_server) = on_server {
            on_server.is_held = is_held;
        }
    }

    /// When [`Servers::send_pending`] is due, if anything is pending on a connection.
    #[inline]
    pub fn pending_due(&self) -> Option<Instant> {
        let due = |held: &Option<Held>| held.as_ref().and_then(|held| held.guard.pending_due());
        match (due(&self.primary), due(&self.replica)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Sends what waits for a next command on its connection.
    pub async fn send_pending(&mut self) {
        for held in [&mut self.primary, &mut self.replica].into_iter().flatten() {
            held.guard.send_pending().await;
        }
    }

    /// Says that the primary connection is what the session's state was observed on.
    #[inline]
    pub fn primary_is_in_line(&mut self, state: &mut SessionState) {
        if let Some(held) = &mut self.primary {
            let image = state.replayed.image(Side::Primary);
            if !Arc::ptr_eq(&held.guard.image, image) {
                held.guard.image = Arc::clone(image);
            }
        }
    }

    /// Makes the connection on `side` one to `member` that a statement can be sent on.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn ensure(
        &mut self,
        side: Side,
        member: &Arc<Member>,
        login: &LoginRecord,
        state: &mut SessionState,
        handle: &SessionHandle,
        settings: &Settings,
    ) -> Result<(), Unavailable> {
        if let Some(held) = self.get(side) {
            let bound = match side {
                Side::Primary => state.is_bound_to_primary(),
                Side::Replica => state.transaction() == Transaction::OnReplica,
            };
            let usable = held.is_usable();
            let mut fits = || {
                Arc::ptr_eq(&held.member, member) && held.guard.can_be(state.replayed.image(side))
            };
            if usable && (bound || fits()) {
                // A bound primary is what the state was observed on. A replica in a transaction is
                // not: what belongs to the session is set on the primary.
                let observed = bound && side == Side::Primary;
                return if observed { Ok(()) } else { self.sync(side, state, handle).await };
            }
            if usable {
                self.give_back(side, state, handle);
            } else {
                held.member.report_failure(SessionFailure::Lost);
                self.drop_side(side, handle);
            }
            if bound {
                let in_transaction = state.transaction() != Transaction::None;
                return Err(Unavailable::StateLost { in_transaction });
            }
        }
        let held = checkout(member, side, login, state.replayed.image(side), settings).await;
        let mut held = held.map_err(Unavailable::Pool)?;
        if state.replayed.is_reset() {
            held.guard.reset().await.map_err(Unavailable::Sync)?;
        }
        self.put(side, held, handle);
        if let Some(held) =
            self.get(side).filter(|_| side == Side::Primary && state.replayed.is_new())
        {
            // Maybe it begins under other defaults than were told at its login.
            state.begin_with(held.guard.initial_state());
        }
        self.sync(side, state, handle).await
    }

    /// Brings the connection on `side` in line with the session.
    async fn sync(
        &mut self,
        side: Side,
        state: &mut SessionState,
        handle: &SessionHandle,
    ) -> Result<(), Unavailable> {
        let Some(held) = self.get(side) else { return Ok(()) };
        let result = held.guard.bring_in_line(state.replayed.image(side)).await;
        result.map_err(|error| {
            self.drop_side(side, handle);
            Unavailable::Sync(error)
        })
    }
}

/// Opens a connection for a session whose default schema is `schema`, for one of the pool would prove
/// nothing; tells the monitor of a failure. On a replica's, nothing can be written.
///
/// # Errors
/// The pool's, the server's or the network's.
pub async fn connect(
    member: &Arc<Member>,
    side: Side,
    login: &LoginRecord,
    schema: Option<&[u8]>,
    settings: &Settings,
) -> Result<Held, pool::Error> {
    let key = LoginKey::new(login, side == Side::Replica);
    let deadline = Instant::now() + settings.checkout_timeout;
    hold(member, member.pool().open_anew(&key, schema, deadline).await)
}

/// Takes a connection from the pool that can be brought into the state of `image`; tells the monitor
/// of a failure. On a replica's, nothing can be written.
///
/// # Errors
/// The pool's, the server's or the network's.
pub async fn checkout(
    member: &Arc<Member>,
    side: Side,
    login: &LoginRecord,
    image: &Image,
    settings: &Settings,
) -> Result<Held, pool::Error> {
    let key = LoginKey::new(login, side == Side::Replica);
    let wish = Wish { has_schema: image.has_schema(), fingerprint: image.fingerprint() };
    let deadline = Instant::now() + settings.checkout_timeout;
    hold(member, member.pool().checkout(&key, wish, None, deadline).await)
}

fn hold(
    member: &Arc<Member>,
    taken: Result<pool::Guard, pool::Error>,
) -> Result<Held, pool::Error> {
    if let Err(pool::Error::Backend(error)) = &taken
        && error.is_fault()
    {
        member.report_failure(SessionFailure::Connect);
    }
    taken.map(|guard| Held { guard, member: Arc::clone(member) })
}
