//! The pool against a model of it: whatever happens in whatever order, no connection is lost or given
//! twice, limits hold, and those who wait are served in their order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::queue::{Order, Queued, Room, Wanted, Work};
use super::*;
use crate::protocol::ErrPacket;

/// Account, and what else connections of it differ in.
pub type TestKey = (u8, u8);

impl Key for TestKey {
    fn account(&self) -> &[u8] {
        std::slice::from_ref(&self.0)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Take(TestKey, bool, u64),
    TakeNew(TestKey),
    Release { held: usize, keep: bool, gains_schema: bool, state: u64 },
    Drop(usize),
    Opened(usize, bool),
    RoomUsed(usize, bool),
    Cancel(usize),
    ComeBack(usize, bool, Option<TestKey>),
    DropTicket(usize),
    Wait(u64),
    Expire,
    Refused(TestKey, bool),
    Connected(TestKey),
    Limit(usize, usize),
}

fn key() -> impl Strategy<Value = TestKey> {
    (0u8..3, 0u8..2)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (key(), any::<bool>(), 0u64..3).prop_map(|(k, s, f)| Step::Take(k, s, f)),
        1 => key().prop_map(Step::TakeNew),
        4 => (any::<usize>(), any::<bool>(), any::<bool>(), 0u64..3).prop_map(
            |(held, keep, gains_schema, state)| Step::Release { held, keep, gains_schema, state }
        ),
        1 => any::<usize>().prop_map(Step::Drop),
        4 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(n, ok)| Step::Opened(n, ok)),
        2 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(n, ok)| Step::RoomUsed(n, ok)),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (any::<usize>(), any::<bool>(), prop::option::weighted(0.2, key()))
            .prop_map(|(n, s, key)| Step::ComeBack(n, s, key)),
        1 => any::<usize>().prop_map(Step::DropTicket),
        2 => (0u64..300).prop_map(Step::Wait),
        1 => Just(Step::Expire),
        1 => (key(), any::<bool>()).prop_map(|(key, all)| Step::Refused(key, all)),
        1 => key().prop_map(Step::Connected),
        1 => (0usize..6, 0usize..4).prop_map(|(all, each)| Step::Limit(all, each)),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Held {
    connection: u32,
    has_schema: bool,
}

struct World {
    store: Store<TestKey, u32, u32>,
    now: Instant,
    /// Connections that exist, by number.
    living: BTreeMap<u32, TestKey>,
    /// By place.
    held: BTreeMap<u32, Held>,
    orders: Vec<Order<TestKey, u32>>,
    rooms: Vec<(u32, TestKey)>,
    waiting: BTreeMap<u32, (TestKey, Wanted, Queued)>,
    tickets: Vec<(TestKey, Place)>,
    next: u32,
}

