//! Those who wait for a connection: in which order they are served, when one is opened for them, and
//! when one is closed to make room. Pure.
//!
//! Within a bucket first come is first served. Between buckets a connection that is given back goes
//! to its own bucket first, as that costs nothing; only when somebody else has been waiting for
//! [`PATIENCE`] is it closed to make room for theirs.
//!
//! Who wants to open a connection himself proves a login, and a thousand others may wait for that
//! proof: after [`PATIENCE`] he comes before all who are in already. One at a time does, so that
//! logins cannot keep the connections from those who are in.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Error;
use super::idle::{Bucket, Key, State, Store, Wish};
use crate::backend;
use crate::protocol::ErrPacket;

/// How long a waiter looks on while others, who came later, get what is given back.
pub const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Waiter<W> {
    seq: u64,
    since: Instant,
    waiter: W,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A connection without a default schema.
    WithoutSchema,
    /// Any connection.
    Any,
    /// The right to open one, in its own way.
    New,
}

impl Wanted {
    /// By whether the session has a default schema.
    pub fn connection(has_schema: bool) -> Self {
        if has_schema { Self::Any } else { Self::WithoutSchema }
    }
}

/// A waiter's place in the queue.
#[derive(Clone, Copy, Debug)]
pub struct Queued {
    bucket: u32,
    wanted: Wanted,
    seq: u64,
}

/// A connection that is to be opened.
#[derive(Debug)]
pub struct Order<K, C> {
    /// Its place.
    pub slot: u32,
    /// For whom.
    pub key: K,
    /// Waiters with a smaller number than this were there when it was begun.
    pub began: u64,
    /// To be closed before, or to be made into it.
    pub instead_of: Option<C>,
}

/// A place for one who opens a connection himself.
#[derive(Debug)]
pub struct Room<C> {
    /// The place.
    pub slot: u32,
    /// To be closed before, or to be made into it.
    pub instead_of: Option<C>,
}

/// What is to be done once the lock is given up.
#[derive(Debug)]
pub struct Work<K, C, W> {
    /// To be opened.
    pub open: Vec<Order<K, C>>,
    /// To be closed.
    pub close: Vec<C>,
    /// To be handed over, with their places.
    pub handed: Vec<(W, u32, C)>,
    /// Places for those who want to open one.
    pub rooms: Vec<(W, Room<C>)>,
}

impl<K, C, W> Default for Work<K, C, W> {
    fn default() -> Self {
        Self { open: Vec::new(), close: Vec::new(), handed: Vec::new(), rooms: Vec::new() }
    }
}

impl<K, C, W> Work<K, C, W> {
    /// The same, where `closed` makes way for what is opened first: its place is free.
    pub(super) fn instead_of(mut self, closed: C) -> Self {
        let opened = self.open.iter_mut().map(|order| &mut order.instead_of);
        let mut ways = opened.chain(self.rooms.iter_mut().map(|(_, room)| &mut room.instead_of));
        match ways.find(|way| way.is_none()) {
            Some(way) => *way = Some(closed),
            None => self.close.push(closed),
        }
        self
    }
}

/// Whether one more connection can be opened for a bucket.
enum Space {
    Yes,
    /// If the connection of this place is closed.
    Instead(u32),
    No,
}

impl<K: Key, C, W> Store<K, C, W> {
    /// Queues somebody who found no connection. [`Store::pump`] is due afterwards.
    pub fn enqueue(&mut self, key: &K, wanted: Wanted, waiter: W, now: Instant) -> Queued {
        let bucket = self.bucket_of(key, now);
        let seq = self.next_seq;
        self.next_seq += 1;
        self.waiting += 1;
        if let Some(known) = self.bucket_mut(bucket) {
            known.used = now;
            known.waiting[wanted as usize].push_back(Waiter { seq, since: now, waiter });
        }
        Queued { bucket, wanted, seq }
    }

    /// Takes a waiter out; `None` if it was served or failed already.
    pub fn cancel(&mut self, queued: Queued) -> Option<W> {
        let queue = &mut self.bucket_mut(queued.bucket)?.waiting[queued.wanted as usize];
        let at = queue.binary_search_by_key(&queued.seq, |waiter| waiter.seq).ok()?;
        let waiter = queue.remove(at)?.waiter;
        self.waiting -= 1;
        Some(waiter)
    }

