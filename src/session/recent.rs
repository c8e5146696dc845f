//! A bounded table of what sessions have in common and used lately.
//!
//! Two generations: what is asked for goes into the young one; when that is full it becomes the old
//! one, and what the old one had is forgotten. So what is used stays, at the price of one insertion
//! now and then. Several shards, so that workers seldom wait for one another. Pure.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;

/// Values by the hash of a key that each of them has itself.
#[derive(Debug)]
pub struct Recent<V> {
    shards: [Mutex<Shard<V>>; SHARDS],
    hasher: RandomState,
    /// Bytes of one generation of one shard.
    max_bytes: usize,
}

#[derive(Debug)]
struct Shard<V> {
    /// With what they take, in bytes.
    young: HashMap<u64, (Arc<V>, usize)>,
    young_bytes: usize,
    old: HashMap<u64, (Arc<V>, usize)>,
}

impl<V> Default for Shard<V> {
    fn default() -> Self {
        Self { young: HashMap::new(), young_bytes: 0, old: HashMap::new() }
    }
}

impl<V> Recent<V> {
    /// None, and room for about so many bytes.
    pub fn bounded(max_bytes: usize) -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::new(),
            max_bytes: max_bytes / SHARDS / 2,
        }
    }

    /// The hash of a key, by a secret of this process.
    pub fn hash(&self, key: impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The value under a hash, if it is the one that is looked for.
    pub fn find(&self, hash: u64, is_same: impl Fn(&V) -> bool) -> Option<Arc<V>> {
        let mut shard = self.shard(hash);
        if let Some((value, _)) = shard.young.get(&hash) {
            return is_same(value).then(|| Arc::clone(value));
        }
        let (value, bytes) = shard.old.remove(&hash).filter(|(value, _)| is_same(value))?;
        shard.keep(hash, Arc::clone(&value), bytes, self.max_bytes);
        Some(value)
    }

    /// Keeps a value that takes so many bytes. Two of one hash are not expected; the newer one stays.
    pub fn keep(&self, hash: u64, value: Arc<V>, bytes: usize) {
        self.shard(hash).keep(hash, value, bytes, self.max_bytes);
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<V>> {
        // The low bits choose; always there.
        let at = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        let shard = self.shards.get(at).unwrap_or(&self.shards[0]);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Shard<V> {
    fn keep(&mut self, hash: u64, value: Arc<V>, bytes: usize, max_bytes: usize) {
        if self.young_bytes + bytes > max_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        let before = self.young.insert(hash, (value, bytes));
        let before = before.map_or(0, |(_, before)| before);
        self.young_bytes = (self.young_bytes + bytes).saturating_sub(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let recent = Recent::bounded(SHARDS * 2 * 10 * 100);
        let (used, hash) = (Arc::new("used".to_owned()), recent.hash("used"));
        recent.keep(hash, Arc::clone(&used), 100);
        for n in 0..5_000 {
            recent.keep(recent.hash(n), Arc::new(n.to_string()), 100);
            assert!(recent.find(hash, |value| *value == *used).is_some(), "{n}");
            assert!(recent.find(recent.hash(n), |value| *value == n.to_string()).is_some());
        }
        let count = |shard: &Mutex<Shard<String>>| {
            let shard = shard.lock().unwrap();
            assert!(shard.young_bytes <= 1_000);
            shard.young.len() + shard.old.len()
        };
        let counts: Vec<_> = recent.shards.iter().map(count).collect();
        assert!(counts.iter().all(|count| (10..=20).contains(count)), "{counts:?}");
        assert!(recent.find(hash, |_| false).is_none(), "another of this hash");
    }
}
