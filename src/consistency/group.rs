//! Who must see whose writes.

use std::hash::Hasher;

use rustc_hash::FxHasher;

/// Those who see each other's writes. Two groups that happen to have one hash see each other's, too, which
/// costs reads on the primary and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(u64);

impl Group {
    /// The one that all sessions belong to.
    pub const ALL: Group = Group(0);

    /// Every group: for writes that belong to more than are listed.
    pub const EVERY: Group = Group(1);

    /// All sessions of a user.
    pub fn of_user(user: &[u8]) -> Self {
        Self::of(1, user)
    }

    /// All statements with this key.
    pub fn of_key(key: &[u8]) -> Self {
        Self::of(2, key)
    }

    fn of(kind: u8, name: &[u8]) -> Self {
        let mut hasher = FxHasher::default();
        hasher.write_u8(kind);
        hasher.write(name);
        Self(hasher.finish())
    }

    /// For where its stamps are.
    pub(super) fn hash(self) -> u64 {
        self.0
    }
}
