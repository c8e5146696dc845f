//! The order in which statements make room.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One step, and what it must return.
enum Step {
    First(u32),
    Again(u32),
    Use(u32),
    Hold(u32),
    Evicts(Option<u32>),
    Closes(u32, bool),
}
use Step::{Again, Closes, Evicts, First, Hold, Use};

/// The server's id is 100 more than the session's.
#[track_caller]
fn check(steps: &[Step]) {
    let mut statements = Statements::default();
    for (at, step) in steps.iter().enumerate() {
        match *step {
            First(id) => statements.insert_first(id, id + 100),
            Again(id) => statements.insert_again(id, id + 100),
            Use(id) => assert_eq!(statements.get_mut(id).map(|known| known.id), Some(id + 100)),
            Hold(id) => statements.get_mut(id).unwrap().is_held = true,
            Evicts(want) => {
                let got = statements.evict().map(|known| known.id);
                assert_eq!(got, want.map(|id| id + 100), "step {at}");
            }
            Closes(id, want) => {
                let got = statements.remove(id).map(|known| known.id);
                assert_eq!(got, want.then_some(id + 100), "step {at}");
            }
        }
    }
}

#[test]
fn the_least_recently_used_makes_room() {
    check(&[Evicts(None)]);
    check(&[Again(1), Again(2), Evicts(Some(1)), Evicts(Some(2)), Evicts(None)]);
    check(&[Again(1), Again(2), Again(3), Use(1), Evicts(Some(2)), Evicts(Some(3))]);
    check(&[First(1), Again(2), Evicts(Some(2)), Evicts(None), Use(1)]);
    check(&[Again(1), Again(2), Hold(1), Use(2), Evicts(Some(2)), Evicts(None), Use(1)]);
    check(&[First(1), Again(2), Closes(1, true), Closes(2, true), Closes(2, false), Evicts(None)]);
    // Prepared here first after all (its id came round again): it is the client's own from now on.
    check(&[Again(1), First(1), Evicts(None), Closes(1, true), Closes(1, false)]);
}

#[test]
fn a_new_statement_knows_no_types() {
    let mut statements = Statements::default();
    statements.insert_first(1, 7);
    statements.get_mut(1).unwrap().types_version = 3;
    statements.insert_first(1, 8);
    let new = ServerStatement { id: 8, types_version: 0, is_held: false };
    assert_eq!(statements.get_mut(1), Some(&mut new.clone()));
}

/// Room for few, so that they come to lack it.
const MAX: usize = 6;

proptest! {
    /// Against a model: what the client prepared here stays, what was prepared again is bounded and
    /// leaves in the order of use, and what is held never leaves.
    #[test]
    fn any_order(steps in prop::collection::vec((0_u32..24, 0_u8..8), 0..200)) {
        let mut statements = Statements::bounded(MAX);
        // Session id -> (first, held, last use)
        let mut model = BTreeMap::<u32, (bool, bool, usize)>::new();
        for (now, (id, what)) in steps.into_iter().enumerate() {
            match (what, model.contains_key(&id)) {
                (0, _) => {
                    let known = model.remove(&id).is_some();
                    prop_assert_eq!(statements.remove(id).is_some(), known);
                }
                (1, false) => {
                    statements.insert_first(id, id);
                    model.insert(id, (true, false, now));
                }
                (_, false) => {
                    let closed = statements.make_room().map(|known| known.id);
                    let again = model.iter().filter(|(_, (first, ..))| !first);
                    let full = again.clone().count() >= MAX;
                    let free = again.filter(|(_, (_, held, _))| !held);
                    let oldest = free.min_by_key(|(_, (.., used))| *used).map(|(id, _)| *id);
                    prop_assert_eq!(closed, oldest.filter(|_| full));
                    closed.and_then(|id| model.remove(&id));
                    statements.insert_again(id, id);
                    model.insert(id, (false, false, now));
                }
                (_, true) => {
                    let known = statements.get_mut(id);
                    prop_assert!(known.is_some());
                    let held = what == 2;
                    known.into_iter().for_each(|known| known.is_held = held);
                    model.entry(id).and_modify(|entry| *entry = (entry.0, held, now));
                }
            }
            prop_assert_eq!(statements.len(), model.len());
        }
    }
}
