//! The last things of a kind, numbered in the order in which they came, so that who asks again gets only
//! what is new. Pure.

use std::collections::VecDeque;

/// Keeps the last ones, up to a bound.
#[derive(Debug)]
pub struct Ring<T> {
    items: VecDeque<T>,
    bound: usize,
    /// The number of the newest; the first one ever has 1.
    last: u64,
}

impl<T> Ring<T> {
    /// An empty one that keeps so many, at least one.
    pub fn new(bound: usize) -> Self {
        Self { items: VecDeque::new(), bound: bound.max(1), last: 0 }
    }

    /// Takes one in, and drops the oldest if there is no room.
    pub fn push(&mut self, item: T) {
        if self.items.len() >= self.bound {
            self.items.pop_front();
        }
        self.items.push_back(item);
        self.last = self.last.wrapping_add(1);
    }

    /// The newest.
    pub fn newest(&self) -> Option<&T> {
        self.items.back()
    }

    /// Those with a number above `seq` that are still there, with their numbers, the oldest first; all for 0.
    pub fn after(&self, seq: u64) -> impl Iterator<Item = (u64, &T)> {
        let first = self.last.wrapping_sub(self.items.len() as u64).wrapping_add(1);
        let numbered = self.items.iter().enumerate();
        let numbered = numbered.map(move |(index, item)| (first.wrapping_add(index as u64), item));
        numbered.filter(move |(number, _)| *number > seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bound: usize, pushed: u64, after: u64, want: &[u64]) {
        let mut ring = Ring::new(bound);
        (1..=pushed).for_each(|item| ring.push(item));
        let found: Vec<_> = ring.after(after).collect();
        // Each was pushed with its number as the item.
        assert!(found.iter().all(|(number, item)| number == *item), "{found:?}");
        let numbers: Vec<_> = found.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, want, "{bound} {pushed} {after}");
        assert_eq!(ring.newest().copied(), (pushed > 0).then_some(pushed));
    }

    #[test]
    fn the_last_ones_are_kept() {
        check(3, 0, 0, &[]);
        check(3, 2, 0, &[1, 2]);
        check(3, 3, 0, &[1, 2, 3]);
        check(3, 5, 0, &[3, 4, 5]);
        check(3, 5, 3, &[4, 5]);
        check(3, 5, 1, &[3, 4, 5]);
        check(3, 5, 5, &[]);
        // From a lagwise that ran before this one.
        check(3, 5, 900, &[]);
        check(0, 2, 0, &[2]);
    }
}