impl World {
    fn new(max_connections: usize) -> Self {
        let limits = Limits { max_connections, max_connecting: 3, ..Limits::default() };
        Self {
            store: Store::new(limits),
            now: Instant::now(),
            living: BTreeMap::new(),
            held: BTreeMap::new(),
            orders: Vec::new(),
            rooms: Vec::new(),
            waiting: BTreeMap::new(),
            tickets: Vec::new(),
            next: 0,
        }
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// A connection goes to somebody.
    fn hold(&mut self, slot: u32, connection: u32, has_schema: bool) {
        let held = Held { connection, has_schema };
        assert!(self.held.insert(slot, held).is_none(), "place {slot} is held twice");
        let twice = self.held.values().filter(|held| held.connection == connection).count();
        assert_eq!(twice, 1, "connection {connection} is given twice");
    }

    fn close(&mut self, connection: u32) {
        assert!(self.living.remove(&connection).is_some(), "{connection} is closed twice");
    }

    /// A waiter is served with a connection; nobody whom it fits was there before.
    fn serve(&mut self, waiter: u32, slot: u32, connection: u32, has_schema: bool) {
        let (key, wanted, _) = self.waiting.remove(&waiter).expect("nobody waits by that number");
        assert_eq!(self.living[&connection], key);
        assert!(wanted == Wanted::Any || (wanted == Wanted::WithoutSchema && !has_schema));
        let fits = |other: &Wanted| *other == Wanted::Any || (*other != Wanted::New && !has_schema);
        let earlier = self.waiting.iter().find(|(number, (other, wanted, _))| {
            **number < waiter && *other == key && fits(wanted)
        });
        assert!(earlier.is_none(), "{waiter} was served before {earlier:?}");
        self.hold(slot, connection, has_schema);
    }

    fn pump(&mut self) {
        let (open, limits) = (self.store.open(), self.store.limits());
        let Work { open: orders, close, handed, rooms } = self.store.pump(self.now, || 0);
        let opened = orders.len() + rooms.len();
        let instead = orders.iter().map(|order| order.instead_of);
        let instead = instead.chain(rooms.iter().map(|(_, room)| room.instead_of));
        let closed: Vec<u32> = instead.flatten().chain(close).collect();
        let limit = limits.max_connections;
        if limit != 0 && opened > 0 {
            assert!(open - closed.len() + opened <= limit, "{open} and {opened} of {limit}");
        }
        for connection in closed {
            self.close(connection);
        }
        for (waiter, slot, connection) in handed {
            // What is parked has not changed: ask the waiter what it can be.
            let has_schema = self.waiting[&waiter].1 == Wanted::Any && self.was_with(connection);
            self.serve(waiter, slot, connection, has_schema);
        }
        for (waiter, Room { slot, .. }) in rooms {
            let (key, wanted, _) = self.waiting.remove(&waiter).unwrap();
            assert_eq!(wanted, Wanted::New);
            self.rooms.push((slot, key));
        }
        self.orders.extend(orders);
    }

    fn was_with(&self, connection: u32) -> bool {
        // Even numbers begin with a schema in this model.
        connection.is_multiple_of(2)
    }

    fn give(&mut self, slot: u32, connection: u32, wish: Wish, is_owned: bool) {
        let key = self.living[&connection];
        match self.store.give(slot, connection, wish, is_owned, self.now) {
            Given::Handed(waiter, connection) => {
                self.serve(waiter, slot, connection, wish.has_schema);
            }
            Given::Parked(place) if is_owned => self.tickets.push((key, place)),
            Given::Parked(_) => {}
            Given::Close(connection) => self.close(connection),
            Given::Retire(connection) => {
                self.close(connection);
                self.store.settle(slot);
            }
        }
    }

    fn connect(&mut self, key: TestKey) -> u32 {
        let number = self.number();
        self.living.insert(number, key);
        number
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Take(key, has_schema, fingerprint) => {
                self.take(key, Wish { has_schema, fingerprint }, None);
            }
            Step::TakeNew(key) => {
                let number = self.number();
                let queued = self.store.enqueue(&key, Wanted::New, number, self.now);
                self.waiting.insert(number, (key, Wanted::New, queued));
            }
            Step::Release { held, keep, gains_schema, state } => {
                let Some(slot) = nth(self.held.keys(), held) else { return };
                let Held { connection, has_schema, .. } = self.held.remove(&slot).unwrap();
                let has_schema = has_schema || (gains_schema && self.was_with(connection));
                self.give(slot, connection, Wish { has_schema, fingerprint: state }, keep);
            }
            Step::Drop(held) => {
                let Some(slot) = nth(self.held.keys(), held) else { return };
                let held = self.held.remove(&slot).unwrap();
                self.close(held.connection);
                self.store.settle(slot);
            }
            Step::Opened(n, is_good) => self.opened(n, is_good),
            Step::RoomUsed(n, is_good) => self.room_used(n, is_good),
            Step::Cancel(n) => {
                let Some(number) = nth(self.waiting.keys(), n) else { return };
                let (_, _, queued) = self.waiting.remove(&number).unwrap();
                assert_eq!(self.store.cancel(queued), Some(number));
                assert_eq!(self.store.cancel(queued), None);
            }
            Step::ComeBack(n, has_schema, other) => {
                if self.tickets.is_empty() {
                    return;
                }
                let (key, place) = self.tickets.remove(n % self.tickets.len());
                // A session may need another kind of connection by then.
                let key = other.unwrap_or(key);
                self.take(key, Wish { has_schema, fingerprint: 0 }, Some(place));
                self.store.disown(place);
            }
            Step::DropTicket(n) => {
                if !self.tickets.is_empty() {
                    let (_, place) = self.tickets.remove(n % self.tickets.len());
                    self.store.disown(place);
                }
            }
            Step::Wait(millis) => self.now += Duration::from_millis(millis),
            Step::Expire => {
                self.now += Duration::from_secs(20);
                let gone = self.store.expire(self.now, |connection| *connection % 5 == 0);
                for (slot, connection) in gone {
                    self.close(connection);
                    self.store.settle(slot);
                }
            }
            Step::Refused(key, all) => {
                let error = ErrPacket::new(1040, b"08004", "Too many connections");
                self.store.refused((!all).then_some(&key), error, self.now, 0);
            }
            Step::Connected(key) => self.store.connected(&key, self.now, false),
            Step::Limit(all, each) => {
                let mut limits = self.store.limits();
                (limits.max_connections, limits.max_connections_per_account) = (all, each);
                self.store.set_limits(limits);
            }
        }
    }

