//! A client's prepared statements.
//!
//! The client's statement ids are lagwise's own. Which server connection has prepared a statement the
//! connection knows, by an id that sessions have in common or that is this client statement's own
//! ([`Name`]). Here is what is needed to prepare and execute it on any connection. Pure.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::known_statements::{KnownStatements, SharedStatement};
use crate::protocol::execute::{self, Execute};
use crate::protocol::prepare::PrepareOk;
use crate::protocol::reader::Malformed;
use crate::route::Side;

/// MariaDB: the statement that was prepared last.
pub const LAST_PREPARED: u32 = u32::MAX;

/// One prepared statement of a client.
#[derive(Debug)]
pub struct ClientStatement {
    /// Its text, what that was read under, and the ids that it has in common with others.
    pub shared: Arc<SharedStatement>,
    /// Number of parameters.
    pub num_params: u16,
    /// Number of result columns that the client was told last; 0 for a statement without a result
    /// set.
    pub num_columns: u16,
    /// Long data was sent since it was last executed or reset: only the connection that has it may
    /// execute the statement.
    pub long_data_on: Option<Side>,
    /// The last execution asked for a cursor, which only the connection that ran it has.
    pub has_cursor: bool,
    /// Where it was executed last, which is where its cursor is.
    pub last_side: Side,
    /// Types of the parameters as last sent.
    types: Option<Arc<[u8]>>,
    name: Name,
    /// What it was called before: a server's statement of that id is as good.
    before: Option<u64>,
}

/// By which id connections know a client's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// Not executed yet: that of the text.
    Text,
    /// Always executed with parameters of one signature, as by others who use this id.
    Variant(u64, Box<[u8]>),
    /// What it has executed is its own affair.
    Own(u64),
}

/// How an execution must be sent on one connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Sending {
    /// As it came, with the statement id exchanged.
    AsItIs,
    /// With the types put in that this connection has not seen: the whole payload.
    WithTypes(Vec<u8>),
}

impl ClientStatement {
    /// A statement that a server on `side` has prepared.
    pub fn new(shared: Arc<SharedStatement>, ok: PrepareOk, side: Side) -> Self {
        let name = if shared.is_shared { Name::Text } else { Name::Own(shared.id) };
        Self {
            shared,
            num_params: ok.num_params,
            num_columns: ok.num_columns,
            long_data_on: None,
            has_cursor: false,
            last_side: side,
            types: None,
            name,
            before: None,
        }
    }

    /// The id by which connections know it.
    pub fn id(&self) -> u64 {
        match &self.name {
            Name::Text => self.shared.id,
            Name::Variant(id, _) | Name::Own(id) => *id,
        }
    }

    /// The id of another server's statement that may become this one, where this one is not known.
    pub fn id_before(&self) -> Option<u64> {
        self.before
    }

    /// Nobody else uses its id: once the client closes it, no connection needs it.
    pub fn is_own(&self) -> bool {
        matches!(self.name, Name::Own(_))
    }

    /// It is about to be executed with parameters of this signature; `None` if what the server's
    /// statement goes through is not to be shared.
    pub fn begin_execution(&mut self, signature: Option<Vec<u8>>, known: &KnownStatements) {
        let id = self.id();
        let variant = match (&self.name, signature) {
            (Name::Own(_), _) => return,
            (Name::Variant(_, of), Some(signature)) if **of == *signature => return,
            // Without parameters there is nothing to be learned.
            (Name::Text, Some(signature)) if signature.is_empty() => Some((id, signature)),
            (Name::Text, Some(signature)) => {
                self.shared.variant(&signature, known).map(|id| (id, signature))
            }
            _ => None,
        };
        self.name = match variant {
            Some((id, signature)) => Name::Variant(id, signature.into()),
            None => Name::Own(known.new_id()),
        };
        self.before = Some(id);
    }

