//! Which statements of PREPARE … FROM one connection knows besides those whose PREPARE the client
//! sent to it.
//!
//! A client names its statements, and gives a name to another one as it likes: so a statement is known
//! by its name and a version, which the session gives anew at each PREPARE. What the client has dropped
//! meanwhile is dropped here when something else is prepared, so that nothing has to wait for it. Beyond
//! [`MAX_TEXT`] the least recently used makes room. Pure.
//!
//! Deliberately absent: sending anything ([`super::prepare`]), and the texts, which the session has.

use std::collections::HashMap;

use super::parse_state::ParseState;

/// Statements of PREPARE … FROM that one connection may hold again; they count for the server's
/// `max_prepared_stmt_count` as others do. A client rarely has more than a few.
pub const MAX_TEXT: usize = 100;

/// A statement of PREPARE … FROM.
#[derive(Clone, Copy, Debug)]
pub struct TextStatement<'a> {
    /// Its name in lower case: letters, digits, `_`, `$`, `-`.
    pub name: &'a [u8],
    /// Tells it from others that had the name before.
    pub version: u64,
    /// The client's PREPARE, whole.
    pub sql: &'a [u8],
    /// What that was read under.
    pub parse_state: &'a ParseState,
}

#[derive(Debug)]
struct Known {
    version: u64,
    /// When it was last used.
    used: u64,
}

/// The statements of one connection.
#[derive(Debug, Default)]
pub struct TextStatements {
    known: HashMap<Box<[u8]>, Known>,
    /// Counts uses.
    clock: u64,
}

impl TextStatements {
    /// Whether the connection knows this version, which is used now.
    pub fn has(&mut self, name: &[u8], version: u64) -> bool {
        let Some(known) = self.known.get_mut(name) else { return false };
        self.clock += 1;
        known.used = self.clock;
        known.version == version
    }

    /// Before `name` is prepared: forgets what `is_open` does not say that the client still has, and
    /// the least recently used if there is no room. Returns the names to be dropped; that of the new
    /// statement is not among them, as its PREPARE takes the place of the former one.
    pub fn make_room(
        &mut self,
        name: &[u8],
        is_open: impl Fn(&[u8], u64) -> bool,
    ) -> Vec<Box<[u8]>> {
        self.known.remove(name);
        let closed = self.known.iter().filter(|(name, known)| !is_open(name, known.version));
        let mut dropped: Vec<Box<[u8]>> = closed.map(|(name, _)| name.clone()).collect();
        for name in &dropped {
            self.known.remove(name);
        }
        if self.known.len() >= MAX_TEXT {
            dropped.extend(self.evict());
        }
        dropped
    }

    /// Forgets the least recently used; returns its name, to be dropped.
    pub fn evict(&mut self) -> Option<Box<[u8]>> {
        let (name, _) = self.known.iter().min_by_key(|(_, known)| known.used)?;
        let name = name.clone();
        self.known.remove(&name);
        Some(name)
    }

    /// The statement was prepared.
    pub fn insert(&mut self, name: &[u8], version: u64) {
        self.clock += 1;
        self.known.insert(name.into(), Known { version, used: self.clock });
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Forgets all: the server has forgotten them.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_its_version() {
        let mut known = TextStatements::default();
        assert!(!known.has(b"s", 1));
        known.insert(b"s", 1);
        assert!(known.has(b"s", 1) && !known.has(b"s", 2));
        assert!(known.make_room(b"s", |_, _| false).is_empty(), "PREPARE drops the former one");
        assert!(!known.has(b"s", 1));
        known.insert(b"s", 2);
        known.insert(b"t", 3);
        let dropped = known.make_room(b"u", |name, version| (name, version) == (b"t", 3));
        assert_eq!(dropped, [b"s"[..].into()]);
        assert!(known.has(b"t", 3) && !known.has(b"s", 2));
        known.clear();
        assert!(!known.has(b"t", 3));
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let mut known = TextStatements::default();
        let name = |n: usize| n.to_string().into_bytes();
        for n in 0..MAX_TEXT {
            assert!(known.make_room(&name(n), |_, _| true).is_empty());
            known.insert(&name(n), n as u64);
        }
        assert!(known.has(b"0", 0));
        assert_eq!(known.make_room(b"new", |_, _| true), [b"1"[..].into()]);
        known.insert(b"new", 1000);
        assert!(known.has(b"0", 0) && !known.has(b"1", 1) && known.known.len() == MAX_TEXT);
        assert_eq!(known.evict(), Some(b"2"[..].into()));
    }
}