    fn take(&mut self, key: TestKey, wish: Wish, own: Option<Place>) {
        let own =
            own.and_then(|own| Some((own.slot, self.store.take_own(&key, wish, own, self.now)?)));
        if let Some((slot, connection)) = own.or_else(|| self.store.take(&key, wish, self.now)) {
            assert_eq!(self.living[&connection], key);
            // What it may have is what it was given back with; a wish for none gets none.
            self.hold(slot, connection, wish.has_schema && self.was_with(connection));
            return;
        }
        let wanted = Wanted::connection(wish.has_schema);
        let number = self.number();
        let queued = self.store.enqueue(&key, wanted, number, self.now);
        self.waiting.insert(number, (key, wanted, queued));
    }

    fn room_used(&mut self, n: usize, is_good: bool) {
        if self.rooms.is_empty() {
            return;
        }
        let (slot, key) = self.rooms.remove(n % self.rooms.len());
        if is_good {
            let connection = self.connect(key);
            self.store.set_taken(slot);
            self.hold(slot, connection, self.was_with(connection));
        } else {
            self.store.settle(slot);
        }
    }

    fn opened(&mut self, n: usize, is_good: bool) {
        if self.orders.is_empty() {
            return;
        }
        let order = self.orders.remove(n % self.orders.len());
        if is_good {
            let connection = self.connect(order.key);
            let wish = Wish { has_schema: false, fingerprint: 0 };
            self.give(order.slot, connection, wish, false);
            return;
        }
        for waiter in self.store.fail(Some(&order.key), order.began) {
            let (key, ..) = self.waiting.remove(&waiter).unwrap();
            assert_eq!(key, order.key);
        }
        self.store.settle(order.slot);
    }

    fn check(&self) {
        let store = &self.store;
        let idle: Vec<(u32, TestKey, &Idle<u32>)> = store
            .slots
            .iter()
            .filter_map(|slot| match &slot.state {
                State::Idle(idle) => Some((idle.connection, store.key_of(slot.bucket), idle)),
                _ => None,
            })
            .collect();
        let in_store: BTreeSet<u32> = idle.iter().map(|(connection, ..)| *connection).collect();
        let in_use: BTreeSet<u32> = self.held.values().map(|held| held.connection).collect();
        assert!(in_store.is_disjoint(&in_use));
        let all: BTreeSet<u32> = in_store.union(&in_use).copied().collect();
        assert_eq!(all, self.living.keys().copied().collect(), "a connection is lost");
        assert_eq!(store.idle(), in_store.len());
        assert_eq!(store.opening(), self.orders.len() + self.rooms.len());
        assert_eq!(store.open(), self.living.len() + store.opening());
        assert_eq!(store.waiting(), self.waiting.len());
        for (connection, key, _) in &idle {
            assert_eq!(self.living[connection], *key);
        }
        for (bucket, known) in store.buckets.iter().enumerate() {
            let Some(known) = known else { continue };
            let listed = known.lists.iter().flat_map(|list| list.newest_first(&store.links));
            let listed = listed.filter(|slot| store.slots[*slot as usize].bucket == bucket as u32);
            assert_eq!(listed.count(), known.idle);
        }
        self.check_waiters(&idle);
    }

    /// Nobody waits who could be helped.
    fn check_waiters(&self, idle: &[(u32, TestKey, &Idle<u32>)]) {
        let (store, limits) = (&self.store, self.store.limits());
        for (key, wanted, _) in self.waiting.values() {
            let fits = |it: &&(u32, TestKey, &Idle<u32>)| {
                let has_schema = it.2.wish.has_schema;
                it.1 == *key && *wanted != Wanted::New && (*wanted == Wanted::Any || !has_schema)
            };
            // Another may be opened for it as soon as that is allowed.
            let is_stale = |it: &(u32, TestKey, &Idle<u32>)| {
                self.now >= it.2.since + limits.idle_timeout * 9 / 10
            };
            let free = idle.iter().filter(fits).find(|it| !it.2.is_owned && !is_stale(it));
            assert!(free.is_none(), "{wanted:?} of {key:?} waits beside {free:?}");
            let bucket = store.find_ref(key).unwrap();
            let waiting = self.waiting.values().filter(|it| it.0 == *key).count();
            let most = |circuit: &Circuit| circuit.allowed(self.now, limits.max_connecting);
            let may_connect = store.opening() < most(&store.circuit)
                && bucket.opening < most(&bucket.circuit)
                && waiting > bucket.opening;
            let account = store.accounts.get(key.account()).copied().unwrap_or(0);
            let each = limits.max_connections_per_account;
            let account_full = each != 0 && account >= each;
            let full = limits.max_connections != 0 && store.open() >= limits.max_connections;
            let dispensable = idle.iter().any(|it| !account_full || it.1.0 == key.0);
            let has_room = (!account_full && !full) || dispensable;
            assert!(!(may_connect && has_room), "{wanted:?} of {key:?} waits though there is room");
        }
    }
}

