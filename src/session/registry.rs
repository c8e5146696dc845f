//! Sessions by connection id, so that KILL and those who look for one find them.
//!
//! [`snapshot`]: what can be seen of them.

pub mod snapshot;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Hold, PinView};
use crate::cluster::Member;
use crate::route::Side;

/// First connection id that lagwise gives out. Servers count from 1, so that their ids and
/// lagwise's do not meet, and both can be named in a KILL.
const FIRST_ID: u32 = 0x8000_0000;

/// What a session is asked from outside to do. Later ones are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interrupt {
    /// Nothing.
    None,
    /// End when no statement runs and no transaction is open.
    Drain,
    /// End now: lagwise is being stopped.
    Close,
    /// End now: somebody killed it.
    Kill,
}

/// What a session is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It logs in.
    Login,
    /// It runs a command.
    Runs,
    /// It waits for a command with something open: a transaction, or what holds it to a connection.
    Waits,
    /// It waits for a command with nothing open.
    Idle,
}

/// What others may see of a session, and do to it.
#[derive(Debug)]
pub struct SessionHandle {
    /// The connection id that the client was told.
    pub id: u32,
    /// Where the client is; `None`: on a Unix socket.
    client: Mutex<Option<SocketAddr>>,
    /// The user that it is logged in as.
    user: Mutex<Vec<u8>>,
    places: Mutex<Places>,
    on_replica: AtomicBool,
    /// An [`Activity`].
    activity: AtomicU8,
    /// Why it keeps a connection, counted from 1 as in [`Hold::NAMES`]; 0: it keeps none.
    hold: AtomicU8,
    /// What a replica must have before the session reads there.
    pin: Mutex<Option<PinView>>,
    interrupt: AtomicU8,
    /// Wakes the session, whatever for: it looks then.
    news: Notify,
    servers_removed: AtomicBool,
}

/// Where a session has connections.
#[derive(Debug, Default)]
struct Places {
    primary: Option<Place>,
    replica: Option<Place>,
}

/// A connection that a session has.
#[derive(Debug)]
struct Place {
    member: Arc<Member>,
    /// The server's id of it.
    thread: u32,
    /// KILLs that are on their way to it.
    kills: u32,
    /// It was given back; the session may come back for it. (Noted so, and not taken out: all cores
    /// share the count of references to a server.)
    is_away: bool,
}

impl Places {
    fn at(&mut self, side: Side) -> &mut Option<Place> {
        match side {
            Side::Primary => &mut self.primary,
            Side::Replica => &mut self.replica,
        }
    }

    /// Those that the session has now.
    fn here(&self) -> impl Iterator<Item = &Place> {
        self.primary.iter().chain(&self.replica).filter(|place| !place.is_away)
    }
}

/// A KILL is on its way to a connection of a session: until this is dropped, nobody else gets that one.
#[derive(Debug)]
pub struct Aim {
    target: Arc<SessionHandle>,
    side: Side,
    /// The server.
    pub member: Arc<Member>,
    /// The server's id of the connection.
    pub thread: u32,
    hits: bool,
}

impl Aim {
    /// The connection is killed: nobody else gets it ever.
    pub fn hit(mut self) {
        self.hits = true;
    }
}

impl Drop for Aim {
    fn drop(&mut self) {
        let mut places = self.target.places();
        if let Some(place) = places.at(self.side)
            && place.thread == self.thread
            && Arc::ptr_eq(&place.member, &self.member)
            && !self.hits
        {
            place.kills = place.kills.saturating_sub(1);
        }
    }
}

