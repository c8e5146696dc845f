//! Clients that log in: who gives way when there are too many.
//!
//! A connection costs nothing to open, so that somebody without an account could take all places there
//! are, and keep them until `login_timeout`. So a newcomer is not turned away for those who have not
//! logged in: the one that has kept lagwise waiting longest for its part of the login makes room. Good
//! clients do their part within milliseconds, and are gone from here before it is their turn; what the
//! servers take to judge a login does not count.
//!
//! Bounded by `max_logins`. Time is an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::guesses::Origin;
use super::visitor::RejectCause;

/// Nobody gives way who has just come: a login may take this long, and if all that come were good ones,
/// nobody would get in. So a newcomer is turned away only if `max_logins` come in less than this.
const LEAST: Duration = Duration::from_millis(50);

/// Those that have to give way and are not gone yet. With more, newcomers are turned away.
const MAX_LEAVING: usize = 1024;

/// Bounds on clients that log in.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of all.
    pub all: usize,
    /// Of one origin; 0: no limit.
    pub of_origin: usize,
}

#[derive(Debug)]
struct Waiting {
    origin: Origin,
    since: Instant,
    notice: Arc<Notice>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// In the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
    by_origin: HashMap<Origin, BTreeSet<u64>>,
    leaving: usize,
}

/// Clients that still owe lagwise their part of the login.
#[derive(Debug, Default)]
pub struct Logins(Mutex<Table>);

/// Tells a client that it has to give way.
#[derive(Debug, Default)]
pub struct Notice {
    cause: OnceLock<RejectCause>,
    given: Notify,
    is_done: AtomicBool,
}

impl Notice {
    /// Returns once the client has to give way, with the limit that asks for it.
    pub async fn given(&self) -> RejectCause {
        loop {
            if let Some(cause) = self.cause.get() {
                return *cause;
            }
            self.given.notified().await;
        }
    }

    /// Whether the client has not done its part of the login.
    pub fn is_owed(&self) -> bool {
        !self.is_done.load(Ordering::Relaxed)
    }
}

impl Table {
    fn remove(&mut self, id: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        if let Some(ids) = self.by_origin.get_mut(&waiting.origin) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_origin.remove(&waiting.origin);
            }
        }
        Some(waiting)
    }

    /// Has one give way: the first of `origin`, or of all. False if nobody can.
    fn evict(&mut self, origin: Option<Origin>, cause: RejectCause, now: Instant) -> bool {
        let id = match origin {
            Some(origin) => self.by_origin.get(&origin).and_then(BTreeSet::first).copied(),
            None => self.waiting.keys().next().copied(),
        };
        let since = id.and_then(|id| self.waiting.get(&id)).map(|waiting| waiting.since);
        let can = since.is_some_and(|since| now.saturating_duration_since(since) >= LEAST);
        if !can || self.leaving >= MAX_LEAVING {
            return false;
        }
        let Some(waiting) = id.and_then(|id| self.remove(id)) else { return false };
        self.leaving += 1;
        let _ = waiting.notice.cause.set(cause);
        waiting.notice.given.notify_one();
        true
    }
}

impl Logins {
    /// Takes a client in; if there are too many, another gives way.
    ///
    /// # Errors
    /// There are too many, and nobody gives way: the limit.
    pub fn enter(
        self: &Arc<Self>,
        origin: Origin,
        bounds: Bounds,
        now: Instant,
    ) -> Result<LoginPlace, RejectCause> {
        let mut table = self.table();
        let of_origin = table.by_origin.get(&origin).map_or(0, BTreeSet::len);
        let cause = RejectCause::MaxLoginsPerAddress;
        let too_many_there = bounds.of_origin > 0 && of_origin >= bounds.of_origin;
        if too_many_there && !table.evict(Some(origin), cause, now) {
            return Err(cause);
        }
        let cause = RejectCause::MaxLogins;
        if table.waiting.len() >= bounds.all && !table.evict(None, cause, now) {
            return Err(cause);
        }
        let id = table.next;
        table.next += 1;
        let notice = Arc::<Notice>::default();
        let waiting = Waiting { origin, since: now, notice: Arc::clone(&notice) };
        table.waiting.insert(id, waiting);
        table.by_origin.entry(origin).or_default().insert(id);
        drop(table);
        Ok(LoginPlace { logins: Arc::clone(self), id, notice })
    }

