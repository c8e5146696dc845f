//! Which prepared statements one connection knows.
//!
//! A connection passes from session to session and keeps what was prepared on it, so that a text is
//! prepared once for each connection, and not once for each session or execution. Statements go by
//! ids that mean the same in all sessions. They are bounded: the least recently used makes room, and
//! is prepared once more when it is needed. A statement with an open cursor or long data never makes
//! room, for that could not be brought back. Pure.
//!
//! Deliberately absent: sending anything ([`super::connection`]), and what a statement and its ids
//! are, which the sessions know.

use std::sync::Arc;

use rustc_hash::FxHashMap;

/// A statement as this connection knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatement {
    /// The server's id.
    pub id: u32,
    /// The types of parameters that it was last executed with, which the server remembers.
    pub types: Option<Arc<[u8]>>,
    /// It may have an open cursor or long data, which only this connection has.
    pub is_held: bool,
}

impl ServerStatement {
    /// A statement that was prepared just now, under the server's `id`.
    pub fn new(id: u32) -> Self {
        Self { id, types: None, is_held: false }
    }
}

/// The statements of one connection.
#[derive(Debug, Default)]
pub struct Statements {
    /// With when they were last used.
    known: FxHashMap<u64, (ServerStatement, u64)>,
    /// Counts uses.
    clock: u64,
}

impl Statements {
    /// The statement of an id, which is used now.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut ServerStatement> {
        let (known, used) = self.known.get_mut(&id)?;
        self.clock += 1;
        *used = self.clock;
        Some(known)
    }

    /// Whether there is a statement of this id. Does not count as a use.
    pub fn contains(&self, id: u64) -> bool {
        self.known.contains_key(&id)
    }

    /// Whether the server knows one by this id of its own. A look at each.
    pub fn has_server_id(&self, server_id: u32) -> bool {
        self.known.values().any(|(known, _)| known.id == server_id)
    }

    /// Whether one has an open cursor or long data. A look at each.
    pub fn has_held(&self) -> bool {
        self.known.values().any(|(known, _)| known.is_held)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Keeps a statement. Room for it was made by [`Statements::make_room`].
    pub fn insert(&mut self, id: u64, server_id: u32) {
        self.clock += 1;
        self.known.insert(id, (ServerStatement::new(server_id), self.clock));
    }

    /// The statement of one id goes by another from here on, which no statement has; false if there is
    /// none.
    pub fn rename(&mut self, from: u64, to: u64) -> bool {
        let Some(renamed) = self.known.remove(&from) else { return false };
        self.known.insert(to, renamed);
        true
    }

    /// Whether [`Statements::evict`] has something to give.
    pub fn can_make_room(&self) -> bool {
        self.known.values().any(|(known, _)| !known.is_held)
    }

    /// Makes room for one more among `max`. Returns what must be closed for it, if anything.
    pub fn make_room(&mut self, max: usize) -> Option<ServerStatement> {
        (self.known.len() >= max).then(|| self.evict()).flatten()
    }

    /// Forgets the least recently used of those that can be prepared again; `None` if there is none.
    /// A look at each, which a round trip to the server follows.
    pub fn evict(&mut self) -> Option<ServerStatement> {
        let free = self.known.iter().filter(|(_, (known, _))| !known.is_held);
        let (&id, _) = free.min_by_key(|(_, (_, used))| *used)?;
        self.known.remove(&id).map(|(known, _)| known)
    }

    /// Forgets a statement.
    pub fn remove(&mut self, id: u64) -> Option<ServerStatement> {
        self.known.remove(&id).map(|(known, _)| known)
    }

    /// Forgets all: the server has forgotten them.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