    /// Takes note of the types that an execution carries.
    ///
    /// # Errors
    /// The payload is malformed.
    pub fn note_types<'a>(
        &mut self,
        payload: &'a [u8],
        query_attributes: bool,
    ) -> Result<Execute<'a>, Malformed> {
        let execute = Execute::parse(payload, self.num_params, query_attributes)?;
        if let Some(types) = execute.types {
            self.note(types);
        }
        Ok(execute)
    }

    /// As [`ClientStatement::note_types`], for MariaDB's COM_STMT_BULK_EXECUTE.
    pub fn note_bulk_types(&mut self, payload: &[u8]) {
        if bulk_flags(payload).is_none_or(|flags| flags & SEND_TYPES == 0) {
            return;
        }
        let end = BULK_TYPES + 2 * usize::from(self.num_params);
        if let Some(types) = payload.get(BULK_TYPES..end) {
            self.note(types);
        }
    }

    fn note(&mut self, types: &[u8]) {
        if self.types.as_deref() != Some(types) {
            self.types = Some(types.into());
        }
    }

    /// The types of the parameters as last sent; `None` while none were.
    pub fn types(&self) -> Option<&Arc<[u8]>> {
        self.types.as_ref()
    }

    /// The types to be put in for a connection that saw these last.
    fn unseen_types(&self, seen: Option<&Arc<[u8]>>) -> Option<&[u8]> {
        self.types.as_deref().filter(|types| seen.is_none_or(|seen| **seen != **types))
    }

    /// How to send this execution to a connection that saw these types last.
    ///
    /// # Errors
    /// The payload is malformed.
    pub fn sending(
        &self,
        payload: &[u8],
        query_attributes: bool,
        seen: Option<&Arc<[u8]>>,
    ) -> Result<Sending, Malformed> {
        let execute = Execute::parse(payload, self.num_params, query_attributes)?;
        match (execute.bind_flag_at, self.unseen_types(seen)) {
            (Some(at), Some(types)) if execute.types.is_none() => {
                let whole = execute::with_types(payload, at, types);
                whole.map(Sending::WithTypes).ok_or(Malformed("COM_STMT_EXECUTE"))
            }
            _ => Ok(Sending::AsItIs),
        }
    }

    /// As [`ClientStatement::sending`], for COM_STMT_BULK_EXECUTE.
    pub fn sending_bulk(&self, payload: &[u8], seen: Option<&Arc<[u8]>>) -> Sending {
        match (bulk_flags(payload), payload.split_at_checked(BULK_TYPES), self.unseen_types(seen)) {
            (Some(flags), Some((head, values)), Some(types)) if flags & SEND_TYPES == 0 => {
                let mut whole = head.get(..BULK_FLAGS).unwrap_or_default().to_vec();
                whole.extend_from_slice(&(flags | SEND_TYPES).to_le_bytes());
                whole.extend_from_slice(types);
                whole.extend_from_slice(values);
                Sending::WithTypes(whole)
            }
            _ => Sending::AsItIs,
        }
    }
}

/// Where the flags of COM_STMT_BULK_EXECUTE are: int<1> command, int<4> statement id, int<2> flags
/// (MariaDB, "COM_STMT_BULK_EXECUTE").
const BULK_FLAGS: usize = 5;

/// Where its parameters' types are, if it has them.
const BULK_TYPES: usize = 7;

/// SEND_TYPES_TO_SERVER
const SEND_TYPES: u16 = 128;

fn bulk_flags(payload: &[u8]) -> Option<u16> {
    let field = payload.get(BULK_FLAGS..BULK_TYPES)?;
    field.try_into().ok().map(u16::from_le_bytes)
}

/// All prepared statements of a client, by the ids that it knows.
#[derive(Debug, Default)]
pub struct Prepared {
    statements: FxHashMap<u32, ClientStatement>,
    /// The id that was given last.
    last_id: u32,
    /// That of the last PREPARE, unless it failed.
    last_prepared: Option<u32>,
}

impl Prepared {
    /// The id that the next statement gets.
    pub fn next_id(&self) -> u32 {
        let mut id = self.last_id.wrapping_add(1);
        while id == 0 || id == LAST_PREPARED || self.statements.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        id
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.statements.len()
    }

    /// Keeps a statement under [`Prepared::next_id`].
    pub fn insert(&mut self, statement: ClientStatement) -> u32 {
        let id = self.next_id();
        self.last_id = id;
        self.last_prepared = Some(id);
        self.statements.insert(id, statement);
        id
    }

    /// The id that MariaDB's -1 means: the statement that was prepared last, if that
    /// succeeded and the statement is still open; otherwise none.
    pub fn last_prepared(&self) -> u32 {
        let open = self.last_prepared.filter(|id| self.statements.contains_key(id));
        open.unwrap_or(LAST_PREPARED)
    }

    /// A PREPARE failed.
    pub fn failed(&mut self) {
        self.last_prepared = None;
    }

    /// The statement of an id.
    pub fn get(&self, id: u32) -> Option<&ClientStatement> {
        self.statements.get(&id)
    }

    /// The statement of an id, to be changed.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut ClientStatement> {
        self.statements.get_mut(&id)
    }

    /// Forgets a statement, and returns it.
    pub fn remove(&mut self, id: u32) -> Option<ClientStatement> {
        let removed = self.statements.remove(&id)?;
        if self.statements.is_empty() {
            self.statements.shrink_to(8);
        }
        Some(removed)
    }

    /// Forgets all statements (COM_RESET_CONNECTION, COM_CHANGE_USER).
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
