//! The order in which statements make room.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One step, and what it must return.
enum Step {
    Insert(u64),
    Use(u64),
    Hold(u64),
    Rename(u64, u64, bool),
    Evicts(Option<u64>),
    Closes(u64, bool),
}
use Step::{Closes, Evicts, Hold, Insert, Rename, Use};

/// The server's id is 100 more than the session's.
#[track_caller]
fn check(steps: &[Step]) {
    let server_id = |id: u64| u32::try_from(id + 100).unwrap();
    let mut statements = Statements::default();
    for (at, step) in steps.iter().enumerate() {
        match *step {
            Insert(id) => statements.insert(id, server_id(id)),
            Use(id) => {
                let known = statements.get_mut(id).map(|known| known.id);
                assert_eq!(known, Some(server_id(id % 10)), "step {at}");
            }
            Hold(id) => statements.get_mut(id).unwrap().is_held = true,
            Rename(from, to, want) => assert_eq!(statements.rename(from, to), want, "step {at}"),
            Evicts(want) => {
                let got = statements.evict().map(|known| known.id);
                assert_eq!(got, want.map(server_id), "step {at}");
            }
            Closes(id, want) => {
                let got = statements.remove(id).map(|known| known.id);
                assert_eq!(got, want.then_some(server_id(id)), "step {at}");
            }
        }
    }
}

#[test]
fn the_least_recently_used_makes_room() {
    check(&[Evicts(None)]);
    check(&[Insert(1), Insert(2), Evicts(Some(1)), Evicts(Some(2)), Evicts(None)]);
    check(&[Insert(1), Insert(2), Insert(3), Use(1), Evicts(Some(2)), Evicts(Some(3))]);
    check(&[Insert(1), Insert(2), Hold(1), Use(2), Evicts(Some(2)), Evicts(None), Use(1)]);
    check(&[Insert(1), Closes(1, true), Closes(1, false), Evicts(None)]);
    // A number ending alike is the same statement under another name.
    check(&[Insert(1), Insert(2), Rename(1, 11, true), Rename(1, 21, false), Use(11)]);
    check(&[Insert(1), Insert(2), Rename(1, 11, true), Evicts(Some(1)), Evicts(Some(2))]);
}

#[test]
fn a_new_statement_knows_no_types() {
    let mut statements = Statements::default();
    statements.insert(1, 7);
    statements.get_mut(1).unwrap().types = Some(b"\x08\0"[..].into());
    assert!(statements.rename(1, 2));
    assert!(statements.get_mut(2).unwrap().types.is_some(), "the server's, not the name's");
    statements.insert(2, 8);
    assert_eq!(statements.get_mut(2), Some(&mut ServerStatement::new(8)));
}

/// Room for few, so that they come to lack it.
const MAX: usize = 6;

proptest! {
    /// Against a model: bounded, leaving in the order of use, and what is held never leaves.
    #[test]
    fn any_order(steps in prop::collection::vec((0_u64..24, 0_u8..8), 0..200)) {
        let mut statements = Statements::default();
        // id -> (held, last use)
        let mut model = BTreeMap::<u64, (bool, usize)>::new();
        for (now, (id, what)) in steps.into_iter().enumerate() {
            match (what, model.contains_key(&id)) {
                (0, _) => {
                    let known = model.remove(&id).is_some();
                    prop_assert_eq!(statements.remove(id).is_some(), known);
                }
                (_, false) => {
                    let can = model.values().any(|(held, _)| !held);
                    prop_assert_eq!(statements.can_make_room(), can);
                    let closed = statements.make_room(MAX).map(|known| u64::from(known.id));
                    let free = model.iter().filter(|(_, (held, _))| !held);
                    let oldest = free.min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id);
                    prop_assert_eq!(closed, oldest.filter(|_| model.len() >= MAX));
                    closed.and_then(|id| model.remove(&id));
                    statements.insert(id, u32::try_from(id).unwrap());
                    model.insert(id, (false, now));
                }
                (_, true) => {
                    let known = statements.get_mut(id);
                    prop_assert!(known.is_some());
                    let held = what == 2;
                    known.into_iter().for_each(|known| known.is_held = held);
                    model.insert(id, (held, now));
                }
            }
            prop_assert_eq!(statements.len(), model.len());
        }
    }
}