impl Store<TestKey, u32, u32> {
    fn key_of(&self, bucket: u32) -> TestKey {
        self.bucket(bucket).unwrap().key
    }

    fn find_ref(&self, key: &TestKey) -> Option<&Bucket<TestKey, u32>> {
        self.index_of(key).and_then(|index| self.bucket(index))
    }
}

fn nth<'a>(mut keys: impl ExactSizeIterator<Item = &'a u32>, n: usize) -> Option<u32> {
    let count = keys.len();
    (count > 0).then(|| keys.nth(n % count).copied()).flatten()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn nothing_is_lost_given_twice_or_kept_from_those_who_wait(
        max_connections in 0usize..5,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(max_connections);
        for step in steps {
            world.step(step);
            world.pump();
            world.check();
        }
        // In the end everybody who still waits is served.
        world.store.connected(&(0, 0), world.now, false);
        world.store.set_limits(Limits { max_connections: 0, ..Limits::default() });
        world.now += Duration::from_secs(3600);
        for _ in 0..1000 {
            world.pump();
            world.check();
            world.opened(0, true);
            world.step(Step::RoomUsed(0, true));
            world.step(Step::Drop(0));
        }
        prop_assert!(world.waiting.is_empty(), "{:?} still wait", world.waiting);
    }
}

fn limits(max_connections: usize) -> Limits {
    Limits { max_connections, ..Limits::default() }
}

/// A store with connections of key (0, 0) that were parked one after the other: number, whether its
/// session may come back, and its state.
pub fn parked(list: &[(u32, bool, Wish)]) -> (Store<TestKey, u32, u32>, Instant) {
    let (mut store, now) = (Store::new(limits(list.len())), Instant::now());
    let mut slots = Vec::new();
    for _ in list {
        store.enqueue(&(0, 0), Wanted::Any, 0, now);
        slots.extend(store.pump(now, || 0).open.iter().map(|order| order.slot));
    }
    store.fail(None, u64::MAX);
    for ((number, is_owned, wish), slot) in list.iter().zip(slots) {
        let given = store.give(slot, *number, *wish, *is_owned, now);
        assert!(matches!(given, Given::Parked(_)), "{given:?}");
    }
    (store, now)
}

#[test]
fn the_one_that_suits_best_is_taken() {
    const PLAIN: Wish = Wish { has_schema: false, fingerprint: 0 };
    const SHOP: Wish = Wish { has_schema: true, fingerprint: 1 };
    const BLOG: Wish = Wish { has_schema: true, fingerprint: 2 };
    let check = |list: &[(u32, bool, Wish)], wish: Wish, later: u64, want: Option<u32>| {
        let (mut store, now) = parked(list);
        let now = now + Duration::from_millis(later);
        let got = store.take(&(0, 0), wish, now).map(|(_, connection)| connection);
        assert_eq!(got, want, "{wish:?} of {list:?} after {later} ms");
    };
    // In the same state, though another was given back later.
    check(&[(1, false, SHOP), (2, false, BLOG)], SHOP, 0, Some(1));
    // Else the last given back; one with a schema before one without.
    check(&[(1, false, BLOG), (2, false, BLOG), (3, false, PLAIN)], SHOP, 0, Some(2));
    check(&[(1, false, PLAIN)], SHOP, 0, Some(1));
    // From a schema there is no way back.
    check(&[(1, false, PLAIN), (2, false, BLOG)], PLAIN, 0, Some(1));
    check(&[(1, false, BLOG)], PLAIN, 1000, None);
    // Nobody's before one that its session may come back for, whatever its state.
    check(&[(1, true, SHOP), (2, false, BLOG)], SHOP, 1000, Some(2));
    // That only when no other can be opened, or after a while; the one that was left first.
    check(&[(1, true, SHOP), (2, true, SHOP)], SHOP, 0, Some(1));
    let (mut store, now) = parked(&[(1, true, SHOP)]);
    store.set_limits(limits(2));
    assert!(store.take(&(0, 0), SHOP, now).is_none());
    assert!(store.take(&(0, 0), SHOP, now + AFFINITY).is_some());
}

#[test]
fn a_session_finds_its_own_connection_unless_somebody_took_it() {
    const SHOP: Wish = Wish { has_schema: true, fingerprint: 1 };
    let (mut store, now) = parked(&[(1, true, SHOP), (2, true, SHOP)]);
    let (slot, connection) = store.take(&(0, 0), SHOP, now + AFFINITY).unwrap();
    assert_eq!(connection, 1);
    let Given::Parked(own) = store.give(slot, connection, SHOP, true, now) else { panic!() };
    assert_eq!(store.take_own(&(0, 0), SHOP, own, now), Some(1));
    store.give(slot, connection, SHOP, true, now);
    // The same place, but another use of it.
    assert!(store.take_own(&(0, 0), SHOP, own, now + AFFINITY).is_none());
}