impl SessionHandle {
    /// Notes that the client is elsewhere: a proxy has said so.
    pub fn set_client(&self, client: SocketAddr) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
    }

    /// Notes the user that the session is logged in as.
    pub fn set_user(&self, user: &[u8]) {
        *self.user.lock().unwrap_or_else(PoisonError::into_inner) = user.to_vec();
    }

    /// Whether the session is logged in as `user`.
    pub fn is_of(&self, user: &[u8]) -> bool {
        *self.user.lock().unwrap_or_else(PoisonError::into_inner) == user
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the connection on `side`.
    pub fn set_place(&self, side: Side, member: &Arc<Member>, thread: u32) {
        let mut places = self.places();
        match places.at(side) {
            Some(place) if place.thread == thread && Arc::ptr_eq(&place.member, member) => {
                place.is_away = false;
            }
            place => {
                let member = Arc::clone(member);
                *place = Some(Place { member, thread, kills: 0, is_away: false });
            }
        }
    }

    /// Notes that the connection on `side` was given back. True if a KILL is on its way to it: then it
    /// must not become anybody else's.
    pub fn leave_place(&self, side: Side) -> bool {
        let mut places = self.places();
        let Some(place) = places.at(side) else { return false };
        let is_killed = !place.is_away && place.kills > 0;
        place.is_away = true;
        is_killed
    }

    /// Notes that there is no connection on `side` any more. True as for [`SessionHandle::leave_place`].
    pub fn clear_place(&self, side: Side) -> bool {
        let before = self.places().at(side).take();
        before.is_some_and(|before| !before.is_away && before.kills > 0)
    }

    /// Notes where the statement runs that was just sent.
    #[inline]
    pub fn set_running_on(&self, side: Side) {
        self.on_replica.store(side == Side::Replica, Ordering::Relaxed);
    }

    /// Aims a KILL at the connection where the last statement was sent, if the session still has it.
    pub fn aim_at_query(self: &Arc<Self>) -> Option<Aim> {
        let replica = self.on_replica.load(Ordering::Relaxed);
        self.aim(if replica { Side::Replica } else { Side::Primary })
    }

    /// Aims a KILL at all connections of the session.
    pub fn aim_at_all(self: &Arc<Self>) -> Vec<Aim> {
        [Side::Primary, Side::Replica].into_iter().filter_map(|side| self.aim(side)).collect()
    }

    fn aim(self: &Arc<Self>, side: Side) -> Option<Aim> {
        let mut places = self.places();
        let place = places.at(side).as_mut().filter(|place| !place.is_away)?;
        place.kills += 1;
        let (member, thread) = (Arc::clone(&place.member), place.thread);
        Some(Aim { target: Arc::clone(self), side, member, thread, hits: false })
    }

    /// Whether all servers that it has connections to are such.
    pub fn is_only_at(&self, is_such: impl Fn(&Arc<Member>) -> bool) -> bool {
        self.places().here().all(|place| is_such(&place.member))
    }

    /// Asks the session to end; a weaker wish does not take back a stronger one.
    pub fn set_interrupt(&self, interrupt: Interrupt) {
        self.interrupt.fetch_max(interrupt as u8, Ordering::Relaxed);
        self.news.notify_one();
    }

    /// What the session was asked to do.
    #[inline]
    pub fn interrupt(&self) -> Interrupt {
        match self.interrupt.load(Ordering::Relaxed) {
            0 => Interrupt::None,
            1 => Interrupt::Drain,
            2 => Interrupt::Close,
            _ => Interrupt::Kill,
        }
    }

    /// Returns when there is something for the session to look at: it is asked for something, or its
    /// servers have changed.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Whether servers were taken out of the configuration since the last time.
    #[inline]
    pub fn take_servers_removed(&self) -> bool {
        // Two steps, as it is mostly false, and a write has its price.
        self.servers_removed.load(Ordering::Relaxed)
            && self.servers_removed.swap(false, Ordering::Relaxed)
    }

    /// Notes what the session is at.
    #[inline]
    pub fn set_activity(&self, activity: Activity) {
        self.activity.store(activity as u8, Ordering::Relaxed);
    }

    /// What the session is at.
    pub fn activity(&self) -> Activity {
        match self.activity.load(Ordering::Relaxed) {
            0 => Activity::Login,
            1 => Activity::Runs,
            2 => Activity::Waits,
            _ => Activity::Idle,
        }
    }

    /// Notes why the session keeps a connection while it waits for a command, if it does.
    pub fn set_hold(&self, hold: Option<Hold>) {
        self.hold.store(hold.map_or(0, |hold| hold as u8 + 1), Ordering::Relaxed);
    }

    /// Notes the session's pin, if it has one.
    pub fn set_pin(&self, pin: Option<PinView>) {
        *self.pin.lock().unwrap_or_else(PoisonError::into_inner) = pin;
    }
}