    /// Has the client that has waited longest give way to one for which there is no other place. False if
    /// nobody does.
    pub fn make_room(&self, cause: RejectCause, now: Instant) -> bool {
        self.table().evict(None, cause, now)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's place among those that log in, until it has done its part.
#[derive(Debug)]
pub struct LoginPlace {
    logins: Arc<Logins>,
    id: u64,
    notice: Arc<Notice>,
}

impl LoginPlace {
    /// By which the client is told that it has to give way.
    pub fn notice(&self) -> Arc<Notice> {
        Arc::clone(&self.notice)
    }

    /// The client has done its part; what is left is a server's.
    pub fn done(&self) {
        self.notice.is_done.store(true, Ordering::Relaxed);
        self.logins.table().remove(self.id);
    }
}

impl Drop for LoginPlace {
    fn drop(&mut self) {
        let mut table = self.logins.table();
        table.remove(self.id);
        if self.notice.cause.get().is_some() {
            table.leaving = table.leaving.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::of(Some([10, 0, 0, last].into()))
    }

    fn told(place: &LoginPlace) -> Option<RejectCause> {
        place.notice.cause.get().copied()
    }

    #[test]
    fn who_waits_longest_gives_way() {
        let (logins, start) = (Arc::<Logins>::default(), Instant::now());
        let bounds = Bounds { all: 2, of_origin: 0 };
        let enter = |last, at| logins.enter(origin(last), bounds, start + LEAST * at);
        let first = enter(1, 0).unwrap();
        let second = enter(2, 0).unwrap();
        assert_eq!(enter(3, 0).unwrap_err(), RejectCause::MaxLogins, "nobody has had time");
        let third = enter(3, 1).unwrap();
        assert_eq!(told(&first), Some(RejectCause::MaxLogins));
        assert_eq!((told(&second), told(&third)), (None, None));
        drop(second);
        let fourth = enter(1, 1).unwrap();
        assert_eq!((told(&third), told(&fourth)), (None, None), "there was room");
        drop((first, third, fourth));
        let table = logins.table();
        assert!(table.waiting.is_empty() && table.by_origin.is_empty());
        assert_eq!(table.leaving, 0);
    }

    #[test]
    fn an_address_with_too_many_makes_room_by_itself() {
        let (logins, start) = (Arc::<Logins>::default(), Instant::now());
        let bounds = Bounds { all: 100, of_origin: 1 };
        let enter = |last, at| logins.enter(origin(last), bounds, start + LEAST * at);
        let other = enter(1, 0).unwrap();
        let first = enter(2, 0).unwrap();
        assert_eq!(enter(2, 0).unwrap_err(), RejectCause::MaxLoginsPerAddress);
        let _second = enter(2, 1).unwrap();
        assert_eq!(told(&first), Some(RejectCause::MaxLoginsPerAddress));
        assert_eq!(told(&other), None);
    }

    #[test]
    fn those_that_leave_are_bounded() {
        let (logins, start) = (Arc::<Logins>::default(), Instant::now());
        let bounds = Bounds { all: MAX_LEAVING + 10, of_origin: 0 };
        let places: Vec<_> = (0..MAX_LEAVING + 10)
            .map(|_| logins.enter(origin(1), bounds, start).unwrap())
            .collect();
        let make_room = || logins.make_room(RejectCause::MaxClients, start + LEAST);
        assert!((0..MAX_LEAVING).all(|_| make_room()));
        assert!(!make_room());
        drop(places);
        assert!(!make_room(), "nobody is there");
    }
}
