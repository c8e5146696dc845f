//! Which connection is for whom: places, idle connections, waiters, limits. Pure: no I/O, time and
//! randomness are arguments, and what a connection or a waiter is does not matter here.
//!
//! A *place* counts for one connection from before it is opened until it is closed. Connections of
//! one *bucket* are exchangeable. One that is idle is either *parked* by a session that may come
//! back for it, or nobody's; and it has a default schema or none, since one that has cannot go back
//! to none. So a bucket has four lists, each in the order of parking.
//!
//! Waiters and limits are in [`super::queue`]; what was left with nobody told is in [`super::spot`].

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::circuit::Circuit;
use super::limits::Limits;
use super::list::{Links, List};
use super::queue::Waiter;
use super::spot::Spot;

/// For so long a parked connection is left to its session, if there is another way.
pub const AFFINITY: Duration = Duration::from_millis(5);

/// Idle connections that are looked at for one with the state that is wanted.
const MAX_LOOKED_AT: usize = 64;

/// What makes connections exchangeable.
pub trait Key: Clone + Eq + Hash {
    /// Whose limit they count for.
    fn account(&self) -> &[u8];
}

/// What is wanted of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The session has a default schema; one without cannot use a connection that has.
    pub has_schema: bool,
    /// Stands for the state that the session needs; one that is in that state is preferred.
    pub fingerprint: u64,
}

/// A place, and which use of it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// What became of a connection that was given back.
#[derive(Debug)]
pub enum Given<C, W> {
    /// It goes to this waiter, in the same place.
    Handed(W, C),
    /// It is kept.
    Parked(Place),
    /// It is to be closed, and its place to be settled then.
    Retire(C),
    /// It is to be closed for somebody else's sake; its place is free already.
    Close(C),
}

#[derive(Debug)]
pub(super) struct Slot<C> {
    pub(super) generation: u32,
    pub(super) bucket: u32,
    /// When it is old.
    pub(super) expires: Instant,
    pub(super) state: State<C>,
    pub(super) spot: Arc<Spot<C>>,
}

#[derive(Debug)]
pub(super) enum State<C> {
    Free,
    /// A connect is on its way; `for_one`: that of a waiter who wants a new one.
    Opening {
        for_one: bool,
    },
    Taken,
    Idle(Idle<C>),
}

#[derive(Debug)]
pub(super) struct Idle<C> {
    pub(super) connection: C,
    pub(super) since: Instant,
    pub(super) is_owned: bool,
    pub(super) wish: Wish,
}

#[derive(Debug)]
pub(super) struct Bucket<K, W> {
    pub(super) key: K,
    /// Places, whatever their state.
    pub(super) places: usize,
    /// Connects on their way that are for whoever is first.
    pub(super) opening: usize,
    pub(super) idle: usize,
    /// By [`list_of`].
    pub(super) lists: [List; 4],
    /// By [`Wanted`].
    pub(super) waiting: [VecDeque<Waiter<W>>; 3],
    /// When somebody last asked.
    pub(super) used: Instant,
    /// The server refuses this account only.
    pub(super) circuit: Circuit,
}

/// The lists of a bucket: nobody's or parked, without a schema or with one.
fn list_of(is_owned: bool, has_schema: bool) -> usize {
    usize::from(is_owned) * 2 + usize::from(has_schema)
}

/// The connections of one server, and those who wait for one.
#[derive(Debug)]
pub struct Store<K, C, W> {
    pub(super) limits: Limits,
    pub(super) slots: Vec<Slot<C>>,
    pub(super) links: Links,
    pub(super) free: Vec<u32>,
    pub(super) buckets: Vec<Option<Bucket<K, W>>>,
    by_key: HashMap<K, u32>,
    pub(super) accounts: HashMap<Box<[u8]>, usize>,
    /// Places that are not free.
    pub(super) open: usize,
    pub(super) opening: usize,
    /// Of these, those of waiters who open one themselves.
    pub(super) rooms: usize,
    pub(super) idle: usize,
    pub(super) waiting: usize,
    /// The number of the next waiter.
    pub(super) next_seq: u64,
    pub(super) circuit: Circuit,
    /// Nothing is kept any more.
    pub(super) is_closed: bool,
}