/// All sessions.
#[derive(Debug)]
pub struct Registry {
    sessions: Mutex<HashMap<u32, Arc<SessionHandle>>>,
    next_id: AtomicU32,
}

impl Default for Registry {
    fn default() -> Self {
        Self { sessions: Mutex::default(), next_id: AtomicU32::new(FIRST_ID) }
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Arc<SessionHandle>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id that the next session gets.
    pub fn next_id(&self) -> u32 {
        self.next_id.load(Ordering::Relaxed)
    }

    /// Gives out ids from this one on.
    pub fn begin_at(&self, id: u32) {
        self.next_id.store(id, Ordering::Relaxed);
    }

    /// A new session of a client there (`None`: on a Unix socket); it is removed when the returned
    /// registration is dropped.
    pub fn register(self: &Arc<Self>, client: Option<SocketAddr>) -> Registration {
        let mut sessions = self.lock();
        let mut id = self.next_id.fetch_add(1, Ordering::Relaxed) | FIRST_ID;
        while sessions.contains_key(&id) {
            id = self.next_id.fetch_add(1, Ordering::Relaxed) | FIRST_ID;
        }
        let handle = Arc::new(SessionHandle {
            id,
            client: Mutex::new(client),
            user: Mutex::default(),
            places: Mutex::default(),
            on_replica: AtomicBool::new(false),
            activity: AtomicU8::new(Activity::Login as u8),
            hold: AtomicU8::new(0),
            pin: Mutex::default(),
            interrupt: AtomicU8::new(Interrupt::None as u8),
            news: Notify::new(),
            servers_removed: AtomicBool::new(false),
        });
        sessions.insert(id, Arc::clone(&handle));
        Registration { handle, registry: Arc::clone(self) }
    }

    /// The session that a client names in a KILL: by lagwise's id, or by the id that the primary
    /// gave the session's connection (what CONNECTION_ID() told it).
    pub fn find(&self, id: u64, primary: &Arc<Member>) -> Option<Arc<SessionHandle>> {
        let id = u32::try_from(id).ok()?;
        let sessions = self.lock();
        if id >= FIRST_ID {
            return sessions.get(&id).cloned();
        }
        let on_primary = |handle: &&Arc<SessionHandle>| {
            let mut places = handle.places();
            let place = places.at(Side::Primary).as_ref();
            place.is_some_and(|place| {
                !place.is_away && place.thread == id && Arc::ptr_eq(&place.member, primary)
            })
        };
        sessions.values().find(on_primary).cloned()
    }

    /// Asks every session to end.
    pub fn interrupt_all(&self, interrupt: Interrupt) {
        let sessions = self.lock();
        sessions.values().for_each(|handle| handle.set_interrupt(interrupt));
    }

    /// Tells every session that servers were taken out of the configuration, so that those that are
    /// idle give up their connections to them.
    pub fn servers_removed(&self) {
        let sessions = self.lock();
        for handle in sessions.values() {
            handle.servers_removed.store(true, Ordering::Relaxed);
            handle.news.notify_one();
        }
    }

    /// Tells every session that a server went down, so that those that wait for it give it up.
    pub fn server_went_down(&self) {
        let sessions = self.lock();
        sessions.values().for_each(|handle| handle.news.notify_one());
    }

    /// True for an id that only lagwise gives out.
    pub fn is_own(id: u64) -> bool {
        id >= u64::from(FIRST_ID)
    }
}

/// A session's entry; dropping it removes the entry.
#[derive(Debug)]
pub struct Registration {
    handle: Arc<SessionHandle>,
    registry: Arc<Registry>,
}

impl std::ops::Deref for Registration {
    type Target = Arc<SessionHandle>;

    fn deref(&self) -> &Self::Target {
        &self.handle
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut sessions = self.registry.lock();
        sessions.remove(&self.handle.id);
        if sessions.is_empty() {
            sessions.shrink_to(64);
        }
    }
}