    /// The first waiter whom a connection fits.
    pub(super) fn next_waiter(&mut self, bucket: u32, has_schema: bool) -> Option<W> {
        let [without, with, _] = &mut self.bucket_mut(bucket)?.waiting;
        let first = |queue: &VecDeque<Waiter<W>>| queue.front().map_or(u64::MAX, |it| it.seq);
        let queue = if has_schema || first(with) < first(without) { with } else { without };
        let waiter = queue.pop_front()?.waiter;
        self.waiting -= 1;
        Some(waiter)
    }

    /// Takes out all waiters of a key, or with `before` all of every key who came before that number.
    pub fn fail(&mut self, key: Option<&K>, before: u64) -> Vec<W> {
        let mut failed = Vec::new();
        for index in 0..self.buckets.len() as u32 {
            let Some(bucket) = self.bucket_mut(index) else { continue };
            if key.is_some_and(|key| *key != bucket.key) {
                continue;
            }
            for queue in &mut bucket.waiting {
                let count = queue.partition_point(|waiter| waiter.seq < before);
                failed.extend(queue.drain(..count).map(|waiter| waiter.waiter));
            }
        }
        self.waiting -= failed.len();
        failed
    }

    /// The number that the next waiter gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Does what can be done for those who wait: opens, makes room, and where nothing can be opened
    /// hands over what is parked.
    pub fn pump(&mut self, now: Instant, mut random: impl FnMut() -> u64) -> Work<K, C, W> {
        let mut work = Work::default();
        if self.waiting == 0 {
            return work;
        }
        for bucket in self.with_waiters() {
            while self.hand_over(bucket, now, &mut work) {}
        }
        'again: loop {
            let due = self.due_for_room(now);
            for bucket in due.into_iter().chain(self.by_age()) {
                match self.space(bucket, now) {
                    Space::No => continue,
                    Space::Yes => {}
                    Space::Instead(slot) => {
                        work.close.extend(self.unpark(slot));
                        self.settle(slot);
                        if self.is_full() || self.is_account_full(bucket) {
                            // A limit was lowered: one is not enough.
                            continue 'again;
                        }
                    }
                }
                let instead_of = work.close.pop();
                match self.next_for_room(bucket, due == Some(bucket)) {
                    Some(waiter) => {
                        let slot = self.reserve(bucket, true, now, random());
                        work.rooms.push((waiter, Room { slot, instead_of }));
                    }
                    None => work.open.extend(self.order(bucket, instead_of, now, random())),
                }
                continue 'again;
            }
            return work;
        }
    }

    /// The first of those who want to open a connection themselves, if nobody who waits for any came
    /// before and has none on its way, or if they are due.
    fn next_for_room(&mut self, bucket: u32, is_due: bool) -> Option<W> {
        let known = self.bucket_mut(bucket)?;
        let first = known.waiting[Wanted::New as usize].front()?.seq;
        let earlier: usize = known.waiting[..Wanted::New as usize]
            .iter()
            .map(|queue| queue.partition_point(|waiter| waiter.seq < first))
            .sum();
        if earlier > known.opening && !is_due {
            return None;
        }
        let waiter = known.waiting[Wanted::New as usize].pop_front()?.waiter;
        self.waiting -= 1;
        Some(waiter)
    }

    pub(super) fn order(
        &mut self,
        bucket: u32,
        instead_of: Option<C>,
        now: Instant,
        random: u64,
    ) -> Option<Order<K, C>> {
        let key = self.bucket(bucket)?.key.clone();
        let slot = self.reserve(bucket, false, now, random);
        Some(Order { slot, key, began: self.next_seq, instead_of })
    }

    /// Gives one idle connection to a waiter of its bucket; false if there are no two such.
    fn hand_over(&mut self, bucket: u32, now: Instant, work: &mut Work<K, C, W>) -> bool {
        let Some(known) = self.bucket(bucket) else { return false };
        let [without, with, _] = &known.waiting;
        if without.is_empty() && with.is_empty() {
            return false;
        }
        let wish = Wish { has_schema: !with.is_empty(), fingerprint: 0 };
        let Some(slot) = self.best(bucket, wish, now) else { return false };
        let has_schema = match &self.slots[slot as usize].state {
            State::Idle(idle) => idle.wish.has_schema,
            _ => false,
        };
        let Some(waiter) = self.next_waiter(bucket, has_schema) else { return false };
        let Some(connection) = self.unpark(slot) else { return false };
        work.handed.push((waiter, slot, connection));
        true
    }

    /// Buckets in which somebody waits.
    fn with_waiters(&self) -> Vec<u32> {
        let waits = |bucket: &Bucket<K, W>| bucket.waiting.iter().any(|queue| !queue.is_empty());
        let buckets = self.buckets.iter().enumerate();
        buckets
            .filter(|(_, bucket)| bucket.as_ref().is_some_and(waits))
            .map(|(index, _)| index as u32)
            .collect()
    }

    /// Buckets with more waiters than connects on their way, in the order of their first waiters.
    fn by_age(&self) -> Vec<u32> {
        let mut buckets = Vec::new();
        for (index, bucket) in self.buckets.iter().enumerate() {
            let Some(bucket) = bucket else { continue };
            // Those for whom no connect is on its way.
            let waiting: usize = bucket.waiting.iter().map(VecDeque::len).sum();
            let first = bucket.waiting.iter().filter_map(VecDeque::front).map(|it| it.seq).min();
            if let Some(first) = first.filter(|_| waiting > bucket.opening) {
                buckets.push((first, index as u32));
            }
        }
        buckets.sort_unstable();
        buckets.into_iter().map(|(_, bucket)| bucket).collect()
    }

    /// The server refused to open one more connection, for a key or for all. Returns when to try
    /// again.
    pub fn refused(
        &mut self,
        key: Option<&K>,
        error: ErrPacket,
        now: Instant,
        random: u64,
    ) -> Instant {
        let bucket = key.map(|key| self.bucket_of(key, now));
        match bucket.and_then(|bucket| self.bucket_mut(bucket)) {
            Some(bucket) => bucket.circuit.refused(error, now, random),
            None => self.circuit.refused(error, now, random),
        }
    }

    /// Whether it is of no use to wait: no connection is to be had for now, and none of this key is
    /// there that somebody might give back.
    pub fn is_hopeless(&self, key: &K, now: Instant) -> bool {
        let bucket = self.index_of(key).and_then(|bucket| self.bucket(bucket));
        let of_key = bucket.map_or(usize::MAX, |bucket| bucket.circuit.allowed(now, usize::MAX));
        let refused = self.circuit.allowed(now, usize::MAX) == 0 || of_key == 0;
        refused && bucket.is_none_or(|bucket| bucket.places == 0)
    }

    /// Places of a key.
    pub fn places(&self, key: &K) -> usize {
        let bucket = self.index_of(key).and_then(|bucket| self.bucket(bucket));
        bucket.map_or(0, |bucket| bucket.places)
    }

    /// Gives up one idle connection, which the server may have room for another instead. Its place is
    /// to be settled once it is closed.
    pub fn give_up_one(&mut self) -> Option<(u32, C)> {
        let slot = self.dispensable(None)?;
        self.unpark(slot).map(|connection| (slot, connection))
    }

    /// The server has let this key in, by a connect that was begun at that time; or, if it `is_handed`
    /// on, on a connection that was open already.
    pub fn connected(&mut self, key: &K, began: Instant, is_handed: bool) {
        if !is_handed {
            self.circuit.connected(began);
        }
        if let Some(bucket) = self.find(key) {
            bucket.circuit.connected(began);
        }
    }

    /// Whether connections are refused, to all or to somebody.
    pub fn is_circuit_open(&self) -> bool {
        let mut buckets = self.buckets.iter().flatten();
        self.circuit.is_open() || buckets.any(|bucket| bucket.circuit.is_open())
    }

    /// Why somebody has waited in vain.
    pub fn why_not(&self, key: &K) -> Error {
        let bucket = self.index_of(key);
        let known = bucket.and_then(|bucket| self.bucket(bucket));
        let refusal = known.and_then(|bucket| bucket.circuit.error()).or(self.circuit.error());
        if let Some(error) = refusal {
            return Error::Backend(backend::Error::Server(error.clone()));
        }
        if bucket.is_some_and(|bucket| self.is_account_full(bucket)) {
            return Error::AccountExhausted(self.limits.max_connections_per_account);
        }
        if self.is_full() {
            return Error::Exhausted(self.limits.max_connections);
        }
        Error::Backend(backend::Error::TimedOut("connecting"))
    }

    /// Whether one more connection may be opened without closing another.
    pub(super) fn may_open(&self, bucket: u32, now: Instant) -> bool {
        matches!(self.space(bucket, now), Space::Yes)
    }

    fn is_full(&self) -> bool {
        self.limits.max_connections != 0 && self.open >= self.limits.max_connections
    }

    fn is_account_full(&self, bucket: u32) -> bool {
        let limit = self.limits.max_connections_per_account;
        let account = self.bucket(bucket).map(|bucket| bucket.key.account());
        let count = account.and_then(|account| self.accounts.get(account));
        limit != 0 && count.is_some_and(|count| *count >= limit)
    }

    fn may_connect(&self, bucket: u32, now: Instant) -> bool {
        let Some(known) = self.bucket(bucket) else { return false };
        let most = self.limits.max_connecting.max(1);
        self.opening < self.circuit.allowed(now, most)
            && known.opening < known.circuit.allowed(now, most)
    }

    fn space(&self, bucket: u32, now: Instant) -> Space {
        if !self.may_connect(bucket, now) {
            return Space::No;
        }
        let account = self.is_account_full(bucket);
        if !account && !self.is_full() {
            return Space::Yes;
        }
        let only = self.bucket(bucket).map(|bucket| bucket.key.account()).filter(|_| account);
        self.dispensable(only).map_or(Space::No, Space::Instead)
    }

    /// The idle connection, of an account or of any, that is missed least: nobody's rather than
    /// parked, and the one that was parked first.
    fn dispensable(&self, account: Option<&[u8]>) -> Option<u32> {
        let buckets = self.buckets.iter().flatten();
        let buckets = buckets.filter(|bucket| account.is_none_or(|it| it == bucket.key.account()));
        let firsts = buckets.flat_map(|bucket| bucket.lists).filter_map(|list| list.first());
        let age = |slot: &u32| match &self.slots[*slot as usize].state {
            State::Idle(idle) => (idle.is_owned, Some(idle.since)),
            _ => (true, None),
        };
        firsts.min_by_key(age)
    }

    /// Whether a connection that is given back to this bucket must make room for a login that is due,
    /// or for another bucket's first waiter, who came before all of this one's and has waited for
    /// long.
    pub(super) fn is_due_elsewhere(&self, bucket: u32, now: Instant) -> bool {
        if self.waiting == 0 || self.open == 0 {
            return false;
        }
        let helps = |other: &u32| self.is_helped(*other, bucket, now);
        if self.due_for_room(now).is_some_and(|due| helps(&due)) {
            return true;
        }
        let Some(oldest) = self.by_age().into_iter().find(helps) else { return false };
        let first = |bucket: u32| {
            let waiting = &self.bucket(bucket)?.waiting;
            let firsts = waiting.iter().filter_map(VecDeque::front);
            firsts.map(|waiter| (waiter.seq, waiter.since)).min()
        };
        let Some((seq, since)) = first(oldest) else { return false };
        oldest != bucket
            && now >= since + PATIENCE
            && first(bucket).is_none_or(|(own, _)| seq < own)
    }

    /// Whether one that waits in `other` can have a connection if, and only if, one of `bucket` is closed.
    fn is_helped(&self, other: u32, bucket: u32, now: Instant) -> bool {
        let account = self.is_account_full(other) && !self.is_same_account(other, bucket);
        self.may_connect(other, now) && !account && !matches!(self.space(other, now), Space::Yes)
    }

    /// The bucket whose first login comes before all others who wait.
    fn due_for_room(&self, now: Instant) -> Option<u32> {
        if self.rooms > 0 {
            return None;
        }
        let buckets = self.buckets.iter().enumerate();
        let firsts = buckets.filter_map(|(index, bucket)| {
            let first = bucket.as_ref()?.waiting[Wanted::New as usize].front()?;
            (now >= first.since + PATIENCE).then_some((first.seq, index as u32))
        });
        firsts.min().map(|(_, bucket)| bucket)
    }

    fn is_same_account(&self, one: u32, other: u32) -> bool {
        let account = |bucket: u32| self.bucket(bucket).map(|bucket| bucket.key.account());
        account(one) == account(other)
    }
}

#[cfg(test)]
mod tests;
