//! A session's server connections: at most one to the primary and one to a replica.

use std::sync::Arc;

use tokio::time::Instant;

use super::context::Settings;
pub use super::held::Held;
use super::held::{Parked, Slot};
use super::registry::SessionHandle;
use super::state::{InsertId, SessionState};
use crate::backend;
use crate::backend::connection::Phase;
use crate::backend::image::Image;
use crate::cluster::Member;
use crate::cluster::SessionFailure;
use crate::pool::{self, LoginKey, Wish};
use crate::protocol::flags::StatusFlags;
use crate::route::{Side, Transaction};

pub use crate::pool::LoginRecord;

/// What makes MariaDB forget warnings and errors.
const FORGET_CONDITIONS: &[u8] = b"SELECT 1 FROM (SELECT 1) t";

/// After so many connections of the pool that were of no use, one is opened for the session.
const MAX_UNFIT: usize = 3;

/// The session's connections by side.
#[derive(Debug, Default)]
pub struct Servers {
    primary: Slot,
    replica: Slot,
    /// What connections of either side are taken by; made when it is first needed.
    keys: [Option<LoginKey>; 2],
}

/// Who asks for a connection.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// How its client has logged in.
    pub login: &'a LoginRecord,
    /// The session.
    pub handle: &'a SessionHandle,
    /// The configuration.
    pub settings: &'a Settings,
    /// What runs next does no harm if it runs in another state than the session's, so that it can be
    /// sent before the server has said whether it could bring that about.
    pub is_harmless: bool,
    /// It can as well run on the primary.
    pub has_other_way: bool,
    /// A rule keeps the session on replicas.
    pub is_kept: bool,
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
    /// The connection is to a server that is no longer the primary, or is ceasing to be it. What the
    /// session had there is lost.
    Demoted {
        /// A transaction was open on it.
        in_transaction: bool,
    },
    /// The session's state cannot be brought about there.
    Sync(backend::Error),
}

impl Servers {
    fn slot(&mut self, side: Side) -> &mut Slot {
        match side {
            Side::Primary => &mut self.primary,
            Side::Replica => &mut self.replica,
        }
    }

    /// The session has another login now.
    pub fn forget_login(&mut self) {
        self.keys = Default::default();
        // What was given back is of another key.
        for slot in [&mut self.primary, &mut self.replica] {
            if let Slot::Parked(parked) = slot {
                parked.ticket = None;
            }
        }
    }

    /// The connection on `side` that the session holds.
    pub fn get(&mut self, side: Side) -> Option<&mut Held> {
        self.slot(side).held_mut()
    }

    /// The server of the session's connection on `side`, be it held or parked.
    pub fn member(&self, side: Side) -> Option<&Arc<Member>> {
        let slot = match side {
            Side::Primary => &self.primary,
            Side::Replica => &self.replica,
        };
        match slot {
            Slot::Empty => None,
            Slot::Held(held) => Some(&held.member),
            Slot::Parked(parked) => Some(&parked.member),
        }
    }

    /// The replica that the session reads from.
    pub fn replica_member(&self) -> Option<&Arc<Member>> {
        self.member(Side::Replica)
    }

    /// Keeps a connection, instead of one that was there.
    pub fn put(&mut self, side: Side, mut held: Held, handle: &SessionHandle) {
        handle.set_place(side, &held.member, held.guard.facts().thread_id);
        held.guard.session = handle.id;
        *self.slot(side) = Slot::Held(held);
    }

    /// Gives the connection on `side` back, on which the session has left nothing but what its image
    /// says and what was told of it. The session comes back for it unless others need it meanwhile.
    pub fn park(&mut self, side: Side, handle: &SessionHandle) {
        let slot = self.slot(side);
        match std::mem::take(slot) {
            Slot::Held(Held { guard, member }) => {
                if handle.leave_place(side) {
                    guard.close();
                } else if !member.is_removed() {
                    *slot = Slot::Parked(Parked { ticket: guard.release(), member });
                }
            }
            other => *slot = other,
        }
    }

