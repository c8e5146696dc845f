//! Counts by rule of the configuration.
//!
//! Rules come and go with reloads, so their counters are not among those of the workers: each is an
//! atomic of its own, which only statements that match the rule touch.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The counter of one rule.
#[derive(Clone, Debug, Default)]
pub struct RuleCount(Arc<AtomicU64>);

impl RuleCount {
    /// Counts a statement that matched the rule.
    #[inline]
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The counters of the rules that are in force, by name.
#[derive(Debug, Default)]
pub(super) struct RuleCounts(Mutex<Vec<(String, RuleCount)>>);

impl RuleCounts {
    /// Exchanges the rules; those of a name that is there keep their counts.
    pub fn set<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<RuleCount> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |name: &str| {
            let found = known.iter().find(|(known, _)| known == name);
            found.map(|(_, count)| count.clone()).unwrap_or_default()
        };
        *known = names.map(|name| (name.to_owned(), count(name))).collect();
        known.iter().map(|(_, count)| count.clone()).collect()
    }

    /// What was counted so far.
    pub fn values(&self) -> Vec<(String, u64)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(name, count)| (name.clone(), count.0.load(Ordering::Relaxed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_of_the_same_name_keeps_its_count() {
        let counts = RuleCounts::default();
        let first = counts.set(["a", "b"].into_iter());
        first[0].add();
        first[1].add();
        first[1].add();
        let second = counts.set(["b", "c"].into_iter());
        second[0].add();
        // A session that has not looked since the reload.
        first[0].add();
        let values = counts.values();
        assert_eq!(values, [("b".to_owned(), 3), ("c".to_owned(), 0)]);
    }
}