impl<K: Key, C, W> Store<K, C, W> {
    /// A store without connections.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            slots: Vec::new(),
            links: Links::default(),
            free: Vec::new(),
            buckets: Vec::new(),
            by_key: HashMap::new(),
            accounts: HashMap::new(),
            open: 0,
            opening: 0,
            rooms: 0,
            idle: 0,
            waiting: 0,
            next_seq: 0,
            circuit: Circuit::default(),
            is_closed: false,
        }
    }

    /// Connections that are open or being opened.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Connections that nobody uses.
    pub fn idle(&self) -> usize {
        self.idle
    }

    /// Those who wait for one.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Connects on their way.
    pub fn opening(&self) -> usize {
        self.opening
    }

    /// What it may do.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Changes that. [`Store::pump`] is due afterwards.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Keeps nothing that is given back from now on.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Keeps what is given back again.
    pub fn reopen(&mut self) {
        self.is_closed = false;
    }

    /// Whether it keeps nothing any more.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Takes the connection that was parked as `own`, if it still is.
    pub fn take_own(&mut self, key: &K, wish: Wish, own: Place, now: Instant) -> Option<C> {
        let slot = self.own(key, own, wish, now)?;
        self.unpark(slot)
    }

    /// Takes an idle connection: one in the state that is wanted, or the one that was given back last,
    /// or one that its session has left alone for a while; and one that its session parked just now
    /// only where no other can be opened. `None`: wait for one.
    pub fn take(&mut self, key: &K, wish: Wish, now: Instant) -> Option<(u32, C)> {
        let bucket = *self.by_key.get(key)?;
        if let Some(known) = self.bucket_mut(bucket) {
            known.used = now;
        }
        let slot = self.best(bucket, wish, now)?;
        self.unpark(slot).map(|connection| (slot, connection))
    }

    /// The idle connection that suits best, if one may be had.
    pub(super) fn best(&self, bucket: u32, wish: Wish, now: Instant) -> Option<u32> {
        let parked = |since| self.parked(bucket, wish.has_schema, since);
        let found = self.unowned(bucket, wish).or_else(|| parked(Some(now))).or_else(|| {
            let may_open = self.may_open(bucket, now);
            if may_open { None } else { parked(None) }
        });
        found.filter(|slot| self.is_fresh(*slot, now))
    }

    /// The session's own, unless it needs one of another kind by now.
    fn own(&self, key: &K, own: Place, wish: Wish, now: Instant) -> Option<u32> {
        let slot = self.slots.get(own.slot as usize)?;
        let State::Idle(idle) = &slot.state else { return None };
        let is_of_key = self.bucket(slot.bucket).is_some_and(|bucket| bucket.key == *key);
        let fits = is_of_key && (wish.has_schema || !idle.wish.has_schema);
        let is_it = slot.generation == own.generation && fits;
        (is_it && self.is_fresh(own.slot, now)).then_some(own.slot)
    }

    /// False in the last tenth of an idle connection's time: a server whose wait_timeout is as long may
    /// be closing it.
    fn is_fresh(&self, slot: u32, now: Instant) -> bool {
        let Some(known) = self.slots.get(slot as usize) else { return false };
        let State::Idle(idle) = &known.state else { return false };
        let kept = self.bucket(known.bucket).map_or(0, |bucket| bucket.idle);
        now < idle.since + self.limits.idle_timeout * 9 / 10
            || self.idle_wanted(known.bucket, now) >= kept
    }

    /// One that is nobody's: in the wanted state, or else the last given back; with a schema rather
    /// than without, which others may need.
    pub(super) fn unowned(&self, bucket: u32, wish: Wish) -> Option<u32> {
        let bucket = self.bucket(bucket)?;
        let list = bucket.lists[list_of(false, wish.has_schema)];
        let is_equal = |slot: &u32| match &self.slots[*slot as usize].state {
            State::Idle(idle) => idle.wish.fingerprint == wish.fingerprint,
            _ => false,
        };
        let newest = || list.newest_first(&self.links);
        let equal = newest().take(MAX_LOOKED_AT).find(is_equal);
        let without = || bucket.lists[list_of(false, false)].newest_first(&self.links).next();
        equal.or_else(|| newest().next()).or_else(without)
    }

    /// The one that was parked first; with `now`, only if its session has had time to come back.
    fn parked(&self, bucket: u32, has_schema: bool, now: Option<Instant>) -> Option<u32> {
        let bucket = self.bucket(bucket)?;
        let lists = [has_schema.then_some(list_of(true, true)), Some(list_of(true, false))];
        let firsts = lists.into_iter().flatten().filter_map(|list| bucket.lists[list].first());
        firsts
            .filter_map(|slot| match &self.slots[slot as usize].state {
                State::Idle(idle) => Some((idle.since, slot)),
                _ => None,
            })
            .min()
            .filter(|(since, _)| now.is_none_or(|now| now >= *since + AFFINITY))
            .map(|(_, slot)| slot)
    }

    /// Takes a connection out of its list; its place counts as taken.
    pub(super) fn unpark(&mut self, slot: u32) -> Option<C> {
        let known = self.slots.get_mut(slot as usize)?;
        let State::Idle(idle) = std::mem::replace(&mut known.state, State::Taken) else {
            return None;
        };
        known.generation = known.generation.wrapping_add(1);
        let (bucket, list) = (known.bucket, list_of(idle.is_owned, idle.wish.has_schema));
        if let Some(bucket) = self.buckets[bucket as usize].as_mut() {
            bucket.lists[list].remove(&mut self.links, slot);
            bucket.idle -= 1;
        }
        self.idle -= 1;
        Some(idle.connection)
    }

    /// Takes back a connection that is clean. It goes to the first waiter whom it fits, or is kept;
    /// `is_owned`: for its session, if that comes back soon. [`Store::pump`] is due afterwards.
    pub fn give(
        &mut self,
        slot: u32,
        connection: C,
        wish: Wish,
        is_owned: bool,
        now: Instant,
    ) -> Given<C, W> {
        let known = &self.slots[slot as usize];
        let bucket = known.bucket;
        let is_new = matches!(known.state, State::Opening { .. });
        let is_old = !is_new && now >= known.expires;
        if self.is_over() || is_old {
            self.set_taken(slot);
            return Given::Retire(connection);
        }
        if self.is_due_elsewhere(bucket, now) {
            self.settle(slot);
            return Given::Close(connection);
        }
        if let Some(waiter) = self.next_waiter(bucket, wish.has_schema) {
            self.set_taken(slot);
            return Given::Handed(waiter, connection);
        }
        if self.is_closed {
            self.set_taken(slot);
            return Given::Retire(connection);
        }
        self.park(slot, connection, wish, is_owned, now)
    }

    pub(super) fn park(
        &mut self,
        slot: u32,
        connection: C,
        wish: Wish,
        is_owned: bool,
        now: Instant,
    ) -> Given<C, W> {
        self.set_taken(slot);
        let known = &mut self.slots[slot as usize];
        known.generation = known.generation.wrapping_add(1);
        let generation = known.generation;
        known.state = State::Idle(Idle { connection, since: now, is_owned, wish });
        if let Some(bucket) = self.buckets[known.bucket as usize].as_mut() {
            bucket.lists[list_of(is_owned, wish.has_schema)].push(&mut self.links, slot);
            bucket.idle += 1;
        }
        self.idle += 1;
        Given::Parked(Place { slot, generation })
    }

    /// A connection that was being opened is open.
    pub fn set_taken(&mut self, slot: u32) {
        let known = &mut self.slots[slot as usize];
        if let State::Opening { for_one } = std::mem::replace(&mut known.state, State::Taken) {
            self.opening -= 1;
            self.rooms -= usize::from(for_one);
            if let Some(bucket) = self.buckets[known.bucket as usize].as_mut() {
                bucket.opening -= usize::from(!for_one);
            }
        }
    }

    /// The session that parked a connection does not come back: it is nobody's. [`Store::pump`] is
    /// due afterwards.
    pub fn disown(&mut self, place: Place) {
        let Some(known) = self.slots.get_mut(place.slot as usize) else { return };
        if known.generation != place.generation {
            return;
        }
        let State::Idle(idle) = &mut known.state else { return };
        if !std::mem::replace(&mut idle.is_owned, false) {
            return;
        }
        let has_schema = idle.wish.has_schema;
        if let Some(bucket) = self.buckets[known.bucket as usize].as_mut() {
            bucket.lists[list_of(true, has_schema)].remove(&mut self.links, place.slot);
            bucket.lists[list_of(false, has_schema)].push(&mut self.links, place.slot);
        }
    }

    /// The connection of a place is gone, or never came about. [`Store::pump`] is due afterwards.
    pub fn settle(&mut self, slot: u32) {
        self.set_taken(slot);
        let known = &mut self.slots[slot as usize];
        known.state = State::Free;
        known.generation = known.generation.wrapping_add(1);
        self.free.push(slot);
        self.open -= 1;
        let Some(bucket) = self.buckets[known.bucket as usize].as_mut() else { return };
        bucket.places -= 1;
        let account = bucket.key.account();
        if let Some(count) = self.accounts.get_mut(account) {
            *count -= 1;
            if *count == 0 {
                self.accounts.remove(account);
            }
        }
    }

    /// A place for a connection that is going to be opened.
    pub(super) fn reserve(&mut self, bucket: u32, for_one: bool, now: Instant, random: u64) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.links.grow();
            let (generation, state) = (0, State::Free);
            self.slots.push(Slot { generation, bucket, expires: now, state, spot: Arc::default() });
            (self.slots.len() - 1) as u32
        });
        let expires = now + jittered(self.limits.max_lifetime, random);
        let known = &mut self.slots[slot as usize];
        (known.bucket, known.expires, known.state) = (bucket, expires, State::Opening { for_one });
        self.open += 1;
        self.opening += 1;
        self.rooms += usize::from(for_one);
        if let Some(bucket) = self.buckets[bucket as usize].as_mut() {
            bucket.places += 1;
            bucket.opening += usize::from(!for_one);
            *self.accounts.entry(bucket.key.account().into()).or_default() += 1;
        }
        slot
    }

    pub(super) fn bucket(&self, index: u32) -> Option<&Bucket<K, W>> {
        self.buckets.get(index as usize)?.as_ref()
    }

    pub(super) fn bucket_mut(&mut self, index: u32) -> Option<&mut Bucket<K, W>> {
        self.buckets.get_mut(index as usize)?.as_mut()
    }

    pub(super) fn index_of(&self, key: &K) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    pub(super) fn find(&mut self, key: &K) -> Option<&mut Bucket<K, W>> {
        self.index_of(key).and_then(|index| self.bucket_mut(index))
    }

    /// The bucket of a key, which comes about by being asked for.
    pub(super) fn bucket_of(&mut self, key: &K, now: Instant) -> u32 {
        if let Some(&index) = self.by_key.get(key) {
            return index;
        }
        let bucket = Bucket {
            key: key.clone(),
            places: 0,
            opening: 0,
            idle: 0,
            lists: Default::default(),
            waiting: Default::default(),
            used: now,
            circuit: Circuit::default(),
        };
        let free = self.buckets.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.buckets.push(None);
            self.buckets.len() - 1
        });
        self.buckets[index] = Some(bucket);
        self.by_key.insert(key.clone(), index as u32);
        index as u32
    }

    /// Forgets buckets that nobody needs any more.
    pub(super) fn forget_unused(&mut self, now: Instant) {
        for index in 0..self.buckets.len() as u32 {
            let unused = self.bucket(index).is_some_and(|bucket| {
                bucket.places == 0 && bucket.waiting.iter().all(VecDeque::is_empty)
            });
            if unused
                && self.idle_wanted(index, now) == 0
                && let Some(bucket) = self.buckets[index as usize].take()
            {
                self.by_key.remove(&bucket.key);
            }
        }
    }
}

/// A time up to a tenth less, so that what began together does not end together.
fn jittered(time: Duration, random: u64) -> Duration {
    time - time / 10 * (random % 1024) as u32 / 1024
}

#[cfg(test)]
pub(super) mod tests;