    /// Gives back the connection on `side`, by a session that does not come back for it. It is reset
    /// then, unless it is `clean`.
    pub fn give_back(
        &mut self,
        side: Side,
        state: &SessionState,
        handle: &SessionHandle,
        clean: bool,
    ) {
        let Some(Held { mut guard, member }) = self.take(side, handle) else { return };
        if member.is_removed() {
            return guard.close();
        }
        guard.session = 0;
        if clean && guard.phase() == Phase::Ready && !guard.is_tainted {
            guard.release_for_all();
        } else if side == Side::Replica || state.is_resettable() {
            guard.recycle();
        } else {
            guard.close();
        }
    }

    /// Takes the connection on `side` away from the session, and forgets one that was given back.
    pub fn take(&mut self, side: Side, handle: &SessionHandle) -> Option<Held> {
        let is_killed = handle.clear_place(side);
        match std::mem::take(self.slot(side)) {
            Slot::Held(mut held) => {
                held.guard.is_tainted |= is_killed;
                Some(held)
            }
            _ => None,
        }
    }

    /// Closes the connection on `side`, and forgets one that was given back.
    pub fn drop_side(&mut self, side: Side, handle: &SessionHandle) {
        if let Some(held) = self.take(side, handle) {
            held.guard.close();
        }
    }

    /// Closes an unused connection to a replica that the configuration no longer names. `is_kept`:
    /// the primary side is a replica, too.
    pub fn release_removed(&mut self, state: &SessionState, handle: &SessionHandle, is_kept: bool) {
        let is_removed = |member: &Arc<Member>| member.is_leaving();
        let gone = self.member(Side::Primary).is_some_and(is_removed);
        if is_kept && gone && !state.is_bound_to_primary() {
            self.drop_side(Side::Primary, handle);
        }
        let in_use = state.transaction() == crate::route::Transaction::OnReplica
            || state.status.contains(StatusFlags::CURSOR_EXISTS);
        if !in_use && self.member(Side::Replica).is_some_and(is_removed) {
            self.drop_side(Side::Replica, handle);
        }
    }

    /// Notes whether a statement may have a cursor or long data on its connection.
    pub fn hold_statement(&mut self, side: Side, id: u64, is_held: bool) {
        let on_server = self.get(side).and_then(|held| held.guard.statements.get_mut(id));
        if let Some(on_server) = on_server {
            on_server.is_held = is_held;
        }
    }

