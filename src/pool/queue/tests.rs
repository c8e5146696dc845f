//! Who comes first when connections are few. That nothing is lost on the way is tested against a model,
//! in `idle`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::super::idle::Given;
use super::super::idle::tests::{TestKey, parked};
use super::*;

#[test]
fn who_has_waited_for_long_gets_what_others_give_back() {
    const SHOP: Wish = Wish { has_schema: true, fingerprint: 1 };
    let (mut store, now) = parked(&[(1, false, SHOP)]);
    let (slot, connection) = store.take(&(0, 0), SHOP, now).unwrap();
    store.enqueue(&(1, 0), Wanted::Any, 10, now);
    store.enqueue(&(0, 0), Wanted::Any, 11, now);
    store.enqueue(&(0, 0), Wanted::Any, 12, now);
    assert!(store.pump(now, || 0).open.is_empty());
    // A connection of the same account needs no new login.
    let given = store.give(slot, connection, SHOP, false, now);
    assert!(matches!(given, Given::Handed(11, 1)), "{given:?}");
    let now = now + PATIENCE;
    let given = store.give(slot, connection, SHOP, false, now);
    assert!(matches!(given, Given::Close(1)), "{given:?}");
    let opened = store.pump(now, || 0).open;
    assert_eq!(opened.iter().map(|order| order.key).collect::<Vec<_>>(), [(1, 0)]);
}

/// A proof of a login waits for no line of those who are in, of whichever account; but only one at a
/// time comes before them.
#[test]
fn a_login_does_not_stand_in_line_behind_statements() {
    const SHOP: Wish = Wish { has_schema: true, fingerprint: 1 };
    let check = |key: TestKey| {
        let (mut store, now) = parked(&[(1, false, SHOP), (2, false, SHOP)]);
        let (first, _) = store.take(&(0, 0), SHOP, now).unwrap();
        let (second, _) = store.take(&(0, 0), SHOP, now).unwrap();
        for waiter in 10..15 {
            store.enqueue(&(0, 0), Wanted::Any, waiter, now);
        }
        store.enqueue(&key, Wanted::New, 20, now);
        store.enqueue(&key, Wanted::New, 21, now);
        let given = store.give(first, 1, SHOP, false, now);
        assert!(matches!(given, Given::Handed(10, 1)), "{key:?}: {given:?}");
        let now = now + PATIENCE;
        let given = store.give(first, 1, SHOP, false, now);
        assert!(matches!(given, Given::Close(1)), "{key:?}: {given:?}");
        let Work { open, rooms, .. } = store.pump(now, || 0);
        assert!(open.is_empty(), "{key:?}: {open:?}");
        let [(20, Room { slot, instead_of: None })] = rooms[..] else {
            panic!("{key:?}: {rooms:?}")
        };
        let given = store.give(second, 2, SHOP, false, now);
        assert!(matches!(given, Given::Handed(11, 2)), "{key:?}: {given:?}");
        store.set_taken(slot);
        let given = store.give(second, 2, SHOP, false, now);
        assert!(matches!(given, Given::Close(2)), "{key:?}: {given:?}");
    };
    check((0, 0));
    check((1, 0));
}
