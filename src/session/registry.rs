//! Sessions by connection id, so that KILL finds them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

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

/// What others may do to a session.
#[derive(Debug)]
pub struct SessionHandle {
    /// The connection id that the client was told.
    pub id: u32,
    places: Mutex<Places>,
    on_replica: AtomicBool,
    idle: AtomicBool,
    interrupt: AtomicU8,
    /// Wakes the session, whatever for: it looks then.
    news: Notify,
    servers_removed: AtomicBool,
}

/// Where a session has connections, with the servers' ids of them.
#[derive(Clone, Debug, Default)]
struct Places {
    primary: Option<(Arc<Member>, u32)>,
    replica: Option<(Arc<Member>, u32)>,
}

impl SessionHandle {
    /// Notes the connection on `side`, or that there is none any more.
    pub fn set_place(&self, side: Side, place: Option<(Arc<Member>, u32)>) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        match side {
            Side::Primary => places.primary = place,
            Side::Replica => places.replica = place,
        }
    }

    /// Notes where the statement runs that was just sent.
    #[inline]
    pub fn set_running_on(&self, side: Side) {
        self.on_replica.store(side == Side::Replica, Ordering::Relaxed);
    }

    /// Where the last statement was sent: the server, and its id of the connection.
    pub fn running_on(&self) -> Option<(Arc<Member>, u32)> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let replica = self.on_replica.load(Ordering::Relaxed);
        if replica { places.replica.clone() } else { places.primary.clone() }
    }

    /// All connections.
    pub fn places(&self) -> Vec<(Arc<Member>, u32)> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.primary.iter().chain(&places.replica).cloned().collect()
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

    /// Notes whether the session waits for a command with nothing open.
    #[inline]
    pub fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::Relaxed);
    }

    /// Whether the session waits for a command with nothing open.
    pub fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed)
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
    /// A new session; it is removed when the returned registration is dropped.
    pub fn register(self: &Arc<Self>) -> Registration {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut id = self.next_id.fetch_add(1, Ordering::Relaxed) | FIRST_ID;
        while sessions.contains_key(&id) {
            id = self.next_id.fetch_add(1, Ordering::Relaxed) | FIRST_ID;
        }
        let handle = Arc::new(SessionHandle {
            id,
            places: Mutex::default(),
            on_replica: AtomicBool::new(false),
            idle: AtomicBool::new(false),
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
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if id >= FIRST_ID {
            return sessions.get(&id).cloned();
        }
        let on_primary = |handle: &&Arc<SessionHandle>| {
            let places = handle.places.lock().unwrap_or_else(PoisonError::into_inner);
            places
                .primary
                .as_ref()
                .is_some_and(|(member, thread)| *thread == id && Arc::ptr_eq(member, primary))
        };
        sessions.values().find(on_primary).cloned()
    }

    /// Asks every session to end.
    pub fn interrupt_all(&self, interrupt: Interrupt) {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.values().for_each(|handle| handle.set_interrupt(interrupt));
    }

    /// Tells every session that servers were taken out of the configuration, so that those that are
    /// idle give up their connections to them.
    pub fn servers_removed(&self) {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        for handle in sessions.values() {
            handle.servers_removed.store(true, Ordering::Relaxed);
            handle.news.notify_one();
        }
    }

    /// Tells every session that a server went down, so that those that wait for it give it up.
    pub fn server_went_down(&self) {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut sessions = self.registry.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&self.handle.id);
        if sessions.is_empty() {
            sessions.shrink_to(64);
        }
    }
}