    /// When [`Servers::send_pending`] is due, if anything is pending on a connection.
    #[inline]
    pub fn pending_due(&self) -> Option<Instant> {
        let due = |slot: &Slot| slot.held().and_then(|held| held.guard.pending_due());
        match (due(&self.primary), due(&self.replica)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Sends what waits for a next command on its connection.
    pub async fn send_pending(&mut self) {
        for slot in [&mut self.primary, &mut self.replica] {
            if let Some(held) = slot.held_mut() {
                held.guard.send_pending().await;
            }
        }
    }

    /// Says that the primary connection is what the session's state was observed on.
    #[inline]
    pub fn primary_is_in_line(&mut self, state: &mut SessionState) {
        if let Some(held) = self.primary.held_mut() {
            let image = state.replayed.image(Side::Primary);
            if !Arc::ptr_eq(&held.guard.image, image) {
                held.guard.image = Arc::clone(image);
            }
            if state.insert_id() == InsertId::Untold {
                held.guard.insert_id = None;
            }
        }
    }

    /// Whether a statement for `member` can be sent on the session's connection on `side` as it is,
    /// which is taken back from the pool if it was given back: nothing has to be said or waited for.
    /// So it is mostly; [`Servers::ensure`] does what else there is to do.
    pub fn is_at_hand(
        &mut self,
        side: Side,
        member: &Arc<Member>,
        state: &mut SessionState,
        by: &Asker<'_>,
    ) -> bool {
        if side == Side::Primary && state.replayed.is_new() {
            return false;
        }
        let bound = side == Side::Primary && state.is_bound_to_primary();
        let in_transaction = state.transaction() != Transaction::None;
        let image = state.replayed.image(side);
        let is_usable = match std::mem::take(self.slot(side)) {
            Slot::Parked(Parked { ticket: Some(ticket), member: at })
                if Arc::ptr_eq(&at, member) =>
            {
                let wish = wish_for(image);
                let key = key_of(&mut self.keys, side, by.login);
                let Some(guard) = at.pool().take_own(key, wish, ticket) else {
                    *self.slot(side) = Slot::Parked(Parked { ticket: None, member: at });
                    return false;
                };
                self.put(side, Held { guard, member: at }, by.handle);
                true
            }
            mut slot => {
                let is_usable = slot.held_mut().is_some_and(Held::is_usable);
                *self.slot(side) = slot;
                is_usable
            }
        };
        let fits = |held: &mut Held| {
            Arc::ptr_eq(&held.member, member) && Arc::ptr_eq(&held.guard.image, image)
        };
        let is_kept = by.is_kept;
        let stays = |held: &mut Held| is_kept || held.may_stay(side, member, in_transaction);
        is_usable
            && match bound {
                true => self.get(side).is_some_and(stays),
                false => self.get(side).is_some_and(fits),
            }
    }

    /// Whether the session holds a connection on `side` that a statement for `member` can be sent on;
    /// one that it holds and that will not do is given back.
    ///
    /// # Errors
    /// See [`Unavailable`].
    async fn keep(
        &mut self,
        side: Side,
        member: &Arc<Member>,
        state: &mut SessionState,
        by: Asker<'_>,
    ) -> Result<bool, Unavailable> {
        let Asker { handle, is_harmless, is_kept, .. } = by;
        let Some(held) = self.get(side) else { return Ok(false) };
        let bound = match side {
            Side::Primary => state.is_bound_to_primary(),
            Side::Replica => state.transaction() == Transaction::OnReplica,
        };
        let usable = held.is_usable();
        let in_transaction = state.transaction() != Transaction::None;
        if bound && usable && !is_kept && !held.may_stay(side, member, in_transaction) {
            self.drop_side(side, handle);
            return Err(Unavailable::Demoted { in_transaction });
        }
        let mut fits =
            || Arc::ptr_eq(&held.member, member) && held.guard.can_be(state.replayed.image(side));
        if usable && (bound || fits()) {
            // A bound primary is what the state was observed on. A replica in a transaction is
            // not: what belongs to the session is set on the primary.
            if !bound || side == Side::Replica {
                self.sync(side, state, None, is_harmless, handle).await?;
            }
            return Ok(true);
        }
        if usable {
            self.give_back(side, state, handle, false);
        } else {
            held.member.report_failure(SessionFailure::Lost);
            self.drop_side(side, handle);
        }
        match bound {
            false => Ok(false),
            true => Err(Unavailable::StateLost { in_transaction }),
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
        state: &mut SessionState,
        by: Asker<'_>,
    ) -> Result<(), Unavailable> {
        let Asker { login, settings, has_other_way, .. } = by;
        if self.keep(side, member, state, by).await? {
            return Ok(());
        }
        let (mut ticket, mut known) = match std::mem::take(self.slot(side)) {
            Slot::Parked(Parked { ticket, member: parked_at })
                if Arc::ptr_eq(&parked_at, member) =>
            {
                (ticket, Some(parked_at))
            }
            _ => (None, None),
        };
        // Nobody who has one of the primary's waits for one of a replica's, while others have those
        // and wait for the primary's. (Reads then run on the primary.)
        if side == Side::Replica
            && has_other_way
            && self.get(Side::Primary).is_some()
            && let Some(max) = member.pool().exhausted()
        {
            return Err(Unavailable::Pool(pool::Error::Exhausted(max)));
        }
        let mut tried = 0;
        loop {
            tried += 1;
            let image = state.replayed.image(side);
            let held = match tried {
                MAX_UNFIT.. => {
                    let schema = image.has_schema().then(|| image.schema().to_vec());
                    // Boxed: it is rare, and needs much memory.
                    Box::pin(connect(member, side, login, schema.as_deref(), settings)).await
                }
                _ => {
                    let wish = wish_for(image);
                    let key = key_of(&mut self.keys, side, login);
                    let deadline = Instant::now() + settings.checkout_timeout;
                    let taken = member.pool().checkout(key, wish, ticket.take(), deadline).await;
                    hold(known.take().unwrap_or_else(|| Arc::clone(member)), taken)
                }
            };
            let held = held.map_err(Unavailable::Pool)?;
            match self.take_over(side, held, state, by).await {
                // Nothing of the client's was sent: another connection does as well.
                Err(Unavailable::Sync(error)) if tried < MAX_UNFIT && error.is_of_connection() => {
                    tracing::debug!(%error, "a connection was of no use");
                }
                result => return result,
            }
        }
    }

    /// Makes a connection from the pool the session's own.
    async fn take_over(
        &mut self,
        side: Side,
        mut held: Held,
        state: &mut SessionState,
        by: Asker<'_>,
    ) -> Result<(), Unavailable> {
        let Asker { handle, is_harmless, .. } = by;
        let mut insert_id = None;
        if held.guard.session != handle.id {
            if let Err(error) = make_fit(&mut held, state.replayed.image(side)).await {
                held.guard.close();
                return Err(Unavailable::Sync(error));
            }
            state.diagnostics.moved(side);
            insert_id = match state.insert_id() {
                InsertId::Known(id) if side == Side::Primary => Some(id),
                _ => None,
            };
        }
        self.put(side, held, handle);
        if let Some(held) =
            self.get(side).filter(|_| side == Side::Primary && state.replayed.is_new())
        {
            // Maybe it begins under other defaults than were told at its login.
            state.begin_with(held.guard.initial_state());
        }
        self.sync(side, state, insert_id, is_harmless, handle).await
    }

    /// Brings the connection on `side` in line with the session.
    async fn sync(
        &mut self,
        side: Side,
        state: &mut SessionState,
        insert_id: Option<u64>,
        with_next: bool,
        handle: &SessionHandle,
    ) -> Result<(), Unavailable> {
        let Some(held) = self.get(side) else { return Ok(()) };
        let image = state.replayed.image(side);
        let result = held.guard.bring_in_line(image, insert_id, with_next).await;
        result.map_err(|error| {
            self.drop_side(side, handle);
            Unavailable::Sync(error)
        })
    }
}

fn wish_for(image: &Image) -> Wish {
    Wish { has_schema: image.has_schema(), fingerprint: image.fingerprint() }
}

fn key_of<'a>(
    keys: &'a mut [Option<LoginKey>; 2],
    side: Side,
    login: &LoginRecord,
) -> &'a LoginKey {
    let key = &mut keys[usize::from(side == Side::Replica)];
    key.get_or_insert_with(|| LoginKey::new(login, side == Side::Replica))
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
    hold(Arc::clone(member), member.pool().open_anew(&key, schema, deadline).await)
}

/// Takes away what another session has left that could be seen, and resets a connection that cannot
/// be brought into the state of `image` by what it is in.
async fn make_fit(held: &mut Held, image: &Arc<Image>) -> Result<(), backend::Error> {
    if std::mem::take(&mut held.guard.has_conditions) && held.guard.facts().is_mariadb {
        // Statements without a table keep them.
        held.guard.run(FORGET_CONDITIONS).await?;
    }
    if held.guard.can_be(image) {
        return Ok(());
    }
    if image.is_reset() {
        return held.guard.reset().await;
    }
    match held.guard.reset_for_reuse().await? {
        true => Ok(()),
        false => Err(backend::Error::State),
    }
}

/// Tells the monitor of a failure.
fn hold(member: Arc<Member>, taken: Result<pool::Guard, pool::Error>) -> Result<Held, pool::Error> {
    if let Err(pool::Error::Backend(error)) = &taken
        && error.is_fault()
    {
        member.report_failure(SessionFailure::Connect);
    }
    taken.map(|guard| Held { guard, member })
}
