//! Which of a session's prepared statements one connection knows.
//!
//! A statement is prepared where the client's PREPARE ran, and again, unasked, on every connection
//! on which the session comes to execute it. The first kind stays until the client closes it, as on
//! a direct connection. The second kind is bounded: beyond [`MAX_AGAIN`] the least recently used
//! makes room and is prepared once more when it is needed, so that a session with many statements
//! does not hold all of them on every server. A statement with an open cursor or long data never
//! makes room, for that could not be brought back. Pure.
//!
//! Deliberately absent: sending anything ([`super::connection`]), and the texts, which the session
//! has.

use rustc_hash::FxHashMap;

/// Statements that one connection may hold besides those whose PREPARE the client sent to it. Each
/// is some 10 KiB on the server and counts for its `max_prepared_stmt_count` (16 382 by default).
pub const MAX_AGAIN: usize = 1000;

/// A statement as this connection knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerStatement {
    /// The server's id.
    pub id: u32,
    /// Which types of parameters it was last executed with (the session counts them), 0: none.
    pub types_version: u32,
    /// It may have an open cursor or long data, which only this connection has.
    pub is_held: bool,
}

impl ServerStatement {
    /// A statement that was prepared just now, under the server's `id`.
    pub fn new(id: u32) -> Self {
        Self { id, types_version: 0, is_held: false }
    }
}

/// The statements of one connection, by the session's statement id.
#[derive(Debug)]
pub struct Statements {
    /// Those whose PREPARE the client sent to this connection.
    first: FxHashMap<u32, ServerStatement>,
    /// Those that were prepared here again, with when they were last used.
    again: FxHashMap<u32, (ServerStatement, u64)>,
    /// Most of these.
    max_again: usize,
    /// Counts uses.
    clock: u64,
}

impl Default for Statements {
    fn default() -> Self {
        Self::bounded(MAX_AGAIN)
    }
}

impl Statements {
    /// None, and room for `max_again` that are prepared here again.
    pub fn bounded(max_again: usize) -> Self {
        Self { first: FxHashMap::default(), again: FxHashMap::default(), max_again, clock: 0 }
    }

    /// The statement of an id, which is used now.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut ServerStatement> {
        if let Some(known) = self.first.get_mut(&id) {
            return Some(known);
        }
        let (known, used) = self.again.get_mut(&id)?;
        self.clock += 1;
        *used = self.clock;
        Some(known)
    }

    /// Whether the server knows one by this id of its own. A look at each.
    pub fn has_server_id(&self, server_id: u32) -> bool {
        let again = self.again.values().map(|(known, _)| known);
        self.first.values().chain(again).any(|known| known.id == server_id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.first.len() + self.again.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps a statement whose PREPARE the client sent here.
    pub fn insert_first(&mut self, id: u32, server_id: u32) {
        self.again.remove(&id);
        self.first.insert(id, ServerStatement::new(server_id));
    }

    /// Keeps a statement that was prepared here again. Room for it was made by
    /// [`Statements::make_room`].
    pub fn insert_again(&mut self, id: u32, server_id: u32) {
        self.clock += 1;
        self.again.insert(id, (ServerStatement::new(server_id), self.clock));
    }

    /// Makes room for one more that is prepared here again. Returns what must be closed for it, if
    /// anything.
    pub fn make_room(&mut self) -> Option<ServerStatement> {
        (self.again.len() >= self.max_again).then(|| self.evict()).flatten()
    }

    /// Forgets the least recently used of those that can be prepared again; `None` if there is none.
    /// A look at each, which a round trip to the server follows.
    pub fn evict(&mut self) -> Option<ServerStatement> {
        let free = self.again.iter().filter(|(_, (known, _))| !known.is_held);
        let (&id, _) = free.min_by_key(|(_, (_, used))| *used)?;
        self.again.remove(&id).map(|(known, _)| known)
    }

    /// Forgets a statement.
    pub fn remove(&mut self, id: u32) -> Option<ServerStatement> {
        let removed =
            self.first.remove(&id).or_else(|| self.again.remove(&id).map(|(known, _)| known));
        if removed.is_some() && self.is_empty() {
            // Thousands of them may have been open at a time.
            self.clear();
        }
        removed
    }

    /// Forgets all: the server has forgotten them.
    pub fn clear(&mut self) {
        *self = Self::bounded(self.max_again);
    }
}

#[cfg(test)]
mod tests;
