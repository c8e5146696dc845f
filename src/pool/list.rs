//! Lists of slots in the order in which they were parked, each slot in one list at most.
//!
//! A slot leaves its list from the middle when its own session comes back for it, which must cost
//! nothing: so the links are an array beside the slots. Pure.

/// No slot.
const NONE: u32 = u32::MAX;

/// The neighbours of each slot in its list.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<(u32, u32)>);

impl Links {
    /// Makes room for one more slot.
    pub(super) fn grow(&mut self) {
        self.0.push((NONE, NONE));
    }
}

/// A list, the longest parked first.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    first: u32,
    last: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl List {
    /// The slot that was parked first.
    pub(super) fn first(self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// Adds a slot at the end.
    pub(super) fn push(&mut self, links: &mut Links, slot: u32) {
        links.0[slot as usize] = (self.last, NONE);
        match self.last {
            NONE => self.first = slot,
            last => links.0[last as usize].1 = slot,
        }
        self.last = slot;
    }

    /// Takes a slot out, which is in this list.
    pub(super) fn remove(&mut self, links: &mut Links, slot: u32) {
        let (before, after) = links.0[slot as usize];
        match before {
            NONE => self.first = after,
            before => links.0[before as usize].1 = after,
        }
        match after {
            NONE => self.last = before,
            after => links.0[after as usize].0 = before,
        }
    }

    /// The slots, the last parked first.
    pub(super) fn newest_first(self, links: &Links) -> impl Iterator<Item = u32> {
        let some = |slot: u32| (slot != NONE).then_some(slot);
        std::iter::successors(some(self.last), move |slot| some(links.0[*slot as usize].0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_is_a_queue_that_loses_from_the_middle(
            steps in prop::collection::vec((any::<bool>(), 0usize..8), 0..60),
        ) {
            let (mut links, mut list, mut model) = (Links::default(), List::default(), Vec::new());
            (0..8).for_each(|_| links.grow());
            for (_, slot) in steps {
                let slot = slot as u32;
                if let Some(at) = model.iter().position(|known| *known == slot) {
                    model.remove(at);
                    list.remove(&mut links, slot);
                } else {
                    model.push(slot);
                    list.push(&mut links, slot);
                }
                prop_assert_eq!(list.first(), model.first().copied());
                let newest: Vec<u32> = list.newest_first(&links).collect();
                prop_assert_eq!(newest, model.iter().rev().copied().collect::<Vec<_>>());
            }
        }
    }
}
